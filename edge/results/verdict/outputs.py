"""Rules about what was computed: the outputs, and in which precision."""

from __future__ import annotations

from collections.abc import Iterable

from device_agents.contract import Precision
from edge.results.layers import layers_of, precision_shares
from edge.results.store import Measurement
from edge.results.verdict.finding import Answer, Evidence, Finding, Held

_FP16_SHARE = 0.5  # of the computing: what must stay FP32 (softmax, norms, a node that overflows) is far less
_REFERENCE = "the outputs and their reference"


def parity(given: Evidence) -> Iterable[Answer]:
    worst = None
    for process in given.measurement.result.processes:
        checks = {"before": process.parity_before, "after": process.parity_after}
        if process.warmup_stable is None:  # a tool with a loop of its own: it shows its outputs once, after it
            del checks["before"]
        if None in checks.values():
            yield Finding("parity_unknown", False, _why_unknown(given.measurement))
            return
        for when, check in checks.items():
            if check is not None and not check.passed:
                reason = f"{check.tensor} is off by {check.error:.2g} {when} timing, over {check.limit:.2g}"
                yield Finding("parity_failed", True, reason, _REFERENCE)
                return
            worst = max((one for one in (worst, check) if one is not None), key=lambda one: one.error, default=None)
    if worst is not None:
        yield Held(
            "parity_failed", f"{worst.tensor} is off by {worst.error:.2g}, at most {worst.limit:.2g}", _REFERENCE
        )


def _why_unknown(measurement: Measurement) -> str:
    """Why no outputs were compared, as well as it is known."""
    told = measurement.result.context.get("parity")
    if told is not None and told.unknown:
        return told.unknown
    own = measurement.origin.inputs
    if own is not None and not own.checked:
        return f"no outputs were compared; the reference for the operator's data: {own.reference}"
    size = measurement.cell.size
    which = f" for {size[0]}x{size[1]}" if size else ""
    shows = f"{measurement.cell.backend} shows no outputs"
    return f"no outputs were compared: the artifact has no reference{which}, or {shows}"


def not_fp16(given: Evidence) -> Iterable[Answer]:
    """Asked for FP16, at least half of the computing must be in it; layers of unclear precision count for neither."""
    measurement = given.measurement
    if measurement.cell.precision is not Precision.FP16:
        return
    if measurement.result.switches.get("dtype") == "float16":  # PyTorch and TensorFlow compute in what they are given
        yield Held(
            "not_fp16", "weights and inputs are float16, and the framework computes in their type", "the switches"
        )
        return
    shares, source = precision_shares(layers_of(measurement.result)), "the engine's layers"
    if shares is None or shares.unclear > 1 - 1e-9:
        yield Finding("not_fp16", False, f"{measurement.cell.backend} does not tell the precision of its layers")
    elif shares.of("fp16") + shares.unclear < _FP16_SHARE:
        yield Finding("not_fp16", True, f"asked for FP16, the engine computes in {shares}", source)
    elif shares.of("fp16") < _FP16_SHARE:
        yield Finding("not_fp16", False, f"too much of the engine is unclear: {shares}", source)
    else:
        yield Held("not_fp16", f"the engine computes in {shares}, half of it has to be FP16", source)
