"""A controller with a fake model, a queue of its own and a temporary artifacts folder."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from contracts import FakeSession

from dashboard import Controller
from dashboard.runtime import ServerRuntime
from dashboard.samples import find_sample
from processing import ArtifactStore
from processing.jobs import JobQueue
from processing.sessions.pool import SessionPool


class GatedSession(FakeSession):
    """A session that waits in `predict` until the gate is opened or the run is cancelled."""

    def __init__(self, raw) -> None:
        super().__init__(raw)
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.runs = 0

    def predict(self, tensor, cancel=None):
        self.runs += 1
        self.reached.set()
        with cancel.on_cancel(self.gate.set):
            assert self.gate.wait(30)
        return super().predict(tensor, cancel)


@pytest.fixture
def session() -> GatedSession:
    """A model that sees the left half of every photo; its gate is open."""
    raw = np.zeros((8, 8), np.float32)
    raw[:, :4] = 1
    session = GatedSession(raw)
    session.gate.set()
    return session


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue()


@pytest.fixture
def new_controller(session, store, queue):
    def make(**params) -> Controller:
        return Controller(ServerRuntime(store, queue, SessionPool(lambda spec, provider: session)), **params)

    return make


@pytest.fixture
def controller(new_controller) -> Controller:
    return new_controller(owner="anna")


@pytest.fixture
def settle():
    """Poll like the page does, until the controller is idle."""

    def wait(controller: Controller) -> None:
        if controller._job is not None:
            controller._job.future.result(30)
        controller.poll()
        assert controller.activity == ""

    return wait


@pytest.fixture
def run_cat(settle):
    """Run the cat of the samples through a controller, as two clicks do."""

    def load_and_run(controller: Controller, name: str = "cat.jpg") -> None:
        controller.load(find_sample("cat").read(), name)
        settle(controller)
        controller.run()
        settle(controller)

    return load_and_run
