"""The exact posteriors of simulated galaxies by photometry alone, and how near the flows come.

A simulated sky is a prior that can be drawn from, and the noise of its photometry has a known
density. So importance sampling gives the exact posterior of any galaxy: draws from the prior
(prior.py), those near its photometry (match.py), their weights (weights.py), the best few
thousand (reservoir.py), and the targets that the survey would have measured of each (observe.py,
posterior.py).
"""
