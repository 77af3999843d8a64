"""SAM's weights that arms take: found, and known by their hash, before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spsam.config.problems import raise_all
from spsam.config.schema import ArmConfig
from spsam.errors import InputError, Problem
from spsam.model.sam.backbones import backbone_spec
from spsam.registry.catalogue import Catalogue
from spsam.registry.networks import uses_sam


@dataclass(frozen=True)
class ArmWeights:
    """An arm's weights.

    Attributes:
        file: Theirs; None for random ones, and where a dry run lacks the official ones.
        sha256: Of the file that the arm's runs take; None for random ones.
    """

    file: Path | None
    sha256: str | None


class WeightFiles:
    """The files of weights; each is hashed once.

    Args:
        checkpoint: The official weights that are given for all arms; None takes an arm's own.
        catalogue: The components, by which networks with a SAM are known.
        dry_run: Whether official weights may be missing: they count as if they were there.
        file_sha256: Hashes a file.
    """

    def __init__(
        self,
        checkpoint: Path | None,
        catalogue: Catalogue,
        *,
        dry_run: bool,
        file_sha256: Callable[[Path], str],
    ) -> None:
        self._checkpoint = checkpoint
        self._catalogue = catalogue
        self._dry_run = dry_run
        self._file_sha256 = file_sha256
        self._hashes: dict[Path, str] = {}

    def of(self, arm: ArmConfig) -> ArmWeights:
        """The weights that an arm takes.

        Raises:
            InputError: If it wants official ones and nobody names them, or there is no such file.
        """
        if arm.backbone.weights == "random" or not uses_sam(arm, self._catalogue):
            return ArmWeights(None, None)
        spec = backbone_spec(arm.backbone.name)
        if self._is_unnamed(arm) and self._counts_as_there(arm):
            return ArmWeights(None, spec.sha256)
        raise_all(self.missing([arm]))
        shipped = arm.backbone.weights == "shipped"
        path = spec.shipped_weights if shipped else self._checkpoint or arm.backbone.checkpoint
        assert path is not None
        path = path.expanduser()
        if not path.is_file():
            message = f"there is no such checkpoint file; {spec.published}"
            raise InputError(Problem(message, path))
        if path not in self._hashes:
            self._hashes[path] = self._file_sha256(path)
        return ArmWeights(path, self._hashes[path])

    def missing(self, arms: Sequence[ArmConfig]) -> list[Problem]:
        """A sentence for each SAM whose official weights arms want and nobody names."""
        wanted: dict[str, list[str]] = {}
        for arm in arms:
            if self._is_unnamed(arm) and not self._counts_as_there(arm):
                wanted.setdefault(arm.backbone.name, []).append(arm.name)
        return [
            Problem(
                f"{', '.join(names)} {'wants' if len(names) == 1 else 'want'} official weights of "
                f"{backbone} (backbone.weights: checkpoint): give --checkpoint FILE or --set "
                f"backbone.weights=random; {backbone_spec(backbone).published}"
            )
            for backbone, names in wanted.items()
        ]

    def _is_unnamed(self, arm: ArmConfig) -> bool:
        """Whether an arm wants official weights and nobody names their file."""
        wanted = arm.backbone.weights == "checkpoint" and uses_sam(arm, self._catalogue)
        return wanted and (self._checkpoint or arm.backbone.checkpoint) is None

    def _counts_as_there(self, arm: ArmConfig) -> bool:
        """Whether this is a dry run, and the hash of the official file is known."""
        return self._dry_run and backbone_spec(arm.backbone.name).sha256 is not None
