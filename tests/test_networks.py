"""`network:` from the command line: chosen, set, counted, and refused before anything trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.config.schema import ArmConfig
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.registry.catalogue import Catalogue
from spsam.registry.networks import needs, used_slots, uses_sam

HEAD = """from __future__ import annotations
from torch import Tensor, nn
from spsam.model.networks.base import Network, Output
class Mine(Network):
    def __init__(self, in_channels: int, num_classes: int, depth: int,
                 image_size: tuple[int, int]{more}) -> None:
        super().__init__(num_classes, depth, image_size)
        self.layer = nn.Conv3d(in_channels, num_classes, 1)
    def forward(self, volume: Tensor, *, decode: bool = True) -> Output:
        {body}
"""
RIGHT = "return Output(self.layer(volume))"


def plugin(folder: Path, body: str = RIGHT, more: str = "") -> Path:
    place = folder / "registry" / "network"
    place.mkdir(parents=True)
    (place / "mine.yaml").write_text(
        "target: mine_network:Mine\nsummary: One.\nsource: {chosen: here}\n", encoding="utf-8"
    )
    (folder / "mine_network.py").write_text(HEAD.format(body=body, more=more), encoding="utf-8")
    return folder


def dry(folder: Path, *words: str) -> tuple[int, str]:
    common = ["--data", "phantom", "--preset", "smoke", "--dry-run", "--no-measure"]
    result = CliRunner().invoke(
        app, ["ablate", "base", *common, "--out", str(folder / "home"), *words]
    )
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "mine_network", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))


WRONG = {
    "half the plane": (
        "return Output(self.layer(volume)[..., ::2])",
        "",
        "expected logits (B, K, D, H, W)",
    ),
    "no output": ("return self.layer(volume).mean()", "", "got ()"),
    "a failure": ("return Output(self.layer(volume[:, :, 5:].sum(3)))", "", "cannot segment"),
    "an unknown part": (
        RIGHT,
        ", flavour: str",
        "takes flavour, which the engine does not provide",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_network_that_does_not_fit_is_refused_before_anything_trains(
    name: str, tmp_path: Path
) -> None:
    body, more, said = WRONG[name]
    folder = plugin(tmp_path / "plugin", body, more)
    code, output = dry(tmp_path, "--set", "network=mine", "--plugin", str(folder))
    assert code == 2, output
    assert said in output
    assert not (tmp_path / "home").exists()


def test_a_network_that_reads_numbers_is_asked_on_the_processor(tmp_path: Path) -> None:
    body = "return Output(self.layer(volume) * float(volume.abs().mean() + 1))"
    folder = plugin(tmp_path / "plugin", body)
    code, output = dry(tmp_path, "--set", "network=mine", "--plugin", str(folder))
    assert code == 0, output


def test_unknown_names_and_parameters_are_refused_by_name(tmp_path: Path) -> None:
    code, output = dry(tmp_path, "--set", "network=unet2")
    assert code == 2
    assert "unknown network 'unet2'; did you mean 'unet" in output
    code, output = dry(tmp_path, "--set", "network=segresnet", "--set", "network.filter=8")
    assert code == 2
    assert "has no parameter 'filter'; did you mean 'filters'" in output
    code, output = dry(tmp_path, "--set", "network=segresnet", "--set", "network.filters=12")
    assert code == 2
    assert "filters must be a multiple of 8, got 12" in output


def test_its_parameters_are_set_and_counted(tmp_path: Path) -> None:
    words = ["--set", "network=segresnet", "--set", "network.filters=8"]
    code, output = dry(tmp_path, *words)
    assert code == 0, output
    assert "trains 1,176,204 of 1,176,204 parameters" in output


@pytest.mark.parametrize("name", [card.name for card in Catalogue.load().cards("network")])
def test_every_network_is_shown(name: str) -> None:
    shown = CliRunner().invoke(app, ["registry", "show", "network", name])
    assert shown.exit_code == 0
    assert f"network: {name}" in shown.output
    assert "blocks:" not in shown.output


def test_what_it_needs_is_what_it_names() -> None:
    assert not uses_sam(load_arm("unet2d"))
    assert used_slots(load_arm("nnunet")) == ()
    assert "spacing" in needs(load_arm("nnunet"))
    assert used_slots(load_arm("generator_only"))[-1] == "prompt_generator"
    assert uses_sam(load_arm("generator_only"))


def test_a_network_without_parameters_is_stored_as_its_name() -> None:
    plain, sized = load_arm("unet2d"), load_arm("base", {"network": "segresnet"})
    assert plain.model_dump(mode="json")["network"] == "unet2d"
    dumped = sized.model_dump(mode="json")
    assert dumped["network"]["params"]["filters"] == 32
    assert ArmConfig.model_validate(dumped) == sized


def test_an_arm_that_changes_the_network_leaves_the_others_parameters(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"base": "segresnet", "network": "unetr"}), encoding="utf-8")
    arm = load_arm(file, {"network.feature_size": 8})
    assert arm.network.params["feature_size"] == 8
    assert "filters" not in arm.network.params


def test_commands_that_ask_prompts_or_time_parts_refuse_other_networks() -> None:
    for command in (
        ["prompts", "--set", "network=unet2d", "--data", "phantom", "--dry-run"],
        ["bench", "unet2d", "--size", "32", "--repeats", "1"],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2, result.output
        assert "self_prompt_sam" in result.output


def test_without_the_spacing_nnunet_is_not_built() -> None:
    from spsam.engine.assemble import build_network

    with pytest.raises(InputError, match=r"set spacing=\(z, y, x\), mm"):
        build_network(load_arm("nnunet"), in_channels=1, num_classes=2, depth=2, image_size=32)
