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
    """What `spsam.ablate` came to.

    Attributes:
        folder: The study's folder.
        plan: What was planned, as `spsam ablate --dry-run --json` prints it.
        table: A line an arm, Dice in percent; of a dry run what was planned of each.
        runs: A line a run: run_id, arm, seed, fold, state, costs, folder; empty of a dry run.
        scores: A line a score: run_id, arm, seed, fold, case, patient, class_name, metric,
            convention, value (Dice in 0…1, HD95 in mm); empty of a dry run.
        effects: Of a factorial study its effects; else None.
        caption: What a reader of the table must know.
        files: The tables' files.
        failed: Folders of runs that failed; their `error.txt` says why.
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
    out: Place | None = None,
    name: str | None = None,
    plugins: Sequence[Place] = (),
    executor: str = "inline",
    jobs: int | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> AblationResult:
    """Runs arms on a data set, as `spsam ablate`; finished runs are not run again.

    Args:
        arms: Names, ranges (`"S1..S9"`), paths of YAML files; or a study.
        data: A built-in data set or a folder.
        preset: The schedule; None: demo on the phantom, cpu elsewhere.
        seeds: How many (3), or which ([0, 4]); None: the study's, else 1.
        fold: Which fold, or folds ([0, 1, 2]); None: the study's, else 0.
        split: `five_fold`, `all`, or a split's name or file.
        overrides: Values on top of every arm's, as `--set`: `{"train.epochs": 5}`.
        checkpoint: SAM's official weights; None takes those that an arm names.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        workers: Processes that make training patches; None takes the arm's.
        devices: How many devices of that kind share each batch.
        validate: Epochs between two scores of validation cases; 0: none.
        out: The folder of results; None: $SPSAM_HOME, else ./spsam-runs.
        name: Of the study's folder.
        plugins: Folders with components of your own.
        executor: `inline`, in this process; or `local`, a process a run, which a script may use
            below `if __name__ == "__main__":` alone. Slurm is the command line's.
        jobs: With `local`: the most runs at once.
        retry_failed: Whether failed runs are run again.
        dry_run: Plans and runs nothing; nothing is written.
        progress: Whether bars and notes are shown.

    Raises:
        spsam.InputError: With every mistake, before anything is run.
        KeyboardInterrupt: If it was stopped; the same call resumes.

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
    from spsam.studies.execution.ablation import run_ablation
    from spsam.studies.execution.executors.choose import make_executor
    from spsam.studies.planning.planner import plan_ablation
    from spsam.studies.planning.request import Request

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
        dry_run=dry_run,
    )
    ablation = plan_ablation(request)
    if dry_run:
        return _planned(ablation.folder, ablation.describe())
    warn_of(arm.weights for arm in ablation.arms)
    engine = make_executor(executor, ablation, None, jobs)
    from spsam.api.progress import shown
    from spsam.reporting.study_reader import read_study

    with shown(progress) as watch:
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
    """A dry run's result: the plan as tables."""
    import pandas as pd

    keys = ("title", "parent", "run_ids", "patch_size", "trained_parameters", "total_parameters")
    arms = [{"arm": arm["name"], **{key: arm[key] for key in keys}} for arm in plan["arms"]]
    table = pd.DataFrame.from_records(arms)
    # pandas would make NaN of what is no number.
    table["parent"] = table["parent"].astype(object).where(table["parent"].notna(), None)
    return AblationResult(folder, plan, table, pd.DataFrame(), pd.DataFrame())
