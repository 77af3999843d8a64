"""`spsam data`: lists known data sets, checks your own and prepares it for training."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spsam.cli.options import (
    AsJson,
    DryRun,
    OneFold,
    Out,
    Processes,
    SplitName,
    parse_fold,
)
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.data.cases import DataSet
    from spsam.data.checking.facts import DataReport

app = typer.Typer(
    help="List known data sets; check and prepare your own.",
    epilog="Example: spsam data check path/to/ACDC",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list", epilog="Example: spsam data list --json")
def list_data(as_json: AsJson = False) -> None:
    """List the data sets and layouts that `--data` accepts."""
    from spsam.data.dataset import BUILT_IN, LAYOUTS
    from spsam.data.sources import volumes
    from spsam.data.sources.known import KNOWN

    if as_json:
        content = {
            "built_in": list(BUILT_IN),
            "layouts": [layout.description for layout in LAYOUTS],
            "new_scans": volumes.LAYOUT,
            "known": [
                {
                    "name": known.name,
                    "title": known.title,
                    "modality": known.modality,
                    "ids": dict(known.organs),
                    "classes": list(known.classes),
                    "splits": {
                        name: {part: len(patients) for part, patients in parts.items()}
                        for name, parts in known.splits.items()
                    },
                    "source": known.source,
                }
                for known in KNOWN
            ],
        }
        typer.echo(json.dumps(content, indent=2))
        return
    typer.echo(f"built in: {', '.join(BUILT_IN)}\n\nfolders, by layout:")
    for layout in LAYOUTS:
        typer.echo(f"  {layout.description}")
    typer.echo(f"\nnew scans, for prediction: {volumes.LAYOUT}\n\nknown data sets:")
    for known in KNOWN:
        typer.echo(f"  {known.name} – {known.title} ({known.modality}); {known.source}")
        typer.echo(f"    classes  {', '.join(known.classes[1:])}")
        for name, parts in known.splits.items():
            sizes = " / ".join(str(len(patients)) for patients in parts.values())
            typer.echo(f"    split    {name}: {sizes} patients")
    typer.echo("\nAll support five_fold, split by patient. Check your own: spsam data check PATH")


@app.command("check", epilog="Example: spsam data check path/to/ACDC --json")
def check_data(
    path: Annotated[str, typer.Argument(help="Folder in a known layout, or new scans.")],
    split: SplitName = None,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Examine every case and report problems. Files are not modified.

    The exit code is 2 if training would fail.
    """
    from spsam.cli.progress import watched
    from spsam.data.checking.examine import examine

    try:
        dataset = _open(path)
    except InputError as error:
        if as_json:
            content = {"data": path, "errors": [str(problem) for problem in error.problems]}
            typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
            raise typer.Exit(2) from error
        raise
    report = watched(
        lambda watch: examine(
            dataset, split=split, workers=processes, progress=partial(watch.stage, "checking")
        )
    )
    typer.echo(_as_json(report) if as_json else _as_text(report))
    if report.errors:
        raise typer.Exit(2)


@app.command("prepare", epilog="Example: spsam data prepare path/to/ACDC")
def prepare_data(
    path: Annotated[str, typer.Argument(help="`phantom`, or a folder in a known layout.")],
    *,
    split: SplitName = None,
    fold: OneFold = "0",
    out: Out = None,
    processes: Processes = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Preprocess a data set.

    Training preprocesses the data if needed.
    """
    from spsam.cli.progress import watched
    from spsam.config.places import home
    from spsam.config.schema import PatchConfig
    from spsam.data.dataset import open_dataset
    from spsam.data.plan import plan
    from spsam.data.preparation.prepare import prepare, prepared_folder
    from spsam.data.split import split_cases

    dataset = open_dataset(path)
    chosen = split_cases(dataset, split, parse_fold(fold))
    made = plan(dataset, chosen.train, **PatchConfig().model_dump())
    folder = home(out) / "prepared"
    target = prepared_folder(dataset, made, folder)
    was_there = target.is_dir()
    if not dry_run:
        watched(
            lambda watch: prepare(
                dataset, made, folder, workers=processes, progress=partial(watch.stage, "preparing")
            )
        )
    content: dict[str, Any] = {
        "folder": str(target),
        "cases": len(dataset.cases),
        "spacing": list(made.spacing),
        "anisotropic": made.anisotropic,
        "orientation": made.orientation,
        "crop": made.crop,
        "intensities": made.modality,
        "split": chosen.name,
        "was_prepared": was_there,
        "bytes": sum(file.stat().st_size for file in target.glob("*")) if target.is_dir() else 0,
    }
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    spacing = " × ".join(f"{value:.4g}" for value in made.spacing)
    depth = "slices as acquired" if made.anisotropic else "resampled on every axis"
    typer.echo(f"{dataset.name}: {len(dataset.cases)} cases, resampled to {spacing} mm (z × y × x)")
    typer.echo(f"  {depth}; orientation {made.orientation}; {_scheme(made.modality, made.crop)}")
    state = "to be stored in" if dry_run else "already in" if was_there else "stored in"
    size = f", {content['bytes'] / 1e6:.1f} MB" if target.is_dir() else ""
    typer.echo(f"  {state} {target}{size}")


def _scheme(modality: str, crop: bool) -> str:
    if modality == "CT":
        return "clipped to the 0.5–99.5 percentiles of the training foreground, z-score"
    return "cropped to nonzero voxels, z-score of these" if crop else "z-score of each volume"


def _open(path: str) -> DataSet:
    """Opens a data set, or a folder of new scans as a data set without classes."""
    from spsam.data.dataset import LAYOUTS, open_dataset, open_scans

    place = Path(path)
    try:
        return open_dataset(path)
    except InputError as error:
        known = place.is_dir() and any(layout.recognise(place) for layout in LAYOUTS)
        if known or not place.exists():
            raise
        try:
            return open_scans(place)
        except InputError as scans:
            # Both readings are possible: report the problems of both.
            raise InputError([*error.problems, *scans.problems]) from None


def _as_json(report: DataReport) -> str:
    dataset = report.dataset
    content: dict[str, Any] = {
        "data": dataset.name,
        "fingerprint": dataset.fingerprint,
        "modality": dataset.modality,
        "channels": list(dataset.channel_names),
        "classes": list(dataset.class_names),
        "cases": len(dataset.cases),
        "patients": len({case.patient for case in dataset.cases}),
        "regions": {
            region.name: [dataset.class_names[k] for k in region.classes]
            for region in dataset.regions
        },
        "ignored": {}
        if dataset.ignore_id is None
        else {"id": dataset.ignore_id, "share": round(report.ignored, 4)},
        "orientations": report.orientations,
        "cases_of_class": report.cases_of_class,
        "split": None,
        "notes": _notes(report),
        "errors": [str(problem) for problem in report.errors],
        "warnings": [str(problem) for problem in report.warnings],
        "geometry": {
            each.id: {"size": each.geometry.shape, "spacing": each.geometry.spacing}
            for each in report.facts
            if each.geometry
        },
    }
    if report.split is not None:
        sizes = {part: len(getattr(report.split, part)) for part in ("train", "val", "test")}
        content["split"] = {"name": report.split.name, "hash": report.split.hash, **sizes}
    return json.dumps(content, indent=2, ensure_ascii=False)


def _notes(report: DataReport) -> list[str]:
    return [*report.dataset.notes, *(report.split.notes if report.split else ())]


def _as_text(report: DataReport) -> str:
    dataset = report.dataset
    patients = len({case.patient for case in dataset.cases})
    channels = ", ".join(dataset.channel_names)
    lines = [
        f"{dataset.name}: {_count(len(dataset.cases), 'case')} of {_count(patients, 'patient')}, "
        f"{channels}",
        *_ranges(report),
        "  orientation  "
        + ", ".join(f"{code} {count}" for code, count in report.orientations.items()),
    ]
    if dataset.num_classes > 1:
        present = (f"{name} {count}" for name, count in report.cases_of_class.items())
        lines.append(f"  cases with   {', '.join(present)}")
    if dataset.regions:
        lines.append(f"  regions      {', '.join(_regions(dataset))}")
    if dataset.ignore_id is not None:
        lines.append(f"  ignored      id {dataset.ignore_id}: {report.ignored:.1%} of the voxels")
    if report.split is not None:
        split = report.split
        sizes = f"train {len(split.train)}, val {len(split.val)}, test {len(split.test)}"
        lines.append(f"  split        {split.name} ({split.hash}): {sizes}")
    lines += [f"  note         {note}" for note in _notes(report)]
    for title, problems in (("warning", report.warnings), ("error", report.errors)):
        if problems:
            lines += ["", f"{_count(len(problems), title)}:", *(f"  {each}" for each in problems)]
    verdict = "training would fail" if report.errors else "no problem that prevents training"
    return "\n".join([*lines, "", verdict])


def _regions(dataset: DataSet) -> list[str]:
    """The regions that unite several classes, with these classes."""
    return [
        f"{region.name} = {' + '.join(dataset.class_names[k] for k in region.classes)}"
        for region in dataset.regions
        if len(region.classes) > 1
    ]


def _count(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"


def _ranges(report: DataReport) -> list[str]:
    """Smallest, median and largest size and spacing along each axis of the array."""
    import numpy as np

    known = [each.geometry for each in report.facts if each.geometry]
    if not known:
        return []
    lines = []
    for title, values in (
        ("size", [geometry.shape for geometry in known]),
        ("spacing mm", [geometry.spacing for geometry in known]),
    ):
        low, middle, high = (
            np.min(values, axis=0),
            np.median(values, axis=0),
            np.max(values, axis=0),
        )
        shown = (" × ".join(f"{value:.4g}" for value in each) for each in (low, middle, high))
        lines.append(f"  {title:<12} {' … '.join(shown)}  (z × y × x; min … median … max)")
    return lines
