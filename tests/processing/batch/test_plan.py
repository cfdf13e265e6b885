"""Which input becomes which output."""

import os
import unicodedata

import pytest

from processing.batch.plan import PHOTO_SUFFIXES, make_plan
from processing.errors import ImageError, StoreError
from processing.formats import FORMATS
from processing.recipe import Recipe


def outputs_of(folders, *inputs, **options):
    """Return the outputs of files of these names, in their order; empty files will do, the bytes come later."""
    for name in inputs:
        (folders.input / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.input / name).touch()
    planned = {file.input: file.output for file in folders.plan(**options).files}
    assert sorted(planned) == sorted(inputs)
    return [planned[name] for name in inputs]


# Names


def test_sub_folders_are_kept(folders):
    assert outputs_of(folders, "a.jpg", "b/a.jpg", "b/c/a.jpg") == ["a.png", "b/a.png", "b/c/a.png"]


@pytest.mark.parametrize(("format", "output"), [("webp", "a.webp"), ("tiff", "a.tif"), ("mask", "a.png")])
def test_format_gives_the_suffix(folders, format, output):
    assert outputs_of(folders, "a.jpg", format=format) == [output]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["a.jpg", "a.png"], ["a.jpg.png", "a.png.png"]),
        (["a.jpg", "A.png"], ["a.jpg.png", "A.png.png"]),
        (["a.jpg", "b/a.png"], ["a.png", "b/a.png"]),
        (["a.jpg", "a.png", "c.jpg"], ["a.jpg.png", "a.png.png", "c.png"]),
        (["a.jpg", "a.png", "a.jpg.webp"], ["a.jpg.png", "a.png.png", "a.jpg.webp.png"]),
        (["a.jpg.jpg", "a.jpg"], ["a.jpg.png", "a.png"]),
        (["a.jpg", "a.png/b.jpg"], ["a.jpg.png", "a.png/b.png"]),  # a.png is a folder here
        (["straße.jpg", "STRASSE.png"], ["straße.jpg.png", "STRASSE.png.png"]),
    ],
)
def test_two_inputs_never_get_the_same_output(folders, inputs, outputs):
    assert outputs_of(folders, *inputs) == outputs


@pytest.mark.parametrize("pair", [("a.jpg", "A.jpg"), ("a.jpg", "a.JPG"), ("\xe9.jpg", "e\u0301.jpg")])
def test_names_that_some_disks_take_as_one_are_told_apart(folders, pair):
    for name in pair:
        (folders.input / name).touch()
    if len(os.listdir(folders.input)) == 1:
        pytest.skip("this disk takes the two names as one")
    outputs = outputs_of(folders, *pair)
    assert len({unicodedata.normalize("NFC", output).casefold() for output in outputs}) == 2
    assert outputs == outputs_of(folders, *pair)


def test_names_do_not_depend_on_the_order_in_which_the_disk_lists(folders, monkeypatch):
    names = ["b.jpg", "a.png", "a.jpg", "c/a.jpg", "B.webp"]
    expected = outputs_of(folders, *names)
    walk = os.walk
    monkeypatch.setattr(
        os, "walk", lambda *args, **kw: ((at, dirs, files[::-1]) for at, dirs, files in walk(*args, **kw))
    )
    assert outputs_of(folders, *names) == expected


def test_names_that_are_no_text_are_kept(folders):
    name = os.fsdecode(b"caf\xe9.jpg")
    assert outputs_of(folders, name) == [os.fsdecode(b"caf\xe9.png")]


# What is a photo


def test_every_format_that_is_read_is_found_by_its_suffix_in_any_case(folders):
    assert {image_format.suffix for image_format in FORMATS} <= PHOTO_SUFFIXES
    names = [f"photo{suffix.upper()}" for suffix in sorted(PHOTO_SUFFIXES)]
    for name in names:
        (folders.input / name).touch()
    assert [file.input for file in folders.plan().files] == names


def test_hidden_files_and_files_that_are_no_photos_are_counted(folders):
    for name in ("a.jpg", ".hidden.jpg", "notes.txt", "Thumbs.db", "jpg", "b.jpg.part"):
        (folders.input / name).touch()
    (folders.input / ".cache").mkdir()
    (folders.input / ".cache" / "b.jpg").touch()
    plan = folders.plan()
    assert [file.input for file in plan.files] == ["a.jpg"]
    assert plan.other_files == 6


def test_pipe_with_the_name_of_a_photo_is_left_alone(folders):
    (folders.input / "a.jpg").touch()
    os.mkfifo(folders.input / "b.jpg")
    assert [file.input for file in folders.plan().files] == ["a.jpg"]


def test_linked_photo_is_read_and_linked_folder_is_not_entered(folders):
    elsewhere = folders.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.jpg").touch()
    (folders.input / "a.jpg").symlink_to(elsewhere / "b.jpg")
    (folders.input / "more").symlink_to(elsewhere)
    (folders.input / "circle").symlink_to(folders.input)
    plan = folders.plan()
    assert [file.input for file in plan.files] == ["a.jpg"]
    assert sorted(plan.linked_folders) == ["circle", "more"]


def test_link_that_leads_nowhere_is_planned_so_that_it_is_reported(folders):
    (folders.input / "a.jpg").symlink_to(folders.root / "gone.jpg")
    assert [file.input for file in folders.plan().files] == ["a.jpg"]


def test_folder_that_cannot_be_listed_is_reported(folders, monkeypatch):
    (folders.input / "a.jpg").touch()
    (folders.input / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (failure,) = folders.plan().unreadable
    assert (failure.input, failure.reason) == ("closed", "The folder closed cannot be listed: Permission denied.")


# Folders that are refused


def test_nothing_is_written_by_planning(folders):
    folders.add("a.jpg")
    folders.plan()
    assert os.listdir(folders.root) == ["photos"]


@pytest.mark.parametrize(
    "output", ["photos", "photos/", "photos/cutouts", "photos/new/cutouts", ".", "link", "link/out"]
)
def test_folders_inside_each_other_are_refused(folders, output):
    folders.add("a.jpg")
    (folders.root / "link").symlink_to(folders.input)
    before = folders.contents(folders.root)
    with pytest.raises(StoreError, match=r"are the same or one lies inside the other: .*such as .*photos-cutouts"):
        make_plan(folders.input, folders.root / output)
    assert folders.contents(folders.root) == before


def test_linked_input_folder_is_seen_through(folders):
    folders.add("a.jpg")
    (folders.root / "link").symlink_to(folders.input)
    with pytest.raises(StoreError, match="one lies inside the other"):
        make_plan(folders.root / "link", folders.input / "out")
    assert len(make_plan(folders.root / "link", folders.output).files) == 1


def test_output_sub_folder_that_leads_into_the_input_folder_is_refused(folders):
    folders.add("sub/a.png")
    folders.output.mkdir()
    (folders.output / "sub").symlink_to(folders.input / "sub")
    with pytest.raises(StoreError, match=r"cutouts/sub is a link to .*photos/sub: cutouts would leave"):
        folders.plan()


def test_input_that_is_a_link_to_an_output_is_refused(folders):
    folders.output.mkdir()
    (folders.output / "a.png").touch()
    (folders.input / "a.png").symlink_to(folders.output / "a.png")
    with pytest.raises(StoreError, match=r"photos/a\.png is a link into the output folder"):
        folders.plan()


def test_output_folder_with_a_name_that_begins_alike_is_fine(folders):
    folders.add("a.jpg")
    assert len(make_plan(folders.input, folders.root / "photos-cutouts").files) == 1


def test_links_in_a_circle_give_a_sentence(folders):
    (folders.root / "one").symlink_to(folders.root / "two")
    (folders.root / "two").symlink_to(folders.root / "one")
    with pytest.raises((ImageError, StoreError)):
        make_plan(folders.root / "one", folders.output)


def test_missing_input_folder_gives_a_sentence(folders):
    with pytest.raises(ImageError, match=r"The input folder .*gone does not exist\. Give the path of a folder"):
        make_plan(folders.root / "gone", folders.output)


def test_file_as_input_folder_names_the_other_verb(folders):
    folders.add("a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg is a file, not a folder\. .*python -m processing remove .*a\.jpg"):
        make_plan(folders.input / "a.jpg", folders.output)


def test_file_as_output_folder_is_refused(folders):
    folders.add("a.jpg")
    folders.output.touch()
    with pytest.raises(StoreError, match=r"The output folder .*cutouts is a file"):
        folders.plan()


def test_folder_without_photos_gives_a_sentence(folders):
    (folders.input / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"no photos in .*photos and its sub-folders \(1 other files\)\. PNG, JPEG"):
        folders.plan()


def test_paths_may_be_texts(folders):
    folders.add("a.jpg")
    assert make_plan(str(folders.input), str(folders.output), Recipe()) == folders.plan()
