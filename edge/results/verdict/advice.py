"""What mends a measurement that broke a rule, and which of them another try may mend."""

from __future__ import annotations

ADVICE = {
    "too_few_samples": "measure for longer: more processes, or without --quick",
    "unstable": "let the device do nothing else and cool down, lock its clocks, or take more processes",
    "parity_failed": "export it again and look at `edgebench export --explain`: the engine answers wrongly",
    "parity_unknown": "export the model anew, so that its artifact has golden outputs, or give your data a reference",
    "not_fp16": "let the builder choose FP16, or measure FP32: see the layers below",
    "timer_overhead": "take a larger batch: so short an inference is not measured well by a clock of the host",
    "foreign_work": "stop what else runs there, and measure again",
    "wrong_power_mode": "set the mode (nvpmodel -m), or name the one you want in the fleet file",
    "throttled": "cool the device, give it a stronger supply, or lift the limit that holds it back",
    "clocks_floating": "lock the clocks (jetson_clocks, nvidia-smi -lgc) or set the governor to performance",
    "too_hot": "let it cool down, give it air, or measure with pauses between",
    "incomplete_state": "see `edgebench devices doctor`: what is not read cannot be judged",
    "not_waited": "leave out the option wait=false where it was given; else mend the backend's `wait`, which does not",
    "foreign": "measure it with edgebench: only what was watched can be judged",
}
"""A sentence a rule."""

MENDED_BY_REPEATING = frozenset({"unstable", "foreign_work", "throttled", "clocks_floating", "too_hot"})
"""What passes with time. Numbers that are wrong for another reason are as wrong the next time."""
