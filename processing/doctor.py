"""A look at the installation: what is here, what works, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from processing.acceleration import examine_acceleration
from processing.check import Check
from processing.errors import ProcessingError
from processing.models import ModelSpec, has_subject, load_catalogue, prepare
from processing.models.folder import locate
from processing.models.integrity import require_weights
from processing.sessions import open_session
from processing.store import default_root

_PACKAGES = (
    "cutout-dashboard",
    "numpy",
    "pillow",
    "param",
    "panel",
    "panel-material-ui",
    "bokeh",
    "rembg",
    "pi-heif",
)


def examine() -> list[Check]:
    """Look at Python, the packages, onnxruntime and its providers, each model's weights and the artifacts folder."""
    checks = [_check_python()]
    checks += [_check_package(name) for name in _PACKAGES]
    checks += examine_acceleration()
    checks += [_check_model(spec) for spec in load_catalogue().values() if spec.is_built_in]
    checks += [_check_files(spec) for spec in load_catalogue().values() if _is_fetched(spec)]
    checks.append(_check_writable("artifacts folder", default_root()))
    checks.append(_check_chromium())
    return checks


def _check_python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return Check(
        "Python", ok, platform.python_version(), "" if ok else "Python 3.11 to 3.14 is supported; use one of them."
    )


def _check_package(name: str) -> Check:
    try:
        return Check(name, True, version(name))  # read from the metadata: importing rembg would take seconds
    except PackageNotFoundError:
        return Check(name, False, "not installed", "Run `make install`, or `pip install -e .` in your environment.")


def _check_model(spec: ModelSpec) -> Check:
    """Load a model and run it on a plain grey picture, in which it must find nothing."""
    subject = f"model {spec.name}"
    try:
        session = open_session(spec)
        grey = np.full((320, 320, 3), 128, np.uint8)
        empty = not has_subject(session.predict(prepare(grey, spec)), spec)
    except ProcessingError as error:
        return Check(subject, False, str(error))
    finding = f"weights whole, runs on {session.provider}"
    return Check(
        subject, empty, finding if empty else "sees a subject in a plain grey picture", "" if empty else "Reinstall."
    )


def _is_fetched(spec: ModelSpec) -> bool:
    return not spec.is_built_in and locate(spec).is_file()


def _check_files(spec: ModelSpec) -> Check:
    """Compare a fetched model with its checksum; to run it could take a minute and gigabytes."""
    try:
        return Check(f"model {spec.name}", True, f"weights whole, at {require_weights(spec)}")
    except ProcessingError as error:
        return Check(f"model {spec.name}", False, str(error))


def _check_writable(subject: str, folder: Path) -> Check:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Check(subject, True, f"{folder} can be written")
    except OSError as error:
        return Check(
            subject, False, f"{folder} cannot be written: {error.strerror}", "Name another folder in CUTOUT_ARTIFACTS."
        )


def _check_chromium() -> Check:
    """Look for the browser of the tests; nothing but `make test` needs it, so its absence is no failure."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        return Check("Chromium", True, "not installed", "Only the tests need it; `make test` installs it.")
    return Check("Chromium", True, f"{found}, for the tests")
