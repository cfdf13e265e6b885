"""Where the weights of models lie: in rembg's folders, so that what a user already has is found.

The rules are those of rembg 2.0.86, repeated here because importing it takes seconds; a test holds the two together.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from processing.errors import ModelError
from processing.models.spec import ModelSpec

#: What the system says when no more fits: a full disk, a spent quota, a file that grew too large for its disk.
_FULL = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


def models_home() -> Path:
    """Return the folder that new models go to: ``U2NET_HOME``, else ``REMBG_HOME``, else rembg's default."""
    if os.environ.get("U2NET_HOME"):
        return _legacy_home()
    data = os.environ.get("XDG_DATA_HOME")
    default = os.path.join(data, "rembg") if data else os.path.join("~", ".rembg")
    return Path(os.path.expanduser(os.environ.get("REMBG_HOME", default)))


def _legacy_home() -> Path:
    """Return the flat folder of earlier versions of rembg; nothing is written there unless ``U2NET_HOME`` names it."""
    default = os.path.join(os.environ.get("XDG_DATA_HOME", "~"), ".u2net")
    return Path(os.path.expanduser(os.environ.get("U2NET_HOME", default)))


def model_folder(spec: ModelSpec) -> Path:
    """Return the folder that the files of a model are fetched to."""
    return models_home() / "models" / spec.name


def model_folders(spec: ModelSpec) -> tuple[Path, Path]:
    """Return the folders that its files are looked for in: its own, and the flat one of earlier versions of rembg."""
    return model_folder(spec), _legacy_home()


def locate(spec: ModelSpec) -> Path:
    """Return the path of a model's weights: where they are, or where they would be fetched to.

    The files that it needs beside them lie in the same folder. A folder that holds all of them is preferred.
    """
    if spec.weights.is_absolute():
        return spec.weights
    folders = model_folders(spec)
    names = [file.name for file in spec.files]
    whole = (folder for folder in folders if all((folder / name).is_file() for name in names))
    return next(whole, folders[0]) / spec.weights


def require_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what will not fit.

    Raises
    ------
    ModelError
        If the disk of `folder` has less than `needed_bytes` left; the message names both.
    """
    from processing.models.integrity import readable_size  # which needs `locate`

    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise ModelError(
            f"There is too little space in {folder}: {readable_size(needed_bytes)} are needed and "
            f"{readable_size(free_bytes)} are free. Free some, or name a folder on another disk in REMBG_HOME."
        )


def explain_unwritable(error: OSError, path: Path) -> ModelError:
    """Turn the error of a write into one that says what to do."""
    if error.errno in _FULL:
        return ModelError(
            f"The disk is full: {path} could not be written to its end ({error.strerror}). Free some space, or name a "
            "folder on another disk in REMBG_HOME, and fetch again; what has come so far is used then."
        )
    return ModelError(
        f"{path} cannot be written: {error.strerror}. Check who may write there, or name another folder in REMBG_HOME."
    )
