"""What lies behind the cutout, in which format, and the download."""

from __future__ import annotations

import asyncio

import panel as pn
import panel_material_ui as pmui

from dashboard.controller import Controller
from dashboard.notices import notice_of
from processing import Recipe
from processing.composite import BACKGROUNDS, TRANSPARENT
from processing.encoders import ENCODERS
from processing.jobs import DONE

_OWN_COLOUR = "colour"


class DownloadButton(pmui.FileDownload):
    """A FileDownload that waits for a job in the queue, so that encoding never holds up the page.

    Parameters
    ----------
    controller : Controller
        Makes the file, and shows what goes wrong.
    """

    _esm_base = "FileDownload.jsx"

    def __init__(self, controller: Controller, **params):
        self._controller = controller
        super().__init__(callback=self._encode, auto=True, **params)

    async def _encode(self):
        job = self._controller.submit_download()
        if job is None:
            return None
        self.loading = True
        try:
            await asyncio.wrap_future(job.future)
        finally:
            self.loading = False
        if job.state != DONE:
            self._controller.notice = notice_of(job.error) if job.error else None
            return None
        return job.result

    def _sync_data(self, fileobj):
        if fileobj is None:  # the notice says why
            return
        super()._sync_data(fileobj)
        self.data = None  # sent by now; keeping it would hold a third more than the file in memory for every page


class DownloadView(pn.viewable.Viewer):
    """Background, format, download button, and where the result was saved."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        recipe = controller.recipe
        self.background = pmui.RadioButtonGroup(
            label="Background",
            options={**{name.title(): name for name in BACKGROUNDS}, "Colour": _OWN_COLOUR},
            value=recipe.background if recipe.background in BACKGROUNDS else _OWN_COLOUR,
            size="small",
            margin=0,
        )
        self.colour = pmui.ColorPicker(label="Colour", value="#2a9d8f", visible=False, width=130, margin=0)
        self.format = pmui.Select(
            label="Format",
            options={encoder.title: name for name, encoder in ENCODERS.items()},
            value=recipe.format,
            width=120,
            margin=0,
            size="small",
        )
        self.button = DownloadButton(
            controller, label="Download", color="primary", variant="contained", margin=0, width=260
        )
        self._saved = pmui.Typography("", variant="body2", margin=0, sizing_mode="stretch_width")
        self._layout = pn.Column(
            pn.FlexBox(
                self.background,
                self.colour,
                self.format,
                self.button,
                gap="12px 16px",
                align_items="flex-end",
                sizing_mode="stretch_width",
                margin=0,
            ),
            self._saved,
            sizing_mode="stretch_width",
            margin=0,
            styles={"gap": "8px"},
        )
        self.background.param.watch(self._choose_background, "value")
        self.colour.param.watch(self._choose_background, "value")
        self.format.param.watch(self._choose_format, "value")
        recipe.param.watch(self._show, ["format", "background"])
        controller.param.watch(self._show, ["record", "photo_name"])
        self._show()

    def _choose_background(self, *_events) -> None:
        chosen = self.background.value
        background = self.colour.value if chosen == _OWN_COLOUR else chosen
        recipe = self._controller.recipe
        # Where the format cannot keep transparency, choosing transparent means giving up that format.
        if background == TRANSPARENT and not ENCODERS[recipe.format].keeps_alpha:
            recipe.param.update(background=background, format=Recipe.param.format.default)
        else:
            recipe.background = background

    def _choose_format(self, event) -> None:
        recipe = self._controller.recipe
        if recipe.background == TRANSPARENT and not ENCODERS[event.new].keeps_alpha:
            recipe.param.update(format=event.new, background="white")
        else:
            recipe.format = event.new

    def _show(self, *_events) -> None:
        controller, recipe = self._controller, self._controller.recipe
        named = recipe.background in BACKGROUNDS
        self.background.value = recipe.background if named else _OWN_COLOUR
        self.colour.visible = not named
        self.format.value = recipe.format
        title = ENCODERS[recipe.format].title
        where = "transparent" if recipe.background == TRANSPARENT else f"on {recipe.background}"
        self.button.param.update(
            label=f"Download {title}, {where}", filename=controller.download_name, disabled=controller.record is None
        )
        record = controller.record
        # The path holds no name from outside: the folder's name and the file's are ours.
        self._saved.object = "" if record is None else f"Saved at {controller.store.path(record, 'result')}"
        self._saved.visible = record is not None

    def __panel__(self):
        return self._layout
