"""Evaluation of a prompt study: case by case, every cell that has no results yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spsam.results.cell_rows import CellRows
from spsam.studies.backend import Backend
from spsam.studies.progress_events import ProgressListener
from spsam.studies.prompts.cells import PromptCell
from spsam.studies.prompts.plan_prompts import PromptStudy

if TYPE_CHECKING:
    from spsam.data.preparation.store import PreparedStore
    from spsam.engine.prompting.evaluator import PromptEvaluator, PromptSpec
    from spsam.model.networks.self_prompt_sam import SelfPromptSAM
    from spsam.model.prompts.base import Prompt

QUALITY = "quality"
"""Suffix of the key of the rows about the quality of a run's own prompts."""


@dataclass(frozen=True)
class Draw:
    """One cell with one seed.

    Attributes:
        cell: The cell.
        seed: The seed.
        rows: The store of its rows.
        maps: Whether its label maps are also required.
    """

    cell: PromptCell
    seed: int
    rows: CellRows
    maps: bool = False

    def missing(self, cases: Sequence[str]) -> list[str]:
        """Returns the cases that have no results yet."""
        unknown = set(self.rows.missing(cases))
        return [case for case in cases if case in unknown or self.lacks_map(case)]

    def lacks_map(self, case: str) -> bool:
        """Whether a required label map is missing."""
        return self.maps and not (self.rows.maps / f"{case}.nii.gz").is_file()


def draws(study: PromptStudy) -> list[Draw]:
    """Returns all draws of a study; those that cells share occur once."""
    home = study.request.home
    mapped = {study.first_key(cell) for cell in study.mapped}
    found: dict[str, Draw] = {}
    for cell in [*study.cells, *(study.own or ())]:
        for seed in study.seeds(cell):
            key = study.key(cell, seed)
            found.setdefault(key, Draw(cell, seed, CellRows(home, key), key in mapped))
    return list(found.values())


def is_missing(study: PromptStudy) -> bool:
    """Whether the study has missing results."""
    quality = quality_of(study)
    return any(draw.missing(study.cases) for draw in draws(study)) or bool(
        quality and quality.missing(study.cases)
    )


def quality_of(study: PromptStudy) -> CellRows | None:
    """Returns the store of rows about a run's own prompts; None for plain SAM."""
    run = study.subject.run
    return CellRows(study.request.home, f"{run.run_id}-{QUALITY}") if run else None


class Session:
    """The network and the data of a study, opened on demand.

    Args:
        study: The study.
        watch: Receives progress and messages.
        backend: The engine.
    """

    def __init__(self, study: PromptStudy, watch: ProgressListener, backend: Backend) -> None:
        self.study = study
        self._watch = watch
        self._backend = backend
        self._store: PreparedStore | None = None
        self._network: SelfPromptSAM | None = None
        self._examiner: PromptEvaluator | None = None
        self._prompts: dict[tuple[str, str | None, int], Prompt] = {}

    @property
    def store(self) -> PreparedStore:
        """The prepared data; the run's own if there is a run.

        Raises:
            InputError: With every problem in every file.
        """
        if self._store is None:
            subject = self.study.subject
            home = self.study.request.home if subject.run is None else subject.run.home
            self._store = self._backend.prepare(
                subject.dataset, subject.plan, home / "prepared", self._watch.preparing
            )
        return self._store

    @property
    def examiner(self) -> PromptEvaluator:
        """Evaluates the network, including the mask head of a run.

        Raises:
            InputError: If the weights do not belong to the network.
        """
        if self._examiner is None:
            self._examiner = self._make_examiner(heads=self.study.subject.run is not None)
        return self._examiner

    @property
    def head_examiner(self) -> PromptEvaluator:
        """Evaluates the network and its mask head."""
        return self._make_examiner(heads=True)

    def check(self) -> None:
        """Reads data and weights, to detect errors in advance.

        Raises:
            InputError: If they are invalid.
        """
        _ = self.store, self.examiner

    def _make_examiner(self, *, heads: bool) -> PromptEvaluator:
        from spsam.engine.prompting.evaluator import PromptEvaluator
        from spsam.engine.prompting.subject import load_network

        subject = self.study.subject
        if self._network is None:
            self._network = load_network(
                subject.config,
                subject.plan.patch_size,
                subject.checkpoint,
                subject.run.checkpoint if subject.run else None,
                subject.device,
            )
        return PromptEvaluator(
            self._network,
            subject.config.arm.train,
            subject.config.data.num_classes,
            self.study.config.mask_logit,
            heads=heads,
        )

    def question(self, cell: PromptCell, seed: int) -> PromptSpec:
        """Returns the engine's specification of a cell."""
        from spsam.engine.prompting.evaluator import PromptSpec

        return PromptSpec(
            use=cell.use,
            prompt=self._prompt(cell, seed),
            auxiliary=cell.source.kind == "auxiliary",
            disturbance=cell.source.disturbance,
            seed=seed,
        )

    def _prompt(self, cell: PromptCell, seed: int) -> Prompt:
        from spsam.engine.prompting.subject import make_prompt

        params: dict[str, Any] = dict(cell.params)
        if cell.strategy.is_random:
            params["seed"] = seed
        else:
            seed = 0
        key = (cell.strategy.label, cell.mask, seed)
        if key not in self._prompts:
            classes = self.study.subject.config.data.num_classes
            self._prompts[key] = make_prompt(cell.strategy.card, classes, params)
        return self._prompts[key]


def answer_all(session: Session, watch: ProgressListener) -> int:
    """Evaluates the missing cells, case by case; returns the number of new results.

    Raises:
        InputError: If data or weights are invalid.
        KeyboardInterrupt: If the user interrupted it; finished cases are kept.
    """
    study = session.study
    asked, quality = draws(study), quality_of(study)
    open_by_case: dict[str, list[Draw]] = {case: [] for case in study.cases}
    for draw in asked:
        for case in draw.missing(study.cases):
            open_by_case[case].append(draw)
    unmeasured = set(quality.missing(study.cases)) if quality else set()
    todo = [case for case in study.cases if open_by_case[case] or case in unmeasured]
    if not todo:
        return 0
    progress = _Progress(session, {case: len(open_by_case[case]) for case in todo}, watch)
    for case in todo:
        _answer_case(session, case, open_by_case[case], case in unmeasured, progress)
    return sum(len(found) for found in open_by_case.values())


def _answer_case(
    session: Session, case: str, asked: list[Draw], measured: bool, progress: _Progress
) -> None:
    from spsam.engine.prompting.rows import Rows

    config = session.study.subject.config
    prepared = session.store.case(case)
    # Draws that share label maps are adjacent, so that only one source's maps are in memory.
    asked = sorted(asked, key=lambda draw: (draw.cell.source.label, draw.seed))
    questions = [session.question(draw.cell, draw.seed) for draw in asked]
    found = session.examiner.case(
        prepared,
        questions,
        quality=measured,
        keep=[number for number, draw in enumerate(asked) if draw.lacks_map(case)],
        on_answer=progress.answered,
    )
    for number, volume in found.volumes.items():
        volume.write(asked[number].rows.maps / f"{case}.nii.gz")
    for draw, answer in zip(asked, found.answers, strict=True):
        if draw.rows.missing([case]):
            draw.rows.add(Rows(draw.rows.key, draw.seed, prepared, config).answer(answer))
    rows = quality_of(session.study)
    if measured and rows is not None:
        rows.add(Rows(rows.key, 0, prepared, config).quality(found.quality))


class _Progress:
    """Reports the number of prompted patches."""

    def __init__(
        self, session: Session, questions: dict[str, int], watch: ProgressListener
    ) -> None:
        from spsam.engine.prompting.tiles import tile_starts

        size = session.study.subject.plan.patch_size
        self._watch = watch
        self._done = 0
        self._total = sum(
            count * len(tile_starts(session.store.case(case).label.shape, size))
            for case, count in questions.items()
        )

    def answered(self, patches: int) -> None:
        self._done += patches
        self._watch.stage("prompting", self._done, self._total)
