"""Engines for people: which there are, what each is for, of what it was made where that is not the default."""

from __future__ import annotations

from collections.abc import Mapping

from device_agents.contract import EngineReport, Scalar
from edge.agent.engine_cache import SHORT
from edge.planning.targets import RUNTIME as RTX
from edge.report.columns import Column, Spare, listing
from edge.results.special import option

_USUAL: Mapping[str, Scalar] = {"hardware_compatibility": "none", "timing_cache": True, "version_compatible": False}
_OPTIONS = (
    "dla_core", "dla_global_mib", "dla_local_mib", "dla_sram_kib", "hardware_compatibility", "optimization_level",
    "tactic_dram_mib", "tactic_shared_kib", "timing_cache", "version_compatible", "workspace_mib",
)  # fmt: skip
_SPARES = (
    Spare("sha256"), Spare("precision", if_alike=True), Spare("GPU", if_alike=True), Spare("runtime", if_alike=True),
    Spare("built at (UTC)"), Spare("GPU"), Spare("size"), Spare("precision"),
)  # fmt: skip


def table(found: Mapping[str, list[EngineReport]], models: Mapping[str, str], width: int) -> str:
    """A row an engine, by device; `models` are the names of the artifacts that are known, by id."""
    rows = [(device, report) for device, reports in found.items() for report in reports]
    reports = [report for _, report in rows]
    columns = [
        Column("device", [device for device, _ in rows]),
        Column("model", [models.get(report.artifact, report.artifact[:SHORT]) for report in reports]),
        Column("key", [report.key[:SHORT] for report in reports]),
        Column("sha256", [report.file.sha256[:SHORT] for report in reports]),
        Column("runtime", [f"{report.runtime} {report.runtime_version}" for report in reports]),
        Column("GPU", [gpu(report) for report in reports]),
        Column("precision", [str(report.precision) for report in reports]),
        Column("shapes (min:opt:max)", [_shapes(report) for report in reports]),
        Column("with", [", ".join(special(report)) for report in reports]),
        Column("size", [size(report.file.size) for report in reports], right=True),
        Column("built at (UTC)", [report.built_at[:16].replace("T", " ") for report in reports]),
    ]
    return listing(columns, width, _SPARES)


def special(report: EngineReport) -> list[str]:
    """What is not as by default in how it was built: options, which draw of a lottery it is, who built it."""
    facts, told = report.made_of, []
    for name in _OPTIONS:
        value = facts.get(name, "default")
        if value not in ("default", _USUAL.get(name)):
            told.append(f"{name}={option(value)}")
    if "typing" in facts and facts["typing"] != _usual_typing(report):
        told.append(f"typing={facts['typing']}")
    told += [f"build {facts['build']}"] if facts.get("build") else []
    told += [f"built by {facts['built_by']}"] if "built_by" in facts else []
    return told


def gpu(report: EngineReport) -> str:
    """What the engine is for: its target, after the GPU or board that built it where that is the one to run it."""
    facts = report.made_of
    here = None if report.runtime == RTX else facts.get("gpu_name") or facts.get("board")
    return ", ".join(str(word) for word in (here, facts.get("target")) if word) or "unknown GPU"


def size(count: int) -> str:
    """Bytes in MiB, or in KiB where that would be less than one."""
    if count < 1 << 20:
        return f"{count / 2**10:.3g} KiB"
    mib = count / 2**20
    return f"{mib:.1f} MiB" if mib < 100 else f"{mib:.0f} MiB"


def _usual_typing(report: EngineReport) -> str:
    """As the device chooses it: TensorRT 8 has no strong typing, and no DLA takes it."""
    major = int(report.runtime_version.partition(".")[0]) if report.runtime_version[:1].isdigit() else 0
    old = report.runtime != RTX and major < 10
    return "weak" if old or report.made_of.get("dla_core", "default") != "default" else "strong"


def _shapes(report: EngineReport) -> str:
    """Of the job, or what its optimization profiles allow."""
    profiles = "; ".join(", ".join(f"{name} {one}" for name, one in sorted(p.items())) for p in report.profiles)
    return profiles or str(report.made_of.get("shapes", ""))
