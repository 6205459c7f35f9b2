"""Releases on a device: made whole of what is there, activated, rolled back, removed; and what kills, full disks,
damaged files and bad hooks make of that."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent_lab import Answer, Lab, finish, tmpfs, until
from releases_lab import MODEL, Shelf, activation, encode, entry


@pytest.fixture
def shelf(lab: Lab) -> Shelf:
    return Shelf(lab)


@pytest.fixture
def hook(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a hook: a shell script of these lines. It notes every version that it is run for."""

    def write(lines: str = "") -> Path:
        path = tmp_path / "hook"
        path.write_text(f'#!/bin/sh\necho "$EDGEBENCH_VERSION" >> {tmp_path}/ran\n{lines}\n')
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def small_releases(shelf: Shelf) -> Iterator[None]:
    """releases/ on a disk of its own, of 200 kB: no hard link leads there, so files are copied."""
    with contextlib.ExitStack() as disks:
        try:
            disks.enter_context(tmpfs(shelf.lab.workdir / "releases", "200k"))
        except OSError as error:
            pytest.skip(f"this user cannot mount a small file system: {error}")
        yield


def ran(tmp_path: Path) -> list[str]:
    path = tmp_path / "ran"
    return path.read_text().split() if path.exists() else []


class TestMaking:
    def test_a_release_holds_engine_model_and_manifest(self, shelf: Shelf) -> None:
        answer = shelf.make("v1", engine=b"an engine")
        assert (answer.code, answer.json["changed"], answer.json["path"]) == (0, True, str(shelf.home / "v1"))
        assert {path.name for path in (shelf.home / "v1").iterdir()} == {"model.onnx", "model.engine", "manifest.json"}
        shelf.check_whole(shelf.home / "v1")
        assert shelf.links == (None, None), "made, not activated"
        manifest = json.loads((shelf.home / "v1/manifest.json").read_bytes())
        assert manifest["measurements"][0]["p99_ms"] == 1.5
        assert (shelf.home / "v1/model.engine").stat().st_nlink == 2, "no second copy on the disk"

    def test_the_data_files_of_a_large_model_come_along(self, shelf: Shelf) -> None:
        (shelf.lab.workdir / "artifacts" / shelf.lab.artifact / "model.onnx.data").write_bytes(b"weights")
        plain = shelf.release()
        answer = shelf.make(files=(*plain.files, entry("model.onnx.data", b"weights")))
        assert answer.code == 0
        assert (shelf.home / "v1/model.onnx.data").read_bytes() == b"weights"

    def test_an_engine_that_another_device_built_is_found_by_its_hash(self, shelf: Shelf) -> None:
        release = shelf.release(engine=b"another one of the same key")
        shelf.lab.ship("sent-0001", {"model.engine": b"the builder's"})
        assert release.engine is not None
        engine = replace(release.engine, file=entry("model.engine", b"the builder's"))
        answer = shelf.make(engine=None, files=(release.files[0], engine.file))
        assert answer.error["code"] == "release_source", "an engine that is none of its artifact's files"
        sent = replace(release, engine=engine, files=(release.files[0], engine.file))
        assert shelf.lab.call("release", stdin=encode(sent)).code == 0
        assert (shelf.home / "v1/model.engine").read_bytes() == b"the builder's"

    def test_the_same_again_changes_nothing(self, shelf: Shelf) -> None:
        shelf.make("v1", engine=b"an engine")
        before = (shelf.home / "v1/manifest.json").read_bytes()
        again = shelf.make("v1", engine=b"an engine", released_at="2027-01-01T00:00:00Z")
        assert (again.code, again.json["changed"]) == (0, False)
        assert (shelf.home / "v1/manifest.json").read_bytes() == before

    def test_other_content_under_the_same_version_is_refused(self, shelf: Shelf) -> None:
        shelf.make("v1", engine=b"an engine")
        error = shelf.make("v1", engine=b"another engine").error
        assert error["code"] == "release_taken"
        assert error["message"] == "v1 of tiny is there with other content, and a version never changes"
        assert error["fix"] == "release it as a new version"
        assert (shelf.home / "v1/model.engine").read_bytes() == b"an engine"

    @pytest.mark.parametrize("name", ["artifacts/tiny-0001/model.onnx", f"engines/{'e' * 40}/model.engine"])
    @pytest.mark.parametrize("how", ["damaged", "missing"])
    def test_what_is_not_what_was_measured_is_refused(self, shelf: Shelf, name: str, how: str) -> None:
        release, path = shelf.release(engine=b"an engine"), shelf.lab.workdir / name
        if how == "missing":
            path.unlink()
        else:
            path.write_bytes(b"~" + path.read_bytes()[1:])
        error = shelf.lab.call("release", stdin=encode(release)).error
        assert (error["code"], error["where"]) == ("release_source", str(path))
        assert error["message"] == f"the file {'is missing' if how == 'missing' else 'is not what was measured'}"
        assert shelf.listed() == {}
        assert not shelf.home.exists()

    def test_garbage_collection_does_not_touch_it(self, shelf: Shelf) -> None:
        shelf.make("v1", engine=b"an engine")
        shelf.activate("v1")
        for path in [shelf.home, *shelf.home.rglob("*"), shelf.lab.workdir / "artifacts" / shelf.lab.artifact]:
            os.utime(path, (0, 0), follow_symlinks=False)
        os.utime(shelf.lab.workdir / "engines" / ("e" * 40), (0, 0))
        gone = shelf.lab.call("gc", "--keep-days", 30).json["removed"]
        assert gone == [f"artifacts/{shelf.lab.artifact}", f"engines/{'e' * 40}"], "what it is made of may go"
        assert shelf.links == ("v1", None)

    @pytest.mark.parametrize(
        ("field", "text"),
        [("model", "../x"), ("model", "a/b"), ("model", ".hidden"), ("model", ""), ("model", "a\n"),
         ("model", "x" * 200), ("version", ".."), ("version", "a/b"), ("version", ".making-v1"), ("version", "current"),
         ("version", "previous"), ("version", "v1\0"), ("version", "-v"), ("artifact", "../../etc"),
         ("device", 3)],
    )  # fmt: skip
    def test_names_that_lead_elsewhere_are_refused(self, shelf: Shelf, field: str, text: object) -> None:
        data = {**json.loads(encode(shelf.release())), field: text}
        error = shelf.lab.call("release", stdin=json.dumps(data).encode()).error
        assert error["code"] == "schema"
        assert field in error["message"]
        assert not (shelf.lab.workdir / "releases").exists()

    def test_garbage_on_stdin_is_refused(self, shelf: Shelf) -> None:
        for command in ("release", "activate", "remove-release"):
            assert shelf.lab.call(command, stdin=b"\xff{").error["code"] == "schema"


class TestActivating:
    def test_links_follow_and_rollback_goes_back_and_forth(self, shelf: Shelf) -> None:
        for version in ("v1", "v2", "v3"):
            shelf.make(version)
            shelf.activate(version)
        assert shelf.links == ("v3", "v2")
        assert (shelf.rollback().json["current"], shelf.links) == ("v2", ("v2", "v3"))
        assert (shelf.rollback().json["current"], shelf.links) == ("v3", ("v3", "v2"))
        assert (shelf.home / "current").readlink() == Path("v3"), "relative: the folder may be moved"

    def test_the_current_one_again_keeps_the_previous_one(self, shelf: Shelf) -> None:
        for version in ("v1", "v2", "v2"):
            shelf.make(version)
            answer = shelf.activate(version)
        assert (answer.json["changed"], shelf.links) == (False, ("v2", "v1"))

    def test_what_is_not_there_is_refused(self, shelf: Shelf) -> None:
        assert shelf.activate("v1").error["message"] == "there is no release v1 of tiny; it has none"
        shelf.make("v1")
        assert shelf.activate("v2").error["message"] == "there is no release v2 of tiny; it has: v1"
        assert shelf.rollback().error["message"] == "there is no previous release of tiny to go back to"

    def test_a_damaged_release_is_not_activated_and_not_gone_back_to(self, shelf: Shelf) -> None:
        for version in ("v1", "v2"):
            shelf.make(version)
            shelf.activate(version)
        model = shelf.home / "v1/model.onnx"
        data = model.read_bytes()
        model.unlink()
        model.write_bytes(data[:-1] + b"~")
        for answer in (shelf.activate("v1"), shelf.rollback(), shelf.make("v1")):
            assert answer.error["code"] == "release_damaged"
            assert "v1 of tiny is damaged (model.onnx: the file is not what was shipped)" in answer.error["message"]
        assert (shelf.home / "current").readlink() == Path("v2")

    def test_a_manifest_that_cannot_be_read_is_told(self, shelf: Shelf) -> None:
        shelf.make("v1")
        shelf.make("v2")
        (shelf.home / "v1/manifest.json").write_bytes(b"{")
        assert shelf.activate("v1").error["code"] == "release_damaged"
        assert shelf.versions == ["v2"]
        assert "not valid JSON" in shelf.listed()["damaged"]["v1"]


class TestTheHook:
    def test_it_is_told_what_it_is_run_for(self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]) -> None:
        shelf.make("v1")
        script = hook(
            f'echo "$EDGEBENCH_MODEL $EDGEBENCH_RELEASE $(readlink {shelf.home}/current) $1" > {tmp_path}/told'
        )
        assert shelf.activate("v1", hook=(script, "a word; with $signs")).code == 0
        assert (tmp_path / "told").read_text() == f"{MODEL} {shelf.home}/v1 v1 a word; with $signs\n"

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            ("echo first >&2; echo the camera is gone >&2; exit 3", "exit status 3: the camera is gone"),
            ("exit 1", "exit status 1"),
            ("kill -SEGV $$", "ended by signal SIGSEGV"),
            ("printf '\\377\\000\\033[2J%099999d\\n' 7 >&2; exit 9", "exit status 9: 000"),
        ],
    )
    def test_its_failure_puts_everything_back_and_runs_it_again(
        self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path], lines: str, why: str
    ) -> None:
        script = hook(f'[ "$EDGEBENCH_VERSION" = v3 ] || exit 0\n{lines}')
        for version in ("v1", "v2"):
            shelf.make(version)
            assert shelf.activate(version, hook=(script,)).code == 0
        shelf.make("v3")
        error = shelf.activate("v3", hook=(script,)).error
        assert error["code"] == "hook_failed"
        assert error["message"].startswith(f"the hook failed for v3 ({why}")
        assert error["message"].endswith("); v2 is current again, and the hook ran for it")
        assert len(error["message"]) < 500
        assert shelf.links == ("v2", "v1")
        assert ran(tmp_path) == ["v1", "v2", "v3", "v2"]
        log = shelf.home.parent / ".hook.log"
        assert error["fix"] == f"what it said is in {log} there"
        assert bool(log.read_bytes()) == (">&2" in lines), "the second run does not write over it"

    def test_one_that_hangs_is_ended_with_all_that_it_started(
        self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]
    ) -> None:
        script = hook(f"sleep 600 & echo $! > {tmp_path}/sleeper; echo waiting for the camera >&2; wait")
        shelf.make("v1")
        error = shelf.activate("v1", hook=(script,), timeout_s=0.5).error
        assert error["message"] == (
            "the hook failed for v1 (it did not end within 0.5 s: waiting for the camera); none is current, as before"
        )
        assert shelf.links == (None, None)
        sleeper = int((tmp_path / "sleeper").read_text())
        until(lambda: not Path(f"/proc/{sleeper}").exists() or "Z" in Path(f"/proc/{sleeper}/stat").read_text())

    @pytest.mark.parametrize(
        ("content", "why"),
        [(None, "No such file or directory"), (b"\x00garbage", "Exec format error"), ("plain", "Permission denied")],
    )
    def test_one_that_cannot_be_run(self, shelf: Shelf, tmp_path: Path, content: object, why: str) -> None:
        script = tmp_path / "hook"
        if isinstance(content, bytes):
            script.write_bytes(content)
            script.chmod(0o755)
        elif content:
            script.write_text("#!/bin/sh\n")
        shelf.make("v1")
        shelf.activate("v1")
        shelf.make("v2")
        error = shelf.activate("v2", hook=(script,)).error
        cannot = f"{script} cannot be run: {why}"
        assert error["message"] == (
            f"the hook failed for v2 ({cannot}); v1 is current again, and the hook failed for it, too ({cannot})"
        )
        assert shelf.links == ("v1", None)

    def test_one_that_fails_for_the_current_version_changes_nothing(
        self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]
    ) -> None:
        shelf.make("v1")
        shelf.activate("v1")
        error = shelf.activate("v1", hook=(hook("exit 1"),)).error
        assert error["message"] == "the hook failed for v1 (exit status 1); v1 was current before, and is"
        assert (shelf.links, ran(tmp_path)) == (("v1", None), ["v1"])

    def test_a_service_that_it_starts_may_live_on_and_speak(
        self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]
    ) -> None:
        script = hook(f"(sleep 0.3; echo I live >&2; echo alive > {tmp_path}/alive) &")
        shelf.make("v1")
        begin = time.monotonic()
        assert shelf.activate("v1", hook=(script,), timeout_s=60).code == 0
        assert time.monotonic() - begin < 30
        until((tmp_path / "alive").exists)


class TestRemoving:
    def test_the_current_and_the_previous_one_are_kept(self, shelf: Shelf) -> None:
        for version in ("v1", "v2", "v3"):
            shelf.make(version)
            shelf.activate(version)
        assert shelf.remove("v3", previous_too=True).error["message"] == "v3 is the current release of tiny"
        error = shelf.remove("v2").error
        assert error["message"] == "v2 is the release of tiny that a rollback would restore"
        assert error["fix"] == "--previous removes it all the same"
        assert shelf.remove("v1").code == 0
        assert (shelf.versions, shelf.links) == (["v2", "v3"], ("v3", "v2"))
        assert shelf.remove("v2", previous_too=True).code == 0
        assert (shelf.versions, shelf.links) == (["v3"], ("v3", None))
        assert shelf.remove("v2").error["message"] == "there is no release v2 of tiny; it has: v3"

    def test_the_last_one_leaves_no_folder(self, shelf: Shelf) -> None:
        shelf.make("v1")
        assert shelf.remove("v1").code == 0
        assert shelf.listed() == {}
        assert not shelf.home.exists()

    def test_a_damaged_one_can_be_removed(self, shelf: Shelf) -> None:
        shelf.make("v1")
        (shelf.home / "v1/manifest.json").unlink()
        assert shelf.remove("v1").code == 0
        assert shelf.listed() == {}


class TestKilledAtEveryStep:
    """kill -9 before every single change that a command makes below releases/, one after another."""

    def test_making_leaves_a_whole_release_or_none(self, shelf: Shelf) -> None:
        order = encode(shelf.release("v2", engine=b"an engine"))
        shelf.make("v1")
        seen = _after_every_kill(shelf, "release", order)
        assert seen == {(("v1",), None, None), (("v1", "v2"), None, None)}

    def test_activating_leaves_the_old_state_or_the_new_one(self, shelf: Shelf) -> None:
        for version in ("v1", "v2", "v3"):
            shelf.make(version)
            shelf.activate(version)
        seen = _after_every_kill(shelf, "activate", activation("v1"))
        assert _links(seen) == {("v3", "v2"), ("v1", "v3")}, "some kills came before the swap, some after"

    def test_rolling_back_leaves_the_old_state_or_the_new_one(self, shelf: Shelf) -> None:
        for version in ("v1", "v2"):
            shelf.make(version)
            shelf.activate(version)
        assert _links(_after_every_kill(shelf, "activate", activation(None))) == {("v2", "v1"), ("v1", "v2")}

    def test_the_first_activation_leaves_none_or_the_new_one(self, shelf: Shelf) -> None:
        shelf.make("v1")
        assert _links(_after_every_kill(shelf, "activate", activation("v1"))) == {(None, None), ("v1", None)}

    def test_putting_back_after_a_hook_that_failed_leaves_one_of_the_two(
        self, shelf: Shelf, hook: Callable[[str], Path]
    ) -> None:
        for version in ("v1", "v2", "v3"):
            shelf.make(version)
        shelf.activate("v1")
        shelf.activate("v2")
        order = activation("v3", (hook('[ "$EDGEBENCH_VERSION" = v2 ]'),))
        assert _links(_after_every_kill(shelf, "activate", order)) == {("v2", "v1"), ("v3", "v2")}
        assert shelf.links == ("v2", "v1")

    def test_removing_leaves_it_whole_or_gone(self, shelf: Shelf) -> None:
        for version in ("v1", "v2"):
            shelf.make(version, engine=b"an engine")
            shelf.activate(version)
        order = json.dumps({"model": MODEL, "version": "v1", "previous_too": True}).encode()
        seen = _after_every_kill(shelf, "remove-release", order)
        assert seen == {(("v1", "v2"), "v2", "v1"), (("v1", "v2"), "v2", None), (("v2",), "v2", None)}


State = tuple[tuple[str, ...], str | None, str | None]


def _after_every_kill(shelf: Shelf, command: str, order: bytes) -> set[State]:
    """The versions and links that the kills left, each from the same start; the last state is that of a command which
    came through. At any time what the links lead to is whole; after the next command nothing else is there."""
    bring_back = shelf.kept()
    seen: set[State] = set()
    for step in range(1, 100):
        if not shelf.killed_at(step, command, order):
            assert step > 3
            return seen
        assert all(link is None or link in ("v1", "v2", "v3") for link in shelf.links)
        versions = tuple(shelf.versions)
        assert shelf.leftovers() == []
        for version in versions:
            shelf.check_whole(shelf.home / version)
        seen.add((versions, *shelf.links))
        bring_back()
    raise AssertionError("it never came through")


def _links(seen: set[State]) -> set[tuple[str | None, str | None]]:
    return {(current, previous) for _, current, previous in seen}


def test_a_kill_while_the_hook_runs_leaves_the_new_version_and_frees_the_lock(
    shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]
) -> None:
    for version in ("v1", "v2"):
        shelf.make(version)
    shelf.activate("v1")
    script = hook(f"echo $$ > {tmp_path}/hook-pid; exec sleep 600")
    agent = shelf.lab.popen("activate")
    assert agent.stdin is not None
    agent.stdin.write(activation("v2", (script,)))
    agent.stdin.close()
    until(lambda: (tmp_path / "hook-pid").exists() and (tmp_path / "hook-pid").read_text().strip())
    agent.kill()
    with agent:
        agent.wait()
    os.kill(int((tmp_path / "hook-pid").read_text()), signal.SIGKILL)
    assert shelf.links == ("v2", "v1")
    assert shelf.rollback().json["current"] == "v1"


class TestNoRoom:
    @pytest.mark.usefixtures("small_releases")
    def test_a_full_disk_leaves_no_release_and_no_part_of_one(self, shelf: Shelf) -> None:
        error = shelf.make("v1", engine=bytes(400_000)).error
        assert (error["code"], error["message"]) == ("device_io", "No space left on device")
        assert error["fix"].startswith("free space there")
        assert [path.name for path in shelf.home.parent.iterdir()] == [".lock"]
        assert shelf.make("v1", engine=b"a small one").code == 0, "copied, as there can be no link"
        shelf.check_whole(shelf.home / "v1")

    @pytest.mark.usefixtures("small_releases")
    def test_a_full_disk_leaves_the_links_as_they_were(self, shelf: Shelf) -> None:
        for version in ("v1", "v2"):
            shelf.make(version)
        shelf.activate("v1")
        ballast = shelf.home.parent / ".ballast"
        _fill(ballast)
        assert shelf.activate("v2").error["message"] == "No space left on device"
        assert shelf.links == ("v1", None)
        ballast.unlink()
        assert shelf.activate("v2").code == 0
        assert shelf.links == ("v2", "v1")

    def test_a_limit_on_the_size_of_files_is_told(self, shelf: Shelf) -> None:
        words = [shelf.lab.python, str(shelf.lab.bundle), "release", "--workdir", str(shelf.lab.workdir)]
        agent = subprocess.Popen(
            ["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shelf.lab.environment,
        )  # fmt: skip
        answer = finish(agent, encode(shelf.release()))
        assert (answer.error["code"], answer.error["message"]) == ("device_io", "File too large")
        assert not shelf.home.exists()

    def test_a_file_where_the_folder_belongs(self, shelf: Shelf) -> None:
        (shelf.lab.workdir / "releases").write_text("in the way")
        for answer in (shelf.make(), shelf.activate("v1"), shelf.remove("v1")):
            assert answer.error["code"] == "device_io"
            assert str(shelf.lab.workdir / "releases") in answer.error["where"]
        assert shelf.lab.call("releases").json == {"models": []}

    def test_a_folder_in_the_place_of_the_link(self, shelf: Shelf) -> None:
        shelf.make("v1")
        (shelf.home / "current").mkdir()
        (shelf.home / "current" / "mine").write_text("kept")
        assert shelf.activate("v1").error["code"] == "device_io"
        assert (shelf.home / "current" / "mine").read_text() == "kept"
        assert shelf.versions == ["v1"]


class TestTwoAtOnce:
    def test_two_controllers_make_one_release(self, shelf: Shelf) -> None:
        order = encode(shelf.release(engine=bytes(5_000_000)))
        answers = _at_once(shelf, *[("release", order)] * 4)
        assert [answer.code for answer in answers] == [0] * 4
        assert sorted(answer.json["changed"] for answer in answers) == [False, False, False, True]
        shelf.check_whole(shelf.home / "v1")

    def test_one_of_two_with_other_content_is_refused(self, shelf: Shelf) -> None:
        first = encode(shelf.release(engine=b"one"))
        answers = _at_once(shelf, ("release", encode(shelf.release())), ("release", first))
        assert sorted(answer.code for answer in answers) == [0, 1]
        shelf.check_whole(shelf.home / "v1")

    def test_activations_come_one_after_the_other_with_their_hooks(
        self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]
    ) -> None:
        versions = ("v1", "v2", "v3")
        for version in versions:
            shelf.make(version)
        script = hook(f"mkdir {tmp_path}/alone || exit 1; sleep 0.1; rmdir {tmp_path}/alone")
        answers = _at_once(shelf, *(("activate", activation(version, (script,))) for version in versions))
        assert [answer.code for answer in answers] == [0, 0, 0], "no hook met another"
        order = ran(tmp_path)
        assert sorted(order) == sorted(versions)
        assert shelf.links == (order[-1], order[-2])

    def test_looking_does_not_wait_for_a_hook(self, shelf: Shelf, tmp_path: Path, hook: Callable[[str], Path]) -> None:
        shelf.make("v1")
        agent = shelf.lab.popen("activate")
        assert agent.stdin is not None
        agent.stdin.write(activation("v1", (hook(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"),)))
        agent.stdin.close()
        agent.stdin = None
        until(lambda: ran(tmp_path))
        assert (shelf.versions, agent.poll()) == (["v1"], None)
        (tmp_path / "go").touch()
        assert finish(agent).code == 0


def test_the_agent_s_own_python_of_a_device(shelf: Shelf, device_python: str, hook: Callable[[str], Path]) -> None:
    """The same on the interpreters that devices have."""
    shelf.lab.python = device_python
    for version in ("v1", "v2"):
        assert shelf.make(version, engine=b"an engine").code == 0
        assert shelf.activate(version, hook=(hook(""),)).code == 0
    assert (shelf.rollback().code, shelf.remove("v2", previous_too=True).code) == (0, 0)
    assert (shelf.versions, shelf.links) == (["v1"], ("v1", None))


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(4096)):
                pass
        except OSError:
            return


def _at_once(shelf: Shelf, *orders: tuple[str, bytes]) -> list[Answer]:
    agents = [(shelf.lab.popen(command), stdin) for command, stdin in orders]
    for agent, stdin in agents:
        assert agent.stdin is not None
        agent.stdin.write(stdin)
        agent.stdin.close()
        agent.stdin = None
    return [finish(agent) for agent, _ in agents]
