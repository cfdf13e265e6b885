"""A pinhole camera, a lamp, and the lit picture of meshes with exact alpha, for rendered training pictures."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.training.rendering.meshes import Grid, Points, cell_areas, cell_corners, cross, unit
from processing.training.rendering.textures import Field, Size

_CHUNK = 8192  # pixels that are lit together: their arrays stay in the processor's cache


@dataclass(frozen=True)
class Camera:
    """A pinhole that looks down on `target`.

    `pitch` is in radians, `focal` in pixels, `distance` in world units; `centre` is the pixel (x, y) of the target.
    """

    pitch: float
    focal: float
    distance: float
    centre: tuple[float, float]
    target: Points

    @property
    def axes(self) -> Points:
        """The right, up and back vectors, as rows."""
        cosine, sine = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])

    @property
    def eye(self) -> Points:
        """The place of the pinhole in the world."""
        return self.target + self.distance * self.axes[2]

    def project(self, points: Points) -> tuple[Points, Points]:
        """Return the pixels (x, y) of world points and their depths."""
        seen = (points - self.target) @ self.axes.T
        depth = np.maximum(self.distance - seen[..., 2], 0.05)
        return seen[..., :2] * [self.focal, -self.focal] / depth[..., None] + self.centre, depth


@dataclass(frozen=True)
class Light:
    """A lamp in `direction` (unit vector), the light from all around, and how the surfaces answer."""

    direction: Points
    ambient: float = 0.4
    gloss: float = 0.2
    metal: bool = False


class Facets(NamedTuple):
    """What the camera sees: (Q, 4, 2) pixel corners, farthest first, and (17, Q) planes of their attributes.

    Rows 0-4 of `planes` are the constants of nx, ny, nz, u and v, rows 5-9 their slopes along x, rows 10-14 along y,
    row 15 the part, and row 16 the grid, counted from 1.
    """

    corners: Points
    planes: Field


def _slopes(corners: Points, values: Points) -> tuple[Points, Points]:
    """Return how (Q, 4, K) corner values change per pixel along x and along y inside each facet, two of (Q, K)."""
    edges = [(item[:, [1, 3]] + item[:, [2, 2]] - item[:, [0, 0]] - item[:, [3, 1]]) / 2 for item in (corners, values)]
    (ux, uy), (vx, vy) = edges[0][:, 0].T, edges[0][:, 1].T
    area = ux * vy - uy * vx
    inverse = (area / (area**2 + 0.3))[:, None]  # facets seen edge on have no slope to speak of
    along, across = edges[1][:, 0], edges[1][:, 1]
    x = inverse * (vy[:, None] * along - uy[:, None] * across)
    y = inverse * (ux[:, None] * across - vx[:, None] * along)
    return x, y


def _stacks(grids: list[Grid]) -> list[tuple[Points, Points]]:
    """Return grids of the same shape together, (N, V, U, 3), with (N, 2) of their parts and numbers from 1."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for number, grid in enumerate(grids):
        shapes.setdefault(grid.points.shape, []).append(number)
    return [
        (np.stack([grids[number].points for number in group]), np.array([(grids[n].part, n + 1.0) for n in group]))
        for group in shapes.values()
    ]


def facets(grids: list[Grid], camera: Camera) -> Facets:
    """Project the cells that face the camera."""
    corners, depths, values, labels = [], [], [], []
    for points, label in _stacks(grids):
        middle, area = cell_areas(points)
        seen = np.einsum("...k,...k->...", area, camera.eye - middle) > 0
        normal = unit(cross(np.gradient(points, axis=-2), np.gradient(points, axis=-3)))
        down, across = np.linspace(1, 0, points.shape[1]), np.linspace(0, 1, points.shape[2])
        pixels, depth = camera.project(points)
        stacked = np.empty((*points.shape[:3], 8))
        stacked[..., :3], stacked[..., 3], stacked[..., 4] = normal, across, down[:, None]
        stacked[..., 5:7], stacked[..., 7] = pixels, depth
        cells = np.stack(cell_corners(stacked), -2)[seen]
        corners.append(cells[..., 5:7])
        values.append(cells[..., :5])
        depths.append(cells[..., 7].mean(-1))
        labels.append(label[seen.nonzero()[0]])
    order = np.argsort(-np.concatenate(depths))
    corner, value = np.concatenate(corners)[order], np.concatenate(values)[order]
    x, y = _slopes(corner, value)
    constant = value.mean(1) - x * corner[..., 0].mean(1)[:, None] - y * corner[..., 1].mean(1)[:, None]
    planes = np.concatenate([constant, x, y, np.concatenate(labels)[order]], 1)
    return Facets(corner, np.ascontiguousarray(planes.T, np.float32))


def fill(canvas: NDArray, corners: Points, values: list[int]) -> None:
    """Fill (Q, 4, 2) polygons into a canvas, one after the other, with a sixteenth of a pixel of precision."""
    for polygon, value in zip(np.rint(corners * 16).astype(np.int32), values, strict=True):
        cv2.fillConvexPoly(canvas, polygon, value, cv2.LINE_8, 4)


def _smooth(low: float, high: float, x: Field) -> Field:
    x = np.clip((x - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def shade(albedo: Field, normal: Field, light: Light, view: Points) -> tuple[Field, Field]:
    """Light (3, P) colours on (3, P) normals; return them and how far each faces away from the viewer, in [0, 1].

    Diffuse light after Lambert; the mirrored part sees a dark floor, a bright sky and the lamp as a soft box, and grows
    towards the rim after Schlick (1994).
    """
    view, lamp = view.astype(np.float32), light.direction.astype(np.float32)
    facing = np.abs(view @ normal)
    mirrored = 2 * facing * normal - view[:, None]
    away = np.float32(1) - np.minimum(facing, 1)
    diffuse = np.maximum(lamp @ normal, 0) * np.float32(1.15 - light.ambient)
    diffuse += np.float32(light.ambient) * (np.float32(0.65) + np.float32(0.35) * normal[1])
    scene = 0.12 + 0.55 * _smooth(-0.15, 0.25, mirrored[1]) - 0.25 * _smooth(0.3, 1, mirrored[1])
    box_light = _smooth(0.86, 0.97, np.asarray(lamp @ mirrored, np.float32))
    mirror = (
        np.float32(0.75) if light.metal else light.gloss * (np.float32(0.12) + np.float32(0.88) * (away * away) ** 2)
    )
    lit = albedo * np.maximum(diffuse, 0.01) ** np.float32(0.6) * (1 - mirror)
    tint = albedo if light.metal else np.float32(1)
    lit += tint * mirror * scene * np.float32(1.5)
    return lit + np.float32(min(1, 0.15 + light.gloss)) * box_light * tint, away


def draw(
    grids: list[Grid], camera: Camera, light: Light, atlas: Field, size: Size, glass: bool = False
) -> tuple[Field, Field]:
    """Draw lit things with twice the resolution in both directions, then average.

    Parameters
    ----------
    grids : list of Grid
        The things; `Grid.part` counts the textures of `atlas`.
    camera, light
        As for the target size.
    atlas : ndarray of float32, shape (P, S, S, 3)
        Texture of each part, sRGB in [0, 1].
    size : tuple of int
        (height, width) of the picture.
    glass : bool
        Clear where a surface faces the viewer, dense at its rims and highlights.

    Returns
    -------
    colour : ndarray of float32, shape (H, W, 3)
        Straight, not premultiplied; 0 where alpha is 0.
    alpha : ndarray of float32, shape (H, W)
        In [0, 1].
    """
    colour, alpha = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    corners, planes = facets(grids, camera)
    left, top = np.clip(np.floor(corners.min((0, 1))), 0, size[::-1]).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max((0, 1))) + 1, 0, size[::-1]).astype(int).tolist()
    if right <= left or bottom <= top:
        return colour, alpha
    index = np.zeros((2 * (bottom - top), 2 * (right - left)), np.int32)
    fill(index, (corners - [left, top]) * 2 - 0.5, list(range(1, len(corners) + 1)))
    picture, dense = _lit(index, planes, (left, top), light, atlas, camera.axes[2], glass)
    window = (slice(top, bottom), slice(left, right))
    dense = cv2.resize(dense, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    picture = cv2.resize(picture, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    alpha[window], colour[window] = dense, picture / np.maximum(dense, 1e-4)[..., None]
    return colour, alpha


def _samples(index: NDArray[np.int32], grid: Field) -> list[tuple[NDArray[np.intp], np.float32]]:
    """Return the places of a map of facets that must be lit, in runs, and how many places each stands for.

    Blocks of 2 x 2 that show one grid are lit once for all four; those on an edge are lit place by place.
    """
    shown = np.concatenate([[0], grid]).astype(np.uint8).take(index)
    corners = [shown[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    even = np.logical_and.reduce([corners[0] == other for other in corners[1:]])
    edge = (shown > 0) & ~even.repeat(2, 0).repeat(2, 1)
    rows, columns = np.nonzero(even & (corners[0] > 0))
    runs = [(rows * (2 * index.shape[1]) + 2 * columns, np.float32(4)), (np.flatnonzero(edge), np.float32(1))]
    return [(run, weight) for every, weight in runs for run in np.array_split(every, len(every) // _CHUNK + 1)]


def _lit(
    index: NDArray[np.int32],
    planes: Field,
    corner: tuple[int, int],
    light: Light,
    atlas: Field,
    view: Points,
    glass: bool,
) -> tuple[Field, Field]:
    """Return the premultiplied colour and the alpha of a map of facets (from 1) at twice the resolution."""
    picture, dense = np.zeros((*index.shape, 3), np.float32), np.zeros(index.shape, np.float32)
    corner_x, corner_y = (np.float32(start + 0.25) for start in corner)
    texels, side = np.ascontiguousarray(atlas.reshape(-1, 3).T), atlas.shape[1]
    every = _samples(index, planes[16])
    for covered, weight in every:
        rows, columns = np.divmod(covered, np.int32(index.shape[1]))
        x, y = columns * np.float32(0.5) + corner_x, rows * np.float32(0.5) + corner_y
        found = planes.take(index.ravel().take(covered) - 1, axis=1)
        values = found[:5] + found[5:10] * x + found[10:15] * y
        normal = values[:3] / np.sqrt(np.maximum(np.einsum("kp,kp->p", values[:3], values[:3]), np.float32(1e-9)))
        u, v = (np.clip(values[3:], 0, np.float32(0.999)) * np.float32(side)).astype(np.int32)
        albedo = texels.take((found[15].astype(np.int32) * side + v) * side + u, axis=1)
        lit, away = shade(albedo, normal, light, view)
        thickness = np.clip(0.3 + 0.7 * away**1.5 + 0.6 * (lit.max(0) > 1), 0, 1) if glass else np.float32(1)
        thickness = thickness * weight
        dense.ravel()[covered] = thickness
        picture.reshape(-1, 3)[covered] = (np.minimum(lit, 1) * thickness).T
    return picture, dense


def shadow(grids: list[Grid], camera: Camera, light: Light, size: Size, softness: float) -> Field:
    """Return the share of light that a floor at y = 0 loses, float32 (H, W) in [0, 1].

    The cells are projected onto the floor along the lamp (the cast shadow) and from above (the dark contact).
    """
    lost, stacks = np.zeros(size, np.float32), _stacks(grids)
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    for direction, strength, blur in ((light.direction, 0.55, softness), (np.array([0.0, 1, 0]), 0.45, softness * 1.5)):
        canvas = np.zeros(half, np.uint8)
        for points, _ in stacks:
            coarse = points[:, :: max(1, points.shape[1] // 8), :: max(1, points.shape[2] // 12)]
            coarse = np.concatenate([coarse, points[:, -1:, :: max(1, points.shape[2] // 12)]], 1)
            pixels = camera.project(coarse - coarse[..., 1:2] / direction[1] * direction)[0] / 2
            cells = np.stack(cell_corners(pixels), -2).reshape(-1, 4, 2)
            fill(canvas, np.clip(cells, -2000, 2000), [255] * len(cells))
        soft = cv2.GaussianBlur(canvas, (0, 0), max(blur / 2, 0.3)).astype(np.float32) / 255
        lost = np.maximum(lost, lost + np.float32(strength) * cv2.resize(soft, size[::-1]) * (1 - lost))
    return lost
