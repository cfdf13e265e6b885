"""Pictures of soft edges with exact alpha, and coarse mattes as models make them: what the refiner learns from.

A sample is a composite of two pictures along a rendered matte: outlines with hair, fur, lace, wires, glass, blur and
motion; or a part of a photo whose alpha was measured, before its own background or another one. Its coarse matte is the
true one made small, spoilt as models spoil it, and enlarged again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.foreground import estimate_foreground
from processing.training.augment import Picture, camera, light
from processing.training.data import decode_picture
from processing.training.rendering.outlines import OUTLINES, blob
from processing.training.rendering.textures import backdrop, fractal, pick, texture

Field = NDArray[np.float32]

SIDE = 128  # of a sample, in pixels
_MARGIN = 16  # drawn around it, so that its rim is spoilt as the rest is
_FINE = 3  # strokes are drawn so many times larger
_STREAK = 32  # half of the longest motion, in pixels
_MEASURED = 0.3  # of the samples, where there are measured mattes


@dataclass(frozen=True, eq=False)
class Measured:
    """A photo, uint8 (H, W, 3), its measured alpha, float32 (H, W), and its foreground's colours, uint8 (H, W, 3)."""

    image: Picture
    alpha: Field
    foreground: Picture

    @classmethod
    def of(cls, image: Picture, alpha: Picture) -> Measured:
        """Estimate the foreground of a photo with an alpha matte, uint8 (H, W)."""
        matte = np.asarray(alpha / 255, np.float32)
        return cls(image, matte, estimate_foreground(image, matte))


def sample(
    rng: np.random.Generator, photos: Sequence[bytes], measured: Sequence[Measured] = ()
) -> tuple[Picture, Field, Field]:
    """Draw one sample.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the chance comes from.
    photos : sequence of bytes
        Encoded pictures whose parts serve as foregrounds and backgrounds; rendered textures do where there are none.
    measured : sequence of Measured
        Photos with their mattes; where there are any, three in ten samples are parts of them.

    Returns
    -------
    image : ndarray of uint8, shape (SIDE, SIDE, 3)
        The composite.
    coarse, alpha : ndarray of float32, shape (SIDE, SIDE)
        The spoilt and the true matte, in [0, 1].
    """
    side = SIDE + 2 * _MARGIN
    if measured and rng.random() < _MEASURED:
        image, alpha = _photographed(rng, photos, measured[int(rng.integers(len(measured)))], side)
    else:
        image, alpha = _composite(rng, photos, side)
    coarse = spoil(rng, alpha)
    inner = slice(_MARGIN, -_MARGIN)
    return camera(rng, light(rng, image[inner, inner])), coarse[inner, inner], alpha[inner, inner]


def _photographed(
    rng: np.random.Generator, photos: Sequence[bytes], whole: Measured, side: int
) -> tuple[Picture, Field]:
    """Cut a square with a soft edge out of a photo, larger or smaller and turned, maybe before another background."""
    soft = np.argwhere((whole.alpha > 0.02) & (whole.alpha < 0.98))
    part = min(round(side * np.exp(rng.uniform(np.log(0.7), np.log(2.5)))), *whole.alpha.shape)
    middle = soft[rng.integers(len(soft))] + rng.normal(0, part / 6, 2)
    top, left = np.clip(np.rint(middle - part / 2), 0, np.array(whole.alpha.shape) - part).astype(int)
    quarters, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def seen(picture: NDArray) -> Field:
        cut = np.ascontiguousarray(picture[top : top + part, left : left + part])
        cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if part > side else cv2.INTER_LINEAR)
        return np.asarray(np.rot90(cut[:, ::-1] if mirrored else cut, quarters), np.float32)

    alpha = seen(whole.alpha)
    if rng.random() < 0.5:
        return seen(whole.image).astype(np.uint8), alpha
    foreground, background = seen(whole.foreground), picture(rng, photos, side)
    return np.rint(background + alpha[..., None] * (foreground - background)).astype(np.uint8), alpha


def _composite(rng: np.random.Generator, photos: Sequence[bytes], side: int) -> tuple[Picture, Field]:
    """Lay one picture over another with a rendered matte."""
    alpha, shade = matte(rng, side)
    foreground = picture(rng, photos, side)
    if rng.random() < 0.5:  # a coat: one colour and its shades
        coat = foreground[rng.integers(side), rng.integers(side)] + 40 * (fractal(rng, (side, side)) - 0.5)[..., None]
        foreground = cv2.addWeighted(foreground, 0.3, coat.astype(np.float32), 0.7, 0)
    foreground = np.clip(foreground + shade[..., None], 0, 255)
    background = picture(rng, photos, side)
    if rng.random() < 0.5:
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.7, 8))
    return np.rint(background + alpha[..., None] * (foreground - background)).astype(np.uint8), alpha


def picture(rng: np.random.Generator, photos: Sequence[bytes], side: int) -> Field:
    """Give a part of a photo, or a rendered picture, as float32 (side, side, 3) from 0 to 255."""
    if not photos or rng.random() < 0.2:
        draw = texture if rng.random() < 0.5 else backdrop
        rendered = draw(rng, (side, side))
        return np.asarray(np.clip(rendered, 0, 1) * 255, np.float32)
    photo = decode_picture(photos[int(rng.integers(len(photos)))])
    part = min(side / rng.uniform(0.8, 2.0), *photo.shape[:2])
    top, left = (int(rng.integers(int(length - part) + 1)) for length in photo.shape[:2])
    part = int(part)
    return cv2.resize(photo[top : top + part, left : left + part], (side, side)).astype(np.float32)


def matte(rng: np.random.Generator, side: int) -> tuple[Field, Field]:
    """Draw an alpha matte in [0, 1], and how much brighter or darker its strokes are, in levels of 255."""
    fine = side * _FINE
    canvas, shade = np.zeros((fine, fine), np.uint8), np.zeros((fine, fine), np.float32)
    outlines = _outlines(rng, fine)
    cv2.fillPoly(canvas, outlines, 255)
    kind = rng.choice(["plain", "hair", "fur", "lace", "wires"], p=[0.25, 0.35, 0.2, 0.1, 0.1])
    if kind in ("hair", "fur"):
        _grow(rng, canvas, shade, outlines, fur=kind == "fur")
    elif kind == "lace":
        _punch(rng, canvas)
    elif kind == "wires":
        for _ in range(rng.integers(2, 12)):
            _stroke(canvas, rng.uniform(0, fine, 2), rng.uniform(0, fine, 2), rng.normal(0, fine / 6, 2),
                    int(rng.integers(1, 9)), 255)  # fmt: skip
    alpha = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    alpha = _glaze(rng, _soften(rng, alpha))
    return alpha, cv2.resize(shade, (side, side), interpolation=cv2.INTER_AREA)


def _outlines(rng: np.random.Generator, fine: int) -> list[NDArray[np.int32]]:
    """Draw one to three outlines; the first is large, so that its edge crosses the sample."""
    drawn = []
    for number in range(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])):
        outline = blob(rng) if rng.random() < 0.5 else pick(rng, OUTLINES)(rng)
        scale = fine * (np.exp(rng.uniform(np.log(0.2), np.log(1.2))) if number == 0 else rng.uniform(0.03, 0.2))
        angle = rng.uniform(0, 2 * np.pi)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        reach = rng.uniform(0, 2 * np.pi)
        middle = fine / 2 + rng.uniform(0, 0.9) * scale * np.array([np.cos(reach), np.sin(reach)])
        drawn += [np.rint(contour @ turn.T + middle).astype(np.int32) for contour in outline]
    return drawn


def _grow(
    rng: np.random.Generator, canvas: Picture, shade: Field, outlines: list[NDArray[np.int32]], *, fur: bool
) -> None:
    """Grow hair from the outlines, in one direction or every which way, some of it in tufts."""
    fine = len(canvas)
    points = np.concatenate([_dense(outline) for outline in outlines])
    points = points[((points > -60) & (points < fine + 60)).all(1)]
    if not len(points):
        return
    middle = outlines[0].mean(0)
    length = fine * (rng.uniform(0.02, 0.1) if fur else np.exp(rng.uniform(np.log(0.06), np.log(0.5))))
    count = int(len(points) * (rng.uniform(0.3, 1.2) if fur else np.exp(rng.uniform(np.log(0.02), np.log(0.6)))))
    thickness, wildness = rng.choice([1, 2, 3, 4, 5], p=[0.2, 0.3, 0.25, 0.15, 0.1]), rng.uniform(0.05, 0.8)
    wind, opacity = rng.normal(0, 0.5, 2), rng.uniform(110, 256)
    for root in points[rng.integers(len(points), size=min(count, 1500))]:
        away = (root - middle) / max(np.hypot(*(root - middle)), 1) + wind + rng.normal(0, wildness, 2)
        tip = root + away * length * rng.uniform(0.4, 1.3)
        bend = rng.normal(0, length * 0.25, 2)
        width = max(1, int(thickness + rng.integers(-1, 2)))
        _stroke(canvas, root, tip, bend, width, rng.uniform(opacity, 256))
        _stroke(shade, root, tip, bend, width, rng.normal(0, 25))


def _dense(outline: NDArray[np.int32]) -> NDArray[np.float64]:
    """Walk along a closed outline in steps of about three pixels."""
    closed = np.concatenate([outline, outline[:1]]).astype(float)
    way = np.concatenate([[0], np.hypot(*np.diff(closed, axis=0).T).cumsum()])
    steps = np.arange(0, way[-1], 3)
    return np.stack([np.interp(steps, way, closed[:, axis]) for axis in (0, 1)], -1)


def _stroke(canvas: NDArray, start: NDArray, end: NDArray, bend: NDArray, thickness: int, value: float) -> None:
    """Draw a bent stroke; where strokes cross, the last one counts."""
    t = np.linspace(0, 1, 9)[:, None]
    curve = start * (1 - t) + end * t + 4 * t * (1 - t) * bend
    half = len(curve) // 2
    for part, width in ((curve[: half + 1], thickness), (curve[half:], max(1, thickness - 1))):  # hair tapers
        cv2.polylines(canvas, [np.rint(part * 16).astype(np.int32)], False, float(value), width, cv2.LINE_AA, 4)


def _punch(rng: np.random.Generator, canvas: Picture) -> None:
    """Punch a lattice of holes, as lace, nets and fences have it."""
    step, angle = int(rng.integers(12, 60)), rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    radius = step * rng.uniform(0.2, 0.46)
    reach = len(canvas) // step + 1
    for place in (np.moveaxis(np.mgrid[-reach:reach, -reach:reach], 0, -1) * step).reshape(-1, 2):
        x, y = turn @ place + len(canvas) / 2 + rng.normal(0, 1, 2)
        if -step < x < len(canvas) + step and -step < y < len(canvas) + step:
            cv2.circle(canvas, (int(x), int(y)), int(radius), 0, -1, cv2.LINE_AA)


def _soften(rng: np.random.Generator, alpha: Field) -> Field:
    """Put the edge out of focus, or move it, all along or in places."""
    chance = rng.random()
    if chance < 0.45:
        return alpha
    if chance < 0.8:
        soft = cv2.GaussianBlur(alpha, (0, 0), np.exp(rng.uniform(np.log(0.4), np.log(16))))
    else:
        length, angle = np.exp(rng.uniform(np.log(3), np.log(2 * _STREAK))), rng.uniform(0, np.pi)
        kernel = np.zeros((2 * _STREAK + 1, 2 * _STREAK + 1), np.float32)
        reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(np.rint((_STREAK + sign * reach) * 16).astype(int).tolist()) for sign in (-1, 1)]
        cv2.line(kernel, *ends, 1, 1, cv2.LINE_AA, 4)
        soft = cv2.filter2D(alpha, -1, kernel / kernel.sum())
    if rng.random() < 0.3:
        where = np.clip(fractal(rng, alpha.shape) * 3 - 1, 0, 1)
        soft = alpha + where * (soft - alpha)
    # A long kernel is applied by way of frequencies, which leaves the range by rounding.
    return np.asarray(np.clip(soft, 0, 1), np.float32)


def _glaze(rng: np.random.Generator, alpha: Field) -> Field:
    """Make a part of the object glass."""
    if rng.random() > 0.15:
        return alpha
    pane = np.zeros(alpha.shape, np.uint8)
    cv2.fillPoly(pane, _outlines(rng, len(alpha)), 255)
    return np.where(pane > 0, alpha * np.float32(rng.uniform(0.15, 0.8)), alpha)


def spoil(rng: np.random.Generator, alpha: Field) -> Field:
    """Make a matte as coarse as models do: small, blurred, with too much contrast, a little aside, uneven.

    A third of the mattes are reduced and enlarged and nothing more: there is little to be mended then.
    """
    side, ratio = len(alpha), np.exp(rng.uniform(np.log(0.8), np.log(4.5)))
    low = max(8, round(side / ratio))
    small = cv2.resize(alpha, (low, low), interpolation=cv2.INTER_AREA)
    if rng.random() > 0.33:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.4, 3.3))
        if rng.random() < 0.5:
            small = small + (fractal(rng, small.shape) - 0.5) * rng.uniform(0, 0.4)
        if rng.random() < 0.8:
            small = (small - rng.normal(0.5, 0.06)) * np.exp(rng.uniform(0, np.log(5))) + 0.5
        small = np.clip(small, 0, 1).astype(np.float32)
        if rng.random() < 0.4:
            small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 1))
        if rng.random() < 0.5:
            aside = np.array([[1, 0, rng.normal(0, 0.6)], [0, 1, rng.normal(0, 0.6)]])
            small = cv2.warpAffine(small, aside, (low, low), borderMode=cv2.BORDER_REPLICATE)
    return np.clip(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
