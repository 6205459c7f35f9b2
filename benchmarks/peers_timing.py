"""Whether edgebench's latency is the one that others measure: the same ONNX model, the same options, in turn.

    python benchmarks/peers_timing.py [MODEL.onnx] [--optimum-benchmark PYTHON] [--rounds N] [--threads N] [--check]

Two ways to time one inference on this machine's processor, each in a fresh process, A B B A B A A B ... so that a
machine that gets slower is as unkind to both:

    edgebench            `edgebench deploy MODEL --processes 1`: the median of the result
    onnxruntime          its own `run_with_iobinding` in a plain loop: inputs bound once, a second of warm-up, two timed
    optimum-benchmark    in its place where an interpreter is named that has optimum-benchmark[onnxruntime]: its
                         inference scenario of two seconds, on the model in a folder as it wants one. It passes tensors
                         of PyTorch to the session, which takes a part of a millisecond more. Its release 0.6 wants
                         optimum[onnxruntime]==1.27.0 and torch==2.8.0

Both run as many threads and time inputs of noise. The answer is the ratio of the medians, edgebench's over the
peer's, with its 95 % interval by Student's t over the logarithms of the rounds. Goal, with --check for the exit code:
the interval lies within 0.97 to 1.03. A machine that others use as well has wider intervals; more rounds narrow them.
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

BY_OPTIMUM = """\
import statistics, sys
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, ORTConfig

height, width = int(sys.argv[3]), int(sys.argv[4])
report = Benchmark.launch(BenchmarkConfig(
    name="peer",
    launcher=InlineConfig(device_isolation=False),
    backend=ORTConfig(model=sys.argv[1], task="image-classification", library="transformers", device="cpu",
                      export=False, session_options={"intra_op_num_threads": int(sys.argv[2])}),
    scenario=InferenceConfig(duration=2, iterations=10, warmup_runs=50, latency=True, memory=False, energy=False,
                             input_shapes=dict(batch_size=1, num_channels=3, height=height, width=width)),
))
print(1e9 * statistics.median(report.forward.latency.values))
"""


def main() -> int:
    args = _arguments()
    peer = "optimum-benchmark" if args.optimum_benchmark else "onnxruntime"
    with tempfile.TemporaryDirectory(prefix="edgebench-peers-") as folder:
        model = args.model or convolutions(Path(folder) / "model.onnx")
        command = [sys.executable, "-c", BY_PEER, str(model), str(args.threads)]
        if args.optimum_benchmark:
            command = by_optimum(args.optimum_benchmark, model, args.threads, Path(folder) / "as-wanted")
        medians: dict[str, list[float]] = {"edgebench": [], peer: []}
        for number in range(args.rounds):
            for is_ours in order(number):
                if is_ours:
                    medians["edgebench"].append(by_edgebench(model, args.threads, Path(folder)))
                else:
                    medians[peer].append(by_peer(command))
            print({name: f"{values[-1] / 1e6:.3f} ms" for name, values in medians.items()}, file=sys.stderr)
    found = agreement(medians["edgebench"], medians[peer])
    told = {"medians_ns": medians, **found, "goal": [LOW, HIGH]}
    text = (
        f"edgebench / {peer}: {found['ratio']:.4f}, 95 % interval {found['low']:.4f} to {found['high']:.4f} "
        f"over {args.rounds} rounds; goal {LOW} to {HIGH}: {'holds' if found['holds'] else 'does not hold'}"
    )
    print(json.dumps(told, indent=1) if args.json else text)
    return int(args.check and not found["holds"])


def order(number: int) -> tuple[bool, bool]:
    """Whether it is edgebench's turn. A B B A B A A B ...: the sequence of Thue and Morse, for a drift of any smooth
    kind."""
    is_ours = number.bit_count() % 2 == 0
    return is_ours, not is_ours


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


def by_peer(command: list[str]) -> float:
    """With the lock of the processor, as a job of edgebench has it: else other jobs here would disturb it alone."""
    lock = locks.open_lock(locks.accelerator_path("cpu"))
    try:
        locks.acquire(lock, 600.0)
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    finally:
        os.close(lock)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.splitlines()[-1])


def by_optimum(python: Path, model: Path, threads: int, folder: Path) -> list[str]:
    """Its command. It takes a folder with the graph, its input called `pixel_values` and its output `logits`, beside a
    config.json that says which kind of network it is; no word of that is true of ours, and nothing depends on it."""
    import onnx

    graph = onnx.load(str(model))
    (images,), (logits,) = graph.graph.input, graph.graph.output
    renamed = {images.name: "pixel_values", logits.name: "logits"}
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    height, width = (side.dim_value for side in images.type.tensor_type.shape.dim[2:])
    images.name, logits.name = renamed.values()
    folder.mkdir()
    onnx.save(graph, str(folder / "model.onnx"))
    (folder / "config.json").write_text(json.dumps({"model_type": "resnet", "num_channels": 3, "image_size": height}))
    return [str(python), "-c", BY_OPTIMUM, str(folder), str(threads), str(height), str(width)]


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
    parser.add_argument("--optimum-benchmark", type=Path, metavar="PYTHON", help="an interpreter that has it: the peer")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true", help="exit 1 where the goal is missed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
