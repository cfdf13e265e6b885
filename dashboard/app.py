"""The served page: `panel serve dashboard/app.py`. Run once for every visit."""

import panel as pn

from dashboard import Dashboard
from dashboard.page import on_a_page
from dashboard.visitor import Visitor
from processing.sessions.pool import warm_up

# Without a thread pool every callback runs on the event loop and one visitor's click stops everybody else's page.
if pn.config.nthreads is None:
    pn.config.nthreads = 4

pn.extension()
warm_up()

visitor = Visitor()

page = on_a_page(
    Dashboard(owner=visitor.param.owner), visitor, description="Remove the background of photos on your own machine."
)
page.servable()
