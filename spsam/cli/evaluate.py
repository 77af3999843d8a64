"""`spsam evaluate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from spsam.cli.options import AsJson
from spsam.text.escape import one_line

EPILOG = "Example: spsam evaluate segmented/ labels/ --save scores/"


def evaluate(  # noqa: PLR0917 - the command line's options
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[
        Path, typer.Argument(help="Folder of reference label maps: same file names, or NAME_gt.")
    ],
    classes: Annotated[
        str | None,
        typer.Option(
            help="NAME=ID,…; a region NAME=ID+ID [default: those recorded by spsam predict, else "
            "all ids]."
        ),
    ] = None,
    ignore: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Id in the references of voxels to exclude [default: as recorded by "
            "spsam predict, else as declared in ../dataset.json].",
        ),
    ] = None,
    convention: Annotated[
        str, typer.Option(help="Score of an empty class: nnunet, nnformer or transunet.")
    ] = "nnunet",
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="Tolerance of the surface Dice, mm [default: 2].")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Output folder of scores.csv and scores.json [default: not written]."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score label maps, per case and class.

    Reports Dice, IoU, HD95, surface Dice and volume error.
    """
    from spsam.cli.progress import watched
    from spsam.config.places import folder_to_be
    from spsam.studies.scores import plan_scoring, score, to_json, write_scores

    save = save and folder_to_be(save)
    planned = plan_scoring(
        predictions,
        references,
        classes=classes,
        ignore=ignore,
        convention=convention,
        tolerance=tolerance,
    )
    scores = watched(lambda watch: score(planned, watch))
    files = write_scores(save, planned, scores) if save is not None else []
    if as_json:
        typer.echo(json.dumps(to_json(planned, scores), indent=2))
        return
    _print(to_json(planned, scores))
    for file in files:
        typer.echo(str(file))


def _print(result: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    means = result["means"]
    assert isinstance(means, dict)
    ignore = result["ignore"]
    ignored = "" if ignore is None else f"; voxels with id {ignore} in the references excluded"
    table = Table(
        caption=f"Means over {result['cases']} cases, then over classes; convention for empty "
        f"classes: {result['convention']}; tolerance of the surface Dice: "
        f"{result['surface_dice_tolerance_mm']} mm; volume error: (predicted - reference) / "
        f"reference{ignored}",
    )
    heads = ("class", "Dice %", "IoU %", "HD95 mm", "surface Dice %", "volume error %")
    for head in heads:
        table.add_column(head, justify="left" if head == "class" else "right")
    for name, values in means.items():
        cells = [
            "–" if value is None else _shown(value if metric == "hd95" else 100 * value)
            for metric, value in values.items()
        ]
        table.add_row(Text(one_line(name)), *cells)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(table)


def _shown(value: float) -> str:
    """Two decimals, or two significant digits for values below 0.01."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"
