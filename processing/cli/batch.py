"""`batch`: a folder of photos."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from processing.batch import BatchReport, make_plan, run_batch
from processing.cancellation import CancelToken
from processing.cli.options import add_limits, add_recipe_options, chosen_limits, chosen_options
from processing.cli.progress import ProgressBar
from processing.recipe import Recipe

DONE, FAILED, INTERRUPTED = 0, 1, 130
_MOST_LINES = 50  # of one kind; --json has them all


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("batch", help="cut out a folder of photos", description=_batch.__doc__)
    parser.add_argument("input", type=Path, metavar="INPUT_DIR", help="the photos, in sub-folders too; never changed")
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR", help="where the cutouts go; made if it is not there")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="photos to work on at the same time; default: one for each core. Each takes the memory of a model",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="also replace files in OUTPUT_DIR that this command has not made"
    )
    add_recipe_options(parser)
    add_limits(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end instead of text")
    parser.set_defaults(run=_batch)


def _batch(options: argparse.Namespace) -> int:
    """Cut out all photos of a folder; what an earlier run has made is skipped."""
    recipe = Recipe.from_options(chosen_options(options))
    plan = make_plan(options.input, options.output, recipe)
    bar, cancel = ProgressBar(sys.stderr), CancelToken()
    with _stopped_by_signals(cancel):
        try:
            report = run_batch(
                plan,
                recipe,
                workers=options.workers,
                overwrite=options.overwrite,
                limits=chosen_limits(options),
                progress=bar,
                cancel=cancel,
            )
        finally:
            bar.close()
    _print(report, options.json)
    if report.interrupted:
        return INTERRUPTED
    return FAILED if report.failures else DONE


@contextmanager
def _stopped_by_signals(cancel: CancelToken) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set the token; a second one has its usual effect, should the stop take too long."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        cancel.cancel()

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _print(report: BatchReport, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        print(_summary(report))
        _print_list("no clear subject", report.without_subject)
        _print_list("failed", (f"{failure.input}: {failure.reason}" for failure in report.failures))
        _print_list("link to a folder, not entered", report.linked_folders)
    if report.interrupted:
        done = report.total - report.left
        print(f"Stopped. To go on, run the same command again: {done} done, {report.left} left.", file=sys.stderr)


def _summary(report: BatchReport) -> str:
    parts = [f"{report.made} made"]
    parts += [f"{report.skipped} there already"] * bool(report.skipped)
    parts += [f"{len(report.without_subject)} without a clear subject"] * bool(report.without_subject)
    parts += [f"{len(report.failures)} failed"] * bool(report.failures)
    parts += [f"{report.left} left"] * bool(report.left)
    others = f"{report.other_files} other file{'s' * (report.other_files != 1)} left alone"
    parts += [others] * bool(report.other_files)
    speed = f", {report.images_per_s:.1f} images per second" if report.made else ""
    return f"{report.output}: {', '.join(parts)}; {report.seconds:.1f} s{speed}"


def _print_list(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    for line in lines[:_MOST_LINES]:
        print(f"{title}: {line}", file=sys.stderr)
    if len(lines) > _MOST_LINES:
        print(f"{title}: and {len(lines) - _MOST_LINES} more; --json lists them all", file=sys.stderr)
