"""The options of one run."""

import json

import pytest

from processing.encoders import ENCODERS
from processing.errors import RecipeError
from processing.models import load_catalogue
from processing.recipe import Recipe

OPTIONS = Recipe.option_names()


def test_default_is_the_built_in_model_and_a_transparent_png():
    recipe = Recipe()
    assert (recipe.model, recipe.format, recipe.background) == ("compact", "png", "transparent")


def test_options_are_all_parameters_but_the_name():
    assert {*OPTIONS, "name"} == set(Recipe.param)
    assert tuple(Recipe().as_dict()) == OPTIONS


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_explained(name):
    assert Recipe.param[name].doc.endswith(".")


def test_choices_are_the_tables():
    assert Recipe.param.model.objects == list(load_catalogue())
    assert Recipe.param.format.objects == list(ENCODERS)


def test_as_dict_survives_json():
    recipe = Recipe(format="webp", background="#00ff00")
    restored = Recipe.from_options(json.loads(json.dumps(recipe.as_dict())))
    assert restored.as_dict() == recipe.as_dict()
    assert restored.background == "#00ff00"


def test_snapshot_is_not_reached_by_later_changes():
    live = Recipe(format="webp")
    before, snapshot = live.as_dict(), live.snapshot()
    live.format, live.background = "jpeg", "white"
    assert snapshot.as_dict() == before


def test_changing_a_snapshot_leaves_the_original_alone():
    live = Recipe()
    live.snapshot().format = "webp"
    assert live.as_dict() == Recipe().as_dict()


def test_from_options_fills_in_the_defaults():
    assert Recipe.from_options({"background": "white"}).as_dict() == {**Recipe().as_dict(), "background": "white"}


@pytest.mark.parametrize("name", ["formt", "name", ""])
def test_unknown_option_is_refused_with_those_that_are_known(name):
    with pytest.raises(RecipeError, match=f"Unknown option '{name}'. Known: {', '.join(OPTIONS)}"):
        Recipe.from_options({name: "png"})


@pytest.mark.parametrize(
    ("name", "value", "telling"),
    [
        ("model", "u2nte", "u2nte.*compact"),
        ("model", None, "None.*compact"),
        ("model", "withoutbg", "uploads your photo to a paid service"),
        ("format", "gif", "gif.*png.*webp.*jpeg"),
        ("format", ["png"], r"\['png'\].*png.*webp.*jpeg"),
        ("background", "nice", "'nice'.*a CSS colour name"),
        ("background", None, "string value.*NoneType"),
        ("background", 7, "string value.*int"),
        ("quality", 0, "quality.*at least 1"),
        ("quality", 101, "quality.*at most 100"),
        ("quality", 7.5, "quality.*integer"),
        ("lossless", "yes", "lossless.*True or False"),
        ("long_side", -1, "long_side.*0"),
    ],
)
def test_bad_value_is_refused_with_what_is_allowed(name, value, telling):
    with pytest.raises(RecipeError, match=telling):
        Recipe.from_options({name: value})


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_value_does_not_get_into_a_live_recipe(name):
    live = Recipe()
    with pytest.raises(ValueError, match=name):
        setattr(live, name, object())
    assert live.as_dict() == Recipe().as_dict()
