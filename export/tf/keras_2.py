"""What a file of Keras 2 runs while it is loaded, read off its configuration. Keras 2 has a safe mode for .keras files
alone, and even there calls any function of TensorFlow's or its own that a layer names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_CALLS = ("TFOpLambda", "SlicingOpLambda")
"""They call the function that they name, with arguments from the file."""
_CODE = (
    "Lambda", "__lambda__", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty", "DeviceWrapper",
    "DropoutWrapper", "ResidualWrapper",
)  # fmt: skip
"""They hold bytecode, any operation, or the name of any attribute."""
_ARRAYS = (
    "cast", "clip_by_value", "concat", "convert_to_tensor", "expand_dims", "gather", "identity", "ones_like", "pad",
    "reshape", "reverse", "shape", "split", "squeeze", "stack", "tile", "transpose", "where", "zeros_like",
)  # fmt: skip
# Functions alone, which begin with a small letter, and none of the modules inside these.
_COMPUTES = re.compile(r"(math|nn|linalg|image|__operators__)\.[a-z_]\w*")
_READS_A_FILE = re.compile(r"nn\.\w*candidate_sampler")  # its vocabulary
_FUNCTIONS = ("builtins", "keras.activations", "keras.initializers", "keras.regularizers", "keras.constraints")


def code_in(config: Any) -> str | None:
    """The first thing in a model's configuration that runs more than a network's arithmetic, as the end of a sentence
    about the file; None where there is none."""
    return next((reason for entry in entries(config) if (reason := _code_of(entry)) is not None), None)


def entries(config: Any) -> Iterator[dict[str, Any]]:
    """Everything in a configuration that has a class."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = [*config.values()]
    if isinstance(config, list):
        for value in config:
            yield from entries(value)


def _code_of(entry: dict[str, Any]) -> str | None:
    kind, module, inner = str(entry["class_name"]), entry.get("module"), entry.get("config")
    if kind.rpartition(">")[2] in _CODE:
        return f"needs code in a layer of the type {kind}"
    if kind.rpartition(">")[2] in _CALLS:
        name = str(inner.get("function") if isinstance(inner, dict) else inner)
        return None if _is_arithmetic(name) else f"calls {name!r}"
    if kind == "function":
        return None if module is None or module in _FUNCTIONS else f"calls '{module}.{inner}'"
    if module is not None and str(module).partition(".")[0] not in ("keras", "tf_keras", "builtins"):
        return f"needs '{module}.{kind}'"
    return None


def _is_arithmetic(name: str) -> bool:
    plain = name.removeprefix("compat.v1.")
    return plain in _ARRAYS or bool(_COMPUTES.fullmatch(plain) and not _READS_A_FILE.fullmatch(plain))
