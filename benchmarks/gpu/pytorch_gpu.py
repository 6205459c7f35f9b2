"""Whether the figure of the pytorch backend is that of a bare loop: the same network, in turn, on this machine's GPU.

    python benchmarks/gpu/pytorch_gpu.py [--model resnet50:32] [--rounds N] [--mode eager|compile] [--json FILE]
    python benchmarks/gpu/pytorch_gpu.py --provider cpu --model resnet18:1        # tries the script without a GPU

In one process a network of torchvision with random weights in FP16 (FP32 on a processor), inputs on the GPU, in turn:

    edgebench    what a worker runs: device_agents.measure around the backend; `compute` by its CUDA events, `latency`
                 by the host's clock
    bare         `start.record(); network(x); end.record(); end.synchronize()`, and for the latency the host's clock
                 around `network(x); torch.cuda.synchronize()`

The answer is the ratio of the medians, edgebench's over the bare loop's, with its 95 % interval over the rounds. Goal:
within 0.99 to 1.01. Where enqueueing takes as long as computing, both are at the mercy of the host: `own pace` is
`compute` where the GPU sleeps first, so that the host is ahead. `not awaited` is the host's clock around `network(x)`
alone: what a loop reports that never waits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.peers_timing import agreement, order  # noqa: E402
from device_agents import inputs, measure  # noqa: E402
from device_agents.backends.pytorch import Backend  # noqa: E402
from device_agents.contract import JobSpec, LoadPattern, Network, Precision, TensorSpec, Timing  # noqa: E402
from tests.jobs import job_spec  # noqa: E402
from tests.torch_weights import save  # noqa: E402

TIMING = Timing(processes=1, warmup_cap_s=10.0, duration_s=1.0, iterations=150, cap_s=30.0)
WARM_UP_S, TIMED_S, TIMED = 1.0, 1.0, 150
LOW, HIGH = 0.99, 1.01
SIDE = 224
AHEAD_CYCLES, AHEAD = 40_000_000, 40  # some 20 ms of sleep, longer than enqueueing takes; inferences after one each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", metavar="NAME:BATCH")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--mode", default="eager", choices=("eager", "compile"))
    parser.add_argument("--provider", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    report = {}
    for word in args.model or ["resnet50:32", "vit_b_16:16"]:
        name, _, batch = word.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            report[word] = compared(name, int(batch or 1), args, Path(folder))
        print(f"{name}, batch {batch}, {args.mode} on {args.provider}:", flush=True)
        for figure, told in report[word].items():
            print(f"  {figure:12} {text(told)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


def compared(name: str, batch: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import torch
    from torchvision import models

    torch.manual_seed(0)
    half = args.provider == "cuda"
    network = models.get_model(name, weights=None).eval()
    network = network.half() if half else network
    path = save(network.state_dict(), folder, Network(("logits",), f"torchvision:{name}"))
    network = network.to(args.provider)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    bare = Bare(torch, torch.compile(network) if args.mode == "compile" else network, batch, half=half)
    ours = Ours(path, spec(batch, args))
    medians: dict[str, dict[str, list[float]]] = {"edgebench": {}, "bare": {}}
    for number in range(args.rounds):
        for side in order(number):
            whose = "edgebench" if side == "edgebench" else "bare"
            for figure, median in (ours if whose == "edgebench" else bare).medians().items():
                medians[whose].setdefault(figure, []).append(median)
    both = [figure for figure in medians["edgebench"] if figure in medians["bare"]]
    told = {
        figure: {**agreement(medians["edgebench"][figure], medians["bare"][figure], LOW, HIGH),
                 "edgebench_ns": medians["edgebench"][figure], "bare_ns": medians["bare"][figure]}
        for figure in both
    }  # fmt: skip
    return {**told, "not awaited": {"bare_ns": medians["bare"]["not awaited"]}}


class Ours:
    """A backend that stays loaded, as a worker's does."""

    def __init__(self, path: Path, its: JobSpec) -> None:
        self._backend, self._spec = Backend(), its
        self._backend.start()
        self._backend.load(path, its)
        if self._backend.compiles:
            self._backend.compile(path.parent, path.parent)
        buffers = inputs.noise(its, self._backend.cache_bytes(), 1)
        for slot, buffer in enumerate(buffers):
            self._backend.bind(buffer, slot)
        self._slots = len(buffers)

    def medians(self) -> dict[str, float]:
        timed = measure.measure(self._backend, self._slots, LoadPattern(), TIMING)
        found = {"latency": statistics.median(timed.timed)}
        if timed.parts:
            found.update({"compute": statistics.median(timed.parts["compute"]), "own pace": self._own_pace()})
        return found

    def _own_pace(self) -> float:
        import torch

        samples = []
        for _ in range(AHEAD):
            torch.cuda._sleep(AHEAD_CYCLES)
            self._backend.enqueue(0)
            self._backend.wait(0)
            parts = self._backend.parts(0)
            assert parts is not None
            samples.append(parts.compute_ns)
        return statistics.median(samples)


class Bare:
    def __init__(self, torch: Any, network: Any, batch: int, *, half: bool) -> None:
        self._torch, self._network, self._on_gpu = torch, network, half
        device = "cuda" if half else "cpu"
        self._x = torch.rand(batch, 3, SIDE, SIDE, device=device, dtype=torch.float16 if half else torch.float32)
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if half else []

    def medians(self) -> dict[str, float]:
        with self._torch.inference_mode():
            found = {"latency": self._median(self._awaited), "not awaited": self._median(self._not_awaited)}
            if self._on_gpu:
                found["compute"] = self._median(self._by_events)
                found["own pace"] = statistics.median(self._by_events(ahead=True) for _ in range(AHEAD))
            return found

    def _median(self, once: Callable[[], float]) -> float:
        end = time.perf_counter() + WARM_UP_S
        while time.perf_counter() < end:
            self._awaited()
        samples: list[float] = []
        end = time.perf_counter() + TIMED_S
        while time.perf_counter() < end or len(samples) < TIMED:
            samples.append(once())
        self._wait()
        return statistics.median(samples)

    def _awaited(self) -> float:
        begin = time.perf_counter_ns()
        self._network(self._x)
        self._wait()
        return time.perf_counter_ns() - begin

    def _not_awaited(self) -> float:
        begin = time.perf_counter_ns()
        self._network(self._x)
        return time.perf_counter_ns() - begin

    def _by_events(self, *, ahead: bool = False) -> float:
        start, end = self._events
        if ahead:
            self._torch.cuda._sleep(AHEAD_CYCLES)
        start.record()
        self._network(self._x)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e6

    def _wait(self) -> None:
        if self._on_gpu:
            self._torch.cuda.synchronize()


def spec(batch: int, args: argparse.Namespace) -> JobSpec:
    dtype = "float16" if args.provider == "cuda" else "float32"
    return job_spec(
        backend="pytorch", precision=Precision.FP16 if args.provider == "cuda" else Precision.FP32, batch=batch,
        inputs=(TensorSpec("images", dtype, (batch, 3, SIDE, SIDE)),),
        outputs=(TensorSpec("logits", dtype, (batch, 1000)),), transfers=False,
        options={"provider": args.provider, "mode": args.mode},
    )  # fmt: skip


def text(told: dict[str, Any]) -> str:
    bare = f"bare {statistics.median(told['bare_ns']) / 1e6:.3f} ms"
    if "ratio" not in told:
        return bare
    return (
        f"edgebench {statistics.median(told['edgebench_ns']) / 1e6:.3f} ms, {bare}: {told['ratio']:.4f}, "
        f"95 % interval {told['low']:.4f} to {told['high']:.4f}; goal {LOW} to {HIGH}: "
        f"{'holds' if told['holds'] else 'does not hold'}"
    )


if __name__ == "__main__":
    main()
