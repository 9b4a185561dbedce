"""The doctor's jobs: a small SLURM of shell scripts that runs them here, and what they find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_site import PROBED, REPOSITORY, Programs, request, site, training

from mgsflow.core.job import JOB_VARIABLES
from mgsflow.site import jobs, probe
from mgsflow.site.checks_probe import FOLDER, check_jobs, places
from mgsflow.site.deployment import in_environment
from mgsflow.site.profile import Gpus

ENVIRONMENTS = {"select": "data", "train_vae": "train", "table1": "report", "stamps": "data"}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """sbatch runs a script at once; its jobs are COMPLETED or FAILED, as their code says."""
    programs = Programs(tmp_path / "bin")
    state = tmp_path / "state"
    state.mkdir()
    programs.put(
        "sbatch",
        f"""for word in "$@"; do case "$word" in --output=*) log="${{word#--output=}}";; esac; done
number=$(ls {state} | wc -l); echo "$@" > {state}/$number.options
eval "script=\\${{$#}}"
if sh "$script" > "$log" 2>&1; then echo COMPLETED; else echo FAILED; fi > {state}/$number
echo $number""",
    )
    programs.put(
        "squeue",
        f"""for word in "$@"; do case "$word" in --jobs=*) n="${{word#--jobs=}}";; esac; done
echo "$(cat {state}/$n)|None" """,
    )
    programs.put("scancel", f'echo "$@" >> {state}/cancelled')
    monkeypatch.setenv("PATH", f"{programs.folder}:/usr/bin:/bin")
    for name in (*JOB_VARIABLES, "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    run = tmp_path / "run"
    run.mkdir()
    (run / "src").mkdir()
    (run / "src/mgsflow").symlink_to(REPOSITORY / "src/mgsflow")
    # most of these jobs are not about torch, whose import takes seconds
    (run / "src/torch.py").write_text("raise ImportError")
    monkeypatch.chdir(run)
    monkeypatch.setattr(jobs, "POLL", 0.05)
    programs.state = state
    return programs


def active(*requests, **options):
    """A site whose nodes share the environment that is active."""
    config = {"sky": "simulated"}
    options = {"software_deployment_method": [], "latency_wait": 0} | options
    return site(*requests, config=config, **options)


def test_one_job_goes_to_each_kind_of_node_and_comes_back(slurm):
    found = active(request(), request("targets"), training())
    findings = list(check_jobs(found, ENVIRONMENTS, seconds=60))
    assert {finding.check for finding in findings} == {"a job on cpu", "a job on a100"}
    assert findings[0].status == "ok"
    assert json.loads((FOLDER / "cpu.json").read_text())["python"]
    options = (slurm.state / "2.options").read_text()
    assert "--partition=a100 --gres=gpu:a100:1" in options
    assert not (slurm.state / "cancelled").exists()


def test_a_gpu_partition_whose_node_has_no_gpu_fails(slurm, monkeypatch):
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    findings = check_jobs(active(training()), ENVIRONMENTS, seconds=60)
    (found,) = [finding for finding in findings if "/dev/nvidia*" in finding.seen]
    assert found.status == "failure"
    assert "container" not in found.seen


def test_a_job_that_slurm_refuses_fails(slurm):
    slurm.say("sbatch", "sbatch: error: Invalid account specified", code=1)
    (found,) = check_jobs(active(request()), ENVIRONMENTS, seconds=5)
    assert found.status == "failure"
    assert "Invalid account" in found.seen


def test_a_job_that_waits_too_long_is_cancelled_and_said_to(slurm):
    slurm.put("squeue", 'echo "PENDING|Resources"')
    (found,) = check_jobs(active(request()), ENVIRONMENTS, seconds=0.2)
    assert found.status == "warning"
    assert "it still waited after 0.2 s (PENDING: Resources)" in found.seen
    assert (slurm.state / "cancelled").read_text().split() == ["0"]


def test_a_wait_that_is_interrupted_cancels_what_it_sent(slurm, monkeypatch):
    def interrupt(job):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "_look", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(check_jobs(active(request()), ENVIRONMENTS, seconds=60))
    assert (slurm.state / "cancelled").exists()


def test_a_job_that_fails_is_quoted(slurm):
    apptainer = active(request(), software_deployment_method=["apptainer"])
    slurm.say("apptainer", "FATAL: could not open image envs/images/data.sif", code=255)
    (found,) = check_jobs(apptainer, ENVIRONMENTS, seconds=60)
    assert found.status == "failure"
    assert "it ended as FAILED" in found.seen
    assert "could not open image envs/images/data.sif" in found.seen
    assert f"{FOLDER}/cpu.log" in found.remedy


def test_results_behind_a_link_need_a_bind(slurm, tmp_path):
    (tmp_path / "scratch").mkdir()
    Path("results").symlink_to(tmp_path / "scratch")
    slurm.say("apptainer", "read-only file system", code=1)
    apptainer = active(request(), software_deployment_method=["apptainer"])
    (found,) = check_jobs(apptainer, ENVIRONMENTS, seconds=60)
    assert f"--bind {tmp_path / 'scratch'}" in found.remedy


def test_a_file_that_does_not_come_back_shows_a_file_system_that_is_not_shared(slurm):
    slurm.put("sbatch", f"echo COMPLETED > {slurm.state}/0; echo 0")
    (found,) = check_jobs(active(request()), ENVIRONMENTS, seconds=5)
    assert found.status == "failure"
    assert "share" in found.remedy


def test_an_answer_of_an_earlier_visit_is_not_taken(slurm):
    old = FOLDER / "cpu.json"
    old.parent.mkdir(parents=True)
    old.write_text(json.dumps(PROBED))
    slurm.put("sbatch", f"echo COMPLETED > {slurm.state}/0; echo 0")
    (found,) = check_jobs(active(request()), ENVIRONMENTS, seconds=5)
    assert found.status == "failure"


def test_a_job_that_squeue_has_forgotten_has_ended(slurm):
    slurm.say("squeue", "slurm_load_jobs error: Invalid job id specified", code=1)
    (found,) = check_jobs(active(request()), ENVIRONMENTS, seconds=5)
    assert found.status == "ok"


@pytest.mark.parametrize(
    ("without", "status", "words"),
    [
        ("echo 'Slurmctld(primary) at vm is UP'", "ok", "without it"),
        ("echo 'scontrol: fatal: no configuration source' >&2; exit 1", "failure", "no configur"),
        ("echo 'Slurmctld(primary) at vm is DOWN'; exit 1", "failure", "is DOWN"),
    ],
)
def test_the_node_says_whether_it_needs_the_variable(slurm, monkeypatch, without, status, words):
    slurm.put("scontrol", f'if [ -n "$SLURM_CONF" ]; then echo is UP; else {without}; fi')
    assert len(list(check_jobs(active(request()), ENVIRONMENTS, seconds=60))) == 1
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    job, found = check_jobs(active(request()), ENVIRONMENTS, seconds=60)
    assert job.status == "ok"
    assert (found.check, found.status) == ("SLURM_CONF", status)
    assert words in found.seen


def test_services_are_asked_from_the_partition_that_will_ask_them(slurm):
    sdss = {"skyserver_url": "http://127.0.0.1:9", "sas_url": "http://127.0.0.1:9/sas"}
    found = site(
        request(),
        request("stamps", slurm_partition="transfer"),
        config={"sdss": sdss},
        software_deployment_method=[],
        latency_wait=0,
    )
    findings = list(check_jobs(found, ENVIRONMENTS, seconds=60))
    asked = [finding for finding in findings if finding.status == "failure"]
    assert {finding.check for finding in asked} == {"SkyServer", "Science Archive Server"}
    assert all("from partition transfer" in finding.seen for finding in asked)


def test_places_differ_by_partition_and_gpus():
    one_partition = site(
        request(slurm_partition="main"),
        request("table1", slurm_partition="main"),
        training(slurm_partition="main", gres="gpu:1"),
    )
    found = places(one_partition, ENVIRONMENTS)
    assert [place.name for place in found] == ["main", "main-2"]
    assert [place.gpus for place in found] == [None, Gpus("", 1)]
    assert found[1].environment == "train"


@pytest.mark.parametrize("second", ["gpu-shared", "gpu-shared-2"])
def test_no_two_places_share_a_file_whatever_their_partitions_are_called(second):
    main = {"slurm_partition": "gpu-shared"}
    three = [training(gres="gpu:2", **main), training(gres="gpu:1", slurm_partition=second)]
    found = places(site(training(gres="gpu:4", **main), *three), ENVIRONMENTS)
    assert len({place.out for place in found}) == 3
    assert [place.partition for place in found] == ["gpu-shared", "gpu-shared", second]


def test_two_visits_at_once_share_no_file():
    code = "from mgsflow.site import checks_probe; print(checks_probe.FOLDER)"
    visits = [subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)]
    assert visits[0].startswith("results/doctor/")
    assert visits[0] != visits[1]


def test_a_container_is_entered_as_snakemake_enters_it(slurm):
    slurm.put("apptainer", "true")
    command = in_environment(site(), "train", "mgsflow.site.probe", "out.json")
    here = str(Path.cwd())
    assert command[:4] == ["apptainer", "exec", "--home", here]
    assert command[4:7] == ["--nv", "--cleanenv", "envs/images/train.sif"]
    assert f"PYTHONPATH={here}/src" in command


def test_slurms_word_on_the_job_reaches_into_a_clean_container(slurm, monkeypatch):
    slurm.put("printer", 'echo "seen: $APPTAINERENV_CUDA_VISIBLE_DEVICES"; env | grep -c TAINERENV')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    job = jobs.submit(
        "x", [], jobs.batch_script(["printer"], JOB_VARIABLES), Path("log").absolute()
    )
    jobs.wait([job], 5)
    assert Path("log").read_text().split() == ["seen:", "3", "1"]  # and nothing that is not set


def test_the_probe_says_what_it_sees(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("SLURMD_NODENAME", "a100n1")
    tools = Programs(tmp_path / "bin")
    tools.say("nvidia-smi", "NVIDIA A100, 40960 MiB, 580.1\n")
    monkeypatch.setenv("PATH", f"{tools.folder}:/usr/bin:/bin")
    out = tmp_path / "new/a100.json"
    probe.main([str(out), "SkyServer=http://127.0.0.1:9/?a=b"])
    record = json.loads(out.read_text())
    assert (record["node"], record["gpus"]) == ("a100n1", "1")
    assert record["driver"]["gpus"] == ["NVIDIA A100, 40960 MiB, 580.1"]
    assert record["source"] == str(REPOSITORY)
    assert record["services"]["SkyServer"]["status"] is None
    assert record["torch"]["version"]
    assert list(out.parent.iterdir()) == [out]


def test_an_nvidia_smi_that_fails_is_quoted(tmp_path, monkeypatch):
    tools = Programs(tmp_path / "bin")
    tools.say("nvidia-smi", "NVIDIA-SMI has failed", code=9)
    monkeypatch.setenv("PATH", f"{tools.folder}:/usr/bin:/bin")
    assert probe._driver() == {"gpus": [], "words": "NVIDIA-SMI has failed"}
