"""What the models were given: their inputs, their standardisations, their targets' domain."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from mgsflow.config import Targets
from mgsflow.core.contract import DESCRIPTION
from mgsflow.core.errors import UserError
from mgsflow.core.latents import LATENT_COLUMN
from mgsflow.core.photometry import COLOUR, MAGNITUDE, REST_COLOUR
from mgsflow.core.quantities import LINES
from mgsflow.core.surveys import known_bands
from mgsflow.core.tables import read_notes
from mgsflow.evaluation.leakage.lines import REPORTED, Line, line
from mgsflow.models.standardise import Standardiser
from mgsflow.models.storage import read_description

SAME_ORDER = 0.999  # rank correlation from which on an input is a target by another name
TOLERANCE = 1e-9  # of a standardisation, in standard deviations: the last bits differ by machine

# All that an input may be; position, plate, run and field are none of it, nor is a measurement by
# the spectrograph.
_BAND = f"({'|'.join(map(re.escape, known_bands()))})"
INPUTS = re.compile(
    rf"{LATENT_COLUMN.pattern}|{MAGNITUDE}{_BAND}|({REST_COLOUR}|{COLOUR}){_BAND}_{_BAND}"
)
_OBSERVATION = re.compile(
    r"ra|dec|l|b|glon|glat|fiber_.*|.*plate.*|mjd|.*fib(er|re).*|(re)?run|camcol|field|.*objid"
)


def input_lists(models: list[Path], predictions: Path, targets: Targets) -> list[Line]:
    """The models' own lists of inputs, in which nothing but light may be."""
    lists = {str(path / DESCRIPTION): read_description(path)["inputs"] for path in models}
    baselines = read_notes(predictions).get("inputs", {})
    lists |= {f"{predictions}: {method}": names for method, names in baselines.items()}
    for where, names in lists.items():
        for name in names:
            if not INPUTS.fullmatch(name):
                raise UserError(
                    f"{where}: {name} is among the inputs{_why_not(name, targets)}. An input is a "
                    "latent, a magnitude or a colour. Take it out and train again."
                )
    rest = {path: sum(n.startswith(REST_COLOUR) for n in names) for path, names in lists.items()}
    knowing = {path: count for path, count in rest.items() if count}
    total = sum(map(len, lists.values()))
    rows = [line("Inputs that must not be", f"{len(lists)} models and baselines", total)]
    if knowing and "redshift" in targets.properties:
        remark = "rest-frame colours, K-corrected with the spectroscopic redshift"
        subject = f"{len(knowing)} models"
        rows.append(
            line(
                "Inputs that know a target",
                subject,
                sum(len(lists[path]) for path in knowing),
                sum(knowing.values()),
                REPORTED,
                remark,
            )
        )
    return rows


def _why_not(name: str, targets: Targets) -> str:
    if name in (*targets.properties, *targets.lines):
        return ", and is itself to be inferred"
    return ", and tells where or how a galaxy was observed" if _OBSERVATION.fullmatch(name) else ""


def no_input_is_a_target(table: pd.DataFrame, inputs: list[str], goals: list[str]) -> Line:
    """No input orders the training galaxies as a target does: that would be the target itself."""
    train = table[table["set"] == "train"]
    ranks = train[[*inputs, *goals]].rank()
    related = ranks.corr().loc[inputs, goals].abs()
    found = int((related > SAME_ORDER).sum().sum())
    name, goal = related.stack().idxmax() if related.notna().any(axis=None) else ("none", "none")
    greatest = float(related.max(axis=None))
    remark = f"greatest rank correlation, of {name} with {goal}"
    return line(
        "Inputs that are a target by another name",
        f"{len(inputs)} inputs, {len(goals)} quantities",
        len(inputs) * len(goals),
        found,
        remark=remark,
        value=(greatest, np.nan, np.nan),
    )


def standardisations(models: list[Path], table: pd.DataFrame) -> list[Line]:
    """The models' standardisations are those of the training rows, computed again."""
    train, checked, wrong = table[table["set"] == "train"], 0, {}
    for path in models:
        model = read_description(path)
        for kind in ("inputs", "targets"):
            stated = Standardiser.from_json(model["standardisation"][kind])
            checked += len(stated.mean)
            off = _differs(stated, train[model[kind]])
            if off.any():
                name = model[kind][int(np.argmax(off))]
                all_rows = not _differs(stated, table[model[kind]]).any()
                of_all = ", which is that of all sets" if all_rows else ""
                wrong[f"{path / DESCRIPTION}: {name}{of_all}"] = int(off.sum())
    return [
        line(
            "Standardisation by the training rows alone",
            f"{len(models)} models",
            checked,
            sum(wrong.values()),
            remark="; ".join(wrong),
        )
    ]


def _differs(stated: Standardiser, rows: pd.DataFrame) -> np.ndarray:
    again = Standardiser.fit(rows.to_numpy())
    off = np.abs(again.mean - stated.mean) + np.abs(again.std - stated.std)
    return ~(off < TOLERANCE * again.std)


def log1p_domain(table: pd.DataFrame, lines: list[str]) -> list[Line]:
    """ln(1 + F) of fluxes that are not negative, each of them finite."""
    if not lines:
        return []
    values = table[[name for name in LINES if name in lines]].to_numpy(np.float64)
    bad, clipped = int((~(values >= 0) | np.isinf(values)).sum()), int((values == 0).sum())
    remark = f"{clipped} are 0: fluxes of 0, and negative ones where they are clipped"
    return [line("Fluxes within ln(1 + F)", f"{len(lines)} lines", values.size, bad, None, remark)]
