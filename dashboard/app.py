"""The served page: `panel serve dashboard/app.py`. Run once for every visit."""

import panel as pn
import panel_material_ui as pmui

from dashboard import Dashboard
from dashboard.page import THEME
from dashboard.visitor import Visitor
from processing.sessions.pool import warm_up

# Without a thread pool every callback runs on the event loop and one visitor's click stops everybody else's page.
if pn.config.nthreads is None:
    pn.config.nthreads = 4

pn.extension()
warm_up()

visitor = Visitor()

pmui.Page(
    title="Cutout",
    main=[Dashboard(owner=visitor.param.owner), visitor],
    main_width=1200,
    theme_config=THEME,
    meta_description="Remove the background of photos on your own machine.",
).servable()
