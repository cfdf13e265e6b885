"""The training loop: draw, predict, compare, step; now and then validate, write down and save.

Everything that the loop knows is in its checkpoint, so the same command run again goes on where the last run stopped.
"""

from __future__ import annotations

import csv
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, IterableDataset

from processing.errors import DatasetError
from processing.metrics import max_f_measure, mean_absolute_error, precision_recall
from processing.training.augment import Mixture, Samples, Variety
from processing.training.checkpoints import read_checkpoint
from processing.training.data import Decoded, Pair, Sampler, decode_all, make_folder
from processing.training.grow import grow
from processing.training.network import Network
from processing.training.optimisers import Optimisers
from processing.training.schedule import Schedule
from processing.training.step import Step, normalise

logger = logging.getLogger(__name__)

SAVE_EVERY_S = 300
SETTLE_EVERY = 20  # steps: to ask for a loss is to wait for the step
LOG_COLUMNS = ["samples", "size", "learning_rate_factor", "loss", "samples_per_second", "hours"]


@dataclass(frozen=True)
class Options:
    """How a run trains; see `python -m processing.training --help`."""

    schedule: Schedule
    mixture: Mixture
    weights: dict[str, float]
    variety: Variety = field(default_factory=Variety)
    width: str = "small"  # a key of WIDTHS
    batch: int = 24
    rate: float = 1.0  # factor on both learning rates
    lr: float = 2e-3
    muon_lr: float = 0.02
    average: float = 0.998  # of the exponential moving average of the weights, per step
    decisive: float = 0.0  # weight of the mean absolute error in the loss
    fixed_norms: bool = False  # keep the statistics that a run begins with
    hours: float = 24.0  # stop after so long, to go on another time
    seed: int = 0
    workers: int = 1
    device: str = "cpu"
    decoded: bool = False  # keep all pictures decoded in memory
    log_every: int = 2400  # samples
    validate_every: int = 25_000  # samples


class Batches(IterableDataset):
    """Endless batches of samples. `size` and `difficulty` are shared with the process that trains."""

    def __init__(
        self,
        pairs: Sequence[Pair | Decoded],
        backgrounds: list[bytes],
        options: Options,
        start: int,
        difficulty: Tensor,
    ) -> None:
        self.pairs, self.backgrounds, self.options, self.start = pairs, backgrounds, options, start
        self.size = torch.tensor(options.schedule.size(start)).share_memory_()
        self.difficulty = difficulty

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.options.seed, self.start, worker.id if worker else 0])
        sampler = Sampler([pair.source for pair in self.pairs], self.options.weights, self.difficulty.numpy())
        while True:
            samples = Samples(
                self.pairs, self.backgrounds, sampler, self.options.mixture, int(self.size), self.options.variety
            )
            drawn = [samples.draw(rng) for _ in range(self.options.batch)]
            pictures, alphas, indices = zip(*drawn, strict=True)
            yield torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(alphas)), torch.tensor(indices)


class Trainer:
    """Trains one network on pairs and validates it on others.

    Parameters
    ----------
    train, validation : list of Pair
        What to learn from, and what to choose the best weights by.
    backgrounds : list of bytes
        Encoded pictures without masks.
    out : Path
        Folder for `first.pt`, `last.pt`, `best.pt`, `log.csv` and `validation.csv`; a `last.pt` in it is gone on from.
    options : Options
        How to train.
    begin_with : Network, optional
        What a new run begins with, instead of random weights; it may be narrower.

    Raises
    ------
    DatasetError
        If there is nothing to draw, `out` cannot be made, or the run in it is of another network.
    ModelError
        If the checkpoint in `out` is damaged.
    """

    def __init__(
        self,
        train: list[Pair],
        validation: list[Pair],
        backgrounds: list[bytes],
        out: Path,
        options: Options,
        begin_with: Network | None = None,
    ) -> None:
        self.out, self.options, self.device = out, options, torch.device(options.device)
        # Each process that draws makes a sampler of its own: this one only refuses weights that fit no source.
        Sampler([pair.source for pair in train], options.weights, np.ones(len(train), np.float32))
        make_folder(out)
        torch.manual_seed(options.seed)
        network = Network(options.width)
        if begin_with is not None:
            grow(begin_with, network)
        network.fixed_norms = options.fixed_norms
        network = network.train().to(self.device, memory_format=torch.channels_last)
        self.network = network
        self.average = AveragedModel(network, use_buffers=True)
        self.optimisers = Optimisers(network, network.outer_layers(), lr=options.lr, muon_lr=options.muon_lr)
        self.step = Step(network, self.average, self.optimisers, options.average, options.decisive)
        self.seen, self.spent_s, self.best = 0, 0.0, float("inf")
        self._interrupted = False
        self._running: float | None = None
        self._unsettled: list[tuple[Tensor, Tensor]] = []  # losses and indices of the last steps
        self.difficulty = torch.ones(len(train))
        self.validation = validation
        if (out / "last.pt").exists():
            self._load(out / "last.pt")
        elif begin_with is not None:
            self._save("first.pt", 0.0)
        pairs = decode_all(train) if options.decoded else train
        self.batches = Batches(pairs, backgrounds, options, self.seen, self.difficulty.share_memory_())

    def run(self) -> bool:
        """Train until the schedule ends, the hours are over or somebody interrupts; then save.

        Returns
        -------
        bool
            Whether nobody interrupted.

        Raises
        ------
        DatasetError
            If a picture cannot be decoded.
        """
        plan, options = self.options.schedule, self.options
        started, saved, logged = time.monotonic(), time.monotonic(), (time.monotonic(), self.seen)
        restore = [(number, signal.signal(number, self._interrupt)) for number in (signal.SIGINT, signal.SIGTERM)]
        on_gpu = self.device.type == "cuda"
        if self.seen >= plan.samples:
            logger.info("all %d samples are done; give a larger --samples to go on", plan.samples)
        if not self.validation:
            logger.info("no pair is set aside, so best.pt will be the last weights; --validation sets more aside")
        try:
            if on_gpu:
                self._record()
            self.batches.size.fill_(plan.size(self.seen))
            loader = DataLoader(
                self.batches,
                None,
                num_workers=options.workers,
                prefetch_factor=6,
                worker_init_fn=_leave_interrupts,
                pin_memory=on_gpu,
            )
            stream = iter(loader)
            while self.seen < plan.samples and not self._interrupted:
                self.batches.size.fill_(plan.size(self.seen))
                self._step(*_next(stream))
                now = time.monotonic()
                before, self.seen = self.seen, self.seen + options.batch
                if self._passes(before, options.log_every):
                    self._settle()
                    speed = (self.seen - logged[1]) / (now - logged[0])
                    logged = (now, self.seen)
                    self._log(speed, self.spent_s + now - started)
                if self._passes(before, options.validate_every) or self.seen >= plan.samples:
                    self.validate()
                if now - saved > SAVE_EVERY_S or now - started > options.hours * 3600:
                    saved = now
                    self._save("last.pt", self.spent_s + now - started)
                    if now - started > options.hours * 3600:
                        break
        finally:
            self.spent_s += time.monotonic() - started
            for number, handler in restore:
                signal.signal(number, handler)
            self._save("last.pt", self.spent_s)
        if self._interrupted:
            logger.info("stopped at %d of %d samples; the same command goes on from there", self.seen, plan.samples)
        return not self._interrupted

    def _step(self, pictures: Tensor, alphas: Tensor, indices: Tensor) -> None:
        self.optimisers.set_factor(self.options.rate * self.options.schedule.factor(self.seen))
        self._unsettled.append((self.step(pictures, alphas), indices))
        if len(self._unsettled) == SETTLE_EVERY:
            self._settle()

    def _settle(self) -> None:
        """Learn from the losses of the last steps which pairs are hard, and how well it goes."""
        for losses, indices in self._unsettled:
            each = losses.float().cpu()
            known = indices >= 0  # pasted and rendered scenes are no pair's
            self.difficulty[indices[known]] += 0.5 * (each[known] - self.difficulty[indices[known]])
            loss = float(each.mean())
            self._running = loss if self._running is None else 0.98 * self._running + 0.02 * loss
        self._unsettled = []

    def _record(self) -> None:
        """Record a step of each size of the plan, at a rate of 0: the weights stay what they are."""
        self.optimisers.set_factor(0.0)
        for size in sorted({size for size, _ in self.options.schedule.stages}):
            self.batches.size.fill_(size)
            pictures, alphas, _ = next(iter(self.batches))
            self.step.record(pictures, alphas)

    def validate(self) -> None:
        """Measure the averaged weights on the validation pairs, at the size of the stage.

        In the last stage, whose size is the product's, the weights with the least mean absolute error, averaged over
        the sources, are kept as `best.pt`; without validation pairs the last ones.
        """
        plan = self.options.schedule
        size = plan.size(self.seen)
        is_last_stage = size == plan.stages[-1][0]
        if not self.validation:
            if is_last_stage:
                self._save("best.pt", self.spent_s)
            return
        figures = measure(self.average.module, self.validation, size, self.device)
        self.network.train()
        for source, (mae, max_f) in figures.items():
            row = {"samples": self.seen, "size": size, "source": source, "mae": f"{mae:.4f}", "max_f": f"{max_f:.4f}"}
            _append(self.out / "validation.csv", row)
        logger.info("%d samples, validation at %d px: %s", self.seen, size, _spoken(figures))
        score = float(np.mean([mae for mae, _ in figures.values()]))
        if is_last_stage and score <= self.best:
            self.best = score
            self._save("best.pt", self.spent_s)

    def _passes(self, before: int, every: int) -> bool:
        return before // every != self.seen // every

    def _interrupt(self, *_: Any) -> None:
        self._interrupted = True

    def _log(self, speed: float, spent_s: float) -> None:
        plan = self.options.schedule
        values = [
            self.seen,
            plan.size(self.seen),
            f"{plan.factor(self.seen):.3f}",
            f"{self._running:.4f}",
            f"{speed:.1f}",
            f"{spent_s / 3600:.3f}",
        ]
        _append(self.out / "log.csv", dict(zip(LOG_COLUMNS, values, strict=True)))
        logger.info(
            "%d of %d samples, %d px, loss %.3f, %.0f a second",
            self.seen,
            plan.samples,
            values[1],
            self._running,
            speed,
        )

    def _save(self, name: str, spent_s: float) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": self.optimisers.state_dict(),
            "difficulty": self.difficulty,
            "seen": self.seen,
            "spent_s": spent_s,
            "best": self.best,
            "validation": sorted(pair.id for pair in self.validation),
            "options": asdict(self.options),
        }
        torch.save(state, self.out / (name + ".part"))
        os.replace(self.out / (name + ".part"), self.out / name)

    def _load(self, path: Path) -> None:
        state = read_checkpoint(path, self.device)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimisers.load_state_dict(state["optimisers"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DatasetError(
                f"{path} is of another network or an older program than this one. Choose another --out, or move that "
                "folder away; --begin-with takes up the weights of an older program's run."
            ) from error
        if state["difficulty"].shape == self.difficulty.shape:  # else the data set has changed
            self.difficulty = state["difficulty"].cpu()
        self.seen, self.spent_s = state["seen"], state["spent_s"]
        if state.get("validation") == sorted(pair.id for pair in self.validation):  # else its error says nothing here
            self.best = state["best"]
        logger.info("going on from %s: %d samples, %.2f hours", path, self.seen, self.spent_s / 3600)


def measure(
    network: torch.nn.Module, pairs: list[Pair], size: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """Give the mean absolute error and the maximum F-measure for each source, at a size in pixels."""
    rows: dict[str, list] = {}
    network.eval()
    for start in range(0, len(pairs), 16):
        chunk = pairs[start : start + 16]
        decoded = [
            [cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in pair.decode()] for pair in chunk
        ]
        pictures = torch.from_numpy(np.stack([picture for picture, _ in decoded])).to(device)
        with torch.inference_mode():
            alphas = network(normalise(pictures))[:, 0].float().cpu().numpy()
        for pair, alpha, (_, mask) in zip(chunk, alphas, decoded, strict=True):
            truth = (mask > 127).astype(np.float32)
            rows.setdefault(pair.source, []).append(
                (mean_absolute_error(alpha, truth), *precision_recall(alpha, truth))
            )
    figures = {}
    for source in sorted(rows):
        maes, precisions, recalls = (np.array(column) for column in zip(*rows[source], strict=True))
        figures[source] = float(maes.mean()), float(max_f_measure(precisions, recalls))
    return figures


def _spoken(figures: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{source} MAE {mae:.4f} maxF {max_f:.3f}" for source, (mae, max_f) in figures.items())


def _next(stream: Iterator[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Give the next batch; what is wrong with a picture comes without the traceback of the process that drew it."""
    try:
        return next(stream)
    except DatasetError as error:
        raise DatasetError(
            str(error).strip().splitlines()[-1].removeprefix(f"{DatasetError.__module__}.DatasetError: ")
        ) from error


def _leave_interrupts(_worker: int) -> None:
    """Leave Ctrl+C and SIGTERM, which may come to all processes of a run, to the one that saves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _append(path: Path, row: dict[str, Any]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
