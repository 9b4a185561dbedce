# Images: SAS frames, the stamps cut from them, sharded by field.
# What the stamps of a shard depend on: neither on the cut of the index, nor on other services.
PROVIDER = config["stamps"]["provider"]
CUT = [key for key in config["stamps"] if key != "masked_max"]
SERVICE = {"legacy": ("legacy_url",), "jpeg": ("jpeg_url",)}.get(
    PROVIDER, ("data_release", "sas_url")
)
IMAGE_FILES = ("stamp_folder", "stamp_format")
# Of a job that cuts stamps [MB]: frames of the fields in work and their neighbours, unpacked
STAMP_MEMORY = 1000 + 40 * (config["network"]["downloads"] + 3) + 40 * THREADS["stamp_threads"]


# A simulated sky's frames in SAS layout, shard by shard; gone once the stamps are cut.
rule simulate_frames:
    input:
        **inputs(STAGES["simulate-frames"]),
    output:
        **outputs(STAGES["simulate-frames"]),
    params:
        stamps=section("stamps", *CUT),
        simulated=section("simulated"),
        seed=config["seed"],
        code=code("simulate-frames"),
    log:
        log_of(STAGES["simulate-frames"]),
    benchmark:
        benchmark_of(STAGES["simulate-frames"])
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    conda:
        conda_of(STAGES["simulate-frames"])
    container:
        image_of(STAGES["simulate-frames"])
    message:
        "Simulate frames, shard {wildcards.shard}"
    shell:
        "mgsflow simulate-frames --selected {input.selected:q} --truth {input.truth:q} "
        "--shard {wildcards.shard} --stamps {params.stamps:q} --simulated {params.simulated:q} "
        "--seed {params.seed} --out {output.frames:q} --threads {threads} 2>&1 | tee {log:q}"


# The stamps of a shard's galaxies, from frames, a cutout service or image files.
rule stamps:
    input:
        **inputs(STAGES["stamps"]),
    output:
        **outputs(STAGES["stamps"]),
    params:
        stamps=section("stamps", *CUT),
        sky=config["sky"],
        sdss=section("sdss", *SERVICE),
        catalogue=section("catalogue", *IMAGE_FILES),
        partial=f"{CHECKPOINTS}/stamps/{{shard}}",
        downloads=f"{RUN}/downloads",
        code=code("stamps"),
    log:
        log_of(STAGES["stamps"]),
    benchmark:
        benchmark_of(STAGES["stamps"])
    threads: THREADS["stamp_threads"]
    resources:
        mem_mb=growing(STAMP_MEMORY),
        runtime=growing(240),
        downloads=int(run.downloads_images),
        network=NETWORK,
    conda:
        conda_of(STAGES["stamps"])
    container:
        image_of(STAGES["stamps"])
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
        **inputs(STAGES["index-stamps"]),
    output:
        **outputs(STAGES["index-stamps"]),
    params:
        masked_max=config["stamps"]["masked_max"],
        code=code("index-stamps"),
    log:
        log_of(STAGES["index-stamps"]),
    benchmark:
        benchmark_of(STAGES["index-stamps"])
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    conda:
        conda_of(STAGES["index-stamps"])
    container:
        image_of(STAGES["index-stamps"])
    message:
        "Index the stamps"
    shell:
        "mgsflow index-stamps --shards {input.shards:q} --masked-max {params.masked_max} "
        "--out {output.index:q} --dropped {output.dropped:q} --threads {threads} "
        "2>&1 | tee {log:q}"
