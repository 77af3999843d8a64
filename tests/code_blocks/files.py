"""YAML blocks of the documents: read by the loader of their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from spsam.config.slurm import load_slurm
from spsam.config.study import load_study
from spsam.config.sweep import load_sweep
from spsam.config.table import load_table
from spsam.registry.arms import load_arm
from tests.code_blocks.pages import ROOT, Block
from tests.code_blocks.place import run

# A key that only one kind of file has -> the kind.
KINDS = {
    "space": "sweep",
    "shape": "study",
    "disturbances": "prompt study",
    "columns": "table",
    "partition": "slurm",
    "components": "preset",
    "base": "arm",
}


def content(text: str) -> dict[str, Any]:
    read = YAML(typ="safe").load(text)
    assert isinstance(read, dict)
    return read


def check(block: Block) -> None:
    """Writes the block to the file it names, in the working folder, and loads it.

    A block that shows a shipped file has that file's content. One of no kind is a part of an arm.
    """
    shown = content(block.text)
    shipped = ROOT / (block.file or "")
    if block.file and shipped.is_file():
        assert shown == content(shipped.read_text(encoding="utf-8"))
        return
    kind = next((kind for key, kind in KINDS.items() if key in shown), "part of an arm")
    path = Path(block.file or f"block_{block.line}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "base: S9\ntitle: A part\n" if kind == "part of an arm" else ""
    path.write_text(head + block.text, encoding="utf-8")
    _load(kind, path)


def _load(kind: str, path: Path) -> None:
    if kind == "sweep":
        load_sweep(path)
        run("sweep", str(path), "--dry-run")
    elif kind == "study":
        load_study(path)
        run("ablate", str(path), "--dry-run", "--no-measure")
    elif kind == "prompt study":
        run("prompts", str(path), "--dry-run")
    elif kind == "table":
        load_table(path)
    elif kind == "slurm":
        load_slurm(path)
    elif kind == "preset":
        load_arm("S9", preset=str(path))
    else:
        load_arm(path)
