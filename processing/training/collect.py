"""Make a data set of pictures and masks: `python -m processing.training.collect OUT --pictures DIR --masks DIR`.

A picture and its mask have the same name, subfolder included, but for the suffix. What cannot be trained on is left out
and counted, and so is what would make a test worthless: with `--apart-from`, a picture that a test set shows too,
smaller, stored anew or mirrored.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.errors import DatasetError, ProcessingError
from processing.training.data import decode_picture, make_folder, read_pairs, read_pictures

SIDE = 320  # of the stored pictures' longer side: no training needs more
THUMBNAIL = 32
#: Correlation of two thumbnails from which on they show one picture. Between 10,553 pictures of DUTS and 1,206 of test
#: sets, which share none, the highest is .94.
SAME = 0.95

Picture = NDArray[np.uint8]


class Known:
    """Pictures of test sets, as thumbnails to compare others with."""

    def __init__(self, pictures: Iterable[Picture]) -> None:
        thumbnails = [_thumbnail(picture) for picture in pictures]
        self._thumbnails = np.stack(thumbnails) if thumbnails else np.zeros((0, THUMBNAIL**2), np.float32)

    def has(self, picture: Picture) -> bool:
        """Tell whether one of them shows the same as a picture, uint8 (H, W, 3), or as its mirror image."""
        views = np.stack([_thumbnail(picture), _thumbnail(picture[:, ::-1])], 1)
        return bool((self._thumbnails @ views >= SAME).any())


def _thumbnail(picture: Picture) -> NDArray[np.float32]:
    """Give grey values around 0 as a vector of length 1, so that a product of two is their correlation."""
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    values = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)


def collect(pictures: dict[str, bytes], masks: dict[str, bytes], known: Known, out: Path, source: str) -> Counter[str]:
    """Write a data set.

    Parameters
    ----------
    pictures, masks : dict of str to bytes
        Encoded files by name. Masks may be soft; they are read as grey.
    known : Known
        Pictures to stay apart from.
    out : Path
        Folder for the data set, whose pictures are at most 320 pixels long.
    source : str
        What the manifest calls their source; the ids begin with it.

    Returns
    -------
    Counter of str
        How many pictures were left out, by the reason.

    Raises
    ------
    DatasetError
        If `out` holds a data set already, or no pair is left.
    """
    if (out / "manifest.csv").exists():
        raise DatasetError(f"{out} holds a data set already. Give another folder, or move that one away.")
    make_folder(out)
    mask_names = {_stem(name): name for name in masks}
    seen: set[str] = set()
    rows, left_out = [], Counter[str]()
    for name, data in pictures.items():
        stem = _stem(name)
        if stem not in mask_names or stem in seen:
            left_out["with another's name" if stem in seen else "without a mask"] += 1
            continue
        seen.add(stem)
        picture, mask = _decode(data, cv2.IMREAD_COLOR_RGB), _decode(masks[mask_names[stem]], cv2.IMREAD_GRAYSCALE)
        reason = _unfit(picture, mask, known)
        if picture is None or mask is None or reason:
            left_out[reason] += 1
            continue
        (out / stem).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(out / f"{stem}.jpg"), _reduced(picture)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        cv2.imwrite(str(out / f"{stem}.png"), _reduced(mask))
        rows.append([f"{source}/{stem}", f"{stem}.jpg", f"{stem}.png", source])
    if not rows:
        raise DatasetError(
            f"No pair is left: {_spoken(left_out)}. A picture and its mask need the same name and size, and a mask is "
            "grey, above 127 of 255 where the subject is."
        )
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "image", "mask", "source"], *rows])
    return left_out


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _decode(data: bytes, mode: int) -> Picture | None:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
    return None if decoded is None else np.asarray(decoded, np.uint8)


def _unfit(picture: Picture | None, mask: Picture | None, known: Known) -> str:
    """Give the reason to leave a pair out, or an empty string."""
    if picture is None or mask is None:
        return "that cannot be read"
    reasons: dict[str, Callable[[], bool]] = {
        "of another size than their mask": lambda: picture.shape[:2] != mask.shape,
        "with an empty mask": lambda: not (mask > 127).any(),
        "with a mask that is all white": lambda: bool((mask > 127).all()),
        "that a test set shows too": lambda: known.has(picture),
    }
    return next((reason for reason, holds in reasons.items() if holds()), "")


def _reduced(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    factor = SIDE / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _spoken(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m processing.training.collect", description="Make a data set of pictures and masks."
    )
    made.add_argument("out", type=Path, metavar="OUT", help="folder for the data set")
    made.add_argument("--pictures", type=Path, required=True, help="folder or zip file of pictures")
    made.add_argument("--masks", type=Path, required=True, help="folder or zip file of masks, with the same names")
    made.add_argument("--source", help="what the manifest calls their source: else the name of OUT")
    made.add_argument("--apart-from", type=Path, nargs="*", default=[], metavar="DIR",
        help="data sets that test; what they show is left out")  # fmt: skip
    return made


def main(arguments: list[str] | None = None) -> int:
    """Make one data set and return the exit code."""
    given = parser().parse_args(arguments)
    try:
        known = Known(decode_picture(pair.image) for path in given.apart_from for pair in read_pairs(path, "image"))
        pictures = read_pictures(given.pictures)
        left_out = collect(pictures, read_pictures(given.masks), known, given.out, given.source or given.out.name)
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {len(pictures) - left_out.total()} pairs.")
    if left_out:
        print(f"Left out: {_spoken(left_out)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
