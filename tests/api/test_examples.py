"""The examples in the docstrings of the public functions, word for word."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import numpy as np
import pytest

import spsam
from tests.data.layouts import random_image, write_acdc, write_image

# In the order in which they build on each other.
EXAMPLES = [
    (spsam.load_run, 4),
    (spsam.Run.predict, 5),
    (spsam.ablate, 5),
    (spsam.prompts, 2),
    (spsam.report, 2),
]


@pytest.mark.slow
def test_examples_are_what_happens(
    two_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with trained runs, a scan and a data set."""
    shutil.copytree(two_runs, tmp_path / "home", symlinks=True)
    write_acdc(tmp_path / "ACDC")
    write_image(tmp_path / "scans" / "patient.nii.gz", random_image(3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPSAM_HOME", str(tmp_path / "home"))
    names = {"spsam": spsam, "np": np}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for function, count in EXAMPLES:
        text = function.__doc__ or ""
        test = doctest.DocTestParser().get_doctest(text, names, function.__qualname__, None, None)
        assert len(test.examples) >= count, function.__qualname__
        told: list[str] = []
        runner.run(test, out=told.append, clear_globs=False)
        names.update(test.globs)
        # Progress of calls is no part of what they give.
        assert runner.failures == 0, "".join(told)
