"""Trained runs in Python."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.api.segmentation import Segmentation

if TYPE_CHECKING:
    import pandas as pd

    from spsam.config.schema import RunConfig
    from spsam.engine.recipe import EnsembleMember, Recipe
    from spsam.model.networks.base import Network

_SUMMARY = ("class_name", "metric", "convention", "mean", "std", "n")
_COLUMNS = (
    *("run_id", "arm", "seed", "fold", "case", "patient", "class_id", "class_name"),
    *("metric", "convention", "value"),
)


def load_run(
    ref: str | Path,
    *,
    out: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    plugins: Sequence[str | Path] = (),
) -> Run:
    """Loads a trained run, or all folds of an arm as one ensemble.

    Args:
        ref: `STUDY/ARM[/SEED[/FOLD]]`, an arm's name, `latest`, an id or its beginning, a run's
            folder or `checkpoint.pt`, or an exported `model.zip`.
        out: Folder of results. Default: $SPSAM_HOME, else ./spsam-runs.
        checkpoint: File with SAM's official weights. Default: the run's.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        plugins: Folders with your own components that the run uses. A stored file never selects
            code to execute.

    Raises:
        spsam.InputError: If the run does not exist, is ambiguous or damaged, or if weights or
            components are missing.

    Examples:
        >>> run = spsam.load_run("S9/0/0")
        >>> run.config.arm.blocks.adapter.name
        'dfused'
        >>> made = run.predict("scans/patient.nii.gz")
        >>> made.labels.shape
        (5, 20, 24)
        >>> made.class_names
        {0: 'background', 1: 'RV', 2: 'MYO', 3: 'LV'}
    """
    from spsam.config.places import home
    from spsam.engine.exchange.model import read_model
    from spsam.engine.recipe import check_ensemble
    from spsam.engine.weights import origin_of
    from spsam.studies.backend import Backend
    from spsam.studies.prompts.subject import weights_of
    from spsam.studies.runs.recipes import is_model, read_recipes
    from spsam.studies.runs.reference import find_runs, unknown

    folder = home(None if out is None else Path(out))
    found = find_runs(str(ref), folder)
    if found is None:
        raise unknown(str(ref), str(ref), folder)
    for note in found.notes:
        warnings.warn(note, stacklevel=2)
    given = None if checkpoint is None else Path(checkpoint)
    backend = Backend()
    allowed = [Path(plugin) for plugin in plugins]
    # Absolute: scores are read on demand, possibly after a change of the working directory.
    files = [file.absolute() for file in found.files]
    summary = None
    if is_model(files[0]):
        model = read_model(files[0], allowed)
        recipes, summary = list(model.recipes), model.summary
    else:
        recipes = [recipe for file in files for recipe in read_recipes(file, allowed)]
    check_ensemble(recipes)
    weights = [weights_of(recipe.config, given, backend) for recipe in recipes]
    origins = (origin_of(r.config, w) for r, w in zip(recipes, weights, strict=True))
    for text in dict.fromkeys(origin.warning for origin in origins if origin and origin.warning):
        warnings.warn(text, stacklevel=2)
    return Run(recipes, weights, backend.device(device), summary)


class Run:
    """One trained run, or an ensemble of runs whose logits are averaged.

    Returned by `spsam.load_run`. Networks are built on first use.

    Attributes:
        device: The device of the networks.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        weights: Sequence[Path | None],
        device: str,
        summary: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self._recipes = tuple(recipes)
        self._weights = tuple(weights)
        self.device = device
        # An exported model contains only this summary of its scores.
        self._summary = summary

    def __len__(self) -> int:
        """Number of runs."""
        return len(self._recipes)

    def __repr__(self) -> str:
        named = ", ".join(f"{c.arm.name} seed {c.seed} fold {c.data.fold}" for c in self.configs)
        return f"<spsam.Run {named}; {self.config.data.name}; {self.device}>"

    @property
    def config(self) -> RunConfig:
        """The configuration of the first run: `config.arm`, `config.data`, `config.seed`."""
        return self._recipes[0].config

    @property
    def configs(self) -> tuple[RunConfig, ...]:
        """The configuration of every run."""
        return tuple(recipe.config for recipe in self._recipes)

    @property
    def class_names(self) -> dict[int, str]:
        """The class of each id in label maps, background first."""
        first = self._recipes[0]
        return dict(zip(first.raw_ids, first.config.data.class_names, strict=True))

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Scores on the test cases, one row per case, class and metric.

        Columns are run_id, arm, seed, fold, case, patient, class_id, class_name, metric (`dice` in
        0…1, `hd95` in mm), convention and value, NaN if the convention excludes a class.

        Raises:
            spsam.InputError: If a run has no scores next to its checkpoint. Exported models
                contain no scores of single cases.
            spsam.errors.SpsamError: If the scores are damaged.
        """
        import pandas as pd

        from spsam.studies.runs.recipes import as_records

        lines = [line for recipe in self._recipes for line in as_records(recipe)]
        return pd.DataFrame.from_records(lines, columns=list(_COLUMNS))

    @property
    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation and number of scores, one row per class and metric.

        Raises:
            spsam.InputError: If a run has no scores.
        """
        import pandas as pd

        from spsam.studies.runs.recipes import rows_of, summary_of

        lines = self._summary
        if lines is None:
            lines = summary_of([row for recipe in self._recipes for row in rows_of(recipe)])
        return pd.DataFrame.from_records(lines, columns=list(_SUMMARY))

    def network(self, index: int = 0) -> Network:
        """The trained network of a run, in evaluation mode, on `device`.

        Its patches are `(B, M, D, H, W)` with `network.depth` slices of `network.image_size`
        pixels; its output has `logits` `(B, K, D, H, W)` and `labels` `(B, D, H, W)`.

        Args:
            index: Index of the run in an ensemble.
        """
        return self._members[index].network

    def predict(
        self,
        image: Any,
        spacing: Sequence[float] | None = None,
        *,
        origin: Sequence[float] | None = None,
        direction: Sequence[float] | None = None,
        mirror: bool | None = None,
        probabilities: bool = False,
        prompts: bool = False,
    ) -> Segmentation:
        """Segments one volume, with the same labels as `spsam predict`. No file is written.

        Args:
            image: An image file or the folder of one DICOM series; a list of these, one per
                channel; a `SimpleITK.Image`; or an array `(D, H, W)` or `(M, D, H, W)` on the axes
                (z, y, x), with raw intensities.
            spacing: Required for an array: (z, y, x) in mm.
            origin: For an array: (x, y, z) in mm of the first voxel's centre.
            direction: For an array: nine direction cosines, row by row, in (x, y, z) order.
            mirror: Average over mirrored inputs, which takes eight times as long. Default: the
                run's setting.
            probabilities: Also return the probabilities of every class.
            prompts: Also return the prompts generated by the networks.

        Returns:
            Labels on the image's own grid.

        Raises:
            spsam.InputError: With every problem of the image.

        Examples:
            >>> run = spsam.load_run("latest")
            >>> volume = np.random.default_rng(0).normal(size=(5, 20, 24))
            >>> made = run.predict(volume, spacing=(8, 1.5, 1.5), probabilities=True, mirror=False)
            >>> made.labels.shape, made.probabilities.shape
            ((5, 20, 24), (4, 5, 20, 24))
            >>> made.to_sitk().GetSpacing()
            (1.5, 1.5, 8.0)
        """
        from spsam.data.given_image import given_case
        from spsam.engine.answer import answer_in_memory

        case = given_case(image, spacing, origin=origin, direction=direction)
        answer = answer_in_memory(
            self._members,
            case,
            mirror=mirror,
            probabilities=probabilities,
            prompts=prompts,
            on_note=lambda text: warnings.warn(text, stacklevel=2),
        )
        grid = answer.case.original
        return Segmentation(
            answer.labels,
            self.class_names,
            grid.spacing,
            grid.origin,
            grid.direction,
            answer.probabilities,
            _prompts(answer.prompts) if prompts else None,
        )

    @cached_property
    def _members(self) -> list[EnsembleMember]:
        from spsam.engine.segment import load_member

        pairs = zip(self._recipes, self._weights, strict=True)
        return [load_member(recipe, sam, self.device) for recipe, sam in pairs]


def _prompts(lines: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame.from_records(lines, columns=["member", "tile", "class", "point", "box"])
