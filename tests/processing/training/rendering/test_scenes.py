"""Rendered training pictures: their alpha is exact, and every kind of scene gives something to cut out."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV comes with the extra: pip install -e '.[training]'")

from processing.training.rendering import meshes, outlines, scenes
from processing.training.rendering.camera import Camera, Light, draw, shadow
from processing.training.rendering.meshes import THINGS

SIZE = (96, 120)
CAMERA = Camera(0.6, 150, 5, (60.0, 48.0), np.array([0, 0.5, 0]))
LAMP = Light(np.array([0.6, 0.8, 0.0]))
WHITE = np.ones((3, 8, 8, 3), np.float32)


def of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", scenes.SCENES)
def test_every_scene_has_something_to_cut_out(name):
    for seed in range(4):
        picture, alpha = scenes.render_scene(name, of(seed), SIZE)
        assert (picture.shape, picture.dtype) == ((*SIZE, 3), np.uint8)
        assert (alpha.shape, alpha.dtype) == (SIZE, np.uint8)
        assert alpha.max() > 60
        assert 0.005 < alpha.mean() / 255 < 0.97


def test_same_seed_gives_same_picture_and_another_seed_another():
    first, again, other = (scenes.render(of(seed), SIZE) for seed in (5, 5, 6))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_hair_has_fractional_alpha():
    alphas = np.stack([scenes.render_scene("furry", of(seed), SIZE)[1] for seed in range(6)])
    visible = alphas[alphas > 0]
    assert np.mean(visible < 250) > 0.15


def test_glass_lets_the_background_through():
    alphas = np.stack([scenes.render_scene("glass", of(seed), SIZE)[1] for seed in range(6)])
    visible = alphas[alphas > 0]
    assert np.mean((visible > 50) & (visible < 220)) > 0.5


@pytest.mark.parametrize("seed", range(12))
def test_empty_picture_is_a_picture(seed):
    picture = scenes.render_empty(of(seed), SIZE)
    assert (picture.shape, picture.dtype) == ((*SIZE, 3), np.uint8)


@pytest.mark.parametrize("size", [(160, 320), (320, 160), (33, 47)])
def test_any_size_is_drawn(size):
    for seed in range(5):
        assert scenes.render(of(seed), size)[1].shape == size
        assert scenes.render_empty(of(seed), size).shape == (*size, 3)


@pytest.mark.parametrize("name", THINGS)
def test_every_thing_stands_on_the_floor_and_is_seen(name):
    things = meshes.on_floor(THINGS[name](of(1)))
    assert min(grid.points[..., 1].min() for grid in things) == pytest.approx(0, abs=1e-9)
    colour, alpha = draw(things, CAMERA, LAMP, WHITE, SIZE)
    assert alpha.max() == pytest.approx(1)
    assert colour.min() >= 0
    assert colour.max() <= 1.0001


def test_ring_has_a_hole():
    _, alpha = draw([meshes.ring(1, 0.2)], Camera(0, 150, 5, (60.0, 48.0), np.zeros(3)), LAMP, WHITE, SIZE)
    assert alpha[48, 60] == 0
    assert alpha[48].max() == 1
    flat = scenes._filled([contour * 40 + [60, 48] for contour in outlines._ring(of(0))], SIZE)
    assert flat[48, 60] == 0
    assert flat[48].max() == 1


def test_ball_has_the_area_of_its_outline():
    """A ball of radius r at distance d is seen as a disc of radius f r / sqrt(d^2 - r^2)."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 40)
    ball = [meshes.lathe(np.stack([np.cos(angle), np.sin(angle)], -1), 80)]
    _, alpha = draw(ball, Camera(0, 150, 5, (60.0, 48.0), np.zeros(3)), LAMP, WHITE, SIZE)
    assert alpha.sum() == pytest.approx(np.pi * (150 / np.sqrt(24)) ** 2, rel=0.02)


def test_shadow_lies_on_the_floor_outside_of_alpha():
    things = meshes.on_floor(meshes.box((1, 1, 1)))
    _, alpha = draw(things, CAMERA, LAMP, WHITE, SIZE)
    lost = shadow(things, CAMERA, LAMP, SIZE, 1)
    beside = alpha == 0
    assert lost.min() >= 0
    assert lost.max() <= 1
    assert lost[beside].max() > 0.3
    columns = np.nonzero((lost > 0.3) & beside)[1]
    assert 60 - columns.min() > columns.max() - 60  # the lamp is on the right


@pytest.mark.parametrize("name", ["product", "graphic"])
def test_shadow_changes_the_picture_and_not_alpha(name, monkeypatch):
    def drawn(seed):
        return scenes.render_scene(name, of(seed), SIZE)

    shadowed = [drawn(seed) for seed in range(6)]
    plain = scenes.Layer._replace
    scene = scenes.SCENES[name]
    monkeypatch.setitem(scenes.SCENES, name, scene._replace(draw=lambda *args: plain(scene.draw(*args), lost=None)))
    darker = 0
    for seed, (picture, alpha) in enumerate(shadowed):
        lit, same = drawn(seed)
        assert np.array_equal(alpha, same)
        assert np.array_equal(picture[alpha == 255], lit[alpha == 255])
        darker += np.sum(lit[alpha == 0].astype(int) - picture[alpha == 0] > 8)
    assert darker > 100
