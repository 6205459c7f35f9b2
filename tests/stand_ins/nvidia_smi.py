"""A stand-in for nvidia-smi on a host with several GPUs: -L, -q -d TEMPERATURE, --query-gpu and --query-compute-apps,
with --id; --loop-ms prints once.

A file of JSON beside it (`nvidia-smi.json`), which a test may write anew, lists the GPUs: their fields by nvidia-smi's
names, `apps` (pid, process_name, used_memory) and `mig`, the UUIDs of instances. Lines, refusals and exit codes are as
recorded of driver 535 (tests/recorded.py), MIG's as in NVIDIA's MIG user guide; no such host was at hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

KNOWN = {
    "name": "NVIDIA A100-SXM4-80GB", "driver_version": "535.129.03", "compute_cap": "8.0", "memory.total": "81920",
    "mig.mode.current": "Disabled", "ecc.mode.current": "Enabled", "pstate": "P0", "clocks.sm": "1410",
    "clocks.mem": "1593", "temperature.gpu": "34", "power.draw": "62.18", "memory.used": "4", "utilization.gpu": "0",
    "persistence_mode": "Enabled", "enforced.power.limit": "400.00",
    "clocks.max.sm": "1410", "clocks.max.mem": "1593", "pcie.link.gen.current": "4", "pcie.link.gen.max": "4",
    "pcie.link.width.current": "16", "pcie.link.width.max": "16",
    "temperature.memory": "[N/A]", "power.draw.instant": "62.18", "clocks_event_reasons.active": "0x0000000000000001",
}  # fmt: skip


def main(argv: list[str]) -> int:
    recorded = json.loads(Path(__file__).with_name("nvidia-smi.json").read_text())
    gpus = [{"index": str(index), **KNOWN, **gpu} for index, gpu in enumerate(recorded)]
    if argv == ["-L"]:
        for gpu in gpus:
            print(f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})")
            for number, uuid in enumerate(gpu.get("mig", [])):
                print(f"  MIG 1g.10gb     Device  {number}: (UUID: {uuid})")
        return 0
    options = dict(word.partition("=")[::2] for word in argv)
    wanted = options.get("--id")
    chosen = [gpu for gpu in gpus if wanted in (None, gpu["index"], gpu["uuid"])]
    if not chosen:
        print(f"No devices were found (--id={wanted})")
        return 6
    if argv[:1] == ["-q"]:
        print(f"        GPU Current Temp                  : {chosen[0]['temperature.gpu']} C")
        print("        GPU Max Operating Temp            : 85 C")
        return 0
    if "--query-compute-apps" in options:
        fields = options["--query-compute-apps"].split(",")
        rows = [{**app, "gpu_uuid": gpu["uuid"]} for gpu in chosen for app in gpu.get("apps", [])]
    else:
        fields, rows = options["--query-gpu"].split(","), chosen
    for row in rows:
        print(", ".join(str(row[field]) for field in fields))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyError as error:
        print(f"Field {error} is not a valid field to query.")
        sys.exit(2)
