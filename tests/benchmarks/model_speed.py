"""CPU time of the built-in model beside a network of U2NETP's shape, one thread each, in turns.

    python tests/benchmarks/model_speed.py [MODEL.onnx ...]

U2NETP's weights are not needed for its speed: the network here has its layers (Qin et al., U2-Net, Pattern Recognition
2020, table of the small version) with random weights. Needs the extra: pip install -e '.[training]'.
"""

import io
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

ROUNDS = 25
BUILT_IN = Path(__file__).parents[2] / "processing/models/weights/compact.onnx"


def layer(inputs, outputs, dilation=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Block(nn.Module):
    """Residual U-block with 16 inner and 64 outer channels; `flat` dilates instead of shrinking."""

    def __init__(self, inputs, depth, flat=False):
        super().__init__()
        self.flat = flat
        self.enter = layer(inputs, 64)
        rates = [1, 2, 4, 8] if flat else [1] * (depth - 1) + [2]
        self.down = nn.ModuleList(layer(64 if k == 0 else 16, 16, rate) for k, rate in enumerate(rates))
        self.up = nn.ModuleList(layer(32, 64 if k == 0 else 16, rate) for k, rate in enumerate(rates[:-1]))

    def forward(self, x):
        entered = x = self.enter(x)
        seen = []
        for k, down in enumerate(self.down):
            if not self.flat and 0 < k < len(self.down) - 1:
                x = F.max_pool2d(x, 2, ceil_mode=True)
            x = down(x)
            seen.append(x)
        seen.pop()
        for up in reversed(self.up):
            same = seen.pop()
            if x.shape[-2:] != same.shape[-2:]:
                x = F.interpolate(x, size=same.shape[-2:], mode="bilinear")
            x = up(torch.cat([x, same], 1))
        return x + entered


class U2NetpShape(nn.Module):
    def __init__(self):
        super().__init__()
        depths = [7, 6, 5, 4]
        self.down = nn.ModuleList([Block(3 if k == 0 else 64, d) for k, d in enumerate(depths)])
        self.down.extend([Block(64, 4, flat=True), Block(64, 4, flat=True)])
        self.up = nn.ModuleList([*(Block(128, d) for d in depths), Block(128, 4, flat=True)])
        self.sides = nn.ModuleList(nn.Conv2d(64, 1, 3, padding=1) for _ in range(6))
        self.join = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        size, seen = x.shape[-2:], []
        for k, down in enumerate(self.down):
            x = down(x if k == 0 else F.max_pool2d(x, 2, ceil_mode=True))
            seen.append(x)
        sides = [self.sides[5](seen.pop())]
        for k in reversed(range(5)):
            same = seen.pop()
            x = self.up[k](torch.cat([F.interpolate(x, size=same.shape[-2:], mode="bilinear"), same], 1))
            sides.append(self.sides[k](x))
        return torch.sigmoid(self.join(torch.cat([F.interpolate(s, size=size, mode="bilinear") for s in sides], 1)))


def shape_of_u2netp():
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            U2NetpShape().eval(), (torch.zeros(1, 3, 320, 320),), buffer, input_names=["image"], dynamo=False
        )
    return buffer.getvalue()


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = [Path(name) for name in sys.argv[1:]] or [BUILT_IN]
    models = {"U2NETP's shape": shape_of_u2netp()} | {file.name: file.read_bytes() for file in files}
    sessions = {
        name: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        for name, data in models.items()
    }
    picture = np.random.default_rng(0).standard_normal((1, 3, 320, 320), np.float32)
    spent = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, {session.get_inputs()[0].name: picture})
            spent[name].append(time.process_time() - start)
    base = median(spent["U2NETP's shape"])
    print(
        f"CPU time at one thread, median of {ROUNDS}, 320 x 320\n\n"
        "| model | ms | of U2NETP's shape | bytes |\n|---|---|---|---|"
    )
    for name, times in spent.items():
        print(f"| {name} | {median(times) * 1000:.1f} | {median(times) / base:.3f} | {len(models[name]):,} |")


if __name__ == "__main__":
    main()
