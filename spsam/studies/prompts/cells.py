"""The cells of a prompt study, and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spsam.config.prompt_study import Disturbance
from spsam.registry.catalogue import Card

PREFERRED = "edt"
"""The paper's point strategy, used if one must be selected."""


@dataclass(frozen=True)
class Strategy:
    """A point strategy.

    Attributes:
        card: The component.
        given: The parameters that the study sets.
        params: All parameters, including defaults.
    """

    card: Card
    given: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name, with the parameters that the study sets."""
        said = ", ".join(f"{key}={_plain(value)}" for key, value in self.given.items())
        return f"{self.card.name}({said})" if said else self.card.name

    @property
    def is_random(self) -> bool:
        """Whether it uses the study's seed."""
        return "seed" in self.params and "seed" not in self.given

    @property
    def takes_forms(self) -> bool:
        """Whether the component accepts the form of mask prompts as a parameter."""
        return "mask" in self.params


@dataclass(frozen=True)
class Form:
    """The form of a mask prompt.

    Attributes:
        name: `binary`, `logits` or `log_odds`.
        values: Values outside and inside a binary mask; None for the component's own.
    """

    name: str
    values: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """The form's name in tables."""
        if self.values is None:
            return self.name
        return f"{self.name} [{self.values[0]:g}, {self.values[1]:g}]"

    @property
    def params(self) -> dict[str, Any]:
        """The form as parameters of a component."""
        return {"mask": self.name} | ({"mask_values": self.values} if self.values else {})


@dataclass(frozen=True)
class PromptSource:
    """The source of prompts.

    Attributes:
        kind: `ground_truth`, `auxiliary` or `disturbed`.
        disturbance: The disturbance, if the kind is `disturbed`.
    """

    kind: str
    disturbance: Disturbance | None = None

    @property
    def label(self) -> str:
        """The source's name in tables."""
        return self.disturbance.name if self.disturbance else self.kind.replace("_", " ")


@dataclass(frozen=True)
class PromptCell:
    """One combination of prompts.

    Attributes:
        use: Kinds of prompts, in the order point, box, mask.
        strategy: The point strategy; without a point, the component that creates boxes and masks.
        source: The source of the prompts.
        form: The mask form; None without masks, or if the component's parameters determine it.
    """

    use: tuple[str, ...]
    strategy: Strategy
    source: PromptSource
    form: Form | None = None

    @property
    def prompts(self) -> str:
        """Its kinds of prompts, joined by +."""
        return "+".join(self.use)

    @property
    def point(self) -> str | None:
        """The label of the point strategy; None without a point."""
        return self.strategy.label if "point" in self.use else None

    @property
    def mask(self) -> str | None:
        """The label of the mask form; None without one, or if the component determines it."""
        return self.form.label if self.form else None

    @property
    def params(self) -> dict[str, Any]:
        """All parameters of its component."""
        return self.strategy.params | (self.form.params if self.form else {})

    @property
    def is_random(self) -> bool:
        """Whether the result depends on the seed."""
        disturbance = self.source.disturbance
        return ("point" in self.use and self.strategy.is_random) or (
            disturbance is not None and disturbance.is_random(self.use)
        )

    def __str__(self) -> str:
        point = f" by {self.point}" if self.point else ""
        mask = f", mask {self.mask}" if self.mask else ""
        return f"{self.prompts}{point}{mask}, {self.source.label}"


def make_cells(
    subsets: Sequence[tuple[str, ...]],
    strategies: Sequence[Strategy],
    sources: Sequence[PromptSource],
    forms: Sequence[Form],
) -> list[PromptCell]:
    """Returns all distinct combinations."""
    found = []
    # Without a point, the component only creates boxes and masks; prefer one that accepts a form.
    able_to_mask = [each for each in strategies if each.takes_forms] or strategies
    for source in sources:
        for use in subsets:
            if source.disturbance is not None and not source.disturbance.felt_by(use):
                continue
            for strategy in strategies if "point" in use else able_to_mask[:1]:
                told = forms if "mask" in use and strategy.takes_forms else [None]
                found += [PromptCell(use, strategy, source, form) for form in told]
    return found


def with_one_point(cells: Sequence[PromptCell]) -> list[PromptCell]:
    """Returns the cells with the paper's point strategy, or else the first, and the first form."""
    points = list(dict.fromkeys(cell.point for cell in cells if cell.point))
    wanted = PREFERRED if PREFERRED in points else next(iter(points), None)
    form = next((cell.form for cell in cells if cell.form), None)
    return [cell for cell in cells if cell.point in (None, wanted) and cell.form in (None, form)]


def _plain(value: Any) -> str:
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)
