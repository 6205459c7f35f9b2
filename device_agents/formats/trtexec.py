"""What trtexec prints: banner, settings, summary, warnings, errors. Its JSON files: trtexec_exports.py.

Read in NVIDIA's sources: samples/common/sampleReporting.cpp and samples/trtexec/trtexec.cpp of TensorRT 8.5.1 (commit
768d994b), samples/common/sampleOptions.cpp and sampleInference.cpp of 11.1.0.106 (commit d5883286). Recorded logs of
8.5 to 10.16 are in tests/unit/agent/recorded. The summary of 11 was not to be found, neither recorded nor as source:
it is read as those of 10, and a line that is missing is a ValueError, not a zero.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple

_BANNER = re.compile(r"&&&& \w+ TensorRT\.trtexec \[TensorRT v([\d.]+)\](?: \[b(\d+)\])?")
_VERDICT = re.compile(r"^&&&& (PASSED|FAILED) TensorRT\.trtexec", re.MULTILINE)
_PREFIX = re.compile(r"^\[[\d/]+-[\d:]+\] \[([VIWEF])\] ?")
_SECTION = re.compile(r"=== (.+) ===")
_FIGURE = re.compile(r"(min|max|mean|median|percentile\(([\d.]+)%\)) = (\d+(?:\.\d+)?(?:e[-+]\d+)?) ms")


class Figures(NamedTuple):
    """One metric over all timed inferences, in nanoseconds; percentiles by their number."""

    min_ns: int
    max_ns: int
    mean_ns: int
    median_ns: int
    percentiles_ns: Dict[float, int]


class Summary(NamedTuple):
    """`=== Performance summary ===`. trtexec's latency is H2D + compute + D2H by the GPU's clock: no waiting is in it.
    Throughput is in inferences (batches) a second."""

    throughput_per_s: float
    latency: Figures
    enqueue: Figures
    h2d: Figures
    compute: Figures
    d2h: Figures
    walltime_s: float


class Settings(NamedTuple):
    """What a run really set, from `=== Inference Options ===`. `serial`: no inference is enqueued ahead (ExposeDMA)."""

    streams: int
    serial: bool
    transfers: bool
    spin_wait: bool
    cuda_graph: bool


class Warn(NamedTuple):
    """A warning that matters to a measurement: `kind` for programs, `text` for people."""

    kind: str
    text: str


class Failure(NamedTuple):
    """Why trtexec failed. `kind`: option, operator, memory, engine, implementation, shapes, file or other. `node` and
    `operator` are those of the ONNX graph where the text names them."""

    kind: str
    message: str
    node: str = ""
    operator: str = ""


def parse_version(text: str) -> str:
    """`8.5.2` from `[TensorRT v8502]`, `10.16.2.10` from `[TensorRT v101602] [b10]`. `--help` prints the banner, too.

    Errors: ValueError when there is no banner.
    """
    match = _BANNER.search(text)
    if match is None:
        raise ValueError("no banner of trtexec (`&&&& RUNNING TensorRT.trtexec [TensorRT v...`)")
    number, build = match.groups()
    version = number if "." in number else _decoded(int(number))
    return f"{version}.{build}" if build and version.count(".") < 3 else version


def parse_verdict(text: str) -> bool:
    """Whether trtexec passed. Errors: ValueError when it said neither: it was killed, or its output is cut."""
    found = _VERDICT.findall(text)
    if not found:
        raise ValueError("trtexec ended without PASSED or FAILED")
    return str(found[-1]) == "PASSED"


def parse_settings(text: str) -> Settings:
    """Errors: ValueError naming the setting that is not told."""
    told = _section(text, "Inference Options")
    streams = told.get("Inference Streams", told.get("Streams", ""))  # the latter up to 8.5
    if not streams.isdigit():
        raise ValueError("the Inference Options of trtexec do not tell the number of streams")
    return Settings(
        int(streams),
        _enabled(told, "ExposeDMA"),
        _enabled(told, "Data transfers"),
        _enabled(told, "Spin-wait"),
        _enabled(told, "CUDA Graph"),
    )


def parse_summary(text: str) -> Summary:
    """Errors: ValueError naming what the summary lacks."""
    told = _section(text, "Performance summary")
    return Summary(
        _number(told, "Throughput", "qps"),
        _figures(told, "Latency"),
        _figures(told, "Enqueue Time"),
        _figures(told, "H2D Latency"),
        _figures(told, "GPU Compute Time"),
        _figures(told, "D2H Latency"),
        _number(told, "Total Host Walltime", "s"),
    )


def parse_load_s(text: str) -> Optional[float]:
    """How long it took to read the engine's file, where that is told apart (8), and to deserialise it; None where the
    text does not tell."""
    took = _told_number(text, r"Engine deserialized in (\d[\d.e+-]*) sec")
    return None if took is None else took + (_told_number(text, r"Engine loaded in (\d[\d.e+-]*) sec") or 0.0)


def parse_device_memory(text: str) -> Optional[int]:
    """The bytes that an execution needs, to a thousandth of a MiB; None where the text does not tell (8.5)."""
    mib = _told_number(text, r"Created execution context with device memory size: (\d[\d.e+-]*) MiB")
    return None if mib is None else round(mib * (1 << 20))


_WARNINGS = (
    ("enqueue_bound", re.compile(r"bound by Enqueue Time", re.IGNORECASE)),
    ("h2d_bound", re.compile(r"bound by host-to-device", re.IGNORECASE)),
    ("d2h_bound", re.compile(r"bound by device-to-host", re.IGNORECASE)),
    ("unstable", re.compile(r"GPU compute time is unstable", re.IGNORECASE)),
    ("several_streams", re.compile(r"multiple inference streams", re.IGNORECASE)),
    ("no_cuda_graph", re.compile(r"not permitted under CUDA graph|CUDA graph option has been disabled", re.IGNORECASE)),
    ("profile_failed", re.compile(r"Failed to collect layer timing", re.IGNORECASE)),
    ("other_device", re.compile(r"engine plan file across different models of devices", re.IGNORECASE)),
)


def parse_warnings(text: str) -> Tuple[Warn, ...]:
    """The warnings that matter to a measurement, each kind once, in order; advice that follows is left out."""
    found: Dict[str, Warn] = {}
    for severity, message in _messages(text):
        if severity == "W":
            for kind, pattern in _WARNINGS:
                if pattern.search(message):
                    found.setdefault(kind, Warn(kind, message.split("\n")[0].lstrip("* ").strip()))
    return tuple(found.values())


# The most telling first. Each was seen in a log or is a message of the sources above.
_FAILURES = (
    ("option", re.compile(r"Unknown option:|Unknown \w+: |conversion failure|format not recognized|Incompatible load")),
    ("memory", re.compile(r"out ?of ?memory|insufficient memory|bad_alloc|cudaErrorMemoryAllocation", re.IGNORECASE)),
    (
        "engine",
        re.compile(
            r"plan file|incompatible device|Version tag does not match|serializationVersion|magicTag|deseriali[sz]",
            re.IGNORECASE,
        ),
    ),
    (
        "operator",
        re.compile(r"UNSUPPORTED_NODE|No importer registered|Plugin not found|While parsing node|In node -?\d+"),
    ),
    ("implementation", re.compile(r"Could not find any implementation for node")),
    (
        "shapes",
        re.compile(
            r"Static model does not take|do not match the static shapes|dimension mismatch|optimi[sz]ation profile",
            re.IGNORECASE,
        ),
    ),
    ("file", re.compile(r"(?:could not|cannot|failed to|error|unable to) (?:open|read|opening|write)", re.IGNORECASE)),
)
_GENERIC = re.compile(
    r"set ?up failed|Failed to create engine|Engine could not be created|Building engine failed|Parsing model failed|"
    r"Failed to parse onnx|Error occurred during inference|--- (?:Begin|End) node|enginePtr != nullptr|"
    r"^ModelImporter\.cpp:\d+: (?:input|output|name|op_type): ",
    re.IGNORECASE,
)
_NODE_WORDS = (
    re.compile(r"In node -?\d+ with name: (?P<node>.*?) and operator: (?P<operator>\w+)"),
    re.compile(r'While parsing node number \d+ \[(?P<operator>\w+)(?: -> "(?P<node>[^"]*)")?'),
    re.compile(r"No importer registered for op: (?P<operator>\w+)"),
    re.compile(r"implementation for node (?P<node>.+?)\.?\)?\s*$", re.MULTILINE),
)
_ANNOTATIONS = re.compile(r"^(?:\[TRT\] |Error\[\d+\]: |\d+: |\[[\w./:<>]+::\d+\] |ModelImporter\.cpp:\d+: )+")


def parse_failure(text: str) -> Failure:
    """The error that explains the others: the kind that tells most, else the first that is no mere consequence.

    Errors: ValueError when there is no error in the text.
    """
    errors = [message for severity, message in _messages(text) if severity in "EF"]
    if not errors:
        raise ValueError("trtexec printed no error")
    for kind, pattern in _FAILURES:
        telling = [message for message in errors if pattern.search(message)]
        if telling:
            return _failure(kind, telling[0], errors)
    own = [message for message in errors if not _GENERIC.search(message)]
    return _failure("other", (own or errors)[0], errors)


def _failure(kind: str, message: str, errors: List[str]) -> Failure:
    """Node and operator are sought in all errors: the parser names them in a line of their own."""
    node = operator = ""
    if kind in ("operator", "implementation"):
        for words in _NODE_WORDS:
            named = (words.search(error).groupdict() for error in errors if words.search(error))  # type: ignore[union-attr]
            for found in named:
                node, operator = node or found.get("node") or "", operator or found.get("operator") or ""
    plain = _ANNOTATIONS.sub("", " ".join(message.split()))
    return Failure(kind, plain[:400], node[:200], operator)


def _decoded(number: int) -> str:
    """NV_TENSORRT_VERSION: major * 1000 + minor * 100 + patch up to 9, major * 10000 + minor * 100 + patch from 10."""
    major, rest = divmod(number, 1000 if number < 10_000 else 10_000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _messages(text: str) -> List[Tuple[str, str]]:
    """Severity letter and message of each line; lines that carry no prefix continue the one before them, but for the
    verdict and for the help that follows a bad option, whose severity is `-`."""
    found: List[Tuple[str, str]] = []
    for line in text.splitlines():
        match = _PREFIX.match(line)
        if match:
            found.append((match.group(1), line[match.end() :]))
        elif line.startswith(("&&&&", "===")):
            found.append(("-", line))
        elif found:
            severity, message = found[-1]
            found[-1] = (severity, f"{message}\n{line}")
    return found


def _section(text: str, title: str) -> Dict[str, str]:
    """`name: value` lines from `=== title ===` to the next section. Errors: ValueError."""
    found: Optional[Dict[str, str]] = None
    for _severity, message in _messages(text):
        heading = _SECTION.match(message)
        if heading:
            if found is not None:
                break
            found = {} if heading.group(1) == title else None
        elif found is not None:
            name, colon, value = message.partition(":")
            if colon:
                found.setdefault(name.strip(), value.strip())
    if not found:
        raise ValueError(f"trtexec's output has no {title!r}, or it is cut right there")
    return found


def _enabled(told: Dict[str, str], name: str) -> bool:
    value = told.get(name)
    if value not in ("Enabled", "Disabled"):
        raise ValueError(f"the Inference Options of trtexec do not tell {name!r}")
    return value == "Enabled"


def _number(told: Dict[str, str], name: str, unit: str) -> float:
    match = re.match(rf"(\d+(?:\.\d+)?(?:e[-+]\d+)?) {unit}\Z", told.get(name, ""))
    if match is None:
        raise ValueError(f"the performance summary of trtexec has no {name!r} in {unit}")
    return float(match.group(1))


def _figures(told: Dict[str, str], name: str) -> Figures:
    plain: Dict[str, int] = {}
    percentiles: Dict[float, int] = {}
    for key, percent, value in _FIGURE.findall(told.get(name, "")):
        if percent:
            percentiles[float(percent)] = _ns(value)
        else:
            plain[key] = _ns(value)
    if len(plain) < 4 or not percentiles:
        raise ValueError(f"the performance summary of trtexec has no whole {name!r}")
    return Figures(plain["min"], plain["max"], plain["mean"], plain["median"], percentiles)


def _ns(milliseconds: str) -> int:
    return round(float(milliseconds) * 1e6)


def _told_number(text: str, pattern: str) -> Optional[float]:
    match = re.search(pattern, text)
    try:
        return float(match.group(1)) if match else None
    except ValueError:
        return None
