"""Who is looking: the login name where there is one, else a random cookie."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

import panel as pn
import param
from panel.custom import JSComponent

_COOKIE = "cutout_visitor"
_TOKEN = re.compile(r"[0-9A-Za-z_-]{43}")


class Visitor(JSComponent):
    """An invisible part of the page that keeps a visitor's cookie.

    A first visit gets a random token, which the browser stores; later visits send it along. Records hold its hash only,
    so reading them does not let anybody pass for the visitor.
    """

    token = param.String(doc="The cookie's value. The browser overrides it if another tab stored one first.")

    owner = param.String(doc="Owner of this visitor's results, as it stands in records.")

    _esm = Path(__file__).parent / "visitor.js"
    _rename = {"owner": None}

    def __init__(self, **params):
        cookie = pn.state.cookies.get(_COOKIE, "")
        token = cookie if _TOKEN.fullmatch(cookie) else secrets.token_urlsafe(32)
        super().__init__(token=token, width=0, height=0, margin=0, sizing_mode="fixed", **params)

    @param.depends("token", watch=True, on_init=True)
    def _identify(self):
        user = pn.state.user
        if user and user != "guest":
            self.owner = f"user:{user}"
        elif _TOKEN.fullmatch(self.token):
            self.owner = "visitor:" + hashlib.sha256(self.token.encode()).hexdigest()[:32]
