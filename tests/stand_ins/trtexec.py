"""A stand-in for NVIDIA's trtexec: its options, refusals, defaults and files, of the version that is asked for; no GPU.

Which options each version knows is taken from NVIDIA's sources and logs (see device_agents/formats/trtexec_command.py).
An "ONNX file" is JSON: {"inputs": {name: [dims, a word where free]}, "outputs": {...}, "operators": [...]}. An "engine"
is that behind a line with the version; one of the scripted TensorRT's is timed without a look at it. Each output's
sample is the mean of the inputs' sample plus 0, 1, 2 ... It shows that command lines are right and files are read
right, and says nothing of speed.

STAND_IN_TRTEXEC_VERSION is the version (10.3.0); STAND_IN_TRTEXEC_FAILS makes it fail: memory, killed, hangs, silent,
cut, no_graph, no_engine, no_profile, no_summary, warm_trace (the trace holds the warm-up, too), half_cache (killed as
it writes one), stranger (a layer of the profile alone); STAND_IN_TRTEXEC_LOG is a file that gets a line of JSON, the
argv, for each call, and beside it FILE.pid the process.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import struct
import sys
import time
from pathlib import Path
from typing import Any

VERSION = tuple(int(part) for part in os.environ.get("STAND_IN_TRTEXEC_VERSION", "10.3.0").split("."))
FAILS = os.environ.get("STAND_IN_TRTEXEC_FAILS", "")
OLD, NEW = VERSION < (10,), VERSION >= (11,)

ALWAYS = (
    "onnx saveEngine loadEngine minShapes optShapes maxShapes shapes memPoolSize timingCacheFile noTF32 device "
    "profilingVerbosity avgTiming preview useDLACore allowGPUFallback iterations duration warmUp sleepTime idleTime "
    "exposeDMA noDataTransfers useSpinWait useCudaGraph separateProfileRun loadInputs avgRuns percentile dumpProfile "
    "exportTimes exportOutput exportProfile exportLayerInfo streams verbose help"
)
SINCE_8_6 = "builderOptimizationLevel hardwareCompatibilityLevel versionCompatible skipInference"
SINCE_10 = "infStreams stronglyTyped profile useProfile"
UNTIL_8_6 = "buildOnly workspace"
UNTIL_10 = "fp16 int8"
SINCE_11 = "includeDataTransfers noSpinWait noCudaGraph"
BUILDING = ("onnx", "saveEngine", "minShapes", "fp16", "int8", "stronglyTyped", "memPoolSize", "timingCacheFile")


def known() -> set[str]:
    groups = [
        (ALWAYS, True), (SINCE_8_6, VERSION >= (8, 6)), (SINCE_10, not OLD), (UNTIL_8_6, OLD), (UNTIL_10, not NEW),
        (SINCE_11, NEW),
    ]  # fmt: skip
    return {word for words, there in groups if there for word in words.split()}


def main(argv: list[str]) -> int:
    note(argv)
    print(f"&&&& RUNNING {banner()} # {' '.join(argv)}", flush=True)
    options: dict[str, str] = {}
    repeated: list[tuple[str, str]] = []
    for word in argv[1:]:
        name, _, value = word.partition("=")
        options[name.lstrip("-")] = value
        repeated.append((name.lstrip("-"), value))
    if "help" in options:
        print("=== Model Options ===\n  --onnx=<file>               ONNX model")
        return 0
    try:
        unknown = [name for name in options if name not in known()]
        for name in unknown:
            log("E", f"Unknown option: --{name} {options[name]}")
        if not unknown:
            work(options)
    except Refused as refused:
        for line in str(refused).split("\n"):
            log("E", line)
        return verdict(argv, passed=False)
    return verdict(argv, passed=not unknown)


class Refused(Exception):
    """What the real one says before it fails; a line each."""


def work(options: dict[str, str]) -> None:
    if bool("onnx" in options) == bool("loadEngine" in options):
        raise Refused("Model missing or format not recognized")
    if "stronglyTyped" in options and {"fp16", "int8"} & set(options):
        raise Refused("Error Code 4: API Usage Error (precision flags are set and the network is strongly typed)")
    if "loadEngine" in options and set(options) & set(BUILDING):
        raise Refused("Incompatible load and save engine options selected")
    log("I", "=== Model Options ===")
    log("I", f"Model: {options.get('onnx', '')}")
    settings = inference_options(options)
    log("I", f"TensorRT version: {'.'.join(map(str, VERSION[:3]))}")
    trouble()
    model = build(options) if "onnx" in options else load(Path(options["loadEngine"]), options)
    if "buildOnly" in options or "skipInference" in options:
        export_layers(options, model)
        log("I", "Skipped inference phase since --skipInference is added.")
        return
    infer(options, settings, model)


def inference_options(options: dict[str, str]) -> dict[str, Any]:
    """The defaults of each version, turned by its own words."""
    settings: dict[str, Any] = {
        "streams": int(options.get("infStreams", options.get("streams", "1"))),
        "serial": "exposeDMA" in options,
        "transfers": "includeDataTransfers" in options if NEW else "noDataTransfers" not in options,
        "spin": "noSpinWait" not in options if NEW else "useSpinWait" in options,
        "graph": "noCudaGraph" not in options if NEW else "useCudaGraph" in options,
    }
    word = {True: "Enabled", False: "Disabled"}
    log("I", "=== Inference Options ===")
    log("I", f"Iterations: {options.get('iterations', '10')}")
    log("I", f"Duration: {options.get('duration', '3')}s (+ {options.get('warmUp', '200')}ms warm up)")
    log("I", f"{'Streams' if VERSION < (8, 6) else 'Inference Streams'}: {settings['streams']}")
    log("I", f"ExposeDMA: {word[settings['serial']]}")
    log("I", f"Data transfers: {word[settings['transfers']]}")
    log("I", f"Spin-wait: {word[settings['spin']]}")
    log("I", f"CUDA Graph: {word[settings['graph']]}")
    log("I", "=== Device Information ===")
    log("I", "Selected Device: Orin")
    log("I", "Compute Capability: 8.7")
    return settings


def build(options: dict[str, str]) -> dict[str, Any]:
    model: dict[str, Any] = json.loads(Path(options["onnx"]).read_text())
    if "NonZero2" in model.get("operators", ()):
        raise Refused(
            '[TRT] ModelImporter.cpp:726: While parsing node number 3 [NonZero2 -> "found"]:\n'
            "[TRT] ModelImporter.cpp:732: ERROR: builtin_op_importers.cpp:5428 In function importFallback:\n"
            'Assertion failed: creator && "Plugin not found, are the plugin name, version, and namespace correct?"\n'
            "Failed to parse onnx file\nParsing model failed\nEngine set up failed"
        )
    free = {name for name, dims in model["inputs"].items() if any(isinstance(dim, str) for dim in dims)}
    given = {bound: shapes_of(options.get(f"{bound}Shapes", "")) for bound in ("min", "opt", "max")}
    preview = options.get("preview", "")
    if "profileSharing0806" in preview and (NEW or VERSION < (8, 6)):
        raise Refused("Unknown preview feature: profileSharing0806")
    if given["opt"] and not free:
        raise Refused(
            "Static model does not take explicit shapes since the shape of inference tensors will be determined by "
            "the model itself"
        )
    if set(given["min"]) != free or set(given["max"]) != free:
        raise Refused(f"dynamic input(s) without an optimization profile: {sorted(free)}")
    model["built"] = {**given, "detailed": options.get("profilingVerbosity"), "shared": preview}
    model["half"] = "fp16" in options or "float16" in str(model.get("types"))
    if "timingCacheFile" in options:
        cache = Path(options["timingCacheFile"])
        before = cache.read_bytes() if cache.exists() else b""
        cache.write_bytes(before[:3] if FAILS == "half_cache" else before + b"timings")
        if FAILS == "half_cache":
            os.kill(os.getpid(), signal.SIGKILL)
    if "saveEngine" in options and FAILS != "no_engine":
        Path(options["saveEngine"]).write_text(f"engine of {VERSION}\n{json.dumps(model)}")
    log("I", "Engine built in 1.5 sec.")
    return model


def load(path: Path, options: dict[str, str]) -> dict[str, Any]:
    if path.read_bytes().startswith(b"SCRIPTED"):  # by the scripted TensorRT, whose shapes it does not read
        given = shapes_of(options.get("shapes", ""))
        free = {name: ["batch", *dims[1:]] for name, dims in given.items()}
        log("I", "Engine deserialized in 0.25 sec.")
        return {"inputs": free, "outputs": {}, "built": {"min": given, "max": given}, "foreign": True}
    made, _, content = path.read_text().partition("\n")
    if not made.startswith("engine of"):
        raise Refused(
            "[TRT] 1: Serialization (magicTagRead == kMAGIC_TAG failed. Magic tag does not match)\nEngine set up failed"
        )
    if made != f"engine of {VERSION}":
        raise Refused(
            "[TRT] 6: The engine plan file is not compatible with this version of TensorRT, expecting library version "
            f"{VERSION} got {made}, please rebuild.\nFailed to create engine from model or file.\nEngine set up failed"
        )
    log("I", "Engine deserialized in 0.25 sec.")
    log("I", "Created execution context with device memory size: 2.5 MiB")
    model: dict[str, Any] = json.loads(content)
    return model


def infer(options: dict[str, str], settings: dict[str, Any], model: dict[str, Any]) -> None:
    batch = batch_of(options, model)
    if OLD and settings["streams"] > 1 and shapes_of(options.get("shapes", "")) and not model["built"].get("shared"):
        raise Refused("Set optimization profile failed.\nInference set up failed")
    values = inputs_of(options, model, batch)
    if settings["graph"] and FAILS == "no_graph":
        log("W", "The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode.")
        log("W", "The specified --useCudaGraph flag has been ignored.")
    count = max(int(options.get("iterations", "10")), round(float(options.get("duration", "3")) * 250))
    profiled = "exportProfile" in options or "dumpProfile" in options
    if not profiled or NEW or "separateProfileRun" in options:
        rows = trace(settings, count, float(options.get("warmUp", "200")))
        export_times(options, settings, rows)
        if FAILS != "no_summary":
            summary(rows)
    export_output(options, model, batch, values)
    export_layers(options, model)
    if "exportProfile" in options and FAILS != "no_profile":
        rows = [
            f', {{ "name" : "{name}", "timeMs" : 5, "averageMs" : 0.{tenths}, "medianMs" : 0.1, "percentage" : 50 }}'
            for tenths, name in enumerate((*layers_of(model), *(["stranger"] * (FAILS == "stranger"))), 1)
        ]
        write(options["exportProfile"], '[\n  { "count" : 50 }\n' + "\n".join(rows) + "\n]\n")


def batch_of(options: dict[str, str], model: dict[str, Any]) -> int:
    given = shapes_of(options.get("shapes", ""))
    for name, dims in model["inputs"].items():
        free = any(isinstance(dim, str) for dim in dims)
        if free != (name in given):
            raise Refused(f"input {name!r}: shapes go with free dimensions, and with those alone")
    if not given:
        return int(next(iter(model["inputs"].values()))[0])
    for name, dims in given.items():
        low, high = model["built"]["min"][name], model["built"]["max"][name]
        if not all(least <= dim <= most for least, dim, most in zip(low, dims, high, strict=True)):
            raise Refused(f"Supplied shape of {name} does not satisfy any optimization profiles")
    return next(iter(given.values()))[0]


def inputs_of(options: dict[str, str], model: dict[str, Any], batch: int) -> list[float]:
    """A number a sample: the mean of all inputs."""
    sums = [0.0] * batch
    files = dict(pair.rsplit(":", 1) for pair in options.get("loadInputs", "").split(",") if pair)
    for name, dims in model["inputs"].items():
        size = math.prod(dim for dim in dims[1:])
        if name not in files or "foreign" in model:
            continue
        data = Path(files[name]).read_bytes()
        width = 2 if "float16" in str(model.get("types")) else 4
        if len(data) != width * size * batch:
            raise Refused(f"Error reading file {files[name]}: {len(data)} bytes, not {width * size * batch}")
        numbers = struct.unpack(f"<{size * batch}{'e' if width == 2 else 'f'}", data)
        for sample in range(batch):
            sums[sample] += sum(numbers[sample * size : (sample + 1) * size]) / size
    return sums


def trace(settings: dict[str, Any], count: int, begin: float) -> list[dict[str, float]]:
    """An inference of some 3 ms every 4 ms."""
    rows: list[dict[str, float]] = []
    moved = 0.05 if settings["transfers"] else 0.0
    for index in range(count):
        compute, begin = 3.0 + index % 7 / 100, begin + 4.0
        rows.append({
            "startEnqMs": begin, "endEnqMs": begin + 0.9, "startH2dMs": begin, "endH2dMs": begin + moved,
            "startComputeMs": begin + moved, "endComputeMs": begin + moved + compute,
            "startD2hMs": begin + moved + compute, "endD2hMs": begin + 2 * moved + compute,
            "h2dMs": moved, "computeMs": compute, "d2hMs": moved, "latencyMs": compute + 2 * moved,
        })  # fmt: skip
    return rows


def export_times(options: dict[str, str], settings: dict[str, Any], rows: list[dict[str, float]]) -> None:
    if "exportTimes" not in options:
        return
    warm = trace(settings, len(rows), 0.0) if FAILS == "warm_trace" else []
    lines = [
        "{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in row.items()) + " }" for row in (*warm, *rows)
    ]
    text = "[\n  " + "\n, ".join(lines) + "\n]\n"
    write(options["exportTimes"], text[: len(text) // 2] if FAILS == "cut" else text)


def export_output(options: dict[str, str], model: dict[str, Any], batch: int, values: list[float]) -> None:
    if "exportOutput" not in options:
        return
    rows = []
    for name, dims in model["outputs"].items():
        width = math.prod(dims[1:])
        numbers = [f"{values[sample] + offset:.6g}" for sample in range(batch) for offset in range(width)]
        shape = "x".join(str(dim) for dim in (batch, *dims[1:]))
        rows.append(
            f'{{ "name" : "{name}"\n  , "dimensions" : "{shape}"\n  , "values" : [ {", ".join(numbers)} ]\n  }}'
        )
    write(options["exportOutput"], "[\n  " + "\n, ".join(rows) + "\n]\n")


def layers_of(model: dict[str, Any]) -> list[str]:
    return ["Reformatting CopyNode for Input Tensor 0 to /conv/Conv", "/conv/Conv + /relu/Relu"]


def export_layers(options: dict[str, str], model: dict[str, Any]) -> None:
    if "exportLayerInfo" not in options:
        return
    copy, conv = layers_of(model)
    kind = "Half" if model["half"] else "Float"
    one = {True: "Row major linear FP16 format", False: "Row major linear FP32"}[model["half"]]
    form = {"Format": one, "DataType": kind} if NEW else {"Format/Datatype": one}
    sides = {side: [{"Name": "t", **form}] for side in ("Inputs", "Outputs")}
    detailed: list[Any] = [
        {"Name": copy, "LayerType": "Reformat", **sides, "Metadata": ""},
        {"Name": conv, "LayerType": "CaskConvolution", **sides,
         "Metadata": "[ONNX Layer: /conv/Conv]\x1e[ONNX Layer: /relu/Relu]"},
    ]  # fmt: skip
    names = [*model["inputs"], *model["outputs"]]
    io = {"I/O Tensors": [{"Name": name} for name in names]} if NEW else {"Bindings": names}
    found = detailed if model["built"]["detailed"] == "detailed" else [copy, conv]
    write(options["exportLayerInfo"], json.dumps({"Layers": found, **io}))


def summary(rows: list[dict[str, float]]) -> None:
    metrics = {
        "Latency": "latencyMs", "Enqueue Time": "", "H2D Latency": "h2dMs", "GPU Compute Time": "computeMs",
        "D2H Latency": "d2hMs",
    }  # fmt: skip
    walltime_s = (rows[-1]["endD2hMs"] - rows[0]["startH2dMs"]) / 1e3
    log("I", "=== Performance summary ===")
    log("I", f"Throughput: {len(rows) / walltime_s:g} qps")
    for metric, key in metrics.items():
        found = sorted(row.get(key, 0.9) for row in rows)
        figures = {
            "min": found[0],
            "max": found[-1],
            "mean": statistics.mean(found),
            "median": statistics.median(found),
        }
        told = [f"{name} = {value:g} ms" for name, value in figures.items()]
        log("I", f"{metric}: {', '.join(told)}, percentile(90%) = {found[len(found) * 9 // 10]:g} ms")
    log("I", f"Total Host Walltime: {walltime_s:g} s")
    log("W", "* GPU compute time is unstable, with coefficient of variance = 4.60091%.")


def trouble() -> None:
    if FAILS == "memory":
        raise Refused(
            "Error[1]: [defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)\n"
            "Engine set up failed"
        )
    if FAILS == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if FAILS == "hangs":
        time.sleep(600)
    if FAILS == "silent":
        sys.exit(3)


def shapes_of(text: str) -> dict[str, list[int]]:
    pairs = (pair.rsplit(":", 1) for pair in text.split(",") if pair)
    return {name: [int(dim) for dim in dims.split("x")] for name, dims in pairs}


def banner() -> str:
    number = VERSION[0] * (10_000 if VERSION[0] >= 10 else 1_000) + VERSION[1] * 100 + VERSION[2]
    build = f" [b{VERSION[3]}]" if len(VERSION) > 3 else ""
    return f"TensorRT.trtexec [TensorRT v{number}]{build}"


def verdict(argv: list[str], *, passed: bool) -> int:
    print(f"&&&& {'PASSED' if passed else 'FAILED'} {banner()} # {' '.join(argv)}")
    return 0 if passed else 1


def log(severity: str, message: str) -> None:
    print(f"[08/12/2026-12:34:56] [{severity}] {message}", flush=True)


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def note(argv: list[str]) -> None:
    path = os.environ.get("STAND_IN_TRTEXEC_LOG")
    if path:
        Path(f"{path}.pid").write_text(str(os.getpid()))
        with Path(path).open("a") as stream:
            stream.write(json.dumps(argv[1:]) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
