"""How what runs a model is chosen: with made-up lists of providers, and with the real CPU."""

import logging
import types

import pytest

from processing.errors import ModelError
from processing.recipe import Recipe
from processing.sessions import open_session, providers
from processing.sessions.providers import BEST, CHOICES, CPU, CUDA, PROVIDERS, list_candidates, start_on

MIGRAPHX, ROCM = PROVIDERS["rocm"].execution
COREML, DIRECTML, OPENVINO = (PROVIDERS[kind].execution[0] for kind in ("coreml", "directml", "openvino"))
EVERYTHING = ["TensorrtExecutionProvider", OPENVINO, COREML, DIRECTML, ROCM, MIGRAPHX, CUDA, CPU]


@pytest.fixture
def available(monkeypatch):
    """Return a function that says what the installed onnxruntime has."""

    def say(*names):
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [*names])

    monkeypatch.setattr(providers, "preload_libraries", lambda: "")
    return say


class Starter:
    """Starts sessions as onnxruntime does: what it cannot load it passes over without a word."""

    def __init__(self, *loads, breaks=()):
        self.loads, self.breaks, self.asked = loads, breaks, []

    def __call__(self, names):
        self.asked.append(names)
        if names[0] in self.breaks:
            raise ModelError("out of memory")
        return types.SimpleNamespace(provider=next(name for name in names if name in self.loads))


def test_choices_are_best_gpu_and_every_provider():
    assert set(CHOICES) == {"best", "gpu", *PROVIDERS}
    assert set(BEST) == set(PROVIDERS)
    assert BEST[-1] == "cpu"
    assert Recipe.param.provider.objects == list(CHOICES)
    assert Recipe().provider == "best"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("best", [CUDA, MIGRAPHX, ROCM, DIRECTML, COREML, OPENVINO, CPU]),
        ("gpu", [CUDA, MIGRAPHX, ROCM, DIRECTML, COREML]),
        ("cpu", [CPU]),
        ("cuda", [CUDA]),
        ("rocm", [MIGRAPHX, ROCM]),
        ("coreml", [COREML]),
        ("directml", [DIRECTML]),
        ("openvino", [OPENVINO]),
    ],
)
def test_candidates_of_a_choice_are_in_order(choice, names):
    assert list_candidates(choice, EVERYTHING) == names


def test_candidates_are_only_what_is_available():
    assert list_candidates("best", ["TensorrtExecutionProvider", ROCM, CPU]) == [ROCM, CPU]
    assert list_candidates("gpu", [OPENVINO, CPU]) == []


def test_unknown_choice_is_refused():
    with pytest.raises(ModelError, match=r"Unknown provider 'tpu'\. Known: best, cpu, gpu, cuda"):
        list_candidates("tpu", [CPU])


@pytest.mark.parametrize("choice", ["best", "gpu", "cuda"])
def test_gpu_that_works_is_taken_and_logged(available, caplog, choice):
    available(CUDA, CPU)
    start = Starter(CUDA, CPU)
    with caplog.at_level(logging.INFO):
        assert start_on(choice, start, "u2net").provider == CUDA
    assert start.asked == [[CUDA, CPU]]
    assert f"u2net runs on {CUDA} (asked for: {choice})" in caplog.text
    assert all(record.levelno < logging.WARNING for record in caplog.records)


def test_cpu_is_asked_for_alone(available):
    available(CUDA, CPU)
    start = Starter(CUDA, CPU)
    assert start_on("cpu", start, "u2net").provider == CPU
    assert start.asked == [[CPU]]


def test_best_goes_on_with_the_next_and_says_so(available, caplog):
    available(CUDA, OPENVINO, CPU)
    start = Starter(OPENVINO, CPU)
    assert start_on("best", start, "u2net").provider == OPENVINO
    assert start.asked == [[CUDA, CPU], [OPENVINO, CPU]]
    assert f"u2net: {CUDA} did not load, {CPU} loaded in its place" in caplog.text
    assert f"u2net runs on {OPENVINO} (asked for: best)" in caplog.text


def test_best_ends_on_the_cpu_when_a_gpu_fails_aloud(available, caplog):
    available(CUDA, CPU)
    assert start_on("best", Starter(CUDA, CPU, breaks=[CUDA]), "u2net").provider == CPU
    assert f"u2net: {CUDA} failed: out of memory" in caplog.text
    assert caplog.records[-1].levelno == logging.WARNING


def test_best_takes_what_a_session_that_cannot_be_told_runs_on(available):
    available("TensorrtExecutionProvider", CUDA, CPU)
    session = types.SimpleNamespace(provider="TensorrtExecutionProvider")
    assert start_on("best", lambda names: session, "sam") is session
    with pytest.raises(ModelError, match=f"{CPU} did not load, TensorrtExecutionProvider loaded in its place"):
        start_on("cpu", lambda names: session, "sam")


@pytest.mark.parametrize("choice", ["gpu", "cuda"])
def test_gpu_that_is_not_available_is_refused_with_what_to_do(available, choice):
    available(CPU)
    with pytest.raises(ModelError) as refusal:
        start_on(choice, lambda names: pytest.fail("something was loaded"), "u2net")
    message = str(refusal.value)
    assert f"The provider {choice!r}" in message
    assert "The installed onnxruntime does not have it" in message
    assert f"Available: {CPU}." in message
    assert "onnxruntime-gpu[cuda,cudnn]" in message
    assert "`python -m processing doctor`" in message


@pytest.mark.parametrize("choice", ["gpu", "cuda"])
def test_gpu_that_silently_gave_way_to_the_cpu_is_refused(available, choice):
    available(CUDA, CPU)
    with pytest.raises(ModelError) as refusal:
        start_on(choice, Starter(CPU), "u2net")
    assert f"{CUDA} did not load, {CPU} loaded in its place" in str(refusal.value)
    assert f"Available: {CUDA}, {CPU}." in str(refusal.value)


def test_gpu_that_fails_is_refused_with_the_reason(available):
    available(MIGRAPHX, ROCM, CPU)
    with pytest.raises(ModelError, match=f"{MIGRAPHX} failed: out of memory. {ROCM} did not load") as refusal:
        start_on("rocm", Starter(CPU, breaks=[MIGRAPHX]), "u2net")
    assert "onnxruntime-migraphx" in str(refusal.value)
    assert str(refusal.value.__cause__) == "out of memory"


@pytest.mark.parametrize("choice", ["best", "cpu"])
def test_weights_that_the_cpu_cannot_load_are_no_matter_of_providers(available, choice):
    available(CPU)
    with pytest.raises(ModelError, match=r"^out of memory$"):
        start_on(choice, Starter(CPU, breaks=[CPU]), "u2net")


def test_provider_that_is_not_there_is_refused_before_any_work(available):
    available(CPU)
    providers.require_available("best")
    providers.require_available("cpu")
    with pytest.raises(ModelError, match=r"The provider 'directml' \(a GPU under Windows\) was asked for"):
        providers.require_available("directml")


def test_service_on_the_internet_is_no_provider(available):
    available("AzureExecutionProvider", CPU)
    assert providers.available_providers() == [CPU]
    session = types.SimpleNamespace(get_providers=lambda: ["AzureExecutionProvider", CPU])
    assert providers.running_provider(session) == CPU


def test_what_onnxruntime_prints_about_libraries_is_logged_instead(monkeypatch, capsys, caplog):
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: print("Failed to load libcudnn.so.9"), raising=False)
    with caplog.at_level(logging.INFO):
        assert providers.preload_libraries() == "Failed to load libcudnn.so.9"
    assert capsys.readouterr().out == ""
    assert "libcudnn.so.9" in caplog.text


@pytest.mark.parametrize("choice", ["best", "cpu"])
def test_real_cpu_runs_the_built_in_model(compact, monkeypatch, choice):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU])
    assert open_session(compact, choice).provider == CPU


@pytest.mark.filterwarnings("ignore:Specified provider")  # onnxruntime's own; a build with CUDA would not say it
@pytest.mark.filterwarnings("ignore:CUDAExecutionProvider was requested")  # rembg's own
@pytest.mark.parametrize("runtime", ["onnxruntime", "rembg"])
def test_real_session_that_falls_back_is_refused_or_logged(request, monkeypatch, available, compact, caplog, runtime):
    """This onnxruntime is told to use CUDA, does not, and runs on the CPU without an error."""
    monkeypatch.setattr("onnxruntime.InferenceSession.get_providers", lambda session: [CPU])
    spec = compact if runtime == "onnxruntime" else request.getfixturevalue("rembg_row")
    available(CUDA, CPU)
    with pytest.raises(ModelError, match=f"{CUDA} did not load, {CPU} loaded in its place"):
        open_session(spec, "gpu")
    assert open_session(spec, "best").provider == CPU
    assert f"{CUDA} did not load" in caplog.text
