"""What is said of two sets of outputs in the words of a task."""

import numpy as np
import pytest

from export.judging.agreement import agreement

SCORES = np.eye(4, 10, dtype=np.float32) * 5 + np.linspace(0, 1, 10, dtype=np.float32)


@pytest.mark.parametrize("task", ["classification", "video"])
def test_classes_agree_by_the_best_and_by_the_best_five(task: str) -> None:
    assert agreement(task, {"logits": SCORES}, {"logits": SCORES}) == {"top1": 1.0, "top5": 1.0}
    other = SCORES.copy()
    other[0, 9] = 9.0  # another first; the best five of sample 0 were 0 and 6 to 9 and still are
    other[1, 2:5] = 7.0  # three others before them: 1 stays, 7 to 9 go but for one
    found = agreement(task, {"logits": SCORES}, {"logits": other})
    assert found["top1"] == 0.5
    assert found["top5"] == pytest.approx((5 + 2 + 5 + 5) / 20)


def test_few_classes_have_no_best_five() -> None:
    assert set(agreement("classification", {"y": SCORES[:, :5]}, {"y": SCORES[:, :5]})) == {"top1"}


def test_an_unnamed_output_is_judged_by_its_form() -> None:
    reference = {"features": np.zeros((4, 2, 3)), "probabilities": SCORES}
    assert agreement("classification", reference, reference)["top1"] == 1.0


def maps(classes: list[list[int]]) -> np.ndarray:
    """(1, 3, H, W) whose largest are these classes."""
    return np.moveaxis(np.eye(3)[np.array([classes])], -1, 1).astype(np.float32)


def test_segmentation_agrees_by_pixels_and_by_classes() -> None:
    reference, output = maps([[0, 0, 1], [0, 0, 1]]), maps([[0, 0, 1], [0, 1, 1]])
    found = agreement("segmentation", {"out": reference, "aux": reference}, {"out": output, "aux": reference})
    assert found == {"pixels": pytest.approx(5 / 6), "mean_iou": pytest.approx((3 / 4 + 2 / 3) / 2)}
    assert agreement("segmentation", {"out": output}, {"out": output}) == {"pixels": 1.0, "mean_iou": 1.0}


def test_one_channel_is_a_foreground() -> None:
    logits = np.float32([[[[-1, 2], [3, -4]]]])
    assert agreement("segmentation", {"out": logits}, {"out": np.abs(logits)})["pixels"] == 0.5


def test_flow_is_off_relative_to_the_mean_motion() -> None:
    flow = np.zeros((2, 2, 4, 4), np.float32)
    flow[:, 0], flow[:, 1] = 3.0, 4.0
    moved = flow + np.float32([0.0, 0.5])[None, :, None, None]
    assert agreement("optical_flow", {"flow": flow}, {"flow": moved}) == {"end_point_error": pytest.approx(0.1)}
    assert agreement("optical_flow", {"flow": flow * 0}, {"flow": flow * 0}) == {}


@pytest.mark.parametrize("task", ["other", "detection", "classification"])
def test_outputs_of_no_known_form_have_no_agreement(task: str) -> None:
    raw = {"heads": np.zeros((4, 5, 6, 7))}
    assert agreement(task, raw, raw) == {}


@pytest.mark.parametrize(
    "rows", [SCORES > 1, SCORES.astype(np.uint8), SCORES.argmax(axis=1)[:, None], SCORES[:, :1]],
    ids=["flags", "pixels", "class ids", "one logit"],
)  # fmt: skip
def test_what_is_no_row_of_scores_has_no_best(rows: np.ndarray) -> None:
    assert agreement("classification", {"y": rows}, {"y": rows}) == {}
