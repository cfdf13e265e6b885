"""The network: a U made of small Us, here with the channels of `WIDTHS["small"]`.

    picture (N, 3, S, S)
       |  stem: 3x3 convolution, stride 2
     S/2  24 ---------------------------------- add, 2 convolutions -> head -> alpha (N, 1, S, S)
       |  U-block, 5 scales deep                  ^
     S/4  64 ------------------- add, U-block, 24 ch
       |  U-block, 4 scales        ^
     S/8  96 ------- add, U-block, 48 ch
       |  U-block, 3     ^
    S/16 160 -- add, U-block, 64 ch
       |  U-block, 2  ^
    S/32 224 - context, 64 ch

Each step down is one U-block (the residual U-block of Qin et al., U2-Net, Pattern Recognition 2020): it looks at its
input at several scales and adds what it saw. What differs from U2-Net: the finest work happens at half size, where a
convolution costs a quarter; pooled context (Zhao et al., PSPNet, CVPR 2017) tells every place what the whole picture
shows; the way up adds features rather than stacking them; and the last layer draws 2x2 pixels at once (Shi et al., CVPR
2016), so that edges are more than enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FALL_DEPTHS, RISE_DEPTHS = (5, 4, 3, 2), (2, 3, 4)  # scales inside the U-blocks on the way down and up


@dataclass(frozen=True)
class Widths:
    """How many channels the network has where.

    Parameters
    ----------
    fall : tuple of int
        At 1/2, 1/4, 1/8, 1/16 and 1/32 of the side, on the way down.
    fall_inner : tuple of int
        Inside the U-block of each step down.
    rise : tuple of int
        Where features meet on the way up, at 1/16, 1/8, 1/4 and 1/2.
    rise_inner : tuple of int
        Inside the U-blocks on the way up.
    last : int
        Before the head, at 1/2. With AVX-512, onnxruntime computes channels in blocks of 16, so that 24 would take as
        long as 32.
    """

    fall: tuple[int, ...]
    fall_inner: tuple[int, ...]
    rise: tuple[int, ...]
    rise_inner: tuple[int, ...]
    last: int


WIDTHS = {
    "small": Widths((24, 64, 96, 160, 224), (24, 32, 48, 80), (64, 64, 48, 24), (32, 32, 16), 16),
    "medium": Widths((32, 88, 128, 200, 256), (32, 48, 64, 104), (88, 88, 64, 32), (44, 44, 24), 16),
}


def convolution(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolve, normalise over the batch, cut off below 0."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def enlarge(features: Tensor, size: torch.Size) -> Tensor:
    """Interpolate features linearly to a height and width."""
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def average(features: Tensor, side: int) -> Tensor:
    """Average features over `side` by `side` parts of the picture.

    ONNX has no pooling into parts of unequal size, which overlap by a row or column; a product of matrices says it.
    """
    height, width = map(int, features.shape[-2:])
    if height % side == 0 and width % side == 0:
        return F.adaptive_avg_pool2d(features, side)
    rows, columns = (_parts(length, side, features.device).to(features.dtype) for length in (height, width))
    return rows @ features @ columns.T


@cache
def _parts(length: int, count: int, device: torch.device) -> Tensor:
    """Give the matrix (count, length) that averages a line over its parts."""
    with torch.inference_mode(False):  # it is kept, for training too
        identity = torch.eye(length)
        parts = [identity[k * length // count : -(-(k + 1) * length // count)].mean(0) for k in range(count)]
        return torch.stack(parts).to(device)


def bounded_sigmoid(logits: Tensor) -> Tensor:
    """Turn logits into an alpha matte in [0, 1], also where a sigmoid reaches 1.0000001, as onnxruntime's does."""
    return logits.sigmoid().clamp(0, 1)


class UBlock(nn.Module):
    """Look at a feature map at `depth` scales with `inner` channels, and add what was seen to it."""

    def __init__(self, inputs: int, outputs: int, depth: int, inner: int, *, halve: bool = False) -> None:
        super().__init__()
        self.halve = halve
        self.enter = convolution(inputs, outputs)
        self.down = nn.ModuleList(convolution(outputs if scale == 0 else inner, inner) for scale in range(depth))
        self.bottom = convolution(inner, inner, dilation=2)
        self.up = nn.ModuleList(convolution(2 * inner, outputs if scale == 0 else inner) for scale in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w), or half of h and w."""
        if self.halve:
            features = F.max_pool2d(features, 2)
        entered = seen = self.enter(features)
        scales: list[Tensor] = []
        for scale, layer in enumerate(self.down):
            if scale:
                seen = F.max_pool2d(seen, 2, ceil_mode=True)
            seen = layer(seen)
            scales.append(seen)
        seen = self.bottom(seen)
        for layer, same_scale in zip(reversed(self.up), reversed(scales), strict=True):
            seen = layer(torch.cat([enlarge(seen, same_scale.shape[-2:]), same_scale], 1))
        return F.relu(seen + entered)


class Context(nn.Module):
    """Tell every place what its quarter of the picture, and the whole of it, show."""

    SCALES = (1, 2, 5)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pooled = nn.ModuleList(convolution(inputs, outputs // 4, 1) for _ in self.SCALES)
        self.join = convolution(inputs + len(self.SCALES) * (outputs // 4), outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        seen = [features]
        for side, layer in zip(self.SCALES, self.pooled, strict=True):
            seen.append(enlarge(layer(average(features, side)), features.shape[-2:]))
        return self.join(torch.cat(seen, 1))


class Network(nn.Module):
    """Give the alpha matte of a picture, as logits while training and in [0, 1] otherwise.

    Input: float32 (N, 3, S, S), normalised, S a multiple of 32. Output: float32 (N, 1, S, S); while training a tuple
    of it and the side outputs at S/4, S/8 and S/16, which teach the coarse layers directly.
    """

    def __init__(self, width: str) -> None:
        super().__init__()
        self.width, widths = width, WIDTHS[width]
        self.fixed_norms = False  # while training, norms keep and use the statistics that they have
        fall, rise, last = widths.fall, widths.rise, widths.last
        self.stem = convolution(3, fall[0], stride=2)
        self.fall = nn.ModuleList(
            UBlock(fall[step], fall[step + 1], FALL_DEPTHS[step], widths.fall_inner[step], halve=True)
            for step in range(4)
        )
        self.context = Context(fall[4], rise[0])
        self.across = nn.ModuleList(convolution(fall[3 - step], rise[step], 1) for step in range(4))
        self.rise = nn.ModuleList(
            UBlock(rise[step], rise[step + 1], RISE_DEPTHS[step], widths.rise_inner[step]) for step in range(3)
        )
        self.rise.append(nn.Sequential(convolution(rise[3], last), convolution(last, last)))
        self.sides = nn.ModuleList(nn.Conv2d(rise[step + 1], 1, 1) for step in range(3))
        self.head = nn.Conv2d(last, 4, 3, padding=1)

    def train(self, mode: bool = True) -> Network:
        """Switch to training or from it, but for norms that are fixed."""
        super().train(mode)
        if self.fixed_norms:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, picture: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Predict; see the class."""
        logits, sides = self.logits(picture)
        return (logits, *sides) if self.training else bounded_sigmoid(logits)

    def logits(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Give the alpha matte before the sigmoid, and the side outputs, which are none unless it trains."""
        features = [self.stem(picture)]
        for block in self.fall:
            features.append(block(features[-1]))
        seen = self.context(features.pop())
        sides: list[Tensor] = []
        for step, (across, block) in enumerate(zip(self.across, self.rise, strict=True)):
            same_scale = across(features.pop())
            seen = block(enlarge(seen, same_scale.shape[-2:]) + same_scale)
            if self.training and step < len(self.sides):
                sides.insert(0, self.sides[step](seen))
        return F.pixel_shuffle(self.head(seen), 2), sides

    def outer_layers(self) -> set[nn.Module]:
        """Give the convolutions that touch pixels or the alpha matte rather than features alone."""
        return {self.stem[0], self.head, *self.sides}


class TwoViews(nn.Module):
    """Look at a picture a second time, mirrored and smaller, and take the mean (test-time augmentation).

    What the two views get wrong differs more than what they get right. It takes 1.81 times as long and no more weights.
    """

    SIDE, SHARE = 288, 0.45  # of the second view: its size, and its weight in the mean

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, 1, S, S) in [0, 1]."""
        size = picture.shape[-2:]
        second = enlarge(picture, torch.Size((self.SIDE, self.SIDE))).flip(3)
        again = enlarge(self.network.logits(second)[0], size).flip(3)
        first = self.network.logits(picture)[0]
        return bounded_sigmoid((1 - self.SHARE) * first + self.SHARE * again)
