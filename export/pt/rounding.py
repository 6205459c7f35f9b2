"""FP16 as GPUs compute it, on a processor, where it is far slower than FP32 if it is there at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def rounded(module: Any) -> Iterator[None]:
    """Within the block the module has weights that FP16 holds, and what an operator computes is rounded to FP16: sums
    are of FP32 inside of it, as tensor cores have them. Inputs and outputs stay FP32, and indices that are sorted as
    floats are not rounded, as they are FP32 in graphs, too (export.precision.fp16)."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map_only

    def narrowed(tensor: Any) -> Any:
        return tensor.half().float() if tensor.dtype is torch.float32 else tensor

    class Rounding(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            outputs = func(*args, **(kwargs or {}))
            written = [result.alias_info for result in func._schema.returns]  # noqa: SLF001 - where torch says it
            if func is torch.ops.aten.topk.default or _counts(func, args):
                return outputs
            if not any(written):
                return tree_map_only(torch.Tensor, narrowed, outputs)
            for alias, output in zip(
                written, outputs if isinstance(outputs, (list, tuple)) else [outputs], strict=False
            ):
                if alias is not None and alias.is_write and isinstance(output, torch.Tensor):
                    output.copy_(narrowed(output))  # in place; a view has what it is of, which was rounded before
            return outputs

    def _counts(func: Any, args: Any) -> bool:
        """Whether it makes floats of whole numbers."""
        return func is torch.ops.aten._to_copy.default and not args[0].is_floating_point()  # noqa: SLF001

    with as_type(module, torch.float16), as_type(module, torch.float32), Rounding():
        yield


@contextlib.contextmanager
def as_type(module: Any, dtype: Any) -> Iterator[None]:
    """Within the block the module's floating point weights are of another type; afterwards they are what they were."""
    weights = [(parameter, parameter.data) for parameter in module.parameters()]
    buffers = [(part, name, buffer) for part in module.modules() for name, buffer in part._buffers.items()]  # noqa: SLF001
    module.to(dtype)
    try:
        yield
    finally:
        for parameter, data in weights:
            parameter.data = data
        for part, name, buffer in buffers:
            part._buffers[name] = buffer  # noqa: SLF001
