"""A small network that looks at the photo along the edge and says what to add to the coarse matte.

The photo and its matte are reduced to the long sides in `SIDES`, one after the other, and only tiles with an uncertain
edge are looked at. What is to be added is enlarged and added to the matte at full size, so that a matte which needs
nothing keeps every detail.
`processing/training/refiner.py` is how the network was trained, `weights/edges.md` on what.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from processing.bands import Tick, bands, ignore, within
from processing.errors import RefinementError
from processing.refinement.tiles import CELL, MARGIN, SURE, cells_of, spread, tiles, uncertain_cells, weights
from processing.resizing import shrink

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WEIGHTS = Path(__file__).parent / "weights" / "edges.onnx"
SHA256 = "5758ecb82cd0774e1ec6f7c7a0bc1f8fa505c83619e2fc947452d68f35b4daa9"
#: Long sides at which the edge is looked at, one after the other; a photo up to half as large again is looked at as it
#: is, and no further.
SIDES = (400, 800, 1600)
#: A matte is detailed if more is lost of it in a reduction to the second of these sides than so many times what is lost
#: in one to the first. On the photos that chose it: spoilt mattes and a model's .18 to .24, true ones reduced to 320
#: pixels .20 to .28, those of 1024 pixels from .29, true ones from .31.
DETAIL, DETAIL_SIDES = 0.28, (240, 480)
#: A matte is faint if the mean of 4 alpha (1 - alpha) over its soft pixels is under this: hair and haze have many
#: values near 0 and 1 (to .57 on these photos), blurred mattes with too much contrast have even ramps (from .59).
FAINT = 0.58
#: Additions under this are noise of the network: what was solid stays solid.
NOISE = 2 / 255


def refine_learned(image: np.ndarray, alpha: np.ndarray, tick: Tick = ignore) -> np.ndarray:
    """Refine with the network; see `processing.refinement.refine` for the arrays.

    Raises
    ------
    RefinementError
        If onnxruntime is missing, or the weights are missing or damaged.
    """
    sizes = working_sizes(alpha.shape[:2])
    fine_image, coarse = reduce(image, alpha, sizes[-1], within(tick, 0.0, 0.3))
    faint, detailed = is_faint(coarse), is_detailed(coarse)
    if faint and detailed:
        return alpha.copy()
    if faint or detailed:
        sizes = sizes[-1:]  # a coarse look would lose what is fine
    fine_alpha = coarse
    for number, size in enumerate(sizes):
        looking = within(tick, 0.3 + 0.5 * number / len(sizes), 0.3 + 0.5 * (number + 1) / len(sizes))
        fine_alpha = _pass(*reduce(fine_image, fine_alpha, size), fine_alpha, looking)
    refined = np.empty_like(alpha)
    for rows in bands(len(alpha), alpha[0].nbytes, within(tick, 0.8, 0.9)):
        refined[rows] = alpha[rows]
    _add(refined, fine_alpha - coarse, within(tick, 0.9, 1.0))
    return refined


def _pass(image: np.ndarray, small: np.ndarray, alpha: np.ndarray, tick: Tick) -> np.ndarray:
    """Let the network look once, at the size of `image` and `small`, and add what it says to `alpha`."""
    cells = uncertain_cells(small)
    residual = _residual(load(), image, small, cells, tick) * weights(cells, small.shape)
    residual = np.clip(small + residual, 0, 1) - small
    residual[np.abs(residual) < NOISE] = 0
    refined = alpha.copy()
    _add(refined, residual)
    return refined


def is_detailed(alpha: np.ndarray) -> bool:
    """Tell a matte that shows more than spoilt ones, and those of models of low resolution, can show."""
    matte, lost = Image.fromarray(alpha), []
    for side in DETAIL_SIDES:
        if max(alpha.shape) <= side:
            return False
        small = matte.resize(scaled(alpha.shape, side)[::-1], Image.Resampling.LANCZOS)
        lost.append(float(np.abs(alpha - np.asarray(small.resize(matte.size, Image.Resampling.LANCZOS))).sum()))
    return lost[1] > DETAIL * lost[0]


def is_faint(alpha: np.ndarray) -> bool:
    """Tell a matte that shows hair and haze from one whose edges are even ramps."""
    soft = alpha[(alpha > SURE) & (alpha < 1 - SURE)]
    return bool(soft.size) and float((4 * soft * (1 - soft)).mean()) < FAINT


def working_sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Give the heights and widths, from coarse to fine, at which a photo of a height and width is looked at."""
    coarser = [side for side in SIDES if side * 1.5 < max(shape)]
    sizes = [scaled(shape, side) for side in coarser]
    return sizes if len(sizes) == len(SIDES) else [*sizes, (shape[0], shape[1])]


def scaled(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Give the height and width of a picture that is made as small as a long side."""
    ratio = side / max(shape)
    return max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio))


def reduce(
    image: np.ndarray, alpha: np.ndarray, size: tuple[int, int], tick: Tick = ignore
) -> tuple[np.ndarray, np.ndarray]:
    """Make photo and matte as small as a (height, width), averaging; of that size, they come back as they are."""
    if alpha.shape == size:
        return image, alpha
    ticks = within(tick, 0.0, 0.5), within(tick, 0.5, 1.0)
    colours, matte = (
        shrink(part, size[::-1], Image.Resampling.BOX, gap=2.0, tick=tick)
        for part, tick in zip((image, alpha), ticks, strict=True)
    )
    return np.asarray(colours), np.asarray(matte)


def _residual(
    session: InferenceSession, image: np.ndarray, alpha: np.ndarray, cells: np.ndarray, tick: Tick
) -> np.ndarray:
    """Ask the network tile by tile; float32 (H, W), 0 where no tile lies."""
    height, width = alpha.shape
    residual = np.zeros((height, width), np.float32)
    levels = np.rint(alpha * 255).astype(np.uint8)  # a quarter of the memory, and as fine as a model's answer
    beyond = (MARGIN, MARGIN + CELL)
    seen = np.pad(np.dstack([image, levels]), (beyond, beyond, (0, 0)), "edge")
    boxes = list(tiles(cells))
    for number, (rows, columns) in enumerate(boxes):
        tick(number / len(boxes))
        part = seen[rows.start : rows.stop + 2 * MARGIN, columns.start : columns.stop + 2 * MARGIN]
        given = np.ascontiguousarray(part.transpose(2, 0, 1)[np.newaxis], np.float32) / 255
        found = session.run(None, {"seen": given})[0][0, 0, MARGIN:-MARGIN, MARGIN:-MARGIN]
        target = residual[rows, columns]
        target[:] = found[: target.shape[0], : target.shape[1]]
    return residual


def _add(alpha: np.ndarray, residual: np.ndarray, tick: Tick = ignore) -> None:
    """Enlarge a residual to the size of a matte, tile by tile where it is not 0, and add it in place."""
    if alpha.shape == residual.shape:
        np.clip(alpha + residual, 0, 1, out=alpha)
        return
    down, across = alpha.shape[0] / residual.shape[0], alpha.shape[1] / residual.shape[1]
    picture = Image.fromarray(residual)
    parts = list(tiles(spread(cells_of(residual != 0), 1)))
    for number, part in enumerate(parts):
        tick(number / len(parts))
        bottom, right = min(part[0].stop, residual.shape[0]), min(part[1].stop, residual.shape[1])
        rows = slice(round(part[0].start * down), round(bottom * down))
        columns = slice(round(part[1].start * across), round(right * across))
        box = (columns.start / across, rows.start / down, columns.stop / across, rows.stop / down)
        size = columns.stop - columns.start, rows.stop - rows.start
        enlarged = np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box))
        alpha[rows, columns] = np.clip(alpha[rows, columns] + enlarged, 0, 1)


@functools.cache
def load() -> InferenceSession:
    """Load the network once; one thread, which is quicker for a network so small.

    Raises
    ------
    RefinementError
        If onnxruntime is missing, or the weights are missing or damaged.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise RefinementError("The learned refinement needs onnxruntime: pip install onnxruntime.") from error
    try:
        data = WEIGHTS.read_bytes()
    except OSError as error:
        raise RefinementError(f"{WEIGHTS} cannot be read: {error.strerror}. Reinstall the project.") from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise RefinementError(f"{WEIGHTS} is damaged: its SHA-256 is not {SHA256}. Reinstall the project.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
