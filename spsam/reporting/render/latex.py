"""Tables as LaTeX: for papers, and combined into one document."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from spsam.errors import SpsamError
from spsam.files import atomic, draft_of
from spsam.reporting.render.model import Cell, Column, Group, Table
from spsam.reporting.render.templates import latex_templates
from spsam.reporting.render.tex_signs import declarations
from spsam.text.escape import one_line

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": r"$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "—": "---",
    "–": "--",
    "…": r"\dots{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_PATIENCE = 300
"""Time limit in seconds of one run of LaTeX."""

# Longer tables are split across pages.
_ONE_PAGE = 40
_AROUND = {0: "%s", 1: r"\textbf{%s}", 2: r"\underline{%s}"}


def to_latex(table: Table) -> str:
    """The table; requires booktabs, graphicx and multirow, and longtable beyond 40 rows."""
    grouped = table.is_grouped
    long = len(table.lines) > _ONE_PAGE
    alignment = ("l" if grouped else "") + "".join(map(_alignment, table.columns))
    heads = [tex(column.head) for column in table.columns]
    template = latex_templates().get_template("longtable.tex.j2" if long else "table.tex.j2")
    return template.render(
        caption=tex(_caption(table)),
        comment=one_line(table.identity[0]),
        label=f"tab:{table.name}".replace("_", "-"),
        alignment=alignment,
        heads=[tex(table.grouped_by), *heads] if grouped else heads,
        groups=[_rows(table, group, spanning=not long) for group in table.groups],
        notes=[(letter, tex(text)) for letter, text in table.notes.items()],
    )


def _caption(table: Table) -> str:
    """The caption for a paper: with the meaning of columns, without hashes."""
    caption = table.caption
    if table.identity[0]:
        caption = caption.replace(*table.identity)
    meanings: dict[str, list[str]] = {}
    for column in table.columns:
        if column.meaning:
            meanings.setdefault(column.meaning, []).append(column.head)
    if not meanings:
        return caption
    told = "; ".join(f"{', '.join(heads)}: {meaning}" for meaning, heads in meanings.items())
    return f"{caption} Columns: {told}."


def to_document(tables: Sequence[Table], title: str) -> str:
    """All tables as one self-contained document."""
    template = latex_templates().get_template("document.tex.j2")
    parts = [tex(title), *map(to_latex, tables)]
    lines = declarations("".join(parts))
    return template.render(title=parts[0], tables=parts[1:], declarations=lines)


def tex(text: str) -> str:
    """Escapes text for LaTeX."""
    # TeX supports accented letters, but no combining accents.
    composed = unicodedata.normalize("NFC", one_line(text))
    return "".join(_TEX.get(sign, sign) for sign in composed)


def has_latex() -> bool:
    """Whether LaTeX is installed."""
    return shutil.which("pdflatex") is not None


def compile_pdf(document: str, path: Path) -> None:
    """Compiles a document and removes all auxiliary files.

    Raises:
        SpsamError: If LaTeX fails; a PDF of an earlier report is removed, as it is outdated.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=draft_of(path).name) as folder:
        (Path(folder) / "page.tex").write_text(document, encoding="utf-8")
        # Reports do not require shell access from TeX.
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        # Column widths of long tables are correct after the second run.
        for _ in range(2):
            done = _run([*command, "page.tex"], folder, path)
            if done.returncode == 0:
                continue
            said = [line for line in done.stdout.splitlines() if line.startswith("!")]
            raise SpsamError(
                f"{path}: pdflatex could not compile the tables: {' '.join(said) or 'see LaTeX'}; "
                "required: booktabs, graphicx, multirow and longtable of TeX Live"
            )
        with atomic(path) as draft:
            (Path(folder) / "page.pdf").replace(draft)


def _run(command: Sequence[str], folder: str, path: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SpsamError(f"{path}: {command[0]} could not compile the tables: {error}") from error


def _alignment(column: Column) -> str:
    if column.wide:
        return r"p{0.36\textwidth}"
    return "r" if column.number else "l"


def _rows(table: Table, group: Group, *, spanning: bool) -> list[list[str]]:
    rows = []
    for number, line in enumerate(group.lines):
        first = []
        if table.is_grouped:
            title, count = tex(group.title), len(group.lines)
            # A cell that spans rows cannot be split across pages.
            if spanning and count > 1:
                title = rf"\multirow{{{count}}}{{*}}{{{title}}}"
            first = [title if number == 0 else ""]
        row = [*first, *map(_cell, line.cells)]
        # A bracket or asterisk at the start of a row would be read as an option of the line break.
        rows.append([("{}" if row[0][:1] in ("[", "*") else "") + row[0], *row[1:]])
    return rows


def _cell(cell: Cell) -> str:
    text = _AROUND[cell.rank] % tex(cell.text)
    return text + (rf"\textsuperscript{{{', '.join(cell.notes)}}}" if cell.notes else "")
