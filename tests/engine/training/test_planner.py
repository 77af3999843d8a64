"""Memory that is planned is what a training holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "planner.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks of a process are Linux's")
def test_planned_memory_is_held_within_15_percent() -> None:
    command = [sys.executable, str(BENCHMARK), "--only", "64", "--json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = json.loads(told)
    assert len(rows) >= 2
    for row in rows:
        assert row["held"] > 20e6
        assert row["ratio"] == pytest.approx(1, abs=0.15), row
