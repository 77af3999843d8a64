"""Two processes, each with half of every batch, train what one process trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from spsam.engine.checkpoint import read_whole
from spsam.engine.run_spec import RunSpec
from spsam.engine.training.distributed import check_devices, train_distributed
from spsam.engine.training.run_training import network_of, training_of
from spsam.engine.training.train import fit
from spsam.errors import InputError
from spsam.studies.backend import Backend
from spsam.studies.planning.planner import plan_ablation
from spsam.studies.planning.request import Request
from tests.data.layouts import blocks, write_image, write_nnunet

from ..networks import ARMS

SHORT = {
    "backbone.weights": "random",
    "train.epochs": 2,
    "train.iterations": 2,
    "train.generator_epochs": 1,
    "train.batch_size": 4,
    # Little moves: a prompt that jumps to another pixel by rounding would be another step.
    "train.optimizer.lr": 1e-4,
}


def job(home: Path, devices: int, data: Path | str = "phantom", **more: Any) -> RunSpec:
    values = {**SHORT, **more}
    request = Request(
        [ARMS[-1]], home, data=str(data), preset="smoke", overrides=values, devices=devices
    )
    ablation = plan_ablation(request)
    (arm,) = ablation.arms
    (run,) = arm.runs
    prepared = home.parent / "prepared"
    store = Backend().prepare(ablation.dataset, arm.plan, prepared, lambda *_: None)
    run.folder.path.mkdir(parents=True)
    return replace(run, store=store, device="cpu")


@pytest.mark.slow
def test_two_processes_share_the_annotated_voxels_of_a_batch(tmp_path: Path) -> None:
    """Each case has another share of ignored voxels, so that the halves of a batch differ."""
    labels = {"background": 0, "a": 1, "b": 2, "ignore": 3}
    data = write_nnunet(tmp_path / "data", labels=labels)
    for number, file in enumerate(sorted((data / "labelsTr").iterdir())):
        label = blocks(values=(1, 2))
        label[:, :, : 4 * number] = 3
        write_image(file, label)
    choice = {"train.epochs": 1, "train.generator_epochs": 0}
    alone = job(tmp_path / "one", 1, data, **choice)
    together = job(tmp_path / "two", 2, data, **choice)
    fit(training_of(alone, network_of(alone, torch.device("cpu"))))
    train_distributed(
        together,
        on_epoch=lambda metrics: None,
        on_step=lambda *done: None,
        on_note=lambda note: None,
    )
    (expected,), (got,) = alone.folder.read_metrics(), together.folder.read_metrics()
    for name in ("loss/total", "loss/generator", "gradient_norm"):
        assert got[name] == pytest.approx(expected[name], rel=2e-4), name


@pytest.mark.parametrize("batch_dice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_gloo_processes_give_the_losses_and_weights_of_one(
    tmp_path: Path, batch_dice: bool
) -> None:
    choice = {"train.loss.batch_dice": batch_dice}
    alone, together = job(tmp_path / "one", 1, **choice), job(tmp_path / "two", 2, **choice)
    assert alone.folder.run_id == together.folder.run_id
    fit(training_of(alone, network_of(alone, torch.device("cpu"))))
    heard: dict[str, list[Any]] = {"epoch": [], "step": [], "note": []}
    train_distributed(
        together,
        on_epoch=heard["epoch"].append,
        on_step=lambda *done: heard["step"].append(done),
        on_note=heard["note"].append,
    )
    expected, got = alone.folder.read_metrics(), together.folder.read_metrics()
    assert len(got) == len(expected) == 2
    for ours, theirs in zip(got, expected, strict=True):
        for name in ("loss/total", "loss/generator", "gradient_norm"):
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4), name
    assert heard["step"][-1] == (4, 4)
    assert [metrics["epoch"] for metrics in heard["epoch"]] == [0, 1]
    first, second = (read_whole(each.folder.checkpoint)["blocks"] for each in (alone, together))
    for key, value in second.items():
        torch.testing.assert_close(value, first[key], rtol=1e-2, atol=1e-4)
    # Whoever goes on alone finds the work done.
    before = together.folder.checkpoint.stat().st_mtime_ns
    fit(training_of(together, network_of(together, torch.device("cpu"))))
    assert together.folder.checkpoint.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_failure_in_one_process_ends_all_with_its_sentence(tmp_path: Path) -> None:
    broken = job(tmp_path / "two", 2)
    broken.folder.checkpoint.write_bytes(b"not a checkpoint")
    nothing: Any = lambda *_: None  # noqa: E731
    with pytest.raises(Exception, match="remove these files"):
        train_distributed(broken, on_epoch=nothing, on_step=nothing, on_note=nothing)


@pytest.mark.parametrize(
    ("device", "count", "pieces", "said"),
    [
        ("cuda:1", 2, 1, "expected --device cuda or cpu"),
        ("cuda", 64, 1, "got only"),
        ("cpu", 3, 1, "batch_size 4 .* multiple"),
        ("cpu", 2, 4, "multiple of devices"),
    ],
)
def test_devices_that_cannot_share_a_batch_are_refused(
    device: str, count: int, pieces: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_devices(device, count, 4, pieces)
    check_devices("cpu", 1, 5, 5)
    check_devices("cpu", 2, 4, 2)
