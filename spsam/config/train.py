"""The section `train`: one schedule, its objective, and how it is executed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from spsam.config.fields import (
    Count,
    Fraction,
    NotNegative,
    Positive,
    Section,
    Whole,
    author,
    chosen,
    paper,
)

Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class OptimizerConfig(Section):
    """The optimiser's step."""

    name: Literal["sgd", "adamw"] = paper("sgd", "The optimiser.")
    lr: Positive = paper(0.01, "Initial learning rate; the author's code uses 0.001.")
    momentum: Decay = paper(0.99, "Momentum of sgd; adamw leaves it out.")
    nesterov: bool = author(True, "Nesterov's form of the momentum.")
    betas: tuple[Decay, Decay] = chosen((0.9, 0.999), "Decay of adamw's two means.")
    weight_decay: NotNegative = paper(3e-5, "Weight decay.")

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("name") == "sgd" and info.data.get("momentum") == 0:
            raise PydanticCustomError("said", "expected false where momentum is 0, got true")
        return value


class DeepSupervisionConfig(Section):
    """Weights of the prompt generator's resolutions in the loss (paper's App. D, Eq. 3)."""

    decay: Annotated[float, Field(gt=0, le=1)] = paper(
        0.5, "Weight of a resolution relative to the next finer one; they sum to one."
    )
    drop_coarsest: bool = author(False, "Leave the coarsest out, as nnU-Net does.")
    weights: tuple[NotNegative, ...] | None = chosen(
        None,
        "Weights from fine to coarse instead, made to sum to one; a resolution without one has "
        "none; null: by decay.",
    )

    @field_validator("weights")
    @classmethod
    def _the_finest_counts(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not (value and value[0] > 0):
            raise PydanticCustomError("said", "expected the first, of the finest, above 0")
        return value


class LossConfig(Section):
    """Cross-entropy + soft Dice of the generator's masks, and of the final ones (App. D)."""

    batch_dice: bool = author(
        False,
        "Dice over all patches of a batch at once; false: of each patch, then their mean. The "
        "planner of nnU-Net has false for a 3D network at full resolution, and true for a 2D one "
        "and for 3D data so large that it plans a low resolution, too (Synapse, AMOS22).",
    )
    dice_background: bool = author(False, "Count the background in the Dice term.")
    smooth: NotNegative = author(1e-5, "Added to the Dice term's numerator and denominator.")
    cross_entropy: NotNegative = author(1.0, "Weight of the cross-entropy.")
    dice: NotNegative = author(1.0, "Weight of the Dice term.")
    generator: NotNegative = paper(1.0, "Weight of the prompt generator's loss, second phase.")
    mask: NotNegative = paper(1.0, "Weight of the final masks' loss, second phase.")


class TrainConfig(Section):
    """The schedule, and how it is executed: the last keys change no result beyond rounding."""

    optimizer: OptimizerConfig = paper(OptimizerConfig(), "The optimiser's step.")
    schedule: Literal["poly", "cosine", "constant"] = paper(
        "poly", "How the learning rate falls, epoch by epoch."
    )
    poly_power: NotNegative = paper(0.9, "Power of the learning rate's polynomial decay.")
    warmup_epochs: Whole = chosen(
        0, "First epochs, in which the learning rate rises to its schedule in a straight line."
    )
    epochs: Count = paper(1000, "Epochs in all.")
    iterations: Count = paper(250, "Steps of an epoch.")
    generator_epochs: Whole = paper(
        None,
        "First epochs, in which only the prompt generator's loss counts; null: a fifth of all, "
        "the paper's 200 of 1000.",
    )
    batch_size: Count = author(2, "Patches of a step, on all devices together.")
    clip_norm: Positive | None = author(12.0, "Largest norm of the gradient; null: not clipped.")
    precision: Literal["fp32", "bf16", "fp16", "half"] = chosen(
        "fp32",
        "fp32, bf16 autocast, or fp16 autocast with a scaled loss; half: fp16 on a GPU, as in the "
        "author's code, and fp32 on a CPU.",
    )
    deep_supervision: DeepSupervisionConfig = paper(DeepSupervisionConfig(), "Weights by level.")
    foreground: Fraction = author(1 / 3, "Share of patches centred on a foreground voxel.")
    loss: LossConfig = author(LossConfig(), "Weights and details of the loss.")
    validate_every: Whole = chosen(0, "Epochs between two scores of the validation cases; 0: none.")
    checkpoint: Literal["last", "best"] = chosen(
        "last",
        "The weights that are scored and handed on: of the last step, or those with the best mean "
        "Dice of the validation cases, the later of equals.",
    )
    accumulate: Count = chosen(
        1, "Pieces that a step's patches are computed in, one after the other, to save memory."
    )
    checkpoint_activations: bool = chosen(
        False, "Compute the encoder's blocks twice instead of keeping what is in them."
    )
    compile: bool = chosen(False, "torch.compile the image encoder and the prompt generator.")
    deterministic: bool = chosen(
        False, "Only operations that give the same bits every time; a GPU has others, faster ones."
    )
    checkpoint_every: Count = chosen(10, "Epochs between two checkpoints.")
    checkpoint_minutes: Positive | None = chosen(
        15.0, "Minutes after which there is another one, in the midst of an epoch; null: none."
    )
    workers: Whole = chosen(0, "Processes that load patches; 0: none extra.")

    @field_validator("generator_epochs", mode="before")
    @classmethod
    def _a_fifth(cls, value: Any, info: ValidationInfo) -> Any:
        # Resolved here, so that whoever shortens `epochs` keeps both phases.
        return round(info.data.get("epochs", 0) / 5) if value is None else value

    @field_validator("generator_epochs")
    @classmethod
    def _at_most_all(cls, value: int, info: ValidationInfo) -> int:
        epochs = info.data.get("epochs")
        if epochs is not None and value > epochs:
            raise PydanticCustomError(
                "said",
                "expected at most train.epochs ({epochs}), got {value}",
                {"epochs": epochs, "value": value},
            )
        return value

    @field_validator("validate_every")
    @classmethod
    def _scores_once(cls, value: int, info: ValidationInfo) -> int:
        epochs, first = info.data.get("epochs"), info.data.get("generator_epochs")
        if epochs is None or first is None:
            return value
        if value and not _multiples(value, first, epochs):
            raise PydanticCustomError(
                "said",
                "expected a number that has a multiple above train.generator_epochs ({first}) and "
                "up to train.epochs ({epochs}), got {value}",
                {"first": first, "epochs": epochs, "value": value},
            )
        return value

    @field_validator("checkpoint")
    @classmethod
    def _needs_scores(cls, value: str, info: ValidationInfo) -> str:
        if value == "best" and info.data.get("validate_every") == 0:
            raise PydanticCustomError(
                "said",
                "expected train.validate_every (epochs) or --validate EPOCHS beside best, got 0",
            )
        return value

    @field_validator("accumulate")
    @classmethod
    def _divides(cls, value: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size")
        if batch is not None and batch % value:
            raise PydanticCustomError(
                "said",
                "expected a divisor of train.batch_size ({batch}), got {value}",
                {"batch": batch, "value": value},
            )
        return value

    @property
    def validations(self) -> int:
        """How often the validation cases are scored."""
        return _multiples(self.validate_every, self.generator_epochs, self.epochs)

    def validates(self, epoch: int) -> bool:
        """Whether the validation cases are scored after an epoch; the first epoch is 0.

        Final masks train in the second phase only: before it they have no score.
        """
        return _multiples(self.validate_every, max(epoch, self.generator_epochs), epoch + 1) > 0


def _multiples(of: int, above: int, at_most: int) -> int:
    """How many multiples of a number are in a range; of 0 none are."""
    return max(0, at_most // of - above // of) if of else 0
