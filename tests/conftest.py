"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import chromium
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The contracts are a plain module, not a test file: without this their failures would not show the values compared.
pytest.register_assert_rewrite("contracts")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; one for all, as Playwright runs once at a time."""
    from playwright.sync_api import sync_playwright  # the tests without a browser run where it is not installed

    executable = chromium.find()
    assert executable is not None, "No Chromium: run `make test`, which installs one, or name it in CHROMIUM."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what drives a browser last: while Playwright is there, no other event loop can run in this thread."""
    items.sort(key=lambda item: any(item.get_closest_marker(name) for name in ("browser", "ui")))
