"""What the network is told about its mistakes.

`hybrid` adds up four views of one error, as the field does: the weighted binary cross entropy and weighted IoU of the
structure loss (Wei, Wang and Huang, F3Net, AAAI 2020), structural similarity (as in Qin et al., BASNet, CVPR 2019) and
the gradient of the alpha matte, which keeps edges soft where they are soft and sharp where they are sharp.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box(values: Tensor, window: int) -> Tensor:
    """Average (N, C, H, W) over square windows, from running sums: a cost that does not grow with the window."""
    rows = F.pad(values.cumsum(2), (0, 0, 1, 0))
    rows = rows[:, :, window:] - rows[:, :, :-window]
    both = F.pad(rows.cumsum(3), (1, 0))
    return (both[..., window:] - both[..., :-window]) / window**2


def edge_weight(truth: Tensor) -> Tensor:
    """Weigh each pixel by how much its surroundings differ from it: 1 in flat parts, up to 6 at edges."""
    window = truth.shape[-1] // 20 * 2 + 1  # 31 of 320 pixels, as in the paper
    around = F.pad(truth, (window // 2,) * 4, mode="replicate")
    return 1 + 5 * (box(around, window) - truth).abs()


def structure(logits: Tensor, truth: Tensor) -> Tensor:
    """Weighted binary cross entropy plus weighted IoU, one value per sample: (N, 1, H, W) twice -> (N,)."""
    weight = edge_weight(truth)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (weight * entropy).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    alpha = logits.sigmoid()
    overlap = (alpha * truth * weight).sum((1, 2, 3))
    total = ((alpha + truth) * weight).sum((1, 2, 3))
    return entropy + 1 - (overlap + 1) / (total - overlap + 1)


def similarity(alpha: Tensor, truth: Tensor, window: int = 5) -> Tensor:
    """One minus the structural similarity at half size, one value per sample (Wang et al., IEEE TIP 2004).

    A window of 5 pixels at half size sees about what BASNet's 11 pixels at full size do, for a sixth of the time.
    """
    alpha, truth = F.avg_pool2d(alpha, 2), F.avg_pool2d(truth, 2)
    moments = torch.cat([alpha, truth, alpha * alpha, truth * truth, alpha * truth], 1)
    a, t, aa, tt, at = box(moments, window).unbind(1)
    var_a, var_t, cov = aa - a * a, tt - t * t, at - a * t
    index = ((2 * a * t + 0.01**2) * (2 * cov + 0.03**2)) / ((a * a + t * t + 0.01**2) * (var_a + var_t + 0.03**2))
    return (1 - index).mean((1, 2))


def gradient(alpha: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the finite differences, one value per sample."""
    error = alpha - truth
    return error.diff(dim=2).abs().mean((1, 2, 3)) + error.diff(dim=3).abs().mean((1, 2, 3))


def hybrid(logits: Tensor, truth: Tensor, decisive: float = 0.0) -> Tensor:
    """The loss of the full-size output, one value per sample.

    `decisive` weighs the mean absolute error. The other parts are content with a doubtful pixel at the odds that it
    belongs to the subject; this one is least when it is decided, at 0 or 1.
    """
    alpha = logits.sigmoid()
    loss = structure(logits, truth) + 0.3 * similarity(alpha, truth) + 2.0 * gradient(alpha, truth)
    return loss + decisive * (alpha - truth).abs().mean((1, 2, 3)) if decisive else loss


def total(outputs: tuple[Tensor, ...], truth: Tensor, decisive: float = 0.0) -> Tensor:
    """Add the full-size loss and those of the side outputs, finest first, one value per sample: (N,)."""
    full, *sides = (output.float() for output in outputs)
    loss = hybrid(full, truth, decisive)
    for weight, side in zip((0.5, 0.35, 0.25), sides, strict=True):
        loss = loss + weight * structure(side, F.adaptive_avg_pool2d(truth, side.shape[-2:]))
    return loss
