"""The artifacts folder."""

import hashlib
import io
import json
import os
import re
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from images import ADOBE_PRIMARIES, ball, file_of, noise, rgb_profile
from PIL import Image

import processing.store
from processing.errors import ImageError, StoreError
from processing.files import write_atomically
from processing.pipeline import remove_background
from processing.store import RECORD, ArtifactStore, default_root

FILES = {
    "source": "source.png",
    "alpha": "alpha.png",
    "result": "result.png",
    "before": "before.webp",
    "preview": "preview.webp",
    "thumbnail": "thumbnail.webp",
}


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "results")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


# What is written


def test_saved_result_has_a_folder_with_its_files_and_record(store, fake_result):
    record = store.save(fake_result())
    assert record.files == FILES
    folder = store.folder(record)
    assert folder == store.root / record.id
    assert sorted(os.listdir(folder)) == sorted([*FILES.values(), "record.json"])


def test_files_are_what_their_roles_say(store, fake_result):
    result = fake_result(background="#ff8000", format="webp")
    record = store.save(result)
    assert store.read(record, "source") == result.source.data
    np.testing.assert_array_equal(opened(store.read(record, "alpha")), np.rint(result.alpha * 65535))
    assert store.path(record, "result").name == "result.webp"
    assert store.read(record, "result") == result.encode().data
    assert opened(store.read(record, "before")).mode == "RGB"
    assert opened(store.read(record, "preview")).mode == "RGBA"  # the page lays it over the background itself


def test_previews_stay_small(store, fake_result):
    record = store.save(fake_result(noise(50, 2000), mask=np.ones((2, 2))))
    sizes = {role: opened(store.read(record, role)).size for role in ("before", "preview", "thumbnail")}
    assert sizes == {"before": (1600, 40), "preview": (1600, 40), "thumbnail": (200, 5)}


def test_record_says_what_was_done(store, fake_result, compact):
    picture, mask = ball(40, 60)
    data = file_of(picture, icc_profile=rgb_profile("Adobe-like space", ADOBE_PRIMARIES, 2.2))
    result = fake_result(data, mask, name="ball.png", background="white")
    record = store.save(result, owner="anna")
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", record.id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record.created)
    assert re.sub(r"\D", "", record.created)[:14] == re.sub(r"\D", "", record.id[:16])
    assert record.owner == "anna"
    assert record.source == {
        "name": "ball.png",
        "media_type": "image/png",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "height": 40,
        "width": 60,
        "profile": "Adobe-like space",
        "remark": "",
    }
    assert record.model == {"name": "compact", "weights_sha256": compact.sha256}
    assert record.provider == "FakeProvider"
    assert record.recipe == result.recipe.as_dict()
    assert record.recipe["background"] == "white"
    assert record.subject_found is True
    assert list(record.timings_s) == ["decode", "load", "predict", "matte", "cut"]
    assert {"python", "cutout-dashboard", "numpy", "pillow", "onnxruntime"} <= set(record.versions)
    assert record.checksums == {role: hashlib.sha256(store.read(record, role)).hexdigest() for role in FILES}
    assert record.schema == 1


def test_record_on_disk_is_the_record(store, fake_result):
    record = store.save(fake_result(name="Gänseblümchen 🌼.png"))
    text = (store.folder(record) / RECORD).read_text(encoding="utf-8")
    assert json.loads(text) == asdict(record)
    assert "Gänseblümchen 🌼.png" in text  # readable for people


def test_name_of_the_photo_is_never_a_path(store, fake_result):
    record = store.save(fake_result(name="../../evil.png"))
    assert record.files == FILES
    assert os.listdir(store.root) == [record.id]
    assert store.get(record.id, "local").source["name"] == "../../evil.png"


def test_name_of_the_photo_that_is_not_unicode_can_be_stored(store, fake_result):
    name = os.fsdecode(b"caf\xe9.png")  # what a path in an old encoding becomes
    record = store.save(fake_result(name=name))
    assert [listed.id for listed in store.list("local")] == [record.id]


# Record written last


@pytest.mark.parametrize("fails_at", [*FILES.values(), RECORD])
def test_write_that_fails_leaves_nothing(store, fake_result, monkeypatch, fails_at):
    begun = []

    def failing(path, data):
        begun.append(path.name)
        if path.name == fails_at:
            raise StoreError("The disk is full.")
        write_atomically(path, data)

    monkeypatch.setattr(processing.store, "write_atomically", failing)
    with pytest.raises(StoreError, match="disk is full"):
        store.save(fake_result())
    assert begun[-1] == fails_at
    assert store.list("local") == []
    assert os.listdir(store.root) == []


def test_record_is_written_last(store, fake_result, monkeypatch):
    begun = []

    def watched(path, data):
        assert store.list("local") == []
        begun.append(path.name)
        write_atomically(path, data)

    monkeypatch.setattr(processing.store, "write_atomically", watched)
    store.save(fake_result())
    assert begun[-1] == RECORD
    assert len(store.list("local")) == 1


def test_write_that_is_interrupted_leaves_nothing(store, fake_result, monkeypatch):
    def interrupt(path, data):
        if path.name == RECORD:
            raise KeyboardInterrupt
        write_atomically(path, data)

    monkeypatch.setattr(processing.store, "write_atomically", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save(fake_result())
    assert os.listdir(store.root) == []


# Listing and finding


def test_nothing_is_listed_before_the_first_result(store):
    assert store.list("local") == []
    assert not store.root.exists()


def save_several(store, fake_result, count, owner="local"):
    return [store.save(fake_result(), owner=owner).id for _ in range(count)]


def rename(store, saved, stamps):
    """Give stored results other times, as if they had been made then."""
    for old, stamp in zip(saved, stamps, strict=True):
        new = stamp + old[16:]
        folder = (store.root / old).rename(store.root / new)
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        (folder / RECORD).write_text(json.dumps({**values, "id": new}), encoding="utf-8")


def test_results_are_listed_newest_first(store, fake_result):
    stamps = ["20260101T120000Z", "20251231T235959Z", "20260101T120001Z"]
    rename(store, save_several(store, fake_result, 3), stamps)
    assert [record.id[:16] for record in store.list("local")] == sorted(stamps, reverse=True)


def test_results_of_the_same_second_are_listed_newest_first(store, fake_result):
    saved = save_several(store, fake_result, 8)
    assert [record.id for record in store.list("local")] == saved[::-1]


def test_list_is_cut_at_its_limit(store, fake_result):
    save_several(store, fake_result, 3)
    everything = store.list("local")
    assert store.list("local", limit=2) == everything[:2]
    assert store.list("local", limit=9) == everything
    assert store.list("local", limit=0) == []


def test_limit_counts_only_the_owners_results(store, fake_result):
    mine = save_several(store, fake_result, 1, owner="anna")
    save_several(store, fake_result, 2, owner="ben")
    assert [record.id for record in store.list("anna", limit=1)] == mine


def test_owner_sees_and_gets_only_their_own(store, fake_result):
    (mine,), (theirs,) = (save_several(store, fake_result, 1, owner) for owner in ("anna", "ben"))
    assert [record.id for record in store.list("anna")] == [mine]
    assert store.list("nobody") == []
    assert store.get(mine, "anna").id == mine
    with pytest.raises(StoreError, match="There is no result") as refusal:
        store.get(theirs, "anna")
    with pytest.raises(StoreError) as missing:
        store.get("20260101T000000Z-00000000", "anna")
    assert str(refusal.value).replace(theirs, "ID") == str(missing.value).replace("20260101T000000Z-00000000", "ID")


def test_get_gives_what_was_saved(store, fake_result):
    record = store.save(fake_result())
    assert store.get(record.id, "local") == record


@pytest.mark.parametrize(
    "trick", ["../{id}", "{id}/../{id}", "./{id}", "{id}/", "/{id}", "", ".", "..", "{id}\n", "{ID}"]
)
def test_id_that_is_a_path_is_refused(tmp_path, fake_result, trick):
    outside = ArtifactStore(tmp_path)
    record = outside.save(fake_result())
    store = ArtifactStore(tmp_path / "results")
    store.root.mkdir()
    for looked_in in (store, outside):
        with pytest.raises(StoreError, match="There is no result"):
            looked_in.get(trick.format(id=record.id, ID=record.id.upper()), "local")


@pytest.mark.parametrize(
    "damage",
    [b"", b'{"id": "cut o', b"[]", b"null", b'{"id": "1"}', b"\xff\xfe", b'{"surprise": 1}'],
    ids=["empty", "cut off", "list", "null", "incomplete", "not text", "unknown key"],
)
def test_damaged_record_is_left_out_and_logged_but_not_deleted(store, fake_result, caplog, damage):
    broken, whole = save_several(store, fake_result, 2)
    (store.root / broken / RECORD).write_bytes(damage)
    assert [record.id for record in store.list("local")] == [whole]
    assert f"{store.root / broken / RECORD} is not a record" in caplog.text
    assert (store.root / broken / RECORD).read_bytes() == damage
    with pytest.raises(StoreError, match="There is no result"):
        store.get(broken, "local")


def test_record_moved_to_another_folder_is_not_believed(store, fake_result):
    """Its id would lead to another result's files."""
    first, second = save_several(store, fake_result, 2)
    (store.root / first / RECORD).write_bytes((store.root / second / RECORD).read_bytes())
    assert [record.id for record in store.list("local")] == [second]


def test_other_things_in_the_folder_are_passed_over(store, fake_result):
    (saved,) = save_several(store, fake_result, 1)
    (store.root / "README.md").write_text("What this is.")
    (store.root / "notes").mkdir()
    (store.root / "20260101T000000Z-0000000f").mkdir()  # a write under way
    (store.root / "20260101T000000Z-0000000e").touch()
    assert [record.id for record in store.list("local")] == [saved]


def test_file_that_is_gone_gives_a_sentence(store, fake_result):
    record = store.save(fake_result())
    store.path(record, "result").unlink()
    with pytest.raises(StoreError, match=r"result\.png cannot be read: No such file.*Run the photo again"):
        store.read(record, "result")


# A root that cannot be used: the tests may run as root, who may write everywhere, so a file stands in its place


@pytest.fixture(params=["artifacts", "artifacts/inside"])
def blocked(tmp_path, request):
    (tmp_path / "artifacts").write_text("I am a file.")
    return ArtifactStore(tmp_path / request.param)


def test_root_that_cannot_be_written_gives_a_sentence(blocked, fake_result):
    with pytest.raises(StoreError, match=r"cannot be saved in .+artifacts.*: .+\. .*CUTOUT_ARTIFACTS"):
        blocked.save(fake_result())


def test_root_that_cannot_be_listed_gives_a_sentence(blocked):
    with pytest.raises(StoreError, match="CUTOUT_ARTIFACTS"):
        blocked.list("local")


def test_result_in_a_root_that_cannot_be_read_is_not_there(blocked):
    with pytest.raises(StoreError, match="There is no result"):
        blocked.get("20260101T000000Z-00000000", "local")


# Where results go


def test_variable_names_the_folder(artifacts, fake_result):
    store = ArtifactStore()
    assert store.root == artifacts
    store.save(fake_result())
    assert len(os.listdir(artifacts)) == 1


def test_variable_may_begin_with_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CUTOUT_ARTIFACTS", "~/results")
    assert default_root() == tmp_path / "results"


@pytest.mark.parametrize("value", [None, ""])
def test_checkout_has_its_own_folder(monkeypatch, value):
    monkeypatch.delenv("CUTOUT_ARTIFACTS")
    if value is not None:
        monkeypatch.setenv("CUTOUT_ARTIFACTS", value)
    assert default_root() == Path(processing.__file__).parents[1] / "artifacts"


def test_installed_package_uses_the_folder_it_is_run_in(monkeypatch, tmp_path):
    monkeypatch.delenv("CUTOUT_ARTIFACTS")
    monkeypatch.setattr(processing.store, "__file__", str(tmp_path / "site-packages" / "processing" / "store.py"))
    monkeypatch.chdir(tmp_path)
    assert default_root() == tmp_path / "artifacts"


# The cutout again


def transparent():
    picture, _ = ball(40, 60)
    return np.dstack([picture, np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))])


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(ball(40, 60)[0], exif=exif)


def with_profile():
    return file_of(ball(40, 60)[0], icc_profile=rgb_profile("Adobe-like space", ADOBE_PRIMARIES, 2.2))


@pytest.mark.parametrize("photo", [transparent, turned, with_profile])
def test_load_gives_the_result_again(store, fake_result, photo):
    soft = np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(40, 60)
    result = fake_result(photo(), soft, background="white", format="webp")
    loaded = store.load(store.get(store.save(result).id, "local"))
    np.testing.assert_allclose(loaded.alpha, result.alpha, atol=0.5001 / 65535)
    np.testing.assert_array_equal(loaded.source.pixels, result.source.pixels)
    np.testing.assert_array_equal(loaded.pixels[..., :3][result.pixels[..., 3] > 1], visible_colours(result))
    assert np.abs(loaded.pixels[..., 3].astype(int) - result.pixels[..., 3]).max() <= 1
    assert loaded.recipe.as_dict() == result.recipe.as_dict()
    assert (loaded.model, loaded.provider, loaded.subject_found) == (result.model, result.provider, True)
    assert loaded.source.name == "ball.png"


def visible_colours(result):
    return result.pixels[..., :3][result.pixels[..., 3] > 1]


def test_load_gives_the_pixels_of_a_real_result(store):
    result = remove_background(ball()[0])
    np.testing.assert_array_equal(store.load(store.save(result)).pixels, result.pixels)


def test_load_warns_of_nothing_whatever_the_size(store, fake_result, monkeypatch):
    result = fake_result()
    record = store.save(result)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)  # Pillow warns over this; the picture has 2400
    np.testing.assert_array_equal(store.load(record).pixels, result.pixels)


@pytest.mark.parametrize("role", ["source", "alpha"])
def test_load_of_damaged_files_gives_a_sentence(store, fake_result, role):
    record = store.save(fake_result())
    path = store.path(record, role)
    path.write_bytes(path.read_bytes()[:80])
    with pytest.raises((ImageError, StoreError)):
        store.load(record)


def test_load_of_files_that_do_not_belong_together_gives_a_sentence(store, fake_result):
    small, large = store.save(fake_result()), store.save(fake_result(noise(8, 8)))
    store.path(small, "alpha").write_bytes(store.read(large, "alpha"))
    with pytest.raises(StoreError, match="differ in size"):
        store.load(small)


# Whole, deleted, restored


def test_verify_finds_nothing_wrong_with_a_whole_result(store, fake_result):
    assert not store.verify(store.save(fake_result()))


@pytest.mark.parametrize("role", FILES)
def test_verify_finds_each_file_that_is_damaged_or_gone(store, fake_result, role):
    record = store.save(fake_result())
    path = store.path(record, role)
    path.write_bytes(path.read_bytes() + b"!")
    (problem,) = store.verify(record)
    assert problem == f"{record.id}/{FILES[role]} was changed or damaged after it was stored."
    path.unlink()
    (problem,) = store.verify(record)
    assert problem == f"{record.id}/{FILES[role]} is missing or cannot be read."


def test_deleted_result_is_gone_until_it_is_restored(store, fake_result):
    record = store.save(fake_result())
    store.delete(record)
    assert store.list("local") == []
    with pytest.raises(StoreError, match="There is no result"):
        store.get(record.id, "local")
    assert store.restore(record.id, "local") == record
    assert store.list("local") == [record]
    assert not store.verify(record)


def test_deleting_leaves_other_results_alone(store, fake_result):
    deleted, kept = store.save(fake_result()), store.save(fake_result())
    store.delete(deleted)
    assert [record.id for record in store.list("local")] == [kept.id]


def test_result_that_is_gone_cannot_be_deleted(store, fake_result):
    record = store.save(fake_result())
    store.delete(record)
    with pytest.raises(StoreError, match="cannot be deleted"):
        store.delete(record)


@pytest.mark.parametrize(("record_id", "owner"), [(None, "ben"), ("20260101T000000Z-00000000", "anna"), ("..", "anna")])
def test_only_the_owner_restores_what_is_in_the_trash(store, fake_result, record_id, owner):
    record = store.save(fake_result(), owner="anna")
    store.delete(record)
    with pytest.raises(StoreError, match="not in the trash any more"):
        store.restore(record_id or record.id, owner)


def test_trash_is_emptied_of_what_is_old_enough(store, fake_result):
    old, young = store.save(fake_result()), store.save(fake_result())
    store.delete(old)
    store.delete(young)
    two_hours_ago = time.time() - 7200
    os.utime(store.root / ".trash" / old.id, (two_hours_ago, two_hours_ago))
    assert store.empty_trash(timedelta(hours=1)) == 1
    assert os.listdir(store.root / ".trash") == [young.id]
    assert store.empty_trash() == 1
    assert os.listdir(store.root / ".trash") == []


def test_leftovers_of_unfinished_writes_are_removed_and_results_are_not(store, fake_result):
    record = store.save(fake_result())
    leftover = store.root / "20260101T000000Z-0000000f"
    leftover.mkdir()
    (leftover / "source.png").write_bytes(b"half")
    assert store.remove_leftovers() == 0  # young: it may be a write under way
    assert store.remove_leftovers(timedelta(0)) == 1
    assert os.listdir(store.root) == [record.id]


def test_everybodys_results_are_listed_without_an_owner(store, fake_result):
    saved = {store.save(fake_result(), owner=owner).id for owner in ("anna", "ben")}
    assert {record.id for record in store.list(None)} == saved
    assert {store.get(record_id, None).id for record_id in saved} == saved
