"""A tiny run of the real recipe: it learns, stops, goes on, and exports a model that runs."""

import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image, ImageDraw

torch = pytest.importorskip("torch", reason="training needs the extra: pip install -e '.[training]'")
cv2 = pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.errors import DatasetError, ModelError  # noqa: E402
from processing.training import evaluate, export, loop, losses, plots, sheet  # noqa: E402
from processing.training.__main__ import main  # noqa: E402
from processing.training.augment import Mixture  # noqa: E402
from processing.training.data import decode_all, read_pairs  # noqa: E402
from processing.training.network import Network, average  # noqa: E402
from processing.training.optimisers import Muon, Optimisers  # noqa: E402
from processing.training.schedule import Schedule  # noqa: E402
from processing.training.step import Step, normalise  # noqa: E402

# Operators that onnxruntime-web 1.23 runs in WebAssembly and that this network may use.
WASM_OPERATORS = {
    "Add", "AveragePool", "Cast", "Clip", "Concat", "Conv", "DepthToSpace", "GlobalAveragePool", "MatMul", "MaxPool",
    "Mul", "Relu", "Resize", "Sigmoid", "Slice",
}  # fmt: skip


def write_data_set(folder, count=16):
    """Orange discs on blue noise: a subject that a network can learn in a minute."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        noise = rng.integers(0, 90, (96, 120, 3), np.uint8) + np.array([0, 30, 120], np.uint8)
        image, mask = Image.fromarray(noise), Image.new("L", (120, 96))
        x, y, radius = rng.integers(30, 80), rng.integers(30, 66), rng.integers(14, 30)
        box = [int(x - radius), int(y - radius), int(x + radius), int(y + radius)]
        ImageDraw.Draw(image).ellipse(box, fill=(240, 140, 20))
        ImageDraw.Draw(mask).ellipse(box, fill=255)
        image.save(folder / f"{number}.png")
        mask.save(folder / f"{number}m.png")
        rows.append({"id": number, "image": f"{number}.png", "mask": f"{number}m.png", "source": "ab"[number % 2]})
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def train(data, out, *more):
    return main(
        ["--data", str(data), "--out", str(out), "--stages", "64:1", "--batch", "8", "--validation", "0.3", *more]
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("data") / "discs")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    logging.getLogger("processing").setLevel(logging.INFO)
    growing = ["--stages", "64:0.75,320:0.25", "--mixture", "0.8", "0.2", "0", "0"]
    assert train(data, out, "--samples", "640", "--log-every", "80", *growing) == 0
    return out


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_short_run_reduces_the_loss(finished):
    losses = [float(row["loss"]) for row in rows(finished / "log.csv")]
    assert len(losses) == 8
    assert losses[-1] < 0.75 * losses[0]


def test_the_logs_draw_curves(finished):
    with Image.open(plots.draw(finished)) as picture:
        assert picture.size[0] > 500


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no log\.csv"):
        plots.draw(tmp_path)


def test_the_exported_model_finds_the_disc(finished, data, tmp_path, capsys):
    model, report = tmp_path / "disc.onnx", tmp_path / "report.json"
    assert export.main([str(finished / "best.pt"), str(model)]) == 0
    assert "sha256" in capsys.readouterr().out
    assert model.stat().st_size < 8_000_000
    assert evaluate.main([str(model), "--data", str(data), "--json", str(report)]) == 0
    overall = json.loads(report.read_text())[0]["rows"][-1]
    assert overall["images"] == 16
    assert overall["max_f"]["value"] > 0.6
    assert sheet.main([str(model), str(tmp_path / "sheet.png"), "--data", str(data), "--worst"]) == 0
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size[0] == 12 * sheet.CELL


@pytest.mark.parametrize("two_views", [False, True])
def test_the_exported_model_follows_the_contract(finished, tmp_path, two_views):
    """One file serves onnxruntime here, onnxruntime-web in a browser and rembg's u2net_custom."""
    export.export(finished / "best.pt", tmp_path / "m.onnx", two_views=two_views)
    model = onnx.load(tmp_path / "m.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.op_type for node in model.graph.node} <= WASM_OPERATORS
    assert model.graph.node[-1].op_type == "Clip"  # onnxruntime's sigmoid reaches 1.0000001
    (given,), (made,) = model.graph.input, model.graph.output
    assert [d.dim_value for d in given.type.tensor_type.shape.dim] == [1, 3, 320, 320]
    assert [d.dim_value for d in made.type.tensor_type.shape.dim] == [1, 1, 320, 320]


def test_a_sharper_file_is_surer_and_decides_the_same(finished, tmp_path):
    alphas = []
    for factor in ("1", "2"):
        assert export.main([str(finished / "best.pt"), str(tmp_path / "m.onnx"), "--sharpness", factor]) == 0
        predict = evaluate.load_model(tmp_path / "m.onnx")
        alphas.append(predict(np.random.default_rng(0).normal(0, 1, (1, 3, 320, 320)).astype(np.float32)))
    once, twice = (np.log(alpha / (1 - alpha)) for alpha in np.clip(alphas, 1e-4, 1 - 1e-4))
    between = np.abs(twice) < 6
    assert between.any()
    np.testing.assert_allclose(twice[between], 2 * once[between], rtol=0.02, atol=0.02)


def test_no_sharpness_is_an_error(finished, tmp_path, capsys):
    assert export.main([str(finished / "best.pt"), str(tmp_path / "m.onnx"), "--sharpness", "0"]) == 1
    assert "must be above 0" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_a_second_view_is_mirrored_smaller_and_holds_no_weights_of_its_own(finished, data, tmp_path):
    files = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for file, flag in zip(files, ([], ["--two-views"]), strict=True):
        assert export.main([str(finished / "best.pt"), str(file), *flag]) == 0
    assert files[1].stat().st_size < files[0].stat().st_size + 100_000
    picture = normalise(torch.from_numpy(cv2.resize(read_pairs(data)[0].decode()[0], (320, 320)))[None])
    smaller = torch.nn.functional.interpolate(picture, size=(288, 288), mode="bilinear", align_corners=False)
    network = export.load(finished / "best.pt")
    with torch.inference_mode():
        first, second = (network(view).logit() for view in (picture, smaller.flip(3)))
        back = torch.nn.functional.interpolate(second, size=(320, 320), mode="bilinear", align_corners=False).flip(3)
        expected = (0.55 * first + 0.45 * back).sigmoid().numpy()
    session = onnxruntime.InferenceSession(files[1], providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"image": picture.numpy()})[0], expected, atol=0.02)


@pytest.mark.parametrize("size", [(8, 8), (10, 10), (7, 9)])
def test_parts_of_unequal_size_are_averaged_as_torch_does(size):
    features = torch.rand(2, 3, *size)
    for side in (1, 2, 5):
        expected = torch.nn.functional.adaptive_avg_pool2d(features, side)
        torch.testing.assert_close(average(features, side), expected)


def test_a_run_stops_after_its_hours_and_goes_on(data, tmp_path, caplog):
    plan = ["--samples", "160", "--log-every", "8"]  # one batch: however slow the machine, one is logged
    assert train(data, tmp_path, *plan, "--hours", "0.0001") == 0
    first = [int(row["samples"]) for row in rows(tmp_path / "log.csv")]
    assert first[-1] < 160
    caplog.clear()
    assert train(data, tmp_path, *plan) == 0
    assert "going on from" in caplog.text
    seen = [int(row["samples"]) for row in rows(tmp_path / "log.csv")]
    assert seen == sorted(set(seen))
    assert seen[-1] == 160


@pytest.mark.skipif(sys.platform == "win32", reason="a console there has no groups of processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_ends_quietly(data, tmp_path, number):
    """A terminal sends it to the processes that draw samples, too; a cluster sends SIGTERM."""
    command = [sys.executable, "-m", "processing.training", "--data", str(data), "--out", str(tmp_path)]
    plan = ["--stages", "64:1", "--batch", "8", "--log-every", "8", "--samples", "100000"]
    run = subprocess.Popen([*command, *plan], stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in run.stderr:
        if "loss" in line:
            break
    os.killpg(run.pid, number)
    _, rest = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in rest
    assert "of 100000 samples; the same command goes on from there" in rest
    assert (tmp_path / "last.pt").exists()


def test_a_wider_network_goes_on_with_what_a_narrower_one_has_learnt(finished, data, tmp_path):
    wide = ["--width", "medium", "--begin-with", str(finished / "best.pt"), "--samples", "8", "--stages", "320:1"]
    assert train(data, tmp_path, *wide, "--mixture", "1", "0", "0", "0") == 0
    before, after = (
        np.mean([float(row["mae"]) for row in rows(folder / "validation.csv")][-2:]) for folder in (finished, tmp_path)
    )
    assert after < before + 0.05
    export.export(tmp_path / "best.pt", tmp_path / "wide.onnx")
    assert 1.5 * export_size(finished, tmp_path) < (tmp_path / "wide.onnx").stat().st_size < 8_000_000


def test_an_exported_model_can_be_trained_further(finished, data, tmp_path, capsys):
    """As a lab does that has the built-in model's file and no checkpoint."""
    model, out = tmp_path / "model.onnx", tmp_path / "further"
    export.export(finished / "best.pt", model)
    further = ["--begin-with", str(model), "--samples", "64", "--stages", "320:1", "--mixture", "1", "0", "0", "0"]
    assert train(data, out, *further) == 0
    before, after = (
        np.mean([float(row["mae"]) for row in rows(folder / "validation.csv")][-2:]) for folder in (finished, out)
    )
    assert after < before + 0.05
    begun, ended = tmp_path / "begun.onnx", tmp_path / "ended.onnx"
    assert export.main([str(out / "first.pt"), str(begun)]) == 0
    assert export.main([str(out / "last.pt"), str(ended), "--blend", str(out / "first.pt")]) == 0
    assert begun.read_bytes() != ended.read_bytes()
    assert train(data, tmp_path / "none", "--begin-with", str(data / "manifest.csv")) == 1
    assert "not a checkpoint" in capsys.readouterr().err


def test_a_blend_lies_between_its_checkpoints(finished, data, tmp_path):
    later = tmp_path / "later"
    shutil.copytree(finished, later)
    assert train(data, later, "--samples", "800") == 0
    network, other = export.load(later / "last.pt"), export.load(finished / "best.pt")
    name, weight = next((name, weight) for name, weight in network.state_dict().items() if weight.ndim == 4)
    expected = 0.75 * weight + 0.25 * other.state_dict()[name]
    assert not torch.equal(weight, other.state_dict()[name])
    export.mix(network, other, 0.25)
    torch.testing.assert_close(network.state_dict()[name], expected)
    blended = ["--blend", str(finished / "best.pt"), "--share", "0.25"]
    assert export.main([str(later / "last.pt"), str(tmp_path / "m.onnx"), *blended]) == 0
    export.export(later / "last.pt", tmp_path / "later.onnx")
    assert (tmp_path / "m.onnx").read_bytes() != (tmp_path / "later.onnx").read_bytes()
    with pytest.raises(ModelError, match="from 0 to 1, not 2"):
        export.mix(network, other, 2)
    with pytest.raises(ModelError, match="different widths"):
        export.mix(network, Network("medium"), 0.5)


def export_size(run, folder):
    export.export(run / "best.pt", folder / "narrow.onnx")
    return (folder / "narrow.onnx").stat().st_size


def test_the_same_seed_draws_the_same_samples(data):
    pairs = read_pairs(data)
    options = loop.Options(Schedule(100, ((64, 1.0),)), Mixture(), {}, batch=4, seed=7)
    first, second = (next(iter(loop.Batches(pairs, [], options, 0, torch.ones(len(pairs))))) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_pictures_decoded_once_make_the_same_samples(data, tmp_path):
    pairs = read_pairs(data)
    options = loop.Options(Schedule(100, ((64, 1.0),)), Mixture(), {}, batch=8, seed=7)
    encoded, decoded = (
        next(iter(loop.Batches(some, [], options, 0, torch.ones(len(pairs))))) for some in (pairs, decode_all(pairs))
    )
    assert all(torch.equal(a, b) for a, b in zip(encoded, decoded, strict=True))
    assert train(data, tmp_path, "--samples", "8", "--decoded") == 0
    assert (tmp_path / "last.pt").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_replays_its_steps_and_learns(data, tmp_path):
    plan = ["--device", "cuda", "--samples", "640", "--stages", "64:0.75,320:0.25", "--log-every", "80", "--decoded"]
    assert train(data, tmp_path, *plan, "--mixture", "0.8", "0.2", "0", "0") == 0
    losses = [float(row["loss"]) for row in rows(tmp_path / "log.csv")]
    assert losses[-1] < 0.75 * losses[0]


def test_a_checkpoint_of_another_network_is_refused(data, tmp_path, capsys):
    torch.save({"network": {"other": torch.zeros(1)}}, tmp_path / "last.pt")
    assert train(data, tmp_path, "--samples", "16") == 1
    assert "another network" in capsys.readouterr().err
    assert export.main([str(tmp_path / "last.pt"), str(tmp_path / "m.onnx")]) == 1
    assert "not a checkpoint" in capsys.readouterr().err


def test_optimisers_move_the_network_itself():
    network = Network("small").to(memory_format=torch.channels_last)
    optimisers = Optimisers(network, network.outer_layers(), lr=1e-3, muon_lr=0.02)
    before = {name: value.clone() for name, value in network.named_parameters()}
    losses.total(network(torch.rand(2, 3, 64, 64)), torch.zeros(2, 1, 64, 64)).mean().backward()
    optimisers.step()
    assert all(not torch.equal(before[name], value) for name, value in network.named_parameters())


def test_muon_steps_as_torch_does():
    """Ours differs in taking equal shapes together: tall, wide and square ones, over several steps."""
    shapes = [(8, 4, 3, 3), (8, 4, 3, 3), (48, 4, 1, 1), (16, 16, 1, 1)]
    ours = [torch.randn(shape).to(memory_format=torch.channels_last) for shape in shapes]
    matrices = [torch.nn.Parameter(w.permute(0, 2, 3, 1).reshape(w.shape[0], -1).clone()) for w in ours]
    muon = Muon(ours, 0.02)
    reference = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, momentum=0.95)
    for _ in range(3):
        for weight, matrix in zip(ours, matrices, strict=True):
            weight.grad = torch.randn(weight.shape)
            matrix.grad = weight.grad.permute(0, 2, 3, 1).reshape(matrix.shape)
        muon.step()
        reference.step()
    for weight, matrix in zip(ours, matrices, strict=True):
        torch.testing.assert_close(weight.permute(0, 2, 3, 1).reshape(matrix.shape), matrix.data, atol=1e-3, rtol=0)


def test_the_average_follows_the_weights_and_what_the_norms_have_seen():
    network = Network("small").to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    step = Step(network, average, Optimisers(network, network.outer_layers(), lr=1e-3, muon_lr=0.02), 0.9)
    name, expected = "stem.1.running_mean", network.state_dict()["stem.1.running_mean"].clone()
    for count in range(30):
        each = step(torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8), torch.zeros(2, 64, 64, dtype=torch.uint8))
        assert each.shape == (2,)
        expected.lerp_(network.state_dict()[name], 1 - min(0.9, (count + 1) / (count + 10)))
    torch.testing.assert_close(average.module.state_dict()[name], expected)
    assert not torch.equal(average.module.head.weight, network.head.weight)


def test_fixed_norms_keep_the_statistics_that_a_run_begins_with(finished, data, tmp_path, capsys):
    plan = ["--begin-with", str(finished / "best.pt"), "--samples", "32"]
    assert train(data, tmp_path / "fixed", *plan, "--fixed-norms") == 0
    assert train(data, tmp_path / "free", *plan) == 0
    first, fixed, free = (
        torch.load(tmp_path / name)["network"] for name in ("fixed/first.pt", "fixed/last.pt", "free/last.pt")
    )
    statistics = [name for name in first if name.endswith(("running_mean", "running_var"))]
    assert len(statistics) > 100
    assert all(torch.equal(first[name], fixed[name]) for name in statistics)
    assert not any(torch.equal(first[name], free[name]) for name in statistics)
    assert not torch.equal(first["head.weight"], fixed["head.weight"])  # all else learns

    assert train(data, tmp_path / "new", "--fixed-norms") == 1
    assert "Name a checkpoint or an ONNX file with --begin-with" in capsys.readouterr().err


def test_without_a_validation_pair_the_last_weights_are_the_best(data, tmp_path, caplog):
    caplog.set_level(logging.INFO, "processing")
    plan = ["--mixture", "1", "0", "0", "0"]
    assert train(data, tmp_path, "--validation", "0", "--samples", "8", *plan) == 0
    assert "no pair is set aside" in caplog.text
    first = export.load(tmp_path / "best.pt").state_dict()["head.weight"]
    assert train(data, tmp_path, "--validation", "0", "--samples", "16", *plan) == 0
    second = export.load(tmp_path / "best.pt").state_dict()["head.weight"]
    assert not torch.equal(first, second)


def test_other_validation_pairs_choose_the_best_anew(data, tmp_path, monkeypatch):
    """The error on some pairs says nothing of the error on others, so the old one must not keep new weights away."""
    monkeypatch.setattr(loop, "measure", lambda *_: {"a": (next(errors), 0.5)})
    errors = iter([0.1, 0.3, 0.2])
    best = []
    for share, samples in (("0.3", "8"), ("0.3", "16"), ("0.6", "24")):
        assert train(data, tmp_path, "--validation", share, "--samples", samples) == 0
        best.append(torch.load(tmp_path / "best.pt")["seen"])
    assert best == [8, 8, 24]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--samples", "0"], "a whole number from 1 on, not 0"),
        (["--batch", "1"], "a whole number from 2 on, not 1"),
        (["--workers", "none"], "a whole number from 1 on, not none"),
        (["--device", "gpu"], "cpu or cuda, not gpu"),
        (["--validation", "6"], "a share lies from 0 to 1, not 6"),
    ],
)
def test_options_that_cannot_be_are_refused(data, tmp_path, capsys, options, words):
    with pytest.raises(SystemExit) as end:
        train(data, tmp_path / "run", *options)
    assert end.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(data, tmp_path / "run", "--device", "cuda")
    assert "finds no NVIDIA GPU; cpu trains on the processor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--validation", "1"], "All 16 pairs are set aside by --validation 1"),
        (["--weights", "c=1"], "No weight is above 0. Sources: a, b. Weights: {'c': 1.0}"),
        (["--mixture", "0", "0", "0", "0"], "there is no scene to draw"),
    ],
)
def test_options_that_leave_nothing_to_draw_are_refused_before_a_folder_is_made(data, tmp_path, capsys, options, words):
    assert train(data, tmp_path / "run", "--samples", "8", *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_needs_a_folder(data, tmp_path, capsys):
    (tmp_path / "run").write_text("a file")
    assert train(data, tmp_path / "run", "--samples", "8") == 1
    assert "cannot be made a folder" in capsys.readouterr().err


@pytest.mark.parametrize("length", [0, 1000])
def test_a_damaged_checkpoint_is_named(finished, data, tmp_path, capsys, length):
    (tmp_path / "last.pt").write_bytes((finished / "last.pt").read_bytes()[:length])
    assert train(data, tmp_path, "--samples", "8") == 1
    assert "last.pt is damaged or not a checkpoint" in capsys.readouterr().err
    assert export.main([str(tmp_path / "last.pt"), str(tmp_path / "m.onnx")]) == 1
    assert "last.pt is damaged or not a checkpoint" in capsys.readouterr().err
    assert export.main([str(finished / "best.pt"), str(tmp_path / "none/m.onnx")]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_a_picture_that_breaks_while_it_is_drawn_is_one_sentence(data, tmp_path, capsys):
    """Its head is whole, so it shows only when a process of its own decodes it."""
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    for file in broken.glob("*m.png"):
        file.write_bytes(file.read_bytes()[:60])
    assert train(broken, tmp_path / "run", "--samples", "8", "--mixture", "1", "0", "0", "0", "--validation", "0") == 1
    words = capsys.readouterr().err.splitlines()[-1]
    assert words.startswith("error: The mask of ")
    assert "is no picture, or of another size than its picture" in words


def test_a_sheet_needs_a_name_that_says_what_it_is(data, tmp_path, capsys):
    for name in ("sheet", "none/sheet.png"):
        assert sheet.main(["m.onnx", str(tmp_path / name), "--data", str(data)]) == 1
        assert "Give a path such as sheet.png" in capsys.readouterr().err


def test_a_share_of_samples_above_1_is_an_error(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(data, tmp_path, "--variety", "20", "50")
    assert "a share lies from 0 to 1, not 20" in capsys.readouterr().err


def test_a_decisive_run_is_told_its_mean_absolute_error_too(data, tmp_path, monkeypatch):
    told = []

    def total(outputs, truth, decisive):
        told.append(decisive)
        return real(outputs, truth, decisive)

    real = losses.total
    monkeypatch.setattr(losses, "total", total)
    assert train(data, tmp_path / "run", "--samples", "8", "--decisive", "4") == 0
    assert told == [4.0]


def test_steps_at_a_rate_of_0_leave_the_weights_alone():
    """As those do that a GPU takes before it records one."""
    network = Network("small").to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(network, use_buffers=True)
    optimisers = Optimisers(network, network.outer_layers(), lr=1e-3, muon_lr=0.02)
    before = [weight.clone() for weight in network.parameters()]
    batch = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8), torch.zeros(2, 64, 64, dtype=torch.uint8)
    step = Step(network, average, optimisers, 0.9)
    optimisers.set_factor(0.0)
    step(*batch)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    optimisers.set_factor(1.0)
    step(*batch)
    assert not any(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
