"""numpy and Pillow as WebAssembly. They are part of Pyodide's distribution, and neither on PyPI nor on npm."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from dashboard.browser.errors import BuildError
from dashboard.browser.wheels import Wheel

NAMES = ("numpy", "pillow")
VARIABLE = "PYODIDE_WHEELS"
CDN = "https://cdn.jsdelivr.net/pyodide/v{version}/full/{file_name}"
_TIMEOUT_S = 60


def find(lock: dict[str, Any], version: str, downloads: Path) -> list[Wheel]:
    """Return the wheels: from the folder that the variable names, else from Pyodide's distribution.

    Parameters
    ----------
    lock : dict
        The pyodide-lock.json of npm's `pyodide`: it has the official hashes.
    version : str
        Of Pyodide.
    downloads : Path
        Where downloads are kept.

    Raises
    ------
    BuildError
        If one is missing, or differs from its hash.
    """
    if folder := os.environ.get(VARIABLE):
        return [_supplied(Path(folder), name) for name in NAMES]
    return [_official(lock["packages"][name], version, downloads) for name in NAMES]


def are_official(wheels: list[Wheel], lock: dict[str, Any]) -> bool:
    """Tell whether all of them are the ones that Pyodide distributes."""
    return all(wheel.sha256 == lock["packages"][wheel.name]["sha256"] for wheel in wheels)


def _supplied(folder: Path, name: str) -> Wheel:
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise BuildError(
            f"{VARIABLE} is {str(folder)!r}, which has no file SHA256SUMS. Make it: sha256sum *.whl > SHA256SUMS"
        )
    lines = re.findall(r"^(\w{64}) [ *](\S+)$", sums.read_text(encoding="utf-8"), flags=re.M)
    fitting = {file: sha256 for sha256, file in lines if re.fullmatch(rf"{name}-.*-cp313-.*wasm32\.whl", file)}
    present = [file for file in fitting if (folder / file).is_file()]
    if len(present) != 1:
        raise BuildError(
            f"{VARIABLE} is {str(folder)!r}, where SHA256SUMS must name one wheel {name}-*-cp313-*_wasm32.whl that is "
            f"there; it names {len(present)}."
        )
    wheel = Wheel(present[0], (folder / present[0]).read_bytes())
    if wheel.sha256 != fitting[wheel.file_name]:
        raise BuildError(
            f"{folder / wheel.file_name} has the SHA-256 {wheel.sha256}, SHA256SUMS says {fitting[wheel.file_name]}. "
            "Get the file again, or make SHA256SUMS anew if you trust it."
        )
    return wheel


def _official(entry: dict[str, Any], version: str, downloads: Path) -> Wheel:
    path = downloads / entry["file_name"]
    if not path.exists():
        path.write_bytes(_fetch(CDN.format(version=version, file_name=entry["file_name"])))
    wheel = Wheel(path.name, path.read_bytes())
    if wheel.sha256 != entry["sha256"]:
        path.unlink()
        raise BuildError(
            f"{path.name} as downloaded has the SHA-256 {wheel.sha256}, Pyodide {version} lists {entry['sha256']}. "
            "Build again; if that repeats, something between here and there changes downloads."
        )
    return wheel


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply:
            return reply.read()
    except (urllib.error.URLError, OSError) as error:
        raise BuildError(
            f"numpy and Pillow for the browser are missing: {url} cannot be reached ({error}), and {VARIABLE} names no "
            f"folder with them. Build where the internet can be reached, or set {VARIABLE} to a folder that holds both "
            "wheels and their SHA256SUMS."
        ) from error
