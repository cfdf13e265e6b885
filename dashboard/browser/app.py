"""The page without a server; `python -m dashboard.browser build` puts this text into it."""

import panel as pn
import panel_material_ui as pmui

from dashboard import Dashboard
from dashboard.page import THEME

pn.extension()

pmui.Page(
    title="Cutout",
    main=[Dashboard()],
    main_width=1200,
    theme_config=THEME,
    meta_description="Remove the background of photos on your own device.",
).servable()
