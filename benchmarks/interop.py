"""Whether other tools read what we write for them, and we what they write: the tools themselves are asked.

    python benchmarks/interop.py [--cache DIRECTORY] [--json]

optimum-benchmark loads our file, and its own statistics of the values must be ours to 1e-9. It then times a small
network of random weights, whose figures must come out of our import unchanged. mlperf_logging parses our LoadGen lines.
trace_processor of Perfetto is not asked: it is a program that its package downloads.

Both are installed from PyPI into a virtual environment below --cache when they are not there yet; PyTorch is this
interpreter's own, as it is gigabytes. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge.results.interop import writer  # noqa: E402
from edge.results.interop.importing import Asked, measurement_of  # noqa: E402
from edge.results.stats import percentile, summarise  # noqa: E402
from tests.interop_lab import given  # noqa: E402

PATIENCE_S = 900
# optimum-benchmark 0.6.0 says no upper bounds, and does not start with what is newer
PACKAGES = ("transformers<5", "datasets<5", "huggingface_hub<1", "flatten_dict", "hydra-core", "omegaconf", "psutil",
            "pandas", "mlperf-logging")  # fmt: skip
BARE = ("optimum-benchmark==0.6.0", "accelerate", "colorlog")  # these ask for PyTorch, which is borrowed

LOADS = """\
import json, sys
from optimum_benchmark import Benchmark
from optimum_benchmark.trackers.latency import Latency

report = Benchmark.from_json(sys.argv[1]).report
again = Latency.from_values(report.forward.latency.values, "s")
names = ("count", "total", "mean", "p50", "p90", "p95", "p99", "stdev", "stdev_")
print(json.dumps({name: [float(getattr(one, name)) for one in (report.forward.latency, again)] for name in names}))
"""

RUNS = """\
import sys
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, InlineConfig, PyTorchConfig
from transformers import ViTConfig, ViTForImageClassification

if __name__ == "__main__":
    small = ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32)
    ViTForImageClassification(small).save_pretrained("vit")
    config = BenchmarkConfig(
        name="small", launcher=InlineConfig(),
        scenario=InferenceConfig(memory=True, duration=1, iterations=20, input_shapes={"batch_size": 2}),
        backend=PyTorchConfig(
            model="vit", device="cpu", torch_dtype="float32", task="image-classification", library="transformers",
            model_type="vit",
        ),
    )
    Benchmark(config=config, report=Benchmark.launch(config)).save_json(sys.argv[1])
"""

PARSES = """\
import json, sys
from mlperf_logging.compliance_checker.mlp_parser import parse_file

lines, errors = parse_file(sys.argv[1], ruleset="5.1.0")
print(json.dumps({"errors": errors, "facts": {line.key: line.value["value"] for line in lines}}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "edgebench-benchmarks" / "interop")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    python = installed(arguments.cache)
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="ebinterop-") as name:
        checks: dict[str, Callable[[Path, Path], list[str]]] = {
            "optimum-benchmark reads ours": optimum_reads_ours,
            "ours reads optimum-benchmark": ours_reads_optimum,
            "mlperf_logging reads ours": mlperf_reads_ours,
        }
        for what, check in checks.items():
            found[what] = check(python, Path(name))
    print(json.dumps(found) if arguments.json else told(found))
    return 1 if any(found.values()) else 0


def installed(cache: Path) -> Path:
    """The interpreter of an environment with the peers, which is made when there is none."""
    python = cache / "bin" / "python"
    if not (cache / "complete").exists():
        print(f"installing {', '.join((*BARE, *PACKAGES))} from PyPI into {cache}", file=sys.stderr)
        shutil.rmtree(cache, ignore_errors=True)
        venv.create(cache, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        call([*pip, *PACKAGES])
        call([*pip, "--no-deps", *BARE])
        borrowed = next(cache.glob("lib/python*/site-packages")) / "borrowed.pth"
        borrowed.write_text(sysconfig.get_path("purelib") + "\n")
        (cache / "complete").touch()
    return python


def optimum_reads_ours(python: Path, folder: Path) -> list[str]:
    """What differs, a sentence each."""
    path = folder / "ours.json"
    path.write_bytes(writer("optimum-benchmark")([given()]))
    found: dict[str, list[float]] = json.loads(call([str(python), "-c", LOADS, str(path)], folder).splitlines()[-1])
    return [f"{name}: {ours}, not {theirs}" for name, (ours, theirs) in found.items() if not alike(ours, theirs)]


def ours_reads_optimum(python: Path, folder: Path) -> list[str]:
    path = folder / "theirs.json"
    call([str(python), "-c", RUNS, str(path)], folder)
    measurement, samples = measurement_of(path, "optimum-benchmark", Asked("here"))
    import numpy as np

    values = np.frombuffer(samples, dtype="<i8")
    summary = summarise(measurement.result, values, measurement.cell.batch)
    report = json.loads(path.read_text())["report"]
    latency, cell = report["forward"]["latency"], measurement.cell
    pairs: dict[str, tuple[Any, Any]] = {
        "count": (summary.samples, latency["count"]),
        "mean": (summary.mean_ns, latency["mean"] * 1e9),
        "throughput": (summary.throughput_per_s, report["forward"]["throughput"]["value"]),
        "load": (summary.load_ns, report["load_model"]["latency"]["mean"] * 1e9),
        "first inference": (summary.first_inference_ns, report["first_forward"]["latency"]["mean"] * 1e9),
    }
    differing = [f"{name}: {ours}, not {theirs}" for name, (ours, theirs) in pairs.items() if not alike(ours, theirs)]
    request = (cell.model, cell.framework, cell.batch, str(cell.precision))
    return differing + ([] if request == ("vit", "pytorch", 2, "fp32") else [f"the request: {request}"])


def mlperf_reads_ours(python: Path, folder: Path) -> list[str]:
    path, one = folder / "mlperf_log_detail.txt", given()
    path.write_bytes(writer("loadgen")([one]))
    found = json.loads(call([str(python), "-c", PARSES, str(path)], folder).splitlines()[-1])
    p99 = found["facts"].get("result_99.00_percentile_latency_ns")
    differing = [] if p99 == percentile(one.timed(), 99.0) else [f"p99: {p99}"]
    return differing + [f"not parsed: {error}" for error in found["errors"]]


def alike(ours: float, theirs: float) -> bool:
    """To 1e-9 of the value, and to a nanosecond where it is of latencies: each was rounded to one."""
    return abs(ours - theirs) <= max(1e-9 * abs(theirs), 1.0 if theirs > 1e3 else 0.0)


def call(argv: list[str], folder: Path | None = None) -> str:
    quiet = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "USE_TF": "0"}
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode:
        sys.exit(f"{argv[0]} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def told(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{what}: {'; '.join(differing) or 'the same figures'}" for what, differing in found.items())


if __name__ == "__main__":
    sys.exit(main())
