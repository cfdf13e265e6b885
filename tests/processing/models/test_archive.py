"""Models as one file: there and back, and what is refused."""

import errno
import hashlib
import json
import os
import zipfile
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.models.archive import export_models, import_models
from processing.models.download import fetch
from processing.models.folder import locate, model_folder
from processing.models.inventory import status
from processing.models.spec import find_model


@pytest.fixture
def archive(spec, pair, catalogue, tmp_path):
    """Return an archive of both models, which are in the catalogue and no longer here."""
    catalogue(spec, pair)
    path = tmp_path / "models.zip"
    for each in (spec, pair):
        fetch(each)
    export_models([spec, pair], path)
    for each in (spec, pair):
        for file in each.files:
            (model_folder(each) / file.name).unlink()
        model_folder(each).rmdir()
    return path


def rewrite(path, change=None, *, members=None, manifest=None, compression=zipfile.ZIP_STORED):
    """Write an archive anew with changed members: {name: bytes}, None drops one; `change` edits the manifest."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    values = json.loads(content["manifest.json"])
    if change is not None:
        change(values)
    content["manifest.json"] = json.dumps(values).encode() if manifest is None else manifest
    content |= members or {}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in content.items():
            if data is not None:
                new.writestr(zipfile.ZipInfo(name), data, compression)


def assert_nothing_came(*specs):
    for each in specs:
        assert status(each) == "missing"
        assert not model_folder(each).is_dir() or os.listdir(model_folder(each)) == []


def test_models_come_back_as_they_were(archive, spec, pair, data):
    assert import_models(archive) == [spec, pair]
    assert locate(spec).read_bytes() == data
    assert locate(pair).read_bytes() == data
    assert locate(pair).with_name("decoder.onnx").read_bytes() == data[:50_000]
    assert os.listdir(model_folder(spec)) == ["tiny.onnx"]


def test_archive_is_a_plain_zip_with_a_manifest(archive, data):
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["tiny/tiny.onnx", "pair/encoder.onnx", "pair/decoder.onnx", "manifest.json"]
        assert {each.compress_type for each in opened.infolist()} == {zipfile.ZIP_STORED}
        manifest = json.loads(opened.read("manifest.json"))
    assert manifest["files"][0] == {
        "model": "tiny",
        "name": "tiny.onnx",
        "size_bytes": 300_000,
        "sha256": hashlib.sha256(data).hexdigest(),
        "catalogue_sha256": hashlib.sha256(data).hexdigest(),
        "catalogue_md5": "",
    }
    assert manifest["files"][2]["catalogue_md5"] == hashlib.md5(data[:50_000]).hexdigest()


def test_entries_are_returned(spec, catalogue, tmp_path):
    catalogue(spec)
    fetch(spec)
    (entry,) = export_models([spec, spec], tmp_path / "models.zip")
    assert asdict(entry)["size_bytes"] == 300_000


def test_progress_of_both_ways_ends_at_the_end(archive, spec, pair, tmp_path):
    reports = []
    import_models(archive, progress=reports.append)
    assert {report.total_bytes for report in reports} == {650_000}
    assert reports[-1].step == "Unpacking"
    reports.clear()
    export_models([spec, pair], tmp_path / "again.zip", progress=reports.append)
    assert {report.total_bytes for report in reports} == {650_000}
    assert reports[-1].done_bytes >= 600_000


def test_damaged_model_is_replaced(archive, spec, data):
    model_folder(spec).mkdir()
    (model_folder(spec) / "tiny.onnx").write_bytes(b"damaged")
    import_models(archive)
    assert locate(spec).read_bytes() == data


# What is not exported


def test_model_that_is_not_here_is_not_exported(spec, tmp_path):
    with pytest.raises(ModelError, match=r"'tiny' is not here, so it cannot be exported.*models fetch tiny"):
        export_models([spec], tmp_path / "models.zip")


def test_damaged_model_is_not_exported(spec, data, tmp_path):
    fetch(spec).write_bytes(data[::-1])
    with pytest.raises(ModelError, match=r"tiny\.onnx is damaged"):
        export_models([spec], tmp_path / "models.zip")
    assert sorted(os.listdir(tmp_path)) == ["home"]


def test_built_in_and_own_models_are_not_exported(spec, tmp_path):
    own = replace(spec, weights=tmp_path / "own.onnx", url="")
    for each, why in ((find_model("compact"), "comes with the project"), (own, "copy it yourself")):
        with pytest.raises(ModelError, match=why):
            export_models([each], tmp_path / "models.zip")
    with pytest.raises(ModelError, match="nothing to export"):
        export_models([], tmp_path / "models.zip")


@pytest.mark.parametrize("name", ["no/such/folder/models.zip", "home"])
def test_archive_that_cannot_be_written_says_what_to_do(spec, tmp_path, name):
    fetch(spec)
    with pytest.raises(ModelError, match=r"cannot be written: .* Check that its folder exists"):
        export_models([spec], tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["home"]


def test_export_that_will_not_fit_is_told_before(spec, tmp_path, monkeypatch):
    fetch(spec)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ModelError, match=r"too little space for .* Give a path on another disk"):
        export_models([spec], tmp_path / "models.zip")


def test_cancelled_export_leaves_nothing_and_keeps_the_old_file(spec, tmp_path):
    fetch(spec)
    (tmp_path / "models.zip").write_bytes(b"old")
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        export_models([spec], tmp_path / "models.zip", cancel=token)
    assert (tmp_path / "models.zip").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["home", "models.zip"]


# What is not imported


def test_cancelled_import_leaves_nothing(archive, spec, pair):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        import_models(archive, cancel=token)
    assert_nothing_came(spec, pair)


def test_changed_bytes_are_refused(archive, spec, pair, data):
    """The manifest was not changed with them."""
    rewrite(archive, members={"tiny/tiny.onnx": data[::-1]})
    with pytest.raises(ModelError, match=r"tiny/tiny\.onnx does not have the checksum"):
        import_models(archive)
    assert_nothing_came(spec, pair)


def test_changed_bytes_with_a_manifest_that_agrees_are_refused(archive, spec, pair, data):
    """The catalogue of this machine has the last word."""

    def agree(manifest):
        digest = hashlib.sha256(data[::-1]).hexdigest()
        manifest["files"][0] |= {"sha256": digest, "catalogue_sha256": digest}

    rewrite(archive, agree, members={"tiny/tiny.onnx": data[::-1]})
    with pytest.raises(ModelError, match=r"tiny/tiny\.onnx does not have the checksum"):
        import_models(archive)
    assert_nothing_came(spec, pair)


def test_one_bad_file_of_a_model_keeps_all_of_it_out(archive, pair, data):
    rewrite(archive, members={"pair/decoder.onnx": data[50_000:100_000]})
    with pytest.raises(ModelError, match=r"pair/decoder\.onnx"):
        import_models(archive)
    assert_nothing_came(pair)


def test_flipped_bit_is_refused(archive, spec):
    content = bytearray(archive.read_bytes())
    content[5000] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ModelError, match="is no whole archive of models: Bad CRC-32"):
        import_models(archive)
    assert_nothing_came(spec)


def test_cut_archive_is_refused(archive, spec):
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is no whole archive of models"):
        import_models(archive)
    assert_nothing_came(spec)


@pytest.mark.parametrize(
    "name", ["../evil.onnx", "/tmp/evil.onnx", "tiny/../../evil.onnx", "tiny\\..\\evil.onnx", "extra"]
)
def test_member_that_was_not_packed_is_refused(archive, spec, tmp_path, name):
    rewrite(archive, members={name: b"evil"})
    with pytest.raises(ModelError, match="what it holds is not what its manifest"):
        import_models(archive)
    assert_nothing_came(spec)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("..", "evil.onnx"),
        ("tiny", "../evil.onnx"),
        ("", "/tmp/evil.onnx"),
        ("tiny", "evil.onnx"),
        ("other", "tiny.onnx"),
        ("compact", "compact.onnx"),
    ],
)
def test_name_that_is_not_in_the_catalogue_is_refused(archive, spec, pair, tmp_path, model, name):
    """Even where the manifest has it: what becomes a path comes from the catalogue."""

    def add(manifest):
        digest = hashlib.sha256(b"evil").hexdigest()
        manifest["files"].append({"model": model, "name": name, "size_bytes": 4, "sha256": digest})

    rewrite(archive, add, members={f"{model}/{name}": b"evil"})
    with pytest.raises(ModelError, match="no file of a model in the catalogue of this machine"):
        import_models(archive)
    assert_nothing_came(spec, pair)
    assert not list(tmp_path.rglob("evil*"))


def test_model_that_lacks_a_file_is_refused(archive, spec, pair):
    rewrite(archive, lambda manifest: manifest["files"].pop(), members={"pair/decoder.onnx": None})
    with pytest.raises(ModelError, match="files of pair are missing"):
        import_models(archive)
    assert_nothing_came(spec, pair)


def test_compressed_archive_is_refused(archive, spec):
    """A small one could hold more than a disk does."""
    rewrite(archive, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed or encrypted"):
        import_models(archive)
    assert_nothing_came(spec)


def manifest_of(*files, kind="cutout-models", version=1):
    return json.dumps({"format": kind, "version": version, "files": files}).encode()


WRONG_TYPES = {"model": [], "name": "x", "size_bytes": 1, "sha256": ""}


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        manifest_of(kind="other"),
        manifest_of(version=2),
        manifest_of({"model": "tiny"}),
        manifest_of(WRONG_TYPES),
        manifest_of({**WRONG_TYPES, "model": "tiny", "size_bytes": "1"}),
        manifest_of("tiny"),
    ],
)
def test_manifest_that_makes_no_sense_is_refused(archive, spec, manifest):
    rewrite(archive, manifest=manifest)
    with pytest.raises(ModelError, match="is no whole archive of models"):
        import_models(archive)
    assert_nothing_came(spec)


def test_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("photo.jpg", b"")
    with pytest.raises(ModelError, match=r"it has no manifest\.json; `models export` writes one"):
        import_models(path)


@pytest.mark.parametrize("content", [b"", b"not a zip at all"])
def test_file_that_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "models.zip").write_bytes(content)
    with pytest.raises(ModelError, match="is no whole archive of models"):
        import_models(tmp_path / "models.zip")


def test_archive_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"cannot be read: No such file or directory\. Check the path"):
        import_models(tmp_path / "models.zip")


def test_import_into_a_folder_that_cannot_be_written_says_what_to_do(archive, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot be written: .*REMBG_HOME"):
        import_models(archive)


def test_disk_that_fills_up_leaves_nothing(archive, spec, monkeypatch):
    def sync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(ModelError, match="The disk is full"):
        import_models(archive)
    assert_nothing_came(spec)
