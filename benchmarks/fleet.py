"""The same job on many hosts, by edgebench and by what people use otherwise: all against real sshd servers on loopback.

    python benchmarks/fleet.py [--hosts N] [--rounds N] [--cache DIRECTORY] [--check] [--json]

The job: a file of 10 MB is put on the host unless it is there with that content, a command of 1 s is run, the JSON file
that it writes is fetched. By edgebench (SSHTransport, a thread a host), Ansible (`ansible-playbook -f N`), pyinfra and
parallel-ssh, each a process of its own with an interpreter that starts anew. The cold load begins without the file, the
warm one has it. Every round does all of them in turn, each round in another order.

All log in with the same keys and know the host keys, except for parallel-ssh, which checks none; it has no notion of a
file that is there either, so its script asks for the hash first. Each has its defaults beyond that: Ansible's share a
connection between tasks (ControlPersist), with a new socket folder for each run, and copy modules to the host
(no pipelining). The answer is how often edgebench fits into the time of the peer, the median over the rounds with their
range. Goals, with --check for the exit code: 5 for Ansible, and at least 1 for everybody.

Peers are installed from PyPI, each into a virtual environment below --cache, when they are not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.ssh.sshd import Sshd, missing, started  # noqa: E402

OURS = "edgebench"
PEERS = {"ansible": "ansible-core", "pyinfra": "pyinfra", "parallel-ssh": "parallel-ssh"}
GOALS = {"ansible": 5.0, "pyinfra": 1.0, "parallel-ssh": 1.0}
SIZE = 10_000_000
PATIENCE_S = 900
COMMAND = """sleep 1 && printf '{"done": true}' > "$HOME/result.json\""""

BY_EDGEBENCH = """\
import contextlib, json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from edge.transport.ssh import Endpoint, SSHTransport

hosts, model, sha256 = json.load(open(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]

def job(host):
    known, home = Path(host["known_hosts"]), PurePosixPath(host["home"])
    endpoint = Endpoint(
        host["name"], "127.0.0.1", host["port"], host["user"], keys=(Path(host["key"]),), own_keys=True,
        known_hosts=(known,), trust_file=known, host_key_name=f"[127.0.0.1]:{host['port']}",
    )
    with contextlib.closing(SSHTransport(endpoint)) as transport:
        transport.put(model, home / "model.bin", sha256=sha256, timeout=600)
        assert transport.run(["sh", "-c", host["command"]], timeout=600).ok
        transport.get(home / "result.json", Path(host["fetched"]), limit=1000, timeout=600)

with ThreadPoolExecutor(len(hosts)) as pool:
    list(pool.map(job, hosts))
"""

PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {src: "MODEL", dest: "{{ home }}/model.bin"}
    - ansible.builtin.shell: {cmd: "{{ command }}"}
    - ansible.builtin.fetch: {src: "{{ home }}/result.json", dest: "{{ fetched }}", flat: true}
"""

PYINFRA_DEPLOY = """\
from pyinfra import host
from pyinfra.operations import files, server

files.put(src="MODEL", dest=host.data.home + "/model.bin")
server.shell(commands=[host.data.command])
files.get(src=host.data.home + "/result.json", dest=host.data.fetched, add_deploy_dir=False, force=True)
"""

BY_PARALLEL_SSH = """\
import json, sys
from gevent import joinall
from pssh.clients import ParallelSSHClient
from pssh.config import HostConfig

hosts, model, sha256 = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
client = ParallelSSHClient(
    ["127.0.0.1"] * len(hosts), allow_agent=False, identity_auth=False, pool_size=len(hosts),
    host_config=[HostConfig(user=one["user"], port=one["port"], private_key=one["key"]) for one in hosts],
)
there = [" ".join(one.stdout) for one in client.run_command("sha256sum $HOME/model.bin 2>/dev/null; true")]
if not all(line.startswith(sha256) for line in there):
    places = [{"local_file": model, "remote_file": one["home"] + "/model.bin"} for one in hosts]
    joinall(client.copy_file("%(local_file)s", "%(remote_file)s", copy_args=places), raise_error=True)
answers = client.run_command(hosts[0]["command"])
client.join(answers)
assert all(one.exit_code == 0 for one in answers)
places = [{"remote_file": one["home"] + "/result.json", "local_file": one["fetched"]} for one in hosts]
joinall(client.copy_remote_file("%(remote_file)s", "%(local_file)s", copy_args=places), raise_error=True)
"""


@dataclass(frozen=True)
class Bench:
    """Servers, the file to ship, and a folder for what the peers need and fetch."""

    hosts: list[Sshd]
    model: Path
    sha256: str
    folder: Path

    def fetched(self, host: Sshd) -> Path:
        return self.folder / f"{host.name}.json"

    def described(self) -> list[dict[str, Any]]:
        return [
            {
                "name": host.name, "port": host.port, "user": host.user, "key": str(host.key), "home": str(host.home),
                "known_hosts": str(host.known_hosts), "command": COMMAND, "fetched": str(self.fetched(host)),
            }
            for host in self.hosts
        ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=64, help="(default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "edgebench-benchmarks" / "peers")
    parser.add_argument("--check", action="store_true", help="exit code 1 where a goal is missed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing():
        sys.exit(missing())
    pythons = {name: installed(arguments.cache, name) for name in PEERS}
    with tempfile.TemporaryDirectory(prefix="ebfleet-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with started(folder, arguments.hosts) as hosts:
            rows = measured(prepared(folder, hosts), pythons, arguments.rounds)
    facts = {"hosts": arguments.hosts, "cores": os.cpu_count(), "load": os.getloadavg(), "versions": versions(pythons)}
    print(json.dumps({**facts, "rows": rows}) if arguments.json else told(rows, facts, arguments.rounds))
    kept = all(row["ratios"][peer]["median"] >= goal for row in rows for peer, goal in GOALS.items())
    return 1 if arguments.check and not kept else 0


def installed(cache: Path, name: str) -> Path:
    """The folder of the peer's programs, in an environment that is made when there is none."""
    home = cache / name
    if not (home / "complete").exists():
        print(f"installing {PEERS[name]} from PyPI into {home}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        call([str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", PEERS[name]])
        (home / "complete").touch()
    return home / "bin"


def versions(pythons: dict[str, Path]) -> dict[str, str]:
    ask = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return {name: call([str(home / "python"), "-c", ask, PEERS[name]]).strip() for name, home in pythons.items()}


def prepared(folder: Path, hosts: list[Sshd]) -> Bench:
    model = folder / "model.bin"
    model.write_bytes(os.urandom(SIZE))
    bench = Bench(hosts, model, hashlib.sha256(model.read_bytes()).hexdigest(), folder)
    (folder / "hosts.json").write_text(json.dumps(bench.described()))
    (folder / "playbook.yml").write_text(PLAYBOOK.replace("MODEL", str(model)))
    (folder / "deploy.py").write_text(PYINFRA_DEPLOY.replace("MODEL", str(model)))
    (folder / "by_edgebench.py").write_text(BY_EDGEBENCH)
    (folder / "by_parallel_ssh.py").write_text(BY_PARALLEL_SSH)
    described = [
        (one["name"], {"ssh_hostname": "127.0.0.1", "ssh_port": one["port"], "ssh_user": one["user"],
                       "ssh_key": one["key"], "ssh_known_hosts_file": one["known_hosts"], "ssh_allow_agent": False,
                       "ssh_look_for_keys": False, "ssh_strict_host_key_checking": "yes",
                       "home": one["home"], "command": COMMAND, "fetched": one["fetched"]})
        for one in bench.described()
    ]  # fmt: skip
    (folder / "inventory.py").write_text(f"hosts = {described!r}\n")
    inventory = {
        one["name"]: {
            "ansible_host": "127.0.0.1", "ansible_port": one["port"], "ansible_user": one["user"],
            "ansible_ssh_private_key_file": one["key"], "ansible_python_interpreter": sys.executable,
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={one['known_hosts']}",
            "home": one["home"], "command": COMMAND, "fetched": one["fetched"],
        }
        for one in bench.described()
    }  # fmt: skip
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": inventory}}))
    return bench


def measured(bench: Bench, pythons: dict[str, Path], rounds: int) -> list[dict[str, Any]]:
    """Seconds of every way in every round, cold and warm, and how often we fit into each."""
    all_ways = list(ways(bench, pythons).items())
    seconds: dict[str, dict[str, list[float]]] = {load: {way: [] for way, _ in all_ways} for load in ("cold", "warm")}
    for number in range(rounds):
        turn = number % len(all_ways)
        for way, argv in all_ways[turn:] + all_ways[:turn]:
            for host in bench.hosts:
                (host.home / "model.bin").unlink(missing_ok=True)
            for load in ("cold", "warm"):
                seconds[load][way].append(timed(bench, argv))
                print(f"round {number + 1}: {way}, {load}: {seconds[load][way][-1]:.1f} s", file=sys.stderr)
    return [{"load": load, "seconds": its, "ratios": ratios(its)} for load, its in seconds.items()]


def ratios(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    found = {}
    for way, times in seconds.items():
        each = [peer / own for peer, own in zip(times, seconds[OURS], strict=True)]
        found[way] = {"median": statistics.median(each), "low": min(each), "high": max(each)}
    return found


def timed(bench: Bench, argv: list[str]) -> float:
    """Seconds of a command that does the job on all hosts, which is looked after."""
    for host in bench.hosts:
        (host.home / "result.json").unlink(missing_ok=True)
        bench.fetched(host).unlink(missing_ok=True)
    sockets = Path(tempfile.mkdtemp(prefix="s", dir=bench.folder))
    begin = time.perf_counter()
    call(argv, bench.folder, {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets)})
    took = time.perf_counter() - begin
    for socket in sockets.iterdir():
        call(["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "nobody"])
    for host in bench.hosts:
        content = (host.home / "model.bin").read_bytes()
        if content != bench.model.read_bytes() or json.loads(bench.fetched(host).read_text()) != {"done": True}:
            sys.exit(f"{argv[0]} did not do the job on {host.name}")
    return took


def ways(bench: Bench, pythons: dict[str, Path]) -> dict[str, list[str]]:
    """The command of each, edgebench first."""
    count, folder = str(len(bench.hosts)), bench.folder
    facts = ["hosts.json", str(bench.model), bench.sha256]
    script = ["env", f"PYTHONPATH={ROOT}", sys.executable, "by_edgebench.py", *facts]
    playbook = [str(pythons["ansible"] / "ansible-playbook"), "-i", str(folder / "inventory.json"), "-f", count]
    pyinfra = [str(pythons["pyinfra"] / "pyinfra"), "-y", "--parallel", count, "inventory.py", "deploy.py"]
    pssh = [str(pythons["parallel-ssh"] / "python"), "by_parallel_ssh.py", *facts]
    return {
        OURS: script,
        "ansible": [*playbook, str(folder / "playbook.yml")],
        "pyinfra": pyinfra,
        "parallel-ssh": pssh,
    }


def call(argv: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    home = {"HOME": str(folder)} if folder else {}
    done = subprocess.run(
        argv, env={**os.environ, **home, **(environment or {})}, cwd=folder, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{argv[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def told(rows: list[dict[str, Any]], facts: dict[str, Any], rounds: int) -> str:
    lines = [f"{facts['hosts']} hosts on {facts['cores']} cores, load {facts['load'][0]:.1f}; {facts['versions']}"]
    for row in rows:
        lines.append(f"{row['load']}: seconds, and how often {OURS} fits into them (median of {rounds} rounds)")
        for way, ratio in row["ratios"].items():
            seconds = statistics.median(row["seconds"][way])
            interval = f"({ratio['low']:.2f} to {ratio['high']:.2f})"
            lines.append(f"  {way:13} {seconds:7.1f}   {ratio['median']:6.2f}   {interval}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
