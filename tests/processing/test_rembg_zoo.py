"""A model run by one of rembg's own session classes: here the real one, with the built-in weights."""

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
    row = replace(compact, scale="max", stretch=True, levels=(0.0, 1.0))
    ours = np.asarray(to_alpha(open_session(row).predict(prepare(image, row)), row, image.shape[:2]))
    theirs = zoo.predict(image)[0, 0]
    assert theirs.max() == 1
    assert np.abs(ours - theirs).mean() < 2 / 255


def test_run_in_flight_is_cancelled(rembg_home, rembg_row, endless_weights, in_background):
    weights = rembg_home / "endless.onnx"
    weights.write_bytes(endless_weights.read_bytes())
    session = open_session(replace(rembg_row, name="endless", weights=weights))
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
    result = run(ball_file.read_bytes(), pool=SessionPool(lambda spec: zoo))
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


@pytest.mark.parametrize("content", [None, b"Dear diary, today I was a model."], ids=["missing", "no model"])
def test_weights_that_cannot_be_loaded_give_a_model_error(rembg_home, rembg_row, content):
    weights = rembg_home / "broken.onnx"
    weights.unlink(missing_ok=True)
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(ModelError, match="rembg cannot load 'u2net_custom' for 'zoo': "):
        open_session(replace(rembg_row, weights=weights))


def test_image_that_does_not_fit_gives_a_model_error(zoo):
    with pytest.raises(ModelError, match="The model failed on this image"):
        zoo.predict(np.zeros((4, 4, 7), np.uint8))
