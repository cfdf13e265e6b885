"""The refiner's samples are sound, and a tiny run of its training exports a network that runs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e '.[training]'")
pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.training import edges, refiner  # noqa: E402

# Operators that onnxruntime-web runs in WebAssembly.
WASM_OPERATORS = {
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "DepthToSpace", "Div", "Gather", "Mul", "ReduceSum", "Relu",
    "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


def test_samples_are_in_range_and_repeat_with_their_seed():
    for seed in range(12):
        image, coarse, alpha = edges.sample(np.random.default_rng(seed), [])
        assert image.shape == (edges.SIDE, edges.SIDE, 3)
        assert image.dtype == np.uint8
        for matte in (coarse, alpha):
            assert matte.shape == (edges.SIDE, edges.SIDE)
            assert 0 <= matte.min() <= matte.max() <= 1
        again = edges.sample(np.random.default_rng(seed), [])
        np.testing.assert_array_equal(image, again[0])


def test_untrained_network_changes_little_at_a_clear_edge():
    seen = torch.zeros(1, 4, 64, 64)
    seen[:, :, :, 32:] = 1
    with torch.inference_mode():
        network = refiner.Refiner().eval()
        torch.nn.init.zeros_(network.head.weight)
        assert network(seen).abs().max() < 0.05


def test_colour_lines_find_the_share_of_two_known_colours():
    truth = torch.linspace(0, 1, 64).expand(64, 64)
    seen = torch.stack([0.2 + 0.6 * truth, 0.9 - 0.5 * truth, 0.5 + 0 * truth, (truth > 0.5).float()])[None]
    places, _ = refiner.colour_lines(seen)
    middle = places[0, 0, 32]
    assert middle[8] < 0.4
    assert middle[56] > 0.6
    assert (middle.diff() >= -0.05).all()


def test_leak_teaches_values_beyond_the_range_to_come_back():
    refined = torch.full((1, 1, 16, 16), 1.5, requires_grad=True)
    refiner.distance(refined, torch.ones(1, 1, 16, 16)).backward()
    assert (refined.grad > 0).all()


def test_tiny_run_exports_a_network_that_runs(tmp_path):
    onnx = pytest.importorskip("onnx", reason="export needs the extra: pip install -e '.[training]'")
    assert refiner.main(["--out", str(tmp_path), "--steps", "3", "--minutes", "2"]) == 0
    model = onnx.load(tmp_path / "refiner.onnx")
    assert {node.op_type for node in model.graph.node} <= WASM_OPERATORS
    assert (tmp_path / "refiner.onnx").stat().st_size < 300_000
