"""`spsam runs`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli.options import AsJson, Out
from spsam.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spsam.studies.runs.listing import RunEntry

EPILOG = "Example: spsam runs --arm S9 --state finished"
_STATES = ("planned", "running", "interrupted", "finished", "failed", "damaged")


def runs(  # noqa: PLR0917 - the command line's options
    study: Annotated[str | None, typer.Option(help="Only runs of this study or sweep.")] = None,
    arm: Annotated[str | None, typer.Option(help="Only runs of this arm.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Only runs with this seed.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Only runs of this fold.")] = None,
    state: Annotated[
        str | None, typer.Option(help=f"Only runs in this state: {', '.join(_STATES)}.")
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder of results.

    Commands that take a run accept its name, STUDY/ARM/SEED/FOLD. Runs outside a study are called
    single/ARM/SEED/FOLD.
    """
    from spsam.config.places import home
    from spsam.studies.runs.listing import list_runs

    if state is not None and state not in _STATES:
        raise InputError(f"--state {state}: unknown{nearest(state, _STATES)}")
    listing = list_runs(home(out))
    wanted = {"seed": seed, "fold": fold, "state": state}
    chosen = [
        run
        for run in listing.runs
        if any(
            (study is None or study == home) and (arm is None or arm == name)
            for home, name in run.places
        )
        and all(value is None or getattr(run, name) == value for name, value in wanted.items())
    ]
    for problem in listing.problems:
        typer.echo(f"warning: {problem}", err=True)
    if as_json:
        typer.echo(json.dumps([_plain(run) for run in chosen], indent=2))
    elif chosen:
        _print(chosen)
    else:
        what = "no run matches" if listing.runs else "there are no runs"
        typer.echo(f"{what} in {home(out)}")


def _plain(run: RunEntry) -> dict[str, Any]:
    """A run in JSON: Dice in percent, times in UTC as ISO 8601."""
    when = None if run.when is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.when))
    return {
        "name": run.name,
        "run_id": run.run_id,
        "studies": [{"name": name, "arm": arm} for name, arm in run.studies],
        "sweeps": list(run.sweeps),
        "arm": run.arm,
        "seed": run.seed,
        "fold": run.fold,
        "state": run.state,
        "dice": None if run.dice is None else 100 * run.dice,
        "when": when,
        "folder": str(run.folder.path),
        "problem": run.problem or None,
    }


def _print(chosen: Sequence[RunEntry]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from spsam.text.escape import one_line

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("study", "arm", "seed", "fold", "state", "Dice", "when", "id"):
        right = head in ("seed", "fold", "Dice")
        table.add_column(head, justify="right" if right else "left", no_wrap=True)
    for run in chosen:
        when = "" if run.when is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(run.when))
        words = [
            ", ".join(dict.fromkeys(home for home, _ in run.places)),
            ", ".join(dict.fromkeys(name for _, name in run.places)),
            "" if run.seed is None else str(run.seed),
            "" if run.fold is None else str(run.fold),
            run.state,
            "" if run.dice is None else f"{100 * run.dice:.2f}",
            when,
            run.run_id,
        ]
        table.add_row(*[Text(one_line(word)) for word in words])
    # Names are never truncated: users copy them.
    needed = Console(width=10_000).measure(table).maximum
    console = Console()
    Console(width=max(console.width, needed)).print(table)
