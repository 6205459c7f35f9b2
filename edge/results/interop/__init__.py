"""Results in the formats of other tools, out and in; each is a file here, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from edge.results.interop.given import Given
from edge.results.interop.read import Read
from profiles.load import unknown

FORMATS = {
    "trtexec-times": "edge.results.interop.trtexec_times:write",
    "trtexec-profile": "edge.results.interop.trtexec_profile:write",
    "optimum-benchmark": "edge.results.interop.optimum_benchmark:write",
    "loadgen": "edge.results.interop.loadgen:write",
    "github-smaller": "edge.results.interop.github_benchmark:smaller_is_better",
    "github-bigger": "edge.results.interop.github_benchmark:bigger_is_better",
    "chrome-trace": "edge.results.interop.chrome_trace:write",
    "markdown": "edge.results.interop.markdown:write",
    "samples-csv": "edge.results.interop.samples_csv:write",
    "samples-parquet": "edge.results.interop.samples_parquet:write",
}
"""Formats that results are written in: a function from measurements to the bytes of a file."""

FOREIGN = {
    "trtexec-times": "edge.results.interop.trtexec_times:read",
    "trtexec-profile": "edge.results.interop.trtexec_profile:read",
    "trtexec-stdout": "edge.results.interop.trtexec_stdout:read",
    "optimum-benchmark": "edge.results.interop.optimum_benchmark:read",
}
"""Formats of other tools that are read: a function from the text of a file to what it tells, ValueError for a text that
is none."""

Writer = Callable[[Sequence[Given]], bytes]
Reader = Callable[[str], Read]


def writer(name: str) -> Writer:
    """Errors: ConfigError for a format that there is not."""
    found: Writer = _function(FORMATS, name, "--format")
    return found


def reader(name: str) -> Reader:
    """Errors: ConfigError for a format that there is not."""
    found: Reader = _function(FOREIGN, name, "--as")
    return found


def _function(known: Mapping[str, str], name: str, where: str) -> Any:
    if name not in known:
        raise unknown("format", name, known, where=where)
    module, _, function = known[name].partition(":")
    return getattr(import_module(module), function)


__all__ = ["FOREIGN", "FORMATS", "Given", "Read", "reader", "writer"]
