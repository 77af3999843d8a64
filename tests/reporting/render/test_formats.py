from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spsam.errors import SpsamError
from spsam.reporting.render.files import FORMATS, to_csv, write_provenance, write_table
from spsam.reporting.render.html import to_html
from spsam.reporting.render.latex import compile_pdf, tex, to_document, to_latex
from spsam.reporting.render.markdown import to_markdown
from spsam.reporting.render.model import (
    Cell,
    Column,
    Group,
    Line,
    Table,
    number,
    plain,
    ranks,
    signed,
)
from spsam.reporting.render.screen import to_rich
from tests.reporting.render.examples import SIGNS, TABLE, line

GOLDEN = Path(__file__).parent / "golden"
LONG = replace(
    TABLE,
    name="long",
    groups=(Group("many", tuple(line(f"row{n}", float(n)) for n in range(60))),),
)


@pytest.mark.parametrize("table", [TABLE, LONG], ids=lambda table: table.name)
@pytest.mark.parametrize("kind", list(FORMATS))
def test_golden_files(kind: str, table: Table) -> None:
    ending, show = FORMATS[kind]
    golden = GOLDEN / f"{table.name}.{ending}"
    # After a change that is meant: remove the file, run once, and look at what was written.
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(show(table), encoding="utf-8")
        pytest.fail(f"{golden.name} was missing and is written; look at it")
    assert show(table) == golden.read_text(encoding="utf-8")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_no_sign_of_tex_survives_alone(text: str) -> None:
    shown = tex(text)
    for sign in "&%$#_":
        assert shown.replace(f"\\{sign}", "").count(sign) == 0
    for sign in "~^<>|":
        assert sign not in shown


def test_a_row_is_no_option_of_the_line_before() -> None:
    rows = [text.strip() for text in to_latex(replace(TABLE, groups=TABLE.groups[:1])).split("\n")]
    assert not any(row.startswith(("[", "*")) for row in rows)
    ungrouped = replace(TABLE, groups=(Group("", TABLE.groups[0].lines),))
    assert "{}[A] &" in to_latex(ungrouped)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_kinds_of_tables_compile_into_one_pdf(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tables.pdf"
    compile_pdf(to_document([TABLE, LONG], f"Study {SIGNS}"), path)
    assert path.read_bytes().startswith(b"%PDF")
    assert [file.name for file in path.parent.iterdir()] == ["tables.pdf"]
    if shutil.which("pdftotext"):
        done = subprocess.run(["pdftotext", path, "-"], capture_output=True, text=True, check=True)
        text = " ".join(done.stdout.split())
        for shown in ("a_b & 50% #1 $x {y}", "title_of & 100%", "90.00", "row59", "CNN_1"):
            assert shown in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_what_latex_refuses_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(SpsamError, match="Undefined control sequence"):
        compile_pdf(r"\documentclass{article}\begin{document}\oops\end{document}", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_markdown_has_one_line_a_row() -> None:
    lines = to_markdown(TABLE).splitlines()
    for text in lines[: 2 + len(TABLE.lines)]:
        # Bars that are not escaped divide cells.
        assert text.replace("\\|", "").count("|") == len(TABLE.columns) + 2
    assert "**90.00 ± 0.10**<sup>a</sup>" in lines[2]
    assert "<u>85.00 ± 0.10</u>" in lines[4]


def test_csv_has_every_value() -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert [row["family"] for row in read] == ["CNN_1", "CNN_1", "rest", "rest"]
    assert read[0]["dice"] == "90.000000"
    assert read[3]["dice"] == ""
    assert read[3]["std"] == "0.100000"


def test_html_is_well_formed_and_escaped() -> None:
    opened: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    text = to_html(TABLE)
    Parser().feed(text)
    assert opened == []
    assert "&lt;z&gt;" in text
    assert '<th scope="rowgroup" rowspan="2">CNN_1</th>' in text
    assert "<strong>90.00 ± 0.10</strong><sup>a</sup>" in text


def screen(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(to_rich(table, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_no_number_is_cut_on_a_narrow_screen() -> None:
    wide = screen(TABLE, 120)
    assert SIGNS in wide  # no markup is read in a title
    assert "Not shown" not in wide
    narrow = screen(TABLE, 50)
    assert "…" not in narrow
    assert "90.00 ± 0.10 (a)" in narrow
    assert "lack of width: titles." in " ".join(narrow.split())


def test_single_classes_go_after_titles() -> None:
    columns = (*TABLE.columns[:2], replace(TABLE.columns[2], of_class=True))
    shown = screen(replace(TABLE, columns=columns), 25)
    assert "titles and single classes." in " ".join(shown.split())


def test_provenance_says_where_numbers_come_from(tmp_path: Path) -> None:
    runs = {"run-B": {"git_commit": "abc"}, "another": {}}
    content = json.loads(write_provenance(TABLE, runs, tmp_path).read_text())
    cell = content["rows"]["B"]["dice"]
    assert cell["runs"] == ["run-B"]
    assert content["cases"][cell["cases"]] == ["case1", "case2"]
    assert content["runs"] == {"run-B": {"git_commit": "abc"}}
    assert "arm" not in content["rows"]["B"]  # a name is no number


def test_files_are_named_by_the_table(tmp_path: Path) -> None:
    paths = write_table(TABLE, tmp_path / "new", list(FORMATS))
    assert [path.name for path in paths] == [f"my_table.{e}" for e in ("md", "csv", "tex", "html")]
    assert all(path.is_file() for path in paths)


def test_columns_can_be_left_out() -> None:
    short = TABLE.without(["title"])
    assert [column.key for column in short.columns] == ["arm", "dice"]
    assert short.lines[0].cells[1].text == "90.00 ± 0.10"


def test_best_and_second_with_ties() -> None:
    values = [90.001, 90.0, 80.0, 70.0, math.nan]
    assert ranks(values) == [1, 1, 2, 0, 0]
    assert ranks(values, higher=False) == [0, 0, 2, 1, 0]
    assert ranks([90.0, math.nan]) == [0, 0]
    assert ranks([90.04, 90.01], digits=1) == [0, 0]  # equal as printed


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.234, "+1.23"), (0.001, "0.00"), (-0.001, "0.00"), (-1.5, "−1.50"), (math.nan, "—")],
)
def test_signs(value: float, shown: str) -> None:
    assert signed(value) == shown


def test_numbers_have_a_real_minus() -> None:
    assert number(-1.0) == "−1.00"
    assert re.fullmatch(r"\$-\$1\.00", tex(number(-1.0)))


def test_wide_columns_are_broken() -> None:
    wide = Column("meaning", "meaning", number=False, wide=True)
    assert r"p{0.36\textwidth}" in to_latex(replace(TABLE, columns=(*TABLE.columns[:2], wide)))


def test_signs_that_pdftex_lacks_are_declared() -> None:
    table = replace(TABLE, caption="左 Левый σ Ω ệ e\u0301 ² ü \x1b[31m \u2003 Ⅳ 😀", notes={})
    document = to_document([table], "T")
    declared = dict(re.findall(r"\\DeclareUnicodeCharacter\{(\w+)\}\{(.*)\}", document))
    assert {chr(int(key, 16)): text for key, text in declared.items()} == {
        "左": r"{\ttfamily[U+5DE6]}",
        **{"Л": "L", "е": "e", "в": "v", "ы": "y", "й": "j"},
        **{"σ": r"\ensuremath{\sigma}", "Ω": r"\ensuremath{\Omega}"},
        **{"ệ": "e", "Ⅳ": "IV", "\u2003": "~", "😀": r"{\ttfamily[U+1F600]}"},
    }
    assert "é ² ü" in document
    assert "\x1b" not in document


@pytest.mark.parametrize("show", [show for _, show in FORMATS.values()])
def test_no_format_holds_signs_that_act(show: Callable[[Table], str]) -> None:
    cell = Cell("\x1b[31m\u202e\udcff", {"arm": "=\x07\udcff"})
    table = plain("t", "\x1b", [Column("arm", "\x9b=", number=False)], [Line("a", (cell,))])
    show(table).encode("utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", show(table))


def test_a_spreadsheet_takes_no_text_for_a_formula() -> None:
    cells = [Cell("", {"=arm": "=1+1", "number": -1.5, "text": "-1.5", "more": "@x"})]
    table = plain("t", "", [Column("arm", "arm")], [Line("a", tuple(cells))])
    assert to_csv(table) == "'=arm,number,text,more\n'=1+1,-1.500000,-1.5,'@x\n"
