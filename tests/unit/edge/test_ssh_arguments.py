"""Arguments of ssh as inventories hold them, and the gateway that they lead through."""

from __future__ import annotations

import pytest

from edge.inventory.ssh_arguments import gateway, read_arguments


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("-J ops@bastion", {"proxyjump": "ops@bastion"}),
        ("-Jbastion -q", {"proxyjump": "bastion"}),
        ("-o ProxyJump=a,b -oPort=23", {"proxyjump": "a,b", "port": "23"}),
        ("-o 'ProxyJump bastion' -o Port=1 -o Port=2", {"proxyjump": "bastion", "port": "1"}),
        ('-o IdentityFile="~/.ssh/a key" -i other', {"identityfile": "~/.ssh/a key"}),
        ("-C -o ControlMaster=auto -L 1:h:2", {"controlmaster": "auto", "-L": "1:h:2"}),
    ],
)
def test_options_by_their_names(text: str, options: dict[str, str]) -> None:
    assert read_arguments(text)[0] == options


@pytest.mark.parametrize("text", ["-o", "-Z", "-o 'ProxyJump=a"])
def test_what_ssh_would_not_understand(text: str) -> None:
    with pytest.raises(ValueError, match=r"option|quotation"):
        read_arguments(text)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("-J bastion", "bastion"),
        ("-J a,ops@b:23", "a,ops@b:23"),
        ("-J none", "none"),
        ("-o ProxyCommand=none", "none"),
        ('-o ProxyCommand="ssh -W %h:%p bastion"', "bastion"),
        ('-o ProxyCommand="/usr/bin/ssh -q -W %h:%p -p 2222 ops@bastion"', "ops@bastion:2222"),
        ('-o ProxyCommand="ssh -l ops bastion -W %h:%p -o StrictHostKeyChecking=no"', "ops@bastion"),
        ('-o ProxyCommand="ssh ops@bastion nc %h %p"', "ops@bastion"),
        ('-J first -o ProxyCommand="ssh -W %h:%p second"', "first"),
        ("-o Port=23", None),
    ],
)
def test_the_gateway(text: str, way: str | None) -> None:
    assert gateway(read_arguments(text)[0]) == way


@pytest.mark.parametrize(
    "command",
    [
        "nc -x proxy:1080 %h %p",
        "ssh -W %h:%p -i key bastion",
        "ssh -W %h:22 bastion",
        "ssh -W %h:%p",
        "ssh bastion nc -w 5 %h %p",
        "ssh -W %h:%p -J outer inner",
        "ssh -W %h:%p 'a b'",
        "ssh",
    ],
)
def test_what_is_more_than_a_gateway(command: str) -> None:
    with pytest.raises(ValueError, match=r"more than a way through one host|is no \[user@\]host"):
        gateway({"proxycommand": command})
