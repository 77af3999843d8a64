"""Runs docs/guides/workflows.md with the installed spsam: `python -m tests.ways [--acdc FOLDER]`.

Each section's commands run as written, in an empty folder. `nox -s ways` installs the wheel first.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.code_blocks.pages import ROOT, SHELL, blocks
from tests.data.layouts import write_acdc, write_nnunet
from tests.tutorials import as_plugin

PAGE = ROOT / "docs" / "guides" / "workflows.md"
# What a command of the page may not take from the caller's shell.
_OURS = ("PYTHONPATH", "SPSAM_HOME", "MLFLOW_TRACKING_URI", "nnUNet_raw")


def workflows() -> Iterator[tuple[str, list[str]]]:
    """(heading, commands) of each section; the page's first block starts this program."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for block in blocks(PAGE):
        commands = [command for _, command in block.commands()]
        if block.language in SHELL and not commands[0].startswith("nox "):
            above = [line for line in lines[: block.line] if line.startswith("## ")]
            yield above[-1].removeprefix("## "), commands


def make(folder: Path, acdc: Path | None, dataset: Path | None) -> None:
    """Fills a folder with what the commands name; data that are given are linked.

    The preset `cpu` has the sizes of `smoke`: a file of its name hides the shipped one.
    """
    presets = folder / "ablations" / "presets"
    presets.mkdir(parents=True)
    shutil.copy(ROOT / "ablations/presets/smoke.yaml", presets / "cpu.yaml")
    (folder / "path/to").mkdir(parents=True)
    for path, given in (("path/to/ACDC", acdc), ("path/to/Dataset001_Mine", dataset)):
        if given:
            (folder / path).symlink_to(given.resolve(), target_is_directory=True)
    if not acdc:
        write_acdc(folder / "path/to/ACDC")
    if not dataset:
        write_nnunet(folder / "path/to/Dataset001_Mine")
    as_plugin(folder / "my_blocks")


def add_scans(folder: Path, own_data: bool) -> None:
    """Two volumes of the data set in scans/, and their references in labels/."""
    for part in ("scans", "labels"):
        (folder / part).mkdir()
    if own_data:
        root = folder / "path/to/Dataset001_Mine"
        references = sorted((root / "labelsTr").glob("[!.]*.nii.gz"))[:2]
        for reference in references:
            name = reference.name.removesuffix(".nii.gz")
            for channel in (root / "imagesTr").glob(f"{name}*.nii.gz"):
                shutil.copy(channel, folder / "scans")
            shutil.copy(reference, folder / "labels")
        return
    for reference in sorted((folder / "path/to/ACDC").rglob("patient*_gt.nii.gz"))[:2]:
        image = reference.name.replace("_gt", "")
        shutil.copy(reference.parent / image, folder / "scans")
        shutil.copy(reference, folder / "labels" / image)


def run(command: str, folder: Path) -> None:
    """Runs a command as a shell in the environment of this Python would.

    Raises:
        SystemExit: It failed.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    start = time.monotonic()
    print(f"$ {command}", flush=True)
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, check=False)
    print(f"# {time.monotonic() - start:.0f} s\n", flush=True)
    if done.returncode:
        sys.exit(f"exit code {done.returncode}: {command}")


def main() -> None:
    """Runs every section of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acdc", type=Path, help="ACDC, instead of generated volumes")
    parser.add_argument("--dataset", type=Path, help="a data set in nnU-Net's or the MSD layout")
    given = parser.parse_args()
    for heading, commands in workflows():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(folder, given.acdc, given.dataset)
            add_scans(folder, any("Dataset001_Mine" in command for command in commands))
            print(f"## {heading}\n", flush=True)
            run('python -c "import spsam; print(spsam.__file__)"', folder)
            for command in commands:
                run(command, folder)


if __name__ == "__main__":
    main()
