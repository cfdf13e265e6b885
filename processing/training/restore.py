"""Begin with a file that `export` wrote, such as the built-in model, when its checkpoint is not at hand.

The export folds each batch normalisation into the convolution before it, and drops what only training needs. Here the
weights go back into a network, and pictures tell its normalisations what they would have seen, without changing what
the network computes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from processing.errors import ModelError
from processing.training.data import Pair
from processing.training.network import WIDTHS, Network
from processing.training.step import normalise

ROW_LENGTH = 2.0  # see `settle`; 500 steps of the built-in model at full rate made it 2.3
PICTURES, SIDE = 64, 224  # that the normalisations see: as many and as large as in most of a training's steps


def restore(path: Path, pairs: Sequence[Pair]) -> Network:
    """Build the network of an exported file, ready to predict and to go on learning.

    Parameters
    ----------
    path : Path
        ONNX file that `export` wrote.
    pairs : sequence of Pair
        Some of their pictures, from all over, give the statistics of the batch normalisations.

    Raises
    ------
    ModelError
        If the file cannot be read or is of another network.
    """
    folded = _read(path)
    shapes = {name: tuple(weight.shape) for name, (weight, _) in folded.items()}
    network = next((made for made in map(Network, WIDTHS) if _shapes(made) == shapes), None)
    if network is None:
        raise ModelError(f"{path} is not a file that processing.training.export made of this network.")
    with torch.no_grad():
        for name, (weight, bias) in folded.items():
            layer = network.get_submodule(name)
            layer.weight.copy_(weight)
            if name == "head":
                layer.bias.copy_(bias)
                continue
            norm = network.get_submodule(name[:-1] + "1")  # of conv, norm, ReLU
            norm.running_var.fill_(1 - norm.eps)
            norm.bias.copy_(bias)
        for side in network.sides:  # not in the file; from zero they learn without disturbing what feeds them
            side.weight.zero_()
            side.bias.zero_()
    settle(network.eval(), pairs)
    return network


def settle(network: Network, pairs: Sequence[Pair]) -> None:
    """Set the statistics of all batch normalisations to those of some pictures, and undo what that changes.

    The weights that make one feature get one length, too. A normalisation takes any length away again, but how much one
    step of an optimiser changes depends on it.
    """
    blocks = [
        part for part in network.modules() if isinstance(part, nn.Sequential) and isinstance(part[1], nn.BatchNorm2d)
    ]
    moments: dict[nn.Module, list[Tensor]] = {part[0]: [] for part in blocks}

    def note(layer: nn.Module, _: Any, made: Tensor) -> None:
        moments[layer].append(torch.stack([made.mean((0, 2, 3)), made.square().mean((0, 2, 3))]))

    hooks = [part[0].register_forward_hook(note) for part in blocks]
    some = pairs[:: max(1, len(pairs) // PICTURES)]
    pictures = [cv2.resize(pair.decode()[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for pair in some]
    with torch.no_grad():
        for start in range(0, len(pictures), 16):
            network(normalise(torch.from_numpy(np.stack(pictures[start : start + 16]))))
        for hook in hooks:
            hook.remove()
        for convolution, norm, _ in blocks:
            mean, square = torch.stack(moments[convolution]).mean(0)
            spread = (square - mean**2).clamp_min(0)
            scale = ROW_LENGTH / convolution.weight.flatten(1).norm(dim=1).clamp_min(1e-6)
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            norm.bias.add_(gain * (mean - norm.running_mean))
            norm.weight.copy_(gain * (scale**2 * spread + norm.eps).sqrt() / scale)
            norm.running_mean.copy_(scale * mean)
            norm.running_var.copy_(scale**2 * spread)
            convolution.weight.mul_(scale[:, None, None, None])


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Give the shape of each convolution that a prediction needs."""
    return {
        name: tuple(part.weight.shape)
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and not name.startswith("sides.")
    }


def _read(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Read weight and bias of each convolution, under the name of its module."""
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's own errors share no other base
        raise ModelError(f"{path} cannot be read as an ONNX file: {error}") from error
    stored = {tensor.name: tensor for tensor in graph.initializer}
    behind_cast = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}

    def tensor(name: str) -> Tensor:
        values = numpy_helper.to_array(stored[behind_cast.get(name, name)])
        return torch.from_numpy(values.astype(np.float32))

    convolutions = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    try:
        return {_module(node.name): (tensor(node.input[1]), tensor(node.input[2])) for node in convolutions}
    except KeyError:  # weights that are no constants: some other network
        return {}


def _module(node: str) -> str:
    """Find a module's name in its node's: `/fall.0/down.1/down.1.0/Conv` is of `fall.0.down.1.0`.

    Of a network that looks twice, each module has two nodes, one of them with `_1` behind the module's name.
    """
    parts = [re.sub(r"_\d+$", "", part) for part in node.strip("/").split("/")[:-1]]
    kept = [part for part, after in zip(parts, [*parts[1:], ""], strict=True) if not after.startswith(part + ".")]
    return ".".join(kept)
