"""A weighted sample of fixed size for each galaxy, from a stream of draws."""

from __future__ import annotations

import numpy as np

from mgsflow.sky.simulated.relations import Array


class Reservoir:
    """Keeps for each galaxy the `size` draws of highest priority (Duffield et al. 2007).

    A draw's priority is its weight divided by a uniform random number. If each weight is raised to
    at least the highest priority that was not kept, any sum over the kept draws has the same
    expectation as the sum over all draws: heavy draws keep their weights, and light ones represent
    similar draws that were not kept. Merging two reservoirs gives that of both streams, in any
    order.
    """

    def __init__(self, galaxies: int, size: int, columns: int) -> None:
        self.size = size
        self.count = np.zeros(galaxies, np.int64)  # draws entered
        self.sums = np.zeros((2, galaxies))  # of weights and of their squares
        self._galaxy = np.empty(0, np.int64)
        self._priority = np.empty(0)
        self._weight = np.empty(0)
        self._rows = np.empty((0, columns), np.float32)
        self._least = np.full(galaxies, -np.inf)  # priority below which no draw can be kept
        self._waiting: list[tuple[Array, Array, Array, Array]] = []

    def add(self, galaxy: Array, log_weight: Array, rows: Array, uniform: Array) -> None:
        """Enter draws `rows` (n, columns) of the galaxies `galaxy` (n,), with random numbers."""
        weight = np.exp(log_weight)
        for total, power in zip(self.sums, (weight, weight**2), strict=True):
            total += np.bincount(galaxy, power, len(total))
        self.count += np.bincount(galaxy, minlength=len(self.count))
        priority = log_weight - np.log(uniform)
        some = priority > self._least[galaxy]
        self._wait(galaxy[some], priority[some], log_weight[some], rows[some])

    def merge(self, other: Reservoir) -> None:
        """Enter all draws of `other`."""
        other._sort()
        self.sums += other.sums
        self.count += other.count
        self._wait(other._galaxy, other._priority, other._weight, other._rows)

    def _wait(self, galaxy: Array, priority: Array, weight: Array, rows: Array) -> None:
        """Buffer draws before sorting, which is expensive, up to half as many as can be kept."""
        self._waiting.append((galaxy, priority, weight, rows.astype(np.float32)))
        if sum(len(part[0]) for part in self._waiting) > self.size * len(self.count) / 2:
            self._sort()

    def _sort(self) -> None:
        kept = (self._galaxy, self._priority, self._weight, self._rows)
        parts = [kept, *self._waiting]
        galaxy, priority, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.lexsort((-priority, galaxy))
        first = np.searchsorted(galaxy[order], np.arange(len(self.count)))
        rank = np.arange(len(order)) - first[galaxy[order]]
        kept = order[rank <= self.size]  # one more than `size`: its priority is the threshold
        bar = order[rank == self.size]
        self._least[galaxy[bar]] = priority[bar]
        self._galaxy, self._priority, self._weight = galaxy[kept], priority[kept], weight[kept]
        self._rows = np.concatenate([part[3] for part in parts])[kept]
        self._waiting = []

    def draws(self, galaxy: int) -> tuple[Array, Array]:
        """Log-weights (n,), raised to the threshold, and rows (n, columns) kept for a galaxy."""
        if self._waiting:
            self._sort()
        mine = np.flatnonzero((self._galaxy == galaxy) & (self._priority > self._least[galaxy]))
        return np.maximum(self._weight[mine], self._least[galaxy]), self._rows[mine]

    def effective(self) -> Array:
        """Effective sample size of all draws entered, (galaxies,): (sum w)^2 / sum w^2."""
        total, squares = self.sums
        return np.where(squares > 0, total**2 / np.where(squares > 0, squares, 1), 0.0)
