"""What a large fleet costs this machine: `edgebench sweep` over real sshd hosts, and over simulated devices.

    python benchmarks/scale.py [--real N] [--simulated N] [--check] [--json]

real        N sshd servers on loopback, each with a port, keys, a home, an agent and an accelerator lock of its own
            (root: the lock needs a mount namespace): two cells each, whose inferences come at 20 a second for 2 s
simulated   N devices behind the same Transport contract that sleep instead (benchmarks/simulated.py): twelve cells
            each, 0.05 s a round trip, 2 s a probe, 15 s a job, as the default timing takes; no byte is sent

The controller is a process of its own (benchmarks/scale_controller.py). Budgets, with --check for the exit code:
  wall time      1.25 x the ideal: what a device was told to sleep + the CPU time of the remote side over the cores
  CPU time       60 ms a cell + 12 ms a MB shipped, of the controller
  memory         250 MB + 1 MB a device, the controller's peak
CPU times are what the kernel accounts to processes that have ended; `others` is what the rest of the machine took
meanwhile, in cores: on a machine that is not quiet the wall time is not ours alone.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.scale_controller import IDLE_S, TIMING  # noqa: E402
from device_agents.contract import Precision  # noqa: E402
from export.artifact import Store  # noqa: E402
from tests.operator import write_model  # noqa: E402
from tests.plans import stored  # noqa: E402
from tests.ssh.sshd import Sshd, missing, started  # noqa: E402

MODELS = ("resnet18", "resnet50", "mobilenet_v2")
BATCHES = (1, 8)
CORES = os.cpu_count() or 1
PATIENCE_S = 3600
_SUBREAPER = 36  # prctl(2), PR_SET_CHILD_SUBREAPER

AGENT_PYTHON = """\
#!/bin/sh
# The accelerator's lock is this host's own, as on another machine.
mkdir -p "$HOME/lock" && chmod 1777 "$HOME/lock"
exec unshare --mount sh -c 'mount --bind "$HOME/lock" /run/lock && exec "$0" "$@"' {python} "$@"
"""


@dataclass(frozen=True)
class Row:
    """One load. Seconds, MB of 10^6 bytes; `others` is in cores."""

    load: str
    devices: int
    cells: int
    wall_s: float
    sleep_s: float
    remote_cpu_s: float
    cpu_s: float
    shipped_mb: float
    peak_mb: float
    others: float

    @property
    def ideal_s(self) -> float:
        return self.sleep_s + self.remote_cpu_s / CORES

    @property
    def budgets(self) -> dict[str, tuple[float, float]]:
        """What was measured, and the most that it may be."""
        return {
            "wall s": (self.wall_s, 1.25 * self.ideal_s),
            "controller CPU s": (self.cpu_s, 0.060 * self.cells + 0.012 * self.shipped_mb),
            "controller peak MB": (self.peak_mb, 250 + self.devices),
        }

    @property
    def kept(self) -> bool:
        return all(value <= most for value, most in self.budgets.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=int, default=64, help="sshd hosts, 0 for none (default %(default)s)")
    parser.add_argument("--simulated", type=int, default=1000, help="devices, 0 for none (default %(default)s)")
    parser.add_argument(
        "--sleeps", default="0.05,2,15", help="of simulated devices: s a round trip, a probe, a job (%(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="exit code 1 where a budget is not kept")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.real and (missing() or os.geteuid()):
        sys.exit(missing() or "--real needs root: every host has a mount namespace of its own")
    rows = []
    pretended = functools.partial(simulated, sleeps=arguments.sleeps)
    for load, devices in ((real, arguments.real), (pretended, arguments.simulated)):
        if devices:
            with tempfile.TemporaryDirectory(prefix="ebscale-", ignore_cleanup_errors=True) as folder:
                rows.append(load(Path(folder), devices))
            if not arguments.json:
                print(told(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"cores": CORES, "rows": [{**asdict(row), "budgets": row.budgets} for row in rows]}))
    return 1 if arguments.check and not all(row.kept for row in rows) else 0


def real(folder: Path, count: int) -> Row:
    home, model = folder / "operator", folder / "tiny.onnx"
    home.mkdir()
    write_model(model, classes=250)  # 3 MB
    for batch in BATCHES:
        controller(home, "export", model, "--batch", batch)
    plan = {"models": [str(model)], "batches": BATCHES, "patterns": ["rate:20"], "quick": True}
    with servers(folder, count) as hosts:
        (home / "fleet.toml").write_text("".join(map(entry, hosts)))
        before, neighbours = children_cpu_s(), Neighbours()
        figures = sweep(home, plan)
        for host in hosts:
            host.stop()
        reap()
        remote_cpu_s, others = children_cpu_s() - before - figures["all_cpu_s"], neighbours.cores()
    slept_s = len(BATCHES) * (IDLE_S + TIMING.duration_s)
    return row("real", count, {**figures, "slept_s": slept_s, "remote_cpu_s": remote_cpu_s, "others": others})


def simulated(folder: Path, count: int, *, sleeps: str) -> Row:
    store = Store(folder / ".cache" / "edgebench")
    for opset, model in enumerate(MODELS, 15):  # what is no graph is told apart by its opset alone
        for precision in (Precision.FP32, Precision.FP16):
            stored(store, opset=opset, model=model, precision=precision)
    plan = {
        "models": MODELS, "frameworks": ["pytorch"], "precisions": ["fp32", "fp16"], "batches": BATCHES, "quick": True,
    }  # fmt: skip
    names = (f"sim-{number}" for number in range(count))
    profile = 'profile = "jetson-agx-orin-64gb"\n'
    (folder / "fleet.toml").write_text("".join(f'[devices.{name}]\nhost = "{name}"\n{profile}' for name in names))
    neighbours = Neighbours()
    figures = sweep(folder, plan, "--simulate", sleeps)
    remote_cpu_s = figures["simulating_cpu_s"]
    return row("simulated", count, {**figures, "remote_cpu_s": remote_cpu_s, "others": neighbours.cores()})


def sweep(home: Path, plan: dict[str, Any], *how: str) -> dict[str, Any]:
    """What the controller tells of its run, and what it took as seen from outside."""
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in plan.items())
    (home / "plan.toml").write_text("".join(lines))
    begin = time.perf_counter()
    once = ("--repeat-invalid", "0")  # the time of a cell is that of one measurement
    figures = controller(home, "sweep", home / "plan.toml", "--fleet", home / "fleet.toml", "--json", *once, how=how)
    return {**figures, "wall_s": time.perf_counter() - begin}


def controller(home: Path, *arguments: object, how: Sequence[str] = ()) -> dict[str, Any]:
    figures = home / "figures.json"
    argv = [sys.executable, str(ROOT / "benchmarks" / "scale_controller.py"), str(figures), *how, "--"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    before = children_cpu_s()
    done = subprocess.run(
        [*argv, *map(str, arguments)], cwd=home, env={**environment, "HOME": str(home)}, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    told = json.loads(figures.read_text()) if figures.exists() else {"code": "none"}
    if told["code"] not in (0, 4):  # 4: INVALID figures, as the machine was busy, which is no matter here
        sys.exit(f"edgebench {arguments[0]} ended with {told['code']}: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout) if "--json" in arguments else {}
    return {**told, "answer": answer, "all_cpu_s": children_cpu_s() - before}


def row(load: str, devices: int, figures: dict[str, Any]) -> Row:
    return Row(
        load=load,
        devices=devices,
        cells=len(figures["answer"]["measurements"]),
        wall_s=figures["wall_s"],
        sleep_s=figures["slept_s"],
        remote_cpu_s=figures["remote_cpu_s"],
        cpu_s=figures["cpu_s"],
        shipped_mb=figures["answer"]["model_bytes_sent"] / 1e6,
        peak_mb=figures["peak_mb"],
        others=figures["others"],
    )


def told(row: Row) -> str:
    lines = [
        f"{row.load}: {row.cells} cells on {row.devices} devices, {row.shipped_mb:.0f} MB shipped",
        f"  others took {row.others:.2f} of {CORES} cores meanwhile",
        f"  ideal: {row.sleep_s:.1f} s of sleep + {row.remote_cpu_s:.1f} s of remote CPU over {CORES} cores",
    ]
    for name, (value, most) in row.budgets.items():
        verdict = "kept" if value <= most else "EXCEEDED"
        lines.append(f"  {name:20} {value:9.1f}   budget {most:9.1f}   {value / most:5.2f}   {verdict}")
    lines.append(f"  {'wall / ideal':20} {row.wall_s / row.ideal_s:9.2f}")
    lines.append(f"  {'controller ms a cell':20} {row.cpu_s / row.cells * 1e3:9.1f}")
    return "\n".join(lines)


@contextlib.contextmanager
def servers(folder: Path, count: int) -> Iterator[list[Sshd]]:
    """Hosts, whose orphans (supervisors of jobs) become children of this process, so that their time is known."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with started(folder, count) as hosts:
        for host in hosts:
            python = host.home / "python"
            python.write_text(AGENT_PYTHON.format(python=sys.executable))
            python.chmod(0o755)
        yield hosts


def entry(host: Sshd) -> str:
    return f'{host.fleet_toml()}python = "{host.home / "python"}"\n'


def reap() -> None:
    """Take in what has ended, so that it counts."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def children_cpu_s() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


class Neighbours:
    """What others take of this machine, from now on: all that is not idle, without us and what we started."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._before = self._cpu_s()

    def cores(self) -> float:
        """How many, on average; ours have to have ended."""
        return (self._cpu_s() - self._before) / (time.perf_counter() - self._begin)

    @staticmethod
    def _cpu_s() -> float:
        return machine_cpu_s() - children_cpu_s() - time.process_time()


def machine_cpu_s() -> float:
    """CPU seconds that all cores were not idle since the machine started, and what a hypervisor took."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
