"""Light and dark: the page has the colours of the visitor's system until its switch says otherwise."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.ui

LIGHT, DARK = "rgb(255, 255, 255)", "rgb(18, 18, 18)"


@pytest.mark.parametrize(("system", "colour"), [("light", LIGHT), ("dark", DARK)])
def test_page_has_the_colours_of_the_system(new_visitor, system, colour):
    page = new_visitor(color_scheme=system).open().page
    expect(page.locator("body")).to_have_css("background-color", colour)
    page.emulate_media(color_scheme="light" if system == "dark" else "dark")
    expect(page.locator("body")).to_have_css("background-color", LIGHT if colour == DARK else DARK)


def test_what_the_switch_says_is_remembered_until_it_is_set_back(new_visitor):
    visitor = new_visitor(color_scheme="dark").open()
    page, body = visitor.page, visitor.page.locator("body")
    switch = page.get_by_role("button", name="Toggle theme")
    switch.click()
    expect(body).to_have_css("background-color", LIGHT)
    page.reload()
    visitor.is_ready()
    expect(body).to_have_css("background-color", LIGHT)

    switch.click()
    expect(body).to_have_css("background-color", DARK)
    page.emulate_media(color_scheme="light")
    expect(body).to_have_css("background-color", LIGHT)
