"""The whole flow on one page: bytes of a photo in, `Result` out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.cancellation import CancelToken
from processing.composite import cut_out
from processing.encoders import check_output
from processing.images import DecodeLimits, decode, read_input
from processing.models import find_model, has_subject, prepare, to_alpha
from processing.recipe import Recipe
from processing.result import Result
from processing.sessions.pool import SessionPool, default_pool

#: Called with the name of the step that begins and the fraction of the run that is done, in [0, 1].
Progress = Callable[[str, float], None]


def run(
    data: bytes,
    recipe: Recipe | None = None,
    *,
    name: str = "photo",
    previous: Result | None = None,
    limits: DecodeLimits | None = None,
    pool: SessionPool | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Result:
    """Cut the subject out of a photo.

    Parameters
    ----------
    data : bytes
        The photo's file.
    recipe : Recipe, optional
        The options; the defaults if None.
    name : str
        Name of the file, for messages and records.
    previous : Result, optional
        An earlier result, for example one that was loaded from the artifacts folder: the run starts at the first step
        whose input has changed since.
    limits : DecodeLimits, optional
        What is accepted; see `processing.images.decode`.
    pool : SessionPool, optional
        The loaded models; this process's pool if None.
    progress : callable, optional
        Told about each step as it begins.
    cancel : CancelToken, optional
        Looked at between steps; ends an inference in flight.

    Returns
    -------
    Result
        The cutout, and every value on the way to it.

    Raises
    ------
    ImageError, ModelError, EncodingError, Cancelled
        See `processing.errors`.
    """
    recipe = (recipe or Recipe()).snapshot()
    check_output(recipe.format, recipe.background)
    steps = _Steps(progress or (lambda step, fraction: None), cancel or CancelToken())

    spec = find_model(recipe.model)
    if previous is not None and previous.source.data != data:
        previous = None
    if previous is not None and previous.model == spec:
        return replace(previous, recipe=recipe, timings_s={})

    with steps("Reading the photo", 0.0, "decode"):
        source = previous.source if previous is not None else decode(data, name=name, limits=limits)
    with steps("Loading the model", 0.25, "load"):
        session = (pool or default_pool()).get(spec)
    with steps("Finding the subject", 0.35, "predict"):
        tensor = prepare(source.pixels, spec)
        raw = session.predict(tensor, steps.cancel)
        subject_found = has_subject(raw, spec)
    with steps("Making the alpha matte", 0.6, "matte"):
        alpha = to_alpha(raw, spec, source.size) if subject_found else np.zeros(source.size, np.float32)
        if source.alpha is not None:
            alpha = alpha * (source.alpha.astype(np.float32) / 255)
    with steps("Cutting out", 0.85, "cut"):
        pixels = cut_out(source.pixels, alpha)
    steps.cancel.raise_if_cancelled()

    return Result(source, tensor, raw, alpha, pixels, subject_found, spec, session.provider, recipe, steps.timings_s)


@dataclass
class _Steps:
    """Times the steps of a run, reports each as it begins, and stops between them when asked to."""

    progress: Progress
    cancel: CancelToken
    timings_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, title: str, fraction: float, key: str) -> Iterator[None]:
        self.cancel.raise_if_cancelled()
        self.progress(title, fraction)
        start = time.perf_counter()
        yield
        self.timings_s[key] = time.perf_counter() - start


def remove_background(
    image: str | Path | bytes | Image.Image | np.ndarray, recipe: Recipe | None = None, **options: Any
) -> Result:
    """Cut the subject out of a photo: the library's front door.

    Parameters
    ----------
    image : str, Path, bytes, PIL.Image.Image or ndarray of uint8, shape (H, W, 3) or (H, W, 4)
        A path, the bytes of a file, or pixels in sRGB.
    recipe : Recipe, optional
        The options of the run.
    **options
        Single options of `Recipe`, such as ``format="webp"``; they win over `recipe`.

    Returns
    -------
    Result
        `result.alpha`, `result.cutout`, `result.save("cutout.png")`; in a notebook it shows before and after.

    Raises
    ------
    ProcessingError
        See `processing.errors` for the tree.

    Examples
    --------
    >>> from processing import remove_background
    >>> result = remove_background("photo.jpg")  # doctest: +SKIP
    >>> result.save("photo-cutout.png")  # doctest: +SKIP
    """
    values = {**(recipe.as_dict() if recipe is not None else {}), **options}
    data, name = read_input(image)
    return run(data, Recipe.from_options(values), name=name)
