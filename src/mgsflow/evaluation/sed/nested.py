"""bagpipes' nested sampling of a galaxy's star-formation history, dust, abundance and redshift."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mgsflow.core.errors import UserError
from mgsflow.core.surveys import SDSS
from mgsflow.sky.simulated.relations import STAR_TO_GAS_REDDENING

MICROJANSKY = 3.631e9  # per AB maggie
# bagpipes has Kroupa's initial mass function (Carnall et al. 2018), the templates of the simulated
# sky Chabrier's (Blanton & Roweis 2007); the factors are from Madau & Dickinson 2014, sec. 3.1
MASS_TO_CHABRIER = np.log10(0.61 / 0.66)
RATE_TO_CHABRIER = np.log10(0.63 / 0.67)


def model(redshift: tuple[float, float]) -> dict[str, object]:
    """bagpipes' fit instructions: six free parameters, each with a flat prior over its range.

    The star-formation history is a delayed exponential, with age (Gyr), timescale (Gyr), log10 of
    the mass formed (Msun) and metallicity (solar). Dust follows Calzetti's law, with A_V (mag) and
    more attenuation of the stars younger than 10 Myr, as Calzetti et al. (2000) find for the gas.
    Nebular lines and continuum have a fixed ionisation parameter. The ranges are those of bagpipes'
    documentation, with two exceptions: that of the mass is limited to the masses of galaxies, which
    only makes the fit faster, and the redshift is free within the sample's range, because the flows
    on observed colours know no more about it.
    """
    history = {
        "age": (0.1, 15.0),
        "tau": (0.3, 10.0),
        "massformed": (6.0, 13.0),
        "metallicity": (0.0, 2.5),
    }
    dust = {"type": "Calzetti", "Av": (0.0, 2.0), "eta": 1 / STAR_TO_GAS_REDDENING}
    return {"redshift": redshift, "delayed": history, "dust": dust, "nebular": {"logU": -3.0}}


class NestedFitter:
    """bagpipes with its sampler nautilus, on one thread.

    It works in a temporary folder, because bagpipes writes files. bagpipes sets no seed for its
    sampler: draws differ between runs, by sampling noise.
    """

    def __init__(self, redshift: tuple[float, float], live_points: int, draws: int) -> None:
        self._model = model(redshift)
        self._live_points = live_points
        self._draws = draws
        self._folder = tempfile.TemporaryDirectory(prefix="mgsflow-sed-")
        self._filters = _write_filters(Path(self._folder.name))
        with _apart(Path(self._folder.name)):
            self._bagpipes = _bagpipes()

    def fit(self, objid: int, maggies: np.ndarray, errors: np.ndarray) -> dict[str, np.ndarray]:
        """Draws (draws,) of the posterior of each quantity, from AB fluxes (5,) and errors (5,).

        Masses are those of living stars and remnants; rates are means over the last 100 Myr. Both
        are converted to Chabrier's initial mass function.
        """
        data = MICROJANSKY * np.column_stack([maggies, errors])
        with _apart(Path(self._folder.name)):
            galaxy = self._bagpipes.galaxy(
                str(objid), lambda _: data, spectrum_exists=False, filt_list=self._filters
            )
            fit = self._bagpipes.fit(galaxy, self._model, n_posterior=self._draws)
            fit.fit(verbose=False, n_live=self._live_points, sampler="nautilus", pool=1)
        samples = fit.posterior.samples
        with np.errstate(divide="ignore"):
            rate = np.log10(samples["sfr"])
        return {
            "redshift": samples["redshift"],
            "log_stellar_mass": samples["stellar_mass"] + MASS_TO_CHABRIER,
            "log_sfr": rate + RATE_TO_CHABRIER,
        }


def _bagpipes() -> object:
    try:
        import bagpipes
    except ImportError as error:
        raise UserError(
            f"bagpipes cannot be imported ({error}). Only the environment `sed` has it: install "
            "envs/sed.lock, deploy the rules by conda or Apptainer, or set sed.galaxies to 0."
        ) from None
    return bagpipes


def _write_filters(folder: Path) -> list[str]:
    """Write SDSS's filter curves, from kcorrect: the same as those of the simulated sky."""
    from kcorrect.response import ResponseDict

    responses, paths = ResponseDict(), []
    for band in SDSS.fitted_bands:
        responses.load_response(band.response)
        curve = responses[band.response]
        path = folder / f"{SDSS.name.lower()}_{band.name}.txt"
        np.savetxt(path, np.column_stack([curve.wave, curve.response]))
        paths.append(str(path))
    return paths


@contextlib.contextmanager
def _apart(folder: Path) -> Iterator[None]:
    """Work in `folder`, where bagpipes writes files, and suppress its standard output."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        yield
