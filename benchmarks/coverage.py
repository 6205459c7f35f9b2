"""Which vision models export, and how well: every network of torchvision and of keras.applications.

    python benchmarks/coverage.py [--only PATTERN ...] [--jobs N] [--state FILE] [--write FILE] [--list]

Every model goes through `edgebench export` as a user would type it, with random weights and in a home of its own: FP32,
FP16, INT8 calibrated on random data, and engines of TensorRT-RTX for sm86, built and not run. Detectors are exported
with their NMS (FP32) and, as TensorRT takes no NMS whose number of boxes nobody knows, as raw heads (FP32, FP16,
engine). What failed has the reason that the command gave.

Each command is a process with a bound on memory and time. Results go to the state file, a line each, as they come; a
second run goes on where the first ended and tries again what failed. The table is written from the state file alone.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks.walked import Model, Recorder, asked, cell, count, number, versions  # noqa: E402

STATE = HERE / "coverage.jsonl"
TABLE = HERE.parent / "docs" / "coverage.md"

TIMEOUT_S = 3600
TARGET = "sm86"

NO_REASON = "no reason given"


@dataclass
class Outcome:
    """What one command said of one model. `error` is empty when an artifact was made."""

    seconds: float = 0.0
    error: str = ""
    parity: float | None = None
    limit: float | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    nodes: int | None = None
    transposes: int | None = None
    gmacs: float | None = None
    mparameters: float | None = None
    size: str = ""
    notes: tuple[str, ...] = ()
    kept_fp32: int = 0
    method: str = ""


STEPS: dict[str, tuple[str, ...]] = {
    "fp32": ("--precision", "fp32"),
    "fp16": ("--precision", "fp16"),
    "int8": ("--precision", "int8", "--calibrate", "random"),
    "rtx": ("--precision", "fp16", "--engine", "tensorrt-rtx", "--target", TARGET),
    "raw": ("--precision", "fp32", "--head", "raw"),
    "raw_fp16": ("--precision", "fp16", "--head", "raw"),
    "raw_rtx": ("--precision", "fp16", "--head", "raw", "--engine", "tensorrt-rtx", "--target", TARGET),
}
DETECTION = ("fp32", "raw", "raw_fp16", "raw_rtx")
EVERY = ("fp32", "fp16", "int8", "rtx")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="models, such as 'keras:*' (repeat it)")
    parser.add_argument("--steps", help="of each model, comma between (default: all that its family has)")
    parser.add_argument("--jobs", type=int, default=1, help="models at once (default %(default)s)")
    parser.add_argument("--state", type=Path, default=STATE, help="results as they come (default %(default)s)")
    parser.add_argument("--write", type=Path, default=TABLE, help="the table (default %(default)s)")
    parser.add_argument("--list", action="store_true", help="list the models and what is known of them, run nothing")
    parser.add_argument("--retry", action="store_true", help="run what failed before again")
    arguments = parser.parse_args()
    wanted = [model for model in every_model() if asked(model, arguments.only)]
    record = Recorder(arguments.state, Outcome)
    known = record.known
    if arguments.list:
        for model in wanted:
            print(
                model.family, model.name, *(f"{step}:{_mark(one)}" for step, one in known.get(model.name, {}).items())
            )
        return 0
    steps = arguments.steps.split(",") if arguments.steps else None
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda model: walk(model, record, steps, retry=arguments.retry), wanted))
    arguments.write.write_text(page(every_model(), known), encoding="utf-8")
    print(f"wrote {arguments.write}")
    return 0


def every_model() -> list[Model]:
    """All there are, in the order of the table. torchvision's quantized networks are set aside: they are for CPUs."""
    return [*torchvision_models(), *keras_models()]


def torchvision_models() -> Iterator[Model]:
    from torchvision import models

    families = {
        "classification": models,
        "segmentation": models.segmentation,
        "detection": models.detection,
        "video": models.video,
        "optical flow": models.optical_flow,
    }
    for family, module in families.items():
        for name in models.list_models(module=module):
            yield Model(f"torchvision:{name}", "pytorch", f"torchvision {family}")


def keras_models() -> Iterator[Model]:
    """Every constructor of keras.applications, asked in a process of its own: torch and TensorFlow share none."""
    code = "import keras; print(*(k for k, v in vars(keras.applications).items() if k[0].isupper() and callable(v)))"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    for name in sorted(done.stdout.split()):
        yield Model(f"keras:{name}", "tensorflow", "keras.applications")


def walk(model: Model, record: Recorder[Outcome], steps: list[str] | None, *, retry: bool) -> None:
    """Every step of a model that is not known yet, in one home, which is removed afterwards."""
    its = DETECTION if model.family.endswith("detection") else EVERY
    missing = [step for step in its if (steps is None or step in steps) and not record.has(model, step, retry=retry)]
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix="coverage-") as home:
        for step in missing:
            outcome = export(model, step, Path(home))
            record.add(model, step, outcome)
            told = outcome.error or (f"parity {outcome.parity:.1e}" if outcome.parity is not None else "built")
            print(f"{model.name} {step}: {told} ({outcome.seconds:.0f} s)", file=sys.stderr, flush=True)


def export(model: Model, step: str, home: Path) -> Outcome:
    """One `edgebench export`."""
    argv = [sys.executable, "-c", "from edge.cli import main; main()", "export", model.name, "--json", *STEPS[step]]
    argv += ["--framework", model.framework, "--weights", "random"]
    environment = {**os.environ, "HOME": str(home)}
    begin = time.monotonic()
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=environment, timeout=TIMEOUT_S, cwd=home
        )
    except subprocess.TimeoutExpired:
        return Outcome(TIMEOUT_S, f"took longer than {TIMEOUT_S} s")
    seconds = time.monotonic() - begin
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return Outcome(seconds, lines[-1][:300] if lines else f"ended with status {done.returncode}")
    if "error" in answer:
        error = answer["error"]
        return Outcome(seconds, error["message"] or NO_REASON)
    return outcome_of(answer["artifacts"][0], seconds)


def outcome_of(artifact: dict[str, Any], seconds: float) -> Outcome:
    """The figures of an artifact as `export --json` prints it."""
    graph, parity = artifact["graph"], artifact["parity"]
    macs = graph.get("macs")
    shapes = (spec["shape"] for spec in artifact["inputs"])
    return Outcome(
        seconds=seconds,
        parity=parity.get("error"),
        limit=parity.get("limit"),
        agreement=parity.get("agreement", {}),
        nodes=graph["nodes"],
        transposes=graph["transposes"],
        gmacs=None if macs is None else macs / 1e9,
        mparameters=graph["parameters"] / 1e6,
        size=", ".join("x".join(map(str, shape[1:])) for shape in shapes),
        notes=tuple(artifact.get("notes", ())),
        kept_fp32=len(artifact.get("kept_fp32", ())),
        method=artifact["produced_by"].get("fp16", ""),
    )


GOALS = {
    "torchvision classification": ("fp32", "fp16"),
    "torchvision segmentation": ("fp32", "fp16"),
    "torchvision video": ("fp32", "fp16"),
    "keras.applications": ("fp32", "fp16"),
    "torchvision detection": ("fp32", "raw", "raw_rtx"),
}
"""What all of a family are to pass."""
USUAL_LIMITS = (1e-3, 2e-2, 0.5)  # export.judging.parity's
WORDS = {
    "fp32": "FP32",
    "fp16": "FP16",
    "int8": "INT8",
    "rtx": "engine",
    "raw": "raw FP32",
    "raw_fp16": "raw FP16",
    "raw_rtx": "raw engine",
}
PREAMBLE = """\
# Which models export

Every network of torchvision (the quantized ones set aside) and of keras.applications, exported by `edgebench export`
with random weights. Made by `python benchmarks/coverage.py` on two cores without a GPU; not edited by hand.

- **FP32, FP16, INT8**: the graph passed ONNX's checker, and the parity gate against the framework's own FP32 outputs.
  The figure is its error, relative to how much outputs differ between samples ([how](measuring.md)). It may be 1e-3 in
  FP32; 2e-2 in FP16, or twice what the framework itself is off in FP16, which stands beside it then (a raw detector
  of two stages chooses a few other proposals in FP16: the same ones are compared); 0.5 in INT8, which is calibrated on
  random data here: that says nothing of accuracy on images.
- **engine**: TensorRT-RTX builds the FP16 graph for sm86. None was run.
- **raw**: a detector without its NMS, which is what TensorRT takes; with it, it is FP32 and for onnxruntime.
- **seconds**: of all columns together, two or three models at a time. A step of an export that takes longer than half
  an hour is stopped, as it is for anybody who gives it no `--timeout`.

"""
PACKAGES = (
    "torch",
    "torchvision",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime-gpu",
    "tensorrt-rtx-cu13",
)
_SEPARABLE = "Separable convolutions lose most by INT8 after training, as Sheng et al. describe (arXiv:1803.08607)"
_DEEP = (
    "Krishnamoorthi finds a wide variety of networks within 2 % of their accuracy after INT8 (arXiv:1806.08342), and "
    "those are trained: the weights are random here, and it is one of the deepest of its family"
)
UPSTREAM = {
    "*:efficientnet_b[4-7] int8": "TensorFlow's authors left squeeze-and-excitation and swish out of EfficientNet-Lite "
    "for the sake of INT8 after training (blog.tensorflow.org, March 2020); these have both, in more layers the larger",
    "keras:NASNet* int8": f"{_SEPARABLE}, and NASNet adds up five branches of them in each of its cells",
    "*:mnasnet* int8": f"{_SEPARABLE}, and nothing bounds what is between them, as ReLU6 does in MobileNetV2",
    "*:shufflenet_v2* int8": f"{_SEPARABLE}. With trained weights torchvision's own INT8 loses a point of top-1 "
    "(69.4 to 68.4 % for x1_0): weights and data are random here",
    "*:googlenet int8": "With trained weights torchvision's own INT8 loses nothing (top-1 69.8 %, "
    "GoogLeNet_QuantizedWeights): weights and data are random here",
    "*:s3d int8": f"{_SEPARABLE}; with random weights PyTorch's own FP16 of it is off by 7e-02 already",
    "*:raft_large int8": "Two cores, with another export beside it, did not calibrate it within the half hour that a "
    "step has unless --timeout gives it more: 64 samples, twice, are 48 tera multiply-adds of RAFT, whose smaller form "
    "loses too much by INT8",
    "*:raft_* int8": "RAFT looks up correlations where its last estimate points, a dozen times (arXiv:2003.12039): "
    "what INT8 rounds moves every later look-up",
    "*:resnet1?? int8": _DEEP,
    "*:fcn_resnet101 int8": _DEEP,
    "*:vgg19_bn int8": _DEEP,
    "*:wide_resnet101_2 int8": _DEEP,
}
"""Why a model cannot, in the words of who knows: by a pattern of `model step`."""


def page(models: list[Model], known: dict[str, dict[str, Outcome]]) -> str:
    """docs/coverage.md."""
    families = list(dict.fromkeys(model.family for model in models))
    lines = [
        *PREAMBLE.splitlines(),
        versions(*PACKAGES),
        "",
        *_totals(families, models, known),
        *_failures(models, known),
    ]
    for family in families:
        lines += _table(family, [model for model in models if model.family == family], known)
    return "\n".join(lines) + "\n"


def _totals(families: list[str], models: list[Model], known: dict[str, dict[str, Outcome]]) -> Iterator[str]:
    yield "## Totals"
    yield ""
    yield "Bold: the goal is all of them."
    yield ""
    yield f"| | networks | {' | '.join(WORDS[step] for step in EVERY)} |"
    yield f"|{'---|' * (len(EVERY) + 2)}"
    for family in families:
        its = [model for model in models if model.family == family]
        rows = [(family, EVERY)]
        if family.endswith("detection"):
            rows = [(family, ("fp32", "", "", "")), (f"{family}, raw head", ("raw", "raw_fp16", "", "raw_rtx"))]
        for name, steps in rows:
            cells = [_total(its, step, known, goal=step in GOALS.get(family, ())) if step else "" for step in steps]
            yield f"| {name} | {len(its)} | {' | '.join(cells)} |"
    yield ""


def _total(models: list[Model], step: str, known: dict[str, dict[str, Outcome]], *, goal: bool) -> str:
    tried = [known[model.name][step] for model in models if step in known.get(model.name, {})]
    made = sum(not outcome.error for outcome in tried)
    told = count(made, len(tried), len(models))
    return f"**{told}**" if goal else told


def _failures(models: list[Model], known: dict[str, dict[str, Outcome]]) -> Iterator[str]:
    failed = [
        (model, step, outcome)
        for model in models
        for step, outcome in known.get(model.name, {}).items()
        if outcome.error
    ]
    yield "## What was not made, and why"
    yield ""
    if not failed:
        yield "Nothing that was tried failed."
        yield ""
        return
    yield "| model | | reason |"
    yield "|---|---|---|"
    for model, step, outcome in failed:
        upstream = next((why for key, why in UPSTREAM.items() if fnmatch.fnmatch(f"{model.name} {step}", key)), "")
        reason = f"{cell(outcome.error)}{'. ' if upstream else ''}{upstream}"
        yield f"| {model.name} | {WORDS[step]} | {reason} |"
    yield ""


def _table(family: str, models: list[Model], known: dict[str, dict[str, Outcome]]) -> Iterator[str]:
    detection = family.endswith("detection")
    steps = DETECTION if detection else EVERY
    yield f"## {family}"
    yield ""
    heads = ["model", "input", "M parameters", "GMAC", "nodes", "transposes"]
    columns: dict[str, Callable[[Outcome], str]] = dict.fromkeys(steps, _figure)
    yield f"| {' | '.join([*heads, *(WORDS[step] for step in columns), 'seconds'])} |"
    yield f"|{'---|' * (len(heads) + len(columns) + 1)}"
    for model in models:
        its = known.get(model.name, {})
        base = its.get("fp32", Outcome())
        if not its:
            continue
        cells = [model.name.partition(":")[2], base.size, number(base.mparameters), number(base.gmacs)]
        cells += ["-" if value is None else str(value) for value in (base.nodes, base.transposes)]
        cells += [figure(its[step]) if step in its else "" for step, figure in columns.items()]
        cells.append(f"{sum(outcome.seconds for outcome in its.values()):.0f}")
        yield f"| {' | '.join(map(cell, cells))} |"
    yield ""


def _figure(outcome: Outcome) -> str:
    if outcome.error:
        return "no"
    if outcome.parity is None:
        return "yes"
    kept = f", {outcome.kept_fp32} nodes in FP32" if outcome.kept_fp32 else ""
    wider = f" of {outcome.limit:.1e}" if outcome.limit not in (None, *USUAL_LIMITS) else ""
    return f"{outcome.parity:.1e}{wider}{kept}"


def _mark(outcome: Outcome) -> str:
    return "no" if outcome.error else "yes"


if __name__ == "__main__":
    sys.exit(main())
