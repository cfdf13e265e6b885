"""Cut the subject out of photos: the part without a user interface.

`remove_background` is the front door; `processing.pipeline.run` is the same flow on one page. Where to add something:

- a model: a table in `models/catalogue.toml`
- a runtime for models: a module in `sessions/` and a line in `sessions.RUNTIMES`
- an input format: an entry in `formats.FORMATS`
- an output format: an entry in `encoders.ENCODERS`
- a named background: an entry in `composite.BACKGROUNDS`
- an option of a run: a parameter in `recipe.Recipe`
"""

from processing.cancellation import CancelToken
from processing.errors import (
    Cancelled,
    DatasetError,
    EncodingError,
    ImageError,
    ModelError,
    ProcessingError,
    QueueError,
    RecipeError,
    RefinementError,
    StoreError,
)
from processing.pipeline import remove_background, run, run_async
from processing.recipe import Recipe
from processing.result import Result
from processing.store import ArtifactRecord, ArtifactStore

__all__ = [
    "ArtifactRecord",
    "ArtifactStore",
    "CancelToken",
    "Cancelled",
    "DatasetError",
    "EncodingError",
    "ImageError",
    "ModelError",
    "ProcessingError",
    "QueueError",
    "Recipe",
    "RecipeError",
    "RefinementError",
    "Result",
    "StoreError",
    "remove_background",
    "run",
    "run_async",
]
