"""The section `train`: schedule, loss and execution of the training."""

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
    """The optimiser and its settings."""

    name: Literal["sgd", "adamw"] = paper("sgd", "Optimiser.")
    lr: Positive = paper(0.01, "Initial learning rate; the author's code uses 0.001.")
    momentum: Decay = paper(0.99, "Momentum of sgd; ignored by adamw.")
    nesterov: bool = author(True, "Use Nesterov momentum with sgd.")
    betas: tuple[Decay, Decay] = chosen((0.9, 0.999), "Betas of adamw: decay of both averages.")
    weight_decay: NotNegative = paper(3e-5, "Weight decay.")

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("name") == "sgd" and info.data.get("momentum") == 0:
            raise PydanticCustomError("said", "expected false if momentum is 0, got true")
        return value


class DeepSupervisionConfig(Section):
    """Weights of the prompt generator's resolutions in the loss (paper's App. D, Eq. 3)."""

    decay: Annotated[float, Field(gt=0, le=1)] = paper(
        0.5, "Weight of a resolution relative to the next finer one; weights are normalised to 1."
    )
    drop_coarsest: bool = author(False, "Exclude the coarsest resolution, as nnU-Net does.")
    weights: tuple[NotNegative, ...] | None = chosen(
        None,
        "Explicit weights, from fine to coarse, normalised to a sum of 1; resolutions without a "
        "weight get 0; null: weights by decay.",
    )

    @field_validator("weights")
    @classmethod
    def _the_finest_counts(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not (value and value[0] > 0):
            raise PydanticCustomError("said", "expected a positive weight of the finest resolution")
        return value


class LossConfig(Section):
    """Cross-entropy + soft Dice of the generator's masks, and of the final ones (App. D)."""

    batch_dice: bool = author(
        False,
        "Compute Dice over all patches of a batch together; false: compute it per patch, then "
        "average. nnU-Net plans false for a 3D network at full resolution, and true for a 2D one "
        "and for 3D data that also get a low-resolution plan (Synapse, AMOS22).",
    )
    dice_background: bool = author(False, "Include the background in the Dice term.")
    smooth: NotNegative = author(1e-5, "Constant added to numerator and denominator of Dice.")
    cross_entropy: NotNegative = author(1.0, "Weight of the cross-entropy.")
    dice: NotNegative = author(1.0, "Weight of the Dice term.")
    generator: NotNegative = paper(1.0, "Weight of the prompt generator's loss, second phase.")
    mask: NotNegative = paper(1.0, "Weight of the final masks' loss, second phase.")


class TrainConfig(Section):
    """Schedule, loss and execution; keys of the execution change results by rounding only."""

    optimizer: OptimizerConfig = paper(OptimizerConfig(), "Optimiser and its settings.")
    schedule: Literal["poly", "cosine", "constant"] = paper(
        "poly", "Decay of the learning rate, updated once per epoch."
    )
    poly_power: NotNegative = paper(0.9, "Exponent of the polynomial decay (poly).")
    warmup_epochs: Whole = chosen(0, "Initial epochs with a linear increase of the learning rate.")
    epochs: Count = paper(1000, "Total number of epochs.")
    iterations: Count = paper(250, "Steps per epoch.")
    generator_epochs: Whole = paper(
        None,
        "Initial epochs (first phase) that train with the prompt generator's loss only; null: a "
        "fifth of all epochs, as in the paper (200 of 1000).",
    )
    batch_size: Count = author(2, "Patches per step, on all devices together.")
    clip_norm: Positive | None = author(12.0, "Maximum norm of the gradient; null: no clipping.")
    precision: Literal["fp32", "bf16", "fp16", "half"] = chosen(
        "fp32",
        "fp32, bf16 autocast, or fp16 autocast with a scaled loss; half: fp16 on a GPU, as in the "
        "author's code, and fp32 on a CPU.",
    )
    deep_supervision: DeepSupervisionConfig = paper(
        DeepSupervisionConfig(), "Weights of the prompt generator's resolutions in the loss."
    )
    foreground: Fraction = author(1 / 3, "Fraction of patches centred on a foreground voxel.")
    loss: LossConfig = author(LossConfig(), "Terms of the loss and their weights.")
    validate_every: Whole = chosen(0, "Epochs between validations; 0: no validation.")
    checkpoint: Literal["last", "best"] = chosen(
        "last",
        "Weights to score and export: those of the last step, or those with the best mean Dice on "
        "the validation cases (the later ones if equal).",
    )
    accumulate: Count = chosen(
        1, "Number of pieces a batch is split into to save memory (gradient accumulation)."
    )
    checkpoint_activations: bool = chosen(
        False, "Recompute the encoder's activations in the backward pass to save memory."
    )
    compile: bool = chosen(False, "Use torch.compile for image encoder and prompt generator.")
    deterministic: bool = chosen(
        False, "Use only deterministic operations; on a GPU, they are slower."
    )
    checkpoint_every: Count = chosen(10, "Epochs between checkpoints.")
    checkpoint_minutes: Positive | None = chosen(
        15.0, "Minutes between checkpoints, also within an epoch; null: no limit."
    )
    workers: Whole = chosen(0, "Processes that load patches; 0: none besides the main process.")

    @field_validator("generator_epochs", mode="before")
    @classmethod
    def _a_fifth(cls, value: Any, info: ValidationInfo) -> Any:
        # Resolved here, so that both phases remain if `epochs` is reduced.
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
                "expected a number with a multiple above train.generator_epochs ({first}) and at "
                "most train.epochs ({epochs}), got {value}",
                {"first": first, "epochs": epochs, "value": value},
            )
        return value

    @field_validator("checkpoint")
    @classmethod
    def _needs_scores(cls, value: str, info: ValidationInfo) -> str:
        if value == "best" and info.data.get("validate_every") == 0:
            raise PydanticCustomError(
                "said",
                "best requires train.validate_every (epochs) or --validate EPOCHS, got 0",
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
    def steps(self) -> int:
        """Total number of steps."""
        return self.epochs * self.iterations

    @property
    def validations(self) -> int:
        """Number of validations."""
        return _multiples(self.validate_every, self.generator_epochs, self.epochs)

    def validates(self, epoch: int) -> bool:
        """Whether the validation cases are scored after an epoch; the first epoch is 0.

        There are no validations in the first phase, in which the final masks are not trained.
        """
        return _multiples(self.validate_every, max(epoch, self.generator_epochs), epoch + 1) > 0


def _multiples(of: int, above: int, at_most: int) -> int:
    """How many multiples of a number are in a range; none for 0."""
    return max(0, at_most // of - above // of) if of else 0
