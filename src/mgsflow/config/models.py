"""Settings of the models and their training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mgsflow.config.base import Section, setting
from mgsflow.core.variants import VARIANTS

Variant = Literal[VARIANTS]
LEAST_DRAWS = 20  # a galaxy: of fewer no posterior is judged


class Vae(Section):
    """The variational autoencoder of the stamps (paper, section 2.2)."""

    latent: int = setting(32, "Dimensions of the latent space", ge=1)
    channels: list[Annotated[int, Field(ge=1)]] = setting(
        [32, 64, 128], "Channels of the three convolutions", min_length=3, max_length=3
    )
    softening: float = setting(
        0.1, "Softening of the asinh stretch applied on reading FITS stamps", "nanomaggies", gt=0
    )
    stretch_scale: float = setting(
        5.0, "Divisor that brings the stretched pixels to order unity", gt=0
    )
    kl_weight: float = setting(
        0.01,
        "Weight of the KL divergence beside the sum of squared errors: twice the variance of the "
        "stretched pixels' noise makes the loss the evidence bound",
        ge=0,
    )
    learning_rate: float = setting(1.0e-4, "Learning rate of Adam (paper: 1e-4)", gt=0)
    batch_size: int = setting(128, "Stamps in a batch", ge=1)
    epochs: int = setting(100, "Most epochs", ge=1)
    patience: int = setting(
        15, "Epochs without a better validation loss before training ends", ge=1
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "bfloat16", "Arithmetic of the convolutions; weights and losses stay float32"
    )


class Flows(Section):
    """Encoder, mean heads and conditional flows (paper, section 2.3)."""

    variants: list[Variant] = setting(
        [
            "images_photometry-rest_frame",
            "images_photometry-observed",
            "photometry-rest_frame",
            "photometry-observed",
        ],
        "Inputs to train with: latents and photometry, photometry or latents alone; rest-frame "
        "colours know the redshift, observed ones do not. With +spline or +affine behind the name "
        "all its flows are of this family, whatever the settings below say, so that both families "
        "can stand side by side",
        min_length=1,
    )
    members: int = setting(5, "Members of the deep ensemble", ge=1)
    encoding: int = setting(256, "Dimensions of the inputs' encoding", ge=1)
    encoder_hidden: list[Annotated[int, Field(ge=1)]] = setting(
        [256, 256], "Hidden widths of the MLP encoder"
    )
    head_hidden: int = setting(128, "Hidden width of the heads", ge=1)
    dropout: float = setting(0.1, "Dropout in encoder and heads", ge=0, lt=1)
    weight_decay: float = setting(1.0e-4, "Weight decay of AdamW", ge=0)
    couplings: int = setting(12, "Coupling layers of a joint flow", ge=1)
    coupling: Literal["affine", "spline"] = setting(
        "affine", "Affine couplings (RealNVP, the paper's) or rational-quadratic splines"
    )
    coupling_hidden: int = setting(128, "Hidden width of a coupling's MLP", ge=1)
    log_scale_bound: float = setting(
        2.0, "Largest absolute log-scale of one coupling; symmetric, so that it can sharpen", gt=0
    )
    metallicity_flow: Literal["affine", "spline"] = setting(
        "affine", "One-dimensional flow of metallicity: affine (the paper's) or monotone spline"
    )
    single_flow: Literal["affine", "spline"] = setting(
        "spline", "Flow of a lone core property; an affine one is exactly Gaussian"
    )
    spline_bins: int = setting(16, "Bins of a rational-quadratic spline", ge=2)
    residuals: Literal["out_of_fold", "rescaled", "early_stopped"] = setting(
        "out_of_fold",
        "Residuals that the flows are fitted on: of heads that did not see the row, of the "
        "early-stopped head that did, or of this one, rescaled to the size of the first, which "
        "suits a few thousand galaxies better (docs/real-data.md)",
    )
    folds: int = setting(5, "Folds of the out-of-fold residuals", ge=2)
    learning_rate: float = setting(1.0e-3, "Learning rate of AdamW", gt=0)
    batch_size: int = setting(512, "Galaxies in a batch", ge=1)
    epochs: int = setting(200, "Most epochs, of the heads and of the flows each", ge=1)
    patience: int = setting(
        15, "Epochs without a better validation loss before training ends", ge=1
    )


class Posteriors(Section):
    """Samples of the posteriors."""

    draws: int = setting(1000, "Joint draws a galaxy, over all members", ge=LEAST_DRAWS)
    chunk: int = setting(512, "Galaxies sampled at once: bounds the memory", ge=1)


class Compute(Section):
    """How the numerical work runs; a change can change the last bits of the results."""

    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Device of training and sampling")
    compile: Literal["auto", "always", "never"] = setting(
        "auto",
        "Whether the VAE's training runs compiled; `auto` compiles on a GPU, where it also replays "
        "its steps as a CUDA graph, and on a CPU from 100,000 stamps on, all epochs together; it "
        "does without where there is no compiler",
    )
    vae_threads: int = setting(8, "CPU threads of the VAE's training and encoding", ge=1)
    flow_threads: int = setting(4, "CPU threads of the flows' training and sampling", ge=1)
    stamp_threads: int = setting(
        2, "CPU threads of a job that cuts stamps; unpacking frames is most of its work", ge=1
    )
    threads: int = setting(4, "CPU threads of every other stage", ge=1)
