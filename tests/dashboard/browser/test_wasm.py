"""numpy and Pillow as WebAssembly: where they come from, and what is said when they are not there."""

import hashlib
import re
import urllib.error

import pytest

from dashboard.browser import wasm
from dashboard.browser.errors import BuildError

NUMPY = "numpy-2.2.5-cp313-cp313-pyodide_2025_0_wasm32.whl"
PILLOW = "pillow-11.3.0-cp313-cp313-pyodide_2025_0_wasm32.whl"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


LOCK = {
    "packages": {
        "numpy": {"file_name": NUMPY, "sha256": sha256(b"numpy")},
        "pillow": {"file_name": PILLOW, "sha256": sha256(b"pillow")},
    }
}


@pytest.fixture
def supplied(tmp_path, monkeypatch):
    """A folder with both wheels, named by the variable."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / NUMPY).write_bytes(b"numpy")
    (folder / PILLOW).write_bytes(b"pillow")
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in (NUMPY, PILLOW)]
    (folder / "SHA256SUMS").write_text("".join(lines))
    monkeypatch.setenv("PYODIDE_WHEELS", str(folder))
    return folder


@pytest.fixture
def web(monkeypatch):
    """Stands for Pyodide's distribution: content by address; what is not in it cannot be reached."""
    monkeypatch.delenv("PYODIDE_WHEELS", raising=False)
    contents, asked = {}, []

    class Reply:
        def __init__(self, data):
            self.read = lambda: data

        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731

    def urlopen(url, timeout):
        asked.append(url)
        if url not in contents:
            raise urllib.error.URLError("no route")
        return Reply(contents[url])

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return contents, asked


def find(tmp_path):
    return wasm.find(LOCK, "0.29.3", tmp_path)


def test_supplied_wheels_are_taken(supplied, tmp_path):
    wheels = find(tmp_path)
    assert [(wheel.name, wheel.version) for wheel in wheels] == [("numpy", "2.2.5"), ("pillow", "11.3.0")]
    assert wasm.are_official(wheels, LOCK)


def test_supplied_wheels_may_be_others(supplied, tmp_path):
    (supplied / NUMPY).write_bytes(b"rebuilt")
    sums = supplied / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(sha256(b"numpy"), sha256(b"rebuilt")))
    assert not wasm.are_official(find(tmp_path), LOCK)


def test_supplied_wheel_must_match_its_sum(supplied, tmp_path):
    (supplied / PILLOW).write_bytes(b"changed")
    with pytest.raises(BuildError, match=rf"{PILLOW} has the SHA-256 .*, SHA256SUMS says .*Get the file again"):
        find(tmp_path)


def test_supplied_folder_must_have_sums(supplied, tmp_path):
    (supplied / "SHA256SUMS").unlink()
    with pytest.raises(BuildError, match=r"has no file SHA256SUMS\. Make it"):
        find(tmp_path)


def test_supplied_folder_must_have_both(supplied, tmp_path):
    (supplied / PILLOW).unlink()
    with pytest.raises(BuildError, match=r"must name one wheel pillow-\*.*it names 0"):
        find(tmp_path)


def test_official_wheels_are_fetched_once_and_checked(web, tmp_path):
    contents, asked = web
    for name in (NUMPY, PILLOW):
        contents[wasm.CDN.format(version="0.29.3", file_name=name)] = name.split("-")[0].encode()
    assert wasm.are_official(find(tmp_path), LOCK)
    assert wasm.are_official(find(tmp_path), LOCK)
    assert len(asked) == 2


def test_wrong_download_is_refused_and_not_kept(web, tmp_path):
    contents, _ = web
    contents[wasm.CDN.format(version="0.29.3", file_name=NUMPY)] = b"a login page"
    with pytest.raises(BuildError, match=rf"{NUMPY} as downloaded has the SHA-256 .*, Pyodide 0\.29\.3 lists"):
        find(tmp_path)
    assert not (tmp_path / NUMPY).exists()


def test_without_either_one_sentence_says_what_to_do(web, tmp_path):
    address = wasm.CDN.format(version="0.29.3", file_name=NUMPY)
    with pytest.raises(BuildError, match=re.escape(address) + ".*no route.*set PYODIDE_WHEELS to a folder"):
        find(tmp_path)
