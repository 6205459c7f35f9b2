"""The engines that this device built, a folder each: engines/<key>/model.engine and engine.json (an EngineReport).

An engine is executable code: only what this device built, or what the operator's manifest names by its hash, is
loaded. Every job checks the hash before its first process loads the file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from device_agents.backends.base import Backend
from device_agents.contract import (
    ENGINE_MANIFEST,
    EngineReport,
    EngineUse,
    JobSpec,
    Scalar,
    SchemaViolation,
    dumps,
    from_json,
    loads,
)
from device_agents.errors import DeviceError
from device_agents.files import verify, write_atomic
from device_agents.system import Readings

_DEVICE = ("architecture", "board", "gpu_name", "gpu_compute_cap", "gpu_driver_version", "l4t", "power_mode")
_ELSEWHERE = ("architecture", "gpu_name", "gpu_compute_cap", "target", "runtime", "runtime_version")
_AHEAD = ("architecture", "target", "runtime", "runtime_version")
_ANY = "any"  # the target of a runtime that builds for GPUs which are not there, where none is named
_TOLD = 3  # differences that a sentence names


def made_of(spec: JobSpec, backend: Backend, identity: Readings) -> Dict[str, Scalar]:
    """Everything that makes an engine another one; the key hashes it."""
    device = {name: reading.value for name, reading in identity.items() if name in _DEVICE}
    shapes = {f"input {tensor.name}": _shape(tensor.shape) for tensor in spec.graph_inputs or spec.inputs}
    profiles = {
        f"profile {index}": ", ".join(f"{name} {bounds}" for name, bounds in sorted(profile.items()))
        for index, profile in enumerate(spec.engine.profiles)
    }
    static = {} if profiles else {"shapes": "; ".join(_shape(tensor.shape) for tensor in spec.inputs)}
    return {
        "artifact": spec.artifact,
        "precision": str(spec.precision),
        "build": spec.engine.build,
        **shapes,
        **profiles,
        **static,
        **{name: value for name, value in device.items() if value is not None},
        **backend.made_of(spec),
    }


def key_of(facts: Mapping[str, Scalar]) -> str:
    """40 hexadecimal digits of SHA-256 over what the engine is made of."""
    return hashlib.sha256(dumps(facts).encode()).hexdigest()[:40]


class Engines:
    """The cache of one working folder. The accelerator's lock, which every job holds, keeps builders apart."""

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._root = workdir / "engines"
        self.caches = workdir / "caches"

    def all(self) -> List[EngineReport]:
        """Every engine whose manifest can be read, newest first."""
        manifests = sorted(self._root.glob(f"*/{ENGINE_MANIFEST}"), key=lambda path: -path.stat().st_mtime)
        reports = (_read(path) for path in manifests)
        return [report for report in reports if report is not None]

    def keep(self, report: EngineReport, target: Path) -> None:
        """Give a cached engine one more name, which stays when its place goes to another. Errors: OSError."""
        engine = self._root / report.key / report.file.name
        target.unlink(missing_ok=True)
        try:
            os.link(str(engine), str(target))
        except OSError:  # a file system without hard links
            shutil.copyfile(str(engine), str(target))

    def find(self, key: str) -> Optional[EngineReport]:
        """The engine of this key, its hash checked; None where there is none. Errors: DeviceError when it is damaged,
        after which it is gone."""
        folder = self._root / key
        if not folder.exists():
            return None
        report = _read(folder / ENGINE_MANIFEST)
        if report is None or report.key != key or not _intact(folder, report):
            shutil.rmtree(folder, ignore_errors=True)
            raise DeviceError("engine_damaged", "load", "the cached engine was damaged", where=str(folder))
        os.utime(str(folder))  # used: `gc` goes by it
        return report

    def given(self, spec: JobSpec, facts: Mapping[str, Scalar]) -> EngineUse:
        """The engine that the operator sent. Errors: DeviceError when it is not the one that was named, or is for
        another runtime or GPU than this."""
        given = spec.engine.given
        if given is None:
            raise RuntimeError("no engine was given")
        folder = self._workdir / "artifacts" / given.artifact
        verify(folder, (given.file,))
        report = _read(folder / ENGINE_MANIFEST)
        if report is None or report.file != given.file:
            fix = "build it again: deploy with --rebuild"
            raise DeviceError("engine_damaged", "load", "its manifest is not that engine's", where=str(folder), fix=fix)
        here, decides = _own_facts(report, facts)
        unlike = [name for name in decides if report.made_of.get(name) != here.get(name)]
        if unlike:
            fix = "let the device build its own: --engines own"
            message = f"the engine of {given.builder} does not fit ({_differences(report.made_of, here, unlike)})"
            raise DeviceError("engine_foreign", "load", message, where=folder.name[:12], fix=fix)
        return EngineUse(report, True, f"built by {given.builder}")

    def making(self, job: str) -> Path:
        """An empty folder in which a job builds; what an earlier attempt left there is gone."""
        folder = self._root / f".making-{job}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        self.caches.mkdir(mode=0o700, exist_ok=True)
        return folder

    def adopt(self, folder: Path, report: EngineReport) -> None:
        """Give a finished engine its place, over one of the same key."""
        write_atomic(folder / ENGINE_MANIFEST, dumps(report, indent=1).encode())
        home = self._root / report.key
        shutil.rmtree(home, ignore_errors=True)
        folder.rename(home)

    def why_built(self, facts: Mapping[str, Scalar], rebuild: bool) -> str:
        """In a few words: what was asked for, or what is different from the engine that comes closest."""
        if rebuild:
            return "built anew, as was asked"
        like = [report for report in self.all() if report.artifact == facts["artifact"]]
        if not like:
            return "built: there was none"
        unlike = min((_unlike(report.made_of, facts) for report in like), key=len)
        nearest = next(report for report in like if _unlike(report.made_of, facts) == unlike)
        return f"built: {_differences(nearest.made_of, facts, unlike)}"


def _own_facts(report: EngineReport, facts: Mapping[str, Scalar]) -> Tuple[Mapping[str, Scalar], Tuple[str, ...]]:
    """What this device has, and which of it an engine that was built elsewhere must have too. Where a runtime builds
    for GPUs that are not there, the target that was named decides, not the builder's GPU, which may be none."""
    if facts.get("target") != _ANY or report.made_of.get("target") == _ANY:
        return facts, _ELSEWHERE
    capability = str(facts.get("gpu_compute_cap", " of an unknown GPU")).replace(".", "")
    return {**facts, "target": f"sm{capability}"}, _AHEAD


def _read(path: Path) -> Optional[EngineReport]:
    try:
        return from_json(EngineReport, loads(path.read_bytes()))
    except (OSError, SchemaViolation):
        return None


def _intact(folder: Path, report: EngineReport) -> bool:
    try:
        verify(folder, (report.file,))
    except DeviceError:
        return False
    return True


def _unlike(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> List[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def _differences(before: Mapping[str, Scalar], now: Mapping[str, Scalar], names: List[str]) -> str:
    told = [f"{name} was {before.get(name, 'not set')}, is {now.get(name, 'not set')}" for name in names[:_TOLD]]
    return "; ".join(told) + (f"; and {len(names) - _TOLD} more" if len(names) > _TOLD else "")


def _shape(dims: "tuple[object, ...]") -> str:
    return "x".join(str(dim) for dim in dims)
