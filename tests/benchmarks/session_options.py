"""What onnxruntime's session options cost, and how much memory a loaded model takes for each byte of its weights.

    python tests/benchmarks/session_options.py [--rounds 5] [--models compact,made-50] [--options]
    python tests/benchmarks/session_options.py --providers cpu,cuda

Each line is measured in processes of its own, the options taking turns, so that what else runs on the machine reaches
all of them alike; CPU time is the figure to compare, wall time follows the load. Without `--options` only the memory of
loaded models is measured, with the session that `processing` makes. Needs Linux, for /proc, and onnx (of the group
`test`).

The made models have random weights in 3 x 3 convolutions, a photo of 1024 x 1024 at one end and a matte of that
size at the other, as the large models of the catalogue. Their time means nothing by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BUILT_IN = ROOT / "processing/models/weights/compact.onnx"

#: Each changes one thing of the first line: onnxruntime's own defaults, but for spinning, as `processing` had it.
OPTIONS = {
    "defaults, no spinning": {},
    "1 thread": {"intra_op_num_threads": 1},
    "2 threads": {"intra_op_num_threads": 2},
    "spinning": {"spinning": True},
    "no arena": {"enable_cpu_mem_arena": False},
    "no memory pattern": {"enable_mem_pattern": False},
    "no arena, no pattern": {"enable_cpu_mem_arena": False, "enable_mem_pattern": False},
    "graph optimisation: none": {"level": "ORT_DISABLE_ALL"},
    "graph optimisation: basic": {"level": "ORT_ENABLE_BASIC"},
    "graph optimisation: extended": {"level": "ORT_ENABLE_EXTENDED"},
    "arena given back after a run": {"shrink": True},
    "denormals as zero": {"denormal": True},
}

#: Name, side of the input, channels at half of it, and channels and number of the convolutions at 1/32 of it, which
#: hold most of the weights. ISNet has 64 channels at half the input's side, as made-wide.
MADE = {"made-50": (1024, 16, 256, 18), "made-200": (1024, 16, 512, 20), "made-wide": (1024, 64, 256, 18)}


def make_model(path, side, first, channels, count):
    """Write a network that halves the picture five times, works there, and doubles it again."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng, nodes, weights = np.random.default_rng(0), [], []

    def convolve(source, inputs, outputs, stride=1, activation="Relu"):
        name = f"w{len(weights)}"
        kernel = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, name))
        nodes.append(
            helper.make_node("Conv", [source, name], [f"{name}_c"], pads=[1, 1, 1, 1], strides=[stride, stride])
        )
        nodes.append(helper.make_node(activation, [f"{name}_c"], [f"{name}_a"]))
        return f"{name}_a"

    weights.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    widths, value, kept = [max(first, width) for width in (16, 32, 64, 128, channels)], "image", []
    for inputs, outputs in zip([3, *widths], widths, strict=False):
        value = convolve(convolve(value, inputs, outputs, 2), outputs, outputs)
        kept.append(value)
    for _ in range(count):
        value = convolve(value, channels, channels)
    for index in reversed(range(4)):
        nodes.append(helper.make_node("Resize", [value, "", "twice"], [f"up{index}"], mode="nearest"))
        smaller = convolve(f"up{index}", widths[index + 1], widths[index])
        nodes.append(helper.make_node("Add", [smaller, kept[index]], [f"joined{index}"]))
        value = f"joined{index}"
    nodes.append(helper.make_node("Resize", [value, "", "twice"], ["full"], mode="nearest"))
    matte = convolve("full", widths[0], 1, activation="Sigmoid")
    shape = [1, 3, side, side]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(matte, TensorProto.FLOAT, [1, 1, side, side])],
        weights,
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def memory_mb(field):
    """Read VmRSS, what this process holds, or VmHWM, the most it has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def open_plain(path, changes):
    """Open a session with the options of one line of the table."""
    import onnxruntime

    from processing.sessions.memory import return_freed_memory

    options, changes = onnxruntime.SessionOptions(), dict(changes)
    run_options = onnxruntime.RunOptions()
    options.log_severity_level = 3
    spinning = "1" if changes.pop("spinning", False) else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    if changes.pop("denormal", False):
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if level := changes.pop("level", ""):
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if changes.pop("shrink", False):
        run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    for name, value in changes.items():
        setattr(options, name, value)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return_freed_memory()
    return lambda tensor: session.run(None, {name: tensor}, run_options)


def open_ours(path, provider):
    """Open the session that `processing` makes of a file, on a provider that must run it."""
    from processing.models import ModelSpec
    from processing.sessions import open_session

    return open_session(ModelSpec("measured", "", "", "onnxruntime", Path(path)), provider).predict


def measure(task):
    """Load a model and run it; called in a process of its own."""
    import onnxruntime  # noqa: F401  # first: what it takes by itself is not the model's

    import processing.sessions  # noqa: F401  # the same

    shape = (1, 3, task["side"], task["side"])
    tensor = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    before = memory_mb("VmRSS")
    path, changes = task["path"], task["changes"]
    run = open_ours(path, task["provider"]) if changes is None else open_plain(path, changes)
    loaded = memory_mb("VmRSS")
    run(tensor)
    report = {"loaded": loaded - before, "run": memory_mb("VmRSS") - before, "cpu": [], "wall": []}
    for _ in range(task["runs"]):
        cpu, wall = time.process_time(), time.perf_counter()
        run(tensor)
        report["cpu"].append(time.process_time() - cpu)
        report["wall"].append(time.perf_counter() - wall)
    report["peak"] = memory_mb("VmHWM") - before
    return report


def in_child(path, side, runs, changes=None, provider="cpu"):
    """Measure in a new process."""
    task = json.dumps({"path": str(path), "side": side, "runs": runs, "changes": changes, "provider": provider})
    done = subprocess.run(
        [sys.executable, __file__, "--task", task], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def print_options(name, path, side, runs, rounds):
    """Print what each option costs for one model."""
    reports = {title: [] for title in OPTIONS}
    for _ in range(rounds):
        for title, changes in OPTIONS.items():
            reports[title].append(in_child(path, side, runs, changes))
    cpu, wall = (
        {title: median(median(each[key]) for each in found) for title, found in reports.items()}
        for key in ("cpu", "wall")
    )
    base = next(iter(OPTIONS))
    print(f"\n{name}, {side} x {side}: medians of {rounds} rounds of {runs} runs\n")
    print("| options | CPU ms | of the first | wall ms | memory kept, MB | peak, MB |\n|---|---:|---:|---:|---:|---:|")
    for title, found in reports.items():
        kept, peak = median(each["run"] for each in found), median(each["peak"] for each in found)
        times = f"{cpu[title] * 1e3:.0f} | {cpu[title] / cpu[base]:.2f} | {wall[title] * 1e3:.0f}"
        print(f"| {title} | {times} | {kept:.0f} | {peak:.0f} |", flush=True)


def print_memory(models, rounds):
    """Print what a loaded model keeps after a run, beside its weights."""
    print(f"\nMemory of a model that is loaded and has run once, medians of {rounds} processes\n")
    print("| model | weights, MB | loaded, MB | after a run, MB | times its weights | peak of a run, MB |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (path, side, _) in models.items():
        reports = [in_child(path, side, 1) for _ in range(rounds)]
        loaded, kept, peak = (median(each[key] for each in reports) for key in ("loaded", "run", "peak"))
        size = path.stat().st_size / 1e6
        print(f"| {name} | {size:.1f} | {loaded:.0f} | {kept:.0f} | {kept / size:.1f} | {peak:.0f} |", flush=True)


def print_providers(models, names, rounds):
    """Print how long a run takes on each provider; one that does not run ends the script with what it lacks."""
    print(f"\nWall time of a run after the first, medians of {rounds} processes, ms\n")
    print(f"| model | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for name, (path, side, runs) in models.items():
        reports = [[in_child(path, side, runs, provider=each) for each in names] for _ in range(rounds)]
        times = [median(median(report["wall"]) for report in column) * 1e3 for column in zip(*reports, strict=True)]
        print(f"| {name} | {' | '.join(f'{each:.1f}' for each in times)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="compact,made-50,made-200,made-wide")
    parser.add_argument("--options", action="store_true", help="also compare the options, which takes long")
    parser.add_argument("--providers", metavar="NAMES", help="compare these instead, such as cpu,cuda")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(measure(json.loads(options.task))))
        return
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for name in options.models.split(","):
            if name == "compact":
                models[name] = (BUILT_IN, 320, 20)
            else:
                path = Path(folder, f"{name}.onnx")
                make_model(path, *MADE[name])
                models[name] = (path, MADE[name][0], 2)
        if options.providers:
            print_providers(models, options.providers.split(","), options.rounds)
            return
        if options.options:
            for name, (path, side, runs) in models.items():
                print_options(name, path, side, runs, options.rounds)
        print_memory(models, min(options.rounds, 3))


if __name__ == "__main__":
    main()
