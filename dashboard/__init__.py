"""The dashboard: upload, before, after, download.

In a notebook::

    import panel as pn
    from dashboard import Dashboard

    pn.extension(inline=True)
    Dashboard()

Served: `panel serve dashboard/app.py`. Where to add something: a part of the page is a `Viewer` in `views/`, put into
the layout by `page.py`; what the page knows and does is in `controller.py`, without any widget.
"""

from dashboard.controller import Controller
from dashboard.page import Dashboard

__all__ = ["Controller", "Dashboard"]
