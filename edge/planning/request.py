"""What `deploy` was asked, refused at once where no device is needed to see that it cannot be meant."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_agents.contract import DimRange, LoadPattern, Precision, Scalar, SchemaViolation, Timing
from edge.agent import bundle
from edge.planning.choosing import AUTO
from edge.planning.control import Wishes
from edge.planning.models import resolve
from edge.planning.plan import AHEAD, OWN
from edge.planning.sizes import Size
from profiles.errors import ConfigError

MOST_BUILDS = 100


@dataclass(frozen=True)
class Request:
    """What was asked. None, or AUTO, leaves the choice to edgebench. `calibrate` is what INT8 is made with where none
    is there, `if_there` leaves out the backends that a device lacks, `is_quick` says that a first look is wanted,
    whatever the timing of one is. Errors: ConfigError for what cannot be meant, whatever the devices are."""

    models: tuple[str, ...]
    framework: str | None = None
    backends: tuple[str, ...] = (AUTO,)
    precision: Precision | None = None
    batches: tuple[int, ...] | None = None
    weights: str | None = None
    pattern: str | None = None
    timing: Timing = field(default_factory=Timing)
    processes: int | None = None
    options: Mapping[str, Scalar] = field(default_factory=dict)
    hot_input: bool = False
    transfers: bool = True
    bounds: tuple[DimRange, ...] = ()
    builds: int = 1
    rebuild: bool = False
    inputs: Path | None = None
    check_with: str | None = None
    engines: str = OWN
    sizes: tuple[Size, ...] | None = None
    wishes: Wishes = Wishes()
    calibrate: str | None = None
    if_there: bool = False
    is_quick: bool = False
    cold: bool = False
    dataset: Path | None = None

    def __post_init__(self) -> None:
        self._check_names()
        self._check_engines()
        self._check_opinion()
        self._check_drawn()
        _ = self.inputs_sha256, self.dataset_sha256, self.timed

    @property
    def load(self) -> LoadPattern:
        """Errors: ConfigError for a pattern that is none."""
        try:
            pattern = LoadPattern() if self.pattern is None else LoadPattern.parse(self.pattern)
            return pattern.quick() if self.is_quick or self.timing == Timing.quick() else pattern
        except SchemaViolation as error:
            raise ConfigError(error.message, where="--pattern") from None

    @property
    def timed(self) -> Timing:
        """The timing of its load, in as many processes as were asked for. Errors: ConfigError."""
        try:
            return self.timing.for_pattern(self.load, self.processes)
        except SchemaViolation as error:
            raise ConfigError(error.message, where="--processes") from None

    @property
    def plainly_timed(self) -> Timing:
        """The timing of serial cells beside its load. Errors: ConfigError."""
        return replace(self, pattern=None).timed

    @functools.cached_property
    def inputs_sha256(self) -> str | None:
        """Of the operator's own data. Errors: ConfigError when there is nothing there to use."""
        if self.inputs is None:
            return None
        from edge.planning.data_files import fingerprint

        return fingerprint(self.inputs)

    @functools.cached_property
    def dataset_sha256(self) -> str | None:
        """Of the labelled images. Errors: ConfigError for a folder that holds none."""
        if self.dataset is None:
            return None
        from edge.planning.labelled_files import fingerprint

        return fingerprint(self.dataset)

    def _check_names(self) -> None:
        names = [resolve(text).name for text in self.models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            fix = "name every model once; files of one name need names of their own"
            raise ConfigError(f"{', '.join(twice)} is named twice", where="MODEL", fix=fix)

    def _check_engines(self) -> None:
        """Errors: ConfigError for a wish that no engine could fulfil."""
        if not 1 <= self.builds <= MOST_BUILDS:
            raise ConfigError(f"{self.builds} is not between 1 and {MOST_BUILDS}", where="--builds")
        if self.engines == AHEAD and (self.rebuild or self.builds > 1):
            fix = "leave out --rebuild and --builds, or --engines"
            raise ConfigError("an engine that was built ahead of time is not built again", where="--engines", fix=fix)
        for batch in self.batches or (1,):
            if self.bounds and not any(bounds.min <= batch <= bounds.max for bounds in self.bounds):
                told = ", ".join(map(str, self.bounds))
                fix = "widen them, or give --batch a size within"
                raise ConfigError(f"batch {batch} is outside the bounds {told}", where="--bounds", fix=fix)

    def _check_drawn(self) -> None:
        """Errors: ConfigError for what has no meaning where the load pattern draws sizes."""
        if not self.load.sizes:
            return
        if self.sizes is not None:
            raise ConfigError("the load pattern draws the sizes", where="--size", fix="leave it out, or the pattern")
        if self.inputs is not None:
            message = "your own data is of one size, and the load pattern draws sizes"
            raise ConfigError(message, where="--inputs", fix="leave it out: drawn sizes are timed with noise")
        if self.engines != OWN:
            message = f"an engine of {self.engines} is one, and drawn sizes are set against engines of each size"
            raise ConfigError(message, where="--engines", fix="leave it out: each device builds them")

    def _check_opinion(self) -> None:
        """Errors: ConfigError for a tool that the agent lacks, or that cannot do what the measurement does."""
        load = self.load
        if self.check_with is None:
            return
        if self.check_with not in bundle.backend_names():
            raise ConfigError(f"the agent has no {self.check_with}", where="--check-with")
        if load.kind in ("rate", "sizes"):
            message = f"{self.check_with} cannot run the load pattern {load}"
            raise ConfigError(message, where="--check-with", fix="leave it out, or ask for serial or pipelined")
        if self.options.get("pinned") is False:
            message = f"{self.check_with} copies from pinned memory alone"
            raise ConfigError(message, where="--check-with", fix="leave it out, or leave out --option pinned=false")
