"""README.md tells the truth: its commands run, its code runs, its lists are those of the code."""

from __future__ import annotations

import http.cookiejar
import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from dashboard.controller import HISTORY_LENGTH
from processing import Recipe, cli
from processing.cli import remove
from processing.composite import BACKGROUNDS
from processing.encoders import ENCODERS
from processing.formats import SUPPORTED
from processing.images import DecodeLimits
from processing.jobs import default_queue
from processing.store import TRASH_KEPT

ROOT = Path(__file__).resolve().parents[2]

#: Commands that no test can run, and why; the README lists the same ones with the day they were last tried.
NOT_RUN = {
    "git clone ADDRESS cutout && cd cutout": "the address is the reader's",
    "python -m dashboard.browser build site": "needs Pyodide's distribution; tests/dashboard/browser builds without it",
    "python -m dashboard.browser serve site": "needs the site",
    "conda env create -f environment.yml": "needs conda and its channels",
    "conda activate cutout": "needs conda",
    "pip install -e . --no-deps": "would change the environment that the tests run in",
}
LOGIN = "--basic-auth"


@pytest.fixture(scope="module")
def readme(document):
    return document("README.md")


def is_server(command: str) -> bool:
    return re.search(r"\b(make serve|panel serve)\b", command) is not None


def test_every_command_is_run_or_listed(readme):
    commands = readme.commands()
    assert set(NOT_RUN) <= set(commands)
    run_here = "".join(block for block in readme.blocks("bash") if "python -m processing" in block).splitlines()
    assert len([block for block in readme.blocks("bash") if "python -m processing" in block]) == 3  # all are run below
    assert [line for line in commands if line not in NOT_RUN and line not in run_here and not is_server(line)] == []


def test_what_was_not_tried_is_said_with_a_date(readme):
    section = readme.text.partition("## What was not tried")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "`" in line]
    assert [row[0].strip("`") for row in rows] == list(NOT_RUN)
    assert all(re.match(r"\d{4}-\d\d-\d\d\b|never$", row[2]) for row in rows)


def test_commands_run(readme, workplace, environment):
    block = next(block for block in readme.blocks("bash") if "python -m processing remove" in block)
    done = subprocess.run(["bash", "-e", "-c", block], cwd=workplace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, format, mode, side in (
        ("photo-cutout.png", "PNG", "RGBA", 512),
        ("cutout.webp", "WEBP", "RGBA", 400),
        ("photo-cutout.jpg", "JPEG", "RGB", 512),
        ("mask.png", "PNG", "L", 512),
        ("cutout.avif", "AVIF", "RGBA", 512),
    ):
        with Image.open(workplace / name) as image:
            assert (image.format, image.mode, image.size) == (format, mode, (side, side))
    with Image.open(workplace / "on-blue.png") as image:
        assert (image.mode, image.getpixel((330, 20))) == ("RGB", (0x2A, 0x6F, 0x97))
    assert not Path(environment["CUTOUT_ARTIFACTS"]).exists(), "nothing is stored without --keep"


def test_history_commands_run(readme, workplace, environment):
    block = next(block for block in readme.blocks("bash") if "python -m processing history" in block)
    done = subprocess.run(["bash", "-e", "-c", block], cwd=workplace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = Path(environment["CUTOUT_ARTIFACTS"]).iterdir()
    _, kept, listed, verified, pruned = done.stdout.splitlines()
    assert kept.endswith(folder.name)
    assert listed.startswith(folder.name)
    assert (verified, pruned) == ("1 checked, 0 damaged files", "0 deleted for good")


def test_batch_commands_run(readme, workplace, environment):
    (workplace / "photos" / "red").mkdir(parents=True)
    shutil.copy(workplace / "photo.jpg", workplace / "photos" / "red" / "one.jpg")
    shutil.copy(workplace / "photo.jpg", workplace / "photos" / "two.jpg")
    block = next(block for block in readme.blocks("bash") if "python -m processing batch" in block)
    done = subprocess.run(["bash", "-e", "-c", block], cwd=workplace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.relative_to(workplace).as_posix() for path in workplace.glob("[cf]*/**/*.[pj][np]g")}
    assert made == {"cutouts/red/one.png", "cutouts/two.png", "for-the-shop/red/one.jpg", "for-the-shop/two.jpg"}


def test_library_code_runs(readme, workplace, environment):
    code = next(block for block in readme.blocks("python") if "remove_background" in block)
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(512, 512) float32")
    with Image.open(workplace / "photo-cutout.png") as cutout, Image.open(workplace / "photo-on-white.jpg") as on_white:
        assert (cutout.mode, on_white.mode) == ("RGBA", "RGB")
    with Image.open(workplace / "photo-small.webp") as small:
        assert (small.mode, small.size) == ("RGBA", (400, 400))


def test_notebook_code_is_that_of_the_example(readme):
    code = next(block for block in readme.blocks("python") if "Dashboard()" in block)
    cells = json.loads((ROOT / "docs" / "example.ipynb").read_text("utf-8"))["cells"]
    assert code.strip() in ["".join(cell["source"]) for cell in cells]  # which test_notebook.py executes


def test_a_run_opens_no_connection(workplace, environment):
    code = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
from processing.cli import main
sys.exit(main(["remove", "photo.jpg", "--keep"]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_options_exit_codes_formats_and_limits_are_those_of_the_code(readme, capsys):
    options = {flag for verb in ("remove", "batch") for flag in flags_of(capsys, verb) if not flag.startswith("--no-")}
    assert options == set(re.findall(r"^\| `(--[a-z-]+)", readme.text, re.MULTILINE))

    codes = set(map(int, re.findall(r"^\| (\d+) \|", readme.text, re.MULTILINE)))
    assert codes == {remove.DONE, cli.FAILED, 2, remove.NO_SUBJECT, cli.INTERRUPTED}
    row = next(line for line in readme.text.splitlines() if line.startswith("| `--format"))
    assert set(re.findall(r"`([a-z]+)`", row)) == set(ENCODERS)
    row = next(line for line in readme.text.splitlines() if line.startswith("| `--background"))
    assert set(re.findall(r"`([a-z]+)`", row)) == set(BACKGROUNDS)
    quality = Recipe.param.quality
    assert f"{quality.bounds[0]} to {quality.bounds[1]}, {quality.default} if not given" in readme.text
    code = readme.text.partition("The options are those of `remove`: ")[2].partition(". ")[0]
    assert set(re.findall(r"`([a-z_]+)`", code)) == set(Recipe.option_names())
    assert f"{DecodeLimits().max_bytes // 1_000_000} MB and {DecodeLimits().max_megapixels:g} megapixels" in readme.text
    assert f"{SUPPORTED} are read" in readme.text
    sides = {name: encoder.max_side for name, encoder in ENCODERS.items()}
    assert (
        f"WebP holds at most {sides['webp']} pixels a side, AVIF {sides['avif']}, JPEG {sides['jpeg']}" in readme.text
    )
    assert f"{default_queue().max_per_owner} jobs in the queue" in readme.text
    assert HISTORY_LENGTH == 12, "Your last twelve results"
    assert timedelta(hours=1) == TRASH_KEPT, "at least an hour"


def test_verbs_and_options_of_history_are_those_of_the_code(readme, capsys):
    rows = re.findall(
        r"^\| `(\w+)(?: ID)?` \| (.*) \|$", readme.text.partition("| `history` |")[2].partition("\n\n")[0], re.MULTILINE
    )
    with pytest.raises(SystemExit):
        cli.main(["history", "--help"])
    assert [verb for verb, _ in rows] == re.findall(r"^    (\w+)  ", capsys.readouterr().out, re.MULTILINE)
    for verb, text in rows:
        assert flags_of(capsys, "history", verb) - {"--json"} == set(re.findall(r"--[a-z-]+", text))
    for verb in cli.VERBS:
        assert f"`{verb.__name__.rpartition('.')[2]}`" in readme.text


def flags_of(capsys, *verb: str) -> set[str]:
    """Return the options that the help of a verb names."""
    with pytest.raises(SystemExit):
        cli.main([*verb, "--help"])
    return set(re.findall(r"--[a-z-]*[a-z]", capsys.readouterr().out)) - {"--help"}


def test_heic_is_read_and_never_written(readme):
    # What "Licence" says of pi-heif.
    assert "`pi-heif`" in readme.text
    code = "import sys, processing, dashboard; print([name for name in sys.modules if 'heif' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert re.search(r"^pi-heif==", lock, re.MULTILINE)
    assert not re.search(r"^pillow-heif==", lock, re.MULTILINE)


@pytest.mark.ui
def test_make_serve_serves_the_page(serve, free_port):
    # With another lock `make serve` would make the environment anew, the one that this test runs in.
    state = subprocess.run(["make", "--question", ".venv/.locked"], cwd=ROOT, capture_output=True)
    assert state.returncode == 0, "The environment is not that of requirements.lock: run `make install`."
    url = f"http://127.0.0.1:{free_port}/"
    with serve("make serve", url, cwd=ROOT, PORT=str(free_port)) as log:
        assert "<title>Cutout</title>" in fetch(url)
        assert f"open {url} in a browser" in log.read_text("utf-8")


def servers(text: str) -> list[str]:
    """List the commands that serve, except `make serve` alone, which has a test of its own."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = (" ".join(line.split()) for line in "".join(blocks).replace("\\\n", " ").splitlines())
    return sorted({line for line in lines if is_server(line)} - {"make serve"})


@pytest.mark.ui
@pytest.mark.parametrize("command", servers((ROOT / "README.md").read_text("utf-8")))
def test_server_answers(command, readme, serve, free_port, workplace):
    (workplace / "users.json").write_text(readme.blocks("json")[0], "utf-8")
    url = f"http://127.0.0.1:{free_port}/"
    variables = {"PORT": str(free_port), "BOKEH_DEFAULT_SERVER_PORT": str(free_port)}
    command = command.replace("0.0.0.0", "127.0.0.1")  # a test opens nothing to the network
    with serve(command, url, cwd=ROOT if "make" in command else workplace, **variables):
        assert ("<title>Cutout</title>" in fetch(url)) is (LOGIN not in command)
        if LOGIN in command:
            assert "<title>Cutout</title>" not in fetch(url + "app", username="anna", password="wrong")
            assert "<title>Cutout</title>" in fetch(url + "app", username="anna", password="a long password")


def fetch(url: str, **login: str) -> str:
    """Return the page at an address, after sending a login form if one is given."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    if login:
        form = urllib.parse.urlencode(login).encode()
        opener.open(urllib.parse.urljoin(url, "/login"), form, timeout=60).close()
    with opener.open(url, timeout=60) as answer:
        return answer.read().decode()
