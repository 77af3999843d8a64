"""Unique names of classes for tables, figures, result files and experiment trackers."""

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
"""Names of numbers about all classes. A class with such a name is renamed, in any spelling."""

_LONGEST = 100
_MARKED = re.compile(r"-[0-9a-f]{8}$")


def class_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Return a unique display name for each class in tables, figures and results.

    Most names are unchanged. A class is prefixed with its number (`class 4 - mean`) if its name is
    reserved for a number about all classes (`mean`) or looks like another class's name. Invisible
    characters are escaped.

    Args:
        names: Names of all classes in the order of their ids, background first.

    Returns:
        One name per class, all different.
    """
    shown = [one_line(name).strip() for name in names]
    looks = Counter(map(_look, shown))
    labels = []
    for number, name in enumerate(shown):
        label = name
        # The background is in no list of numbers, so its name cannot collide with one.
        if number and (not name or name.casefold() in RESERVED or looks[_look(name)] > 1):
            label = f"class {number} - {name}" if name else f"class {number}"
        while label in labels or (label != name and label in shown):
            # Another class already has exactly this name.
            label = f"{label} - class {number}"
        labels.append(label)
    return tuple(labels)


def class_metrics(names: Sequence[str], metric: str) -> tuple[str, ...]:
    """Return a unique metric name for each class, such as `dice/left ventricle`, for trackers.

    The first digits of a hash are appended to a label that trackers do not accept, or that equals
    another one if case and accents are ignored, as databases do.

    Args:
        names: Names of all classes, background first.
        metric: The part before the slash.

    Returns:
        One name per foreground class.
    """
    labels = class_labels(names)[1:]
    alike = Counter(map(_folded, labels))
    return tuple(f"{metric}/{tracked(label, marked=alike[_folded(label)] > 1)}" for label in labels)


def tracked(name: str, *, marked: bool = False) -> str:
    """Convert a text to a unique name of letters, digits, `_ - .` and space, for trackers.

    Args:
        name: Any text.
        marked: Append the hash even if the name is allowed.

    Returns:
        The name itself if it is allowed, otherwise the allowed characters and a hash.
    """
    allowed = re.sub(r"[^\w\-. ]", "_", unicodedata.normalize("NFC", name))[:_LONGEST].strip(" ._")
    if allowed and allowed == name and not marked and not _MARKED.search(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{allowed or 'name'}-{digest}"


def _look(name: str) -> str:
    """Normalise a name so that names that look the same become equal."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _folded(name: str) -> str:
    """Normalise a name so that names that a database may consider equal become equal."""
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join(sign for sign in parts if not unicodedata.combining(sign))
