"""Time `Equivariant` against its materialised orbit, and `Blockwise` against a loop over blocks.

Everything runs in turn on one thread, round after round, and is judged by its median CPU time.
Needs Fashion-MNIST (see benchmarks/README.md) and about 6 GB of memory for the orbit.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from bayes import _processor, cpu_time, direct, peak_extra_mib
from torch import Tensor

import diffusion_creativity as dc
from diffusion_creativity import _groups
from diffusion_creativity._matmul import onednn_is_accurate
from diffusion_creativity.denoisers import Bayes, Blockwise, Equivariant

SIGMAS = (0.002, 0.02, 0.3, 1.0, 3.0, 80.0)
BATCHES = (1, 8, 64)
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


def measure_orbit(x: Tensor, rounds: int, checked: int) -> dict:
    start = time.process_time()
    ours = Equivariant.fit(x)
    fits = {"ours": time.process_time() - start}
    start = time.process_time()
    size = x.shape[-1] * x.shape[-2]
    orbit = _groups.orbit(x, tuple(x.shape[-2:]), size).reshape(-1, *x.shape[1:])
    built = Bayes.fit(orbit)
    fits["materialised"] = time.process_time() - start
    rows, span = [], float(x.max() - x.min())
    contestants = {"ours": ours, "materialised": built}
    for sigma in SIGMAS:
        for batch in BATCHES:
            y = noisy(x, batch, sigma, 1)
            ms = race(contestants, y, sigma, rounds)
            row = {"sigma": sigma, "batch": batch, "ms": ms,
                   "speedup": ms["materialised"] / ms["ours"]}  # fmt: skip
            if batch == 8:
                exact = direct(orbit, y[:checked], sigma)
                mid = (y + x[:batch]) / 2
                middle = direct(orbit, mid[:checked], sigma)
                row["error_over_range"] = {
                    name: float((run(y[:checked], sigma) - exact).abs().max()) / span
                    for name, run in contestants.items()
                }
                row["error_over_range_close_calls"] = {
                    name: float((run(mid[:checked], sigma) - middle).abs().max()) / span
                    for name, run in contestants.items()
                }
                row["peak_extra_mib"] = peak_extra_mib(lambda y=y, s=sigma: ours(y, s))
            rows.append(row)
            error = row.get("error_over_range", "")
            print(f"orbit  {sigma:6g} n={batch:3d} {ms['ours']:9.1f} {ms['materialised']:9.1f} ms "
                  f"{row['speedup']:6.1f} x {error}", flush=True)  # fmt: skip
    memory = {
        "ours": sum(t.numel() * t.element_size() for t in (ours._target.spectrum, x)) / 2**20,
        "materialised": 2 * orbit.numel() * orbit.element_size() / 2**20,
    }
    return {"shape": list(x.shape), "fit_s": fits, "memory_mib": memory, "rows": rows}


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


def provenance(rounds: int, checked: int) -> dict:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "onednn_route": onednn_is_accurate(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusion-creativity": dc.__version__,
        },
        "data": "Fashion-MNIST, training images",
        "rounds": rounds,
        "queries_checked": checked,
        "time": "median CPU milliseconds a call, contestants interleaved",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=2, help="checked against float64 per sigma")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = dc.data.load("fashion_mnist").x[: options.points]
    record = {
        "provenance": provenance(options.rounds, options.queries),
        "blocks": measure_blocks(x, 4, options.rounds),
        "orbit": measure_orbit(x, options.rounds, options.queries),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()
