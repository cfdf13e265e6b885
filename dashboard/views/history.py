"""The owner's last results; they outlive the page and the server."""

from __future__ import annotations

import base64
from datetime import datetime

import panel as pn
import panel_material_ui as pmui

from dashboard.components.picture_strip import PictureStrip
from dashboard.controller import Controller
from processing import ArtifactRecord, StoreError


class HistoryView(pn.viewable.Viewer):
    """A strip of thumbnails; pressing one shows that result again."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self.strip = PictureStrip(on_pick=controller.open, caption="Your last results", margin=0)
        self._layout = pn.Column(
            pmui.Typography("Your last results", variant="subtitle2", margin=(0, 0, 8, 0)),
            self.strip,
            sizing_mode="stretch_width",
            margin=0,
        )
        controller.param.watch(self._show_items, "history")
        controller.param.watch(self._show_selected, "record")
        self._show_items()

    def _show_items(self, *_events) -> None:
        items = [item for record in self._controller.history if (item := self._item(record)) is not None]
        self.strip.items = items
        self._layout.visible = bool(items)
        self._show_selected()

    def _show_selected(self, *_events) -> None:
        record = self._controller.record
        self.strip.selected = record.id if record is not None else ""

    def _item(self, record: ArtifactRecord) -> dict[str, str] | None:
        try:
            thumbnail = self._controller.store.read(record, "thumbnail")
        except StoreError:
            return None  # deleted while we looked
        when = datetime.fromisoformat(record.created).astimezone()
        return {
            "key": record.id,
            "title": f"{record.source['name']}, {when:%d %b %Y %H:%M}",
            "picture": "data:image/webp;base64," + base64.b64encode(thumbnail).decode("ascii"),
        }

    def __panel__(self):
        return self._layout
