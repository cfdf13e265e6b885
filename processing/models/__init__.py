"""What a model is: the catalogue, its rows, and the arithmetic before and after the network.

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
