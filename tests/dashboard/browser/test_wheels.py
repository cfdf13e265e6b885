"""Python packages of the page: ours, those of PyPI, what is left out, how they are packed."""

import gzip
import importlib.metadata
import io
import zipfile
from pathlib import Path

import pytest

import dashboard
import processing
from dashboard.browser import wheels
from dashboard.browser.errors import BuildError
from dashboard.browser.wheels import Wheel, own_wheel, pack, pack_for_browser, pinned, slim


def test_own_wheel_has_all_modules_and_no_weights():
    wheel = own_wheel()
    for package in (processing, dashboard):
        folder = Path(package.__file__).parent
        sources = {path.relative_to(folder.parent).as_posix() for path in folder.rglob("*.py")}
        assert sources <= set(wheel.files)
    assert "processing/models/catalogue.toml" in wheel.files
    assert "dashboard/components/image_view.js" in wheel.files
    assert not [name for name in wheel.files if name.endswith((".onnx", ".pyc"))]
    assert (wheel.name, wheel.version) == ("cutout-dashboard", importlib.metadata.version("cutout-dashboard"))
    assert wheel.data == own_wheel().data


def test_pack_depends_on_names_and_contents_only():
    assert pack({"b": b"2", "a": b"1"}) == pack({"a": b"1", "b": b"2"})
    with zipfile.ZipFile(io.BytesIO(gzip.decompress(pack_for_browser({"b": b"2", "a": b"1"})))) as archive:
        assert archive.namelist() == ["a", "b"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_slim_keeps_what_python_needs():
    kept = ["panel/io/state.py", "numpy/a.cpython-313-wasm32-emscripten.so", "param-2.4.2.dist-info/METADATA"]
    dropped = [
        "panel/dist/panel.js",
        "panel/tests/test_x.py",
        "numpy/core/tests/test_y.py",
        "numpy/a.pyi",
        "a.dist-info/RECORD",
    ]
    dropped += ["markupsafe/_speedups.cpython-313-x86_64-linux-gnu.so", "processing/training/loop.py"]
    assert list(slim(dict.fromkeys(kept + dropped, b""))) == kept


def test_pins_are_the_installed_versions():
    # The page is converted by the installed packages and then runs on the pinned ones.
    for name, version, _ in pinned():
        if name in ("panel", "bokeh", "panel-material-ui", "param"):
            assert importlib.metadata.version(name) == version, f"Write the line of {name} in wheels.txt anew."


def test_lock_entry_names_the_wheel():
    wheel = Wheel("Tiny_Thing-1.0-py3-none-any.whl", pack({"tiny.py": b"", "tiny_thing-1.0.dist-info/METADATA": b""}))
    entry = wheel.lock_entry()
    assert (entry["name"], entry["version"], entry["imports"]) == ("tiny-thing", "1.0", ["tiny"])
    assert entry["sha256"] == wheel.sha256


def test_wheel_with_another_hash_is_refused(tmp_path, monkeypatch):
    pins = tmp_path / "wheels.txt"
    pins.write_text(f"tiny-thing==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(wheels, "PINS", pins)
    (tmp_path / "tiny_thing-1.0-py3-none-any.whl").write_bytes(b"other")
    with pytest.raises(BuildError, match=r"tiny_thing-1\.0.* has the SHA-256 .* wheels\.txt says 000"):
        wheels.download(tmp_path)


def test_pip_that_fails_is_quoted(tmp_path, monkeypatch):
    pins = tmp_path / "wheels.txt"
    pins.write_text(f"cutout-no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(wheels, "PINS", pins)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BuildError, match=r"(?s)pip could not fetch.*--downloads.*pip said.*cutout-no-such-package"):
        wheels.download(tmp_path)
