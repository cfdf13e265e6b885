"""A server on this machine that misbehaves as told, and models that it publishes."""

import hashlib
import http.server
import re
import socket
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from processing.models import ModelSpec, WeightsFile
from processing.models.download import MIRROR, Limits

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")


@dataclass
class Answer:
    """How the server answers one GET; the defaults are those of a good server."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes | None = None  # instead of the file
    cut_after: int | None = None  # closes the connection after so many bytes
    stall_after: int | None = None  # sends so many bytes and then nothing
    is_silent: bool = False  # sends nothing at all
    ignores_range: bool = False
    etag: str | None = '"1"'
    claimed_length: int | None = None
    is_chunked: bool = False


class Server(http.server.ThreadingHTTPServer):
    """Publishes `files` and answers GETs as `answers` says, in turn; well when there are none left."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.answers: deque[Answer] = deque()
        self.default = Answer()
        self.asked: list[tuple[str, str, dict]] = []
        self.released = threading.Event()
        self.scheme = "http"

    @property
    def address(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def gets(self):
        """Return the headers of the GETs that came."""
        return [headers for method, _, headers in self.asked if method == "GET"]

    def ranges(self):
        return [headers.get("Range") for headers in self.gets()]

    def handle_error(self, request, client_address):
        """Say nothing when a client walks away."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.server.asked.append(("HEAD", self.path, dict(self.headers)))
        body = self.server.files.get(self.path.rsplit("/", 1)[-1])
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()

    def do_GET(self):
        self.server.asked.append(("GET", self.path, dict(self.headers)))
        name = self.path.partition("?")[0].rsplit("/", 1)[-1]
        answer = self.server.answers.popleft() if self.server.answers else self.server.default
        self.close_connection = True
        if answer.is_silent:
            self.server.released.wait()
            return
        body = self.server.files.get(name) if answer.body is None else answer.body
        if answer.status != 200 or body is None:
            self._send_head(404 if body is None else answer.status, {"Content-Length": "0", **answer.headers})
            return
        self._send_body(answer, *self._cut_range(answer, body))

    def _cut_range(self, answer, body):
        """Return status, headers and bytes, as RFC 9110 has it for a range."""
        headers = {"ETag": answer.etag} if answer.etag else {}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or answer.ignores_range or self.headers.get("If-Range", answer.etag) != answer.etag:
            return 200, headers, body
        start = int(asked[1])
        if start >= len(body):
            return 416, {**headers, "Content-Range": f"bytes */{len(body)}"}, b""
        return 206, {**headers, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, body[start:]

    def _send_body(self, answer, status, headers, body):
        if answer.is_chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body) if answer.claimed_length is None else answer.claimed_length)
        self._send_head(status, {**headers, **answer.headers})
        stop = next((each for each in (answer.cut_after, answer.stall_after) if each is not None), len(body))
        sent = body[:stop]
        if answer.is_chunked:
            end = b"0\r\n\r\n" if answer.cut_after is None else b""
            sent = b"%x\r\n%s\r\n%s" % (len(sent), sent, end)
        self.wfile.write(sent)
        self.wfile.flush()
        if answer.stall_after is not None:
            self.server.released.wait()
            self.wfile.write(body[stop:])
        elif answer.cut_after is not None:
            self.connection.shutdown(socket.SHUT_RDWR)

    def _send_head(self, status, headers):
        self.send_response(status)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep models in temporary folders, and settings of this machine out; return the folder new models go to."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("U2NET_HOME", MIRROR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def legacy(home, tmp_path):
    """Return the flat folder of earlier versions of rembg."""
    folder = tmp_path / "data" / ".u2net"
    folder.mkdir(parents=True)
    return folder


def serve():
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


@pytest.fixture
def new_server():
    """Return a function that starts a server."""
    servers = []

    def start():
        servers.append(serve())
        return servers[-1]

    yield start
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(new_server):
    return new_server()


#: As patient as the tests need to be on a slow machine, but without pauses between tries.
QUICK = Limits(pauses_s=(0.0, 0.0, 0.0), connect_s=20, stalled_s=60)


@pytest.fixture
def limits():
    return QUICK


@pytest.fixture
def data():
    """Return 300 kB that stand for weights."""
    return b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(9375))


@pytest.fixture
def spec(server, data):
    """Return a model of one file that the server publishes."""
    server.files["tiny-v1.onnx"] = data
    return ModelSpec(
        "tiny",
        "Tiny",
        "For tests.",
        "onnxruntime",
        Path("tiny.onnx"),
        url=f"{server.address}/releases/tiny-v1.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
    )


@pytest.fixture
def pair(server, data):
    """Return a model of two files that the server publishes."""
    server.files |= {"encoder.onnx": data, "decoder.onnx": data[:50_000]}
    decoder = WeightsFile("decoder.onnx", f"{server.address}/decoder.onnx", md5=hashlib.md5(data[:50_000]).hexdigest())
    return ModelSpec(
        "pair",
        "Pair",
        "For tests.",
        "rembg",
        Path("encoder.onnx"),
        url=f"{server.address}/encoder.onnx",
        md5=hashlib.md5(data).hexdigest(),
        more_files=(decoder,),
    )


@pytest.fixture
def catalogue(monkeypatch):
    """Return a function that makes a catalogue of the given models and the built-in one."""
    from processing.models import spec as spec_module

    built_in = spec_module.load_catalogue()["compact"]

    def use(*specs):
        rows = {each.name: each for each in (built_in, *specs)}
        for module in ("processing.models.spec", "processing.models.archive", "processing.cli.models"):
            monkeypatch.setattr(f"{module}.load_catalogue", lambda: rows)
        return rows

    return use


@pytest.fixture
def answer():
    """Return the class of answers, to make some of."""
    return Answer
