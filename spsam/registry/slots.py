"""The slots: what a component gets from the engine, whatever its card says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A place that takes one component.

    Attributes:
        name: As in `blocks:` (or `network:`) and as the folder of its cards below registry/.
        folder: The package below spsam/model with its components.
        base: Which class of `base.py` in that package every component derives from.
        parameters: Positional parameters of a component, given by the engine.
        meaning: One line for people.
        by_name: Whether a component takes only those parameters that it names, in any order.
    """

    name: str
    folder: str
    base: str
    parameters: tuple[str, ...]
    meaning: str
    by_name: bool = False

    @property
    def base_module(self) -> str:
        """The module of the base."""
        return f"spsam.model.{self.folder}.base"

    def refusal(self, target: str) -> str:
        """What is said of a target that does not derive from the base."""
        return (
            f"target: '{target}' is no {self.name}: expected a class that derives from "
            f"{self.base_module}:{self.base}"
        )


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
