"""Time `Equivariant` against its materialised orbit, and `Blockwise` against a loop over blocks.

The orbit is met by `Bayes` (materialised) and by the textbook softmax over `torch.cdist` (obvious).
Everything runs in turn on one thread, round after round, and is judged by its median CPU time.
Needs Fashion-MNIST (see benchmarks/README.md) and about 8 GB of memory for the orbit.
"""

import argparse
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path

import record
import torch
from bayes import cdist_softmax, cpu_time, direct, peak_extra_mib
from torch import Tensor

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, Blockwise, Equivariant

SIGMAS = (0.002, 0.02, 0.3, 1.0, 3.0, 80.0)
BATCHES = (1, 8, 64)
STEPS, EVERY = 50, 7  # a generation; one in so many of its levels is timed
RESULTS = Path(__file__).parents[1] / "results" / "factorised_benchmark" / "metrics.json"


def loop(x: Tensor, block: int) -> Callable[[Tensor, float], Tensor]:
    """The obvious block denoiser: Bayes on one block after another."""
    size = x.shape[-1]
    corners = [(i, j) for i in range(0, size, block) for j in range(0, size, block)]
    cut = {(i, j): (..., slice(i, i + block), slice(j, j + block)) for i, j in corners}
    parts = {at: Bayes.fit(x[where]) for at, where in cut.items()}

    def run(y: Tensor, sigma: float) -> Tensor:
        out = torch.empty_like(y)
        for at, where in cut.items():
            out[where] = parts[at](y[where], sigma)
        return out

    return run


def noisy(x: Tensor, n: int, sigma: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    y = x[torch.randint(len(x), (n,), generator=generator)]
    return y + sigma * torch.randn(y.shape, generator=generator)


def race(contestants: dict, y: Tensor, sigma: float, rounds: int) -> dict:
    times = {name: [] for name in contestants}
    for run in contestants.values():  # warm up
        run(y[:1], sigma)
    for _ in range(rounds):
        for name, run in contestants.items():
            times[name].append(cpu_time(lambda run=run: run(y, sigma)))
    return {name: statistics.median(found) for name, found in times.items()}


def written_out(x: Tensor) -> Tensor:
    """All shifts of all images."""
    shifts = itertools.product(range(x.shape[-2]), range(x.shape[-1]))
    return torch.stack([x.roll(by, (-2, -1)) for by in shifts], 1).flatten(0, 1)


def measure_orbit(x: Tensor, rounds: int, checked: int) -> dict:
    kept = {}

    def keep(name: str, make: Callable[[], object]) -> float:
        return cpu_time(lambda: kept.update({name: make()})) / 1000

    fits = {"ours": keep("ours", lambda: Equivariant.fit(x))}
    shifting = keep("orbit", lambda: written_out(x))
    orbit = kept.pop("orbit")
    fits["obvious"] = shifting + keep("obvious", lambda: cdist_softmax(orbit))
    fits["materialised"] = shifting + keep("materialised", lambda: Bayes.fit(orbit))
    rows, span, ours = [], float(x.max() - x.min()), kept["ours"]
    for sigma in SIGMAS:
        for batch in BATCHES:
            y = noisy(x, batch, sigma, 1)
            row = raced(kept, y, sigma, rounds)
            if batch == 8:
                middle = (y + x[:batch]) / 2
                row["error_over_range"] = errors(kept, orbit, y[:checked], sigma, span)
                row["error_over_range_close_calls"] = errors(
                    kept, orbit, middle[:checked], sigma, span
                )
                row["peak_extra_mib"] = peak_extra_mib(lambda y=y, s=sigma: ours(y, s))
            rows.append(row)
    memory = {
        "ours": _mib(x, *vars(ours._target).values()),
        "materialised": 2 * _mib(orbit),
    }
    levels = dc.noise.karras(STEPS)[:-1][EVERY // 2 :: EVERY].tolist()
    timed = [raced(kept, noisy(x, max(BATCHES), s, 3), s, 1) for s in levels]
    return {"shape": list(x.shape), "fit_s": fits, "memory_mib": memory, "rows": rows,
            "generation": generation(fits, timed)}  # fmt: skip


def raced(contestants: dict, y: Tensor, sigma: float, rounds: int) -> dict:
    ms = race(contestants, y, sigma, rounds)
    speedup = {name: ms[name] / ms["ours"] for name in ms if name != "ours"}
    cells = "  ".join(f"{name} {ms[name]:.1f} ms, {speedup[name]:.1f} x" for name in speedup)
    print(f"orbit  {sigma:8.4g} n={len(y):3d} ours {ms['ours']:8.1f} ms  {cells}", flush=True)
    return {"sigma": sigma, "batch": len(y), "ms": ms, "speedup": speedup}


def errors(contestants: dict, orbit: Tensor, y: Tensor, sigma: float, span: float) -> dict:
    exact = direct(orbit, y, sigma)
    return {
        name: float((run(y, sigma) - exact).abs().max()) / span for name, run in contestants.items()
    }


def generation(fits: dict, timed: list[dict]) -> dict:
    """Fit and all steps of one batch, from the mean time of the levels that were timed."""
    seconds = {
        name: fit + STEPS * statistics.mean(row["ms"][name] for row in timed) / 1000
        for name, fit in fits.items()
    }
    speedup = {name: seconds[name] / seconds["ours"] for name in seconds if name != "ours"}
    print(f"whole generation, fit and {STEPS} steps: {seconds} s, {speedup}", flush=True)
    return {"steps": STEPS, "samples": timed[0]["batch"], "levels": timed,
            "seconds": seconds, "speedup": speedup}  # fmt: skip


def _mib(*tensors: object) -> float:
    sizes = (t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))
    return sum(sizes) / 2**20


def measure_blocks(x: Tensor, block: int, rounds: int) -> dict:
    ours, looped = Blockwise.fit(x, block=block), loop(x, block)
    rows = []
    for sigma in SIGMAS:
        for batch in BATCHES:
            y = noisy(x, batch, sigma, 2)
            ms = race({"ours": ours, "loop": looped}, y, sigma, rounds)
            gap = float((ours(y, sigma) - looped(y, sigma)).abs().max())
            rows.append({"sigma": sigma, "batch": batch, "ms": ms,
                         "speedup": ms["loop"] / ms["ours"], "difference": gap})  # fmt: skip
            print(f"blocks {sigma:6g} n={batch:3d} {ms['ours']:9.1f} {ms['loop']:9.1f} ms "
                  f"{rows[-1]['speedup']:6.1f} x", flush=True)  # fmt: skip
    return {"shape": list(x.shape), "block": block, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=2, help="checked against float64 per sigma")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = dc.data.load("fashion_mnist").x[: options.points]
    measured = {
        "blocks": measure_blocks(x, 4, options.rounds),
        "orbit": measure_orbit(x, options.rounds, options.queries),
    }
    record.write(
        options.output,
        measured,
        data="Fashion-MNIST, training images",
        rounds=options.rounds,
        queries_checked=options.queries,
        time="median CPU milliseconds a call, contestants interleaved",
    )


if __name__ == "__main__":
    main()
