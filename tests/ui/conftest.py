"""The served dashboard and a real Chromium; each visitor is a browser context of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Server
from visitors import Visitor


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("served") / "artifacts")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_visitor(browser, server):
    """Makes visitors; at the end none of them may have met a foreign request, a page error or a console error."""
    contexts, visitors = [], []

    def make(**options) -> Visitor:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(**options)
        contexts.append(context)
        visitors.append(Visitor(context, server.url))
        return visitors[-1]

    yield make
    for context in contexts:
        context.close()
    problems = [problem for visitor in visitors for problem in visitor.problems]
    assert not problems


@pytest.fixture
def visitor(new_visitor) -> Visitor:
    return new_visitor().open()
