"""Turns validation errors into messages with file, line and the nearest valid name."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from spsam.config.numbers import unusable
from spsam.config.yaml_file import KeyPath, YamlFile
from spsam.errors import InputError, Problem, nearest

ONE, SEVERAL = "<one>", "<several>"
"""Tags of a union of one item and a list of items; pydantic includes them in error locations."""


class Place(NamedTuple):
    """The place where a value was written.

    Attributes:
        file: The file; None for a value from the command line.
        line: The line in the file, counted from 1.
        flag: The option that set the value, e.g. `--set train.epochs=2`.
    """

    file: Path | None
    line: int | None
    flag: str | None = None

    def problem(self, message: str) -> Problem:
        """A problem at this place."""
        if self.flag is not None:
            return Problem(f"{self.flag}: {message}")
        return Problem(message, self.file, self.line)


PlaceOf = Callable[[KeyPath], Place]


def places_in(file: YamlFile) -> PlaceOf:
    """Maps key paths to places in a file."""
    return lambda path: Place(file.path, file.line(path))


# pydantic's terms -> terms for people who write YAML.
_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid array": "a list",
    "a valid list": "a list",
    "a valid tuple": "a list",
    "an object": "a mapping",
    "a valid dictionary": "a mapping",
    "a valid path": "a path",
}

_SINGULARS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    Path: "a path",
    tuple: "a list",
    list: "a list",
}
_PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}


def check(
    expected: Any, data: Any, place: PlaceOf, prefix: KeyPath = ()
) -> tuple[Any, list[Problem]]:
    """Validates data strictly: text is not a number, a whole number is a number, a list a tuple.

    Args:
        expected: A pydantic model or any type.
        data: Plain mappings, lists and scalars.
        place: Maps a key path, starting with `prefix`, to the place of its value.
        prefix: Key path of `data` in the file.

    Returns:
        The validated value (None if there are mistakes) and all mistakes.
    """
    wrong = [
        place((*prefix, *path)).problem(f"{_named((*prefix, *path))}{message}")
        for path, message in unusable(data)
    ]
    if wrong:
        return None, wrong
    try:
        text = json.dumps(data, default=_plain)
    except (TypeError, ValueError) as error:
        return None, [place(prefix).problem(f"{_named(prefix)}cannot be written as YAML: {error}")]
    try:
        # Only in JSON mode does strict validation accept a list for a tuple.
        return _adapter(expected).validate_json(text, strict=True), []
    except ValidationError as error:
        return None, list(_problems(expected, json.loads(text), error, place, prefix))


def dotted(path: KeyPath) -> str:
    """A key path in dotted form: `train.optimizer.lr`, `augment.scale[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def unique(problems: Iterable[Problem]) -> list[Problem]:
    """Removes repeated problems: a mistake in a base is reported once for all derived arms."""
    return list(dict.fromkeys(problems))


def raise_all(problems: Iterable[Problem]) -> None:
    """Raises an InputError with all problems, if there are any."""
    found = unique(problems)
    if found:
        raise InputError(found)


@contextmanager
def gather(problems: list[Problem]) -> Iterator[None]:
    """Collects the problems raised within the context, to report all of them together."""
    try:
        yield
    except InputError as error:
        problems.extend(error.problems)


def describe(annotation: Any) -> str:
    """Describes a type: `a whole number, a list of 2 whole numbers or null`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        titles = [title for each in args[1:] if (title := getattr(each, "title", None))]
        return titles[0] if titles else describe(args[0])
    if origin is Literal:
        return _or([f"'{value}'" for value in args])
    if origin in (Union, types.UnionType):
        literal = [arg for arg in args if get_origin(arg) is Literal]
        other = [describe(arg) for arg in args if arg not in literal]
        return _or([f"'{value}'" for arg in literal for value in get_args(arg)] + other)
    if origin in (tuple, list):
        items = [arg for arg in args if arg is not Ellipsis]
        count = "" if origin is list or Ellipsis in args else f"{len(items)} "
        return f"a list of {count}{_PLURALS.get(_bare(items[0]), 'values')}"
    return _SINGULARS.get(annotation, "a mapping")


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


@lru_cache(maxsize=512)
def _adapter(expected: Any) -> TypeAdapter[Any]:
    return TypeAdapter(expected)


def _problems(
    expected: Any, data: Any, error: ValidationError, place: PlaceOf, prefix: KeyPath
) -> Iterator[Problem]:
    unions: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path, union = _data_path(expected, detail, data)
        if union is not None:
            # Every branch of a union reports an error; they are merged into one message.
            if union in unions:
                continue
            unions.add(union)
            words, path, got = describe(_annotation(expected, union)), union, _value(data, union)
            message = f"expected {words}, got {_shown(got)}"
        elif detail["type"] == "missing" and isinstance(path[-1], int):
            path = path[:-1]  # a list that is too short
            message = f"expected {describe(_annotation(expected, path))}"
            message += f", got {_shown(_value(data, path))}"
        else:
            message = _message(expected, path, detail)
        full = (*prefix, *path)
        yield place(full).problem(f"{_named(full)}{message}")


def _data_path(expected: Any, detail: ErrorDetails, data: Any) -> tuple[KeyPath, KeyPath | None]:
    """The path of an error in the data, and the path of the enclosing union, if there is one.

    pydantic includes the branches of a union in error locations; they are not keys of the data.
    """
    path: KeyPath = ()
    union: KeyPath | None = None
    value = data
    location = detail["loc"]
    for index, part in enumerate(location):
        if part in (ONE, SEVERAL):
            continue
        if _holds(value, part):
            value = value[part]
        elif detail["type"] == "missing" and index == len(location) - 1:
            pass
        elif part in _fields(_annotation(expected, path)):
            value = None  # not written: the error is in the default
        else:
            union = path if union is None else union
            continue
        path = (*path, part)
    return path, union


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _message(expected: Any, path: KeyPath, detail: ErrorDetails) -> str:
    kind, got = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(expected, path)
    if kind == "missing":
        return "is missing"
    said = detail["msg"]
    if kind in ("value_error", "said"):
        return said.removeprefix("Value error, ")
    words = said.removeprefix("Input should be ").split(",")[0]
    words = (
        describe(_annotation(expected, path)) if kind == "too_long" else _WORDS.get(words, words)
    )
    if words.startswith(("greater", "less")):
        words = f"a number {words}"
    hint = ""
    if kind == "literal_error" and isinstance(got, str):
        words = describe(_annotation(expected, path))
        hint = _did_you_mean(got, re.findall(r"'([^']*)'", words))
    return f"expected {words}, got {_shown(got)}{hint}"


def _unknown_key(expected: Any, path: KeyPath) -> str:
    key = str(path[-1])
    around = _annotation(expected, path[:-1])
    fields = _fields(around)
    deeper = [".".join(route) for route in _routes(around) if route[-1] == key and len(route) > 1]
    if deeper and not _did_you_mean(key, fields):
        hint = f"; did you mean '{dotted((*path[:-1], *deeper[0].split('.')))}'?"
    else:
        hint = nearest(key, fields)
    return f"unknown key{hint}"


def _routes(annotation: Any) -> Iterator[tuple[str, ...]]:
    for name, field in _fields(annotation).items():
        yield (name,)
        yield from ((name, *route) for route in _routes(field))


def _fields(annotation: Any) -> Mapping[str, Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    return {}


def _annotation(expected: Any, path: KeyPath) -> Any:
    """The expected type at a path."""
    for part in path:
        if isinstance(part, int):
            args = [arg for arg in get_args(expected) if arg is not Ellipsis]
            expected = args[min(part, len(args) - 1)] if args else Any
        else:
            expected = _fields(expected).get(part, Any)
    return expected


def _value(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _did_you_mean(word: str, options: Iterable[str]) -> str:
    hint = nearest(word, options)
    return hint if "did you mean" in hint else ""


def _named(path: KeyPath) -> str:
    return f"{dotted(path)}: " if path else ""


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    if isinstance(value, dict):
        return "a mapping"
    return json.dumps(value, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"a {type(value).__name__} is neither a number, text, a list nor a mapping")
