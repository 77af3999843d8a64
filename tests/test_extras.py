from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spsam import extras
from spsam.cli.main import app
from spsam.extras import EXTRAS
from spsam.tracking.mlflow import Tracker

ROOT = Path(__file__).parents[1]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any extra."""
    optional = {name for names in EXTRAS.values() for name in names}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in optional else name)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["ablate", "S1"], "report"),
        (["report"], "report"),
        (["report", "verify"], "report"),
        (["report", "record", "study", "--name", "mine"], "report"),
        (["sweep", "adapter"], "sweep"),
        (["ui"], "mlflow"),
        (["sync"], "mlflow"),
    ],
)
@pytest.mark.usefixtures("core")
def test_a_missing_extra_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], extra: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    words = " ".join(result.output.split())
    assert f"needs {' and '.join(EXTRAS[extra])}: pip install 'spsam[{extra}]'" in words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("core")
def test_runs_are_not_tracked_without_mlflow(tmp_path: Path) -> None:
    warnings: list[str] = []
    tracker = Tracker(tmp_path / "home", warnings.append)
    tracker.open("study", "key", {})
    assert not tracker.on
    assert warnings == [
        "runs are not tracked: tracking needs mlflow: pip install 'spsam[mlflow]'; spsam sync "
        "uploads them afterwards"
    ]
    assert not (tmp_path / "home").exists()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_the_extras_are_those_of_the_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"]
    for extra, names in EXTRAS.items():
        found = {line.split(">")[0].lower() for line in groups[extra]}
        assert set(names) == found
    assert f"spsam[{','.join(sorted(EXTRAS))}]" in groups["all"]
