# Beyond the scores: exact posteriors, anomalies, the latent space, the plane.


# The flows on photometry beside the exact posteriors of a simulated sky.
rule oracle:
    input:
        **inputs(STAGES["oracle"]),
    output:
        **outputs(STAGES["oracle"]),
    params:
        **models(STAGES["oracle"]),
        oracle=section("oracle"),
        simulated=section("simulated"),
        selection=section("selection"),
        targets=section("targets"),
        photometry=section("photometry"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("oracle"),
    log:
        log_of(STAGES["oracle"]),
    benchmark:
        benchmark_of(STAGES["oracle"])
    # as many processes, of one thread each; before them the flows' threads
    threads: max(THREADS["threads"], THREADS["flow_threads"])
    resources:
        mem_mb=growing(4000 + 3000 * THREADS["threads"]),
        runtime=growing(240),
    conda:
        conda_of(STAGES["oracle"])
    container:
        image_of(STAGES["oracle"])
    message:
        "Compare the flows with exact posteriors"
    shell:
        "mgsflow oracle --features {input.features:q} --property-model {params.property_model:q} "
        "--line-model {params.line_model:q} --oracle {params.oracle:q} "
        "--simulated {params.simulated:q} --selection {params.selection:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} "
        "--compute {params.compute:q} --seed {params.seed} --out {output.table:q} "
        "--examples {output.examples:q} --threads 1 2>&1 | tee {log:q}"


# Unusual objects in the place of test galaxies: empty sky, exchanged bands, stars, z = 0.5.
rule anomalies:
    input:
        **inputs(STAGES["anomalies"]),
    output:
        **outputs(STAGES["anomalies"]),
    params:
        photometry=section("photometry"),
        rest_frame="--rest-frame" if run.has_rest_frame else "--no-rest-frame",
        simulated=section("simulated") if run.is_simulated else [],
        evaluation=section("evaluation", "anomalies"),
        seed=config["seed"],
        code=code("anomalies"),
    log:
        log_of(STAGES["anomalies"]),
    benchmark:
        benchmark_of(STAGES["anomalies"])
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["anomalies"])
    container:
        image_of(STAGES["anomalies"])
    message:
        "Put unusual objects in the place of test galaxies"
    shell:
        "mgsflow anomalies --features {input.features:q} --selected {input.selected:q} "
        "--shards {input.shards:q} --index {input.index:q} --photometry {params.photometry:q} "
        "{params.rest_frame} --simulated {params.simulated:q} --evaluation {params.evaluation:q} "
        "--seed {params.seed} --out {output.table:q} --stamps {output.stamps:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Whether the posteriors know the unusual objects for such.
rule out_of_distribution:
    input:
        **inputs(STAGES["out-of-distribution"]),
    output:
        **outputs(STAGES["out-of-distribution"]),
    params:
        **models(STAGES["out-of-distribution"]),
        evaluation=section("evaluation", "bootstrap"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("out-of-distribution"),
    log:
        log_of(STAGES["out-of-distribution"]),
    benchmark:
        benchmark_of(STAGES["out-of-distribution"])
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["out-of-distribution"])
    container:
        image_of(STAGES["out-of-distribution"])
    message:
        "Judge whether the posteriors know unusual galaxies"
    shell:
        "mgsflow out-of-distribution --features {input.features:q} "
        "--anomalies {input.anomalies:q} --stamps {input.stamps:q} "
        "--encoder {params.encoder:q} --models {params.models:q} --evaluation {params.evaluation:q} "
        "--compute {params.compute:q} --seed {params.seed} --out {output.table:q} "
        "--scores {output.scores:q} 2>&1 | tee {log:q}"


# Images decoded along the latent directions that go with a property.
rule directions:
    input:
        **inputs(STAGES["directions"]),
    output:
        **outputs(STAGES["directions"]),
    params:
        **models(STAGES["directions"]),
        evaluation=section("evaluation"),
        targets=section("targets"),
        seed=config["seed"],
        code=code("directions"),
    log:
        log_of(STAGES["directions"]),
    benchmark:
        benchmark_of(STAGES["directions"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["directions"])
    container:
        image_of(STAGES["directions"])
    message:
        "Decode along latent directions"
    shell:
        "mgsflow directions --encoder {params.encoder:q} --latents {input.latents:q} --features {input.features:q} "
        "--evaluation {params.evaluation:q} --targets {params.targets:q} --seed {params.seed} "
        "--out {output.directions:q} --threads {threads} 2>&1 | tee {log:q}"


# Latents and photometry embedded in the plane.
rule umap:
    input:
        **inputs(STAGES["umap"]),
    output:
        **outputs(STAGES["umap"]),
    params:
        evaluation=section("evaluation"),
        targets=section("targets"),
        photometry=section("photometry"),
        seed=config["seed"],
        code=code("umap"),
    log:
        log_of(STAGES["umap"]),
    benchmark:
        benchmark_of(STAGES["umap"])
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["umap"])
    container:
        image_of(STAGES["umap"])
    message:
        "Embed latents and photometry with UMAP"
    shell:
        "mgsflow umap --features {input.features:q} --evaluation {params.evaluation:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} --seed {params.seed} "
        "--out {output.umap:q} --threads {threads} 2>&1 | tee {log:q}"
