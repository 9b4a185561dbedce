"""Draws of the prior: simulated galaxies before noise, deviations and flux limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mgsflow.config import Simulated
from mgsflow.core.photometry import magnitude_columns
from mgsflow.core.seeds import generator
from mgsflow.sky.simulated.camera import BANDS, ZERO_POINT
from mgsflow.sky.simulated.photometry import EXTINCTION
from mgsflow.sky.simulated.placement import draw_reddening
from mgsflow.sky.simulated.population import draw_unselected
from mgsflow.sky.simulated.relations import Array

CHUNK = 400_000  # galaxies drawn at once, to limit memory; a quarter of them is bright enough
# Quantities that the spectra and the selection depend on
CAUSES = [
    *("redshift", "log_stellar_mass", "log_sfr", "metallicity", "quenched"),
    *("attenuation_h_alpha", "bulge_mass_share", "bulge_share_r", "bulge_sersic"),
    *("bulge_radius", "disk_radius", "bulge_axis_ratio", "disk_axis_ratio"),
    *("radius_offset", "old_share"),
    *("petro_share", "petro_r50", "petro_r90", "reddening"),
    *magnitude_columns(BANDS),
]


@dataclass(frozen=True)
class Prior:
    """Draws of galaxies: `causes` (n, CAUSES) float64, where `mag_*` are those of the templates."""

    causes: Array

    @classmethod
    def draw(cls, simulated: Simulated, seed: int, number: int) -> Prior:
        """Draw the chunk `number`; it does not depend on which other chunks are drawn."""
        random = generator(seed, "oracle", "prior", number)
        galaxies = draw_unselected(CHUNK, simulated, random)
        galaxies = galaxies.assign(reddening=draw_reddening(len(galaxies), random))
        return cls(galaxies[CAUSES].to_numpy(np.float64))

    def __len__(self) -> int:
        return len(self.causes)

    def __getitem__(self, rows: Array) -> Prior:
        return Prior(self.causes[rows])

    @property
    def magnitudes(self) -> Array:
        """Magnitudes of the templates (n, bands), without the Galaxy's dust."""
        return self.causes[:, -len(BANDS) :]

    @property
    def extinction(self) -> Array:
        """Extinction by the Galaxy (n, bands), mag."""
        return self.causes[:, [CAUSES.index("reddening")]] * EXTINCTION

    @property
    def half_light(self) -> Array:
        """Half-light radii (n,), arcsec."""
        return self.causes[:, CAUSES.index("petro_r50")]

    def fluxes(self, deviations: Array | float = 0.0) -> Array:
        """Fluxes (n, bands) behind the Galaxy's dust, nanomaggies, for `deviations` in mag."""
        return 10 ** (0.4 * (ZERO_POINT - self.magnitudes - deviations - self.extinction))


def as_table(causes: Array) -> pd.DataFrame:
    """Rows of causes as the table that the simulated sky's functions expect."""
    table = pd.DataFrame(causes, columns=CAUSES)
    return table.assign(quenched=table["quenched"] > 0.5)
