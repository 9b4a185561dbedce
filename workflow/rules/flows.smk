# The flows: their inputs, the training of both branches on every variant, the posteriors' draws.


# Inputs and targets of the flows' galaxies, side by side.
rule features:
    input:
        **inputs(STAGES["features"]),
    output:
        **outputs(STAGES["features"]),
    params:
        targets=section("targets"),
        photometry=section("photometry"),
        # the inputs alone: another family of flows on them joins nothing again
        flows=json.dumps({"variants": run.inputs}),
        code=code("features"),
    log:
        log_of(STAGES["features"]),
    benchmark:
        benchmark_of(STAGES["features"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["features"])
    container:
        image_of(STAGES["features"])
    message:
        "Join the inputs and targets of the flows"
    shell:
        "mgsflow features --splits {input.splits:q} --targets-table {input.targets_table:q} "
        "--photometry-table {input.photometry_table:q} --latents {input.latents:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} "
        "--flows {params.flows:q} --out {output.features:q} --threads {threads} 2>&1 | tee {log:q}"


# All members of one branch's ensemble on one variant's inputs. A T4 on the cluster.
rule train_flow:
    input:
        **inputs(STAGES["train-flow"]),
    output:
        **outputs(STAGES["train-flow"]),
    params:
        # without the variants: one more does not train the others again
        flows=section("flows", *(key for key in config["flows"] if key != "variants")),
        targets=section("targets"),
        photometry=section("photometry"),
        compute=section("compute"),
        seed=config["seed"],
        folder=subpath(output.weights, parent=True),
        checkpoints=f"{CHECKPOINTS}/flows",
        code=code("train-flow"),
    log:
        log_of(STAGES["train-flow"]),
    benchmark:
        benchmark_of(STAGES["train-flow"])
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    conda:
        conda_of(STAGES["train-flow"])
    container:
        image_of(STAGES["train-flow"])
    message:
        "Train the {wildcards.flow} flow on {wildcards.variant}"
    shell:
        "mgsflow train-flow --features {input.features:q} --flow {wildcards.flow} "
        "--variant {wildcards.variant} --flows {params.flows:q} --targets {params.targets:q} "
        "--photometry {params.photometry:q} --compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} "
        "--out {params.folder:q} 2>&1 | tee {log:q}"


# Joint draws for the validation and test galaxies, and the published catalogue.
rule sample_posteriors:
    input:
        **inputs(STAGES["sample-posteriors"]),
    output:
        **outputs(STAGES["sample-posteriors"]),
    params:
        **models(STAGES["sample-posteriors"]),
        posteriors=section("posteriors"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("sample-posteriors"),
    log:
        log_of(STAGES["sample-posteriors"]),
    benchmark:
        benchmark_of(STAGES["sample-posteriors"])
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["sample-posteriors"])
    container:
        image_of(STAGES["sample-posteriors"])
    message:
        "Draw from the posteriors, {wildcards.variant}"
    shell:
        "mgsflow sample-posteriors --features {input.features:q} "
        "--property-model {params.property_model:q} --line-model {params.line_model:q} "
        "--posteriors {params.posteriors:q} --compute {params.compute:q} --seed {params.seed} "
        "--out {output.draws:q} --catalogue {output.catalogue:q} 2>&1 | tee {log:q}"
