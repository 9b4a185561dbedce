"""The stages in the order of the DAG: the command's name, the function behind it, one line of help.

The one list from which the command line is built, rules take their code digests, and tests check
that every stage has its rule.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    name: str
    module: str
    function: str
    help: str


def _stage(name: str, module: str, help: str) -> Stage:
    return Stage(name, f"mgsflow.{module}", name.replace("-", "_"), help)


STAGES = {
    stage.name: stage
    for stage in (
        _stage("resolved-config", "core.resolved_config", "write the settings beside the results"),
        _stage(
            "simulate-catalogue",
            "sky.simulated.simulate_catalogue",
            "make a simulated sky's SkyServer reply",
        ),
        _stage(
            "simulate-frames",
            "sky.simulated.simulate_frames",
            "render a simulated sky's SAS frames",
        ),
        _stage("query-sdss", "sky.query_sdss", "ask SkyServer for the Main Galaxy Sample"),
        _stage("select", "sample.select", "select the sample's galaxies"),
        _stage("targets", "sample.targets", "derive the quantities to infer"),
        _stage("photometry", "sample.photometry", "derive magnitudes and colours"),
        _stage("stamps", "sample.stamps", "cut the stamps of one shard"),
        _stage("index-stamps", "sample.index_stamps", "index the shards of stamps"),
        _stage("splits", "sample.splits", "divide the galaxies into disjoint sets"),
        _stage("account", "sample.account", "account for every galaxy that left the sample"),
        _stage("train-vae", "training.train_vae", "train the VAE on the stamps"),
        _stage("encode", "training.encode", "encode all stamps with the frozen VAE"),
        _stage("features", "training.features", "join the inputs and targets of the flows"),
        _stage(
            "train-flow", "training.train_flow", "train one flow's ensemble on one variant's inputs"
        ),
        _stage("sample-posteriors", "inference.sample_posteriors", "draw from the posteriors"),
        _stage("baselines", "baselines.baselines", "train the baselines on the same split"),
        _stage(
            "train-conditional-vae",
            "baselines.train_conditional_vae",
            "train the conditional VAE, a baseline on the stamps",
        ),
        _stage("scores", "evaluation.scores", "score posteriors and baselines on the test set"),
        _stage(
            "uncertainty", "evaluation.uncertainty", "split the spread into aleatoric and epistemic"
        ),
        _stage(
            "calibration",
            "evaluation.calibration.calibration",
            "judge whether the posteriors mean what they say",
        ),
        _stage(
            "detectability", "evaluation.detectability", "judge the detectability of metallicity"
        ),
        _stage(
            "leakage", "evaluation.leakage.leakage", "check that nothing leaks into the test set"
        ),
        _stage("oracle", "evaluation.oracle.oracle", "compare the flows with exact posteriors"),
        _stage(
            "anomalies",
            "evaluation.out_of_distribution.anomalies",
            "put unusual objects in the place of test galaxies",
        ),
        _stage(
            "out-of-distribution",
            "evaluation.out_of_distribution.out_of_distribution",
            "judge whether the posteriors know unusual galaxies",
        ),
        _stage("directions", "evaluation.latent.directions", "decode along latent directions"),
        _stage("umap", "evaluation.latent.umap", "embed latents and photometry in the plane"),
        _stage("speed", "evaluation.speed", "time the way from stamp to joint draws"),
        _stage(
            "fit-sed",
            "evaluation.sed.fit_sed",
            "fit test galaxies' magnitudes by bagpipes and kcorrect",
        ),
        _stage(
            "compare-speed", "evaluation.sed.compare_speed", "set the posteriors beside these fits"
        ),
        _stage("table1", "report.table1", "Table 1: R2 by method and property"),
        _stage("table2", "report.table2", "Table 2: aleatoric and epistemic uncertainty"),
        _stage("table-scores", "report.table_scores", "all scores of all methods"),
        _stage("table-calibration", "report.table_calibration", "verdicts on the posteriors"),
        _stage(
            "table-out-of-distribution",
            "report.table_out_of_distribution",
            "unusual galaxies, flagged or not",
        ),
        _stage("table-detectability", "report.table_detectability", "detectability of metallicity"),
        _stage("table-speed", "report.table_speed", "seconds a galaxy, and training apart"),
        _stage("table-sed", "report.table_sed", "the posteriors beside fits of the SED"),
        _stage("table-cost", "report.table_cost", "what the training cost: time, memory, energy"),
        _stage("table-leakage", "report.table_leakage", "the leakage report, check by check"),
        _stage("table-oracle", "report.table_oracle", "the flows beside the exact posteriors"),
        _stage("table-sample", "report.table_sample", "how many galaxies came, stayed and left"),
        _stage("figure1", "report.figure1", "Figure 1: the architecture"),
        _stage("figure2", "report.figure2", "Figure 2: predicted against true"),
        _stage("figure3", "report.figure3", "Figure 3: decoding along latent directions"),
        _stage("figure4", "report.figure4", "Figure 4: UMAP of latents and photometry"),
        _stage("figure-ranks", "report.figure_ranks", "ranks and coverage, with bands"),
        _stage("figure-contours", "report.figure_contours", "exact posteriors under the flows'"),
        _stage(
            "figure-roc",
            "report.figure_roc",
            "ROC curves of the flag of unusual galaxies",
        ),
        _stage("figure-training", "report.figure_training", "losses of all trainings"),
        _stage("report", "report.report", "the report: one page with every table and figure"),
        _stage("archive", "archive.archive", "pack the run into a verifiable archive"),
    )
}

# Commands that belong to no rule.
TOOLS = {
    tool.name: tool
    for tool in (
        _stage(
            "doctor", "site.doctor", "check a site before the first job: SLURM, GPUs, images, disk"
        ),
        _stage("config", "config.write", "print the default configuration or its schema"),
        _stage("sql", "sky.sql", "print the query for CasJobs, where SkyServer is not to be asked"),
        _stage("summary", "report.summary", "print Table 1 and where the report is"),
        _stage("infer", "inference.infer", "draw the posteriors of your own galaxies, to disk"),
        _stage("export-qp", "inference.export_qp", "write a run's redshift posteriors for qp"),
        _stage("verify", "archive.verify", "verify an archive file by file, packed or unpacked"),
    )
}
