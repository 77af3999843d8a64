"""What a configuration may say. Every value carries where it comes from.

Sources, as in the fidelity ledger: **P** the paper, **A** the author's other code or nnU-Net, whose
training the paper takes over, **C** chosen here because neither settles it.
The schema is frozen and refuses unknown keys; `spsam.config.problems.check` validates strictly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from spsam.config.augment import AugmentConfig
from spsam.config.fields import Count, NotNegative, Positive, Section, Whole, author, chosen, paper
from spsam.config.problems import ONE, SEVERAL
from spsam.config.train import DeepSupervisionConfig, LossConfig, OptimizerConfig, TrainConfig

__all__ = [
    "AdapterPlacement",
    "ArmConfig",
    "AugmentConfig",
    "BackboneConfig",
    "Block",
    "Blocks",
    "DataIdentity",
    "DeepSupervisionConfig",
    "EvaluationConfig",
    "InferenceConfig",
    "LossConfig",
    "OptimizerConfig",
    "PatchConfig",
    "RunConfig",
    "TrainConfig",
]

EncoderPlace = Literal["after_attention", "parallel_mlp", "before_attention", "before_mlp"]
DecoderPlace = Literal[
    "after_self_attention",
    "after_token_to_image",
    "parallel_mlp",
    "after_image_to_token",
    "after_final_attention",
]


class Block(BaseModel):
    """A component in a slot: `adapter: dfused`, or `adapter: {name: dfused, ratio: 0.5}`.

    Attributes:
        name: The component's name, as its card's file is called.
        params: Values of its keyword-only parameters; sequences are tuples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    params: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keys_beside_name_are_params(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value, "params": {}}
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "said", "expected a component's name or a mapping with 'name' (a word such as none)"
            )
        if set(value) <= {"name", "params"} and isinstance(value.get("params", {}), dict):
            return value
        params = {key: item for key, item in value.items() if key != "name"}
        return {"params": params} | ({"name": value["name"]} if "name" in value else {})

    @field_validator("params")
    @classmethod
    def _sequences_are_tuples(cls, value: dict[str, Any]) -> dict[str, Any]:
        return {key: _frozen(item) for key, item in value.items()}


def _one_or_several(value: Any) -> str:
    """Which branch of `SomeBlocks` a value is of."""
    return SEVERAL if isinstance(value, list | tuple) else ONE


SomeBlocks = Annotated[
    Annotated[Block, Tag(ONE)] | Annotated[tuple[Block, ...], Tag(SEVERAL)],
    Discriminator(_one_or_several),
]
"""One component, or several that work together: `[fact, conv_depth]`."""


class Blocks(Section):
    """The component of every slot, in the order of the forward pass."""

    input_adapter: Block = paper(..., "From the volume's channels to the encoder's three.")
    depth_pos_embed: Block = paper(..., "What tells the slices of a patch apart.")
    adapter: SomeBlocks = paper(
        ..., "In every transformer block of the encoder and the mask decoder; one or several."
    )
    prompt_generator: Block = paper(..., "From the encoder's maps to auxiliary masks.")
    prompt: Block = paper(..., "From auxiliary masks to SAM's points, boxes and masks.")
    mask_head: Block = paper(..., "From one binary mask a class to one label map.")

    @field_validator("adapter")
    @classmethod
    def _each_once(cls, value: Block | tuple[Block, ...]) -> Block | tuple[Block, ...]:
        if isinstance(value, Block):
            return value
        names = [block.name for block in value]
        if not names:
            raise PydanticCustomError("said", "expected at least one component (none is one)")
        if len(set(names)) < len(names):
            raise PydanticCustomError("said", "names a component twice")
        if len(names) > 1 and "none" in names:
            raise PydanticCustomError("said", "names none beside others: take it out")
        # A list of one is that one, and the same run.
        return value if len(value) > 1 else value[0]

    def of(self, slot: str) -> tuple[Block, ...]:
        """The components of a slot: one, but for a slot that takes several."""
        block = getattr(self, slot)
        return (block,) if isinstance(block, Block) else tuple(block)


class AdapterPlacement(Section):
    """Where in a transformer block adapters stand."""

    encoder: tuple[EncoderPlace, ...] = paper(
        ("after_attention", "parallel_mlp"), "Places in each block of the image encoder."
    )
    decoder: tuple[DecoderPlace, ...] = paper(
        ("after_token_to_image", "after_image_to_token"),
        "Places in each two-way block of the mask decoder. Where is the paper's; that each stands "
        "behind its sublayer, with its own skip, is chosen here.",
    )
    parallel_scale: NotNegative = author(0.5, "Factor s of the adapter that is parallel to an MLP.")

    @field_validator("encoder", "decoder")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "names a place twice")
        return value


class BackboneConfig(Section):
    """SAM itself, which stays frozen."""

    name: Literal["sam_tiny", "sam_vit_b", "sam_vit_l", "sam_vit_h"] = chosen(
        "sam_tiny",
        "Which SAM. The paper names none; the author's code has sam_vit_b for ACDC and sam_vit_h "
        "for the CT sets. sam_tiny is for two cores.",
    )
    weights: Literal["shipped", "random", "checkpoint"] = chosen(
        "shipped", "Those that come with spsam (sam_tiny), none (random), or a file (checkpoint)."
    )
    checkpoint: Path | None = chosen(None, "File with weights in the official format.")
    encoder_size: Count | tuple[Count, Count] | None = author(
        None,
        "The encoder's input: h = w or [h, w], pixels; null: as the patch. A patch that is not "
        "square keeps its aspect only with a pair of the same.",
    )


class PatchConfig(Section):
    """The piece of a volume that is segmented at once."""

    depth: Count | None = author(None, "D, slices; null: planned from the data.")
    size: Count | tuple[Count, Count] | None = author(
        None, "H = W or [H, W], pixels; null: planned from the data."
    )
    max_size: Count = chosen(256, "Largest H and W that the planner may take, pixels.")
    max_depth: Count = chosen(32, "Largest D that the planner may take, slices.")
    anisotropy: Annotated[float, Field(ge=1, allow_inf_nan=False)] = author(
        3.0,
        "Slices stay as acquired where their spacing is more than this many times the coarser one "
        "of the other two; else every axis is resampled.",
    )


class InferenceConfig(Section):
    """Sliding window over a whole volume."""

    step: Annotated[float, Field(gt=0, le=1)] = author(0.5, "Step between tiles, in tiles.")
    sigma: Positive = author(0.125, "Standard deviation of a tile's Gaussian weight, in tiles.")
    mirror: bool = author(True, "Average over all mirrorings of a tile.")
    batch_size: Count | Literal["auto"] = chosen(
        1, "Tiles at once; auto: as many as half of the free memory holds."
    )
    keep_largest: bool | tuple[str, ...] = author(
        False,
        "Classes of which the largest connected component alone is kept: none (false), every one "
        "(true), or a list of names.",
    )

    @field_validator("keep_largest")
    @classmethod
    def _classes_once(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if isinstance(value, bool):
            return value
        if not value:
            raise PydanticCustomError("said", "expected at least one class (false: none)")
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "names a class twice")
        # Their order changes nothing, and so no run's identity.
        return tuple(sorted(value))


class EvaluationConfig(Section):
    """How predictions are scored."""

    convention: Literal["nnunet", "nnformer", "transunet"] = chosen(
        "nnunet", "What an empty class scores; printed with every table."
    )


class ArmConfig(Section):
    """One arm of an ablation, resolved: what a network is, how it is trained and scored.

    The name, title, parent, summary and plugins are labels, not part of its identity.
    """

    name: str = chosen(..., "The file's name without .yaml.")
    title: str = chosen(..., "The arm in a table.")
    parent: str | None = chosen(None, "The arm that this one is a change of.")
    summary: str = chosen("", "A sentence about the arm.")
    plugins: tuple[Path, ...] = chosen((), "Folders whose components may be used.")
    network: Block = chosen(
        Block(name="self_prompt_sam"),
        "What is trained: Self-Prompt SAM with the blocks below, or another network, by its name "
        "or {name: ..., parameter: ...}. See `spsam registry list`.",
    )
    blocks: Blocks = paper(..., "The component of every slot.")
    adapter_placement: AdapterPlacement = paper(AdapterPlacement(), "Where adapters stand.")
    backbone: BackboneConfig = paper(BackboneConfig(), "SAM itself.")
    patch: PatchConfig = author(PatchConfig(), "The piece of a volume that is segmented at once.")
    train: TrainConfig = paper(TrainConfig(), "The schedule.")
    augment: AugmentConfig = paper(AugmentConfig(), "Random changes of training patches.")
    inference: InferenceConfig = author(InferenceConfig(), "Sliding window over a volume.")
    evaluation: EvaluationConfig = chosen(EvaluationConfig(), "How predictions are scored.")

    @field_serializer("network")
    def _plain_name(self, value: Block) -> str | dict[str, Any]:
        # A network without parameters is its name, as it was before any had some.
        return value.model_dump() if value.params else value.name

    def on(self, device: str) -> ArmConfig:
        """The arm as it computes on a device (`cpu`, `cuda`, `cuda:1`): half precision is named."""
        if self.train.precision != "half":
            return self
        precision = "fp16" if device.startswith("cuda") else "fp32"
        train = self.train.model_copy(update={"precision": precision})
        return self.model_copy(update={"train": train})


class RegionConfig(Section):
    """A union of classes that is scored as one."""

    name: str = chosen(..., "The region's name.")
    classes: tuple[Count, ...] = chosen(..., "Indices of its classes.")


class DataIdentity(Section):
    """The data of a run.

    `fingerprint` and `split_hash` identify it; names are for people.
    """

    name: str = chosen(..., "The data set's name.")
    fingerprint: str = chosen(..., "Hash of its content.")
    split_name: str = chosen(..., "The split's name.")
    split_hash: str = chosen(..., "Hash of the split's case lists.")
    fold: Whole = chosen(0, "Which fold of the split.")
    num_classes: Count = chosen(..., "K, background included.")
    class_names: tuple[str, ...] = chosen(..., "Names of the classes, background first.")
    in_channels: Count = chosen(..., "M, image modalities.")
    preparation: Count = chosen(
        2, "Version of what preparation makes of the data: another one is other data."
    )
    regions: tuple[RegionConfig, ...] = chosen((), "What is scored; empty: every class by itself.")
    ignore_id: Whole | None = chosen(
        None, "The id of voxels that were not annotated; null: every voxel is."
    )

    @property
    def scored_names(self) -> tuple[str, ...]:
        """Names of what is scored, the background first: the regions, or every class."""
        if not self.regions:
            return self.class_names
        return (self.class_names[0], *(region.name for region in self.regions))

    @property
    def region_classes(self) -> tuple[tuple[int, ...], ...]:
        """The classes of each region; empty without regions."""
        return tuple(region.classes for region in self.regions)


class RunConfig(Section):
    """Everything that one run depends on."""

    arm: ArmConfig = chosen(..., "The arm.")
    preset: str = chosen(..., "The preset's name; its values are in the arm.")
    data: DataIdentity = chosen(..., "The data and their split.")
    seed: Whole = chosen(0, "Of initial weights, patches and augmentation.")
    checkpoint_sha256: str | None = chosen(None, "Of SAM's weights; null: random ones.")
    initial_sha256: str | None = chosen(
        None, "Of the trained weights of an earlier run that it begins with; null: of none."
    )


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
