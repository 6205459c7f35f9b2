"""Rewrites of what tf2onnx writes: constants computed, convolutions that hold their batch norm and padding, layer norms
and linear layers as the one operation that they are. None changes what is computed, apart from rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.rewrite.net import Net, Node

_LARGE = 1 << 20  # elements
_RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli")
_LOOPS = ("If", "Loop", "Scan")


def simplify(net: Net) -> None:
    """In place, before the layouts are chosen. Shapes are known afterwards."""
    fold_constants(net)
    _drop_identities(net)
    if _each(net, "Erfc", _error_function):  # before shapes: onnx does not know it
        fold_constants(net)
    net.infer_shapes()
    while _each(net, "MatMul", _linear_layer):
        net.infer_shapes()  # past one of them, the rank was not known
    _each(net, "Reciprocal", _layer_norm)
    _each(net, "Reshape", _keep_dimensions)
    net.tidy()
    net.infer_shapes()


def _each(net: Net, op: str, rewrite: Callable[[Net, Node], bool]) -> int:
    """How many nodes of this operation were rewritten."""
    return sum(rewrite(net, node) for node in net if node.op == op and node in net)


def fold_constants(net: Net) -> None:
    """Compute every node whose inputs are constants, unless the result is much larger than they are, or ONNX does not
    know the operation."""
    import onnx

    for node in net.ordered():
        if node.op in _RANDOM + _LOOPS or not onnx.defs.has(node.op, net.opset, ""):
            continue
        if not all(name in net.constants for name in node.inputs if name):
            continue
        if any(net.is_output(name) for name in node.outputs):
            continue
        given = {name: net.constants[name] for name in node.inputs if name}
        values = _evaluate(node, given, net.opset)
        if sum(value.size for value in values) > _LARGE + sum(value.size for value in given.values()):
            continue
        net.constants |= dict(zip(node.outputs, values, strict=True))
        net.remove(node)


def _evaluate(node: Node, given: dict[str, NDArray[Any]], opset: int) -> list[NDArray[Any]]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    if node.op == "Transpose":
        return [given[node.inputs[0]].transpose(node.attributes["perm"])]
    proto = onnx.helper.make_node(node.op, node.inputs, node.outputs, **node.attributes)
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in given.items()}
    inputs = [onnx.helper.make_tensor_value_info(name, kinds[name], value.shape) for name, value in given.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs]
    graph = onnx.helper.make_graph([proto], "constants", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, given)]


def _drop_identities(net: Net) -> None:
    for node in net:
        if node.op == "Identity" and not net.is_output(node.output):
            net.replace(node.output, node.inputs[0])
            net.remove(node)


def _linear_layer(net: Net, node: Node) -> bool:
    """Keras's Dense on more than two dimensions: TensorFlow makes rows of it and undoes that, in a dozen nodes that
    compute shapes. ONNX's MatMul needs none of them."""
    before = net.made_by(node.inputs[0], "Reshape")
    after = net.only_reader(node.output)
    weight = net.constants.get(node.inputs[1])
    if before is None or after is None or after.op != "Reshape" or weight is None or weight.ndim != 2:
        return False
    source = before.inputs[0]
    shape = net.shape(source)
    if shape is None or len(shape) < 3 or shape[-1] != weight.shape[0]:
        return False
    if net.ints(before.inputs[1]) != [-1, weight.shape[0]] or not _restores(net, after, source, weight.shape[1]):
        return False
    net.set_inputs(node, [source, node.inputs[1]])
    net.remove(after)
    net.set_outputs(node, after.outputs)
    return True


def _restores(net: Net, reshape: Node, source: str, width: int) -> bool:
    """Whether a Reshape gives the dimensions of `source` with another last one."""
    shape = net.shape(source) or ()
    target = net.ints(reshape.inputs[1])
    if target is not None:
        wanted = [-1 if dim is None else dim for dim in shape[:-1]]
        return target[:-1] == wanted and wanted.count(-1) <= 1 and target[-1] in (width, -1)
    joined = net.made_by(_uncast(net, reshape.inputs[1]), "Concat")
    if joined is None or len(joined.inputs) != 2 or net.ints(joined.inputs[1]) != [width]:
        return False
    gathered = net.made_by(_uncast(net, joined.inputs[0]), "Gather", "Slice")
    if gathered is None:
        return False
    shape_of = net.made_by(_uncast(net, gathered.inputs[0]), "Shape")
    leading = [*range(len(shape) - 1)]
    takes = gathered.op == "Gather" and net.ints(gathered.inputs[1]) == leading
    return shape_of is not None and shape_of.inputs[0] == source and takes


def _uncast(net: Net, name: str) -> str:
    """The tensor before Casts of shapes between integers."""
    while (node := net.made_by(name, "Cast")) is not None:
        name = node.inputs[0]
    return name


def _error_function(net: Net, node: Node) -> bool:
    """erfc(-x) is 1 + erf(x): ONNX has no Erfc, and TensorFlow's exact GELU is written with one."""
    inner = node.inputs[0]
    kind = net.constants[inner].dtype if inner in net.constants else np.float32
    one = net.put(np.array(1.0, kind), node.output)
    positive = _negated(net, inner, node)
    erf = net.insert("Erf", [inner if positive is None else positive], node)
    net.remove(node)
    if positive is None:
        net.add(Node("Sub", [one, erf], node.outputs, {}, node.name))
    else:
        net.add(Node("Add", [erf, one], node.outputs, {}, node.name))
    return True


def _negated(net: Net, name: str, like: Node) -> str | None:
    """A tensor that is minus this one, where the graph says that it is (minus x) times a constant."""
    product = net.made_by(name, "Mul")
    if product is None:
        negation = net.made_by(name, "Neg")
        return None if negation is None else negation.inputs[0]
    for factor, other in (product.inputs, product.inputs[::-1]):
        negation = net.made_by(factor, "Neg")
        if negation is not None and other in net.constants:
            return net.insert("Mul", [negation.inputs[0], other], like)
    return None


def _layer_norm(net: Net, node: Node) -> bool:
    """Keras spells a layer norm x * s + (bias - mean * s), s = gain / sqrt(variance + epsilon), in a dozen nodes of
    which no runtime recognises one operation, and whose squares leave FP16's range; ONNX has it since opset 17."""
    found = _normaliser(net, node) if net.opset >= 17 else None
    if found is None:
        return False
    x, mean, added = found
    epsilon = float(added)
    shape = net.shape(x)
    width = shape[-1] if shape else None
    if width is None:
        return False
    scale, gain = _times_constant(net, node.output, np.ones(width, added.dtype))
    product = _reader(net, x, "Mul", scale)
    if product is None:
        return False
    total = net.only_reader(product.output)
    if total is None or total.op not in ("Add", "Sub"):
        return False
    other = total.inputs[1] if total.inputs[0] == product.output else total.inputs[0]
    bias = _shift(net, other, mean, scale, np.zeros(width, added.dtype), negative=total.op == "Sub")
    if bias is None or (total.op == "Sub" and total.inputs[0] != product.output):
        return False
    inputs = [x, net.put(gain, f"{node.name}/gain"), net.put(bias, f"{node.name}/bias")]
    name = total.name.rpartition("/")[0] or total.name
    net.remove(total)
    net.add(Node("LayerNormalization", inputs, total.outputs, {"axis": -1, "epsilon": epsilon}, name))
    return True


def _normaliser(net: Net, node: Node) -> tuple[str, str, NDArray[Any]] | None:
    """(x, its mean, epsilon in the type of x) where `node` is 1 / sqrt(variance of x over the last axis + epsilon)."""
    root = net.made_by(node.inputs[0], "Sqrt")
    total = net.made_by(root.inputs[0], "Add") if root else None
    if total is None:
        return None
    epsilon = net.constants.get(total.inputs[1])
    variance = net.made_by(total.inputs[0], "ReduceMean")
    if epsilon is None or epsilon.size != 1 or variance is None or not _last_axis(net, variance):
        return None
    square = net.made_by(variance.inputs[0], "Mul", "Pow")
    if square is None or not (square.inputs[0] == square.inputs[1] or net.scalar(square.inputs[1]) == 2.0):
        return None
    deviation = net.made_by(square.inputs[0], "Sub")
    mean = net.made_by(deviation.inputs[1], "ReduceMean") if deviation else None
    if deviation is None or mean is None or not _last_axis(net, mean) or mean.inputs[0] != deviation.inputs[0]:
        return None
    return mean.inputs[0], mean.output, epsilon.reshape(())


def _last_axis(net: Net, node: Node) -> bool:
    axes = node.attributes.get("axes") or (net.ints(node.inputs[1]) if len(node.inputs) > 1 else None)
    rank = net.rank(node.inputs[0])
    return axes in ([-1], [rank - 1] if rank else None) and bool(node.attributes.get("keepdims", 1))


def _times_constant(net: Net, name: str, ones: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """(the tensor that x is multiplied with, the gain): a gain of ones is left out of the graph."""
    product = net.only_reader(name)
    if product is not None and product.op == "Mul":
        other = product.inputs[1] if product.inputs[0] == name else product.inputs[0]
        gain = _per_channel(net, other, ones.size)
        if gain is not None:
            return product.output, gain
    return name, ones


def _per_channel(net: Net, name: str, width: int) -> NDArray[Any] | None:
    value = net.constants.get(name)
    if value is None or value.size not in (1, width) or (value.size > 1 and value.shape[-1] != width):
        return None
    each: NDArray[Any] = np.broadcast_to(value.reshape(-1), (width,)).copy()
    return each


def _reader(net: Net, name: str, op: str, other: str) -> Node | None:
    return next((node for node in net.readers(name) if node.op == op and other in node.inputs), None)


def _shift(net: Net, name: str, mean: str, scale: str, zero: NDArray[Any], *, negative: bool) -> NDArray[Any] | None:
    """The bias in `name` = bias - mean * scale, or in -name where `negative`; `zero` is that of none."""
    if _is_product(net, name, mean, scale):
        return zero if negative else None
    minus = next((one.output for one in net.readers(mean) if one.op == "Neg"), None)
    if minus is not None and _is_product(net, name, minus, scale):
        return None if negative else zero
    total = net.made_by(name, "Add", "Sub")
    if total is None or negative:
        return None
    first, second = total.inputs
    if total.op == "Sub":
        return _per_channel(net, first, zero.size) if _is_product(net, second, mean, scale) else None
    for product, bias in ((first, second), (second, first)):
        if minus is not None and _is_product(net, product, minus, scale):
            return _per_channel(net, bias, zero.size)
    return None


def _is_product(net: Net, name: str, first: str, second: str) -> bool:
    node = net.made_by(name, "Mul")
    return node is not None and sorted(node.inputs) == sorted((first, second))


def _keep_dimensions(net: Net, node: Node) -> bool:
    """A mean over height and width that is made (N, 1, 1, C) afterwards, as before a gate, keeps its dimensions."""
    mean = net.made_by(node.inputs[0], "ReduceMean", "ReduceMax")
    if mean is None or net.only_reader(mean.output) is not node or mean.attributes.get("keepdims", 1):
        return False
    source, shape = net.shape(mean.inputs[0]), net.shape(node.output)
    axes = mean.attributes.get("axes") or (net.ints(mean.inputs[1]) if len(mean.inputs) > 1 else None)
    if source is None or shape is None or axes is None or len(source) != len(shape):
        return False
    axes = [axis % len(source) for axis in axes]
    kept = [1 if axis in axes else dim for axis, dim in enumerate(source)]
    if axes != [*range(1, len(source) - 1)] or shape[1:] != tuple(kept[1:]):
        return False
    mean.attributes["keepdims"] = 1
    net.remove(node)
    net.set_outputs(mean, node.outputs)
    return True
