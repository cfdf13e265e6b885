"""`python -m processing batch`."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest
from images import ball, file_of
from PIL import Image

from processing.batch import BatchProgress
from processing.cli import main
from processing.cli.progress import ProgressBar, clock, text
from processing.recipe import Recipe

PHOTO = file_of(ball(60, 80)[0])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Write two photos and another file, go to their parent, and return the output folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "photos" / "ball.png").write_bytes(PHOTO)
    (tmp_path / "photos" / "sub" / "ball.png").write_bytes(PHOTO)
    (tmp_path / "photos" / "notes.txt").touch()
    return tmp_path / "cutouts"


def call(*arguments):
    return main(["batch", *map(str, arguments)])


def test_command_cuts_out_a_folder_in_processes_of_its_own(photos):
    words = [sys.executable, "-m", "processing", "batch", "photos", "cutouts", "--workers", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{photos}: 2 made, 1 other file left alone; ")
    assert done.stdout.endswith(" images per second\n")
    assert sorted(os.listdir(photos)) == ["ball.png", "cutout-batch.jsonl", "sub"]
    again = subprocess.run([*words, "--json"], capture_output=True, text=True, timeout=120)
    assert (again.returncode, json.loads(again.stdout)["skipped"]) == (0, 2)


def test_json_is_one_object_with_counts_failures_and_speed(photos, capsys):
    (photos.parent / "photos" / "broken.jpg").write_bytes(b"Dear diary")
    assert call("photos", "cutouts", "--workers", 1, "--json") == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert printed.err == ""
    assert report.pop("seconds") > 0
    assert report.pop("images_per_s") > 0
    (failure,) = report.pop("failures")
    assert failure["input"] == "broken.jpg"
    assert "broken.jpg is not a photo that can be read" in failure["reason"]
    assert report == {
        "input": str(photos.parent / "photos"),
        "output": str(photos),
        "total": 3,
        "made": 2,
        "skipped": 0,
        "failed": 1,
        "left": 0,
        "no_subject": 0,
        "without_subject": [],
        "other_files": 1,
        "linked_folders": [],
        "interrupted": False,
        "backend": "threads",
        "workers": 1,
    }


def test_failures_are_told_at_the_end_and_in_the_exit_code(photos, capsys):
    (photos.parent / "photos" / "broken.jpg").write_bytes(PHOTO[:500])
    photos.mkdir()
    (photos / "ball.png").touch()
    assert call("photos", "cutouts", "--workers", 1) == 1
    printed = capsys.readouterr()
    assert f"{photos}: 1 made, 2 failed, 1 other file left alone; " in printed.out
    lines = printed.err.splitlines()
    assert len(lines) == 2
    assert any(line.startswith("failed: broken.jpg: broken.jpg is broken or cut off") for line in lines)
    assert any("ball.png exists already and was not made by this command; --overwrite" in line for line in lines)
    assert call("photos", "cutouts", "--workers", 1, "--overwrite") == 1  # the broken one
    assert "1 made, 1 there already, 1 failed" in capsys.readouterr().out


def test_photo_without_a_subject_is_told_and_no_failure(photos, capsys):
    (photos.parent / "photos" / "plain.png").write_bytes(file_of(Image.new("RGB", (40, 30), "grey")))
    assert call("photos", "cutouts", "--workers", 1) == 0
    printed = capsys.readouterr()
    assert "3 made, 1 without a clear subject" in printed.out
    assert printed.err == "no clear subject: plain.png\n"


def test_long_list_of_failures_is_cut(photos, capsys):
    for number in range(60):
        (photos.parent / "photos" / f"{number}.jpg").touch()
    assert call("photos", "cutouts", "--workers", 1) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "failed: and 10 more; --json lists them all"


def test_options_of_a_recipe_and_limits_are_those_of_remove(photos, capsys):
    arguments = ["--workers", 1, "--format", "webp", "--background", "white", "--long-side", 20]
    assert call("photos", "cutouts", *arguments) == 0
    with Image.open(photos / "sub" / "ball.webp") as image:
        assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (20, 15))
    assert call("photos", "small", "--workers", 1, "--max-megapixels", "0.001") == 1
    assert "at most 0.001 megapixels are allowed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("--help")
    helped = capsys.readouterr().out
    for name in Recipe.option_names():
        assert f"--{name.replace('_', '-')}" in helped


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone", "cutouts"], "The input folder {here}/gone does not exist."),
        (["photos/ball.png", "cutouts"], "is a file, not a folder. For one photo run: python -m processing remove "),
        (["empty", "cutouts"], "There are no photos in {here}/empty"),
        (["photos", "photos"], "are the same or one lies inside the other"),
        (["photos", "photos/cutouts"], "are the same or one lies inside the other"),
        (["photos/sub", "photos"], "are the same or one lies inside the other"),
        (["photos", "photos/notes.txt"], "is a file. Give the path of a folder"),
        (["photos", "file/cutouts"], "cannot be written (cutout-batch.jsonl): Not a directory"),
        (["photos", "cutouts", "--workers", "0"], "The number of workers is 0. Give 1 or more"),
        (["photos", "cutouts", "--format", "jpeg"], "JPEG cannot store a transparent background"),
        (["photos", "cutouts", "--quality", "0"], "quality"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_use_is_exit_code_1_and_a_sentence(photos, tmp_path, capsys, arguments, sentence, as_json):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert call(*arguments, *["--json"] * as_json) == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out)["error"] if as_json else printed.err
    assert sentence.format(here=tmp_path) in told
    assert (printed.err == "") == as_json
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_that_may_not_be_written_gives_a_sentence(photos, monkeypatch, capsys):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")  # root, who may run the tests, may write everywhere

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert call("photos", "cutouts") == 1
    assert f"The output folder {photos} cannot be written (cutout-batch.jsonl): Permission denied. Check" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("words", ["", "photos", "photos a b", "photos a --workers many", "photos a --format gif"])
def test_wrong_usage_is_exit_code_2(photos, capsys, words):
    with pytest.raises(SystemExit) as stop:
        call(*words.split())
    assert stop.value.code == 2
    assert "usage: python -m processing" in capsys.readouterr().err


def test_handlers_of_signals_are_put_back(photos):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert call("photos", "cutouts", "--workers", 1) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# The bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(made, seconds=10.0, failed=0):
    return BatchProgress(total=40, skipped=0, made=made, failed=failed, seconds=seconds)


def test_bar_shows_speed_and_time_left(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    bar = ProgressBar(stream)
    bar(progress(20, failed=2))
    bar.close()
    shown = "[#############-----------] 22 of 40, 2 failed, 2.0 images per second, 0:09 left"
    assert stream.getvalue() == "\r" + shown.ljust(99) + "\n"


def test_bar_fits_a_narrow_terminal_and_covers_what_it_drew_before(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stream = Terminal()
    bar = ProgressBar(stream)
    bar(progress(20))
    bar(progress(40))  # the end is drawn, however soon it comes
    bar.close()
    drawn = stream.getvalue().rstrip("\n").split("\r")[1:]
    assert [len(each) for each in drawn] == [29, 29]


def test_bar_is_drawn_at_least_twice_a_second_and_not_at_each_call(monkeypatch):
    now = 100.0
    monkeypatch.setattr("processing.cli.progress.time.monotonic", lambda: now)
    stream = Terminal()
    bar = ProgressBar(stream)
    for _ in range(100):
        now += 0.1
        bar(progress(1))
    assert 20 <= stream.getvalue().count("\r") <= 50


def test_line_every_ten_seconds_where_there_is_no_terminal(monkeypatch):
    now = 100.0
    monkeypatch.setattr("processing.cli.progress.time.monotonic", lambda: now)
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for _ in range(350):
        now += 0.1
        bar(progress(4))
    bar(progress(40))
    bar(progress(40))
    bar.close()
    assert stream.getvalue() == (
        "4 of 40, 0.4 images per second, 1:30 left\n" * 3 + "40 of 40, 4.0 images per second, 0:00 left\n"
    )


def test_nothing_is_said_of_speed_before_there_is_anything_to_go_by():
    assert text(progress(0)) == "0 of 40"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (9.4, "0:09"), (61, "1:01"), (7209, "2:00:09")])
def test_clock(seconds, shown):
    assert clock(seconds) == shown
