"""Give a larger network what a smaller one has learnt.

New channels begin with random weights, and nothing that was there before listens to them yet: the larger network
computes exactly what the smaller one did, and goes on learning with more room (Chen et al., Net2Net, ICLR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from processing.errors import DatasetError
from processing.training.network import Network


def grow(small: Network, large: Network) -> None:
    """Copy the weights of `small` into `large`, so that both compute the same.

    Parameters
    ----------
    small, large : Network
        Of the same depths; no layer of `large` may be narrower. They may be equally wide.

    Raises
    ------
    DatasetError
        If a layer of `large` is narrower.
    """
    parts = dict(large.named_modules())
    with torch.no_grad():
        for name, old in small.named_modules():
            new = parts[name]
            if isinstance(old, nn.Conv2d) and isinstance(new, nn.Conv2d):
                if old.out_channels > new.out_channels or old.in_channels > new.in_channels:
                    raise DatasetError(f"{name} is narrower than in the network to begin with. Choose a wider one.")
                _copy(old, new, _inputs(name, small), _inputs(name, large))
            elif isinstance(old, nn.BatchNorm2d):
                for field in ("weight", "bias", "running_mean", "running_var"):
                    getattr(new, field)[: old.num_features] = getattr(old, field)


def _copy(old: nn.Conv2d, new: nn.Conv2d, old_inputs: Sequence[int], new_inputs: Sequence[int]) -> None:
    known = new.weight[: old.out_channels]
    known.zero_()
    old_start = new_start = 0
    for old_count, new_count in zip(old_inputs, new_inputs, strict=True):
        known[:, new_start : new_start + old_count] = old.weight[:, old_start : old_start + old_count]
        old_start, new_start = old_start + old_count, new_start + new_count
    if old.bias is not None and new.bias is not None:
        new.bias[: old.out_channels] = old.bias


def _inputs(name: str, network: Network) -> list[int]:
    """Return how many channels come from each of the features that are stacked before a convolution."""
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    if ".up." in name:  # what comes from below, and what was seen at the same scale
        return [layer.in_channels // 2] * 2
    if name.startswith("context.join"):  # the features, and each pooled context
        pooled = [part[0].out_channels for part in network.context.pooled]
        return [layer.in_channels - sum(pooled), *pooled]
    return [layer.in_channels]
