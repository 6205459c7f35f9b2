"""Shapes of outputs that a job leaves open: onnxruntime works them out when it loads a graph for fixed inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from device_agents.backends.base import zeros
from device_agents.contract import JobSpec, TensorSpec
from device_agents.errors import DeviceError


def settled(session: Any, spec: JobSpec) -> JobSpec:
    """The job with the shape of every output, for a session that was made with its free dimensions set.

    Errors: DeviceError for an output whose size depends on the data: there would be no buffer for it.
    """
    told = {output.name: output.shape for output in session.get_outputs()}
    return replace(spec, outputs=tuple(_settled(tensor, told.get(tensor.name), spec) for tensor in spec.outputs))


def tried(session: Any, spec: JobSpec) -> JobSpec:
    """The job with the shape of every output, for a session that takes other sizes, too: what is free is tried."""
    if all(tensor.is_fixed for tensor in spec.outputs):
        return spec
    found = session.run([tensor.name for tensor in spec.outputs], zeros(spec))
    pairs = zip(spec.outputs, found)
    return replace(spec, outputs=tuple(replace(tensor, shape=tuple(array.shape)) for tensor, array in pairs))


def _settled(tensor: TensorSpec, shape: Any, spec: JobSpec) -> TensorSpec:
    if tensor.is_fixed:
        return tensor
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        dims = "x".join(map(str, shape or tensor.shape))
        message = f"the size of {tensor.name!r} depends on the data ({dims}), which is not supported"
        fix = "export the model without that output"
        raise DeviceError("unsupported", "load", message, where=spec.model_file, fix=fix)
    return replace(tensor, shape=tuple(shape))
