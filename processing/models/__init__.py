"""What a model is: the catalogue, its rows, its files, and the arithmetic before and after the network.

    spec            a row of `catalogue.toml`
    own             a model of the user's own
    transforms      photo to model input, model output to matte
    folder          where files lie
    integrity       whether they are whole
    inventory       which are here; removing them
    download        bringing them here; its parts are in `fetching`
    archive         carrying them to a machine without a network

To add a model of a known family, add a table to `catalogue.toml`; the contract test in `tests/contracts.py` runs on it.
"""

from processing.models.spec import (
    DEFAULT_MODEL,
    ModelSpec,
    WeightsFile,
    check_terms,
    find_model,
    is_own,
    load_catalogue,
)
from processing.models.transforms import has_subject, prepare, to_alpha

__all__ = [
    "DEFAULT_MODEL",
    "ModelSpec",
    "WeightsFile",
    "check_terms",
    "find_model",
    "has_subject",
    "is_own",
    "load_catalogue",
    "prepare",
    "to_alpha",
]
