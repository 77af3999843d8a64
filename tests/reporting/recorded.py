"""What runs record beside their scores, made without training anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from spsam.results.measures import BINS, Measures, write_measures
from spsam.results.panels import Panel, write_panels
from spsam.results.run_folder import RunFolder


def record(home: Path, run_id: str, *, cases: int = 6, seed: int = 0, classes: int = 4) -> None:
    """Writes a run's log, measures, panels and cost.

    Args:
        home: The folder of all results.
        run_id: A finished run of `store.make_study`.
        cases: As many as the study has.
        seed: Of the numbers.
        classes: K.
    """
    run, rng = RunFolder(home, run_id), np.random.default_rng(seed)
    names = [f"patient{c // 2:03d}_frame{c % 2}" for c in range(cases)]
    lines = [
        {"epoch": e, "loss/generator": 2 / (e + 1), "seconds": 1.0, "step_seconds": 0.1}
        | ({"loss/mask": 1.5 / (e + 1)} if e > 1 else {})
        for e in range(6)
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    both = rng.integers(0, 50, (cases * 8, classes))
    more = rng.integers(0, 9, (2, *both.shape))
    voxels = rng.integers(0, 5000, (cases, BINS))
    sure = (np.arange(BINS) + 0.5) / BINS
    write_measures(
        run.measures,
        Measures(
            cases=tuple(names),
            case=np.repeat(np.arange(cases, dtype=np.int32), 8),
            slice=np.tile(np.arange(8, dtype=np.int32), cases),
            counts=np.stack([both, both + more[0], both + more[1]], axis=-1),
            voxels=voxels,
            confidence=voxels * sure,
            correct=np.round(voxels * sure**1.3).astype(np.int64),
            activation="softmax",
        ),
    )
    write_panels(run.panels, [_panel(name, rng, classes) for name in names])
    run.note(cost={"gflops": 4.0, "step_seconds": {"generator": 0.05, "joint": 0.1 + seed / 50}})


def _panel(case: str, rng: np.random.Generator, classes: int) -> Panel:
    reference = np.zeros((30, 40), np.uint8)
    for k in range(1, classes):
        reference[5:25, 10 * k : 10 * k + 8] = k
    return Panel(
        case=case,
        slice=3,
        aspect=1.2,
        image=rng.integers(0, 256, reference.shape).astype(np.uint8),
        reference=reference,
        prediction=np.roll(reference, int(rng.integers(0, 6)), axis=1),
        mask=reference,
        points=np.array([[0, 2, 2, 1], [1, 14, 12, 1], [1, 22, 12, 0]], np.float64),
        boxes=np.array([[0, 0, 0, 39, 29], [1, 10, 5, 17, 24]], np.float64),
    )
