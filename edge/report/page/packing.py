"""A page's data in little room: names stand once and not in every row, and so does what many rows have alike."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]


def packed(document: Mapping[str, Any]) -> Json:
    """The document as it is sent; `unpacked` of page.js undoes it."""
    return {
        **document,
        "cells": table(document["cells"]),
        "environment": {"rows": table(document["environment"], apart="devices"), "devices": _devices(document)},
    }


def table(rows: Sequence[Json], apart: str = "") -> Json:
    """Rows with the same names as columns, but for the column `apart`."""
    names = [name for name in rows[0] if name != apart] if rows else []
    return {"length": len(rows), "columns": {name: _column([row[name] for row in rows]) for name in names}}


def _column(values: Sequence[Any]) -> Json:
    """Values that repeat are there once, and `at` has the place of each row's. Of objects with the same names there are
    columns again: `fields` of one a row, `items` of lists that hold `counts` of them. Anything else is as it is."""
    places: dict[str, int] = {}
    at = []
    for value in values:
        at.append(places.setdefault(json.dumps(value), len(places)))
        if 2 * len(places) > len(values):
            break
    else:
        return {"values": [json.loads(text) for text in places], "at": at}
    if _alike(values):
        return {"fields": table(values)}
    if all(isinstance(value, list) for value in values) and _alike(items := list(itertools.chain(*values))):
        return {"items": table(items), "counts": [len(value) for value in values]}
    return {"values": list(values)}


def _alike(values: Sequence[Any]) -> bool:
    """Whether all are objects with the same names."""
    return bool(values) and all(isinstance(one, dict) and one and one.keys() == values[0].keys() for one in values)


def _devices(document: Mapping[str, Any]) -> Json:
    """For each device what it has of each line, in their order; None for what it lacks."""
    lines = [line["devices"] for line in document["environment"]]
    names = sorted({name for line in lines for name in line})
    return table([{"name": name, **{str(i): line.get(name) for i, line in enumerate(lines)}} for name in names])
