import csv
import shutil

import numpy as np
import pytest
from images import file_of

pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.errors import DatasetError
from processing.training.data import Pair, Sampler, read_pairs, read_pictures, split


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.png").write_bytes(file_of(np.full((4, 6, 3), (250, 10, 20), np.uint8)))
    (tmp_path / "set/m.png").write_bytes(file_of(np.eye(4, 6, dtype=np.uint8) * 255))
    write_manifest(tmp_path / "set", [{"id": "one", "image": "a.png", "mask": "m.png", "source": "red"}])
    return tmp_path / "set"


def write_manifest(folder, rows):
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_pair_is_rgb_and_its_mask(folder):
    (pair,) = read_pairs(folder)
    picture, mask = pair.decode()
    assert (pair.id, pair.source) == ("one", "red")
    assert picture.shape == (4, 6, 3)
    assert picture[0, 0].tolist() == [250, 10, 20]
    assert mask.tolist() == (np.eye(4, 6) * 255).tolist()


def test_a_zip_file_reads_as_its_folder_does(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", folder)
    assert read_pairs(tmp_path / "set.zip")[0].image == read_pairs(folder)[0].image
    assert list(read_pictures(tmp_path / "set.zip")) == ["a.png", "m.png"]
    assert archive.endswith("set.zip")


def test_a_manifest_without_sources_takes_the_folder_for_one(folder):
    write_manifest(folder, [{"id": "one", "image": "a.png", "mask": "m.png"}])
    assert read_pairs(folder)[0].source == "set"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "one", "image": "a.png"}, "needs the columns"),
        ({"id": "one", "image": "b.png", "mask": "m.png"}, "holds no b.png"),
        ({"id": "one", "image": "a.png", "mask": ""}, "line 2, lacks an id, an image or a mask"),
        ({"id": "one", "image": "a.png", "mask": "small.png"}, "The mask of 'one' is no picture, or of another size"),
        (
            {"id": "one", "image": "a.png", "mask": "manifest.csv"},
            "The mask of 'one' is no picture, or of another size",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_is_named(folder, row, words):
    write_manifest(folder, [row])
    (folder / "small.png").write_bytes(file_of(np.eye(2, 3, dtype=np.uint8) * 255))
    with pytest.raises(DatasetError, match=words):
        read_pairs(folder)


def test_a_mask_that_lies_on_its_side_is_refused_when_it_is_drawn():
    """The head of a file does not say how the camera was held; only the decoded picture does."""
    picture, mask = np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4), np.uint8)
    with pytest.raises(DatasetError, match="The mask of 'one' is no picture, or of another size"):
        Pair("one", "s", file_of(picture), file_of(mask)).decode()


def test_a_manifest_reads_as_a_spreadsheet_writes_it(folder):
    text = (folder / "manifest.csv").read_text().replace("red", "Gewächshaus")
    (folder / "manifest.csv").write_text(text, encoding="utf-8-sig")
    assert read_pairs(folder)[0].source == "Gewächshaus"
    (folder / "manifest.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DatasetError, match="is not in UTF-8"):
        read_pairs(folder)


def test_a_zip_file_may_hold_its_folder_too(folder, tmp_path):
    shutil.make_archive(str(tmp_path / "named"), "zip", tmp_path, "set")
    assert read_pairs(tmp_path / "named.zip")[0].image == read_pairs(folder)[0].image


def test_a_place_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(DatasetError, match=r"There are no pictures in .*Read are \.bmp"):
        read_pictures(tmp_path)


def test_a_folder_without_a_manifest_and_a_file_that_is_no_zip_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"holds no manifest\.csv"):
        read_pairs(tmp_path)
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(DatasetError, match="neither a folder nor a zip file"):
        read_pairs(tmp_path / "x.zip")


def test_a_pair_stays_on_its_side_when_others_come():
    pairs = [Pair(f"{number}", "s", b"", b"") for number in range(500)]
    train, validation = split(pairs, 0.1)
    assert 30 < len(validation) < 70
    assert len(train) + len(validation) == 500
    assert split(pairs[:250], 0.1)[1] == [pair for pair in validation if int(pair.id) < 250]


def test_sources_come_up_by_their_weights():
    sampler = Sampler(["a"] * 90 + ["b"] * 10, {"a": 1, "b": 3}, np.ones(100, np.float32))
    rng = np.random.default_rng(0)
    drawn = np.array([sampler.draw(rng) for _ in range(6000)])
    assert np.mean(drawn >= 90) == pytest.approx(0.75, abs=0.03)
    assert set(drawn) == set(range(100))


def test_hard_pairs_come_up_more_often_but_not_without_limit():
    difficulty = np.array([1, 1, 1, 1, 100], np.float32)
    sampler = Sampler(["a"] * 5, {}, difficulty)
    rng = np.random.default_rng(0)
    counts = np.bincount([sampler.draw(rng) for _ in range(4000)], minlength=5)
    assert counts[4] / counts[:4].mean() == pytest.approx(4, rel=0.1)  # the limits: 2 against 0.5


def test_weights_that_name_no_source_are_refused():
    with pytest.raises(DatasetError, match="Sources: a"):
        Sampler(["a"], {"b": 1.0}, np.ones(1, np.float32))
