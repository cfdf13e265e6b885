"""Panel's page and worker, as `panel.io.convert` makes them, changed so that all they need comes from the site itself.

Panel's template refers to several hosts, holds scripts inline, which our content security policy forbids, and starts
with a blank page. Each text replaced must be there as often as expected: templates change from release to release.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dashboard.browser.errors import BuildError

APP = Path(__file__).with_name("app.py")
STATIC = Path(__file__).with_name("static")

# Where Panel's own files lie; each package adds its version and, Panel, `dist/`. Absolute, as Panel takes other
# addresses for files of its server; python.js gives the true ones.
_SITE = "https://site.invalid/"
_ROOTS = {"PANEL_CDN_ROOT": f"{_SITE}static/panel/", "PANEL_MATERIAL_UI_CDN_ROOT": f"{_SITE}static/panel-material-ui/v"}

_HEAD = """
    <meta name="color-scheme" content="light dark">
    <link rel="manifest" href="manifest.webmanifest">
    <link rel="icon" type="image/png" href="icons/192.png">
    <link rel="apple-touch-icon" href="icons/192.png">
    <link rel="stylesheet" href="loading.css">
    <script defer src="start.js"></script>"""

_HANDLER = 'const pyodideWorker = new Worker("./app.js");'


@dataclass(frozen=True)
class Page:
    """The texts of index.html, of page.js, which connects it with Python, and of worker.js, where Python runs."""

    html: str
    script: str
    worker: str


def swap(text: str, old: str, new: str, times: int = 1) -> str:
    """Replace a text that must be there so many times.

    Raises
    ------
    BuildError
        If it is not.
    """
    return swap_pattern(text, re.escape(old), new.replace("\\", r"\\"), times)


def swap_pattern(text: str, pattern: str, new: str, times: int = 1) -> str:
    """Replace what fits a regular expression; see `swap`."""
    changed, found = re.subn(pattern, new, text, flags=re.S)
    if found != times:
        raise BuildError(
            f"Panel's template changed: {pattern!r} is there {found} times and not {times}. Use the version of Panel "
            "in wheels.txt, or adapt dashboard/browser/page.py."
        )
    return changed


def make_page(app: Path, panel: str) -> Page:
    """Convert an application.

    Parameters
    ----------
    app : Path
        The Python file that makes the page.
    panel : str
        The version of Panel that the page will run on.

    Raises
    ------
    BuildError
        If another version of Panel is installed, the application fails, or Panel's template is not as expected.
    """
    html, worker = _convert(app, panel)
    html, script = _change_html(html, panel)
    return Page(html, script, _change_worker(worker))


def _convert(app: Path, panel: str) -> tuple[str, str]:
    """Run panel.io.convert in a process of its own: it reads the environment when imported, and numbers models."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | _ROOTS | {"CUTOUT_ARTIFACTS": folder}
        command = [sys.executable, "-m", "dashboard.browser.page", str(app)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"Panel could not convert {app}: {done.stderr.strip()}")
    converted = json.loads(done.stdout.splitlines()[-1])
    if converted.pop("panel") != panel:
        raise BuildError(
            f"The page is made for Panel {panel}; another version is installed. pip install panel=={panel}"
        )
    return converted["html"], converted["worker"]


def _change_html(html: str, panel: str) -> tuple[str, str]:
    # What the page loads, from the site; `defer` lets the browser paint before these megabytes are there.
    bokeh = r"https://cdn\.bokeh\.org/bokeh/release/(bokeh[\w-]*?)-\d[\w.]*\.min\.js"
    html = swap_pattern(html, bokeh, r"./static/bokeh/\1.min.js", 4)
    html = swap_pattern(html, r'"static/extensions/panel/([\w/.]*)\?v=[\w.]*"', rf'"./static/panel/{panel}/dist/\1"', 2)
    html = html.replace(_SITE, "./")
    # Panel asks es-module-shims for import(); it rewrites modules and starts with an inline script of its own.
    html = swap_pattern(html, r'"[^"]*/es-module-shims\.min\.js"', '"modules.js"')
    html = swap_pattern(html, r'\s*<script type="esms-options">[^<]*</script>', "")
    html = swap(html, '<script type="text/javascript" src=', "<script defer src=", 6)
    html = swap_pattern(html, r'\s*<script defer src="./static/bokeh/bokeh-gl.min.js"></script>', "")
    # Our icons, our picture while loading.
    html = swap_pattern(html, r'\s*<link rel="(apple-touch-)?icon"[^>]*>', "", 2)
    html = swap(html, '<meta charset="utf-8">', '<meta charset="utf-8">' + _HEAD)
    html = swap(html, '<body class="pn-loading pn-arc">', "<body>\n" + _static("loading.html").rstrip())
    html = swap_pattern(html, r'\s*<div id="loader".*?</div>\s*</div>', "")
    # The ids are new at each conversion; page.js finds the elements in the order of theirs.
    element = re.compile(r'<div id="[\w-]{36}" data-root-id="p\d+"')
    for number in range(len(element.findall(html))):
        html = element.sub(f'<div id="root-{number}" data-root-id="{number}"', html, count=1)
    if html.count("data-root-id=") != html.count('<div id="root-') or "root-0" not in html:
        raise BuildError("Panel's template changed: the elements for its roots have another form.")
    html, script = _take_scripts_out(html)
    if found := re.findall(r"https?://[^\s\"']*|<script(?! defer src=)[^>]*>| on\w+=", html):
        raise BuildError(f"Panel's template changed: {found} must not be in the page.")
    return html, script


def _take_scripts_out(html: str) -> tuple[str, str]:
    """Leave out the inline scripts, of which the page needs one; return that apart."""
    html = swap_pattern(html, r'<script type="text/javascript">\s*Bokeh\.set_log_level\("info"\);\s*</script>', "")
    inline = re.compile(r"\s*<script>(.*?)</script>", re.S)
    # One watches a connection to a server, the other shows a wheel until Bokeh draws.
    bodies = inline.findall(html)
    marks = ("_origWebSocket", _HANDLER, "function checkIdle()")
    if len(bodies) != len(marks) or not all(mark in body for mark, body in zip(marks, bodies, strict=True)):
        raise BuildError(f"Panel's template changed: it has {len(bodies)} inline scripts, or they do other things.")
    script = swap(bodies[1], _HANDLER, "")
    script = swap(script, 'body.classList.remove("pn-loading", "arc")', "showPage()")
    script = f"started.then(() => {{\n{script}\nearly.forEach(event => pyodideWorker.onmessage(event))\n}})\n"
    html = inline.sub("", html)
    return swap(html, "</body>", '<script defer src="page.js"></script>\n  </body>'), script


def _change_worker(worker: str) -> str:
    start = 'importScripts("./pyodide/pyodide.js", "./python.js")'
    worker = swap_pattern(worker, r'importScripts\("https://[^"]*/pyodide\.js"\)', start)
    worker = swap(worker, "await loadPyodide()", "await startPython()")
    # The packages are there already; python.js says where it fails.
    install = r"  const data_archives = \[\];.*?(?=  console\.log\(\"Environment loaded)"
    worker = swap_pattern(worker, install, "")
    report = r"self\.postMessage\(\{\s*type: 'status',\s*msg: tblines\[tblines\.length-2\]\s*\}\)"
    worker = swap_pattern(worker, report, "fail(e)")
    # One name for all patches, and a task that looks at it later: of two in a row the first would be lost.
    setting, running = r"self\.pyodide\.globals\.set\('patch', msg\.patch\)", r"self\.pyodide\.runPythonAsync"
    change = rf"{setting}\s*{running}\(`[^`]*json_patch[^`]*`\)"
    worker = swap_pattern(worker, change, "applyPatch(self.pyodide, msg.patch)")
    if found := re.findall(r"https?://[^\s\"'`]*", worker):
        raise BuildError(f"Panel's template changed: {found} must not be in the worker.")
    return worker


def patch_package(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return Panel's files with one function changed that would be made with eval(), which our policy forbids."""
    name = "panel/io/pyodide.py"
    pattern = r'_dict_converter = pyodide\.code\.run_js\(""".*?"""\)'
    return files | {name: swap_pattern(files[name].decode(), pattern, "_dict_converter = js.panelEntries").encode()}


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _main(app: str) -> None:
    """Convert in this process and print the result; see `_convert`."""
    import panel
    from panel.io.convert import script_to_html

    html, worker = script_to_html(app, requirements=[], runtime="pyodide-worker", compiled=False, prerender=False)
    print(json.dumps({"html": html, "worker": worker, "panel": panel.__version__}))


if __name__ == "__main__":
    _main(sys.argv[1])
