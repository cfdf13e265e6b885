"""The options that not everybody needs, each a widget made from its declaration in `processing.recipe.Recipe`."""

from __future__ import annotations

from collections.abc import Iterable

import panel as pn
import panel_material_ui as pmui
import param

from dashboard.controller import Controller
from processing import Recipe, finish
from processing.encoders import ENCODERS

#: Options that have a place of their own on the page.
_ELSEWHERE = ("model", "non_commercial", "provider", "format", "background")


def make_widget(recipe: Recipe, name: str) -> pn.widgets.Widget:
    """Make the widget of an option: label, bounds, choices and hint come from its declaration; both stay in step."""
    option = recipe.param[name]
    common = {"description": option.doc, "margin": 0}
    if isinstance(option, param.Boolean):
        return pmui.Switch.from_param(option, **common)
    if isinstance(option, param.Selector):
        return pmui.Select.from_param(option, width=220, size="small", **common)
    if not isinstance(option, param.Integer):
        return pmui.FloatSlider.from_param(option, width=250, **common)
    if option.bounds[1] <= 100:
        return pmui.IntSlider.from_param(option, width=250, **common)
    return pmui.IntInput.from_param(option, width=290, size="small", **common)


class OptionsView(pn.viewable.Viewer):
    """Two folds with the remaining options of the recipe: those of the matte, and those of the file."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._recipe = controller.recipe
        names = [name for name in Recipe.option_names() if name not in (*_ELSEWHERE, *controller.runtime.missing)]
        self.widgets = {name: make_widget(self._recipe, name) for name in names}
        self._layout = pmui.Accordion(
            ("Edges and clean-up", self._fold(name for name in names if name in finish.OPTIONS)),
            ("More options", self._fold(name for name in names if name not in finish.OPTIONS)),
            title_variant="subtitle2",
            sizing_mode="stretch_width",
            margin=0,
        )
        self._recipe.param.watch(self._show, ["format", "lossless", "keep_metadata"])
        self._show()

    def _fold(self, names: Iterable[str]) -> pmui.FlexBox:
        widgets = [self.widgets[name] for name in names]
        return pmui.FlexBox(*widgets, gap="16px 28px", align_items="center", margin=(8, 0))

    def _show(self, *_events) -> None:
        """Grey out what would make no difference."""
        recipe, encoder = self._recipe, ENCODERS[self._recipe.format]
        is_lossless = recipe.lossless and encoder.has_lossless
        self.widgets["quality"].disabled = not encoder.has_quality or is_lossless
        self.widgets["lossless"].disabled = not encoder.has_lossless
        self.widgets["keep_metadata"].disabled = encoder.content != "cutout"
        self.widgets["keep_location"].disabled = encoder.content != "cutout" or not recipe.keep_metadata

    def __panel__(self):
        return self._layout
