"""Python sources to bytecode. Compiling in the browser would take several seconds at each start."""

from __future__ import annotations

import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

from dashboard.browser.errors import BuildError
from dashboard.browser.npm import node_command
from dashboard.browser.wheels import pack

_SCRIPT = Path(__file__).with_name("compile.mjs")


def compile_sources(files: dict[str, bytes], core: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with a .pyc in place of each .py, as Python finds them without any source.

    Parameters
    ----------
    files : dict
        Contents by the path where they will lie in the browser, without its first slash; tracebacks show it.
    core : dict
        Pyodide's core as on npm, by name; its Python compiles.

    Raises
    ------
    BuildError
        If a source cannot be compiled.
    """
    sources = {name: data for name, data in files.items() if name.endswith(".py")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file_name, data in core.items():
            (folder / file_name).write_bytes(data)
        (folder / "in.zip").write_bytes(pack(sources))
        command = [node_command(), str(_SCRIPT), name, str(folder / "in.zip"), str(folder / "out.zip")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(f"Pyodide could not compile the Python packages in Node.js: {done.stderr.strip()}")
        with zipfile.ZipFile(io.BytesIO((folder / "out.zip").read_bytes())) as archive:
            compiled = {entry: archive.read(entry) for entry in archive.namelist()}
    return {name: data for name, data in files.items() if name not in sources} | compiled
