"""The catalogue of models."""

import pytest
from contracts import ModelContract, RowContract

from processing.errors import ModelError
from processing.models import DEFAULT_MODEL, ModelSpec, find_model, load_catalogue
from processing.models.spec import WEIGHTS

NEEDED = {"title": "T", "about": "A.", "runtime": "onnxruntime", "weights": "t.onnx"}


BUILT_IN = {name: spec for name, spec in load_catalogue().items() if spec.is_built_in}
FETCHED = {name: spec for name, spec in load_catalogue().items() if not spec.is_built_in}


class TestEveryBuiltInModel(ModelContract):
    @pytest.fixture(params=BUILT_IN.values(), ids=BUILT_IN)
    def spec(self, request):
        return request.param


class TestEveryFetchedModel(RowContract):
    @pytest.fixture(params=FETCHED.values(), ids=FETCHED)
    def spec(self, request):
        return request.param


def test_default_model_is_built_in():
    spec = find_model(DEFAULT_MODEL)
    assert spec.name == "compact"
    assert spec.weights.is_relative_to(WEIGHTS)


def test_compact_keeps_the_contract_that_lets_rembg_run_it(compact):
    assert (compact.input_size, compact.mean, compact.std) == (320, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_row_becomes_a_spec():
    row = {**NEEDED, "mean": [0.1, 0.2, 0.3], "levels": [0.2, 0.8], "card": "t.md"}
    spec = ModelSpec.from_row("tiny", row)
    assert (spec.name, spec.mean, spec.levels) == ("tiny", (0.1, 0.2, 0.3), (0.2, 0.8))
    assert (spec.weights, spec.card) == (WEIGHTS / "t.onnx", WEIGHTS / "t.md")


def test_spec_can_be_a_key():
    assert {ModelSpec.from_row("tiny", {**NEEDED, "mean": [0, 0, 0]}): 1}


def test_row_with_an_unknown_resampling_is_refused():
    with pytest.raises(ModelError, match=r"\[tiny\]: resample is 'nearest'\. Known: lanczos, bilinear\."):
        ModelSpec.from_row("tiny", {**NEEDED, "resample": "nearest"})


def test_row_with_an_unknown_key_is_refused():
    with pytest.raises(ModelError, match=r"catalogue\.toml, \[tiny\]: unknown key inputsize, meen\."):
        ModelSpec.from_row("tiny", {**NEEDED, "meen": [0, 0, 0], "inputsize": 320})


@pytest.mark.parametrize("key", NEEDED)
def test_row_that_lacks_a_key_is_refused(key):
    row = {name: value for name, value in NEEDED.items() if name != key}
    with pytest.raises(ModelError, match=rf"catalogue\.toml, \[tiny\]: .*'{key}'"):
        ModelSpec.from_row("tiny", row)


def test_unknown_model_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match=r"Unknown model 'compcat'\. Known: compact.*Did you mean 'compact'\?"):
        find_model("compcat")


def test_model_unlike_any_other_gets_no_guess():
    with pytest.raises(ModelError, match=r"Unknown model 'zzz'\. Known: compact") as refusal:
        find_model("zzz")
    assert "Did you mean" not in str(refusal.value)
