import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from photos import SAMPLES
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e '.[training]'")
pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

import processing  # noqa: E402
from processing.errors import ModelError  # noqa: E402
from processing.training.data import Pair  # noqa: E402
from processing.training.network import TwoViews  # noqa: E402
from processing.training.restore import restore  # noqa: E402
from processing.training.step import normalise  # noqa: E402

COMPACT = Path(processing.__file__).parent / "models" / "weights" / "compact.onnx"


@pytest.fixture(scope="module")
def pairs():
    """The sample photos; their masks do not matter here."""
    found = []
    for path in sorted(SAMPLES.glob("*.jpg")):
        mask = io.BytesIO()
        with Image.open(path) as photo:
            Image.new("L", photo.size).save(mask, "PNG")
        found.append(Pair(path.stem, "samples", path.read_bytes(), mask.getvalue()))
    assert len(found) >= 3
    return found


@pytest.fixture(scope="module")
def network(pairs):
    return restore(COMPACT, pairs)


def picture_of(pair):
    with Image.open(io.BytesIO(pair.image)) as photo:
        return normalise(torch.from_numpy(np.array(photo.convert("RGB").resize((320, 320))))[None])


def test_the_built_in_model_computes_the_same_as_a_network(network, pairs):
    session = onnxruntime.InferenceSession(COMPACT, providers=["CPUExecutionProvider"])
    for pair in pairs:
        picture = picture_of(pair)
        with torch.inference_mode():
            alpha = TwoViews(network.eval())(picture).numpy()
        np.testing.assert_allclose(alpha, session.run(None, {"image": picture.numpy()})[0], atol=1e-4)
    assert network.width == "medium"


def test_it_is_the_same_in_training(network, pairs):
    """There a normalisation goes by the batch at hand: if what it knows did not fit, the first steps would undo all."""
    pictures = torch.cat([picture_of(pair) for pair in pairs])
    with torch.no_grad():
        expected = network.eval()(pictures)
        training, *sides = network.train()(pictures)
        network.eval()
    assert (training.sigmoid() - expected).abs().mean() < 0.05
    assert all(bool((side == 0).all()) for side in sides)


def test_all_of_it_learns(network, pairs):
    for output in network.train()(torch.cat([picture_of(pair) for pair in pairs])):
        output.square().mean().backward(retain_graph=True)
    network.eval()
    still = {name for name, weight in network.named_parameters() if weight.grad is None}
    network.zero_grad()
    assert not still


def test_files_of_something_else_are_refused(tmp_path, pairs):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="cannot be read as an ONNX file"):
        restore(tmp_path / "text.onnx", pairs)
    with pytest.raises(ModelError, match="cannot be read"):
        restore(tmp_path / "missing.onnx", pairs)
    picture, alpha = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("in", "out"))
    layers = [helper.make_node("Conv", ["in", "weight", "bias"], ["out"], name="/stem/stem.0/Conv")]
    other = onnx.helper.make_model(helper.make_graph(layers, "other", [picture], [alpha]))
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="is not a file that"):
        restore(tmp_path / "other.onnx", pairs)
