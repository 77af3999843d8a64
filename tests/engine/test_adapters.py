"""Every adapter in a whole network, several in one arm, and what is refused before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.config.places import shipped
from spsam.config.study import load_study
from spsam.engine.assemble import build_network, network_size
from spsam.engine.bench.official import on_official_modules
from spsam.errors import InputError
from spsam.model.counting import count_parameters
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.arms import load_arm
from spsam.studies.recording.mlflow_runs import _flat

from .networks import small

NEW = ["lora", "fact", "adaptformer", "ssf", "bias", "conv_depth", "conv3d", "fact_conv_depth"]
STUDY = shipped("ablations") / "studies" / "adapters.yaml"
PAIR = [{"name": "fact", "rank": 5}, "conv_depth"]

every_arm = pytest.mark.parametrize("name", NEW)


@every_arm
@torch.no_grad()
def test_a_fresh_arm_computes_plain_sam_to_the_bit(name: str) -> None:
    volume = torch.randn(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain, network = small("S9", {"blocks.adapter": "none"}), small(name)
    assert torch.equal(plain(volume).logits, network(volume).logits)


@every_arm
def test_a_step_moves_the_adapter_and_leaves_sam(name: str) -> None:
    network = small(name, noise=0.02).train()
    assert {key for key, p in network.named_parameters() if p.requires_grad} == {
        key for key, _ in network.trained_parameters()
    }
    output = network(torch.randn(1, 1, 3, 64, 64))
    (output.logits.square().mean() + sum(a.square().mean() for a in output.auxiliary)).backward()
    silent = [k for k, p in network.adapter.named_parameters() if p.grad is None]
    assert silent == []
    assert all(p.grad is None for part in network.frozen() for p in part.parameters())


@every_arm
@torch.no_grad()
def test_the_packages_modules_compute_the_same(name: str) -> None:
    network = small(name, {"backbone.encoder_size": 72}, noise=0.05)
    other = on_official_modules(network, backbone_spec("sam_tiny")).eval()
    volume = torch.randn(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(volume).logits, other(volume).logits, rtol=1e-3, atol=1e-4)


@every_arm
@torch.no_grad()
def test_weights_go_round(name: str) -> None:
    one, other = small(name, noise=0.1), small(name, seed=1)
    for slot, block in other.blocks().items():
        block.load_state_dict(one.blocks()[slot].state_dict())
    slices = torch.randn(3, 3, 64, 64)
    for a, b in zip(one.encode_slices(slices), other.encode_slices(slices), strict=True):
        assert torch.equal(a, b)


def counted(arm: Any) -> dict[str, int]:
    return network_size(arm, in_channels=1, num_classes=3, patch=(4, 64, 64)).blocks


def test_arms_of_equal_parameters_have_about_as_many_as_s9() -> None:
    listed = load_study(STUDY).config.arms  # type: ignore[attr-defined]
    equal = [STUDY.parent / item for item in listed if item.endswith("_equal.yaml")]
    assert len(equal) == 5
    overrides = {"backbone.name": "sam_tiny", "backbone.encoder_size": 64}
    aim = counted(load_arm("S9", overrides))["adapter"]
    assert aim == 335_120
    for path in equal:
        count = counted(load_arm(path, overrides))["adapter"]
        assert count == pytest.approx(aim, rel=0.015), path
        assert f"{count:,}" in path.read_text(encoding="utf-8"), path


@torch.no_grad()
def test_several_are_counted_singly_and_begin_as_each_alone() -> None:
    arm = load_arm("S9", {"blocks.adapter": PAIR})
    sizes = counted(arm)
    assert "adapter" not in sizes
    parts = {"adapter.fact": PAIR[0], "adapter.conv_depth": PAIR[1]}
    for key, block in parts.items():
        assert sizes[key] == counted(load_arm("S9", {"blocks.adapter": block}))["adapter"]
    both, fact = small("S9", {"blocks.adapter": PAIR}), small("S9", {"blocks.adapter": PAIR[0]})
    conv = small("S9", {"blocks.adapter": PAIR[1]})
    together = both.adapter.state_dict()
    alone = {**fact.adapter.state_dict(), **conv.adapter.state_dict()}
    assert together.keys() == alone.keys()
    assert all(torch.equal(together[key], alone[key]) for key in together)
    total = count_parameters({"adapter": both.adapter})["adapter"]
    assert total == sum(count for key, count in counted(arm).items() if key.startswith("adapter."))


@torch.no_grad()
def test_two_at_one_place_act_one_after_the_other() -> None:
    both = small("S9", {"blocks.adapter": ["vanilla", "dfused"]}, noise=0.05)
    site = both.adapter.encoder_site(0)["after_attention"]
    assert list(site) == ["vanilla", "dfused"]
    x = torch.randn(1, 3, 64, 192)
    assert torch.equal(site(x), site["dfused"](site["vanilla"](x)))


def test_one_in_a_list_is_that_one() -> None:
    assert load_arm("S9", {"blocks.adapter": ["lora"]}) == load_arm(
        "S9", {"blocks.adapter": "lora"}
    )


def test_mlflow_has_each_component_under_its_name() -> None:
    params = dict(_flat(load_arm("S9", {"blocks.adapter": PAIR}).model_dump(mode="json")))
    assert params["blocks.adapter.name"] == "fact + conv_depth"
    assert params["blocks.adapter.fact.params.rank"] == 5
    assert params["blocks.adapter.conv_depth.params.ratio"] == 0.5


def test_training_starts_at_the_first_projection() -> None:
    arm = load_arm("S3", {"blocks.adapter": "lora"})
    network = build_network(arm, in_channels=1, num_classes=3, depth=2, image_size=64)
    assert network.training_starts() == "adapter of encoder block 0"


def test_components_that_cannot_be_there_together_are_refused() -> None:
    with pytest.raises(InputError, match="lora and ssf both adapt the projection q"):
        counted(load_arm("S9", {"blocks.adapter": ["lora", "ssf"]}))
    apart = {"name": "ssf", "targets": ["k", "proj"], "decoder_targets": []}
    counted(load_arm("S9", {"blocks.adapter": ["lora", apart]}))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            "{name: lora, rank: 0}",
            "blocks.adapter: lora: an adapter's rank must be at least 1: got 0",
        ),
        (
            "{name: fact, rank: -1}",
            "blocks.adapter: fact: an adapter's rank must be at least 1: got -1",
        ),
        ("{name: lora, targets: [w]}", "expected 'q', 'k', 'v', 'proj', 'fc1' or 'fc2'"),
        ("{name: lora, targets: []}", "expected at least one of q, k, v"),
        ("[lora, ssf]", "both adapt the projection q"),
        ("[lora, lora]", "contains a component twice"),
        ("[lora, none]", "combines none with others"),
        ("[]", "expected at least one component"),
        ("[lora, fcat]", "unknown adapter 'fcat'; did you mean 'fact'?"),
        ("{name: conv3d, ratio: 0}", "ratio"),
    ],
)
def test_wrong_use_ends_before_anything_trains(
    value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["train", "S9", "--data", "phantom", "--preset", "smoke"]
    result = CliRunner().invoke(app, [*words, "--set", f"blocks.adapter={value}"])
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("checkpoint.pt"))
