"""The artifacts folder when things go wrong: processes that are killed, that write at once, a disk that is full.

The writers are real processes. They read a result from a file, because importing the models takes them longer than the
whole test.
"""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from images import ball, file_of
from PIL import Image

import processing
from processing.errors import StoreError
from processing.pipeline import remove_background
from processing.store import RECORD, ArtifactStore

CHECKOUT = Path(processing.__file__).parents[1]
PATIENCE_S = 60
YOUNG_UNTIL_S = 7200  # more than the hour for which unfinished writes are left alone

# Arguments: folder, file with the result, number of results, owner. It waits for a line, then reports each commit.
WRITER = """
import pickle, sys
from pathlib import Path
from processing.store import ArtifactStore

folder, result, count, owner = sys.argv[1:]
store, result = ArtifactStore(Path(folder)), pickle.loads(Path(result).read_bytes())
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(count)):
    print(store.save(result, owner=owner).id, flush=True)
"""

# Dies at each step of a write in turn: before each flush to the disk, before each rename, and after the last of them.
DIES_AT_EACH_STEP = """
import os, pickle, signal, sys
from pathlib import Path
from processing.store import ArtifactStore

folder, result, steps = sys.argv[1:]
store, result = ArtifactStore(Path(folder)), pickle.loads(Path(result).read_bytes())


def die_at(step):
    def counted(function):
        def call(*arguments):
            nonlocal step
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            step -= 1
            return function(*arguments)
        return call

    os.fsync, os.replace = counted(os.fsync), counted(os.replace)


for step in range(int(steps)):
    child = os.fork()
    if child == 0:
        die_at(step)
        store.save(result)
        os.kill(os.getpid(), signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "results")


@pytest.fixture
def stored(tmp_path, fake_result):
    """Write a small result to a file, for the writers, and return its path."""
    path = tmp_path / "result.pickle"
    path.write_bytes(pickle.dumps(fake_result()))
    return path


def start(script, *arguments):
    words = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)


def start_writer(store, stored, count, owner="local"):
    """Return a process that is ready to write; `go` starts it."""
    writer = start(WRITER, store.root, stored, count, owner)
    assert writer.stdout.readline() == "ready\n"
    return writer


def go(writer):
    writer.stdin.write("go\n")
    writer.stdin.flush()


def reported(text):
    """Return the ids of complete lines."""
    return [line.strip() for line in text.splitlines(keepends=True) if line.endswith("\n")]


def result_folders(store):
    return {name for name in os.listdir(store.root) if not name.startswith(".")}


def assert_whole(store, records):
    """Assert that of each result every file is there, unchanged, and nothing else."""
    for record in records:
        assert store.verify(record) == ()
        assert set(os.listdir(store.folder(record))) == {*record.files.values(), RECORD}


def make_old(store):
    long_ago = time.time() - YOUNG_UNTIL_S
    for name in result_folders(store):
        os.utime(store.root / name, (long_ago, long_ago))


# Killed


@pytest.mark.parametrize(
    ("reports", "then_s"), [(0, 0.002), (1, 0.0), (2, 0.005), (25, 0.003), (60, 0.008), (140, 0.011)]
)
def test_results_of_a_killed_process_are_whole_or_not_there(store, stored, reports, then_s):
    writer = start_writer(store, stored, 2000)  # far more than it will come to, however long the kill takes
    go(writer)
    committed = [writer.stdout.readline().strip() for _ in range(reports)]
    time.sleep(then_s)  # so that it dies in the middle of a write, anywhere
    writer.kill()
    committed += reported(writer.communicate(timeout=PATIENCE_S)[0])
    assert writer.returncode == -signal.SIGKILL
    assert len(committed) >= reports

    store.root.mkdir(exist_ok=True)  # it may not have come that far
    listed = store.list("local")
    assert_whole(store, listed)
    ids = {record.id for record in listed}
    assert set(committed) <= ids
    assert len(ids) - len(committed) <= 1  # the last one may have been committed but not reported
    leftovers = result_folders(store) - ids
    assert len(leftovers) <= 1

    assert store.remove_leftovers() == 0  # young: it may be a write under way
    assert result_folders(store) == ids | leftovers
    make_old(store)
    assert store.remove_leftovers() == len(leftovers)
    assert result_folders(store) == ids
    assert_whole(ArtifactStore(store.root), store.list("local"))


def test_process_killed_at_any_step_leaves_a_whole_result_or_a_leftover(store, stored):
    steps = 2 * 8 + 1  # a flush and a rename for each of the seven files and the record, and once after all of them
    dying = start(DIES_AT_EACH_STEP, store.root, stored, steps)
    printed, _ = dying.communicate(timeout=PATIENCE_S)
    assert printed.split() == [str(-signal.SIGKILL)] * steps

    (whole,) = store.list("local")  # only the one that died after the last rename
    assert whole.id == max(result_folders(store))
    assert_whole(store, [whole])
    assert len(result_folders(store)) == steps
    assert store.remove_leftovers() == 0
    make_old(store)
    under_way = store.root / "20260101T000000Z-0000000f"
    under_way.mkdir()
    assert store.remove_leftovers() == steps - 1
    assert result_folders(store) == {whole.id, under_way.name}
    assert_whole(store, [whole])


def test_two_processes_write_into_one_folder_without_colliding(store, stored):
    writers = [start_writer(store, stored, 60, owner) for owner in ("anna", "ben")]
    for writer in writers:
        go(writer)
    while any(writer.poll() is None for writer in writers):  # what is listed meanwhile is whole too
        assert_whole(store, ArtifactStore(store.root).list(None, limit=3))
    saved = [reported(writer.communicate(timeout=PATIENCE_S)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [len(set(ids)) for ids in saved] == [60, 60]
    for owner, ids in zip(("anna", "ben"), saved, strict=True):
        assert [record.id for record in store.list(owner)] == ids[::-1]  # newest first
    assert result_folders(store) == {*saved[0], *saved[1]}
    assert_whole(store, store.list(None))


# A full disk


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullFile:
    """A file on a full disk."""

    def __init__(self, descriptor, mode):
        self._descriptor = descriptor

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)

    write = no_space


@pytest.mark.parametrize("full_at", range(8))
@pytest.mark.parametrize("function", ["fdopen", "fsync"])
def test_full_disk_leaves_nothing_of_the_write_and_earlier_results_whole(
    store, fake_result, monkeypatch, function, full_at
):
    """Eight files are written; a disk may be full at each of them, on writing or on flushing."""
    earlier, written = store.save(fake_result()), 0
    works, full = getattr(os, function), FullFile if function == "fdopen" else no_space

    def fill(*arguments):
        nonlocal written
        written += 1
        return (full if written > full_at else works)(*arguments)

    monkeypatch.setattr(os, function, fill)
    with pytest.raises(StoreError, match=r"No space left on device\. Check .* that the disk is not full, then retry"):
        store.save(fake_result())
    monkeypatch.undo()
    assert written == full_at + 1
    assert os.listdir(store.root) == [earlier.id]
    assert_whole(store, store.list("local"))


def test_disk_too_full_for_a_folder_gives_a_sentence(store, fake_result, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: no_space())
    with pytest.raises(StoreError, match=r"No space left on device\. See that .* the disk not full.*CUTOUT_ARTIFACTS"):
        store.save(fake_result())


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 256 kB and return its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root on Linux can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_small_disk_that_runs_full_keeps_what_it_has(small_disk, fake_result):
    store, saved = ArtifactStore(small_disk / "results"), []
    picture = np.random.default_rng(1).integers(0, 256, (80, 60, 3), np.uint8)  # noise, which no format makes smaller
    big = fake_result(file_of(picture), mask=ball(80, 60)[1])

    def fill():
        for _ in range(100):  # far more than it has room for
            saved.append(store.save(big).id)

    with pytest.raises(StoreError, match=r"No space left on device\. Check .* that the disk is not full") as refusal:
        fill()
    assert isinstance(refusal.value.__cause__, OSError)
    assert refusal.value.__cause__.errno == errno.ENOSPC
    assert saved
    assert sorted(os.listdir(store.root)) == sorted(saved)
    assert [record.id for record in store.list("local")] == saved[::-1]
    assert_whole(store, store.list("local"))
    store.delete(store.get(saved[0], "local"))
    assert store.empty_trash() == 1
    assert store.verify(store.save(big)) == ()  # there is room again


# A folder that may not be written. Root may write everywhere, so the command gives its rights up, but only when it has
# everything in memory that the interpreter's folder may hide from others.

AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
from processing import ArtifactStore, cli, remove_background

with tempfile.TemporaryDirectory() as warming_up:
    ArtifactStore(Path(warming_up)).save(remove_background(sys.argv[1]))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(cli.main(sys.argv[2:]))
"""


class ReadOnlyPlace:
    """A folder with a photo, an artifacts folder that only root can write, and `out`, which others can write too."""

    def __init__(self, folder):
        self.photo, self.out, self.store = folder / "ball.png", folder / "out", ArtifactStore(folder / "artifacts")
        self.photo.write_bytes(file_of(ball()[0]))
        self.out.mkdir()
        self.out.chmod(0o777)

    def command(self, *arguments):
        """Run the command line as somebody who is not root."""
        return subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *map(str, [self.photo, *arguments])],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=CHECKOUT,
            env={**os.environ, "CUTOUT_ARTIFACTS": str(self.store.root)},
        )


@pytest.fixture
def read_only():
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can become somebody else, who may not write")
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip(f"others cannot reach {folder}")
        yield ReadOnlyPlace(folder)


@pytest.mark.parametrize("is_there", [True, False])
def test_read_only_folder_refuses_keep_but_the_cutout_is_written(read_only, fake_result, is_there):
    kept = [read_only.store.save(fake_result()).id] if is_there else []
    output = read_only.out / "cutout.png"
    done = read_only.command("remove", read_only.photo, output, "--keep")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"error: The result cannot be saved in {read_only.store.root}: Permission denied. See that the folder is "
        "writable and the disk not full, or name another one in CUTOUT_ARTIFACTS, and retry."
    )
    assert done.stderr.endswith(f"The cutout itself was written to {output}.\n")
    assert done.stderr.count("\n") == 1
    with Image.open(output) as image:  # what was asked for first is there, and whole
        np.testing.assert_array_equal(np.asarray(image), remove_background(read_only.photo).pixels)
    assert os.listdir(read_only.out) == ["cutout.png"]
    assert [record.id for record in read_only.store.list(None)] == kept
    assert read_only.store.root.exists() == is_there


def test_read_only_folder_can_be_listed_and_verified(read_only, fake_result):
    record = read_only.store.save(fake_result())
    listed = read_only.command("history", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith(record.id)
    assert read_only.command("history", "verify").returncode == 0


@pytest.mark.parametrize("action", ["delete", "prune"])
def test_nothing_is_deleted_from_a_read_only_folder(read_only, fake_result, action):
    record = read_only.store.save(fake_result())
    done = read_only.command("history", action, *{"delete": [record.id], "prune": ["--keep", "0"]}[action])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {read_only.store.folder(record)} cannot be deleted: Permission denied. See ")
    assert_whole(read_only.store, read_only.store.list(None))
    assert result_folders(read_only.store) == {record.id}


def test_prune_counts_only_what_it_could_delete(read_only, fake_result):
    record = read_only.store.save(fake_result())
    read_only.store.delete(record)
    done = read_only.command("history", "prune")
    assert (done.returncode, done.stdout) == (0, "0 deleted for good\n")
    assert f"{record.id} cannot be deleted" in done.stderr
    assert read_only.store.restore(record.id, None) == record
    assert_whole(read_only.store, read_only.store.list(None))
