"""How a device is reached: fleet.toml first, then ~/.ssh/config, then OpenSSH's defaults."""

from __future__ import annotations

import getpass
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.inventory import client_config
from edge.inventory.devices import Device
from edge.inventory.hops import Hop
from edge.places import Places
from edge.transport.ssh import Endpoint, resolve
from profiles.errors import ConfigError
from profiles.load import device_profile

DEVICE = Device("orin-1", "orin", device_profile("jetson-agx-orin-64gb"))
PLACES = Places(Path("/c"), Path("/a"), Path("/r"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def reached(home: Path, config: str, device: Device = DEVICE) -> Endpoint:
    (home / ".ssh" / "config").write_text(config)
    return resolve(device, PLACES)


def test_without_a_config(home: Path) -> None:
    (home / ".ssh" / "id_ed25519").touch()
    endpoint = resolve(DEVICE, PLACES)
    assert (endpoint.host, endpoint.port, endpoint.user) == ("orin", 22, getpass.getuser())
    assert (endpoint.keys, endpoint.own_keys) == ((home / ".ssh" / "id_ed25519",), False)
    assert endpoint.known_hosts[:2] == (home / ".ssh" / "known_hosts", PLACES.known_hosts)
    assert endpoint.trust_file == PLACES.known_hosts
    assert endpoint.host_key_name == "orin"


def test_an_alias_of_the_config(home: Path) -> None:
    endpoint = reached(
        home,
        "Host orin\n HostName 10.0.0.21\n Port 2222\n User nvidia\n IdentityFile ~/.ssh/lab\n"
        " UserKnownHostsFile ~/kh1 ~/kh2\n ConnectTimeout 3\n IdentitiesOnly yes\nHost *\n User nobody\n",
    )
    assert endpoint.where == "orin-1 (nvidia@10.0.0.21:2222)"
    assert (endpoint.keys, endpoint.own_keys, endpoint.agent_only_for_keys) == ((home / ".ssh" / "lab",), True, True)
    assert endpoint.known_hosts[:3] == (home / "kh1", home / "kh2", PLACES.known_hosts)
    assert (endpoint.connect_timeout, endpoint.host_key_name) == (3.0, "[10.0.0.21]:2222")


def test_the_fleet_file_wins(home: Path) -> None:
    device = replace(DEVICE, user="me", port=22, key=Path("/k"), known_hosts=Path("/kh"))
    endpoint = reached(home, "Host orin\n Port 2222\n User nvidia\n IdentityFile ~/.ssh/lab\n", device)
    assert (endpoint.user, endpoint.port, endpoint.keys) == ("me", 22, (Path("/k"),))
    assert (endpoint.known_hosts, endpoint.trust_file) == ((Path("/kh"),), Path("/kh"))


def test_an_alias_for_host_keys(home: Path) -> None:
    assert reached(home, "Host orin\n HostKeyAlias Bench\n Port 2222\n").host_key_name == "bench"


def test_included_files(home: Path) -> None:
    (home / ".ssh" / "conf.d").mkdir()
    (home / ".ssh" / "conf.d" / "a.conf").write_text("Host orin\n User from-include\n")
    (home / ".ssh" / "conf.d" / "b.conf").write_text("Host other\n Port 99\n")
    endpoint = reached(home, "Include conf.d/*.conf\nPort 2222\nHost orin\n User late\n")
    assert (endpoint.user, endpoint.port) == ("from-include", 2222)


def told_by_ssh_in(home: Path, config: str) -> dict[str, list[str]]:
    """`ssh -G` of the same: what OpenSSH makes of it. It goes by the account's home and not by HOME."""
    mine = home / "config"
    mine.write_text(re.sub(r"^(\s*Include )", rf"\1{home}/.ssh/", config, flags=re.MULTILINE))
    for file in (home / ".ssh").rglob("*"):
        if file.is_file() and file.name != "config":
            file.write_text(re.sub(r"^(\s*Include )(?!/)", rf"\1{home}/.ssh/", file.read_text(), flags=re.MULTILINE))
    argv = ["ssh", "-F", str(mine), "-G", "orin"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    found: dict[str, list[str]] = {}
    for line in told.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize(
    "config",
    [
        "Host orin # the one in rack 3\n HostName 10.0.0.21 # rack 3\n Port 2222\t# nat\n",
        "Host orin\n HostName 10.0.0.21\n User a#b\nMatch host 10.0.0.21 # lab\n Port 2222\n",
        "Include extra # all of them\nHost *\n Port 7\n",
        "Host elsewhere\n Include everywhere\nHost *\n Port 7\n",
        "Match host elsewhere\n Include everywhere\nHost *\n Port 7\n",
        "Host ori?\n Include everywhere\n HostName 10.0.0.22\n",
        "Host ori?\n Include nested\n User late\nHost *\n HostName 10.0.0.23\n",
        "Include teams/*/config\n",
        "Match final all\n Port 2222\n",
        "Match canonical all\n Port 2222\n",
        "CanonicalizeHostname yes\nHost orin\n Port 2222\n",
        'HostName = "10.0.0.21"\nPort=2222\n',
    ],
)
def test_is_read_as_openssh_reads_it(home: Path, config: str) -> None:
    """Comments behind values, and includes within blocks and folders."""
    files = {
        "extra": "Host orin # it\n Port 2222\n User extra\n", "everywhere": "Port 99\nHost *\n User labuser\n",
        "nested": "Include everywhere\nHost other\n Include extra\n HostName 10.0.0.24\n",
        "teams/a/config": "Host orin\n HostName 10.9.9.9\n", "teams/b/config": "Host *\n Port 8\n",
        "teams/.hidden/config": "Host *\n User hidden\n",
    }  # fmt: skip
    for name, text in files.items():
        (home / ".ssh" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / ".ssh" / name).write_text(text)
    endpoint, ssh = reached(home, config), told_by_ssh_in(home, config)
    assert (endpoint.host, str(endpoint.port), endpoint.user) == (ssh["hostname"][0], ssh["port"][0], ssh["user"][0])


@pytest.mark.parametrize(
    "config",
    [
        "Host orin\n ProxyCommand none\nHost *\n ProxyJump gate\n",
        "Host orin\n ProxyCommand nc %h %p\nHost *\n ProxyJump gate\n",
        "Host orin\n ProxyJump none\nHost *\n ProxyCommand nc %h %p\n",
        "Host orin\n ProxyJump gate\nHost *\n ProxyCommand nc %h %p\n",
        "Host orin gate\n ProxyCommand none\nHost *\n ProxyJump gate\n",
    ],
)
def test_of_a_jump_and_a_command_the_first_counts(home: Path, config: str) -> None:
    endpoint, ssh = reached(home, config), told_by_ssh_in(home, config)
    assert (endpoint.via.host if endpoint.via else None) == ssh.get("proxyjump", [None])[0]
    wanted = ssh.get("proxycommand", [None])[0]
    assert endpoint.proxy_command == (wanted and wanted.replace("%h", "orin").replace("%p", "22"))


def test_files_are_named_with_placeholders_variables_and_quotes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    endpoint = reached(
        home,
        'Host orin\n Port 2222\n IdentityFile ${KEYS}/%n.%p\n IdentityFile "~/my keys/id"\n IdentitiesOnly true\n'
        ' CertificateFile %d/one-cert.pub\n UserKnownHostsFile "~/my kh" ~/kh2\n ConnectTimeout 1m30s\n'
        "Host *\n CertificateFile ~/two-cert.pub\n UserKnownHostsFile ~/late\n",
    )
    assert endpoint.keys == (Path("/keys/orin.2222"), home / "my keys" / "id")
    assert endpoint.certificates == (home / "one-cert.pub", home / "two-cert.pub")
    assert endpoint.known_hosts[:3] == (home / "my kh", home / "kh2", PLACES.known_hosts)
    assert (endpoint.agent_only_for_keys, endpoint.connect_timeout) == (True, 90.0)


def test_no_key_file_is_no_key_file(home: Path) -> None:
    (home / ".ssh" / "id_ed25519").touch()
    endpoint = reached(home, "Host orin\n IdentityFile none\n CertificateFile none\n")
    assert (endpoint.keys, endpoint.certificates) == ((), ())


def test_an_include_in_a_block_keeps_its_condition(home: Path) -> None:
    (home / ".ssh" / "extra").write_text("Port 99\n")
    config = "Host other\n Include extra\n User nobody\nHost orin\n User nvidia\n"
    assert reached(home, config).port == 22
    assert reached(home, config).user == "nvidia"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("Host orin\n ProxyJump gate:ssh\n", "'gate:ssh' is no [user@]host[:port]"),
        ("Host orin\n ProxyJump one\nHost one\n ProxyJump two\nHost two\n ProxyJump one\n", "without end"),
        ("Host orin\n Port many\n", "port 'many' is no number"),
        ("Host orin\n UserKnownHostsFile %C/kh\n", "placeholder"),
        ('Host orin\n UserKnownHostsFile "kh\n', "No closing quotation"),
        ("Host orin\n IdentityFile ${EDGEBENCH_NO_SUCH}/k\n", "the variable EDGEBENCH_NO_SUCH is not set"),
        ("Host orin\n ConnectTimeout soon\n", "'soon' is no time; write 15, or 1m30s"),
        ("Host orin\n CanonicalizeMaxDots few\n", "cannot be applied to orin"),
        ("Include config\n", "includes itself"),
        ("gibberish\n", "cannot be understood"),
        ("Match localnetwork 10.0.0.0/8\n Port 2222\n", "Match localnetwork is not supported, only all, canonical"),
        ("Match host\n Port 2222\n", "host of what?"),
        ("Match exec 'exec sleep 60'\n Port 2222\n", "Match exec 'exec sleep 60' did not end within 0.3 s"),
    ],
)
def test_what_cannot_be_done_is_said(home: Path, config: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_config, "EXEC_S", 0.3)
    with pytest.raises(ConfigError) as caught:
        reached(home, config)
    assert says in str(caught.value)
    assert str(home / ".ssh" / "config") in caught.value.where


@pytest.mark.parametrize(
    ("block", "applies"),
    [
        ("Match host 10.0.0.*", True),
        ("Match host orin", False),
        ("Match originalhost orin", True),
        ("match Host=10.0.0.21 OriginalHost=o*", True),
        ("Match host 10.0.0.21,!10.0.0.*", False),
        ("Match !host 10.0.0.9", True),
        ("Match user nvidia", True),
        ("Match user somebody", False),
        ("Match all", True),
        ("Match final", False),
        ("Match exec true", True),
        ("Match exec false", False),
        ("Match !exec false", True),
        ("Match !exec true", False),
        ("Match host 10.0.0.21 exec true", True),
        ('Match exec "test %h:%n:%r:%p = 10.0.0.21:orin:nvidia:22"', True),
        ('Match exec "! read line"', True),
        ("Match exec true user somebody", False),
    ],
)
def test_match_blocks(home: Path, block: str, applies: bool) -> None:
    """Each as OpenSSH 9 takes it: `ssh -G nvidia@orin`."""
    config = f"Host orin\n HostName 10.0.0.21\n{block}\n  Port 2222\nHost *\n Port 22\n"
    device = replace(DEVICE, user="nvidia")
    assert reached(home, config, device).port == (2222 if applies else 22)
    argv = ["ssh", "-F", str(home / ".ssh" / "config"), "-G", "nvidia@orin"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    assert f"port {2222 if applies else 22}\n" in told


def test_match_user_is_about_whom_the_config_names(home: Path) -> None:
    config = "Host orin\n User nvidia\nMatch user nvidia\n Port 2222\n"
    assert reached(home, config).port == 2222
    assert reached(home, config, replace(DEVICE, user="other")).port == 22


def test_a_command_of_match_is_run_only_where_what_stands_before_it_holds(home: Path) -> None:
    ran = home / "ran"
    reached(home, f"Match host elsewhere exec 'touch {ran}'\n Port 2222\n")
    assert not ran.exists()
    assert reached(home, f"Match originalhost orin exec 'touch {ran}'\n Port 2222\n").port == 2222
    assert ran.exists()


@pytest.mark.parametrize("value", ["none", "NONE"])
@pytest.mark.parametrize("option", ["ProxyJump", "ProxyCommand"])
def test_no_proxy_is_no_proxy(home: Path, option: str, value: str) -> None:
    endpoint = reached(home, f"Host orin\n {option} {value}\n")
    assert (endpoint.host, endpoint.via, endpoint.proxy_command) == ("orin", None, None)


def test_a_chain_of_jumps(home: Path) -> None:
    """The first by what the config says of it; the others through the one before, whatever the config says."""
    endpoint = reached(
        home,
        "Host orin\n ProxyJump me@one:2201,two\n"
        "Host one\n HostName one.example\n ProxyJump zero\n User other\n"
        "Host two\n HostName two.example\n ProxyJump elsewhere\n Port 2202\n User you\n",
    )
    two = endpoint.via
    assert two is not None
    assert two.where == "gateway two (you@two.example:2202)"
    one = two.via
    assert one is not None
    assert one.address == "me@one.example:2201"
    assert one.via is not None
    assert (one.via.host, one.via.via) == ("zero", None)


def test_a_proxy_command_is_filled_in(home: Path) -> None:
    endpoint = reached(home, "Host orin\n HostName 10.0.0.21\n Port 2222\n ProxyCommand nc -X connect %h %p\n")
    assert (endpoint.proxy_command, endpoint.via) == ("nc -X connect 10.0.0.21 2222", None)


def test_gateways_of_the_fleet_file_win(home: Path) -> None:
    config = "Host orin\n ProxyJump gate\nHost site\n User me\n"
    assert reached(home, config).via is not None
    assert reached(home, config, replace(DEVICE, gateways=())).via is None
    hop = Hop("site", port=2222, key=Path("/k"), known_hosts=Path("/kh"))
    via = reached(home, config, replace(DEVICE, gateways=(hop,))).via
    assert via is not None
    assert (via.address, via.keys, via.known_hosts) == ("me@site:2222", (Path("/k"),), (Path("/kh"),))


def test_certificates_for_the_login(home: Path) -> None:
    endpoint = reached(home, "Host orin\n CertificateFile ~/.ssh/board-cert.pub\n")
    assert endpoint.certificates == (home / ".ssh" / "board-cert.pub",)


def test_paramiko_is_not_imported_before_it_is_needed() -> None:
    code = "import edge.transport.ssh, sys; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
