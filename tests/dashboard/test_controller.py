from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest
from photos import SAMPLES, flat_photo
from PIL import Image

from dashboard.controller import Controller, safe_name
from dashboard.notices import NO_SUBJECT
from processing.jobs import CANCELLED, DONE
from processing.models import find_model

CAT = (SAMPLES / "cat.jpg").read_bytes()


def test_a_photo_is_shown_before_it_is_run(controller, settle):
    controller.load(CAT, "cat.jpg")
    assert controller.activity == "read"
    assert not controller.can_run
    settle(controller)
    with Image.open(io.BytesIO(controller.before)) as preview:
        assert (preview.format, preview.size) == ("WEBP", (451, 300))
    assert controller.can_run
    assert controller.record is None


def test_a_run_shows_and_stores_the_cutout(controller, run_cat, store):
    run_cat(controller)
    with Image.open(io.BytesIO(controller.after)) as preview:
        assert preview.mode == "RGBA"
        assert preview.getpixel((10, 150))[3] > 250
        assert preview.getpixel((440, 150))[3] < 5
    assert controller.record.owner == "anna"
    assert store.path(controller.record, "result").is_file()
    assert [record.id for record in controller.history] == [controller.record.id]
    assert controller.notice is None


def test_run_without_a_photo_does_nothing(controller):
    controller.run()
    assert controller.activity == ""


def test_run_pressed_while_the_photo_is_read_comes_next(controller, settle):
    controller.load(CAT, "cat.jpg")
    controller.run()
    assert controller.activity == "read"
    controller._job.future.result(30)
    controller.poll()
    assert controller.activity == "run"
    settle(controller)
    assert controller.record.source["name"] == "cat.jpg"


def test_run_pressed_too_early_is_forgotten_with_its_photo(controller, settle):
    controller.load(CAT, "cat.jpg")
    controller.run()
    controller.load(b"words", "notes.png")
    controller.run()
    settle(controller)
    controller.load(CAT, "cat.jpg")
    settle(controller)
    assert (controller.activity, controller.record, controller.can_run) == ("", None, True)


def test_a_file_that_is_no_photo_gives_a_notice(controller, settle):
    controller.load(b"words", "notes.png")
    settle(controller)
    assert controller.notice.severity == "error"
    assert "notes.png is not a photo" in controller.notice.text
    assert not controller.can_run


def test_a_new_photo_clears_the_old_notice(controller, settle):
    controller.load(b"words", "notes.png")
    settle(controller)
    controller.load(CAT, "cat.jpg")
    settle(controller)
    assert controller.notice is None
    assert controller.can_run


def test_no_subject_is_said_and_nothing_is_stored(controller, settle, session):
    session.raw = session.raw * 0
    controller.load(flat_photo(), "wall.jpg")
    settle(controller)
    controller.run()
    settle(controller)
    assert controller.notice == NO_SUBJECT
    assert controller.history == []
    assert controller.can_run


def test_cancel_ends_a_run_in_flight_and_keeps_the_photo(controller, settle, session, store):
    controller.load(CAT, "cat.jpg")
    settle(controller)
    session.gate.clear()
    controller.run()
    job = controller._job
    assert session.reached.wait(30)
    controller.cancel()
    job.future.result(30)
    assert job.state == CANCELLED
    assert controller.activity == ""
    assert controller.can_run
    assert store.list("anna") == []


@pytest.fixture
def saving(store, monkeypatch):
    """Return two events: a save has begun, and it may go on."""
    begun, may_go_on, save = threading.Event(), threading.Event(), store.save

    def wait_and_save(result, owner, *, tick, **options):
        begun.set()
        assert may_go_on.wait(30)
        tick(0.0)
        return save(result, owner, tick=tick, **options)

    monkeypatch.setattr(store, "save", wait_and_save)
    return begun, may_go_on


def test_the_cutout_is_shown_while_it_is_being_saved(controller, settle, saving):
    begun, may_go_on = saving
    controller.load(CAT, "cat.jpg")
    settle(controller)
    controller.run()
    assert begun.wait(30)
    controller.poll()
    assert controller.step.startswith("Saving the result")
    with Image.open(io.BytesIO(controller.after)) as preview:
        assert preview.mode == "RGBA"
    assert controller.record is None
    shown = []
    controller.param.watch(lambda event: shown.append(event.new), "after")
    may_go_on.set()
    settle(controller)
    assert controller.record is not None
    assert shown == [], "the page keeps the picture that it has"


def test_cancel_while_a_result_is_being_saved_stores_and_shows_nothing(controller, settle, saving, store):
    begun, may_go_on = saving
    controller.load(CAT, "cat.jpg")
    settle(controller)
    controller.run()
    job = controller._job
    assert begun.wait(30)
    controller.poll()
    controller.cancel()
    assert controller.after is None
    may_go_on.set()
    job.future.result(30)
    assert job.state == CANCELLED
    assert store.list("anna") == []


def test_progress_names_the_step_and_only_grows(controller, settle, session):
    controller.load(CAT, "cat.jpg")
    settle(controller)
    session.gate.clear()
    seen = []
    controller.param.watch(lambda event: seen.append(event.new), "fraction")
    controller.run()
    assert session.reached.wait(30)
    controller.poll()
    assert controller.step.startswith("Finding the subject")
    assert 0 < controller.fraction < 1
    session.gate.set()
    settle(controller)
    assert seen[:-1] == sorted(seen[:-1])


def test_a_waiting_visitor_sees_the_place_in_the_queue(new_controller, settle, session):
    anna, ben = new_controller(owner="anna"), new_controller(owner="ben")
    anna.load(CAT, "cat.jpg")
    settle(anna)
    session.gate.clear()
    anna.run()
    assert session.reached.wait(30)
    ben.load(CAT, "cat.jpg")
    carl = new_controller(owner="carl")
    carl.load(CAT, "cat.jpg")
    carl.poll()
    assert carl.step == "Waiting for 1 other job"
    session.gate.set()
    for controller in (anna, ben, carl):
        settle(controller)


def test_history_is_the_owners_only_and_outlives_the_controller(new_controller, run_cat):
    anna, ben = new_controller(owner="anna"), new_controller(owner="ben")
    run_cat(anna)
    ben.refresh_history()
    assert ben.history == []
    again = new_controller(owner="anna")
    assert [record.id for record in again.history] == [anna.record.id]


def test_history_follows_the_owner(new_controller, run_cat):
    anna = new_controller(owner="anna")
    run_cat(anna)
    late = new_controller(owner="nobody")
    assert late.history == []
    late.owner = "anna"
    assert len(late.history) == 1


def test_an_old_result_opens_and_can_be_run_again(new_controller, settle, session, run_cat):
    run_cat(new_controller(owner="anna"), name="old.jpg")
    runs = session.runs
    again = new_controller(owner="anna")
    again.open(again.history[0].id)
    assert again.photo_name == "old.jpg"
    assert again.before is not None
    assert again.after is not None
    assert session.runs == runs, "opening runs no model"
    again.run()
    settle(again)
    assert len(again.history) == 2


def test_somebody_elses_result_does_not_open(new_controller, run_cat):
    anna, ben = new_controller(owner="anna"), new_controller(owner="ben")
    run_cat(anna)
    ben.open(anna.record.id)
    assert ben.after is None
    assert "There is no result" in ben.notice.text


def test_a_result_deleted_meanwhile_gives_a_notice(controller, run_cat, store):
    run_cat(controller)
    record = controller.record
    store.path(record, "preview").unlink()
    controller.open(record.id)
    assert "cannot be read" in controller.notice.text


@pytest.mark.parametrize(
    ("format", "background", "mode"),
    [
        ("png", "transparent", "RGBA"),
        ("webp", "transparent", "RGBA"),
        ("png", "white", "RGB"),
        ("jpeg", "#102030", "RGB"),
    ],
)
def test_a_download_is_encoded_in_the_queue_without_a_run(controller, run_cat, session, format, background, mode):
    run_cat(controller)
    runs = session.runs
    controller.recipe.param.update(format=format, background=background)
    job = controller.submit_download()
    job.future.result(30)
    assert job.state == DONE
    with Image.open(io.BytesIO(job.result)) as image:
        assert (image.format.lower(), image.mode, image.size) == (format, mode, (451, 300))
    assert session.runs == runs
    assert controller.download_name == "cat-cutout" + {"png": ".png", "webp": ".webp", "jpeg": ".jpg"}[format]


def test_a_result_that_another_tab_deletes_is_not_shown_any_longer(controller, run_cat, store, monkeypatch):
    run_cat(controller)
    name = controller.photo_name
    store.delete(controller.record)
    monkeypatch.setattr("dashboard.controller._SETTLED_S", 0)
    controller.recipe.format = "webp"
    controller.poll()
    controller._file_job.future.result(30)
    controller.poll()
    assert controller.notice.text.startswith(f"The result of {name} was deleted, perhaps in another tab. Press Run")
    assert (controller.record, controller.after, controller.history) == (None, None, [])
    assert controller.can_run


def test_a_download_of_the_stored_form_is_the_stored_file(controller, run_cat, store):
    run_cat(controller)
    job = controller.submit_download()
    job.future.result(30)
    assert job.result == store.read(controller.record, "result")


def test_there_is_no_download_before_a_result(controller):
    assert controller.submit_download() is None


def test_an_unwritable_store_gives_a_notice_and_keeps_the_photo(controller, run_cat, store):
    store.root.write_text("a file where the folder should be")
    run_cat(controller)
    assert "cannot be saved" in controller.notice.text
    assert controller.after is None
    assert controller.can_run


def test_an_unexpected_error_is_told_without_its_text(controller, settle, session, caplog):
    controller.load(CAT, "cat.jpg")
    settle(controller)
    session.raw = None
    controller.run()
    settle(controller)
    assert controller.notice.severity == "error"
    assert "Something unexpected" in controller.notice.text
    assert caplog.records, "the log has the details"


def wait_for_file(controller, monkeypatch):
    """Let the options settle and the file be made, as a page does in half a second."""
    monkeypatch.setattr("dashboard.controller._SETTLED_S", 0)
    controller._plan_file()
    controller.poll()
    if controller._file_job is not None:
        controller._file_job.future.result(30)
        controller.poll()


def test_the_size_of_the_download_is_known_before_it(controller, run_cat, store, monkeypatch):
    run_cat(controller)
    assert controller.offer.size_bytes == store.path(controller.record, "result").stat().st_size
    controller.recipe.format = "webp"
    assert controller.offer is None
    wait_for_file(controller, monkeypatch)
    job = controller.submit_download()
    assert controller.offer.size_bytes == len(job.result)


def test_a_moving_slider_makes_no_file(controller, settle, run_cat):
    run_cat(controller)
    controller.recipe.format = "webp"
    for quality in (80, 70, 60):
        controller.recipe.quality = quality
        controller.poll()
    assert controller._file_job is None, "the options have not settled yet"


def test_changed_options_give_the_unfinished_file_up(controller, run_cat, session, new_controller):
    run_cat(controller)
    controller.recipe.format = "webp"
    first = controller.submit_download()
    controller.recipe.quality = 50
    second = controller.submit_download()
    assert second is not first
    second.future.result(30)
    assert first.is_finished or first.cancel_token.is_cancelled


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({}, {"format": "jpeg"}, ("jpeg", "white")),
        ({"background": "black"}, {"format": "jpeg"}, ("jpeg", "black")),
        ({"background": "white", "format": "jpeg"}, {"background": "transparent"}, ("png", "transparent")),
        ({"background": "white"}, {"format": "mask"}, ("mask", "transparent")),
        ({"format": "matte"}, {"background": "black"}, ("png", "black")),
        ({"format": "webp"}, {"background": "white"}, ("webp", "white")),
    ],
)
def test_of_two_options_that_exclude_each_other_the_later_one_wins(controller, before, change, after):
    controller.recipe.param.update(before)
    controller.recipe.param.update(change)
    assert (controller.recipe.format, controller.recipe.background) == after


def test_a_second_run_of_the_same_photo_runs_no_model(controller, settle, session, run_cat):
    run_cat(controller)
    first, runs = controller.record, session.runs
    controller.recipe.background = "white"
    controller.run()
    settle(controller)
    assert session.runs == runs
    assert controller.record.id != first.id
    assert controller.record.recipe["background"] == "white"


def test_neither_does_one_after_a_restart(new_controller, settle, session, run_cat):
    run_cat(new_controller(owner="anna"))
    runs = session.runs
    again = new_controller(owner="anna")
    again.open(again.history[0].id)
    again.recipe.format = "webp"
    again.run()
    settle(again)
    assert session.runs == runs
    assert again.record.files["result"] == "result.webp"


def test_new_weights_make_a_new_run(new_controller, settle, session, monkeypatch, run_cat):
    run_cat(new_controller(owner="anna"))
    runs = session.runs
    new = replace(find_model("compact"), sha256="0" * 64)
    monkeypatch.setattr("processing.pipeline.find_model", lambda name: new)
    again = new_controller(owner="anna")
    again.open(again.history[0].id)
    again.run()
    settle(again)
    assert session.runs == runs + 1
    assert again.record.model["weights_sha256"] == "0" * 64


def test_delete_can_be_undone(controller, run_cat):
    run_cat(controller)
    record = controller.record
    controller.delete()
    assert controller.record is None
    assert controller.after is None
    assert controller.history == []
    assert controller.notice.action == "Undo"
    assert "cat.jpg" in controller.notice.text
    controller.undo()
    assert controller.record == record
    assert controller.after is not None
    assert [each.id for each in controller.history] == [record.id]
    controller.undo()
    assert len(controller.history) == 1


def test_delete_of_a_result_that_is_gone_gives_a_notice(controller, run_cat, store):
    run_cat(controller)
    store.delete(controller.record)
    controller.delete()
    assert "cannot be deleted" in controller.notice.text


def test_a_reloaded_page_finds_its_run_again(new_controller, settle, session):
    first = new_controller(owner="anna")
    first.load(CAT, "cat.jpg")
    settle(first)
    session.gate.clear()
    first.run()
    assert session.reached.wait(30)
    first.close()
    second, stranger = new_controller(owner="anna"), new_controller(owner="ben")
    assert stranger.activity == ""
    assert (second.activity, second.photo_name) == ("run", "cat.jpg")
    assert second.before is not None
    session.gate.set()
    settle(second)
    assert second.record is not None
    assert second.can_run


def test_a_page_that_learns_its_owner_late_finds_its_run_again(new_controller, settle, session):
    first = new_controller(owner="anna")
    first.load(CAT, "cat.jpg")
    settle(first)
    session.gate.clear()
    first.run()
    late = new_controller(owner="nobody")
    late.owner = "anna"
    assert late.activity == "run"
    session.gate.set()
    settle(late)
    assert late.record is not None


def test_too_many_jobs_of_one_visitor_give_a_notice(controller, session, queue):
    gate = threading.Event()
    for _ in range(queue.max_per_owner):
        queue.submit(lambda job: gate.wait(30), owner="anna")
    controller.load(CAT, "cat.jpg")
    assert "which is the limit" in controller.notice.text
    assert controller.activity == ""
    gate.set()


def test_a_full_queue_leaves_the_shown_result_alone(controller, run_cat, queue):
    run_cat(controller)
    record, gate = controller.record, threading.Event()
    for _ in range(queue.max_per_owner):
        queue.submit(lambda job: gate.wait(30), owner="anna")
    controller.run()
    assert "which is the limit" in controller.notice.text
    assert controller.record == record
    assert controller.can_run
    gate.set()


def test_an_animation_is_shown_with_a_remark(controller, settle):
    file = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    controller.load(file.getvalue(), "dance.gif")
    settle(controller)
    assert controller.notice.severity == "info"
    assert "only its first picture" in controller.notice.text


def test_close_gives_the_photo_up(controller, run_cat):
    run_cat(controller)
    controller.recipe.format = "webp"
    job = controller.submit_download()
    controller.close()
    assert controller._photo is None
    assert controller._file_job is None
    assert job.is_finished or job.cancel_token.is_cancelled


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\cat.jpg", "cat.jpg"),
        ("<img src=x>.png", "_img src=x_.png"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("new\nline.jpg", "newline.jpg"),
        ("", "photo"),
        ("...", "photo"),
        ("x" * 200 + ".jpeg", "x" * 75 + ".jpeg"),
        ("u\u0308.png", "\u00fc.png"),
    ],
)
def test_safe_name(name, safe):
    assert safe_name(name) == safe
    assert len(safe_name(name)) <= 80


def test_default_controller_belongs_to_the_local_user(monkeypatch, tmp_path):
    monkeypatch.setenv("CUTOUT_ARTIFACTS", str(tmp_path))
    controller = Controller()
    assert controller.owner == "local"
    assert controller.store.root == tmp_path
