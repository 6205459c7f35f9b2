"""Rules about what PyTorch and TensorFlow did on their own account: not waiting, and compiling while timed."""

from __future__ import annotations

from collections.abc import Iterable

from edge.results.verdict.finding import Answer, Evidence, Finding, Flag

_AGAIN = {
    "recompiles": "torch.compile compiled {:g} more graphs after it should have been done",
    "retraces": "TensorFlow traced its function {:g} times more",
}


def not_waited(given: Evidence) -> Iterable[Answer]:
    if given.measurement.result.switches.get("waited") is False:
        reason = "nobody waited for the outputs: the figures are those of a call that returns before"
        yield Finding("not_waited", True, reason, "the switch waited")


def compiled_again(given: Evidence) -> Iterable[Answer]:
    """What is compiled in the midst of timing shows in the latencies: it explains them."""
    for name, what in _AGAIN.items():
        reading = given.measurement.result.context.get(name)
        if reading is not None and isinstance(reading.value, int) and reading.value:
            yield Flag(name, what.format(reading.value))
