"""Execute chapters side by side, each in a process of its own, and remember what was done."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from .keys import chapter_key, common_key, digest
from .progress import Progress, say
from .signals import uninterrupted
from .tree import Tree

CELL_SECONDS = {"smoke": 120, "book": 900, "gpu": 14_400}
VERSIONS = ("torch", "numpy", "matplotlib", "ipywidgets", "anywidget", "papermill")


class ChapterFailed(Exception):
    """A cell of a chapter raised; the message says where, ``partial`` is kept for inspection."""


USAGE = {"first_cell_seconds", "peak_bytes"}  # what run_notebook.py notes


@dataclass
class Job:
    """One chapter being executed."""

    chapter: str
    key: str
    folder: Path
    process: subprocess.Popen | None = None
    target: Path = field(init=False)
    error: Path = field(init=False)
    usage: Path = field(init=False)

    def __post_init__(self):
        self.target = self.folder / f"{self.chapter}.ipynb"
        self.error = self.folder / f"{self.chapter}.error.json"
        self.usage = self.folder / f"{self.chapter}.usage.json"
        self.target.parent.mkdir(exist_ok=True)  # a project's name has a folder in it


def record_path(tree: Tree, chapter: str, profile: str) -> Path:
    """Where it is written how a chapter was last run."""
    return tree.executed(profile) / f"{chapter}.json"


def read_record(tree: Tree, chapter: str, profile: str) -> dict:
    """How a chapter was last run; empty if never."""
    try:
        return json.loads(record_path(tree, chapter, profile).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def is_fresh(tree: Tree, chapter: str, profile: str, key: str) -> bool:
    """Whether the executed notebook at hand is the one that would come out again."""
    record = read_record(tree, chapter, profile)
    notebook = tree.executed(profile) / f"{chapter}.ipynb"
    return (
        record.get("key") == key
        and record.keys() >= USAGE
        and notebook.is_file()
        and record.get("output_hash") == digest([notebook.read_bytes()])
    )


def start(tree: Tree, job: Job, profile: str, seed: int, jobs: int) -> None:
    """Start the process that runs one chapter, in a process group of its own."""
    environment = dict(os.environ)
    if jobs > 1:  # two chapters side by side on two cores: one thread each
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    script = Path(__file__).with_name("run_notebook.py")
    command = [sys.executable, str(script), str(tree.source(job.chapter)), str(job.target)]
    command += ["--profile", profile, "--seed", str(seed), "--error", str(job.error)]
    command += ["--timeout", str(CELL_SECONDS[profile]), "--usage", str(job.usage)]
    log = (job.folder / f"{job.chapter}.log").open("wb")
    with log:
        job.process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def stop(jobs: list[Job], patience: float = 8.0) -> None:
    """Ask running chapters to end, which shuts their kernels down; insist after a while.

    A second Ctrl-C waits until this is done: it must not leave kernels behind.
    """
    with uninterrupted():
        end(jobs, patience)


def end(jobs: list[Job], patience: float) -> None:
    """Do what `stop` says."""
    alive = [job.process for job in jobs if job.process and job.process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + patience
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def keep(tree: Tree, job: Job, profile: str, seed: int, seconds: float) -> None:
    """Move a finished notebook into the cache; the record goes last and makes it count."""
    folder = tree.executed(profile)
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "key": job.key,
        "profile": profile,
        "seed": seed,
        "seconds": round(seconds, 1),
        **json.loads(job.usage.read_text(encoding="utf-8")),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "source_hash": digest([tree.source(job.chapter).read_bytes()]),
        "output_hash": digest([job.target.read_bytes()]),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in VERSIONS},
    }
    kept = folder / f"{job.chapter}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    os.replace(job.target, kept)
    draft = job.folder / f"{job.chapter}.record.json"
    draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, record_path(tree, job.chapter, profile))


def installed_version(name: str) -> str | None:
    """Version of a library, or None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def failure(tree: Tree, job: Job, profile: str) -> ChapterFailed:
    """Keep what there is of a failed chapter and say what went wrong."""
    folder = tree.failed(profile)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{job.chapter}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    if job.target.exists():
        shutil.copy(job.target, kept)
    log = (job.folder / f"{job.chapter}.log").read_text(errors="replace").strip()
    try:
        error = json.loads(job.error.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ChapterFailed(f"notebooks/{job.chapter}.py could not be run:\n{log[-4000:]}")
    return ChapterFailed(
        f"{error['traceback']}\n\n"
        f"notebooks/{job.chapter}.py, code cell {error['cell']} ({error['line']!r}):\n"
        f"{error['error']}: {error['message'].splitlines()[0] if error['message'] else ''}\n"
        f"The notebook up to there: {kept.relative_to(tree.root)}"
    )


def execute(
    tree: Tree,
    profile: str,
    seed: int = 0,
    jobs: int | None = None,
    names: list[str] | None = None,
) -> dict[str, dict]:
    """Run every notebook that is not up to date; returns the records of all, in order.

    `names` are those of chapters or projects; without them all chapters.
    """
    common = common_key(tree)
    chapters = tree.chapters() if names is None else names
    keys = {name: chapter_key(tree, name, profile, seed, common) for name in chapters}
    stale = [name for name in chapters if not is_fresh(tree, name, profile, keys[name])]
    jobs = jobs or min(2, os.cpu_count() or 1)
    fresh = len(chapters) - len(stale)
    say(f"notebooks: {len(stale)} to run, {fresh} up to date (profile {profile})")
    if stale:
        tree.build.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="running-", dir=tree.build) as folder:
            queue = [Job(name, keys[name], Path(folder)) for name in stale]
            run_queue(tree, queue, profile, seed, min(jobs, len(queue)))
    return {name: read_record(tree, name, profile) for name in chapters}


def run_queue(tree: Tree, queue: list[Job], profile: str, seed: int, jobs: int) -> None:
    """Run jobs a few at a time, longest first; whatever happens, leave no process behind."""
    took = {j.chapter: read_record(tree, j.chapter, profile).get("seconds") for j in queue}
    queue.sort(key=lambda job: took[job.chapter] or float("inf"), reverse=True)
    progress = Progress(took, jobs)
    running: list[Job] = []
    try:
        while queue or running:
            while queue and len(running) < jobs:
                running.append(queue.pop(0))
                start(tree, running[-1], profile, seed, jobs)
                progress.start(running[-1].chapter)
            time.sleep(0.1)
            progress.heartbeat()
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                if job.process.returncode:
                    raise failure(tree, job, profile)
                keep(tree, job, profile, seed, progress.finish(job.chapter))
    finally:
        stop(running)
