"""Two-sample statistics of studies/simulated_sky.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp, spearmanr
from simulated_sky_samples import at_equal_mass, colours
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

from mgsflow.core.surveys import SDSS
from mgsflow.report.published import TABLE1
from mgsflow.sample.metallicity import is_star_forming
from mgsflow.sky.simulated.relations import kewley_2001

REDSHIFT_BINS = [(round(0.02 * i, 2), round(0.02 * (i + 1), 2)) for i in range(10)]
MASS_BINS = [(9.0, 9.5), (9.5, 10.0), (10.0, 10.5), (10.5, 11.5)]
BOOTSTRAPS = 400
REPEATS = 8  # number of simulated samples of the size of the real one
PER_GALAXY = 10  # simulated galaxies of the same mass for each galaxy of RESOLVE
ACTIVE = (
    -11.0
)  # log of the specific star formation rate [1/yr] below which a galaxy counts as passive
PAPER = "Images + photometry + NF (paper, published)"


# ---------------------------------------------------------------- colours and redshifts


def colours_by_redshift(
    real: pd.DataFrame, simulated: pd.DataFrame, seed: int
) -> list[dict[str, Any]]:
    """For each bin of redshift and each colour: both medians, their difference, and half-widths.

    `error` is the bootstrap error of the real median. The half-width is half the range from the
    16th to the 84th percentile. Empty bins are left out.
    """
    random = np.random.default_rng(seed)
    rows = []
    for low, high in REDSHIFT_BINS:
        of_real, of_simulated = (
            colours(table[table["redshift"].between(low, high, inclusive="left")])
            for table in (real, simulated)
        )
        for name, values in of_real.items():
            ours = of_simulated[name].to_numpy()
            if len(values) and len(ours):
                row = _medians(values.to_numpy(), ours, random)
                rows.append({"low": low, "high": high, "colour": name, **row})
    return rows


def _medians(real: np.ndarray, simulated: np.ndarray, random: np.random.Generator) -> dict:
    again = np.median(random.choice(real, (BOOTSTRAPS, len(real))), axis=1)
    return {
        "real_galaxies": len(real),
        "simulated_galaxies": len(simulated),
        "real": rounded(np.median(real)),
        "difference": rounded(np.median(simulated) - np.median(real)),
        "error": rounded(again.std()),
        "real_width": rounded(half_width(real)),
        "simulated_width": rounded(half_width(simulated)),
    }


def redshifts(
    real: pd.DataFrame, halves: dict[str, pd.DataFrame], simulated: pd.DataFrame
) -> dict[str, Any]:
    """Quartiles of the redshift, and the Kolmogorov–Smirnov distances D.

    Two parts of the real sky, separated in declination, show the effect of large-scale structure.
    """
    north = real["dec"] > 30
    samples = {**halves, "simulated": simulated, "north": real[north], "equator": real[~north]}
    pairs = {
        "simulated and held out": ("simulated", "held_out"),
        "tuning and held out": ("tuning", "held_out"),
        "north and equator": ("north", "equator"),
    }
    quartiles = {
        name: rounded(np.percentile(table["redshift"], [25, 50, 75]))
        for name, table in samples.items()
    }
    return {
        "galaxies": {name: len(table) for name, table in samples.items()},
        "quartiles": quartiles,
        "distance": {
            name: rounded(ks_2samp(samples[a]["redshift"], samples[b]["redshift"]).statistic)
            for name, (a, b) in pairs.items()
        },
    }


def redshift_r2(
    real: pd.DataFrame, halves: dict[str, pd.DataFrame], simulated: pd.DataFrame
) -> dict[str, Any]:
    """R2 of the redshift from magnitudes and colours, for samples of equal size on both sides.

    Each repetition divides the real sample into new folds and draws a new simulated sample. `real`
    and `simulated` are the means, `scatter` the standard deviations.
    """
    answer = {}
    for name, table in {"held_out": halves["held_out"], "all": real}.items():
        ours = [
            r2_of_redshift(simulated.sample(len(table), random_state=i), i) for i in range(REPEATS)
        ]
        theirs = [r2_of_redshift(table, i) for i in range(REPEATS)]
        answer[name] = {
            "galaxies": len(table),
            "real": rounded(np.mean(theirs)),
            "real_scatter": rounded(np.std(theirs)),
            "simulated": rounded(np.mean(ours)),
            "simulated_scatter": rounded(np.std(ours)),
        }
    return answer


def r2_of_redshift(table: pd.DataFrame, seed: int) -> float:
    return r2_of(photometry_of(table), table["redshift"].to_numpy(), seed)


def r2_of(inputs: np.ndarray, target: np.ndarray, seed: int) -> float:
    """R2 of gradient boosting, each galaxy predicted by trees that have not seen it (5 folds)."""
    folds = KFold(5, shuffle=True, random_state=seed)
    boosting = HistGradientBoostingRegressor(random_state=seed)
    return float(r2_score(target, cross_val_predict(boosting, inputs, target, cv=folds)))


def photometry_of(table: pd.DataFrame) -> np.ndarray:
    """Magnitudes and colours, shape (n, 9)."""
    return np.column_stack([table[list(SDSS.bands)], *colours(table).values()])


def told_apart(halves: dict[str, pd.DataFrame], simulated: pd.DataFrame) -> dict[str, float]:
    """AUC of boosting that distinguishes two samples by magnitudes, colours and redshift."""
    held_out = halves["held_out"]
    ours = [
        auc(held_out, simulated.sample(len(held_out), random_state=i), i) for i in range(REPEATS)
    ]
    theirs = [auc(held_out, halves["tuning"], i) for i in range(REPEATS)]
    return {"held_out": rounded(np.mean(ours)), "real halves": rounded(np.mean(theirs))}


def _with_redshift(table: pd.DataFrame) -> np.ndarray:
    return np.column_stack([photometry_of(table), table["redshift"]])


def auc(first: pd.DataFrame, second: pd.DataFrame, seed: int) -> float:
    """Probability that boosting ranks a galaxy of `second` above one of `first`; by chance 0.5."""
    inputs = np.concatenate([_with_redshift(first), _with_redshift(second)])
    labels = np.repeat([0, 1], [len(first), len(second)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    boosting = HistGradientBoostingClassifier(random_state=seed)
    shares = cross_val_predict(boosting, inputs, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, shares))


# ---------------------------------------------------------------- masses, rates, lines


def nearby(real: pd.DataFrame, simulated: pd.DataFrame, seed: int) -> dict[str, Any]:
    """RESOLVE against simulated galaxies of the same masses: rates, BPT classes, abundances."""
    equal = at_equal_mass(real, simulated, PER_GALAXY, seed)
    rows = []
    for low, high in MASS_BINS:
        of_real, of_equal = (
            _properties(table[table["log_stellar_mass"].between(low, high, inclusive="left")])
            for table in (real, equal)
        )
        rows.append({"low": low, "high": high, "real": of_real, "simulated": of_equal})
    distances = {
        name: rounded(ks_2samp(real[name].dropna(), equal[name].dropna()).statistic)
        for name in ("log_sfr", "n2", "o3", "metallicity")
    }
    counts = {"galaxies": len(real), "drawn_from": len(simulated)}
    return counts | {"bins": rows, "distance": distances}


def _properties(table: pd.DataFrame) -> dict[str, Any]:
    """Medians and half-widths of one bin of mass, and fractions of galaxies by kind."""
    forming = table[table["log_sfr"] - table["log_stellar_mass"] > ACTIVE]
    lines = table[table["clear"]]
    x, y = lines["n2"].to_numpy(), lines["o3"].to_numpy()
    young, agn = is_star_forming(x, y), y > kewley_2001(x)
    answer = {
        "galaxies": len(table),
        "forming": rounded(len(forming) / len(table)),
        "clear": rounded(len(lines) / len(table)),
        "bpt": {
            "star-forming": rounded(young.mean()),
            "composite": rounded((~young & ~agn).mean()),
            "AGN": rounded(agn.mean()),
        },
    }
    measured = {"log_sfr": forming["log_sfr"], "n2": lines["n2"], "o3": lines["o3"],
                "metallicity": table["metallicity"].dropna()}  # fmt: skip
    return answer | {
        name: [rounded(values.median()), rounded(half_width(values.to_numpy()))]
        for name, values in measured.items()
    }


def target_r2(table: pd.DataFrame, inputs: list[str], targets: list[str]) -> dict[str, Any]:
    """R2 of boosting by target, that of the paper, and the agreement of the two orders."""
    measured = table[inputs].notna().all(axis=1)
    ours, galaxies = {}, {}
    for name in targets:
        chosen = table[measured & table[name].notna()]
        ours[name] = rounded(r2_of(chosen[inputs].to_numpy(), chosen[name].to_numpy(), 0))
        galaxies[name] = len(chosen)
    paper = {name: float(np.mean(TABLE1[PAPER][name])) for name in targets}
    order = spearmanr(list(ours.values()), list(paper.values())).statistic
    return {"galaxies": galaxies, "r2": ours, "paper": paper, "rank_correlation": rounded(order)}


def half_width(values: np.ndarray) -> float:
    return float(np.subtract(*np.percentile(values, [84, 16])) / 2) if len(values) else 0.0


def rounded(value: Any) -> Any:
    """Round to three decimals, because more would differ between machines."""
    value = np.round(np.asarray(value, dtype=float), 3)
    return value.tolist()
