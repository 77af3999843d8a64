"""Whether there is a Slurm to test on: `nox -s slurm`."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "idle" in done.stdout


needs_slurm = pytest.mark.skipif(not answers(), reason="there is no Slurm that answers")
