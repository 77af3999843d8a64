"""`spsam.ablate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.api.values import Numbers, Place, Words, numbers, path, warn_of, words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AblationResult:
    """Result of `spsam.ablate`.

    Attributes:
        folder: The study's folder.
        plan: The plan, as printed by `spsam ablate --dry-run --json`.
        table: One row per arm, Dice in percent; the plan of each arm in a dry run.
        runs: One row per run: run_id, arm, seed, fold, state, costs, folder; empty in a dry run.
        scores: One row per score: run_id, arm, seed, fold, case, patient, class_name, metric,
            convention, value (Dice in 0…1, HD95 in mm); empty in a dry run.
        effects: The effects of a factorial study, else None.
        caption: Notes that are required to interpret the table.
        files: The files of the tables.
        failed: Folders of failed runs; `error.txt` contains the traceback.
    """

    folder: Path
    plan: Mapping[str, Any] = field(repr=False)
    table: pd.DataFrame
    runs: pd.DataFrame = field(repr=False)
    scores: pd.DataFrame = field(repr=False)
    effects: pd.DataFrame | None = field(default=None, repr=False)
    caption: str = ""
    files: Sequence[Path] = ()
    failed: Sequence[Path] = ()

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False))


def ablate(
    arms: Words,
    *,
    data: str = "phantom",
    preset: str | None = None,
    seeds: Numbers | None = None,
    fold: Numbers | None = None,
    split: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    checkpoint: Place | None = None,
    device: str = "auto",
    workers: int | None = None,
    devices: int = 1,
    validate: int = 0,
    init_from: Place | None = None,
    out: Place | None = None,
    name: str | None = None,
    plugins: Sequence[Place] = (),
    executor: str = "inline",
    jobs: int | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> AblationResult:
    """Trains arms on a data set, like `spsam ablate`. Finished runs are skipped.

    Args:
        arms: Names, ranges (`"S1..S9"`), paths of YAML files; or a study.
        data: `phantom`, a folder, or the name of an nnU-Net data set.
        preset: The training preset. Default: demo for phantom, else cpu.
        seeds: Number of seeds (3) or a list ([0, 4]). Default: the study's, else 1.
        fold: A fold or a list of folds ([0, 1, 2]). Default: the study's, else 0.
        split: `five_fold`, `all`, the name of a split, or a file.
        overrides: Values that override every arm's, like `--set`: `{"train.epochs": 5}`.
        checkpoint: File with SAM's official weights. Default: the arm's.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        workers: Processes that prepare training patches. Default: the arm's.
        devices: Number of devices that share each batch.
        validate: Epochs between evaluations of the validation cases; 0 disables them.
        init_from: A run or `model.zip` whose trained blocks every arm starts from.
        out: Folder of results. Default: $SPSAM_HOME, else ./spsam-runs.
        name: Name of the study's folder.
        plugins: Folders with your own components.
        executor: `inline` (this process) or `local` (one process per run). Slurm requires the
            command line.
        jobs: Maximum number of simultaneous runs with `local`.
        retry_failed: Also rerun failed runs.
        dry_run: Return the plan without running or writing anything.
        progress: Show progress bars and notes.

    In a script, call it inside `if __name__ == "__main__":`: several processes prepare data.

    Raises:
        spsam.InputError: With every mistake, before any run starts.
        KeyboardInterrupt: If interrupted; repeat the call to resume.

    Examples:
        >>> study = spsam.ablate(["S3", "S9"], preset="smoke", seeds=2, dry_run=True)
        >>> [(arm, len(ids)) for arm, ids in zip(study.table.arm, study.table.run_ids)]
        [('S3', 2), ('S9', 2)]
        >>> study = spsam.ablate("S1", data="ACDC", preset="smoke",
        ...                      overrides={"train.epochs": 1, "train.generator_epochs": 0})
        >>> list(study.table.arm), list(study.table.state)
        (['S1'], ['finished'])
        >>> sorted(set(study.scores.metric))
        ['dice', 'hd95']
    """
    from spsam.config.places import home
    from spsam.extras import require
    from spsam.script import check_not_imported
    from spsam.studies.execution.ablation import run_ablation
    from spsam.studies.execution.executors.choose import make_executor
    from spsam.studies.planning.request import Request
    from spsam.studies.tuning.plan import plan_study
    from spsam.studies.tuning.tune import tuned

    check_not_imported("spsam.ablate")
    require("report", "spsam.ablate")
    request = Request(
        arms=words(arms),
        home=home(path(out)),
        data=str(data),
        preset=preset,
        seeds=numbers("seeds", seeds, count=True),
        folds=numbers("fold", fold),
        split=split,
        overrides=dict(overrides or {}),
        checkpoint=path(checkpoint),
        device=device,
        workers=workers,
        devices=devices,
        name=name,
        plugins=[Path(plugin) for plugin in plugins],
        validate=validate,
        init_from=None if init_from is None else str(init_from),
        dry_run=dry_run,
    )
    ablation = plan_study(request)
    if dry_run:
        return _planned(ablation.folder, ablation.describe())
    warn_of(arm.weights for arm in ablation.arms)
    engine = make_executor(executor, ablation, None, jobs)
    from spsam.api.progress import shown
    from spsam.reporting.study_reader import read_study

    with shown(progress) as watch:
        ablation = tuned(ablation, watch, engine.backend)
        outcome = run_ablation(ablation, watch, executor=engine, retry_failed=retry_failed)
    found = read_study(ablation.folder)
    return AblationResult(
        ablation.folder,
        ablation.describe(),
        outcome.table.frame(),
        found.runs,
        found.rows,
        outcome.tables[1].frame() if len(outcome.tables) > 1 else None,
        outcome.table.caption,
        outcome.files,
        [folder.path for folder in outcome.failed],
    )


def _planned(folder: Path, plan: Mapping[str, Any]) -> AblationResult:
    """The result of a dry run: the plan as tables."""
    import pandas as pd

    keys = ("title", "parent", "run_ids", "patch_size", "trained_parameters", "total_parameters")
    arms = [{"arm": arm["name"], **{key: arm[key] for key in keys}} for arm in plan["arms"]]
    table = pd.DataFrame.from_records(arms)
    # pandas would replace None by NaN.
    table["parent"] = table["parent"].astype(object).where(table["parent"].notna(), None)
    return AblationResult(folder, plan, table, pd.DataFrame(), pd.DataFrame())
