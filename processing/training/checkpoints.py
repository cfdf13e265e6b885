"""Read what a run has saved."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from processing.errors import ModelError


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read `last.pt`, `best.pt` or `first.pt` of a run.

    Raises
    ------
    ModelError
        If there is no such file, or it is damaged or something else.
    """
    try:
        state = torch.load(path, map_location=device)
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint {path}. Check the path.") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{path} is damaged or not a checkpoint of a training run. Name another one, or move it away."
        ) from error
    if not isinstance(state, dict):
        raise ModelError(f"{path} is not a checkpoint of a training run, but something else that torch has saved.")
    return state
