"""The command line: `python -m processing VERB`.

Exit codes: 0 done, 1 failed with a sentence on standard error, 2 wrong usage, 3 done but no subject was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import param

from processing.doctor import examine
from processing.encoders import find_encoder
from processing.errors import ProcessingError, StoreError
from processing.files import write_atomically
from processing.images import read_input
from processing.pipeline import run
from processing.recipe import Recipe
from processing.store import ArtifactStore

DONE, FAILED, NO_SUBJECT = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.verb(options)
    except ProcessingError as error:
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        else:
            print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m processing", description="Remove the background of photos.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    remove = verbs.add_parser("remove", help="cut the subject out of one photo", description=_remove.__doc__)
    remove.add_argument("input", type=Path, metavar="INPUT", help="the photo")
    remove.add_argument(
        "output",
        type=Path,
        nargs="?",
        metavar="OUTPUT",
        help="the cutout; INPUT-cutout.png beside the photo if not given",
    )
    _add_recipe_options(remove)
    remove.add_argument("--keep", action="store_true", help="also store the result in the artifacts folder")
    remove.set_defaults(verb=_remove)

    doctor = verbs.add_parser("doctor", help="check that everything needed is here and works")
    doctor.set_defaults(verb=_doctor)

    for verb in (remove, doctor):
        verb.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Derive a flag from each option of `Recipe`."""
    for name in Recipe.option_names():
        option = Recipe.param[name]
        choices = list(option.objects) if isinstance(option, param.Selector) else None
        parser.add_argument(f"--{name}", choices=choices, help=f"{option.doc} Default: {option.default}.")


def _remove(options: argparse.Namespace) -> int:
    """Cut the subject out of one photo and write the cutout, by default as INPUT-cutout.png beside the photo."""
    recipe, output = _read_remove_options(options)
    data, name = read_input(options.input)
    result = run(data, recipe, name=name)
    encoded = result.encode()
    write_atomically(output, encoded.data)
    store = ArtifactStore()
    artifact = store.folder(store.save(result)) if options.keep else None

    height, width = result.source.size
    if options.json:
        report = {
            "output": str(output),
            "artifact": str(artifact) if artifact else None,
            "height": height,
            "width": width,
            "size_bytes": len(encoded.data),
            "subject_found": result.subject_found,
            "model": result.model.name,
            "provider": result.provider,
            "timings_s": {step: round(seconds, 4) for step, seconds in result.timings_s.items()},
        }
        print(json.dumps(report))
    else:
        print(f"{output}  {width} x {height}, {len(encoded.data) / 1e6:.1f} MB")
        if artifact:
            print(f"kept in {artifact}")
    if not result.subject_found:
        advice = "the cutout is empty. Try a photo with one clear subject."
        print(f"No clear subject was found in {name}; {advice}", file=sys.stderr)
        return NO_SUBJECT
    return DONE


def _read_remove_options(options: argparse.Namespace) -> tuple[Recipe, Path]:
    """Return the recipe and the output path; the output's suffix gives the format unless --format does."""
    chosen = {name: value for name in Recipe.option_names() if (value := getattr(options, name)) is not None}
    if options.output is not None and options.output.suffix and "format" not in chosen:
        chosen["format"] = find_encoder(options.output.suffix).name
    recipe = Recipe.from_options(chosen)
    suffix = find_encoder(recipe.format).suffix
    output = options.output or options.input.with_name(f"{options.input.stem}-cutout{suffix}")
    if output.resolve() == options.input.resolve():
        raise StoreError(f"{output} is the photo itself and would be overwritten. Give another output path.")
    if not output.parent.is_dir():
        raise StoreError(f"The folder {output.parent} does not exist. Make it first, or give another output path.")
    return recipe, output


def _doctor(options: argparse.Namespace) -> int:
    """Check versions, providers, weights and folders."""
    checks = examine()
    if options.json:
        print(json.dumps({"ok": all(check.ok for check in checks), "checks": [vars(check) for check in checks]}))
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.subject}: {check.finding}")
            if check.advice:
                print(f"      {check.advice}")
    return DONE if all(check.ok for check in checks) else FAILED
