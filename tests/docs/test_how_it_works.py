"""The pages name what exists: functions, files, pictures, links; and their pictures and figures are the code's."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.samples import find_sample
from processing import run

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "artifacts/README.md",
    "dashboard/samples/SOURCES.md",
    "docs/architecture.md",
    "docs/edges.md",
    "docs/how-it-works.md",
    "docs/models.md",
    "docs/providers.md",
    "docs/speed.md",
    "docs/training.md",
    "processing/models/weights/compact.md",
]


@pytest.fixture(scope="module")
def make_pictures():
    """The script docs/make_pictures.py as a module."""
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def result():
    sample = find_sample("astronaut")
    return run(sample.read(), name=sample.file_name)


def resolve(dotted: str) -> None:
    """Import as much of a dotted name as is a module and look the rest up in it; fields of classes count."""
    parts = dotted.split(".")
    value = importlib.import_module(parts[0])
    for index, part in enumerate(parts[1:], 1):
        if hasattr(value, part):
            value = getattr(value, part)
        elif part in getattr(value, "__annotations__", {}):
            return
        else:
            value = importlib.import_module(".".join(parts[: index + 1]))


def targets(document) -> list[str]:
    """List what the links and pictures of a page point to."""
    markdown = re.findall(r"\]\(([^)\s]+)\)", document.prose)
    html = re.findall(r"(?:src|href)=\"([^\"]+)\"", document.prose)
    return [target for target in markdown + html if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Return the anchors that a Markdown page's headings get."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_every_dotted_name_exists(page, document):
    for name in set(re.findall(r"`((?:processing|dashboard)(?:\.\w+)+)`", document(page).text)):
        if not name.endswith(".py"):
            resolve(name)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CONTRIBUTING.md"])  # it also says where files go
def test_every_file_that_is_named_exists(page, document):
    code = re.findall(r"`([^`\n]+)`", document(page).prose)
    words = {word for each in code for word in each.split()}
    paths = {word for word in words if re.match(r"(processing|dashboard|docs|tests)/[\w./-]*$", word)}
    assert {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page, document):
    for target in targets(document(page)):
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text("utf-8")), target


def test_every_picture_is_used_and_every_use_has_a_description(document):
    used = {
        ((ROOT / page).parent / target).resolve()
        for page in PAGES
        for target in targets(document(page))
        if target.endswith((".png", ".webp"))
    }
    assert used == set(IMAGES.iterdir())
    for page in PAGES:
        text = re.sub(r"`[^`]*`", "", document(page).prose)
        assert not re.search(r"!\[\s*\]\(", text)
        assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", text))


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in IMAGES.iterdir()}
    assert all(size < 150_000 for size in sizes.values()), sizes
    assert sum(sizes.values()) < 1_000_000


def test_pictures_are_those_of_the_code(make_pictures, tmp_path):
    make_pictures.draw_steps(tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    of_a_measurement = {"growth.webp", "edges.webp"}  # tests/benchmarks/speed and edges draw them
    assert drawn == {path.name for path in IMAGES.glob("*.webp")} - of_a_measurement
    for name in drawn - {"folder.webp"}:  # that one shows the time of its run
        with Image.open(tmp_path / name) as new, Image.open(IMAGES / name) as kept:
            assert new.size == kept.size
            difference = np.asarray(new.convert("RGB"), float) - np.asarray(kept.convert("RGB"), float)
            assert np.abs(difference).mean() < 2, f"{name} is out of date: run docs/make_pictures.py"


@pytest.mark.ui
def test_screenshots_can_be_taken(make_pictures, tmp_path):
    with ThreadPoolExecutor(1) as thread:  # one thread takes one Playwright, and the page tests may have theirs here
        thread.submit(make_pictures.take_screenshots, tmp_path).result()
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in IMAGES.glob("*.png")}
    for name, (width, height, dark) in make_pictures.VIEWS.items():
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size == (width, height)
            corner = image.convert("L").getpixel((2, height - 2))
            assert corner < 64 if dark else corner > 192


def test_example_code_runs(document):
    code = "".join(document("docs/how-it-works.md").blocks("python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    values, restarted = done.stdout.splitlines()
    assert values.startswith("(1, 3, 320, 320) (1, 1, 320, 320) (512, 512) {'decode'")
    assert restarted == "True {}"


def test_figures_are_those_of_a_run(document, result):
    text = " ".join(document("docs/how-it-works.md").text.split())
    share = {
        "0": (result.alpha == 0).mean(),
        "1": (result.alpha == 1).mean(),
        "between": ((result.alpha > 0) & (result.alpha < 1)).mean(),
    }
    for sentence in (
        f"the {len(result.source.data):,} bytes of `astronaut.jpg`",
        f"from {result.tensor.min():.2f} to {result.tensor.max():.2f}",
        f"from {result.raw.min():.3f} to {result.raw.max():.3f}",
        f"{share['0']:.0%} of the pixels are 0, {share['1']:.0%} are 1, and {share['between']:.0%} lie between".replace(
            "%", " %"
        ),
    ):
        assert sentence in text


def test_card_has_the_weights_figures(document, result):
    text = document("processing/models/weights/compact.md").text
    spec = result.model
    assert f"`{spec.sha256}`" in text
    assert f"{spec.size_bytes:,} bytes" in text
    assert f"levels = [{spec.levels[0]}, {spec.levels[1]}]" in text
    assert f"empty_below = {spec.empty_below}" in text
    assert all(f"{value}" in text for value in (*spec.mean, *spec.std))
    assert spec.card == ROOT / "processing/models/weights/compact.md"
