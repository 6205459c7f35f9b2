"""A plan file is read strictly, and becomes the cells that it means, in an order that is fair."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.contract import Precision, Timing
from edge.inventory.devices import Fleet
from edge.planning.choosing import Choices, Survey
from edge.planning.plan import Cell
from edge.planning.sizes import told as told_size
from edge.report import standing
from edge.sweeps.estimate import estimate
from edge.sweeps.expand import expand, identity, in_fair_order
from edge.sweeps.plan_file import load_sweep
from export.artifact import Artifact, Store
from profiles.errors import ConfigError
from profiles.load import sweep_plan, sweep_plan_names
from tests.plans import answered, artifact, device

FLEET = Fleet({name: device(name, profile) for name, profile in (
    ("orin-1", "jetson-agx-orin-64gb"), ("nano-1", "jetson-orin-nano-8gb"), ("a100-1", "a100-80gb"),
)})  # fmt: skip
DEVICES = tuple(FLEET.devices.values())
SMALL = """
models = ["resnet18", "resnet50"]
frameworks = ["pytorch"]
precisions = ["fp16"]
batches = [1, 8]
backends = ["onnxruntime"]
weights = "random"
"""


def cells(tmp_path: Path, text: str, choices: Choices | None = None) -> tuple[Cell, ...]:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return expand(load_sweep(path), DEVICES, FLEET, Store(tmp_path / "store"), choices or Choices(), Survey())


def test_axes_are_multiplied_on_every_device(tmp_path: Path) -> None:
    found = cells(tmp_path, SMALL)
    assert len(found) == len({cell.id for cell in found}) == 3 * 2 * 2
    assert {(cell.model, cell.batch) for cell in found if cell.device == "nano-1"} == {
        ("resnet18", 1), ("resnet18", 8), ("resnet50", 1), ("resnet50", 8),
    }  # fmt: skip


def test_precisions_patterns_frameworks_and_sizes_are_axes_too(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        """
        models = ["resnet50"]
        frameworks = ["pytorch", "tensorflow"]
        precisions = ["fp32", "fp16"]
        patterns = ["serial", "rate:30"]
        sizes = ["224", "384x320"]
        backends = ["onnxruntime"]
        weights = "random"
        """,
    )
    assert len(found) == 3 * 2 * 2 * 2 * 2
    assert {cell.size for cell in found} == {(224, 224), (384, 320)}
    assert {str(cell.pattern) for cell in found} == {"serial", "rate:30"}


def test_an_include_adds_what_it_says_and_takes_the_rest_from_the_plan(tmp_path: Path) -> None:
    found = cells(tmp_path, SMALL + '[[include]]\nmodels = ["resnet34"]\nbatches = [64]\ndevices = "a100"\n')
    more = [cell for cell in found if cell.model == "resnet34"]
    assert [(cell.device, cell.batch, cell.precision) for cell in more] == [("a100-1", 64, Precision.FP16)]
    assert len(found) == 13


def test_an_exclude_leaves_out_what_matches_all_of_its_keys(tmp_path: Path) -> None:
    found = cells(tmp_path, SMALL + '[[exclude]]\nmodel = "*50"\nbatch = 8\ndevices = "orin"\n')
    assert len(found) == 10
    assert {cell.device for cell in found if (cell.model, cell.batch) == ("resnet50", 8)} == {"a100-1"}


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ('size = "224"', {("384x320", "serial"), ("384x320", "soak:60m")}),
        ('size = "384x320"', {("224x224", "serial"), ("224x224", "soak:60m")}),
        ('pattern = "soak:1h"', {("224x224", "serial"), ("384x320", "serial")}),
        ('pattern = "soak:*"', {("224x224", "serial"), ("384x320", "serial")}),
        ('pattern = "soak:3600s"\nsize = "*x*"', {("224x224", "serial"), ("384x320", "serial")}),
        ('size = "224x*"', {("384x320", "serial"), ("384x320", "soak:60m")}),
    ],
)
def test_an_exclude_is_spelled_as_the_plans_own_axes_are(tmp_path: Path, rule: str, left: set[tuple[str, str]]) -> None:
    axes = 'sizes = ["224", "384x320"]\npatterns = ["serial", "soak:1h"]\n'
    found = cells(tmp_path, f"{SMALL}{axes}[[exclude]]\n{rule}\n")
    assert {(told_size(cell.size), str(cell.pattern)) for cell in found if cell.size} == left


def test_an_exclude_names_a_file_as_the_plan_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gate.onnx").write_bytes(b"")
    plan = SMALL.replace('"resnet50"', '"./gate.onnx"').replace('frameworks = ["pytorch"]\n', "")
    assert {cell.model for cell in cells(tmp_path, plan)} == {"resnet18", "gate"}
    assert {cell.model for cell in cells(tmp_path, plan + '[[exclude]]\nmodel = "./gate.onnx"\n')} == {"resnet18"}


def test_an_exclude_that_excludes_nothing_is_told(tmp_path: Path) -> None:
    choices = Choices()
    cells(tmp_path, SMALL + '[[exclude]]\nmodel = "vit*"\n', choices)
    assert choices.notes == [f"{tmp_path / 'plan.toml'}, key 'exclude[0]': excludes nothing"]


def test_a_plan_that_excludes_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is left to measure"):
        cells(tmp_path, SMALL + '[[exclude]]\nmodel = "*"\n')


def test_every_other_round_goes_backwards(tmp_path: Path) -> None:
    found = [cell for cell in cells(tmp_path, SMALL + "repeats = 3\n") if cell.device == "orin-1"]
    order = [(cell.model, cell.batch) for cell in found]
    assert [cell.repeat for cell in found] == [0] * 4 + [1] * 4 + [2] * 4
    assert order[4:8] == order[:4][::-1]
    assert order[8:] == order[:4]
    assert len({cell.id for cell in found}) == 12


def test_a_soak_is_one_process_of_its_own_length_unless_more_are_asked(tmp_path: Path) -> None:
    axes = 'patterns = ["serial", "soak:10m"]\n'
    timings = {str(cell.pattern): cell.timing for cell in cells(tmp_path, SMALL + axes)}
    assert (timings["soak:10m"].processes, timings["soak:10m"].duration_s, timings["soak:10m"].cap_s) == (1, 600, 600)
    assert timings["serial"].processes == 5
    asked = {cell.timing.processes for cell in cells(tmp_path, SMALL + axes + "processes = 3\n")}
    assert asked == {3}


def test_devices_are_not_mixed_up_in_the_order(tmp_path: Path) -> None:
    found = cells(tmp_path, SMALL)
    shuffled = in_fair_order([*found[::2], *found[1::2]], 1)
    assert sorted(cell.id for cell in shuffled) == sorted(cell.id for cell in found)
    assert [cell.device for cell in shuffled] == ["orin-1"] * 4 + ["nano-1"] * 4 + ["a100-1"] * 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["plan.toml, key 'models'", "what is to be measured"]),
        ('model = ["resnet18"]\n', ["unknown key 'model' (did you mean 'models'?)"]),
        ('models = ["resnet19"]\n', ["plan.toml", "unknown model 'resnet19' (did you mean 'resnet18'?)"]),
        ("models = []\n", ["key 'models'", "is empty; what is to be measured?"]),
        ('models = ["resnet18"]\nbatches = []\n', ["key 'batches'", "is empty; leave it out instead"]),
        ('models = ["resnet18", "resnet18"]\n', ["key 'models'", "names resnet18 twice"]),
        ('models = ["resnet18"]\nframeworks = ["jax"]\n', ["key 'frameworks'", "unknown framework 'jax'"]),
        ('models = ["vit_b_16"]\nbackends = ["tensort"]\n', ["plan.toml, key 'backends': unknown backend 'tensort'"]),
        ('models = ["vit_b_16"]\nframeworks = ["onnx"]\n', ["plan.toml: model vit_b_16", "there is no onnx of it"]),
        ('models = ["resnet18"]\nprecisions = ["fp8"]\n', ["key 'precisions", "fp8"]),
        ('models = ["resnet18"]\nbatches = [0]\n', ["key 'batches'", "0 is not between 1 and 4096"]),
        ('models = ["resnet18"]\nsizes = ["big"]\n', ["key 'sizes'", "'big' is no size"]),
        ('models = ["resnet18"]\npatterns = ["rat"]\n', ["key 'patterns'", "rat"]),
        ('models = ["resnet18"]\nrepeats = 0\n', ["key 'repeats'", "0 is not between"]),
        ('models = ["resnet18"]\nprocesses = 0\n', ["key 'processes'", "plan.toml"]),
        ('models = ["resnet18"]\nbounds = ["1:2"]\n', ["key 'bounds'", "MIN:OPT:MAX"]),
        ('models = ["resnet18"]\ninputs = "no.npz"\n', ["key 'inputs'", "no.npz"]),
        ('models = ["resnet18"]\n[limits]\ncell_timeout = "soon"\n', ["limits.cell_timeout", "'soon' is no duration"]),
        ('models = ["resnet18"]\n[limits]\nmax_bytes = "5"\n', ["limits.max_bytes", "no amount of data"]),
        (
            'models = ["resnet18"]\n[limits]\nrepeat_invalid = 11\n',
            ["limits.repeat_invalid", "11 is not between"],
        ),
        ('models = ["resnet18"]\npatterns = ["soak:10"]\n', ["key 'patterns'", "write soak:90s"]),
        ('models = ["resnet18"]\n[limits]\nmax_failures = 0\n', ["limits.max_failures", "0 is not between"]),
        ('models = ["resnet18"]\n[[exclude]]\n', ["exclude[0]", "has no key"]),
        ('models = ["resnet18"]\n[[exclude]]\nbatches = [1]\n', ["exclude[0]", "did you mean 'batch'?"]),
        ('models = ["resnet18"]\n[[include]]\nbatch = [1]\n', ["include[0]", "did you mean 'batches'?"]),
    ],
)
def test_a_mistake_names_the_file_and_the_key(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        cells(tmp_path, text)
    for words in said:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_names_the_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plan.toml, key 'exclude\[0\].devices'.*orrin"):
        cells(tmp_path, SMALL + '[[exclude]]\ndevices = "orrin"\n')


def test_a_sweep_is_the_same_one_however_patient_it_is_and_whatever_answers(tmp_path: Path) -> None:
    names = {}
    for key, text in {
        "plain": SMALL, "patient": SMALL + "[limits]\nlink_retries = 9\n", "comment": "# hello\n" + SMALL,
        "larger": SMALL + "repeats = 2\n",
    }.items():  # fmt: skip
        path = tmp_path / f"{key}.toml"
        path.write_text(text)
        names[key] = identity(load_sweep(path), DEVICES)
    assert names["plain"] == names["patient"] == names["comment"] != names["larger"]
    assert identity(load_sweep(tmp_path / "plain.toml"), DEVICES[:2]) != names["plain"]


@pytest.mark.parametrize("named", ["models", "weights"])
def test_a_file_that_became_another_is_another_sweep(tmp_path: Path, named: str) -> None:
    """A run that is taken up would measure the new one under the name of the old."""
    path, file = tmp_path / "plan.toml", tmp_path / "net.onnx"
    path.write_text(f'models = ["{file}"]\n' if named == "models" else f'models = ["resnet18"]\nweights = "{file}"\n')
    file.write_bytes(b"\x08\x08")
    before = identity(load_sweep(path), DEVICES)
    assert identity(load_sweep(path), DEVICES) == before
    file.write_bytes(b"\x08\x09")
    assert identity(load_sweep(path), DEVICES) != before


def test_with_another_builder_it_is_another_sweep(tmp_path: Path) -> None:
    """The cells of a run that is taken up wait for engines of the builder that there was."""
    path = tmp_path / "plan.toml"
    path.write_text(SMALL + 'engines = "per-class"\n')
    sweep = load_sweep(path)
    assert identity(sweep, DEVICES, {"orin-2": "orin-1"}) != identity(sweep, DEVICES, {})


@pytest.mark.parametrize("name", sweep_plan_names())
@pytest.mark.parametrize("alone", [True, False])
def test_the_plans_that_come_with_edgebench_can_be_read(tmp_path: Path, name: str, alone: bool) -> None:
    local = {"local": device("local", "local")}
    fleet = Fleet(local if alone else {**FLEET.devices, **local})
    devices = tuple(fleet.devices.values())
    assert expand(load_sweep(sweep_plan(name)), devices, fleet, Store(tmp_path), Choices(), Survey())


class TestAnInclude:
    PLAN = (
        SMALL
        + """
        [[include]]
        models = ["resnet18"]
        batches = [1]
        backends = ["pytorch"]
        options = { mode = "compile" }
        """
    )

    def test_may_have_options_of_its_own(self, tmp_path: Path) -> None:
        found = [cell for cell in cells(tmp_path, self.PLAN) if cell.options]
        assert {(cell.model, cell.backend, cell.batch) for cell in found} == {("resnet18", "pytorch", 1)}
        assert {cell.options["mode"] for cell in found} == {"compile"}

    def test_without_them_has_the_plans(self, tmp_path: Path) -> None:
        plan = "options = { threads = 2 }\n" + self.PLAN.replace('options = { mode = "compile" }', "")
        assert {cell.options["threads"] for cell in cells(tmp_path, plan)} == {2}

    def test_for_devices_that_are_not_there_is_noted(self, tmp_path: Path) -> None:
        choices = Choices()
        plan = self.PLAN + 'devices = "not orin and not a100"\n'
        assert not [cell for cell in cells(tmp_path, plan, choices) if cell.options]
        assert "an [[include]] is for not orin and not a100" in choices.notes[0]


class TestWhatIsNotThere:
    def test_is_left_out_and_noted_where_the_plan_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.toml"
        path.write_text(SMALL.replace('["onnxruntime"]', '["onnxruntime", "tensorrt"]') + "if_there = true\n")
        lacks = Survey({"orin-1": answered(onnxruntime="1.20", tensorrt=None)})
        choices, sweep = Choices(), load_sweep(path)
        assert sweep.abilities
        found = expand(sweep, DEVICES[:1], FLEET, Store(tmp_path / "store"), choices, lacks)
        assert {cell.backend for cell in found} == {"onnxruntime"}
        (note,) = choices.notes
        assert note.startswith("left out on orin-1: tensorrt, which does not run there (ModuleNotFoundError")

    def test_of_int8_is_made_with_what_the_plan_names(self, tmp_path: Path) -> None:
        int8 = SMALL.replace('["fp16"]', '["int8"]')
        with pytest.raises(ConfigError, match="what to calibrate on is not known"):
            cells(tmp_path, int8)
        assert {cell.precision for cell in cells(tmp_path, int8 + 'calibrate = "random"\n')} == {Precision.INT8}
        path = tmp_path / "plan.toml"
        path.write_text(int8 + 'calibrate = "photos"\n')
        assert load_sweep(path).base.calibrate == str(tmp_path / "photos")


class TestTiming:
    PLAN = SMALL + "[timing]\niterations = 5000\n[quick_timing]\nprocesses = 1\niterations = 11\n"

    def test_is_the_plans_and_of_a_first_look_its_own(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.toml"
        path.write_text(self.PLAN)
        assert load_sweep(path).base.timing.iterations == 5000
        quick = load_sweep(path, quick=True)
        assert (quick.base.timing.iterations, quick.base.timing.processes) == (11, 1)
        assert quick.sha256 != load_sweep(path).sha256

    def test_asked_for_on_the_command_line_is_the_plans_own_quick(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.toml"
        path.write_text(SMALL)
        typed = load_sweep(path, quick=True)
        assert typed.base.timing == Timing.quick()
        path.write_text(SMALL + "quick = true\n")
        assert load_sweep(path).sha256 == typed.sha256

    def test_that_cannot_be_names_its_key(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"key .quick_timing\.processes.: 0 is not between"):
            cells(tmp_path, SMALL + "[quick_timing]\nprocesses = 0\n")


def test_an_estimate_counts_a_model_once_a_device_and_says_what_is_to_be_exported(tmp_path: Path) -> None:
    found = cells(tmp_path, SMALL)
    its = artifact()

    def there(cell: Cell) -> Artifact | None:
        return its if cell.model == "resnet18" else None

    told = estimate(found, there, {found[0].id: 100.0})
    assert told.exports == ["resnet50/pytorch fp16"]
    assert {share.bytes for share in told.devices.values()} == {10}
    assert "10 bytes and more" in standing.shares(told, 80)
    assert "not known yet" in standing.shares(estimate(found, lambda _: None, {}), 80)
    assert (told.cells, told.known) == (12, 1)
    timing = found[0].timing
    least_s = timing.processes * (timing.warmup_s + timing.duration_s)
    assert told.seconds == 100 + 3 * least_s
