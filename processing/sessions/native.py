"""A model run by onnxruntime directly: import and memory cost a fraction of rembg's."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models import ModelSpec
from processing.models.integrity import require_weights
from processing.sessions.providers import DIRECTML, running_provider, start_on


class NativeSession:
    """An onnxruntime inference session for a model with one image in and one matte out.

    Parameters
    ----------
    spec : ModelSpec
        Its weights are compared with their checksum before they are loaded.
    provider : str
        One of `processing.sessions.providers.CHOICES`.

    Raises
    ------
    ModelError
        If the weights are missing, differ from their checksum or are not a model, or if the provider that was asked for
        does not run them.
    """

    def __init__(self, spec: ModelSpec, provider: str = "best") -> None:
        weights = require_weights(spec)
        started = start_on(provider, lambda names: _Started(weights, spec.name, names), spec.name)
        self._session, self.provider = started.session, started.provider
        # Two runs of one session at the same time are not allowed there:
        # https://onnxruntime.ai/docs/execution-providers/DirectML-ExecutionProvider.html
        self._turn: AbstractContextManager[object] = Lock() if self.provider == DIRECTML else nullcontext()
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name

    def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        """Run the model.

        Parameters
        ----------
        tensor : ndarray of float32, shape (1, 3, S, S)
            What `processing.models.prepare` made.
        cancel : CancelToken, optional
            Ends a run in flight.

        Returns
        -------
        ndarray of float32, shape (1, 1, h, w)
            The raw output.

        Raises
        ------
        Cancelled
            If `cancel` was set before the end.
        """
        import onnxruntime

        cancel = cancel or CancelToken()
        run_options = onnxruntime.RunOptions()
        with self._turn, cancel.on_cancel(lambda: setattr(run_options, "terminate", True)):
            try:
                raw: np.ndarray = self._session.run([self._output], {self._input: tensor}, run_options)[0]
            except Exception as error:  # see above; a run that was told to terminate ends here too
                cancel.raise_if_cancelled()
                raise ModelError(f"The model failed on this image: {error}") from error
        cancel.raise_if_cancelled()
        return raw


class _Started:
    """A session of onnxruntime, and what runs it."""

    def __init__(self, weights: Path, model: str, providers: list[str]) -> None:
        import onnxruntime

        try:
            # Without its own fallback, which prints, and moves to the CPU in the middle of a run.
            self.session = onnxruntime.InferenceSession(
                str(weights), make_options(), providers=providers, enable_fallback=0
            )
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelError(f"The weights of {model!r} cannot be loaded: {error}") from error
        self.provider = running_provider(self.session)


def make_options() -> Any:
    """Return the `onnxruntime.SessionOptions` of our sessions.

    Set from CPU time and memory of the built-in model and of two made ones at 1024 x 1024, with 49 and 204 MB of
    weights, in this order below; docs/providers.md has the whole tables. Differences under a tenth are noise.

    - Spinning off: threads that wait busily take the cores that other visitors need; with it 1.53, 1.25 and 1.12 times
      the CPU time.
    - Memory pattern off: it plans one block for all that a run needs, beside what the first run has left; without it
      0.91, 0.93 and 0.99 times the CPU time, and 446 MB at the most become 270 (49 MB of weights).
    - Memory arena left on: without it 1.01, 1.14 and 1.04 times the CPU time, for 109 MB less (49 MB of weights).
    - All graph optimisations left on: "extended" costs 1.21, 1.19 and 1.16 times the CPU time, "none" 1.45, 1.17, 1.11.
    - Denormals as they are: 0.90, 1.00 and 1.06 times the CPU time when they are taken as zero.
    - One thread for each core unless OMP_NUM_THREADS says otherwise: one alone takes 0.89, 0.90 and 0.95 times the CPU
      time, and on cores with other work both took as long. The workers of a batch share the cores out by that variable.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _read_thread_count()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    return options


def _read_thread_count() -> int:
    """Read OMP_NUM_THREADS, as rembg does; 0, one thread per core, where it is not set or no plain number."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() else 0
