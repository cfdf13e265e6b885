"""Why a download failed, in sentences that say what to do."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from processing.errors import ModelError

if TYPE_CHECKING:
    from requests import Response

OTHER_WAYS = (
    "Or name a mirror in CUTOUT_MODEL_MIRROR, or fetch it on another machine and bring it here with "
    "`python -m processing models export` and `models import`."
)


class Interruption(ModelError):
    """A failure that another try may mend. It never leaves `fetch`, which raises a plain `ModelError` in the end.

    Parameters
    ----------
    message : str
        What happened and what to do.
    retry_after_s : float
        How long the server asks to wait, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def shown(address: str) -> str:
    """Return an address as it may be printed: without a password, and without what is signed into it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "the address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _route(address: str, at: str) -> tuple[str, str]:
    """Return the host that failed, and the address asked for with the way to that host."""
    try:
        host, first = urlsplit(at).hostname or "the server", urlsplit(address).hostname
    except ValueError:
        return "the server", shown(address)
    return host, shown(address) if host == first else f"{shown(address)}, which leads to {host}"


def explain(error: BaseException, address: str, at: str, waited_s: float) -> ModelError:
    """Say why a request failed.

    Parameters
    ----------
    error : BaseException
        What the thread that asked met.
    address : str
        What it asked for.
    at : str
        Where redirects had led it.
    waited_s : float
        How long it waits for the next bytes, in seconds.

    Returns
    -------
    ModelError
        An `Interruption` where another try may help.
    """
    import requests.exceptions as by_requests
    import urllib3.exceptions as by_urllib3

    if isinstance(error, ModelError):
        return error
    causes = tuple(_causes(error))

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    host, what = _route(address, at)
    if has(by_requests.ProxyError, by_urllib3.ProxyError):
        return Interruption(
            f"The proxy does not let {what} through: {_last(causes)}. Check HTTPS_PROXY and HTTP_PROXY; NO_PROXY names "
            f"hosts to reach without it. {OTHER_WAYS}"
        )
    if has(ssl.SSLCertVerificationError):
        return ModelError(
            f"{host} cannot prove that it is {host}: {_last(causes)}. Check the clock of this machine. Where a company "
            f"inspects connections, name its certificate in REQUESTS_CA_BUNDLE. {OTHER_WAYS}"
        )
    if has(ssl.SSLError, by_requests.SSLError, by_urllib3.SSLError):
        return Interruption(f"No secure connection to {host} could be made: {_last(causes)}. Retry later. {OTHER_WAYS}")
    if has(socket.gaierror, by_urllib3.NameResolutionError):
        return Interruption(
            f"{host} was not found: there is no network, or the name is wrong ({what}). Check the connection; behind a "
            f"proxy, set HTTPS_PROXY. {OTHER_WAYS}"
        )
    if has(ConnectionRefusedError):
        return Interruption(
            f"{host} refused the connection ({what}). Check the address, and whether a firewall is in between. "
            f"{OTHER_WAYS}"
        )
    if has(by_requests.ConnectTimeout, by_urllib3.ConnectTimeoutError):
        return Interruption(f"{host} did not answer ({what}). Check the connection, or retry later. {OTHER_WAYS}")
    if has(by_requests.Timeout, by_urllib3.TimeoutError, TimeoutError):
        return Interruption(
            f"{host} stalled: {waited_s:g} s without enough of {what}. Retry later; what has come is kept. {OTHER_WAYS}"
        )
    if has(by_requests.InvalidURL, by_requests.InvalidSchema, by_requests.MissingSchema, by_urllib3.LocationValueError):
        why = str(error).replace(at, shown(at)).rstrip(".")
        return ModelError(f"{what} cannot be asked for: {why}. Check the mirror's address and the proxy variables.")
    ended_early = has(by_urllib3.IncompleteRead, IncompleteRead)
    why = "it ended before all had come" if ended_early else _last(causes)
    return Interruption(
        f"The connection to {host} broke off ({what}): {why}. Check the connection and retry; what has come "
        f"is kept. {OTHER_WAYS}"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an error and all that lies beneath it: requests wraps urllib3's, which wrap the system's."""
    waiting, seen = [error], set()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        beneath = (getattr(each, "reason", None), each.__cause__, each.__context__, *each.args)
        waiting += [cause for cause in beneath if isinstance(cause, BaseException)]


def _last(causes: tuple[BaseException, ...]) -> str:
    """Return the plainest words: those of the system where there are any."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]).rstrip(".") or type(causes[-1]).__name__


def explain_status(answer: Response, address: str, is_mirror: bool) -> ModelError:
    """Say what an answer means that is neither the file nor a part of it."""
    (_, what), code = _route(address, answer.url), answer.status_code
    if code in (404, 410):
        advice = (
            "Check the mirror: it must be the address of the folder that holds the file."
            if is_mirror
            else "It may have moved; a newer version of this project may know where to."
        )
        return ModelError(f"{what} is not there (the server says {code}). {advice} {OTHER_WAYS}")
    if code in (401, 403, 407, 451):
        who = "The proxy wants a name and a password" if code == 407 else "Access is refused"
        return ModelError(
            f"{who} (the server says {code} to {what}). A firewall or a proxy may forbid it, or it needs a login. "
            f"{OTHER_WAYS}"
        )
    if code >= 500 or code in (408, 425, 429):
        return Interruption(
            f"The server has trouble: it says {code} to {what}. Retry later. {OTHER_WAYS}", _asked_pause(answer)
        )
    return ModelError(f"The server says {code} to {what}, which does not give the file. {OTHER_WAYS}")


def _asked_pause(answer: Response) -> float:
    """Return the seconds of ``Retry-After``, which may be a number or a date; 0 where there is none."""
    value = answer.headers.get("Retry-After", "")
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
