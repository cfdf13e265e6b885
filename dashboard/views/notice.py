"""The one place on the page where errors and hints appear."""

from __future__ import annotations

import panel as pn

from dashboard.components.notice_bar import NoticeBar
from dashboard.controller import Controller


class NoticeView(pn.viewable.Viewer):
    """Shows the controller's notice until it is closed or the next action clears it."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self.bar = NoticeBar(on_action=controller.undo, sizing_mode="stretch_width", margin=0)
        self._layout = pn.Column(self.bar, visible=False, sizing_mode="stretch_width", margin=0)
        controller.param.watch(self._show, "notice")
        self.bar.param.watch(self._dismiss, "text")
        self._show()

    def _show(self, *_events) -> None:
        notice = self._controller.notice
        self._layout.visible = notice is not None
        if notice is None:
            self.bar.text = ""
        else:
            self.bar.param.update(text=notice.text, action=notice.action, severity=notice.severity)

    def _dismiss(self, event) -> None:
        if not event.new:
            self._controller.notice = None

    def __panel__(self):
        return self._layout
