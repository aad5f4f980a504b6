"""Self-checks of assignment 1, between copying and blurring."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from ...denoisers import Bayes
from .._verdict import mismatch, misshapen, normal, verdict


def _mixture(y: Tensor, sigma: float, means: Tensor, variances: Tensor, weights: Tensor) -> Tensor:
    """Posterior mean of a mixture of isotropic Gaussians, component by component."""
    total = variances + sigma**2
    gaps = y[:, None] - means  # (n, K, d)
    log = weights.log() - gaps.square().sum(-1) / (2 * total) - y.shape[1] / 2 * total.log()
    each = means + (variances / total)[:, None] * gaps
    return (log.softmax(1)[..., None] * each).sum(1)


def check_mixture_denoiser(solution, *, seed: int = 0) -> bool:
    """Check ``solution(y, sigma, means, variances, weights)``, the posterior mean (n, d)."""
    y, means = normal(7, 3, seed=seed), normal(4, 3, seed=seed + 1)
    variances = 0.05 + normal(4, seed=seed + 2).square()
    weights = normal(4, seed=seed + 3).softmax(0)
    zero = torch.zeros(4, dtype=torch.float64)
    even = torch.full((4,), 0.25, dtype=torch.float64)

    def shape() -> str | None:
        return misshapen(solution(y, 0.5, means, variances, weights), (7, 3))

    def one() -> str | None:
        found = solution(y, 0.5, means[:1], variances[:1], torch.ones(1, dtype=torch.float64))
        if mismatch(found, _mixture(y, 0.5, means[:1], variances[:1], torch.ones(1).double())):
            return (
                "with one component the target is a Gaussian and the answer is chapter 4's: go "
                "from the mean towards y by the share v / (v + σ²)"
            )
        return None

    def points() -> str | None:
        for sigma in (0.7, 0.002):
            if problem := mismatch(
                solution(y, sigma, means, zero, even), Bayes.fit(means)(y, sigma), 1e-5
            ):
                return (
                    f"with variances 0 and equal weights, at σ = {sigma:g}, it must be the perfect "
                    f"denoiser of the means, but {problem}. Take logarithms before you divide"
                )
        return None

    same = torch.full((4,), 0.3, dtype=torch.float64)

    def equal() -> str | None:
        if problem := mismatch(
            solution(y, 0.5, means, same, even), _mixture(y, 0.5, means, same, even)
        ):
            return (
                f"with equal variances 0.3 and equal weights {problem}. How is y distributed, if x "
                "comes from component k?"
            )
        return None

    def general() -> str | None:
        if problem := mismatch(
            solution(y, 0.5, means, same, weights), _mixture(y, 0.5, means, same, weights)
        ):
            return (
                f"with unequal weights {problem}: what is each component's share before y is seen?"
            )
        for sigma in (0.1, 0.5, 3.0):
            if problem := mismatch(
                solution(y, sigma, means, variances, weights),
                _mixture(y, sigma, means, variances, weights),
            ):
                return (
                    f"with unequal variances, at σ = {sigma:g}, {problem}. The density of a wide "
                    "Gaussian is low everywhere: mind the factor before the exponential"
                )
        return None

    return verdict("mixture denoiser", (shape, one, points, equal, general))


def check_posterior_covariance(solution, *, seed: int = 0) -> bool:
    """Check ``solution(y, sigma, x)``, the covariance of the clean point given y, (n, d, d)."""
    x, y = normal(12, 3, seed=seed), normal(5, 3, seed=seed + 1)
    denoise = Bayes.fit(x)

    def jacobian(sigma: float) -> Tensor:
        rows = [
            torch.autograd.functional.jacobian(lambda q: denoise(q[None], sigma)[0], point)
            for point in y
        ]
        return torch.stack(rows)

    def shape() -> str | None:
        return misshapen(solution(y, 0.6, x), (5, 3, 3))

    def sure() -> str | None:
        if (solution(x[:5], 0.01, x)).abs().max() > 1e-6:
            return (
                "at a training point and σ = 0.01 there is no doubt which point it is, so the "
                "covariance must vanish: are your moments central, and do the weights depend on y?"
            )
        return None

    def blind() -> str | None:
        whole = (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)
        if problem := mismatch(solution(y, 1e5, x), whole.expand(5, 3, 3), 1e-4):
            return (
                f"at σ = 100,000 y says nothing, and the covariance must be that of the training "
                f"points (normalised by N), but {problem}"
            )
        return None

    def tweedie() -> str | None:
        for sigma in (0.3, 0.6, 1.5):
            if problem := mismatch(solution(y, sigma, x), sigma**2 * jacobian(sigma)):
                return (
                    f"at σ = {sigma:g} {problem}, compared with σ² times the derivative of the "
                    "perfect denoiser, to which it must be equal (you are asked to prove that)"
                )
        return None

    return verdict("posterior covariance", (shape, sure, blind, tweedie))


def check_ancestral_variance(solution, *, seed: int = 0) -> bool:
    """Check ``solution(lam, sigmas)``, the variance that the ancestral sampler generates."""
    lams = (0.02 + normal(4, seed=seed).square()).tolist()

    def right(lam: float, sigmas: list[float], fresh: bool = True) -> float:
        variance = sigmas[0] ** 2
        for sigma, below in pairwise(sigmas):
            up = below * math.sqrt(1 - (below / sigma) ** 2) if fresh else 0.0
            down = math.sqrt(below**2 - up**2)
            share = lam / (lam + sigma**2)
            variance = (share + down / sigma * (1 - share)) ** 2 * variance + up**2
        return variance

    def number() -> str | None:
        found = solution(1.0, torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64))
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if torch.as_tensor(found).numel() != 1 or not math.isfinite(float(found)):
            return "return one finite number"
        return None

    def last() -> str | None:
        for lam in lams:
            found = float(solution(lam, torch.tensor([3.0, 0.0], dtype=torch.float64)))
            expected = right(lam, [3.0, 0.0])
            if abs(found - expected) > 1e-6:
                return (
                    f"λ = {lam:.3g}, one step from 3 to 0: {expected:.4g} is left, you say "
                    f"{found:.4g}. The start has variance σ² (it is noise alone), and the step "
                    "to 0 ends on the denoiser's answer"
                )
        return None

    def exact() -> str | None:
        for lam in lams:
            for levels in ([3.0, 1.0, 0.0], [80.0, 20.0, 4.0, 1.0, 0.2, 0.0]):
                found = float(solution(lam, torch.tensor(levels, dtype=torch.float64)))
                expected = right(lam, levels)
                if abs(found - expected) <= 1e-6 * expected:
                    continue
                if abs(found - right(lam, levels, fresh=False)) <= 1e-6 * expected:
                    return "that is DDIM's variance: the ancestral sampler adds fresh noise"
                return (
                    f"λ = {lam:.3g}, levels {levels}: the variance is off ({found:.4g}). Two "
                    "things happen in each step: the old variance is multiplied by the square of a "
                    "number, and that of fresh noise is added. What are σ_down and σ_up at η = 1?"
                )
        return None

    return verdict("ancestral variance", (number, last, exact))


SIZE, DIMENSION, LEVEL = 200, 3, 0.01  # of the data sets that a test is tried on
FAR = {  # laws that a test must tell from the standard normal one, and what to look at
    "a mean that is off by 0.4 in one entry": "means",
    "one variance of 1.6 instead of 1": "variances",
    "two entries of correlation 0.4": "how entries vary together",
    "variances that are half as large": "variances, also when they are too small",
}


def _wrong(kind: str, z: Tensor) -> Tensor:
    """Samples of a law that is not the standard normal one, from samples z that are."""
    z = z.clone()
    if kind.startswith("a mean"):
        z[..., 1] += 0.4
    elif kind.startswith("one variance"):
        z[..., 2] *= math.sqrt(1.6)
    elif kind.startswith("two"):
        z[..., 1] = 0.4 * z[..., 0] + math.sqrt(1 - 0.4**2) * z[..., 1]
    else:
        z *= math.sqrt(0.5)
    return z


def check_reject(solution, *, seed: int = 0) -> bool:
    """Check ``solution(samples, mean, cov)``, a test of a Gaussian law at level 1 %."""
    from scipy import stats

    root = torch.eye(DIMENSION).double() + 0.3 * normal(DIMENSION, DIMENSION, seed=seed + 2)
    mean, cov = normal(DIMENSION, seed=seed + 1), root @ root.T

    def share(z: Tensor) -> float:
        return sum(bool(solution(one @ root.T + mean, mean, cov)) for one in z) / len(z)

    def boolean() -> str | None:
        found = solution(normal(SIZE, DIMENSION, seed=seed) @ root.T + mean, mean, cov)
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if torch.as_tensor(found).numel() != 1:
            return "return one truth value: whether the law is refused"
        return None

    def size() -> str | None:
        runs = 300
        found = share(normal(runs, SIZE, DIMENSION, seed=seed + 3))
        # What a test of twice the level stays below but once in a thousand.
        if found > stats.binom.isf(1e-3, runs, 2 * LEVEL) / runs:
            return (
                f"of {runs} data sets that do come from the law, {found:.1%} are refused; it "
                "should be 1 %. If you make several tests, each must have a smaller level"
            )
        return None

    def power() -> str | None:
        runs = 60
        for kind, look in FAR.items():
            found = share(_wrong(kind, normal(runs, SIZE, DIMENSION, seed=seed + 4)))
            if found < 0.7:
                return (
                    f"of {runs} data sets from a law with {kind} (in coordinates in which the true "
                    f"law is standard normal) only {found:.0%} are refused: look at {look}"
                )
        return None

    return verdict("a test that can fail", (boolean, size, power))
