"""`spsam.view`: a case in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spsam.config.places import home
from spsam.reporting.view.notebook import CasePage
from spsam.reporting.view.page import view_html
from spsam.studies.progress_events import ProgressListener
from spsam.studies.viewing.plan import plan_view


def view(
    *named: str | Path,
    case: str | None = None,
    data: str | Path | None = None,
    images: str | Path | None = None,
    references: str | Path | None = None,
    prompts: bool = True,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
) -> CasePage:
    """A case in three planes with reference, predictions and self-prompts, as `spsam view` has it.

    Args:
        named: A study, runs (folder or id), or folders of `spsam predict`.
        case: The case's id; None is the worst one of runs, the first one of folders.
        data: The data set of runs; None where it is a built-in one.
        images: The scans of folders.
        references: Label maps for folders.
        prompts: Whether networks are asked again for their own prompts.
        checkpoint: SAM's weights for that; None takes those that the runs name.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        out: The folder of results; None is `$SPSAM_HOME`, else `./spsam-runs`.
        plugins: Folders with components of your own.

    Returns:
        What a notebook shows as the last line of a cell; `save(path)` writes it.

    Raises:
        InputError: As `spsam view`.

    Examples:
        >>> spsam.view("segmented/", images="scans/", references="labels/")  # doctest: +SKIP
    """
    planned = plan_view(
        [str(each) for each in named],
        cases=None if case is None else [case],
        home=home(None if out is None else Path(out)),
        data=None if data is None else str(data),
        images=None if images is None else Path(images),
        references=None if references is None else Path(references),
        prompts=prompts,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        device=device,
        plugins=[Path(each) for each in plugins],
    )
    (viewed,) = planned.source.views(planned.cases[:1], ProgressListener())
    return CasePage(viewed.name, view_html(viewed, planned.library))
