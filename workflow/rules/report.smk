# Every table and figure of the paper and some more, and the page that joins them.
TELEMETRY = [
    *([f"{RUN}/vae/telemetry.json"] if HAS_STAMPS else []),
    *expand(f"{RUN}/flows/{{flow}}/{{variant}}/telemetry.json", flow=FLOWS, variant=VARIANTS),
    *([f"{RUN}/baselines/conditional-vae/telemetry.json"] if HAS_CONDITIONAL_VAE else []),
]
HISTORIES = expand(f"{RUN}/flows/{{flow}}/{{variant}}/history.csv", flow=FLOWS, variant=VARIANTS)
MODELS = [
    *([f"{RUN}/vae/model.json"] if HAS_STAMPS else []),
    *expand(f"{RUN}/flows/{{flow}}/{{variant}}/model.json", flow=FLOWS, variant=VARIANTS),
]
DIRECTION_FIGURES = dict(zip(["figure3a", "figure3b"], DIRECTIONS_OF)) if HAS_STAMPS else {}
TABLES = ["table1", "table2", "scores", "calibration", "speed", "cost", "sample"]
TABLES += ["detectability"] if HAS_METALLICITY else []
TABLES += ["oracle"] if HAS_ORACLE else []
TABLES += ["sed"] if HAS_SED else []
TABLES += ["leakage", "out_of_distribution"]
FIGURES = [
    "figure1",
    *(["figure2a"] if TARGETS["properties"] else []),
    *(["figure2b"] if TARGETS["lines"] else []),
    *DIRECTION_FIGURES,
    *(["figure4"] if UMAP_OF else []),
    "ranks",
    "roc",
    *(["contours"] if HAS_ORACLE else []),
    "training",
]
CSVS = expand(f"{RUN}/tables/{{name}}.csv", name=TABLES)
PDFS = expand(f"{RUN}/figures/{{name}}.pdf", name=FIGURES)


# R2 by method and quantity, published values beside ours.
rule table1:
    input:
        scores=f"{RUN}/evaluation/scores.parquet",
    output:
        csv=report(f"{RUN}/tables/table1.csv", caption="../report/table1.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/table1", ".md", ".tex"),
    params:
        code=code("table1"),
    log:
        f"{RUN}/logs/table1.log",
    benchmark:
        f"{RUN}/benchmarks/table1.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table 1"
    shell:
        "mgsflow table1 --scores {input.scores:q} --out {output.csv:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Aleatoric and epistemic uncertainty.
rule table2:
    input:
        uncertainty=f"{RUN}/evaluation/uncertainty.parquet",
    output:
        csv=report(f"{RUN}/tables/table2.csv", caption="../report/table2.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/table2", ".md", ".tex"),
    params:
        code=code("table2"),
    log:
        f"{RUN}/logs/table2.log",
    benchmark:
        f"{RUN}/benchmarks/table2.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table 2"
    shell:
        "mgsflow table2 --uncertainty {input.uncertainty:q} --out {output.csv:q} --threads "
        "{threads} 2>&1 | tee {log:q}"


# All scores of all methods.
rule table_scores:
    input:
        scores=f"{RUN}/evaluation/scores.parquet",
    output:
        csv=report(f"{RUN}/tables/scores.csv", caption="../report/scores.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/scores", ".md", ".tex"),
    params:
        code=code("table-scores"),
    log:
        f"{RUN}/logs/table_scores.log",
    benchmark:
        f"{RUN}/benchmarks/table_scores.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of all scores"
    shell:
        "mgsflow table-scores --scores {input.scores:q} --out {output.csv:q} --threads "
        "{threads} 2>&1 | tee {log:q}"


# Verdicts on the posteriors.
rule table_calibration:
    input:
        calibration=f"{RUN}/evaluation/calibration.parquet",
    output:
        csv=report(
            f"{RUN}/tables/calibration.csv",
            caption="../report/calibration.rst",
            category="Tables",
        ),
        shown=multiext(f"{RUN}/tables/calibration", ".md", ".tex"),
    params:
        code=code("table-calibration"),
    log:
        f"{RUN}/logs/table_calibration.log",
    benchmark:
        f"{RUN}/benchmarks/table_calibration.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of the calibration"
    shell:
        "mgsflow table-calibration --calibration {input.calibration:q} --out {output.csv:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# The flag of unusual galaxies.
rule table_out_of_distribution:
    input:
        anomalies=f"{RUN}/evaluation/out-of-distribution.parquet",
    output:
        csv=report(
            f"{RUN}/tables/out_of_distribution.csv",
            caption="../report/out_of_distribution.rst",
            category="Tables",
        ),
        shown=multiext(f"{RUN}/tables/out_of_distribution", ".md", ".tex"),
    params:
        code=code("table-out-of-distribution"),
    log:
        f"{RUN}/logs/table_out_of_distribution.log",
    benchmark:
        f"{RUN}/benchmarks/table_out_of_distribution.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of unusual galaxies"
    shell:
        "mgsflow table-out-of-distribution --anomalies {input.anomalies:q} --out {output.csv:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Confusion matrix and scores of the metallicity's detectability.
rule table_detectability:
    input:
        detectability=f"{RUN}/evaluation/detectability.json",
    output:
        csv=report(
            f"{RUN}/tables/detectability.csv",
            caption="../report/detectability.rst",
            category="Tables",
        ),
        shown=multiext(f"{RUN}/tables/detectability", ".md", ".tex"),
    params:
        code=code("table-detectability"),
    log:
        f"{RUN}/logs/table_detectability.log",
    benchmark:
        f"{RUN}/benchmarks/table_detectability.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of detectability"
    shell:
        "mgsflow table-detectability --detectability {input.detectability:q} --out "
        "{output.csv:q} --threads {threads} 2>&1 | tee {log:q}"


# Seconds a galaxy, training apart.
rule table_speed:
    input:
        speed=f"{RUN}/evaluation/speed.json",
    output:
        csv=report(f"{RUN}/tables/speed.csv", caption="../report/speed.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/speed", ".md", ".tex"),
    params:
        code=code("table-speed"),
    log:
        f"{RUN}/logs/table_speed.log",
    benchmark:
        f"{RUN}/benchmarks/table_speed.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of speed"
    shell:
        "mgsflow table-speed --speed {input.speed:q} --out {output.csv:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# The posteriors beside fits of the spectral energy distribution.
rule table_sed:
    input:
        comparison=f"{RUN}/evaluation/compare-speed.json",
    output:
        csv=report(f"{RUN}/tables/sed.csv", caption="../report/sed.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/sed", ".md", ".tex"),
    params:
        code=code("table-sed"),
    log:
        f"{RUN}/logs/table_sed.log",
    benchmark:
        f"{RUN}/benchmarks/table_sed.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of SED fitting"
    shell:
        "mgsflow table-sed --comparison {input.comparison:q} --out {output.csv:q} --threads "
        "{threads} 2>&1 | tee {log:q}"


# What the trainings cost.
rule table_cost:
    input:
        telemetry=TELEMETRY,
    output:
        csv=report(f"{RUN}/tables/cost.csv", caption="../report/cost.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/cost", ".md", ".tex"),
    params:
        code=code("table-cost"),
    log:
        f"{RUN}/logs/table_cost.log",
    benchmark:
        f"{RUN}/benchmarks/table_cost.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of the training's cost"
    shell:
        "mgsflow table-cost --telemetry {input.telemetry:q} --out "
        "{output.csv:q} --threads {threads} 2>&1 | tee {log:q}"


# The leakage report.
rule table_leakage:
    input:
        leakage=f"{RUN}/evaluation/leakage.parquet",
    output:
        csv=report(f"{RUN}/tables/leakage.csv", caption="../report/leakage.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/leakage", ".md", ".tex"),
    params:
        code=code("table-leakage"),
    log:
        f"{RUN}/logs/table_leakage.log",
    benchmark:
        f"{RUN}/benchmarks/table_leakage.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of leakage"
    shell:
        "mgsflow table-leakage --leakage {input.leakage:q} --out {output.csv:q} --threads "
        "{threads} 2>&1 | tee {log:q}"


# The flows beside the exact posteriors.
rule table_oracle:
    input:
        oracle=f"{RUN}/evaluation/oracle.parquet",
    output:
        csv=report(f"{RUN}/tables/oracle.csv", caption="../report/oracle.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/oracle", ".md", ".tex"),
    params:
        seed=config["seed"],
        code=code("table-oracle"),
    log:
        f"{RUN}/logs/table_oracle.log",
    benchmark:
        f"{RUN}/benchmarks/table_oracle.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of the oracle"
    shell:
        "mgsflow table-oracle --oracle {input.oracle:q} --seed {params.seed} --out "
        "{output.csv:q} --threads {threads} 2>&1 | tee {log:q}"


# How many galaxies came, stayed and left.
rule table_sample:
    input:
        account=f"{RUN}/catalogue/account.json",
    output:
        csv=report(f"{RUN}/tables/sample.csv", caption="../report/sample.rst", category="Tables"),
        shown=multiext(f"{RUN}/tables/sample", ".md", ".tex"),
    params:
        code=code("table-sample"),
    log:
        f"{RUN}/logs/table_sample.log",
    benchmark:
        f"{RUN}/benchmarks/table_sample.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Table of the sample"
    shell:
        "mgsflow table-sample --account {input.account:q} --out {output.csv:q} --threads "
        "{threads} 2>&1 | tee {log:q}"


# The architecture, from the models' own descriptions.
rule figure1:
    input:
        vae=only_if(HAS_STAMPS, f"{RUN}/vae/model.json"),
        property_model=expand(flow_files("property", "model.json"), variant=VARIANTS[0]),
        line_model=expand(flow_files("line", "model.json"), variant=VARIANTS[0]),
    output:
        pdf=report(
            f"{RUN}/figures/figure1.pdf", caption="../report/figure1.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure1.png",
    params:
        code=code("figure1"),
    log:
        f"{RUN}/logs/figure1.log",
    benchmark:
        f"{RUN}/benchmarks/figure1.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 1"
    shell:
        "mgsflow figure1 --vae {input.vae:q} --property-model {input.property_model:q} "
        "--line-model {input.line_model:q} --out {output.pdf:q} --threads {threads} 2>&1 | tee "
        "{log:q}"


# Predicted against true: properties.
rule figure2a:
    input:
        posteriors=POSTERIORS[0],
        scores=f"{RUN}/evaluation/scores.parquet",
    output:
        pdf=report(
            f"{RUN}/figures/figure2a.pdf", caption="../report/figure2a.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure2a.png",
    params:
        variant=VARIANTS[0],
        code=code("figure2"),
    log:
        f"{RUN}/logs/figure2a.log",
    benchmark:
        f"{RUN}/benchmarks/figure2a.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 2a"
    shell:
        "mgsflow figure2 --posteriors {input.posteriors:q} --scores {input.scores:q} --kind "
        "properties --variant {params.variant} --out {output.pdf:q} --threads {threads} 2>&1 | "
        "tee {log:q}"


# Predicted against true: lines.
rule figure2b:
    input:
        posteriors=POSTERIORS[0],
        scores=f"{RUN}/evaluation/scores.parquet",
    output:
        pdf=report(
            f"{RUN}/figures/figure2b.pdf", caption="../report/figure2b.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure2b.png",
    params:
        variant=VARIANTS[0],
        code=code("figure2"),
    log:
        f"{RUN}/logs/figure2b.log",
    benchmark:
        f"{RUN}/benchmarks/figure2b.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 2b"
    shell:
        "mgsflow figure2 --posteriors {input.posteriors:q} --scores {input.scores:q} --kind "
        "lines --variant {params.variant} --out {output.pdf:q} --threads {threads} 2>&1 | tee "
        "{log:q}"


# Decoding along the latent directions of the first property named.
rule figure3a:
    input:
        directions=f"{RUN}/evaluation/directions.h5",
    output:
        pdf=report(
            f"{RUN}/figures/figure3a.pdf", caption="../report/figure3a.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure3a.png",
    params:
        target=DIRECTION_FIGURES.get("figure3a"),
        code=code("figure3"),
    log:
        f"{RUN}/logs/figure3a.log",
    benchmark:
        f"{RUN}/benchmarks/figure3a.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 3a"
    shell:
        "mgsflow figure3 --directions {input.directions:q} --target {params.target} --out "
        "{output.pdf:q} --threads {threads} 2>&1 | tee {log:q}"


# Decoding along the latent directions of the second property named.
rule figure3b:
    input:
        directions=f"{RUN}/evaluation/directions.h5",
    output:
        pdf=report(
            f"{RUN}/figures/figure3b.pdf", caption="../report/figure3b.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure3b.png",
    params:
        target=DIRECTION_FIGURES.get("figure3b"),
        code=code("figure3"),
    log:
        f"{RUN}/logs/figure3b.log",
    benchmark:
        f"{RUN}/benchmarks/figure3b.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 3b"
    shell:
        "mgsflow figure3 --directions {input.directions:q} --target {params.target} --out "
        "{output.pdf:q} --threads {threads} 2>&1 | tee {log:q}"


# UMAP of latents and photometry.
rule figure4:
    input:
        umap=f"{RUN}/evaluation/umap.parquet",
    output:
        pdf=report(
            f"{RUN}/figures/figure4.pdf", caption="../report/figure4.rst", category="Figures"
        ),
        png=f"{RUN}/figures/figure4.png",
    params:
        code=code("figure4"),
    log:
        f"{RUN}/logs/figure4.log",
    benchmark:
        f"{RUN}/benchmarks/figure4.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure 4"
    shell:
        "mgsflow figure4 --umap {input.umap:q} --out "
        "{output.pdf:q} --threads {threads} 2>&1 | tee {log:q}"


# Ranks and coverage with their bands.
rule figure_ranks:
    input:
        curves=f"{RUN}/evaluation/calibration-curves.parquet",
    output:
        pdf=report(f"{RUN}/figures/ranks.pdf", caption="../report/ranks.rst", category="Figures"),
        png=f"{RUN}/figures/ranks.png",
    params:
        code=code("figure-ranks"),
    log:
        f"{RUN}/logs/figure_ranks.log",
    benchmark:
        f"{RUN}/benchmarks/figure_ranks.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure of the calibration"
    shell:
        "mgsflow figure-ranks --curves {input.curves:q} --out {output.pdf:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Exact posteriors of three galaxies under the flows'.
rule figure_contours:
    input:
        examples=f"{RUN}/evaluation/oracle-examples.h5",
    output:
        pdf=report(
            f"{RUN}/figures/contours.pdf", caption="../report/contours.rst", category="Figures"
        ),
        png=f"{RUN}/figures/contours.png",
    params:
        code=code("figure-contours"),
    log:
        f"{RUN}/logs/figure_contours.log",
    benchmark:
        f"{RUN}/benchmarks/figure_contours.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure of the exact posteriors"
    shell:
        "mgsflow figure-contours --examples {input.examples:q} --out {output.pdf:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# ROC curves of the flag of unusual galaxies.
rule figure_roc:
    input:
        scores=f"{RUN}/evaluation/out-of-distribution-scores.parquet",
    output:
        pdf=report(f"{RUN}/figures/roc.pdf", caption="../report/roc.rst", category="Figures"),
        png=f"{RUN}/figures/roc.png",
    params:
        code=code("figure-roc"),
    log:
        f"{RUN}/logs/figure_roc.log",
    benchmark:
        f"{RUN}/benchmarks/figure_roc.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure of unusual galaxies"
    shell:
        "mgsflow figure-roc --scores {input.scores:q} --out {output.pdf:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Losses of all trainings.
rule figure_training:
    input:
        vae=only_if(HAS_STAMPS, f"{RUN}/vae/history.csv"),
        conditional_vae=only_if(HAS_CONDITIONAL_VAE, f"{RUN}/baselines/conditional-vae/history.csv"),
        flows=HISTORIES,
    output:
        pdf=report(
            f"{RUN}/figures/training.pdf", caption="../report/training.rst", category="Figures"
        ),
        png=f"{RUN}/figures/training.png",
    params:
        code=code("figure-training"),
    log:
        f"{RUN}/logs/figure_training.log",
    benchmark:
        f"{RUN}/benchmarks/figure_training.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Figure of the trainings"
    shell:
        "mgsflow figure-training --vae {input.vae:q} --conditional-vae {input.conditional_vae:q} "
        "--flows {input.flows:q} --out {output.pdf:q} --threads {threads} 2>&1 | tee {log:q}"


# One page with every table and figure.
rule report:
    input:
        tables=CSVS,
        shown=expand(f"{RUN}/tables/{{name}}.md", name=TABLES),
        figures=PDFS,
        images=expand(f"{RUN}/figures/{{name}}.png", name=FIGURES),
        captions=expand(f"{workflow.basedir}/workflow/report/{{name}}.rst", name=TABLES + FIGURES),
        config=f"{RUN}/config.yaml",
        models=MODELS,
    output:
        f"{RUN}/report.html",
    params:
        run=config["run"],
        sky=SKY,
        code=code("report"),
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/report.yaml"
    container:
        f"{ENVS}/images/report.sif"
    message:
        "Report"
    shell:
        "mgsflow report --tables {input.tables:q} --figures {input.figures:q} --captions "
        "{input.captions:q} --config {input.config:q} --models {input.models:q} --run {params.run:q} --sky "
        "{params.sky} --out {output:q} --threads {threads} 2>&1 | tee {log:q}"
