"""One side of the benchmark, in a Python of its own: reads a task a line from stdin, answers one JSON line each.

    python worker.py cutout|rembg MODEL.onnx

A task is `image IN OUT` (a whole image, file to file), and on our side also `edges IN OUT` (the same with the default
recipe, which refines edges and cleans their colours), `png OUT` (encode the last cutout again),
`pillow OUT` (the same with Pillow's defaults, as rembg does) and `limit IN` (what no program can do without: decode the
file, run the model, write every pixel of the cutout once) and `manners IN` (how long a run is silent, and how long a
cancel takes). The answer has wall and CPU seconds of the task, those of
the model's run within it, and the peak memory of the process so far.
"""

from __future__ import annotations

import io
import itertools
import json
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime

inference = {"wall_s": 0.0, "cpu_s": 0.0}


class TimedSession(onnxruntime.InferenceSession):
    """Adds up what runs of the model cost, on whichever side calls it."""

    def run(self, *args, **kwargs):
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return super().run(*args, **kwargs)
        finally:
            inference["wall_s"] += time.perf_counter() - wall
            inference["cpu_s"] += time.process_time() - cpu


def cutout_side(model: Path) -> dict[str, Callable]:
    """The project as it is installed; `image` leaves edges and their colours as they are, as rembg does."""
    from processing import Recipe, remove_background
    from processing.sessions.pool import default_pool

    last: dict = {}

    def image(source: str, target: str) -> dict[str, dict[str, float]]:
        return edges(source, target, Recipe(refine="none", clean_colours=False))

    def edges(source: str, target: str, recipe: Recipe | None = None) -> dict[str, dict[str, float]]:
        last["result"] = remove_background(source, recipe)
        before = time.perf_counter()
        last["result"].save(target)
        return {"steps_s": {**last["result"].timings_s, "encode and write": time.perf_counter() - before}}

    def png(target: str) -> int:
        data = last["result"].encode().data
        Path(target).write_bytes(data)
        return len(data)

    def pillow(target: str) -> int:
        buffer = io.BytesIO()
        last["result"].cutout.save(buffer, "PNG")
        Path(target).write_bytes(buffer.getvalue())
        return len(buffer.getvalue())

    def limit(source: str) -> None:
        import numpy as np
        from PIL import Image

        Image.open(source).load()
        default_pool().get(last["result"].model).predict(last["result"].tensor)
        np.copyto(last.setdefault("room", np.empty_like(last["result"].pixels)), last["result"].pixels)

    def manners(source: str) -> dict[str, float]:
        return {"silence_s": longest_silence(Path(source)), "cancel_s": slowest_cancel(Path(source))}

    return {"image": image, "edges": edges, "png": png, "pillow": pillow, "limit": limit, "manners": manners}


def longest_silence(photo: Path) -> float:
    """Give the longest time between two progress events of a run, file to file."""
    from processing.steps import Steps

    heard = [time.perf_counter()]
    _work(photo, Steps(lambda step, fraction: heard.append(time.perf_counter())))
    heard.append(time.perf_counter())
    return max(later - earlier for earlier, later in itertools.pairwise(heard))


def slowest_cancel(photo: Path, tries: int = 20) -> float:
    """Give the longest time from a cancel, at moments spread over a run, to its end."""
    from processing.cancellation import CancelToken
    from processing.errors import Cancelled
    from processing.steps import Steps

    started = time.perf_counter()
    _work(photo, Steps())
    lasted, slowest = time.perf_counter() - started, 0.0
    for number in range(tries):
        token = CancelToken()
        cancelled = [0.0]

        def cancel(token: CancelToken = token, cancelled: list[float] = cancelled) -> None:
            cancelled[0] = time.perf_counter()
            token.cancel()

        timer = threading.Timer(lasted * (number + 0.5) / tries, cancel)
        timer.start()
        try:
            _work(photo, Steps(cancel=token))
        except Cancelled:
            slowest = max(slowest, time.perf_counter() - cancelled[0])
        timer.cancel()
    return slowest


def _work(photo: Path, steps) -> None:
    """Do what a run in the page does, without a page: the pipeline, the preview and the file."""
    from processing import run
    from processing.encoders import encode_preview

    result = run(photo.read_bytes(), progress=steps.progress, cancel=steps.cancel)
    with steps("Drawing the preview", 0.5, 0.6, "preview") as tick:
        encode_preview(result.pixels, long_side=1600, tick=tick)
    with steps("Saving", 0.6, 1.0, "save") as tick:
        result.encode(tick)


def rembg_side(model: Path) -> dict[str, Callable]:
    """Rembg as its README shows it: open, remove with a session, save."""
    import rembg
    from PIL import Image

    session = rembg.new_session("u2net_custom", model_path=str(model))

    def image(source: str, target: str) -> None:
        rembg.remove(Image.open(source), session=session).save(target)

    return {"image": image}


def peak_mb() -> float:
    """Give the peak memory of this process. Linux's own count starts with the program; getrusage's with its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Answer tasks until stdin ends."""
    onnxruntime.InferenceSession = TimedSession
    tasks = {"cutout": cutout_side, "rembg": rembg_side}[sys.argv[1]](Path(sys.argv[2]))
    for line in sys.stdin:
        name, *arguments = line.rstrip("\n").split("\t")
        inference.update(wall_s=0.0, cpu_s=0.0)
        wall, cpu = time.perf_counter(), time.process_time()
        outcome = tasks[name](*arguments)
        answer = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "inference": dict(inference),
            "peak_mb": peak_mb(),
            **(outcome if isinstance(outcome, dict) else {"size_bytes": outcome}),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
