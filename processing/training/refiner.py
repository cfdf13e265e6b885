"""Train the network that mends the edges of a matte: `python -m processing.training.refiner --out runs/edges`.

    image and coarse matte (N, 4, h, w), in [0, 1], and where each colour lies between those around it (N, 6, h, w)
      |  2x2 pixels become channels
    h/2  16 ------------------------------ add, 2 convolutions -> trust, residual (N, 3, h, w)
      |                                      ^
    h/4  32 -------- add, 2 convolutions, 32
      |                ^
    h/8  48, two of its four convolutions dilated

A small U (Ronneberger et al., MICCAI 2015) that says how far to trust what the colours around say, and what must be
added besides; one that knows nothing trusts nothing. Its samples are made by `processing.training.edges`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from processing.errors import DatasetError, ModelError
from processing.training.data import read_pairs, read_pictures
from processing.training.edges import Measured, sample
from processing.training.export import halve, simplify
from processing.training.network import convolution, enlarge

logger = logging.getLogger(__name__)

WIDTHS = (16, 32, 48)  # channels at 1/2, 1/4 and 1/8 of the side
LEAK = 0.1  # slope of the loss where the sum leaves [0, 1]


def colour_lines(seen: Tensor) -> tuple[Tensor, Tensor]:
    """Say where each colour lies between the foreground's and the background's around it.

    Foreground and background colours are averages of pixels that the coarse matte is sure of, in a narrow and in a wide
    window, at a quarter of the size. Alpha is the place on the line between the two that is nearest to the pixel's
    colour (Levin, Lischinski and Weiss, IEEE TPAMI 2008, section 3, with both colours known).

    Parameters
    ----------
    seen : Tensor of float32, shape (N, 4, h, w)
        Red, green, blue and coarse alpha in [0, 1].

    Returns
    -------
    Tensor of float32, shape (N, 2, h, w)
        Alpha on the narrow and the wide window's line, in [-0.2, 1.2].
    Tensor of float32, shape (N, 4, h, w)
        For each window how far apart the two colours are, and how far the pixel is from the line.
    """
    colours, alpha = seen[:, :3], seen[:, 3:]
    weights = ((alpha - 0.8) * 5).clamp(0, 1), ((0.2 - alpha) * 5).clamp(0, 1)
    sums = [F.avg_pool2d(torch.cat([weight * colours, weight], 1), 4) for weight in weights]
    places, distances = [], []
    for reach in (3, 8):
        means = []
        for total in sums:
            near, far = (
                F.avg_pool2d(F.avg_pool2d(total, 2 * size + 1, 1, size), 2 * size + 1, 1, size) for size in (reach, 12)
            )
            together = near + 0.02 * far
            means.append(enlarge(together[:, :3] / (together[:, 3:] + 1e-6), colours.shape[-2:]))
        line, offset = means[0] - means[1], colours - means[1]
        length = (line * line).sum(1, keepdim=True)
        place = ((line * offset).sum(1, keepdim=True) / (length + 1e-3)).clamp(-0.2, 1.2)
        beside = offset - place * line
        places.append(place)
        distances += [(length + 1e-6).sqrt(), ((beside * beside).sum(1, keepdim=True) + 1e-6).sqrt()]
    return torch.cat(places, 1), torch.cat(distances, 1)


class Refiner(nn.Module):
    """Give what must be added to a coarse matte; see the module for its shape.

    Input: float32 (N, 4, h, w), red, green, blue and coarse alpha in [0, 1]; h and w are multiples of 8. Output:
    float32 (N, 1, h, w).
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        fine, middle, deep = widths
        self.fine = nn.Sequential(convolution(4 * 10, fine), convolution(fine, fine))
        self.middle = nn.Sequential(
            convolution(fine, middle, stride=2), convolution(middle, middle), convolution(middle, middle)
        )
        self.deep = nn.Sequential(
            convolution(middle, deep, stride=2),
            convolution(deep, deep),
            convolution(deep, deep, dilation=2),
            convolution(deep, deep, dilation=2),
        )
        self.to_middle, self.to_fine = convolution(deep, middle, 1), convolution(middle, fine, 1)
        self.rise = nn.Sequential(convolution(middle, middle), convolution(middle, middle))
        self.last = nn.Sequential(convolution(fine, fine), convolution(fine, fine))
        self.head = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -3)  # trust the coarse matte at first
        nn.init.zeros_(self.head.bias[:4])

    def forward(self, seen: Tensor) -> Tensor:
        """Predict; see the class."""
        with torch.no_grad():
            places, distances = colour_lines(seen)
        fine = self.fine(F.pixel_unshuffle(torch.cat([seen - 0.5, places - 0.5, distances], 1), 2))
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = self.rise(enlarge(self.to_middle(deep), middle.shape[-2:]) + middle)
        drawn = F.pixel_shuffle(self.head(self.last(enlarge(self.to_fine(middle), fine.shape[-2:]) + fine)), 2)
        trust = drawn[:, 1:].sigmoid()
        return drawn[:, :1] + (trust * (places - seen[:, 3:])).sum(1, keepdim=True)


class Samples(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless samples: float32 (4, S, S), image and coarse matte, and float32 (1, S, S), the true one."""

    def __init__(self, photos: list[bytes], measured: list[Measured], seed: int) -> None:
        self.photos, self.measured, self.seed = photos, measured, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            image, coarse, alpha = sample(rng, self.photos, self.measured)
            if 0.002 < alpha.mean() < 0.998:  # a sample without an edge teaches little
                seen = np.concatenate([image.transpose(2, 0, 1).astype(np.float32) / 255, coarse[None]])
                yield torch.from_numpy(seen), torch.from_numpy(alpha[None].copy())


@dataclass(frozen=True)
class Options:
    """The options of a training run: steps and seconds at most, samples in a batch, and the highest learning rate."""

    steps: int = 8000
    seconds: float = 1500
    batch: int = 8
    rate: float = 3e-3
    seed: int = 0


def distance(refined: Tensor, alpha: Tensor) -> Tensor:
    """Mean absolute errors of the matte and of its slopes, near the edge counted four times as much."""
    kept = refined.clamp(0, 1)
    kept = kept + LEAK * (refined - kept)
    error = kept - alpha
    soft = ((alpha > 0.01) & (alpha < 0.99)).float()
    weight = 1 + 3 * F.max_pool2d(soft, 15, 1, 7)
    slopes = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return (weight * error.abs()).mean() + 0.5 * slopes


def train(
    photos: list[bytes], options: Options, begin_with: Path | None = None, measured: Sequence[Measured] = ()
) -> Refiner:
    """Train a refiner until its steps or its time are used up, and give the running average of its weights.

    It begins with the weights of an earlier run where their file is given.
    """
    torch.manual_seed(options.seed)
    network = Refiner()
    if begin_with:
        network.load_state_dict(torch.load(begin_with))
    network.to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimiser = torch.optim.AdamW(network.parameters(), options.rate, weight_decay=1e-3)
    samples = Samples(photos, list(measured), options.seed)
    batches = iter(DataLoader(samples, options.batch, num_workers=2, prefetch_factor=8))
    started, running = time.monotonic(), 0.0
    for step in range(options.steps):
        spent = max(step / options.steps, (time.monotonic() - started) / options.seconds)
        if spent >= 1:
            break
        for group in optimiser.param_groups:  # a short warm-up, then half a cosine down to nothing
            group["lr"] = options.rate * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * spent))
        seen, alpha = next(batches)
        seen = seen.contiguous(memory_format=torch.channels_last)
        loss = distance(seen[:, 3:] + network(seen), alpha)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
        running += (loss.item() - running) * max(0.01, 1 / (step + 1))
        if step % 100 == 99:
            logger.info("step %d, %.0f %% of the run, loss %.4f", step + 1, 100 * spent, running)
    refiner = average.module
    assert isinstance(refiner, Refiner)
    return refiner.eval()


def read_measured(folder: Path, ids: Sequence[str] | None = None) -> list[Measured]:
    """Read photos and their alpha: those that a folder's manifest names, or of those the ones with certain ids.

    Raises
    ------
    DatasetError
        If there is no such manifest, or it names none of the ids.
    """
    pairs = read_pairs(folder, "alpha")
    wanted = [pair for pair in pairs if ids is None or pair.id in ids]
    if not wanted:
        names = ", ".join(pair.id for pair in pairs)
        raise DatasetError(f"{folder / 'manifest.csv'} has no row of the ids that --only names. It has {names}.")
    return [Measured.of(*pair.decode()) for pair in wanted]


def export(refiner: Refiner, out: Path) -> str:
    """Write the network as ONNX, weights in half precision, and give the file's sha256.

    Input `seen`, float32 (N, 4, h, w); output `residual`, float32 (N, 1, h, w); N, h and w are free, h and w multiples
    of 8.

    Raises
    ------
    ModelError
        If the exported file does not compute what the network does.
    """
    seen, buffer = torch.rand(2, 4, 64, 96), io.BytesIO()
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("seen", "residual")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            refiner, (seen,), buffer, input_names=["seen"], output_names=["residual"], dynamic_axes=axes,
            opset_version=17, dynamo=False,
        )  # fmt: skip
    model = halve(simplify(buffer.getvalue()))
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    import onnxruntime

    with torch.inference_mode():
        expected = refiner(seen).numpy()
    found = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"seen": seen.numpy()})[0]
    if not np.abs(found - expected).max() < 0.02:
        raise ModelError(
            f"The exported file differs by up to {np.abs(found - expected).max():.3f}; nothing was written."
        )
    out.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(prog="python -m processing.training.refiner", description=__doc__.split(":")[0])
    add = made.add_argument
    add("--photos", type=Path, nargs="*", default=[], help="folders or zip files of pictures for the composites")
    add("--mattes", type=Path, help="folder with photos, their alpha, and a manifest.csv (id, image, alpha)")
    add("--only", nargs="+", metavar="ID", help="rows of that manifest; otherwise all")
    add("--out", type=Path, required=True, help="where the ONNX file and the checkpoint go")
    add("--steps", type=int, default=Options.steps, help="steps at most")
    add("--minutes", type=float, default=Options.seconds / 60, help="minutes at most")
    add("--begin-with", type=Path, help="refiner.pt of an earlier run, to go on with")
    add("--seed", type=int, default=0, help="another one draws other samples")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Train, export, and return the exit code."""
    given = parser().parse_args(arguments)
    torch.set_num_threads(1)  # layers so small cost ten times as much with two threads that wait for each other
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        photos = [data for path in given.photos for data in read_pictures(path).values()]
        measured = read_measured(given.mattes, given.only) if given.mattes else []
        options = Options(given.steps, 60 * given.minutes, seed=given.seed)
        refiner = train(photos, options, given.begin_with, measured)
        given.out.mkdir(parents=True, exist_ok=True)
        torch.save(refiner.state_dict(), given.out / "refiner.pt")
        digest = export(refiner, given.out / "refiner.onnx")
    except (DatasetError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out / 'refiner.onnx'}: {(given.out / 'refiner.onnx').stat().st_size:,} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
