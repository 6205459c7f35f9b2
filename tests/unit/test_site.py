"""The documentation site builds without a warning, and its schemas are those of the files there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edge.cli import app
from edge.results.store import Store
from profiles.load import read_toml
from tests.measured import add, measurement
from tests.operator import BRIEF, Operator

pytest.importorskip("mkdocs", reason="mkdocs builds the site: pip install 'edgebench[docs]'")
pytest.importorskip("material", reason="mkdocs-material is the site's theme: pip install 'edgebench[docs]'")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the schemas: it is in the extra dev")

ROOT = Path(__file__).parents[2]
OURS = {
    "device-profile": sorted((ROOT / "profiles/devices").glob("*.toml")),
    "model-profile": sorted((ROOT / "profiles/models").glob("*.toml")),
    "sweep": sorted((ROOT / "profiles/sweeps").glob("*.toml")),
    "claims": sorted((ROOT / "profiles/claims").glob("*.toml")),
}
STORED = ROOT / "tests/unit/edge/stored_by_0_1"
FLEET = {"defaults", "devices", "gateways", "groups", "deploy"}
"""The tables of a fleet file; any other block of TOML that documents show is a plan's, or a claims file's."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def mistakes(site: Path) -> Callable[[str, Any], list[str]]:
    """What a schema of the site finds wrong."""

    def found(name: str, data: Any) -> list[str]:
        schema = json.loads((site / f"schemas/{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(data)]

    return found


def _commands(command: Any, name: str) -> Iterator[str]:
    yield name
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{name} {word}")


def _shown() -> Iterator[tuple[str, str, str]]:
    """The TOML that documents show: page, block, and the name of its schema."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            tables = set(re.findall(r"^\[\[?(\w+)", block, re.MULTILINE))
            kind = "fleet" if tables & FLEET else "claims" if "claims" in tables else "sweep"
            yield str(page.relative_to(ROOT)), block, kind


def test_every_command_is_told_with_an_example(site: Path) -> None:
    page = (site / "reference/cli.html").read_text()
    for name in _commands(get_command(app), "edgebench"):
        section = re.search(rf'<h2 id="{name.replace(" ", "-")}">.*?(?=<h2|\Z)', page, re.DOTALL)
        assert section, name
        told = re.sub(r"<[^>]+>", "", section[0])
        assert hasattr(_command(name), "commands") or f"\n{name}" in told.partition("For example:")[2], name


def _command(name: str) -> Any:
    command: Any = get_command(app)
    for word in name.split()[1:]:
        command = command.commands[word]
    return command


def test_options_are_told_with_their_defaults(site: Path) -> None:
    page = (site / "reference/cli.html").read_text()
    section = re.search(r'<h2 id="edgebench-deploy">.*?<h2', page, re.DOTALL)
    assert section
    row = re.search(r"<tr>\s*<td><code>--backend.*?</tr>", section[0], re.DOTALL)
    assert row
    assert "<code>auto</code>" in row[0]


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//', page.read_text()), page


def test_pictures_are_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        for picture in re.findall(r'<(?:img|source)\b[^>]*src(?:set)?="([^"]+)"', page.read_text()):
            assert picture.startswith(("/", "data:")) or (page.parent / picture).is_file(), f"{page}: {picture}"


def test_lists_are_lists(site: Path) -> None:
    """Where a blank line is missing, Python-Markdown makes one paragraph of what GitHub shows as a list."""
    for page in site.rglob("*.html"):
        told = re.sub(r"<pre>.*?</pre>", "", page.read_text(), flags=re.DOTALL)
        assert not re.findall(r"<p>[^<]*\n *[-*] .*", told), page


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in OURS.items() for file in files])
def test_what_edgebench_comes_with_fits_its_schema(name: str, file: Path, mistakes: Any) -> None:
    assert mistakes(name, read_toml(file)) == []


@pytest.mark.parametrize(("page", "block", "name"), list(_shown()))
def test_what_documents_show_fits_its_schema(page: str, block: str, name: str, mistakes: Any, tmp_path: Path) -> None:
    file = tmp_path / "shown.toml"
    file.write_text(block)
    assert mistakes(name, read_toml(file)) == [], page


@pytest.mark.parametrize("stored", ["made", "by_0_1"])
def test_a_stored_result_fits_its_schema(stored: str, mistakes: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, measurement("ab12") if stored == "made" else Store(STORED).get("0123456789abcdef"))
    (file,) = store.root.rglob("result.json")
    data = json.loads(file.read_bytes())
    assert mistakes("result", data) == []
    assert mistakes("result", {**data, "schema": data["schema"] + 1})
    assert mistakes("result", {**data, "rsult": 1})
    assert mistakes("result", {**data, "result": {**data["result"], "sample_count": 1}})


def test_a_result_of_today_fits_its_schema(operator: Operator, tiny_onnx: Path, mistakes: Any) -> None:
    """Deployed here and now, with all that a measurement has that is asked for nothing special."""
    pytest.importorskip("onnxruntime", reason="pip install 'edgebench[local]'")
    operator.prelude = BRIEF
    answer = operator.run("deploy", tiny_onnx, "--device", "local", "--quick", "--cold", "--json")
    assert answer.code in (0, 4), answer.err
    (row,) = answer.json["measurements"]
    assert mistakes("result", operator.stored(row["id"])) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("fleet", {"devices": {"orin-1": {"profile": "jetson-agx-orin-64gb", "hots": "10.0.0.21"}}}),
        ("fleet", {"devices": {"orin-1": {"profile": "jetson-agx-orin-46gb"}}}),
        ("fleet", {"devices": {"local": {"host": "localhost"}}}),
        ("fleet", {"devices": {"a100": {"profile": "a100-80gb", "gpus": "some"}}}),
        ("fleet", {"devices": {"a100": {"profile": "a100-80gb", "container": {"engine": "docker"}}}}),
        ("fleet", {"groups": {"lab": {"user": "nvidia"}}}),
        ("fleet", {"device": {}}),
        ("sweep", {"models": ["resnet18"], "batchs": [1]}),
        ("sweep", {"models": ["resnet18"], "limits": {"max_failure": 1}}),
        ("sweep", {"models": ["resnet18"], "batches": [0]}),
        ("claims", {"source": {"title": "a", "url": "b", "read": "2026-11-26"}, "claims": []}),
        ("device-profile", {"kind": "cpu"}),
        ("model-profile", {"task": "classification", "frameworks": {"caffe": {"source": "keras:VGG16"}}}),
    ],
)
def test_a_mistake_is_found(name: str, data: Any, mistakes: Any) -> None:
    assert mistakes(name, data)


@pytest.mark.parametrize(
    "device",
    [
        {"container": "none", "gpus": "all"},
        {"container": {"image": "nvcr.io/nvidia/tensorrt:25.08-py3"}, "gpus": [0, "GPU-1234", "MIG-5678"]},
        {"release_hook": ["true"], "price_per_hour": 1, "currency": "EUR"},
    ],
)
def test_what_own_code_reads_fits_too(device: dict[str, Any], mistakes: Any) -> None:
    data = {"groups": {"a": "orin", "b": ["orin", "a"], "c": {"devices": "orin"}}}
    assert mistakes("fleet", {**data, "devices": {"a100": {"profile": "a100-80gb", **device}}}) == []
