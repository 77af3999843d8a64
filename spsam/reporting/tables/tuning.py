"""Captions and ledger entries about tuned values and selected checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spsam.reporting.study_data import ArmData


def tuning_words(arms: Sequence[ArmData]) -> list[str]:
    """One sentence per budget: the search, its number of trials, and the chosen values."""
    budgets: dict[str, list[str]] = {}
    for arm in arms:
        if arm.tuned:
            values = arm.tuned["values"] or {}
            told = ", ".join(_number(value) for value in values.values()) or "not chosen yet"
            budgets.setdefault(_budget(arm.tuned), []).append(f"{arm.name} {told}")
    return [
        f"Chosen by {budget}, without using test cases: {'; '.join(chosen)}."
        for budget, chosen in budgets.items()
    ]


def checkpoint_words(arms: Sequence[ArmData]) -> list[str]:
    """One sentence per way in which validation cases selected the epoch of the weights."""
    ways: dict[str, list[str]] = {}
    for arm in arms:
        if arm.best:
            of, cases = arm.best["of"], arm.best["cases"]
            scores = "validation" if of == 1 else "validations"
            way = f"best of {of} {scores} during training (n={cases} cases)"
            ways.setdefault(way, []).append(arm.name)
    trained = sum(not arm.external for arm in arms)
    return [
        f"Checkpoint{'' if len(names) == trained else ' of ' + ', '.join(names)}: {way}."
        for way, names in ways.items()
    ]


def initial_words(arms: Sequence[ArmData]) -> list[str]:
    """One sentence per set of earlier runs that arms start from."""
    sources: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        if arm.initial:
            sources.setdefault(tuple(arm.initial), []).append(arm.name)
    return [
        f"{', '.join(names)} start{'s' if len(names) == 1 else ''} from {'; '.join(source)}."
        for source, names in sources.items()
    ]


def tuned_settings(tuned: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> source in the ledger, for tuned values."""
    told = f"tuned, {tuned['trials']} trials on validation cases" if tuned else ""
    return dict.fromkeys((tuned.get("values") or {}) if tuned else (), told)


def _budget(tuned: Mapping[str, Any]) -> str:
    space = ", ".join(f"{key} {_range(entry)}" for key, entry in tuned["space"].items())
    return (
        f"a sweep of {tuned['trials']} trials per arm ({tuned['sampler']}) on validation cases "
        f"(n={tuned['validation_cases']}), {space}"
    )


def _range(entry: Mapping[str, Any]) -> str:
    if "choices" in entry:
        return f"of {', '.join(map(_number, entry['choices']))}"
    scale = " on a logarithmic scale" if entry.get("log") else ""
    return f"from {_number(entry['low'])} to {_number(entry['high'])}{scale}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
