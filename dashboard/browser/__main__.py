"""The command line: `python -m dashboard.browser build OUT_DIR`, `python -m dashboard.browser serve OUT_DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dashboard.browser import build as builder
from dashboard.browser.serve import make_server
from processing import ProcessingError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboard.browser", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="make the folder of the static site")
    build.add_argument("out_dir", type=Path, help="its folder: new, empty, or an earlier build, which is replaced")
    build.add_argument("--downloads", type=Path, help="keep what is downloaded in this folder; default: nowhere")
    build.set_defaults(run=_build)
    serve = verbs.add_parser("serve", help="show a site that was built, on this machine only")
    serve.add_argument("out_dir", type=Path, help="the folder of the site")
    serve.add_argument("--port", type=int, default=5007, help="default: 5007; 0 takes a free one")
    serve.add_argument("--plain", action="store_true", help="send no headers of ours, like hosts of plain files")
    serve.set_defaults(run=_serve)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except ProcessingError as error:
        print(error, file=sys.stderr)
        return 1


def _build(arguments: argparse.Namespace) -> int:
    made = builder.build(arguments.out_dir, downloads=arguments.downloads)
    size = made["first_visit_bytes"]
    print(
        f"{arguments.out_dir}: {made['files']} files; a first visit loads {size / 1e6:.1f} MB and the model's weights."
    )
    if made["wheels"] != "official wheels":
        print(f"{made['wheels']}: numpy and Pillow are not the files that Pyodide distributes.")
    print(f"Look at it: python -m dashboard.browser serve {arguments.out_dir}")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    with make_server(arguments.out_dir, arguments.port, plain=arguments.plain) as server:
        print(f"Cutout: open http://127.0.0.1:{server.server_port}/ in a browser; Ctrl+C stops it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
