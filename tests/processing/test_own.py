"""A model of the user's own: an ONNX file, or a table that describes one."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from images import ball, file_of

from processing import remove_background
from processing.errors import ModelError
from processing.models import ModelSpec, find_model, load_catalogue
from processing.models.own import read_own

ROOT = Path(__file__).parents[2]

#: The table that `docs/models.md` shows, with the name of its weights.
(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "models.md").read_text(encoding="utf-8"), re.DOTALL)
WEIGHTS = "my-model.onnx"


@pytest.fixture
def offer(monkeypatch):
    """Return a function that names a file in CUTOUT_MODELS and reads the catalogue anew."""

    def read(path):
        monkeypatch.setenv("CUTOUT_MODELS", str(path))
        load_catalogue.cache_clear()
        return load_catalogue()

    yield read
    monkeypatch.delenv("CUTOUT_MODELS", raising=False)
    load_catalogue.cache_clear()


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
        ("[a]\n", r"mine\.toml, \[a\]: the keys 'title' and 'weights' are missing\."),
        ('[a]\ntitle = "A"\n', r"mine\.toml, \[a\]: the key 'weights' is missing\."),
        ('[a]\ntitle = "A"\nweights = "a.onnx"\nempty_below = "half"\n', r"empty_below is 'half'\. It takes a number"),
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


def test_tables_of_the_users_own_join_the_catalogue(tmp_path, offer):
    write_network(tmp_path / "mine.onnx")
    table = tmp_path / "models.toml"
    table.write_text('[mine]\ntitle = "Mine"\nabout = "Red things."\nruntime = "onnxruntime"\nweights = "mine.onnx"\n')
    assert list(offer(table))[-1] == "mine"
    assert find_model("mine").weights == tmp_path / "mine.onnx"
    assert find_model("mine").about == "Red things."


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        ('[compact]\ntitle = "A"\nweights = "a.onnx"\n', r"\[compact\]: there is a model of that name already"),
        ("[a]\n", r"models\.toml, \[a\]: the keys 'title' and 'weights' are missing\."),
        ('[a]\ntitle = "A"\n', r"models\.toml, \[a\]: the key 'weights' is missing\. docs/models\.md shows"),
        (
            '[a]\ntitle = "A"\nweights = "a.onnx"\nscale = 255\n',
            r"models\.toml, \[a\]: scale is 255\. It takes \"255\"",
        ),
        ("a = 1\n", r"models\.toml: 'a' stands outside of a table"),
        ("[a\n", r"models\.toml is not TOML"),
        (None, r"models\.toml cannot be read: .*CUTOUT_MODELS"),
    ],
)
def test_file_of_models_that_cannot_be_used_is_refused(tmp_path, offer, text, telling):
    path = tmp_path / "models.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ModelError, match=telling) as refusal:
        offer(path)
    assert "__init__" not in str(refusal.value)


def test_documented_table_means_the_same_both_ways(tmp_path, offer):
    write_network(tmp_path / WEIGHTS, output="logits", shape=(1, 3, None, None))
    table = tmp_path / "models.toml"
    table.write_text(EXAMPLE, encoding="utf-8")
    alone = find_model(str(table))
    listed = offer(table)["my-model"]
    sure = {field.name for field in fields(ModelSpec)} - {"name", "sha256", "size_bytes"}  # those come of the trial run
    assert {key: getattr(alone, key) for key in sure} == {key: getattr(listed, key) for key in sure}
    assert (listed.about, listed.runtime) == ("Your own model.", "onnxruntime")


def test_documented_table_works_through_the_variable(tmp_path):
    from PIL import Image

    write_network(tmp_path / WEIGHTS, output="logits", shape=(1, 3, None, None))
    (tmp_path / "models.toml").write_text(EXAMPLE, encoding="utf-8")
    photo, mask = red_ball()
    Image.fromarray(photo).save(tmp_path / "photo.png")
    words = ["remove", tmp_path / "photo.png", tmp_path / "cutout.png", "--model", "my-model", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "processing", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "CUTOUT_MODELS": str(tmp_path / "models.toml"), "CUTOUT_ARTIFACTS": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)
    with Image.open(tmp_path / "cutout.png") as cutout:
        assert ((np.asarray(cutout)[..., 3] > 191) == mask).mean() > 0.9


GOOD = {**tomllib.loads(EXAMPLE)["my-model"], "about": "Leaves.", "runtime": "onnxruntime"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wait_s", 3),
        ("wait_s", 0.5),
        ("subjects", ["people", "anime"]),
        ("input_size", 16),
        ("input_size", 4096),
        ("mean", [0, 0, 0]),
        ("std", [1, 1, 1]),
        ("scale", "max"),
        ("activation", ""),
        ("levels", [0, 1]),
        ("stretch", True),
        ("empty_below", 0),
        ("empty_below", 1),
        ("caveat", ""),
        ("commercial_use", "unclear"),
        ("more_files", [{"name": "decoder.onnx"}]),
    ],
)
def test_value_that_is_allowed_is_taken(key, value):
    spec = ModelSpec.from_row("mine", {**GOOD, key: value})
    if key != "more_files":
        assert getattr(spec, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("key", "value", "takes"),
    [
        ("title", "", "It takes text in quotes, and may not be empty."),
        ("title", 3, "It takes text in quotes, and may not be empty."),
        ("weights", ["a.onnx"], "It takes text in quotes, and may not be empty."),
        ("licence", True, "It takes text in quotes."),
        ("subjects", "people", "It takes a list of one or more of anything, people, products, anime, clothes."),
        ("subjects", [], "It takes a list of one or more of anything, people, products, anime, clothes."),
        ("subjects", ["cats"], "It takes a list of one or more of anything, people, products, anime, clothes."),
        ("wait_s", -1, "It takes a number of seconds, 0 or more; 0 means that it is not known."),
        ("wait_s", "2 s", "It takes a number of seconds, 0 or more; 0 means that it is not known."),
        ("size_bytes", 1.5, "It takes a whole number of bytes; 0 means that it is not known."),
        ("input_size", "320", "It takes a whole number from 16 to 4096, without quotes."),
        ("input_size", 320.0, "It takes a whole number from 16 to 4096, without quotes."),
        ("input_size", True, "It takes a whole number from 16 to 4096, without quotes."),
        ("input_size", 15, "It takes a whole number from 16 to 4096, without quotes."),
        ("input_size", 4097, "It takes a whole number from 16 to 4096, without quotes."),
        ("mean", 0.5, "It takes three numbers, such as [0.485, 0.456, 0.406]."),
        ("mean", [0.5, 0.5, "0.5"], "It takes three numbers, such as [0.485, 0.456, 0.406]."),
        ("mean", [0.5, 0.5, float("nan")], "It takes three numbers, such as [0.485, 0.456, 0.406]."),
        ("std", [1.0], "It takes three numbers above 0, such as [0.229, 0.224, 0.225]."),
        ("std", [1.0, 0, 1.0], "It takes three numbers above 0, such as [0.229, 0.224, 0.225]."),
        ("std", [1.0, True, 1.0], "It takes three numbers above 0, such as [0.229, 0.224, 0.225]."),
        ("scale", "254", 'It takes "255" or "max", in quotes.'),
        ("scale", 255, 'It takes "255" or "max", in quotes.'),
        ("resample", "nearest", "Known: lanczos, bilinear."),
        ("resample", ["lanczos"], "Known: lanczos, bilinear."),
        ("activation", "softmax", 'It takes "sigmoid", or "" where the network gives alpha itself.'),
        ("levels", [0.9, 0.1], "It takes two numbers from 0 to 1, the lower one first, such as [0.1, 0.9]."),
        ("levels", [0.5, 0.5], "It takes two numbers from 0 to 1, the lower one first, such as [0.1, 0.9]."),
        ("levels", [0, 255], "It takes two numbers from 0 to 1, the lower one first, such as [0.1, 0.9]."),
        ("stretch", "yes", "It takes true or false, without quotes."),
        ("stretch", 1, "It takes true or false, without quotes."),
        ("empty_below", "half", "It takes a number from 0 to 1, without quotes."),
        ("empty_below", 1.1, "It takes a number from 0 to 1, without quotes."),
        ("empty_below", float("nan"), "It takes a number from 0 to 1, without quotes."),
        ("empty_below", True, "It takes a number from 0 to 1, without quotes."),
        ("commercial_use", "maybe", "Known: yes, declared, unclear, no."),
        ("commercial_use", True, "Known: yes, declared, unclear, no."),
        ("more_files", ["decoder.onnx"], "It takes a list of tables, each with the name of a file."),
    ],
)
def test_value_that_is_not_allowed_is_refused_with_what_is(key, value, takes):
    with pytest.raises(ModelError) as refusal:
        ModelSpec.from_row("mine", {**GOOD, key: value}, where="models.toml")
    assert str(refusal.value) == f"models.toml, [mine]: {key} is {value!r}. {takes}"


@pytest.mark.parametrize("key", sorted({field.name for field in fields(ModelSpec)} - {"name"}))
def test_no_key_goes_unchecked(key):
    with pytest.raises(ModelError, match=rf"\[mine\]: {key} is \{{'a': 1\}}\. "):
        ModelSpec.from_row("mine", {**GOOD, key: {"a": 1}})


@pytest.mark.parametrize(
    ("file", "telling"),
    [
        ({}, "the key 'name' is missing"),
        ({"name": ""}, "name is ''. It takes text"),
        ({"name": "a.onnx", "size_bytes": "3"}, "size_bytes is '3'. It takes a whole number"),
        ({"name": "a.onnx", "sha": ""}, "unknown key sha. Known: name, url"),
    ],
)
def test_further_file_that_cannot_be_used_is_refused(file, telling):
    with pytest.raises(ModelError, match=re.escape(f"[mine], more_files: {telling}")):
        ModelSpec.from_row("mine", {**GOOD, "more_files": [file]})


def test_result_stays_usable_when_the_model_is_gone(tmp_path, artifacts):
    from processing.store import ArtifactStore

    path = write_network(tmp_path / "mine.onnx")
    store = ArtifactStore(artifacts)
    record = store.save(remove_background(file_of(red_ball()[0]), model=str(path)))
    path.unlink()
    result = store.load(record)
    assert result.encode(background="white").data
    assert result.model.sha256 == record.model["weights_sha256"]
