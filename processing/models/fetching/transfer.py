"""One try at bringing the rest of a file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models.fetching.failures import OTHER_WAYS, Interruption, explain_status, shown
from processing.models.fetching.partial import Partial
from processing.models.fetching.progress import Meter
from processing.models.fetching.stream import Limits, Stream
from processing.models.folder import require_space

if TYPE_CHECKING:
    from requests import Response

_CHANGED = "{what} changed while it was fetched, so it is fetched anew. If it goes on so, retry later. " + OTHER_WAYS


def bring_rest(
    partial: Partial, address: str, is_mirror: bool, limits: Limits, meter: Meter, cancel: CancelToken | None
) -> None:
    """Ask once for what is missing, and append what comes.

    Whatever happens, what has come is kept for the next try, unless it turns out to belong to another file.

    Raises
    ------
    ModelError
        If not all of it came; an `Interruption` where another try may help.
    Cancelled
        If `cancel` was cancelled.
    """
    with Stream(address, partial.condition(address), limits, cancel) as stream:
        total = _begin(partial, stream.answer(), address, is_mirror)
        if total is None:
            return
        meter.total_bytes = max(meter.total_bytes, meter.base_bytes + total)
        meter.stand_at(partial.size)
        meter.begin("Fetching")
        if total:
            require_space(partial.path.parent, total - partial.size)
        _append(partial, stream, meter)
    what = shown(address)
    if partial.total and partial.size < partial.total:
        raise Interruption(
            f"The connection broke off: {partial.size:,} of {partial.total:,} bytes of {what} have come."
        )


def _begin(partial: Partial, answer: Response, address: str, is_mirror: bool) -> int | None:
    """Look at the head of an answer, and make ready for what comes.

    Returns
    -------
    int or None
        Length of the whole file in bytes, 0 if unknown; None where all of it is here already.
    """
    what = shown(address)
    start, total = _offered(answer)
    if answer.status_code == 416 and total == partial.size and partial.is_same_version(answer, address, total):
        partial.was_resumed = True
        return None
    if answer.status_code == 416 or (answer.status_code == 206 and start != partial.size):
        partial.discard()
        raise Interruption(f"The server does not give the rest of {what}. {OTHER_WAYS}")
    if answer.status_code == 206:
        if not partial.is_same_version(answer, address, total):
            partial.discard()
            raise Interruption(_CHANGED.format(what=what))
        if partial.size:
            partial.was_resumed = True
        else:
            partial.begin(answer, address, total)
        return total or partial.total
    if answer.status_code != 200:
        raise explain_status(answer, address, is_mirror)
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise ModelError(
            f"{what} gives a web page, not the file. It may be the login page of the network or of a proxy: open a "
            f"browser, log in and retry. {OTHER_WAYS}"
        )
    if total and partial.file.size_bytes and total != partial.file.size_bytes:
        raise ModelError(
            f"{what} has {total:,} bytes and should have {partial.file.size_bytes:,}: it is another file. Check the "
            f"address of the mirror. {OTHER_WAYS}"
        )
    partial.begin(answer, address, total)
    return total or partial.total


def _offered(answer: Response) -> tuple[int, int]:
    """Return where the offered bytes begin, and the length of the whole file, as the head of an answer gives them."""
    if answer.status_code in (206, 416):
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if found is None:
            return -1, 0
        return int(found[1] or -1), int(found[2]) if found[2] != "*" else 0
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _append(partial: Partial, stream: Stream, meter: Meter) -> None:
    with partial.opened() as write:
        for chunk in stream.chunks():
            write(chunk)
            meter.add(len(chunk))
            if partial.file.size_bytes and partial.size > partial.file.size_bytes:
                break
    if partial.file.size_bytes and partial.size > partial.file.size_bytes:
        partial.discard()
        raise ModelError(
            f"{shown(stream.address)} gives more than the {partial.file.size_bytes:,} bytes it should have: it is "
            f"another file, and was deleted. Check the address of the mirror. {OTHER_WAYS}"
        )
