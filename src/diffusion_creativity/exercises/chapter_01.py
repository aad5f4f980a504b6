"""Self-checks of chapter 1."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .. import noise, sampling
from ._verdict import misshapen, normal, verdict

__all__ = [
    "check_count_copies",
    "check_mix",
    "check_start_from",
    "check_step_as_average",
]


def check_step_as_average(
    step: Callable[[Callable[[Tensor, float], Tensor], Tensor, float, float], Tensor],
) -> bool:
    """Check ``step(denoise, y, sigma, sigma_next)``: one DDIM step as a weighted average."""
    y = normal(5, 1, 3, 3, seed=0)

    def shape() -> str | None:
        return misshapen(step(lambda y, sigma: 0 * y, y, 2.0, 1.0), tuple(y.shape))

    def level() -> str | None:
        asked = []

        def denoise(y: Tensor, sigma: float) -> Tensor:
            asked.append((y, float(sigma)))
            return 0.5 * y

        step(denoise, y, 3.0, 0.7)
        if any(not math.isclose(sigma, 3.0) for _, sigma in asked):
            return f"y carries noise of level sigma, but the denoiser was asked at {asked[0][1]:g}"
        if not asked or any(not torch.equal(seen, y) for seen, _ in asked):
            return "ask the denoiser about y itself, at its own level sigma"
        return None

    def fixed_point() -> str | None:
        moved = (step(lambda y, sigma: y, y, 3.0, 0.7) - y).abs().max().item()
        if moved > 1e-6:
            return "where the answer is y itself the step must stay at y: do your weights sum to 1?"
        return None

    def ends() -> str | None:
        if not torch.allclose(step(lambda y, sigma: y.sin(), y, 3.0, 0.0), y.sin()):
            return "at sigma_next = 0 no noise is left: the step must land on the answer"
        if not torch.allclose(step(lambda y, sigma: y.sin(), y, 3.0, 3.0), y):
            return "at sigma_next = sigma nothing changes: the step must stay at y"
        return None

    def between() -> str | None:
        for sigma, sigma_next in ((80.0, 20.0), (1.0, 0.3), (0.4, 0.1)):
            expected = next(
                sampling.steps(
                    lambda y, sigma: y.sin(), y, torch.tensor([sigma, sigma_next, 0.0]).double()
                )
            ).y
            if not torch.allclose(step(lambda y, s: y.sin(), y, sigma, sigma_next), expected):
                return (
                    f"wrong between the ends, e.g. from sigma = {sigma:g} to {sigma_next:g}: how "
                    "much of y's noise is still there after the step?"
                )
        return None

    return verdict("step as an average", (shape, level, fixed_point, ends, between))


def check_start_from(sample: Callable[..., Tensor]) -> bool:
    """Check ``sample(denoise, n, shape, sigma_max, steps, seed)``: DDIM from any first level."""
    asked: list[float] = []

    def denoise(y: Tensor, sigma: float) -> Tensor:
        asked.append(float(sigma))
        return y / (1 + sigma**2)

    def shape() -> str | None:
        return misshapen(sample(denoise, 7, (1, 4, 4), 3.0, 6, 0), (7, 1, 4, 4))

    def levels() -> str | None:
        asked.clear()
        sample(denoise, 7, (1, 4, 4), 3.0, 6, 0)
        if len(asked) != 6:
            return f"with steps = 6 the denoiser is asked 6 times, yours was asked {len(asked)}"
        if not math.isclose(asked[0], 3.0, rel_tol=1e-6):
            return f"with sigma_max = 3 the first level must be 3, yours is {asked[0]:g}"
        return None

    def start() -> str | None:
        seen: list[Tensor] = []

        def watch(y: Tensor, sigma: float) -> Tensor:
            seen.append(y)
            return y

        sample(watch, 4000, (1, 4, 4), 3.0, 2, 0)
        spread = seen[0].std().item()
        # The standard error of a standard deviation from 64,000 draws is 0.3 %.
        if abs(spread / 3.0 - 1) > 0.02:
            return (
                f"the starting noise must have standard deviation sigma_max = 3, not {spread:.3g}"
            )
        return None

    def seeds() -> str | None:
        one, same, other = (sample(denoise, 3, (1, 4, 4), 3.0, 6, seed) for seed in (0, 0, 1))
        if not torch.equal(one, same) or torch.equal(one, other):
            return "pass the seed on to the starting noise: one seed, one result"
        return None

    def result() -> str | None:
        for sigma_max, steps in ((3.0, 6), (40.0, 12)):
            mine = sample(denoise, 3, (1, 4, 4), sigma_max, steps, 2)
            expected = sampling.ddim(
                denoise,
                sampling.initial_noise(3, (1, 4, 4), sigma_max, seed=2),
                noise.karras(steps, sigma_max=sigma_max),
            )
            if not torch.allclose(mine, expected, rtol=1e-3, atol=1e-4):
                return "the samples differ from DDIM on the Karras levels with this sigma_max"
        return None

    return verdict("where to start", (shape, levels, start, seeds, result))


def check_mix(mix: Callable[[Tensor, Tensor, float], Tensor]) -> bool:
    """Check ``mix(noise_a, noise_b, t)``: a path of starting noises, each with the right law."""
    a, b = 80 * normal(1, 1, 200, 200, seed=1), 80 * normal(1, 1, 200, 200, seed=2)

    def shape() -> str | None:
        return misshapen(mix(a, b, 0.5), tuple(a.shape))

    def ends() -> str | None:
        if not torch.allclose(mix(a, b, 0.0), a, atol=1e-4):
            return "at t = 0 the result must be noise_a"
        if not torch.allclose(mix(a, b, 1.0), b, atol=1e-4):
            return "at t = 1 the result must be noise_b"
        return None

    def linear() -> str | None:
        whole = mix(a, b, 0.3)
        parts = mix(a, torch.zeros_like(b), 0.3) + mix(torch.zeros_like(a), b, 0.3)
        if not torch.allclose(whole, parts, atol=1e-4) or not torch.equal(whole, mix(a, b, 0.3)):
            return (
                "use weights that depend on t alone: a noise divided by its own measured size, or "
                "with fresh noise added, is not exactly Gaussian with the right law"
            )
        return None

    def spread() -> str | None:
        # 40,000 entries: the standard error of the standard deviation is 0.35 %.
        for t in (0.25, 0.5, 0.75):
            ratio = mix(a, b, t).std().item() / 80
            if abs(ratio - 1) > 0.02:
                return (
                    f"at t = {t:g} the standard deviation is {ratio:.2f} times that of the ends: "
                    "variances add, and here they must add up to 1"
                )
        return None

    return verdict("a path between two samples", (shape, ends, linear, spread))


def check_count_copies(count: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Check ``count(samples, train)``: how often each training image is the nearest one."""
    train = normal(6, 1, 3, 3, seed=3)

    def shape() -> str | None:
        return misshapen(count(train[[0, 2, 2]], train), (len(train),))

    def copies() -> str | None:
        wanted = torch.tensor([1, 0, 3, 0, 0, 1])
        drawn = train.repeat_interleave(wanted, 0)
        got = torch.as_tensor(count(drawn, train)).long()
        if int(got.sum()) != len(drawn):
            return f"each sample counts once: {len(drawn)} samples gave {int(got.sum())} counts"
        if not torch.equal(got, wanted):
            return f"exact copies, so often each: {wanted.tolist()}; you counted {got.tolist()}"
        return None

    def nearby() -> str | None:
        samples = 2 * normal(200, 1, 3, 3, seed=4)
        nearest = torch.cdist(samples.flatten(1), train.flatten(1)).argmin(1)
        wanted = nearest.bincount(minlength=len(train))
        if not torch.equal(torch.as_tensor(count(samples, train)).long(), wanted):
            return "right for exact copies, wrong for other samples: is the distance Euclidean?"
        return None

    return verdict("who is copied how often", (shape, copies, nearby))
