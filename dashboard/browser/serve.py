"""A server of files on this machine, to look at a site that was built."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dashboard.browser.errors import BuildError
from dashboard.browser.headers import HEADERS


class _Handler(SimpleHTTPRequestHandler):
    # Browsers refuse modules and WebAssembly that come under another type; not every system's table has these.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".json": "application/json",
        ".webmanifest": "application/manifest+json",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }
    headers_sent: dict[str, str] = {}

    def end_headers(self) -> None:
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _PlainHandler(_Handler):
    """Sends what any host of files sends, GitHub Pages for example."""


class _FullHandler(_Handler):
    headers_sent = HEADERS


def make_server(folder: Path, port: int = 0, *, plain: bool = False) -> ThreadingHTTPServer:
    """Return a server of `folder`, on this machine's own address only; `serve_forever()` runs it.

    Parameters
    ----------
    folder : Path
        What it serves.
    port : int
        0 takes a free one; it is then in `server_port`.
    plain : bool
        Leave our headers out, as hosts do that cannot be told about any.

    Raises
    ------
    BuildError
        If there is no such folder, or the port is taken.
    """
    if not folder.is_dir():
        raise BuildError(f"There is no folder {str(folder)!r}. Build one: python -m dashboard.browser build {folder}")
    handler = functools.partial(_PlainHandler if plain else _FullHandler, directory=str(folder))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise BuildError(f"Port {port} cannot be used: {error}. Try another: --port {port + 1}") from error
