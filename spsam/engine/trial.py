"""Check of a device: a few training steps and one prediction on phantoms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import default_collate

from spsam.config.schema import DataIdentity, RunConfig
from spsam.data.dataset import open_dataset
from spsam.data.plan import plan
from spsam.data.preparation.prepare import prepare
from spsam.data.sampling.patches import PatchDataset
from spsam.engine.assemble import network_for
from spsam.engine.predict import predict_labels
from spsam.engine.training.group import ProcessGroup
from spsam.engine.training.step import Stepper
from spsam.engine.training.train import execute_as
from spsam.registry.arms import load_arm

STEPS = 3
_CASES = 2
_RATE = 1e-2


@dataclass(frozen=True)
class Trial:
    """Results of a device.

    Attributes:
        losses: Total loss of each step.
        labels: `(D, H, W)` label map of a volume segmented after the steps.
    """

    losses: tuple[float, ...]
    labels: npt.NDArray[np.integer]


class Trials:
    """The same training steps on any device, from the same weights and patches.

    Args:
        arm: Name of the arm; the preset is `smoke`.
        folder: Folder for the prepared data of two phantoms.
    """

    def __init__(self, arm: str, folder: Path) -> None:
        self.arm = load_arm(arm, preset="smoke")
        whole = open_dataset("phantom")
        dataset = replace(whole, cases=whole.cases[:_CASES])
        ids = [case.id for case in dataset.cases]
        self.plan = plan(dataset, ids, **self.arm.patch.model_dump())
        self.store = prepare(dataset, self.plan, folder, workers=1)
        self.data = DataIdentity(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            split_name="none",
            split_hash="",
            num_classes=dataset.num_classes,
            class_names=dataset.class_names,
            in_channels=dataset.in_channels,
        )
        batch = self.arm.train.batch_size
        patches = PatchDataset(
            self.store,
            ids,
            self.plan.patch_size,
            length=batch,
            seed=0,
            foreground=1.0,
            augment=None,
        )
        # The same batch in all steps, so that its loss must decrease.
        self.batch = default_collate([patches[index] for index in range(batch)])

    def __call__(self, device: str, precision: str = "fp32") -> Trial:
        """Executes the steps and segments the first case.

        Args:
            device: `cpu`, `cuda` or `cuda:1`.
            precision: `fp32`, `bf16` or `fp16`.
        """
        train = self.arm.train.model_copy(update={"precision": precision})
        arm = self.arm.model_copy(update={"train": train})
        config = RunConfig(arm=arm, preset="smoke", data=self.data)
        with _without_tf32():
            network = network_for(config, self.plan.patch_size, None).to(torch.device(device))
            execute_as(train, network.train())
            stepper = Stepper(network, train, ProcessGroup())
            losses = [stepper(self.batch, _RATE, decode=True)["total"] for _ in range(STEPS)]
            labels = predict_labels(network, self.store.case(self.store.ids[0]), config)
        return Trial(tuple(float(loss) for loss in losses), labels)

    @staticmethod
    def half_precisions(device: str) -> tuple[str, ...]:
        """Returns the 16-bit precisions that a GPU supports."""
        major, minor = torch.cuda.get_device_capability(device)
        return ("fp16", "bf16") if major >= 8 else ("fp16",) if (major, minor) >= (5, 3) else ()


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Disables TF32, which reduces the mantissa of a GPU's products to ten bits."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
