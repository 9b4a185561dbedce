"""Settings of the baselines, the evaluation and the archive."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from mgsflow.config.base import Section, setting
from mgsflow.config.sample import Property
from mgsflow.core.quantities import METALLICITY

Baseline = Literal[
    "photometry_mlp",
    "image_mlp",
    "image_knn",
    "conditional_vae",
    "photometry_boosting",
    "photometry_boosting_sky",
]


class ConditionalVae(Section):
    """VAE of the stamps whose first latent dimensions are the targets (paper, reference [29])."""

    free: int = setting(2, "Number of latent dimensions in addition to the targets", ge=1)
    field: int = setting(
        80,
        "Side length of the central part of a stamp that is used; a smaller stamp is used whole",
        "pixels",
        ge=8,
    )
    binning: int = setting(1, "Number of pixels along a side that are averaged into one", ge=1)
    augment: bool = setting(
        True,
        "Rotate and mirror the training stamps, and average the predictions over all orientations",
    )
    reconstruction_weight: float = setting(
        0.01,
        "Weight of the VAE's loss relative to the squared error of the standardised targets",
        ge=0,
    )
    kl_weight: float = setting(
        0.01, "Weight of the KL divergence in the VAE's loss, as in vae.kl_weight", ge=0
    )
    learning_rate: float = setting(
        1.0e-3,
        "Initial learning rate of Adam; it decreases along a cosine over the epochs",
        gt=0,
    )
    batch_size: int = setting(128, "Number of stamps per batch", ge=1)
    epochs: int = setting(100, "Maximum number of epochs", ge=1)
    patience: int = setting(
        40,
        "Number of epochs without a lower validation loss after which training stops. The loss "
        "decreases most at the end, together with the learning rate",
        ge=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "bfloat16", "Floating-point format of the convolutions; weights and losses stay float32"
    )


class Baselines(Section):
    """Baselines: other methods on the same split (paper, Table 1)."""

    methods: list[Baseline] = setting(
        [
            "photometry_mlp",
            "image_mlp",
            "image_knn",
            "conditional_vae",
            "photometry_boosting",
            "photometry_boosting_sky",
        ],
        "Baselines to run: an MLP on the (r, g, z) magnitudes; an MLP and k nearest neighbours on "
        "the image embedding; a conditional VAE of the stamps; gradient boosting on magnitudes and "
        "observed colours, and the same on a split by blocks of sky. Baselines whose inputs the "
        "run lacks are omitted",
    )
    neighbours: int = setting(16, "Number of neighbours of the kNN regression", ge=1)
    mlp_hidden: list[Annotated[int, Field(ge=1)]] = setting(
        [128, 128], "Widths of the hidden layers of the MLPs"
    )
    mlp_epochs: int = setting(200, "Maximum number of epochs of the MLPs", ge=1)
    boosting_iterations: int = setting(
        300, "Maximum number of trees of gradient boosting, which stops early", ge=1
    )
    conditional_vae: ConditionalVae = ConditionalVae()


class Evaluation(Section):
    """Scores, permutation control, anomalies, latent space and speed."""

    bootstrap: int = setting(200, "Number of bootstrap resamples per interval", ge=10)
    permutations: int = setting(
        5, "Number of times that the permutation control shuffles the training targets", ge=1
    )
    anomalies: int = setting(
        200, "Number of test galaxies replaced by anomalies, for each kind of anomaly", ge=10
    )
    direction_targets: list[Property] = setting(
        ["redshift", "log_sfr"],
        "Properties whose directions in latent space are decoded (Figures 3a and 3b)",
        max_length=2,
    )
    direction_dimensions: int = setting(
        3, "Number of latent dimensions that are changed for each property", ge=1
    )
    direction_steps: int = setting(7, "Number of decoded images along a direction", ge=3)
    direction_range: float = setting(
        3.0,
        "Maximum step along a direction, in standard deviations of the latent means",
        "sigma",
        gt=0,
    )
    umap_targets: list[Property] = setting(
        ["log_stellar_mass", "log_black_hole_mass"],
        "Properties that colour the UMAP (Figure 4)",
        max_length=2,
    )
    umap_neighbours: int = setting(15, "Number of neighbours in UMAP", ge=2)
    umap_min_dist: float = setting(
        0.1, "Minimum distance between embedded points in UMAP", ge=0, le=1
    )
    umap_points: int = setting(20_000, "Maximum number of galaxies in UMAP", ge=10)
    speed_galaxies: int = setting(
        256, "Number of galaxies that are timed from stamp to draws", ge=1
    )
    speed_draws: int = setting(1000, "Number of draws per galaxy in the speed table", ge=1)


class Calibration(Section):
    """Tests of the calibration of the posteriors (docs/calibration.md)."""

    alpha: float = setting(
        0.01,
        "False-alarm rate: probability that the calibrated posterior of a target gets another "
        "verdict",
        gt=0,
        lt=0.5,
    )
    bootstrap: int = setting(200, "Number of bootstrap resamples per interval", ge=10)
    joint_draws: int = setting(
        400,
        "Maximum number of draws per galaxy in the joint tests and scores of several targets",
        ge=20,
    )
    components: int = setting(
        4,
        "Maximum number of principal components of the photometry, and of the latents, in the "
        "local tests",
        ge=1,
    )
    classifier_galaxies: int = setting(
        4000, "Maximum number of galaxies in the classifier test", ge=40
    )
    classifier_nulls: int = setting(
        40,
        "Number of times that the classifier is trained with draws in place of the true values, "
        "which gives the null distribution",
        ge=10,
    )
    recalibrate: Literal["none", "temperature", "conformal", "prior"] = setting(
        "none",
        "Recalibration of the draws, which is tested in addition to the raw draws. `temperature` "
        "scales the draws about their mean and `conformal` shifts their quantiles; both are fitted "
        "to the validation set. `prior` reweights the draws to the population of the test set, "
        "which is estimated without the true values",
    )
    prior_targets: list[Property] = setting(
        ["redshift", "log_stellar_mass"],
        "Inferred properties whose distribution may differ between the populations in `prior`",
        min_length=1,
    )

    @field_validator("prior_targets")
    @classmethod
    def _all_have_them(cls, names: list[Property]) -> list[Property]:
        if METALLICITY in names:
            raise ValueError(
                f"{METALLICITY} has true values only for the training galaxies in which it was "
                "measured, but draws for all galaxies. This difference is not a shift of the "
                f"population; remove {METALLICITY}"
            )
        return names


class Oracle(Section):
    """Oracle: comparison with exact posteriors, on a simulated sky and by photometry alone.

    It runs where `sky` is `simulated` and `flows.variants` has a variant on the inputs
    `photometry-observed`. The first such variant is compared.
    """

    galaxies: int = setting(500, "Number of test galaxies to compare; 0: no oracle", ge=0)
    draws: int = setting(
        20_000_000, "Number of galaxies drawn from the prior for importance sampling", ge=100_000
    )
    kept: int = setting(
        4000,
        "Number of draws kept for each posterior, by priority sampling, which favours large "
        "weights",
        ge=100,
    )
    effective_min: float = setting(
        1000.0, "Minimum effective sample size. Galaxies below it are refused and counted", ge=10
    )
    posterior_draws: int = setting(
        4000, "Number of draws from the flows' posterior of each galaxy", ge=100
    )

    @model_validator(mode="after")
    def _keeps_enough(self) -> Oracle:
        if self.kept < 2 * self.effective_min:
            raise ValueError(
                f"kept is {self.kept}, which is too few draws for an effective sample size of "
                f"effective_min = {self.effective_min:g}; keep at least twice effective_min"
            )
        return self


class Sed(Section):
    """SED fitting, for comparison of speed and accuracy (docs/performance.md).

    It runs where `sky` is `simulated` and all of u, g, r, i and z are available, because the
    simulated sky has the true values by which both methods are judged.
    """

    galaxies: int = setting(
        0,
        "Number of test galaxies to fit with bagpipes, in the environment `sed`; 0: no "
        "comparison. Each takes two to four minutes on one core. Ten galaxies show the speed, a "
        "hundred the accuracy",
        ge=0,
    )
    live_points: int = setting(
        400, "Number of live points in the nested sampling of bagpipes", ge=50
    )


class Archive(Section):
    """Contents of the archive in addition to the tables, figures, models and catalogue."""

    posteriors: bool = setting(True, "Include the posterior draws")
    stamps: bool = setting(False, "Include the stamps, about 40 GB in the paper's run")
