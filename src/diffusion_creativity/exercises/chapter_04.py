"""Self-checks of chapter 4."""

import torch

from ..denoisers import Affine
from ..noise import karras
from ._verdict import verdict

__all__ = [
    "check_biasless_law",
    "check_finite_law",
    "check_ridge_variance",
    "check_step_factor",
    "check_twin",
]


def _differs(found, expected, tolerance: float = 1e-6) -> bool:
    """Whether `found` misses `expected`, relative to the size of the latter."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    found = torch.as_tensor(found, dtype=torch.float64)
    if found.shape != expected.shape:
        return True
    return not bool((found - expected).abs().max() <= tolerance * expected.abs().max().clamp(1e-9))


def _nothing(solution, *arguments) -> str | None:
    if solution(*arguments) is None:
        return "the function returns nothing yet: write it, with a return"
    return None


def _two_moments(solution, *arguments) -> str | None:
    found = solution(*arguments)
    if not isinstance(found, tuple | list) or len(found) != 2:
        return "return two tensors: the mean (d,) and the covariance (d, d)"
    return None


def check_step_factor(solution) -> bool:
    """Check ``solution(lam, sigma, sigma_next)``, the factor of one DDIM step."""

    def one(lam: float, sigma: float) -> Affine:
        return Affine(torch.zeros(1), torch.tensor([[lam]]))

    def no_step() -> str | None:
        if _differs(solution(2.0, 3.0, 3.0), 1.0):
            return "a step from σ to the same σ must change nothing: the factor is 1"
        return None

    def last_step() -> str | None:
        if _differs(solution(2.0, 3.0, 0.0), one(2.0, 3.0).gain(3.0).item()):
            return "the last step, to σ' = 0, returns the denoised y: the factor is the gain"
        return None

    def simulated() -> str | None:
        for lam, sigma, after in ((1.7, 5.0, 2.0), (0.01, 0.5, 0.3), (30.0, 2.0, 0.1)):
            gain = one(lam, sigma).gain(sigma).item()
            if _differs(solution(lam, sigma, after), gain + after / sigma * (1 - gain)):
                return (
                    f"for λ = {lam:g}, σ = {sigma:g} → {after:g} a simulated step gives another "
                    "factor. Both ends are right; how do D(y) and y - D(y) enter in between?"
                )
        return None

    checks = (lambda: _nothing(solution, 1.0, 1.0, 0.5), no_step, last_step, simulated)
    return verdict("one step", checks)


def _example(d: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    root = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(d, generator=generator, dtype=torch.float64) * 3, root @ root.T


def check_finite_law(solution) -> bool:
    """Check ``solution(mean, cov, sigmas) -> (mean, cov)``, the law of K DDIM steps."""
    mean, cov = _example()
    short = karras(6, sigma_max=10.0)
    law = Affine(mean, cov).law(short)

    def variance() -> str | None:
        found = solution(mean, cov, short)[1]
        if not _differs(found, cov, 1e-2):
            return "that is Σ itself, the limit of infinitely many steps; here there are six"
        if _differs(found, law.cov):
            return (
                "the covariance is off. Its trace should be "
                f"{law.cov.trace().item():.4f} for the check's example, yours is "
                f"{torch.as_tensor(found).trace().item():.4f}. Do the eigenvectors of Σ stay, does "
                "the start have variance σ₀², is the product over all steps, is it squared?"
            )
        return None

    def centre() -> str | None:
        found = solution(mean, cov, short)[0]
        if not _differs(found, mean, 1e-3):
            return "the mean of the samples is not quite μ: where does the start lie, seen from μ?"
        if _differs(found, law.mean):
            return "the covariance is right, the mean is not: follow u_i·(y - μ) from its start"
        return None

    checks = (lambda: _two_moments(solution, mean, cov, short), variance, centre)
    return verdict("finite law", checks)


def check_twin(solution) -> bool:
    """Check ``solution(x)``: other points with the mean and covariance of x."""
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(500, 3, generator=generator, dtype=torch.float64) ** 3
    x = x @ torch.randn(3, 3, generator=generator, dtype=torch.float64) + 2

    def moments() -> str | None:
        other = torch.as_tensor(solution(x), dtype=torch.float64)
        if other.ndim != 2 or other.shape[1] != x.shape[1]:
            return f"return points of shape (M, {x.shape[1]}), not {tuple(other.shape)}"
        if _differs(other.mean(0), x.mean(0), 1e-4):
            gap = (other.mean(0) - x.mean(0)).norm().item()
            return f"the means differ by {gap:.2g} in length: μ is one of the two things D sees"
        if _differs(torch.cov(other.T, correction=0), torch.cov(x.T, correction=0), 1e-4):
            return "the means agree, the covariances (normalised by N) do not"
        return None

    def different() -> str | None:
        other = torch.as_tensor(solution(x), dtype=torch.float64)
        nearest = torch.cdist(other, x).min(1).values
        if (nearest < 1e-6).double().mean() > 0.5:
            return "most of your points are points of x: that is the same cloud"
        return None

    return verdict("twins", (lambda: _nothing(solution, x), moments, different))


def check_biasless_law(solution) -> bool:
    """Check ``solution(x) -> (mean, cov)``, the ODE law of the best linear map without bias."""
    mean, cov = _example(3)
    root = torch.linalg.cholesky(cov)
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = mean + noise @ root.T
    law = Affine.fit(x, bias=False).law()

    def centre() -> str | None:
        found = torch.as_tensor(solution(x)[0], dtype=torch.float64)
        if found.shape != (3,):
            return f"the mean must have shape (3,), got {tuple(found.shape)}"
        if found.abs().max() > 1e-9:
            return (
                "the mean is off: a linear map sends noise and its negative to a sample and its "
                "negative, and both are equally likely"
            )
        return None

    def variance() -> str | None:
        found = solution(x)[1]
        if not _differs(found, torch.cov(x.T, correction=0), 2e-2):
            return "that covariance is centred. Without a bias the denoiser cannot centre anything"
        if _differs(found, law.cov):
            return "the covariance is off: which second moment does the loss of x ↦ Ay contain?"
        return None

    return verdict("no bias", (lambda: _two_moments(solution, x), centre, variance))


def check_ridge_variance(solution) -> bool:
    """Check ``solution(lam, ridge, sigma_min)``: the variance left, from infinite noise."""

    def without() -> str | None:
        if _differs(solution(1.7, 0.0, 0.3), 1.7 + 0.09):
            return "without a ridge the flow from infinity leaves λ + σ_min², and yours does not"
        return None

    def with_ridge() -> str | None:
        for lam, ridge, low in ((1.7, 0.05, 0.01), (0.1, 0.3, 0.5), (5.0, 1.0, 1e-4)):
            ratio = Affine(
                torch.zeros(1), torch.tensor([[lam]], dtype=torch.float64), ridge=ridge
            ).ode_ratio(1e9, low)
            expected = (1e9 * ratio.item()) ** 2
            found = float(solution(lam, ridge, low))
            if _differs(found, expected, 1e-4):
                return (
                    f"for λ = {lam:g}, γ = {ridge:g}, σ_min = {low:g} the flow leaves "
                    f"{expected:.4g}, yours says {found:.4g}. Is it squared? a = λ + γ everywhere?"
                )
        return None

    checks = (lambda: _nothing(solution, 1.0, 0.1, 0.1), without, with_ridge)
    return verdict("how far down", checks)
