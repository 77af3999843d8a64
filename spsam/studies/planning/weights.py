"""Files of SAM's weights for the arms, identified by their hash before any run."""

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
        file: The file; None for random weights, and for official weights missing in a dry run.
        sha256: The hash of the file that the arm's runs use; None for random weights.
    """

    file: Path | None
    sha256: str | None


class WeightFiles:
    """The files of weights; each is hashed once.

    Args:
        checkpoint: Official weights for all arms; None: the file that an arm specifies.
        catalogue: The components, which determine whether a network uses SAM.
        dry_run: Whether official weights may be missing; the hash of the official file is assumed.
        file_sha256: Computes the hash of a file.
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
        """Returns the weights of an arm.

        Raises:
            InputError: If it requires official weights and no file is given, or does not exist.
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
            message = f"this checkpoint file does not exist; {spec.published}"
            raise InputError(Problem(message, path))
        if path not in self._hashes:
            self._hashes[path] = self._file_sha256(path)
        return ArmWeights(path, self._hashes[path])

    def missing(self, arms: Sequence[ArmConfig]) -> list[Problem]:
        """Returns a problem for each SAM whose official weights are required but not given."""
        wanted: dict[str, list[str]] = {}
        for arm in arms:
            if self._is_unnamed(arm) and not self._counts_as_there(arm):
                wanted.setdefault(arm.backbone.name, []).append(arm.name)
        return [
            Problem(
                f"{', '.join(names)} {'requires' if len(names) == 1 else 'require'} official "
                f"weights of {backbone} (backbone.weights: checkpoint): give --checkpoint FILE or "
                f"--set backbone.weights=random; {backbone_spec(backbone).published}"
            )
            for backbone, names in wanted.items()
        ]

    def _is_unnamed(self, arm: ArmConfig) -> bool:
        """Whether an arm requires official weights and no file is given."""
        wanted = arm.backbone.weights == "checkpoint" and uses_sam(arm, self._catalogue)
        return wanted and (self._checkpoint or arm.backbone.checkpoint) is None

    def _counts_as_there(self, arm: ArmConfig) -> bool:
        """Whether this is a dry run, and the hash of the official file is known."""
        return self._dry_run and backbone_spec(arm.backbone.name).sha256 is not None
