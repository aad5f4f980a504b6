"""Self-checks of assignment 2, a denoiser that sees rows."""

import math

import torch
from torch import Tensor

from ...denoisers import Bayes, Blockwise
from .._verdict import mismatch, misshapen, normal, verdict


def _images(n: int, height: int, width: int, seed: int, values: int = 2) -> Tensor:
    """Images (n, height, width) of few values, so that rows occur more than once."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(values, (n, height, width), generator=generator)
    return 2.0 * drawn.double() / (values - 1) - 1


def check_row_denoiser(solution, *, seed: int = 0) -> bool:
    """Check ``solution(y, sigma, x)``, one denoiser for every row, (n, H, W)."""
    x, y = normal(6, 4, 5, seed=seed), normal(3, 4, 5, seed=seed + 1)
    rows = Bayes.fit(x.reshape(-1, 5))

    def shape() -> str | None:
        return misshapen(solution(y, 0.5, x), (3, 4, 5))

    def blind() -> str | None:
        other = y.clone()
        other[:, 1:] += 1
        if mismatch(solution(other, 0.5, x)[:, 0], solution(y, 0.5, x)[:, 0], 1e-9):
            return "the first row of the answer changes when other rows of y do: a row sees itself"
        return None

    def shared() -> str | None:
        turned = solution(y.flip(1), 0.5, x).flip(1)
        if not mismatch(turned, solution(y, 0.5, x), 1e-6):
            return None
        place = torch.stack([Bayes.fit(x[:, r])(y[:, r], 0.5) for r in range(4)], 1)
        if not mismatch(solution(y, 0.5, x), place, 1e-6):
            return (
                "each row compares itself with the rows at its own height: that is a blockwise "
                "denoiser. Here the rows share one function, which does not know its height"
            )
        return "turn y upside down, and the answer must turn with it: rows do not know their height"

    def exact() -> str | None:
        for sigma in (0.002, 0.5, 20.0):
            if problem := mismatch(
                solution(y, sigma, x), rows(y.reshape(-1, 5), sigma).reshape(3, 4, 5), 1e-5
            ):
                return (
                    f"at σ = {sigma:g} {problem}. Which rows of which images may a noisy row come "
                    "from, and how probable is each?"
                )
        return None

    return verdict("row denoiser", (shape, blind, shared, exact))


def _pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows of images and how often each occurs."""
    return torch.unique(x.reshape(-1, x.shape[2]), dim=0, return_counts=True)


def check_count_generated(solution, *, seed: int = 0) -> bool:
    """Check ``solution(x)``, the number of images that the exact flow can end on."""
    cases = [_images(n, 3, 2, seed + n) for n in (1, 3, 8)] + [_images(5, 2, 4, seed, 3)]

    def number() -> str | None:
        found = solution(cases[0])
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if isinstance(found, bool) or float(found) != int(found):
            return f"return a whole number, got {found!r}"
        return None

    def exact() -> str | None:
        for x in cases:
            n, height, _ = x.shape
            right, found = len(_pool(x)[0]) ** height, int(solution(x))
            if found == right:
                continue
            here = f"for {n} images of {height} rows"
            if found == (n * height) ** height:
                return f"{here} you count some images twice: rows that are equal are one row"
            places = [len(torch.unique(x[:, r], dim=0)) for r in range(height)]
            if found == math.prod(places):
                return f"{here} you let a row stay at its height: a shared denoiser does not"
            return f"{here} the number is off: what may the first row be, what the second, …?"
        return None

    return verdict("count what is generated", (number, exact))


def _probability(x: Tensor) -> float:
    """Sum over distinct training images of the product of their rows' shares, one by one."""
    rows, counts = _pool(x)
    shares = {
        tuple(r.tolist()): c.item() / counts.sum().item() for r, c in zip(rows, counts, strict=True)
    }
    images = torch.unique(x, dim=0)
    return sum(math.prod(shares[tuple(r.tolist())] for r in image) for image in images)


def check_copy_probability(solution, *, seed: int = 0) -> bool:
    """Check ``solution(x)``, the probability that a sample is a training image."""
    apart = normal(4, 3, 5, seed=seed)
    few = [_images(6, 3, 2, seed + 1), _images(9, 2, 3, seed + 2), _images(4, 3, 2, seed + 3)]
    twice = torch.cat([apart, apart[:1]])

    def number() -> str | None:
        found = solution(apart)
        if found is None:
            return "the function returns nothing yet: write it, with a return"
        if not 0 <= float(found) <= 1 + 1e-9:
            return f"return a probability, got {float(found):.3g}"
        return None

    def distinct() -> str | None:
        right, found = _probability(apart), float(solution(apart))
        if abs(found - right) > 1e-9:
            return (
                f"4 images of 3 rows, all 12 rows different: the probability is off, {found:.3g}. "
                "How many samples are equally likely, and how many of them are training images?"
            )
        return None

    def repeated() -> str | None:
        for x, what in ((twice, "one image twice"), *((x, "rows that repeat") for x in few)):
            right, found = _probability(x), float(solution(x))
            if abs(found - right) > 1e-9:
                return (
                    f"with {what} among {len(x)} images the probability is off ({found:.4g}): a "
                    "row that occurs more often is generated more often, and an image that occurs "
                    "twice is still one image"
                )
        return None

    def simulated() -> str | None:
        x = few[0]
        flat = x.reshape(-1, x.shape[2])
        drawn = flat[torch.randint(len(flat), (4000, 3), generator=_generator(seed))]
        share = (drawn[:, None] == x).flatten(2).all(2).any(1).double().mean().item()
        if abs(share - float(solution(x))) > 5 * math.sqrt(0.25 / 4000):
            return f"4,000 images of rows drawn at random are copies with share {share:.3f}"
        return None

    return verdict("probability of a copy", (number, distinct, repeated, simulated))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_row_gaussian(solution, *, seed: int = 0) -> bool:
    """Check ``solution(x)``: mean (W,) and covariance (W, W) of a row that the linear one makes."""
    x = normal(7, 4, 3, seed=seed) + torch.arange(4.0)[:, None]
    rows = x.reshape(-1, 3)

    def pair() -> str | None:
        found = solution(x)
        if not isinstance(found, tuple | list) or len(found) != 2:
            return "return two tensors: the mean and the covariance"
        return misshapen(found[0], (3,)) or misshapen(found[1], (3, 3))

    def mean() -> str | None:
        problem = mismatch(solution(x)[0], rows.mean(0))
        return problem and f"{problem} in the mean: it is that of all rows of all images"

    def covariance() -> str | None:
        right = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows)
        found = solution(x)[1]
        if not mismatch(found, right):
            return None
        if not mismatch(found, right * len(rows) / (len(rows) - 1)):
            return "normalise the covariance by the number of rows, as the best denoiser does"
        inside = x - x.mean(0)
        if not mismatch(found, (inside.reshape(-1, 3).T @ inside.reshape(-1, 3)) / len(rows)):
            return (
                "you take off a mean row for each height. The shared denoiser has one offset, so "
                "what differs between heights counts as variance to it"
            )
        return (
            f"{mismatch(found, right)} in the covariance: which rows does the denoiser learn from?"
        )

    return verdict("the Gaussian of rows", (pair, mean, covariance))


def check_row_twin(solution, *, seed: int = 0) -> bool:
    """Check ``solution(x)``: other images that every denoiser of shared rows confuses with x."""
    cases = [normal(5, 4, 3, seed=seed), _images(9, 4, 6, seed + 1, 3)]

    def shape() -> str | None:
        found = solution(cases[0].clone())
        if problem := misshapen(found, (5, 4, 3)):
            return problem
        return None

    def same() -> str | None:
        for x in cases:
            ours = torch.unique(x.reshape(-1, x.shape[2]), dim=0, return_counts=True)
            found = solution(x.clone()).to(x)
            theirs = torch.unique(found.reshape(-1, x.shape[2]), dim=0, return_counts=True)
            if len(ours[0]) != len(theirs[0]) or any(
                not torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)
            ):
                return (
                    f"for {len(x)} images the denoiser would see a difference: the rows of all "
                    "images together must be the same rows, each as often"
                )
        return None

    def other() -> str | None:
        for x in cases:
            found = solution(x.clone()).to(x)
            kept = (found[:, None] == x).flatten(2).all(2).any(1)
            if kept.any():
                return (
                    f"{int(kept.sum())} of your {len(x)} images are old ones: only rows may stay "
                    "together, not images"
                )
        return None

    def unlike_blocks() -> str | None:
        x = cases[0]
        y = normal(3, 4, 3, seed=seed + 2)
        before, after = (
            Blockwise.fit(d[:, None], block=(1, 3))(y[:, None], 0.5)
            for d in (x, solution(x.clone()))
        )
        if not mismatch(after, before, 1e-9):
            return (
                "your twin confuses even a blockwise denoiser, in which every height has rows of "
                "its own: move rows to other heights too"
            )
        return None

    return verdict("a twin for rows", (shape, same, other, unlike_blocks))
