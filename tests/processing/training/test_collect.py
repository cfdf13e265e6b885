import csv

import numpy as np
import pytest
from images import file_of

pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.training import collect
from processing.training.data import read_pairs


def scene(seed, size=(60, 80)):
    """Coloured blocks: no two seeds look alike."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(rough, np.ones((size[0] // 6, size[1] // 8, 1), np.uint8))


def half_white(size=(60, 80)):
    mask = np.zeros(size, np.uint8)
    mask[:, size[1] // 2 :] = 255
    return mask


@pytest.fixture
def folders(tmp_path):
    """Give what puts a picture and its mask into a folder each."""
    for name in ("pictures", "masks"):
        (tmp_path / name).mkdir()

    def put(stem, picture, mask):
        (tmp_path / f"pictures/{stem}.png").write_bytes(file_of(picture))
        (tmp_path / f"masks/{stem}.png").write_bytes(file_of(mask))

    return put


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        folders = ["--pictures", str(tmp_path / "pictures"), "--masks", str(tmp_path / "masks")]
        return collect.main([str(tmp_path / "lab"), *folders, *arguments])

    return run


def test_what_it_writes_can_be_trained_on(folders, run, tmp_path, capsys):
    folders("one", scene(1, (600, 800)), half_white((600, 800)))
    assert run() == 0
    assert "1 pairs" in capsys.readouterr().out
    (pair,) = read_pairs(tmp_path / "lab")
    picture, mask = pair.decode()
    assert (pair.id, pair.source) == ("lab/one", "lab")
    assert picture.shape == (240, 320, 3)
    np.testing.assert_array_equal(mask, half_white((240, 320)))
    # in the order of its colours, and as it was but for JPEG
    assert np.abs(picture.astype(int) - scene(1, (240, 320))).mean() < 4


def test_soft_masks_stay_soft(folders, run, tmp_path):
    ramp = np.tile(np.linspace(0, 255, 80).astype(np.uint8), (60, 1))
    folders("one", scene(1), ramp)
    assert run("--source", "hair") == 0
    (pair,) = read_pairs(tmp_path / "lab")
    assert pair.source == "hair"
    np.testing.assert_array_equal(pair.decode()[1], ramp)


def test_what_cannot_be_trained_on_is_left_out_and_counted(folders, run, tmp_path, capsys):
    folders("good", scene(1), half_white())
    folders("lone", scene(2), half_white())
    (tmp_path / "masks/lone.png").unlink()
    folders("other-size", scene(3), half_white((30, 40)))
    folders("empty", scene(4), np.zeros((60, 80), np.uint8))
    folders("full", scene(5), np.full((60, 80), 255, np.uint8))
    folders("broken", scene(6), half_white())
    (tmp_path / "pictures/broken.png").write_bytes(b"no picture")
    assert run() == 0
    said = capsys.readouterr().out
    assert "1 pairs" in said
    for reason in (
        "without a mask",
        "of another size than their mask",
        "with an empty mask",
        "with a mask that is all white",
        "that cannot be read",
    ):
        assert f"1 {reason}" in said
    assert [pair.id for pair in read_pairs(tmp_path / "lab")] == ["lab/good"]


@pytest.mark.parametrize("change", ["same", "mirrored", "smaller", "darker"])
def test_what_a_test_set_shows_is_left_out(folders, run, tmp_path, capsys, change):
    folders("tested", scene(1), half_white())
    folders("other", scene(2), half_white())
    shown = {
        "same": scene(1),
        "mirrored": scene(1)[:, ::-1],
        "smaller": scene(1)[::2, ::2],
        "darker": scene(1) // 2,
    }[change]
    (tmp_path / "test").mkdir()
    (tmp_path / "test/t.png").write_bytes(file_of(np.ascontiguousarray(shown)))
    with (tmp_path / "test/manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "image", "alpha"], ["t", "t.png", "t.png"]])
    assert run("--apart-from", str(tmp_path / "test")) == 0
    assert "1 that a test set shows too" in capsys.readouterr().out
    assert [pair.id for pair in read_pairs(tmp_path / "lab")] == ["lab/other"]


def test_equal_names_in_two_folders_keep_their_own_masks(folders, run, tmp_path):
    for part in ("a", "b"):
        for name in ("pictures", "masks"):
            (tmp_path / name / part).mkdir()
    folders("a/1", scene(1), half_white())
    folders("b/1", scene(2), 255 - half_white())
    assert run() == 0
    first, second = read_pairs(tmp_path / "lab")
    assert (first.id, second.id) == ("lab/a/1", "lab/b/1")
    assert (first.decode()[1] == 255 - second.decode()[1]).all()


def test_pictures_and_masks_may_lie_in_one_folder(tmp_path, capsys):
    (tmp_path / "x.jpg").write_bytes(file_of(scene(1)))  # what is in a file tells its format, not its name
    (tmp_path / "x.png").write_bytes(file_of(half_white()))
    assert collect.main([str(tmp_path / "lab"), "--pictures", str(tmp_path), "--masks", str(tmp_path)]) == 0
    assert "1 with another's name" in capsys.readouterr().out
    (pair,) = read_pairs(tmp_path / "lab")
    np.testing.assert_array_equal(pair.decode()[1], half_white())
    assert pair.decode()[0].std() > 20


def test_a_test_picture_that_is_none_is_refused(folders, run, tmp_path, capsys):
    folders("one", scene(1), half_white())
    (tmp_path / "test").mkdir()
    (tmp_path / "test/t.png").write_bytes(b"no picture")
    (tmp_path / "test/manifest.csv").write_text("id,image\nt,t.png\n")
    assert run("--apart-from", str(tmp_path / "test")) == 1
    assert "is no JPEG, PNG, WebP, TIFF or BMP" in capsys.readouterr().err


def test_flat_pictures_are_like_no_other():
    known = collect.Known([np.zeros((8, 8, 3), np.uint8), scene(1)])
    assert not known.has(np.full((8, 8, 3), 200, np.uint8))
    assert not collect.Known([]).has(scene(1))


def test_folders_that_do_not_fit_are_refused(folders, run, tmp_path, capsys):
    assert run() == 1
    assert "There are no pictures in" in capsys.readouterr().err
    folders("one", scene(1), half_white() // 255)  # labels, 0 and 1
    assert run() == 1
    words = capsys.readouterr().err
    assert "No pair is left: 1 with an empty mask" in words
    assert "above 127 of 255 where the subject is" in words
    folders("one", scene(1), half_white())
    assert run() == 0
    assert run() == 1
    assert "holds a data set already" in capsys.readouterr().err
