from __future__ import annotations

import panel as pn
import pytest

from dashboard.visitor import Visitor


@pytest.fixture
def signed_in(monkeypatch):
    """Sets what the request brought: cookies, and a login name."""

    def set_request(cookies=None, user=None):
        monkeypatch.setattr(type(pn.state), "cookies", property(lambda state: cookies or {}))
        monkeypatch.setattr(type(pn.state), "user", property(lambda state: user))

    return set_request


def test_a_first_visit_gets_a_random_token(signed_in):
    signed_in()
    first, second = Visitor(), Visitor()
    assert len(first.token) == 43
    assert first.token != second.token
    assert first.owner != second.owner


def test_a_later_visit_is_the_same_owner(signed_in):
    signed_in()
    first = Visitor()
    signed_in(cookies={"cutout_visitor": first.token})
    assert Visitor().owner == first.owner


def test_the_owner_does_not_give_the_token_away(signed_in):
    signed_in()
    visitor = Visitor()
    assert visitor.owner.startswith("visitor:")
    assert visitor.token not in visitor.owner


@pytest.mark.parametrize("cookie", ["", "short", "x" * 44, "../" + "x" * 40, "<script>" + "x" * 35])
def test_a_cookie_of_another_form_is_not_taken(signed_in, cookie):
    signed_in(cookies={"cutout_visitor": cookie})
    assert Visitor().token != cookie


def test_a_token_of_another_form_from_the_page_changes_nobody(signed_in):
    signed_in()
    visitor = Visitor()
    owner = visitor.owner
    visitor.token = "somebody else"
    assert visitor.owner == owner


def test_a_token_stored_by_another_tab_wins(signed_in):
    signed_in()
    first, second = Visitor(), Visitor()
    second.token = first.token
    assert second.owner == first.owner


def test_the_login_name_is_the_owner_where_there_is_one(signed_in):
    signed_in(cookies={"cutout_visitor": "x" * 43}, user="ada")
    assert Visitor().owner == "user:ada"
    signed_in(user="guest")
    assert Visitor().owner.startswith("visitor:")
