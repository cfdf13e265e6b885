"""A folder of photos: `make_plan` says which input becomes which output, `run_batch` makes what is not there yet.

To add a backend, such as a cluster's: a context manager that opens a `concurrent.futures.Executor`, and one entry in
`executors.BACKENDS`.
"""

from processing.batch.plan import BatchPlan, PlannedFile, make_plan
from processing.batch.report import BatchProgress, BatchReport, Failure
from processing.batch.run import run_batch

__all__ = ["BatchPlan", "BatchProgress", "BatchReport", "Failure", "PlannedFile", "make_plan", "run_batch"]
