"""One name for each class, wherever classes stand beside other numbers."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from spsam.text.escape import one_line

RESERVED = frozenset(
    ("mean", "std", "median", "min", "max", "total", "all", "loss", "validation", "epoch", "step")
)
"""Names of numbers about all classes: no class is called so beside them, in any spelling."""

_LONGEST = 100
_MARKED = re.compile(r"-[0-9a-f]{8}$")


def class_labels(names: Sequence[str]) -> tuple[str, ...]:
    """What each class is called in tables, figures and results: one to one.

    A name stays as it is, but that a class called like a number about all classes (`mean`), or like
    another class, gets its own number before its name: `class 4 - mean`. Signs that cannot be seen
    are spelled out.

    Args:
        names: Of all classes in the order of their ids, the background first.

    Returns:
        As many, each other than the rest.
    """
    shown = [one_line(name).strip() for name in names]
    looks = Counter(map(_look, shown))
    labels = []
    for number, name in enumerate(shown):
        label = name
        # The background stands in no list of numbers.
        if number and (not name or name.casefold() in RESERVED or looks[_look(name)] > 1):
            label = f"class {number} - {name}" if name else f"class {number}"
        while label in labels or (label != name and label in shown):
            # Somebody has called another class just so.
            label = f"{label} - class {number}"
        labels.append(label)
    return tuple(labels)


def class_metrics(names: Sequence[str], metric: str) -> tuple[str, ...]:
    """The metrics of the classes as trackers take them, e.g. `dice/left ventricle`: one to one.

    A label that is no tracker's name, or would be equal to another where case and accents do not
    count (as in databases), has the first digits of its hash behind it.

    Args:
        names: Of all classes, the background first.
        metric: What stands before the slash.

    Returns:
        One for each foreground class.
    """
    labels = class_labels(names)[1:]
    alike = Counter(map(_folded, labels))
    return tuple(f"{metric}/{tracked(label, marked=alike[_folded(label)] > 1)}" for label in labels)


def tracked(name: str, *, marked: bool = False) -> str:
    """A name of letters, digits and `_ - .` and space, as trackers take it; one to one.

    Args:
        name: Any text.
        marked: Whether its hash stands behind it although the name is allowed.
    """
    allowed = re.sub(r"[^\w\-. ]", "_", unicodedata.normalize("NFC", name))[:_LONGEST].strip(" ._")
    if allowed and allowed == name and not marked and not _MARKED.search(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{allowed or 'name'}-{digest}"


def _look(name: str) -> str:
    """Equal for names that look the same."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _folded(name: str) -> str:
    """Equal for names that a database may take for the same."""
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in parts if not unicodedata.combining(sign))
