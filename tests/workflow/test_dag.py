"""The whole DAG on a tiny sky: what it makes, what reruns when, and what stops it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mgsflow.config.read import read_settings
from mgsflow.report.contents import ITEMS
from mgsflow.run import Run
from mgsflow.stages import RULES

pytestmark = pytest.mark.slow

# A change in a section, and the rules that read the section themselves.
SECTIONS = {
    "seed: 7": {
        "simulate_catalogue",
        "simulate_frames",
        "select",
        "splits",
        "train_vae",
        "train_flow",
        "sample_posteriors",
        "baselines",
        "train_conditional_vae",
        "scores",
        "calibration",
        "detectability",
        "anomalies",
        "out_of_distribution",
        "directions",
        "leakage",
        "oracle",
        "table_oracle",
        "umap",
        "speed",
    },
    "simulated: {psf_fwhm: 1.4}": {
        "simulate_catalogue",
        "simulate_frames",
        "oracle",
        "anomalies",
    },
    "selection: {redshift_max: 0.29}": {"select", "oracle"},
    "targets: {flux_max: 9.0e+4}": {
        "targets",
        "splits",
        "features",
        "train_flow",
        "baselines",
        "train_conditional_vae",
        "directions",
        "leakage",
        "oracle",
        "scores",
        "umap",
        "figure2",
        "figure4",
        "table1",
        "table2",
    },
    "photometry: {asinh_to_ab: false}": {
        "photometry",
        "splits",
        "features",
        "train_flow",
        "oracle",
        "anomalies",
        "umap",
    },
    "stamps: {edge: mask}": {"simulate_frames", "stamps", "train_vae"},
    "splits: {train: 0.65}": {"splits"},
    "vae: {epochs: 3}": {"train_vae"},
    "flows: {dropout: 0.2}": {"train_flow"},
    "posteriors: {draws: 44}": {"sample_posteriors"},
    "baselines: {neighbours: 5}": {"baselines", "leakage"},
    "baselines: {conditional_vae: {free: 3}}": {"train_conditional_vae"},
    "evaluation: {permutations: 3}": {
        "scores",
        "detectability",
        "directions",
        "leakage",
        "umap",
        "speed",
    },
    "evaluation: {bootstrap: 21}": {
        "scores",
        "detectability",
        "directions",
        "out_of_distribution",
        "umap",
        "speed",
    },
    "calibration: {alpha: 0.02}": {"calibration"},
    "oracle: {galaxies: 11}": {"oracle"},
    "archive: {posteriors: false}": {"archive"},
    "compute: {device: cpu}": {
        "train_vae",
        "encode",
        "train_flow",
        "train_conditional_vae",
        "sample_posteriors",
        "oracle",
        "out_of_distribution",
        "speed",
    },
}
# The resolved settings are an output of their own, which the report shows and the archive holds.
ALWAYS = {"all", "resolved_config", "report", "archive"}


@pytest.fixture(scope="session")
def below(tiny) -> dict[str, set[str]]:
    """For each rule, the rules that depend on it, at any depth: from Snakemake's own graph."""
    dot = tiny.snakemake("--rulegraph").stdout
    names = dict(re.findall(r'(\d+)\[label ?= ?"([^"\\]+)', dot))
    edges = [(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot)]
    graph: dict[str, set[str]] = {name: set() for name in names.values()}
    for parent, child in edges:
        graph[parent].add(child)

    def descend(rule: str) -> set[str]:
        return {rule}.union(*(descend(child) for child in graph[rule]))

    return {rule: descend(rule) for rule in graph}


def test_the_run_makes_every_file_of_the_registry_and_no_other(tiny):
    folder = tiny.folder / "results/tiny"
    made = {
        str(path.relative_to(tiny.folder))
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name not in ("logs", "benchmarks")
    }
    run = Run(read_settings(tiny.folder / "config.yaml", [tiny.folder / "config/tiny.yaml"]))
    promised = set(run.shown)
    for path, output in run.files.items():
        if output.folder and not output.temporary:
            inside = {name for name in made if name.startswith(f"{run.folder}/{path}/")}
            assert inside, path
            promised |= inside
        elif not output.temporary:
            promised.add(f"{run.folder}/{path}")
    assert made == promised
    assert len(made) == 153


def test_every_rule_of_the_run_is_of_the_registry_and_every_stage_has_one(tiny):
    """Snakemake itself refuses a rule that does not agree with its stage: see check_rules."""
    listed = set(tiny.snakemake("--list-rules").stdout.split()) - {"all"}
    run = Run(read_settings(tiny.folder / "config.yaml", [tiny.folder / "config/tiny.yaml"]))
    absent = {item.rule for item in ITEMS.values()} - {item.rule for item in run.items}
    assert listed == RULES.keys() - absent


@pytest.mark.parametrize(
    ("line", "wrong", "words"),
    [
        ("    threads: 1\n", "    threads: 1\n    retries: 2\n", "belongs to the profile"),
        ('image_of(STAGES["account"])', 'image_of(STAGES["scores"])', "account: names the env"),
        ("rule account:", "rule accounts:", "accounts: no stage"),
    ],
)
def test_a_rule_that_does_not_agree_with_its_stage_is_refused(checkout, line, wrong, words):
    path = checkout.folder / "workflow/rules/sample.smk"
    before = path.read_text()
    try:
        path.write_text(before.replace(line, wrong, 1))
        done = checkout.snakemake("--dry-run")
    finally:
        path.write_text(before)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert words in output and "Traceback" not in output


def test_a_second_run_has_nothing_to_do(tiny):
    assert tiny.plan() == {}


@pytest.mark.parametrize("overlay", SECTIONS)
def test_a_changed_section_reruns_its_own_stages_and_those_below(tiny, below, overlay):
    own = SECTIONS[overlay] & below.keys()
    expected = ALWAYS.union(*(below[rule] for rule in own))
    assert set(tiny.plan(overlay)) == expected


def test_sed_fitting_is_planned_on_a_simulated_sky_that_asks_for_it(checkout):
    before, after = checkout.plan(), checkout.plan("sed: {galaxies: 3}")
    asked = {"fit_sed", "compare_speed", "table_sed"}
    assert asked <= after.keys() and not asked & before.keys()
    # of a run that has been made before, only what shows the comparison is made again
    assert {rule: after[rule] for rule in before} == before
    real = checkout.plan("sed: {galaxies: 3}", configfiles=("config.yaml",))
    assert not {"fit_sed", "compare_speed", "table_sed"} & real.keys()


def test_another_family_of_flows_trains_its_own_alone(tiny, below):
    """Neither the inputs are joined again, nor the baselines or the other variants trained."""
    variants = [
        "images_photometry-rest_frame",
        "images_photometry-observed",
        "photometry-rest_frame",
        "photometry-observed",
        "photometry-observed+spline",
    ]
    jobs = tiny.plan(f"flows: {{variants: [{', '.join(variants)}]}}")
    assert (jobs["train_flow"], jobs["sample_posteriors"]) == (2, 1)
    judged = {"scores", "uncertainty", "calibration", "detectability", "leakage"}
    assert judged | {"figure_training", "table_cost"} <= jobs.keys()
    assert not {"features", "baselines", "train_vae", "umap", "oracle"} & jobs.keys()


@pytest.mark.parametrize(
    ("module", "own"),
    [
        ("models/encoders/vae.py", "train_vae"),
        ("sample/splits.py", "splits"),
        ("evaluation/scores.py", "scores"),
        ("report/figure2.py", "figure2a"),
    ],
)
def test_changed_code_reruns_what_depends_on_it(tiny, below, module, own):
    path = tiny.folder / "src/mgsflow" / module
    before = path.read_text()
    try:
        path.write_text(before + "\n# a comment\n")
        assert set(tiny.plan()) <= {"all", "archive"}, "but for the archive, which holds the source"
        path.write_text(before + "\n_CHANGED = True\n")
        rerun = set(tiny.plan())
    finally:
        path.write_text(before)
    assert own in rerun
    assert rerun <= below["simulate_catalogue"] | ALWAYS
    assert "simulate_catalogue" not in rerun and "select" not in rerun
    assert rerun >= below[own]


def test_a_rule_alone_prints_a_command_that_can_be_pasted(tiny):
    done = tiny.snakemake("--dry-run", "--printshellcmds", "--forcerun", "splits")
    command = re.search(r"mgsflow splits .*? --threads \d", done.stdout)[0]
    output = tiny.folder / "results/tiny/catalogue/splits.parquet"
    before = output.read_bytes()
    words = __import__("shlex").split(command)
    words[words.index("--out") + 1] = str(tiny.folder / "again.parquet")
    words[words.index("--dropped") + 1] = str(tiny.folder / "dropped.parquet")
    assert tiny.mgsflow(*words[1:]).returncode == 0
    assert (tiny.folder / "again.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ("vae: {laten: 8}", "vae.laten: no such key"),
        ("vae: {learning_rate: 1e-4}", "write 1.0e-04, with a decimal point"),
        ("flows: {members: two}", "flows.members"),
        ("simulated: {galaxies: -1}", "simulated.galaxies"),
    ],
)
def test_wrong_settings_stop_before_any_job(checkout, overlay, words):
    done = checkout.snakemake("--dry-run", overlay=overlay)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert words in output
    assert "Traceback" not in output


def test_snakemakes_own_report_holds_every_table_and_figure_with_its_caption(tiny):
    page = tiny.folder / "report.html"
    done = tiny.snakemake("--report", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    for path in (tiny.folder / "results/tiny/figures").glob("*.pdf"):
        assert path.name in text
    for path in (tiny.folder / "results/tiny/tables").glob("*.csv"):
        assert path.name in text


def test_the_archive_verifies_and_notices_tampering(tiny):
    crate = next((tiny.folder / "results/tiny/archive").glob("*.zip"))
    assert tiny.mgsflow("verify", "--path", crate).returncode == 0
    damaged = tiny.folder / "damaged.zip"
    content = bytearray(crate.read_bytes())
    content[len(content) // 2] ^= 0xFF
    Path(damaged).write_bytes(content)
    done = tiny.mgsflow("verify", "--path", damaged)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_the_papers_run_plans_its_shards_and_every_rule_but_the_simulation(checkout):
    jobs = checkout.plan(configfiles=("config.yaml",))
    assert (jobs["stamps"], jobs["query_sdss"], jobs["train_flow"]) == (200, 1, 8)
    assert not {"simulate_catalogue", "simulate_frames"} & jobs.keys()
    assert sum(jobs.values()) < 300
