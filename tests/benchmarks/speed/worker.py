"""One side of the benchmark, in a Python of its own: reads a task a line from stdin, answers one JSON line each.

    python worker.py cutout|rembg MODEL.onnx

A task is `image IN OUT` (a whole image, file to file), and on our side also `png OUT` (encode the last cutout
again), `pillow OUT` (the same with Pillow's defaults, as rembg does) and `limit IN` (what no program can do without: decode the file, run the model, write every pixel of the cutout once). The
answer has wall and CPU seconds of the task, those of the model's run within it, and the peak memory of the process so
far.
"""

from __future__ import annotations

import io
import json
import resource
import sys
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
    """The project as it is installed, with its defaults."""
    from processing import remove_background
    from processing.sessions.pool import default_pool

    last: dict = {}

    def image(source: str, target: str) -> None:
        last["result"] = remove_background(source)
        last["result"].save(target)

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

    return {"image": image, "png": png, "pillow": pillow, "limit": limit}


def rembg_side(model: Path) -> dict[str, Callable]:
    """Rembg as its README shows it: open, remove with a session, save."""
    import rembg
    from PIL import Image

    session = rembg.new_session("u2net_custom", model_path=str(model))

    def image(source: str, target: str) -> None:
        rembg.remove(Image.open(source), session=session).save(target)

    return {"image": image}


def main() -> None:
    """Answer tasks until stdin ends."""
    onnxruntime.InferenceSession = TimedSession
    tasks = {"cutout": cutout_side, "rembg": rembg_side}[sys.argv[1]](Path(sys.argv[2]))
    for line in sys.stdin:
        name, *arguments = line.rstrip("\n").split("\t")
        inference.update(wall_s=0.0, cpu_s=0.0)
        wall, cpu = time.perf_counter(), time.process_time()
        size = tasks[name](*arguments)
        answer = {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "inference": dict(inference),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "size_bytes": size,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
