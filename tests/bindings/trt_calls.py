"""Which parts of TensorRT's API a source text uses, and under which `hasattr`: read from its syntax tree.

The convention that makes this possible: a TensorRT object is held only under one of the names in HANDLES, as a local,
a parameter or `self._<name>`; what not every version has is reached behind `hasattr(handle, "literal")`. Whatever
hides an object from this reading is refused: another name, a chain through a call, an attribute by a computed name.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping

from trt_members import HANDLES, Arguments, Assigned, Guard, Guards, Member, Reading, Use
from trt_package import Key, Package, collect, is_self, own_names

__all__ = ["read"]


def read(sources: Mapping[str, str]) -> Reading:
    """Read source texts by file name. Guards at every call of a function hold within it: found by reading again."""
    trees = {name: ast.parse(text) for name, text in sources.items()}
    package = Package()
    for name, tree in trees.items():
        collect(name, tree, package, set(trees))
    for _ in range(4):  # guards pass down one level of calls a round
        reading, package.callers = Reading(own=own_names(trees.values())), defaultdict(list)
        for name, tree in trees.items():
            _File(name, tree, package, reading).walk()
        package.entry = {key: frozenset.intersection(*guards) for key, guards in package.callers.items()}
    return reading


_NONE: Guards = frozenset()


class _File:
    def __init__(self, name: str, tree: ast.Module, package: Package, reading: Reading) -> None:
        self._name, self._tree, self._package, self._reading = name, tree, package, reading
        self._not_handles: set[str] = set()
        self._answers: dict[str, tuple[Guards, Guards]] = {}
        self._aliases: dict[str, Member] = {}

    def walk(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_self_attribute(node.targets[0]):
                self._remember(node.targets[0], node.value)
        self._block(self._tree.body, _NONE)

    # Statements

    def _block(self, statements: list[ast.stmt], guards: Guards) -> None:
        for statement in statements:
            guards |= self._statement(statement, guards)

    def _statement(self, node: ast.stmt, guards: Guards) -> Guards:
        """Walk it; the guards that hold after it."""
        if isinstance(node, ast.If):
            return self._if(node, guards)
        if isinstance(node, ast.FunctionDef):
            self._function(node, guards)
        elif isinstance(node, ast.ClassDef):
            self._class(node, guards)
        elif isinstance(node, ast.Assert):
            self._expression(node.test, guards)
            return self._answer(node.test)[0]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node)
        else:
            self._plain(node, guards)
        return _NONE

    def _if(self, node: ast.If, guards: Guards) -> Guards:
        self._expression(node.test, guards)
        yes, no = self._answer(node.test)
        self._block(node.body, guards | yes)
        self._block(node.orelse, guards | no)
        if _leaves(node.body):
            return no
        return yes if node.orelse and _leaves(node.orelse) else _NONE

    def _plain(self, node: ast.stmt, guards: Guards) -> None:
        """Anything else: its expressions, then its blocks."""
        for target in _targets(node):
            if isinstance(node, ast.AnnAssign) and isinstance(target, ast.Name) and _is_typed(node.annotation):
                self._not_handles.add(target.id)
            self._assign(target, node.value)  # type: ignore[attr-defined]
        for name, value in ast.iter_fields(node):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.expr) and name != "annotation":
                    self._expression(item, guards)
                elif isinstance(item, ast.withitem):
                    self._expression(item.context_expr, guards)
                elif isinstance(item, ast.ExceptHandler):
                    self._block(item.body, guards)
        inner = guards | self._entering(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, [])
            if block and isinstance(block[0], ast.stmt):
                self._block(block, inner)

    def _function(self, node: ast.FunctionDef, guards: Guards) -> None:
        outer = set(self._not_handles), dict(self._answers), dict(self._aliases)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            held = argument.annotation is not None and _is_typed(argument.annotation)
            (self._not_handles.add if held else self._not_handles.discard)(argument.arg)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self._expression(default, guards)
        self._block(node.body, guards | self._package.entry.get((self._name, node.name), _NONE))
        self._not_handles, self._answers, self._aliases = outer

    def _class(self, node: ast.ClassDef, guards: Guards) -> None:
        """A subclass of one of TensorRT's is its base with more; the methods that it overrides must be the base's."""
        for base in node.bases:
            member = self._member(base)
            self._expression(base, guards)
            if member is None or not member.path:
                continue
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                    count = Arguments(len(item.args.args) - 1, ())
                    self._use(Member("", (*member.path, item.name)), "override", guards, item, count)
        self._block(node.body, guards)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if alias.name in ("tensorrt", "tensorrt_rtx"):
                if name != "trt":
                    self._refuse(node, f"TensorRT is imported as {name!r}; its name is trt")
            elif name in HANDLES:
                self._not_handles.add(name)

    def _assign(self, target: ast.expr, value: ast.expr | None) -> None:
        if value is None:
            return
        self._remember(target, value)
        name, member = _plain_name(target), self._member(value)
        held = self._handle(value)
        if held is not None and name != held and not self._is_member(target):
            self._refuse(target, f"{ast.unparse(value)} is held as {ast.unparse(target)}; its name is {held}")
        elif member is not None and not member.owner and len(member.path) == 1 and member.path[0][0].isupper():
            if not isinstance(target, ast.Name):
                self._refuse(target, f"{member} is held as {ast.unparse(target)}; name it in full where it is used")
            else:
                self._aliases[target.id] = member
        if isinstance(value, ast.Call):
            called = self._member(value.func)
            if called is not None and called.path:
                self._reading.assigned.append(Assigned(called, name or ast.unparse(target), self._at(target)))
            self._check_returned(value, name, target)

    def _check_returned(self, call: ast.Call, name: str | None, target: ast.expr) -> None:
        """What a function of ours returns under a handle's name keeps that name."""
        for function in self._functions(call):
            for node in ast.walk(function):
                held = self._handle(node.value) if isinstance(node, ast.Return) and node.value else None
                if held is not None and held != name:
                    what = f"{function.name}() returns {held}, held as {ast.unparse(target)}"
                    self._refuse(target, f"{what}; its name is {held}")

    def _remember(self, target: ast.expr, value: ast.expr) -> None:
        """A name that holds the answer of a hasattr stands for it in a later `if`."""
        yes, no = self._answer(value)
        if yes or no:
            self._answers[ast.unparse(target)] = (yes, no)
        else:
            self._answers.pop(ast.unparse(target), None)

    # Expressions

    def _expression(self, node: ast.expr, guards: Guards) -> None:
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self._expression(value, guards)
                guards |= self._answer(value)[0 if isinstance(node.op, ast.And) else 1]
        elif isinstance(node, ast.IfExp):
            yes, no = self._answer(node.test)
            self._expression(node.test, guards)
            self._expression(node.body, guards | yes)
            self._expression(node.orelse, guards | no)
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            self._comprehension(node, guards)
        elif isinstance(node, ast.Call):
            self._call(node, guards)
        elif isinstance(node, ast.Attribute):
            self._attribute(node, guards, "set" if isinstance(node.ctx, ast.Store) else "read")
        else:
            self._inside(node, guards)

    def _inside(self, node: ast.AST, guards: Guards) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._expression(child, guards)
            elif isinstance(child, ast.keyword):
                self._expression(child.value, guards)

    def _entering(self, node: ast.stmt) -> Guards:
        """What holds in the body of a loop."""
        if isinstance(node, ast.For):
            self._loop(node.target, node.iter)
        return self._answer(node.test)[0] if isinstance(node, ast.While) else _NONE

    def _loop(self, target: ast.expr, over: ast.expr) -> None:
        """Nothing of TensorRT's is iterated over for layers or tensors: in a loop those are ours."""
        if isinstance(target, ast.Name) and target.id in ("layer", "tensor") and self._member(over) is None:
            self._not_handles.add(target.id)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, guards: Guards
    ) -> None:
        outer = set(self._not_handles)
        for generator in node.generators:
            self._expression(generator.iter, guards)
            self._loop(generator.target, generator.iter)
            for test in generator.ifs:
                self._expression(test, guards)
                guards |= self._answer(test)[0]
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for part in parts:
            self._expression(part, guards)
        self._not_handles = outer

    def _attribute(self, node: ast.Attribute, guards: Guards, kind: str, arguments: Arguments | None = None) -> None:
        member = self._member(node)
        if member is not None:
            if member.path:
                self._use(member, kind, guards, node, arguments)
            if member.owner and len(member.path) > 1:
                self._refuse(node, f"{ast.unparse(node)} goes through a value without a name")
            return
        self._expression(node.value, guards)
        base = node.value.value if isinstance(node.value, ast.Subscript) else node.value
        if isinstance(base, ast.Call):
            base = base.func
        if base is not node.value and self._member(base) is not None:
            self._refuse(node, f"{ast.unparse(node)} goes through a value without a name")
        self._reading.strangers.append((node.attr, self._at(node)))

    def _call(self, node: ast.Call, guards: Guards) -> None:
        name = _called_name(node)
        if isinstance(node.func, ast.Name) and name in ("hasattr", "getattr", "setattr"):
            self._by_name(node, name, guards)
            return
        if isinstance(node.func, ast.Attribute):
            self._attribute(node.func, guards, "call", _arguments(node))
        else:
            self._expression(node.func, guards)
        self._inside_arguments(node, guards)
        key = self._called(node)
        if key is not None:
            self._package.callers[key].append(guards)
            self._check_parameters(node, key)

    def _inside_arguments(self, node: ast.Call, guards: Guards) -> None:
        for value in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self._expression(value, guards)

    def _by_name(self, node: ast.Call, function: str, guards: Guards) -> None:
        self._inside_arguments(node, guards)
        held = self._member(node.args[0])
        if held is None:
            return
        literal = node.args[1]
        if not (isinstance(literal, ast.Constant) and isinstance(literal.value, str)):
            self._refuse(node, f"{ast.unparse(node)} takes its name from a value; write the name out")
            return
        member = Member(held.owner, (*held.path, literal.value))
        optional = function == "hasattr" or (function == "getattr" and len(node.args) == 3)
        kind = "test" if optional else {"getattr": "read", "setattr": "set"}[function]
        self._use(member, kind, guards, node)

    def _called(self, node: ast.Call) -> Key | None:
        """The function or class of ours that is called: of this file, imported, of an imported module, or a method."""
        function = node.func
        if isinstance(function, ast.Name):
            key = self._package.imported.get((self._name, function.id), (self._name, function.id))
        elif isinstance(function, ast.Attribute) and is_self(function.value):
            key = (self._name, function.attr)
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            key = (self._package.imported.get((self._name, function.value.id), ("", ""))[0], function.attr)
        else:
            return None
        return key if key in self._package.functions or key in self._package.constructors else None

    def _functions(self, node: ast.Call) -> list[ast.FunctionDef]:
        key = self._called(node)
        return [] if key is None else self._package.functions.get(key, [])

    def _check_parameters(self, node: ast.Call, key: Key) -> None:
        """A handle that is handed to a function of ours arrives under its own name."""
        for function in self._package.functions.get(key, []):
            parameters = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
            self._check_arrival(node, parameters[1:] if parameters[:1] in (["self"], ["cls"]) else parameters)
        if key in self._package.constructors:
            self._check_arrival(node, self._package.constructors[key])

    def _check_arrival(self, node: ast.Call, parameters: list[str]) -> None:
        pairs = [(value, parameter) for value, parameter in zip(node.args, parameters, strict=False)]
        pairs += [(keyword.value, keyword.arg) for keyword in node.keywords if keyword.arg]
        for value, parameter in pairs:
            held = self._handle(value)
            if held is not None and parameter.lstrip("_") != held:
                self._refuse(value, f"{ast.unparse(value)} is handed over as {parameter}; its name is {held}")

    # What is what

    def _handle(self, node: ast.AST) -> str | None:
        """The handle's name, if the expression is one."""
        if isinstance(node, ast.Name):
            return node.id if node.id in HANDLES and node.id not in self._not_handles else None
        if isinstance(node, ast.Attribute) and is_self(node.value):
            name = node.attr.lstrip("_")
            method = (self._name, node.attr) in self._package.functions
            return name if name in HANDLES and node.attr.startswith("_") and not method else None
        return None

    def _member(self, node: ast.AST) -> Member | None:
        """What a chain of attributes on a handle names."""
        path: list[str] = []
        while self._handle(node) is None:
            if isinstance(node, ast.Name) and node.id in self._aliases:
                return Member(self._aliases[node.id].owner, (*self._aliases[node.id].path, *path))
            if not isinstance(node, ast.Attribute):
                return None
            path.insert(0, node.attr)
            node = node.value
        return Member(HANDLES[str(self._handle(node))], tuple(path))

    def _is_member(self, node: ast.AST) -> bool:
        """Whether it is an attribute of one of TensorRT's objects: one object given to another is not held by us."""
        member = self._member(node)
        return member is not None and bool(member.path)

    def _answer(self, test: ast.expr) -> tuple[Guards, Guards]:
        """The guards that hold where `test` is true, and where it is false."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yes, no = self._answer(test.operand)
            return no, yes
        if isinstance(test, ast.BoolOp):
            answers = [self._answer(value) for value in test.values]
            side = 0 if isinstance(test.op, ast.And) else 1
            every = frozenset().union(*(answer[side] for answer in answers))
            return (every, _NONE) if side == 0 else (_NONE, every)
        if isinstance(test, ast.Call) and isinstance(test.func, ast.Name):
            return self._answer_of_call(test, test.func.id)
        return self._answers.get(ast.unparse(test), (_NONE, _NONE))

    def _answer_of_call(self, test: ast.Call, name: str) -> tuple[Guards, Guards]:
        if name == "hasattr":
            held, literal = self._member(test.args[0]), test.args[1]
            if held is not None and isinstance(literal, ast.Constant):
                member = Member(held.owner, (*held.path, str(literal.value)))
                return frozenset({Guard(member, True)}), frozenset({Guard(member, False)})
        for function in self._functions(test):
            last = function.body[-1]
            returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
            if returns == [last] and isinstance(returns[0].value, (ast.Call, ast.BoolOp, ast.UnaryOp)):
                return self._answer(returns[0].value) if _called_name(returns[0].value) != name else (_NONE, _NONE)
        return _NONE, _NONE

    def _use(
        self, member: Member, kind: str, guards: Guards, node: ast.AST, arguments: Arguments | None = None
    ) -> None:
        self._reading.uses.append(Use(member, kind, guards, self._at(node), arguments))

    def _refuse(self, node: ast.AST, why: str) -> None:
        self._reading.refused.append(f"{self._at(node)}: {why}")

    def _at(self, node: ast.AST) -> str:
        return f"{self._name}:{node.lineno}"  # type: ignore[attr-defined]


def _leaves(block: list[ast.stmt]) -> bool:
    return bool(block) and isinstance(block[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))


def _is_typed(annotation: ast.expr) -> bool:
    """Whether it names a type of ours or of the language: TensorRT's objects are `Any`."""
    return "Any" not in ast.unparse(annotation)


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _is_self_attribute(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and is_self(node.value)


def _plain_name(target: ast.expr) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and is_self(target.value):
        return target.attr.lstrip("_")
    return None


def _called_name(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _arguments(node: ast.Call) -> Arguments | None:
    if any(isinstance(value, ast.Starred) for value in node.args) or any(word.arg is None for word in node.keywords):
        return None
    return Arguments(len(node.args), tuple(str(word.arg) for word in node.keywords))
