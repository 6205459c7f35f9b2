"""What is watched on a device, read from files as its kernel writes them; the devices are those of recorded/devices."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents import sampler, state
from device_agents.family import Family
from device_agents.formats import linux
from device_agents.gauges import Gauge, Gauges, Quantity, tegra
from device_agents.gauges.sensors import risen
from device_agents.kinds import load_kind
from device_agents.recording import Recording
from device_agents.system import System
from tests import recorded
from tests.agent.agent_lab import until
from tests.unit.agent.gauges_lab import told


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], recorded.Recorded]:
    def make(name: str) -> recorded.Recorded:
        found = recorded.tree(tmp_path / name, name)
        monkeypatch.setenv("PATH", f"{found.tools}:/usr/bin:/bin")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
        return found

    return make


def gauges(device: recorded.Recorded) -> Gauges:
    system = System(device.root)
    found: Gauges = load_kind(state.detect_kind(system)).gauges(system, Family(system, os.getpid()))
    return found


def figures(device: recorded.Recorded, *names: str) -> list[float]:
    found = told(gauges(device))
    return [found[name][0] for name in names]


class TestAJetson:
    def test_tells_its_clocks_and_load(self, device: Callable[[str], recorded.Recorded]) -> None:
        names = ("gpu_clock", "gpu_clock_max", "gpu_busy", "memory_clock", "cpu_clock")
        assert figures(device("agx-orin-jetpack5"), *names) == [1_300_500_000, 1_300_500_000, 0.987, 3.199e9, 2.2016e9]
        assert figures(device("orin-nx-jetpack6"), *names[:3]) == [306_000_000, 918_000_000, 0.0]
        assert figures(device("thor-jetpack7"), "gpu_clock", "memory_clock") == [1_575_000_000, 4_266_000_000]

    def test_of_a_clock_that_root_alone_sees_says_where_it_would_be(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        found = gauges(device("orin-nx-jetpack6"))
        assert "memory_clock" not in told(found)
        assert found.unknown["memory_clock"].endswith(": No such file or directory")

    def test_tells_temperatures_by_zone_and_leaves_out_what_is_off(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        found = told(gauges(device("agx-orin-jetpack5")))
        zones = {name: value for name, (value, _) in found.items() if name.startswith("temperature")}
        assert zones == {
            "temperature": 46.218, "temperature.CPU": 49.375, "temperature.GPU": 46.218, "temperature.Tboard": 37.0,
            "temperature.tj": 49.906,
        }  # fmt: skip
        assert found["temperature"][1] == "/sys/class/thermal/thermal_zone1/temp (GPU-therm)"

    def test_whose_gpu_tells_no_temperature_has_that_of_its_hottest_zone(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        found = told(gauges(device("orin-nx-jetpack6")))
        assert found["temperature"] == (44.156, "/sys/class/thermal/thermal_zone*/temp, the hottest")

    @pytest.mark.parametrize(
        ("name", "watts", "source"),
        [
            ("agx-orin-jetpack5", 19.096 + 3.8208 + 4.5288,
             "the sum of VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0: this board measures no input as a whole"),
            ("orin-nx-jetpack6", 5.032 * 1.046, "VDD_IN, the input of the module"),
            ("thor-jetpack7", 41.25, "VIN, the input of the board"),
        ],
    )  # fmt: skip
    def test_tells_power_and_what_it_is_of(
        self, device: Callable[[str], recorded.Recorded], name: str, watts: float, source: str
    ) -> None:
        found = told(gauges(device(name)))
        assert found["power"][0] == pytest.approx(watts)
        assert found["power"][1] == source

    def test_tells_each_rail(self, device: Callable[[str], recorded.Recorded]) -> None:
        found = told(gauges(device("agx-orin-jetpack5")))
        rails = {name: round(value, 4) for name, (value, _) in found.items() if name.startswith("power.")}
        assert rails == {
            "power.VDD_GPU_SOC": 19.096, "power.VDD_CPU_CV": 3.8208, "power.VIN_SYS_5V0": 4.5288,
            "power.VDDQ_VDD2_1V8AO": 0.6029,
        }  # fmt: skip

    def test_tells_its_fan_and_whether_a_dla_has_power(self, device: Callable[[str], recorded.Recorded]) -> None:
        agx = figures(device("agx-orin-jetpack5"), "fan", "fan_speed", "active.nvdla0", "active.nvdla1")
        assert agx == [66 / 255, 1432, 0, 0]
        assert figures(device("orin-nx-jetpack6"), "fan", "active.nvdla0") == [1.0, 1]
        assert figures(device("thor-jetpack7"), "fan", "fan_speed") == [0.2, 2103]

    def test_shares_its_memory(self, device: Callable[[str], recorded.Recorded]) -> None:
        assert figures(device("agx-orin-jetpack5"), "memory_used") == [(31268892 - 28912340) * 1024]

    def test_is_throttled_by_heat_while_a_cooling_device_lowers_clocks(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        """A fan at work and a hot surface lower none."""
        agx = device("agx-orin-jetpack5")
        assert figures(agx, "throttled_thermal") == [0]
        agx.file("/sys/class/thermal/cooling_device2/cur_state", "1\n")
        assert figures(agx, "throttled_thermal") == [1]
        assert figures(device("orin-nx-jetpack6"), "throttled_thermal") == [1]

    def test_is_throttled_by_power_while_over_current_events_that_throttle_are_counted(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        agx = device("agx-orin-jetpack5")
        found = gauges(agx)
        first = told(found)
        assert [first[name][0] for name in ("throttled_power", "over_current.oc1", "over_current.oc3")] == [0, 0, 12]
        agx.file("/sys/class/hwmon/hwmon2/oc2_event_cnt", "40\n")  # its throt_en is 0
        assert told(found)["throttled_power"][0] == 0
        agx.file("/sys/class/hwmon/hwmon2/oc3_event_cnt", "13\n")
        assert told(found)["throttled_power"][0] == 1
        assert told(found)["throttled_power"][0] == 0, "it counts no more"

    @pytest.mark.parametrize(
        ("clock", "load", "held"), [(900, 1000, 1), (1000, 1000, 0), (300, 500, 0), (990, 1000, 0), (900, None, None)]
    )
    def test_is_held_back_at_full_load_below_its_highest_clock(
        self, clock: int, load: int | None, held: int | None
    ) -> None:
        assert tegra.held_back(clock, load, 1000) == held

    def test_says_of_what_is_missing_where_it_was_sought(self, tmp_path: Path) -> None:
        device = recorded.Recorded(tmp_path / "bare")
        device.file("/etc/nv_tegra_release", "# R36 (release), REVISION: 4.7, GCID: 1, BOARD: generic\n")
        found = gauges(device)
        for name in ("gpu_clock", "power", "fan", "throttled_power", "throttled_thermal", "temperature", "cpu_busy"):
            assert found.unknown[name].startswith("/")


class TestWhatAJetsonIs:
    def test_jetpack_by_its_package_clocks_fan_and_dla(self, device: Callable[[str], recorded.Recorded]) -> None:
        context = state.describe(System(device("agx-orin-jetpack5").root))[2]
        told = {name: context[name].value for name in ("jetpack_package", "jetson_clocks", "fan_profile", "dla_cores")}
        assert told == {
            "jetpack_package": "5.1.4-b17", "jetson_clocks": "locked", "fan_profile": "cool", "dla_cores": 2,
        }  # fmt: skip

    def test_what_is_not_locked_is_named_and_the_fan_s_profile_is_the_present_one(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        system = System(device("orin-nx-jetpack6").root)
        context = state.describe(system)[2]
        assert context["jetson_clocks"].value == "not locked: GPU, policy0"
        assert state.snapshot(system)["jetson_clocks"].value == "not locked: GPU, policy0"
        assert (context["fan_profile"].value, context["fan_profile"].source) == ("quiet", "nvfancontrol -q")


class TestAServer:
    def test_tells_the_mean_clock_by_processor_and_the_hottest_package(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        found = told(gauges(device("xeon")))
        assert found["cpu_clock"][0] == 1_500_000_000
        assert found["temperature"][0] == 55.0
        assert found["memory_used"][0] == (65536000 - 60416000) * 1024

    def test_tells_how_long_limits_stopped_it_those_above_included(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        found = told(gauges(device("xeon")))
        assert found["throttled_limit"] == (1.75, "/sys/fs/cgroup/user.slice/job.scope/cpu.stat and 1 above it")

    def test_counts_energy_of_all_packages_past_the_end_of_a_counter(
        self, device: Callable[[str], recorded.Recorded]
    ) -> None:
        xeon = device("xeon")
        found = gauges(xeon)
        assert told(found)["energy"][0] == 0
        xeon.file("/sys/class/powercap/intel-rapl:0/energy_uj", "500\n")
        xeon.file("/sys/class/powercap/intel-rapl:1/energy_uj", "1010\n")
        after = told(found)
        assert after["energy"][0] == pytest.approx((1_500 + 1_000) / 1e6)
        assert after["power"][0] > 0

    def test_is_throttled_by_heat_while_a_package_counts_it(self, device: Callable[[str], recorded.Recorded]) -> None:
        """Each package is counted once, by its first processor."""
        xeon = device("xeon")
        found = gauges(xeon)
        assert told(found)["throttled_thermal"][0] == 0
        xeon.file("/sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "9\n")
        assert told(found)["throttled_thermal"][0] == 0
        xeon.file("/sys/devices/system/cpu/cpu2/thermal_throttle/package_throttle_count", "8\n")
        assert told(found)["throttled_thermal"][0] == 1

    def test_tells_shares_between_two_looks(self, device: Callable[[str], recorded.Recorded]) -> None:
        xeon = device("xeon")
        found = gauges(xeon)
        assert "cpu_busy" not in told(found)
        xeon.file("/proc/stat", "cpu  140 0 110 1040 0 0 0 10 0 0\n")
        after = told(found)
        assert (after["cpu_busy"][0], after["cpu_steal"][0]) == (0.6, 0.1)
        assert "cpu_foreign" not in after, "the job's own processes cannot be seen there"


class TestParsers:
    @pytest.mark.parametrize(
        ("text", "paths"),
        [
            ("0::/a/b\n", ["/a/b", "/a", ""]),
            ("0::/\n", [""]),
            ("4:memory:/x\n1:cpu,cpuacct:/a\n0::/\n", ["/cpu,cpuacct/a", "/cpu,cpuacct"]),
            ("", []),
            ("garbage", []),
        ],
    )
    def test_control_groups(self, text: str, paths: list[str]) -> None:
        assert linux.cpu_groups(text) == [f"/sys/fs/cgroup{path}/cpu.stat" for path in paths]

    @pytest.mark.parametrize(
        ("text", "microseconds"), [("nr_throttled 1\nthrottled_usec 7\n", 7), ("throttled_time 7999\n", 7), ("", None)]
    )
    def test_how_long_a_group_was_stopped(self, text: str, microseconds: int | None) -> None:
        assert linux.parse_stopped_us(text) == microseconds

    @pytest.mark.parametrize(("last", "now", "full", "count"), [(5, 9, 100, 4), (90, 10, 100, 20), (90, 10, 0, 0)])
    def test_a_counter_that_begins_anew(self, last: int, now: int, full: int, count: int) -> None:
        assert risen(last, now, full) == count


class _Counter(Gauge):
    """1, 2, 3, and nothing at every fourth look."""

    quantities = (Quantity("power", "W", "a counter", 1000), Quantity("fan", "", "never told", 255))

    def __init__(self) -> None:
        self.looks = 0

    def read(self) -> tuple[int | None, None]:
        self.looks += 1
        return (None if self.looks % 4 == 0 else self.looks), None


class _Stumbling(Gauge):
    quantities = (Quantity("temperature", "C", "/sys/garbled"),)

    def read(self) -> tuple[int]:
        return (int("?"),)


def _recording(*gauges: Gauge, most: int = 1000) -> Recording:
    found = Gauges()
    found.all += gauges
    return Recording(found, most)


class TestARecording:
    def test_has_times_of_its_own_for_each_series_and_shares_equal_ones(self) -> None:
        recording = _recording(_Counter(), _Counter())
        for _ in range(6):
            recording.look()
        series, data = recording.series()
        numbers = array("q", data)
        values = [numbers[one.values.offset : one.values.offset + one.values.count].tolist() for one in series]
        assert values == [[1, 2, 3, 5, 6]] * 2
        assert all(one.times.count == 5 for one in series)
        assert series[0].values == series[1].values, "equal numbers are kept once"

    def test_says_why_a_quantity_has_no_series(self) -> None:
        recording = _recording(_Counter(), _Stumbling())
        recording.look()
        assert recording.unknown() == {"fan": "never told: not told", "temperature": "/sys/garbled: not told"}

    def test_grows_rarer_before_a_series_is_too_long(self) -> None:
        recording = _recording(_Counter(), most=16)
        for _ in range(100):
            recording.look()
        series, _ = recording.series()
        assert recording.thinned >= 8
        assert 4 <= series[0].values.count <= 16
        assert recording.rate_hz > 0

    def test_leaves_time_between_looks_at_what_is_slow(self) -> None:
        slow = _Counter()
        slow.every_s = 60.0
        recording = _recording(slow)
        for _ in range(5):
            recording.look()
        assert slow.looks == 1


class TestTheWatch:
    def test_goes_on_until_it_is_told_to_stop(self) -> None:
        counter = _Counter()
        reads, tell = os.pipe()
        words = threading.Thread(target=lambda: (until(lambda: counter.looks >= 3), os.write(tell, sampler.STOP)))
        words.start()
        assert sampler.watch(_recording(counter), reads, period_s=0.001)
        words.join()
        assert counter.looks >= 4, "one more look, at the end"
        os.close(reads)
        os.close(tell)

    def test_without_a_supervisor_is_of_no_use(self) -> None:
        reads, tell = os.pipe()
        os.close(tell)
        assert not sampler.watch(_recording(_Counter()), reads, period_s=0.001)
        os.close(reads)
