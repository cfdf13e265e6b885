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
from processing import ArtifactStore, run

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
        assert (alpha.mode, alpha.size) == ("L", (451, 300))


def test_scripts_read_the_folder(document, stored):
    plain, with_library = document(PAGE).blocks("python")
    where = stored.parents[1]
    done = subprocess.run([sys.executable, "-I", "-c", plain], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == ["cat.jpg", f"artifacts/{stored.name}/result.png"]

    done = subprocess.run([sys.executable, "-c", with_library], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Image.open(where / f"{stored.name}.webp") as built, Image.open(stored / "result.png") as kept:
        assert np.array_equal(np.asarray(built)[..., 3], np.asarray(kept)[..., 3])


@pytest.mark.parametrize("which", [0, 1], ids=["one", "all"])
def test_commands_delete_results(document, stored, which):
    root = stored.parent
    (root / "README.md").write_text("stays", "utf-8")
    command = document(PAGE).commands()[which]
    named = re.search(r"artifacts/(\d{8}T\d{6}Z-[0-9a-f]{8})$", command)
    if named:
        stored.rename(root / named[1])
    done = subprocess.run(["bash", "-c", command], cwd=root.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in root.iterdir()] == ["README.md"]
    assert ArtifactStore(root).list("local") == []
