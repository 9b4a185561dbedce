"""A toy whose aleatoric and epistemic parts are known, and deep ensembles trained on it.

A linear mean and Gaussian noise whose width depends on an input. With that width known and a
Gaussian prior on the weights the epistemic variance of the mean is that of Bayesian regression.
Run as a program it measures what five trained members make of it: the table in docs/uncertainty.md.
"""

from __future__ import annotations

import numpy as np
import torch

from mgsflow.config.models import Flows
from mgsflow.evaluation.uncertainty import decompose
from mgsflow.models.branch import Architecture
from mgsflow.training.heads import Rows
from mgsflow.training.members import fit_members

SLOPES = np.array([0.8, -0.5, 0.3, 0.2])
MEMBERS, DRAWS = 5, 400
FLOWS = Flows(
    members=MEMBERS,
    encoding=32,
    encoder_hidden=[32],
    head_hidden=16,
    coupling_hidden=16,
    single_flow="affine",
    learning_rate=5e-3,
    batch_size=64,
    epochs=100,
    patience=20,
)
SIZES, REPEATS = (100, 400, 1600), 5
FAR = 4.0  # times as far from the middle as the galaxies that are like the training set's


def sigma(inputs: np.ndarray) -> np.ndarray:
    """The aleatoric sigma, (n,), a factor of two from -1 to +1 of the first input."""
    return 0.4 * np.exp(0.35 * inputs[:, 0])


def mean(inputs: np.ndarray) -> np.ndarray:
    return inputs @ SLOPES


def draw(n: int, *seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, 4) and targets (n,)."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((n, len(SLOPES)))
    return inputs, mean(inputs) + sigma(inputs) * random.standard_normal(n)


def outside(inputs: np.ndarray) -> np.ndarray:
    """The same galaxies FAR times as far out, but for the input that the width depends on."""
    return inputs * np.array([1.0, FAR, FAR, FAR])


def bayesian(inputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (5,) and covariance (5, 5) of intercept and slopes, under a unit Gaussian prior."""
    design = np.c_[np.ones(len(inputs)), inputs]
    weighted = design / sigma(inputs)[:, None] ** 2
    covariance = np.linalg.inv(weighted.T @ design + np.eye(design.shape[1]))
    return covariance @ (weighted.T @ targets), covariance


def epistemic_variance(covariance: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Variance of the mean of galaxies `at` (n, 4), (n,)."""
    design = np.c_[np.ones(len(at)), at]
    return np.einsum("ni,ij,nj->n", design, covariance, design)


def trained_draws(n: int, repeat: int, at: np.ndarray) -> np.ndarray:
    """Draws (len(at), members, DRAWS) of an ensemble trained on the toy's rows (n, repeat)."""
    train, validation = (_rows(*draw(size, repeat, n, i)) for i, size in enumerate((n, n // 4)))
    architecture = Architecture.of(len(SLOPES), ["redshift"], False, FLOWS)
    seeds = [MEMBERS * repeat + i for i in range(MEMBERS)]
    branches, _ = fit_members(train, validation, architecture, FLOWS, seeds)
    inputs, found = torch.from_numpy(at.astype(np.float32)), []
    for seed, branch in zip(seeds, branches, strict=True):
        noise = torch.randn(len(at), DRAWS, 1, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            found.append(branch.sample(branch.predict(inputs), noise)[..., 0].numpy())
    return np.stack(found, axis=1)


def measure(n: int, repeat: int) -> dict[str, float]:
    """Mean squares over 1000 galaxies: of the split, of the Bayesian answer, and of errors."""
    at = draw(1000, 99)[0]
    inside, far = np.split(trained_draws(n, repeat, np.concatenate([at, outside(at)])), 2)
    covariance = bayesian(*draw(n, repeat, n, 0))[1]
    means = inside.mean(axis=2, dtype=np.float64)
    own, own_far = decompose(inside), decompose(far)
    return {
        "aleatoric": own.aleatoric.mean(),
        "true aleatoric": np.square(sigma(at)).mean(),
        "epistemic": own.epistemic.mean(),
        "bayesian": epistemic_variance(covariance, at).mean(),
        "epistemic outside": own_far.epistemic.mean(),
        "bayesian outside": epistemic_variance(covariance, outside(at)).mean(),
        "error of a member": np.square(means - mean(at)[:, None]).mean(),
        "error of the ensemble": np.square(means.mean(axis=1) - mean(at)).mean(),
    }


def _rows(inputs: np.ndarray, targets: np.ndarray) -> Rows:
    parts = (inputs.astype(np.float32), targets[:, None].astype(np.float32))
    return Rows(*map(torch.from_numpy, parts))


def main() -> None:
    """Print the root mean squares over REPEATS training sets of each size."""
    torch.set_num_threads(1)
    for n in SIZES:
        found = [measure(n, repeat) for repeat in range(REPEATS)]
        means = {name: np.sqrt(np.mean([each[name] for each in found])) for name in found[0]}
        print(n, {name: round(float(value), 3) for name, value in means.items()}, flush=True)


if __name__ == "__main__":
    main()
