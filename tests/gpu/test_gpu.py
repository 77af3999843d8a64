"""What wants a GPU: `nox -s gpu`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spsam.engine.predict import PRECISIONS
from spsam.engine.training.train import Training, fit
from spsam.engine.trial import Trials
from spsam.registry.arms import load_arm
from spsam.studies.doctor.steps import agreement
from tests.engine.training.test_train import Patches
from tests.gpu.networks import arms, sample, whole_network

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", [name for name in arms() if name.startswith("S")])
def test_an_arm_computes_what_the_cpu_does(name: str, tmp_path: Path) -> None:
    trials = Trials(name, tmp_path)
    found = agreement("cuda", trials("cpu"), trials("cuda"))
    assert found.status == "ok", found.text


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", arms())
def test_half_precision_gives_finite_logits(name: str, precision: str) -> None:
    network = whole_network(name).to("cuda").eval()
    with torch.no_grad(), torch.autocast("cuda", PRECISIONS[precision]):
        logits = network(sample("cuda")["image"]).logits
    assert torch.isfinite(logits).all()


def training(folder: Path, device: str, epochs: int, precision: str) -> Training:
    values: dict[str, Any] = {
        "train.epochs": 4,
        "train.iterations": 2,
        "train.generator_epochs": 1,
        "train.batch_size": 2,
        "train.precision": precision,
        "train.deterministic": False,
    }
    network = whole_network("S9").to(device)
    train = load_arm("S9", values)
    cut = train.train.model_copy(update={"epochs": epochs})
    arm = train.model_copy(update={"train": cut})
    return Training(network, Patches(12), arm, folder / "last.pt", folder / "log.jsonl", {})


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_checkpoint_of_a_gpu_is_resumed_on_it_and_on_a_cpu(
    precision: str, tmp_path: Path
) -> None:
    fit(training(tmp_path, "cuda", 2, precision))
    for device in ("cuda", "cpu") if precision == "fp32" else ("cuda",):
        resumed = training(tmp_path, device, 3, precision)
        fit(resumed)
        values = [p.detach().cpu().numpy() for _, p in resumed.network.trained_parameters()]
        assert all(np.isfinite(value).all() for value in values)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
