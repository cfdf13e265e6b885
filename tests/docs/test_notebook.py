"""docs/example.ipynb runs from the top. tests/ui/test_notebook.py drives the dashboard of such a cell in JupyterLab."""

from __future__ import annotations

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
