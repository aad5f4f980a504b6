# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (sec-project-sum)=
# # Low rank and local
#
# **Question.** A UNet has a narrow middle that sees everything and skips that see little. What does
# the *linear* denoiser "low rank plus local" generate?
#
# **Start.** No formula is known to this book. But any affine denoiser has an exact law
# ({prf:ref}`thm-any-affine`), so we find the best sum numerically at each level, and put it into the
# recursion. What a convincing answer needs is in the [chapter on projects](../18_project_ideas.ipynb).

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": a minute at most, "gpu": full size
seed = 0

# %% tags=["hide-input"]
from itertools import pairwise

import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc
from diffusion_creativity.denoisers.affine import affine_law

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# ## The start
#
# The matrix is $A = R + L$: $R$ of rank $r$, and $L$ zero outside a window of $k \times k$ pixels
# around each pixel. With $M = \Sigma + \sigma^2 I$ and the best matrix of all, $W = \Sigma M^{-1}$, the excess loss is
# $\lVert (A - W) M^{1/2} \rVert^2$. We alternate: for a given $R$ each row of $L$ is a small regression; for a
# given $L$ the best $R$ is a truncated singular value decomposition. Each step lowers the loss. Nothing says
# that it reaches the lowest.

# %%
x = dc.data.load("digits").x.double()
d, shape = x[0].numel(), x.shape[1:]
mean = x.mean(0).flatten()
centred = x.flatten(1) - mean
cov = centred.T @ centred / len(x)
sigmas = dc.noise.karras(run.size(smoke=6, book=30, gpu=100))
sweeps = run.size(smoke=4, book=12, gpu=100)


def window_of(k):
    """Which pixels the window around each pixel contains, (d, d)."""
    row, column = torch.meshgrid(*(torch.arange(s) for s in shape[1:]), indexing="ij")
    row, column = row.flatten(), column.flatten()
    reach = (k - 1) // 2
    return ((row[:, None] - row).abs() <= reach) & ((column[:, None] - column).abs() <= reach)


def best_local(aim, M, inside):
    """The L within the windows with least ‖(L - aim) M^½‖: a regression for each row."""
    outside = ~inside
    # Of row p only the window's equations M_ww l = (aim M)_w are kept; the rest say l = 0.
    system = torch.where(outside[:, :, None] | outside[:, None, :], 0.0, M)  # (d, d, d)
    system.diagonal(dim1=1, dim2=2)[outside] = 1.0
    return torch.linalg.solve(system, torch.where(inside, aim @ M, 0.0))


def best_low_rank(aim, root, inverse_root, rank):
    """The R of this rank with least ‖(R - aim) M^½‖."""
    U, s, V = torch.linalg.svd(aim @ root)
    return (U[:, :rank] * s[:rank]) @ V[:rank] @ inverse_root


def fit(rank, k, sigma):
    """The sum at one level, and its excess loss after each sweep."""
    M = cov + sigma**2 * torch.eye(d, dtype=cov.dtype)
    values, vectors = torch.linalg.eigh(M)
    root = (vectors * values.sqrt()) @ vectors.T
    inverse_root = (vectors / values.sqrt()) @ vectors.T
    W = torch.linalg.solve(M, cov).T
    inside, zero = window_of(k), torch.zeros_like(W)
    low, local, losses = zero, zero, []
    for _ in range(sweeps if rank and k else 1):
        low = best_low_rank(W - local, root, inverse_root, rank) if rank else zero
        local = best_local(W - low, M, inside) if k else zero
        losses.append(((low + local - W) @ root).square().sum().item())
    return low + local, losses


def law(rank, k):
    """The exact law of the best sum on the schedule; k = 0 leaves the local part out."""

    def maps(sigma):
        A, _ = fit(rank, k, sigma)
        return A, mean - A @ mean

    return affine_law(maps, sigmas, shape)


# %% [markdown]
# The yardstick is the law of the unrestricted affine denoiser on the same schedule: how far is the
# covariance from its covariance, relative to it? Beside it stands the number of free weights.

# %%
ideal = dc.denoisers.Affine.fit(x).law(sigmas).cov
designs = run.size(
    smoke=[(4, 0), (0, 3), (4, 3)],
    book=[(8, 0), (16, 0), (24, 0), (0, 3), (0, 5), (0, 7), (4, 3), (8, 3), (4, 5)],
)


def off(cov):
    return ((cov - ideal).norm() / ideal.norm()).item()


def weights(rank, k):
    return 2 * d * rank - rank**2 + int(window_of(k).sum()) * (k > 0)


errors = {design: off(law(*design).cov) for design in designs}
for (rank, k), error in errors.items():
    print(f"rank {rank:2}, window {k}: {weights(rank, k):5} weights, covariance off by {error:.3f}")

# %% mystnb={"image": {"alt": "Error of the generated covariance against the number of weights, for low rank alone, local alone, and the sum."}, "figure": {"caption": "How far the generated covariance is from that of the unrestricted denoiser, against the number of free weights.", "name": "fig-project-sum"}} tags=["hide-input"]
groups = {"low rank": "denoiser", "local": "generated", "sum": "law"}
for (rank, k), error in errors.items():
    group = "sum" if rank and k else "low rank" if rank else "local"
    plt.plot(weights(rank, k), error, "o", color=COLORS[groups[group]])
    plt.annotate(f" {rank}, {k}", (weights(rank, k), error))
for group, color in groups.items():
    plt.plot([], [], "o", color=COLORS[color], label=group)
plt.yscale("log")
plt.xlabel("free weights (labels: rank, window)")
plt.ylabel("relative error of the covariance")
plt.legend()
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# Both ends are known. Full rank, or a window that covers everything, is the affine denoiser with its
# Gaussian law; rank $r$ alone is the bottleneck ({prf:ref}`thm-bottle-linear`). And no sweep may raise
# the loss.

# %%
assert off(law(d, 0).cov) < 1e-8
assert off(law(0, 15).cov) < 1e-8
bottleneck = dc.denoisers.LinearBottleneck.fit(x, rank=4).law(sigmas).cov
assert (law(4, 0).cov - bottleneck).norm() / ideal.norm() < 1e-6
_, losses = fit(4, 3, 0.5)
assert all(b <= a * (1 + 1e-9) for a, b in pairwise(losses))
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Is the alternation at its end, and does the end depend on the start? Start from other matrices.

# %%
# YOUR WORK 1: losses from ten random starts, at three levels.
...

# %% [markdown]
# 2. For a stationary target on a ring the local part is a filter. Find the best sum in the basis of waves. Is the
# law a formula?

# %%
# YOUR WORK 2: a theorem or a counterexample.
...

# %% [markdown]
# 3. Train a linear network of that shape at each level. Does gradient descent find what the alternation finds?

# %%
# YOUR WORK 3: excess loss per level, and the law of the trained matrices; three seeds.
...
