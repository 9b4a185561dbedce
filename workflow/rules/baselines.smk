# Other methods on the same split.
# The settings of the conditional VAE rerun it alone.
METHODS = section("baselines", *(key for key in config["baselines"] if key != "conditional_vae"))


# Other methods on the same split.
rule baselines:
    input:
        **inputs(STAGES["baselines"]),
    output:
        **outputs(STAGES["baselines"]),
    params:
        baselines=METHODS,
        targets=section("targets"),
        splits=section("splits"),
        stamps=section("stamps", "provider"),
        seed=config["seed"],
        code=code("baselines"),
    log:
        log_of(STAGES["baselines"]),
    benchmark:
        benchmark_of(STAGES["baselines"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(240),
    conda:
        conda_of(STAGES["baselines"])
    container:
        image_of(STAGES["baselines"])
    message:
        "Train the baselines"
    shell:
        "mgsflow baselines --features {input.features:q} --selected {input.selected:q} "
        "--baselines {params.baselines:q} --targets {params.targets:q} --splits {params.splits:q} "
        "--stamps {params.stamps:q} --seed {params.seed} --out {output.predictions:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# The baseline on the stamps themselves. An A100 on the cluster, as the VAE.
rule train_conditional_vae:
    input:
        **inputs(STAGES["train-conditional-vae"]),
    output:
        **outputs(STAGES["train-conditional-vae"]),
    params:
        vae=section("vae", "channels", "softening", "stretch_scale"),
        baselines=section("baselines", "conditional_vae"),
        targets=section("targets", "properties", "lines"),
        compute=section("compute"),
        seed=config["seed"],
        folder=subpath(output.weights, parent=True),
        checkpoints=f"{CHECKPOINTS}/conditional-vae",
        code=code("train-conditional-vae"),
    log:
        log_of(STAGES["train-conditional-vae"]),
    benchmark:
        benchmark_of(STAGES["train-conditional-vae"])
    threads: THREADS["vae_threads"]
    resources:
        mem_mb=growing(32000),
        runtime=growing(240),
    conda:
        conda_of(STAGES["train-conditional-vae"])
    container:
        image_of(STAGES["train-conditional-vae"])
    message:
        "Train the conditional VAE"
    shell:
        "mgsflow train-conditional-vae --shards {input.shards:q} --index {input.index:q} "
        "--features {input.features:q} --vae {params.vae:q} --baselines {params.baselines:q} "
        "--targets {params.targets:q} --compute {params.compute:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} --out {params.folder:q} "
        "--predictions {output.predictions:q} 2>&1 | tee {log:q}"
