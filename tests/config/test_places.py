from __future__ import annotations

from pathlib import Path

import pytest

from spsam.config import places
from spsam.errors import InputError


def test_a_checkout_finds_the_folders_at_its_root(repository: Path) -> None:
    assert places.shipped("registry") == repository / "registry"
    assert places.shipped("ablations") == repository / "ablations"


def test_a_wheel_finds_them_inside_the_package_whatever_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry").mkdir()  # somebody else's folder in site-packages
    inside = tmp_path / "spsam" / "_share" / "registry"
    inside.mkdir(parents=True)
    monkeypatch.setattr(places, "_PACKAGE", tmp_path / "spsam")
    assert places.shipped("registry") == inside
    with pytest.raises(InputError, match="lacks the folder 'ablations'"):
        places.shipped("ablations")


def test_the_current_folder_is_the_last_layer_and_never_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert places.layers("ablations") == [repository / "ablations"]
    (tmp_path / "ablations").mkdir()
    assert places.layers("ablations") == [repository / "ablations", tmp_path / "ablations"]
    monkeypatch.chdir(repository)
    assert places.layers("ablations") == [repository / "ablations"]


def test_results_go_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPSAM_HOME", raising=False)
    assert places.home() == Path("spsam-runs")
    monkeypatch.setenv("SPSAM_HOME", "/elsewhere")
    assert places.home(None) == Path("/elsewhere")
    assert places.home(Path("here")) == Path("here")
