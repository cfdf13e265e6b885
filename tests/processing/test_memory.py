"""How much memory loaded models take, and how much they may."""

import sys
from dataclasses import replace

import pytest

from processing.errors import ModelError
from processing.models import WeightsFile
from processing.sessions import memory
from processing.sessions.memory import RUN_BYTES_PER_PIXEL, WEIGHTS_FACTOR, estimate_cost, machine_memory, memory_limit

LIMIT = "CUTOUT_MODEL_MEMORY_MB"


def test_cost_is_that_of_the_weights_and_of_a_run(compact):
    expected = WEIGHTS_FACTOR * compact.size_bytes + RUN_BYTES_PER_PIXEL * 320 * 320
    assert estimate_cost(compact) == pytest.approx(expected, abs=1)


def test_cost_counts_every_file_of_the_model(compact, tmp_path):
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes(bytes(1000))
    one = replace(compact, weights=tmp_path / "encoder.onnx")
    two = replace(one, more_files=(WeightsFile("decoder.onnx"),))
    assert estimate_cost(two) - estimate_cost(one) == pytest.approx(1000 * WEIGHTS_FACTOR, abs=1)


def test_model_of_unknown_input_size_counts_as_a_large_one(compact):
    assert estimate_cost(replace(compact, input_size=None)) == estimate_cost(replace(compact, input_size=1024))


def test_model_that_is_not_there_costs_nothing(compact, tmp_path):
    assert estimate_cost(replace(compact, weights=tmp_path / "gone.onnx")) == 0


def test_limit_is_half_of_the_machines_memory(monkeypatch):
    monkeypatch.delenv(LIMIT, raising=False)
    monkeypatch.setattr(memory, "machine_memory", lambda: 6_000_000_000)
    assert memory_limit() == 3_000_000_000


@pytest.mark.parametrize(("text", "limit"), [("2000", 2_000_000_000), ("0.5", 500_000)])
def test_limit_can_be_set(monkeypatch, text, limit):
    monkeypatch.setenv(LIMIT, text)
    assert memory_limit() == limit


@pytest.mark.parametrize("text", ["", "0", "-1", "much", "inf", "nan"])
def test_limit_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(LIMIT, text)
    with pytest.raises(ModelError, match=f"{LIMIT} is '{text}'. Give a positive number of megabytes"):
        memory_limit()


@pytest.mark.parametrize(("content", "expected"), [("500000000\n", 500_000_000), ("max\n", None)])
def test_container_may_have_less_than_the_machine(monkeypatch, tmp_path, content, expected):
    limit = tmp_path / "memory.max"
    limit.write_text(content)
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (str(tmp_path / "none"),))
    machine_memory.cache_clear()
    whole = machine_memory()
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (str(limit),))
    machine_memory.cache_clear()
    assert machine_memory() == (expected or whole)
    machine_memory.cache_clear()


def test_machine_that_does_not_tell_is_taken_for_a_small_one(monkeypatch):
    monkeypatch.delattr("os.sysconf", raising=False)
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", ())
    machine_memory.cache_clear()
    assert machine_memory() == 8_000_000_000
    machine_memory.cache_clear()


@pytest.mark.parametrize("platform", [sys.platform, "win32", "darwin"])
def test_returning_freed_memory_is_harmless_everywhere(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    memory.return_freed_memory()
