"""Where the weights of models lie: in rembg's folders, so that what a user already has is found.

The rules are those of rembg 2.0.86, repeated here because importing it takes seconds; a test holds the two together.
"""

from __future__ import annotations

import os
from pathlib import Path

from processing.models.spec import ModelSpec


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


def locate(spec: ModelSpec) -> Path:
    """Return the path of a model's weights: where they are, or where they would be fetched to.

    The files that it needs beside them lie in the same folder. A folder that holds all of them is preferred.
    """
    if spec.weights.is_absolute():
        return spec.weights
    folders = (model_folder(spec), _legacy_home())
    names = [file.name for file in spec.files]
    whole = (folder for folder in folders if all((folder / name).is_file() for name in names))
    return next(whole, folders[0]) / spec.weights
