"""Groups and hosts of ~/.ssh/config in the commands that take devices."""

from __future__ import annotations

from collections.abc import Callable

from tests.operator import Operator
from tests.ssh.sshd import Sshd

FLEET = """
[devices.nano]
profile = "jetson-orin-nano-8gb"
[devices.dgx]
profile = "a100-80gb"
[groups]
site = ["dgx", "orin"]
far = "t4"
"""


def test_devices_list_shows_groups(operator: Operator) -> None:
    (operator.home / "fleet.toml").write_text(FLEET)
    shown = operator.run("devices", "list")
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[-2:] == ["group site: nano, dgx", "group far: nobody"]
    listed = operator.run("devices", "list", "site and orin", "--json").json
    assert [device["name"] for device in listed["devices"]] == ["nano"]
    assert listed["groups"] == {"site": ["nano", "dgx"]}


def test_one_device_is_pulled_from(operator: Operator) -> None:
    (operator.home / "fleet.toml").write_text(FLEET)
    answer = operator.run("engines", "pull", "abc", "--device", "site", "--out", "out")
    assert answer.code == 2
    assert answer.err == "edgebench: --device: site stands for 2 devices; name the one to pull from\n"


def test_a_host_of_the_ssh_config_needs_no_fleet_file(operator: Operator, start_sshd: Callable[..., Sshd]) -> None:
    server = start_sshd()
    write_config(operator, server)
    answer = operator.run("devices", "probe", "board=local", "--json")
    assert answer.code == 0, answer.err
    probe = answer.json["devices"]["board"]["probe"]
    assert probe["workdir"].startswith(str(server.home))
    assert operator.files() == {".ssh/config"}


def test_init_takes_a_host_as_ssh_knows_it(operator: Operator, start_sshd: Callable[..., Sshd]) -> None:
    write_config(operator, start_sshd())
    answer = operator.run("init", "board=local")
    assert answer.code == 0, answer.err
    assert answer.out.splitlines()[:3] == ["wrote fleet.toml", "wrote sweep.toml", "board: reached"]
    assert (operator.home / "fleet.toml").read_text().endswith('\n[devices.board]\nprofile = "local"\n')
    (operator.home / "fleet.toml").unlink()
    twice = operator.run("init", "board=local", "board=t4-16gb@10.0.0.1")
    assert (twice.code, twice.err) == (2, "edgebench: HOST: board is named twice; each name once\n")
    assert operator.files() == {".ssh/config", "sweep.toml"}


def write_config(operator: Operator, server: Sshd) -> None:
    folder = operator.home / ".ssh"
    folder.mkdir()
    (folder / "config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n  IdentityFile {server.key}\n"
        f"  UserKnownHostsFile {server.known_hosts}\n"
    )
