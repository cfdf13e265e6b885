"""Photos for the benchmarks: five real ones that scikit-image brings along, enlarged to a number of megapixels.

Enlarging alone would make them smoother than a camera does, and so too easy for PNG: noise of two levels is added, as a
camera at low ISO has.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from processing.images import decode

NAMES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
NOISE = 2.0


def write_photos(folder: Path, megapixels: float, count: int = len(NAMES)) -> list[Path]:
    """Write JPEG files of about that size and return their paths; those that are there already are kept."""
    import skimage

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        name = NAMES[number % len(NAMES)]
        path = folder / f"{Path(name).stem}-{number:02}-{megapixels:g}mp.jpg"
        if not path.exists():
            photo = decode((Path(skimage.__file__).parent / "data" / name).read_bytes())  # the rocket has a profile
            enlarge(Image.fromarray(photo.pixels), megapixels, seed=number).save(path, quality=92)
        paths.append(path)
    return paths


def enlarge(photo: Image.Image, megapixels: float, seed: int = 0) -> Image.Image:
    """Enlarge a photo to so many megapixels and add a camera's noise."""
    factor = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    size = round(photo.width * factor), round(photo.height * factor)
    pixels = np.asarray(photo.resize(size, Image.Resampling.BICUBIC), np.uint8)
    rng = np.random.default_rng(seed)
    noisy = np.empty_like(pixels)
    for top in range(0, len(pixels), 256):  # in bands: floats of 48 megapixels need 600 MB
        band = pixels[top : top + 256]
        noisy[top : top + 256] = np.clip(band + rng.normal(0, NOISE, band.shape), 0, 255)
    return Image.fromarray(noisy)
