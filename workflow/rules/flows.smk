# The flows: their inputs, the training of both branches on every variant, the posteriors' draws.


# Inputs and targets of the flows' galaxies, side by side.
rule features:
    input:
        splits=f"{RUN}/catalogue/splits.parquet",
        targets_table=f"{RUN}/catalogue/targets.parquet",
        photometry_table=only_if(HAS_BANDS, f"{RUN}/catalogue/photometry.parquet"),
        latents=only_if(HAS_STAMPS, f"{RUN}/vae/latents.parquet"),
    output:
        f"{RUN}/flows/features.parquet",
    params:
        targets=section("targets"),
        photometry=section("photometry"),
        # the inputs alone: another family of flows on them joins nothing again
        flows=json.dumps({"variants": INPUTS}),
        code=code("features"),
    log:
        f"{RUN}/logs/features.log",
    benchmark:
        f"{RUN}/benchmarks/features.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Join the inputs and targets of the flows"
    shell:
        "mgsflow features --splits {input.splits:q} --targets-table {input.targets_table:q} "
        "--photometry-table {input.photometry_table:q} --latents {input.latents:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} "
        "--flows {params.flows:q} --out {output:q} --threads {threads} 2>&1 | tee {log:q}"


# All members of one branch's ensemble on one variant's inputs. A T4 on the cluster.
rule train_flow:
    input:
        features=f"{RUN}/flows/features.parquet",
    output:
        members=f"{RUN}/flows/{{flow}}/{{variant}}/members.safetensors",
        description=f"{RUN}/flows/{{flow}}/{{variant}}/model.json",
        history=f"{RUN}/flows/{{flow}}/{{variant}}/history.csv",
        telemetry=f"{RUN}/flows/{{flow}}/{{variant}}/telemetry.json",
    params:
        # without the variants: one more does not train the others again
        flows=section("flows", *(key for key in config["flows"] if key != "variants")),
        targets=section("targets"),
        photometry=section("photometry"),
        compute=section("compute"),
        seed=config["seed"],
        checkpoints=f"{RUN}/checkpoints/flows",
        code=code("train-flow"),
    log:
        f"{RUN}/logs/train-flow-{{flow}}-{{variant}}.log",
    benchmark:
        f"{RUN}/benchmarks/train-flow-{{flow}}-{{variant}}.tsv"
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Train the {wildcards.flow} flow on {wildcards.variant}"
    shell:
        "mgsflow train-flow --features {input.features:q} --flow {wildcards.flow} "
        "--variant {wildcards.variant} --flows {params.flows:q} --targets {params.targets:q} "
        "--photometry {params.photometry:q} --compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} "
        "--out {output.members:q} --description {output.description:q} "
        "--history {output.history:q} --telemetry {output.telemetry:q} 2>&1 | tee {log:q}"


# Joint draws for the validation and test galaxies, and the published catalogue.
rule sample_posteriors:
    input:
        features=f"{RUN}/flows/features.parquet",
        property_members=flow_files("property", "members.safetensors"),
        property_model=flow_files("property", "model.json"),
        line_members=flow_files("line", "members.safetensors"),
        line_model=flow_files("line", "model.json"),
    output:
        draws=f"{RUN}/posteriors/{{variant}}.h5",
        catalogue=f"{RUN}/posteriors/{{variant}}.fits",
    params:
        posteriors=section("posteriors"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("sample-posteriors"),
    log:
        f"{RUN}/logs/sample-posteriors-{{variant}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample-posteriors-{{variant}}.tsv"
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Draw from the posteriors, {wildcards.variant}"
    shell:
        "mgsflow sample-posteriors --features {input.features:q} --variant {wildcards.variant} "
        "--property-model {input.property_model:q} --line-model {input.line_model:q} "
        "--posteriors {params.posteriors:q} --compute {params.compute:q} --seed {params.seed} "
        "--out {output.draws:q} --catalogue {output.catalogue:q} 2>&1 | tee {log:q}"
