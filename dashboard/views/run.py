"""Run, how far it is, and Cancel."""

from __future__ import annotations

import panel as pn
import panel_material_ui as pmui

from dashboard.controller import Controller
from processing import Recipe

# Drawings, not names: the icon font that names need is not there in a notebook without the internet.
_PLAY = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="M7 4v16l13-8z"/></svg>'
_CROSS = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    '<path d="M6 6l12 12M18 6L6 18" stroke="#000" stroke-width="2.5"/></svg>'
)


class RunView(pn.viewable.Viewer):
    """The run button; while something is being done, the step, a bar and a cancel button."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self.run_button = pmui.Button(
            label="Run", icon=_PLAY, color="primary", variant="contained", size="large", width=150, margin=0
        )
        self.cancel_button = pmui.Button(
            label="Cancel", icon=_CROSS, color="default", variant="outlined", size="large", visible=False, margin=0
        )
        self.run_button.on_click(lambda event: controller.run())
        self.cancel_button.on_click(lambda event: controller.cancel())
        self._step = pmui.Typography("", variant="body2", margin=(0, 0, 6, 0))
        self._bar = pmui.LinearProgress(value=0, variant="determinate", sizing_mode="stretch_width", margin=0)
        self._progress = pn.Column(
            self._step,
            self._bar,
            visible=False,
            margin=0,
            styles={"flex": "1 1 220px"},
            css_classes=["cutout-progress"],
        )
        self._hint = pmui.Typography("", variant="body2", margin=0, visible=False)
        self._layout = pmui.FlexBox(
            self.run_button,
            self._hint,
            self.cancel_button,
            self._progress,
            gap="12px 16px",
            align_items="center",
            margin=0,
        )
        controller.param.watch(self._show, ["activity", "step", "fraction", "can_run", "record"])
        controller.models.param.watch(self._show, ["state"])
        controller.drafts.param.watch(self._show, "is_wanted")
        controller.recipe.param.watch(self._show, list(Recipe.option_names()))
        self._show()

    def _show(self, *_events) -> None:
        controller = self._controller
        busy = controller.activity != ""
        obstacle = controller.models.obstacle
        self.run_button.disabled = not controller.can_run or bool(obstacle)
        hint = obstacle
        if not hint and controller.is_outdated and controller.can_run:
            previewed = controller.drafts.is_wanted
            hint = 'Press "Apply changes" to keep what you see.' if previewed else "Press Run to apply your changes."
        self._hint.param.update(object=hint, visible=bool(hint))
        self.cancel_button.visible = busy
        self._progress.visible = busy
        self._step.object = controller.step or "Waiting"  # our own words only, never a file name
        self._bar.value = round(100 * controller.fraction)

    def __panel__(self):
        return self._layout
