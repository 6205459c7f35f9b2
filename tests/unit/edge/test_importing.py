"""Imported hosts: who is chosen, with which profile, and how they come into a fleet file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.inventory import importing
from edge.inventory.fleet_file import load_fleet
from edge.inventory.importing import Entry, Host
from profiles.errors import ConfigError

HOSTS = (
    Host("orin-1", {"host": "10.0.0.1", "port": 23}, ("orins", "lab")),
    Host("orin-2", {}, ("orins",)),
    Host("dgx", {"user": "root"}, ("servers", "lab"), ("no secret is taken over",)),
    Host("win", {}, ("servers",), ("unseen",), left_out="its connection is winrm, not SSH"),
)
ENTRY = Entry("dgx", {"profile": "a100-80gb", "user": "root"})


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ([], "orin-1 orin-2 dgx win"),
        (["orin-*"], "orin-1 orin-2"),
        (["lab"], "orin-1 dgx"),
        (["dgx", "orin-[13]"], "orin-1 dgx"),
    ],
)
def test_hosts_are_chosen_by_name_or_group(patterns: list[str], names: str) -> None:
    assert " ".join(host.name for host in importing.only(HOSTS, patterns)) == names


def test_a_pattern_that_fits_nothing_lists_what_there_is() -> None:
    with pytest.raises(ConfigError, match="'nano-\\*'; groups: lab, orins, servers; hosts: orin-1, orin-2, dgx, win"):
        importing.only(HOSTS, ["lab", "nano-*"])


def test_profiles_by_host_by_group_and_for_the_rest() -> None:
    of = {"orins": "jetson-orin-nx-16gb", "orin-2": "jetson-orin-nano-8gb"}
    found = importing.entries(HOSTS, "a100-80gb", of)
    assert [(each.name, each.keys["profile"]) for each in found] == [
        ("orin-1", "jetson-orin-nx-16gb"),
        ("orin-2", "jetson-orin-nano-8gb"),
        ("dgx", "a100-80gb"),
    ]
    assert found[0].keys == {
        "profile": "jetson-orin-nx-16gb", "host": "10.0.0.1", "port": 23, "tags": ("orins", "lab"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "of", "says"),
    [
        ("t5", {}, "--profile: unknown device profile 't5'"),
        (None, {"lab": "t5"}, "--profile-of: unknown device profile 't5'"),
        (None, {"lab": "t4-16gb"}, "--profile: nobody says the profile of orin-2; --profile NAME, or --profile-of"),
        ("t4-16gb", {"labs": "t4-16gb"}, "--profile-of: no host is called 'labs' or in a group of that name"),
        (
            "t4-16gb",
            {"lab": "t4-16gb", "orins": "jetson-orin-nx-16gb"},
            "orin-1 is in groups with different profiles (orins jetson-orin-nx-16gb and lab t4-16gb); say it of",
        ),
    ],
)
def test_a_profile_that_is_not_known(profile: str | None, of: dict[str, str], says: str) -> None:
    def take() -> None:
        importing.check_profiles(HOSTS, profile, of)
        importing.entries(HOSTS, profile, of)

    with pytest.raises(ConfigError) as caught:
        take()
    assert says in str(caught.value)


def test_nobody_left_to_import() -> None:
    with pytest.raises(ConfigError, match="no host is left to import"):
        importing.entries(HOSTS[3:], "t4-16gb", {})
    with pytest.raises(ConfigError, match="there is no host in it"):
        importing.entries([], "t4-16gb", {})


def test_what_is_not_taken_over_is_one_line_each() -> None:
    hosts = [Host(f"h{index}", notes=("no secret is taken over",)) for index in range(8)]
    assert importing.told([*HOSTS, *hosts]) == [
        "dgx, h0, h1, h2, h3 and 4 more: no secret is taken over",
        "win: left out, as its connection is winrm, not SSH",
    ]


def test_what_is_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    odd = 'C:\\keys\\"id"\t\u00e9\x7f'
    text = importing.render(
        [Entry("a.b", {"profile": "t4-16gb", "key": f"/{odd}", "tags": ("x", "y")})], Path("i\n.ini")
    )
    (tmp_path / "fleet.toml").write_text(text)
    device = load_fleet(tmp_path / "fleet.toml").devices["a.b"]
    assert (device.host, device.key, device.tags) == ("a.b", Path(f"/{odd}"), ("x", "y"))


def test_a_fleet_file_keeps_what_it_has(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    before = (
        '# ours\n[defaults]\nuser = "nvidia"  # on all\n'
        '[devices]\nnano.profile = "jetson-orin-nano-8gb"\n[groups]\nsite = "nano"'
    )
    file.write_text(before)
    file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    importing.add(importing.render([ENTRY], Path("hosts.ini")), [ENTRY], link)
    assert file.read_text() == (
        before + '\n\n# From "hosts.ini"\n\n[devices.dgx]\nprofile = "a100-80gb"\nuser = "root"\n'
    )
    assert (link.is_symlink(), file.stat().st_mode & 0o777) == (True, 0o640)
    assert [device.name for device in load_fleet(file).declared] == ["nano", "dgx"]


def test_without_a_fleet_file_there_is_one_then(tmp_path: Path) -> None:
    importing.add(importing.render([ENTRY], Path("hosts.ini")), [ENTRY], tmp_path / "fleet.toml")
    assert load_fleet(tmp_path / "fleet.toml").devices["dgx"].user == "root"
    assert list(tmp_path.iterdir()) == [tmp_path / "fleet.toml"]


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ('[devices.dgx]\nprofile = "t4-16gb"\n', "has dgx already; take them out there, or choose others with --only"),
        ('devices = {nano = {profile = "t4-16gb"}}\n', "not valid TOML"),
        ('[groups]\nlab = "all"\n', "key 'groups.lab': the group name 'lab' is that of a tag"),
        ("[devices\n", "not valid TOML"),
    ],
)
def test_a_file_that_would_be_refused_is_left_alone(tmp_path: Path, before: str, says: str) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(before)
    entry = Entry("dgx", {"profile": "a100-80gb", "tags": ("lab",)})
    with pytest.raises(ConfigError) as caught:
        importing.add(importing.render([entry], Path("hosts.ini")), [entry], file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(file))
    assert (file.read_text(), list(tmp_path.iterdir())) == (before, [file])


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        importing.add("", [], tmp_path / "no" / "fleet.toml")
