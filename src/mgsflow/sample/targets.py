"""The stage that derives the quantities to infer, and counts the missing ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Targets
from mgsflow.core.errors import UserError
from mgsflow.core.ledger import Ledger
from mgsflow.core.quantities import FLUX_OF_LINE, LINE_FLUXES, METALLICITY, QUANTITIES
from mgsflow.core.tables import read_table, write_table
from mgsflow.sample.black_hole import log_black_hole_mass
from mgsflow.sample.metallicity import metallicity_from_lines


def targets(*, selected: Path, targets: Targets, out: Path, dropped: Path) -> None:
    """Derive the properties and lines to infer, one row per galaxy; missing values are NaN.

    No galaxy is dropped here: the stage splits decides which targets are required. Values that were
    clipped or set to missing are counted in the notes of `dropped`.
    """
    table = read_table(selected)
    ledger = Ledger("targets", len(table))
    _check_columns(table, targets, selected)
    result = derive_targets(table, targets, ledger)
    ledger.write(dropped, len(table))
    write_table(out, result)


def derive_targets(table: pd.DataFrame, targets: Targets, ledger: Ledger) -> pd.DataFrame:
    """The quantities to infer, one row per galaxy of `table` in our names; NaN where missing."""
    table = table.assign(**_clean_fluxes(table, targets, ledger))
    result = {"objid": table["objid"]}
    for name in targets.properties:
        result[name] = _property(name, table, targets, ledger)
    for line in targets.lines:
        flux = table[FLUX_OF_LINE[line]]
        result[FLUX_OF_LINE[line]] = flux
        result[line] = np.log1p(flux)
    for name in (*targets.properties, *targets.lines):
        ledger.note(f"{name} missing", int(result[name].isna().sum()))
    return pd.DataFrame(result)


def _check_columns(table: pd.DataFrame, targets: Targets, path: Path) -> None:
    """Raises UserError if the catalogue lacks the columns of a target in the settings."""
    names = (*targets.properties, *targets.lines)
    needs = {name: list(QUANTITIES[name].derived_from) or [name] for name in names}
    if METALLICITY in needs and targets.metallicity != "catalogue":
        needs[METALLICITY] = list(LINE_FLUXES)
        if targets.line_signal_to_noise > 0:
            needs[METALLICITY] += [f"{flux}_err" for flux in LINE_FLUXES]
    for name, columns in needs.items():
        absent = [column for column in columns if column not in table]
        if absent:
            raise UserError(
                f"{path}: {name} is to be inferred, but there is no {', '.join(absent)}; there "
                f"are {', '.join(table)}. Leave {name} out of targets.properties or "
                "targets.lines, or name its column in catalogue.columns."
            )


def _property(name: str, table: pd.DataFrame, targets: Targets, ledger: Ledger) -> pd.Series:
    if name == "log_black_hole_mass":
        values = _black_hole_mass(table, targets, ledger)
    elif name == METALLICITY and targets.metallicity != "catalogue":
        derived, reasons = metallicity_from_lines(
            table, targets.metallicity, targets.line_signal_to_noise
        )
        for reason, count in reasons.items():
            ledger.note(reason, count)
        values = pd.Series(derived, index=table.index)
    else:
        values = table[name].astype(float)
    if name in targets.plausible:
        low, high = targets.plausible[name]
        implausible = values.notna() & ~values.between(low, high)
        ledger.note(f"{name} outside {low} to {high}, missing", int(implausible.sum()))
        values = values.mask(implausible)
    return values


def _black_hole_mass(table: pd.DataFrame, targets: Targets, ledger: Ledger) -> pd.Series:
    settings = targets.black_hole
    dispersion = table["velocity_dispersion"].astype(float)
    low, high = settings.velocity_dispersion_min, settings.velocity_dispersion_max
    outside = dispersion.notna() & ~((dispersion > low) & (dispersion <= high))
    invalid = pd.Series(False, index=table.index)
    if "velocity_dispersion_err" in table:
        invalid = ~outside & dispersion.notna() & (table["velocity_dispersion_err"] < 0)
    ledger.note(f"velocity dispersion not above {low} or above {high} km/s, missing", outside.sum())
    ledger.note("velocity dispersion's fit invalid (error negative), missing", invalid.sum())
    mass = log_black_hole_mass(dispersion.mask(outside | invalid).to_numpy(), settings.relation)
    return pd.Series(mass, index=table.index)


def _clean_fluxes(table: pd.DataFrame, targets: Targets, ledger: Ledger) -> dict[str, pd.Series]:
    """The available line fluxes, with implausible ones missing, negative ones 0 or missing."""
    cleaned = {}
    for name in (name for name in LINE_FLUXES if name in table):
        flux = table[name].astype(float)
        if f"{name}_err" in table:
            unmeasured = flux.notna() & ~(table[f"{name}_err"] > 0)
            ledger.note(f"{name} not measured (error not positive), missing", unmeasured.sum())
            flux = flux.mask(unmeasured)
        absurd = flux.abs() > targets.flux_max
        ledger.note(f"{name} beyond {targets.flux_max:g}, missing", int(absurd.sum()))
        flux = flux.mask(absurd)
        negative = flux < 0
        clip = targets.negative_flux == "clip"
        ledger.note(f"{name} negative, {'set to 0' if clip else 'missing'}", int(negative.sum()))
        cleaned[name] = flux.mask(negative, 0.0 if clip else np.nan)
    return cleaned
