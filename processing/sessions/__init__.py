"""How a model runs: one inference session per model, shared by everybody.

To add a runtime: one module with a class that has `provider` and `predict`, and one entry in `RUNTIMES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models import ModelSpec
from processing.sessions.memory import return_freed_memory

#: Runtime name in the catalogue to "module:class". A string, because importing rembg takes seconds and the first time
#: over a minute: it must happen only when a model needs it.
RUNTIMES = {
    "onnxruntime": "processing.sessions.native:NativeSession",
    "rembg": "processing.sessions.rembg_zoo:RembgSession",
}


class Session(Protocol):
    """A loaded model. `predict` may be called from several threads at once."""

    provider: str  #: The provider that really runs the model, such as "CPUExecutionProvider".

    def predict(self, tensor: np.ndarray, cancel: CancelToken | None = None) -> np.ndarray:
        """Run the model on what `prepare` made; gives the raw output, float32 (1, 1, h, w)."""


def open_session(spec: ModelSpec, provider: str = "best") -> Session:
    """Load the weights of a model.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    provider : str
        One of `processing.sessions.providers.CHOICES`. ``"best"`` takes what works; everything else is a condition.

    Raises
    ------
    ModelError
        If the weights are missing or broken, if the provider that was asked for does not run them, or if the row names
        an unknown runtime.
    """
    if spec.runtime not in RUNTIMES:
        raise ModelError(f"Model {spec.name!r} names the runtime {spec.runtime!r}. Known: {', '.join(RUNTIMES)}.")
    module, _, name = RUNTIMES[spec.runtime].partition(":")
    session: Session = getattr(import_module(module), name)(spec, provider)
    return_freed_memory()
    return session
