"""Find a Chromium for the tests marked `ui` and `browser`, or install one.

`python tests/chromium.py` prints the path of a Chromium, which it installs if there is none; tests call `find()`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Chromium calls home at start unless it is told not to; no recorder in a page sees that.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find() -> Path | None:
    """Return the Chromium to test with, or None.

    That is $CHROMIUM if it is set, else one on PATH, else the one playwright installed.

    Raises
    ------
    FileNotFoundError
        If $CHROMIUM is set and does not run: another browser in its place would hide the mistake.
    """
    if named := os.environ.get("CHROMIUM"):
        if (path := shutil.which(named)) and _runs(path):
            return Path(path)
        raise FileNotFoundError(f"$CHROMIUM is {named!r}, which does not run. Set it to a Chromium, or unset it.")
    on_path = (shutil.which(name) for name in NAMES)
    for path in (*on_path, _of_playwright()):
        if path and _runs(path):
            return Path(path)
    return None


def install() -> Path | None:
    """Install Chromium, with apt-get where that is allowed, else with playwright; return what `find()` then finds."""
    is_root = os.geteuid() == 0
    if is_root and shutil.which("apt-get"):
        wait = ("-o", "DPkg::Lock::Timeout=120")
        if _call("apt-get", *wait, "update"):
            _call("apt-get", *wait, "install", "-y", "--no-install-recommends", "chromium")
        if found := find():
            return found
    # As root playwright can also install the system libraries that the browser needs.
    _call(sys.executable, "-m", "playwright", "install", *(["--with-deps"] if is_root else []), "chromium")
    return find()


def _runs(path: str) -> bool:
    """Tell whether the browser starts; Ubuntu's `chromium-browser` may only print how to install a snap."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _of_playwright() -> str | None:
    """Return where playwright would keep its Chromium; in a process of its own, as a test may already drive one."""
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or None


def _call(*command: str) -> bool:
    """Run a command and tell whether it worked; what it prints goes to stderr, as stdout is for the path."""
    print("$", *command, file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, stdout=sys.stderr, env=environment).returncode == 0


def main() -> int:
    """Print the path of a Chromium, installed if need be."""
    try:
        path = find() or install()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if path is None:
        print(
            "No Chromium found, and installing one failed (see above). Install it with your system's package manager, "
            "for example `sudo apt-get install chromium`, or set CHROMIUM to the path of one.",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
