"""Image to model input, and model output to alpha matte."""

from dataclasses import replace

import numpy as np
import pytest
from images import gradient

from processing import models
from processing.models import has_subject, prepare


@pytest.fixture
def spec(compact):
    """Return a row without any special step; each test adds the one it is about."""
    return replace(compact, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), levels=(0.0, 1.0), stretch=False)


def plain(*colour, size=(4, 6)):
    return np.full((*size, 3), colour, np.uint8)


# Before the network


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (320, 320), (301, 451)])
def test_prepare_squeezes_every_size_to_the_square(compact, size):
    tensor = prepare(plain(10, 20, 30, size=size), compact)
    assert tensor.shape == (1, 3, 320, 320)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous


def test_prepare_subtracts_the_mean_and_divides_by_the_deviation(spec):
    spec = replace(spec, mean=(0.2, 0.4, 0.0), std=(0.5, 0.1, 2.0))
    tensor = prepare(plain(51, 51, 255), spec)
    for channel, expected in enumerate([0.0, -2.0, 0.5]):  # (0.2-0.2)/0.5, (0.2-0.4)/0.1, (1-0)/2
        np.testing.assert_allclose(tensor[0, channel], expected, atol=1e-6)


def test_prepare_divides_by_255_or_by_the_brightest_value(spec):
    picture = plain(51, 102, 0)
    np.testing.assert_allclose(prepare(picture, replace(spec, scale="255"))[0, :, 0, 0], [0.2, 0.4, 0.0], rtol=1e-6)
    np.testing.assert_allclose(prepare(picture, replace(spec, scale="max"))[0, :, 0, 0], [0.5, 1.0, 0.0], rtol=1e-6)


def test_prepare_rings_beside_an_edge_with_lanczos_only(spec):
    stripe = np.zeros((640, 640, 3), np.uint8)
    stripe[:, 320:] = 100
    soft, sharp = (prepare(stripe, replace(spec, resample=name)) for name in ("bilinear", "lanczos"))
    assert soft.max() == pytest.approx(100 / 255)
    assert sharp.max() > 101 / 255


def test_prepare_takes_a_black_picture_whose_brightest_value_is_0(spec):
    np.testing.assert_array_equal(prepare(plain(0, 0, 0), replace(spec, scale="max")), 0)


def test_prepare_keeps_rows_rows_and_columns_columns(spec):
    tensor = prepare(gradient(40, 60), replace(spec, input_size=8))
    red, green = tensor[0, 0], tensor[0, 1]  # the gradient's red grows to the right, its green downwards
    assert (np.diff(red, axis=1) > 0).all()
    assert (np.diff(green, axis=0) > 0).all()


def test_prepare_gives_the_image_itself_to_a_runtime_that_prepares_its_own_input(spec):
    image = gradient(5, 7)
    assert prepare(image, replace(spec, input_size=None)) is image


def test_prepare_leaves_the_image_alone(compact):
    image = gradient(20, 30)
    prepare(image, compact)
    np.testing.assert_array_equal(image, gradient(20, 30))


# After the network


def to_alpha(*arguments):
    return np.asarray(models.to_alpha(*arguments))


def raw(*rows):
    return np.array(rows, np.float32)[np.newaxis, np.newaxis]


def test_to_alpha_of_the_same_size_keeps_the_values(spec):
    alpha = to_alpha(raw([0.0, 0.25], [0.5, 1.0]), spec, (2, 2))
    assert alpha.dtype == np.float32
    np.testing.assert_array_equal(alpha, np.array([[0.0, 0.25], [0.5, 1.0]], np.float32))


def test_to_alpha_takes_the_levels_as_0_and_1(spec):
    alpha = to_alpha(raw([0.1, 0.2, 0.35, 0.5, 0.8, 0.9]), replace(spec, levels=(0.2, 0.8)), (1, 6))
    np.testing.assert_allclose(alpha, [[0, 0, 0.25, 0.5, 1, 1]], atol=1e-6)


def test_to_alpha_stretches_only_if_asked(spec):
    faint = raw([0.2, 0.3, 0.4])
    np.testing.assert_allclose(to_alpha(faint, replace(spec, stretch=True), (1, 3)), [[0, 0.5, 1]], atol=1e-6)
    np.testing.assert_allclose(to_alpha(faint, spec, (1, 3)), [[0.2, 0.3, 0.4]], atol=1e-6)


def test_to_alpha_stretches_before_the_levels(spec):
    alpha = to_alpha(raw([0.0, 0.1, 0.2]), replace(spec, stretch=True, levels=(0.0, 0.5)), (1, 3))
    np.testing.assert_allclose(alpha, [[0, 1, 1]], atol=1e-6)


def test_to_alpha_stretches_a_constant_to_nothing(spec):
    np.testing.assert_array_equal(to_alpha(raw([0.7, 0.7]), replace(spec, stretch=True), (1, 2)), 0)


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (3, 7), (1, 4000), (161, 241)])
def test_to_alpha_has_the_size_of_the_image_and_stays_in_range(spec, size):
    checker = np.indices((8, 8)).sum(axis=0) % 2  # hard edges: bicubic runs under 0 and over 1 beside them
    alpha = to_alpha(raw(*checker), spec, size)
    assert alpha.shape == size
    assert alpha.dtype == np.float32
    assert alpha.min() >= 0
    assert alpha.max() <= 1


def test_to_alpha_moves_nothing_while_it_enlarges(spec):
    half = np.repeat([[0.0, 0.0, 1.0, 1.0]], 4, axis=0)
    alpha = to_alpha(raw(*half), spec, (12, 16))
    np.testing.assert_allclose(alpha + alpha[:, ::-1], 1, atol=1e-6)  # the edge stays in the middle
    assert (alpha[:, :4] == 0).all()
    turned = to_alpha(raw(*half.T), spec, (16, 12))
    np.testing.assert_allclose(turned, alpha.T, atol=1e-6)


def test_to_alpha_leaves_the_raw_output_alone(spec):
    values = raw([0.2, 0.4])
    values.flags.writeable = False
    for row in (spec, replace(spec, stretch=True, levels=(0.1, 0.9))):
        to_alpha(values, row, (1, 2))
        to_alpha(values, row, (4, 4))
    np.testing.assert_array_equal(values, raw([0.2, 0.4]))


@pytest.mark.parametrize(("peak", "found"), [(0.0, False), (0.34, False), (0.35, True), (1.0, True), (np.nan, False)])
def test_subject_is_what_peaks_at_the_rows_bound_or_over(spec, peak, found):
    assert has_subject(raw([0.0, peak]), replace(spec, empty_below=0.35)) is found
