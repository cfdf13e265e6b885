"""Our cutout against the one that rembg makes of the same photo and the same mask."""

import numpy as np
import pytest
from contracts import PLAIN, FakeSession
from images import SAMPLES, ball, file_of, noise
from PIL import Image

from processing.images import decode
from processing.pipeline import run
from processing.recipe import Recipe
from processing.sessions.pool import SessionPool

pytestmark = pytest.mark.usefixtures("rembg_home")

SIZES = [(1, 1), (2, 7), (64, 48), (101, 255), (480, 640)]


class KnownMask:
    """Stands for rembg's session: gives the same mask whatever it is shown."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def predict(self, image, *args, **kwargs):
        assert image.size == self.mask.shape[::-1]
        return [Image.fromarray(self.mask)]


def soft_mask(height: int, width: int) -> np.ndarray:
    """Return every alpha there is, from left to right, fully visible at the right end."""
    return np.tile(np.rint(np.linspace(0, 255, width)).astype(np.uint8), (height, 1))


def random_mask(height: int, width: int) -> np.ndarray:
    mask = noise(height, width, channels=1)[..., 0].copy()
    mask[0, 0] = 255  # so that a subject is found however small the picture is
    return mask


def of_ours(photo: np.ndarray, mask: np.ndarray, compact) -> np.ndarray:
    low, high = compact.levels
    raw = low + (high - low) * (mask.astype(np.float64) / 255)
    return run(file_of(photo), Recipe(**PLAIN), pool=SessionPool(lambda spec, provider: FakeSession(raw))).pixels


def of_rembg(photo: np.ndarray, mask: np.ndarray, **options) -> np.ndarray:
    import rembg

    return np.asarray(rembg.remove(Image.fromarray(photo), session=KnownMask(mask), **options))


@pytest.mark.parametrize("draw", [soft_mask, random_mask])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cutout_is_the_straight_composition_of_rembg(compact, size, draw):
    photo = noise(*size)
    mask = draw(*size) if size != (1, 1) else np.full((1, 1), 200, np.uint8)
    ours, theirs = of_ours(photo, mask, compact), of_rembg(photo, mask, putalpha=True)
    np.testing.assert_array_equal(ours[..., 3], theirs[..., 3])
    np.testing.assert_array_equal(ours[..., 3], mask)
    visible = mask > 0
    assert visible.any()
    np.testing.assert_array_equal(ours[visible], theirs[visible])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_cutout_of_a_sample_photo_is_the_straight_composition_of_rembg(compact, path):
    photo = decode(path.read_bytes()).pixels
    mask = soft_mask(*photo.shape[:2])
    ours, theirs = of_ours(photo, mask, compact), of_rembg(photo, mask, putalpha=True)
    np.testing.assert_array_equal(ours[..., 3], theirs[..., 3])
    np.testing.assert_array_equal(ours[mask > 0], theirs[mask > 0])


def test_colour_under_no_alpha_is_emptied_where_rembg_keeps_it(compact):
    photo, mask = np.full((4, 4, 3), 200, np.uint8), soft_mask(4, 4)
    assert (of_ours(photo, mask, compact)[mask == 0] == 0).all()
    assert (of_rembg(photo, mask, putalpha=True)[mask == 0] == (200, 200, 200, 0)).all()


def test_binary_mask_gives_the_cutout_of_rembgs_default(compact):
    photo, inside = ball(60, 80)
    mask = inside.astype(np.uint8) * 255
    np.testing.assert_array_equal(of_ours(photo, mask, compact), of_rembg(photo, mask))


def test_half_transparent_colours_are_darkened_by_rembgs_default_and_kept_by_us(compact):
    """The colour of rembg's default is multiplied by alpha, while its alpha says that it is not."""
    photo, mask = np.full((8, 256, 3), 200, np.uint8), soft_mask(8, 256)
    ours, theirs = of_ours(photo, mask, compact), of_rembg(photo, mask)
    np.testing.assert_array_equal(ours[..., 3], theirs[..., 3])
    half = (mask > 0) & (mask < 250)
    assert (ours[half, :3] == 200).all()
    assert (theirs[half, :3] < 200).all()
    assert np.abs(theirs[..., 0] - 200 * (mask / 255)).max() <= 1


def test_halo_of_rembgs_default_shows_on_the_photos_own_colour(compact):
    """Laid over its own colour a cutout must vanish; rembg's default leaves a dark halo, deepest at half alpha."""
    photo, mask = np.full((8, 256, 3), 200, np.uint8), soft_mask(8, 256)

    def laid_over(cutout: np.ndarray) -> np.ndarray:
        under = Image.new("RGBA", (256, 8), (200, 200, 200, 255))
        return np.asarray(Image.alpha_composite(under, Image.fromarray(cutout)), int)[..., 0]

    assert np.abs(laid_over(of_ours(photo, mask, compact)) - 200).max() <= 1
    halo = 200 - laid_over(of_rembg(photo, mask))
    assert halo[0, 128] == pytest.approx(50, abs=1)
    assert halo.max() - halo[0, 128] <= 1
    assert (halo[0, [0, 255]] == 0).all()
