"""Each tutorial costs what it promises: three files, as a plugin and in the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from spsam.cli.main import app
from spsam.engine.assemble import build_network
from spsam.errors import InputError
from spsam.registry.arms import load_arm
from spsam.registry.catalogue import Card
from spsam.registry.resolve import build
from spsam.registry.slots import EVERY_SLOT
from tests import tutorials

every_tutorial = pytest.mark.parametrize("name", tutorials.files())


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("blocks")
    tutorials.as_plugin(folder)
    names = [path.stem for path in folder.glob("*_blocks.py")]
    with pytest.MonkeyPatch.context() as patch:
        # The contract suites have imported the same modules from a folder of theirs.
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        elsewhere = [each for each in sys.path if not (Path(each) / f"{names[0]}.py").is_file()]
        patch.setattr(sys, "path", elsewhere)
        yield folder


def arm_of(name: str) -> str:
    return Path(list(tutorials.files()[name])[2]).name


def test_every_slot_has_a_tutorial() -> None:
    assert {tutorials.slot_of(name) for name in tutorials.files()} == set(EVERY_SLOT)


@every_tutorial
def test_a_tutorial_is_a_class_a_card_and_an_arm(name: str) -> None:
    (module, card, arm), slot = tutorials.files()[name], tutorials.slot_of(name)
    assert module == f"spsam/model/{EVERY_SLOT[slot].folder}/{name}.py"
    assert card == f"registry/{slot}/{name}.yaml"
    assert Path(arm).parent == Path("ablations")


@every_tutorial
def test_its_arm_is_a_network_that_trains(name: str, plugin: Path) -> None:
    slot = tutorials.slot_of(name)
    arm = load_arm(plugin / arm_of(name), plugins=[plugin])
    (block,) = (arm.network,) if slot == "network" else arm.blocks.of(slot)
    assert (plugin / f"{block.name}_blocks.py").is_file()
    network = build_network(arm, in_channels=1, num_classes=3, depth=2, image_size=64)
    part = network if slot == "network" else getattr(network, slot)
    assert f"{block.name}_blocks" in {type(module).__module__ for module in part.modules()}
    output = network(torch.randn(1, 1, 2, 64, 64))
    assert tuple(output.logits.shape) == (1, 3, 2, 64, 64)
    output.logits.square().mean().backward()
    assert any(p.grad is not None and p.grad.any() for _, p in network.trained_parameters())


def test_all_of_them_are_planned_by_the_command_line(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arms = [str(plugin / arm_of(name)) for name in tutorials.files()]
    words = ["ablate", "S9", *arms, "--plugin", str(plugin), "--data", "phantom"]
    result = CliRunner().invoke(app, [*words, "--preset", "smoke", "--dry-run"])
    assert result.exit_code == 0, result.output
    for name in tutorials.files():
        slot = tutorials.slot_of(name)
        shown = CliRunner().invoke(app, ["registry", "show", slot, name, "--plugin", str(plugin)])
        assert shown.exit_code == 0, shown.output


WRONG = {
    "no_component": ("torch.nn.Module", "def forward(self, x): return x", "derived from"),
    "no_method": ("Adapter", "keeps_slices_apart = True", "must define forward"),
    "too_few": (
        "Adapter",
        "def __init__(self, dim): super().__init__(dim)\n    def forward(self, x): return x",
        r"too many positional arguments; expected __init__\(self, dim, depth\)",
    ),
    "not_optional": (
        "Adapter",
        "def __init__(self, dim, depth, width): super().__init__()\n"
        "    def forward(self, x): return x",
        "missing a required argument: 'width'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_class_that_fits_no_slot_is_refused(name: str, tmp_path: Path) -> None:
    base, body, said = WRONG[name]
    (tmp_path / f"{name}_blocks.py").write_text(
        f"import torch\nfrom spsam.model.adapters.base import Adapter\n\n\n"
        f"class Wrong({base}):\n    {body}\n",
        encoding="utf-8",
    )
    card = Card("adapter", name, f"{name}_blocks:Wrong", "", {}, tmp_path / "card.yaml", tmp_path)
    with pytest.raises(InputError, match=said):
        build(card, (8, 3), {})


@pytest.mark.slow
def test_the_contract_suite_is_for_plugins_too(tmp_path: Path) -> None:
    """`nox -s contract -- FOLDER`: green for what is declared, red for an adapter that hides it."""
    (tmp_path / "registry" / "adapter").mkdir(parents=True)
    code = (
        "from spsam.model.adapters.dfused import DFusedAdapter\n"
        "from spsam.model.adapters.base import Reach\n\n\n"
        "class Mine(DFusedAdapter):\n    reach = Reach(slices=None)\n"
    )
    card = "target: my_depth_blocks:Mine\nsummary: Mine.\n"
    (tmp_path / "registry" / "adapter" / "mine.yaml").write_text(card, encoding="utf-8")
    suites = ["tests/model/test_components.py", "tests/model/adapters/test_contract.py"]
    for text, passes in ((code, True), (code.replace("slices=None", "slices=0"), False)):
        (tmp_path / "my_depth_blocks.py").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites],
            cwd=tutorials.ROOT,
            env=os.environ | {"SPSAM_CONTRACT": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == passes, done.stdout[-3000:]
        assert ("1 failed" in done.stdout) != passes
        assert "adapter-vanilla" not in done.stdout


@pytest.mark.slow
def test_in_a_checkout_nothing_else_is_needed(tmp_path: Path) -> None:
    """With the tutorials' files in place, and no other change, tests of components are green."""
    for folder in ("spsam", "registry", "ablations", "tests", "docs", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(tutorials.ROOT / folder, tmp_path / folder, ignore=ignored)
    for name in ("reports", ".ci"):
        (tmp_path / name).symlink_to(tutorials.ROOT / name)
    for file in (
        *tutorials.ROOT.glob("*.md"),
        *tutorials.ROOT.glob("*.t*"),
        *tutorials.ROOT.glob("*.cff"),
        *tutorials.ROOT.glob("*.py"),
    ):
        shutil.copy(file, tmp_path)
    tutorials.in_place(tmp_path)
    suites = ["registry", "model/test_components.py", "model/adapters/test_contract.py"]
    suites += ["model/networks/test_contract.py"]
    suites += ["model/prompts/test_base.py", "cli/test_registry.py"]
    suites += ["test_yaml_headers.py", "test_provenance.py", "test_documents.py"]
    # Whatever names a component is run for the tutorials' own: for all others it is run already.
    own = " or ".join(tutorials.files())
    chosen = f"not (test_contract or test_components or test_yaml_headers) or {own}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
        + [f"tests/{suite}" for suite in suites],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
