"""Escaping of text for terminals, tables and spreadsheets.

Names of classes, cases and arms come from files of unknown origin. An escape sequence in a name
must not reach a terminal, and a formula must not reach a spreadsheet.
"""

from __future__ import annotations

import unicodedata

# Joiners of Persian and Indic scripts and of many emoji; they do not change the writing direction.
_JOINERS = "\u200c\u200d"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_FORMULA = ("=", "+", "-", "@")


def plain(text: str) -> str:
    r"""Escape every character that has an effect but no visible form, for example `\u001b`.

    These are control characters, marks of writing direction, invisible characters, and unpaired
    surrogates (from file names that are not UTF-8). Line ends and tabs are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if sign in "\n\t" else _seen(sign) for sign in text)


def one_line(text: str) -> str:
    """Escape like `plain` and replace line ends and tabs by spaces, for names and table cells."""
    return plain(text).replace("\n", " ").replace("\t", " ")


def csv_cell(text: str) -> str:
    """Escape a text for a spreadsheet: a text that looks like a formula is prefixed with `'`.

    Numbers are unchanged.
    """
    shown = plain(text)
    if shown.lstrip().startswith(_FORMULA) and not _is_number(shown):
        return f"'{shown}"
    return shown


def _seen(sign: str) -> str:
    if unicodedata.category(sign) not in _HIDDEN or sign in _JOINERS:
        return sign
    # Escape as JSON does, so that escaped JSON remains valid JSON.
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
