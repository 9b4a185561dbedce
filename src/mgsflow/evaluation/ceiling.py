"""The upper limit that the catalogue's own errors set on R2: noise cannot be predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mgsflow.config import Targets
from mgsflow.core.quantities import FLUX_OF_LINE
from mgsflow.sample.black_hole import log_black_hole_mass


def ceiling(truth: np.ndarray, error: np.ndarray) -> float:
    """R2 of a prediction that equals each galaxy's true value: 1 - mean(error^2) / var(truth).

    `truth` (n,) are measured values and `error` (n,) their standard deviations. The variance of the
    measured values is the variance of the true values plus the mean square of the errors. NaN for
    fewer than two galaxies or for values without spread.
    """
    spread = float(np.var(truth)) if len(truth) > 1 else 0.0
    return float(1 - np.mean(error**2) / spread) if spread > 0 else float("nan")


def target_errors(catalogue: pd.DataFrame, targets: Targets) -> pd.DataFrame:
    """Errors of the targets for which the catalogue has them, in the target's unit, by objid.

    Errors that are not positive count as missing. An error is propagated through a logarithm by the
    difference to the value one error higher. Where errors are large this is less than the slope
    would give, so that the ceiling is too high rather than too low.
    """
    errors = {}
    for name in targets.properties:
        if name == "log_black_hole_mass":
            errors[name] = _black_hole_mass(catalogue, targets)
        elif name != "metallicity" or targets.metallicity == "catalogue":
            errors[name] = _positive(catalogue, f"{name}_err")
    for name in targets.lines:
        errors[name] = _line(catalogue, FLUX_OF_LINE[name])
    known = {name: values for name, values in errors.items() if values is not None}
    return pd.DataFrame({"objid": catalogue["objid"], **known}).set_index("objid")


def _positive(catalogue: pd.DataFrame, name: str) -> pd.Series | None:
    if name not in catalogue:
        return None
    values = catalogue[name].astype(float)
    return values.where(values > 0)


def _black_hole_mass(catalogue: pd.DataFrame, targets: Targets) -> pd.Series | None:
    """Error from the dispersion alone: the implied masses do not include the relation's scatter."""
    error = _positive(catalogue, "velocity_dispersion_err")
    if error is None:
        return None
    dispersion = catalogue["velocity_dispersion"].astype(float)
    masses = [
        log_black_hole_mass(values.to_numpy(), targets.black_hole.relation)
        for values in (dispersion, dispersion + error)
    ]
    return pd.Series(masses[1] - masses[0], index=catalogue.index)


def _line(catalogue: pd.DataFrame, flux: str) -> pd.Series | None:
    error = _positive(catalogue, f"{flux}_err")
    if error is None:
        return None
    value = catalogue[flux].astype(float).clip(lower=0)
    return np.log1p(value + error) - np.log1p(value)
