"""What an installed TensorRT module offers, as JSON on stdout: run by the interpreter that the module was made for.

    python describe_bindings.py FOLDER MODULE     (FOLDER holds MODULE, its libraries are on LD_LIBRARY_PATH)

Printed: {"version", "python", "members": {name: member}}. A member is {"kind": "class" | "enum" | "function" | "method"
| "property" | "value"}; a class has "members", an enum "values" too, a property "writable" and "type", what is called
"signatures" as pybind11's docstring tells them: [{"args": [[name, has a default], ...], "any": takes *args, "type":
returned}]. Standard library of Python 3.8 alone.
"""

import importlib
import inspect
import json
import platform
import re
import sys

_SIGNATURE = re.compile(r"^(?:\d+\. )?(?P<name>\w+)\((?P<args>.*)\)(?: -> (?P<type>.+))?$")
_ARGUMENT = re.compile(r"^(?P<stars>\*{0,2})(?P<name>\w+)(?:: .*?)?(?P<default>\s?=.*)?$", re.DOTALL)


def main() -> None:
    folder, name = sys.argv[1:]
    sys.path.insert(0, folder)
    module = importlib.import_module(name)
    about = {"version": module.__version__, "python": platform.python_version()}
    members = {
        key: _member(value) for key, value in vars(module).items() if not key.startswith("_") or key == "__version__"
    }
    json.dump({**about, "members": members}, sys.stdout, sort_keys=True)


def _member(value):
    if isinstance(value, type):
        return _class(value)
    if isinstance(value, property):
        doc = inspect.getdoc(value.fget) if value.fget else ""
        found = _signatures(doc or "")
        kind = found[0]["type"] if found else ""
        return {"kind": "property", "writable": value.fset is not None, "type": kind}
    if callable(value):
        return {"kind": "method", "signatures": _signatures(inspect.getdoc(value) or "")}
    return {"kind": "value"}


def _class(cls):
    """Its own members and those of its bases but `object`; one level of nested classes, such as Logger.Severity."""
    members = {}
    for base in reversed(cls.__mro__[:-1]):
        for key, value in vars(base).items():
            plain = value.__func__ if isinstance(value, staticmethod) else value
            members[key] = {"kind": "class", "members": {}} if plain is cls else _member(plain)
    values = getattr(cls, "__members__", None)
    if isinstance(values, dict):
        return {"kind": "enum", "members": members, "values": {key: int(value) for key, value in values.items()}}
    return {"kind": "class", "members": members}


def _signatures(doc):
    """The first line is a signature, or says `Overloaded function.` and the numbered ones follow."""
    lines = doc.splitlines()
    numbered = [line for line in lines if re.match(r"\d+\. ", line)]
    told = numbered if "Overloaded function." in lines else lines[:1]
    matches = [match for match in map(_SIGNATURE.match, told) if match]
    return [_signature(match) for match in matches]


def _signature(match):
    parsed = [_ARGUMENT.match(argument) for argument in _split(match.group("args"))]
    stars = any(argument is None or argument.group("stars") for argument in parsed)
    named = [argument for argument in parsed if argument is not None and not argument.group("stars")]
    args = [[argument.group("name"), bool(argument.group("default"))] for argument in named]
    return {"args": args, "any": stars, "type": match.group("type") or ""}


def _split(arguments):
    """At the commas that are within no bracket."""
    depth, parts, part = 0, [], ""
    for letter in arguments:
        depth += (letter in "[(<{") - (letter in "])>}")
        if letter == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return [*parts, part.strip()] if part.strip() else parts


if __name__ == "__main__":
    main()
