"""How long a report of a large study takes, and how much memory.

    python benchmarks/report.py                         1,000 runs × 50 cases × 4 classes
    python benchmarks/report.py --arms 20 --seeds 3

Makes up a study in a temporary folder and reports it in a process of its own, whose time and peak
memory are printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = ("background", "RV", "MYO", "LV")
CHILD = """
import resource, sys
from spsam.cli.main import app
sys.argv = ["spsam", "report", "--out", sys.argv[1], *sys.argv[2:]]
try:
    app()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak {peak:.0f} MB; torch imported: {'torch' in sys.modules}", file=sys.stderr)
"""


def main() -> None:
    """Makes the study and reports it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--no-pdf", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(home, options.arms, options.seeds, options.cases)
        began = time.perf_counter()
        extra = ["--no-pdf"] if options.no_pdf else []
        subprocess.run([sys.executable, "-c", CHILD, str(home), *extra], check=True)
        print(f"{time.perf_counter() - began:.1f} s")


def make(home: Path, arms: int, seeds: int, cases: int) -> None:
    """Writes a study whose arms differ a little; each is a change of the one before it."""
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0, 0.05, (cases, len(CLASSES)))
    entries = []
    for a in range(arms):
        ids = [f"{a:08x}{s:08x}" for s in range(seeds)]
        for s, run_id in enumerate(ids):
            scores = 0.8 + 0.0002 * a + difficulty + generator.normal(0, 0.02, difficulty.shape)
            write_run(home / "runs" / run_id, run_id, s, np.clip(scores, 0, 1))
        entries.append(
            {
                "name": f"A{a:03d}",
                "title": f"Arm number {a}",
                "parent": f"A{a - 1:03d}" if a else None,
                "diff": [],
                "run_ids": ids,
                "trained_parameters": 400_000 + a,
            }
        )
    study = home / "ablations" / "large"
    study.mkdir(parents=True)
    about = {
        "name": "large",
        "data": {
            "name": "acdc",
            "fingerprint": "0" * 16,
            "split_name": "default",
            "split_hash": "1" * 16,
            "fold": 0,
            "class_names": CLASSES,
        },
        "cases": {"train": 100, "val": 10, "test": cases},
        "preset": "made up",
        "seeds": list(range(seeds)),
        "arms": entries,
    }
    (study / "ablation.json").write_text(json.dumps(about))


def write_run(folder: Path, run_id: str, seed: int, scores: np.ndarray) -> None:
    """Writes a finished run with Dice and HD95 of every case and class."""
    folder.mkdir(parents=True)
    lines = []
    for case, of_case in enumerate(scores):
        for k, value in enumerate(of_case):
            row = {
                "run_id": run_id,
                "seed": seed,
                "fold": 0,
                "case": f"patient{case // 2:03d}_frame{case % 2:02d}",
                "patient": f"patient{case // 2:03d}",
                "class_id": k,
                "class_name": CLASSES[k],
            }
            dice = {"metric": "dice", "convention": "nnunet", "value": float(value)}
            distance = {"metric": "hd95", "convention": "diagonal", "value": 40 * (1 - value)}
            lines += [json.dumps({**row, **dice}), json.dumps({**row, **distance})]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    cost = {"gflops": 50.0, "step_seconds": {"joint": 0.1}, "peak_memory_bytes": 2_000_000_000}
    (folder / "run.json").write_text(json.dumps({"status": "finished", "cost": cost}))
    (folder / "config.yaml").write_text(f"arm: {{name: made up}}\nseed: {seed}\n")


if __name__ == "__main__":
    main()
