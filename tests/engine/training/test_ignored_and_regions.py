"""The loss with ignored voxels and with regions, against written-out arithmetic and itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spsam.config.schema import TrainConfig
from spsam.data.labels import IGNORED
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.loss import (
    EVERY_VOXEL,
    Activation,
    Objective,
    dice_of_sums,
    loss_parts,
    training_loss,
)
from spsam.engine.training.step import Stepper
from spsam.model.networks.base import Output
from spsam.registry.arms import load_arm
from tests.engine.networks import ARMS, small
from tests.engine.training.test_step import BATCH

IGNORES = Objective(ignores=True)
activations = pytest.mark.parametrize("activation", ["softmax", "sigmoid"])


def batch(seed: int, share: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 4, (2, 3, 8, 8), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < share] = IGNORED
    return logits, labels


def total(
    logits: torch.Tensor,
    labels: torch.Tensor,
    objective: Objective,
    activation: Activation = "softmax",
    **loss: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of two depths of logits, both supervised, and its gradient."""
    logits = logits.clone().requires_grad_()
    coarse = torch.nn.functional.avg_pool3d(logits, (1, 2, 2))
    output = Output(logits, [logits, coarse], None, deeper=[coarse])
    config = TrainConfig.model_validate({"loss": loss})
    value = training_loss(output, labels, config, activation, objective=objective)["total"]
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


@activations
@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_without_an_ignored_voxel_every_bit_is_as_before(
    activation: Activation, batch_dice: bool, background: bool
) -> None:
    logits, labels = batch(0)
    options = {"batch_dice": batch_dice, "dice_background": background}
    loss, gradient = total(logits, labels, EVERY_VOXEL, activation, **options)
    again, same = total(logits, labels, IGNORES, activation, **options)
    assert torch.equal(loss, again)
    assert torch.equal(gradient, same)


@activations
@given(seed=st.integers(0, 1000), share=st.floats(0.01, 0.99))
@settings(max_examples=20, deadline=None)
def test_nothing_depends_on_what_is_predicted_in_ignored_voxels(
    activation: Activation, seed: int, share: float
) -> None:
    logits, labels = batch(seed, share)
    # A level below, a pixel is ignored by its nearest one: whole squares are, so that both agree.
    labels = labels[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2)
    ignored = (labels == IGNORED)[:, None].expand_as(logits)
    other = torch.where(ignored, 10 * torch.randn_like(logits), logits)
    loss, gradient = total(logits, labels, IGNORES, activation)
    assert torch.isfinite(loss)
    assert torch.equal(loss, total(other, labels, IGNORES, activation)[0])
    assert (gradient[ignored] == 0).all()
    if not ignored.all():
        assert (gradient[~ignored] != 0).any()


@activations
def test_the_loss_is_that_of_the_annotated_voxels_alone(activation: Activation) -> None:
    logits, labels = batch(1)
    labels[..., 5:] = IGNORED
    found = loss_parts(logits, labels, activation=activation, background=True, objective=IGNORES)
    cut = loss_parts(logits[..., :5], labels[..., :5], activation=activation, background=True)
    for one, other in zip(found, cut, strict=True):
        torch.testing.assert_close(one, other)


@activations
@pytest.mark.parametrize("smooth", [0.0, 1e-5])
def test_a_batch_of_ignored_voxels_alone_teaches_nothing(
    activation: Activation, smooth: float
) -> None:
    logits, labels = batch(2, 1.0)
    loss, gradient = total(logits, torch.full_like(labels, IGNORED), IGNORES, activation,
                           smooth=smooth)  # fmt: skip
    assert torch.isfinite(loss)
    assert (gradient == 0).all()


@pytest.mark.parametrize("batch_dice", [False, True])
def test_pieces_with_unequal_ignored_voxels_are_one_batch(batch_dice: bool) -> None:
    """The mean of the pieces' own means would weigh the voxels of a sparse patch more."""
    labels = BATCH["label"].clone()
    labels[0, :, :, 4:] = IGNORED
    labels[3, :, 2:] = IGNORED
    found = []
    for pieces in (1, 2, 4):
        overrides = {"train.batch_size": 4, "train.accumulate": pieces}
        overrides["train.loss.batch_dice"] = batch_dice
        network = small(ARMS[-1], noise=0.05).train()
        stepper = Stepper(network, load_arm(ARMS[-1], overrides).train, ProcessGroup(), IGNORES)
        step: Any = {"image": BATCH["image"], "label": labels}
        found.append({k: float(v) for k, v in stepper(step, 0.0, decode=True).items()})
    for each in found[1:]:
        assert each.pop("gradient") == pytest.approx(found[0]["gradient"], rel=2e-3)
        assert each == pytest.approx({k: found[0][k] for k in each}, rel=1e-5)


def test_dice_of_regions_is_that_of_the_summed_probabilities() -> None:
    from monai.losses import DiceLoss

    logits, labels = batch(3)
    regions = ((1, 2, 3), (2, 3), (3,))
    _, sums = loss_parts(
        logits, labels, activation="softmax", background=False, objective=Objective(regions=regions)
    )
    chances = logits.softmax(1)
    unions = torch.stack([chances[:, list(each)].sum(1) for each in regions], 1)
    wanted = torch.stack([torch.isin(labels, torch.tensor(each)) for each in regions], 1).float()
    expected = DiceLoss(smooth_nr=1e-5, smooth_dr=1e-5)(unions, wanted)
    torch.testing.assert_close(dice_of_sums(sums, 1e-5), expected)


@activations
def test_regions_of_one_class_each_are_the_classes(activation: Activation) -> None:
    logits, labels = batch(4, 0.3)
    options: Any = {"activation": activation, "background": True}
    plain = loss_parts(logits, labels, objective=IGNORES, **options)
    single = Objective(ignores=True, regions=((1,), (2,), (3,)))
    for one, other in zip(
        plain, loss_parts(logits, labels, objective=single, **options), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_independent_masks_join_to_at_most_one() -> None:
    logits = torch.full((1, 3, 1, 2, 2), 20.0)
    labels = torch.ones(1, 1, 2, 2, dtype=torch.long)
    _, sums = loss_parts(
        logits,
        labels,
        activation="sigmoid",
        background=False,
        objective=Objective(regions=((1, 2),)),
    )
    torch.testing.assert_close(sums[:, 0, 0], torch.tensor([4.0, 8.0]))
