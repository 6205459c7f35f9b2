"""edgebench devices import: inventories that the real ansible-inventory reads, and ~/.ssh/config."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.inventory import ansible
from tests.operator import Operator

INI = """
[all:vars]
ansible_user=nvidia
domain=lab.example

[orins]
orin-1 ansible_host=10.0.0.21 ansible_port=2222
orin-2 ansible_host="{{ inventory_hostname }}.{{ domain }}"

[gpus]
dgx-[1:2]

[lab:children]
orins
gpus

[others]
win ansible_connection=winrm
"""
YAML = """
all:
  vars: {ansible_user: nvidia}
  children:
    orins:
      hosts:
        orin-1: {ansible_host: 10.0.0.21}
"""
PROFILES = ("--profile-of", "orins=jetson-agx-orin-64gb", "--profile", "a100-80gb")


@pytest.fixture
def inventory(operator: Operator) -> Path:
    """hosts.ini with variables in folders beside it, as Ansible has them."""
    if ansible.program() is None:
        pytest.skip("no ansible-inventory here (pip install ansible-core)")
    files = {
        "hosts.ini": INI,
        "group_vars/gpus.yml": "ansible_ssh_common_args: '-o ProxyCommand=\"ssh -W %h:%p -q ops@bastion.example\"'\n"
        "ansible_become: true\nansible_password: hunter2\n",
        "host_vars/dgx-2.yml": "ansible_user: root\nansible_python_interpreter: /opt/python\n",
    }
    for name, text in files.items():
        (operator.home / name).parent.mkdir(exist_ok=True)
        (operator.home / name).write_text(text)
    return operator.home / "hosts.ini"


def test_an_inventory_becomes_entries(operator: Operator, inventory: Path) -> None:
    answer = operator.run("devices", "import", "hosts.ini", *PROFILES, "--write", "fleet.toml")
    assert answer.code == 0, answer.err
    assert answer.out == "fleet.toml: 4 devices added; next: edgebench devices trust all\n"
    assert answer.err.splitlines() == [
        "dgx-1, dgx-2: no secret is taken over (ansible_password): edgebench logs in by key",
        "dgx-1, dgx-2: no privilege is asked for (ansible_become)",
        "win: left out, as its connection is winrm, not SSH",
    ]
    listed = operator.run("devices", "list", "lab", "--json").json["devices"]
    assert [(each["name"], each["address"], each["profile"], each["tags"]) for each in listed] == [
        ("dgx-1", "nvidia@dgx-1", "a100-80gb", ["gpus", "lab"]),
        ("dgx-2", "root@dgx-2", "a100-80gb", ["gpus", "lab"]),
        ("orin-1", "nvidia@10.0.0.21:2222", "jetson-agx-orin-64gb", ["lab", "orins"]),
        ("orin-2", "nvidia@orin-2.lab.example", "jetson-agx-orin-64gb", ["lab", "orins"]),
    ]
    again = operator.run("devices", "import", "hosts.ini", *PROFILES, "--write", "fleet.toml")
    assert (again.code, again.out) == (2, "")
    assert "fleet.toml: has dgx-1, dgx-2, orin-1, orin-2 already; take them out" in again.err


def test_without_write_they_are_printed(operator: Operator, inventory: Path) -> None:
    before = operator.files()
    answer = operator.run("devices", "import", "hosts.ini", *PROFILES, "--only", "dgx-2")
    assert answer.code == 0, answer.err
    assert answer.out == (
        '# From "hosts.ini"\n\n[devices.dgx-2]\nprofile = "a100-80gb"\nuser = "root"\n'
        'gateway = "ops@bastion.example"\npython = "/opt/python"\ntags = ["gpus", "lab"]\n'
    )
    assert operator.run("devices", "import", "hosts.ini", *PROFILES, "--only", "dgx-2", "--json").json == {
        "devices": ["dgx-2"],
        "file": None,
        "toml": answer.out,
        "not_taken": answer.err.splitlines(),
    }
    assert {name for name in operator.files() - before if not name.startswith(".ansible")} == set()


def test_yaml_and_what_the_program_prints_of_it(operator: Operator, inventory: Path) -> None:
    (operator.home / "hosts.yml").write_text(YAML)
    program = str(ansible.program())
    listed = subprocess.run([program, "-i", "hosts.yml", "--list"], cwd=operator.home, capture_output=True, check=True)
    (operator.home / "hosts.json").write_bytes(listed.stdout)
    entries = []
    for name in ("hosts.yml", "hosts.json"):
        answer = operator.run("devices", "import", name, *PROFILES)
        assert (answer.code, answer.err) == (0, "")
        entries.append(answer.out.partition("\n")[2])
    assert entries[0] == entries[1]
    assert 'user = "nvidia"' in entries[0]


def test_what_ansible_cannot_read_is_said_in_its_words(operator: Operator, inventory: Path) -> None:
    inventory.write_text("[orins\norin-1\n")
    answer = operator.run("devices", "import", "hosts.ini", *PROFILES)
    assert (answer.code, answer.out) == (2, "")
    assert len(answer.err.splitlines()) == 1
    assert "hosts.ini: ansible-inventory cannot read it (Failed to parse inventory" in answer.err


def test_a_vault_that_nobody_opens_is_said(operator: Operator, inventory: Path) -> None:
    vault = shutil.which("ansible-vault", path=f"{Path(str(ansible.program())).parent}:{os.environ['PATH']}")
    (operator.home / "secret").write_text("open\n")
    secrets = operator.home / "group_vars" / "orins.yml"
    secrets.write_text("ansible_user: hidden\n")
    subprocess.run([str(vault), "encrypt", "--vault-password-file", "secret", secrets], cwd=operator.home, check=True)
    closed = operator.run("devices", "import", "hosts.ini", *PROFILES)
    assert (closed.code, closed.out) == (2, "")
    assert "vault" in closed.err
    (operator.home / "ansible.cfg").write_text("[defaults]\nvault_password_file = secret\n")
    opened = operator.run("devices", "import", "hosts.ini", *PROFILES, "--only", "orin-1")
    assert opened.code == 0, opened.err
    assert 'user = "hidden"' in opened.out


@pytest.fixture
def ssh_folder(operator: Operator) -> Path:
    folder = operator.home / ".ssh"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "site").write_text("Host orin-1 orin-2\n  ProxyJump bastion\n")
    (folder / "config").write_text("Include conf.d/*\nHost bastion orin\n  User ops\nHost *\n  User me\n")
    return folder


def test_the_aliases_of_the_ssh_config_become_entries(operator: Operator, ssh_folder: Path) -> None:
    answer = operator.run(
        "devices",
        "import",
        "~/.ssh/config",
        "--only",
        "orin*",
        "--profile",
        "jetson-orin-nano-8gb",
        "--write",
        "f.toml",
    )
    assert answer.code == 0, answer.err
    assert answer.err == "orin: left out, as its name is that of a family, which selectors use\n"
    assert answer.out == "f.toml: 2 devices added; next: edgebench devices trust all --fleet f.toml\n"
    assert (operator.home / "f.toml").read_text() == (
        '# From "~/.ssh/config"\n\n[devices.orin-1]\nprofile = "jetson-orin-nano-8gb"\n\n'
        '[devices.orin-2]\nprofile = "jetson-orin-nano-8gb"\n'
    )


def test_a_config_that_ssh_does_not_look_into_is_refused(operator: Operator, ssh_folder: Path) -> None:
    (operator.home / "team").write_text("Host nano-1\n  User nvidia\n")
    answer = operator.run("devices", "import", "team", "--profile", "t4-16gb")
    assert (answer.code, answer.out) == (2, "")
    assert "team: ~/.ssh/config does not know nano-1; begin ~/.ssh/config with: Include /" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.ini"], "nothing.ini: cannot be read (No such file or directory)"),
        ([".ssh/config"], "--profile: nobody says the profile of orin-1, orin-2, bastion; --profile NAME"),
        ([".ssh/config", "--profile", "t5"], "--profile: unknown device profile 't5'"),
        ([".ssh/config", "--profile-of", "x"], "--profile-of: 'x' is not GROUP=NAME"),
        ([".ssh/config", "--only", "nano"], "--only: no host and no group fits 'nano'; hosts: orin-1"),
    ],
)
def test_what_is_refused(operator: Operator, ssh_folder: Path, arguments: list[str], said: str) -> None:
    answer = operator.run("devices", "import", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err.splitlines()[-1]
