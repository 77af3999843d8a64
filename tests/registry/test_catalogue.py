from __future__ import annotations

from pathlib import Path

import pytest

from spsam.config.schema import Blocks
from spsam.errors import InputError
from spsam.registry import targets
from spsam.registry.catalogue import SLOTS, Catalogue

from . import small

# Of the paper and its studies; others may come.
PAPERS = {
    "input_adapter": ["madapter", "repeat"],
    "depth_pos_embed": ["learned", "none"],
    "adapter": ["depth_after", "depth_before", "dfused", "none", "vanilla"],
    "prompt_generator": ["msp", "stacked_cnn"],
    "prompt": ["box_center", "centroid", "edt", "farthest", "medoid", "random"],
    "mask_head": ["argmax", "mc_adapter", "softmax"],
}


def test_slots_are_those_of_the_schema() -> None:
    assert list(SLOTS) == list(Blocks.model_fields)


@pytest.mark.parametrize("slot", PAPERS)
def test_the_papers_components_are_there(slot: str) -> None:
    assert {card.name for card in Catalogue.load().cards(slot)} >= set(PAPERS[slot])


def test_every_shipped_card_opens_with_what_it_is_and_names_its_source() -> None:
    catalogue = Catalogue.load()
    for slot in SLOTS:
        for card in catalogue.cards(slot):
            first = card.file.read_text(encoding="utf-8").splitlines()[0]
            assert first.startswith("# "), card.file
            assert first.endswith("."), card.file
            assert card.summary.endswith("."), card.file
            assert card.source, card.file
            assert card.target.startswith(f"spsam.model.{SLOTS[slot].folder}."), card.file


def test_unknown_names_get_the_nearest(installation: Path) -> None:
    catalogue = Catalogue.load()
    with pytest.raises(InputError, match="unknown adapter 'tuend'; did you mean 'tuned'"):
        catalogue.card("adapter", "tuend")
    with pytest.raises(InputError, match="unknown slot 'adaptor'; did you mean 'adapter'"):
        catalogue.cards("adaptor")


def test_the_current_folder_adds_and_wins(installation: Path) -> None:
    small.add_card(Path("registry"), "adapter", "mine", "spsam.model.blocks:Tuned")
    own = small.add_card(Path("registry"), "adapter", "plain", "spsam.model.blocks:Tuned")
    catalogue = Catalogue.load()
    assert [card.name for card in catalogue.cards("adapter")] == ["mine", "plain", "tuned"]
    assert catalogue.card("adapter", "plain").file == own.resolve()


def test_all_wrong_cards_are_reported_at_once(installation: Path) -> None:
    own = Path("registry")
    small.add_card(own, "adaptor", "x", "spsam.model.blocks:Plain")
    small.add_card(own, "adapter", "bad_target", "os.system")
    path = small.add_card(own, "adapter", "bad_keys", "spsam.model.blocks:Plain")
    path.write_text("targte: a:B\nsource: {papr: x}\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Catalogue.load()
    sentences = [str(problem) for problem in caught.value.problems]
    assert len(sentences) == 6
    for sentence in (
        "unknown slot 'adaptor'; did you mean 'adapter'?",
        "bad_target.yaml:2: target: expected package.module:Class, got 'os.system'",
        "bad_keys.yaml:1: targte: unknown key; did you mean 'target'?",
        "bad_keys.yaml:2: source.papr: unknown key; did you mean 'paper'?",
        "target: is missing",
        "summary: is missing",
    ):
        assert any(one.endswith(sentence) for one in sentences), sentence


def test_a_plugin_folder_is_a_layer_and_its_cards_remember_it(
    installation: Path, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    small.add_card(plugin / "registry", "adapter", "mine", "mine:Mine")
    card = Catalogue.load([plugin]).card("adapter", "mine")
    assert card.plugin == plugin
    with pytest.raises(InputError, match="unknown adapter 'mine'"):
        Catalogue.load().card("adapter", "mine")
    with pytest.raises(InputError, match=r"--plugin .*expected a folder with registry"):
        Catalogue.load([tmp_path / "absent"])


def test_an_installed_plugin_brings_its_cards(
    installation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "other_blocks"
    small.add_card(package / "registry", "adapter", "theirs", "other_blocks.code:Theirs")
    (package / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    class Entry:
        value = "other_blocks"

    monkeypatch.setattr(targets, "entry_points", lambda group: [Entry()])
    targets.installed_plugins.cache_clear()
    card = Catalogue.load().card("adapter", "theirs")
    assert targets.root_of(card.target, None, card.file) == tmp_path / "site"
