"""What the camera wrote about a photo: none of it in the cutout unless asked, the place only if asked for again."""

import io

import numpy as np
import pytest
from images import DATA, camera_exif, file_of, gradient
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from processing.encoders import ENCODERS
from processing.metadata import kept_exif

OUTPUTS = [name for name, encoder in ENCODERS.items() if encoder.content == "cutout"]
ABOUT_THE_PHOTO = {
    Base.Make: "Acme",
    Base.Model: "Acme One",
    Base.Software: "Acme Camera 7",
    Base.DateTime: "2024:05:06 07:08:09",
    Base.Artist: "Anna",
    Base.Copyright: "(c) Anna",
}
#: Of these an output file has its own: size, compression, resolution and so on, with the pointers to the blocks.
LAYOUT = {256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 338, 339, 34675, IFD.Exif, IFD.GPSInfo}


def photo(source: str) -> bytes:
    """Return a photo, stored sideways, in which a phone has written everything it writes."""
    if source == "HEIC":
        return (DATA / "turned.heic").read_bytes()
    return file_of(gradient(48, 64), source, exif=camera_exif(orientation=6).tobytes())


def with_thumbnail() -> bytes:
    """Return a JPEG whose EXIF block has the thumbnail directory that cameras add."""
    exif, thumbnail = camera_exif(), file_of(gradient(8, 8), "JPEG")
    block = bytearray(exif.tobytes())  # Exif\0\0, then a TIFF header in the order that byte 6 tells
    order = "big" if block[6:8] == b"MM" else "little"
    start = 6 + int.from_bytes(block[10:14], order)
    end = start + 2 + 12 * int.from_bytes(block[start : start + 2], order)
    second = len(block) - 6
    block[end : end + 4] = second.to_bytes(4, order)  # the next directory

    def entry(tag: int, value: int) -> bytes:
        return b"".join(n.to_bytes(size, order) for n, size in ((tag, 2), (4, 2), (1, 4), (value, 4)))

    block += (2).to_bytes(2, order) + entry(0x0201, second + 30) + entry(0x0202, len(thumbnail)) + bytes(4) + thumbnail
    return file_of(gradient(48, 64), "JPEG", exif=bytes(block))


def exif_of(data: bytes) -> Image.Exif:
    with Image.open(io.BytesIO(data)) as image:
        exif = image.getexif()
        exif.get_ifd(IFD.Exif)
        exif.get_ifd(IFD.GPSInfo)
        return exif


def block_of(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.fixture
def encoded(fake_result):
    """Return a function that cuts a photo out and encodes it."""

    def make(data: bytes, output: str, **options) -> bytes:
        result = fake_result(data, mask=[[1.0]])
        return result.encode(format=output, background="white", **options).data

    return make


def assert_nothing_private(data: bytes) -> None:
    exif = exif_of(data)
    assert Base.Orientation not in exif
    assert Base.MakerNote not in exif.get_ifd(IFD.Exif)
    assert IFD.IFD1 not in exif
    assert exif.get_ifd(IFD.IFD1) == {}
    assert b"SECRET-NOTE" not in data


SOURCES = ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIC"]


@pytest.mark.parametrize("source", SOURCES)
def test_photos_of_these_tests_hold_everything(source):
    with Image.open(io.BytesIO(photo(source))) if source != "HEIC" else opened_heic() as image:
        exif = image.getexif()
        assert exif[Base.Make] == "Acme"
        assert exif.get_ifd(IFD.Exif)[Base.MakerNote].startswith(b"SECRET-NOTE")
        assert exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] == "N"


def opened_heic() -> Image.Image:
    from pi_heif import HeifImageFile

    return HeifImageFile(io.BytesIO(photo("HEIC")))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_kept_by_default(encoded, source, output):
    data = encoded(photo(source), output)
    assert set(exif_of(data)) <= LAYOUT
    assert exif_of(data).get_ifd(IFD.Exif) == {}
    assert exif_of(data).get_ifd(IFD.GPSInfo) == {}
    assert b"Acme" not in data
    assert_nothing_private(data)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_camera_date_and_author_are_kept_on_request_and_the_place_is_not(encoded, source, output):
    data = encoded(photo(source), output, keep_metadata=True)
    exif = exif_of(data)
    assert {tag: exif.get(tag) for tag in ABOUT_THE_PHOTO} == ABOUT_THE_PHOTO
    assert set(exif) - set(ABOUT_THE_PHOTO) <= LAYOUT
    shot = exif.get_ifd(IFD.Exif)
    assert set(shot) == {Base.DateTimeOriginal, Base.ExposureTime}
    assert shot[Base.DateTimeOriginal] == "2024:05:06 07:08:09"
    assert shot[Base.ExposureTime] == pytest.approx(1 / 250)
    assert exif.get_ifd(IFD.GPSInfo) == {}
    assert_nothing_private(data)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", SOURCES)
def test_place_is_kept_on_a_second_request(encoded, source, output):
    data = encoded(photo(source), output, keep_metadata=True, keep_location=True)
    place = exif_of(data).get_ifd(IFD.GPSInfo)
    assert place[GPS.GPSLatitudeRef] == "N"
    assert [float(each) for each in place[GPS.GPSLatitude]] == [48, 51, 30]
    assert exif_of(data)[Base.Make] == "Acme"
    assert_nothing_private(data)


@pytest.mark.parametrize("output", OUTPUTS)
def test_request_for_the_place_alone_keeps_nothing(encoded, output):
    data = encoded(photo("JPEG"), output, keep_location=True)
    assert exif_of(data).get_ifd(IFD.GPSInfo) == {}
    assert b"Acme" not in data


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_cutout_says_nothing_of_an_orientation_that_was_applied(encoded, orientation, output):
    data = encoded(
        file_of(gradient(48, 64), "JPEG", exif=camera_exif(orientation)), output, keep_metadata=True, keep_location=True
    )
    with Image.open(io.BytesIO(data)) as image:
        assert Base.Orientation not in image.getexif()
        assert image.size == ((48, 64) if orientation > 4 else (64, 48))


@pytest.mark.parametrize("output", OUTPUTS)
def test_thumbnail_is_dropped(encoded, output):
    data = with_thumbnail()
    with Image.open(io.BytesIO(data)) as image:
        assert image.getexif().get_ifd(IFD.IFD1)[0x0202] > 100
    kept = encoded(data, output, keep_metadata=True, keep_location=True)
    assert exif_of(kept)[Base.Make] == "Acme"
    assert_nothing_private(kept)


@pytest.mark.parametrize("output", ["mask", "matte"])
def test_files_of_the_alpha_alone_never_hold_it(fake_result, output):
    data = fake_result(photo("JPEG"), keep_metadata=True, keep_location=True).encode(format=output).data
    assert b"Acme" not in data
    assert dict(exif_of(data)) == {}


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"])
def test_photo_without_data_gives_an_empty_block(source):
    assert kept_exif(file_of(gradient(8, 8), source), keep_location=True) == b""


def test_photo_of_which_nothing_is_kept_gives_an_empty_block():
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    data = file_of(gradient(8, 8), "JPEG", exif=exif)
    assert kept_exif(data, keep_location=False) == b""
    assert block_of(kept_exif(data, keep_location=True)).get_ifd(IFD.GPSInfo) == {GPS.GPSLatitudeRef: "N"}


def test_bytes_of_no_photo_give_an_empty_block():
    assert kept_exif(b"Dear diary", keep_location=True) == b""


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", b"Exif\x00\x00nonsense", b"Exif\x00\x00"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remark on the broken block
def test_broken_data_is_left_out_and_the_cutout_written(encoded, format, exif):
    data = file_of(gradient(8, 8), format, exif=exif)
    assert kept_exif(data, keep_location=True) == b""
    assert dict(exif_of(encoded(data, "png", keep_metadata=True, keep_location=True))) == {}


def test_broken_data_is_logged(caplog):
    kept_exif(file_of(gradient(8, 8), "PNG", exif=b"Exif\x00\x00nonsense"), keep_location=True)
    assert "EXIF data left out" in caplog.text


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's own remarks on broken blocks
def test_damage_anywhere_in_the_data_does_not_keep_the_cutout_from_being_written(fake_result):
    """Damage every byte of an EXIF block, and write what is left of it."""
    block = camera_exif().tobytes()
    result = fake_result(file_of(gradient(8, 8), "JPEG", exif=block), mask=[[1.0]])
    start = result.source.data.index(block[:10])
    for at in range(6, len(block)):
        data = bytearray(result.source.data)
        data[start + at] ^= 255
        damaged = kept_exif(bytes(data), keep_location=True)
        written = file_of(np.zeros((1, 1, 3), np.uint8), "JPEG", exif=damaged)
        with Image.open(io.BytesIO(written)) as image:
            assert image.getexif().get(Base.Orientation) is None
