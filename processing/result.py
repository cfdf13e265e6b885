"""What a run gives back: the cutout, every value on the way to it, and how long each step took."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from processing.bands import Tick, ignore
from processing.encoders import EncodedImage, encode, encode_preview, format_of
from processing.files import write_atomically
from processing.images import SourceImage
from processing.matte import AlphaMatte
from processing.metadata import kept_exif
from processing.models import ModelSpec
from processing.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Result:
    """A cutout, with every intermediate and timing of the run that made it.

    Parameters
    ----------
    source : SourceImage
        The decoded photo.
    tensor : ndarray of float32, shape (1, 3, S, S), or None
        Model input; None in a result that was loaded from the artifacts folder.
    raw : ndarray of float32, shape (1, 1, h, w), or None
        Model output; None likewise.
    coarse : AlphaMatte or None
        The model's matte, before refinement and clean-up; None in a result that was stored without it.
    matte : AlphaMatte, or ndarray of float32, shape (H, W)
        Alpha matte in [0, 1], 0 is background; the size of the photo.
    pixels : ndarray of uint8, shape (H, W, 4)
        Cutout, straight alpha.
    subject_found : bool
        False when the model saw nothing that stands out; the matte is then 0 everywhere.
    model : ModelSpec
        The model that ran.
    provider : str
        The onnxruntime provider that really ran it.
    recipe : Recipe
        The options of the run.
    timings_s : dict of str to float
        Seconds of each step.
    """

    source: SourceImage
    tensor: np.ndarray | None
    raw: np.ndarray | None
    coarse: AlphaMatte | None
    matte: AlphaMatte | np.ndarray
    pixels: np.ndarray
    subject_found: bool
    model: ModelSpec
    provider: str
    recipe: Recipe
    timings_s: dict[str, float]

    @property
    def alpha(self) -> np.ndarray:
        """The alpha matte as an array of float32, shape (H, W), in [0, 1]; 0 is background."""
        return np.asarray(self.matte)

    @cached_property
    def cutout(self) -> Image.Image:
        """The cutout as a Pillow image: RGBA, straight alpha, the size of the photo."""
        return Image.fromarray(self.pixels)

    def encode(self, tick: Tick = ignore, **options: Any) -> EncodedImage:
        """Encode the cutout; each option is the recipe's unless given, such as ``background="white"``.

        For `tick` see `processing.bands`.

        Raises
        ------
        EncodingError, RecipeError
            See `processing.encoders.encode`.
        """
        recipe = Recipe.from_options({**self.recipe.as_dict(), **options})
        return encode(
            self.pixels,
            recipe.format,
            recipe.background,
            alpha=self.matte,
            quality=recipe.quality,
            lossless=recipe.lossless,
            long_side=recipe.long_side,
            exif=self.exif(recipe),
            tick=tick,
        )

    def exif(self, recipe: Recipe) -> bytes:
        """Return the EXIF block that a recipe wants in the file; empty if it wants none."""
        return kept_exif(self.source.data, keep_location=recipe.keep_location) if recipe.keep_metadata else b""

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the cutout to a file; an existing file is replaced only by a whole one.

        The suffix gives the format, unless the recipe's or a given `format` has that suffix too; other options are the
        recipe's unless given.

        Raises
        ------
        EncodingError
            If the suffix is not that of a known format.
        StoreError
            If the file cannot be written.
        """
        path = Path(path)
        options.setdefault("format", format_of(path, self.recipe.format))
        write_atomically(path, self.encode(**options).data)
        return path

    def _repr_html_(self) -> str:
        """Show before and after in a notebook cell."""
        before = _data_url(encode_preview(self.source.visible, long_side=480))
        after = _data_url(encode_preview(self.pixels, long_side=480))
        checker = "repeating-conic-gradient(#c8c8c8 0 25%, #fff 0 50%) 0 0 / 20px 20px"
        figure = (
            "<figure style='margin:0'>"
            "<img src='{url}' alt='{alt}' style='max-width:100%;height:auto;background:{fill}'>"
            "<figcaption>{caption}</figcaption></figure>"
        )
        height, width = self.source.size
        note = "" if self.subject_found else "<p>No clear subject was found in this photo; the cutout is empty.</p>"
        return (
            "<div style='display:flex;flex-wrap:wrap;gap:16px'>"
            + figure.format(
                url=before, alt="Before", fill=checker, caption=f"{escape(self.source.name)}, {width} x {height}"
            )
            + figure.format(
                url=after, alt="After", fill=checker, caption=f"{escape(self.model.title)} on {self.provider}"
            )
            + f"</div>{note}"
        )


def _data_url(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")
