# How accurate and how honest the posteriors are.


# Accuracy, coverage and CRPS of posteriors and baselines on the test set.
rule scores:
    input:
        **inputs(STAGES["scores"]),
    output:
        **outputs(STAGES["scores"]),
    params:
        targets=section("targets"),
        evaluation=section("evaluation"),
        seed=config["seed"],
        code=code("scores"),
    log:
        log_of(STAGES["scores"]),
    benchmark:
        benchmark_of(STAGES["scores"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["scores"])
    container:
        image_of(STAGES["scores"])
    message:
        "Score posteriors and baselines"
    shell:
        "mgsflow scores --features {input.features:q} --selected {input.selected:q} "
        "--posteriors {input.posteriors:q} "
        "--baselines {input.baselines:q} --targets {params.targets:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output.scores:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Aleatoric and epistemic parts of the spread, on the validation set.
rule uncertainty:
    input:
        **inputs(STAGES["uncertainty"]),
    output:
        **outputs(STAGES["uncertainty"]),
    params:
        code=code("uncertainty"),
    log:
        log_of(STAGES["uncertainty"]),
    benchmark:
        benchmark_of(STAGES["uncertainty"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["uncertainty"])
    container:
        image_of(STAGES["uncertainty"])
    message:
        "Split the spread into aleatoric and epistemic"
    shell:
        "mgsflow uncertainty --posteriors {input.posteriors:q} --out {output.uncertainty:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# Whether the test set's posteriors mean what they say.
rule calibration:
    input:
        **inputs(STAGES["calibration"]),
    output:
        **outputs(STAGES["calibration"]),
    params:
        calibration=section("calibration"),
        seed=config["seed"],
        code=code("calibration"),
    log:
        log_of(STAGES["calibration"]),
    benchmark:
        benchmark_of(STAGES["calibration"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["calibration"])
    container:
        image_of(STAGES["calibration"])
    message:
        "Judge the calibration of the posteriors"
    shell:
        "mgsflow calibration --features {input.features:q} --posteriors {input.posteriors:q} "
        "--calibration {params.calibration:q} --seed {params.seed} "
        "--out {output.table:q} --curves {output.curves:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Confusion matrix and scores of the metallicity's detectability.
rule detectability:
    input:
        **inputs(STAGES["detectability"]),
    output:
        **outputs(STAGES["detectability"]),
    params:
        evaluation=section("evaluation"),
        seed=config["seed"],
        code=code("detectability"),
    log:
        log_of(STAGES["detectability"]),
    benchmark:
        benchmark_of(STAGES["detectability"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(16000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["detectability"])
    container:
        image_of(STAGES["detectability"])
    message:
        "Judge the detectability of metallicity"
    shell:
        "mgsflow detectability --posteriors {input.posteriors:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output.detectability:q} "
        "--threads {threads} 2>&1 | tee {log:q}"


# What the test set shares with the sets that trained the models, and the permutation control.
rule leakage:
    input:
        **inputs(STAGES["leakage"]),
    output:
        **outputs(STAGES["leakage"]),
    params:
        **models(STAGES["leakage"]),
        stamps=section("stamps", "provider", "size", "pixel_scale"),
        targets=section("targets"),
        baselines=METHODS,
        evaluation=section("evaluation", "permutations"),
        seed=config["seed"],
        code=code("leakage"),
    log:
        log_of(STAGES["leakage"]),
    benchmark:
        benchmark_of(STAGES["leakage"])
    threads: THREADS["threads"]
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    conda:
        conda_of(STAGES["leakage"])
    container:
        image_of(STAGES["leakage"])
    message:
        "Check that nothing leaks into the test set"
    shell:
        "mgsflow leakage --selected {input.selected:q} --splits {input.splits:q} "
        "--features {input.features:q} --models {params.models:q} "
        "--predictions {input.predictions:q} --stamps {params.stamps:q} "
        "--targets {params.targets:q} --baselines {params.baselines:q} "
        "--evaluation {params.evaluation:q} --seed {params.seed} --out {output.leakage:q} "
        "--threads {threads} 2>&1 | tee {log:q}"
