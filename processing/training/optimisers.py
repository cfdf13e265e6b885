"""Two optimisers that share one network.

The weights of the inner convolutions are matrices that turn one set of features into another. Muon (Jordan et al.,
2024) makes every direction of such a matrix's step equally long; the card has its figures beside AdamW's. Everything
else, the first and last layers, the norms and the biases, is left to AdamW.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Optimisers:
    """Steps Muon and AdamW together, at one schedule factor."""

    def __init__(self, network: nn.Module, outer: set[nn.Module], *, lr: float, muon_lr: float) -> None:
        inner = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m not in outer and m.groups == 1]
        chosen = {id(weight) for weight in inner}
        rest = [weight for weight in network.parameters() if id(weight) not in chosen]
        # Muon takes matrices. Each one is a view of its convolution's weight, so that a step on it moves the network.
        self._pairs = [(nn.Parameter(_as_matrix(weight.data)), weight) for weight in inner]
        self.muon = torch.optim.Muon([m for m, _ in self._pairs], lr=muon_lr, weight_decay=0.01, momentum=0.95)
        self.adam = torch.optim.AdamW(rest, lr, weight_decay=0.0)
        self._rates = [(group, group["lr"]) for group in self.muon.param_groups + self.adam.param_groups]

    def set_factor(self, factor: float) -> None:
        """Multiply both learning rates of the start by one factor."""
        for group, rate in self._rates:
            group["lr"] = rate * factor

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adam.zero_grad()
        for _, weight in self._pairs:
            weight.grad = None

    def step(self) -> None:
        """Step along the gradients of the network's weights."""
        for matrix, weight in self._pairs:
            matrix.grad = None if weight.grad is None else _as_matrix(weight.grad)
        self.muon.step()
        self.adam.step()

    def state_dict(self) -> dict:
        """Give what a checkpoint keeps."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take up what a checkpoint kept."""
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def _as_matrix(weight: Tensor) -> Tensor:
    """See a channels-last (O, I, k, k) weight as its (O, k*k*I) matrix, in the same memory."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], -1)
