"""A model of the user's own: an ONNX file, or a table that describes one."""

import hashlib
import os

import numpy as np
import pytest
from images import ball, file_of

from processing import remove_background
from processing.errors import ModelError
from processing.models import find_model, load_catalogue
from processing.models.own import read_own


def write_network(path, *, output="sigmoid", shape=(1, 3, 32, 32), kind=None, inputs=1):
    """Write a network whose answer is the red of the photo, in several wrong and right forms."""
    from onnx import TensorProto, helper, numpy_helper, save

    kind = kind or TensorProto.FLOAT
    constants = [
        numpy_helper.from_array(np.array([[[[6.0]], [[-3.0]], [[-3.0]]]], np.float32), "red"),
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.array([0]), "axis"),
    ]
    nodes = [helper.make_node("Conv", ["image", "red"], ["logits"])]
    last = {
        "sigmoid": helper.make_node("Sigmoid", ["logits"], ["out"]),
        "logits": helper.make_node("Identity", ["logits"], ["out"]),
        "nan": helper.make_node("Div", ["zero", "zero"], ["out"]),
        "flat": helper.make_node("Squeeze", ["logits", "axis"], ["out"]),
        "two": helper.make_node("Concat", ["logits", "logits"], ["out"], axis=1),
    }[output]
    if output == "nan":
        nodes += [helper.make_node("Mul", ["logits", "zero"], ["none"])]
        last = helper.make_node("Div", ["none", "none"], ["out"])
    graph = helper.make_graph(
        [*nodes, last],
        "own",
        [helper.make_tensor_value_info(name, kind, shape) for name in ("image", "more")[:inputs]],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, path)
    return path


def red_ball() -> tuple[np.ndarray, np.ndarray]:
    _, mask = ball(60, 80)
    photo = np.full((60, 80, 3), 40, np.uint8)
    photo[mask] = (230, 30, 30)
    return photo, mask


def test_onnx_file_is_a_model_by_its_path(tmp_path):
    path = write_network(tmp_path / "mine.onnx")
    photo, mask = red_ball()
    result = remove_background(photo, model=str(path))
    assert ((result.alpha > 0.5) == mask).mean() > 0.95
    assert (result.model.title, result.model.input_size) == ("mine", 32)
    assert result.model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("shape", "side"), [((1, 3, 48, 48), 48), ((1, 3, None, None), 320), (("n", 3, "h", 64), 64)])
def test_size_of_the_input_is_read_from_the_file(tmp_path, shape, side):
    assert read_own(write_network(tmp_path / "mine.onnx", shape=shape)).input_size == side


def test_table_describes_what_the_file_does_not_say(tmp_path):
    write_network(tmp_path / "logits.onnx", output="logits", shape=(1, 3, None, None))
    row = tmp_path / "mine.toml"
    row.write_text(
        '[mine]\ntitle = "Red things"\nweights = "logits.onnx"\ninput_size = 64\nactivation = "sigmoid"\n'
        'mean = [0.5, 0.5, 0.5]\nlicence = "CC0-1.0"\ncommercial_use = "yes"\n'
    )
    photo, mask = red_ball()
    result = remove_background(photo, model=str(row))
    assert ((result.alpha > 0.5) == mask).mean() > 0.9
    assert (result.model.title, result.model.licence, result.tensor.shape) == ("Red things", "CC0-1.0", (1, 3, 64, 64))


@pytest.mark.parametrize(
    ("options", "telling"),
    [
        ({"output": "logits"}, r'gives values from -.* in \[0, 1\].*activation = "sigmoid"'),
        ({"output": "nan"}, "values that are no numbers"),
        ({"output": "flat"}, r"gives float32 \(1, 32, 32\) first"),
        ({"output": "two"}, r"gives float32 \(1, 2, 32, 32\) first"),
        ({"shape": (1, 3, 32, 48)}, r"takes image: tensor\(float\) \[1, 3, 32, 48\]"),
        ({"kind": 11}, "cannot be loaded as an ONNX model"),
    ],
)
def test_model_that_does_not_fit_is_refused_with_what_it_does(tmp_path, options, telling):
    with pytest.raises(ModelError, match=telling):
        read_own(write_network(tmp_path / "mine.onnx", **options))


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        ("[a]\n[b]\n", "must hold one table"),
        ("a = 1\n", "must hold one table"),
        ("[a\n", "cannot be read as TOML"),
        ('[a]\ntitle = "A"\nweights = "gone.onnx"\n', r"there is no file .*gone\.onnx"),
        ('[a]\ntitle = "A"\nweights = "gone.onnx"\ninput_sise = 3\n', "unknown key input_sise"),
        ("[a]\n", "'title'"),
    ],
)
def test_table_that_cannot_be_used_is_refused(tmp_path, text, telling):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=telling):
        find_model(str(path))


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"There is no model at .*gone\.onnx: No such file or directory\. Check"):
        find_model(str(tmp_path / "gone.onnx"))
    (tmp_path / "diary.onnx").write_bytes(b"Dear diary, today I was a model.")
    with pytest.raises(ModelError, match="cannot be loaded as an ONNX model"):
        find_model(str(tmp_path / "diary.onnx"))


def test_file_that_was_written_anew_is_read_anew(tmp_path):
    path = write_network(tmp_path / "mine.onnx")
    before = read_own(path)
    assert read_own(path) is before
    write_network(path, shape=(1, 3, 48, 48))
    os.utime(path, ns=(1, 1))
    assert read_own(path).input_size == 48


def test_tables_of_the_users_own_join_the_catalogue(tmp_path, monkeypatch):
    write_network(tmp_path / "mine.onnx")
    table = tmp_path / "models.toml"
    table.write_text('[mine]\ntitle = "Mine"\nabout = "Red things."\nruntime = "onnxruntime"\nweights = "mine.onnx"\n')
    monkeypatch.setenv("CUTOUT_MODELS", str(table))
    load_catalogue.cache_clear()
    try:
        assert list(load_catalogue())[-1] == "mine"
        assert find_model("mine").weights == tmp_path / "mine.onnx"
        table.write_text(table.read_text().replace("[mine]", "[compact]"))
        load_catalogue.cache_clear()
        with pytest.raises(ModelError, match=r"\[compact\]: there is a model of that name already"):
            load_catalogue()
        monkeypatch.setenv("CUTOUT_MODELS", str(tmp_path / "gone.toml"))
        load_catalogue.cache_clear()
        with pytest.raises(ModelError, match=r"gone\.toml cannot be read: .*CUTOUT_MODELS"):
            load_catalogue()
    finally:
        monkeypatch.delenv("CUTOUT_MODELS")
        load_catalogue.cache_clear()


def test_result_stays_usable_when_the_model_is_gone(tmp_path, artifacts):
    from processing.store import ArtifactStore

    path = write_network(tmp_path / "mine.onnx")
    store = ArtifactStore(artifacts)
    record = store.save(remove_background(file_of(red_ball()[0]), model=str(path)))
    path.unlink()
    result = store.load(record)
    assert result.encode(background="white").data
    assert result.model.sha256 == record.model["weights_sha256"]
