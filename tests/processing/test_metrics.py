"""Measures of an alpha matte against its ground truth."""

import numpy as np
import pytest

from processing import metrics
from processing.errors import DatasetError

PAIRWISE = (
    metrics.mean_absolute_error,
    metrics.sad,
    metrics.iou,
    metrics.precision_recall,
    metrics.s_measure,
    metrics.boundary_f,
    metrics.gradient_error,
)
#: Of those with one value: the measure, its best value, and its value for an inverted mask.
RANGED = [
    (metrics.mean_absolute_error, 0, 1),
    (metrics.iou, 1, 0),
    (metrics.s_measure, 1, 0),
]


def disc(row=32.0, column=32.0, radius=15.0, shape=(64, 72)):
    rows, columns = np.indices(shape)
    return ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2).astype(np.float32)


def matte(*rows):
    return np.array(rows, np.float32)


def noise(seed, shape=(40, 50)):
    return np.random.default_rng(seed).random(shape, np.float32)


EMPTY, FULL = np.zeros((8, 9), np.float32), np.ones((8, 9), np.float32)


@pytest.mark.parametrize("measure", PAIRWISE)
def test_different_sizes_are_refused(measure):
    with pytest.raises(DatasetError, match=r"shape \(8, 9\) .* shape \(9, 8\).*resample"):
        measure(EMPTY, EMPTY.T)


@pytest.mark.parametrize("measure", PAIRWISE)
def test_inputs_stay_as_they_were(measure):
    alpha, truth = noise(1), noise(2)
    measure(alpha, truth)
    np.testing.assert_array_equal(alpha, noise(1))
    np.testing.assert_array_equal(truth, noise(2))


@pytest.mark.parametrize(("measure", "best", "worst"), RANGED)
def test_truth_is_best_and_its_inverse_worst(measure, best, worst):
    assert measure(disc(), disc()) == pytest.approx(best)
    assert measure(1 - disc(), disc()) == pytest.approx(worst)


@pytest.mark.parametrize("measure", [m for m in PAIRWISE if m not in (metrics.precision_recall, metrics.s_measure)])
@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
def test_turning_both_changes_nothing(measure, turn):
    alpha, truth = disc(30, 35, 14) * np.float32(0.9), disc()
    assert measure(turn(alpha), turn(truth)) == pytest.approx(measure(alpha, truth))


def test_s_measure_of_transposed_pictures_is_the_same():
    assert metrics.s_measure(noise(1).T, disc(shape=(40, 50)).T) == pytest.approx(
        metrics.s_measure(noise(1), disc(shape=(40, 50)))
    )


@pytest.mark.parametrize("measure", [metrics.mean_absolute_error, metrics.sad, metrics.iou, metrics.gradient_error])
def test_measure_is_symmetric(measure):
    assert measure(noise(1), noise(2)) == pytest.approx(measure(noise(2), noise(1)))


def test_mean_absolute_error_averages_the_differences():
    assert metrics.mean_absolute_error(matte([0, 0.5], [1, 1]), matte([0, 1], [0, 1])) == pytest.approx(0.375)


def test_sad_is_the_mean_absolute_error_times_thousands_of_pixels():
    alpha, truth = noise(1), noise(2)
    assert metrics.sad(alpha, truth) == pytest.approx(metrics.mean_absolute_error(alpha, truth) * 2)


def test_iou_cuts_both_at_one_half():
    alpha, truth = matte([0.5, 0.9], [0.49, 1]), matte([1, 0.2], [0.7, 0.5])
    assert metrics.iou(alpha, truth) == 0.5


def test_iou_of_two_empty_masks_is_one():
    assert metrics.iou(EMPTY + np.float32(0.4), EMPTY) == 1
    assert metrics.iou(EMPTY, FULL) == metrics.iou(FULL, EMPTY) == 0


def test_precision_and_recall_at_every_threshold():
    precision, recall = metrics.precision_recall(matte([0, 100 / 255], [200 / 255, 1]), matte([0, 1], [0, 1]))
    assert precision.shape == recall.shape == (256,)
    np.testing.assert_allclose(precision[[0, 1, 100, 101, 200, 201, 255]], [1 / 2, 2 / 3, 2 / 3, 1 / 2, 1 / 2, 1, 1])
    np.testing.assert_allclose(recall[[0, 1, 100, 101, 200, 201, 255]], [1, 1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 2])


def test_precision_and_recall_agree_with_counting_pixels():
    levels = np.random.default_rng(0).integers(0, 256, (30, 40))
    truth = disc(15, 20, 9, (30, 40))
    precision, recall = metrics.precision_recall((levels / 255).astype(np.float32), truth)
    for threshold in (0, 1, 77, 254):
        found = levels >= threshold
        assert precision[threshold] == (found & (truth == 1)).sum() / found.sum()
        assert recall[threshold] == (found & (truth == 1)).sum() / truth.sum()


def test_precision_is_zero_where_nothing_is_found_and_recall_where_nothing_is_there():
    precision, recall = metrics.precision_recall(EMPTY, FULL)
    assert precision[1] == recall[1] == 0
    assert not metrics.precision_recall(FULL, EMPTY)[1].any()


def test_f_measure_of_literal_values():
    np.testing.assert_allclose(
        metrics.f_measure(np.array([1, 0.5, 0]), np.array([0.5, 1, 0])), [0.8125, 0.65 / 1.15, 0]
    )


def test_max_f_measure_averages_curves_before_it_takes_the_best_threshold():
    precisions, recalls = np.zeros((2, 256)), np.zeros((2, 256))
    precisions[0, 10] = recalls[0, 10] = 1  # each picture is perfect at a threshold of its own
    precisions[1, 20] = recalls[1, 20] = 1
    assert metrics.max_f_measure(precisions, recalls) == pytest.approx(0.5)


def test_max_f_measure_of_the_truth_is_one():
    precision, recall = metrics.precision_recall(disc(), disc())
    assert metrics.max_f_measure(precision[np.newaxis], recall[np.newaxis]) == pytest.approx(1)


def test_s_measure_without_structure_is_the_mean_of_the_matte():
    alpha = EMPTY + np.float32(0.25)
    assert metrics.s_measure(alpha, FULL) == pytest.approx(0.25)
    assert metrics.s_measure(alpha, EMPTY) == pytest.approx(0.75)


def test_s_measure_of_a_foreground_of_one_pixel_in_the_last_corner():
    truth = EMPTY.copy()
    truth[-1, -1] = 1
    assert metrics.s_measure(truth, truth) == pytest.approx(1)


def test_s_measure_of_a_flat_matte():
    # The foreground's centroid lies between columns 0 and 1, which rounds up to 1: each region is all foreground or all
    # background, neither it nor the matte varies, and that counts as equal structure. Both objects are flat at 0.5.
    truth = matte([1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0])
    objects = 2 * 0.5 / (0.5**2 + 1)
    assert metrics.s_measure(np.full_like(truth, 0.5), truth) == pytest.approx(0.5 * objects + 0.5)


def test_s_measure_prefers_the_matte_with_the_shape():
    shaped = disc(33, 31) * np.float32(0.8)
    smeared = np.full_like(shaped, shaped.mean())
    assert metrics.s_measure(shaped, disc()) > 0.8 > metrics.s_measure(smeared, disc())


@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (1, 1), (2, 1)])
def test_boundary_f_forgives_shifts_up_to_the_tolerance(shift, expected):
    assert metrics.boundary_f(disc(column=32 + shift), disc()) == expected


def test_boundary_f_drops_beyond_the_tolerance():
    # A disc of radius 15 moved by 6 keeps only the parts of its contour that run nearly along the shift.
    assert 0.2 < metrics.boundary_f(disc(column=38), disc()) < 0.5
    assert metrics.boundary_f(disc(column=38), disc(), tolerance=6) == 1


def test_boundary_f_without_contours_compares_the_masks():
    assert metrics.boundary_f(EMPTY, EMPTY) == metrics.boundary_f(FULL, FULL) == 1
    assert metrics.boundary_f(EMPTY, FULL) == metrics.boundary_f(FULL, EMPTY) == 0


def test_boundary_f_is_zero_if_one_has_no_contour_or_none_is_near():
    assert metrics.boundary_f(np.zeros_like(disc()), disc()) == metrics.boundary_f(disc(), np.zeros_like(disc())) == 0
    assert metrics.boundary_f(disc(10, 10, 3), disc(50, 50, 3)) == 0


def test_frame_of_the_picture_is_no_contour():
    left = np.zeros((12, 12), np.float32)
    left[:, :4] = 1
    assert metrics.boundary_f(left, np.fliplr(left)) == 0


def test_gradient_error_ignores_an_offset_and_grows_with_blur():
    from scipy import ndimage

    soft = np.clip(disc(), 0.2, 0.8)
    assert metrics.gradient_error(soft, soft - np.float32(0.1)) == pytest.approx(0, abs=1e-6)
    blurred = [metrics.gradient_error(ndimage.gaussian_filter(disc(), sigma), disc()) for sigma in (0.1, 1, 2)]
    assert blurred == sorted(blurred)
    assert blurred[0] == pytest.approx(0, abs=1e-6)


def test_gradient_error_of_a_step_is_that_of_its_filter():
    # Along a straight edge the smoothing only multiplies, and the slope filter sums up to its taps beyond the edge.
    step = np.zeros((20, 20), np.float32)
    step[:, 10:] = 1
    positions = np.arange(-4, 5)
    smooth = np.exp(-(positions**2) / (2 * 1.4**2))
    slope = positions * smooth
    smooth, slope = smooth / np.sqrt((smooth**2).sum()), slope / np.sqrt((slope**2).sum())
    tails = np.array([slope[k:].sum() for k in range(1, 9)])  # the eight columns that the edge reaches
    expected = 20 * (smooth.sum() * tails) @ (smooth.sum() * tails) / 1000
    assert metrics.gradient_error(step, np.zeros_like(step)) == pytest.approx(expected)
