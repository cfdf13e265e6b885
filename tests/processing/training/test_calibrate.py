import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="training needs the extra: pip install -e '.[training]'")

from processing.errors import DatasetError
from processing.training import calibrate
from processing.training.data import Pair


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def hazy(tensor):
    """A model that sees red, leaves a haze of 0.15 everywhere and is never surer than 0.85."""
    red = tensor[:, :1] - tensor[:, 1:2]
    return np.where(red > 1, 0.85, 0.15).astype(np.float32)


def test_levels_remove_haze(monkeypatch):
    monkeypatch.setattr(calibrate, "EMPTY_PICTURES", 4)
    monkeypatch.setattr(calibrate, "render_empty", lambda rng, size: np.full((*size, 3), 90, np.uint8))
    picture, mask = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), np.uint8)
    picture[10:40, 20:50] = (250, 20, 20)
    mask[10:40, 20:50] = 255
    chosen = calibrate.calibrate(hazy, [Pair("0", "a", png(picture), png(mask))])
    assert chosen.levels == (0.15, 0.85)
    assert chosen.errors[0.0] > 0.14 > 0.03 > chosen.errors[0.15]
    assert chosen.mistakes(0.5) == (0.0, 0.0)
    assert chosen.mistakes(0.9) == (0.0, 1.0)
    assert chosen.mistakes(0.1) == (1.0, 0.0)


def test_without_a_pair_there_is_nothing_to_choose_by():
    with pytest.raises(DatasetError, match="Give the share that training set aside: --validation"):
        calibrate.calibrate(hazy, [])
