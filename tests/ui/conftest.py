"""The served dashboard and a real Chromium; each visitor is a browser context of its own."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from serving import Server


class Visitor:
    """One person at the page; knows what a person sees."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.server = server
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        context.on("request", self._record_foreign)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("console", self._record_console)

    def _record_foreign(self, request) -> None:
        allowed = (f"http://127.0.0.1:{self.server.port}/", f"ws://127.0.0.1:{self.server.port}/", "data:", "blob:")
        if not request.url.startswith(allowed):
            self.problems.append(f"foreign request: {request.url}")

    def _record_console(self, message) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def open(self) -> Visitor:
        self.page.goto(self.server.url)
        expect(self.page.get_by_role("button", name="A cat")).to_be_enabled(timeout=60_000)
        return self

    @property
    def run_button(self):
        return self.page.get_by_role("button", name="Run", exact=True)

    @property
    def notice(self):
        return self.page.get_by_role("alert")

    @property
    def before(self):
        return self.page.locator("figure").nth(0)

    @property
    def after(self):
        return self.page.locator("figure").nth(1)

    @property
    def history(self):
        return self.page.get_by_role("group", name="Your last results").get_by_role("button")

    def upload(self, *files) -> None:
        self.page.locator("input[type=file]").set_input_files(*files)

    def drop(self, name: str, data: bytes, media_type: str) -> None:
        """Drop a file on the drop zone with the events that a real drop fires."""
        transfer = self.page.evaluate_handle(
            """([name, bytes, type]) => {
                const transfer = new DataTransfer()
                transfer.items.add(new File([Uint8Array.from(atob(bytes), c => c.charCodeAt(0))], name, {type}))
                return transfer
            }""",
            [name, base64.b64encode(data).decode(), media_type],
        )
        zone = self.page.get_by_text("Drop a photo here")
        for event in ("dragenter", "dragover", "drop"):
            zone.dispatch_event(event, {"dataTransfer": transfer})

    def sees_before(self) -> None:
        expect(self.before).to_have_attribute("data-state", "ready", timeout=60_000)

    def sees_after(self) -> None:
        expect(self.after).to_have_attribute("data-state", "ready", timeout=120_000)
        expect(self.run_button).to_be_enabled(timeout=60_000)  # it is stored, too

    def press_run(self) -> None:
        expect(self.run_button).to_be_enabled(timeout=60_000)
        self.run_button.click()

    def pixels_of_after(self) -> Image.Image:
        """What the after pane's picture shows on the screen."""
        return Image.open(io.BytesIO(self.after.locator("img").screenshot())).convert("RGB")

    def download(self, path: Path) -> Path:
        with self.page.expect_download(timeout=120_000) as download:
            self.page.get_by_role("button", name="Download").click()
        path = path / download.value.suggested_filename
        download.value.save_as(path)
        return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium.find()
    assert executable is not None, "No Chromium: run `make test`, which installs one, or name it in CHROMIUM."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("served") / "artifacts")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_visitor(browser, server):
    """Makes visitors; at the end none of them may have met a foreign request, a page error or a console error."""
    contexts, visitors = [], []

    def make(**options) -> Visitor:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(**options)
        contexts.append(context)
        visitors.append(Visitor(context, server))
        return visitors[-1]

    yield make
    for context in contexts:
        context.close()
    problems = [problem for visitor in visitors for problem in visitor.problems]
    assert not problems


@pytest.fixture
def visitor(new_visitor) -> Visitor:
    return new_visitor().open()
