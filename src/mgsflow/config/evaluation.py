"""Settings of baselines, scores, latent space, speed, report and archive."""

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
    """A VAE of the stamps whose first latent dimensions are the targets (the paper's ref. [29])."""

    free: int = setting(2, "Latent dimensions beside the targets", ge=1)
    field: int = setting(
        80,
        "Side of the middle of a stamp that it sees; a smaller stamp is seen whole",
        "pixels",
        ge=8,
    )
    binning: int = setting(1, "Pixels along a side that are averaged into one", ge=1)
    augment: bool = setting(
        True, "Turn and mirror the training stamps, and predict with the mean of all orientations"
    )
    reconstruction_weight: float = setting(
        0.01, "Weight of the VAE's loss beside the squared error of the standardised targets", ge=0
    )
    kl_weight: float = setting(
        0.01, "Weight of the KL divergence in that loss, as vae.kl_weight", ge=0
    )
    learning_rate: float = setting(
        1.0e-3, "Learning rate of Adam at the start; it falls along a cosine over the epochs", gt=0
    )
    batch_size: int = setting(128, "Stamps in a batch", ge=1)
    epochs: int = setting(100, "Most epochs", ge=1)
    patience: int = setting(
        40,
        "Epochs without a better validation loss before training ends; the loss falls most when "
        "the learning rate does, at the end",
        ge=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "bfloat16", "Arithmetic of the convolutions; weights and losses stay float32"
    )


class Baselines(Section):
    """Other methods on the same split (paper, Table 1)."""

    methods: list[Baseline] = setting(
        [
            "photometry_mlp",
            "image_mlp",
            "image_knn",
            "conditional_vae",
            "photometry_boosting",
            "photometry_boosting_sky",
        ],
        "MLP on (r, g, z); MLP and k nearest neighbours on the image embedding; a VAE of the "
        "stamps that predicts; gradient boosting on magnitudes and observed colours, and the same "
        "on a split by blocks of sky. Those without their inputs are left out",
    )
    neighbours: int = setting(16, "Neighbours of the kNN", ge=1)
    mlp_hidden: list[Annotated[int, Field(ge=1)]] = setting([128, 128], "Hidden widths of the MLPs")
    mlp_epochs: int = setting(200, "Most epochs of the MLPs", ge=1)
    boosting_iterations: int = setting(300, "Most trees of the boosting, with early stopping", ge=1)
    conditional_vae: ConditionalVae = ConditionalVae()


class Evaluation(Section):
    """Scores, latent space and speed."""

    bootstrap: int = setting(200, "Bootstrap resamples of each interval", ge=10)
    permutations: int = setting(
        5, "Times that the permutation control shuffles the training targets", ge=1
    )
    anomalies: int = setting(
        200, "Test galaxies in whose place unusual objects are put, of each kind", ge=10
    )
    direction_targets: list[Property] = setting(
        ["redshift", "log_sfr"],
        "Properties whose latent directions are decoded (Figures 3a, 3b)",
        max_length=2,
    )
    direction_dimensions: int = setting(3, "Latent dimensions moved for each", ge=1)
    direction_steps: int = setting(7, "Decoded images along a direction", ge=3)
    direction_range: float = setting(
        3.0, "Farthest step, in standard deviations of the latent means", "sigma", gt=0
    )
    umap_targets: list[Property] = setting(
        ["log_stellar_mass", "log_black_hole_mass"],
        "Properties that colour the UMAP (Figure 4)",
        max_length=2,
    )
    umap_neighbours: int = setting(15, "Neighbours of UMAP", ge=2)
    umap_min_dist: float = setting(0.1, "Least distance in UMAP", ge=0, le=1)
    umap_points: int = setting(20_000, "Most galaxies in UMAP", ge=10)
    speed_galaxies: int = setting(256, "Galaxies timed from stamp to draws", ge=1)
    speed_draws: int = setting(1000, "Draws a galaxy in the speed table", ge=1)


class Calibration(Section):
    """Whether the posteriors mean what they say (docs/calibration.md)."""

    alpha: float = setting(
        0.01,
        "Probability at which a calibrated posterior of a target is called something else",
        gt=0,
        lt=0.5,
    )
    bootstrap: int = setting(200, "Bootstrap resamples of each interval", ge=10)
    joint_draws: int = setting(
        400, "Most draws a galaxy in the tests and scores of several targets at once", ge=20
    )
    components: int = setting(
        4, "Principal components of photometry, and of latents, that local tests look at", ge=1
    )
    classifier_galaxies: int = setting(4000, "Most galaxies of the classifier's test", ge=40)
    classifier_nulls: int = setting(
        40, "Trainings of the classifier with draws in the truths' place", ge=10
    )
    recalibrate: Literal["none", "temperature", "conformal", "prior"] = setting(
        "none",
        "Recalibration of the draws, judged beside the raw ones: on the validation set, by which "
        "`temperature` scales them about their mean and `conformal` moves their quantiles; or "
        "`prior`, their weights under the test set's population, learnt without its truths",
    )
    prior_targets: list[Property] = setting(
        ["redshift", "log_stellar_mass"],
        "Properties, of those inferred, in which `prior` lets the population differ",
        min_length=1,
    )

    @field_validator("prior_targets")
    @classmethod
    def _all_have_them(cls, names: list[Property]) -> list[Property]:
        if METALLICITY in names:
            raise ValueError(
                f"{METALLICITY} is known of the training galaxies where it was measured and drawn "
                "for all: their difference is no shift of the population; leave it out"
            )
        return names


class Oracle(Section):
    """The exact posteriors of a simulated sky by photometry alone, beside the flows'.

    Made where `sky` is `simulated` and `photometry-observed` is among `flows.variants`, of the
    first of them with these inputs.
    """

    galaxies: int = setting(500, "Test galaxies compared; 0: no oracle", ge=0)
    draws: int = setting(20_000_000, "Galaxies of the prior drawn past them", ge=100_000)
    kept: int = setting(4000, "Draws kept of each posterior, those of most weight", ge=100)
    effective_min: float = setting(
        1000.0, "Least effective sample size; galaxies below it are refused and counted", ge=10
    )
    posterior_draws: int = setting(4000, "Draws of the flows' posterior of each galaxy", ge=100)

    @model_validator(mode="after")
    def _keeps_enough(self) -> Oracle:
        if self.kept < 2 * self.effective_min:
            raise ValueError(
                f"kept is {self.kept}: of so few draws no effective sample of effective_min = "
                f"{self.effective_min:g} can be had; keep at least twice as many"
            )
        return self


class Sed(Section):
    """SED fitting, which speed and accuracy are set beside (docs/performance.md).

    Made where `sky` is `simulated`, with all of u, g, r, i, z: it has the truth to judge both by.
    """

    galaxies: int = setting(
        0,
        "Test galaxies that bagpipes fits, two to four minutes of a core each, in the environment "
        "`sed`; 0: no comparison. Ten say how fast it is, a hundred how accurate",
        ge=0,
    )
    live_points: int = setting(400, "Live points of bagpipes' nested sampling", ge=50)


class Archive(Section):
    """What the archive of a run holds beside its tables, figures, models and catalogue."""

    posteriors: bool = setting(True, "Include the posterior draws")
    stamps: bool = setting(False, "Include the stamps; the paper's run has some 40 GB of them")
