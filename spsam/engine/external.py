"""Evaluation of another program's predictions, by the same code as a run's own."""

from __future__ import annotations

from collections.abc import Callable

from spsam.data.cases import DataSet
from spsam.data.preparation.store import PreparedStore
from spsam.engine.evaluate import CaseScore, case_score, score_rows
from spsam.engine.external_spec import ExternalSpec, content_hashes, read_prediction
from spsam.engine.recording.counts import CaseCounts, as_prepared, gather
from spsam.engine.recording.pictures import picture, shown
from spsam.errors import InputError, Problem
from spsam.results.measures import write_measures
from spsam.results.panels import write_panels
from spsam.results.rows import write_rows


def score_external(
    spec: ExternalSpec,
    dataset: DataSet,
    store: PreparedStore,
    on_case: Callable[[int, int], None],
) -> None:
    """Scores label maps as `evaluate` does and writes the run's files, rows last.

    Args:
        spec: Label maps and their data; the files have been validated.
        dataset: The data set.
        store: Prepared data of any arm, which determine crop and orientation of figures.
        on_case: Called with (done, total).

    Raises:
        InputError: If a file has changed since it was validated.
    """
    found = content_hashes(spec.files.values())
    other = [file for case, file in spec.files.items() if found[file] != spec.sha256[case]]
    if other:
        message = "has changed since this command read it; rerun the command"
        raise InputError([Problem(message, file) for file in other])
    raw_ids = {raw: k for k, raw in enumerate(dataset.raw_ids)}
    data = spec.data
    scores: list[CaseScore] = []
    counts: list[CaseCounts] = []
    panels = []
    to_show = shown(len(spec.files))
    for case_id, file in spec.files.items():
        case, prepared = dataset.case(case_id), store.case(case_id)
        volume = case.load()
        assert volume.label is not None
        labels, _ = read_prediction(file, case, raw_ids)
        # A label map has no confidence, so that only counts by slice are recorded.
        count = CaseCounts(prepared, volume.label, data.num_classes, "none", data.region_classes)
        count.add_labels(0, as_prepared(labels, prepared))
        if len(scores) in to_show:
            panels.append(picture(None, prepared, volume, labels))
        scores.append(case_score(case, volume, labels, data, spec.convention))
        counts.append(count)
        on_case(len(scores), len(spec.files))
    write_measures(spec.folder.measures, gather(counts, len(data.scored_names), "none"))
    write_panels(spec.folder.panels, panels)
    rows = score_rows(scores, spec.data, spec.folder.run_id, spec.seed, spec.convention)
    write_rows(spec.folder.rows, rows)
