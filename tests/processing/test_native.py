"""A model run by onnxruntime directly."""

import hashlib
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from images import ball

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.models import prepare
from processing.sessions.native import NativeSession


@pytest.fixture
def endless(compact, endless_weights):
    return NativeSession(replace(compact, name="endless", weights=endless_weights, sha256="", size_bytes=0))


TENSOR = np.zeros((1, 3, 8, 8), np.float32)


def test_missing_weights_say_where_they_should_be(compact, tmp_path):
    with pytest.raises(ModelError, match=r"weights of 'compact' are not at .*gone\.onnx\. "):
        NativeSession(replace(compact, weights=tmp_path / "gone.onnx"))


def test_damaged_weights_are_not_loaded(compact, tmp_path):
    data = bytearray(compact.weights.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged: their SHA256 is not the one in the catalogue\."):
        NativeSession(replace(compact, weights=damaged))


@pytest.mark.parametrize("checksum_known", [True, False])
def test_file_that_is_no_model_is_refused(compact, tmp_path, checksum_known):
    weights = tmp_path / "diary.onnx"
    weights.write_bytes(b"Dear diary, today I was a model.")
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if checksum_known else ""
    with pytest.raises(ModelError, match="weights of 'compact' cannot be loaded: ") as refusal:
        NativeSession(replace(compact, weights=weights, sha256=sha256, size_bytes=0))
    assert refusal.value.__cause__ is not None


def test_provider_is_the_one_that_runs(compact):
    assert NativeSession(compact, "cpu").provider == "CPUExecutionProvider"


def test_provider_that_is_not_installed_is_refused(compact, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"'openvino' \(OpenVINO\) was asked for and does not run"):
        NativeSession(compact, "openvino")


class FakeOnnxSession:
    """An onnxruntime session that loads whatever it is told to, and tells how it was made and whether runs overlap."""

    def __init__(self, path, options, *, providers, enable_fallback):
        self.providers, self.options, self.falls_back = providers, options, bool(enable_fallback)
        self.running, self.most = 0, 0

    def get_providers(self):
        return self.providers

    def get_inputs(self):
        return [types.SimpleNamespace(name="image")]

    get_outputs = get_inputs

    def run(self, outputs, inputs, run_options):
        self.running += 1
        self.most = max(self.most, self.running)
        inputs["image"].wait_for_the_other()
        self.running -= 1
        return [None]


@pytest.fixture
def fake_onnx(monkeypatch):
    """Return a function that gives this process an onnxruntime with one provider more."""

    def give(provider):
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [provider, "CPUExecutionProvider"])
        monkeypatch.setattr("onnxruntime.InferenceSession", FakeOnnxSession)
        monkeypatch.setattr("processing.sessions.providers.preload_libraries", lambda: "")

    return give


@pytest.mark.parametrize("choice", ["best", "gpu", "cuda"])
def test_gpu_gets_what_it_can_run_and_the_cpu_the_rest(compact, fake_onnx, choice):
    fake_onnx("CUDAExecutionProvider")
    session = NativeSession(compact, choice)
    assert session.provider == "CUDAExecutionProvider"
    assert session._session.providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert not session._session.falls_back, "onnxruntime would print, and go on with the CPU"


@pytest.mark.parametrize(("provider", "at_once"), [("CUDAExecutionProvider", 2), ("DmlExecutionProvider", 1)])
def test_runs_take_turns_where_the_provider_allows_one(compact, fake_onnx, provider, at_once):
    fake_onnx(provider)
    session, both = NativeSession(compact, "gpu"), threading.Barrier(at_once)
    photo = types.SimpleNamespace(wait_for_the_other=lambda: both.wait(30))
    with ThreadPoolExecutor(2) as threads:
        for run in [threads.submit(session.predict, photo) for _ in range(2)]:
            run.result(30)
    assert session._session.most == at_once


def test_options_are_those_that_were_measured(compact):
    options = NativeSession(compact, "cpu")._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def test_run_in_flight_is_cancelled(endless, in_background):
    run = in_background(endless, TENSOR)
    run.wait_until_in_flight()
    assert isinstance(run.cancel(), Cancelled)


def test_model_is_not_run_when_the_token_is_already_cancelled(endless):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        endless.predict(TENSOR, token)  # would take hours


def test_cancelling_one_run_leaves_another_of_the_same_session_alone(endless, in_background):
    first, second = (in_background(endless, TENSOR) for _ in range(2))
    first.wait_until_in_flight()
    assert isinstance(first.cancel(), Cancelled)
    second.wait_until_in_flight()
    assert isinstance(second.cancel(), Cancelled)


def test_run_forgets_the_token_when_it_is_over(compact):
    token = CancelToken()
    NativeSession(compact).predict(prepare(ball()[0], compact), token)
    assert token._callbacks == []


@pytest.mark.parametrize(
    "tensor",
    [np.zeros((1, 3, 100, 100), np.float32), np.zeros((1, 3, 320, 320)), np.zeros((3, 320, 320), np.float32)],
    ids=["other size", "other type", "other rank"],
)
def test_input_that_does_not_fit_gives_a_model_error(compact, tensor):
    with pytest.raises(ModelError, match="The model failed on this image"):
        NativeSession(compact).predict(tensor)


@pytest.mark.parametrize(("text", "threads"), [("1", 1), ("3", 3), ("", 0), ("4,2", 0), ("many", 0)])
def test_environment_says_how_many_threads_one_inference_takes(compact, monkeypatch, text, threads):
    """As it does for rembg; workers of a batch are given their share this way."""
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    session = NativeSession(compact, "cpu")
    assert session._session.get_session_options().intra_op_num_threads == threads
