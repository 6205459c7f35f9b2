"""What `ansible-inventory --list` prints, as hosts in fleet.toml's words. The real program: tests/e2e."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.inventory import ansible
from edge.inventory.importing import Host
from profiles.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def host(folder: Path, name: str = "a", **variables: Any) -> Host:
    """The one host of an inventory, with these variables."""
    (found,) = inventory(folder, {"_meta": {"hostvars": {name: variables}}, "site": {"hosts": [name]}})
    return found


def inventory(folder: Path, data: Any) -> tuple[Host, ...]:
    path = folder / "list.json"
    path.write_text(json.dumps(data))
    return ansible.read(path)


def test_what_is_taken_over(folder: Path) -> None:
    found = host(
        folder, ansible_host="10.0.0.21", ansible_port="2222", ansible_user="nvidia",
        ansible_ssh_private_key_file="keys/id", ansible_python_interpreter="/usr/bin/python3.10",
        ansible_ssh_common_args="-J ops@bastion -o UserKnownHostsFile=~/known", unlike_any_other=[1],
    )  # fmt: skip
    assert found.keys == {
        "host": "10.0.0.21", "port": 2222, "user": "nvidia", "key": str(folder / "keys/id"),
        "python": "/usr/bin/python3.10", "gateway": "ops@bastion", "known_hosts": "~/known",
    }  # fmt: skip
    assert (found.name, found.groups, found.notes, found.left_out) == ("a", ("site",), (), "")


def test_a_name_alone_is_a_host(folder: Path) -> None:
    assert host(folder) == Host("a", groups=("site",))


def test_older_names_and_ssh_s_own_arguments(folder: Path) -> None:
    found = host(
        folder, ansible_ssh_host="h", ansible_ssh_user="u", ansible_ssh_port=23,
        ansible_python_interpreter="auto_silent",
        ansible_ssh_extra_args="-o User=other -i ~/.ssh/k", ansible_ssh_args="-C -o ControlMaster=auto",
    )  # fmt: skip
    assert found.keys == {"host": "h", "user": "u", "port": 23, "key": "~/.ssh/k"}
    assert found.notes == ()


def test_plain_variables_in_variables_are_filled_in(folder: Path) -> None:
    found = host(
        folder, name="orin-1.lab", ansible_host="{{ inventory_hostname_short }}.{{domain}}",
        domain="{{ site }}.example", site="s1",
        ansible_user={"__ansible_unsafe": "me"}, ansible_ssh_common_args="-J {{ way }}", way="ops@b",
    )  # fmt: skip
    assert found.keys == {"host": "orin-1.s1.example", "user": "me", "gateway": "ops@b"}


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"ansible_connection": "local"}, "its connection is local: this machine is the device `local`"),
        ({"ansible_connection": "winrm"}, "its connection is winrm, not SSH"),
        ({"ansible_host": "{{ hostvars['x'].ip }}"}, "its ansible_host is a template that only Ansible fills in"),
        ({"ansible_host": "{{ a }}", "a": "{{ b }}", "b": "{{ a }}"}, "its ansible_host is a template"),
        ({"ansible_host": {"__ansible_vault": "$ANSIBLE"}}, "its ansible_host is encrypted, or no text"),
        ({"ansible_port": "ssh"}, "its port is 'ssh'"),
        ({"ansible_ssh_common_args": "-J {{ lookup('x') }}"}, "its ansible_ssh_common_args is a template"),
    ],
)
def test_who_is_left_out(folder: Path, variables: dict[str, Any], why: str) -> None:
    assert host(folder, **variables).left_out.startswith(why)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("orin", "its name is that of a family, which selectors use"),
        ("t4-16gb", "its name is that of a profile"),
        ("local", "its name cannot be that of a device"),
        ("a b", "its name cannot be that of a device"),
    ],
)
def test_a_name_that_no_device_can_have(folder: Path, name: str, why: str) -> None:
    assert host(folder, name=name).left_out.startswith(why)


@pytest.mark.parametrize(
    ("variables", "note"),
    [
        ({"ansible_password": "hunter2"}, "no secret is taken over (ansible_password): edgebench logs in by key"),
        ({"ansible_ssh_pass": "hunter2"}, "no secret is taken over (ansible_ssh_pass)"),
        ({"ansible_become_password": "hunter2"}, "no secret is taken over (ansible_become_password)"),
        ({"ansible_ssh_private_key": "hunter2"}, "no secret is taken over (ansible_ssh_private_key)"),
        (
            {"ansible_become": True, "ansible_become_user": "root"},
            "no privilege is asked for (ansible_become, ansible_b",
        ),
        ({"ansible_pipelining": True}, "ansible_pipelining means nothing here"),
        ({"ansible_ssh_common_args": "-o StrictHostKeyChecking=no"}, "host keys are checked all the same"),
        ({"ansible_ssh_common_args": "-o UserKnownHostsFile=/dev/null"}, "host keys are checked all the same"),
        ({"ansible_ssh_common_args": "-o Ciphers=aes"}, "its ssh option ciphers belongs into ~/.ssh/config"),
        ({"ansible_ssh_common_args": "-o"}, "its ssh arguments are not understood (option -o requires argument)"),
        (
            {"ansible_ssh_common_args": "-o ProxyCommand='nc %h %p'"},
            "its gateway belongs into ~/.ssh/config or a table",
        ),
        ({"ansible_ssh_private_key_file": "{{ playbook_dir }}/k"}, "its ansible_ssh_private_key_file is a template"),
    ],
)
def test_what_cannot_be_taken_over_is_noted(folder: Path, variables: dict[str, Any], note: str) -> None:
    found = host(folder, **variables)
    assert found.notes[0].startswith(note)
    assert (len(found.notes), found.left_out, found.keys) == (1, "", {})
    assert "hunter2" not in repr(found)


def test_groups_and_those_that_have_them_as_children_are_tags(folder: Path) -> None:
    found = inventory(
        folder,
        {
            "_meta": {"hostvars": {"b": {}}},
            "all": {"children": ["ungrouped", "lab"]},
            "ungrouped": {"hosts": ["alone"]},
            "lab": {"children": ["racks", "missing"]},
            "racks": {"children": ["rack_1", "lab"], "hosts": ["b"]},
            "rack_1": {"hosts": ["a", "b"]},
            "a": {"hosts": ["a"]},
            "or": {"hosts": ["b"]},
        },
    )
    assert {each.name: each.groups for each in found} == {
        "b": ("lab", "rack_1", "racks"),
        "a": ("lab", "rack_1", "racks"),
        "alone": (),
    }
    assert [each.notes for each in found] == [
        ("its group or cannot be a tag",),
        (),
        ("its group a cannot be a tag",),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"_meta": 3}, "is not what ansible-inventory --list prints"),
        ({"_meta": {"hostvars": {"a": 3}}}, "key '_meta.hostvars.a': expected a table, got 3"),
        ({"_meta": {}, "site": {"hosts": {"a": {}}}}, "key 'site.hosts': expected a list"),
        ({"_meta": {}, "site": {"hosts": [3]}}, "key 'site.hosts[0]': expected text"),
        ({"_meta": {}, "site": {"vars": {"x": 1}}}, "has variables of groups, which nobody has given to the hosts yet"),
    ],
)
def test_what_is_no_answer_of_the_program(folder: Path, data: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inventory(folder, data)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(folder / "list.json"))


def test_without_the_program_it_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    (folder / "hosts.ini").write_text("[site]\na\n")
    with pytest.raises(ConfigError, match="pip install ansible-core; or give what `ansible-inventory -i"):
        ansible.read(folder / "hosts.ini")
