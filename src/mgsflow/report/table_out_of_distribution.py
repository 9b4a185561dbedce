"""Table: how well each variant's flag finds the anomalies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from mgsflow.core.tables import read_table
from mgsflow.evaluation.out_of_distribution import anomaly_names
from mgsflow.report.names import inputs_name
from mgsflow.report.writing import show_intervals, write_tables

ANOMALIES = {
    anomaly_names.PATCHED: "Control: the galaxy itself",
    anomaly_names.BLANK: "Empty stamp",
    anomaly_names.SWAPPED: "g and i exchanged",
    anomaly_names.STAR: "Star",
    anomaly_names.DISTANT: "Galaxy at z = 0.5",
    anomaly_names.DISTANT_BRIGHT: "Galaxy at z = 0.5, as bright as the sample",
}


def table_out_of_distribution(*, anomalies: Path, out: Path) -> None:
    """Show the stage out-of-distribution's table; `out` is the .csv, .json, .md and .tex beside it.

    One row for each variant and anomaly, each figure with its 95% bootstrap interval: the area
    under the ROC curve of the flag's score, the shares of the anomalies and of the test set that
    are flagged, the ratio of the members' disagreement, and the area under its ROC curve.
    """
    numbers = read_table(anomalies)
    write_tables(out, numbers, shown(numbers))


def shown(numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the table, one text a cell."""
    return pd.DataFrame(
        {
            "Inputs": [inputs_name(variant) for variant in numbers["variant"]],
            "Unusual": numbers["anomaly"].replace(ANOMALIES),
            "AUC": show_intervals(numbers, "auc", 3),
            "Flagged (%)": show_intervals(numbers, "true_positive_rate", 1, 100),
            "Test set flagged (%)": show_intervals(numbers, "false_positive_rate", 1, 100),
            "Disagreement, ratio": show_intervals(numbers, "epistemic_ratio", 1),
            "AUC of the disagreement": show_intervals(numbers, "auc_epistemic", 3),
        }
    )
