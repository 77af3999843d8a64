"""Options that several commands have, each with one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[str, typer.Option(help="A built-in data set or a folder.")]
Preset = Annotated[
    str | None, typer.Option(help="Schedule [default: demo on the phantom, cpu elsewhere].")
]
Fold = Annotated[int, typer.Option(help="Fold of the split.")]
SplitName = Annotated[
    str | None,
    typer.Option(
        help="five_fold, all, or a split's name or file [default: the preset's, the data set's]."
    ),
]
Validate = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="EPOCHS",
        help="Score validation cases every so many epochs; where the split names none, an eighth "
        "of the training patients is held back [default: none].",
    ),
]
Checkpoint = Annotated[Path | None, typer.Option(help="SAM's official weights.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
Devices = Annotated[
    int, typer.Option(min=1, help="How many devices of that kind share each batch.")
]
PatchWorkers = Annotated[
    int | None, typer.Option(min=0, max=1024, help="Processes that make training patches.")
]
Fit = Annotated[bool, typer.Option("--fit", help="Compute batches so that they fit into memory.")]
Memory = Annotated[
    float | None, typer.Option(min=0, help="GB that --fit may use [default: what is free].")
]
Out = Annotated[
    Path | None, typer.Option(help="Folder of results; else $SPSAM_HOME, else ./spsam-runs.")
]
Plugin = Annotated[
    list[Path] | None, typer.Option(help="Folder with blocks of your own. Repeatable.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
