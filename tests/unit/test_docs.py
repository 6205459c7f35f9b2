"""README and docs: nothing is left to be filled in, links lead somewhere, and options are told in their own words.
Their commands are run by tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from device_agents import backends

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    assert not re.findall(r"\b(?:TODO|FIXME|TBD|XXX|[A-Z]+_[A-Z]+_?DEMO|TRANSCRIPT_\w+)\b", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("listing", ["README.md", "docs/tutorial.md"])
def test_every_how_to_is_checked_here_and_found(listing: str) -> None:
    pages = set((ROOT / "docs/howto").glob("*.md"))
    linked = re.findall(r"\]\(((?:docs/)?howto/[^)#]+)", (ROOT / listing).read_text())
    assert pages <= set(PAGES)
    assert {((ROOT / listing).parent / target) for target in linked} == pages


@pytest.mark.parametrize("name", backends.names())
def test_every_option_of_a_backend_is_told_in_its_own_words(name: str) -> None:
    backend = backends.create(name)
    section = (ROOT / "docs/options.md").read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))
    assert told == {**backend.options, **backend.build_options}
    assert f"Load patterns: {', '.join(backend.patterns)}." in section
