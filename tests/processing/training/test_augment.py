import numpy as np
import pytest
from images import file_of

pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

import cv2

from processing.training.augment import Mixture, Samples, Variety, empty_part, paste, view
from processing.training.data import Pair, Sampler


@pytest.fixture
def pairs():
    picture, mask = np.full((90, 120, 3), (10, 60, 200), np.uint8), np.zeros((90, 120), np.uint8)
    picture[30:70, 20:60] = (250, 120, 10)
    mask[30:70, 20:60] = 255
    return [Pair("0", "a", file_of(picture), file_of(mask))]


@pytest.mark.parametrize("kind", ["real", "pasted", "rendered", "empty"])
def test_every_kind_of_scene_gives_samples(pairs, kind):
    shares = dict.fromkeys(["real", "pasted", "rendered", "empty"], 0.0) | {kind: 1.0}
    samples = Samples(pairs, [pairs[0].image], Sampler(["a"], {}, np.ones(1, np.float32)), Mixture(**shares), 96)
    rng = np.random.default_rng(3)
    drawn = [samples.draw(rng) for _ in range(20)]
    for picture, alpha, index in drawn:
        assert picture.shape == (96, 96, 3)
        assert alpha.shape == (96, 96)
        assert picture.dtype == alpha.dtype == np.uint8
        assert index == (0 if kind == "real" else -1)
    covered = np.array([alpha.mean() / 255 for _, alpha, _ in drawn])
    assert np.all(covered == 0) if kind == "empty" else np.all(covered[covered > 0] < 1) and np.mean(covered > 0) > 0.8


def test_a_view_moves_picture_and_mask_alike(pairs):
    rng = np.random.default_rng(0)
    for _ in range(30):
        picture, alpha = view(rng, pairs[0].decode(), 96)
        orange = (picture[..., 0] > 200).astype(float)
        assert np.abs(orange - (alpha > 127)).mean() < 0.03
        assert 0.01 < alpha.mean() / 255 < 0.9


def test_without_variety_a_sample_is_the_picture_as_the_product_shows_it(pairs):
    only_real = Mixture(real=1, pasted=0, rendered=0, empty=0)
    sampler = Sampler(["a"], {}, np.ones(1, np.float32))
    rng = np.random.default_rng(0)
    squeezed = cv2.resize(pairs[0].decode()[0], (96, 96)).astype(int)

    def closest(variety):
        drawn = [Samples(pairs, [], sampler, only_real, 96, variety).draw(rng)[0].astype(int) for _ in range(12)]
        return [min(np.abs(view - squeezed).mean() for view in (picture, picture[:, ::-1])) for picture in drawn]

    assert max(closest(Variety(parts=0, light=0))) < 1
    assert min(closest(Variety(parts=1, light=0))) > 1
    assert sum(difference > 1 for difference in closest(Variety(parts=0, light=1))) > 6


def test_the_empty_part_is_the_largest_band_without_the_object():
    mask = np.zeros((100, 100), np.uint8)
    mask[60:90, 40:60] = 255
    assert empty_part(mask) == (0, 0, 57, 100)
    assert empty_part(np.full((50, 50), 255, np.uint8)) is None
    assert empty_part(np.zeros((50, 40), np.uint8)) == (0, 0, 50, 40)


def test_pasting_mixes_by_alpha():
    below, above = np.zeros((1, 3, 3), np.uint8), np.full((1, 3, 3), 200, np.uint8)
    picture, alpha = paste(below, np.array([[0, 0, 90]], np.uint8), above, np.array([[0, 255, 51]], np.uint8))
    assert picture[0, :, 0].tolist() == [0, 200, 40]
    assert alpha.tolist() == [[0, 255, 90]]
