"""What is shown while options are chosen that are not applied yet."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from dashboard.samples import find_sample


@pytest.fixture
def settle_draft():
    """Poll like the page does, until a draft is drawn or none is wanted."""

    def wait(controller) -> None:
        deadline = time.monotonic() + 30
        while controller.drafts.is_wanted and controller.drafts.picture is None:
            assert time.monotonic() < deadline
            controller.poll()
            time.sleep(0.02)

    return wait


def alpha_of(webp):
    with Image.open(io.BytesIO(webp)) as image:
        return np.asarray(image.convert("RGBA"))[..., 3]


def test_a_changed_option_is_shown_before_it_is_applied(controller, run_cat, settle_draft, settle, session):
    run_cat(controller)
    before, runs = controller.after, session.runs
    controller.recipe.shift_edge = -40
    assert controller.drafts.is_wanted
    settle_draft(controller)
    stored, drafted = alpha_of(before) > 128, alpha_of(controller.drafts.picture) > 128
    assert drafted.shape == stored.shape
    assert drafted.sum() < 0.95 * stored.sum()
    assert controller.after == before, "the stored result stays what it is"

    controller.run()
    settle(controller)
    applied = alpha_of(controller.after) > 128
    assert (applied != drafted).mean() < 0.01
    assert not controller.drafts.is_wanted
    assert controller.drafts.picture is None
    assert session.runs == runs, "neither the draft nor the run after it asks the model"


def test_a_draft_keeps_the_transparency_of_the_photo(controller, settle_draft, settle):
    with Image.open(io.BytesIO(find_sample("cat").read())) as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        file = io.BytesIO()
        image.save(file, "PNG")
    controller.load(file.getvalue(), "cat.png")
    settle(controller)
    controller.run()
    settle(controller)
    controller.recipe.feather = 3
    settle_draft(controller)
    middle = alpha_of(controller.drafts.picture)[:, 225].astype(int)
    assert np.abs(middle - alpha_of(controller.after)[:, 225]).mean() < 6
    assert middle[20:40].max() < 60


def test_an_option_taken_back_shows_the_result_again(controller, run_cat, settle_draft):
    run_cat(controller)
    controller.recipe.feather = 9
    settle_draft(controller)
    assert controller.drafts.picture is not None
    controller.recipe.feather = 0
    assert not controller.drafts.is_wanted
    assert controller.drafts.picture is None


def test_a_moving_slider_draws_one_draft(controller, run_cat, settle_draft, monkeypatch):
    run_cat(controller)
    drawn, draw = [], controller.runtime.draw_draft
    monkeypatch.setattr(controller.runtime, "draw_draft", lambda *given: drawn.append(given) or draw(*given))
    for value in (1, 2, 3, 4):
        controller.recipe.feather = value
        controller.poll()
    settle_draft(controller)
    assert [recipe.feather for _, recipe, _ in drawn] == [4]


def test_another_model_or_format_draws_none(controller, run_cat):
    run_cat(controller)
    controller.recipe.format = "webp"
    assert not controller.drafts.is_wanted
    controller.recipe.param.update(model="u2netp", feather=3)
    assert not controller.drafts.is_wanted


def test_a_result_from_the_history_is_shown_as_it_was_stored(controller, run_cat):
    run_cat(controller)
    record = controller.record
    controller.recipe.feather = 9
    controller.open(record.id)
    assert not controller.drafts.is_wanted
    assert controller.after is not None


def test_a_draft_that_fails_leaves_the_result(controller, run_cat, store, caplog):
    run_cat(controller)
    store.path(controller.record, "before").unlink()
    controller.recipe.feather = 9
    deadline = time.monotonic() + 30
    while controller.drafts._submit is not None or controller.drafts._job is not None:
        assert time.monotonic() < deadline
        controller.poll()
        time.sleep(0.02)
    assert controller.drafts.picture is None
    assert controller.after is not None


def test_areas_and_lengths_are_those_of_the_photo(tmp_path):
    """A speck of 900 pixels in a photo that is reduced to a quarter of its side is one of 56 there."""
    from processing.finish import draft
    from processing.images import SourceImage
    from processing.recipe import Recipe

    coarse = np.zeros((200, 200), np.float32)
    coarse[50:150, 50:150] = 1
    coarse[10:18, 10:18] = 1
    source = SourceImage(np.full((200, 200, 3), 128, np.uint8), None, b"", "photo", "image/png", ".png")
    options = {"refine": "none", "clean_colours": False}
    kept = draft(source, coarse, Recipe(drop_specks=900, **options), (800, 800))
    gone = draft(source, coarse, Recipe(drop_specks=1100, **options), (800, 800))
    assert kept[14, 14, 3] == 255
    assert gone[14, 14, 3] == 0
    assert gone[100, 100, 3] == 255
