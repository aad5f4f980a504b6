"""Time the Bayes-optimal denoiser against its own matrix products and against its peers.

Everything runs in turn on one thread, round after round, and is judged by its median CPU time.
Needs `pip install diffusion-creativity[benchmark]` and Fashion-MNIST (see benchmarks/README.md).
"""

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import record
import torch
from torch import Tensor

import diffusion_creativity as dc
from diffusion_creativity._matmul import float32_matmul

SIGMAS = (0.02, 0.3, 1.0, 3.0, 80.0)
BATCH = 64
RESULTS = Path(__file__).parents[1] / "results" / "bayes_benchmark" / "metrics.json"

Denoiser = Callable[[Tensor, float], Tensor]


def floor(bayes: dc.denoisers.Bayes) -> Denoiser:
    """Two matrix products over the same tiles by the same route, and nothing else."""
    points = bayes._points

    def run(y: Tensor, sigma: float) -> Tensor:
        total = torch.zeros(len(y), points.x.shape[1])
        query = points.centre(y.flatten(1), torch.float32)
        with float32_matmul(y.device):
            for _, x, bias, _ in points.tiles(len(y), torch.float32):
                total.addmm_(torch.addmm(bias, query, x.T), x)
        return total

    return run


def cdist_softmax(x: Tensor) -> Denoiser:
    """The textbook three lines."""
    flat = x.flatten(1)

    def run(y: Tensor, sigma: float) -> Tensor:
        logits = -torch.cdist(y.flatten(1), flat).square() / (2 * sigma**2)
        return (logits.softmax(1) @ flat).reshape(y.shape)

    return run


def smalldiffusion(x: Tensor) -> Denoiser:
    """`IdealDenoiser` of smalldiffusion, as published on PyPI; it returns the noise."""
    ideal = _smalldiffusion_model().IdealDenoiser(list(x))

    def run(y: Tensor, sigma: float) -> Tensor:
        level = torch.tensor(sigma)
        return y - level * ideal(y, level)

    return run


def _smalldiffusion_model() -> types.ModuleType:
    """Import smalldiffusion.model without the package's __init__, which asks for torchvision."""
    found = importlib.util.find_spec("smalldiffusion")
    if found is None:
        sys.exit("this benchmark compares with smalldiffusion: pip install smalldiffusion")
    package = types.ModuleType("smalldiffusion")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["smalldiffusion"] = package
    return importlib.import_module("smalldiffusion.model")


def direct(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Float64 sums over differences, one query at a time."""
    flat, out = x.flatten(1), torch.empty(y.shape, dtype=torch.float64)
    for row, query in zip(out, y.flatten(1).double(), strict=True):
        squares = torch.cat([(p.double() - query).square().sum(1) for p in flat.split(4096)])
        weights = (-squares / (2 * sigma**2)).softmax(0)
        mean = sum(
            w @ p.double() for w, p in zip(weights.split(4096), flat.split(4096), strict=True)
        )
        row.copy_(mean.reshape(row.shape))
    return out


def close_calls(bayes: dc.denoisers.Bayes, n: int) -> Tensor:
    """Midpoints: of a training image and its nearest neighbour, and of two images at random."""
    x = bayes.x
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randint(len(x), (2, n), generator=generator)
    distances = torch.cdist(x[first].flatten(1), x.flatten(1))
    neighbour = distances.topk(2, largest=False).indices[:, 1]
    other = torch.where(torch.arange(n) % 2 == 0, neighbour, second)
    return (x[first] + x[other]) / 2


def peak_extra_mib(run: Callable[[], object]) -> float | None:
    """How far the resident set rises above where it was (Linux only)."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _field(status, "VmRSS")
        run()
        return max(_field(status, "VmHWM") - before, 0) / 1024
    except OSError:
        return None


def _field(status: Path, name: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def cpu_time(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def measure(x: Tensor, rounds: int, queries: int) -> list[dict]:
    bayes = dc.denoisers.Bayes.fit(x)
    contestants: dict[str, Denoiser] = {
        "floor": floor(bayes),
        "ours": bayes,
        "smalldiffusion": smalldiffusion(x),
        "cdist": cdist_softmax(x),
    }
    generator = torch.Generator().manual_seed(0)
    span, rows, midpoints = float(x.max() - x.min()), [], close_calls(bayes, queries)
    for sigma in SIGMAS:
        y = x[torch.randint(len(x), (BATCH,), generator=generator)]
        y = y + sigma * torch.randn(y.shape, generator=generator)
        for run in contestants.values():  # warm up
            run(y, sigma)
        times = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, run in contestants.items():
                times[name].append(cpu_time(lambda run=run, y=y, s=sigma: run(y, s)))
        row = {"sigma": sigma, "ms": {k: statistics.median(v) for k, v in times.items()}}
        ms = row["ms"]
        row["ratio_to_floor"] = ms["ours"] / ms["floor"]
        row["speedup"] = {k: ms[k] / ms["ours"] for k in ("smalldiffusion", "cdist")}
        row["peak_extra_mib"] = {
            k: peak_extra_mib(lambda run=run, y=y, s=sigma: run(y, s))
            for k, run in contestants.items()
        }
        close = midpoints + sigma / 10 * torch.randn(midpoints.shape, generator=generator)
        row["error_over_range"], row["error_over_range_close_calls"] = (
            _errors(contestants, x, y[:queries], sigma, span),
            _errors(contestants, x, close, sigma, span),
        )
        rows.append(row)
        print(_line(row), flush=True)
    return rows


def _errors(contestants: dict, x: Tensor, y: Tensor, sigma: float, span: float) -> dict:
    exact = direct(x, y, sigma)
    return {
        name: float((run(y, sigma) - exact).abs().max()) / span
        for name, run in contestants.items()
        if name != "floor"
    }


HEADER = (
    f"{'sigma':>6} | {'floor':>6} {'ours':>6} {'small':>6} {'cdist':>6} ms | "
    f"{'floor':>5} {'small':>5} {'cdist':>5} x | {'ours':>5} {'small':>5} {'cdist':>5} MiB | "
    f"{'ours':>7} {'small':>7} {'cdist':>7} | {'ours':>7} {'small':>7} {'cdist':>7}"
)


def _line(row: dict) -> str:
    def cells(values: dict, fmt: str) -> str:
        return " ".join(
            format(values[k], fmt) if values[k] is not None else "-".rjust(5)
            for k in ("floor", "ours", "smalldiffusion", "cdist")
            if k in values
        )

    memory = {k: v for k, v in row["peak_extra_mib"].items() if k != "floor"}
    ratios = {"floor": row["ratio_to_floor"], **row["speedup"]}
    return (
        f"{row['sigma']:6g} | {cells(row['ms'], '6.0f')}    | {cells(ratios, '5.2f')}   | "
        f"{cells(memory, '5.0f')}     | {cells(row['error_over_range'], '7.0e')} | "
        f"{cells(row['error_over_range_close_calls'], '7.0e')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--queries", type=int, default=16, help="checked against float64 per sigma")
    parser.add_argument("--points", type=int, default=None, help="use only so many images")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = dc.data.load("fashion_mnist").x[: options.points]
    print("CPU ms a call | ours / floor, peer / ours | extra memory | error / range: noisy data, ")
    print("midpoints between training images\n" + HEADER)
    rows = measure(x, options.rounds, options.queries)
    record.write(
        options.output,
        {"rows": rows},
        "smalldiffusion",
        data="Fashion-MNIST, training images",
        shape=list(x.shape),
        batch=BATCH,
        rounds=options.rounds,
        queries_checked=options.queries,
        time="median CPU milliseconds a call, contestants interleaved",
    )


if __name__ == "__main__":
    main()
