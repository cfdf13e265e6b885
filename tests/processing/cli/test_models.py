"""`models`: the catalogue and the files of models, from the command line."""

import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from processing.cli import main
from processing.cli.transfers import line, open_display
from processing.models import ModelSpec
from processing.models.fetching.progress import ProgressReport
from processing.models.folder import locate
from processing.models.inventory import status
from processing.models.spec import load_catalogue

DATA = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep models in temporary folders, and settings of this machine out."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY", "U2NET_HOME", "CUTOUT_MODEL_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def published():
    """Publish two files on this machine; return the address of their folder."""

    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            is_there = self.path in ("/small.onnx", "/other.onnx", "/slow.onnx")
            self.send_response(200 if is_there else 404)
            self.send_header("Content-Length", str(len(DATA) if is_there else 0))
            self.end_headers()
            if is_there and self.command == "GET":
                self.wfile.write(DATA[: len(DATA) // 2])
                if self.path == "/slow.onnx":
                    ended.wait()
                else:
                    self.wfile.write(DATA[len(DATA) // 2 :])

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    ended.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def small(published, monkeypatch):
    """Put two small models and one that is nowhere into the catalogue, and return the first."""

    def row(name, file, **more):
        return ModelSpec(
            name,
            name.title(),
            "For tests.",
            "onnxruntime",
            Path(f"{name}.onnx"),
            url=f"{published}/{file}",
            md5=hashlib.md5(DATA).hexdigest(),
            **more,
        )

    rows = [
        load_catalogue()["compact"],
        row("small", "small.onnx", commercial_use="declared", subjects=("people",), licence="MIT", wait_s=2),
        row("other", "other.onnx", commercial_use="no", licence="CC BY-NC 4.0"),
        row("gone", "gone.onnx"),
    ]
    for module in ("processing.models.spec", "processing.models.archive", "processing.cli.models"):
        monkeypatch.setattr(f"{module}.load_catalogue", lambda: {each.name: each for each in rows})
    return rows[1]


@pytest.fixture
def models(capsys):
    """Return a function that runs `models` and gives exit code, standard output and standard error."""

    def run(*arguments):
        code = main(["models", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def models_json(models):
    """Return a function that runs `models ... --json` and gives exit code and what was printed."""

    def run(*arguments):
        code, out, err = models(*arguments, "--json")
        assert err == ""
        assert out.count("\n") == 1
        return code, json.loads(out)

    return run


# list and info


def test_list_is_a_table(models):
    code, out, err = models("list")
    assert (code, err) == (0, "")
    assert [line.split("  ")[0] for line in out.splitlines()] == ["NAME", "compact", "small", "other", "gone"]
    assert "built in" in out.splitlines()[1]
    assert out.splitlines()[2].split() == ["small", "Small", "unknown", "size", "missing", "declared", "2", "s"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--subject", "people"], ["compact", "small"]),
        (["--commercial-only"], ["small"]),
        (["--subject", "anime"], []),
        (["--subject", "anything", "--commercial-only"], []),
    ],
)
def test_list_can_be_narrowed(models_json, options, names):
    code, printed = models_json("list", *options)
    assert code == 0
    assert [each["name"] for each in printed["models"]] == names


def test_size_of_what_is_here_is_listed(models, models_json):
    models("fetch", "small")
    assert models_json("list", "--commercial-only")[1]["models"][0]["size_bytes"] == len(DATA)


def test_info_tells_terms_origin_and_place(models, small):
    code, out, _ = models("info", "other")
    assert code == 0
    for words in ("other: Other", "CC BY-NC 4.0", "not allowed", "missing", "other.onnx", "MD5 "):
        assert words in out


def test_json_of_info_has_everything(models_json, small):
    code, printed = models_json("info", "small")
    assert code == 0
    assert printed["path"] == str(locate(small))
    assert printed["files"] == [{"name": "small.onnx", "url": small.url, "size_bytes": None, "md5": small.md5}]
    assert {"licence", "code_licence", "caveat", "attribution", "source", "commercial_use"} <= set(printed)


@pytest.mark.parametrize("action", [["info"], ["fetch"], ["verify"], ["remove"], ["export", "models.zip"]])
def test_unknown_name_is_exit_code_1_and_a_sentence(models, models_json, small, action):
    code, out, err = models(*action, "smal")
    assert (code, out) == (1, "")
    assert err.startswith("error: Unknown model 'smal'. Known: compact, small")
    assert "Did you mean 'small'?" in err
    assert models_json(*action, "smal")[1]["kind"] == "ModelError"


@pytest.mark.parametrize(
    "arguments", [[], ["lisst"], ["info"], ["remove"], ["export", "x"], ["import"], ["list", "--subject", "x"]]
)
def test_wrong_usage_is_exit_code_2(models, arguments):
    with pytest.raises(SystemExit) as stop:
        models(*arguments)
    assert stop.value.code == 2


# A broken file of models


@pytest.mark.parametrize("text", [None, "[a\n", '[a]\ntitle = "A"\n'], ids=["missing", "broken", "incomplete"])
@pytest.mark.parametrize(
    "verb",
    [["models", "list"], ["models", "info", "u2net"], ["doctor"], ["remove", "photo.jpg", "--model", "u2net"]],
    ids=" ".join,
)
def test_broken_file_of_models_is_exit_code_1_and_a_sentence(tmp_path, verb, text):
    own = tmp_path / "models.toml"
    if text is not None:
        own.write_text(text)

    def run(*words):
        command = [sys.executable, "-m", "processing", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUTOUT_MODELS": str(own)})
        return done.returncode, done.stdout, done.stderr

    code, out, err = run(*verb)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "models.toml" in err
    code, out, rest = run(*verb, "--json")
    assert (code, rest) == (1, "")
    assert json.loads(out) == {"error": err.removeprefix("error: ").rstrip("\n"), "kind": "ModelError"}


def test_help_is_given_in_spite_of_a_broken_file_of_models(tmp_path):
    command = [sys.executable, "-m", "processing", "remove", "--help"]
    environment = {**os.environ, "CUTOUT_MODELS": str(tmp_path / "gone.toml")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--model NAME" in done.stdout


# fetch


def test_fetch_names_size_and_terms_first(models, small):
    code, out, err = models("fetch", "small")
    first, second, last = out.splitlines()
    assert code == 0
    assert first == f"small: 0.1 MB from {small.url}"
    assert (
        second == "small: licence MIT; commercial use: declared as allowed; the terms of the training data are stricter"
    )
    assert last == f"small is here: {locate(small)}"
    assert "small: fetching" in err
    assert locate(small).read_bytes() == DATA


def test_fetch_of_what_is_here_says_where(models, small):
    models("fetch", "small")
    assert models("fetch", "small")[1] == f"small is here: {locate(small)}\n"


def test_json_of_fetch_prints_nothing_else(models_json, small):
    assert models_json("fetch", "small") == (
        0,
        {"fetched": [{"name": "small", "path": str(locate(small))}], "failed": []},
    )


def test_fetch_goes_on_after_one_that_fails(models, models_json, small):
    code, _, err = models("fetch", "gone", "small")
    assert code == 1
    assert "error: http://127.0.0.1" in err
    assert "gone.onnx is not there (the server says 404)" in err
    assert status(small) == "here"
    code, printed = models_json("fetch", "--all")
    assert code == 1
    assert [each["name"] for each in printed["fetched"]] == ["small", "other"]
    assert [each["name"] for each in printed["failed"]] == ["gone"]


def test_fetch_from_a_mirror(models, small, published):
    code, out, _ = models("fetch", "gone", "--mirror", f"{published}/elsewhere")
    assert code == 1
    assert out.splitlines()[0] == f"gone: unknown size from {published}/elsewhere/gone.onnx"


@pytest.mark.parametrize("arguments", [[], ["small", "--all"]])
def test_fetch_takes_names_or_all(models, arguments):
    code, _, err = models("fetch", *arguments)
    assert code == 1
    assert "Name the models to fetch, or give --all" in err


def test_fetch_of_the_built_in_model_is_refused(models):
    code, _, err = models("fetch", "compact")
    assert code == 1
    assert err == "error: 'compact' is not fetched: it comes with the project.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_interrupt_ends_a_fetch_and_keeps_what_has_come(tmp_path, published, home):
    own = tmp_path / "models.toml"
    own.write_text(
        f'[slow]\ntitle = "Slow"\nabout = "For tests."\nruntime = "onnxruntime"\nweights = "slow.onnx"\n'
        f'url = "{published}/slow.onnx"\nmd5 = "{hashlib.md5(DATA).hexdigest()}"\n'
    )
    words = [sys.executable, "-m", "processing", "models", "fetch", "slow"]
    environment = {**os.environ, "CUTOUT_MODELS": str(own)}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environment) as child:
        part = home / "models" / "slow" / ".tmp-slow.onnx"
        while not (part.is_file() and part.stat().st_size):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode == 130
    assert "slow: 0.1 MB from" in out
    assert "Traceback" not in err
    assert part.stat().st_size > 0
    assert not part.with_name("slow.onnx").exists()


# verify and remove


def test_verify_checks_what_is_here(models, models_json, small):
    models("fetch", "small")
    assert models("verify") == (0, "2 checked, 0 files missing or damaged\n", "")
    assert models_json("verify", "compact") == (0, {"checked": ["compact"], "problems": []})


def test_verify_finds_damage(models, models_json, small):
    models("fetch", "small")
    locate(small).write_bytes(DATA[::-1])
    code, out, _ = models("verify")
    assert code == 1
    assert out.splitlines() == [
        f"small: {locate(small)} is damaged: their MD5 is not the one in the catalogue.",
        "2 checked, 1 files missing or damaged",
    ]
    assert models_json("verify", "other")[0] == 1


def test_remove_frees_space(models, models_json, small):
    models("fetch", "small")
    assert models("remove", "small") == (0, "small: 0.1 MB freed\n", "")
    assert models("remove", "small") == (0, "small: nothing was here\n", "")
    models("fetch", "small")
    assert models_json("remove", "small") == (0, {"removed": [{"name": "small", "size_bytes": len(DATA)}]})


def test_built_in_model_is_not_removed(models):
    code, _, err = models("remove", "compact")
    assert code == 1
    assert "comes with the project" in err


# export and import


def test_models_are_carried_over(models, models_json, small, tmp_path):
    archive = tmp_path / "models.zip"
    models("fetch", "small", "other")
    code, out, err = models("export", archive, "small", "other")
    assert (code, out) == (0, f"small, other: 0.2 MB written to {archive}\n")
    assert "small: packing" in err
    models("remove", "small", "other")
    code, printed = models_json("import", archive)
    assert code == 0
    assert printed["size_bytes"] == 2 * len(DATA)
    assert printed["models"][0] == {"name": "small", "path": str(locate(small))}
    assert locate(small).read_bytes() == DATA


def test_export_of_what_is_not_here_is_exit_code_1(models, tmp_path):
    code, out, err = models("export", tmp_path / "models.zip", "small")
    assert (code, out) == (1, "")
    assert "models fetch small" in err


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


REPORT = ProgressReport("small", "Fetching", 45_000_000, 176_000_000, 5_100_000, 26)


def test_terminal_shows_a_bar_with_speed_and_time_left():
    terminal = Terminal()
    with open_display(terminal) as display:
        display(REPORT)
        display(ProgressReport("small", "Waiting", 0, 176_000_000, note="Tries again in 2 s."))
        display(ProgressReport("small", "Fetching", 176_000_000, 176_000_000))
    text = terminal.getvalue()
    assert "small, fetching" in text
    assert "45.0M/176M" in text
    assert "100%" in text
    assert "small: Tries again in 2 s." in text


def test_elsewhere_there_are_few_lines():
    stream = io.StringIO()
    with open_display(stream) as display:
        for _ in range(100):
            display(REPORT)
        display(ProgressReport("small", "Checking"))
    assert stream.getvalue() == ("small: fetching, 45 MB of 176 MB, 5.1 MB a second, 0:26 left\nsmall: checking\n")


def test_line_leaves_out_what_is_not_known():
    assert line(ProgressReport("small", "Fetching")) == "fetching"
    assert line(ProgressReport("small", "Fetching", 5_000_000)) == "fetching, 5.0 MB"
    assert line(ProgressReport("small", "Waiting", note="Why.")) == "waiting. Why."
