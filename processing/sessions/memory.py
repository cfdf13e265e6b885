"""How much memory loaded models take, and how much they may."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from processing.errors import ModelError
from processing.models import ModelSpec
from processing.models.folder import locate

#: Memory of a loaded model for each byte of its weights, and what its first run adds for each pixel of its input, which
#: onnxruntime keeps for the next run. One factor on the weights alone would not do: after a run four models kept 2.1,
#: 5.5, 8.3 and 17 times their weights. Measured as docs/providers.md shows: 204 MB of weights take 215 MB loaded, 49
#: take 59; a run at 1024 x 1024 adds 211 to both, and 772 where the network has 64 channels at half that size. The
#: larger figures are taken here; networks with more channels at full size keep more.
WEIGHTS_FACTOR = 1.1
RUN_BYTES_PER_PIXEL = 750

#: Side of the input of a model whose row does not say it, in pixels: that of the large ones.
_UNKNOWN_SIDE = 1024

#: The part of this machine's memory that loaded models may take if nobody says otherwise, and what is taken for the
#: whole where it cannot be asked.
_SHARE = 0.5
_UNKNOWN_MACHINE_BYTES = 8_000_000_000

_LIMIT = "CUTOUT_MODEL_MEMORY_MB"
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def estimate_cost(spec: ModelSpec) -> int:
    """Estimate the memory that a loaded model takes, in bytes; 0 for one whose files are not there."""
    weights = locate(spec)
    try:
        size = sum(weights.with_name(file.name).stat().st_size for file in spec.files)
    except OSError:
        return 0  # loading it says what is missing
    side = spec.input_size or _UNKNOWN_SIDE
    return round(WEIGHTS_FACTOR * size + RUN_BYTES_PER_PIXEL * side * side)


def memory_limit() -> int:
    """Return how many bytes loaded models may take: ``CUTOUT_MODEL_MEMORY_MB``, or half of the machine's memory.

    Raises
    ------
    ModelError
        If the variable is not a positive number.
    """
    text = os.environ.get(_LIMIT)
    if text is None:
        return round(_SHARE * machine_memory())
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ModelError(f"{_LIMIT} is {text!r}. Give a positive number of megabytes, such as 2000.")
    return round(limit * 1e6)


@cache
def machine_memory() -> int:
    """Return the memory that this process may use, in bytes: the machine's, or its container's where that is less."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not have it
        machine = _UNKNOWN_MACHINE_BYTES
    limits = [machine]
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # "max" where there is no limit
            limits.append(int(Path(path).read_text()))
    return min(limits)


def return_freed_memory() -> None:
    """Give memory that was freed back to the system; nothing to do but with glibc.

    glibc keeps what loading has freed: without this, 204 MB of weights took 446 to 815 MB after loading instead of 215.
    """
    if sys.platform == "linux":
        import ctypes  # here and not above, for the browser's sake

        with suppress(OSError, AttributeError):  # other C libraries
            ctypes.CDLL(None).malloc_trim(0)
