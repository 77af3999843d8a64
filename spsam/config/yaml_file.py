"""Strict YAML: YAML 1.2 scalars, no duplicate keys, and a line number for every key.

Only the composer of ruamel.yaml is used, which provides nodes with their lines. No constructor is
called, so that tags in a file cannot execute code.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from spsam.errors import InputError, Problem

KeyPath = tuple[str | int, ...]

# The core schema of YAML 1.2 (section 10.3.2 of its specification); everything else is text.
_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], int | float | bool | None]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)

_IS_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_LONGEST_NUMBER = 1000
# The scanner's time per character grows with the number of open brackets.
_BRACKET, _DEEPEST = re.compile(r"[][{}]"), 200

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge", "value")
)


@dataclass(frozen=True)
class YamlFile:
    """A parsed file. Instances are cached and shared: do not modify `data`.

    Attributes:
        path: The path of the file as passed by the caller.
        data: Plain mappings, lists and scalars; keys are text.
        lines: Line of every key and list item, counted from 1.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest enclosing key."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def read_yaml(path: Path) -> YamlFile:
    """Reads a file whose top level is a mapping.

    Raises:
        InputError: If the file cannot be read, is not valid YAML, repeats a key, uses anchors or
            tags, or does not contain a mapping. Mistakes are reported with file and line, and all
            together unless parsing fails.
    """
    path = Path(path)
    try:
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise InputError(Problem(f"cannot be read: {error.strerror or error}", path)) from error


def read_value(text: str, named: str = "value") -> Any:
    """Reads a single value as in a file, e.g. the value of `--set a.b=value`.

    Args:
        text: YAML text, e.g. `0.1`, `[1, 2]`, `null`.
        named: Name of the value in error messages.

    Raises:
        InputError: If the text is not valid YAML.
    """
    reader = _Reader(None)
    node = _compose(text, None, named)
    value = reader.value(node, ()) if node is not None else None
    if reader.problems:
        raise InputError([Problem(f"{named}: {problem.message}") for problem in reader.problems])
    return value


@lru_cache(maxsize=512)
def _read(path: Path, _modified: int, _size: int) -> YamlFile:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(Problem("is not UTF-8 text", path)) from error
    node = _compose(text, path, "file")
    if not isinstance(node, MappingNode):
        got = "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "text"
        raise InputError(Problem(f"expected a mapping (key: value), got {got}", path, 1))
    reader = _Reader(path)
    data = reader.value(node, ())
    if reader.problems:
        raise InputError(reader.problems)
    return YamlFile(path, data, reader.lines)


def _compose(text: str, path: Path | None, named: str) -> Node | None:
    if _nesting(text) > _DEEPEST:
        raise InputError(Problem("is not valid YAML: nested too deeply", path))
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = error.problem or error.context or "not understood"
        message = f"is not valid YAML: {why}"
        if path is None:
            message = f"{named} {message}"
        line = None if path is None or mark is None else mark.line + 1
        raise InputError(Problem(message, path, line)) from error
    except (YAMLError, RecursionError) as error:
        why = (
            "nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        )
        raise InputError(Problem(f"is not valid YAML: {why}", path)) from error
    return node


def _nesting(text: str) -> int:
    """The maximum depth of open brackets, including brackets in text and comments."""
    deepest = depth = 0
    for found in _BRACKET.finditer(text):
        depth = depth + 1 if found[0] in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


class _Reader:
    """Converts nodes to plain values; collects lines and mistakes."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: Node, path: KeyPath) -> Any:
        if node.anchor:
            self._refuse(node, f"anchors (&{node.anchor}) are not supported; repeat the value")
            return None  # not followed: an alias may contain itself
        if str(node.tag) not in _PLAIN_TAGS:
            self._refuse(node, f"tags ({node.tag}) are not supported; write a plain value")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return self._sequence(node, path)
        assert isinstance(node, ScalarNode)
        return self._scalar(node) if node.style is None else node.value

    def _scalar(self, node: ScalarNode) -> Any:
        # Python does not print whole numbers of thousands of digits, but parses hexadecimal ones.
        text: str = node.value
        if len(text) <= _LONGEST_NUMBER or not _IS_WHOLE.fullmatch(text):
            return scalar(text)
        self._refuse(node, f"expected a shorter number, got one of {len(text)} digits")
        return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._refuse(key_node, "a key must be a word")
                continue
            key = key_node.value
            here = (*path, key)
            if key in result:
                self._refuse(
                    key_node, f"key '{key}' is repeated (first in line {self.lines[here]})"
                )
                continue
            self.lines[here] = _line(key_node)
            result[key] = self.value(value_node, here)
        return result

    def _sequence(self, node: SequenceNode, path: KeyPath) -> list[Any]:
        result = []
        for index, item in enumerate(node.value):
            self.lines[(*path, index)] = _line(item)
            result.append(self.value(item, (*path, index)))
        return result

    def _refuse(self, node: Node, message: str) -> None:
        self.problems.append(Problem(message, self.file, _line(node) if self.file else None))


def scalar(text: str) -> str | int | float | bool | None:
    """Converts a plain (unquoted) scalar as in YAML 1.2: `1e-4` is a number, `off` is text."""
    for pattern, convert in _SCALARS:
        if pattern.fullmatch(text):
            return convert(text)
    return text


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def to_yaml(data: Mapping[str, Any]) -> str:
    """Plain values as YAML, with one key per line, in their order."""
    text = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(data, text)
    return text.getvalue()
