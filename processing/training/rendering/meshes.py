"""Meshes of simple things, for rendered training pictures.

A thing is a list of grids: closed surfaces of (V, U) points in a world with x to the right, y up and z towards
the viewer. To add a thing, write a function that returns its grids and give it a row in `THINGS`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


class Grid(NamedTuple):
    """A closed surface of (V, U, 3) points, and the number of the material that covers it."""

    points: Points
    part: int = 0


def unit(vectors: Points) -> Points:
    """Return vectors scaled to length 1; those of length 0 stay."""
    return vectors / np.maximum(np.sqrt(np.einsum("...k,...k->...", vectors, vectors)), 1e-9)[..., None]


def cross(a: Points, b: Points) -> Points:
    """Return np.cross(a, b), which is slow on the many small arrays here."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def cell_corners(values: Points) -> tuple[Points, Points, Points, Points]:
    """Return the four corners of every cell of (..., V, U, K) values, in turn."""
    low, high = values[..., :-1, :, :], values[..., 1:, :, :]
    return low[..., :-1, :], low[..., 1:, :], high[..., 1:, :], high[..., :-1, :]


def cell_areas(points: Points) -> tuple[Points, Points]:
    """Return the middle and the area vector of every cell of a grid."""
    a, b, c, d = cell_corners(points)
    return (a + b + c + d) / 4, cross(c - a, d - b) / 2


def _outward(points: Points) -> Points:
    """Return the grid with its area vectors turned to the outside, by the sign of the volume it encloses."""
    middle, area = cell_areas(points)
    volume = np.sum(area * (middle - points.reshape(-1, 3).mean(0)))
    return points if volume > 0 else points[:, ::-1]


def lathe(profile: ArrayLike, around: int = 36, part: int = 0) -> Grid:
    """Turn a profile of (radius, height) points around the y axis."""
    radius, height = np.maximum(np.asarray(profile, float), [1e-3, -99]).T[..., None]
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, around + 1)[None]
    points = np.stack([radius * np.cos(angle), height + 0 * angle, radius * np.sin(angle)], -1)
    return Grid(_outward(points), part)


def tube(path: ArrayLike, radius: float, around: int = 8, part: int = 0) -> Grid:
    """Sweep a circle along a path of (N, 3) points; both ends are closed."""
    line = np.asarray(path, float)
    line = np.concatenate([line[:1], line, line[-1:]])
    along = unit(np.gradient(line, axis=0))
    side = unit(cross(along, np.eye(3)[[np.abs(along).mean(0).argmin()]]))
    angle = np.linspace(0, 2 * np.pi, around + 1)[None, :, None]
    circle = np.cos(angle) * side[:, None] + np.sin(angle) * cross(along, side)[:, None]
    thickness = np.full((len(line), 1, 1), radius)
    thickness[[0, -1]] = radius * 0.01
    return Grid(_outward(line[:, None] + thickness * circle), part)


def ring(radius: float, thickness: float, around: int = 40, part: int = 0, sides: int = 12) -> Grid:
    """Return an upright ring (torus) around the z axis."""
    angle = np.linspace(0, 2 * np.pi, around + 1)
    return tube(np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], -1), thickness, sides, part)


def box(half: ArrayLike, centre: ArrayLike = (0, 0, 0), part: int = 0, cells: int = 3) -> list[Grid]:
    """Return the six faces of a box, each a grid of its own so that its edges stay sharp."""
    line = np.linspace(-1, 1, cells)
    faces = []
    for axis, sign in ((axis, sign) for axis in range(3) for sign in (-1, 1)):
        face = np.full((cells, cells, 3), float(sign))
        face[..., (axis + 1) % 3], face[..., (axis + 2) % 3] = np.meshgrid(line, line, indexing="ij")
        face = face.swapaxes(0, 1) if axis == 2 else face  # rows run along y on the four walls
        middle, area = cell_areas(face)
        faces.append(face if np.sum(area * middle) > 0 else face[:, ::-1])
    return [Grid(face * np.asarray(half, float) + np.asarray(centre, float), part) for face in faces]


def moved(grids: list[Grid], matrix: Points, offset: ArrayLike = (0, 0, 0)) -> list[Grid]:
    """Return grids turned and scaled by a (3, 3) matrix of positive determinant, then shifted."""
    return [Grid(grid.points @ matrix.T + np.asarray(offset, float), grid.part) for grid in grids]


def rotation(rng: np.random.Generator, upright: bool, reach: float = np.pi) -> Points:
    """Return a random rotation; an upright one turns around the y axis only, by up to `reach` radians."""
    if not upright:
        turned = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        return turned * np.linalg.det(turned)
    angle = rng.uniform(-reach, reach)
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def on_floor(grids: list[Grid]) -> list[Grid]:
    """Return grids scaled into a ball of radius 1 whose lowest point touches the floor, y = 0."""
    points = np.concatenate([grid.points.reshape(-1, 3) for grid in grids])
    low, high = points.min(0), points.max(0)
    scale = 2 / np.linalg.norm(high - low)
    return moved(grids, np.eye(3) * scale, -scale * np.array([(low + high)[0] / 2, low[1], (low + high)[2] / 2]))


def _sphere(rng: np.random.Generator) -> list[Grid]:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 19)
    return [lathe(np.stack([np.cos(angle), np.sin(angle) * rng.choice([1, 1, 0.6])], -1))]


def _rounded(profile: ArrayLike) -> Points:
    """Return a polyline resampled to 22 even steps, its corners kept by doubled points."""
    knots = np.asarray(profile, float)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    places = np.concatenate([np.linspace(0, length[-1], 23), length[1:-1] - 0.012, length[1:-1] + 0.012])
    return np.stack([np.interp(np.sort(places), length, axis) for axis in knots.T], -1)


def _cylinder(rng: np.random.Generator) -> list[Grid]:
    height = rng.uniform(0.4, 3.5)
    profile = [
        (0, 0),
        (0.92, 0),
        (1, 0.06),
        (1, height - 0.08),
        (0.9, height),
        (0.84, height - 0.03),
        (0, height - 0.03),
    ]
    return [lathe(_rounded(profile))]


def _bottle(rng: np.random.Generator) -> list[Grid]:
    height, neck, wide = rng.uniform(1.8, 3.5), rng.uniform(0.2, 0.5), rng.uniform(0.3, 1)
    shoulder = height + rng.uniform(0.1, 0.9)
    body = [
        (0, 0),
        (0.95, 0),
        (wide + 0.3, 0.1),
        (1, height),
        (neck, shoulder),
        (neck, shoulder + 0.5),
        (0, shoulder + 0.5),
    ]
    cap = np.array([(0, 0.4), (1.15, 0.4), (1.15, 0.85), (1.05, 0.9), (0, 0.9)]) * [neck, 1] + [0, shoulder]
    return [lathe(_rounded(body)), lathe(_rounded(cap), part=1)]


def _vase(rng: np.random.Generator) -> list[Grid]:
    height = np.linspace(0, 1, 16)
    knots = rng.uniform(0.25, 1, 5)
    radius = np.polynomial.Polynomial.fit(np.linspace(0, 1, 5), knots, 4)(height).clip(0.15, 1.2)
    outside = np.stack([radius, height * rng.uniform(0.8, 2.6)], -1)
    return [lathe(np.concatenate([[(0, 0)], outside, outside[::-1][:10] - [0.07, 0], [(0, outside[6, 1])]]), 40)]


def _cone(rng: np.random.Generator) -> list[Grid]:
    top, height = rng.choice([0.02, 0.3, 0.6]), rng.uniform(1, 3)
    return [lathe(_rounded([(0, 0), (1, 0), (top, height), (0, height)]))]


def _capsule(rng: np.random.Generator) -> list[Grid]:
    angle, length = np.linspace(-np.pi / 2, np.pi / 2, 20), rng.uniform(0.6, 3)
    return [lathe(np.stack([np.cos(angle), np.sin(angle) + length * np.sign(angle)], -1))]


def _box(rng: np.random.Generator) -> list[Grid]:
    half = rng.uniform(0.3, 1, 3)
    lid = box(half * [1.04, 0.15, 1.04], (0, half[1], 0), 1) if rng.random() < 0.4 else []
    return box(half) + lid


def _torus(rng: np.random.Generator) -> list[Grid]:
    turn = np.eye(3) if rng.random() < 0.5 else np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    return moved([ring(1, rng.uniform(0.08, 0.4))], turn)


def _mug(rng: np.random.Generator) -> list[Grid]:
    height, base = rng.uniform(1.4, 2.6), rng.uniform(0.7, 1)
    cup = [(0, 0), (base, 0), (1, height), (0.9, height), (base - 0.1, 0.12), (0, 0.12)]
    handle = moved([ring(height * 0.3, 0.11, 24)], np.eye(3), (1 - 0.02, height * 0.5, 0))
    return [lathe(_rounded(cup)), *handle]


def _chair(rng: np.random.Generator) -> list[Grid]:
    thin, seat, top = rng.uniform(0.03, 0.09), rng.uniform(0.8, 1.3), rng.uniform(1.8, 3)
    legs = [((x, seat / 2, z), (thin, seat / 2, thin)) for x in (-0.6, 0.6) for z in (-0.6, 0.6)]
    posts = [((x, (seat + top) / 2, -0.6), (thin, (top - seat) / 2, thin)) for x in (-0.6, 0.6)]
    bars = [((0, y, -0.6), (0.6, 0.06, thin * 0.7)) for y in np.linspace(seat + 0.3, top - 0.1, rng.integers(1, 5))]
    plate = box((0.7, 0.07, 0.7), (0, seat, 0), 1)
    return plate + [face for centre, half in [*legs, *posts, *bars] for face in box(half, centre, cells=2)]


def _wheel(rng: np.random.Generator) -> list[Grid]:
    count = int(rng.integers(5, 28))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    rim = np.stack([np.cos(angles), np.sin(angles), 0 * angles], -1)
    spokes = [tube(np.stack([0.1 * end, 0.95 * end]), rng.uniform(0.008, 0.03), 4, 1) for end in rim]
    return [ring(1, rng.uniform(0.03, 0.12), 48, sides=8), ring(0.1, 0.06, 12, 1, 6), *spokes]


def _bicycle(rng: np.random.Generator) -> list[Grid]:
    rear, front = (moved(_wheel(rng), np.eye(3), (x, 0, 0)) for x in (-1.25, 1.25))
    hubs = {"rear": (-1.25, 0), "front": (1.25, 0), "pedal": (-0.2, -0.1), "seat": (-0.5, 1.1), "head": (0.9, 1.2)}
    joints = ["rear pedal", "rear seat", "pedal seat", "pedal head", "seat head", "head front"]
    ends: list[ArrayLike] = [[(*hubs[name], 0.0) for name in joint.split()] for joint in joints]
    bars: list[ArrayLike] = [
        [(0.9, 1.2, 0), (0.85, 1.5, 0)],
        [(0.85, 1.5, -0.4), (0.85, 1.5, 0.4)],
        [(-0.5, 1.1, 0), (-0.55, 1.4, 0)],
    ]
    saddle = box((0.25, 0.05, 0.1), (-0.55, 1.4, 0), 1)
    return rear + front + saddle + [tube(end, 0.045, 6, 2) for end in ends + bars]


def _plant(rng: np.random.Generator) -> list[Grid]:
    pot = [(0, 0), (0.4, 0), (0.55, 0.8), (0.6, 0.8), (0.6, 0.95), (0.5, 0.95), (0.5, 0.85), (0, 0.85)]
    grids = [lathe(_rounded(pot), 24)]
    angle = np.linspace(-np.pi / 2, np.pi / 2, 7)
    blade = lathe(np.stack([np.cos(angle) * 0.5, np.sin(angle) + 1], -1), 6, 1).points
    for _ in range(rng.integers(3, 9)):
        steps, lean = np.linspace(0, 1, 6)[:, None], rng.normal(0, 0.7, 3) * [1, 0, 1]
        stem = [0, 0.8, 0] + steps * [0, rng.uniform(0.8, 2.2), 0] + steps**2 * lean
        grids.append(tube(stem, 0.025, 5, 2))
        for place in stem[2:].repeat(rng.integers(1, 3), 0):
            leaf = blade * [1, 1, 0.12] * rng.uniform(0.15, 0.32)
            grids += moved([Grid(leaf, 1)], rotation(rng, rng.random() < 0.3), place)
    return grids


def _cage(rng: np.random.Generator) -> list[Grid]:
    flat_ring = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    hoops = [moved([ring(1, 0.04, 32, 1, 6)], flat_ring, (0, y, 0))[0] for y in (0.04, rng.uniform(0.8, 1.8), 2)]
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(8, 22)), endpoint=False)
    bars = [tube([(np.cos(a), 0, np.sin(a)), (np.cos(a), 2, np.sin(a))], 0.03, 5, 1) for a in angles]
    body = on_floor(THINGS["sphere" if rng.random() < 0.5 else "vase"](rng))
    return hoops + bars + moved(body, np.eye(3) * rng.uniform(0.5, 0.8))


THINGS: dict[str, Callable[[np.random.Generator], list[Grid]]] = {
    "sphere": _sphere,
    "cylinder": _cylinder,
    "bottle": _bottle,
    "vase": _vase,
    "cone": _cone,
    "capsule": _capsule,
    "box": _box,
    "torus": _torus,
    "mug": _mug,
    "chair": _chair,
    "wheel": _wheel,
    "bicycle": _bicycle,
    "plant": _plant,
    "cage": _cage,
}
