"""The trust boundary: what a file names is never imported, what the command line names is."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spsam.api.run import load_run
from spsam.cli.main import app
from spsam.config.yaml_file import read_yaml, to_yaml
from spsam.engine.checkpoint import read_whole, save_whole
from spsam.errors import InputError
from spsam.reporting.tables.ledger import ledger_of_file
from spsam.studies.backend import Backend
from spsam.studies.prompts.subject import trained_run

CODE = """
from pathlib import Path
from spsam.model.adapters.{module} import {kind}
Path(__file__).with_name("IMPORTED").touch()


class Mine({kind}):
    pass
"""


def spsam(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_runs: Path) -> Path:
    """A folder whose adapter is the runs' own under another name; its import leaves a file."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    block = read_yaml(two_runs / "run0" / "config.yaml").data["arm"]["blocks"]["adapter"]["name"]
    target = read_yaml(Path("registry/adapter") / f"{block}.yaml").data["target"]
    module, kind = target.rpartition(".")[2].split(":")
    name = f"trusted_{tmp_path.name}".replace("-", "_")
    card = tmp_path / "plugin" / "registry" / "adapter" / "mine.yaml"
    card.parent.mkdir(parents=True)
    card.write_text(f"target: {name}:Mine\nsummary: The same.\n", "utf-8")
    code = CODE.format(module=module, kind=kind)
    (tmp_path / "plugin" / f"{name}.py").write_text(code, "utf-8")
    return tmp_path / "plugin"


def rename(arm: dict[str, Any], plugin: Path) -> None:
    arm["plugins"] = [str(plugin)]
    arm["blocks"]["adapter"]["name"] = "mine"


@pytest.fixture
def run(tmp_path: Path, plugin: Path, two_runs: Path) -> Path:
    """A run of somebody else's, whose files name the plugin."""
    folder = tmp_path / "given" / "runs" / "run0"
    shutil.copytree(two_runs / "run0", folder)
    state = read_whole(folder / "checkpoint.pt")
    config = json.loads(state["about"]["config"])
    rename(config["arm"], plugin)
    state["about"] = {**state["about"], "config": json.dumps(config)}
    save_whole(folder / "checkpoint.pt", state)
    stored = read_yaml(folder / "config.yaml").data
    rename(stored["arm"], plugin)
    (folder / "config.yaml").write_text(to_yaml(stored), "utf-8")
    return folder


@pytest.fixture
def image(two_runs: Path) -> Path:
    """A volume."""
    return next((two_runs / "acdc").glob("patient*/*_frame[0-9][0-9].nii.gz"))


def test_a_checkpoint_names_no_code_and_the_command_line_does(
    run: Path, plugin: Path, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["predict", run / "checkpoint.pt", image, "--save", out]
    refused = spsam(*command)
    assert refused.exit_code == 2
    assert "requires the adapter 'mine', which is neither in spsam" in refused.stderr
    assert f"pass it with --plugin {plugin}" in refused.stderr
    assert not (plugin / "IMPORTED").exists()
    assert not out.exists()
    allowed = spsam(*command, "--plugin", plugin)
    assert allowed.exit_code == 0, allowed.output
    assert (plugin / "IMPORTED").exists()


def test_an_exported_model_carries_code_and_runs_none(
    run: Path, plugin: Path, image: Path, tmp_path: Path
) -> None:
    (plugin / "notes.txt").write_text("read me")
    (plugin / ".secret.py").write_text("secret")
    (plugin / "scan.nii.gz").write_bytes(b"no source")
    model, out = tmp_path / "model.zip", tmp_path / "out"
    assert spsam("export", run, model).exit_code == 2
    result = spsam("export", run, model, "--plugin", plugin)
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(model) as archive:
        names = archive.namelist()
        card = archive.read("README.md").decode()
    code = next(plugin.glob("trusted_*.py"))
    carried = {name.removeprefix("plugins/plugin/") for name in names if "plugins/" in name}
    assert carried == {code.name, "notes.txt", "registry/adapter/mine.yaml"}
    assert hashlib.sha256(code.read_bytes()).hexdigest() in card
    assert "- adapter `mine` (`trusted_" in card
    assert str(tmp_path) not in card
    refused = spsam("predict", model, image, "--save", out)
    assert refused.exit_code == 2
    assert "requires the adapter 'mine', which is neither in spsam" in refused.stderr
    with pytest.raises(InputError, match="requires the adapter 'mine'"):
        load_run(model)
    assert not (plugin / "IMPORTED").exists()
    assert not out.exists()
    allowed = spsam("predict", model, image, "--save", out, "--plugin", plugin)
    assert allowed.exit_code == 0, allowed.output
    assert (plugin / "IMPORTED").exists()
    assert len(load_run(model, plugins=[plugin]).summary)


def test_a_run_folder_names_no_code(run: Path, plugin: Path, two_runs: Path) -> None:
    options: dict[str, Any] = {
        "home": run.parents[1], "data": str(two_runs / "acdc"), "checkpoint": None,
        "device": "cpu", "backend": Backend(),
    }  # fmt: skip
    with pytest.raises(InputError, match="requires the adapter 'mine'"):
        trained_run(str(run), **options)
    assert not (plugin / "IMPORTED").exists()
    subject = trained_run(str(run), plugins=[plugin], **options)
    assert subject.config.arm.plugins == (plugin,)


def test_a_ledger_reads_nothing_of_the_folder_that_a_run_names(run: Path, plugin: Path) -> None:
    card = plugin / "registry" / "adapter" / "mine.yaml"
    summary = card.read_text("utf-8")
    card.write_text("no card", "utf-8")
    rows = {line.key: line.cells for line in ledger_of_file(run / "config.yaml").lines}
    assert "specify its folder with --plugin" in rows["blocks.adapter"][3].text
    card.write_text(summary, "utf-8")
    rows = {line.key: line.cells for line in ledger_of_file(run / "config.yaml", [plugin]).lines}
    assert rows["blocks.adapter"][3].text == "The same."
    assert not (plugin / "IMPORTED").exists()


@pytest.mark.parametrize("text", ["plugins: [{}]\n", "set: {{plugins: [{}]}}\n"])
def test_a_study_names_no_code(text: str, plugin: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("title: x\nshape: arms\narms: [S3]\n" + text.format(plugin), "utf-8")
    result = spsam("ablate", study, "--dry-run")
    assert result.exit_code == 2
    assert "plugins" in result.stderr
    assert not (plugin / "IMPORTED").exists()


def test_bench_takes_the_command_lines_plugins(plugin: Path) -> None:
    command = ["bench", "S3", "--set", "blocks.adapter=mine", "--size", 32, "--repeats", 1]
    assert spsam(*command).exit_code == 2
    assert not (plugin / "IMPORTED").exists()
    result = spsam(*command, "--plugin", plugin)
    assert result.exit_code == 0, result.output


def test_a_run_in_a_process_of_its_own_has_the_command_lines_plugins(
    plugin: Path, two_runs: Path, tmp_path: Path
) -> None:
    few = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
    changes = [word for value in [*few, "blocks.adapter=mine"] for word in ("--set", value)]
    where = ["--data", two_runs / "acdc", "--preset", "smoke", "--out", tmp_path / "home"]
    command = ["ablate", "S9", *where, *changes, "--plugin", plugin, "--jobs", 1, "--json"]
    result = spsam(*command)
    assert result.exit_code == 0, result.output
    (run,) = (tmp_path / "home" / "runs").glob("*/run.json")
    assert json.loads(run.read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("call", "keyword", "value"),
    [("torch.load", "weights_only", True), ("np.load", "allow_pickle", False)],
)
def test_no_file_is_unpickled(call: str, keyword: str, value: bool) -> None:
    found = 0
    for file in Path("spsam").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("pickle.load", "pickle.loads", "eval", "exec"), file
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if called == call:
                found += 1
                # NumPy's own default is the safe one.
                default = str(value) if call == "np.load" else None
                assert given.get(keyword, default) == str(value), file
    assert found
