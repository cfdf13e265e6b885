"""The whole page without a server, in Chromium: Panel, numpy and Pillow under Pyodide.

It needs numpy and Pillow as WebAssembly: from Pyodide's distribution on the internet, or from the folder that
PYODIDE_WHEELS names. Without them these tests are skipped, and say so.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from images import file_of
from photos import SAMPLES, phone_photo
from PIL import Image
from playwright.sync_api import expect
from visitors import Visitor

from dashboard.browser import wasm
from dashboard.browser.build import build
from dashboard.browser.errors import BuildError
from dashboard.browser.serve import make_server
from processing import remove_background

pytestmark = pytest.mark.browser

CAT = (SAMPLES / "cat.jpg").read_bytes()


class Host:
    """A server of the site that is really gone when it is stopped."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.port = server.server_port
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture(scope="session")
def folder(request, tmp_path_factory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("built") / "site"
    try:
        build(out, downloads=request.config.cache.mkdir("npm"))
    except BuildError as error:
        if wasm.VARIABLE not in str(error):
            raise
        pytest.skip(str(error))
    return out


@contextmanager
def visit(browser, host: Host) -> Iterator[Visitor]:
    """Open the page; at the end nothing may have been asked of another site, and nothing may have gone wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        visitor = Visitor(context, host.url).open()
        yield visitor
        assert visitor.problems == []
    finally:
        context.close()


@pytest.fixture(scope="module")
def host(folder) -> Iterator[Host]:
    host = Host(make_server(folder))
    yield host
    host.stop()


@pytest.fixture(scope="module")
def visitor(browser, host) -> Iterator[Visitor]:
    """One person for all tests that need no page of their own: it takes a while to start."""
    with visit(browser, host) as visitor:
        yield visitor


def upload(visitor: Visitor, name: str, data: bytes, media_type: str = "image/jpeg") -> None:
    visitor.upload({"name": name, "mimeType": media_type, "buffer": data})
    expect(visitor.page.get_by_text(f"Before: {name}")).to_be_visible(timeout=60_000)


def run(visitor: Visitor, tmp_path: Path) -> Image.Image:
    visitor.press_run()
    visitor.sees_after()
    with Image.open(visitor.download(tmp_path)) as cutout:
        return cutout.copy()


def test_page_has_the_colours_of_the_system(visitor):
    visitor.page.emulate_media(color_scheme="dark")
    expect(visitor.page.locator("body")).to_have_css("background-color", "rgb(18, 18, 18)")
    visitor.page.emulate_media(color_scheme="light")
    expect(visitor.page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")


def test_a_phone_photo_becomes_the_cutout_that_the_library_makes(visitor, tmp_path):
    photo = phone_photo()
    upload(visitor, "holiday.jpg", photo)
    cutout = np.asarray(run(visitor, tmp_path))
    expected = remove_background(photo, refine="none")  # the page's default
    assert cutout.shape == (4000, 3000, 4), "turned upright"
    alpha = np.abs(cutout[..., 3] - expected.alpha * 255.0)
    assert alpha.mean() < 2, "of 255"
    both = (cutout[..., 3] > 0) & (expected.pixels[..., 3] > 0)
    colours = np.abs(cutout[..., :3][both].astype(int) - expected.pixels[..., :3][both])
    assert colours.mean() < 1, "another JPEG decoder, the same colours"
    expect(visitor.page.get_by_text("Kept on this page only")).to_be_visible()


def test_a_photo_with_transparency_keeps_its_straight_colours(visitor, tmp_path):
    with Image.open(SAMPLES / "cat.jpg") as cat:
        pixels = np.dstack([np.asarray(cat), np.full((300, 451), 40, np.uint8)])
    pixels[:, :225, 3] = 255
    photo = file_of(Image.fromarray(pixels), "PNG")
    upload(visitor, "faint.png", photo, "image/png")
    cutout = np.asarray(run(visitor, tmp_path)).astype(int)
    expected = remove_background(photo, refine="none").pixels.astype(int)
    assert np.abs(cutout[..., 3] - expected[..., 3]).mean() < 2
    both = (cutout[..., 3] > 0) & (expected[..., 3] > 0)
    assert 0 < cutout[..., 3][both].min() < 40
    # A canvas would round colours at alpha 40 by up to 3; what differs are colours that were estimated in soft edges.
    assert np.abs(cutout[..., :3][both] - expected[..., :3][both]).mean() < 0.1, "not rounded by a canvas"


def test_changes_of_the_edge_are_seen_before_they_are_applied(visitor, tmp_path):
    upload(visitor, "cat.jpg", CAT)
    before = np.asarray(run(visitor, tmp_path))
    visitor.page.get_by_role("button", name="Edges and clean-up").click()
    visitor.page.get_by_role("slider", name="Shift the edge").first.focus()
    for _ in range(8):
        visitor.page.keyboard.press("ArrowLeft")
    expect(visitor.page.get_by_text("After: preview of your changes")).to_be_visible(timeout=60_000)
    visitor.page.get_by_role("button", name="Apply changes").click()
    expect(visitor.page.get_by_role("button", name="Apply changes")).to_be_hidden(timeout=60_000)
    visitor.sees_after()
    with Image.open(visitor.download(tmp_path)) as cutout:
        assert (np.asarray(cutout)[..., 3] > 128).sum() < (before[..., 3] > 128).sum()
    for _ in range(8):
        visitor.page.keyboard.press("ArrowRight")


def test_background_and_format_change_without_another_run(visitor, tmp_path):
    upload(visitor, "cat.jpg", CAT)
    run(visitor, tmp_path)
    visitor.page.get_by_role("button", name="White", exact=True).click()
    expect(visitor.page.get_by_role("link", name="Download PNG, on white (")).to_be_visible(timeout=60_000)
    visitor.page.get_by_role("combobox", name="Format").click()
    expect(visitor.page.get_by_role("menuitem", name="AVIF")).to_have_count(0)
    visitor.page.get_by_role("menuitem", name="JPEG").click()
    expect(visitor.page.get_by_role("link", name="Download JPEG, on white (")).to_be_visible(timeout=60_000)
    with Image.open(visitor.download(tmp_path)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (451, 300))
        assert min(image.getpixel((3, 3))) > 250
    visitor.page.get_by_role("button", name="Transparent", exact=True).click()
    expect(visitor.page.get_by_role("link", name="Download PNG, transparent (")).to_be_visible(timeout=60_000)


def test_last_results_can_be_shown_deleted_and_brought_back(visitor, tmp_path):
    upload(visitor, "one.jpg", CAT)
    run(visitor, tmp_path)
    count = visitor.history.count()
    visitor.page.get_by_role("button", name="Delete").click()
    expect(visitor.history).to_have_count(count - 1)
    visitor.page.get_by_role("button", name="Undo").click()
    expect(visitor.history).to_have_count(count)
    expect(visitor.page.get_by_text("Before: one.jpg")).to_be_visible()
    with Image.open(visitor.download(tmp_path)) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (451, 300))


def test_a_run_can_be_cancelled_and_started_again(visitor, tmp_path):
    upload(visitor, "long.jpg", phone_photo())
    visitor.press_run()
    visitor.page.get_by_role("button", name="Cancel").click()
    expect(visitor.run_button).to_be_enabled(timeout=60_000)
    expect(visitor.after).to_have_attribute("data-state", "empty")
    assert run(visitor, tmp_path).size == (3000, 4000)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("empty.jpg", b"", "empty"),
        ("letter.pdf", b"%PDF-1.7 ...", "is a PDF document"),
        ("cut.jpg", CAT[: len(CAT) // 2], "is broken or cut off"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(visitor, name, data, sentence):
    visitor.upload({"name": name, "mimeType": "image/jpeg", "buffer": data})
    expect(visitor.notice).to_contain_text(sentence, timeout=60_000)


def test_on_a_plain_host_it_is_isolated_and_works_when_the_server_is_gone(browser, folder, tmp_path):
    host = Host(make_server(folder, plain=True))
    try:
        with visit(browser, host) as visitor:
            assert visitor.page.evaluate("crossOriginIsolated"), "by the service worker"
            assert visitor.page.evaluate("localStorage.length") == 0
            visitor.page.wait_for_function(_ALL_KEPT, timeout=60_000)
            host.stop()
            visitor.page.reload()
            visitor.is_ready()
            upload(visitor, "cat.jpg", CAT)
            assert run(visitor, tmp_path).mode == "RGBA"
            assert visitor.history.count() == 1, "the results of an earlier visit are gone"
    finally:
        host._server.server_close()


# The service worker keeps every file of the site but the weights, which the inference worker keeps.
_ALL_KEPT = """async () => {
    const kept = {}
    for (const name of await caches.keys()) { kept[name] = (await (await caches.open(name)).keys()).length }
    const site = Object.entries(kept).find(([name]) => name.startsWith("cutout "))?.[1] ?? 0
    const known = (await (await fetch("service_worker.js")).text()).match(/\\": \\"[0-9a-f]{64}\\"/g).length
    return site >= known && kept["cutout-weights"] === 1
}"""
