"""What a graph's tensors are called, in it and in the graphs within its nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, count
from typing import Any


def bodies(node: Any) -> Iterator[Any]:
    """The graphs inside a node: branches of If, bodies of Loop and Scan."""
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def subgraphs(graph: Any) -> Iterator[Any]:
    """The graph and every graph within."""
    yield graph
    for node in graph.node:
        for inner in bodies(node):
            yield from subgraphs(inner)


def captured(node: Any) -> Iterator[str]:
    """What the bodies of a node read, in their order; names of the graph around them are among these."""
    for body in bodies(node):
        for graph in subgraphs(body):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from inner.input


def reads(node: Any) -> set[str]:
    """Every tensor that the node needs, for its bodies as well."""
    return {name for name in chain(node.input, captured(node)) if name}


def key_of(node: Any) -> str:
    """The node's first output: what identifies it."""
    return str(next(name for name in node.output if name))


def tensor_names(graph: Any) -> set[str]:
    """Of every tensor in the graph and in the graphs within."""
    names: set[str] = set()
    for inner in subgraphs(graph):
        names.update(value.name for value in (*inner.input, *inner.output, *inner.initializer))
        names.update(name for node in inner.node for name in chain(node.input, node.output))
    return names


def free_name(wish: str, taken: Collection[str]) -> str:
    """That name, or the first of it with a number behind it that nothing has yet."""
    numbered = (f"{wish}_{number}" for number in count(1))
    return next(name for name in chain([wish], numbered) if name not in taken)
