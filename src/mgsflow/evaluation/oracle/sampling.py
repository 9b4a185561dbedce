"""Exact posteriors of many galaxies from a stream of the prior's draws, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from mgsflow.config import Oracle, Selection, Simulated, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.progress import track
from mgsflow.core.seeds import generator
from mgsflow.evaluation.oracle.match import REACH, Matcher
from mgsflow.evaluation.oracle.observe import Observed, observe
from mgsflow.evaluation.oracle.posterior import Exact
from mgsflow.evaluation.oracle.prior import CAUSES, CHUNK, Prior
from mgsflow.evaluation.oracle.reservoir import Reservoir
from mgsflow.evaluation.oracle.weights import propose
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.sky.simulated.relations import Array

COLUMNS = len(CAUSES) + len(BANDS)
BLOCK = 50  # galaxies whose kept draws are measured at once, to limit memory
SHARES = 8  # number of parts of the draws; processes take one after the other
ENOUGH = 1.5  # effective sample size, in units of the draws kept, beyond which draws add little
WEIGHTS = ("oracle", "weights")
OUTER = REACH - 1.0  # the weight beyond this distance is reported; beyond reach it is far less


@dataclass
class Stream:
    """The result of streaming: the kept draws, and the weight near the edge of the reach."""

    kept: Reservoir
    outer: Array  # (galaxies,), sum of the weights beyond OUTER

    @classmethod
    def begin(cls, galaxies: int, oracle: Oracle) -> Stream:
        return cls(Reservoir(galaxies, oracle.kept, COLUMNS), np.zeros(galaxies))

    def merge(self, other: Stream) -> None:
        self.kept.merge(other.kept)
        self.outer += other.outer


def stream(
    magnitudes: Array, oracle: Oracle, simulated: Simulated, seed: int, workers: int
) -> Stream:
    """Match `oracle.draws` draws of the prior with the galaxies of `magnitudes` (m, bands).

    A galaxy takes no more draws once its effective sample size is `ENOUGH` times the number kept.
    The result does not depend on the number of processes.
    """
    chunks = range(-(-oracle.draws // CHUNK))
    shares = [chunks[i::SHARES] for i in range(min(SHARES, len(chunks)))]
    whole = Stream.begin(len(magnitudes), oracle)
    for part in track(
        _in_processes(magnitudes, oracle, simulated, seed, shares, workers),
        f"oracle: parts of {oracle.draws} draws of the prior",
        len(shares),
    ):
        whole.merge(part)
    return whole


def _in_processes(
    magnitudes: Array,
    oracle: Oracle,
    simulated: Simulated,
    seed: int,
    shares: list[range],
    workers: int,
) -> Iterator[Stream]:
    work = partial(_stream_share, magnitudes, oracle, simulated, seed, len(shares))
    if workers == 1:
        yield from map(work, shares)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(shares)), mp_context=context) as pool:
            yield from pool.map(work, shares)
    except BrokenProcessPool:
        raise UserError(
            f"oracle: one of {workers} processes was killed, most likely for lack of memory: each "
            f"takes about 1.2 kB for each of {oracle.kept} draws (oracle.kept) of "
            f"{len(magnitudes)} galaxies. Lower compute.threads, oracle.kept or oracle.galaxies."
        ) from None


def _stream_share(
    magnitudes: Array,
    oracle: Oracle,
    simulated: Simulated,
    seed: int,
    shares: int,
    share: range,
) -> Stream:
    matcher = Matcher(magnitudes)
    mine = Stream.begin(len(magnitudes), oracle)
    for number in share:
        unfinished = np.flatnonzero(mine.kept.effective() < ENOUGH * oracle.kept / shares)
        if not len(unfinished):
            break
        prior = Prior.draw(simulated, seed, number)
        _stream_chunk(
            prior, matcher, unfinished, magnitudes, mine, generator(seed, *WEIGHTS, number)
        )
    return mine


def _stream_chunk(
    prior: Prior,
    matcher: Matcher,
    unfinished: Array,
    magnitudes: Array,
    mine: Stream,
    random: np.random.Generator,
) -> None:
    galaxy, row, distance = matcher.pairs(prior, unfinished)
    deviations, log_weight = propose(magnitudes[galaxy], prior[row], random)
    rows = np.hstack([prior.causes[row], deviations])
    mine.kept.add(galaxy, log_weight, rows, random.uniform(0, 1, len(row)))
    outer = distance > OUTER
    mine.outer += np.bincount(galaxy[outer], np.exp(log_weight[outer]), len(magnitudes))


def exact_posteriors(
    whole: Stream,
    simulated: Simulated,
    selection: Selection,
    targets: Targets,
    seed: int,
) -> Iterator[Exact | None]:
    """The exact posterior of each galaxy, in order; None if no draw is left."""
    galaxies = len(whole.outer)
    for start in range(0, galaxies, BLOCK):
        numbers = range(start, min(start + BLOCK, galaxies))
        log_weights, rows = zip(*(whole.kept.draws(i) for i in numbers), strict=True)
        random = generator(seed, "oracle", "observe", start)
        causes = np.concatenate(rows).astype(np.float64)
        if not len(causes):
            yield from [None] * len(numbers)
            continue
        observed = observe(
            causes[:, : len(CAUSES)],
            causes[:, len(CAUSES) :],
            simulated,
            selection,
            targets,
            random,
        )
        yield from _divide(observed, log_weights, targets)


def _divide(
    observed: Observed, log_weights: tuple[Array, ...], targets: Targets
) -> Iterator[Exact | None]:
    """Divide the draws of several galaxies, which follow one another, into one posterior each."""
    edges = np.cumsum([0, *(len(part) for part in log_weights)])
    cuts = np.searchsorted(observed.rows, edges)
    everything = np.concatenate(log_weights)
    for low, high in pairwise(cuts):
        if low == high:
            yield None
            continue
        mine = observed.of(np.arange(low, high))
        log_weight = everything[mine.rows]
        weight = np.exp(log_weight - log_weight.max())
        yield Exact(mine, weight / weight.sum(), targets)
