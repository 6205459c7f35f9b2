"""TensorRT 8.5 to 11: the device's own, built and run by device_agents.trt."""

from __future__ import annotations

from typing import ClassVar, Dict

from device_agents.trt import api, options
from device_agents.trt.backend import TensorRTBackend


class Backend(TensorRTBackend):
    module: ClassVar[str] = api.TENSORRT
    build_options: ClassVar[Dict[str, str]] = options.TENSORRT_OPTIONS
