"""The page without a server; `python -m dashboard.browser build` puts this text into it."""

import panel as pn

from dashboard import Dashboard
from dashboard.page import on_a_page

pn.extension()

on_a_page(Dashboard(), description="Remove the background of photos on your own device.").servable()
