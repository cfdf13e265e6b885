"""Writing files so that nobody ever sees half of one."""

import os
import stat

import pytest

from processing.errors import StoreError
from processing.files import write_atomically


def test_write_makes_the_file_with_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "new.bin", b"whole")
    assert (tmp_path / "new.bin").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["new.bin"]


def test_write_replaces_the_old_file_at_once(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen_before_replacing = []
    replace = os.replace

    def watched(source, target):
        seen_before_replacing.append(path.read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_atomically(path, b"new")
    assert seen_before_replacing == [b"old"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_write_that_fails_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(StoreError, match=r"file\.bin cannot be written: No space left on device") as failure:
        write_atomically(path, b"new")
    assert isinstance(failure.value.__cause__, OSError)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_write_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.bin", b"new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file.bin", b"")
        assert os.umask(mask) == mask  # reading the mask has not changed it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.bin").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("name", ["missing/file.bin", "plain/file.bin", "folder", "x" * 300])
def test_path_that_cannot_be_written_gives_a_sentence(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch()
    with pytest.raises(StoreError, match=r"cannot be written: .+\. Check that the folder exists"):
        write_atomically(tmp_path / name, b"data")
    assert sorted(os.listdir(tmp_path)) == ["folder", "plain"]
