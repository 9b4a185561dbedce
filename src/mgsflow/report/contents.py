"""What a run shows: each table and figure once, in the order of the report.

From this list derive the rules that make them, the commands' help, the titles and the order of the
page, the files that the archive holds, and the tests of captions and files. A new one is an entry
here, its module `report/STAGE.py`, and its caption `workflow/report/NAME.rst`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mgsflow.core.contract import Model, Paths


@dataclass(frozen=True)
class Item:
    """A table or figure of the report.

    `name` is the stem of its files, of its caption, and its anchor on the page. `reads` are the
    files behind it by the option that takes them, `options` what else its command is given; both
    may name what the run has, as `{first_variant}` (see `mgsflow.run.Run`). Without any of its
    files a run has no such table or figure; with `when`, a property of the run must hold as well.
    """

    kind: Literal["table", "figure"]
    name: str
    title: str
    help: str
    reads: Mapping[str, Paths]
    options: Mapping[str, str] = field(default_factory=dict)
    stage: str = ""
    when: str = ""

    @property
    def stem(self) -> str:
        """The name of its rule, log and benchmark, and of its command unless `stage` says."""
        return self.name if self.name.startswith(self.kind) else f"{self.kind}-{self.name}"

    @property
    def command(self) -> str:
        """Its stage: `mgsflow COMMAND`."""
        return self.stage or self.stem

    @property
    def rule(self) -> str:
        return self.stem.replace("-", "_")

    @property
    def environment(self) -> str:
        return "report"

    @property
    def category(self) -> str:
        """Its heading in Snakemake's own report."""
        return {"table": "Tables", "figure": "Figures"}[self.kind]

    @property
    def writes(self) -> dict[str, str]:
        """Its files by their suffix, relative to the run's folder; the first is `--out`."""
        suffixes = {"table": ("csv", "json", "md", "tex"), "figure": ("pdf", "png")}[self.kind]
        return {suffix: f"{self.kind}s/{self.name}.{suffix}" for suffix in suffixes}


_FIRST_MODELS = {
    "property_model": Model("flows/property/{first_variant}"),
    "line_model": Model("flows/line/{first_variant}"),
}
_FIRST_POSTERIOR = {
    "posteriors": "posteriors/{first_variant}.h5",
    "scores": "evaluation/scores.parquet",
}
_DIRECTIONS = {"directions": "evaluation/directions.h5"}

_ITEMS = (
    Item(
        "table",
        "table1",
        "Table 1. Accuracy by method and quantity",
        "R2 by method and quantity, published values beside ours",
        reads={"scores": "evaluation/scores.parquet"},
    ),
    Item(
        "table",
        "table2",
        "Table 2. Aleatoric and epistemic uncertainty",
        "aleatoric and epistemic uncertainty of each quantity",
        reads={"uncertainty": "evaluation/uncertainty.parquet"},
    ),
    Item(
        "figure",
        "figure1",
        "Figure 1. Architecture",
        "the architecture, drawn from the models' own descriptions",
        reads={"encoder": Model("{encoder}"), **_FIRST_MODELS},
    ),
    Item(
        "figure",
        "figure2a",
        "Figure 2a. Properties, predicted against true",
        "predicted against true values: properties or emission lines",
        reads=_FIRST_POSTERIOR,
        options={"kind": "properties"},
        stage="figure2",
        when="has_properties",
    ),
    Item(
        "figure",
        "figure2b",
        "Figure 2b. Emission lines, predicted against true",
        "predicted against true values: properties or emission lines",
        reads=_FIRST_POSTERIOR,
        options={"kind": "lines"},
        stage="figure2",
        when="has_lines",
    ),
    Item(
        "figure",
        "figure3a",
        "Figure 3a. Decoding along latent directions: first property",
        "images decoded along the latent directions of a property",
        reads=_DIRECTIONS,
        options={"target": "{first_direction}"},
        stage="figure3",
        when="first_direction",
    ),
    Item(
        "figure",
        "figure3b",
        "Figure 3b. Decoding along latent directions: second property",
        "images decoded along the latent directions of a property",
        reads=_DIRECTIONS,
        options={"target": "{second_direction}"},
        stage="figure3",
        when="second_direction",
    ),
    Item(
        "figure",
        "figure4",
        "Figure 4. UMAP of latents and photometry",
        "UMAP of latents and photometry, coloured by properties",
        reads={"umap": "evaluation/umap.parquet"},
        when="umap_targets",
    ),
    Item(
        "table",
        "detectability",
        "Detectability of metallicity",
        "confusion matrix and scores of the detectability of metallicity",
        reads={"detectability": "evaluation/detectability.json"},
    ),
    Item(
        "table",
        "leakage",
        "Leakage",
        "the leakage report, check by check",
        reads={"leakage": "evaluation/leakage.parquet"},
    ),
    Item(
        "table",
        "oracle",
        "Against the exact posteriors",
        "the flows beside the exact posteriors of a simulated sky",
        reads={"oracle": "evaluation/oracle.parquet"},
        options={"seed": "{seed}"},
    ),
    Item(
        "figure",
        "contours",
        "Exact posteriors and the flows'",
        "exact posteriors of three galaxies under the flows'",
        reads={"examples": "evaluation/oracle-examples.h5"},
    ),
    Item(
        "table",
        "scores",
        "All scores",
        "all scores of all methods on the test set",
        reads={"scores": "evaluation/scores.parquet"},
    ),
    Item(
        "table",
        "calibration",
        "Calibration: the verdicts",
        "verdicts on the calibration of the posteriors",
        reads={"calibration": "evaluation/calibration.parquet"},
    ),
    Item(
        "figure",
        "ranks",
        "Calibration: ranks and coverage",
        "ranks of the truths and coverage of the posteriors",
        reads={"curves": "evaluation/calibration-curves.parquet"},
    ),
    Item(
        "table",
        "out-of-distribution",
        "Unusual galaxies: the flag",
        "anomalies in the place of test galaxies, flagged or not",
        reads={"anomalies": "evaluation/out-of-distribution.parquet"},
    ),
    Item(
        "figure",
        "roc",
        "Unusual galaxies: ROC curves",
        "ROC curves of the out-of-distribution score",
        reads={"scores": "evaluation/out-of-distribution-scores.parquet"},
    ),
    Item(
        "table",
        "speed",
        "Speed",
        "time per galaxy from stamp to joint draws, training apart",
        reads={"speed": "evaluation/speed.json"},
    ),
    Item(
        "table",
        "sed",
        "Against SED fitting",
        "the posteriors beside fits of the spectral energy distribution",
        reads={"comparison": "evaluation/compare-speed.json"},
    ),
    Item(
        "table",
        "cost",
        "Cost of the training",
        "time, memory and energy of each training",
        reads={
            "telemetry": (
                "{encoder}/telemetry.json",
                "flows/{flow}/{variant}/telemetry.json",
                "baselines/conditional-vae/telemetry.json",
            )
        },
    ),
    Item(
        "figure",
        "training",
        "Training curves",
        "losses of all trainings, epoch by epoch",
        reads={
            "encoder": "{encoder}/history.csv",
            "conditional_vae": "baselines/conditional-vae/history.csv",
            "flows": "flows/{flow}/{variant}/history.csv",
        },
    ),
    Item(
        "table",
        "sample",
        "Sample",
        "how many galaxies came to each stage, stayed and left",
        reads={"account": "catalogue/account.json"},
    ),
)

ITEMS = {item.name: item for item in _ITEMS}
