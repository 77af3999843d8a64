"""Arms: merged from their files and validated against the schema and signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spsam.config.compose import compose
from spsam.config.problems import check, raise_all
from spsam.config.schema import ArmConfig, Blocks
from spsam.config.yaml_file import YamlFile, read_yaml
from spsam.errors import InputError
from spsam.registry.arm_file import ArmFile, read_arm_file
from spsam.registry.catalogue import Catalogue
from spsam.registry.checked_blocks import COMPONENTS, checked_blocks
from spsam.registry.files import arm_file
from spsam.registry.protocols import named_protocol, read_preset


def load_arm(
    name_or_path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: str | Path | None = None,
    protocol: str | Path | None = None,
    plugins: Sequence[Path] = (),
) -> ArmConfig:
    """Loads an arm: its file, its bases, a preset and overrides, merged and validated.

    Args:
        name_or_path: A name or the path of a YAML file.
        overrides: Values that override the arm's, e.g. `{"train.epochs": 5}` or
            `{"train": {"epochs": 5}}`.
        preset: Name or path of a preset. Default: the values of the root file.
        protocol: The preset's protocol for a data set: a name such as `acdc`, or a file. Default:
            the preset's own values.
        plugins: Folders with further components.

    Returns:
        The resolved arm; its blocks contain all parameters, including defaults.

    Raises:
        InputError: With every mistake in files and overrides, with file and line.
    """
    base = None if preset is None else read_preset(preset)
    loader = ArmLoader(
        Catalogue.load(plugins),
        overrides or {},
        preset=base,
        protocol=_protocol_file(protocol, base),
    )
    return loader.load(read_arm_file(arm_file(name_or_path)))


class ArmLoader:
    """Resolves arms that share components, a preset and overrides.

    Args:
        catalogue: The components.
        overrides: Values that override those of every arm, as in `load_arm`.
        preset: The preset.
        protocol: The preset's protocol for the data set.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        overrides: Mapping[str, Any],
        *,
        preset: YamlFile | None = None,
        protocol: YamlFile | None = None,
    ) -> None:
        self.overrides = dict(overrides)
        self._catalogue = catalogue
        self._preset = preset
        self._protocol = protocol

    def load(self, arm: ArmFile, values: Mapping[str, Any] | None = None) -> ArmConfig:
        """Resolves an arm, with optional values that override all others.

        Raises:
            InputError: With every mistake in files and values, with file and line.
        """
        return self._resolve(arm, {**self.overrides, **(values or {})})

    def plain_blocks(self, arm: ArmFile) -> Blocks:
        """The components of an arm without overrides of `blocks`."""
        plain = {k: v for k, v in self.overrides.items() if k.split(".")[0] != "blocks"}
        return self._resolve(arm, plain).blocks

    def _resolve(self, arm: ArmFile, overrides: Mapping[str, Any]) -> ArmConfig:
        composed = compose(
            arm.files, preset=self._preset, protocol=self._protocol, overrides=overrides
        )
        network, blocks, problems = checked_blocks(composed, self._catalogue)
        data = {**composed.data, "plugins": [str(plugin) for plugin in self._catalogue.plugins]}
        data.pop(COMPONENTS, None)
        if network is not None:
            data["network"] = network
        if blocks:
            data["blocks"] = {**composed.data["blocks"], **blocks}
        found_arm, found = check(ArmConfig, data, composed.place)
        raise_all([*composed.problems, *problems, *found])
        assert isinstance(found_arm, ArmConfig)
        return found_arm


def _protocol_file(protocol: str | Path | None, preset: YamlFile | None) -> YamlFile | None:
    if not isinstance(protocol, str):
        return None if protocol is None else read_yaml(protocol)
    if preset is None:
        raise InputError(f"protocol '{protocol}': requires a preset with this protocol, got none")
    return named_protocol(preset.path, protocol).file
