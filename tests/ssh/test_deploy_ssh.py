"""The main job over a real OpenSSH server on loopback: own key, own known_hosts, a home of the device's own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.operator import Operator, interrupted
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until

SECOND_USER = "edgebench-device"

Start = Callable[..., Sshd]


def write_fleet(operator: Operator, server: Sshd, *, python: str = sys.executable, extra: str = "") -> None:
    text = server.fleet_toml() + (f'python = "{python}"\n' if python else "") + extra
    (operator.home / "fleet.toml").write_text(text)


def test_a_model_is_shipped_timed_and_brought_back(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick", "--json")
    assert answer.code in (0, 4), answer.err + answer.out
    row = answer.json["measurements"][0]
    assert row["device"] == "board"
    assert answer.json["model_bytes_sent"] > 100_000
    workdir = next((server.home / ".cache" / "edgebench").glob("*"))
    assert {path.name for path in workdir.iterdir()} == {"agents", "artifacts", "jobs"}
    assert workdir.stat().st_mode & 0o077 == 0, "nobody else may read it"
    assert not list(workdir.rglob("*.part"))

    again = operator.run("deploy", tiny_onnx, "--device", "board", "--quick", "--json")
    assert again.json["model_bytes_sent"] == 0


def test_two_devices_and_this_machine_in_one_command(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    servers = [start_sshd(name="board-1"), start_sshd(name="board-2")]
    text = "".join(server.fleet_toml() + f'python = "{sys.executable}"\n' for server in servers)
    (operator.home / "fleet.toml").write_text(text)
    answer = operator.run("deploy", tiny_onnx, "--device", "all or local", "--quick", "--json")
    assert [row["device"] for row in answer.json["measurements"]] == ["board-1", "board-2", "local"]


def test_one_lost_device_does_not_hide_another_s_result(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server, gone = start_sshd(name="board-1"), start_sshd(name="board-2")
    gone.stop()
    text = "".join(each.fleet_toml() + f'python = "{sys.executable}"\n' for each in (server, gone))
    (operator.home / "fleet.toml").write_text(text)
    answer = operator.run("deploy", tiny_onnx, "--device", "all", "--quick", "--json")
    assert answer.code == 3
    assert [row["device"] for row in answer.json["measurements"]] == ["board-1"]
    assert [item["device"] for item in answer.json["failed"]] == ["board-2"]
    assert answer.json["failed"][0]["error"]["code"] == "connect"


def test_orin_means_every_orin(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """`deploy --device orin` verbatim. The board is a loopback server that only says it is an Orin: it has no GPU."""
    server = start_sshd()
    (operator.home / "fleet.toml").write_text(
        server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{sys.executable}"\n[deploy]\nmodels = ["{tiny_onnx}"]\n'
    )
    answer = operator.run("deploy", "--device", "orin", "--quick", "--json")
    assert answer.code in (0, 4), answer.err + answer.out
    row = answer.json["measurements"][0]
    assert (row["device"], row["precision"], row["backend"]) == ("board", "fp16", "onnxruntime")
    (chosen,) = (line for line in answer.json["choices"] if line.startswith("backend"))
    assert chosen.startswith("backend onnxruntime"), chosen
    assert "profile jetson-agx-orin-64gb" in chosen
    unjudged = {finding["rule"] for finding in row["findings"] if not finding["broken"]}
    assert {"wrong_power_mode", "not_fp16"} <= unjudged


def test_a_jetson_stand_in_says_what_it_is(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """A stand-in for a Jetson: files recorded on a JetPack 6 board and an nvpmodel that prints what its nvpmodel
    printed, on this CPU. It shows that state crosses the link and is judged, not that a Jetson is measured."""
    server = start_sshd()
    board, tools = server.folder / "board", server.folder / "tools"
    (board / "etc").mkdir(parents=True)
    (board / "proc" / "device-tree").mkdir(parents=True)
    (board / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    (board / "proc" / "device-tree" / "model").write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    tools.mkdir()
    (tools / "nvpmodel").write_text('#!/bin/sh\nprintf "NV Power Mode: MODE_30W\\n2\\n"\n')
    (tools / "nvpmodel").chmod(0o755)
    python = server.folder / "python"
    python.write_text(f'#!/bin/sh\nEDGEBENCH_SYSTEM_ROOT={board} PATH={tools}:$PATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    profile = server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{python}"\n'
    (operator.home / "fleet.toml").write_text(profile)
    row = operator.run("deploy", tiny_onnx, "--device", "orin", "--quick", "--precision", "fp32", "--json").json
    broken = {finding["rule"]: finding["reason"] for finding in row["measurements"][0]["findings"] if finding["broken"]}
    assert broken["wrong_power_mode"] == "MODE_30W, the profile expects MAXN"
    shown = operator.run("results", "show", row["measurements"][0]["id"]).out
    for words in ("l4t = 36.4.3", "jetpack = 6.2", "board = NVIDIA Jetson AGX Orin", "recorded_system = "):
        assert words in shown

    (operator.home / "fleet.toml").write_text(profile + 'power_mode = "MODE_30W"\n')
    again = operator.run("deploy", tiny_onnx, "--device", "orin", "--quick", "--precision", "fp32", "--json").json
    assert "wrong_power_mode" not in {finding["rule"] for finding in again["measurements"][0]["findings"]}


def test_a_login_shell_that_prints_is_no_obstacle(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    (server.home / ".bashrc").write_text("echo Welcome to the board\n")
    noisy = subprocess.run(
        ["ssh", "-p", str(server.port), "-i", str(server.key), "-o", f"UserKnownHostsFile={server.known_hosts}",
         f"{server.user}@127.0.0.1", "true"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if "Welcome" not in noisy.stdout:
        pytest.skip(f"the login shell of {server.user} does not read .bashrc")
    found = operator.run("devices", "probe", "board", "--json")
    assert found.code == 0, found.err


def test_ctrl_c_ends_a_probe_at_once(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    server.freeze()
    child = operator.start("devices", "probe", "board", "--json")
    wait_until(lambda: _connected_to(server.port), "the probe has connected")
    out, err = interrupted(child)
    server.thaw()  # only now: it has not waited for an answer
    assert child.returncode == 130
    assert "Traceback" not in err
    assert json.loads(out)["error"]["code"] == "interrupted"


def _connected_to(port: int) -> bool:
    """Whether this machine has an established connection to the port, as /proc/net/tcp says."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def test_deploy_never_trusts_a_key_and_trust_does(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    server.known_hosts.unlink()
    refused = operator.run("deploy", tiny_onnx, "--device", "board", "--quick")
    assert refused.code == 1
    assert "is not known" in refused.out
    assert "edgebench devices trust board" in refused.out
    assert not server.known_hosts.exists()

    unanswered = operator.run("devices", "trust", "board", "--json")
    assert unanswered.code == 2
    assert "SHA256:" in unanswered.err, "whoever is asked sees the keys"
    assert "pass --yes or --fingerprints" in unanswered.json["error"]["fix"]

    declined = operator.run("devices", "trust", "board", stdin="n\n")
    assert declined.code == 1
    assert "SHA256:" in declined.out
    assert not server.known_hosts.exists()

    assert operator.run("devices", "trust", "board", "--yes").code == 0
    assert operator.run("deploy", tiny_onnx, "--device", "board", "--quick").code in (0, 4)


def test_trust_takes_a_file_of_fingerprints(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    shown = operator.run("devices", "trust", "board", stdin="n\n").out
    server.known_hosts.unlink()
    (operator.home / "wrong").write_text("256 SHA256:" + "A" * 43 + " somebody (ED25519)\n")
    wrong = operator.run("devices", "trust", "board", "--fingerprints", "wrong")
    assert wrong.code == 1
    assert "none of its keys is listed" in wrong.err
    (operator.home / "right").write_text(shown)
    assert operator.run("devices", "trust", "board", "--fingerprints", "right").code == 0
    assert len(server.known_hosts.read_text().splitlines()) == 3


def test_a_changed_host_key_stops_everything(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server, other = start_sshd(), start_sshd(name="other")
    write_fleet(operator, server)
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other.host_key()}\n")
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick")
    assert answer.code == 1
    assert "has changed" in answer.out
    assert not list(server.home.rglob("*.pyz"))


def test_a_refused_key_names_the_user(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    (server.folder / "authorized_keys").write_text("")
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick")
    assert answer.code == 1
    assert server.user in answer.out
    assert "refused" in answer.out


def test_no_python_with_the_runtime_says_what_each_answered(
    operator: Operator, start_sshd: Start, tiny_onnx: Path
) -> None:
    server = start_sshd()
    bare = server.folder / "bare"
    bare.symlink_to(Path(sys.executable).resolve())  # the interpreter without its virtual environment
    write_fleet(operator, server, python=str(bare))
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick")
    assert answer.code == 1
    assert "no Python there imports onnxruntime" in answer.out
    assert "No module named 'onnxruntime'" in answer.out
    assert "`python =` in fleet.toml" in answer.out

    write_fleet(operator, server, python="/no/such/python3")
    assert "/no/such/python3: not there" in operator.run("deploy", tiny_onnx, "--device", "board", "--quick").out


def test_probe_tells_what_a_device_is(operator: Operator, start_sshd: Start) -> None:
    server = start_sshd()
    write_fleet(operator, server)
    answer = operator.run("devices", "probe", "--json")
    assert answer.code == 0, answer.err
    probe = answer.json["devices"]["board"]["probe"]
    assert probe["backends"]["onnxruntime"]["version"]["value"]
    assert probe["identity"]["cpu_model"]["value"]
    assert "onnxruntime" in operator.run("devices", "probe").out


def test_a_full_disk_on_the_device_leaves_no_half_file(
    operator: Operator, start_sshd: Start, tiny_onnx: Path, small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(bytes(800_000))
    server = start_sshd()
    write_fleet(operator, server, extra=f'workdir = "{small_disk}/eb"\n')
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick")
    assert answer.code == 1
    assert "the disk of the device is full" in answer.out
    assert not list(small_disk.rglob("*.part"))


def test_a_disk_that_fills_up_with_the_result_says_so(
    operator: Operator, start_sshd: Start, tiny_onnx: Path, small_disk: Path
) -> None:
    """1 MiB holds agent and model, but not the 150,000 samples of so small a model."""
    server = start_sshd()
    write_fleet(operator, server, extra=f'workdir = "{small_disk}/eb"\n')
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick", "--option", "threads=1")
    assert answer.code == 1
    assert "No space left on device; free space there, or set `workdir`" in answer.out
    assert operator.measurements() == []
    assert not list(small_disk.rglob("*.i64le"))


def test_ctrl_c_while_a_model_is_on_its_way(operator: Operator, start_sshd: Start, heavy_onnx: Path) -> None:
    """The link goes dead in the middle of the upload; Ctrl-C ends it at once; the same command goes on from there."""
    server = start_sshd()
    with Proxy(server.port) as proxy:
        write_fleet(operator, server)
        fleet = (operator.home / "fleet.toml").read_text()
        known = server.at_port(proxy.port).known_hosts[0]
        through_proxy = fleet.replace(f"port = {server.port}", f"port = {proxy.port}")
        (operator.home / "fleet.toml").write_text(through_proxy.replace(str(server.known_hosts), str(known)))
        child = operator.start("deploy", heavy_onnx, "--device", "board", "--quick")
        wait_until(lambda: proxy.passed > 10_000_000 or child.poll() is not None, "the upload is on its way", 60)
        proxy.black_hole()
        _, err = interrupted(child)
    assert child.returncode == 130
    assert "nothing was being measured; what was finished is kept" in err
    assert not list(server.home.rglob("model.onnx")), "half a file has not the name of a whole one"
    left = next(server.home.rglob("model.onnx.part")).stat().st_size
    (operator.home / "fleet.toml").write_text(fleet)
    again = operator.run("deploy", heavy_onnx, "--device", "board", "--quick", "--json")
    assert again.code in (0, 4), again.err
    assert again.json["model_bytes_sent"] <= heavy_onnx.stat().st_size - left + 100_000


def test_a_lost_link_loses_no_measurement(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> None:
    """The connection is cut while the device measures; the same command collects what it made."""
    server = start_sshd()
    write_fleet(operator, server)
    child = operator.start("deploy", tiny_onnx, "--device", "board", "--quick", "--processes", "2")
    status = server.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in status.glob("*/jobs/*/status.json")), "it runs")
    server.cut_sessions()
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "its measurement goes on there: run the same command again to collect it" in out
    again = operator.run("deploy", tiny_onnx, "--device", "board", "--quick", "--processes", "2", "--json")
    assert again.code in (0, 4), again.err
    assert [row["id"] for row in again.json["measurements"]] == [path.name for path in status.glob("*/jobs/*")]


def test_as_a_second_user(operator: Operator, start_sshd: Start, tiny_onnx: Path, tmp_path: Path) -> None:
    """Another account plays the device. Needs one, and a Python with onnxruntime that it may read."""
    try:
        account = pwd.getpwnam(SECOND_USER)
    except KeyError:
        pytest.skip(f"there is no account {SECOND_USER}")
    if os.geteuid() != 0:
        pytest.skip("only root's sshd lets another user in")
    python = os.environ.get("EDGEBENCH_TEST_SECOND_PYTHON") or _readable_python(account)
    if python is None:
        pytest.skip(f"{sys.executable} is not readable by {SECOND_USER}; EDGEBENCH_TEST_SECOND_PYTHON names another")
    server = start_sshd()
    server.user = SECOND_USER
    shutil.chown(server.home, account.pw_uid, account.pw_gid)
    server.folder.chmod(0o755)
    write_fleet(operator, server, python=python)
    answer = operator.run("deploy", tiny_onnx, "--device", "board", "--quick", "--json")
    assert answer.code in (0, 4), answer.err + answer.out
    assert {path.stat().st_uid for path in server.home.rglob("*.pyz")} == {account.pw_uid}


def _readable_python(account: pwd.struct_passwd) -> str | None:
    """This interpreter, where every folder on its way lets others through."""
    for path in {Path(sys.executable), Path(sys.executable).resolve(), Path(sys.prefix)}:
        if any(not parent.stat().st_mode & 0o001 for parent in path.parents):
            return None
    return sys.executable if account else None
