"""`spsam.prompts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.api.values import Numbers, Place, Words, numbers, optional_words, path, warn_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PromptResult:
    """Result of `spsam.prompts`.

    Attributes:
        folder: The study's folder.
        plan: The plan, as printed by `spsam prompts --dry-run --json`.
        table: One row per cell, Dice in percent: prompts, point, mask, source, disturbance, dice,
            std and `dice: CLASS`; only the cells in a dry run.
        tables: Further tables by name: the overview, and the error attribution of a run.
        caption: Notes that are required to interpret the table.
        files: Tables and figures.
    """

    folder: Path
    plan: Mapping[str, Any] = field(repr=False)
    table: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    caption: str = ""
    files: Sequence[Path] = ()

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def prompts(
    study: Place | None = None,
    *,
    data: str | None = None,
    run: Place | None = None,
    compare: Sequence[str] = (),
    backbone: str | None = None,
    checkpoint: Place | None = None,
    overrides: Mapping[str, Any] | None = None,
    prompts: Words | None = None,
    point: Words | None = None,
    mask: Words | None = None,
    source: Words | None = None,
    seeds: Numbers | None = None,
    limit: int | None = None,
    device: str = "auto",
    out: Place | None = None,
    plugins: Sequence[Place] = (),
    dry_run: bool = False,
    progress: bool = True,
) -> PromptResult:
    """Evaluates a network with different prompts, like `spsam prompts`. Stored scores are reused.

    Args:
        study: The study's YAML file. Default: the shipped one.
        data: `phantom` or a folder. Default: the run's data set, else phantom.
        run: A trained run, as in `spsam.load_run`. Default: plain SAM.
        compare: Further runs in the comparison of adjacent slices.
        backbone: Plain SAM: sam_tiny, sam_vit_b, sam_vit_l or sam_vit_h.
        checkpoint: File with SAM's official weights.
        overrides: Values that override those of plain SAM's arm.
        prompts: Kinds of prompts: `["box", "point+box"]`.
        point: Point strategies. Default: all.
        mask: Mask forms. Default: all for plain SAM, the run's own for a run.
        source: ground_truth, auxiliary (with a run), disturbed.
        seeds: Number of random draws, or a list of seeds. Default: the study's.
        limit: Maximum number of test cases. Default: all.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        out: Folder of results. Default: $SPSAM_HOME, else ./spsam-runs.
        plugins: Folders with your own components.
        dry_run: Return the plan without evaluating or writing anything.
        progress: Show progress bars and notes.

    In a script, call it inside `if __name__ == "__main__":`: several processes prepare data.

    Raises:
        spsam.InputError: With every mistake, before any evaluation starts.

    Examples:
        >>> asked = spsam.prompts(data="ACDC", prompts="box", source="ground_truth", limit=1,
        ...                       overrides={"backbone.encoder_size": 64})
        >>> list(asked.table.prompts), bool(asked.table.dice[0] > 0)
        (['box'], True)
    """
    import pandas as pd

    from spsam.api.progress import shown
    from spsam.config.places import home
    from spsam.script import check_not_imported
    from spsam.studies.prompts.plan_prompts import plan_prompts
    from spsam.studies.prompts.request import PromptRequest
    from spsam.studies.prompts.study import run_prompts

    check_not_imported("spsam.prompts")
    values = dict(overrides or {})
    if backbone is not None:
        values["backbone.name"] = backbone
    request = PromptRequest(
        home=home(path(out)),
        study=path(study),
        data=None if data is None else str(data),
        run=None if run is None else str(run),
        compare=[str(each) for each in compare],
        prompts=optional_words(prompts),
        point=optional_words(point),
        mask=optional_words(mask),
        source=optional_words(source),
        seeds=None if seeds is None else numbers("seeds", seeds, count=True),
        limit=limit,
        overrides=values,
        checkpoint=path(checkpoint),
        device=device,
        plugins=[Path(plugin) for plugin in plugins],
    )
    planned = plan_prompts(request)
    plan = planned.describe()
    if dry_run:
        return PromptResult(planned.folder, plan, pd.DataFrame.from_records(plan["cells"]))
    warn_of([planned.subject.weights])
    with shown(progress) as watch:
        outcome = run_prompts(planned, watch)
    tables = {table.name: table.frame() for table in outcome.screens}
    return PromptResult(planned.folder, plan, outcome.table, tables, outcome.caption, outcome.files)
