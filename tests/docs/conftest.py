"""What the tests of the documents share: reading Markdown, and starting what it says to start."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Document:
    """A Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text("utf-8")

    def blocks(self, language: str) -> list[str]:
        """Return the fenced blocks of a language."""
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def commands(self) -> list[str]:
        """Return the lines of all bash blocks, continued lines joined."""
        lines = "".join(self.blocks("bash")).replace("\\\n", " ").splitlines()
        return [" ".join(line.split()) for line in lines]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def document():
    """Give the document of a path inside the repository."""
    return lambda path: Document(ROOT / path)


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """Variables of somebody who has activated the environment; what they make stays in the test's folder."""
    scripts = Path(sys.executable).parent  # not resolved: in a virtual environment it is a link to another Python
    foreign = ("MAKE", "PYTEST", "U2NET_HOME", "REMBG_HOME")  # other tests put made models there, which doctor dislikes
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "CUTOUT_ARTIFACTS": str(tmp_path / "artifacts"),
        "TMPDIR": str(tmp_path),
    }


@pytest.fixture
def workplace(tmp_path) -> Path:
    """A folder as the commands on the pages expect it: the checkout's parts by link, and a photo."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("dashboard", "docs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "dashboard" / "samples" / "astronaut.jpg", folder / "photo.jpg")
    return folder


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def serve(environment, tmp_path):
    """Give a context manager: run a command that serves, wait until the address answers, stop its whole group."""

    @contextlib.contextmanager
    def serving(command: str, url: str, *, cwd: Path, **variables: str) -> Iterator[Path]:
        log = tmp_path / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=cwd,
                env={**environment, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            for _ in range(1200):
                assert process.poll() is None, log.read_text("utf-8")
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    urllib.request.urlopen(url, timeout=30).read()
                    break
                time.sleep(0.1)
            else:
                pytest.fail(f"{command} did not answer: {log.read_text('utf-8')}")
            yield log
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)

    return serving
