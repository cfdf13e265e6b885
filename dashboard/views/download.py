"""What lies behind the cutout, in which format, the download, and where the result was saved."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from html import escape
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from dashboard.components.file_link import FileLink
from dashboard.controller import Controller
from dashboard.notices import notice_of
from dashboard.views.options import OptionsView
from processing import ArtifactRecord, ProcessingError, Recipe, RecipeError
from processing.composite import BACKGROUNDS, TRANSPARENT, parse_background
from processing.encoders import ENCODERS
from processing.jobs import DONE

_OWN_COLOUR = "colour"

#: The true colours of soft edges measure up to so much (docs/edges.md, the fringe meter).
_FRINGE_OF_CLEAN_EDGES = 0.2

FORGET_AFTER_S = 5
LOADING_AFTER_S = 0.3


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
        self._forgetting: asyncio.TimerHandle | None = None
        super().__init__(callback=self._encode, auto=True, **params)

    async def _encode(self):
        try:
            job = self._controller.submit_download()
        except ProcessingError as error:
            self._controller.notice = notice_of(error)
            return None
        if job is None:
            return None
        await self._wait_for(asyncio.wrap_future(job.future))
        if job.state != DONE:
            self._controller.notice = notice_of(job.error) if job.error else None
            return None
        return io.BytesIO(job.result)

    async def _wait_for(self, done: asyncio.Future) -> None:
        """Wait, and turn the wheel on the button if it takes long; once begun it turns for a while.

        A change that is taken back within a moment may reach the page in the wrong order: the wheel would turn forever.
        """
        if (await asyncio.wait([done], timeout=LOADING_AFTER_S))[0]:
            return
        self.loading = True
        try:
            await asyncio.gather(done, asyncio.sleep(LOADING_AFTER_S))
        finally:
            self.loading = False

    def _sync_data(self, fileobj):
        if fileobj is None:  # the notice says why
            return
        if self._forgetting is not None:
            self._forgetting.cancel()
        before = self.data
        with param.parameterized.batch_call_watchers(self):
            super()._sync_data(fileobj)
            if self.data == before:  # the page downloads when the value changes: the same file again must differ
                self.data = self.data.replace(";base64,", ";again=1;base64,", 1)
        # Not at once: two changes of one value within a moment may travel as one, and the page would get no file.
        self._forgetting = asyncio.get_running_loop().call_later(FORGET_AFTER_S, self.forget)

    def forget(self) -> None:
        """Let go of the sent file, which would take a third more than its size in memory for every page."""
        self.data = None


class DownloadView(pn.viewable.Viewer):
    """Background, format, further options, download button, and where the result was saved."""

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
        self.colour = pmui.ColorPicker(label="Colour", value="#2a9d8f", visible=False, width=150, margin=0, align="end")
        self._own_colour = self.colour.value  # what the field last held that is a colour
        self.format = pmui.Select.from_param(
            recipe.param.format,
            options={ENCODERS[name].title: name for name in controller.runtime.formats},
            width=130,
            margin=0,
            size="small",
            align="end",
        )
        place = {"margin": 0, "align": "end", "sizing_mode": "stretch_width", "max_width": 330}
        place["styles"] = {"flex": "1 1 270px"}
        self.button: DownloadButton | FileLink = (
            FileLink(**place)
            if controller.runtime.has_links
            else DownloadButton(controller, label="Download", color="primary", variant="contained", **place)
        )
        self.apply_button = pmui.Button(
            label="Apply changes", color="primary", variant="contained", margin=0, align="end", visible=False
        )
        self.apply_button.on_click(lambda event: controller.run())
        self.delete_button = pmui.Button(
            label="Delete", variant="text", color="error", size="small", margin=0, visible=False
        )
        self.delete_button.on_click(lambda event: controller.delete())
        self.options = OptionsView(controller)
        self._saved = pmui.Typography("", variant="body2", margin=0, align="center")
        self._made = pmui.Typography("", variant="body2", margin=0, align="center")
        self._layout = pn.Column(
            pmui.FlexBox(
                self.background,
                self.colour,
                self.format,
                self.button,
                self.apply_button,
                gap="12px 16px",
                align_items="flex-end",
                margin=0,
            ),
            pmui.FlexBox(self._saved, self._made, self.delete_button, gap="4px 12px", align_items="center", margin=0),
            self.options,
            sizing_mode="stretch_width",
            margin=0,
            styles={"gap": "12px"},
        )
        self.background.param.watch(self._choose_background, "value")
        self.colour.param.watch(self._take_colour, "value")
        recipe.param.watch(self._show, ["format", "background"])
        controller.param.watch(self._show, ["record", "photo_name", "offer"])
        controller.drafts.param.watch(self._show, "is_wanted")
        self._show()

    def _choose_background(self, *_events) -> None:
        chosen = self.background.value
        if chosen == _OWN_COLOUR and self.colour.error_state:
            self.colour.value = self._own_colour
        self._controller.recipe.background = self._own_colour if chosen == _OWN_COLOUR else chosen

    def _take_colour(self, event: param.parameterized.Event) -> None:
        """Take what is a colour; else say so beside the field, which sends each letter as it is typed."""
        typed = event.new or ""
        allowed = _is_colour(typed)
        self.colour.param.update(
            error_state=not allowed,
            helper_text="" if allowed else f"{typed[:40]!r} is no colour. Give a name such as navy, or #rrggbb.",
        )
        if allowed:
            self._own_colour = typed
            self._choose_background()

    def _show(self, *_events) -> None:
        controller, recipe = self._controller, self._controller.recipe
        named = recipe.background in BACKGROUNDS
        self.background.value = recipe.background if named else _OWN_COLOUR
        self.colour.visible = not named
        record = controller.record
        url = controller.offer.url if controller.offer is not None else ""
        if isinstance(self.button, FileLink) and self.button.href != url:
            self.button.href = ""  # until all else is shown, too: a click must never give another file than it says
        # While a draft is shown, the file that there is would be another picture than the one on the page.
        self.button.param.update(
            label=_describe_file(controller),
            filename=controller.download_name,
            disabled=record is None or controller.drafts.is_wanted,
        )
        self.apply_button.visible = controller.drafts.is_wanted
        if isinstance(self.button, FileLink):
            self.button.href = url
        self._saved.object = "" if record is None else controller.runtime.whereabouts(record)
        self._made.object = "" if record is None else _describe_run(record)
        self._made.visible = self._saved.visible = self.delete_button.visible = record is not None

    def __panel__(self):
        return self._layout


def _is_colour(text: str) -> bool:
    try:
        return parse_background(text) is not None
    except RecipeError:
        return False


def _describe_run(record: ArtifactRecord) -> str:
    """Say which model made the result, and where it really ran."""
    seconds = sum(record.timings_s.values())
    took = f" in {seconds:.2g} s" if seconds else ""
    made = f"Made by {record.model['name']} on {record.provider.removesuffix('ExecutionProvider')}{took}."
    if record.fringe is not None:
        explained = _explain_fringe(record.fringe, record.recipe)
        made += f" Old background left in soft edges: {record.fringe:.0%} ({explained})."
    return escape(made)


def _explain_fringe(fringe: float, recipe: Mapping[str, Any]) -> str:
    """Say what the number means and what helps; see `processing.foreground.fringe` and docs/edges.md."""
    if not recipe.get("clean_colours"):
        return f'0% is best: switch on "{Recipe.param.clean_colours.label}" under "Edges and clean-up"'
    if fringe <= _FRINGE_OF_CLEAN_EDGES:
        return "lower is better; this little may be the subject's own colour"
    return 'lower is better; if you see a halo, shift the edge inwards under "Edges and clean-up"'


def _describe_file(controller: Controller) -> str:
    """Say before the click what it gives: "Download PNG, transparent (4.2 MB)"."""
    encoder, background = ENCODERS[controller.recipe.format], controller.recipe.background
    what = f"Download {encoder.title.partition(' (')[0]}"
    if encoder.content == "cutout":
        what += ", transparent" if background == TRANSPARENT else f", on {background}"
    if controller.record is None:
        return what
    size = controller.offer.size_bytes if controller.offer is not None else None
    if size is None:
        return f"{what} (...)"
    return f"{what} ({size / 1e6:.1f} MB)" if size >= 100_000 else f"{what} ({max(1, round(size / 1e3))} kB)"
