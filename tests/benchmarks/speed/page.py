"""What a visitor of the page waits for, measured in Chromium on loopback."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import chromium
from bokeh.embed import file_html
from bokeh.layouts import row
from bokeh.plotting import figure
from bokeh.resources import INLINE
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from serving import Server

# A picture is painted two frames after it is there: the first draws it, the second comes when that is done.
_PAINTED = """(figure, [since, title, backdrop]) => new Promise((done, fail) => {
    const look = () => {
        const image = figure.querySelector("img")
        const there = figure.dataset.state === "ready" && image.complete && image.naturalWidth
        if (there && image.alt === title && image.style.backgroundColor === backdrop) {
            requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - since)))
        } else if (performance.now() - since > 60000) {
            fail(new Error(`not painted within a minute: ${title}; was no subject found?`))
        } else { setTimeout(look, 4) }
    }
    look()
})"""


@contextmanager
def opened_page() -> Iterator[tuple[Page, Server]]:
    """Serve the dashboard and open it."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder) / "artifacts")
        server.start()
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.url)
            expect(page.get_by_role("button", name="An astronaut")).to_be_enabled(timeout=60_000)
            yield page, server
        finally:
            browser.close()
            server.stop()


def measure(page: Page, server: Server, photo: Path) -> dict[str, float]:
    """Upload a photo, run it and change its background; give the seconds of each, and those of the pipeline itself."""
    before, after = (page.locator("figure").nth(number) for number in (0, 1))
    run = page.get_by_role("button", name="Run", exact=True)

    since = page.evaluate("performance.now()")
    page.locator("input[type=file]").set_input_files(photo)
    upload = before.evaluate(_PAINTED, [since, f"Before: {photo.name}", ""])

    expect(run).to_be_enabled(timeout=60_000)
    since = run.evaluate("button => { button.click(); return performance.now() }")
    ran = after.evaluate(_PAINTED, [since, "After", ""])
    expect(run).to_be_enabled(timeout=60_000)
    stored = page.evaluate("performance.now()") - since

    background = page.get_by_role("button", name="White", exact=True)
    since = background.evaluate("button => { button.click(); return performance.now() }")
    changed = after.evaluate(_PAINTED, [since, "After", "white"])
    page.get_by_role("button", name="Transparent", exact=True).click()

    newest = max(server.artifacts.glob("*/record.json"), key=lambda path: path.stat().st_mtime_ns)
    pipeline = sum(json.loads(newest.read_text())["timings_s"].values())
    return {
        "upload_s": upload / 1e3,
        "run_s": ran / 1e3,
        "pipeline_s": pipeline,
        "wait_s": ran / 1e3 - pipeline,
        "stored_s": stored / 1e3,
        "background_s": changed / 1e3,
    }


def medians(photos: list[Path], rounds: int) -> dict[str, float]:
    """Measure all photos so many times in one page, after one that does not count."""
    with opened_page() as (page, server):
        measure(page, server, photos[0])
        runs = [measure(page, server, photo) for _ in range(rounds) for photo in photos]
    return {name: median(run[name] for run in runs) for name in runs[0]}


def draw_growth(runs: list[tuple[float, float, float]], path: Path) -> None:
    """Draw seconds of CPU and megabytes of memory over megapixels as one picture."""
    megapixels, seconds, megabytes = zip(*runs, strict=True)
    plots = []
    for title, values, colour in (("CPU, seconds", seconds, "#0f766e"), ("Peak memory, MB", megabytes, "#b45309")):
        plot = figure(width=420, height=300, title=title, x_axis_label="megapixels", toolbar_location=None)
        plot.line(megapixels, values, color=colour, line_width=2)
        plot.scatter(megapixels, values, color=colour, size=7)
        plot.y_range.start = 0
        plots.append(plot)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
        sheet = browser.new_page(viewport={"width": 860, "height": 320}, device_scale_factor=2)
        sheet.set_content(file_html(row(*plots), INLINE, "growth"))
        sheet.wait_for_timeout(1000)
        picture = Image.open(io.BytesIO(sheet.screenshot()))
        browser.close()
    picture.convert("RGB").save(path, quality=85, method=6)
