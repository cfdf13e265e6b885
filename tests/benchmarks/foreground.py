"""How well the colour of the foreground is found, and what that costs: prints Markdown tables.

    python tests/benchmarks/foreground.py [--megapixels 2 12] [--mattes FOLDER] [--sheet FILE]

The script draws composites whose foreground, background and alpha are known. With `--mattes`, a folder of images and
alpha mattes with a `manifest.csv` (id,image,alpha), the subjects of these are laid over one another's pictures too;
their own colour is what pymatting's multi-level method finds in the original, which favours that method.

Each method runs in a process of its own, after a warm-up on a small picture. CPU seconds are those of all its threads,
memory is what the peak grew by.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from processing.composite import cut_out, over
from processing.foreground import estimate_foreground, fringe

KINDS = ("hair", "fur", "defocus", "letters", "glass", "edge")
SUBJECTS = {
    "hair": ((205, 170, 140), (120, 60, 40)),
    "fur": ((30, 30, 35), (120, 90, 70)),
    "defocus": ((40, 60, 110), (190, 40, 50)),
    "letters": ((235, 235, 230), (150, 150, 160)),
    "glass": ((205, 170, 140), (120, 60, 40)),
    "edge": ((30, 30, 35), (120, 90, 70)),
}
BACKGROUNDS = {
    "hair": ((30, 160, 50), (120, 220, 90)),
    "fur": ((90, 140, 220), (230, 220, 200)),
    "defocus": ((240, 240, 245), (180, 200, 230)),
    "letters": ((20, 25, 30), (70, 80, 60)),
    "glass": ((30, 160, 50), (120, 220, 90)),
    "edge": ((90, 140, 220), (230, 220, 200)),
}
HAIR = (110, 70, 45)
Scene = tuple[np.ndarray, np.ndarray, np.ndarray]


def texture(height: int, width: int, colours: tuple, rng: np.random.Generator) -> np.ndarray:
    """Return clouds of six sizes between two colours, with a camera's noise: float32 (H, W, 3), 0 to 255."""
    mix = np.zeros((height, width), np.float32)
    for octave in range(2, 8):
        cells = rng.random((2**octave * height // max(height, width) + 2, 2**octave + 2), np.float32)
        cloud = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        mix += 0.65 ** (octave - 2) * np.asarray(cloud)
    mix = (mix - mix.min()) / (mix.max() - mix.min())
    first, second = (np.array(colour, np.float32) for colour in colours)
    pixels = first + (second - first) * mix[..., np.newaxis]
    return np.clip(pixels + 2.5 * rng.standard_normal(pixels.shape, np.float32), 0, 255)


def strands(height: int, width: int, rng: np.random.Generator, count: int, length: float) -> tuple:
    """Return alpha and colours of a disc with strands of hair, each of its own shade."""
    alpha, colours = Image.new("L", (2 * width, 2 * height)), Image.new("RGB", (width, height), HAIR)
    pen, brush = ImageDraw.Draw(alpha), ImageDraw.Draw(colours)
    x0, y0, radius = 0.5 * width, 0.62 * height, 0.26 * min(height, width)
    along = np.linspace(0, 1, 24)
    for _ in range(count):
        reach = radius * length * rng.uniform(0.3, 1)
        angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.6) * along**2
        x, y = (
            x0 + (0.97 * radius + reach * along) * np.cos(angle),
            y0 + (0.97 * radius + reach * along) * np.sin(angle),
        )
        thick, shade = 1.3 * (max(height, width) / 1000) ** 0.5 * rng.uniform(0.5, 1.5), rng.uniform(0.6, 1.5)
        colour = tuple(min(255, round(value * shade)) for value in HAIR)
        brush.line(list(zip(x, y, strict=True)), fill=colour, width=max(3, round(2 * thick) + 2))
        for i in range(len(along) - 1):
            ends = [(2 * x[i], 2 * y[i]), (2 * x[i + 1], 2 * y[i + 1])]
            pen.line(ends, fill=255, width=max(1, round(2 * thick * (1 - 0.7 * along[i]))))
    pen.ellipse([2 * (x0 - radius), 2 * (y0 - radius), 2 * (x0 + radius), 2 * (y0 + radius)], fill=255)
    return reduced(alpha, width, height), np.asarray(colours, np.float32)


def rings(height: int, width: int) -> np.ndarray:
    """Return the alpha of twelve rings with holes of three sizes."""
    mask = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(mask)
    for column in range(4):
        for row in range(3):
            x, y, radius = (column + 0.5) * width / 2, (row + 0.5) * height / 1.5, 0.2 * width
            for size, fill in ((radius, 255), (radius * (0.3 + 0.15 * row), 0)):
                pen.ellipse([x - size, y - size, x + size, y + size], fill=fill)
    return reduced(mask, width, height)


def reduced(mask: Image.Image, width: int, height: int) -> np.ndarray:
    """Reduce a drawing to alpha."""
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def blob(kind: str, height: int, width: int) -> np.ndarray:
    """Return the alpha of a star: out of focus, of glass, or with a sharp edge."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x, radius = y - height / 2, x - width / 2, 0.26 * min(height, width)
    inside = radius * 1.3 * (1 + 0.12 * np.sin(5 * np.arctan2(y, x))) - np.hypot(y, x)
    ramp = np.clip(inside / (max(height, width) / 40 if kind == "defocus" else 1.5) + 0.5, 0, 1)
    alpha = ramp * ramp * (3 - 2 * ramp)
    return alpha * np.clip(0.25 + 0.75 * np.abs(np.sin(inside / radius * 4)), 0, 1) if kind == "glass" else alpha


def drawn(kind: str, megapixels: float) -> Scene:
    """Return the foreground, float32, the image, uint8, and alpha, float32, of a composite."""
    height, width = round((megapixels * 1e6 / 1.5) ** 0.5), round((megapixels * 1e6 * 1.5) ** 0.5)
    rng = np.random.default_rng(sum(map(ord, kind)))
    foreground = texture(height, width, SUBJECTS[kind], rng)
    background = texture(height, width, BACKGROUNDS[kind], rng)
    if kind in ("hair", "fur"):
        alpha, colours = strands(height, width, rng, *((1500, 0.7) if kind == "hair" else (9000, 0.18)))
        foreground = np.clip(colours + (foreground - foreground.mean(axis=(0, 1))) * 0.3, 0, 255)
    else:
        alpha = rings(height, width) if kind == "letters" else blob(kind, height, width)
    return foreground, mixed(foreground, background, alpha), alpha.astype(np.float32)


def mixed(foreground: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Mix as a camera does, and round."""
    weight = alpha[..., np.newaxis]
    return np.clip(np.rint(weight * foreground + (1 - weight) * background), 0, 255).astype(np.uint8)


def pasted(folder: Path) -> Iterator[tuple[str, Scene]]:
    """Lay each subject of a folder over the picture of another."""
    with open(folder / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        with Image.open(folder / row["image"]) as image, Image.open(folder / row["alpha"]) as matte:
            original, alpha = np.asarray(image.convert("RGB")), np.asarray(matte.convert("L"), np.float32) / 255
        with Image.open(folder / rows[(number + 3) % len(rows)]["image"]) as other:
            size = (original.shape[1], original.shape[0])
            background = np.asarray(other.convert("RGB").rotate(180).resize(size), np.float32)
        foreground = multi_level(original, alpha).astype(np.float32)
        yield row["id"], (foreground, mixed(foreground, background, alpha), alpha)


def untouched(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the image's own colour."""
    return image


def multi_level(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Do what pymatting does: Germer et al., ICPR 2020."""
    from pymatting import estimate_foreground_ml

    return np.clip(np.rint(estimate_foreground_ml(image / 255, alpha) * 255), 0, 255).astype(np.uint8)


def blur_fusion(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blur twice, with radius 90 and 6: Forte, Approximate fast foreground colour estimation, ICIP 2021."""
    from scipy.ndimage import uniform_filter

    weight = alpha[..., np.newaxis]
    picture = image.astype(np.float32)
    foreground = background = picture
    for radius in (90, 6):
        size = (radius, radius, 1)
        share = uniform_filter(weight, size)
        mean = uniform_filter(foreground * weight, size) / (share + 1e-5)
        background = uniform_filter(background * (1 - weight), size) / (1 - share + 1e-5)
        foreground = np.clip(mean + weight * (picture - weight * mean - (1 - weight) * background), 0, 255)
    return np.rint(foreground).astype(np.uint8)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "none (the image's colour)": untouched,
    "blur-fusion, two passes": blur_fusion,
    "pymatting, multi-level": multi_level,
    "ours": estimate_foreground,
}


def peak_mb() -> float:
    """Return the most memory that this process has held, in MB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def measure(name: str, file: str) -> list[float]:
    """Return the errors of a method on a stored scene, in levels of 255, its CPU seconds, and its memory in MB."""
    method = METHODS[name]
    method(np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 0.5, np.float32))  # imports, and compiles
    with np.load(file) as scene:
        foreground, image, alpha = scene["foreground"], scene["image"], scene["alpha"]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_mb()
    started = time.process_time()
    estimate = method(image, alpha)
    seconds = time.process_time() - started
    memory = peak_mb() - before
    band = (alpha > 0.02) & (alpha < 0.98)
    error = np.abs(estimate[band] - foreground[band]).mean(axis=-1)
    visible = error * alpha[band]
    numbers = [error.mean(), np.percentile(error, 95), visible.mean(), np.percentile(visible, 95)]
    return [*map(float, numbers), fringe(estimate, image, alpha), seconds, memory]


def table(title: str, scenes: Iterator[tuple[str, Scene]]) -> None:
    """Measure all methods on some scenes; print the mean over these, and each scene by itself."""
    results: dict[str, dict[str, list[float]]] = {name: {} for name in METHODS}
    for scene, (foreground, image, alpha) in scenes:
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/scene.npz"
            np.savez(file, foreground=foreground.astype(np.float32), image=image, alpha=alpha)
            for name in METHODS:
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    results[name][scene] = pool.submit(measure, name, file).result()
    print(f"\n{title}\n\n| method | error | 95 % | visible error | 95 % | fringe | CPU s | MB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, of_scenes in results.items():
        a, b, c, d, left, seconds, memory = (statistics.mean(v) for v in zip(*of_scenes.values(), strict=True))
        print(f"| {name} | {a:.2f} | {b:.1f} | {c:.2f} | {d:.1f} | {left:.2f} | {seconds:.2f} | {memory:.0f} |")
    print(f"\n| visible error; CPU s | {' | '.join(results['ours'])} |")
    print("|---" + "|---:" * len(results["ours"]) + "|")
    for name, of_scenes in results.items():
        print(f"| {name} | {' | '.join(f'{v[2]:.2f}; {v[5]:.2f}' for v in of_scenes.values())} |", flush=True)


def sheet(file: Path, size: int = 200) -> None:
    """Draw edges at 1:1 over black, white and green: the image's colour, pymatting's, ours, and the true one."""
    places = {"hair": (0.36, 0.3), "defocus": (0.26, 0.4), "letters": (0.1, 0.1), "glass": (0.27, 0.45)}
    strips = []
    for kind, (x, y) in places.items():
        foreground, image, alpha = drawn(kind, 2)
        part = np.s_[int(y * len(alpha)) :, int(x * alpha.shape[1]) :]
        part = np.s_[part[0].start : part[0].start + size, part[1].start : part[1].start + size]
        colours = [image, multi_level(image, alpha), estimate_foreground(image, alpha), np.rint(foreground)]
        cutouts = [cut_out(colour.astype(np.uint8)[part], alpha[part]) for colour in colours]
        for behind in ((0, 0, 0), (255, 255, 255), (0, 255, 0)):
            strips.append(np.concatenate([over(cutout, behind) for cutout in cutouts], axis=1))
    rows = [np.concatenate(strips[first : first + 3], axis=1) for first in range(0, len(strips), 3)]
    Image.fromarray(np.concatenate(rows)).save(file)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[2, 12])
    parser.add_argument("--mattes", type=Path)
    parser.add_argument("--sheet", type=Path, help="draw a contact sheet of edges into this file")
    options = parser.parse_args()
    if options.sheet:
        sheet(options.sheet)
    if options.mattes:
        table("Measured mattes over other pictures", pasted(options.mattes))
    for megapixels in options.megapixels:
        table(f"Drawn, {megapixels:g} MP", ((kind, drawn(kind, megapixels)) for kind in KINDS))


if __name__ == "__main__":
    main()
