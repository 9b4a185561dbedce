"""Settings of the models and their training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mgsflow.config.base import Section, setting
from mgsflow.core.variants import VARIANTS

Variant = Literal[VARIANTS]
LEAST_DRAWS = 20  # per galaxy; with fewer, the calibration of a posterior cannot be tested


class Vae(Section):
    """The variational autoencoder of the stamps (paper, section 2.2)."""

    latent: int = setting(32, "Number of latent dimensions", ge=1)
    channels: list[Annotated[int, Field(ge=1)]] = setting(
        [32, 64, 128], "Number of channels of each convolution", min_length=3, max_length=3
    )
    softening: float = setting(
        0.1,
        "Softening of the asinh stretch that is applied when FITS stamps are read",
        "nanomaggies",
        gt=0,
    )
    stretch_scale: float = setting(
        5.0, "Divisor that scales the stretched pixels to order unity", gt=0
    )
    kl_weight: float = setting(
        0.01,
        "Weight of the KL divergence relative to the sum of squared errors. A weight of twice the "
        "noise variance of the stretched pixels makes the loss equivalent to the evidence lower "
        "bound",
        ge=0,
    )
    learning_rate: float = setting(1.0e-4, "Learning rate of Adam (paper: 1e-4)", gt=0)
    batch_size: int = setting(128, "Number of stamps per batch", ge=1)
    epochs: int = setting(100, "Maximum number of epochs", ge=1)
    patience: int = setting(
        15,
        "Number of epochs without a lower validation loss after which training stops",
        ge=1,
    )
    precision: Literal["float32", "bfloat16"] = setting(
        "bfloat16", "Floating-point format of the convolutions; weights and losses stay float32"
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
        "Variants to train. The name states the inputs: latents and photometry, photometry alone, "
        "or latents alone. Rest-frame colours depend on the spectroscopic redshift, observed "
        "colours do not. The suffix +spline or +affine makes all flows of a variant of this "
        "family and overrides the settings below, so that the two families can be compared",
        min_length=1,
    )
    members: int = setting(5, "Number of members of the deep ensemble", ge=1)
    encoding: int = setting(256, "Number of dimensions of the encoded inputs", ge=1)
    encoder_hidden: list[Annotated[int, Field(ge=1)]] = setting(
        [256, 256], "Widths of the hidden layers of the MLP encoder"
    )
    head_hidden: int = setting(128, "Width of the hidden layer of each head", ge=1)
    dropout: float = setting(0.1, "Dropout probability in the encoder and the heads", ge=0, lt=1)
    weight_decay: float = setting(1.0e-4, "Weight decay of AdamW", ge=0)
    couplings: int = setting(12, "Number of coupling layers of a joint flow", ge=1)
    coupling: Literal["affine", "spline"] = setting(
        "affine",
        "Type of the coupling layers: affine (RealNVP, as in the paper) or rational-quadratic "
        "splines",
    )
    coupling_hidden: int = setting(128, "Width of the hidden layers of a coupling's MLP", ge=1)
    log_scale_bound: float = setting(
        2.0,
        "Maximum absolute log-scale of one coupling. The bound is symmetric, so that a coupling "
        "can also narrow the distribution",
        gt=0,
    )
    metallicity_flow: Literal["affine", "spline"] = setting(
        "affine",
        "Type of the one-dimensional flow of metallicity: affine (as in the paper) or monotone "
        "spline",
    )
    single_flow: Literal["affine", "spline"] = setting(
        "spline",
        "Type of the flow where there is only one core property. An affine flow is exactly "
        "Gaussian",
    )
    spline_bins: int = setting(16, "Number of bins of a rational-quadratic spline", ge=2)
    residuals: Literal["out_of_fold", "rescaled", "early_stopped"] = setting(
        "out_of_fold",
        "Residuals to which the flows are fitted. `out_of_fold`: those of heads that were trained "
        "without the galaxy. `early_stopped`: those of the final, early-stopped head, which was "
        "trained on it. `rescaled`: those of the final head, rescaled to the size of the "
        "out-of-fold residuals; this suits a few thousand galaxies better (docs/real-data.md)",
    )
    folds: int = setting(5, "Number of folds for the out-of-fold residuals", ge=2)
    learning_rate: float = setting(1.0e-3, "Learning rate of AdamW", gt=0)
    batch_size: int = setting(512, "Number of galaxies per batch", ge=1)
    epochs: int = setting(
        200, "Maximum number of epochs, for the heads and for the flows separately", ge=1
    )
    patience: int = setting(
        15,
        "Number of epochs without a lower validation loss after which training stops",
        ge=1,
    )


class Posteriors(Section):
    """Sampling of the posteriors."""

    draws: int = setting(1000, "Number of joint draws per galaxy, over all members", ge=LEAST_DRAWS)
    chunk: int = setting(512, "Number of galaxies sampled at once; limits the memory", ge=1)


class Compute(Section):
    """Device, compilation and threads. A change can alter the last bits of the results."""

    device: Literal["auto", "cpu", "cuda"] = setting("auto", "Device for training and sampling")
    compile: Literal["auto", "always", "never"] = setting(
        "auto",
        "Whether to compile the training of the VAE. `auto` compiles on a GPU, where it also "
        "replays the training steps as a CUDA graph, and on a CPU from 100,000 stamps on, summed "
        "over all epochs. Where there is no compiler, `auto` does not compile",
    )
    vae_threads: int = setting(
        8, "Number of CPU threads for training the VAE and for encoding", ge=1
    )
    flow_threads: int = setting(
        4, "Number of CPU threads for training the flows and for sampling", ge=1
    )
    stamp_threads: int = setting(
        2,
        "Number of CPU threads of a job that cuts stamps; most of its work is decompressing frames",
        ge=1,
    )
    threads: int = setting(4, "Number of CPU threads of every other stage", ge=1)
