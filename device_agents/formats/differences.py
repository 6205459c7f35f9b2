"""How far an output is from its reference, and how far it may be: one definition for the gate of an export and for the
device. Arrays are samples first.

    numbers          error = ||y - ŷ|| / ||y - mean of y over the samples||        y the reference, ŷ what is judged
    whole numbers    error = the share that differs: how far apart two classes are says nothing

Subtracting the mean gives the measure its power: on random weights most of an output is the same for every image, and
a plain relative error hardly notices a channel swap.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Optional

from device_agents.contract import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

LIMITS = {Precision.FP32: 1e-3, Precision.FP16: 2e-2, Precision.INT8: 0.5}
"""Of INT8 it only finds what is broken, such as a wrong scale; what the quantisation costs is told by agreement."""

WHOLE_LIMITS = {Precision.FP32: 0.02, Precision.FP16: 0.1, Precision.INT8: 0.5}
"""Of whole numbers. Classes of almost the same score come out otherwise without any fault, as labels of boxes do."""


def is_whole(array: "Array") -> bool:
    """Whether these are classes, maps of them or flags: whole numbers of any width, or bool."""
    return array.dtype.kind in "iub"


def varies(reference: "Array") -> bool:
    """Whether any sample is unlike the first: else an error has no scale."""
    return bool((reference != reference[:1]).any())


def spread(reference: "Array") -> float:
    """The root mean square of y - mean of y over the samples; exactly 0 where all samples are the same."""
    import numpy as np

    if not varies(reference):
        return 0.0
    y = reference.astype(np.float64)
    return float(np.linalg.norm(y - y.mean(axis=0))) / math.sqrt(y.size)


def error(reference: "Array", output: "Array", known: Optional[float] = None) -> float:
    """By the measure that the reference's type asks for; `known` is the spread where the reference is a part of what it
    was told of. Errors: ValueError for unlike shapes, and see `relative_error`."""
    if not is_whole(reference):
        return relative_error(reference, output, known)
    _check_shape(reference, output)
    return float((reference != output).mean()) if reference.size else 0.0


def relative_error(reference: "Array", output: "Array", known: Optional[float] = None) -> float:
    """The measure of numbers; 0 for equal ones, whatever they are. Errors: ValueError for unlike shapes, anything that
    is not finite, and what differs from a reference that is the same for every sample: its error has no scale."""
    import numpy as np

    _check_shape(reference, output)
    y, z = reference.astype(np.float64), output.astype(np.float64)
    if not (np.isfinite(y).all() and np.isfinite(z).all()):
        raise ValueError("it holds values that are not finite")
    apart = float(np.linalg.norm(y - z))
    if apart == 0.0:
        return 0.0
    scale = spread(reference) if known is None else known
    if not scale:
        message = "it differs from the framework's, which is the same for every input, so its error has no scale"
        raise ValueError(message)
    return apart / (scale * math.sqrt(y.size))


def _check_shape(reference: "Array", output: "Array") -> None:
    if reference.shape != output.shape:
        raise ValueError(f"its shape is {output.shape}, the framework's {reference.shape}")
