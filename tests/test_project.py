"""The project's own files agree with each other: pyproject.toml, environment.yml, the locks, the Makefile."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Where conda-forge has another name for a package: {name on PyPI: name on conda-forge}.
CONDA_NAMES = {"isal": "python-isal"}
# An address in a lock would tie it to one index, one mirror or one machine.
ADDRESS = re.compile(r"://|file:|^\s*-(?!-hash)|\b[\w-]+\.(org|com|net|io|dev)\b", re.MULTILINE)


def bounds(lines):
    """Read requirement lines as {canonical name: set of version bounds}."""
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): {str(bound) for bound in each.specifier} for each in requirements}


def locked(name):
    """Read a lock as {canonical name: (version, number of hashes)}."""
    text = "\n".join(
        line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    )
    entries = re.split(r"\n(?=\S)", text.strip())
    found = {}
    for entry in entries:
        match = re.match(r"([\w.-]+)==(\S+)", entry)
        assert match, f"not an exact version: {entry.splitlines()[0]}"
        assert canonicalize_name(match[1]) not in found, f"twice in {name}: {match[1]}"
        found[canonicalize_name(match[1])] = (match[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry)))
    return found


def run_make(*arguments, cwd=ROOT):
    """Run make as from a fresh shell: what an outer make or its user set must not reach it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k not in ("PYTHON", "PORT")}
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def fake_python(folder, code):
    """Write a shell script that stands for a Python."""
    path = folder / "fake-python"
    path.write_text(f"#!/bin/sh\n{code}\n", "utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    """Return a folder with just what `make install` reads before it makes .venv."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / ".make", tmp_path / ".make")
    for name in ("pyproject.toml", "requirements.lock", "requirements-test.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_environment_has_the_packages_and_bounds_of_pyproject():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    from_conda = bounds(entry for entry in entries if isinstance(entry, str))
    from_pip = bounds(line for entry in entries if isinstance(entry, dict) for line in entry["pip"])
    assert from_conda.pop("pip") == set()
    assert from_conda.pop("python") == set(PROJECT["project"]["requires-python"].split(","))

    expected = bounds(PROJECT["project"]["dependencies"])
    renamed = {CONDA_NAMES.get(name, name): bound for name, bound in expected.items() if name not in from_pip}
    assert from_conda == renamed
    assert from_pip == {name: expected.get(name) for name in from_pip}


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_lock_has_hashes_and_no_address(name):
    assert [package for package, (_, hashes) in locked(name).items() if hashes == 0] == []
    assert ADDRESS.search((ROOT / name).read_text("utf-8")) is None


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements.lock", PROJECT["dependency-groups"]["build"]),
        ("requirements-test.lock", PROJECT["dependency-groups"]["test"]),
    ],
    ids=["dependencies", "build", "test"],
)
def test_lock_satisfies_the_bounds(name, requirements):
    versions = locked(name)
    for each in map(Requirement, requirements):
        assert each.specifier, f"{each.name} has no lower bound"
        assert each.specifier.contains(versions[canonicalize_name(each.name)][0]), each


def test_locks_agree_where_they_overlap():
    runtime, tests = locked("requirements.lock"), locked("requirements-test.lock")
    assert {name: tests[name][0] for name in runtime.keys() & tests.keys()} == {
        name: runtime[name][0] for name in runtime.keys() & tests.keys()
    }


def test_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1].split()
    done = run_make()
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == phony


def test_install_refuses_an_old_python_in_one_sentence(checkout, tmp_path):
    python = fake_python(tmp_path, "echo 3.10")
    done = run_make("install", f"PYTHON={python}", cwd=checkout)
    assert done.returncode != 0
    assert f"found {python} (3.10); Cutout needs Python 3.11 to 3.14" in done.stderr
    assert "make install PYTHON=" in done.stderr
    assert not (checkout / ".venv").exists()


def test_install_says_when_python_does_not_run(checkout, tmp_path):
    python = fake_python(tmp_path, "exit 127")
    done = run_make("install", f"PYTHON={python}", cwd=checkout)
    assert done.returncode != 0
    assert f"found {python} (missing or not running)" in done.stderr
    assert not (checkout / ".venv").exists()


def test_install_names_the_package_when_venv_is_missing(checkout, tmp_path):
    # Prints a version, fails at `import ensurepip, venv`: Debian's Python without python3-venv.
    python = fake_python(tmp_path, 'case "$2" in *ensurepip*) exit 1;; *) echo 3.11;; esac')
    done = run_make("install", f"PYTHON={python}", cwd=checkout)
    assert done.returncode != 0
    assert "apt-get install python3.11-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_install_calls_no_pip_when_nothing_changed(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.locked").touch()
    (checkout / ".venv/.installed").touch()
    done = run_make("--dry-run", "install", cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert "pip" not in done.stdout
