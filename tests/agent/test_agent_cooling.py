"""A job waits until its device has cooled down, as long as it may; one that tells no temperature is not waited for."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from tests.agent.agent_lab import Lab, until

GPU = {"options": {"threads": 1}}
"""A job that leaves to its runtime what it runs on: what counts is the GPU's temperature, where there is one."""


class ZonedLab(Lab):
    """Its kernel, a recorded one, tells a temperature as well."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "EDGEBENCH_SYSTEM_ROOT": str(self.tools / "root")}

    @property
    def zone(self) -> Path:
        path = self.tools / "root/sys/class/thermal/thermal_zone0/temp"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _warm(lab: Lab, celsius: str) -> Path:
    """The lab's nvidia-smi, a stand-in, tells the temperature of this file, and at which the GPU slows down."""
    told, stub = lab.tools / "celsius", lab.tools / "nvidia-smi"
    told.write_text(celsius)
    script = stub.read_text()
    assert script.count("|| value='[N/A]'") == 1
    told_too = f"|| value='[N/A]'; [ $field = temperature.gpu ] && value=$(cat {told})"
    script = script.replace("|| value='[N/A]'", told_too)
    stub.write_text(
        script.replace("answer=\n", "[ $1 = -q ] && echo 'GPU Max Operating Temp : 85 C' && exit\nanswer=\n")
    )
    return told


def test_it_is_timed_once_it_is_cool(lab: Lab) -> None:
    told = _warm(lab, "71")
    lab.run(lab.spec(cool_to_c=45.0, cool_cap_s=60.0, **GPU), wait_s=0)
    lab.started()
    until(lambda: lab.status().phase == "cooling down")
    told.write_text("45")
    assert lab.wait().status.state == "done"
    result = lab.result()
    assert result.seconds["cooled"] > 0
    assert result.context["temperature_c"].value == 45.0
    assert result.context["temperature_limit_c"].value == 85.0


def test_it_is_timed_after_all_when_it_stays_warm(lab: Lab) -> None:
    _warm(lab, "71")
    lab.run(lab.spec(cool_to_c=45.0, cool_cap_s=1.5, **GPU))
    result = lab.result()
    assert 1.5 <= result.seconds["cooled"] < 20
    assert result.context["temperature_c"].value == 71.0


def test_a_processor_is_waited_for_and_not_the_gpu_beside_it(
    tmp_path: Path, agent: Path, tiny: dict[str, bytes]
) -> None:
    with closing(ZonedLab(agent, tmp_path / "device", tmp_path / "tools", sys.executable, tiny)) as lab:
        _warm(lab, "71")
        lab.zone.write_text("88000\n")
        lab.run(lab.spec(cool_to_c=45.0, cool_cap_s=60.0), wait_s=0)
        lab.started()
        until(lambda: lab.status().phase == "cooling down")
        lab.zone.write_text("45000\n")
        assert lab.wait().status.state == "done"
        result = lab.result()
    assert 0 < result.seconds["cooled"] < 50
    assert result.context["temperature_c"].value == 45.0
    assert "temperature_limit_c" not in result.context


def test_who_tells_no_temperature_is_not_waited_for(lab: Lab) -> None:
    lab.run(lab.spec(cool_to_c=45.0, cool_cap_s=60.0, **GPU))
    result = lab.result()
    assert result.seconds["cooled"] < 20
    assert result.context["temperature_c"].unknown
