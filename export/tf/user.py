"""Users' models: .keras and .h5 files, SavedModel folders, and factories of Keras models. A factory runs code of the
user's; a file runs code only where the operator allows it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from device_agents.contract import Precision, TensorSpec
from export.models import ModelRef
from export.request import ExportRequest
from export.tf import keras_2
from export.tf.inputs import Told, named_clearly
from export.tf.model import Model, as_model
from export.tf.network import caller, of_network
from export.user_code import failed, made_by, sources
from profiles.errors import ConfigError, EdgebenchError, ExportError

_UNSAFE = "if you trust it, pass --unsafe: its code then runs on this machine"
_SAVE = "save it anew: model.save(PATH)"
_SERVING = "serving_default"


def load(ref: ModelRef, request: ExportRequest) -> Model:
    """Errors: ExportError for a file that is none, code that raises or gives no model, inputs that nobody tells."""
    loaders = {"keras": _of_file, "h5": _of_h5, "savedmodel": _of_saved_model, "factory": _of_factory}
    return loaders[ref.kind](ref, request)


def _of_file(ref: ModelRef, request: ExportRequest) -> Model:
    path = _path(ref)
    try:
        with zipfile.ZipFile(path) as archive:
            config, about = json.loads(archive.read("config.json")), json.loads(archive.read("metadata.json"))
        version = str(about.get("keras_version", ""))
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile, OSError) as error:
        raise ExportError("not a .keras file, or a damaged one", where=str(path), fix=_SAVE) from error
    return replace(of_network(_by_keras(path, config, version, request), request), sources=sources())


def _of_h5(ref: ModelRef, request: ExportRequest) -> Model:
    import h5py  # type: ignore[import-untyped]

    path = _path(ref)
    try:
        with h5py.File(path) as file:
            config, version = file.attrs.get("model_config"), str(file.attrs.get("keras_version", ""))
    except OSError as error:
        raise ExportError("not an HDF5 file, or a damaged one", where=str(path), fix=_SAVE) from error
    if config is None:
        fix = "save the model too: model.save(PATH); or export a factory of it, with --weights"
        raise ExportError("it holds weights and no model", where=str(path), fix=fix)
    try:
        layers = json.loads(config)
    except (ValueError, TypeError) as error:
        raise ExportError("its description of the model is damaged", where=str(path), fix=_SAVE) from error
    return replace(of_network(_by_keras(path, layers, version, request), request), sources=sources())


def _by_keras(path: Path, config: Any, version: str, request: ExportRequest) -> Any:
    """Keras 3's model of a file, or where it is of Keras 2 and Keras 3 cannot read it, Keras 2's."""
    try:
        return _loaded(path, config, request)
    except ExportError as error:
        if not version.startswith("2") or error.fix == _UNSAFE:
            raise
        return _by_keras_2(path, config, error, request)


def _by_keras_2(path: Path, config: Any, error: ExportError, request: ExportRequest) -> Any:
    """Errors: ExportError for a file that runs code, where that is not allowed, and where Keras 2 is not installed, or
    cannot read its own file."""
    code = None if request.unsafe else keras_2.code_in(config)
    if code is not None:
        raise ExportError(f"the file {code}", where=str(path), fix=_UNSAFE)
    if importlib.util.find_spec("tf_keras") is None:
        raise ExportError(f"{error.message}: it is of Keras 2", where=str(path), fix="pip install 'edgebench[keras2]'")
    import tf_keras  # type: ignore[import-untyped]

    try:
        return tf_keras.models.load_model(path, compile=False, safe_mode=not request.unsafe)
    except Exception as second:  # what a broken file raises has no common base
        raise failed(second, "Keras 2 cannot read it", str(path)) from second


def _loaded(path: Path, config: Any, request: ExportRequest) -> Any:
    """Keras 3's model of a file. Errors: ExportError for one that needs code, where that is not allowed."""
    import keras

    _refuse_classes_of_nowhere(config, path)
    custom = sorted({(module, name) for module, name in _custom_classes(config)})
    lambdas = any(name == "Lambda" for _, name in _classes(config))
    if not request.unsafe and (custom or lambdas):
        what = "Python code in a Lambda layer" if lambdas else f"code of its own for {custom[0][1]!r}"
        raise ExportError(f"the file needs {what}", where=str(path), fix=_UNSAFE)
    if custom:
        sys.path.insert(0, str(path.parent))
    try:
        objects = {name: _custom_object(module, name) for module, name in custom}
        return keras.models.load_model(path, custom_objects=objects, compile=False, safe_mode=not request.unsafe)
    except EdgebenchError:
        raise
    except Exception as error:  # what a broken file raises has no common base
        raise failed(error, "Keras 3 cannot read it", str(path)) from error


def _refuse_classes_of_nowhere(config: Any, path: Path) -> None:
    """Errors: ExportError for a class of a script, whose module Keras writes as null."""
    for entry in keras_2.entries(config):
        name = entry["class_name"]
        if "module" in entry and entry["module"] is None and entry.get("registered_name") is not None:
            fix = "export a factory that imports it and loads the file"
            raise ExportError(
                f"the file needs the class {name!r}, and does not say where it is", where=str(path), fix=fix
            )


def _classes(config: Any) -> Iterator[tuple[str | None, str]]:
    """(module, class) of everything in a model's configuration."""
    if isinstance(config, dict):
        name = config.get("class_name")
        if isinstance(name, str):
            yield config.get("module"), name
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)


def _custom_classes(config: Any) -> Iterator[tuple[str, str]]:
    """Those of modules that are not Keras's; builtins are its own words for functions and shapes."""
    for module, name in _classes(config):
        if module and module.partition(".")[0] not in ("keras", "tf_keras", "builtins", "tensorflow"):
            yield module, name


def _custom_object(module: str, name: str) -> Any:
    """Errors: ExportError where the module that the file names is not found."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        fix = f"put {module.partition('.')[0]}.py beside the file, or install its package"
        raise ExportError(f"the file needs {module}.{name}, which is not found ({error})", fix=fix) from error


def _of_saved_model(ref: ModelRef, request: ExportRequest) -> Model:
    import tensorflow as tf

    path = _path(ref)
    if request.precision is Precision.FP16:
        raise ExportError("a SavedModel has no FP16 of its own", where=str(path))
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # what a broken folder raises has no common base
        raise failed(error, "TensorFlow cannot read it", str(path)) from error
    function = _signature(loaded, path)
    _, arguments = function.structured_input_signature
    if request.size is not None or request.keras_layers == "strip":
        option = "--size" if request.size is not None else "--keras-preprocessing strip"
        raise ConfigError(
            "a SavedModel is as it was saved: it has no layers any more", where=option, fix="leave it out"
        )
    told = _told(arguments, path)
    answers = function.structured_outputs
    named = named_clearly(told, request, taken=[*answers] if len(answers) > 1 else ())
    model = as_model(named, request, lambda tensors: _served(function, arguments, tensors))
    # TensorFlow forgets the variables of a model that nobody holds: this does.
    return replace(model, weights=lambda: ((one.name, one.numpy()) for one in getattr(loaded, "variables", ())))


def _told(arguments: Mapping[str, Any], path: Path) -> list[Told]:
    """Errors: ExportError for a signature without inputs, or with one that no graph takes."""
    if not arguments:
        raise ExportError("its signature takes nothing", where=str(path), fix="save one that takes tensors")
    for name, spec in arguments.items():
        fix = f"save it with a TensorSpec for {name!r} whose first dimension is the batch"
        if not spec.shape.rank:
            known = "a scalar" if spec.shape.rank == 0 else "of any number of dimensions"
            raise ExportError(f"its input {name!r} is {known}", where=str(path), fix=fix)
        if not (spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype.is_bool):
            message = f"its input {name!r} is of the type {spec.dtype.name}, no number"
            raise ExportError(message, where=str(path), fix="save a signature that takes numbers")
    return [(name, spec.dtype.name, tuple(spec.shape)) for name, spec in arguments.items()]


def _served(function: Any, arguments: Mapping[str, Any], tensors: list[Any]) -> Any:
    """A signature always gives a dictionary; of one output the name says nothing."""
    outputs = function(**dict(zip(arguments, tensors, strict=True)))
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(sorted(outputs.items()))


def _signature(loaded: Any, path: Path) -> Any:
    """The function that serves. Errors: ExportError where there is none, or several and none is the default."""
    found = {name: function for name, function in loaded.signatures.items() if not name.startswith("_")}
    if _SERVING in found:
        return found[_SERVING]
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        fix = "save it with model.export(PATH), or tf.saved_model.save(model, PATH, signatures=FUNCTION)"
        raise ExportError("the SavedModel has no signature: nothing says what it takes", where=str(path), fix=fix)
    fix = f"save one of them as {_SERVING!r}"
    raise ExportError(f"the SavedModel has {len(found)} signatures ({', '.join(found)})", where=str(path), fix=fix)


def _of_factory(ref: ModelRef, request: ExportRequest) -> Model:
    made = made_by(ref.factory or "", ref.name, _is_keras_model, "Keras model", path=ref.path)
    _load_weights(made, request)
    if not getattr(made, "inputs", None) and request.declared:
        _call_once(made, request, ref.factory or ref.name)
    return replace(of_network(made, request), sources=sources())


def _is_keras_model(value: Any) -> bool:
    """Of Keras 3, or of Keras 2 where the user's code imported it."""
    libraries = [sys.modules[name] for name in ("keras", "tf_keras") if name in sys.modules]
    return any(isinstance(value, library.Model) for library in libraries)


def _load_weights(network: Any, request: ExportRequest) -> None:
    if request.weights_path is None:
        return
    try:
        network.load_weights(request.weights_path)
    except Exception as error:  # what a broken file raises has no common base
        raise failed(error, "not the weights of this model", str(request.weights_path)) from error


def _call_once(network: Any, request: ExportRequest, where: str) -> None:
    """A subclassed model makes its weights when it is first called."""
    import tensorflow as tf

    def zeros(spec: TensorSpec) -> Any:
        shape = [dim if isinstance(dim, int) else _side(dim, request) for dim in spec.shape]
        return tf.zeros(shape, tf.as_dtype(spec.dtype))

    names = [spec.name for spec in request.declared]
    try:
        caller(network, names)([zeros(spec) for spec in request.declared])
    except Exception as error:  # it is the user's code: it may raise anything
        raise failed(error, "the model does not take the declared inputs", where) from error


def _side(dim: str, request: ExportRequest) -> int:
    sides = dict(zip(("height", "width"), request.size, strict=True)) if request.size else {}
    return sides[dim].opt if dim in sides else 1


def _path(ref: ModelRef) -> Path:
    if ref.path is None:
        raise ExportError("the request names a file by hash and gives no path", where=ref.name)
    return ref.path
