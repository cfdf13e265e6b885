"""The static site in Chromium: how long it takes to start and to cut out, what it costs, and rembg-web beside it.

::

    PYODIDE_WHEELS=... python -m dashboard.browser build site
    python tests/benchmarks/browser.py site [--rounds 5] [--photo photo.jpg] [--rival folder]

The server runs on loopback, with the headers that isolate a page. `--rival` names a folder with the npm packages
`@bunnio/rembg-web` and the `onnxruntime-web` that it asks for, as `npm install` makes it; the same weights run there.
docs/browser.md has the table.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent / "speed"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import chromium
import numpy as np
from large_photos import write_photos
from PIL import Image
from playwright.sync_api import Playwright, sync_playwright
from visitors import Visitor

from processing import remove_background
from processing.models import DEFAULT_MODEL, find_model

_FIRST_PAINT = """() => new Promise(done => {
    new PerformanceObserver(list => done(list.getEntries()[0].startTime)).observe({type: "paint", buffered: true})
})"""

# The same as a person sees it: the figure says when its picture is there, and two frames later it is painted.
_PAINTED = """(figure, since) => new Promise(done => {
    const look = () => figure.dataset.state === "ready"
        ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - since)))
        : setTimeout(look, 4)
    look()
})"""


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--rival", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        photo = asked.photo or write_photos(Path(scratch), 12, 1)[0]
        with served(asked.site) as url:
            figures = measure_site(playwright, url, photo, asked.rounds, Path(scratch))
            figures["first visit, without weights"] = f"{measure_traffic(playwright, url, asked.site):.2f} MB"
        figures |= measure_library(playwright, asked.site, photo, asked.rounds)
        if asked.rival is not None:
            figures |= measure_rival(playwright, asked.rival, photo, asked.rounds)
    print(f"| {photo.name}, {asked.rounds} rounds, median (least to most) | |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value} |")


def span(seconds: list[float]) -> str:
    """Write a list of times as the table does."""
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve a folder as `python -m dashboard.browser serve` does, on a free port."""
    command = [sys.executable, "-m", "dashboard.browser", "serve", str(site), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        yield next(word for word in said.split() if word.startswith("http://"))
    finally:
        process.terminate()
        process.wait(30)


def measure_site(playwright: Playwright, url: str, photo: Path, rounds: int, scratch: Path) -> dict[str, str]:
    """Open the page cold and warm, run the photo, weigh the renderer, and compare with the library."""
    launch = {"executable_path": chromium.find(), "args": chromium.ARGUMENTS}
    cold, warm, painted, first, again, weights = [], [], [], [], [], []
    another = scratch / "another.jpg"  # the same picture; a photo that comes twice in a row is not decoded twice
    another.write_bytes(photo.read_bytes() + b"\0")
    problems: list[str] = []
    for _ in range(rounds):
        browser = playwright.chromium.launch(**launch)
        visitor = Visitor(browser.new_context(viewport={"width": 1280, "height": 900}), url)
        start = time.perf_counter()
        visitor.open()
        cold.append(time.perf_counter() - start)
        visitor.page.wait_for_timeout(3000)  # the service worker stores the rest
        start = time.perf_counter()
        visitor.page.reload()
        visitor.is_ready()
        warm.append(time.perf_counter() - start)
        painted.append(visitor.page.evaluate(_FIRST_PAINT) / 1e3)
        first.append(run_once(visitor, photo))
        again.append(run_once(visitor, another))
        file = visitor.download(scratch)
        weights.append(renderer_pss() / 1e9)
        problems += visitor.problems
        browser.close()
    with Image.open(file) as cutout:
        alpha = np.asarray(cutout)[..., 3].astype(np.float64)
    expected = remove_background(photo, refine="none").alpha * 255.0  # the page refines no edges
    figures = {
        "page ready, first visit": span(cold),
        "page ready, warm": span(warm),
        "first paint, warm": span(painted),
    }
    for name in first[0]:
        figures[f"{name}; first of a visit"] = span([each[name] for each in first])
        figures[f"{name}; the next"] = span([each[name] for each in again])
    figures["memory of the renderer (PSS)"] = f"{median(weights):.2f} GB (most {max(weights):.2f})"
    figures["alpha, mean difference from the library"] = f"{np.abs(alpha - expected).mean():.3f} of 255"
    figures["foreign requests and errors"] = str(len(problems)) + "".join(f"; {problem}" for problem in problems)
    return figures


def run_once(visitor: Visitor, photo: Path) -> dict[str, float]:
    """Drop a photo, run it; seconds until each thing is there."""
    page = visitor.page
    since = page.evaluate("performance.now()")
    visitor.upload(photo)
    visitor.page.get_by_text(f"Before: {photo.name}").wait_for()
    seen = visitor.before.evaluate(_PAINTED, since)
    visitor.run_button.wait_for()
    visitor.press_run()
    since = page.evaluate("performance.now()")
    painted = visitor.after.evaluate(_PAINTED, since)
    visitor.sees_after()
    done = page.evaluate("performance.now()") - since
    return {
        "photo dropped to seen": seen / 1e3,
        "Run pressed to cutout painted": painted / 1e3,
        "Run pressed to file ready": done / 1e3,
        "JPEG to PNG (dropped to seen, and Run to file)": (seen + done) / 1e3,
    }


def renderer_pss() -> int:
    """Return the proportional set size of the largest renderer among our descendants, in bytes."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    sizes = [0]
    for pid in filter(is_ours, parents):
        try:
            if "--type=renderer" in (Path("/proc") / str(pid) / "cmdline").read_text():
                rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
                sizes.append(1024 * int(rollup.partition("\nPss:")[2].split()[0]))
        except OSError:
            continue
    return max(sizes)


def measure_traffic(playwright: Playwright, url: str, site: Path) -> float:
    """Return the megabytes of a first visit without the weights, each file packed by gzip as a host does."""
    browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
    context, asked = browser.new_context(), set()
    context.on("request", lambda request: asked.add(urlsplit(request.url).path.lstrip("/") or "index.html"))
    Visitor(context, url).open().page.wait_for_timeout(5000)
    browser.close()
    files = [site / path for path in asked if (site / path).is_file() and not path.endswith(".onnx")]
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files) / 1e6


# The same work without a page around it: file in, file out. Each round has one byte more at the end of the file, which
# no decoder minds, because a photo that comes twice in a row is not decoded twice.
_LIBRARY_WORKER = """importScripts("./pyodide/pyodide.js", "./python.js")
const started = startPython()
self.onmessage = async ({data: rounds}) => {
  const python = await started
  python.globals.set("rounds", rounds)
  python.globals.set("photo", new Uint8Array(await (await fetch("photo.jpg")).arrayBuffer()))
  self.postMessage({times: (await python.runPythonAsync(`
import time
from js import self
from processing import Recipe, run_async
from processing.browser.codecs import encode_file
from processing.browser.engine import BrowserEngine
from processing.models import DEFAULT_MODEL, find_model

engine = BrowserEngine(str(self.location.href).rpartition("/")[0] + "/")
session = await engine.open(find_model(DEFAULT_MODEL))
predict, inferences, totals = session.predict, [], []

async def timed(*given):
    start = time.perf_counter()
    raw = await predict(*given)
    inferences.append(time.perf_counter() - start)
    return raw

session.predict = timed
recipe = Recipe(refine="none", clean_colours=False)  # rembg-web leaves the colours of soft edges too
for round in range(rounds + 1):
    data = photo.to_bytes() + bytes(round)
    start = time.perf_counter()
    await encode_file(await run_async(data, recipe, engine=engine), recipe)
    totals.append(time.perf_counter() - start)
[totals[1:], inferences[1:]]
`)).toJs()})
}
"""


def measure_library(playwright: Playwright, site: Path, photo: Path, rounds: int) -> dict[str, str]:
    """Time `run_async` and the encoding alone, as `measure_rival` does with rembg-web."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(site, scratch, dirs_exist_ok=True)
        shutil.copy(photo, Path(scratch) / "photo.jpg")
        (Path(scratch) / "library.js").write_text(_LIBRARY_WORKER)
        (Path(scratch) / "index.html").write_text("<!doctype html>")
        with isolated(Path(scratch)) as url:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
            page = browser.new_page()
            page.goto(url)
            totals, inferences = page.evaluate(
                """rounds => new Promise((done, failed) => {
                    const worker = new Worker("library.js")
                    worker.onmessage = ({data}) => { if (data.times) { done(data.times) } }
                    worker.onerror = event => failed(new Error(event.message))
                    worker.postMessage(rounds)
                })""",
                rounds,
            )
            browser.close()
    return in_and_outside("Cutout without the page", totals, inferences)


def in_and_outside(who: str, totals: list[float], inferences: list[float]) -> dict[str, str]:
    """Return the rows of a table about one photo, file in, file out."""
    outside = [total - inference for total, inference in zip(totals, inferences, strict=True)]
    return {
        f"{who}: JPEG to PNG": span(totals),
        f"{who}: its inference": span(inferences),
        f"{who}: all else": span(outside),
    }


_RIVAL_PAGE = """<!doctype html><script src="ort.wasm.min.js"></script><script src="index.umd.js"></script>"""

# Times the inference inside; weights come from its own cache after the first round.
_RIVAL_RUN = """async () => {
    if (!window.session) {
        const create = ort.InferenceSession.create.bind(ort.InferenceSession)
        ort.InferenceSession.create = async (...given) => {
            const made = await create(...given), run = made.run.bind(made)
            made.run = async (...feeds) => {
                const start = performance.now(), outputs = await run(...feeds)
                window.inference = performance.now() - start
                return outputs
            }
            return made
        }
        ort.env.wasm.wasmPaths = new URL("./", location).href
        RembgWeb.rembgConfig.setCustomModelPath("u2netp", new URL("weights.onnx", location).href)
        window.session = RembgWeb.newSession("u2netp", undefined, {numThreads: 2, executionProviders: ["wasm"]})
    }
    const photo = new File([await (await fetch("photo.jpg")).arrayBuffer()], "photo.jpg", {type: "image/jpeg"})
    const start = performance.now()
    const file = await RembgWeb.remove(photo, {session: await window.session})
    return [(performance.now() - start) / 1e3, window.inference / 1e3, file.size, file.type]
}"""


def measure_rival(playwright: Playwright, folder: Path, photo: Path, rounds: int) -> dict[str, str]:
    """Run rembg-web on the same photo with the same weights; return its times, the inference apart."""
    with tempfile.TemporaryDirectory() as scratch:
        for source, name in (
            (folder / "@bunnio/rembg-web/dist/index.umd.js", "index.umd.js"),
            *((folder / "onnxruntime-web/dist" / name, name) for name in _ORT_FILES),
            (find_model(DEFAULT_MODEL).weights, "weights.onnx"),
            (photo, "photo.jpg"),
        ):
            shutil.copy(source, Path(scratch) / name)
        (Path(scratch) / "index.html").write_text(_RIVAL_PAGE)
        with isolated(Path(scratch)) as url:
            browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.ARGUMENTS)
            page = browser.new_page()
            page.goto(url)
            page.evaluate(_RIVAL_RUN)
            totals, inferences = [], []
            for _ in range(rounds):
                total, inference, _, media_type = page.evaluate(_RIVAL_RUN)
                assert media_type == "image/png"
                totals.append(total)
                inferences.append(inference)
            browser.close()
    return in_and_outside("rembg-web", totals, inferences)


_ORT_FILES = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


class _Isolated(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def isolated(folder: Path) -> Iterator[str]:
    """Serve a folder as an isolated page, on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Isolated, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


if __name__ == "__main__":
    main()
