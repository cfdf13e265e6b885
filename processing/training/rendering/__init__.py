"""Training pictures that were never photographed: their alpha is exact, and nobody's licence binds them.

outlines, meshes      what there is: flat shapes with holes; bottles, chairs, bicycles, plants
textures              what it is made of, and what lies behind it
camera                how it looks: perspective, light, shadow, and its alpha
scenes                all of it put together: `render`, and `render_empty` for pictures with nothing in them
"""

from processing.training.rendering.scenes import SCENES, render, render_empty, render_scene

__all__ = ["SCENES", "render", "render_empty", "render_scene"]
