"""What PNG files cost in CPU time and bytes: `python tests/benchmarks/png.py [PHOTO ...]`; prints Markdown tables.

Photos are enlarged to 12 megapixels. Those that have fewer get a camera's noise too (normal, 2.5 of 255): enlarging
leaves them smoother than a camera does, and smooth pictures pack unlike photos. Each is cut out twice: by the built-in
model, and along a soft blob in the middle. Writers take turns, so that a busy machine disturbs them alike.

Without arguments: the dashboard's samples, and three test photos where `../shared/data/eval` has them.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from processing import png, remove_background
from processing.colour import srgb_profile
from processing.composite import cut_out
from processing.encoders import to_16_bit

ROUNDS = 5
MEGAPIXELS = 12
ROOT = Path(__file__).parents[2]
SAMPLES = [ROOT / "dashboard/samples" / name for name in ("astronaut.jpg", "cat.jpg", "cup.jpg")]
EVAL = ROOT.parent / "shared/data/eval"
MORE = [EVAL / name for name in ("ccp_0013.jpg", "davis_blackswan_00040.jpg", "ecssd_0348.jpg")]


def enlarged(path: Path) -> np.ndarray:
    """Return the photo at 12 megapixels, with noise if it had to grow."""
    with Image.open(path) as image:
        scale = (MEGAPIXELS * 1e6 / (image.width * image.height)) ** 0.5
        size = (round(image.width * scale), round(image.height * scale))
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    if scale <= 1:
        return pixels
    noise = np.random.default_rng(1).standard_normal(pixels.shape, np.float32) * 2.5
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def blob(height: int, width: int) -> np.ndarray:
    """Return a soft ellipse over about 30 % of the picture: an alpha matte."""
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    wave = 0.08 * np.sin(7 * np.arctan2(y, x))
    return np.clip((0.62 + wave - np.hypot(y, x)) / 0.04 + 0.5, 0, 1).astype(np.float32)


def pillow(**options: int) -> Callable[[np.ndarray], bytes]:
    """Return a function that encodes with Pillow."""

    def encode(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", icc_profile=srgb_profile(), **options)
        return file.getvalue()

    return encode


def ours(pixels: np.ndarray) -> bytes:
    """Encode as the project does."""
    return png.encode_png(pixels, icc_profile=srgb_profile())


def ours_without_isal(pixels: np.ndarray) -> bytes:
    """Encode as the project does where isal has no package."""
    found, png.codec = png.codec, lambda: png.zlib
    try:
        return ours(pixels)
    finally:
        png.codec = found


WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "Pillow": pillow(),
    "Pillow, level 1": pillow(compress_level=1),
    "ours": ours,
    "ours with zlib": ours_without_isal,
}


def measure(pixels: np.ndarray) -> dict[str, tuple[float, int]]:
    """Return the median CPU seconds and the bytes of each writer."""
    seconds: dict[str, list[float]] = {name: [] for name in WRITERS}
    size: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, encode in WRITERS.items():
            started = time.process_time()
            data = encode(pixels)
            seconds[name].append(time.process_time() - started)
            size[name] = len(data)
            with Image.open(io.BytesIO(data)) as image:
                if not np.array_equal(np.asarray(image), pixels):
                    raise SystemExit(f"{name} changed the pixels")
    return {name: (statistics.median(values), size[name]) for name, values in seconds.items()}


def row(title: str, pixels: np.ndarray) -> str:
    """Measure one picture and return its line of the table."""
    measured = measure(pixels)
    base_s, base_size = measured["Pillow"]
    cells = [f"{base_s:.2f} | {base_size / 1e6:.2f}"]
    for seconds, size in list(measured.values())[1:]:
        cells.append(f"{seconds:.3f} ({base_s / seconds:.1f}x) | {size / base_size:.3f}")
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    photos = [Path(name) for name in sys.argv[1:]] or [path for path in SAMPLES + MORE if path.exists()]
    print(
        f"{MEGAPIXELS} megapixels; CPU seconds, median of {ROUNDS} rounds in turns; sizes relative to Pillow's\n\n"
        "| picture (hidden part) | Pillow: s | MB | level 1: s | size | ours: s | size | ours with zlib: s | size |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for path in photos:
        photo = enlarged(path)
        alpha = remove_background(photo).alpha
        for way, matte in (("model", alpha), ("blob", blob(*alpha.shape))):
            cutout = cut_out(photo, matte)
            hidden = (cutout[..., 3] == 0).mean()
            print(row(f"{path.stem}, {way} ({hidden:.0%})", cutout), flush=True)
        if path == photos[0]:
            print(row(f"{path.stem}, opaque RGB", photo), flush=True)
            print(row(f"{path.stem}, mask", np.where(alpha > 0.5, np.uint8(255), np.uint8(0))), flush=True)
            print(row(f"{path.stem}, 16-bit matte", to_16_bit(alpha)), flush=True)


if __name__ == "__main__":
    main()
