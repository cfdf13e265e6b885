"""The parts of the page, one `Viewer` each; every one is given the `Controller` and shows a piece of it."""
