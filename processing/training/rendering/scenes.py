"""Endless training pictures that are drawn, not photographed, so that their alpha is exact.

Each picture is foreground x alpha + background x (1 - alpha); shadows darken the background and are not in alpha.
To add a kind of picture, write a function that returns its `Layer` and give it a row with its weight in `SCENES`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.training.rendering import meshes
from processing.training.rendering.camera import Camera, Light, draw, shade, shadow
from processing.training.rendering.meshes import Grid
from processing.training.rendering.outlines import OUTLINES, blob
from processing.training.rendering.textures import (
    Field,
    Size,
    backdrop,
    blurred,
    colour,
    fractal,
    pick,
    studio,
    texture,
)

_SKIN = 128  # height and width of the texture on a solid
_ATTEMPTS = 8
_SHARE = (0.012, 0.92)  # mean alpha of an acceptable picture


class Layer(NamedTuple):
    """Straight colour (H, W, 3) and alpha (H, W), float32 in [0, 1], and what to put behind them.

    `lost` is the share of light that shadows take from `background`; None stands for any backdrop, and for no shadow.
    """

    colour: Field
    alpha: Field
    background: Field | None = None
    lost: Field | None = None


class Scene(NamedTuple):
    """How a kind of picture is drawn, and how often."""

    draw: Callable[[np.random.Generator, Size], Layer]
    weight: float


def _placement(rng: np.random.Generator, size: Size) -> tuple[float, tuple[float, float]]:
    """Return a radius and a centre (x, y): from 4 % of the frame's area to nearly all of it, some cut by its border."""
    share = np.exp(rng.uniform(np.log(0.07), np.log(1.5)))
    radius = 0.5 * np.sqrt(share * size[0] * size[1])
    room = np.maximum(0.5 - radius / np.array([size[1], size[0]]), 0.06) * rng.choice([0.8, 1, 1.6], p=[0.5, 0.3, 0.2])
    x, y = (0.5 + rng.uniform(-1, 1, 2) * room) * [size[1], size[0]]
    return radius, (x, y)


# Solid things


def _labelled(rng: np.random.Generator, skin: Field) -> Field:
    """Return a texture with a label, a word and lines on it; OpenCV writes on 8 bits only."""
    canvas = np.ascontiguousarray(skin * 255).astype(np.uint8)
    top, bottom = np.sort(rng.uniform(0.08, 0.92, 2) * _SKIN).astype(int).tolist()
    middle, left = (top + bottom) // 2, int(rng.integers(0, _SKIN // 2))
    canvas[top:bottom] = colour(rng) * 255
    ink = (colour(rng) * 255).tolist()
    word = "".join(rng.choice(list("ABCDEFGHKMNORSTUaeionrst"), 4))
    cv2.putText(canvas, word, (left, middle), int(rng.choice([0, 2, 3, 4, 6])), rng.uniform(0.5, 1.2), ink, 2)
    for row in range(middle + 8, bottom - 4, 6):
        cv2.line(canvas, (left, row), (left + int(rng.integers(20, 60)), row), ink, 1, cv2.LINE_AA)
    return canvas.astype(np.float32) / np.float32(255)


def _atlas(rng: np.random.Generator) -> Field:
    """Return the textures of the (at most three) parts of a thing, float32 (3, S, S, 3); half are one plain colour."""
    skins = []
    for part in range(3):
        plain = part > 0 or rng.random() < 0.4
        skin = np.tile(colour(rng), (_SKIN, _SKIN, 1)) if plain else texture(rng, (_SKIN, _SKIN))
        skins.append(_labelled(rng, skin) if part == 0 and rng.random() < 0.4 else skin)
    return np.stack(skins)


def _camera(rng: np.random.Generator, size: Size, things: list[Grid]) -> Camera:
    """Return a camera whose zoom and centre give the things a random place and size in the frame."""
    radius, centre = _placement(rng, size)
    camera = Camera(rng.uniform(0.05, 0.9), 1.0, rng.uniform(3, 9), (0.0, 0.0), np.array([0, 0.5, 0]))
    pixels = np.concatenate([camera.project(grid.points)[0].reshape(-1, 2) for grid in things])
    low, high = pixels.min(0), pixels.max(0)
    width, height = high - low
    focal = 2 * radius / max(np.sqrt(width * height), 0.6 * width, 0.6 * height)
    x, y = np.array(centre) - focal * (low + high) / 2
    return replace(camera, focal=float(focal), centre=(float(x), float(y)))


def _light(rng: np.random.Generator) -> Light:
    direction = np.array([rng.normal(0, 0.8), rng.uniform(0.6, 1.6), rng.uniform(-0.3, 1.3)])
    direction /= np.linalg.norm(direction)
    gloss = float(rng.choice([0, 0.15, 0.5, 0.9]))
    return Light(direction, rng.uniform(0.25, 0.7), gloss, metal=bool(gloss > 0.4 and rng.random() < 0.25))


def _room(rng: np.random.Generator, size: Size, camera: Camera) -> Field:
    """Return the floor, y = 0, and a wall behind it as the camera sees them; some are one endless sweep of paper."""
    if rng.random() < 0.3:
        return studio(rng, size)
    rows = (camera.centre[1] - np.arange(size[0])[:, None]) / camera.focal
    columns = (np.arange(size[1])[None] - camera.centre[0]) / camera.focal
    down, depth = (camera.axes[1, axis] * rows - camera.axes[2, axis] for axis in (1, 2))
    reach = camera.eye[1] / np.maximum(-down, 1e-3)
    away = camera.eye[2] + reach * depth
    seen = (away > -rng.uniform(1.2, 5))[:, 0] & (down[:, 0] < 0)  # a row of pixels is all floor or all wall
    scale = size[0] / rng.uniform(3, 9)
    x, z = ((line[seen] * scale).astype(np.float32) for line in (columns * reach, away + 0 * columns))
    wall = blurred(texture(rng, size), rng.choice([0, 1.5, 5])) if rng.random() < 0.6 else studio(rng, size)
    picture = np.array(wall)
    if seen.any():
        middle = np.array([size[1] / 2, size[0]], np.float32)
        ground = texture(rng, size) * np.float32(rng.uniform(0.7, 1.1))
        floor = cv2.remap(ground, x + middle[0], z + middle[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        picture[seen] = floor
    picture = cv2.GaussianBlur(picture, (1, 3), 0)
    return np.clip(blurred(picture, rng.choice([0, 0, 1, 3])), 0, 1)


def _thing(rng: np.random.Generator, names: list[str]) -> list[Grid]:
    """Return one upright or, for small compact things, sometimes tumbled thing on the floor."""
    name = str(rng.choice(names))
    upright = name in _THIN or rng.random() < 0.75
    reach = 1.1 if name in ("wheel", "bicycle") else np.pi  # seen edge on, they are nothing
    return meshes.on_floor(meshes.moved(meshes.THINGS[name](rng), meshes.rotation(rng, upright, reach)))


def _still_life(rng: np.random.Generator, size: Size, things: list[Grid], glass: bool = False) -> Layer:
    """Draw things on the floor of a room with their shadows."""
    camera, light = _camera(rng, size, things), _light(rng)
    light = replace(light, gloss=0.9, metal=False) if glass else light
    painted, alpha = draw(things, camera, light, _atlas(rng), size, glass)
    softness = rng.uniform(0.008, 0.05) * camera.focal / camera.distance
    lost = shadow(things, camera, light, size, softness) * np.float32(rng.uniform(0.3, 1) * (0.4 if glass else 1))
    return Layer(painted, alpha, _room(rng, size, camera), lost)


_COMPACT = ["sphere", "cylinder", "bottle", "vase", "cone", "capsule", "box", "torus", "mug"]
_THIN = ["chair", "wheel", "bicycle", "plant", "cage"]


def _product(rng: np.random.Generator, size: Size) -> Layer:
    return _still_life(rng, size, _thing(rng, _COMPACT))


def _thin(rng: np.random.Generator, size: Size) -> Layer:
    return _still_life(rng, size, _thing(rng, _THIN))


def _glass(rng: np.random.Generator, size: Size) -> Layer:
    return _still_life(rng, size, _thing(rng, ["sphere", "bottle", "vase", "mug", "cylinder"]), glass=True)


def _group(rng: np.random.Generator, size: Size) -> Layer:
    """Draw two or three things next to each other; each has its own one of the three skins."""
    things, x = [], -1.0
    for part in range(rng.integers(2, 4)):
        scale = rng.uniform(0.5, 1)
        item = meshes.moved(_thing(rng, _COMPACT), np.eye(3) * scale, (x, 0, rng.uniform(-0.5, 0.5)))
        things += [Grid(grid.points, (grid.part + part) % 3) for grid in item]
        x += rng.uniform(0.9, 1.4)
    return _still_life(rng, size, things)


# Flat things


def _filled(contours: list[NDArray], size: Size) -> Field:
    """Return the coverage of pixel contours with even-odd holes, from a drawing of twice the size."""
    canvas = np.zeros((2 * size[0], 2 * size[1]), np.uint8)
    outlines = [np.rint((contour * 2 - 0.5) * 16).astype(np.int32) for contour in contours]
    cv2.fillPoly(canvas, outlines, 255, cv2.LINE_AA, 4)
    return cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _inflated(rng: np.random.Generator, painted: Field, alpha: Field) -> Field:
    """Shade a flat shape as if it were a cushion, its height taken from the distance to its outline."""
    distance = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    depth = max(2.0, float(distance.max()) * rng.uniform(0.3, 1))
    height = np.sqrt(1 - (1 - np.clip(distance / depth, 0, 1)) ** 2) * np.float32(depth)
    height = cv2.GaussianBlur(height, (0, 0), max(0.8, depth * 0.08))
    slopes = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=0.125)
    normal = np.stack([-slopes[0], slopes[1], np.ones_like(height)]).reshape(3, -1)
    normal /= np.sqrt((normal**2).sum(0))
    colours = np.ascontiguousarray(painted.reshape(-1, 3).T)
    light = _light(rng)
    lamp = light.direction * [1, 1, 0] + [0, 0, 0.8]
    light = replace(light, direction=lamp / np.linalg.norm(lamp))
    lit = shade(colours, normal, light, np.array([0.0, 0, 1]))[0]
    return np.minimum(lit, 1).T.reshape(painted.shape)


def _fill(rng: np.random.Generator, size: Size) -> Field:
    return np.tile(colour(rng), (*size, 1)) if rng.random() < 0.45 else texture(rng, size)


def _dropped(rng: np.random.Generator, alpha: Field) -> Field | None:
    """Return the soft shadow of a flat shape that hovers in front of its background, or None."""
    if rng.random() < 0.6:
        return None
    shift = np.array([[1, 0, rng.normal(0, 0.02) * alpha.shape[1]], [0, 1, rng.uniform(0, 0.04) * alpha.shape[0]]])
    moved = cv2.warpAffine(alpha, shift, alpha.shape[::-1])
    return blurred(moved, rng.uniform(0.005, 0.04) * max(alpha.shape)) * np.float32(rng.uniform(0.2, 0.8))


def _posed(rng: np.random.Generator, contours: list[NDArray], size: Size, turn: float = np.pi) -> list[NDArray]:
    """Return unit contours as pixels, turned by up to `turn`, squeezed and placed."""
    radius, centre = _placement(rng, size)
    angle, squeeze = rng.uniform(-turn, turn), rng.uniform(0.6, 1)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [1, squeeze] * radius
    return [contour @ matrix.T + centre for contour in contours]


def _graphic(rng: np.random.Generator, size: Size) -> Layer:
    """Draw a flat, textured or cushioned shape, sometimes with a second one printed on it."""
    contours = _posed(rng, pick(rng, OUTLINES)(rng), size)
    alpha, painted = _filled(contours, size), _fill(rng, size)
    if rng.random() < 0.4:
        middle = contours[0].mean(0)
        mark = _filled([(contour - middle) * 0.6 + middle for contour in contours], size)[..., None]
        painted = painted + mark * (_fill(rng, size) - painted)
    if rng.random() < 0.55:
        painted = _inflated(rng, painted, alpha)
    return Layer(painted, alpha, None, _dropped(rng, alpha))


def _text(rng: np.random.Generator, size: Size) -> Layer:
    """Draw a word or a single glyph with OpenCV's stroke fonts."""
    word = "".join(rng.choice(list("ABCDEFGHJKLMNPRSTUVWXYZabdeghknqrs0123456789&?!"), rng.integers(1, 6)))
    face, radius = int(rng.choice([0, 2, 3, 4, 6, 7])), _placement(rng, size)[0]
    (width, height), _ = cv2.getTextSize(word, face, 1, 1)
    scale = min(4 * radius / height, 3.6 * size[1] / max(width, 1))
    weight = max(2, int(scale * rng.uniform(1.5, 7)))
    canvas = np.zeros((2 * size[0], 2 * size[1]), np.uint8)
    corner = (int(size[1] - width * scale / 2), int(size[0] + height * scale / 2))
    cv2.putText(canvas, word, corner, face, scale, 255, weight, cv2.LINE_AA)
    turned = cv2.getRotationMatrix2D((size[1], size[0]), float(rng.normal(0, 12)), 1)
    canvas = cv2.warpAffine(canvas, turned, canvas.shape[::-1])
    alpha = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    painted = _fill(rng, size)
    painted = _inflated(rng, painted, alpha) if rng.random() < 0.4 else painted
    return Layer(painted, alpha, None, _dropped(rng, alpha))


def _veil(rng: np.random.Generator, size: Size) -> Layer:
    """Draw a shape that lets its background through everywhere, evenly or like smoke."""
    alpha = blurred(_filled(_posed(rng, blob(rng), size), size), rng.choice([0, 0, 2, 8]))
    smoke = np.float32(1) if rng.random() < 0.5 else 0.3 + 0.7 * fractal(rng, size)
    return Layer(_fill(rng, size), alpha * smoke * np.float32(rng.uniform(0.5, 0.85)))


# Hair


def _strands(rng: np.random.Generator, roots: NDArray, outward: NDArray, length: float) -> NDArray:
    """Return curved strands, (N, 7, 2): they leave along `outward`, then bend to a common flow and their own way."""
    count = len(roots)
    flow = rng.normal((0, 0.5), 0.9)
    wild = rng.uniform(0.1, 0.5)
    start = outward + rng.normal(0, wild, (count, 2))
    bend = flow * rng.uniform(0.3, 1) + rng.normal(0, wild, (count, 2))
    t = np.linspace(0, 1, 7)[None, :, None]
    reach = length * rng.gamma(4, 0.25, (count, 1, 1))
    curl = np.sin(t * rng.uniform(2, 9) + rng.uniform(0, 7, (count, 1, 1))) * rng.choice([0, 0.05, 0.12])
    return roots[:, None] + reach * (start[:, None] * t + bend[:, None] * t**2 * 0.7 + curl * outward[:, None, ::-1])


def _combed(rng: np.random.Generator, canvas: NDArray, alpha: NDArray, strands: NDArray, base: Field) -> None:
    """Draw strands of about one colour into a picture and an alpha of twice the size, in place."""
    lines = np.rint((strands * 2 - 0.5) * 16).astype(np.int32)
    contrast = rng.uniform(0.1, 0.5)
    for group in np.array_split(lines, 14):
        tone = (np.clip(base * rng.uniform(1 - contrast, 1 + contrast) + rng.normal(0, 0.02, 3), 0, 1) * 255).tolist()
        width = int(rng.choice([1, 1, 1, 2]))
        cv2.polylines(canvas, list(group), False, tone, width + 1, cv2.LINE_8, 4)
        cv2.polylines(alpha, list(group), False, int(rng.integers(130, 256)), width, cv2.LINE_AA, 4)


def _furry(rng: np.random.Generator, size: Size) -> Layer:
    """Draw a body whose outline is hundreds of single hairs."""
    body = _posed(rng, blob(rng, 0.2), size)[0]
    middle, base = body.mean(0), colour(rng) * np.float32(0.9) + np.float32(0.05)
    radius = float(np.hypot(*(body - middle).T).mean())
    under = (base * 255) * (0.45 + 0.45 * fractal(rng, size))[..., None]
    canvas = cv2.resize(under.astype(np.uint8), (2 * size[1], 2 * size[0]), interpolation=cv2.INTER_LINEAR)
    alpha = np.zeros(canvas.shape[:2], np.uint8)
    inside = middle + (body - middle)[rng.integers(0, len(body), 260)] * np.sqrt(rng.random((260, 1)))
    rim = rng.uniform(0, len(body), int(rng.integers(250, 600)))
    edge = np.stack([np.interp(rim, np.arange(len(body) + 1), np.append(axis, axis[0])) for axis in body.T], -1)
    roots = np.concatenate([edge - (edge - middle) * rng.uniform(0.02, 0.15, (len(edge), 1)), inside])
    outward = (roots - middle) / np.maximum(np.linalg.norm(roots - middle, axis=1, keepdims=True), 1)
    length = radius * rng.uniform(0.12, 0.6)
    strands = _strands(rng, roots, outward, length)
    _combed(rng, canvas, alpha, strands[rng.permutation(len(strands))], base)
    cv2.fillPoly(alpha, [np.rint(body * 32).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return _lit_fur(rng, canvas, alpha, size, (middle, radius))


def _lit_fur(
    rng: np.random.Generator, canvas: NDArray, alpha: NDArray, size: Size, ball: tuple[NDArray, float]
) -> Layer:
    """Average a drawing of twice the size and light it as a ball, brighter towards the lamp."""
    painted = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    small = cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    (x, y), radius = ball
    lamp = rng.normal((0, -0.6), 0.5)
    rows, columns = (np.arange(size[0])[:, None] - y) / radius, (np.arange(size[1])[None] - x) / radius
    light = np.clip(0.95 + 0.3 * (columns * lamp[0] + rows * lamp[1]), 0.35, 1.3).astype(np.float32)
    return Layer(np.minimum(painted * light[..., None], 1), small)


SCENES: dict[str, Scene] = {
    "product": Scene(_product, 5),
    "group": Scene(_group, 2),
    "thin": Scene(_thin, 3),
    "graphic": Scene(_graphic, 3),
    "text": Scene(_text, 0.8),
    "furry": Scene(_furry, 4),
    "glass": Scene(_glass, 0.7),
    "veil": Scene(_veil, 0.4),
}


def _finished(rng: np.random.Generator, picture: Field) -> NDArray[np.uint8]:
    """Add what a camera adds, darker corners and grain, to float sRGB and return it as uint8."""
    if rng.random() < 0.3:
        rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) ** 2 for count in picture.shape[:2])
        picture = picture * (1 - np.float32(rng.uniform(0, 0.3)) * (rows[:, None] + columns))[..., None]
    if rng.random() < 0.4:
        grain = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(rng.uniform(0.003, 0.03))
        picture = picture + grain
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _apart(rng: np.random.Generator, layer: Layer, background: Field) -> Field:
    """Return a background whose mean differs from that of the object, or that is brighter or darker until it does."""
    seen = cv2.mean(layer.colour, (layer.alpha > 0.5 * layer.alpha.max()).astype(np.uint8))[:3]
    around = background.reshape(-1, 3).mean(0)
    if np.abs(around - seen).max() > rng.uniform(0.04, 0.2):
        return background
    return background * np.float32(0.5) if around.mean() > 0.5 else background * np.float32(0.55) + np.float32(0.45)


def render_scene(name: str, rng: np.random.Generator, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one picture of a kind of `SCENES`; see `render`."""
    for _ in range(_ATTEMPTS):
        layer = SCENES[name].draw(rng, size)
        if _SHARE[0] < float(layer.alpha.mean()) < _SHARE[1]:
            break
    background = _apart(rng, layer, backdrop(rng, size) if layer.background is None else layer.background)
    if layer.lost is not None:
        background = background * (1 - layer.lost)[..., None]
    picture = background + layer.alpha[..., None] * (layer.colour - background)
    return _finished(rng, picture), np.rint(np.clip(layer.alpha, 0, 1) * 255).astype(np.uint8)


def render(rng: np.random.Generator, size: Size) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a picture with something to cut out, and its exact alpha.

    The same state of `rng` gives the same picture.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of every choice.
    size : tuple of int
        (height, width); the drawing is meant for 160 to 320 pixels.

    Returns
    -------
    picture : ndarray of uint8, shape (H, W, 3)
        sRGB.
    alpha : ndarray of uint8, shape (H, W)
        0 background to 255 foreground; shadows are background.
    """
    name = pick(rng, {name: scene.weight for name, scene in SCENES.items()})
    return render_scene(name, rng, size)


def render_empty(rng: np.random.Generator, size: Size) -> NDArray[np.uint8]:
    """Draw a picture with nothing to cut out, uint8 (H, W, 3), sRGB: a backdrop, or the floor and wall of a room."""
    picture = (
        _room(rng, size, _camera(rng, size, meshes.box((1, 1, 1)))) if rng.random() < 0.15 else backdrop(rng, size)
    )
    return _finished(rng, picture)
