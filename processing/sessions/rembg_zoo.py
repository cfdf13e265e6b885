"""A model run by one of rembg's own session classes.

For models whose pre- and post-processing is more than a row of numbers. rembg is imported when the first such model is
loaded and not before: a warm import takes seconds, the very first one compiles for over a minute.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models import ModelSpec
from processing.models.integrity import require_weights
from processing.sessions.native import make_options
from processing.sessions.providers import running_provider, start_on

#: Attributes of rembg's sessions that hold a network; Segment Anything has two.
_NETWORKS = ("inner_session", "encoder", "decoder")


class RembgSession:
    """Adapter from a rembg session to `processing.sessions.Session`.

    Its `predict` takes the image itself, because rembg's sessions make their own model input.

    Parameters
    ----------
    spec : ModelSpec
        `spec.session` names rembg's session class; `spec.weights` reaches the classes that take a model path.
    provider : str
        One of `processing.sessions.providers.CHOICES`. Segment Anything's class takes no provider: it is asked what
        runs it, like the others, and refused where that is not what was asked for.

    Raises
    ------
    ModelError
        If rembg has no such session or cannot load the weights, or if the provider that was asked for does not run
        them.
    """

    def __init__(self, spec: ModelSpec, provider: str = "best") -> None:
        weights = require_weights(spec)
        started = start_on(provider, lambda names: _Started(spec, weights, names), spec.name)
        self._session, self.provider, self._calls = started.session, started.provider, started.calls
        self._spec = spec

    def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        """Run the model on an image.

        Parameters
        ----------
        tensor : ndarray of uint8, shape (H, W, 3)
            sRGB image.
        cancel : CancelToken, optional
            Ends a run in flight.

        Returns
        -------
        ndarray of float32, shape (1, 1, H, W)
            rembg's mask in [0, 1]; the union where it gives several. All 0 where the network's own output peaked under
            `spec.empty_below`: rembg stretches every output to the full range, so its mask no longer tells.
        """
        cancel = cancel or CancelToken()
        with self._calls.watch(cancel) as calls:
            try:
                with np.errstate(invalid="ignore"):  # rembg stretches an output that is 0 all over by dividing by 0
                    masks = self._session.predict(Image.fromarray(tensor))
            except Exception as error:
                cancel.raise_if_cancelled()
                raise ModelError(f"The model failed on this image: {error}") from error
        cancel.raise_if_cancelled()
        height, width = tensor.shape[:2]
        union = np.zeros((height, width), np.uint8)
        if max(calls.peaks, default=1.0) >= self._spec.empty_below:
            for mask in masks:
                union = np.maximum(union, np.asarray(mask.convert("L")))
        return (union.astype(np.float32) / 255)[np.newaxis, np.newaxis]


class _Started:
    """A session of rembg's, and what runs its networks."""

    def __init__(self, spec: ModelSpec, weights: Path, providers: list[str]) -> None:
        import rembg

        try:
            self.session = rembg.new_session(
                spec.session, sess_opts=make_options(), model_path=str(weights), providers=providers
            )
        except Exception as error:  # rembg, pooch and onnxruntime raise errors without a common base class
            raise ModelError(f"rembg cannot load {spec.session!r} for {spec.name!r}: {error}") from error
        self.calls, running = _Calls(), []
        for name in _NETWORKS:
            if hasattr(self.session, name):
                network = getattr(self.session, name)
                network.disable_fallback()  # it prints, and moves to the CPU in the middle of a run
                running.append(running_provider(network))
                setattr(self.session, name, _Network(network, self.calls))
        # Of two networks the one that is not where it was asked to be.
        self.provider = next((name for name in running if name != providers[0]), running[0])


class _Calls(threading.local):
    """What the networks did in this thread: the token that may end them, and the peak of each first output."""

    def __init__(self) -> None:
        self.cancel: CancelToken | None = None
        self.peaks: list[float] = []

    def watch(self, cancel: CancelToken) -> _Calls:
        self.cancel, self.peaks = cancel, []
        return self

    def __enter__(self) -> _Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel = None


class _Network:
    """Stands in for an onnxruntime session inside a rembg session: adds cancelling, notes the raw output's peak."""

    def __init__(self, session: Any, calls: _Calls) -> None:
        self._session = session
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(
        self, outputs: list[str] | None, inputs: dict[str, np.ndarray], run_options: Any = None
    ) -> list[np.ndarray]:
        import onnxruntime

        run_options = run_options or onnxruntime.RunOptions()
        cancel = self._calls.cancel or CancelToken()
        with cancel.on_cancel(lambda: setattr(run_options, "terminate", True)):
            values: list[np.ndarray] = self._session.run(outputs, inputs, run_options)
        self._calls.peaks.append(float(values[0].max()))
        return values
