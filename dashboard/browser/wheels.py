"""Python packages of the page: from PyPI by version and hash, and ours; reduced to what a browser needs."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.metadata
import io
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import processing
from dashboard.browser.errors import BuildError

PINS = Path(__file__).with_name("wheels.txt")
_OWN = "cutout-dashboard"

# Panel's wheel has 30 MB, nearly all of it JavaScript, which the page gets as files of its own (see build.py).
_UNUSED = re.compile(
    r"panel/((dist|tests|examples|node_modules)/|package-lock\.json)"
    r"|panel_material_ui/(dist|node_modules)/"
    r"|bokeh/(server/static|sphinxext|command/subcommands)/|bokeh/_sri/([0-2]|3\.[0-8])\."
    r"|numpy/(f2py|distutils|fft|polynomial|random|testing|_pyinstaller|_core/include|_core/lib)/"
    r"|numpy/(linalg/lapack_lite|conftest)\."
    r"|numpy/.*tests/"
    r"|PIL/(_imagingft|_imagingtk|ImageTk|ImageQt)[.\w-]*"
    r"|processing/(batch|cli|training)/"
    r"|dashboard/browser/(?!(__init__|app|runtime|store)\.py)"
    r"|pyviz_comms/labextension/static/"
    r"|xyzservices/(data|tests)/"
    r"|[^/]+\.(data|libs)/"
    r"|[^/]+\.dist-info/(RECORD|INSTALLER|REQUESTED|direct_url\.json|sboms/)"
)
_UNUSED_SUFFIXES = (".ts", ".tsx", ".jsx", ".map", ".less", ".pyi", ".pyx", ".pxd", ".h", ".c", ".a", ".onnx", ".exe")


@dataclass(frozen=True)
class Wheel:
    """A wheel and what is in it.

    Parameters
    ----------
    file_name : str
        Its name; begins with the package's name and version.
    data : bytes
        The file.
    """

    file_name: str
    data: bytes

    @property
    def name(self) -> str:
        """The package's name, normalised."""
        return re.sub(r"[-_.]+", "-", self.file_name.split("-")[0]).lower()

    @property
    def version(self) -> str:
        """The package's version."""
        return self.file_name.split("-")[1]

    @property
    def sha256(self) -> str:
        """The hash of the file, as pip and Pyodide's lock write it."""
        return hashlib.sha256(self.data).hexdigest()

    @functools.cached_property
    def files(self) -> dict[str, bytes]:
        """All files in it, by path."""
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}

    def lock_entry(self) -> dict[str, object]:
        """Return what Pyodide's lock file says about a package."""
        tops = {name.split("/")[0].removesuffix(".py") for name in self.files}
        return {
            "name": self.name,
            "version": self.version,
            "file_name": self.file_name,
            "sha256": self.sha256,
            "install_dir": "site",
            "package_type": "package",
            "imports": sorted(top for top in tops if not top.endswith((".dist-info", ".data", ".libs"))),
            "depends": [],
            "unvendored_tests": False,
        }


def download(folder: Path) -> list[Wheel]:
    """Return the wheels that wheels.txt names, downloaded into `folder` unless they are there.

    Raises
    ------
    BuildError
        If pip cannot get one of them, or its hash is another one.
    """
    try:
        return [_find(folder, *pin) for pin in pinned()]
    except FileNotFoundError:
        _call_pip(folder)
    return [_find(folder, *pin) for pin in pinned()]


def pinned() -> list[tuple[str, str, str]]:
    """Return name, version and SHA-256 of each package in wheels.txt."""
    return re.findall(r"^([\w-]+)==(\S+) --hash=sha256:(\w+)$", PINS.read_text(encoding="utf-8"), flags=re.M)


def _call_pip(folder: Path) -> None:
    target = ["--python-version", "3.13", "--implementation", "cp", "--abi", "cp313"]
    target += ["--platform", "manylinux2014_x86_64"]
    safe = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(PINS)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *target, *safe]
    done = subprocess.run([*command, "--dest", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(
            f"pip could not fetch the packages named in {PINS.name}. Check the connection, or put the wheels into the "
            f"folder given with --downloads. pip said: {done.stderr.strip()}"
        )


def _find(folder: Path, name: str, version: str, sha256: str) -> Wheel:
    pattern = re.compile(rf"{name.replace('-', '[-_.]')}-{re.escape(version)}-.*\.whl", re.I)
    for path in folder.iterdir():
        if pattern.fullmatch(path.name):
            wheel = Wheel(path.name, path.read_bytes())
            if wheel.sha256 != sha256:
                raise BuildError(f"{path} has the SHA-256 {wheel.sha256}, {PINS.name} says {sha256}. Delete the file.")
            return wheel
    raise FileNotFoundError(name)


def own_wheel() -> Wheel:
    """Return a wheel of `processing` and `dashboard` as they are imported here, without the weights.

    The weights are a file of the site: the inference worker reads them, not Python.
    """
    files = {}
    for package in (Path(processing.__file__).parent, Path(__file__).parents[1]):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".onnx":
                files[path.relative_to(package.parent).as_posix()] = path.read_bytes()
    metadata = importlib.metadata.distribution(_OWN)
    stem = f"{_OWN.replace('-', '_')}-{metadata.version}"
    text = metadata.read_text("METADATA") or f"Metadata-Version: 2.1\nName: {_OWN}\nVersion: {metadata.version}\n"
    files[f"{stem}.dist-info/METADATA"] = text.encode()
    files[f"{stem}.dist-info/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return Wheel(f"{stem}-py3-none-any.whl", pack(files))


def slim(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a wheel that Python may need in the browser."""
    return {name: data for name, data in files.items() if _is_used(name)}


def _is_used(name: str) -> bool:
    if _UNUSED.match(name) or name.endswith(_UNUSED_SUFFIXES):
        return False
    return not name.endswith(".so") or "wasm32" in name


def pack(files: dict[str, bytes]) -> bytes:
    """Return an uncompressed zip file whose bytes depend on nothing but the names and the contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name)  # its date is 1 January 1980, not today
            entry.create_system = 3  # as on Linux, also when Windows builds
            archive.writestr(entry, data)
    return buffer.getvalue()


def pack_for_browser(files: dict[str, bytes]) -> bytes:
    """Return a zip file that is compressed as a whole: smaller, and a browser unpacks it at once with what it has."""
    return gzip.compress(pack(files), compresslevel=9, mtime=0)
