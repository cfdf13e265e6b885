"""Choosing a model in the page, its licence card, and fetching it."""

import threading
from dataclasses import replace

import pytest

from dashboard import Dashboard
from dashboard.models import FETCHING, MISSING, READY
from dashboard.views.model import licence_card
from processing import Recipe
from processing.models import find_model, load_catalogue
from processing.models.spec import ModelSpec


@pytest.fixture
def chooser(controller):
    return controller.models


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the folder of models, which is empty."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "models"))
    return tmp_path / "models"


def put(home, spec: ModelSpec) -> None:
    folder = home / "models" / spec.name
    folder.mkdir(parents=True)
    for file in spec.files:
        with open(folder / file.name, "wb") as opened:
            opened.truncate(file.size_bytes or 1)


@pytest.mark.usefixtures("home")
class TestChoosing:
    def test_at_first_there_is_the_built_in_model_and_every_other_for_anything(self, chooser):
        assert chooser.spec.name == "compact"
        assert chooser.state == READY
        assert not chooser.obstacle
        assert set(chooser.choices.values()) == {
            spec.name for spec in load_catalogue().values() if "anything" in spec.subjects
        }

    def test_list_follows_the_picture(self, chooser):
        chooser.subject = "anime"
        assert list(chooser.choices.values()) == ["isnet-anime"]
        assert chooser.spec.name == "isnet-anime"

    def test_list_follows_the_wait(self, chooser):
        chooser.wait_s = 1.0
        assert all(find_model(name).wait_s <= 1 for name in chooser.choices.values())
        assert "birefnet-general" not in chooser.choices.values()

    def test_list_follows_the_licence(self, chooser):
        chooser.commercial_only = True
        assert {find_model(name).commercial_use for name in chooser.choices.values()} <= {"yes", "declared"}
        assert "bria-rmbg" not in chooser.choices.values()
        assert chooser.spec.name in chooser.choices.values()

    def test_where_nothing_fits_the_chosen_model_stays(self, chooser):
        chooser.subject = "clothes"
        chosen = chooser.spec.name
        chooser.wait_s = 1.0
        assert list(chooser.choices.values()) == [chosen]

    @pytest.mark.parametrize(
        ("name", "value"), [("commercial_only", True), ("subject", "clothes"), ("subject", "anime")]
    )
    @pytest.mark.parametrize("model", ["compact", "silueta"])
    def test_users_model_comes_back_when_a_filter_goes(self, controller, chooser, model, name, value):
        controller.recipe.model = model
        before = getattr(chooser, name)
        setattr(chooser, name, value)
        assert chooser.spec.name != model
        setattr(chooser, name, before)
        assert chooser.spec.name == model
        assert model in chooser.choices.values()

    def test_users_model_comes_back_when_the_last_of_several_filters_goes(self, chooser):
        chooser.commercial_only = True
        chooser.subject = "people"
        chooser.wait_s = 1.0
        chooser.commercial_only = False
        assert chooser.spec.name == "compact"

    def test_model_chosen_under_a_filter_stays_when_the_filter_goes(self, controller, chooser):
        chooser.commercial_only = True
        controller.recipe.model = "u2net"
        chooser.commercial_only = False
        assert chooser.spec.name == "u2net"

    def test_model_that_is_not_here_cannot_run(self, controller, chooser, settle):
        controller.load(b"", "photo.png")
        controller.recipe.model = "u2netp"
        assert chooser.state == MISSING
        assert "Fetch the model first" in chooser.obstacle
        controller.can_run = True
        controller.run()
        assert controller.activity != "run"

    def test_model_that_is_here_can_run(self, home, controller, chooser):
        put(home, find_model("u2netp"))
        controller.recipe.model = "u2netp"
        assert chooser.state == READY

    def test_non_commercial_weights_need_a_tick(self, home, controller, chooser):
        put(home, find_model("bria-rmbg"))
        controller.recipe.model = "bria-rmbg"
        assert chooser.state == READY
        assert "tick the box" in chooser.obstacle
        controller.recipe.non_commercial = True
        assert not chooser.obstacle


@pytest.mark.usefixtures("home")
def test_model_of_the_users_own_is_kept_and_listed(new_controller, tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(find_model("compact").weights.read_bytes())
    controller = new_controller(recipe=Recipe(model=str(path)))
    assert controller.recipe.model == str(path)
    assert controller.models.state == READY
    assert str(path) in controller.models.choices.values()
    assert Dashboard(controller).model.model.value == str(path)


class TestFetching:
    @pytest.fixture
    def gate(self, monkeypatch):
        """Hold the fetching until the gate is opened; then the files are there."""
        gate = threading.Event()

        def fetch(spec, *, progress=None, cancel=None, **_):
            while not gate.wait(0.01):
                cancel.raise_if_cancelled()
            from processing.models.folder import model_folder

            put(model_folder(spec).parents[1], spec)

        monkeypatch.setattr("processing.models.download.fetch", fetch)
        return gate

    @pytest.fixture
    def wait(self):
        def until(chooser):
            if chooser._job is not None:
                chooser._job.future.result(30)
            chooser.poll()

        return until

    @pytest.mark.usefixtures("home")
    def test_nothing_is_fetched_before_the_button_is_pressed(self, controller, monkeypatch):
        monkeypatch.setattr("processing.models.download.fetch", lambda *_, **__: pytest.fail("it was fetched"))
        controller.recipe.model = "u2netp"
        controller.can_run = True
        controller.run()

    @pytest.mark.usefixtures("home")
    def test_fetched_model_can_run_and_the_page_says_so(self, controller, chooser, gate, wait):
        controller.recipe.model = "u2netp"
        chooser.fetch()
        chooser.poll()
        assert chooser.state == FETCHING
        assert chooser.obstacle
        gate.set()
        wait(chooser)
        assert chooser.state == READY
        assert controller.notice.text == "U-2-Net small is here and can be used."

    @pytest.mark.usefixtures("home")
    def test_cancel_stops_it(self, controller, chooser, gate, wait):
        controller.recipe.model = "u2netp"
        chooser.fetch()
        chooser.cancel()
        wait(chooser)
        assert chooser.state == MISSING
        assert controller.notice is None

    @pytest.mark.usefixtures("home")
    def test_reloaded_page_finds_the_fetching_again(self, controller, new_controller, gate, wait):
        controller.recipe.model = "u2netp"
        controller.models.fetch()
        reloaded = new_controller(owner="anna")
        reloaded.recipe.model = "u2netp"
        assert reloaded.models.state == FETCHING
        other = new_controller(owner="ben")
        other.recipe.model = "u2netp"
        assert other.models.state == MISSING
        gate.set()
        wait(reloaded.models)
        assert reloaded.models.state == READY

    @pytest.mark.usefixtures("home")
    def test_failure_becomes_a_notice(self, controller, chooser, wait, monkeypatch):
        def fetch(*_, **__):
            raise OSError("wires cut")

        monkeypatch.setattr("processing.models.download.fetch", fetch)
        controller.recipe.model = "u2netp"
        chooser.fetch()
        wait(chooser)
        assert chooser.state == MISSING
        assert controller.notice.severity == "error"

    @pytest.mark.usefixtures("home")
    def test_page_fetches_nothing_where_that_is_switched_off(self, new_controller, monkeypatch):
        monkeypatch.setenv("CUTOUT_FETCH", "no")
        monkeypatch.setattr("processing.models.download.fetch", lambda *_, **__: pytest.fail("it was fetched"))
        controller = new_controller()
        view = Dashboard(controller).model
        controller.recipe.model = "u2netp"
        controller.models.fetch()
        assert controller.models.state == MISSING
        assert not view.fetch_button.visible
        assert "python -m processing models fetch u2netp" in view._hint.object


@pytest.mark.usefixtures("home")
class TestView:
    @pytest.fixture
    def page(self, controller):
        return Dashboard(controller)

    def test_button_names_the_size_before_anything_is_fetched(self, page, controller):
        controller.recipe.model = "birefnet-general"
        assert page.model.fetch_button.visible
        assert page.model.fetch_button.label == "Fetch the model (973 MB)"
        controller.recipe.model = "compact"
        assert not page.model.fetch_button.visible

    def test_choice_and_recipe_stay_in_step(self, page, controller):
        page.model.model.value = "u2net"
        assert controller.recipe.model == "u2net"
        controller.recipe.model = "silueta"
        assert page.model.model.value == "silueta"

    def test_another_picture_changes_list_and_model_together(self, page, controller):
        page.model.subject.value = "anime"
        assert list(page.model.model.options.values()) == ["isnet-anime"]
        assert page.model.model.value == controller.recipe.model == "isnet-anime"

    def test_run_is_possible_again_when_a_filter_goes(self, page, controller):
        controller.can_run = True
        page.model.commercial_only.value = True
        assert page.model.model.value == controller.recipe.model == "u2netp"
        assert page.run.run_button.disabled
        page.model.commercial_only.value = False
        assert page.model.model.value == controller.recipe.model == "compact"
        assert not page.run.run_button.disabled

    def test_run_waits_for_the_model_and_the_tick(self, page, controller):
        controller.can_run = True
        assert not page.run.run_button.disabled
        controller.recipe.model = "u2netp"
        assert page.run.run_button.disabled
        assert page.run._hint.visible

    def test_tick_is_there_only_where_it_is_needed(self, page, controller):
        assert not page.model.promise.visible
        controller.recipe.model = "bria-rmbg"
        assert page.model.promise.visible


def test_licence_card_says_what_one_must_know():
    card = licence_card(find_model("bria-rmbg"))
    for text in (
        "Commercial use",
        "not allowed",
        "CC BY-NC 4.0",
        "BRIA AI",
        'href="https://huggingface.co/briaai/RMBG-2.0"',
    ):
        assert text in card


def test_licence_card_shows_text_as_text():
    evil = "<script>alert(1)</script>"
    card = licence_card(
        replace(find_model("compact"), about=evil, caveat=evil, attribution=evil, source="javascript:alert(1)")
    )
    assert "<script>" not in card
    assert "javascript:" not in card
