"""Self-checks of the chapter from copying to generalising."""

import math

import torch
from torch import Tensor

from ..data import load
from ..denoisers import Convolutional
from ._verdict import mismatch, misshapen, normal, verdict

__all__ = [
    "check_exponent",
    "check_linear_gap",
    "check_onset",
    "check_remembered",
    "check_unshuffle",
]


def check_linear_gap(solution) -> bool:
    """Check ``solution(mean_a, cov_a, mean_b, cov_b)``, the mean squared distance of samples."""

    def root(A: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(A)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T

    def case(seed: int, d: int = 4) -> tuple[Tensor, ...]:
        a, b = normal(2, d, d, seed=seed)
        means = normal(2, d, seed=seed + 1)
        return means[0], a @ a.T, means[1], b @ b.T

    def number() -> str | None:
        found = solution(*case(0))
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if torch.as_tensor(found).numel() != 1 or not math.isfinite(float(found)):
            return "return one finite number, the mean over the noise"
        return None

    def same() -> str | None:
        mean, cov, *_ = case(2)
        if abs(float(solution(mean, cov, mean, cov))) > 1e-8:
            return "one machine twice draws the same samples from the same noise: distance 0"
        moved = float(solution(mean, cov, mean + 1, cov))
        if abs(moved - 4) > 1e-6:
            return f"means that differ by 1 in each of 4 entries are 4 apart, yours is {moved:.4g}"
        return None

    def exact() -> str | None:
        for seed in (4, 6):
            mean_a, cov_a, mean_b, cov_b = case(seed)
            shift = (mean_a - mean_b).square().sum()
            right = float((root(cov_a) - root(cov_b)).square().sum() + shift)
            found = float(solution(mean_a, cov_a, mean_b, cov_b))
            if abs(found - right) <= 1e-6 * right:
                continue
            cross = root(root(cov_a) @ cov_b @ root(cov_a)).trace()
            best = float(cov_a.trace() + cov_b.trace() - 2 * cross + shift)
            if abs(found - best) <= 1e-6 * best:
                return (
                    "that pairs the two laws as well as can be (the Fréchet distance); here the "
                    "noise decides which samples are a pair"
                )
            if abs(found**2 - right) <= 1e-6 * right:
                return "return the squared distance, not its root"
            return (
                f"for two random covariances the answer is {right:.4g}, yours is {found:.4g}: "
                "write both samples as maps of one n, subtract, and take E nnᵀ = I"
            )
        return None

    return verdict("linear gap", (number, same, exact))


def check_unshuffle(solution) -> bool:
    """Check ``solution(denoise, order)``: a denoiser of images from one of shuffled images."""
    x = load("digits").x[:40].double()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(5))
    moved = x.flatten(1)[:, order].reshape(x.shape)
    trained = Convolutional.fit(moved, kernel_size=3)
    y = x[:6] + 0.5 * normal(6, 1, 8, 8, seed=6)
    sigma = 0.5

    def right() -> Tensor:
        found = trained(y.flatten(1)[:, order].reshape(y.shape), sigma).flatten(1)
        return found[:, order.argsort()].reshape(y.shape)

    def shape() -> str | None:
        denoise = solution(trained, order)
        if not callable(denoise):
            return f"return a function of (y, sigma), not {type(denoise).__name__}"
        return misshapen(denoise(y, sigma), tuple(y.shape))

    def identity() -> str | None:
        found = solution(lambda z, sigma: z, order)(y, sigma)
        if mismatch(found, y):
            return (
                "a denoiser that returns its input must still do so: what is shuffled on the way "
                "in is to be put back on the way out, by the inverse order"
            )
        return None

    def exact() -> str | None:
        found = solution(trained, order)(y, sigma)
        if mismatch(found, trained(y, sigma)) is None:
            return (
                "you call the denoiser on images whose pixels are in place: it knows shuffled ones"
            )
        if problem := mismatch(found, right()):
            return (
                f"{problem}: pixel i of a shuffled image is pixel order[i] of the image, so the "
                "denoiser must be given y[order]"
            )
        return None

    return verdict("unshuffle", (shape, identity, exact))


def check_onset(solution) -> bool:
    """Check ``solution(steps, values, threshold)``, when a curve first reaches a threshold."""
    steps = [100, 200, 400, 800]
    rising, bumpy = [0.0, 0.1, 0.5, 0.9], [0.0, 0.6, 0.2, 0.9]

    def number() -> str | None:
        found = solution(steps, rising, 0.3)
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        return None if 200 < found < 400 else (
            f"the curve {rising} passes 0.3 between steps 200 and 400, yours says {found:.4g}"
        )  # fmt: skip

    def logarithmic() -> str | None:
        found = solution(steps, rising, 0.3)
        if abs(found - 300) < 1e-6:
            return (
                "half way between 200 and 400 on a logarithmic axis is 283: the moments are a "
                "factor apart, so interpolate the logarithm of the step"
            )
        right = 200 * 2**0.5
        if abs(found - right) > 1e-6 * right:
            return f"0.3 is half way between 0.1 and 0.5, so step 200·√2; yours is {found:.4g}"
        return None

    def first() -> str | None:
        found, right = solution(steps, bumpy, 0.3), 100 * 2**0.5
        if abs(found - right) > 1e-6 * right:
            return f"the curve {bumpy} passes 0.3 first before step 200, yours says {found:.4g}"
        return None

    def never() -> str | None:
        found = solution(steps, rising, 0.95)
        if found is None or not math.isnan(found):
            return f"a curve that never reaches the threshold has no onset: nan, not {found}"
        return None

    return verdict("onset", (number, logarithmic, first, never))


def check_exponent(solution) -> bool:
    """Check ``solution(sizes, times)``, the least squares exponent of times ∝ sizes^a."""
    sizes = [16.0, 32.0, 64.0, 128.0, 256.0]

    def exact() -> str | None:
        for a in (1.0, 0.5, 0.0):
            found = solution(sizes, [7 * n**a for n in sizes])
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            if abs(found - a) > 1e-6:
                return (
                    f"times of exactly 7 · N^{a:g} have the exponent {a:g}, yours is {found:.4g}: "
                    "fit a line with an intercept to the logarithms of both"
                )
        return None

    def fitted() -> str | None:
        noise = normal(5, seed=7).mul(0.3).exp().tolist()
        times = [5 * n**0.8 * e for n, e in zip(sizes, noise, strict=True)]
        u, v = (torch.tensor(s, dtype=torch.float64).log() for s in (sizes, times))
        right = float(((u - u.mean()) * (v - v.mean())).sum() / (u - u.mean()).square().sum())
        ends = math.log(times[-1] / times[0]) / math.log(sizes[-1] / sizes[0])
        found = float(solution(sizes, times))
        if abs(found - ends) < 1e-6:
            return "you join the first and the last point: use all of them, by least squares"
        if abs(found - right) > 1e-6:
            return f"with noise the least squares slope is {right:.4g}, yours is {found:.4g}"
        return None

    return verdict("exponent", (exact, fitted))


def check_remembered(solution) -> bool:
    """Check ``solution(copies, valid, n, total)``: the share of memory behind a count of copies."""
    cases = ((30, 100, 4000, 20_000), (100, 100, 64, 17_496), (5, 5, 1, 2), (20, 100, 20, 100))

    def exact() -> str | None:
        for copies, valid, n, total in cases:
            found = solution(copies, valid, n, total)
            if found is None:
                return "the function returns nothing yet: write it, with a return"
            base, share = n / total, copies / valid
            right = (share - base) / (1 - base)
            if abs(found - right) <= 1e-9:
                continue
            where = f"for {copies} copies among {valid} valid samples, {n} of {total} faces known"
            if abs(found - share) < 1e-9:
                return (
                    f"{where}: who knows the rules alone copies a share of {base:g}; allow for it"
                )
            if abs(found - (share - base)) < 1e-9:
                return (
                    f"{where}: a machine that copies with probability m and else draws any valid "
                    "face copies a share of m + (1 - m) n / total; solve for m"
                )
            return f"{where} the answer is {right:.4g}, yours is {found:.4g}"
        return None

    return verdict("remembered", (exact,))
