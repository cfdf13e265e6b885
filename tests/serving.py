"""The dashboard as a server of its own, for the tests in Chromium and for measuring."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Server:
    """`panel serve dashboard/app.py` as the Makefile runs it, on a free port, with an artifacts folder of its own."""

    def __init__(self, artifacts: Path, **environment: str) -> None:
        self.artifacts = artifacts
        self.environment = environment
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/app"
        self.log = artifacts.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "panel", "serve", "dashboard/app.py", "--address", "127.0.0.1"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, "CUTOUT_ARTIFACTS": str(self.artifacts), **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        for _ in range(600):
            assert self._process.poll() is None, self.log.read_text()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(self.url, timeout=30).read()
                return
            time.sleep(0.1)
        raise AssertionError("The server did not answer: " + self.log.read_text())

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=30)
            self._process = None
