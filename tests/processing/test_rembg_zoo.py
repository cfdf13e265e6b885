"""A model run by one of rembg's own session classes: here the real one, with the built-in weights."""

import types
from dataclasses import replace

import numpy as np
import pytest
from images import SAMPLES, ball

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.images import decode
from processing.models import has_subject, prepare, to_alpha
from processing.pipeline import run
from processing.sessions import open_session
from processing.sessions.pool import SessionPool
from processing.sessions.providers import CPU, CUDA


@pytest.fixture(scope="module")
def zoo(rembg_row):
    return open_session(rembg_row)


def test_mask_has_the_size_of_the_image_and_shows_the_subject(zoo, rembg_row):
    picture, mask = ball(151, 201)
    raw = zoo.predict(picture)
    assert raw.shape == (1, 1, 151, 201)
    assert raw.dtype == np.float32
    assert (raw.min(), raw.max()) == (0, 1)
    assert has_subject(raw, rembg_row)
    assert ((raw[0, 0] > 0.5) & mask).sum() / ((raw[0, 0] > 0.5) | mask).sum() > 0.95


@pytest.mark.parametrize("value", [0, 128, 255])
def test_plain_picture_stays_empty_although_rembg_stretches_it(zoo, rembg_row, value):
    raw = zoo.predict(np.full((60, 80, 3), value, np.uint8))
    assert raw.shape == (1, 1, 60, 80)
    assert raw.max() == 0
    assert not has_subject(raw, rembg_row)


def test_provider_is_the_one_that_runs(zoo):
    assert zoo.provider == "CPUExecutionProvider"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_row_of_the_catalogue_gives_the_matte_that_rembg_gives(zoo, compact, path):
    """Two ways to the same matte: rembg's code, and our transforms with rembg's rules as a row.

    They differ where we resize otherwise: input averaged in blocks first, matte bicubic instead of Lanczos.
    """
    image = decode(path.read_bytes()).pixels
    row = replace(compact, scale="max", resample="lanczos", stretch=True, levels=(0.0, 1.0))
    ours = np.asarray(to_alpha(open_session(row).predict(prepare(image, row)), row, image.shape[:2]))
    theirs = zoo.predict(image)[0, 0]
    assert theirs.max() == 1
    assert np.abs(ours - theirs).mean() < 2 / 255


def test_run_in_flight_is_cancelled(rembg_home, rembg_row, endless_weights, in_background):
    weights = rembg_home / "endless.onnx"
    weights.write_bytes(endless_weights.read_bytes())
    session = open_session(replace(rembg_row, name="endless", weights=weights, sha256="", size_bytes=0))
    run = in_background(session, ball(32, 32)[0])
    run.wait_until_in_flight()
    assert isinstance(run.cancel(), Cancelled)


def test_model_is_not_run_when_the_token_is_already_cancelled(zoo):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        zoo.predict(ball()[0], token)


def test_run_forgets_the_token_when_it_is_over(zoo):
    token = CancelToken()
    zoo.predict(ball()[0], token)
    assert token._callbacks == []


def test_pipeline_runs_a_rembg_model_like_any_other(zoo, rembg_row, ball_file, monkeypatch):
    monkeypatch.setattr("processing.pipeline.find_model", lambda name: rembg_row)
    result = run(ball_file.read_bytes(), pool=SessionPool(lambda spec, provider: zoo))
    _, mask = ball()
    assert result.subject_found
    assert result.alpha.shape == mask.shape
    assert ((result.alpha > 0.5) & mask).sum() / ((result.alpha > 0.5) | mask).sum() > 0.95


def test_session_that_rembg_does_not_have_is_refused(rembg_row):
    with pytest.raises(
        ModelError, match="rembg cannot load 'u3net' for 'zoo': No session class found for model 'u3net'"
    ):
        open_session(replace(rembg_row, session="u3net"))


def test_weights_outside_rembgs_model_folder_are_refused(rembg_row, compact):
    with pytest.raises(ModelError, match="rembg cannot load 'u2net_custom' for 'zoo': model_path must be within"):
        open_session(replace(rembg_row, weights=compact.weights))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "The weights of 'zoo' are not at "),
        (b"Dear diary, today I was a model.", "rembg cannot load 'u2net_custom'"),
    ],
    ids=["missing", "no model"],
)
def test_weights_that_cannot_be_loaded_give_a_model_error(rembg_home, rembg_row, content, sentence):
    weights = rembg_home / "broken.onnx"
    weights.unlink(missing_ok=True)
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        open_session(replace(rembg_row, weights=weights, sha256="", size_bytes=0))


def test_options_are_those_of_our_own_sessions(zoo):
    options = zoo._session.inner_session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert not options.enable_mem_pattern


class FakeNetwork:
    """A network that runs on what it likes."""

    def __init__(self, *providers):
        self.providers, self.falls_back = providers, True

    def get_providers(self):
        return list(self.providers)

    def disable_fallback(self):
        self.falls_back = False


@pytest.fixture
def segment_anything(monkeypatch):
    """Return a function that puts a session of two networks in place of rembg's; it takes no notice of providers."""

    def give(encoder, decoder):
        networks = types.SimpleNamespace(encoder=FakeNetwork(*encoder), decoder=FakeNetwork(*decoder))
        monkeypatch.setattr("rembg.new_session", lambda name, **options: networks)
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
        monkeypatch.setattr("processing.sessions.providers.preload_libraries", lambda: "")
        return networks

    return give


def test_session_that_takes_no_providers_is_asked_what_runs_it(segment_anything, rembg_row):
    networks = segment_anything([CUDA, CPU], [CUDA, CPU])
    assert open_session(rembg_row, "gpu").provider == CUDA
    assert not networks.encoder._session.falls_back


@pytest.mark.parametrize("encoder", [[CPU], [CUDA, CPU]], ids=["both on the CPU", "one on the CPU"])
def test_gpu_that_a_session_takes_no_notice_of_is_refused(segment_anything, rembg_row, encoder):
    segment_anything(encoder, [CPU])
    with pytest.raises(ModelError, match=f"{CUDA} did not load, {CPU} loaded in its place"):
        open_session(rembg_row, "gpu")


def test_best_takes_a_session_that_takes_no_notice(segment_anything, rembg_row):
    segment_anything([CPU], [CPU])
    assert open_session(rembg_row, "best").provider == CPU


def test_image_that_does_not_fit_gives_a_model_error(zoo):
    with pytest.raises(ModelError, match="The model failed on this image"):
        zoo.predict(np.zeros((4, 4, 7), np.uint8))
