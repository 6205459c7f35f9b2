"""From what an operator wants to a request that can be named by a hash, or a refusal before any work."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from device_agents.contract import Dim, DimRange, Precision
from export import native
from export.artifact import Format, sha256_file
from export.graph.files import data_files
from export.models import ONNX, ModelRef, frameworks_of, missing, takes_one_size
from export.request import RANDOM, ExportRequest, Form, uncalibrated
from profiles.errors import ConfigError
from profiles.load import unknown
from profiles.schema import TASKS

DEFAULT_OPSET = 18
"""The highest that every exporter writes. TensorRT 8.5 and 8.6 read 17 at most."""

MAX_BATCH = 4096
MAX_SIDE = 8192

HEADS = ("full", "raw")
KERAS_LAYERS = ("keep", "strip")
PIXELS = ("float", "uint8")
IO = ("model", "fp32")
FP16_METHODS = ("auto", "native", "convert", "autocast")

OWN_WEIGHTS = "own"
"""Those that a factory gives its model."""


@dataclass(frozen=True, kw_only=True)
class Options(Form):
    """How an artifact is made, beside framework, precision, batch, weights and opset: see Form and ExportRequest, whose
    words these are. Paths are the operator's: `calibrate` ("random" or a folder of images or an .npz), `images`
    (checked as the golden ones are), `reference` (inputs and outputs of a model that was made elsewhere), `labels` (a
    line each). `skip_unreadable` passes over images that cannot be read, and says so."""

    io: str = "model"
    fp16_method: str = "auto"
    calibrate: str | None = None
    images: Path | None = None
    reference: Path | None = None
    labels: Path | None = None
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        words = {
            "--head": (self.head, HEADS),
            "--keras-preprocessing": (self.keras_layers, KERAS_LAYERS),
            "--io": (self.io, IO),
            "--fp16-method": (self.fp16_method, FP16_METHODS),
            "--task": (self.task or TASKS[0], TASKS),
        }
        for option, (word, allowed) in words.items():
            if word not in allowed:
                raise unknown("value", word, allowed, where=option)


DEFAULTS = Options()


def make_request(
    ref: ModelRef,
    framework: str,
    precision: Precision,
    batch: Dim,
    weights: str,
    *,
    opset: int | None = None,
    bounds: tuple[DimRange, ...] = (),
    options: Options = DEFAULTS,
    form: Format = Format.ONNX,
) -> ExportRequest:
    """The request. Errors: ConfigError for what cannot be meant, whatever the model turns out to be."""
    if framework not in frameworks_of(ref):
        raise unknown("framework", framework, frameworks_of(ref), where=ref.name)
    if batch != "dynamic" and not (isinstance(batch, int) and 1 <= batch <= MAX_BATCH):
        raise ConfigError(f"batch {batch!r} is neither 'dynamic' nor a number from 1 to {MAX_BATCH}", where=ref.name)
    _check_bounds(ref, batch, bounds)
    _refuse_unread(ref, options)
    if any(side.min < side.max for side in options.size or ()):
        refuse_sizes(ref)
    if form is not Format.ONNX:
        native.refuse(ref, framework, precision, form)
        _refuse_graphs_form(ref, framework, bounds, options)
    if opset is not None and ref.kind != ONNX:
        _check_opset(ref, framework, opset)
    content = content_of(ref)
    named, path = _weights(ref, weights, content)
    request = ExportRequest(
        model=content or ref.name,
        framework=framework,
        precision=precision,
        batch=batch,
        weights=named,
        format=form,
        opset=opset or (0 if ref.kind == ONNX else DEFAULT_OPSET),
        bounds=bounds,
        weights_path=path,
        **options.form(),
    )
    return _with_files(_at_precision(request, ref, options), options)


def _at_precision(request: ExportRequest, ref: ModelRef, options: Options) -> ExportRequest:
    """What only one precision has. An FP32 graph is the same whatever an FP16 one would have been made by."""
    if request.precision is Precision.FP16:
        if options.fp16_method == "native" and request.framework != "pytorch":
            message = f"{request.framework} has no FP16 of its own that becomes a graph"
            raise ConfigError(message, where="--fp16-method", fix="use auto, convert or autocast")
        if options.fp16_method == "native" and options.io != "model":
            message = "PyTorch's own FP16 takes and gives FP16"
            raise ConfigError(message, where="--io", fix="leave it out, or use --fp16-method convert")
        return replace(request, io=options.io, fp16_method=options.fp16_method)
    if options.fp16_method != "auto":
        raise ConfigError("it is for --precision fp16", where="--fp16-method")
    if request.precision is Precision.FP32:
        return request
    if options.calibrate is None:
        if ref.kind == ONNX:  # it may be INT8 already, which its graph tells
            return replace(request, io=options.io)
        raise uncalibrated(ref.name)
    if options.calibrate == RANDOM:
        return replace(request, calibration=RANDOM, io=options.io)
    path = Path(options.calibrate).expanduser()
    found = _data(path, "--calibrate")
    return replace(request, calibration=found, calibration_path=path.resolve(), io=options.io)


def _with_files(request: ExportRequest, options: Options) -> ExportRequest:
    if options.images is not None:
        path = options.images.expanduser()
        request = replace(request, images=_data(path, "--images"), images_path=path.resolve())
    if options.reference is not None:
        if request.framework != ONNX:
            fix = "leave it out: the framework itself is the reference"
            raise ConfigError("it is for .onnx files", where="--reference", fix=fix)
        path = options.reference.expanduser()
        request = replace(request, reference=fingerprint(path, "--reference"), reference_path=path.resolve())
    if options.labels is not None:
        path = options.labels.expanduser()
        request = replace(request, labels=_text(path, "--labels"), labels_path=path.resolve())
    return request


def _data(path: Path, where: str) -> str:
    """Hash of a folder of images or an .npz. Errors: ConfigError for what is neither."""
    from export.data import images

    if path.is_dir():
        images.find(path)
    elif path.is_file() and not zipfile.is_zipfile(path):
        fix = "name the folder, or save arrays with np.savez"
        raise ConfigError("neither a folder of images nor an .npz", where=f"{where} {path}", fix=fix)
    return fingerprint(path, where)


def _text(path: Path, where: str) -> str:
    """Hash of a text file. Errors: ConfigError for what is none."""
    found = fingerprint(path, where)
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError("no text file with a label a line", where=f"{where} {path}") from None
    return found


def content_of(ref: ModelRef) -> str | None:
    """ "sha256:<hex>" of a user's file or folder, and of the weights beside an .onnx; of a factory, its name and a hash
    of its module and of where that is, as modules beside it are a part of the model; else None. Errors: ConfigError
    when it cannot be read."""
    if ref.path is None:
        return None
    found = fingerprint(ref.path, "MODEL")
    if ref.kind == ONNX:
        beside = [sha256_file(path) for path in data_files(ref.path)]
        if beside:
            found = hashlib.sha256("".join([found, *beside]).encode()).hexdigest()
    if ref.factory:
        return f"{ref.factory}@{hashlib.sha256(f'{found} {ref.path}'.encode()).hexdigest()}"
    return f"sha256:{found}"


def _weights(ref: ModelRef, weights: str, content: str | None) -> tuple[str, Path | None]:
    """(weights as a request names them, their file)."""
    if ref.kind not in ("profile", "factory"):
        if weights not in ("pretrained", RANDOM, OWN_WEIGHTS) and not weights.startswith("sha256:"):
            raise ConfigError("the file has weights of its own", where=f"{ref.name}, --weights", fix="leave it out")
        return content or "", None
    if ref.kind == "factory":
        if weights == RANDOM:
            fix = "leave --weights out, or name a file"
            raise ConfigError("a factory makes its own weights", where=ref.name, fix=fix)
        if weights in ("pretrained", OWN_WEIGHTS):
            return OWN_WEIGHTS, None
    elif weights in ("pretrained", RANDOM):
        return weights, None
    path = Path(weights).expanduser()
    if not path.is_file():
        fix = "--weights takes pretrained, random or the path of a file"
        raise ConfigError("no such weights file", where=weights, fix=fix)
    return f"sha256:{sha256_file(path)}", path.resolve()


def fingerprint(path: Path, where: str) -> str:
    """SHA-256 (hex) of a file, or of the names and contents of everything in a folder. Errors: ConfigError."""
    try:
        if not path.is_dir():
            return sha256_file(path)
        digest = hashlib.sha256()
        for file in sorted(one for one in path.rglob("*") if one.is_file()):
            digest.update(f"{file.relative_to(path)}\0{sha256_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=f"{where} {path}") from None


def _check_bounds(ref: ModelRef, batch: Dim, bounds: tuple[DimRange, ...]) -> None:
    if bounds and batch != "dynamic":
        fix = "leave --bounds out, or use --batch dynamic"
        raise ConfigError(f"the batch is fixed to {batch}: there is nothing to bound", where=ref.name, fix=fix)
    high = max((one.max for one in bounds), default=0)
    if high > MAX_BATCH:
        raise ConfigError(f"a batch of {high} is over {MAX_BATCH}", where=ref.name)


def refuse_sizes(ref: ModelRef) -> None:
    """Errors: ConfigError for a model that is known to take images of one size alone."""
    if takes_one_size(ref):
        message = "it has positions for the patches of one size, and takes images of no other"
        raise ConfigError(message, where=ref.name, fix="take a convolutional network, or one size: --size 224")


def _refuse_unread(ref: ModelRef, options: Options) -> None:
    """Errors: ConfigError for what the operator says of inputs where the model says it itself, and is believed."""
    if options.declared and ref.kind in ("profile", "pt2"):
        raise ConfigError("it says its inputs itself", where=ref.name, fix="leave --input out")
    if ref.kind == ONNX and (options.head != "full" or options.keras_layers != "keep"):
        raise ConfigError("an .onnx file has the head and the layers that it has", where=ref.name,
                          fix="leave --head and --keras-preprocessing out")  # fmt: skip
    if (options.mean or options.std) and ref.kind == "profile":
        fix = "leave --mean and --std out"
        raise ConfigError("its profile says how pixels are normalised", where=ref.name, fix=fix)


def _refuse_graphs_form(ref: ModelRef, framework: str, bounds: tuple[DimRange, ...], options: Options) -> None:
    """Errors: ConfigError for what only a graph can be made like."""
    if bounds or (options.pixels, options.io, options.fp16_method) != ("float", "model", "auto"):
        message = f"{framework} runs its network as it is: normalised images, in one precision"
        fix = "leave out --preprocess, --io, --fp16-method and --bounds"
        raise ConfigError(message, where=ref.name, fix=fix)


def _check_opset(ref: ModelRef, framework: str, opset: int) -> None:
    """Errors: ConfigError for an opset that the framework's exporter does not write."""
    can = opsets(framework)
    if opset not in can:
        message = f"opset {opset} cannot be written from {framework}"
        raise ConfigError(message, where=ref.name, fix=f"use one from {can[0]} to {can[-1]}")


def opsets(framework: str) -> range:
    """What the framework's exporter writes."""
    found: range = import_module(f"export.frameworks.{framework}").OPSETS
    return found


def require(framework: str) -> None:
    """Errors: ConfigError that names the extra, when exporting from this framework needs what is not installed."""
    absent = missing(framework)
    if not absent:
        return
    extra = "local" if framework == ONNX else framework
    fix = f"pip install 'edgebench[{extra}]'"
    raise ConfigError(f"{framework} is not installed here (no {', '.join(absent)})", fix=fix)
