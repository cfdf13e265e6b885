"""Pictures with ground truth: where they lie, which of them validate, and which one comes next.

A data set is a folder, or a zip file of one, with a `manifest.csv` inside. Its columns are `id`, `image`, `mask` and
`source`; a manifest without `mask` lists pictures to be used as backgrounds. Masks may be binary or soft.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processing.errors import DatasetError

Files = Mapping[str, Callable[[], bytes]]  # a file's name in the data set, and what reads it
# Samples are drawn in processes of their own: a pool of threads inside each would not survive their start by fork.
cv2.setNumThreads(1)

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}

_UNFIT = (
    "The mask of {!r} is no picture, or of another size than its picture. Mend it, or take its row out of the manifest."
)


@dataclass(frozen=True)
class Pair:
    """One picture and its ground truth: encoded bytes, so that a large data set stays small in memory."""

    id: str
    source: str
    image: bytes = field(repr=False)
    mask: bytes = field(repr=False)

    def decode(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give the picture, uint8 (H, W, 3) RGB, and its mask, uint8 (H, W) from 0 to 255.

        Raises
        ------
        DatasetError
            If one of them cannot be decoded, or they differ in size.
        """
        picture = decode_picture(self.image)
        mask = cv2.imdecode(np.frombuffer(self.mask, np.uint8), cv2.IMREAD_GRAYSCALE) if self.mask else None
        if mask is None or mask.shape != picture.shape[:2]:
            raise DatasetError(_UNFIT.format(self.id))
        return picture, np.asarray(mask, np.uint8)


@dataclass(frozen=True)
class Decoded:
    """A pair that was decoded once and for all: larger in memory, and no work when it is drawn."""

    source: str
    picture: NDArray[np.uint8] = field(repr=False)
    mask: NDArray[np.uint8] = field(repr=False)

    def decode(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Give what a pair gives."""
        return self.picture, self.mask


def decode_all(pairs: list[Pair]) -> list[Decoded]:
    """Decode every pair, on all processors."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda pair: Decoded(pair.source, *pair.decode()), pairs))


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """Decode one file to uint8 (H, W, 3) RGB.

    Raises
    ------
    DatasetError
        If it is no picture.
    """
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if decoded is None:
        raise DatasetError(
            "A picture of the data set is no JPEG, PNG, WebP, TIFF or BMP. Take its row out of the manifest."
        )
    return np.asarray(decoded[:, :, ::-1], np.uint8)


def read_pairs(path: Path, column: str = "mask") -> list[Pair]:
    """Read every pair that the manifest of a folder or zip file names, its masks in a column of that name.

    Raises
    ------
    DatasetError
        If there is no manifest, a column or a value is missing, a file that it names is not there, or a mask is of
        another size than its picture.
    """
    files = _files(path)
    try:
        text = _read(files, "manifest.csv", path).decode("utf-8-sig")  # some put a mark before the text
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path / 'manifest.csv'} is not in UTF-8. Save it as UTF-8 text.") from error
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not {"id", "image", column} <= set(rows[0]):
        raise DatasetError(
            f"{path / 'manifest.csv'} needs the columns id, image and {column} (source is optional) and rows."
        )
    for number, row in enumerate(rows, 2):
        if not all((row["id"], row["image"], row[column])):
            raise DatasetError(f"{path / 'manifest.csv'}, line {number}, lacks an id, an image or a {column}.")
    pairs = [
        Pair(
            row["id"],
            row.get("source") or path.stem,
            _read(files, row["image"], path),
            _read(files, row[column], path),
        )
        for row in rows
    ]
    for pair in pairs if column != "image" else ():
        if _sides(pair.mask) != _sides(pair.image):
            raise DatasetError(_UNFIT.format(pair.id))
    return pairs


def _sides(data: bytes) -> list[int]:
    """Read a picture's sides, the shorter first, from the head of its file: none if it is no picture.

    Which of them is the height can depend on how the camera was held; `Pair.decode` compares that too.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return sorted(picture.size)
    except (OSError, ValueError, Image.DecompressionBombError):
        return []


def read_pictures(path: Path) -> dict[str, bytes]:
    """Read every picture of a folder or zip file, encoded, by name and in the order of the names.

    Raises
    ------
    DatasetError
        If there is no such place, or no picture in it.
    """
    files = _files(path)
    names = [name for name in sorted(files) if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    if not names:
        raise DatasetError(f"There are no pictures in {path}. Read are {', '.join(sorted(PICTURE_SUFFIXES))}.")
    return {name: files[name]() for name in names}


def make_folder(path: Path) -> None:
    """Make a folder for results, if it is not there.

    Raises
    ------
    DatasetError
        If it cannot be made, for example because a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{path} cannot be made a folder: {error.strerror}. Give another path.") from error


def _files(path: Path) -> Files:
    """Map each file's name in a folder or zip file to a function that reads it."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file.read_bytes for file in path.rglob("*") if file.is_file()}
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path} is neither a folder nor a zip file. Check the path.")
    archive = zipfile.ZipFile(path)
    names = archive.namelist()
    manifests = [name for name in names if PurePosixPath(name).name == "manifest.csv"]
    folder = min(manifests, key=len, default="manifest.csv").removesuffix("manifest.csv")  # if any
    return {name.removeprefix(folder): partial(archive.read, name) for name in names if name.startswith(folder)}


def _read(files: Files, name: str, path: Path) -> bytes:
    if name not in files:
        raise DatasetError(f"{path} holds no {name}. The manifest's names are relative to the folder it lies in.")
    return files[name]()


def split(pairs: Iterable[Pair], fraction: float) -> tuple[list[Pair], list[Pair]]:
    """Part pairs into those that train and those that validate.

    The digest of a pair's id decides, so a pair stays on its side when others are added.
    """
    train: list[Pair] = []
    validation: list[Pair] = []
    for pair in pairs:
        digest = int.from_bytes(hashlib.sha256(pair.id.encode()).digest()[:4], "big") / 2**32
        (validation if digest < fraction else train).append(pair)
    return train, validation


class Sampler:
    """Draws the next training pair: first a source by its weight, then a pair by how hard it still is.

    `difficulty` holds a running loss for each pair; a pair with twice the mean loss of its source comes up at most
    `LIMITS[1]` times as often as the average one. The array may live in memory shared between processes.
    """

    LIMITS = (0.5, 2.0)

    def __init__(self, sources: list[str], weights: Mapping[str, float], difficulty: NDArray[np.float32]) -> None:
        self.difficulty = difficulty
        names = sorted(set(sources))
        self._members = [np.flatnonzero(np.asarray(sources) == name) for name in names]
        share = np.array(
            [weights.get(name, 0.0) if weights else len(m) ** 0.5 for name, m in zip(names, self._members, strict=True)]
        )
        if not share.sum() > 0:
            raise DatasetError(f"No weight is above 0. Sources: {', '.join(names)}. Weights: {dict(weights)}.")
        self._share = share / share.sum()

    def draw(self, rng: np.random.Generator) -> int:
        """Give the index of a pair."""
        members = self._members[rng.choice(len(self._members), p=self._share)]
        difficulty = self.difficulty[members]
        odds = np.clip(difficulty / difficulty.mean(), *self.LIMITS).cumsum()
        return int(members[min(np.searchsorted(odds, rng.random() * odds[-1]), len(members) - 1)])
