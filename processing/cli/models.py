"""`models list|info|fetch|verify|remove|export|import`: the networks that find the subject."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from processing.cli.transfers import open_display
from processing.errors import ModelError
from processing.models.archive import export_models, import_models
from processing.models.download import address_of, ask_size, fetch, is_fetched
from processing.models.fetching.failures import shown
from processing.models.folder import locate
from processing.models.integrity import readable_size
from processing.models.inventory import Status, remove, status, verify
from processing.models.spec import COMMERCIAL_USE, SUBJECTS, ModelSpec, WeightsFile, find_model, load_catalogue

DONE, FAILED = 0, 1

#: What `--commercial-only` lets through.
_ALLOWED = ("yes", "declared")


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    models = verbs.add_parser("models", help="list, fetch, check and carry over the models")
    actions = models.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="list the models, and which are here")
    listing.add_argument("--subject", choices=tuple(SUBJECTS), help="only those meant for such pictures")
    listing.add_argument(
        "--commercial-only", action="store_true", help="only those whose authors allow that money is made with them"
    )
    info = actions.add_parser("info", help="tell all about one model: licence, size, origin, where it lies")
    info.add_argument("name", metavar="NAME", help="as `list` shows it")
    fetching = actions.add_parser("fetch", help="bring models to this machine; a broken download goes on where it was")
    _add_names(fetching, "*")
    fetching.add_argument("--all", action="store_true", help="all of them; that is many gigabytes")
    fetching.add_argument(
        "--mirror", metavar="ADDRESS", help="folder to take the files from; else the variable CUTOUT_MODEL_MIRROR"
    )
    verifying = actions.add_parser("verify", help="compare the files of models with their checksums")
    _add_names(verifying, "*", "; none for all that are here")
    removing = actions.add_parser("remove", help="delete fetched models")
    _add_names(removing, "+")
    exporting = actions.add_parser("export", help="write models into one file, for a machine without a network")
    exporting.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    _add_names(exporting, "+")
    importing = actions.add_parser("import", help="take models out of such a file")
    importing.add_argument("file", type=Path, metavar="FILE", help="the file that `export` wrote")
    for parser, action in (
        (listing, _list),
        (info, _info),
        (fetching, _fetch),
        (verifying, _verify),
        (removing, _remove),
        (exporting, _export),
        (importing, _import),
    ):
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        parser.set_defaults(run=action)


def _add_names(parser: argparse.ArgumentParser, number: str, more: str = "") -> None:
    parser.add_argument("names", nargs=number, metavar="NAME", help=f"as `list` shows them{more}")


def _find(names: Iterable[str]) -> list[ModelSpec]:
    return [find_model(name) for name in dict.fromkeys(names)]  # an unknown one stops it before anything is done


def _print_json(value: Any) -> None:
    print(json.dumps(value))


def _list(options: argparse.Namespace) -> int:
    specs = [
        spec
        for spec in load_catalogue().values()
        if (options.subject is None or options.subject in spec.subjects)
        and (not options.commercial_only or spec.commercial_use in _ALLOWED)
    ]
    if options.json:
        _print_json({"models": [_describe(spec) for spec in specs]})
        return DONE
    rows = [("NAME", "TITLE", "SIZE", "STATE", "COMMERCIAL USE", "WAIT")]
    rows += [
        (
            spec.name,
            spec.title,
            _size(spec),
            str(status(spec)),
            spec.commercial_use,
            f"{spec.wait_s:g} s" if spec.wait_s else "",
        )
        for spec in specs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return DONE


def _size(spec: ModelSpec) -> str:
    """Name the size that the files have, or would have."""
    return readable_size(spec.total_bytes or _bytes_here(spec))


def _bytes_here(spec: ModelSpec) -> int:
    paths = [locate(spec).with_name(file.name) for file in spec.files]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else 0


def _describe(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "about": spec.about,
        "status": str(status(spec)),
        "subjects": list(spec.subjects),
        "wait_s": spec.wait_s or None,
        "size_bytes": spec.total_bytes or _bytes_here(spec) or None,
        "commercial_use": spec.commercial_use,
        "licence": spec.licence,
        "code_licence": spec.code_licence,
        "caveat": spec.caveat,
        "attribution": spec.attribution,
        "source": spec.source,
        "runtime": spec.runtime,
        "input_size": spec.input_size,
        "made_from": spec.made_from or None,
        "path": str(locate(spec)),
        "files": [
            {"name": file.name, "url": file.url, "size_bytes": file.size_bytes or None}
            | {kind: value for kind, value in (("sha256", file.sha256), ("md5", file.md5)) if value}
            for file in spec.files
        ],
    }


def _info(options: argparse.Namespace) -> int:
    spec = find_model(options.name)
    if options.json:
        _print_json(_describe(spec))
        return DONE
    print(f"{spec.name}: {spec.title}\n{spec.about}\n")
    made_from = f"made here from {spec.made_from}" if spec.made_from else ""
    for label, value in (
        ("state", str(status(spec))),
        ("path", str(locate(spec))),
        ("size", _size(spec)),
        ("good for", ", ".join(SUBJECTS[subject] for subject in spec.subjects)),
        ("wait", f"about {spec.wait_s:g} s a photo on two processor cores" if spec.wait_s else ""),
        ("input", f"{spec.input_size} x {spec.input_size}" if spec.input_size else ""),
        ("weights' licence", spec.licence),
        ("code's licence", spec.code_licence),
        ("commercial use", COMMERCIAL_USE[spec.commercial_use]),
        ("caveat", spec.caveat),
        ("attribution", spec.attribution),
        ("source", spec.source),
        ("files", made_from or "\n".join(filter(None, (file.url for file in spec.files)))),
        ("checksum", "\n".join(filter(None, (_checksum(file) for file in spec.files)))),
    ):
        if value:
            print(f"{label + ':':<18}{value.replace(chr(10), chr(10) + ' ' * 18)}")
    return DONE


def _checksum(file: WeightsFile) -> str:
    return f"SHA-256 {file.sha256}" if file.sha256 else f"MD5 {file.md5}" if file.md5 else ""


def _fetch(options: argparse.Namespace) -> int:
    if bool(options.names) == options.all:
        raise ModelError("Name the models to fetch, or give --all. `python -m processing models list` shows them.")
    specs = [spec for spec in load_catalogue().values() if is_fetched(spec)] if options.all else _find(options.names)
    fetched, failed = [], []
    for spec in specs:
        try:
            fetched.append({"name": spec.name, "path": str(_fetch_one(spec, options))})
        except ModelError as error:
            failed.append({"name": spec.name, "error": str(error)})
            if not options.json:
                print(f"error: {error}", file=sys.stderr)
    if options.json:
        _print_json({"fetched": fetched, "failed": failed})
    return FAILED if failed else DONE


def _fetch_one(spec: ModelSpec, options: argparse.Namespace) -> Path:
    if options.json:
        return fetch(spec, mirror=options.mirror)
    if is_fetched(spec) and status(spec) is not Status.HERE:
        _announce(spec, options.mirror)
    with open_display(sys.stderr) as display:
        path = fetch(spec, mirror=options.mirror, progress=display)
    print(f"{spec.name} is here: {path}")
    return path


def _announce(spec: ModelSpec, mirror: str | None) -> None:
    """Name the size, the origin and the terms before anything is fetched."""
    origin = find_model(spec.made_from) if spec.made_from else spec
    size = readable_size(ask_size(spec, mirror=mirror))
    print(f"{spec.name}: {size} from {shown(address_of(origin.files[0], mirror))}")
    print(f"{spec.name}: licence {spec.licence}; commercial use: {COMMERCIAL_USE[spec.commercial_use]}", flush=True)


def _verify(options: argparse.Namespace) -> int:
    catalogue = load_catalogue().values()
    specs = (
        _find(options.names)
        if options.names
        else [spec for spec in catalogue if status(spec) not in (Status.MISSING, Status.PARTLY_FETCHED)]
    )
    problems = [problem for spec in specs for problem in verify(spec)]
    if options.json:
        _print_json({"checked": [spec.name for spec in specs], "problems": problems})
    else:
        print(*problems, f"{len(specs)} checked, {len(problems)} files missing or damaged", sep="\n")
    return FAILED if problems else DONE


def _remove(options: argparse.Namespace) -> int:
    freed = {spec.name: remove(spec) for spec in _find(options.names)}
    if options.json:
        _print_json({"removed": [{"name": name, "size_bytes": size} for name, size in freed.items()]})
    else:
        for name, size_bytes in freed.items():
            print(f"{name}: {readable_size(size_bytes)} freed" if size_bytes else f"{name}: nothing was here")
    return DONE


def _export(options: argparse.Namespace) -> int:
    specs = _find(options.names)
    with open_display(None if options.json else sys.stderr) as display:
        entries = export_models(specs, options.file, progress=display)
    _tell_carried(options, specs, f"written to {options.file}", sum(entry.size_bytes for entry in entries))
    return DONE


def _import(options: argparse.Namespace) -> int:
    with open_display(None if options.json else sys.stderr) as display:
        specs = import_models(options.file, progress=display)
    _tell_carried(options, specs, "imported", sum(_bytes_here(spec) for spec in specs))
    return DONE


def _tell_carried(options: argparse.Namespace, specs: Sequence[ModelSpec], what: str, size_bytes: int) -> None:
    if options.json:
        models = [{"name": spec.name, "path": str(locate(spec))} for spec in specs]
        _print_json({"file": str(options.file), "size_bytes": size_bytes, "models": models})
    else:
        print(f"{', '.join(spec.name for spec in specs)}: {readable_size(size_bytes)} {what}")
