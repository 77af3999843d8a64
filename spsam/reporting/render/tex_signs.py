"""Replacements for characters that pdfTeX's fonts lack; XeTeX and LuaTeX use a system font."""

from __future__ import annotations

import unicodedata

# T1 and TS1 contain all other characters from U+00A1 to U+017E.
_LACKING = "ĦħĸĿŀŉŦŧ"
_LATIN = (
    "a b v g d e zh z i j k l m n o p r s t u f kh ts ch sh shch '' y ' e yu ya "
    "i yi ye g u j lj nj c dz dj dz"
)
_CYRILLIC = dict(
    zip("абвгдежзийклмнопрстуфхцчшщъыьэюяіїєґўјљњћџђѕ", _LATIN.split(" "), strict=True)
)
_COMMANDS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon phi chi psi omega varsigma Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_GREEK = frozenset(_COMMANDS.split(" "))
_OTHER_NAMES = {"lamda": "lambda", "final sigma": "varsigma"}
_LIKE_LATIN = {"Eta": "H", "Rho": "P", "Chi": "X"}


def declarations(document: str) -> list[str]:
    r"""A `\DeclareUnicodeCharacter` for every character of a document that pdfTeX cannot print.

    Greek letters become symbols, Cyrillic letters are transliterated, and letters lose unsupported
    accents; any other character is replaced by its code.

    Args:
        document: Text in composed form (NFC).
    """
    lacking = sorted({sign for sign in document if not sign.isascii() and not _is_known(sign)})
    return [rf"\DeclareUnicodeCharacter{{{ord(sign):04X}}}{{{_instead(sign)}}}" for sign in lacking]


def _is_known(sign: str) -> bool:
    return "\u00a1" <= sign <= "\u017e" and sign not in _LACKING


def _instead(sign: str) -> str:
    if unicodedata.category(sign) == "Zs":
        return "~"
    parts = unicodedata.normalize("NFKD", sign)
    letters = "".join(each for each in parts if not unicodedata.combining(each))
    if letters and all(each.isascii() and each.isalnum() for each in letters):
        return letters
    letter = _greek(letters) or _cyrillic(sign) or _cyrillic(letters)
    return letter or rf"{{\ttfamily[U+{ord(sign):04X}]}}"


def _greek(letter: str) -> str:
    words = unicodedata.name(letter, "").split(" ", 3) if len(letter) == 1 else []
    if words[:1] != ["GREEK"] or words[2:3] != ["LETTER"]:
        return ""
    name = words[3].lower()
    name = _OTHER_NAMES.get(name, name)
    if words[1] == "CAPITAL":
        name = name.capitalize()
    # The other letters look like Latin ones and have no command.
    command = rf"\{name}" if name in _GREEK else _LIKE_LATIN.get(name, name[:1])
    return rf"\ensuremath{{{command}}}"


def _cyrillic(letter: str) -> str:
    latin = _CYRILLIC.get(letter.lower(), "")
    return latin.capitalize() if letter.isupper() else latin
