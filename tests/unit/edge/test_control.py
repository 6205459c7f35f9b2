"""What is changed on a device when it is asked for: from a command line, a plan or a fleet file to the job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.contract import (
    SCHEMA,
    Control,
    ControlReport,
    JobResult,
    Precision,
    ProcessResult,
    Reading,
    SampleRange,
)
from edge.checking.doctor import examine
from edge.checking.patient import Finding, Patient
from edge.inventory.devices import Device, Fleet
from edge.inventory.fleet_file import load_fleet
from edge.planning.choosing import Choices, Survey
from edge.planning.control import Wishes, control_of
from edge.planning.plan import Cell
from edge.results.special import special
from edge.results.store import Measurement, Origin
from edge.running.resuming import changed
from edge.sweeps.expand import expand
from edge.sweeps.plan_file import load_sweep
from export.artifact import Store
from profiles.errors import ConfigError
from profiles.schema import Thresholds
from tests.plans import answered, device

CELL = Cell("orin-1", "resnet18", "pytorch", "onnxruntime", Precision.FP16, 1)
ORIN, NANO = device("orin-1"), device("nano-1", "jetson-orin-nano-8gb")
A100, LOCAL = device("gpu-1", "a100-80gb"), device("local", "local")


class TestWhatADeviceOfAnotherKindCannotHave:
    @pytest.mark.parametrize(
        ("wishes", "of", "where", "message"),
        [
            (Wishes(power_mode="MAXN"), A100, "--power-mode",
             "is for a Jetson; gpu-1 is a discrete NVIDIA GPU by its profile"),
            (Wishes(lock_clocks=True), LOCAL, "--lock-clocks",
             "is for a Jetson or a discrete NVIDIA GPU; local is a CPU by its profile"),
            (Wishes(persistence=True), ORIN, "--persistence",
             "is for a discrete NVIDIA GPU; orin-1 is a Jetson by its profile"),
            (Wishes(power_mode=" "), ORIN, "--power-mode", "is empty"),
        ],
    )  # fmt: skip
    def test_is_refused_before_any_work(self, wishes: Wishes, of: Device, where: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            wishes.check(of)
        assert (caught.value.where, caught.value.message) == (where, message)

    def test_is_not_what_it_can(self) -> None:
        Wishes(lock_clocks=True, power_mode="MAXN", shared=True).check(ORIN)
        Wishes(lock_clocks=True, persistence=True).check(A100)
        Wishes(shared=True).check(LOCAL)


class TestTheCell:
    @pytest.mark.parametrize(
        "field", [{"lock_clocks": True}, {"power_mode": "15W"}, {"persistence": True}, {"shared": True}]
    )
    def test_is_another_with_each_of_them(self, field: dict[str, object]) -> None:
        assert replace(CELL, **field).id != CELL.id  # type: ignore[arg-type]

    def test_says_so(self) -> None:
        cell = replace(CELL, lock_clocks=True, power_mode="15W", persistence=True, shared=True)
        assert cell.label == "resnet18/pytorch fp16 batch 1 in 15W on onnxruntime"
        assert special(cell) == ["locked clocks", "power mode 15W", "persistence", "shared"]


class TestTheJob:
    PRODUCT = replace(ORIN, quiesce=("stop", "it"), resume=("start", "it"))

    def test_is_told_all_of_it(self) -> None:
        cell = replace(CELL, lock_clocks=True, power_mode="15W", persistence=True)
        assert control_of(cell, self.PRODUCT) == Control(True, "15W", True, ("stop", "it"), ("start", "it"))

    def test_leaves_the_product_alone_beside_which_it_measures(self) -> None:
        assert control_of(replace(CELL, shared=True), self.PRODUCT) == Control(shared=True)


class TestAPlan:
    TEXT = """
        models = ["resnet18"]
        frameworks = ["pytorch"]
        backends = ["onnxruntime"]
        weights = "random"
    """

    def cells(self, tmp_path: Path, text: str, *devices: Device) -> tuple[Cell, ...]:
        path = tmp_path / "plan.toml"
        path.write_text(self.TEXT + text)
        fleet = Fleet({one.name: one for one in devices})
        return expand(load_sweep(path), devices, fleet, Store(tmp_path / "store"), Choices(), Survey())

    def test_has_power_modes_as_an_axis(self, tmp_path: Path) -> None:
        found = self.cells(tmp_path, 'power_modes = ["15W", "MAXN"]\nlock_clocks = true\n', ORIN)
        assert [(cell.power_mode, cell.lock_clocks) for cell in found] == [("15W", True), ("MAXN", True)]
        assert len({cell.id for cell in found}) == 2

    def test_leaves_one_out_by_a_rule(self, tmp_path: Path) -> None:
        text = 'power_modes = ["15W", "MAXN"]\n[[exclude]]\npower_mode = "15*"\ndevices = "orin-1"\n'
        found = self.cells(tmp_path, text, ORIN, NANO)
        assert sorted((cell.device, str(cell.power_mode)) for cell in found) == [
            ("nano-1", "15W"), ("nano-1", "MAXN"), ("orin-1", "MAXN"),
        ]  # fmt: skip

    @pytest.mark.parametrize(("key", "line"), [
        ("power_modes", 'power_modes = ["MAXN"]'), ("persistence", "persistence = true"),
    ])  # fmt: skip
    def test_is_told_its_own_key(self, tmp_path: Path, key: str, line: str) -> None:
        of = A100 if key == "power_modes" else ORIN
        with pytest.raises(ConfigError, match="is for a") as caught:
            self.cells(tmp_path, line, of)
        assert caught.value.where == f"{tmp_path / 'plan.toml'}, key '{key}'"


class TestARunThatIsTakenUp:
    """Between cells a device is in its own mode, which is no change of the device."""

    def measured(self, cell: Cell) -> Measurement:
        process = ProcessResult(0, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 1), 1, True, 1, 1, {})
        result = JobResult(
            SCHEMA, "job-1", "a" * 64, "onnxruntime", "now", {}, {"power_mode": Reading("15W")}, {}, (process,), 1,
            "0" * 64, {},
        )  # fmt: skip
        origin = Origin("local", "15W", Thresholds(), "a" * 64, "random", "b" * 64, "0")
        return Measurement("job-1", "run-1", cell, origin, "now", result)

    @pytest.mark.parametrize(("asked", "why"), [("15W", ""), (None, "power_mode was 15W, is MAXN")])
    def test_keeps_what_was_measured_in_a_mode_that_was_asked_for(self, asked: str | None, why: str) -> None:
        found = answered(onnxruntime="1.18.0")["onnxruntime"]
        now = replace(found, probe=replace(found.probe, identity={"power_mode": Reading("MAXN")}))
        assert changed(self.measured(replace(CELL, power_mode=asked)), now) == why


class TestTheFleetFile:
    def load(self, tmp_path: Path, keys: str) -> Device:
        path = tmp_path / "fleet.toml"
        path.write_text(f'[devices.board]\nprofile = "jetson-agx-orin-64gb"\n{keys}')
        return load_fleet(path).devices["board"]

    def test_says_what_stops_a_product_and_starts_it(self, tmp_path: Path) -> None:
        board = self.load(tmp_path, 'quiesce = ["stop", "it"]\nresume = ["start", "it"]\n')
        assert (board.quiesce, board.resume) == (("stop", "it"), ("start", "it"))

    @pytest.mark.parametrize(("keys", "message"), [
        ('quiesce = ["stop"]', "is missing beside quiesce: what is stopped is started again"),
        ('resume = ["start"]', "is missing beside resume"),
        ('quiesce = [""]\nresume = ["start"]', "is no command"),
        ('quiesce = "stop"\nresume = ["start"]', "quiesce"),
    ])  # fmt: skip
    def test_is_told_what_is_wrong(self, tmp_path: Path, keys: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            self.load(tmp_path, keys)
        assert message in f"{caught.value.message} {caught.value.where}"


class TestTheDoctor:
    def findings(self, control: ControlReport | None, **context: Reading) -> dict[str, Finding]:
        found = {
            name: replace(one, probe=replace(one.probe, kind="jetson", context={**one.probe.context, **context}))
            for name, one in answered(onnxruntime="1.18.0").items()
        }
        return {one.check: one for one in examine(Patient(ORIN, found, (0.0, 0.0), control))}

    def test_names_what_can_be_turned_and_what_sudo_lacks_as_a_note(self) -> None:
        knobs = {"lock_clocks": "", "power_mode": "there is no nvpmodel"}
        report = ControlReport(knobs, "nvidia ALL=(root) NOPASSWD: /x", "sudo install -d")
        note = self.findings(report)["control"]
        assert note.severity == "note"
        assert note.what == "--lock-clocks can be asked for, once sudo lets its user"
        assert note.why == "--power-mode: there is no nvpmodel"
        assert note.command == (
            "sudo install -d; then sudo visudo -f /etc/sudoers.d/edgebench, and add: nvidia ALL=(root) NOPASSWD: /x"
        )

    def test_says_nothing_of_a_device_without_knobs(self) -> None:
        assert "control" not in self.findings(ControlReport({}))

    def test_stops_at_what_a_job_left_that_cannot_be_put_back(self) -> None:
        told = {"not_put_back": Reading("job a was killed here"), "remedy": Reading("do this")}
        found = self.findings(None, **told)["not_put_back"]
        assert (found.severity, found.what, found.command) == ("stops", "job a was killed here", "do this")
