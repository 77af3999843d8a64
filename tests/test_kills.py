"""Kills at renames, syncs and removals: the same command then ends with the same files."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spsam.studies.sweep.run_sweep
import spsam.studies.sweep.summary
from spsam.data.dataset import open_dataset
from spsam.data.plan import plan
from spsam.data.preparation.prepare import prepare
from spsam.reporting.records.write import write_record
from spsam.reporting.report import write_report
from spsam.studies.export import export, plan_export
from spsam.studies.sweep.run_sweep import run_sweep
from tests.data.layouts import write_acdc
from tests.reporting.store import make_study
from tests.studies.sweep.fakes import NoTracker, SweepBackend, planned

Action = Callable[[Path], object]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def killed(action: Action, folder: Path, at: int) -> bool:
    """Whether the process of an action was killed at its n-th rename, sync or removal."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return wrapped

        try:
            for name in ("replace", "rename", "fsync", "unlink", "rmdir"):
                setattr(os, name, counted(getattr(os, name)))
            action(folder)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def check(make: Action, action: Action, tmp_path: Path, every: int = 1) -> int:
    """Kills at every n-th call; returns the number of kills."""
    make(tmp_path / "whole")
    action(tmp_path / "whole")
    wanted = files(tmp_path / "whole")
    kills, at = 0, 1
    while True:
        # Under the same path, which is in some files.
        folder = tmp_path / "whole"
        folder.rename(tmp_path / f"done-{at}")
        make(folder)
        if not killed(action, folder, at):
            return kills
        action(folder)
        found = files(folder)
        assert found.keys() == wanted.keys(), at
        assert [name for name in wanted if found[name] != wanted[name]] == [], at
        kills, at = kills + 1, at + every


def test_prepare(tmp_path: Path) -> None:
    dataset = open_dataset(write_acdc(tmp_path / "data", patients=1))
    made = plan(
        dataset, [case.id for case in dataset.cases], max_depth=4, max_size=64, anisotropy=3.0
    )

    def action(folder: Path) -> None:
        prepare(dataset, made, folder, workers=1)

    assert check(lambda folder: None, action, tmp_path) >= 10


def test_report_and_record(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        make_study(folder, arms=("S1", "S2"), seeds=(0,))

    def action(folder: Path) -> None:
        study = folder / "ablations" / "study-01"
        write_report(study, formats=["csv"], figures=False, pdf=False)
        write_record(study, folder / "records" / "mine", replace=True)

    assert check(make, action, tmp_path, every=2) >= 10


def test_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spsam.studies.sweep.run_sweep, "Tracker", lambda *_: NoTracker())
    monkeypatch.setattr(spsam.studies.sweep.summary, "draw", lambda *_: [])
    monkeypatch.setattr(spsam.studies.sweep.summary, "_importances", lambda *_: {})
    ends = []
    for at in range(1, 200, 11):
        home = tmp_path / str(at)
        home.mkdir()

        def action(folder: Path) -> Any:
            backend = SweepBackend(folder / "ledger")
            return run_sweep(planned(folder, trials=2), None, backend)

        over = not killed(action, home, at)
        outcome = action(home)
        assert outcome.counts["complete"] == 2
        assert outcome.counts.get("fail", 0) == 0
        assert not list(home.rglob(".draft-*"))
        ends.append(at)
        if over:
            break
    assert len(ends) > 3


def test_export(two_runs: Path, tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        folder.mkdir()

    def action(folder: Path) -> None:
        named = [str(two_runs / "run0"), str(folder / "model.zip")]
        export(plan_export(named, home=two_runs, replace=True))

    assert check(make, action, tmp_path) >= 2
