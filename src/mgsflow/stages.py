"""The stages in the order of the DAG, each declared once: module, environment, files, help.

From this list the command line is built, rules take inputs, outputs, environments, logs and code
digests, the doctor its plan, the archive its files, and docs/contracts.md its table.
"""

from __future__ import annotations

from mgsflow.core.contract import Model, Output, Paths, Stage
from mgsflow.report.contents import ITEMS, Item

SELECTED = "catalogue/selected.parquet"
FEATURES = "flows/features.parquet"
SHARDS, INDEX = "stamps/shard-{shard}.h5", "stamps/index.parquet"
# The encoder of the stamps: a VAE. How another one takes its place: see models/encoders/base.py.
ENCODER = Model("vae")
LATENTS = f"{ENCODER.folder}/latents.parquet"
CONDITIONAL_VAE = Model("baselines/conditional-vae")
FLOW = Model("flows/{flow}/{variant}")
POSTERIORS = "posteriors/{variant}.h5"


def _stage(
    name: str,
    module: str,
    environment: str,
    help: str,
    reads: dict[str, Paths] | None = None,
    writes: dict[str, str | Output] | None = None,
    when: str = "",
) -> Stage:
    """A stage, whose function has its name and lies in `module`."""
    return Stage(
        name,
        f"mgsflow.{module}",
        name.replace("-", "_"),
        help,
        environment,
        reads or {},
        writes or {},
        when,
    )


def _dropped(stage: str) -> Output:
    """The galaxies that a stage drops; the stage `account` joins them all."""
    return Output(f"catalogue/dropped/{stage}.parquet", archived=False)


_SAMPLE = (
    _stage(
        "resolved-config",
        "core.resolved_config",
        "data",
        "write the settings beside the results",
        writes={"config": "config.yaml"},
    ),
    _stage(
        "simulate-catalogue",
        "sky.simulated.simulate_catalogue",
        "data",
        "make a simulated sky's SkyServer reply",
        writes={
            "reply": Output("sky/reply", folder=True, archived=False),
            "truth": "sky/truth.parquet",
        },
        when="is_simulated",
    ),
    _stage(
        "query-sdss",
        "sky.query_sdss",
        "data",
        "ask SkyServer for the Main Galaxy Sample",
        writes={"reply": Output("sky/served", folder=True, archived=False)},
        when="asks_skyserver",
    ),
    _stage(
        "select",
        "sample.select",
        "data",
        "select the sample's galaxies",
        reads={
            "reply": ("sky/reply", "sky/served", "@sdss.reply_file"),
            "source": "@catalogue.path",
        },
        writes={"table": SELECTED, "dropped": _dropped("select")},
    ),
    _stage(
        "targets",
        "sample.targets",
        "data",
        "derive the quantities to infer",
        reads={"selected": SELECTED},
        writes={"table": "catalogue/targets.parquet", "dropped": _dropped("targets")},
    ),
    _stage(
        "photometry",
        "sample.photometry",
        "data",
        "derive magnitudes and colours",
        reads={"selected": SELECTED},
        writes={"table": "catalogue/photometry.parquet", "dropped": _dropped("photometry")},
        when="has_bands",
    ),
    _stage(
        "simulate-frames",
        "sky.simulated.simulate_frames",
        "data",
        "render a simulated sky's SAS frames",
        reads={"selected": SELECTED, "truth": "sky/truth.parquet"},
        writes={"frames": Output("sky/sas/{shard}", folder=True, temporary=True, archived=False)},
        when="simulates_frames",
    ),
    _stage(
        "stamps",
        "sample.stamps",
        "data",
        "cut the stamps of one shard",
        reads={
            "selected": SELECTED,
            "frames": "sky/sas/{shard}",
            "folder": "@catalogue.stamp_folder",
        },
        writes={
            "shard": Output(SHARDS, archived="stamps"),
            "dropped": _dropped("stamps-{shard}"),
        },
        when="has_stamps",
    ),
    _stage(
        "index-stamps",
        "sample.index_stamps",
        "data",
        "index the shards of stamps",
        reads={"shards": SHARDS},
        writes={"index": Output(INDEX, archived="stamps"), "dropped": _dropped("index-stamps")},
        when="has_stamps",
    ),
    _stage(
        "splits",
        "sample.splits",
        "data",
        "divide the galaxies into disjoint sets",
        reads={
            "selected": SELECTED,
            "targets_table": "catalogue/targets.parquet",
            "photometry_table": "catalogue/photometry.parquet",
            "index": INDEX,
        },
        writes={"table": "catalogue/splits.parquet", "dropped": _dropped("splits")},
    ),
    _stage(
        "account",
        "sample.account",
        "data",
        "account for every galaxy that left the sample",
        reads={
            "parts": tuple(
                f"catalogue/dropped/{stage}.parquet"
                for stage in (
                    "select",
                    "targets",
                    "photometry",
                    "stamps-{shard}",
                    "index-stamps",
                    "splits",
                )
            )
        },
        writes={"table": "catalogue/dropped.parquet", "totals": "catalogue/account.json"},
    ),
)

_MODELS = (
    _stage(
        "train-vae",
        "training.train_vae",
        "train",
        "train the VAE on the stamps",
        reads={"shards": SHARDS, "index": INDEX, "splits": "catalogue/splits.parquet"},
        writes=ENCODER.written,
        when="has_stamps",
    ),
    _stage(
        "encode",
        "training.encode",
        "train",
        "encode all stamps with the frozen encoder",
        reads={"shards": SHARDS, "index": INDEX, "encoder": ENCODER},
        writes={"latents": LATENTS},
        when="has_stamps",
    ),
    _stage(
        "features",
        "training.features",
        "train",
        "join the inputs and targets of the flows",
        reads={
            "splits": "catalogue/splits.parquet",
            "targets_table": "catalogue/targets.parquet",
            "photometry_table": "catalogue/photometry.parquet",
            "latents": LATENTS,
        },
        writes={"features": FEATURES},
    ),
    _stage(
        "train-flow",
        "training.train_flow",
        "train",
        "train one flow's ensemble on one variant's inputs",
        reads={"features": FEATURES},
        writes=FLOW.written,
    ),
    _stage(
        "sample-posteriors",
        "inference.sample_posteriors",
        "train",
        "draw from the posteriors",
        reads={
            "features": FEATURES,
            "property_model": Model("flows/property/{variant}"),
            "line_model": Model("flows/line/{variant}"),
        },
        writes={
            "draws": Output(POSTERIORS, archived="posteriors"),
            "catalogue": "posteriors/{variant}.fits",
        },
    ),
)

_EVALUATION = (
    _stage(
        "baselines",
        "baselines.baselines",
        "train",
        "train the baselines on the same split",
        reads={"features": FEATURES, "selected": SELECTED},
        writes={"predictions": "evaluation/baselines.parquet"},
    ),
    _stage(
        "train-conditional-vae",
        "baselines.train_conditional_vae",
        "train",
        "train the conditional VAE, a baseline on the stamps",
        reads={"shards": SHARDS, "index": INDEX, "features": FEATURES},
        writes={**CONDITIONAL_VAE.written, "predictions": "evaluation/conditional-vae.parquet"},
        when="has_conditional_vae",
    ),
    _stage(
        "scores",
        "evaluation.scores",
        "train",
        "score posteriors and baselines on the test set",
        reads={
            "features": FEATURES,
            "selected": SELECTED,
            "posteriors": POSTERIORS,
            "baselines": ("evaluation/baselines.parquet", "evaluation/conditional-vae.parquet"),
        },
        writes={"scores": "evaluation/scores.parquet"},
    ),
    _stage(
        "uncertainty",
        "evaluation.uncertainty",
        "train",
        "split the spread into aleatoric and epistemic",
        reads={"posteriors": POSTERIORS},
        writes={"uncertainty": "evaluation/uncertainty.parquet"},
    ),
    _stage(
        "calibration",
        "evaluation.calibration.calibration",
        "train",
        "judge whether the posteriors mean what they say",
        reads={"features": FEATURES, "posteriors": POSTERIORS},
        writes={
            "table": "evaluation/calibration.parquet",
            "curves": "evaluation/calibration-curves.parquet",
        },
    ),
    _stage(
        "detectability",
        "evaluation.detectability",
        "train",
        "judge the detectability of metallicity",
        reads={"posteriors": POSTERIORS},
        writes={"detectability": "evaluation/detectability.json"},
        when="has_metallicity",
    ),
    _stage(
        "leakage",
        "evaluation.leakage.leakage",
        "train",
        "check that nothing leaks into the test set",
        reads={
            "selected": SELECTED,
            "splits": "catalogue/splits.parquet",
            "features": FEATURES,
            "models": FLOW,
            "predictions": "evaluation/baselines.parquet",
        },
        writes={"leakage": "evaluation/leakage.parquet"},
    ),
    _stage(
        "oracle",
        "evaluation.oracle.oracle",
        "train",
        "compare the flows with exact posteriors",
        reads={
            "features": FEATURES,
            "property_model": Model("flows/property/{oracle_variant}"),
            "line_model": Model("flows/line/{oracle_variant}"),
        },
        writes={
            "table": "evaluation/oracle.parquet",
            "examples": "evaluation/oracle-examples.h5",
        },
        when="has_oracle",
    ),
    _stage(
        "anomalies",
        "evaluation.out_of_distribution.anomalies",
        "data",
        "put anomalies in the place of test galaxies",
        reads={"features": FEATURES, "selected": SELECTED, "shards": SHARDS, "index": INDEX},
        writes={
            "table": "evaluation/anomalies.parquet",
            "stamps": "evaluation/anomalies.h5",
        },
    ),
    _stage(
        "out-of-distribution",
        "evaluation.out_of_distribution.out_of_distribution",
        "train",
        "judge whether the posteriors know anomalies for such",
        reads={
            "features": FEATURES,
            "anomalies": "evaluation/anomalies.parquet",
            "stamps": "evaluation/anomalies.h5",
            "encoder": ENCODER,
            "models": FLOW,
        },
        writes={
            "table": "evaluation/out-of-distribution.parquet",
            "scores": "evaluation/out-of-distribution-scores.parquet",
        },
    ),
    _stage(
        "directions",
        "evaluation.latent.directions",
        "train",
        "decode along latent directions",
        reads={"encoder": ENCODER, "latents": LATENTS, "features": FEATURES},
        writes={"directions": "evaluation/directions.h5"},
        when="first_direction",
    ),
    _stage(
        "umap",
        "evaluation.latent.umap",
        "train",
        "embed latents and photometry in the plane",
        reads={"features": FEATURES},
        writes={"umap": "evaluation/umap.parquet"},
        when="umap_targets",
    ),
    _stage(
        "speed",
        "evaluation.speed",
        "train",
        "time the way from stamp to joint draws",
        reads={
            "features": FEATURES,
            "shards": SHARDS,
            "index": INDEX,
            "encoder": ENCODER,
            "property_model": Model("flows/property/{first_variant}"),
            "line_model": Model("flows/line/{first_variant}"),
        },
        writes={"speed": "evaluation/speed.json"},
    ),
    _stage(
        "fit-sed",
        "evaluation.sed.fit_sed",
        "sed",
        "fit test galaxies' magnitudes by bagpipes and kcorrect",
        reads={"features": FEATURES, "selected": SELECTED},
        writes={"fits": "evaluation/fit-sed.parquet"},
        when="has_sed",
    ),
    _stage(
        "compare-speed",
        "evaluation.sed.compare_speed",
        "sed",
        "set the posteriors beside these fits",
        reads={
            "sed": "evaluation/fit-sed.parquet",
            "truth": "sky/truth.parquet",
            "speed": "evaluation/speed.json",
            "posteriors": POSTERIORS,
        },
        writes={"comparison": "evaluation/compare-speed.json"},
        when="has_sed",
    ),
)

# One command may make several tables or figures: its files are those of each.
_SHOWN = tuple(
    _stage(item.command, f"report.{item.command.replace('-', '_')}", "report", item.help)
    for item in {item.command: item for item in ITEMS.values()}.values()
)

_LAST = (
    _stage(
        "report",
        "report.report",
        "report",
        "join every table and figure in one page",
        reads={"config": "config.yaml", "encoder": ENCODER, "flows": FLOW},
        writes={"page": "report.html"},
    ),
    _stage(
        "archive",
        "archive.archive",
        "report",
        "pack the run into a verifiable archive",
        writes={"crate": Output("archive/{run}.crate.zip", archived=False)},
    ),
)

STAGES = {stage.name: stage for stage in (*_SAMPLE, *_MODELS, *_EVALUATION, *_SHOWN, *_LAST)}

# Commands that belong to no rule.
TOOLS = {
    name: Stage(name, f"mgsflow.{module}", name.replace("-", "_"), help)
    for name, module, help in (
        ("doctor", "site.doctor", "check a site before the first job: SLURM, GPUs, images, disk"),
        ("config", "config.write", "print the default configuration or its schema"),
        ("sql", "sky.sql", "print the query for CasJobs, where SkyServer is not to be asked"),
        ("summary", "report.summary", "print Table 1 and where the report is"),
        ("infer", "inference.infer", "draw the posteriors of your own galaxies, to disk"),
        ("export-qp", "inference.export_qp", "write a run's redshift posteriors for qp"),
        ("verify", "archive.verify", "verify an archive file by file, packed or unpacked"),
        ("contracts", "contracts", "print which stage reads and writes which files"),
    )
}

# What each rule makes, in the order of the DAG: a stage, or a table or figure by its stage.
RULES: dict[str, Stage | Item] = {
    part.rule: part for part in (*_SAMPLE, *_MODELS, *_EVALUATION, *ITEMS.values(), *_LAST)
}
