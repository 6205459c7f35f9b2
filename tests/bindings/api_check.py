"""What a reading of our code (trt_calls) gets wrong against the descriptions of real TensorRT modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trt_members import HANDLES, Arguments, Assigned, Member, Reading, Use

Description = dict[str, Any]

_NAMES = {owner: name for name, owner in HANDLES.items() if owner}


def wrong(reading: Reading, versions: Mapping[str, Description]) -> list[str]:
    """One sentence a fault, each once. `versions` are descriptions by what they are called in a sentence."""
    found = list(reading.refused)
    for use in reading.uses:
        found += _wrong_use(use, reading, versions)
    for assigned in reading.assigned:
        found += _wrong_name(assigned, versions)
    found += _strangers(reading, versions)
    return sorted(set(found))


def _wrong_use(use: Use, reading: Reading, versions: Mapping[str, Description]) -> Iterator[str]:
    """A use must exist in every version where its guards let it run, and in at least one at all."""
    if use.member.path[-1].startswith("__") or _is_ours(use.member, reading):
        return
    if not any(lookup(version, use.member) for version in versions.values()):
        yield f"{use.where}: {use.member} exists in no TensorRT"
        return
    if use.kind == "test":
        return
    for name, version in versions.items():
        if not all(bool(lookup(version, guard.member)) == guard.there for guard in use.guards):
            continue
        member = lookup(version, use.member)
        if member is None:
            yield f"{use.where}: {use.member} does not exist in {name}, and no hasattr guards it"
        elif use.kind == "set" and not (member["kind"] == "property" and member["writable"]):
            yield f"{use.where}: {use.member} cannot be set in {name}"
        elif use.kind == "call" and member["kind"] in ("property", "value"):
            yield f"{use.where}: {use.member} cannot be called in {name}"
        elif use.kind in ("call", "override") and use.arguments is not None and not _accepts(member, use.arguments):
            yield f"{use.where}: {use.member} does not take these arguments in {name}: {_signatures(member)}"


def _is_ours(member: Member, reading: Reading) -> bool:
    """What our subclasses of ILogger and IProgressMonitor define beside TensorRT's own."""
    return member.owner in ("Logger", "IProgressMonitor") and member.path[0] in reading.own


def lookup(version: Description, member: Member) -> dict[str, Any] | None:
    """The described member, or None where that version has none."""
    path = (member.owner, *member.path) if member.owner else member.path
    found: dict[str, Any] = version
    for name in path:
        if name in found.get("values", {}):
            found = {**found, "kind": "value"}  # an enum's value is an instance of the enum
        elif name in found.get("members", {}):
            found = found["members"][name]
        else:
            return None
    return found


def _signatures(member: Mapping[str, Any]) -> list[dict[str, Any]]:
    if member["kind"] in ("class", "enum"):
        member = member["members"].get("__init__", {})
    found: list[dict[str, Any]] = member.get("signatures", [])
    return found


def _accepts(member: Mapping[str, Any], arguments: Arguments) -> bool:
    """Whether any signature does; true where the binding tells none."""
    signatures = _signatures(member)
    return not signatures or any(_fits(signature, arguments) for signature in signatures)


def _fits(signature: Mapping[str, Any], arguments: Arguments) -> bool:
    parameters = [(name, default) for name, default in signature["args"] if name != "self"]
    if signature["any"]:
        return True
    rest = parameters[arguments.positional :]
    names = {name for name, _ in rest}
    needed = {name for name, default in rest if not default}
    return arguments.positional <= len(parameters) and needed <= set(arguments.keywords) <= names


def _wrong_name(assigned: Assigned, versions: Mapping[str, Description]) -> Iterator[str]:
    """What a call returns or constructs must be held under the name of its class."""
    for version in versions.values():
        member = lookup(version, assigned.member)
        if member is None:
            continue
        if member["kind"] == "class":
            classes = {assigned.member.path[-1]}
        else:
            classes = {signature["type"].rpartition(".")[2] for signature in _signatures(member)}
        for name in {_NAMES[cls] for cls in classes if cls in _NAMES} - {assigned.target}:
            yield f"{assigned.where}: what {assigned.member} returns is held as {assigned.target}; its name is {name}"


def _strangers(reading: Reading, versions: Mapping[str, Description]) -> Iterator[str]:
    """An attribute that only TensorRT's classes have, on an object under another name."""
    known: set[str] = set()
    for version in versions.values():
        for owner in _NAMES:
            known |= set(version["members"].get(owner, {}).get("members", {}))
    telling = {name for name in known if "_" in name.strip("_") and not name.startswith("_")} - reading.own
    for name, where in reading.strangers:
        if name in telling:
            yield f"{where}: .{name} is TensorRT's, on an object under another name than {', '.join(HANDLES)}"
