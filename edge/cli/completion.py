"""What a shell offers behind TAB: names of devices, profiles, models, runs and measurements.

It is asked at each TAB, so nothing is read but names of files and fleet.toml, and nothing heavy is imported. What
cannot be read offers nothing: a mistake in a file is told by the command, not in the middle of a line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

_MOST = 500  # newest runs and measurements that are offered


def devices(context: typer.Context, incomplete: str) -> list[str]:
    """Devices and groups of the fleet file, with `local`."""
    from edge.places import places
    from profiles.errors import ConfigError
    from profiles.load import read_toml

    found = ["local"]
    with contextlib.suppress(ConfigError):
        given = context.params.get("fleet")
        file = places().fleet_file(Path(given) if given else None)
        for table in ("devices", "groups") if file else ():
            names = read_toml(file).get(table) if file else None
            found += names if isinstance(names, dict) else ()
    return _fitting(found, incomplete)


def profiles(incomplete: str) -> list[str]:
    """Of devices and of models, as `edgebench profiles list` has them."""
    from profiles.load import device_profile_names, model_profile_names

    return _fitting([*device_profile_names(), *model_profile_names()], incomplete)


def models(incomplete: str) -> list[str]:
    from profiles.load import model_profile_names

    return _fitting(model_profile_names(), incomplete)


def plans(incomplete: str) -> list[str]:
    from profiles.load import sweep_plan_names

    return _fitting(sweep_plan_names(), incomplete)


def claims(incomplete: str) -> list[str]:
    from profiles.load import claims_file_names

    return _fitting(claims_file_names(), incomplete)


def runs(incomplete: str) -> list[str]:
    """Ids of runs, the newest ones."""
    return _fitting(_runs(), incomplete)


def measurements(incomplete: str) -> list[str]:
    """Ids of measurements."""
    return _fitting(_measurements(), incomplete)


def sides(incomplete: str) -> list[str]:
    """What `compare` takes: runs, measurements, `latest`."""
    return _fitting(["latest", "latest~1", *_runs(), *_measurements()], incomplete)


def _runs() -> list[str]:
    return sorted((path.stem for path in _results().glob("sweeps/*/*.jsonl")), reverse=True)[:_MOST]


def _measurements() -> Iterator[str]:
    return (path.parent.name for path in _results().glob("measurements/[!.]?/*/result.json"))


def _results() -> Path:
    from edge.places import places

    return places().results


def _fitting(names: Iterable[str], incomplete: str) -> list[str]:
    return list(dict.fromkeys(name for name in names if name.startswith(incomplete)))[:_MOST]
