"""FP16 in the graph, where the framework cannot put it there itself."""

from __future__ import annotations

from typing import Any

FLOAT16_MAX = 65_504.0


def to_fp16(model: Any) -> Any:
    """A graph whose tensors, inputs and outputs included, are FP16.

    TensorRT 11 takes precision from the graph alone. Weights beyond FP16's range are cut to its ends. I/O is FP16, as
    in PyTorch's export of a model after `.half()`.
    """
    from onnxconverter_common import float16

    return float16.convert_float_to_float16(
        model, max_finite_val=FLOAT16_MAX, keep_io_types=False, disable_shape_infer=False
    )
