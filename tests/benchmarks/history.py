"""How long the history takes with 5,000 results: `python tests/benchmarks/history.py`.

Writes records with tiny files into a temporary folder and prints a Markdown table. Each first listing is made by a
process of its own, so that nothing is in its memory; the files may well be in the system's.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from processing.recipe import Recipe
from processing.store import RECORD, ArtifactRecord

RESULTS = 5000
OWNERS = 10
SHOWN = 12  # what a page shows
RUNS = 5
ROLES = {
    "source": "source.png",
    "alpha": "alpha.png",
    "result": "result.png",
    "before": "before.webp",
    "preview": "preview.webp",
    "thumbnail": "thumbnail.webp",
}

LIST = """
import json, sys, time
from pathlib import Path
from processing.store import ArtifactStore

folder, owner, shown = sys.argv[1:]
store, seconds = ArtifactStore(Path(folder)), {}


def measure(name, *options):
    started = time.perf_counter()
    store.list(*options)
    seconds[name] = time.perf_counter() - started


measure("first, newest of one owner", owner, int(shown))
store = ArtifactStore(Path(folder))
measure("first, all", None)
measure("second, all", None)
measure("second, newest of one owner", owner, int(shown))
print(json.dumps(seconds))
"""


def write_results(root: Path) -> None:
    """Write the records, a minute apart, and one byte for each of their files."""
    for number in range(RESULTS):
        made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        record = ArtifactRecord(
            id=f"{made:%Y%m%dT%H%M%SZ}-{number:08x}",
            created=made.isoformat(timespec="seconds"),
            owner=f"owner {number % OWNERS}",
            source={
                "name": "photo.png",
                "media_type": "image/png",
                "sha256": "0" * 64,
                "size_bytes": 1,
                "height": 3000,
                "width": 4000,
                "profile": "",
                "remark": "",
            },
            model={"name": "compact", "weights_sha256": "0" * 64},
            provider="CPUExecutionProvider",
            recipe=Recipe().as_dict(),
            subject_found=True,
            timings_s=dict.fromkeys(("decode", "load", "predict", "matte", "cut"), 0.1234),
            versions=dict.fromkeys(("python", "cutout-dashboard", "numpy", "pillow", "onnxruntime", "panel"), "1.2.3"),
            files=ROLES,
            checksums=dict.fromkeys(ROLES, "0" * 64),
        )
        folder = root / record.id
        folder.mkdir()
        for name in ROLES.values():
            (folder / name).write_bytes(b".")
        (folder / RECORD).write_text(json.dumps(asdict(record), indent=2), encoding="utf-8")


def measure(root: Path) -> dict[str, list[float]]:
    """Return the seconds of each listing, one for each run."""
    seconds: dict[str, list[float]] = {}
    for _ in range(RUNS):
        words = [sys.executable, "-c", LIST, str(root), "owner 3", str(SHOWN)]
        printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        for name, value in json.loads(printed).items():
            seconds.setdefault(name, []).append(value)
    return seconds


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        write_results(Path(name))
        seconds = measure(Path(name))
    print(f"| listing of {RESULTS} results | median in ms | range in ms ({RUNS} processes) |\n|---|---:|---:|")
    for listing, values in seconds.items():
        low, middle, high = (1000 * value for value in (min(values), statistics.median(values), max(values)))
        print(f"| {listing} | {middle:.1f} | {low:.1f} to {high:.1f} |")


if __name__ == "__main__":
    main()
