"""A look at the installation."""

import sys
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
    assert all(check.finding for check in checks)
    advised = [check for check in checks if check.advice]
    assert {check.finding for check in advised} <= {"not fetched"}
    assert all("models fetch" in check.advice for check in advised)


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


@pytest.mark.parametrize("subject", ["onnxruntime", "providers", "GPU", "threads", "memory of models"])
def test_what_runs_models_is_looked_at(subject):
    """`tests/processing/test_acceleration.py` has the rest."""
    assert check_of(subject).ok


def change_catalogue(monkeypatch, spec):
    monkeypatch.setattr(processing.doctor, "load_catalogue", lambda: {spec.name: spec})


@pytest.mark.parametrize(("content", "finding"), [(None, "are not at"), (b"half of a model", "are damaged")])
def test_weights_that_are_missing_or_damaged_are_found_with_what_to_do(
    monkeypatch, compact, tmp_path, content, finding
):
    monkeypatch.setattr("processing.models.spec.WEIGHTS", tmp_path)
    weights = tmp_path / "compact.onnx"
    if content is not None:
        weights.write_bytes(content)
    change_catalogue(monkeypatch, replace(compact, weights=weights))
    check = check_of("model compact")
    assert not check.ok
    assert finding in check.finding
    assert "git checkout -- processing/models/weights" in check.finding + check.advice


def test_model_that_was_not_fetched_is_not_mentioned(monkeypatch, compact, tmp_path):
    change_catalogue(monkeypatch, replace(compact, name="other", weights=tmp_path / "other.onnx"))
    assert "model other" not in {check.subject for check in examine()}


def test_damaged_weights_of_a_fetched_model_are_found(monkeypatch, compact, tmp_path):
    weights = tmp_path / "other.onnx"
    weights.write_bytes(b"half of a model")
    change_catalogue(monkeypatch, replace(compact, name="other", weights=weights, url="https://example.org/other.onnx"))
    check = check_of("model other")
    assert not check.ok
    assert "are damaged" in check.finding
    assert "models fetch other" in check.finding


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
