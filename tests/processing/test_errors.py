"""The tree of errors."""

import re

import pytest

import processing
from processing import errors


def test_tree_drawn_at_the_top_names_every_error():
    drawn = set(re.findall(r"(?:├──|└──) (\w+)", errors.__doc__)) | {"ProcessingError"}
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert drawn == defined


@pytest.mark.parametrize("name", sorted(name for name, value in vars(errors).items() if isinstance(value, type)))
def test_every_error_is_a_processing_error_and_public(name):
    assert issubclass(getattr(processing, name), processing.ProcessingError)
    assert name in processing.__all__
