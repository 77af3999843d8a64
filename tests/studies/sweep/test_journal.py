from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest

from spsam.errors import InputError
from spsam.studies.sweep.journal import open_journal

KILLED = """
import os, signal, sys
from pathlib import Path
import optuna
from spsam.studies.sweep.journal import open_journal
optuna.logging.set_verbosity(optuna.logging.ERROR)
path, when = Path(sys.argv[1]), int(sys.argv[2])
study = optuna.load_study(study_name="s", storage=open_journal(path, print))
fsync, count = os.fsync, []
def killed(handle):
    count.append(handle)
    if len(count) == when:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = killed
study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
"""


def trials(path: Path) -> list[str]:
    study = optuna.load_study(study_name="s", storage=open_journal(path, lambda text: None))
    return [trial.state.name for trial in study.trials]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal at a relative path, with two finished trials."""
    monkeypatch.chdir(tmp_path)
    file = Path("journal.log")
    study = optuna.create_study(study_name="s", storage=open_journal(file, lambda text: None))
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    return file


@pytest.mark.parametrize("when", [1, 2])
def test_a_lock_goes_with_its_process(path: Path, when: int) -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(when)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert trials(path)[:2] == ["COMPLETE", "COMPLETE"]
    study = optuna.load_study(study_name="s", storage=open_journal(path, lambda text: None))
    study.tell(study.ask(), 3.0)
    assert trials(path)[-1] == "COMPLETE"


def test_a_link_that_optunas_own_lock_left_holds_nobody_up(path: Path) -> None:
    Path("journal.log.lock").symlink_to("journal.log")
    assert trials(path) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("end", [b'{"op_code":4,"wor', b"\0" * 100, b'{"op\n', b"\xff\n\0\0"])
def test_what_is_torn_is_cut_off_with_a_warning(path: Path, end: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + end)
    said: list[str] = []
    open_journal(path, said.append)
    assert path.read_bytes() == whole
    assert len(said) == 1
    assert f"{len(end)} bytes" in said[0]
    open_journal(path, said.append)
    assert len(said) == 1


def test_a_whole_last_entry_without_its_newline_is_kept(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    said: list[str] = []
    open_journal(path, said.append)
    assert path.read_bytes() == whole
    assert said == []


def test_a_worker_that_is_killed_meanwhile_tears_no_other_entry(path: Path) -> None:
    study = optuna.load_study(study_name="s", storage=open_journal(path, lambda text: None))
    with path.open("ab") as file:
        file.write(b'{"op_code":4')
    study.tell(study.ask(), 3.0)
    assert trials(path) == ["COMPLETE"] * 3


def test_a_full_disk_leaves_no_half_entry(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.load_study(study_name="s", storage=open_journal(path, lambda text: None))
    whole = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            study.ask()
    assert path.read_bytes() == whole
    assert trials(path) == ["COMPLETE", "COMPLETE"]


def test_damage_before_the_end_is_refused_with_its_line(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:-9] + b"\n", *lines[3:]]))
    with pytest.raises(InputError, match=r"journal\.log:3: the journal is damaged.*move the file"):
        open_journal(path, warnings.warn)
