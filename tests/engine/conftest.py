from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared data, which runs of one plan share."""
    return tmp_path_factory.mktemp("prepared")
