"""The controller of benchmarks/scale.py: `edgebench` in a process of its own, which tells at its end what it cost.

    python benchmarks/scale_controller.py FIGURES.json [--simulate TRIP,PROBE,JOB] -- sweep PLAN ...

`--quick` and `quick = true` mean what TIMING says here. With `--simulate` devices are simulated, with sleeps of so many
seconds: the two places that connect to a device get one of benchmarks/simulated.py, all else is as always.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.simulated import Site, Sleeps  # noqa: E402
from device_agents.contract import Timing  # noqa: E402
from edge import deploy  # noqa: E402
from edge.agent import asking  # noqa: E402
from edge.cli import main as edgebench  # noqa: E402

IDLE_S = 0.25  # for which a device is watched before each process
TIMING = Timing(processes=1, warmup_s=0.2, warmup_iterations=2, warmup_cap_s=0.2, duration_s=2.0, iterations=10)


def main() -> int:
    figures, own, arguments = sys.argv[1], *_split(sys.argv[2:])
    site = Site(Sleeps(*map(float, own[1].split(",")))) if own else None
    if site is not None:
        asking.connect = deploy.connect = lambda device, _places: site.connect(device.name)  # type: ignore[assignment]
    Timing.quick = staticmethod(lambda: TIMING)  # type: ignore[method-assign]
    sys.argv = ["edgebench", *arguments]
    code: object = 0
    try:
        edgebench()
    except SystemExit as end:
        code = end.code
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "code": code,
        "cpu_s": time.process_time() - (site.cpu_s if site else 0.0),
        "children_cpu_s": sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]),
        "peak_mb": peak_bytes() / 1e6,
        "switches": used.ru_nvcsw + used.ru_nivcsw,
        "slept_s": max(site.slept_s.values(), default=0.0) if site else 0.0,
        "simulating_cpu_s": site.cpu_s if site else 0.0,
    }
    Path(figures).write_text(json.dumps(told), encoding="utf-8")
    return 0


def peak_bytes() -> int:
    """Not ru_maxrss: a child starts with what its parent had."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    at = words.index("--")
    return words[:at], words[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
