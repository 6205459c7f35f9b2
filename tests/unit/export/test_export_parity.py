"""The parity measure and its limits, on arrays."""

import numpy as np
import pytest

from device_agents.contract import Precision
from export.parity import judge, relative_error
from profiles.errors import ParityError

RANDOM = np.random.default_rng(0)
Y = RANDOM.normal(size=(8, 10)).astype(np.float32)


def off_by(error: float) -> np.ndarray:
    """Y with exactly this relative error."""
    noise = RANDOM.normal(size=Y.shape)
    return Y + noise * error * np.linalg.norm(Y - Y.mean(axis=0)) / np.linalg.norm(noise)


def test_the_error_is_relative_to_the_spread_over_the_batch_not_to_the_size() -> None:
    assert relative_error(Y, off_by(0.1)) == pytest.approx(0.1)
    shared = 1000.0  # what all samples share says nothing
    assert relative_error(Y.astype(np.float64) + shared, off_by(0.1) + shared) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("reference", "output", "told"),
    [
        (np.ones((8, 3)), np.ones((8, 3)), "same for every input"),
        (Y, np.full_like(Y, np.nan), "not finite"),
        (Y, np.full_like(Y, np.inf), "not finite"),
        (Y, Y[:, :5], "shape"),
    ],
)
def test_what_cannot_be_judged_is_an_error(reference: np.ndarray, output: np.ndarray, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        relative_error(reference, output)
    with pytest.raises(ParityError, match="'y'"):
        judge({"y": reference}, {"y": output}, Precision.FP32)


def test_the_worst_tensor_is_named() -> None:
    with pytest.raises(ParityError, match="'boxes'"):
        judge({"logits": Y, "boxes": Y}, {"logits": off_by(0.01), "boxes": off_by(0.5)}, Precision.FP32)


def test_missing_outputs_are_named() -> None:
    with pytest.raises(ParityError, match="logits"):
        judge({"logits": Y}, {"other": Y}, Precision.FP32)


def test_fp32_has_its_limit() -> None:
    assert judge({"y": Y}, {"y": off_by(0.9e-3)}, Precision.FP32).limit == 1e-3
    with pytest.raises(ParityError):
        judge({"y": Y}, {"y": off_by(1.1e-3)}, Precision.FP32)


def test_fp16_may_be_twice_as_wrong_as_the_framework_itself_which_is_asked_only_then() -> None:
    def never() -> dict[str, np.ndarray]:
        raise AssertionError

    plain = judge({"y": Y}, {"y": off_by(0.019)}, Precision.FP16, never)
    assert (plain.framework_error, plain.label) == (None, "storage only")
    excused = judge({"y": Y}, {"y": off_by(0.05)}, Precision.FP16, lambda: {"y": off_by(0.03)})
    assert excused.framework_error == pytest.approx(0.03)
    assert excused.limit == pytest.approx(0.06)
    with pytest.raises(ParityError):
        judge({"y": Y}, {"y": off_by(0.05)}, Precision.FP16, lambda: {"y": off_by(0.02)})
