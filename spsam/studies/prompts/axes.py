"""The axes of a prompt study: its file, changes by the command line, and their validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from spsam.config.places import layers
from spsam.config.problems import Place, check, raise_all
from spsam.config.prompt_study import SOURCES, Disturbance, MaskPrompt, PromptStudyConfig
from spsam.config.schema import Block
from spsam.config.yaml_file import KeyPath, YamlFile, read_yaml
from spsam.errors import InputError, Problem, nearest
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import parameters, validate
from spsam.studies.prompts.cells import Form, PromptCell, PromptSource, Strategy, make_cells

if TYPE_CHECKING:
    from spsam.studies.prompts.request import PromptRequest

STUDY = "prompts.yaml"

KINDS = ("point", "box", "mask")
FORMS = ("binary", "logits", "log_odds")

Say = Callable[[str], Problem]


class PromptStudyFile:
    """The values of a prompt study, the place of each in the files, and the resulting cells.

    Args:
        request: The request.

    Raises:
        InputError: With every problem in the files.
    """

    def __init__(self, request: PromptRequest) -> None:
        self.request = request
        # Keys that the user's file omits are taken from the shipped one.
        self.files = [read_yaml(folder / STUDY) for folder in layers("ablations")[:1]]
        own = [folder / STUDY for folder in layers("ablations")[1:]]
        if request.study is not None:
            own = [request.study]
            if not request.study.is_file():
                raise InputError(f"the study file {request.study} does not exist")
        self.files += [read_yaml(path) for path in own if path.is_file()]
        data: dict[str, Any] = {}
        for file in self.files:
            data |= file.data
        config, problems = check(PromptStudyConfig, data, self.place)
        raise_all(problems)
        assert isinstance(config, PromptStudyConfig)
        changes: dict[str, Any] = {
            "prompts": request.prompts and tuple(request.prompts),
            "point": request.point and tuple(Block(name=name) for name in request.point),
            "mask": request.mask and tuple(MaskPrompt(name=name) for name in request.mask),
            "source": request.source and tuple(request.source),
            "seeds": request.seeds and tuple(request.seeds),
        }
        self.given = {key for key, value in changes.items() if value is not None}
        self.config = config.model_copy(update={key: changes[key] for key in self.given})

    def place(self, path: tuple[str | int, ...]) -> Place:
        """Returns the place of a value: the last file that contains its key."""
        has: list[YamlFile] = [file for file in self.files if path and path[0] in file.data]
        file = (has or self.files)[-1]
        return Place(file.path, file.line(path))

    def cells(self, own: MaskPrompt | None, problems: list[Problem]) -> list[PromptCell]:
        """Returns all cells.

        Args:
            own: The form of a run's own mask prompts, which is the default; None for plain SAM.
            problems: Receives the problems.
        """
        request, config = self.request, self.config
        catalogue = Catalogue.load(request.plugins)
        kinds = subsets(config.prompts, self._say("prompts"), problems)
        points = strategies(
            config.point,
            catalogue,
            lambda index: self._at("point", index),
            problems,
        )
        origins = sources(
            config.source,
            config.disturbances,
            has_run=request.run is not None,
            say=self._say("source"),
            problems=problems,
        )
        asked = config.mask if config.mask is not None or own is None else [own]
        masks = forms(asked, self._say("mask"), problems)
        return [] if problems else make_cells(kinds, points, origins, masks)

    def _at(self, key: str, index: int | None = None) -> Place:
        if key in self.given:
            return Place(None, None, f"--{key}")
        return self.place((key,) if index is None else (key, index))

    def _say(self, key: str) -> Say:
        return lambda message: self._at(key).problem(message)


def subsets(words: Iterable[str], say: Say, problems: list[Problem]) -> list[tuple[str, ...]]:
    """Parses subsets of point, box and mask from words such as `point+box`; each once."""
    found: dict[tuple[str, ...], None] = {}
    for word in words:
        kinds = [kind.strip() for kind in word.split("+")]
        wrong = [
            f"unknown kind of prompt '{kind}'{nearest(kind, KINDS)}"
            for kind in kinds
            if kind and kind not in KINDS
        ]
        if not all(kinds):
            wrong.append("a kind of prompt is missing; join point, box and mask by +")
        wrong += [
            f"'{kind}' occurs twice; a class has one set of each kind"
            for kind in dict.fromkeys(kinds)
            if kind in KINDS and kinds.count(kind) > 1
        ]
        problems += [say(f"prompts '{word}': {message}") for message in wrong]
        if not wrong:
            found[tuple(kind for kind in KINDS if kind in kinds)] = None
    if not found and not problems:
        problems.append(say("prompts: expected at least one of point, box and mask"))
    return list(found)


def strategies(
    blocks: Sequence[Block] | None,
    catalogue: Catalogue,
    place: Callable[[int], Place],
    problems: list[Problem],
) -> list[Strategy]:
    """Resolves components of the slot `prompt`, with their parameters.

    Args:
        blocks: Names and parameters; None for every component with its defaults.
        catalogue: The components.
        place: Returns the place of a block in the file, by its index.
        problems: Receives the problems.
    """
    if blocks is None:
        blocks = [Block(name=card.name) for card in catalogue.cards("prompt")]
    found: dict[str, Strategy] = {}
    for index, block in enumerate(blocks):
        at = place(index)
        try:
            card = catalogue.card("prompt", block.name)
            known = {parameter.name for parameter in parameters(card)}
        except InputError as error:
            message = error.problems[0].message.replace("unknown prompt", "unknown point strategy")
            problems.append(at.problem(message))
            problems += error.problems[1:]
            continue
        others = {"use": "prompts", "mask": "mask", "mask_values": "mask"}
        wrong = [
            f"point '{block.name}': set '{key}' with the study's key '{others[key]}'"
            for key in block.params
            if key in others and key in known
        ]
        if wrong:
            problems += map(at.problem, wrong)
            continue
        # All kinds are created once; kinds that a cell does not use are dropped later.
        params = ({"use": KINDS} if "use" in known else {}) | block.params
        values, mistakes = validate(card, params, partial(_constant, at), ())
        problems += mistakes
        if not mistakes:
            strategy = Strategy(card, dict(block.params), values)
            found[strategy.label] = strategy
    if not blocks:
        problems.append(Problem("point: expected at least one component of the slot 'prompt'"))
    return list(found.values())


def forms(asked: Sequence[MaskPrompt] | None, say: Say, problems: list[Problem]) -> list[Form]:
    """Returns the forms of the mask prompt, each once; None stands for all forms."""
    if asked is None:
        asked = [MaskPrompt(name=name) for name in FORMS]
    found: dict[Form, None] = {}
    for form in asked:
        if form.name not in FORMS:
            problems.append(say(f"unknown mask prompt '{form.name}'{nearest(form.name, FORMS)}"))
        elif form.values is not None and form.name != "binary":
            problems.append(say(f"mask '{form.name}': values apply to binary masks only"))
        else:
            found[Form(form.name, form.values)] = None
    if not asked:
        problems.append(say("mask: expected at least one form of the mask prompt"))
    return list(found)


def sources(
    words: Sequence[str] | None,
    disturbances: Sequence[Disturbance],
    *,
    has_run: bool,
    say: Say,
    problems: list[Problem],
) -> list[PromptSource]:
    """Returns the sources by name; `disturbed` stands for every disturbance.

    Args:
        words: Names of sources; None for all that are possible.
        disturbances: The study's disturbances.
        has_run: Whether a trained run provides auxiliary masks.
        say: Creates a problem from a message.
        problems: Receives the problems.
    """
    if words is None:
        words = [kind for kind in SOURCES if kind != "auxiliary" or has_run]
        words = [kind for kind in words if kind != "disturbed" or disturbances]
    named = {disturbance.name: disturbance for disturbance in disturbances}
    found: dict[PromptSource, None] = {}
    for word in words:
        if word in named:
            found[PromptSource("disturbed", named[word])] = None
        elif word not in SOURCES:
            problems.append(say(f"unknown source '{word}'{nearest(word, [*SOURCES, *named])}"))
        elif word == "auxiliary" and not has_run:
            problems.append(
                say(
                    "source 'auxiliary' requires a trained run (--run): plain SAM has no auxiliary "
                    "masks"
                )
            )
        elif word == "disturbed":
            found |= {PromptSource(word, disturbance): None for disturbance in disturbances}
            if not disturbances:
                problems.append(say("source 'disturbed': the study defines no disturbances"))
        else:
            found[PromptSource(word)] = None
    if not words:
        problems.append(say("source: expected at least one"))
    return list(found)


def _constant(place: Place, path: KeyPath) -> Place:
    return place
