"""Planning of a prompt study's cells from a request; planning writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spsam.config.identity import canonical_json
from spsam.config.problems import gather, raise_all, unique
from spsam.config.prompt_study import MaskPrompt, PromptStudyConfig
from spsam.errors import InputError, Problem
from spsam.registry.catalogue import Catalogue
from spsam.studies.backend import Backend
from spsam.studies.prompts.axes import KINDS, PromptStudyFile
from spsam.studies.prompts.cells import PromptCell, PromptSource, Strategy, with_one_point
from spsam.studies.prompts.request import PromptRequest
from spsam.studies.prompts.subject import Subject, check_comparable, plain_sam, trained_run
from spsam.text.file_name import file_name


@dataclass(frozen=True)
class PromptStudy:
    """A planned prompt study.

    Attributes:
        request: The request.
        config: The content of the study's file, with the changes of the request.
        subject: The network.
        cells: The cells, in the order of the table.
        cases: Ids of the test cases to evaluate.
    """

    request: PromptRequest
    config: PromptStudyConfig
    subject: Subject
    cells: Sequence[PromptCell]
    cases: Sequence[str]

    @property
    def metric(self) -> str:
        """The metric of a cell's mean Dice: of a run's label maps, or of plain SAM's masks."""
        return "mask" if self.subject.run is None else "labels"

    def seeds(self, cell: PromptCell) -> tuple[int, ...]:
        """Returns the seeds of a cell; a single one if nothing in it is random."""
        return self.config.seed_numbers if cell.is_random else (0,)

    def first_key(self, cell: PromptCell) -> str:
        """Returns the key of a cell with its first seed."""
        return self.key(cell, self.seeds(cell)[0])

    def key(self, cell: PromptCell, seed: int) -> str:
        """Returns a hash of all that a cell's results depend on except the cases, 16 digits."""
        card, disturbance = cell.strategy.card, cell.source.disturbance
        params: dict[str, Any] = dict(cell.params)
        params.pop("use", None)
        mask, values = params.pop("mask", None), params.pop("mask_values", None)
        chosen = {"name": card.name, "target": card.target, "params": params}
        amounts = disturbance.model_dump(mode="json") if disturbance else None
        masked = "mask" in cell.use
        content = {
            "network": self.subject.identity,
            "use": cell.use,
            # Boxes, and masks of a given form, do not depend on the point strategy.
            "point": chosen if "point" in cell.use or (masked and mask is None) else None,
            "source": cell.source.kind,
            "disturbance": amounts,
            "mask": {"form": mask, "values": values if mask == "binary" else None}
            if masked
            else None,
            "mask_logit": self.config.mask_logit if masked and mask != "binary" else None,
            "seed": seed,
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]

    @property
    def own(self) -> tuple[PromptCell, PromptCell] | None:
        """A run's own prompts, from its auxiliary masks and from the ground truth."""
        if self.subject.run is None:
            return None
        block = self.subject.config.arm.blocks.prompt
        card = Catalogue.load(self.subject.config.arm.plugins).card("prompt", block.name)
        use = tuple(block.params.get("use", KINDS))
        own = Strategy(card, dict(block.params), dict(block.params))
        return PromptCell(use, own, PromptSource("auxiliary")), PromptCell(
            use, own, PromptSource("ground_truth")
        )

    @property
    def mapped(self) -> list[PromptCell]:
        """Plain SAM's cells whose adjacent slices are compared (Fig. 1d of the paper)."""
        if self.subject.run is not None:
            return []
        return with_one_point([cell for cell in self.cells if cell.source.kind == "ground_truth"])

    @property
    def name(self) -> str:
        """The study's name, which ends with a hash of its cells and cases."""
        run = self.subject.run
        label = f"{self.subject.dataset.name}-" + (
            f"{self.subject.config.arm.name}-{run.run_id}"
            if run
            else self.subject.config.arm.backbone.name
        )
        keys = [self.key(cell, seed) for cell in self.cells for seed in self.seeds(cell)]
        digest = hashlib.sha256(" ".join([*keys, *self.cases]).encode()).hexdigest()[:8]
        return f"{file_name(label)}-{digest}"

    @property
    def folder(self) -> Path:
        """The study's folder, for tables and figures."""
        return self.request.home / "prompts" / self.name

    def describe(self) -> dict[str, Any]:
        """Returns the plan as plain values."""
        data = self.subject.config.data
        return {
            "name": self.name,
            "title": self.config.title,
            "network": self.subject.label,
            "weights": None if self.subject.weights is None else self.subject.weights.to_dict(),
            "run": self.subject.run.run_id if self.subject.run else None,
            "data": data.model_dump(mode="json"),
            "cases": list(self.cases),
            "patch_size": list(self.subject.plan.patch_size),
            "metric": self.metric,
            "mask_logit": self.config.mask_logit,
            "disturbances": [d.model_dump(mode="json") for d in self.config.disturbances],
            "cells": [
                {
                    "prompts": cell.prompts,
                    "point": cell.point,
                    "mask": cell.mask,
                    "source": cell.source.kind,
                    "disturbance": cell.source.disturbance.name
                    if cell.source.disturbance
                    else None,
                    "seeds": len(self.seeds(cell)),
                    "keys": [self.key(cell, seed) for seed in self.seeds(cell)],
                }
                for cell in self.cells
            ],
        }


def plan_prompts(request: PromptRequest, backend: Backend | None = None) -> PromptStudy:
    """Plans a prompt study.

    Raises:
        InputError: With every problem in the study's file, the axes, data, weights and runs.
    """
    backend = backend or Backend()
    problems: list[Problem] = []
    of_subject: list[Problem] = []
    file = PromptStudyFile(request)
    config = file.config
    subject: Subject | None = None
    cells: list[PromptCell] = []
    with gather(of_subject):
        subject = _subject(request, config, backend)
        for other in request.compare:
            with gather(of_subject):
                check_comparable(other, request.home, subject)
    with gather(problems):
        cells = file.cells(None if subject is None else _own_form(subject), problems)
    if request.limit is not None and request.limit < 1:
        problems.append(Problem(f"--limit {request.limit}: expected at least 1"))
    raise_all([*problems, *of_subject])
    assert subject is not None
    if not subject.split.test:
        raise InputError(
            f"split '{subject.split.name}' has no test cases, which prompt studies require: use a "
            "run of another split"
        )
    _check_components(cells, subject)
    return PromptStudy(request, config, subject, cells, subject.split.test[: request.limit])


def _own_form(subject: Subject) -> MaskPrompt | None:
    """Returns a run's mask form; None for plain SAM, or if its component does not specify it."""
    params = subject.config.arm.blocks.prompt.params
    if subject.run is None or "mask" not in params:
        return None
    values = params["mask_values"] if params["mask"] == "binary" else None
    return MaskPrompt(name=params["mask"], values=values)


def _check_components(cells: Sequence[PromptCell], subject: Subject) -> None:
    """Creates every component once, so that invalid values are reported before the evaluation."""
    from spsam.engine.prompting.subject import make_prompt

    problems: list[Problem] = []
    for card, params in {
        canonical_json(cell.params): (cell.strategy.card, cell.params) for cell in cells
    }.values():
        with gather(problems):
            make_prompt(card, subject.config.data.num_classes, params)
    raise_all(unique(problems))


def _subject(request: PromptRequest, config: PromptStudyConfig, backend: Backend) -> Subject:
    if request.run is not None:
        if request.overrides:
            raise InputError("--set, --backbone: a trained run cannot be changed")
        return trained_run(
            request.run,
            home=request.home,
            data=request.data,
            checkpoint=request.checkpoint,
            device=request.device,
            plugins=request.plugins,
            backend=backend,
        )
    return plain_sam(
        config.arm,
        home=request.home,
        data=request.data or "phantom",
        preset=config.preset,
        overrides={**config.set, **request.overrides},
        checkpoint=request.checkpoint,
        device=request.device,
        plugins=request.plugins,
        backend=backend,
    )
