"""`history`: the results in the artifacts folder, from the command line."""

import json
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from processing.cli import main
from processing.store import RECORD, TRASH, ArtifactStore

UNKNOWN = "20260101T000000Z-00000000"
TRICKS = [
    "",
    ".",
    "..",
    "../{id}",
    "./{id}",
    "{id}/",
    "/{id}",
    "{id}/../{id}",
    "{id}\n",
    ".trash/{id}",
    "{id}/record.json",
]


@pytest.fixture
def store(artifacts):
    return ArtifactStore(artifacts)


@pytest.fixture
def save(store, fake_result):
    """Return a function that stores a result as if it had been made some days ago."""

    def save(days_old=0.0, owner="local", name="ball.png"):
        record = store.save(fake_result(name=name), owner=owner)
        if not days_old:
            return record
        made = datetime.now(UTC) - timedelta(days=days_old)
        values = {**asdict(record), "id": f"{made:%Y%m%dT%H%M%SZ}{record.id[16:]}", "created": made.isoformat()}
        folder = store.folder(record).rename(store.root / values["id"])
        (folder / RECORD).write_text(json.dumps(values), encoding="utf-8")
        return store.get(values["id"], None)

    return save


@pytest.fixture
def history(capsys):
    """Return a function that runs `history` and gives exit code, standard output and standard error."""

    def run(*arguments):
        code = main(["history", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def history_json(history):
    """Return a function that runs `history ... --json` and gives exit code and what was printed."""

    def run(*arguments):
        code, out, err = history(*arguments, "--json")
        assert err == ""
        assert out.count("\n") == 1
        return code, json.loads(out)

    return run


def ids(store, owner=None):
    return [record.id for record in ArtifactStore(store.root).list(owner)]


def in_trash(store):
    return set(os.listdir(store.root / TRASH)) if (store.root / TRASH).exists() else set()


def damage(store, record, role="alpha"):
    path = store.path(record, role)
    path.write_bytes(path.read_bytes() + b"!")


# list


def test_list_of_no_results_is_empty(history, history_json):
    assert history("list") == (0, "", "")
    assert history_json("list") == (0, {"results": []})


def test_list_shows_a_line_for_each_result_newest_first(history, save):
    old, new = save(days_old=2, owner="anna", name="old.png"), save(owner="ben", name="new.png")
    code, out, _ = history("list")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines == [[new.id, "60", "x", "40", "ben", "new.png"], [old.id, "60", "x", "40", "anna", "old.png"]]


def test_json_of_list_holds_the_records(history_json, save):
    saved = [save(), save()]
    assert history_json("list") == (0, {"results": [asdict(record) for record in saved[::-1]]})


def test_list_can_be_of_one_owner_and_cut(history_json, save):
    mine = [save(owner="anna").id for _ in range(3)]
    save(owner="ben")
    listed = [
        [record["id"] for record in history_json("list", *options)[1]["results"]]
        for options in (["--owner", "anna"], ["--owner", "anna", "--limit", 2], ["--limit", 0], ["--owner", "nobody"])
    ]
    assert listed == [mine[::-1], mine[:0:-1], [], []]


def test_negative_limit_is_refused(history):
    code, out, err = history("list", "--limit", "-1")
    assert (code, out) == (1, "")
    assert err == "error: --limit is -1. It takes numbers from 0 on.\n"


# show


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_show_prints_the_record(history, save, options):
    record = save(name="Gänseblümchen.png")
    code, out, _ = history("show", record.id, *options)
    assert code == 0
    assert json.loads(out) == asdict(record)
    assert "Gänseblümchen" in out
    assert (out.count("\n") == 1) == bool(options)


@pytest.mark.parametrize("action", ["show", "verify", "delete"])
@pytest.mark.parametrize("trick", [UNKNOWN, *TRICKS])
def test_unknown_id_is_exit_code_1_and_a_sentence(history, history_json, store, save, action, trick):
    record = save()
    wrong = trick.format(id=record.id)
    sentence = f"There is no result {wrong!r} here. It may have been deleted; run the photo again."
    assert history(action, wrong) == (1, "", f"error: {sentence}\n")
    assert history_json(action, wrong) == (1, {"error": sentence, "kind": "StoreError"})
    assert ids(store) == [record.id]


@pytest.mark.parametrize("arguments", [[], ["lisst"], ["show"], ["delete"], ["list", "--limit", "few"], ["prune", "x"]])
def test_wrong_usage_is_exit_code_2(history, arguments):
    with pytest.raises(SystemExit) as stop:
        history(*arguments)
    assert stop.value.code == 2


# verify


def test_verify_finds_whole_results_whole(history, history_json, save):
    saved = [save() for _ in range(2)]
    assert history("verify") == (0, "2 checked, 0 damaged files\n", "")
    assert history("verify", saved[0].id) == (0, "1 checked, 0 damaged files\n", "")
    assert history_json("verify") == (0, {"checked": 2, "problems": []})


def test_verify_of_damaged_files_is_exit_code_1(history, history_json, store, save):
    whole, damaged = save(), save()
    damage(store, damaged)
    store.path(damaged, "result").unlink()
    problems = [
        f"{damaged.id}/alpha.png was changed or damaged after it was stored.",
        f"{damaged.id}/result.png is missing or cannot be read.",
    ]
    assert history("verify") == (1, "\n".join([*problems, "2 checked, 2 damaged files\n"]), "")
    assert history_json("verify") == (1, {"checked": 2, "problems": problems})
    assert history_json("verify", whole.id) == (0, {"checked": 1, "problems": []})


def test_verify_of_one_owner_leaves_others_alone(history_json, store, save):
    save(owner="anna")
    damage(store, save(owner="ben"))
    assert history_json("verify", "--owner", "anna") == (0, {"checked": 1, "problems": []})
    assert history_json("verify", "--owner", "ben")[0] == 1


def test_verify_finds_a_damaged_record(history_json, store, save):
    whole, damaged = save(), save()
    (store.folder(damaged) / RECORD).write_text('{"id": "cut o', encoding="utf-8")
    problem = f"{damaged.id}/record.json was changed or damaged after it was stored; the result is not listed."
    assert history_json("verify") == (1, {"checked": 1, "problems": [problem]})
    assert ids(store) == [whole.id]


def test_write_under_way_is_nothing_damaged(history_json, store, save):
    save()
    (store.root / UNKNOWN).mkdir()
    assert history_json("verify") == (0, {"checked": 1, "problems": []})


# delete


def test_delete_moves_results_to_the_trash(history, history_json, store, save):
    first, second, third, kept = (save() for _ in range(4))
    assert history("delete", first.id, second.id) == (0, "2 deleted\n", "")
    assert history_json("delete", third.id) == (0, {"deleted": 1})
    assert ids(store) == [kept.id]
    assert in_trash(store) == {first.id, second.id, third.id}
    assert store.restore(second.id, "local") == second
    assert store.verify(second) == ()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_delete_is_all_or_none(history, store, save, place):
    saved = [save().id for _ in range(2)]
    asked = [*saved[:place], UNKNOWN, *saved[place:]]
    code, out, err = history("delete", *asked)
    assert (code, out) == (1, "")
    assert UNKNOWN in err
    assert ids(store) == saved[::-1]
    assert in_trash(store) == set()


def test_id_given_twice_is_deleted_once(history, store, save):
    record = save()
    assert history("delete", record.id, record.id) == (0, "1 deleted\n", "")
    assert in_trash(store) == {record.id}


def test_deleted_result_is_unknown(history, save):
    record = save()
    history("delete", record.id)
    for action in ("show", "verify", "delete"):
        assert history(action, record.id)[0] == 1


# prune


def test_prune_empties_the_trash_and_removes_old_leftovers_only(history, store, save):
    kept, deleted = save(days_old=100), save()
    store.delete(deleted)
    old, young = store.root / UNKNOWN, store.root / UNKNOWN.replace("2026", "2025")
    for folder in (old, young):
        folder.mkdir()
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    assert history("prune") == (0, "2 deleted for good\n", "")
    assert in_trash(store) == set()
    assert set(os.listdir(store.root)) == {kept.id, young.name, TRASH}


def test_prune_of_nothing_deletes_nothing(history, history_json, store):
    assert history("prune") == (0, "0 deleted for good\n", "")
    assert history_json("prune") == (0, {"deleted_for_good": 0})
    assert not store.root.exists()


@pytest.mark.parametrize("keep", [0, 1, 3, 4, 9])
def test_prune_keeps_the_newest(history_json, store, save, keep):
    saved = [save(days_old=days).id for days in (0, 1, 2, 30)]
    assert history_json("prune", "--keep", keep) == (0, {"deleted_for_good": len(saved[keep:])})
    assert ids(store) == saved[:keep]
    assert in_trash(store) == set()


@pytest.mark.parametrize(
    ("days", "left"), [(0, 0), (0.5, 1), (1.5, 2), (29, 3), (31, 4), (1e6, 4), (1e300, 4), ("inf", 4)]
)
def test_prune_deletes_what_is_older(history_json, store, save, days, left):
    saved = [save(days_old=age).id for age in (0.001, 1, 2, 30)]
    assert history_json("prune", "--older-than", days) == (0, {"deleted_for_good": 4 - left})
    assert ids(store) == saved[:left]


def test_prune_deletes_what_either_option_names(history_json, store, save):
    saved = [save(days_old=age).id for age in (0.001, 1, 2, 30)]
    assert history_json("prune", "--keep", 3, "--older-than", 1.5) == (0, {"deleted_for_good": 2})
    assert ids(store) == saved[:2]


@pytest.mark.parametrize("option", [["--keep", "-1"], ["--older-than", "-0.5"], ["--older-than", "nan"]])
def test_prune_refuses_numbers_below_0(history, store, save, option):
    record = save()
    assert history("prune", *option) == (1, "", "error: --keep and --older-than take numbers from 0 on.\n")
    assert ids(store) == [record.id]


@pytest.mark.parametrize("action", ["list", "verify", "prune"])
def test_folder_that_cannot_be_listed_is_exit_code_1(history_json, artifacts, action):
    artifacts.write_text("I am a file.")
    code, printed = history_json(action)
    assert code == 1
    assert "CUTOUT_ARTIFACTS" in printed["error"]
