"""The same network, the same weights: does Keras's export run as fast as PyTorch's? On onnxruntime's CPU, in one run.

    python benchmarks/twins.py [--model NAME ...] [--batch N ...] [--rounds N] [--json]

Both exports of a model are loaded into one process, in sessions of their own with the same options, and timed in turn,
A B B A, so that what else the machine does falls on both. Each round gives one ratio, of the medians of its calls; the
answer is the mean ratio with a 95 % interval over the rounds (Student's t). Budget: 1.05.
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
import time
from pathlib import Path
from typing import Any

import numpy as np

BUDGET = 1.05
THREADS = 2
CALLS = 5  # of each export in a round, at least
ROUND_S = 0.5
# Student's t, two-sided 95 %, by degrees of freedom (scipy.stats.t.ppf(0.975, n)).
T95 = {4: 2.776, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="a model that both frameworks have (repeat it)")
    parser.add_argument("--batch", action="append", type=int, help="(repeat it; default 1 and 8)")
    parser.add_argument("--rounds", type=int, default=20, choices=[n + 1 for n in T95], help="(default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for model in arguments.model or ("resnet50", "vit_b_16"):
            graphs = exports(Path(home), model)
            for batch in arguments.batch or (1, 8):
                rows.append({"model": model, "batch": batch, **compare(graphs, batch, arguments.rounds)})
                if not arguments.json:
                    print(told(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"budget": BUDGET, "load": os.getloadavg()[0], "rows": rows}))
    return 1 if any(row["ratio"] > BUDGET for row in rows) else 0


def exports(home: Path, model: str) -> dict[str, Path]:
    """The FP32 graph of each framework."""
    argv = [sys.executable, "-c", "from edge.cli import main; main()", "export", model]
    argv += ["--framework", "all", "--weights", "random", "--json"]
    done = subprocess.run(argv, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found = json.loads(done.stdout)["artifacts"]
    return {one["framework"]: Path(one["path"]) / one["model_file"] for one in found}


def compare(graphs: dict[str, Path], batch: int, rounds: int) -> dict[str, Any]:
    sessions = {name: session(path) for name, path in graphs.items()}
    feed = {"images": np.random.default_rng(0).normal(size=(batch, 3, 224, 224)).astype(np.float32)}
    for one in sessions.values():
        calls(one, feed)  # not counted
    ratios, medians = [], []
    for _ in range(rounds):
        first, second = (calls(sessions[name], feed) for name in ("pytorch", "tensorflow"))
        third, fourth = (calls(sessions[name], feed) for name in ("tensorflow", "pytorch"))
        torch, keras = statistics.median(first + fourth), statistics.median(second + third)
        ratios.append(keras / torch)
        medians.append((torch, keras))
    half = T95[rounds - 1] * statistics.stdev(ratios) / math.sqrt(rounds)
    torch_s, keras_s = (statistics.median(pair) for pair in zip(*medians, strict=True))
    return {"ratio": statistics.fmean(ratios), "half_width": half, "pytorch_s": torch_s, "tensorflow_s": keras_s}


def session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def calls(one: Any, feed: dict[str, Any]) -> list[float]:
    """Seconds of each call, for half a second or five of them."""
    seconds: list[float] = []
    while len(seconds) < CALLS or sum(seconds) < ROUND_S:
        begin = time.perf_counter()
        one.run(None, feed)
        seconds.append(time.perf_counter() - begin)
    return seconds


def told(row: dict[str, Any]) -> str:
    return (
        f"{row['model']:10} batch {row['batch']}: PyTorch {row['pytorch_s'] * 1e3:7.1f} ms, Keras "
        f"{row['tensorflow_s'] * 1e3:7.1f} ms, ratio {row['ratio']:.3f} ±{row['half_width']:.3f}, budget {BUDGET}"
    )


if __name__ == "__main__":
    sys.exit(main())
