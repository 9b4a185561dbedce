"""The stage `oracle`: exact posteriors of the test set's galaxies, compared with the flows'."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

from mgsflow.config import Compute, Oracle, Photometry, Selection, Simulated, Targets
from mgsflow.core.errors import UserError
from mgsflow.core.files import atomic_path
from mgsflow.core.photometry import magnitude_column, magnitude_columns
from mgsflow.core.progress import say, track
from mgsflow.core.seeds import derive_seed, generator, hash_order
from mgsflow.core.tables import read_table, write_table
from mgsflow.core.variants import inputs_of
from mgsflow.evaluation.oracle.compare import Flow, compare
from mgsflow.evaluation.oracle.density import resample
from mgsflow.evaluation.oracle.posterior import Exact
from mgsflow.evaluation.oracle.sampling import exact_posteriors, stream
from mgsflow.posterior.posterior import Posterior
from mgsflow.sky.simulated.camera import BANDS
from mgsflow.training.loop import choose_device

SET = "test"
MAGNITUDES = magnitude_columns(BANDS)
EXAMPLES = (0.1, 0.5, 0.9)  # quantiles of g - r at which the figure's galaxies are chosen
EXAMPLE_DRAWS = 4000
# For a galaxy with a metallicity: minimum effective sample size of the draws that have one, in
# units of oracle.effective_min
METALLICITY_SHARE = 0.1


def oracle(
    *,
    features: Path,
    property_model: Path | None = None,
    line_model: Path | None = None,
    oracle: Oracle,
    simulated: Simulated,
    selection: Selection,
    targets: Targets,
    photometry: Photometry,
    compute: Compute,
    seed: int,
    out: Path,
    examples: Path,
) -> None:
    """Compare the flows' posteriors given photometry with the exact ones, galaxy by galaxy.

    --property-model and --line-model are the folders of flows on the inputs photometry-observed,
    of any family. --out is a table with one row per galaxy and target: moments, ranks and
    log-densities of both posteriors (docs/simulated-sky.md). --examples (HDF5) holds draws of both
    for three galaxies. Galaxies whose exact posterior has too small an effective sample size are
    excluded and counted.
    """
    torch.set_num_threads(compute.flow_threads)
    posterior = Posterior.load(property_model, line_model).to(choose_device(compute))
    _check(posterior, photometry, targets, selection, simulated)
    table = _choose(features, posterior, oracle, seed)
    flows = _flows(posterior, table, oracle, targets, seed)  # first, because it is fast
    magnitudes = table[MAGNITUDES].to_numpy(np.float64)
    prior_draws = stream(magnitudes, oracle, simulated, seed, compute.threads)
    exact = list(exact_posteriors(prior_draws, simulated, selection, targets, seed))
    accepted = _accept(exact, oracle)
    notes = {
        "galaxies": len(table),
        "refused": len(table) - len(accepted),
        "draws": oracle.draws,
        "effective_min": oracle.effective_min,
        "near_reach": float(
            np.median(prior_draws.outer / np.maximum(prior_draws.kept.sums[0], 1e-300))
        ),
    }
    chosen = table.iloc[accepted].reset_index(drop=True)
    kept, flows = ([each[i] for i in accepted] for each in (exact, flows))
    _write(out, chosen, kept, flows, notes, seed, METALLICITY_SHARE * oracle.effective_min)
    _write_examples(examples, chosen, kept, flows, seed)


def _accept(exact: list[Exact | None], oracle: Oracle) -> list[int]:
    """Numbers of the galaxies with a sufficient effective sample size."""
    enough = [i for i, e in enumerate(exact) if e and e.effective >= oracle.effective_min]
    say(
        f"oracle: {len(enough)} of {len(exact)} galaxies have an effective sample of "
        f"{oracle.effective_min:g} or more; refused: {len(exact) - len(enough)}"
    )
    if not enough:
        raise UserError(
            "oracle: no galaxy has an effective sample of oracle.effective_min = "
            f"{oracle.effective_min:g}. Raise oracle.draws, which is {oracle.draws}, or lower "
            "oracle.effective_min."
        )
    return enough


def _check(
    posterior: Posterior,
    photometry: Photometry,
    targets: Targets,
    selection: Selection,
    simulated: Simulated,
) -> None:
    if inputs_of(posterior.variant) != "photometry-observed":
        raise UserError(
            f"oracle: the models were trained on {posterior.variant}. The likelihood is known for "
            "photometry alone: give the models of photometry-observed."
        )
    if photometry.bands != list(BANDS) or not photometry.deredden:
        raise UserError(
            f"oracle: the likelihood needs all of {', '.join(BANDS)}, dereddened. Set "
            "photometry.bands and photometry.deredden accordingly, or oracle.galaxies to 0."
        )
    expected = [*targets.properties, *targets.lines]
    if posterior.targets != expected:
        raise UserError(
            f"oracle: the models infer {', '.join(posterior.targets)}; the settings name "
            f"{', '.join(expected)}. Give both flows, and the settings that they were trained with."
        )
    limit = selection.petro_mag_r_max
    if limit is None or limit > simulated.petro_mag_r_max:
        raise UserError(
            f"oracle: selection.petro_mag_r_max is {limit}, fainter than the sky's limit of "
            f"{simulated.petro_mag_r_max:g}, beyond which there are only contaminants. Lower it, "
            "or set oracle.galaxies to 0."
        )


def _choose(features: Path, posterior: Posterior, oracle: Oracle, seed: int) -> pd.DataFrame:
    if not oracle.galaxies:
        raise UserError("oracle.galaxies is 0: there is nothing to compare. Set a larger number.")
    columns = dict.fromkeys([*MAGNITUDES, *posterior.inputs, *posterior.targets])
    table = read_table(features, ["objid", "set", *columns])
    table = table[table["set"] == SET].drop(columns="set")
    order = hash_order(table["objid"].to_numpy(), seed, "oracle")
    return table.iloc[order[: oracle.galaxies]].reset_index(drop=True)


def _flows(
    posterior: Posterior, table: pd.DataFrame, oracle: Oracle, targets: Targets, seed: int
) -> list[Flow]:
    draws = posterior.sample(table, oracle.posterior_draws, derive_seed(seed, "oracle", "flow"))
    density = _densities(posterior, table, targets)
    return [Flow(posterior.targets, *parts) for parts in zip(draws, density, strict=True)]


def _densities(posterior: Posterior, table: pd.DataFrame, targets: Targets) -> np.ndarray:
    """ln of the joint density of the properties at the truth, (n,); NaN if there are none."""
    properties = posterior.only(targets.properties)
    if properties is None:
        return np.full(len(table), np.nan)
    return properties.log_prob(table, table[properties.targets])


def _write(
    path: Path,
    table: pd.DataFrame,
    exact: list[Exact],
    flows: list[Flow],
    notes: dict[str, object],
    seed: int,
    least: float,
) -> None:
    random = generator(seed, "oracle", "ranks")
    rows: list[dict[str, object]] = []
    for i in track(range(len(table)), "oracle: galaxies compared"):
        truth = table.loc[i]
        objid = int(table["objid"].iloc[i])
        rows += compare(objid, truth, exact[i], flows[i], random, least)
    write_table(path, pd.DataFrame(rows), notes=notes)


def _write_examples(
    path: Path, table: pd.DataFrame, exact: list[Exact], flows: list[Flow], seed: int
) -> None:
    """Write equally weighted draws of both posteriors, and the truth, for galaxies blue to red."""
    random = generator(seed, "oracle", "examples")
    colour = table[magnitude_column("g")] - table[magnitude_column("r")]
    order = np.argsort(colour.to_numpy())
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for number, quantile in enumerate(EXAMPLES):
            i = order[round(quantile * (len(order) - 1))]
            group = file.create_group(str(number))
            names = flows[i].names
            group.attrs["objid"] = int(table["objid"].iloc[i])
            group.attrs["targets"] = names
            group.attrs["g_r"] = float(colour.iloc[i])
            rows = resample(exact[i].weights, EXAMPLE_DRAWS, random)
            group["exact"] = exact[i].observed.values[names].to_numpy(np.float32)[rows]
            chosen = random.permutation(len(flows[i].draws))[:EXAMPLE_DRAWS]  # of all members
            group["flow"] = flows[i].draws[chosen].astype(np.float32)
            group["truth"] = table.iloc[i][names].to_numpy(np.float64)
