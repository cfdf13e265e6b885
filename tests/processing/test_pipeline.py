"""The whole flow: bytes of a photo in, `Result` out."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest
from contracts import PLAIN, FakeSession
from images import DATA, SAMPLES, ball, figure, file_of, gradient, noise
from PIL import Image

from processing.cancellation import CancelToken
from processing.encoders import ENCODERS
from processing.errors import Cancelled, EncodingError, ImageError, ModelError, RecipeError
from processing.images import DecodeLimits, decode
from processing.pipeline import remove_background, run, run_async
from processing.recipe import Recipe
from processing.sessions.pool import SessionPool, default_pool
from processing.store import ArtifactStore

STEPS = ["Reading the photo", "Loading the model", "Finding the subject", "Refining the edges", "Cutting out"]


def pool_of(raw) -> SessionPool:
    return SessionPool(lambda spec, provider: FakeSession(raw))


def unused_pool() -> SessionPool:
    return SessionPool(lambda spec, provider: pytest.fail("a model was loaded"))


# With the built-in model


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_photo_gets_a_cutout_of_its_size(path):
    with Image.open(path) as photo:
        width, height = photo.size
    result = remove_background(path)
    assert result.subject_found
    assert result.alpha.shape == (height, width)
    assert result.alpha.dtype == np.float32
    assert (result.alpha.min(), result.alpha.max()) == (0, 1)
    assert result.cutout.size == (width, height)
    assert result.cutout.mode == "RGBA"
    assert result.provider.endswith("ExecutionProvider")
    assert result.source.name == path.name


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (17, 1), (33, 77), (321, 319), (2, 2000)])
def test_cutout_is_as_large_as_the_photo(size):
    result = remove_background(noise(*size))
    assert result.alpha.shape == size
    assert result.pixels.shape == (*size, 4)


@pytest.mark.parametrize("draw", [ball, figure])
def test_subject_of_a_drawn_picture_is_found(draw):
    """Measured: IoU 0.995 and 0.993, mean absolute error 0.0017 and 0.0032."""
    picture, mask = draw()
    alpha = remove_background(picture).alpha
    assert ((alpha > 0.5) & mask).sum() / ((alpha > 0.5) | mask).sum() > 0.98
    assert np.abs(alpha - mask).mean() < 0.01


@pytest.mark.parametrize("value", [0, 128, 255])
def test_plain_picture_has_no_subject_and_an_empty_matte(value):
    result = remove_background(np.full((60, 80, 3), value, np.uint8))
    assert not result.subject_found
    assert result.alpha.dtype == np.float32
    assert (result.alpha == 0).all()
    assert (result.pixels == 0).all()


def test_runs_at_the_same_time_do_not_mix():
    pictures = [ball()[0], figure()[0], np.ascontiguousarray(ball()[0][:, ::-1])]
    alone = [remove_background(picture).alpha for picture in pictures]
    together = [None] * len(pictures)

    def work(i):
        together[i] = remove_background(pictures[i]).alpha

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, alpha in zip(alone, together, strict=True):
        np.testing.assert_array_equal(alpha, expected)


# With a known mask in place of a model


def test_matte_is_what_the_model_gave():
    picture, mask = ball(51, 73)
    result = run(file_of(picture), Recipe(**PLAIN), pool=pool_of(mask))
    np.testing.assert_array_equal(result.alpha, mask.astype(np.float32))
    np.testing.assert_array_equal(result.pixels[mask], np.dstack([picture, np.full_like(picture[..., 0], 255)])[mask])
    assert (result.pixels[~mask] == 0).all()
    assert result.provider == "FakeProvider"


def test_matte_follows_the_levels_of_the_models_row(compact):
    assert compact.levels == (0.1, 0.9)
    result = run(file_of(noise(1, 4)), Recipe(**PLAIN), pool=pool_of([[0.05, 0.3, 0.5, 0.95]]))
    np.testing.assert_allclose(result.alpha, [[0, 0.25, 0.5, 1]], atol=1e-6)


def test_transparency_of_the_photo_multiplies_in():
    pixels = np.full((1, 4, 4), 200, np.uint8)
    pixels[0, :, 3] = [255, 51, 0, 255]
    result = run(file_of(pixels), Recipe(**PLAIN), pool=pool_of([[1.0, 1.0, 1.0, 0.0]]))
    np.testing.assert_allclose(result.alpha, [[1, 0.2, 0, 0]], atol=1e-6)
    np.testing.assert_array_equal(result.pixels[..., 3], [[255, 51, 0, 0]])


@pytest.mark.parametrize("peak", [0.0, 0.64])
def test_output_without_a_subject_gives_an_empty_cutout(peak):
    result = run(file_of(noise(2, 2)), pool=pool_of([[0.0, peak], [0.0, 0.0]]))
    assert result.subject_found is False
    assert (result.alpha == 0).all()
    assert (result.pixels == 0).all()


def test_result_keeps_every_value_on_the_way(compact):
    picture, mask = ball(30, 40)
    data = file_of(picture)
    result = run(data, name="ball.png", pool=pool_of(mask))
    assert result.source.data == data
    assert result.source.name == "ball.png"
    assert result.tensor.shape == (1, 3, 320, 320)
    np.testing.assert_array_equal(result.raw[0, 0], mask)
    assert result.model == compact


def test_every_step_is_timed():
    timings = run(file_of(noise(4, 4)), pool=pool_of([[1.0]])).timings_s
    assert list(timings) == ["decode", "load", "predict", "matte", "cut"]
    assert all(seconds >= 0 for seconds in timings.values())


def test_progress_tells_each_step_as_it_begins():
    told = []
    run(file_of(noise(4, 4)), pool=pool_of([[1.0]]), progress=lambda step, fraction: told.append((step, fraction)))
    assert list(dict.fromkeys(step for step, _ in told)) == STEPS
    fractions = [fraction for _, fraction in told]
    assert fractions[0] == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


@pytest.mark.parametrize("step", STEPS)
def test_run_that_is_cancelled_as_a_step_begins_gives_nothing(step):
    token, told = CancelToken(), []

    def progress(begun, fraction):
        told.append(begun)
        if begun == step:
            token.cancel()

    with pytest.raises(Cancelled):
        run(file_of(noise(4, 4)), pool=pool_of([[1.0]]), progress=progress, cancel=token)
    assert list(dict.fromkeys(told)) == STEPS[: STEPS.index(step) + 1]


@pytest.fixture
def every_tick(monkeypatch):
    monkeypatch.setattr("processing.steps._REPORT_EVERY_S", 0)
    monkeypatch.setattr("processing.steps._REPEAT_AFTER_S", 60)


LARGE = file_of(noise(1500, 1000), "JPEG", quality=95)


@pytest.mark.usefixtures("every_tick")
@pytest.mark.parametrize("step", ["Reading the photo", "Finding the subject", "Cutting out"])
def test_large_photo_reports_within_a_step(step):
    told = []
    run(LARGE, pool=pool_of([[1.0]]), progress=lambda step, fraction: told.append((step, fraction)))
    within = [fraction for each, fraction in told if each == step]
    assert len(set(within)) >= 4
    assert within == sorted(within)


@pytest.mark.usefixtures("every_tick")
@pytest.mark.parametrize("step", ["Reading the photo", "Finding the subject", "Cutting out"])
def test_run_that_is_cancelled_within_a_step_stops_there(step):
    token, told = CancelToken(), []

    def progress(begun, fraction):
        told.append(begun)
        if told.count(step) == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        run(LARGE, pool=pool_of([[1.0]]), progress=progress, cancel=token)
    assert told[-1] == step
    assert told.count(step) == 3


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_quick_way_gives_what_the_plain_way_gives(path, compact):
    """Plain: the whole photo resized at once, the whole matte enlarged at once by Pillow, arrays of all pixels."""
    with Image.open(path) as sample:
        photo = np.asarray(sample.convert("RGB").resize((1501, 1999), Image.Resampling.BICUBIC))
    result = remove_background(photo, **PLAIN)

    def plain_alpha(tensor):
        raw = default_pool().get(compact).predict(tensor)[0, 0]
        low, high = compact.levels
        matte = Image.fromarray(np.clip((raw - low) / (high - low), 0, 1).astype(np.float32))
        return np.clip(np.asarray(matte.resize((1501, 1999), Image.Resampling.BICUBIC)), 0, 1)

    np.testing.assert_allclose(result.alpha, plain_alpha(result.tensor), atol=1 / 255)
    squeezed = np.asarray(Image.fromarray(photo).resize((320, 320), Image.Resampling.BILINEAR), np.float64) / 255
    tensor = ((squeezed - compact.mean) / compact.std).transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    alpha = plain_alpha(tensor)
    difference = np.abs(result.alpha - alpha)
    assert difference.mean() <= 1 / 255
    # One step of 255 in the model's input moves a pixel of which the model is unsure by more; those are few.
    assert np.quantile(difference, 0.95) <= 4 / 255
    shown = (result.pixels[..., 3] > 0) & (alpha > 0.01)
    np.testing.assert_array_equal(result.pixels[shown][:, :3], photo[shown])
    assert (result.pixels[result.pixels[..., 3] == 0] == 0).all()


def test_inference_in_flight_hears_of_the_cancelling():
    token = CancelToken()

    class Slow(FakeSession):
        def predict(self, tensor, cancel=None):
            token.cancel()  # as somebody does while it runs
            cancel.raise_if_cancelled()
            pytest.fail("the inference went on")

    with pytest.raises(Cancelled):
        run(file_of(noise(4, 4)), pool=SessionPool(lambda spec, provider: Slow([[1.0]])), cancel=token)


def test_run_that_is_cancelled_before_it_begins_does_nothing():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        run(b"not even a photo", progress=lambda *_: pytest.fail("a step began"), cancel=token)


def test_run_keeps_a_copy_of_the_recipe():
    live = Recipe(background="white")
    result = run(file_of(noise(2, 2)), live, pool=pool_of([[1.0]]))
    live.background = "black"
    assert result.recipe.background == "white"


def test_run_follows_its_limits():
    with pytest.raises(ImageError, match=r"mine\.png is 20 x 10 pixels"):
        run(file_of(noise(10, 20)), name="mine.png", limits=DecodeLimits(max_megapixels=0.0001), pool=unused_pool())


def test_output_that_cannot_be_written_is_refused_before_the_work():
    with pytest.raises(EncodingError, match="JPEG cannot store a transparent background"):
        run(b"not even a photo", Recipe(format="jpeg"), progress=lambda *_: pytest.fail("a step began"))


def test_photo_that_cannot_be_read_is_refused_before_the_model_is_loaded():
    with pytest.raises(ImageError, match="not a photo"):
        run(b"not even a photo", pool=unused_pool())


def test_model_that_cannot_be_loaded_ends_the_run():
    def fail(spec, provider):
        raise ModelError("The weights are not there.")

    with pytest.raises(ModelError, match="not there"):
        run(file_of(noise(4, 4)), pool=SessionPool(fail))


# Sizes, transparency and formats of the photo


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_thinnest_photos_go_through_with_the_built_in_model(size):
    result = remove_background(noise(*size))
    assert result.alpha.shape == size
    assert np.isfinite(result.alpha).all()


@pytest.mark.parametrize("format", ENCODERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_thinnest_photos_go_through_to_every_file_and_the_store(artifacts, size, format):
    recipe = Recipe(format=format, background="white" if format == "jpeg" else "transparent")
    result = run(file_of(noise(*size)), recipe, pool=pool_of([[1.0]]))
    store = ArtifactStore(artifacts)
    record = store.save(result)
    assert (record.source["height"], record.source["width"]) == size
    with Image.open(store.path(record, "result")) as image:
        image.load()
        assert image.size == size[::-1]
    np.testing.assert_array_equal(store.load(record).alpha, result.alpha)


@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
)
def test_transparency_of_the_photo_multiplies_into_every_alpha(format, options, compact):
    own = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    photo = np.dstack([noise(256, 256), own])
    levels = np.linspace(*compact.levels, 256)[:, np.newaxis] * np.ones((1, 256))
    result = run(file_of(photo, format, **options), Recipe(**PLAIN), pool=pool_of(levels))
    expected = np.outer(np.linspace(0, 1, 256), np.arange(256) / 255)
    np.testing.assert_allclose(result.alpha, expected, atol=1e-5)
    assert np.abs(result.pixels[..., 3] - 255 * expected).max() <= 0.51
    visible = result.pixels[..., 3] > 0
    np.testing.assert_array_equal(result.pixels[visible, :3], photo[visible, :3])


def test_transparency_of_a_heic_photo_multiplies_in(compact):
    source_alpha = decode((DATA / "transparent.heic").read_bytes()).alpha
    result = run((DATA / "transparent.heic").read_bytes(), Recipe(**PLAIN), pool=pool_of([[0.7]]))
    low, high = compact.levels
    np.testing.assert_allclose(result.alpha, source_alpha / 255 * (0.7 - low) / (high - low), atol=1e-5)


def test_transparency_of_a_gif_multiplies_in():
    image = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8), "L").convert("P")
    result = run(file_of(image, "GIF", transparency=1), pool=pool_of([[1.0]]))
    np.testing.assert_array_equal(result.alpha, [[1, 0, 1, 0]])


# With an earlier result


class CountingSession(FakeSession):
    """Counts what it is asked."""

    def __init__(self, raw) -> None:
        super().__init__(raw)
        self.runs = 0

    def predict(self, tensor, cancel=None):
        self.runs += 1
        return super().predict(tensor, cancel)


@pytest.fixture
def decoded(monkeypatch):
    """Return the list of names of the photos that are decoded from here on."""
    names = []

    def spy(data, *, name, **options):
        names.append(name)
        return decode(data, name=name, **options)

    monkeypatch.setattr("processing.pipeline.decode", spy)
    return names


PHOTO = file_of(ball(30, 40)[0])
OTHER_PHOTO = file_of(figure(40, 30)[0])


@pytest.fixture
def previous():
    return run(PHOTO, Recipe(background="white"), name="first.png", pool=pool_of(ball(30, 40)[1]))


def test_same_photo_and_model_are_neither_decoded_nor_run_again(previous, decoded):
    result = run(PHOTO, Recipe(format="webp"), previous=previous, pool=unused_pool())
    assert decoded == []
    assert result.alpha is previous.alpha
    assert result.pixels is previous.pixels
    assert result.source is previous.source
    assert result.provider == previous.provider
    assert result.timings_s == {}


def test_same_photo_and_another_model_are_run_but_not_decoded_again(previous, decoded, compact):
    of_another_model = replace(previous, model=replace(compact, name="another"))
    session = CountingSession([[1.0]])
    result = run(PHOTO, previous=of_another_model, pool=SessionPool(lambda spec, provider: session))
    assert (decoded, session.runs) == ([], 1)
    assert result.source is previous.source
    assert result.model == compact
    assert (result.alpha == 1).all()


def test_same_model_with_other_levels_is_another_model(previous, decoded, compact):
    of_other_levels = replace(previous, model=replace(compact, levels=(0.0, 1.0)))
    session = CountingSession([[1.0]])
    run(PHOTO, previous=of_other_levels, pool=SessionPool(lambda spec, provider: session))
    assert (decoded, session.runs) == ([], 1)


def test_other_provider_runs_the_model_again(previous, decoded):
    asked = []

    def open_one(spec, provider):
        asked.append(provider)
        return CountingSession([[1.0]])

    pool = SessionPool(open_one)
    result = run(PHOTO, Recipe(provider="cpu"), previous=previous, pool=pool)
    assert (decoded, asked) == ([], ["cpu"])
    assert (result.alpha == 1).all()
    assert result.recipe.provider == "cpu"
    assert result.provider == "FakeProvider", "what ran, not what was asked for"
    again = run(PHOTO, Recipe(provider="cpu", format="webp"), previous=result, pool=unused_pool())
    assert again.provider == "FakeProvider"


def test_gpu_that_is_asked_for_and_not_there_ends_the_run(monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"'gpu' \(any of cuda, .*\) was asked for and does not run"):
        run(PHOTO, Recipe(provider="gpu"), pool=SessionPool())


def test_another_photo_is_decoded_and_run(previous, decoded):
    session = CountingSession([[1.0]])
    result = run(OTHER_PHOTO, name="second.png", previous=previous, pool=SessionPool(lambda spec, provider: session))
    assert (decoded, session.runs) == (["second.png"], 1)
    assert result.source.size == (40, 30)
    assert result.source.name == "second.png"


def test_run_without_an_earlier_result_does_everything(decoded):
    session = CountingSession([[1.0]])
    run(PHOTO, pool=SessionPool(lambda spec, provider: session))
    assert (decoded, session.runs) == (["photo"], 1)


@pytest.mark.parametrize("data", [PHOTO, OTHER_PHOTO], ids=["same photo", "another photo"])
def test_recipe_of_a_restarted_run_is_the_new_one(previous, data):
    asked = Recipe(format="webp", background="#102030", quality=70, long_side=20)
    result = run(data, asked, previous=previous, pool=pool_of([[1.0]]))
    assert result.recipe.as_dict() == asked.as_dict()
    assert result.recipe is not asked
    assert previous.recipe.background == "white"


def test_restarted_run_writes_what_a_fresh_one_writes(previous):
    asked = Recipe(background="#102030")
    again = run(PHOTO, asked, previous=previous, pool=unused_pool())
    fresh = run(PHOTO, asked, pool=pool_of(ball(30, 40)[1]))
    assert again.encode().data == fresh.encode().data


def test_restarted_run_still_refuses_an_output_that_cannot_be_written(previous):
    with pytest.raises(EncodingError, match="JPEG cannot store a transparent background"):
        run(PHOTO, Recipe(format="jpeg"), previous=previous, pool=unused_pool())


def test_result_from_the_store_works_as_the_earlier_one(previous, decoded, artifacts):
    store = ArtifactStore(artifacts)
    stored = store.load(store.save(previous))
    result = run(PHOTO, Recipe(format="webp"), previous=stored, pool=unused_pool())
    assert decoded == []
    np.testing.assert_array_equal(result.pixels, previous.pixels)
    assert result.recipe.format == "webp"
    assert store.load(store.save(result)).recipe.as_dict() == result.recipe.as_dict()


# The front door


def test_remove_background_takes_a_photo_in_every_form(tmp_path):
    picture, _ = ball(60, 80)
    path = tmp_path / "ball.png"
    path.write_bytes(file_of(picture))
    expected = remove_background(path).pixels
    for form in (str(path), path.read_bytes(), Image.fromarray(picture), picture):
        np.testing.assert_array_equal(remove_background(form).pixels, expected)


def test_remove_background_takes_single_options():
    result = remove_background(gradient(8, 8), format="webp", background="white")
    assert result.recipe.as_dict() == {**Recipe().as_dict(), "format": "webp", "background": "white"}


def test_single_options_win_over_the_recipe_and_leave_it_alone():
    recipe = Recipe(format="webp", background="black")
    result = remove_background(gradient(8, 8), recipe, background="white")
    assert (result.recipe.format, result.recipe.background) == ("webp", "white")
    assert recipe.background == "black"


@pytest.mark.parametrize(
    ("options", "telling"), [({"formt": "png"}, "Unknown option 'formt'"), ({"format": "gif"}, "gif")]
)
def test_remove_background_refuses_a_bad_option(options, telling):
    with pytest.raises(RecipeError, match=telling):
        remove_background(gradient(8, 8), **options)


# Where decoding and inference are waited for


class WaitingEngine:
    """Decodes and predicts as the native driver does, but only after the event loop had its turn."""

    def __init__(self, session) -> None:
        self.session, self.provider, self.opened = session, session.provider, []

    async def decode(self, data, name, limits, tick):
        await asyncio.sleep(0)
        return decode(data, name=name, limits=limits, tick=tick)

    async def open(self, spec, tick):
        self.opened.append(spec.name)
        return self

    async def predict(self, tensor, cancel=None):
        await asyncio.sleep(0)
        cancel.raise_if_cancelled()
        return self.session.predict(tensor, cancel)


def test_both_drivers_give_the_same():
    raw = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    told = {"run": [], "run_async": []}
    one = run(PHOTO, Recipe(format="webp"), pool=pool_of(raw), progress=lambda *step: told["run"].append(step))
    engine = WaitingEngine(FakeSession(raw))
    other = asyncio.run(
        run_async(PHOTO, Recipe(format="webp"), engine=engine, progress=lambda *step: told["run_async"].append(step))
    )
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.alpha, other.alpha)
    assert (one.recipe.as_dict(), one.provider, one.model) == (other.recipe.as_dict(), other.provider, other.model)
    assert list(one.timings_s) == list(other.timings_s)
    assert list(dict(told["run"])) == list(dict(told["run_async"])) == STEPS
    assert engine.opened == ["compact"]


def test_a_waiting_run_starts_where_something_changed_and_can_be_cancelled():
    engine = WaitingEngine(FakeSession(np.ones((8, 8), np.float32)))
    first = asyncio.run(run_async(PHOTO, engine=engine))
    again = asyncio.run(run_async(PHOTO, Recipe(format="webp"), engine=None, previous=first))
    assert again.pixels is first.pixels
    assert again.recipe.format == "webp"
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        asyncio.run(run_async(PHOTO, engine=engine, cancel=cancel))


# Whose models may be used for what


def test_non_commercial_weights_need_a_word(ball_file):
    with pytest.raises(
        ModelError, match=r"'bria-rmbg' are for non-commercial use only \(CC BY-NC 4\.0\).*--non-commercial"
    ):
        remove_background(ball_file, model="bria-rmbg")


def test_licence_travels_into_the_record(ball_file, artifacts):
    record = ArtifactStore(artifacts).save(remove_background(ball_file))
    assert record.model["licence"] == "MIT"
    assert record.model["commercial_use"] == "unclear"
    assert record.model["attribution"] == "The Cutout authors."
    assert record.recipe["non_commercial"] is False
