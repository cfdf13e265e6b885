"""What a run gives back."""

import base64
import io
import os
import re

import numpy as np
import pytest
from images import gradient
from PIL import Image

from processing.composite import over
from processing.errors import EncodingError, StoreError


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_cutout_is_the_pixels_as_a_pillow_image(fake_result):
    result = fake_result()
    assert result.cutout.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result.cutout), result.pixels)


def test_encode_follows_the_recipe(fake_result):
    result = fake_result(format="png", background="#102030")
    encoded = result.encode()
    assert (encoded.media_type, encoded.suffix) == ("image/png", ".png")
    np.testing.assert_array_equal(np.asarray(opened(encoded.data)), over(result.pixels, (0x10, 0x20, 0x30)))


def test_encode_takes_another_format_and_background_without_a_new_run(fake_result):
    result = fake_result()
    encoded = result.encode(format="jpeg", background="white")
    assert encoded.media_type == "image/jpeg"
    assert opened(encoded.data).mode == "RGB"
    assert result.recipe.as_dict()["format"] == "png"


def test_encode_takes_the_background_away_again(fake_result):
    result = fake_result(background="white")
    np.testing.assert_array_equal(np.asarray(opened(result.encode(background="transparent").data)), result.pixels)


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "PNG"), ("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("A.PNG", "PNG")]
)
def test_save_takes_the_format_from_the_suffix(fake_result, tmp_path, name, format):
    result = fake_result(background="white" if format == "JPEG" else "transparent", format="webp")
    path = result.save(tmp_path / name)
    assert path == tmp_path / name
    with Image.open(path) as image:
        assert image.format == format
        assert image.size == (60, 40)
    assert os.listdir(tmp_path) == [name]


def test_save_takes_the_path_as_text(fake_result, tmp_path):
    assert fake_result().save(f"{tmp_path}/a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.txt"])
def test_save_refuses_an_unknown_suffix(fake_result, tmp_path, name):
    with pytest.raises(EncodingError, match="Unknown output format"):
        fake_result().save(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_save_refuses_a_transparent_jpeg_and_keeps_the_old_file(fake_result, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"old")
    with pytest.raises(EncodingError, match="JPEG cannot store a transparent background"):
        fake_result().save(tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == b"old"


def test_save_into_a_missing_folder_gives_a_sentence(fake_result, tmp_path):
    with pytest.raises(StoreError, match=r"missing/a\.png cannot be written: No such file or directory"):
        fake_result().save(tmp_path / "missing" / "a.png")


# In a notebook


def pictures_in(html: str) -> list[Image.Image]:
    return [opened(base64.b64decode(data)) for data in re.findall(r"src='data:image/webp;base64,([^']+)'", html)]


def test_notebook_cell_shows_before_and_after(fake_result):
    result = fake_result(gradient(40, 60))
    html = result._repr_html_()
    before, after = pictures_in(html)
    assert (before.mode, after.mode) == ("RGB", "RGBA")
    assert before.size == after.size == (60, 40)
    assert "ball.png, 60 x 40" in html
    assert "No clear subject" not in html


def test_notebook_cell_shows_the_transparency_of_the_photo(fake_result):
    picture = np.dstack([gradient(40, 60), np.tile(np.arange(60, dtype=np.uint8) * 4, (40, 1))])
    before, _ = pictures_in(fake_result(picture)._repr_html_())
    np.testing.assert_allclose(np.asarray(before)[..., 3], picture[..., 3], atol=4)


def test_notebook_cell_shows_a_large_photo_small(fake_result):
    for image in pictures_in(fake_result(gradient(500, 1000))._repr_html_()):
        width, height = image.size
        assert 320 <= width <= 480
        assert abs(width - 2 * height) <= 2


def test_notebook_cell_escapes_the_name_of_the_file(fake_result):
    html = fake_result(name="<script>alert('1')</script>\"&.png")._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&quot;&amp;.png" in html
    assert len(pictures_in(html)) == 2


def test_notebook_cell_says_that_no_subject_was_found(fake_result):
    assert "No clear subject was found" in fake_result(mask=np.zeros((2, 2)))._repr_html_()
