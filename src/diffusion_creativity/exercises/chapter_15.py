"""Self-checks of chapter 15: theory predicts a trained UNet."""

import itertools
import math

import torch
from torch import Tensor

from ..data import load
from ..denoisers import Affine, Bayes
from ._verdict import misshapen, normal, verdict

__all__ = ["check_budget", "check_floor", "check_monotone_windows", "check_relative_error"]

NOTHING = "the function returns nothing yet: write it, with a return"


def _unit(images: Tensor) -> Tensor:
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True)


def check_floor(solution) -> bool:
    """Check ``solution(a, b)``: the mean of r over all pairs of an image of a and one of b."""
    pixels = load("digits").x.double()
    a, b = pixels[:40], 3 * pixels[100:130] * pixels[200:230] + 1
    a = a * torch.linspace(0.2, 3, len(a), dtype=torch.float64)[:, None, None, None]

    def number() -> str | None:
        found = solution(a, b)
        if found is None:
            return NOTHING
        if torch.as_tensor(found).numel() != 1 or not math.isfinite(float(found)):
            return "return one finite number; the two sets need not be of one size"
        return None

    def exact() -> str | None:
        for left, right in ((a, b), (b, a), (a, a[:7])):
            wanted = float((_unit(left) @ _unit(right).T).mean())
            found = float(solution(left, right))
            if abs(found - wanted) > 1e-9:
                return (
                    f"the mean over all pairs is {wanted:.6f}, yours is {found:.6f}: r subtracts "
                    "each image's own mean grey and divides by its own length, before any average"
                )
        return None

    return verdict("floor", (number, exact))


def check_monotone_windows(solution) -> bool:
    """Check ``solution(errors)``: a column for each level, never one further right than before."""
    cases = [
        torch.tensor([[3.0, 2.0, 1.0], [2.0, 1.0, 3.0], [1.0, 2.0, 3.0]]),
        torch.tensor([[1.0, 2.0, 9.0], [9.0, 2.0, 1.0], [9.0, 9.0, 1.0]]),
        torch.tensor([[1.0, 1.5, 4.0], [6.0, 1.2, 1.0], [6.0, 1.0, 1.1]]),
        torch.tensor([[0.010, 0.001, 0.02], [5.0, 6.0, 4.0]]),
        *((normal(5, 4, seed=seed).exp()) for seed in range(6)),
    ]

    def cost(errors: Tensor, chosen: list[int]) -> float:
        return sum(math.log(errors[level, k]) for level, k in enumerate(chosen))

    def allowed() -> str | None:
        for errors in cases:
            found = solution(errors.clone())
            if found is None:
                return NOTHING
            chosen = [int(k) for k in found]
            if len(chosen) != len(errors):
                return f"return a column for each of {len(errors)} levels, got {len(chosen)}"
            if not all(0 <= k < errors.shape[1] for k in chosen):
                return f"columns are 0 to {errors.shape[1] - 1}, got {chosen}"
            if any(second > first for first, second in itertools.pairwise(chosen)):
                return f"{chosen} grows as the noise falls: windows must not"
        return None

    def least() -> str | None:
        for errors in cases:
            levels, windows = errors.shape
            ways = itertools.combinations_with_replacement(range(windows - 1, -1, -1), levels)
            best = min((cost(errors, list(way)), way) for way in ways)
            chosen = [int(k) for k in solution(errors.clone())]
            if cost(errors, chosen) > best[0] + 1e-9:
                return (
                    f"for errors {[[round(e, 3) for e in row] for row in errors.tolist()]} the "
                    f"sum of logarithms is least for {list(best[1])}, you chose {chosen}: the best "
                    "choice at one level may cost too much at the next"
                )
        return None

    return verdict("monotone windows", (allowed, least))


def check_budget(solution) -> bool:
    """Check ``solution(network, A, b, noise, sigmas)``: contributions (levels, n, d)."""
    sigmas = torch.tensor([5.0, 2.0, 0.7, 0.2, 0.0], dtype=torch.float64)
    d, n, levels = 6, 4, 4
    root = normal(levels, d, d, seed=1) / 3
    A, b = root @ root.transpose(1, 2) / 2, normal(levels, d, seed=2)
    noise = 5 * normal(n, d, seed=3)

    def network(y: Tensor, sigma: float) -> Tensor:
        return torch.tanh(y) / (1 + float(sigma))

    def walk(denoise) -> list[Tensor]:
        states = [noise]
        for k in range(levels):
            ratio = sigmas[k + 1] / sigmas[k]
            x_hat = denoise(states[-1], k)
            states.append(x_hat + ratio * (states[-1] - x_hat))
        return states

    theirs = walk(lambda y, k: network(y, sigmas[k]))
    ours = walk(lambda y, k: y @ A[k].T + b[k])

    def right() -> Tensor:
        parts = []
        for k in range(levels):
            gap = network(theirs[k], sigmas[k]) - theirs[k] @ A[k].T - b[k]
            part = (1 - sigmas[k + 1] / sigmas[k]) * gap
            for j in range(k + 1, levels):
                ratio = sigmas[j + 1] / sigmas[j]
                part = ratio * part + (1 - ratio) * part @ A[j].T
            parts.append(part)
        return torch.stack(parts)

    def shape() -> str | None:
        found = solution(network, A, b, noise, sigmas)
        return NOTHING if found is None else misshapen(found, (levels, n, d))

    def adds_up() -> str | None:
        off = solution(network, A, b, noise, sigmas).sum(0) - (theirs[-1] - ours[-1])
        if not off.abs().max() < 1e-9:
            return (
                "the parts do not add up to the difference of the two samples, they are off by "
                f"up to {off.abs().max():.2g}: weigh a gap by 1 - ratio, then let all later steps "
                "act on it"
            )
        return None

    def each() -> str | None:
        off = (solution(network, A, b, noise, sigmas) - right()).flatten(1).abs().amax(1)
        if not off.max() < 1e-9:
            return (
                f"the sum is right, the part of step {int(off.argmax())} is not: compare the two "
                "denoisers at the network's own states"
            )
        return None

    return verdict("budget", (shape, adds_up, each))


def check_relative_error(solution) -> bool:
    """Check ``solution(denoise, reference, x, sigma, noise)``, the ratio of mean squared errors."""
    images = load("digits").x.double()
    train, x = images[:200], images[300:340]
    noise = normal(*x.shape, seed=4)
    wiener, bayes = Affine.fit(train), Bayes.fit(train)

    def error(denoise, sigma: float) -> Tensor:
        return (denoise(x + sigma * noise, sigma) - x).square().flatten(1).mean(1)

    def number() -> str | None:
        found = solution(bayes, wiener, x, 0.5, noise)
        if found is None:
            return NOTHING
        if torch.as_tensor(found).numel() != 1 or not math.isfinite(float(found)):
            return "return one finite number"
        return None

    def exact() -> str | None:
        for sigma in (0.2, 1.0):
            ours, theirs = error(bayes, sigma), error(wiener, sigma)
            found, wanted = (
                float(solution(bayes, wiener, x, sigma, noise)),
                float(ours.mean() / theirs.mean()),
            )
            if abs(found / wanted - 1) < 1e-6:
                continue
            if abs(found * wanted - 1) < 1e-6:
                return "that is the other way round: below 1 the denoiser beats the reference"
            if abs(found / float((ours / theirs).mean()) - 1) < 1e-6:
                return (
                    "you average a ratio for each image, in which easy images count most: take "
                    "the ratio of the two means"
                )
            if abs(found / wanted**0.5 - 1) < 1e-6:
                return "that is the ratio of root mean squares: leave the root out"
            return f"at σ = {sigma:g} the ratio is {wanted:.4g}, yours is {found:.4g}"
        return None

    return verdict("relative error", (number, exact))
