"""Prediction of one volume by trained networks: their mean logits on its original grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.config.schema import InferenceConfig
from spsam.data.cases import Case
from spsam.data.labels import narrow_ids
from spsam.data.preparation.preprocess import preprocess
from spsam.data.preparation.restore import PIECE, name_pieces, restored
from spsam.data.preparation.store import PreparedCase
from spsam.engine.given_prompts import GivenPrompts
from spsam.engine.keep_largest import postprocessed
from spsam.engine.predict import SlidingLogits
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.engine.segment import EnsembleMember


@dataclass(frozen=True)
class Answer:
    """A prediction that is computed while its pieces are consumed.

    Attributes:
        pieces: Mean logits `(K, n, H, W)` of n slices at a time, as returned by `restored`.
        case: The volume as prepared for the first network.
        given: The networks' own prompts, for the pieces consumed so far.
    """

    pieces: Iterator[Tensor]
    case: PreparedCase
    given: GivenPrompts


def answer_of(
    members: Sequence[EnsembleMember],
    case: Case,
    *,
    mirror: bool | None = None,
    prompts: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Prepares a volume for every network and returns a prediction that is computed on demand.

    Args:
        members: Networks of runs with the same classes.
        case: The volume.
        mirror: Whether to average over all mirrorings; None for each run's own setting.
        prompts: Whether to record the networks' prompts.
        on_note: Called with every note on the volume.

    Raises:
        InputError: With every problem of the volume, or if the runs prepare it on different axes.
    """
    prepared, streams = [], []
    given = GivenPrompts()
    for number, member in enumerate(members):
        recipe = member.recipe
        channels = recipe.config.data.in_channels
        ready = preprocess(
            case, recipe.plan, recipe.intensities, channels=channels, raw_ids=recipe.raw_ids
        )
        prepared.append(ready)
        streams.append(
            SlidingLogits(
                member.network,
                torch.from_numpy(np.ascontiguousarray(ready.image, np.float32)),
                _inference(recipe.config.arm.inference, mirror),
                recipe.config.arm.train,
                given.of(ready, member.network, number) if prompts else None,
            )
        )
    for note in dict.fromkeys(note for ready in prepared for note in ready.notes):
        on_note(str(note))
    first = prepared[0]
    if any((each.turn, each.box) != (first.turn, first.box) for each in prepared):
        raise InputError(
            f"{case.id}: the runs prepare it on different axes; predict with each run separately"
        )
    pieces = [restored(stream, ready) for stream, ready in zip(streams, prepared, strict=True)]
    return Answer(_mean(pieces), first, given)


@dataclass(frozen=True)
class VolumeAnswer:
    """The prediction of a whole volume, in memory.

    Attributes:
        labels: `(D, H, W)` ids as in the label files of the training data, on the volume's original
            grid.
        case: The volume as prepared for the first network; `original` is its grid.
        probabilities: `(K, D, H, W)` float32 on the same grid; None unless requested.
        prompts: See `GivenPrompts.lines`; empty unless requested.
    """

    labels: NDArray[np.integer]
    case: PreparedCase
    probabilities: NDArray[np.float32] | None
    prompts: list[dict[str, Any]]


def answer_in_memory(
    members: Sequence[EnsembleMember],
    case: Case,
    *,
    probabilities: bool = False,
    **options: Any,
) -> VolumeAnswer:
    """Computes the same label map as `spsam.engine.segment.segment` without writing a file.

    Args:
        members: Networks of runs with the same classes.
        case: The volume.
        probabilities: Whether to return the probabilities of every class.
        options: Further options of `answer_of`.

    Raises:
        InputError: As in `answer_of`.
    """
    answer = answer_of(members, case, **options)
    head = members[0].network.mask_head
    chances = _Chances(answer.case, head.activation) if probabilities else None
    add = None if chances is None else chances.add
    labels = name_pieces(answer.pieces, answer.case, head.labels, add)
    labels = largest_of(members[0], labels)
    ids: NDArray[np.integer] = narrow_ids(answer.case.raw_ids)[labels]
    whole = None if chances is None else chances.whole
    return VolumeAnswer(ids, answer.case, whole, answer.given.lines)


def largest_of(member: EnsembleMember, labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Applies a run's postprocessing to a label map; see `spsam.engine.keep_largest`."""
    config = member.recipe.config
    return postprocessed(labels, config.arm.inference, config.data)


class _Chances:
    """Probabilities `(K, D, H, W)` on a case's original grid, filled piece by piece."""

    def __init__(self, case: PreparedCase, activation: str) -> None:
        self._softmax = activation == "softmax"
        self.whole = np.zeros((len(case.raw_ids), *case.original.shape), np.float32)
        # The part outside the crop is background.
        self.whole[0] = 1
        inside = tuple(slice(*bounds) for bounds in case.box) if case.box else ()
        # A view in the prepared orientation, so that values are written to the original positions.
        self._view = case.turn.there(self.whole[(slice(None), *inside)])

    def add(self, start: int, logits: Tensor, labels: Tensor) -> None:
        """Stores the probabilities of slices from `start`, with the arguments of `name_pieces`."""
        chances = logits.softmax(0) if self._softmax else logits.sigmoid()
        self._view[:, start : start + PIECE] = chances.cpu().numpy()


def _inference(config: InferenceConfig, mirror: bool | None) -> InferenceConfig:
    return config if mirror is None else config.model_copy(update={"mirror": mirror})


def _mean(pieces: Sequence[Iterator[Tensor]]) -> Iterator[Tensor]:
    for together in zip(*pieces, strict=True):
        yield together[0] if len(together) == 1 else torch.stack(together).mean(0)
