"""Inference by onnxruntime-web, in a worker of its own: Python's event loop stays free and a run can be stopped."""

from __future__ import annotations

from dataclasses import replace

import cutout_bridge as bridge
import numpy as np
from js import Object
from pyodide.ffi import JsException, create_proxy, to_js

from processing.bands import Tick, ignore
from processing.browser import codecs
from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.images import DecodeLimits, SourceImage
from processing.models import ModelSpec

#: A photo that a phone's browser can hold several copies of.
LIMITS = DecodeLimits(max_bytes=50_000_000, max_megapixels=50.0)


class OrtWebSession:
    """A model in an inference worker.

    Parameters
    ----------
    spec : ModelSpec
        Its weights are fetched once, kept by the browser, and checked against `spec.sha256` each time.
    base : str
        URL of the site's folder, with a slash at its end; below it lie `cutout/`, `ort/` and `models/`.
    """

    provider = "wasm"

    def __init__(self, spec: ModelSpec, base: str) -> None:
        self._spec = spec
        options = {
            "worker": base + "cutout/inference_worker.js",
            "ort": base + "ort/",
            "weights": base + "models/" + spec.weights.name,
            "sha256": spec.sha256,
            "size": spec.size_bytes,
        }
        self._worker = bridge.Inference.new(to_js(options, dict_converter=Object.fromEntries))

    async def load(self, tick: Tick = ignore) -> None:
        """Start the worker and load the weights; nothing to do where that has been done.

        Raises
        ------
        ModelError
            If the weights cannot be fetched, differ from their checksum, or are no model.
        """
        cancelled: list[Cancelled] = []

        def tell(got: int, total: int) -> None:
            try:
                tick(got / total)
            except Cancelled as error:  # in JavaScript it would become another error
                cancelled.append(error)
                self._worker.terminate()

        listener = create_proxy(tell)
        try:
            await self._worker.load(listener)
        except JsException as error:
            if cancelled:
                raise cancelled[0] from error
            raise ModelError(str(error.message)) from error
        finally:
            listener.destroy()

    async def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        """Run the model; shapes and errors as in `processing.sessions.native.NativeSession.predict`."""
        cancel = cancel or CancelToken()
        with cancel.on_cancel(self._worker.terminate):
            try:
                reply = await self._worker.predict(to_js(tensor.reshape(-1)), to_js(list(tensor.shape)))
            except JsException as error:
                cancel.raise_if_cancelled()
                raise ModelError(f"The model failed on this image: {error.message}") from error
        cancel.raise_if_cancelled()
        raw = np.empty(reply.data.length, np.float32)
        reply.data.assign_to(raw)
        return raw.reshape(reply.dims.to_py())


class BrowserEngine:
    """Decodes photos and runs models in the browser; an `Engine` of `processing.pipeline.run_async`.

    Parameters
    ----------
    base : str
        See `OrtWebSession`.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._sessions: dict[ModelSpec, OrtWebSession] = {}
        self._last: SourceImage | None = None

    async def decode(self, data: bytes, name: str, limits: DecodeLimits | None, tick: Tick) -> SourceImage:
        """Decode a photo, or take the last one again if it is the same: people look at it before they press Run."""
        if self._last is None or self._last.data != data:
            self._last = None  # two of them at once would only take memory
            self._last = await codecs.decode(data, name, limits or LIMITS, tick)
        return replace(self._last, name=name)

    async def open(self, spec: ModelSpec, tick: Tick = ignore) -> OrtWebSession:
        """Return the session of a model, loading it the first time."""
        session = self._sessions.setdefault(spec, OrtWebSession(spec, self._base))
        await session.load(tick)
        return session
