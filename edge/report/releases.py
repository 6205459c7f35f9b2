"""Releases for people and for programs: what was released, what devices have, how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from device_agents.contract import ModelReleases, Release, Releases
from edge.agent.engine_cache import SHORT
from edge.releases.making import NotReleased, Outcome, Released
from edge.report.columns import Column, Spare, listing
from profiles.errors import sentence

_SPARES = (Spare("damaged", if_alike=True), Spare("runtime"), Spare("previous"), Spare("versions"))


def sentences(outcomes: Iterable[Outcome]) -> list[str]:
    """What became of `deploy --release`, a line a device and model."""
    return [_released(one) if isinstance(one, Released) else _not_released(one) for one in outcomes]


def outcomes_as_json(outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "releases": [
            {
                "device": one.device, "model": one.release.model, "version": one.release.version,
                "new": one.state.changed, "activated": one.activated, "current": one.state.current,
                "previous": one.state.previous, "path": one.state.path, "unjudged": one.unjudged,
                "manifest": one.release,
            }
            for one in outcomes if isinstance(one, Released)
        ],
        "not_released": [
            {"device": one.device, "model": one.model, "made": one.made, "invalid": one.invalid, "error": one.error}
            for one in outcomes if isinstance(one, NotReleased)
        ],
    }  # fmt: skip


def table(found: Mapping[str, Releases], width: int) -> str:
    """A row a device and model."""
    rows = [(device, one) for device, releases in found.items() for one in releases.models]
    columns = [
        Column("device", [device for device, _ in rows]),
        Column("model", [one.model for _, one in rows]),
        Column("current", [one.current or "-" for _, one in rows]),
        Column("previous", [one.previous or "-" for _, one in rows]),
        Column("versions", [", ".join(release.version for release in one.versions) for _, one in rows]),
        Column("runtime", [_runtime(one) for _, one in rows]),
        Column("damaged", [", ".join(one.damaged) for _, one in rows]),
    ]
    return listing(columns, width, _SPARES)


def differences(found: Mapping[str, Releases]) -> list[str]:
    """What is unlike on devices that answered: which version is current, what a version is made of, one that is on
    some of them alone. A device without any release of a model counts, too."""
    models = dict.fromkeys(one.model for releases in found.values() for one in releases.models)
    return [line for model in models for line in _unlike(model, _of(model, found))]


def _of(model: str, found: Mapping[str, Releases]) -> dict[str, ModelReleases]:
    nothing = ModelReleases(model, ())
    return {
        device: next((one for one in releases.models if one.model == model), nothing)
        for device, releases in found.items()
    }


def _unlike(model: str, found: Mapping[str, ModelReleases]) -> Iterable[str]:
    current = _grouped({device: one.current or "none" for device, one in found.items()})
    if len(current) > 1:
        yield f"{model}: current is {_told(current)}"
    versions = dict.fromkeys(release.version for one in found.values() for release in one.versions)
    for version in versions:
        made = {device: _made_of(one, version) for device, one in found.items()}
        there = {device: what for device, what in made.items() if what}
        if len(there) < len(found):
            yield f"{model}: {version} is not on {', '.join(device for device in found if device not in there)}"
        groups = _grouped(there)
        if len(groups) > 1:
            yield f"{model}: {version} is {_told(groups)}"


def _made_of(one: ModelReleases, version: str) -> str:
    """The engine is every device's own, the graph is not."""
    release = next((release for release in one.versions if release.version == version), None)
    if release is None:
        return ""
    return f"{release.framework} {release.precision} of artifact {release.artifact[:SHORT]}"


def _grouped(values: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for device, value in values.items():
        groups.setdefault(value, []).append(device)
    return groups


def _told(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value} on {', '.join(devices)}" for value, devices in groups.items())


def _runtime(one: ModelReleases) -> str:
    """Of the current version."""
    found: Release | None = next((release for release in one.versions if release.version == one.current), None)
    return f"{found.backend} {found.runtime_version}" if found else ""


def _released(one: Released) -> str:
    release, state = one.release, one.state
    what = "released" if state.changed else "was released before, with the same content"
    current = f", current now (before: {state.previous or 'none'})" if one.activated else ""
    verdict = f"UNJUDGED: {', '.join(one.unjudged)} had no data" if one.unjudged else "VALID"
    return f"{release.model} {release.version} on {one.device}: {what}{current}; {verdict}; {state.path}"


def _not_released(one: NotReleased) -> str:
    device, _, place = one.error.where.partition(", ")
    where = place if device == one.device else one.error.where  # which the line begins with already
    what = "released, but not activated" if one.made else "not released"
    told = sentence(one.error.message, where=where, fix=one.error.fix)
    return f"{one.model} on {one.device}: {what}: {told}{_again(one)}"


def _again(one: NotReleased) -> str:
    """What the measurement is still good for: with a version that is taken the same command would be refused again."""
    if not one.again:
        return ""
    return (
        "; it is not measured again for that"
        if one.error.code == "release_taken"
        else "; the same command goes on from here"
    )
