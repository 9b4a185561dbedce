# Every table and figure of the paper and some more (mgsflow.report.contents), and their page.
for item in run.items:

    rule:
        name:
            item.rule
        input:
            **inputs(item),
        output:
            **shown_outputs(item),
        params:
            command=shown_command(item),
            code=code(item.command),
        log:
            log_of(item),
        benchmark:
            benchmark_of(item)
        threads: 1
        resources:
            mem_mb=growing(4000),
            runtime=growing(30),
        conda:
            conda_of(item)
        container:
            image_of(item)
        message:
            item.title
        shell:
            "{params.command} --threads {threads} 2>&1 | tee {log:q}"


# One page with every table and figure.
rule report:
    input:
        **inputs(STAGES["report"]),
        shown=run.shown,
        captions=[f"{workflow.basedir}/workflow/report/{item.name}.rst" for item in run.items],
    output:
        **outputs(STAGES["report"]),
    params:
        **models(STAGES["report"]),
        run=config["run"],
        sky=config["sky"],
        code=code("report"),
    log:
        log_of(STAGES["report"]),
    benchmark:
        benchmark_of(STAGES["report"])
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["report"])
    container:
        image_of(STAGES["report"])
    message:
        "Report"
    shell:
        "mgsflow report --shown {input.shown:q} --captions {input.captions:q} "
        "--config {input.config:q} --encoder {params.encoder:q} --flows {params.flows:q} "
        "--run {params.run:q} --sky {params.sky} --out {output.page:q} --threads {threads} "
        "2>&1 | tee {log:q}"
