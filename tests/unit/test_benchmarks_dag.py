"""The overhead of the DAG: jobs read from Snakemake's records, scheduled without any delay."""

import base64
import json
from datetime import datetime

import dag_overhead
import pytest
from dag_overhead import Job, Run, last_run, makespan, overhead, report, stage_of

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 500000)
LOG = "Provided cores: 2\n5 of 5 steps (100%) done\nElapsed time: 0:00:20.500000\n"


def _job(name, start, seconds, inputs=(), threads=1):
    return Job("select", start, start + seconds, threads, frozenset(inputs), frozenset([name]))


def test_jobs_start_when_their_inputs_and_cores_are_free():
    first, other = _job("a", 0, 10), _job("b", 0, 4)
    after = [_job("c", 11, 3, ["a"]), _job("d", 12, 5, ["b"])]
    assert makespan([first, other], cores=2) == 10
    assert makespan([first, other], cores=1) == 14
    # d runs beside a, as soon as b has ended; c waits for a
    assert makespan([first, other, *after], cores=2) == 13
    assert makespan([first, other, *after], cores=1) == 22


def test_a_job_of_two_threads_waits_for_both_cores_and_smaller_ones_go_ahead():
    jobs = [_job("a", 0, 4), _job("wide", 1, 5, threads=2), _job("small", 2, 3)]
    assert makespan(jobs, cores=2) == 9
    assert makespan(jobs, cores=1) == 12  # scaled down, as Snakemake does


def test_an_input_within_a_folder_that_a_job_writes_waits_for_it():
    jobs = [_job("sky/reply", 0, 4), _job("x", 1, 2, ["sky/reply/part-0.csv"])]
    assert makespan(jobs, cores=2) == 6


def test_the_overhead_is_the_schedulers_and_that_of_starting_processes():
    jobs = [_job("a", 103, 4), _job("b", 109, 4, ["a"])]  # 3 s before the first, 2 s between
    found = overhead(Run(100, 15, 2, 2, jobs), {"select": 1.0})
    assert (found.wall, found.scheduled, found.work, found.before) == (15, 8, 6, 3)
    assert found.share == pytest.approx(9 / 15)
    words = report(found, Run(100, 15, 2, 3, jobs))
    assert "Snakemake: 7.0 s (46.7%)" in words and "Starting processes: 2.0 s (13.3%)" in words
    assert "1 jobs have no record" in words and "60.0% of the wall time" in words
    assert "8 core-seconds idle" in words


def _record(folder, output, rule, start, end, inputs=(), command=""):
    name = base64.urlsafe_b64encode(output.encode()).decode()
    path = folder / ".snakemake" / "metadata" / f"@{name[:8]}" / name[8:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "rule": rule,
                "log": [f"{rule}-{end}.log"],
                "input": list(inputs),
                "starttime": BEGIN.timestamp() + start,
                "endtime": BEGIN.timestamp() + end,
                "shellcmd": command,
            }
        )
    )


def test_the_run_is_read_from_snakemakes_records(tmp_path):
    log = tmp_path / ".snakemake" / "log" / f"{BEGIN:%Y-%m-%dT%H%M%S.%f}.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text(LOG)
    wide = "mgsflow train-vae --compute '{\"vae_threads\": 2}' --out x"
    _record(tmp_path, "results/x/catalogue/selected.parquet", "select", 2.01, 4)
    _record(tmp_path, "results/x/catalogue/dropped.parquet", "select", 2, 4)
    _record(tmp_path, "results/x/vae/model.json", "train_vae", 5, 9, ["a"], wide)
    _record(tmp_path, "results/x/figures/figure2a.png", "figure2a", 9, 11, (), "m f --threads 3")
    _record(tmp_path, "results/x/old", "umap", -30, -20)
    run = last_run(tmp_path)
    assert (run.seconds, run.cores, run.planned) == (20.5, 2, 4)
    assert [job.stage for job in run.jobs] == ["select", "train-vae", "figure2"]
    assert [job.threads for job in run.jobs] == [1, 2, 3]
    assert [round(job.seconds, 2) for job in run.jobs] == [2, 4, 2]
    assert len(run.jobs[0].outputs) == 2 and run.jobs[1].inputs == {"a"}


def test_without_a_finished_run_there_is_nothing_to_tell(tmp_path):
    log = tmp_path / ".snakemake" / "log" / f"{BEGIN:%Y-%m-%dT%H%M%S.%f}.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text("Provided cores: 2\n")
    with pytest.raises(ValueError, match="no run that came to its end"):
        last_run(tmp_path)


def test_every_stage_is_found_by_the_name_of_its_rule():
    names = {"figure3b": "figure3", "table1": "table1", "sample_posteriors": "sample-posteriors"}
    assert {rule: stage_of(rule) for rule in names} == names
    assert set(dag_overhead._OWN_THREADS) <= set(dag_overhead.STAGES)
