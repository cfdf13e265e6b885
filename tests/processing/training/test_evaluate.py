"""Models measured on pictures with ground truth."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from processing.errors import DatasetError, ModelError, RecipeError
from processing.training import evaluate as evaluation
from processing.training.evaluate import Estimate, ModelReport, Scores, SourceReport, evaluate, main

SHAPES = ((40, 60), (50, 50), (64, 48))


def save_model(path, *, node="Sigmoid", side=320):
    """Write a model whose matte is the mean of the channels, led through one more node."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the model of this test")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
            helper.make_node(node, ["grey"], ["alpha"]),
        ],
        "grey",
        [helper.make_tensor_value_info("image", kind, (1, 3, side, side))],
        [helper.make_tensor_value_info("alpha", kind, (1, 1, side, side))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "grey.onnx")


@pytest.fixture
def folder(tmp_path):
    """Write three pictures: white discs on black, which the model finds, from the sources a, a and b."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = ["id,image,mask,source"]
    for number, shape in enumerate(SHAPES):
        mask = disc(shape)
        Image.fromarray(np.dstack([mask] * 3)).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}_mask.png")
        lines.append(f"{number},{number}.png,{number}_mask.png,{'ab'[number // 2]}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def disc(shape):
    rows, columns = np.indices(shape)
    inside = (rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < (min(shape) / 3) ** 2
    return np.where(inside, 255, 0).astype(np.uint8)


def scores(*, count=4, source="a", value=0.5, precision=1.0, recall=1.0):
    return Scores(
        (source,) * count,
        {name: np.full(count, value) for name in evaluation.MEASURES},
        np.full((count, 256), precision),
        np.full((count, 256), recall),
    )


def test_model_that_finds_the_discs_gets_high_marks(model, folder):
    found = evaluate(model, evaluation.read_samples(folder))
    assert found.sources == ("a", "a", "b")
    assert found.precision.shape == found.recall.shape == (3, 256)
    assert found.values.keys() == evaluation.MEASURES.keys()
    assert (found.values["iou"] > 0.9).all()
    # Black becomes -2 and white 2.4 on average over the channels, and the sigmoid leaves 0.12 and 0.08 of error there.
    assert found.values["mae"] == pytest.approx([0.11] * 3, abs=0.02)


def test_levels_take_the_haze_away(model, folder):
    samples = evaluation.read_samples(folder)
    raw, stretched = evaluate(model, samples), evaluate(model, samples, levels=(0.2, 0.8))
    assert (stretched.values["mae"] < raw.values["mae"] / 3).all()
    np.testing.assert_allclose(stretched.values["iou"], raw.values["iou"])


@pytest.mark.parametrize("levels", [(0.8, 0.2), (0.5, 0.5), (-0.1, 1)])
def test_levels_that_make_no_sense_are_refused(model, folder, levels):
    with pytest.raises(RecipeError, match="Give 0 <= LOW < HIGH <= 1"):
        evaluate(model, evaluation.read_samples(folder), levels=levels)


def test_output_beyond_zero_and_one_is_refused(tmp_path, folder):
    logits = save_model(tmp_path / "logits.onnx", node="Identity")
    with pytest.raises(ModelError, match=r"logits\.onnx gave shape .* in \[0, 1\]; export it with the sigmoid"):
        evaluate(logits, evaluation.read_samples(folder))


def test_a_sigmoid_that_rounds_up_past_one_is_taken_as_one(tmp_path):
    """As onnxruntime's does of 17.844, to 1.0000001."""
    onnx = pytest.importorskip("onnx", reason="onnx makes the model of this test")
    path = save_model(tmp_path / "one.onnx", node="Identity")
    model = onnx.load(path)
    just_above = onnx.numpy_helper.from_array(np.nextafter(np.float32(1), np.float32(2)).reshape(()), "just_above")
    model.graph.initializer.append(just_above)
    model.graph.node[-1].CopyFrom(onnx.helper.make_node("Clip", ["grey", "low", "just_above"], ["alpha"]))
    zero = onnx.numpy_helper.from_array(np.float32(0).reshape(()), "low")
    model.graph.initializer.append(zero)
    onnx.save(model, path)
    assert evaluation.load_model(path)(np.full((1, 3, 320, 320), 2, np.float32)).max() == 1


def test_model_of_another_size_is_refused(tmp_path, folder):
    small = save_model(tmp_path / "small.onnx", side=64)
    with pytest.raises(ModelError, match=r"small\.onnx failed on an input of shape \(1, 3, 320, 320\)"):
        evaluate(small, evaluation.read_samples(folder))


def test_file_that_is_no_model_is_refused(tmp_path, folder):
    diary = tmp_path / "diary.onnx"
    diary.write_text("Dear diary, today I was a model.")
    with pytest.raises(ModelError, match=r"diary\.onnx cannot be loaded"):
        evaluate(diary, evaluation.read_samples(folder))


def test_sources_are_filtered_and_unknown_ones_named(folder):
    assert [sample.id for sample in evaluation.read_samples(folder, ["b"])] == ["2"]
    with pytest.raises(DatasetError, match=r"No picture of c in .*manifest\.csv\. It has a, b\."):
        evaluation.read_samples(folder, ["a", "c"])


def test_source_is_the_name_of_the_folder_where_none_is_given(folder):
    (folder / "manifest.csv").write_text("id,image,alpha\n0,0.png,0_mask.png\n")
    (sample,) = evaluation.read_samples(folder)
    assert (sample.source, sample.is_soft) == ("pictures", True)


@pytest.mark.parametrize("text", ["", "id,image,mask\n", "id,image\n0,0.png\n", "image,mask\n0.png,0_mask.png\n"])
def test_manifest_without_rows_or_columns_is_refused(folder, text):
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(DatasetError, match=r"manifest\.csv needs rows, the columns id and image"):
        evaluation.read_samples(folder)


def test_a_manifest_with_a_gap_is_refused_and_one_of_a_spreadsheet_read(folder):
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text, encoding="utf-8-sig")
    assert evaluation.read_samples(folder)
    (folder / "manifest.csv").write_text("id,image,mask\n0,0.png\n")
    with pytest.raises(DatasetError, match=r"manifest\.csv, line 2, lacks an id, an image or a mask"):
        evaluation.read_samples(folder)


def test_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"manifest\.csv cannot be read: .*Give --data a folder"):
        evaluation.read_samples(tmp_path)


@pytest.mark.parametrize("name", ["1.png", "1_mask.png"])
def test_missing_file_is_named(model, folder, name):
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=rf"{name} cannot be read.*leave its row out"):
        evaluate(model, evaluation.read_samples(folder))


def test_truth_is_averaged_over_areas_and_cut_unless_it_is_soft(folder):
    stripes = np.zeros((320, 960), np.uint8)
    stripes[:, ::3] = 255  # one in three columns: a third of each pixel at 320
    stripes[160:, 1::3] = 255  # two in three in the lower half
    Image.fromarray(stripes).save(folder / "0_mask.png")
    sample = evaluation.read_samples(folder)[0]
    np.testing.assert_array_equal(evaluation.read_truth(sample), np.repeat([[0], [1]], 160, axis=0) * np.ones((1, 320)))
    soft = evaluation.read_truth(replace(sample, is_soft=True))
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft[[0, -1]], np.repeat([[1 / 3], [2 / 3]], 320, axis=1), atol=1e-6)


def test_report_has_a_row_for_each_source_and_one_for_all(model, folder):
    report = evaluation.summarise("grey", evaluate(model, evaluation.read_samples(folder)))
    assert [(row.source, row.images) for row in report.rows] == [("a", 2), ("b", 1), ("all", 3)]


def test_single_source_needs_no_row_for_all():
    assert [row.source for row in evaluation.summarise("x", scores()).rows] == ["a"]


def test_interval_of_equal_pictures_is_a_point():
    (row,) = evaluation.summarise("x", scores(recall=0.5)).rows
    assert [row.mae.low, row.mae.value, row.mae.high] == pytest.approx([0.5] * 3)
    assert [row.max_f.low, row.max_f.value, row.max_f.high] == pytest.approx([0.8125] * 3)


def test_interval_agrees_with_the_normal_one():
    values = np.random.default_rng(0).normal(0.6, 0.1, 400)
    some = replace(scores(count=400), values={name: values for name in evaluation.MEASURES})
    (row,) = evaluation.summarise("x", some).rows
    reach = 1.96 * values.std() / 20
    assert row.iou.value == pytest.approx(values.mean())
    # The ends have a standard error of 4 % of the reach with 1000 resamples.
    assert [row.iou.low, row.iou.high] == pytest.approx(
        [values.mean() - reach, values.mean() + reach], abs=0.15 * reach
    )


def test_summary_is_the_same_every_time(model, folder):
    found = evaluate(model, evaluation.read_samples(folder))
    assert evaluation.summarise("grey", found) == evaluation.summarise("grey", found)


ROW = SourceReport("a", 3, *(Estimate(value, value - 0.01, value + 0.02) for value in (0.1, 0.9, 0.8, 0.7, 0.98)))


def test_table_of_one_model():
    assert evaluation.format_table([ModelReport("x", (0, 1), (ROW,))]) == (
        "| source | images | MAE | maxF | IoU | S-measure | boundary F |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| a | 3 | .100 (.090–.120) | .900 (.890–.920) | .800 (.790–.820) | .700 (.690–.720) | .980 (.970–1.000) |"
    )


def test_table_of_several_models_groups_them_by_source():
    reports = [ModelReport(name, (0, 1), (ROW, replace(ROW, source="b"))) for name in ("x", "y")]
    lines = evaluation.format_table(reports).splitlines()
    assert lines[0].startswith("| source | images | model | MAE |")
    starts = ["| a | 3 | x |", "| a | 3 | y |", "| b | 3 | x |", "| b | 3 | y |"]
    assert [line[: len(starts[0])] for line in lines[2:]] == starts


def test_command_line_prints_the_table_and_writes_the_figures(model, folder, tmp_path, capsys):
    target = tmp_path / "figures.json"
    arguments = [str(model), "--data", str(folder), "--sources", "a", "--levels", ".2", ".8", "--json", str(target)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| a | 2 | .")
    (report,) = json.loads(target.read_text())
    assert (report["model"], report["levels"], report["rows"][0]["images"]) == ("grey", [0.2, 0.8], 2)
    assert report["rows"][0]["iou"].keys() == {"value", "low", "high"}


def test_models_of_one_name_are_told_apart_by_their_paths(model, folder, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    twin = save_model(tmp_path / "other" / "grey.onnx")
    assert main([str(model), str(twin), "--data", str(folder)]) == 0
    assert f"| {twin} |" in capsys.readouterr().out


def test_command_line_turns_an_error_into_a_sentence(tmp_path, capsys):
    assert main(["x.onnx", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_evaluation_needs_neither_torch_nor_opencv():
    code = "import sys, processing.training.evaluate; print({'torch', 'cv2', 'scipy', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
