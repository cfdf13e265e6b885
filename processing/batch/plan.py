"""Which input becomes which output."""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from processing.batch.report import Failure
from processing.encoders import find_encoder
from processing.errors import ImageError, StoreError
from processing.formats import FORMATS, SUPPORTED
from processing.recipe import Recipe

#: How the names of photos end. What a file really is, its bytes tell later.
PHOTO_SUFFIXES = frozenset(each.suffix for each in FORMATS) | frozenset(
    (".apng", ".dib", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".mpo", ".tiff")
)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A photo and its cutout: paths inside the two folders, with ``/`` between the parts."""

    input: str
    output: str


@dataclass(frozen=True)
class BatchPlan:
    """What is to be done with a folder.

    Parameters
    ----------
    input_folder, output_folder : Path
        Absolute, links followed; neither lies inside the other.
    suffix : str
        How the outputs end.
    files : tuple of PlannedFile
        No two outputs are alike, not even where upper and lower case are the same.
    unreadable : tuple of Failure
        Folders that cannot be listed.
    other_files : int
        Hidden files and folders, and files that are no photos by their names.
    linked_folders : tuple of str
        Links to folders, which are not entered: they may lead in circles, or into the output folder.
    """

    input_folder: Path
    output_folder: Path
    suffix: str
    files: tuple[PlannedFile, ...]
    unreadable: tuple[Failure, ...] = ()
    other_files: int = 0
    linked_folders: tuple[str, ...] = ()


def make_plan(input_folder: str | Path, output_folder: str | Path, recipe: Recipe | None = None) -> BatchPlan:
    """List the photos of a folder and its sub-folders, and name the output of each. Writes nothing.

    An output has the name of its input with the suffix of the recipe's format. Where two inputs of a folder would get
    the same output, each keeps its whole name: ``a.jpg`` and ``a.png`` become ``a.jpg.png`` and ``a.png.png``.

    Raises
    ------
    ImageError
        If the input folder is missing, no folder, or has no photos.
    StoreError
        If one of the folders lies inside the other, or links lead from one into the other.
    """
    source, target = _resolve(Path(input_folder)), _resolve(Path(output_folder))
    _check_folders(source, target)
    found = _Found(source, target)
    found.walk()
    if not found.photos and not found.unreadable:
        raise ImageError(
            f"There are no photos in {source} and its sub-folders ({found.other_files} other files). "
            f"{SUPPORTED} are read; their names must end like that, as in photo.jpg."
        )
    suffix = find_encoder((recipe or Recipe()).format).suffix
    files = tuple(_name_outputs(found.photos, suffix))
    _check_no_links(target, files)
    return BatchPlan(
        source, target, suffix, files, tuple(found.unreadable), found.other_files, tuple(found.linked_folders)
    )


def _resolve(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 raise RuntimeError where links lead in a circle
        raise StoreError(f"{folder} cannot be followed: {error}. Give the path of a folder.") from error


def _check_folders(source: Path, target: Path) -> None:
    if not os.path.exists(source):
        raise ImageError(f"The input folder {source} does not exist. Give the path of a folder with photos.")
    if not os.path.isdir(source):
        raise ImageError(f"{source} is a file, not a folder. For one photo run: python -m processing remove {source}")
    if os.path.exists(target) and not os.path.isdir(target):
        raise StoreError(f"The output folder {target} is a file. Give the path of a folder, which may be a new one.")
    if is_within(target, source) or is_within(source, target):
        raise StoreError(
            f"The output folder {target} and the input folder {source} are the same or one lies inside the other: "
            "photos could be overwritten, and cutouts taken for photos. Give an output folder beside the input "
            f"folder, such as {source.with_name(source.name + '-cutouts')}."
        )


def is_within(path: Path, folder: Path) -> bool:
    """Tell whether a resolved path is a folder or lies inside it; by the disk's own numbers, whatever the names say."""
    wanted = _identity(folder)
    return wanted is not None and any(_identity(parent) == wanted for parent in (path, *path.parents))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@dataclass
class _Found:
    """What lies in a folder and its sub-folders. Paths are inside the folder, with ``/`` between the parts."""

    root: Path
    target: Path
    photos: list[str] = field(default_factory=list)
    unreadable: list[Failure] = field(default_factory=list)
    linked_folders: list[str] = field(default_factory=list)
    other_files: int = 0

    def walk(self) -> None:
        for folder, subfolders, names in os.walk(self.root, onerror=self._note_unreadable):
            at, entered = Path(folder), []
            for name in sorted(subfolders):
                if name.startswith("."):
                    self.other_files += 1
                elif (at / name).is_symlink():
                    self.linked_folders.append(self._inside(at / name))
                else:
                    entered.append(name)
            subfolders[:] = entered  # os.walk enters what is left here
            for name in sorted(names):
                if _is_photo(at / name):
                    self._check_target(at / name)
                    self.photos.append(self._inside(at / name))
                else:
                    self.other_files += 1

    def _inside(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _note_unreadable(self, error: OSError) -> None:
        folder = self._inside(Path(error.filename))
        self.unreadable.append(Failure(folder, f"The folder {folder} cannot be listed: {error.strerror}."))

    def _check_target(self, photo: Path) -> None:
        """Refuse a link to a cutout: the next run would replace what it takes for a photo."""
        if photo.is_symlink() and is_within(_resolve(photo), self.target):
            raise StoreError(f"{photo} is a link into the output folder {self.target}. Remove the link and retry.")


def _is_photo(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() not in PHOTO_SUFFIXES:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)  # reading a pipe or a device would never end
    except OSError:
        return True  # it is reported as a failure when its turn comes


def _name_outputs(photos: list[str], suffix: str) -> Iterator[PlannedFile]:
    """Name the outputs: the shortest form that no other output has, the same one for all that would share it."""
    folders = {_fold(parent.as_posix()) for photo in photos for parent in PurePosixPath(photo).parents}
    forms = dict.fromkeys(photos, 0)
    for _ in range(2 * _LAST_FORM + 1):
        groups: dict[str, list[str]] = defaultdict(list)
        for photo, form in forms.items():
            groups[_fold(_output(photo, form, suffix))].append(photo)
        clashes = [group for key, group in groups.items() if len(group) > 1 or key in folders]
        for group in clashes:
            lowest = min(forms[photo] for photo in group)
            for photo in group:
                if forms[photo] == lowest:
                    forms[photo] = min(lowest + 1, _LAST_FORM)
        if not clashes:
            break
    return (PlannedFile(photo, _output(photo, form, suffix)) for photo, form in forms.items())


_LAST_FORM = 2


def _output(photo: str, form: int, suffix: str) -> str:
    """Return ``a.png`` (form 0), ``a.jpg.png`` (1) or ``a.jpg-1f2e3d4c.png`` (2, for names that differ in case)."""
    path = PurePosixPath(photo)
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    return str(path.with_name((path.stem, path.name, f"{path.name}-{digest}")[form] + suffix))


def _fold(path: str) -> str:
    """Return what a file system that takes upper and lower case, and forms of accents, as the same compares."""
    return unicodedata.normalize("NFC", path).casefold()


def _check_no_links(target: Path, files: tuple[PlannedFile, ...]) -> None:
    """Refuse output folders that are links: they may lead into the input folder, or two of them to the same place."""
    for folder in sorted({parent for file in files for parent in PurePosixPath(file.output).parents}):
        if str(folder) != "." and (target / folder).is_symlink():
            raise StoreError(
                f"{target / folder} is a link to {(target / folder).resolve()}: cutouts would leave the output "
                "folder. Remove the link, or give another output folder."
            )
