from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spsam.config.base_arm import render
from spsam.config.problems import Place, check
from spsam.config.schema import (
    AdapterPlacement,
    ArmConfig,
    Block,
    Blocks,
    OptimizerConfig,
    RunConfig,
    TrainConfig,
)
from spsam.config.yaml_file import read_yaml

SLOTS = list(Blocks.model_fields)


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Block:
            yield from sections(kind)


@pytest.mark.parametrize("section", sections(RunConfig), ids=lambda section: section.__name__)
def test_every_value_says_what_it_is_and_where_it_comes_from(section: type[BaseModel]) -> None:
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"
    for name, field in section.model_fields.items():
        assert field.description, name
        extra = field.json_schema_extra
        assert isinstance(extra, dict), name
        assert extra["source"] in ("P", "A", "C"), name


def test_the_schedule_is_the_papers_by_default() -> None:
    train = TrainConfig()
    assert (train.epochs, train.iterations, train.generator_epochs) == (1000, 250, 200)
    optimizer = train.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum) == ("sgd", 0.01, 0.99)
    assert (optimizer.nesterov, optimizer.weight_decay) == (True, 3e-5)
    assert (train.poly_power, train.clip_norm, train.batch_size) == (0.9, 12.0, 2)


@pytest.mark.parametrize(("epochs", "alone"), [(1000, 200), (5, 1), (12, 2), (1, 0)])
def test_the_generators_phase_is_a_fifth_unless_it_is_given(epochs: int, alone: int) -> None:
    assert TrainConfig(epochs=epochs).generator_epochs == alone
    assert TrainConfig(epochs=epochs, generator_epochs=1).generator_epochs == 1


def test_the_base_file_is_what_the_schema_writes(repository: Path) -> None:
    written = (repository / "ablations" / "base.yaml").read_text(encoding="utf-8")
    assert written == render(written), "run `python -m spsam.config.base_arm`"


def test_the_base_file_states_every_value_and_the_same_as_the_schema(repository: Path) -> None:
    data = dict(read_yaml(repository / "ablations" / "base.yaml").data)
    blocks = data.pop("blocks")
    assert list(blocks) == SLOTS
    for label in ("title", "summary"):
        data.pop(label)
    arm, problems = check(
        ArmConfig,
        {**data, "blocks": blocks, "name": "base", "title": "base"},
        lambda _: Place(None, None),
    )
    assert problems == []
    fields = {name: field.get_default() for name, field in ArmConfig.model_fields.items()}
    for section, values in data.items():
        assert getattr(arm, section) == fields[section], section
        if not isinstance(values, dict):
            continue
        stated = set(paths(values))
        assert stated == set(paths(fields[section].model_dump(mode="json"))), section
    labels = {"name", "title", "parent", "summary", "plugins", "blocks"}
    assert set(data) == set(ArmConfig.model_fields) - labels


def paths(value: Any, above: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, f"{above}.{key}")
    else:
        yield above


@pytest.mark.parametrize(
    ("written", "block"),
    [
        ("dfused", Block(name="dfused")),
        ({"name": "dfused", "ratio": 0.5}, Block(name="dfused", params={"ratio": 0.5})),
        (
            {"name": "msp", "params": {"widths": [4, 2]}},
            Block(name="msp", params={"widths": (4, 2)}),
        ),
    ],
)
def test_a_block_is_a_name_or_a_name_with_parameters(written: Any, block: Block) -> None:
    assert Block.model_validate(written) == block


@pytest.mark.parametrize("written", [None, 5, ["dfused"]])
def test_a_block_is_nothing_else(written: Any) -> None:
    _, problems = check(Block, written, lambda _: Place(None, None), ("blocks", "adapter"))
    assert str(problems[0]).startswith("blocks.adapter: expected a component's name or a mapping")


def test_a_run_survives_the_way_through_its_file() -> None:
    blocks = {slot: Block(name="x", params={"widths": (1, 2)}) for slot in SLOTS}
    arm = ArmConfig(name="a", title="A", blocks=Blocks(**blocks), plugins=(Path("p"),))
    data = {
        "name": "d",
        "fingerprint": "f",
        "split_name": "s",
        "split_hash": "h",
        "num_classes": 2,
        "class_names": ["background", "organ"],
        "in_channels": 1,
    }
    run = RunConfig.model_validate({"arm": arm, "preset": "cpu", "data": data})
    assert RunConfig.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize(
    ("model", "data", "sentence"),
    [
        (
            TrainConfig,
            {"epochs": 5, "generator_epochs": 6},
            "generator_epochs: expected at most train.epochs (5), got 6",
        ),
        (OptimizerConfig, {"momentum": 0.0}, "nesterov: expected false if momentum is 0"),
        (OptimizerConfig, {"lr": 0}, "lr: expected a number greater than 0, got 0"),
        (OptimizerConfig, {"lr": float("inf")}, "lr: expected a finite number"),
        (AdapterPlacement, {"encoder": ["after_attention"] * 2}, "encoder: contains a place twice"),
        (AdapterPlacement, {"encoder": ["after_attentoin"]}, "did you mean 'after_attention'?"),
    ],
)
def test_values_that_cannot_be_meant(
    model: type[BaseModel], data: dict[str, Any], sentence: str
) -> None:
    value, problems = check(model, data, lambda _: Place(None, None))
    assert value is None
    assert len(problems) == 1
    assert sentence in str(problems[0])


def test_a_range_goes_from_low_to_high() -> None:
    model = ArmConfig.model_fields["augment"].annotation
    _, problems = check(model, {"scale": [1.4, 0.7]}, lambda _: Place(None, None))
    assert str(problems[0]) == "scale: expected [low, high], got [1.4, 0.7]"


def test_nothing_changes_afterwards() -> None:
    train = TrainConfig()
    with pytest.raises(ValidationError):
        train.epochs = 3  # type: ignore[misc]
