"""Finding runs by study and arm, as the latest, by id, or by path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.config.identity import identity
from spsam.errors import InputError, SpsamError, nearest, shortened
from spsam.registry.files import natural
from spsam.results.run_folder import RunFolder
from spsam.studies.runs.listing import Listing, RunEntry, list_runs, read_config

LATEST = "latest"
ALL = "all"
"""Takes the place of a seed, and stands for all seeds, whose logits are averaged."""
MODEL = ".zip"
"""Suffix of the file of an exported model."""

_HASH = re.compile(r"-[0-9a-f]{8}$")
_SHORTEST_PREFIX = 4
_SHOWN = 8
WAYS = (
    "a folder or checkpoint.pt of a run, a model.zip, STUDY/ARM[/SEED[/FOLD]], an arm's name, "
    "'latest', or the beginning of an id"
)


@dataclass(frozen=True)
class FoundRuns:
    """Trained runs that were found.

    Attributes:
        files: Their checkpoints, or the file of an exported model.
        notes: Notes for the user on the selection.
    """

    files: Sequence[Path]
    notes: Sequence[str] = ()


def find_runs(word: str, home: Path) -> FoundRuns | None:
    """Finds the trained runs with a name; an arm's name stands for all its folds.

    Args:
        word: A name in one of the forms of `WAYS`.
        home: The folder of all results.

    Returns:
        The runs; None if there are none with this name.

    Raises:
        InputError: If the name is ambiguous, or its runs are not finished.
    """
    file = by_path(word, home)
    if file is not None:
        return FoundRuns([file])
    found = _named(word, list_runs(home))
    if found is None:
        return None
    runs, notes = found
    lost = [str(run.folder.checkpoint) for run in runs if not has_checkpoint(run.folder.path)]
    if lost:
        raise InputError(f"{word}: the checkpoint was removed: {', '.join(lost)}")
    return FoundRuns([run.folder.checkpoint for run in runs], notes)


def find_run(word: str, home: Path, option: str = "--run ") -> RunFolder:
    """Finds the one finished run with a name.

    Args:
        word: A name as for `find_runs`, but not an exported model.
        home: The folder of all results.
        option: The option that precedes the name in error messages.

    Raises:
        InputError: If there is no such run, there are several, or it is not finished.
    """
    path = Path(word)
    if path.suffix.lower() == MODEL and path.is_file():
        message = "an exported model has neither cases nor predictions; give the run itself"
        raise InputError(f"{option}{word}: {message}")
    folder = RunFolder(home, word)
    if path.is_dir() and path.resolve().parent.name == "runs":
        folder = RunFolder(path.resolve().parents[1], path.resolve().name)
    if not folder.config.is_file():
        listing = list_runs(home)
        found = _named(word, listing)
        if found is None:
            raise unknown(f"{option}{word}", word, home, listing)
        runs, _ = found
        if len(runs) > 1:
            message = f"{option}{word}: found {len(runs)} runs; select one of:"
            raise InputError(f"{message} {_list(runs)}")
        folder = runs[0].folder
    if folder.status != "finished" or not folder.checkpoint.is_file():
        raise InputError(f"{option}{word}: the run is not finished: {folder.path}")
    return folder


def unknown(place: str, word: str, home: Path, listing: Listing | None = None) -> InputError:
    """Returns the error for a name without runs, with the possible forms and similar names."""
    listing = listing or list_runs(home)
    names = [run.name for run in listing.runs] + [run.run_id for run in listing.runs]
    arms = [
        name
        for run in listing.runs
        if run.arm
        for home, arm in run.places
        for name in (arm, f"{home}/{arm}")
    ]
    near = nearest(word, dict.fromkeys([*arms, *names]))
    if "did you mean" not in near:
        # Listing every name of a large folder would fill a page.
        known = sorted({run.arm for run in listing.runs if run.arm}, key=natural)
        more = ", …" if len(known) > _SHOWN else ""
        near = f"; known arms: {', '.join(known[:_SHOWN])}{more} (spsam runs lists all)"
    if not listing.runs:
        near = f"; there are no runs in {home}"
    return InputError(f"{place}: there is no such trained run: expected {WAYS}{near}")


def by_path(word: str, home: Path) -> Path | None:
    """Returns the checkpoint of a run's folder, file or id, or a model's file; None if no path."""
    path = Path(word).expanduser()
    if path.suffix == ".pt" or (path.suffix.lower() == MODEL and path.is_file()):
        return path
    try:
        for folder in (path, home / "runs" / word):
            if has_checkpoint(folder):
                return folder / "checkpoint.pt"
    except (OSError, ValueError):
        return None  # a name that is invalid in the file system is not a path
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder contains a checkpoint, or the previous one."""
    names = ("checkpoint.pt", "checkpoint.previous.pt")
    return any((folder / name).is_file() for name in names)


def _named(word: str, listing: Listing) -> tuple[list[RunEntry], list[str]] | None:
    """Returns the finished runs with a name, and notes.

    Raises:
        InputError: If the name is ambiguous, or its runs are not finished.
    """
    if word == LATEST:
        return [_latest(listing)], []
    groups = _groups(word, listing.runs)
    if groups:
        return _chosen(word, groups)
    if len(word) < _SHORTEST_PREFIX:
        return None
    runs = [run for run in listing.runs if run.run_id.startswith(word)]
    if len(runs) > 1:
        raise InputError(f"{shortened(word)}: several ids begin with it: {_list(runs)}")
    return (_finished(word, runs), []) if runs else None


def _latest(listing: Listing) -> RunEntry:
    done = [run for run in listing.runs if run.state == "finished" and not run.sweeps]
    if not done:
        raise InputError("latest: no run is finished yet; spsam runs lists all")
    return max(done, key=lambda run: run.when or 0)


def _groups(word: str, runs: Sequence[RunEntry]) -> dict[str, list[RunEntry]]:
    """Returns the runs with a name by `STUDY/ARM`; an arm's name alone excludes trials."""
    wanted = word.split("/")
    everything = ALL in wanted[1:]
    groups: dict[str, list[RunEntry]] = {}
    for run in runs:
        if run.seed is None or run.fold is None:
            continue
        seed = ALL if everything else str(run.seed)
        for home, name in run.places:
            arm = name.split("/")
            below = [*arm, seed, str(run.fold)]
            ends = range(len(arm), len(below) + 1)
            # The hash at the end of a study's name can be omitted.
            homes = {home, _HASH.sub("", home)}
            starts = [[each, *below[:end]] for each in homes for end in ends]
            if home not in run.sweeps:
                starts += [below[:end] for end in ends]
            if wanted in starts:
                groups.setdefault(f"{home}/{name}", []).append(run)
    return groups


def _chosen(word: str, groups: dict[str, list[RunEntry]]) -> tuple[list[RunEntry], list[str]]:
    done = {
        name: {run.run_id for run in runs if run.state == "finished"}
        for name, runs in groups.items()
    }
    # Studies share runs: a group whose runs are all in another one does not make it ambiguous.
    distinct: list[str] = []
    for name in sorted(groups, key=lambda each: -len(done[each])):
        if done[name] and not any(done[name] <= done[other] for other in distinct):
            distinct.append(name)
    if len(distinct) > 1:
        typed = word.split("/")
        arm = distinct[0].split("/")[1:]
        rest = typed[len(typed) - _after(typed, arm) :]
        named = ["/".join([name, *rest]) for name in sorted(distinct)]
        message = f"{shortened(word)}: is an arm of several studies; select one: "
        raise InputError(message + ", ".join(named))
    name = distinct[0] if distinct else next(iter(groups))
    runs = _finished(word, groups[name])
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    if len(seeds) > 1 and ALL not in word.split("/"):
        numbers = ", ".join(map(str, seeds))
        raise InputError(
            f"{shortened(word)}: has seeds {numbers}: select one ({name}/{seeds[0]}), or "
            f"{name}/{ALL} for the mean of all"
        )
    _refuse_unlike(word, runs)
    missing = [run for run in groups[name] if run not in runs and run.seed in seeds]
    notes = [f"{word}: omits {run.name}, which is {run.state}" for run in missing]
    return runs, notes


def _after(typed: Sequence[str], arm: Sequence[str]) -> int:
    """Returns the number of parts after the arm's name."""
    before = 1 if list(typed[1 : 1 + len(arm)]) == list(arm) else 0
    return len(typed) - before - len(arm)


def _finished(word: str, runs: Sequence[RunEntry]) -> list[RunEntry]:
    done = [run for run in runs if run.state == "finished"]
    if not done:
        states = ", ".join(f"{run.name} is {run.state}" for run in runs[:_SHOWN])
        raise InputError(f"{shortened(word)}: no run with this name is finished: {states}")
    return done


def _refuse_unlike(word: str, runs: Sequence[RunEntry]) -> None:
    """Rejects an ensemble of runs that differ in more than seed and fold."""
    if len(runs) < 2:
        return
    kinds = []
    for run in runs:
        try:
            content = identity(read_config(run.folder))
        except SpsamError as error:
            raise InputError(f"{shortened(word)}: {error}") from error
        content.pop("seed")
        # Each fold may be initialised with the run of its own fold.
        content["initial_sha256"] = content.get("initial_sha256") is not None
        for key in ("fold", "split_hash"):
            content["data"].pop(key)
        kinds.append(content)
    places = [(run.seed, run.fold) for run in runs]
    if any(kind != kinds[0] for kind in kinds) or len(set(places)) < len(places):
        raise InputError(
            f"{shortened(word)}: runs with this name have different values or data; select one by "
            f"its id: {', '.join(f'{run.run_id} ({run.name})' for run in runs[:_SHOWN])}"
        )


def _list(runs: Sequence[RunEntry]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(run.name for run in runs[:_SHOWN]) + more
