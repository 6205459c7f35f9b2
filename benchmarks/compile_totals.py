"""How many of torchvision's networks torch.compile takes whole, as `edgebench report --claims` reads it.

    python benchmarks/compile_totals.py [--state FILE] [--write FILE]

Of what `benchmarks/compile_coverage.py` has captured, once it has tried every network: a share of those that happened
to come first is none.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.compile_coverage import FAMILIES, STATE, Outcome, _is_whole  # noqa: E402
from benchmarks.coverage import torchvision_models  # noqa: E402
from benchmarks.walked import read  # noqa: E402
from device_agents.contract import dumps  # noqa: E402
from profiles.claim_schema import CompileCoverage  # noqa: E402

TOTALS = HERE.parent / "profiles" / "claims" / "compile_coverage.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=STATE, help="what was captured (default %(default)s)")
    parser.add_argument("--write", type=Path, default=TOTALS, help="the totals (default %(default)s)")
    arguments = parser.parse_args()
    known = read(arguments.state, Outcome)
    names = [model.name for model in torchvision_models() if model.family in FAMILIES]
    captured = [known[name]["capture"] for name in names if "capture" in known.get(name, {})]
    if len(captured) < len(names):
        print(f"{len(names) - len(captured)} of {len(names)} networks were not tried yet: nothing is written")
        return 1
    found = CompileCoverage(
        models=len(captured),
        whole=sum(map(_is_whole, captured)),
        torch=importlib.metadata.version("torch"),
        of="torchvision's classification, segmentation and detection, captured whole",
        made_at=datetime.now(timezone.utc).date().isoformat(),
    )
    arguments.write.write_text(dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"{found.whole} of {found.models} in {arguments.write}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
