"""artifacts/README.md describes what a real run writes, key by key and file by file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.samples import find_sample
from processing import ArtifactStore, Recipe, run
from processing.encoders import ENCODERS
from processing.store import TRASH

PAGE = "artifacts/README.md"


@pytest.fixture
def stored(tmp_path):
    """A folder with an artifacts folder in it, and the folder of a result in that."""
    sample = find_sample("cat")
    store = ArtifactStore(tmp_path / "artifacts")
    return store.folder(store.save(run(sample.read(), name=sample.file_name)))


def keys(value: dict, before: str = "") -> set[str]:
    """Return the keys of a nested dict, those inside another one with a dot."""
    found: set[str] = set()
    for key, inner in value.items():
        found |= keys(inner, f"{before}{key}.") if isinstance(inner, dict) else {before + key}
    return found


def read_record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text("utf-8"))


def test_every_key_is_described_and_every_described_key_exists(document, stored):
    table = document(PAGE).text.partition("| key | value |")[2].partition("\n\n")[0]
    described = re.findall(r"^\| `([\w.-]+)` \|", table, re.MULTILINE)
    assert len(described) == len(set(described))
    assert set(described) == keys(read_record(stored))
    formats = next(line for line in table.splitlines() if line.startswith("| `recipe.format`"))
    assert set(re.findall(r"`([a-z]+)`", formats.rpartition("|")[0].partition(":")[2])) == set(ENCODERS)


def test_the_example_is_of_this_format(document, stored):
    (example,) = map(json.loads, document(PAGE).blocks("json"))
    real = read_record(stored)
    assert list(example) == list(real)
    assert keys(example) == keys(real)
    assert example["schema"] == real["schema"]
    sample = find_sample("astronaut").read()
    assert example["source"]["size_bytes"] == len(sample)


def test_every_file_and_role_is_described(document, stored):
    table = document(PAGE).text.partition("| file | role | content |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "`" in line]
    described = {re.findall(r"`([^`]+)`", file)[0].split(".")[0]: role.strip("`") for file, role, _ in rows}
    record = read_record(stored)
    assert {name: role for name, role in described.items() if role} == {
        Path(name).stem: role for role, name in record["files"].items()
    }
    assert {path.name for path in stored.iterdir()} == {*record["files"].values(), "record.json"}
    with Image.open(stored / "alpha.png") as alpha:
        assert (alpha.mode, alpha.size) == ("I;16", (451, 300))


def test_scripts_read_the_folder(document, stored):
    plain, with_library = document(PAGE).blocks("python")
    where = stored.parents[1]
    done = subprocess.run([sys.executable, "-I", "-c", plain], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["cat.jpg", f"artifacts/{stored.name}/result.png"]

    done = subprocess.run([sys.executable, "-c", with_library], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Image.open(where / f"{stored.name}.webp") as built, Image.open(stored / "result.png") as kept:
        difference = np.asarray(built, int) - np.asarray(kept, int)
        # Alpha is stored in 16 bits, so a colour that is estimated from it may round the other way.
        assert np.abs(difference).max() <= 1
        assert (difference != 0).mean() < 1e-3


def test_timings_are_those_of_the_steps_that_ran(stored):
    store = ArtifactStore(stored.parent)
    earlier = store.load(store.get(stored.name, "local"))
    again = store.save(run(earlier.source.data, Recipe(format="webp"), name="cat.jpg", previous=earlier))
    assert again.timings_s == {}


@pytest.fixture
def in_the_folder(document, stored, environment):
    """Give a function: run the one command of the page with these words, in the folder above `artifacts`."""

    def call(words: str) -> subprocess.CompletedProcess[str]:
        (command,) = (each for each in document(PAGE).commands() if words in each)
        if named := re.search(r"\d{8}T\d{6}Z-[0-9a-f]{8}", command):
            command = command.replace(named[0], stored.name)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=stored.parents[1],
            env={**environment, "CUTOUT_ARTIFACTS": "artifacts"},
            capture_output=True,
            text=True,
        )

    return call


def test_verify_finds_a_change(in_the_folder, stored):
    done = in_the_folder("history verify")
    assert (done.returncode, done.stdout) == (0, "1 checked, 0 damaged files\n")
    (stored / "alpha.png").write_bytes(b"changed")
    done = in_the_folder("history verify")
    assert done.returncode == 1
    assert f"{stored.name}/alpha.png" in done.stdout


def test_delete_moves_to_the_trash_and_prune_empties_it(in_the_folder, stored):
    root = stored.parent
    assert in_the_folder("history delete").returncode == 0
    assert [path.name for path in root.iterdir()] == [TRASH]
    (root / TRASH / stored.name).rename(stored)  # by hand, as the page says
    assert [record.id for record in ArtifactStore(root).list("local")] == [stored.name]

    assert in_the_folder("history delete").returncode == 0
    assert in_the_folder("history prune").stdout == "1 deleted for good\n"
    assert list((root / TRASH).iterdir()) == []


@pytest.mark.parametrize("words", ["rm -r artifacts/20", "rm -r artifacts/2*"], ids=["one", "all"])
def test_commands_delete_by_hand(in_the_folder, stored, words):
    root = stored.parent
    (root / "README.md").write_text("stays", "utf-8")
    done = in_the_folder(words)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in root.iterdir()] == ["README.md"]
    assert ArtifactStore(root).list("local") == []
