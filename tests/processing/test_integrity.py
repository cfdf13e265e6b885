"""Whether the files of a model are there and whole."""

import hashlib
from dataclasses import replace

import pytest

from processing.errors import ModelError
from processing.models import WeightsFile, find_model
from processing.models.folder import model_folder
from processing.models.integrity import find_difference, readable_size, require_weights

DATA = b"weights of a model"


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Return the row of a model of two files, which lie where they are fetched to."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    spec = replace(
        find_model("u2netp"),
        size_bytes=len(DATA),
        sha256="",
        md5=hashlib.md5(DATA).hexdigest(),
        more_files=(
            WeightsFile("more.onnx", "https://example.org/more.onnx", sha256=hashlib.sha256(DATA).hexdigest()),
        ),
    )
    folder = model_folder(spec)
    folder.mkdir(parents=True)
    for file in spec.files:
        (folder / file.name).write_bytes(DATA)
    return spec


def test_whole_weights_give_their_path(fetched):
    assert require_weights(fetched) == model_folder(fetched) / "u2netp.onnx"


@pytest.mark.parametrize("name", ["u2netp.onnx", "more.onnx"])
def test_missing_file_says_how_to_get_it(fetched, name):
    (model_folder(fetched) / name).unlink()
    with pytest.raises(ModelError, match=rf"'u2netp' are not at .*{name}\. Fetch them with .*models fetch u2netp"):
        require_weights(fetched)


@pytest.mark.parametrize(
    ("name", "data", "telling"),
    [
        ("u2netp.onnx", DATA[:-1], "they have 17 bytes and should have 18"),
        ("u2netp.onnx", DATA.upper(), "their MD5 is not the one in the catalogue"),
        ("more.onnx", DATA.upper(), "their SHA256 is not the one in the catalogue"),
    ],
)
def test_other_file_is_noticed(fetched, name, data, telling):
    (model_folder(fetched) / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"damaged: {telling}.*models fetch"):
        require_weights(fetched)


def test_file_of_which_nothing_is_known_passes(tmp_path):
    path = tmp_path / "any.onnx"
    path.write_bytes(DATA)
    assert find_difference(path, WeightsFile("any.onnx")) == ""


def test_size_is_named_where_it_is_known(fetched):
    (model_folder(fetched) / "u2netp.onnx").unlink()
    known = replace(fetched, size_bytes=4_600_000, more_files=())
    with pytest.raises(ModelError, match=r"Fetch them \(4\.6 MB\) with"):
        require_weights(known)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "unknown size"), (4_553_903, "4.6 MB"), (175_997_641, "176 MB"), (1.26e9, "1.3 GB")]
)
def test_sizes_are_readable(size, text):
    assert readable_size(size) == text
