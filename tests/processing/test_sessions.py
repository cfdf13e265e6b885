"""The table of runtimes, and the contract that every session keeps."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from contracts import FakeSession, SessionContract
from images import ball

from processing.errors import ModelError
from processing.models import prepare
from processing.sessions import RUNTIMES, open_session
from processing.sessions.native import NativeSession


class TestEveryRuntime(SessionContract):
    @pytest.fixture(params=RUNTIMES)
    def spec(self, request, compact):
        if request.param == "rembg":
            return request.getfixturevalue("rembg_row")
        return replace(compact, runtime=request.param)

    @pytest.fixture
    def session(self, spec, opened):
        return opened(spec)

    @pytest.fixture
    def tensor(self, spec):
        return prepare(ball()[0], spec)


class TestFakeSession(SessionContract):
    """The stand-in that other tests use behaves like the sessions it stands for."""

    @pytest.fixture
    def session(self):
        return FakeSession([[0.0, 0.5, 1.0]])

    @pytest.fixture
    def tensor(self, compact):
        return prepare(ball()[0], compact)


@pytest.fixture(scope="session")
def opened():
    """Return a function that opens each session once."""
    sessions = {}

    def open_once(spec):
        if spec not in sessions:
            sessions[spec] = open_session(spec)
        return sessions[spec]

    return open_once


def test_row_names_the_runtime_that_opens_it(compact):
    assert isinstance(open_session(compact), NativeSession)


def test_unknown_runtime_is_refused_with_those_that_are_known(compact):
    with pytest.raises(ModelError, match=r"Model 'compact' names the runtime 'tflite'\. Known: onnxruntime, rembg\."):
        open_session(replace(compact, runtime="tflite"))


def test_cutout_with_compact_loads_neither_rembg_nor_a_user_interface(tmp_path):
    """In a process of its own, as other tests have loaded them all."""
    np.save(tmp_path / "ball.npy", ball()[0])
    code = """
import sys
def loaded():
    return sorted({"rembg", "numba", "scipy", "panel", "bokeh", "dashboard"} & set(sys.modules))
import processing
print("import", loaded(), "onnxruntime" in sys.modules)
import numpy
result = processing.remove_background(numpy.load(sys.argv[1]))
print("run", loaded(), result.subject_found)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "ball.npy"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["import [] False", "run [] True"]
