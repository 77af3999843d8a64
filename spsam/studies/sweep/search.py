"""Samplers and pruners by the names that a sweep's file uses. Optuna is imported when asked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spsam.config.problems import Place
from spsam.config.schema import Block
from spsam.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS: Mapping[str, str] = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
    "brute_force": "BruteForceSampler",
}
PRUNERS: Mapping[str, str] = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
}
# One sequence of points for the whole study: another seed would be another sequence.
_ONE_SEED = ("qmc", "brute_force")


def make_sampler(block: Block, number: int = 0) -> BaseSampler:
    """The sampler of one trial.

    Each trial has a sampler of its own, whose seed is the sweep's plus the trial's number: so
    parallel workers and a second start never draw the same numbers again, and a sweep of one
    worker comes out the same every time.

    Args:
        block: Its name and parameters.
        number: The trial's.

    Raises:
        InputError: If there is no such sampler, or it has no such parameter.
    """
    params = {"seed": 0, **block.params}
    if isinstance(params["seed"], int) and block.name not in _ONE_SEED:
        params["seed"] += number
    made: BaseSampler = _make("sampler", SAMPLERS, block.name, params)
    return made


def make_pruner(block: Block) -> BasePruner:
    """The pruner of a sweep.

    Raises:
        InputError: If there is no such pruner, or it has no such parameter.
    """
    made: BasePruner = _make("pruner", PRUNERS, block.name, block.params)
    return made


def search_problems(sampler: Block, pruner: Block, places: Mapping[str, Place]) -> list[Problem]:
    """What is wrong with both, at the places where they were written."""
    problems: list[Problem] = []
    for kind, make, block in (("sampler", make_sampler, sampler), ("pruner", make_pruner, pruner)):
        try:
            make(block)
        except InputError as error:
            problems += [places[kind].problem(problem.message) for problem in error.problems]
    return problems


def _make(kind: str, known: Mapping[str, str], name: str, params: Mapping[str, Any]) -> Any:
    import warnings

    import optuna

    if (kind, name) == ("sampler", "grid"):
        raise InputError(
            "sampler: 'grid' is not offered, since workers that share a study would lose cells of "
            "it: a study with `shape: factorial`, run by spsam ablate, takes every combination"
        )
    if name not in known:
        raise InputError(f"{kind}: unknown {kind} '{name}'{nearest(name, known)}")
    made = getattr(getattr(optuna, f"{kind}s"), known[name])
    accepted = [key for key in inspect.signature(made.__init__).parameters if key != "self"]
    wrong = [key for key in params if key not in accepted]
    if wrong:
        raise InputError(
            [
                Problem(f"{kind}: '{name}' has no parameter '{key}'{nearest(key, accepted)}")
                for key in wrong
            ]
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return made(**params)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind}: '{name}' does not take these values: {error}") from error
