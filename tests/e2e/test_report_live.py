"""`edgebench report --live`: a page that follows a run, and a server that shows it to nobody else."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.running.watching import DeviceStatus, RunStatus
from tests.browser import Browser
from tests.operator import Operator
from tests.report_lab import Made, add

pytestmark = pytest.mark.leaves("the browser serves all tests of the module")
TOKEN = "0123456789abcdef0123"
RUN = "20260101t000000-ab12"


@dataclass
class Live:
    """A server that runs, and its address."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    def ask(self, path: str = "/", *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            return answer
        finally:
            connection.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def results(operator: Operator) -> Path:
    found = operator.home / ".local/share/edgebench"
    add(found, Made("aaaa1"))
    return found


@pytest.fixture
def start(operator: Operator) -> Callable[..., Live]:
    def started(*arguments: object, port: int = 0) -> Live:
        process = operator.start("report", "--live", "--port", port, "--json", *arguments)
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        return Live(process, json.loads(text)["address"])

    return started


def told(results: Path, *, done: int, ended: bool = False) -> None:
    """What a run tells of itself, as it writes it each second."""
    status = RunStatus(time.time(), {}, ended=ended)
    device = DeviceStatus(total=3, done=done)
    folder = results / "sweeps" / "plan"
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**vars(status), "devices": {"orin-1": vars(device)}}
    part = folder / f"{RUN}.part"
    part.write_text(json.dumps(whole))
    part.replace(folder / f"{RUN}.status.json")


class TestThePage:
    def test_shows_a_new_measurement_without_being_loaded_again(
        self, browser: Browser, start: Callable[..., Live], results: Path
    ) -> None:
        browser.open(start("--device", "orin").address, 1)
        browser.driver.execute_script("window.still = 1; document.getElementById('search').value = 'orin'")
        add(results, Made("bbbb1", device="shelf", profile="local"), Made("aaaa2", framework="tensorflow", ms=3.0))
        browser.wait_for("document.body.dataset.drawn === '2'")
        assert browser.ask("[window.still, document.getElementById('search').value]") == [1, "orin"]
        assert len(browser.texts("#ratio-rows tbody tr")) == 1
        assert browser.complaints() == []

    def test_follows_the_run_to_its_end(self, browser: Browser, start: Callable[..., Live], results: Path) -> None:
        told(results, done=1)
        browser.open(start().address, 1)
        browser.wait_for(f"document.getElementById('status').textContent === 'Run {RUN}: 1 of 3 cells done'")
        told(results, done=3, ended=True)
        browser.wait_for("document.getElementById('status').textContent.includes('nobody works on it now')")

    def test_goes_on_when_the_server_comes_back(
        self, browser: Browser, start: Callable[..., Live], results: Path
    ) -> None:
        first = start()
        browser.open(first.address, 1)
        assert first.stop() == 130
        browser.wait_for("document.getElementById('status').textContent.includes('does not answer')")
        add(results, Made("aaaa2", batch=8))
        start(port=first.port)
        browser.wait_for("document.body.dataset.drawn === '2'")
        browser.wait_for("document.getElementById('status').textContent === ''")

    def test_runs_no_script_that_somebody_put_into_it(
        self, browser: Browser, start: Callable[..., Live], results: Path
    ) -> None:
        browser.open(start().address, 1)
        browser.inject()
        assert browser.ask("window.broken") is None
        assert "Content Security Policy" in browser.complaints()[0]

    def test_is_opened_with_the_token_once(self, browser: Browser, start: Callable[..., Live], results: Path) -> None:
        live = start("--host", "0.0.0.0", "--token", TOKEN)
        browser.open(f"http://127.0.0.1:{live.port}/?token={TOKEN}", 1)
        assert browser.ask("location.href") == f"http://127.0.0.1:{live.port}/"
        assert browser.ask("document.cookie") == ""
        browser.open(f"http://127.0.0.1:{live.port}/", 1)


class TestTheServer:
    @pytest.fixture
    def guarded(self, start: Callable[..., Live], results: Path) -> Live:
        return start("--token", TOKEN)

    @pytest.mark.parametrize("path", ["/", "/data.json", "/events", "/page.js", "/?token=wrong"])
    def test_shows_nothing_without_the_token(self, guarded: Live, path: str) -> None:
        assert guarded.ask(path).status == 401

    def test_gives_a_cookie_for_the_token_that_is_not_the_token(self, guarded: Live) -> None:
        answer = guarded.ask(f"/?token={TOKEN}")
        cookie = answer.headers["set-cookie"]
        name = cookie.partition("=")[0]
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in cookie
        assert TOKEN not in cookie
        assert guarded.ask("/data.json", Cookie=cookie.partition(";")[0]).status == 200
        assert guarded.ask("/data.json", Cookie=f"{name}={TOKEN}").status == 401

    def test_is_for_this_host_and_only_read(self, start: Callable[..., Live], results: Path) -> None:
        live = start()
        statuses = [
            live.ask(Host=host).status for host in ("evil.example", "evil.example:80", "", "localhost", "[::1]:80")
        ]
        assert statuses == [421, 421, 421, 200, 200]
        assert [live.ask(method=method).status for method in ("POST", "PUT", "DELETE", "OPTIONS")] == [405] * 4
        assert "script-src 'self'" in live.ask().headers["content-security-policy"]

    def test_writes_nothing(self, operator: Operator, start: Callable[..., Live], results: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
        live = start("aaaa1")
        assert live.ask("/data.json").status == 200
        assert {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()} == before

    def test_says_that_its_port_is_taken(self, operator: Operator, start: Callable[..., Live], results: Path) -> None:
        answer = operator.run("report", "--live", "--port", start().port)
        assert answer.code == 2
        assert "cannot be listened on (Address already in use); name another" in answer.err


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_without_its_libraries_it_names_the_extra(operator: Operator, library: str) -> None:
    operator.prelude = f"import sys; sys.modules['{library}'] = None"
    answer = operator.run("report", "--live", "--port", "0")
    assert (answer.code, "pip install 'edgebench[report]'" in answer.err) == (2, True)
    assert "Traceback" not in answer.err
