"""What the page does between the controller and the browser."""

import asyncio

from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent
from bokeh.models import Div
from bokeh.protocol import Protocol
from panel.io import document as panel_document

from dashboard.page import send_forgotten


class Socket:
    """What Panel writes to, by a handler of its own."""


class Connection:
    def __init__(self):
        self._socket, self.protocol = Socket(), Protocol()


async def let_tasks_run():
    for _ in range(20):
        await asyncio.sleep(0)


def test_changes_that_panel_has_forgotten_are_sent(monkeypatch):
    written = []

    async def scenario():
        document, division, connection = Document(), Div(), Connection()
        document.add_root(division)
        first_is_written = asyncio.get_running_loop().create_future()

        def write(_connection, events=None, msg=None):
            written.append(msg.content["events"][0]["new"])
            return [first_is_written]

        monkeypatch.setitem(panel_document.extra_socket_handlers, Socket, write)

        def change(text):
            event = ModelChangedEvent(document, division, "text", text)
            panel_document.schedule_write_events(document, [connection], [event])

        change("first")
        await let_tasks_run()
        first_is_written.set_result(None)
        change("second")
        await let_tasks_run()
        assert written == ["first"], "Panel forgets no more: send_forgotten can go"
        send_forgotten(document)
        await let_tasks_run()
        assert written == ["first", "second"]
        send_forgotten(document)
        await let_tasks_run()
        assert document not in panel_document._WRITE_BLOCK, "nothing waits, so nothing is begun"

    asyncio.run(scenario())
    assert written == ["first", "second"]
