"""`history list|show|verify|delete|prune`: the results in the artifacts folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from processing.errors import StoreError
from processing.store import ArtifactRecord, default_store

DONE, DAMAGED = 0, 1
_DAY_S = 86400


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line. It sees everybody's results: who may read the folder may read them anyway."""
    history = verbs.add_parser("history", help="list, check and delete stored results")
    actions = history.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="list stored results, newest first")
    listing.add_argument("--limit", type=int, metavar="N", help="at most so many")
    show = actions.add_parser("show", help="print the record of one result")
    verify = actions.add_parser("verify", help="compare the files of results with their checksums")
    delete = actions.add_parser("delete", help="move results to the trash; `prune` empties it")
    prune = actions.add_parser(
        "prune", help="delete for good: the trash, unfinished writes, and old results if asked to"
    )
    prune.add_argument("--keep", type=int, metavar="N", help="also delete all results but the newest N")
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="also delete results older than so many days")
    for parser, action in ((listing, _list), (show, _show), (verify, _verify), (delete, _delete), (prune, _prune)):
        if parser in (listing, verify):
            parser.add_argument(
                "--owner", help="only the results of this owner; `local` for command line and notebooks"
            )
        if parser is show:
            parser.add_argument("id", metavar="ID", help="as `list` shows it")
        if parser in (verify, delete):
            parser.add_argument(
                "ids",
                nargs="+" if parser is delete else "*",
                metavar="ID",
                help="as `list` shows them; `verify` takes none for all",
            )
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        parser.set_defaults(run=action)


def _list(options: argparse.Namespace) -> int:
    if (options.limit or 0) < 0:
        raise StoreError(f"--limit is {options.limit}. It takes numbers from 0 on.")
    records = default_store().list(options.owner, options.limit)
    if options.json:
        print(json.dumps({"results": [asdict(record) for record in records]}))
    else:
        for record in records:
            source = record.source
            print(
                f"{record.id}  {source['width']:>5} x {source['height']:<5}  {record.owner[:16]:<16}  {source['name']}"
            )
    return DONE


def _show(options: argparse.Namespace) -> int:
    record = default_store().get(options.id, None)
    print(json.dumps(asdict(record), indent=None if options.json else 2, ensure_ascii=False))
    return DONE


def _verify(options: argparse.Namespace) -> int:
    store = default_store()
    records = [store.get(each, None) for each in options.ids] if options.ids else store.list(options.owner)
    problems = [problem for record in records for problem in store.verify(record)]
    if not options.ids and options.owner is None:
        problems += store.damaged_records()  # whose they are is not known
    if options.json:
        print(json.dumps({"checked": len(records), "problems": problems}))
    else:
        print(*problems, f"{len(records)} checked, {len(problems)} damaged files", sep="\n")
    return DAMAGED if problems else DONE


def _delete(options: argparse.Namespace) -> int:
    store = default_store()
    # All or none: an unknown one stops it here. One given twice is deleted once.
    records = [store.get(each, None) for each in dict.fromkeys(options.ids)]
    _delete_all(records)
    _print_count(options, "deleted", len(records))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    if (options.keep or 0) < 0 or not (options.older_than or 0) >= 0:  # "not": nan compares with nothing
        raise StoreError("--keep and --older-than take numbers from 0 on.")
    store = default_store()
    records = store.list(None)
    old = set() if options.keep is None else {record.id for record in records[options.keep :]}
    if options.older_than is not None:
        now, oldest_s = datetime.now(UTC), options.older_than * _DAY_S  # in seconds: a date has no year 0
        ages_s = {record.id: (now - datetime.fromisoformat(record.created)).total_seconds() for record in records}
        old |= {record_id for record_id, age_s in ages_s.items() if age_s > oldest_s}
    _delete_all([record for record in records if record.id in old])
    _print_count(options, "deleted for good", store.empty_trash() + store.remove_leftovers())
    return DONE


def _delete_all(records: Sequence[ArtifactRecord]) -> None:
    for record in records:
        default_store().delete(record)


def _print_count(options: argparse.Namespace, what: str, count: int) -> None:
    print(json.dumps({what.replace(" ", "_"): count}) if options.json else f"{count} {what}")
