"""Pictures whose foreground, background and alpha are known, because they are drawn here; and coarse mattes of them.

All but the motion is drawn larger and averaged, so alpha is exact to a few hundredths. Lengths are in widths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont


class Composite(NamedTuple):
    """A picture and what it is made of: uint8 (H, W, 3) three times, and float32 (H, W) in [0, 1]."""

    image: np.ndarray
    foreground: np.ndarray
    background: np.ndarray
    alpha: np.ndarray


class Pen:
    """Draws in widths of the picture on a canvas that is `times` as large."""

    def __init__(self, height: int, width: int, seed: int) -> None:
        self.size, self.rng = (height, width), np.random.default_rng(seed)
        self.times = 3 if height * width < 5e6 else 2
        self.unit = width * self.times
        self.canvas = Image.new("L", (width * self.times, height * self.times))
        self.draw = ImageDraw.Draw(self.canvas)

    def disc(self, x: float, y: float, radius: float, value: int = 255) -> None:
        corners = [
            (x - radius) * self.unit,
            (y - radius) * self.unit,
            (x + radius) * self.unit,
            (y + radius) * self.unit,
        ]
        self.draw.ellipse(corners, fill=value)

    def strokes(self, count: int, radius: float, length: float, thickness: float, wildness: float) -> None:
        """Grow bent hairs from a disc in the middle."""
        t = np.linspace(0, 1, 12)[:, None]
        for _ in range(count):
            angle = self.rng.uniform(0, 2 * np.pi)
            root = np.array([0.5, 0.375]) + 0.95 * radius * np.array([np.cos(angle), np.sin(angle)])
            turn = angle + self.rng.normal(0, wildness)
            reach = length * self.rng.uniform(0.4, 1.1)
            tip = root + reach * np.array([np.cos(turn), np.sin(turn)])
            curve = root * (1 - t) + tip * t + 4 * t * (1 - t) * self.rng.normal(0, 0.15 * reach, 2)
            wide = max(1, round(thickness * self.rng.uniform(0.5, 1.5) * self.unit))
            self.draw.line([tuple(point) for point in curve * self.unit], fill=255, width=wide, joint="curve")

    def alpha(self) -> np.ndarray:
        return np.asarray(self.canvas.reduce(self.times), np.float32) / 255


def hair(pen: Pen) -> np.ndarray:
    pen.disc(0.5, 0.375, 0.15)
    pen.strokes(700, 0.15, 0.16, 0.0009, 0.6)
    return pen.alpha()


def fur(pen: Pen) -> np.ndarray:
    pen.disc(0.5, 0.375, 0.22)
    pen.strokes(5000, 0.22, 0.035, 0.0011, 0.5)
    return pen.alpha()


def lace(pen: Pen) -> np.ndarray:
    pen.draw.rounded_rectangle([0.2 * pen.unit, 0.15 * pen.unit, 0.8 * pen.unit, 0.6 * pen.unit], 0.04 * pen.unit, 255)
    for x in np.arange(0.24, 0.78, 0.024):
        for y in np.arange(0.19, 0.58, 0.024):
            pen.disc(x, y, 0.0085, 0)
    return pen.alpha()


def motion(pen: Pen) -> np.ndarray:
    pen.disc(0.45, 0.375, 0.16)
    alpha, length = pen.alpha(), round(0.05 * pen.size[1])
    sums = np.pad(alpha, ((0, 0), (length + 1, 0))).cumsum(1, np.float64)
    return ((sums[:, length:] - sums[:, :-length])[:, 1:] / length).clip(0, 1).astype(np.float32)


def glass(pen: Pen) -> np.ndarray:
    left, top, right, bottom = (value * pen.unit for value in (0.36, 0.1, 0.64, 0.64))
    pen.draw.rounded_rectangle([left, top, right, bottom], 0.03 * pen.unit, 90, 230, max(1, round(0.008 * pen.unit)))
    pen.draw.rectangle([left, 0.35 * pen.unit, right, 0.48 * pen.unit], fill=255)
    return pen.alpha()


def rings(pen: Pen) -> np.ndarray:
    pen.disc(0.27, 0.24, 0.13)
    pen.disc(0.27, 0.24, 0.105, 0)
    font = ImageFont.load_default(0.3 * pen.unit)
    pen.draw.text((0.5 * pen.unit, 0.05 * pen.unit), "O8", 255, font)
    pen.draw.text((0.12 * pen.unit, 0.38 * pen.unit), "aBe&", 255, font)
    return pen.alpha()


def vector(pen: Pen) -> np.ndarray:
    angle = np.arange(14) * np.pi / 7
    radius = np.where(np.arange(14) % 2, 0.16, 0.32)
    points = np.stack([0.5 + radius * np.sin(angle), 0.375 - radius * np.cos(angle)], -1) * pen.unit
    pen.draw.polygon([tuple(point) for point in points], fill=255)
    return pen.alpha()


SCENES: dict[str, Callable[[Pen], np.ndarray]] = {
    "hair": hair,
    "fur": fur,
    "lace": lace,
    "motion": motion,
    "glass": glass,
    "rings": rings,
    "vector": vector,
}


def surface(height: int, width: int, rng: np.random.Generator, fine: int) -> np.ndarray:
    """Paint a mottled surface of two related colours, float32 (H, W, 3) from 0 to 255."""
    field = np.zeros((height, width), np.float32)
    for octave in range(5):
        cells = fine * 2**octave
        grid = Image.fromarray(rng.standard_normal((cells * 3 // 4 + 2, cells), np.float32))
        field += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) * np.float32(0.6**octave)
    colours = rng.uniform(20, 235, 3) + rng.normal(0, 45, (2, 3))
    share = (0.5 + 0.35 * field)[..., np.newaxis].clip(0, 1)
    return (colours[0] * share + colours[1] * (1 - share)).clip(0, 255).astype(np.float32)


def draw(name: str, height: int = 1224, width: int = 1632, seed: int = 0) -> Composite:
    """Draw one scene of `SCENES`, with a camera's noise (normal, 2 of 255)."""
    rng = np.random.default_rng([seed, list(SCENES).index(name)])
    alpha = SCENES[name](Pen(height, width, seed))
    foreground, background = surface(height, width, rng, 8), surface(height, width, rng, 3)
    image = background + alpha[..., np.newaxis] * (foreground - background)
    image += rng.standard_normal(image.shape, np.float32) * 2
    return Composite(*(np.rint(part.clip(0, 255)).astype(np.uint8) for part in (image, foreground, background)), alpha)


def disc(size: int = 160, radius: float = 50.0, softness: float = 10.0) -> np.ndarray:
    """Return the alpha of a disc in the middle of a square; it falls linearly over `softness` pixels."""
    y, x = np.mgrid[:size, :size] - size / 2
    return np.clip((radius - np.hypot(y, x)) / softness + 0.5, 0, 1).astype(np.float32)


def pierced(kind: str) -> np.ndarray:
    """Return the alpha of a ring, a frame or a letter O, drawn at four times its 160 pixels and reduced."""
    mask = Image.new("L", (640, 640))
    pen = ImageDraw.Draw(mask)
    shape = {"ring": pen.ellipse, "frame": pen.rectangle, "letter": pen.ellipse}[kind]
    outer, inner = {
        "ring": ((80, 80, 560, 560), (150, 150, 490, 490)),
        "frame": ((60, 100, 580, 540), (110, 150, 530, 490)),
        "letter": ((200, 80, 440, 560), (270, 150, 370, 490)),
    }[kind]
    shape(outer, fill=255)
    shape(inner, fill=0)
    return np.asarray(mask.resize((160, 160), Image.Resampling.BOX), np.float32) / 255


def photo(subject: ArrayLike, behind: ArrayLike, alpha: np.ndarray) -> np.ndarray:
    """Mix two colours, or two pictures, as a camera does, and round; uint8 (H, W, 3)."""
    weight = alpha[..., np.newaxis]
    return np.rint(weight * np.array(subject, float) + (1 - weight) * np.array(behind, float)).astype(np.uint8)


def resized(alpha: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    """Resize a matte to a width and height; what a filter adds under 0 and over 1 is cut off."""
    return np.asarray(Image.fromarray(alpha).resize(size, resample)).clip(0, 1)


def coarsen(alpha: np.ndarray, side: int = 320, spoil: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Squeeze a matte to a square, as models see it, spoil it there, and enlarge it again."""
    small = resized(alpha, (side, side), Image.Resampling.BOX)
    small = small if spoil is None else spoil(small)
    return resized(small.astype(np.float32), alpha.shape[::-1], Image.Resampling.BICUBIC)


def sharpened_blur(small: np.ndarray) -> np.ndarray:
    """Blur by 2.5 pixels and triple the contrast around one half, as models err."""
    return (3 * (blurred(small, 2.5) - 0.5) + 0.5).clip(0, 1)


def shifted_noise(small: np.ndarray) -> np.ndarray:
    """Blur, move by a pixel right and down, wobble, and triple the contrast."""
    rng = np.random.default_rng(5)
    wobble = 0.35 * blurred(rng.standard_normal(small.shape).astype(np.float32), 2.5) * 5
    moved = np.roll(blurred(small, 1.5), (1, 1), (0, 1))
    return (3 * (moved + wobble * 0.5 - 0.5) + 0.5).clip(0, 1)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur with a Gaussian; float32 (H, W) in and out, the frame repeated."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for _ in range(2):
        padded = np.pad(values, ((reach, reach), (0, 0)), "edge")
        values = sum(weight * padded[k : k + len(values)] for k, weight in enumerate(kernel)).T
    return values.astype(np.float32)
