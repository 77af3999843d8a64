from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

import spsam
from spsam.errors import InputError
from spsam.metrics import dice as module
from spsam.metrics.dice import CONVENTIONS, dice

K = 4
every_convention = pytest.mark.parametrize("convention", sorted(CONVENTIONS))
label_maps = arrays.arrays(
    np.int16,
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    elements=st.integers(0, K - 1),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    one = draw(label_maps)
    other = arrays.arrays(np.int16, one.shape, elements=st.integers(0, K - 1))
    return one, draw(other)


@every_convention
@given(pair=pairs())
def test_definition(convention: str, pair: tuple[NDArray[Any], NDArray[Any]]) -> None:
    prediction, reference = pair
    scores = dice(prediction, reference, K, convention)
    assert scores.shape == (K,)
    for k in range(K):
        p, r = prediction == k, reference == k
        if r.any():
            assert scores[k] == pytest.approx(2 * (p & r).sum() / (p.sum() + r.sum()))


@every_convention
@given(pair=pairs())
def test_bounds_and_equality(convention: str, pair: tuple[NDArray[Any], NDArray[Any]]) -> None:
    prediction, reference = pair
    scores = dice(prediction, reference, K, convention)
    assert ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all()
    same = dice(reference, reference, K, convention)
    assert (same[np.unique(reference)] == 1).all()


@pytest.mark.parametrize("convention", ["nnunet", "nnformer"])
@given(pair=pairs())
def test_symmetry(convention: str, pair: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Not of transunet's, which scores an invented class and a missed one differently."""
    one, other = dice(*pair, K, convention), dice(*pair[::-1], K, convention)
    assert np.array_equal(one, other, equal_nan=True)


@given(pair=pairs(), seed=st.integers(0, 99))
def test_places_do_not_matter(pair: tuple[NDArray[Any], NDArray[Any]], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(pair[0].size)
    shuffled = [part.reshape(-1)[order] for part in pair]
    assert np.array_equal(dice(*pair, K), dice(*shuffled, K), equal_nan=True)


def test_the_same_as_monai() -> None:
    from monai.metrics import compute_dice

    generator = np.random.default_rng(0)
    for _ in range(20):
        prediction, reference = generator.integers(0, K, (2, 3, 4, 5))
        reference[reference == 2] = 0  # A class that is not there.
        one_hot = [
            torch.nn.functional.one_hot(torch.from_numpy(part), K).movedim(-1, 0)[None]
            for part in (prediction, reference)
        ]
        wanted = compute_dice(*one_hot, include_background=True, ignore_empty=False)[0].numpy()
        there = np.isin(np.arange(K), reference)
        np.testing.assert_allclose(dice(prediction, reference, K)[there], wanted[there], rtol=1e-6)
        assert dice(prediction, reference, K)[2] == wanted[2] == 0


@pytest.mark.parametrize(
    ("convention", "absent", "invented", "missed"),
    [("nnunet", None, 0.0, 0.0), ("nnformer", 1.0, 0.0, 0.0), ("transunet", 0.0, 1.0, 0.0)],
)
def test_an_empty_class(
    convention: str, absent: float | None, invented: float, missed: float
) -> None:
    """Only the convention that is named for it gives an invented organ a 1."""
    prediction, reference = np.array([0, 0, 1, 1]), np.array([0, 0, 2, 0])
    scores = dice(prediction, reference, K, convention)
    assert scores[0] == pytest.approx(0.8)
    assert scores[1] == invented
    assert scores[2] == missed
    assert np.isnan(scores[3]) if absent is None else scores[3] == absent


def test_ordinary_conventions_never_reward_an_invented_organ() -> None:
    rewarding = {name for name, rule in CONVENTIONS.items() if rule.invented > 0}
    assert rewarding == {"transunet"}


def test_tensors_and_types() -> None:
    prediction, reference = np.array([[0, 1], [2, 3]]), np.array([[0, 1], [2, 2]])
    wanted = dice(prediction, reference, K)
    for kind in (np.uint8, np.int16, np.uint64):
        assert np.array_equal(dice(prediction.astype(kind), reference, K), wanted)
    tensors = torch.from_numpy(prediction), torch.from_numpy(reference)
    assert np.array_equal(dice(*tensors, K), wanted)
    assert np.array_equal(dice(prediction, tensors[1], K), wanted)
    assert dice(prediction > 0, reference > 0, 2).tolist() == [1.0, 1.0]


def test_large_volumes_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction, reference = np.random.default_rng(0).integers(0, K, (2, 7, 11, 3))
    wanted = dice(prediction, reference, K)
    monkeypatch.setattr(module, "CHUNK", 10)
    assert np.array_equal(dice(prediction, reference, K), wanted)


def test_nothing_at_all() -> None:
    assert np.isnan(dice(np.zeros(0, dtype=int), np.zeros(0, dtype=int), K)).all()


@pytest.mark.parametrize(
    ("prediction", "reference", "convention", "said"),
    [
        (np.zeros(3, int), np.zeros(4, int), "nnunet", r"same shape: got \(3,\) and \(4,\)"),
        (np.full(3, K), np.zeros(3, int), "nnunet", "the prediction contains .* from 4 to 4"),
        (np.zeros(3, int), np.full(3, -2), "nnunet", "the reference contains .* from -2 to -2"),
        (np.zeros(3), np.zeros(3, int), "nnunet", "prediction of an integer type, got float64"),
        (np.zeros(3, int), np.zeros(3, int), "nnunnet", "did you mean 'nnunet'"),
    ],
)
def test_wrong_input(prediction: Any, reference: Any, convention: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        dice(prediction, reference, K, convention)


def test_public_name() -> None:
    assert spsam.dice is dice
