"""Time `EquivariantLocalScore` against its floor and against straightforward ways to compute it.

Everything runs in turn on one thread, round after round, and is judged by its median CPU time.
Needs Fashion-MNIST (see benchmarks/README.md).
"""

import argparse
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import record
import torch
import torch.nn.functional as F
from bayes import cpu_time, peak_extra_mib
from torch import Tensor

import diffusion_creativity as dc
from diffusion_creativity._matmul import float32_matmul
from diffusion_creativity.denoisers import EquivariantLocalScore, _anywhere

WINDOWS = (3, 7, 15)
SIGMAS = (0.02, 0.3, 1.0)
TARGET = {3: 1.6, 7: 1.6, 15: 2.0}  # times the floor
RESULTS = Path(__file__).parents[1] / "results" / "patches_benchmark" / "metrics.json"

Run = Callable[[], object]


def unfolded(images: Tensor, k: int) -> Tensor:
    """Windows (m, k², places) of the torus."""
    return F.unfold(F.pad(images, (k // 2,) * 4, mode="circular"), k)


def minibatches(x: Tensor, k: int, batch: int = 64) -> Callable[[Tensor, float], Tensor]:
    """The published way: all pairs of a mini-batch of images at once, one noisy image at a time.

    Squared distances, logits and weights are tensors over (query, image, place); the largest
    logit is carried from one mini-batch to the next.
    """

    def run(y: Tensor, sigma: float) -> Tensor:
        return torch.cat([one(single, sigma) for single in y.split(1)])

    def one(y: Tensor, sigma: float) -> Tensor:
        query = unfolded(y, k)[0].T  # (places, k²)
        best = torch.full((len(query), 1, 1), -torch.inf)
        total, summed = torch.zeros_like(best), torch.zeros_like(best)
        for images in x.split(batch):
            windows = unfolded(images, k)
            products = torch.einsum("pk,mkq->pmq", query, windows)
            norms = query.square().sum(1)[:, None, None] + windows.square().sum(1)[None]
            logits = -(norms - 2 * products) / (2 * sigma**2)
            top = torch.maximum(best, logits.amax((1, 2), keepdim=True))
            weights = torch.exp(logits - top)
            shrink = torch.exp(best - top)
            total = total * shrink + weights.sum((1, 2), keepdim=True)
            centred = weights * images.flatten(1)[None]
            summed, best = summed * shrink + centred.sum((1, 2), keepdim=True), top
        return (summed / total).reshape(y.shape)

    return run


def loop(x: Tensor, k: int) -> Callable[[Tensor, float], Tensor]:
    """The loop of the definition: for each image, add squared differences offset by offset."""

    def run(y: Tensor, sigma: float) -> Tensor:
        query = unfolded(y, k)[0]
        total = torch.zeros(query.shape[1], 1)
        summed, best = torch.zeros_like(total), torch.full_like(total, -torch.inf)
        for image in x:
            windows = unfolded(image[None], k)[0]
            squares = torch.zeros(query.shape[1], windows.shape[1])
            for q, p in zip(query, windows, strict=True):
                squares += (q[:, None] - p).square()
            logits = -squares / (2 * sigma**2)
            top = torch.maximum(best, logits.amax(1, keepdim=True))
            weights, shrink = torch.exp(logits - top), torch.exp(best - top)
            total = total * shrink + weights.sum(1, keepdim=True)
            summed = summed * shrink + weights @ image.reshape(-1, 1)
            best = top
        return (summed / total).reshape(y.shape)

    return run


def attention(x: Tensor, k: int) -> Callable[[Tensor, float], Tensor]:
    """One call of PyTorch's attention: queries are windows of y, keys windows of x."""
    windows = unfolded(x, k).mT.flatten(0, 1)
    keys = torch.cat([windows, -windows.square().sum(1, keepdim=True) / 2], 1)[None]
    values = x.reshape(1, -1, 1)

    def run(y: Tensor, sigma: float) -> Tensor:
        query = unfolded(y, k).mT
        query = torch.cat([query, torch.ones_like(query[..., :1])], 2)
        found = F.scaled_dot_product_attention(
            query, keys.expand(len(y), -1, -1), values.expand(len(y), -1, -1), scale=sigma**-2
        )
        return found.mT.reshape(y.shape)

    return run


def floors(denoise: EquivariantLocalScore, k: int, y: Tensor) -> dict[str, Run]:
    """The scores of all pairs by the package's route, in tiles that stay in cache, and an exp each.

    Once with `torch.exp`, once with `torch.exp2`, which the package uses; neither sums anything.
    """
    bank = denoise._keep(k, None)
    (region,) = bank.regions()
    query = bank.queries(y, region, torch.float32)
    tile = (
        next(bank.tiles(region, torch.float32, merged=False))
        .columns(torch.float32)[:-2]
        .contiguous()
    )
    query = query.split(_anywhere.PAIRS["cpu"] // tile.shape[1])
    tiles = range(len(denoise.x) * region.count // tile.shape[1])

    def product(q: Tensor) -> Tensor:
        return q @ tile

    def run(last: Callable[[Tensor], Tensor] | None) -> None:
        # exp meets the same harmless arguments each time: underflow would slow it down.
        arguments = [torch.rand(len(q), tile.shape[1]) for q in query]
        with float32_matmul(y.device):
            for _ in tiles:
                for q, argument in zip(query, arguments, strict=True):
                    product(q)
                    if last is not None:
                        last(argument)

    return {
        "gemm": lambda: run(None),
        "floor_exp": lambda: run(torch.exp),
        "floor_exp2": lambda: run(torch.exp2),
    }


def medians(contestants: dict[str, Run], rounds: int) -> dict[str, float]:
    times = {name: [] for name in contestants}
    for run in contestants.values():  # warm up
        run()
    for _ in range(rounds):
        for name, run in contestants.items():
            times[name].append(cpu_time(run))
    return {name: statistics.median(found) for name, found in times.items()}


def measure(x: Tensor, rounds: int) -> list[dict]:
    rows, generator = [], torch.Generator().manual_seed(0)
    for k in WINDOWS:
        ours = EquivariantLocalScore.fit(x, window=k, padding="circular")
        published, attend = minibatches(x, k), attention(x, k)
        for sigma in SIGMAS:
            y = x[:1] + sigma * torch.randn(1, *x.shape[1:], generator=generator)
            ours(y, sigma)
            contestants = {
                **floors(ours, k, y),
                "ours": lambda ours=ours, y=y, s=sigma: ours(y, s),
                "published": lambda run=published, y=y, s=sigma: run(y, s),
                "attention": lambda run=attend, y=y, s=sigma: run(y, s),
            }
            ms = medians(contestants, rounds)
            exact = attend_float64(x, k)(y.double(), sigma)
            pairs = len(x) * (x.shape[-1] * x.shape[-2]) ** 2
            row = {
                "images": len(x), "window": k, "sigma": sigma, "pairs": pairs, "ms": ms,
                "ratio_to_floor": {name: ms["ours"] / ms[name]
                                   for name in ("floor_exp", "floor_exp2")},
                "pairs_per_second": 1e3 * pairs / ms["ours"],
                "speedup": {name: ms[name] / ms["ours"] for name in ("published", "attention")},
                "peak_extra_mib": {name: peak_extra_mib(contestants[name])
                                   for name in ("published", "attention")},
                "error": {name: float((contestants[name]() - exact).abs().max())
                          for name in ("ours", "published", "attention")},
            }  # fmt: skip
            rows.append(row)
            print(_line(row), flush=True)
    return rows


def attend_float64(x: Tensor, k: int) -> Callable[[Tensor, float], Tensor]:
    """Float64 attention, a slice of the queries at a time, so that it fits into memory."""
    windows = unfolded(x.double(), k).mT.flatten(0, 1)
    bias, centres = -windows.square().sum(1) / 2, x.double().flatten()

    def run(y: Tensor, sigma: float) -> Tensor:
        parts = unfolded(y, k)[0].T.split(28)
        found = [((q @ windows.T + bias) / sigma**2).softmax(1) @ centres for q in parts]
        return torch.cat(found).reshape(y.shape)

    return run


def batches(x: Tensor, rounds: int) -> list[dict]:
    """How the time for one image falls when a batch shares the bank."""
    rows, generator = [], torch.Generator().manual_seed(1)
    for k in WINDOWS:
        ours = EquivariantLocalScore.fit(x, window=k, padding="circular")
        for n in (1, 8, 32):
            y = x[:n] + torch.randn(n, *x.shape[1:], generator=generator)
            run = {"ours": lambda ours=ours, y=y: ours(y, 1.0)}
            ms = medians(run, rounds)["ours"]
            rows.append({"window": k, "batch": n, "ms_per_image": ms / n})
            print(f"batch {n:3d} window {k:2d}: {ms / n:7.1f} ms an image", flush=True)
    return rows


def memory(x: Tensor) -> list[dict]:
    """Memory that the first call of a fresh process adds, for 64 noisy images."""
    rows = []
    cases = [(k, sigma) for k in WINDOWS for sigma in (0.02, 1.0, 80.0)]
    for k, sigma in cases:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            mib = fresh.submit(_first_call, x, k, sigma).result()
        rows.append({"window": k, "sigma": sigma, "batch": 64, "peak_extra_mib": mib})
        print(f"first call, 64 images, window {k:2d}, sigma {sigma:g}: {mib:.0f} MiB", flush=True)
    return rows


def _first_call(x: Tensor, k: int, sigma: float) -> float | None:
    torch.set_num_threads(1)
    ours = EquivariantLocalScore.fit(x, window=k, padding="circular")
    y = x[0] + sigma * torch.randn(64, *x.shape[1:])
    return peak_extra_mib(lambda: ours(y, sigma))


def paddings(x: Tensor, rounds: int) -> list[dict]:
    """Zero padding, where only places with the same overlap with the border share windows."""
    rows, generator = [], torch.Generator().manual_seed(2)
    y = x[:1] + torch.randn(1, *x.shape[1:], generator=generator)
    for k in WINDOWS:
        contestants = {}
        for padding in ("circular", "zeros"):
            denoise = EquivariantLocalScore.fit(x, window=k, padding=padding)
            contestants[padding] = lambda run=denoise: run(y, 1.0)
        rows.append({"window": k, "ms": medians(contestants, rounds)})
        print(f"window {k:2d}: {rows[-1]['ms']}", flush=True)
    return rows


def _line(row: dict) -> str:
    ms = row["ms"]
    return (
        f"N={row['images']:4d} k={row['window']:2d} sigma={row['sigma']:5g} | floor "
        f"{ms['floor_exp']:6.0f} ours {ms['ours']:6.0f} published {ms['published']:7.0f} "
        f"attention {ms['attention']:6.0f} ms | ours/floor {row['ratio_to_floor']['floor_exp']:.2f}"
        f" (exp2 {row['ratio_to_floor']['floor_exp2']:.2f}), published/ours "
        f"{row['speedup']['published']:5.1f} | {row['pairs_per_second'] / 1e6:5.0f} M pairs/s | "
        f"error {row['error']['ours']:.0e}"
    )


def definition(x: Tensor, rounds: int) -> list[dict]:
    """The loop of the definition, on a few images: its time is proportional to their number."""
    rows, generator = [], torch.Generator().manual_seed(3)
    y = x[:1] + torch.randn(1, *x.shape[1:], generator=generator)
    for k in WINDOWS:
        ours = EquivariantLocalScore.fit(x, window=k, padding="circular")
        slow = loop(x, k)
        ms = medians(
            {"ours": lambda ours=ours: ours(y, 1.0), "loop": lambda slow=slow: slow(y, 1.0)}, rounds
        )
        gap = float((ours(y, 1.0) - slow(y, 1.0)).abs().max())
        rows.append({"images": len(x), "window": k, "ms": ms, "speedup": ms["loop"] / ms["ours"],
                     "difference": gap})  # fmt: skip
        print(
            f"window {k:2d}: loop/ours {rows[-1]['speedup']:.1f}, differ by {gap:.0e}", flush=True
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = dc.data.load("fashion_mnist").x
    measured = {
        "rows": [row for n in options.points for row in measure(x[:n], options.rounds)],
        "definition": definition(x[:10], options.rounds),
        "batches": batches(x[: options.points[0]], min(options.rounds, 3)),
        "memory": memory(x[:8].clone()),
        "paddings": paddings(x[: options.points[0]], options.rounds),
    }
    record.write(
        options.output,
        measured,
        data="Fashion-MNIST, training images; circular padding unless said otherwise",
        rounds=options.rounds,
        targets={str(k): ratio for k, ratio in TARGET.items()},
        time="median CPU milliseconds a call, contestants interleaved",
    )


if __name__ == "__main__":
    main()
