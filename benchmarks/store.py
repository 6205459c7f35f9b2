"""What many stored measurements cost: listing them, asking them in SQL.

    python benchmarks/store.py [--count N] [--rows N] [--folder DIR] [--json]

One measurement is really made (a small model on this machine, five processes); N copies of it under other ids, runs,
devices, models and times are stored beside it, each with its own JSON and samples. Then the commands are timed as they
are typed, each in a process of its own, the best of three: the first one alone pays for the index.

`--rows N` then copies the rows of the index under other ids, times and figures, until it holds so many: the files of a
million measurements would take 200 GB. The commands that are timed read the index alone, and cannot tell.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.operator import Operator, write_model  # noqa: E402

FRAMEWORKS = ("pytorch", "tensorflow")
MODELS = ("resnet18", "resnet50", "vit_b_16", "mobilenet_v3_large")
DEVICES = 100
EVERY = "SELECT * EXCLUDE (figures, identity, produced_by) FROM measurements"
A_RUN, A_ROUND = 500, 300  # after so many all devices, models and batches were there
TIMES = 3
PATIENCE_S = 7200.0
BY_DEVICE = "SELECT device, model, count(*) AS n, min(median_ms) FROM measurements GROUP BY ALL LIMIT 10"
COMMANDS = {
    "list": ("list",),
    "list --device, --model, --verdict, --sort": (
        "list", "--device", "device-7,device-8", "--model", "resnet*", "--verdict", "INVALID", "--verdict", "UNJUDGED",
        "--sort", "median_ms",
    ),
    "query, grouped": ("query", BY_DEVICE),
    "query, every figure as CSV": ("query", EVERY, "--csv"),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """`seconds` of a command, from its start to its end, and the bytes that it printed."""

    command: str
    seconds: float
    printed: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="measurements (default %(default)s)")
    parser.add_argument("--rows", type=int, default=0, help="of the index, once made (default: one a measurement)")
    parser.add_argument("--folder", type=Path, help="where they are kept, and found again (default: a temporary one)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ebstore-") as temporary:
        home = arguments.folder or Path(temporary)
        home.mkdir(parents=True, exist_ok=True)
        operator = Operator(home.resolve())
        began = time.perf_counter()
        fill(operator, arguments.count)
        rows = [Row("making them", time.perf_counter() - began, 0)]
        rows += [
            timed(operator, "the first list of a device, which makes the index", COMMANDS["list"] + ("--model", "*"), 1)
        ]
        if arguments.rows > arguments.count:
            multiply(operator, arguments.rows // arguments.count)
        rows += [timed(operator, name, command, TIMES) for name, command in COMMANDS.items()]
    if arguments.json:
        print(json.dumps({"measurements": arguments.count, "rows": [asdict(row) for row in rows]}))
    else:
        for row in rows:
            print(f"{row.seconds:8.2f} s  {row.command} ({row.printed:,} bytes)")
    return 0


def fill(operator: Operator, count: int) -> None:
    """Store as many copies as are missing."""
    measurements = operator.home / ".local/share/edgebench/measurements"
    if not measurements.is_dir():
        model = write_model(operator.home / "heavy.onnx", classes=5000)
        answer = operator.run("deploy", model, timeout=PATIENCE_S)
        assert answer.code in (0, 4), answer.err
    original = next(measurements.glob("*/*/result.json"))
    stored, samples = json.loads(original.read_bytes()), (original.parent / "samples.i64le").read_bytes()
    for number in range(count):
        name = hashlib.sha256(str(number).encode()).hexdigest()[:20]
        home = measurements / name[:2] / name
        if not home.exists():
            home.mkdir(parents=True)
            made, its = another(stored, samples, name, number)
            (home / "samples.i64le").write_bytes(its)
            (home / "result.json").write_text(json.dumps(made, indent=1, sort_keys=True))


def multiply(operator: Operator, times: int) -> None:
    """The rows of the index so many times, the first as they are: those are newer and faster than their copies, and
    what `list` shows is read from its file."""
    import duckdb

    for file in (operator.home / ".local/share/edgebench/index").glob("*/??.*.parquet"):
        grown = file.with_suffix(".grown")
        duckdb.execute(f"""
            COPY (SELECT * EXCLUDE (n) REPLACE (
                CASE WHEN n = 0 THEN id ELSE left(id, 2) || left(sha256(id || n), 18) END AS id,
                started_at - to_days(n) AS started_at, stored_at - to_days(n) AS stored_at,
                median_ms * (1 + n / 1000) AS median_ms, p99_ms * (1 + n / 900) AS p99_ms
            ) FROM read_parquet('{file}'), range({times}) AS copies(n)) TO '{grown}' (FORMAT parquet)
        """)
        grown.replace(file)


def another(stored: dict[str, Any], samples: bytes, name: str, number: int) -> tuple[dict[str, Any], bytes]:
    """The same at another time on another device, which is faster or slower and holds more or less: no figure of two
    copies is the same."""
    factor = random.Random(number).uniform(0.5, 2.0)
    its = (np.frombuffer(samples, dtype="<i8") * factor).astype("<i8").tobytes()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1.76e9 + 60 * number))
    cell = {**stored["cell"], "device": f"device-{number % DEVICES}", "model": MODELS[number % len(MODELS)]}
    cell["batch"], cell["framework"] = 1 << number % 6, FRAMEWORKS[number // A_ROUND % len(FRAMEWORKS)]
    processes = [_scaled(process, factor) for process in stored["result"]["processes"]]
    told = {"job": name, "started_at": began, "processes": processes, "samples_sha256": hashlib.sha256(its).hexdigest()}
    result = {**stored["result"], **told}
    return {**stored, "id": name, "run": f"run-{number // A_RUN}", "cell": cell, "result": result}, its


def _scaled(process: dict[str, Any], factor: float) -> dict[str, Any]:
    times = {name: int(factor * process[name]) for name in process if name.endswith("_ns") and name != "began_ns"}
    seconds = {name: factor * value for name, value in process["seconds"].items()}
    stages = {name: {held: int(factor * size) for held, size in its.items()} for name, its in process["stages"].items()}
    return {**process, **times, "seconds": seconds, "stages": stages}


def timed(operator: Operator, name: str, command: tuple[str, ...], times: int) -> Row:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        answer = operator.run("results", *command, timeout=PATIENCE_S)
        took.append(time.perf_counter() - began)
        assert answer.code == 0, answer.err
    return Row(name, min(took), len(answer.out))


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    sys.exit(main())
