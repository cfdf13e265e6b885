"""Measure models on pictures with ground truth: `python -m processing.training.evaluate --data DIR MODEL.onnx`.

A model is any ONNX file with the contract of the built-in one: a float32 input (1, 3, 320, 320) normalised by the mean
and standard deviation of ImageNet, and a first output (1, 1, h, w) in [0, 1]. Pictures are decoded and prepared as the
product does it. All measures are taken at 320 x 320; the ground truth is averaged over areas to that size.

The folder holds a `manifest.csv` with the columns `id`, `image`, `mask` and `source`, for binary ground truth, or `id`,
`image` and `alpha`, for a soft one. To add a measure: one entry in `MEASURES`, its title in
`TITLES` and a field of `SourceReport`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing import metrics
from processing.errors import DatasetError, ModelError, ProcessingError, RecipeError
from processing.images import decode
from processing.models.spec import ModelSpec
from processing.models.transforms import prepare, to_alpha

SIDE = 320
ROUNDING = 1e-5  # onnxruntime's sigmoid reaches 1.0000001
Predict = Callable[[np.ndarray], np.ndarray]  # model input -> raw output
#: Name of the row that has every picture.
ALL = "all"
#: Measures of one picture, by the field of `SourceReport` that their mean goes to.
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mae": metrics.mean_absolute_error,
    "iou": metrics.iou,
    "s_measure": metrics.s_measure,
    "boundary_f": metrics.boundary_f,
}
TITLES = {"mae": "MAE", "max_f": "maxF", "iou": "IoU", "s_measure": "S-measure", "boundary_f": "boundary F"}
RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True)
class Sample:
    """One picture of a data set; `is_soft` says that its ground truth is an alpha matte, which is not cut to a mask."""

    id: str
    source: str
    image: Path
    truth: Path
    is_soft: bool


@dataclass(frozen=True, eq=False)
class Scores:
    """What one model reached on N pictures.

    Parameters
    ----------
    sources : tuple of str
        Source of each picture.
    values : dict of str to ndarray of float64, shape (N,)
        The measures of `MEASURES`.
    precision, recall : ndarray of float64, shape (N, 256)
        At the thresholds of `metrics.precision_recall`.
    """

    sources: tuple[str, ...]
    values: dict[str, np.ndarray]
    precision: np.ndarray
    recall: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SourceReport:
    """What a model reached on the pictures of one source, or of all."""

    source: str
    images: int
    mae: Estimate
    max_f: Estimate
    iou: Estimate
    s_measure: Estimate
    boundary_f: Estimate


@dataclass(frozen=True)
class ModelReport:
    """What a model reached: a row for each source, in the order of their names, and one for all."""

    model: str
    levels: tuple[float, float]
    rows: tuple[SourceReport, ...]


def read_samples(folder: Path, sources: Iterable[str] = ()) -> list[Sample]:
    """Read the manifest of a data set.

    Parameters
    ----------
    folder : Path
        Holds `manifest.csv` and the files that it names.
    sources : iterable of str
        Keep the pictures of these only; all if empty. Without a column `source`, the folder's name is the source.

    Raises
    ------
    DatasetError
        If the manifest cannot be read, lacks a column, or has no picture of a source that was asked for.
    """
    manifest = folder / "manifest.csv"
    try:
        rows = list(csv.DictReader(manifest.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{manifest} cannot be read: {error}. Give --data a folder with a manifest.csv.") from error
    columns = set(rows[0]) if rows else set()
    if not {"id", "image"} <= columns or not {"mask", "alpha"} & columns:
        raise DatasetError(f"{manifest} needs rows, the columns id and image, and a column mask or alpha.")
    truth = "mask" if "mask" in columns else "alpha"
    for number, row in enumerate(rows, 2):
        if not all((row["id"], row["image"], row[truth])):
            raise DatasetError(f"{manifest}, line {number}, lacks an id, an image or a {truth}.")
    samples = [_sample(folder, row, is_soft=truth == "alpha") for row in rows]
    known, wanted = {sample.source for sample in samples}, set(sources)
    if wanted - known:
        raise DatasetError(
            f"No picture of {', '.join(sorted(wanted - known))} in {manifest}. It has {', '.join(sorted(known))}."
        )
    return [sample for sample in samples if not wanted or sample.source in wanted]


def _sample(folder: Path, row: dict[str, str], *, is_soft: bool) -> Sample:
    truth = folder / row["alpha" if is_soft else "mask"]
    return Sample(row["id"], row.get("source") or folder.resolve().name, folder / row["image"], truth, is_soft)


def read_truth(sample: Sample) -> np.ndarray:
    """Read a ground truth and average it over areas to the size at which models are compared.

    Returns
    -------
    ndarray of float32, shape (320, 320)
        In [0, 1]; 0 or 1 unless the sample is soft.
    """
    # Not `decode`: grey levels are shares here, not colours, and no profile may change them.
    try:
        with Image.open(sample.truth) as file:
            grey = np.asarray(file.convert("L"), np.float32) / 255
    except OSError as error:
        raise DatasetError(f"{sample.truth} cannot be read: {error}. Restore it, or leave its row out.") from error
    small = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX))
    return np.clip(small, 0, 1) if sample.is_soft else (small >= metrics.CUT).astype(np.float32)


def evaluate(weights: Path, samples: Sequence[Sample], *, levels: tuple[float, float] = (0.0, 1.0)) -> Scores:
    """Run a model on every picture and measure its mattes.

    Parameters
    ----------
    weights : Path
        ONNX file that follows the contract in the module's docstring.
    samples : sequence of Sample
        At least one.
    levels : tuple of float
        Output values taken as 0 and as 1, as in the catalogue; (0, 1) measures the raw output.

    Raises
    ------
    DatasetError, ImageError
        If a ground truth or a picture cannot be read.
    ModelError
        If the model cannot be loaded or does not follow the contract.
    RecipeError
        If `levels` are not in order or leave [0, 1].
    """
    predict = load_model(weights)
    values: dict[str, list[float]] = {name: [] for name in MEASURES}
    curves = []
    for sample in samples:
        alpha, truth = predict_alpha(predict, sample, levels=levels), read_truth(sample)
        curves.append(metrics.precision_recall(alpha, truth))
        for name, measure in MEASURES.items():
            values[name].append(measure(alpha, truth))
    precision, recall = np.stack(curves, axis=1)
    arrays = {name: np.array(column) for name, column in values.items()}
    return Scores(tuple(sample.source for sample in samples), arrays, precision, recall)


def predict_alpha(predict: Predict, sample: Sample, *, levels: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """Give a model's alpha matte of a picture, float32 (320, 320) in [0, 1]."""
    spec = contract(levels)
    return np.asarray(to_alpha(predict(_prepare(sample, spec)), spec, (SIDE, SIDE)))


def contract(levels: tuple[float, float] = (0.0, 1.0)) -> ModelSpec:
    """Describe the contract as the catalogue would, so that the product's own code prepares the input."""
    if not 0 <= levels[0] < levels[1] <= 1:
        raise RecipeError(
            f"Levels {levels[0]:g} {levels[1]:g} are not allowed. Give 0 <= LOW < HIGH <= 1, such as .2 .8."
        )
    return ModelSpec(
        name="model",
        title="",
        about="",
        runtime="onnxruntime",
        weights=Path(),  # `load_model` has them
        input_size=SIDE,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        resample="bilinear",
        levels=levels,
    )


def _prepare(sample: Sample, spec: ModelSpec) -> np.ndarray:
    try:
        data = sample.image.read_bytes()
    except OSError as error:
        raise DatasetError(f"{sample.image} cannot be read: {error}. Restore it, or leave its row out.") from error
    return prepare(decode(data, name=sample.image.name).pixels, spec)


def load_model(weights: Path) -> Predict:
    """Load a model into onnxruntime, on one thread of the CPU: the figures must not depend on the machine."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ModelError(f"{weights} cannot be loaded: {error}") from error
    source, target = session.get_inputs()[0].name, session.get_outputs()[0].name

    def predict(tensor: np.ndarray) -> np.ndarray:
        try:
            raw = np.asarray(session.run([target], {source: tensor})[0])
        except Exception as error:  # see above
            raise ModelError(f"{weights} failed on an input of shape {tensor.shape}: {error}") from error
        if raw.ndim != 4 or raw.shape[:2] != (1, 1) or not -ROUNDING <= raw.min() <= raw.max() <= 1 + ROUNDING:
            raise ModelError(
                f"{weights} gave shape {raw.shape}, values {raw.min():g} to {raw.max():g}. "
                "Its first output must be (1, 1, h, w) in [0, 1]; export it with the sigmoid inside."
            )
        return raw.clip(0, 1)

    return predict


def summarise(model: str, scores: Scores, *, levels: tuple[float, float] = (0.0, 1.0)) -> ModelReport:
    """Average the scores over each source and over all pictures, with 95 % intervals.

    The intervals are those of the percentile bootstrap over pictures: 1000 resamples from a fixed seed, the same for
    every model. They tell how much the choice of pictures matters, not how much the seed of the training does.

    Parameters
    ----------
    model : str
        Name for the report.
    scores : Scores
        What `evaluate` measured.
    levels : tuple of float
        What `evaluate` was given, for the report.
    """
    names = sorted(set(scores.sources))
    rows = [_report(name, scores, np.array([source == name for source in scores.sources])) for name in names]
    if len(names) > 1:
        rows.append(_report(ALL, scores, np.ones(len(scores.sources), bool)))
    return ModelReport(model, levels, tuple(rows))


def _report(source: str, scores: Scores, chosen: np.ndarray) -> SourceReport:
    count = int(chosen.sum())
    # (1 + R, N) weights, N the pictures of this source: row 0 weighs them equally, and row r says how often each one
    # comes up in resample r. A mean over a resample is then a product of matrices.
    resampled = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    weights = np.vstack([np.ones(count), resampled]) / count
    means = {name: _estimate(weights @ values[chosen]) for name, values in scores.values.items()}
    curves = metrics.f_measure(weights @ scores.precision[chosen], weights @ scores.recall[chosen])
    return SourceReport(source, count, max_f=_estimate(curves.max(axis=1)), **means)


def _estimate(results: np.ndarray) -> Estimate:
    low, high = np.percentile(results[1:], [2.5, 97.5])
    return Estimate(float(results[0]), float(low), float(high))


def format_table(reports: Sequence[ModelReport]) -> str:
    """Write reports as a Markdown table: the models' rows of one source stand under one another.

    Each cell has the value and its 95 % interval. One model alone needs no column for its name.
    """
    several = len(reports) > 1
    header = ["source", "images", *(["model"] if several else []), *TITLES.values()]
    lines = [header, ["---"] * len(header)]
    for rows in zip(*(report.rows for report in reports), strict=True):
        for report, row in zip(reports, rows, strict=True):
            cells = [_format_estimate(getattr(row, name)) for name in TITLES]
            lines.append([row.source, str(row.images), *([report.model] if several else []), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _format_estimate(estimate: Estimate) -> str:
    value, low, high = (f"{number:.3f}".removeprefix("0") for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low}–{high})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the models named on the command line, print the table and return the exit code."""
    options = parser().parse_args(arguments)
    levels = (options.levels[0], options.levels[1])
    try:
        samples = read_samples(options.data, options.sources)
        reports = [
            summarise(name, evaluate(weights, samples, levels=levels), levels=levels)
            for name, weights in zip(_name_models(options.models), options.models, strict=True)
        ]
        print(format_table(reports))
        if options.json:
            _write_json(options.json, reports)
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m processing.training.evaluate", description="Measure models on pictures with ground truth."
    )
    made.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    made.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder with a manifest.csv")
    made.add_argument("--sources", nargs="+", default=[], metavar="SOURCE", help="only the pictures of these sources")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    made.add_argument(
        "--levels",
        nargs=2,
        type=float,
        default=[0.0, 1.0],
        metavar=("LOW", "HIGH"),
        help="output values taken as 0 and 1; without it the raw output is measured",
    )
    return made


def _name_models(paths: Sequence[Path]) -> list[str]:
    """Name models by their files, or by their paths where two files have one name."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _write_json(path: Path, reports: Sequence[ModelReport]) -> None:
    content: list[dict[str, Any]] = [asdict(report) for report in reports]
    try:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error}. Give --json a path in a folder that exists.") from error


if __name__ == "__main__":
    sys.exit(main())
