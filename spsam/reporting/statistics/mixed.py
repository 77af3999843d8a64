"""Mixed-effects model of two arms: fixed effect of the arm, random effects of patient and run."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spsam.reporting.statistics.scores import Scores, divide, nan_mean

# Each step of the fit factorises one covariance matrix over all observations.
MOST_OBSERVATIONS = 1000
# The optimiser's step size suits numbers of this magnitude; results are scaled back.
_SCALE = 100.0


@dataclass(frozen=True)
class MixedEffects:
    """The fixed effect of the arm.

    Attributes:
        change: Arm minus other; NaN if the model was not fitted.
        error: Standard error of `change`.
        p: Two-sided Wald p.
        patient_sd: Standard deviation between patients.
        seed_sd: Standard deviation between runs, i.e. the variation between seeds.
        reason: Why there is no estimate; empty if there is one.
    """

    change: float = math.nan
    error: float = math.nan
    p: float = math.nan
    patient_sd: float = math.nan
    seed_sd: float = math.nan
    reason: str = ""


def mixed_effects(arm: Scores, against: Scores) -> MixedEffects:
    """Fits `score ~ arm + (1 | patient) + (1 | run)` by REML, if there are enough data.

    A run is an arm with a seed: equal seeds of different arms are not paired.

    Args:
        arm: Scores of one arm.
        against: Scores of the other arm, over the same patients.
    """
    if min(len(arm.seeds), len(against.seeds)) < 2:
        return MixedEffects(reason="fewer than two seeds")
    table = _observations(arm, against)
    if len(table) > MOST_OBSERVATIONS:
        return MixedEffects(reason=f"{len(table)} observations, more than {MOST_OBSERVATIONS}")
    if table["patient"].nunique() < 3 or table["score"].std() == 0:
        return MixedEffects(reason="too few patients or no variation")
    return _fit(table)


def _observations(arm: Scores, against: Scores) -> pd.DataFrame:
    parts = []
    for is_arm, scores in ((1.0, arm), (0.0, against)):
        means = divide(scores.sums, scores.counts)
        values = nan_mean(means, -1)
        patient, seed = np.indices(values.shape)
        run = [f"{is_arm:.0f}-{number}" for number in seed.ravel()]
        columns = {
            "score": _SCALE * values.ravel(),
            "arm": is_arm,
            "patient": patient.ravel(),
            "run": run,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True).dropna()


def _fit(table: pd.DataFrame) -> MixedEffects:
    from statsmodels.regression.mixed_linear_model import MixedLM

    # Crossed random effects: a single group, with one variance component per effect.
    parts = {"patient": "0 + C(patient)", "run": "0 + C(run)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = MixedLM.from_formula(
                "score ~ arm",
                groups=np.ones(len(table)),
                re_formula="0",
                vc_formula=parts,
                data=table,
            )
            fit = model.fit(reml=True, method=["bfgs", "lbfgs", "nm"])
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            return MixedEffects(reason=f"not fitted: {error}")
    if not fit.converged or not np.isfinite(fit.bse["arm"]):
        return MixedEffects(reason="the fit did not converge")
    variances = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    return MixedEffects(
        change=float(fit.params["arm"]) / _SCALE,
        error=float(fit.bse["arm"]) / _SCALE,
        p=float(fit.pvalues["arm"]),
        patient_sd=math.sqrt(max(0.0, float(variances["patient"]))) / _SCALE,
        seed_sd=math.sqrt(max(0.0, float(variances["run"]))) / _SCALE,
    )
