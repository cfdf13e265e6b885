"""A model run by onnxruntime directly."""

import hashlib
import logging
from dataclasses import replace

import numpy as np
import pytest
from images import ball

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.models import prepare
from processing.sessions.native import NativeSession


@pytest.fixture
def endless(compact, endless_weights):
    return NativeSession(replace(compact, name="endless", weights=endless_weights, sha256=""))


TENSOR = np.zeros((1, 3, 8, 8), np.float32)


def test_missing_weights_say_where_they_should_be_and_how_to_get_them(compact, tmp_path):
    with pytest.raises(ModelError, match=r"weights of 'compact' are not at .*gone\.onnx: No such file.*git checkout"):
        NativeSession(replace(compact, weights=tmp_path / "gone.onnx"))


def test_damaged_weights_are_not_loaded(compact, tmp_path):
    data = bytearray(compact.weights.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged: their SHA-256 is not the one in catalogue\.toml\. .*git checkout"):
        NativeSession(replace(compact, weights=damaged))


@pytest.mark.parametrize("checksum_known", [True, False])
def test_file_that_is_no_model_is_refused(compact, tmp_path, checksum_known):
    weights = tmp_path / "diary.onnx"
    weights.write_bytes(b"Dear diary, today I was a model.")
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if checksum_known else ""
    with pytest.raises(ModelError, match="weights of 'compact' cannot be loaded: ") as refusal:
        NativeSession(replace(compact, weights=weights, sha256=sha256))
    assert refusal.value.__cause__ is not None


def test_provider_is_the_one_that_runs(compact):
    assert NativeSession(compact, ["CPUExecutionProvider"]).provider == "CPUExecutionProvider"


def test_provider_that_is_not_installed_is_passed_over(compact):
    assert (
        NativeSession(compact, ["NoSuchExecutionProvider", "CPUExecutionProvider"]).provider == "CPUExecutionProvider"
    )


@pytest.mark.filterwarnings("ignore:Specified provider")  # onnxruntime's own; a build with CUDA would not say it
def test_provider_that_fails_to_start_is_logged(compact, monkeypatch, caplog):
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr("onnxruntime.InferenceSession.get_providers", lambda session: ["CPUExecutionProvider"])
    with caplog.at_level(logging.WARNING):
        session = NativeSession(compact)
    assert session.provider == "CPUExecutionProvider"
    assert "CUDAExecutionProvider was asked for, CPUExecutionProvider runs compact" in caplog.text


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
    session = NativeSession(compact, ["CPUExecutionProvider"])
    assert session._session.get_session_options().intra_op_num_threads == threads
