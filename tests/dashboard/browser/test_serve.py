"""The server for looking at a site: this machine only, with our headers or without."""

import threading
import urllib.request

import pytest

from dashboard.browser.__main__ import main
from dashboard.browser.errors import BuildError
from dashboard.browser.headers import HEADERS
from dashboard.browser.serve import make_server


@pytest.fixture
def site(tmp_path):
    for name in ("index.html", "a.mjs", "b.wasm", "c.webmanifest"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def get(site):
    """Fetch a file from a server of the site; returns its headers."""

    def fetch(path, **options):
        with make_server(site, **options) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{path}", timeout=30) as reply:
                headers = reply.headers
            server.shutdown()
        return headers

    return fetch


def test_types_are_those_that_browsers_ask_for(get):
    assert get("a.mjs").get_content_type() == "text/javascript"
    assert get("b.wasm").get_content_type() == "application/wasm"
    assert get("c.webmanifest").get_content_type() == "application/manifest+json"


def test_every_reply_has_our_headers(get):
    headers = get("b.wasm")
    assert {name: headers[name] for name in HEADERS} == HEADERS


def test_plain_replies_have_none(get):
    headers = get("", plain=True)
    assert not [name for name in HEADERS if name in headers]


def test_policy_forbids_other_hosts_and_eval():
    policy = HEADERS["Content-Security-Policy"]
    assert "http" not in policy
    assert "'unsafe-eval'" not in policy
    assert "'unsafe-inline'" not in policy.replace("style-src 'self' blob: 'unsafe-inline'", "")


def test_refusals_are_sentences(site, tmp_path, capsys):
    with pytest.raises(BuildError, match=r"There is no folder .* Build one"):
        make_server(tmp_path / "none")
    with make_server(site) as server, pytest.raises(BuildError, match=r"cannot be used: .*Try another: --port"):
        make_server(site, server.server_port)
    assert main(["serve", str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err
