from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from spsam.results.environment import environment, git_state


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_environment_is_json_and_names_versions() -> None:
    record = json.loads(json.dumps(environment("cpu")))
    assert record["device"] == "cpu"
    assert record["packages"]["numpy"]
    assert record["python"].startswith("3.")
    assert record["cpus"] >= 1


def test_git_state(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "a").write_text("2")
    changed = git_state(tmp_path)
    assert changed is not None
    assert changed["dirty"] is True


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(Path.cwd()) is None


def test_git_runs_no_program_of_a_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "one")
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager"):
        git(tmp_path, "config", key, f"touch {tmp_path / 'RUN'}; false")
    git_state(tmp_path)
    assert not (tmp_path / "RUN").exists()


def test_a_repository_around_the_code_is_not_asked(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "one", "--allow-empty")
    (tmp_path / "site-packages").mkdir()
    assert git_state(tmp_path / "site-packages") is None


def test_another_repository_cannot_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        git(tmp_path / name, "commit", "-qm", name, "--allow-empty")
    before = git_state(tmp_path / "one")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert git_state(tmp_path / "one") == before
