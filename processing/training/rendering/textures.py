"""Random textures and backdrops for rendered training pictures.

To add a texture, write a function that returns a field in [0, 1] and give it a row in `PATTERNS`;
a backdrop is a function that returns a picture and a row in `BACKDROPS`.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Size = tuple[int, int]
Kind = TypeVar("Kind")
_CELLS = (1.0, 1.0)


def pick(rng: np.random.Generator, table: Mapping[Kind, float]) -> Kind:
    """Return one key of a table of weights."""
    weights = np.fromiter(table.values(), float)
    return list(table)[rng.choice(len(weights), p=weights / weights.sum())]


def colour(rng: np.random.Generator) -> Field:
    """Return a random sRGB colour, float32 in [0, 1]; one in four is nearly grey, some are black or white."""
    saturation = rng.uniform(0, 0.1) if rng.random() < 0.25 else rng.beta(1.6, 1.8)
    hue = np.clip(np.abs((rng.random() * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    value = np.clip(rng.uniform(-0.05, 1.1), 0.02, 1) ** 0.7  # sRGB: half of the light is a value of 0.73
    return np.asarray(value * (1 - saturation * (1 - hue)), np.float32)


def coordinates(size: Size, angle: float) -> tuple[Field, Field]:
    """Return the pixel coordinates along and across a direction, centred, in units of the longer side."""
    rows = (np.arange(size[0], dtype=np.float32)[:, None] - size[0] / 2) / max(size)
    columns = (np.arange(size[1], dtype=np.float32)[None] - size[1] / 2) / max(size)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along, across = columns * cosine + rows * sine, rows * cosine - columns * sine
    return np.asarray(along, np.float32), np.asarray(across, np.float32)


def fractal(rng: np.random.Generator, size: Size, stretch: tuple[float, float] = _CELLS) -> Field:
    """Return fractal value noise, float32 (H, W) that fills [0, 1]; `stretch` multiplies the cells per axis."""
    total = np.zeros(size, np.float32)
    cells, gain = rng.uniform(2, 9), rng.uniform(0.35, 0.75)
    for octave in range(4):
        rows, columns = (max(2, int(cells * factor * 2**octave)) for factor in stretch)
        if min(rows, size[0]) == size[0] and min(columns, size[1]) == size[1]:
            break
        grid = rng.standard_normal((min(rows, size[0]), min(columns, size[1])), dtype=np.float32)
        total += cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(gain**octave)
    return _stretched(total)


def _stretched(field: Field) -> Field:
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)


def _plain(rng: np.random.Generator, size: Size) -> Field:
    return np.full(size, 0.5, np.float32)


def _ramp(rng: np.random.Generator, size: Size) -> Field:
    along, across = coordinates(size, rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.4:
        along = np.hypot(along - rng.uniform(-0.4, 0.4), across - rng.uniform(-0.4, 0.4))
    return _stretched(along + 0 * across)


def _speckle(rng: np.random.Generator, size: Size) -> Field:
    noise = np.clip(0.5 + 0.25 * rng.standard_normal(size, dtype=np.float32), 0, 1)
    return noise if rng.random() < 0.3 else _stretched(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 2)))


def _stripes(rng: np.random.Generator, size: Size) -> Field:
    along, across = coordinates(size, rng.uniform(0, np.pi))
    wave = np.sin((along + 0 * across) * rng.uniform(15, 150))
    return np.asarray(0.5 + 0.5 * np.clip(wave * rng.choice([1, 8]), -1, 1), np.float32)


def _checks(rng: np.random.Generator, size: Size) -> Field:
    along, across = coordinates(size, rng.choice([0, np.pi / 4, rng.uniform(0, np.pi)]))
    waves = [np.clip(8 * np.sin(line * rng.uniform(20, 90)), -1, 1) for line in (along, across)]
    return np.asarray(0.5 + (0.5 * waves[0] * waves[1] if rng.random() < 0.5 else 0.25 * (waves[0] + waves[1])))


def _bricks(rng: np.random.Generator, size: Size) -> Field:
    columns, rows = coordinates(size, 0)
    courses, bond = rng.uniform(5, 18), rng.choice([0, 0.5])
    course = np.floor(rows * courses)
    across = columns * courses / rng.uniform(1, 3) + bond * (course % 2)
    shade = rng.random(997, dtype=np.float32)[((np.floor(across) * 31 + course * 57) % 997).astype(np.int32)]
    joint = np.minimum(rows * courses - course, (across - np.floor(across)) * 2) < rng.uniform(0.04, 0.15)
    return cv2.GaussianBlur(np.where(joint, np.float32(0), 0.4 + 0.6 * shade).astype(np.float32), (3, 3), 0)


def _wood(rng: np.random.Generator, size: Size) -> Field:
    upright = rng.random() < 0.5
    grain = fractal(rng, size, (12, 0.5) if upright else (0.5, 12))
    along, across = coordinates(size, 0 if upright else np.pi / 2)
    boards = rng.uniform(3, 9)
    tone = rng.random(32, dtype=np.float32)[(np.floor(across * boards) % 32).astype(np.int32)]
    gap = (across * boards) % 1 < 0.04
    return np.asarray(np.where(gap, 0, 0.25 + 0.4 * grain + 0.35 * tone) + 0 * along, np.float32)


def _marble(rng: np.random.Generator, size: Size) -> Field:
    along, across = coordinates(size, rng.uniform(0, np.pi))
    veins = np.sin((along + 0 * across) * rng.uniform(5, 30) + fractal(rng, size) * rng.uniform(6, 20))
    return np.abs(veins) ** np.float32(rng.uniform(0.3, 1.5))


def _cells(rng: np.random.Generator, size: Size) -> Field:
    seeds = np.full(size, 255, np.uint8)
    count = int(rng.integers(12, 300))
    seeds[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    distance, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    tone = rng.random(count + 1, dtype=np.float32)[label % (count + 1)]
    return _stretched(tone - distance * np.float32(rng.choice([0, 4]) * count**0.5 / max(size)))


def _dots(rng: np.random.Generator, size: Size) -> Field:
    along, across = coordinates(size, rng.uniform(0, np.pi))
    pitch = rng.uniform(25, 90)
    return np.clip(6 * (np.sin(along * pitch) * np.sin(across * pitch) - rng.uniform(0.1, 0.7)), 0, 1)


def _blades(rng: np.random.Generator, size: Size) -> Field:
    return fractal(rng, size, (1, 5) if rng.random() < 0.5 else (4, 4))


PATTERNS: dict[Callable[[np.random.Generator, Size], Field], float] = {
    _plain: 2,
    _ramp: 2,
    fractal: 3,
    _speckle: 1,
    _stripes: 1.5,
    _checks: 1,
    _bricks: 1,
    _wood: 1.5,
    _marble: 1.5,
    _cells: 1.5,
    _dots: 0.7,
    _blades: 1.5,
}


def palette(rng: np.random.Generator) -> Field:
    """Return 256 colours, float32 (256, 3) in [0, 1], that run through two to five related colours."""
    base, spread = colour(rng), rng.choice([0.06, 0.2, 0.6])
    knots = [np.clip(base + spread * rng.normal(0, 0.25) + spread * rng.normal(0, 0.25, 3), 0, 1) for _ in range(3)]
    if rng.random() < 0.35:
        knots += [colour(rng) for _ in range(rng.integers(1, 3))]
    places = np.linspace(0, len(knots) - 1, 256)
    channels = [np.interp(places, np.arange(len(knots)), channel) for channel in np.transpose(knots)]
    return np.stack(channels, -1).astype(np.float32)


def texture(rng: np.random.Generator, size: Size) -> Field:
    """Paint a random texture for an object or a background.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every choice.
    size : tuple of int
        (height, width).

    Returns
    -------
    ndarray of float32, shape (H, W, 3)
        sRGB in [0, 1].
    """
    field = pick(rng, PATTERNS)(rng, size)
    levels = (field * 255).astype(np.uint8)
    painted = cv2.merge([cv2.LUT(levels, channel) for channel in palette(rng).T.copy()])
    if rng.random() < 0.5:  # stains and uneven light
        painted *= (1 - np.float32(rng.uniform(0.05, 0.4)) * fractal(rng, size))[..., None]
    return painted


def blurred(picture: Field, sigma: float) -> Field:
    """Return a picture out of focus; a wide blur is done on a smaller copy, for speed."""
    if sigma < 0.4:
        return picture
    if sigma < 3:
        return cv2.GaussianBlur(picture, (0, 0), sigma)
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(2, width // 4), max(2, height // 4)), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_CUBIC)


def flat(rng: np.random.Generator, size: Size) -> Field:
    """Return one colour; half of them are black, white or a grey."""
    tone = np.full(3, rng.choice([0, 1, 1, rng.random()])) if rng.random() < 0.5 else colour(rng)
    return np.broadcast_to(np.asarray(tone, np.float32), (*size, 3)).copy()


def studio(rng: np.random.Generator, size: Size) -> Field:
    """Return a light paper sweep: one tone with a soft vertical or round gradient."""
    paper = np.clip(rng.uniform(0.55, 1.05) + 0.03 * rng.standard_normal(3), 0, 1).astype(np.float32)
    tone = paper if rng.random() < 0.7 else colour(rng)
    shade = 1 - np.float32(rng.uniform(0, 0.45)) * _ramp(rng, size)
    return np.asarray(tone * shade[..., None], np.float32)


def landscape(rng: np.random.Generator, size: Size) -> Field:
    """Return a sky with clouds over textured ground, sometimes with a band of hills between them."""
    rows = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    blue, haze = (np.float32(base + rng.normal(0, 0.12, 3)) for base in ([0.25, 0.5, 0.9], [0.85, 0.88, 0.9]))
    cloud = np.clip(fractal(rng, size, (2, 1))[..., None] * 2.2 - np.float32(rng.uniform(0.8, 2)), 0, 1)
    sky = blue * (1 - rows) + haze * rows
    picture = sky + cloud * (np.float32(rng.uniform(0.85, 1)) - sky)
    for edge in np.cumsum(rng.uniform(0.15, 0.4, 2)) + 0.1:
        outline = np.float32(edge) + np.float32(rng.uniform(0, 0.15)) * (fractal(rng, (4, size[1]))[:1] - 0.5)
        top = int(np.clip(outline.min() * size[0] - 1, 0, size[0] - 1))
        below = np.clip((rows[top:, :, 0] - outline) * size[0], 0, 1)[..., None]
        picture[top:] += below * (texture(rng, (size[0] - top, size[1])) - picture[top:])
    return np.clip(picture, 0, 1)


def bokeh(rng: np.random.Generator, size: Size) -> Field:
    """Return a dim scene far out of focus with discs of light and dark shapes."""
    picture = blurred(texture(rng, size), 6) * np.float32(rng.uniform(0.4, 1))
    for _ in range(rng.integers(4, 25)):
        centre = (int(rng.integers(0, size[1])), int(rng.integers(0, size[0])))
        radius = int(max(2, rng.uniform(0.01, 0.12) * max(size)))
        spot = picture.copy() if rng.random() < 0.2 else picture
        if rng.random() < 0.6:
            cv2.circle(spot, centre, radius, colour(rng).tolist(), -1)
        else:
            corner = (centre[0] + 2 * radius, centre[1] + int(rng.integers(1, 5)) * radius)
            cv2.rectangle(spot, centre, corner, (colour(rng) * 0.7).tolist(), -1)
    return np.clip(blurred(picture, rng.uniform(1.5, 9)), 0, 1)


def surface(rng: np.random.Generator, size: Size) -> Field:
    """Return a texture seen straight on, in focus or not."""
    return np.clip(blurred(texture(rng, size), rng.choice([0, 0, 1, 3, 6])), 0, 1)


def corner(rng: np.random.Generator, size: Size) -> Field:
    """Return a wall over a floor, each with its own texture and light."""
    row = int(rng.uniform(0.3, 0.85) * size[0])
    picture = texture(rng, size) * np.float32(rng.uniform(0.6, 1))
    ground = texture(rng, size)
    squeezed = np.linspace(-1, 1, max(1, size[0] - row), dtype=np.float32)[:, None]
    depth = 1 / (1.6 + squeezed)
    columns = np.linspace(-0.5, 0.5, size[1], dtype=np.float32)[None] * depth * size[1] + size[1] / 2
    rows = np.broadcast_to(depth * size[0], columns.shape).astype(np.float32)
    picture[row:] = cv2.remap(ground, columns.astype(np.float32), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.clip(blurred(picture, rng.choice([0, 0.8, 3])), 0, 1)


BACKDROPS: dict[Callable[[np.random.Generator, Size], Field], float] = {
    flat: 1.5,
    studio: 2,
    landscape: 2,
    bokeh: 2,
    surface: 3.5,
    corner: 2,
}


def backdrop(rng: np.random.Generator, size: Size) -> Field:
    """Return a picture in which nothing stands out, float32 (H, W, 3), sRGB in [0, 1]."""
    return pick(rng, BACKDROPS)(rng, size)
