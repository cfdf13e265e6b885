"""Draw the course of a run: `python -m processing.training.plots DIR` writes DIR/curves.png from its logs."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

from processing.errors import DatasetError


def draw(folder: Path) -> Path:
    """Draw loss, learning rate and validation figures over the samples seen, and give the picture's path.

    Raises
    ------
    DatasetError
        If the folder has no log yet.
    """
    from matplotlib.figure import Figure

    log, validation = _read(folder / "log.csv"), _read(folder / "validation.csv")
    if not log:
        raise DatasetError(f"{folder} has no log.csv with rows. Give the --out folder of a run that has begun.")
    figure = Figure(figsize=(9, 9), layout="constrained")
    loss, mae, max_f = figure.subplots(3, sharex=True)
    samples = [int(row["samples"]) for row in log]
    loss.plot(samples, [float(row["loss"]) for row in log], label="loss, running mean")
    loss.plot(samples, [float(row["learning_rate_factor"]) for row in log], label="factor on the learning rate")
    loss.legend()
    for axis, column, title in ((mae, "mae", "validation MAE"), (max_f, "max_f", "validation maxF")):
        for source, points in _by_source(validation, column).items():
            axis.plot(*zip(*points, strict=True), marker=".", label=source)
        axis.set_ylabel(title)
    mae.legend(ncols=3)
    max_f.set_xlabel("samples seen")
    target = folder / "curves.png"
    figure.savefig(target, dpi=90)
    return target


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _by_source(rows: list[dict[str, str]], column: str) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        curves[row["source"]].append((int(row["samples"]), float(row[column])))
    return curves


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(prog="python -m processing.training.plots", description="Draw the course of a run.")
    made.add_argument("folder", type=Path, metavar="DIR", help="the --out folder of a run")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Draw one picture and return the exit code."""
    try:
        print(draw(parser().parse_args(arguments).folder))
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
