"""Big pictures a band of rows at a time.

What is worked on stays in the processor's cache and needs little memory of its own, and between two bands there is time
to say how far the work is and to stop it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: Bytes of a band, unless a step knows better: it and what is made of it fit into a core's second cache.
BAND_BYTES = 2**20

#: Called now and then with the share of a step that is done, in [0, 1]; raises `Cancelled` to stop it.
Tick = Callable[[float], None]


def ignore(share: float) -> None:
    """Take no notice: the `Tick` of who does not ask."""


def within(tick: Tick, start: float, end: float) -> Tick:
    """Give the `Tick` for what takes a step from the share `start` to the share `end`."""
    return lambda share: tick(start + (end - start) * share)


def bands(height: int, row_bytes: int, tick: Tick = ignore, *, band_bytes: int = BAND_BYTES) -> Iterator[slice]:
    """Divide the rows of a picture.

    Parameters
    ----------
    height : int
        Number of rows.
    row_bytes : int
        Bytes of one of them.
    tick : callable, optional
        Called before each band.
    band_bytes : int
        Bytes of a band, roughly; it has at least one row.

    Yields
    ------
    slice
        The rows of the next band, from the top.
    """
    rows = max(1, band_bytes // row_bytes)
    for start in range(0, height, rows):
        tick(start / height)
        yield slice(start, min(start + rows, height))
