"""`mgsflow doctor` as it is called: what it prints, its code, and the plan in docs/hpc.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_site import REPOSITORY, Programs, request, site, training

from mgsflow import cli
from mgsflow.config import validate
from mgsflow.estimate import estimate
from mgsflow.site import doctor
from mgsflow.site.deployment import used_environments
from mgsflow.site.findings import failure, look, ok, warning
from mgsflow.site.plan_table import estimated_hours, plan_table
from mgsflow.site.profile import read_site

FINDINGS = [
    ok("disk", "1 TB free"),
    warning("preemption", "PreemptMode=CANCEL", "Choose other partitions."),
    failure("partition a100", "no such partition", "Put another in its place."),
]


@pytest.fixture
def found(monkeypatch):
    """The doctor of a site that has these findings."""
    findings = list(FINDINGS)
    monkeypatch.setattr(doctor, "read_site", lambda *_, **__: site())
    monkeypatch.setattr(doctor, "examine", lambda *_: iter(findings))
    return findings


def test_each_finding_stands_with_its_remedy_and_a_failure_is_code_2(found, capsys):
    assert cli.main(["doctor"]) == 2
    said = capsys.readouterr()
    text = re.sub(r"[│\s]+", " ", said.out)
    for finding in found:
        assert finding.seen in text
        assert finding.remedy in text
    assert "1 ok, 1 warnings, 1 failures" in text
    assert "1 of 3 findings are failures" in said.err


def test_warnings_alone_are_code_0(found, capsys):
    found.pop()
    assert cli.main(["doctor"]) == 0
    assert "0 failures" in capsys.readouterr().out


def test_json_is_for_programs(found, capsys):
    assert cli.main(["doctor", "--json"]) == 2
    findings = json.loads(capsys.readouterr().out)
    assert [finding["status"] for finding in findings] == ["ok", "warning", "failure"]
    assert findings[2] == FINDINGS[2].as_json()


def test_a_check_that_breaks_down_is_a_finding_and_the_others_go_on(monkeypatch, capsys):
    def broken():
        yield ok("one", "seen")
        raise ZeroDivisionError("by nought")

    checks = [("one", broken), ("two", lambda: [ok("two", "seen as well")])]
    monkeypatch.setattr(doctor, "checks", lambda *_: iter(checks))
    findings = list(doctor.examine(site(), True, 1.0))
    assert [finding.status for finding in findings] == ["ok", "failure", "ok"]
    assert "ZeroDivisionError: by nought" in findings[1].seen
    assert list(look("one", broken))[:1] == [ok("one", "seen")]


def names(found, submit=True):
    return [name for name, _ in doctor.checks(found, submit, 1.0)]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    programs = Programs(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{programs.folder}:/usr/bin:/bin")
    monkeypatch.chdir(REPOSITORY)
    return programs


def test_what_is_looked_at_depends_on_the_site(programs):
    programs.put_slurm()
    common = ["plan", "profile", "software", "disk"]
    of_slurm = ["SLURM", "partitions", "submission", "account", "preemption", "jobs"]
    assert names(site()) == [*common, *of_slurm]
    assert names(site(), submit=False) == [*common, *of_slurm, "services"]
    here = [*common, "machine", "training", "services"]
    assert names(site(executor="local")) == here


def test_without_a_plan_nothing_is_said_of_what_its_jobs_ask_for(programs):
    programs.put_slurm()
    unplanned = replace(site(), requests=(), trouble="SyntaxError in line 3")
    assert names(unplanned) == [
        "plan",
        "profile",
        "software",
        "disk",
        "SLURM",
        "preemption",
        "jobs",
    ]
    assert used_environments({}) == ["data", "report", "train"]  # images to look at all the same
    findings = list(doctor.examine(unplanned, True, 1.0))
    assert not [found for found in findings if " 0 " in found.seen or "``" in found.seen]


def test_without_slurm_its_partitions_are_not_asked_for(programs):
    programs.put("sinfo", "exit 127")
    assert names(site())[-1] == "SLURM"


def test_jobs_that_were_not_sent_are_a_warning(programs):
    (found,) = doctor._no_jobs_sent()
    assert found.status == "warning"
    assert "--no-submit" in found.remedy


@pytest.mark.slow
def test_a_whole_visit_to_this_machine(monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    arguments = ["--profile", "profiles/local", "--configfile", "config/tiny.yaml", "--json"]
    code = cli.main(["doctor", *arguments])
    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert code == (2 if any(f["status"] == "failure" for f in findings.values()) else 0)
    assert findings["plan"]["status"] == "ok"
    assert findings["software"]["status"] == "ok"
    assert findings["training"]["status"] == "ok"
    assert "Python" in findings["training"]["seen"]
    assert "SkyServer" not in findings  # a simulated sky asks no service


@pytest.mark.slow
def test_a_whole_visit_to_a_slurm_whose_partitions_have_other_names(programs, capsys):
    programs.put_slurm("main|n1|up|infinite|idle|64|256000|gpu:h100:4\n")
    programs.say("sacctmgr", "no accounting", code=1)
    programs.say("sshare", "")
    arguments = ["--configfile", "config/tiny.yaml", "--no-submit", "--json"]
    assert cli.main(["doctor", *arguments]) == 2
    findings = json.loads(capsys.readouterr().out)
    failed = {finding["check"] for finding in findings if finding["status"] == "failure"}
    assert {"partition cpu", "partition a100", "partition t4"} <= failed


def test_the_doctor_needs_no_library_of_the_stages():
    """It runs in the environment of Snakemake alone."""
    modules = sorted(path.stem for path in (REPOSITORY / "src/mgsflow/site").glob("[a-z]*.py"))
    modules.remove("dryrun")  # a process of its own, which is Snakemake's
    imports = "\n".join(f"import mgsflow.site.{name}" for name in modules)
    heavy = "{'numpy', 'pandas', 'torch', 'astropy', 'h5py', 'snakemake', 'requests'}"
    code = f"import sys\n{imports}\nprint(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_probe_needs_only_the_standard_library():
    code = "import sys, mgsflow.site.probe; print('yaml' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_rules_that_ask_for_the_same_stand_in_one_row(programs):
    found = site(
        request("table1", jobs=1),
        request("table2", jobs=1),
        request("stamps", jobs=200, cpus=2, memory=1360, minutes=240),
        training(),
    )
    rows = plan_table(found).splitlines()[2:]
    assert rows == [
        "| stamps | 200 | data | cpu | – | 2 | 1.36 | 4 | 0.17 |",
        "| train_vae | 1 | train | a100 | 1 GPU a100 | 8 | 32 | 10 | 1.50 |",
        "| table1, table2 | 2 | report | cpu | – | 4 | 8 | 0.5 | – |",
        "| all | 203 | – | – | – | – | – | – | – |",
    ]


def test_estimates_are_the_plans():
    paper = validate({})
    run = estimate(paper)
    asked = [request("stamps", jobs=200), request("train_flow", jobs=8), training()]
    hours = estimated_hours(paper, asked)
    assert hours["train_flow"] * 8 == pytest.approx(run.flow_hours)
    assert hours["stamps"] * 200 * paper.compute.stamp_threads == pytest.approx(run.cpu_hours)
    assert hours["train_vae"] == run.vae_hours
    assert "sample_posteriors" not in hours
    assert estimated_hours(validate({"sky": "simulated"}), asked) == {}


@pytest.mark.slow
def test_the_page_shows_the_plan_of_the_papers_run(monkeypatch):
    """`mgsflow doctor --plan` renews it."""
    monkeypatch.chdir(REPOSITORY)
    page = (REPOSITORY / "docs/hpc.md").read_text()
    table = plan_table(read_site(Path("profiles/slurm"), [], attempts=False))
    assert table in page


def test_every_command_of_the_page_is_one(capsys):
    """Options of the doctor that docs/hpc.md names are those that it has."""
    page = (REPOSITORY / "docs/hpc.md").read_text()
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    used = {
        o
        for line in re.findall(r"mgsflow doctor[^`\n]*", page)
        for o in re.findall(r"--[a-z-]+", line)
    }
    assert used
    assert used <= known
