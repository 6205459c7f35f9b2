"""Devices made of recorded files, stand-ins for those that are missing here: a folder that stands for the root, and
executables that print what nvpmodel and nvidia-smi print. What is read from one says so (`recorded_system`).

Their lines are what NVIDIA's tools and files were seen to hold, as in the tests of device_agents/formats; no board was
at hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

GPU = {
    "cur_freq": "306000000", "min_freq": "306000000", "max_freq": "1300500000", "device/of_node/name": "ga10b\0",
    "device/load": "0",
}  # fmt: skip
_TREES = Path(__file__).with_name("unit") / "agent" / "recorded" / "devices"
MODES = {
    "agx": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=MODE_15W >\n< POWER_MODEL ID=2 NAME=MODE_30W >\n",
    "nano": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=7W >\n",
    "super": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
}


class Recorded:
    """One device below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.root, self.tools = folder / "root", folder / "bin"
        self.root.mkdir(parents=True)
        self.tools.mkdir()
        self.file("/proc/meminfo", "MemTotal:       31271188 kB\nMemAvailable:   29000000 kB\n")

    def file(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()

    def tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n# a stand-in for {name}\n{script}\n")
        path.chmod(0o755)

    def fails(self, path: str) -> None:
        """A file that opens and answers with an error, as some sensors do: a folder stands for it."""
        (self.root / path.lstrip("/")).mkdir(parents=True)

    def python(self, interpreter: str = sys.executable) -> Path:
        """An interpreter whose agent sees this device: what `python =` of fleet.toml names."""
        path = self.tools / "python3"
        setting = f"EDGEBENCH_SYSTEM_ROOT='{self.root}' PATH='{self.tools}':/usr/bin:/bin"
        path.write_text(f'#!/bin/sh\n{setting} exec "{interpreter}" "$@"\n')
        path.chmod(0o755)
        return path


def tree(folder: Path, name: str) -> Recorded:
    """The device of tests/unit/agent/recorded/devices/NAME.tree; README.md there tells the format and the origin."""
    device = Recorded(folder)
    command, printed = "", {}
    for line in (_TREES / f"{name}.tree").read_text().splitlines():
        if line.startswith("$ "):
            command = line[2:]
            printed[command] = ""
        elif command:
            printed[command] += f"{line}\n"
        elif line.startswith("/"):
            path, _, content = line.partition(" ")
            if content == "!":
                device.fails(path)
            else:
                device.file(path, content.replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0"))
    for command, text in printed.items():
        program, _, words = command.partition(" ")
        device.tool(program, f"[ \"$*\" = '{words}' ] || exit 1\ncat <<'END'\n{text.rstrip()}\nEND")
    return device


def jetson(folder: Path, release: str, *, mode: str = "MAXN", modes: str = "agx", cuda: str = "") -> Recorded:
    """A Jetson of an L4T release such as 36.4.3 in a power mode, with the CUDA runtime of that version."""
    device = Recorded(folder)
    major, _, revision = release.partition(".")
    device.file("/etc/nv_tegra_release", f"# R{major} (release), REVISION: {revision}, GCID: 1, BOARD: generic\n")
    device.file("/proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    device.file("/etc/nvpmodel.conf", MODES[modes])
    device.tool("nvpmodel", f'[ "$1" = -q ] && echo "NV Power Mode: {mode}" && echo 0')
    for name, text in GPU.items():
        device.file(f"/sys/class/devfreq/17000000.gpu/{name}", text)
    if cuda:
        device.file(f"/usr/local/cuda-{cuda[:4]}/lib64/libcudart.so.{cuda}", "")
    return device


def a100(folder: Path, driver: str, *, cuda: str = "", processes: str = "", unknown: str = "none") -> Recorded:
    """An A100 with this driver and CUDA runtime; `processes` are lines of --query-compute-apps; the driver does not
    know the field `unknown`, and refuses every query that has it."""
    device = Recorded(folder)
    told: Mapping[str, str] = {
        "name": "NVIDIA A100-SXM4-80GB", "uuid": "GPU-8f6d9b14", "driver_version": driver, "compute_cap": "8.0",
        "memory.total": "81920", "mig.mode.current": "Disabled", "ecc.mode.current": "Enabled", "pstate": "P0",
        "clocks.sm": "1410", "clocks.mem": "1593", "temperature.gpu": "34", "power.draw": "62.18",
        "memory.used": "4", "utilization.gpu": "0", "persistence_mode": "Enabled", "enforced.power.limit": "400.00",
        "clocks.max.sm": "1410", "clocks.max.mem": "1593", "pcie.link.gen.current": "4", "pcie.link.gen.max": "4",
        "pcie.link.width.current": "16", "pcie.link.width.max": "16",
    }  # fmt: skip
    cases = "\n".join(f"        {name}) value='{value}' ;;" for name, value in told.items() if name != unknown)
    device.tool(
        "nvidia-smi",
        f"""\
case "$1" in
    -L) echo "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-8f6d9b14)"; exit 0 ;;
    --query-compute-apps=*) printf '{processes}'; exit 0 ;;
    -q) echo '        GPU Max Operating Temp            : 85 C'; exit 0 ;;
    --query-gpu=*) ;;
    *) exit 2 ;;
esac
answer=
fields="${{1#--query-gpu=}},"
while [ -n "$fields" ]; do
    field="${{fields%%,*}}" fields="${{fields#*,}}"
    case "$field" in
{cases}
        *) echo "Field \\"$field\\" is not a valid field to query."; exit 2 ;;
    esac
    answer="$answer${{answer:+, }}$value"
done
echo "$answer\"""",
    )
    if cuda:
        device.file(f"/usr/local/cuda-{cuda[:4]}/lib64/libcudart.so.{cuda}", "")
    return device


def gpus(tools: Path, *each: Mapping[str, object]) -> None:
    """In `tools` an nvidia-smi of a host with these GPUs: their fields by nvidia-smi's names, `uuid` at least, and what
    tests/stand_ins/nvidia_smi.py says. Called once more, it changes what is told from then on."""
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "nvidia-smi.part").write_text(json.dumps(each))
    (tools / "nvidia-smi.part").replace(tools / "nvidia-smi.json")
    program = tools / "nvidia-smi"
    if not program.exists():
        text = Path(__file__).with_name("stand_ins").joinpath("nvidia_smi.py").read_text()
        program.write_text(f"#!{sys.executable} -SE\n{text}")
        program.chmod(0o755)
