"""Fetching models from a server that cuts, stalls, corrupts, redirects and refuses."""

import errno
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import ModuleType, SimpleNamespace

import pytest

from processing.cancellation import CancelToken
from processing.errors import Cancelled, ModelError
from processing.models.download import MIRROR, Limits, address_of, ask_size, fetch
from processing.models.folder import locate, model_folder
from processing.models.spec import find_model

#: Of a file of 300 kB; more than one read of the client, so that some of it is written.
MIDDLE = 200_000

#: Fetches the file in a process of its own, and says each step on standard output.
CHILD = """
import sys
from pathlib import Path
from processing.models import ModelSpec
from processing.models.download import Limits, fetch
url, sha256 = sys.argv[1:]
spec = ModelSpec("tiny", "Tiny", "For tests.", "onnxruntime", Path("tiny.onnx"), url=url, sha256=sha256)
print("done", fetch(spec, progress=lambda report: print(report.step, flush=True)))
"""


def left_in(spec):
    """Return the names in a model's folder."""
    folder = model_folder(spec)
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def part_of(spec):
    return model_folder(spec) / ".tmp-tiny.onnx"


def start_child(spec, code=CHILD):
    words = [sys.executable, "-c", code, spec.url, spec.sha256]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(is_so):
    """Wait for another process or thread; the time limit of the test ends it."""
    while not is_so():
        time.sleep(0.01)


# Fetching


def test_fetch_brings_the_file_under_its_name(spec, data, server, home):
    path = fetch(spec)
    assert path == locate(spec) == home / "models" / "tiny" / "tiny.onnx"
    assert path.read_bytes() == data
    assert left_in(spec) == ["tiny.onnx"]
    assert server.ranges() == [None]


def test_file_has_the_permissions_of_any_new_file(spec, tmp_path):
    (tmp_path / "other").touch()
    assert stat.S_IMODE(fetch(spec).stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_every_file_of_a_model_is_fetched(pair, data, server):
    path = fetch(pair)
    assert path.read_bytes() == data
    assert path.with_name("decoder.onnx").read_bytes() == data[:50_000]
    assert len(server.gets()) == 2


def test_whole_file_is_not_fetched_again(spec, server):
    assert fetch(spec) == fetch(spec)
    assert len(server.gets()) == 1


def test_file_of_an_earlier_rembg_is_used_where_it_is(spec, data, server, legacy):
    (legacy / "tiny.onnx").write_bytes(data)
    assert fetch(spec) == legacy / "tiny.onnx"
    assert server.asked == []
    assert left_in(spec) == []


def test_file_of_an_earlier_rembg_is_brought_beside_the_fetched_ones(pair, data, server, legacy):
    (legacy / "encoder.onnx").write_bytes(data)
    assert fetch(pair) == model_folder(pair) / "encoder.onnx"
    assert left_in(pair) == ["decoder.onnx", "encoder.onnx"]
    assert (legacy / "encoder.onnx").read_bytes() == data
    assert [path for _, path, _ in server.asked] == ["/decoder.onnx"]


@pytest.mark.parametrize("broken", [b"", b"placed by hand"])
def test_broken_file_is_fetched_anew(spec, data, broken):
    model_folder(spec).mkdir(parents=True)
    (model_folder(spec) / "tiny.onnx").write_bytes(broken)
    assert fetch(spec).read_bytes() == data


@pytest.mark.parametrize("options", [{"is_chunked": True}, {"etag": None}, {"ignores_range": True}])
def test_server_need_not_tell_length_or_version(spec, data, server, answer, options):
    server.answers.append(answer(**options))
    assert fetch(spec).read_bytes() == data


def test_built_in_model_is_not_fetched():
    with pytest.raises(ModelError, match="'compact' is not fetched: it comes with the project"):
        fetch(find_model("compact"))


def test_own_model_is_not_fetched(spec, tmp_path):
    own = replace(spec, weights=tmp_path / "own.onnx", url="")
    with pytest.raises(ModelError, match="is a file of your own"):
        fetch(own)


# Breaks


def test_break_is_resumed_where_it_happened(spec, data, server, answer, limits):
    server.answers.append(answer(cut_after=MIDDLE))
    assert fetch(spec, limits=limits).read_bytes() == data
    first, second = server.gets()
    assert "Range" not in first
    assert second["Range"].startswith("bytes=")
    assert 0 < int(second["Range"][6:-1]) <= MIDDLE
    assert second["If-Range"] == '"1"'
    assert left_in(spec) == ["tiny.onnx"]


def test_date_of_a_version_stands_in_for_its_tag(spec, data, server, answer, limits):
    date = "Mon, 01 Jun 2026 00:00:00 GMT"
    server.answers.append(answer(cut_after=MIDDLE, etag=None, headers={"Last-Modified": date}))
    assert fetch(spec, limits=limits).read_bytes() == data
    assert server.gets()[1]["If-Range"] == date


def test_weak_tag_is_no_condition(spec, data, server, answer, limits):
    server.answers += [answer(cut_after=MIDDLE, etag='W/"1"'), answer(etag='W/"1"')]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert "If-Range" not in server.gets()[1]
    assert "Range" in server.gets()[1]


def test_next_fetch_resumes(spec, data, server, answer):
    server.answers.append(answer(cut_after=MIDDLE))
    with pytest.raises(ModelError, match=r"broke off .*: it ended before all had come"):
        fetch(spec, limits=Limits(pauses_s=()))
    assert left_in(spec) == [".tmp-tiny.onnx", ".tmp-tiny.onnx.json"]
    size = part_of(spec).stat().st_size
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None, f"bytes={size}-"]


def test_part_that_is_the_whole_needs_no_request(spec, data, server, answer):
    server.answers.append(answer(cut_after=MIDDLE))
    with pytest.raises(ModelError):
        fetch(spec, limits=Limits(pauses_s=()))
    part_of(spec).write_bytes(data)
    assert fetch(spec).read_bytes() == data
    assert len(server.gets()) == 1


def test_server_that_has_no_more_to_give_is_done(spec, data, server, answer, limits):
    """The line breaks after the last byte of a file whose length is not told."""
    server.answers.append(answer(is_chunked=True, cut_after=len(data)))
    assert fetch(spec, limits=limits).read_bytes() == data
    assert len(server.gets()) > 1


def test_server_that_ignores_ranges_starts_over(spec, data, server, answer, limits):
    server.answers += [answer(cut_after=MIDDLE), answer(ignores_range=True)]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert left_in(spec) == ["tiny.onnx"]


def test_file_that_changed_starts_over(spec, data, server, answer, limits):
    server.answers += [answer(cut_after=MIDDLE, etag='"old"', body=data[::-1]), answer(etag='"new"')]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert server.gets()[1]["If-Range"] == '"old"'


def test_changed_file_of_a_server_that_does_not_say_so_starts_over(spec, data, server, answer, limits):
    """It gives the rest of another file: only the checksum of the whole can tell."""
    server.answers += [answer(cut_after=MIDDLE, etag=None, body=data[::-1]), answer(etag=None), answer(etag=None)]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert [each is None for each in server.ranges()] == [True, False, True]


def test_rest_with_another_length_starts_over(spec, data, server, answer, limits):
    server.answers += [answer(cut_after=MIDDLE, etag=None, body=data + b"more"), answer(etag=None)]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert [each is None for each in server.ranges()] == [True, False, True]


@pytest.mark.parametrize("offered", ["bytes 5-299999/300000", "nonsense", "bytes 0-299999/*"])
def test_wrong_part_starts_over(spec, data, server, answer, limits, offered):
    server.answers += [answer(cut_after=MIDDLE), answer(status=206, headers={"Content-Range": offered})]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert [each is None for each in server.ranges()] == [True, False, True]


def test_part_of_another_version_in_the_catalogue_is_thrown_away(spec, data, server, answer):
    server.answers.append(answer(cut_after=MIDDLE))
    with pytest.raises(ModelError):
        fetch(replace(spec, sha256="0" * 64), limits=Limits(pauses_s=()))
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None, None]


@pytest.mark.parametrize("note", [None, "", "[]", '{"total": "many"}', "{", "\0"])
def test_part_without_a_note_is_thrown_away(spec, data, server, note):
    model_folder(spec).mkdir(parents=True)
    part_of(spec).write_bytes(b"from where?")
    if note is not None:
        part_of(spec).with_name(".tmp-tiny.onnx.json").write_text(note)
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None]
    assert left_in(spec) == ["tiny.onnx"]


def test_part_of_one_server_is_used_at_its_mirror(spec, data, server, new_server, answer):
    server.answers.append(answer(cut_after=MIDDLE))
    with pytest.raises(ModelError):
        fetch(spec, limits=Limits(pauses_s=()))
    mirror = new_server()
    mirror.files["tiny-v1.onnx"] = data
    mirror.default = answer(etag='"of the mirror"')
    assert fetch(spec, mirror=mirror.address).read_bytes() == data
    (headers,) = mirror.gets()
    assert "Range" in headers
    assert "If-Range" not in headers  # its tags are its own


def test_file_without_a_checksum_is_not_resumed_without_a_version(spec, data, server, answer, limits):
    server.answers += [answer(cut_after=MIDDLE, etag=None), answer(etag=None)]
    assert fetch(replace(spec, sha256=""), limits=limits).read_bytes() == data
    assert server.ranges() == [None, None]


def test_server_that_always_cuts_is_given_up(spec, server, answer, limits):
    server.default = answer(cut_after=1000, ignores_range=True)
    with pytest.raises(ModelError, match=r"broke off.*Tried 4 times"):
        fetch(spec, limits=limits)
    assert len(server.gets()) == 4
    assert "tiny.onnx" not in left_in(spec)


def test_try_that_brought_much_does_not_count(spec, server, answer, monkeypatch):
    """300 kB in steps of 100 kB, with one try: it gets there as long as each brings enough."""
    monkeypatch.setattr("processing.models.download._WORTHWHILE_BYTES", 50_000)
    server.default = answer(cut_after=100_000)
    fetch(spec, limits=Limits(pauses_s=(0.0,)))
    assert len(server.gets()) >= 3


def test_stalled_server_is_noticed_and_asked_again(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    reports = []
    path = fetch(spec, limits=Limits(pauses_s=(0.0,), stalled_s=2), progress=reports.append)
    assert path.read_bytes() == data
    assert "Range" in server.gets()[1]
    assert any("stalled" in report.note for report in reports)


@pytest.mark.parametrize("how", [{"is_silent": True}, {"stall_after": 0}, {"stall_after": 20_000}])
def test_server_that_goes_on_stalling_is_given_up(spec, server, answer, how):
    server.default = answer(**how)
    with pytest.raises(ModelError, match=r"127\.0\.0\.1 stalled: 0\.5 s .*Retry later"):
        fetch(spec, limits=Limits(pauses_s=(), stalled_s=0.5))


def test_killed_process_leaves_a_part_that_is_resumed(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    child = start_child(spec)
    wait_until(lambda: part_of(spec).is_file() and part_of(spec).stat().st_size > 0)
    child.kill()
    child.communicate()
    size = part_of(spec).stat().st_size
    assert not (model_folder(spec) / "tiny.onnx").exists()
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None, f"bytes={size}-"]
    assert left_in(spec) == ["tiny.onnx"]


# Wrong bytes


def test_wrong_bytes_are_deleted_and_told(spec, data, server, answer):
    server.default = answer(body=data[:-1] + b"?")
    with pytest.raises(ModelError, match=r"is not the file in the catalogue: their SHA256 .*It was deleted"):
        fetch(spec)
    assert left_in(spec) == []
    assert len(server.gets()) == 1


def test_wrong_bytes_leave_the_file_that_was_there(spec, data, server, answer):
    model_folder(spec).mkdir(parents=True)
    (model_folder(spec) / "tiny.onnx").write_bytes(b"placed by hand")
    server.default = answer(body=data[::-1])
    with pytest.raises(ModelError):
        fetch(spec)
    assert (model_folder(spec) / "tiny.onnx").read_bytes() == b"placed by hand"


def test_size_that_differs_is_told_before_anything_is_fetched(spec, data, server):
    with pytest.raises(ModelError, match=r"has 300,000 bytes and should have 299,999: it is another file"):
        fetch(replace(spec, size_bytes=299_999))
    assert left_in(spec) == []


def test_more_bytes_than_there_should_be_are_deleted(spec, server, answer):
    server.default = answer(is_chunked=True)
    with pytest.raises(ModelError, match="gives more than the 1,000 bytes it should have"):
        fetch(replace(spec, size_bytes=1000))
    assert left_in(spec) == []


def test_server_that_promises_too_much_is_asked_for_the_rest(spec, data, server, answer, limits):
    """The rest it then names is another length, so it starts over."""
    server.answers.append(answer(claimed_length=400_000, etag=None))
    assert fetch(spec, limits=limits).read_bytes() == data


def test_server_that_promises_too_little_is_noticed(spec, server, answer):
    server.default = answer(claimed_length=299_000)
    with pytest.raises(ModelError, match="not the file in the catalogue"):
        fetch(spec)
    assert left_in(spec) == []


def test_web_page_in_place_of_a_file_is_told(spec, server, answer):
    server.default = answer(body=b"<html>Log in", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(ModelError, match=r"gives a web page, not the file.*log in"):
        fetch(spec)
    assert left_in(spec) == []


# Refusals


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "is not there"),
        (410, "is not there"),
        (403, "refused"),
        (401, "refused"),
        (407, "proxy wants"),
        (400, "says 400"),
        (304, "says 304"),
    ],
)
def test_refusal_is_told_at_once(spec, server, answer, limits, status, words):
    server.default = answer(status=status)
    with pytest.raises(ModelError, match=words) as caught:
        fetch(spec, limits=limits)
    assert spec.url in str(caught.value)
    assert str(status) in str(caught.value)
    assert "models export" in str(caught.value)
    assert len(server.gets()) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_server_in_trouble_is_asked_again(spec, data, server, answer, limits, status):
    server.answers += [answer(status=status), answer(status=status)]
    assert fetch(spec, limits=limits).read_bytes() == data
    assert len(server.gets()) == 3


@pytest.fixture
def pauses(monkeypatch):
    """Do not wait between tries, and return how long it would have been."""
    waited = []
    monkeypatch.setattr("processing.models.download.pause", lambda seconds, cancel: waited.append(seconds))
    return waited


def test_pauses_grow(spec, server, answer, pauses):
    server.default = answer(status=503)
    with pytest.raises(ModelError, match=r"says 503 .*Tried 5 times"):
        fetch(spec)
    assert pauses == [1, 2, 4, 8]


def test_pause_that_a_server_asks_for_is_kept(spec, data, server, answer, pauses):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.answers += [answer(status=503, headers={"Retry-After": value}) for value in ("7", date, "soon")]
    assert fetch(spec).read_bytes() == data
    assert pauses == [7, pytest.approx(39, abs=20), 4]


def test_very_long_pause_is_not_waited_for(spec, server, answer, pauses):
    server.default = answer(status=429, headers={"Retry-After": "3600"})
    with pytest.raises(ModelError, match="asks to be left alone for 3600 s"):
        fetch(spec)
    assert pauses == []


def test_pause_and_its_reason_are_reported(spec, server, answer, pauses):
    server.answers.append(answer(status=503))
    reports = []
    fetch(spec, progress=reports.append)
    (waiting,) = [report for report in reports if report.step == "Waiting"]
    assert waiting.note.startswith("Tries again in 1 s. The server has trouble: it says 503")


def test_refused_connection_says_what_to_do(spec, limits):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ModelError, match=r"refused the connection .*firewall.*Tried 4 times"):
        fetch(replace(spec, url=f"http://127.0.0.1:{port}/tiny.onnx"), limits=limits)


def test_unknown_host_says_what_to_do(spec, limits, monkeypatch):
    def look_up(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    with pytest.raises(ModelError, match=r"^models\.invalid was not found: there is no network.*HTTPS_PROXY"):
        fetch(replace(spec, url="https://models.invalid/tiny.onnx"), limits=limits)


def test_server_without_encryption_behind_https_says_so(spec, limits):
    with pytest.raises(ModelError, match=r"No secure connection to 127\.0\.0\.1 could be made"):
        fetch(replace(spec, url=spec.url.replace("http:", "https:")), limits=limits)


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://127.0.0.1:99999999/x"])
def test_address_that_is_none_says_so(spec, limits, url):
    with pytest.raises(ModelError):
        fetch(replace(spec, url=url), limits=limits)


# Redirects


def test_redirect_is_followed_and_resumed(spec, data, server, new_server, answer, limits):
    store = new_server()
    store.files["signed"] = data
    store.answers.append(answer(cut_after=MIDDLE))
    to = answer(status=302, headers={"Location": f"{store.address}/signed?key=secret"})
    server.default = to
    assert fetch(spec, limits=limits).read_bytes() == data
    assert store.ranges()[0] is None
    assert store.ranges()[1] is not None


def test_relative_redirect_is_followed(spec, data, server, answer):
    server.files["moved.onnx"] = data
    server.answers.append(answer(status=301, headers={"Location": "../moved.onnx"}))
    assert fetch(spec).read_bytes() == data


def test_failure_behind_a_redirect_names_the_host_that_failed(spec, server, answer, limits):
    server.default = answer(status=302, headers={"Location": "http://localhost:1/signed?key=secret"})
    with pytest.raises(ModelError, match=r"^localhost refused the connection") as caught:
        fetch(spec, limits=limits)
    assert f"{spec.url}, which leads to localhost" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_redirects_in_a_circle_are_told(spec, server, answer):
    server.default = answer(status=302, headers={"Location": spec.url})
    with pytest.raises(ModelError, match="redirects more than 10 times"):
        fetch(spec)


@pytest.fixture
def certificate(tmp_path):
    """Return a certificate of 127.0.0.1 that nobody has signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", *words.split(), "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def secure(server, certificate, spec):
    """Let the server speak https, and return the model that it publishes."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    return replace(spec, url=spec.url.replace("http:", "https:"))


def test_certificate_that_nobody_signed_is_refused(secure, server):
    with pytest.raises(ModelError, match=r"127\.0\.0\.1 cannot prove that it is .*REQUESTS_CA_BUNDLE"):
        fetch(secure)
    assert server.asked == []


def test_certificate_of_ones_own_can_be_named(secure, certificate, monkeypatch, data):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert fetch(secure).read_bytes() == data


def test_redirect_to_an_address_without_encryption_is_refused(
    secure, server, new_server, certificate, monkeypatch, data, answer
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    plain = new_server()
    plain.files["tiny.onnx"] = data
    server.default = answer(status=302, headers={"Location": f"{plain.address}/tiny.onnx"})
    with pytest.raises(ModelError, match="which is not encrypted; that is not followed"):
        fetch(secure)
    assert plain.asked == []


# Mirrors and proxies


@pytest.mark.parametrize("ending", ["", "/"])
@pytest.mark.parametrize("by_variable", [True, False])
def test_mirror_is_asked_in_place_of_the_publisher(spec, data, server, new_server, monkeypatch, ending, by_variable):
    mirror = new_server()
    mirror.files["tiny-v1.onnx"] = data
    address = f"{mirror.address}/a/folder{ending}"
    if by_variable:
        monkeypatch.setenv(MIRROR, address)
    fetch(spec, mirror=None if by_variable else address)
    assert [path for _, path, _ in mirror.asked] == ["/a/folder/tiny-v1.onnx"]
    assert server.asked == []


def test_publisher_is_not_asked_where_the_mirror_fails(spec, server, new_server):
    mirror = new_server()
    with pytest.raises(ModelError, match="Check the mirror") as caught:
        fetch(spec, mirror=mirror.address)
    assert f"{mirror.address}/tiny-v1.onnx" in str(caught.value)
    assert server.asked == []


def test_empty_mirror_is_none(spec, monkeypatch):
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:1/")
    assert address_of(spec.files[0], "") == spec.url


@pytest.mark.parametrize("mirror", ["/srv/models", "file:///srv/models", "models.example.org"])
def test_mirror_that_is_no_address_is_refused(spec, mirror):
    with pytest.raises(ModelError, match=r"is no address.*models import"):
        fetch(spec, mirror=mirror)


def test_password_of_a_mirror_is_sent_and_not_told(spec, data, new_server, answer):
    mirror = new_server()
    mirror.files["tiny-v1.onnx"] = data
    mirror.answers.append(answer(status=403))
    address = mirror.address.replace("//", "//anna:secret@")
    reports = []
    with pytest.raises(ModelError) as caught:
        fetch(spec, mirror=address, progress=reports.append)
    assert fetch(spec, mirror=address).read_bytes() == data
    assert all(headers["Authorization"].startswith("Basic ") for headers in mirror.gets())
    assert "secret" not in str(caught.value) + str(reports)


def test_proxy_is_asked(spec, data, new_server, monkeypatch):
    proxy = new_server()
    proxy.files["tiny-v1.onnx"] = data
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    fetch(replace(spec, url="http://models.invalid/tiny-v1.onnx"))
    assert [path for _, path, _ in proxy.asked] == ["http://models.invalid/tiny-v1.onnx"]


def test_host_without_a_proxy_is_asked_itself(spec, data, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(spec).read_bytes() == data


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_is_not_there_is_told(spec, limits, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ModelError, match=r"The proxy does not let .*: Connection refused\. Check HTTPS_PROXY"):
        fetch(replace(spec, url=f"{scheme}://models.invalid/tiny.onnx"), limits=limits)


# Several at once


def test_of_two_processes_one_fetches(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    first = start_child(spec)
    wait_until(server.gets)
    second = start_child(spec)
    assert second.stdout.readline() == "Waiting\n"
    server.released.set()
    ends = [child.communicate() for child in (first, second)]
    assert [errors for _, errors in ends] == ["", ""]
    assert all(out.splitlines()[-1] == f"done {locate(spec)}" for out, _ in ends)
    assert len(server.gets()) == 1
    assert locate(spec).read_bytes() == data


def test_process_that_was_killed_holds_nobody_up(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    first = start_child(spec)
    wait_until(server.gets)
    second = start_child(spec)
    assert second.stdout.readline() == "Waiting\n"
    first.kill()
    first.communicate()
    out, errors = second.communicate()
    assert errors == ""
    assert out.splitlines()[-1].startswith("done ")
    assert locate(spec).read_bytes() == data


def test_of_two_threads_one_fetches(spec, data, server):
    threads = [threading.Thread(target=fetch, args=(spec,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.gets()) == 1
    assert locate(spec).read_bytes() == data


# Folders and disks


def test_folder_that_cannot_be_made_says_what_to_do(spec, home):
    home.write_text("I am a file.")
    with pytest.raises(ModelError, match=r"cannot be written: .*REMBG_HOME"):
        fetch(spec)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_says_what_to_do(spec, home):
    home.mkdir()
    home.chmod(0o555)
    with pytest.raises(ModelError, match=r"cannot be written: Permission denied\. .*REMBG_HOME"):
        fetch(spec)


def test_folder_in_the_place_of_the_file_says_so(spec):
    (model_folder(spec) / "tiny.onnx").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"tiny\.onnx cannot be written: Is a directory"):
        fetch(spec)


@pytest.mark.parametrize("size_known", [True, False])
def test_disk_with_too_little_space_is_told_before(spec, data, server, monkeypatch, size_known):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=200_000))
    known = replace(spec, size_bytes=len(data) * size_known)
    with pytest.raises(
        ModelError, match=r"too little space in .*: 0\.3 MB are needed and 0\.2 MB are free.*REMBG_HOME"
    ):
        fetch(known)
    assert len(server.gets()) == (not size_known)


def test_disk_that_fills_up_is_told_and_what_has_come_is_used(spec, data, server, monkeypatch):
    real, room = os.write, 100_000

    def write(descriptor, content):
        nonlocal room
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return real(descriptor, content)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(content)[:room])  # as the system does: what fits is written
        room -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr("os.write", write)
        with pytest.raises(ModelError, match=r"The disk is full.*Free some space"):
            fetch(spec)
    assert len(server.gets()) == 1
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None, "bytes=100000-"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_limit_of_the_system_is_told(spec):
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + CHILD
    _, errors = start_child(spec, limited).communicate()
    assert "ModelError: The disk is full" in errors
    assert part_of(spec).stat().st_size == 100_000


# Progress and cancelling


def test_progress_counts_to_the_end(spec, data):
    reports = []
    fetch(replace(spec, size_bytes=len(data)), progress=reports.append)
    assert reports[-1].fraction == 1
    assert [report.done_bytes for report in reports] == sorted(report.done_bytes for report in reports)
    assert {report.total_bytes for report in reports[1:]} == {len(data)}
    assert [report.step for report in reports][-1] == "Checking"


def test_total_is_told_as_soon_as_the_server_has(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    reports = []

    def look(report):
        reports.append(report)
        if report.done_bytes:
            server.released.set()

    fetch(spec, progress=look)
    assert reports[0].total_bytes == 0
    assert all(report.total_bytes == len(data) for report in reports if report.done_bytes)


def test_files_of_a_model_count_together(pair, data, server):
    reports = []
    fetch(pair, progress=reports.append)
    assert {report.total_bytes for report in reports if report.step == "Fetching"} == {350_000}
    assert reports[-1].done_bytes == 350_000
    assert [method for method, *_ in server.asked].count("HEAD") == 2


def test_cancel_ends_it_and_keeps_what_has_come(spec, data, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    token = CancelToken()

    def cancel_in_the_middle(report):
        if report.done_bytes:
            token.cancel()

    with pytest.raises(Cancelled, match="What has come so far is kept"):
        fetch(spec, cancel=token, progress=cancel_in_the_middle, limits=Limits(stalled_s=3600))
    size = part_of(spec).stat().st_size
    assert size > 0
    assert fetch(spec).read_bytes() == data
    assert server.ranges() == [None, f"bytes={size}-"]


def test_cancel_ends_waiting_for_a_silent_server(spec, server, answer):
    server.default = answer(is_silent=True)
    token = CancelToken()
    threading.Thread(target=lambda: (wait_until(server.gets), token.cancel())).start()
    with pytest.raises(Cancelled):
        fetch(spec, cancel=token, limits=Limits(stalled_s=3600))


def test_cancel_ends_the_pause_between_tries(spec, server, answer):
    server.default = answer(status=503)
    token = CancelToken()
    with pytest.raises(Cancelled):
        fetch(
            spec,
            cancel=token,
            progress=lambda report: report.step == "Waiting" and token.cancel(),
            limits=Limits(pauses_s=(3600.0,)),
        )


def test_cancel_ends_waiting_for_another_process(spec, server, answer):
    server.answers.append(answer(stall_after=MIDDLE))
    child = start_child(spec)
    wait_until(server.gets)
    token = CancelToken()
    with pytest.raises(Cancelled):
        fetch(spec, cancel=token, progress=lambda report: report.step == "Waiting" and token.cancel())
    child.kill()
    child.communicate()


def test_cancelled_before_it_began_asks_for_nothing(spec, server):
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        fetch(spec, cancel=token)
    assert server.asked == []


# Sizes


def test_size_is_that_of_the_catalogue(spec, server):
    assert ask_size(replace(spec, size_bytes=7)) == 7
    assert server.asked == []


def test_size_is_asked_for_where_the_catalogue_has_none(pair):
    assert ask_size(pair) == 350_000


def test_size_that_nobody_tells_is_0(spec, pair, server, limits):
    server.files.pop("decoder.onnx")
    assert ask_size(pair) == 0
    assert ask_size(replace(spec, url="http://127.0.0.1:1/x"), limits=limits) == 0


# Converted models


@pytest.fixture
def converted(spec, monkeypatch):
    """Return a model that is made from the other one."""
    monkeypatch.setattr("processing.models.download.find_model", {"tiny": spec}.__getitem__)
    return replace(
        spec,
        name="half",
        weights=spec.weights.with_name("half.onnx"),
        url="",
        sha256="",
        made_from="tiny",
        session="half",
    )


def test_conversion_without_its_packages_says_what_to_install(converted, server, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r'pip install "rembg\[fp16\]"'):
        fetch(converted)
    assert server.asked == []


def test_conversion_is_left_to_rembg(converted, spec, data, monkeypatch):
    class Session:
        @staticmethod
        def download_models():
            assert locate(spec).read_bytes() == data
            model_folder(converted).mkdir()
            (model_folder(converted) / "half.onnx").write_bytes(b"half of it")

    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    rembg, sessions = ModuleType("rembg"), ModuleType("rembg.sessions")
    sessions.sessions = {"half": Session}
    monkeypatch.setitem(sys.modules, "rembg", rembg)
    monkeypatch.setitem(sys.modules, "rembg.sessions", sessions)
    reports = []
    assert fetch(converted, progress=reports.append).read_bytes() == b"half of it"
    assert reports[-1].step == "Converting"
    assert fetch(converted) == model_folder(converted) / "half.onnx"


def test_digest_of_the_data_is_what_the_model_wants(spec, data):
    """The fixture itself: else every test above could pass for the wrong reason."""
    assert hashlib.sha256(data).hexdigest() == spec.sha256
    assert len(data) == 300_000
