"""Downloads of libraries that take no time limit: bounded, or refused, while it is asked for and no longer."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from export.download import refused, stands_still_at_most, unreachable


class Weights(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"weights")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server on loopback that gives weights."""
    with HTTPServer(("127.0.0.1", 0), Weights) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/resnet18.pth"
        server.shutdown()
        thread.join()


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def test_a_download_that_stands_still_fails_and_later_sockets_have_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/resnet18.pth"
        with stands_still_at_most(0.2), pytest.raises(TimeoutError):
            fetch(url)
    with socket.create_server(("127.0.0.1", 0)) as later:
        assert later.gettimeout() is None


def test_refused_downloads_fail_at_once_and_go_on_afterwards(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(url) == b"weights"
    with refused(), pytest.raises(OSError, match="nothing is downloaded"):
        fetch(url)
    assert fetch(url) == b"weights"


def test_whether_a_host_can_be_reached(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert unreachable(url) is None
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert unreachable(f"http://127.0.0.1:{port}/x") == "127.0.0.1: Connection refused"
