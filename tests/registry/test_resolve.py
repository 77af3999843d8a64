from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spsam.errors import InputError
from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.resolve import resolve

from . import small


def card(target: str, plugin: Path | None = None) -> Card:
    return Card("adapter", "x", target, "", {}, Path("registry/adapter/x.yaml"), plugin)


def test_a_target_of_the_package() -> None:
    kind = resolve(card("spsam.model.adapters.dfused:DFusedAdapter"))
    assert kind.__name__ == "DFusedAdapter"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("subprocess:Popen", "is not in spsam"),
        ("spsamevil:Popen", "is not in spsam"),
        ("spsam.registry.slots:Slto", r"defines no class 'Slto'; did you mean 'Slot'\?"),
        ("spsam.registry.slots:dataclass", "defines no class 'dataclass'"),
        ("spsam.registry.targets:Path", "defines no class 'Path'"),
        ("spsam.registry.absent:Slot", "cannot be imported"),
        (
            "spsam.registry.slots:Slot",
            "does not fit the slot adapter: expected a class derived from .*Adapter",
        ),
        ("spsam.studies.execution.executors.local:LocalExecutor", "does not fit the slot adapter"),
        ("spsam.model.prompts.edt:EdtPrompt", "does not fit the slot adapter"),
    ],
)
def test_what_is_not_resolved(target: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        resolve(card(target))


def test_a_plugin_folder_is_imported_from_only_when_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    small.add_card(tmp_path / "registry", "adapter", "mine", "my_blocks_of_a_test:Mine")
    code = (
        "from spsam.model.adapters.base import Adapter\n\n\nclass Mine(Adapter):\n"
        "    def __init__(self, *, ratio: float = 0.5): ...\n"
    )
    (tmp_path / "my_blocks_of_a_test.py").write_text(code, encoding="utf-8")
    found = Catalogue.load([tmp_path]).card("adapter", "mine")
    assert resolve(found).__name__ == "Mine"
    with pytest.raises(InputError, match="pass its folder with --plugin"):
        resolve(card("my_blocks_of_a_test:Mine"))


def test_a_plugin_never_stands_in_for_an_installed_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "json.py").write_text("class Mine: ...\n", encoding="utf-8")
    with pytest.raises(InputError, match="another module of that name is installed"):
        resolve(card("json:Mine", tmp_path))


def test_a_plugin_that_fails_to_import_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "broken_plugin.py").write_text("import absent_package\n", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be imported: No module named 'absent_package'"):
        resolve(card("broken_plugin:Mine", tmp_path))
