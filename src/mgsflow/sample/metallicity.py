"""Gas-phase metallicity from emission lines, for catalogues that have only the lines."""

from __future__ import annotations

import numpy as np
import pandas as pd

# Validity ranges of the calibrations of Pettini & Pagel 2004. For N2 the linear one (equation 1) is
# used: the cubic one is tighter only where [N II] saturates, above 12 + log(O/H) of about 8.8.
O3N2_RANGE = (-1.0, 1.9)
N2_RANGE = (-2.5, -0.3)


def metallicity_from_lines(
    table: pd.DataFrame, calibration: str, signal_to_noise: float
) -> tuple[np.ndarray, dict[str, int]]:
    """12 + log(O/H), shape (n,), NaN where it cannot be derived; and the reasons, with counts.

    It is derived only for star-forming galaxies (Kauffmann et al. 2003) whose four lines have at
    least `signal_to_noise`, within the range of the calibration, "O3N2" or "N2" (Pettini & Pagel
    2004). Dust has little effect, because each ratio is of neighbouring lines.
    """
    names = ("flux_h_alpha", "flux_h_beta", "flux_nii_6584", "flux_oiii_5007")
    ha, hb, nii, oiii = (table[name].to_numpy(float) for name in names)
    weak = ~np.logical_and.reduce([_is_strong(table, name, signal_to_noise) for name in names])
    with np.errstate(divide="ignore", invalid="ignore"):
        n2 = np.log10(nii / ha)
        o3 = np.log10(oiii / hb)
    active = ~weak & ~is_star_forming(n2, o3)
    with np.errstate(invalid="ignore"):
        if calibration == "O3N2":
            ratio, (low, high) = o3 - n2, O3N2_RANGE
            value = 8.73 - 0.32 * ratio
        else:
            ratio, (low, high) = n2, N2_RANGE
            value = 8.90 + 0.57 * ratio
        outside = ~weak & ~active & ~((ratio > low) & (ratio < high))
    return np.where(weak | active | outside, np.nan, value), {
        "no metallicity: lines missing or weak": int(weak.sum()),
        "no metallicity: not star-forming": int(active.sum()),
        f"no metallicity: outside the range of {calibration}": int(outside.sum()),
    }


def is_star_forming(n2: np.ndarray, o3: np.ndarray) -> np.ndarray:
    """Whether galaxies lie below Kauffmann et al. 2003, eq. 1: log [N II]/Ha, log [O III]/Hb."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (n2 < 0.05) & (o3 < 0.61 / (n2 - 0.05) + 1.3)


def _is_strong(table: pd.DataFrame, name: str, signal_to_noise: float) -> np.ndarray:
    flux = table[name].to_numpy(float)
    error = table[f"{name}_err"].to_numpy(float) if f"{name}_err" in table else np.zeros(len(flux))
    with np.errstate(invalid="ignore"):
        return (flux > 0) & (error >= 0) & (flux >= signal_to_noise * error)
