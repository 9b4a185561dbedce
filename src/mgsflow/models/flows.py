"""Conditional flows: nflows' flow, with a context that is not repeated for each draw."""

from __future__ import annotations

from itertools import combinations

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms.base import CompositeTransform, Transform
from torch import Tensor

from mgsflow.config.models import Flows
from mgsflow.core.variants import family_of
from mgsflow.models.coupling import AffineCoupling, Context, SplineCoupling
from mgsflow.models.univariate import UnivariateAffine, UnivariateSpline


class ConditionalFlow(Flow):
    """A density over d variables, given a galaxy's context and values that differ between draws."""

    def __init__(self, transform: Transform, dimensions: int) -> None:
        super().__init__(transform, StandardNormal([dimensions]))
        self.dimensions = dimensions

    def log_prob(self, inputs: Tensor, context: Tensor, condition: Tensor | None = None) -> Tensor:
        """Log-density of `inputs`, (n * draws, d), under `context`, (n, context).

        The rows of a galaxy's draws are consecutive. `condition` has the shape (n * draws,
        conditions). Returns (n * draws,).
        """
        noise, logabsdet = self._transform(inputs, Context(context, condition))
        return self._distribution.log_prob(noise) + logabsdet

    def sample(
        self,
        num_samples: int,
        context: Tensor,
        condition: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Draws of shape (n, num_samples, d), from `noise` of that shape if it is given."""
        return self.sample_and_log_prob(num_samples, context, condition, noise)[0]

    def sample_and_log_prob(
        self,
        num_samples: int,
        context: Tensor,
        condition: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draws, (n, num_samples, d), and their log-densities, (n, num_samples)."""
        shape = (len(context), num_samples, self.dimensions)
        noise = torch.randn(shape, device=context.device) if noise is None else noise
        flat = noise.reshape(-1, self.dimensions)
        draws, logabsdet = self._transform.inverse(flat, Context(context, condition))
        log_prob = self._distribution.log_prob(flat) - logabsdet
        return draws.view(shape), log_prob.view(shape[:2])


def of_variant(variant: str, settings: Flows) -> Flows:
    """The `settings` of `variant`: with its family for all flows, if its name has one."""
    family = family_of(variant)
    kinds = ("coupling", "metallicity_flow", "single_flow")
    return settings.model_copy(update=dict.fromkeys(kinds, family)) if family else settings


def joint_flow(dimensions: int, context: int, settings: Flows) -> ConditionalFlow:
    """RealNVP over `dimensions` >= 2 variables (paper: 12 affine couplings).

    Instead of permutations between the couplings, their masks run through all ways of dividing the
    variables in two, so that in turn each variable conditions every other and depends on it.
    """
    masks = _masks(dimensions)
    layers = [
        _coupling(masks[i % len(masks)], context, settings) for i in range(settings.couplings)
    ]
    return ConditionalFlow(CompositeTransform(layers), dimensions)


def univariate_flow(kind: str, context: int, conditions: int, settings: Flows) -> ConditionalFlow:
    """A one-dimensional flow, `kind` "affine" or "spline"."""
    hidden, bound = settings.coupling_hidden, settings.log_scale_bound
    if kind == "affine":
        return ConditionalFlow(UnivariateAffine(context, conditions, hidden, bound), 1)
    spline = UnivariateSpline(context, conditions, hidden, bound, settings.spline_bins)
    return ConditionalFlow(spline, 1)


def _masks(dimensions: int) -> list[list[int]]:
    """The masks (1: transformed), each followed by its complement."""
    halves = []
    for chosen in combinations(range(dimensions), dimensions // 2):
        mask = [int(i in chosen) for i in range(dimensions)]
        for half in (mask, [1 - bit for bit in mask]):
            if half not in halves:
                halves.append(half)
    return halves


def _coupling(mask: list[int], context: int, settings: Flows) -> AffineCoupling:
    hidden, bound = settings.coupling_hidden, settings.log_scale_bound
    if settings.coupling == "affine":
        return AffineCoupling(mask, context, hidden, bound)
    return SplineCoupling(mask, context, hidden, bound, settings.spline_bins)
