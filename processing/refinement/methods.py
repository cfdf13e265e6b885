"""The ways to refine an alpha matte, by name."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable

import numpy as np

from processing.bands import Tick, ignore
from processing.errors import RefinementError
from processing.refinement.learned import refine_learned

logger = logging.getLogger(__name__)

Method = Callable[[np.ndarray, np.ndarray, Tick], np.ndarray]


def _keep(image: np.ndarray, alpha: np.ndarray, tick: Tick) -> np.ndarray:
    return alpha.copy()


#: Every method that `refine` knows, except "auto", which chooses one of them.
METHODS: dict[str, Method] = {"none": _keep, "learned": refine_learned}


def refine(image: np.ndarray, alpha: np.ndarray, method: str = "auto", *, tick: Tick = ignore) -> np.ndarray:
    """Mend the edges of an alpha matte with what its photo shows.

    Keeps the shape of `alpha`; neither input is changed. Pixels far from any edge keep their value, so a matte that is
    all 0 or all 1 comes back as it is.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        sRGB photo.
    alpha : ndarray of float32, shape (H, W)
        Alpha matte in [0, 1], usually a model's that was enlarged to the photo's size.
    method : str
        A name in `METHODS`, or "auto": "learned" where onnxruntime is installed, otherwise "none" with a warning.
    tick : callable, optional
        Called with the share that is done; see `processing.bands`. What it raises ends the work.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Refined alpha matte in [0, 1].

    Raises
    ------
    RefinementError
        If the method is unknown or cannot run here, the arrays are of the wrong kind, or their sizes differ.
    """
    _check(image, alpha)
    if method == "auto":
        method = "learned" if importlib.util.find_spec("onnxruntime") else "none"
        if method == "none":
            logger.warning("onnxruntime is not installed: the edges are left as they are")
    if method not in METHODS:
        raise RefinementError(f"Unknown refinement {method!r}. Known: auto, {', '.join(METHODS)}.")
    return METHODS[method](image, alpha, tick)


def _check(image: np.ndarray, alpha: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise RefinementError(f"The image is {image.dtype} {image.shape}; uint8 (height, width, 3) is needed.")
    if alpha.dtype != np.float32 or alpha.ndim != 2:
        raise RefinementError(f"The alpha matte is {alpha.dtype} {alpha.shape}; float32 (height, width) is needed.")
    if image.shape[:2] != alpha.shape:
        raise RefinementError(
            f"The image has {image.shape[:2]} pixels, the alpha matte {alpha.shape}. Enlarge the matte to the image's "
            "height and width first."
        )
