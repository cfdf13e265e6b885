"""Packages from npm: pinned, checked, read."""

import base64
import hashlib
import io
import tarfile

import pytest

from dashboard.browser.errors import BuildError
from dashboard.browser.npm import NpmPackage, pinned, read_members


@pytest.fixture
def package(tmp_path):
    """A package of one file, whose archive lies in `tmp_path`."""
    path = tmp_path / "tiny-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("package/dist/index.js")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"42\n;"))
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return NpmPackage("tiny", "1.0.0", f"sha512-{digest}")


def test_fetch_takes_what_is_there(package, tmp_path):
    assert read_members(package.fetch(tmp_path), ["dist/index.js"]) == {"dist/index.js": b"42\n;"}


def test_fetch_refuses_another_integrity(package, tmp_path):
    path = tmp_path / "tiny-1.0.0.tgz"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BuildError, match=r"is not the pinned tiny 1\.0\.0: its integrity is sha512-.*Delete the file"):
        package.fetch(tmp_path)


def test_fetch_says_what_to_do_without_npm(package, tmp_path, monkeypatch):
    (tmp_path / "npm").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setattr("dashboard.browser.npm.npm_command", lambda: [str(tmp_path / "npm")])
    with pytest.raises(BuildError, match=r"npm could not fetch tiny 1\.0\.0.*--downloads.*no network"):
        package.fetch(tmp_path / "elsewhere")


def test_missing_member_is_named(package, tmp_path):
    with pytest.raises(BuildError, match=r"tiny-1\.0\.0\.tgz has no file .*other\.js"):
        read_members(package.fetch(tmp_path), ["other.js"])


def test_pins_have_an_integrity():
    for name in ("pyodide", "onnxruntime-web"):
        assert len(base64.b64decode(pinned(name).integrity.removeprefix("sha512-"))) == 64
