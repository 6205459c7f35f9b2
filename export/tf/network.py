"""A Keras model as a tf.model.Model: its inputs read off it or declared, its preprocessing kept or taken off, at the
size and in the precision that are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from device_agents.contract import Precision
from export.declared import image_of
from export.keras_pixels import raw_pixels
from export.nest import LONE, flatten
from export.request import ExportRequest
from export.tf import head as preprocessing
from export.tf.head import Head
from export.tf.inputs import Told, as_graph_input, is_image, named_clearly
from export.tf.model import Model, as_model
from export.user_code import failed
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

_DECLARE = "declare them as the model takes them: --input images:float32:batch,224,224,3"


def of_network(
    network: Any, request: ExportRequest, *, image: ImageInput | None = None, task: str = "other", lone: str = LONE
) -> Model:
    """`image` is the image that the model is known to take, as it is called in the graph. Errors: ExportError for
    inputs that nobody tells; ConfigError for a size that the network cannot have."""
    network = _at_size(_functional(network), request)
    head = preprocessing.find(network)
    notes: tuple[str, ...] = ()
    stripping = request.keras_layers == "strip"
    given = _inputs(network, request)
    known = image or (_described(given[0], request) if len(given) == 1 else None)
    if known is None and head is not None and head.takes_raw_pixels:
        name, _, shape = given[0]
        known = raw_pixels((shape[-1] or 1, shape[1] or 1, shape[2] or 1), name)
    if stripping:
        network, known, note = _without_head(network, head, known)
        notes = (note,)
        given = _inputs(network, request)
    if request.precision is Precision.FP16:
        network = _halved(network)
    model = as_model(given, request, caller(network, [name for name, _, _ in given]), known)
    return replace(model, weights=lambda: _weights(network), task=task, lone=lone, notes=notes)


def _described(told: Told, request: ExportRequest) -> ImageInput | None:
    """The lone input as the operator describes it."""
    spec, moved = as_graph_input(told, request)
    return image_of(spec, request, channels_last=not moved)


def resized(network: Any, shape: tuple[int | None, ...], clone: Callable[[Any], Any] | None = None) -> Any:
    """The same layers and weights for images of (H, W, C), None where free; `clone` makes another layer of one. Errors:
    ConfigError where a layer does not allow it: a Flatten, say, that fixes what a Dense takes."""
    import keras

    name, dtype = network.inputs[0].name, network.inputs[0].dtype
    try:
        image = keras.Input(shape, name=name, dtype=dtype)
        wrapped = keras.tree.map_structure(lambda _: image, network.input)
        other = keras.models.clone_model(network, input_tensors=wrapped, clone_function=clone)
        take_weights(other, network)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        told = "any size" if None in shape[:2] else f"{shape[0]}x{shape[1]}"
        reason = f"the network does not take images of {told} ({lines[0][:200] if lines else type(error).__name__})"
        fix = "leave --size out, or use a model that ends in global pooling"
        raise ConfigError(reason, where=network.name, fix=fix) from error
    return other


def take_weights(network: Any, other: Any) -> None:
    """The weights of `other` for a network of the same layers. What a Normalization subtracts and divides by is no
    weight: Keras computes it from those that were adapted, where it loads a file and not where weights are set."""
    import keras

    network.set_weights(other.get_weights())
    for layer in network._flatten_layers():  # noqa: SLF001  no public way to those of nested models
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _functional(network: Any) -> Any:
    """A Sequential as the graph of its layers."""
    import keras

    if isinstance(network, keras.Sequential) and network.built:
        return keras.Model(network.inputs[0], network.outputs[0], name=network.name)
    return network


def _at_size(network: Any, request: ExportRequest) -> Any:
    tensors = getattr(network, "inputs", None) or []
    if request.size is None or not tensors:
        return network
    if len(tensors) != 1 or not is_image(tuple(tensors[0].shape)):
        raise ConfigError("only a model of one image has a size", where=network.name, fix="leave --size out")
    wanted = tuple(None if side.min < side.max else side.opt for side in request.size)
    if tuple(tensors[0].shape[1:3]) == wanted:
        return network
    _refuse_keras_2(network, "--size")
    return resized(network, (*wanted, tensors[0].shape[3]))


def _without_head(network: Any, head: Head | None, image: ImageInput | None) -> tuple[Any, ImageInput | None, str]:
    _refuse_keras_2(network, "--keras-preprocessing strip")
    if head is None:
        return network, image, "the model has no preprocessing layers at its head: nothing was stripped"
    name = image.name if image is not None else network.inputs[0].name
    shape = network.inputs[0].shape
    if not is_image(tuple(shape)):
        message = f"the manifest cannot hold the preprocessing of {shape[-1]} channels"
        raise ConfigError(message, where="--keras-preprocessing strip", fix="leave it out: the layers are kept")
    if image is None:
        image = raw_pixels((shape[-1] or 1, shape[1] or 1, shape[2] or 1), name)
    note = f"preprocessing layers were stripped, and the manifest has what they did: {', '.join(head.layers)}"
    if head.size is not None:
        note += f"; images must come as {head.size[0]}x{head.size[1]}"
    return preprocessing.without(network, head, name), preprocessing.stripped(image, head), note


def _refuse_keras_2(network: Any, option: str) -> None:
    import keras

    if not isinstance(network, keras.Model):
        raise ConfigError("a model of Keras 2 is exported as it is", where=option, fix="leave it out")


def _inputs(network: Any, request: ExportRequest) -> list[Told]:
    """Every input. Errors: ExportError when neither the model nor the operator tells them, and for a nest of them."""
    tensors = getattr(network, "inputs", None)
    if tensors:
        structure = network.input
        named = structure if isinstance(structure, dict) else {_plain(tensor.name): tensor for tensor in tensors}
        for name, tensor in named.items():
            if not hasattr(tensor, "shape"):
                message = f"input {name!r} is a {type(tensor).__name__} of tensors"
                raise ExportError(message, where=network.name, fix="give each of them a name of its own")
        told = [(name, _dtype(tensor), tuple(tensor.shape)) for name, tensor in named.items()]
        return named_clearly(told, request, taken=_output_names(network))
    if not request.declared:
        raise ExportError(f"the model {network.name!r} does not tell what it takes", fix=_DECLARE)
    return [
        (spec.name, spec.dtype, tuple(dim if isinstance(dim, int) else None for dim in spec.shape))
        for spec in request.declared
    ]


def _output_names(network: Any) -> list[str]:
    outputs = _named_outputs(network, network.output)
    return [*flatten(outputs, lambda value: hasattr(value, "shape"))]


def _plain(name: str) -> str:
    """Keras 2 calls a tensor `image:0`."""
    return name.partition(":")[0]


def _dtype(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def caller(network: Any, names: list[str]) -> Callable[[list[Any]], Any]:
    """How the model wants its inputs: as it was built, or for a subclassed one by the names of its call's parameters,
    in a dictionary, or in a list."""
    if getattr(network, "inputs", None):
        keys = list(network.input) if isinstance(network.input, dict) else None
        return lambda tensors: _named_outputs(network, network(_arranged(keys, tensors), training=False))
    if len(names) == 1:
        return lambda tensors: network(tensors[0], training=False)
    parameters = inspect.signature(network.call).parameters
    if set(names) <= set(parameters):
        more = {"training": False} if "training" in parameters else {}
        return lambda tensors: network(**dict(zip(names, tensors, strict=True)), **more)
    return lambda tensors: _by_dictionary_or_list(network, names, tensors)


def _arranged(keys: list[str] | None, tensors: list[Any]) -> Any:
    if keys is not None:
        return dict(zip(keys, tensors, strict=True))
    return tensors if len(tensors) > 1 else tensors[0]


def _named_outputs(network: Any, outputs: Any) -> Any:
    """Several outputs in a list go by the names of their layers, as Keras calls them itself."""
    names = getattr(network, "output_names", None) or []
    if isinstance(outputs, list | tuple) and len(outputs) > 1 and len({*names}) == len(outputs):
        return dict(zip(names, outputs, strict=True))
    return outputs


def _by_dictionary_or_list(network: Any, names: list[str], tensors: list[Any]) -> Any:
    try:
        return network(dict(zip(names, tensors, strict=True)), training=False)
    except (TypeError, ValueError, KeyError) as error:
        try:
            return network(tensors, training=False)
        except (TypeError, ValueError, LookupError, AttributeError):
            raise error from None


def _weights(network: Any) -> Iterator[tuple[str, Any]]:
    for variable in network.weights:
        yield getattr(variable, "path", variable.name), variable.numpy()


def _halved(network: Any) -> Any:
    """The same network in the dtype policy float16. Errors: ExportError for one that is code, where nothing says its
    layers, and for a layer that cannot be made again."""
    import keras

    if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        raise ExportError("a subclassed model has no FP16 of its own", where=network.name)

    def half(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=half)
        if not isinstance(
            layer, keras.layers.Layer
        ):  # an operation of keras.ops: it works in the type that it is given
            return type(layer).from_config(layer.get_config())
        return _layer_in_half(layer, network.name)

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")  # for layers that take no dtype, and those that layers make themselves
    try:
        other = keras.models.clone_model(network, clone_function=half)
    finally:
        keras.config.set_dtype_policy(policy)
    take_weights(other, network)
    return other


def _layer_in_half(layer: Any, where: str) -> Any:
    """A layer of the user's may take nothing that Keras's own do, and tell more than it takes. Errors: ExportError for
    one that cannot be made again of what it tells."""
    taken = inspect.signature(type(layer).__init__).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    try:
        told = {**layer.get_config(), "dtype": "float16"}
        return type(layer).from_config({name: value for name, value in told.items() if takes_all or name in taken})
    except Exception as error:  # it is the user's code: it may raise anything
        raise failed(error, f"layer {layer.name!r} has no FP16 of its own", where) from error
