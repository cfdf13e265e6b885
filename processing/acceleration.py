"""Whether the processor that is here is the one that runs: the part of `doctor` about onnxruntime."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from processing.check import Check
from processing.errors import ModelError
from processing.models import DEFAULT_MODEL, find_model
from processing.sessions.memory import memory_limit
from processing.sessions.native import NativeSession
from processing.sessions.providers import PROVIDERS, available_providers, preload_libraries

_REINSTALL = "Run `make install` again."


def examine_acceleration() -> list[Check]:
    """Look at the wheels of onnxruntime, each provider it lists, an idle GPU, threads and memory."""
    wheels = _check_wheels()
    try:
        available = available_providers()
    except ImportError as error:
        return [wheels, Check("providers", False, f"onnxruntime does not load: {error}", _REINSTALL)]
    tried = {kind: _try(kind) for kind in _listed(available)}
    providers = [_check_provider(kind, failure) for kind, failure in tried.items() if failure]
    works = [kind for kind, failure in tried.items() if not failure]
    summary = Check("providers", bool(works), _summarise(tried), "" if works else _REINSTALL)
    return [wheels, summary, *providers, _check_gpu(works, available), _check_threads(), _check_memory()]


def _check_wheels() -> Check:
    """Find out which packages own the module: of two the last one installed has overwritten the other's files."""
    names = sorted(set(packages_distributions().get("onnxruntime", ())))
    if not names:
        return Check("onnxruntime", False, "not installed", "Run `make install`, or `pip install -e .`.")
    finding = ", ".join(f"{name} {_version(name)}" for name in names)
    if len(names) == 1:
        return Check("onnxruntime", True, finding)
    keep = next((name for name in names if name != "onnxruntime"), names[0])
    return Check(
        "onnxruntime",
        False,
        f"{finding} are installed over each other; which one runs is chance",
        f"Keep one: `pip uninstall -y {' '.join(names)} && pip install {keep}`.",
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # half of it was uninstalled
        return "(version unknown)"


def _listed(available: Iterable[str]) -> list[str]:
    there = set(available)
    return [kind for kind, provider in PROVIDERS.items() if there.intersection(provider.execution)]


def _try(kind: str) -> str:
    """Run nothing, but load the built-in model: that is when a provider shows whether its libraries are here."""
    try:
        NativeSession(find_model(DEFAULT_MODEL), kind)
    except ModelError as error:
        return str(error)
    return ""


def _summarise(tried: dict[str, str]) -> str:
    return ", ".join(f"{kind} (listed, but does not run)" if failure else kind for kind, failure in tried.items())


def _check_provider(kind: str, failure: str) -> Check:
    """Explain a provider that onnxruntime lists and that does not run: otherwise the CPU does its work unnoticed."""
    missing = " ".join(filter(None, (find_missing_library(name) for name in PROVIDERS[kind].execution)))
    finding = f"listed, but does not run: {missing or failure}"
    advice = f"Install {PROVIDERS[kind].install}; or go on with the others."
    if kind == "cuda" and not has_nvidia_gpu():
        return Check(f"provider {kind}", True, finding, "No NVIDIA GPU is visible here, so nothing is lost.")
    return Check(f"provider {kind}", False, finding, advice)


def find_missing_library(execution: str) -> str:
    """Say which shared library keeps a provider from loading; empty if that cannot be told.

    onnxruntime writes it to standard error only. Loading the provider's own library by hand gives the same sentence.
    """
    import onnxruntime

    name = execution.removesuffix("ExecutionProvider").lower()
    suffix, prefix = (".dll", "") if sys.platform == "win32" else (".so", "lib")
    folder = Path(onnxruntime.__file__).parent / "capi"
    path = folder / f"{prefix}onnxruntime_providers_{name}{suffix}"
    if not path.is_file():
        return ""
    preload_libraries()
    try:
        ctypes.CDLL(str(folder / f"{prefix}onnxruntime_providers_shared{suffix}"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(path))
    except OSError as error:
        return f"{error}."
    return ""


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver is here."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").exists()


def _check_gpu(works: Iterable[str], available: Iterable[str]) -> Check:
    """Look for a GPU that does nothing. It is no failure: the CPU may be what its owner wants."""
    if not has_nvidia_gpu():
        return Check("GPU", True, "no NVIDIA GPU is visible")
    if "cuda" in works:
        return Check("GPU", True, "an NVIDIA GPU is visible, and used")
    if set(available).intersection(PROVIDERS["cuda"].execution):
        return Check("GPU", True, "an NVIDIA GPU is visible; see provider cuda")
    advice = f"To use it: {PROVIDERS['cuda'].install}."
    return Check("GPU", True, "an NVIDIA GPU is visible, but the installed onnxruntime is without CUDA", advice)


def _check_threads() -> Check:
    """Look at OMP_NUM_THREADS, which sets the threads of one inference here and in rembg."""
    text, cores = os.environ.get("OMP_NUM_THREADS"), os.cpu_count() or 1
    if text is None:
        return Check("threads", True, "OMP_NUM_THREADS is not set: one for each core")
    finding = f"OMP_NUM_THREADS is {text!r}"
    if not text.isdecimal():
        advice = f"Give a whole number from 1 to {cores}, or unset it: rembg's own models stop at anything else."
        return Check("threads", False, f"{finding}, which is no number; it is ignored", advice)
    if int(text) == 0:
        return Check("threads", True, f"{finding}: one for each core", "Unset it, which means the same.")
    if int(text) > cores:
        advice = f"More threads than the {cores} cores wait for each other; give at most {cores}."
        return Check("threads", True, finding, advice)
    return Check("threads", True, finding)


def _check_memory() -> Check:
    try:
        return Check("memory of models", True, f"at most {memory_limit() / 1e6:,.0f} MB")
    except ModelError as error:
        return Check("memory of models", False, str(error))
