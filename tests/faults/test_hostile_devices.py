"""A device that answers what no agent of ours answers. Stand-ins for its Python, which hand only the probe on to a real
one, and files in place of a result: each is refused in one short sentence, in bounded time."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.transport.ssh import SSHTransport
from profiles.errors import AgentError, EdgebenchError, ResultError, TransportError
from profiles.load import device_profile
from tests.operator import Operator
from tests.ssh.sshd import Sshd

LONGEST = 3000
"""Characters of a sentence that somebody is to read."""

JOB = "0123456789abcdef"


def stand_in(server: Sshd, script: str, *, probe: str = f'exec {sys.executable} "$@"') -> Path:
    """A Python that does `script` for every command of the agent but `probe`."""
    server.tool("hostile-python", f'case "$2" in probe) {probe} ;; esac\n{script}')
    return server.folder / "tools" / "hostile-python"


@pytest.fixture
def session(server: Sshd) -> Iterator[Session]:
    with closing(SSHTransport(server.endpoint)) as transport:
        python = str(stand_in(server, "exit 3"))
        device = replace(Device("board", "board", device_profile("local")), python=python)
        session = Session(device, transport)
        session.prepare(["trtexec"], only_look=True)
        yield session


def refused(call: object, kind: type[EdgebenchError] = AgentError) -> str:
    start = time.monotonic()
    with pytest.raises(kind) as caught:
        call()  # type: ignore[operator]
    assert time.monotonic() - start < 20
    said = str(caught.value)
    assert said.startswith("board")
    assert len(said) < LONGEST
    assert said.isprintable()
    return said


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("exit 0", "not JSON"),
        ("head -c 100000 /dev/urandom", "not JSON"),
        ("printf '\\033[2J\\033]0;owned\\007{\\n'", "not JSON"),
        ("head -c 900000 /dev/zero | tr '\\0' '['", "not JSON"),
        ("echo NaN", "not JSON"),
        ("echo null", "expected a table, got None"),
        ("""echo '{"job": "x", "state": "running", "pid": 1e999}'""", "pid: expected an integer"),
        ("""printf '{"%s": 1}\\n' $(head -c 100000 /dev/zero | tr '\\0' k)""", "unknown key 'kkk"),
        ("""echo '{"job": "x", "state": "../../etc/passwd"}'""", "is not one of queued"),
        (f"""echo '{{"error": {{"code": "a", "stage": "b", "message": "{"m" * 60_000}"}}}}'""", "mmmm"),
        ("kill -9 $$", "the agent was killed there, several times"),
    ],
    ids=[
        "nothing", "noise", "terminal", "deep", "nan", "null", "infinite", "long-key", "state", "long-error", "killed",
    ],
)  # fmt: skip
def test_what_is_no_status_is_refused(server: Sshd, session: Session, script: str, says: str) -> None:
    stand_in(server, script)
    said = refused(lambda: session.wait(JOB))
    assert any(one in said for one in says.split("|"))


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_output_without_end_is_cut_off(server: Sshd, session: Session, stream: str) -> None:
    stand_in(server, f"exec yes {stream}")
    assert "printed more than 1,048,576 bytes" in refused(lambda: session.wait(JOB), TransportError)


def _number(text: str) -> str:
    return f'{{"schema":1,"job":"{JOB}","artifact":"a","samples_count":{text}}}'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ("[" * 4_000_000, "not valid JSON"),
        ('{"a":' * 4_000_000, "not valid JSON"),
        ("[" + "[]," * 4_000_000 + "[]]", "expected a table, got"),
        (json.dumps({"k" * 20_000_000: 1}), "unknown key 'kkk"),
        (_number("NaN"), "NaN is not a number"),
        (_number("1e999"), "is missing|expected an integer"),
        (_number("9" * 5000), "not valid JSON|64 bits"),
        (_number('"../../../etc/passwd"'), "is missing|expected an integer"),
    ],
    ids=["empty", "deep-lists", "deep-tables", "many", "long-key", "nan", "infinite", "huge-number", "path"],
)
def test_what_is_no_result_is_refused(server: Sshd, session: Session, content: str, says: str) -> None:
    _job(server).joinpath("result.json").write_text(content)
    said = refused(lambda: session.collect(JOB, "a"))
    assert "result.json is not understood" in said
    assert any(one in said for one in says.split("|"))


def test_a_result_that_no_job_of_ours_can_have_is_refused(server: Sshd, session: Session) -> None:
    """One without processes is another tool's, and no device sends that."""
    fields = {"schema": 1, "job": JOB, "artifact": "a", "backend": "trtexec", "started_at": "", "samples_count": 0}
    tables: dict[str, object] = {"switches": {}, "identity": {}, "context": {}, "seconds": {}, "processes": []}
    result = {**fields, **tables, "samples_sha256": "0" * 64, "task": "foreign"}
    _job(server).joinpath("result.json").write_text(json.dumps(result))
    assert "result.json belongs to another job" in refused(lambda: session.collect(JOB, "a"))


def test_a_result_of_an_unsuitable_kind_is_not_read(server: Sshd, session: Session, tmp_path: Path) -> None:
    result = _job(server) / "result.json"
    secret = tmp_path / "secret"
    secret.write_text("{}")
    for target in (secret, Path("/dev/zero"), Path("/proc/self/environ"), server.home):
        result.symlink_to(target)
        assert "is no regular file" in refused(lambda: session.collect(JOB, "a"), ResultError)
        result.unlink()


@pytest.mark.parametrize("machine", ["..", "../../etc", ".", "a/b"])
def test_a_machine_id_that_is_none_is_refused(server: Sshd, machine: str) -> None:
    """It becomes the name of a folder, though on the device alone."""
    server.tool("cat", f"printf '{machine}\\n'")
    with closing(SSHTransport(server.endpoint)) as transport:
        session = Session(Device("board", "board", device_profile("local")), transport)
        assert "its home folder is not known" in refused(lambda: session.prepare(["trtexec"], only_look=True))


def test_a_hostile_device_costs_the_others_nothing(operator: Operator, server: Sshd) -> None:
    fleet = server.fleet_toml() + f'python = "{stand_in(server, "", probe="exec yes {}")}"\n'
    (operator.home / "fleet.toml").write_text(fleet)
    answer = operator.run("devices", "probe", "board or local", "--json")
    assert answer.code == 3, answer.err
    assert answer.json["devices"]["local"]["probe"]["kind"]
    assert "printed more than 1,048,576 bytes" in answer.json["failed"]["board"]["message"]


def _job(server: Sshd) -> Path:
    folder = next((server.home / ".cache" / "edgebench").glob("*")) / "jobs" / JOB
    folder.mkdir(parents=True)
    return folder
