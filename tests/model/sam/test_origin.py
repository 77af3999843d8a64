"""Weights are known by their content, whatever their file is called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spsam.model.sam.backbones import BACKBONES
from spsam.model.sam.origin import weights_origin
from spsam.model.sam.state_file import file_sha256

OFFICIAL = [spec for spec in BACKBONES.values() if spec.official_file]


@pytest.mark.parametrize("spec", OFFICIAL, ids=lambda spec: spec.name)
def test_only_the_published_file_is_official(spec: object) -> None:
    known = spec.sha256  # type: ignore[attr-defined]
    name = spec.official_file  # type: ignore[attr-defined]
    renamed = weights_origin(spec, known, "mine.pth")  # type: ignore[arg-type]
    assert str(renamed) == "official (sha-256 matches)"
    assert (renamed.kind, renamed.warning) == ("official", "")
    other = weights_origin(spec, "f" * 64, name)  # type: ignore[arg-type]
    assert str(other) == "not an official file (sha-256 ffffffffffff)"
    for text in (name, known[:12], "f" * 12, "not an official file"):
        assert text in other.warning


def test_the_file_of_another_size_is_none_of_this_one() -> None:
    b, h = BACKBONES["sam_vit_b"], BACKBONES["sam_vit_h"]
    assert weights_origin(b, h.sha256, h.official_file).kind == "other"


def test_the_shipped_file_is_what_was_shipped() -> None:
    spec = BACKBONES["sam_tiny"]
    sha256 = file_sha256(spec.shipped_weights)
    assert str(weights_origin(spec, sha256)) == "shipped with spsam (sha-256 matches)"
    readme = Path(spec.shipped_weights).with_name("README.md").read_text(encoding="utf-8")
    assert re.findall(r"sha-256 `(\w{64})`", readme) == [sha256]
    changed = weights_origin(spec, "0" * 64, spec.shipped_file)
    assert "not the file shipped with spsam" in changed.warning


def test_random_weights_are_named_and_need_no_warning() -> None:
    origin = weights_origin(BACKBONES["sam_tiny"], None)
    assert (str(origin), origin.kind, origin.warning) == ("random", "random", "")
    assert origin.to_dict() == {
        "backbone": "sam_tiny",
        "origin": "random",
        "sha256": None,
        "file": None,
    }
