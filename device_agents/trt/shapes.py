"""Optimization profiles: from the free dimensions' ranges to shapes of inputs, and back to the one that fits a job."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from device_agents.contract import DimRange, JobSpec, ShapeProfile, TensorSpec
from device_agents.errors import DeviceError

Shape = Tuple[int, ...]


class Range(NamedTuple):
    """The shapes of one input in one optimization profile."""

    min: Shape
    opt: Shape
    max: Shape

    def holds(self, shape: Shape) -> bool:
        return len(shape) == len(self.min) and all(
            low <= dim <= high for low, dim, high in zip(self.min, shape, self.max)
        )

    def distance(self, shape: Shape) -> int:
        """How far from what the profile is tuned for."""
        return sum(abs(dim - best) for dim, best in zip(shape, self.opt))

    def __str__(self) -> str:
        if self.min == self.max:
            return dims(self.min)
        return f"{dims(self.min)} to {dims(self.max)}"


Ranges = Dict[str, Range]


def dims(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def job_shapes(spec: JobSpec) -> Dict[str, Shape]:
    """The concrete shapes of the job's inputs."""
    return {tensor.name: tuple(int(dim) for dim in tensor.shape) for tensor in spec.inputs}


def wanted(spec: JobSpec) -> List[Ranges]:
    """The ranges of every input, a set for each optimization profile; without profiles one that holds the job's own
    shapes alone. Errors: DeviceError for a profile that does not fit the graph."""
    if not spec.engine.profiles:
        return [{name: Range(shape, shape, shape) for name, shape in job_shapes(spec).items()}]
    inputs = spec.graph_inputs or spec.inputs
    free = {dim for tensor in inputs for dim in tensor.shape if isinstance(dim, str)}
    for number, ranges in enumerate(spec.engine.profiles):
        _refuse_strangers(number, ranges, free, spec)
    return [{tensor.name: _range(tensor, ranges, spec) for tensor in inputs} for ranges in spec.engine.profiles]


def refuse_outside(offered: Sequence[Ranges], spec: JobSpec, stage: str) -> int:
    """The profile that the job's shapes lie in, the one tuned for the nearest shapes where there are several.

    Errors: DeviceError `shape_outside_profile` that names the ranges.
    """
    shapes = job_shapes(spec)
    fitting = [
        (sum(ranges[name].distance(shape) for name, shape in shapes.items()), index)
        for index, ranges in enumerate(offered)
        if all(name in ranges and ranges[name].holds(shape) for name, shape in shapes.items())
    ]
    if fitting:
        return min(fitting)[1]
    asked = ", ".join(f"{name} {dims(shape)}" for name, shape in shapes.items())
    ranges = "; ".join(_told(index, one) for index, one in enumerate(offered))
    fix = "take a batch and a size within it, or build with bounds that hold them: --bounds MIN:OPT:MAX --rebuild"
    message = f"{asked} lies outside every optimization profile of the engine ({ranges})"
    raise DeviceError("shape_outside_profile", stage, message, where=spec.model_file, fix=fix)


def add_profiles(builder: Any, config: Any, network: Any, spec: JobSpec) -> None:
    """Give `config` the profiles that a graph with free dimensions needs; one without gets none.

    Errors: DeviceError.
    """
    free = _free_inputs(network)
    offered = wanted(spec)
    if spec.task == "measure" and free:
        refuse_outside(offered, spec, "build")
    for ranges in offered if free else []:
        profile = builder.create_optimization_profile()
        for name in free:
            if name not in ranges:
                raise _unknown_input(name, spec)
            profile.set_shape(name, ranges[name].min, ranges[name].opt, ranges[name].max)
        if config.add_optimization_profile(profile) < 0:
            message = f"TensorRT takes no optimization profile {_told(0, ranges)}"
            raise DeviceError("build_failed", "build", message, where=spec.model_file, fix="mend the bounds")


def of_engine(engine: Any, names: Sequence[str]) -> List[Ranges]:
    """The ranges of the named inputs in every profile of an engine."""
    return [
        {name: Range(*(tuple(shape) for shape in engine.get_tensor_profile_shape(name, index))) for name in names}
        for index in range(engine.num_optimization_profiles)
    ]


def _free_inputs(network: Any) -> List[str]:
    names = []
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if any(dim < 0 for dim in tensor.shape):
            names.append(str(tensor.name))
    return names


def _refuse_strangers(number: int, ranges: ShapeProfile, free: "set[str]", spec: JobSpec) -> None:
    strangers = sorted(set(ranges) - free)
    if strangers:
        has = (
            f"its free dimensions are {', '.join(sorted(free))}"
            if free
            else "all of its dimensions are fixed: export it with --batch dynamic"
        )
        message = (
            f"optimization profile {number} bounds {', '.join(strangers)}, which is no free dimension of the model"
        )
        raise DeviceError("unsupported", "build", message, where=spec.model_file, fix=has)


def _range(tensor: TensorSpec, ranges: ShapeProfile, spec: JobSpec) -> Range:
    """A free dimension that the profile does not bound keeps the job's size."""
    bounds = []
    for dim, size in zip(tensor.shape, job_shapes(spec)[tensor.name]):
        bounds.append(ranges[dim] if isinstance(dim, str) and dim in ranges else DimRange(size, size, size))
    return Range(*(tuple(getattr(bound, name) for bound in bounds) for name in Range._fields))


def _told(index: int, ranges: Ranges) -> str:
    return f"{index}: " + ", ".join(f"{name} {one}" for name, one in ranges.items())


def _unknown_input(name: str, spec: JobSpec) -> DeviceError:
    message = f"the model takes {name!r}, which its manifest does not name"
    return DeviceError("parse_failed", "build", message, where=spec.model_file, fix="export the model again")
