"""What a device says of itself: every field a value with its source or the reason why it is unknown, never a crash.

The devices are recorded: files below a folder that stands for the root, and executables on PATH that print what
nvpmodel and nvidia-smi print. They are stand-ins, and the readings of a recorded root say so.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from device_agents import logind, state
from device_agents.contract import JobSpec, TensorSpec
from device_agents.kinds import cpu, jetson, nvidia_gpu
from device_agents.system import System
from tests.jobs import job_spec

RELEASE = (
    "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, DATE: Thu Sep 18 22:54:44 2025\n"
)


class Device:
    """A recorded device: a root for files, a folder that alone is on PATH."""

    def __init__(self, folder: Path) -> None:
        self.root, self.tools = folder / "root", folder / "bin"
        self.root.mkdir()
        self.tools.mkdir()

    @property
    def system(self) -> System:
        return System(self.root)

    def file(self, path: str, text: str) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n# a stand-in for {name}\n{script}\n")
        path.chmod(0o755)


def job(**fields: object) -> JobSpec:
    return job_spec(inputs=(TensorSpec("x", "float32", (1, 3)),), outputs=(), batch=1, **fields)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device(tmp_path)
    monkeypatch.setenv("PATH", str(device.tools))
    return device


@pytest.fixture
def orin(device: Device) -> Device:
    device.file("/etc/nv_tegra_release", RELEASE)
    device.file("/etc/os-release", 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n')
    device.file("/proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    device.file("/proc/cpuinfo", "CPU implementer	: 0x41\nCPU part	: 0xd42\n")
    device.file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    device.file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2201600\n")
    device.tool("nvpmodel", '[ "$1" = -q ] && echo "NV Power Mode: MAXN" && echo 0')
    return device


class TestAReading:
    def test_of_a_file_has_its_path_as_source(self, device: Device) -> None:
        device.file("/proc/loadavg", "0.68 1.74 1.23 1/234 5678\n")
        reading = device.system.text("/proc/loadavg")
        assert (reading.value, reading.source) == ("0.68 1.74 1.23 1/234 5678", "/proc/loadavg")

    def test_of_a_file_that_is_not_there_says_so(self, device: Device) -> None:
        assert device.system.text("/proc/nothing").unknown == "/proc/nothing: No such file or directory"

    def test_of_a_file_that_says_something_else_says_so(self, device: Device) -> None:
        device.file("/proc/loadavg", "?")
        assert device.system.text("/proc/loadavg", int).unknown == "/proc/loadavg: says something else"

    def test_of_a_command_has_it_as_source(self, orin: Device) -> None:
        reading = orin.system.command(["nvpmodel", "-q"], str.strip)
        assert (reading.value, reading.source) == ("NV Power Mode: MAXN\n0", "nvpmodel -q")

    @pytest.mark.parametrize("script", [None, "exit 3", "echo half; kill -9 $$"], ids=["missing", "fails", "killed"])
    def test_of_a_command_that_fails_says_so(self, device: Device, script: str | None) -> None:
        if script:
            device.tool("nvpmodel", script)
        assert device.system.command(["nvpmodel", "-q"], str).unknown == "nvpmodel -q: not there, or it failed"

    def test_of_a_command_that_hangs_ends_with_its_time(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{device.tools}:/usr/bin:/bin")
        device.tool("nvpmodel", "exec sleep 60")
        begin = time.monotonic()
        assert device.system.run(["nvpmodel", "-q"], timeout_s=0.1) is None
        assert time.monotonic() - begin < 10


class TestTheKind:
    def test_a_jetson_has_its_release_file(self, orin: Device) -> None:
        assert state.detect_kind(orin.system) == "jetson"

    def test_an_nvidia_gpu_has_its_device_or_its_tool(self, device: Device) -> None:
        device.file("/dev/nvidiactl", "")
        assert state.detect_kind(device.system) == "nvidia_gpu"

    def test_a_tool_without_a_gpu_is_none(self, device: Device) -> None:
        device.tool("nvidia-smi", "echo No devices were found; exit 6")
        assert state.detect_kind(device.system) == "cpu"


class TestAJetson:
    def test_says_what_it_is(self, orin: Device) -> None:
        kind, identity, context = state.describe(orin.system)
        said = {name: identity[name].value for name in ("board", "l4t", "jetpack", "power_mode", "os", "cpu_model")}
        assert kind == "jetson"
        assert said == {
            "board": "NVIDIA Jetson AGX Orin Developer Kit",
            "l4t": "36.4.7",
            "jetpack": "6.2.1",
            "power_mode": "MAXN",
            "os": "Ubuntu 22.04.5 LTS",
            "cpu_model": "implementer 0x41 part 0xd42",
        }
        assert context["memory_shared"].value is True

    def test_a_recorded_one_is_labelled(self, orin: Device) -> None:
        _, _, context = state.describe(orin.system)
        assert context["recorded_system"].value == str(orin.root)
        assert "recorded_system" not in state.describe(System())[2]

    def test_its_state_holds_clocks_and_power_mode(self, orin: Device) -> None:
        found = state.snapshot(orin.system)
        assert found["power_mode"].value == "MAXN"
        assert found["cpu_khz"].value == 2_201_600
        assert found["cpu_governor"].value == "schedutil"

    def test_without_nvpmodel_the_power_mode_is_unknown_and_the_rest_is_there(self, orin: Device) -> None:
        (orin.tools / "nvpmodel").unlink()
        _, identity, _ = state.describe(orin.system)
        assert identity["power_mode"].unknown == "nvpmodel -q: not there, or it failed"
        assert identity["l4t"].value == "36.4.7"

    def test_of_an_unlisted_release_the_jetpack_is_unknown(self, orin: Device) -> None:
        orin.file("/etc/nv_tegra_release", RELEASE.replace("R36", "R99"))
        _, identity, _ = state.describe(orin.system)
        assert identity["jetpack"].unknown == "L4T 99.4.7: no JetPack is known for it"


class TestWhichBoardItIs:
    def test_is_told_by_the_device_tree_of_a_jetson(self, orin: Device) -> None:
        orin.file("/proc/device-tree/serial-number", "1424221055613\0")
        orin.file("/sys/class/dmi/id/product_serial", "another\n")
        orin.file("/etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n")
        _, identity, _ = state.describe(orin.system)
        assert (identity["serial"].value, identity["serial"].source) == (
            "1424221055613",
            "/proc/device-tree/serial-number",
        )
        assert identity["machine"].value == "3d1219c7c4c5404aaa1f6d2a48adfda4"

    @pytest.mark.parametrize("filler", ["To Be Filled By O.E.M.", "Default string", "Not Specified", "0", "None", ""])
    def test_is_told_by_the_firmware_of_a_server(self, device: Device, filler: str) -> None:
        device.file("/sys/class/dmi/id/product_serial", f"{filler}\n")
        device.file("/sys/class/dmi/id/board_serial", "CN7016314A00KQ\n")
        reading = cpu.identity(device.system)["serial"]
        assert (reading.value, reading.source) == ("CN7016314A00KQ", "/sys/class/dmi/id/board_serial")

    def test_is_unknown_with_every_place_where_it_was_sought(self, device: Device) -> None:
        device.file("/sys/class/dmi/id/product_serial", "None\n")
        device.file("/etc/machine-id", "uninitialized\n")
        identity = cpu.identity(device.system)
        assert identity["serial"].unknown == (
            "/proc/device-tree/serial-number: No such file or directory; "
            "/sys/class/dmi/id/product_serial: says something else; "
            "/sys/class/dmi/id/board_serial: No such file or directory"
        )
        assert identity["machine"].unknown == "/etc/machine-id: says something else"


class TestTheGpuOfAJetson:
    @pytest.fixture(params=[("17000000.ga10b", "ga10b"), ("17000000.gpu", "gpu")], ids=["JetPack 6", "JetPack 7"])
    def gpu(self, orin: Device, request: pytest.FixtureRequest) -> str:
        folder, name = request.param
        orin.file("/sys/class/devfreq/158a0000.vic/cur_freq", "115200000\n")
        orin.file("/sys/class/devfreq/158a0000.vic/device/of_node/name", "vic\0")
        for file, text in (("cur_freq", "306000000\n"), ("min_freq", "306000000\n"), ("max_freq", "1300500000\n"),
                           ("device/of_node/name", f"{name}\0"), ("device/load", "125\n")):  # fmt: skip
            orin.file(f"/sys/class/devfreq/{folder}/{file}", text)
        return f"/sys/class/devfreq/{folder}"

    def test_tells_its_clocks_by_sysfs(self, orin: Device, gpu: str) -> None:
        found = state.snapshot(orin.system)
        assert [found[f"gpu_clock_{name}"].value for name in ("hz", "min_hz", "max_hz")] == [
            306_000_000, 306_000_000, 1_300_500_000,
        ]  # fmt: skip
        assert found["gpu_clock_hz"].source == f"{gpu}/cur_freq"

    def test_is_busy_by_its_load_and_not_by_the_processor_s(self, orin: Device, gpu: str) -> None:
        reading = state.busy_share(orin.system, window_s=0.01)
        assert reading.value == 0.125, "125 per mille"
        assert reading.source == f"{gpu}/device/load over 0.01 s"

    def test_whose_load_cannot_be_read_is_unknown(self, orin: Device, gpu: str) -> None:
        orin.file(f"{gpu}/device/load", "?\n")
        assert str(state.busy_share(orin.system, window_s=0.01).unknown).startswith(f"{gpu}/device/load")

    def test_that_is_not_there_is_unknown(self, orin: Device) -> None:
        assert state.busy_share(orin.system).unknown == "/sys/class/devfreq: none of its devices is the GPU"


class TestWhatAJetsonHas:
    def test_its_power_modes_by_id(self, orin: Device) -> None:
        orin.file("/etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_30W >\n")
        assert state.describe(orin.system)[2]["power_modes"].value == "0:MAXN 2:MODE_30W"

    def test_where_the_file_is_missing_nvpmodel_is_asked(self, orin: Device) -> None:
        orin.tool("nvpmodel", '[ "$1" = -p ] && echo "NVPM VERB: POWER_MODEL: ID=0 NAME=MAXN"')
        assert state.describe(orin.system)[2]["power_modes"].value == "0:MAXN"

    def test_the_cuda_runtime_by_version_and_place(self, orin: Device) -> None:
        folder = "/usr/local/cuda-12.6/targets/aarch64-linux/lib"
        orin.file(f"{folder}/libcudart.so.12.6.77", "")
        (orin.root / folder.lstrip("/") / "libcudart.so.12").symlink_to("libcudart.so.12.6.77")
        reading = state.describe(orin.system)[2]["cudart"]
        assert reading.value == "12.6.77"
        assert str(reading.source).startswith(f"{folder}/libcudart.so.12")

    def test_trtexec_and_the_module_of_the_system_s_python(self, orin: Device) -> None:
        context = state.describe(orin.system)[2]
        assert context["trtexec"].unknown
        assert context["tensorrt_module"].unknown
        assert str(context["cudart"].unknown).startswith("no CUDA runtime (libcudart) in ")
        orin.file("/usr/src/tensorrt/bin/trtexec", "")
        orin.file("/usr/lib/python3.10/dist-packages/tensorrt/__init__.py", "")
        context = state.describe(orin.system)[2]
        assert context["trtexec"].value == "/usr/src/tensorrt/bin/trtexec"
        assert context["tensorrt_module"].value == "/usr/lib/python3.10/dist-packages/tensorrt"


class TestADiscreteGpu:
    A100 = """\
case "$1" in
    -L) echo "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-8f6d9b14)" ;;
    --query-gpu=name,*) echo "NVIDIA A100-SXM4-80GB, GPU-8f6d9b14, 535.129.03, 8.0, 81920, Enabled, Enabled" ;;
    --query-gpu=pstate,*) echo "P0, 1410, 1593, 34, 62.18, [Insufficient Permissions], [N/A]" ;;
    --query-gpu=persistence*) echo "Enabled, 400.00, 1410, 1593, 4, 4, 16, 16" ;;
    *) exit 2 ;;
esac"""

    def test_says_what_it_is(self, device: Device) -> None:
        device.tool("nvidia-smi", self.A100)
        kind, identity, context = state.describe(device.system)
        assert kind == "nvidia_gpu"
        assert identity["gpu_name"].value == "NVIDIA A100-SXM4-80GB"
        assert identity["gpu_memory_total"].value == 81920.0
        assert identity["gpu_compute_cap"].value == "8.0"
        assert context["gpu_persistence_mode"].value == "Enabled"
        assert context["gpu_clocks_max_sm"].value == "1410"
        assert context["gpu_pcie_link_width_current"].value == "16"

    def test_what_its_driver_keeps_to_itself_is_unknown(self, device: Device) -> None:
        device.tool("nvidia-smi", self.A100)
        found = state.snapshot(device.system)
        assert found["gpu_power_draw"].value == 62.18
        for name in ("gpu_memory_used", "gpu_utilization_gpu"):
            assert str(found[name].unknown).startswith("nvidia-smi --query-gpu=pstate,")

    def test_a_field_that_the_driver_does_not_know_leaves_the_others(self, device: Device) -> None:
        """An old driver refuses the whole query: `Field "compute_cap" is not a valid field to query.`, exit code 2."""
        device.tool(
            "nvidia-smi",
            """\
case "$1" in
    -L) echo "GPU 0: Tesla T4" ;;
    *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2 ;;
    --query-gpu=name) echo "Tesla T4" ;;
    --query-gpu=driver_version) echo "450.51.06" ;;
    *) exit 2 ;;
esac""",
        )
        _, identity, _ = state.describe(device.system)
        assert identity["gpu_name"].value == "Tesla T4"
        assert identity["gpu_driver_version"].value == "450.51.06"
        assert identity["gpu_compute_cap"].unknown

    def test_is_busy_by_its_own_utilisation(self, device: Device) -> None:
        device.tool("nvidia-smi", '[ "$1" = -L ] && exit; [ "$1" = --query-gpu=utilization.gpu ] && echo 37')
        assert state.busy_share(device.system).value == 0.37

    @pytest.mark.parametrize(
        ("processes", "share"), [("", 0.0), ("echo 1234, python3, 5120", None)], ids=["idle", "somebody computes"]
    )
    def test_with_mig_the_processes_tell_whether_it_is_idle(
        self, device: Device, processes: str, share: float | None
    ) -> None:
        device.tool(
            "nvidia-smi",
            f"""\
case "$1" in
    -L) ;;
    --query-gpu=utilization.gpu) echo "[N/A]" ;;
    --query-compute-apps=*) {processes or "exit 0"} ;;
esac""",
        )
        reading = state.busy_share(device.system)
        assert reading.value == share
        assert share == 0.0 or "1234 python3 5120 MiB" in str(reading.unknown)

    def test_what_computes_on_another_gpu_than_the_first_is_not_in_the_way(self, device: Device) -> None:
        device.tool(
            "nvidia-smi",
            """\
case "$1" in
    -L) ;;
    --query-gpu=*) echo "[N/A]" ;;
    --query-compute-apps=*)
        case " $* " in *" --id=0 "*) ;; *) echo "1234, python3, 5120" ;; esac ;;
esac""",
        )
        assert state.busy_share(device.system).value == 0.0

    @pytest.mark.parametrize("words", ["P0, fast, 1593, 34, 62.18, 1, 2", "garbage", ""])
    def test_an_answer_that_makes_no_sense_is_unknown_and_no_crash(self, device: Device, words: str) -> None:
        device.tool("nvidia-smi", f'[ "$1" = -L ] || echo "{words}"')
        assert state.snapshot(device.system)["gpu_clocks_sm"].unknown


class TestThePythonThatRunsIt:
    @pytest.mark.parametrize(("answer", "kind"), [("false", "closed"), ("true", "open")])
    def test_in_a_virtual_environment_sees_the_system_s_packages_or_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, kind: str
    ) -> None:
        (tmp_path / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = {answer}\n")
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        assert cpu.virtual_environment() == kind

    def test_is_in_none_where_its_prefix_is_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        assert cpu.virtual_environment() == "none"


class TestThisMachine:
    def test_is_described_by_its_own_files(self) -> None:
        kind, identity, context = state.describe(System())
        assert kind in ("cpu", "nvidia_gpu", "jetson")
        assert identity["kernel"].value == os.uname().release
        assert identity["cpus"].value == len(os.sched_getaffinity(0))
        assert int(str(context["memory_bytes"].value)) > 1 << 20

    def test_is_busy_to_some_share(self) -> None:
        reading = cpu.busy_share(System(), window_s=0.05)
        assert 0 <= float(str(reading.value)) <= 1

    def test_the_last_level_of_cache_counts(self, device: Device) -> None:
        for index, (level, size) in enumerate([(1, "32K"), (1, "32K"), (2, "512K"), (3, "32768K")]):
            device.file(f"/sys/devices/system/cpu/cpu0/cache/index{index}/level", f"{level}\n")
            device.file(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size", f"{size}\n")
        assert cpu.last_cache_bytes(device.system) == 32 << 20

    def test_no_cache_is_none(self, device: Device) -> None:
        assert cpu.last_cache_bytes(device.system) is None


class TestWhatLogindKills:
    @pytest.mark.parametrize(
        ("texts", "killed"),
        [
            ([], False),
            (["[Login]\n#KillUserProcesses=no\n"], False),
            (["[Login]\n#KillUserProcesses=yes\n#KillExcludeUsers=root\n"], True),
            (["KillUserProcesses=yes"], True),
            (["  KillUserProcesses = True "], True),
            (["KillUserProcesses=yes", "KillUserProcesses=no"], False),
            (["KillUserProcesses=no", "#KillUserProcesses=yes"], False),
            (["KillUserProcesses=yes\nKillExcludeUsers=root nvidia"], False),
            (["KillUserProcesses=yes\nKillOnlyUsers=guest"], False),
            (["KillUserProcesses=yes\nKillOnlyUsers=guest", "KillOnlyUsers=nvidia"], True),
            (["KillUserProcesses=yes\nKillExcludeUsers=nvidia", "KillExcludeUsers="], True),
        ],
    )
    def test_is_what_its_files_say(self, texts: list[str], killed: bool) -> None:
        assert logind.kills(texts, "nvidia") is killed

    def test_is_never_root_s_unless_they_say_so(self) -> None:
        assert not logind.kills(["KillUserProcesses=yes"], "root")
        assert logind.kills(["KillUserProcesses=yes\nKillExcludeUsers="], "root")

    def test_is_of_the_file_that_wins(self, device: Device) -> None:
        assert "no configuration" in str(logind.kills_jobs(device.system).unknown)
        device.file("/usr/lib/systemd/logind.conf.d/50.conf", "KillUserProcesses=yes\nKillExcludeUsers=\n")
        assert logind.kills_jobs(device.system).value is True
        device.file("/etc/systemd/logind.conf.d/50.conf", "KillUserProcesses=no\n")
        reading = logind.kills_jobs(device.system)
        assert (reading.value, reading.source) == (False, "/etc/systemd/logind.conf.d/50.conf")


class TestATemperature:
    GPU = """\
case "$1" in
    -L) echo GPU ;;
    -q) echo '        GPU Max Operating Temp : 85 C' ;;
    --query-gpu=temperature.gpu) echo 63 ;;
    *) exit 1 ;;
esac"""

    def test_is_of_the_hottest_zone_of_a_jetson(self, orin: Device) -> None:
        """As Orin has them: what is switched off answers nothing, or an error for a number."""
        for number, text in enumerate(("48250\n", "51031\n", "", "-256000\n")):
            orin.file(f"/sys/class/thermal/thermal_zone{number}/temp", text)
        reading = state.temperature(orin.system, job())
        assert (reading.value, reading.source) == (51.031, "/sys/class/thermal/thermal_zone1/temp")

    def test_has_a_limit_of_the_lowest_passive_trip_point_of_a_jetson(self, orin: Device) -> None:
        for trip, kind, text in ((0, "active", "50000"), (1, "passive", "99000"), (2, "critical", "104500")):
            orin.file(f"/sys/class/thermal/thermal_zone0/trip_point_{trip}_type", f"{kind}\n")
            orin.file(f"/sys/class/thermal/thermal_zone0/trip_point_{trip}_temp", f"{text}\n")
        orin.file("/sys/class/thermal/thermal_zone1/trip_point_0_type", "passive\n")
        orin.file("/sys/class/thermal/thermal_zone1/trip_point_0_temp", "-256000\n")
        reading = jetson.context(orin.system)["temperature_limit_c"]
        assert (reading.value, reading.source) == (99.0, "/sys/class/thermal/thermal_zone0/trip_point_1_temp")

    @pytest.mark.parametrize(
        ("lines", "limit"),
        [
            (("GPU Current Temp : 35 C", "GPU Slowdown Temp : 89 C", "GPU Max Operating Temp : 87 C"), 87.0),
            (("GPU Current Temp : 35 C", "GPU T.Limit Temp : 51 C", "GPU Max Operating T.Limit Temp : 0 C"), 86.0),
            (("GPU Current Temp : N/A", "GPU Max Operating Temp : N/A"), None),
        ],
    )
    def test_has_a_limit_of_a_gpu_s_own(self, device: Device, lines: tuple[str, ...], limit: float | None) -> None:
        printed = "\n".join(f"        {line}" for line in lines)
        device.tool("nvidia-smi", f"[ \"$*\" = '-q -d TEMPERATURE --id=0' ] && echo '{printed}'")
        assert nvidia_gpu.temperature_limit(device.system).value == limit

    def test_is_of_the_gpu_where_there_is_one(self, device: Device) -> None:
        device.tool("nvidia-smi", self.GPU)
        assert state.temperature(device.system, job()).value == 63.0
        assert state.describe(device.system, spec=job())[2]["temperature_limit_c"].value == 85.0

    def test_is_of_the_processor_where_that_is_measured_beside_a_gpu(self, device: Device) -> None:
        """An x86 processor at 88 degrees is well; the GPU beside it slows down at 85."""
        device.tool("nvidia-smi", self.GPU)
        device.file("/sys/class/thermal/thermal_zone0/temp", "88000\n")
        on_cpu = job(options={"provider": "cpu"})
        assert state.temperature(device.system, on_cpu).value == 88.0
        assert "temperature_limit_c" not in state.describe(device.system, spec=on_cpu)[2]
        assert state.describe(device.system)[2]["temperature_limit_c"].value == 85.0, "of the device, to be shown"

    def test_and_its_limit_are_of_the_board_for_all_jobs_of_a_jetson(self, orin: Device) -> None:
        orin.file("/sys/class/thermal/thermal_zone0/temp", "88000\n")
        orin.file("/sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n")
        orin.file("/sys/class/thermal/thermal_zone0/trip_point_0_temp", "99000\n")
        for each in (job(), job(options={"provider": "cpu"})):
            assert state.temperature(orin.system, each).value == 88.0
            assert state.describe(orin.system, spec=each)[2]["temperature_limit_c"].value == 99.0

    def test_is_unknown_with_the_reason_where_nothing_tells_it(self, device: Device) -> None:
        assert state.temperature(device.system, job()).unknown == "/sys/class/thermal: no zone tells a temperature"
