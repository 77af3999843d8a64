"""A training, its scores, an ablation and a prediction, without what other systems do not have.

`sitecustomize.py` takes it away, in the commands and in every process that they start: modules and
signals of POSIX, `fork`, `/proc`, the encoding that a text file has if none is named. Paths, locks
and file systems stay those of this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.layouts import write_acdc

HERE = Path(__file__).resolve().parent
SMALL = ("--data", "ACDC", "--preset", "smoke")


@pytest.fixture(params=["windows", "macos"])
def system(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables of a process there."""
    write_acdc(tmp_path / "ACDC")
    return {
        **{k: v for k, v in os.environ.items() if k not in ("SPSAM_HOME", "MLFLOW_TRACKING_URI")},
        "SPSAM_LIKE": request.param,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
        "PYTHONWARNDEFAULTENCODING": "1",
    }


def python(system: dict[str, str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=system,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def spsam(system: dict[str, str], folder: Path, *words: str) -> str:
    done = python(system, folder, "-m", "spsam", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


PROBE = """
import multiprocessing, os as whole
space = {"__name__": "spsam.probe"}
exec('''
import os, sys, signal
from pathlib import Path
text = Path("text")
there = {
    "fork": hasattr(os, "fork"), "affinity": hasattr(os, "sched_getaffinity"),
    "USR2": hasattr(signal, "SIGUSR2"), "TERM": hasattr(signal, "SIGTERM"),
    "proc": Path("/proc/self/status").exists(), "posix": os.name == "posix",
}
def works(what):
    try:
        exec(what, globals())
    except (ImportError, EncodingWarning):
        return False
    return True
there |= {"resource": works("import resource"), "plain": works("text.write_text('a')")}
''', space)
there = {**space["there"], "for others": hasattr(whole, "fork")}
print(*[name for name, is_there in there.items() if is_there])
print(*multiprocessing.get_all_start_methods())
"""


def test_things_are_missing_for_spsam_alone(system: dict[str, str], tmp_path: Path) -> None:
    done = python(system, tmp_path, "-c", PROBE)
    there, methods = done.stdout.splitlines()
    if system["SPSAM_LIKE"] == "windows":
        assert there == "TERM for others"
        assert methods == "spawn"
    else:
        assert there == "fork USR2 TERM posix resource for others"
        assert "fork" in methods.split()


@pytest.mark.slow
def test_commands_end_with_0(system: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path
    workers = ("--set", "train.workers=1")
    trained = json.loads(spsam(system, folder, "train", "S9", *SMALL, *workers, "--json"))
    assert trained["status"] == "finished"
    assert trained["cost"]["peak_memory_bytes"] > 0
    if system["SPSAM_LIKE"] == "macos":
        # Windows lacks all that macOS lacks; `spawn` beside POSIX's signals is what is left.
        return
    printed = spsam(system, folder, "ablate", "S1", *SMALL, "--jobs", "1", "--json")
    assert [arm["result"]["state"] for arm in json.loads(printed)["arms"]] == ["finished"]
    case = "patient001_frame01"
    scan = f"ACDC/patient001/{case}.nii.gz"
    spsam(system, folder, "predict", "S9", scan, "--save", "out", "--probabilities")
    (folder / "out" / "probabilities" / f"{case}.nii.gz").stat()
    (folder / "references").mkdir()
    reference = folder / "ACDC" / "patient001" / f"{case}_gt.nii.gz"
    reference.rename(folder / "references" / f"{case}.nii.gz")
    spsam(system, folder, "evaluate", "out", "references", "--save", "scores")
    spsam(system, folder, "report", "--no-figures", "--no-pdf")
