"""Random outlines of flat things, for rendered training pictures.

An outline is a list of closed (N, 2) contours in a square from -1 to 1, filled by the even-odd rule, so that a contour
inside another one is a hole. To add one, write a function that returns it and give it a row in `OUTLINES`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def _circle(radius: float = 1, count: int = 72) -> NDArray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], -1)


def blob(rng: np.random.Generator, wobble: float = 0.35) -> list[NDArray]:
    """Return a smooth closed curve; a larger `wobble` has deeper bays."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waves = [rng.normal(0, wobble / order) * np.cos(order * angle + rng.uniform(0, 7)) for order in range(2, 7)]
    return [_circle(count=96) * np.clip(0.8 + sum(waves), 0.25, 1.2)[:, None]]


def _star(rng: np.random.Generator) -> list[NDArray]:
    points, inner = int(rng.integers(3, 13)), rng.uniform(0.35, 1)
    return [_circle(count=2 * points) * np.where(np.arange(2 * points) % 2, inner, 1)[:, None]]


def _ring(rng: np.random.Generator) -> list[NDArray]:
    return [_circle(), _circle(rng.uniform(0.4, 0.93)) + rng.normal(0, 0.015, 2)]


def _frame(rng: np.random.Generator) -> list[NDArray]:
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [1, rng.uniform(0.5, 1)]
    hole = square * rng.uniform(0.4, 0.92)
    return [square, hole, *([hole * 0.7] if rng.random() < 0.3 else [])]


def _gear(rng: np.random.Generator) -> list[NDArray]:
    teeth = int(rng.integers(6, 20))
    profile = np.where(np.arange(4 * teeth) % 4 < 2, 1, rng.uniform(0.7, 0.9))
    return [_circle(count=4 * teeth) * profile[:, None], _circle(rng.uniform(0.15, 0.5))]


def _heart(rng: np.random.Generator) -> list[NDArray]:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return [np.stack([16 * np.sin(angle) ** 3, -y], -1) / 16]


def _arrow(rng: np.random.Generator) -> list[NDArray]:
    shaft, head = rng.uniform(0.1, 0.4), rng.uniform(-0.3, 0.5)
    half = np.array([[-1, shaft], [head, shaft], [head, rng.uniform(0.5, 1)], [1, 0]])
    return [np.concatenate([half, half[-2::-1] * [1, -1]])]


def _sieve(rng: np.random.Generator) -> list[NDArray]:
    """Return a disc with many round holes."""
    holes = [_circle(0.13, 20) + np.array([x, y]) for x in np.arange(-0.6, 0.7, 0.4) for y in np.arange(-0.6, 0.7, 0.4)]
    return [_circle() if rng.random() < 0.5 else _circle(1.3, 4), *holes]


OUTLINES: dict[Callable[[np.random.Generator], list[NDArray]], float] = {
    blob: 3,
    _star: 2,
    _ring: 1.5,
    _frame: 1,
    _gear: 0.7,
    _heart: 0.5,
    _arrow: 0.5,
    _sieve: 0.5,
}
