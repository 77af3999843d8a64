"""What all tests share: one thread, no telemetry, real data sets where they are at hand."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Read by the libraries when they are first imported, which is after this file.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# A user's own results must be neither read nor written.
os.environ.pop("SPSAM_HOME", None)
_cache = tempfile.TemporaryDirectory(prefix="spsam-cache-")
os.environ["SPSAM_CACHE"] = _cache.name

# Examples are the same on every run of CI; at a desk new ones are tried each time. No deadline: a
# first call that compiles or allocates is not a failure.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what wants a GPU where there is none."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=wanting)
        items[:] = [item for item in items if item not in wanting]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Many small operations lose to thread barriers; torch is not imported for this."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data sets are not beside this checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with a small ACDC beside them, and two runs (seeds 0 and 1) of S9.

    `run0` and `run1` lead to the runs. Shared by all tests: whoever changes something copies first.
    """
    from typer.testing import CliRunner

    from spsam.cli.main import app
    from tests.data.layouts import write_acdc

    home = tmp_path_factory.mktemp("home")
    data = write_acdc(home / "acdc")
    few = ["train.epochs=1", "train.generator_epochs=0", "backbone.weights=random"]
    command = ["train", "S9", "--data", str(data), "--preset", "smoke", "--out", str(home)]
    command += [word for value in few for word in ("--set", value)]
    for seed in (0, 1):
        result = CliRunner().invoke(app, [*command, "--seed", str(seed), "--json"])
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["status"] == "finished"
        assert set(said["dice_by_class"]) == {"RV", "MYO", "LV"}
        (home / f"run{seed}").symlink_to(said["folder"])
    return home
