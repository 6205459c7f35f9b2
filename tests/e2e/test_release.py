"""Releases over real OpenSSH servers: what `deploy --release` leaves on devices, and what `release` does with it.

The devices measure with onnxruntime; those of `bench` build engines with the stand-in for TensorRT.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Bench, Start
from tests.operator import BRIEF, SOUND, UNSOUND, Answer, Operator
from tests.ssh.proxy import Proxy
from tests.ssh.sshd import Sshd, wait_until

NO_LIMIT = ("--require", "p50<1s")
"""So little that whatever is measured keeps it."""


@dataclass
class Site:
    """An operator with some devices, whose measurements are not INVALID for want of quiet."""

    operator: Operator
    start: Start
    model: Path
    servers: dict[str, Sshd] = field(default_factory=dict)

    def device(self, name: str, extra: str = "") -> Sshd:
        self.servers[name] = server = self.start(name=name)
        with (self.operator.home / "fleet.toml").open("a") as fleet:
            fleet.write(server.fleet_toml() + f'python = "{sys.executable}"\n{extra}')
        return server

    def release(self, version: str, *more: object, device: str = "all") -> Answer:
        """`deploy --release`, as JSON."""
        words = ("deploy", self.model, "-d", device, "--quick", "--option", "threads=1", "--release", version)
        return self.operator.run(*words, *more, "--json", timeout=240)

    def run(self, *words: object) -> Answer:
        return self.operator.run("release", *words)

    def current(self, name: str) -> str | None:
        """The version that a service on the device finds."""
        link = releases_of(self.servers[name]) / "current"
        return link.resolve(strict=True).name if link.is_symlink() else None


@pytest.fixture
def site(operator: Operator, start_sshd: Start, tiny_onnx: Path) -> Site:
    operator.prelude = BRIEF + SOUND
    return Site(operator, start_sshd, tiny_onnx)


@pytest.fixture
def hook(tmp_path: Path) -> Callable[[str], str]:
    """A line of fleet.toml: a hook that notes its versions in tmp_path/ran and then does as its lines say."""

    def line(lines: str) -> str:
        script = tmp_path / "hook"
        script.write_text(f'#!/bin/sh\necho "$EDGEBENCH_VERSION" >> {tmp_path}/ran\n{lines}\n')
        script.chmod(0o755)
        return f'release_hook = ["{script}"]\n'

    return line


def releases_of(server: Sshd, model: str = "tiny") -> Path:
    (workdir,) = (server.home / ".cache" / "edgebench").glob("*")
    return workdir / "releases" / model


def check_whole(folder: Path) -> dict[str, Any]:
    """The manifest of a release whose files are what it says."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *(one["name"] for one in manifest["files"])}
    for one in manifest["files"]:
        data = (folder / one["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["size"], one["sha256"])
    return manifest


def test_a_release_tells_what_it_is_and_goes_through_its_life(
    site: Site, tmp_path: Path, hook: Callable[[str], str]
) -> None:
    server, _ = site.device("board-1", hook("")), site.device("board-2")
    answer = site.release("v1", "--activate", "--batch", "1,2", "--bounds", "1:1:2", *NO_LIMIT)
    assert answer.code == 0, answer.err + answer.out
    assert [(one["device"], one["new"], one["current"]) for one in answer.json["releases"]] == [
        ("board-1", True, "v1"),
        ("board-2", True, "v1"),
    ]
    manifest = check_whole(releases_of(server) / "v1")
    rows = [row for row in answer.json["measurements"] if row["device"] == "board-1"]
    measured = {one["id"]: (one["batch"], one["mean_ms"], one["p50_ms"], one["verdict"])
                for one in manifest["measurements"]}  # fmt: skip
    assert measured == {row["id"]: (row["batch"], row["mean_ms"], row["median_ms"], row["verdict"]) for row in rows}
    open_rules = {finding["rule"] for row in rows for finding in row["findings"]}  # none is broken: it was released
    assert set(answer.json["releases"][0]["unjudged"]) == open_rules
    assert open_rules <= {"incomplete_state"}, "nothing was looked at where so short a time fell between two looks"
    assert (manifest["model"], manifest["version"], manifest["device"]) == ("tiny", "v1", "board-1")
    assert (manifest["framework"], manifest["precision"], manifest["backend"]) == ("onnx", "fp32", "onnxruntime")
    assert manifest["runtime_version"] == rows[0]["runtime_version"]
    assert manifest["requirements"] == ["p50<1s"]
    assert (manifest["settings"]["provider"], manifest["settings"]["threads"]) == ("cpu", 1)
    assert "@" in manifest["released_by"]
    assert [one["name"] for one in manifest["files"]] == ["model.onnx"]

    assert site.release("v2", device="board-1").code == 0
    assert site.current("board-1") == "v1", "made, not activated"
    activated = site.run("activate", "tiny", "v2", "-d", "board-1")
    assert (activated.code, activated.out) == (0, "board-1: tiny: current is v2 (previous: v1)\n")
    listed = site.run("list").out
    rows_of_table = [line.split() for line in listed.splitlines()]
    assert rows_of_table[1][:6] == ["board-1", "tiny", "v2", "v1", "v1,", "v2"]
    assert rows_of_table[2][:5] == ["board-2", "tiny", "v1", "-", "v1"]
    assert "tiny: current is v2 on board-1; v1 on board-2" in listed
    assert "tiny: v2 is not on board-2" in listed

    refused = site.run("activate", "tiny", "v2", "-d", "all")
    assert refused.code == 3, "board-1 has it, board-2 does not"
    assert "failed: board-2: there is no release v2 of tiny; it has: v1" in refused.err

    assert site.run("rollback", "tiny", "-d", "board-1").code == 0
    assert site.current("board-1") == "v1"
    in_use = site.run("remove", "tiny", "v1", "-d", "board-1")
    assert (in_use.code, in_use.err.splitlines()[-1]) == (
        1, "failed: board-1: v1 is the current release of tiny; activate another one before",
    )  # fmt: skip
    assert site.run("remove", "tiny", "v2", "-d", "board-1").code == 1
    assert site.run("remove", "tiny", "v2", "-d", "board-1", "--previous").code == 0
    left = site.run("list", "tiny", "--device", "board-1", "--json").json["releases"]
    assert [(one["current"], one["previous"], len(one["versions"])) for one in left] == [("v1", None, 1)]
    assert (tmp_path / "ran").read_text().split() == ["v1", "v2", "v2", "v1"]


def test_the_same_version_again_is_harmless_and_with_another_graph_refused(site: Site, tmp_path: Path) -> None:
    server = site.device("board")
    assert site.release("v1").code == 0
    again = site.release("v1")
    assert (again.code, again.json["releases"][0]["new"]) == (0, False)
    site.model = _changed(site.model, tmp_path)
    refused = site.release("v1")
    assert refused.code == 1
    error = refused.json["not_released"][0]["error"]
    assert error["message"] == "v1 of tiny is there with other content, and a version never changes"
    measured = refused.json["measurements"][0]["id"]
    assert check_whole(releases_of(server) / "v1")["measurements"][0]["id"] != measured
    other = site.release("v2")
    assert other.code == 0
    assert [row["id"] for row in other.json["measurements"]] == [measured], "a new version needs no new measurement"
    listed = site.run("list").out
    assert "v1, v2" in listed


def _changed(model: Path, folder: Path) -> Path:
    """The same model with one weight of another value."""
    import onnx

    graph = onnx.load(model)
    (weights,) = graph.graph.initializer
    weights.raw_data = weights.raw_data[:-4] + b"\0\0\0\0"
    onnx.save(graph, folder / model.name)
    return folder / model.name


def test_a_requirement_that_is_not_kept_fails_with_the_figure(site: Site) -> None:
    site.device("board")
    words = ("deploy", site.model, "-d", "board", "--quick", "--release", "v1", "--require", "p50<1ns,mean<1s")
    answer = site.operator.run(*words, timeout=240)
    assert answer.code == 1
    (line,) = (line for line in answer.out.splitlines() if line.startswith("tiny on board: not released: "))
    assert ": p50 is " in line
    assert line.endswith(" ns, and p50<1ns is required")
    assert not releases_of(site.servers["board"]).exists()


def test_an_invalid_measurement_is_never_released(site: Site) -> None:
    site.device("board")
    site.operator.prelude = BRIEF + UNSOUND
    answer = site.release("v1", "--activate")
    assert answer.code == 4
    (refused,) = answer.json["not_released"]
    assert (refused["invalid"], refused["made"]) == (True, False)
    assert refused["error"]["message"].startswith(
        "the measurement of tiny/onnx fp32 batch 1 on onnxruntime is INVALID ("
    )
    assert not releases_of(site.servers["board"]).exists()


def test_a_hook_that_fails_puts_the_version_before_back_there_alone(
    site: Site, tmp_path: Path, hook: Callable[[str], str]
) -> None:
    site.device("board-1", hook('[ "$EDGEBENCH_VERSION" = v1 ] || { echo the camera is gone >&2; exit 7; }'))
    site.device("board-2")
    assert site.release("v1", "--activate").code == 0
    words = ("deploy", site.model, "-d", "all", "--quick", "--option", "threads=1", "--release", "v2", "--activate")
    answer = site.operator.run(*words, timeout=240)
    assert answer.code == 3
    (line,) = (line for line in answer.out.splitlines() if line.startswith("tiny on board-1"))
    assert line.startswith(
        "tiny on board-1: released, but not activated: the hook failed for v2 (exit status 7: the camera is gone); "
        "v1 is current again, and the hook ran for it; what it said is in /"
    )
    assert (site.current("board-1"), site.current("board-2")) == ("v1", "v2")
    assert (tmp_path / "ran").read_text().split() == ["v1", "v2", "v1"]
    assert site.run("activate", "tiny", "v2", "-d", "board-1").code == 1


def test_a_lost_device_hides_nobody_s_release(site: Site) -> None:
    site.device("board-1")
    site.device("board-2").stop()
    answer = site.release("v1", "--activate")
    assert answer.code == 3
    assert [one["device"] for one in answer.json["releases"]] == ["board-1"]
    assert [one["device"] for one in answer.json["failed"]] == ["board-2"]
    listed = site.run("list")
    assert listed.code == 3
    assert "board-1" in listed.out
    assert "failed: board-2 (" in listed.err


def test_a_link_that_is_cut_before_the_release_costs_no_measurement(site: Site) -> None:
    """And what was damaged on the device meanwhile is refused by its hash, and measured anew after that."""
    server = site.device("board")
    fleet = site.operator.home / "fleet.toml"
    direct = fleet.read_text()
    with Proxy(server.port) as proxy:
        known = server.at_port(proxy.port).known_hosts[0]
        through = direct.replace(f"port = {server.port}", f"port = {proxy.port}")
        fleet.write_text(through.replace(str(server.known_hosts), str(known)))
        words = ("deploy", site.model, "-d", "all", "--quick", "--option", "threads=1", "--release", "v1", "--activate")
        child = site.operator.start(*words)
        runs = site.operator.home / ".local/share/edgebench/sweeps"
        wait_until(lambda: any('"done"' in path.read_text() for path in runs.glob("*/*.jsonl")), "it is measured", 120)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1, out + err
    assert "tiny on board: not released: " in out
    assert "the same command goes on from here" in out
    assert not releases_of(server).exists()

    fleet.write_text(direct)
    (shipped,) = releases_of(server).parents[1].glob("artifacts/*/model.onnx")
    whole = shipped.read_bytes()
    shipped.write_bytes(whole[:-1] + b"~")
    (before,) = site.operator.measurements()
    refused = site.release("v1", "--activate")
    assert refused.code == 1
    error = refused.json["not_released"][0]["error"]
    assert (error["code"], error["message"]) == ("release_source", "the file is not what was measured")
    assert [row["id"] for row in refused.json["measurements"]] == [before["id"]]
    assert not releases_of(server).exists()

    again = site.release("v1", "--activate")
    assert again.code == 0, again.out
    assert [row["id"] for row in again.json["measurements"]] != [before["id"]], (
        "what is damaged is sent and measured anew"
    )
    check_whole(releases_of(server) / "v1")


def test_the_gpus_of_a_host_share_its_releases(site: Site, tmp_path: Path, hook: Callable[[str], str]) -> None:
    site.device("board", hook(""))
    for version in ("v1", "v2"):
        assert site.release(version, "--activate").code == 0
    with (site.operator.home / "fleet.toml").open("a") as fleet:
        fleet.write("gpus = [0, 1]\n")
    gone_back = site.run("rollback", "tiny", "-d", "all")
    assert (gone_back.code, gone_back.out) == (0, "board:0: tiny: rolled back, current is v1 (previous: v2)\n")
    assert site.current("board") == "v1", "once, not back and forth"
    assert (tmp_path / "ran").read_text().split() == ["v1", "v2", "v1"]


def test_what_stands_in_the_way_on_the_device_costs_no_measurement(site: Site) -> None:
    server = site.device("board")
    assert site.release("v0").code == 0
    blocked = releases_of(server) / "v1"
    blocked.write_text("something in the way")
    first = site.release("v1")
    assert first.code == 1
    assert first.json["not_released"][0]["error"]["code"] == "release_damaged"
    blocked.unlink()
    again = site.release("v1", "--activate")
    assert again.code == 0, again.out
    assert [row["id"] for row in again.json["measurements"]] == [row["id"] for row in first.json["measurements"]]
    assert again.json["measurements"][0]["earlier"] is True
    assert site.current("board") == "v1"
    assert site.operator.journal()[-1]["event"] == "finished"


def test_two_controllers_activate_one_after_the_other(site: Site, tmp_path: Path, hook: Callable[[str], str]) -> None:
    site.device("board", hook(f"mkdir {tmp_path}/alone || exit 1; sleep 0.2; rmdir {tmp_path}/alone"))
    assert site.release("v1").code == 0
    assert site.release("v2").code == 0
    children = [site.operator.start("release", "activate", "tiny", version, "-d", "all") for version in ("v1", "v2")]
    said = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    order = (tmp_path / "ran").read_text().split()
    assert sorted(order) == ["v1", "v2"]
    assert site.current("board") == order[-1]


class TestEngines:
    @pytest.fixture
    def orin(self, bench: Bench) -> Sshd:
        bench.operator.prelude = BRIEF + SOUND
        return bench.device("orin-1")

    def test_the_engine_that_was_measured_is_released_with_its_graph(self, bench: Bench, orin: Sshd) -> None:
        answer = bench.deploy("--release", "v1", "--batch", "1,8", "--bounds", "1:4:8")
        assert answer.code == 0, answer.err + answer.out
        manifest = check_whole(releases_of(orin) / "v1")
        engine = answer.json["measurements"][0]["engine"]
        assert (manifest["engine"]["key"], manifest["engine"]["file"]["sha256"]) == (engine["key"], engine["sha256"])
        assert manifest["engine"]["runtime_version"] == "10.3.0"
        assert {one["name"] for one in manifest["files"]} == {"model.engine", "model.onnx"}
        assert [one["batch"] for one in manifest["measurements"]] == [1, 8], "one engine serves both"

    def test_batches_with_a_graph_each_are_refused_before_any_work(self, bench: Bench, orin: Sshd) -> None:
        answer = bench.operator.run(*bench.arguments("--release", "v1", "--batch", "1,8"))
        assert answer.code == 2
        several = "of tiny on orin-1 there would be several: batches 1, 8 with a graph each"
        assert f"a release is one configuration, and {several}" in answer.err
        assert not list(orin.home.rglob("model.onnx"))

    def test_another_backend_beside_is_refused(self, bench: Bench, orin: Sshd) -> None:
        answer = bench.operator.run(*bench.arguments("--release", "v1", "--backend", "tensorrt,onnxruntime"))
        assert answer.code == 2
        assert "tiny/onnx fp32 batch 1 on tensorrt, tiny/onnx fp32 batch 1 on onnxruntime; name one" in answer.err

    def test_a_class_releases_the_engine_of_its_builder(self, bench: Bench) -> None:
        bench.operator.prelude = BRIEF + SOUND
        bench.device("orin-1", extra="builder = true\n")
        other = bench.device("orin-2")
        answer = bench.deploy("--engines", "per-class", "--release", "v1")
        assert answer.code == 0, answer.err + answer.out
        hashes = {one["manifest"]["engine"]["file"]["sha256"] for one in answer.json["releases"]}
        assert len(hashes) == 1
        check_whole(releases_of(other) / "v1")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("deploy", "MODEL", "--require", "p99<33ms"),
            "--require: is about a release, and none is made; add --release",
        ),
        (("deploy", "MODEL", "--activate"), "--activate: is about a release, and none is made"),
        (("deploy", "MODEL", "--release", "../v1"), "--release: '../v1' is no version: letters, digits"),
        (("deploy", "MODEL", "--release", "current"), "'current' is no version: "),
        (("deploy", "MODEL", "--release", "v1", "--require", "p99=3ms"), "--require: 'p99=3ms' is no comparison; for"),
        (
            ("release", "activate", "../../etc", "v1", "-d", "local"),
            "MODEL: '../../etc' cannot name a folder of releases",
        ),
        (("release", "activate", "tiny", "v1/..", "-d", "local"), "VERSION: 'v1/..' is no version"),
        (("release", "remove", "tiny", "previous", "-d", "local"), "VERSION: 'previous' is no version"),
        (("release", "rollback", "tiny"), "--device: no device is named; name some, or all: --device all"),
        (("release", "activate", "tiny", "v1", "--ring", "canary"), "--ring: unknown ring 'canary'; there are none"),
        (
            ("release", "activate", "tiny", "v1", "-d", "local", "--percent", "0"),
            "--percent: 0 is not over 0 and at most",
        ),
        (("release", "activate", "tiny", "v1", "-d", "local", "--percent", "5", "--ring", "x"), "give one of them"),
    ],
)
def test_bad_input_is_one_sentence(operator: Operator, tiny_onnx: Path, words: tuple[str, ...], told: str) -> None:
    answer = operator.run(*(tiny_onnx if word == "MODEL" else word for word in words))
    assert answer.code == 2, answer.err
    (line,) = [line for line in answer.err.splitlines() if line.startswith("edgebench: ")]
    assert told in line
    assert "Traceback" not in answer.err


def test_nothing_released_is_told(operator: Operator) -> None:
    listed = operator.run("release", "list")
    assert (listed.code, listed.out.partition(";")[0]) == (0, "no releases yet")
    assert operator.run("release", "list", "--json").json == {"releases": [], "differences": [], "failed": []}
    gone = operator.run("release", "activate", "tiny", "v1", "-d", "local", "--json")
    assert (gone.code, gone.json["failed"][0]["error"]["code"]) == (1, "no_release")
