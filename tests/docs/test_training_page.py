"""docs/training.md: its commands are understood. tests/processing/training runs the same ones on a tiny data set."""

import importlib

import pytest

EXTRA = "training needs the extra: pip install -e '.[training]'"


def test_every_command_is_understood(document):
    pytest.importorskip("torch", reason=EXTRA)
    pytest.importorskip("cv2", reason=EXTRA)
    commands = [line.split(" -m ")[1].split() for line in document("docs/training.md").commands() if " -m " in line]
    assert {module for module, *_ in commands} == {
        "processing.training",
        "processing.training.calibrate",
        "processing.training.collect",
        "processing.training.evaluate",
        "processing.training.export",
        "processing.training.label",
        "processing.training.plots",
        "processing.training.sheet",
    }
    for module, *arguments in commands:
        name = "processing.training.__main__" if module == "processing.training" else module
        assert importlib.import_module(name).parser().parse_args(arguments)


def test_the_make_target_exists(document):
    assert "make test-training" in document("docs/training.md").commands()
