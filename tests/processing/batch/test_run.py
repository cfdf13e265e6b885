"""A whole batch."""

import json
import logging
import os
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest
from images import SAMPLES, png_claiming
from PIL import Image

from processing.batch import Failure, make_plan, run_batch
from processing.batch.executors import BACKENDS
from processing.batch.run import _DIED
from processing.cancellation import CancelToken
from processing.errors import EncodingError, ModelError, RecipeError, StoreError
from processing.images import DecodeLimits
from processing.models import find_model
from processing.pipeline import remove_background
from processing.recipe import Recipe


def counts(report):
    return report.made, report.skipped, len(report.failures), report.left


def reasons(report):
    return {failure.input: failure.reason for failure in report.failures}


# Outputs


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_every_photo_gets_a_cutout_and_none_is_changed(folders, model, backend):
    folders.add("a.jpg", "sub/a.png", "sub/deep/b.webp", "c.jpg", "c.png")
    before = folders.contents(folders.input)
    report = folders.run(backend=backend)
    assert counts(report) == (5, 0, 0, 0)
    assert folders.outputs() == ["a.png", "c.jpg.png", "c.png.png", "sub/a.png", "sub/deep/b.png"]
    for name in folders.outputs():
        with Image.open(folders.output / name) as image:
            assert (image.mode, image.size) == ("RGBA", (32, 24))
    assert folders.contents(folders.input) == before


@pytest.mark.parametrize(("backend", "workers"), [("processes", 2), ("threads", 1)])
def test_cutouts_are_those_of_the_library(folders, backend, workers):
    """The real model, in real processes: the number of threads must not change the result."""
    for sample in SAMPLES[:2]:
        (folders.input / sample.name).write_bytes(sample.read_bytes())
    assert counts(folders.run(backend=backend, workers=workers)) == (2, 0, 0, 0)
    for sample in SAMPLES[:2]:
        expected = remove_background(sample).pixels.astype(np.int16)
        with Image.open(folders.output / f"{sample.stem}.png") as image:
            assert np.abs(np.asarray(image) - expected).max() <= 1


def test_recipe_is_followed(folders, model):
    folders.add("a.jpg")
    assert counts(folders.run(format="webp", background="#ff0080", long_side=16)) == (1, 0, 0, 0)
    with Image.open(folders.output / "a.webp") as image:
        assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (16, 12))


def test_photo_without_a_subject_is_made_and_counted(folders):
    folders.add("plain.png", picture=np.full((24, 32, 3), 128, np.uint8))
    report = folders.run()
    assert counts(report) == (1, 0, 0, 0)
    assert report.without_subject == ("plain.png",)
    assert json.loads(folders.journal.read_text().splitlines()[-1])["subject_found"] is False


def test_other_files_are_counted(folders, model):
    folders.add("a.jpg")
    (folders.input / "notes.txt").touch()
    (folders.input / "circle").symlink_to(folders.input)
    report = folders.run()
    assert (report.other_files, report.linked_folders) == (1, ("circle",))


# Failures


def test_broken_photo_does_not_stop_the_others(folders, model):
    folders.add("a.jpg", "b.jpg", "d.jpg")
    (folders.input / "broken.jpg").write_bytes((folders.input / "a.jpg").read_bytes()[:200])
    (folders.input / "c.jpg").write_text("Dear diary, today I was a photo.")
    (folders.input / "e.jpg").touch()
    (folders.input / "gone.jpg").symlink_to(folders.root / "nowhere.jpg")
    report = folders.run()
    assert counts(report) == (3, 0, 4, 0)
    told = reasons(report)
    assert "broken.jpg is broken or cut off" in told["broken.jpg"]
    assert "c.jpg is not a photo that can be read" in told["c.jpg"]
    assert "e.jpg is empty (0 bytes)" in told["e.jpg"]
    assert "gone.jpg cannot be read: No such file or directory" in told["gone.jpg"]
    assert folders.outputs() == ["a.png", "b.png", "d.png"]


def test_failed_photo_is_tried_again_by_the_next_run(folders, model):
    folders.add("a.jpg")
    whole = (folders.input / "a.jpg").read_bytes()
    (folders.input / "a.jpg").write_bytes(whole[:100])
    assert counts(folders.run()) == (0, 0, 1, 0)
    (folders.input / "a.jpg").write_bytes(whole)
    assert counts(folders.run()) == (1, 0, 0, 0)


def test_photo_over_a_limit_is_a_failure(folders, model):
    (folders.input / "huge.png").write_bytes(png_claiming(200_000, 200_000))
    folders.add("a.jpg")
    report = folders.run(limits=DecodeLimits(max_megapixels=1))
    assert counts(report) == (1, 0, 1, 0)
    assert "at most 1 megapixels are allowed" in reasons(report)["huge.png"]


def test_error_that_nobody_foresaw_is_reported_and_logged(folders, model, monkeypatch, caplog):
    folders.add("a.jpg", "b.jpg")

    def fail(*_, name, **__):
        raise {"a.jpg": MemoryError(), "b.jpg": ZeroDivisionError("division by zero")}[name]

    monkeypatch.setattr("processing.batch.worker.run", fail)
    report = folders.run()
    assert reasons(report)["a.jpg"].startswith("There is not enough memory for this photo. Retry with fewer workers")
    assert reasons(report)["b.jpg"].startswith("ZeroDivisionError: division by zero. Please report this")
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


def test_folder_that_cannot_be_listed_is_a_failure(folders, model):
    folders.add("a.jpg")
    plan = folders.plan()
    closed = Failure("closed", "The folder closed cannot be listed: Permission denied.")
    report = run_batch(replace(plan, unreadable=(closed,)), workers=1)
    assert counts(report) == (1, 0, 1, 0)


def test_output_folder_that_stands_in_the_way_is_a_failure(folders, model):
    folders.add("a.jpg", "b/c.jpg")
    (folders.output / "a.png").mkdir(parents=True)
    (folders.output / "b").touch()
    report = folders.run(overwrite=True)
    assert counts(report) == (0, 0, 2, 0)
    assert "cannot be written: Is a directory" in reasons(report)["a.jpg"]
    assert "cannot be made: " in reasons(report)["b/c.jpg"]


# What is there already


def test_second_run_makes_nothing_and_opens_no_worker(folders, model, monkeypatch):
    folders.add("a.jpg", "sub/b.jpg")
    assert counts(folders.run()) == (2, 0, 0, 0)
    before, lines = folders.contents(folders.output), folders.journal.read_text()
    monkeypatch.setitem(BACKENDS, "threads", replace(BACKENDS["threads"], open=lambda *_: pytest.fail("opened")))
    assert counts(folders.run()) == (0, 2, 0, 0)
    assert folders.contents(folders.output) == before
    assert folders.journal.read_text() == lines


def test_folders_may_be_moved(folders, model):
    folders.add("a.jpg", "sub/b.jpg")
    folders.run()
    os.rename(folders.input, folders.root / "old")
    os.rename(folders.output, folders.root / "new")
    assert counts(run_batch(make_plan(folders.root / "old", folders.root / "new"), workers=1)) == (0, 2, 0, 0)


def test_new_photo_is_made_and_the_others_skipped(folders, model):
    folders.add("a.jpg")
    folders.run()
    folders.add("b.jpg")
    model.clear()
    assert counts(folders.run()) == (1, 1, 0, 0)
    assert model == ["b.jpg"]


def test_changed_photo_is_made_again(folders, model):
    folders.add("a.jpg", "b.jpg")
    folders.run()
    found = (folders.input / "a.jpg").stat()
    os.utime(folders.input / "a.jpg", ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    model.clear()
    assert counts(folders.run()) == (1, 1, 0, 0)
    assert model == ["a.jpg"]
    assert counts(folders.run()) == (0, 2, 0, 0)


def test_changed_recipe_makes_everything_again(folders, model):
    folders.add("a.jpg", "b.jpg")
    folders.run()
    assert counts(folders.run(background="white")) == (2, 0, 0, 0)
    with Image.open(folders.output / "a.png") as image:
        assert image.mode == "RGB"
    assert counts(folders.run(background="white")) == (0, 2, 0, 0)
    assert counts(folders.run()) == (2, 0, 0, 0)


def test_changed_weights_make_everything_again(folders, model, monkeypatch, tmp_path):
    folders.add("a.jpg")
    folders.run()
    weights = tmp_path / "new.onnx"
    weights.write_bytes(b"better weights")
    spec = replace(find_model("compact"), weights=weights, sha256="", size_bytes=0)
    monkeypatch.setattr("processing.batch.run.find_model", lambda name: spec)
    assert counts(folders.run()) == (1, 0, 0, 0)


def test_deleted_or_replaced_output_is_noticed(folders, model):
    folders.add("a.jpg", "b.jpg")
    folders.run()
    (folders.output / "a.png").unlink()
    (folders.output / "b.png").write_bytes(b"retouched by hand")
    report = folders.run()
    assert counts(report) == (1, 0, 1, 0)
    assert (folders.output / "b.png").read_bytes() == b"retouched by hand"


def test_file_of_somebody_else_is_left_alone_and_reported(folders, model):
    folders.add("a.jpg", "b.jpg")
    folders.output.mkdir()
    (folders.output / "a.png").write_bytes(b"painted by hand")
    for _ in range(2):  # it does not become ours by having been reported
        report = folders.run()
        assert len(report.failures) == 1
        assert reasons(report)["a.jpg"] == (
            f"{folders.output / 'a.png'} exists already and was not made by this command; "
            "--overwrite (overwrite=True) replaces it."
        )
        assert (folders.output / "a.png").read_bytes() == b"painted by hand"
    assert (report.made, report.skipped) == (0, 1)
    assert counts(folders.run(overwrite=True)) == (1, 1, 0, 0)
    assert (folders.output / "a.png").read_bytes().startswith(b"\x89PNG")
    assert counts(folders.run()) == (0, 2, 0, 0)


def test_linked_output_is_replaced_and_what_it_leads_to_is_not(folders, model):
    folders.add("a.jpg")
    folders.output.mkdir()
    (folders.root / "other.png").write_bytes(b"other")
    (folders.output / "a.png").symlink_to(folders.root / "other.png")
    assert counts(folders.run()) == (0, 0, 1, 0)
    assert counts(folders.run(overwrite=True)) == (1, 0, 0, 0)
    assert (folders.root / "other.png").read_bytes() == b"other"
    assert not (folders.output / "a.png").is_symlink()


def test_lost_journal_makes_all_outputs_somebody_elses(folders, model):
    folders.add("a.jpg")
    folders.run()
    folders.journal.unlink()
    assert counts(folders.run()) == (0, 0, 1, 0)


# Stopping


@pytest.mark.parametrize("backend", ["serial", "threads", "processes"])
def test_stopped_batch_keeps_what_is_done_and_the_next_one_goes_on(folders, backend):
    folders.add(*(f"{number:02}.jpg" for number in range(16)))
    cancel = CancelToken()

    def stop(progress):
        if progress.made:
            cancel.cancel()

    report = folders.run(backend=backend, progress=stop, cancel=cancel)
    assert report.interrupted
    assert report.made
    assert report.left
    assert report.made + report.left == report.total == 16
    report_of_the_rest = folders.run(backend="threads")
    assert not report_of_the_rest.interrupted
    assert report_of_the_rest.skipped == report.made
    assert counts(report_of_the_rest)[2:] == (0, 0)
    assert len(folders.outputs()) == 16


def test_batch_cancelled_before_it_began_makes_nothing(folders, model):
    folders.add("a.jpg")
    cancel = CancelToken()
    cancel.cancel()
    report = folders.run(cancel=cancel)
    assert (report.interrupted, *counts(report)) == (True, 0, 0, 0, 1)
    assert folders.outputs() == model == []


def test_interrupt_in_a_notebook_leaves_a_folder_to_go_on_with(folders, model):
    folders.add(*(f"{number}.jpg" for number in range(9)))

    def interrupt(progress):
        if progress.made:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folders.run(progress=interrupt)
    assert counts(folders.run())[2:] == (0, 0)
    assert len(folders.outputs()) == 9


def test_batch_killed_between_a_cutout_and_its_line_makes_it_again(folders, model, monkeypatch):
    folders.add("a.jpg", "b.jpg", "c.jpg")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr("processing.batch.journal.Journal.finish", die)
        with pytest.raises(KeyboardInterrupt):
            folders.run(workers=1)
    assert folders.outputs()
    assert counts(folders.run()) == (3, 0, 0, 0)


# Workers


def test_few_photos_are_in_flight_however_many_there_are(folders, model, monkeypatch):
    folders.add(*(f"{number:02}.jpg" for number in range(20)))
    most = 0

    def counted(futures, *options):
        nonlocal most
        most = max(most, len(futures))
        return wait(futures, *options)

    monkeypatch.setattr("processing.batch.run.wait", counted)
    assert counts(folders.run(workers=3)) == (20, 0, 0, 0)
    assert most == 6


@pytest.fixture
def deadly(monkeypatch, request):
    """Let workers die on photos with certain names."""
    monkeypatch.syspath_prepend(request.path.parent)
    import deadly

    monkeypatch.setattr("processing.batch.run.process_in_worker", deadly.process_or_die)


def test_photo_that_kills_its_worker_is_reported_and_the_others_are_made(folders, deadly, caplog):
    folders.add("a.jpg", "deadly.jpg", *(f"photo{number}.jpg" for number in range(6)))
    with caplog.at_level(logging.WARNING):
        report = folders.run(backend="processes")
    assert counts(report) == (7, 0, 1, 0)
    assert reasons(report) == {"deadly.jpg": _DIED}
    assert "A worker process died" in caplog.text
    assert "deadly.png" not in folders.outputs()
    assert len(folders.outputs()) == 7


def test_worker_that_died_by_accident_costs_nothing(folders, deadly):
    folders.add("a.jpg", "once.jpg", "b.jpg")
    assert counts(folders.run(backend="processes")) == (3, 0, 0, 0)


def test_one_worker_needs_no_second_process_and_more_have_one_each(folders, model):
    folders.add("a.jpg")
    report = run_batch(folders.plan(), workers=1)
    assert (report.backend, report.workers, model) == ("threads", 1, ["a.jpg"])
    folders.add("b.jpg")
    report = run_batch(folders.plan(), workers=2)
    assert (report.backend, report.workers, counts(report)) == ("processes", 2, (1, 1, 0, 0))
    assert model == ["a.jpg"]


# Progress and report


def test_progress_grows_to_the_total(folders, model):
    folders.add(*(f"{number}.jpg" for number in range(5)))
    (folders.input / "broken.jpg").touch()
    (folders.output).mkdir()
    (folders.output / "0.png").touch()
    seen = []
    folders.run(progress=seen.append, backend="serial")
    assert [progress.finished for progress in seen] == sorted(progress.finished for progress in seen)
    last = seen[-1]
    assert (last.total, last.made, last.failed, last.skipped, last.finished) == (6, 4, 2, 0, 6)
    assert last.time_left_s == 0
    assert seen[0].time_left_s is None


def test_report_has_plain_values(folders, model):
    folders.add("a.jpg")
    (folders.input / "b.jpg").touch()
    values = json.loads(json.dumps(folders.run().as_dict()))
    assert (values["made"], values["failed"], values["no_subject"], values["total"]) == (1, 1, 0, 2)
    assert values["failures"][0]["input"] == "b.jpg"


# What is refused before anything is written


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"workers": 0}, RecipeError, "The number of workers is 0. Give 1 or more; this machine has "),
        ({"workers": -2}, RecipeError, "The number of workers is -2."),
        ({"backend": "clouds"}, RecipeError, "Unknown backend 'clouds'. Known: serial, threads, processes"),
        ({"format": "jpeg"}, EncodingError, "JPEG cannot store a transparent background"),
    ],
)
def test_wrong_option_gives_a_sentence(folders, options, error, sentence):
    folders.add("a.jpg")
    with pytest.raises(error, match=sentence):
        folders.run(**options)
    assert not folders.output.exists()


def test_plan_of_another_format_is_refused(folders):
    folders.add("a.jpg")
    with pytest.raises(RecipeError, match=r"plan has outputs with \.png, the recipe gives \.webp"):
        run_batch(folders.plan(), Recipe(format="webp"))


@pytest.mark.parametrize(("data", "sentence"), [(None, "are not at "), (b"junk", "are damaged")])
def test_weights_that_cannot_be_used_stop_the_batch_at_once(folders, monkeypatch, tmp_path, data, sentence):
    folders.add("a.jpg")
    spec = replace(find_model("compact"), weights=tmp_path / "weights.onnx")
    if data:
        spec.weights.write_bytes(data)
    monkeypatch.setattr("processing.batch.run.find_model", lambda name: spec)
    with pytest.raises(ModelError, match=sentence):
        folders.run()
    assert not folders.output.exists()


def test_provider_that_is_not_there_stops_the_batch_at_once(folders, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    folders.add("a.jpg")
    with pytest.raises(ModelError, match=r"'cuda' \(an NVIDIA GPU\) was asked for and does not run"):
        folders.run(provider="cuda")
    assert not folders.output.exists()


@pytest.mark.filterwarnings("ignore:Specified provider")  # onnxruntime's own
def test_provider_that_gives_way_to_the_cpu_stops_the_batch_at_once(folders, monkeypatch):
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: names)
    monkeypatch.setattr("onnxruntime.InferenceSession.get_providers", lambda session: names[1:])
    folders.add("a.jpg")
    with pytest.raises(ModelError, match="CUDAExecutionProvider did not load, CPUExecutionProvider loaded"):
        folders.run(provider="gpu")
    assert not folders.output.exists()


def test_other_provider_makes_everything_again(folders, model):
    folders.add("a.jpg")
    folders.run()
    assert counts(folders.run(provider="cpu")) == (1, 0, 0, 0)
    assert counts(folders.run(provider="cpu")) == (0, 1, 0, 0)


def test_journal_on_a_full_disk_stops_the_batch(folders, model, monkeypatch):
    folders.add("a.jpg", "b.jpg")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("processing.batch.journal.os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        folders.run()
