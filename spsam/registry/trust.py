"""The trust boundary: a stored file never names code, only the command line does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from spsam.config.problems import Place, raise_all
from spsam.config.schema import ArmConfig, Block, RunConfig
from spsam.config.yaml_file import KeyPath
from spsam.errors import InputError, Problem
from spsam.registry.catalogue import Catalogue
from spsam.registry.signature import positional, validate
from spsam.registry.slots import NETWORK, SLOTS


def with_plugins(config: RunConfig, plugins: Sequence[Path], file: Path) -> RunConfig:
    """A stored configuration whose components come from the folders that the user allows.

    Whoever wrote the file chose its `plugins`; nothing in them is read, let alone imported.

    Args:
        config: As the file has it.
        plugins: Folders of this command's --plugin.
        file: The file.

    Returns:
        The configuration with these folders in place of its own.

    Raises:
        InputError: With every component that neither spsam, nor an installed plugin, nor a folder
            of `plugins` has, or that takes other parameters there.
    """
    arm = config.arm.model_copy(update={"plugins": tuple(plugins)})
    raise_all(_problems(config.arm, plugins, file))
    return config.model_copy(update={"arm": arm})


def _problems(arm: ArmConfig, plugins: Sequence[Path], file: Path) -> list[Problem]:
    catalogue = Catalogue.load(plugins)
    problems: list[Problem] = []
    # What the network does not take means nothing to it, and may be anything.
    parts: list[tuple[str, KeyPath, Block]] = [(NETWORK.name, (NETWORK.name,), arm.network)]
    with suppress(InputError):
        taken = positional(catalogue.card(NETWORK.name, arm.network.name))
        parts += [
            (slot, ("blocks", slot), block)
            for slot in SLOTS
            if slot in taken
            for block in arm.blocks.of(slot)
        ]
    for slot, path, block in parts:
        try:
            card = catalogue.card(slot, block.name)
        except InputError:
            problems.append(Problem(_missing(slot, block.name, arm.plugins, plugins), file))
            continue
        problems += validate(card, block.params, lambda _: Place(file, None), path)[1]
    return problems


def _missing(slot: str, name: str, named: Sequence[Path], plugins: Sequence[Path]) -> str:
    looked = "".join(f", nor in {plugin}" for plugin in plugins)
    folders = " and ".join(map(str, named))
    trained = f" (its --plugin was {folders} where it was trained)" if named else ""
    advice = " ".join(f"--plugin {plugin}" for plugin in named or [Path("FOLDER")])
    return (
        f"needs the {slot} '{name}', which is neither in spsam nor in an installed plugin{looked}"
        f"{trained}; a file never chooses code to run: if you trust that folder's code, "
        f"give it with {advice}"
    )
