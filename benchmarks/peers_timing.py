"""Whether edgebench's latency is the one that others measure: the same ONNX model, the same options, in turn.

    python benchmarks/peers_timing.py [MODEL.onnx] [--rounds N] [--threads N] [--check] [--json]

Two ways to time one inference on this machine's processor, each in a fresh process, A B B A B A A B ... so that a
machine that gets slower is as unkind to both:

    edgebench      `edgebench deploy MODEL --processes 1`: the median of the result
    onnxruntime    its own `run_with_iobinding` in a plain loop: inputs bound once, a second of warm-up, two timed

Both run as many threads and time inputs of seeded noise. The answer is the ratio of the medians, edgebench's over the
peer's, with its 95 % interval by Student's t over the logarithms of the rounds. Goal, with --check for the exit code:
the interval lies within 0.97 to 1.03. A machine that others use as well has wider intervals; more rounds narrow them.

optimum-benchmark is no peer here: it loads models of the Hugging Face hub by their tasks, and takes no .onnx file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from device_agents import locks  # noqa: E402
from edge.results.stats import t95  # noqa: E402

LOW, HIGH = 0.97, 1.03

BY_PEER = """\
import statistics, sys, time
import numpy as np, onnxruntime as ort

options = ort.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
binding, rng = session.io_binding(), np.random.default_rng(0)
for one in session.get_inputs():
    shape = [size if isinstance(size, int) else 1 for size in one.shape]
    binding.bind_cpu_input(one.name, rng.standard_normal(shape).astype(np.float32))
for one in session.get_outputs():
    binding.bind_output(one.name)

def timed(seconds):
    samples, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        samples.append(time.perf_counter_ns() - begin)
    return samples

timed(1.0)
print(statistics.median(timed(2.0)))
"""


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="edgebench-peers-") as folder:
        model = args.model or convolutions(Path(folder) / "convolutions.onnx")
        medians: dict[str, list[float]] = {"edgebench": [], "onnxruntime": []}
        for number in range(args.rounds):
            for name in order(number):
                time_it = by_edgebench if name == "edgebench" else by_peer
                medians[name].append(time_it(model, args.threads, Path(folder)))
            print({name: f"{values[-1] / 1e6:.3f} ms" for name, values in medians.items()}, file=sys.stderr)
    found = agreement(medians["edgebench"], medians["onnxruntime"])
    told = {"medians_ns": medians, **found, "goal": [LOW, HIGH]}
    text = (
        f"edgebench / onnxruntime: {found['ratio']:.4f}, 95 % interval {found['low']:.4f} to {found['high']:.4f} "
        f"over {args.rounds} rounds; goal {LOW} to {HIGH}: {'holds' if found['holds'] else 'does not hold'}"
    )
    print(json.dumps(told, indent=1) if args.json else text)
    return int(args.check and not found["holds"])


def order(number: int) -> tuple[str, str]:
    """A B B A B A A B ...: the sequence of Thue and Morse, for a drift of any smooth kind."""
    first = number.bit_count() % 2
    return ("onnxruntime", "edgebench") if first else ("edgebench", "onnxruntime")


def agreement(ours: list[float], theirs: list[float], low: float = LOW, high: float = HIGH) -> dict[str, Any]:
    """The ratio of medians over rounds, with the t interval of its logarithm; `holds` within `low` to `high`."""
    logs = [math.log(one / other) for one, other in zip(ours, theirs, strict=True)]
    middle, width = statistics.fmean(logs), math.inf
    if len(logs) > 1:
        width = t95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    least, most = math.exp(middle - width), math.exp(middle + width)
    return {"ratio": math.exp(middle), "low": least, "high": most, "holds": least >= low and most <= high}


def by_edgebench(model: Path, threads: int, home: Path) -> float:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
    done = subprocess.run(
        [sys.executable, "-c", "from edge.cli import main; main()", "deploy", str(model), "--processes", "1",
         "--option", f"threads={threads}", "--option", "provider=cpu", "--backend", "onnxruntime", "--json"],
        capture_output=True, text=True, timeout=600, check=False, cwd=home,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr + done.stdout)
    return float(json.loads(done.stdout)["measurements"][0]["median_ms"]) * 1e6


def by_peer(model: Path, threads: int, _home: Path) -> float:
    """With the lock of the processor, as a job of edgebench has it: else other jobs here would disturb it alone."""
    argv = [sys.executable, "-c", BY_PEER, str(model), str(threads)]
    lock = locks.open_lock(locks.accelerator_path("cpu"))
    try:
        locks.acquire(lock, 600.0)
        return float(subprocess.run(argv, capture_output=True, text=True, timeout=600, check=True).stdout)
    finally:
        os.close(lock)


def convolutions(path: Path) -> Path:
    """A network of eight 3x3 convolutions on 64 channels at 56 x 56: some ten milliseconds of a processor."""
    import numpy as np
    import onnx

    helper, kind, rng = onnx.helper, onnx.TensorProto.FLOAT, np.random.default_rng(0)
    nodes, weights, last, channels = [], [], "images", 3
    for index in range(8):
        kernel = rng.normal(0, (2 / (9 * channels)) ** 0.5, (64, channels, 3, 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(kernel, f"w{index}"))
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last, channels = f"r{index}", 64
    nodes += [helper.make_node("GlobalAveragePool", [last], ["p"]), helper.make_node("Flatten", ["p"], ["logits"])]
    graph = helper.make_graph(
        nodes, "convolutions", [helper.make_tensor_value_info("images", kind, [1, 3, 56, 56])],
        [helper.make_tensor_value_info("logits", kind, [1, 64])], weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Agreement of edgebench's latency with onnxruntime's own loop.")
    parser.add_argument("model", nargs="?", type=Path, help="an .onnx file of float inputs; else one is made")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="exit 1 where the goal is missed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
