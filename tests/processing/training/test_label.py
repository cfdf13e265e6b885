import shutil

import numpy as np
import pytest
from images import file_of
from PIL import Image

pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.training import label
from processing.training.data import read_pairs


@pytest.fixture
def photos(tmp_path):
    """A bright square on a dark ground, and nothing at all."""
    folder = tmp_path / "photos"
    folder.mkdir()
    square = np.zeros((400, 600, 3), np.uint8)
    square[100:300, 150:450] = 255
    (folder / "square.png").write_bytes(file_of(square))
    (folder / "dark.png").write_bytes(file_of(np.zeros((40, 60, 3), np.uint8)))
    return folder


def finds_bright(tensor):
    """As a model of the contract: what is bright is the subject."""
    return (tensor[:, :1] > 0).astype(np.float32)


@pytest.fixture
def run(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(label, "load_model", lambda path: finds_bright)
    return lambda: label.main(["m.onnx", str(tmp_path / "out"), "--pictures", str(photos), "--source", "lab"])


def test_what_it_writes_can_be_trained_on(run, tmp_path, capsys):
    assert run() == 0
    assert "1 of 2 pictures" in capsys.readouterr().out
    (pair,) = read_pairs(tmp_path / "out")
    picture, mask = pair.decode()
    assert (pair.id, pair.source) == ("lab/square", "lab")
    assert picture.shape[:2] == mask.shape == (213, 320)
    np.testing.assert_allclose(mask.mean() / 255, 0.25, atol=0.01)
    assert set(np.unique(mask)) == {0, 255}
    assert (picture[mask > 0].mean(), picture[mask == 0].mean()) == pytest.approx((255, 0), abs=4)
    with Image.open(tmp_path / "out/masks.png") as page:
        assert np.asarray(page).std() > 20


def test_rows_that_somebody_has_looked_at_are_not_written_over(run, tmp_path, capsys):
    run()
    manifest = tmp_path / "out/manifest.csv"
    manifest.write_text("id,image,mask,source\n")
    assert run() == 1
    assert "holds a data set already" in capsys.readouterr().err
    assert manifest.read_text() == "id,image,mask,source\n"


def test_a_file_that_is_no_picture_is_named_and_left_out(run, photos, tmp_path, capsys, caplog):
    (photos / "broken.png").write_bytes(b"not a picture")
    assert run() == 0
    assert "Left out: " in caplog.text
    assert "broken.png" in caplog.text
    assert "1 of 3 pictures" in capsys.readouterr().out
    assert len(read_pairs(tmp_path / "out")) == 1


def test_equal_names_in_two_folders_stay_two_pictures(run, photos, tmp_path):
    for part in ("a", "b"):
        (photos / part).mkdir()
        shutil.copy(photos / "square.png", photos / part / "same.png")
    assert run() == 0
    assert [pair.id for pair in read_pairs(tmp_path / "out")] == ["lab/a/same", "lab/b/same", "lab/square"]


def test_without_a_single_mask_nothing_stands_in_the_way_of_the_next_try(run, photos, capsys):
    hidden = (photos / "square.png").rename(photos / "square.txt")
    assert run() == 1
    assert "finds a subject in none of the pictures" in capsys.readouterr().err
    hidden.rename(photos / "square.png")
    assert run() == 0


def test_specks_go_and_pinholes_close():
    mask = np.zeros((100, 100), bool)
    mask[10:60, 10:60] = True
    mask[70:90, 70:90] = True  # a sixth of the largest part: another subject
    whole = mask.copy()
    mask[30, 30] = False
    mask[2, 90:95] = True
    assert (label.tidy(mask) == whole).all()
    mask[20:40, 20:40] = whole[20:40, 20:40] = False  # a real hole
    assert (label.tidy(mask) == whole).all()
    assert not label.tidy(np.zeros((8, 8), bool)).any()
