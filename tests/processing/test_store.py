"""The artifacts folder."""

import hashlib
import io
import json
import os
import platform
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from images import ADOBE_PRIMARIES, ball, file_of, noise, rgb_profile
from PIL import Image

import processing.store
from processing.errors import Cancelled, ImageError, StoreError
from processing.files import write_atomically
from processing.pipeline import remove_background, run
from processing.recipe import Recipe
from processing.sessions.pool import SessionPool
from processing.store import RECORD, TRASH, ArtifactStore, default_root

FILES = {
    "source": "source.png",
    "alpha": "alpha.png",
    "coarse": "coarse.png",
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
    assert record.model == {
        "name": "compact",
        "weights_sha256": compact.sha256,
        "licence": compact.licence,
        "commercial_use": compact.commercial_use,
        "attribution": compact.attribution,
    }
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


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.75, 0.8])
def test_a_save_that_is_cancelled_leaves_nothing(store, fake_result, share):
    def tick(done):
        if done >= share:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        store.save(fake_result(), tick=tick)
    assert store.list(None) == []
    assert not store.root.exists() or list(store.root.iterdir()) == []


def test_a_save_takes_previews_that_are_there_already(store, fake_result):
    record = store.save(fake_result(), previews=(b"before", b"after"))
    assert (store.read(record, "before"), store.read(record, "preview")) == (b"before", b"after")


def test_get_gives_what_was_saved(store, fake_result):
    record = store.save(fake_result())
    assert store.get(record.id, "local") == record


@pytest.mark.parametrize(
    "trick", ["../{id}", "{id}/../{id}", "./{id}", "{id}/", "/{id}", "", ".", "..", "{id}\n", "{ID}"]
)
def test_id_that_is_a_path_is_refused(tmp_path, fake_result, trick):
    outside = ArtifactStore(tmp_path)
    record = outside.save(fake_result())
    while record.id == record.id.upper():  # one in forty has no letter that could be made large
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


def test_a_transparent_photo_is_shown_and_measured_as_one(store, fake_result):
    """Its own soft transparency holds nothing of a background that a run could leave behind."""
    result = fake_result(transparent(), np.ones((40, 60), np.float32))
    record = store.save(result)
    before = np.asarray(opened(store.read(record, "before")).convert("RGBA"))
    np.testing.assert_allclose(before[..., 3], transparent()[..., 3], atol=4)
    assert record.fringe == 0


def visible_colours(result):
    return result.pixels[..., :3][result.pixels[..., 3] > 1]


def test_load_gives_the_pixels_of_a_real_result(store):
    result = remove_background(ball()[0])
    difference = store.load(store.save(result)).pixels.astype(int) - result.pixels
    # Alpha is stored in 16 bits, so a colour that is estimated from it may round the other way.
    assert np.abs(difference).max() <= 1
    assert (difference != 0).mean() < 1e-4


def test_stored_result_is_finished_anew_without_the_model(store):
    result = remove_background(ball()[0])
    loaded = store.load(store.save(result))
    assert loaded.coarse is not None
    np.testing.assert_allclose(np.asarray(loaded.coarse), np.asarray(result.coarse), atol=1 / 65535)

    def unused(spec, provider):
        pytest.fail("the model was loaded")

    recipe = Recipe(refine="none", shift_edge=3.0)
    again = run(result.source.data, recipe, previous=loaded, pool=SessionPool(unused))
    fresh = run(result.source.data, recipe)
    np.testing.assert_allclose(again.alpha, fresh.alpha, atol=2 / 65535)
    assert again.alpha.sum() > result.alpha.sum()
    assert list(again.timings_s) == ["matte", "cut"]


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


# The trash


def age(folder, hours):
    then = time.time() - 3600 * hours
    os.utime(folder, (then, then))


def test_time_in_the_trash_counts_from_the_deletion(store, fake_result):
    record = store.save(fake_result())
    age(store.folder(record), hours=1000)
    store.delete(record)
    assert store.empty_trash(timedelta(hours=1)) == 0
    assert store.restore(record.id, "local") == record


def test_deleting_empties_the_trash_of_what_is_older_than_an_hour(store, fake_result):
    old, young, deleted = (store.save(fake_result()) for _ in range(3))
    store.delete(old)
    store.delete(young)
    age(store.root / TRASH / old.id, hours=1.1)
    age(store.root / TRASH / young.id, hours=0.9)
    store.delete(deleted)
    assert set(os.listdir(store.root / TRASH)) == {young.id, deleted.id}


def test_trash_that_is_not_there_is_empty(store, fake_result):
    assert (store.empty_trash(), store.remove_leftovers()) == (0, 0)
    assert not store.root.exists()


@pytest.mark.parametrize(
    "trick", ["../{id}", "{id}/../{id}", "./{id}", "{id}/", ".trash/{id}", "../.trash/{id}", "", ".", "..", "{id}\n"]
)
@pytest.mark.parametrize("owner", ["local", None])
def test_id_that_is_a_path_is_not_restored(store, fake_result, trick, owner):
    deleted, kept = store.save(fake_result()), store.save(fake_result())
    store.delete(deleted)
    for record in (deleted, kept):
        with pytest.raises(StoreError, match=r"not in the trash any more\. Run the photo again"):
            store.restore(trick.format(id=record.id), owner)
    assert store.list(None) == [kept]
    assert os.listdir(store.root / TRASH) == [deleted.id]


def test_what_somebody_else_deleted_stays_in_the_trash(store, fake_result):
    record = store.save(fake_result(), owner="anna")
    store.delete(record)
    with pytest.raises(StoreError):
        store.restore(record.id, "ben")
    assert store.restore(record.id, None) == record  # the command line sees everybody's
    with pytest.raises(StoreError, match="not in the trash any more"):
        store.restore(record.id, "anna")
    assert store.list("anna") == [record]


def test_leftover_in_the_trash_is_not_restored(store, fake_result):
    record = store.save(fake_result())
    store.delete(record)
    (store.root / TRASH / record.id / RECORD).unlink()  # `empty_trash` was killed in the middle
    with pytest.raises(StoreError, match="not in the trash any more"):
        store.restore(record.id, None)
    assert store.empty_trash() == 1


def test_another_process_sees_what_was_deleted_and_restored(store, fake_result):
    other = ArtifactStore(store.root)
    record = store.save(fake_result())
    assert other.list(None) == [record]  # it has read the record by now
    store.delete(record)
    assert other.list(None) == []
    with pytest.raises(StoreError, match="There is no result"):
        other.get(record.id, None)
    store.restore(record.id, None)
    assert other.list(None) == [record]
    assert other.get(record.id, None) == record


@pytest.mark.parametrize("where", ["trash", "leftovers"])
def test_two_processes_that_tidy_up_at_once_do_not_fail(store, fake_result, monkeypatch, where):
    """What the other one removes between the look at the folder and the look at its age is passed over."""
    parent = store.root / TRASH if where == "trash" else store.root
    for number in range(3):
        (parent / f"20260101T000000Z-0000000{number}").mkdir(parents=True)

    def remove_all(folder, **options):
        for name in os.listdir(parent):
            (parent / name).rmdir()

    monkeypatch.setattr(processing.store.shutil, "rmtree", remove_all)
    tidy_up = store.empty_trash if where == "trash" else store.remove_leftovers
    assert tidy_up(timedelta(0)) == 1
    assert os.listdir(parent) == []


def test_what_cannot_be_removed_is_not_counted_but_logged(store, monkeypatch, caplog):
    folder = store.root / TRASH / "20260101T000000Z-00000000"
    folder.mkdir(parents=True)
    monkeypatch.setattr(processing.store.shutil, "rmtree", lambda folder, **options: None)
    assert store.empty_trash() == 0
    assert f"{folder} cannot be deleted" in caplog.text


def test_damaged_record_is_named_and_a_write_under_way_is_not(store, fake_result):
    broken, whole = (store.save(fake_result()) for _ in range(2))
    (store.folder(broken) / RECORD).write_text('{"id": "cut o', encoding="utf-8")
    (store.root / "20260101T000000Z-0000000f").mkdir()
    assert store.list(None) == [whole]
    (problem,) = store.damaged_records()
    assert problem.startswith(f"{broken.id}/record.json was changed or damaged")


# A real run


def test_record_of_a_real_run_says_what_is_on_disk_and_in_use(store, compact):
    data = file_of(ball()[0])
    result = remove_background(data, background="white")
    store.save(result, owner="anna")
    (record,) = ArtifactStore(store.root).list("anna")
    assert record.owner == "anna"
    assert record.source["sha256"] == hashlib.sha256(data).hexdigest()
    assert record.model["name"] == "compact"
    assert record.model["weights_sha256"] == hashlib.sha256(compact.weights.read_bytes()).hexdigest()
    assert record.provider == result.provider
    assert record.provider in onnxruntime.get_available_providers()
    assert record.recipe == {**Recipe().as_dict(), "background": "white"}
    assert record.versions.pop("python") == platform.python_version()
    assert record.versions == {name: version(name) for name in record.versions}
    assert {"cutout-dashboard", "numpy", "pillow", "onnxruntime"} <= set(record.versions)
    assert all(seconds >= 0 for seconds in record.timings_s.values())
    assert record.timings_s["predict"] > 0
    assert set(record.files) == set(record.checksums) == set(FILES)
    for role, name in record.files.items():
        on_disk = (store.root / record.id / name).read_bytes()
        assert record.checksums[role] == hashlib.sha256(on_disk).hexdigest()
    assert store.read(record, "source") == data


# Many results


@pytest.fixture
def many(store, fake_result):
    """Store 5,000 records without files: anna's are every tenth, carl's the twelve oldest, and the rest ben's."""
    record = asdict(store.save(fake_result()))
    (store.root / record["id"]).rename(store.root / "not a result")
    for number in range(5000):
        owner = "carl" if number < 12 else "anna" if number % 10 == 0 else "ben"
        record_id = f"{datetime(2026, 1, 1) + timedelta(minutes=number):%Y%m%dT%H%M%SZ}-{number:08x}"
        (store.root / record_id).mkdir()
        text = json.dumps({**record, "id": record_id, "owner": owner})
        (store.root / record_id / RECORD).write_text(text, encoding="utf-8")
    return store


@pytest.fixture
def reads(monkeypatch):
    """Return the names of the folders whose records are read, as they are."""
    names = []
    parse = processing.store.read_record

    def watched(folder):
        names.append(folder.name)
        return parse(folder)

    monkeypatch.setattr(processing.store, "read_record", watched)
    return names


def numbers(records):
    return [int(record.id[-8:], 16) for record in records]


def test_each_of_many_records_is_read_once(many, reads):
    assert numbers(many.list(None)) == list(range(4999, -1, -1))
    assert len(reads) == len(set(reads)) == 5000
    reads.clear()
    assert numbers(many.list("anna", limit=12)) == list(range(4990, 4870, -10))
    assert numbers(many.list("carl", limit=12)) == list(range(11, -1, -1))
    assert len(many.list(None)) == 5000
    assert reads == []
    newest = numbers(many.list(None, limit=1))
    many.delete(many.list(None, limit=1)[0])
    assert numbers(many.list(None, limit=1)) == [newest[0] - 1]
    assert reads == []


def test_listing_an_owners_newest_reads_no_further_than_the_last_of_them(many, reads):
    assert numbers(many.list("anna", limit=12)) == list(range(4990, 4870, -10))
    assert [int(name[-8:], 16) for name in reads] == list(range(4999, 4879, -1))
    assert numbers(many.list("carl", limit=12)) == list(range(11, -1, -1))
    assert len(reads) == len(set(reads)) == 5000


# Two threads


def test_umask_survives_threads_that_write_at_the_same_time(tmp_path, monkeypatch):
    """It can be read only by setting it; a thread in between would take the other one's value for the real one."""
    real = os.umask

    def slow(mask):
        before = real(mask)
        time.sleep(0.001)
        return before

    before = real(0o077)
    try:
        monkeypatch.setattr(os, "umask", slow)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: write_atomically(tmp_path / f"{number}.bin", b""), range(40)))
        assert real(0o077) == 0o077
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.bin")} == {0o600}
    finally:
        real(before)
