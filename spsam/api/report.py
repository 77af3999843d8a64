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
    """What `spsam.report` wrote of one study.

    Attributes:
        study: The study's folder.
        folder: The report's.
        tables: By name.
        files: Everything that was written; `index.html` is the page.
        holes: Runs that failed or are missing.
        warnings: What could not be made, and why.
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
    """Writes tables, figures and a page of the studies of a folder, as `spsam report`.

    Args:
        out: The folder of results, or of one study; None: $SPSAM_HOME, else ./spsam-runs.
        save: The folder of the report; None: report/ in each study's.
        format: Some of markdown, csv, latex, html.
        table: YAML files of tables of your own.
        pdf: Whether tables are compiled, where LaTeX is installed.
        figures: Whether figures are drawn and the page is written.
        plugins: Folders with components of your own.

    Returns:
        One a study.

    Raises:
        spsam.InputError: If there is no study, or a table of your own is wrong.

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
        # Several studies must not write over each other's.
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
