"""What every entry of a table must do: models, sessions and encoders.

A contract is a class of tests. A test file subclasses it and gives the fixtures it names, parametrised over the table,
so a new entry is tested without a new test.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from images import ball
from PIL import ExifTags, Image, ImageCms

from processing.cancellation import CancelToken
from processing.composite import over
from processing.encoders import ENCODERS, Encoder, check_output, encode, find_encoder
from processing.errors import Cancelled, EncodingError, ModelError, RecipeError
from processing.models import ModelSpec, has_subject, load_catalogue, prepare, to_alpha
from processing.models.spec import COMMERCIAL_USE, SUBJECTS
from processing.sessions import RUNTIMES, Session, open_session

#: A recipe that leaves the model's matte and the photo's colours as they are.
PLAIN = {"refine": "none", "clean_colours": False}


class FakeSession:
    """A session that gives the same raw output whatever it is shown; it keeps the contract too."""

    provider = "FakeProvider"

    def __init__(self, raw: np.ndarray) -> None:
        self.raw = np.asarray(raw, np.float32).reshape(1, 1, *np.shape(raw)[-2:])

    def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        (cancel or CancelToken()).raise_if_cancelled()
        return self.raw


class RowContract:
    """What each row of the catalogue promises. Fixture: `spec`."""

    def test_row_tells_people_what_the_model_is_and_may_be_used_for(self, spec: ModelSpec):
        assert spec.title
        assert spec.about.endswith(".")
        assert "unknown" not in (spec.licence, spec.code_licence)
        assert spec.commercial_use in COMMERCIAL_USE
        assert set(spec.subjects) <= set(SUBJECTS)
        assert spec.subjects
        assert spec.wait_s > 0
        assert spec.caveat.endswith(".")
        assert spec.attribution.endswith(".")

    def test_numbers_of_the_row_make_sense(self, spec: ModelSpec):
        assert spec.runtime in RUNTIMES
        assert (spec.input_size is None) == (spec.runtime == "rembg")
        assert spec.scale in ("255", "max")
        assert spec.activation in ("", "sigmoid")
        assert 0 <= spec.levels[0] < spec.levels[1] <= 1
        assert 0 < spec.empty_below < 1
        assert all(value > 0 for value in spec.std)

    def test_every_file_can_be_checked(self, spec: ModelSpec):
        for file in spec.files:
            assert file.sha256 or file.md5 or spec.made_from
            assert re.fullmatch("[0-9a-f]{64}|", file.sha256)
            assert re.fullmatch("[0-9a-f]{32}|", file.md5)

    def test_files_come_from_somewhere(self, spec: ModelSpec):
        assert (
            spec.is_built_in
            or spec.made_from in load_catalogue()
            or all(file.url.startswith("https://") for file in spec.files)
        )


class ModelContract(RowContract):
    """What each built-in model promises. Fixture: `spec`."""

    def test_weights_are_the_file_that_the_row_describes(self, spec: ModelSpec):
        weights = spec.weights.read_bytes()
        assert len(weights) == spec.size_bytes
        assert hashlib.sha256(weights).hexdigest() == spec.sha256

    def test_card_named_in_the_row_exists(self, spec: ModelSpec):
        assert spec.card is not None
        assert spec.card.is_file()

    def test_model_finds_the_subject_of_a_clear_picture(self, spec: ModelSpec):
        picture, mask = ball()
        raw = open_session(spec).predict(prepare(picture, spec))
        assert has_subject(raw, spec)
        found = np.asarray(to_alpha(raw, spec, mask.shape)) > 0.5
        assert (found & mask).sum() / (found | mask).sum() > 0.9

    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_model_finds_nothing_on_a_plain_picture(self, spec: ModelSpec, value):
        plain = np.full((90, 120, 3), value, np.uint8)
        assert not has_subject(open_session(spec).predict(prepare(plain, spec)), spec)

    def test_damaged_weights_are_refused(self, spec: ModelSpec, tmp_path):
        damaged = tmp_path / "weights.onnx"
        damaged.write_bytes(b"not a model")
        with pytest.raises(ModelError):
            open_session(replace(spec, weights=damaged))


class SessionContract:
    """What each runtime promises. Fixtures: `session` and `tensor`, an input that the session takes."""

    def test_predict_gives_one_matte_in_range(self, session: Session, tensor):
        raw = session.predict(tensor)
        assert raw.dtype == np.float32
        assert raw.ndim == 4
        assert raw.shape[:2] == (1, 1)
        assert raw.min() >= 0
        assert raw.max() <= 1

    def test_predict_leaves_its_input_alone(self, session: Session, tensor):
        before = tensor.copy()
        session.predict(tensor)
        np.testing.assert_array_equal(tensor, before)

    def test_predict_repeats_itself(self, session: Session, tensor):
        np.testing.assert_array_equal(session.predict(tensor), session.predict(tensor))

    def test_threads_that_share_a_session_do_not_mix_their_results(self, session: Session, tensor):
        inputs = [tensor, np.ascontiguousarray(tensor[..., ::-1]), np.zeros_like(tensor)]
        alone = [session.predict(each) for each in inputs]
        start = threading.Barrier(len(inputs))

        def predict(each):
            start.wait(30)
            return [session.predict(each) for _ in range(3)]

        with ThreadPoolExecutor(len(inputs)) as threads:
            for expected, results in zip(alone, threads.map(predict, inputs), strict=True):
                for result in results:
                    np.testing.assert_array_equal(result, expected)

    def test_provider_is_named(self, session: Session):
        assert session.provider.endswith("Provider")

    def test_token_that_is_already_cancelled_stops_the_run(self, session: Session, tensor):
        token = CancelToken()
        token.cancel()
        with pytest.raises(Cancelled):
            session.predict(tensor, token)

    def test_session_works_again_after_a_cancelled_run(self, session: Session, tensor):
        expected = session.predict(tensor)
        token = CancelToken()
        token.cancel()
        with pytest.raises(Cancelled):
            session.predict(tensor, token)
        np.testing.assert_array_equal(session.predict(tensor, CancelToken()), expected)


def example_cutout() -> np.ndarray:
    """Return a smooth picture with every alpha from 0 to 255, no colour under alpha 0; odd sides."""
    picture, _ = ball(61, 255)
    alpha = np.tile(np.arange(255, dtype=np.uint8), (61, 1))
    alpha[20:30] = 255
    cutout = np.dstack([picture, alpha])
    cutout[alpha == 0] = 0
    return cutout


def encoded_and_opened(encoder: Encoder, cutout: np.ndarray, background: str, **options) -> Image.Image:
    encoded = encode(cutout, encoder.name, background, **options)
    assert (encoded.media_type, encoded.suffix) == (encoder.media_type, encoder.suffix)
    image = Image.open(io.BytesIO(encoded.data))
    image.load()
    return image


class EncoderContract:
    """What each output format promises. Fixture: `encoder`."""

    @pytest.fixture
    def background(self, encoder: Encoder) -> str:
        """Return a background that the format can store."""
        return "transparent" if encoder.keeps_alpha else "white"

    def test_file_is_of_its_type_and_as_large_as_the_cutout(self, encoder: Encoder, background):
        image = encoded_and_opened(encoder, example_cutout(), background)
        assert Image.MIME[image.format] == encoder.media_type
        assert image.size == (255, 61)

    def test_one_pixel_can_be_written(self, encoder: Encoder, background):
        one = np.full((1, 1, 4), 255, np.uint8)
        assert encoded_and_opened(encoder, one, background).size == (1, 1)

    @pytest.mark.parametrize(("long_side", "size"), [(51, (51, 12)), (1, (1, 1)), (255, (255, 61)), (999, (255, 61))])
    def test_file_is_reduced_to_the_long_side_and_never_enlarged(self, encoder: Encoder, background, long_side, size):
        image = encoded_and_opened(encoder, example_cutout(), background, long_side=long_side)
        assert image.size == size

    def test_cutout_is_left_alone(self, encoder: Encoder, background):
        cutout = example_cutout()
        encode(cutout, encoder.name, background, long_side=20)
        np.testing.assert_array_equal(cutout, example_cutout())

    def test_larger_side_than_the_format_stores_is_refused_before_writing(
        self, encoder: Encoder, monkeypatch, background
    ):
        limited = replace(encoder, max_side=40, write=lambda *_: pytest.fail("the picture was written"))
        monkeypatch.setitem(ENCODERS, encoder.name, limited)
        for shape in ((41, 3, 4), (3, 41, 4)):
            with pytest.raises(EncodingError, match="at most 40 pixels a side"):
                encode(np.full(shape, 255, np.uint8), encoder.name, background)

    def test_encoder_is_found_by_its_name_in_any_case(self, encoder: Encoder, background):
        assert find_encoder(encoder.name) is find_encoder(encoder.name.upper()) is encoder
        assert check_output(encoder.name, background) is encoder

    def test_some_encoder_is_found_by_the_suffix(self, encoder: Encoder):
        for key in (encoder.suffix, encoder.suffix.upper(), encoder.suffix.removeprefix(".")):
            assert find_encoder(key).suffix == encoder.suffix


class ColourEncoderContract(EncoderContract):
    """What each format for cutouts promises beyond that. Fixture: `encoder`."""

    #: Errors that a format with loss may make at its default quality on a smooth picture, of 255.
    MEAN_COLOUR_LOSS, MOST_ALPHA_LOSS = 2.0, 4

    def test_file_is_tagged_srgb(self, encoder: Encoder, background):
        image = encoded_and_opened(encoder, example_cutout(), background)
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)

    def test_transparency_is_kept_or_refused_aloud(self, encoder: Encoder):
        cutout = example_cutout()
        if encoder.keeps_alpha:
            alpha = np.asarray(encoded_and_opened(encoder, cutout, "transparent").getchannel("A"), np.int16)
            assert np.abs(alpha - cutout[..., 3]).max() <= self.MOST_ALPHA_LOSS
            alpha = encoded_and_opened(encoder, cutout, "transparent", lossless=True).getchannel("A")
            np.testing.assert_array_equal(alpha, cutout[..., 3])
        else:
            with pytest.raises(EncodingError, match=f"{encoder.title} cannot store a transparent background"):
                encode(cutout, encoder.name, "transparent")

    def test_colours_stay_what_they_were(self, encoder: Encoder, background):
        opaque = example_cutout()[20:30]
        opaque[..., 3] = 255
        stored = np.asarray(encoded_and_opened(encoder, opaque, background).convert("RGB"), np.float32)
        assert np.abs(stored - opaque[..., :3]).mean() < self.MEAN_COLOUR_LOSS

    def test_coloured_background_leaves_no_alpha_channel(self, encoder: Encoder):
        image = encoded_and_opened(encoder, example_cutout(), "#00ff00")
        assert image.mode == "RGB"
        assert not image.has_transparency_data
        nearly_all_background = np.asarray(image, np.int16)[45, 2]  # alpha is 2 of 255 there
        assert np.abs(nearly_all_background - (0, 255, 0)).max() < 20

    def test_hidden_colour_does_not_bleed_in_when_reduced(self, encoder: Encoder):
        """White subject on hidden black: however small, an edge pixel over white stays white."""
        cutout = np.zeros((64, 64, 4), np.uint8)
        cutout[:, 31:] = 255
        if encoder.keeps_alpha:
            small = np.asarray(encoded_and_opened(encoder, cutout, "transparent", long_side=16))
            assert small[small[..., 3] > 40, :3].min() > 240
        else:
            small = np.asarray(encoded_and_opened(encoder, cutout, "white", long_side=16))
            assert small.min() > 240

    def test_less_quality_makes_smaller_files_where_the_table_says_so(self, encoder: Encoder, background):
        low, middle, high = (
            len(encode(example_cutout(), encoder.name, background, quality=quality).data) for quality in (10, 60, 95)
        )
        if encoder.has_quality:
            assert low < middle < high
        else:
            assert low == middle == high

    def test_file_without_loss_is_exact_where_the_table_says_so_and_only_there(self, encoder: Encoder):
        cutout, is_exact = example_cutout(), encoder.name not in ("avif", "jpeg")
        composite = over(cutout, (255, 128, 0))
        for quality in (1, 90):
            image = encoded_and_opened(encoder, cutout, "#ff8000", quality=quality, lossless=True)
            assert np.array_equal(np.asarray(image), composite) == is_exact
            if is_exact and encoder.keeps_alpha:
                stored = np.asarray(encoded_and_opened(encoder, cutout, "transparent", quality=quality, lossless=True))
                np.testing.assert_array_equal(stored, cutout)

    def test_reduced_picture_shows_the_same(self, encoder: Encoder):
        """The mean over a colour, which only a shift, a crop or a wrong mixing would change."""
        cutout = example_cutout()
        image = encoded_and_opened(encoder, cutout, "white", long_side=85, quality=95)
        expected = over(cutout, (255, 255, 255)).mean(axis=(0, 1))
        assert np.abs(np.asarray(image).mean(axis=(0, 1)) - expected).max() < 2

    def test_unknown_background_is_refused(self, encoder: Encoder):
        with pytest.raises(RecipeError, match="Unknown background 'nice'"):
            encode(example_cutout(), encoder.name, "nice")

    def test_exif_is_put_in_only_if_given(self, encoder: Encoder, background):
        exif = Image.Exif()
        exif[ExifTags.Base.Artist] = "Anna"
        without = encoded_and_opened(encoder, example_cutout(), background)
        assert ExifTags.Base.Artist not in without.getexif()
        image = encoded_and_opened(encoder, example_cutout(), background, exif=exif.tobytes())
        assert image.getexif()[ExifTags.Base.Artist] == "Anna"
        assert image.size == (255, 61)


class AlphaEncoderContract(EncoderContract):
    """What each format for the alpha alone promises beyond that. Fixture: `encoder`."""

    def test_file_is_grey_and_not_a_picture(self, encoder: Encoder):
        image = encoded_and_opened(encoder, example_cutout(), "transparent")
        assert len(image.getbands()) == 1
        assert "icc_profile" not in image.info

    def test_more_alpha_is_brighter(self, encoder: Encoder):
        values = np.asarray(encoded_and_opened(encoder, example_cutout(), "transparent")).astype(np.int32)
        assert (np.diff(values[0]) >= 0).all()
        assert values[0, 0] == 0
        assert values[25].min() == values[25].max() > 0

    def test_file_follows_the_alpha_alone(self, encoder: Encoder):
        cutout = example_cutout()
        recoloured = np.dstack([255 - cutout[..., :3], cutout[..., 3]])
        for long_side in (0, 20):
            first, second = (encode(each, encoder.name, long_side=long_side).data for each in (cutout, recoloured))
            assert first == second

    def test_quality_loss_and_exif_make_no_difference(self, encoder: Encoder):
        exif = Image.Exif()
        exif[ExifTags.Base.Artist] = "Anna"
        plain = encode(example_cutout(), encoder.name).data
        for options in ({"quality": 1}, {"lossless": True}, {"exif": exif.tobytes()}):
            assert encode(example_cutout(), encoder.name, **options).data == plain

    def test_mask_has_two_values_and_a_matte_more_when_reduced(self, encoder: Encoder):
        for long_side in (0, 101, 20):
            values = np.unique(encoded_and_opened(encoder, example_cutout(), "transparent", long_side=long_side))
            if encoder.content == "mask":
                assert values.tolist() == [0, 255]
            else:
                assert len(values) > 5

    def test_background_is_refused(self, encoder: Encoder):
        with pytest.raises(EncodingError, match="has no background"):
            encode(example_cutout(), encoder.name, "white")
