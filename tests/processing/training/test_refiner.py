"""The refiner's samples are sound, and a tiny run of its training exports a network that runs."""

import numpy as np
import pytest
from PIL import Image
from soft_edges import draw

from processing.errors import DatasetError

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


@pytest.fixture
def mattes(tmp_path):
    """A folder with two drawn pictures, their alpha and a manifest."""
    for name in ("hair", "fur"):
        drawn = draw(name, 400, 300)
        Image.fromarray(drawn.image).save(tmp_path / f"{name}.png")
        Image.fromarray(np.rint(drawn.alpha * 255).astype(np.uint8)).save(tmp_path / f"{name}-alpha.png")
    rows = [f"{name},{name}.png,{name}-alpha.png" for name in ("hair", "fur")]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,image,alpha", *rows]))
    return tmp_path


def is_of(colours, some):
    """Tell whether most of some colours are nearly among certain colours, (N, 3) and (M, 3)."""
    nearest = np.abs(some.astype(int)[:, None] - colours[::97].astype(int)).sum(-1).min(1)
    return bool(np.median(nearest) < 12)


def test_parts_of_measured_photos_have_a_soft_edge_and_fit_their_matte(mattes, monkeypatch):
    monkeypatch.setattr(edges, "_MEASURED", 1.0)
    monkeypatch.setattr(edges, "camera", lambda rng, picture: picture)
    monkeypatch.setattr(edges, "light", lambda rng, picture: picture)
    (hair,) = refiner.read_measured(mattes, ["hair"])
    as_they_were = 0
    for seed in range(24):
        image, coarse, alpha = edges.sample(np.random.default_rng(seed), [], [hair])
        assert image.shape == (edges.SIDE, edges.SIDE, 3)
        assert image.dtype == np.uint8
        assert coarse.shape == alpha.shape == (edges.SIDE, edges.SIDE)
        assert ((alpha > 0.02) & (alpha < 0.98)).any()
        solid, empty = alpha > 0.999, alpha == 0
        if solid.any():  # the subject keeps its colours, whatever it stands before
            assert is_of(hair.image[hair.alpha == 1], image[solid])
        if empty.any():
            as_they_were += is_of(hair.image[hair.alpha == 0], image[empty])
    assert 4 < as_they_were < 20  # the others stand before another background


def test_ids_that_the_manifest_does_not_have_are_refused(mattes):
    assert len(refiner.read_measured(mattes)) == 2
    with pytest.raises(DatasetError, match="It has hair, fur"):
        refiner.read_measured(mattes, ["silk"])


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


def test_tiny_run_exports_a_network_that_runs(mattes, tmp_path):
    onnx = pytest.importorskip("onnx", reason="export needs the extra: pip install -e '.[training]'")
    out = tmp_path / "out"
    assert refiner.main(["--out", str(out), "--mattes", str(mattes), "--steps", "3", "--minutes", "2"]) == 0
    model = onnx.load(out / "refiner.onnx")
    assert {node.op_type for node in model.graph.node} <= WASM_OPERATORS
    assert (out / "refiner.onnx").stat().st_size < 300_000
