"""What the paper and the studies it compares with have published."""

from __future__ import annotations

from dataclasses import dataclass

# R2 of the paper's Table 1 and, for the lines, of its section 3: single values, or a range.
TABLE1: dict[str, dict[str, float | tuple[float, float]]] = {
    "(r, g, z) photometry + MLP (AstroCLIP, published)": {
        "redshift": 0.68, "log_stellar_mass": 0.67, "log_sfr": 0.34, "metallicity": 0.41,
    },
    "Image embedding + MLP (AstroCLIP, published)": {
        "redshift": 0.78, "log_stellar_mass": 0.73, "log_sfr": 0.42, "metallicity": 0.43,
    },
    "Image embedding + kNN (AstroCLIP, published)": {
        "redshift": 0.79, "log_stellar_mass": 0.74, "log_sfr": 0.44, "metallicity": 0.44,
    },
    "Image embedding, conditional VAE (ref. [29] of the paper, published)": {
        "redshift": 0.83, "log_stellar_mass": 0.75,
    },
    "Images + photometry + NF (paper, published)": {
        "redshift": 0.80, "log_stellar_mass": 0.85, "log_sfr": 0.76, "log_black_hole_mass": 0.67,
        "metallicity": 0.76, "log1p_h_alpha": (0.79, 0.80), "log1p_h_beta": (0.79, 0.80),
        "log1p_nii_6584": 0.70, "log1p_oiii_5007": 0.50,
    },
    "Photometry + NF (paper, published)": {
        "redshift": 0.72, "log_stellar_mass": 0.80, "log_sfr": 0.75, "log_black_hole_mass": 0.62,
        "metallicity": 0.65,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A published figure that is no R2: a column of the scores, its value or an upper limit."""

    method: str
    target: str
    score: str
    value: float
    below: bool = False


# What images can give, from the studies' abstracts; of the last, the paper's [29], from the paper.
# Pasquet et al. 2019 (A&A 621, A26): Main Galaxy Sample at z < 0.4, 64 x 64 ugriz pixels and the
# reddening, from 100,000 training galaxies on. Wu & Boada 2019 (MNRAS 484, 4683): O/H, 128 x 128
# gri pixels. Gagliano & Villar 2023 (arXiv:2312.16687): 26,000 galaxies at z < 1, of DECaLS.
_REF29 = "Conditional VAE on grz images (Gagliano & Villar 2023, published)"
IMAGES = (
    Figure(
        "CNN on ugriz images (Pasquet et al. 2019, published)",
        "redshift",
        "photo_z_sigma_mad",
        0.01,
        below=True,
    ),
    Figure("CNN on gri images (Wu & Boada 2019, published)", "metallicity", "rmse", 0.085),
    Figure(_REF29, "redshift", "r2", 0.83),
    Figure(_REF29, "log_stellar_mass", "r2", 0.75),
)

# Aleatoric and epistemic sigma of the paper's Table 2.
TABLE2: dict[str, tuple[float, float]] = {
    "log_black_hole_mass": (0.589, 0.034),
    "log_stellar_mass": (0.191, 0.012),
    "metallicity": (0.134, 0.010),
    "log_sfr": (0.327, 0.019),
    "redshift": (0.018, 0.001),
    "log1p_h_alpha": (0.427, 0.027),
    "log1p_h_beta": (0.381, 0.027),
    "log1p_nii_6584": (0.427, 0.026),
    "log1p_oiii_5007": (0.611, 0.045),
}

DETECTABILITY_ACCURACY = 0.84  # section 3

# What was trained on which device for how long, in seconds (section 2.3).
TRAINING = (("VAE", "A100", 5400.0), ("Flows", "T4", 1800.0))

# What a galaxy's fit takes by fitters that are not measured here. Of Prospector its documentation
# (prospect.readthedocs.io, FAQ); of SED models in general the abstract of Hahn & Melchior 2022
# (arXiv:2203.07391), in CPU hours. Of CIGALE no time a galaxy was found.
SED_FITTING = (
    ("Prospector, complex models", "hours to days", "its documentation"),
    ("MCMC of a full SED model", ">10–100 h", "Hahn & Melchior 2022"),
)
