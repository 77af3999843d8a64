"""The axes of a study of prompts, checked, and the cells between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from spsam.config.problems import Place
from spsam.config.prompt_study import SOURCES, Disturbance
from spsam.config.schema import Block
from spsam.config.yaml_file import KeyPath
from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.signature import parameters, validate

KINDS = ("point", "box", "mask")

Say = Callable[[str], Problem]


@dataclass(frozen=True)
class Strategy:
    """How the point is chosen.

    Attributes:
        card: The component.
        given: Parameters that were given.
        params: All its parameters, defaults included.
    """

    card: Card
    given: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name, with the parameters that were given."""
        said = ", ".join(f"{key}={_plain(value)}" for key, value in self.given.items())
        return f"{self.card.name}({said})" if said else self.card.name

    @property
    def is_random(self) -> bool:
        """Whether the study's seed is handed on to it."""
        return "seed" in self.params and "seed" not in self.given


@dataclass(frozen=True)
class Source:
    """Where prompts come from.

    Attributes:
        kind: `ground_truth`, `auxiliary` or `disturbed`.
        disturbance: What `disturbed` means.
    """

    kind: str
    disturbance: Disturbance | None = None

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.disturbance.name if self.disturbance else self.kind.replace("_", " ")


@dataclass(frozen=True)
class Cell:
    """One way of prompting.

    Attributes:
        use: Kinds of prompts, in the order point, box, mask.
        strategy: How the point is chosen; without a point, what makes boxes and masks.
        source: Where prompts come from.
    """

    use: tuple[str, ...]
    strategy: Strategy
    source: Source

    @property
    def prompts(self) -> str:
        """Its kinds of prompts, joined by +."""
        return "+".join(self.use)

    @property
    def point(self) -> str | None:
        """How its point is chosen; None without one."""
        return self.strategy.label if "point" in self.use else None

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another result."""
        disturbance = self.source.disturbance
        return ("point" in self.use and self.strategy.is_random) or (
            disturbance is not None and disturbance.is_random(self.use)
        )

    def __str__(self) -> str:
        point = f" by {self.point}" if self.point else ""
        return f"{self.prompts}{point}, {self.source.label}"


def subsets(words: Iterable[str], say: Say, problems: list[Problem]) -> list[tuple[str, ...]]:
    """Subsets of point, box and mask from words such as `point+box`; each once."""
    found: dict[tuple[str, ...], None] = {}
    for word in words:
        kinds = [kind.strip() for kind in word.split("+")]
        wrong = [
            f"unknown kind of prompt '{kind}'{nearest(kind, KINDS)}"
            for kind in kinds
            if kind and kind not in KINDS
        ]
        if not all(kinds):
            wrong.append("a kind of prompt is missing; point, box and mask are joined by +")
        wrong += [
            f"'{kind}' stands twice; a class has one set of each kind"
            for kind in dict.fromkeys(kinds)
            if kind in KINDS and kinds.count(kind) > 1
        ]
        problems += [say(f"prompts '{word}': {message}") for message in wrong]
        if not wrong:
            found[tuple(kind for kind in KINDS if kind in kinds)] = None
    if not found and not problems:
        problems.append(say("prompts: expected at least one of point, box and mask"))
    return list(found)


def strategies(
    blocks: Sequence[Block] | None,
    catalogue: Catalogue,
    mask: str,
    place: Callable[[int], Place],
    problems: list[Problem],
) -> list[Strategy]:
    """Components of the slot `prompt`, with their parameters.

    Args:
        blocks: Names and parameters; None for every component with its defaults.
        catalogue: Where they are looked up.
        mask: What a mask prompt is, for components that can be told.
        place: Where a block was written.
        problems: Mistakes are put here.
    """
    if blocks is None:
        blocks = [Block(name=card.name) for card in catalogue.cards("prompt")]
    found: dict[str, Strategy] = {}
    for index, block in enumerate(blocks):
        at = place(index)
        try:
            card = catalogue.card("prompt", block.name)
            known = {parameter.name for parameter in parameters(card)}
        except InputError as error:
            message = error.problems[0].message.replace("unknown prompt", "unknown point strategy")
            problems.append(at.problem(message))
            problems += error.problems[1:]
            continue
        if "use" in block.params:
            problems.append(at.problem(f"point '{block.name}': 'use' is given by the prompts"))
            continue
        # Every kind is made once, and what a cell does not use is left out later.
        told = {"use": KINDS, "mask": mask}
        params = {key: value for key, value in told.items() if key in known} | block.params
        values, mistakes = validate(card, params, partial(_constant, at), ())
        problems += mistakes
        if not mistakes:
            strategy = Strategy(card, dict(block.params), values)
            found[strategy.label] = strategy
    if not blocks:
        problems.append(Problem("point: expected at least one component of the slot 'prompt'"))
    return list(found.values())


def sources(
    words: Sequence[str] | None,
    disturbances: Sequence[Disturbance],
    *,
    has_run: bool,
    say: Say,
    problems: list[Problem],
) -> list[Source]:
    """Sources from words; `disturbed` stands for every disturbance.

    Args:
        words: None for all that are possible.
        disturbances: Of the study.
        has_run: Whether there are auxiliary masks.
        say: Makes a mistake of a message.
        problems: Mistakes are put here.
    """
    if words is None:
        words = [kind for kind in SOURCES if kind != "auxiliary" or has_run]
        words = [kind for kind in words if kind != "disturbed" or disturbances]
    named = {disturbance.name: disturbance for disturbance in disturbances}
    found: dict[Source, None] = {}
    for word in words:
        if word in named:
            found[Source("disturbed", named[word])] = None
        elif word not in SOURCES:
            problems.append(say(f"unknown source '{word}'{nearest(word, [*SOURCES, *named])}"))
        elif word == "auxiliary" and not has_run:
            problems.append(
                say(
                    "source 'auxiliary' needs a trained run (--run): plain SAM has no auxiliary "
                    "masks"
                )
            )
        elif word == "disturbed":
            found |= {Source(word, disturbance): None for disturbance in disturbances}
            if not disturbances:
                problems.append(say("source 'disturbed': the study names no disturbances"))
        else:
            found[Source(word)] = None
    if not words:
        problems.append(say("source: expected at least one"))
    return list(found)


def cells(
    subsets: Sequence[tuple[str, ...]],
    strategies: Sequence[Strategy],
    sources: Sequence[Source],
) -> list[Cell]:
    """Every combination that differs from the others."""
    found = []
    for source in sources:
        for use in subsets:
            if source.disturbance is not None and not source.disturbance.felt_by(use):
                continue
            able = strategies if "point" in use else strategies[:1]
            found += [Cell(use, strategy, source) for strategy in able]
    return found


def _constant(place: Place, path: KeyPath) -> Place:
    return place


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)
