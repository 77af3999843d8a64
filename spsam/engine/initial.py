"""Trained blocks of an earlier run as the initial weights of another: fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spsam.errors import InputError, Problem
from spsam.registry.slots import SLOTS
from spsam.text.escape import one_line

if TYPE_CHECKING:
    from torch import Tensor

    from spsam.config.schema import ArmConfig
    from spsam.engine.segment import Recipe
    from spsam.model.networks.base import Network

MODEL = ".zip"
Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class InitialBlocks:
    """What a run takes from an earlier one. Survives pickling: the weights stay in their file.

    Attributes:
        file: The checkpoint or exported model.
        number: Of the run in the model; 0 of a checkpoint.
        taken: Names of the blocks that are taken.
        left: Why each other block is not: block -> reason.
        sha256: Of the weights that are taken, with their names.
        source: The earlier run, as plain values for `run.json`.
        notes: What the user should know of the choice.
    """

    file: Path
    number: int
    taken: tuple[str, ...]
    left: Mapping[str, str]
    sha256: str
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What is recorded, without the file's path."""
        return {
            **self.source,
            "sha256": self.sha256,
            "blocks": list(self.taken),
            "left": dict(self.left),
        }

    @property
    def words(self) -> str:
        """Where the initial weights come from, for captions."""
        source = self.source
        run = f"{source['arm']} seed {source['seed']} fold {source['fold']} on {source['data']}"
        return one_line(f"{', '.join(self.taken)} of {run} (run {source['run_id']})")


def read_trained(file: Path, plugins: Sequence[Path]) -> list[Recipe]:
    """The runs of a checkpoint, or of an exported model.

    Args:
        file: Either.
        plugins: Folders whose components the user allows.

    Raises:
        InputError: If it is missing, damaged, or has a component that is not at hand.
    """
    from spsam.engine.exchange.model import read_model
    from spsam.engine.segment import read_recipe

    if file.suffix.lower() == MODEL:
        return list(read_model(file, plugins).recipes)
    return [read_recipe(file, plugins)]


def initial_blocks(
    recipe: Recipe, number: int, arm: ArmConfig, shapes: Mapping[str, Shape], num_classes: int
) -> InitialBlocks:
    """Compares an earlier run's blocks with those of an arm.

    Args:
        recipe: The earlier run.
        number: See `InitialBlocks`.
        arm: The arm that begins with them.
        shapes: Of the arm's trained weights, by name.
        num_classes: K of its data, background included.

    Raises:
        InputError: If it has another network, or nothing can be taken.
    """
    from spsam.config.identity import run_id
    from spsam.engine.checkpoint import digest

    config = recipe.config
    theirs = {name: tuple(value.shape) for name, value in recipe.blocks.items()}
    if config.arm.network.name != arm.network.name:
        raise InputError(
            f"--init-from: {arm.name} has the network {arm.network.name}, but the trained run has "
            f"{config.arm.network.name}; take a run of the same network"
        )
    classes = num_classes, config.data.num_classes
    names = dict.fromkeys(_block(name) for name in (*shapes, *theirs))
    reasons = {
        name: _difference(name, arm, config.arm, _of(name, shapes), _of(name, theirs), classes)
        for name in names
    }
    taken = tuple(name for name, reason in reasons.items() if not reason)
    left = {name: reason for name, reason in reasons.items() if reason}
    if not taken:
        told = "; ".join(f"{name}: {reason}" for name, reason in left.items())
        raise InputError(f"--init-from: {arm.name} can take no block of {recipe.path}: {told}")
    source = {
        "run_id": run_id(config),
        "arm": config.arm.name,
        "seed": config.seed,
        "fold": config.data.fold,
        "data": config.data.name,
        "fingerprint": config.data.fingerprint,
    }
    sha256 = digest(_taken_of(recipe.blocks, taken))
    return InitialBlocks(recipe.path.resolve(), number, taken, left, sha256, source)


def put_initial(network: Network, initial: InitialBlocks, plugins: Sequence[Path]) -> None:
    """Puts the weights into a network that has not begun to train.

    Args:
        network: Of the run.
        initial: What it takes.
        plugins: Folders whose components the user allows.

    Raises:
        InputError: If the file is missing or damaged, or holds other weights than when the run was
            planned.
    """
    from spsam.engine.checkpoint import digest

    recipes = read_trained(initial.file, plugins)
    blocks = recipes[initial.number].blocks if initial.number < len(recipes) else {}
    weights = _taken_of(blocks, initial.taken)
    if digest(weights) != initial.sha256:
        message = "holds other weights than when the run was planned; give the same command again"
        raise InputError(Problem(message, initial.file))
    own = network.blocks()
    for name in initial.taken:
        start = f"{name}."
        own[name].load_state_dict(
            {key[len(start) :]: value for key, value in _of(name, weights).items()}
        )


def _taken_of(blocks: Mapping[str, Tensor], taken: Sequence[str]) -> dict[str, Tensor]:
    """The weights of some blocks, in an order that does not depend on the file."""
    return {name: blocks[name] for name in sorted(blocks) if _block(name) in taken}


def _block(name: str) -> str:
    return name.partition(".")[0]


def _of(block: str, values: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in values.items() if _block(name) == block}


def _difference(  # noqa: PLR0917 - two sides of a comparison
    block: str,
    arm: ArmConfig,
    other: ArmConfig,
    shapes: Mapping[str, Shape],
    theirs: Mapping[str, Shape],
    classes: tuple[int, int],
) -> str:
    """Why a block cannot be taken; empty if it can."""
    if not theirs or not shapes:
        return f"{arm.name if theirs else 'the trained run'} has no such block"
    slots = (arm, other) if block in SLOTS else ()
    chosen = [" + ".join(each.name for each in one.blocks.of(block)) for one in slots]
    if len({*chosen}) > 1:
        return f"another component ({chosen[0]}, trained: {chosen[1]})"
    if shapes.keys() != theirs.keys():
        return f"other weights ({min(shapes.keys() ^ theirs.keys())} is in one of them only)"
    unlike = [name for name in shapes if shapes[name] != theirs[name]]
    if not unlike:
        return ""
    if classes[0] != classes[1] and all(_by_class(shapes[n], theirs[n], classes) for n in unlike):
        return f"another number of classes ({classes[0]}, trained: {classes[1]})"
    first = unlike[0]
    return f"another shape ({first} {_told(shapes[first])}, trained: {_told(theirs[first])})"


def _by_class(shape: Shape, trained: Shape, classes: tuple[int, int]) -> bool:
    """Whether two shapes differ only by the number of classes, with or without the background."""
    if len(shape) != len(trained):
        return False
    sides = [(one, two) for one, two in zip(shape, trained, strict=True) if one != two]
    return all(
        any(
            one * (classes[1] - less) == two * (classes[0] - less) and classes[1] > less
            for less in (0, 1)
        )
        for one, two in sides
    )


def _told(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a number"
