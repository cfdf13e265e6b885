"""How much of a model's quality is left when the validation pairs are darker, warmer, sharper or without a subject.

    python tests/benchmarks/model_robustness.py --data DIR ... [--models MODEL.onnx ...]

Needs the extra: pip install -e '.[training]'. MAE is averaged over the sources, on the network's own output; "missed"
is the share of pictures in which no subject would be found. The last line is about the parts of these pictures beside
their subject, where they are large enough: in what share of them one is found all the same.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from processing.metrics import mean_absolute_error
from processing.models.spec import find_model
from processing.models.transforms import prepare
from processing.training.augment import empty_part
from processing.training.data import read_pairs, split
from processing.training.evaluate import SIDE, contract, load_model

sys.path.insert(0, str(Path(__file__).parents[1]))
from images import linear_to_srgb, srgb_to_linear

BUILT_IN = Path(__file__).parents[2] / "processing/models/weights/compact.onnx"
GREY = np.full((3, 1), 1.0) * (0.2126, 0.7152, 0.0722)
# From linear sRGB to linear Adobe RGB (1998), whose specification gives both spaces' primaries.
ADOBE = np.array([[0.7151, 0.2849, 0], [0, 1, 0], [0, 0.0412, 0.9588]])
#: What happens to linear light: a matrix over the channels.
LIGHTS = {
    "as taken": np.eye(3),
    "three stops too dark": np.eye(3) / 8,
    "a stop too bright": np.eye(3) * 2,
    "warm": np.diag([1.3, 1, 0.7]),
    "cold": np.diag([0.7, 1, 1.3]),
    "Adobe RGB without its profile": ADOBE,
    "grey": GREY,
}
# A data set's pictures of 320 pixels are softer than a large photo reduced to the model's input. On four photos of
# scikit-image, this much of unsharp masking brings the second differences from the former's to the latter's.
SHARPER = "sharp as a large photo"


def relight(picture, matrix):
    """uint8 (H, W, 3) in, the same out, changed as light would change it."""
    decode = srgb_to_linear(np.arange(256) / 255)
    stored = linear_to_srgb(np.clip(decode[picture] @ matrix.T, 0, 1))
    return np.round(stored * 255).astype(np.uint8)


def sharpen(picture):
    """uint8 (H, W, 3) in and out."""
    return cv2.addWeighted(picture, 1.6, cv2.GaussianBlur(picture, (0, 0), 1), -0.6, 0)


def measure(predict, pairs, change, empty_below):
    errors, missed = {}, 0
    for pair in pairs:
        picture, mask = pair.decode()
        seen = change(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        alpha = predict(prepare(seen, contract()))[0, 0]
        truth = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA) >= 128
        errors.setdefault(pair.source, []).append(mean_absolute_error(alpha, truth.astype(np.float32)))
        missed += alpha.max() < empty_below
    return np.mean([np.mean(rows) for rows in errors.values()]), missed / len(pairs)


def beside(pairs):
    """Cut out what lies beside the subject: uint8 (H, W, 3) for each pair that has such a part."""
    for pair in pairs:
        picture, mask = pair.decode()
        part = empty_part(mask)
        if part is not None:
            top, left, height, width = part
            yield picture[top : top + height, left : left + width]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, nargs="+", required=True, help="the data sets that it was trained on")
    options.add_argument("--models", type=Path, nargs="+", default=[BUILT_IN], metavar="MODEL.onnx")
    given = options.parse_args()
    pairs = split([pair for path in given.data for pair in read_pairs(path)], 0.06)[1]
    empty_below = find_model("compact").empty_below
    changes = {name: partial(relight, matrix=matrix) for name, matrix in LIGHTS.items()} | {SHARPER: sharpen}
    print("| pictures |", *(f"{model.stem}: MAE | missed |" for model in given.models))
    print("|---|" + "---|---|" * len(given.models))
    predicts = [load_model(model) for model in given.models]
    for name, change in changes.items():
        cells = [measure(predict, pairs, change, empty_below) for predict in predicts]
        print(f"| {name} |", *(f"{mae:.4f} | {missed:.1%} |" for mae, missed in cells), flush=True)
    empty = [prepare(picture, contract()) for picture in beside(pairs)]
    found = [np.mean([predict(picture).max() >= empty_below for picture in empty]) for predict in predicts]
    print(f"\nA subject is found in {', '.join(f'{share:.1%}' for share in found)} of {len(empty)} parts beside one.")


if __name__ == "__main__":
    main()
