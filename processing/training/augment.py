"""What makes a training sample out of the stored pictures: a scene, a view of it, a light, a camera.

Everything here works on uint8 arrays at the size of the sample: colour changes are look-up tables, and one affine warp
does crop, scale, turn and mirror at once. That keeps a sample at a few milliseconds, less than the network's own share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.training.data import Decoded, Pair, Sampler, decode_picture
from processing.training.rendering import render, render_empty

Picture = NDArray[np.uint8]
Scene = tuple[Picture, Picture]  # uint8 (H, W, 3) RGB and uint8 (H, W) alpha

# Where an object may be cut out and pasted elsewhere: its mask must fill this share of the picture.
PASTE_AREA = (0.02, 0.65)
# A picture's empty part serves as a background if it is at least this share of each side.
EMPTY_SIDE = 0.4


@dataclass(frozen=True)
class Mixture:
    """How often each kind of scene comes: the shares need not add up to 1."""

    real: float = 0.66
    pasted: float = 0.2
    rendered: float = 0.08
    empty: float = 0.06

    def draw(self, rng: np.random.Generator) -> str:
        """Draw one kind."""
        kinds = {"real": self.real, "pasted": self.pasted, "rendered": self.rendered, "empty": self.empty}
        share = np.array(list(kinds.values()))
        return str(rng.choice(list(kinds), p=share / share.sum()))


@dataclass(frozen=True)
class Variety:
    """How often a sample differs from what the product will show: as shares of the samples.

    Parameters
    ----------
    parts : float
        Show a part of the scene, or all of it from farther away, instead of the whole squeezed to a square.
    light : float
        Change light and colours; as often, independently, what a camera does.
    """

    parts: float = 0.8
    light: float = 1.0


class Samples:
    """Draws augmented samples: picture uint8 (S, S, 3), alpha uint8 (S, S) and the index of the pair they come from."""

    def __init__(
        self,
        pairs: Sequence[Pair | Decoded],
        backgrounds: Sequence[bytes],
        sampler: Sampler,
        mixture: Mixture,
        size: int,
        variety: Variety | None = None,
    ) -> None:
        self.pairs, self.backgrounds, self.sampler, self.mixture = pairs, backgrounds, sampler, mixture
        self.size, self.variety = size, variety or Variety()

    def draw(self, rng: np.random.Generator) -> tuple[Picture, Picture, int]:
        """Draw one sample; its index is -1 if its scene is no single pair's."""
        index = -1
        kind = self.mixture.draw(rng)
        if kind == "real":
            index = self.sampler.draw(rng)
            picture, alpha = view(rng, self.pairs[index].decode(), self.size, self.variety.parts)
        elif kind == "pasted":
            picture, alpha = self._pasted(rng)
        elif kind == "rendered":
            picture, alpha = render(rng, (self.size, self.size))
        else:
            picture = self._background(rng) if rng.random() < 0.8 else render_empty(rng, (self.size, self.size))
            alpha = np.zeros(picture.shape[:2], np.uint8)
        if rng.random() < 0.5:
            picture, alpha = picture[:, ::-1], alpha[:, ::-1]
        picture = self._light(rng, picture)
        if rng.random() < self.variety.light:
            picture = camera(rng, picture)
        return np.ascontiguousarray(picture), np.ascontiguousarray(alpha), index

    def _light(self, rng: np.random.Generator, picture: Picture) -> Picture:
        return light(rng, picture) if rng.random() < self.variety.light else picture

    def _pasted(self, rng: np.random.Generator) -> Scene:
        """Paste one object, sometimes two, on a background with nothing in it."""
        picture = self._background(rng)
        alpha = np.zeros(picture.shape[:2], np.uint8)
        for _ in range(1 + (rng.random() < 0.25)):
            layer = self._object(rng)
            if layer is not None:
                picture, alpha = paste(picture, alpha, *layer)
        return picture, alpha

    def _object(self, rng: np.random.Generator) -> Scene | None:
        """Draw an object and place it: anywhere, from a tenth of the side to more than all of it."""
        for _ in range(4):
            picture, mask = self.pairs[self.sampler.draw(rng)].decode()
            if PASTE_AREA[0] < mask.mean() / 255 < PASTE_AREA[1]:
                break
        else:
            return None
        x, y, width, height = cv2.boundingRect((mask > 127).astype(np.uint8))
        scale = self.size * np.exp(rng.uniform(np.log(0.18), np.log(1.15))) / max(width, height)
        angle = rng.uniform(-0.35, 0.35) if rng.random() < 0.5 else 0.0
        centre = self.size * rng.uniform(0.2, 0.8, 2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.c_[turn, centre - turn @ (x + width / 2, y + height / 2)]
        # The mask's rim holds the old background: draw it in by a pixel, then soften it.
        inner = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
        return (
            self._light(rng, _warp(picture, matrix, self.size, cv2.BORDER_REFLECT_101)),
            _warp(inner, matrix, self.size, cv2.BORDER_CONSTANT),
        )

    def _background(self, rng: np.random.Generator) -> Picture:
        """Draw a picture with nothing in it: the empty part of a pair, or a blurred or magnified photo."""
        if self.backgrounds and rng.random() < 0.3:
            photo = decode_picture(self.backgrounds[int(rng.integers(len(self.backgrounds)))])
            photo = _crop(rng, photo, (0.25, 0.6))
        else:
            photo = self._empty_photo(rng)
        picture = cv2.resize(photo, (self.size, self.size))
        if rng.random() < 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 6))
        return np.asarray(picture, np.uint8)

    def _empty_photo(self, rng: np.random.Generator) -> Picture:
        for _ in range(6):
            photo, mask = self.pairs[self.sampler.draw(rng)].decode()
            part = empty_part(mask)
            if part is not None:
                top, left, height, width = part
                return photo[top : top + height, left : left + width]
        return render_empty(rng, (self.size, self.size))


def empty_part(mask: Picture) -> tuple[int, int, int, int] | None:
    """Find the largest band beside, above or below the object: top, left, height, width, or None if all are narrow."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.max(1) > 16), np.flatnonzero(mask.max(0) > 16)
    if not len(rows):
        return 0, 0, height, width
    gap = 3  # a mask's rim is not exact
    top, bottom = max(rows[0] - gap, 0), min(rows[-1] + 1 + gap, height)
    left, right = max(columns[0] - gap, 0), min(columns[-1] + 1 + gap, width)
    bands = [
        (0, 0, top, width),
        (bottom, 0, height - bottom, width),
        (0, 0, height, left),
        (0, right, height, width - right),
    ]
    best = max(bands, key=lambda band: band[2] * band[3])
    narrow = best[2] < EMPTY_SIDE * height or best[3] < EMPTY_SIDE * width
    return None if narrow else (int(best[0]), int(best[1]), int(best[2]), int(best[3]))


def view(rng: np.random.Generator, scene: Scene, size: int, parts: float = 0.8) -> Scene:
    """Look at a scene as the product does, squeezed to a square, or, in `parts` of all cases, in another way."""
    picture, alpha = scene
    for _ in range(4):
        matrix = _matrix(rng, picture.shape[:2], size, parts)
        seen = _warp(alpha, matrix, size, cv2.BORDER_REFLECT_101)
        # A view that lost its object, or sees nothing else, teaches the wrong thing.
        if alpha.max() < 128 or 0.01 < seen.mean() / 255 < 0.9:
            break
    else:
        matrix = _squeeze(picture.shape[:2], size)
        seen = _warp(alpha, matrix, size, cv2.BORDER_REFLECT_101)
    return _warp(picture, matrix, size, cv2.BORDER_REFLECT_101), seen


def _squeeze(shape: tuple[int, ...], size: int) -> NDArray[np.float64]:
    height, width = shape
    return np.array([[size / width, 0, 0], [0, size / height, 0]])


def _matrix(rng: np.random.Generator, shape: tuple[int, ...], size: int, parts: float) -> NDArray[np.float64]:
    """Choose a view of (H, W), of a part or from farther away, as the 2x3 matrix that warps it to a square."""
    if rng.random() >= parts:
        return _squeeze(shape, size)
    height, width = shape
    part = rng.uniform(0.6, 1.1 if rng.random() < 0.3 else 1.0)
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    seen = np.array([width * part * stretch, height * part / stretch]).clip(None, 1.2 * np.array([width, height]))
    room = np.array([width, height]) - seen
    centre = seen / 2 + np.where(room > 0, room * rng.random(2), room / 2)
    angle = rng.uniform(-0.25, 0.25) if rng.random() < 0.25 else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.diag(size / seen) @ turn
    return np.c_[scale, np.array([size / 2, size / 2]) - scale @ centre]


def _warp(picture: Picture, matrix: NDArray[np.float64], size: int, border: int) -> Picture:
    """Warp to a square; what shrinks much is reduced first, since a warp alone would alias."""
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink < 0.6:
        picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        matrix = np.c_[matrix[:, :2] / shrink, matrix[:, 2]]
    return np.asarray(
        cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8
    )


def _crop(rng: np.random.Generator, picture: Picture, part: tuple[float, float]) -> Picture:
    """Cut out a rectangle with a random part of each side, anywhere."""
    height, width = (int(side * rng.uniform(*part)) for side in picture.shape[:2])
    top, left = rng.integers(picture.shape[0] - height + 1), rng.integers(picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


def paste(picture: Picture, alpha: Picture, layer: Picture, layer_alpha: Picture) -> Scene:
    """Lay one picture over another, with straight alpha."""
    weight = layer_alpha[..., None].astype(np.uint16)
    mixed = (layer * weight + picture * (255 - weight) + 127) // 255
    return mixed.astype(np.uint8), np.maximum(alpha, layer_alpha)


def light(rng: np.random.Generator, picture: Picture) -> Picture:
    """Change brightness, contrast, gamma, colour balance and saturation; sometimes to grey or to near darkness."""
    if rng.random() < 0.15:
        return picture
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    levels = levels ** np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.08, 3))  # gamma, colour balance
    levels = (levels - 0.5) * rng.uniform(0.7, 1.35) + 0.5 + rng.uniform(-0.12, 0.12)  # contrast, brightness
    if rng.random() < 0.06:
        levels = levels * rng.uniform(0.12, 0.4)  # low light
    table = (levels.clip(0, 1) * 255).astype(np.uint8)
    picture = np.asarray(cv2.LUT(picture, table[None]), np.uint8)
    if rng.random() < 0.7:
        grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        saturation = 0.0 if rng.random() < 0.1 else rng.uniform(0.4, 1.5)
        picture = np.asarray(cv2.addWeighted(picture, saturation, grey, 1 - saturation, 0), np.uint8)
    return picture


def camera(rng: np.random.Generator, picture: Picture) -> Picture:
    """Blur, add noise, store as JPEG: each sometimes."""
    if rng.random() < 0.15:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.8)), np.uint8)
    if rng.random() < 0.15:
        noise = np.empty(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, (0, 0, 0), (rng.uniform(2, 14),) * 3)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = int(rng.integers(25, 90))
        _, stored = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(picture)
