"""docs/example.ipynb runs from the top, and in JupyterLab its dashboard works."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "example.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(notebook, part: str) -> list:
    """Return the outputs of the one cell that ends with these words."""
    (cell,) = (cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.endswith(part))
    return cell.outputs


def test_notebook_is_kept_without_outputs_and_names_its_kernel(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_notebook_runs(notebook, environment, tmp_path):
    from nbclient import NotebookClient

    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute(env=environment)

    (shown,) = [output for output in outputs(notebook, "\nresult") if "text/html" in output.get("data", {})]
    assert shown.data["text/html"].count("<img src='data:image/webp;base64,") == 2
    dashboard = outputs(notebook, "\nDashboard()")
    assert any("text/html" in output.get("data", {}) for output in dashboard)
    assert [
        output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "error"
    ] == []
    assert {path.name for path in tmp_path.glob("cat-*")} == {"cat-cutout.png", "cat-on-white.jpg"}
    assert not (tmp_path / "artifacts").exists(), "only the dashboard's Run stores results"


@pytest.mark.ui
def test_dashboard_works_in_jupyterlab(serve, free_port, environment, tmp_path):
    import chromium
    from playwright.sync_api import sync_playwright

    folder = tmp_path / "lab"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    url = f"http://127.0.0.1:{free_port}/"
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    command = (
        "jupyter lab --no-browser --allow-root --IdentityProvider.token= "
        f"--ServerApp.ip=127.0.0.1 --ServerApp.port={free_port}"
    )
    foreign: list[str] = []
    with serve(command, url + "api", cwd=folder, HOME=str(tmp_path)), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu", *quiet]
        )
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url, url) else None)
        page.goto(url + "lab/tree/example.ipynb")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).first.click()
        page.get_by_text("Run All Cells", exact=True).first.click()
        page.get_by_text("Drop a photo here").wait_for(timeout=180_000)
        page.get_by_role("button", name="A cat").click()
        page.get_by_text("Before: cat.jpg").wait_for(timeout=60_000)
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Saved at").wait_for(timeout=120_000)
        with page.expect_download(timeout=60_000) as download:
            page.get_by_role("button", name="Download PNG").click()
        assert download.value.suggested_filename == "cat-cutout.png"
        browser.close()
    assert len(list((tmp_path / "artifacts").glob("*/record.json"))) == 1
    assert foreign == [], "pn.extension(inline=True) needs no other server"


def is_foreign(address: str, own: str) -> bool:
    """Tell whether a request leaves the machine."""
    return not address.startswith((own, own.replace("http", "ws", 1), "blob:", "data:"))
