"""What was made in an output folder, of what, and how."""

import json
import os
from dataclasses import replace

import pytest

from processing.batch.journal import JOURNAL, Entry, Journal, Origin, State
from processing.errors import StoreError
from processing.recipe import Recipe

ORIGIN = Origin("a.jpg", 100, 1_700_000_000_000_000_001, Recipe().as_dict(), "compact", "ab" * 32)
ENTRY = Entry(ORIGIN, "a.png", 5, True, 0.25)


@pytest.fixture
def made(tmp_path):
    """Return a folder with an output of 5 bytes and the journal of it."""
    folder = tmp_path / "out"
    with Journal(folder) as journal:
        journal.begin("a.png")
        journal.finish(ENTRY)
    (folder / "a.png").write_bytes(b"12345")
    return folder


def state(folder, wanted=ORIGIN, output="a.png"):
    with Journal(folder) as journal:
        return journal.state_of(output, wanted)


def test_line_of_a_finished_photo_has_all_that_made_it(made):
    begun, finished = map(json.loads, (made / JOURNAL).read_text("ascii").splitlines())
    assert begun == {"begun": "a.png"}
    assert finished == {
        "input": "a.jpg",
        "input_size_bytes": 100,
        "input_mtime_ns": 1_700_000_000_000_000_001,
        "recipe": Recipe().as_dict(),
        "model": "compact",
        "weights_sha256": "ab" * 32,
        "output": "a.png",
        "output_size_bytes": 5,
        "subject_found": True,
        "seconds": 0.25,
    }


def test_output_of_the_same_origin_is_done(made):
    assert state(made) is State.DONE


@pytest.mark.parametrize(
    "change",
    [
        {"input": "b.jpg"},
        {"input_size_bytes": 101},
        {"input_mtime_ns": 1_700_000_000_000_000_000},
        {"recipe": Recipe(quality=80).as_dict()},
        {"model": "other"},
        {"weights_sha256": "cd" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
def test_output_of_another_origin_is_ours_and_made_again(made, change):
    assert state(made, replace(ORIGIN, **change)) is State.OURS


def test_output_of_a_photo_that_cannot_be_found_is_ours(made):
    assert state(made, None) is State.OURS


def test_output_that_is_gone_is_missing(made):
    (made / "a.png").unlink()
    assert state(made) is State.MISSING


def test_output_of_another_size_is_somebody_elses(made):
    (made / "a.png").write_bytes(b"retouched by hand")
    assert state(made) is State.FOREIGN


def test_file_that_the_journal_does_not_name_is_somebody_elses(made):
    (made / "b.png").touch()
    assert state(made, output="b.png") is State.FOREIGN


def test_file_written_just_before_a_kill_is_ours(made):
    with Journal(made) as journal:
        journal.begin("b.png")
    (made / "b.png").write_bytes(b"whole")
    assert state(made, output="b.png") is State.OURS


def test_file_at_the_place_of_a_failed_output_is_somebody_elses(made):
    with Journal(made) as journal:
        journal.begin("b.png")
        journal.fail("b.png", "It is broken.")
    (made / "b.png").write_bytes(b"painted by hand")
    assert state(made, output="b.png") is State.FOREIGN


def test_last_line_about_an_output_counts(made):
    with Journal(made) as journal:
        journal.finish(replace(ENTRY, origin=replace(ORIGIN, model="other"), output_size_bytes=6))
    (made / "a.png").write_bytes(b"123456")
    assert state(made) is State.OURS
    assert state(made, replace(ORIGIN, model="other")) is State.DONE


def test_link_at_the_place_of_an_output_is_somebody_elses(made):
    (made / "a.png").rename(made / "other.png")
    (made / "a.png").symlink_to(made / "other.png")
    assert state(made) is State.FOREIGN


@pytest.mark.parametrize("cut", range(1, 400, 23))
def test_torn_last_line_is_ignored_and_the_next_one_is_whole(made, cut):
    whole = (made / JOURNAL).read_bytes()
    (made / JOURNAL).write_bytes(whole + whole.splitlines(keepends=True)[-1][:-1][:cut])
    assert state(made) is State.DONE
    with Journal(made) as journal:
        journal.begin("b.png")
        journal.finish(replace(ENTRY, output="b.png"))
    (made / "b.png").write_bytes(b"12345")
    assert state(made, output="b.png") is State.DONE


@pytest.mark.parametrize(
    "line", ["", "[1, 2]", "7", "null", '"begun"', "{}", '{"begun": []}', '{"input": 1}', "\0" * 9]
)
def test_line_that_is_none_of_ours_is_ignored(made, line):
    text = (made / JOURNAL).read_text("ascii")
    (made / JOURNAL).write_text(line + "\n" + text)
    assert state(made) is State.DONE


def test_names_that_are_no_text_survive(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    with Journal(tmp_path) as journal:
        journal.finish(replace(ENTRY, output=name))
    (tmp_path / name).write_bytes(b"12345")
    assert state(tmp_path, output=name) is State.DONE


def test_second_run_in_the_same_folder_is_refused(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no locks of this kind")
    with Journal(tmp_path), pytest.raises(StoreError, match=r"Another run is writing to .* at this moment"):
        Journal(tmp_path)
    Journal(tmp_path).__exit__(None, None, None)


def test_journal_that_is_a_link_is_refused(tmp_path):
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"photo")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).symlink_to(photo)
    with pytest.raises(StoreError, match=r"is a link to .*photo\.jpg, which would be written to"):
        Journal(tmp_path / "out")
    assert photo.read_bytes() == b"photo"


@pytest.mark.parametrize("folder", ["file", "file/out"])
def test_folder_that_cannot_be_made_gives_a_sentence(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(
        StoreError, match=r"The output folder .* cannot be written \(cutout-batch\.jsonl\): .*Check that"
    ):
        Journal(tmp_path / folder)


def test_full_disk_gives_a_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with Journal(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(
            StoreError, match=r"No space left on device\. Check that you may write there and that the d"
        ):
            journal.begin("a.png")
