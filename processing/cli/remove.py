"""`remove`: one photo."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from processing.cli.options import add_limits, add_recipe_options, chosen_limits, chosen_options
from processing.encoders import EncodedImage, find_encoder, format_of
from processing.errors import StoreError
from processing.files import write_atomically
from processing.images import read_input
from processing.pipeline import run
from processing.recipe import Recipe
from processing.result import Result
from processing.store import default_store

DONE, NO_SUBJECT = 0, 3


def add_parser(verbs: Any) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("remove", help="cut the subject out of one photo", description=_remove.__doc__)
    parser.add_argument("input", type=Path, metavar="INPUT", help="the photo")
    parser.add_argument(
        "output",
        type=Path,
        nargs="?",
        metavar="OUTPUT",
        help="the cutout; INPUT-cutout.png beside the photo if not given",
    )
    add_recipe_options(parser)
    add_limits(parser)
    parser.add_argument("--keep", action="store_true", help="also store the result in the artifacts folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=_remove)


def _remove(options: argparse.Namespace) -> int:
    """Cut the subject out of one photo and write the cutout, by default as INPUT-cutout.png beside the photo."""
    recipe, output = _read_options(options)
    limits = chosen_limits(options)
    data, name = read_input(options.input, limits=limits)
    result = run(data, recipe, name=name, limits=limits)
    encoded = result.encode()
    write_atomically(output, encoded.data)
    artifact = _keep(result, output) if options.keep else None
    if options.json:
        print(json.dumps(_report(result, encoded, output, artifact)))
    else:
        height, width = encoded.size
        print(f"{output}  {width} x {height}, {_readable(len(encoded.data))}")
        if artifact:
            print(f"kept in {artifact}")
    if result.source.remark:
        print(result.source.remark, file=sys.stderr)
    if not result.subject_found:
        advice = "the cutout is empty. Try a photo with one clear subject."
        print(f"No clear subject was found in {name}; {advice}", file=sys.stderr)
        return NO_SUBJECT
    return DONE


def _keep(result: Result, output: Path) -> Path:
    store = default_store()
    try:
        return store.folder(store.save(result))
    except StoreError as error:
        raise StoreError(f"{error} The cutout itself was written to {output}.") from error


def _readable(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{max(1, round(size_bytes / 1e3))} kB"


def _report(result: Result, encoded: EncodedImage, output: Path, artifact: Path | None) -> dict[str, Any]:
    height, width = encoded.size
    return {
        "output": str(output),
        "artifact": str(artifact) if artifact else None,
        "height": height,
        "width": width,
        "size_bytes": len(encoded.data),
        "subject_found": result.subject_found,
        "remark": result.source.remark,
        "model": result.model.name,
        "provider": result.provider,
        "timings_s": {step: round(seconds, 4) for step, seconds in result.timings_s.items()},
    }


def _read_options(options: argparse.Namespace) -> tuple[Recipe, Path]:
    """Return the recipe and the output path; the output's suffix gives the format unless --format does."""
    chosen = chosen_options(options)
    if options.output is not None and options.output.suffix and "format" not in chosen:
        chosen["format"] = format_of(options.output, Recipe.param.format.default)
    recipe = Recipe.from_options(chosen)
    suffix = find_encoder(recipe.format).suffix
    output = options.output or options.input.parent / f"{options.input.stem}-cutout{suffix}"
    if output.resolve() == options.input.resolve():
        raise StoreError(f"{output} is the photo itself and would be overwritten. Give another output path.")
    if not output.parent.is_dir():
        raise StoreError(f"The folder {output.parent} does not exist. Make it first, or give another output path.")
    return recipe, output
