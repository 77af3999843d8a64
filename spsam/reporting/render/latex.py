"""A table for a paper, and all tables of a report as one document."""

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
"""Seconds that one run of LaTeX may take."""

# Longer tables are broken between pages.
_ONE_PAGE = 40
_AROUND = {0: "%s", 1: r"\textbf{%s}", 2: r"\underline{%s}"}


def to_latex(table: Table) -> str:
    """The table; needs booktabs, graphicx and multirow; with more than 40 rows longtable."""
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
    """What a paper's reader needs: what the columns are, but no hashes."""
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
    """All tables as one document that compiles by itself."""
    template = latex_templates().get_template("document.tex.j2")
    parts = [tex(title), *map(to_latex, tables)]
    lines = declarations("".join(parts))
    return template.render(title=parts[0], tables=parts[1:], declarations=lines)


def tex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    # TeX knows letters with accents, but no accents that follow a letter.
    composed = unicodedata.normalize("NFC", one_line(text))
    return "".join(_TEX.get(sign, sign) for sign in composed)


def has_latex() -> bool:
    """Whether this machine can compile LaTeX."""
    return shutil.which("pdflatex") is not None


def compile_pdf(document: str, path: Path) -> None:
    """Compiles a document; nothing but the PDF is left.

    Raises:
        SpsamError: If LaTeX refuses it; an older PDF is taken away, since it shows other numbers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=draft_of(path).name) as folder:
        (Path(folder) / "page.tex").write_text(document, encoding="utf-8")
        # A report needs no shell from within TeX.
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        # Columns of a table over several pages are aligned the second time.
        for _ in range(2):
            done = _run([*command, "page.tex"], folder, path)
            if done.returncode == 0:
                continue
            said = [line for line in done.stdout.splitlines() if line.startswith("!")]
            raise SpsamError(
                f"{path}: pdflatex could not compile the tables: {' '.join(said) or 'see LaTeX'}; "
                "needed are booktabs, graphicx, multirow and longtable of TeX Live"
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
            # A cell over several rows cannot be broken between pages.
            if spanning and count > 1:
                title = rf"\multirow{{{count}}}{{*}}{{{title}}}"
            first = [title if number == 0 else ""]
        row = [*first, *map(_cell, line.cells)]
        # What follows a line's end would be read as an option of it.
        rows.append([("{}" if row[0][:1] in ("[", "*") else "") + row[0], *row[1:]])
    return rows


def _cell(cell: Cell) -> str:
    text = _AROUND[cell.rank] % tex(cell.text)
    return text + (rf"\textsuperscript{{{', '.join(cell.notes)}}}" if cell.notes else "")
