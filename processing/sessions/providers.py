"""Which processor runs a model: the names people use for onnxruntime's execution providers, and how one is chosen.

onnxruntime falls back to the CPU without a word when a library is missing. Here every session is asked afterwards what
runs it: the best one that is there is a matter of luck and is logged, one that was asked for by name is a condition.

To add a provider: one entry in `PROVIDERS`, and its name in `BEST` if it may be taken unasked.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from processing.errors import ModelError

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
DIRECTML = "DmlExecutionProvider"


#: Calls a paid service, for operations of its own that no model here has. A session that nobody gave a list names it.
_SERVICE = "AzureExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """What people call a provider, and what onnxruntime does.

    Parameters
    ----------
    title : str
        For people.
    execution : tuple of str
        onnxruntime's names, best first.
    install : str
        How to get it.
    is_gpu : bool
        Whether it runs on a graphics processor without further settings.
    """

    title: str
    execution: tuple[str, ...]
    install: str
    is_gpu: bool = True


#: The packages that give the module onnxruntime. They own the same files: of two installed ones the last wins.
RUNTIME_WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-migraphx",
    "onnxruntime-rocm",
    "onnxruntime-silicon",
)
_REPLACE = "pip uninstall -y onnxruntime && pip install "

PROVIDERS = {
    "cpu": Provider("the CPU", (CPU,), "`pip install onnxruntime`", is_gpu=False),
    "cuda": Provider(
        "an NVIDIA GPU",
        (CUDA,),
        f"`{_REPLACE}'onnxruntime-gpu[cuda,cudnn]'`, with a driver of NVIDIA's that is new enough for its CUDA",
    ),
    "rocm": Provider(
        "an AMD GPU",
        ("MIGraphXExecutionProvider", "ROCMExecutionProvider"),
        "ROCm and the wheel onnxruntime-migraphx, both from AMD; "
        "see https://rocm.docs.amd.com/projects/ai-ecosystem/en/latest/inference/onnxruntime.html",
    ),
    "coreml": Provider(
        "Apple's GPU or Neural Engine", ("CoreMLExecutionProvider",), "`pip install onnxruntime` on a Mac"
    ),
    "directml": Provider("a GPU under Windows", (DIRECTML,), f"`{_REPLACE}onnxruntime-directml` on Windows"),
    "openvino": Provider("OpenVINO", ("OpenVINOExecutionProvider",), f"`{_REPLACE}onnxruntime-openvino`", is_gpu=False),
}

#: What may be taken unasked, best first. OpenVINO stands behind the GPUs because it runs on the CPU unless set up.
BEST = ("cuda", "rocm", "directml", "coreml", "openvino", "cpu")

#: The values of the option `provider`. All but the first are conditions.
CHOICES = ("best", "cpu", "gpu", *(name for name in PROVIDERS if name != "cpu"))


class Started(Protocol):
    """A session that has been started."""

    provider: str  #: The execution provider that really runs it.


S = TypeVar("S", bound=Started)


def available_providers() -> list[str]:
    """Return the execution providers that the installed onnxruntime was built with; their libraries may be missing."""
    import onnxruntime

    return [name for name in onnxruntime.get_available_providers() if name != _SERVICE]


def list_candidates(choice: str, available: Iterable[str]) -> list[str]:
    """Return the execution providers that a choice allows and that are available, best first.

    Raises
    ------
    ModelError
        If there is no such choice.
    """
    if choice not in CHOICES:
        raise ModelError(f"Unknown provider {choice!r}. Known: {', '.join(CHOICES)}.")
    there = set(available)
    return [name for kind in _kinds(choice) for name in PROVIDERS[kind].execution if name in there]


def require_available(choice: str) -> None:
    """Refuse a choice that no session can meet, before any work is done.

    Raises
    ------
    ModelError
        If the installed onnxruntime has no such provider.
    """
    if choice != "best" and not list_candidates(choice, available := available_providers()):
        raise ModelError(_refuse(choice, available, []))


def start_on(choice: str, start: Callable[[list[str]], S], model: str) -> S:
    """Start a session on the provider that was chosen.

    Parameters
    ----------
    choice : str
        One of `CHOICES`. ``"best"`` takes the first of `BEST` that works; everything else is a condition.
    start : callable
        Makes a session, given the execution providers as onnxruntime takes them; it raises `ModelError`.
    model : str
        Name of the model, for the log.

    Returns
    -------
    object
        What `start` gave; its `provider` is one that was chosen.

    Raises
    ------
    ModelError
        If none works; the message says what was asked for, what is there, what happened, and what to do.
    """
    available = available_providers()
    failures: list[str] = []
    cause: ModelError | None = None
    for name in list_candidates(choice, available):
        try:
            session = start(_with_cpu(name))
        except ModelError as error:
            if name == CPU:
                raise
            failures.append(f"{name} failed: {error}")
            cause = error
        else:
            if session.provider == name or (choice == "best" and name == CPU):
                _log_choice(choice, model, name, failures)
                return session
            failures.append(f"{name} did not load, {session.provider} loaded in its place")
    raise ModelError(_refuse(choice, available, failures)) from cause


def running_provider(session: Any) -> str:
    """Return the execution provider that an onnxruntime session puts first, which is not always the one asked for."""
    return next(name for name in session.get_providers() if name != _SERVICE)


def preload_libraries() -> str:
    """Let onnxruntime find CUDA and cuDNN where pip has installed them; return what it says about it.

    onnxruntime prints what it cannot load; standard output may be a file that somebody reads by program.
    """
    import onnxruntime

    if not hasattr(onnxruntime, "preload_dlls"):
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        onnxruntime.preload_dlls()
    if said := printed.getvalue().strip():
        logger.info("onnxruntime says of CUDA's libraries: %s", said)
    return said


def _kinds(choice: str) -> Sequence[str]:
    if choice == "gpu":
        return [kind for kind in BEST if PROVIDERS[kind].is_gpu]
    return BEST if choice == "best" else [choice]


def _with_cpu(name: str) -> list[str]:
    """Return what onnxruntime is given: the CPU takes single operations that another provider lacks."""
    if name == CUDA:
        preload_libraries()
    return list(dict.fromkeys((name, CPU)))


def _log_choice(choice: str, model: str, name: str, failures: list[str]) -> None:
    for failure in failures:
        logger.warning("%s: %s", model, failure)
    level = logging.WARNING if failures else logging.INFO
    logger.log(level, "%s runs on %s (asked for: %s)", model, name, choice)


def _refuse(choice: str, available: list[str], failures: list[str]) -> str:
    title = PROVIDERS[choice].title if choice in PROVIDERS else f"any of {', '.join(_kinds(choice))}"
    happened = ". ".join(failures) if failures else "The installed onnxruntime does not have it"
    install = PROVIDERS[{"gpu": "cuda", "best": "cpu"}.get(choice, choice)].install
    first = "For one of NVIDIA's, install" if choice == "gpu" else "To get it:"
    return (
        f"The provider {choice!r} ({title}) was asked for and does not run. {happened}. "
        f"Available: {', '.join(available)}. {first} {install}. "
        "`python -m processing doctor` says what is missing; the provider 'best' goes on with what works."
    )
