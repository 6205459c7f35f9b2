"""What every runtime looks like to the worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, NamedTuple, Optional, Tuple

from device_agents.contract import JobSpec, Scalar
from device_agents.errors import DeviceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]
else:
    Arrays = Mapping[str, Any]  # numpy is not imported here: a device may not have it


class Parts(NamedTuple):
    """One inference taken apart by the device's own clock, in nanoseconds."""

    h2d_ns: int
    compute_ns: int
    d2h_ns: int
    enqueue_ns: int


class Backend:
    """A runtime that loads one model and answers for numbered slots of bound inputs.

    A subclass is called `Backend`, lives in `device_agents/backends/<name>.py`, and declares what it can do:
    `patterns` lists its load patterns, `options` its options with what they mean; what is not listed is refused.
    The calls come in this order: start, load, then bind a slot before it is enqueued, wait after each enqueue.
    """

    patterns: ClassVar[Tuple[str, ...]] = ("serial",)
    options: ClassVar[Dict[str, str]] = {}

    def start(self) -> str:
        """Import the runtime and return its version. Errors: ImportError."""
        raise NotImplementedError

    def load(self, path: Path, spec: JobSpec) -> None:
        """Load the model for the concrete shapes of `spec`. Errors: DeviceError."""
        raise NotImplementedError

    def bind(self, inputs: Arrays, slot: int) -> None:
        """Make `inputs` (name to array, shapes and dtypes of the spec) what `slot` computes. Keeps no copy to come."""
        raise NotImplementedError

    def enqueue(self, slot: int) -> None:
        """Start the inference of `slot`; may return before it has finished."""
        raise NotImplementedError

    def wait(self, slot: int) -> Optional[Parts]:
        """Return when the device has finished `slot`, with its parts where the runtime can tell them."""
        raise NotImplementedError

    def outputs(self, slot: int) -> Arrays:
        """The outputs of the last finished inference of `slot`, by name; valid until it is enqueued again."""
        raise NotImplementedError

    def switches(self) -> Dict[str, Scalar]:
        """Every setting that can move a number, as it was really set."""
        return {}

    def close(self) -> None:
        """Free the device's memory. Safe to call twice."""


def check_request(backend: Backend, spec: JobSpec) -> None:
    """Refuse a load pattern or an option that the backend does not have. Errors: DeviceError `unsupported`."""
    if spec.pattern.kind not in backend.patterns:
        can = ", ".join(backend.patterns)
        raise DeviceError(
            "unsupported", "load", f"{spec.backend} cannot run the load pattern {spec.pattern}", fix=f"it can: {can}"
        )
    for name in spec.options:
        if name not in backend.options:
            known = ", ".join(sorted(backend.options)) or "none"
            raise DeviceError("unsupported", "load", f"{spec.backend} has no option {name!r}", fix=f"it has: {known}")


def first_line(error: Exception) -> str:
    """What a runtime's exception says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
