"""What a report of many measurements costs: making the page, its size, and opening it in a browser without a head.

    python benchmarks/report.py [--count N] [--folder DIR] [--json]

The measurements are those of benchmarks/store.py: one that was really made, copied under other ids, devices, models,
frameworks, batches and times. Of a machine that was busy they would be INVALID and drawn nowhere: the verdict's limits
are so wide here that none is. Opening is from the start of the navigation until overview, filters and tables are there,
and until every plot is, each time painted, as the page's own clock has it; three times, each in a browser of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.store import PATIENCE_S, fill  # noqa: E402
from tests.browser import started  # noqa: E402
from tests.operator import SOUND, Operator  # noqa: E402

TIMES = 3
PAINTED = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="measurements (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="where they are kept, and found again (default: a temporary one)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ebreport-") as temporary:
        home = (arguments.folder or Path(temporary)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        operator, page = Operator(home, prelude=SOUND), home / "report.html"
        fill(operator, arguments.count)
        operator.run("results", "list", "--last", 1, timeout=PATIENCE_S)  # makes the index
        began = time.perf_counter()
        answer = operator.run("report", "--html", page, "--last", arguments.count, timeout=PATIENCE_S)
        made_s = time.perf_counter() - began
        assert answer.code == 0, answer.err
        opening = [_opened_s(page, arguments.count) for _ in range(TIMES)]
        size = page.stat().st_size
    if arguments.json:
        print(json.dumps({"count": arguments.count, "made_s": made_s, "bytes": size, "opened_s": opening}))
    else:
        print(f"{arguments.count:,} measurements: page made in {made_s:.1f} s, {size / 1e6:.1f} MB")
        for readable_s, drawn_s in opening:
            print(f"opened: to be read after {readable_s:.2f} s, every plot drawn after {drawn_s:.2f} s")
    return 0


def _opened_s(page: Path, count: int) -> tuple[float, float]:
    with started() as browser:
        browser.open(page.as_uri(), count)
        readable_ms = float(browser.ask("performance.getEntriesByName('readable')[0].startTime"))
        drawn_ms = float(browser.driver.execute_async_script(PAINTED))
        assert not (told := browser.complaints()), told
    return readable_ms / 1e3, drawn_ms / 1e3


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    sys.exit(main())
