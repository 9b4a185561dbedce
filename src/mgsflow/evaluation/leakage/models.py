"""Checks of the models: their inputs, their standardisation, and the domain of their targets."""

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

SAME_ORDER = 0.999  # rank correlation above which an input is a target under another name
TOLERANCE = 1e-9  # of a standardisation, in standard deviations: the last bits vary by machine

# The columns that are allowed as inputs. Position, plate, run, field and measurements by the
# spectrograph are not.
_BAND = f"({'|'.join(map(re.escape, known_bands()))})"
INPUTS = re.compile(
    rf"{LATENT_COLUMN.pattern}|{MAGNITUDE}{_BAND}|({REST_COLOUR}|{COLOUR}){_BAND}_{_BAND}"
)
_OBSERVATION = re.compile(
    r"ra|dec|l|b|glon|glat|fiber_.*|.*plate.*|mjd|.*fib(er|re).*|(re)?run|camcol|field|.*objid"
)


def input_lists(models: list[Path], predictions: Path, targets: Targets) -> list[Line]:
    """Check the models' lists of inputs. Raises UserError for an input that is not photometric."""
    lists = {str(path / DESCRIPTION): read_description(path)["inputs"] for path in models}
    baselines = read_notes(predictions).get("inputs", {})
    lists |= {f"{predictions}: {method}": names for method, names in baselines.items()}
    for where, names in lists.items():
        for name in names:
            if not INPUTS.fullmatch(name):
                raise UserError(
                    f"{where}: {name} is among the inputs{_why_not(name, targets)}. Inputs may be "
                    "only latents, magnitudes and colours. Remove it and train again."
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
        return ", but it is a target"
    return ", but says where or how a galaxy was observed" if _OBSERVATION.fullmatch(name) else ""


def no_input_is_a_target(table: pd.DataFrame, inputs: list[str], goals: list[str]) -> Line:
    """Check that no input has a target's order of training galaxies: it would be the target."""
    train = table[table["set"] == "train"]
    ranks = train[[*inputs, *goals]].rank()
    related = ranks.corr().loc[inputs, goals].abs()
    count = int((related > SAME_ORDER).sum().sum())
    name, goal = related.stack().idxmax() if related.notna().any(axis=None) else ("none", "none")
    greatest = float(related.max(axis=None))
    remark = f"greatest rank correlation, of {name} with {goal}"
    return line(
        "Inputs that are a target by another name",
        f"{len(inputs)} inputs, {len(goals)} quantities",
        len(inputs) * len(goals),
        count,
        remark=remark,
        value=(greatest, np.nan, np.nan),
    )


def standardisations(models: list[Path], table: pd.DataFrame) -> list[Line]:
    """Check the models' standardisations against those recomputed from the training rows."""
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
    """Check that ln(1 + F) of all measured lines is finite and not negative."""
    if not lines:
        return []
    values = table[[name for name in LINES if name in lines]].to_numpy(np.float64)
    bad, clipped = int((~(values >= 0) | np.isinf(values)).sum()), int((values == 0).sum())
    remark = f"{clipped} are 0: fluxes of 0, and negative ones where they are clipped"
    return [line("Fluxes within ln(1 + F)", f"{len(lines)} lines", values.size, bad, None, remark)]
