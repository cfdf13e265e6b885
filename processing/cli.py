"""The command line: `python -m processing VERB`.

Exit codes: 0 done, 1 failed with a sentence on standard error, 2 wrong usage, 3 done but no subject was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import param

from processing.doctor import examine
from processing.encoders import find_encoder
from processing.errors import ImageError, ProcessingError
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
        "output", type=Path, nargs="?", metavar="OUTPUT", help="the cutout; INPUT-cutout.png beside the photo if not given"
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
    recipe = Recipe.from_options(
        {name: value for name in Recipe.option_names() if (value := getattr(options, name)) is not None}
    )
    if options.output is not None and options.format is None and options.output.suffix:
        find_encoder(options.output.suffix)  # an unknown suffix is refused before the work, not after it
    output = _output_path(options.input, options.output, recipe, format_given=options.format is not None)
    if output.resolve() == options.input.resolve():
        raise ImageError(f"{output} is the photo itself and would be overwritten. Give another output path.")
    if not output.parent.is_dir():
        raise ImageError(f"The folder {output.parent} does not exist. Make it first, or give another output path.")

    data, name = read_input(options.input)
    result = run(data, recipe, name=name)
    format = recipe.format if options.format is not None or not output.suffix else output.suffix
    encoded = result.encode(format)
    write_atomically(output, encoded.data)
    record = ArtifactStore().save(result) if options.keep else None

    report: dict[str, Any] = {
        "output": str(output),
        "height": result.source.size[0],
        "width": result.source.size[1],
        "size_bytes": len(encoded.data),
        "subject_found": result.subject_found,
        "model": result.model.name,
        "provider": result.provider,
        "timings_s": {step: round(seconds, 4) for step, seconds in result.timings_s.items()},
    }
    if record is not None:
        report["artifact"] = str(ArtifactStore().folder(record))
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{output}  {report['width']} x {report['height']}, {len(encoded.data) / 1e6:.1f} MB")
        if record is not None:
            print(f"kept in {report['artifact']}")
    if not result.subject_found:
        print(
            f"No clear subject was found in {name}; the cutout is empty. Try a photo with one clear subject.", file=sys.stderr
        )
        return NO_SUBJECT
    return DONE


def _output_path(source: Path, output: Path | None, recipe: Recipe, *, format_given: bool) -> Path:
    suffix = find_encoder(recipe.format).suffix
    if output is None:
        return source.with_name(f"{source.stem}-cutout{suffix}")
    return output


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
