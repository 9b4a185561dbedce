"""A real SLURM on this one host: munge, slurmctld, and a slurmd for each of three emulated nodes.

The partitions are those of profiles/slurm: `cpu`, `a100` and `t4`, the last two with a GPU that
SLURM believes in (its device is /dev/null), and `urgent` over all nodes, whose jobs preempt the
others'.

    python tests/cluster/slurm.py /tmp/a-new-folder     # runs until interrupted

Needs root, and Debian's slurmctld, slurmd, slurm-client, slurm-wlm-basic-plugins and munge.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol")
PACKAGES = "slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
# Where every SLURM command looks: the executor's job steps strip SLURM_CONF from the environment.
CONFIGURATION = Path("/etc/slurm")
MEMORY = 64_000  # of each node [MB], as SLURM is told: more than the host may have
CPUS = 4
NODES = {"cpu1": "", "a100n1": "gpu:a100:1", "t4n1": "gpu:t4:1"}
PARTITIONS = {"cpu": ["cpu1"], "a100": ["a100n1"], "t4": ["t4n1"]}

CONTROLLER = """\
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
StateSaveLocation={folder}/spool/slurmctld
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/pids/slurmctld
SlurmdPidFile={folder}/pids/%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# Memory is sampled each second, and a job that takes more than it asked for is killed: what cgroups
# do on a cluster.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,defer_batch
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=7200
KillWait=5
SlurmdTimeout=20
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobs.log
"""


def missing() -> str:
    """What keeps this host from running a SLURM, in words; empty if nothing does."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"no {', '.join(absent)} on PATH: apt-get install {PACKAGES}"
    if os.geteuid() != 0:
        return "SLURM's daemons need root here"
    theirs = CONFIGURATION / "slurm.conf"
    if theirs.exists() and not _is_left_over(theirs):
        return f"{theirs} is of another SLURM, which these tests must not disturb"
    return ""


def _is_left_over(path: Path) -> bool:
    """Whether a configuration is a link of these tests', whose SLURM was killed."""
    folder = path.resolve().parent
    if not path.is_symlink() or not (folder / "mgsflow-test-cluster").exists():
        return False
    return Slurm(folder).pid("slurmctld") is None


@dataclass
class Slurm:
    """A running SLURM, whose state is all in `folder` (a short path: sockets have a limit)."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> Slurm:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all daemons and wait until every node is idle."""
        if reason := missing():
            raise RuntimeError(reason)
        self._lay_out()
        self._configure()
        self._start_munge()
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait(lambda: self.states() == dict.fromkeys(NODES, "idle"), "all nodes are idle")

    def stop(self) -> None:
        """Cancel all jobs, then stop each daemon by its pid file."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.pid("slurmctld"):
                subprocess.run(["scancel", "--user=root"], capture_output=True, timeout=20)
        for name in (*NODES, "slurmctld", "munged"):
            self.end(name)
        for name in ("slurm.conf", "gres.conf"):
            link = CONFIGURATION / name
            if link.is_symlink() and link.resolve().parent == self.folder.resolve():
                link.unlink()

    def start_controller(self) -> None:
        self._run("slurmctld")

    def start_node(self, node: str) -> None:
        self._run("slurmd", "-N", node)

    def end(self, name: str, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon of a pid file, and wait until it is gone."""
        pid = self.pid(name)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        try:
            self.wait(lambda: not _alive(pid), f"{name} has ended", seconds=15)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._pid_file(name).unlink(missing_ok=True)

    def states(self) -> dict[str, str]:
        """Each node's state, as sinfo says it."""
        lines = self.ask("sinfo", "--noheader", "--Node", "--partition=cpu,a100,t4", "-o", "%N %T")
        return dict(line.split() for line in lines.splitlines())

    def jobs(self, columns: str = "%A|%j|%P|%T|%k") -> list[list[str]]:
        """The jobs that SLURM knows, those that have ended included: columns as squeue's format."""
        text = self.ask("squeue", "--noheader", "--states=all", "-o", columns)
        return [line.split("|") for line in text.splitlines()]

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until a condition holds. TimeoutError with the daemons' last words otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                if condition():
                    return
            time.sleep(0.25)
        raise TimeoutError(f"not in {seconds:g} s: {what}\n{self._last_words()}")

    def _lay_out(self) -> None:
        for name in ("munge", "pids", "log", "spool/slurmctld", *(f"spool/{n}" for n in NODES)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "mgsflow-test-cluster").touch()

    def _configure(self) -> None:
        free = _free_ports(1 + len(NODES))
        self.ports = dict(zip(("slurmctld", *NODES), free, strict=True))
        lines = [CONTROLLER.format(folder=self.folder, port=self.ports["slurmctld"])]
        for node, gres in NODES.items():
            lines.append(
                f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 "
                f"Port={self.ports[node]} CPUs={CPUS} RealMemory={MEMORY}"
                + (f" Gres={gres}" if gres else "")
            )
        for name, nodes in PARTITIONS.items():
            default = " Default=YES" if name == "cpu" else ""
            lines.append(
                f"PartitionName={name} Nodes={','.join(nodes)} State=UP PriorityTier=1{default}"
            )
        lines.append(
            f"PartitionName=urgent Nodes={','.join(NODES)} State=UP PriorityTier=10 PreemptMode=off"
        )
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "gres.conf").write_text(
            "".join(
                f"NodeName={node} Name=gpu Type={gres.split(':')[1]} Count=1 File=/dev/null\n"
                for node, gres in NODES.items()
                if gres
            )
        )
        CONFIGURATION.mkdir(exist_ok=True)
        for name in ("slurm.conf", "gres.conf"):
            link = CONFIGURATION / name
            link.unlink(missing_ok=True)
            link.symlink_to(self.folder / name)

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        for path in (munge, key):
            shutil.chown(path, "munge", "munge")
        munge.chmod(0o755)
        user = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        self._run(*user, "munged", f"--socket={munge / 'socket'}", *files)

    def _run(self, *command: str) -> None:
        # a daemon that keeps our pipe open would have us wait for ever
        with (self.folder / "log" / "start.log").open("a") as log:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=30)
        if done.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with {done.returncode}{self._last_words()}"
            )

    def pid(self, name: str) -> int | None:
        """The process of a daemon; None if it does not run."""
        try:
            pid = int(self._pid_file(name).read_text())
        except (OSError, ValueError):
            return None
        return pid if _alive(pid) else None

    def _pid_file(self, name: str) -> Path:
        # munged takes no folder that anybody but its user may write to
        return self.folder / ("munge/pid" if name == "munged" else f"pids/{name}")

    def _last_words(self) -> str:
        logs = sorted((self.folder / "log").glob("*.log"))
        return "".join(f"\n== {path.name}\n{path.read_text()[-1500:]}" for path in logs)


def _alive(pid: int) -> bool:
    """Whether a process runs: a zombie, whose parent does not wait for it, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Slurm(Path(sys.argv[1])) as slurm:
        print(slurm.ask("sinfo"), "Interrupt to stop.", sep="\n", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
