from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spsam.text.escape import csv_cell, one_line, plain

ANY = st.text(st.characters(), max_size=30)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("left ventricle", "left ventricle"),
        ("左心室 é 😀", "左心室 é 😀"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\x1b[31mred\x07", r"\u001b[31mred\u0007"),
        ("a\u202eb\u2066c", r"a\u202eb\u2066c"),
        ("a\x7f\x9bb", r"a\u007f\u009bb"),
        ("not utf-8: \udcff", r"not utf-8: \udcff"),
        ("\U000e0041", r"\udb40\udc41"),
        ("two\nlines\t", "two\nlines\t"),
    ],
)
def test_what_acts_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert "\n" not in one_line(text)


@given(ANY)
def test_plain_text_can_be_written_and_is_json_within_json(text: str) -> None:
    shown = plain(text)
    shown.encode("utf-8")
    assert plain(shown) == shown
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in shown)
    json.loads(plain(json.dumps({"name": text}, ensure_ascii=False)))


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\t=1+1"),
        (" =1+1", "' =1+1"),
        ("-5.25", "-5.25"),
        ("+1e-3", "+1e-3"),
        ("-inf", "-inf"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_formula_is_text_and_a_number_a_number(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


@given(ANY)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = csv_cell(text)
    stream = io.StringIO()
    csv.writer(stream).writerow([cell, "x"])
    if cell.strip()[:1] in ("=", "+", "-", "@"):
        float(cell)
