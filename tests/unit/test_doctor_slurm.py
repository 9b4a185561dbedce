"""The doctor on SLURM: programs that answer as SLURM 22.05 does, and each fault that they show."""

from __future__ import annotations

from types import SimpleNamespace

import fake_site
import pytest
from fake_site import Programs, request, site, training

from mgsflow.site import checks_slurm
from mgsflow.site.profile import Gpus
from mgsflow.site.slurm import minutes, read_gres, read_nodes


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Programs:
    found = Programs(tmp_path / "bin")
    found.put_slurm()
    monkeypatch.setenv("PATH", f"{found.folder}:/usr/bin:/bin")
    return found


def of(findings, status):
    return [finding for finding in findings if finding.status == status]


def partitions(*requests, last=()):
    found = site(*requests)
    if last:
        found = type(found)(**{**vars(found), "last": last})
    return list(checks_slurm.check_partitions(found))


def test_a_partition_that_fits_is_said_to_with_what_it_has(programs):
    findings = partitions(request(), training())
    assert [finding.status for finding in findings] == ["ok", "ok"]
    assert "1 of 2 nodes usable" in findings[0].seen
    assert "gpu:a100" in findings[1].seen
    assert "limit 1440 min" in findings[1].seen


@pytest.mark.parametrize(
    ("asked", "words", "remedy"),
    [
        (request(slurm_partition="gpu"), "no such partition", "Replace `gpu`"),
        (request(slurm_partition="shut"), "its state is down", "another partition"),
        (request(cpus=65), "cpu1 has 64 CPUs of 65", "compute"),
        (request(memory=300_000), "256,000 MB of 300,000", "mem_mb"),
        (training(minutes=1500), "1500 min, the partition allows 1440", "runtime"),
        (training(gres="gpu:A100:1"), "the nodes have gpu:a100", "as sinfo does: gpu:a100"),
        (training(gres="gpu:a100:5"), "4 GPUs a100 in place of 5 GPUs a100", "partition"),
        (request(gres="gpu:1"), "the nodes have no GPU", "a partition with GPUs"),
        (training(gres=None, gpu=1, gpu_model="h100"), "1 GPU h100", "gpu:a100"),
        (
            training(slurm_partition="t4", gres=None, gpu=2),
            "1 GPU t4 in place of 2 GPUs",
            "train_vae",
        ),
    ],
)
def test_what_does_not_fit_fails_with_its_remedy(programs, asked, words, remedy):
    (found,) = of(partitions(asked), "failure")
    assert words in found.seen
    assert asked.rule in found.seen or "state is down" in found.seen
    assert remedy in found.remedy


def test_a_list_of_partitions_is_judged_by_all_of_them_together(programs):
    long = {"slurm_partition": "t4,a100", "minutes": 1000}  # more than t4's 720
    assert [found.status for found in partitions(training(**long))] == ["ok"]
    (found,) = partitions(training(**long | {"minutes": 1500}))
    assert "1500 min, the partition allows 1440" in found.seen
    # what is shut, without a time limit, gives nothing
    first, last = (request(slurm_partition="t4, shut", minutes=m) for m in (700, 2100))
    room, late = partitions(first, last=(last,))
    assert (room.status, room.check) == ("ok", "partition t4, shut")
    assert "limit 720 min" in room.seen
    assert (late.status, "2100 min" in late.seen) == ("warning", True)
    (found,) = partitions(request(slurm_partition="cpu,long"))
    assert (found.status, found.check) == ("failure", "partition long")


def test_a_node_of_two_partitions_is_counted_once(programs):
    programs.put_slurm("a|n1|up|1:00:00|idle|64|256000|(null)\nb|n1|up|infinite|idle|64|256000|\n")
    (found,) = partitions(request(slurm_partition="a,b"))
    assert "1 of 1 nodes usable" in found.seen
    assert "no time limit" in found.seen


@pytest.mark.parametrize("state", ["down", "drained", "draining", "idle*", "fail", "maint"])
def test_a_partition_of_nodes_that_are_out_fails(programs, state):
    programs.put_slurm(f"cpu|cpu1|up|infinite|{state}|64|256000|(null)\n")
    (found,) = of(partitions(request()), "failure")
    assert f"none of its 1 nodes can be used ({state})" in found.seen


@pytest.mark.parametrize("state", ["idle", "mixed", "allocated", "completing", "idle~", "planned"])
def test_a_node_that_works_or_sleeps_is_no_fault(programs, state):
    programs.put_slurm(f"cpu|cpu1|up|infinite|{state}|64|256000|(null)\n")
    assert of(partitions(request()), "failure") == []


def test_a_profile_without_a_partition_is_warned_of(programs):
    (found,) = partitions(request(slurm_partition=""))
    assert found.status == "warning"
    assert "default-resources" in found.remedy


def test_a_last_attempt_that_would_wait_for_ever_is_warned_of(programs):
    first, last = training(), training(minutes=1800, memory=96_000)
    assert of(partitions(first, last=(first,)), "warning") == []
    (found,) = of(partitions(first, last=(last,)), "warning")
    assert "train_vae: 1800 min, 96,000 MB" in found.seen


def test_gres_and_limits_are_read_as_sinfo_writes_them(programs):
    assert read_gres("gpu:a100:4(S:0-1),nvme:1,gpu:t4:2") == (Gpus("a100", 4), Gpus("t4", 2))
    assert read_gres("gpu:4") == (Gpus("", 4),)
    assert read_gres("gpu") == (Gpus("", 1),)
    assert read_gres("(null)") == ()
    assert [minutes(text) for text in ("infinite", "2-00:00:00", "1:30:00", "30:00")] == [
        None,
        2880,
        90,
        30,
    ]
    assert len(read_nodes()) == 5


def test_sinfo_that_fails_says_why(programs):
    programs.say("sinfo", "slurm_load_partitions: Unable to contact slurm controller\n", code=1)
    with pytest.raises(RuntimeError, match="Unable to contact slurm controller"):
        read_nodes()


def test_a_slurm_that_answers_is_named(programs):
    (found,) = checks_slurm.check_slurm()
    assert found.status == "ok"
    assert "22.05.8" in found.seen


def test_a_machine_without_slurm_is_told_so(programs):
    (programs.folder / "sbatch").unlink()
    programs.put("sbatch", "exit 127")
    (found,) = checks_slurm.check_slurm()
    assert found.status == "failure"
    assert "sbatch" in found.seen
    assert "profiles/local" in found.remedy


def test_a_controller_that_is_down_fails(programs):
    programs.put(
        "scontrol",
        'if [ "$1" = ping ]; then echo "Slurmctld(primary) at vm is DOWN"; exit 1; fi; echo slurm',
    )
    (found,) = checks_slurm.check_slurm()
    assert found.status == "failure"
    assert "DOWN" in found.seen


def test_a_login_node_that_answers_only_by_a_variable_is_warned_of(programs, monkeypatch):
    programs.put(
        "scontrol",
        'if [ "$1" = ping ] && [ -z "$SLURM_CONF" ]; then exit 1; fi\n'
        'echo "Slurmctld(primary) at vm is UP"',
    )
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    answers, found = checks_slurm.check_slurm()
    assert (answers.status, found.status) == ("ok", "warning")  # its nodes may have their own
    assert "SLURM_CONF=/opt/slurm.conf" in found.seen
    programs.put_slurm()
    assert [finding.status for finding in checks_slurm.check_slurm()] == ["ok"]


def test_slurm_itself_is_asked_whether_it_takes_each_kind_of_job(programs):
    log = programs.folder / "asked"
    programs.put(
        "sbatch",
        f'echo "$@" >> {log}\n'
        'case "$*" in *a100*) echo "allocation failure: Requested node configuration is not '
        'available" >&2; exit 1;; esac',
    )
    twin = request("targets")
    (found,) = checks_slurm.check_submission(site(request(), twin, training()))
    assert found.status == "failure"
    assert "train_vae" in found.seen
    assert "Requested node configuration is not available" in found.seen
    asked = log.read_text().splitlines()
    assert len(asked) == 2  # the two alike are asked once
    assert all("--test-only" in line for line in asked)


def test_all_that_slurm_takes_is_one_finding(programs):
    programs.put(
        "sbatch",
        """case "$*" in *a100*) day=2026-11-28;; *) day=2026-11-26;; esac
echo "sbatch: Job 1 to start at ${day}T21:37:30 using 1 processors on nodes n" >&2""",
    )
    (found,) = checks_slurm.check_submission(site())
    assert found.status == "ok"
    assert "all 2 kinds of jobs" in found.seen
    assert "the last to start would be train_vae, 2026-11-28T21:37:30" in found.seen


@pytest.mark.parametrize(
    "resources",
    [
        {"gres": "gpu:a100:1"},
        {"gpu": 2, "gpu_model": "t4"},
        {"gpu": 1},
        {"constraint": "skylake", "qos": "long"},
        {"slurm_extra": "'--exclusive' --comment=x"},
    ],
)
def test_a_job_is_described_to_slurm_as_the_executor_does(resources):
    """Held to the options that the plugin gives sbatch, apart from their spelling."""
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    asked = request(slurm_account="ours", **resources)

    class Resources(dict):
        __getattr__ = dict.get

    theirs = Resources(mem_mb=asked.memory, runtime=asked.minutes, **asked.resources)
    job = SimpleNamespace(resources=theirs, threads=asked.cpus, is_group=lambda: False)
    params = {
        "run_uuid": "x",
        "slurm_logfile": "log",
        "comment_str": "rule",
        "account": " -A 'ours'",
        "partition": " -p 'cpu'",
        "workdir": ".",
    }
    command = get_submit_command(job, params) + set_gres_string(job)
    theirs = _normalised(command) - {"--ntasks=1", "-n=1"}
    ours = _normalised("sbatch " + " ".join(checks_slurm.submission(asked)))
    assert ours <= theirs
    ignored = ("--job-name", "--output", "--export", "--parsable", "-D", "--comment=rule")
    assert {option for option in theirs - ours if not option.startswith(ignored)} == set()


def _normalised(command: str) -> set[str]:
    """Options as --long=value."""
    import shlex

    short = {"-A": "--account", "-p": "--partition", "-t": "--time", "-C": "--constraint"}
    words, found = shlex.split(command)[1:], []
    for word in words:
        if word.startswith("-"):
            found.append(short.get(word, word))
        else:
            found[-1] += f"={word}"
    return set(found)


ACCOUNTS = "astro\nphysics\n"


@pytest.mark.parametrize(
    ("account", "known", "status", "words"),
    [
        ("astro", ACCOUNTS, ["ok"], "astro"),
        ("Astro", ACCOUNTS, ["ok"], "Astro"),  # SLURM keeps them in lower case
        ("ours", ACCOUNTS, ["failure"], "astro, physics"),
        ("ours", "", ["warning"], "could not be checked"),
        (None, ACCOUNTS, ["warning"], "the profile names none, and there are 2"),
        (None, "astro\n", [], ""),
        (None, "", [], ""),
    ],
)
def test_the_account_is_one_of_the_users(programs, account, known, status, words):
    programs.say("sacctmgr", known or "not running a supported accounting_storage\n", not known)
    programs.say("sshare", "")
    asked = request(**({"slurm_account": account} if account else {}))
    findings = list(checks_slurm.check_account(site(asked)))
    assert [finding.status for finding in findings] == status
    assert all(words in finding.seen for finding in findings)


def test_accounts_come_from_sshare_where_sacctmgr_fails(programs):
    programs.put("sacctmgr", "echo no such service; exit 1")
    programs.say("sshare", "   astro \n")
    (found,) = checks_slurm.check_account(site(request(slurm_account="astro")))
    assert found.status == "ok"
    (found,) = checks_slurm.check_account(site(request(slurm_account="no such service")))
    assert found.status == "failure"


@pytest.mark.parametrize(
    ("mode", "kind", "status"),
    [
        ("REQUEUE", "preempt/partition_prio", "ok"),
        ("CANCEL", "preempt/qos", "warning"),
        ("GANG,CANCEL", "preempt/partition_prio", "warning"),
        ("CANCEL", "preempt/none", "ok"),
    ],
)
def test_preemption_that_cancels_is_warned_of(programs, mode, kind, status):
    programs.say(
        "scontrol", f"PreemptMode             = {mode}\nPreemptType             = {kind}\n"
    )
    (found,) = checks_slurm.check_preemption()
    assert found.status == status


def test_the_programs_of_these_tests_answer_in_sinfos_columns():
    assert {line.count("|") for line in fake_site.SINFO.splitlines()} == {7}
