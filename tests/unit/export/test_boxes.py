"""Detections compared as they match: indifferent to order and to the cut, strict about everything else."""

from collections.abc import Callable

import numpy as np
import pytest

from device_agents.contract import Precision
from export.judging import boxes
from export.judging.parity import compare, judge
from profiles.errors import ParityError

RANDOM = np.random.default_rng(3)
SAMPLES, FOUND, PLACES = 4, 30, 40


def detections() -> dict[str, np.ndarray]:
    """Boxes of 40 to 120 pixels, well apart, 30 a sample and 10 places of padding; scores fall from 0.9 to 0.1."""
    corners = np.stack(np.meshgrid(np.arange(6) * 150.0, np.arange(5) * 150.0), axis=-1).reshape(1, FOUND, 2)
    low = corners + RANDOM.uniform(0, 20, (SAMPLES, FOUND, 2))
    made = np.concatenate([low, low + RANDOM.uniform(40, 120, (SAMPLES, FOUND, 2))], axis=2)
    padded = np.zeros((SAMPLES, PLACES, 4), np.float32)
    padded[:, :FOUND] = made
    scores = np.zeros((SAMPLES, PLACES), np.float32)
    scores[:, :FOUND] = np.linspace(0.9, 0.1, FOUND)
    labels = np.zeros((SAMPLES, PLACES), np.int64)
    labels[:, :FOUND] = RANDOM.integers(1, 5, (SAMPLES, FOUND))
    return {"boxes": padded, "scores": scores, "labels": labels}


def shuffled(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    order = RANDOM.permutation(FOUND)
    return {name: np.concatenate([array[:, order], array[:, FOUND:]], axis=1) for name, array in found.items()}


REFERENCE = detections()


def test_the_same_boxes_in_another_order_are_the_same() -> None:
    passed = judge(compare(REFERENCE, shuffled(REFERENCE), "detection"), Precision.FP32)
    assert passed.agreement == {"matched": 1.0, "box_iou": 1.0}
    assert passed.error == 0.0
    assert passed.errors == {"boxes": 0.0, "scores": 0.0, "labels": 0.0}


def test_rounding_passes_and_is_measured() -> None:
    other = dict(REFERENCE)
    other["boxes"] = REFERENCE["boxes"] + RANDOM.normal(0, 0.02, REFERENCE["boxes"].shape).astype(np.float32)
    other["scores"] = REFERENCE["scores"] * np.float32(1.0002)
    passed = judge(compare(REFERENCE, other, "detection"), Precision.FP32)
    assert 1e-5 < passed.errors["boxes"] < 5e-3
    assert passed.errors["scores"] == pytest.approx(0.5 * 0.0002, rel=0.1)


def test_a_box_at_the_cut_may_be_another_and_it_is_told() -> None:
    """The last of the places goes to one of two boxes of almost the same score."""
    other = {name: array.copy() for name, array in REFERENCE.items()}
    other["boxes"][:, FOUND - 1] += 1000
    passed = judge(compare(REFERENCE, other, "detection"), Precision.FP32)
    assert passed.agreement["matched"] == 1.0
    assert passed.note == "8 of 120 boxes lie at the cut of the scores and were left out"


BROKEN: dict[str, Callable[[dict[str, np.ndarray]], None]] = {
    "labels off by one": lambda found: found.update(labels=found["labels"] + 1),
    "no boxes at all": lambda found: found.update(scores=found["scores"] * 0),
    "half of the boxes": lambda found: found["scores"].__setitem__((slice(None), slice(0, FOUND, 2)), 0),
    "boxes for another size": lambda found: found.update(boxes=found["boxes"] * np.float32(1.05)),
    "x and y swapped": lambda found: found.update(boxes=found["boxes"][..., [1, 0, 3, 2]]),
    "three pixels aside": lambda found: found.update(boxes=found["boxes"] + 3),
    "scores of logits": lambda found: found.update(scores=found["scores"] ** 2),
    "boxes of the next sample": lambda found: found.update(boxes=np.roll(found["boxes"], 1, axis=0)),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_graph_fails(broken: str) -> None:
    other = {name: array.copy() for name, array in REFERENCE.items()}
    BROKEN[broken](other)
    with pytest.raises(ParityError, match=r"output '(boxes|scores|labels)' is off by"):
        judge(compare(REFERENCE, other, "detection"), Precision.FP32)


def test_boxes_that_only_the_graph_has_count_too() -> None:
    other = {name: array.copy() for name, array in REFERENCE.items()}
    other["scores"][:, FOUND:] = 0.5
    other["boxes"][:, FOUND:] = [2000, 2000, 2100, 2100]
    with pytest.raises(ParityError, match=r"output 'labels' is off by 2.* of the boxes, which match none"):
        judge(compare(REFERENCE, other, "detection"), Precision.FP16)


def junk(count: int) -> dict[str, np.ndarray]:
    """The reference, with small boxes of almost no score in the places that are free."""
    other = {name: array.copy() for name, array in REFERENCE.items()}
    corner = RANDOM.uniform(0, 900, (SAMPLES, count, 2)).astype(np.float32)
    other["boxes"][:, FOUND : FOUND + count] = np.concatenate([corner, corner + 40], axis=2)
    other["scores"][:, FOUND : FOUND + count] = RANDOM.uniform(0.001, 0.04, (SAMPLES, count))
    return other


def test_a_threshold_that_was_lost_is_found() -> None:
    """Boxes far below the last of the reference are not at its cut, though they are at that of the graph."""
    with pytest.raises(ParityError, match=r"output 'labels' is off by 2.* of the boxes, which match none"):
        judge(compare(REFERENCE, junk(10), "detection"), Precision.FP16)


class TestFurtherOutputs:
    """What a detector gives beside its boxes: of every box, or of the image."""

    QUALITY = RANDOM.uniform(0, 50, (SAMPLES, PLACES, 2)).astype(np.float32)
    LEVELS = RANDOM.integers(0, 5, (SAMPLES, PLACES))
    FEATURES = RANDOM.normal(size=(SAMPLES, 9)).astype(np.float32)
    COUNT = np.arange(SAMPLES)

    def full(self) -> dict[str, np.ndarray]:
        further = {"quality": self.QUALITY, "levels": self.LEVELS, "features": self.FEATURES, "num": self.COUNT}
        return REFERENCE | further

    def shuffled(self) -> dict[str, np.ndarray]:
        of_boxes = shuffled({name: array for name, array in self.full().items() if array.shape[1:2] == (PLACES,)})
        return {**self.full(), **of_boxes}

    def test_that_are_right_pass_whatever_the_order_of_the_boxes(self) -> None:
        passed = judge(compare(self.full(), self.shuffled(), "detection"), Precision.FP32)
        assert passed.errors == dict.fromkeys(self.full(), 0.0)

    @pytest.mark.parametrize(
        ("name", "error", "told"),
        [
            ("quality", 0.1, "of its spread, over the limit of 0.02"),
            ("features", 0.1, "of its spread, over the limit of 0.02"),
            ("levels", 1.0, "of its whole numbers, which differ, over the limit of 0.1"),
            ("num", 1.0, "of its whole numbers, which differ, over the limit of 0.1"),
        ],
    )
    def test_that_are_wrong_are_found(self, name: str, error: float, told: str) -> None:
        """Numbers by a tenth, whole numbers all of them."""
        other = self.shuffled()
        array = other[name]
        other[name] = array + 1 if array.dtype.kind == "i" else array + np.float32(0.1) * (array - array.mean(axis=0))
        compared = compare(self.full(), other, "detection")
        assert compared.errors[name] == pytest.approx(error, rel=0.2)
        with pytest.raises(ParityError, match=f"output {name!r} is off by .* {told}"):
            judge(compared, Precision.FP16)

    def test_of_the_image_of_another_shape_are_named(self) -> None:
        with pytest.raises(ParityError, match=r"output 'features': its shape is \(4, 8\), the framework's \(4, 9\)"):
            compare(self.full(), self.full() | {"features": self.FEATURES[:, :8]}, "detection")

    def test_of_the_one_box_that_there_is_have_its_size_for_a_scale(self) -> None:
        one = {name: array[:1].copy() for name, array in self.full().items() if name != "num"}
        one["scores"][:, 1:] = 0
        compared = compare(one, one | {"quality": one["quality"] * np.float32(1.01)}, "detection")
        assert compared.errors["quality"] == pytest.approx(0.01, rel=1e-3)


def test_nothing_found_is_nothing_compared() -> None:
    nothing = REFERENCE | {"scores": REFERENCE["scores"] * 0}
    with pytest.raises(ParityError, match="finds nothing in any of the images"):
        compare(nothing, nothing, "detection")


def test_what_is_not_finite_or_of_another_form_is_named() -> None:
    with pytest.raises(ParityError, match="output 'boxes': it holds values that are not finite"):
        compare(REFERENCE, REFERENCE | {"boxes": REFERENCE["boxes"] * np.nan}, "detection")
    with pytest.raises(ParityError, match="output 'boxes': its shape is"):
        compare(REFERENCE, REFERENCE | {"boxes": REFERENCE["boxes"][..., :3]}, "detection")


def test_masks_and_keypoints_are_those_of_matched_boxes() -> None:
    masks = RANDOM.uniform(0, 1, (SAMPLES, PLACES, 1, 8, 8)).astype(np.float32)
    points = RANDOM.uniform(0, 100, (SAMPLES, PLACES, 17, 3)).astype(np.float32)
    full = REFERENCE | {"masks": masks, "keypoints": points}
    passed = judge(compare(full, shuffled(full), "detection"), Precision.FP32)
    assert passed.agreement == {"matched": 1.0, "box_iou": 1.0, "mask_iou": pytest.approx(1.0), "keypoints": 1.0}
    with pytest.raises(ParityError, match="output 'masks' is off by"):
        judge(compare(full, full | {"masks": masks[..., ::-1]}, "detection"), Precision.FP16)
    with pytest.raises(ParityError, match="output 'keypoints' is off by"):
        judge(compare(full, full | {"keypoints": points[:, :, ::-1]}, "detection"), Precision.FP16)


@pytest.mark.parametrize(("off", "passes"), [(0.04, True), (0.06, False)])
def test_scores_of_keypoints_may_be_as_far_off_as_keypoints(off: float, passes: bool) -> None:
    """They are read off the same maps, which a box that is a little off cuts out of another place."""
    scores = RANDOM.normal(size=(SAMPLES, PLACES, 17)).astype(np.float32)
    full, other = REFERENCE | {"keypoint_scores": scores}, REFERENCE | {"keypoint_scores": scores * np.float32(1 + off)}
    compared = compare(full, other, "detection")
    assert compared.errors["keypoint_scores"] == pytest.approx(off, rel=0.1)
    assert compared.over_limit(Precision.FP16) is not passes
    assert compared.measure("keypoint_scores") == "of their spread over matched boxes"


def proposals() -> dict[str, np.ndarray]:
    """Of the same places, 6 classes; the likeliest class is the label, and each class has a box of its own nearby."""
    low = np.stack(np.meshgrid(np.arange(6) * 150.0, np.arange(5) * 150.0), axis=-1).reshape(1, FOUND, 1, 2)
    low = low + RANDOM.uniform(0, 20, (SAMPLES, FOUND, 6, 2))
    found = np.concatenate([low, low + RANDOM.uniform(80, 120, (SAMPLES, FOUND, 6, 2))], axis=3)
    return {"class_logits": RANDOM.normal(0, 3, (SAMPLES, FOUND, 6)), "boxes": found}


def test_proposals_of_which_one_is_another_are_compared_as_they_match() -> None:
    """A near tie of objectness: the rest moves on by a row."""
    reference = proposals()
    other = {name: np.roll(array, 1, axis=1) for name, array in reference.items()}
    other["boxes"][:, 0] += 5000
    compared = compare(reference, other, "detection")
    assert compared.agreement == {"matched": pytest.approx(1 - 1 / FOUND)}
    assert compared.errors == {"class_logits": 0.0, "boxes": 0.0, "proposals": pytest.approx(1 / FOUND)}
    judge(compared, Precision.FP16)
    with pytest.raises(ParityError, match=r"'proposals' is off by 3.33e-02 of them, which match none"):
        judge(compared, Precision.FP32)


@pytest.mark.parametrize("name", ["class_logits", "boxes"])
def test_proposals_that_are_off_do_not_pass(name: str) -> None:
    reference = proposals()
    off = {
        "class_logits": RANDOM.normal(0, 0.3, (SAMPLES, FOUND, 6)),
        "boxes": RANDOM.normal(0, 9, (SAMPLES, FOUND, 6, 4)),
    }
    with pytest.raises(ParityError, match="over the limit"):
        judge(compare(reference, {**reference, name: reference[name] + off[name]}, "detection"), Precision.FP16)


def test_proposals_that_are_not_finite_are_an_error() -> None:
    reference = proposals()
    with pytest.raises(ParityError, match="not finite"):
        compare(reference, {**reference, "boxes": reference["boxes"] * np.nan}, "detection")


def test_raw_heads_are_compared_by_their_spread() -> None:
    raw = {"class_logits": RANDOM.normal(size=(4, 50, 9)), "box_regression": RANDOM.normal(size=(4, 50, 4))}
    assert not boxes.are_final(raw)
    assert compare(raw, raw, "detection").errors == {"class_logits": 0.0, "box_regression": 0.0}
    assert not compare(raw, raw, "detection").by_boxes


def test_overlap() -> None:
    first = np.float64([[0, 0, 10, 10], [0, 0, 0, 0]])
    others = np.float64([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])
    assert np.allclose(boxes.iou(first, others), [[1, 1 / 3, 0, 0], [0, 0, 0, 0]])
