"""nvidia-smi --query-gpu and --query-compute-apps, with --format=csv,noheader,nounits: a line each, commas between."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence

NO_PROCESS = "none"


def parse_query(text: str, fields: Sequence[str]) -> Optional[Dict[str, str]]:
    """The first GPU's fields that hold a value, by name; None when the line does not fit the query."""
    rows = parse_rows(text, fields)
    return rows[0] if rows else None


def parse_rows(text: str, fields: Sequence[str]) -> List[Optional[Dict[str, str]]]:
    """A line each, a GPU or a process: its fields that hold a value, by name; None for one that does not fit the
    query."""
    return [_row(line, fields) for line in text.splitlines() if line.strip()]


def parse_instances(text: str) -> Dict[str, List[str]]:
    """The MIG instances of every board, by their UUIDs, from `nvidia-smi -L`: a board's line, then one for each of its
    instances (`  MIG 1g.10gb     Device  0: (UUID: MIG-...)`; older drivers name them MIG-GPU-<board>/<gi>/<ci>)."""
    found: Dict[str, List[str]] = {}
    board = ""
    for line in text.splitlines():
        uuid = re.search(r"\(UUID: ([A-Za-z0-9/-]+)\)", line)
        if uuid is None:
            continue
        if line.startswith("GPU "):
            board = uuid.group(1)
            found[board] = []
        elif board:
            found[board].append(uuid.group(1))
    return found


def parse_processes(text: str) -> Optional[str]:
    """`1234 python3 512 MiB, 99 ...` from --query-compute-apps=pid,process_name,used_memory; `none` where
    nothing computes; None when that is not what the text says. A name may hold commas, and is cut to the program's."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        pid, _, rest = line.partition(",")
        name, _, memory = rest.rpartition(",")
        if not pid.strip().isdigit() or not name.strip():
            return None
        name = name.strip()  # the whole command line on some drivers, `[Not Found]` for a process of another container
        short = "unnamed" if name.startswith("[") else name.split()[0].rpartition("/")[2]
        size = f" {memory.strip()} MiB" if memory.strip().isdigit() else ""
        found.append(f"{pid.strip()} {short[:60]}{size}")
    return ", ".join(found) or NO_PROCESS


def parse_temperature_limit(text: str) -> Optional[float]:
    """Degrees Celsius at which a GPU slows itself down, from `-q -d TEMPERATURE`: its maximum operating temperature;
    newer drivers tell of newer GPUs how far it is from there (T.Limit)."""
    told = dict(re.findall(r"^ *(GPU [A-Za-z. ]+?) +: (-?[0-9]+) C$", text, re.MULTILINE))
    if "GPU Max Operating Temp" in told:
        return float(told["GPU Max Operating Temp"])
    if "GPU Current Temp" in told and "GPU T.Limit Temp" in told:
        return float(told["GPU Current Temp"]) + float(told["GPU T.Limit Temp"])
    return None


def _row(line: str, fields: Sequence[str]) -> Optional[Dict[str, str]]:
    values = [value.strip() for value in line.split(",")]
    if len(values) != len(fields):
        return None
    return {field: value for field, value in zip(fields, values) if _tells(value)}


def _tells(value: str) -> bool:
    """Not so: [N/A], [Not Supported], [Insufficient Permissions], [GPU requires reset], [Unknown Error], ERR!"""
    return not value.startswith("[") and value not in ("", "N/A", "ERR!")
