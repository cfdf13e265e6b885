"""What the tests of batches share: small folders of photos, and a mask in place of a model."""

import pytest
from contracts import FakeSession
from images import ball, file_of

from processing.batch import make_plan, run_batch
from processing.pipeline import run
from processing.recipe import Recipe
from processing.sessions.pool import SessionPool

PICTURE, MASK = ball(24, 32)
FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


class Folders:
    """An input folder, an output folder that is not made yet, and short ways to look into them."""

    def __init__(self, root):
        self.root, self.input, self.output = root, root / "photos", root / "cutouts"
        self.journal = self.output / "cutout-batch.jsonl"
        self.input.mkdir()

    def add(self, *names, picture=PICTURE):
        """Write photos of these names."""
        for name in names:
            path = self.input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file_of(picture, FORMATS[path.suffix[1:].lower()]))

    def plan(self, **options):
        return make_plan(self.input, self.output, Recipe(**options))

    def run(self, *, backend="threads", workers=2, overwrite=False, progress=None, cancel=None, limits=None, **options):
        recipe = Recipe(**options)
        return run_batch(
            make_plan(self.input, self.output, recipe),
            recipe,
            workers=workers,
            backend=backend,
            overwrite=overwrite,
            progress=progress,
            cancel=cancel,
            limits=limits,
        )

    def outputs(self):
        """Return the names of all files in the output folder but the journal."""
        paths = (path for path in self.output.rglob("*") if path.is_file() and path != self.journal)
        return sorted(path.relative_to(self.output).as_posix() for path in paths)

    def contents(self, folder):
        return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path)


@pytest.fixture
def model(monkeypatch):
    """Put a mask in place of the model, for workers in this process; return the names of the photos it was shown."""
    pool, shown = SessionPool(lambda spec, provider: FakeSession(MASK)), []

    def noted(data, recipe, *, name, **options):
        shown.append(name)
        return run(data, recipe, name=name, pool=pool, **options)

    monkeypatch.setattr("processing.batch.worker.run", noted)
    return shown
