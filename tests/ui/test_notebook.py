"""The dashboard in a cell of a real JupyterLab, with no network but the lab's own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from photos import SAMPLES
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.ui

CELLS = (
    """
import panel as pn
from dashboard import Dashboard
pn.extension(inline=True)
""",
    """
dashboard = Dashboard()
dashboard
""",
)


@pytest.fixture
def lab(tmp_path):
    """Serve a folder with one notebook in it; gives the notebook's address."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip()) for source in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "try.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "CUTOUT_ARTIFACTS": str(tmp_path / "artifacts"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    log = (tmp_path / "lab.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={tmp_path}"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--IdentityProvider.token="),
            *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url="),
            "--LabApp.extension_manager=readonly",
        ],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "lab.log").read_text()
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=10).read()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/lab/tree/try.ipynb"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()


def test_dashboard_works_in_a_cell_without_the_internet(browser, lab):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    foreign = []
    origin = lab.split("/lab/")[0]
    allowed = (origin, origin.replace("http:", "ws:"), "data:", "blob:")
    context.on("request", lambda request: request.url.startswith(allowed) or foreign.append(request.url))
    page = context.new_page()
    page.goto(lab)
    idle = page.get_by_text("Python 3 (ipykernel) | Idle")
    idle.wait_for(timeout=180_000)
    page.get_by_text("pn.extension(inline=True)").first.click()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    page.get_by_text("Drop a photo here").wait_for(timeout=180_000)

    page.locator("input[type=file]").last.set_input_files(SAMPLES / "cat.jpg")
    expect(page.locator("figure[data-state=ready]")).to_have_count(1, timeout=60_000)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("figure[data-state=ready]")).to_have_count(2, timeout=60_000)
    give = page.get_by_role("button", name="Download PNG, transparent")
    expect(give).to_be_enabled(timeout=120_000)  # the cutout is shown before it is stored
    with page.expect_download(timeout=60_000) as download:
        give.click()
    with Image.open(download.value.path()) as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (451, 300))
    idle.wait_for(timeout=60_000)  # polling does not keep the kernel busy
    context.close()
    assert foreign == []
