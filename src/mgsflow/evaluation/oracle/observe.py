"""The targets that the survey would have measured for draws of the prior.

The functions are those of the simulated sky and of the stages select, targets and splits, so the
exact posterior is that of the same quantities that the flows were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from mgsflow.config import Selection, Simulated, Targets
from mgsflow.core.ledger import Ledger
from mgsflow.core.photometry import extinction_columns
from mgsflow.core.quantities import METALLICITY
from mgsflow.evaluation.oracle.prior import as_table
from mgsflow.sample.black_hole import RELATIONS
from mgsflow.sample.cuts import cuts_of
from mgsflow.sample.splits import required_targets
from mgsflow.sample.targets import derive_targets
from mgsflow.sky.columns import COLUMNS, SERVED
from mgsflow.sky.reply import MISSING
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.photometry import add_fluxes, measure_petrosian
from mgsflow.sky.simulated.population import add_dispersions, distance_modulus, diversify
from mgsflow.sky.simulated.relations import Array
from mgsflow.sky.simulated.spectra import (
    DISPERSION_CAP,
    add_lines,
    measurement_errors,
    observe_spectra,
)


class Kernel(NamedTuple):
    """The Gaussian noise about each draw's true value, in the unit of the survey's measurement.

    `kept`: the probability that the measurement keeps the galaxy in the sample.
    """

    centre: Array
    width: Array
    kept: Array


@dataclass(frozen=True)
class Observed:
    """Draws with their measured targets; draws that the survey would not have kept are left out.

    `rows`: the numbers of the draws; `values`: the targets, O/H NaN where not measurable;
    `kernels`: the noise of the targets that have Gaussian noise.
    """

    rows: Array
    values: pd.DataFrame
    kernels: dict[str, Kernel]

    def of(self, rows: Array) -> Observed:
        """The draws at positions `rows`."""
        kernels = {
            name: Kernel(*(part[rows] for part in kernel)) for name, kernel in self.kernels.items()
        }
        return Observed(self.rows[rows], self.values.iloc[rows].reset_index(drop=True), kernels)


def observe(
    causes: Array,
    deviations: Array,
    simulated: Simulated,
    selection: Selection,
    targets: Targets,
    random: np.random.Generator,
) -> Observed:
    """Measure each draw of the prior once: `causes` (n, CAUSES), `deviations` (n, bands) in mag.

    Their photometry is not measured again: it is the data from which their weights were computed.
    """
    galaxies = diversify(as_table(causes), deviations, random)
    galaxies = add_dispersions(galaxies, random)
    modulus = distance_modulus(galaxies["redshift"].to_numpy(), simulated.redshift_max)
    galaxies = add_fluxes(add_lines(galaxies, modulus, simulated.psf_fwhm, random))
    errors = measurement_errors(galaxies, random)
    measured = _in_our_names(
        measure_petrosian(galaxies, random)
        | {SERVED[name]: galaxies[name] for name in extinction_columns(BANDS)}
        | observe_spectra(galaxies, errors, random).to_dict("series")
    )
    values = derive_targets(measured, targets, Ledger("oracle", len(measured), quiet=True))
    kept = galaxies["petro_mag_r"] <= simulated.petro_mag_r_max
    for cut in cuts_of(selection):
        if not cut.absent(measured):
            kept &= cut.passes(measured)
    kept &= values[required_targets(targets)].notna().all(axis=1)
    names = [*targets.properties, *targets.lines]
    everything = Observed(
        np.arange(len(values)), values[names], _kernels(galaxies, errors, targets)
    )
    return everything.of(np.flatnonzero(kept.to_numpy()))


def _in_our_names(columns: dict[str, pd.Series]) -> pd.DataFrame:
    """The table in the form of read_reply's; the draws are numbered, as they have no identifier."""
    ours = {COLUMNS[name]: values for name, values in columns.items()}
    table = pd.DataFrame(ours).mask(lambda table: table.isin(MISSING))
    return table.assign(objid=np.arange(len(table)))


def _kernels(galaxies: pd.DataFrame, errors: pd.DataFrame, targets: Targets) -> dict[str, Kernel]:
    """Kernels of the targets with Gaussian noise; a metallicity derived from the lines has none."""
    measured = {name: name for name in ("log_stellar_mass", "log_sfr")}
    measured["log_black_hole_mass"] = "velocity_dispersion"
    if targets.metallicity == "catalogue":
        measured[METALLICITY] = METALLICITY
    kernels = {}
    for name, source in measured.items():
        if name in targets.properties:
            centre, width = galaxies[source].to_numpy(), errors[source].to_numpy()
            low, high = (norm.cdf((limit - centre) / width) for limit in _limits(name, targets))
            kernels[name] = Kernel(centre, width, np.maximum(high - low, 1e-12))
    return kernels


def _limits(name: str, targets: Targets) -> tuple[float, float]:
    """The range, in the unit of its kernel, in which a target does not count as missing."""
    plausible = [
        float(as_measured(name, np.array(value), targets)[0])
        for value in targets.plausible.get(name, ())
    ]
    low, high = plausible or (-np.inf, np.inf)
    if name != "log_black_hole_mass":
        return low, high
    settings = targets.black_hole
    return (
        max(low, settings.velocity_dispersion_min, 0.0),
        min(high, settings.velocity_dispersion_max, DISPERSION_CAP),
    )


def as_measured(name: str, value: Array, targets: Targets) -> tuple[Array, Array]:
    """A target's value in the unit of its kernel, and ln of d measured / d value."""
    if name != "log_black_hole_mass":
        return value, np.zeros_like(value)
    intercept, slope = RELATIONS[targets.black_hole.relation]
    dispersion = 200.0 * 10 ** ((value - intercept) / slope)
    return dispersion, np.log(dispersion * np.log(10) / slope)


def on_atom(name: str, value: Array, targets: Targets) -> Array:
    """Whether a value is shared by many galaxies, and so has no density: the cap of the fit."""
    if name != "log_black_hole_mass":
        return np.zeros(np.shape(value), bool)
    return as_measured(name, value, targets)[0] > DISPERSION_CAP - 0.01
