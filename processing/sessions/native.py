"""A model run by onnxruntime directly: import and memory cost a fraction of rembg's."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import numpy as np

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models import ModelSpec
from processing.models.integrity import require_weights

logger = logging.getLogger(__name__)

#: Best first; those that the installed onnxruntime has are asked for, and CPU always works.
PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class NativeSession:
    """An onnxruntime inference session for a model with one image in and one matte out.

    Parameters
    ----------
    spec : ModelSpec
        Its weights are compared with their checksum before they are loaded.
    providers : iterable of str
        Execution providers to try, best first.

    Raises
    ------
    ModelError
        If the weights are missing, differ from their checksum or are not a model.
    """

    def __init__(self, spec: ModelSpec, providers: Iterable[str] = PREFERRED_PROVIDERS) -> None:
        import onnxruntime

        weights = require_weights(spec)
        wanted = [name for name in providers if name in onnxruntime.get_available_providers()]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = _read_thread_count()
        # Spinning threads wait busily for more work: on a shared machine they take the cores that other visitors need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(weights), options, providers=wanted)
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelError(f"The weights of {spec.name!r} cannot be loaded: {error}") from error
        self.provider: str = self._session.get_providers()[0]
        if wanted and self.provider != wanted[0]:
            logger.warning("%s was asked for, %s runs %s", wanted[0], self.provider, spec.name)
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
        with cancel.on_cancel(lambda: setattr(run_options, "terminate", True)):
            try:
                raw: np.ndarray = self._session.run([self._output], {self._input: tensor}, run_options)[0]
            except Exception as error:  # see above; a run that was told to terminate ends here too
                cancel.raise_if_cancelled()
                raise ModelError(f"The model failed on this image: {error}") from error
        cancel.raise_if_cancelled()
        return raw


def _read_thread_count() -> int:
    """Read OMP_NUM_THREADS, as rembg does; 0, one thread per core, where it is not set or no plain number."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() else 0
