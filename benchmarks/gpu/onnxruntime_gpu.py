"""What the timing of the onnxruntime backend gives and costs on this machine's GPU, with the machine's description.

    python benchmarks/gpu/onnxruntime_gpu.py [MODEL.onnx ...] [--batch N] [--json FILE]
    python benchmarks/gpu/onnxruntime_gpu.py --provider cpu        # tries the script where there is no GPU

Without a MODEL, 12 convolutions of tests/gpu. A model's inputs are seeded noise, its free dimensions the batch.

`cost inside` is the median of the timed interval around a backend that does nothing: what of every latency is ours.
`cost of parts` is the median latency with our streams and events less that without (parts=false), serial: below zero
where copying from pinned memory saves more than the events cost. `events / PyTorch` is one inference by our events over
the same by PyTorch's, where PyTorch is there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gpu")]

import numpy as np  # noqa: E402
from gpu_models import beside_pytorch, convolutions, job  # noqa: E402

from device_agents import inputs, measure, state  # noqa: E402
from device_agents.backends.onnxruntime import Backend  # noqa: E402
from device_agents.contract import JobSpec, LoadPattern, Precision, TensorSpec, Timing  # noqa: E402
from device_agents.errors import DeviceError  # noqa: E402
from device_agents.ort.streams import StreamRunner  # noqa: E402
from device_agents.system import System  # noqa: E402

TIMING = Timing(processes=1, warmup_cap_s=10.0, duration_s=2.0, iterations=300, cap_s=30.0)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts=false": {"parts": False},
    "nhwc": {"nhwc": True},
    "cuda_graph": {"cuda_graph": True},
    "cuda_graph nhwc": {"cuda_graph": True, "nhwc": True},
    "spin=false": {"spin": False},
}
UNTOLD = ("hostname", "clock_unix_s", "virtual_environment", "gpu_uuid", "gpu_processes")
"""What describes the moment or whose machine it is, and not the machine."""

PATTERNS = ("serial", "pipelined", "rate:30")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--provider", default="cuda", choices=("cuda", "tensorrt", "cpu"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "cost_inside_ns": cost_inside(), "models": {}}
    print_machine(report)
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.models or [made(Path(folder))]:
            spec = spec_of(path, arguments.batch)
            report["models"][path.stem] = figures(path, spec, arguments.provider)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """As the agent describes it, and the runtime."""
    kind, identity, context = state.describe(System.here())
    backend = Backend()
    version = backend.start()
    told = {name: reading.value for name, reading in {**identity, **context, **backend.facts()}.items()}
    kept = {name: value for name, value in told.items() if value is not None and name not in UNTOLD}
    return {"kind": kind, "onnxruntime": version, **kept}


def cost_inside() -> dict[str, int]:
    """Medians of the loops around nothing."""
    return {kind: measure.timer_overhead_ns(kind) for kind in ("serial", "pipelined")}


def figures(path: Path, spec: JobSpec, provider: str) -> list[dict[str, Any]]:
    rows = []
    ways = {"plain": {}} if provider == "cpu" else WAYS
    print(f"\n{path.stem}, batch {spec.batch}, {spec.precision}, provider {provider}; medians in microseconds")
    print(f"{'way':16} {'pattern':10} {'latency':>9} {'h2d':>8} {'compute':>9} {'d2h':>8} {'enqueue':>8} {'per s':>8}")
    for way, options in ways.items():
        if "nhwc" in options and provider != "cuda":
            continue
        for pattern in PATTERNS:
            row = {"way": way, "pattern": pattern}
            try:
                row.update(measured(path, spec, {"provider": provider, **options}, LoadPattern.parse(pattern)))
            except DeviceError as error:
                row["error"] = str(error)
            rows.append(row)
            print_row(row)
    plain, bare = (latency(rows, way) for way in ("plain", "parts=false"))
    if plain is not None and bare is not None:
        print(f"cost of parts: {(plain - bare) / 1e3:+.1f} us")
    return rows


def measured(path: Path, spec: JobSpec, options: dict[str, Any], pattern: LoadPattern) -> dict[str, Any]:
    job_spec = JobSpec(**{**vars(spec), "options": options, "pattern": pattern})
    backend = Backend()
    backend.start()
    try:
        backend.load(path, job_spec)
        buffers = inputs.noise(job_spec, backend.cache_bytes(), measure.slots_needed(backend, pattern))
        for slot, buffer in enumerate(buffers):
            backend.bind(buffer, slot)
        timed = measure.measure(backend, len(buffers), pattern, TIMING)
        row = {
            "latency_ns": round(statistics.median(timed.timed)),
            "per_s": len(timed.timed) * spec.batch / (timed.elapsed_ns / 1e9),
            "samples": len(timed.timed),
            **{f"{name}_ns": round(statistics.median(part)) for name, part in timed.parts.items()},
            **timed.counts,
            "switches": backend.switches(),
            "memory": backend.memory(),
        }
        if pattern.kind == "serial":
            row.update(held_against_pytorch(backend))
        return row
    finally:
        backend.close()


def held_against_pytorch(backend: Backend) -> dict[str, float]:
    """One inference by our events over the same by PyTorch's; nothing where either is not there."""
    try:
        import torch
    except ImportError:
        return {}
    runner = backend._runner  # the stream on which it computes is nobody else's to know
    if not isinstance(runner, StreamRunner) or not torch.cuda.is_available():
        return {}
    return {"events_over_pytorch": statistics.median(beside_pytorch(backend, runner._streams.compute.handle))}


def made(folder: Path) -> Path:
    path = folder / "convolutions.onnx"
    convolutions(path)
    return path


def spec_of(path: Path, batch: int) -> JobSpec:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    stored = {value.name for value in graph.initializer}
    sources = [value for value in graph.input if value.name not in stored]
    free = {dim.dim_param for value in sources for dim in value.type.tensor_type.shape.dim if dim.dim_param}

    def spec(value: Any) -> TensorSpec:
        tensor = value.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        return TensorSpec(value.name, dtype, tuple(dim.dim_value or batch for dim in tensor.shape.dim))

    tensors = {"inputs": tuple(map(spec, sources)), "outputs": tuple(map(spec, graph.output))}
    half = any(tensor.dtype == "float16" for tensor in tensors["inputs"])
    precision = Precision.FP16 if half else Precision.FP32
    return job(batch, precision=precision, free_dims=dict.fromkeys(sorted(free), batch), **tensors)


def latency(rows: list[dict[str, Any]], way: str) -> int | None:
    return next((row.get("latency_ns") for row in rows if (row["way"], row["pattern"]) == (way, "serial")), None)


def print_machine(report: dict[str, Any]) -> None:
    for name, value in report["machine"].items():
        print(f"{name}: {value}")
    print(f"cost inside the timed interval, ns: {report['cost_inside_ns']}")


def print_row(row: dict[str, Any]) -> None:
    head = f"{row['way']:16} {row['pattern']:10}"
    if "error" in row:
        print(f"{head} {row['error']}")
        return
    pairs = [(row.get(f"{name}_ns"), width) for name, width in (("h2d", 8), ("compute", 9), ("d2h", 8), ("enqueue", 8))]
    cells = [f"{'-':>{width}}" if ns is None else f"{ns / 1e3:{width}.1f}" for ns, width in pairs]
    ratio = f"   events / PyTorch {row['events_over_pytorch']:.4f}" if "events_over_pytorch" in row else ""
    print(f"{head} {row['latency_ns'] / 1e3:9.1f} {' '.join(cells)} {row['per_s']:8.1f}{ratio}")


if __name__ == "__main__":
    main()
