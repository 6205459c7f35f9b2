"""The language of --device."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inventory.devices import Fleet
from edge.inventory.fleet_file import load_fleet
from edge.inventory.selector import select
from profiles.errors import ConfigError


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    path = tmp_path / "fleet.toml"
    path.write_text("""
        devices.nano = {profile = "jetson-orin-nano-8gb", tags = ["lab"]}
        devices.agx = {profile = "jetson-agx-orin-64gb", tags = ["lab", "fast"]}
        devices.dgx = {profile = "a100-80gb", tags = ["fast"]}
    """)
    return load_fleet(path)


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("agx", "agx"),
        ("local", "local"),
        ("all", "nano agx dgx"),
        ("lab", "nano agx"),
        ("orin", "nano agx"),
        ("a100-80gb", "dgx"),
        ("dgx or nano", "nano dgx"),
        ("dgx,nano", "nano dgx"),
        ("dgx , nano", "nano dgx"),
        ("lab and fast", "agx"),
        ("not orin", "dgx"),
        ("not not orin", "nano agx"),
        ("orin and not agx", "nano"),
        ("agx or dgx and lab", "agx"),
        ("(agx or dgx) and fast", "agx dgx"),
        ("agx,dgx and not lab", "dgx"),
        ("not agx,dgx", "nano"),
        ("(((agx)))", "agx"),
        ("(agx)or(dgx)", "agx dgx"),
        ("  agx  ", "agx"),
        ("local or dgx", "dgx local"),
    ],
)
def test_what_is_picked_in_the_order_of_the_file(fleet: Fleet, expr: str, names: str) -> None:
    assert " ".join(device.name for device in select(fleet, expr)) == names


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("orni", "no device, group, tag, profile or family 'orni' (did you mean 'orin'?)"),
        ("orni", "names: agx, dgx, local, nano; tags: fast, lab; profiles: a100-80gb"),
        ("orin-*", "none can be called so"),
        ("t4-16gb", "no device of profile t4-16gb in"),
        ("nano and dgx", "matches 'nano and dgx'; there are: nano (jetson-orin-nano-8gb)"),
        ("not all", "matches 'not all'"),
        ("", "the expression is empty"),
        ("   ", "the expression is empty"),
        ("agx dgx", "expected `and`, `or` or the end after 'agx', got 'dgx'"),
        ("agx and", "expected a name, group, tag, profile or family after 'agx and', got the end"),
        ("and agx", "expected a name, group, tag, profile or family, got 'and'"),
        ("(agx", "expected `)`"),
        ("agx)", "got ')'"),
        ("agx,", "expected a name"),
        ("()", "expected a name"),
        ("(" * 100 + "agx" + ")" * 100, "nested deeper than 40"),
        ("not " * 2000, "at most 4,096 are read"),
    ],
)
def test_what_is_refused(fleet: Fleet, expr: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(fleet, expr)
    assert says in str(caught.value)
    assert caught.value.where == "--device"
    with pytest.raises(ConfigError) as caught:
        select(fleet, expr, "EXPR")
    assert caught.value.where == "EXPR"


def test_a_family_that_the_fleet_lacks() -> None:
    with pytest.raises(ConfigError) as caught:
        select(load_fleet(None), "orin")
    assert "no device of family orin in the fleet" in str(caught.value)
    assert "there are: local (local); add one to fleet.toml (edgebench init)" in str(caught.value)


def test_all_of_a_fleet_without_devices_is_this_machine() -> None:
    assert [device.name for device in select(load_fleet(None), "all")] == ["local"]
