"""`export --engine`: which engines to build ahead of time, and who builds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.running.engines import Ahead, AheadOfTime
    from export.artifact import Store
    from profiles.progress import Progress


def engines_wanted(
    engine: str | None, target: str | None, options: list[str], *, batch: str | None, bounded: bool, fresh: bool
) -> Ahead | None:
    """Which engines to build, None for none. Errors: ConfigError for what cannot be built here."""
    from edge.planning.options import parse_options
    from edge.planning.targets import RUNTIME, TARGETS, parse_targets
    from edge.running.engines import Ahead
    from export.api import MAX_BATCH
    from profiles.errors import ConfigError
    from profiles.load import unknown

    if engine is None:
        if target is not None or options:
            where = "--option" if target is None else "--target"
            raise ConfigError("it is for an engine, and none is asked for", where=where, fix=f"--engine {RUNTIME}")
        return None
    if engine == "tensorrt":
        fix = f"`edgebench deploy` does that; --engine {RUNTIME} is for GPUs that are not here"
        raise ConfigError("TensorRT engines are built on the device that runs them", where="--engine", fix=fix)
    if engine != RUNTIME:
        raise unknown("runtime to build for", engine, (RUNTIME,), where="--engine")
    if target is None:
        raise ConfigError("an engine is for one kind of GPU", where="--engine", fix=f"--target {','.join(TARGETS)}")
    if batch == "dynamic" and not bounded:
        fix = "say what it may be, such as --bounds 1:8:32"
        raise ConfigError("an engine takes no batch without bounds", where="--batch", fix=fix)
    number = _number(batch) if batch and batch != "dynamic" else 1
    if not 1 <= number <= MAX_BATCH:
        raise ConfigError(f"{number} is not between 1 and {MAX_BATCH}", where="--batch")
    return Ahead(parse_targets(target), number, parse_options(options), fresh)


@contextmanager
def engine_builder(wanted: Ahead | None, store: Store, progress: Progress) -> Iterator[AheadOfTime | None]:
    if wanted is None:
        yield None
        return
    from edge.cli.common import load_fleet
    from edge.inventory.devices import LOCAL
    from edge.places import places
    from edge.running.engines import ahead_of_time

    with ahead_of_time(wanted, load_fleet(None).devices[LOCAL], store, places(), progress) as builder:
        yield builder


def graph_batch(text: str | None, wanted: Ahead | None, *, is_file: bool, bounded: bool) -> int | str:
    """Of the ONNX graph. That of an engine is dynamic whatever the engine's, so that it is the one that `deploy` takes,
    but a user's file is fixed to it, as it may have a fixed one already."""
    if wanted is not None and not bounded:
        return wanted.batch if is_file else "dynamic"
    return _number(text) if text and text != "dynamic" else "dynamic"


def _number(text: str) -> int:
    from profiles.errors import ConfigError

    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{text!r} is neither a number nor dynamic", where="--batch")
    return int(text)
