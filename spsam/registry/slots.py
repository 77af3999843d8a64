"""The slots: what a component gets from the engine, whatever its card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Slot:
    """A place that takes one component.

    Attributes:
        name: As in `blocks:` (or `network:`) and as the folder of its cards below registry/.
        folder: The package below spsam/model with its components.
        base: Which class of `base.py` in that package every component derives from.
        parameters: Positional parameters of a component, given by the engine.
        meaning: One line for people.
        optional: Positional parameters that a component may name behind these.
        other_bases: Further classes of that module that a component may derive from instead, with
            the parameters that theirs are given.
        several: Whether an arm may name several components.
        by_name: Whether a component takes only those parameters that it names, in any order.
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
        """The module of the base."""
        return f"spsam.model.{self.folder}.base"

    @property
    def bases(self) -> tuple[str, ...]:
        """All classes that a component may derive from."""
        return (self.base, *self.other_bases)

    def given(self, base: str) -> tuple[str, ...]:
        """The positional parameters of components of a base; `optional` ones not among them."""
        return self.other_bases.get(base, self.parameters)

    def refusal(self, target: str) -> str:
        """The error message for a target that does not derive from a base."""
        names = " or ".join(f"{self.base_module}:{base}" for base in self.bases)
        return f"target: '{target}' is no {self.name}: expected a class that derives from {names}"


_ALL = (
    Slot(
        "input_adapter",
        "input_adapters",
        "InputAdapter",
        ("in_channels", "image_size", "encoder_size"),
        "before the encoder: from the volume's channels to three-channel slices",
    ),
    Slot(
        "depth_pos_embed",
        "depth_pos_embeds",
        "DepthPosEmbed",
        ("encoder_dim", "decoder_dim", "depth", "grid"),
        "tells slices apart, in the encoder's tokens and the decoder's image position",
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
        "from the encoder's maps to auxiliary masks",
    ),
    Slot(
        "prompt",
        "prompts",
        "Prompt",
        ("num_classes",),
        "from auxiliary masks to SAM's point, box and mask of every slice and class",
    ),
    Slot(
        "mask_head",
        "mask_heads",
        "MaskHead",
        ("num_classes",),
        "from one binary mask a class to one label map",
    ),
)

SLOTS: dict[str, Slot] = {slot.name: slot for slot in _ALL}
"""Those of `blocks:`, in the order of the forward pass."""

OF_SAM = ("image_encoder", "mask_decoder")
"""SAM's two halves, as a network names them."""

NETWORK = Slot(
    "network",
    "networks",
    "Network",
    ("in_channels", "num_classes", "depth", "image_size", "spacing", *OF_SAM, *SLOTS),
    "what is trained: Self-Prompt SAM with the arm's blocks, or another network",
    by_name=True,
)

EVERY_SLOT: dict[str, Slot] = {NETWORK.name: NETWORK, **SLOTS}
"""Those of `blocks:`, and the network itself."""
