"""Samplers and pruners by their names in a sweep's file; Optuna is imported on demand."""

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
# These use one sequence of points for the whole study, which depends on the seed.
_ONE_SEED = ("qmc", "brute_force")


def make_sampler(block: Block, number: int = 0) -> BaseSampler:
    """Creates the sampler of one trial.

    Each trial has its own sampler, seeded with the sweep's seed plus the trial's number. Parallel
    workers and later calls therefore never draw the same numbers again, and a sweep with one worker
    is reproducible.

    Args:
        block: Name and parameters of the sampler.
        number: Number of the trial.

    Raises:
        InputError: If the sampler or one of the parameters does not exist.
    """
    params = {"seed": 0, **block.params}
    if isinstance(params["seed"], int) and block.name not in _ONE_SEED:
        params["seed"] += number
    made: BaseSampler = _make("sampler", SAMPLERS, block.name, params)
    return made


def make_pruner(block: Block) -> BasePruner:
    """Creates the pruner of a sweep.

    Raises:
        InputError: If the pruner or one of the parameters does not exist.
    """
    made: BasePruner = _make("pruner", PRUNERS, block.name, block.params)
    return made


def search_problems(sampler: Block, pruner: Block, places: Mapping[str, Place]) -> list[Problem]:
    """Returns the problems of both, with their places in the file."""
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
            "sampler: 'grid' is not supported, since workers that share a study would lose cells; "
            "use a study with `shape: factorial` and spsam ablate for all combinations"
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
        raise InputError(f"{kind}: '{name}' rejects these values: {error}") from error
