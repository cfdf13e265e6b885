"""The folder of the static site, put together from what is pinned; two builds give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dashboard.browser import wasm, wheels
from dashboard.browser.bytecode import compile_sources
from dashboard.browser.errors import BuildError
from dashboard.browser.headers import HEADERS
from dashboard.browser.icons import draw_icon
from dashboard.browser.npm import pinned, read_members
from dashboard.browser.page import APP, STATIC, make_page, patch_package, swap
from dashboard.browser.wheels import Wheel
from processing.browser import __file__ as _PROCESSING_BROWSER
from processing.models import DEFAULT_MODEL, find_model

_CORE = ["pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm"]
_COMPILER = [*_CORE, "pyodide.mjs", "pyodide-lock.json", "python_stdlib.zip"]
_LIBRARY = "lib/python313.zip/"
# Not .gz: hosts of files that know that one may announce it as a compression of theirs, and browsers then undo it.
_PACKED = ".zip.gzip"
_ORT = ["dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm"]

#: Of the wheels' JavaScript and style sheets, what the page may load: pattern -> folder of the site.
_SERVED = {
    "bokeh": [(r"bokeh/server/static/js/(bokeh(?:-widgets|-tables)?\.min\.js)", "static/bokeh/")],
    "panel": [
        (r"panel/dist/(panel\.min\.js|css/.*\.css)", "static/panel/{version}/dist/"),
        (r"panel/dist/(bundled/theme/.*\.css)", "static/panel/{version}/dist/"),
    ],
    "panel-material-ui": [(r"panel_material_ui/dist/(.*\.(?:js|css|woff2))", "static/panel-material-ui/v{version}/")],
}

#: What an installed page says about itself.
_MANIFEST = {
    "name": "Cutout",
    "short_name": "Cutout",
    "description": "Removes the background of photos; they never leave the device.",
    "start_url": "./",
    "scope": "./",
    "display": "standalone",
    "background_color": "#ffffff",
    "theme_color": "#115e59",
    "icons": [
        {"src": "icons/192.png", "sizes": "192x192", "type": "image/png"},
        {"src": "icons/512.png", "sizes": "512x512", "type": "image/png"},
        {"src": "icons/maskable.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
    ],
}


def build(
    out: Path, *, app: Path = APP, downloads: Path | None = None, wasm_wheels: list[Wheel] | None = None
) -> dict[str, Any]:
    """Build the site.

    Parameters
    ----------
    out : Path
        Its folder: new, empty, or an earlier build, which is replaced.
    app : Path
        The Python file that makes the page.
    downloads : Path, optional
        Where downloads are kept from one build to the next, each checked each time; nowhere if None.
    wasm_wheels : list of Wheel, optional
        numpy and Pillow; found by `dashboard.browser.wasm.find` if None. Without them the page does not start.

    Returns
    -------
    dict
        What build.json in the folder says.

    Raises
    ------
    BuildError
        If something is missing or not as expected. `out` is then as before.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "build.json").is_file())):
        raise BuildError(f"{out} holds something else than a site that was built. Give a new or an empty folder.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if downloads is None else downloads
        folder.mkdir(parents=True, exist_ok=True)
        files = _make_files(folder, app, wasm_wheels)
    if out.exists():
        shutil.rmtree(out)
    for path, data in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
    return json.loads(files["build.json"])


def _make_files(downloads: Path, app: Path, wasm_wheels: list[Wheel] | None) -> dict[str, bytes]:
    pyodide, ort = pinned("pyodide"), pinned("onnxruntime-web")
    compiler = read_members(pyodide.fetch(downloads), _COMPILER)
    npm_lock = json.loads(compiler["pyodide-lock.json"])
    if wasm_wheels is None:
        wasm_wheels = wasm.find(npm_lock, pyodide.version, downloads)
    pypi = wheels.download(downloads)
    own = wheels.own_wheel()
    panel = next(wheel.version for wheel in pypi if wheel.name == "panel")
    page = make_page(app, panel)

    site_packages = f"lib/python{'.'.join(npm_lock['info']['python'].split('.')[:2])}/site-packages/"
    archives = _archives(
        {
            (f"python/library{_PACKED}", _LIBRARY): _library(compiler),
            (f"python/packages{_PACKED}", site_packages): _merge([*pypi, *wasm_wheels]),
            (f"python/cutout{_PACKED}", site_packages): _merge([own]),
        },
        compiler,
    )
    files = {f"pyodide/{name}": compiler[name] for name in _CORE}
    files["pyodide/pyodide-lock.json"] = _lock(npm_lock, [*pypi, *wasm_wheels, own], archives)
    files |= archives
    files |= {f"ort/{Path(name).name}": data for name, data in read_members(ort.fetch(downloads), _ORT).items()}
    for wheel in pypi:
        files |= _served(wheel)
    files |= {f"cutout/{path.name}": path.read_bytes() for path in Path(_PROCESSING_BROWSER).parent.glob("*.js")}
    model = find_model(DEFAULT_MODEL)
    files[f"models/{model.weights.name}"] = model.weights.read_bytes()
    files |= {"index.html": page.html.encode(), "page.js": page.script.encode(), "worker.js": page.worker.encode()}
    files |= {name: (STATIC / name).read_bytes() for name in ("start.js", "modules.js", "loading.css")}
    files["python.js"] = _python_script(archives, site_packages)
    files["manifest.webmanifest"] = _json(_MANIFEST)
    files |= {"icons/192.png": draw_icon(192), "icons/512.png": draw_icon(512)}
    files["icons/maskable.png"] = draw_icon(512, bleeds=True)
    files["service_worker.js"] = _service_worker(files)
    files[".nojekyll"] = b""  # GitHub Pages would leave files out otherwise
    files["build.json"] = _json(_describe(files, own, wasm_wheels, npm_lock))
    return dict(sorted(files.items()))


def _archives(contents: dict[tuple[str, str], dict[str, bytes]], compiler: dict[str, bytes]) -> dict[str, bytes]:
    """Return an archive for each (path, folder in the browser): a browser unpacks one much faster than thirty."""
    placed = {folder + name: data for (_, folder), files in contents.items() for name, data in files.items()}
    compiled = compile_sources(placed, compiler)
    archives = {}
    for (path, folder), files in contents.items():
        names = [name + "c" if name.endswith(".py") else name for name in files]
        archives[path] = wheels.pack_for_browser({name: compiled[folder + name] for name in names})
    return archives


def _merge(contents: Iterable[Wheel]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for wheel in contents:
        used = wheels.slim(wheel.files)
        files |= patch_package(used) if wheel.name == "panel" else used
    return files


def _library(compiler: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of Pyodide's standard library."""
    files = Wheel("python_stdlib.zip", compiler["python_stdlib.zip"]).files
    return {name: data for name, data in files.items() if not _UNUSED_LIBRARY.match(name)}


# Servers, shells, debuggers, mail, other processes: nothing that a page imports.
_UNUSED_LIBRARY = re.compile(
    r"(_pyrepl|curses|dbm|ensurepip|idlelib|lib2to3|multiprocessing|pydoc_data|sqlite3|test|tkinter|turtledemo|venv"
    r"|wsgiref|xmlrpc)/"
    r"|(_aix_support|_android_support|_apple_support|_ios_support|_osx_support|_pyio|antigravity|bdb|doctest|ftplib"
    r"|imaplib|mailbox|modulefinder|optparse|pdb|pickletools|poplib|pyclbr|smtplib|socketserver|tabnanny|this"
    r"|trace|turtle|wave|zipapp)\.py$"
    r"|encodings/(big5|cp(?!437|1252)|euc|gb|hp_|hz|iso2022|johab|koi8|kz|mac_|palmos|ptcp|shift|tis)"
)


def _lock(npm_lock: dict[str, Any], contents: list[Wheel], archives: dict[str, bytes]) -> bytes:
    """Return a lock file that names each wheel as it was before it went into an archive, and the archives."""
    packages = {wheel.name: wheel.lock_entry() for wheel in sorted(contents, key=lambda wheel: wheel.name)}
    hashes = {path: {"sha256": _sha256(data), "size": len(data)} for path, data in archives.items()}
    return _json({"info": npm_lock["info"], "packages": packages, "archives": hashes})


def _served(wheel: Wheel) -> dict[str, bytes]:
    """Return the files of a wheel that the page loads itself, where it looks for them."""
    served = {}
    for pattern, folder in _SERVED.get(wheel.name, []):
        for name, data in wheel.files.items():
            if match := re.fullmatch(pattern, name):
                served[folder.format(version=wheel.version) + match[1]] = data
    return served


def _python_script(archives: dict[str, bytes], site_packages: str) -> bytes:
    listed = {
        path.split("/")[1].split(".")[0]: {"url": f"./{path}", "sha256": _sha256(data), "size": len(data)}
        for path, data in archives.items()
    }
    script = (STATIC / "python.js").read_text(encoding="utf-8")
    script = swap(script, '"ARCHIVES"', json.dumps(listed, indent=2))
    return swap(script, '"SITE_PACKAGES"', json.dumps("/" + site_packages)).encode()


def _service_worker(files: dict[str, bytes]) -> bytes:
    kept = {path: _sha256(data) for path, data in sorted(files.items()) if not path.startswith("models/")}
    script = (STATIC / "service_worker.js").read_text(encoding="utf-8")
    script = swap(script, '"FILES"', json.dumps(kept, indent=2))
    return swap(script, '"HEADERS"', json.dumps(HEADERS, indent=2)).encode()


def _describe(
    files: dict[str, bytes], own: Wheel, wasm_wheels: list[Wheel], npm_lock: dict[str, Any]
) -> dict[str, Any]:
    official = wasm.are_official(wasm_wheels, npm_lock)
    first = [data for path, data in files.items() if not path.startswith("models/") and not path.endswith(".woff2")]
    return {
        "version": own.version,
        "sha256": _sha256(b"".join(path.encode() + _sha256(data).encode() for path, data in sorted(files.items()))),
        "wheels": "no wheels" if not wasm_wheels else "official wheels" if official else "unofficial wheels",
        "files": len(files),
        "size_bytes": sum(map(len, files.values())),
        # As a host compresses it; without the model's weights, and the fonts, of which a page needs two or none.
        "first_visit_bytes": sum(len(gzip.compress(data)) for data in first),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
