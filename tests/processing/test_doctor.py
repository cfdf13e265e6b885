"""A look at the installation."""

import sys
import types
from dataclasses import replace

import pytest

import processing.doctor
from processing.doctor import examine


def check_of(subject):
    (found,) = (check for check in examine() if check.subject == subject)
    return found


def test_this_environment_is_whole():
    checks = examine()
    assert [check for check in checks if not check.ok] == []
    assert all(check.finding and not check.advice for check in checks)


def test_every_package_that_is_needed_is_looked_for():
    assert {"numpy", "pillow", "onnxruntime", "param", "panel", "panel-material-ui", "bokeh", "rembg"} <= {
        check.subject for check in examine()
    }


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 2), True), ((3, 15, 0), False)]
)
def test_python_that_is_not_supported_is_found(monkeypatch, version, ok):
    monkeypatch.setattr(sys, "version_info", version)
    check = processing.doctor._check_python()
    assert check.ok is ok
    assert ("Python 3.11 to 3.14 is supported" in check.advice) is not ok


def test_package_that_is_missing_is_found_with_what_to_do(monkeypatch):
    monkeypatch.setattr(processing.doctor, "_PACKAGES", ("numpy", "no-such-package"))
    check = check_of("no-such-package")
    assert (check.ok, check.finding) == (False, "not installed")
    assert "make install" in check.advice


def test_onnxruntime_that_does_not_load_is_found_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check = processing.doctor._check_providers()
    assert not check.ok
    assert "onnxruntime does not load" in check.finding
    assert "make install" in check.advice


def test_a_provider_that_is_listed_but_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    # Without its libraries onnxruntime falls back to the CPU; one that was built without it cannot show that here.
    on_cpu = types.SimpleNamespace(provider="CPUExecutionProvider")
    monkeypatch.setattr(processing.doctor, "NativeSession", lambda spec, providers: on_cpu)
    check = processing.doctor._check_providers()
    assert check.ok, "the CPU still works"
    assert check.finding == "CUDAExecutionProvider (listed, but does not load), CPUExecutionProvider"
    assert "Install the libraries" in check.advice


def change_catalogue(monkeypatch, spec):
    monkeypatch.setattr(processing.doctor, "load_catalogue", lambda: {spec.name: spec})


@pytest.mark.parametrize(("content", "finding"), [(None, "are not at"), (b"half of a model", "are damaged")])
def test_weights_that_are_missing_or_damaged_are_found_with_what_to_do(
    monkeypatch, compact, tmp_path, content, finding
):
    weights = tmp_path / "compact.onnx"
    if content is not None:
        weights.write_bytes(content)
    change_catalogue(monkeypatch, replace(compact, weights=weights))
    check = check_of("model compact")
    assert not check.ok
    assert finding in check.finding
    assert "git checkout -- processing/models/weights" in check.finding + check.advice


def test_model_that_sees_a_subject_everywhere_is_found(monkeypatch, compact):
    change_catalogue(monkeypatch, replace(compact, empty_below=0.0))
    check = check_of("model compact")
    assert not check.ok
    assert "sees a subject in a plain grey picture" in check.finding
    assert check.advice


def test_model_that_rembg_runs_is_examined_too(monkeypatch, rembg_row):
    change_catalogue(monkeypatch, rembg_row)
    check = check_of("model zoo")
    assert check.ok, check.finding


def test_folder_that_cannot_be_written_is_found_with_what_to_do(artifacts):
    artifacts.write_text("I am a file.")  # the tests may run as root, who may write into every folder
    check = check_of("artifacts folder")
    assert not check.ok
    assert f"{artifacts} cannot be written" in check.finding
    assert "CUTOUT_ARTIFACTS" in check.advice


def test_examining_makes_no_folder(artifacts):
    assert check_of("artifacts folder").ok
    assert not artifacts.exists()
