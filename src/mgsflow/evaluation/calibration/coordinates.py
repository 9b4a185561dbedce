"""Joint posteriors in coordinates in which each is a standard Gaussian, if not in shape.

The draws are halved. One half, the reference, defines each galaxy's coordinates; the truth and the
other half are looked at in them, and under a calibrated posterior nothing tells the one from the
others. Whatever is computed of the truths can be computed of a set of those draws as well, which
gives every joint test its null without any assumption on the posterior's shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from mgsflow.evaluation.calibration.proper_scores import shuffled
from mgsflow.evaluation.metrics import row_chunks

_RIDGE = 0.01  # added to the claimed correlations' diagonal: few draws make them singular


@dataclass(frozen=True)
class Coordinates:
    """Truth and draws in the reference draws' coordinates.

    Attributes
    ----------
    truth : (n, T) normal scores: probits of the rank among the reference draws
    draws : (n, m, T) those of the other draws
    claimed : (n, T, T) correlations of the reference draws' own normal scores
    white_truth, white_draws : both without the claimed correlations, by the chain rule: the last
        target's coordinate is what is left of it once those before it are known
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
    """Coordinates of `draws` (n, S, T) and `truth` (n, T), from at most `most` draws a galaxy."""
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


def copula_log_density(given: Coordinates) -> np.ndarray:
    """Log-density (n,) of the claimed Gaussian copula at the truth.

    What a joint density has beside its marginals', if the dependence is a Gaussian copula's.
    """
    _, log_determinant = np.linalg.slogdet(given.claimed)
    squares = np.sum(given.white_truth**2, axis=1) - np.sum(given.truth**2, axis=1)
    return -(squares + log_determinant) / 2
