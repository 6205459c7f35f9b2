"""Devices that are named on the command line: NAME=PROFILE, which ssh reaches as NAME, or NAME=PROFILE@HOST."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inventory import ssh_hosts
from edge.inventory.devices import Fleet
from edge.inventory.fleet_file import load_fleet
from edge.inventory.selector import select
from profiles.errors import ConfigError


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    path = tmp_path / "fleet.toml"
    path.write_text("""
        [defaults]
        user = "nvidia"
        [devices.nano]
        profile = "jetson-orin-nano-8gb"
        [groups]
        site = "nano"
    """)
    return load_fleet(path)


@pytest.fixture
def ssh_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = ssh_hosts.user_config()
    path.parent.mkdir(parents=True)
    return path


def test_it_needs_no_fleet_file() -> None:
    (device,) = select(load_fleet(None), "orin-7=jetson-orin-nano-8gb")
    assert (device.name, device.host, device.profile.name) == ("orin-7", "orin-7", "jetson-orin-nano-8gb")
    assert (device.user, device.port, device.gateways, device.is_local) == (None, None, None, False)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("a=t4-16gb@10.0.0.1", "10.0.0.1", None),
        ("a=t4-16gb@b.example:23", "b.example", 23),
        ("a=t4-16gb@::1", "::1", None),
    ],
)
def test_it_may_say_its_host(text: str, host: str, port: int | None) -> None:
    (device,) = select(load_fleet(None), text)
    assert (device.name, device.host, device.port) == ("a", host, port)


def test_it_stands_beside_those_of_the_file_and_takes_nothing_from_there(fleet: Fleet) -> None:
    nano, extra = select(fleet, "x=t4-16gb or site or (x=t4-16gb)")
    assert (nano.name, nano.user) == ("nano", "nvidia")
    assert (extra.name, extra.user) == ("x", None)
    assert [device.name for device in select(fleet, "not nano,x=t4-16gb or all")] == ["nano"]


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("nano=t4-16gb", "nano is in"),
        ("nano=t4-16gb", "with the profile jetson-orin-nano-8gb; name it without a profile: nano"),
        ("site=t4-16gb", "the name 'site' is that of a group"),
        ("orin=t4-16gb", "the name 'orin' is that of a family"),
        ("x=t5", "unknown device profile 't5'"),
        ("x=t4-16gb or x=a100-80gb", "x is given two profiles or hosts; name it once"),
        ("x=", "'x=' is not NAME=PROFILE[@HOST[:PORT]]; for example orin-1="),
        ("x=t4-16gb@", "is not NAME=PROFILE"),
        ("=t4-16gb", "is not NAME=PROFILE"),
        ("local=t4-16gb", "not `local`"),
        ("all=t4-16gb", "is not NAME=PROFILE"),
        ("x=t4-16gb@h:0", "has no port after the colon"),
        ("x=t4-16gb@-oProxyCommand", "'-oProxyCommand' is no host name"),
        ("x=t4-16gb@me@h", "'me@h' is no host name or address (the user is left to"),
    ],
)
def test_what_is_refused(fleet: Fleet, expr: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(fleet, expr)
    assert says in str(caught.value)
    assert caught.value.where == "--device"


def test_an_alias_without_a_profile_is_told_what_is_missing(fleet: Fleet, ssh_config: Path) -> None:
    ssh_config.write_text("Host orin-7\n  HostName 10.0.0.7\n")
    with pytest.raises(ConfigError) as caught:
        select(fleet, "orin-7")
    assert "orin-7 is a host of ~/.ssh/config and not of" in str(caught.value)
    assert caught.value.fix == "say what it is: orin-7=PROFILE, one of `edgebench profiles list`"


def test_the_aliases_of_a_config_file_and_of_what_it_includes(ssh_config: Path) -> None:
    (ssh_config.parent / "conf.d").mkdir()
    (ssh_config.parent / "conf.d" / "site").write_text('Host site-1 site-?\nhost = "site-2" # the second\nHost "open\n')
    ssh_config.write_text(
        "Include conf.d/*\nHost orin-7 orin-8 !orin-9\n  HostName 10.0.0.7\nHost *\n  User me\n"
        "Match host orin-10\nHost orin-7 last\n# Host not-this\nHostName nor-this\n"
    )
    assert ssh_hosts.aliases() == ("site-1", "site-2", "orin-7", "orin-8", "last")


def test_without_a_config_file_there_are_none(ssh_config: Path) -> None:
    assert ssh_hosts.aliases() == ()
