"""A closed page frees its memory."""

from __future__ import annotations

import gc
import socket
import time
import weakref

import pytest
from bokeh.client import pull_session

import dashboard.page
from dashboard import Controller

VISITS = 30


@pytest.fixture
def served(new_controller, settle, session):
    """Serve dashboards that each hold a photo and a result; gives the address and what is known about the visits."""
    import panel as pn
    from photos import SAMPLES

    cat = (SAMPLES / "cat.jpg").read_bytes()
    controllers: list[weakref.ref[Controller]] = []
    destroyed: list[object] = []

    def visit():
        controller = new_controller(owner=f"visitor {len(controllers)}")
        controller.load(cat, "cat.jpg")
        settle(controller)
        controller.run()
        settle(controller)
        controllers.append(weakref.ref(controller))
        pn.state.on_session_destroyed(lambda context: destroyed.append(None))  # the context holds the page
        return dashboard.page.Dashboard(controller=controller)

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = pn.serve(
        visit,
        port=port,
        address="127.0.0.1",
        show=False,
        threaded=True,
        # With other names these two are silently ignored, and nothing would ever be destroyed.
        check_unused_sessions_milliseconds=100,
        unused_session_lifetime_milliseconds=100,
    )
    yield f"http://127.0.0.1:{port}/", controllers, destroyed
    server.stop()


def visit(address: str) -> None:
    """Open a page and close it again, as a browser does but for the picture on the screen."""
    for _ in range(100):
        try:
            pull_session(url=address).close()
            return
        except OSError:  # the server is not up yet
            time.sleep(0.1)
    raise AssertionError("The server did not answer.")


def test_thirty_closed_pages_leave_nothing_behind(served):
    address, controllers, destroyed = served
    for _ in range(VISITS):
        visit(address)
    deadline = time.monotonic() + 120
    while len(destroyed) < VISITS and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(destroyed) == VISITS, "the visits were not destroyed, so this says nothing about memory"
    # The last document may still be held by the server's own frames.
    for _ in range(50):
        gc.collect()
        alive = [each for each in (reference() for reference in controllers) if each is not None]
        count = len(alive)
        del alive
        if count <= 1:
            break
        time.sleep(0.1)
    assert len(controllers) == VISITS
    assert count <= 1
