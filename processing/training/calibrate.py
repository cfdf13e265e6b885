"""Choose a model's row in the catalogue: `python -m processing.training.calibrate MODEL.onnx --data DIR`.

`levels`, the outputs that count as 0 and 1, are those with the least mean absolute error on the validation pairs, the
same ones that training set aside. `empty_below`, the peak under which a picture has no subject, lies between the peaks
on rendered pictures with nothing in them and the peaks on the validation pairs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from processing.errors import DatasetError, ProcessingError
from processing.models.transforms import prepare
from processing.training.data import Pair, read_pairs, split
from processing.training.evaluate import SIDE, Predict, contract, load_model
from processing.training.rendering import render_empty

LOWS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
EMPTY_PICTURES = 300


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and the figures that it was chosen by.

    Parameters
    ----------
    levels : tuple of float
        The best low, and one minus it: a cut at one half stays where it is.
    errors : dict of float to float
        Mean absolute error for each low, averaged over the sources.
    empty_peaks, subject_peaks : ndarray of float64
        Greatest output on each rendered empty picture and each validation pair.
    """

    levels: tuple[float, float]
    errors: dict[float, float]
    empty_peaks: np.ndarray
    subject_peaks: np.ndarray

    def mistakes(self, empty_below: float) -> tuple[float, float]:
        """Give the share of empty pictures that pass for a subject, and of subjects that pass for empty."""
        return float((self.empty_peaks >= empty_below).mean()), float((self.subject_peaks < empty_below).mean())


def calibrate(predict: Predict, pairs: Sequence[Pair], *, seed: int = 0) -> Calibration:
    """Run a model on validation pairs and empty pictures and choose its levels.

    Raises
    ------
    DatasetError
        If there are no pairs.
    """
    if not pairs:
        raise DatasetError(
            "The data sets have no pair to choose by. Give the share that training set aside: --validation."
        )
    errors: dict[str, list[list[float]]] = {}
    peaks = []
    for pair in pairs:
        picture, mask = pair.decode()
        alpha = predict(prepare(picture, contract()))[0, 0]
        truth = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) >= 128
        errors.setdefault(pair.source, []).append([float(np.abs(_stretch(alpha, low) - truth).mean()) for low in LOWS])
        peaks.append(float(alpha.max()))
    means = np.mean([np.mean(rows, axis=0) for rows in errors.values()], axis=0)
    low = LOWS[int(means.argmin())]
    rng = np.random.default_rng(seed)
    empty = (render_empty(rng, (SIDE, SIDE)) for _ in range(EMPTY_PICTURES))
    return Calibration(
        (low, round(1 - low, 2)), dict(zip(LOWS, means.tolist(), strict=True)), _peaks(predict, empty), np.array(peaks)
    )


def _peaks(predict: Predict, pictures: Iterable[np.ndarray]) -> np.ndarray:
    return np.array([float(predict(prepare(picture, contract())).max()) for picture in pictures])


def _stretch(alpha: np.ndarray, low: float) -> np.ndarray:
    return np.clip((alpha - low) / (1 - 2 * low), 0, 1)


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m processing.training.calibrate", description="Choose a model's levels."
    )
    made.add_argument("model", type=Path, metavar="MODEL.onnx")
    made.add_argument("--data", type=Path, nargs="+", required=True, help="the data sets that it was trained on")
    made.add_argument("--validation", type=float, default=0.06, help="the share that training set aside")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Print what was chosen and return the exit code."""
    given = parser().parse_args(arguments)
    try:
        pairs = [pair for path in given.data for pair in read_pairs(path)]
        chosen = calibrate(load_model(given.model), split(pairs, given.validation)[1])
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for low, mae in chosen.errors.items():
        print(f"levels [{low:g}, {1 - low:g}]: MAE {mae:.4f}{' <- the least' if low == chosen.levels[0] else ''}")
    for empty_below in (0.2, 0.35, 0.5, 0.65, 0.8):
        seen, missed = chosen.mistakes(empty_below)
        print(f"empty_below {empty_below:g}: {seen:.1%} of empty pictures pass for a subject, {missed:.1%} the reverse")
    return 0


if __name__ == "__main__":
    sys.exit(main())
