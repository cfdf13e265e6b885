"""Flags that several verbs share: the options of `Recipe` and the limits of what is read."""

from __future__ import annotations

import argparse
import math
from typing import Any

import param

from processing.images import DecodeLimits
from processing.recipe import Model, Recipe


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Derive a flag from each option of `Recipe`."""
    for name in Recipe.option_names():
        option, flag = Recipe.param[name], "--" + name.replace("_", "-")
        if isinstance(option, param.Boolean):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=option.doc)
        elif isinstance(option, param.Number):
            kind = int if isinstance(option, param.Integer) else float
            parser.add_argument(flag, type=kind, metavar="N", help=f"{option.doc} Default: {option.default}.")
        elif isinstance(option, Model):
            parser.add_argument(flag, type=_model, metavar="NAME", help=f"{option.doc} Default: {option.default}.")
        else:
            choices = list(option.objects) if isinstance(option, param.Selector) else None
            parser.add_argument(flag, choices=choices, help=f"{option.doc} Default: {option.default}.")


def chosen_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a recipe that were given."""
    return {name: value for name in Recipe.option_names() if (value := getattr(options, name)) is not None}


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the flags for what is refused as too large."""
    limits = DecodeLimits.from_environment()
    parser.add_argument(
        "--max-megabytes", type=_positive, default=limits.max_bytes / 1e6, metavar="N", help="refuse larger files"
    )
    parser.add_argument(
        "--max-megapixels", type=_positive, default=limits.max_megapixels, metavar="N", help="refuse larger pictures"
    )


def chosen_limits(options: argparse.Namespace) -> DecodeLimits:
    """Return the limits that were given, or those of the environment."""
    return DecodeLimits(round(options.max_megabytes * 1e6), options.max_megapixels)


def _model(text: str) -> str:
    try:
        return Recipe(model=text).model
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError
    return number
