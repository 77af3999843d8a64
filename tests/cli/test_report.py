from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spsam.cli.main import app
from tests.reporting.prompts.study import make_prompt_study
from tests.reporting.store import make_study


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "spsam-runs"


def spsam(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", *arguments])


def test_without_arguments_all_studies_are_reported(home: Path) -> None:
    folder, prompts = make_study(home, status={("S2", 0): "failed"}), make_prompt_study(home)
    result = spsam("--no-pdf")
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (folder / "report").iterdir()}
    for stem in ("ablation", "comparisons", "table3_acdc"):
        assert {f"{stem}.{ending}" for ending in ("md", "csv", "tex", "html")} <= names
        assert f"{stem}.provenance.json" in names
    assert "missing   S2 seed 0: failed" in result.stdout
    assert (prompts / "report" / "overview.tex").is_file()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_all_tables_are_one_pdf_within_the_page(home: Path) -> None:
    signs = {"S1": r"a_b & 50% #1 $x {y} ~ ^ \ <z> |w| [k] *", "S2": "a title " * 12}
    folder = make_study(home, titles=signs, classes=("background", "r_v", "m & y", "100%"))
    result = spsam("--format", "latex")
    assert result.exit_code == 0, result.stderr
    assert (folder / "report" / "tables.pdf").read_bytes().startswith(b"%PDF")


def test_what_latex_refuses_costs_the_pdf_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "pdflatex"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '! Unicode character is not set up.'\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    classes = ("background", "左心室", "$x^{ \x1b[31m", "mean")
    folder = make_study(home, titles={"S1": "=1+1 \x07 [bold]"}, classes=classes) / "report"
    folder.mkdir()
    (folder / "tables.pdf").write_bytes(b"of an older report")
    result = spsam()
    assert result.exit_code == 0, result.stderr
    assert "warning: " in result.stderr
    assert "pdflatex could not compile the tables: ! Unicode character" in result.stderr
    assert not (folder / "tables.pdf").exists()
    assert (folder / "figures" / "classes.png").is_file()
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "左心室" in page
    written = [path.read_text("utf-8") for path in folder.iterdir() if path.is_file()]
    assert not any(set("\x1b\x07") & set(text) for text in [*written, result.output])
    table = (folder / "ablation.csv").read_text(encoding="utf-8")
    assert "'=1+1" in table
    assert "dice: class 3 - mean" in table


def test_output_format_and_own_table(home: Path, tmp_path: Path) -> None:
    folder = make_study(home)
    (tmp_path / "mine.yaml").write_text("title: Mine\nrows: class\n")
    result = spsam(
        *("--out", str(folder), "--save", "out", "--format", "csv"),
        *("--table", "mine.yaml", "--no-pdf", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    (told,) = json.loads(result.stdout)
    assert [row["class"] for row in told["tables"]["mine"]] == ["RV", "MYO", "LV"]
    assert all(Path(path).is_file() for path in told["files"])
    assert (tmp_path / "out" / "mine.csv").is_file()
    assert not (tmp_path / "out" / "mine.md").exists()
    assert not (folder / "report").exists()


def test_several_studies_do_not_write_over_each_other(home: Path) -> None:
    make_study(home, name="one")
    make_prompt_study(home)
    assert spsam("--save", "out", "--format", "csv", "--no-pdf", "--no-figures").exit_code == 0
    assert {path.name for path in Path("out").iterdir()} == {"one", "prompts-01"}


def test_trace_leads_to_the_runs(home: Path) -> None:
    make_study(home)
    assert "run spsam report first" in spsam("trace", "ablation", "S2", "dice").stderr
    assert spsam("--no-pdf", "--no-figures").exit_code == 0
    result = spsam("trace", "ablation", "S2", "dice")
    assert result.exit_code == 0, result.stderr
    for text in ("S2run000", "S2run002", "0123456789abcdef01234567", "fedcba98", "patient000_fr"):
        assert text in result.stdout
    assert re.search(r"config_hash +[0-9a-f]{16}", result.stdout)
    told = json.loads(spsam("trace", "ablation", "S2", "change", "--json").stdout)
    assert {run["arm"] for run in told["runs"]} == {"S1", "S2"}
    published = spsam("trace", "table3_acdc", "nnUNet", "mean").stdout
    assert "published/table3_acdc.csv:9" in published


def test_trace_names_the_nearest(home: Path) -> None:
    make_study(home)
    spsam("--no-pdf", "--no-figures", "--format", "csv")
    for words, said in [
        (["ablatoin", "S2", "dice"], "did you mean 'ablation'"),
        (["ablation", "S22", "dice"], "did you mean 'S2'"),
        (["ablation", "S2", "dcie"], "did you mean 'dice'"),
        (["ablation", "S2", "arm"], "contains no number"),
        (["nowhere/ablation.csv", "S2", "dice"], "file does not exist"),
    ]:
        result = spsam("trace", *words)
        assert result.exit_code == 2
        assert said in result.stderr


def test_trace_of_a_table_in_two_studies_asks_which(home: Path) -> None:
    one = make_study(home, name="one")
    about = json.loads((one / "ablation.json").read_text())
    two = home / "ablations" / "two"
    two.mkdir()
    (two / "ablation.json").write_text(json.dumps({**about, "name": "two"}))
    spsam("--no-pdf", "--no-figures", "--format", "csv")
    result = spsam("trace", "ablation", "S2", "dice")
    assert result.exit_code == 2
    assert "2 studies have a table" in result.stderr
    path = str(one / "report" / "ablation.csv")
    assert "S2run000" in spsam("trace", path, "S2", "dice").stdout
    assert "S2run000" in spsam("trace", "ablation", "S2", "dice", "--out", str(two)).stdout


def test_record_and_verify(home: Path, tmp_path: Path) -> None:
    folder = make_study(home)
    result = spsam("record", str(folder), "--name", "mine")
    assert result.exit_code == 0, result.stderr
    record = Path("reports/results/mine")
    assert record.is_dir()
    result = spsam("verify", "reports/results")
    assert result.exit_code == 0
    assert result.stdout == "mine: as recorded\n"
    older = Path("reports/results/archive")
    spsam("record", str(folder), "--name", "mine", "--save", str(older))
    result = spsam("verify", "reports/results")
    assert result.stdout == "mine: as recorded\narchive/mine: as recorded\n"
    csv = record / "tables" / "ablation.csv"
    csv.write_text(csv.read_text().replace("finished", "failed", 1))
    result = spsam("verify", str(record))
    assert result.exit_code == 1
    assert "row S1, column state: stored failed, computed finished" in result.stderr
    assert json.loads(spsam("verify", str(record), "--json").stdout)["mine"]
    assert spsam("verify", str(tmp_path / "nothing")).exit_code == 2


def test_ledger_of_an_arm() -> None:
    result = spsam("ledger", "S9", "--preset", "cpu", "--format", "csv")
    assert result.exit_code == 0, result.stderr
    assert "train.optimizer.name,adamw,set (paper: sgd)" in result.stdout
    assert "with the preset cpu" in spsam("ledger", "S9", "--preset", "cpu").stdout
    assert spsam("ledger", "S99").exit_code == 2


def test_a_report_never_imports_torch(home: Path, repository: Path) -> None:
    make_study(home)
    make_prompt_study(home)
    code = (
        "import sys\nfrom spsam.cli.main import app\n"
        f"app(['report', '--out', {str(home)!r}, '--no-pdf'], standalone_mode=False)\n"
        "print([n for n in ('torch', 'timm', 'monai', 'mlflow') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
