"""Trees of mappings, lists and scalars, as JSON and YAML have them, with a place changed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

Key = str | int

# Written as they are: what a type of Python's could not hold, or would be written otherwise.
RAW = {
    "huge": "9" * 5000,
    "1e999": "1e999",
    "-1e999": "-1e999",
    "deep": "[" * 3000 + "]" * 3000,
    "deep object": '{"a":' * 3000 + "1" + "}" * 3000,
    "NaN": "NaN",
    "Infinity": "Infinity",
    ".nan": ".nan",
    ".inf": ".inf",
    "-.inf": "-.inf",
    "hex": "0x" + "f" * 5000,
    "alias": "&a [*a]",
    "tag": "!!python/name:os.system",
}
_MARK = "\ue000{}\ue000"

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 3.5, -0.0, 1e-320, 1e308, 2**31, 2**63, 2**64, -(2**70)),
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "1.5",
        "nan",
        ".inf",
        "x",
        "ä",
        "\u0663",
        "\ud7ff",
        "\x00",
        "\x1b[31m",
    ),
    *(
        "a/b",
        "../x",
        "/etc/passwd",
        "..",
        "~",
        "C:\\x",
        "x" * 300,
        "x" * 5000,
        "=1+1",
        "$x$",
        "a\nb",
    ),
    *([], {}, [[]], [None], {"": None}, {"a": 1}, [0, 0], ["x", "x"], list(range(300))),
    *(_MARK.format(name) for name in RAW),
)


def places(tree: Any, path: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    """The paths of everything below the top."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def mutated(draw: random.Random, tree: Any, values: tuple[Any, ...] = VALUES) -> tuple[Any, str]:
    """A copy with one to three places changed, and what was done."""
    tree, said = copy.deepcopy(tree), []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        paths = list(places(tree))
        if not paths:
            break
        path = draw.choice(paths)
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        said.append(f"{'.'.join(map(str, path))} {_change(draw, holder, path[-1], tree, values)}")
    return tree, "; ".join(said)


def _change(draw: random.Random, holder: Any, key: Any, tree: Any, values: tuple[Any, ...]) -> str:
    how = draw.choice(["value"] * 5 + ["gone", "more", "key", "elsewhere"])
    if how == "gone":
        del holder[key]
        return "is gone"
    if how == "key" and isinstance(holder, dict):
        name = draw.choice([str(each) for each in values[:40]] + [f"{key}x", str(key).upper()])
        holder[name] = holder.pop(key)
        return f"is called {name!r:.40}"
    if how == "elsewhere":
        path = draw.choice(list(places(tree)))
        other = tree
        for part in path:
            other = other[part]
        holder[key] = copy.deepcopy(other)
        return f"is {'.'.join(map(str, path))}"
    value = draw.choice(values)
    if how == "more":
        if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(value))
        else:
            holder[draw.choice(["more", f"{key}_2", str(value)[:20]])] = copy.deepcopy(value)
        return f"has a neighbour {value!r:.40}"
    old = holder[key]
    if isinstance(old, str) and draw.random() < 0.3:
        at = draw.randrange(len(old) + 1)
        value = old[:at] + draw.choice(["", "x", "\x00", "0", "/", "..", "é"]) + old[at + 1 :]
    elif isinstance(old, int | float) and draw.random() < 0.6:
        # What a schema may let through.
        value = draw.choice([old * 10, old * 1e6, old / 7, -old, old + 1, 0, 1, 2, float(old)])
    holder[key] = copy.deepcopy(value)
    return f"is {value!r:.40}"


def written(tree: Any) -> str:
    """A tree as JSON, which is YAML, too."""
    text = json.dumps(tree, ensure_ascii=False)
    for name, raw in RAW.items():
        text = text.replace(f'"{_MARK.format(name)}"', raw).replace(_MARK.format(name), name)
    return text


def scratched(draw: random.Random, content: bytes) -> bytes:
    """A file's bytes with one changed, left out or put in, or cut off."""
    at = draw.randrange(max(1, len(content)))
    new = bytes(
        [draw.choice([0, 10, 34, 44, 45, 46, 58, 91, 123, 125, 128, 255, draw.randrange(256)])]
    )
    how = draw.choice(["other", "other", "gone", "more", "cut"])
    if how == "cut":
        return content[:at]
    return content[:at] + (b"" if how == "gone" else new) + content[at + (how != "more") :]
