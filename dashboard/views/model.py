"""The model: what the picture shows, how long it may take, whose weights they are, and fetching them."""

from __future__ import annotations

from html import escape

import panel as pn
import panel_material_ui as pmui

from dashboard.controller import Controller
from dashboard.models import FETCHING, MISSING, WAITS
from dashboard.views.options import make_grid, make_widget
from processing.models.integrity import readable_size
from processing.models.spec import COMMERCIAL_USE, SUBJECTS, ModelSpec
from processing.sessions.providers import PROVIDERS


class ModelView(pn.viewable.Viewer):
    """A fold with the choice of the model, its licence card, and its download."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._chooser = chooser = controller.models
        common = {"size": "small", "margin": 0, "sizing_mode": "stretch_width"}
        self.subject = pmui.Select.from_param(
            chooser.param.subject,
            label="The picture shows",
            options={words: key for key, words in SUBJECTS.items()},
            **common,
        )
        self.wait = pmui.Select.from_param(
            chooser.param.wait_s, label="One photo may take", options=WAITS, description=None, **common
        )
        self.commercial_only = pmui.Switch.from_param(chooser.param.commercial_only, margin=0)
        self.model = pmui.Select(label="Model", **common)
        self.promise = make_widget(controller.recipe, "non_commercial")
        titles = {"best": "The best that works here", "gpu": "A GPU, or not at all"}
        names = controller.recipe.param.provider.objects
        self.provider = pmui.Select.from_param(
            controller.recipe.param.provider,
            options={
                titles.get(name) or f"{PROVIDERS[name].title[0].upper()}{PROVIDERS[name].title[1:]}": name
                for name in names
            },
            **common,
        )
        self.provider.visible = controller.runtime.has_providers
        self.fetch_button = pmui.Button(label="Fetch the model", color="primary", variant="outlined", margin=0)
        self.cancel_button = pmui.Button(label="Stop fetching", color="default", variant="outlined", margin=0)
        self.fetch_button.on_click(lambda event: chooser.fetch())
        self.cancel_button.on_click(lambda event: chooser.cancel())
        self._card = pn.pane.HTML("", sizing_mode="stretch_width", margin=0)
        self._hint = pmui.Typography("", variant="body2", margin=0)
        self._step = pmui.Typography("", variant="body2", margin=(0, 0, 6, 0))
        self._bar = pmui.LinearProgress(value=0, variant="determinate", sizing_mode="stretch_width", margin=0)
        self._progress = pn.Column(self._step, self._bar, margin=0, styles={"flex": "1 1 220px"})
        row = {"gap": "12px 20px", "align_items": "center", "margin": 0, "sizing_mode": "stretch_width"}
        self._body = pn.Column(
            make_grid([self.subject, self.wait, self.commercial_only, self.model, self.provider, self.promise]),
            self._hint,
            pmui.FlexBox(self.fetch_button, self.cancel_button, self._progress, **row),
            self._card,
            sizing_mode="stretch_width",
            margin=8,
            styles={"gap": "14px"},
        )
        self._layout = pmui.Accordion(
            ("Model", self._body),
            title_variant="subtitle2",
            sizing_mode="stretch_width",
            margin=0,
            visible=chooser.is_choice,
        )
        self.model.param.watch(self._choose, "value")
        chooser.param.watch(self._show, ["choices", "state", "damaged"])
        chooser.param.watch(self._show_progress, ["step", "fraction", "state"])
        controller.recipe.param.watch(self._show, ["model", "non_commercial"])
        self._show()
        self._show_progress()

    def _choose(self, event) -> None:
        if event.new:
            self._controller.recipe.model = event.new

    def _show(self, *_events) -> None:
        chooser, spec = self._chooser, self._chooser.spec
        if spec.name not in chooser.choices.values():
            return  # the list that has it comes next
        self.model.param.update(options=chooser.choices, value=spec.name)
        self._card.object = licence_card(spec)
        self.promise.visible = spec.commercial_use == "no"
        self._hint.object = self._say(spec)
        self._hint.visible = bool(self._hint.object)
        size = f" ({readable_size(spec.total_bytes)})" if spec.total_bytes else ""
        self.fetch_button.label = f"Fetch the model{size}"
        self.fetch_button.visible = chooser.state == MISSING and chooser.may_fetch
        self._layout[0] = (f"Model: {spec.title}", self._body)

    def _say(self, spec: ModelSpec) -> str:
        chooser = self._chooser
        if chooser.state != MISSING:
            return ""
        what = "Its files are damaged." if chooser.damaged else "Its files are not on this machine yet."
        if chooser.may_fetch:
            return f"{what} They are fetched only when you press the button; photos stay here."
        return f"{what} Whoever runs this page gets them with: python -m processing models fetch {spec.name}"

    def _show_progress(self, *_events) -> None:
        fetching = self._chooser.state == FETCHING
        self.cancel_button.visible = self._progress.visible = fetching
        self._step.object = self._chooser.step or "Waiting"  # our own words only
        self._bar.value = round(100 * self._chooser.fraction)

    def __panel__(self):
        return self._layout


def licence_card(spec: ModelSpec) -> str:
    """Return what one must know before one uses a model, as HTML."""
    rows = {
        "Good at": escape(spec.about),
        "Commercial use": escape(COMMERCIAL_USE[spec.commercial_use]),
        "Licence": escape(f"{spec.licence} (weights), {spec.code_licence} (code)"),
        "Training data": escape(spec.caveat),
        "By": escape(spec.attribution),
    }
    if spec.source.startswith("https://"):
        address = escape(spec.source)
        rows["More"] = (
            f'<a href="{address}" target="_blank" rel="noopener noreferrer" style="color:inherit">{address}</a>'
        )
    cells = "".join(
        f'<dt style="font-weight:600">{title}</dt><dd style="margin:0">{text}</dd>'
        for title, text in rows.items()
        if text
    )
    style = "display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:0;overflow-wrap:anywhere"
    return f'<dl style="{style}">{cells}</dl>'
