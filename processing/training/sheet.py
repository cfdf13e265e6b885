"""Look at results: `python -m processing.training.sheet MODEL.onnx --data DIR OUT.png` draws pictures and cutouts.

Numbers do not show haze, ragged edges or a lost hand. A sheet does: each cell is a picture and its cutout on a checker.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from processing.errors import DatasetError, ProcessingError
from processing.training.evaluate import load_model, predict_alpha, read_samples, read_truth

CELL = 160
COLUMNS = 6


def draw(weights: Path, folder: Path, count: int, *, worst: bool = False) -> Image.Image:
    """Draw `count` results, spread evenly over the data set or the worst ones by mean absolute error."""
    samples = read_samples(folder)
    predict = load_model(weights)
    if not worst:
        samples = [samples[int(place)] for place in np.linspace(0, len(samples) - 1, min(count, len(samples)))]
    alphas = [predict_alpha(predict, sample) for sample in samples]
    if worst:
        errors = [np.abs(alpha - read_truth(sample)).mean() for alpha, sample in zip(alphas, samples, strict=True)]
        order = np.argsort(errors)[::-1][:count]
        samples, alphas = [samples[k] for k in order], [alphas[k] for k in order]
    rows = -(-len(samples) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * 2 * CELL, rows * CELL), "white")
    for place, (sample, alpha) in enumerate(zip(samples, alphas, strict=True)):
        row, column = divmod(place, COLUMNS)
        picture = _fitted(sample.image)
        matte = Image.fromarray((alpha * 255).astype(np.uint8)).resize(picture.size)
        sheet.paste(picture, (column * 2 * CELL, row * CELL))
        cutout = _checker(picture.size)
        cutout.paste(picture, mask=matte)
        sheet.paste(cutout, (column * 2 * CELL + CELL, row * CELL))
    return sheet


def _fitted(path: Path) -> Image.Image:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((CELL, CELL))
    return picture


def _checker(size: tuple[int, int]) -> Image.Image:
    rows, columns = np.mgrid[: size[1], : size[0]] // 8
    return Image.fromarray(np.where((rows + columns) % 2, 205, 250).astype(np.uint8)).convert("RGB")


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(prog="python -m processing.training.sheet", description="Draw results on one page.")
    made.add_argument("model", type=Path, metavar="MODEL.onnx")
    made.add_argument("out", type=Path, metavar="OUT.png")
    made.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with a manifest.csv")
    made.add_argument("--count", type=int, default=60)
    made.add_argument("--worst", action="store_true", help="the worst ones first, not a selection of all")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Draw one sheet and return the exit code."""
    given = parser().parse_args(arguments)
    try:
        if not given.out.parent.is_dir() or given.out.suffix.lower() not in Image.registered_extensions():
            raise DatasetError(f"{given.out} cannot be written. Give a path such as sheet.png in a folder that exists.")
        draw(given.model, given.data, max(1, given.count), worst=given.worst).save(given.out)
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
