# The variational autoencoder: train it on its own galaxies, then encode all stamps.


# The VAE, on its own galaxies. An A100 on the cluster.
rule train_vae:
    input:
        shards=expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
        index=f"{RUN}/stamps/index.parquet",
        splits=f"{RUN}/catalogue/splits.parquet",
    output:
        model=f"{RUN}/vae/model.safetensors",
        description=f"{RUN}/vae/model.json",
        history=f"{RUN}/vae/history.csv",
        telemetry=f"{RUN}/vae/telemetry.json",
    params:
        vae=section("vae"),
        stamps=section("stamps"),
        compute=section("compute"),
        seed=config["seed"],
        checkpoints=f"{RUN}/checkpoints/vae",
        code=code("train-vae"),
    log:
        f"{RUN}/logs/train-vae.log",
    benchmark:
        f"{RUN}/benchmarks/train-vae.tsv"
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(32000),
        runtime=growing(240),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Train the VAE"
    shell:
        "mgsflow train-vae --shards {input.shards:q} --index {input.index:q} "
        "--splits {input.splits:q} --vae {params.vae:q} --stamps {params.stamps:q} "
        "--compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} "
        "--out {output.model:q} --description {output.description:q} "
        "--history {output.history:q} --telemetry {output.telemetry:q} 2>&1 | tee {log:q}"


# Latent means and standard deviations of every stamp, by the frozen encoder.
rule encode:
    input:
        shards=expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
        index=f"{RUN}/stamps/index.parquet",
        model=f"{RUN}/vae/model.safetensors",
        description=f"{RUN}/vae/model.json",
    output:
        f"{RUN}/vae/latents.parquet",
    params:
        compute=section("compute"),
        code=code("encode"),
    log:
        f"{RUN}/logs/encode.log",
    benchmark:
        f"{RUN}/benchmarks/encode.tsv"
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        f"{ENVS}/train.yaml"
    container:
        f"{ENVS}/images/train.sif"
    message:
        "Encode all stamps"
    shell:
        "mgsflow encode --shards {input.shards:q} --index {input.index:q} "
        "--model {input.model:q} --description {input.description:q} "
        "--compute {params.compute:q} --out {output:q} 2>&1 | tee {log:q}"
