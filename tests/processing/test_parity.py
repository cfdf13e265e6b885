"""Each family of rembg's models, run by us and by rembg: the same small network, textured photos, the same matte.

The networks are made here: the weights of the real ones are not at hand, and what is compared is what happens before
and after the network.
"""

from dataclasses import replace

import numpy as np
import pytest
from contracts import PLAIN
from images import SAMPLES, file_of
from PIL import Image

from processing.images import decode
from processing.models import find_model, load_catalogue
from processing.pipeline import run
from processing.recipe import Recipe
from processing.sessions import open_session
from processing.sessions.pool import SessionPool

#: A model for each way of processing.
FAMILIES = ("u2netp", "isnet-general-use", "isnet-anime", "birefnet-general-lite", "bria-rmbg")

#: On average over the pixels; we resize otherwise, and rembg rounds the matte to 8 bits before it enlarges it.
TOLERANCE = 1 / 255


def make_network(path, *, channels: int = 1, logits: bool = False) -> None:
    """Write a network that answers to edges and colours: a wide and a narrow convolution, random but the same."""
    from onnx import TensorProto, helper, numpy_helper, save

    generator = np.random.default_rng(7)
    first = generator.normal(0, 0.25, (8, 3, 9, 9)).astype(np.float32)
    second = generator.normal(0, 0.6, (channels, 8, 3, 3)).astype(np.float32)
    last = ["before"] if logits else ["after"]
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["wide"], pads=[4, 4, 4, 4]),
        helper.make_node("Tanh", ["wide"], ["bent"]),
        helper.make_node("AveragePool", ["bent"], ["smooth"], kernel_shape=[9, 9], pads=[4, 4, 4, 4]),
        helper.make_node("Conv", ["smooth", "second"], ["before"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["before"], ["after"]),
    ]
    graph = helper.make_graph(
        nodes if not logits else nodes[:-1],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, None, None])],
        [helper.make_tensor_value_info(last[0], TensorProto.FLOAT, [1, channels, None, None])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def prepared(rembg_home):
    """Return a function that puts a network in the place of a model's weights, for us and for rembg."""

    def put(name: str, **options):
        spec = find_model(name)
        for file in spec.files:
            make_network(rembg_home / "models" / name / file.name, logits=spec.activation == "sigmoid", **options)
        return replace(spec, sha256="", md5="", size_bytes=0, more_files=())

    return put


def photo_of(path) -> np.ndarray:
    """Return a sample photo that has a white pixel, so that both ways of scaling agree."""
    photo = decode(path.read_bytes()).pixels.copy()
    photo[0, 0] = 255
    return photo


def ours(photo: np.ndarray, spec, monkeypatch) -> np.ndarray:
    monkeypatch.setattr("processing.pipeline.find_model", lambda name: spec)
    return run(file_of(photo), Recipe(non_commercial=True, **PLAIN), pool=SessionPool()).alpha


def theirs(photo: np.ndarray, name: str) -> np.ndarray:
    import rembg

    mask = rembg.remove(Image.fromarray(photo), session=rembg.new_session(name), only_mask=True)
    return np.asarray(mask.convert("L"), np.float32) / 255


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", FAMILIES)
def test_family_gives_the_matte_of_rembg(prepared, monkeypatch, name, path):
    photo, spec = photo_of(path), prepared(name)
    expected = theirs(photo, name)
    assert expected.std() > 0.05  # there is something to compare
    assert np.abs(ours(photo, spec, monkeypatch) - expected).mean() <= TOLERANCE


def test_each_row_belongs_to_a_family_that_was_compared():
    def processing(name: str) -> tuple:
        spec = find_model(name)
        return spec.input_size, spec.mean, spec.std, spec.scale, spec.activation, spec.stretch

    rows = [spec for spec in load_catalogue().values() if spec.session and spec.runtime == "onnxruntime"]
    assert {processing(spec.name) for spec in rows} == {processing(name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_salient_gives_nothing_where_rembg_stretches_noise(prepared, monkeypatch, name):
    """On purpose: rembg makes a full matte of the faintest answer."""
    photo = photo_of(SAMPLES[0])
    spec = replace(prepared(name), empty_below=1.5)  # so that the small network's answer counts as faint
    assert theirs(photo, name).max() > 0.9
    assert ours(photo, spec, monkeypatch).max() == 0


def test_dark_photo_is_not_brightened_where_the_network_was_not_trained_so(prepared, monkeypatch):
    """On purpose: rembg divides by the brightest value of the photo, IS-Net and BiRefNet were trained with 255."""
    dark = photo_of(SAMPLES[0]) // 2
    spec = prepared("isnet-general-use")
    expected = theirs(dark, "isnet-general-use")
    assert np.abs(ours(dark, spec, monkeypatch) - expected).mean() > 4 * TOLERANCE
    assert np.abs(ours(dark, replace(spec, scale="max"), monkeypatch) - expected).mean() <= TOLERANCE


def test_dark_photo_is_brightened_as_u2net_was_trained(prepared, monkeypatch):
    dark = photo_of(SAMPLES[0]) // 2
    assert np.abs(ours(dark, prepared("u2netp"), monkeypatch) - theirs(dark, "u2netp")).mean() <= TOLERANCE


def test_clothes_are_the_union_of_rembgs_three_masks(prepared):
    photo, spec = photo_of(SAMPLES[0]), prepared("u2net_cloth_seg", channels=4)
    stacked = theirs(photo, "u2net_cloth_seg")  # one above the other
    parts = stacked.reshape(3, *photo.shape[:2])
    raw = open_session(spec).predict(photo)
    np.testing.assert_allclose(raw[0, 0], parts.max(axis=0), atol=1e-6)
    assert 0 < raw.mean() < 1


def make_sam(folder) -> None:
    """Write an encoder that hands the photo on, and a decoder that takes what is bright."""
    from onnx import TensorProto, helper, numpy_helper, save

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def write(name, nodes, inputs, outputs, constants=()):
        graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / name)

    folder.mkdir(parents=True, exist_ok=True)
    write(
        "sam_vit_b_01ec64.encoder.onnx",
        [
            helper.make_node("Transpose", ["input_image"], ["turned"], perm=[2, 0, 1]),
            helper.make_node("Unsqueeze", ["turned", "front"], ["image_embeddings"]),
        ],
        [value("input_image", None, None, 3)],
        [value("image_embeddings", 1, 3, None, None)],
        [numpy_helper.from_array(np.array([0]), "front")],
    )
    prompts = {
        "point_coords": (1, None, 2),
        "point_labels": (1, None),
        "mask_input": (1, 1, 256, 256),
        "has_mask_input": (1,),
        "orig_im_size": (2,),
    }
    write(
        "sam_vit_b_01ec64.decoder.onnx",
        [
            helper.make_node("ReduceMean", ["image_embeddings"], ["grey"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["grey", "middle"], ["masks"]),
            helper.make_node("Identity", ["has_mask_input"], ["iou_predictions"]),
            helper.make_node("Identity", ["mask_input"], ["low_res_masks"]),
        ],
        [value("image_embeddings", 1, 3, None, None), *(value(name, *shape) for name, shape in prompts.items())],
        [value("masks", 1, 1, None, None), value("iou_predictions", 1), value("low_res_masks", 1, 1, 256, 256)],
        [numpy_helper.from_array(np.float32(110), "middle")],
    )


def test_segment_anything_gives_the_mask_of_rembg(rembg_home):
    make_sam(rembg_home / "models" / "sam")
    spec = find_model("sam")
    bare = replace(spec, md5="", more_files=(replace(spec.more_files[0], md5=""),))
    photo = photo_of(SAMPLES[0])
    raw = open_session(bare).predict(photo)
    np.testing.assert_array_equal(raw[0, 0], theirs(photo, "sam"))
    assert 0.1 < raw.mean() < 0.9
