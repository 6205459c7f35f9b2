"""The page of the files that users write and of the results that they read: every key, its type and its default."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import schema_files
from markdown_words import cell, plain

_ROOT = Path(__file__).parents[2]
_HEAD = """# Files and their schemas

Every file that you write is TOML, and what is stored is JSON. Each has a
[JSON Schema](https://json-schema.org/draft/2020-12/json-schema-core), made from the code that reads it. A key that the
schema does not know is an error to edgebench, too. An editor that knows schemas of TOML takes one from a
file's first line:

```toml
#:schema ./fleet.schema.json
```

A schema does not know everything. Whether a gateway, a group or a model exists is found out when the file is read,
and the message names file, key and what is allowed. A result of an older edgebench is
brought up to date when it is read.
"""
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
}


def text(schemas: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of them all."""
    lines = [_HEAD]
    for name, kind in schema_files.kinds().items():
        lines += _section(name, kind, schemas[name])
    return "\n".join(lines)


def _section(name: str, kind: schema_files.Kind, schema: Mapping[str, Any]) -> Iterator[str]:
    file = schema_files.path(name)
    yield from (f"## {kind.title}", "", f"Schema: [{Path(file).name}](../{file}).", "")
    yield from _shown(kind)
    yield from _table(schema)
    for title, table in schema["$defs"].items():
        if "properties" in table:
            yield from (f"### {title} {{ #{name}-{title.lower()} }}", "")
            yield from _table(table)


def _shown(kind: schema_files.Kind) -> Iterator[str]:
    """How it is written."""
    if kind.module:
        written = inspect.getdoc(importlib.import_module(kind.module)) or ""
        yield from ("```text", written, "```", "")
    if kind.example:
        written = (_ROOT / kind.example).read_text(encoding="utf-8").rstrip()
        yield from (f"`{kind.example}`:", "", "```toml", written, "```", "")


def _table(table: Mapping[str, Any]) -> Iterator[str]:
    if "description" in table:
        yield from (plain(table["description"]), "")
    yield from ("| Key | Type | Default | |", "|---|---|---|---|")
    required = table.get("required", ())
    for key, schema in table["properties"].items():
        default = "required" if key in required else f"`{_value(schema['default'])}`" if _told(schema) else ""
        yield f"| `{key}` | {cell(_type(schema))} | {default} | {cell(_said(schema))} |"
    yield ""


def _told(schema: Mapping[str, Any]) -> bool:
    """Whether its default says anything: that of a table is told where the table is."""
    return "default" in schema and schema["default"] not in ("", [], {}) and not isinstance(schema["default"], dict)


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{_value(schema['const'])}`"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of: {_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"table of: {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "anything"))


def _said(schema: Mapping[str, Any]) -> str:
    words = [schema.get("description", "")]
    words += [bound.format(schema[key]) for key, bound in _BOUNDS.items() if key in schema]
    return " ".join(filter(None, [words[0], ", ".join(words[1:])]))


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
