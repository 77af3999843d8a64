"""Text as each kind of output can take it.

Names of classes, cases and arms come from files that anybody may have written. An escape sequence
in one of them must not reach a terminal, nor a formula a spreadsheet.
"""

from __future__ import annotations

import unicodedata

# Persian and Indic scripts and many emoji are written with these two; they change no direction.
_JOINERS = "\u200c\u200d"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_FORMULA = ("=", "+", "-", "@")


def plain(text: str) -> str:
    r"""The text with every sign that acts instead of being seen spelled out, e.g. `\u001b`.

    These are control characters, marks of writing direction, invisible signs, and halves of
    surrogate pairs (from file names that are not UTF-8). Ends of lines and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if sign in "\n\t" else _seen(sign) for sign in text)


def one_line(text: str) -> str:
    """`plain`, without ends of lines and tabs: a name, or a cell of a table."""
    return plain(text).replace("\n", " ").replace("\t", " ")


def csv_cell(text: str) -> str:
    """A text that a spreadsheet takes for text: what looks like a formula begins with `'`.

    A number stays a number.
    """
    shown = plain(text)
    if shown.lstrip().startswith(_FORMULA) and not _is_number(shown):
        return f"'{shown}"
    return shown


def _seen(sign: str) -> str:
    if unicodedata.category(sign) not in _HIDDEN or sign in _JOINERS:
        return sign
    # As JSON spells them, so that JSON stays JSON.
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
