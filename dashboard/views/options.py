"""The options that not everybody needs, each a widget made from its declaration in `processing.recipe.Recipe`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param

from dashboard.controller import Controller
from processing import Recipe, finish
from processing.encoders import ENCODERS

#: Options that have a place of their own on the page.
_ELSEWHERE = ("model", "non_commercial", "provider", "format", "background")

_GRID = {
    "display": "grid",
    "grid-template-columns": "repeat(auto-fill, minmax(min(270px, 100%), 1fr))",
    "gap": "20px 28px",
    "align-items": "center",
}


def make_widget(recipe: Recipe, name: str) -> pn.widgets.Widget:
    """Make the widget of an option: label, bounds, choices and hint come from its declaration; both stay in step."""
    option = recipe.param[name]
    common = {"description": option.doc, "margin": 0, "sizing_mode": "stretch_width"}
    if isinstance(option, param.Boolean):
        return pmui.Switch.from_param(option, **common)
    if isinstance(option, param.Selector):
        return pmui.Select.from_param(option, size="small", **common)
    if not isinstance(option, param.Integer):
        return _make_slider(recipe, option, **common)
    if option.bounds[1] <= 100:
        return pmui.IntSlider.from_param(option, tooltips=False, **common)
    return _make_number_field(recipe, option, **common)


def _make_slider(recipe: Recipe, option: param.Number, **common: Any) -> pmui.FloatSlider:
    """Make a slider whose steps add up: three steps of .05 up and down again give 0, not 3e-17."""
    slider = pmui.FloatSlider(
        label=option.label,
        start=option.bounds[0],
        end=option.bounds[1],
        step=option.step,
        value=getattr(recipe, option.name),
        format="0.[00]",
        tooltips=False,
        **common,
    )
    slider.param.watch(lambda event: setattr(recipe, option.name, round(event.new, 6)), "value")
    recipe.param.watch(lambda event: setattr(slider, "value", event.new), option.name)
    return slider


class NumberField(pmui.TextInput):
    """A text field whose number is taken before the click that ends the typing.

    The browser tells of both at once. With a thread pool Panel handles each in a thread of its own, and Run would take
    the old number whenever its thread came first; here the number is taken on the event loop, where it is first.
    """

    # Panel looks for the JavaScript beside the module of the class; this class adds none of its own.
    _esm_base = "TextField.jsx"

    async def _change_coroutine(self, doc, event_id=None):
        pending = pn.state._change_callbacks.get(doc, {})
        if event_id is None or pending.pop(event_id, None):  # else an event has asked for it already
            self._change_event(doc)


def _make_number_field(recipe: Recipe, option: param.Integer, **common: Any) -> pmui.TextInput:
    """Make a text field for a whole number that says what is allowed where something else is typed.

    Panel Material UI's own IntInput takes no second number after Enter, and hands on numbers beyond its bounds.
    """
    low, high = option.bounds
    field = NumberField(label=option.label, value=str(getattr(recipe, option.name)), size="small", **common)

    def take(event: param.parameterized.Event) -> None:
        digits = event.new.replace(",", "").replace(" ", "")
        allowed = digits.isdecimal() and low <= int(digits) <= high
        field.param.update(
            error_state=not allowed, helper_text="" if allowed else f"A whole number, {low:,} to {high:,}."
        )
        if allowed:
            setattr(recipe, option.name, int(digits))

    def show(event: param.parameterized.Event) -> None:
        field.param.update(value=str(event.new), error_state=False, helper_text="")

    field.param.watch(take, "value")
    recipe.param.watch(show, option.name)
    return field


def make_grid(widgets: Iterable[pn.viewable.Viewable], margin: int = 0) -> pn.Column:
    """Lay out widgets in columns of one width, as many as fit: three on a screen, one on a phone."""
    return pn.Column(*widgets, styles=_GRID, sizing_mode="stretch_width", margin=margin)


class OptionsView(pn.viewable.Viewer):
    """Two folds with the remaining options of the recipe: those of the matte, and those of the file."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._recipe = controller.recipe
        names = [name for name in Recipe.option_names() if name not in (*_ELSEWHERE, *controller.runtime.missing)]
        self.widgets = {name: make_widget(self._recipe, name) for name in names}
        of_matte, of_file = [], []
        for name, widget in self.widgets.items():
            (of_matte if name in finish.OPTIONS else of_file).append(widget)
        self._layout = pmui.Accordion(
            ("Edges and clean-up", make_grid(of_matte, margin=8)),
            ("More options", make_grid(of_file, margin=8)),
            title_variant="subtitle2",
            sizing_mode="stretch_width",
            margin=0,
        )
        self._recipe.param.watch(self._show, ["format", "lossless", "keep_metadata"])
        self._show()

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
