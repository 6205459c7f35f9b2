"""What is known of source texts before one is walked for its use of TensorRT: functions, imports, names of our own."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from trt_members import Guards

Key = tuple[str, str]
"""A function or class of ours: its file and its name."""


@dataclass
class Package:
    """What is known of all texts before one is walked: functions, the parameters of constructors, what a name means
    that a file imported, and under which guards every call of a function stands."""

    functions: dict[Key, list[ast.FunctionDef]] = field(default_factory=lambda: defaultdict(list))
    constructors: dict[Key, list[str]] = field(default_factory=dict)
    imported: dict[Key, Key] = field(default_factory=dict)
    callers: dict[Key, list[Guards]] = field(default_factory=lambda: defaultdict(list))
    entry: dict[Key, Guards] = field(default_factory=dict)


def collect(file: str, tree: ast.Module, package: Package, files: set[str]) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            package.functions[file, node.name].append(node)
        elif isinstance(node, ast.ClassDef):
            package.constructors[file, node.name] = _constructor(node)
        elif isinstance(node, ast.ImportFrom) and node.module:
            folder = node.module.replace(".", "/")
            for alias in node.names:
                name = alias.asname or alias.name
                if f"{folder}/{alias.name}.py" in files:
                    package.imported[file, name] = (f"{folder}/{alias.name}.py", "")
                elif f"{folder}.py" in files:
                    package.imported[file, name] = (f"{folder}.py", alias.name)


def _constructor(node: ast.ClassDef) -> list[str]:
    """The parameters of its __init__; without one, its fields."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return [argument.arg for argument in item.args.args[1:]]
    fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
    return [target.id for target in fields if isinstance(target, ast.Name)]


def own_names(trees: Iterable[ast.Module]) -> set[str]:
    """Functions, classes, their fields and what they set on `self`."""
    own = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                own.add(node.target.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
                own.add(node.attr)
    return own


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
