"""The training loop: an iterator that the caller may log, plot and stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import _files, _validate
from . import checkpoints, journal, state
from .average import Average
from .objectives import objective_of, streams
from .settings import Settings


class Progress(NamedTuple):
    """What is known after an optimiser step."""

    step: int  # 1, 2, …
    loss: Tensor  # one for each member, before the step, on the device; of this process's examples


class Trainer:
    """Trains a network step by step; see `train`.

    Iterate over it to see each step's `Progress`. A loop that was left can be entered again.
    """

    def __init__(self, network: nn.Module, x: Tensor, **settings) -> None:
        from accelerate import Accelerator

        self.settings = s = Settings(**settings)
        self.accelerator = Accelerator()
        self.device = self._device(network)
        self.network = network.to(self.device)
        self.x = _data(x, network).to(self.device)
        self.objective = objective_of(network, s.sigmas) if s.objective is None else s.objective
        self._check()
        self._half = s.half(self.device, alone=not self.objective.members)
        self.optimizer = s.optimizer_of(network, self.device)
        self._model = self._prepared()  # gives all processes the same weights
        self._average = None if s.ema is None else Average(network, s.ema)
        self.step = 0
        self.folder = None if s.folder is None else Path(s.folder)
        self._journal = journal.Journal(self.folder)
        if self.folder is not None:
            self._run = self._identity()
            self._resume()

    @property
    def average(self) -> nn.Module | None:
        """The network with the moving average of the weights, where `ema` was given."""
        return self._average.network if self._average else None

    @property
    def history(self) -> list[journal.Logged]:
        """What was logged, also before an interruption."""
        return self._journal.history

    def __iter__(self) -> Iterator[Progress]:
        self.network.train()
        shown = self.settings.bar if self.accelerator.is_main_process else False
        bar = journal.progress_bar(self.settings.steps, self.step, shown)
        try:
            while self.step < self.settings.steps:
                self._journal.start_clock()
                loss = self._advance()
                self._journal.add(loss)
                self._report(bar)
                yield Progress(self.step, loss)
        finally:
            bar.close()
            self.network.eval()

    def _device(self, network: nn.Module) -> torch.device:
        if self.accelerator.num_processes > 1:
            return self.accelerator.device
        given = self.settings.device
        return torch.device(given) if given is not None else next(network.parameters()).device

    def _check(self) -> None:
        if self.settings.clip is not None and self.objective.members:
            raise ValueError(
                "clip must be None for networks that train side by side, or one's gradient would "
                f"shrink the steps of the others; got {self.settings.clip:g}"
            )
        if self.settings.batch % self.accelerator.num_processes:
            raise ValueError(
                f"batch must be divisible by the {self.accelerator.num_processes} processes, "
                f"got {self.settings.batch}"
            )

    def _prepared(self) -> nn.Module:
        """Return the objective as it runs: compiled where wanted, spread over processes."""
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.to(memory_format=torch.channels_last)  # the faster layout
        model, mode = self.objective.to(self.device), self.settings.compile
        if mode:
            model = torch.compile(model, mode=mode if isinstance(mode, str) else None)
        return self.accelerator.prepare_model(model, device_placement=False)

    def _draw(self) -> list[Tensor]:
        """Return this process's share of what all processes draw."""
        stream = streams(self.settings.seed, self.step, self.device)
        drawn = self.objective.draw(self.x, self.settings.batch, stream)
        share = self.settings.batch // self.accelerator.num_processes
        first = share * self.accelerator.process_index
        return [tensor.narrow(self.objective.batch_dim, first, share) for tensor in drawn]

    def _advance(self) -> Tensor:
        """Take one step of the optimiser; return the losses before it."""
        drawn = self._draw()
        if self.settings.schedule is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = group["initial_lr"] * self.settings.schedule(self.step)
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._half):
            loss = self._model(*drawn)
        self.accelerator.backward(loss.sum())
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.step()
        self.step += 1
        if self._average is not None:
            self._average.update(self.network, self.step)
        return loss.detach().clone()  # a compiled graph may write over it in the next step

    def _report(self, bar: tqdm) -> None:
        """Do what is due after a step; files are written by the first process alone."""
        leads, s = self.accelerator.is_main_process, self.settings
        log = self._due(s.log_every)
        losses = self._losses() / self._journal.count if log else None
        self._journal.stop_clock()
        if log:
            images = s.batch * (self.objective.members or (1,))[0]
            entry = self._journal.enter(self.step, losses, images, keep=leads)
            bar.set_postfix_str(journal.describe(entry), refresh=False)
        bar.update()
        if self.folder is not None and self._due(s.save_every):
            self._save()
        if s.sheet_every and leads and self._due(s.sheet_every):
            shown = self.average or self.network
            journal.write_sheet(self.folder, self.step, shown, self.x.shape[1:])
        if s.progress is not None:
            s.progress(self.step / s.steps)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _losses(self) -> Tensor:
        """Return the losses since the last entry, summed, averaged over the processes."""
        return self.accelerator.reduce(self._journal.total, "mean")

    def _networks(self) -> dict[str, nn.Module]:
        average = {"average": self.average} if self.average is not None else {}
        return {"network": self.network, **average}

    def _identity(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with, so that going on from it is the same run."""
        return {
            "network": state.shapes(self.network),
            "objective": self.objective.describe(),
            "data": state.fingerprint(self.x),
            "batch": self.settings.batch,
            "seed": self.settings.seed,
            "optimizer": state.hyperparameters(self.optimizer),
            "ema": self.settings.ema,
            "clip": self.settings.clip,
            "precision": "bf16" if self._half else "float32",
        }

    def _save(self) -> None:
        from accelerate.utils import gather_object

        tensors, plain = state.capture(self._networks(), self.optimizer)
        for rank, own in enumerate(gather_object([state.random_state(self.device)])):
            tensors |= {f"random.{rank}.{name}": value for name, value in own.items()}
        if self._journal.count:
            tensors["losses"] = self._losses()
        if self.accelerator.is_main_process:
            record = {"run": self._run, "step": self.step, "optimizer": plain,
                      "seconds": self._journal.seconds, "count": self._journal.count}  # fmt: skip
            checkpoints.write(self.folder, self.step, tensors, record)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        """Go on from the last checkpoint that is whole, if there is one."""
        from accelerate.utils import broadcast_object_list

        found = None
        if self.accelerator.is_main_process:
            _files.prepare(self.folder)
            for draft in self.folder.glob(".*.part"):  # of a process that was killed
                draft.unlink()
            found = checkpoints.read(self.folder)
        (found,) = broadcast_object_list([found])
        if found is not None:
            record = found.record
            checkpoints.refuse_another_run(record["run"], self._run, self.folder)
            if record["step"] > self.settings.steps:
                raise ValueError(
                    f"steps must be at least {record['step']}, those done in {self.folder}, "
                    f"got {self.settings.steps}"
                )
            state.restore(found, self._networks(), self.optimizer)
            own = found.part(f"random.{self.accelerator.process_index}")
            state.restore_random_state(own, self.device)
            self.step = record["step"]
            losses = found.tensors.get("losses")
            losses = None if losses is None else losses.to(self.device)
            self._journal.restore(losses, record["count"], record["seconds"])
        if self.accelerator.is_main_process:
            self._journal.open(self.step)


def train(network: nn.Module, x: Tensor, **settings) -> Trainer:
    r"""Minimise the denoising loss of a network on data, and return the finished `Trainer`.

    A `Preconditioned` network is trained at random noise levels; a `constrained.Stack` at its own,
    all its copies side by side. Each step draws its examples, with replacement, and its noise from
    a generator that `seed` and the number of the step determine. The network is trained in place.

    It runs where the network is, or on the processes of ``accelerate launch``: each takes its share
    of the same batch, so the curve is that of one process. With `folder` it writes a checkpoint now
    and then, of which it keeps two, and goes on from the last one that is whole; on a CPU the
    weights are then bit by bit those of a run that was never stopped.

    Parameters
    ----------
    network : Module
        `Preconditioned`, a `constrained.Stack`, or any with an `objective` of its own.
    x : Tensor, shape (N, *shape)
        The data; they are kept on the device.
    **settings
        The fields of `Settings`: `steps`, and what else differs from the defaults there.

    Returns
    -------
    Trainer
        With `network`, its moving `average` or None, the `history` of `Logged` entries, and `step`.
    """
    trainer = Trainer(network, x, **settings)
    for _ in trainer:
        pass
    return trainer


def _data(x: Tensor, network: nn.Module) -> Tensor:
    x = _validate.dataset(x).to(next(network.parameters()).dtype)
    shape = getattr(network, "shape", x.shape[1:])
    if x.shape[1:] != shape:
        raise ValueError(
            f"x must have shape (N, {', '.join(map(str, shape))}), as the network's examples, "
            f"got {tuple(x.shape)}"
        )
    return x
