"""The JavaScript of `processing` in Chromium, used by Python in a Pyodide worker as in the in-browser dashboard.

Pyodide's core has no numpy and no Pillow, so what is tested here is the browser's share of the work.
"""

from __future__ import annotations

import base64
import io
import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser.static_site import JAVASCRIPT, Site, serve
from images import (
    P3_CORNERS,
    P3_PRIMARIES,
    camera_exif,
    chart_in,
    figure,
    file_of,
    gradient,
    rgb_profile,
)
from PIL import Image
from playwright.sync_api import Browser

from processing.images import decode
from processing.models import ModelSpec

pytestmark = pytest.mark.browser

WEIGHTS = "/models/compact.onnx"
PAGE = b"<!doctype html><title>Test</title><link rel=icon href=data:,>"

PYTHON = """
    import asyncio, base64
    import cutout_bridge as bridge
    import js
    from pyodide.ffi import JsException, to_js

    def make_inference(**settings):
        return bridge.Inference.new(to_js(SETTINGS | settings, dict_converter=js.Object.fromEntries))

    async def make_input():
        return js.Float32Array.new(await (await js.fetch("/tensor.bin")).arrayBuffer())

    async def predict(inference):
        return await inference.predict(await make_input(), to_js([1, 3, 320, 320]))

    async def failure(awaitable):
        try:
            await awaitable
        except JsException as error:
            return [error.name, error.message]

    def as_text(data):
        return base64.b64encode(data).decode()
"""

START = """
() => {
  const worker = new Worker("python_worker.js"), waiting = new Map()
  let last = 0
  worker.onmessage = ({data: {id, value, error}}) => {
    const [resolve, reject] = waiting.get(id)
    waiting.delete(id)
    error === undefined ? resolve(value) : reject(new Error(error))
  }
  worker.onerror = event => { for (const [, reject] of waiting.values()) { reject(new Error(event.message)) } }
  window.runPython = code => new Promise((resolve, reject) => {
    waiting.set(++last, [resolve, reject])
    worker.postMessage({id: last, code})
  })
}
"""


class Visit:
    """A page of the site with Python in a worker; knows what it asked the network for."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.site, self.context = site, browser.new_context()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.context.on("request", self._record)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.goto(f"{site.origin}/index.html")

    def _record(self, request: Any) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.site.origin}/", "data:", "blob:")):
            self.problems.append(f"foreign request: {request.url}")

    def start_python(self, settings: dict[str, Any]) -> Visit:
        self.page.evaluate(START)
        self.python(f"SETTINGS = {settings!r}")
        self.python(PYTHON)
        return self

    def python(self, code: str) -> Any:
        """Run Python in the page's worker; return the value of the last line."""
        return self.page.evaluate("code => runPython(code)", textwrap.dedent(code))

    def forget_weights(self) -> None:
        self.page.evaluate("caches.delete('cutout-weights')")


def make_settings(site: Site, spec: ModelSpec) -> dict[str, Any]:
    return {
        "worker": f"{site.origin}/js/inference_worker.js",
        "ort": f"{site.origin}/ort/",
        "weights": site.origin + WEIGHTS,
        "sha256": spec.sha256,
        "size": spec.size_bytes,
    }


@pytest.fixture(scope="module")
def files(ort: Path, pyodide: Path, spec: ModelSpec, tensor: np.ndarray) -> dict[str, bytes | Path]:
    return {
        "/index.html": PAGE,
        "/python_worker.js": Path(__file__).with_name("python_worker.js").read_bytes(),
        "/tensor.bin": tensor.tobytes(),
        "/js/": JAVASCRIPT,
        "/ort/": ort,
        "/pyodide/": pyodide,
        WEIGHTS: spec.weights.read_bytes(),
    }


@contextmanager
def visiting(browser: Browser, files: dict[str, bytes | Path], spec: ModelSpec, *, isolated: bool) -> Iterator[Visit]:
    with serve(files, isolated=isolated) as site:
        visit = Visit(browser, site).start_python(make_settings(site, spec))
        yield visit
        visit.context.close()
        assert not visit.problems
        assert any(WEIGHTS in url for url in visit.requests), (
            "the recorder does not see what a worker's worker asks for"
        )


@pytest.fixture(scope="module")
def isolated(browser: Browser, files: dict[str, bytes | Path], spec: ModelSpec) -> Iterator[Visit]:
    """A page whose server sends the headers that allow threads."""
    with visiting(browser, files, spec, isolated=True) as visit:
        yield visit


@pytest.fixture(scope="module")
def plain(browser: Browser, files: dict[str, bytes | Path], spec: ModelSpec) -> Iterator[Visit]:
    """A page on a server that sends no such headers."""
    with visiting(browser, files, spec, isolated=False) as visit:
        yield visit


@pytest.mark.parametrize(("kind", "threads"), [("isolated", 2), ("plain", 1)])
def test_predict_gives_what_native_gives(
    kind: str, threads: int, native: np.ndarray, request: pytest.FixtureRequest
) -> None:
    visit = request.getfixturevalue(kind)
    visit.forget_weights()
    seen = visit.python(
        """
        inference = make_inference(threads=2)
        info = (await inference.load()).to_py()
        tensor = await make_input()
        output = await inference.predict(tensor, to_js([1, 3, 320, 320]))
        inference.terminate()
        {"info": info, "dims": output.dims, "data": as_text(output.data.to_bytes()), "left": tensor.length}
        """
    )

    assert seen["info"] == {
        "provider": "wasm",
        "threads": threads,
        "isolated": kind == "isolated",
        "cached": False,
        "stored": True,
    }
    assert seen["left"] == 0, "the input was copied to the worker, not moved"
    output = np.frombuffer(base64.b64decode(seen["data"]), np.float32).reshape(seen["dims"])
    assert output.shape == native.shape
    assert np.abs(output - native).max() < 1e-4
    assert native.max() > 0.9, "the photo has a subject; equal zeros would prove nothing"


def test_weights_come_once_with_progress(isolated: Visit, spec: ModelSpec) -> None:
    isolated.forget_weights()
    before = isolated.site.count(WEIGHTS)
    seen = isolated.python(
        """
        inference, calls, more = make_inference(), [], []
        first = await inference.load(lambda *call: calls.append(call))
        inference.terminate()
        second = await inference.load(lambda *call: more.append(call))
        inference.terminate()
        {"cached": [first.cached, second.cached], "calls": calls, "more": more}
        """
    )

    assert seen["cached"] == [False, True]
    assert seen["calls"][-1] == [spec.size_bytes, spec.size_bytes]
    assert seen["calls"] == sorted(seen["calls"])
    assert seen["more"] == []
    assert isolated.site.count(WEIGHTS) == before + 1
    asked = [url for url in isolated.requests if WEIGHTS in url]
    assert asked, "the recorder of foreign requests does not see what a worker's worker asks for"


def test_tampered_cache_entry_is_fetched_anew(isolated: Visit) -> None:
    isolated.python("await make_inference().load()\nNone")
    before = isolated.site.count(WEIGHTS)
    keys = isolated.page.evaluate(
        """async () => {
          const cache = await caches.open("cutout-weights"), keys = await cache.keys()
          const bytes = new Uint8Array(await (await cache.match(keys[0])).arrayBuffer())
          bytes[1000] ^= 1
          await cache.put(keys[0], new Response(bytes))
          return keys.map(({url}) => url)
        }"""
    )
    seen = isolated.python(
        """
        inference = make_inference()
        first = await inference.load()
        inference.terminate()
        second = await inference.load()
        inference.terminate()
        [first.cached, second.cached]
        """
    )

    assert len(keys) == 1
    assert seen == [False, True]
    assert isolated.site.count(WEIGHTS) == before + 1


def test_cancelled_runs_end_at_once_and_the_next_works(isolated: Visit) -> None:
    seen = isolated.python(
        """
        from time import perf_counter
        inference, dims = make_inference(threads=1), to_js([1, 3, 320, 320])
        tensors = [await make_input() for _ in range(8)]
        await inference.predict(tensors.pop(), dims)  # the first one also compiles
        start = perf_counter()
        await inference.predict(tensors.pop(), dims)
        one = perf_counter() - start
        runs = [asyncio.ensure_future(failure(inference.predict(tensor, dims))) for tensor in tensors]
        await asyncio.sleep(one / 2)
        finished, start = sum(run.done() for run in runs), perf_counter()
        inference.terminate()
        errors = await asyncio.gather(*runs)
        waited = perf_counter() - start
        output = await predict(inference)
        inference.terminate()
        {"finished": finished, "errors": errors, "waited": waited, "one": one, "dims": output.dims}
        """
    )

    # Six runs wait; a busy machine may have finished some of them by now.
    assert seen["finished"] < 5
    assert seen["errors"][-2:] == 2 * [["AbortError", "The inference was cancelled."]]
    assert seen["waited"] < 2 * seen["one"], "none of those that waited was run to its end"
    assert seen["dims"] == [1, 1, 320, 320]


def test_python_goes_on_while_the_model_runs(isolated: Visit) -> None:
    seen = isolated.python(
        """
        from time import perf_counter
        inference, ticks, longest = make_inference(threads=1), 0, 0.0
        await inference.load()

        async def tick():
            global ticks, longest
            while True:
                start = perf_counter()
                await asyncio.sleep(0.01)
                ticks, longest = ticks + 1, max(longest, perf_counter() - start)

        tensors = [await make_input() for _ in range(3)]
        ticking, start = asyncio.ensure_future(tick()), perf_counter()
        for tensor in tensors:
            await inference.predict(tensor, to_js([1, 3, 320, 320]))
        took = perf_counter() - start
        ticking.cancel()
        inference.terminate()
        {"ticks": ticks, "longest": longest, "took": took}
        """
    )

    # A run in Python's own worker would leave one tick between two of the three.
    assert seen["ticks"] > 10
    assert seen["longest"] < seen["took"] / 3


def test_listener_that_raises_ends_the_waiting(isolated: Visit) -> None:
    isolated.forget_weights()
    error, provider = isolated.python(
        """
        def refuse(got, total):
            raise ValueError("enough")

        inference = make_inference()
        error = await failure(inference.load(refuse))
        info = await inference.load()
        inference.terminate()
        [error, info.provider]
        """
    )

    assert error[0] == "PythonError"
    assert "ValueError: enough" in error[1]
    assert provider == "wasm", "the loading went on"


def test_weights_load_after_the_server_has_stopped(
    browser: Browser, files: dict[str, bytes | Path], spec: ModelSpec, native: np.ndarray
) -> None:
    with serve(files) as site:
        visit = Visit(browser, site)
        visit.page.evaluate(
            """settings => {
              const worker = new Worker(settings.worker, {type: "module"})
              window.ask = message => new Promise(resolve => {
                worker.onmessage = ({data}) => { if (!data.progress) { resolve(data) } }
                worker.postMessage(message)
              })
              window.load = () => ask({id: 1, op: "load", arg: settings})
            }""",
            make_settings(site, spec),
        )
        first = visit.page.evaluate("load()")
        tensor = visit.page.evaluate_handle(
            "async () => new Float32Array(await (await fetch('tensor.bin')).arrayBuffer())"
        )

        site.stop()
        assert (
            visit.page.evaluate("fetch('index.html', {cache: 'no-store'}).then(() => 'answer', () => 'none')") == "none"
        )
        second = visit.page.evaluate("load()")
        output = visit.page.evaluate(
            """async data => {
              const {value} = await ask({id: 2, op: "predict", arg: {data, dims: [1, 3, 320, 320]}})
              return [...value.data]
            }""",
            tensor,
        )
        visit.context.close()

    assert [first["value"]["cached"], second["value"]["cached"]] == [False, True]
    assert np.abs(np.asarray(output, np.float32) - native.ravel()).max() < 1e-4
    assert not visit.problems


# Codecs ---------------------------------------------------------------------------------------------------------------

READ = """
    picture = await bridge.decode(to_js(base64.b64decode("{file}")), "{media_type}")
    pixels = memoryview(bytearray(3 * picture.width * picture.height))
    for top in range(0, picture.height, 7):
        bottom = min(top + 7, picture.height)
        picture.readInto(pixels[3 * picture.width * top : 3 * picture.width * bottom], top, bottom)
    size = [picture.height, picture.width, 3]
    picture.close()
    [as_text(pixels), size]
"""


def read(visit: Visit, file: bytes, media_type: str = "image/jpeg") -> np.ndarray:
    text, size = visit.python(READ.format(file=base64.b64encode(file).decode(), media_type=media_type))
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_turns_photo_upright(plain: Visit, orientation: int) -> None:
    file = file_of(gradient(61, 90), "JPEG", quality=95, exif=camera_exif(orientation))
    expected = decode(file).pixels
    pixels = read(plain, file)

    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 1


def test_decode_converts_colours_to_srgb(plain: Visit) -> None:
    chart = np.repeat(np.repeat(chart_in(P3_CORNERS, None)[0], 16, axis=0), 16, axis=1)
    profile = rgb_profile("Display P3", P3_PRIMARIES, None)
    file = file_of(chart, "JPEG", quality=95, subsampling=0, icc_profile=profile)
    expected = decode(file).pixels.astype(int)
    pixels = read(plain, file)

    assert np.abs(pixels - expected).mean() < 0.5
    assert np.abs(chart - expected).mean() > 4, "unconverted pixels must not pass for converted ones"


def test_decode_keeps_every_pixel_of_a_lossless_file(plain: Visit) -> None:
    picture = figure(50, 40)[0]

    np.testing.assert_array_equal(read(plain, file_of(picture), "image/png"), picture)


def test_transparency_can_be_read(plain: Visit) -> None:
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.dstack([gradient(16, 16), alpha])
    file = base64.b64encode(file_of(picture)).decode()
    text = plain.python(
        f"""
        picture = await bridge.decode(to_js(base64.b64decode("{file}")), "image/png")
        bands = [picture.readRgba(top, top + 4).to_bytes() for top in (12, 0, 4, 8)]
        picture.close()
        as_text(b"".join(bands[1:] + bands[:1]))
        """
    )
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(picture.shape)

    np.testing.assert_array_equal(pixels[..., 3], alpha)
    opaque = alpha > 250
    assert np.abs(pixels[opaque].astype(int) - picture[opaque]).max() <= 1


@pytest.mark.parametrize("damage", ["cut off", "no picture"])
def test_broken_file_is_a_decode_error(plain: Visit, damage: str) -> None:
    file = file_of(gradient(61, 90), "JPEG")
    file = file[: len(file) // 2] if damage == "cut off" else b"\xff\xd8\xff" + bytes(100)
    error = plain.python(
        f"""await failure(bridge.decode(to_js(base64.b64decode("{base64.b64encode(file).decode()}")), "image/jpeg"))"""
    )

    assert error[0] == "DecodeError"
    assert error[1].startswith("The browser cannot decode this image/jpeg file: ")


def test_read_refuses_a_buffer_of_another_length(plain: Visit) -> None:
    file = base64.b64encode(file_of(gradient(8, 8))).decode()
    error = plain.python(
        f"""
        async def read(length):
            picture = await bridge.decode(to_js(base64.b64decode("{file}")), "image/png")
            picture.readInto(bytearray(length), 0, 8)

        [await failure(read(length)) for length in (191, 192, 193)]
        """
    )

    assert [each and each[0] for each in error] == ["RangeError", None, "RangeError"]


ENCODE = """
    encoded = await bridge.encodeWebp(to_js(base64.b64decode("{pixels}")), {width}, {height}, 90)
    [as_text(encoded.data.to_bytes()), encoded.mediaType]
"""


def encode(visit: Visit, pixels: np.ndarray) -> tuple[np.ndarray, str, str | None]:
    """Return the pixels again, the media type told and what Pillow finds the file to be."""
    height, width, _ = pixels.shape
    code = ENCODE.format(pixels=base64.b64encode(pixels.tobytes()).decode(), width=width, height=height)
    text, media_type = visit.python(code)
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("RGBA")), media_type, image.format


def soft_figure() -> np.ndarray:
    """Return a picture whose alpha falls from left to right."""
    picture, _ = figure(64, 48)
    alpha = np.broadcast_to(np.linspace(255, 0, 48).astype(np.uint8), (64, 48))
    return np.dstack([picture, alpha])


def test_webp_keeps_colours_and_straight_alpha(plain: Visit) -> None:
    picture = soft_figure()
    pixels, media_type, found = encode(plain, picture)

    assert (media_type, found) == ("image/webp", "WEBP")
    np.testing.assert_array_equal(pixels[..., 3], picture[..., 3])
    seen = picture[..., 3] > 64
    assert np.abs(pixels[seen].astype(int) - picture[seen]).mean() < 4, "straight colours, not multiplied by alpha"


def test_browser_without_webp_says_that_it_gave_png(plain: Visit) -> None:
    plain.python(
        """
        from pyodide.code import run_js
        run_js('''
          const canvas = OffscreenCanvas.prototype
          self.convertToBlob = canvas.convertToBlob
          canvas.convertToBlob = function () { return self.convertToBlob.call(this, {type: "image/png"}) }
        ''')
        None
        """
    )
    try:
        _, media_type, found = encode(plain, soft_figure())
    finally:
        plain.python("run_js('OffscreenCanvas.prototype.convertToBlob = self.convertToBlob')\nNone")

    assert (media_type, found) == ("image/png", "PNG")


def test_published_file_can_be_fetched_by_the_page_until_it_is_revoked(plain: Visit) -> None:
    url = plain.python(
        """
        blob = bridge.makeBlob(to_js([to_js(b"one, "), to_js(b"two")]), "image/png")
        bridge.publish(blob)
        """
    )
    fetch = (
        "url => fetch(url).then(reply => reply.blob()).then(async blob => [await blob.text(), blob.type], () => null)"
    )

    assert url.startswith("blob:")
    assert plain.page.evaluate(fetch, url) == ["one, two", "image/png"]
    plain.python(f"bridge.revoke({json.dumps(url)})\nNone")
    assert plain.page.evaluate(fetch, url) is None
