"""A job waits until its device has cooled down, as long as it may; one that tells no temperature is not waited for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.agent.agent_lab import Lab, until


def _warm(lab: Lab, celsius: str) -> Path:
    """The lab's nvidia-smi, a stand-in, tells the temperature of this file."""
    told, stub = lab.tools / "celsius", lab.tools / "nvidia-smi"
    told.write_text(celsius)
    script = stub.read_text()
    assert script.count("|| value='[N/A]'") == 1
    told_too = f"|| value='[N/A]'; [ $field = temperature.gpu ] && value=$(cat {told})"
    stub.write_text(script.replace("|| value='[N/A]'", told_too))
    return told


def test_it_is_timed_once_it_is_cool(lab: Lab) -> None:
    told = _warm(lab, "71")
    lab.run(replace(lab.spec(), cool_to_c=45.0, cool_cap_s=60.0), wait_s=0)
    lab.started()
    until(lambda: lab.status().phase == "cooling down")
    told.write_text("45")
    assert lab.wait().status.state == "done"
    result = lab.result()
    assert result.seconds["cooled"] > 0
    assert result.context["temperature_c"].value == 45.0


def test_it_is_timed_after_all_when_it_stays_warm(lab: Lab) -> None:
    _warm(lab, "71")
    lab.run(replace(lab.spec(), cool_to_c=45.0, cool_cap_s=1.5))
    result = lab.result()
    assert 1.5 <= result.seconds["cooled"] < 20
    assert result.context["temperature_c"].value == 71.0


def test_who_tells_no_temperature_is_not_waited_for(lab: Lab) -> None:
    lab.run(replace(lab.spec(), cool_to_c=45.0, cool_cap_s=60.0))
    result = lab.result()
    assert result.seconds["cooled"] < 20
    assert result.context["temperature_c"].unknown
