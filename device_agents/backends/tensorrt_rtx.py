"""TensorRT-RTX, the sibling for RTX GPUs, which builds without one. Its figures are never called TensorRT's."""

from __future__ import annotations

from typing import ClassVar, Dict

from device_agents.trt import api, options
from device_agents.trt.backend import TensorRTBackend


class Backend(TensorRTBackend):
    module: ClassVar[str] = api.TENSORRT_RTX
    build_options: ClassVar[Dict[str, str]] = options.RTX_OPTIONS
    ahead_of_time: ClassVar[bool] = True
