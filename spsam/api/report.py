"""`spsam.report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spsam.api.values import Place, Words, path, words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ReportResult:
    """Report of one study.

    Attributes:
        study: The study's folder.
        folder: The report's folder.
        tables: Tables by name.
        files: All files that were written; `index.html` is the page.
        holes: Failed or missing runs.
        warnings: Files that could not be written, with the reason.
    """

    study: Path
    folder: Path
    tables: Mapping[str, pd.DataFrame] = field(repr=False)
    files: Sequence[Path] = field(repr=False, default=())
    holes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def report(
    *,
    out: Place | None = None,
    save: Place | None = None,
    format: Words = ("markdown", "csv", "latex", "html"),
    table: Place | Sequence[Place] = (),
    pdf: bool = True,
    figures: bool = True,
    plugins: Sequence[Place] = (),
) -> list[ReportResult]:
    """Writes tables, figures and an HTML page for the studies in a folder, like `spsam report`.

    Args:
        out: Folder of results or of one study. Default: $SPSAM_HOME, else ./spsam-runs.
        save: Output folder. Default: report/ in each study's folder.
        format: Any of markdown, csv, latex, html.
        table: YAML files that define custom tables.
        pdf: Compile the tables to PDF if LaTeX is installed.
        figures: Draw figures and write the page.
        plugins: Folders with your own components.

    Returns:
        One result per study.

    Raises:
        spsam.InputError: If there is no study, or a custom table is invalid.

    Examples:
        >>> (made,) = spsam.report(out=study.folder, pdf=False, figures=False)
        >>> made.tables["ablation"].arm.tolist()
        ['S1']
    """
    from spsam.config.places import folder_to_be, home
    from spsam.errors import InputError, nearest
    from spsam.extras import require
    from spsam.reporting.render.files import FORMATS
    from spsam.reporting.report import all_studies, write_report

    require("report", "spsam.report")
    formats = words(format)
    unknown = [f"format {name}: unknown{nearest(name, FORMATS)}" for name in formats
               if name not in FORMATS]  # fmt: skip
    if unknown or not formats:
        raise InputError("; ".join(unknown) or f"format: expected some of {', '.join(FORMATS)}")
    place = None if save is None else folder_to_be(Path(save))
    tables = [table] if isinstance(table, str | Path) else table
    found = all_studies(home(path(out)))
    made = []
    for study in found:
        # Each of several studies gets its own folder.
        done = write_report(
            study,
            place / study.name if place and len(found) > 1 else place,
            formats=formats,
            own_tables=[Path(each) for each in tables],
            plugins=[Path(plugin) for plugin in plugins],
            pdf=pdf,
            figures=figures,
        )
        frames = {each.name: each.frame() for each in done.tables}
        made.append(
            ReportResult(done.study, done.folder, frames, done.files, done.holes, done.warnings)
        )
    return made
