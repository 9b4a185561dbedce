# The archive of the run: what can be verified and rerun years later.
from mgsflow.archive.source import source_files


# Results, locks and source in one RO-Crate, each file with its digest.
rule archive:
    input:
        files=run.archived,
        snakefile=f"{workflow.basedir}/Snakefile",
        source=[f"{workflow.basedir}/{path}" for path in source_files(Path(workflow.basedir))],
    output:
        **outputs(STAGES["archive"]),
    params:
        root=subpath(output.crate, ancestor=2),
        repository=subpath(input.snakefile, parent=True),
        code=code("archive"),
    log:
        log_of(STAGES["archive"]),
    benchmark:
        benchmark_of(STAGES["archive"])
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["archive"])
    container:
        image_of(STAGES["archive"])
    message:
        "Archive"
    shell:
        "mgsflow archive --files {input.files:q} --root {params.root:q} --repository "
        "{params.repository:q} --out {output.crate:q} --threads {threads} 2>&1 | tee {log:q}"
