"""trtexec --exportProfile: a JSON list of layers with their times, after a first entry that counts the inferences."""

from __future__ import annotations

import json
from collections.abc import Sequence

from device_agents.contract import Layer
from device_agents.formats import lenient_json, trtexec_exports
from edge.results.foreign import UNKNOWN, Told
from edge.results.interop.given import Given, only
from edge.results.interop.read import Read
from edge.results.layers import layers_of
from profiles.errors import ConfigError

NAME = "trtexec-profile"


def write(given: Sequence[Given]) -> bytes:
    """Of a layer the mean is known alone, so that the count is 1 and there is no median.

    Errors: ConfigError for several measurements, or for one without times of layers.
    """
    one = only(given, NAME)
    timed = [(layer.name, layer.time_ns) for layer in layers_of(one.measurement.result) if layer.time_ns is not None]
    total_ns = sum(time_ns for _, time_ns in timed)
    if not total_ns:
        raise ConfigError(f"no layer of {one.label} was timed", where=one.measurement.id[:8])
    lines = ['  { "count" : 1 }', *(_layer(name, time_ns, total_ns) for name, time_ns in timed)]
    return ("[\n" + "\n".join(lines) + "\n]\n").encode()


def read(text: str) -> Read:
    """Layers and nothing else: a profiling run is slower than one that is timed, so no latency is made of it.

    Errors: ValueError naming the entry and what is wrong with it.
    """
    layers = trtexec_exports.parse_profile(text)
    counts = [entry.get("count") for entry in lenient_json.loads(text, "the profile") if isinstance(entry, dict)]
    count = next((count for count in counts if isinstance(count, int) and count >= 0), 0)
    return Read(
        tool="trtexec",
        backend="trtexec",
        told=Told(count),
        layers=[Layer(layer.name, UNKNOWN, time_ns=layer.mean_ns) for layer in layers],
        processes=1,
    )


def _layer(name: str, time_ns: int, total_ns: int) -> str:
    mean_ms, share = f"{time_ns / 1e6:.12g}", f"{100 * time_ns / total_ns:.6g}"
    quoted = json.dumps(name)
    return f', {{ "name" : {quoted}, "timeMs" : {mean_ms}, "averageMs" : {mean_ms}, "percentage" : {share} }}'
