"""Joint posteriors in coordinates with standard Gaussian margins and no claimed correlations.

The draws are halved. One half, the reference, defines each galaxy's coordinates. The truth and the
other half are transformed to them; if the posterior is calibrated, the truth cannot be
distinguished from these draws. Any statistic of the truths can also be computed for a set of these
draws, which gives every joint test its null without assumptions on the posterior's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mgsflow.evaluation.calibration.proper_scores import shuffled
from mgsflow.evaluation.metrics import row_chunks

_RIDGE = 0.01  # weight of the identity in the claimed correlations: few draws make them singular


@dataclass(frozen=True)
class Coordinates:
    """Truth and draws in the coordinates of the reference draws.

    Attributes
    ----------
    truth : (n, T) normal scores of the truths: probits of their ranks among the reference draws
    draws : (n, m, T) normal scores of the other draws
    claimed : (n, T, T) claimed correlations, those of the reference draws' own normal scores
    white_truth, white_draws : truth and draws with the claimed correlations removed by the chain
        rule: each target's coordinate is its residual given the targets before it
    """

    truth: np.ndarray
    draws: np.ndarray
    claimed: np.ndarray
    white_truth: np.ndarray
    white_draws: np.ndarray

    @property
    def pseudo_truths(self) -> int:
        return self.draws.shape[1]


def coordinates(
    draws: np.ndarray, truth: np.ndarray, most: int, random: np.random.Generator
) -> Coordinates:
    """Coordinates of `draws` (n, S, T) and `truth` (n, T), from at most `most` draws per galaxy."""
    kept = shuffled(draws, random, most)
    half = kept.shape[1] // 2
    reference = kept[:, :half]
    others = np.concatenate([truth[:, None].astype(kept.dtype), kept[:, half:]], axis=1)
    scores = _normal_scores(reference, others, random)
    claimed = _correlations(_own_scores(reference))
    lower = np.linalg.cholesky(claimed)
    white = np.linalg.solve(lower, scores.transpose(0, 2, 1)).transpose(0, 2, 1)
    return Coordinates(scores[:, 0], scores[:, 1:], claimed, white[:, 0], white[:, 1:])


def _normal_scores(
    reference: np.ndarray, others: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Probits of the randomised ranks of `others` (n, m, T) among `reference` (n, R, T)."""
    count = reference.shape[1]
    result = np.empty(others.shape)
    for rows in row_chunks(len(others), (count + others.shape[1]) * others.shape[2]):
        both = np.concatenate([reference[rows], others[rows]], axis=1)
        order = np.argsort(both, axis=1, kind="stable")
        below = np.cumsum(order < count, axis=1)
        ranks = np.empty_like(below)
        np.put_along_axis(ranks, order, below, axis=1)
        uniform = random.uniform(1e-12, 1, result[rows].shape)
        result[rows] = ndtri((ranks[:, count:] + uniform) / (count + 1))
    return result


def _own_scores(reference: np.ndarray) -> np.ndarray:
    ranks = np.argsort(np.argsort(reference, axis=1), axis=1)
    return ndtri((ranks + 0.5) / reference.shape[1])


def _correlations(scores: np.ndarray) -> np.ndarray:
    covariance = np.einsum("nsi,nsj->nij", scores, scores) / scores.shape[1]
    size = np.sqrt(np.einsum("nii->ni", covariance))
    correlation = covariance / (size[:, :, None] * size[:, None])
    return (1 - _RIDGE) * correlation + _RIDGE * np.eye(scores.shape[2])


def copula_log_density(scores: Coordinates) -> np.ndarray:
    """Log-density (n,) of the claimed Gaussian copula at the truth.

    If the dependence is a Gaussian copula, the log of the joint density is this plus the sum of the
    logs of the marginal densities.
    """
    _, log_determinant = np.linalg.slogdet(scores.claimed)
    squares = np.sum(scores.white_truth**2, axis=1) - np.sum(scores.truth**2, axis=1)
    return -(squares + log_determinant) / 2
