"""One request over the network, which can be cancelled at any moment and whose failures say what to do.

A thread asks and reads; whoever wants the bytes takes them from a queue and may walk away: looking up a name,
connecting and waiting for a silent server cannot be interrupted, but need not be waited for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from processing.cancellation import CancelToken
from processing.errors import ModelError
from processing.models.fetching.failures import explain, shown
from processing.models.fetching.lock import stop_if_cancelled

if TYPE_CHECKING:
    from requests import Response, Session

#: Read at once, in bytes. A server that takes longer than `Limits.stalled_s` for so much counts as stalled.
_CHUNK = 1 << 14
_QUEUED_CHUNKS = 64
_TICK_S = 0.2
_REDIRECTS = 10


@dataclass(frozen=True)
class Limits:
    """How patient a download is; all in seconds.

    Parameters
    ----------
    pauses_s : tuple of float
        How long to wait before the second try, the third, and so on; there are so many tries, and one.
    connect_s : float
        For a connection to be made.
    stalled_s : float
        For the next bytes to come.
    longest_pause_s : float
        A server that asks for a longer pause than this is given up at once.
    """

    pauses_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    connect_s: float = 10.0
    stalled_s: float = 30.0
    longest_pause_s: float = 60.0


class Stream:
    """A request that has been sent: a context manager.

    Proxies, and certificates of one's own, are taken from the usual variables (``HTTPS_PROXY``, ``HTTP_PROXY``,
    ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``). Redirects are followed, but not from https to http.

    Parameters
    ----------
    address : str
        What to ask for.
    headers : dict
        Sent along.
    limits : Limits
        How long to wait.
    cancel : CancelToken or None
        Looked at while waiting.
    method : str
        ``GET`` or ``HEAD``.
    """

    def __init__(
        self, address: str, headers: dict[str, str], limits: Limits, cancel: CancelToken | None, method: str = "GET"
    ) -> None:
        self.address = self._at = address
        self._headers = {
            "Accept-Encoding": "identity",
            **headers,
        }  # a compressed file has other bytes and another length
        self._limits, self._cancel, self._method = limits, cancel, method
        self._items: queue.Queue[Response | bytes | BaseException] = queue.Queue(_QUEUED_CHUNKS)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="download", daemon=True)

    def __enter__(self) -> Stream:
        """Send the request."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Walk away; the thread closes the connection as soon as it hears of it."""
        self._left.set()

    def answer(self) -> Response:
        """Wait for the head of the answer.

        Raises
        ------
        ModelError
            If there is none; an `Interruption` where another try may help.
        Cancelled
            Within a moment of being cancelled.
        """
        for item in self._take(self._limits.connect_s + self._limits.stalled_s):
            if not isinstance(item, bytes):
                return item
        raise AssertionError("unreachable: the head comes first")

    def chunks(self) -> Iterator[bytes]:
        """Give the bytes as they come, and empty bytes several times a second while none do; the same errors."""
        while True:
            for item in self._take(self._limits.stalled_s):
                if item is _END:
                    return
                yield item  # type: ignore[misc]  # the head was taken by `answer`
                if item:
                    break

    def _take(self, longest_s: float) -> Iterator[Response | bytes]:
        """Wait for the next item, giving empty bytes meanwhile."""
        until = time.monotonic() + longest_s
        while True:
            stop_if_cancelled(self._cancel)
            try:
                item = self._items.get(timeout=min(_TICK_S, longest_s))
            except queue.Empty:
                if time.monotonic() > until:
                    raise explain(TimeoutError(), self.address, self._at, longest_s) from None
                yield b""
                continue
            if isinstance(item, BaseException):
                raise explain(item, self.address, self._at, self._limits.stalled_s) from item
            yield item

    def _work(self) -> None:
        import requests

        try:
            with requests.Session() as session, self._follow(session) as response:
                self._put(response)
                while chunk := response.raw.read(_CHUNK):
                    self._put(chunk)
            self._put(_END)
        except _Left:
            pass
        except Exception as error:  # it is raised where somebody waits
            with suppress(_Left):
                self._put(error)

    def _put(self, item: Response | bytes | BaseException) -> None:
        while not self._left.is_set():
            try:
                return self._items.put(item, timeout=_TICK_S)
            except queue.Full:
                continue
        raise _Left

    def _follow(self, session: Session) -> Response:
        timeout = (self._limits.connect_s, self._limits.stalled_s)
        for _ in range(_REDIRECTS):
            response = session.request(
                self._method, self._at, headers=self._headers, stream=True, timeout=timeout, allow_redirects=False
            )
            if not response.is_redirect:
                return response
            response.close()
            self._at = urljoin(self._at, response.headers["location"])
            if urlsplit(self.address).scheme == "https" and urlsplit(self._at).scheme != "https":
                raise ModelError(
                    f"{shown(self.address)} redirects to {shown(self._at)}, which is not encrypted; that is not "
                    "followed. Something between you and the server may have put it there; try from another network."
                )
            if self._left.is_set():
                raise _Left
        raise ModelError(
            f"{shown(self.address)} redirects more than {_REDIRECTS} times. Check the address of the mirror, or retry "
            "later."
        )


class _Left(Exception):
    """Nobody wants the bytes any more."""


_END = b"\0"  # compared by identity; see `chunks`
