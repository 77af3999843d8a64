"""A preset takes each data set's protocol by itself, and says which it took."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spsam.cli.main import app
from spsam.config.schema import ArmConfig, RunConfig
from spsam.data.cases import DataSet
from spsam.data.plan import Plan
from spsam.engine.run_spec import NetworkSize
from spsam.errors import InputError
from spsam.registry.files import preset_path
from spsam.registry.protocols import find_protocol
from spsam.studies.planning.planner import Request, plan_ablation
from tests.data.layouts import (
    write_acdc,
    write_amos,
    write_msd,
    write_nnunet,
    write_synapse,
    write_synapse_slices,
)
from tests.studies.fakes import FakeBackend

ESTIMATE = {
    "peak": 42_000_000_000,
    "free": 8_000_000_000,
    "generator_step": 390.0,
    "joint_step": 400.0,
    "seconds": 1e8,
}

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "ACDC": write_acdc,
    "Synapse": write_synapse,
    "Synapse, slices": write_synapse_slices,
    "AMOS22": lambda folder: write_amos(folder, numbers=(1, 4, 5, 6, 7, 8, 507)),
    "MSD": write_msd,
    # A copy in another layout is known by its name.
    "nnU-Net": lambda folder: write_nnunet(folder, name="ACDC"),
}
# protocol, patch, encoder's size, split
EXPECTED = {
    "ACDC": ("acdc", [4, 256, 256], 1024, "acdc_70_10_20"),
    "Synapse": ("synapse", [26, 256, 256], 256, "synapse_18_12"),
    "Synapse, slices": ("synapse", [26, 256, 256], 256, "synapse_18_12"),
    "AMOS22": ("amos22", [9, 512, 512], 512, "five_fold"),
    "MSD": ("other", [5, 32, 32], None, "five_fold"),
    "nnU-Net": ("acdc", [4, 256, 256], 1024, "five_fold"),
}


class Engine(FakeBackend):
    """A machine that has a GPU, or none."""

    gpu = False

    def device(self, name: str) -> str:
        return "cuda" if self.gpu else "cpu"

    def size(self, arm: ArmConfig, dataset: DataSet, plan: Plan) -> NetworkSize:
        tiny = arm.backbone.name == "sam_tiny"
        return NetworkSize({"adapter": 10}, 10, 5_000_000 if tiny else 94_000_000)

    def estimate(self, config: RunConfig, plan: Plan) -> dict[str, Any]:
        return ESTIMATE


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for module in ("planning.planner", "planning.costs", "sweep.plan_sweep"):
        monkeypatch.setattr(f"spsam.studies.{module}.Backend", Engine)


def dry(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in (*words, "--dry-run")])


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dry_run_takes_and_prints_the_data_sets_protocol(
    layout: str, gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "gpu", gpu)
    data = LAYOUTS[layout](tmp_path / "data")
    name, patch, encoder, split = EXPECTED[layout]
    words = ("ablate", "S1..S9", "--data", data, "--preset", "paper")
    text = dry(*words)
    assert text.exit_code == 0, text.output
    (line,) = [line for line in text.stdout.splitlines() if line.startswith("protocol")]
    assert line.startswith(f"protocol  {name}: ")
    assert f"patch {'×'.join(map(str, patch))}" in text.stdout
    assert (f"encoder {encoder}×{encoder}" in text.stdout) == (encoder is not None)
    assert ("fp16; device cuda" if gpu else "fp32; device cpu") in text.stdout
    told = json.loads(dry(*words, "--json").stdout)
    assert told["protocol"]["name"] == name
    assert told["data"]["split_name"] == split
    assert all(arm["patch_size"] == patch for arm in told["arms"])
    # What a run is known by is what the protocol sets, and what the device computes in.
    ablation = plan_ablation(Request(["S9"], tmp_path, str(data), "paper", dry_run=True), Engine())
    arm = ablation.arms[0].runs[0].config.arm
    assert arm.backbone.encoder_size == encoder
    assert arm.train.precision == ("fp16" if gpu else "fp32")
    assert (arm.train.epochs, arm.train.iterations, arm.train.generator_epochs) == (1000, 250, 200)


def test_values_that_are_typed_or_of_an_arm_win_over_the_protocol(tmp_path: Path) -> None:
    """Decision 3: root, preset, protocol, the arm's own diff, --set."""
    data = write_acdc(tmp_path / "data")
    arm = tmp_path / "small.yaml"
    arm.write_text("base: S9\npatch: {depth: 3}\nbackbone: {encoder_size: [512, 768]}\n")
    words = ["ablate", arm, "--data", data, "--preset", "paper"]
    text = dry(*words).stdout
    assert "patch 3×256×256, encoder 512×768; fp32" in text
    text = dry(*words, "--set", "patch.depth=2", "--set", "train.precision=bf16").stdout
    assert "patch 2×256×256, encoder 512×768; bf16" in text
    text = dry(*words, "--split", "five_fold", "--fold", 2).stdout
    assert "split     five_fold: 10 cases train, 0 validate, 2 are scored" in text


@pytest.mark.parametrize(
    ("encoder", "stretched"), [("1024", True), ("[768,1024]", False), ("[1024,768]", True)]
)
def test_a_patch_that_the_encoder_would_stretch_is_told(
    encoder: str, stretched: bool, tmp_path: Path
) -> None:
    data = write_acdc(tmp_path / "data")
    words = ["ablate", "S9", "--data", data, "--preset", "paper", "--set", "patch.size=[192,256]"]
    result = dry(*words, "--set", f"backbone.encoder_size={encoder}", "--json")
    notes = json.loads(result.stdout)["notes"]
    assert any("resizing patches of 192×256" in note for note in notes) == stretched


def test_a_machine_without_a_gpu_is_told_what_a_run_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_acdc(tmp_path / "data")
    words = ("S9", "--data", data, "--preset", "paper")
    for command in ("ablate", "train"):
        text = dry(command, *words).stdout
        line, advice = [line for line in text.splitlines() if line.startswith("machine")]
        for part in ("no GPU", "42 GB", "8 GB are free", "400 s per step", "1,157 days"):
            assert part in line
        assert "a run of years" in advice or "hours" in advice, advice
        assert json.loads(dry(command, *words, "--json").stdout)["without_gpu"]["arm"] == "S9"
    monkeypatch.setattr(Engine, "gpu", True)
    assert "is designed for one" not in dry("ablate", *words).stdout
    monkeypatch.setattr(Engine, "gpu", False)
    text = dry("ablate", "S9", "--data", data, "--preset", "cpu").stdout
    assert "is designed for one" not in text


def test_a_dry_run_needs_no_weights_and_a_run_does(tmp_path: Path) -> None:
    data = write_acdc(tmp_path / "data")
    words = ("ablate", "S9", "--data", data, "--preset", "paper")
    told = json.loads(dry(*words, "--json").stdout)
    assert any("no weights are given" in note for note in told["notes"])
    # No file was hashed: the header must not claim a match.
    header = dry(*words, "--no-measure").stdout
    assert "sam_vit_b: the official file is assumed" in header
    assert "matches" not in header
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2
    assert "S9 requires official weights of sam_vit_b" in result.output
    # Named, but not there.
    result = dry(*words, "--checkpoint", "nothing.pth")
    assert result.exit_code == 2
    assert "this checkpoint file does not exist" in result.output


def test_a_sweep_takes_the_protocol_too(tmp_path: Path) -> None:
    data = write_synapse(tmp_path / "data")
    space = tmp_path / "space.yaml"
    space.write_text("title: A\narm: S9\nspace: {train.optimizer.lr: [0.01, 0.001]}\n")
    words = ["sweep", space, "--data", data, "--preset", "paper"]
    told = json.loads(dry(*words, "--set", "backbone.weights=random", "--json").stdout)
    assert told["data"]["split_name"] == "synapse_18_12-validation"
    # The split names none: of four training patients one is held back.
    assert told["cases"] == {"train": 3, "scored": 1}


def test_validation_cases_are_held_back_only_where_they_are_read(tmp_path: Path) -> None:
    data = write_amos(tmp_path / "data", numbers=range(1, 21))
    request = {"home": tmp_path, "data": str(data), "preset": "smoke"}
    sizes = {}
    for validate in (0, 2):
        split = plan_ablation(Request(["S1"], validate=validate, **request), Engine()).split  # type: ignore[arg-type]
        sizes[validate] = len(split.train), len(split.val), len(split.test)
    assert sizes == {0: (16, 0, 4), 2: (14, 2, 4)}


def test_protocols_are_files_beside_the_preset_and_yours_come_first(tmp_path: Path) -> None:
    own = tmp_path / "ablations" / "presets"
    (own / "paper").mkdir(parents=True)
    (own / "paper" / "organs.yaml").write_text("summary: Mine\npatch: {depth: 7}\n")
    (own / "paper" / "acdc.yaml").write_text("summary: My ACDC\nsplit: five_fold\n")
    data = write_msd(tmp_path / "msd")
    assert (
        "protocol  organs: Mine ("
        in dry("ablate", "S9", "--data", data, "--preset", "paper").stdout
    )
    mine, shipped = (
        find_protocol(preset_path("paper"), ["acdc"]),
        find_protocol(preset_path("paper"), ["synapse"]),
    )
    assert mine is not None
    assert mine.summary == "My ACDC"
    assert shipped is not None
    assert shipped.split == "synapse_18_12"
    # A preset of your own, of the same name or another, has the protocols that lie beside it.
    (own / "paper.yaml").write_text("summary: My own\n")
    assert find_protocol(preset_path("paper"), ["synapse"]) is None
    (tmp_path / "fast.yaml").write_text("summary: Fast\n")
    assert find_protocol(preset_path("fast.yaml"), ["acdc"]) is None
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "other.yaml").write_text("summary: Any\n")
    found = find_protocol(preset_path("fast.yaml"), ["acdc"])
    assert found is not None
    assert found.name == "other"


def test_mistakes_in_a_protocol_have_their_line(tmp_path: Path) -> None:
    (tmp_path / "fast.yaml").write_text("summary: Fast\n")
    (tmp_path / "fast").mkdir()
    path = tmp_path / "fast" / "acdc.yaml"
    path.write_text("summary: A\nsplit: [a]\n")
    with pytest.raises(InputError, match=r"acdc\.yaml:2: split: expected text"):
        find_protocol(preset_path("fast.yaml"), ["acdc"])
    path.write_text("summary: A\npatch: {depht: 3}\n")
    data = write_acdc(tmp_path / "data")
    result = dry("ablate", "S9", "--data", data, "--preset", "fast.yaml")
    assert result.exit_code == 2
    assert "acdc.yaml:2: patch.depht: unknown key; did you mean 'depth'" in result.output
