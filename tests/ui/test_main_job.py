"""The main job in a real browser: a photo becomes a cutout."""

from __future__ import annotations

import json
import re

import pytest
from photos import SAMPLES, flat_photo, heavy_photo, phone_photo
from PIL import Image, ImageChops
from playwright.sync_api import expect

pytestmark = pytest.mark.ui


def test_a_phone_photo_becomes_a_full_size_cutout(visitor, server, tmp_path):
    visitor.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": phone_photo()})
    visitor.sees_before()
    empty = visitor.after.screenshot()
    visitor.press_run()
    visitor.sees_after()
    assert visitor.after.screenshot() != empty
    expect(visitor.page.get_by_text("Saved at")).to_be_visible()

    file = visitor.download(tmp_path)
    assert file.name == "holiday-cutout.png"
    with Image.open(file) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (3000, 4000))
        assert cutout.getpixel((100, 100))[3] == 0, "the empty wall above the astronaut is cut away"
        assert cutout.getpixel((1500, 3600))[3] == 255, "her suit stays"
    stored = visitor.page.get_by_text("Saved at").inner_text().removeprefix("Saved at ")
    assert stored.startswith(str(server.artifacts))
    with open(stored, "rb") as kept:
        assert kept.read() == file.read_bytes()


def test_the_same_file_can_be_downloaded_twice_in_a_row(visitor, tmp_path):
    visitor.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": (SAMPLES / "cat.jpg").read_bytes()})
    visitor.sees_before()
    visitor.press_run()
    visitor.sees_after()
    first = visitor.download(tmp_path).read_bytes()
    assert visitor.download(tmp_path).read_bytes() == first


def test_background_and_format_change_without_another_run(visitor, server, tmp_path):
    visitor.page.get_by_role("button", name="An astronaut").click()
    visitor.press_run()
    visitor.sees_after()
    results = sorted(server.artifacts.iterdir())
    checkerboard = visitor.pixels_of_after()

    wall = (int(checkerboard.width * 0.67), int(checkerboard.height * 0.1))  # beside her head, cut away
    for name, colour in (("White", (255, 255, 255)), ("Black", (0, 0, 0))):
        visitor.page.get_by_role("button", name=name, exact=True).click()
        expect(visitor.page.get_by_role("button", name=f"Download PNG, on {name.lower()}")).to_be_enabled()
        shown = visitor.pixels_of_after()
        assert shown.getpixel(wall) == colour
        assert ImageChops.difference(shown, checkerboard).getbbox()

    visitor.page.get_by_role("button", name="Colour", exact=True).click()
    expect(visitor.page.get_by_role("button", name="Download PNG, on #2a9d8f")).to_be_enabled()
    assert visitor.pixels_of_after().getpixel(wall) == (0x2A, 0x9D, 0x8F)

    visitor.page.get_by_role("combobox", name="Format").click()
    visitor.page.get_by_role("menuitem", name="JPEG").click()
    expect(visitor.page.get_by_role("button", name="Download JPEG, on #2a9d8f")).to_be_enabled()
    file = visitor.download(tmp_path)
    assert file.suffix == ".jpg"
    with Image.open(file) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (512, 512))
        assert all(abs(a - b) < 6 for a, b in zip(image.getpixel((343, 51)), (0x2A, 0x9D, 0x8F), strict=True))
    assert sorted(server.artifacts.iterdir()) == results, "no run, no new result"


def test_jpeg_and_transparent_give_way_to_each_other_in_sight(visitor):
    visitor.page.get_by_role("button", name="An astronaut").click()
    visitor.press_run()
    visitor.sees_after()
    visitor.page.get_by_role("combobox", name="Format").click()
    visitor.page.get_by_role("menuitem", name="JPEG").click()
    expect(visitor.page.get_by_role("button", name="Download JPEG, on white")).to_be_enabled()
    visitor.page.get_by_role("button", name="Transparent", exact=True).click()
    expect(visitor.page.get_by_role("button", name="Download PNG, transparent")).to_be_enabled()


def test_a_photo_can_be_dropped(visitor):
    visitor.drop("cat.jpg", (SAMPLES / "cat.jpg").read_bytes(), "image/jpeg")
    visitor.sees_before()
    expect(visitor.page.get_by_text("Before: cat.jpg")).to_be_visible()
    visitor.press_run()
    visitor.sees_after()


def test_a_file_of_40_megabytes_arrives(visitor, tmp_path):
    photo = tmp_path / "heavy.png"  # not from memory: that takes the driver half a minute on a busy machine
    photo.write_bytes(heavy_photo())
    assert photo.stat().st_size > 39_000_000
    visitor.upload(photo)
    visitor.sees_before()


def test_enter_on_the_run_button_runs(visitor):
    visitor.page.get_by_role("button", name="A cat").focus()
    visitor.page.keyboard.press("Enter")
    expect(visitor.run_button).to_be_enabled(timeout=60_000)
    visitor.run_button.focus()
    visitor.page.keyboard.press("Enter")
    visitor.sees_after()


def test_history_survives_reload_and_restart(visitor, server, tmp_path):
    visitor.page.get_by_role("button", name="A cat").click()
    visitor.press_run()
    visitor.sees_after()
    expect(visitor.history).to_have_count(1)

    visitor.page.reload()
    expect(visitor.history).to_have_count(1, timeout=60_000)
    visitor.page.goto("about:blank")  # a page that is open while its server is down rightly complains
    server.stop()
    server.start()
    visitor.open()
    expect(visitor.history).to_have_count(1, timeout=60_000)

    visitor.history.first.click()
    visitor.sees_after()
    expect(visitor.page.get_by_text("Before: cat.jpg")).to_be_visible()
    with Image.open(visitor.download(tmp_path)) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (451, 300))


def test_the_result_that_is_shown_and_the_one_in_focus_look_different(visitor):
    for number, name in enumerate(("A cat", "A cup"), 1):
        visitor.page.get_by_role("button", name=name).click()
        visitor.press_run()
        expect(visitor.history).to_have_count(number)  # it is stored: nothing of the strip changes any more
    shown, other = visitor.history.nth(0), visitor.history.nth(1)
    expect(shown).to_have_attribute("aria-pressed", "true")
    expect(shown).not_to_have_css("box-shadow", "none")
    expect(shown).to_have_css("outline-style", "none")
    shown.focus()
    visitor.page.keyboard.press("Tab")
    expect(other).to_be_focused()
    expect(other).to_have_css("box-shadow", "none")
    expect(other).to_have_css("outline-style", "solid")


def test_two_visitors_at_once_see_only_their_own(new_visitor, server):
    anna, ben = new_visitor().open(), new_visitor().open()
    anna.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": phone_photo()})
    ben.page.get_by_role("button", name="A cat").click()
    anna.press_run()
    # Anna's 12 megapixels are on their way; Ben's page answers all the while.
    expect(ben.page.get_by_text("Before: cat.jpg")).to_be_visible()
    ben.press_run()
    ben.sees_after()
    anna.sees_after()
    for visitor, name in ((anna, "holiday.jpg"), (ben, "cat.jpg")):
        expect(visitor.history).to_have_count(1)
        assert visitor.history.first.get_attribute("title").startswith(name)
        visitor.page.reload()
        expect(visitor.history).to_have_count(1, timeout=60_000)
    owners = {json.loads(path.read_text())["owner"] for path in server.artifacts.glob("*/record.json")}
    cookie = next(cookie for cookie in anna.page.context.cookies() if cookie["name"] == "cutout_visitor")
    assert not any(cookie["value"] in owner for owner in owners), "a record must not give the cookie away"


def test_a_renamed_text_file_gives_a_notice(visitor):
    visitor.upload({"name": "notes.png", "mimeType": "image/png", "buffer": b"just some words\n" * 50})
    expect(visitor.notice).to_contain_text(
        "notes.png is not a photo that can be read. PNG, JPEG, WebP, AVIF, HEIC, TIFF, BMP and GIF are read"
    )
    expect(visitor.run_button).to_be_disabled()
    texts = visitor.notice.locator("span"), visitor.page.get_by_text("Drop a photo, press Run").last
    colours = {text.evaluate("(text) => getComputedStyle(text).color") for text in texts}
    assert len(colours) == 1, "the sentence is as legible as all other text"
    visitor.page.get_by_label("Close this message").click()
    expect(visitor.notice).to_be_empty()
    visitor.page.get_by_role("button", name="A cat").click()
    visitor.press_run()
    visitor.sees_after()


def test_a_photo_without_a_subject_is_said_so(visitor):
    visitor.upload({"name": "wall.jpg", "mimeType": "image/jpeg", "buffer": flat_photo()})
    visitor.press_run()
    expect(visitor.notice).to_contain_text("No clear subject was found", timeout=60_000)
    expect(visitor.after).to_have_attribute("data-state", "empty")


def test_a_file_name_is_never_html(visitor):
    payload = "<img src=x onerror=window.hacked=1>"
    visitor.upload({"name": f"{payload}.jpg", "mimeType": "image/jpeg", "buffer": (SAMPLES / "cat.jpg").read_bytes()})
    visitor.press_run()
    visitor.sees_after()
    expect(visitor.history).to_have_count(1)
    visitor.upload({"name": f"{payload}.png", "mimeType": "image/png", "buffer": b"no photo"})
    expect(visitor.notice).to_contain_text("onerror")
    assert visitor.page.evaluate("window.hacked") is None


def test_cancel_stops_the_run_and_keeps_the_photo(visitor, server):
    visitor.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": phone_photo()})
    expect(visitor.run_button).to_be_enabled(timeout=60_000)
    before = set(server.artifacts.glob("*")) if server.artifacts.exists() else set()
    visitor.run_button.click()
    visitor.page.get_by_role("button", name="Cancel").click()
    expect(visitor.run_button).to_be_enabled()
    expect(visitor.after).to_have_attribute("data-state", "empty")
    visitor.page.wait_for_timeout(3000)  # longer than the run would have taken
    assert (set(server.artifacts.glob("*")) if server.artifacts.exists() else set()) == before
    visitor.press_run()
    visitor.sees_after()


def test_delete_can_be_undone(visitor):
    visitor.page.get_by_role("button", name="A cat").click()
    visitor.press_run()
    visitor.sees_after()
    visitor.page.get_by_role("button", name="Delete").click()
    expect(visitor.history).to_have_count(0)
    expect(visitor.notice).to_contain_text("The result of cat.jpg was deleted.")
    visitor.page.get_by_role("button", name="Undo").click()
    visitor.sees_after()
    expect(visitor.history).to_have_count(1)


def test_a_reload_in_the_middle_finds_the_run_again(visitor):
    # 48 megapixels: the run must outlast the reload, also on a busy machine.
    visitor.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": phone_photo(2)})
    visitor.press_run()
    expect(visitor.page.get_by_role("button", name="Cancel")).to_be_visible()
    visitor.page.reload()
    visitor.sees_before()
    visitor.sees_after()
    expect(visitor.page.get_by_text("Before: holiday.jpg")).to_be_visible()


def test_a_run_that_ends_before_a_reloaded_page_is_ready_is_shown(visitor, server):
    visitor.upload({"name": "holiday.jpg", "mimeType": "image/jpeg", "buffer": phone_photo()})
    readiness, stored = [], len(list(server.artifacts.rglob("record.json")))
    visitor.press_run()

    def hold_readiness_back(route) -> None:
        server = route.connect_to_server()

        def pass_on(message) -> None:
            if not readiness and "document_ready" in str(message):
                readiness.append(lambda: server.send(message))
            else:
                server.send(message)

        route.on_message(pass_on)

    visitor.page.route_web_socket(re.compile("/ws"), hold_readiness_back)
    visitor.page.reload()
    expect(visitor.page.get_by_text("Cutting out ...")).to_be_visible()
    while not readiness or len(list(server.artifacts.rglob("record.json"))) == stored:
        visitor.page.wait_for_timeout(100)
    visitor.page.wait_for_timeout(500)  # five times the page's own period
    readiness.pop()()
    visitor.sees_after()


def test_options_change_the_download_and_its_size_is_shown_first(visitor, tmp_path):
    visitor.page.get_by_role("button", name="An astronaut").click()
    visitor.press_run()
    visitor.sees_after()
    visitor.page.get_by_text("More options").click()
    side = visitor.page.get_by_label("Longest side in pixels")
    for typed in ("80", "-5", "100"):
        side.fill(typed)
        side.press("Enter")
        expect(visitor.page.get_by_text("A whole number, 0 to 65,500.")).to_be_visible(visible=typed == "-5")
    button = visitor.page.get_by_role("button", name=re.compile(r"Download PNG, transparent \(\d+ kB\)"))
    expect(button).to_be_enabled(timeout=30_000)
    file = visitor.download(tmp_path)
    with Image.open(file) as cutout:
        assert cutout.size == (100, 100)
    assert f"({round(file.stat().st_size / 1e3)} kB)" in button.inner_text()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024), (1280, 900)])
def test_the_page_fits_its_window(new_visitor, width, height):
    visitor = new_visitor(viewport={"width": width, "height": height}).open()
    visitor.page.get_by_role("button", name="An astronaut").click()
    visitor.press_run()
    visitor.sees_after()
    for fold in ("Model:", "Edges and clean-up", "More options"):
        visitor.page.get_by_role("button", name=fold).click()
    expect(visitor.page.get_by_label("Longest side in pixels")).to_be_visible()
    expect(visitor.page.get_by_role("combobox", name="Model", exact=True)).to_be_visible()
    assert all(select.bounding_box()["width"] >= 130 for select in visitor.page.get_by_role("combobox").all())
    overflow = visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    boxes = [pane.bounding_box() for pane in (visitor.before, visitor.after)]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width >= 768), "side by side where there is room, else stacked"


def test_changes_of_the_edge_are_seen_before_they_are_applied(visitor):
    page = visitor.page
    page.get_by_role("button", name="A cat").click()
    visitor.sees_before()
    visitor.press_run()
    visitor.sees_after()
    download = page.get_by_role("button", name="Download")
    page.get_by_role("button", name="Edges and clean-up").click()
    slider = page.get_by_role("slider", name="Shift the edge").first
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("After: preview of your changes")).to_be_visible()
    expect(download).to_be_disabled()

    page.get_by_role("button", name="Apply changes").click()
    expect(page.get_by_text("After", exact=True)).to_be_visible()
    visitor.sees_after()
    expect(download).to_be_enabled()
    expect(page.get_by_role("button", name="Apply changes")).to_be_hidden()
    assert not visitor.problems


def test_a_tap_on_run_takes_the_number_just_typed(new_visitor, server):
    """The tap that ends the typing sends the number and the click at once, and the click must not come first."""
    visitor = new_visitor(viewport={"width": 390, "height": 844}, has_touch=True).open()
    visitor.page.get_by_role("button", name="A cat").click()
    visitor.sees_before()
    visitor.press_run()
    visitor.sees_after()
    visitor.page.get_by_role("button", name="Edges and clean-up").click()
    field = visitor.page.get_by_label("Drop specks, in pixels")
    for number in (201, 202, 203, 204):
        before = records(server)
        field.fill(str(number))
        visitor.run_button.tap()
        for _ in range(150):
            visitor.page.wait_for_timeout(100)
            if made := records(server) - before:
                break
        assert json.loads(made.pop().read_text())["recipe"]["drop_specks"] == number
        expect(visitor.run_button).to_be_enabled()


def records(server):
    return {file for file in server.artifacts.glob("*/*.json") if not file.parent.name.startswith(".")}
