from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spsam.reporting.ablation_table import ablation_table, caption
from spsam.reporting.render import columns, tex, to_latex, to_markdown, to_rich, write_files
from tests.reporting.examples import ARMS, CLASSES, PROVENANCE, arm, rows

CAPTION = caption(PROVENANCE)

DOCUMENT = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\usepackage{graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return ablation_table(ARMS, CLASSES)


def cells(table: pd.DataFrame, head: str) -> list[str]:
    (found,) = [column for column in columns(table) if column.head == head]
    return [cell.text for cell in found.cells]


def test_texts(table: pd.DataFrame) -> None:
    assert cells(table, "Dice") == ["50.00 ± 14.14", "85.00 ± 7.07", "failed", "90.00 (n=1)", "—"]
    assert cells(table, "change") == ["", "+35.00 (S1)", "", "+5.00 (S2)", ""]
    assert cells(table, "trained (M)")[1] == "1.235"
    assert cells(table, "published (ACDC)") == ["79.57", "82.20", "90.08", "—", "—"]
    assert cells(table, CLASSES[1]) == ["70.00", "80.00", "—", "90.00", "—"]


def test_best_and_second_with_ties() -> None:
    arms = [
        arm(name, None, rows([1.0, value, value]))
        for name, value in [("a", 0.9), ("b", 0.90001), ("c", 0.8), ("d", 0.7), ("e", 0.1)]
    ]
    dice = columns(ablation_table(arms, CLASSES))[2]
    assert [cell.rank for cell in dice.cells] == [1, 1, 2, 0, 0]
    alone = columns(ablation_table(arms[:1], CLASSES))[2]
    assert [cell.rank for cell in alone.cells] == [0]


def test_no_published_column_for_unpublished_arms() -> None:
    heads = [column.head for column in columns(ablation_table([arm("x", None, "failed")], CLASSES))]
    assert "published (ACDC)" not in heads


@pytest.mark.parametrize(("change", "shown"), [(0.001, "0.00"), (-0.001, "0.00"), (-1.5, "−1.50")])
def test_signs(change: float, shown: str) -> None:
    arms = [
        arm("a", None, rows([1.0, 0.5, 0.5])),
        arm("b", "a", rows([1.0, 0.5 + change / 100, 0.5 + change / 100])),
    ]
    assert cells(ablation_table(arms, CLASSES), "change")[1] == f"{shown} (a)"


def screen(table: pd.DataFrame, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(to_rich(table, CAPTION, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_screen(table: pd.DataFrame) -> None:
    shown = screen(table, 160)
    assert "a_b & c% [bold]" in shown  # no markup is read in a title
    assert "50.00 ± 14.14" in shown
    assert "0123abcd" in shown
    assert "Not shown" not in shown


@pytest.mark.parametrize(
    ("width", "left_out"), [(60, "titles and single classes."), (100, "titles."), (160, "")]
)
def test_no_number_is_cut_on_a_narrow_screen(
    width: int, left_out: str, table: pd.DataFrame
) -> None:
    shown = screen(table, width)
    assert "…" not in shown
    assert shown.count("failed") == 1
    assert ("70.00" in shown) == ("classes" not in left_out)
    assert " ".join(shown.split()).endswith(left_out or "weights.")


def test_markdown_has_one_line_an_arm(table: pd.DataFrame) -> None:
    lines = to_markdown(table, CAPTION).splitlines()
    width = len(columns(table))
    assert lines[1].count("---") == width
    for line in lines[: 2 + len(ARMS)]:
        # Bars that are not escaped divide cells.
        assert line.replace("\\|", "").count("|") == width + 1
    assert "**90.00 (n=1)**" in lines[5]
    assert "<u>85.00 ± 7.07</u>" in lines[3]
    assert lines[-1].startswith("Dice in percent on my\\_data")


def test_files(table: pd.DataFrame, tmp_path: Path) -> None:
    paths = write_files(table, CAPTION, tmp_path / "new")
    assert [path.name for path in paths] == ["table.md", "table.csv", "table.tex"]
    with paths[1].open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [line["arm"] for line in read] == [result.name for result in ARMS]
    assert read[0]["dice"] == "50.0000"
    assert read[2]["dice"] == ""
    assert read[2]["title"] == ARMS[2].title


def test_latex_escapes_names(table: pd.DataFrame) -> None:
    text = to_latex(table, CAPTION)
    assert r"right\_ventricle" in text
    assert r"my \& o 100\%" in text
    assert r"\textbf{90.00 (n=1)}" in text
    assert r"\underline{85.00 $\pm$ 7.07}" in text
    assert "<<" not in text
    assert text.count(r"\\") == 1 + len(ARMS)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_no_sign_of_tex_survives_alone(text: str) -> None:
    shown = tex(text)
    for sign in "&%$#_":
        assert shown.replace(f"\\{sign}", "").count(sign) == 0
    for sign in "~^<>|":
        assert sign not in shown


def compile_tex(text: str, folder: Path) -> str:
    (folder / "page.tex").write_text(DOCUMENT % text, encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("classes", [2, 15])
def test_latex_compiles_within_the_page(classes: int, tmp_path: Path) -> None:
    names = ["background", *[f"organ_{k} & co" for k in range(classes)]]
    scored = [
        arm(
            result.name,
            result.parent,
            *[run.rows or run.status for run in result.runs],  # type: ignore[arg-type]
            title=result.title,
        )
        for result in ARMS
    ]
    said = compile_tex(to_latex(ablation_table(scored, names), CAPTION), tmp_path)
    assert "Overfull" not in said
    assert "Missing" not in said
