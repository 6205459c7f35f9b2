"""The types that cross the boundary between the controller and a device: JSON in, JSON out, versioned by SCHEMA.

Times are integer nanoseconds of a monotonic clock (`_ns`) or seconds (`_s`); sizes are bytes. Nothing here names a
path on the device: a spec holds ids and plain file names, and the agent knows the folders.
"""

from device_agents.codec import SchemaViolation, dumps, from_json, loads, to_json
from device_agents.contract.engines import (
    ENGINE_FILE,
    ENGINE_MANIFEST,
    DimRange,
    EngineReport,
    EngineRequest,
    EngineUse,
    GivenEngine,
    Layer,
    ShapeProfile,
)
from device_agents.contract.job import (
    Container,
    DataSet,
    JobSpec,
    JobStatus,
    LoadPattern,
    Timing,
)
from device_agents.contract.result import (
    BackendReport,
    GpuReport,
    JobResult,
    Opinion,
    ParityCheck,
    ProbeReport,
    ProcessResult,
    SampleRange,
)
from device_agents.contract.terms import (
    SCHEMA,
    Dim,
    ErrorInfo,
    FileEntry,
    Precision,
    Reading,
    Scalar,
    TensorSpec,
)

__all__ = [
    "ENGINE_FILE",
    "ENGINE_MANIFEST",
    "SCHEMA",
    "BackendReport",
    "Container",
    "DataSet",
    "Dim",
    "DimRange",
    "EngineReport",
    "EngineRequest",
    "EngineUse",
    "ErrorInfo",
    "FileEntry",
    "GivenEngine",
    "GpuReport",
    "JobResult",
    "JobSpec",
    "JobStatus",
    "Layer",
    "LoadPattern",
    "Opinion",
    "ParityCheck",
    "Precision",
    "ProbeReport",
    "ProcessResult",
    "Reading",
    "SampleRange",
    "Scalar",
    "SchemaViolation",
    "ShapeProfile",
    "TensorSpec",
    "Timing",
    "dumps",
    "from_json",
    "loads",
    "to_json",
]
