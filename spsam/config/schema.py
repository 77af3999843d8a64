"""The schema of configurations. Every value declares its source.

Sources, as in the fidelity ledger: **P** the paper; **A** the author's other code, or nnU-Net,
whose training procedure the paper adopts; **C** chosen here, because neither specifies the value.
The schema is frozen and rejects unknown keys; `spsam.config.problems.check` validates strictly.
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
from spsam.config.fields import (
    Count,
    NotNegative,
    Positive,
    Section,
    Times,
    Whole,
    author,
    chosen,
    paper,
)
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
        name: Name of the component, which is the name of its card's file without `.yaml`.
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
                "said", "expected a component's name or a mapping with 'name' (for example, none)"
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
    """The branch of `SomeBlocks` that a value belongs to."""
    return SEVERAL if isinstance(value, list | tuple) else ONE


SomeBlocks = Annotated[
    Annotated[Block, Tag(ONE)] | Annotated[tuple[Block, ...], Tag(SEVERAL)],
    Discriminator(_one_or_several),
]
"""One component, or several that are combined: `[fact, conv_depth]`."""


class Blocks(Section):
    """The component of every slot, in the order of the forward pass."""

    input_adapter: Block = paper(..., "Maps the channels of the volume to the encoder's three.")
    depth_pos_embed: Block = paper(..., "Encodes the position of each slice in a patch.")
    adapter: SomeBlocks = paper(
        ..., "Adapter in every transformer block of encoder and mask decoder; one or several."
    )
    prompt_generator: Block = paper(..., "Predicts auxiliary masks from the encoder's features.")
    prompt: Block = paper(..., "Derives point, box and mask prompts from the auxiliary masks.")
    mask_head: Block = paper(..., "Combines one binary mask per class into a label map.")

    @field_validator("adapter")
    @classmethod
    def _each_once(cls, value: Block | tuple[Block, ...]) -> Block | tuple[Block, ...]:
        if isinstance(value, Block):
            return value
        names = [block.name for block in value]
        if not names:
            raise PydanticCustomError("said", "expected at least one component (none is one)")
        if len(set(names)) < len(names):
            raise PydanticCustomError("said", "contains a component twice")
        if len(names) > 1 and "none" in names:
            raise PydanticCustomError("said", "combines none with others: remove it")
        # A list with a single component equals that component, and identifies the same run.
        return value if len(value) > 1 else value[0]

    def of(self, slot: str) -> tuple[Block, ...]:
        """The components of a slot: one, or several for a slot that accepts several."""
        block = getattr(self, slot)
        return (block,) if isinstance(block, Block) else tuple(block)


class AdapterPlacement(Section):
    """The places in a transformer block where adapters are inserted."""

    encoder: tuple[EncoderPlace, ...] = paper(
        ("after_attention", "parallel_mlp"), "Places in each block of the image encoder."
    )
    decoder: tuple[DecoderPlace, ...] = paper(
        ("after_token_to_image", "after_image_to_token"),
        "Places in each two-way block of the mask decoder. The places are the paper's; inserting "
        "each adapter after its sublayer, with its own skip connection, is chosen here.",
    )
    parallel_scale: NotNegative = author(0.5, "Scale s of the adapter parallel to an MLP.")

    @field_validator("encoder", "decoder")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "contains a place twice")
        return value


class BackboneConfig(Section):
    """The SAM model, whose weights stay frozen."""

    name: Literal["sam_tiny", "sam_vit_b", "sam_vit_l", "sam_vit_h"] = chosen(
        "sam_tiny",
        "SAM model. The paper does not specify it; the author's code uses sam_vit_b for ACDC and "
        "sam_vit_h for the CT data sets. sam_tiny is designed for two CPU cores.",
    )
    weights: Literal["shipped", "random", "checkpoint"] = chosen(
        "shipped", "Shipped weights (sam_tiny only), random weights, or a file (checkpoint)."
    )
    checkpoint: Path | None = chosen(None, "File with SAM's weights in the official format.")
    encoder_size: Count | tuple[Count, Count] | Times | None = author(
        None,
        "Size of the encoder's input: pixels, one number for a square or [h, w]; a multiple of the "
        "patch's size, such as 2x; null: size of the patch. One number changes the aspect ratio of "
        "a patch that is not square.",
    )


class PatchConfig(Section):
    """The size of patches, the input of the network."""

    depth: Count | None = author(None, "Number of slices, D; null: planned from the data.")
    size: Count | tuple[Count, Count] | None = author(
        None, "Height and width in pixels, H = W or [H, W]; null: planned from the data."
    )
    max_size: Count = chosen(256, "Maximum height and width of a planned patch, pixels.")
    max_depth: Count = chosen(32, "Maximum number of slices of a planned patch.")
    anisotropy: Annotated[float, Field(ge=1, allow_inf_nan=False)] = author(
        3.0,
        "Slices are kept as acquired if their spacing exceeds the coarser in-plane spacing by more "
        "than this factor; otherwise, all axes are resampled.",
    )


class InferenceConfig(Section):
    """Sliding-window inference over a whole volume."""

    step: Annotated[float, Field(gt=0, le=1)] = author(
        0.5, "Step between tiles, as a fraction of the tile size."
    )
    sigma: Positive = author(
        0.125, "Standard deviation of the Gaussian weight of a tile, as a fraction of its size."
    )
    mirror: bool = author(True, "Average the predictions of all mirrored versions of a tile.")
    batch_size: Count | Literal["auto"] = chosen(
        1, "Number of tiles per forward pass; auto: as many as half of the free memory holds."
    )
    keep_largest: bool | tuple[str, ...] = author(
        False,
        "Classes reduced to their largest connected component: none (false), all (true), or a list "
        "of names.",
    )

    @field_validator("keep_largest")
    @classmethod
    def _classes_once(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        if isinstance(value, bool):
            return value
        if not value:
            raise PydanticCustomError("said", "expected at least one class (use false for none)")
        if len(set(value)) < len(value):
            raise PydanticCustomError("said", "contains a class twice")
        # Sorted: the order changes neither results nor the run's identity.
        return tuple(sorted(value))


class EvaluationConfig(Section):
    """How predictions are scored."""

    convention: Literal["nnunet", "nnformer", "transunet"] = chosen(
        "nnunet", "Score of an empty class; the convention is printed with every table."
    )


class ArmConfig(Section):
    """A resolved arm: a network, its training and its evaluation.

    The name, title, parent, summary and plugins are labels and no part of the arm's identity.
    """

    name: str = chosen(..., "Name of the file without .yaml.")
    title: str = chosen(..., "Title of the arm in tables.")
    parent: str | None = chosen(None, "Arm that this arm is derived from.")
    summary: str = chosen("", "One sentence about the arm.")
    plugins: tuple[Path, ...] = chosen((), "Folders with additional components.")
    network: Block = chosen(
        Block(name="self_prompt_sam"),
        "Network to train: Self-Prompt SAM with the blocks below, or another network, as a name "
        "or {name: ..., parameter: ...}. See `spsam registry list`.",
    )
    blocks: Blocks = paper(..., "Component of every slot.")
    adapter_placement: AdapterPlacement = paper(AdapterPlacement(), "Places of the adapters.")
    backbone: BackboneConfig = paper(BackboneConfig(), "The SAM model.")
    patch: PatchConfig = author(PatchConfig(), "Size of patches, the input of the network.")
    train: TrainConfig = paper(TrainConfig(), "Training schedule and loss.")
    augment: AugmentConfig = paper(AugmentConfig(), "Random augmentation of training patches.")
    inference: InferenceConfig = author(InferenceConfig(), "Sliding-window inference.")
    evaluation: EvaluationConfig = chosen(EvaluationConfig(), "Scoring of predictions.")

    @field_serializer("network")
    def _plain_name(self, value: Block) -> str | dict[str, Any]:
        # A network without parameters is stored as its name, as before networks had parameters.
        return value.model_dump() if value.params else value.name

    def on(self, device: str) -> ArmConfig:
        """The arm as executed on a device (`cpu`, `cuda`, `cuda:1`): resolves half precision."""
        if self.train.precision != "half":
            return self
        precision = "fp16" if device.startswith("cuda") else "fp32"
        train = self.train.model_copy(update={"precision": precision})
        return self.model_copy(update={"train": train})


class RegionConfig(Section):
    """A union of classes that is scored as one."""

    name: str = chosen(..., "Name of the region.")
    classes: tuple[Count, ...] = chosen(..., "Indices of the classes in the region.")


class DataIdentity(Section):
    """The data of a run.

    `fingerprint` and `split_hash` identify the data; names are labels.
    """

    name: str = chosen(..., "Name of the data set.")
    fingerprint: str = chosen(..., "Hash of the data set's content.")
    split_name: str = chosen(..., "Name of the split.")
    split_hash: str = chosen(..., "Hash of the split's lists of cases.")
    fold: Whole = chosen(0, "Fold of the split.")
    num_classes: Count = chosen(..., "Number of classes K, including the background.")
    class_names: tuple[str, ...] = chosen(..., "Names of the classes, background first.")
    in_channels: Count = chosen(..., "Number of image modalities M.")
    preparation: Count = chosen(
        2, "Version of the preprocessing; data of another version are different data."
    )
    regions: tuple[RegionConfig, ...] = chosen((), "Regions to score; empty: score each class.")
    ignore_id: Whole | None = chosen(
        None, "Id of voxels that are not annotated; null: all voxels are annotated."
    )

    @property
    def scored_names(self) -> tuple[str, ...]:
        """Names of the scored regions or classes, background first."""
        if not self.regions:
            return self.class_names
        return (self.class_names[0], *(region.name for region in self.regions))

    @property
    def region_classes(self) -> tuple[tuple[int, ...], ...]:
        """The classes of each region; empty without regions."""
        return tuple(region.classes for region in self.regions)


class RunConfig(Section):
    """Everything that determines the results of a run."""

    arm: ArmConfig = chosen(..., "The arm.")
    preset: str = chosen(..., "Name of the preset; its values are merged into the arm.")
    data: DataIdentity = chosen(..., "The data and their split.")
    seed: Whole = chosen(0, "Seed of initial weights, patches and augmentation.")
    checkpoint_sha256: str | None = chosen(None, "SHA-256 of SAM's weights; null: random weights.")
    initial_sha256: str | None = chosen(
        None, "SHA-256 of the trained weights that training starts from; null: from scratch."
    )


def _frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value
