from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spsam.config import places
from spsam.registry import targets

from . import small


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The root of a small installation; the current folder is an empty one."""
    root = tmp_path / "installation"
    small.build(root)
    monkeypatch.setattr(places, "_PACKAGE", root / "spsam")
    monkeypatch.setattr(targets, "_ROOT", root)
    monkeypatch.setattr(targets, "entry_points", lambda group: ())
    targets.installed_plugins.cache_clear()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield root
    targets.installed_plugins.cache_clear()
