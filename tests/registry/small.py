"""A small installation: its own cards, arms and components, beside the real package."""

from __future__ import annotations

from pathlib import Path

from spsam.registry import slots

BASES = '''\
"""Bases."""

from typing import Literal

from .adapters.base import Adapter
from .depth_pos_embeds.base import DepthPosEmbed
from .input_adapters.base import InputAdapter
from .mask_heads.base import MaskHead
from .prompt_generators.base import PromptGenerator
from .prompts.base import Prompt

Kind = Literal["a", "b"]
WIDTH = 4


class Any(Adapter, DepthPosEmbed, InputAdapter, MaskHead, PromptGenerator, Prompt):
    """Fits every slot."""


class Base(Any):
    """A base.

    Args:
        num_classes: From the engine.
        kind: Which kind,
            in two lines.
    """

    def __init__(self, num_classes: int, *, kind: Kind = "a") -> None:
        super().__init__()
'''

BLOCKS = '''\
"""Components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from .bases import WIDTH, Any, Base

if TYPE_CHECKING:
    from spsam.model.bases import Kind

HALF = 1 / 2


class Plain(Any):
    """Takes nothing from YAML."""


class Tuned(Any):
    """Takes much.

    Args:
        dim: From the engine.
        ratio: How wide.
        widths: Of the levels.

    Returns:
        ratio: not this one.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        *,
        ratio: float = HALF,
        count: int = 2 * WIDTH,
        widths: tuple[int, ...] | None = None,
        kind: "Kind | None" = None,
        pair: tuple[float, float] = (-1.0, 2.0),
        on: bool = True,
        names: list[str] | str = "x",
    ) -> None:
        super().__init__()


class Inherits(Base):
    """Has its base's parameters."""


class Extends(Base):
    """Has its base's parameters behind its own.

    Args:
        size: Its own.
        kind: Told anew.
    """

    def __init__(self, num_classes: int, *, size: int = 3, **base: Any) -> None:
        super().__init__(num_classes, **base)


class Fixes(Extends):
    """Sets its base's base's parameter itself."""

    def __init__(self, num_classes: int, *, size: int = 5, **rest: Any) -> None:
        super().__init__(num_classes, size=size, kind="b", **rest)


class Endless(Any):
    """Hands what it does not know to what does not name it either."""

    def __init__(self, num_classes: int, **base: Any) -> None:
        super().__init__(**base)


class Needs(Any):
    """Has a parameter without a default."""

    def __init__(self, num_classes: int, *, must: int) -> None:
        super().__init__()


class Open(Any):
    """Takes anything."""

    def __init__(self, **anything: int) -> None:
        super().__init__()


class Odd(Any):
    """Has a type that YAML cannot give."""

    def __init__(self, *, act: nn.Module | None = None) -> None:
        super().__init__()


class Computed(Any):
    """Has a default that is not to be run."""

    def __init__(self, *, size: int = len("abc")) -> None:
        super().__init__()


class Untyped(Any):
    """Has a parameter without a type."""

    def __init__(self, *, size=3) -> None:
        super().__init__()
'''

BASE_ARM = """\
title: The root
blocks:
  input_adapter: plain
  depth_pos_embed: plain
  adapter: plain
  prompt_generator: plain
  prompt: plain
  mask_head: plain
train: {epochs: 9, generator_epochs: 1}
"""

CARDS = {
    "adapter": {"tuned": "Tuned"},
    "prompt": {
        "inherits": "Inherits",
        "needs": "Needs",
        "extends": "Extends",
        "fixes": "Fixes",
    },
    "mask_head": {
        "open": "Open",
        "endless": "Endless",
        "odd": "Odd",
        "computed": "Computed",
        "untyped": "Untyped",
    },
}

SLOTS = (
    "input_adapter",
    "depth_pos_embed",
    "adapter",
    "prompt_generator",
    "prompt",
    "mask_head",
)


def build(root: Path) -> None:
    """Writes package, cards and arms below `root`."""
    package = root / "spsam" / "model"
    package.mkdir(parents=True)
    (package / "bases.py").write_text(BASES, encoding="utf-8")
    (package / "blocks.py").write_text(BLOCKS, encoding="utf-8")
    for known in slots.SLOTS.values():
        base = package / known.folder / "base.py"
        base.parent.mkdir()
        base.write_text(f"from torch import nn\n\nclass {known.base}(nn.Module): ...\n", "utf-8")
    for slot in SLOTS:
        for name, kind in {"plain": "Plain", **CARDS.get(slot, {})}.items():
            add_card(root / "registry", slot, name, f"spsam.model.blocks:{kind}")
    (root / "ablations" / "presets").mkdir(parents=True)
    add_arm(root, "base", BASE_ARM)
    add_arm(root, "S1", "base: base\ntitle: First\n")
    add_arm(root, "S2", "base: S1\nblocks: {adapter: {name: tuned, ratio: 0.25}}\n")
    add_arm(root, "S3", "base: S2\nblocks: {prompt: inherits}\ntrain: {epochs: 7}\n")
    add_arm(root, "presets/quick", "summary: Quick.\ntrain: {epochs: 2}\n")


def add_card(registry: Path, slot: str, name: str, target: str) -> Path:
    """Writes a card."""
    path = registry / slot / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# A card.\ntarget: {target}\nsummary: A component.\n", encoding="utf-8")
    return path


def add_arm(root: Path, name: str, text: str) -> Path:
    """Writes an arm or a preset."""
    path = root / "ablations" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
