"""A plan file as it is meant: what its axes ask for, and the mistakes in it, each named by its key."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from device_agents.contract import dumps
from edge.planning.choosing import AUTO
from edge.planning.control import Wishes
from edge.planning.options import parse_bounds, parse_sizes
from edge.planning.plan import OWN
from edge.planning.request import Request
from edge.running.policy import Policy
from edge.sweeps.plan_keys import Axes, Exclude, PlanFile
from export.request import RANDOM
from profiles.errors import ConfigError
from profiles.load import parse, read_toml

_KEYS = {
    "MODEL": "models", "--framework": "frameworks", "--backend": "backends", "--batch": "batches", "--size": "sizes",
    "--pattern": "patterns", "--bounds": "bounds", "--engines": "engines", "--check-with": "check_with",
    "--processes": "processes", "--inputs": "inputs", "--dataset": "dataset", "--device": "devices",
    "--calibrate": "calibrate",
    "--power-mode": "power_modes", "--lock-clocks": "lock_clocks", "--persistence": "persistence",
}  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """A plan file as it is meant. `base` is what all cells share; `devices` the expression that picks them."""

    name: str
    source: Path
    axes: tuple[Axes, ...]
    base: Request
    excludes: tuple[Exclude, ...]
    repeats: int
    policy: Policy
    sha256: str
    devices: str = "all"

    @property
    def abilities(self) -> bool:
        """Whether it matters what the backends can do, and whether they are there."""
        return self.base.engines != OWN or self.base.if_there or any(axes.options for axes in self.axes)

    @property
    def backends(self) -> tuple[str, ...]:
        """All that are asked for anywhere."""
        return tuple(dict.fromkeys(name for axes in self.axes for name in axes.backends or (AUTO,)))

    def requests(self, axes: Axes) -> list[Request]:
        """One for each framework, precision, load pattern and power mode; the other axes are a request's own.
        Errors: ConfigError that names the file and the key."""
        with located(self.source):
            shared = replace(
                self.base,
                models=axes.models or (),
                batches=axes.batches,
                sizes=parse_sizes(",".join(axes.sizes)) if axes.sizes else None,
                backends=axes.backends or (AUTO,),
                options=axes.options or {},
            )
            return [
                replace(
                    shared if not _draws(pattern) else replace(shared, sizes=None),
                    framework=framework,
                    precision=precision,
                    pattern=pattern,
                    wishes=replace(shared.wishes, power_mode=power_mode),
                )
                for framework in axes.frameworks or (None,)
                for precision in axes.precisions or (None,)
                for pattern in axes.patterns or (None,)
                for power_mode in axes.power_modes or (None,)
            ]


def _draws(pattern: str | None) -> bool:
    """Whether that load has sizes of its own, which those of the plan do not concern."""
    return pattern is not None and pattern.startswith("sizes:")


def load_sweep(source: Path, *, weights: str | None = None, quick: bool = False) -> Sweep:
    """`weights` and `quick` come before the file's own. Errors: ConfigError that names file, key and what is
    allowed."""
    data = read_toml(source)
    file = parse(PlanFile, data, where=source)
    file = replace(file, weights=weights or file.weights, quick=quick or file.quick)
    models = tuple(dict.fromkeys(name for axes in (file, *file.include) for name in axes.models or ()))
    with located(source):
        base = _base(file, source, models)
    own = [Axes(**{item.name: getattr(file, item.name) for item in fields(Axes)})]
    sweep = Sweep(
        name=source.stem,
        source=source,
        axes=(*(own if file.models else []), *(axes.over(own[0]) for axes in file.include)),
        base=base,
        excludes=file.exclude,
        repeats=file.repeats,
        policy=file.limits.policy(),
        sha256=hashlib.sha256(dumps({**_content(data), **_typed(file)}).encode()).hexdigest(),
        devices=file.devices or "all",
    )
    for axes in sweep.axes:
        sweep.requests(axes)
    return sweep


def _content(data: Mapping[str, Any]) -> dict[str, Any]:
    """What makes another sweep of it: how patient a run is does not."""
    return {key: value for key, value in data.items() if key not in ("limits", "devices")}


def _typed(file: PlanFile) -> dict[str, Any]:
    """What the command line may have said; a plan that is quick by itself is the same sweep as one that is told so."""
    return {"weights": file.weights, **({"quick": True} if file.quick else {})}


def _base(file: PlanFile, source: Path, models: tuple[str, ...]) -> Request:
    return Request(
        models=models,
        weights=file.weights,
        timing=file.quick_timing if file.quick else file.timing,
        processes=file.processes,
        hot_input=file.hot_input,
        cold=file.cold,
        transfers=file.transfers,
        bounds=parse_bounds(list(file.bounds)),
        inputs=_beside(source, file.inputs),
        dataset=_beside(source, file.dataset),
        check_with=file.check_with,
        engines=file.engines,
        if_there=file.if_there,
        is_quick=file.quick,
        calibrate=_calibrated(source, file.calibrate),
        wishes=Wishes(lock_clocks=file.lock_clocks, persistence=file.persistence, shared=file.shared),
    )


def _beside(source: Path, name: str | None) -> Path | None:
    """What a plan file names, from its folder."""
    return source.absolute().parent / Path(name).expanduser() if name else None


def _calibrated(source: Path, data: str | None) -> str | None:
    """What INT8 is made with: a file or folder beside the plan, or `random`, which is none."""
    return data if data is None or data == RANDOM else str(_beside(source, data))


@contextlib.contextmanager
def located(source: Path) -> Iterator[None]:
    """Errors that name an option name the file's key."""
    try:
        yield
    except ConfigError as error:
        option, _, rest = error.where.partition(" ")
        if option in _KEYS:
            where = f"{source}, key {_KEYS[option]!r}" + (f", {rest}" if rest else "")
        else:
            where = f"{source}: {error.where}" if error.where else str(source)
        raise ConfigError(error.message, where=where, fix=error.fix) from None
