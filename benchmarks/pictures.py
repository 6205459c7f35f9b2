"""The pictures of docs/pictures: a report in a real browser, and what a command printed on a terminal.

    edgebench report --html report.html
    edgebench results list | python benchmarks/pictures.py report.html [--terminal "edgebench results list"]

The report is opened at three widths and in the dark. Nothing is kept of one that complains, or that asks for anything
but its own file. What stands on standard input is drawn by rich, colours included, as the answer to `--terminal`.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import started  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
SCREENS: dict[str, tuple[int | None, str, str]] = {
    "report": (None, "light", "h-overview"), "report-dark": (None, "dark", "h-distribution"),
    "report-tablet": (820, "light", "h-batch"), "report-phone": (390, "dark", "h-pareto"),
}  # fmt: skip
"""By the name of the picture: how many pixels the screen is wide, None for a desktop's 1,280, light or dark, and the
heading that it begins with."""

_MOVES = re.compile(r"\x1b\[\??[0-9;]*[A-LN-Zhl]")  # of the cursor; colours end in m
_FONTS = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)  # from the network


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="as `edgebench report --html` writes it")
    parser.add_argument("--terminal", metavar="COMMAND", help="draw standard input as what that command printed")
    parser.add_argument("--out", type=Path, default=FOLDER, help="(default %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.terminal:
        terminal(arguments.terminal, sys.stdin.read(), arguments.out / "terminal.svg")
    return photograph(arguments.report.resolve().as_uri(), arguments.out)


def photograph(address: str, folder: Path) -> int:
    with started() as browser:
        for name, (width, scheme, heading) in SCREENS.items():
            browser.emulate(width=width, scheme=scheme)
            browser.driver.get(address)
            browser.wait_for("document.body.dataset.drawn > 0")
            wrong = [*browser.complaints(), *(one for one in browser.requests() if one != address)]
            if wrong:
                print(*wrong, sep="\n", file=sys.stderr)
                return 1
            browser.driver.execute_script(f"document.getElementById('{heading}').scrollIntoView()")
            browser.driver.save_screenshot(str(folder / f"{name}.png"))
    return 0


def terminal(command: str, printed: str, file: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    lines = [Text(f"$ {command}"), *(Text.from_ansi(_MOVES.sub("", line)) for line in printed.splitlines())]
    console = Console(record=True, width=max(line.cell_len for line in lines), file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(line, no_wrap=True)
    drawn = console.export_svg(title="edgebench")
    file.write_text(_FONTS.sub("", drawn), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
