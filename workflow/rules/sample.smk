# Sky and sample: from a catalogue of galaxies to targets, photometry and disjoint sets.


# The settings of the run, every key explicit, beside its results.
rule resolved_config:
    output:
        f"{RUN}/config.yaml",
    params:
        config=yaml.safe_dump(config, sort_keys=False),
        code=code("resolved-config"),
    log:
        f"{RUN}/logs/resolved-config.log",
    benchmark:
        f"{RUN}/studies/resolved-config.tsv"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Settings of run {config[run]}"
    shell:
        "mgsflow resolved-config --config {params.config:q} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# A simulated sky, served as SkyServer would answer.
rule simulate_catalogue:
    output:
        reply=directory(f"{RUN}/sky/reply"),
        truth=f"{RUN}/sky/truth.parquet",
    params:
        simulated=section("simulated"),
        seed=config["seed"],
        code=code("simulate-catalogue"),
    log:
        f"{RUN}/logs/simulate-catalogue.log",
    benchmark:
        f"{RUN}/benchmarks/simulate-catalogue.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Simulate the catalogue"
    shell:
        "mgsflow simulate-catalogue --out {output.reply:q} --truth {output.truth:q} "
        "--simulated {params.simulated:q} --seed {params.seed} --threads {threads} "
        "2>&1 | tee {log:q}"


# The Main Galaxy Sample from SkyServer, in chunks.
rule query_sdss:
    output:
        reply=directory(f"{RUN}/sky/served"),
    params:
        sdss=section("sdss", "data_release", "skyserver_url", "chunk_rows"),
        selection=section("selection", *QUERY_CUTS),
        partial=f"{RUN}/checkpoints/query-sdss",
        code=code("query-sdss"),
    log:
        f"{RUN}/logs/query-sdss.log",
    benchmark:
        f"{RUN}/benchmarks/query-sdss.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
        network=NETWORK,
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Ask SkyServer for the sample"
    shell:
        "mgsflow query-sdss --sdss {params.sdss:q} --selection {params.selection:q} "
        "--network {resources.network:q} "
        "--partial {params.partial:q} --out {output.reply:q} "
        "2>&1 | tee {log:q}"


# The sample's galaxies, each cut counted.
rule select:
    input:
        reply={
            "simulated": f"{RUN}/sky/reply",
            "sdss": config["sdss"]["reply_file"] or f"{RUN}/sky/served",
            "catalogue": [],
        }[SKY],
        source=only_if(SKY == "catalogue", config["catalogue"]["path"]),
    output:
        table=f"{RUN}/catalogue/selected.parquet",
        dropped=f"{RUN}/catalogue/dropped/select.parquet",
    params:
        sky=SKY,
        catalogue=section("catalogue"),
        selection=section("selection"),
        seed=config["seed"],
        code=code("select"),
    log:
        f"{RUN}/logs/select.log",
    benchmark:
        f"{RUN}/benchmarks/select.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Select the sample"
    shell:
        "mgsflow select --reply {input.reply:q} --source {input.source:q} --sky {params.sky} "
        "--catalogue {params.catalogue:q} --selection {params.selection:q} --seed {params.seed} "
        "--out {output.table:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Properties and line fluxes to infer.
rule targets:
    input:
        selected=f"{RUN}/catalogue/selected.parquet",
    output:
        table=f"{RUN}/catalogue/targets.parquet",
        dropped=f"{RUN}/catalogue/dropped/targets.parquet",
    params:
        targets=section("targets"),
        code=code("targets"),
    log:
        f"{RUN}/logs/targets.log",
    benchmark:
        f"{RUN}/benchmarks/targets.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Derive the targets"
    shell:
        "mgsflow targets --selected {input.selected:q} --targets {params.targets:q} "
        "--out {output.table:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Magnitudes and colours, observed and rest-frame.
rule photometry:
    input:
        selected=f"{RUN}/catalogue/selected.parquet",
    output:
        table=f"{RUN}/catalogue/photometry.parquet",
        dropped=f"{RUN}/catalogue/dropped/photometry.parquet",
    params:
        photometry=section("photometry"),
        rest_frame="--rest-frame" if REST_FRAME else "--no-rest-frame",
        code=code("photometry"),
    log:
        f"{RUN}/logs/photometry.log",
    benchmark:
        f"{RUN}/studies/photometry.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Derive magnitudes and colours"
    shell:
        "mgsflow photometry --selected {input.selected:q} --photometry {params.photometry:q} "
        "{params.rest_frame} --out {output.table:q} --dropped {output.dropped:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Disjoint sets for the VAE and the flows.
rule splits:
    input:
        targets_table=f"{RUN}/catalogue/targets.parquet",
        photometry_table=only_if(HAS_BANDS, f"{RUN}/catalogue/photometry.parquet"),
        index=only_if(HAS_STAMPS, f"{RUN}/stamps/index.parquet"),
        selected=only_if(config["splits"]["by"] == "sky", f"{RUN}/catalogue/selected.parquet"),
    output:
        table=f"{RUN}/catalogue/splits.parquet",
        dropped=f"{RUN}/catalogue/dropped/splits.parquet",
    params:
        targets=section("targets"),
        photometry=section("photometry"),
        splits=section("splits"),
        seed=config["seed"],
        code=code("splits"),
    log:
        f"{RUN}/logs/splits.log",
    benchmark:
        f"{RUN}/benchmarks/splits.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Divide the galaxies into sets"
    shell:
        "mgsflow splits --targets-table {input.targets_table:q} "
        "--photometry-table {input.photometry_table:q} --index {input.index:q} "
        "--selected {input.selected:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} "
        "--splits {params.splits:q} --seed {params.seed} "
        "--out {output.table:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Every galaxy that left, with its stage and reason.
rule account:
    input:
        f"{RUN}/catalogue/dropped/select.parquet",
        f"{RUN}/catalogue/dropped/targets.parquet",
        only_if(HAS_BANDS, f"{RUN}/catalogue/dropped/photometry.parquet"),
        expand(f"{RUN}/catalogue/dropped/stamps-{{shard}}.parquet", shard=SHARDS),
        only_if(HAS_STAMPS, f"{RUN}/catalogue/dropped/index-stamps.parquet"),
        f"{RUN}/catalogue/dropped/splits.parquet",
    output:
        table=f"{RUN}/catalogue/dropped.parquet",
        totals=f"{RUN}/catalogue/account.json",
    params:
        code=code("account"),
    log:
        f"{RUN}/logs/account.log",
    benchmark:
        f"{RUN}/benchmarks/account.tsv"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Account for the galaxies that left"
    shell:
        "mgsflow account --parts {input:q} --out {output.table:q} --totals {output.totals:q} "
        "--threads {threads} 2>&1 | tee {log:q}"
