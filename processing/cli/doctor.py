"""`doctor`: a look at the installation."""

from __future__ import annotations

import argparse
import json
from typing import Any

from processing.doctor import examine

WELL, ILL = 0, 1


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("doctor", help="check that everything needed is here and works")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    """Check versions, providers, weights, folders and the browser of the tests."""
    checks = examine()
    well = all(check.ok for check in checks)
    if options.json:
        print(json.dumps({"ok": well, "checks": [vars(check) for check in checks]}))
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.subject}: {check.finding}")
            if check.advice:
                print(f"      {check.advice}")
    return WELL if well else ILL
