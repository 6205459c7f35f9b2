"""Boxes of a detector, compared as they match and not by their place: near-equal scores swap places freely. One
definition for the gate of an export and for the device.

Boxes are (x1, y1, x2, y2) in pixels, samples first and padded to a fixed number with score 0. In the order of its
scores each of the reference's boxes takes the free box of the same label that overlaps it most, by half at least.

What a detector of two stages has before its NMS are rows of proposals, which are chosen by scores that may be almost
equal, too: each is held against the one that is nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Tuple

from device_agents.formats import differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_OVERLAP = 0.5
_AT_THE_CUT = 0.05
"""Of the range of a sample's scores: boxes this near to the last one may as well have been cut off."""

_FINAL = ("boxes", "scores", "labels")
_PROPOSED = ("class_logits", "boxes")
PROPOSALS = "proposals"
_NEAR = 0.5  # of the variance, on average over all that is said of a proposal; of two unlike ones it is 2
_KNOWN = (*_FINAL, "masks", "keypoints")
"""What has a measure of its own."""


@dataclass(frozen=True)
class Compared:
    """`errors` by output: of `boxes` and `masks` what matched ones do not have in common, on average; of `scores` the
    difference of matched ones; of `labels` the share of boxes that match none; of `keypoints` how far they are apart,
    relative to the size of their box; of any other output what device_agents.formats.differences says, over matched
    boxes where it holds something of each. `agreement`: `matched`, the share of boxes that match, and `box_iou`, what
    these have in common on average (`mask_iou`, `keypoints` likewise)."""

    errors: Dict[str, float]
    agreement: Dict[str, float]
    note: str


@dataclass
class _Tally:
    """What was found, over all samples."""

    overlaps: "List[Array]" = field(default_factory=list)
    scores: "List[Array]" = field(default_factory=list)
    masks: List[float] = field(default_factory=list)
    points: "List[Array]" = field(default_factory=list)
    further: "Dict[str, List[Tuple[Array, Array]]]" = field(default_factory=dict)
    counted: int = 0
    found: int = 0
    theirs_counted: int = 0
    theirs_found: int = 0
    left_out: int = 0


def are_final(outputs: "Mapping[str, Array]") -> bool:
    """Whether these are boxes after NMS: (N, D, 4) with scores and labels of (N, D)."""
    if not set(_FINAL) <= set(outputs):
        return False
    return outputs["boxes"].ndim == 3 and outputs["scores"].ndim == outputs["labels"].ndim == 2


def are_proposals(outputs: "Mapping[str, Array]") -> bool:
    """Whether these are class_logits (N, P, K) and boxes (N, P, K, 4) of proposals, class 0 being the background."""
    if not set(_PROPOSED) <= set(outputs):
        return False
    logits, boxes = (outputs[name] for name in _PROPOSED)
    return boxes.ndim == 4 and boxes.shape[:3] == logits.shape and logits.shape[2] > 1


def are_matched(outputs: "Mapping[str, Array]") -> bool:
    """Whether `compare` is for them."""
    return are_final(outputs) or are_proposals(outputs)


def compare(reference: "Mapping[str, Array]", outputs: "Mapping[str, Array]") -> Compared:
    """Of proposals the errors are of what matched ones say, relative to its spread, and of `proposals`, the share of
    those that match none. Errors: ValueError when there is nothing to match, naming the output, or what is not finite
    or of another form."""
    if are_proposals(reference):
        return _compare_proposals(reference, outputs)
    padded = _padded(reference, outputs)
    _check(reference, outputs, padded)
    tally = _Tally()
    for sample in range(len(reference["boxes"])):
        theirs, ours = ({name: one[name][sample] for name in padded} for one in (reference, outputs))
        _match(theirs, ours, tally)
    if not tally.counted:
        raise ValueError("the framework finds nothing in any of the images, so no boxes can be compared")
    return _told(tally, padded, _further(tally, reference, outputs, padded))


def iou(boxes: "Array", others: "Array") -> "Array":
    """(n, m): intersection over union of (n, 4) and (m, 4) boxes; 0 where one has no area."""
    import numpy as np

    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, other_areas = (np.clip(one[:, 2:] - one[:, :2], 0, None).prod(axis=1) for one in (boxes, others))
    union = areas[:, None] + other_areas[None] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def _compare_proposals(reference: "Mapping[str, Array]", outputs: "Mapping[str, Array]") -> Compared:
    import numpy as np

    _check(reference, outputs, _PROPOSED)
    pairs: "Dict[str, List[Tuple[Array, Array]]]" = {name: [] for name in _PROPOSED}
    found = total = 0
    for sample in range(len(reference["boxes"])):
        theirs, ours = ({name: one[name][sample] for name in _PROPOSED} for one in (reference, outputs))
        left, right = _same(theirs, ours)
        for name in _PROPOSED:
            pairs[name].append((theirs[name][left], ours[name][right]))
        found, total = found + len(left), total + max(len(theirs["boxes"]), len(ours["boxes"]))
    if not found:
        raise ValueError("none of the proposals is one of the framework's, so nothing can be compared")
    others = {name: array for name, array in reference.items() if name not in _PROPOSED}
    errors = {name: differences.error(array, np.asarray(outputs[name])) for name, array in others.items()}
    errors.update({name: _of_matched(its) for name, its in pairs.items()})
    return Compared({**errors, PROPOSALS: 1.0 - found / total}, {"matched": found / total}, "")


def _same(theirs: "Dict[str, Array]", ours: "Dict[str, Array]") -> "Tuple[Array, Array]":
    """Places of the proposals that are the same: nearest to one another of all, in what is said of them, and nearer
    than one's spread."""
    import numpy as np

    spreads = {name: float(theirs[name].std()) or 1.0 for name in _PROPOSED}
    rows, others = (
        np.concatenate([one[name].reshape(len(one[name]), -1) / spreads[name] for name in _PROPOSED], axis=1).astype(
            float
        )
        for one in (theirs, ours)
    )
    apart = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2 * rows @ others.T
    nearest = apart.argmin(axis=1)
    left = np.flatnonzero(apart.argmin(axis=0)[nearest] == np.arange(len(rows)))
    left = left[apart[left, nearest[left]] < _NEAR * rows.shape[1]]
    return left, nearest[left]


def _padded(reference: "Mapping[str, Array]", outputs: "Mapping[str, Array]") -> List[str]:
    """The outputs that hold something of each box: (N, D, ...), where the two sides may be padded to other D."""
    rooms = [one["boxes"].shape[1:2] for one in (reference, outputs)]
    return [name for name in reference if [one[name].shape[1:2] for one in (reference, outputs)] == rooms]


def _check(reference: "Mapping[str, Array]", outputs: "Mapping[str, Array]", padded: Collection[str]) -> None:
    """Errors: ValueError naming the output that is of another form, or not finite."""
    import numpy as np

    for name, array in reference.items():
        shapes = [list(one.shape) for one in (array, outputs[name])]
        if name in padded:
            shapes = [shape[:1] + shape[2:] for shape in shapes]
        if shapes[0] != shapes[1] or (name in _FINAL and name not in padded):
            raise ValueError(f"output {name!r}: its shape is {outputs[name].shape}, the framework's {array.shape}")
        if not (np.isfinite(array).all() and np.isfinite(outputs[name]).all()):
            raise ValueError(f"output {name!r}: it holds values that are not finite")


def _match(theirs: "Dict[str, Array]", ours: "Dict[str, Array]", tally: _Tally) -> None:
    import numpy as np

    theirs, ours = _real(theirs), _real(ours)
    overlaps = iou(theirs["boxes"].astype(np.float64), ours["boxes"].astype(np.float64))
    overlaps[theirs["labels"][:, None] != ours["labels"][None]] = 0.0
    free = np.ones(len(ours["scores"]), bool)
    pairs = []
    for one in np.argsort(-theirs["scores"], kind="stable"):
        candidates = np.where(free, overlaps[one], 0.0) if len(free) else np.zeros(0)
        if len(candidates) and candidates.max() >= _OVERLAP:
            other = int(candidates.argmax())
            free[other] = False
            pairs.append((int(one), other))
    left, right = ([pair[side] for pair in pairs] for side in (0, 1))
    _count(theirs, left, ours, right, tally)
    if not pairs:
        return
    tally.overlaps.append(overlaps[left, right])
    tally.scores.append(np.abs(theirs["scores"][left].astype(np.float64) - ours["scores"][right]))
    if "masks" in theirs:
        tally.masks += [_shared(theirs["masks"][one], ours["masks"][other]) for one, other in pairs]
    if "keypoints" in theirs:
        box = theirs["boxes"][left].astype(np.float64)
        sizes = np.sqrt(np.clip(box[:, 2:] - box[:, :2], 1, None).prod(axis=1))
        apart = theirs["keypoints"][left][..., :2].astype(np.float64) - ours["keypoints"][right][..., :2]
        tally.points.append(np.linalg.norm(apart, axis=-1).mean(axis=-1) / sizes)
    for name in theirs.keys() - set(_KNOWN):
        tally.further.setdefault(name, []).append((theirs[name][left], ours[name][right]))


def _real(sample: "Dict[str, Array]") -> "Dict[str, Array]":
    """Without the padding, and without boxes of no area, which clipping leaves: they match nothing, not even
    themselves."""
    box = sample["boxes"]
    real = (sample["scores"] > 0) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    return {name: array[real] for name, array in sample.items()}


def _count(
    theirs: "Dict[str, Array]", left: List[int], ours: "Dict[str, Array]", right: List[int], tally: _Tally
) -> None:
    """Boxes clear of the cut must find a partner, whichever that is; those at the cut need not. What lies far below
    the reference's own cut was to be cut off, however little it is above the least of ours."""
    clear, others = _clear_of_the_cut(theirs["scores"]), _clear_of_the_cut(ours["scores"])
    if len(theirs["scores"]):
        low, margin = _cut(theirs["scores"])
        others |= ours["scores"] < low - margin
    tally.counted += int(clear.sum())
    tally.found += int(clear[left].sum())
    tally.theirs_counted += int(others.sum())
    tally.theirs_found += int(others[right].sum())
    tally.left_out += int((~clear).sum())


def _clear_of_the_cut(scores: "Array") -> "Array":
    import numpy as np

    if not len(scores):
        return np.zeros(0, bool)
    low, margin = _cut(scores)
    return np.asarray(scores >= low + margin)


def _cut(scores: "Array") -> Tuple[float, float]:
    """(the least of the scores, how near to it is at the cut)."""
    return float(scores.min()), _AT_THE_CUT * float(scores.max() - scores.min())


def _shared(mask: "Array", other: "Array") -> float:
    """Of two soft masks, values in [0, 1]."""
    import numpy as np

    union = float(np.maximum(mask, other).sum())
    return float(np.minimum(mask, other).sum()) / union if union else 1.0


def _told(tally: _Tally, padded: Collection[str], further: Dict[str, float]) -> Compared:
    import numpy as np

    share = min(tally.found / tally.counted, tally.theirs_found / max(tally.theirs_counted, 1))
    overlap = _mean(tally.overlaps)
    told = {"matched": share, "box_iou": overlap}
    errors = {"boxes": 1.0 - overlap, "scores": _mean(tally.scores, 1.0), "labels": 1.0 - share, **further}
    if "masks" in padded:
        told["mask_iou"] = float(np.mean(tally.masks)) if tally.masks else 0.0
        errors["masks"] = 1.0 - told["mask_iou"]
    if "keypoints" in padded:
        errors["keypoints"] = _mean(tally.points, 1.0)
        told["keypoints"] = 1.0 - errors["keypoints"]
    total = tally.counted + tally.left_out
    note = f"{tally.left_out} of {total} boxes lie at the cut of the scores and were left out" if tally.left_out else ""
    return Compared(errors, told, note)


def _further(
    tally: _Tally, reference: "Mapping[str, Array]", outputs: "Mapping[str, Array]", padded: Collection[str]
) -> Dict[str, float]:
    """The errors of what has no measure of its own. Errors: ValueError naming the output whose error has no scale."""
    errors = {}
    for name, array in reference.items():
        if name in padded:
            if name not in _KNOWN:
                errors[name] = _of_matched(tally.further.get(name, []))
            continue
        try:
            errors[name] = differences.error(array, outputs[name])
        except ValueError as error:
            raise ValueError(f"output {name!r}: {error}") from None
    return errors


def _of_matched(pairs: "List[Tuple[Array, Array]]") -> float:
    """Relative to the spread over matched boxes, or, where these are all alike, to their size."""
    import numpy as np

    if not pairs:
        return 1.0
    theirs, ours = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    if differences.is_whole(theirs) or differences.varies(theirs):
        return differences.error(theirs, ours)
    size = float(np.linalg.norm(theirs.astype(np.float64)))
    return float(np.linalg.norm(theirs.astype(np.float64) - ours)) / (size or 1.0)


def _mean(parts: "List[Array]", nothing: float = 0.0) -> float:
    import numpy as np

    return float(np.concatenate(parts).mean()) if parts else nothing
