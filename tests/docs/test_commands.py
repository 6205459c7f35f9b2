"""Every command that README and docs show is run, page by page, in its order."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.docs.lab import Lab, Start
from tests.docs.pages import BY_PAGE, Page, as_here, commands_of
from tests.stand_ins.carried import carry

ROOT = Path(__file__).parents[2]
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if commands_of(page))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all pages: most begin with the same networks."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def lab(tmp_path: Path, start_sshd: Start, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    carry(tmp_path, monkeypatch, {"tensorrt": "builder_backend.py", "tensorrt_rtx": "builder_backend.py"})
    home = tmp_path / "operator"
    (home / ".cache/edgebench").mkdir(parents=True)
    (home / ".cache/edgebench/artifacts").symlink_to(artifacts)
    return Lab(home, start_sshd)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_is_run(lab: Lab, path: Path) -> None:
    missing = [name for name in ("torch", "tensorflow", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed: pip install 'edgebench[all]'")
    page = BY_PAGE.get(path.name, Page())
    page.begin(lab)
    failed = []
    for line in commands_of(path):
        if line in page.elsewhere:
            file, _, name = page.elsewhere[line].partition("::")
            assert f"def {name}(" in (ROOT / file).read_text()
            continue
        here = as_here(line, page, lab)
        code, said = lab.run(here)
        if code not in page.ends.get(line, (0, 4)):
            failed.append(f"{line}\nas {here}\nended with {code}:\n{said}")
    assert not failed, "\n\n".join(failed)


def test_what_is_said_of_pages_is_of_lines_that_are_there() -> None:
    lines = {path.name: commands_of(path) for path in PAGES}
    for name, page in BY_PAGE.items():
        assert {*page.ends, *page.elsewhere} <= set(lines[name]), name
