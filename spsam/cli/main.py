"""The command `spsam`: its subcommands, and how errors are reported."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import spsam
from spsam.cli import (
    ablate,
    bench,
    data,
    doctor,
    evaluate,
    export,
    predict,
    pretrain,
    prompts,
    registry,
    report,
    runs,
    sweep,
    sync,
    train,
    ui,
    view,
)
from spsam.cli.numbers import bounded
from spsam.cli.streams import open_closed_streams, shown_streams
from spsam.errors import InputError, SpsamError, shortened

# Errors of the operating system are not bugs of spsam: each is reported with advice.
_ADVICE = {
    errno.ENAMETOOLONG: "names have at most 255 bytes; choose a shorter one",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space and rerun the command"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "choose a folder you can write to"),
    errno.EFBIG: "the file system does not support files of this size",
    errno.EIO: "the disk reports an error; check the system log",
}


class Verbs(TyperGroup):
    """The subcommands; the exit code is 2 for invalid input and 1 for any other failure."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the subcommand; every error becomes one line on stderr, without a traceback."""
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
            if isinstance(error, BrokenPipeError):
                raise  # the reader closed the pipe: not an error
            wrong = error.errno == errno.ENAMETOOLONG
            typer.echo(f"{'error' if wrong else 'failed'}: {_told(error)}", err=True)
            raise typer.Exit(2 if wrong else 1) from error


def _told(error: OSError) -> str:
    """The error, the path it concerns, and what to do about it."""
    if isinstance(error, FileNotFoundError) and not _has_working_directory():
        return "the working directory was removed: change to an existing folder"
    # A short write has no error number; its text reports how much was written.
    number = error.errno or (errno.ENOSPC if "written" in str(error) else 0)
    what = error.strerror or str(error) or type(error).__name__
    place = f"{shortened(str(error.filename), 200)}: " if error.filename else ""
    advice = _ADVICE.get(number, "rejected by the operating system; check the path")
    return f"{place}{what}: {advice}"


def _has_working_directory() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


app = typer.Typer(
    name="spsam",
    cls=Verbs,
    help="Self-Prompt SAM, block by block: ablations on medical volumes, tracked and resumable.",
    epilog="Example: spsam ablate S1..S9 --data phantom",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Markup would remove text in brackets, such as defaults.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ablate", epilog=ablate.EPILOG)(bounded(ablate.ablate))
app.command("train", epilog=train.EPILOG)(bounded(train.train))
app.command("bench", epilog=bench.EPILOG)(bounded(bench.bench))
app.command("predict", epilog=predict.EPILOG)(bounded(predict.predict))
app.command("evaluate", epilog=evaluate.EPILOG)(bounded(evaluate.evaluate))
app.command("export", epilog=export.EPILOG)(bounded(export.export))
app.command("pretrain", epilog=pretrain.EPILOG)(bounded(pretrain.pretrain))
app.command("prompts", epilog=prompts.EPILOG)(bounded(prompts.prompts))
app.add_typer(data.app, name="data")
app.add_typer(registry.app, name="registry")
app.add_typer(report.app, name="report")
app.command("runs", epilog=runs.EPILOG)(bounded(runs.runs))
app.command("sweep", epilog=sweep.EPILOG)(bounded(sweep.sweep))
app.command("doctor", epilog=doctor.EPILOG)(bounded(doctor.doctor))
app.command("sync", epilog=sync.EPILOG)(bounded(sync.sync))
app.command("ui", epilog=ui.EPILOG)(bounded(ui.ui))
app.command("view", epilog=view.EPILOG)(bounded(view.view))


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
    """Options before a subcommand."""


def main() -> None:
    """Runs the command line; entry point of the installed program `spsam`."""
    open_closed_streams()
    # Tables contain ± and –: a terminal that cannot print them shows ? instead of a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app()
