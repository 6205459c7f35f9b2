"""Find the engine of a job in the cache, or build it: in a process of its own, so that timing starts afresh."""

from __future__ import annotations

import shutil
import sys
import time

from device_agents import engines, runtimes, state
from device_agents.contract import ENGINE_FILE, SCHEMA, EngineReport, EngineUse
from device_agents.errors import DeviceError, io_error
from device_agents.files import entry_of
from device_agents.locks import now
from device_agents.system import System
from device_agents.tasks import BUILDING, Work


def run(work: Work) -> EngineUse:
    """Errors: DeviceError; nothing is left of a build that failed."""
    spec, system = work.spec, System.here()
    backend, version = runtimes.start(spec)
    _kind, identity, _context = state.describe(system)
    facts = engines.made_of(spec, backend, identity)
    cache = engines.Engines(work.workdir)
    if spec.engine.given:
        return cache.given(spec, facts)
    key, why = engines.key_of(facts), ""
    anew = spec.engine.rebuild or work.index > 0
    try:
        found = None if anew else cache.find(key)
    except DeviceError as error:
        found, why = None, f"built anew: {error.info.message}"
    if found is not None:
        cache.keep(found, work.engine_file)
        return EngineUse(found, True, f"built here on {found.built_at}")
    why, context = why or cache.why_built(facts, anew), state.snapshot(system)
    folder = cache.making(spec.job)
    try:
        begin = time.perf_counter()
        built = backend.build(work.model, folder / ENGINE_FILE, spec, cache.caches, _tell)
        report = EngineReport(
            schema=SCHEMA,
            key=key,
            artifact=spec.artifact,
            file=entry_of(folder / ENGINE_FILE),
            runtime=spec.backend,
            runtime_version=version,
            precision=spec.precision,
            built_at=now(),
            made_of=facts,
            profiles=spec.engine.profiles,
            context=context,
            seconds={**built.seconds, "build_total": time.perf_counter() - begin},
            device_memory_bytes=built.device_memory_bytes,
            warnings=built.warnings,
            layers=built.layers,
        )
        cache.adopt(folder, report)
        cache.keep(report, work.engine_file)
    except OSError as error:
        message = f"the engine cannot be kept ({error.strerror or error})"
        fix = io_error(error, "build", folder).fix
        raise DeviceError("device_io", "build", message, where=str(folder), fix=fix) from None
    finally:
        backend.close()
        shutil.rmtree(folder, ignore_errors=True)
    return EngineUse(report, False, why)


def _tell(what: str) -> None:
    """Into the job's log: nobody polls a device at work."""
    print(f"{BUILDING}{what}", file=sys.stderr, flush=True)
