# What all rules share: the checked settings, where the results lie, and which parts the run has.
import json
import os
import re
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# The package of this very checkout, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from mgsflow.config import validate
from mgsflow.core.code import code_digest
from mgsflow.core.errors import UserError
from mgsflow.core.job import hand_into_containers
from mgsflow.core.variants import inputs_of
from mgsflow.estimate import describe
from mgsflow.site.deployment import EVERY_RUN
from mgsflow.site.start import check_programs, check_start, too_many_threads
from mgsflow.stages import STAGES

try:
    settings = validate(config)
    config.update(settings.model_dump(mode="json"))
except UserError as error:
    raise WorkflowError(str(error)) from None

hand_into_containers(os.environ)

# What a run on SDSS's services asks for, said before it starts and in a dry run.
if workflow.is_main_process and settings.sky == "sdss":
    print(describe(settings), file=sys.stderr)

# How rules get their environments, held before the first job; jobs on the nodes do not ask again.
DEPLOYMENT = {method.name.lower() for method in workflow.deployment_settings.deployment_method}


def check_environments(remote):
    """Raise UserError unless each rule of the run gets the environment that it names."""
    names = [*EVERY_RUN, *(["sed"] if HAS_SED else [])]
    check_start(DEPLOYMENT, remote, names, Path(ENVS), os.environ)


if workflow.is_main_process:
    try:
        check_programs(DEPLOYMENT, Path(workflow.basedir))
    except UserError as error:
        raise WorkflowError(str(error)) from None


RUN = f"results/{config['run']}"


def section(name, *keys):
    """One section of the settings as JSON with sorted keys, or `keys` of it: all that a rule knows.

    A change in what a rule is given reruns it.
    """
    return json.dumps({key: config[name][key] for key in keys or config[name]}, sort_keys=True)


def code(stage):
    """Digest of the code behind a stage: a rule's param, so that changed code reruns it."""
    return code_digest(STAGES[stage].module)


def only_if(condition, path):
    """`path` as an input if the run has it, else no input."""
    return path if condition else []


def flow_files(flow, name):
    """A file of one branch's model, if the run has that branch."""
    return only_if(flow in FLOWS, f"{RUN}/flows/{flow}/{{variant}}/{name}")


def growing(amount):
    """A resource of which each further attempt gets more. How many attempts is the profile's affair."""
    return lambda wildcards, attempt: amount * attempt


# What the run has. A part that is left out has no jobs at all.
SKY = config["sky"]
TARGETS = config["targets"]
VARIANTS = config["flows"]["variants"]
HAS_STAMPS = config["stamps"]["provider"] != "none"
# Whether the images come over the network, and not from a simulated sky or from files.
FROM_SERVICES = SKY != "simulated" and config["stamps"]["provider"] in ("frames", "legacy", "jpeg")
HAS_BANDS = bool(config["photometry"]["bands"])
HAS_REDSHIFT = "redshift" in TARGETS["properties"]
HAS_METALLICITY = "metallicity" in TARGETS["properties"]
# What the variants see, each once: affine and spline flows may share their inputs.
INPUTS = sorted({inputs_of(variant) for variant in VARIANTS})
HAS_CONDITIONAL_VAE = HAS_STAMPS and "conditional_vae" in config["baselines"]["methods"]
REST_FRAME = any(inputs.endswith("rest_frame") for inputs in INPUTS)
# Exact posteriors can be had of a simulated sky, by photometry whose likelihood is known; they are
# set beside the first variant that sees it.
ORACLE_OF = next((v for v in VARIANTS if inputs_of(v) == "photometry-observed"), None)
HAS_ORACLE = (
    SKY == "simulated"
    and ORACLE_OF is not None
    and config["oracle"]["galaxies"] > 0
    and config["photometry"]["deredden"]
    and config["photometry"]["bands"] == ["u", "g", "r", "i", "z"]
)
# Fits of the spectral energy distribution are judged by a simulated sky's truth.
HAS_SED = (
    SKY == "simulated"
    and config["sed"]["galaxies"] > 0
    and config["photometry"]["deredden"]
    and config["photometry"]["bands"] == ["u", "g", "r", "i", "z"]
)
FLOWS = [f for f, t in (("property", TARGETS["properties"]), ("line", TARGETS["lines"])) if t]
SHARDS = [f"{i:03d}" for i in range(config["stamps"]["shards"])] if HAS_STAMPS else []
ENVS = f"{workflow.basedir}/envs"
THREADS = config["compute"]
# The cuts that SkyServer makes; a change in another asks it for nothing again.
QUERY_CUTS = ("redshift_min", "redshift_max", "legacy_primary", "target_bits", "reliable")
# What the stamps of a shard depend on: neither on the cut of the index, nor on other services.
PROVIDER = config["stamps"]["provider"]
OWN_IMAGES = PROVIDER == "files"
CUT = [key for key in config["stamps"] if key != "masked_max"]
SERVICE = {"legacy": ("legacy_url",), "jpeg": ("jpeg_url",)}.get(
    PROVIDER, ("data_release", "sas_url")
)
IMAGE_FILES = ("stamp_folder", "stamp_format")
# Of a job that cuts stamps [MB]: frames of the fields in work and their neighbours, unpacked
STAMP_MEMORY = 1000 + 40 * (config["network"]["downloads"] + 3) + 40 * THREADS["stamp_threads"]
# How the services are asked: a resource, not a param, since it changes no result and reruns nothing.
NETWORK = section("network")


wildcard_constraints:
    shard=r"\d+",
    variant="|".join(map(re.escape, VARIANTS)),
    flow="property|line",


def say_slow(cores):
    """Tell whoever starts a run on this machine of settings that would make it slow."""
    if words := too_many_threads(config["compute"], cores):
        print(f"Slow: {words}", file=sys.stderr)


# Known here alone: whether jobs are submitted. Reached neither by --unlock nor by a dry run.
onstart:
    if workflow.is_main_process:
        try:
            check_environments(remote=workflow.non_local_exec)
        except UserError as error:
            raise WorkflowError(str(error)) from None
        if not workflow.non_local_exec:
            say_slow(workflow.cores)


if workflow.is_main_process and workflow.output_settings.dryrun:
    try:
        check_environments(remote=False)
    except UserError as error:
        print(f"A run would stop here: {error}", file=sys.stderr)
