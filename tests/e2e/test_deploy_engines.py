"""Engines in `deploy`: which backend and why, whose engine, how many, for which batches; kill -9 and Ctrl-C in between.

The devices are OpenSSH servers on loopback with homes of their own. What they build with is a stand-in for TensorRT
(tests/stand_ins/builder_backend.py) that the agent carries in these tests alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.conftest import ORIN, Bench
from tests.faults.devices import find, kill
from tests.operator import Operator
from tests.ssh.sshd import Sshd, wait_until

PER_CLASS = ("--engines", "per-class")


def log(server: Sshd, what: str) -> list[str]:
    """The SHA-256 of the engines that the device built or loaded, in order."""
    path = server.home / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith(f"{what} ")]


class TestAuto:
    def test_every_device_gets_the_best_that_is_there_and_the_reason_is_told(self, bench: Bench) -> None:
        bench.device("orin-1")
        bench.device("orin-2", version=None)
        answer = bench.deploy()
        assert answer.code in (0, 4), answer.err
        assert [(row["device"], row["backend"]) for row in answer.json["measurements"]] == [
            ("orin-1", "tensorrt"), ("orin-2", "onnxruntime"),
        ]  # fmt: skip
        said = "\n".join(answer.json["choices"])
        why = f"the first choice of its profile {ORIN}, and it runs there"
        assert f"backend tensorrt 10.3.0 on orin-1: {why}" in said
        assert f"on orin-2: its profile {ORIN} prefers tensorrt, which does not run there (" in said
        assert "(ImportError: No module named 'tensorrt')" in said

    def test_a_device_that_is_not_reached_fails_alone_with_its_own_error(self, bench: Bench) -> None:
        bench.device("orin-1")
        bench.device("orin-2").stop()
        answer = bench.deploy()
        assert answer.code == 3
        assert [row["device"] for row in answer.json["measurements"]] == ["orin-1"]
        (failed,) = answer.json["failed"]
        assert (failed["device"], failed["error"]["code"]) == ("orin-2", "connect")
        assert "backend tensorrt on orin-2" in "\n".join(answer.json["choices"])

    def test_two_backends_are_compared_on_one_device(self, bench: Bench) -> None:
        bench.device("orin-1")
        answer = bench.deploy("--backend", "tensorrt,onnxruntime")
        assert [row["backend"] for row in answer.json["measurements"]] == ["tensorrt", "onnxruntime"]

    def test_an_option_that_the_backend_lacks_is_refused_before_anything_is_sent(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        answer = bench.deploy("--option", "levle=3")
        assert answer.code == 1
        message = answer.json["failed"][0]["error"]["message"]
        assert message.startswith("tensorrt has no option 'levle'; it has: ")
        assert "level" in message
        assert not list(server.home.rglob("model.onnx"))


class TestPerClass:
    BUILDER = "builder = true\n"

    def test_the_builder_builds_and_the_others_load_exactly_that_engine(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        answer = bench.deploy(*PER_CLASS)
        engines = bench.engines(answer)
        (built,) = log(builder, "build")
        assert log(other, "build") == []
        assert set(log(other, "load")) == set(log(builder, "load")) == {built}
        assert engines["orin-2"][0]["sha256"] == built
        assert engines["orin-2"][0]["why"] == "built by orin-1"
        assert engines["orin-1"][0]["reused"] is True, "it measures the engine that it built for its class"
        assert "engines of orin-2: those that orin-1 builds" in answer.json["choices"]
        assert answer.json["building_s"] > 0
        (manifest,) = (bench.operator.home / ".cache/edgebench/artifacts").glob("*/model.engine")
        assert json.loads(manifest.with_name("manifest.json").read_text())["produced_by"]["builder"] == "orin-1"
        again = bench.deploy(*PER_CLASS)
        assert (again.code in (0, 4), again.json["model_bytes_sent"], again.json["building_s"]) == (True, 0, 0)
        assert len(log(builder, "build")) == 1

    def test_one_engine_with_bounds_serves_every_batch_and_is_rebuilt_once_for_the_whole_class(
        self, bench: Bench
    ) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        request = (*PER_CLASS, "--batch", "1,8", "--bounds", "1:4:8")
        for times, more in ((1, ()), (2, ("--rebuild",))):
            engines = bench.engines(bench.deploy(*request, *more))
            built = log(builder, "build")
            assert len(built) == len(set(built)) == times
            assert [[use["sha256"] for use in uses] for uses in engines.values()] == [[built[-1]] * 2] * 2
        assert log(other, "build") == []

    def test_a_lost_builder_is_tried_again_by_the_same_command_and_builds_once(self, bench: Bench) -> None:
        """Not reached at all, then lost when it had built and was about to measure."""
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        (builder.home / "slow").write_text("1")
        keys, away = builder.folder / "authorized_keys", builder.folder / "away"
        keys.rename(away)
        lost = bench.deploy(*PER_CLASS, "--rebuild")
        assert lost.code == 1
        assert {failed["device"] for failed in lost.json["failed"]} == {"orin-1", "orin-2"}
        away.rename(keys)
        child = bench.operator.start(*bench.arguments(*PER_CLASS, "--rebuild"))
        wait_until(lambda: log(builder, "begin"), "the build begins", 60)
        keys.rename(away)
        child.communicate()
        assert child.returncode == 3
        away.rename(keys)
        found = bench.deploy(*PER_CLASS, "--rebuild")
        (built,) = log(builder, "build")
        assert {use["sha256"] for uses in bench.engines(found).values() for use in uses} == {built}
        assert found.json["run"] == lost.json["run"]
        assert log(other, "build") == []

    def test_a_builder_whose_build_is_killed_is_tried_again_by_the_same_command(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        (builder.home / "slow").write_text("60")
        child = bench.operator.start(*bench.arguments(*PER_CLASS, "--json"))
        wait_until(lambda: log(builder, "begin"), "the build begins", 60)
        (builder.home / "slow").unlink()
        kill(*find(builder, ".pyz"))
        out, err = child.communicate(timeout=60)
        assert child.returncode == 3, out + err
        assert [failed["device"] for failed in json.loads(out)["failed"]] == ["orin-2"]
        again = bench.deploy(*PER_CLASS)
        assert again.json["run"] == json.loads(out)["run"], "that run was not over"
        assert set(log(other, "load")) == set(log(builder, "build"))

    def test_another_class_builds_its_own_and_so_does_another_version(self, bench: Bench) -> None:
        bench.device("orin-1", extra=self.BUILDER)
        other_version = bench.device("orin-2", version="10.16.1")
        other_class = bench.device("t4-1", profile="t4-16gb")
        answer = bench.deploy(*PER_CLASS)
        assert answer.code in (0, 4), answer.err
        assert len(log(other_version, "build")) == len(log(other_class, "build")) == 1
        said = "\n".join(answer.json["choices"])
        assert "engines of orin-2: its own (tensorrt 10.16.1, and tensorrt 10.3.0 on the builder orin-1)" in said
        assert "engines of t4-1: its own (no device of profile t4-16gb has `builder = true`)" in said

    def test_this_machine_may_build_for_a_device(self, bench: Bench) -> None:
        """It measures last, and builds before anybody waits in vain."""
        other = bench.device("orin-1")
        (bench.operator.home / "tensorrt").write_text("10.3.0")
        with (bench.operator.home / "fleet.toml").open("a") as fleet:
            fleet.write(f'[devices.local]\nprofile = "{ORIN}"\n{self.BUILDER}')
        engines = bench.engines(bench.deploy(*PER_CLASS))
        assert log(other, "build") == []
        (built,) = [
            line.split()[1] for line in (bench.operator.home / "log").read_text().splitlines() if "build" in line
        ]
        assert {use["sha256"] for uses in engines.values() for use in uses} == {built}
        assert set(engines) == {"orin-1", "local"}

    def test_a_builder_that_is_not_selected_is_asked_for(self, bench: Bench) -> None:
        bench.device("orin-1", extra=self.BUILDER)
        bench.device("orin-2")
        answer = bench.operator.run(*bench.arguments(*PER_CLASS, device="orin-2"))
        assert answer.code == 2
        assert "orin-2 takes its engines from orin-1" in answer.err
        assert "add it: --device orin-1" in answer.err

    def test_a_build_that_fails_fails_those_that_wait_and_nobody_else(self, bench: Bench) -> None:
        builder = bench.device("orin-1", extra=self.BUILDER)
        bench.device("orin-2")
        (builder.home / "broken").touch()
        answer = bench.deploy(*PER_CLASS, device="all or local")
        assert answer.code == 3
        assert [row["device"] for row in answer.json["measurements"]] == ["local"]
        errors = {failed["device"]: failed["error"] for failed in answer.json["failed"]}
        assert "no tactic was found for node Conv_7" in errors["orin-1"]["message"]
        told = errors["orin-2"]["message"]
        assert told == "the builder orin-1 made no engine (no tactic was found for node Conv_7)"
        assert "--engines own" in errors["orin-2"]["fix"]

    def test_a_controller_killed_while_the_builder_builds_repeats_nothing(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        (builder.home / "slow").write_text("3")
        child = bench.operator.start(*bench.arguments(*PER_CLASS))
        wait_until(lambda: log(builder, "begin"), "the build begins", 60)
        child.kill()
        child.wait()
        engines = bench.engines(bench.deploy(*PER_CLASS))
        (built,) = log(builder, "build")
        assert len(log(builder, "begin")) == 1, "it was the first controller that began it"
        assert {use["sha256"] for uses in engines.values() for use in uses} == {built}
        events = [event["event"] for event in bench.operator.journal()]
        assert sorted(events) == ["built", "done", "done", "finished", "started", "submitted", "submitted", "submitted"]
        assert len(list(other.home.rglob("result.json"))) == 1

    def test_a_controller_killed_after_the_build_does_not_ask_the_builder_again(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        child = bench.operator.start(*bench.arguments(*PER_CLASS))
        results = bench.operator.home / ".local" / "share" / "edgebench"
        wait_until(lambda: any('"built"' in path.read_text() for path in results.rglob("*.jsonl")), "it is built", 60)
        child.kill()
        child.wait()
        answer = bench.deploy(*PER_CLASS)
        assert answer.code in (0, 4), answer.err
        assert len(log(builder, "build")) == 1
        assert [event["event"] for event in bench.operator.journal()].count("built") == 1
        builds = [path for path in builder.home.rglob("spec.json") if '"task": "build"' in path.read_text()]
        assert len(builds) == 1
        assert set(log(other, "load")) == set(log(builder, "build"))

    def test_a_builder_s_link_that_breaks_is_taken_up_within_a_sweep(self, bench: Bench) -> None:
        """As any device's: what it builds goes on, and its class does not fail for it."""
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        (builder.home / "slow").write_text("4")
        plan = f'models = ["{bench.model}"]\nprecisions = ["fp32"]\nquick = true\nengines = "per-class"\n'
        (bench.operator.home / "plan.toml").write_text(plan)
        child = bench.operator.start("sweep", "plan.toml", "--json")
        wait_until(lambda: log(builder, "begin"), "the build begins", 60)
        builder.cut_sessions()
        out, err = child.communicate(timeout=60)
        assert child.returncode in (0, 4), err + out
        assert len(log(builder, "build")) == 1
        assert set(log(other, "load")) == set(log(builder, "build"))

    def test_an_engine_that_the_builder_made_with_another_runtime_is_built_again(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        child = bench.operator.start(*bench.arguments(*PER_CLASS))
        results = bench.operator.home / ".local" / "share" / "edgebench"
        wait_until(lambda: any('"built"' in path.read_text() for path in results.rglob("*.jsonl")), "it is built", 60)
        child.kill()
        child.wait()
        for server in (builder, other):
            (server.home / "tensorrt").write_text("11.4.0")
        engines = bench.engines(bench.deploy(*PER_CLASS))
        _, second = log(builder, "build")
        assert {use["sha256"] for uses in engines.values() for use in uses} == {second}

    def test_ctrl_c_while_others_wait_for_the_builder(self, bench: Bench) -> None:
        builder, other = bench.device("orin-1", extra=self.BUILDER), bench.device("orin-2")
        (builder.home / "slow").write_text("60")
        child = bench.operator.start(*bench.arguments(*PER_CLASS))
        wait_until(lambda: log(builder, "begin"), "the build begins", 60)
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=20)
        assert child.returncode == 130
        assert "the job on orin-1 was cancelled" in err
        assert log(builder, "build") == log(other, "load") == []


def test_the_time_that_is_told_is_the_operator_s_with_the_look_at_the_devices(bench: Bench) -> None:
    server = bench.device("orin-1")
    python, slow_s = server.folder / "python", 5.0
    python.write_text(f'#!/bin/sh\n[ "$2" != probe ] || sleep {slow_s}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fleet = bench.operator.home / "fleet.toml"
    fleet.write_text(fleet.read_text().replace(f'python = "{sys.executable}"', f'python = "{python}"'))
    begin = time.monotonic()
    answer = bench.deploy()
    assert answer.code in (0, 4), answer.err
    assert time.monotonic() - begin - answer.json["seconds"] < slow_s, "what is left is to start and to end Python"


A100_SMI = """#!/bin/sh
case "$1" in
    -L) echo 'GPU 0: stand-in for an A100' ;;
    --query-gpu=compute_cap) echo 8.0 ;;
    --query-gpu=name) echo 'stand-in for an A100' ;;
    *) exit 2 ;;
esac
"""


class TestAhead:
    """Engines of this machine for a GPU that is elsewhere: the path, by the stand-in as `tensorrt-rtx`. No engine of
    TensorRT-RTX is loaded anywhere here."""

    ASKED = ("--backend", "tensorrt-rtx", "--engines", "ahead")

    @pytest.fixture
    def a100(self, bench: Bench) -> Sshd:
        """A device with the stand-in and a GPU of SM80, by what its nvidia-smi says; this machine has no GPU."""
        server = bench.device("gpu-1", version="1.7.0", profile="a100-80gb")
        tools, python = server.folder / "tools", server.folder / "python"
        tools.mkdir()
        (tools / "nvidia-smi").write_text(A100_SMI)
        python.write_text(f'#!/bin/sh\nPATH={tools}:$PATH exec {sys.executable} "$@"\n')
        for file in (tools / "nvidia-smi", python):
            file.chmod(0o755)
        fleet = bench.operator.home / "fleet.toml"
        fleet.write_text(fleet.read_text().replace(f'python = "{sys.executable}"', f'python = "{python}"'))
        (bench.operator.home / "tensorrt").write_text("1.7.0")
        return server

    def export(self, bench: Bench, *more: object) -> Any:
        asked = ("--precision", "fp32", "--engine", "tensorrt-rtx", "--target", "sm80")
        answer = bench.operator.run("export", bench.model, *asked, *more, "--json")
        assert answer.code == 0, answer.err
        return answer.json["artifacts"][0]

    def test_the_engine_for_the_device_s_gpu_is_shipped_checked_and_timed(self, bench: Bench, a100: Sshd) -> None:
        engine = self.export(bench)
        answer = bench.deploy(*self.ASKED, device="gpu-1")
        assert answer.code in (0, 4), answer.err + answer.out
        (row,) = answer.json["measurements"]
        result = bench.operator.stored(row["id"])["result"]
        report = result["engine"]["report"]
        assert (log(a100, "build"), set(log(a100, "load"))) == ([], {report["file"]["sha256"]})
        assert (row["backend"], row["engine"]["why"]) == ("tensorrt-rtx", "built by this machine, ahead of time")
        assert (result["artifact"], report["made_of"]["target"]) == (engine["parent"], "sm80")
        assert "gpu_name" not in report["made_of"], "it was built without one"
        assert result["processes"][0]["parity_after"]["error"] <= result["processes"][0]["parity_after"]["limit"]
        said = f"engine {engine['id'][:12]} of tiny/onnx fp32 batch 1 on tensorrt-rtx on gpu-1: built here for sm80"
        assert said in answer.json["choices"]

    def test_one_with_bounds_serves_the_batches_within(self, bench: Bench, a100: Sshd) -> None:
        self.export(bench, "--bounds", "1:4:8")
        answer = bench.deploy(*self.ASKED, "--batch", "1,8", device="gpu-1")
        assert answer.code in (0, 4), answer.err + answer.out
        assert len({row["engine"]["sha256"] for row in answer.json["measurements"]}) == 1
        refused = bench.deploy(*self.ASKED, "--batch", "9", device="gpu-1")
        assert (refused.code, "(there is: sm80 by 1.7.0, batch 1:4:8)" in refused.err) == (2, True), refused.err

    def test_without_one_the_export_that_makes_it_is_told_before_any_work(self, bench: Bench, a100: Sshd) -> None:
        refused = bench.deploy(*self.ASKED, "--batch", "4", device="gpu-1")
        assert refused.code == 2
        command = f"export {bench.model} --precision fp32 --batch 4 --engine tensorrt-rtx --target sm80"
        assert (
            "--engines: there is no engine of tiny/onnx fp32 batch 4 on tensorrt-rtx 1.7.0 for sm80; make it, with "
            f"tensorrt-rtx 1.7.0 on this machine: edgebench {command}"
        ) in refused.err
        assert not list(a100.home.rglob("artifacts/*"))
        assert bench.operator.run(*command.split()).code == 0
        assert bench.deploy(*self.ASKED, "--batch", "4", device="gpu-1").code in (0, 4)

    def test_one_of_another_version_or_target_is_none(self, bench: Bench, a100: Sshd) -> None:
        self.export(bench)
        (a100.home / "tensorrt").write_text("1.8.0")
        refused = bench.deploy(*self.ASKED, device="gpu-1")
        assert "tensorrt-rtx 1.8.0 for sm80 (there is: sm80 by 1.7.0, batch 1)" in refused.err
        (a100.home / "tensorrt").write_text("1.7.0")
        smi = a100.folder / "tools" / "nvidia-smi"
        smi.write_text(smi.read_text().replace("8.0", "9.0"))
        refused = bench.deploy(*self.ASKED, device="gpu-1")
        assert "tensorrt-rtx 1.7.0 for sm90 (there is: sm80 by 1.7.0, batch 1)" in refused.err
        assert (refused.code, log(a100, "load")) == (2, [])

    def test_what_would_build_it_otherwise_is_refused(self, bench: Bench, a100: Sshd) -> None:
        self.export(bench)
        asked = {
            ("--rebuild",): "--engines: an engine that was built ahead of time is not built again",
            ("--option", "level=5"): "--option: level is for building, and the engine is built",
            ("--backend", "onnxruntime"): "--engines: only tensorrt-rtx builds ahead of time",
        }
        for more, said in asked.items():
            refused = bench.deploy(*self.ASKED, *more, device="gpu-1")
            assert (refused.code, said in refused.err) == (2, True), refused.err
        assert log(a100, "load") == []


class TestTakenUp:
    def interrupted(self, bench: Bench, slow_s: int) -> Sshd:
        """A device whose first cell is finished and whose second is under way; the controller is dead."""
        server = bench.device("orin-1")
        (server.home / "slow").write_text(str(slow_s))
        child = bench.operator.start(*bench.arguments("--batch", "1,8"))
        wait_until(lambda: len(log(server, "begin")) == 2, "the second cell has begun", 60)
        child.kill()
        child.wait()
        return server

    def test_what_another_runtime_measured_is_measured_anew_and_that_is_said(self, bench: Bench) -> None:
        """Cell 1 is finished, cell 2 under way when the controller dies; then the device gets another TensorRT."""
        server = self.interrupted(bench, slow_s=2)
        wait_until(lambda: len(list(server.home.rglob("result.json"))) == 2, "the device ends it by itself", 60)
        (server.home / "tensorrt").write_text("11.4.0")
        (server.home / "slow").unlink()
        answer = bench.operator.run(*bench.arguments("--batch", "1,8"))
        assert answer.code in (0, 4), answer.err + answer.out
        why = "runtime_version was 10.3.0, is 11.4.0"
        label = "tiny/onnx fp32 batch {} on tensorrt"
        said = f"orin-1 has changed since this run was interrupted ({why}): measured anew: "
        assert said + ", ".join(map(label.format, (1, 8))) in answer.out
        assert "measured before in this run" not in answer.out
        done = [event["measurement"] for event in bench.operator.journal() if event["event"] == "done"]
        used = [bench.operator.stored(name)["result"]["switches"]["runtime_version"] for name in done]
        assert used == ["10.3.0", "11.4.0", "11.4.0"]

    def test_what_the_same_runtime_measured_is_kept(self, bench: Bench) -> None:
        server = self.interrupted(bench, slow_s=1)
        answer = bench.deploy("--batch", "1,8")
        assert answer.code in (0, 4), answer.err
        assert [row["earlier"] for row in answer.json["measurements"]] == [True, False]
        assert (answer.json["measured_anew"], len(log(server, "build"))) == ([], 2)

    def test_a_device_that_no_plan_had_to_ask_is_asked_when_its_run_is_taken_up(self, bench: Bench) -> None:
        """It runs onnxruntime, which is not looked for before a plan is made; meanwhile it got another kernel."""
        server, other = bench.device("orin-1", version=None), bench.device("orin-2", version=None)
        (other.folder / "authorized_keys").rename(other.folder / "away")
        assert bench.deploy("--backend", "onnxruntime").code == 3
        (other.folder / "away").rename(other.folder / "authorized_keys")
        (server.folder / "sitecustomize.py").write_text('import platform\nplatform.release = lambda: "7.0-new"\n')
        python = server.folder / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={server.folder} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        fleet = bench.operator.home / "fleet.toml"
        fleet.write_text(fleet.read_text().replace(f'python = "{sys.executable}"', f'python = "{python}"', 1))
        answer = bench.deploy("--backend", "onnxruntime")
        assert answer.code in (0, 4), answer.err
        assert [row["earlier"] for row in answer.json["measurements"]] == [False, False]
        (anew,) = answer.json["measured_anew"]
        assert anew["device"] == "orin-1"
        assert anew["why"] == f"kernel was {os.uname().release}, is 7.0-new"

    def test_a_rebuild_takes_up_no_run_that_went_without(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        (server.home / "slow").write_text("1")
        child = bench.operator.start(*bench.arguments("--batch", "1,8"))
        wait_until(lambda: len(log(server, "begin")) == 2, "the second cell has begun", 60)
        os.killpg(child.pid, signal.SIGINT)
        child.communicate()
        (server.home / "slow").unlink()
        uses = bench.engines(bench.deploy("--batch", "1,8", "--rebuild"))["orin-1"]
        assert [use["why"] for use in uses] == ["built anew, as was asked"] * 2


class TestEngines:
    def test_an_old_parser_refuses_a_file_that_is_too_new_and_reads_one_that_is_not(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        """The model is written with opset 17; TensorRT 8.x reads no newer, TensorRT 10 does."""
        onnx = pytest.importorskip("onnx")
        bench.device("orin-1", version="8.6.2")
        bench.device("orin-2", version="10.3.0")
        answer = bench.deploy()
        assert [row["device"] for row in answer.json["measurements"]] == ["orin-1", "orin-2"]
        assert "opset 17 or older for orin-1 (tensorrt 8.6.2 reads no newer)" in answer.json["choices"]
        model = onnx.load(bench.model)
        model.opset_import[0].version = 18
        onnx.save(model, tmp_path / "newer.onnx")
        bench.model = tmp_path / "newer.onnx"
        refused = bench.deploy()
        assert [row["device"] for row in refused.json["measurements"]] == ["orin-2"]
        assert "the file has opset 18, over 17" in refused.json["failed"][0]["error"]["message"]

    def test_the_operator_s_own_data_goes_along(self, bench: Bench, tmp_path: Path) -> None:
        images = np.random.default_rng(3).random((4, 3, 32, 32), dtype=np.float32)
        np.savez(tmp_path / "mine.npz", images=images)
        bench.device("orin-1")
        answer = bench.deploy("--inputs", tmp_path / "mine.npz")
        assert answer.code in (0, 4), answer.err + answer.out
        row = answer.json["measurements"][0]
        shown = bench.operator.stored(row["id"])
        assert shown["origin"]["inputs"]["samples"] == 4
        assert shown["cell"]["inputs"] == shown["origin"]["inputs"]["sha256"]
        assert shown["result"]["processes"][0]["parity_before"]["error"] < 1e-3, "checked against the FP32 export"

    def test_a_lottery_builds_as_many_engines_as_were_asked_for(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        answer = bench.deploy("--builds", "3")
        engines = bench.engines(answer)["orin-1"]
        assert len({use["sha256"] for use in engines}) == 3
        assert len(log(server, "build")) == 3

    def test_without_bounds_an_engine_a_batch_is_built_once_and_again_when_asked(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        answers = [bench.deploy("--batch", "1,8", *more) for more in ((), (), ("--rebuild",))]
        assert [answer.code in (0, 4) for answer in answers] == [True] * 3
        assert len(set(log(server, "build"))) == 4
        assert [answer.json["building_s"] > 0 for answer in answers] == [True, False, True]

    def test_bounds_make_one_engine_for_every_batch_within_and_a_rebuild_one_more(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        for times, more in ((1, ()), (2, ("--rebuild",))):
            answer = bench.deploy("--batch", "1,8", "--bounds", "1:4:8", *more)
            assert answer.code in (0, 4), answer.err + answer.out
            built = log(server, "build")
            assert len(built) == times
            for row in answer.json["measurements"]:
                report = bench.operator.stored(row["id"])["result"]["engine"]["report"]
                assert report["profiles"] == [{"batch": {"min": 1, "opt": 4, "max": 8}}]
                assert report["file"]["sha256"] == built[-1]

    def test_a_second_opinion_that_is_not_there_is_refused_before_anything_is_sent(self, bench: Bench) -> None:
        server = bench.device("orin-1")
        answer = bench.deploy("--check-with", "trtexec")
        assert answer.code == 1
        assert answer.json["failed"][0]["error"]["message"].startswith("trtexec is not there (")
        assert not list(server.home.rglob("model.onnx"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--builds", "0"), "--builds: 0 is not between 1 and 100"),
        (("--bounds", "1:8"), "--bounds: '1:8' is not MIN:OPT:MAX; for example 1:8:32"),
        (("--bounds", "8:1:32"), "--bounds: 8:1:32 is not 1 <= min <= opt <= max"),
        (("--bounds", "1:8:32", "--batch", "64"), "--bounds: batch 64 is outside the bounds 1:8:32"),
        (("--pattern", "rate:0"), "--pattern: 0 arrivals a second are not between 0.01 and 100,000"),
        (("--pattern", "rate:30,often"), "--pattern: 'rate:30,often' is no rate"),
        (("--pattern", ""), "--pattern: unknown load pattern ''; allowed: serial, pipelined, rate"),
        (("--bounds", "1:4:1000000"), "--bounds: 1:4:1000000 is not 1 <= min <= opt <= max <= 65,536"),
        (("--backend", "tensort"), "--backend: unknown backend 'tensort' (did you mean 'tensorrt'?)"),
        (("--backend", "onnxruntime,"), "--backend: unknown backend ''"),
        (("--inputs", "no-such.npz"), "--inputs"),
        (("--engines", "theirs"), "'theirs' is not one of 'own', 'per-class', 'ahead'"),
        (("--check-with", "luck"), "'luck' is not"),
        (
            ("--check-with", "trtexec", "--pattern", "rate:30"),
            "--check-with: trtexec cannot run the load pattern rate:30; leave it out, or ask for serial or pipelined",
        ),
        (
            ("--check-with", "trtexec", "--option", "pinned=false"),
            "--check-with: trtexec copies from pinned memory alone; leave it out, or leave out --option pinned=false",
        ),
    ],
)
def test_a_bad_value_is_refused_before_any_work(
    operator: Operator, tiny_onnx: Path, arguments: tuple[str, ...], says: str
) -> None:
    """Nor is the device asked anything, whose profile leaves a choice of backends."""
    (operator.home / "fleet.toml").write_text(f'[devices.local]\nprofile = "{ORIN}"\n')
    answer = operator.run("deploy", tiny_onnx, "--quick", *arguments)
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err
    assert operator.files() == {"fleet.toml"}
