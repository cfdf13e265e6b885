"""Train the built-in model on a data set: `python -m processing.training --data DIR --out DIR`."""

from __future__ import annotations

import argparse
import ctypes
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from processing.errors import DatasetError, ProcessingError
from processing.training.augment import Mixture, Variety
from processing.training.data import Pair, read_pairs, read_pictures, split
from processing.training.export import load
from processing.training.loop import Options, Trainer
from processing.training.network import WIDTHS, Network
from processing.training.restore import restore
from processing.training.schedule import Schedule

INTERRUPTED = 130  # as a shell says it


def main(arguments: list[str] | None = None) -> int:
    """Train as the command line says and return the exit code."""
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        return 0 if train(given) else INTERRUPTED
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def train(given: argparse.Namespace) -> bool:
    """Read the data, run one trainer, and tell whether nobody interrupted it."""
    if given.fixed_norms and not given.begin_with:
        raise DatasetError(
            "--fixed-norms keeps the statistics that trained weights come with, and new ones have none. Name a "
            "checkpoint or an ONNX file with --begin-with, or leave --fixed-norms away."
        )
    if not sum(given.mixture):
        raise DatasetError("--mixture is 0 0 0 0, so there is no scene to draw. Give one of the four a share above 0.")
    _keep_freed_memory()
    pairs = [pair for path in given.data for pair in read_pairs(path)]
    backgrounds = [data for path in given.backgrounds for data in read_pictures(path).values()]
    learn, validate = split(pairs, given.validation)
    if not learn:
        raise DatasetError(
            f"All {len(pairs)} pairs are set aside by --validation {given.validation:g}. Give a smaller share."
        )
    begin_with = _read_network(given.begin_with, learn) if given.begin_with else None
    options = Options(
        schedule=Schedule(given.samples, Schedule.parse_stages(given.stages), given.decay),
        mixture=Mixture(*given.mixture),
        weights=dict(given.weights),
        variety=Variety(*given.variety),
        width=given.width or (begin_with.width if begin_with else "small"),
        batch=given.batch,
        rate=given.rate,
        decisive=given.decisive,
        fixed_norms=given.fixed_norms,
        hours=given.hours,
        seed=given.seed,
        workers=given.workers,
        device=given.device,
        decoded=given.decoded,
        log_every=given.log_every,
        validate_every=given.validate_every,
    )
    return Trainer(learn, validate, backgrounds, given.out, options, begin_with).run()


def _keep_freed_memory() -> None:
    """Let the C library keep what tensors free, instead of giving it back.

    Asking the system for it in every step took a third of the time: on 2 cores, 4.7 s instead of 3.1 s for a batch of
    32 at 224 pixels.
    """
    if sys.platform == "linux":
        set_option = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)  # glibc has it, musl has not
        trim_threshold, top_pad, mmap_threshold = -1, -2, -3
        for option, size in ((mmap_threshold, 2**30), (trim_threshold, 2**31 - 1), (top_pad, 2**28)):
            set_option(option, size)


def _read_network(path: Path, pairs: list[Pair]) -> Network:
    return restore(path, pairs) if path.suffix == ".onnx" else load(path)


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser("python -m processing.training", description=__doc__)
    add = made.add_argument
    add("--data", type=Path, nargs="+", required=True, help="folders or zip files with a manifest.csv")
    add("--backgrounds", type=Path, nargs="*", default=[], help="folders or zip files of pictures without masks")
    add("--out", type=Path, required=True, help="folder for checkpoints and logs; a run in it is gone on with")
    add("--width", choices=WIDTHS, help="how many channels the network has: as what it begins with, else small")
    add("--begin-with", type=Path, metavar="FILE",
        help="checkpoint, or ONNX file such as the built-in model's, of a network as wide or narrower")  # fmt: skip
    add("--samples", type=_whole(1), default=300_000, help="length of the whole run")
    add("--stages", default="160:0.6,224:0.27,320:0.13", help="pixels:share of the samples, in their order")
    add("--rate", type=float, default=1.0, metavar="FACTOR",
        help="on the learning rates; less than 1 keeps more of what a run begins with")  # fmt: skip
    add("--decisive", type=float, default=0.0, metavar="WEIGHT",
        help="of the mean absolute error in the loss; late in training, it decides doubtful parts")  # fmt: skip
    add("--fixed-norms", action="store_true",
        help="keep the statistics of the norms that a run begins with: blended weights need theirs")  # fmt: skip
    add("--decay", type=float, default=0.4, help="share of the run over which the learning rate falls")
    add("--mixture", type=_share, nargs=4, default=[0.66, 0.2, 0.08, 0.06], metavar="SHARE",
        help="shares of real, pasted, rendered and empty scenes")  # fmt: skip
    add("--variety", type=_share, nargs=2, default=[0.8, 1.0], metavar="SHARE",
        help="shares of samples that show another view than the whole picture, and whose light is changed")  # fmt: skip
    add("--weights", type=_weight, nargs="*", default=[], metavar="SOURCE=WEIGHT",
        help="how often each source comes up; without it, the square root of its size")  # fmt: skip
    add("--validation", type=_share, default=0.06, help="share of the pairs that choose the best weights")
    add("--batch", type=_whole(2), default=24)
    add("--hours", type=float, default=24.0, help="stop after so long; the same command goes on another time")
    add("--seed", type=int, default=0)
    add("--workers", type=_whole(1), default=1, help="processes that draw samples")
    add("--log-every", type=_whole(1), default=2400, metavar="SAMPLES")
    add("--validate-every", type=_whole(1), default=25_000, metavar="SAMPLES")
    add("--device", type=_device, default="cpu", help="cpu or cuda")
    add("--decoded", action="store_true",
        help="keep all pictures decoded in memory, 0.3 MB each at 320 x 240: a GPU uses many a second")  # fmt: skip
    return made


def _weight(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


def _whole(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least} on, not {text}")
        return int(text)

    return number


def _device(text: str) -> str:
    if text.partition(":")[0] not in ("cpu", "cuda"):
        raise argparse.ArgumentTypeError(f"cpu or cuda, not {text}")
    if text != "cpu" and not torch.cuda.is_available():
        raise argparse.ArgumentTypeError("this torch finds no NVIDIA GPU; cpu trains on the processor")
    return text


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"a share lies from 0 to 1, not {text}")
    return share


if __name__ == "__main__":
    sys.exit(main())
