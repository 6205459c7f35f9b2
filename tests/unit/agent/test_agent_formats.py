"""What NVIDIA's tools and Linux say, read from texts as they were recorded: the value that is there, or nothing."""

from __future__ import annotations

import pytest

from device_agents.formats import l4t, linux, nvidia_smi
from device_agents.kinds import cpu

R35 = """\
# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 19:57:35 UTC 2023
"""
R36 = """\
# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, DATE: Thu Sep 18 22:54:44 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
"""
R38 = """\
# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: Fri Aug 22 00:55:42 UTC 2025
# KERNEL_VARIANT: oot
TARGET_USERSPACE_LIB_DIR=nvidia
TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia
INSTALL_TYPE=
"""

X86 = """\
processor	: 0
vendor_id	: AuthenticAMD
cpu family	: 25
model		: 1
model name	: AMD EPYC 7R13 Processor
stepping	: 1

processor	: 1
vendor_id	: AuthenticAMD
model name	: AMD EPYC 7R13 Processor
"""
ORIN = """\
processor	: 0
BogoMIPS	: 62.50
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x0
CPU part	: 0xd42
CPU revision	: 1
"""

STAT = """\
cpu  {user} 10 200 {idle} {iowait} 0 30 {steal} 500 0
cpu0 1 1 1 1 1 1 1 1 1 1
intr 12345
"""


class TestJetsonLinux:
    @pytest.mark.parametrize(
        ("text", "l4t_release", "jetpack"),
        [(R35, "35.4.1", "5.1.2"), (R36, "36.4.7", "6.2.1"), (R38, "38.2.0", "7.0")],
        ids=["JetPack 5", "JetPack 6", "JetPack 7"],
    )
    def test_the_release_and_its_jetpack(self, text: str, l4t_release: str, jetpack: str) -> None:
        found = l4t.parse_release(text)
        assert found == l4t_release
        assert l4t.jetpack_of(found) == jetpack

    @pytest.mark.parametrize("text", ["", "\n", "# R36\n", "Ubuntu 22.04.5 LTS\n"])
    def test_another_file_tells_no_release(self, text: str) -> None:
        assert l4t.parse_release(text) is None

    @pytest.mark.parametrize(
        ("release", "jetpack"),
        [("36.4.0", "6.1"), ("36.4.3", "6.2"), ("36.4.4", "6.2.1"), ("35.6.1", "5.1.5"), ("38.4.0", "7.1")],
    )
    def test_the_longer_number_decides(self, release: str, jetpack: str) -> None:
        assert l4t.jetpack_of(release) == jetpack

    @pytest.mark.parametrize("release", ["32.7.4", "99.0.0", "", "3", "36.40.1"])
    def test_a_release_that_nobody_listed_has_no_jetpack(self, release: str) -> None:
        assert l4t.jetpack_of(release) is None

    @pytest.mark.parametrize(
        ("text", "mode"),
        [
            ("NV Power Mode: MAXN\n0\n", "MAXN"),
            ("NV Power Mode: MODE_30W\n2\n", "MODE_30W"),
            ("NVPM WARN: fan mode is not set!\nNV Power Mode: 25W\n1\n", "25W"),
            ("NV Fan Mode:quiet\nNV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
        ],
    )
    def test_the_power_mode_by_name(self, text: str, mode: str) -> None:
        assert l4t.parse_power_mode(text) == mode

    @pytest.mark.parametrize("text", ["", "NV Power Mode:\n", "NVPM ERROR: failed to read PARAM_ARG\n"])
    def test_no_power_mode_is_none(self, text: str) -> None:
        assert l4t.parse_power_mode(text) is None

    def test_the_board_s_name_without_its_nul(self) -> None:
        name = "NVIDIA Jetson AGX Orin Developer Kit"
        assert l4t.parse_model(f"{name}\0") == name
        assert l4t.parse_model("\0") is None

    CONF = """\
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""

    def test_the_power_modes_of_a_board_by_id(self) -> None:
        modes = l4t.parse_power_modes(self.CONF)
        assert modes == "0:15W 1:25W 2:MAXN_SUPER"
        assert l4t.power_mode_id(modes, "MAXN_SUPER") == 2
        assert l4t.power_mode_id(modes, "MAXN") is None

    def test_the_tool_s_own_list_of_them(self) -> None:
        text = "NVPM VERB: POWER_MODEL: ID=0 NAME=MAXN\nNVPM VERB: POWER_MODEL: ID=3 NAME=MODE_50W\n"
        assert l4t.parse_power_modes(text) == "0:MAXN 3:MODE_50W"

    @pytest.mark.parametrize("text", ["", "NVPM ERROR: failed\n", "< POWER_MODEL NAME=MAXN >\n"])
    def test_no_power_modes_are_none(self, text: str) -> None:
        assert l4t.parse_power_modes(text) is None

    @pytest.mark.parametrize(
        ("release", "cuda"),
        [("35.4.1", "11.4"), ("36.3.0", "12.2"), ("36.4.7", "12.6"), ("36.5.0", "12.6"), ("38.2.0", "13.0"),
         ("39.2.0", "13.2"), ("32.7.4", None), ("", None)],
    )  # fmt: skip
    def test_the_cuda_of_a_release(self, release: str, cuda: str | None) -> None:
        assert l4t.cuda_of(release) == cuda


class TestNvidiaSmi:
    FIELDS = ("name", "uuid", "driver_version", "memory.total", "mig.mode.current", "ecc.mode.current")
    A100 = "NVIDIA A100-SXM4-80GB, GPU-8f6d9b14-6a5e-2f0e-9d3c-0d5a1b7e4c21, 535.129.03, 81920, Disabled, Enabled\n"

    def test_a_field_a_name(self) -> None:
        found = nvidia_smi.parse_query(self.A100, self.FIELDS)
        assert found is not None
        assert found["name"] == "NVIDIA A100-SXM4-80GB"
        assert found["memory.total"] == "81920"
        assert set(found) == set(self.FIELDS)

    def test_the_first_gpu_of_several(self) -> None:
        found = nvidia_smi.parse_query(self.A100 + self.A100.replace("A100", "H100"), self.FIELDS)
        assert found is not None
        assert found["name"] == "NVIDIA A100-SXM4-80GB"

    @pytest.mark.parametrize(
        "missing",
        [
            "[N/A]",
            "N/A",
            "",
            "[Not Supported]",
            "[Insufficient Permissions]",
            "[GPU requires reset]",
            "[Unknown Error]",
        ],
    )
    def test_what_the_driver_does_not_tell_is_left_out(self, missing: str) -> None:
        """As with MIG enabled, whose A100 answers [N/A] for utilisation and power."""
        fields = ("pstate", "utilization.gpu", "power.draw")
        assert nvidia_smi.parse_query(f"P0, {missing}, 62.18\n", fields) == {"pstate": "P0", "power.draw": "62.18"}

    @pytest.mark.parametrize("text", ["", "\n", "No devices were found\n", "P0, 1410\n", "a, b, c, d\n"])
    def test_an_answer_to_another_question_is_none(self, text: str) -> None:
        assert nvidia_smi.parse_query(text, ("pstate", "clocks.sm", "power.draw")) is None


class TestComputingProcesses:
    def test_each_by_pid_name_and_memory(self) -> None:
        text = "1234, /usr/bin/python3 -m train --lr 1e-3, 5120\n99, /opt/tritonserver, 800\n"
        assert nvidia_smi.parse_processes(text) == "1234 python3 5120 MiB, 99 tritonserver 800 MiB"

    def test_a_name_with_commas(self) -> None:
        assert nvidia_smi.parse_processes("7, python -c f(1, 2), 10\n") == "7 python 10 MiB"

    def test_what_a_container_may_not_see_counts_all_the_same(self) -> None:
        assert nvidia_smi.parse_processes("1234, [Not Found], [N/A]\n") == "1234 unnamed"

    def test_nothing_is_said_in_one_word(self) -> None:
        assert nvidia_smi.parse_processes("\n") == nvidia_smi.NO_PROCESS

    @pytest.mark.parametrize("text", ["No devices were found\n", "[N/A], [N/A], [N/A]\n", "12\n"])
    def test_an_answer_to_another_question_is_none(self, text: str) -> None:
        assert nvidia_smi.parse_processes(text) is None


class TestProcessor:
    def test_the_model_of_an_x86(self) -> None:
        assert cpu.parse_cpu_model(X86) == "AMD EPYC 7R13 Processor"

    def test_an_arm_names_implementer_and_part(self) -> None:
        assert cpu.parse_cpu_model(ORIN) == "implementer 0x41 part 0xd42"

    def test_no_model_is_none(self) -> None:
        assert cpu.parse_cpu_model("processor	: 0\n") is None

    def test_the_busy_share_between_two_readings(self) -> None:
        before = STAT.format(user=100, idle=1000, iowait=50, steal=0)
        after = STAT.format(user=130, idle=1060, iowait=60, steal=0)
        assert cpu.parse_busy_share(before, after) == 0.3

    def test_stolen_time_is_busy_and_waiting_for_disks_is_not(self) -> None:
        before = STAT.format(user=100, idle=1000, iowait=50, steal=0)
        after = STAT.format(user=100, idle=1000, iowait=125, steal=25)
        assert cpu.parse_busy_share(before, after) == 0.25

    def test_no_time_between_two_readings_is_not_busy(self) -> None:
        text = STAT.format(user=100, idle=1000, iowait=50, steal=0)
        assert cpu.parse_busy_share(text, text) == 0.0

    @pytest.mark.parametrize("text", ["", "intr 5\n", "cpu0 1 2 3 4 5 6 7 8\n"])
    def test_a_reading_without_the_sum_tells_nothing(self, text: str) -> None:
        assert cpu.parse_busy_share(text, text) is None

    @pytest.mark.parametrize(
        ("text", "size"), [("32768K\n", 32 << 20), ("32M", 32 << 20), ("1G", 1 << 30), ("4096", 4096)]
    )
    def test_a_cache_s_size_in_bytes(self, text: str, size: int) -> None:
        assert cpu.parse_cache_size(text) == size

    @pytest.mark.parametrize(
        ("text", "limit"),
        [("max 100000\n", "none"), ("150000 100000\n", 1.5), ("400000 100000", 4), ("33333 100000\n", 0.3333)],
    )
    def test_a_group_s_limit_in_processors(self, text: str, limit: float | str) -> None:
        assert cpu.parse_cpu_max(text) == limit

    def test_memory_in_bytes(self) -> None:
        text = "MemTotal:       31271188 kB\nMemFree:  1 kB\nMemAvailable:   29000000 kB\n"
        assert linux.parse_meminfo(text, "MemTotal") == 31271188 * 1024
        assert linux.parse_meminfo(text, "MemAvailable") == 29000000 * 1024
        assert linux.parse_meminfo(text, "SwapTotal") is None

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ('NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n', "Ubuntu 22.04.5 LTS"),
            ("ID=debian\n", None),
            ("", None),
        ],
    )
    def test_the_system_s_pretty_name(self, text: str, name: str | None) -> None:
        assert cpu.parse_os_name(text) == name
