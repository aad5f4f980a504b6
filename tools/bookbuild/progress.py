"""What a build tells the person who waits for it."""

from __future__ import annotations

import sys
import time


def clock(seconds: float) -> str:
    """Minutes and seconds, as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print to standard error, after what was said before."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Lines for chapters that start and end, with elapsed time and a rough time left."""

    def __init__(self, expected: dict[str, float | None], jobs: int, every: float = 15.0):
        self.expected, self.jobs, self.every = expected, jobs, every
        self.began = self.last = time.monotonic()
        self.running: dict[str, float] = {}
        self.done = 0

    def left(self) -> str:
        """Rough time left, from what the chapters took last time."""
        if any(seconds is None for seconds in self.expected.values()):
            return ""
        now = time.monotonic()
        spent = {name: now - start for name, start in self.running.items()}
        work = [max(0.0, s - spent.get(name, 0.0)) for name, s in self.expected.items()]
        return f", about {clock(max([sum(work) / self.jobs, *work]))} left" if work else ""

    def status(self) -> str:
        """Elapsed time and time left."""
        return f"{clock(time.monotonic() - self.began)} elapsed{self.left()}"

    def start(self, name: str) -> None:
        """Announce that a chapter runs."""
        self.running[name] = time.monotonic()
        before = self.expected.get(name)
        say(f"  running  {name}" + (f" (took {before:.0f} s last time)" if before else ""))

    def finish(self, name: str) -> float:
        """Announce that a chapter is done; returns its seconds."""
        seconds = time.monotonic() - self.running.pop(name)
        self.expected.pop(name, None)
        self.done += 1
        total = self.done + len(self.expected)
        say(f"  done     {name} in {seconds:.1f} s · {self.done} of {total} · {self.status()}")
        return seconds

    def heartbeat(self) -> None:
        """Now and then, say what still runs."""
        if self.running and time.monotonic() - self.last > self.every:
            self.last = time.monotonic()
            say(f"  …        {self.status()}: {', '.join(self.running)}")
