from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spsam.data.workers import run_all
from spsam.errors import SpsamError


def square(value: int) -> int:
    time.sleep(0.02 * (value % 3))
    return value * value


def fail(value: int) -> int:
    if value == 2:
        raise ValueError("two")
    return value


def die(value: int) -> int:
    os._exit(3)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_the_jobs(workers: int) -> None:
    calls: list[tuple[int, int]] = []
    results = run_all(square, [(n,) for n in range(6)], workers, lambda *call: calls.append(call))
    assert results == [n * n for n in range(6)]
    assert calls == [(done, 6) for done in range(7)]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers: int) -> None:
    with pytest.raises(ValueError, match="two"):
        run_all(fail, [(n,) for n in range(4)], workers, None)


def test_a_dead_process_is_explained() -> None:
    with pytest.raises(SpsamError, match="workers=1"):
        run_all(die, [(n,) for n in range(3)], 2, None)


@pytest.mark.parametrize(
    "call",
    [
        "from spsam.data.workers import run_all; run_all(abs, [(4,)] * 2, 2, None)",
        "import spsam; spsam.prompts(limit=1, progress=False)",
    ],
    ids=["workers", "prompts"],
)
def test_a_script_without_a_guard_ends_with_advice(call: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(call + "\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert 'put the call inside if __name__ == "__main__":' in done.stderr
    assert "its error is printed above" in done.stderr


def test_no_jobs_no_results() -> None:
    assert run_all(square, [], None, None) == []


def sleep(value: int) -> None:
    time.sleep(60)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_workers_do_not_outlive_a_parent_that_was_killed() -> None:
    code = (
        "from tests.data.test_workers import *; run_all(sleep, [(n,) for n in range(4)], 2, None)"
    )
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"if __name__ == '__main__':\n    {code}"], cwd=root
    )
    family: list[psutil.Process] = []
    until = time.monotonic() + 60
    # The two workers, and the process that keeps track of what is shared.
    while len(family) < 3 and time.monotonic() < until:
        time.sleep(0.05)
        family = psutil.Process(parent.pid).children(recursive=True)
    # So that the workers have begun to work.
    time.sleep(2)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    for process in alive:
        process.kill()
    assert len(family) >= 3
    assert alive == []
