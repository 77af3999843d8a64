"""Origin of SAM's weights, identified by content rather than file name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spsam.model.sam.backbones import Backbone

_DIGITS = 12


@dataclass(frozen=True)
class Origin:
    """Origin of the weights of a frozen SAM.

    Attributes:
        backbone: Name of the backbone.
        kind: `official`, the published file; `shipped`, the file shipped with spsam; `random`;
            `other`, any other file.
        sha256: SHA-256 of the file, hexadecimal; None for random weights.
        file: Name of the file, without a folder; None for random weights.
        warning: Warning for the user; empty if there is none.
    """

    backbone: str
    kind: Literal["official", "shipped", "random", "other"]
    sha256: str | None = None
    file: str | None = None
    warning: str = ""

    def __str__(self) -> str:
        """Formats the origin for headers, captions and records."""
        if self.kind == "random":
            return "random"
        if self.kind == "other":
            return f"not an official file (sha-256 {(self.sha256 or '')[:_DIGITS]})"
        what = "official" if self.kind == "official" else "shipped with spsam"
        return f"{what} (sha-256 matches)"

    def to_dict(self) -> dict[str, str | None]:
        """Returns plain values for a record."""
        return {
            "backbone": self.backbone,
            "origin": str(self),
            "sha256": self.sha256,
            "file": self.file,
        }


def weights_origin(spec: Backbone, sha256: str | None, file: str | None = None) -> Origin:
    """Identifies weights by comparing the file's hash with the published and the shipped ones.

    Args:
        spec: The backbone of the weights.
        sha256: SHA-256 of the file; None for random weights.
        file: Name of the file, used only in messages.
    """
    if sha256 is None:
        return Origin(spec.name, "random")
    if sha256 == spec.sha256:
        return Origin(spec.name, "official", sha256, file)
    if sha256 == spec.shipped_sha256:
        return Origin(spec.name, "shipped", sha256, file)
    known = spec.official_file or spec.shipped_file
    wanted = (spec.sha256 or spec.shipped_sha256 or "")[:_DIGITS]
    what = "an official file" if spec.official_file else "the file shipped with spsam"
    warning = (
        f"{file or 'the weights'}: not {what} of {spec.name}: expected sha-256 {wanted}… "
        f"({known}), got {sha256[:_DIGITS]}…; results are not those of the expected weights"
    )
    return Origin(spec.name, "other", sha256, file, warning)
