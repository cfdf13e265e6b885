"""Two optimisers that share one network.

The weights of the inner convolutions are matrices that turn one set of features into another. Muon (Jordan et al.,
2024) makes every direction of such a matrix's step equally long; the card has its figures beside AdamW's. Everything
else, the first and last layers, the norms and the biases, is left to AdamW.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Muon:
    """The step of `torch.optim.Muon`, for convolutions of equal shape together and with a rate that is a tensor.

    The network has 70 such weights of 36 shapes. One at a time they keep a GPU waiting for its next piece of work, and
    a rate that is a number cannot change inside a CUDA graph.

    Parameters
    ----------
    weights : list of Tensor
        Of convolutions, (O, I, k, k), channels last.
    lr : float
        Learning rate.
    weight_decay, momentum : float
        As in `torch.optim.Muon`.
    """

    COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration, as Jordan et al. chose them

    def __init__(self, weights: list[Tensor], lr: float, weight_decay: float = 0.01, momentum: float = 0.95) -> None:
        self.lr = torch.tensor(lr, device=weights[0].device)
        self.weight_decay, self.momentum = weight_decay, momentum
        self._groups: dict[torch.Size, list[Tensor]] = {}
        for weight in weights:
            self._groups.setdefault(weight.shape, []).append(weight)
        self.momenta = [
            torch.stack([torch.zeros_like(_as_matrix(w)) for w in group]) for group in self._groups.values()
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Step along the gradients of the weights."""
        for (shape, group), momentum in zip(self._groups.items(), self.momenta, strict=True):
            gradient = torch.stack([_as_matrix(weight.grad) for weight in group if weight.grad is not None])
            momentum.lerp_(gradient, 1 - self.momentum)
            rows, columns = momentum.shape[1:]
            update = _orthogonal(gradient.lerp(momentum, self.momentum), self.COEFFICIENTS)
            update = update * (self.lr * -math.sqrt(max(1.0, rows / columns)))
            outputs, inputs, height, width = shape
            steps = [matrix.reshape(outputs, height, width, inputs).permute(0, 3, 1, 2) for matrix in update]
            torch._foreach_mul_(group, 1 - self.lr * self.weight_decay)
            torch._foreach_add_(group, steps)


class Optimisers:
    """Steps Muon and AdamW together, at one schedule factor."""

    def __init__(self, network: nn.Module, outer: set[nn.Module], *, lr: float, muon_lr: float) -> None:
        inner = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m not in outer and m.groups == 1]
        chosen = {id(weight) for weight in inner}
        rest = [weight for weight in network.parameters() if id(weight) not in chosen]
        on_gpu = inner[0].device.type == "cuda"
        self._parameters = list(network.parameters())
        self._lr, self._muon_lr = lr, muon_lr
        self.muon = Muon(inner, muon_lr)
        self.adam = torch.optim.AdamW(
            rest, torch.tensor(lr, device=inner[0].device), weight_decay=0.0, capturable=on_gpu, foreach=on_gpu
        )

    def set_factor(self, factor: float) -> None:
        """Multiply both learning rates of the start by one factor."""
        self.muon.lr.fill_(self._muon_lr * factor)
        for group in self.adam.param_groups:
            group["lr"].fill_(self._lr * factor)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in self._parameters:
            weight.grad = None

    def step(self) -> None:
        """Step along the gradients of the network's weights."""
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict:
        """Give what a checkpoint keeps."""
        return {"muon": self.muon.momenta, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take up what a checkpoint kept."""
        for momentum, kept in zip(self.muon.momenta, state["muon"], strict=True):
            momentum.copy_(kept)
        self.adam.load_state_dict(state["adam"])


def _orthogonal(matrices: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """Bring all singular values of (N, rows, columns) near 1, by five Newton-Schulz iterations."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.transpose(1, 2) if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).float()


def _as_matrix(weight: Tensor) -> Tensor:
    """See a channels-last (O, I, k, k) weight as its (O, k*k*I) matrix."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)
