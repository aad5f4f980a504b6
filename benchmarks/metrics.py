"""Time the Fréchet distance against its peers, nearest neighbours, and precision and recall.

Contestants take turns, round after round; medians of CPU and wall seconds are reported. Needs
`pip install diffusion-creativity[test]` for torchmetrics, and Fashion-MNIST (see
benchmarks/README.md).
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import record
import scipy.linalg
import torch
from bayes import peak_extra_mib
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

import diffusion_creativity as dc
from diffusion_creativity.metrics.frechet import _nuclear_norm, _root

RESULTS = Path(__file__).parents[1] / "results" / "metrics_benchmark" / "metrics.json"
TARGETS = {"sqrtm": 5, "torchmetrics": 2}  # times faster
NEAREST_TARGET = 2.0  # seconds on two cores


class Flat(torch.nn.Module):
    """Features for torchmetrics: the numbers as they are."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        return x


def by_sqrtm(a: Tensor, b: Tensor) -> float:
    """The route of the original code and of most that followed."""
    a, b = a.numpy(), b.numpy()
    left, right = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(left @ right)
    squares = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(squares + np.trace(left) + np.trace(right) - 2 * np.trace(root.real))


def by_torchmetrics(a: Tensor, b: Tensor) -> float:
    metric = FrechetInceptionDistance(Flat(a.shape[1])).set_dtype(torch.float64)
    metric.update(a, real=True)
    metric.update(b, real=False)
    return float(metric.compute())


def core(a: Tensor, b: Tensor) -> dict[str, Callable[[], float]]:
    """What is left where the moments are known: the trace of the root of a product."""
    left, right = (torch.from_numpy(np.cov(x.numpy(), rowvar=False)) for x in (a, b))
    return {
        "ours": lambda: float(_nuclear_norm(_root(left), _root(right))),
        "torchmetrics": lambda: float(torch.linalg.eigvals(left @ right).sqrt().real.sum()),
        "sqrtm": lambda: float(np.trace(scipy.linalg.sqrtm(left.numpy() @ right.numpy()).real)),
    }


def timed(run: Callable[[], object]) -> tuple[object, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = run()
    return value, time.process_time() - cpu, time.perf_counter() - wall


def features(n: int, d: int, seed: int) -> Tensor:
    """Correlated, with a falling spectrum, as those of a network are; one law for all seeds."""
    axes = torch.Generator().manual_seed(2**31)
    mix = torch.randn(d, d, generator=axes, dtype=torch.float64) / d**0.5
    generator = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, d + 1, dtype=torch.float64) ** -0.5
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scale @ mix


def frechet(n: int, d: int, rounds: int) -> dict:
    """From features to the distance, and from moments to the trace."""
    a, b = features(n, d, 0), 1.1 * features(n, d, 1) + 0.01
    whole = {
        "ours": lambda: dc.metrics.frechet_distance(a, b),
        "torchmetrics": lambda: by_torchmetrics(a, b),
        "sqrtm": lambda: by_sqrtm(a, b),
    }
    return {
        "examples": n,
        "features": d,
        "targets": TARGETS,
        "from_features": race("features", whole, rounds),
        "from_moments": race("moments", core(a, b), rounds),
    }


def race(title: str, contestants: dict, rounds: int) -> dict:
    runs = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            runs[name].append(timed(run))
            print(f"frechet from {title} {name:12} cpu {runs[name][-1][1]:7.2f} s", flush=True)
    cpu = {name: statistics.median(r[1] for r in found) for name, found in runs.items()}
    wall = {name: statistics.median(r[2] for r in found) for name, found in runs.items()}
    value = runs["ours"][0][0]
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "speedup_cpu": {name: cpu[name] / cpu["ours"] for name in TARGETS},
        "speedup_wall": {name: wall[name] / wall["ours"] for name in TARGETS},
        "relative_difference": {name: abs(runs[name][0][0] - value) / value for name in TARGETS},
    }


def nearest(threads: int, rounds: int) -> list[dict]:
    """1,000 test images among the 60,000 training images."""
    train = dc.data.load("fashion_mnist").x
    samples = dc.data.load("fashion_mnist", split="test").x[:1000]
    rows = []
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        runs = [timed(lambda: dc.metrics.nearest(samples, train)) for _ in range(rounds + 1)][1:]
        row = {
            "threads": count,
            "cpu_s": statistics.median(r[1] for r in runs),
            "wall_s": statistics.median(r[2] for r in runs),
            "wall_s_best": min(r[2] for r in runs),
            "cpu_s_per_thread": statistics.median(r[1] for r in runs) / count,
            "target_s_on_two_cores": NEAREST_TARGET,
        }
        rows.append(row)
        print(f"nearest {row}", flush=True)
    torch.set_num_threads(1)
    return rows


def manifold(n: int, d: int) -> dict:
    a, b = features(n, d, 0).float(), features(n, d, 1).float()
    row = {"samples": n, "reference": n, "features": d, "n_by_n_float32_mib": n * n * 4 / 2**20}
    for name in ("precision_recall", "density_coverage"):
        metric = getattr(dc.metrics, name)
        metric(a[:600], b[:600])  # warm up
        timing = []
        peak = peak_extra_mib(lambda m=metric, t=timing: t.append(timed(lambda: m(a, b))))
        value, cpu, wall = timing[0]
        row[name] = {"cpu_s": cpu, "wall_s": wall, "peak_extra_mib": peak, "value": list(value)}
        print(f"{name} n={n} d={d} {row[name]}", flush=True)
    return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = {
        "nearest": nearest(options.threads, options.rounds),
        "manifold": [manifold(options.pairs, d) for d in (64, 784)],
        "frechet": frechet(options.examples, options.features, options.rounds),
    }
    print(json.dumps(measured["frechet"], indent=1))
    record.write(
        options.output,
        measured,
        "scipy",
        "torchmetrics",
        rounds=options.rounds,
        omp_wait_policy=os.environ.get("OMP_WAIT_POLICY", "default"),
        time="median seconds, contestants in turn, one thread unless said otherwise",
    )


if __name__ == "__main__":
    main()
