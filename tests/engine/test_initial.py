"""Which trained blocks another arm can begin with, and that it begins with these bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spsam.config.schema import ArmConfig, DataIdentity, RunConfig
from spsam.engine import initial
from spsam.engine.assemble import trained_shapes
from spsam.engine.checkpoint import trained_state
from spsam.engine.initial import InitialBlocks, _by_class, initial_blocks, put_initial
from spsam.engine.recipe import Recipe
from spsam.errors import InputError
from spsam.registry.arms import load_arm

from .networks import small

FILE = Path("checkpoint.pt").resolve()


def trained(name: str, overrides: Any = None, classes: int = 3, **sizes: int) -> Recipe:
    """A run of an arm with weights that no seed starts with."""
    network = small(name, overrides, noise=0.1, num_classes=classes, **sizes)
    names = ("background", *(f"organ{n}" for n in range(1, classes)))
    data = DataIdentity(
        name="d", fingerprint="f", split_name="s", split_hash="h",
        num_classes=classes, class_names=names, in_channels=1,
    )  # fmt: skip
    config = RunConfig(arm=load_arm(name, overrides), preset="smoke", data=data)
    plan: Any = None
    return Recipe(FILE, config, plan, (0, 1, 2), None, trained_state(network), 10)


def shapes(arm: ArmConfig, classes: int = 3, size: int = 64) -> dict[str, tuple[int, ...]]:
    return trained_shapes(arm, in_channels=1, num_classes=classes, patch=(3, size, size))


def compared(recipe: Recipe, name: str, overrides: Any = None, classes: int = 3) -> InitialBlocks:
    arm = load_arm(name, overrides)
    return initial_blocks(recipe, 0, arm, shapes(arm, classes), classes)


@pytest.mark.parametrize("name", ["S1", "S5", "S9"])
def test_shapes_are_those_of_the_network(name: str) -> None:
    state = trained_state(small(name))
    assert shapes(load_arm(name)) == {key: tuple(value.shape) for key, value in state.items()}


def test_the_same_arm_takes_everything_and_begins_with_its_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = trained("S9")
    found = compared(recipe, "S9", {"train.epochs": 7})
    assert found.left == {}
    monkeypatch.setattr(initial, "read_trained", lambda file, plugins: [recipe])
    network = small("S9", seed=3)
    before = {key: value.clone() for key, value in trained_state(network).items()}
    put_initial(network, found, ())
    after = trained_state(network)
    assert all(torch.equal(after[key], value) for key, value in recipe.blocks.items())
    assert any(not torch.equal(before[key], after[key]) for key in after)


def test_other_components_begin_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = trained("S5")
    found = compared(recipe, "S6")
    assert found.left == {"adapter": "another component (dfused, trained: depth_after)"}
    assert "prompt_generator" in found.taken
    monkeypatch.setattr(initial, "read_trained", lambda file, plugins: [recipe])
    network = small("S6", seed=3)
    before = {key: value.clone() for key, value in trained_state(network).items()}
    put_initial(network, found, ())
    for key, value in trained_state(network).items():
        taken = key.partition(".")[0] in found.taken
        assert torch.equal(value, (recipe.blocks if taken else before)[key]), key


def test_other_shapes_and_classes_are_told_apart() -> None:
    found = compared(trained("S9", classes=4), "S9", classes=3)
    assert found.left["prompt_generator"] == "another number of classes (3, trained: 4)"
    assert "adapter" in found.taken
    ratio = {"blocks.adapter.ratio": 0.5}
    other = compared(trained("S9", ratio), "S9").left["adapter"]
    assert other.startswith("another shape (adapter.")
    assert ", trained: " in other


def test_a_block_that_one_of_them_lacks_is_named() -> None:
    assert compared(trained("S2"), "S9").left["adapter"] == "the trained run has no such block"
    assert compared(trained("S9"), "S2").left["adapter"] == "S2 has no such block"


def test_what_is_taken_is_the_identity_and_nothing_else() -> None:
    one, other = trained("S9"), trained("S9")
    with torch.no_grad():
        other.blocks["adapter." + _first(other, "adapter")].add_(1)
    # S2 takes no adapter: whatever the adapter is, its runs are the same.
    assert compared(one, "S2").sha256 == compared(other, "S2").sha256
    assert compared(one, "S9").sha256 != compared(other, "S9").sha256
    backwards = dict(reversed(list(one.blocks.items())))
    again = Recipe(FILE, one.config, one.plan, one.raw_ids, None, backwards, 10)
    assert compared(again, "S9").sha256 == compared(one, "S9").sha256


def _first(recipe: Recipe, block: str) -> str:
    return next(k for k in recipe.blocks if k.startswith(f"{block}.")).partition(".")[2]


def test_another_network_and_nothing_to_take_are_refused() -> None:
    recipe = trained("S9")
    unet = load_arm("unet2d")
    with pytest.raises(InputError, match=r"unet2d has the network unet2d, but the trained run has"):
        initial_blocks(recipe, 0, unet, {"unet.a": (1,)}, 3)
    bare = Recipe(FILE, recipe.config, recipe.plan, (0, 1, 2), None, {}, 10)
    with pytest.raises(InputError, match=r"S9 can load no block of .*no such block"):
        compared(bare, "S9")


def test_weights_that_changed_since_planning_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = trained("S1")
    found = compared(recipe, "S1")
    with torch.no_grad():
        next(iter(recipe.blocks.values())).add_(1)
    monkeypatch.setattr(initial, "read_trained", lambda file, plugins: [recipe])
    network = small("S1")
    before = {key: value.clone() for key, value in trained_state(network).items()}
    with pytest.raises(InputError, match="contains other weights than when the run was planned"):
        put_initial(network, found, ())
    assert all(torch.equal(value, before[key]) for key, value in trained_state(network).items())


@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 8), st.integers(0, 1))
def test_sides_that_count_classes_are_known(ours: int, theirs: int, by: int, less: int) -> None:
    one, two = (by * (ours - less), 3), (by * (theirs - less), 3)
    assert _by_class(one, two, (ours, theirs))
    assert not _by_class((*one, 5), (*two, 6 * 23), (ours, theirs))
    assert not _by_class(one, (*two, 1), (ours, theirs))
