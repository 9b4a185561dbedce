# Speed, and fits of the spectral energy distribution beside the posteriors.


# Seconds a galaxy from stamp and magnitudes to joint draws; training stated apart.
rule speed:
    input:
        **inputs(STAGES["speed"]),
    output:
        **outputs(STAGES["speed"]),
    params:
        **models(STAGES["speed"]),
        evaluation=section("evaluation"),
        compute=section("compute"),
        seed=config["seed"],
        code=code("speed"),
    log:
        log_of(STAGES["speed"]),
    benchmark:
        benchmark_of(STAGES["speed"])
    threads: THREADS["flow_threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["speed"])
    container:
        image_of(STAGES["speed"])
    message:
        "Time the way from stamp to joint draws"
    shell:
        "mgsflow speed --features {input.features:q} --shards {input.shards:q} "
        "--index {input.index:q} --encoder {params.encoder:q} "
        "--property-model {params.property_model:q} --line-model {params.line_model:q} "
        "--evaluation {params.evaluation:q} --compute {params.compute:q} --seed {params.seed} "
        "--out {output.speed:q} 2>&1 | tee {log:q}"


# Fits of test galaxies' magnitudes, by bagpipes and kcorrect: on one thread, since they are timed.
rule fit_sed:
    input:
        **inputs(STAGES["fit-sed"]),
    output:
        **outputs(STAGES["fit-sed"]),
    params:
        photometry=section("photometry", "asinh_to_ab"),
        selection=section("selection", "redshift_min", "redshift_max"),
        sed=section("sed"),
        evaluation=section("evaluation", "speed_draws"),
        seed=config["seed"],
        checkpoints=f"{CHECKPOINTS}/fit-sed",
        code=code("fit-sed"),
    log:
        log_of(STAGES["fit-sed"]),
    benchmark:
        benchmark_of(STAGES["fit-sed"])
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60 + 8 * config["sed"]["galaxies"]),
    conda:
        conda_of(STAGES["fit-sed"])
    container:
        image_of(STAGES["fit-sed"])
    message:
        "Fit spectral energy distributions"
    shell:
        "mgsflow fit-sed --features {input.features:q} --selected {input.selected:q} "
        "--photometry {params.photometry:q} --selection {params.selection:q} --sed {params.sed:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} "
        "--checkpoints {params.checkpoints:q} --code {params.code} --out {output.fits:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# The posteriors beside these fits: core-seconds a galaxy, and accuracy.
rule compare_speed:
    input:
        **inputs(STAGES["compare-speed"]),
    output:
        **outputs(STAGES["compare-speed"]),
    params:
        code=code("compare-speed"),
    log:
        log_of(STAGES["compare-speed"]),
    benchmark:
        benchmark_of(STAGES["compare-speed"])
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["compare-speed"])
    container:
        image_of(STAGES["compare-speed"])
    message:
        "Compare with fits of spectral energy distributions"
    shell:
        "mgsflow compare-speed --sed {input.sed:q} --truth {input.truth:q} "
        "--speed {input.speed:q} --posteriors {input.posteriors:q} "
        "--out {output.comparison:q} --threads {threads} 2>&1 | tee {log:q}"
