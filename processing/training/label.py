"""Let a model draw masks: `python -m processing.training.label MODEL.onnx OUT --pictures DIR`, for pictures without.

A person then looks at them (`OUT/masks.png` shows all on one page, by their numbers) and takes the rows of the wrong
ones out of `OUT/manifest.csv`. What is left is more to learn from: a model learns from its own good answers too, when
somebody else has thrown away the bad ones (pseudo-labels; Lee, ICML workshop 2013).
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from processing.errors import DatasetError, ImageError, ProcessingError
from processing.images import decode
from processing.models.transforms import prepare, to_alpha
from processing.training.data import make_folder, read_pictures
from processing.training.evaluate import Predict, contract, load_model

logger = logging.getLogger(__name__)

SIDE = 320  # of the stored pictures' longer side: no training needs more
PART = 0.08  # what is smaller than this share of the largest part is no part of the subject
HOLE = 0.004  # what is smaller than this share of the picture is no hole
CELL, COLUMNS = 120, 8  # of the page

Labelled = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]  # name, RGB picture (H, W, 3), mask (H, W) of 0 and 255


def label(predict: Predict, pictures: dict[str, bytes]) -> Iterator[Labelled]:
    """Give each picture, at most 320 pixels long, with the mask that a model draws for it.

    Pictures in which the model finds nothing are left out, and so are those that cannot be decoded, with a warning.
    """
    for name, data in pictures.items():
        try:
            whole = Image.fromarray(decode(data, name=name).pixels).convert("RGB")
        except ImageError as error:
            logger.warning("Left out: %s", error)
            continue
        whole.thumbnail((SIDE, SIDE))
        picture = np.asarray(whole)
        alpha = to_alpha(predict(prepare(picture, contract())), contract(), picture.shape[:2])
        mask = tidy(np.asarray(alpha) >= 0.5)
        if mask.any():
            yield name, picture, mask.astype(np.uint8) * 255


def tidy(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Take specks out of a mask and fill pinholes.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    ndarray of bool, shape (H, W)
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA] * (np.arange(len(stats)) > 0)  # part 0 is the ground
    kept = (areas >= PART * max(areas.max(), 1))[parts]
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~kept).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < HOLE * mask.size
    small[0] = False  # what is kept
    return np.asarray(kept | small[holes], bool)


def write(labelled: Iterator[Labelled], out: Path, source: str) -> int:
    """Write pictures and masks as a data set with a page that shows them, and give their number.

    Raises
    ------
    DatasetError
        If `out` holds a data set already: its rows may have been looked at; or if no picture has a mask.
    """
    if (out / "manifest.csv").exists():
        raise DatasetError(f"{out} holds a data set already. Give another folder, or move that one away.")
    make_folder(out)
    rows, cells = [["id", "image", "mask", "source"]], []
    for number, (name, picture, mask) in enumerate(labelled):
        stem = f"{number:05}-{Path(name).stem}"
        Image.fromarray(picture).save(out / f"{stem}.jpg", quality=95)
        Image.fromarray(mask).convert("1").save(out / f"{stem}.png")
        rows.append([f"{source}/{PurePosixPath(name).with_suffix('')}", f"{stem}.jpg", f"{stem}.png", source])
        cells.append(_cell(number, picture, mask))
    if not cells:
        raise DatasetError("The model finds a subject in none of the pictures, so there is nothing to write.")
    page = Image.new("RGB", (COLUMNS * 2 * CELL, max(1, -(-len(cells) // COLUMNS)) * CELL), "white")
    for number, cell in enumerate(cells):
        page.paste(cell, (number % COLUMNS * 2 * CELL, number // COLUMNS * CELL))
    page.save(out / "masks.png")
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return len(cells)


def _cell(number: int, picture: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Image.Image:
    cell = Image.new("RGB", (2 * CELL, CELL), "white")
    whole, cut = Image.fromarray(picture), Image.new("RGB", picture.shape[1::-1], "magenta")
    cut.paste(whole, mask=Image.fromarray(mask))
    for place, image in enumerate((whole, cut)):
        image.thumbnail((CELL - 2, CELL - 2))
        cell.paste(image, (place * CELL, 0))
    ImageDraw.Draw(cell).text((3, 1), str(number), "white", stroke_width=1, stroke_fill="black")
    return cell


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(prog="python -m processing.training.label", description=__doc__.split(":")[0] + ".")
    made.add_argument("model", type=Path, metavar="MODEL.onnx")
    made.add_argument("out", type=Path, metavar="OUT", help="folder for the data set")
    made.add_argument("--pictures", type=Path, required=True, help="folder or zip file of pictures")
    made.add_argument("--source", default="labelled", help="what the manifest calls their source")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Label one folder and return the exit code."""
    given = parser().parse_args(arguments)
    try:
        pictures = read_pictures(given.pictures)
        count = write(label(load_model(given.model), pictures), given.out, given.source)
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {count} of {len(pictures)} pictures have a mask. Look at masks.png and take wrong rows out.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
