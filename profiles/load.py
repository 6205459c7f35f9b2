"""Reading TOML with errors that name file, key and what is allowed; finding profiles by name."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from device_agents.contract import SchemaViolation, from_json, loads
from profiles.claim_schema import ClaimsFile, CompileCoverage, Conditions
from profiles.errors import ConfigError
from profiles.schema import DeviceProfile, ModelProfile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_HERE = Path(__file__).parent


def read_toml(path: Path) -> dict[str, Any]:
    """The file as plain values. Errors: ConfigError when it is missing, unreadable or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML ({error})", where=str(path)) from None


def parse(kind: type[T], data: Any, *, where: Path, at: str = "") -> T:
    """`data` as `kind`; a mistake becomes a ConfigError that names the file and the key."""
    try:
        return from_json(kind, data, at)
    except SchemaViolation as error:
        place = f"{where}, key {error.where!r}" if error.where else str(where)
        raise ConfigError(error.message, where=place) from None


@functools.cache
def device_profile(name: str) -> DeviceProfile:
    """The profile in profiles/devices/<name>.toml. Errors: ConfigError listing what there is."""
    return _find(DeviceProfile, "devices", name, "device profile")


@functools.cache
def model_profile(name: str) -> ModelProfile:
    """The profile in profiles/models/<name>.toml. Errors: ConfigError listing what there is."""
    return _find(ModelProfile, "models", name, "model")


def device_profile_names() -> tuple[str, ...]:
    return _names("devices")


def model_profile_names() -> tuple[str, ...]:
    return _names("models")


def sweep_plan(named: str) -> Path:
    """A plan's file, or the one in profiles/sweeps/<named>.toml. Errors: ConfigError listing what there is."""
    return _file_or_own("sweeps", named, "plan")


def sweep_plan_names() -> tuple[str, ...]:
    return _names("sweeps")


def claims_file(named: str) -> ClaimsFile:
    """A file of claims, or the one in profiles/claims/<named>.toml. Errors: ConfigError that names file and key, or
    lists what there is."""
    path = _file_or_own("claims", named, "claims file")
    read = parse(ClaimsFile, read_toml(path), where=path)
    for index, claim in enumerate(read.claims):
        for table in (claim.conditions, claim.baseline or Conditions(), read.conditions):
            if table.device is not None and table.device not in device_profile_names():
                place = f"{path}, key 'claims[{index}].conditions.device'"
                raise unknown("device profile", table.device, device_profile_names(), where=place)
    return replace(read, name=path.stem)


def claims_file_names() -> tuple[str, ...]:
    return _names("claims")


def compile_coverage(path: Path = _HERE / "claims" / "compile_coverage.json") -> CompileCoverage | None:
    """The record that edgebench comes with, None where there is none. Errors: ConfigError for one that is damaged."""
    if not path.is_file():
        return None
    try:
        data = loads(path.read_bytes())
    except SchemaViolation as error:
        raise ConfigError(error.message, where=str(path)) from None
    return parse(CompileCoverage, data, where=path)


def _file_or_own(folder: str, named: str, what: str) -> Path:
    path = Path(named).expanduser()
    if path.is_file():
        return path
    if named in _names(folder):
        return _HERE / folder / f"{named}.toml"
    message = f"is a folder, and a {what} is a file" if path.is_dir() else f"there is no such {what}"
    raise ConfigError(message, where=named, fix=f"name a TOML file, or one of: {', '.join(_names(folder))}")


def unknown(kind: str, name: str, allowed: Iterable[str], *, where: str = "", fix: str = "") -> ConfigError:
    """`unknown KIND 'NAME'`, with the nearest name there is and the list of all."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    known = f"known: {', '.join(choices)}" if choices else "there are none"
    return ConfigError(f"unknown {kind} {name!r}{hint}; {known}", where=where, fix=fix)


@functools.cache
def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_HERE / folder).glob("*.toml")))


def _find(kind: type[T], folder: str, name: str, what: str) -> T:
    if name not in _names(folder):
        raise unknown(what, name, _names(folder))
    path = _HERE / folder / f"{name}.toml"
    data = read_toml(path)
    return parse(kind, {"name": name, **data}, where=path)
