"""What a controller and a worker say to each other, and which scheduler is spoken to at all: without any cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from device_agents.contract import dumps, loads
from edge.cluster import received
from edge.cluster.scheduler import check_address
from edge.cluster.words import device_from_json, device_to_json, error_of
from edge.inventory.fleet_file import load_fleet
from edge.inventory.hops import Hop
from export.artifact import hash_files
from profiles.errors import ConfigError, ConnectError, RunError, TransferError
from tests.operator import Operator
from tests.plans import device

LOOPBACK = ("tcp://127.0.0.1:8786", "tcp://127.8.9.1:1", "tcp://[::1]:8786", "tcp://localhost:8786")


@pytest.mark.parametrize("address", ["tls://10.0.0.1:8786", "tls://[fe80::1]:8786", *LOOPBACK])
def test_schedulers_that_are_spoken_to(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "tcp://localhost.example:8786", "tcp://0.0.0.0:8786", "tcp://[2001:db8::1]:8786"]
)
def test_a_scheduler_that_is_open_to_others_is_refused(operator: Operator, address: str) -> None:
    answer = operator.run("sweep", "first-look", "--device", "local", "--scheduler", address)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"{address} is open to whoever reaches it" in answer.err
    assert "start it with --tls-ca-file, --tls-cert and --tls-key, and name it as tls://" in answer.err


@pytest.mark.parametrize(
    "address", ["host:8786", "tls://host", "tls://:8786", "tls://host:99999", "ws://127.0.0.1:1", ""]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a scheduler; name it as tls://HOST:8786"):
        check_address(address)


def test_without_dask_the_extra_is_named(operator: Operator) -> None:
    operator.prelude = "import sys; sys.modules['distributed'] = None"
    answer = operator.run("sweep", "first-look", "--device", "local", "--scheduler", "tcp://127.0.0.1:8786")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "pip install 'edgebench[dask]'" in answer.err


def test_certificates_want_a_scheduler(operator: Operator) -> None:
    answer = operator.run("sweep", "first-look", "--device", "local", "--tls-cert", "cert.pem")
    assert answer.code == 2
    assert "certificates are for a scheduler" in answer.err


def test_a_device_has_the_paths_of_who_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    gateway = Hop("bastion", key=ours / ".ssh/gate", gateways=(Hop("first", port=2222),))
    there = replace(
        device("a-1"), site="site-a", key=ours / ".ssh/id", known_hosts=Path("/etc/known"), gateways=(gateway,),
        workdir=PurePosixPath("/data/bench"), bandwidth=5e5, tags=("lab",),
    )  # fmt: skip
    monkeypatch.setenv("HOME", str(ours))
    told = loads(dumps(device_to_json(there)))
    assert told["key"] == "~/.ssh/id"
    monkeypatch.setenv("HOME", str(theirs))
    moved = replace(gateway, key=theirs / ".ssh/gate")
    assert device_from_json(told) == replace(there, key=theirs / ".ssh/id", gateways=(moved,))


@pytest.mark.parametrize("error", [ConnectError, RunError, TransferError])
def test_an_error_comes_back_as_what_it_was(error: type[ConnectError | RunError | TransferError]) -> None:
    told = error("what", where="where", fix="fix", stage="stage")
    back = error_of(told.info())
    assert type(back) is error
    assert back.info() == told.info()


def test_a_code_of_the_agent_stays() -> None:
    error = RunError("it died", stage="run")
    error.code = "worker_died"
    back = error_of(error.info())
    assert (back.code, back.exit_code) == ("worker_died", 1)


def test_the_site_of_a_device_and_of_all(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[defaults]\nprofile = "local"\nsite = "site-a"\n[devices.a]\n[devices.b]\nsite = "site-b"\n')
    assert [one.site for one in load_fleet(path).declared] == ["site-a", "site-b"]
    path.write_text('[devices.a]\nprofile = "local"\nsite = "a site"\n')
    with pytest.raises(ConfigError, match="'a site' is no site: letters, digits"):
        load_fleet(path)


def test_what_came_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "model.onnx").write_bytes(b"0123456789")
    (sent / "empty").write_bytes(b"")
    files = hash_files(sent)
    assert not received.is_there("id", files)
    received.write("id", "one", "empty", 0, b"")
    received.write("id", "one", "model.onnx", 0, b"01234")
    received.write("id", "one", "model.onnx", 5, b"56789")
    assert received.finish("id", "one", files)
    assert received.is_there("id", files)

    received.write("id", "two", "empty", 0, b"")
    received.write("id", "two", "model.onnx", 0, b"012345678X")
    assert not received.finish("id", "two", files)
    assert received.is_there("id", files), "what was there stays"
    (received.folder("id") / "model.onnx").write_bytes(b"damaged...")
    assert not received.is_there("id", files)
    assert [path.name for path in received.folder("id").parent.iterdir()] == ["id"]
