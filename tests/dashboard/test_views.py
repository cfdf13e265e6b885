"""The views around a controller: models and messages, no browser."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import panel as pn
import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc
from photos import SAMPLES

from dashboard import Controller, Dashboard
from dashboard.components.picture_strip import PictureStrip
from dashboard.notices import Notice, notice_of
from dashboard.runtime import Offer, ServerRuntime
from dashboard.samples import SAMPLES as BUNDLED
from dashboard.views import download
from dashboard.views.model import ModelView
from dashboard.views.source import PhotoInput
from processing import ImageError, Recipe
from processing.images import decode
from processing.sessions.pool import SessionPool

CAT = (SAMPLES / "cat.jpg").read_bytes()


@pytest.fixture
def dashboard(controller, monkeypatch):
    monkeypatch.setattr(Dashboard, "_start_polling", lambda self: None)
    return Dashboard(controller=controller)


def test_until_the_browser_is_ready_nothing_can_be_pressed_and_no_job_is_asked(controller, monkeypatch):
    """What Python changes before that never reaches the browser."""
    monkeypatch.setattr(Dashboard, "_start_polling", lambda self: None)
    document = Document()
    monkeypatch.setitem(pn.state._loaded, document, False)  # as it is of a page that was sent and has not answered
    with set_curdoc(document):
        dashboard = Dashboard(controller=controller)
        controller.load(CAT, "cat.jpg")
        controller._job.future.result(30)
        asyncio.run(dashboard._poll())
        assert dashboard.source.file_input.disabled
        assert controller.activity == "read"
        pn.state._on_load(document)
        asyncio.run(dashboard._poll())
    assert not dashboard.source.file_input.disabled
    assert controller.activity == ""
    assert dashboard.compare.before.picture == controller.before


def piece(data, chunk=1, total=1, name="cat.jpg"):
    return {
        "status": "upload_event",
        "name": name,
        "chunk": chunk,
        "total_chunks": total,
        "mime_type": "image/jpeg",
        "data": data,
    }


def test_every_view_renders(dashboard):
    assert dashboard._layout.get_root() is not None


def upload(widget, *pieces):
    """Send what a browser sends for one file."""
    for message in ({"status": "initializing"}, *pieces, {"status": "finished"}):
        widget._handle_msg(message)


def test_upload_reaches_the_controller_and_leaves_the_widget(dashboard, controller, settle):
    upload(dashboard.source.file_input, piece(CAT))
    settle(controller)
    assert controller.photo_name == "cat.jpg"
    assert controller.before is not None
    assert dashboard.source.file_input.value is None


def test_a_file_in_pieces_is_put_together(dashboard, controller, settle):
    half = len(CAT) // 2
    upload(dashboard.source.file_input, piece(CAT[:half], chunk=1, total=2), piece(CAT[half:], chunk=2, total=2))
    settle(controller)
    assert controller.before is not None


def test_messages_are_not_handed_to_the_thread_pool(dashboard, monkeypatch):
    """There the end of an upload could overtake its last piece."""
    handled = []
    widget = dashboard.source.file_input
    monkeypatch.setattr(widget, "_process_bokeh_event", lambda doc, event: handled.append(threading.get_ident()))
    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(type(pn.state), "_thread_pool", pool)
        widget._comm_event(Document(), None)
        asyncio.run(widget._event_coroutine(Document(), None))
    assert handled == [threading.get_ident()] * 2


def test_of_several_photos_the_first_is_taken_and_it_is_said(dashboard, controller, settle):
    cup, note = (SAMPLES / "cup.jpg").read_bytes(), "For a folder of photos there is the command line"
    half = len(CAT) // 2
    pieces = piece(CAT[:half], chunk=1, total=2), piece(CAT[half:], chunk=2, total=2), piece(cup, name="cup.jpg")
    upload(dashboard.source.file_input, *pieces)
    settle(controller)
    assert (controller.photo_name, controller.before is not None) == ("cat.jpg", True)
    assert controller.notice.text.startswith("One photo at a time: cat.jpg was taken.")
    assert note in controller.notice.text
    assert controller.notice.severity == "info"
    upload(dashboard.source.file_input, piece(cup, name="cup.jpg"))
    settle(controller)
    assert controller.photo_name == "cup.jpg"
    assert controller.notice is None


def test_of_several_files_the_first_may_be_no_photo(dashboard, controller, settle):
    upload(dashboard.source.file_input, piece(b"no photo", name="a.txt"), piece(CAT))
    settle(controller)
    assert controller.notice.severity == "error"
    assert "One photo at a time: a.txt was taken." in controller.notice.text
    dashboard.source._take_sample("cat")
    settle(controller)
    assert controller.notice is None


def test_files_that_are_left_out_take_no_memory_on_the_server():
    widget = PhotoInput([].append, max_file_size=1000)
    widget._handle_msg({"status": "initializing"})
    for chunk in (1, 2, 3):
        widget._handle_msg(piece(bytes(900), name=f"{chunk}.jpg"))
    assert len(widget._buffer) == 1
    assert not widget._file_buffer
    assert widget.has_left_out


def test_an_empty_file_gives_a_notice(dashboard, controller):
    upload(dashboard.source.file_input)
    assert "is empty (0 bytes)" in controller.notice.text


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"status": "upload_event"},
        {"status": "upload_event", "data": None},
        {"status": 3},
        {**piece(b""), "chunk": [1]},
    ],
)
def test_hostile_upload_messages_do_no_harm(dashboard, controller, settle, message):
    dashboard.source.file_input._handle_msg(message)
    settle(controller)
    upload(dashboard.source.file_input, piece(CAT))
    settle(controller)
    assert controller.before is not None


def test_the_byte_limit_holds_on_the_server():
    sentences = []
    widget = PhotoInput(sentences.append, max_file_size=100_000_000)
    block = bytes(100_000_000 // 3)
    upload(widget, *(piece(block, chunk=chunk, total=5) for chunk in range(1, 5)))
    assert len(sentences) == 1
    assert "more than 100 MB" in sentences[0]


def test_an_error_of_the_browser_becomes_a_notice(dashboard, controller):
    dashboard.source.file_input._handle_msg({"status": "error", "error": "File too large"})
    assert "File too large" in controller.notice.text


def test_a_sample_can_be_picked(dashboard, controller, settle):
    dashboard.source.samples._handle_msg({"pick": "cat"})
    settle(controller)
    assert controller.photo_name == "cat.jpg"


@pytest.mark.parametrize("message", [{}, "x", None, {"pick": "../secret"}, {"pick": 3}, {"pick": ["cat"]}])
def test_a_strip_offers_only_its_items(message):
    picked = []
    strip = PictureStrip(on_pick=picked.append, items=[{"key": "cat", "title": "Cat", "picture": ""}])
    strip._handle_msg(message)
    assert picked == []


@pytest.mark.parametrize("sample", BUNDLED, ids=lambda sample: sample.name)
def test_bundled_samples_decode_and_have_a_source(sample):
    assert decode(sample.read()).size > (200, 200)
    assert sample.file_name in (SAMPLES / "SOURCES.md").read_text()


def test_run_button_and_progress_follow_the_controller(dashboard, controller, settle, session):
    view = dashboard.run
    assert view.run_button.disabled
    controller.load(CAT, "cat.jpg")
    settle(controller)
    assert not view.run_button.disabled
    session.gate.clear()
    view.run_button.clicks += 1
    assert session.reached.wait(30)
    assert view.run_button.disabled
    assert view.cancel_button.visible
    view.cancel_button.clicks += 1
    assert not view.run_button.disabled
    assert not view.cancel_button.visible


def test_the_notice_is_plain_text_and_can_be_closed(dashboard, controller):
    controller.notice = Notice("error", "<b>bold</b>")
    assert dashboard.notice.bar.text == "<b>bold</b>"
    assert dashboard.notice._layout.visible
    dashboard.notice.bar.text = ""
    assert controller.notice is None
    assert not dashboard.notice._layout.visible


def test_background_is_behind_the_picture_only(dashboard, controller):
    dashboard.download.background.value = "white"
    assert controller.recipe.background == "white"
    assert dashboard.compare.after.backdrop == "white"
    dashboard.download.background.value = "colour"
    dashboard.download.colour.value = "#ff8800"
    assert controller.recipe.background == "#ff8800"
    assert dashboard.compare.after.backdrop == "#ff8800"


def test_what_is_no_colour_is_named_and_the_earlier_colour_stays(dashboard, controller):
    view = dashboard.download
    view.background.value = "colour"
    view.colour.value = "navy"
    assert controller.recipe.background == "navy"
    for wrong in ("blurple", "", "#12345", "#11223344", None):
        view.colour.value = wrong
        assert view.colour.error_state
        assert view.colour.helper_text == f"{wrong or ''!r} is no colour. Give a name such as navy, or #rrggbb."
        assert controller.recipe.background == "navy"
    view.background.value = "white"
    view.background.value = "colour"
    assert (view.colour.value, view.colour.error_state, view.colour.helper_text) == ("navy", False, "")
    assert controller.recipe.background == "navy"
    view.colour.value = "blurple"
    view.colour.value = "#ff8800"
    assert not view.colour.error_state
    assert controller.recipe.background == "#ff8800"


@pytest.mark.parametrize(
    ("clean", "fringe", "words"),
    [
        (False, 0.8, "80% (0% is best: switch on &quot;Remove the old background"),
        (True, 0.13, "13% (lower is better; this little may be the subject"),
        (True, 0.4, "40% (lower is better; if you see a halo, shift the edge inwards"),
        (True, None, ""),
    ],
)
def test_the_old_background_that_is_left_comes_with_what_to_do(controller, run_cat, clean, fringe, words):
    run_cat(controller)
    recipe = {**controller.record.recipe, "clean_colours": clean}
    said = download._describe_run(dataclasses.replace(controller.record, recipe=recipe, fringe=fringe))
    assert words in said
    assert ("Old background" in said) == (fringe is not None)


def test_download_gives_the_file_and_keeps_none(dashboard, controller, run_cat, monkeypatch):
    monkeypatch.setattr(download, "FORGET_AFTER_S", 0.05)

    async def click():
        await button._async_sync_data()
        assert button.data is not None, "cleared in the same moment, it might never be sent"
        await asyncio.sleep(0.2)

    run_cat(controller)
    button = dashboard.download.button
    sent = []
    button.param.watch(lambda event: sent.append(event.new), "data")
    assert button.filename == "cat-cutout.png"
    asyncio.run(click())
    assert sent[0].startswith("data:image/png;base64,")
    assert button.data is None
    assert not button.loading


def test_the_same_file_can_be_downloaded_again_at_once(dashboard, controller, run_cat):
    run_cat(controller)
    button = dashboard.download.button
    sent = []
    button.param.watch(lambda event: sent.append(event.new), "data")

    async def click_three_times():
        for _ in range(3):
            await button._async_sync_data()

    asyncio.run(click_three_times())
    assert len(sent) == 3
    assert len({data.partition(",")[2] for data in sent}) == 1
    assert all(first != second for first, second in itertools.pairwise(sent))


@pytest.mark.parametrize(("lasts_s", "shown"), [(0.0, []), (0.1, [True, False])])
def test_the_wheel_turns_on_the_button_only_while_a_file_takes_long(dashboard, monkeypatch, lasts_s, shown):
    """Set and taken back within a moment, it was once seen to turn forever."""
    monkeypatch.setattr(download, "LOADING_AFTER_S", 0.05)
    seen = []
    dashboard.download.button.param.watch(lambda event: seen.append((event.new, time.monotonic())), "loading")

    async def wait():
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(lasts_s, done.set_result, None)
        await dashboard.download.button._wait_for(done)

    asyncio.run(wait())
    assert [value for value, _ in seen] == shown
    if seen:
        assert seen[1][1] - seen[0][1] >= 0.049


def test_a_download_that_fails_gives_a_notice(dashboard, controller, run_cat, store):
    run_cat(controller)
    store.path(controller.record, "result").unlink()
    asyncio.run(dashboard.download.button._async_sync_data())
    assert "cannot be read" in controller.notice.text


def test_notice_of_our_own_errors_is_their_sentence():
    assert notice_of(ImageError("Too large.")) == Notice("error", "Too large.")


def test_notice_of_a_lack_of_memory_says_what_to_do():
    assert "not enough memory" in notice_of(MemoryError()).text


def test_the_notice_offers_to_undo(dashboard, controller, run_cat):
    run_cat(controller)
    dashboard.download.delete_button.clicks += 1
    assert dashboard.notice.bar.action == "Undo"
    assert controller.history == []
    dashboard.notice.bar._handle_msg("act")
    assert len(controller.history) == 1
    dashboard.notice.bar._handle_msg("act")
    dashboard.notice.bar._handle_msg({"hostile": 1})


def test_every_option_has_a_widget_from_its_declaration(dashboard, controller):
    elsewhere = {
        "format": dashboard.download.format,
        "background": dashboard.download.background,
        "model": dashboard.model.model,
        "non_commercial": dashboard.model.promise,
        "provider": dashboard.model.provider,
    }
    widgets = {**dashboard.download.options.widgets, **elsewhere}
    assert set(widgets) == set(Recipe.option_names())
    quality = widgets["quality"]
    assert (quality.start, quality.end, quality.value) == (1, 100, 90)
    assert quality.description == Recipe.param.quality.doc
    controller.recipe.format = "webp"
    quality.value = 70
    assert controller.recipe.quality == 70
    controller.recipe.long_side = 1200
    assert widgets["long_side"].value == "1200"


def test_a_number_that_is_not_allowed_is_named_and_changes_nothing(dashboard, controller):
    field = dashboard.download.options.widgets["fill_holes"]
    field.value = "1,500"
    assert controller.recipe.fill_holes == 1500
    for wrong in ("-5", "1.5", "many", "", "2000000"):
        field.value = wrong
        assert field.error_state
        assert field.helper_text == "A whole number, 0 to 1,000,000."
        assert controller.recipe.fill_holes == 1500
    field.value = "1500"
    assert not field.error_state
    assert field.helper_text == ""
    field.value = "no"
    controller.recipe.fill_holes = 20
    assert (field.value, field.error_state) == ("20", False)


def test_steps_of_a_slider_add_up(dashboard, controller):
    slider = dashboard.download.options.widgets["threshold"]
    slider.value = 0.05 + 0.05 + 0.05
    assert controller.recipe.threshold == 0.15
    slider.value = 0.15000000000000002 - 0.05 - 0.05 - 0.05
    assert controller.recipe.threshold == 0
    assert slider.value == 0
    controller.recipe.threshold = 0.5
    assert slider.value == 0.5


def test_provider_is_offered_only_where_it_makes_a_difference(controller):
    assert ModelView(controller).provider.visible
    assert set(ModelView(controller).provider.options.values()) == set(Recipe.param.provider.objects)
    controller.runtime.has_providers = False
    assert not ModelView(controller).provider.visible


@pytest.mark.parametrize(
    ("options", "greyed_out"),
    [
        ({}, {"quality", "lossless", "keep_location"}),
        ({"format": "webp"}, {"keep_location"}),
        ({"format": "webp", "lossless": True}, {"quality", "keep_location"}),
        ({"format": "webp", "keep_metadata": True}, set()),
        ({"format": "mask"}, {"quality", "lossless", "keep_metadata", "keep_location"}),
    ],
)
def test_options_that_make_no_difference_are_greyed_out(dashboard, controller, options, greyed_out):
    controller.recipe.param.update(options)
    assert {name for name, widget in dashboard.download.options.widgets.items() if widget.disabled} == greyed_out


def test_the_button_says_what_it_gives(dashboard, controller, run_cat):
    button = dashboard.download.button
    assert button.label == "Download PNG, transparent"
    run_cat(controller)
    assert button.label == f"Download PNG, transparent ({controller.offer.size_bytes / 1e6:.1f} MB)"
    controller.recipe.background = "white"
    assert button.label == "Download PNG, on white (...)"
    controller.recipe.format = "mask"
    assert button.label == "Download Mask (...)"
    assert button.filename == "cat-mask.png"


class _LinkingRuntime(ServerRuntime):
    """Hands files over by URL, as a browser's runtime does; a URL works as long as somebody holds its file."""

    has_links = True

    class File:
        def __init__(self, name: str, alive: set[str]) -> None:
            self.url, self.alive = f"blob:{name}", alive
            alive.add(self.url)

        def __del__(self) -> None:
            self.alive.discard(self.url)

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.alive: set[str] = set()
        self.stored = self.File("PNG, transparent", self.alive)

    def make_file(self, record, recipe, owner):
        name = f"{recipe.format.upper()}, on {recipe.background}"
        return self.queue.submit(lambda job: self.File(name, self.alive), owner=owner, kind="file")

    def offer_stored(self, record):
        return self.offer(self.stored)

    def offer(self, file):
        return Offer(1000, file.url)


def test_a_link_never_gives_another_file_than_it_says(store, queue, session, run_cat, monkeypatch):
    monkeypatch.setattr(Dashboard, "_start_polling", lambda self: None)
    runtime = _LinkingRuntime(store, queue, SessionPool(lambda spec, provider: session))
    controller = Controller(runtime, owner="anna")
    link = Dashboard(controller=controller).download.button
    seen = []

    def look(*_events) -> None:
        """What a click would give at this moment; each of these changes reaches the page in a message of its own."""
        if link.href and not link.disabled:
            seen.append(link.href)
            assert link.href in runtime.alive
            assert link.label == f"Download {link.href.removeprefix('blob:')} (1 kB)"

    for name in ("label", "href", "filename", "disabled"):
        link.param.watch(look, name)
    run_cat(controller)
    for name, value in (("background", "white"), ("format", "jpeg"), ("background", "transparent")):
        setattr(controller.recipe, name, value)
        until = time.monotonic() + 30
        while not link.href and time.monotonic() < until:
            time.sleep(0.02)
            controller.poll()
        assert link.href
    assert list(dict.fromkeys(seen)) == ["blob:PNG, transparent", "blob:PNG, on white", "blob:JPEG, on white"]
