"""The device profiles that edgebench brings: complete, sourced, and plausible."""

from __future__ import annotations

import re

import pytest

from device_agents.contract import Precision
from profiles.load import device_profile, device_profile_names
from profiles.schema import DeviceProfile, Peak

ALL = [device_profile(name) for name in device_profile_names()]
JETSONS = [profile for profile in ALL if profile.kind == "jetson"]
PEAKS = [
    pytest.param(profile, peak, id=f"{profile.name}-{peak.power_mode}") for profile in ALL for peak in profile.peaks
]


def test_there_is_a_profile_for_every_promised_device() -> None:
    assert {profile.name for profile in ALL} >= {
        "local",
        "jetson-agx-orin-64gb",
        "jetson-orin-nx-16gb",
        "jetson-orin-nano-8gb",
        "a100-80gb",
        "h100-80gb",
        "t4-16gb",
    }


def test_orin_names_every_jetson_orin() -> None:
    assert {profile.name for profile in ALL if profile.family == "orin"} == {profile.name for profile in JETSONS}


def test_local_is_the_operators_own_python_on_a_cpu() -> None:
    local = device_profile("local")
    assert (local.kind, local.python, local.backends, local.precision) == ("cpu", "", ("onnxruntime",), Precision.FP32)


@pytest.mark.parametrize("profile", [p for p in ALL if p.kind != "cpu"], ids=lambda profile: profile.name)
def test_an_accelerator_runs_fp16_on_tensorrt_first_under_the_systems_python(profile: DeviceProfile) -> None:
    assert profile.precision is Precision.FP16
    assert profile.backends == ("tensorrt", "trtexec", "onnxruntime")
    assert profile.python == "/usr/bin/python3"
    assert profile.peaks


@pytest.mark.parametrize("profile", JETSONS, ids=lambda profile: profile.name)
def test_a_jetson_has_a_peak_for_the_power_mode_it_is_measured_in(profile: DeviceProfile) -> None:
    modes = [peak.power_mode for peak in profile.peaks]
    assert profile.power_mode in modes
    assert len(set(modes)) == len(modes)
    assert None not in modes


@pytest.mark.parametrize(("profile", "peak"), PEAKS)
def test_a_peak_says_where_it_is_written(profile: DeviceProfile, peak: Peak) -> None:
    assert re.search(r"\w.*, https://\S+$", peak.source), "a title and an address"
    assert 1 <= peak.fp16_tflops <= 5000
    assert 10 <= peak.memory_gb_s <= 20_000


@pytest.mark.parametrize(("profile", "peak"), PEAKS)
def test_no_peak_is_a_sparse_int8_headline(profile: DeviceProfile, peak: Peak) -> None:
    """These have 147 (Orin Nano) to 295 (H100) dense FP16 operations a byte; sparse INT8 would be four times that."""
    assert 100 <= peak.fp16_tflops * 1000 / peak.memory_gb_s <= 330


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_thresholds_are_shares(profile: DeviceProfile) -> None:
    limits = profile.thresholds
    assert all(0 < limit < 0.5 for limit in (limits.spread, limits.drift, limits.foreign_work))
