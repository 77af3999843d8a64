"""The files of the tutorials in docs/, written where a reader would write them."""

from __future__ import annotations

import re
from pathlib import Path

from spsam.registry.slots import EVERY_SLOT

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("add-an-adapter.md", "add-a-component.md")
_FILE = re.compile(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def files() -> dict[str, dict[str, str]]:
    """Component -> path -> text: class, card and arm of each tutorial, word for word."""
    found: dict[str, dict[str, str]] = {}
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        name = None
        for path, content in _FILE.findall(text):
            if path.endswith(".py"):
                name = Path(path).stem
            assert name is not None, f"{page}: {path} stands before its class"
            found.setdefault(name, {})[path] = content
    return found


def slot_of(name: str) -> str:
    """The slot of a tutorial's component, by the folder of its class."""
    slots = {slot.folder: slot.name for slot in EVERY_SLOT.values()}
    return slots[Path(next(iter(files()[name]))).parent.name]


def in_place(root: Path) -> None:
    """Writes the files of all tutorials into a checkout."""
    for tutorial in files().values():
        for path, content in tutorial.items():
            assert not (root / path).exists(), path
            (root / path).write_text(content, encoding="utf-8")


def as_plugin(folder: Path) -> list[Path]:
    """Writes all tutorials as one folder for `--plugin`, as the page on adapters shows it.

    Returns:
        The arms' files, beside the plugin's own.
    """
    arms = []
    for name, tutorial in files().items():
        (module, card, arm), slot = tutorial, slot_of(name)
        there = folder / "registry" / slot / f"{name}.yaml"
        there.parent.mkdir(parents=True, exist_ok=True)
        target = f"spsam.model.{EVERY_SLOT[slot].folder}.{name}:"
        assert target in tutorial[card]
        there.write_text(tutorial[card].replace(target, f"{name}_blocks:"), encoding="utf-8")
        (folder / f"{name}_blocks.py").write_text(tutorial[module], encoding="utf-8")
        arms.append(folder / Path(arm).name)
        arms[-1].write_text(tutorial[arm], encoding="utf-8")
    return arms
