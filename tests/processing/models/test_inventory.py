"""What is here of a model, whether it is whole, and removing it."""

import os
from dataclasses import replace

import pytest

from processing.errors import ModelError
from processing.models.download import Limits, fetch
from processing.models.fetching.lock import lock_model
from processing.models.folder import locate, model_folder
from processing.models.inventory import remove, status, verify
from processing.models.spec import find_model


def damage(path):
    """Change a byte, not the length."""
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def break_off(spec, server, answer):
    server.answers.append(answer(cut_after=200_000))
    with pytest.raises(ModelError):
        fetch(spec, limits=Limits(pauses_s=()))


def test_status_of_the_built_in_model():
    assert status(find_model("compact"), compare_hashes=True) == "built in"


def test_status_of_a_model_follows_what_is_done(spec, server, answer):
    seen = [status(spec)]
    break_off(spec, server, answer)
    seen.append(status(spec))
    fetch(spec)
    seen.append(status(spec))
    remove(spec)
    assert [*seen, status(spec)] == ["missing", "partly fetched", "here", "missing"]


def test_model_that_lacks_a_file_is_partly_fetched(pair):
    fetch(pair)
    (model_folder(pair) / "decoder.onnx").unlink()
    assert status(pair) == "partly fetched"


def test_damage_of_the_same_length_is_seen_by_the_checksum_only(spec):
    damage(fetch(spec))
    assert status(spec) == "here"
    assert status(spec, compare_hashes=True) == "damaged"


@pytest.mark.parametrize("content", [b"", b"short"])
def test_damage_of_another_length_is_seen_at_once(spec, content):
    known = replace(spec, size_bytes=300_000)
    fetch(known).write_bytes(content)
    assert status(known) == "damaged"


def test_empty_file_is_damaged_whatever_is_known(spec):
    fetch(spec).write_bytes(b"")
    assert status(spec) == "damaged"
    assert verify(spec) == [f"tiny: {locate(spec)} is damaged: it is empty."]


def test_verify_of_whole_files_finds_nothing(spec, pair):
    fetch(spec)
    fetch(pair)
    assert verify(spec) + verify(pair) + verify(find_model("compact")) == []


def test_verify_names_each_file_that_is_missing_or_damaged(pair):
    damage(fetch(pair))
    (model_folder(pair) / "decoder.onnx").unlink()
    first, second = verify(pair)
    assert first == f"pair: {locate(pair)} is damaged: their MD5 is not the one in the catalogue."
    assert second == f"pair: {locate(pair).with_name('decoder.onnx')} is missing."


def test_remove_deletes_the_files_and_their_folder(pair, home):
    fetch(pair)
    assert remove(pair) == 350_000
    assert not model_folder(pair).exists()
    assert remove(pair) == 0


def test_remove_deletes_a_part(spec, server, answer):
    break_off(spec, server, answer)
    assert remove(spec) > 0
    assert not model_folder(spec).exists()


def test_remove_deletes_only_what_it_knows(spec, legacy):
    path = fetch(spec)
    (legacy / "tiny.onnx").write_bytes(b"of an earlier version")
    for folder in (path.parent, legacy):
        (folder / "notes.txt").touch()
    remove(spec)
    assert os.listdir(path.parent) == os.listdir(legacy) == ["notes.txt"]


def test_remove_deletes_a_link_not_what_it_leads_to(spec, tmp_path):
    (tmp_path / "elsewhere.onnx").write_bytes(b"mine")
    model_folder(spec).mkdir(parents=True)
    (model_folder(spec) / "tiny.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    remove(spec)
    assert (tmp_path / "elsewhere.onnx").read_bytes() == b"mine"


def test_built_in_and_own_models_are_not_removed(spec, tmp_path):
    own = replace(spec, weights=tmp_path / "own.onnx", url="")
    own.weights.touch()
    for each, why in ((find_model("compact"), "comes with the project"), (own, "a file of your own")):
        with pytest.raises(ModelError, match=why):
            remove(each)
        assert each.weights.is_file()


def test_model_that_is_being_fetched_is_not_removed(spec):
    path = fetch(spec)
    with lock_model(spec), pytest.raises(ModelError, match="Another process is at work on 'tiny'"):
        remove(spec)
    assert path.is_file()
