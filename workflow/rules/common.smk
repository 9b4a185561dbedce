# What all rules share: the checked settings, what the run consists of, and what a rule is made of.
import json
import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# The package of this very checkout, whatever else is installed.
sys.path.insert(0, str(Path(workflow.basedir) / "src"))

from mgsflow.config import validate
from mgsflow.core.code import code_digest
from mgsflow.core.contract import Model
from mgsflow.core.errors import UserError
from mgsflow.core.job import hand_into_containers
from mgsflow.estimate import describe
from mgsflow.run import Run, job_name
from mgsflow.site.deployment import EVERY_RUN
from mgsflow.site.start import check_programs, check_rules, check_start, too_many_threads
from mgsflow.stages import STAGES

try:
    settings = validate(config)
    config.update(settings.model_dump(mode="json"))
except UserError as error:
    raise WorkflowError(str(error)) from None

hand_into_containers(os.environ)

# What the run consists of, and where its results lie.
run = Run(settings)
RUN = run.folder
ENVS = f"{workflow.basedir}/envs"
THREADS = config["compute"]

# What a run on SDSS's services asks for, printed before it starts and in a dry run.
if workflow.is_main_process and settings.sky == "sdss":
    print(describe(settings), file=sys.stderr)

# How rules get their environments, checked before the first job; jobs on the nodes do not ask again.
DEPLOYMENT = {method.name.lower() for method in workflow.deployment_settings.deployment_method}


def check_environments(remote):
    """Raise UserError unless each rule of the run gets the environment that it names."""
    names = [*EVERY_RUN, *(["sed"] if run.has_sed else [])]
    check_start(DEPLOYMENT, remote, names, Path(ENVS), os.environ)


if workflow.is_main_process:
    try:
        check_programs(DEPLOYMENT, Path(workflow.basedir))
    except UserError as error:
        raise WorkflowError(str(error)) from None


def section(name, *keys):
    """One section of the settings as JSON with sorted keys, or `keys` of it: all that a rule knows.

    A change in what a rule is given reruns it.
    """
    return json.dumps({key: config[name][key] for key in keys or config[name]}, sort_keys=True)


def code(stage):
    """Digest of the code behind a stage: a rule's param, so that changed code reruns it."""
    return code_digest(STAGES[stage].module)


def inputs(part):
    """The files that a stage, or a table or figure, reads in this run, by name."""
    return run.inputs_of(part)


def models(part):
    """The folders of the models among the inputs of a stage, or of a table or figure: params."""
    names = [name for name, paths in part.reads.items() if isinstance(paths, Model)]
    return {name: _folders(name) for name in names}


def _folders(name):
    return lambda wildcards, input: list(dict.fromkeys(map(os.path.dirname, input[name])))


def outputs(stage):
    """The files that a stage writes, by name."""
    return {name: _declared(output) for name, output in stage.outputs.items()}


def _declared(output):
    path = run.path(output.path)
    path = directory(path) if output.folder else path
    return temp(path) if output.temporary else path


def shown_outputs(item):
    """The files of a table or figure by name; Snakemake's own report shows the first of them."""
    paths = {name: f"{RUN}/{path}" for name, path in item.writes.items()}
    first = next(iter(paths))
    caption = f"../report/{item.name}.rst"
    return paths | {first: report(paths[first], caption=caption, category=item.category)}


def shown_command(item):
    """The command of a table or figure, a rule's param.

    A rule's shell string is read when the job runs, long after a loop over rules has ended: it
    must not name the loop's variable.
    """
    options = run.options_of(item)
    folders = models(item)

    def command(wildcards, input, output):
        taken = {name: folders[name](wildcards, input) for name in folders}
        taken = {name: taken.get(name, input[name]) for name in item.reads} | options
        taken["out"] = output[0]
        words = ["mgsflow", item.command]
        for name, value in taken.items():
            values = [value] if isinstance(value, str) else value
            words += [f"--{name.replace('_', '-')}", *values]
        return shlex.join(words)

    return command


def log_of(part):
    return f"{RUN}/logs/{job_name(part)}.log"


def benchmark_of(part):
    return f"{RUN}/benchmarks/{job_name(part)}.tsv"


def conda_of(part):
    return f"{ENVS}/{part.environment}.yaml"


def image_of(part):
    return f"{ENVS}/images/{part.environment}.sif"


def growing(amount):
    """A resource of which each further attempt gets more. How many attempts is the profile's affair."""
    return lambda wildcards, attempt: amount * attempt


# How the services are asked: a resource, not a param, since it changes no result and reruns nothing.
NETWORK = section("network")
# Work in progress lies outside of what rules declare, since Snakemake deletes that.
CHECKPOINTS = f"{RUN}/checkpoints"


wildcard_constraints:
    shard=r"\d+",
    variant="|".join(map(re.escape, run.variants)),
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
