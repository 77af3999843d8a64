from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from spsam.config.schema import Block
from spsam.config.yaml_file import read_yaml
from spsam.errors import InputError
from spsam.registry.arm_file import read_arm_file
from spsam.registry.arms import ArmLoader, load_arm
from spsam.registry.catalogue import Catalogue
from spsam.registry.differences import differences
from spsam.registry.files import arm_file, arm_files, arm_names, preset_path
from spsam.studies.planning.shapes import listed_arms

from . import small

NINE = [f"S{number}" for number in range(1, 10)]

# The method's table: slots in the order prompt_generator, adapter, depth_pos_embed, input_adapter,
# mask_head.
TABLE = {
    "S1": ("base", "stacked_cnn", "none", "none", "repeat", "argmax"),
    "S2": ("S1", "msp", "none", "none", "repeat", "argmax"),
    "S3": ("S2", "msp", "vanilla", "none", "repeat", "argmax"),
    "S4": ("S3", "msp", "depth_before", "none", "repeat", "argmax"),
    "S5": ("S3", "msp", "depth_after", "none", "repeat", "argmax"),
    "S6": ("S3", "msp", "dfused", "none", "repeat", "argmax"),
    "S7": ("S6", "msp", "dfused", "learned", "repeat", "argmax"),
    "S8": ("S7", "msp", "dfused", "learned", "madapter", "argmax"),
    "S9": ("S8", "msp", "dfused", "learned", "madapter", "mc_adapter"),
}


def mistakes(*args: Any, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_arm(*args, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", NINE)
def test_the_nine_arms_are_the_papers(name: str) -> None:
    arm = load_arm(name)
    blocks = arm.blocks
    assert (
        arm.parent,
        blocks.prompt_generator.name,
        blocks.adapter.name,
        blocks.depth_pos_embed.name,
        blocks.input_adapter.name,
        blocks.mask_head.name,
    ) == TABLE[name]
    assert blocks.prompt.name == "edt"


@pytest.mark.parametrize("name", NINE)
def test_an_arm_changes_one_block_of_its_parent(name: str) -> None:
    parent = TABLE[name][0]
    changes = differences(load_arm(name), load_arm(parent), Catalogue.load())
    assert [change["key"] for change in changes] == {
        "S1": [],  # the base has the simplest block everywhere
        "S2": ["blocks.prompt_generator"],
        "S7": ["blocks.depth_pos_embed"],
        "S8": ["blocks.input_adapter"],
        "S9": ["blocks.mask_head"],
    }.get(name, ["blocks.adapter"])


@pytest.mark.parametrize("name", NINE)
def test_an_arms_file_is_a_diff_that_opens_with_its_command(name: str, repository: Path) -> None:
    path = repository / "ablations" / f"{name}.yaml"
    assert list(read_yaml(path).data) == ["base", "title", "blocks"]
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert f"# spsam ablate {name} --data path/to/ACDC" in head


def test_titles_are_those_of_the_published_table(shared_data: Path) -> None:
    table = (shared_data.parent / "published" / "table4_ablation_acdc.csv").read_text("utf-8")
    rows = [line.split(",") for line in table.splitlines()[1:]]
    assert {name: load_arm(name).title for name, *_ in rows} == {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("preset", ["paper", "cpu", "demo", "smoke"])
def test_every_preset_fits_every_arm(preset: str) -> None:
    arms = [load_arm(name, preset=preset) for name in NINE]
    assert len({arm.train.model_dump_json() for arm in arms}) == 1
    head = preset_path(preset).read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("# spsam ablate") and f"--preset {preset}" in line for line in head)


def test_the_paper_preset_is_the_published_schedule() -> None:
    arm = load_arm("S9", preset="paper")
    assert (arm.backbone.name, arm.backbone.weights) == ("sam_vit_b", "checkpoint")
    assert (arm.train.epochs, arm.train.iterations, arm.train.generator_epochs) == (1000, 250, 200)
    assert arm.inference.mirror


@pytest.mark.parametrize(
    ("protocol", "patch", "encoder"),
    [
        ("acdc", (4, 256), 1024),
        ("synapse", (26, 256), 256),
        ("amos22", (9, 512), 512),
        ("other", (None, None), None),
    ],
)
def test_a_protocol_has_the_sizes_of_its_data_set(
    protocol: str, patch: tuple[int | None, int | None], encoder: int | None
) -> None:
    """Source: the author's code, `method.md`."""
    arm = load_arm("S9", preset="paper", protocol=protocol)
    assert (arm.patch.depth, arm.patch.size) == patch
    assert arm.backbone.encoder_size == encoder
    assert arm.train.precision == "half"
    assert (arm.backbone.name, arm.train.epochs) == ("sam_vit_b", 1000)
    # The word that was typed is the last one.
    assert load_arm("S9", {"patch.depth": 2}, preset="paper", protocol=protocol).patch.depth == 2


def test_a_protocol_is_one_of_its_presets() -> None:
    with pytest.raises(InputError, match="did you mean 'acdc'"):
        load_arm("S9", preset="paper", protocol="acd")
    with pytest.raises(
        InputError, match="preset 'cpu' has no protocol 'acdc'; it has no protocols"
    ):
        load_arm("S9", preset="cpu", protocol="acdc")
    with pytest.raises(InputError, match="requires a preset with this protocol"):
        load_arm("S9", protocol="acdc")


def test_shipped_names() -> None:
    assert set(arm_names()) >= {*NINE, "base", "unet2d", "unet3d"}
    for preset in ("paper", "cpu", "demo", "smoke"):
        assert preset_path(preset).stem == preset


def test_nine_arms_load_fast_and_without_torch() -> None:
    code = (
        "import sys, time\n"
        "import spsam\n"
        "spsam.load_arm('S9', {'train.epochs': 300}, preset='cpu')\n"
        "start = time.process_time()\n"
        "for n in range(1, 10):\n"
        "    spsam.load_arm(f'S{n}')\n"
        "seconds = time.process_time() - start\n"
        "heavy = {'torch', 'timm', 'mlflow', 'pandas', 'numpy'} & set(sys.modules)\n"
        "print(seconds, sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = done.stdout.split(maxsplit=1)
    assert heavy.strip() == "[]"
    # Processor time; a tenth of a second when written.
    assert float(seconds) < 0.5


def test_parsed_files_are_kept() -> None:
    first = [load_arm(name) for name in NINE]
    start = time.process_time()
    assert [load_arm(name) for name in NINE] == first
    assert time.process_time() - start < 0.2


# What follows uses a small installation of its own.


def test_blocks_come_with_all_parameters(installation: Path) -> None:
    arm = load_arm("S3")
    assert (arm.name, arm.title, arm.parent) == ("S3", "S3", "S2")
    assert arm.blocks.adapter.params["ratio"] == 0.25
    assert arm.blocks.adapter.params["count"] == 8
    assert arm.blocks.prompt == Block(name="inherits", params={"kind": "a"})
    assert arm.train.epochs == 7


def test_presets_and_overrides(installation: Path) -> None:
    assert load_arm("S2", preset="quick").train.epochs == 2
    assert load_arm("S3", preset="quick").train.epochs == 7
    assert load_arm("S3", {"train.epochs": 3}, preset="quick").train.epochs == 3
    assert load_arm("S2", {"blocks": {"adapter": {"ratio": 1}}}).blocks.adapter.params["ratio"] == 1
    by_path = preset_path(str(installation / "ablations/presets/quick.yaml"))
    assert load_arm("S2", preset=by_path).train.epochs == 2


def test_a_preset_is_looked_up_with_the_nearest_name(installation: Path) -> None:
    assert mistakes("S2", preset="quikc") == ["unknown preset 'quikc'; did you mean 'quick'?"]
    assert mistakes("S2", preset="a/b.yaml") == ["preset file a/b.yaml does not exist"]
    with pytest.raises(InputError, match="unknown preset 'quikc'"):
        preset_path("quikc")


def test_every_mistake_comes_at_once_with_its_place(installation: Path) -> None:
    path = small.add_arm(
        installation,
        "S4",
        "base: S3\n"
        "trian: {}\n"
        "train:\n"
        "  epochs: many\n"
        "  optimizer: {momentun: 0.9}\n"
        "blocks:\n"
        "  adapter: {ration: 0.5}\n"
        "  prompt: inherit\n"
        "  mask_haed: plain\n"
        "  input_adapter: 3\n",
    )
    found = mistakes("S4", {"train.lr": 0.1, "blocks.adapter.ratio": "wide"})
    assert sorted(found) == sorted(
        [
            f"{path}:2: trian: unknown key; did you mean 'train'?",
            f"{path}:4: train.epochs: expected a whole number, got the text 'many'",
            f"{path}:5: train.optimizer.momentun: unknown key; did you mean 'momentum'?",
            f"{path}:7: blocks.adapter: adapter 'tuned' has no parameter 'ration'; "
            "did you mean 'ratio'?",
            f"{path}:8: blocks.prompt: unknown prompt 'inherit'; did you mean 'inherits'?",
            f"{path}:9: blocks.mask_haed: unknown key; did you mean 'mask_head'?",
            f"{path}:10: blocks.input_adapter: expected a component's name or a mapping with "
            "'name' (for example, none)",
            "--set train.lr=0.1: train.lr: unknown key; did you mean 'train.optimizer.lr'?",
            "--set blocks.adapter.ratio=wide: blocks.adapter.ratio: expected a number, "
            "got the text 'wide'",
        ]
    )


def test_a_mistake_in_a_base_is_one_mistake_for_all_its_arms(installation: Path) -> None:
    small.add_arm(installation, "base", small.BASE_ARM + "agument: {}\n")
    small.add_arm(installation, "S3", "base: S2\nblocks: {prompt: nothing}\n")
    with pytest.raises(InputError) as caught:
        listed_arms(
            [read_arm_file(arm_file(name)) for name in ("S1", "S2", "S3")],
            ArmLoader(Catalogue.load(), {}),
        )
    assert len(caught.value.problems) == 2


def test_unreadable_files(installation: Path) -> None:
    small.add_arm(installation, "S4", "base: S3\nbase: S2\n")
    assert "S4.yaml:2: key 'base' is repeated" in mistakes("S4")[0]
    small.add_arm(installation, "S5", "base: S6\n")
    small.add_arm(installation, "S6", "base: S5\n")
    assert "bases form a cycle: S5 -> S6 -> S5" in mistakes("S5")[0]
    assert mistakes("S77")[0].startswith("unknown arm 'S77'")
    assert mistakes("absent.yaml") == ["arm file absent.yaml does not exist"]


def test_a_root_must_be_complete(installation: Path) -> None:
    small.add_arm(installation, "alone", "title: x\nblocks: {adapter: plain}\n")
    found = mistakes("alone")
    assert sum("is missing" in sentence for sentence in found) == 5
    small.add_arm(installation, "empty", "title: x\n")
    assert mistakes("empty")[0].endswith("empty.yaml: blocks: is missing")


def test_an_arm_of_the_users_own_is_one_file(installation: Path) -> None:
    small.add_arm(Path.cwd(), "S4", "base: S3\ntrain: {epochs: 4}\n")
    assert load_arm("S4").train.epochs == 4
    assert arm_names() == ["S1", "S2", "S3", "S4", "base"]
    Path("mine.yaml").write_text("base: S4\ntitle: Mine\n", encoding="utf-8")
    arm = load_arm("mine.yaml")
    assert (arm.name, arm.parent, arm.title, arm.train.epochs) == ("mine", "S4", "Mine", 4)
    assert load_arm(Path("mine.yaml")) == arm


def test_plugins_are_remembered_by_the_arm(installation: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    small.add_card(plugin / "registry", "adapter", "mine", "mine:Mine")
    (plugin / "mine.py").write_text(
        "from spsam.model.adapters.base import Adapter\n\n\nclass Mine(Adapter):\n"
        "    def __init__(self, dim: int, *, size: int = 3) -> None: ...\n",
        encoding="utf-8",
    )
    arm = load_arm("S1", {"blocks.adapter": "mine"}, plugins=[plugin])
    assert arm.blocks.adapter == Block(name="mine", params={"size": 3})
    assert arm.plugins == (plugin,)


def test_what_an_arm_changes(installation: Path) -> None:
    assert differences(load_arm("S2"), load_arm("S1"), Catalogue.load()) == [
        {"key": "blocks.adapter", "parent": "plain", "value": "tuned"},
        {"key": "blocks.adapter.ratio", "parent": 0.5, "value": 0.25},
    ]
    assert differences(load_arm("S3"), load_arm("S2"), Catalogue.load()) == [
        {"key": "blocks.prompt", "parent": "plain", "value": "inherits"},
        {"key": "train.epochs", "parent": 9, "value": 7},
    ]
    tuned = load_arm("S2", {"blocks.adapter.on": False})
    assert differences(tuned, load_arm("S2"), Catalogue.load()) == [
        {"key": "blocks.adapter.on", "parent": True, "value": False}
    ]
    assert differences(load_arm("base"), None, Catalogue.load()) == []


@pytest.mark.parametrize(
    ("typed", "arms"),
    [
        (["S1..S3"], ["S1", "S2", "S3"]),
        (["S1..3"], ["S1", "S2", "S3"]),
        (["S3,S1..S2"], ["S3", "S1", "S2"]),
        (["S2", "S1..S3", "S2"], ["S2", "S1", "S3"]),
        (["base", "S1"], ["base", "S1"]),
        ([" S1 , S2,"], ["S1", "S2"]),
        (["S1,mine.yaml"], ["S1", Path("mine.yaml")]),
        (["a,b.yaml"], [Path("a,b.yaml")]),
        (["../here/mine.yaml"], [Path("../here/mine.yaml")]),
    ],
)
def test_names_ranges_and_paths(
    installation: Path, typed: list[str], arms: list[str | Path]
) -> None:
    for name in ("mine.yaml", "a,b.yaml"):
        Path(name).write_text("base: S1\n", encoding="utf-8")
    files = [arm if isinstance(arm, Path) else arm_file(arm) for arm in arms]
    assert arm_files(typed) == files


def test_ranges_keep_leading_zeros(installation: Path) -> None:
    for name in ("A08", "A09", "A10"):
        small.add_arm(installation, name, "base: S1\n")
    assert [path.stem for path in arm_files(["A08..A10"])] == ["A08", "A09", "A10"]


def test_all_that_leads_nowhere_is_said_at_once(installation: Path) -> None:
    with pytest.raises(InputError) as caught:
        arm_files(["S2..S4", "S3..S1", "S1..T2", "bsae", "absent.yaml"])
    assert [str(problem) for problem in caught.value.problems] == [
        "unknown arm 'S4'; known: S1, S2, S3, base",
        "'S3..S1': expected the smaller number first",
        "'S1..T2': expected one prefix, e.g. S1..S2",
        "unknown arm 'bsae'; did you mean 'base'?",
        "arm file absent.yaml does not exist",
    ]
    with pytest.raises(InputError, match="no arm given; known: S1, S2, S3, base"):
        arm_files([","])


def test_the_file_of_an_arm(installation: Path) -> None:
    assert arm_file("S1") == installation / "ablations" / "S1.yaml"


def test_a_preset_sizes_a_component_only_where_an_arm_chooses_it(tmp_path: Path) -> None:
    preset = tmp_path / "sized.yaml"
    preset.write_text("components: {prompt_generator: {msp: {widths: [8, 4]}}}\n")
    chosen, other = load_arm("S2", preset=preset), load_arm("S1", preset=preset)
    assert chosen.blocks.prompt_generator.params["widths"] == (8, 4)
    assert other.blocks.prompt_generator == load_arm("S1").blocks.prompt_generator
    own = load_arm("S2", {"blocks.prompt_generator.widths": [16]}, preset=preset)
    assert own.blocks.prompt_generator.params["widths"] == (16,)


def test_mistakes_in_component_defaults_are_said_though_no_arm_chooses_them(tmp_path: Path) -> None:
    preset = tmp_path / "wrong.yaml"
    preset.write_text(
        "components:\n"
        "  prompt_generator: {msp: {width: [8]}, msb: {convs: 1}}\n"
        "  prompt_generators: {msp: {convs: 1}}\n"
    )
    with pytest.raises(InputError) as error:
        load_arm("S1", preset=preset)
    text = str(error.value)
    assert "wrong.yaml:2" in text
    assert "did you mean 'widths'?" in text
    assert "did you mean 'msp'?" in text
    assert "wrong.yaml:3" in text
    assert "did you mean 'prompt_generator'?" in text


def test_dice_is_per_patch_but_for_a_2d_network_as_nnunet_plans_it() -> None:
    found = {
        name: load_arm(name).train.loss.batch_dice for name in ("S1", "S9", "unet2d", "unet3d")
    }
    assert found == {"S1": False, "S9": False, "unet2d": True, "unet3d": False}
