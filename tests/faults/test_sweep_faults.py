"""Sweeps over real sshd that are killed, cut off and let wait: every cell is measured once, and what failed is told."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.devices import entry, find, fleet, kill
from tests.faults.test_controller_faults import said
from tests.operator import BRIEF, SOUND, Operator
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until

Start = Callable[..., Sshd]


@pytest.fixture
def brisk(operator: Operator) -> Operator:
    operator.prelude = BRIEF + SOUND  # an INVALID cell would be measured anew
    return operator


def write(
    operator: Operator, servers: list[Sshd], models: list[Path], more: str = "", *, port: int | None = None
) -> None:
    fleet = "".join(server.fleet_toml() + f'python = "{sys.executable}"\n' for server in servers)
    if port is not None:
        fleet = fleet.replace(f"port = {servers[0].port}", f"port = {port}")
        known = f"[127.0.0.1]:{port} {servers[0].host_key()}\n"
        servers[0].known_hosts.write_text(servers[0].known_hosts.read_text() + known)
    (operator.home / "fleet.toml").write_text(fleet)
    names = ", ".join(f'"{model}"' for model in models)
    (operator.home / "plan.toml").write_text(f"models = [{names}]\nquick = true\n{more}")


def measured(operator: Operator) -> Counter[tuple[str, str, int, int]]:
    rows = operator.run("results", "list", "--json", "--last", "500").json["measurements"]
    return Counter((row["device"], row["model"], row["batch"], row["repeat"]) for row in rows)


def events(operator: Operator) -> list[str]:
    """Of the newest run; none before it has begun."""
    begun = list((operator.home / ".local/share/edgebench/sweeps").glob("*/*.jsonl"))
    return [event["event"] for event in operator.journal()] if begun else []


def test_a_sweep_that_is_killed_again_and_again_measures_every_cell_once(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    servers = [start_sshd(name=f"board-{number}") for number in range(3)]
    write(brisk, servers, [tiny_onnx], "batches = [1, 2]\nrepeats = 2\n")
    seed = random.Random(5)
    for most in (3, 5, 8):
        child = brisk.start("sweep", "plan.toml")
        before = events(brisk).count("done")
        least = before + seed.randrange(0, most - 1)
        wait_until(
            lambda least=least: events(brisk).count("submitted") > least,  # type: ignore[misc]
            "more cells were begun",
        )
        time.sleep(seed.random())  # anywhere in what follows
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
    answer = brisk.run("sweep", "plan.toml", "--resume", "--json", timeout=180)
    assert answer.code in (0, 4), answer.err
    expected = {(s.name, "tiny", batch, repeat) for s in servers for batch in (1, 2) for repeat in (0, 1)}
    assert measured(brisk) == Counter(dict.fromkeys(expected, 1))
    assert events(brisk)[-1] == "finished"
    assert events(brisk).count("done") == 12
    assert brisk.run("sweeps", "list", "--json").json["runs"][0]["state"] == "finished"


def test_a_link_that_breaks_is_taken_up_within_the_sweep(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """The connection is cut while the board measures: the same command comes back, and collects what it made."""
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], "processes = 3\n")
    child = brisk.start("sweep", "plan.toml", "--json")
    status = server.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in status.glob("*/jobs/*/status.json")), "it runs")
    server.cut_sessions()
    _, err = child.communicate(timeout=60)
    assert child.returncode in (0, 4), err
    assert "trying again in 1 s" in err
    assert events(brisk) == ["started", "submitted", "done", "finished"]


def test_a_board_that_is_off_is_waited_for(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], 'backends = ["onnxruntime"]\n[limits]\nlink_retries = 0\n')
    server.stop()
    child = brisk.start("sweep", "plan.toml", "--wait-online", "1h")
    wait_until(lambda: events(brisk), "the sweep to have begun")
    server.restart("")
    _, err = child.communicate(timeout=90)
    assert child.returncode in (0, 4), err
    assert measured(brisk) == Counter({("board", "tiny", 1, 0): 1})


def test_a_login_that_is_refused_is_not_tried_again(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], 'backends = ["onnxruntime"]\n[limits]\nlink_retries = 50\nwait_online = "2h"\n')
    (server.folder / "authorized_keys").write_text("")
    answer = brisk.run("sweep", "plan.toml")
    assert answer.code == 1
    assert "the login as" in answer.out
    assert "trying again" not in answer.err


def test_after_too_many_failures_nothing_more_is_begun(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """Nothing listens where one board should be; the other cells are not begun, and go on with the same command."""
    server, gone = start_sshd(name="board-1"), start_sshd(name="board-2")
    write(brisk, [server, gone], [tiny_onnx], "batches = [1, 2, 4]\nprocesses = 2\n[limits]\nlink_retries = 0\n")
    gone.stop()
    answer = brisk.run("sweep", "plan.toml", "--max-failures", "1", "--json")
    ended = answer.json
    assert answer.code in (1, 3)
    assert {failure["device"] for failure in ended["failed"]} == {"board-2"}
    assert {skipped["device"] for skipped in ended["skipped"]} == {"board-1"}
    gone.restart("")
    again = brisk.run("sweep", "plan.toml", "--resume", "--json", timeout=120)
    assert again.code in (0, 4), again.err
    assert len(measured(brisk)) == 6


def test_a_journal_that_cannot_be_written_ends_the_sweep_soon(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    """The disk is full, as far as the command can tell: no file of its own may grow. The other board's work goes on
    there; nothing of it is waited for, and the same command goes on from there."""
    servers = [start_sshd(name=f"board-{number}") for number in range(2)]
    write(brisk, servers, [tiny_onnx], "batches = [1, 2, 4, 8, 16, 32]\n")
    child = brisk.start("sweep", "plan.toml")
    wait_until(lambda: "done" in events(brisk), "a cell to be done")
    journal = next((brisk.home / ".local/share/edgebench/sweeps").glob("*/*.jsonl"))
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, resource.RLIM_INFINITY))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "the journal cannot be written (" in err
    assert err.count("edgebench: ") == 1
    assert 0 < events(brisk).count("done") < 12
    again = brisk.run("sweep", "plan.toml", "--resume", "--json", timeout=120)
    assert again.code in (0, 4), again.err
    assert len(measured(brisk)) == 12


def test_what_failed_is_measured_alone(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """A cell that hangs beyond its time fails; when the reason is gone, --failed-only measures it and nothing else."""
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], 'batches = [1]\n[limits]\ncell_timeout = "1 s"\nrun_retries = 0\n')
    plan = brisk.home / "plan.toml"
    brisk.prelude = SOUND  # `--quick` takes its usual seconds: more than the cell may
    first = brisk.run("sweep", "plan.toml", "--json")
    assert first.code == 1
    assert first.json["failed"][0]["error"]["code"] == "deadline"
    assert events(brisk) == ["started", "submitted", "failed", "finished"]
    assert "--failed-only measures what failed" in brisk.run("sweeps", "status", "plan").out
    plan.write_text(plan.read_text().replace('"1 s"', '"1 h"'))
    again = brisk.run("sweep", "plan.toml", "--failed-only", "--json", timeout=90)
    assert again.code in (0, 4), again.err
    assert events(brisk)[4:] == ["reopened", "submitted", "done", "finished"]
    third = brisk.run("sweep", "plan.toml", "--failed-only")
    assert (third.code, third.out.splitlines()[-1]) == (0, "nothing failed in the latest run of plan")
    told = brisk.run("sweep", "plan.toml", "--failed-only", "--json")
    assert (told.code, told.json["measurements"]) == (0, [])


def test_a_worker_that_is_killed_is_begun_again_once(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], "processes = 2\n")
    brisk.prelude = SOUND
    child = brisk.start("sweep", "plan.toml", "--json")
    status = server.home / ".cache" / "edgebench"
    wait_until(lambda: _workers(status), "the worker to run")
    for pid in _workers(status):
        os.kill(pid, signal.SIGKILL)
    _, err = child.communicate(timeout=90)
    assert child.returncode in (0, 4), err
    assert "once more" in err
    assert events(brisk) == ["started", "submitted", "failed", "submitted", "done", "finished"]


def test_a_cell_that_restarts_its_device_is_begun_again_once(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    """Whatever ran there is gone, and the link with it, each time: how often the link may break is another matter."""
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], "processes = 3\n")
    fleet(brisk, entry(server))  # with an accelerator that nobody else waits for
    brisk.prelude = SOUND
    child = brisk.start("sweep", "plan.toml", "--json")
    for attempt in (1, 2):
        wait_until(lambda n=attempt: events(brisk).count("submitted") == n and find(server, " worker "), "it runs")  # type: ignore[misc]
        kill(*find(server, ".pyz"))
        server.cut_sessions()
    out, err = child.communicate(timeout=90)
    assert child.returncode == 1, err
    (failed,) = json.loads(out)["failed"]
    assert failed["error"]["code"] == "lost"
    assert events(brisk) == ["started", "submitted", "failed", "submitted", "failed"]


@pytest.fixture
def killed(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> Sshd:
    """A board on which a job goes on whose controller was killed; there is another board, that is off by now."""
    server, gone = start_sshd(name="board-1"), start_sshd(name="board-2")
    write(brisk, [server, gone], [tiny_onnx], "processes = 3\n[limits]\nlink_retries = 0\n")
    fleet(brisk, entry(server), entry(gone))
    gone.stop()
    child = brisk.start("sweep", "plan.toml")
    wait_until(lambda: "submitted" in events(brisk) and find(server, " worker "), "it runs")
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    return server


def test_what_failed_is_measured_alone_and_what_is_under_way_collected(brisk: Operator, killed: Sshd) -> None:
    answer = brisk.run("sweep", "plan.toml", "--failed-only", "--json")
    assert answer.code == 3, answer.err
    assert [row["device"] for row in answer.json["measurements"]] == [killed.name]
    assert events(brisk).count("submitted") == 1


def test_a_job_under_way_is_collected_however_many_have_failed(brisk: Operator, killed: Sshd) -> None:
    answer = brisk.run("sweep", "plan.toml", "--max-failures", "1", "--json")
    assert answer.code == 3, answer.err
    assert [row["device"] for row in answer.json["measurements"]] == [killed.name]
    assert not answer.json["skipped"]
    assert events(brisk).count("submitted") == 1


def _workers(status: Path) -> list[int]:
    """Processes of the agent that time inferences below that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(status) in word for word in words) and any("worker" in word or "trial" in word for word in words):
            found.append(int(path.parent.name))
    return found


def test_a_board_measures_while_the_next_model_is_still_exported(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    """The first model's cell is done before the second model's export has ended."""
    server, go = start_sshd(), export_slowly(brisk)
    source = brisk.home / "slow.py"
    source.write_text(source.read_text() + "# another one\n")  # so it is exported anew
    go.unlink()
    write(brisk, [server], [tiny_onnx, Path("slow")])
    child = brisk.start("sweep", "plan.toml", "--json")
    wait_until(lambda: "done" in events(brisk), "the first model to be measured")
    assert child.poll() is None
    assert events(brisk) == ["started", "submitted", "done"]
    go.touch()
    _, err = child.communicate(timeout=120)
    assert child.returncode in (0, 4), err
    assert events(brisk) == ["started", "submitted", "done", "submitted", "done", "finished"]


def test_what_was_measured_is_collected_before_its_model_is_exported_again(brisk: Operator, start_sshd: Start) -> None:
    """The controller was killed, and its artifacts are gone: the job on the board needs none of them."""
    server, go = start_sshd(), export_slowly(brisk)
    write(brisk, [server], [Path("slow")])
    fleet(brisk, entry(server))
    child = brisk.start("sweep", "plan.toml")
    wait_until(lambda: find(server, " worker "), "it runs", 60)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    go.unlink()
    payloads = [path.parent for path in (brisk.home / ".cache/edgebench").rglob("model.onnx")]
    assert payloads
    for payload in payloads:
        shutil.rmtree(payload)
    child = brisk.start("sweep", "plan.toml", "--json")
    wait_until(lambda: "done" in events(brisk), "it to be collected", 60)
    go.touch()
    _, err = child.communicate(timeout=120)
    assert child.returncode in (0, 4), err
    assert events(brisk) == ["started", "submitted", "done", "finished"]


def export_slowly(brisk: Operator) -> Path:
    """Export a network of the operator's own, `slow`, which waits whenever the file that is returned is not there."""
    pytest.importorskip("torch", reason="exporting a network needs edgebench[pytorch]")
    source, go = brisk.home / "slow.py", brisk.home / "go"
    source.write_text("""
import pathlib, time, torch
def net():
    end = time.monotonic() + 120
    while not pathlib.Path("go").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
""")
    go.touch()
    form = ("--name", "slow", "--framework", "pytorch", "--input", "x:float32:batch,3,2,2")
    made = brisk.run("export", "slow:net", *form, timeout=120)
    assert made.code == 0, made.err
    return go


def test_ctrl_c_says_what_becomes_of_the_jobs_and_the_same_command_goes_on(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    servers = [start_sshd(name=f"board-{number}") for number in range(2)]
    write(brisk, servers, [tiny_onnx], "processes = 3\n")
    brisk.prelude = SOUND
    child = brisk.start("sweep", "plan.toml")
    wait_until(lambda: events(brisk).count("submitted") == 2, "both run")
    os.killpg(child.pid, signal.SIGINT)
    assert "what was finished is kept, and the same command goes on from here" in said(child)
    assert child.returncode == 130
    state = brisk.run("sweeps", "status", "plan")
    assert "stopped" in state.out
    assert "of 2 cells done" in state.out
    dry = brisk.run("sweep", "plan.toml", "--dry-run")
    assert "of this plan is what the same command goes on with: " in dry.out
    assert "goes on with" not in brisk.run("sweep", "plan.toml", "--dry-run", "--fresh").out
    again = brisk.run("sweep", "plan.toml", "--resume", "--json", timeout=90)
    assert again.code in (0, 4), again.err
    assert sum(measured(brisk).values()) == 2


def test_another_terminal_sees_what_every_device_does(brisk: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write(brisk, [server], [tiny_onnx], "processes = 4\n")
    brisk.prelude = SOUND
    child = brisk.start("sweep", "plan.toml")
    wait_until(lambda: "measuring tiny" in brisk.run("sweeps", "status", "plan").out, "the other terminal to see it")
    told = brisk.run("sweeps", "status", "plan", "--json").json
    assert (told["state"], told["status"]["devices"]["board"]["total"]) == ("running", 1)
    child.communicate(timeout=90)
    assert "finished" in brisk.run("sweeps", "status", "plan").out


def test_a_slow_link_s_upload_goes_on_where_it_was_cut(brisk: Operator, start_sshd: Start, heavy_onnx: Path) -> None:
    server = start_sshd()
    with Proxy(server.port, cut_after=30_000_000) as proxy:
        write(brisk, [server], [heavy_onnx], port=proxy.port)
        answer = brisk.run("sweep", "plan.toml", "--json", timeout=120)
        assert answer.code in (0, 4), answer.err
        assert proxy.passed < 1.3 * heavy_onnx.stat().st_size, "what had arrived was not sent again"


def test_no_more_goes_over_a_link_than_it_may_cost(
    brisk: Operator, start_sshd: Start, tiny_onnx: Path, heavy_onnx: Path
) -> None:
    """The small model is sent and measured, the large one is refused before a byte of it is sent; a run that is taken
    up goes on counting."""
    server = start_sshd()
    write(brisk, [server], [tiny_onnx, heavy_onnx], "")
    fleet = brisk.home / "fleet.toml"
    fleet.write_text(fleet.read_text() + 'metered = true\nmax_bytes = "1 MB"\n')
    answer = brisk.run("sweep", "plan.toml", "--json", timeout=120)
    assert answer.code == 3, answer.err
    (failed,) = answer.json["failed"]
    assert failed["error"]["stage"] == "ship"
    assert "of max_bytes 1,000,000 are left" in failed["error"]["message"]
    assert not [path for path in server.home.rglob("*") if path.is_file() and path.stat().st_size > 1_000_000]
    spent = [event["bytes"] for event in brisk.journal() if event["event"] == "sent"]
    assert 100_000 < max(spent) == spent[-1] < 1_000_000
