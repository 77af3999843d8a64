"""`python -m tests.fuzz`: whole campaigns, or some of their mutations."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK

from tests.fuzz import configuration, descriptions, dicom, nifti, stored
from tests.fuzz.campaign import run

CAMPAIGNS = tuple(kind.CAMPAIGN for kind in (nifti, dicom, descriptions, stored, configuration))


def main() -> int:
    """Runs campaigns and prints what became of each; 1 if anything was at fault."""
    names = [campaign.name for campaign in CAMPAIGNS]
    options = argparse.ArgumentParser(prog="nox -s fuzz --", description=__doc__)
    options.add_argument("--seed", type=int, default=0, help="other mutations [0]")
    options.add_argument("--count", type=int, help="mutations of each kind [as promised]")
    options.add_argument("--first", type=int, default=0, help="number to begin with [0]")
    options.add_argument("--only", nargs="+", default=names, choices=names, metavar="KIND")
    asked = options.parse_args()
    failed = 0
    for campaign in CAMPAIGNS:
        if campaign.name not in asked.only:
            continue
        count = campaign.count if asked.count is None else asked.count
        with tempfile.TemporaryDirectory(prefix="spsam-fuzz-") as folder, quiet():
            # Hashes of what is about to be removed are nothing for the user's cache.
            os.environ["SPSAM_CACHE"] = f"{folder}/cache"
            numbers = range(asked.first, asked.first + count)
            outcome = run(campaign, Path(folder), asked.seed, numbers, dead=True)
        print(f"{campaign.name}: {count} mutations, seed {asked.seed}: {outcome}", flush=True)
        for number, why in outcome.faults:
            print(f"  number {number}: {why}", flush=True)
        failed += len(outcome.faults)
    print(f"{failed} at fault")
    return int(failed > 0)


@contextmanager
def quiet() -> Iterator[None]:
    """OtherError libraries' words about broken files are not what is looked at."""
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)


if __name__ == "__main__":
    sys.exit(main())
