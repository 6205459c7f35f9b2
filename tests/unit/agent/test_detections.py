"""Boxes against boxes: near ties may change places, and a wrong box, score or label is found, on the device as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device_agents import inputs
from device_agents.contract import Precision
from device_agents.errors import DeviceError
from device_agents.formats import detections

SAMPLES, ROOM, THERE = 4, 12, 9


def reference() -> dict[str, Any]:
    """Samples of nine boxes far apart, in the order of their scores, and room for three more."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, 20, (SAMPLES, ROOM, 2)) + np.arange(ROOM)[None, :, None] * 100
    boxes = np.concatenate([corner, corner + random.uniform(20, 60, corner.shape)], axis=-1)
    scores = np.sort(random.uniform(0.3, 1.0, (SAMPLES, ROOM)))[:, ::-1].copy()
    labels = random.integers(1, 5, (SAMPLES, ROOM))
    for array in (boxes, scores, labels):
        array[:, THERE:] = 0
    return {"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32), "labels": labels}


def changed(name: str, row: int, value: object) -> dict[str, Any]:
    """With another value in one box of the second sample."""
    made = {key: array.copy() for key, array in reference().items()}
    made[name][1, row] = value
    return made


def in_another_order(outputs: dict[str, Any]) -> dict[str, Any]:
    order = np.r_[np.arange(THERE)[::-1], THERE:ROOM]
    return {name: array[:, order] for name, array in outputs.items()}


@pytest.mark.parametrize("outputs", [reference(), in_another_order(reference())])
def test_the_same_boxes_in_any_order_are_the_same(outputs: dict[str, Any]) -> None:
    found = detections.compare(reference(), outputs)
    assert max(found.errors.values()) < 1e-12
    assert found.agreement == {"matched": 1.0, "box_iou": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("name", "value", "worst"),
    [("boxes", (0, 0, 900, 900), "labels"), ("scores", 0.05, "scores"), ("labels", 77, "labels")],
)
def test_what_is_wrong_in_one_box_is_found(name: str, value: object, worst: str) -> None:
    errors = detections.compare(reference(), changed(name, 0, value)).errors
    assert max(errors, key=lambda one: errors[one]) == worst
    assert errors[worst] > 0.02


def test_a_box_that_is_missing_counts_on_either_side() -> None:
    without = changed("scores", 3, 0.0)
    for one, other in ((reference(), without), (without, reference())):
        assert detections.compare(one, other).errors["labels"] == pytest.approx(1 / 32, abs=0.01)


def test_the_last_box_may_be_there_or_not() -> None:
    found = detections.compare(reference(), changed("scores", THERE - 1, 0.0))
    assert found.errors["labels"] == 0.0
    assert "boxes lie at the cut of the scores and were left out" in found.note


def test_boxes_far_below_the_cut_are_no_near_ties() -> None:
    """A graph without its score threshold fills all places: in its own scores they are all at the cut."""
    full = reference()
    full["boxes"][:, THERE:] = full["boxes"][:, :1] + 5000
    full["scores"][:, THERE:] = np.float32([0.02, 0.01, 0.005])
    assert detections.compare(reference(), full).errors["labels"] > 0.2


def test_a_detector_that_finds_nothing_is_wrong_however_few_boxes_there_were() -> None:
    one = {name: np.zeros_like(array) for name, array in reference().items()}
    nothing = {name: array.copy() for name, array in one.items()}
    one["scores"][0, 0], one["boxes"][0, 0] = 0.5, (0, 0, 9, 9)
    assert detections.compare(one, nothing).errors["labels"] == 1.0
    with pytest.raises(ValueError, match="nothing in any of the images"):
        detections.compare(nothing, one)


class TestOnTheDevice:
    LIMITS = {"boxes": 5e-3, "scores": 1e-3, "labels": 0.02}

    def check(self, *batches: dict[str, Any]) -> Any:
        golden = inputs.Golden({"images": np.zeros((SAMPLES, 3))}, reference())
        return golden.compare(batches, 1e-3, "detection", self.LIMITS)

    def test_boxes_are_matched_whatever_the_batch(self) -> None:
        shuffled = in_another_order(reference())
        assert self.check(shuffled).passed
        assert self.check(*({name: array[[n]] for name, array in shuffled.items()} for n in range(SAMPLES))).passed
        golden = inputs.Golden({"images": np.zeros((SAMPLES, 3))}, reference())
        assert not golden.compare([shuffled], 1e-3, "relative").passed

    def test_the_output_that_is_furthest_over_its_own_limit_decides(self) -> None:
        """A score 0.01 off is ten times what it may be; boxes with 98 % in common only four times."""
        worse = reference()
        worse["scores"][:, :THERE] -= 0.01
        worse["boxes"][:, :THERE, 2] += 0.5
        found = self.check(worse)
        assert (found.tensor, found.limit, found.passed) == ("scores", 1e-3, False)
        assert found.error == pytest.approx(0.01, rel=1e-3)

    def test_what_there_is_beside_the_boxes_is_compared_too(self) -> None:
        """By the limits of the precision: the job has limits of boxes alone."""
        random = np.random.default_rng(1)
        further = {"num": np.arange(SAMPLES), "features": random.normal(size=(SAMPLES, 9)).astype(np.float32),
                   "quality": random.normal(size=(SAMPLES, ROOM))}  # fmt: skip
        full = {**reference(), **further}
        golden = inputs.Golden({"images": np.zeros((SAMPLES, 3))}, full, Precision.FP16)

        def check(**changes: Any) -> Any:
            return golden.compare([{**full, **changes}], 1e-3, "detection", self.LIMITS)

        assert check().passed
        assert check(features=full["features"] * np.float32(1.01)).passed
        for name, limit in (("features", 2e-2), ("quality", 2e-2), ("num", 0.1)):
            found = check(**{name: full[name] + np.arange(SAMPLES).reshape(-1, *(1,) * (full[name].ndim - 1)) + 1})
            assert (found.tensor, found.limit, found.passed) == (name, limit, False)

    def test_what_is_not_finite_is_said_to_be(self) -> None:
        with pytest.raises(DeviceError) as caught:
            self.check(changed("scores", 0, np.inf))
        assert caught.value.info.code == "not_finite"
