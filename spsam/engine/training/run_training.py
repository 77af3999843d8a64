"""Network and training of a run, built from its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from spsam.config.schema import DataIdentity
from spsam.data.sampling.patches import PatchDataset
from spsam.engine.assemble import network_for
from spsam.engine.checkpoint import previous
from spsam.engine.initial import put_initial
from spsam.engine.run_spec import RunSpec
from spsam.engine.training.loss import Objective
from spsam.engine.training.progress import Metrics
from spsam.engine.training.train import Training
from spsam.engine.training.validate import validation_dice
from spsam.model.networks.base import Network
from spsam.results.run_folder import VALIDATION_DICE


def network_of(spec: RunSpec, device: torch.device) -> Network:
    """Builds the run's network with its initial weights.

    Args:
        spec: The run.
        device: Device of the network.

    Raises:
        InputError: If the planned initial weights can no longer be read.
    """
    torch.manual_seed(spec.config.seed)
    network = network_for(spec.config, spec.plan.patch_size, spec.checkpoint, spec.plan.spacing)
    checkpoint = spec.folder.checkpoint
    begun = checkpoint.exists() or previous(checkpoint).exists()
    if spec.initial is not None and not begun:
        # After the start, the run's own checkpoint contains the weights.
        put_initial(network, spec.initial, spec.config.arm.plugins)
    return network.to(device)


def training_of(spec: RunSpec, network: Network, **options: Any) -> Training:
    """Builds the run's training.

    Args:
        spec: The run.
        network: The run's network, on its device.
        options: Further attributes of `Training`.
    """
    return Training(
        network,
        training_patches(spec),
        spec.config.arm,
        checkpoint=spec.folder.checkpoint,
        log=spec.folder.metrics,
        about=checkpoint_header(spec),
        workers=spec.workers,
        objective=objective_of(spec.config.data),
        measure=lambda epoch: _validate(spec, network, epoch),
        **options,
    )


def objective_of(data: DataIdentity) -> Objective:
    """Returns the properties of a data set's labels that affect the loss."""
    return Objective(ignores=data.ignore_id is not None, regions=data.region_classes)


def _validate(spec: RunSpec, network: Network, epoch: int) -> Metrics:
    """Computes the Dice of the validation cases after the epochs selected by the schedule."""
    if not spec.config.arm.train.validates(epoch):
        return {}
    cases = [spec.dataset.case(case) for case in spec.split.val]
    return {VALIDATION_DICE: validation_dice(network, spec.prepared, cases, spec.config)}


def checkpoint_header(spec: RunSpec) -> Mapping[str, Any]:
    """Describes the run in its checkpoints, sufficiently to segment new volumes."""
    return {
        "config": spec.config.model_dump_json(),
        "plan": spec.plan.to_dict(),
        "raw_ids": list(spec.dataset.raw_ids),
        "channel_names": list(spec.dataset.channel_names),
        "intensities": spec.prepared.index["statistics"],
        "training": list(spec.split.train),
    }


def training_patches(spec: RunSpec) -> PatchDataset:
    """Returns all patches of the run's training, in order."""
    train = spec.config.arm.train
    return PatchDataset(
        spec.prepared,
        spec.split.train,
        spec.plan.patch_size,
        length=train.steps * train.batch_size,
        seed=spec.config.seed,
        foreground=train.foreground,
        augment=spec.config.arm.augment.model_dump(),
    )
