"""One step: predict, compare, move the weights, and let their running average follow.

A step of this network is some thousand small pieces of work, and a GPU is done with each before Python has asked for
the next. So on a GPU the whole step is recorded once for each size of samples, as a CUDA graph, and then replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from processing.training import losses
from processing.training.network import Network
from processing.training.optimisers import Optimisers

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WARM_UP = 3  # steps before a recording, in which the libraries choose how to compute


@dataclass
class Recording:
    """A step of one size: what to fill in, what to replay, what comes out."""

    graph: torch.cuda.CUDAGraph
    pictures: Tensor
    alphas: Tensor
    losses: Tensor
    gradients: list[Tensor | None]  # the graph writes to them: they must live as long as it does


class Step:
    """Takes steps with one network.

    Parameters
    ----------
    network : Network
        What learns.
    average : AveragedModel
        Follows the network's weights and what its norms have seen.
    optimisers : Optimisers
        Move the network; set their factor before each step.
    rate : float
        How much of the average stays in each step, once enough steps are done.
    decisive : float
        Weight of the mean absolute error in the loss; see `losses.hybrid`.
    """

    def __init__(
        self, network: Network, average: AveragedModel, optimisers: Optimisers, rate: float, decisive: float = 0.0
    ) -> None:
        self.network, self.average, self.optimisers, self.rate = network, average, optimisers, rate
        self.decisive = decisive
        self.device = next(network.parameters()).device
        # A processor without AVX-512 is seven times as slow in bfloat16 as in float32 (AMD EPYC with AVX2, torch 2.13).
        self._halves = self.device.type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"
        self._recordings: dict[int, Recording] = {}

    def __call__(self, pictures: Tensor, alphas: Tensor) -> Tensor:
        """Learn from uint8 pictures (N, S, S, 3) and alphas (N, S, S); give their losses, (N,), without waiting."""
        recording = self._recordings.get(pictures.shape[1])
        if recording is None:
            return self._take(pictures.to(self.device), alphas.to(self.device))
        recording.pictures.copy_(pictures, non_blocking=True)
        recording.alphas.copy_(alphas, non_blocking=True)
        recording.graph.replay()
        return recording.losses.clone()

    def record(self, pictures: Tensor, alphas: Tensor) -> None:
        """Record the step for batches like this one, after taking some with it; only on a GPU."""
        pictures, alphas = pictures.to(self.device), alphas.to(self.device)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._take(pictures, alphas)
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        self.optimisers.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            each = self._take(pictures, alphas)
        gradients = [weight.grad for weight in self.network.parameters()]
        self._recordings[pictures.shape[1]] = Recording(graph, pictures, alphas, each, gradients)

    def _take(self, pictures: Tensor, alphas: Tensor) -> Tensor:
        truth = alphas[:, None].float() / 255
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._halves):
            outputs = self.network(normalise(pictures))
        loss = losses.total(outputs, truth, self.decisive)
        self.optimisers.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimisers.step()
        self._follow()
        return loss.detach()

    @torch.no_grad()
    def _follow(self) -> None:
        """Average over few steps at the start, where the weights still move far, and over 1 / (1 - rate) later."""
        count = self.average.n_averaged
        pace = 1 - ((count + 1) / (count + 10)).clamp(max=self.rate)
        averaged, current = (
            [value for value in network.state_dict().values() if value.is_floating_point()]
            for network in (self.average.module, self.network)
        )
        differences = torch._foreach_sub(current, averaged)
        torch._foreach_mul_(differences, pace)
        torch._foreach_add_(averaged, differences)
        count += 1


def normalise(pictures: Tensor) -> Tensor:
    """Turn uint8 (N, S, S, 3) into the network's input: float32 (N, 3, S, S), ImageNet mean and standard deviation."""
    mean, deviation = _statistics(pictures.device)
    values = (pictures.permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    return values.contiguous(memory_format=torch.channels_last)


@cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # they are kept, for training too
        mean, deviation = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
        return mean, deviation
