"""Time training steps and sampling of UNets in turn with three packages from PyPI.

Grey images of 32×32, batch 64, networks of equal size (see benchmarks/README.md). On a GPU, where
there is one, in bf16; else on the CPU in float32. A package that is not installed is left out.
"""

import argparse
import importlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from unittest.mock import MagicMock

import record
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

import diffusion_creativity as dc
from diffusion_creativity import training
from diffusion_creativity._table import Table
from diffusion_creativity.networks import Preconditioned, UNet, UNetConfig, constrained

SIDE, STEPS = 32, 10  # of the images; of a sampler
RATE = 1e-4  # of AdamW
PEERS = ("smalldiffusion", "diffusers", "denoising-diffusion-pytorch")
RESULTS = Path(__file__).parents[1] / "results" / "training_benchmark" / "metrics.json"


@dataclass
class Contestant:
    """A network with what its own package does in a step, and to sample a batch."""

    name: str
    network: nn.Module
    forward: Callable[[Tensor, Tensor], object]  # takes images (B, 1, 32, 32) and labels (B,)
    step: Callable[[], object]
    sample: Callable[[], object]
    times: dict[str, list[float]] = field(default_factory=lambda: {"step": [], "sample": []})
    flops: int = 0  # of one image's forward pass

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.network.parameters())


def ours(
    name: str, config: UNetConfig, x: Tensor, batch: int, mode: bool | str = False
) -> Contestant:
    """A `UNet` in `training.Trainer`, sampled by `sampling.ddim`."""
    network = Preconditioned(UNet(config), sigma_data=float(x.std())).to(x.device)
    trainer = training.Trainer(
        network, x, steps=10**9, batch=batch, bar=False, compile=mode,
        optimizer=lambda p: torch.optim.AdamW(p, lr=RATE, fused=x.is_cuda),
    )  # fmt: skip
    loop, sigmas = iter(trainer), dc.noise.karras(STEPS)
    start = dc.sampling.initial_noise(batch, x.shape[1:], device=x.device)

    def sample() -> Tensor:
        with autocast(x):
            return dc.sampling.ddim(network.denoise, start, sigmas)

    return Contestant(name, network, network.network, lambda: next(loop), sample)


def smalldiffusion(x: Tensor, batch: int) -> Contestant:
    """Its `Unet`, `training_loop` and `samples`."""
    package = importlib.import_module("smalldiffusion")
    from smalldiffusion.model_unet import Unet

    network = Unet(SIDE, 1, 1, ch=32, ch_mult=(1, 2, 2), num_res_blocks=1, dropout=0.0)
    network.to(x.device)
    schedule = package.ScheduleLogLinear(N=1000, sigma_min=0.02, sigma_max=80)
    sigmas = schedule.sample_sigmas(STEPS)
    loader = torch.utils.data.DataLoader(x.cpu(), batch_size=batch, shuffle=True, drop_last=True)
    without_bar(package.training_loop)
    loop = package.training_loop(loader, network, schedule, epochs=10**9, lr=RATE)

    def sample() -> Tensor:
        with autocast(x):
            return list(package.samples(network, sigmas, batchsize=batch))[-1]

    def step() -> object:
        with autocast(x):
            return next(loop)

    return Contestant("smalldiffusion", network, network, step, sample)


def diffusers(x: Tensor, batch: int) -> Contestant:
    """Its `UNet2DModel`, the loss of its examples, and its `DDIMScheduler`."""
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

    network = UNet2DModel(
        sample_size=SIDE, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=8,
        block_out_channels=(32, 64, 64), up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    ).to(x.device)  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    forward_process, sampler = DDPMScheduler(1000), DDIMScheduler(1000)
    rows = batches(x, batch)

    def step() -> None:
        clean = next(rows)
        noise = torch.randn_like(clean)
        times = torch.randint(1000, (batch,), device=x.device)
        with autocast(x):
            made = network(forward_process.add_noise(clean, noise, times), times).sample
            loss = nn.functional.mse_loss(made, noise)
        descend(optimizer, loss)

    @torch.no_grad()
    def sample() -> Tensor:
        y = torch.randn(batch, 1, SIDE, SIDE, device=x.device)
        sampler.set_timesteps(STEPS)
        for t in sampler.timesteps:
            with autocast(x):
                y = sampler.step(network(y, t).sample, t, y).prev_sample
        return y

    return Contestant("diffusers", network, lambda y, t: network(y, t).sample, step, sample)


def denoising_diffusion_pytorch(x: Tensor, batch: int) -> Contestant:
    """Its `Unet` in its `GaussianDiffusion`."""
    package = importlib.import_module("denoising_diffusion_pytorch")
    network = package.Unet(28, dim_mults=(1, 2, 2), channels=1).to(x.device)
    diffusion = package.GaussianDiffusion(network, image_size=SIDE, sampling_timesteps=STEPS)
    diffusion.to(x.device)
    without_bar(package.GaussianDiffusion)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    rows = batches(x / 2 + 0.5, batch)

    def step() -> None:
        with autocast(x):
            loss = diffusion(next(rows))
        descend(optimizer, loss)

    def sample() -> Tensor:
        with autocast(x):
            return diffusion.sample(batch)

    return Contestant("denoising-diffusion-pytorch", network, network, step, sample)


def autocast(x: Tensor) -> torch.autocast:
    """bf16 on a GPU, for every contestant alike."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda)


def batches(x: Tensor, batch: int) -> Iterator[Tensor]:
    """Examples drawn on the device."""
    while True:
        yield x[torch.randint(len(x), (batch,), device=x.device)]


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def without_bar(thing: Callable) -> None:
    """Replace the progress bar in a peer's module: it costs time, and disturbs the table."""
    sys.modules[thing.__module__].tqdm = partial(tqdm, disable=True)


def without_torchvision() -> None:
    """Stand something in for torchvision where it is not there, or not for this torch.

    The packages import it to read image files, which nothing here does.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("torchvision", "torchvision.transforms", "torchvision.utils"):
            sys.modules[name] = MagicMock(__spec__=ModuleSpec(name, None), __path__=[])


def installed() -> list[str]:
    """Peers that are there; says which are not."""
    found = []
    for name in PEERS:
        try:
            version(name)
            found.append(name)
        except PackageNotFoundError:
            print(f"{name} is left out: it is not installed (pip install {name})")
    return found


def contestants(x: Tensor, batch: int, compiled: bool) -> list[Contestant]:
    """All that take part: like the peers in depth, widths, skips and attention; our own shape."""
    like = UNetConfig(depth=2, widths=(32, 64, 64), blocks=(3, 2, 3), combine="concatenate",
                      attention=(16,), heads=1)  # fmt: skip
    entries = [ours("ours, their topology", like, x, batch),
               ours("ours, own shape", UNetConfig(), x, batch)]  # fmt: skip
    without_torchvision()
    makers = {"smalldiffusion": smalldiffusion, "diffusers": diffusers,
              "denoising-diffusion-pytorch": denoising_diffusion_pytorch}  # fmt: skip
    peers = [makers[name] for name in installed()]
    entries += [maker(x, batch) for maker in peers]
    if compiled:
        mode = "reduce-overhead" if x.is_cuda else True  # CUDA graphs: fewer launches
        entries += [ours("ours, their topology, compiled", like, x, batch, mode),
                    ours("ours, own shape, compiled", UNetConfig(), x, batch, mode)]  # fmt: skip
        entries += [compiled_peer(maker(x, batch), mode) for maker in peers]
    return entries


def compiled_peer(entry: Contestant, mode: bool | str) -> Contestant:
    """Compile the network of a peer, which its own package does not."""
    entry.flops = count_flops(entry, next(entry.network.parameters()).device)
    entry.network.compile(mode=mode if isinstance(mode, str) else None)
    entry.name += ", compiled"
    return entry


def clock(device: torch.device) -> float:
    """Wall seconds when a GPU has finished; else CPU seconds, which others disturb less."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def play(entries: list[Contestant], device: torch.device, rounds: int, repeat: int) -> None:
    """Let them take turns."""
    for entry in entries:  # the first calls prepare and compile
        for _ in range(3 if device.type == "cuda" else 1):
            entry.step()
        entry.sample()
    for _, entry in itertools.product(range(rounds), entries):
        for kind, count in (("step", repeat), ("sample", 1)):
            begun = clock(device)
            for _ in range(count):
                getattr(entry, kind)()
            entry.times[kind].append((clock(device) - begun) / count)


def count_flops(entry: Contestant, device: torch.device) -> int:
    """Multiplications and additions of one image's forward pass."""
    images, labels = torch.randn(2, 1, SIDE, SIDE, device=device), torch.ones(2, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        entry.forward(images, labels)
    return counter.get_total_flops() // 2


def product_rate(device: torch.device) -> float | None:
    """FLOP/s of a large bf16 matrix product on a GPU: what can be reached at best."""
    if device.type != "cuda":
        return None
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    times = []
    for _ in range(10):
        begun = clock(device)
        a @ a
        times.append(clock(device) - begun)
    return 2 * 8192**3 / min(times)


def summary(entry: Contestant, batch: int, best: float | None) -> dict:
    """Speeds of a contestant; a step is three forward passes."""
    step, sample = (statistics.median(entry.times[kind]) for kind in ("step", "sample"))
    work = 3 * entry.flops * batch
    row = {
        "name": entry.name,
        "parameters": entry.parameters,
        "mflop_an_image": entry.flops / 1e6,
        "step_s": step,
        "step_s_of_rounds": entry.times["step"],
        "trained_images_per_s": batch / step,
        "gflop_per_s": work / step / 1e9,
        "sampled_images_per_s": batch / sample,
        "sampling_gflop_per_s": STEPS * entry.flops * batch / sample / 1e9,
    }
    return row | ({"share_of_matrix_product": work / step / best} if best else {})


def ratios(rows: list[dict], *, compiled: bool) -> dict[str, dict[str, float]]:
    """Each of ours against the best peer, as it comes or compiled: per FLOP, and in images."""
    keys = ("gflop_per_s", "trained_images_per_s", "sampling_gflop_per_s", "sampled_images_per_s")
    mine = [row for row in rows if row["name"].startswith("ours")]
    peers = [r for r in rows if r not in mine and r["name"].endswith(", compiled") == compiled]
    return {
        row["name"]: {key: row[key] / max(peer[key] for peer in peers) for key in keys}
        for row in mine
        if peers
    }


def seeds_together(device: torch.device, rounds: int, count: int = 8, repeat: int = 10) -> list:
    """Steps of `count` seeds of small networks as one stack, and as `count` networks."""
    x = dc.data.load("digits").x.to(device)
    sigmas, units = dc.noise.karras(10), {"scale": float(x.std())}
    kinds = {
        "affine": constrained.Affine,
        "convolution 3×3": partial(constrained.Convolution, kernel_size=3),
        "perceptron 256": partial(constrained.MLP, width=256),
    }
    rows = []
    for name, kind in kinds.items():
        groups = [list(range(count))], [[seed] for seed in range(count)]
        loops = [
            [iter(training.Trainer(kind(x.shape[1:], sigmas, seeds=seeds, **units).to(device), x,
                                   steps=10**9, batch=64, bar=False)) for seeds in group]
            for group in groups
        ]  # fmt: skip
        times: tuple[list, list] = ([], [])
        for turn in range(rounds + 1):
            for loop, taken in zip(loops, times, strict=True):
                begun = clock(device)
                for _, one in itertools.product(range(repeat), loop):
                    next(one)
                if turn:  # the first prepares
                    taken.append((clock(device) - begun) / repeat)
        together, apart = (statistics.median(taken) for taken in times)
        rows.append({"network": name, "seeds": count, "levels": 10, "together_s": together,
                     "apart_s": apart, "speedup": apart / together})  # fmt: skip
    return rows


def show(rows: list[dict], found: dict, compiled: dict, seeds: list[dict]) -> None:
    cells = [[r["name"], f"{r['parameters'] / 1e6:.2f} M", f"{r['mflop_an_image']:.0f}",
              f"{r['trained_images_per_s']:,.1f}", f"{r['gflop_per_s']:,.0f}",
              f"{r['sampled_images_per_s']:,.1f}", f"{r['sampling_gflop_per_s']:,.0f}"]
             for r in rows]  # fmt: skip
    print(Table(["", "parameters", "MFLOP an image", "trained images/s", "GFLOP/s",
                 f"sampled images/s ({STEPS} steps)", "GFLOP/s"], cells))  # fmt: skip
    for peer, ratios_to in (("best peer", found), ("best compiled peer", compiled)):
        for name, ratio in ratios_to.items():
            print(f"{name}, of the {peer}:", ", ".join(f"{k} {v:.2f}" for k, v in ratio.items()))
    for row in seeds:
        together, apart = (f"{1e3 * row[key]:.2f} ms" for key in ("together_s", "apart_s"))
        print(f"{row['seeds']} seeds of {row['network']}: {together} together, {apart} apart")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeat", type=int, help="steps in a turn: 1 on a CPU, 50 on a GPU")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="all of them compiled, too")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    x = torch.randn(2048, 1, SIDE, SIDE, device=device).clamp(-1, 1)
    entries = contestants(x, options.batch, options.compile)
    for entry in entries:
        entry.flops = entry.flops or count_flops(entry, device)
    repeat = options.repeat or (50 if device.type == "cuda" else 1)
    play(entries, device, options.rounds, repeat)
    best = product_rate(device)
    rows = [summary(entry, options.batch, best) for entry in entries]
    found, compiled = ratios(rows, compiled=False), ratios(rows, compiled=True)
    seeds = seeds_together(device, options.rounds)
    show(rows, found, compiled, seeds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    record.write(
        options.output, {"rows": rows, "of_best_peer": found,
                         "of_best_compiled_peer": compiled, "seeds_together": seeds},
        *[e.name for e in entries if e.name in PEERS], "accelerate",
        device=name, batch=options.batch, rounds=options.rounds, steps_in_a_turn=repeat,
        matrix_product_flop_per_s=best, sampler_steps=STEPS,
        time="median wall seconds" if device.type == "cuda" else "median CPU seconds",
    )  # fmt: skip


if __name__ == "__main__":
    main()
