"""Self-checks of chapter 7."""

import math

import torch

from ..denoisers import EncoderBottleneck, LinearBottleneck
from ._verdict import mismatch, normal, verdict

__all__ = [
    "check_best_rank",
    "check_coded_atoms",
    "check_conditional_mean",
    "check_rare_share",
    "check_rescaled_encoder",
]


def _data(n: int = 60, d: int = 5) -> torch.Tensor:
    stretch = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2], dtype=torch.float64)[:d]
    turn = torch.linalg.qr(normal(d, d, seed=1))[0]
    return (normal(n, d, seed=2) * stretch) @ turn.T + 1


def check_best_rank(solution) -> bool:
    """Check ``solution(mean, cov, rank, sigma) -> (A, b)``, the best affine map of that rank."""
    x = _data()
    mean, cov = x.mean(0), torch.cov(x.T, correction=0)

    def found(rank: int, sigma: float) -> tuple:
        answer = solution(mean, cov, rank, sigma)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise ValueError("return two tensors: A (d, d) and b (d,)")
        return answer

    def of_rank() -> str | None:
        for rank in (1, 3):
            A = torch.as_tensor(found(rank, 0.7)[0]).double()
            got = int(torch.linalg.matrix_rank(A, atol=1e-9))
            if got != rank:
                return f"asked for rank {rank}, the matrix A has rank {got}"
        return None

    def best() -> str | None:
        for rank, sigma in ((1, 0.3), (2, 1.5), (4, 10.0)):
            A, b = LinearBottleneck(mean, cov, rank=rank).maps(sigma)
            mine = found(rank, sigma)
            if problem := mismatch(mine[0], A):
                return (
                    f"A for rank {rank}, σ = {sigma:g}: {problem}. Which k directions are kept, "
                    "and is each multiplied by its gain?"
                )
            if problem := mismatch(mine[1], b):
                return f"A is right, b is not: {problem}. Where should D send y = μ?"
        return None

    return verdict("the best plane", (of_rank, best))


def check_conditional_mean(solution) -> bool:
    """Check ``solution(y, sigma, x, W)``, E[x | W y] for training points x (N, d)."""
    x, W = _data(), torch.linalg.qr(normal(5, 2, seed=3))[0].T
    y = normal(7, 5, seed=4)

    def blind() -> str | None:
        off = y + (torch.eye(5, dtype=torch.float64) - W.T @ W) @ normal(5, 7, seed=5).mul(9)[:, 0]
        if problem := mismatch(solution(off, 0.8, x, W), solution(y, 0.8, x, W)):
            return f"a change of y that W does not see changes the answer: {problem}"
        return None

    def right() -> str | None:
        exact = EncoderBottleneck.fit(x, encoder=W)
        for sigma in (0.1, 0.8, 20.0):
            if problem := mismatch(solution(y, sigma, x, W), exact(y, sigma)):
                return (
                    f"at σ = {sigma:g} {problem}. Distances are between codes, the noise in a code "
                    "has variance σ² in each of its numbers, and the average is over the images"
                )
        return None

    def small() -> str | None:
        answer = solution(y, 1e-3, x, W)
        if answer is not None and not torch.isfinite(answer).all():
            return "at σ = 0.001 the weights are 0/0: let torch.softmax take the logits"
        return None

    def shape() -> str | None:
        answer = solution(y, 0.8, x, W)
        if not isinstance(answer, torch.Tensor) or answer.shape != y.shape:
            return "return a tensor of the shape of y, an estimate of x and not of its code"
        return None

    return verdict("conditional mean", (shape, blind, small, right))


def check_coded_atoms(solution) -> bool:
    """Check ``solution(x, W) -> (atoms, probabilities)``, the law of the fixed encoder."""
    x = torch.tensor([[0.0, 1.0], [0.0, 3.0], [2.0, 1.0], [0.0, -7.0]], dtype=torch.float64)
    W = torch.tensor([[1.0, 0.0]], dtype=torch.float64)

    def law(points: torch.Tensor, encoder: torch.Tensor) -> list[list[float]]:
        answer = solution(points, encoder)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise ValueError("return two tensors: atoms (K, d) and probabilities (K,)")
        atoms, shares = (torch.as_tensor(part).double() for part in answer)
        if atoms.ndim != 2 or atoms.shape[1:] != points.shape[1:] or len(shares) != len(atoms):
            raise ValueError("atoms must be (K, d), probabilities (K,)")
        return sorted([*a, p] for a, p in zip(atoms.tolist(), shares.tolist(), strict=True))

    def shared() -> str | None:
        mine = law(x, W)
        if len(mine) != 2:
            return f"three of the four points share a code: two atoms, not {len(mine)}"
        right = torch.tensor([[0.0, -1.0, 0.75], [2.0, 1.0, 0.25]], dtype=torch.float64)
        if problem := mismatch(torch.tensor(mine, dtype=torch.float64)[:, 2], right[:, 2]):
            return f"the probabilities are off: {problem}"
        if problem := mismatch(torch.tensor(mine, dtype=torch.float64), right):
            return f"the atoms are off: {problem}. What does the decoder answer to a shared code?"
        return None

    def distinct() -> str | None:
        points = _data(20)
        encoder = torch.linalg.qr(normal(5, 1, seed=3))[0].T
        right = sorted([*row, 1 / 20] for row in points.tolist())
        mine = law(points, encoder)
        if len(mine) != 20:
            return f"20 points with 20 different codes: 20 atoms, not {len(mine)}"
        if problem := mismatch(torch.tensor(mine).double(), torch.tensor(right).double()):
            return f"with distinct codes every training point comes back, here not: {problem}"
        return None

    return verdict("shared codes", (shared, distinct))


def check_rare_share(solution) -> bool:
    """Check ``solution(p)``: how often two words generate the rarer of two atoms."""

    def even() -> str | None:
        if abs(float(solution(0.5)) - 0.5) > 1e-6:
            return "two atoms that are equally probable must come equally often"
        return None

    def rare() -> str | None:
        for p in (0.4, 0.25, 0.1, 0.01):
            right = math.erfc(math.sqrt(math.log((1 - p) / p))) / 2
            mine = float(solution(p))
            if abs(mine - p) < 1e-6:
                return "that is the cell's share; the simulation in the chapter refutes it"
            if abs(mine - right) > 1e-6 * right:
                return (
                    f"for p = {p:g} yours is {mine:.5f}, and a simulation gives about {right:.3f}. "
                    "For which n does n σ reach 1/2 + σ² log((1-p)/p) at some σ?"
                )
        return None

    return verdict("the rare word", (even, rare))


def check_rescaled_encoder(solution) -> bool:
    """Check ``solution(V)``: a matrix with orthonormal rows and the row space of V."""
    V = normal(2, 5, seed=8) * 3

    def orthonormal() -> str | None:
        W = solution(V)
        if not isinstance(W, torch.Tensor) or W.shape != V.shape:
            return f"return a tensor of the shape of V, {tuple(V.shape)}"
        if problem := mismatch(W @ W.T, torch.eye(2, dtype=torch.float64), 1e-8):
            return f"the rows are not orthonormal: W Wᵀ against I, {problem}"
        return None

    def same_space() -> str | None:
        W = solution(V)
        if problem := mismatch(V @ W.T @ W, V, 1e-8):
            return f"W sees less, or something else, than V: projecting V on its rows, {problem}"
        return None

    return verdict("any encoder", (orthonormal, same_space))
