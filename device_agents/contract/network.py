"""How the weights of an artifact become a network again, without any code that came with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.terms import Scalar

NETWORK_FILE = "network.json"
"""Beside the weights of every artifact that a framework runs itself."""

_BUILDER = re.compile(r"torchvision:[a-z][a-z0-9_]{0,63}\Z")
_ARGUMENTS = ("aux_logits", "aux_loss", "image_size", "init_weights", "transform_input")


@dataclass(frozen=True)
class Network:
    """`builder` names a network that the framework has on the device: `torchvision:resnet50`, "" where the artifact
    holds the graph itself; `arguments` are what it is built with. Both are of a short list: whatever they say, no
    code is run but the framework's own. `returns` is what the network gives: a `tensor`, tensors that are `named`, or
    a list of which the `last` is meant. `outputs` are the names of what is returned; images of the inputs in
    `channels_last` are laid out so in the network, and channels first everywhere else."""

    outputs: Tuple[str, ...]
    builder: str = ""
    arguments: Dict[str, Scalar] = field(default_factory=dict)
    returns: str = "tensor"
    channels_last: Tuple[str, ...] = ()

    RETURNS = ("tensor", "named", "last")

    def __post_init__(self) -> None:
        if self.builder and not _BUILDER.match(self.builder):
            raise SchemaViolation(
                "builder", f"{self.builder[:60]!r} is none of torchvision's networks: it is not built"
            )
        for name in self.arguments:
            if name not in _ARGUMENTS:
                known = ", ".join(_ARGUMENTS)
                raise SchemaViolation("arguments", f"unknown argument {name[:60]!r}; allowed: {known}")
        if self.returns not in self.RETURNS:
            known = ", ".join(self.RETURNS)
            raise SchemaViolation("returns", f"unknown word {self.returns[:60]!r}; allowed: {known}")
        if not self.outputs:
            raise SchemaViolation("outputs", "empty: nothing is returned")
