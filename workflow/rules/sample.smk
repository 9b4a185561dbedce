# Sky and sample: from a catalogue of galaxies to targets, photometry and disjoint sets.
# The cuts that SkyServer makes; a change in another asks it for nothing again.
QUERY_CUTS = ("redshift_min", "redshift_max", "legacy_primary", "target_bits", "reliable")


# The settings of the run, every key explicit, beside its results.
rule resolved_config:
    output:
        **outputs(STAGES["resolved-config"]),
    params:
        config=yaml.safe_dump(config, sort_keys=False),
        code=code("resolved-config"),
    log:
        log_of(STAGES["resolved-config"]),
    benchmark:
        benchmark_of(STAGES["resolved-config"])
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    conda:
        conda_of(STAGES["resolved-config"])
    container:
        image_of(STAGES["resolved-config"])
    message:
        "Settings of run {config[run]}"
    shell:
        "mgsflow resolved-config --config {params.config:q} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# A simulated sky, served as SkyServer would answer.
rule simulate_catalogue:
    output:
        **outputs(STAGES["simulate-catalogue"]),
    params:
        simulated=section("simulated"),
        seed=config["seed"],
        code=code("simulate-catalogue"),
    log:
        log_of(STAGES["simulate-catalogue"]),
    benchmark:
        benchmark_of(STAGES["simulate-catalogue"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["simulate-catalogue"])
    container:
        image_of(STAGES["simulate-catalogue"])
    message:
        "Simulate the catalogue"
    shell:
        "mgsflow simulate-catalogue --out {output.reply:q} --truth {output.truth:q} "
        "--simulated {params.simulated:q} --seed {params.seed} --threads {threads} "
        "2>&1 | tee {log:q}"


# The Main Galaxy Sample from SkyServer, in chunks.
rule query_sdss:
    output:
        **outputs(STAGES["query-sdss"]),
    params:
        sdss=section("sdss", "data_release", "skyserver_url", "chunk_rows"),
        selection=section("selection", *QUERY_CUTS),
        partial=f"{CHECKPOINTS}/query-sdss",
        code=code("query-sdss"),
    log:
        log_of(STAGES["query-sdss"]),
    benchmark:
        benchmark_of(STAGES["query-sdss"])
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(600),
        network=NETWORK,
    conda:
        conda_of(STAGES["query-sdss"])
    container:
        image_of(STAGES["query-sdss"])
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
        **inputs(STAGES["select"]),
    output:
        **outputs(STAGES["select"]),
    params:
        sky=config["sky"],
        catalogue=section("catalogue"),
        selection=section("selection"),
        seed=config["seed"],
        code=code("select"),
    log:
        log_of(STAGES["select"]),
    benchmark:
        benchmark_of(STAGES["select"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["select"])
    container:
        image_of(STAGES["select"])
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
        **inputs(STAGES["targets"]),
    output:
        **outputs(STAGES["targets"]),
    params:
        targets=section("targets"),
        code=code("targets"),
    log:
        log_of(STAGES["targets"]),
    benchmark:
        benchmark_of(STAGES["targets"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["targets"])
    container:
        image_of(STAGES["targets"])
    message:
        "Derive the targets"
    shell:
        "mgsflow targets --selected {input.selected:q} --targets {params.targets:q} "
        "--out {output.table:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Magnitudes and colours, observed and rest-frame.
rule photometry:
    input:
        **inputs(STAGES["photometry"]),
    output:
        **outputs(STAGES["photometry"]),
    params:
        photometry=section("photometry"),
        rest_frame="--rest-frame" if run.has_rest_frame else "--no-rest-frame",
        code=code("photometry"),
    log:
        log_of(STAGES["photometry"]),
    benchmark:
        benchmark_of(STAGES["photometry"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["photometry"])
    container:
        image_of(STAGES["photometry"])
    message:
        "Derive magnitudes and colours"
    shell:
        "mgsflow photometry --selected {input.selected:q} --photometry {params.photometry:q} "
        "{params.rest_frame} --out {output.table:q} --dropped {output.dropped:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Disjoint sets for the VAE and the flows.
rule splits:
    input:
        **inputs(STAGES["splits"]),
    output:
        **outputs(STAGES["splits"]),
    params:
        targets=section("targets"),
        photometry=section("photometry"),
        splits=section("splits"),
        seed=config["seed"],
        code=code("splits"),
    log:
        log_of(STAGES["splits"]),
    benchmark:
        benchmark_of(STAGES["splits"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["splits"])
    container:
        image_of(STAGES["splits"])
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
        **inputs(STAGES["account"]),
    output:
        **outputs(STAGES["account"]),
    params:
        code=code("account"),
    log:
        log_of(STAGES["account"]),
    benchmark:
        benchmark_of(STAGES["account"])
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    conda:
        conda_of(STAGES["account"])
    container:
        image_of(STAGES["account"])
    message:
        "Account for the galaxies that left"
    shell:
        "mgsflow account --parts {input.parts:q} --out {output.table:q} --totals {output.totals:q} "
        "--threads {threads} 2>&1 | tee {log:q}"
