"""Whether the processor that is here is the one that runs: every case made up, on a machine that may have no GPU."""

import sys

import pytest

from processing import acceleration
from processing.acceleration import examine_acceleration, find_missing_library
from processing.errors import ModelError
from processing.sessions.providers import CPU, CUDA, PROVIDERS


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    """Begin with one wheel, the CPU alone, no GPU and no settings."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(acceleration, "preload_libraries", lambda: "")
    have_wheels(monkeypatch, "onnxruntime")
    have_providers(monkeypatch, CPU)
    have_gpu(monkeypatch, False)


def have_wheels(monkeypatch, *names):
    # A wheel is named once for each of its top folders.
    monkeypatch.setattr(
        acceleration, "packages_distributions", lambda: {"onnxruntime": [*names, *names]} if names else {}
    )
    monkeypatch.setattr(acceleration, "version", lambda name: "1.32.0")


def have_providers(monkeypatch, *names, works=None):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [*names])

    def load(spec, choice):
        if choice not in (works or ("cpu",)):
            raise ModelError(f"The provider {choice!r} was asked for and does not run. {CPU} loaded in its place.")

    monkeypatch.setattr(acceleration, "NativeSession", load)


def have_gpu(monkeypatch, here):
    monkeypatch.setattr(acceleration, "has_nvidia_gpu", lambda: here)


def check_of(subject):
    (found,) = (check for check in examine_acceleration() if check.subject == subject)
    return found


def test_plain_machine_is_well():
    checks = examine_acceleration()
    assert [check.subject for check in checks] == ["onnxruntime", "providers", "GPU", "threads", "memory of models"]
    assert all(check.ok and not check.advice for check in checks)
    assert check_of("onnxruntime").finding == "onnxruntime 1.32.0"
    assert check_of("providers").finding == "cpu"


def test_real_onnxruntime_is_found(monkeypatch):
    monkeypatch.undo()
    check = acceleration._check_wheels()
    assert check.ok
    assert check.finding.startswith("onnxruntime")


@pytest.mark.parametrize(
    "second", ["onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-silicon"]
)
def test_two_wheels_over_each_other_are_found(monkeypatch, second):
    have_wheels(monkeypatch, second, "onnxruntime")
    check = check_of("onnxruntime")
    assert not check.ok
    assert f"onnxruntime 1.32.0, {second} 1.32.0 are installed over each other" in check.finding
    assert f"`pip uninstall -y onnxruntime {second} && pip install {second}`" in check.advice


def test_other_wheel_alone_is_well(monkeypatch):
    have_wheels(monkeypatch, "onnxruntime-gpu")
    assert check_of("onnxruntime").ok


def test_missing_wheel_is_found(monkeypatch):
    have_wheels(monkeypatch)
    check = check_of("onnxruntime")
    assert (check.ok, check.finding) == (False, "not installed")
    assert "make install" in check.advice


def test_onnxruntime_that_does_not_load_is_found_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    check = check_of("providers")
    assert not check.ok
    assert "onnxruntime does not load" in check.finding
    assert "make install" in check.advice


def test_providers_that_work_are_listed(monkeypatch):
    have_providers(monkeypatch, "TensorrtExecutionProvider", CUDA, CPU, works=("cpu", "cuda"))
    have_gpu(monkeypatch, True)
    check = check_of("providers")
    assert (check.ok, check.finding, check.advice) == (True, "cpu, cuda", "")
    assert check_of("GPU").finding == "an NVIDIA GPU is visible, and used"


def test_provider_that_silently_fell_back_is_found_with_the_missing_library(monkeypatch):
    have_providers(monkeypatch, CUDA, CPU)
    have_gpu(monkeypatch, True)
    missing = "libcudnn.so.9: cannot open shared object file: No such file or directory."
    monkeypatch.setattr(acceleration, "find_missing_library", lambda name: missing)
    assert check_of("providers").finding == "cpu, cuda (listed, but does not run)"
    assert check_of("providers").ok, "the CPU works"
    check = check_of("provider cuda")
    assert not check.ok
    assert check.finding == f"listed, but does not run: {missing}"
    assert "onnxruntime-gpu[cuda,cudnn]" in check.advice
    assert check_of("GPU").finding == "an NVIDIA GPU is visible; see provider cuda"


def test_provider_that_fell_back_for_reasons_unknown_says_what_happened(monkeypatch):
    have_providers(monkeypatch, PROVIDERS["openvino"].execution[0], CPU)
    check = check_of("provider openvino")
    assert not check.ok
    assert f"does not run. {CPU} loaded in its place" in check.finding
    assert "onnxruntime-openvino" in check.advice


def test_cuda_without_a_gpu_is_no_failure(monkeypatch):
    have_providers(monkeypatch, CUDA, CPU)
    check = check_of("provider cuda")
    assert check.ok
    assert "No NVIDIA GPU is visible" in check.advice


def test_gpu_beside_a_wheel_for_the_cpu_is_told(monkeypatch):
    have_gpu(monkeypatch, True)
    check = check_of("GPU")
    assert check.ok, "the CPU may be what is wanted"
    assert "the installed onnxruntime is without CUDA" in check.finding
    assert "onnxruntime-gpu[cuda,cudnn]" in check.advice


def test_nothing_that_works_is_a_failure(monkeypatch):
    have_providers(monkeypatch, CPU, works=("none",))
    assert not check_of("providers").ok


@pytest.mark.parametrize("on_path", [True, False])
def test_gpu_is_seen_by_its_driver(monkeypatch, tmp_path, on_path):
    monkeypatch.undo()
    monkeypatch.setattr(acceleration.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if on_path else None)
    monkeypatch.setattr(acceleration, "Path", lambda path: tmp_path / "driver")
    assert acceleration.has_nvidia_gpu() is on_path
    (tmp_path / "driver").touch()
    assert acceleration.has_nvidia_gpu()


@pytest.mark.parametrize("content", [None, b"no library"])
def test_missing_library_is_named_by_the_system(monkeypatch, tmp_path, content):
    """A file that is no library stands for one whose own libraries are missing: the system's sentence is passed on."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("onnxruntime.__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "capi").mkdir()
    if content is not None:
        for name in ("shared", "cuda"):
            (tmp_path / "capi" / f"libonnxruntime_providers_{name}.so").write_bytes(content)
    found = find_missing_library(CUDA)
    assert (content is None) == (found == "")
    assert content is None or str(tmp_path) in found


@pytest.mark.parametrize(
    ("text", "ok", "sentence"),
    [
        ("1", True, ""),
        ("0", True, "Unset it"),
        ("4,2", False, "rembg's own models stop"),
        ("-1", False, "rembg's own models stop"),
        ("", False, "rembg's own models stop"),
        ("9999", True, "give at most"),
    ],
)
def test_odd_numbers_of_threads_are_found(monkeypatch, text, ok, sentence):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    check = check_of("threads")
    assert check.ok is ok
    assert repr(text) in check.finding
    assert sentence in check.advice
    assert bool(sentence) == bool(check.advice)


def test_limit_of_memory_that_is_no_number_is_found(monkeypatch):
    monkeypatch.setenv("CUTOUT_MODEL_MEMORY_MB", "much")
    check = check_of("memory of models")
    assert not check.ok
    assert "CUTOUT_MODEL_MEMORY_MB is 'much'" in check.finding
