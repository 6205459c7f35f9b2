"""What the doctor finds on recorded devices of every JetPack and on an A100, and the command it gives.

No board was at hand: the files and tools are stand-ins (tests/recorded.py), read by the agent's own code.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents import state
from device_agents.contract import SCHEMA, BackendReport, ProbeReport, Reading
from device_agents.system import System
from edge.agent.finding import Found
from edge.checking.doctor import examine, healthy, unanswered
from edge.checking.patient import Finding, Patient, Severity
from edge.inventory.devices import Device
from edge.inventory.runtime_keys import ContainerKey
from profiles.errors import HostKeyError, RunError
from profiles.load import device_profile
from tests.recorded import Recorded, a100, jetson

NOW = 1_790_000_000.0
MISSING = "ModuleNotFoundError: No module named 'tensorrt'"


class Clinic:
    """Examines one recorded device as `profile`, with the runtimes that it is said to have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, recorded: Recorded, profile: str, **device: Any) -> None:
        self._monkeypatch = monkeypatch
        self.recorded = recorded
        self.device = Device(name="board", host="10.0.0.9", profile=device_profile(profile), **device)
        self.python = device.get("python", "/usr/bin/python3")
        self.free_bytes = 50_000_000_000
        self.context: dict[str, Reading] = {"clock_unix_s": Reading(int(NOW), "time")}
        self.identity: dict[str, Reading] = {}
        self.facts: dict[str, Reading] = {"providers": Reading("cpu cuda", "onnxruntime")}
        self.cuda_facts: dict[str, Reading] = {}
        self.reports = {"tensorrt": "10.3.0", "onnxruntime": "1.23.0"}
        self.missing: dict[str, str] = {}

    def findings(self) -> tuple[Finding, ...]:
        """But for the note that a recorded device always gets."""
        self._monkeypatch.setenv("PATH", f"{self.recorded.tools}:/usr/bin:/bin")
        self._monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
        kind, identity, context = state.describe(System(self.recorded.root))
        context["virtual_environment"] = Reading("none", "/usr")  # not that of the Python that runs these tests
        probe = ProbeReport(
            SCHEMA, kind, self.python, "/home/user/.cache/edgebench/1", self.free_bytes,
            {**identity, **self.identity}, {**context, **self.context}, {},
        )  # fmt: skip
        found = {}
        for name in self.device.profile.backends:
            known = self.reports.get(name) if name not in self.missing else None
            reading = Reading(known, "import") if known else Reading(unknown=self.missing.get(name, "not there"))
            told = {"onnxruntime": self.facts, "tensorrt": self.cuda_facts} if known else {}
            found[name] = Found(self.python, probe, BackendReport(reading, (), {}, facts=told.get(name, {})))
        findings = examine(Patient(self.device, found, (NOW, NOW + 600)))
        assert findings[-1].check == "recorded"
        return tuple(finding for finding in findings if finding.check != "recorded")

    def one(self, check: str) -> Finding:
        found = [finding for finding in self.findings() if finding.check == check]
        assert len(found) == 1, self.findings()
        return found[0]


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """A JetPack 6.2 AGX Orin that lacks nothing, its clocks locked."""
    recorded = jetson(tmp_path / "orin", "36.4.3", cuda="12.6.77")
    recorded.file("/sys/class/devfreq/17000000.gpu/min_freq", "1300500000")
    recorded.file("/usr/lib/python3.10/dist-packages/tensorrt/__init__.py", "")
    return Clinic(monkeypatch, recorded, "jetson-agx-orin-64gb")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    return Clinic(monkeypatch, a100(tmp_path / "a100", "580.95.05", cuda="12.6.77"), "a100-80gb")


class TestADeviceThatLacksNothing:
    def test_gets_no_finding(self, orin: Clinic, server: Clinic) -> None:
        assert orin.findings() == ()
        assert server.findings() == ()


class TestTensorRT:
    @pytest.mark.parametrize(
        ("release", "cuda"),
        [("35.4.1", "11.4.298"), ("36.3.0", "12.2.140"), ("36.4.3", "12.6.77"), ("39.2.0", "13.2.1")],
    )
    def test_that_is_not_there_comes_by_apt_on_every_jetpack(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, cuda: str
    ) -> None:
        clinic = Clinic(monkeypatch, jetson(tmp_path / "o", release, cuda=cuda), "jetson-agx-orin-64gb")
        clinic.missing["tensorrt"] = MISSING
        finding = clinic.one("no_tensorrt")
        assert finding.severity is Severity.SPOILS
        assert finding.what == "tensorrt does not run; onnxruntime does, and would be measured instead"
        assert finding.why.startswith("tried /usr/bin/python3, python3; /usr/bin/python3 (3.")
        assert MISSING in finding.why
        assert finding.command == "sudo apt update && sudo apt install python3-libnvinfer python3-numpy"

    def test_with_nothing_else_stops_the_device(self, orin: Clinic) -> None:
        orin.missing = {"tensorrt": MISSING, "onnxruntime": "ModuleNotFoundError: No module named 'onnxruntime'"}
        findings = orin.findings()
        assert not healthy(findings)
        assert [(finding.check, finding.severity) for finding in findings] == [
            ("no_tensorrt", Severity.STOPS), ("no_onnxruntime", Severity.NOTE),
        ], "one of them is enough; trtexec is no remedy"  # fmt: skip
        command = next(finding.command for finding in findings if finding.check == "no_onnxruntime")
        home = "/home/user/.cache/edgebench/1/venv"
        assert command == (
            f"sudo apt install python3-venv && /usr/bin/python3 -m venv --system-site-packages {home} && "
            f"{home}/bin/pip install onnxruntime-gpu 'numpy<2' --index-url https://pypi.jetson-ai-lab.io/jp6/cu126; "
            f'then python = "{home}/bin/python" for board in fleet.toml'
        ), "the system's Python has no pip, or refuses it"

    def test_without_a_module_gives_way_to_nvidia_s_binary(self, orin: Clinic) -> None:
        orin.missing["tensorrt"] = MISSING
        orin.reports["trtexec"] = "10.3.0"
        assert orin.one("no_tensorrt").what == "tensorrt does not run; trtexec does, and would be measured instead"
        assert not [finding for finding in orin.findings() if finding.check == "no_trtexec"]

    def test_of_another_python_is_named(self, orin: Clinic) -> None:
        orin.device = replace(orin.device, python="/usr/bin/python3.11")
        orin.python, orin.missing["tensorrt"] = "/usr/bin/python3.11", MISSING
        finding = orin.one("no_tensorrt")
        assert finding.why.startswith("tried /usr/bin/python3.11; ")
        assert finding.command.startswith(
            'python = "/usr/bin/python3.10" for board in fleet.toml: /usr/lib/python3.10/'
        )

    @pytest.mark.parametrize(
        ("version", "command"),
        [
            ("3.10.12", "/usr/bin/python3.10 -m venv --system-site-packages /home/nvidia/env"),
            ("3.11.4", 'python = "/usr/bin/python3.10" for board'),  # no environment of 3.11 shows a module of 3.10
            ("3.1.4", 'python = "/usr/bin/python3.10" for board'),
        ],
    )
    def test_is_hidden_by_a_closed_virtual_environment(self, orin: Clinic, version: str, command: str) -> None:
        orin.device = replace(orin.device, python="/home/nvidia/env/bin/python3")
        orin.python, orin.missing["tensorrt"] = "/home/nvidia/env/bin/python3", MISSING
        orin.identity["python"] = Reading(version, "python")
        orin.context["virtual_environment"] = Reading("closed", "/home/nvidia/env")
        assert orin.one("no_tensorrt").command.startswith(command)

    @pytest.mark.parametrize(
        ("why", "command"),
        [
            (
                "ImportError: libnvinfer.so.10: cannot open shared object file: No such file or directory",
                "--reinstall libnvinfer10 libnvinfer-plugin10 libnvonnxparsers10",
            ),
            (
                "ImportError: libnvonnxparser.so.8: cannot open shared object file: No such file or directory",
                "--reinstall libnvinfer8 libnvinfer-plugin8 libnvonnxparsers8 libnvparsers8",
            ),
            (
                "ImportError: libcudnn.so.8: cannot open shared object file: No such file or directory",
                "sudo apt install nvidia-jetpack, which brings CUDA and cuDNN; in a container: start it with --runtime",
            ),
            ("ImportError: undefined symbol: createInferBuilder_INTERNAL", "--reinstall python3-libnvinfer"),
            ("ModuleNotFoundError: No module named 'numpy'", "sudo apt install python3-numpy"),
        ],
    )
    def test_that_does_not_load_is_mended_by_what_it_lacks(self, orin: Clinic, why: str, command: str) -> None:
        """Never by naming the Python that has it: that is the one that was tried."""
        orin.missing["tensorrt"] = why
        assert command in orin.one("no_tensorrt").command

    @pytest.mark.parametrize(
        ("driver", "command"),
        [
            ("580.95.05", "/opt/conda/bin/python -m pip install tensorrt-cu13 numpy"),
            ("535.129.03", "/opt/conda/bin/python -m pip install tensorrt-cu12 numpy"),
            ("470.82.01", "sudo apt install nvidia-driver-535-server nvidia-fabricmanager-535 && sudo reboot"),
        ],
    )
    def test_on_a_server_comes_by_pip_as_its_driver_allows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, command: str
    ) -> None:
        clinic = Clinic(monkeypatch, a100(tmp_path / "a", driver, cuda="11.8.89"), "a100-80gb")
        clinic.python, clinic.missing["tensorrt"] = "/opt/conda/bin/python", MISSING
        assert clinic.one("no_tensorrt").command == command

    def test_that_does_not_load_on_a_server_is_installed_anew(self, server: Clinic) -> None:
        server.python, server.missing["tensorrt"] = "/opt/env/bin/python", "ImportError: libnvinfer.so.10: cannot open"
        command = "/opt/env/bin/python -m pip install --force-reinstall tensorrt-cu13 numpy"
        assert server.one("no_tensorrt").command == command
        server.missing["tensorrt"] = "ModuleNotFoundError: No module named 'numpy'"
        assert server.one("no_tensorrt").command == "/opt/env/bin/python -m pip install numpy"


class TestOnnxRuntime:
    @pytest.mark.parametrize(
        ("release", "index"),
        [("35.4.1", "jp5/cu114"), ("36.3.0", "jp6/cu122"), ("36.5", "jp6/cu126"), ("38.2", "sbsa/cu130"),
         ("39.2.0", "sbsa/cu130")],
    )  # fmt: skip
    def test_comes_from_the_index_of_the_jetpack(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, index: str
    ) -> None:
        clinic = Clinic(monkeypatch, jetson(tmp_path / "o", release), "jetson-agx-orin-64gb")
        clinic.missing = {"tensorrt": MISSING, "onnxruntime": MISSING}
        command = clinic.one("no_onnxruntime").command
        assert f" --index-url https://pypi.jetson-ai-lab.io/{index};" in command
        assert ("'numpy<2'" in command) is (release < "37" and release > "36")

    def test_of_a_device_that_is_measured_as_a_processor_needs_no_cuda(self, server: Clinic) -> None:
        server.device = replace(server.device, profile=device_profile("local"))
        server.python, server.missing["onnxruntime"] = "/opt/env/bin/python", MISSING
        assert server.one("no_onnxruntime").command == "/opt/env/bin/python -m pip install onnxruntime"


class TestTheCudaRuntime:
    @pytest.mark.parametrize(
        ("driver", "command"),
        [
            ("580.95.05", "/opt/env/bin/python -m pip install nvidia-cuda-runtime"),
            ("535.129.03", "/opt/env/bin/python -m pip install nvidia-cuda-runtime-cu12"),
            ("470.82.01", "sudo apt install nvidia-driver-535-server nvidia-fabricmanager-535 && sudo reboot"),
        ],
    )
    def test_of_a_server_is_one_that_its_driver_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, command: str
    ) -> None:
        clinic = Clinic(monkeypatch, a100(tmp_path / "a", driver), "a100-80gb")
        clinic.python = "/opt/env/bin/python"
        assert clinic.one("no_cudart").command == command

    @pytest.mark.parametrize(
        ("release", "package"),
        [("35.4.1", "cuda-cudart-11-4"), ("36.3.0", "cuda-cudart-12-2"), ("36.4.3", "cuda-cudart-12-6"),
         ("39.2.0", "cuda-cudart-13-2")],
    )  # fmt: skip
    def test_that_is_not_there_comes_from_the_jetpack_s_own_cuda(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, package: str
    ) -> None:
        finding = Clinic(monkeypatch, jetson(tmp_path / "o", release), "jetson-agx-orin-64gb").one("no_cudart")
        assert finding.severity is Severity.STOPS
        assert f"sudo apt install {package};" in finding.command
        assert "/usr/local/cuda*" in finding.why, "where it was searched"

    def test_does_not_stop_trtexec_which_has_its_own(self, orin: Clinic) -> None:
        orin.recorded.remove("/usr/local/cuda-12.6/lib64/libcudart.so.12.6.77")
        orin.reports["trtexec"] = "10.3.0"
        assert orin.one("no_cudart").severity is Severity.SPOILS

    def test_newer_than_the_l4t_is_too_new(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clinic = Clinic(monkeypatch, jetson(tmp_path / "o", "35.4.1", cuda="12.2.140"), "jetson-agx-orin-64gb")
        finding = clinic.one("old_driver")
        assert finding.what == "its driver, part of L4T 35.4.1, is for CUDA 11.4"
        assert "sudo apt install cuda-cudart-11-4" in finding.command


class TestTheDriver:
    @pytest.mark.parametrize(
        ("driver", "cuda", "least", "branch"),
        [
            ("440.33.01", "11.8.89", "450.80.02", "470-server"),
            ("470.82.01", "12.6.77", "525.60.13", "535-server"),
            ("535.129.03", "13.0.96", "580.65.06", "580-server"),
            ("525.60.11", "12.6.77", "525.60.13", "535-server"),
        ],
    )
    def test_that_is_too_old_for_the_runtime_stops_the_device(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, cuda: str, least: str, branch: str
    ) -> None:
        finding = Clinic(monkeypatch, a100(tmp_path / "a", driver, cuda=cuda), "a100-80gb").one("old_driver")
        assert finding.severity is Severity.STOPS
        major = cuda[:2]
        assert finding.what == f"the driver {driver} is too old for CUDA {major}: it has to be {least} or newer"
        assert f"libcudart.so.{cuda} is of CUDA {major}" in finding.why
        switches = f"nvidia-fabricmanager-{branch.partition('-')[0]}"  # A100-SXM4: NVSwitch
        assert finding.command == f"sudo apt install nvidia-driver-{branch} {switches} && sudo reboot"

    @pytest.mark.parametrize(
        ("driver", "cuda"), [("450.80.02", "11.8.89"), ("525.60.13", "12.9.79"), ("580.65.06", "13.2.1")]
    )
    def test_that_is_just_new_enough_is_fine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, cuda: str
    ) -> None:
        assert Clinic(monkeypatch, a100(tmp_path / "a", driver, cuda=cuda), "a100-80gb").findings() == ()

    @pytest.mark.parametrize("alone", [False, True], ids=["beside TensorRT", "alone"])
    def test_that_is_too_old_for_onnxruntime_s_build_stops_what_has_nothing_better(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
    ) -> None:
        clinic = Clinic(monkeypatch, a100(tmp_path / "a", "535.129.03", cuda="12.6.77"), "a100-80gb")
        clinic.facts["built_for_cuda"] = Reading("13.0", "onnxruntime")
        clinic.missing = {"tensorrt": MISSING} if alone else {}
        finding = clinic.one("old_driver")
        assert finding.severity is (Severity.STOPS if alone else Severity.NOTE)
        assert finding.why == "onnxruntime is of CUDA 13"

    def test_that_is_too_old_for_two_is_changed_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clinic = Clinic(monkeypatch, a100(tmp_path / "a", "470.82.01", cuda="12.6.77"), "a100-80gb")
        clinic.facts["built_for_cuda"] = Reading("13.0", "onnxruntime")
        commands = [finding.command for finding in clinic.findings() if finding.check == "old_driver"]
        assert len(commands) == 2
        assert all(command.startswith("sudo apt install nvidia-driver-580-server") for command in commands)

    def test_that_knows_more_by_a_compatibility_package_is_not_too_old(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for recorded, profile in (
            (a100(tmp_path / "a", "470.82.01", cuda="12.6.77"), "a100-80gb"),
            (jetson(tmp_path / "o", "35.4.1", cuda="12.2.140"), "jetson-agx-orin-64gb"),
        ):
            clinic = Clinic(monkeypatch, recorded, profile)
            assert clinic.one("old_driver")
            clinic.cuda_facts["driver_cuda"] = Reading("12.2", "cudaDriverGetVersion")
            assert not [finding for finding in clinic.findings() if finding.check == "old_driver"]

    def test_is_told_of_the_library_that_is_taken(self, orin: Clinic) -> None:
        orin.recorded.file("/usr/local/cuda-13.0/lib64/libcudart.so.13.0.96", "")
        assert orin.one("old_driver")
        orin.cuda_facts["cudart"] = Reading("12.6", "/usr/local/cuda-12.6/lib64/libcudart.so.12")
        assert orin.findings() == ()

    def test_that_says_nothing_stops_the_device(self, server: Clinic) -> None:
        """As after an update of its package: `Failed to initialize NVML: Driver/library version mismatch`."""
        server.recorded.file("/dev/nvidiactl", "")
        server.recorded.tool("nvidia-smi", "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
        assert server.one("no_driver").severity is Severity.STOPS

    def test_that_does_not_know_a_field_tells_the_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorded = a100(tmp_path / "a", "450.51.06", cuda="11.8.89", unknown="mig.mode.current")
        assert Clinic(monkeypatch, recorded, "a100-80gb").one("old_driver").what.startswith("the driver 450.51.06")


class TestThePowerMode:
    def test_that_is_wrong_is_set_by_the_board_s_own_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorded = jetson(tmp_path / "o", "36.4.3", mode="25W", modes="super", cuda="12.6.77")
        finding = Clinic(monkeypatch, recorded, "jetson-orin-nano-8gb").one("wrong_power_mode")
        assert finding.severity is Severity.SPOILS
        assert finding.what == "its power mode is 25W, MAXN_SUPER is expected"
        assert finding.command == "sudo nvpmodel -m 2"

    def test_that_the_board_does_not_have_is_mended_in_the_fleet_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorded = jetson(tmp_path / "o", "35.4.1", mode="15W", modes="nano", cuda="11.4.298")
        finding = Clinic(monkeypatch, recorded, "jetson-orin-nano-8gb").one("wrong_power_mode")
        assert finding.what == "this board has no power mode MAXN_SUPER"
        assert finding.command == 'power_mode = "15W" for board in fleet.toml, or another of: 15W 7W'

    def test_without_the_list_of_ids_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorded = jetson(tmp_path / "o", "36.4.3", mode="MODE_30W", cuda="12.6.77")
        recorded.remove("/etc/nvpmodel.conf")
        finding = Clinic(monkeypatch, recorded, "jetson-agx-orin-64gb").one("wrong_power_mode")
        assert finding.command == "sudo nvpmodel -m ID (the ID of MAXN in /etc/nvpmodel.conf)"

    def test_that_cannot_be_read_is_a_note(self, orin: Clinic) -> None:
        orin.recorded.tool("nvpmodel", "exit 1")
        finding = orin.one("power_mode")
        assert (finding.severity, finding.command) == (Severity.NOTE, "sudo nvpmodel -m 0")


class TestForeignWork:
    def test_on_a_server_is_named_by_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        processes = "1234, /usr/bin/python3 train.py, 5120\\n99, /opt/tritonserver, 800\\n"
        clinic = Clinic(
            monkeypatch, a100(tmp_path / "a", "580.95.05", cuda="12.6.77", processes=processes), "a100-80gb"
        )
        finding = clinic.one("foreign_work")
        assert finding.severity is Severity.SPOILS
        assert finding.what == "something else is on the GPU: 1234 python3 5120 MiB, 99 tritonserver 800 MiB"
        assert finding.command == "ps -fp 1234,99, and stop what need not run"

    def test_on_a_jetson_is_told_by_the_gpu_s_load(self, orin: Clinic) -> None:
        orin.recorded.file("/sys/class/devfreq/17000000.gpu/device/load", "740\n")
        assert orin.one("foreign_work").what == "the GPU is 74% busy"


class TestTheRest:
    @pytest.mark.parametrize(("free_mb", "severity"), [(120, Severity.STOPS), (1500, Severity.NOTE)])
    def test_no_space_in_the_working_folder(self, orin: Clinic, free_mb: int, severity: Severity) -> None:
        orin.free_bytes = free_mb * 1_000_000
        finding = orin.one("no_space")
        assert finding.severity is severity
        assert finding.what == f"{free_mb} MB are free in /home/user/.cache/edgebench/1"
        assert "`workdir =` of board" in finding.command

    def test_little_memory(self, orin: Clinic) -> None:
        orin.recorded.file("/proc/meminfo", "MemTotal: 7620000 kB\nMemAvailable: 400000 kB\n")
        finding = orin.one("low_memory")
        assert finding.what == "410 MB of memory are free"
        assert finding.command == "sudo systemctl isolate multi-user.target"

    def test_a_clock_that_is_off(self, orin: Clinic) -> None:
        orin.context["clock_unix_s"] = Reading(int(NOW) - 86_400, "time")
        assert orin.one("clock").what == "its clock is 86400 s behind ours"

    def test_a_clock_that_was_read_while_other_devices_were_asked_is_not_off(self, orin: Clinic) -> None:
        orin.context["clock_unix_s"] = Reading(int(NOW) + 550, "time")
        assert orin.findings() == ()

    @pytest.mark.parametrize("file", ["/etc/systemd/logind.conf", "/etc/systemd/logind.conf.d/10-lab.conf"])
    def test_a_logind_that_kills_jobs_is_a_note(self, orin: Clinic, file: str) -> None:
        orin.recorded.file("/usr/lib/systemd/logind.conf", "[Login]\n#KillUserProcesses=no\n")
        assert orin.findings() == ()
        orin.recorded.file(file, "[Login]\nKillExcludeUsers=\nKillUserProcesses=yes\n")
        finding = orin.one("kills_jobs")
        assert finding.severity is Severity.NOTE
        assert file in finding.why
        assert "KillUserProcesses=no" in finding.command
        orin.recorded.file("/etc/systemd/logind.conf.d/zz-edgebench.conf", "[Login]\nKillUserProcesses=no\n")
        assert orin.findings() == (), "as after its command"

    def test_clocks_that_float_are_a_note(self, orin: Clinic) -> None:
        orin.recorded.file("/sys/class/devfreq/17000000.gpu/min_freq", "306000000")
        finding = orin.one("clocks_floating")
        assert (finding.severity, finding.command) == (Severity.NOTE, "sudo jetson_clocks")
        assert "between 306 and 1300 MHz" in finding.what

    def test_a_driver_that_unloads_between_processes_is_a_note(self, server: Clinic) -> None:
        script = (server.recorded.tools / "nvidia-smi").read_text()
        server.recorded.tool("nvidia-smi", script.replace("value='Enabled' ;;", "value='Disabled' ;;"))
        finding = server.one("persistence")
        assert (finding.severity, finding.command) == (Severity.NOTE, "sudo nvidia-smi -pm 1")

    def test_an_onnxruntime_without_cuda_is_a_note(self, orin: Clinic) -> None:
        orin.facts["providers"] = Reading("cpu", "onnxruntime")
        assert "no CUDA provider" in orin.one("no_provider").what
        assert orin.one("no_provider").severity is Severity.NOTE

    def test_an_onnxruntime_without_cuda_stops_a_device_that_has_nothing_better(self, orin: Clinic) -> None:
        orin.facts["providers"], orin.missing["tensorrt"] = Reading("cpu", "onnxruntime"), MISSING
        assert orin.one("no_provider").severity is Severity.STOPS

    @pytest.mark.parametrize(
        ("driver", "python", "commands"),
        [
            ("580.95.05", "/opt/env/bin/python", ["uninstall -y onnxruntime && ", "'onnxruntime-gpu[cuda,cudnn]'"]),
            ("535.129.03", "/usr/bin/python3", ["1/venv/bin/pip install 'onnxruntime-gpu[cuda,cudnn]<1.27'; then"]),
        ],
    )
    def test_an_onnxruntime_with_cuda_takes_the_other_s_place_as_the_driver_allows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, python: str, commands: list[str]
    ) -> None:
        clinic = Clinic(monkeypatch, a100(tmp_path / "a", driver, cuda="12.6.77"), "a100-80gb")
        clinic.python, clinic.facts["providers"] = python, Reading("cpu", "onnxruntime")
        assert all(command in clinic.one("no_provider").command for command in commands)

    def test_a_profile_of_another_kind(self, server: Clinic) -> None:
        server.device = replace(server.device, profile=device_profile("jetson-agx-orin-64gb"))
        assert "is for a jetson, it looks like a nvidia_gpu" in server.one("profile").what

    def test_a_gpu_that_nobody_sees_stops_the_device(self, server: Clinic) -> None:
        server.recorded.tool("nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not communicate'; exit 9")
        server.missing["tensorrt"] = MISSING
        (finding,) = server.findings()
        assert (finding.check, finding.severity) == ("no_gpu", Severity.STOPS)
        assert finding.command.startswith("sudo apt install nvidia-driver-580-server")

    def test_a_board_that_a_container_hides_is_offered_no_server_s_driver(self, orin: Clinic) -> None:
        orin.recorded.remove("/etc/nv_tegra_release")
        orin.recorded.tool("nvidia-smi", "exit 9")
        (finding,) = orin.findings()
        assert (finding.check, finding.severity) == ("no_gpu", Severity.STOPS)
        assert finding.command.startswith("in a container: start it with --runtime nvidia")
        assert "nvidia-driver" not in finding.command

    def test_a_processor_is_not_asked_for_a_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recorded = Recorded(tmp_path / "plain")
        recorded.tool("nvidia-smi", "exit 9")
        assert Clinic(monkeypatch, recorded, "local").findings() == ()


class TestADeviceThatDoesNotAnswer:
    def test_has_its_own_sentence(self, orin: Clinic) -> None:
        error = HostKeyError("its host key is unknown", where="board", fix="edgebench devices trust board")
        (finding,) = unanswered(orin.device, error)
        assert finding == Finding(
            "host_key", Severity.STOPS, "its host key is unknown", "board", "edgebench devices trust board"
        )

    def test_because_its_python_is_too_old_is_told_which_to_install(self, orin: Clinic) -> None:
        error = RunError("no Python there imports tensorrt (/usr/bin/python3: Python 3.6.9 is older than 3.8)")
        (finding,) = unanswered(orin.device, error)
        assert (finding.check, finding.severity) == ("old_python", Severity.STOPS)
        assert 'python = "/usr/bin/python3.8" for board' in finding.command


class TestAContainer:
    @pytest.fixture
    def inside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
        """An A100 whose runtime is in a container that sees it."""
        recorded = a100(tmp_path / "a100", "580.95.05", cuda="12.6.77")
        clinic = Clinic(monkeypatch, recorded, "a100-80gb", container=ContainerKey("trt:1"), python="python3")
        clinic.context["container_sees"] = Reading("nvidia_gpu", "trt:1")
        return clinic

    def test_that_sees_the_gpu_is_well(self, inside: Clinic) -> None:
        assert inside.findings() == ()

    def test_that_does_not_is_told_the_option(self, inside: Clinic) -> None:
        inside.context["container_sees"] = Reading("cpu", "trt:1")
        found = inside.one("container_gpu")
        assert (found.severity, found.what) == (Severity.STOPS, "the host is a nvidia_gpu, trt:1 sees a cpu")
        assert found.command.startswith('args = ["--gpus=all"] in `container =` of board in fleet.toml')

    def test_without_the_runtime_wants_another_image_and_nothing_is_installed_in_it(self, inside: Clinic) -> None:
        inside.missing["tensorrt"] = MISSING
        found = inside.one("no_tensorrt")
        assert found.why.startswith("tried python3 in trt:1 (docker); python3 (")
        assert found.command.startswith('container = { image = "nvcr.io/nvidia/tensorrt:TAG" } for board in fleet.toml')
