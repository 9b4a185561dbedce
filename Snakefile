# From SDSS's services (or your own files, or a simulated sky) to every table and figure.
# Settings: config.yaml, and an overlay given with --configfile. How jobs run: profiles/.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/stamps.smk"
include: "workflow/rules/vae.smk"
include: "workflow/rules/flows.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/explore.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/archive.smk"


# The report and the archive, and with them everything else.
rule all:
    default_target: True
    input:
        f"{RUN}/config.yaml",
        f"{RUN}/report.html",
        f"{RUN}/archive/{config['run']}.crate.zip",


try:
    check_rules(workflow.rules)
except UserError as error:
    raise WorkflowError(str(error)) from None
