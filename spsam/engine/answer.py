"""Prediction of one volume by trained networks: their mean logits on its original grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spsam.config.fields import Section
from spsam.data.cases import Case
from spsam.data.check import load_checked
from spsam.data.labels import narrow_ids
from spsam.data.preparation.preprocess import preprocess_volume
from spsam.data.preparation.restore import name_pieces, restored
from spsam.data.preparation.store import PreparedCase
from spsam.engine.given_prompts import GivenPrompts
from spsam.engine.keep_largest import postprocessed
from spsam.engine.predict import OnProgress, SlidingLogits
from spsam.errors import InputError

if TYPE_CHECKING:
    from spsam.engine.recipe import EnsembleMember, Recipe

Precision = Literal["fp32", "bf16", "fp16"]
TilesAtOnce = int | Literal["auto"]
SomeSection = TypeVar("SomeSection", bound=Section)


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


def prepare_for(recipes: Sequence[Recipe], case: Case) -> list[PreparedCase]:
    """Reads a volume once and prepares it for every run; images are resampled on demand.

    Memory holds the volume in its file's type once, for any number of runs.

    Args:
        recipes: Recipes of runs with the same number of channels.
        case: The volume.

    Raises:
        InputError: With every problem of the volume, or if the runs prepare it on different axes.
    """
    volume = load_checked(case, recipes[0].config.data.in_channels)
    prepared = [
        preprocess_volume(
            volume, case, recipe.plan, recipe.intensities, recipe.raw_ids, sliced=True
        )
        for recipe in recipes
    ]
    first = prepared[0]
    if any((each.turn, each.box) != (first.turn, first.box) for each in prepared):
        raise InputError(
            f"{case.id}: the runs prepare it on different axes; predict with each run separately"
        )
    return prepared


def answer_of(
    members: Sequence[EnsembleMember],
    prepared: Sequence[PreparedCase],
    *,
    mirror: bool | None = None,
    precision: Precision | None = None,
    tiles: TilesAtOnce | None = "auto",
    prompts: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress | None = None,
) -> Answer:
    """Returns the prediction of a volume; logits are computed on demand.

    Args:
        members: Networks of runs with the same classes.
        prepared: The volume as prepared by `prepare_for` for each network.
        mirror: Whether to average over all mirrorings; None for each run's own setting.
        precision: Precision of the networks; None for each run's own setting.
        tiles: Number of tiles per forward pass, see `TileBatch`; None for each run's own setting.
            Labels do not depend on it.
        prompts: Whether to collect the networks' own prompts.
        on_note: Called with every note on the volume.
        on_progress: Called with the number of finished tiles and of all tiles, over all runs.
    """
    for note in dict.fromkeys(note for ready in prepared for note in ready.notes):
        on_note(str(note))
    given = GivenPrompts()
    counted = _Tiles(len(members), on_progress)
    pieces = []
    for number, (member, ready) in enumerate(zip(members, prepared, strict=True)):
        arm = member.recipe.config.arm
        stream = SlidingLogits(
            member.network,
            ready.image,
            _changed(arm.inference, mirror=mirror, batch_size=tiles),
            _changed(arm.train, precision=precision),
            on_tile=given.of(ready, member.network, number) if prompts else None,
            on_progress=counted.of(number),
        )
        pieces.append(restored(stream, ready))
    return Answer(_mean(pieces), prepared[0], given)


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
    prepared = prepare_for([member.recipe for member in members], case)
    answer = answer_of(members, prepared, **options)
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
        self._view[:, start : start + len(labels)] = chances.cpu().numpy()


class _Tiles:
    """Progress of several runs, counted in tiles."""

    def __init__(self, count: int, on_progress: OnProgress | None) -> None:
        self._done, self._total = [0] * count, [0] * count
        self._on_progress = on_progress

    def of(self, number: int) -> OnProgress | None:
        """Returns the callback for the progress of one run; None without `on_progress`."""
        if self._on_progress is None:
            return None

        def hear(done: int, total: int) -> None:
            assert self._on_progress is not None
            self._done[number], self._total[number] = done, total
            # A run that has not begun is assumed to have as many tiles as the first run.
            self._on_progress(sum(self._done), sum(each or self._total[0] for each in self._total))

        return hear


def _changed(section: SomeSection, **values: Any) -> SomeSection:
    """Replaces values of a configuration section; values that are None are ignored."""
    given = {key: value for key, value in values.items() if value is not None}
    return section.model_copy(update=given) if given else section


def _mean(pieces: Sequence[Iterator[Tensor]]) -> Iterator[Tensor]:
    if len(pieces) == 1:
        yield from pieces[0]
        return
    # Runs may restore different numbers of slices at a time, if their patches or spacings differ.
    held: list[Tensor | None] = [None] * len(pieces)
    while True:
        for number, piece in enumerate(pieces):
            if held[number] is None:
                held[number] = next(piece, None)
        together = [each for each in held if each is not None]
        if not together:
            return
        assert len(together) == len(pieces), "runs restore one volume to different sizes"
        count = min(each.shape[1] for each in together)
        yield torch.stack([each[:, :count] for each in together]).mean(0)
        held = [each[:, count:] if each.shape[1] > count else None for each in together]
