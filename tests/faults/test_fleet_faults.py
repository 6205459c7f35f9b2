"""A fleet of which some devices fail: each fails alone and says so, and the same command finishes what is left."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.devices import LONG, SHORT, arguments, deploy, entry, find, fleet, jobs, kill
from tests.operator import Operator
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until
from tests.stand_ins.carried import carry

Start = Callable[..., Sshd]

IMPATIENT = """
from edge.agent import calls, finding, session
calls.CALL_S = finding.CALL_S = session.CALL_S = session._WAIT_S = 25.0
session._WAITING = ("--timeout", "25", "--preparing", "10")
"""
"""A prelude: a call that hangs is given up after less than a minute."""

DEVICES, FAILING = 16, 5
SEED = 20


@pytest.fixture
def quick(operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """An operator whose agents carry a stand-in for onnxruntime."""
    carry(tmp_path, monkeypatch, {"onnxruntime": "idle_backend.py"})
    operator.prelude = SHORT + IMPATIENT
    return operator


def well_told(failed: dict[str, Any]) -> bool:
    error = failed["error"]
    return failed["device"] in error["where"] + failed["device"] and bool(
        error["stage"] and error["message"] and error["fix"]
    )


def test_each_kind_of_refusal_is_its_device_s_alone(quick: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    well, swapped, asking, hostile = (start_sshd(name=name) for name in ("well", "swapped", "asking", "hostile"))
    swapped.known_hosts.write_text(f"[127.0.0.1]:{swapped.port} {well.host_key()}\n")
    asking.restart("PasswordAuthentication yes\nPubkeyAuthentication no")
    hostile.tool("hostile-python", "exec yes")
    entries = [entry(well), entry(swapped), entry(asking)]
    fleet(quick, *entries, entry(hostile, python=hostile.folder / "tools" / "hostile-python"))
    answer = deploy(quick, tiny_onnx)
    assert answer.code == 3, answer.err
    assert [row["device"] for row in answer.json["measurements"]] == ["well"]
    told = {item["device"]: item["error"]["message"] for item in answer.json["failed"]}
    assert set(told) == {"swapped", "asking", "hostile"}
    assert "has changed" in told["swapped"]
    assert "by key is not allowed; the server takes password" in told["asking"]
    assert "printed more than 1,048,576 bytes" in told["hostile"]
    assert all(well_told(item) for item in answer.json["failed"])
    assert not list(swapped.home.rglob("*.pyz"))


class Chaos:
    """What happens to the devices, all of it drawn from one seed."""

    def __init__(self, seed: int, servers: list[Sshd], proxies: list[Proxy]) -> None:
        draw = random.Random(seed)
        self.faults = {
            number: (draw.choice(["reset", "freeze", "kill the worker"]), draw.randrange(4, 60))
            for number in draw.sample(range(len(servers)), FAILING)
        }
        self.ended, self.striking = threading.Event(), threading.Lock()
        self.threads = []
        for number, (fault, moment) in self.faults.items():
            if fault == "kill the worker":
                self.threads.append(threading.Thread(target=self._kill_worker, args=(servers[number],)))
            else:
                act = proxies[number].reset if fault == "reset" else servers[number].freeze
                proxies[number].before = self._at(moment, act)
        for thread in self.threads:
            thread.start()

    def _at(self, moment: int, act: Callable[[], None]) -> Callable[[int], None]:
        def strike(piece: int) -> None:
            if piece == moment:
                with self.striking:
                    if not self.ended.is_set():
                        act()

        return strike

    def _kill_worker(self, server: Sshd) -> None:
        while not self.ended.wait(0.02):
            workers = find(server, " worker ")
            if workers:
                kill(*workers)
                return

    def end(self, servers: list[Sshd], proxies: list[Proxy]) -> None:
        with self.striking:  # a server that is being frozen would be so after the thaw
            self.ended.set()
        for thread in self.threads:
            thread.join()
        for server, proxy in zip(servers, proxies, strict=True):
            proxy.before = lambda _piece: None
            server.thaw()
        for number in self.faults:
            server, port = servers[number], proxies[number].port
            assert [server.greets(), server.greets(port)] == [True, True], server.told()


@pytest.fixture
def many(start_sshd: Start) -> Iterator[tuple[list[Sshd], list[Proxy]]]:
    servers = [start_sshd(name=f"board-{number:02}") for number in range(DEVICES)]
    with ExitStack() as stack:
        yield servers, [stack.enter_context(Proxy(server.port)) for server in servers]


def test_a_third_of_sixteen_fails_at_random(
    quick: Operator, many: tuple[list[Sshd], list[Proxy]], tiny_onnx: Path
) -> None:
    servers, proxies = many
    fleet(quick, *(entry(server, port=proxy.port) for server, proxy in zip(servers, proxies, strict=True)))
    chaos = Chaos(SEED, servers, proxies)
    answer = deploy(quick, tiny_onnx)
    chaos.end(servers, proxies)
    measured = {row["device"] for row in answer.json["measurements"]}
    failed = {item["device"]: item for item in answer.json["failed"]}
    assert measured | set(failed) == {server.name for server in servers}
    assert not measured & set(failed)
    assert set(failed) <= {servers[number].name for number in chaos.faults}, answer.err
    assert all(well_told(item) for item in failed.values()), failed
    assert answer.code == (3 if failed else 4), answer.err

    quick.prelude = SHORT  # what the faults left behind may hold a device for a while
    again = deploy(quick, tiny_onnx)
    assert again.code in (0, 4), "\n".join([*(servers[number].told() for number in chaos.faults), again.err])
    assert sorted(row["device"] for row in quick.measurements()) == [server.name for server in servers]
    assert len(failed) >= 2, "the seed makes faults that matter"


def test_two_operators_on_one_device_take_turns(quick: Operator, server: Sshd, tiny_onnx: Path, tmp_path: Path) -> None:
    """They ship the same at once, and the second waits until the first has measured; one that dies leaves no lock."""
    quick.prelude = LONG + IMPATIENT
    other = Operator(tmp_path / "other", prelude=quick.prelude)
    other.home.mkdir()
    for each in (quick, other):
        fleet(each, entry(server))
    children = [each.start(*arguments(tiny_onnx, "--json")) for each in (quick, other)]
    wait_until(lambda: len(find(server, " worker ")) == 1 and len(jobs(server)) == 2, "one to wait for the other", 90)
    kill(*find(server, " worker "))
    ended = [(child.communicate(timeout=120), child.returncode) for child in children]
    assert sorted(code for _, code in ended) == [1, 4], ended
    other.stop()
