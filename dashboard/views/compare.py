"""Before and after, side by side; one above the other on a phone."""

from __future__ import annotations

import panel as pn
import panel_material_ui as pmui

from dashboard.components.image_view import ImageView
from dashboard.controller import Controller

_RUNNING = "Cutting out ..."
_READY = "Press Run to cut out the subject."
_EMPTY = "The cutout appears here."


class CompareView(pn.viewable.Viewer):
    """The before and after panes."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        cell = {"flex": "1 1 340px", "min-width": "0"}
        self.before = ImageView(title="Before", hint="Drop a photo above, or try a sample.", margin=0, styles=cell)
        self.after = ImageView(title="After", hint=_EMPTY, margin=0, styles=cell)
        self._layout = pmui.FlexBox(self.before, self.after, gap="24px", margin=0)
        controller.param.watch(self._show, ["before", "after", "photo_name", "activity"])
        controller.drafts.param.watch(self._show, "picture")
        controller.recipe.param.watch(self._show, "background")
        self._show()

    def _show(self, *_events) -> None:
        controller, draft = self._controller, self._controller.drafts.picture
        self.before.param.update(
            picture=controller.before, title=f"Before: {controller.photo_name}" if controller.before else "Before"
        )
        self.after.param.update(
            picture=draft or controller.after,
            title="After: preview of your changes" if draft else "After",
            backdrop=controller.recipe.background,
            hint=_RUNNING if controller.activity == "run" else _READY if controller.before else _EMPTY,
        )

    def __panel__(self):
        return self._layout
