"""A static web server of our own, whose answers may be wrong and which is really gone when it is stopped."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

JAVASCRIPT = Path(__file__).parents[2] / "processing" / "browser"

TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}


class Site:
    """A static web server of our own on a free port of the loopback device.

    Parameters
    ----------
    files : dict
        Path on the site to bytes, or to a folder whose files lie below that path.
    isolated : bool
        Send the headers that let a page share memory between threads.
    """

    def __init__(self, files: dict[str, bytes | Path], *, isolated: bool = False) -> None:
        self.files = files
        self.isolated = isolated
        #: Paths asked for, without what follows a question mark.
        self.requests: list[str] = []
        #: Path to what is wrong with its next answers, one each: "missing", "damaged", "longer", "cut off" or "short".
        self.faults: dict[str, list[str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.port = self._server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def find(self, path: str) -> bytes | None:
        if isinstance(data := self.files.get(path), bytes):
            return data
        folder, _, name = path.rpartition("/")
        if isinstance(place := self.files.get(f"{folder}/"), Path) and (place / name).is_file():
            return (place / name).read_bytes()
        return None

    def count(self, path: str) -> int:
        return self.requests.count(path)

    def stop(self) -> None:
        """Stop, and prove it: nobody listens on the port any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=30)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def _make_handler(site) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            # HTTP/1.0: each connection ends with its answer, so none outlives the server.
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                site.requests.append(path)
                data, faults = site.find(path), site.faults.get(path)
                fault = faults.pop(0) if faults else ""
                if data is None or fault == "missing":
                    self.send_error(404)
                    return
                if fault == "damaged":
                    data = data[:-1] + bytes([data[-1] ^ 1])
                elif fault == "longer":
                    data += b"!"
                body = data[: len(data) // 2] if fault in ("cut off", "short") else data
                self.send_response(200)
                self.send_header("Content-Type", TYPES.get(Path(path).suffix, "application/octet-stream"))
                if fault != "short":  # without a length, an early end looks like the proper one
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # whoever asked has gone
                    self.wfile.write(body)

            def end_headers(self) -> None:
                if site.isolated:
                    self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                    self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                    self.send_header("Cross-Origin-Resource-Policy", "same-origin")
                super().end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


@contextlib.contextmanager
def serve(files: dict[str, bytes | Path], *, isolated: bool = False) -> Iterator[Site]:
    site = Site(files, isolated=isolated)
    try:
        yield site
    finally:
        site.stop()
