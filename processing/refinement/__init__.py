"""Edges: a coarse alpha matte and the photo in, a finer matte out.

methods     the table of methods, and `refine`, which the rest of the program calls
learned     a small network, tile by tile along the edge
tiles       which parts of a matte are uncertain

To add a method, write a function (image, alpha, tick) -> alpha and give it a row in `methods.METHODS`.
"""

from processing.refinement.methods import METHODS, refine

__all__ = ["METHODS", "refine"]
