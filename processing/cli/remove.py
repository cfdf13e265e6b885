"""`remove`: one photo."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import param

from processing.encoders import EncodedImage, find_encoder, format_of
from processing.errors import StoreError
from processing.files import write_atomically
from processing.images import DecodeLimits, read_input
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
    _add_recipe_options(parser)
    limits = DecodeLimits.from_environment()
    parser.add_argument(
        "--max-megabytes", type=_positive, default=limits.max_bytes / 1e6, metavar="N", help="refuse larger files"
    )
    parser.add_argument(
        "--max-megapixels", type=_positive, default=limits.max_megapixels, metavar="N", help="refuse larger pictures"
    )
    parser.add_argument("--keep", action="store_true", help="also store the result in the artifacts folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.set_defaults(run=_remove)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError
    return number


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Derive a flag from each option of `Recipe`."""
    for name in Recipe.option_names():
        option, flag = Recipe.param[name], "--" + name.replace("_", "-")
        if isinstance(option, param.Boolean):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=option.doc)
        elif isinstance(option, param.Integer):
            parser.add_argument(flag, type=int, metavar="N", help=f"{option.doc} Default: {option.default}.")
        else:
            choices = list(option.objects) if isinstance(option, param.Selector) else None
            parser.add_argument(flag, choices=choices, help=f"{option.doc} Default: {option.default}.")


def _remove(options: argparse.Namespace) -> int:
    """Cut the subject out of one photo and write the cutout, by default as INPUT-cutout.png beside the photo."""
    recipe, output = _read_options(options)
    limits = DecodeLimits(round(options.max_megabytes * 1e6), options.max_megapixels)
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
    chosen = {name: value for name in Recipe.option_names() if (value := getattr(options, name)) is not None}
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
