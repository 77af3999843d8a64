"""Evaluation of a network's masks for many prompts: each patch is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.config.prompt_study import Disturbance
from spsam.config.schema import TrainConfig
from spsam.data.preparation.store import PreparedCase
from spsam.engine.predict import autocast
from spsam.engine.prompting.quality import Quality, measure
from spsam.engine.prompting.sources import (
    disturbed_labels,
    disturbed_prompts,
    from_class,
    generator,
    label_logits,
    only,
    without_ignored_points,
)
from spsam.engine.prompting.tiles import Tiles, cut_tiles
from spsam.engine.prompting.volumes import AnsweredVolume
from spsam.model.networks.self_prompt_sam import SelfPromptSAM
from spsam.model.prompts.base import Prompt, Prompts

SLICES_AT_ONCE = 8
"""Number of slices that are decoded at once, which limits the memory of K masks per slice."""


@dataclass(frozen=True, eq=False)
class PromptSpec:
    """One kind of prompting.

    Attributes:
        use: Kinds of prompts passed to SAM.
        prompt: Component that derives prompts of every kind.
        auxiliary: Whether prompts are derived from the network's auxiliary masks instead of the
            ground truth.
        disturbance: Disturbance of the ground truth; None for none.
        seed: Seed of the disturbance.
    """

    use: tuple[str, ...]
    prompt: Prompt
    auxiliary: bool = False
    disturbance: Disturbance | None = None
    seed: int = 0

    @property
    def _origin(self) -> tuple[bool, str | None, int]:
        """Key of the label maps from which the prompts are derived."""
        if self.disturbance is None:
            return self.auxiliary, None, 0
        return self.auxiliary, self.disturbance.name, self.seed


@dataclass
class PromptAnswer:
    """Pixel counts of one case: overlap, prediction, reference.

    Attributes:
        masks: `(S, K, 3)`, of each class's binary mask, by slice.
        labels: `(K, 3)`, of the mask head's label map; None if the mask head is not evaluated.
    """

    masks: NDArray[np.int64]
    labels: NDArray[np.int64] | None


@dataclass
class CaseAnswers:
    """Results of one case.

    Attributes:
        answers: One entry per kind of prompting.
        quality: Quality of the network's own prompts; empty unless requested.
        volumes: Predictions by index of the kind of prompting, if requested.
    """

    answers: list[PromptAnswer]
    quality: list[Quality] = field(default_factory=list)
    volumes: dict[int, AnsweredVolume] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Piece:
    """Some encoded patches of a case.

    Attributes:
        tiles: The patches.
        embedding: `(B·D, C, gh, gw)`.
        auxiliary: `(B, K, D, H, W)` logits.
        case: Id of the case, which determines random draws.
    """

    tiles: Tiles
    embedding: Tensor
    auxiliary: Tensor
    case: str


class PromptEvaluator:
    """Evaluates one network with many kinds of prompting.

    Attributes:
        scale: (x, y), size of a patch's pixel in pixels of the encoder's frame.
        first_class: Index of the first prompted class.

    Args:
        network: The network; set to evaluation mode.
        train: Precision in which the network was trained.
        num_classes: K, number of classes including the background.
        mask_logit: Logit inside a class of the ground truth.
        heads: Whether to evaluate the mask head as well. Otherwise, the background is not prompted,
            because only a label map needs its mask.
    """

    def __init__(
        self,
        network: SelfPromptSAM,
        train: TrainConfig,
        num_classes: int,
        mask_logit: float,
        *,
        heads: bool,
    ) -> None:
        self.network = network.eval()
        self.device = next(network.parameters()).device
        self._train = train
        self._classes = num_classes
        self._amount = mask_logit
        self.first_class = 0 if heads else 1
        frame = network.image_encoder.image_size
        self.scale = (frame[1] / network.image_size[1], frame[0] / network.image_size[0])

    @torch.inference_mode()
    def case(
        self,
        case: PreparedCase,
        questions: Sequence[PromptSpec],
        *,
        quality: bool = False,
        keep: Collection[int] = (),
        on_answer: Callable[[int], None] = lambda patches: None,
    ) -> CaseAnswers:
        """Evaluates one case.

        Args:
            case: The prepared case.
            questions: Kinds of prompting.
            quality: Whether to measure the quality of the network's own prompts.
            keep: Indices of the kinds of prompting whose masks are assembled to volumes.
            on_answer: Called with the number of patches after each kind of prompting.
        """
        result = CaseAnswers([self._nothing(case.label.shape[0]) for _ in questions])
        result.volumes = {n: AnsweredVolume(case, self._classes, self.first_class) for n in keep}
        for piece in self.pieces(case):
            if quality:
                result.quality.append(measure(self.network, piece.auxiliary, piece.tiles))
            answered = zip(result.answers, self.masks(piece, questions), strict=True)
            for number, (answer, (masks, prompts)) in enumerate(answered):
                self._count(answer, piece.tiles, masks, prompts)
                if number in result.volumes:
                    result.volumes[number].add(piece.tiles, masks, prompts.present)
                on_answer(len(piece.tiles))
        return result

    @torch.inference_mode()
    def pieces(self, case: PreparedCase) -> Iterator[Piece]:
        """Iterates over a case's encoded patches, some at a time."""
        tiles = self.tiles(case)
        step = max(1, SLICES_AT_ONCE // self.network.depth)
        for start in range(0, len(tiles), step):
            yield self.piece(tiles.part(start, start + step), case.id)

    @property
    def size(self) -> tuple[int, int, int]:
        """(D, H, W) of the network's patches."""
        return (self.network.depth, *self.network.image_size)

    def tiles(self, case: PreparedCase) -> Tiles:
        """Cuts a case into the network's patches."""
        return cut_tiles(case, self.size)

    @torch.inference_mode()
    def piece(self, tiles: Tiles, case: str) -> Piece:
        """Encodes patches.

        Args:
            tiles: The patches.
            case: Id of the case.
        """
        tiles = tiles.to(self.device)
        with autocast(self.device, self._train):
            embedding, auxiliary = self.network.encode(tiles.images)
        return Piece(tiles, embedding, auxiliary[0].float(), case)

    @torch.inference_mode()
    def masks(
        self, piece: Piece, questions: Sequence[PromptSpec]
    ) -> Iterator[tuple[Tensor, Prompts]]:
        """Decodes raw masks for each kind of prompting.

        Classes start with `first_class`. Kinds of prompting with the same label maps, or with the
        same prompts before selecting the kinds in use, share this computation.

        Args:
            piece: Encoded patches.
            questions: Kinds of prompting.

        Yields:
            Mask logits `(B, K, D, H, W)` and the prompts from which they were decoded, in order.
        """
        logits: dict[object, Tensor] = {}
        prompts: dict[object, Prompts] = {}
        for question in questions:
            origin = question._origin
            if origin not in logits:
                # Only one origin is cached; callers sort kinds of prompting by origin.
                logits.clear()
                prompts.clear()
                logits[origin] = self._logits(piece, question)
            key = (origin, id(question.prompt))
            if key not in prompts:
                prompts[key] = self._prompts(piece, question, logits[origin])
            asked = only(prompts[key], question.use)
            with autocast(self.device, self._train):
                yield self.network.decode(piece.embedding, asked), asked

    def _nothing(self, depth: int) -> PromptAnswer:
        masks = np.zeros((depth, self._classes, 3), np.int64)
        return PromptAnswer(
            masks, None if self.first_class else np.zeros((self._classes, 3), np.int64)
        )

    def _logits(self, piece: Piece, question: PromptSpec) -> Tensor:
        if question.auxiliary:
            return piece.auxiliary
        labels = piece.tiles.reference
        if question.disturbance is not None:
            worse = disturbed_labels(labels.cpu().numpy(), question.disturbance)
            labels = torch.from_numpy(worse).to(self.device)
        return label_logits(labels, self._classes, self._amount)

    def _prompts(self, piece: Piece, question: PromptSpec, logits: Tensor) -> Prompts:
        frame = self.network.image_encoder.image_size
        prompts = question.prompt(logits, frame, self.network.mask_decoder.mask_size)
        assert isinstance(prompts, Prompts)
        if not question.auxiliary:
            prompts = without_ignored_points(prompts, piece.tiles.reference, self.scale)
        disturbance = question.disturbance
        if disturbance is not None:
            draws = generator(question.seed, disturbance.name, piece.case, piece.tiles.starts)
            prompts = disturbed_prompts(prompts, disturbance, draws, frame=frame, scale=self.scale)
        return from_class(prompts, self.first_class)

    def _count(self, answer: PromptAnswer, tiles: Tiles, masks: Tensor, prompts: Prompts) -> None:
        first_class = self.first_class
        classes = torch.arange(first_class, self._classes, device=self.device).view(1, -1, 1, 1, 1)
        counted = tiles.counted[:, None]
        reference = (tiles.reference[:, None] == classes) & counted
        # A class without a prompt has no mask.
        prompted = prompts.present.transpose(1, 2)[..., None, None]
        found = _counts((masks > 0) & prompted & counted, reference)  # (B, K, D, 3)
        for (first, *_), counts in zip(tiles.starts, found.transpose(0, 2, 1, 3), strict=True):
            low, high = max(first, 0), min(first + len(counts), len(answer.masks))
            answer.masks[low:high, first_class:] += counts[low - first : high - first]
        if answer.labels is not None:
            labels = self.network.mask_head.labels(self.network.mask_head(masks))
            predicted = (labels[:, None] == classes) & counted
            answer.labels += _counts(predicted, reference).sum(axis=(0, 2))


def _counts(prediction: Tensor, reference: Tensor) -> NDArray[np.int64]:
    """Counts pixels of overlap, prediction and reference, `(B, K, D, 3)`, in `(B, K, D, H, W)`."""
    parts = [prediction & reference, prediction, reference]
    counts: NDArray[np.int64] = (
        torch.stack([part.sum(dim=(-2, -1)) for part in parts], dim=-1).cpu().numpy()
    )
    return counts
