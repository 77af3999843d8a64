"""`spsam report`: tables and figures of results, and the origin of every number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli import completion
from spsam.cli.options import PRESETS, AsJson, Plugin, Results, words
from spsam.errors import InputError, Problem, nearest
from spsam.extras import require

if TYPE_CHECKING:
    from spsam.reporting.report import Report

app = typer.Typer(
    help="Write tables, figures and an HTML page of results.",
    epilog="Example: spsam report --table my_table.yaml",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def report(  # noqa: PLR0917 - the command line's options
    context: typer.Context,
    out: Results = None,
    save: Annotated[
        Path | None, typer.Option(help="Output folder [default: report/ in each study's folder].")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Comma-separated: markdown, csv, latex, html.")
    ] = "markdown,csv,latex,html",
    table: Annotated[
        list[Path] | None, typer.Option(help="YAML file that defines a custom table. Repeatable.")
    ] = None,
    pdf: Annotated[
        bool, typer.Option(help="Compile the tables to PDF if LaTeX is installed.")
    ] = True,
    figures: Annotated[bool, typer.Option(help="Draw figures and write the HTML page.")] = True,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write tables and figures of all studies. Missing runs are gaps in the tables."""
    if context.invoked_subcommand is not None:
        return
    require("report", "spsam report")
    from spsam.config.places import folder_to_be, home
    from spsam.reporting.report import all_studies, write_report

    wanted = _formats(formats)
    save = save and folder_to_be(save)
    found = all_studies(home(out))
    reports = []
    for study in found:
        # Each of several studies gets its own folder.
        folder = save / study.name if save and len(found) > 1 else save
        done = write_report(
            study,
            folder,
            formats=wanted,
            own_tables=table or (),
            plugins=plugin or (),
            pdf=pdf,
            figures=figures,
        )
        reports.append(done)
        for warning in done.warnings:
            typer.echo(f"warning: {warning}", err=True)
        if not as_json:
            typer.echo(_text(done))
    if as_json:
        typer.echo(json.dumps([_plain(done) for done in reports], indent=2))


@app.command("trace", epilog="Example: spsam report trace ablation S6 dice")
def trace_number(
    table: Annotated[str, typer.Argument(help="Name of a table, or the path of one of its files.")],
    row: Annotated[str, typer.Argument(help="Name of a row, e.g. an arm.")],
    column: Annotated[str, typer.Argument(help="Name of a column, e.g. dice or 'dice: LV'.")],
    out: Results = None,
    as_json: AsJson = False,
) -> None:
    """Trace a number of a table to its origin.

    Print its runs, cases, configuration, git commit and data.
    """
    from spsam.config.places import home
    from spsam.reporting.trace import trace, trace_text

    found = trace(table, row, column, home(out))
    typer.echo(json.dumps(found, indent=2) if as_json else trace_text(found))


@app.command("verify", epilog="Example: spsam report verify")
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with results of record, also in subfolders [default: the shipped ones]."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recompute results of record from their scores.

    The exit code is 1 if anything differs.
    """
    require("report", "spsam report verify")
    from spsam.config.places import shipped
    from spsam.reporting.records.verify import find_records, verify_record

    place = folder or shipped("reports") / "results"
    records = find_records(place)
    if not records:
        raise InputError(
            Problem("contains no result of record; create one with spsam report record", place)
        )
    found: dict[str, list[str]] = {}
    for record in records:
        # Records in different subfolders can have the same name.
        name = record.name if record == place else record.relative_to(place).as_posix()
        found[name] = verify_record(record)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        for name, differences in found.items():
            typer.echo(f"{name}: {'differs' if differences else 'as recorded'}")
            for difference in differences:
                typer.echo(f"error: {difference}", err=True)
    raise typer.Exit(1 if any(found.values()) else 0)


@app.command("record", epilog="Example: spsam report record spsam-runs/ablations/mine --name mine")
def record(
    study: Annotated[Path, typer.Argument(help="Folder of a study.")],
    name: Annotated[str, typer.Option(help="Name of the result of record.")],
    save: Annotated[Path, typer.Option(help="Folder of the results of record.")] = Path(
        "reports/results"
    ),
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite a record of the same name.")
    ] = False,
) -> None:
    """Archive a study as a result of record.

    Includes its scores, configurations, environment and tables.
    """
    require("report", "spsam report record")
    from spsam.reporting.records.write import write_record

    folder = write_record(study, save / name, replace=replace)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    typer.echo(f"{folder}: {size / 1000:.0f} kB")
    typer.echo(f"spsam report verify {folder}: recomputes it")


@app.command("ledger", epilog="Example: spsam report ledger S9 --preset cpu")
def ledger(
    arm: Annotated[
        str,
        typer.Argument(help="Name of an arm, or a YAML file.", autocompletion=completion.arms),
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"Training preset: {PRESETS} [default: none].", autocompletion=completion.presets
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Protocol of the preset for a data set: acdc, synapse, …")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="markdown, csv, latex or html.")
    ] = "markdown",
    plugin: Plugin = None,
) -> None:
    """Print the fidelity ledger of an arm.

    Lists each setting with its value and source.
    """
    from spsam.registry.arms import load_arm
    from spsam.reporting.render.files import FORMATS
    from spsam.reporting.tables.ledger import ledger_table

    (wanted,) = _formats(formats, most=1)
    plugins = plugin or ()
    loaded = load_arm(arm, preset=preset, protocol=protocol, plugins=plugins)
    named = f"{preset} for {protocol}" if protocol else preset or "none"
    table = ledger_table(loaded.model_dump(mode="json"), named, plugins)
    typer.echo(FORMATS[wanted][1](table), nl=False)


def _formats(text: str, most: int | None = None) -> list[str]:
    from spsam.reporting.render.files import FORMATS

    named = words(text) or []
    wrong = [name for name in named if name not in FORMATS]
    problems = [Problem(f"--format {name}: unknown{nearest(name, FORMATS)}") for name in wrong]
    if not named or (most and len(named) > most):
        problems.append(Problem(f"--format {text}: expected {'one' if most else 'some'} of "
                                f"{', '.join(FORMATS)}"))  # fmt: skip
    if problems:
        raise InputError(problems)
    return list(dict.fromkeys(named))


def _text(done: Report) -> str:
    lines = [f"{done.study.name}: {len(done.tables)} tables in {done.folder}"]
    lines += [
        f"  figure {figure.name} omitted: {figure.caption}"
        for figure in done.figures
        if not figure.files
    ]
    lines += [f"  missing   {hole}" for hole in done.holes[:10]]
    if len(done.holes) > 10:
        lines.append(f"  and {len(done.holes) - 10} more (--json shows all)")
    return "\n".join([*lines, *[f"  {path}" for path in done.files]])


def _plain(done: Report) -> dict[str, Any]:
    return {
        "study": str(done.study),
        "folder": str(done.folder),
        "tables": {
            table.name: json.loads(table.frame().to_json(orient="records")) for table in done.tables
        },
        "figures": {
            figure.name: [str(file) for file in figure.files] or figure.caption
            for figure in done.figures
        },
        "files": [str(path) for path in done.files],
        "holes": list(done.holes),
        "warnings": list(done.warnings),
    }
