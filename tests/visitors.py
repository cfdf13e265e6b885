"""One person at the dashboard in a real Chromium, for the tests of the served page and of the static site."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect


class Visitor:
    """One person at the page; knows what a person sees.

    Parameters
    ----------
    context : BrowserContext
        The person's browser.
    url : str
        The page. What is asked of any other site is noted in `problems`.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        context.on("request", self._record_foreign)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("console", self._record_console)

    def _record_foreign(self, request) -> None:
        site = urlsplit(self.url).netloc
        allowed = (f"http://{site}/", f"ws://{site}/", f"blob:http://{site}/", "data:")
        if not request.url.startswith(allowed):
            self.problems.append(f"foreign request: {request.url}")

    def _record_console(self, message) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def open(self) -> Visitor:
        self.page.goto(self.url)
        return self.is_ready()

    def is_ready(self) -> Visitor:
        expect(self.page.get_by_role("button", name="A cat")).to_be_enabled(timeout=120_000)
        return self

    @property
    def run_button(self):
        return self.page.get_by_role("button", name="Run", exact=True)

    @property
    def download_button(self):
        """The button of a served page, or the link of the static one."""
        return self.page.get_by_role("button", name="Download").or_(self.page.get_by_role("link", name="Download"))

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
            self.download_button.click()
        path = path / download.value.suggested_filename
        download.value.save_as(path)
        return path
