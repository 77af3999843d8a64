"""Views of a data set's cases with the label maps of trained runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spsam.data.files.image import read_array
from spsam.data.labels import IGNORED, class_indices, without_ignored
from spsam.errors import InputError
from spsam.reporting.chosen_cases import chosen_cases
from spsam.reporting.view.page import ViewedCase
from spsam.results.run_folder import RunFolder
from spsam.studies.backend import Backend
from spsam.studies.progress_events import ProgressListener
from spsam.studies.prompts.subject import weights_of

if TYPE_CHECKING:
    from spsam.data.cases import Case, DataSet
    from spsam.engine.recipe import EnsembleMember

Asked = tuple[NDArray[np.integer], Sequence[Mapping[str, Any]]]
REFERENCE = "reference"


@dataclass(frozen=True)
class RunsView:
    """Runs, whose label maps are shown as layers of the same cases.

    Attributes:
        runs: Name on the page -> run; cases are chosen by the last run's scores.
        dataset: The data set that the runs were trained on.
        prompts: Whether to show the networks' own prompts.
        checkpoint: SAM's weights; None: the file recorded by each run.
        device: The device.
        plugins: Folders with the user's own components.
        backend: The engine.
    """

    runs: Mapping[str, RunFolder]
    dataset: DataSet
    prompts: bool
    checkpoint: Path | None
    device: str
    plugins: Sequence[Path]
    backend: Backend

    @cached_property
    def scores(self) -> dict[str, float]:
        """Mean Dice of each test case of the last run."""
        rows = list(self.runs.values())[-1].read_rows()
        values: dict[str, list[float]] = {}
        for row in rows:
            if row.metric == "dice" and row.class_id and not np.isnan(row.value):
                values.setdefault(row.case, []).append(row.value)
        return {case: float(np.mean(some)) for case, some in values.items()}

    @property
    def known(self) -> list[str]:
        """The cases that can be shown: all cases of the data set."""
        return [case.id for case in self.dataset.cases]

    def default(self) -> list[str]:
        """Returns the worst, the median and the best test case of the last run."""
        chosen = list(chosen_cases(self.scores).values())
        if not chosen:
            raise InputError(f"the last run has no scores: give a case, such as {self.known[0]}")
        return chosen[::-1]

    def views(self, names: Sequence[str], watch: ProgressListener) -> Iterator[ViewedCase]:
        """Yields each case with reference, label maps and prompts.

        Raises:
            InputError: If a file cannot be read, or weights are missing.
        """
        cases = [self.dataset.case(name) for name in names]
        asked: dict[str, dict[str, Asked]] = {}
        for label, run in self.runs.items():
            asked[label] = self._ask(label, run, cases, watch)
        for case in cases:
            volume = case.load()
            layers: dict[str, NDArray[np.integer]] = {}
            if volume.label is not None:
                layers[REFERENCE] = without_ignored(volume.label)
            layers |= {label: found[case.id][0] for label, found in asked.items()}
            prompts = {label: found[case.id][1] for label, found in asked.items()}
            yield ViewedCase(
                name=case.id,
                facts=self._facts(case.id),
                image=volume.image[0],
                geometry=volume.geometry,
                class_names=self.dataset.class_names,
                layers=layers,
                prompts={label: lines for label, lines in prompts.items() if lines},
                shown=(REFERENCE, list(self.runs)[-1]),
            )

    def _facts(self, case: str) -> str:
        last = list(self.runs)[-1]
        score = self.scores.get(case)
        return f"{last}: " + ("not a test case" if score is None else f"Dice {100 * score:.1f}")

    def _ask(
        self, label: str, run: RunFolder, cases: Sequence[Case], watch: ProgressListener
    ) -> dict[str, Asked]:
        """Returns a run's label maps and prompts; its network is built only if it is needed."""
        stored = {case.id: run.predictions / f"{case.id}.nii.gz" for case in cases}
        missing = [case.id for case in cases if not stored[case.id].is_file()]
        if missing:
            watch.say(f"{label}: segmenting {', '.join(missing)}, since no label map is stored")
        member = self._member(run) if missing or self.prompts else None
        found: dict[str, Asked] = {}
        for number, case in enumerate(cases):
            lines: Sequence[Mapping[str, Any]] = []
            if member is not None and (case.id in missing or _has_prompts(member)):
                watch.stage(f"{label}: predicting again", number, len(cases))
                labels, lines = self._segment(member, case, mirror=case.id in missing)
            if case.id not in missing:
                labels = read_labels(stored[case.id], self.dataset.raw_ids)
            found[case.id] = labels, lines if self.prompts else []
        if member is not None:
            watch.stage(f"{label}: predicting again", len(cases), len(cases))
        return found

    def _member(self, run: RunFolder) -> EnsembleMember:
        from spsam.engine.recipe import read_recipe
        from spsam.engine.segment import load_member

        recipe = read_recipe(run.checkpoint, self.plugins)
        weights = weights_of(recipe.config, self.checkpoint, self.backend)
        return load_member(recipe, weights, self.device)

    def _segment(self, member: EnsembleMember, case: Case, *, mirror: bool) -> Asked:
        from spsam.engine.segment import FORMS, segment

        with tempfile.TemporaryDirectory(prefix="spsam-view-") as folder:
            place = Path(folder) / "case"
            # Prompts are the same without mirroring, which only the label map needs.
            segment([member], case, place, mirror=None if mirror else False, prompts=True)
            labels = read_labels(place.with_name("case.nii.gz"), self.dataset.raw_ids)
            lines = place.with_name(FORMS["prompts"].replace("{}", "case")).read_text("utf-8")
            return labels, [json.loads(line) for line in lines.splitlines()]


def _has_prompts(member: EnsembleMember) -> bool:
    from spsam.model.networks.self_prompt_sam import SelfPromptSAM

    return isinstance(member.network, SelfPromptSAM)


def read_labels(
    path: Path, raw_ids: Sequence[int], ignore_id: int | None = None
) -> NDArray[np.integer]:
    """Reads a label map `(D, H, W)` as class indices; voxels with `ignore_id` are ignored.

    Raises:
        InputError: If it cannot be read, or contains other ids.
    """
    ids, _ = read_array(path)
    ignored = {} if ignore_id is None else {ignore_id: IGNORED}
    return class_indices(ids, path, {raw_id: k for k, raw_id in enumerate(raw_ids)} | ignored)
