"""Reads classes, signatures and constants from source code, without importing it."""

from __future__ import annotations

import ast
import builtins
import operator
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Literal

from spsam.errors import InputError, Problem
from spsam.registry.targets import module_file, spsam_root

_STANDARD = sys.stdlib_module_names

# The types that annotations of YAML parameters may consist of.
_TYPES: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "tuple": tuple,
    "list": list,
    "None": None,
}

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Module:
    """The top level of a module.

    Attributes:
        name: Its dotted name.
        file: Its source file.
        root: The folder that contains its top-level package.
        classes: Class definitions by name.
        values: Right-hand sides of assignments by name.
        imports: Local name -> (module, name in that module).
    """

    name: str
    file: Path
    root: Path
    classes: dict[str, ast.ClassDef]
    values: dict[str, ast.expr]
    imports: dict[str, tuple[str, str]]

    def fail(self, node: ast.AST, message: str) -> InputError:
        """An error at a node of this module."""
        return InputError(Problem(message, self.file, getattr(node, "lineno", None)))

    def follow(self, name: str) -> tuple[Module, str] | None:
        """The definition of an imported name, if it is in this root or in spsam."""
        if name not in self.imports:
            return None
        module, there = self.imports[name]
        root = spsam_root() if module.partition(".")[0] == "spsam" else self.root
        file = module_file(module, root)
        return None if file is None else (read_module(module, file, root), there)


def read_module(name: str, file: Path, root: Path) -> Module:
    """Parses a module's file.

    Raises:
        InputError: If it is not valid Python.
    """
    stat = file.stat()
    return _parse(name, file, root, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _parse(name: str, file: Path, root: Path, _modified: int, _size: int) -> Module:
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise InputError(
            Problem(f"is not valid Python: {error.msg}", file, error.lineno)
        ) from error
    module = Module(name, file, root, {}, {}, {})
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    _gather(module, package, tree.body)
    return module


def _gather(module: Module, package: str, body: list[ast.stmt]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            module.classes[node.name] = node
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            where = ".".join([*above, *([node.module] if node.module else [])])
            where = where if node.level else node.module or ""
            for alias in node.names:
                module.imports[alias.asname or alias.name] = (where, alias.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            module.values[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            module.values[node.target.id] = node.value
        elif isinstance(node, ast.If):  # if TYPE_CHECKING:
            _gather(module, package, node.body)


def inits(module: Module, name: str) -> Iterator[tuple[Module, ast.FunctionDef]]:
    """The `__init__` of a class and of its bases, nearest first, each with its module."""
    if name not in module.classes:
        there = module.follow(name)
        if there is not None:
            yield from inits(*there)
        return
    definition = module.classes[name]
    for statement in definition.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            yield module, statement
    for base in definition.bases:
        plain = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(plain, ast.Name):
            yield from inits(module, plain.id)


def handed_on(init: ast.FunctionDef) -> set[str] | None:
    """The keywords that an `__init__` sets when it passes its `**` parameters to its base.

    Returns:
        The keywords of `super().__init__(..., key=..., **base)`; None if there is no such call.
    """
    for node in ast.walk(init):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
            rest = [ast.unparse(given.value) for given in node.keywords if given.arg is None]
            if init.args.kwarg is not None and rest == [init.args.kwarg.arg]:
                return {given.arg for given in node.keywords if given.arg is not None}
    return None


def derives(module: Module, name: str, base: tuple[str, str]) -> bool | None:
    """Whether a class derives from another, according to its source code.

    Args:
        module: The module of the class.
        name: Name of the class.
        base: Module and name of the other class.

    Returns:
        None if a base is in a package whose source is not read; only an import can decide.
    """
    if name not in module.classes:
        there = module.imports.get(name)
        if there == base:
            return True
        found = module.follow(name)
        if found is not None:
            return derives(*found, base)
        return False if there is None and hasattr(builtins, name) else _outside(module, there)
    if (module.name, name) == base:
        return True
    answers = [_base_derives(module, node, base) for node in module.classes[name].bases]
    return True if True in answers else None if None in answers else False


def _base_derives(module: Module, node: ast.expr, base: tuple[str, str]) -> bool | None:
    plain = node.value if isinstance(node, ast.Subscript) else node
    if isinstance(plain, ast.Name):
        return derives(module, plain.id, base)
    return _outside(module, module.imports.get(ast.unparse(plain).partition(".")[0]))


def _outside(module: Module, there: tuple[str, str] | None) -> bool | None:
    """Whether a class in a package whose source is not read derives from a class of spsam."""
    package = there[0].partition(".")[0] if there else ""
    # Classes of PyTorch, the standard library and spsam's dependencies are never components.
    foreign = module.root == spsam_root() or package == "torch" or package in _STANDARD
    return False if foreign else None


def annotation(module: Module, node: ast.expr) -> Any:
    """Evaluates a type annotation in a closed namespace, without executing code.

    Raises:
        InputError: If it contains anything but int, float, bool, str, None, tuple, list, Literal
            and |, or names of such types.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return annotation(module, ast.parse(node.value, mode="eval").body)
    if isinstance(node, ast.Constant) and node.value in (None, Ellipsis):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        # In one step: nested unions of Literals would not equal those built by Python.
        parts = [annotation(module, part) for part in _alternatives(node)]
        return reduce(operator.or_, parts)
    if isinstance(node, ast.Subscript):
        return _subscript(module, node)
    if isinstance(node, ast.Name):
        if node.id in _TYPES:
            return _TYPES[node.id]
        known = _lookup(module, node.id)
        if known is not None:
            return annotation(*known)
    raise module.fail(
        node,
        f"'{ast.unparse(node)}' is not a supported type of a YAML parameter; supported: int, "
        "float, bool, str, None, tuple, list, Literal and | of these",
    )


def _alternatives(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_alternatives(node.left), *_alternatives(node.right)]
    return [node]


def _subscript(module: Module, node: ast.Subscript) -> Any:
    generic = node.value.attr if isinstance(node.value, ast.Attribute) else ast.unparse(node.value)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if generic == "Literal":
        return Literal[tuple(constant(module, part) for part in inner)]
    if generic in ("tuple", "list"):
        parts = tuple(annotation(module, part) for part in inner)
        return types.GenericAlias(_TYPES[generic], parts)
    raise module.fail(node, f"'{ast.unparse(node)}' is not a supported type of a YAML parameter")


def constant(module: Module, node: ast.expr) -> Any:
    """Evaluates a default: a literal, arithmetic of literals, or the name of such a constant.

    Raises:
        InputError: If it is anything else.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple):
        return tuple(constant(module, part) for part in node.elts)
    if isinstance(node, ast.List):
        return [constant(module, part) for part in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -constant(module, node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = constant(module, node.left), constant(module, node.right)
        return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Name):
        known = _lookup(module, node.id)
        if known is not None:
            return constant(*known)
    raise module.fail(node, f"'{ast.unparse(node)}' is not a supported default of a YAML parameter")


def _lookup(module: Module, name: str) -> tuple[Module, ast.expr] | None:
    """The right-hand side of a name's assignment, in this module or where it is imported from."""
    if name in module.values:
        return module, module.values[name]
    there = module.follow(name)
    return _lookup(*there) if there is not None else None
