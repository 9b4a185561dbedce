"""Exact posteriors of simulated galaxies given photometry alone, and a comparison with the flows.

A simulated sky is a prior that can be sampled, and the noise of its photometry has a known density.
Importance sampling therefore gives the exact posterior of any galaxy: draws from the prior
(prior.py), the draws near its photometry (match.py), their weights (weights.py), a sample of a few
thousand draws (reservoir.py), and the targets that the survey would have measured for each
(observe.py, posterior.py).
"""
