"""A Jetson whose clocks and power mode can be turned: a recorded one (tests/recorded.py) with stand-ins of nvpmodel,
jetson_clocks and sudo that keep their state in its files.

They do and say what NVIDIA's programs were seen to do: nvpmodel sets the clocks anew and asks before a restart,
jetson_clocks asks before it writes over a file. No board was at hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.recorded import Recorded, jetson

FLOATING, LOCKED = ("306000000", "1300500000"), ("1300500000", "1300500000")
_FILES = ("clocks", "clocks-before-mode")
_GPU, _CPU = "/sys/class/devfreq/17000000.gpu", "/sys/devices/system/cpu/cpufreq/policy0"

_NVPMODEL = """\
case "$1" in
-q) echo "NV Power Mode: $(cat '{state}/mode')"; cat '{state}/id' ;;
-m) case "$2" in
    0) mode=MAXN clock=1300500000 ;;
    1) mode=MODE_15W clock=420750000 ;;
    2) echo "NVPM WARN: Reboot required for changing to this power mode: 2"
       echo "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
       read -r answer && touch '{state}/answered'
       echo "NVPM ERROR: optMask is 1, no request for power mode"; exit 0 ;;
    esac
    echo "$mode" > '{state}/mode'; echo "$2" > '{state}/id'
    echo 306000000 > '{gpu}/min_freq'; echo $clock > '{gpu}/max_freq'
    echo 729600 > '{cpu}/scaling_min_freq' ;;
esac"""

_JETSON_CLOCKS = """\
files="{gpu}/min_freq {gpu}/max_freq {cpu}/scaling_min_freq {cpu}/scaling_max_freq"
case "$1" in
--store)
    if [ -e "$2" ]; then
        echo "File $2 already exists. Can I overwrite it? Y/N:"
        read -r answer
        [ "$answer" = Y ] || {{ echo "Error: file $2 already exists!"; exit 1; }}
    fi
    for file in $files; do echo "$file:$(cat "$file")"; done > "$2" ;;
--restore)
    [ -e "$2" ] || {{ echo "Error: File $2 not found"; exit 1; }}
    while IFS=: read -r file value; do echo "$value" > "$file"; done < "$2" ;;
"") cp '{gpu}/max_freq' '{gpu}/min_freq'; cp '{cpu}/scaling_max_freq' '{cpu}/scaling_min_freq' ;;
esac"""


class Board:
    """At first in MAXN with floating clocks, root's folder there, and a sudo that lets nobody do anything."""

    def __init__(self, folder: Path) -> None:
        self.device: Recorded = jetson(folder, "36.4.3")
        self._state = folder / "state"
        self._state.mkdir()
        (self._state / "mode").write_text("MAXN\n")
        (self._state / "id").write_text("0\n")
        self.device.file(f"{_CPU}/scaling_min_freq", "729600")
        self.device.file(f"{_CPU}/scaling_max_freq", "2201600")
        places = {"state": self._state, "gpu": self._path(_GPU), "cpu": self._path(_CPU)}
        self.device.tool("nvpmodel", _NVPMODEL.format(**places))
        self.device.tool("jetson_clocks", _JETSON_CLOCKS.format(**places))
        install_sudo(self.device.tools)
        self.roots = self._path("/var/lib/edgebench")
        self.roots.mkdir(parents=True)
        for each in (self.device.root, *self.roots.parents, self.roots):
            if self.device.root in (each, *each.parents):
                each.chmod(0o755)

    @property
    def mode(self) -> str:
        return (self._state / "mode").read_text().strip()

    @property
    def clocks(self) -> tuple[str, str]:
        """The bounds of the GPU's clock: the same when it is locked."""
        low, high = ((self._path(_GPU) / f"{bound}_freq").read_text().strip() for bound in ("min", "max"))
        return low, high

    @property
    def answered(self) -> bool:
        """Whether nvpmodel got an answer to its question."""
        return (self._state / "answered").exists()

    @property
    def calls(self) -> list[str]:
        """What sudo was asked to run, without folders."""
        log = self.device.tools / "sudo.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [" ".join(word.rpartition("/")[2] for word in line.split()) for line in lines]

    def allow(self, *commands: str) -> None:
        """Let sudo run these: a program, its arguments, `{roots}` for root's folder."""
        each = []
        for command in commands:
            name, _, words = command.partition(" ")
            each.append(f"{self.device.tools / name} {words.format(roots=self.roots) or chr(34) * 2}")
        self.sudoers(f"nvidia ALL=(root) NOPASSWD: {', '.join(each)}")

    def allow_all(self) -> None:
        files = [f"jetson_clocks --{word} {{roots}}/{name}" for word in ("store", "restore") for name in _FILES]
        self.allow("jetson_clocks", *files, "nvpmodel -m 0", "nvpmodel -m 1", "nvpmodel -m 2")

    def restore_slowly(self) -> None:
        """Make the way back take long enough to be seen on it."""
        path = self.device.tools / "jetson_clocks"
        path.write_text(path.read_text().replace("--restore)", "--restore)\n    sleep 0.5"))

    def heat(self) -> None:
        """Be so hot that the kernel lets no clock be above 1.1 GHz, whatever is written, nor a lower bound."""
        files = " ".join(f"{self._path(_GPU)}/{bound}_freq:1100000000" for bound in ("max", "min"))
        files += "".join(f" {self._path(_CPU)}/scaling_{bound}_freq:1100000" for bound in ("max", "min"))
        held = f"""
for each in {files}; do
    file="${{each%:*}}" most="${{each##*:}}"
    [ "$(cat "$file")" -le "$most" ] || echo "$most" > "$file"
done
"""
        for name in ("nvpmodel", "jetson_clocks"):
            path = self.device.tools / name
            path.write_text(path.read_text() + held)

    def sudoers(self, line: str) -> None:
        (self.device.tools / "sudoers").write_text(f"{line}\n")

    def _path(self, path: str) -> Path:
        return self.device.root / path.lstrip("/")


def install_smi(tools: Path) -> None:
    """tests/stand_ins/settable_smi.py, and a sudo that lets it set clocks and the persistence mode."""
    program = tools / "nvidia-smi"
    text = Path(__file__).with_name("stand_ins").joinpath("settable_smi.py").read_text()
    program.write_text(f"#!{sys.executable} -SE\n{text}")
    program.chmod(0o755)
    install_sudo(tools)
    each = (r"-lgc 1410\,1410", "-rgc", r"-lmc 1593\,1593", "-rmc", "-pm 1", "-pm 0")
    (tools / "sudoers").write_text("nvidia ALL=(root) NOPASSWD: " + ", ".join(f"{program} {words}" for words in each))


def install_sudo(tools: Path) -> None:
    """tests/stand_ins/sudo.py, which lets nobody do anything until `sudoers` beside it does."""
    text = Path(__file__).with_name("stand_ins").joinpath("sudo.py").read_text()
    (tools / "sudo").write_text(f"#!{sys.executable} -SE\n{text}")
    (tools / "sudo").chmod(0o755)
