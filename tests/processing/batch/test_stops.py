"""Real processes that are stopped in the middle: by Ctrl-C, by SIGTERM, and by SIGKILL.

Workers hold the pipes of the command open, so whoever has read them to the end knows that no worker is left.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from images import ball
from PIL import Image

PATIENCE_S = 120
PHOTOS = 24

if os.name != "posix":
    pytest.skip("signals are sent as on Unix", allow_module_level=True)


@pytest.fixture
def photos(folders):
    """Fill the input folder with photos that take long enough to be stopped among them."""
    folders.add(*(f"{number:02}.jpg" for number in range(PHOTOS)), picture=ball(900, 1200)[0])
    return folders


class Command:
    """The command in a process group of its own, as a terminal starts it."""

    def __init__(self, folders, *arguments):
        words = [sys.executable, "-m", "processing", "batch", folders.input, folders.output, *arguments]
        self.folders = folders
        self.process = subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, is_so):
        until = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self.process.poll() is None, f"it ended by itself: {self.process.communicate()}"
            assert time.monotonic() < until
            time.sleep(0.01)

    def wait_until_made(self, count):
        self.wait_for(lambda: made(self.folders) >= count)

    def end(self):
        """Return the exit code and the two outputs, once the command and all its workers are gone."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


def made(folders):
    """Count the finished photos in the journal."""
    try:
        return folders.journal.read_text("ascii").count('"output_size_bytes"')
    except FileNotFoundError:
        return 0


def assert_whole(folders):
    """All outputs can be read to the end, and nothing else lies beside them."""
    for name in folders.outputs():
        with Image.open(folders.output / name) as image:
            assert np.asarray(image).shape == (900, 1200, 4)


def finish(folders):
    """Run the same command again and return its report."""
    code, out, err = Command(folders, "--workers", "2", "--json").end()
    assert code == 0, err
    assert len(folders.outputs()) == PHOTOS
    assert_whole(folders)
    return json.loads(out)


@pytest.mark.parametrize(("number", "workers"), [("SIGINT", 2), ("SIGTERM", 2), ("SIGINT", 1)])
def test_stop_says_how_to_go_on_and_leaves_nothing_half_done(photos, number, workers):
    command = Command(photos, "--workers", workers)
    command.wait_until_made(3)
    if number == "SIGINT":
        os.killpg(command.process.pid, signal.SIGINT)  # as Ctrl-C does: the workers get it too
    else:
        command.process.terminate()
    code, out, err = command.end()
    done = made(photos)
    assert (code, "Traceback" in err) == (130, False), err
    assert f"Stopped. To go on, run the same command again: {done} done, {PHOTOS - done} left." in err
    assert f"{done} made, {PHOTOS - done} left" in out
    assert 3 <= done < PHOTOS
    assert_whole(photos)
    report = finish(photos)
    assert (report["skipped"], report["made"], report["failed"]) == (done, PHOTOS - done, 0)


@pytest.mark.parametrize("after_s", [0, 0.1, 0.25, 0.5])
def test_stop_while_the_workers_start_is_silent_too(photos, after_s):
    command = Command(photos, "--workers", "2", "--json")
    command.wait_for(photos.journal.exists)
    time.sleep(after_s)  # to meet them at different points of their start
    os.killpg(command.process.pid, signal.SIGINT)
    code, out, err = command.end()
    done = made(photos)
    assert (code, err) == (130, f"Stopped. To go on, run the same command again: {done} done, {PHOTOS - done} left.\n")
    report = json.loads(out)
    assert (report["interrupted"], report["made"], report["left"]) == (True, done, PHOTOS - done)
    assert_whole(photos)


def test_killed_batch_leaves_whole_outputs_and_no_workers_and_can_go_on(photos):
    command = Command(photos, "--workers", "2")
    command.wait_until_made(3)
    command.process.kill()
    command.process.wait()
    command.end()
    assert_whole(photos)
    done = made(photos)
    assert len(photos.outputs()) >= done
    report = finish(photos)
    assert (report["skipped"], report["made"], report["failed"]) == (done, PHOTOS - done, 0)
