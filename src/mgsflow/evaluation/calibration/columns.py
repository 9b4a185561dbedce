"""The columns of `evaluation/calibration.parquet` and `evaluation/calibration-curves.parquet`."""

from __future__ import annotations

from mgsflow.core.quantities import Quantity

_OWN = "; in the target's unit, lines in ln(1 + F)"


def _with_interval(name: str, text: str) -> tuple[Quantity, ...]:
    ends = {"low": "Lower", "high": "Upper"}
    return (
        Quantity(name, "", text),
        *(
            Quantity(f"{name}_{end}", "", f"{which} end of the 95% bootstrap interval of {name}")
            for end, which in ends.items()
        ),
    )


_BOTH = (
    Quantity("variant", "", "Variant of the flows' inputs"),
    Quantity("recalibration", "", "none, or how the draws were recalibrated"),
)
QUANTITIES = (
    *_BOTH,
    Quantity("target", "", "Inferred quantity; core, properties or lines: several jointly"),
    Quantity("slice", "", "all, or a third in magnitude, in posterior mean redshift or in colour"),
    Quantity("n", "", "Test galaxies with measured targets: those that count"),
    Quantity("verdict", "", "In words: docs/calibration.md"),
    Quantity("informative", "", "Whether crps_skill or energy_skill is above 0 with its interval"),
    *_with_interval("bias", "Posterior too high, in units of its own width"),
    *_with_interval("width", "Width over the width that the truths ask for; below 1: too narrow"),
    Quantity("p_bias", "", "P-value: the probits' mean is 0"),
    Quantity("p_width", "", "P-value: the probits' variance is 1"),
    Quantity("p_shape", "", "P-value: the ranks are uniform"),
    Quantity("p_local", "", "P-value: the inputs do not predict the probits, nor their size"),
    Quantity("local_bias_r2", "", "Adjusted R2 of the probits by the inputs"),
    Quantity("local_width_r2", "", "Adjusted R2 of the probits' size by the inputs"),
    *_with_interval("coverage_68", "Truths in the central 68% interval; jointly: TARP"),
    *_with_interval("coverage_95", "Truths in the central 95% interval; jointly: TARP"),
    *_with_interval("crps", "Mean continuous ranked probability score" + _OWN),
    *_with_interval("crps_skill", "1 - crps / crps of the distribution of the others' truths"),
    *_with_interval("nll", "Negative log-density at the truth, nats: kernels, Gaussian copula"),
    *_with_interval("photo_z_bias", "Redshift: mean of (z_phot - z_spec) / (1 + z_spec)"),
    *_with_interval("photo_z_sigma_mad", "Redshift: 1.4826 MAD of the same"),
    *_with_interval("photo_z_outliers", "Redshift: fraction with its absolute value beyond 0.05"),
    *_with_interval("cde_loss", "Redshift: conditional density estimation loss"),
    *_with_interval("energy", "Jointly: mean energy score, targets in their standard deviations"),
    *_with_interval("energy_skill", "Jointly: 1 - energy / energy of the others' truths"),
    *_with_interval("variogram", "Jointly: mean variogram score of order 0.5, as for energy"),
    Quantity("p_tarp", "", "Jointly: p-value of TARP's coverage"),
    Quantity("p_depth", "", "Jointly: p-value of the coverage by depth"),
    Quantity("p_correlation", "", "Jointly: p-value of the worst correlation, times the pairs"),
    Quantity("p_classifier", "", "Jointly: p-value of L-C2ST"),
    Quantity("pair", "", "Jointly: the pair of targets whose correlation is farthest off"),
    Quantity("correlation_found", "", "Jointly: that pair's correlation of the truths' probits"),
    Quantity("correlation_claimed", "", "Jointly: that pair's correlation by the posteriors"),
    Quantity("classifier_auc", "", "Jointly: L-C2ST's area under the ROC curve; 0.5 is right"),
    Quantity("classifier_local", "", "Jointly: share of galaxies that L-C2ST rejects at 5%"),
    Quantity("effective_median", "", "Reweighted: median effective number of draws a galaxy"),
    Quantity("effective_q05", "", "Reweighted: 5% quantile of the same"),
    Quantity("starved", "", "Reweighted: share of galaxies left out, with too few effective draws"),
)
CURVES = (
    *_BOTH,
    Quantity("target", "", "Inferred quantity, or several jointly"),
    Quantity("kind", "", "curve or histogram of the PIT; tarp, depth: curves, jointly"),
    Quantity("n", "", "Galaxies"),
    Quantity("x", "", "Level of a curve; lower edge of a cell of the histogram"),
    Quantity("share", "", "Share of galaxies below the level, or in the cell"),
    Quantity("low", "", "Lower bound of the share of a calibrated posterior, 95% simultaneously"),
    Quantity("high", "", "Upper bound of the same"),
)
