"""[groups] of fleet.toml: who is in them, what they give, and the sentence for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from edge.inventory.devices import Fleet
from edge.inventory.fleet_file import load_fleet
from edge.inventory.hops import Hop
from edge.inventory.selector import select
from profiles.errors import ConfigError

DEVICES = """
[devices.nano]
profile = "jetson-orin-nano-8gb"
tags = ["lab"]
[devices.agx]
profile = "jetson-agx-orin-64gb"
tags = ["lab", "fast"]
[devices.dgx]
profile = "a100-80gb"
tags = ["fast"]
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[[str], Fleet]:
    def load(text: str) -> Fleet:
        path = tmp_path / "fleet.toml"
        path.write_text(DEVICES + text)
        return load_fleet(path)

    return load


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ('"orin and lab"', "nano agx"),
        ('["dgx", "nano"]', "nano dgx"),
        ('["fast and not orin", "nano"]', "nano dgx"),
        ('"orin and big"', "agx"),
        ('"not big"', "nano"),
        ('"all"', "nano agx dgx"),
        ('"t4-16gb or a100-80gb and t4"', ""),
        ("[]", ""),
        ('{devices = "fast"}', "agx dgx"),
        ('{devices = ["nano", "local"]}', "nano local"),
    ],
)
def test_a_group_is_an_expression_or_a_list_of_them(fleet: Callable[[str], Fleet], value: str, names: str) -> None:
    loaded = fleet(f'[groups]\nsite = {value}\nbig = ["agx", "huge"]\nhuge = "dgx"')
    assert loaded.groups["site"] == tuple(names.split())
    assert loaded.groups["big"] == ("agx", "dgx")


def test_a_group_is_a_word_of_the_selector(fleet: Callable[[str], Fleet]) -> None:
    loaded = fleet('[groups]\nsite = "orin and lab"\nempty = "t4"')
    assert [device.name for device in select(loaded, "site and not nano or dgx")] == ["agx", "dgx"]
    with pytest.raises(ConfigError, match="matches 'empty'"):
        select(loaded, "empty")
    with pytest.raises(ConfigError, match=r"did you mean 'site'.*groups: empty, site"):
        select(loaded, "sit")


def test_the_device_wins_over_its_groups_and_they_over_the_defaults(fleet: Callable[[str], Fleet]) -> None:
    loaded = fleet("""
        [devices.bare]
        [devices.own]
        user = "root"
        metered = false
        tags = ["mine"]
        [groups.site]
        devices = ["bare", "own", "dgx", "local"]
        profile = "t4-16gb"
        user = "ops"
        gateway = "bastion"
        key = "keys/site"
        bandwidth = "1 MB/s"
        metered = true
        max_bytes = "50 MB"
        tags = ["away"]
        python = "/opt/python"
        workdir = "/data/eb"
        [gateways.bastion]
        host = "bastion.example"
        [defaults]
        user = "nvidia"
        port = 2222
        python = "/usr/bin/python3"
    """)
    bare, own, dgx, nano = (loaded.devices[name] for name in ("bare", "own", "dgx", "nano"))
    assert (bare.user, bare.port, bare.tags, bare.profile.name) == ("ops", 2222, ("away",), "t4-16gb")
    assert bare.gateways == (Hop("bastion.example"),)
    assert (bare.key, bare.workdir) == (Path(str(loaded.source)).parent / "keys/site", PurePosixPath("/data/eb"))
    assert (bare.python, bare.bandwidth, bare.metered, bare.max_bytes) == ("/opt/python", 1e6, True, 50_000_000)
    assert (own.user, own.tags, own.metered, own.python) == ("root", ("mine",), False, "/opt/python")
    assert (dgx.profile.name, dgx.tags, dgx.user) == ("a100-80gb", ("fast",), "ops")
    assert (nano.user, nano.python, nano.gateways, nano.metered) == ("nvidia", "/usr/bin/python3", None, False)
    assert loaded.devices["local"].workdir is None, "this machine takes no settings of others"
    assert [device.name for device in select(loaded, "away")] == ["bare"]


def test_groups_that_agree_give_what_they_agree_on(fleet: Callable[[str], Fleet]) -> None:
    loaded = fleet("""
        [groups.a]
        devices = "lab"
        user = "ops"
        [groups.b]
        devices = "fast"
        user = "ops"
        port = 23
    """)
    assert [(d.user, d.port) for d in loaded.declared] == [("ops", None), ("ops", 23), ("ops", 23)]


def test_two_groups_that_disagree_matter_only_where_both_give(fleet: Callable[[str], Fleet]) -> None:
    text = """
        [groups.a]
        devices = "lab"
        user = "ops"
        [groups.b]
        devices = "fast"
        user = "root"
        [devices.both]
        profile = "t4-16gb"
        tags = ["lab", "fast"]
        user = "me"
    """
    with pytest.raises(ConfigError) as caught:
        fleet(text)
    assert "devices.agx': the groups a and b give agx different values of 'user'; say user at" in str(caught.value)
    assert fleet(text.replace('devices = "lab"', 'devices = "lab and not agx"')).devices["both"].user == "me"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('agx = "nano"', "the group name 'agx' is that of a device; call it otherwise"),
        ('local = "nano"', "the group name 'local' is that of a device"),
        ('lab = "nano"', "the group name 'lab' is that of a tag"),
        ('orin = "nano"', "the group name 'orin' is that of a family"),
        ('t4-16gb = "nano"', "the group name 't4-16gb' is that of a profile"),
        ('all = "nano"', "'all' cannot name a group; use letters"),
        ('"a b" = "nano"', "'a b' cannot name a group"),
        ('a = "b"\nb = ["nano", "not c"]\nc = "(a)"', "groups go in a circle: a uses b uses c uses a; take one"),
        ('a = "nano and a"', "groups go in a circle: a uses a"),
        ('a = "nanoo"', "no device, group, tag, profile or family 'nanoo' (did you mean 'nano'?)"),
        ('a = "nano and"', "expected a name, group, tag, profile or family after 'nano and', got the end"),
        ('a = ""', "the expression is empty"),
        ('a = "x=t4-16gb"', "no device, group, tag, profile or family 'x=t4-16gb'"),
        ("a = 3", "expected a table, got 3"),
        ("a = [3]", "a.devices[0]': expected text"),
        ("a = {}", "the key 'devices' is missing"),
        ('a = {devices = "nano", host = "x"}', "unknown key 'host'"),
        ('a = {devices = "nano", builder = true}', "unknown key 'builder'"),
        ('a = {devices = "nano", gateway = "a b"}', "key 'groups.a.gateway': 'a b' is no [user@]host"),
        ('a = {devices = "nano", bandwidth = "fast"}', "key 'groups.a.bandwidth': 'fast' is no rate"),
        ('a = {devices = "nano", tags = ["far"]}\nfar = "nano"', "the group name 'far' is that of a tag"),
        (
            'a = {devices = "nano", tags = ["far"]}\nb = "far"',
            "the tag 'far' is given by a group alone, and groups do not",
        ),
    ],
)
def test_a_mistake_names_file_and_key(fleet: Callable[[str], Fleet], tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fleet("[groups]\n" + text)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'fleet.toml'}, key 'groups")
