"""Choosing and fetching a model in a real browser; the files come from a server that the test holds back."""

from __future__ import annotations

import http.server
import threading

import pytest
from playwright.sync_api import expect
from serving import Server
from visitors import Visitor

from processing.models import find_model
from processing.models.integrity import readable_size

pytestmark = pytest.mark.ui

ROW = """
[twin]
title = "Twin of Compact"
about = "The built-in model under another name."
subjects = ["anything"]
wait_s = 1
runtime = "onnxruntime"
weights = "twin.onnx"
url = "http://127.0.0.1:{port}/twin.onnx"
size_bytes = {size}
sha256 = "{sha256}"
input_size = 320
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
empty_below = 0.65
code_licence = "MIT"
licence = "CC BY-NC 4.0"
caveat = "None."
commercial_use = "no"
attribution = "Somebody."
"""


class Publisher:
    """Serves the weights: half at once, the rest when the gate is open."""

    def __init__(self, data: bytes) -> None:
        self.gate, self.asked = threading.Event(), 0
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data[: len(data) // 2])
                    publisher.gate.wait(60)
                    self.wfile.write(data[len(data) // 2 :])
                except OSError:
                    pass  # whoever asked has gone

            def log_message(self, *_) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def publisher():
    publisher = Publisher(find_model("compact").weights.read_bytes())
    yield publisher
    publisher.gate.set()
    publisher.server.shutdown()
    publisher.server.server_close()


@pytest.fixture
def visitor(browser, publisher, tmp_path):
    spec, table = find_model("compact"), tmp_path / "models.toml"
    table.write_text(
        ROW.format(port=publisher.server.server_address[1], size=spec.size_bytes, sha256=spec.sha256), encoding="utf-8"
    )
    server = Server(
        tmp_path / "artifacts",
        CUTOUT_MODELS=str(table),
        U2NET_HOME=str(tmp_path / "models"),
        CUTOUT_MODEL_MIRROR="",
        NO_PROXY="127.0.0.1",
    )
    server.start()
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    visitor = Visitor(context, server.url).open()
    yield visitor
    context.close()
    server.stop()
    assert not visitor.problems


def choose(visitor, title: str) -> None:
    visitor.page.get_by_role("combobox", name="Model", exact=True).click()
    visitor.page.get_by_text(title).last.click()


def test_a_model_is_chosen_fetched_and_run(visitor, publisher, tmp_path):
    page, size = visitor.page, readable_size(find_model("compact").size_bytes)
    page.get_by_role("button", name="A cat").click()
    visitor.sees_before()
    page.get_by_role("button", name="Model: Compact").click()
    choose(visitor, "Twin of Compact")
    expect(page.get_by_role("button", name="Model: Twin of Compact")).to_be_visible()
    expect(page.get_by_text("not allowed")).to_be_visible()
    expect(visitor.run_button).to_be_disabled()
    fetch = page.get_by_role("button", name=f"Fetch the model ({size})")
    expect(fetch).to_be_visible()
    assert publisher.asked == 0, "nothing is fetched before the button is pressed"

    fetch.click()
    expect(page.get_by_text(f"of {size}")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Stop fetching").click()
    expect(fetch).to_be_visible(timeout=30_000)
    assert not list((tmp_path / "models").rglob("twin.onnx"))

    publisher.gate.set()
    fetch.click()
    expect(visitor.notice).to_contain_text("Twin of Compact is here and can be used.", timeout=30_000)
    expect(visitor.run_button).to_be_disabled()
    page.get_by_label("I use the result non-commercially").check()
    visitor.press_run()
    visitor.sees_after()
    expect(page.get_by_text("Made by twin on CPU")).to_be_visible()


def test_the_list_follows_what_is_wanted(visitor):
    page = visitor.page
    page.get_by_role("button", name="Model: Compact").click()
    page.get_by_label("Commercial use allowed only").check()
    expect(page.get_by_role("button", name="Model: U-2-Net small")).to_be_visible()
    expect(page.get_by_role("button", name="Fetch the model (4.6 MB)")).to_be_visible()
    page.get_by_role("combobox", name="The picture shows").click()
    page.get_by_text("Drawn figures").last.click()
    expect(page.get_by_role("button", name="Model: IS-Net anime")).to_be_visible()
