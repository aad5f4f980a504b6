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
# (sec-bottle)=
# # Bottlenecks dream on a plane, or copy
#
# A *bottleneck* is a place in a network where only $k$ numbers pass. Autoencoders have one, and so
# does the lowest level of a {term}`UNet`. A picture of sixty-four pixels must squeeze through, say, two
# numbers. Surely such a network cannot remember its training set, and has to be creative?
#
# It depends on what stands behind the bottleneck. We take three kinds:
#
# - linear layers on both sides: the samples are Gaussian, on a plane of $k$ dimensions;
# - a linear layer in front, *anything* behind: the samples are averages of all images that share a
#   code. On a finite training set with distinct codes that means copies, even for $k = 1$;
# - a list of $k$ words: the samples are $k$ images, and not as often as you would guess.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what each bottleneck generates, with proofs, and why the decoder behind it,
#   not its width, decides between copying and creating.
# - **Time** about 50 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`04_linear`, conditional expectation, and from
#   {doc}`02_denoising_scores_samplers` that the flow carries $p_\sigma$ to $p_0$
#   ({prf:ref}`thm-probability-flow`).
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats
from torch import nn

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Codebook, EncoderBottleneck, LinearBottleneck
from diffusion_creativity.denoisers.encoder import pca, pooling
from diffusion_creativity.widgets import Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: all together refuse a true law less than once in 1,000 runs


def power_of_ten(value, digits=0):
    """0.000013 as 1.3·10⁻⁵."""
    factor, exponent = f"{value:.{digits}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{factor}·10{raised}"


# %% [markdown]
# ## Widen the bottleneck
#
# The first figure has a denoiser with two linear layers: one from 64 pixels to $k$ numbers, one
# back. Eight samples from the same noise, for every width. Widen it from 1 on. Do the samples turn
# into digits? Do they ever turn into *training* digits?

# %%
images = dc.data.load("digits").x  # (1797, 1, 8, 8)
everything = Affine.fit(images)  # no bottleneck
spectrum = everything.eigenvalues.numpy()
sigmas = dc.noise.karras(40)
noise = dc.sampling.initial_noise(8, (1, 8, 8), seed=seed + 1)


# %% tags=["hide-input"]
def draw_width(rank):
    samples = LinearBottleneck.fit(images, rank=rank).generate(noise, sigmas)
    kept = 100 * spectrum[:rank].sum() / spectrum.sum()
    space = "a line" if rank == 1 else f"a plane of {rank} dimensions"
    words = f"Width {rank}: samples on {space}, {kept:.0f} % of the variance."
    order = np.arange(1, len(spectrum) + 1)
    return {
        "samples": [marks.images(samples, columns=4, cell=88)],
        "spectrum": [
            marks.points(order, spectrum, color="data", size=2.5, label="data"),
            marks.points(order[:rank], spectrum[:rank], color="generated", size=3.5, shape="ring",
                         label="generated"),
            marks.vline(rank + 0.5, color="law"),
        ],
        "alt": f"Eight generated images and the spectrum of the digits. {words}",
        "caption": words,
    }  # fmt: skip


Explorer.precomputed(
    draw_width,
    [Slider("rank", [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 61], "width k", start=2,
            play=True)],
    {
        "samples": Panel("Samples, same noise", kind="images"),
        "spectrum": Panel("Variance along each eigenvector", "eigenvector", "variance",
                          ylog=True, xlim=(0, 62)),
    },
    title="What a linear bottleneck lets through",
)  # fmt: skip

# %% [markdown]
# Width adds detail and never a digit. A linear bottleneck is creative at any width, and realistic
# at none. Keep that in mind for the second half, where the decoder will not be linear.
#
# (sec-bottle-linear)=
# ## Two linear layers
#
# A first layer that maps $d$ numbers to $k$ and a second one that maps them back compose to
# $D(y) = Ay + b$, where the matrix $A$ has rank at most $k$; and every such $A$ is a product of two
# layers. The best one was found for regression by {cite:t}`izenman1975reduced`, and for
# autoencoders by {cite:t}`baldi1989neural`. For denoising it has a convenient property: the noise
# level does not matter for *what* passes.
#
# As in {doc}`04_linear`, $x$ has mean $\mu$ and covariance
# $\Sigma = \sum_i \lambda_i u_i u_i^\top$ with $\lambda_1 \ge \lambda_2 \ge \dots$ We write $U_k$
# for the matrix of the first $k$ eigenvectors and $\Lambda_k$ for the diagonal matrix of their
# eigenvalues.
#
# ```{prf:theorem} One plane for all noise levels
# :label: thm-bottle-linear
#
# Let $x$ have mean $\mu$ and covariance $\Sigma$ of rank at least $k$, let $n$ be independent of
# $x$ with mean $0$ and covariance $I$, and $\sigma > 0$.
# Among all maps $y \mapsto Ay + b$ with rank of $A$ at most $k$,
#
# $$D_\sigma(y) = \mu + U_k \Lambda_k (\Lambda_k + \sigma^2 I)^{-1} U_k^\top (y - \mu)$$
#
# has the least loss $\mathbb E\norm{x - D(y)}^2$. If $\lambda_k > \lambda_{k+1}$ it is the only
# best one. The plane $\mu + \operatorname{span} U_k$ is the same at every $\sigma$: the plane of
# principal component analysis (PCA).
# ```
#
# ```{prf:proof}
# Write $C = \Sigma + \sigma^2 I$. By {prf:ref}`thm-affine-denoiser` the map $(A, b)$ loses more
# than the best affine map by
#
# $$\begin{aligned}
# &\operatorname{tr}\bigl[(A - \Sigma C^{-1})\,C\,(A - \Sigma C^{-1})^\top\bigr] +
# \norm{A\mu + b - \mu}^2 \\
# &\qquad = \norm{A C^{1/2} - \Sigma C^{-1/2}}_F^2 + \norm{A\mu + b - \mu}^2 .
# \end{aligned}$$
#
# The second term is zero for $b = \mu - A\mu$. In the first, $AC^{1/2}$ has the rank of $A$, so we
# look for the matrix of rank at most $k$ that is nearest to $\Sigma C^{-1/2}$. That matrix is
# symmetric with eigenvectors $u_i$ and eigenvalues
#
# $$s_i = \frac{\lambda_i}{\sqrt{\lambda_i + \sigma^2}} \ge 0 .$$
#
# By the theorem of {cite:t}`eckart1936approximation` a nearest one keeps the $k$ largest
# $s_i$, and it is the only one if the $k$-th is larger than the next. Which ones are the largest?
# The square is $s^2 = \lambda^2/(\lambda + \sigma^2)$, and
#
# $$\frac{d}{d\lambda}\,\frac{\lambda^2}{\lambda + \sigma^2} =
# \frac{\lambda^2 + 2\lambda\sigma^2}{(\lambda + \sigma^2)^2} > 0 \quad (\lambda > 0),$$
#
# so the order of the $s_i$ is the order of the $\lambda_i$, whatever $\sigma$. Hence
# $AC^{1/2} = \sum_{i \le k} s_i u_i u_i^\top$, and
# $A = \sum_{i \le k} \frac{\lambda_i}{\lambda_i + \sigma^2}\, u_i u_i^\top$.
# ```
#
# Where $\lambda_k = \lambda_{k+1}$ there are several best planes. Our code takes one of them, the
# same at all levels.
#
# ```{prf:corollary} A Gaussian on the PCA plane
# :label: cor-bottle-law
#
# From $\normal(0, \sigma_0^2 I)$, DDIM with the schedule $\sigma_0 > \dots > \sigma_K = 0$ and the
# denoiser of {prf:ref}`thm-bottle-linear` generates a Gaussian with
#
# $$\begin{aligned}
# \text{mean}\quad & \mu - \sum_{i \le k} g_i\,(u_i^\top\mu)\,u_i, \qquad
# \text{covariance}\quad \sum_{i \le k} \sigma_0^2\, g_i^2\; u_i u_i^\top, \\
# \text{where}\quad & g_i = \prod_{j=0}^{K-1}
# \frac{\lambda_i + \sigma_j\sigma_{j+1}}{\lambda_i + \sigma_j^2} .
# \end{aligned}$$
#
# All samples lie exactly on the plane $\mu + \operatorname{span} U_k$. With ever finer steps from
# ever larger $\sigma_0$ down to $0$ the law tends to $\normal(\mu, U_k\Lambda_kU_k^\top)$.
# ```
#
# ```{prf:proof}
# Along $u_i$ with $i \le k$ the denoiser has the gain of {doc}`04_linear`, so
# {prf:ref}`cor-finite-steps` and {prf:ref}`thm-affine-law` apply. Along any other direction $u$ the
# denoiser answers $u^\top\mu$: a step multiplies $u^\top(y - \mu)$ by $\sigma'/\sigma$, and the
# last one, with $\sigma' = 0$, by $0$.
# ```
#
# | width | plane | law |
# |---|---|---|
# | $k \ge \operatorname{rank} \Sigma$ | span of the data | $\normal(\mu, \Sigma)$: no bottleneck at all |
# | $1 \le k < \operatorname{rank} \Sigma$ | first $k$ principal components | $\normal(\mu, U_k\Lambda_kU_k^\top)$ |
#
# **Look at it.** Widths 1, 2, 8 and 32, the same starting noise in each row.

# %%
widths = [1, 2, 8, 32]
bottles = {k: LinearBottleneck.fit(images, rank=k) for k in widths}
first = {k: bottles[k].generate(noise, sigmas) for k in widths}

# %% mystnb={"image": {"alt": "Five rows of eight small images. Width 1: blends of two blurry shapes. Width 2 and 8: soft digit-like blobs. Width 32 and no bottleneck: noisy digit-like textures."}, "figure": {"caption": "Samples of linear bottlenecks from the same noise. From above: width 1, 2, 8, 32, and no bottleneck. Width adds detail; no row shows digits.", "name": "fig-bottle-widths"}} tags=["hide-input"]
rows = {**{f"k = {k}": first[k] for k in widths}, "k = d": everything.generate(noise, sigmas)}
fig, axes = plt.subplots(len(rows), 1, figsize=(6.8, 4.9))
for ax, (name, row) in zip(axes, rows.items(), strict=True):
    dc.style.image_grid(row.numpy(), columns=8, ax=ax)
    ax.text(-0.02, 0.5, name, transform=ax.transAxes, ha="right", va="center")
plt.show()

# %% mystnb={"image": {"alt": "Six scatter plots of digits and samples in two planes of principal components. First and second component: samples of width one on a horizontal line, of widths two and four a round cloud over the data. Third and fourth component: samples of widths one and two at a single point in the middle, of width four a round cloud."}, "figure": {"caption": "Growing rank in two planes of principal components: first and second (top), third and fourth (bottom). Small dots in black (white on a dark page): digits. Orange: samples of width 1, 2 and 4 from the same noise. Green: twice the standard deviation of the law. Below rank 3 all samples are at one point of the lower plane.", "name": "fig-bottle-plane"}} tags=["hide-input"]
many = dc.sampling.initial_noise(600, (1, 8, 8), seed=seed + 2)
axes_of_data = everything.eigenvectors[:, :4].float()
centre = everything.mean.float()
real = (images - centre).flatten(1) @ axes_of_data
turn = np.linspace(0, 2 * np.pi, 200)
fig, axes = plt.subplots(2, 3, figsize=(7.2, 4.9), sharex=True, sharey=True)
for column, k in zip(axes.T, (1, 2, 4), strict=True):
    samples = LinearBottleneck.fit(images, rank=k).generate(many, sigmas)
    shown = (samples - centre).flatten(1) @ axes_of_data
    for ax, first_axis in zip(column, (0, 2), strict=True):
        pair = slice(first_axis, first_axis + 2)
        a, b = 2 * np.sqrt(spectrum[pair]) * (np.arange(pair.start, pair.stop) < k)
        ax.plot(*real[:, pair].T, ".", ms=1.6, color=COLORS["data"], alpha=0.35)
        dot = 10 if k <= first_axis else 3  # all samples at one point
        ax.plot(*shown[:, pair].T, ".", ms=dot, color=COLORS["generated"], alpha=0.6)
        ax.plot(a * np.cos(turn), b * np.sin(turn), color=COLORS["law"], lw=2)
        ax.set(aspect="equal")
    column[0].set_title(f"k = {k}")
for row, (across, up) in zip(axes, (("first", "second"), ("third", "fourth")), strict=True):
    row[0].set_ylabel(f"{up} component")
    for ax in row:
        ax.set_xlabel(f"{across} component")
plt.show()

# %% [markdown]
# **The certificate.** With a bottleneck of each width we draw many samples in 18 steps and hold
# them against the law of *those* 18 steps. The first line of the report measures the largest
# distance from the plane. The controls: the law of the neighbouring width, and the limit of
# infinitely many steps.

# %%
short = dc.noise.karras(18)
count = run.size(smoke=2000, book=6000)
start = dc.sampling.initial_noise(count, (1, 8, 8), seed=seed + 3)
reports, off_plane = {}, []
for k in widths:
    made = dc.sampling.ddim(bottles[k], start, short)
    reports[k] = bottles[k].law(short).agreement(made, alpha=LEVEL)
    off_plane.append(reports[k]["largest distance off the plane"].value)
    assert reports[k].ok
    assert not LinearBottleneck.fit(images, rank=k + 1).law(short).agreement(made, alpha=LEVEL).ok
    assert not bottles[k].law(None).agreement(made, alpha=LEVEL).ok
assert max(off_plane) < 1e-5
reports[8]

# %% tags=["remove-input"]
linear_p = min(s.p_value for r in reports.values() for s in r.statistics if s.p_value is not None)
dc.runtime.report(
    bottle_off_plane=power_of_ten(max(off_plane)),
    bottle_linear_p=f"{linear_p:.2f}",
    bottle_linear_count=f"{count:,}",
)

# %% [markdown]
# All four widths agree (smallest of all p-values {glue:text}`bottle_linear_p`,
# {glue:text}`bottle_linear_count` samples each). The samples leave the plane by at most
# {glue:text}`bottle_off_plane` of the law's standard deviation: the rounding of float32. Both wrong
# laws are refused at each width.
#
# **Is the plane really the best one?** {prf:ref}`thm-bottle-linear` compares with *all* matrices of
# rank $k$. We let an optimiser look for a better one: two layers, full-batch gradient descent on
# the exact loss at three noise levels, from random weights. In the table, loss counts from that of
# the best map without a bottleneck.

# %%
generator = torch.Generator().manual_seed(seed + 4)
small_cov = torch.diag(torch.tensor([3.0, 2.0, 1.2, 0.7, 0.3, 0.1], dtype=torch.float64))


def excess(A, sigma, cov=small_cov):
    """Loss of the matrix A above the best affine map's, the bias at its best."""
    C = cov + sigma**2 * torch.eye(len(cov)).to(cov)
    off = A - torch.linalg.solve(C, cov).T
    return torch.trace(off @ C @ off.T)


def descend(sigma, rank, decay=0.0, steps=4000):
    """Train encoder (k, d) and decoder (d, k) by gradient descent; return their product."""
    d, rate = len(small_cov), 0.1 / (3 + sigma**2)
    C = small_cov + sigma**2 * torch.eye(d).to(small_cov)
    W1 = 0.3 * torch.randn(rank, d, generator=generator, dtype=torch.float64)
    W2 = 0.3 * torch.randn(d, rank, generator=generator, dtype=torch.float64)
    for _ in range(steps):
        slope = 2 * (W2 @ W1 @ C - small_cov)  # of the loss, in the product A = W2 W1
        W1, W2 = (
            W1 - rate * (W2.T @ slope + 2 * decay * W1),
            W2 - rate * (slope @ W1.T + 2 * decay * W2),
        )
    return W2 @ W1


gd_steps = run.size(smoke=1500, book=3000)
shortfall, lines = [], ["  σ   k   formula   descent   random plane"]
for sigma in (0.2, 1.0, 3.0):
    for k in (1, 3):
        best = LinearBottleneck(torch.zeros(6), small_cov, rank=k).maps(sigma)[0]
        learnt = descend(sigma, k, steps=gd_steps)
        plane = torch.linalg.qr(torch.randn(6, k, generator=generator, dtype=torch.float64))[0]
        projected = (
            plane @ plane.T @ torch.linalg.solve(small_cov + sigma**2 * torch.eye(6), small_cov)
        )
        values = [excess(A, sigma).item() for A in (best, learnt, projected)]
        shortfall.append(values[1] / values[0] - 1)
        lines.append(f"{sigma:4.1f} {k:3d} " + "".join(f"{v:10.5f}" for v in values))
        assert values[0] <= values[1] + 1e-12 < values[2]
print("\n".join(lines))
worst_shortfall = max(shortfall)

# %% tags=["remove-input"]
dc.runtime.report(bottle_descent_gap=power_of_ten(max(worst_shortfall, 1e-16)))

# %% [markdown]
# Gradient descent never falls below the formula, and ends above it by a relative
# {glue:text}`bottle_descent_gap` at most.
#
# ### Weight decay narrows the bottleneck
#
# Training adds its own constraints. {doc}`04_linear` studied a ridge: a penalty on the squared size
# of the matrix $A$. *Weight decay* on two layers is another thing. It penalises the encoder and the
# decoder, not their product, and that switches weak directions off completely.
#
# ```{prf:proposition} Ridge and weight decay in a bottleneck
# :label: prop-bottle-decay
#
# Let $\gamma, \sigma > 0$, and let the bias be free of penalty.
#
# 1. With the penalty $\gamma\norm{A}_F^2$ on the product of both layers, the best map of rank at
#    most $k$ keeps the plane of {prf:ref}`thm-bottle-linear`, with gains
#    $\lambda_i/(\lambda_i + \sigma^2 + \gamma)$.
# 2. With the penalty $\gamma(\norm{W_1}_F^2 + \norm{W_2}_F^2)$ on the encoder $W_1$ and the decoder
#    $W_2$, $A = W_2W_1$, and if at most $k$ eigenvalues exceed $\gamma$, the best map has the gains
#
# $$\frac{\max(\lambda_i - \gamma,\, 0)}{\lambda_i + \sigma^2} .$$
#
# In the second case a direction with $\lambda_i \le \gamma$ never passes, at any noise level. Along
# the others, for $a = \gamma/\lambda_i$, the exact flow from $\sigma_{\max}$ to $\sigma_{\min}$
# multiplies $z_i = u_i^\top(y - \mu)$ by
#
# $$\Bigl(\frac{\sigma_{\min}}{\sigma_{\max}}\Bigr)^{a}
# \Bigl(\frac{\lambda_i + \sigma_{\min}^2}{\lambda_i + \sigma_{\max}^2}\Bigr)^{(1 - a)/2},$$
#
# which tends to $0$ as $\sigma_{\min} \to 0$: the law collapses, as with a ridge
# ({prf:ref}`prop-ridge-collapse`).
# ```
#
# ```{prf:proof}
# Up to constants the loss is $\operatorname{tr}(ACA^\top) - 2\operatorname{tr}(A\Sigma)$ with
# $C = \Sigma + \sigma^2I$. (1) The penalty turns $C$ into $C + \gamma I$: this is
# {prf:ref}`thm-bottle-linear` at the noise variance $\sigma^2 + \gamma$.
#
# (2) Among all factorisations of $A$ the least $\norm{W_1}_F^2 + \norm{W_2}_F^2$ is
# $2\norm{A}_*$, twice the sum of the singular values: it is at least that, since
# $\norm{W_2W_1}_* \le \norm{W_2}_F\norm{W_1}_F$, and splitting each singular value into
# equal roots attains it. So we minimise
#
# $$F(A) = \operatorname{tr}(ACA^\top) - 2\operatorname{tr}(A\Sigma) + 2\gamma\norm{A}_*$$
#
# over matrices of rank at most $k$. Forget the rank for a moment. $F$ is strictly convex and so has
# one minimiser. Flip signs: let $S = \sum_i \pm u_iu_i^\top$ with any signs. $S$ commutes with
# $\Sigma$ and $C$, so $F(SAS) = F(A)$, and the minimiser satisfies $SAS = A$ for all signs: it is
# diagonal, $A = \sum_i a_i u_iu_i^\top$. Now each $a_i$ minimises
# $a^2(\lambda_i + \sigma^2) - 2a\lambda_i + 2\gamma\abs{a}$ alone. The derivative vanishes at
# $(\lambda_i - \gamma)/(\lambda_i + \sigma^2)$ if that is positive; otherwise $a_i = 0$ is best. Its
# rank is the number of $\lambda_i > \gamma$, at most $k$, so the constraint was met all along.
#
# With this gain, $\frac{d}{d\sigma}\log z_i = \frac1\sigma\bigl(1 - \frac{\lambda_i -
# \gamma}{\lambda_i + \sigma^2}\bigr) = \frac{\sigma^2 + \gamma}{\sigma(\lambda_i + \sigma^2)} =
# \frac{a}{\sigma} + \frac{(1-a)\,\sigma}{\lambda_i + \sigma^2}$, and integration gives the factor.
# ```
#
# Weight decay is thus a bottleneck of its own, one that counts eigenvalues above $\gamma$ instead
# of a width. We train the two layers with it.

# %%
gamma = 0.5
lambdas = small_cov.diagonal()
found, expected = [], []
for sigma in (0.3, 1.0):
    A = descend(sigma, 6, decay=gamma, steps=2 * gd_steps)
    found.append(A)
    expected.append((lambdas - gamma).clamp(min=0) / (lambdas + sigma**2))
decay_error = max(
    (A - torch.diag(e)).abs().max().item() for A, e in zip(found, expected, strict=True)
)
ridge_gain = lambdas / (lambdas + 0.3**2 + gamma)
decay_control = (found[0].diagonal() - ridge_gain).abs().max().item()
for name, row in (("eigenvalue", lambdas), ("learnt gain", found[0].diagonal()),
                  ("soft threshold", expected[0]), ("ridge instead", ridge_gain)):  # fmt: skip
    print(f"{name:15s}", "  ".join(f"{v:7.4f}" for v in row))
assert decay_error < 2e-3 < 0.05 < decay_control

# %% tags=["remove-input"]
dc.runtime.report(
    bottle_decay_error=power_of_ten(max(decay_error, 1e-16)),
    bottle_decay_control=f"{decay_control:.2f}",
)

# %% [markdown]
# The learnt matrices differ from the soft threshold by at most {glue:text}`bottle_decay_error`;
# from the gains of a ridge by {glue:text}`bottle_decay_control`. The last two directions, with
# $\lambda \le \gamma$, are gone, though the network was wide enough for all six.
#
# **Few training examples** narrow the bottleneck as well. The covariance of $N$ points has rank at
# most $N - 1$, so a linear bottleneck of width $k \ge N - 1$ generates on the plane through the
# training points, {prf:ref}`prop-rank`. We fit one of width 32 to ten digits.

# %%
ten = LinearBottleneck.fit(images[:10], rank=32)
made = dc.sampling.ddim(ten, start, short)
assert ten.law(short).agreement(made, alpha=LEVEL).ok
assert not bottles[32].law(short).agreement(made, alpha=LEVEL).ok

# %% tags=["remove-input"]
dc.runtime.report(bottle_ten_rank=ten.law(short).rank)

# %% [markdown]
# Its law has rank {glue:text}`bottle_ten_rank` and passes its certificate, while the law of all
# digits at the same width is refused.
#
# (sec-bottle-encoder)=
# ## A fixed encoder and a decoder that can do anything
#
# Now keep the encoder linear, and *fixed*: a matrix $W$ with $k$ orthonormal rows, for instance
# average pooling to a thumbnail. What stands behind it may be any function at all. The best
# denoiser that sees $y$ only through its *code* $Wy$ is the conditional mean
#
# ```{math}
# :label: eq-bottle-encoder
# D_\sigma(y) = \mathbb E[x \mid Wy] ,
# ```
#
# by {prf:ref}`thm-mmse` with $Wy$ in place of $y$. What does it generate? The code has a life of
# its own, and that decides everything.
#
# ```{prf:theorem} The law of E[x | Wx]
# :label: thm-bottle-encoder
#
# Let $W$ have orthonormal rows, let $x$ be bounded, or bounded and blurred with a Gaussian, and let
# $D_\sigma$ be {eq}`eq-bottle-encoder`. Start at $\sigma_{\max}$ with $Wy$ distributed as
# $Wx + \sigma_{\max}n$, $n \sim \normal(0, I_k)$, and with anything in the other directions.
#
# 1. Along the exact flow the code $Wy$ is distributed as $Wx + \sigma n$ at every level.
# 2. Follow the flow down to $\sigma_{\min} > 0$ and then take the last step. The sample has exactly
#    the law of $\mathbb E[x \mid Wx + \sigma_{\min}n]$.
# 3. As $\sigma_{\min} \to 0$ this tends to the law of $\mathbb E[x \mid Wx]$.
#
# Started from $\normal(0, \sigma_{\max}^2 I)$ instead, the law in 2 changes in total variation
# by at most $\sqrt{\mathbb E\norm{Wx}^2}/(2\sigma_{\max})$.
# ```
#
# ```{prf:proof}
# (1) Let $c = Wy$. Since $WW^\top = I$, the noise in the code, $Wn$, is standard Gaussian in
# $\mathbb R^k$: $c = Wx + \sigma\,Wn$ is again a clean thing plus noise of level $\sigma$. The
# encoder of the answer is $W\,\mathbb E[x \mid c] = \mathbb E[Wx \mid c]$, the perfect denoiser of
# codes. So $c$ obeys
#
# $$\frac{dc}{d\sigma} = W\,\frac{y - D_\sigma(y)}{\sigma} =
# \frac{c - \mathbb E[Wx \mid c]}{\sigma},$$
#
# which does not involve the rest of $y$, and is the probability flow of the law of $Wx$ in
# $\mathbb R^k$. By {prf:ref}`thm-probability-flow` it carries the law of $Wx + \sigma n$ from level
# to level.
#
# (2) The last step returns $D_{\sigma_{\min}}(y)$, a function of the code alone. Its code has the law
# of $Wx + \sigma_{\min}n$, and this function of $Wx + \sigma_{\min}n$ is
# $\mathbb E[x \mid Wx + \sigma_{\min}n]$.
#
# (3) Write the noise of all levels at once, as a Brownian motion $B$: the code at level $\sigma$ is
# $Wx + B_{\sigma^2}$. Less noise means more information: given the code at a level, those at
# higher levels only add noise independent of $x$. Hence
# $\mathbb E[x \mid Wx + B_s] = \mathbb E[x \mid Wx + B_t, t \ge s]$ is a martingale as $s$
# decreases, and converges in mean square to the expectation given the whole path
# (martingale convergence), which includes $Wx$ as its limit and beyond that only noise:
# $\mathbb E[x \mid Wx]$. Convergence in mean square implies convergence in law.
#
# The last claim is {prf:ref}`prop-start` for the codes: what is computed from them cannot be
# farther apart in total variation than they are.
# ```
#
# The directions that $W$ does not see never entered: they are not even needed at the start. What
# the denoiser fills in there is the average of everything that fits the code. Such averages
# are blurry, and the next corollary says how blurry.
#
# ```{prf:corollary} The mean is right, some variance is lost
# :label: cor-bottle-blur
#
# The law of $\mathbb E[x \mid Wx]$ has the target's mean, and the covariance
#
# $$\Sigma - \mathbb E[\operatorname{Cov}(x \mid Wx)] .$$
#
# The codes of the samples have the law of $Wx$, so nothing is lost along the rows of $W$. The total
# variance that is lost, $\mathbb E\norm{x - \mathbb E[x \mid Wx]}^2$, is the reconstruction loss of
# the best autoencoder with the encoder $W$.
# ```
#
# ```{prf:proof}
# The first two statements are the laws of total expectation and of total covariance. For the codes,
# $W\,\mathbb E[x\mid Wx] = Wx$. The trace of $\operatorname{Cov}(x \mid Wx)$ is the conditional
# mean of $\norm{x - \mathbb E[x \mid Wx]}^2$, and by {prf:ref}`thm-mmse` no decoder has less.
# ```
#
# For a Gaussian target $\mathbb E[x \mid Wx]$ is linear, the law is Gaussian of rank $k$, and
# with the first $k$ principal components as encoder it is that of the *linear* bottleneck. For
# other targets it is a curve, a sheet, a $k$-dimensional surface. On the spiral below, $k = 1$: the
# encoder is the projection on one direction. Turn it.

# %%
arms = dc.data.toy.spiral(noise=0.03)
along = torch.linspace(0, 1, 401).double()[:-1] + 1 / 800
radius, angle = 0.2 + 0.8 * along, 3 * math.pi * along
curve = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)  # 400 narrow Gaussians on it
spiral_x = arms.sample(500, seed=seed).numpy()
spiral_noise = dc.sampling.initial_noise(run.size(smoke=150, book=300), (2,), seed=seed + 5)
spiral_levels = dc.noise.karras(run.size(smoke=20, book=50))


def direction(degrees):
    t = math.radians(degrees)
    return torch.tensor([[math.cos(t), math.sin(t)]], dtype=torch.float64)


def spiral_bottle(degrees):
    return EncoderBottleneck.from_mixture(curve, 0.03, encoder=direction(degrees))


# %% tags=["hide-input"]
def draw_direction(degrees):
    W, bottle = direction(degrees), spiral_bottle(degrees)
    codes = torch.linspace(-1.15, 1.15, 461).double()[:, None]
    seen = curve @ W.T
    codes = codes[(codes > seen.min() - 0.05) & (codes < seen.max() + 0.05)][:, None]
    means = bottle(codes @ W, 0.0)
    samples = dc.sampling.ddim(bottle, spiral_noise, spiral_levels)
    words = f"Encoder at {degrees}°: the samples lie on a curve that is mostly off the spiral."
    (a, b) = 1.2 * W[0]
    return {
        "main": [
            marks.points(*spiral_x.T, color="data", size=1.6, opacity=0.5, label="target"),
            marks.line([-a, a], [-b, b], color="muted", dash=True, width=1.2, label="encoder"),
            marks.line(means[:, :1].T, means[:, 1:].T, color="law", width=2, label="E[x | Wx]"),
            marks.points(*samples.T, color="generated", size=2.2, label="samples"),
        ],
        "alt": f"A spiral, a curve of conditional means across it, samples on the curve. {words}",
        "caption": words,
    }


Explorer.precomputed(
    draw_direction,
    [Slider("degrees", list(range(0, 180, 15)), "direction of the encoder", unit="°", start=30,
            play=True)],
    Panel("One number passes", "x₁", "x₂", (-1.25, 1.25), (-1.25, 1.25), aspect="equal"),
    title="A bottleneck of width one on a spiral",
)  # fmt: skip

# %% [markdown]
# The green curve is $\mathbb E[x \mid Wx]$ as the theorem gives it. Where the line across the
# encoder meets the spiral several times, the curve runs between the arms: new points, invented by
# averaging, and none of them on the target.
#
# **The certificate.** The samples should have the law of $\mathbb E[x \mid Wx + \sigma_{\min}n]$.
# `law` draws it directly, from the target and without any flow. Two-sample tests compare the draws
# with DDIM samples. The controls: the law for an encoder turned by 15°, and the target itself.

# %%
fine = dc.noise.karras(run.size(smoke=60, book=100))
n_spiral = run.size(smoke=500, book=2000)
bottle = spiral_bottle(30)
made = dc.sampling.ddim(
    bottle, dc.sampling.initial_noise(n_spiral, (2,), seed=seed + 6).double(), fine
)
spiral_report = bottle.law(fine).agreement(made, alpha=LEVEL)
assert spiral_report.ok
assert not spiral_bottle(45).law(fine).agreement(made, alpha=LEVEL).ok
assert not dc.laws.Empirical(arms.sample(4000, seed=seed + 7)).agreement(made, alpha=LEVEL).ok

# Variance lost, by the corollary and in the samples.
codes = arms.sample(4000, seed=seed + 8).double()
decoded = bottle(codes, 0.0)
lost = (codes - decoded).square().sum(1)
predicted = arms.cov.trace().item() - lost.mean().item()
total = made.var(0, correction=0).sum().item()
centred = (made - made.mean(0)).square().sum(1)
blur_error = math.hypot(lost.std().item() / 4000**0.5, centred.std().item() / n_spiral**0.5)
blur_z = (total - predicted) / blur_error
assert abs(blur_z) < stats.norm.isf(LEVEL / 2)
assert abs(total - arms.cov.trace().item()) > 5 * blur_error  # control: nothing lost
spiral_report

# %% tags=["remove-input"]
dc.runtime.report(
    bottle_spiral_p=f"{min(s.p_value for s in spiral_report.statistics):.2f}",
    bottle_spiral_count=f"{n_spiral:,}",
    bottle_blur_target=f"{arms.cov.trace().item():.3f}",
    bottle_blur_predicted=f"{predicted:.3f}",
    bottle_blur_found=f"{total:.3f}",
    bottle_blur_z=f"{blur_z:+.1f}",
)

# %% [markdown]
# The law agrees (smallest p {glue:text}`bottle_spiral_p`, {glue:text}`bottle_spiral_count`
# samples). Of the target's total variance {glue:text}`bottle_blur_target`,
# {prf:ref}`cor-bottle-blur` lets {glue:text}`bottle_blur_predicted` survive; the samples have
# {glue:text}`bottle_blur_found`, {glue:text}`bottle_blur_z` standard errors away. Both controls
# fail.
#
# (sec-bottle-copies)=
# ## The same bottleneck on a training set
#
# So far the target was a population. A network is trained on $N$ images. Then $x$ is one of them,
# all equally likely, and the theorem applies word for word, with another outcome.
#
# ```{prf:corollary} Distinct codes are copied
# :label: cor-bottle-copies
#
# Let $x$ be uniform on $x_1, \dots, x_N$. The law of $\mathbb E[x \mid Wx]$ has one atom for each
# code that occurs: the mean of the training points with this code, with their number divided by $N$
# as its probability. If all codes differ, it is the uniform law on the training set, **for every
# width** $k \ge 1$.
#
# For the last step: if the training point $x_i$ has the code nearest to $Wy$, and all other codes
# are farther by $g = \min_{j \neq i}\norm{Wy - Wx_j}^2 - \norm{Wy - Wx_i}^2 > 0$, then
# $\norm{D_\sigma(y) - x_i} \le (N-1)\,L\,e^{-g/2\sigma^2}$, where $L$ is the largest distance
# between training points.
# ```
#
# ```{prf:proof}
# Given that $Wx = c$, $x$ is uniform on the training points with code $c$. The second part is the
# proof of {prf:ref}`cor-last-step`, with distances between codes and values $x_j$.
# ```
#
# In almost every direction the digits have 1,797 different codes. So one number per image is enough
# to remember all of them: it is an index. To see it, the sampler must go down to noise levels below
# the gaps between codes, which for 1,797 numbers on a line are small. We take
# $\sigma_{\min} = 10^{-7}$ and double precision.

# %%
one_number = EncoderBottleneck.fit(images, encoder=pca(images, 1))
thumbnail = EncoderBottleneck.fit(images, encoder=pooling((1, 8, 8), 4))  # 2 × 2 pixels
brightness = EncoderBottleneck.fit(images, encoder=pooling((1, 8, 8), 8))  # 1 pixel: equal codes
smooth = EncoderBottleneck.from_mixture(images, 0.35, encoder=pooling((1, 8, 8), 4))
deep = dc.noise.karras(run.size(smoke=40, book=60), sigma_min=1e-7)
n_copies = run.size(smoke=200, book=1000)
from_noise = dc.sampling.initial_noise(n_copies, (1, 8, 8), seed=seed + 9).double()
dreams = {
    "k = 1, PCA": dc.sampling.ddim(one_number, from_noise, deep),
    "k = 4, 2×2 thumbnail": dc.sampling.ddim(thumbnail, from_noise, deep),
    "k = 1, brightness": dc.sampling.ddim(brightness, from_noise, deep),
    "k = 4, many more images": dc.sampling.ddim(smooth, from_noise, deep),
}
copied = {
    name: dc.metrics.copied_fraction(made.float(), images, interval=0.95)
    for name, made in dreams.items()
}
for name, (value, low, high) in copied.items():
    print(f"{name:26s} copied {100 * value:6.1f} %   [{100 * low:.1f}, {100 * high:.1f}]")

# %% mystnb={"image": {"alt": "Four rows of ten generated images. The first two rows show sharp handwritten digits, the third grey averages and some sharp digits, the fourth soft averages of many digits."}, "figure": {"caption": "Samples through a fixed encoder and the best decoder, from the same noise. Rows 1 and 2: training images. Row 3: averages of training images of equal brightness. Row 4: the encoder of row 2, for a population of more images.", "name": "fig-bottle-copies"}} tags=["hide-input"]
fig, axes = plt.subplots(4, 1, figsize=(6.8, 4.4))
for ax, (name, made) in zip(axes, dreams.items(), strict=True):
    dc.style.image_grid(made[:10].float().numpy(), columns=10, ax=ax)
    ax.set_title(name, fontsize=10, loc="left", pad=3)
plt.show()

# %% [markdown]
# The fourth row has the same encoder as the second and another target: digits with Gaussian noise
# of 0.35 a pixel, a stand-in for infinitely many images. Its decoder is the conditional mean over
# *that* population. With infinitely many images to average there is nothing to index, and the
# samples are blurry averages, none of them a copy.
#
# **The certificate.** Counts and places against {prf:ref}`cor-bottle-copies`, for one number, for
# thumbnails, and for brightness, where codes coincide. The control for brightness is the training
# set itself: that law would be right if equal codes did not matter.

# %%
copy_reports = {}
for name, denoiser in (("k = 1, PCA", one_number), ("k = 4, 2×2 thumbnail", thumbnail),
                       ("k = 1, brightness", brightness)):  # fmt: skip
    copy_reports[name] = denoiser.law(deep).agreement(dreams[name], alpha=LEVEL)
    assert copy_reports[name].ok, copy_reports[name]
training_set = one_number.law(deep)
assert not training_set.agreement(dreams["k = 1, brightness"], alpha=LEVEL).ok
assert not training_set.agreement(dreams["k = 4, many more images"], alpha=LEVEL).ok
coarse = dc.sampling.ddim(one_number, from_noise.float(), dc.noise.karras(40))
blended = 1 - dc.metrics.copied_fraction(coarse, images)
atoms = len(brightness.law().atoms)
copy_reports["k = 1, PCA"]

# %% tags=["remove-input"]
copy_p = min(
    s.p_value for r in copy_reports.values() for s in r.statistics if s.p_value is not None
)
dc.runtime.report(
    bottle_copied_one=f"{100 * copied['k = 1, PCA'].value:.1f} %",
    bottle_copied_thumb=f"{100 * copied['k = 4, 2×2 thumbnail'].value:.1f} %",
    bottle_copied_bright=f"{100 * copied['k = 1, brightness'].value:.1f} %",
    bottle_copied_smooth=f"{100 * copied['k = 4, many more images'].value:.1f} %",
    bottle_copy_p=f"{copy_p:.2f}",
    bottle_copy_count=f"{n_copies:,}",
    bottle_atoms=atoms,
    bottle_blended=f"{100 * blended:.0f} %",
)

# %% [markdown]
# - Through **one number** {glue:text}`bottle_copied_one` of the samples are copies, through a
#   thumbnail {glue:text}`bottle_copied_thumb`. All three laws agree (smallest p
#   {glue:text}`bottle_copy_p`, {glue:text}`bottle_copy_count` samples each).
# - **Brightness** takes only {glue:text}`bottle_atoms` different values on the digits, whose pixels
#   are multiples of 1/8. Images that share one are averaged: {glue:text}`bottle_copied_bright`
#   copies, from codes that occur once.
# - With the **population** the same thumbnail copies {glue:text}`bottle_copied_smooth`.
# - What the theorem needs is $\sigma_{\min}$ below the gaps between codes. With the usual
#   $\sigma_{\min} = 0.002$ the sampler stops while neighbours on the line are still mixed:
#   {glue:text}`bottle_blended` of the samples through one number are then no copies, but blends of a
#   few images. That is a limit of the schedule, not creativity of the architecture.
#
# So a narrow bottleneck does not stop a network from copying. What stops it is a decoder that
# cannot hold the training set: linear ones above, small ones below. **The decoder decides, not the
# width.**
#
# (sec-bottle-words)=
# ## A bottleneck made of words
#
# A last kind of bottleneck passes no numbers at all but one of $k$ *words*: an index $j$ into a
# *codebook* $c_1, \dots, c_k$, as in vector-quantised autoencoders {cite:p}`oord2017neural`. The
# reader of the word answers $c_j$; the writer may choose $j$ by any rule. We keep one codebook
# for all noise levels.
#
# ```{prf:proposition} The best word
# :label: prop-bottle-words
#
# Let $c_1, \dots, c_k$ be given and $m_\sigma(y) = \mathbb E[x \mid y]$. Among all rules that answer
# one of the words, choosing a word nearest to $m_\sigma(y)$ has the least denoising loss, at
# every $\sigma$.
#
# On a training set, as $\sigma \to 0$, its loss tends to the mean squared distance of the training
# points to their nearest words. The codebooks that minimise this limit are the solutions of
# $k$-means, each word the mean of its cell.
#
# Any sampler whose last step returns the denoiser's answer generates words only.
# ```
#
# ```{prf:proof}
# For every rule $j(y)$, by {prf:ref}`thm-mmse` and Pythagoras,
# $\mathbb E\norm{x - c_{j(y)}}^2 = \mathbb E\norm{x - m_\sigma(y)}^2 +
# \mathbb E\norm{m_\sigma(y) - c_{j(y)}}^2$. The first term does not depend on the rule, and the second
# is smallest when it is smallest for each $y$. As $\sigma \to 0$, $m_\sigma(x + \sigma n) \to x$,
# and the distance to the nearest word is continuous and bounded on the convex hull of the training
# set, so the loss tends to $\mathbb E\min_j\norm{x - c_j}^2$, the objective of $k$-means. The last
# statement is a reading of the last step.
# ```
#
# So much for *what* is generated: the centroids. Now *how often*? By analogy with copies, you might
# say: each word as often as its cell occurs in the data. A hard decision spoils that analogy. The
# proof that probabilities are carried along needs the perfect denoiser, and this one follows
# $dy/d\sigma = (y - c_j)/\sigma$, straight towards one word until it changes its mind.
#
# ```{prf:proposition} Popular words are favoured
# :label: prop-bottle-shares
#
# Let $x$ be $x_1$ with probability $p \le 1/2$ and $x_0 \neq x_1$ otherwise, and let these two
# points be the words. As $\sigma_{\max} \to \infty$, the exact flow from
# $\normal(0, \sigma_{\max}^2I)$ ends on $x_1$ with probability
#
# $$\Phi\bigl(-\sqrt{2\log\tfrac{1-p}{p}}\bigr),$$
#
# where $\Phi$ is the distribution function of $\normal(0, 1)$. This is less than $p$, except for
# $p = 1/2$.
# ```
#
# ```{prf:proof}
# Only the coordinate along $x_1 - x_0$ matters; the others shrink in proportion to $\sigma$,
# whatever the word. Put the origin at $x_0$ and the unit of length so that the words are $0$ and $1$
# on this line. As $\sigma_{\max}\to\infty$ the shift of the origin is negligible against
# $\sigma_{\max}$.
#
# The posterior mean is the probability of the word $1$; it exceeds $1/2$ when
# $y > T(\sigma) = \frac12 + \ell\sigma^2$ with $\ell = \log\frac{1-p}{p} \ge 0$. While the word is $0$,
# $dy/d\sigma = y/\sigma$: $y = \sigma n$, with $n$ standard Gaussian. For $p < 1/2$ all start there,
# as $T$ grows faster than $\sigma$.
#
# The word changes when $\sigma n$ reaches $\frac12 + \ell\sigma^2$ at some $\sigma$. That happens
# exactly when $n > 0$ and $n^2 \ge 2\ell$ (roots of a quadratic). If it never does, the sample ends
# on $0$. If it does, at $\sigma_c$, then from there on $y = 1 + (y_c - 1)\sigma/\sigma_c$. The
# difference $y - T(\sigma)$ along this line is concave in $\sigma$, zero at $\sigma_c$ and $\frac12$
# at $0$, so it is positive in between: the word stays $1$. Hence the probability is
# $P(n \ge \sqrt{2\ell}) = \Phi(-\sqrt{2\ell})$. For $p = \frac12$ it is $\frac12$.
#
# It is less than $p$ otherwise: with $t = \sqrt{2\ell}$ we have $p = 1/(1 + e^{t^2/2})$, and
# $\Phi(-t) \le \frac12 e^{-t^2/2} < 1/(1 + e^{t^2/2})$ for $t > 0$, as $2e^{t^2/2} > 1 + e^{t^2/2}$.
# ```
#
# At $p = 1/4$, for a word that a quarter of the data wants, we check the formula. Then we look at ten
# words for the digits, where the shares have to be measured.

# %%
few = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
n_words = run.size(smoke=3000, book=10_000)
two = Codebook(few, torch.tensor([[0.0], [1.0]]))
ended = dc.sampling.ddim(
    two,
    dc.sampling.initial_noise(n_words, (1,), sigma_max=2000.0, seed=seed + 10),
    dc.noise.karras(run.size(smoke=100, book=250), sigma_max=2000.0),
)
hits = int((ended > 0.5).sum())
share = Codebook.two_point_share(0.25)
p_share = stats.binomtest(hits, n_words, share).pvalue
p_cell = stats.binomtest(hits, n_words, 0.25).pvalue
assert p_share > LEVEL > p_cell
assert share < 0.25 / 3

ten_words = Codebook.fit(images, words=10, seed=seed)
n_ten = run.size(smoke=300, book=1500)
spoken = dc.sampling.ddim(
    ten_words, dc.sampling.initial_noise(n_ten, (1, 8, 8), seed=seed + 11), sigmas
)
distance, word = dc.metrics.nearest(spoken, ten_words.centroids)
assert distance.max() < 1e-6
heard = word.bincount(minlength=10)
cells = ten_words.shares
p_ten = stats.chisquare(heard.double().numpy(), (n_ten * cells).numpy()).pvalue
assert p_ten < LEVEL
novel = 1 - dc.metrics.copied_fraction(spoken, images)

# %% mystnb={"image": {"alt": "Ten blurry digits above a bar chart: for each word the share of its cell, all near ten per cent, and how often it is generated, one of them far more often than its cell and most of them less."}, "figure": {"caption": "A codebook of ten words for the digits: the centroids of k-means. Left bars: share of training images in the word's cell. Right bars: how often the sampler generates it, with 95 % intervals. One word gets far more than its cell, most get less.", "name": "fig-bottle-words"}} tags=["hide-input"]
order = cells.argsort(descending=True)
fig, (top, ax) = plt.subplots(2, 1, figsize=(6.8, 3.9), height_ratios=[1, 2.2])
dc.style.image_grid(ten_words.centroids[order].numpy(), columns=10, ax=top)
ends = [dc.metrics.wilson(int(h), n_ten) for h in heard[order]]
value = np.array([100 * e.value for e in ends])
bars = np.array([[100 * (e.value - e.low), 100 * (e.high - e.value)] for e in ends]).T
places = np.arange(10)
ax.bar(places - 0.2, 100 * cells[order].numpy(), 0.36, color=COLORS["data"], label="cell in data")
ax.bar(places + 0.2, value, 0.36, yerr=bars, color=COLORS["generated"], label="generated")
ax.set(ylabel="per cent", xticks=places, xticklabels=[], xlim=(-0.6, 9.6))
ax.legend(frameon=False)
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    bottle_two_found=f"{hits / n_words:.4f}",
    bottle_two_law=f"{share:.4f}",
    bottle_two_p=f"{p_share:.2f}",
    bottle_two_count=f"{n_words:,}",
    bottle_word_top=f"{100 * heard.max().item() / n_ten:.0f} %",
    bottle_word_cell=f"{100 * cells[heard.argmax()].item():.0f} %",
    bottle_word_least=f"{100 * heard.min().item() / n_ten:.1f} %",
    bottle_word_novel=f"{100 * novel:.0f} %",
)

# %% [markdown]
# Two words: a share of {glue:text}`bottle_two_found` of {glue:text}`bottle_two_count` samples ends
# on the rare one, where the formula says {glue:text}`bottle_two_law` (binomial p =
# {glue:text}`bottle_two_p`): less than a third of its cell's share. (A share of 1/4 is refused.)
# Ten words: every sample is one of the ten centroids, to rounding. The favourite comes
# {glue:text}`bottle_word_top` of the time, for a cell of {glue:text}`bottle_word_cell`; the rarest
# {glue:text}`bottle_word_least`. These ten numbers are an *observation*; for more than two words we
# have no formula.
#
# Is a codebook creative? {glue:text}`bottle_word_novel` of its samples are not in the training set,
# and yet it knows ten images in all.
#
# (sec-bottle-capacity)=
# ## How much capacity to copy?
#
# The two theorems are two ends: a linear decoder never copies, an unlimited one does. What lies in
# between? {cite:t}`levine2026diffusion` ask how architecture makes for creativity; we test the
# guess that our theorems suggest, that a network copies when its capacity suffices for its
# training set, and creates when it does not.
#
# The experiment is small. Targets are $N$ points on the spiral. The network has two hidden layers
# of $h$ units, takes $y$ and $\sigma$, and has no shortcut from $y$ to the output: everything passes
# through its $h$ units. It is trained with Adam on all noise levels at once. We count how many of
# its samples lie within 0.05 (root mean square per coordinate) of a training point.

# %%
hidden_sizes, training_sizes = [2, 4, 8, 16, 64], [2, 4, 8, 16, 32]
seeds = run.size(smoke=[0], book=[0, 1, 2])
sgd_steps = run.size(smoke=60, book=1500)
SIGMA_LOW, SIGMA_HIGH = 0.02, 5.0


class Several(nn.Module):
    """G networks of the same width, trained side by side: y (G, n, 2), sigma (G, n, 1)."""

    def __init__(self, hidden, copies, generator):
        super().__init__()
        sizes = [6, hidden, hidden, 2]
        self.weights = nn.ParameterList(
            torch.randn(copies, a, b, generator=generator) * (1.5 / a**0.5)
            for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(copies, 1, b) for b in sizes[1:])

    def forward(self, y, sigma):
        scaled = y / (0.3 + sigma**2).sqrt()
        level = sigma.log() / 2
        h = torch.cat([scaled, y / (0.1 + sigma), level, level**2 / 2], -1)
        for k, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(b, h, W)
            h = nn.functional.silu(h) if k < 2 else h
        return h


def train_side_by_side(hidden, sets, seed, steps):
    """Train one network on each training set (N_g, 2)."""
    generator = torch.Generator().manual_seed(seed)
    net = Several(hidden, len(sets), generator)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x = torch.stack([s[torch.randint(len(s), (128,), generator=generator)] for s in sets])
        u = torch.rand(*x.shape[:2], 1, generator=generator)
        sigma = SIGMA_LOW * (SIGMA_HIGH / SIGMA_LOW) ** u
        y = x + sigma * torch.randn(x.shape, generator=generator)
        loss = (net(y, sigma) - x).square().mean((1, 2)).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net


@torch.no_grad()
def sample_side_by_side(net, copies, n, seed):
    levels = dc.noise.karras(40, sigma_min=SIGMA_LOW, sigma_max=SIGMA_HIGH).float()
    y = torch.stack([
        dc.sampling.initial_noise(n, (2,), SIGMA_HIGH, seed=seed + g) for g in range(copies)
    ])  # fmt: skip
    for sigma, after in pairwise(levels):
        y = torch.lerp(net(y, sigma.expand(*y.shape[:2], 1)), y, (after / sigma).item())
    return y


capacity_copies = np.zeros((len(hidden_sizes), len(training_sizes), len(seeds)))
places = [(s, n) for s in seeds for n in training_sizes]
pools = {s: dc.data.toy.spiral(noise=1e-3).sample(max(training_sizes), seed=100 + s) for s in seeds}
sets = [pools[s][:n] for s, n in places]
gallery = {}
for row, hidden in enumerate(hidden_sizes):
    net = train_side_by_side(hidden, sets, seed + row, sgd_steps)
    outcome = sample_side_by_side(net, len(sets), 300, seed + 1000)
    for (s, n), points, made in zip(places, sets, outcome, strict=True):
        value = dc.metrics.copied_fraction(made, points, tolerance=0.05)
        capacity_copies[row, training_sizes.index(n), seeds.index(s)] = value
        gallery[hidden, n, s] = points, made
mean_copies = capacity_copies.mean(2)
fresh = dc.data.toy.spiral(noise=1e-3).sample(2000, seed=99)  # would a perfect artist "copy"?
chance = {
    n: np.mean([dc.metrics.copied_fraction(fresh, pools[s][:n], tolerance=0.05) for s in seeds])
    for n in training_sizes
}

# %% mystnb={"image": {"alt": "A table of copied fractions: rows hidden units from two to sixty-four, columns training points from two to thirty-two. The fraction is largest for many units and few points and falls towards few units and many points."}, "figure": {"caption": "Share of samples within 0.05 of a training point, in per cent: mean over seeds, and the range of the seeds below it. Copying grows with the units from 8 on, and falls with the points.", "name": "fig-bottle-capacity"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(5.6, 3.8))
ax.imshow(mean_copies, cmap="Oranges", vmin=0, vmax=1.3, aspect="auto")
for i in range(len(hidden_sizes)):
    for j in range(len(training_sizes)):
        low, high = 100 * capacity_copies[i, j].min(), 100 * capacity_copies[i, j].max()
        ax.text(j, i - 0.1, f"{100 * mean_copies[i, j]:.0f}", ha="center", va="center",
                color="black", fontsize=11)  # fmt: skip
        ax.text(j, i + 0.28, f"{low:.0f} to {high:.0f}", ha="center", va="center", color="black",
                fontsize=7)  # fmt: skip
ax.set_xticks(range(len(training_sizes)), training_sizes)
ax.set_yticks(range(len(hidden_sizes)), hidden_sizes)
ax.set(xlabel="training points N", ylabel="hidden units h")
ax.grid(False)
plt.show()

# %% mystnb={"image": {"alt": "Three scatter plots of eight training points on a spiral with samples. With four hidden units the samples lie on a smooth curve between the points; with many they sit on the training points."}, "figure": {"caption": "Eight training points (rings) and samples (dots) of networks with 4, 16 and 64 hidden units, first seed. The more units, the nearer to the points.", "name": "fig-bottle-capacity-points"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 3, figsize=(6.8, 2.5), sharex=True, sharey=True)
for ax, hidden in zip(axes, (4, 16, 64), strict=True):
    points, made = gallery[hidden, 8, 0]
    ax.plot(*made.T, ".", ms=4, color=COLORS["generated"], alpha=0.5)
    ax.plot(*points.T, "o", ms=5, mfc="none", color=COLORS["data"])
    ax.set(title=f"h = {hidden}", aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    bottle_capacity_best=f"{100 * mean_copies[-1, 0]:.0f} %",
    bottle_capacity_small=f"{100 * mean_copies[0, -1]:.0f} %",
    bottle_capacity_eight_low=f"{100 * mean_copies[1, 2]:.0f} %",
    bottle_capacity_eight_high=f"{100 * mean_copies[-1, 2]:.0f} %",
    bottle_capacity_many=f"{100 * mean_copies[-1, -1]:.0f} %",
    bottle_capacity_chance_eight=f"{100 * chance[8]:.0f} %",
    bottle_capacity_chance_many=f"{100 * chance[32]:.0f} %",
    bottle_capacity_seeds=f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}",
    bottle_capacity_steps=f"{sgd_steps:,}",
)

# %% [markdown]
# **Observed**, with {glue:text}`bottle_capacity_seeds` and {glue:text}`bottle_capacity_steps`
# steps each, in this one toy setting: 64 units on two points copy in
# {glue:text}`bottle_capacity_best` of the samples, two units on 32 points in
# {glue:text}`bottle_capacity_small`. On eight points the share goes from
# {glue:text}`bottle_capacity_eight_low` with four units to
# {glue:text}`bottle_capacity_eight_high` with 64. On 32 points even 64 units copy
# {glue:text}`bottle_capacity_many`. Mind what chance does: the discs around 32 points cover a good
# part of the spiral, and *fresh* points of the spiral would count as copies in
# {glue:text}`bottle_capacity_chance_many` of the cases; around eight points in
# {glue:text}`bottle_capacity_chance_eight`. A share counts as copying only above that.
#
# The direction is the guess's, from 8 units on; below, the order of rows is not clear. The numbers are
# not laws: they move with the length of training, the
# optimiser and the tolerance, and {prf:ref}`cor-bottle-copies` says nothing of networks that have
# not reached their minimum.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-07-plane
#
# **The best plane.** Write `best_rank(mean, cov, rank, sigma)`, which returns $A$ and $b$ of the best
# affine denoiser of this rank at noise level $\sigma$.
# ```


# %%
def best_rank(mean, cov, rank, sigma): ...  # your code: return A (d, d), b (d,)


# dc.exercises.check_best_rank(best_rank)

# %% [markdown]
# ```{solution-start} ex-07-plane
# :class: dropdown
# ```
#
# {prf:ref}`thm-bottle-linear`. `eigh` sorts eigenvalues from small to large, so the leading ones
# come last.


# %%
def best_rank_solution(mean, cov, rank, sigma):
    lam, U = torch.linalg.eigh(cov)
    lam, U = lam[-rank:], U[:, -rank:]
    A = (U * lam / (lam + sigma**2)) @ U.T
    return A, mean - A @ mean


assert dc.exercises.check_best_rank(best_rank_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-07-mean
#
# **Behind the encoder.** Write `conditional_mean(y, sigma, x, W)`: the best estimate of $x$, one of
# the rows of `x` $(N, d)$, from the codes of `y` $(n, d)$ alone. It must survive $\sigma = 0.001$.
# ```


# %%
def conditional_mean(y, sigma, x, W): ...  # your code: return (n, d)


# dc.exercises.check_conditional_mean(conditional_mean)

# %% [markdown]
# ```{solution-start} ex-07-mean
# :class: dropdown
# ```
#
# The perfect denoiser's softmax, with distances between codes and averages of images.


# %%
def conditional_mean_solution(y, sigma, x, W):
    gaps = ((y @ W.T)[:, None] - x @ W.T).square().sum(2)
    return torch.softmax(-gaps / (2 * sigma**2), dim=1) @ x


assert dc.exercises.check_conditional_mean(conditional_mean_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-07-atoms
#
# **Shared codes.** Write `coded_atoms(x, W)`: the atoms and the probabilities of what the fixed
# encoder $W$ generates from training points $x$, when some of them have equal codes.
# ```


# %%
def coded_atoms(x, W): ...  # your code: return atoms (K, d), probabilities (K,)


# dc.exercises.check_coded_atoms(coded_atoms)

# %% [markdown]
# ```{solution-start} ex-07-atoms
# :class: dropdown
# ```
#
# {prf:ref}`cor-bottle-copies`: group by code and average the *images* of each group.


# %%
def coded_atoms_solution(x, W):
    _, group, counts = (x @ W.T).unique(dim=0, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), x.shape[1]).to(x).index_add_(0, group, x)
    return sums / counts[:, None], counts / len(x)


assert dc.exercises.check_coded_atoms(coded_atoms_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-07-any
#
# **Any encoder.** Our theorem asks for orthonormal rows, since the noise in a code must be
# standard. Is that a restriction? Show that $\mathbb E[x \mid Vy] = \mathbb E[x \mid Wy]$ when $V$
# and $W$ have the same row space, and write `orthonormal(V)`, which returns such a $W$ for a $V$
# whose rows are linearly independent.
# ```


# %%
def orthonormal(V): ...  # your code: return W, of the shape of V


# dc.exercises.check_rescaled_encoder(orthonormal)

# %% [markdown]
# ```{solution-start} ex-07-any
# :class: dropdown
# ```
#
# $V = TW$ with an invertible $T$: each of $Vy$ and $Wy$ can be computed from the other, so they carry
# the same information. A QR decomposition of $V^\top$ gives the rows.


# %%
def orthonormal_solution(V):
    return torch.linalg.qr(V.T)[0].T


assert dc.exercises.check_rescaled_encoder(orthonormal_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-07-rare
#
# **The rare word.** Two atoms, two words, the rarer with probability $p \le 1/2$. Without looking at
# {prf:ref}`prop-bottle-shares`, draw the threshold $T(\sigma)$ above which the rarer word is
# answered and the rays $y = \sigma n$ in the plane of $\sigma$ and $y$, find which rays meet the threshold, and write `rare_share(p)`.
# ```


# %%
def rare_share(p): ...  # your code: a number


# dc.exercises.check_rare_share(rare_share)

# %% [markdown]
# ```{solution-start} ex-07-rare
# :class: dropdown
# ```
#
# The ray $\sigma n$ touches the parabola $\frac12 + \ell\sigma^2$ when its discriminant vanishes,
# $n^2 = 2\ell$.


# %%
def rare_share_solution(p):
    return stats.norm.cdf(-math.sqrt(2 * math.log((1 - p) / p)))


assert dc.exercises.check_rare_share(rare_share_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Two linear layers of width $k$ generate $\normal(\mu, U_k\Lambda_kU_k^\top)$, exactly on the PCA
#   plane; the plane does not depend on the noise level ({prf:ref}`thm-bottle-linear`,
#   {prf:ref}`cor-bottle-law`). Weight decay removes directions with $\lambda_i \le \gamma$
#   ({prf:ref}`prop-bottle-decay`).
# - A fixed encoder with a free decoder generates the law of $\mathbb E[x \mid Wx]$
#   ({prf:ref}`thm-bottle-encoder`): right codes, blurry images ({prf:ref}`cor-bottle-blur`).
# - On a training set with distinct codes that law is the training set, for every $k \ge 1$
#   ({prf:ref}`cor-bottle-copies`). The decoder decides, not the width.
# - A codebook generates its $k$ words ({prf:ref}`prop-bottle-words`), but not as often as their cells
#   occur ({prf:ref}`prop-bottle-shares`).
#
# **Proved:** all theorems, propositions and corollaries above. **Measured:** the shares of ten words,
# and copying as a function of hidden units and training points. **Approximate:** at a finite
# $\sigma_{\min}$ codes closer than that are blended; DDIM's steps change how often an atom comes, by
# less than the tests could see.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the derivations in this chapter
# are the book's own, unless cited otherwise.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
