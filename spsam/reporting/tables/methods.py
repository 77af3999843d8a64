"""The paper's comparisons of methods, with this project's runs below the printed rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from spsam.reporting.render.model import (
    Cell,
    Column,
    Group,
    Line,
    Source,
    Table,
    number,
    ranks,
)
from spsam.reporting.study_data import FINISHED
from spsam.reporting.tables.published import PublishedRow, published_methods
from spsam.reporting.tables.study import StudyResults


@dataclass(frozen=True)
class MethodsTable:
    """One of the paper's comparison tables.

    Attributes:
        key: Stem of its file of published numbers.
        title: Subject of the comparison.
        data: Names of data sets whose runs are added to it.
        digits: Number of digits printed in the paper.
    """

    key: str
    title: str
    data: Sequence[str]
    digits: int


METHODS = (
    MethodsTable("table1_amos22", "AMOS22 (CT), fifteen organs", ("amos", "amos22"), 1),
    MethodsTable("table2_synapse", "Synapse (BTCV), eight organs", ("synapse", "btcv"), 2),
    MethodsTable("table3_acdc", "ACDC, three classes", ("acdc",), 2),
)


def methods_of(data: str) -> MethodsTable | None:
    """The comparison that includes a data set; None if the paper has none."""
    return next((table for table in METHODS if data.lower() in table.data), None)


def methods_table(methods: MethodsTable, study: StudyResults | None = None) -> Table:
    """The published rows, followed by every arm of a study with a finished run.

    Arms can be any network of the study, including external predictions.

    Best and second best are marked among this project's rows only: the published numbers were
    measured with other weights, schedules and splits, and are not ranked.

    A footnote marks rows whose printed mean differs from the mean of their classes by more than
    rounding.

    Args:
        methods: The comparison.
        study: A study of the same data; None: only the published rows.
    """
    published = published_methods(methods.key)
    classes = list(published[0].classes)
    heads = [name.upper() if len(name) <= 3 else name.replace("_", " ") for name in classes]
    ours = [] if study is None else _ours(study, classes)
    keys = ["mean", *classes]
    notes: dict[str, str] = {}
    lines = []
    for row in published:
        note = _note(row, methods, notes)
        source = Source("as printed", published=row.place)
        cells = [
            Cell(
                number(value, methods.digits),
                {key: value},
                notes=note if key == "mean" else (),
                source=source,
            )
            for key, value in zip(keys, [row.mean, *row.classes.values()], strict=True)
        ]
        lines.append(Line(row.method, (Cell(row.method, {"method": row.method}), *cells)))
    groups = [Group("published", tuple(lines))]
    if study is not None and ours:
        groups.append(_group(study, methods, keys, ours))
    columns = [Column("method", "method", False), Column("mean", "mean")]
    columns += [Column(key, head, of_class=True) for key, head in zip(classes, heads, strict=True)]
    caption = _caption(methods, study if ours else None)
    return Table(methods.key, caption, tuple(columns), tuple(groups), notes, "source")


def _note(row: PublishedRow, methods: MethodsTable, notes: dict[str, str]) -> tuple[str, ...]:
    if not row.disagrees(methods.digits):
        return ()
    letter = chr(ord("a") + len(notes))
    notes[letter] = (
        f"Printed mean {row.mean:.{methods.digits}f}; the mean of the row's own classes is "
        f"{row.own_mean:.{methods.digits}f}."
    )
    return (letter,)


def _ours(study: StudyResults, classes: Sequence[str]) -> list[tuple[str, list[float]]]:
    """Arms and their numbers in the order of the table; NaN for classes that the data lack."""
    names = [_plain(name) for name in study.measured.class_names[1:]]
    scores = study.scores("dice")
    rows = []
    for arm in study.measured.arms:
        of_arm = scores[arm.name]
        if not len(of_arm.seeds):
            continue
        found = [
            100 * float(of_arm.classes([names.index(name)]).mean())
            if names.count(name) == 1
            else math.nan
            for name in classes
        ]
        rows.append((arm.name, [100 * float(of_arm.mean()), *found]))
    return rows


def _group(
    study: StudyResults,
    methods: MethodsTable,
    keys: Sequence[str],
    ours: Sequence[tuple[str, list[float]]],
) -> Group:
    columns = zip(*[values for _, values in ours], strict=True)
    order = [ranks(column, digits=methods.digits) for column in columns]
    arms = {arm.name: arm for arm in study.measured.arms}
    lines = []
    for index, (arm, values) in enumerate(ours):
        states = study.states(arm)
        count = states.count(FINISHED)
        name = f"{arms[arm].shown}: {arms[arm].title}"
        name += f" (n={count})" if count < len(states) else ""
        cells = [
            Cell(
                number(value, methods.digits),
                {key: value},
                order[column][index],
                source=study.source(f"Dice in percent: {key}", arm),
            )
            for column, (key, value) in enumerate(zip(keys, values, strict=True))
        ]
        lines.append(Line(arm, (Cell(name, {"method": arm}), *cells)))
    return Group("this project", tuple(lines))


def _caption(methods: MethodsTable, study: StudyResults | None) -> str:
    text = (
        f"{methods.title}: Dice in percent. Published rows as printed in Self-Prompt SAM (arXiv "
        "2502.00630), not measured by this project."
    )
    if study is None:
        return text
    weights = "with the preset, weights and split given here, which are not the paper's"
    marks = "Best and second best are marked among this project's rows only."
    return f"{text} This project's rows, {weights}: {study.words('Dice in percent')} {marks}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
