"""The inference worker and its client in Node: the same files as in the browser, without one.

Node lacks the browser's worker and its cache; `node_browser.mjs` stands in for them. What only a browser can show is in
`test_worker_in_chromium.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import onnx
import pytest
from browser.static_site import JAVASCRIPT, Site, serve

from processing.models import ModelSpec

pytestmark = pytest.mark.slow  # and its first run fetches onnxruntime-web

WEIGHTS = "/models/compact.onnx"
HERE = Path(__file__).parent

# What each scenario finds: `inference`, an input for the model, and `failure(promise)`: why it was rejected.
PRELUDE = """
import {readdir, readFile, writeFile} from "node:fs/promises"
await import(process.env.BROWSER)
const {Inference} = await import(process.env.CLIENT)
const settings = JSON.parse(process.env.SETTINGS)
const inference = new Inference(settings)
const {dims} = settings
const tensor = new Uint8Array(await readFile(process.env.TENSOR)).buffer
const makeInput = () => new Float32Array(tensor.slice(0))
const failure = promise => promise.then(() => null, ({name, message}) => ({name, message}))
const later = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds))
const scenario = async () => { %s }
console.log(JSON.stringify(await scenario()))
process.exit(0)
"""


class Scene:
    """A site with the weights, an empty cache, and scenarios in JavaScript, each in a Node of its own."""

    def __init__(self, node: str, site: Site, folder: Path, settings: dict[str, Any], tensor: np.ndarray) -> None:
        self.node, self.site, self.settings = node, site, settings | {"dims": tensor.shape}
        self.script, self.tensor, self.output = (folder / name for name in ("scenario.mjs", "tensor.bin", "output.bin"))
        self.cache = folder / "cache"
        self.tensor.write_bytes(tensor.tobytes())

    def play(self, scenario: str, *, cache_fault: str = "", **settings: object) -> Any:
        self.script.write_text(PRELUDE % scenario)
        environment = {
            "BROWSER": (HERE / "node_browser.mjs").as_uri(),
            "CLIENT": (JAVASCRIPT / "inference.js").as_uri(),
            "SETTINGS": json.dumps(self.settings | settings),
            "TENSOR": str(self.tensor),
            "OUTPUT": str(self.output),
            "CACHE": str(self.cache),
            "CACHE_FAULT": cache_fault,
        }
        command = [self.node, str(self.script)]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def make_scene(node: str, ort: Path, tmp_path: Path) -> Iterator[Callable[[bytes, np.ndarray], Scene]]:
    with serve({}) as site:

        def make(weights: bytes, tensor: np.ndarray) -> Scene:
            site.files[WEIGHTS] = weights
            settings = {
                "worker": (JAVASCRIPT / "inference_worker.js").as_uri(),
                "ort": ort.as_uri() + "/",
                "weights": site.origin + WEIGHTS,
                "sha256": hashlib.sha256(weights).hexdigest(),
                "size": len(weights),
                "threads": 1,
            }
            return Scene(node, site, tmp_path, settings, tensor)

        yield make


@pytest.fixture
def scene(make_scene: Callable[[bytes, np.ndarray], Scene]) -> Scene:
    """A model that gives its input back: what is tested is not the model."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, [1, 1, 2, 2]) for name in ("anything", "whatever")]
    graph = helper.make_graph([helper.make_node("Identity", ["anything"], ["whatever"])], "tiny", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return make_scene(model.SerializeToString(), np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2))


@pytest.fixture
def compact_scene(make_scene: Callable[[bytes, np.ndarray], Scene], spec: ModelSpec, tensor: np.ndarray) -> Scene:
    """The built-in model and a photo."""
    return make_scene(spec.weights.read_bytes(), tensor)


@pytest.mark.parametrize("threads", [1, 2])
def test_wasm_gives_what_native_gives(compact_scene: Scene, native: np.ndarray, threads: int) -> None:
    seen = compact_scene.play(
        """
        const info = await inference.load()
        const input = makeInput()
        const {data, dims: shape} = await inference.predict(input, dims)
        await writeFile(process.env.OUTPUT, data)
        return {info, shape, left: input.length}
        """,
        threads=threads,
    )

    assert seen["info"] == {"provider": "wasm", "threads": threads, "isolated": True, "cached": False, "stored": True}
    assert seen["left"] == 0, "the input was copied to the worker, not moved"
    output = np.fromfile(compact_scene.output, np.float32).reshape(seen["shape"])
    assert output.shape == native.shape
    assert np.abs(output - native).max() < 1e-4
    assert native.max() > 0.9, "the photo has a subject; equal zeros would prove nothing"


def test_cancelled_run_rejects_all_who_wait(compact_scene: Scene, native: np.ndarray) -> None:
    seen = compact_scene.play(
        """
        await inference.load()
        const runs = [1, 2].map(() => failure(inference.predict(makeInput(), dims)))
        await later(20)
        inference.terminate()
        const next = inference.predict(makeInput(), dims)
        const failures = await Promise.all(runs)
        await writeFile(process.env.OUTPUT, (await next).data)
        return {failures, info: await inference.load()}
        """
    )

    assert seen["failures"] == 2 * [{"name": "AbortError", "message": "The inference was cancelled."}]
    assert seen["info"]["cached"]
    assert np.abs(np.fromfile(compact_scene.output, np.float32) - native.ravel()).max() < 1e-4


def test_cancelled_loading_is_no_obstacle(scene: Scene) -> None:
    failures, values = scene.play(
        """
        const waiting = [failure(inference.load()), failure(inference.predict(makeInput(), dims))]
        await later(20)
        inference.terminate()
        const {data} = await inference.predict(makeInput(), dims)
        return [await Promise.all(waiting), [...data]]
        """
    )

    assert [failure["name"] for failure in failures] == ["AbortError", "AbortError"]
    assert values == [0, 1, 2, 3]


def test_cancelled_worker_is_ended_and_not_listened_to(scene: Scene) -> None:
    seen = scene.play(
        """
        const made = []
        globalThis.Worker = class {
          constructor() { made.push(this) }
          postMessage({id}) { this.id = id }
          terminate() { this.ended = true }
        }
        const first = failure(inference.load())
        inference.terminate()
        const second = inference.load()
        const [before, now] = made
        before.onmessage({data: {id: now.id, value: "late"}})
        before.onerror({message: "late"})
        now.onmessage({data: {id: now.id, value: "in time"}})
        return {first: await first, second: await second, ended: [before.ended, now.ended ?? false]}
        """
    )

    assert seen["first"]["name"] == "AbortError"
    assert seen["second"] == "in time"
    assert seen["ended"] == [True, False]


def test_weights_are_fetched_once(scene: Scene) -> None:
    seen = scene.play(
        """
        const calls = [], more = []
        const [first, same] = await Promise.all([inference.load((...call) => calls.push(call)), inference.load()])
        inference.terminate()
        const second = await inference.load((...call) => more.push(call))
        return {first, same, second, last: calls.at(-1), more}
        """
    )

    assert scene.site.count(WEIGHTS) == 1
    assert not seen["first"]["cached"]
    assert seen["same"] == seen["first"]
    assert seen["second"]["cached"]
    assert seen["last"] == [scene.settings["size"]] * 2
    assert seen["more"] == []


def test_damaged_cache_entry_is_fetched_anew(scene: Scene) -> None:
    scene.cache.mkdir()
    entry = scene.cache / quote(f"{scene.settings['weights']}?sha256={scene.settings['sha256']}", safe="")
    entry.write_bytes(bytes(scene.settings["size"]))

    first, second = scene.play(
        "const info = await inference.load(); inference.terminate(); return [info, await inference.load()]"
    )

    assert not first["cached"]
    assert second["cached"]
    assert scene.site.count(WEIGHTS) == 1
    assert list(scene.cache.iterdir()) == [entry]
    assert hashlib.sha256(entry.read_bytes()).hexdigest() == scene.settings["sha256"]


def test_older_weights_of_the_same_model_leave_the_cache(scene: Scene) -> None:
    scene.cache.mkdir()
    older, other = (f"{scene.site.origin}/models/{name}.onnx?sha256=old" for name in ("compact", "other"))
    for url in (older, other):
        (scene.cache / quote(url, safe="")).write_bytes(b"old")

    scene.play("return inference.load()")

    names = {entry.name for entry in scene.cache.iterdir()}
    assert len(names) == 2
    assert quote(other, safe="") in names
    assert quote(older, safe="") not in names


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("damaged", "are damaged: their SHA-256 is not {sha256}; reload the page to fetch them again."),
        ("missing", "the server answered 404."),
        ("cut off", " of {size} bytes. Check the connection and retry."),
        ("short", "ended after {half} of {size} bytes. Check the connection and retry."),
        ("longer", "is longer than the {size} bytes of the weights."),
    ],
)
def test_bad_weights_are_refused_and_not_kept(scene: Scene, fault: str, sentence: str) -> None:
    scene.site.faults[WEIGHTS] = [fault]
    seen = scene.play(
        """
        const error = await failure(inference.load())
        return {error, kept: await readdir(process.env.CACHE), info: await inference.load()}
        """
    )

    assert seen["error"]["name"] == "WeightsError"
    settings = scene.settings
    assert sentence.format(**settings, half=settings["size"] // 2) in seen["error"]["message"]
    assert seen["kept"] == []
    assert seen["info"]["stored"], "the next `load` starts anew"


def test_stopped_server_is_named(scene: Scene) -> None:
    scene.site.stop()
    error = scene.play("return failure(inference.load())")

    assert error["name"] == "WeightsError"
    assert error["message"].startswith(f"The weights cannot be fetched from {scene.settings['weights']}: ")


@pytest.mark.parametrize("fault", ["full", "refused"])
def test_inference_works_where_nothing_can_be_kept(scene: Scene, fault: str) -> None:
    info, again = scene.play(
        "const info = await inference.load(); inference.terminate(); return [info, await inference.load()]",
        cache_fault=fault,
    )

    assert not info["stored"]
    assert not again["cached"]
    assert scene.site.count(WEIGHTS) == 2


def test_unsafe_address_is_named(scene: Scene) -> None:
    error = scene.play("return failure(inference.load())", cache_fault="insecure")

    assert error["name"] == "WeightsError"
    assert "Open it over https, or from http://localhost." in error["message"]


def test_listener_that_throws_ends_the_waiting_of_its_caller_only(scene: Scene) -> None:
    failure, info = scene.play(
        """
        const all = inference.load()
        const refusing = failure(inference.load(() => { throw new RangeError("enough") }))
        return [await refusing, await all]
        """
    )

    assert failure == {"name": "RangeError", "message": "enough"}
    assert info["provider"] == "wasm"


def test_failed_run_says_why_and_the_next_one_works(scene: Scene) -> None:
    failure, values = scene.play(
        """
        const error = await failure(inference.predict(makeInput(), [1, 1, 2, 3]))
        return [error, [...(await inference.predict(makeInput(), dims)).data]]
        """
    )

    assert failure["message"] == "Tensor's size(6) does not match data length(4)."
    assert values == [0, 1, 2, 3]


def test_broken_worker_is_told(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "broken.mjs").write_text("throw new Error('boom')")
    error = scene.play("return failure(inference.load())", worker=(tmp_path / "broken.mjs").as_uri())

    assert error["name"] == "InferenceError"
    assert error["message"].startswith("The worker that runs the model stopped: boom. Try again;")


def test_worker_answers_requests_it_cannot_serve(scene: Scene) -> None:
    early, unknown = scene.play(
        """
        const worker = new Worker(settings.worker)
        const ask = message => new Promise(resolve => {
          worker.onmessage = ({data}) => resolve(data)
          worker.postMessage(message)
        })
        return [await ask({id: 7, op: "predict", arg: {data: makeInput(), dims}}), await ask({id: 8, op: "fly"})]
        """
    )

    message = "No model is loaded. Send `load` before `predict`."
    assert early == {"id": 7, "error": {"name": "InferenceError", "message": message}}
    assert (unknown["id"], unknown["error"]["name"]) == (8, "TypeError")


def test_worker_serves_requests_in_turn(scene: Scene) -> None:
    answers = scene.play(
        """
        const worker = new Worker(settings.worker), answers = []
        return new Promise(resolve => {
          worker.onmessage = ({data}) => {
            if (data.id) { answers.push([data.id, data.value && [...(data.value.data ?? [])]]) }
            if (answers.length === 3) { resolve(answers) }
          }
          worker.postMessage({id: 1, op: "load", arg: settings})
          for (const id of [2, 3]) { worker.postMessage({id, op: "predict", arg: {data: makeInput(), dims}}) }
        })
        """
    )

    assert answers == [[1, []], [2, [0, 1, 2, 3]], [3, [0, 1, 2, 3]]]
