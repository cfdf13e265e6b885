"""Pyodide and onnxruntime-web as npm has them, Node, and a photo with what native onnxruntime makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import SAMPLES

from dashboard.browser.errors import BuildError
from dashboard.browser.npm import node_command, pinned, read_members
from processing.images import decode
from processing.models import DEFAULT_MODEL, ModelSpec, find_model, prepare
from processing.sessions.native import NativeSession


def unpack(name: str, parts: list[str], request: pytest.FixtureRequest, tmp: pytest.TempPathFactory) -> Path:
    """Return a folder with these files of an npm package, whose archive stays in pytest's cache."""
    folder, package = request.config.cache.mkdir("npm"), pinned(name)
    try:
        archive = package.fetch(folder)
    except BuildError as error:
        if (folder / f"{package.name}-{package.version}.tgz").exists():
            raise  # it came, and is not what is pinned
        pytest.skip(str(error))
    unpacked = tmp.mktemp(name)
    for member, data in read_members(archive, parts).items():
        (unpacked / Path(member).name).write_bytes(data)
    return unpacked


@pytest.fixture(scope="session")
def ort(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of onnxruntime-web: the three files that wasm inference takes."""
    names = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
    return unpack("onnxruntime-web", [f"dist/{name}" for name in names], request, tmp_path_factory)


@pytest.fixture(scope="session")
def pyodide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of Pyodide's core: Python and its standard library, no numpy."""
    names = ["pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]
    return unpack("pyodide", names, request, tmp_path_factory)


@pytest.fixture(scope="session")
def node() -> str:
    """Path of Node."""
    try:
        return node_command()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def spec() -> ModelSpec:
    """The built-in model."""
    return find_model(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def tensor(spec: ModelSpec) -> np.ndarray:
    """A photo as the model takes it."""
    return prepare(decode(SAMPLES[0].read_bytes()).pixels, spec)


@pytest.fixture(scope="session")
def native(spec: ModelSpec, tensor: np.ndarray) -> np.ndarray:
    """What onnxruntime gives for it on this machine."""
    return NativeSession(spec).predict(tensor)
