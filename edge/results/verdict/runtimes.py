"""Rules about what runtimes did on their own account: not waiting, and compiling while timed."""

from __future__ import annotations

from collections.abc import Iterable

from device_agents.contract import ProcessResult
from edge.results.stats import milliseconds
from edge.results.verdict.finding import Answer, Evidence, Finding, Flag, Held

_LEFT_NS, _LEFT_SHARE = 20_000, 0.05
"""What a device may still do after it was awaited: asking it takes some microseconds itself."""

_AGAIN = {
    "recompiles": "torch.compile compiled {:g} more graphs after it should have been done",
    "retraces": "TensorFlow traced its function {:g} times more",
}


def not_waited(given: Evidence) -> Iterable[Answer]:
    """By what the agent saw before timing (device_agents.waiting), else by what the backend says of itself."""
    result = given.measurement.result
    seen = [why for process in result.processes for why in _returned_early(process)]
    if seen:
        yield Finding("not_waited", True, seen[0], "the first use, before timing")
    elif result.switches.get("waited") is False:
        reason = "nobody waited for the outputs: the figures are those of a call that returns before"
        yield Finding("not_waited", True, reason, "the switch waited")
    elif result.processes and all("outputs_after_wait" in process.state for process in result.processes):
        left_ns = [_number(process, "left_after_wait_ns") for process in result.processes]
        known = [one for one in left_ns if one is not None]
        more = f", nor the device at work ({milliseconds(max(known))} ms)" if known else ""
        yield Held("not_waited", f"outputs did not change after they were awaited{more}", "the first use")


def _returned_early(process: ProcessResult) -> Iterable[str]:
    left_ns, awaited_ns = _number(process, "left_after_wait_ns"), _number(process, "awaited_ns")
    if left_ns is not None and left_ns > max(_LEFT_NS, _LEFT_SHARE * ((awaited_ns or 0) + left_ns)):
        took = "" if awaited_ns is None else f", which had taken {milliseconds(awaited_ns)} ms"
        yield f"the device worked for {milliseconds(left_ns)} ms more after the wait had returned{took}"
    outputs = process.state.get("outputs_after_wait")
    if outputs is not None and outputs.value == "changed":
        yield "outputs changed after they had been awaited: the wait returned before they were there"


def _number(process: ProcessResult, name: str) -> float | None:
    reading = process.state.get(name)
    return float(reading.value) if reading is not None and isinstance(reading.value, (int, float)) else None


def compiled_again(given: Evidence) -> Iterable[Answer]:
    """What is compiled in the midst of timing shows in the latencies: it explains them."""
    for name, what in _AGAIN.items():
        reading = given.measurement.result.context.get(name)
        if reading is not None and isinstance(reading.value, int) and reading.value:
            yield Flag(name, what.format(reading.value))
