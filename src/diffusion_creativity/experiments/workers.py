"""Several processes of this machine that share the units of a run."""

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import torch

from . import results
from .ledger import Ledger, Work
from .registry import Experiment, get
from .sharing import Listener, share


@dataclass(frozen=True)
class Task:
    """What a worker must know."""

    module: str  # registers the experiment when it is imported
    name: str
    profile: str
    ledger: Ledger
    device: torch.device
    threads: int


def work_together(
    experiment: Experiment,
    profile: str,
    ledger: Ledger,
    devices: list[torch.device],
    listener: Listener,
) -> None:
    """Start a worker for each of `devices`, and tell what they do until the last one ends.

    A worker that dies leaves its unit to the others. They end with this process, however it ends.
    """
    context = multiprocessing.get_context("spawn")  # a fork would break CUDA
    running: dict[Connection, multiprocessing.Process] = {}
    try:
        for device in devices:
            here, there = context.Pipe(duplex=False)
            module = experiment.compute.__module__
            threads = _threads(len(devices))
            task = Task(module, experiment.name, profile, ledger, device, threads)
            running[here] = context.Process(target=_work, args=(there, task))
            running[here].start()
            there.close()  # so that the end of the worker ends what is read here
        _listen(running, listener)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


def _threads(workers: int) -> int:
    """Threads of torch in each worker: what the reader chose, else a share of the cores."""
    threads = torch.get_num_threads()
    return threads if "OMP_NUM_THREADS" in os.environ else max(threads // workers, 1)


def _listen(running: dict[Connection, multiprocessing.Process], listener: Listener) -> None:
    said = set()  # all workers wait for the same units: once is enough
    while running:
        for connection in wait(list(running)):
            try:
                kind, *content = connection.recv()
            except (EOFError, OSError):  # its worker has ended, perhaps in the middle of a word
                process = running.pop(connection)
                process.join()
                if process.exitcode:
                    listener.say(f"a worker ended with status {process.exitcode}")
                continue
            if kind == "progress":
                listener.progress(*content)
            elif content[0] not in said:
                said.add(content[0])
                listener.say(content[0])


class _Speaker:
    """Tells the process that started this one."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def say(self, line: str) -> None:
        self._send("say", line)

    def progress(self, unit: Work, fraction: float) -> None:
        self._send("progress", unit, fraction)

    def _send(self, *message) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens: the end is near
            self.connection.send(message)


def _work(connection: Connection, task: Task) -> None:
    """What a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: the first process ends us
    threading.Thread(target=_end_with_the_first_process, daemon=True).start()
    torch.set_num_threads(task.threads)
    importlib.import_module(task.module)
    experiment = get(task.name)
    config = experiment.config(task.profile)
    if results.stamp(experiment, config) != task.ledger.stamp:
        raise RuntimeError("the source has changed since the run began: start it again")
    share(experiment, config, task.ledger, task.device, _Speaker(connection))


def _end_with_the_first_process() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)  # as good as any end: what is on disk is whole
