"""The runner's side of a worker: starts the process, asks, reads the reply, watches who used the processor."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from peers import PEERS

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")  # the kernel counts processor time in these

# Python's libraries free and ask again for large blocks at every pass, and fresh pages cost more than small models do.
# These settings keep freed memory and ask for huge pages. They helped every Python peer or left it alone.
KEEP_PAGES = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((4 << 30) - 1),
}


class WorkerError(RuntimeError):
    """The worker ended, or answered with an error."""


class Refusal(WorkerError):
    """The worker lives on and says that it cannot do this request."""


def is_amd() -> bool:
    return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()


def mkl_vendor_library() -> Path:
    return Path(sys.prefix) / "lib" / "mica-mkl-vendor.so"


def peer_environment(name: str, threads: int) -> dict[str, str]:
    entry = PEERS[name]
    environment = {
        **os.environ,
        **KEEP_PAGES,
        **entry.environment,
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),  # the tokenizers' threads
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    if entry.needs_mkl and is_amd():
        if not mkl_vendor_library().exists():
            raise SystemExit(f"compare: {mkl_vendor_library()} is missing; run setup.sh again")
        environment["LD_PRELOAD"] = str(mkl_vendor_library())
    return environment


def busy_seconds() -> float:
    """Processor time that was not free since the machine started; what a hypervisor gave to other guests counts too."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


@dataclass
class Reply:
    values: dict
    others: float  # cores that other processes kept busy meanwhile


class Worker:
    """One long-lived process; `name` is a peer's name or `mica`."""

    def __init__(self, name: str, dtype: str, threads: int, command: list[str], environment: dict[str, str], log: Path):
        self.name = name
        self.settings = ""
        self.log = log
        self.rested_s = 0.0  # wall time between this worker's turns
        self.used_resting_s = 0.0  # processor time that it used meanwhile: near zero, unless it spins
        self._last_turn = None  # when the last one ended, and the processor time used until then
        self._log_file = open(log, "w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log_file, env=environment, text=True
        )

    @staticmethod
    def of_peer(name: str, model: str, dtype: str, threads: int, logs: Path) -> "Worker":
        command = [sys.executable, str(HERE / "worker.py"), name, model, "--dtype", dtype, "--threads", str(threads)]
        return Worker(name, dtype, threads, command, peer_environment(name, threads), logs / f"{name}-{dtype}.log")

    @staticmethod
    def of_mica(program: str, model: str, dtype: str, threads: int, logs: Path) -> "Worker":
        command = [program, "bench", model, "--worker", "--dtype", dtype, "--threads", str(threads)]
        return Worker("mica", dtype, threads, command, dict(os.environ), logs / f"mica-{dtype}.log")

    def ask(self, request: dict) -> dict:
        line = json.dumps(request)
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing reply says it
        reply = self._process.stdout.readline()
        if not reply:
            raise WorkerError(f"{self.name} ended (status {self._process.wait()}); see {self.log}")
        values = json.loads(reply)
        if "error" in values:
            raise Refusal(f"{self.name}: {values['error']}; see {self.log}")
        return values

    def ask_watched(self, request: dict) -> Reply:
        """Also says how many cores were busy with anything else; roughly, as the kernel counts in steps of 10 ms."""
        machine, own, start = busy_seconds(), self.used_seconds(), time.monotonic()
        if self._last_turn:
            self.rested_s += start - self._last_turn[0]
            self.used_resting_s += own - self._last_turn[1]
        values = self.ask(request)
        end, own_end = time.monotonic(), self.used_seconds()
        self._last_turn = (end, own_end)
        others = (busy_seconds() - machine) - (own_end - own)
        return Reply(values, max(0.0, others / max(end - start, 1 / TICKS)))

    def used_seconds(self) -> float:
        """Processor time of the worker and all its threads so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak_megabytes(self) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log_file.close()
