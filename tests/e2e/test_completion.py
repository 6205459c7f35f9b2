"""What the shell offers behind TAB, by the protocol that bash's completion speaks with a child process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.results.store import Store
from tests.made import measured

FLEET = """
[devices.orin-1]
host = "10.0.0.1"
profile = "jetson-agx-orin-64gb"
[devices.orin-2]
host = "10.0.0.2"
profile = "jetson-agx-orin-64gb"
[groups]
orchard = "orin-1"
"""
HEAVY = ("numpy", "paramiko", "torch", "rich", "onnx")
CHILD = f"""
import sys
from edge.cli import main
sys.argv[0] = "edgebench"
try:
    main()
finally:
    print("HEAVY", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "fleet.toml").write_text(FLEET)
    results = tmp_path / ".local/share/edgebench"
    row, samples = measured(10.0, name="abcd1111")
    Store(results).add(row.measurement, samples.astype("<i8").tobytes())
    run = results / "sweeps" / "f00d" / "20261126t072915-8dfe.jsonl"
    run.parent.mkdir(parents=True)
    run.touch()
    return tmp_path


def offered(home: Path, line: str) -> list[str]:
    """The words for the last one of `line`, which may be empty."""
    words = line.split(" ")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "EDGEBENCH_"))}
    environment |= {
        "HOME": str(home),
        "_EDGEBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert "HEAVY []" in done.stderr, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("edgebench devices probe o", ["orin-1", "orin-2", "orchard"]),
        ("edgebench deploy resnet18 --device l", ["local"]),
        ("edgebench deploy resnet3", ["resnet34"]),
        ("edgebench profiles show jetson-orin-n", ["jetson-orin-nano-8gb", "jetson-orin-nx-16gb"]),
        ("edgebench sweeps status 2026", ["20261126t072915-8dfe"]),
        ("edgebench sweep fir", ["first-look"]),
        ("edgebench results show a", ["abcd1111"]),
        ("edgebench results list --run 2", ["20261126t072915-8dfe"]),
        ("edgebench compare lat", ["latest", "latest~1"]),
        ("edgebench compare ab", ["abcd1111"]),
        ("edgebench results s", ["show"]),
    ],
)
def test_names_complete(home: Path, line: str, expected: list[str]) -> None:
    assert offered(home, line) == expected


def test_the_fleet_file_that_was_named_is_read(home: Path) -> None:
    (home / "other.toml").write_text('[devices.zeta]\nhost = "z"\nprofile = "local"\n')
    assert offered(home, "edgebench devices list --fleet other.toml z") == ["zeta"]


def test_a_mistake_in_the_fleet_file_offers_less_and_says_nothing(home: Path) -> None:
    (home / "fleet.toml").write_text("[devices\n")
    assert offered(home, "edgebench devices probe ") == ["local"]
