"""Self-checks of chapter 5."""

import math

import torch
from torch import Tensor

from ..denoisers import Convolutional
from ._verdict import misshapen, normal, verdict

__all__ = [
    "check_colour",
    "check_inner_pixels",
    "check_unseen_change",
    "check_window_kernel",
    "check_window_power",
]


def _nothing(solution, *arguments) -> str | None:
    if solution(*arguments) is None:
        return "the function returns nothing yet: write it, with a return"
    return None


def _power(size: int, seed: int) -> Tensor:
    """A power on a ring: symmetric, positive, uneven."""
    f = torch.fft.fftfreq(size, dtype=torch.float64).abs()
    bumps = normal(3, seed=seed).abs()
    waves = sum((1 + torch.cos(2 * math.pi * f * (j + 1))) * b for j, b in enumerate(bumps))
    return 0.3 + waves + 1 / (0.1 + f)


def _off(found, right: Tensor, tolerance: float = 1e-6) -> bool:
    gap = (torch.as_tensor(found).double() - right).abs().max()
    return not bool(gap <= tolerance * right.abs().max())


def check_window_kernel(solution) -> bool:
    """Check ``solution(lags, k, sigma)``: the best kernel (k,) on a ring, from C(0), C(1), …."""
    power = _power(16, seed=1)
    lags = torch.fft.ifft(power).real

    def best(k: int, sigma: float) -> Tensor:
        return Convolutional.from_spectrum(0.0, power, kernel_size=k).kernel(sigma)[0, 0]

    def shape() -> str | None:
        return misshapen(solution(lags, 5, 0.5), (5,))

    def one_pixel() -> str | None:
        if _off(solution(lags, 1, 2.0), best(1, 2.0)):
            return "with k = 1 the kernel is the gain C(0) / (C(0) + σ²) of chapter 4, yours is not"
        return None

    def longer() -> str | None:
        for k, sigma in ((3, 0.5), (7, 2.0)):
            found, right = solution(lags, k, sigma), best(k, sigma)
            if _off(found, found.flip(0).double()):
                return f"the best kernel is symmetric, yours for k = {k} is not: which column is e?"
            if _off(found, right):
                return (
                    f"for k = {k}, σ = {sigma:g} the centre weight should be {right[k // 2]:.4f}, "
                    f"yours is {float(found[k // 2]):.4f}. Is T[i, j] = C(i - j), the noise only "
                    "on the diagonal, the right-hand side without noise?"
                )
        return None

    checks = (lambda: _nothing(solution, lags, 3, 1.0), shape, one_pixel, longer)
    return verdict("a kernel from correlations", checks)


def check_colour(solution) -> bool:
    """Check ``solution(power, white)``: white noise (n, L) as samples of this power."""
    power, white = _power(24, seed=2), normal(4000, 24, seed=3)

    def real() -> str | None:
        made = solution(power, white)
        if isinstance(made, Tensor) and made.is_complex():
            return "the samples should be real numbers: the power is symmetric, take .real at last"
        return misshapen(made, white.shape)

    def flat() -> str | None:
        if _off(solution(torch.full((24,), 4.0).double(), white).square().mean(),
                4 * white.square().mean()):  # fmt: skip
            return "a power of 4 at every frequency is white noise of variance 4, yours is not"
        return None

    def spectrum() -> str | None:
        found = torch.fft.fft(solution(power, white)).abs().square().mean(0) / 24
        right = torch.fft.fft(white).abs().square().mean(0) / 24 * power
        if _off(found, right):
            share = (found / right).log()
            if share.std() > 1e-3:
                return "the power has the wrong shape: which root of S multiplies a frequency?"
            return f"the power is off by the factor {share.mean().exp():.4g} at every frequency"
        return None

    checks = (lambda: _nothing(solution, power, white), real, flat, spectrum)
    return verdict("colour the noise", checks)


def check_window_power(solution) -> bool:
    """Check ``solution(lags, k)``: the power (L,) that a window of k generates on a ring."""
    power = _power(16, seed=4)
    lags = torch.fft.ifft(power).real

    def shape() -> str | None:
        return misshapen(solution(lags, 3), lags.shape)

    def one_pixel() -> str | None:
        if _off(solution(lags, 1), lags[0].expand(16)):
            return "with k = 1 the power is C(0) at every frequency: white noise"
        return None

    def longer() -> str | None:
        for k in (3, 9):
            right = Convolutional.from_spectrum(0.0, power, kernel_size=k).spectrum()
            found = solution(lags, k)
            if not _off(found, power, 1e-3):
                return f"for k = {k} you return the right spectrum; a window of {k} does not"
            if _off(found, right):
                return (
                    f"for k = {k} the mean of log S should be {right.log().mean():.4f}, yours is "
                    f"{torch.as_tensor(found).clamp(min=1e-300).log().mean().item():.4f}. Is the "
                    "logarithm that of the matrix, not of its entries, and e the centre column?"
                )
        return None

    checks = (lambda: _nothing(solution, lags, 3), shape, one_pixel, longer)
    return verdict("the power of a window", checks)


def check_unseen_change(solution) -> bool:
    """Check ``solution(power, k)``: another power that a window of k cannot tell from it."""
    power, k = _power(20, seed=5), 5

    def a_power() -> str | None:
        other = solution(power, k)
        if problem := misshapen(other, power.shape):
            return problem
        if not bool((other >= 0).all()):
            return f"a power is never negative, yours goes down to {other.min().item():.3g}"
        if _off(other, other.flip(0).roll(1).double(), 1e-9):
            return "a power of real images is symmetric: S(ω) = S(−ω)"
        return None

    def different() -> str | None:
        if not _off(solution(power, k), power, 1e-3):
            return "that is (nearly) the same power: change it by at least a thousandth"
        return None

    def unseen() -> str | None:
        found = (Convolutional.from_spectrum(0.0, p, kernel_size=k)
                 for p in (power, solution(power, k)))  # fmt: skip
        before, after = (d.kernel(1.0) for d in found)
        if _off(after, before, 1e-8):
            return (
                f"the best kernel of {k} pixels changes: it sees C(δ) up to δ = {k - 1}. At which "
                "distances may the autocovariance still be changed?"
            )
        return None

    checks = (lambda: _nothing(solution, power, k), a_power, different, unseen)
    return verdict("an unseen change", checks)


def check_inner_pixels(solution) -> bool:
    """Check ``solution(size, k, steps)``: pixels of a square image that no zero can reach."""

    def still() -> str | None:
        if solution(10, 1, 7) != 100:
            return "a kernel of one pixel never reaches over the border: all 100 pixels count"
        return None

    def once() -> str | None:
        if solution(10, 3, 1) != 64:
            return "one step of a 3×3 kernel lets the outermost ring of pixels feel the zeros"
        return None

    def often() -> str | None:
        for size, k, steps in ((28, 5, 3), (64, 7, 10), (9, 3, 4)):
            right = _count_inner(size, k, steps)
            if solution(size, k, steps) != right:
                return (
                    f"wrong for {size}×{size} pixels, k = {k} and {steps} steps: each step lets "
                    "the border reach (k − 1) / 2 pixels further in"
                )
        return None

    def none_left() -> str | None:
        if solution(8, 3, 18) != 0:
            return "8×8 pixels, k = 3, 18 steps: the zeros reach all pixels, so the answer is 0"
        return None

    checks = (lambda: _nothing(solution, 8, 3, 1), still, once, often, none_left)
    return verdict("inner pixels", checks)


def _count_inner(size: int, k: int, steps: int) -> int:
    """Count by following which pixels have been touched, step by step."""
    touched = torch.ones(size + 2, dtype=torch.float64)
    touched[1:-1] = 0  # the frame of zeros, one pixel of it is enough
    r = k // 2
    for _ in range(steps):
        reach = torch.nn.functional.max_pool1d(touched[None, None], 2 * r + 1, 1, r)[0, 0]
        touched = reach
    return int((touched[1:-1] == 0).sum()) ** 2
