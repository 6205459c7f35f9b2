"""What `edgebench --help` costs beside a bare Typer hello-world: the median of pairwise ratios, budget 1.3.

    python benchmarks/cli_start.py [--rounds N] [--json]

A bare Typer app imports rich to print its help, edgebench does not: the second ratio is over the same hello-world with
rich switched off, and shows what edgebench itself adds. The three are started in turn, again and again, so that what
else the machine does falls on all of them; each round gives one ratio of each kind. All run in this interpreter, as
console scripts would. What the shell waits for behind TAB, `edgebench devices probe o`, is timed after them; its budget
of 150 ms is told and not judged. Exit code 1 where the first ratio is over the budget.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BUDGET = 1.3
TAB_BUDGET_S = 0.15
HELLO = """\
import typer

app = typer.Typer({options})


@app.command()
def hello(name: str) -> None:
    print(f"Hello {{name}}")


app()
"""
PLAIN = "rich_markup_mode=None, pretty_exceptions_enable=False"
EDGEBENCH = """\
import sys
from edge.cli import main

sys.argv[0] = "edgebench"
main()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="rounds to time after the warm-up (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of Markdown")
    arguments = parser.parse_args()
    scripts = {"typer": HELLO.format(options=""), "plain_typer": HELLO.format(options=PLAIN), "edgebench": EDGEBENCH}
    with tempfile.TemporaryDirectory() as folder:
        commands = {name: as_command(Path(folder) / f"{name}_hello.py", text) for name, text in scripts.items()}
        found = measure(commands, arguments.rounds)
        found["tab_s"] = {"median": tab(commands["edgebench"][:-1], arguments.rounds), "budget": TAB_BUDGET_S}
    print(json.dumps(found) if arguments.json else as_markdown(found))
    return 0 if found["ratio_to_typer"]["median"] <= BUDGET else 1


def as_command(path: Path, text: str) -> list[str]:
    path.write_text(text)
    return [sys.executable, str(path), "--help"]


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """Median seconds of each command, and the ratios of edgebench to the others over `rounds` rounds."""
    load = os.getloadavg()[0]
    for argv in [*commands.values()] * 2:  # what is read or compiled once
        seconds(argv)
    timed = [{name: seconds(argv) for name, argv in commands.items()} for _ in range(rounds)]
    found: dict[str, Any] = {"rounds": rounds, "budget": BUDGET, "load_1m_before": load}
    found["median_s"] = {name: statistics.median(each[name] for each in timed) for name in commands}
    for other in ("typer", "plain_typer"):
        ratios = [each["edgebench"] / each[other] for each in timed]
        summary = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        found[f"ratio_to_{other}"] = summary
    return found


def tab(argv: list[str], rounds: int) -> float:
    """Median seconds of a completion of a device's name, as bash asks for it."""
    asks = {"_EDGEBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "edgebench devices probe o", "COMP_CWORD": "3"}
    return statistics.median(seconds(argv, asks) for _ in range(rounds))


def seconds(argv: list[str], more: dict[str, str] | None = None) -> float:
    begin = time.perf_counter_ns()
    environment = {**os.environ, **(more or {})}
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment, check=True)
    return (time.perf_counter_ns() - begin) / 1e9


def as_markdown(found: dict[str, Any]) -> str:
    milliseconds = {name: f"{value * 1e3:.0f} ms" for name, value in found["median_s"].items()}
    lines = [
        f"| `edgebench --help` over {what} | {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) "
        f"| {milliseconds['edgebench']} over {milliseconds[name]} |"
        for name, what in (("typer", f"a bare Typer app (budget {BUDGET})"), ("plain_typer", "one without rich"))
        for ratio in [found[f"ratio_to_{name}"]]
    ]
    told = found["tab_s"]
    lines.append(
        f"| TAB behind `edgebench devices probe o` (budget {told['budget'] * 1e3:.0f} ms) | "
        f"{told['median'] * 1e3:.0f} ms | |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
