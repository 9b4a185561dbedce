# The archive of the run: what can be verified and rerun years later.
from mgsflow.archive.source import source_files

ARCHIVED = [
    f"{RUN}/config.yaml",
    f"{RUN}/report.html",
    *CSVS,
    *expand(f"{RUN}/tables/{{name}}{{suffix}}", name=TABLES, suffix=[".md", ".tex"]),
    *PDFS,
    *expand(f"{RUN}/figures/{{name}}.png", name=FIGURES),
    *expand(
        f"{RUN}/catalogue/{{name}}",
        name=[
            "selected.parquet",
            "targets.parquet",
            *(["photometry.parquet"] if HAS_BANDS else []),
            "splits.parquet",
            "dropped.parquet",
            "account.json",
        ],
    ),
    *(
        expand(
            f"{RUN}/vae/{{name}}",
            name=["model.safetensors", "model.json", "history.csv", "latents.parquet"],
        )
        if HAS_STAMPS
        else []
    ),
    f"{RUN}/flows/features.parquet",
    *expand(
        f"{RUN}/flows/{{flow}}/{{variant}}/{{name}}",
        flow=FLOWS,
        variant=VARIANTS,
        name=["members.safetensors", "model.json", "history.csv"],
    ),
    *TELEMETRY,
    *expand(f"{RUN}/posteriors/{{variant}}.fits", variant=VARIANTS),
    *(POSTERIORS if config["archive"]["posteriors"] else []),
    *expand(
        f"{RUN}/evaluation/{{name}}",
        name=[
            "scores.parquet",
            "uncertainty.parquet",
            "leakage.parquet",
            "speed.json",
        ],
    ),
    *PREDICTIONS,
    *(
        expand(
            f"{RUN}/baselines/conditional-vae/{{name}}",
            name=["model.safetensors", "model.json", "history.csv"],
        )
        if HAS_CONDITIONAL_VAE
        else []
    ),
    f"{RUN}/evaluation/calibration.parquet",
    f"{RUN}/evaluation/calibration-curves.parquet",
    f"{RUN}/evaluation/out-of-distribution.parquet",
    f"{RUN}/evaluation/out-of-distribution-scores.parquet",
    *([f"{RUN}/evaluation/oracle.parquet"] if HAS_ORACLE else []),
    *([f"{RUN}/evaluation/sed.parquet", f"{RUN}/evaluation/compare-speed.json"] if HAS_SED else []),
    *(
        [
            *expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
            f"{RUN}/stamps/index.parquet",
        ]
        if HAS_STAMPS and config["archive"]["stamps"]
        else []
    ),
]


# Results, locks and source in one RO-Crate, each file with its digest.
rule archive:
    input:
        files=ARCHIVED,
        snakefile=f"{workflow.basedir}/Snakefile",
        source=[f"{workflow.basedir}/{path}" for path in source_files(Path(workflow.basedir))],
    output:
        f"{RUN}/archive/{config['run']}.crate.zip",
    params:
        root=subpath(output[0], ancestor=2),
        repository=subpath(input.snakefile, parent=True),
        archive=section("archive"),
        code=code("archive"),
    log:
        f"{RUN}/logs/archive.log",
    benchmark:
        f"{RUN}/benchmarks/archive.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Archive"
    shell:
        "mgsflow archive --files {input.files:q} --root {params.root:q} --repository "
        "{params.repository:q} --archive {params.archive:q} --out {output:q} --threads "
        "{threads} 2>&1 | tee {log:q}"
