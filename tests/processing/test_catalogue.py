"""The catalogue against the rembg that is installed: no model missing, none that sends photos away."""

import os
import socket

import pytest

from processing.errors import ModelError
from processing.models import find_model, load_catalogue
from processing.models.folder import locate, models_home
from processing.models.spec import REFUSED
from processing.pipeline import remove_background


@pytest.fixture(scope="module")
def zoo(rembg_home):
    from rembg.sessions import sessions

    return sessions


def test_every_local_model_of_rembg_is_in_the_table_or_refused_with_a_reason(zoo):
    local = {name for name, session in zoo.items() if session.is_local()}
    own = {name for name in REFUSED if name.endswith("_custom")}
    assert local == {spec.session for spec in load_catalogue().values() if spec.session} | own


def test_every_model_that_sends_photos_away_is_refused(zoo):
    remote = {name for name, session in zoo.items() if not session.is_local()}
    assert remote
    assert all("uploads your photo" in REFUSED[name] for name in remote)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_model_opens_no_socket(name, monkeypatch, ball_file):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("an address was asked for"))
    with pytest.raises(ModelError):
        find_model(name)
    with pytest.raises(Exception, match=name):
        remove_background(ball_file, model=name)


def test_addresses_and_checksums_are_those_of_rembg(zoo, monkeypatch, tmp_path):
    """Rembg is asked to download; what it would ask for is noted instead."""
    import pooch

    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    asked: dict[str, dict[str, str]] = {}
    for name, session in zoo.items():
        spec = load_catalogue().get(name)
        if spec is None or spec.made_from:
            continue
        asked[name] = {}
        monkeypatch.setattr(
            pooch, "retrieve", lambda url, known_hash, *, _to=asked[name], **_: _to.update({url: known_hash})
        )
        session.download_models()
        assert {file.url for file in spec.files} == set(asked[name])
        for file in spec.files:
            kind, _, value = asked[name][file.url].partition(":")
            assert getattr(file, kind) == value
    assert len(asked) > 10


HOMES = [
    {},
    {"REMBG_HOME": "{tmp}/a"},
    {"U2NET_HOME": "{tmp}/b"},
    {"U2NET_HOME": "{tmp}/b", "REMBG_HOME": "{tmp}/a"},
    {"XDG_DATA_HOME": "{tmp}/c"},
    {"XDG_DATA_HOME": "{tmp}/c", "REMBG_HOME": "~/d"},
]


@pytest.fixture(params=HOMES, ids=lambda home: "+".join(home) or "none")
def home(request, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value.format(tmp=tmp_path))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["u2net", "birefnet-general", "bria-rmbg"])
def test_models_are_looked_for_where_rembg_looks(zoo, name):
    session, spec = zoo[name], find_model(name)
    assert str(models_home()) == session.rembg_home()
    assert str(locate(spec)) == os.path.join(session.model_dir(), f"{name}.onnx")
    for folder in (session.legacy_home(), session.model_dir()):  # the second is preferred to the first
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{name}.onnx")
        with open(path, "wb"):
            pass
        assert str(locate(spec)) == session.resolve_existing(f"{name}.onnx") == path


def test_files_of_one_model_are_taken_from_one_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    spec = find_model("sam")
    encoder, decoder = (file.name for file in spec.files)
    folder = tmp_path / "models" / "sam"
    folder.mkdir(parents=True)
    (folder / encoder).touch()
    assert locate(spec) == folder / encoder
    (tmp_path / encoder).touch()
    (tmp_path / decoder).touch()
    assert locate(spec) == tmp_path / encoder
    (folder / decoder).touch()
    assert locate(spec) == folder / encoder
