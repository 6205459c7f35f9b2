"""fleet.toml: what it may say, and the sentence for each mistake."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

import pytest

from edge.inventory.fleet_file import load_fleet
from edge.inventory.hops import Hop
from edge.inventory.runtime_keys import ContainerKey
from edge.inventory.selector import select
from profiles.errors import ConfigError


@pytest.fixture
def fleet_file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.toml"


def test_a_whole_file(fleet_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/operator")
    fleet_file.write_text("""
        [defaults]
        user = "nvidia"
        tags = ["lab"]
        key = "~/.ssh/id"
        [devices.orin-lab-1]
        host = "10.0.0.21"
        port = 2222
        known_hosts = "keys/known_hosts"
        profile = "jetson-agx-orin-64gb"
        tags = ["rack-1", "lab"]
        python = "/usr/bin/python3"
        workdir = "/data/eb"
        [devices.gpu]
        profile = "a100-80gb"
        user = "root"
        [deploy]
        models = ["resnet50"]
    """)
    fleet = load_fleet(fleet_file)
    orin, gpu, local = fleet.devices.values()
    assert (orin.name, orin.host, orin.port, orin.user) == ("orin-lab-1", "10.0.0.21", 2222, "nvidia")
    assert (orin.key, orin.known_hosts) == (Path("/home/operator/.ssh/id"), fleet_file.parent / "keys/known_hosts")
    assert (orin.tags, orin.python, orin.workdir) == (("rack-1", "lab"), "/usr/bin/python3", PurePosixPath("/data/eb"))
    assert (orin.family, orin.address, orin.is_local) == ("orin", "nvidia@10.0.0.21:2222", False)
    assert (gpu.host, gpu.user, gpu.port, gpu.tags, gpu.address) == ("gpu", "root", None, ("lab",), "root@gpu")
    assert (local.name, local.tags, local.is_local) == ("local", (), True)
    assert fleet.models == ("resnet50",)
    assert fleet.declared == (orin, gpu)
    assert fleet.source == fleet_file


def test_without_a_file_there_is_this_machine() -> None:
    fleet = load_fleet(None)
    (local,) = fleet.devices.values()
    assert (local.name, local.profile.name, local.python, local.address) == (
        "local",
        "local",
        sys.executable,
        "this machine",
    )
    assert fleet.declared == (local,)


def test_local_may_be_described(fleet_file: Path) -> None:
    fleet_file.write_text('[devices.local]\nprofile = "h100-80gb"\ntags = ["gpu"]\nworkdir = "/scratch/eb"\n')
    fleet = load_fleet(fleet_file)
    local = fleet.devices["local"]
    assert (local.profile.name, local.tags, local.workdir) == ("h100-80gb", ("gpu",), PurePosixPath("/scratch/eb"))
    assert fleet.declared == (local,)


def test_one_device_of_a_profile_may_build_for_the_others(fleet_file: Path) -> None:
    fleet_file.write_text("""
        [defaults]
        profile = "jetson-agx-orin-64gb"
        [devices.orin-1]
        builder = true
        [devices.orin-2]
        [devices.t4-1]
        profile = "t4-16gb"
        builder = true
        [devices.local]
        profile = "h100-80gb"
        builder = true
    """)
    builders = {name: device.builder for name, device in load_fleet(fleet_file).devices.items()}
    assert builders == {"orin-1": True, "orin-2": False, "t4-1": True, "local": True}


def test_a_release_hook_is_a_device_s_own_or_everybody_s_but_local_s(fleet_file: Path) -> None:
    fleet_file.write_text("""
        [defaults]
        profile = "t4-16gb"
        release_hook = ["systemctl", "--user", "restart", "camera"]
        [devices.a]
        [devices.b]
        release_hook = ["/opt/told"]
        [devices.c]
        release_hook = []
    """)
    hooks = {name: device.release_hook for name, device in load_fleet(fleet_file).devices.items()}
    everybody = ("systemctl", "--user", "restart", "camera")
    assert hooks == {"a": everybody, "b": ("/opt/told",), "c": (), "local": ()}


def test_defaults_are_not_for_local(fleet_file: Path) -> None:
    fleet_file.write_text('[defaults]\npython = "/opt/python"\nprofile = "t4-16gb"\n')
    assert load_fleet(fleet_file).devices["local"].python == sys.executable


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[device.a]\nprofile = "local"', "unknown key 'device' (did you mean 'devices'?)"),
        ('[devices.a]\nprofile = "t4-16gb"\nhots = "x"', "key 'devices.a': unknown key 'hots' (did you mean 'host'?)"),
        ('[defaults]\nhost = "x"', "key 'defaults': unknown key 'host'"),
        ('[devices.local]\nhost = "x"', "key 'devices.local': unknown key 'host'"),
        ("[devices.a]", "key 'devices.a': the key 'profile' is missing; known: a100-80gb"),
        ('[devices.a]\nprofile = "orin"', "unknown device profile 'orin'"),
        ('[devices.a]\nprofile = "t4-16gb"\nport = "22"', "key 'devices.a.port': expected an integer"),
        ('[devices.a]\nprofile = "t4-16gb"\nport = 0', "key 'devices.a.port': 0 is not between 1 and 65535"),
        ('[devices.a]\nprofile = "t4-16gb"\nport = true', "key 'devices.a.port': expected an integer"),
        ('[devices.a]\nprofile = "t4-16gb"\nworkdir = "eb"', "key 'devices.a.workdir': 'eb' is not absolute"),
        ('[devices.a]\nprofile = "t4-16gb"\nworkdir = "~/eb"', "is not absolute"),
        ('[devices.a]\nprofile = "t4-16gb"\nworkdir = "/a/../b"', "is not absolute"),
        ('[devices.a]\nprofile = "t4-16gb"\nworkdir = "/"', "is not absolute"),
        ('[devices.a]\nprofile = "t4-16gb"\nhost = "me@x"', "key 'devices.a.host': 'me@x' is no host name"),
        ('[devices.a]\nprofile = "t4-16gb"\nhost = "-oProxyCommand=x"', "is no host name"),
        ('[devices.a]\nprofile = "t4-16gb"\nuser = "-l"', "key 'devices.a.user': '-l' is no user name"),
        ('[devices.a]\nprofile = "t4-16gb"\ntags = "lab"', "key 'devices.a.tags': expected a list"),
        ('[devices.a]\nprofile = "t4-16gb"\ntags = ["not"]', "key 'devices.a.tags': 'not' is no tag"),
        ('[devices.a]\nprofile = "t4-16gb"\ntags = ["two words"]', "is no tag"),
        ('[devices.a]\nprofile = "t4-16gb"\nkey = ""', "key 'devices.a.key': is empty"),
        ('[devices."../a"]\nprofile = "t4-16gb"', "'../a' cannot name a device"),
        ('[devices.all]\nprofile = "t4-16gb"', "'all' cannot name a device"),
        ('[devices."a\\n"]\nprofile = "t4-16gb"', "cannot name a device"),
        ('[devices.orin]\nprofile = "jetson-agx-orin-64gb"', "is that of a profile or family"),
        ("[defaults]\nbuilder = true", "key 'defaults': unknown key 'builder'"),
        ('[devices.a]\nprofile = "t4-16gb"\nbuilder = 1', "key 'devices.a.builder': expected true or false"),
        (
            '[defaults]\nprofile = "t4-16gb"\n[devices.a]\nbuilder = true\n[devices.b]\nbuilder = true',
            "key 'devices.b.builder': a and b, both of profile t4-16gb, have `builder = true`; leave it to one",
        ),
        ('[devices.a]\nprofile = "t4-16gb"\nrelease_hook = "reboot"', "'devices.a.release_hook': expected a list"),
        ('[devices.local]\nrelease_hook = [""]', "key 'devices.local.release_hook': is no command: a program"),
        ('[defaults]\nrelease_hook = ["a\\u0000b"]', "key 'defaults.release_hook': is no command"),
        ("devices = 3", "key 'devices': expected a table"),
        ("[devices]\na = 3", "key 'devices.a': expected a table"),
        ('[deploy]\nmodels = "resnet50"', "key 'deploy.models': expected a list"),
        ("[devices.a", "not valid TOML"),
        (
            '[devices.a]\nprofile = "t4-16gb"\ngateway = "a b"',
            "'devices.a.gateway': 'a b' is no [user@]host[:port]",
        ),
        ('[defaults]\ngateway = "x:0"\n[devices.a]\nprofile = "t4-16gb"', "key 'defaults.gateway': 'x:0' is no"),
        ('[devices.a]\nprofile = "t4-16gb"\nbandwidth = "fast"', "key 'devices.a.bandwidth': 'fast' is no rate; write"),
        ('[defaults]\nbandwidth = "0 MB/s"', "key 'defaults.bandwidth': '0 MB/s' is no rate"),
        ('[devices.a]\nprofile = "t4-16gb"\nmetered = 1', "key 'devices.a.metered': expected true or false"),
        (
            '[defaults]\nmax_bytes = "50"',
            "key 'defaults.max_bytes': '50' is no amount of data; write a number and one of",
        ),
        ('[defaults]\nmax_bytes = "0 MB"', "'0 MB' is no amount of data"),
        ('[defaults]\nserial = "1"', "key 'defaults': unknown key 'serial'"),
        ('[devices.a]\nprofile = "t4-16gb"\nserial = " "', "key 'devices.a.serial': is empty"),
        (
            '[defaults]\nprofile = "t4-16gb"\n[devices.a]\nserial = "x1"\n[devices.b]\nserial = "X1"',
            "key 'devices.b.serial': a and b have the same serial number X1",
        ),
        ('[gateways.s]\nprofile = "t4-16gb"', "key 'gateways.s': unknown key 'profile'"),
        ('[gateways.s]\nhost = "-x"', "key 'gateways.s.host': '-x' is no host name"),
        ('[gateways.s]\ngateway = "t"\n[gateways.t]\ngateway = "s"', "leads to itself"),
        ('[gateways.s]\nhost = "s"\n[devices.a]\nprofile = "t4-16gb"\ngateway = "?"', "; gateways of this file: s"),
    ],
)
def test_a_mistake_names_file_and_key(fleet_file: Path, text: str, says: str) -> None:
    fleet_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_fleet(fleet_file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(fleet_file))


def test_gateways(fleet_file: Path) -> None:
    fleet_file.write_text(
        """
        [gateways.outer]
        host = "bastion.example"
        user = "me"
        [gateways.inner]
        port = 2222
        key = "keys/inner"
        gateway = "outer"
        [defaults]
        profile = "t4-16gb"
        gateway = "inner"
        [devices.a]
        [devices.b]
        gateway = "you@[fe80::1%eth0]:23, outer"
        [devices.c]
        gateway = "none"
        bandwidth = "2.5 Mbit/s"
        """
    )
    devices = load_fleet(fleet_file).devices
    outer = Hop("bastion.example", "me")
    inner = Hop("inner", port=2222, key=fleet_file.parent / "keys" / "inner", gateways=(outer,))
    assert devices["a"].gateways == (inner,)
    assert devices["b"].gateways == (Hop("fe80::1%eth0", "you", 23), outer)
    assert devices["c"].gateways == ()
    assert [devices[name].bandwidth for name in "abc"] == [None, None, 312_500]
    assert devices["local"].gateways is None


def test_what_a_link_costs_and_whose_board_it_is(fleet_file: Path) -> None:
    fleet_file.write_text(
        """
        [defaults]
        profile = "t4-16gb"
        metered = true
        max_bytes = "1.5 GiB"
        [devices.a]
        serial = " 1421523012345 "
        [devices.b]
        metered = false
        max_bytes = "200kB"
        """
    )
    devices = load_fleet(fleet_file).devices
    assert [(d.metered, d.max_bytes, d.serial) for d in devices.values()] == [
        (True, 3 << 29, "1421523012345"),
        (False, 200_000, None),
        (False, None, None),
    ]


def test_a_file_that_is_not_there(fleet_file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_fleet(fleet_file)


def test_where_the_runtime_lives(fleet_file: Path) -> None:
    fleet_file.write_text(
        """
        [defaults]
        profile = "a100-80gb"
        container = { image = "nvcr.io/nvidia/tensorrt:25.08-py3" }
        env = { A = "1", B = "2" }
        [devices.a]
        env = { B = "3" }
        [devices.b]
        container = "none"
        setup = "module load cuda"
        [devices.c]
        container = { image = "own@sha256:00", engine = "podman", args = ["--ipc=host"] }
        [devices.local]
        container = { image = "a:1" }
        """
    )
    a, b, c, local = load_fleet(fleet_file).devices.values()
    assert a.container == ContainerKey("nvcr.io/nvidia/tensorrt:25.08-py3")
    assert (a.env, b.env) == ((("A", "1"), ("B", "3")), (("A", "1"), ("B", "2")))
    assert (b.container, b.setup) == (None, "module load cuda")
    assert c.container == ContainerKey("own@sha256:00", "podman", ("--ipc=host",))
    assert (local.container, local.python) == (ContainerKey("a:1"), None), "its own interpreter is not in there"


class TestGpus:
    def test_each_that_is_listed_is_a_device(self, fleet_file: Path) -> None:
        fleet_file.write_text(
            '[devices.a100-1]\nprofile = "a100-80gb"\ngpus = [0, 3, "MIG-c6d4f1ef"]\nbuilder = true\ntags = ["lab"]\n'
            '[devices.b]\nprofile = "a100-80gb"\n'
        )
        fleet = load_fleet(fleet_file)
        names = ("a100-1:0", "a100-1:3", "a100-1:MIG-c6d4f1ef")
        assert tuple(fleet.devices) == (*names, "b", "local")
        assert [device.gpu for device in fleet.declared] == ["0", "3", "MIG-c6d4f1ef", ""]
        assert {device.host for device in fleet.declared[:3]} == {"a100-1"}
        assert [device.builder for device in fleet.declared[:3]] == [True, False, False]
        assert [device.name for device in select(fleet, "a100-1")] == [*names]
        assert [device.name for device in select(fleet, "a100-1:3")] == ["a100-1:3"]
        assert [device.name for device in select(fleet, "lab and not a100-1:0")] == [*names[1:]]
        assert [device.name for device in fleet.entries()] == ["a100-1:0", "b", "local"]

    def test_all_is_one_device_until_it_is_asked(self, fleet_file: Path) -> None:
        fleet_file.write_text('[devices.a100-1]\nprofile = "a100-80gb"\ngpus = "all"\n[devices.b]\nprofile = "t4-16gb"')
        fleet = load_fleet(fleet_file)
        assert [(device.name, device.all_gpus) for device in fleet.declared] == [("a100-1", True), ("b", False)]
        assert [device.name for device in select(fleet, "a100-1:5")] == ["a100-1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('env = { "A-B" = "1" }', "key 'devices.a.env.A-B': 'A-B' is no name of a variable"),
        ("env = { A = 1 }", "key 'devices.a.env.A': expected text"),
        (
            'env = { CUDA_VISIBLE_DEVICES = "1" }',
            "key 'devices.a.env.CUDA_VISIBLE_DEVICES': says which GPU is used; write",
        ),
        ('setup = " "', "key 'devices.a.setup': is empty"),
        ('container = "ubuntu"', "key 'devices.a.container': expected a table"),
        ("container = {}", "key 'devices.a.container': the key 'image' is missing"),
        ('container = { image = "-v" }', "key 'devices.a.container.image': '-v' is no image"),
        ('container = { image = "a", engine = "lxc" }', "'devices.a.container.engine': unknown engine 'lxc'; allowed"),
        ('container = { image = "a", arg = [] }', "'devices.a.container': unknown key 'arg' (did you mean 'args'?)"),
        ('container = { image = "a", args = "x" }', "key 'devices.a.container.args': expected a list"),
        ('container = { image = "a" }\nworkdir = "/a,b"', "key 'devices.a.workdir': '/a,b' has a comma"),
        ("gpus = []", "key 'devices.a.gpus': expected \"all\" or a list"),
        ("gpus = 0", "key 'devices.a.gpus': expected \"all\" or a list"),
        ("gpus = [0, 0]", "key 'devices.a.gpus': names a GPU twice"),
        ("gpus = [true]", "key 'devices.a.gpus': True is no GPU"),
        ('gpus = ["../x"]', "key 'devices.a.gpus': '../x' is no GPU: write an index, or a UUID"),
    ],
)
def test_a_mistake_in_where_the_runtime_lives(fleet_file: Path, line: str, says: str) -> None:
    fleet_file.write_text(f'[devices.a]\nprofile = "a100-80gb"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        load_fleet(fleet_file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(fleet_file))
