"""Time fitting and sampling with every affine denoiser, against the obvious torch code.

Fit to 1,000 images of Fashion-MNIST, then 1,000 samples in 50 DDIM steps, on one thread; median of
the rounds, contestants in turn, judged by CPU time (see benchmarks/README.md).
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import record
import torch
from torch import Tensor
from torch.nn import functional

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Convolutional, LinearBottleneck

STEPS, SAMPLES, TARGET = 50, 1000, 2.0  # target: seconds for fitting and sampling together
RESULTS = Path(__file__).parents[1] / "results" / "affine_benchmark" / "metrics.json"
RIDGE, STOPPED, RANK, WINDOW = 0.1, 0.05, 32, 9

Steps = Callable[[float], Callable[[Tensor], Tensor]]  # σ ↦ the denoiser at σ


def euler(denoiser_at: Steps, noise: Tensor, sigmas: Tensor) -> Tensor:
    """DDIM as one writes it down."""
    y = noise
    for sigma, after in itertools.pairwise(sigmas.tolist()):
        x_hat = denoiser_at(sigma)(y)
        y = x_hat + after / sigma * (y - x_hat)
    return y


def dense(matrix_at: Callable[[float], Tensor], mean: Tensor) -> Steps:
    """One matrix product for each step, with the matrix found at each step."""

    def at(sigma: float) -> Callable[[Tensor], Tensor]:
        A = matrix_at(sigma)
        return lambda y: (mean + (y.flatten(1) - mean) @ A).reshape(y.shape)

    return at


def obvious_affine(x: Tensor, *, ridge: float = 0.0, stopped_at: float | None = None) -> Steps:
    """Covariance, then a solve at each level."""
    flat = x.flatten(1)
    mean, cov = flat.mean(0), torch.cov(flat.T, correction=0)
    eye = torch.eye(len(cov))

    def matrix(sigma: float) -> Tensor:
        total = cov + (sigma**2 + ridge) * eye
        A = torch.linalg.solve(total, cov)
        if stopped_at is None:
            return A
        values, vectors = torch.linalg.eigh(total)
        return A @ (vectors * -torch.expm1(-2 * stopped_at * values)) @ vectors.T

    return dense(matrix, mean)


def obvious_bottleneck(x: Tensor, rank: int) -> Steps:
    """Reduced-rank regression at each level: solve, then keep the strongest singular vectors."""
    flat = x.flatten(1)
    mean, cov = flat.mean(0), torch.cov(flat.T, correction=0)
    eye = torch.eye(len(cov))
    vectors = torch.linalg.eigh(cov)[1][:, -rank:]
    keep = vectors @ vectors.T
    return dense(lambda sigma: torch.linalg.solve(cov + sigma**2 * eye, cov) @ keep, mean)


def obvious_circulant(x: Tensor) -> Steps:
    """The covariance averaged over all shifts, as a dense matrix, and a solve at each level."""
    h, w = x.shape[-2:]
    centred = x - x.mean()
    power = torch.fft.fft2(centred).abs().square().mean((0, 1)) / (h * w)
    lag = torch.fft.ifft2(power).real
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    row, column = row.flatten(), column.flatten()
    cov = lag[(row[:, None] - row) % h, (column[:, None] - column) % w]
    eye = torch.eye(h * w)
    mean = x.mean().expand(h * w)
    return dense(lambda sigma: torch.linalg.solve(cov + sigma**2 * eye, cov), mean)


def obvious_window(x: Tensor, k: int, padding: str) -> Steps:
    """Least squares for the kernel from all windows of the data, then `conv2d` at each step."""
    side, mode = k // 2, "circular" if padding == "circular" else "constant"

    def frame(y: Tensor) -> Tensor:
        return functional.pad(y, (side,) * 4, mode=mode)

    def gram(y: Tensor) -> Tensor:
        windows = functional.unfold(frame(y), k).transpose(1, 2).reshape(-1, k * k)
        windows = torch.cat([windows, torch.ones(len(windows), 1)], 1)
        return windows.T @ windows / len(windows)

    signal = sum(gram(part) * len(part) for part in x.split(50)) / len(x)  # windows are large
    inside = functional.unfold(frame(torch.ones_like(x[:1])), k).mean((0, 2))
    noise = torch.cat([inside, torch.zeros(1)]).diag()
    middle = signal[:, k * k // 2]  # E[window · its centre pixel]

    def at(sigma: float) -> Callable[[Tensor], Tensor]:
        found = torch.linalg.solve(signal.double() + sigma**2 * noise.double(), middle.double())
        kernel, bias = found[:-1].float().reshape(1, 1, k, k), found[-1:].float()
        return lambda y: functional.conv2d(frame(y), kernel, bias)

    return at


ROWS: dict[str, tuple[Callable[[Tensor], object], Callable[[Tensor], Steps]]] = {
    "Affine": (Affine.fit, obvious_affine),
    f"Affine, ridge {RIDGE}": (
        lambda x: Affine.fit(x, ridge=RIDGE),
        lambda x: obvious_affine(x, ridge=RIDGE),
    ),
    f"Affine, stopped at {STOPPED}": (
        lambda x: Affine.fit(x, stopped_at=STOPPED),
        lambda x: obvious_affine(x, stopped_at=STOPPED),
    ),
    f"LinearBottleneck, rank {RANK}": (
        lambda x: LinearBottleneck.fit(x, rank=RANK),
        lambda x: obvious_bottleneck(x, RANK),
    ),
    "Convolutional, full, circular": (Convolutional.fit, obvious_circulant),
    f"Convolutional, {WINDOW}×{WINDOW}, circular": (
        lambda x: Convolutional.fit(x, kernel_size=WINDOW),
        lambda x: obvious_window(x, WINDOW, "circular"),
    ),
    f"Convolutional, {WINDOW}×{WINDOW}, zeros": (
        lambda x: Convolutional.fit(x, kernel_size=WINDOW, padding="zeros"),
        lambda x: obvious_window(x, WINDOW, "zeros"),
    ),
}


def timed(run: Callable[[], object]) -> tuple[object, float, float]:
    """What `run` returns, its wall and its CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def once(row: str, x: Tensor, noise: Tensor, sigmas: Tensor) -> tuple[dict, dict]:
    """Fit and sample once each way: seconds (wall, CPU) by part, and the samples."""
    fit, obvious = ROWS[row]
    denoiser, *fitting = timed(lambda: fit(x))
    steps, *obvious_fitting = timed(lambda: obvious(x))
    samples, parts = {}, {"fit": fitting, "obvious fit": obvious_fitting}
    runs = {
        "ddim": lambda: dc.sampling.ddim(fit_fresh, noise, sigmas),
        "generate": lambda: denoiser.generate(noise, sigmas),
        "obvious": lambda: euler(steps, noise, sigmas),
    }
    fit_fresh = fit(x)  # no filter remembered from another run
    for name, run in runs.items():
        samples[name], *parts[name] = timed(run)
    return parts, samples


def measure(x: Tensor, every: Tensor, rounds: int) -> list[dict]:
    """All rows; the whole data set, `every`, is only fitted."""
    sigmas = dc.noise.karras(STEPS)
    noise = dc.sampling.initial_noise(SAMPLES, x.shape[1:], seed=0)
    rows = []
    for name, (fit, _) in ROWS.items():
        _, samples = once(name, x, noise, sigmas)  # warm up
        runs = [once(name, x, noise, sigmas)[0] for _ in range(rounds)]
        _, *whole = timed(lambda fit=fit: fit(every))
        row = {"row": name}
        for k, clock in enumerate(("wall_s", "cpu_s")):
            parts = {p: statistics.median(run[p][k] for run in runs) for p in runs[0]}
            row[clock] = {
                "fit": parts["fit"],
                "ddim": parts["ddim"],
                "generate": parts["generate"],
                "fit_and_ddim": parts["fit"] + parts["ddim"],
                "fit_and_generate": parts["fit"] + parts["generate"],
                "obvious": parts["obvious fit"] + parts["obvious"],
                "fit_all_images": whole[k],
            }
        cpu = row["cpu_s"]
        row["speedup"] = {k: cpu["obvious"] / cpu[f"fit_and_{k}"] for k in ("ddim", "generate")}
        row["under_target"] = {k: cpu[f"fit_and_{k}"] < TARGET for k in ("ddim", "generate")}
        size = samples["ddim"].square().mean().sqrt()
        row["difference"] = {
            k: float((samples[k] - samples["ddim"]).square().mean().sqrt() / size)
            for k in ("generate", "obvious")
        }
        rows.append(row)
        print(_line(row), flush=True)
    return rows


HEADER = f"{'row':34} | {'fit':>6} {'ddim':>6} {'gener.':>6} {'obvious':>7} s | " + (
    f"{'ddim':>5} {'gen.':>5} × | {'fit all':>7} | difference"
)


def _line(row: dict) -> str:
    cpu, speedup = row["cpu_s"], row["speedup"]
    return (
        f"{row['row']:34} | {cpu['fit']:6.3f} {cpu['ddim']:6.3f} {cpu['generate']:6.3f} "
        f"{cpu['obvious']:7.3f}   | {speedup['ddim']:5.1f} {speedup['generate']:5.1f}   | "
        f"{cpu['fit_all_images']:7.2f} | "
        f"{row['difference']['generate']:.0e} {row['difference']['obvious']:.0e}"
        f"{'' if row['under_target']['ddim'] else '  ABOVE THE TARGET'}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=1000, help="images to fit to")
    parser.add_argument("--all", type=int, default=None, help="at most so many for the large fit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    every = dc.data.load("fashion_mnist").x[: options.all]
    x = every[: options.points]
    print("CPU seconds | obvious / ours (fit and sample) | fit to all images | difference of")
    print("`generate` and of the obvious code from `ddim`, relative\n" + HEADER)
    rows = measure(x, every, options.rounds)
    record.write(
        options.output,
        {"rows": rows},
        data="Fashion-MNIST, training images",
        shape=list(x.shape),
        all_images=list(every.shape),
        samples=SAMPLES,
        steps=STEPS,
        rounds=options.rounds,
        target_s=TARGET,
        time="median CPU and wall seconds, contestants in turn; judged by CPU time",
    )


if __name__ == "__main__":
    main()
