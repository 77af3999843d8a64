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
    """What `spsam.prompts` came to.

    Attributes:
        folder: The study's folder.
        plan: What was planned, as `spsam prompts --dry-run --json` prints it.
        table: A line a cell, Dice in percent: prompts, point, mask, source, disturbance, dice, std
            and `dice: CLASS`; of a dry run the cells alone.
        tables: Further tables by name: the overview, and what a run loses where.
        caption: What a reader of the table must know.
        files: Tables and pictures.
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
    """Studies which prompts SAM needs, as `spsam prompts`; what is answered is not asked again.

    Args:
        study: The study's YAML file; None: the shipped one.
        data: A built-in data set or a folder; None: the run's, else the phantom.
        run: A trained run, as `spsam.load_run` takes it; None asks plain SAM.
        compare: Further runs, for the comparison of neighbouring slices.
        backbone: Plain SAM: sam_tiny, sam_vit_b, sam_vit_l or sam_vit_h.
        checkpoint: SAM's official weights.
        overrides: Values on top of plain SAM's arm.
        prompts: Subsets: `["box", "point+box"]`.
        point: How the point is chosen; None: every way.
        mask: Forms of the mask prompt; None: all.
        source: ground_truth, auxiliary (with a run), disturbed.
        seeds: Of draws at random: how many, or which; None: the study's.
        limit: How many test cases; None: all.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        out: The folder of results; None: $SPSAM_HOME, else ./spsam-runs.
        plugins: Folders with components of your own.
        dry_run: Plans and asks nothing; nothing is written.
        progress: Whether bars and notes are shown.

    Raises:
        spsam.InputError: With every mistake, before anything is asked.

    Examples:
        >>> asked = spsam.prompts(data="ACDC", prompts="box", source="ground_truth", limit=1,
        ...                       overrides={"backbone.encoder_size": 64})
        >>> list(asked.table.prompts), bool(asked.table.dice[0] > 0)
        (['box'], True)
    """
    import pandas as pd

    from spsam.api.progress import shown
    from spsam.config.places import home
    from spsam.studies.prompts.plan_prompts import plan_prompts
    from spsam.studies.prompts.request import PromptRequest
    from spsam.studies.prompts.study import run_prompts

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
