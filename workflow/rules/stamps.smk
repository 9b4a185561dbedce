# Images: SAS frames, the stamps cut from them, sharded by field.


# A simulated sky's frames in SAS layout, shard by shard; gone once the stamps are cut.
rule simulate_frames:
    input:
        selected=f"{RUN}/catalogue/selected.parquet",
        truth=f"{RUN}/sky/truth.parquet",
    output:
        temp(directory(f"{RUN}/sky/sas/{{shard}}")),
    params:
        stamps=section("stamps", *CUT),
        simulated=section("simulated"),
        seed=config["seed"],
        code=code("simulate-frames"),
    log:
        f"{RUN}/logs/simulate-frames-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/simulate-frames-{{shard}}.tsv"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Simulate frames, shard {wildcards.shard}"
    shell:
        "mgsflow simulate-frames --selected {input.selected:q} --truth {input.truth:q} "
        "--shard {wildcards.shard} --stamps {params.stamps:q} --simulated {params.simulated:q} "
        "--seed {params.seed} --out {output:q} --threads {threads} 2>&1 | tee {log:q}"


# The stamps of a shard's galaxies, from frames, a cutout service or image files.
rule stamps:
    input:
        selected=f"{RUN}/catalogue/selected.parquet",
        frames=only_if(SKY == "simulated", f"{RUN}/sky/sas/{{shard}}"),
        folder=only_if(OWN_IMAGES, config["catalogue"]["stamp_folder"]),
    output:
        shard=f"{RUN}/stamps/shard-{{shard}}.h5",
        dropped=f"{RUN}/catalogue/dropped/stamps-{{shard}}.parquet",
    params:
        stamps=section("stamps", *CUT),
        sky=SKY,
        sdss=section("sdss", *SERVICE),
        catalogue=section("catalogue", *IMAGE_FILES),
        partial=f"{RUN}/checkpoints/stamps/{{shard}}",
        downloads=f"{RUN}/downloads",
        code=code("stamps"),
    log:
        f"{RUN}/logs/stamps-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/stamps-{{shard}}.tsv"
    threads: THREADS["stamp_threads"]
    resources:
        mem_mb=growing(STAMP_MEMORY),
        runtime=growing(240),
        downloads=int(FROM_SERVICES),
        network=NETWORK,
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Cut stamps, shard {wildcards.shard}"
    shell:
        "mgsflow stamps --selected {input.selected:q} --frames {input.frames:q} "
        "--shard {wildcards.shard} --stamps {params.stamps:q} --sky {params.sky} "
        "--sdss {params.sdss:q} --catalogue {params.catalogue:q} --network {resources.network:q} "
        "--partial {params.partial:q} --downloads {params.downloads:q} "
        "--out {output.shard:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"


# Which shard and row holds which galaxy.
rule index_stamps:
    input:
        expand(f"{RUN}/stamps/shard-{{shard}}.h5", shard=SHARDS),
    output:
        index=f"{RUN}/stamps/index.parquet",
        dropped=f"{RUN}/catalogue/dropped/index-stamps.parquet",
    params:
        masked_max=config["stamps"]["masked_max"],
        code=code("index-stamps"),
    log:
        f"{RUN}/logs/index-stamps.log",
    benchmark:
        f"{RUN}/benchmarks/index-stamps.tsv"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    conda:
        f"{ENVS}/data.yaml"
    container:
        f"{ENVS}/images/data.sif"
    message:
        "Index the stamps"
    shell:
        "mgsflow index-stamps --shards {input:q} --masked-max {params.masked_max} "
        "--out {output.index:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"
