"""Training runs in processes of their own: killed at any moment, or several that train together.

``python training_runs.py kill FOLDER`` trains to the end again and again in processes that are
killed, the first ones at chosen points of writing, the others at random moments, until one gets
through. ``python training_runs.py share FOLDER`` is one of several processes of a launcher.
"""

import functools
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from diffusion_creativity import noise, training
from diffusion_creativity.networks import Preconditioned, constrained

STEPS, SAVE_EVERY = 40, 4


class SmallNet(nn.Module):
    """A raw network with everything that makes going on hard: dropout, running statistics."""

    def __init__(self, dropout: float = 0.1, norm: bool = True):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x, noise_label):
        """Map x (B, 1, H, W)."""
        h = self.norm(self.first(x) + noise_label[:, None, None, None])
        return self.last(self.dropout(torch.relu(h)))


def data(n: int = 50) -> torch.Tensor:
    """Images of a few grey levels."""
    generator = torch.Generator().manual_seed(5)
    return torch.randint(3, (n, 1, 6, 6), generator=generator).float() - 1


def small_trainer(folder: Path, dtype=torch.float32, **changes) -> training.Trainer:
    """One with everything that has a state: Adam, its schedule, the average, dropout."""
    torch.manual_seed(11)
    network = Preconditioned(SmallNet(), sigma_data=0.8).to(dtype)
    settings = {
        "steps": STEPS, "batch": 8, "seed": 3, "ema": 0.9, "clip": 1.0, "folder": folder,
        "optimizer": functools.partial(torch.optim.AdamW, lr=0.01),
        "schedule": training.cosine_decay(STEPS, warmup=4),
        "save_every": SAVE_EVERY, "log_every": 3,
    }  # fmt: skip
    return training.Trainer(network, data(), **settings | changes)


def small_run(folder: Path, **changes) -> training.Trainer:
    """Train to the end."""
    trainer = small_trainer(folder, **changes)
    for _ in trainer:
        pass
    return trainer


def weights(trainer: training.Trainer) -> dict[str, torch.Tensor]:
    """Everything that a run leaves."""
    return {**trainer.network.state_dict(prefix="network."),
            **trainer.average.state_dict(prefix="average.")}  # fmt: skip


def die_at(call: int, name: str) -> None:
    """Let the process kill itself just before, or just after, the nth call of a function of os."""
    function, calls = getattr(os, name.strip("<>")), 0

    def deadly(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call and name.startswith("<"):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*arguments, **options)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(os, name.strip("<>"), deadly)


def die_in_the_middle_of_writing(call: int) -> None:
    """Let the nth file written be half on disk when the process is killed."""
    opened, calls = Path.open, 0

    def deadly(self, mode="r", *arguments, **options):
        nonlocal calls
        file = opened(self, mode, *arguments, **options)
        calls += "w" in mode or "a" in mode
        if calls == call:
            write = file.write

            class Half:
                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

                def write(self, content):
                    write(content[: len(content) // 2])
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)

            return Half()
        return file

    Path.open = deadly


POINTS = [
    lambda: die_in_the_middle_of_writing(3), lambda: die_at(3, "<fsync"),
    lambda: die_at(4, "<replace"), lambda: die_at(4, "replace>"),
    lambda: die_in_the_middle_of_writing(7), lambda: die_at(1, "<unlink"),
    lambda: die_at(5, "unlink>"),
]  # fmt: skip


def spawn(folder: Path, point=None) -> int:
    """Train in a forked process; it ends with status 0 when it gets through."""
    child = os.fork()
    if child:
        return child
    try:
        if point:
            point()
        small_run(folder)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def killed_until_through(folder: Path, murder: Callable[[int], int]) -> dict:
    """Start again until a run gets through; `murder` starts one and returns how it ended."""
    starts = []
    for attempt in range(200):
        found = sorted(folder.glob("checkpoint-*"))
        starts.append(int(found[-1].stem.split("-")[1]) if found else 0)
        status = murder(attempt)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                sys.exit("the run failed")
            return {"deaths": attempt, "starts": starts}
    sys.exit("no run got through")


def kill(folder: Path) -> None:
    """Kill runs in two folders below; print how often, and at which steps they went on."""
    torch.set_num_threads(1)
    small_trainer(None).optimizer.step()  # imports all that a run needs, before the first fork
    times = []
    for copy in range(3):
        begun = time.perf_counter()
        os.waitpid(spawn(folder / f"whole {copy}"), 0)
        times.append(time.perf_counter() - begun)
    rng = random.Random(0)

    def at_a_point(attempt: int) -> int:
        point = POINTS[attempt] if attempt < len(POINTS) else None
        return os.waitpid(spawn(folder / "points", point), 0)[1]

    def at_random(attempt: int) -> int:
        child = spawn(folder / "random")
        time.sleep(rng.uniform(0, 0.5 + 0.05 * attempt) * min(times))
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    record = {"points": killed_until_through(folder / "points", at_a_point),
              "random": killed_until_through(folder / "random", at_random)}  # fmt: skip
    print(json.dumps(record))


def share(folder: Path) -> None:
    """Train a network and a stack, with what other processes there are; the first one writes."""
    torch.manual_seed(1 + int(os.environ.get("RANK", 0)))  # the first one's weights must count
    network = Preconditioned(SmallNet(dropout=0.0, norm=False), sigma_data=0.8)
    settings = {"steps": 30, "batch": 8, "log_every": 1, "bar": False}
    first = training.train(network, data(), ema=0.9, clip=0.5, folder=folder / "net", **settings)
    stack = constrained.Affine((1, 6, 6), noise.karras(3), seeds=2, scale=0.8)
    sgd = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    second = training.train(stack, data(), optimizer=sgd, **settings)
    if first.accelerator.is_main_process:
        record = {
            "processes": first.accelerator.num_processes,
            "network": [entry.loss for entry in first.history],
            "stack": [entry.members for entry in second.history],
            "average": first.average.network.last.weight.flatten().tolist(),
        }
        (folder / "curves.json").write_text(json.dumps(record))


if __name__ == "__main__":
    {"kill": kill, "share": share}[sys.argv[1]](Path(sys.argv[2]))
