"""Black-hole masses implied by stellar velocity dispersions. None of them is measured."""

from __future__ import annotations

import numpy as np

# log10(M_BH / Msun) = intercept + slope log10(sigma / 200 km/s)
RELATIONS = {
    "mcconnell_ma_2013": (8.32, 5.64),  # McConnell & Ma 2013, all galaxies
    "kormendy_ho_2013": (9.0 + np.log10(0.310), 4.38),  # Kormendy & Ho 2013, equation 7
    "gultekin_2009": (8.12, 4.24),  # Gültekin et al. 2009, all galaxies
}


def log_black_hole_mass(dispersion: np.ndarray, relation: str) -> np.ndarray:
    """log10(M_BH / Msun) from the velocity dispersion in km/s; NaN where it is not positive."""
    intercept, slope = RELATIONS[relation]
    positive = np.where(dispersion > 0, dispersion, np.nan)
    return intercept + slope * np.log10(positive / 200.0)
