"""The results of one visit: the methods of `ArtifactStore` without a disk."""

import sys
from dataclasses import replace
from importlib import import_module
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from contracts import FakeSession

from dashboard.samples import find_sample
from processing import Recipe, StoreError, run
from processing.sessions.pool import SessionPool


@pytest.fixture(scope="module")
def result():
    raw = np.zeros((8, 8), np.float32)
    raw[:, :4] = 1
    return run(find_sample("cat").read(), name="cat.jpg", pool=SessionPool(lambda spec, provider: FakeSession(raw)))


@pytest.fixture
def urls(monkeypatch):
    """Stand for the two functions of the browser that the store calls: the addresses it has given out."""
    given = []

    def publish(blob):
        given.append(f"blob:{blob.size}")
        return given[-1]

    bridge = ModuleType("cutout_bridge")
    bridge.publish, bridge.revoke = publish, given.remove
    monkeypatch.setitem(sys.modules, "cutout_bridge", bridge)
    monkeypatch.delitem(sys.modules, "dashboard.browser.store", raising=False)
    yield given
    sys.modules.pop("dashboard.browser.store", None)


@pytest.fixture
def module(urls):
    return import_module("dashboard.browser.store")


@pytest.fixture
def store(module):
    return module.VisitStore(most=3)


@pytest.fixture
def keep(module, store, result):
    sizes = iter(range(1000, 2000))

    def keep(owner="anna"):
        contents = {"before": b"before", "preview": b"preview", "thumbnail": b"thumbnail"}
        return store.keep(result, owner, contents, module.BrowserFile(SimpleNamespace(size=next(sizes))))

    return keep


def test_a_kept_result_is_listed_and_read(store, keep, result):
    record = keep()
    assert store.list("anna") == [record]
    assert store.list(None, 1) == [record]
    assert store.list("bert") == []
    assert store.get(record.id, "anna") is record
    assert store.read(record, "source") == result.source.data
    assert store.read(record, "preview") == b"preview"
    assert (store.file(record).size_bytes, store.file(record).url) == (1000, "blob:1000")
    assert (record.source["name"], record.model["name"], record.subject_found) == ("cat.jpg", "compact", True)


def test_the_oldest_goes_and_its_file_is_freed(store, keep, urls):
    records = [keep() for _ in range(4)]
    assert store.list(None) == records[:0:-1]
    assert urls == ["blob:1001", "blob:1002", "blob:1003"]
    with pytest.raises(StoreError, match="run the photo again"):
        store.get(records[0].id, None)
    with pytest.raises(StoreError, match="Run the photo again"):
        store.read(records[0], "source")


def test_a_file_that_nobody_holds_is_freed(module, urls):
    file = module.BrowserFile(SimpleNamespace(size=5))
    assert urls == ["blob:5"]
    del file
    assert urls == []


def test_somebody_elses_result_is_not_given(store, keep):
    record = keep("anna")
    with pytest.raises(StoreError):
        store.get(record.id, "bert")
    store.delete(record)
    with pytest.raises(StoreError):
        store.restore(record.id, "bert")


def test_delete_can_be_undone_until_the_next(store, keep, urls):
    records = [keep(), keep()]
    store.delete(records[0])
    assert store.list(None) == [records[1]]
    assert store.restore(records[0].id, "anna") is records[0]
    assert store.list(None) == records[::-1], "back in its place"
    store.delete(records[0])
    store.delete(records[1])
    assert urls == ["blob:1001"]
    with pytest.raises(StoreError, match="not in the trash"):
        store.restore(records[0].id, "anna")
    assert store.restore(records[1].id, "anna") is records[1]


def test_an_older_result_is_made_again_from_the_models_small_output(store, keep, result):
    record = keep()
    assert store.rebuild(record, result.source) is result
    keep()
    again = store.rebuild(record, result.source)
    assert again is not result
    assert np.array_equal(again.pixels, result.pixels)
    assert np.array_equal(again.alpha, result.alpha)
    assert again.recipe.as_dict() == Recipe().as_dict()
    assert replace(again, recipe=Recipe(format="webp")).encode().suffix == ".webp"
