"""FP16 by NVIDIA's ModelOpt AutoCast: an optional extra, as it wants torch and cupy and pins onnx and onnxruntime."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from export.precision.overflow import Overflow
from export.precision.running import Arrays
from profiles.errors import ConfigError, ExportError

_INSTALL = "pip install 'edgebench[modelopt]' in an environment of its own, or take --fp16-method convert"


def convert(model: Path, overflows: Sequence[Overflow], io: str, samples: Arrays) -> tuple[Any, str]:
    """(the FP16 ModelProto, the version of ModelOpt that made it).

    AutoCast keeps nodes in FP32 by its own rules (outputs on `samples` beyond 512, which FP16 holds to a quarter), and
    those of `overflows`. `samples` are arrays by input name, a batch as the graph takes it. Errors: ConfigError when
    ModelOpt is not installed; ExportError when it fails.
    """
    import numpy as np

    try:
        from modelopt.onnx.autocast import convert_to_mixed_precision
    except ImportError as error:
        raise ConfigError(f"autocast is NVIDIA ModelOpt, which is not installed here ({error})", fix=_INSTALL) from None
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "samples.npz"
        np.savez(data, **dict(samples))  # type: ignore[arg-type]
        try:
            proto = convert_to_mixed_precision(
                str(model),
                low_precision_type="fp16",
                nodes_to_exclude=[f"^{re.escape(one.node)}$" for one in overflows],
                keep_io_types=io == "fp32",
                calibration_data=str(data),
            )
        except Exception as error:  # ModelOpt's own, onnx's and onnxruntime's have no common base but this
            lines = str(error).strip().splitlines() or [type(error).__name__]
            message = f"ModelOpt AutoCast did not convert the graph ({lines[0][:300]})"
            raise ExportError(message, fix="take --fp16-method convert", stage="precision") from error
    return proto, metadata.version("nvidia-modelopt")
