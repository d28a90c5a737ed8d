"""Downloads from a server of our own: resumed, verified, from the next mirror if need be."""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.datasets.download import download, sha256_of

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: /whole, /broken, /wrong, /no-range, /endless, /gone."""

    def __init__(self, asked, *arguments):
        self.asked = asked
        super().__init__(*arguments)

    def do_GET(self):
        kind = self.path.split("/")[1]
        wanted = self.headers.get("Range")
        self.asked.append((kind, wanted))
        content = bytes(len(CONTENT)) if kind == "wrong" else CONTENT
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if kind == "gone":
            return self.send_error(404)
        if start >= len(content):
            return self.send_error(416)
        if kind == "no-range":
            start = 0
        self.send_response(206 if start else 200)
        if kind != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        # A broken connection gives a third of the whole and is closed.
        end = start + len(content) // 3 if kind == "broken" else len(content)
        self.wfile.write(content[start:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of the server and the list of what was asked of it."""
    monkeypatch.setenv("no_proxy", "*")
    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, asked)) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}", asked
        served.shutdown()


def fetch(place, *urls, say=lambda _: None):
    return download(urls, place, SHA256, say)


def test_a_file_is_fetched_once(server, tmp_path):
    address, asked = server
    place = tmp_path / "new" / "file.bin"
    said = []
    assert fetch(place, f"{address}/whole/file.bin", say=said.append) == place
    assert place.read_bytes() == CONTENT
    assert said == [f"downloading {address}/whole/file.bin"]
    fetch(place, f"{address}/whole/file.bin")
    assert asked == [("whole", None)]
    assert list(place.parent.iterdir()) == [place]


def test_a_broken_connection_goes_on_where_it_broke(server, tmp_path):
    address, asked = server
    place = fetch(tmp_path / "file.bin", f"{address}/broken/file.bin")
    third = len(CONTENT) // 3
    assert place.read_bytes() == CONTENT
    assert asked == [
        ("broken", wanted and f"bytes={wanted}-") for wanted in (None, third, 2 * third, 3 * third)
    ]


def test_what_an_earlier_run_left_is_used(server, tmp_path):
    address, asked = server
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(tmp_path / "file.bin", f"{address}/whole/f").read_bytes() == CONTENT
    assert asked == [("whole", "bytes=1000-")]


def test_a_run_that_ended_before_the_last_step_is_finished(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(tmp_path / "file.bin", f"{server[0]}/whole/f").read_bytes() == CONTENT


def test_a_server_that_cannot_resume_starts_again(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    assert fetch(tmp_path / "file.bin", f"{server[0]}/no-range/f").read_bytes() == CONTENT


@pytest.mark.parametrize("first", ["gone", "wrong", "endless"])
def test_the_next_mirror_is_asked(server, tmp_path, first):
    address, asked = server
    place = fetch(tmp_path / "file.bin", f"{address}/{first}/f", f"{address}/whole/f")
    assert sha256_of(place) == SHA256
    assert asked == [(first, None), ("whole", None)]


def test_a_wrong_hash_is_an_error_and_leaves_no_file(server, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"file.bin cannot be downloaded .*sha256 is"
    ) as caught:
        fetch(tmp_path / "file.bin", f"{server[0]}/wrong/f")
    assert SHA256 in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_mirror_that_fails_is_named(server, tmp_path):
    address, _ = server
    closed = "http://127.0.0.1:9/f"
    with pytest.raises(FileNotFoundError) as caught:
        fetch(tmp_path / "file.bin", f"{address}/gone/f", closed)
    assert f"{address}/gone/f: HTTP Error 404" in str(caught.value)
    assert closed in str(caught.value)
