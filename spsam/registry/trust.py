"""The trust boundary: only the command line selects code; stored files never do."""

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
    """Restricts a stored configuration to components from folders that the user allows.

    The stored `plugins` are untrusted: they are neither read nor imported.

    Args:
        config: The stored configuration.
        plugins: The folders passed by --plugin.
        file: The file of the configuration.

    Returns:
        The configuration with these folders instead of the stored ones.

    Raises:
        InputError: With every component that is neither in spsam, nor in an installed plugin, nor
            in a folder of `plugins`, or that has other parameters there.
    """
    arm = config.arm.model_copy(update={"plugins": tuple(plugins)})
    raise_all(_problems(config.arm, plugins, file))
    return config.model_copy(update={"arm": arm})


def _problems(arm: ArmConfig, plugins: Sequence[Path], file: Path) -> list[Problem]:
    catalogue = Catalogue.load(plugins)
    problems: list[Problem] = []
    # Slots that the network does not use are not checked.
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
    trained = f" (it was trained with --plugin {folders})" if named else ""
    advice = " ".join(f"--plugin {plugin}" for plugin in named or [Path("FOLDER")])
    return (
        f"requires the {slot} '{name}', which is neither in spsam nor in an installed plugin"
        f"{looked}{trained}; a file never selects code to run: if you trust the code in that "
        f"folder, pass it with {advice}"
    )
