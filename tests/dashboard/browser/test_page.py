"""Panel's page, changed: nothing from elsewhere, no inline script, the same each time."""

import re

import pytest

from dashboard.browser.errors import BuildError
from dashboard.browser.page import make_page, patch_package, swap, swap_pattern
from dashboard.browser.wheels import pinned

PANEL = next(version for name, version, _ in pinned() if name == "panel")
APP = """
import panel_material_ui as pmui
pmui.Page(title="Cutout", main=[pmui.Typography("Hello")]).servable()
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    path = tmp_path_factory.mktemp("app") / "app.py"
    path.write_text(APP)
    return path


@pytest.fixture(scope="module")
def page(app):
    return make_page(app, PANEL)


def test_nothing_comes_from_elsewhere(page):
    for text in (page.html, page.script, page.worker):
        assert not re.search(r"https?://", text)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page.html)
    assert len(addresses) > 8
    assert not [address for address in addresses if address.startswith(("/", "static/extensions"))]


def test_scripts_are_files(page):
    tags = re.findall(r"<script[^>]*>", page.html)
    assert all(re.fullmatch(r'<script defer src="[^"]+">', tag) for tag in tags)
    assert tags[0] == '<script defer src="start.js">'
    assert tags[-1] == '<script defer src="page.js">'
    assert not re.search(r"\son\w+=", page.html)


def test_something_is_seen_at_once(page):
    assert page.html.index('<main id="loading">') < page.html.index("data-root-id")
    assert "Your photos never leave this device." in page.html


def test_worker_starts_our_python(page):
    assert 'importScripts("./pyodide/pyodide.js", "./python.js")' in page.worker
    assert "await startPython()" in page.worker
    assert "Hello" in page.worker
    assert "micropip" not in page.worker


def test_page_is_the_same_each_time(app, page):
    assert make_page(app, PANEL) == page


def test_other_panel_is_refused(app):
    with pytest.raises(BuildError, match=r"made for Panel 1\.0\.0; another version is installed"):
        make_page(app, "1.0.0")


def test_broken_application_is_refused(tmp_path):
    (tmp_path / "app.py").write_text("no_such_name\n")
    with pytest.raises(BuildError, match=r"(?s)could not convert .*app\.py.*no_such_name"):
        make_page(tmp_path / "app.py", PANEL)


def test_text_that_is_gone_from_the_template_is_named():
    assert swap("a b a", "a", r"\1", 2) == r"\1 b \1"
    with pytest.raises(BuildError, match=r"Panel's template changed: 'c' is there 0 times and not 1"):
        swap("a b", "c", "")
    with pytest.raises(BuildError, match="is there 2 times and not 1"):
        swap_pattern("a b a", "a", "")


def test_panel_needs_no_eval():
    source = b'x = 1\n_dict_converter = pyodide.code.run_js("""\n(x)\n""")\ny = 2\n'
    changed = patch_package({"panel/io/pyodide.py": source, "a": b""})
    assert changed == {"panel/io/pyodide.py": b"x = 1\n_dict_converter = js.panelEntries\ny = 2\n", "a": b""}
    with pytest.raises(BuildError, match="template changed"):
        patch_package({"panel/io/pyodide.py": b""})
