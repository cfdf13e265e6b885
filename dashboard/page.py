"""The dashboard: the views put together around one controller; and a page of its own for it."""

from __future__ import annotations

import panel as pn
import panel_material_ui as pmui
import param
from bokeh.document import Document
from panel.io import PeriodicCallback
from panel.io import document as panel_document

from dashboard.components.colours import Colours
from dashboard.controller import Controller
from dashboard.views.compare import CompareView
from dashboard.views.download import DownloadView
from dashboard.views.history import HistoryView
from dashboard.views.model import ModelView
from dashboard.views.notice import NoticeView
from dashboard.views.run import RunView
from dashboard.views.source import SourceView

_HEADER = {"MuiAppBar": {"styleOverrides": {"root": {"backgroundColor": "#115e59", "color": "#fff"}}}}
THEME = {
    "light": {"palette": {"primary": {"main": "#0f766e"}}, "components": _HEADER},
    "dark": {"palette": {"primary": {"main": "#2dd4bf", "contrastText": "#06302c"}}, "components": _HEADER},
}

_POLL_MS = 100


class Dashboard(pn.viewable.Viewer):
    """Upload, run, compare, download: in a served page or in a notebook cell.

    Parameters
    ----------
    controller : Controller, optional
        State and actions; a new one if None.
    **params
        Passed to the new `Controller`, for example `owner`.
    """

    controller = param.ClassSelector(class_=Controller, constant=True, doc="State and actions of this page.")

    def __init__(self, controller: Controller | None = None, **params) -> None:
        super().__init__(controller=controller or Controller(**params))
        self.source = SourceView(self.controller)
        self.model = ModelView(self.controller)
        self.run = RunView(self.controller)
        self.notice = NoticeView(self.controller)
        self.compare = CompareView(self.controller)
        self.download = DownloadView(self.controller)
        self.history = HistoryView(self.controller)
        self._layout = pmui.Column(
            pmui.Typography(
                f"Drop a photo, press Run, download it without its background. {self.controller.runtime.promise}",
                variant="body1",
                margin=0,
            ),
            self.source,
            self.model,
            self.run,
            self.notice,
            self.compare,
            self.download,
            self.history,
            sizing_mode="stretch_width",
            margin=(8, 24, 24, 24),
            sx={"gap": "20px"},
            theme_config=THEME,
        )
        self._document = pn.state.curdoc
        self._wait_until_connected()
        self._start_polling()

    def _wait_until_connected(self) -> None:
        # What Python changes before the browser has reported the document ready never reaches it (Panel 1.9.4): a photo
        # dropped that early would be read and never shown, and a run that ended in that moment would seem to last
        # forever. So until then nothing can be pressed and no job is asked how it stands.
        self._connected = False
        self._set_disabled(True)
        if self.controller.runtime.has_threads:  # in a browser's Python `onload` does not wait: see `_poll`
            pn.state.onload(self._connect)

    def _connect(self) -> None:
        self._connected = True
        self._set_disabled(False)

    def _set_disabled(self, disabled: bool) -> None:
        for widget in (self.source.file_input, self.source.samples, self.history.strip):
            widget.disabled = disabled

    def _start_polling(self) -> None:
        # Polling needs no lock between visitors and keeps no closed page in memory. background=True, which
        # pn.state.add_periodic_callback cannot pass on: else every poll blinks the page's busy indicator.
        self._poller = PeriodicCallback(callback=self._poll, period=_POLL_MS, background=True, log=False)
        self._poller.start()
        document = self._document
        if self.controller.runtime.has_threads and document is not None and document.session_context is not None:
            # Threads may ask a document for one thing: to be called from its event loop.
            self.controller.wake = lambda: document.add_next_tick_callback(self._poll)
            pn.state.on_session_destroyed(lambda context: self.controller.close())

    async def _poll(self) -> None:
        # A coroutine runs on the event loop; a plain function would queue behind slow callbacks in the thread pool.
        if not self._connected and not self.controller.runtime.has_threads and pn.state.loaded:
            self._connect()
        if self._connected:
            self.controller.poll()
            self.controller.models.poll()
        if self._document is not None:
            send_forgotten(self._document)

    def __panel__(self):
        return self._layout


def send_forgotten(document: Document) -> None:
    """Send what Panel has prepared for the browser and forgotten; called on the event loop.

    While Panel 1.9.4 writes some changes, others may join its queue. Once it has written the first it takes the queue
    for empty, and the others wait until something else changes. Were they the end of a run, it would seem to last for
    ever.
    """
    if document in panel_document._WRITE_MSGS and document not in panel_document._WRITE_BLOCK:
        panel_document.schedule_write_events(document, [], [])


def on_a_page(*parts: pn.viewable.Viewable | pn.viewable.Viewer, description: str) -> pmui.Page:
    """Put the dashboard, and what else belongs to it, on a page with a title and a switch for dark colours.

    Parameters
    ----------
    *parts
        What the page shows.
    description : str
        A sentence for search engines.
    """
    return pmui.Page(
        title="Cutout",
        main=[*parts, Colours()],
        main_width=1200,
        theme_config=THEME,
        meta_description=description,
    )
