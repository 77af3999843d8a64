"""Every place of the paper that is cited exists, and is the one where the cited thing stands."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spsam.registry.catalogue import Card, Catalogue
from spsam.registry.slots import SLOTS

ROOT = Path(__file__).resolve().parents[1]
CITATION = re.compile(
    r"\b(?P<kind>Sec|App|Eq|Fig)\. (?P<first>[A-Z\d][\d.]*[a-z]?)"
    r"(?P<more>(?:(?:, | and )\d[\d.]*)*)"
    r"|\bTables? (?P<table>\d)\b"
)
# Something that looks like a citation in another spelling: it would be read by nobody.
ODD = re.compile(
    r"\b(?:Section|Sect\.|Appendix|Figure|Equation|Eqn\.|sec\.|fig\.) ?[A-Z\d]"
    r"|§ ?\d|(?:Sec|App|Fig|Eq)\.[A-Z\d]"
)

# What stands where in the paper, by a word that stands for it; any of the sections may be cited.
TOPICS: dict[str, set[str]] = {
    "DFusedAdapter": {"2.1", "C", "3.2"},
    "depth MLP": {"2.1", "C", "3.2"},
    "parallel to the MLP": {"2.1", "2.5"},
    "DPosEmbed": {"2.2", "2.5", "3.2"},
    "depth position embedding": {"2.2", "2.5", "3.2"},
    "MAdapter": {"2.2", "3.2"},
    "MSPGenerator": {"2.3", "3.2"},
    "EDT": {"2.4"},
    "Euclidean distance": {"2.4"},
    "farthest from the boundary": {"2.4"},
    "MC-Adapter": {"2.5", "3.2"},
    "poly": {"D"},
    "deep supervision": {"2.3", "D"},
    "augmentation": {"D"},
    "one-hot": {"1", "A"},
}

# Components by slot, and what their cards and classes may cite.
COMPONENTS: dict[str, set[str]] = {
    "adapter/dfused": {"2.1", "C"},
    "adapter/vanilla": {"2.1", "3.2"},
    "adapter/depth_before": {"3.2"},
    "adapter/depth_after": {"3.2"},
    "adapter/none": {"3.2"},
    "depth_pos_embed/learned": {"2.2", "2.5", "3.2"},
    "depth_pos_embed/none": {"3.2"},
    "input_adapter/madapter": {"2.2", "3.2"},
    "input_adapter/repeat": {"3.2"},
    "mask_head/mc_adapter": {"2.5", "3.2"},
    "mask_head/softmax": {"2.5"},
    "mask_head/argmax": {"3.2"},
    "prompt/edt": {"2.4"},
    "prompt/random": {"2.4"},
    "prompt/box_center": {"2.4"},
    "prompt_generator/msp": {"2.3", "3.2"},
    "prompt_generator/stacked_cnn": {"3.2"},
}
# Other modules that cite the paper.
MODULES: dict[str, set[str]] = {
    "config/augment.py": {"D"},
    "config/train.py": {"D"},
    "engine/prompting/draw.py": {"1", "2.4", "2.5"},
    "engine/training/loss.py": {"D"},
    "engine/training/train.py": {"D"},
    "metrics/continuity.py": {"1"},
    "model/adapters/depth_mlp.py": {"2.1", "C"},
    "model/adapters/placement.py": {"2.1", "2.5"},
    "model/networks/self_prompt_sam.py": {"2"},
    "model/prompts/base.py": {"1", "2.4", "A"},
    "model/prompts/extract.py": {"2.4"},
    "model/sam/image_encoder.py": {"2.1", "2.2"},
    "reporting/figures/panels.py": {"3"},
    "studies/prompts/plan_prompts.py": {"1"},
}
PAGES = sorted((ROOT / "docs").rglob("*.md"))


def table_of_contents() -> dict[str, str]:
    with (ROOT / "reports" / "published" / "sections.csv").open(encoding="utf-8") as file:
        return {
            line["section"]: f"{line['title']}; {line['holds']}" for line in csv.DictReader(file)
        }


def where() -> dict[str, set[str]]:
    """Every figure, table and equation, and the sections that hold it; `Fig. 2` holds its parts."""
    found: dict[str, set[str]] = {}

    def note(name: str, section: str) -> None:
        found.setdefault(name, set()).add(section)

    for section, text in table_of_contents().items():
        for number in re.findall(r"Eq\. (\d)", text):
            note(f"Eq. {number}", section)
        for number, parts in re.findall(
            r"(?:Fig\.|and) (\d)(?:\(| \()?((?:[a-d](?: to [a-d])?)?)", text
        ):
            first, _, last = parts.partition(" to ")
            letters = [chr(c) for c in range(ord(first), ord(last or first) + 1)] if first else []
            for part in ["", *letters]:
                note(f"Fig. {number}{part}", section)
        for first, last in re.findall(r"Tables? (\d)(?: to (\d))?", text):
            for number in range(int(first), int(last or first) + 1):
                note(f"Table {number}", section)
    return found


def citations(text: str) -> Iterator[str]:
    """`Sec. 2.2, 2.5; Table 4` gives `Sec. 2.2`, `Sec. 2.5`, `Table 4`."""
    for match in CITATION.finditer(text):
        if match["table"]:
            yield f"Table {match['table']}"
            continue
        for number in re.split(r", | and ", match["first"] + match["more"]):
            if number:
                yield f"{match['kind']}. {number.rstrip('.')}"


def sections_of(citation: str) -> set[str]:
    """The sections that a citation may mean; none if there is no such place."""
    kind, _, number = citation.partition(" ")
    if kind in ("Sec.", "App."):
        lettered = number.isalpha()
        known = number in table_of_contents() and lettered == (kind == "App.")
        return {number} if known else set()
    return where().get(citation, set())


def wrong(text: str, allowed: set[str]) -> list[str]:
    """The citations in a text that exist nowhere, or elsewhere than where they may be."""
    return [each for each in citations(text) if not sections_of(each) & allowed]


def cards() -> list[Card]:
    catalogue = Catalogue.load()
    return [card for slot in SLOTS for card in catalogue.cards(slot)]


def docstrings(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


def test_the_table_of_contents_is_read_whole() -> None:
    assert len(table_of_contents()) == 15
    places = where()
    assert {f"Fig. 1{part}" for part in "abcd"} <= set(places)
    assert places["Fig. 1b"] == {"1", "2.4"}
    assert places["Fig. 1c"] == {"1", "2.5"}
    assert places["Fig. 2c"] == {"2.3"}
    assert places["Fig. 2"] >= {"2", "2.1"}
    assert places["Eq. 1"] == {"C"}
    assert (places["Eq. 2"], places["Eq. 3"]) == ({"D"}, {"D"})
    assert (places["Table 2"], places["Table 4"]) == ({"3.1"}, {"3.2"})


@pytest.mark.parametrize(
    ("text", "allowed", "found"),
    [
        ("Sec. 2.1; App. C, Eq. 1", {"2.1", "C"}, []),
        ("Sec. 2.2, 2.5; Table 4 (S7 to S9)", {"2.2", "2.5", "3.2"}, []),
        ("Sec. 2.2", {"2.3"}, ["Sec. 2.2"]),
        ("Sec. 2.9", {"2.3"}, ["Sec. 2.9"]),
        ("Sec. 2.2 and 2.6.", {"2.2", "2.5"}, ["Sec. 2.6"]),
        ("Sec. C", {"C"}, ["Sec. C"]),
        ("App. E", {"C", "D"}, ["App. E"]),
        ("Eq. 4", {"C", "D"}, ["Eq. 4"]),
        ("Fig. 3", {"2.1"}, ["Fig. 3"]),
        ("Fig. 2e", {"2", "2.1"}, ["Fig. 2e"]),
        ("Table 5", {"3.1"}, ["Table 5"]),
    ],
)
def test_a_wrong_citation_would_be_seen(text: str, allowed: set[str], found: list[str]) -> None:
    assert wrong(text, allowed) == found


def test_every_card_cites_the_section_of_its_component() -> None:
    seen = set()
    for card in cards():
        paper = card.source.get("paper")
        if paper is None:
            continue
        key = f"{card.slot}/{card.name}"
        seen.add(key)
        assert key in COMPONENTS, f"{key}: which section of the paper has it?"
        assert list(citations(paper)), f"{key}: '{paper}' cites no place of the paper"
        assert wrong(paper, COMPONENTS[key]) == [], key
        assert not ODD.search(" ".join(card.source.values())), key
    assert seen == set(COMPONENTS)


def test_every_docstring_cites_the_section_of_its_subject() -> None:
    allowed = dict(MODULES)
    for card in cards():
        key = f"{card.slot}/{card.name}"
        module = card.target.partition(":")[0].removeprefix("spsam.").replace(".", "/") + ".py"
        if key in COMPONENTS:
            allowed[module] = COMPONENTS[key]
    citing = set()
    for file in sorted((ROOT / "spsam").rglob("*.py")):
        name = file.relative_to(ROOT / "spsam").as_posix()
        for text in docstrings(file):
            assert not ODD.search(text), f"{name}: {text}"
            if any(each for each in citations(text) if not each.startswith("Table")):
                citing.add(name)
                assert name in allowed, f"{name}: which section of the paper is it about? {text}"
            if name in allowed:
                assert wrong(text, allowed[name]) == [], f"{name}: {text}"
    assert set(MODULES) <= citing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents_cite_places_that_exist_and_hold_their_subject(page: Path) -> None:
    for line in page.read_text(encoding="utf-8").splitlines():
        cited = list(citations(line))
        for each in cited:
            assert sections_of(each), f"{each}: {line}"
        if not any(each.startswith(("Sec", "App")) for each in cited):
            continue
        for topic, sections in TOPICS.items():
            if topic.lower() in line.lower():
                assert any(sections_of(each) & sections for each in cited), f"{topic}: {line}"


def test_nothing_claims_that_the_paper_names_a_size_of_sam() -> None:
    """It does not; which one is used is the author's code."""
    claim = re.compile(
        r"(?:the )?paper(?:'s)? (?:has|uses|names|is) (?:SAM )?(?:sam_vit|ViT)-?", re.I
    )
    files = [*(ROOT / "spsam").rglob("*.py"), *PAGES, ROOT / "README.md"]
    files += [*(ROOT / "ablations").rglob("*.yaml"), *(ROOT / "registry").rglob("*.yaml")]
    for file in files:
        assert not claim.search(" ".join(file.read_text(encoding="utf-8").split())), file
