"""Completion as a shell asks for it: in a process of its own, by variables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The installed program, and what it imports.
PROGRAM = (
    "import sys; sys.argv = ['spsam']; from spsam.cli.main import main\n"
    "try: main()\n"
    "finally: print('\\nheavy:', *[n for n in {heavy!r} if n in sys.modules], file=sys.stderr)"
)
HEAVY = ("torch", "numpy", "pandas", "ruamel", "mlflow")


def ask(shell: str, line: str, folder: Path) -> list[str]:
    """What a shell gets for a line whose last word is under the cursor."""
    words = line.split(" ")
    variables = {
        "bash": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    kept = {k: v for k, v in os.environ.items() if k != "SPSAM_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY)],
        env={
            **kept,
            **variables,
            "_SPSAM_COMPLETE": f"complete_{shell}",
            "PYTHONPATH": str(ROOT),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    noise, _, heavy = done.stderr.partition("heavy:")
    assert (noise.strip(), heavy.strip()) == ("", ""), done.stderr
    if shell == "zsh":
        return re.findall(r'"([^"]+)"', done.stdout)
    return done.stdout.split()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A study of two arms, a single run and a damaged study."""
    home = tmp_path / "spsam-runs"
    for run_id, arm in (("aaaa", "S1"), ("bbbb", "S2"), ("cccc", "mine")):
        (home / "runs" / run_id).mkdir(parents=True)
        text = f"arm:\n  name: {arm}\n  title: a\n"
        (home / "runs" / run_id / "config.yaml").write_text(text)
    arms = [{"name": "S1", "run_ids": ["aaaa"]}, {"name": "S2", "run_ids": ["bbbb"]}]
    for name, text in (
        ("acdc-cpu-12345678", json.dumps({"name": "acdc-cpu-12345678", "arms": arms})),
        ("damaged", "{"),
    ):
        (home / "ablations" / name).mkdir(parents=True)
        (home / "ablations" / name / "ablation.json").write_text(text)
    return tmp_path


CASES = [
    ("train S", [f"S{number}" for number in range(1, 10)]),
    ("ablate S1,unet3", ["S1,unet3d"]),
    ("ablate S1..S8", ["S1..S8"]),
    ("ablate leave", ["leave_one_out"]),
    ("ablate S1 --preset s", ["smoke"]),
    ("sweep ada", ["adapter"]),
    ("registry show dfu", ["dfused"]),
    ("registry show adapter df", ["dfused"]),
    ("registry show adapter/df", ["adapter/dfused"]),
    ("predict l", ["latest"]),
    ("predict S", ["S1", "S2"]),
    ("predict single/", ["single/mine"]),
    ("export acdc", ["acdc-cpu-12345678/S1", "acdc-cpu-12345678/S2"]),
    ("prompts --run bb", ["bbbb"]),
    ("prompts --run S1 --compare cc", ["cccc"]),
    ("view acdc-cpu-12345678", [f"acdc-cpu-12345678{end}" for end in ("", "/S1", "/S2")]),
    ("train nothing", []),
    ("predict S1 ", []),
]


@pytest.mark.parametrize(("line", "offered"), CASES, ids=[line for line, _ in CASES])
def test_bash(line: str, offered: list[str], results: Path) -> None:
    assert ask("bash", f"spsam {line}", results) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, results: Path) -> None:
    assert ask(shell, "spsam registry show adapter df", results) == ["dfused"]
    assert ask(shell, "spsam export acdc", results) == [
        "acdc-cpu-12345678/S1",
        "acdc-cpu-12345678/S2",
    ]


def test_files_of_ones_own_are_offered(results: Path) -> None:
    (results / "ablations").mkdir()
    (results / "ablations" / "Smine.yaml").write_text("no: {arm")
    card = results / "blocks" / "registry" / "adapter" / "gated.yaml"
    card.parent.mkdir(parents=True)
    card.write_text("")
    assert "Smine" in ask("bash", "spsam train S", results)
    line = "spsam registry show --plugin blocks adapter ga"
    assert ask("bash", line, results) == ["gated"]
    assert ask("bash", "spsam predict --out spsam-runs la", results / "blocks") == []
    assert ask("bash", f"spsam predict --out {results}/spsam-runs la", results / "blocks") == [
        "latest"
    ]


@pytest.mark.parametrize("line", ["predict ", "train ", "registry show ", "view "])
def test_nothing_is_written_and_nothing_raised(line: str, tmp_path: Path) -> None:
    (tmp_path / "spsam-runs").write_text("a file in the folder's place")
    (tmp_path / "registry").write_text("")
    before = sorted(tmp_path.rglob("*"))
    ask("bash", f"spsam {line}", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
