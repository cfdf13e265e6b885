"""The folder of the static site, built without numpy and Pillow for the browser: all but these two is there.

With them the page runs: tests/browser/test_page.py.
"""

import gzip
import hashlib
import io
import json
import re
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from dashboard.browser import wheels
from dashboard.browser.build import build
from dashboard.browser.errors import BuildError
from dashboard.browser.npm import node_command, pinned
from processing.models import DEFAULT_MODEL, find_model


@pytest.fixture(scope="module")
def sites(request, tmp_path_factory):
    """Two builds of the same, side by side."""
    downloads = request.config.cache.mkdir("npm")
    try:
        for name in ("pyodide", "onnxruntime-web"):
            pinned(name).fetch(downloads)
        wheels.download(downloads)
    except BuildError as error:
        if "could not fetch" not in str(error):
            raise  # it came, and is not what is pinned
        pytest.skip(str(error))
    folders = [tmp_path_factory.mktemp("built") / name for name in ("one", "two")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda folder: build(folder, downloads=downloads, wasm_wheels=[]), folders))
    return folders


@pytest.fixture(scope="module")
def site(sites):
    return sites[0]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def unpack(site, name):
    with zipfile.ZipFile(io.BytesIO(gzip.decompress((site / f"python/{name}.zip.gzip").read_bytes()))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.slow
def test_two_builds_are_equal(sites):
    one, two = map(contents, sites)
    assert [name for name in one | two if one.get(name) != two.get(name)] == []


@pytest.mark.slow
def test_all_parts_are_there(site):
    for name in ("index.html", "page.js", "worker.js", "start.js", "python.js", "service_worker.js", ".nojekyll"):
        assert (site / name).is_file()
    for name in (
        "pyodide/pyodide.asm.wasm",
        "ort/ort-wasm-simd-threaded.wasm",
        "ort/ort.wasm.min.mjs",
        "cutout/bridge.js",
    ):
        assert (site / name).is_file()
    model = find_model(DEFAULT_MODEL)
    assert sha256((site / "models" / model.weights.name).read_bytes()) == model.sha256


@pytest.mark.slow
def test_page_finds_its_files(site):
    page = (site / "index.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [address for address in addresses if not (site / address).is_file()] == []
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    for icon in manifest["icons"]:
        with Image.open(site / icon["src"]) as image:
            assert icon["sizes"] == "{}x{}".format(*image.size)


@pytest.mark.slow
def test_no_other_host_is_named_by_what_we_run(site):
    ours = [path for path in contents(site) if "/" not in path or path.startswith("cutout/")]
    assert len(ours) > 10
    for name in ours:
        text = (site / name).read_text()
        assert not re.search(r"https?://(?!localhost)", text), name
    everything = contents(site)
    for host in (b"cdn.jsdelivr.net/pyodide", b"cdn.bokeh.org", b"cdn.holoviz.org"):
        naming = {name for name, data in everything.items() if name.endswith(".js") and host in data}
        assert naming <= {"pyodide/pyodide.js", "pyodide/pyodide.asm.js"}, host


@pytest.mark.slow
def test_lock_names_each_wheel_and_archive(site):
    lock = json.loads((site / "pyodide/pyodide-lock.json").read_text())
    for name, version, digest in wheels.pinned():
        entry = lock["packages"][name]
        assert (entry["version"], entry["sha256"]) == (version, digest)
    assert re.fullmatch(r"[0-9a-f]{64}", lock["packages"]["cutout-dashboard"]["sha256"])
    for path, entry in lock["archives"].items():
        data = (site / path).read_bytes()
        assert entry == {"sha256": sha256(data), "size": len(data)}
        assert entry["sha256"] in (site / "python.js").read_text()


@pytest.mark.slow
def test_python_comes_as_bytecode(site):
    packages, own, library = (unpack(site, name) for name in ("packages", "cutout", "library"))
    for files in (packages, own, library):
        assert [name for name in files if name.endswith(".py")] == []
        magic = {data[:4] for name, data in files.items() if name.endswith(".pyc")}
        assert len(magic) == 1
        assert {data[4] for name, data in files.items() if name.endswith(".pyc")} == {1}  # unchecked hashes
    assert {"panel/__init__.pyc", "bokeh/models/__init__.pyc", "panel-1.9.4.dist-info/METADATA"} <= packages.keys()
    assert {"dashboard/page.pyc", "processing/models/catalogue.toml", "dashboard/samples/cat.jpg"} <= own.keys()
    assert {"os.pyc", "asyncio/__init__.pyc"} <= library.keys()


@pytest.mark.slow
def test_service_worker_knows_all_files(site):
    text = (site / "service_worker.js").read_text()
    listed = dict(re.findall(r'"([^"\n]+)": "([0-9a-f]{64})"', text))
    files = contents(site)
    missing = {name for name in files.keys() - listed.keys() if not name.startswith("models/")}
    assert missing == {"service_worker.js", "build.json", ".nojekyll"}
    assert {name: sha256(files[name]) for name in listed} == listed


@pytest.mark.slow
def test_javascript_has_no_syntax_error(site):
    for path in site.glob("*.js"):
        done = subprocess.run([node_command(), "--check", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_build_says_what_it_is_and_how_large(site):
    made = json.loads((site / "build.json").read_text())
    assert made["wheels"] == "no wheels"
    # numpy and Pillow, which are not here, add about 3 MB; all together 16 MB are allowed.
    assert made["first_visit_bytes"] < 13_000_000


def test_other_folder_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BuildError, match="holds something else than a site that was built"):
        build(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"
