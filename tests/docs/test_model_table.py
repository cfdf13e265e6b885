"""The README's table of models is the catalogue's."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_table_was_made_from_the_catalogue_as_it_is(document):
    location = importlib.util.spec_from_file_location("make_model_table", ROOT / "docs" / "make_model_table.py")
    maker = importlib.util.module_from_spec(location)
    location.loader.exec_module(maker)
    assert f"{maker.BEGIN}\n{maker.make_table()}{maker.END}" in document("README.md").text
