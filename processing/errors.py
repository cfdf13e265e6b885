"""Everything that goes wrong on purpose.

    ProcessingError          the base: catch this one to catch them all
    ├── ImageError           the photo cannot be used: wrong type, too large, broken
    ├── ModelError           the model is unknown, its weights are missing or broken
    ├── RecipeError          an option has a value that is not allowed
    ├── RefinementError      the edges of a matte cannot be refined: unknown method, sizes that differ
    ├── EncodingError        the cutout cannot be written in the format asked for
    ├── StoreError           a result cannot be written to, or read from, the artifacts folder
    ├── DatasetError         a data set to learn from or to measure on cannot be used
    ├── QueueError           one visitor has too many jobs in the queue
    └── Cancelled            somebody pressed Cancel; not a failure

Each message says what was wrong, what is allowed and what to do next. The dashboard turns an error into a notice in one
place (`dashboard.notices`), the command line turns it into an exit code in one place (`processing.cli.main`).
"""


class ProcessingError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(ProcessingError):
    """The photo cannot be used: unknown type, over a limit, empty or broken."""


class ModelError(ProcessingError):
    """The model is unknown, or its weights are missing or broken."""


class RecipeError(ProcessingError):
    """An option of a run has a value that is not allowed."""


class RefinementError(ProcessingError):
    """The edges of an alpha matte cannot be refined: the method is unknown or cannot run, or the sizes differ."""


class EncodingError(ProcessingError):
    """The cutout cannot be written in the format that was asked for."""


class StoreError(ProcessingError):
    """A result cannot be written to, or read from, the artifacts folder."""


class DatasetError(ProcessingError):
    """A data set to learn from or to measure on is incomplete, or its manifest cannot be read."""


class QueueError(ProcessingError):
    """One visitor has too many jobs in the queue."""


class Cancelled(ProcessingError):
    """The run was cancelled before it was finished."""
