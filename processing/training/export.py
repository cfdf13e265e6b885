"""Turn a checkpoint into the file that the product runs: `python -m processing.training.export CHECKPOINT OUT.onnx`.

The weights are stored as float16, each behind a Cast node, so the file is half as large and still loads everywhere; a
runtime folds the casts away when it loads the file, and computes in float32.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from processing.errors import ModelError, ProcessingError
from processing.training.checkpoints import read_checkpoint
from processing.training.network import Network, TwoViews

SIDE = 320
SMALL = 256  # tensors of fewer values, such as biases, stay float32: halving them saves nothing


def export(
    checkpoint: Path,
    out: Path,
    blend: Path | None = None,
    share: float = 0.5,
    *,
    two_views: bool = False,
    sharpness: float = 1.0,
) -> str:
    """Write the averaged weights of a checkpoint as ONNX and give the file's sha256.

    With `blend`, an earlier checkpoint of the same run, the weights are a mean of both, to which it gives its `share`.
    What two ends of one run have in common is often better than either (Wortsman et al., Model soups, 2022).
    With `two_views` the file looks at each picture twice; see `network.TwoViews`. `sharpness` multiplies what goes into
    the sigmoid (temperature scaling; Guo et al., On calibration of modern neural networks, ICML 2017): above 1, what is
    probable becomes nearly sure, and a cut at one half stays where it is.

    The file's input is `image`, float32 (1, 3, 320, 320), and its output `alpha`, float32 (1, 1, 320, 320) in [0, 1].

    Raises
    ------
    ModelError
        If the checkpoint is not one of this network, there is no folder to write to, or the exported file does not
        compute what the network does.
    """
    if not out.parent.is_dir():
        raise ModelError(f"{out} cannot be written: there is no folder {out.parent}. Make it, or give another path.")
    network = load(checkpoint)
    if blend:
        mix(network, load(blend), share)
    sharpen(network, sharpness)
    fold(network)
    whole = TwoViews(network) if two_views else network
    picture = torch.rand(1, 3, SIDE, SIDE) * 4 - 2
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that traces writes fewer and older operators than its successor, and needs no further package.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes are meant to be constants
        torch.onnx.export(
            whole, (picture,), buffer, input_names=["image"], output_names=["alpha"], opset_version=17, dynamo=False
        )
    model = halve(simplify(buffer.getvalue()))
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    with torch.inference_mode():
        expected = whole(picture).numpy()
    _check(data, picture.numpy(), expected)
    out.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(checkpoint: Path) -> Network:
    """Build the network with the averaged weights of a checkpoint, ready to predict."""
    state = read_checkpoint(checkpoint)
    try:
        network = Network(state["options"].get("width", "small"))
        weights = {name[7:]: value for name, value in state["average"].items() if name.startswith("module.")}
        network.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{checkpoint} is not a checkpoint of this network, but of another one.") from error
    return network.eval()


def mix(network: Network, other: Network, share: float) -> None:
    """Move all weights of a network, and what its normalisations have seen, by a share (0 to 1) towards another's.

    Raises
    ------
    ModelError
        If the networks have different widths, or the share is none.
    """
    others = other.state_dict()
    if not 0 <= share <= 1:
        raise ModelError(f"The share of the earlier checkpoint must be from 0 to 1, not {share:g}.")
    for name, weight in network.state_dict().items():
        if others[name].shape != weight.shape:
            raise ModelError("Checkpoints of different widths cannot be blended; give two of one run.")
        if weight.is_floating_point():
            weight.lerp_(others[name], share)


def sharpen(network: Network, sharpness: float) -> None:
    """Multiply a network's logits by a positive factor.

    Raises
    ------
    ModelError
        If the factor is not a positive number.
    """
    if not 0 < sharpness < float("inf"):
        raise ModelError(f"The sharpness must be above 0, not {sharpness:g}; 1 leaves the network as it is.")
    with torch.no_grad():
        for values in network.head.parameters():
            values.mul_(sharpness)


def fold(network: Network) -> None:
    """Make each batch normalisation part of the convolution before it.

    The exporter does so too, but for each use of a convolution: a file with two views would hold all weights twice.
    """
    for part in network.modules():
        if isinstance(part, nn.Sequential) and isinstance(part[1], nn.BatchNorm2d):
            part[0], part[1] = fuse_conv_bn_eval(part[0], part[1]), nn.Identity()


def simplify(data: bytes) -> onnx.ModelProto:
    """Work out everything that does not depend on the picture, such as the sizes that features are enlarged to.

    onnxruntime's basic level does so and uses none but standard operators.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "simple.onnx")
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    standard = [entry for entry in model.opset_import if entry.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(standard)  # it names every operator set that it knows, used or not
    return model


def halve(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every large float32 tensor of a model as float16 behind a Cast node."""
    graph = model.graph
    kept, casts = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= SMALL:
            kept.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half"))
            casts.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
        else:
            kept.append(tensor)
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return model


def _check(data: bytes, picture: np.ndarray, expected: np.ndarray) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = float(np.abs(session.run(None, {"image": picture})[0] - expected).max())
    if not difference < 0.05:
        raise ModelError(f"The exported file differs from the network by up to {difference:.3f}; nothing was written.")


def parser() -> argparse.ArgumentParser:
    """Give the options of the command line."""
    made = argparse.ArgumentParser(prog="python -m processing.training.export", description=__doc__.split(":")[0])
    made.add_argument("checkpoint", type=Path)
    made.add_argument("out", type=Path)
    made.add_argument(
        "--blend", type=Path, metavar="CHECKPOINT", help="an earlier checkpoint of the same run to mix in"
    )
    made.add_argument("--share", type=float, default=0.5, help="how much of it, 0 to 1")
    made.add_argument(
        "--two-views", action="store_true", help="let it look at each picture twice: 1.8 times as long, a little better"
    )
    made.add_argument(
        "--sharpness",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="on what goes into the sigmoid; above 1, what is probable becomes nearly sure",
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    """Export one checkpoint and return the exit code."""
    given = parser().parse_args(arguments)
    try:
        digest = export(
            given.checkpoint,
            given.out,
            given.blend,
            given.share,
            two_views=given.two_views,
            sharpness=given.sharpness,
        )
    except ProcessingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: {given.out.stat().st_size:,} bytes, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
