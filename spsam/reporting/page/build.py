"""Builds the page from its template, with all figures embedded."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spsam
from spsam.files import write_text
from spsam.reporting.figures.draw import ReportFigure
from spsam.reporting.figures.style import styled, to_svg
from spsam.reporting.page.cases import shown_arms, shown_cases
from spsam.reporting.page.facts import (
    address,
    differences,
    environments,
    run_facts,
    study_facts,
)
from spsam.reporting.page.verdict import brief, study_title, verdict
from spsam.reporting.prompts.heat_map import heat_map
from spsam.reporting.render.html import to_html
from spsam.reporting.render.model import Table
from spsam.reporting.render.templates import html_templates
from spsam.reporting.study_data import FINISHED
from spsam.reporting.tables.study import StudyResults

PAGE = "index.html"

_LONG = 25  # Tables with more rows are collapsed.
_WIDE = ("panels", "heat_map", "logits", "neighbours")
"""Figures that span both columns of the page."""

_HEAT_MAP = "heat_map"

_KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


def write_study_page(
    study: StudyResults,
    tables: Sequence[Table],
    figures: Sequence[ReportFigure],
    folder: Path,
) -> Path:
    """Writes the page of an ablation.

    Args:
        study: The study.
        tables: In the order of the page.
        figures: In the order of the page.
        folder: Output folder, which contains the tables' files.

    Returns:
        The path of the page.
    """
    measured = study.measured
    runs = run_facts(measured, folder)
    arms = shown_arms(study)
    return _write(
        folder,
        name=measured.name,
        title=study_title(measured),
        verdict=verdict(study),
        brief=brief(study),
        facts=study_facts(measured),
        tables=_tables(tables, folder),
        figures=_figures(figures, folder),
        cases=shown_cases(study, arms, folder),
        case_arms=[study.shown(arm) for arm in arms],
        differences=differences(measured),
        environment=environments(measured),
        runs=runs,
        holes=[run for run in runs if run.state != FINISHED],
        home=str(measured.folder.resolve().parents[1]),
    )


def write_prompts_page(
    about: Mapping[str, Any], study: Path, tables: Sequence[Table], folder: Path
) -> Path:
    """Writes the page of a prompt study, with the figures that the study has drawn.

    Args:
        about: The study's description.
        study: The study's folder.
        tables: In the order of the page.
        folder: Output folder.

    Returns:
        The path of the page.
    """
    data = about["data"]
    narrow = {_HEAT_MAP: _narrow_heat_map(tables)}
    pictures = [
        ReportFigure(name, _title(name), "", _files_of(study, name), narrow.get(name, ""))
        # The heat map comes first: it shows all cells, other figures only some.
        for name in sorted(
            {file.stem for file in study.glob("*.png")}, key=lambda name: (name != _HEAT_MAP, name)
        )
    ]
    facts = [
        ("Data", f"{data['name']}, fingerprint {data['fingerprint']}"),
        ("Split", f"{data['split_name']}, fold {data['fold']}, hash {data['split_hash']}"),
        ("Cases", str(len(about["cases"]))),
        ("Network", str(about.get("network", ""))),
    ]
    return _write(
        folder,
        name=study.name,
        title=str(about["title"]),
        verdict=None,
        brief="",
        facts=facts,
        tables=_tables(tables, folder),
        figures=_figures(pictures, folder),
        cases=[],
        case_arms=[],
        differences=[],
        environment=[],
        runs=[],
        holes=[],
        home="",
    )


def _files_of(study: Path, name: str) -> tuple[Path, ...]:
    files = (study / f"{name}.{ending}" for ending in ("pdf", "svg", "png"))
    return tuple(file for file in files if file.is_file())


def _narrow_heat_map(tables: Sequence[Table]) -> str:
    """The overview as SVG for narrow screens; empty if there is none."""
    found = [table.frame() for table in tables if table.name == "overview"]
    if not found or "prompts" not in found[0]:
        return ""
    with styled(narrow=True):
        return to_svg(heat_map(found[0], "Mean Dice"))


def _write(folder: Path, **values: Any) -> Path:
    page = html_templates().get_template("page.html.j2")
    write_text(folder / PAGE, page.render(version=spsam.__version__, **values))
    return folder / PAGE


def _tables(tables: Sequence[Table], folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": table.name,
            "title": _title(table.name),
            "html": to_html(table),
            "folded": len(table.lines) > _LONG,
            "files": {
                file.suffix.removeprefix("."): address(file, folder)
                for ending in ("csv", "tex", "md")
                if (file := folder / f"{table.name}.{ending}").is_file()
            },
        }
        for table in tables
    ]


def _figures(figures: Sequence[ReportFigure], folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "wide": figure.name in _WIDE,
            "image": None if figure.picture is None else _of_file(figure.picture),
            "narrow": _data_uri(figure.narrow.encode(), ".svg") if figure.narrow else "",
            "files": {
                file.suffix.removeprefix("."): address(file, folder) for file in figure.files
            },
        }
        for figure in figures
    ]


def _of_file(file: Path) -> str:
    return _data_uri(file.read_bytes(), file.suffix)


def _data_uri(content: bytes, ending: str) -> str:
    return f"data:{_KINDS[ending]};base64,{base64.b64encode(content).decode('ascii')}"


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()
