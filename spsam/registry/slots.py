"""The slots, and the arguments that the engine passes to components in each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Slot:
    """A place in the network that a component fills.

    Attributes:
        name: Key in `blocks:` (or `network:`), and name of the folder of its cards in registry/.
        folder: The package in spsam/model that contains its components.
        base: The class in `base.py` of that package that every component derives from.
        parameters: Positional parameters of a component, passed by the engine.
        meaning: One line for users.
        optional: Positional parameters that a component may declare after these.
        other_bases: Alternative base classes in that module, with the positional parameters of
            their components.
        several: Whether an arm may combine several components.
        by_name: Whether a component takes only the parameters that it declares, in any order.
    """

    name: str
    folder: str
    base: str
    parameters: tuple[str, ...]
    meaning: str
    optional: tuple[str, ...] = ()
    other_bases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    several: bool = False
    by_name: bool = False

    @property
    def base_module(self) -> str:
        """The module of the base class."""
        return f"spsam.model.{self.folder}.base"

    @property
    def bases(self) -> tuple[str, ...]:
        """All classes that a component may derive from."""
        return (self.base, *self.other_bases)

    def given(self, base: str) -> tuple[str, ...]:
        """The positional parameters of components of a base, without `optional` ones."""
        return self.other_bases.get(base, self.parameters)

    def refusal(self, target: str) -> str:
        """The error message for a target that does not derive from a base class."""
        names = " or ".join(f"{self.base_module}:{base}" for base in self.bases)
        return (
            f"target: '{target}' does not fit the slot {self.name}: expected a class derived from "
            f"{names}"
        )


_ALL = (
    Slot(
        "input_adapter",
        "input_adapters",
        "InputAdapter",
        ("in_channels", "image_size", "encoder_size"),
        "before the encoder: maps the volume's channels to three-channel slices",
    ),
    Slot(
        "depth_pos_embed",
        "depth_pos_embeds",
        "DepthPosEmbed",
        ("encoder_dim", "decoder_dim", "depth", "grid"),
        "encodes the position of slices, in the encoder's tokens and the decoder's image position",
    ),
    Slot(
        "adapter",
        "adapters",
        "Adapter",
        ("dim", "depth"),
        "in every transformer block of the encoder and the mask decoder",
        optional=("grid",),
        other_bases={"ProjectionAdapter": ("sites", "depth")},
        several=True,
    ),
    Slot(
        "prompt_generator",
        "prompt_generators",
        "PromptGenerator",
        ("tap_dims", "neck_dim", "grid", "num_classes", "image_size"),
        "predicts auxiliary masks from the encoder's features",
    ),
    Slot(
        "prompt",
        "prompts",
        "Prompt",
        ("num_classes",),
        "derives SAM's point, box and mask for every slice and class from auxiliary masks",
    ),
    Slot(
        "mask_head",
        "mask_heads",
        "MaskHead",
        ("num_classes",),
        "combines one binary mask per class into a label map",
    ),
)

SLOTS: dict[str, Slot] = {slot.name: slot for slot in _ALL}
"""The slots of `blocks:`, in the order of the forward pass."""

OF_SAM = ("image_encoder", "mask_decoder")
"""The two halves of SAM, by the names of a network's parameters."""

NETWORK = Slot(
    "network",
    "networks",
    "Network",
    ("in_channels", "num_classes", "depth", "image_size", "spacing", *OF_SAM, *SLOTS),
    "the trained model: Self-Prompt SAM with the arm's blocks, or another network",
    by_name=True,
)

EVERY_SLOT: dict[str, Slot] = {NETWORK.name: NETWORK, **SLOTS}
"""The network and the slots of `blocks:`."""
