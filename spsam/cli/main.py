"""The command `spsam`: its verbs, and what a mistake looks like."""

from __future__ import annotations

import errno
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import spsam
from spsam.cli import (
    ablate,
    bench,
    data,
    evaluate,
    predict,
    pretrain,
    prompts,
    registry,
    report,
    sweep,
    sync,
    train,
    ui,
)
from spsam.cli.streams import shown_streams
from spsam.errors import InputError, SpsamError

# A full, protected or failing disk is no mistake of the program's.
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room and give the same command again"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "name a folder that is yours"),
    errno.EFBIG: "the disk takes no file so large",
    errno.EIO: "the disk fails: see the system's log",
}


class Verbs(TyperGroup):
    """Ends with 2 where the user's input is wrong and with 1 where something failed."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb; every mistake becomes one line on stderr, without a traceback."""
        with shown_streams():
            return self._invoke(ctx)

    def _invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            for problem in error.problems:
                typer.echo(f"error: {problem}", err=True)
            raise typer.Exit(2) from error
        except SpsamError as error:
            typer.echo(f"failed: {error}", err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            if error.errno not in _ADVICE:
                raise
            place = f"{error.filename}: " if error.filename else ""
            typer.echo(f"failed: {place}{error.strerror}: {_ADVICE[error.errno]}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="spsam",
    cls=Verbs,
    help="Self-Prompt SAM, block by block: ablations on medical volumes, tracked and resumable.",
    epilog="Example: spsam ablate S1..S9 --data phantom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Markup would swallow what stands in brackets, as defaults do.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ablate", epilog=ablate.EPILOG)(ablate.ablate)
app.command("train", epilog=train.EPILOG)(train.train)
app.command("bench", epilog=bench.EPILOG)(bench.bench)
app.command("predict", epilog=predict.EPILOG)(predict.predict)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command("pretrain", epilog=pretrain.EPILOG)(pretrain.pretrain)
app.command("prompts", epilog=prompts.EPILOG)(prompts.prompts)
app.add_typer(data.app, name="data")
app.add_typer(registry.app, name="registry")
app.add_typer(report.app, name="report")
app.command("sweep", epilog=sweep.EPILOG)(sweep.sweep)
app.command("sync", epilog=sync.EPILOG)(sync.sync)
app.command("ui", epilog=ui.EPILOG)(ui.ui)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(spsam.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a verb."""


def main() -> None:
    """Runs the command line; the installed program `spsam`."""
    # Tables hold ± and –: a terminal that cannot print them shows a ? instead of a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
