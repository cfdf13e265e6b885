"""How near an alpha matte comes to its ground truth, by the measures of salient object detection and of matting.

Every measure takes one alpha matte and one ground truth of the same size; both are float32 (H, W) in [0, 1]. Where a
measure needs a mask, values from 0.5 on are foreground.
"""

from __future__ import annotations

import numpy as np

from processing.errors import DatasetError

#: Where a matte is cut to a mask.
CUT = 0.5
#: Number of thresholds of a precision-recall curve: k / 255 for k from 0 to 255.
THRESHOLDS = 256

_EPSILON = float(np.finfo(np.float64).eps)


def mean_absolute_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Average the absolute differences; 0 is perfect, 1 the worst.

    Parameters
    ----------
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1].
    truth : ndarray of float32, shape (H, W)
        Ground truth in [0, 1], binary or soft.

    Raises
    ------
    DatasetError
        If the sizes of `alpha` and `truth` differ; so do all measures of this module.
    """
    _check_sizes(alpha, truth)
    return float(np.mean(np.abs(alpha - truth), dtype=np.float64))


def sad(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Sum the absolute differences, in thousands of pixels; 0 is perfect.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1].

    References
    ----------
    Rhemann et al. A perceptually motivated online benchmark for image matting. CVPR, 2009. The published tables divide
    the sum by 1000.
    """
    _check_sizes(alpha, truth)
    return float(np.sum(np.abs(alpha - truth), dtype=np.float64)) / 1000


def iou(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Divide the intersection of the two masks by their union; 1 is perfect, and two empty masks agree.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1]; both are cut at 0.5.
    """
    _check_sizes(alpha, truth)
    mask, true_mask = _cut(alpha), _cut(truth)
    union = np.count_nonzero(mask | true_mask)
    return np.count_nonzero(mask & true_mask) / union if union else 1.0


def precision_recall(alpha: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give precision and recall of the matte at every threshold.

    The matte is rounded to 8 bits, as the field stores it, and `alpha >= k / 255` is the mask at threshold k. Precision
    is 0 where no pixel is found, recall where there is none to be found.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1]; the truth is cut at 0.5.

    Returns
    -------
    precision, recall : ndarray of float64, shape (256,)
        In [0, 1], from threshold 0 to threshold 255.
    """
    _check_sizes(alpha, truth)
    levels, true_mask = np.rint(alpha * np.float32(255)).astype(np.uint8), _cut(truth)
    hits = _count_from(levels[true_mask])
    found = hits + _count_from(levels[~true_mask])
    return hits / np.maximum(found, 1), hits / max(np.count_nonzero(true_mask), 1)


def _count_from(levels: np.ndarray) -> np.ndarray:
    """Count the pixels at or over each of the 256 levels."""
    return np.bincount(levels, minlength=THRESHOLDS)[::-1].cumsum()[::-1]


def max_f_measure(precisions: np.ndarray, recalls: np.ndarray, beta2: float = 0.3) -> float:
    """Give the maximal F-measure of a data set; 1 is perfect.

    Precision and recall are first averaged over the images at each threshold, then combined, and the best threshold of
    the whole data set counts.

    Parameters
    ----------
    precisions, recalls : ndarray of float64, shape (N, 256)
        One row of `precision_recall` for each image.
    beta2 : float
        Squared beta; 0.3 weighs precision over recall.

    References
    ----------
    Achanta et al. Frequency-tuned salient region detection. CVPR, 2009. Borji et al. Salient object detection: a
    benchmark. IEEE TIP, 2015.
    """
    return float(f_measure(np.mean(precisions, axis=0), np.mean(recalls, axis=0), beta2).max())


def f_measure(precision: np.ndarray, recall: np.ndarray, beta2: float = 0.3) -> np.ndarray:
    """Combine precision and recall, element by element, to the F-measure; 0 where both are 0.

    Parameters
    ----------
    precision, recall : ndarray of float64
        In [0, 1], of one shape, which the result has too.
    beta2 : float
        Squared beta.
    """
    return np.asarray((1 + beta2) * precision * recall / np.maximum(beta2 * precision + recall, _EPSILON))


def s_measure(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Compare the structure of matte and ground truth, in [0, 1]; 1 is perfect.

    Half of it looks at foreground and background as objects, half at the four regions around the centroid of the
    foreground. A ground truth that is all background or all foreground has no structure: there it is one minus the mean
    of the matte, or the mean.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1]; the truth is cut at 0.5.

    References
    ----------
    Fan, Cheng, Liu, Li and Borji. Structure-measure: a new way to evaluate foreground maps. ICCV, 2017; alpha = 0.5.
    """
    _check_sizes(alpha, truth)
    matte, true_mask = alpha.astype(np.float64), _cut(truth)
    share = float(true_mask.mean())
    if share == 0:
        return 1 - float(matte.mean())
    if share == 1:
        return float(matte.mean())
    objects = share * _object_score(matte[true_mask]) + (1 - share) * _object_score(1 - matte[~true_mask])
    return max(0.0, 0.5 * objects + 0.5 * _region_score(matte, true_mask))


def _object_score(values: np.ndarray) -> float:
    """Rate values that should all be 1: high and even is good (the paper's lambda is 0.5)."""
    mean = float(values.mean())
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation + _EPSILON)


def _region_score(matte: np.ndarray, true_mask: np.ndarray) -> float:
    """Average the structural similarity of the four regions around the centroid, weighted by their area."""
    rows, columns = np.nonzero(true_mask)
    # The centroid's own row and column belong to the upper left region; halves round up, as in the authors' code.
    y, x = int(rows.mean() + 0.5) + 1, int(columns.mean() + 0.5) + 1
    score = 0.0
    for vertical in (slice(None, y), slice(y, None)):
        for horizontal in (slice(None, x), slice(x, None)):
            region = matte[vertical, horizontal]
            if region.size:
                similarity = _structural_similarity(region, true_mask[vertical, horizontal].astype(np.float64))
                score += similarity * region.size / matte.size
    return score


def _structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Compare mean, contrast and structure of two regions, as SSIM without its constants."""
    mean_1, mean_2 = float(first.mean()), float(second.mean())
    degrees = max(first.size - 1, 1)
    variances = float(((first - mean_1) ** 2).sum() + ((second - mean_2) ** 2).sum()) / degrees
    covariance = float(((first - mean_1) * (second - mean_2)).sum()) / degrees
    upper, lower = 4 * mean_1 * mean_2 * covariance, (mean_1**2 + mean_2**2) * variances
    if upper != 0:
        return upper / (lower + _EPSILON)
    return 1.0 if lower == 0 else 0.0


def boundary_f(alpha: np.ndarray, truth: np.ndarray, *, tolerance: float = 2) -> float:
    """Rate how well the contours of the two masks meet, in [0, 1]; 1 is perfect.

    Precision is the share of the matte's contour that lies within `tolerance` of the true contour, recall the reverse,
    and both weigh the same. The frame of the picture is no contour. Where neither mask has a contour, equal masks give
    1 and others 0.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1]; both are cut at 0.5.
    tolerance : float
        In pixels; 2 is meant for sides of 320.

    References
    ----------
    Perazzi et al. A benchmark dataset and evaluation methodology for video object segmentation. CVPR, 2016.
    """
    _check_sizes(alpha, truth)
    mask, true_mask = _cut(alpha), _cut(truth)
    contour, true_contour = _contour(mask), _contour(true_mask)
    if not contour.any() and not true_contour.any():
        return float(np.array_equal(mask, true_mask))
    if not contour.any() or not true_contour.any():
        return 0.0
    precision, recall = _share_near(contour, true_contour, tolerance), _share_near(true_contour, contour, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _contour(mask: np.ndarray) -> np.ndarray:
    """Mark the foreground pixels with background above, below, left or right of them."""
    from scipy import ndimage

    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))


def _share_near(contour: np.ndarray, other: np.ndarray, tolerance: float) -> float:
    from scipy import ndimage

    return float((ndimage.distance_transform_edt(~other)[contour] <= tolerance).mean())


def gradient_error(alpha: np.ndarray, truth: np.ndarray, *, sigma: float = 1.4) -> float:
    """Sum the squared differences of the gradients' lengths, in thousands; 0 is perfect.

    It punishes edges that are blurred or have steps, where `sad` sees little. Pixels beyond the frame repeat it.

    Parameters
    ----------
    alpha, truth : ndarray of float32, shape (H, W)
        Alpha matte and ground truth in [0, 1].
    sigma : float
        Standard deviation of the Gaussian whose derivatives are taken, in pixels.

    References
    ----------
    Rhemann et al. A perceptually motivated online benchmark for image matting. CVPR, 2009. The filters are cut
    off under 1 % of their peak and have unit length, as in the evaluation code that matting papers share.
    """
    _check_sizes(alpha, truth)
    difference = _gradient_length(alpha, sigma) - _gradient_length(truth, sigma)
    return float(np.sum(difference**2)) / 1000


def _gradient_length(alpha: np.ndarray, sigma: float) -> np.ndarray:
    from scipy import ndimage

    smooth, slope = _gaussian_pair(sigma)
    values = alpha.astype(np.float64)

    def differentiate(axis: int) -> np.ndarray:
        sloped = ndimage.correlate1d(values, slope, axis, mode="nearest")
        return np.asarray(ndimage.correlate1d(sloped, smooth, 1 - axis, mode="nearest"))

    return np.hypot(differentiate(0), differentiate(1))


def _gaussian_pair(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Sample a Gaussian and its derivative, each of Euclidean length 1, so that their product has it too."""
    reach = int(np.ceil(sigma * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * sigma * 0.01))))
    positions = np.arange(-reach, reach + 1, dtype=np.float64)
    smooth = np.exp(-(positions**2) / (2 * sigma**2))
    slope = positions * smooth
    return smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)


def _cut(values: np.ndarray) -> np.ndarray:
    return np.asarray(values >= CUT)


def _check_sizes(alpha: np.ndarray, truth: np.ndarray) -> None:
    if alpha.ndim != 2 or alpha.shape != truth.shape:
        raise DatasetError(
            f"An alpha matte of shape {alpha.shape} cannot be compared with a ground truth of shape {truth.shape}. "
            "Both need one (height, width); resample one of them first."
        )
