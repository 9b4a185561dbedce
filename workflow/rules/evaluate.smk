# What the posteriors are worth: baselines, scores, uncertainty, latent space, speed.
POSTERIORS = expand(f"{RUN}/posteriors/{{variant}}.h5", variant=VARIANTS)
UMAP_OF = [t for t in config["evaluation"]["umap_targets"] if t in TARGETS["properties"]]
DIRECTIONS_OF = [t for t in config["evaluation"]["direction_targets"] if t in TARGETS["properties"]]


PREDICTIONS = [
    f"{RUN}/evaluation/baselines.parquet",
    *([f"{RUN}/evaluation/conditional-vae.parquet"] if HAS_CONDITIONAL_VAE else []),
]
# Its settings rerun the conditional VAE alone.
METHODS = section("baselines", *(key for key in config["baselines"] if key != "conditional_vae"))


# Other methods on the same split.
rule baselines:
    input:
        features=f"{RUN}/flows/features.parquet",
        selected=f"{RUN}/catalogue/selected.parquet",
    output:
        f"{RUN}/evaluation/baselines.parquet",
    params:
        baselines=METHODS,
        targets=section("targets"),
        splits=section("splits"),
        stamps=section("stamps", "provider"),
        seed=config["seed"],
        code=code("baselines"),
    log:
        f"{RUN}/logs/baselines.log",
    benchmark:
        f"{RUN}/benchmarks/baselines.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Train the baselines"
    shell:
        "mgsflow baselines --features {input.features:q} --selected {input.selected:q} "
        "--baselines {params.baselines:q} --targets {params.targets:q} --splits {params.splits:q} "
        "--stamps {params.stamps:q} --seed {params.seed} --out {output:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# The baseline on the stamps themselves. An A100 on the cluster, as the VAE.
rule train_conditional_vae:
    input:
        shards=expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
        index=f"{RUN}/stamps/index.parquet",
        features=f"{RUN}/flows/features.parquet",
    output:
        model=f"{RUN}/baselines/conditional-vae/model.safetensors",
        description=f"{RUN}/baselines/conditional-vae/model.json",
        history=f"{RUN}/baselines/conditional-vae/history.csv",
        telemetry=f"{RUN}/baselines/conditional-vae/telemetry.json",
        predictions=f"{RUN}/evaluation/conditional-vae.parquet",
    params:
        vae=section("vae", "channels", "softening", "stretch_scale"),
        baselines=section("baselines", "conditional_vae"),
        targets=section("targets", "properties", "lines"),
        compute=section("compute"),
        seed=config["seed"],
        checkpoints=f"{RUN}/checkpoints/conditional-vae",
        code=code("train-conditional-vae"),
    log:
        f"{RUN}/logs/train-conditional-vae.log",
    benchmark:
        f"{RUN}/benchmarks/train-conditional-vae.tsv"
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(32000),
        runtime=growing(240),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Train the conditional VAE"
    shell:
        "mgsflow train-conditional-vae --shards {input.shards:q} --index {input.index:q} "
        "--features {input.features:q} --vae {params.vae:q} --baselines {params.baselines:q} "
        "--targets {params.targets:q} --compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} --out {output.model:q} "
        "--predictions {output.predictions:q} --description {output.description:q} "
        "--history {output.history:q} --telemetry {output.telemetry:q} 2>&1 | tee {log:q}"


# Accuracy, coverage and CRPS of posteriors and baselines on the test set.
rule scores:
    input:
        features=f"{RUN}/flows/features.parquet",
        selected=f"{RUN}/catalogue/selected.parquet",
        posteriors=POSTERIORS,
        baselines=PREDICTIONS,
    output:
        f"{RUN}/evaluation/scores.parquet",
    params:
        variants=VARIANTS,
        targets=section("targets"),
        evaluation=section("evaluation"),
        seed=config["seed"],
        code=code("scores"),
    log:
        f"{RUN}/logs/scores.log",
    benchmark:
        f"{RUN}/benchmarks/scores.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Score posteriors and baselines"
    shell:
        "mgsflow scores --features {input.features:q} --selected {input.selected:q} "
        "--posteriors {input.posteriors:q} --variants {params.variants} "
        "--baselines {input.baselines:q} --targets {params.targets:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Aleatoric and epistemic parts of the spread, on the validation set.
rule uncertainty:
    input:
        posteriors=POSTERIORS,
    output:
        f"{RUN}/evaluation/uncertainty.parquet",
    params:
        variants=VARIANTS,
        code=code("uncertainty"),
    log:
        f"{RUN}/logs/uncertainty.log",
    benchmark:
        f"{RUN}/benchmarks/uncertainty.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Split the spread into aleatoric and epistemic"
    shell:
        "mgsflow uncertainty --posteriors {input.posteriors:q} --variants {params.variants} "
        "--out {output:q} --threads {threads} 2>&1 | tee {log:q}"


# Whether the test set's posteriors mean what they say.
rule calibration:
    input:
        features=f"{RUN}/flows/features.parquet",
        posteriors=POSTERIORS,
    output:
        table=f"{RUN}/evaluation/calibration.parquet",
        curves=f"{RUN}/evaluation/calibration-curves.parquet",
    params:
        variants=VARIANTS,
        calibration=section("calibration"),
        seed=config["seed"],
        code=code("calibration"),
    log:
        f"{RUN}/logs/calibration.log",
    benchmark:
        f"{RUN}/benchmarks/calibration.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Judge the calibration of the posteriors"
    shell:
        "mgsflow calibration --features {input.features:q} --posteriors {input.posteriors:q} "
        "--variants {params.variants} --calibration {params.calibration:q} --seed {params.seed} "
        "--out {output.table:q} --curves {output.curves:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Confusion matrix and scores of the metallicity's detectability.
rule detectability:
    input:
        posteriors=POSTERIORS,
    output:
        f"{RUN}/evaluation/detectability.json",
    params:
        variants=VARIANTS,
        evaluation=section("evaluation"),
        seed=config["seed"],
        code=code("detectability"),
    log:
        f"{RUN}/logs/detectability.log",
    benchmark:
        f"{RUN}/benchmarks/detectability.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Judge the detectability of metallicity"
    shell:
        "mgsflow detectability --posteriors {input.posteriors:q} --variants {params.variants} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# What the test set shares with the sets that trained the models, and the permutation control.
rule leakage:
    input:
        selected=f"{RUN}/catalogue/selected.parquet",
        splits=f"{RUN}/catalogue/splits.parquet",
        features=f"{RUN}/flows/features.parquet",
        models=expand(f"{RUN}/flows/{{flow}}/{{variant}}/model.json", flow=FLOWS, variant=VARIANTS),
        predictions=f"{RUN}/evaluation/baselines.parquet",
    output:
        f"{RUN}/evaluation/leakage.parquet",
    params:
        stamps=section("stamps", "provider", "size", "pixel_scale"),
        targets=section("targets"),
        baselines=METHODS,
        evaluation=section("evaluation", "permutations"),
        seed=config["seed"],
        code=code("leakage"),
    log:
        f"{RUN}/logs/leakage.log",
    benchmark:
        f"{RUN}/benchmarks/leakage.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Check that nothing leaks into the test set"
    shell:
        "mgsflow leakage --selected {input.selected:q} --splits {input.splits:q} "
        "--features {input.features:q} --models {input.models:q} "
        "--predictions {input.predictions:q} --stamps {params.stamps:q} "
        "--targets {params.targets:q} --baselines {params.baselines:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# The flows on photometry beside the exact posteriors of a simulated sky.
rule oracle:
    input:
        features=f"{RUN}/flows/features.parquet",
        members=expand(f"{RUN}/flows/{{flow}}/{ORACLE_OF}/members.safetensors", flow=FLOWS),
        property_model=only_if("property" in FLOWS, f"{RUN}/flows/property/{ORACLE_OF}/model.json"),
        line_model=only_if("line" in FLOWS, f"{RUN}/flows/line/{ORACLE_OF}/model.json"),
    output:
        table=f"{RUN}/evaluation/oracle.parquet",
        examples=f"{RUN}/evaluation/oracle-examples.h5",
    params:
        oracle=section("oracle"),
        simulated=section("simulated"),
        selection=section("selection"),
        targets=section("targets"),
        photometry=section("photometry"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("oracle"),
    log:
        f"{RUN}/logs/oracle.log",
    benchmark:
        f"{RUN}/benchmarks/oracle.tsv"
    # as many processes, of one thread each; before them the flows' threads
    threads: max(THREADS["threads"], THREADS["flow_threads"])
    resources:
        mem_mb=growing(4000 + 3000 * THREADS["threads"]),
        runtime=growing(240),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Compare the flows with exact posteriors"
    shell:
        "mgsflow oracle --features {input.features:q} --property-model {input.property_model:q} "
        "--line-model {input.line_model:q} --oracle {params.oracle:q} "
        "--simulated {params.simulated:q} --selection {params.selection:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} "
        "--compute {params.compute:q} --seed {params.seed} --out {output.table:q} "
        "--examples {output.examples:q} --threads 1 2>&1 | tee {log:q}"


# Unusual objects in the place of test galaxies: empty sky, exchanged bands, stars, z = 0.5.
rule anomalies:
    input:
        features=f"{RUN}/flows/features.parquet",
        selected=f"{RUN}/catalogue/selected.parquet",
        shards=expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
        index=only_if(HAS_STAMPS, f"{RUN}/stamps/index.parquet"),
    output:
        table=f"{RUN}/evaluation/anomalies.parquet",
        stamps=f"{RUN}/evaluation/anomalies.h5",
    params:
        photometry=section("photometry"),
        rest_frame="--rest-frame" if REST_FRAME else "--no-rest-frame",
        simulated=section("simulated") if SKY == "simulated" else [],
        evaluation=section("evaluation", "anomalies"),
        seed=config["seed"],
        code=code("anomalies"),
    log:
        f"{RUN}/logs/anomalies.log",
    benchmark:
        f"{RUN}/benchmarks/anomalies.tsv"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
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
        features=f"{RUN}/flows/features.parquet",
        anomalies=f"{RUN}/evaluation/anomalies.parquet",
        stamps=f"{RUN}/evaluation/anomalies.h5",
        vae_model=only_if(HAS_STAMPS, f"{RUN}/vae/model.safetensors"),
        vae_description=only_if(HAS_STAMPS, f"{RUN}/vae/model.json"),
        members=expand(
            f"{RUN}/flows/{{flow}}/{{variant}}/members.safetensors", flow=FLOWS, variant=VARIANTS
        ),
        models=expand(f"{RUN}/flows/{{flow}}/{{variant}}/model.json", flow=FLOWS, variant=VARIANTS),
    output:
        table=f"{RUN}/evaluation/out-of-distribution.parquet",
        scores=f"{RUN}/evaluation/out-of-distribution-scores.parquet",
    params:
        evaluation=section("evaluation", "bootstrap"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("out-of-distribution"),
    log:
        f"{RUN}/logs/out-of-distribution.log",
    benchmark:
        f"{RUN}/benchmarks/out-of-distribution.tsv"
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Judge whether the posteriors know unusual galaxies"
    shell:
        "mgsflow out-of-distribution --features {input.features:q} "
        "--anomalies {input.anomalies:q} --stamps {input.stamps:q} "
        "--vae-model {input.vae_model:q} --vae-description {input.vae_description:q} "
        "--models {input.models:q} --evaluation {params.evaluation:q} "
        "--compute {params.compute:q} --seed {params.seed} --out {output.table:q} "
        "--scores {output.scores:q} 2>&1 | tee {log:q}"


# Images decoded along the latent directions that go with a property.
rule directions:
    input:
        model=f"{RUN}/vae/model.safetensors",
        description=f"{RUN}/vae/model.json",
        latents=f"{RUN}/vae/latents.parquet",
        features=f"{RUN}/flows/features.parquet",
    output:
        f"{RUN}/evaluation/directions.h5",
    params:
        evaluation=section("evaluation"),
        targets=section("targets"),
        seed=config["seed"],
        code=code("directions"),
    log:
        f"{RUN}/logs/directions.log",
    benchmark:
        f"{RUN}/benchmarks/directions.tsv"
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Decode along latent directions"
    shell:
        "mgsflow directions --model {input.model:q} --description {input.description:q} "
        "--latents {input.latents:q} --features {input.features:q} "
        "--evaluation {params.evaluation:q} --targets {params.targets:q} --seed {params.seed} "
        "--out {output:q} --threads {threads} 2>&1 | tee {log:q}"


# Latents and photometry embedded in the plane.
rule umap:
    input:
        features=f"{RUN}/flows/features.parquet",
    output:
        f"{RUN}/evaluation/umap.parquet",
    params:
        evaluation=section("evaluation"),
        targets=section("targets"),
        photometry=section("photometry"),
        seed=config["seed"],
        code=code("umap"),
    log:
        f"{RUN}/logs/umap.log",
    benchmark:
        f"{RUN}/benchmarks/umap.tsv"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Embed latents and photometry with UMAP"
    shell:
        "mgsflow umap --features {input.features:q} --evaluation {params.evaluation:q} "
        "--targets {params.targets:q} --photometry {params.photometry:q} --seed {params.seed} "
        "--out {output:q} --threads {threads} 2>&1 | tee {log:q}"


# Seconds a galaxy from stamp and magnitudes to joint draws; training stated apart.
rule speed:
    input:
        features=f"{RUN}/flows/features.parquet",
        shards=expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
        index=only_if(HAS_STAMPS, f"{RUN}/stamps/index.parquet"),
        vae_model=only_if(HAS_STAMPS, f"{RUN}/vae/model.safetensors"),
        vae_description=only_if(HAS_STAMPS, f"{RUN}/vae/model.json"),
        members=expand(f"{RUN}/flows/{{flow}}/{VARIANTS[0]}/members.safetensors", flow=FLOWS),
        property_model=expand(flow_files("property", "model.json"), variant=VARIANTS[0]),
        line_model=expand(flow_files("line", "model.json"), variant=VARIANTS[0]),
        training=[
            only_if(HAS_STAMPS, f"{RUN}/vae/telemetry.json"),
            *expand(f"{RUN}/flows/{{flow}}/{VARIANTS[0]}/telemetry.json", flow=FLOWS),
        ],
    output:
        f"{RUN}/evaluation/speed.json",
    params:
        variant=VARIANTS[0],
        evaluation=section("evaluation"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("speed"),
    log:
        f"{RUN}/logs/speed.log",
    benchmark:
        f"{RUN}/benchmarks/speed.tsv"
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Time the way from stamp to joint draws"
    shell:
        "mgsflow speed --features {input.features:q} --shards {input.shards:q} "
        "--index {input.index:q} --vae-model {input.vae_model:q} "
        "--vae-description {input.vae_description:q} --property-model {input.property_model:q} "
        "--line-model {input.line_model:q} --variant {params.variant} "
        "--training {input.training:q} --evaluation {params.evaluation:q} "
        "--compute {params.compute:q} --seed {params.seed} --out {output:q} 2>&1 | tee {log:q}"


# Fits of test galaxies' magnitudes, by bagpipes and kcorrect: on one thread, since they are timed.
rule fit_sed:
    input:
        features=f"{RUN}/flows/features.parquet",
        selected=f"{RUN}/catalogue/selected.parquet",
    output:
        f"{RUN}/evaluation/sed.parquet",
    params:
        photometry=section("photometry", "asinh_to_ab"),
        selection=section("selection", "redshift_min", "redshift_max"),
        sed=section("sed"),
        evaluation=section("evaluation", "speed_draws"),
        seed=config["seed"],
        checkpoints=f"{RUN}/checkpoints/fit-sed",
        code=code("fit-sed"),
    log:
        f"{RUN}/logs/fit_sed.log",
    benchmark:
        f"{RUN}/benchmarks/fit_sed.tsv"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60 + 8 * config["sed"]["galaxies"]),
    conda:
        f"{ENVS}/sed.yaml"
    container:
        f"{ENVS}/images/sed.sif"
    message:
        "Fit spectral energy distributions"
    shell:
        "mgsflow fit-sed --features {input.features:q} --selected {input.selected:q} "
        "--photometry {params.photometry:q} --selection {params.selection:q} --sed {params.sed:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} --out {output:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# The posteriors beside these fits: core-seconds a galaxy, and accuracy.
rule compare_speed:
    input:
        sed=f"{RUN}/evaluation/sed.parquet",
        truth=f"{RUN}/sky/truth.parquet",
        speed=f"{RUN}/evaluation/speed.json",
        posteriors=POSTERIORS,
    output:
        f"{RUN}/evaluation/compare-speed.json",
    params:
        variants=VARIANTS,
        code=code("compare-speed"),
    log:
        f"{RUN}/logs/compare_speed.log",
    benchmark:
        f"{RUN}/benchmarks/compare_speed.tsv"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        f"{ENVS}/sed.yaml"
    container:
        f"{ENVS}/images/sed.sif"
    message:
        "Compare with fits of spectral energy distributions"
    shell:
        "mgsflow compare-speed --sed {input.sed:q} --truth {input.truth:q} "
        "--speed {input.speed:q} --posteriors {input.posteriors:q} --variants {params.variants} "
        "--out {output:q} --threads {threads} 2>&1 | tee {log:q}"
