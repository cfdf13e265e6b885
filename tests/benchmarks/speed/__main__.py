"""Cutout beside rembg, on one machine in one run: `python tests/benchmarks/speed [--rounds N] [--only ROW ...]`.

Both run the same ONNX file, the built-in model; rembg does so as `u2net_custom`. rembg lives in an environment of
its own, made by this script as its users would make it (`pip install "rembg[cpu,cli]"`). The runs of the two sides take
turns, A B A B. Printed are medians, as one Markdown table. It takes about half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import page
from large_photos import write_photos

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MODEL = ROOT / "processing/models/weights/compact.onnx"


@dataclass(frozen=True)
class Bench:
    """Where things lie: both Pythons, a scratch folder, the model where rembg accepts it."""

    scratch: Path
    rounds: int
    megapixels: tuple[float, ...]

    @property
    def rembg_home(self) -> Path:
        return self.scratch / "rembg-home"

    @property
    def model(self) -> Path:
        return self.rembg_home / "models/u2net_custom/compact.onnx"

    def python(self, side: str) -> str:
        return sys.executable if side == "cutout" else str(self.scratch / "rembg-venv/bin/python")

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "REMBG_HOME": str(self.rembg_home), "CUTOUT_ARTIFACTS": str(self.scratch / "artifacts")}

    def prepare(self) -> None:
        """Make rembg's environment and put the model where rembg looks for it."""
        if not Path(self.python("rembg")).exists():
            subprocess.run([sys.executable, "-m", "venv", self.scratch / "rembg-venv"], check=True)
            subprocess.run([self.python("rembg"), "-m", "pip", "install", "-q", "rembg[cpu,cli]"], check=True)
        self.model.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODEL, self.model)

    def measure(self, command: list) -> tuple[float, float, float]:
        """Run a command; give wall seconds, CPU seconds and peak memory in MB, its children included."""
        probe = (
            "import json,resource,subprocess,sys,time;t=time.perf_counter();"
            "r=subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,stderr=subprocess.PIPE);w=time.perf_counter()-t;"
            "u=resource.getrusage(resource.RUSAGE_CHILDREN);"
            "print(json.dumps([r.returncode,w,u.ru_utime+u.ru_stime,u.ru_maxrss/1024,r.stderr.decode()[-2000:]]))"
        )
        words = [sys.executable, "-c", probe, *map(str, command)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=self.environment, cwd=self.scratch)
        code, wall, cpu, peak, errors = json.loads(done.stdout)
        if code:
            raise RuntimeError(f"{command} failed: {errors}")
        return wall, cpu, peak

    def take_turns(self, action: Callable[[str], object], rounds: int | None = None) -> dict[str, list]:
        """Run an action for both sides in turns."""
        results: dict[str, list] = {"cutout": [], "rembg": []}
        for _ in range(rounds or self.rounds):
            for side, values in results.items():
                values.append(action(side))
        return results


class Worker:
    """A warm process of one side."""

    def __init__(self, bench: Bench, side: str) -> None:
        words = [bench.python(side), HERE / "worker.py", side, bench.model]
        self.process = subprocess.Popen(
            list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=bench.environment
        )

    def do(self, *task: object) -> dict:
        """Send one task and return its measurements."""
        self.process.stdin.write("\t".join(map(str, task)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


#: What rembg does not do either.
PLAIN = ["--refine", "none", "--no-clean-colours"]

ROW = "| {what} | {ours} | {theirs} | {ratio} | {goal} |"


def row(what: str, ours: float, theirs: float, unit: str, goal: str, *, more_is_better: bool = False) -> str:
    """Write one line of the table; the ratio says how many times better."""
    ratio = ours / theirs if more_is_better else theirs / ours
    return ROW.format(
        what=what, ours=f"{ours:.3g} {unit}", theirs=f"{theirs:.3g} {unit}", ratio=f"{ratio:.1f}", goal=goal
    )


def importing(bench: Bench) -> list[str]:
    """Import of the package in a fresh process."""
    bare = bench.measure([sys.executable, "-c", "pass"])
    names = {"cutout": "processing", "rembg": "rembg"}
    for side in names:  # compiled caches are warm
        bench.measure([bench.python(side), "-c", f"import {names[side]}"])
    runs = bench.take_turns(lambda side: bench.measure([bench.python(side), "-c", f"import {names[side]}"]))
    (_, ours, our_peak), (_, theirs, their_peak) = (map(median, zip(*runs[side], strict=True)) for side in runs)
    print(f"(a Python that imports nothing: {bare[1]:.2f} s of CPU, {bare[2]:.0f} MB)", file=sys.stderr)
    return [
        row("import, CPU", ours, theirs, "s", "6"),
        row("import, memory", our_peak, their_peak, "MB", "4"),
    ]


def cold_command(bench: Bench) -> list[str]:
    """One 2 MP file by the command line, from nothing."""
    photos = write_photos(bench.scratch / "2mp", 2)
    extra = json.dumps({"model_path": str(bench.model)})
    target = bench.scratch / "out.png"

    def run(side: str) -> tuple:
        photo = photos[next(turn) % len(photos)]
        python = bench.python(side)
        words = [python, "-m", "processing", "remove", photo, target, *PLAIN]
        if side == "rembg":
            words = [Path(python).parent / "rembg", "i", "-m", "u2net_custom", "-x", extra, photo, target]
        return bench.measure(words)

    turn = iter(number // 2 for number in range(10**6))
    run("cutout"), run("rembg")
    runs = bench.take_turns(run)
    return [row("cold command, 2 MP, wall", *(median(r[0] for r in runs[side]) for side in runs), "s", "3")]


def whole_image(bench: Bench) -> list[str]:
    """JPEG file to PNG file in a warm process: all of it, and without the model's own run."""
    rows: list[str] = []
    for megapixels in bench.megapixels:
        photos = write_photos(bench.scratch / f"{megapixels:g}mp", megapixels)
        with Worker(bench, "cutout") as cutout, Worker(bench, "rembg") as rembg:
            workers = {"cutout": cutout, "rembg": rembg}
            for side, worker in workers.items():
                worker.do("image", photos[0], bench.scratch / f"{side}.png")
            runs: dict[str, list[dict]] = {"cutout": [], "rembg": []}
            for _ in range(max(1, bench.rounds // (1 if megapixels < 48 else 3))):
                for photo in photos:
                    for side, worker in workers.items():
                        runs[side].append(worker.do("image", photo, bench.scratch / f"{side}.png"))
            edges = [cutout.do("edges", photo, bench.scratch / "cutout.png")["cpu_s"] for photo in photos]
            limit = median(cutout.do("limit", photo)["cpu_s"] for photo in photos)
            packed = _encode_again(cutout, photos, bench.scratch)
        both = [runs["cutout"], runs["rembg"]]
        sizes = f"{megapixels:g} MP JPEG to PNG"
        goal = "4" if megapixels == 12 else ""
        rows.append(row(f"{sizes}, CPU", *(median(r["cpu_s"] for r in side) for side in both), "s", goal))
        rows.append(row(f"{sizes}, wall", *(median(r["wall_s"] for r in side) for side in both), "s", goal))
        outside = [median(r["cpu_s"] - r["inference"]["cpu_s"] for r in side) for side in both]
        rows.append(row(f"{sizes}, all but inference, CPU", *outside, "s", "8" if megapixels == 12 else ""))
        rows.append(f"| {sizes}, edges refined and their colours cleaned, CPU | {median(edges):.3g} s | | | |")
        rows += [
            row(f"{megapixels:g} MP cutout to PNG, CPU, beside Pillow", *packed["cpu_s"], "s", "10" if goal else ""),
            row(
                f"{megapixels:g} MP cutout to PNG, size, likewise", *packed["size_bytes"], "MB", "1/1.2" if goal else ""
            ),
        ]
        rows.append(f"| {sizes}, the limit: decode, inference, one copy; CPU | {limit:.3g} s | | | |")
    return rows


def _encode_again(cutout: Worker, photos: list[Path], scratch: Path) -> dict[str, list[float]]:
    """Encode the same cutouts by our writer and by Pillow's defaults; give the medians of both."""
    results: dict[str, list[dict]] = {"png": [], "pillow": []}
    for photo in photos:
        cutout.do("image", photo, scratch / "again.png")
        for writer, answers in results.items():
            answers.append(cutout.do(writer, scratch / "again.png"))
    cpu = [median(answer["cpu_s"] for answer in answers) for answers in results.values()]
    return {"cpu_s": cpu, "size_bytes": [median(a["size_bytes"] / 1e6 for a in each) for each in results.values()]}


def peak_memory(bench: Bench) -> list[str]:
    """Peak memory of a process that does one image."""
    rows = []
    for megapixels in (m for m in bench.megapixels if m > 2):
        photo = write_photos(bench.scratch / f"{megapixels:g}mp", megapixels)[0]

        def run(side: str, photo: Path = photo) -> float:
            with Worker(bench, side) as worker:
                return worker.do("image", photo, bench.scratch / "out.png")["peak_mb"]

        runs = bench.take_turns(run, rounds=3)
        rows.append(row(f"peak memory, {megapixels:g} MP", *(median(runs[side]) for side in runs), "MB", "2"))
    return rows


def folder(bench: Bench) -> list[str]:
    """A folder of 40 photos, half of 2 and half of 12 MP."""
    source = bench.scratch / "folder"
    write_photos(source, 2, 20), write_photos(source, 12, 20)
    extra = json.dumps({"model_path": str(bench.model)})

    def run(side: str) -> float:
        target = bench.scratch / f"folder-{side}"
        shutil.rmtree(target, ignore_errors=True)
        python = bench.python(side)
        words = [python, "-m", "processing", "batch", source, target, *PLAIN]
        if side == "rembg":
            words = [Path(python).parent / "rembg", "p", "-m", "u2net_custom", "-x", extra, source, target]
        wall, _, _ = bench.measure(words)
        made = len(list(target.rglob("*.png")))
        if made != 40:
            raise RuntimeError(f"{side} made {made} of 40 files")
        return 40 / wall

    runs = bench.take_turns(run, rounds=max(1, bench.rounds // 2))
    rates = (median(runs[side]) for side in runs)
    return [row("folder of 40 photos, 2 and 12 MP", *rates, "images/s", "3", more_is_better=True)]


def many(bench: Bench) -> list[str]:
    """Whether the memory of `batch` grows with the number of photos."""
    photo = write_photos(bench.scratch / "0.3mp", 0.3, 1)[0]
    rows = []
    for count in (50, 1000):
        source, target = bench.scratch / f"many-{count}", bench.scratch / f"many-{count}-out"
        source.mkdir(exist_ok=True)
        for number in range(count):
            shutil.copy(photo, source / f"{number:04}.jpg")
        shutil.rmtree(target, ignore_errors=True)
        wall, _, peak = bench.measure([sys.executable, "-m", "processing", "batch", source, target, *PLAIN])
        rows.append(
            f"| folder of {count} photos of 0.3 MP | {count / wall:.3g} images/s, {peak:.0f} MB a process | | | |"
        )
    return rows


def in_the_page(bench: Bench) -> list[str]:
    """What a visitor waits for, with the 12 MP photos."""
    figures = page.medians(write_photos(bench.scratch / "12mp", 12), max(1, bench.rounds // 2))
    waits = {
        "12 MP in the page: photo chosen to before painted": (figures["upload_s"], "1 s"),
        "12 MP in the page: Run pressed to after painted, beyond the pipeline's own time": (figures["wait_s"], "0.3 s"),
        "12 MP in the page: the pipeline's own time meanwhile": (figures["pipeline_s"], ""),
        "12 MP in the page: Run pressed to stored": (figures["stored_s"], ""),
        "12 MP in the page: another background chosen to painted": (figures["background_s"], "0.2 s"),
    }
    return [f"| {what} | {seconds:.3g} s | | | {asked} |" for what, (seconds, asked) in waits.items()]


def profile(bench: Bench) -> list[str]:
    """Where the time of a 12 MP photo goes."""
    photos = write_photos(bench.scratch / "12mp", 12)
    with Worker(bench, "cutout") as worker:
        worker.do("image", photos[0], bench.scratch / "out.png")
        runs = [worker.do("image", photo, bench.scratch / "out.png") for _ in range(bench.rounds) for photo in photos]
    steps = {step: median(run["steps_s"][step] for run in runs) for step in runs[0]["steps_s"]}
    steps["of predict, the model itself"] = median(run["inference"]["wall_s"] for run in runs)
    return [f"| 12 MP, {step} | {1e3 * seconds:.0f} ms | | | |" for step, seconds in steps.items()]


def manners(bench: Bench) -> list[str]:
    """How long a long run says nothing, and how long a cancel takes."""
    rows = []
    for megapixels in (12, 100):
        photo = write_photos(bench.scratch / f"{megapixels}mp", megapixels, 1)[0]
        with Worker(bench, "cutout") as worker:
            worker.do("image", photo, bench.scratch / "out.png")
            answer = worker.do("manners", photo)
        rows.append(
            f"| {megapixels} MP, longest time without a sign of progress | {answer['silence_s']:.2g} s | | | 0.5 s |"
        )
        rows.append(
            f"| {megapixels} MP, from Cancel to the end, worst of 20 | {answer['cancel_s']:.2g} s | | | 0.2 s |"
        )
    return rows


def growth(bench: Bench) -> list[str]:
    """How time and memory of one image grow; also drawn, as `growth.webp` in the scratch folder."""
    sizes, runs = (1, 2, 6, 12, 24, 48, 100), []
    for megapixels in sizes:
        photo = write_photos(bench.scratch / f"{megapixels}mp", megapixels, 1)[0]
        with Worker(bench, "cutout") as worker:
            worker.do("image", photo, bench.scratch / "out.png")
            taken = [worker.do("image", photo, bench.scratch / "out.png") for _ in range(3)]
        with Worker(bench, "cutout") as worker:
            peak = worker.do("image", photo, bench.scratch / "out.png")["peak_mb"]
        runs.append((megapixels, median(run["cpu_s"] for run in taken), peak))
    page.draw_growth(runs, bench.scratch / "growth.webp")
    return [f"| {size} MP JPEG to PNG | {cpu:.3g} s of CPU, {peak:.0f} MB | | | |" for size, cpu, peak in runs]


ROWS: dict[str, Callable[[Bench], list[str]]] = {
    "import": importing,
    "command": cold_command,
    "image": whole_image,
    "memory": peak_memory,
    "folder": folder,
    "many": many,
    "page": in_the_page,
    "profile": profile,
    "manners": manners,
    "growth": growth,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--megapixels", type=float, nargs="+", default=[2, 12, 48])
    parser.add_argument("--scratch", type=Path, default=ROOT / ".benchmarks", help="folder for photos and rembg")
    given = parser.parse_args()
    bench = Bench(given.scratch, given.rounds, tuple(given.megapixels))
    bench.prepare()
    started = time.perf_counter()
    lines = [line for name in given.only for line in ROWS[name](bench)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {_versions(bench)}")
    print(f"medians, {given.rounds} rounds, {(time.perf_counter() - started) / 60:.0f} min\n")
    print("| what | Cutout | rembg | times better | asked |\n|---|---:|---:|---:|---:|")
    print("\n".join(lines))


def _versions(bench: Bench) -> str:
    script = "import importlib.metadata as m;print(', '.join(f'{n} {m.version(n)}' for n in %r))"
    ours, theirs = (
        subprocess.run([bench.python(side), "-c", script % (names,)], capture_output=True, text=True, check=True).stdout
        for side, names in (
            ("cutout", ["cutout-dashboard", "numpy", "pillow", "onnxruntime"]),
            ("rembg", ["rembg", "numpy", "pillow", "onnxruntime"]),
        )
    )
    return f"{ours.strip()}; beside {theirs.strip()}"


if __name__ == "__main__":
    main()
