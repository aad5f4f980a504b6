"""Self-checks of chapter 2: scores, Heun's step, the VE/VP dictionary, the split of noise."""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..noise import Knobs, alpha_bar_from_sigma, karras
from ..sampling import heun
from ._verdict import mismatch, verdict

__all__ = ["check_heun_step", "check_score", "check_split", "check_v_prediction", "check_vp_model"]

_LEVELS = (0.05, 0.7, 3.0)
_POINTS = torch.tensor([[-1.0, 0.5], [0.2, -0.4], [1.1, 0.9]], dtype=torch.float64)


def _denoise(y: Tensor, sigma: float) -> Tensor:
    """The posterior mean of three points in the plane, written out."""
    gap = (y[:, None] - _POINTS.to(y)).square().sum(-1)  # (n, 3)
    return torch.softmax(-gap / (2 * sigma**2), 1) @ _POINTS.to(y)


def _batch(sigma: float, n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    rows = torch.arange(n) % 3
    return _POINTS[rows] + sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)


def _wrong(found: object, right: Tensor, what: str, tolerance: float = 1e-6) -> str | None:
    """Say how `found` differs from `right`, if it does, and where."""
    problem = mismatch(found, right, tolerance)
    return problem and f"{what}: {problem}"


def check_score(solution: Callable) -> bool:
    """Check ``solution(denoise, y, sigma)`` → ∇ log p_σ(y) against the gradient by autograd."""

    def at(sigma: float) -> Callable[[], str | None]:
        def check() -> str | None:
            y = _batch(sigma).requires_grad_()
            gap = (y[:, None] - _POINTS).square().sum(-1)
            log_p = torch.logsumexp(-gap / (2 * sigma**2), 1).sum()
            (right,) = torch.autograd.grad(log_p, y)
            found = solution(_denoise, y.detach(), sigma)
            problem = _wrong(found, right, f"the score at σ = {sigma:g}")
            return problem and problem + "; which power of σ does Tweedie's formula divide by?"

        return check

    return verdict("score from a denoiser", map(at, _LEVELS))


def check_heun_step(solution: Callable) -> bool:
    """Check ``solution(denoise, y, sigma, sigma_next)`` → y at sigma_next."""

    def one(sigma: float, sigma_next: float, hint: str) -> Callable[[], str | None]:
        def check() -> str | None:
            y = _batch(sigma)
            first, slope = _denoise(y, sigma), 0.0
            right = first + sigma_next / sigma * (y - first)
            if sigma_next > 0:
                slope = (y - first) / sigma
                end = (right - _denoise(right, sigma_next)) / sigma_next
                right = y + (sigma_next - sigma) * (slope + end) / 2
            found = solution(_denoise, y, sigma, sigma_next)
            problem = _wrong(found, right, f"the step from σ = {sigma:g} to {sigma_next:g}")
            return problem and f"{problem}; {hint}"

        return check

    def whole() -> str | None:
        schedule = karras(12)
        y = noise = 80 * _batch(1.0)
        for sigma, sigma_next in itertools.pairwise(schedule.tolist()):
            y = solution(_denoise, y, sigma, sigma_next)
        return _wrong(y, heun(_denoise, noise, schedule), "twelve steps from σ = 80")

    average = "average the slopes at both ends of the step, each divided by its own σ"
    last = "a slope at σ = 0 does not exist: take Euler's step there"
    return verdict(
        "Heun's step",
        [one(3.0, 0.7, average), one(0.7, 0.05, average), one(0.05, 0.0, last), whole],
    )


def check_vp_model(solution: Callable) -> bool:
    """Check ``solution(eps_model)`` → a denoiser ``denoise(y, sigma)``."""

    def eps_model(x_t: Tensor, alpha_bar: float) -> Tensor:
        share = float(alpha_bar)
        sigma = math.sqrt((1 - share) / share)
        y = x_t / math.sqrt(share)
        return (y - _denoise(y, sigma)) / sigma

    def at(sigma: float) -> Callable[[], str | None]:
        def check() -> str | None:
            y = _batch(sigma)
            found = solution(eps_model)(y, sigma)
            problem = _wrong(found, _denoise(y, sigma), f"the estimate at σ = {sigma:g}")
            return problem and problem + (
                "; the network wants x_t, not y, and ᾱ, not σ; its answer is noise, not an image"
            )

        return check

    return verdict("a VP network as a denoiser", map(at, _LEVELS))


def check_split(solution: Callable) -> bool:
    """Check ``solution(sigma, sigma_next, eta)`` → (sigma_down, sigma_up)."""
    steps = [(80.0, 20.0), (1.0, 0.4), (0.3, 0.29)]

    def levels(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
        down, up = solution(sigma, sigma_next, eta)
        return float(down), float(up)

    def sums() -> str | None:
        for sigma, sigma_next in steps:
            for eta in (0.0, 0.3, 1.0):
                down, up = levels(sigma, sigma_next, eta)
                if not math.isclose(down**2 + up**2, sigma_next**2, rel_tol=1e-9):
                    return (
                        f"from {sigma:g} to {sigma_next:g} with η = {eta:g}: σ_down² + σ_up² = "
                        f"{down**2 + up**2:.6g}, and must be σ'² = {sigma_next**2:.6g}"
                    )
        return None

    def values() -> str | None:
        for sigma, sigma_next in steps:
            for eta in (0.0, 0.3, 1.0):
                right = Knobs(eta=eta).split(sigma, sigma_next, 10)
                down, up = levels(sigma, sigma_next, eta)
                if not math.isclose(up, right.up, rel_tol=1e-9, abs_tol=1e-12):
                    return (
                        f"from {sigma:g} to {sigma_next:g} with η = {eta:g}: σ_up = {up:.6g} is "
                        "not η times the standard deviation of the forward process's way back"
                    )
                if down < 0:
                    return "σ_down must be the positive root"
        return None

    def end() -> str | None:
        down, up = levels(0.002, 0.0, 1.0)
        return None if down == up == 0 else "the step to σ' = 0 must add nothing: both levels 0"

    return verdict("split the noise", [sums, values, end])


def check_v_prediction(solution: Callable) -> bool:
    """Check ``solution(x_t, x_hat, alpha_bar)`` → v = √ᾱ ε − √(1−ᾱ) x."""

    def at(sigma: float) -> Callable[[], str | None]:
        def check() -> str | None:
            share = alpha_bar_from_sigma(sigma).item()
            signal, noise_part = math.sqrt(share), math.sqrt(1 - share)
            x = _POINTS
            n = torch.tensor([[0.3, -1.0], [1.2, 0.1], [-0.4, 0.8]], dtype=torch.float64)
            found = solution(signal * x + noise_part * n, x, share)
            problem = _wrong(found, signal * n - noise_part * x, f"v at ᾱ = {share:.3g}")
            return problem and problem + "; first find the noise that x_t and x_hat imply"

        return check

    return verdict("v from x", map(at, _LEVELS))
