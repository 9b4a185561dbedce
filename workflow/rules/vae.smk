# The variational autoencoder: train it on its own galaxies, then encode all stamps.


# The VAE, on its own galaxies. An A100 on the cluster.
rule train_vae:
    input:
        **inputs(STAGES["train-vae"]),
    output:
        **outputs(STAGES["train-vae"]),
    params:
        vae=section("vae"),
        stamps=section("stamps"),
        compute=section("compute"),
        seed=config["seed"],
        folder=subpath(output.weights, parent=True),
        checkpoints=f"{CHECKPOINTS}/vae",
        code=code("train-vae"),
    log:
        log_of(STAGES["train-vae"]),
    benchmark:
        benchmark_of(STAGES["train-vae"])
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(32000),
        runtime=growing(240),
    conda:
        conda_of(STAGES["train-vae"])
    container:
        image_of(STAGES["train-vae"])
    message:
        "Train the VAE"
    shell:
        "mgsflow train-vae --shards {input.shards:q} --index {input.index:q} "
        "--splits {input.splits:q} --vae {params.vae:q} --stamps {params.stamps:q} "
        "--compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} "
        "--out {params.folder:q} 2>&1 | tee {log:q}"


# Latent means and standard deviations of every stamp, by the frozen encoder.
rule encode:
    input:
        **inputs(STAGES["encode"]),
    output:
        **outputs(STAGES["encode"]),
    params:
        **models(STAGES["encode"]),
        compute=section("compute"),
        code=code("encode"),
    log:
        log_of(STAGES["encode"]),
    benchmark:
        benchmark_of(STAGES["encode"])
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["encode"])
    container:
        image_of(STAGES["encode"])
    message:
        "Encode all stamps"
    shell:
        "mgsflow encode --shards {input.shards:q} --index {input.index:q} "
        "--encoder {params.encoder:q} --compute {params.compute:q} --out {output.latents:q} "
        "2>&1 | tee {log:q}"
