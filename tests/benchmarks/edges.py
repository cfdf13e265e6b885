"""How near refined mattes come to the true ones at the edge; prints Markdown tables.

    python tests/benchmarks/edges.py --mattes MATTES [--part report|tune] [--methods ours,coarse]

True mattes are made coarse, refined by each method, and compared in the unknown band: pixels within 1 % of the long
side of a soft or jumping true alpha. Photos are also given the matte that the built-in model makes of them. Figures are
medians over the images. `--mattes` is a folder with a `manifest.csv` (id, image, alpha): every other image of it was
used to choose parameters (`tune`), the rest reports. The drawn pictures of `tests/soft_edges.py` chose nothing but were
looked at while choosing.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))

from soft_edges import SCENES, coarsen, draw, sharpened_blur, shifted_noise

from processing import remove_background
from processing.foreground import estimate_foreground
from processing.metrics import boundary_f, gradient_error, sad
from processing.refinement import refine


def of_the_model(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Give the built-in model's own matte; what it takes for the subject need not be what the truth does."""
    return remove_background(image, refine="none", clean_colours=False).alpha


#: The coarse mattes, made of an image and its true matte.
INPUTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "320, reduced and enlarged": lambda image, truth: coarsen(truth, 320),
    "1024, reduced and enlarged": lambda image, truth: coarsen(truth, 1024),
    "320, blurred and sharpened": lambda image, truth: coarsen(truth, 320, sharpened_blur),
    "320, shifted and noised": lambda image, truth: coarsen(truth, 320, shifted_noise),
    "compact's own matte": of_the_model,
}
BAND = 0.01  # half width of the unknown band, in long sides


def closed_form(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Solve the closed form in the trimap that rembg makes with its default options."""
    import pymatting

    structure = np.ones((10, 10), bool)
    sure = ndimage.binary_erosion(alpha > 240 / 255, structure)
    empty = ndimage.binary_erosion(alpha < 10 / 255, structure, border_value=1)
    trimap = np.where(sure, 1.0, np.where(empty, 0.0, 0.5))
    if not sure.any() or not empty.any():
        return alpha
    return pymatting.estimate_alpha_cf(image / 255.0, trimap).astype(np.float32)


def guided(image: np.ndarray, alpha: np.ndarray, radius: int = 8, epsilon: float = 1e-4) -> np.ndarray:
    """Filter the matte with the photo's colours as guide.

    He, Sun and Tang. Guided image filtering. IEEE TPAMI, 2013; equations 14 to 16.
    """

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, (2 * radius + 1,) * 2 + (0,) * (values.ndim - 2), mode="nearest")

    guide = image.astype(np.float32) / 255
    middle, average = mean(guide), mean(alpha)
    spread = mean(guide[..., :, None] * guide[..., None, :])
    spread = spread - middle[..., :, None] * middle[..., None, :] + epsilon * np.eye(3, dtype=np.float32)
    together = mean(guide * alpha[..., None]) - middle * average[..., None]
    slope = np.linalg.solve(spread, together[..., None])[..., 0]
    offset = average - (slope * middle).sum(-1)
    return ((mean(slope) * guide).sum(-1) + mean(offset)).clip(0, 1).astype(np.float32)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "coarse": lambda image, alpha: alpha,
    "closed form": closed_form,
    "guided filter": guided,
    "ours": refine,
}


def unknown_band(truth: np.ndarray) -> np.ndarray:
    """Mark the pixels near a soft edge or a jump of the true matte."""
    jump = ndimage.maximum_filter(truth, 3) - ndimage.minimum_filter(truth, 3) > 0.5
    soft = (truth > 0.02) & (truth < 0.98)
    return ndimage.maximum_filter(soft | jump, 2 * round(BAND * max(truth.shape)) + 1)


def connectivity_error(alpha: np.ndarray, truth: np.ndarray, band: np.ndarray, step: float = 0.1) -> float:
    """Sum the differences of how well pixels hang together with what both mattes know, in thousands.

    Rhemann et al. A perceptually motivated online benchmark for image matting. CVPR, 2009; theta = 0.15.
    """
    level = np.full(alpha.shape, -1.0)
    for threshold in np.arange(step, 1 + step / 2, step):
        labels, count = ndimage.label((alpha >= threshold) & (truth >= threshold))
        sizes = np.bincount(labels.ravel())[1:]
        largest = labels == sizes.argmax() + 1 if count else np.zeros(alpha.shape, bool)
        level[(level == -1) & ~largest] = threshold - step
    level[level == -1] = 1

    def degree(matte: np.ndarray) -> np.ndarray:
        distance = matte - level
        return 1 - distance * (distance >= 0.15)

    return float(np.abs(degree(alpha) - degree(truth))[band].sum()) / 1000


def errors(alpha: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Measure one matte, in the unknown band except for the contour."""
    band = unknown_band(truth)
    seen = np.where(band, alpha, truth)
    difference = np.abs(alpha - truth)[band]
    return {
        "band error": float(difference.mean()),
        "MSE x1000": float((difference**2).mean()) * 1000,
        "SAD": sad(seen, truth),
        "gradient": gradient_error(seen, truth),
        "connectivity": connectivity_error(seen, truth, band),
        "boundary F": boundary_f(alpha, truth),
    }


def photographed(folder: Path, part: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give name, image and true matte of every other row of the manifest, in the order of the ids."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    for row in rows[part == "report" :: 2]:
        with Image.open(folder / row["image"]) as image, Image.open(folder / row["alpha"]) as alpha:
            yield row["id"], np.asarray(image.convert("RGB")), np.asarray(alpha.convert("L"), np.float32) / 255


def drawn() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give name, image and true matte of the pictures of 2 megapixels that are drawn here."""
    for name in SCENES:
        composite = draw(name)
        yield name, composite.image, composite.alpha


def measure(
    pictures: Iterator[tuple[str, np.ndarray, np.ndarray]], methods: list[str], inputs: list[str]
) -> list[dict]:
    """Run every method on every picture and input."""
    rows = []
    for name, image, truth in pictures:
        for given in inputs:
            coarse = INPUTS[given](image, truth)
            for method in methods:
                started = time.process_time()
                alpha = METHODS[method](image, coarse)
                seconds = time.process_time() - started
                rows.append(
                    {"picture": name, "input": given, "method": method, "CPU s": seconds} | errors(alpha, truth)
                )
        print(f"{name} done", file=sys.stderr, flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Print medians over the pictures, the change against the coarse matte, and the worst change."""
    names = ["band error", "MSE x1000", "SAD", "gradient", "connectivity", "boundary F", "CPU s"]
    lines = [
        f"| input | method | {' | '.join(names)} | change, median | worst |",
        "|---|---|" + "---:|" * (len(names) + 2),
    ]
    before = {(row["picture"], row["input"]): row["band error"] for row in rows if row["method"] == "coarse"}
    for given in dict.fromkeys(row["input"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            some = [row for row in rows if row["input"] == given and row["method"] == method]
            figures = [statistics.median(row[name] for row in some) for name in names]
            change = [row["band error"] / before[row["picture"], given] - 1 for row in some]
            worst = max(zip(change, [row["picture"] for row in some], strict=True))
            cells = " | ".join(f"{figure:.4f}" if figure < 1 else f"{figure:.2f}" for figure in figures)
            lines.append(
                f"| {given} | {method} | {cells} | {statistics.median(change):+.1%} | {worst[0]:+.1%} ({worst[1]}) |"
            )
    return "\n".join(lines)


def cut_by_rembg(image: np.ndarray, coarse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut out as rembg does with `alpha_matting=True` and its default options; return its colours and its alpha."""
    from rembg.bg import alpha_matting_cutout

    mask = Image.fromarray(np.rint(coarse * 255).astype(np.uint8))
    cutout = np.asarray(alpha_matting_cutout(Image.fromarray(image), mask, 240, 10, 10))
    return cutout[..., :3], cutout[..., 3] / np.float32(255)


def sheet(path: Path, height: int = 92, width: int = 270, gap: int = 4) -> None:
    """Save parts of drawn pictures at 1:1, each on black, white and green: coarse, rembg, ours, true.

    The coarse matte keeps the photo's colours; rembg's and ours have their own, the true one those of the true subject.
    """
    titles = ("coarse", "rembg, alpha matting", "ours", "true")
    page = Image.new("RGB", (4 * (width + gap) + gap, 9 * (height + gap) + 3 * gap + 20), (128, 128, 128))
    pen = ImageDraw.Draw(page)
    for column, title in enumerate(titles):
        pen.text((gap + column * (width + gap) + 2, 3), title, (255, 255, 255), font_size=14)
    down = 20
    # The seeds give fur and background colours that all three grounds show.
    for name, seed, top, left in (("hair", 0, 180, 480), ("fur", 2, 120, 420), ("rings", 0, 70, 130)):
        picture = draw(name, 720, 960, seed)
        coarse = coarsen(picture.alpha, 320, sharpened_blur)
        alpha = refine(picture.image, coarse)
        cuts = (
            (picture.image, coarse),
            cut_by_rembg(picture.image, coarse),
            (estimate_foreground(picture.image, alpha), alpha),
            (picture.foreground, picture.alpha),
        )
        part = slice(top, top + height), slice(left, left + width)
        for ground in ((0, 0, 0), (255, 255, 255), (0, 200, 0)):
            for column, (colours, matte) in enumerate(cuts):
                weight = matte[part][..., np.newaxis]
                seen = np.rint(weight * colours[part] + (1 - weight) * ground).astype(np.uint8)
                page.paste(Image.fromarray(seen), (gap + column * (width + gap), down))
            down += height + gap
        down += gap
    page.save(path, quality=80, method=6)


def large(method: str) -> dict[str, float]:
    """Measure CPU seconds and peak memory of one method on a drawn picture of 12 megapixels; run in its own process."""
    composite = draw("hair", 3000, 4000)
    image, coarse = composite.image, coarsen(composite.alpha, 320, sharpened_blur)
    METHODS[method](image[:480, :640].copy(), coarse[1200:1680, 1600:2240].copy())  # imports and loading
    with Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")  # the peak starts anew
    before = _memory("VmRSS")
    started = time.process_time()
    alpha = METHODS[method](image, coarse)
    seconds = time.process_time() - started
    return {"CPU s": seconds, "MB": _memory("VmHWM") - before, **errors(alpha, composite.alpha)}


def _memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split(";")[0])
    parser.add_argument("--mattes", type=Path, help="folder of photos with true mattes")
    parser.add_argument("--part", choices=("report", "tune"), default="report")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--json", type=Path, help="where every single figure is written")
    parser.add_argument("--skip-drawn", action="store_true")
    parser.add_argument("--large", help="one method at 12 megapixels, in this process")
    parser.add_argument("--sheet", type=Path, help="WebP file with parts at 1:1, and nothing else")
    given = parser.parse_args()
    if given.sheet:
        sheet(given.sheet)
        return
    if given.large:
        print(json.dumps(large(given.large)))
        return
    methods, every = given.methods.split(","), []
    for title, pictures, inputs in (
        ("photos", photographed(given.mattes, given.part) if given.mattes else None, list(INPUTS)),
        ("drawn", None if given.skip_drawn else drawn(), list(INPUTS)[:-1]),  # no photo, so nothing for a model
    ):
        if pictures:
            rows = measure(pictures, methods, inputs)
            every += rows
            print(f"\n{title}: {len({row['picture'] for row in rows})} pictures\n\n{table(rows)}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(every))
    print(
        "\n12 megapixels, drawn hair, blurred and sharpened\n\n| method | CPU s | MB more | band error | boundary F |"
    )
    print("|---|---:|---:|---:|---:|")
    for method in (name for name in methods if name != "closed form"):  # that one needs gigabytes and minutes
        command = [sys.executable, __file__, "--large", method]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        figures = f"{found['CPU s']:.2f} | {found['MB']:.0f} | {found['band error']:.4f} | {found['boundary F']:.3f}"
        print(f"| {method} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
