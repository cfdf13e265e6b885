"""The options of one run, each declared once, for the dashboard's widgets, the command line's flags and the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import param

from processing.composite import TRANSPARENT, parse_background
from processing.encoders import ENCODERS
from processing.errors import ModelError, RecipeError
from processing.models import DEFAULT_MODEL, find_model, is_own, load_catalogue
from processing.refinement import METHODS
from processing.sessions.providers import CHOICES


class Background(param.String):
    """A parameter that holds the name or colour of a background; see `processing.composite.parse_background`."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if val is not None:
            try:
                parse_background(val)
            except RecipeError as error:
                raise ValueError(str(error)) from error


def _model_names() -> list[str]:
    """Return the names in the catalogue; none if it cannot be read, as importing this module must not fail for that.

    Nothing is hidden: whoever then looks for a model reads the catalogue again, and gets the error.
    """
    try:
        return list(load_catalogue())
    except ModelError:
        return []


class Model(param.Selector):
    """A parameter that holds a name of the catalogue or the path of a model of the user's own."""

    def __init__(self, default: str = DEFAULT_MODEL, **params: Any) -> None:
        super().__init__(default=default, objects=_model_names(), check_on_set=False, **params)

    def _validate(self, val: Any) -> None:
        if not isinstance(val, str):
            raise ValueError(
                f"The model is {val!r}. It takes a name, {', '.join(load_catalogue())}, or a path, as text."
            )
        if is_own(val):
            return  # whether the file is there and fits shows when it runs; a record outlives the file
        load_catalogue()  # outside of the try: a broken file of CUTOUT_MODELS is no fault of the value
        try:
            find_model(val)
        except ModelError as error:
            raise ValueError(str(error)) from error

    def _ensure_value_is_in_objects(self, val: Any) -> None:
        """Leave the list alone: a path is no further choice of everybody's."""


class Recipe(param.Parameterized):
    """What to do with a photo.

    Flat, so that it serialises and compares by value: use `as_dict` for both.
    """

    model = Model(doc="Model that finds the subject of the photo: a name, or the path of your own .onnx or .toml file.")
    non_commercial = param.Boolean(
        default=False,
        label="I use the result non-commercially",
        doc="Allow models whose weights may not be used to make money. The record of the result says so.",
    )
    provider: param.Selector[str] = param.Selector(
        default="best",
        objects=list(CHOICES),
        label="Processor",
        doc="What runs the model: the best processor that works here, or one that must; if it cannot, the run fails.",
    )
    refine: param.Selector[str] = param.Selector(
        default="auto",
        objects=["auto", *METHODS],
        label="Edges",
        doc="How the edges of the model's matte are refined with what the photo shows: auto takes what is best here.",
    )
    clean_colours = param.Boolean(
        default=True,
        label="Remove the old background's colour from soft edges",
        doc="Replace the colours of hair and other soft edges by those of the subject alone: no halo.",
    )
    drop_specks = param.Integer(
        default=0,
        bounds=(0, 1_000_000),
        label="Drop specks, in pixels",
        doc="Drop separate parts of the cutout smaller than so many pixels; 0 keeps all.",
    )
    largest_only = param.Boolean(
        default=False, label="Keep the largest part only", doc="Keep only the largest connected part of the cutout."
    )
    fill_holes = param.Integer(
        default=0,
        bounds=(0, 1_000_000),
        label="Fill holes, in pixels",
        doc="Fill holes in the cutout of up to so many pixels; 0 leaves all open.",
    )
    punch_holes = param.Integer(
        default=0,
        bounds=(0, 1_000_000),
        label="Open holes, from pixels",
        doc="Open gaps in the cutout of at least so many pixels that have the background's colour; 0 opens none.",
    )
    shift_edge = param.Number(
        default=0.0,
        bounds=(-50, 50),
        step=0.5,
        label="Shift the edge, in pixels",
        doc="Move the edge of the cutout outwards by so many pixels, inwards if negative.",
    )
    feather = param.Number(
        default=0.0,
        bounds=(0, 50),
        step=0.5,
        label="Feather the edge, in pixels",
        doc="Make the edge of the cutout softer, over so many pixels.",
    )
    threshold = param.Number(
        default=0.0,
        bounds=(0, 1),
        step=0.05,
        label="Hard edge from alpha",
        doc="Make the edge hard: alpha from here on becomes 1, the rest 0; 0 keeps soft edges soft.",
    )
    format: param.Selector[str] = param.Selector(
        default="png", objects=list(ENCODERS), doc="File format of the cutout."
    )
    background = Background(
        default=TRANSPARENT, doc="What lies behind the cutout: transparent, white, black, a CSS colour name or #rrggbb."
    )
    quality = param.Integer(default=90, bounds=(1, 100), doc="Quality of WebP, AVIF and JPEG files, 1 to 100.")
    lossless = param.Boolean(
        default=False,
        label="Lossless",
        doc="Write WebP files without loss, AVIF files with as little as possible; they are larger.",
    )
    long_side = param.Integer(
        default=0,
        bounds=(0, 65500),
        label="Longest side in pixels",
        doc="Reduce the cutout to this height or width, whichever is larger, in pixels; 0 keeps the photo's size.",
    )
    keep_metadata = param.Boolean(
        default=False,
        label="Keep the camera's data",
        doc="Keep what the camera wrote into the photo: date, camera, exposure, author; not the place.",
    )
    keep_location = param.Boolean(
        default=False,
        label="Keep the place (GPS) too",
        doc="Keep the place (GPS) too, where the camera's data are kept. Think before you share such a file.",
    )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Recipe:
        """Make a recipe of options by name.

        Raises
        ------
        RecipeError
            If an option is unknown or has a value that is not allowed.
        """
        known = cls.option_names()
        for name in options:
            if name not in known:
                raise RecipeError(f"Unknown option {name!r}. Known: {', '.join(known)}.")
        try:
            return cls(**options)
        except ValueError as error:
            raise RecipeError(str(error)) from error

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names of the options, in the order of their declaration."""
        return tuple(name for name in cls.param if name != "name")

    def as_dict(self) -> dict[str, Any]:
        """Return the options as plain values: compare, store and restore recipes through this."""
        return {name: getattr(self, name) for name in self.option_names()}

    def snapshot(self) -> Recipe:
        """Return a detached copy, which a later change in the dashboard does not reach."""
        return type(self)(**self.as_dict())
