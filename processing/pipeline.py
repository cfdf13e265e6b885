"""The whole flow on one page: bytes of a photo in, `Result` out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from processing.bands import Tick
from processing.cancellation import CancelToken
from processing.encoders import check_output
from processing.finish import finish_matte, is_finished_alike, make_cutout
from processing.images import DecodeLimits, SourceImage, decode, read_input
from processing.matte import AlphaMatte
from processing.models import ModelSpec, check_terms, find_model, has_subject, prepare, to_alpha
from processing.recipe import Recipe
from processing.result import Result
from processing.sessions.pool import SessionPool, default_pool
from processing.steps import Progress, Steps

#: The first steps, as `Steps` takes them: title, the fractions of the whole where each begins and ends, and its key.
_READ = ("Reading the photo", 0.0, 0.2, "decode")
_LOAD = ("Loading the model", 0.2, 0.3, "load")
_PREDICT = ("Finding the subject", 0.3, 0.5, "predict")


class AsyncSession(Protocol):
    """A loaded model whose answer is waited for; otherwise a `processing.sessions.Session`."""

    provider: str

    async def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        """Run the model on what `prepare` made; gives the raw output, float32 (1, 1, h, w)."""


class Engine(Protocol):
    """What `run_async` waits for."""

    async def decode(self, data: bytes, name: str, limits: DecodeLimits | None, tick: Tick) -> SourceImage:
        """Do what `processing.images.decode` does."""

    async def open(self, spec: ModelSpec, tick: Tick) -> AsyncSession:
        """Return the session of a model, loading it the first time."""


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
        Told about each step as it begins and as it goes on; see `processing.steps.Progress`.
    cancel : CancelToken, optional
        Stops the run within a moment, an inference in flight too; only the decoders of WebP, AVIF, HEIC and TIFF are
        waited for.

    Returns
    -------
    Result
        The cutout, and every value on the way to it.

    Raises
    ------
    ImageError, ModelError, EncodingError, Cancelled
        See `processing.errors`.
    """
    steps = Steps(progress, cancel)
    spec, recipe, previous = _begin(data, recipe, previous)
    if previous is not None and (previous.model, previous.recipe.provider) == (spec, recipe.provider):
        return _finish_again(steps, previous, recipe)
    with steps(*_READ) as tick:
        source = previous.source if previous is not None else decode(data, name=name, limits=limits, tick=tick)
    with steps(*_LOAD):
        session = (pool or default_pool()).get(spec, recipe.provider)
    with steps(*_PREDICT) as tick:
        tensor = prepare(source.pixels, spec, tick)
        raw = session.predict(tensor, steps.cancel)
    return _finish(steps, source, tensor, raw, session.provider, spec, recipe)


async def run_async(
    data: bytes,
    recipe: Recipe | None = None,
    *,
    engine: Engine,
    name: str = "photo",
    previous: Result | None = None,
    limits: DecodeLimits | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Result:
    """Cut the subject out of a photo where decoding and inference are waited for, as in a browser.

    Everything else is the same as in `run`, and so are the parameters and errors. The engine has one provider; that of
    the recipe is for `run`.

    Parameters
    ----------
    engine : Engine
        Decodes the photo and runs the model.
    """
    steps = Steps(progress, cancel, repeat=False)
    spec, recipe, previous = _begin(data, recipe, previous)
    if previous is not None and previous.model == spec:
        return _finish_again(steps, previous, recipe)
    with steps(*_READ) as tick:
        source = previous.source if previous is not None else await engine.decode(data, name, limits, tick)
    with steps(*_LOAD) as tick:
        session = await engine.open(spec, tick)
    with steps(*_PREDICT) as tick:
        tensor = prepare(source.pixels, spec, tick)
        raw = await session.predict(tensor, steps.cancel)
    return _finish(steps, source, tensor, raw, session.provider, spec, recipe)


def _begin(data: bytes, recipe: Recipe | None, previous: Result | None) -> tuple[ModelSpec, Recipe, Result | None]:
    recipe = (recipe or Recipe()).snapshot()
    check_output(recipe.format, recipe.background)
    spec = find_model(recipe.model)
    check_terms(spec, recipe.non_commercial)
    return spec, recipe, previous if previous is not None and previous.source.data == data else None


def _finish(
    steps: Steps,
    source: SourceImage,
    tensor: np.ndarray,
    raw: np.ndarray,
    provider: str,
    spec: ModelSpec,
    recipe: Recipe,
) -> Result:
    subject_found = has_subject(raw, spec)
    coarse = to_alpha(raw if subject_found else np.zeros_like(raw), spec, source.size, source.alpha)
    matte, pixels = _cut(steps, source, coarse, recipe)
    return Result(source, tensor, raw, coarse, matte, pixels, subject_found, spec, provider, recipe, steps.timings_s)


def _finish_again(steps: Steps, previous: Result, recipe: Recipe) -> Result:
    """Begin with the model's matte of an earlier run; where nothing changes after it either, take all of it."""
    if previous.coarse is None or is_finished_alike(previous.recipe.as_dict(), recipe.as_dict()):
        return replace(previous, recipe=recipe, timings_s={})
    matte, pixels = _cut(steps, previous.source, previous.coarse, recipe)
    return replace(previous, matte=matte, pixels=pixels, recipe=recipe, timings_s=steps.timings_s)


def _cut(steps: Steps, source: SourceImage, coarse: AlphaMatte, recipe: Recipe) -> tuple[AlphaMatte, np.ndarray]:
    with steps("Refining the edges", 0.5, 0.8, "matte") as tick:
        matte = finish_matte(source, coarse, recipe, tick)
    with steps("Cutting out", 0.8, 1.0, "cut") as tick:
        pixels = make_cutout(source, matte, recipe, tick)
    steps.cancel.raise_if_cancelled()
    return matte, pixels


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
