"""Shell completion of arms, presets, components, studies and runs.

Completion must be fast: it reads only file names and descriptions of studies. It writes nothing,
and folders that cannot be read yield no suggestions, since a shell cannot show errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, cast

import typer

from spsam.config.places import Kind, home, layers

Complete = Callable[[typer.Context, str], list[str]]

_ARM = re.compile(r"^arm:\n  name: (\S+)$", re.MULTILINE)
"""The arm in a run's configuration as written by `spsam`; parsing YAML would take seconds."""
_HEAD = 200
_SINGLE = "single"
_NO_ARMS = ("prompts",)
"""Files in `ablations` that are not arms."""


def _quiet(offered: Callable[[typer.Context, str], Iterable[str]]) -> Complete:
    """Adapts a source of words to the command line: filters by prefix and suppresses errors."""

    @wraps(offered)
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            words = dict.fromkeys(offered(ctx, incomplete))
            return [word for word in words if word.startswith(incomplete)]
        except Exception:  # at the shell's boundary: a traceback would appear in the prompt
            return []

    return complete


@_quiet
def arms(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of arms."""
    return _names("ablations", ".")


@_quiet
def arms_and_studies(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of arms, also after a comma or at the end of a range, and names of studies."""
    before = re.match(r"(.*(?:,|\.\.))?", incomplete)
    start = before[0] if before else ""
    found = [f"{start}{name}" for name in _names("ablations", ".")]
    return found if start else [*found, *_names("ablations", "studies")]


@_quiet
def presets(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of presets."""
    return _names("ablations", "presets")


@_quiet
def sweeps(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of sweeps."""
    return _names("ablations", "sweeps")


@_quiet
def components(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Slots, components and SLOT/NAME; after a slot, the components of that slot."""
    slots = _components(_given(ctx, "plugin"))
    before = [str(word) for word in _given(ctx, "component")]
    if before:
        return slots.get(before[-1], []) if len(before) == 1 else []
    if "/" in incomplete:
        return [f"{slot}/{name}" for slot, names in slots.items() for name in names]
    return [*slots, *(name for names in slots.values() for name in names)]


@_quiet
def runs(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """Names of runs; after the first run, only for a word that is begun: files may follow."""
    if _given(ctx, "named") and not incomplete:
        return []
    return _runs(_home(ctx))


@_quiet
def runs_and_studies(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    """The same, with names of studies."""
    if _given(ctx, "named") and not incomplete:
        return []
    return [*(study for study, _ in _studies(_home(ctx))), *_runs(_home(ctx))]


def _names(kind: Kind, below: str) -> list[str]:
    files = [file for layer in layers(kind) for file in (layer / below).glob("*.yaml")]
    names = {file.stem for file in files} - set(_NO_ARMS if below == "." else ())
    return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in _parts(name)])


def _parts(name: str) -> list[str]:
    # Text and numbers alternate, text first, so that two keys compare part by part.
    return re.split(r"(\d+)", name)


def _components(plugins: Iterable[Any]) -> dict[str, list[str]]:
    folders = [*layers("registry"), *(Path(str(folder)) / "registry" for folder in plugins)]
    cards = [card for folder in folders for card in folder.glob("*/*.yaml")]
    found: dict[str, set[str]] = {}
    for card in cards:
        found.setdefault(card.parent.name, set()).add(card.stem)
    return {slot: sorted(found[slot]) for slot in sorted(found)}


def _runs(folder: Path) -> Iterator[str]:
    """`latest`; arms, with and without their study; ids."""
    ids = sorted(path.name for path in (folder / "runs").glob("[!.]*") if path.is_dir())
    if not ids:
        return
    yield "latest"
    known: set[str] = set()
    named: dict[str, None] = {}
    for study, about in _studies(folder):
        for arm in about["arms"]:
            named |= {arm["name"]: None, f"{study}/{arm['name']}": None}
            known |= set(arm["run_ids"])
    for run_id in ids:
        if run_id not in known and (arm := _arm_of(folder / "runs" / run_id)):
            named |= {arm: None, f"{_SINGLE}/{arm}": None}
    yield from named
    yield from ids


def _studies(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((folder / "ablations").glob("[!.]*/ablation.json")):
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            yield str(about["name"]), {"arms": about["arms"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # skips a damaged description


def _arm_of(run: Path) -> str:
    try:
        with (run / "config.yaml").open(encoding="utf-8") as file:
            found = _ARM.search(file.read(_HEAD))
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""


def _home(ctx: typer.Context) -> Path:
    out = ctx.params.get("out")
    return home(None if out is None else Path(out))


def _given(ctx: typer.Context, name: str) -> list[Any]:
    """The values of an option or argument given so far."""
    return list(cast("list[Any] | None", ctx.params.get(name)) or [])
