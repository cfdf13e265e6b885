"""The command line: `python -m processing VERB`.

Exit codes: 0 done, 1 failed with a sentence on standard error, 2 wrong usage, 3 done but no subject was found.
To add a verb: one module with `add_parser`, and one entry in `VERBS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from processing.cli import batch, doctor, history, models, remove
from processing.errors import ProcessingError

VERBS = (remove, batch, history, models, doctor)

FAILED, INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)  # in case reading the flags fails
    try:
        options = _parser().parse_args(arguments)
        as_json = options.json
        code: int = options.run(options)
    except ProcessingError as error:
        if as_json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        else:
            print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m processing", description="Remove the background of photos.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser
