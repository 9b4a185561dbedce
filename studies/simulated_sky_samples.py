"""The samples of studies/simulated_sky.py: real galaxies, and simulated ones with equal cuts.

Tables have one row per galaxy. `magnitudes` are u, g, r, i, z as SDSS gives them: model magnitudes,
reddened by the Galaxy on both sides. The two nearby samples have log masses, log rates and lines.
"""

from __future__ import annotations

import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sample_table import sample_table

from mgsflow.config import Simulated, validate
from mgsflow.core.quantities import LINE_FLUXES
from mgsflow.core.surveys import SDSS
from mgsflow.sample.metallicity import metallicity_from_lines
from mgsflow.sky.simulated.simulate_catalogue import make_objects, make_reply, simulate_catalogue

COLOURS = {"u − g": ("u", "g"), "g − r": ("g", "r"), "r − i": ("r", "i"), "i − z": ("i", "z")}
EXPORT = "skyserver_dr14_ugriz_redshift.csv"
LAST_LEGACY_PLATE = 2974  # later plates belong to other programmes with other selections
REDSHIFTS = (0.01, 0.3)
# The export is SkyServer's sample query, `u BETWEEN 0 AND 19.6 AND g BETWEEN 0 AND 20`. It has no
# Petrosian magnitude: model r replaces it in the survey's own limit.
FAINTEST = {"u": 19.6, "g": 20.0, "r": 17.77}
PLAUSIBLE = {"u − g": (0, 4), "g − r": (-0.5, 2.5), "r − i": (-0.5, 1.5), "i − z": (-0.8, 1.2)}

LIGHT = 299792.458  # km/s
VELOCITIES = (4500.0, 7000.0)  # km/s, RESOLVE's volume
LEAST_LOG_MASS = 9.0  # above it, r <= 17.77 loses almost no galaxy of that volume
LARGEST_FLUX = 1.0e5  # 1e-17 erg/s/cm2; a larger flux means a failed fit
SIGNAL_TO_NOISE = 3.0


@dataclass(frozen=True)
class Samples:
    """The galaxies of SkyServer and of RESOLVE, each with its simulated counterpart."""

    real: pd.DataFrame
    simulated: pd.DataFrame
    resolve: pd.DataFrame
    volume: pd.DataFrame
    counts: dict[str, dict[str, int]]  # for `real` and `simulated`: galaxies left after each limit

    @property
    def halves(self) -> dict[str, pd.DataFrame]:
        held_out = self.real["held_out"]
        return {"tuning": self.real[~held_out], "held_out": self.real[held_out]}


def draw_samples(folder: Path, galaxies: int, volume: int, seed: int) -> Samples:
    """Real samples from `folder`; `galaxies` and `volume` simulated ones are drawn, then cut."""
    real, real_counts = cut_alike(real_galaxies(folder))
    simulated, simulated_counts = cut_alike(simulated_galaxies(galaxies, seed))
    counts = {"real": real_counts, "simulated": simulated_counts}
    nearby = resolve_galaxies(folder), simulated_volume(volume, seed)
    return Samples(real, simulated, *nearby, counts)


# ---------------------------------------------------------------- colours and redshifts


def real_galaxies(folder: Path) -> pd.DataFrame:
    """The export's galaxies of legacy plates: magnitudes, redshift, ra, dec and `held_out`.

    The constants of the simulated sky were tuned on those not held out. A hash of the name of its
    spectrum decides in which half a galaxy is.
    """
    table = pd.read_csv(folder / EXPORT)
    table = table[(table["class"] == "GALAXY") & (table["plate"] <= LAST_LEGACY_PLATE)]
    names = table[["plate", "mjd", "fiberid"]].astype(str).agg("-".join, axis=1)
    held_out = [zlib.crc32(name.encode()) % 2 == 1 for name in names]
    return table[[*SDSS.bands, "redshift", "ra", "dec"]].assign(held_out=held_out)


def simulated_galaxies(count: int, seed: int) -> pd.DataFrame:
    """`count` galaxies of the simulated sky: magnitudes and redshift as its SkyServer serves them.

    They pass the survey's own limit, in Petrosian r corrected for the Galaxy's dust.
    """
    reply = simulated_reply(Simulated(galaxies=count, contaminants=0.0), seed)
    magnitudes = {band: reply[f"modelMag_{band}"] for band in SDSS.bands}
    return pd.DataFrame({**magnitudes, "redshift": reply["z"]})


def simulated_reply(simulated: Simulated, seed: int) -> pd.DataFrame:
    return make_reply(make_objects(simulated, seed), simulated, seed)


def cut_alike(galaxies: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """The galaxies within the limits of the export and the survey, and the numbers left by each."""
    limits = {f"{band} <= {faintest}": galaxies[band] <= faintest for band, faintest in
              FAINTEST.items()}  # fmt: skip
    limits["{} <= z <= {}".format(*REDSHIFTS)] = galaxies["redshift"].between(*REDSHIFTS)
    limits["plausible colours"] = pd.Series(True, index=galaxies.index)
    for name, values in colours(galaxies).items():
        limits["plausible colours"] &= values.between(*PLAUSIBLE[name])
    kept, counts = pd.Series(True, index=galaxies.index), {"all": len(galaxies)}
    for name, passes in limits.items():
        kept &= passes
        counts[name] = int(kept.sum())
    return galaxies[kept].reset_index(drop=True), counts


def colours(galaxies: pd.DataFrame) -> dict[str, pd.Series]:
    return {name: galaxies[a] - galaxies[b] for name, (a, b) in COLOURS.items()}


# ---------------------------------------------------------------- masses, rates and lines


def resolve_galaxies(folder: Path) -> pd.DataFrame:
    """RESOLVE's galaxies with spectra: log_stellar_mass, log_sfr, lines and derived quantities."""
    table = pd.read_parquet(folder / "resolve.parquet")
    nearby = table["cz"].between(*VELOCITIES) & table["h_alpha_flux"].notna()
    chosen = table[nearby & table["rmag"].between(10.0, FAINTEST["r"])]
    properties = {"log_stellar_mass": chosen["logmstar"], "log_sfr": np.log10(chosen["sfr_nuv"])}
    return _of_lines(chosen, properties)


def simulated_volume(count: int, seed: int) -> pd.DataFrame:
    """Counterparts of `resolve_galaxies` from `count` simulated galaxies in RESOLVE's volume."""
    low, high = (velocity / LIGHT for velocity in VELOCITIES)
    settings = Simulated(galaxies=count, redshift_min=low, redshift_max=high, contaminants=0.0)
    reply = simulated_reply(settings, seed)
    chosen = reply[reply["modelMag_r"] - reply["extinction_r"] <= FAINTEST["r"]]
    properties = {"log_stellar_mass": chosen["lgm_tot_p50"], "log_sfr": chosen["sfr_tot_p50"]}
    return _of_lines(chosen, properties)


def _of_lines(table: pd.DataFrame, properties: dict[str, pd.Series]) -> pd.DataFrame:
    """Galaxies above LEAST_LOG_MASS; line ratios and O3N2 abundances if all lines have enough S/N.

    `n2` is log [N II] 6584 / H alpha, `o3` log [O III] 5007 / H beta, `metallicity` 12 + log(O/H).
    """
    fluxes = {}
    for name in LINE_FLUXES:
        flux = table[f"{name.removeprefix('flux_')}_flux"]
        fluxes[name] = flux.where(flux.abs() < LARGEST_FLUX)
        fluxes[f"{name}_err"] = table[f"{name.removeprefix('flux_')}_flux_err"]
    result = pd.DataFrame({**properties, **fluxes}).replace([np.inf, -np.inf], np.nan)
    result = result[result["log_stellar_mass"] >= LEAST_LOG_MASS].reset_index(drop=True)
    clear = pd.Series(True, index=result.index)
    for name in LINE_FLUXES:
        error = result[f"{name}_err"]
        clear &= (error > 0) & (result[name] > 0) & (result[name] >= SIGNAL_TO_NOISE * error)
    lines = result.where(clear)
    abundance, _ = metallicity_from_lines(result, "O3N2", SIGNAL_TO_NOISE)
    return result.assign(
        clear=clear,
        n2=np.log10(lines["flux_nii_6584"] / lines["flux_h_alpha"]),
        o3=np.log10(lines["flux_oiii_5007"] / lines["flux_h_beta"]),
        metallicity=abundance,
    )


def at_equal_mass(
    real: pd.DataFrame, simulated: pd.DataFrame, per_galaxy: int, seed: int
) -> pd.DataFrame:
    """`per_galaxy` simulated galaxies for each real one, drawn from the 31 nearest in mass.

    The mass function of the real sample, which has a small volume, thus does not affect the result.
    """
    ordered = simulated.sort_values("log_stellar_mass", ignore_index=True)
    nearest = np.searchsorted(ordered["log_stellar_mass"], real["log_stellar_mass"])
    shifts = np.random.default_rng(seed).integers(-15, 16, len(real) * per_galaxy)
    rows = np.clip(np.repeat(nearest, per_galaxy) + shifts, 0, len(ordered) - 1)
    return ordered.iloc[rows].reset_index(drop=True)


# ---------------------------------------------------------------- the inferred quantities


def inferred_quantities(count: int, seed: int) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Inputs and targets of a simulated sky by the stages: a table, names of inputs and of targets.

    A reply with `count` good galaxies and the usual contaminants passes through `select`, `targets`
    and `photometry` with the default settings of config.yaml.
    """
    settings = validate({"sky": "simulated", "selection": {"sample_size": None}})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_catalogue(
            out=folder / "reply",
            truth=folder / "truth.parquet",
            simulated=Simulated(galaxies=count),
            seed=seed,
        )
        table = sample_table(folder, settings, seed, sky="simulated", reply=folder / "reply")
    inputs = [name for name in table if name.startswith(("mag_", "colour_"))]
    return table, inputs, [*settings.targets.properties, *settings.targets.lines]
