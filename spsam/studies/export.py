"""Export of trained runs into one file for distribution, with a model card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spsam.config.places import shipped
from spsam.config.problems import gather, raise_all
from spsam.errors import InputError, Problem, SpsamError
from spsam.files import clear_drafts
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.networks import used_slots
from spsam.registry.slots import NETWORK
from spsam.studies.planned_export import Export
from spsam.studies.runs.recipes import is_model, read_recipes, rows_of, summary_of
from spsam.studies.runs.reference import MODEL, find_runs, unknown

if TYPE_CHECKING:
    from spsam.engine.recipe import Recipe

NOT_STATED = "not stated: ask the person from whom you received this file"

_CARRIED = (".py", ".yaml", ".yml", ".md", ".txt")
_MOST_FILES, _LARGEST_FILE = 200, 4 << 20


def plan_export(
    named: Sequence[str],
    *,
    home: Path,
    plugins: Sequence[Path] = (),
    licence: str | None = None,
    replace: bool = False,
) -> Export:
    """Finds the runs and everything that belongs to them; writes nothing.

    Args:
        named: The runs, in the forms of `spsam.studies.runs.reference.WAYS`, then the `.zip` file.
        home: The folder of all results.
        plugins: Folders with the user's own components that the runs use.
        licence: The licence of the trained blocks, as text.
        replace: Whether an existing file is replaced.

    Raises:
        InputError: With every problem.
    """
    from spsam.engine.recipe import check_ensemble
    from spsam.engine.weights import origin_of

    *words, last = named
    path = Path(last).expanduser()
    problems: list[Problem] = []
    if path.suffix.lower() != MODEL or not words:
        raise InputError(f"{last}: expected runs, then the model's file, which ends in .zip")
    if path.is_dir() or (path.exists() and not replace):
        message = "exists already; give another name, or replace it with --replace"
        problems.append(Problem(message, path))
    recipes, notes = _found(words, home, plugins, problems)
    raise_all(problems)
    check_ensemble(recipes)
    own = _own_cards(recipes, plugins)
    summary, more = _scored(recipes)
    # From the hash alone: the file may be absent, and its name may be private.
    origins = [origin_of(recipe.config, None) for recipe in recipes]
    strange = [
        f"SAM's weights with SHA-256 {origin.sha256} are neither official nor shipped, and are not "
        "part of the model: distribute their file as well"
        for origin in origins
        if origin is not None and origin.kind == "other"
    ]
    notes = list(dict.fromkeys([*notes, *more, *strange]))
    carried = dict(_carried(own))
    return Export(path, recipes, origins, summary, own, carried, licence or NOT_STATED, notes)


def export(planned: Export) -> None:
    """Writes the file, completely or not at all.

    Raises:
        InputError: If a configuration contains a path of this machine.
        SpsamError: If the disk is full or write-protected.
    """
    from spsam.engine.exchange.model import write_model
    from spsam.studies.model_card import licence_text, model_card

    clear_drafts(planned.path.parent)
    write_model(
        planned.path,
        planned.recipes,
        card=model_card(planned),
        licence=licence_text(planned),
        summary=planned.summary,
        weights=[None if origin is None else origin.to_dict() for origin in planned.origins],
        plugins=planned.plugins,
    )


def _found(
    words: Sequence[str], home: Path, plugins: Sequence[Path], problems: list[Problem]
) -> tuple[list[Recipe], list[str]]:
    """Returns the runs, each once, and notes on them; problems are added to `problems`."""
    recipes: list[Recipe] = []
    notes: list[str] = []
    for word in words:
        with gather(problems):
            found = find_runs(word, home)
            if found is None:
                raise unknown(word, word, home)
            notes += found.notes
            for file in found.files:
                if is_model(file):
                    raise InputError(Problem("is an exported model already: give runs", file))
                if not any(file.resolve() == each.path.resolve() for each in recipes):
                    recipes += read_recipes(file, plugins)
    return recipes, notes


def _scored(recipes: Sequence[Recipe]) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the means of the runs' scores, and notes on the runs."""
    rows, notes = [], []
    for recipe in recipes:
        if recipe.steps < recipe.total:
            notes.append(f"{recipe.path}: trained for {recipe.steps} of {recipe.total} steps")
        try:
            rows += rows_of(recipe)
        except SpsamError as error:
            notes.append(f"{error}; the card omits these scores")
    return summary_of(rows), notes


def _own_cards(recipes: Sequence[Recipe], plugins: Sequence[Path]) -> list[Card]:
    """Returns the cards of components that another installation of spsam lacks."""
    catalogue, ours = Catalogue.load(plugins), shipped("registry")
    cards: dict[Path, Card] = {}
    for recipe in recipes:
        arm = recipe.config.arm
        chosen = [
            (slot, each) for slot in used_slots(arm, catalogue) for each in arm.blocks.of(slot)
        ]
        for slot, block in [(NETWORK.name, arm.network), *chosen]:
            card = catalogue.card(slot, block.name)
            if not card.file.is_relative_to(ours):
                cards[card.file] = card
    return list(cards.values())


def _carried(cards: Sequence[Card]) -> Iterator[tuple[str, bytes]]:
    """Yields source files, cards and texts of the plugins to which the cards belong.

    Raises:
        InputError: If there are too many of them, or one is too large.
    """
    folders = list(dict.fromkeys(card.plugin for card in cards if card.plugin is not None))
    for number, folder in enumerate(folders):
        root = folder.resolve()
        files = [
            file
            for file in sorted(root.rglob("*"))
            if file.suffix.lower() in _CARRIED
            and file.is_file()
            and file.resolve().is_relative_to(root)
            and not any(part.startswith((".", "__")) for part in file.relative_to(root).parts[:-1])
            and not file.name.startswith(".")
        ]
        if len(files) > _MOST_FILES:
            message = f"contains {len(files)} source files, expected at most {_MOST_FILES}: give a"
            raise InputError(Problem(f"{message} folder with the components only", folder))
        large = [file for file in files if file.stat().st_size > _LARGEST_FILE]
        if large:
            raise InputError([Problem("is too large to be a source file", file) for file in large])
        start = root.name if len(folders) == 1 else f"{number}-{root.name}"
        for file in files:
            yield f"{start}/{file.relative_to(root).as_posix()}", file.read_bytes()
