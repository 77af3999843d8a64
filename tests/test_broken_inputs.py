"""Every kind of broken input gets its sentence and exit code, and nothing half-written."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spsam.cli.main import app
from tests.broken_inputs import (
    checkpoints,
    configuration,
    datasets,
    disk,
    files,
    geometry,
    labels,
    places,
)
from tests.broken_inputs.kinds import Kind, Place

FAMILIES: dict[str, tuple[Kind, ...]] = {
    "files": files.KINDS,
    "geometry": geometry.KINDS,
    "places": places.KINDS,
    "labels": labels.KINDS,
    "datasets": datasets.KINDS,
    "configuration": configuration.KINDS,
    "checkpoints": checkpoints.KINDS,
    "disk": disk.KINDS,
}
CORPUS = [
    pytest.param(kind, id=f"{family}: {kind.name}")
    for family, kinds in FAMILIES.items()
    for kind in kinds
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    for name in ("SPSAM_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    # MLflow and further processes cost seconds; what they do is tested elsewhere.
    monkeypatch.setattr("spsam.tracking.mlflow.Tracker.open", lambda *_: None)
    monkeypatch.setattr("spsam.data.workers.cores", lambda: 1)
    return Place(tmp_path, monkeypatch, request)


@pytest.mark.parametrize("kind", CORPUS)
def test_a_broken_input_is_a_sentence_and_leaves_nothing(kind: Kind, place: Place) -> None:
    for command in kind.make(place):
        before = everything(place.folder)
        with place.as_it_is():
            result = CliRunner().invoke(app, [str(word) for word in command])
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        assert result.exit_code == kind.code, result.output
        assert re.search(kind.says, result.output), result.output
        assert "Traceback" not in result.output
        after = everything(place.folder)
        if kind.code == 1:
            # Work that was begun may be gone on with. Folders alone are no output.
            before, after = (
                {
                    name: content
                    for name, content in files.items()
                    if content is not None and not any(fnmatch(name, each) for each in kind.leaves)
                }
                for files in (before, after)
            )
        assert after == before


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies below a folder: each file's bytes, None for a folder; links as what they name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_the_corpus_is_whole() -> None:
    """At least sixty kinds are refused, and every family is there."""
    refused = [kind for kinds in FAMILIES.values() for kind in kinds if kind.code != 0]
    assert len(refused) >= 60
    assert all(len(kinds) >= 8 for kinds in FAMILIES.values())
    names = [(family, kind.name) for family, kinds in FAMILIES.items() for kind in kinds]
    assert len(set(names)) == len(names)
    modules = {file.stem for file in (Path(__file__).parent / "broken_inputs").glob("*.py")}
    assert modules == {*FAMILIES, "kinds", "__init__"}
