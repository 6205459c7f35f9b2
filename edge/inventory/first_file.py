"""The files that a fleet begins with: fleet.toml, and a sweep beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.inventory.importing import Entry, replaced, table
from profiles.errors import ConfigError

SWEEP = "sweep.toml"

_HEADER = """\
# The fleet: which devices there are and how to reach them. `edgebench devices list` shows it as it is understood.
# A device takes: host, user, port, key, known_hosts, profile, tags, python, workdir, power_mode, gateway, and more that
# docs/fleet.md tells. What is left out comes from its groups, from [defaults], then ~/.ssh/config. The device `local`,
# this machine, always exists. `edgebench profiles list` shows the profiles.
"""

_EXAMPLE = """
# [defaults]
# user = "nvidia"
#
# [devices.orin-1]
# host = "192.168.1.21"
# profile = "jetson-agx-orin-64gb"
# tags = ["lab"]
"""

_FIRST_SWEEP = """\
# A sweep to start from: every model at every batch on every device. `edgebench sweep {file} --dry-run` tells what it
# would measure; docs/sweeps.md has the other axes. Random weights need no download.
models = ["resnet18"]
batches = [1, 8]
weights = "random"
quick = true
"""


def fleet_text(defaults: Mapping[str, str | int], devices: Sequence[Entry]) -> str:
    """A fleet file with these devices; with an example in comments where there are none."""
    if not devices:
        return _HEADER + _EXAMPLE
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in defaults.items()]
    common = [f"\n[defaults]\n{''.join(lines)}"] if lines else []
    return "".join([_HEADER, *common, *(f"\n{table(device)}" for device in devices)])


def write(file: Path, text: str, *, force: bool) -> tuple[Path, ...]:
    """Write the fleet file, whole or not at all, and a sweep beside it, unless there is one already. Returns what was
    written. Errors: ConfigError for a fleet file that exists, unless `force`, or that cannot be written."""
    check_free(file, force=force)
    sweep = file.with_name(SWEEP)
    try:
        _put(file, text)
        if sweep.exists():
            return (file,)
        _put(sweep, _FIRST_SWEEP.format(file=sweep))
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror})", where=str(file)) from None
    return file, sweep


def check_free(file: Path, *, force: bool) -> None:
    """Errors: ConfigError for a file that exists, unless `force`."""
    if file.exists() and not force:
        fix = "edit it, name another with --file, or write over it with --force"
        raise ConfigError("the file exists", where=str(file), fix=fix)


def _put(file: Path, text: str) -> None:
    with replaced(file) as part:
        part.write_text(text, encoding="utf-8")
