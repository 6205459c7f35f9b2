"""Which of torchvision's networks torch.compile takes whole: classification, segmentation and detection.

    python benchmarks/compile_coverage.py [--only PATTERN ...] [--steps capture,inductor] [--state FILE] [--write FILE]

Two steps a model, each in a process of its own with a bound on memory and time. `capture`: what Dynamo makes of it,
without a compiler: fullgraph=True, and where that does not hold, graphs and breaks by torch._dynamo.explain.
`inductor`: torch.compile as it is by default, compiled for this machine's processor, and its answers held against eager
ones. All are captured first, then compiled; small ones come first, and detectors last.

Results go to the state file, a line each, as they come; a second run goes on where the first ended. The table is
written from the state file alone.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.compile_steps import work  # noqa: E402
from benchmarks.coverage import torchvision_models  # noqa: E402
from benchmarks.walked import Model, Recorder, asked, cell, count, number, versions  # noqa: E402
from export.child import group_rss  # noqa: E402

STATE = HERE / "compile_coverage.jsonl"
TABLE = HERE.parent / "docs" / "compile-coverage.md"
STEPS = ("capture", "inductor")
FAMILIES = ("torchvision classification", "torchvision segmentation", "torchvision detection")
TIMEOUT_S = 3600
MEMORY_BYTES = 9 << 30
POLL_S = 2.0

Known = dict[str, dict[str, "Outcome"]]


@dataclass
class Outcome:
    """Of `capture`: `error` is why fullgraph=True does not hold, `reason` that of the first break. Of `inductor`:
    `error` is why there is no answer, or why it is not eager's; `parity` is how far off it is. `stopped`: no answer
    within time and memory."""

    seconds: float = 0.0
    error: str = ""
    graphs: int | None = None
    breaks: int | None = None
    reason: str = ""
    parity: float | None = None
    mparameters: float | None = None
    size: str = ""
    stopped: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="models, such as 'torchvision:resnet*' (repeat it)")
    parser.add_argument("--steps", default=",".join(STEPS), help="comma between (default %(default)s)")
    parser.add_argument("--state", type=Path, default=STATE, help="results as they come (default %(default)s)")
    parser.add_argument("--write", type=Path, default=TABLE, help="the table (default %(default)s)")
    parser.add_argument("--retry", action="store_true", help="run what failed before again")
    arguments = parser.parse_args()
    os.environ.update(CUDA_VISIBLE_DEVICES="", TORCHINDUCTOR_COMPILE_THREADS="1")  # of the steps, which fork off
    models = [model for model in torchvision_models() if model.family in FAMILIES]
    record = Recorder(arguments.state, Outcome)
    for step in (step for step in STEPS if step in arguments.steps.split(",")):
        for model in sorted((one for one in models if asked(one, arguments.only)), key=_cost):
            if not record.has(model, step, retry=arguments.retry):
                outcome = run(model, step)
                record.add(model, step, outcome)
                print(f"{model.name} {step}: {outcome.error or 'passed'} ({outcome.seconds:.0f} s)", flush=True)
                arguments.write.write_text(page(models, record.known), encoding="utf-8")
    arguments.write.write_text(page(models, record.known), encoding="utf-8")
    return 0


def _cost(model: Model) -> tuple[bool, int]:
    """Small before large, by the parameters that its weights' metadata tells; detectors, which take minutes, last."""
    from torchvision import models

    weights = models.get_model_weights(model.name.partition(":")[2]).DEFAULT
    return model.family.endswith("detection"), int(weights.meta["num_params"])


def run(model: Model, step: str) -> Outcome:
    """One step in a process of its own, which is gone when this returns."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.compile_warm"])
    answer, sender = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(model.name.partition(":")[2], step, sender))
    begin = time.monotonic()
    child.start()
    sender.close()
    try:
        found = _bounded(child, answer, begin)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid or 0, signal.SIGKILL)
        child.join()
        answer.close()
    return Outcome(**{"seconds": time.monotonic() - begin, **found})


def _bounded(child: Any, answer: Any, begin: float) -> dict[str, Any]:
    """What it answers, or why it does not."""
    while not answer.poll(POLL_S):
        if time.monotonic() - begin > TIMEOUT_S:
            return {"error": f"no end within {TIMEOUT_S} s", "stopped": True}
        if group_rss(child.pid) > MEMORY_BYTES:
            return {"error": f"more than {MEMORY_BYTES >> 30} GiB of memory", "stopped": True}
    try:
        found: dict[str, Any] = answer.recv()
    except EOFError:
        child.join()
        return {"error": f"ended with status {child.exitcode}"}
    return found


PREAMBLE = """\
# Which models torch.compile takes whole

torchvision's networks for classification, segmentation and detection (the quantized ones set aside), on the processor,
FP32, batch 1, random weights. Made by `python benchmarks/compile_coverage.py` on two cores without a GPU; not edited by
hand.

- **captured whole**: `torch.compile(fullgraph=True)` runs (with the backend that compiles nothing): one graph, no
  break, no part that falls back to eager. Where it does not, graphs and breaks are those of `torch._dynamo.explain`.
- **compiled**: `torch.compile` in its default mode (Inductor, C++ for this processor) gives an answer.
- **parity**: that answer for two images against eager's, ||y - y'|| / ||y - mean y|| of the worst output tensor; at
  most 1e-3. What a detector finds is held in the order in which it is given.
- Images are 224 x 224 whatever a network's own size, so that two cores suffice; detectors are called as torchvision
  has them, a list of one image of their own size, with resizing and NMS.
- **seconds** are of the first call, with an empty cache; the machine had other work, so they are upper bounds.

"""


def page(models: Sequence[Model], known: Known) -> str:
    """docs/compile-coverage.md."""
    lines = [*PREAMBLE.splitlines(), versions("torch", "torchvision"), "", "## Totals", ""]
    lines += ["| | networks | captured whole | compiled | parity |", "|---|---|---|---|---|"]
    by_family = {family: [model for model in models if model.family == family] for family in FAMILIES}
    lines += [_total(family, its, known) for family, its in by_family.items()]
    lines += [_total("**all**", models, known), "", *_reasons(models, known)]
    for family, its in by_family.items():
        lines += _table(family, its, known)
    return "\n".join(lines) + "\n"


def _total(name: str, models: Sequence[Model], known: Known) -> str:
    captured, compiled = ([its[step] for its in _of(models, known) if step in its] for step in STEPS)
    whole = count(sum(map(_is_whole, captured)), len(captured), len(models))
    answered = count(sum(one.parity is not None for one in compiled), len(compiled), len(models))
    agreed = count(sum(not one.error for one in compiled), len(compiled), len(models))
    return f"| {name} | {len(models)} | {whole} | {answered} | {agreed} |"


def _of(models: Sequence[Model], known: Known) -> Iterator[dict[str, Outcome]]:
    return (known.get(model.name, {}) for model in models)


def _is_whole(outcome: Outcome) -> bool:
    return not outcome.error and outcome.breaks == 0


def _reasons(models: Sequence[Model], known: Known) -> Iterator[str]:
    failed = [
        (model.name, step, "; ".join(filter(None, dict.fromkeys((outcome.error, outcome.reason)))))
        for model in models
        for step, outcome in known.get(model.name, {}).items()
        if outcome.error or outcome.reason
    ]
    yield "## What did not pass, and why"
    yield ""
    if not failed:
        yield "Nothing that was tried failed."
    else:
        yield "| model | | reason |"
        yield "|---|---|---|"
        yield from (f"| {name} | {step} | {cell(reason)} |" for name, step, reason in failed)
    yield ""


def _table(family: str, models: Sequence[Model], known: Known) -> Iterator[str]:
    yield f"## {family}"
    yield ""
    heads = ("model", "image", "M parameters", "captured whole", "graphs", "breaks")
    yield f"| {' | '.join((*heads, 'to capture, s', 'parity', 'to compile, s'))} |"
    yield f"|{'---|' * (len(heads) + 3)}"
    for model in models:
        its = known.get(model.name, {})
        yield f"| {' | '.join([model.name.partition(':')[2], *_captured(its), *_compiled(its)])} |"
    yield ""


def _captured(its: dict[str, Outcome]) -> list[str]:
    one = its.get("capture")
    if one is None:
        return ["", "", "not tried", "", "", ""]
    graphs = ["-" if value is None else str(value) for value in (one.graphs, one.breaks)]
    told = "stopped" if one.stopped else "yes" if _is_whole(one) else "no"
    return [one.size, number(one.mparameters), told, *graphs, f"{one.seconds:.0f}"]


def _compiled(its: dict[str, Outcome]) -> list[str]:
    one = its.get("inductor")
    if one is None:
        return ["not tried", ""]
    told = "stopped" if one.stopped else "no" if one.parity is None else f"{one.parity:.1e}"
    return [told, f"{one.seconds:.0f}"]


if __name__ == "__main__":
    sys.exit(main())
