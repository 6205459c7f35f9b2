"""A stand-in for nvidia-smi on a host with one board whose clocks and persistence mode can be set: --query-gpu, -lgc,
-rgc, -lmc, -rmc and -pm, with --id. It keeps its state in `smi.json` beside it.

It says what the driver's manual page and recorded sessions say (an A100's memory clock cannot be locked); no board was
at hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

STATE = Path(__file__).with_name("smi.json")
DEFAULTS = {
    "uuid": "GPU-1", "name": "NVIDIA A100-SXM4-80GB", "persistence_mode": "Disabled", "clocks.sm": "210",
    "clocks.mem": "1593", "clocks.max.sm": "1410", "clocks.max.mem": "1593", "mig.mode.current": "Disabled",
    "index": "0", "memory.used": "4", "utilization.gpu": "0", "memory_clock": "fixed",
}  # fmt: skip


def main(argv: list[str]) -> int:
    state = {**DEFAULTS, **(json.loads(STATE.read_text()) if STATE.exists() else {})}
    words = [word for word in argv if not word.startswith("--id=")]
    if words == ["-L"]:
        print(f"GPU 0: {state['name']} (UUID: {state['uuid']})")
        return 0
    if words[0].startswith("--query-gpu="):
        print(", ".join(state.get(field, "[N/A]") for field in words[0].partition("=")[2].split(",")))
        return 0
    if words[0] in ("-lmc", "-rmc") and state["memory_clock"] == "fixed":
        print("Setting locked Memory clocks is not supported for GPU 00000000:00:04.0.")
        print("Treating as warning and moving on.")
        return 3
    changes = {"-lgc": {"clocks.sm": words[-1].partition(",")[0]}, "-rgc": {"clocks.sm": "210"}}
    changes["-lmc"] = {"clocks.mem": words[-1].partition(",")[0]}
    changes["-rmc"] = {"clocks.mem": "405"}
    changes["-pm"] = {"persistence_mode": "Enabled" if words[-1] == "1" else "Disabled"}
    STATE.write_text(json.dumps({**state, **changes[words[0]]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
