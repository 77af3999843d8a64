"""Label maps made elsewhere are scored as a run's own are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from spsam.config.schema import DataIdentity
from spsam.data.cases import DataSet
from spsam.data.geometry import Turn
from spsam.data.preparation.store import PreparedStore
from spsam.data.volume import Volume
from spsam.engine.external import score_external
from spsam.engine.external_spec import ExternalSpec, content_hashes
from spsam.errors import InputError
from spsam.metrics.dice import dice
from spsam.metrics.hausdorff import hd95
from spsam.results.measures import read_measures
from spsam.results.panels import read_panels
from spsam.results.run_folder import RunFolder
from tests.studies.fakes import GEOMETRY, tiny_dataset
from tests.studies.label_maps import write_map

CASES = ("case0", "case5")


def reference(case: str) -> Volume:
    label = np.zeros(GEOMETRY.shape, np.int16)
    label[:, : 3 + int(case[-1]), 4:10] = 1
    label[1, 20:, 4:10] = 2
    image = np.random.default_rng(0).normal(size=(1, *GEOMETRY.shape)).astype(np.float32)
    return cast(Volume, SimpleNamespace(image=image, label=label, spacing=GEOMETRY.spacing))


@pytest.fixture
def dataset() -> DataSet:
    known = tiny_dataset()
    # Ids of the files are other numbers than the classes.
    cases = tuple(
        replace(case, load=lambda name=case.id: reference(name))  # type: ignore[misc]
        for case in known.cases
    )
    return replace(known, cases=cases, raw_ids=(0, 5, 9))


class Store:
    """Prepared cases of which nothing was cut or turned."""

    def case(self, case: str) -> Any:
        return SimpleNamespace(id=case, box=None, turn=Turn(), axes=(0, 1, 2), original=GEOMETRY)


def spec(tmp_path: Path, dataset: DataSet) -> ExternalSpec:
    files = {case: write_map(tmp_path / "maps", case, ids=(9, 5)) for case in CASES}
    hashes = content_hashes(files.values())
    data = DataIdentity(
        name="tiny",
        fingerprint=dataset.fingerprint,
        split_name="s",
        split_hash="h",
        fold=0,
        num_classes=3,
        class_names=dataset.class_names,
        in_channels=1,
    )
    sha256 = {case: hashes[file] for case, file in files.items()}
    folder = RunFolder(tmp_path / "home", "0123")
    return ExternalSpec("other", folder, data, files, sha256, 4, "nnunet")


def test_scores_are_those_of_the_metrics(tmp_path: Path, dataset: DataSet) -> None:
    told = spec(tmp_path, dataset)
    seen: list[tuple[int, int]] = []
    store = cast(PreparedStore, Store())
    score_external(told, dataset, store, lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]
    labels = np.zeros(GEOMETRY.shape, np.int16)
    labels[:, 0, 4:12], labels[:, 1, 4:12] = 2, 1
    rows = told.folder.read_rows()
    found = {(row.case, row.metric, row.class_id): row.value for row in rows}
    for case in CASES:
        label = reference(case).label
        assert label is not None
        wanted = {
            "dice": dice(labels, label, 3, "nnunet"),
            "hd95": hd95(labels, label, 3, GEOMETRY.spacing),
        }
        for metric, values in wanted.items():
            for k in (1, 2):
                assert found[case, metric, k] == pytest.approx(values[k], nan_ok=True)
    assert {(row.run_id, row.seed, row.patient) for row in rows} == {
        ("0123", 4, "patient0"),
        ("0123", 4, "patient5"),
    }
    measures = read_measures(told.folder.measures)
    assert not measures.voxels.any()
    assert measures.counts[:, 1, 0].sum() > 0
    panels = read_panels(told.folder.panels)
    assert [panel.case for panel in panels] == list(CASES)
    assert panels[0].points is None


def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path, dataset: DataSet) -> None:
    told = spec(tmp_path, dataset)
    write_map(tmp_path / "maps", "case5", ids=(5, 9))
    with pytest.raises(InputError, match=r"case5\.nii\.gz: has changed"):
        score_external(told, dataset, cast(PreparedStore, Store()), lambda *_: None)
    assert not told.folder.rows.exists()
