"""Make the pictures in docs/images from the code itself: `.venv/bin/python docs/make_pictures.py`.

One run of the bundled astronaut gives the pictures of `how-it-works.md`. With `--screenshots` it also serves the page,
drives it in Chromium and takes the README's screenshots.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dashboard.samples import find_sample
from processing import ArtifactStore, Result, run
from processing.composite import BACKGROUNDS, over

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"

#: Top, left, height and width of the part of the astronaut's outline that is shown enlarged, in pixels.
EDGE = (40, 270, 40, 40)
EDGE_ZOOM = 8
GAP = 12
INK = (40, 44, 52)

#: Screenshots: width and height of the window in pixels, and whether the dark colours are on. The page scrolls inside
#: its window, so a screenshot shows as much as the window is high.
VIEWS = {
    "page": (1200, 960, False),
    "page-phone": (390, 1760, False),
    "page-dark": (1200, 960, True),
}


# From values to pictures


def draw_steps(folder: Path) -> None:
    """Run the pipeline on the astronaut and draw each value on the way."""
    sample = find_sample("astronaut")
    result = run(sample.read(), name=sample.file_name)
    pictures = {
        "source": Image.fromarray(result.source.pixels),
        "model-input": draw_model_input(result),
        "raw-output": grey(result.raw[0, 0]),
        "alpha": grey(result.alpha),
        "cutout": Image.fromarray(over_checkerboard(result.pixels)),
        "edge": draw_edge(result),
        "backgrounds": draw_backgrounds(result),
        "folder": draw_folder(result),
        "compact": draw_card(),
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.webp", quality=88, method=6)


def grey(values: np.ndarray) -> Image.Image:
    """Show float values from 0 (black) to 1 (white)."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def draw_model_input(result: Result) -> Image.Image:
    """Show the tensor: undo its normalisation, (1, 3, S, S) to (S, S, 3)."""
    colours = result.tensor[0].transpose(1, 2, 0) * result.model.std + result.model.mean
    return Image.fromarray(np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8))


def over_checkerboard(cutout: np.ndarray, side: int = 16) -> np.ndarray:
    """Lay a cutout over grey and white squares, as the page and a notebook cell show transparency."""
    rows, columns = np.indices(cutout.shape[:2]) // side
    board = np.where((rows + columns) % 2, 255, 200)[..., np.newaxis]
    alpha = cutout[..., 3:] / 255
    return np.rint(cutout[..., :3] * alpha + board * (1 - alpha)).astype(np.uint8)


def draw_edge(result: Result) -> Image.Image:
    """Show a piece of the outline three times: alpha, straight alpha over white, premultiplied alpha over white."""
    top, left, height, width = EDGE
    piece = result.pixels[top : top + height, left : left + width]
    premultiplied = piece.copy()
    premultiplied[..., :3] = np.rint(piece[..., :3] * (piece[..., 3:] / 255))
    white = (255, 255, 255)
    tiles = {
        "alpha": Image.fromarray(piece[..., 3]).convert("RGB"),
        "straight, over white": Image.fromarray(over(piece, white)),
        "premultiplied, over white": Image.fromarray(over(premultiplied, white)),
    }
    size = (width * EDGE_ZOOM, height * EDGE_ZOOM)
    return in_a_row({title: tile.resize(size, Image.Resampling.NEAREST) for title, tile in tiles.items()})


def draw_backgrounds(result: Result) -> Image.Image:
    """Show the cutout over each named background."""
    tiles = {}
    for name, colour in BACKGROUNDS.items():
        laid = over_checkerboard(result.pixels) if colour is None else over(result.pixels, colour)
        tiles[name] = Image.fromarray(laid).resize((300, 300), Image.Resampling.LANCZOS)
    return in_a_row(tiles)


def draw_folder(result: Result) -> Image.Image:
    """Store the result in a temporary folder and show the files that are in it."""
    tiles = {}
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        record = store.save(result)
        for path in sorted(store.folder(record).iterdir()):
            tiles[path.name] = draw_text_file(path) if path.suffix == ".json" else draw_image_file(path)
    return in_a_row(tiles)


def draw_image_file(path: Path, side: int = 120) -> Image.Image:
    """Show an image file in a square; its transparency as a checkerboard."""
    with Image.open(path) as image:
        if image.mode == "I;16":  # Pillow's own conversion shows everything over 255 as white
            image = grey(np.asarray(image) / 65535)
        small = np.asarray(image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS))
    return Image.fromarray(over_checkerboard(small, side // 12))


def draw_text_file(path: Path, side: int = 120) -> Image.Image:
    """Show the first lines of a text file in a square."""
    page = Image.new("RGB", (side, side), (246, 247, 249))
    lines = "\n".join(path.read_text("utf-8").splitlines()[:12])
    ImageDraw.Draw(page).multiline_text((6, 5), lines, INK, ImageFont.load_default(7.5), spacing=2)
    return page


def draw_card(height: int = 150) -> Image.Image:
    """Show what the built-in model makes of four photos that may be shown: the samples, and a rocket by SpaceX."""
    import skimage

    photos = {name: find_sample(name).read() for name in ("astronaut", "cat", "cup")}
    photos["rocket"] = (Path(skimage.__file__).parent / "data" / "rocket.jpg").read_bytes()
    tiles = {}
    for name, data in photos.items():
        result = run(data, name=name)
        size = (round(height * result.source.size[1] / result.source.size[0]), height)
        for title, picture in ((name, Image.fromarray(result.source.pixels)), (f"{name}, cut out", result.cutout)):
            small = picture.convert("RGBA").resize(size, Image.Resampling.LANCZOS)
            tiles[title] = Image.fromarray(over_checkerboard(np.asarray(small), 8))
    names = list(tiles)
    rows = [in_a_row({name: tiles[name] for name in names[start : start + 4]}) for start in (0, 4)]
    card = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), (255, 255, 255))
    for number, row in enumerate(rows):
        card.paste(row, (0, sum(each.height for each in rows[:number])))
    return card


def in_a_row(tiles: dict[str, Image.Image]) -> Image.Image:
    """Put pictures side by side on white, each with its title above."""
    title_height = 26
    width = sum(tile.width for tile in tiles.values()) + GAP * (len(tiles) + 1)
    height = max(tile.height for tile in tiles.values()) + title_height + GAP
    row = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(row)
    x = GAP
    for title, tile in tiles.items():
        draw.text((x, 6), title, INK, ImageFont.load_default(14))
        row.paste(tile, (x, title_height))
        draw.rectangle((x, title_height, x + tile.width - 1, title_height + tile.height - 1), outline=(190, 194, 200))
        x += tile.width + GAP
    return row


# Screenshots of the served page


@contextlib.contextmanager
def served_page() -> Iterator[str]:
    """Serve the dashboard on a free port with an artifacts folder of its own; give its address, stop it at the end."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/app"
    with tempfile.TemporaryDirectory() as folder:
        command = ["panel", "serve", str(ROOT / "dashboard" / "app.py"), "--address", "127.0.0.1", "--port", str(port)]
        # A relative artifacts folder: the page names it, and a screenshot should show no temporary path.
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**os.environ, "CUTOUT_ARTIFACTS": "artifacts"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(url, server)
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers; its own process must still be alive."""
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"The server ended with code {server.returncode} before it answered.")
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=30).read()
            return
        time.sleep(0.1)
    raise SystemExit("The server did not answer within a minute.")


def take_screenshots(folder: Path) -> None:
    """Cut out the astronaut in the served page; save it as seen on a desktop, in dark colours and on a phone."""
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(ROOT / "tests"))
    import chromium

    executable = chromium.find()
    if executable is None:
        raise SystemExit("No Chromium found: `make test` installs one, or name one in CHROMIUM.")
    with served_page() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=chromium.ARGUMENTS)
        page = browser.new_page()
        cut_out_astronaut(page, url)
        is_dark = False
        for name, (width, height, dark) in VIEWS.items():
            page.set_viewport_size({"width": width, "height": height})
            if dark != is_dark:
                page.get_by_role("button", name="Toggle theme").click()
                is_dark = dark
            page.mouse.move(0, 0)
            page.wait_for_timeout(700)  # the ripple of a pressed button fades, colours change, the page is laid out
            save_png(page.screenshot(), folder / f"{name}.png")
        browser.close()


def cut_out_astronaut(page: Page, url: str) -> None:
    """Open the page as a new visitor, choose the astronaut, press Run, and wait until the result is shown."""
    page.goto(url)
    page.get_by_role("button", name="An astronaut").click(timeout=60_000)
    run_button = page.get_by_role("button", name="Run", exact=True)
    page.wait_for_function("button => !button.disabled", arg=run_button.element_handle(), timeout=60_000)
    run_button.click()
    page.locator("figure").nth(1).and_(page.locator("[data-state=ready]")).wait_for(timeout=120_000)
    page.get_by_text("Saved at").wait_for()
    page.get_by_role("group", name="Your last results").get_by_role("button").wait_for()


def save_png(shot: bytes, path: Path) -> None:
    """Save a screenshot with 256 colours: a third of the size, and the difference is hard to see."""
    with Image.open(io.BytesIO(shot)) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(
            path, "PNG", optimize=True
        )


def main() -> None:
    """Make the pictures; with --screenshots the page's too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--screenshots", action="store_true", help="also take the screenshots of the served page")
    parser.add_argument("--folder", type=Path, default=IMAGES, help="where to write; docs/images if not given")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    draw_steps(options.folder)
    if options.screenshots:
        take_screenshots(options.folder)


if __name__ == "__main__":
    main()
