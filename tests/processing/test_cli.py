"""The command line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from images import SAMPLES, ball, file_of
from PIL import Image

from processing.cli import main
from processing.encoders import ENCODERS
from processing.errors import ModelError
from processing.pipeline import remove_background
from processing.recipe import Recipe
from processing.store import ArtifactStore


def command(*arguments, **options):
    """Run the command line in a process of its own, as people do."""
    words = [sys.executable, "-m", "processing", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def plain_file(tmp_path):
    """Write a picture without a subject and return its path."""
    path = tmp_path / "plain.png"
    path.write_bytes(file_of(np.full((40, 60, 3), 128, np.uint8)))
    return path


def call(*arguments):
    return main([str(argument) for argument in arguments])


# In a process of its own


def test_command_writes_the_cutout_beside_the_photo(tmp_path, artifacts):
    photo = tmp_path / "cat.jpg"
    photo.write_bytes(next(path for path in SAMPLES if path.stem == "cat").read_bytes())
    done = command("remove", photo, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    output = tmp_path / "cat-cutout.png"
    assert done.stdout.startswith(f"{output}  451 x 300, ")
    with Image.open(output) as image:
        np.testing.assert_array_equal(np.asarray(image), remove_background(photo).pixels)
    assert sorted(os.listdir(tmp_path)) == ["cat-cutout.png", "cat.jpg"]  # and nothing in the artifacts folder


def test_command_fails_with_one_sentence_on_standard_error(tmp_path):
    (tmp_path / "diary.jpg").write_text("Dear diary, today I was a photo.")
    done = command("remove", "diary.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: diary.jpg is not a photo that can be read. PNG, JPEG, ")
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["diary.jpg"]


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "remov",
        "remove",
        "remove a.jpg --model u2nte",
        "remove a.jpg --format gif",
        "remove a.jpg b.png c.png",
        "--x",
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        call(*arguments.split())
    assert stop.value.code == 2
    assert "usage: python -m processing" in capsys.readouterr().err


# remove


@pytest.mark.parametrize(
    ("suffix", "format"), [(".png", "PNG"), (".webp", "WEBP"), (".jpg", "JPEG"), (".jpeg", "JPEG"), (".WebP", "WEBP")]
)
def test_suffix_of_the_output_gives_the_format(ball_file, tmp_path, suffix, format):
    output = tmp_path / f"out{suffix}"
    assert call("remove", ball_file, output, "--background", "white") == 0
    with Image.open(output) as image:
        assert (image.format, image.size) == (format, (320, 240))


def test_format_option_gives_the_suffix_of_the_default_output(ball_file, tmp_path):
    assert call("remove", ball_file, "--format", "webp") == 0
    with Image.open(tmp_path / "ball-cutout.webp") as image:
        assert image.format == "WEBP"


def test_format_option_wins_over_the_suffix(ball_file, tmp_path):
    assert call("remove", ball_file, tmp_path / "out.png", "--format", "webp") == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "WEBP"


def test_output_without_a_suffix_is_a_png_of_that_name(ball_file, tmp_path):
    assert call("remove", ball_file, tmp_path / "out") == 0
    with Image.open(tmp_path / "out") as image:
        assert image.format == "PNG"


def test_earlier_cutout_is_replaced(ball_file, tmp_path):
    (tmp_path / "ball-cutout.png").write_bytes(b"old")
    assert call("remove", ball_file) == 0
    assert (tmp_path / "ball-cutout.png").read_bytes().startswith(b"\x89PNG")


def test_background_option_fills_the_cutout(ball_file, tmp_path):
    assert call("remove", ball_file, "--background", "#ff0080") == 0
    with Image.open(tmp_path / "ball-cutout.png") as image:
        assert image.mode == "RGB"
        assert image.getpixel((0, 0)) == (255, 0, 128)


def test_json_of_remove_says_what_was_done(ball_file, tmp_path, capsys):
    assert call("remove", ball_file, "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    output = tmp_path / "ball-cutout.png"
    timings = report.pop("timings_s")
    provider = report.pop("provider")
    assert report == {
        "output": str(output),
        "artifact": None,
        "height": 240,
        "width": 320,
        "size_bytes": output.stat().st_size,
        "subject_found": True,
        "remark": "",
        "model": "compact",
    }
    assert list(timings) == ["decode", "load", "predict", "matte", "cut"]
    assert provider.endswith("ExecutionProvider")
    assert printed.err == ""


def test_keep_stores_the_result_too(ball_file, artifacts, capsys):
    assert call("remove", ball_file, "--keep", "--json") == 0
    (record,) = ArtifactStore().list("local")
    assert json.loads(capsys.readouterr().out)["artifact"] == str(artifacts / record.id)
    assert record.source["name"] == "ball.png"


def test_keep_says_where(ball_file, artifacts, capsys):
    assert call("remove", ball_file, "--keep") == 0
    assert f"kept in {artifacts}{os.sep}" in capsys.readouterr().out


def test_nothing_is_kept_unless_asked_for(ball_file, artifacts):
    assert call("remove", ball_file) == 0
    assert not artifacts.exists()


@pytest.mark.parametrize("as_json", [False, True])
def test_photo_without_a_subject_is_exit_code_3_and_an_empty_cutout(plain_file, tmp_path, capsys, as_json):
    assert call("remove", plain_file, *["--json"] * as_json) == 3
    printed = capsys.readouterr()
    assert "No clear subject was found in plain.png" in printed.err
    if as_json:
        assert json.loads(printed.out)["subject_found"] is False
    with Image.open(tmp_path / "plain-cutout.png") as image:
        assert image.getextrema() == ((0, 0),) * 4


@pytest.mark.parametrize("output", ["ball.png", "./ball.png", "folder/../ball.png", "link.png"])
def test_photo_is_never_overwritten(ball_file, tmp_path, monkeypatch, capsys, output):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.png").symlink_to(ball_file)
    before = ball_file.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert call("remove", "ball.png", output) == 1
    assert "is the photo itself and would be overwritten. Give another output path" in capsys.readouterr().err
    assert ball_file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.png"], "gone.png cannot be read: No such file or directory. Give the path of a photo."),
        (["."], "cannot be read: Is a directory"),
        (["ball.png", "missing/out.png"], "The folder missing does not exist. Make it first"),
        (["ball.png", "out.gif"], "Unknown output format '.gif'. Known: png, webp, "),
        (["ball.png", "out.jpg"], "JPEG cannot store a transparent background."),
        (["ball.png", "--format", "jpeg"], "JPEG cannot store a transparent background."),
        (["ball.png", "--background", "nice"], "Unknown background 'nice'."),
        (["ball.png", "folder"], "folder cannot be written: Is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("as_json", [False, True])
def test_failure_is_exit_code_1_and_a_sentence(ball_file, tmp_path, monkeypatch, capsys, arguments, sentence, as_json):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("remove", *arguments, *["--json"] * as_json) == 1
    printed = capsys.readouterr()
    if as_json:
        report = json.loads(printed.out)
        assert sentence in report["error"]
        assert report["kind"].endswith("Error")
        assert printed.err == ""
    else:
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert sentence in printed.err
    assert sorted(os.listdir(tmp_path)) == ["ball.png", "folder"]


def test_artifacts_folder_that_cannot_be_written_is_exit_code_1(ball_file, artifacts, capsys):
    artifacts.write_text("I am a file.")
    assert call("remove", ball_file, "--keep") == 1
    assert "CUTOUT_ARTIFACTS" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["remove", "doctor"])
def test_limit_in_the_environment_that_is_no_number_is_exit_code_1(ball_file, monkeypatch, capsys, verb):
    monkeypatch.setenv("CUTOUT_MAX_MEGAPIXELS", "many")
    assert call(verb, *[ball_file] * (verb == "remove")) == 1
    printed = capsys.readouterr()
    assert "CUTOUT_MAX_MEGAPIXELS is 'many'. Give a positive number" in printed.out + printed.err


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "many"])
@pytest.mark.parametrize("flag", ["--max-megabytes", "--max-megapixels"])
def test_limit_that_is_no_positive_number_is_refused(ball_file, capsys, flag, value):
    with pytest.raises(SystemExit) as stop:
        call("remove", ball_file, flag, value)
    assert stop.value.code == 2
    assert f"argument {flag}" in capsys.readouterr().err


def test_limits_are_followed(ball_file, capsys):
    assert call("remove", ball_file, "--max-megapixels", "0.07") == 1
    assert "ball.png is 320 x 240 pixels (0 megapixels); at most 0.07 megapixels" in capsys.readouterr().err


def test_interrupt_is_exit_code_130(ball_file, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("processing.cli.remove.run", interrupt)
    assert call("remove", ball_file) == 130


# Flags


def test_flags_are_the_options_of_a_recipe(capsys):
    with pytest.raises(SystemExit) as stop:
        call("remove", "--help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in Recipe.option_names():
        assert f"--{name.replace('_', '-')}" in text
        assert Recipe.param[name].doc in text
    assert f"--format {{{','.join(ENCODERS)}}}" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", "compact"), ("format", "webp"), ("background", "black"), ("quality", 40), ("long_side", 99)],
)
def test_flag_reaches_the_recipe(ball_file, name, value):
    assert call("remove", ball_file, "--keep", f"--{name.replace('_', '-')}", value) == 0
    (record,) = ArtifactStore().list("local")
    assert record.recipe == {**Recipe().as_dict(), name: value}


@pytest.mark.parametrize("name", ["lossless", "keep_metadata", "keep_location"])
def test_flag_turns_an_option_on(ball_file, name):
    assert call("remove", ball_file, "--keep", f"--{name.replace('_', '-')}") == 0
    (record,) = ArtifactStore().list("local")
    assert record.recipe == {**Recipe().as_dict(), name: True}


@pytest.mark.parametrize("arguments", ["--quality 0", "--quality 101", "--long-side -1"])
def test_number_out_of_bounds_is_exit_code_1(ball_file, capsys, arguments):
    assert call("remove", ball_file, *arguments.split()) == 1
    assert capsys.readouterr().err.startswith("error: ")


# doctor


def test_doctor_finds_this_environment_whole(capsys):
    assert call("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert any(line.startswith("ok    model compact: weights whole, runs on ") for line in lines)


def test_json_of_doctor_lists_the_checks(capsys):
    assert call("doctor", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"Python", "onnxruntime", "rembg", "providers", "model compact", "artifacts folder"} <= {
        check["subject"] for check in report["checks"]
    }
    assert all(set(check) == {"subject", "ok", "finding", "advice"} for check in report["checks"])


@pytest.mark.parametrize("as_json", [False, True])
def test_doctor_that_finds_something_is_exit_code_1(monkeypatch, artifacts, capsys, as_json):
    def fail(spec):
        raise ModelError("The weights of 'compact' are damaged. Restore the file.")

    monkeypatch.setattr("processing.doctor.open_session", fail)
    artifacts.write_text("I am a file.")
    assert call("doctor", *["--json"] * as_json) == 1
    printed = capsys.readouterr().out
    if as_json:
        report = json.loads(printed)
        assert report["ok"] is False
        failed = [check["subject"] for check in report["checks"] if not check["ok"]]
        assert failed == ["model compact", "artifacts folder"]
    else:
        assert "FAIL  model compact: The weights of 'compact' are damaged. Restore the file.\n" in printed
        assert f"FAIL  artifacts folder: {artifacts} cannot be written: Not a directory\n" in printed
        assert "      Name another folder in CUTOUT_ARTIFACTS.\n" in printed


def test_output_is_the_file_that_the_library_would_save(ball_file, tmp_path):
    """Two ways to the same file: the command line and `Result.save`."""
    assert call("remove", ball_file, tmp_path / "out.png") == 0
    remove_background(ball()[0]).save(tmp_path / "saved.png")
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "saved.png").read_bytes()


def test_reported_size_is_that_of_the_written_file(ball_file, tmp_path, capsys):
    output = tmp_path / "small.png"
    assert call("remove", ball_file, output, "--long-side", "20", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    with Image.open(output) as image:
        assert (report["width"], report["height"]) == image.size
        assert max(image.size) == 20
    assert call("remove", ball_file, output, "--long-side", "20") == 0
    assert (
        f"{report['width']} x {report['height']}, {max(1, round(output.stat().st_size / 1e3))} kB"
        in capsys.readouterr().out
    )
