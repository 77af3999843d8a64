"""Custom tables, defined by YAML files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from spsam.config.table import Filters, TableConfig, load_table
from spsam.config.yaml_file import KeyPath, YamlFile
from spsam.errors import InputError, Problem, nearest
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
from spsam.reporting.study_data import StudyData, folds_of
from spsam.reporting.tables.ablation import ablation_table
from spsam.reporting.tables.study import METRICS, StudyResults

_KEYS = {"arm": "arm", "seed": "seed", "case": "case", "patient": "patient", "class": "class_name"}


def custom_table(path: Path, measured: StudyData) -> Table:
    """The custom table of a study.

    Args:
        path: A YAML file, see `spsam.config.table`.
        measured: The study.

    Raises:
        InputError: With every mistake and its line, including names that the study does not have.
    """
    config, file = load_table(path)
    checked = _Checked(file)
    checked.filters(config.filters, measured)
    checked.stop()
    chosen = select(measured, config.filters)
    if config.rows == "arm":
        whole = ablation_table(StudyResults(chosen), name=path.stem, factors=False)
        keys = [column.key for column in whole.columns]
        checked.names(config.columns, keys, ("columns",), "column")
        checked.groups(config, [line.key for line in whole.lines])
        checked.stop()
        wanted = ["arm", *[k for k in config.columns or keys if k != "arm"]]
        table = _ordered(whole, wanted)
    else:
        checked.names(config.columns, [arm.name for arm in chosen.arms], ("columns",), "arm")
        checked.stop()
        table = _pivot(path.stem, config, chosen)
        checked.groups(config, [line.key for line in table.lines])
        checked.stop()
    table = dataclasses.replace(table, caption=f"{config.title}. {table.caption}")
    return _grouped(table, config) if config.groups else table


def select(measured: StudyData, filters: Filters) -> StudyData:
    """The part of a study that passes the filters."""
    arms = list(measured.arms)
    if filters.arm is not None:
        by_name = {arm.name: arm for arm in arms}
        arms = [by_name[name] for name in filters.arm]
    seeds = list(measured.seeds if filters.seed is None else filters.seed)
    kept = [measured.seeds.index(seed) for seed in seeds]
    folds = len(folds_of(measured.about))
    of_seeds = [i * folds + fold for i in kept for fold in range(folds)]
    # An external has only runs of the first seed.
    arms = [
        dataclasses.replace(
            arm, run_ids=tuple(arm.run_ids[i] for i in of_seeds if i < len(arm.run_ids))
        )
        for arm in arms
    ]
    names = [arm.name for arm in arms]
    rows, runs = measured.rows, measured.runs
    keep = rows["arm"].isin(names) & rows["seed"].isin(seeds)
    for column, values in (
        ("case", filters.case),
        ("patient", filters.patient),
        ("class_name", filters.classes),
    ):
        if values is not None:
            keep &= rows[column].isin(values)
    rows = rows[keep].copy()
    for column in ("case", "patient"):
        rows[column] = rows[column].cat.remove_unused_categories()
    rows["arm"] = rows["arm"].cat.set_categories(names)
    narrowed = filters.case is not None or filters.patient is not None
    cases = len(rows["case"].cat.categories) if narrowed else measured.test_cases
    about = {
        **measured.about,
        "seeds": seeds,
        "cases": {**measured.about["cases"], "test": cases},
    }
    lines = [runs[(runs["arm"] == name) & runs["seed"].isin(seeds)] for name in names]
    return dataclasses.replace(
        measured, about=about, arms=arms, rows=rows, runs=pd.concat(lines, ignore_index=True)
    )


class _Checked:
    """Collects names that the study does not have."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file
        self._problems: list[Problem] = []

    def names(
        self, given: Iterable[object] | None, known: Sequence[object], path: KeyPath, what: str
    ) -> None:
        texts = [str(name) for name in known]
        for index, name in enumerate(given or ()):
            if str(name) not in texts:
                line = self._file.line((*path, index))
                message = f"unknown {what} '{name}'{nearest(str(name), texts)}"
                self._problems.append(Problem(message, self._file.path, line))

    def filters(self, filters: Filters, measured: StudyData) -> None:
        rows = measured.rows
        known: dict[str, Sequence[object]] = {
            "arm": [arm.name for arm in measured.arms],
            "seed": list(measured.seeds),
            "case": list(rows["case"].cat.categories),
            "patient": list(rows["patient"].cat.categories),
            "classes": list(measured.class_names[1:]),
        }
        for key, names in known.items():
            what = "class" if key == "classes" else key
            self.names(getattr(filters, key), names, ("filters", key), what)

    def groups(self, config: TableConfig, rows: Sequence[str]) -> None:
        for title, names in (config.groups or {}).items():
            self.names(names, rows, ("groups", title), "row")

    def stop(self) -> None:
        if self._problems:
            raise InputError(self._problems)


def _ordered(table: Table, keys: Sequence[str]) -> Table:
    """Selects the table's columns by name, in the given order."""
    order = [table.column(key) for key in keys]
    groups = tuple(
        dataclasses.replace(
            group,
            lines=tuple(
                dataclasses.replace(line, cells=tuple(line.cells[i] for i in order))
                for line in group.lines
            ),
        )
        for group in table.groups
    )
    columns = tuple(table.columns[i] for i in order)
    return dataclasses.replace(table, columns=columns, groups=groups)


def _pivot(name: str, config: TableConfig, measured: StudyData) -> Table:
    """One row per seed, case, patient or class; one column per arm."""
    metric, key = METRICS[config.metric], _KEYS[config.rows]
    rows = measured.rows
    rows = rows[(rows["metric"] == metric.key) & (rows["class_id"] > 0)]
    # Means per class first, as in all tables: classes are not weighted by their number of cases.
    keys = [key] if key == "class_name" else [key, "class_name"]
    means = rows.groupby(["arm", *keys], observed=True, sort=False)["value"].mean()
    wide = means.groupby(["arm", key], observed=True, sort=False).mean().unstack("arm")
    arms = list(config.columns or [arm.name for arm in measured.arms])
    wide = metric.scale * wide.reindex(columns=arms)
    study = StudyResults(measured)
    texts = list(map(str, wide.index))
    lines = []
    for row, values in zip(texts, wide.to_numpy(dtype=float), strict=True):
        order = ranks(values.tolist(), higher=metric.higher)
        cells = [
            Cell(
                number(value), {arm: value}, rank, source=_source(study, metric.key, arm, key, row)
            )
            for arm, value, rank in zip(arms, values.tolist(), order, strict=True)
        ]
        lines.append(Line(row, (Cell(row, {config.rows: row}), *cells)))
    columns = (Column(config.rows, config.rows, False), *[Column(arm, arm) for arm in arms])
    unit = "Dice in percent" if metric.key == "dice" else "HD95 in mm"
    caption = study.words(f"{unit} of each {config.rows}, best arm of a row bold,")
    return Table(name, caption, columns, (Group("", tuple(lines)),))


def _source(study: StudyResults, metric: str, arm: str, key: str, row: str) -> Source:
    source = study.source(f"{metric}: mean where {key} is {row}", arm)
    if key == "case":
        return dataclasses.replace(source, cases=(row,))
    if key == "patient":
        rows = study.measured.rows
        cases = rows.loc[rows["patient"] == row, "case"].unique()
        return dataclasses.replace(source, cases=tuple(map(str, cases)))
    if key == "seed":
        runs = study.measured.runs
        mine = runs[(runs["arm"] == arm) & (runs["seed"].astype(str) == row)]["run_id"]
        return dataclasses.replace(source, runs=tuple(mine))
    return source


def _grouped(table: Table, config: TableConfig) -> Table:
    by_key = {line.key: line for line in table.lines}
    named = config.groups or {}
    groups = [Group(title, tuple(by_key.pop(row) for row in rows)) for title, rows in named.items()]
    if by_key:
        groups.append(Group("", tuple(by_key.values())))
    return dataclasses.replace(table, groups=tuple(groups), grouped_by="group")
