"""What the site has beside docs/: pages from files at the top level, and the reference, generated from the code.

mkdocs calls the functions whose names begin with `on_`. Nothing that is generated is written into the tree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cli_page
import repository_links
import schema_files
import schemas_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_ROOT = Path(__file__).parents[2]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is not in docs/."""
    from mkdocs.structure.files import File

    schemas = schema_files.schemas()
    made = {page: (_ROOT / source).read_text(encoding="utf-8") for source, page in repository_links.PAGES.items()}
    made["reference/cli.md"] = cli_page.text()
    made["reference/schemas.md"] = schemas_page.text(schemas)
    for name, schema in schemas.items():
        made[schema_files.path(name)] = json.dumps(schema, indent=2) + "\n"
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links lead where the site has what they name."""
    return repository_links.rewritten(markdown, page.file.src_uri)
