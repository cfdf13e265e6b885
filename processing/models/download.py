"""Fetching models, as an act of its own: locked, resumed, checked, and never silent.

What `fetch` guarantees: under its name there is never anything but a whole file with the right checksum; what has come
before a break is used the next time; of several processes one fetches and the others wait.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models.fetching.failures import Interruption, shown
from processing.models.fetching.lock import lock_model, pause, stop_if_cancelled
from processing.models.fetching.partial import Partial, partial_paths
from processing.models.fetching.progress import Callback, Meter, ProgressReport
from processing.models.fetching.stream import Limits, Stream
from processing.models.fetching.transfer import bring_rest
from processing.models.folder import explain_unwritable, locate, model_folder, model_folders, require_space
from processing.models.integrity import find_difference
from processing.models.spec import ModelSpec, WeightsFile, find_model

__all__ = ["Limits", "ProgressReport", "address_of", "ask_size", "fetch", "is_fetched"]

logger = logging.getLogger(__name__)

MIRROR = "CUTOUT_MODEL_MIRROR"

#: A try that brought so many bytes does not count as failed: a bad line may break a long download often.
_WORTHWHILE_BYTES = 1 << 20


def is_fetched(spec: ModelSpec) -> bool:
    """Whether a model is one that is fetched: neither built in nor a file of the user's own."""
    return bool(spec.url or spec.made_from) and not spec.weights.is_absolute()


def address_of(file: WeightsFile, mirror: str | None = None) -> str:
    """Return where a file is asked for: where it is published, or the mirror's copy of it.

    Parameters
    ----------
    file : WeightsFile
        The file.
    mirror : str or None
        Address of a folder that holds the files under the last part of their address; used instead of the published
        address, never after it. None takes ``CUTOUT_MODEL_MIRROR``; empty means none.

    Raises
    ------
    ModelError
        If the mirror is no http or https address.
    """
    mirror = os.environ.get(MIRROR, "") if mirror is None else mirror
    if not mirror:
        return file.url
    if not mirror.lower().startswith(("http://", "https://")):
        raise ModelError(
            f"The mirror {shown(mirror)!r} is no address. Give that of a folder that holds the files, such as "
            "https://files.example.org/models; a folder on a disk is read with `python -m processing models import`."
        )
    return f"{mirror.rstrip('/')}/{PurePosixPath(urlsplit(file.url).path).name or file.name}"


def fetch(
    spec: ModelSpec,
    *,
    mirror: str | None = None,
    progress: Callback | None = None,
    cancel: CancelToken | None = None,
    limits: Limits | None = None,
) -> Path:
    """Bring the files of a model to this machine; those that are here and whole are not fetched again.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    mirror : str or None
        See `address_of`.
    progress : callable or None
        Is given a `ProgressReport` at each step and a few times a second, in the calling thread.
    cancel : CancelToken or None
        Ends it within a moment. What has come is kept.
    limits : Limits or None
        How patient to be.

    Returns
    -------
    Path
        The weights.

    Raises
    ------
    ModelError
        If it cannot be fetched; the message says why and what to do.
    Cancelled
        If `cancel` was cancelled.
    """
    if not is_fetched(spec):
        raise ModelError(
            f"{spec.name!r} is not fetched: it "
            + ("comes with the project." if spec.is_built_in else f"is a file of your own, at {spec.weights}.")
        )
    meter = Meter(spec.name, progress)
    if spec.made_from:
        return _convert(spec, mirror, progress, meter, cancel, limits)
    for file in spec.files:
        address_of(file, mirror)  # a wrong mirror is told before anything is waited for
    with lock_model(spec, lambda: meter.begin("Waiting", "Another process fetches it."), cancel):
        _fetch_all(spec, mirror, meter, cancel, limits or Limits())
    return locate(spec)


def ask_size(
    spec: ModelSpec, *, mirror: str | None = None, cancel: CancelToken | None = None, limits: Limits | None = None
) -> int:
    """Return how many bytes fetching a model would bring, as the catalogue or else the server tells; 0 if neither does.

    It is for naming the size first: a server that does not answer is no error here. What has come already is not
    taken off.

    Raises
    ------
    Cancelled
        If `cancel` was cancelled.
    """
    if spec.made_from:
        return ask_size(find_model(spec.made_from), mirror=mirror, cancel=cancel, limits=limits)
    sizes = [file.size_bytes or _ask_size(file, mirror, cancel, limits or Limits()) for file in spec.files]
    return sum(sizes) if all(sizes) else 0


def _ask_size(file: WeightsFile, mirror: str | None, cancel: CancelToken | None, limits: Limits) -> int:
    try:
        with Stream(address_of(file, mirror), {}, limits, cancel, method="HEAD") as stream:
            answer = stream.answer()
    except ModelError as error:
        logger.info("The size of %s is not known: %s", file.name, error)
        return 0
    length = answer.headers.get("Content-Length", "")
    return int(length) if answer.ok and length.isdigit() else 0


def _fetch_all(spec: ModelSpec, mirror: str | None, meter: Meter, cancel: CancelToken | None, limits: Limits) -> None:
    folder = model_folder(spec)
    meter.begin("Checking")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = _find_missing(spec)
    except OSError as error:
        raise explain_unwritable(error, folder) from error
    stop_if_cancelled(cancel)
    partials = [Partial(folder / file.name, file) for file in missing]
    # A single file tells its size when it is asked for.
    sizes = [
        each.total or (_ask_size(each.file, mirror, cancel, limits) if len(partials) > 1 else 0) for each in partials
    ]
    if all(sizes):
        meter.total_bytes = sum(sizes)
        require_space(folder, meter.total_bytes - sum(each.size for each in partials))
    for partial in partials:
        _fetch_one(partial, mirror, meter, cancel, limits)
        with suppress(OSError):
            meter.base_bytes += partial.target.stat().st_size


def _find_missing(spec: ModelSpec) -> list[WeightsFile]:
    """Return the files to fetch. Where some are to be, those in rembg's older folder are brought beside them."""
    folder, legacy = model_folders(spec)
    here = locate(spec).parent
    if all(_is_whole(here / file.name, file) for file in spec.files):
        return []
    missing = []
    for file in spec.files:
        if _is_whole(folder / file.name, file):
            continue
        if _is_whole(legacy / file.name, file):
            _copy(legacy / file.name, folder / file.name)
        else:
            missing.append(file)
    return missing


def _is_whole(path: Path, file: WeightsFile) -> bool:
    return path.is_file() and not find_difference(path, file)


def _copy(source: Path, target: Path) -> None:
    temporary, note = partial_paths(target)
    temporary.unlink(missing_ok=True)
    note.unlink(missing_ok=True)
    try:
        os.link(source, temporary)  # takes no space
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def _fetch_one(partial: Partial, mirror: str | None, meter: Meter, cancel: CancelToken | None, limits: Limits) -> None:
    """Bring one file, and try again where that may help."""
    address = address_of(partial.file, mirror)
    failures, best_bytes = 0, partial.size
    while True:
        try:
            meter.stand_at(partial.size)
            meter.begin("Fetching", f"From {shown(address)}")
            if partial.is_complete:
                partial.was_resumed = True
            else:
                bring_rest(partial, address, address != partial.file.url, limits, meter, cancel)
            meter.begin("Checking")
            return partial.finish(address)
        except Interruption as error:
            if partial.size >= best_bytes + _WORTHWHILE_BYTES:
                failures, best_bytes = 0, partial.size
            failures += 1
            wait_s = _next_pause(failures, error, limits)
            logger.info("Try %d failed, the next one comes in %g s: %s", failures, wait_s, error)
            meter.begin("Waiting", f"Tries again in {wait_s:g} s. {error}")
            pause(wait_s, cancel)


def _next_pause(failures: int, error: Interruption, limits: Limits) -> float:
    """Return how long to wait before the next try, in seconds, or raise the error for good."""
    if error.retry_after_s > limits.longest_pause_s:
        raise ModelError(f"{error} It asks to be left alone for {error.retry_after_s:.0f} s.") from error
    if failures > len(limits.pauses_s):
        raise ModelError(f"{error} Tried {failures} times." if failures > 1 else str(error)) from error
    return max(limits.pauses_s[failures - 1], error.retry_after_s)


def _convert(
    spec: ModelSpec,
    mirror: str | None,
    progress: Callback | None,
    meter: Meter,
    cancel: CancelToken | None,
    limits: Limits | None,
) -> Path:
    """Fetch what a model is made from, and let rembg make it."""
    advice = f'{spec.name!r} is converted on this machine, which needs more packages: pip install "rembg[fp16]"'
    if locate(spec).is_file():
        return locate(spec)
    if not all(importlib.util.find_spec(package) for package in ("onnx", "onnxconverter_common")):
        raise ModelError(advice)
    fetch(find_model(spec.made_from), mirror=mirror, progress=progress, cancel=cancel, limits=limits)
    with lock_model(spec, lambda: meter.begin("Waiting", "Another process makes it."), cancel):
        meter.begin("Converting", f"From {spec.made_from}, with rembg's converter; it cannot be cancelled.")
        stop_if_cancelled(cancel)
        try:
            from rembg.sessions import sessions

            sessions[spec.session].download_models()
        except ImportError as error:
            raise ModelError(f"{advice} ({error})") from error
        except OSError as error:
            raise explain_unwritable(error, model_folder(spec)) from error
    return locate(spec)
