"""A discrete NVIDIA GPU is watched by NVML, or by an nvidia-smi that is kept running; both are stand-ins here
(tests/stand_ins/nvml.c says what of), the ctypes and the pipe are real."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from device_agents.family import Family
from device_agents.gauges import Gauges, board
from device_agents.system import System
from tests import recorded
from tests.agent.agent_lab import until
from tests.unit.agent.gauges_lab import told

SOURCE = Path(recorded.__file__).with_name("stand_ins") / "nvml.c"
UUID = "GPU-8f6d9b14-0000-4000-8000-000000000000"
A100 = {
    "CLOCK_SM": 1410, "CLOCK_MEM": 1593, "TEMPERATURE": 41, "TEMPERATURE_MEMORY": 52, "POWER": 250_000,
    "POWER_NOW": 271_500, "ENERGY": 123_456_789, "REASONS": 0x4, "UTILIZATION": 97, "MEMORY_USED": 1_234_567_890,
}  # fmt: skip


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., System]:
    """A host whose driver's library answers these; `old` compiles that of an older driver."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to make the stand-in for libnvidia-ml with")

    def make(*, gpu: str = "", old: bool = False, **answers: object) -> System:
        root = tmp_path / f"host{len(list(tmp_path.iterdir()))}"
        library = root / "usr/lib64/libnvidia-ml.so.1"
        library.parent.mkdir(parents=True)
        flags = ["-shared", "-fPIC", "-Wall", "-Werror", *(["-DOLD_DRIVER"] if old else [])]
        subprocess.run([compiler, *flags, "-o", str(library), str(SOURCE)], check=True)
        for name, value in answers.items():
            monkeypatch.setenv(f"STANDIN_NVML_{name}", str(value))
        return System(root, gpu)

    return make


def watched(system: System, family: Family | None = None) -> Gauges:
    return board.gauges(system, family or Family(System(), os.getpid()))


class TestByNvml:
    def test_every_quantity_has_its_unit(self, nvml: Callable[..., System]) -> None:
        found = told(watched(nvml(**A100, PIDS="")))
        assert {name: value for name, (value, _) in found.items()} == {
            "gpu_clock": 1.41e9, "memory_clock": 1.593e9, "temperature": 41, "temperature_memory": 52, "power": 271.5,
            "energy": 123_456.789, "throttled_thermal": 0, "throttled_power": 1, "throttled_other": 0,
            "gpu_busy": 0.97, "gpu_memory_used": 1_234_567_890, "gpu_foreign_processes": 0,
        }  # fmt: skip
        assert found["power"][1] == "NVML: NVML_FI_DEV_POWER_INSTANT, the board"

    def test_what_a_board_does_not_support_is_left_out_and_older_names_are_known(
        self, nvml: Callable[..., System]
    ) -> None:
        found = told(watched(nvml(old=True, POWER=62_180, REASONS=0x40, CLOCK_SM=300)))
        assert {name: value for name, (value, _) in found.items()} == {
            "gpu_clock": 3e8, "power": 62.18, "throttled_thermal": 1, "throttled_power": 0, "throttled_other": 0,
        }  # fmt: skip
        assert found["power"][1] == "NVML: nvmlDeviceGetPowerUsage, the board"

    def test_the_board_is_the_one_that_was_chosen(self, nvml: Callable[..., System]) -> None:
        assert told(watched(nvml(gpu=UUID, UUID=UUID, CLOCK_SM=1410)))["gpu_clock"][0] == 1.41e9

    @pytest.mark.parametrize(("gpu", "answers"), [("GPU-another", {}), ("", {"NO_DRIVER": 1})])
    def test_a_board_that_nvml_does_not_know_says_so(
        self, nvml: Callable[..., System], gpu: str, answers: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        system = nvml(gpu=gpu, **answers)
        monkeypatch.setenv("PATH", "/nowhere")
        found = watched(system)
        assert found.all == []
        reason = "GPU GPU-another: Not Found" if gpu else "nvmlInit: Driver Not Loaded"
        assert found.unknown["power"] == f"libnvidia-ml.so.1: {reason}; nvidia-smi: not there"

    def test_processes_of_others_are_counted_and_the_job_s_are_not(self, nvml: Callable[..., System]) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            pids = f"{os.getpid()},{child.pid},{os.getppid()}"
            found = told(watched(nvml(PIDS=pids)))
            child.communicate(b"\n")
        assert found["gpu_foreign_processes"][0] == 1

    def test_processes_that_cannot_be_seen_from_here_are_not_counted(self, nvml: Callable[..., System]) -> None:
        """Another pid namespace: whose they are, nobody can tell."""
        assert "gpu_foreign_processes" not in told(watched(nvml(PIDS=4_194_300)))


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [
        (0x0, (0, 0, 0)),
        (0x1 | 0x2, (0, 0, 0)),  # idle, somebody's own setting
        (0x4, (0, 1, 0)),
        (0x20, (1, 0, 0)),
        (0x8 | 0x40, (1, 0, 0)),
        (0x8 | 0x80, (0, 1, 0)),
        (0x8, (0, 0, 1)),
        (0x10, (0, 0, 1)),
        (None, (None, None, None)),
    ],
)
def test_what_holds_clocks_back(reasons: int | None, throttled: tuple[int | None, ...]) -> None:
    assert board.throttled(reasons) == throttled


class TestByNvidiaSmi:
    @pytest.fixture
    def host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recorded.Recorded:
        """No library, an nvidia-smi."""
        device = recorded.Recorded(tmp_path / "host")
        monkeypatch.setenv("PATH", f"{device.tools}:/usr/bin:/bin")
        return device

    LINES = """\
case "$1" in *{refused}*) exit 2 ;; esac
line() {{ echo "1410, 1593, 41, [N/A], 97, 4, 271.5, 0x00000000000000$1"; }}
case "$*" in *--loop-ms=*) ;; *) line 00; exit ;; esac
line 04
line 60
sleep 60"""

    def test_the_newest_line_counts(self, host: recorded.Recorded) -> None:
        host.tool("nvidia-smi", self.LINES.format(refused="nothing"))
        with closing(watched(System(host.root))) as gauges:
            values = until(lambda: {name: value for name, (value, _) in told(gauges).items()})
        assert values == {
            "gpu_clock": 1.41e9, "memory_clock": 1.593e9, "temperature": 41, "power": 271.5, "throttled_thermal": 1,
            "throttled_power": 0, "throttled_other": 0, "gpu_busy": 0.97, "gpu_memory_used": 4 << 20,
        }  # fmt: skip
        assert gauges.unknown["energy"] == "libnvidia-ml.so.1: not there; nvidia-smi --query-gpu does not tell it"

    def test_an_h100_at_its_power_cap_and_hot(self, host: recorded.Recorded) -> None:
        assert self.last(host, "nvidia-smi-h100.csv") == {
            "gpu_clock": 1.755e9, "memory_clock": 2.619e9, "temperature": 61, "temperature_memory": 72,
            "power": 697.11, "throttled_thermal": 1, "throttled_power": 1, "throttled_other": 0, "gpu_busy": 0.99,
            "gpu_memory_used": 21_837 << 20,
        }  # fmt: skip

    def test_a_divided_board_keeps_load_and_memory_to_itself(self, host: recorded.Recorded) -> None:
        found = self.last(host, "nvidia-smi-a100-mig.csv")
        assert found["power"] == 62.18
        assert not {"gpu_busy", "gpu_memory_used"} & set(found)

    def last(self, host: recorded.Recorded, file: str) -> dict[str, float]:
        """What the last line of a recorded answer comes to."""
        path = Path(__file__).with_name("recorded") / "devices" / file
        host.tool("nvidia-smi", f"cat {path}")
        with closing(watched(System(host.root))) as gauges:
            return until(lambda: {name: value for name, (value, _) in told(gauges).items()})

    def test_an_older_driver_has_older_names(self, host: recorded.Recorded) -> None:
        host.tool("nvidia-smi", self.LINES.format(refused="clocks_event_reasons"))
        with closing(watched(System(host.root))) as gauges:
            found = until(lambda: told(gauges))
        assert found["power"][1].endswith("power.draw.instant, the board")

    def test_it_ends_with_the_watch(self, host: recorded.Recorded) -> None:
        host.tool("nvidia-smi", f"echo $$ > {host.root}/pid\n" + self.LINES.format(refused="nothing"))
        gauges = watched(System(host.root))
        until(lambda: told(gauges))
        gauges.close()
        with pytest.raises(ProcessLookupError):
            os.kill(int((host.root / "pid").read_text()), signal.SIGCONT)

    @pytest.mark.parametrize("script", ["exit 2", "echo garbage", "echo '[N/A], [N/A]'"])
    def test_one_that_says_nothing_of_use_gives_nothing(self, host: recorded.Recorded, script: str) -> None:
        host.tool("nvidia-smi", script)
        with closing(watched(System(host.root))) as gauges:
            assert told(gauges) == {}
