"""Fine-tuning: trained blocks of an earlier run as the initial weights of another."""

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
    from spsam.engine.recipe import Recipe
    from spsam.model.networks.base import Network

MODEL = ".zip"
Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class InitialBlocks:
    """Blocks that a run takes from an earlier one; can be pickled, as weights stay in their file.

    Attributes:
        file: The checkpoint or exported model.
        number: Index of the run in the model; 0 for a checkpoint.
        taken: Names of the blocks to load.
        left: Reason for each block that is not loaded, by name.
        sha256: SHA-256 of the loaded weights with their names.
        source: The earlier run, as plain values for `run.json`.
        notes: Notes for the user.
    """

    file: Path
    number: int
    taken: tuple[str, ...]
    left: Mapping[str, str]
    sha256: str
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Returns plain values for a record, without the file's path."""
        return {
            **self.source,
            "sha256": self.sha256,
            "blocks": list(self.taken),
            "left": dict(self.left),
        }

    @property
    def words(self) -> str:
        """Description of the initial weights for captions."""
        source = self.source
        run = f"{source['arm']} seed {source['seed']} fold {source['fold']} on {source['data']}"
        return one_line(f"{', '.join(self.taken)} of {run} (run {source['run_id']})")


def read_trained(file: Path, plugins: Sequence[Path]) -> list[Recipe]:
    """Reads the runs of a checkpoint or of an exported model.

    Args:
        file: The checkpoint or model.
        plugins: Folders with components that the user trusts.

    Raises:
        InputError: If the file is missing or damaged, or one of its components is not available.
    """
    from spsam.engine.exchange.model import read_model
    from spsam.engine.recipe import read_recipe

    if file.suffix.lower() == MODEL:
        return list(read_model(file, plugins).recipes)
    return [read_recipe(file, plugins)]


def initial_blocks(
    recipe: Recipe, number: int, arm: ArmConfig, shapes: Mapping[str, Shape], num_classes: int
) -> InitialBlocks:
    """Compares an earlier run's blocks with those of an arm.

    Args:
        recipe: The earlier run.
        number: Index of the run; see `InitialBlocks`.
        arm: The arm to initialise.
        shapes: Shapes of the arm's trained weights, by name.
        num_classes: K of the arm's data, including the background.

    Raises:
        InputError: If the earlier run has another network, or no block can be loaded.
    """
    from spsam.config.identity import run_id
    from spsam.engine.checkpoint import digest

    config = recipe.config
    theirs = {name: tuple(value.shape) for name, value in recipe.blocks.items()}
    if config.arm.network.name != arm.network.name:
        raise InputError(
            f"--init-from: {arm.name} has the network {arm.network.name}, but the trained run has "
            f"{config.arm.network.name}; choose a run with the same network"
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
        raise InputError(f"--init-from: {arm.name} can load no block of {recipe.path}: {told}")
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
    """Loads the initial weights into a network before its training.

    Args:
        network: The run's network.
        initial: The blocks to load.
        plugins: Folders with components that the user trusts.

    Raises:
        InputError: If the file is missing or damaged, or its weights have changed since the run was
            planned.
    """
    from spsam.engine.checkpoint import digest

    recipes = read_trained(initial.file, plugins)
    blocks = recipes[initial.number].blocks if initial.number < len(recipes) else {}
    weights = _taken_of(blocks, initial.taken)
    if digest(weights) != initial.sha256:
        message = "contains other weights than when the run was planned; rerun the same command"
        raise InputError(Problem(message, initial.file))
    own = network.blocks()
    for name in initial.taken:
        start = f"{name}."
        own[name].load_state_dict(
            {key[len(start) :]: value for key, value in _of(name, weights).items()}
        )


def _taken_of(blocks: Mapping[str, Tensor], taken: Sequence[str]) -> dict[str, Tensor]:
    """Returns the weights of some blocks, in an order that does not depend on the file."""
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
    """Describes why a block cannot be loaded; empty if it can."""
    if not theirs or not shapes:
        return f"{arm.name if theirs else 'the trained run'} has no such block"
    slots = (arm, other) if block in SLOTS else ()
    chosen = [" + ".join(each.name for each in one.blocks.of(block)) for one in slots]
    if len({*chosen}) > 1:
        return f"another component ({chosen[0]}, trained: {chosen[1]})"
    if shapes.keys() != theirs.keys():
        return f"other weights ({min(shapes.keys() ^ theirs.keys())} is in only one of them)"
    unlike = [name for name in shapes if shapes[name] != theirs[name]]
    if not unlike:
        return ""
    if classes[0] != classes[1] and all(_by_class(shapes[n], theirs[n], classes) for n in unlike):
        return f"another number of classes ({classes[0]}, trained: {classes[1]})"
    first = unlike[0]
    return f"another shape ({first} {_told(shapes[first])}, trained: {_told(theirs[first])})"


def _by_class(shape: Shape, trained: Shape, classes: tuple[int, int]) -> bool:
    """Checks whether two shapes differ only by the number of classes, or of foreground classes."""
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
