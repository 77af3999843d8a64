"""Checks of training steps and a prediction on each device, compared with those of the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spsam.errors import SpsamError
from spsam.studies.doctor.finding import Examination, Finding

if TYPE_CHECKING:
    from spsam.engine.trial import Trial

FIRST, LAST, LABELS = 1e-3, 1e-2, 0.9
"""Tolerances between a GPU and the CPU, both in float32 without TF32.

`FIRST` and `LAST` are relative tolerances of the first and the last loss. `LABELS` is the minimum
fraction of voxels with the same predicted label; it is below 1 because an untrained network's
logits often differ by less than rounding. For comparison, images changed by a relative 1e-5 on one
CPU gave 1e-7, 1e-4 and 0.96.
"""


def steps(examined: Examination) -> Iterator[Finding]:
    """Runs three training steps and a prediction on each device, and compares GPUs with the CPU."""
    import torch

    from spsam.engine.trial import Trials

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    with tempfile.TemporaryDirectory(prefix="spsam-doctor-") as folder:
        try:
            trials = Trials(examined.arm, Path(folder))
            own = trials("cpu")
        except (SpsamError, RuntimeError, OSError) as error:
            yield _failed("cpu", error)
            return
        yield _took("cpu", own)
        for device in [f"cuda:{index}" for index in range(gpus)]:
            try:
                its = trials(device)
                yield _took(device, its)
                yield agreement(device, own, its)
                for precision in trials.half_precisions(device):
                    yield _took(f"{device} {precision}", trials(device, precision))
            # A failing GPU is a finding; the remaining GPUs are still checked.
            except (SpsamError, RuntimeError, AssertionError, OSError) as error:
                yield _failed(device, error)


def agreement(device: str, cpu: Trial, gpu: Trial) -> Finding:
    """Compares the results of a GPU with those of the CPU, within the tolerances."""
    first, last = (
        abs(gpu.losses[index] - cpu.losses[index]) / abs(cpu.losses[index]) for index in (0, -1)
    )
    same = float(np.mean(cpu.labels == gpu.labels))
    facts = {"first_loss": first, "last_loss": last, "labels": same}
    text = (
        f"first loss within {first:.1e} (tolerance {FIRST:.0e}), last within {last:.1e} "
        f"({LAST:.0e}), {100 * same:.2f} % of labels equal ({100 * LABELS:.0f} %)"
    )
    right = first <= FIRST and last <= LAST and same >= LABELS
    advice = (
        ""
        if right
        else f"{device} and the CPU compute different results: update driver and torch, and "
        "check the GPU's memory (nvidia-smi -q -d ECC)"
    )
    return Finding(f"{device} = cpu", "ok" if right else "wrong", text, advice, facts)


def _took(device: str, trial: Trial) -> Finding:
    losses = ", ".join(f"{loss:.4f}" for loss in trial.losses)
    shape = "×".join(map(str, trial.labels.shape))
    facts = {"losses": list(trial.losses), "shape": list(trial.labels.shape)}
    # Also False if a loss is NaN.
    falls = trial.losses[-1] < trial.losses[0]
    advice = f"the loss of one batch does not decrease on {device}: update driver and torch"
    return Finding(
        f"steps {device}",
        "ok" if falls else "wrong",
        f"losses {losses}; a volume of {shape} segmented",
        "" if falls else advice,
        facts,
    )


def _failed(device: str, error: BaseException) -> Finding:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    advice = f"{device} cannot train: update driver and torch, or use another device"
    return Finding(f"steps {device}", "wrong", reason, advice)
