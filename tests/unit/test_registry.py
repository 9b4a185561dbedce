"""The registry of stages, tables and figures agrees with itself, with the rules and the docs."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from mgsflow.config import Settings
from mgsflow.config.read import read_settings
from mgsflow.contracts import contract_table
from mgsflow.core.contract import Model, Stage
from mgsflow.core.signature import declared
from mgsflow.report.contents import ITEMS, Item
from mgsflow.run import Run, wildcards_of
from mgsflow.stages import ENCODER, RULES, STAGES

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAYS = {
    "paper": [],
    "tiny": ["config/tiny.yaml"],
    "demo": ["config/demo.yaml"],
    "oracle": ["config/oracle.yaml"],
    "catalogue": ["tests/real/skyserver.yaml"],
    "jpeg": ["tests/real/jpeg.yaml"],
}
# Files that only make Snakemake wait, and that no option takes.
NO_OPTION = {("stamps", "folder")}


def run_of(name: str) -> Run:
    overlays = [REPOSITORY / path for path in OVERLAYS[name]]
    return Run(read_settings(REPOSITORY / "config.yaml", overlays))


def with_changes(**sections: dict) -> Run:
    """The tiny run with other settings of some sections."""
    base = run_of("tiny").settings
    parts = {name: getattr(base, name).model_copy(update=new) for name, new in sections.items()}
    return Run(base.model_copy(update=parts))


@pytest.mark.parametrize("part", RULES.values(), ids=RULES)
def test_when_a_run_has_it_is_a_property_of_the_run(part):
    assert not part.when or isinstance(getattr(Run, part.when), property)


@pytest.mark.parametrize("part", RULES.values(), ids=RULES)
def test_each_file_that_is_read_is_an_option_of_the_command(part):
    stage = STAGES[part.command if isinstance(part, Item) else part.name]
    options = inspect.signature(declared(stage.module, stage.function)).parameters
    names = {name for name in part.reads if (stage.name, name) not in NO_OPTION}
    names |= set(part.options) if isinstance(part, Item) else set()
    assert names <= options.keys()


def test_each_file_that_is_read_is_written_by_a_stage_before():
    """The order of the registry is that of the DAG, and no path is misspelt."""
    # an encoder that the run does not train has neither history nor telemetry
    written = {path for path in ENCODER.written.values() if path not in ENCODER.files}
    for part in RULES.values():
        for paths in part.reads.values():
            for path in paths if isinstance(paths, tuple) else (paths,):
                files = path.files if isinstance(path, Model) else (path,)
                ours = {_generic(file) for file in files if not file.startswith("@")}
                assert ours <= written, part.rule
        if isinstance(part, Stage):
            written |= {_generic(output.path) for output in part.outputs.values()}


def _generic(path: str) -> str:
    """A path with one spelling for each wildcard: a flow and a variant may be named."""
    path = path.replace("{encoder}", ENCODER.folder)
    for name in ("first_variant", "oracle_variant"):
        path = path.replace(f"{{{name}}}", "{variant}")
    return path.replace("flows/property/", "flows/{flow}/").replace("flows/line/", "flows/{flow}/")


def _listed(files: list[str] | str) -> list[str]:
    return files if isinstance(files, list) else [files]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_archive_holds_what_every_table_and_figure_is_made_of(name):
    """So that each can be drawn again from it; draws where the settings keep them."""
    run = run_of(name)
    held = set(run.archived)
    assert len(run.items) > 10
    for item in run.items:
        for path in (file for files in run.inputs_of(item).values() for file in _listed(files)):
            is_draws = path.startswith(f"{run.folder}/posteriors/")
            assert path in held or (is_draws and not run.settings.archive.posteriors), item.name


@pytest.mark.parametrize("keep", [False, True])
def test_the_settings_leave_draws_and_stamps_out_of_the_archive(keep):
    held = with_changes(archive={"posteriors": keep, "stamps": keep}).archived
    assert any(path.endswith("/posteriors/photometry-observed.h5") for path in held) is keep
    assert any("/stamps/shard-000.h5" in path for path in held) is keep
    assert not any("/sky/reply" in path or "/dropped/" in path for path in held)


def test_a_run_without_stamps_has_nothing_that_is_made_of_them():
    run = run_of("catalogue")
    assert not run.has_stamps
    rules = {part.rule for part in (*run.stages, *run.items)}
    assert not {"train_vae", "encode", "stamps", "directions", "figure3a"} & rules
    assert not any("/vae/" in path or "/stamps/" in path for path in run.archived)
    assert run.inputs_of(STAGES["features"])["latents"] == []


def test_a_run_of_properties_alone_has_no_line_flow_nor_what_shows_it():
    run = with_changes(targets={"lines": []})
    assert run.flows == ["property"]
    assert "figure2b" not in {item.name for item in run.items}
    assert run.inputs_of(STAGES["sample-posteriors"])["line_model"] == []
    assert not any("/flows/line/" in path for path in run.files)


def test_a_wildcard_stays_where_the_rule_is_repeated_and_is_filled_elsewhere():
    run = run_of("tiny")
    sampled = STAGES["sample-posteriors"]
    assert wildcards_of(sampled) == {"variant"}
    inputs = run.inputs_of(sampled)
    assert inputs["line_model"][0] == "results/tiny/flows/line/{variant}/model.safetensors"
    scored = run.inputs_of(STAGES["scores"])
    assert scored["posteriors"] == [f"results/tiny/posteriors/{v}.h5" for v in run.variants]


def test_a_run_reads_its_users_files_where_its_sky_says_so():
    own = run_of("catalogue").inputs_of(STAGES["select"])
    assert own["source"] and own["reply"] == []
    told = Settings.model_validate(Settings().model_dump() | {"sdss": {"reply_file": "mine.csv"}})
    assert Run(told).inputs_of(STAGES["select"])["reply"] == ["mine.csv"]
    assert "query-sdss" not in {stage.name for stage in Run(told).stages}


def test_the_page_of_contracts_holds_the_registrys_table():
    page = (REPOSITORY / "docs/contracts.md").read_text(encoding="utf-8")
    assert contract_table() in page, "run: mgsflow contracts, and put its table into the page"


def test_every_table_and_figure_has_a_rule_of_its_own_and_a_stage():
    assert len({item.rule for item in ITEMS.values()}) == len(ITEMS)
    assert {item.command for item in ITEMS.values()} <= STAGES.keys()
