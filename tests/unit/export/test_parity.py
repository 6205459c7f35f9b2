"""The parity measure and its limits, on arrays; and how graphs are run for it."""

from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import Precision
from export.judging.parity import compare, judge, relative_error, run
from profiles.errors import ExportError, ParityError

RANDOM = np.random.default_rng(0)
Y = RANDOM.normal(size=(8, 10)).astype(np.float32)
FP32, FP16, INT8 = Precision.FP32, Precision.FP16, Precision.INT8


def off_by(error: float) -> np.ndarray:
    """Y with exactly this relative error."""
    noise = RANDOM.normal(size=Y.shape)
    return Y + noise * error * np.linalg.norm(Y - Y.mean(axis=0)) / np.linalg.norm(noise)


def judged(error: float, precision: Precision, **options):
    return judge(compare({"y": Y}, {"y": off_by(error)}), precision, **options)


def test_the_error_is_relative_to_the_spread_over_the_batch_not_to_the_size() -> None:
    assert relative_error(Y, off_by(0.1)) == pytest.approx(0.1)
    shared = 1000.0  # what all samples share says nothing
    assert relative_error(Y.astype(np.float64) + shared, off_by(0.1) + shared) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("reference", "output", "told"),
    [
        (np.ones((8, 3)), np.full((8, 3), 1.5), "differs from the framework's, which is the same for every input"),
        (Y, np.full_like(Y, np.nan), "not finite"),
        (Y, np.full_like(Y, np.inf), "not finite"),
        (Y, Y[:, :5], "shape"),
    ],
)
def test_what_cannot_be_judged_is_an_error(reference: np.ndarray, output: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        relative_error(reference, output)
    with pytest.raises(ParityError, match=f"output 'y': .*{told}"):
        compare({"y": reference}, {"y": output})


def test_an_output_that_is_always_the_same_and_right_refuses_nothing() -> None:
    """Such as a flag that no sample raises, or the anchors of a detector."""
    flags = {"found": np.zeros((8, 1), bool), "anchors": np.tile(Y[:1], (8, 1))}
    compared = compare({"y": Y, **flags}, {"y": off_by(1e-4), **flags})
    assert judge(compared, FP32).errors == {"y": pytest.approx(1e-4), "found": 0.0, "anchors": 0.0}
    wrong = {"found": flags["found"], "anchors": flags["anchors"] + np.float32(1e-3)}
    with pytest.raises(ParityError, match="output 'anchors': it differs from the framework's, which is the same for"):
        compare({"y": Y, **flags}, {"y": Y, **wrong})


@pytest.mark.parametrize("reference", [np.ones((8, 3), np.float32), Y[:1], np.zeros((8, 1), bool)])
def test_outputs_that_are_all_the_same_for_every_sample_find_nothing(reference: np.ndarray) -> None:
    with pytest.raises(
        ParityError, match=r"output 'y': .*same for every input, so nothing can be compared; .*two samples"
    ):
        compare({"y": reference}, {"y": reference})


class TestWholeNumbers:
    """Classes and maps of them: how far apart two numbers are says nothing."""

    MAP = RANDOM.integers(0, 21, (8, 16, 16))

    def with_wrong(self, count: int) -> np.ndarray:
        other = self.MAP.copy()
        other.reshape(-1)[:count] = (other.reshape(-1)[:count] + 10) % 21
        return other

    def test_are_judged_by_the_share_that_differs(self) -> None:
        few = compare({"map": self.MAP}, {"map": self.with_wrong(8)})
        assert few.errors == {"map": 8 / self.MAP.size}
        passed = judge(few, FP32)
        assert (passed.tensor, passed.limit) == ("map", 0.02)
        with pytest.raises(
            ParityError, match=r"'map' is off by 2.44e-02 of its whole numbers, which differ, over .* 0.02"
        ):
            judge(compare({"map": self.MAP}, {"map": self.with_wrong(50)}), FP32)
        assert judge(compare({"map": self.MAP}, {"map": self.with_wrong(50)}), FP16).limit == 0.1

    @pytest.mark.parametrize("kind", [bool, np.uint8, np.int32])
    def test_are_of_any_width(self, kind: type) -> None:
        reference = (self.MAP > 10).astype(kind)
        compared = compare({"map": reference}, {"map": ~reference if kind is bool else 1 - reference})
        assert compared.errors == {"map": 1.0}
        assert compared.over_limit(INT8)

    def test_do_not_hide_the_limit_of_numbers(self) -> None:
        """The device holds numbers against the limit that is told of the worst output."""
        both = compare({"y": Y, "map": self.MAP}, {"y": off_by(1e-5), "map": self.with_wrong(30)})
        passed = judge(both, FP32)
        assert (passed.tensor, passed.limit) == ("y", 1e-3)
        assert passed.errors["map"] == 30 / self.MAP.size
        with pytest.raises(ParityError, match="'map' is off"):
            judge(compare({"y": Y, "map": self.MAP}, {"y": Y, "map": self.with_wrong(50)}), FP32)


def test_every_output_has_its_error_and_the_worst_is_named() -> None:
    compared = compare({"logits": Y, "aux": Y}, {"logits": off_by(0.01), "aux": off_by(0.5)})
    assert compared.errors == {"logits": pytest.approx(0.01), "aux": pytest.approx(0.5)}
    with pytest.raises(ParityError, match=r"output 'aux' is off by 5.00e-01 of its spread, over the limit of 0.02"):
        judge(compared, FP16)
    passed = judge(compared, FP16, limit=0.6)
    assert (passed.tensor, passed.error, passed.inputs) == ("aux", pytest.approx(0.5), 8)
    assert passed.errors == compared.errors
    assert 0.8 < passed.cosine < 0.95


def test_missing_outputs_are_named() -> None:
    with pytest.raises(ParityError, match=r"the graph's outputs are \['other'\], the framework's \['logits'\]"):
        compare({"logits": Y}, {"other": Y})


@pytest.mark.parametrize(("precision", "limit"), [(FP32, 1e-3), (FP16, 2e-2), (INT8, 0.5)])
def test_every_precision_has_its_limit(precision: Precision, limit: float) -> None:
    assert judged(0.99 * limit, precision).limit == limit
    assert not compare({"y": Y}, {"y": off_by(0.99 * limit)}).over_limit(precision)
    with pytest.raises(ParityError):
        judged(1.01 * limit, precision)
    assert compare({"y": Y}, {"y": off_by(1.01 * limit)}).over_limit(precision)


def test_fp16_may_be_twice_as_wrong_as_the_framework_itself() -> None:
    own = compare({"y": Y}, {"y": off_by(0.03)})
    excused = judged(0.05, FP16, framework=own)
    assert (excused.framework_error, excused.limit) == (pytest.approx(0.03), pytest.approx(0.06))
    assert (excused.label, judged(1e-4, FP32).label) == ("storage only", "")
    with pytest.raises(ParityError):
        judged(0.05, FP16, framework=compare({"y": Y}, {"y": off_by(0.02)}))
    assert judged(0.015, FP16, framework=compare({"y": Y}, {"y": off_by(1e-3)})).limit == 2e-2


def test_the_agreement_is_of_the_task() -> None:
    compared = compare({"logits": Y}, {"logits": off_by(1e-4)}, "classification")
    assert judge(compared, FP32).agreement == {"top1": 1.0, "top5": 1.0}
    assert judged(1e-4, FP32).agreement == {}


class TestRunning:
    small = pytest.importorskip("tests.unit.export.small_graphs", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

    def graph(self, batch: int | str = "batch", kind: int = 1):
        """y = x + x of (batch, 3), in any type."""
        return self.small.graph(
            [self.small.node("Add", ["x", "x"], ["y"])], {"x": [batch, 3]}, {"y": [batch, 3]}, kind=kind
        )

    @pytest.mark.parametrize("batch", ["batch", 1, 3])
    @pytest.mark.parametrize("at_once", [None, 2])
    def test_every_sample_has_its_output_whatever_the_batch(self, batch: int | str, at_once: int | None) -> None:
        x = RANDOM.normal(size=(5, 3)).astype(np.float32)
        found = run(self.graph(batch).SerializeToString(), {"x": x}, FP32, at_once)
        assert np.array_equal(found["y"], x * 2)

    @pytest.mark.parametrize("batch", ["batch", 1])
    @pytest.mark.parametrize(
        ("node", "shape", "told"),
        [
            (
                ("ReduceMax", {"keepdims": 0}),
                r"\(\)",
                "output 'z' has the shape {} for {} samples: its first dimension",
            ),
            (("Reshape", {}), r"\(3, {}\)", "output 'z' has the shape {} for {} samples: its first dimension"),
        ],
    )
    def test_an_output_whose_first_dimension_is_not_the_batch_is_named(
        self, batch: int | str, node: tuple[str, dict[str, int]], shape: str, told: str
    ) -> None:
        """Cut to the samples, most of them would never be compared."""
        op, attributes = node
        names = ["x", "s"] if op == "Reshape" else ["x"]
        model = self.small.graph(
            [self.small.node(op, names, ["z"], **attributes)], {"x": [batch, 3]}, {"z": None}, {"s": np.int64([3, -1])}
        )
        rows = 5 if batch == "batch" else 1
        with pytest.raises(ExportError, match=told.format(shape.format(rows), rows)):
            run(model.SerializeToString(), {"x": Y[:5, :3]}, FP32)

    def test_a_graph_is_run_from_its_file(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(self.graph().SerializeToString())
        assert run(tmp_path / "model.onnx", {"x": Y[:, :3]}, FP32)["y"].shape == (8, 3)

    def test_integers_stay_integers_and_halves_become_floats(self) -> None:
        whole = run(self.graph(kind=6).SerializeToString(), {"x": np.int32([[1, 2, 2**30 - 1]])}, FP32)["y"]
        assert (whole.dtype, whole[0, 2]) == (np.int32, 2**31 - 2)
        half = run(self.graph(kind=10).SerializeToString(), {"x": np.float32([[1, 2, 3]])}, FP16)["y"]
        assert (half.dtype, half.tolist()) == (np.float32, [[2, 4, 6]])

    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({"z": Y}, r"expected the inputs \['x'\], found \['z'\]"),
            ({"x": Y}, r"input 'x': expected float32 \(batch, 3\), found float32 \(8, 10\)"),
            ({"x": Y[0, :3]}, r"expected float32 \(batch, 3\), found float32 \(3,\)"),
        ],
    )
    def test_inputs_that_do_not_fit_say_what_is_expected(self, inputs: dict[str, np.ndarray], told: str) -> None:
        with pytest.raises(ExportError, match=told):
            run(self.graph().SerializeToString(), inputs, FP32)

    def test_a_graph_that_onnxruntime_does_not_know_is_told_in_a_sentence(self) -> None:
        broken = self.small.graph([self.small.node("NoSuchThing", ["x"], ["y"])], {"x": [1, 3]}, {"y": [1, 3]})
        with pytest.raises(ExportError, match="onnxruntime does not run the graph") as caught:
            run(broken.SerializeToString(), {"x": Y[:, :3]}, FP32)
        assert "\n" not in str(caught.value)
