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
# (sec-local)=
# # Local denoisers dream mosaics
#
# In {doc}`08_factorised_and_equivariant` the parts of an image did not see each other. Now they
# overlap: every pixel is estimated from the window around it, and the windows of neighbours share
# most of their pixels. Step after step, neighbours must come to terms.
#
# What they agree on is a *mosaic*: an image in which each pixel is the centre of the training
# window nearest to its own surroundings. There are astonishingly many. From two training images,
# one black and one white, a 3×3 window makes a number of images that grows exponentially with the
# area. What windows cannot do is keep parts in agreement that none of them sees together, and we
# measure that too.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what the best denoiser is that sees only a window; where its samples come to
#   rest; how to count them; that position comes from the border and travels inwards; what locality
#   cannot see; whether it beats a linear filter; and why $r$ and $R^2$ must not be mixed up.
# - **Time** about 50 minutes; two hours with every proof and exercise.
# - **Prerequisites** the perfect denoiser ({doc}`03_the_perfect_denoiser_copies`) and the best
#   denoisers of parts ({doc}`08_factorised_and_equivariant`).
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import itertools
import math
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse, stats

import diffusion_creativity as dc
from diffusion_creativity.data import faces
from diffusion_creativity.denoisers import (
    Affine,
    Bayes,
    DataLocality,
    EquivariantLocalScore,
    LocalScore,
    PatchPosterior,
)
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: a true statement is refused once in 100,000 runs

# %% [markdown]
# ## Move something first
#
# Twelve samples, always from the same noise. Choose how large the window is that the denoiser sees
# around each pixel, and whether it knows where in the image the window lies.

# %% tags=["hide-input"]
digits = dc.data.load("digits")
x = digits.subset(run.size(smoke=60, book=200), seed=run.seed).x  # (N, 1, 8, 8)
N = len(x)
levels = dc.noise.karras(18)
first_noise = dc.sampling.initial_noise(12, (1, 8, 8), seed=run.seed + 3)
machines = {
    "own": lambda k: LocalScore.fit(x, window=k),
    "border": lambda k: EquivariantLocalScore.fit(x, window=k),
    "torus": lambda k: EquivariantLocalScore.fit(x, window=k, padding="circular"),
}
sides = [1, 3, 5, 7, 9, 15]
dreams = {
    (name, k): dc.sampling.ddim(fit(k), first_noise, levels)
    for name, fit in machines.items()
    for k in sides
}


def draw_dreams(machine, window):
    samples = dreams[machine, window]
    modulo = "translations" if machine == "torus" else None
    copied = dc.metrics.copied_fraction(samples, x, modulo=modulo)
    words = f"Windows of {window}×{window}: {round(12 * copied)} of 12 samples are copies"
    words += ", moved aside." if modulo and copied else "."
    return {"main": [marks.images(samples, columns=6, cell=84)], "alt": words, "caption": words}


Explorer.precomputed(
    draw_dreams,
    [
        Slider("window", sides, "side of the window", start=5),
        Choice(
            "machine",
            {"knows the place": "own", "sees the border": "border", "no border": "torus"},
            "the denoiser",
            start="own",
        ),
    ],
    Panel("Twelve samples", kind="images"),
    title="From noise over mosaics to copies",
)

# %% tags=["remove-input"]
own_copies = {
    k: dc.metrics.copied_fraction(
        dc.sampling.ddim(
            LocalScore.fit(x, window=k),
            dc.sampling.initial_noise(run.size(smoke=40, book=200), (1, 8, 8), seed=run.seed + 2),
            levels,
        ),
        x,
    )
    for k in sides
}
dc.runtime.report(
    patch_n=N,
    **{f"patch_copies_{k}": f"{100 * share:.0f} %" for k, share in own_copies.items()},
)

# %% [markdown]
# A window of one pixel leaves noise with a digit's average shape; one that covers the image from
# everywhere (15×15 for 8×8 pixels) leaves copies. In between something else appears: strokes that
# are smooth and continue, in digits that nobody wrote. Of samples by the denoiser that knows the
# place, from {glue:text}`patch_n` training images, {glue:text}`patch_copies_3` are copies with windows of
# 3×3, {glue:text}`patch_copies_5` with 5×5, {glue:text}`patch_copies_7` with 7×7 and
# {glue:text}`patch_copies_9` with 9×9.
#
# (sec-local-best)=
# ## The best denoiser that sees a window
#
# Write $\Omega_p$ for the **window** of pixel $p$: the $k \times k$ pixels around it, with $k$ odd,
# all channels, cut off at the border or continued on the other side. Write $y_{\Omega_p}$ for what
# the window shows of $y$. A **local** denoiser computes pixel $p$ of its answer from $y_{\Omega_p}$
# alone. It may use a function of its own for each pixel, or share one function among pixels. Two
# pixels can share one if their windows have the same shape. On a torus all have; where windows end
# at the border, those have it that overlap with the border in the same way.
#
# ```{prf:theorem} The best local denoiser
# :label: thm-local-window
#
# Let $y = x + \sigma n$ with $\sigma > 0$ and $\mathbb E\norm{x}^2 < \infty$.
# 1. *Own functions.* Of all local denoisers exactly one has the least mean squared error,
#    $D_\sigma(y)_p = \mathbb E[x_p \mid y_{\Omega_p}]$. For $N$ training images it is
#
#    $$D_\sigma(y)_p = \sum_{i=1}^N w_{pi}\, x_{i,p}, \qquad
#    w_{pi} \propto e^{-\norm{y_{\Omega_p} - x_{i,\Omega_p}}^2/2\sigma^2} .$$
#
# 2. *Shared functions.* Let the pixels be divided into classes, with one function for each class
#    $B$. The best is $f_\sigma(v) = \mathbb E[x_q \mid y_{\Omega_q} = v]$ with $q$ uniform on $B$,
#    independent of $x$ and $n$. For $N$ training images
#
#    $$D_\sigma(y)_p = \sum_{i=1}^N\sum_{q \in B} w_{p,iq}\, x_{i,q}, \qquad
#    w_{p,iq} \propto e^{-\norm{y_{\Omega_p} - x_{i,\Omega_q}}^2/2\sigma^2} .$$
#
# 3. Any other denoiser $D'$ of the same kind has a mean squared error that is larger by
#    $\mathbb E\norm{D'(y) - D_\sigma(y)}^2$.
# ```
#
# ```{prf:proof}
# *1.* The loss is the sum over $p$ of $\mathbb E\abs{x_p - f_p(y_{\Omega_p})}^2$, and only term $p$
# contains $f_p$. {prf:ref}`thm-mmse`, applied to $x_p$ and $y_{\Omega_p}$, names the only function that
# minimises it. Its proof says what another function loses: the error $x_p - D_\sigma(y)_p$ is orthogonal to
# all functions of $y_{\Omega_p}$. Summed over $p$ this is part 3. For $N$ images, $y_{\Omega_p}$ given
# image $i$ is Gaussian with mean $x_{i,\Omega_p}$ and variance $\sigma^2$ in each entry, and Bayes'
# rule gives the weights.
#
# *2.* The terms of class $B$ add up to $\abs B\;\mathbb E\abs{x_q - f(y_{\Omega_q})}^2$ with the uniform
# $q$. {prf:ref}`thm-mmse` applies to $x_q$ and $y_{\Omega_q}$, and gives part 3 too. For $N$ images,
# the pair $(i, q)$ is uniform on $N\abs B$ pairs, and Bayes' rule gives the weights.
# ```
#
# Part 1 is the *local score machine* of {cite:t}`kamb2024analytic`, in the package `LocalScore`; part 2,
# with or without the classes that the border makes, their *equivariant* local score machines,
# `EquivariantLocalScore`. They call the window that a network effectively uses at a noise level its
# scale, and choose it to fit the network.
#
# The weights look like those of the perfect denoiser. But each pixel has weights of its own, so the
# answer is not an average of training images. The images in it change from pixel to pixel.
#
# (sec-local-fixed)=
# ## Where samples come to rest
#
# Let $\sigma \to 0$. The softmax turns into a choice: each pixel takes the centre of the nearest
# training window. Call the **gap** $g_p(y)$ the amount by which the squared distance from
# $y_{\Omega_p}$ to the nearest training window *with another centre* exceeds that to the nearest
# one, whose centre is $c_p(y)$. The gap is positive unless windows with different centres tie.
#
# ```{prf:proposition} Samples are mosaics
# :label: prop-local-fixed-points
#
# Let pixel $p$ be compared with $M$ training windows whose centres differ by at most $R$.
# 1. $\abs{D_\sigma(y)_p - c_p(y)} \le M R\, e^{-g_p(y)/2\sigma^2}$.
# 2. If a path of the flow converges to $y^*$ as $\sigma \to 0$ and $g_p(y^*) > 0$ for all $p$, then
#    $y^*_p = c_p(y^*)$: every pixel is the centre of its nearest training window.
# 3. Conversely, let $y^*$ be an image with $y^*_p = c_p(y^*)$ and $g_p(y^*) > 0$ for all $p$. Started from
#    Gaussian noise, the flow converges to $y^*$ with positive probability.
# ```
#
# ```{prf:proof}
# *1.* The nearest window has the largest weight. A window with another centre has at most
# $e^{-g_p/2\sigma^2}$ times as much; there are fewer than $M$ of them, and each moves the answer by
# at most $R$ times its weight.
#
# *2.* Distances are continuous. So in a neighbourhood of $y^*$ the nearest centres are the same and
# half the gap is left, and by part 1 $D_\sigma(y) \to c(y^*)$ uniformly there. In the time
# $\tau = -\ln\sigma$ the flow reads $\mathrm d y/\mathrm d\tau = D_\sigma(y) - y$, which tends to
# $c(y^*) - y^*$ along the path. A velocity with a limit other than zero carries $y$ infinitely far.
#
# *3.* Let $g$ be the smallest gap, and $U$ a cube $\max_p\abs{y_p - y^*_p} \le \epsilon$ in which the
# nearest centres are those at $y^*$ and gaps are at least $g/2$. In $U$, by part 1, each entry of
# $D_\sigma(y) - y^*$ is at most $MR\,e^{-g/4\sigma^2}$, which is less than $\epsilon$ for all
# $\sigma \le \sigma_1$, if $\sigma_1$ is small. With $u = y - y^*$ the flow reads
# $\mathrm d u/\mathrm d\tau = -u + (D_\sigma(y) - y^*)$. On the faces of $U$ it points inwards, so a path in
# $U$ at $\sigma_1$ stays there, and $u \to 0$ because what is added to $-u$ tends to zero. It
# remains to reach $U$ at $\sigma_1$. For $\sigma \ge \sigma_1$ the denoiser is smooth, with bounded
# derivatives; so the flow has exactly one path through every state, and the starts of those that
# pass $U$ at $\sigma_1$ contain a non-empty open set. Gaussian noise hits it with positive
# probability.
# ```
#
# {cite:t}`kamb2024analytic` prove part 2 (their Theorem 4.1) for paths that converge together with
# their velocity, and call such images locally consistent. Part 1 says how fast it happens, and part
# 3 that *every* consistent image without ties is generated. Together they turn "what does it create?" into a
# problem of counting.

# %% tags=["hide-input"]
pool = digits.subset(run.size(smoke=150, book=500), seed=run.seed).x


def nearest_windows(y, x, k):
    """For each pixel: nearest same-place window, its centre, and the gap; three of (n, 1, 8, 8)."""
    squares = (y[:, None] - x).double().square()  # (n, N, 1, 8, 8)
    ones = torch.ones(1, 1, k, k, dtype=torch.float64)
    squares = F.conv2d(squares.flatten(0, 1), ones, padding=k // 2).unflatten(0, (len(y), len(x)))
    least, which = squares.min(1)
    centres = x[:, 0].double().expand(len(y), -1, -1, -1)  # (n, N, 8, 8)
    centre = centres.gather(1, which)
    other = centres != centre
    gap = torch.where(other, squares[:, :, 0] - least, torch.inf).amin(1, keepdim=True)
    return which, centre, gap


mosaic_noise = dc.sampling.initial_noise(run.size(smoke=30, book=80), (1, 8, 8), seed=run.seed + 5)
fine = dc.noise.karras(run.size(smoke=40, book=80))
mosaics, origin, tiles = {}, {}, {}
for k in (3, 5, 7):
    mosaics[k] = dc.sampling.ddim(LocalScore.fit(pool, window=k), mosaic_noise, fine)
    origin[k], centre, gap = nearest_windows(mosaics[k], pool, k)
    off = (mosaics[k] - centre).abs()
    tiles[k] = {
        "arrived": (off < 1e-3).double().mean().item(),
        "clear": (off[gap > 1] < 1e-3).double().mean().item(),
        "sources": torch.tensor([len(one.unique()) for one in origin[k]]).double().mean().item(),
        "noise": ((mosaic_noise - nearest_windows(mosaic_noise, pool, k)[1]).abs() < 1e-3)
        .double()
        .mean()
        .item(),
    }

# %% mystnb={"image": {"alt": "Three pairs of rows. The upper row of each pair shows six generated digits for windows of 3, 5 and 7 pixels, the lower one the same images in flat colours, one colour for each training image that a pixel comes from. With 3 pixels nearly every pixel has its own colour; with 7 there are few large areas."}, "figure": {"caption": "Samples for windows of 3×3, 5×5 and 7×7, and under each the training image that every pixel is taken from, as a colour. The larger the window, the larger the tiles.", "name": "fig-local-mosaic"}} tags=["hide-input"]
fig, axes = plt.subplots(6, 1, figsize=(5.6, 6.6))
for row, k in enumerate((3, 5, 7)):
    dc.style.image_grid(mosaics[k][:6], columns=6, ax=axes[2 * row], title=f"windows of {k}×{k}")
    cell = torch.full((6, 9, 9), -1)
    for image, whose in enumerate(origin[k][:6, 0]):  # colours by order of appearance
        cell[image, :8, :8] = whose.unique(return_inverse=True)[1] % 20
    strip = np.ma.masked_less(torch.cat(list(cell), 1)[:8, :-1].numpy(), 0)
    axes[2 * row + 1].imshow(strip, cmap="tab20", interpolation="nearest")
    axes[2 * row + 1].set_axis_off()
plt.show()

# %% tags=["remove-input"]
assert all(row["clear"] > 0.99 > 0.9 > 0.1 > row["noise"] for row in tiles.values())
assert all(row["arrived"] > 0.9 for row in tiles.values())
dc.runtime.report(
    patch_pool=len(pool),
    patch_arrived_3=f"{100 * tiles[3]['arrived']:.1f} %",
    patch_arrived_7=f"{100 * tiles[7]['arrived']:.1f} %",
    patch_clear=f"{100 * min(row['clear'] for row in tiles.values()):.1f} %",
    patch_sources_3=f"{tiles[3]['sources']:.0f}",
    patch_sources_5=f"{tiles[5]['sources']:.0f}",
    patch_sources_7=f"{tiles[7]['sources']:.1f}",
)

# %% [markdown]
# The samples obey: {glue:text}`patch_arrived_3` of the pixels (3×3) and {glue:text}`patch_arrived_7`
# (7×7) are the centre of their nearest training window to $10^{-3}$. The others almost tie, or
# a neighbour was decided late and the schedule ended before they could follow: of pixels with a gap above 1,
# at least {glue:text}`patch_clear` have arrived, for each of the three sizes.
# An image of 64 pixels takes them from {glue:text}`patch_sources_3`
# training images on average with windows of 3×3, from {glue:text}`patch_sources_5` with 5×5 and from
# {glue:text}`patch_sources_7` with 7×7.
#
# On larger images it is easier to see what is kept. Fashion-MNIST is a download of 31 MB, so this
# page uses it only where the environment variable `DIFFUSION_CREATIVITY_DATA` names a folder for
# data; elsewhere digits enlarged to 24×24 pixels stand in.

# %% tags=["hide-input"]
large_n = run.size(smoke=20, book=60)
larger, larger_name = None, "digits, enlarged (no folder with Fashion-MNIST was named)"
if os.environ.get("DIFFUSION_CREATIVITY_DATA"):
    try:
        larger = dc.data.load("fashion_mnist").subset(large_n, seed=seed).x
        larger_name = "clothes of Fashion-MNIST"
    except OSError:  # neither in the folder nor to be downloaded
        larger_name = "digits, enlarged (Fashion-MNIST could not be had)"
if larger is None:
    larger = F.interpolate(x[:large_n], scale_factor=3, mode="bilinear")

# %% mystnb={"image": {"alt": "Five rows of six grey images. Training images; mosaics of windows of 5 and 11 pixels with garment-like outlines whose halves do not match; averaged whole windows, softer; and windows from anywhere, in which fragments of outlines float without forming a garment."}, "figure": {"caption": "Training images, and what local denoisers make of the same noise: same-place windows of 5×5 and 11×11, whole 5×5 windows averaged where they overlap, and 5×5 windows from anywhere with the same overlap with the border.", "name": "fig-local-clothes"}} tags=["hide-input"]
large_noise = dc.sampling.initial_noise(6, tuple(larger.shape[1:]), seed=seed + 5)
rows = {"training images": larger[:6]}
for name, denoise in {
    "5×5, own place": LocalScore.fit(larger, window=5),
    "11×11, own place": LocalScore.fit(larger, window=11),
    "5×5, whole windows averaged": PatchPosterior.fit(larger, window=5),
    "5×5, from anywhere": EquivariantLocalScore.fit(larger, window=5),
}.items():
    rows[name] = dc.sampling.ddim(denoise, large_noise, dc.noise.karras(12))
fig, axes = plt.subplots(len(rows), 1, figsize=(5.6, 1.12 * len(rows)))
for ax, (title, images) in zip(axes, rows.items(), strict=True):
    dc.style.image_grid(images, columns=6, ax=ax, title=title)
    ax.title.set_fontsize(9)
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(patch_larger=larger_name, patch_large_n=large_n)

# %% [markdown]
# In this run {numref}`fig-local-clothes` shows {glue:text}`patch_larger`, {glue:text}`patch_large_n`
# training images. The third machine is that of {cite:t}`niedoba2024towards` for square windows of one
# size: posterior means of whole windows, averaged where they overlap, in the package `PatchPosterior`.
#
# (sec-local-count)=
# ## Combinatorial creativity, counted
#
# Now the smallest training set that leaves a choice: one black image, all $-1$, and one white, all
# $+1$, on a torus of $n \times n$ pixels. The perfect denoiser knows two images. What does a 3×3
# window make of them?
#
# ```{prf:proposition} The majority rule
# :label: prop-local-majority
#
# Let the two training images be all $-1$ and all $+1$, on a torus, and $k \times k$ windows with $k$
# odd and at most $n$. Write $S_p(y)$ for the sum of $y$ over $\Omega_p$.
# 1. With own or shared functions, $D_\sigma(y)_p = \tanh\bigl(S_p(y)/\sigma^2\bigr)$.
# 2. The flow ends with positive probability on an image of pixels $\pm1$ if and only if each pixel
#    has the sign of the majority in its window, itself included.
# ```
#
# ```{prf:proof}
# *1.* There are two different windows, each equally often. The logarithm of the ratio of their weights is
#
# $$\frac{\norm{y_{\Omega_p} + 1}^2 - \norm{y_{\Omega_p} - 1}^2}{2\sigma^2} = \frac{2S_p}{\sigma^2},$$
#
# and weights $w$ and $1 - w$ whose ratio has the logarithm $2a$ give $w - (1-w) = \tanh a$.
#
# *2.* The gap is $4\abs{S_p}$, and the nearest centre is the sign of $S_p$. An odd number of
# signs has a sum other than zero, so no window ties. Parts 2 and 3 of
# {prf:ref}`prop-local-fixed-points` say the rest.
# ```
#
# {cite:t}`kamb2024analytic` found this example and note that the number of such images is
# exponential. How large is it? On small tori we can count. Row $i$ of the image obeys the rule
# if it fits the rows above and below: a condition on three neighbouring rows. So images are
# closed walks of $n$ steps on pairs of rows, and their number is the trace of the $n$-th power of a
# sparse 0/1 matrix.


# %%
def count_majority(n):
    """Number of ±1 images on an n×n torus, n >= 3, whose pixels all side with their 3×3 window."""
    rows = np.arange(2**n)
    bits = rows[:, None] >> np.arange(n) & 1  # (2ⁿ, n)
    three = bits + np.roll(bits, 1, 1) + np.roll(bits, -1, 1)
    fits = np.ones((len(rows),) * 3, bool)  # above, here, below
    for column in range(n):
        s = three[:, column]
        white = s[:, None, None] + s[None, :, None] + s[None, None, :] > 4
        fits &= white == (bits[None, :, None, column] == 1)
    above, here, below = fits.nonzero()
    edges = (above << n | here, here << n | below)
    walk = sparse.csr_matrix((np.ones(len(here)), edges), shape=(4**n, 4**n))
    power = walk
    for _ in range(n - 1):
        power = power @ walk
    return round(power.trace())


every = (torch.arange(2**16)[:, None] >> torch.arange(16) & 1).reshape(-1, 1, 4, 4) * 2.0 - 1
pair = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)  # black, white
two = EquivariantLocalScore.fit(pair, window=3, padding="circular")
stays = (two(every, 0.0) == every).flatten(1).all(1)  # 65,536 images at σ = 0
counts = {n: count_majority(n) for n in range(3, run.size(smoke=6, book=7) + 1)}
print(f"enumeration, 4×4: {int(stays.sum())}; closed walks: {counts}")
assert stays.sum() == counts[4]

# %% tags=["hide-input"]
toy_noise = dc.sampling.initial_noise(run.size(smoke=500, book=4000), (1, 4, 4), seed=run.seed + 7)
toy = dc.sampling.ddim(two, toy_noise, dc.noise.karras(40))
binary = ((toy.abs() - 1).abs() < 1e-3).flatten(1).all(1)
number = ((toy > 0).flatten(1).long() << torch.arange(16)).sum(1)
obey = stays[number]
seen = number[binary & obey].unique()
dc.runtime.report(
    patch_toy_count=f"{len(toy):,}",
    patch_toy_binary=f"{100 * binary.double().mean():.1f} %",
    patch_toy_obey=f"{100 * obey[binary].double().mean():.1f} %",
    patch_toy_seen=len(seen),
    patch_toy_4=counts[4],
    patch_toy_5=f"{counts[5]:,}",
    patch_toy_6=f"{counts[6]:,}",
    patch_toy_random=f"{100 * stays.double().mean():.2f} %",
)

# %% [markdown]
# All $2^{16}$ images of 4×4 pixels, put through the denoiser at $\sigma = 0$: {glue:text}`patch_toy_4`
# stay as they are, the number of closed walks. (Of random binary images, {glue:text}`patch_toy_random`
# would.) For $n = 5$ the number is {glue:text}`patch_toy_5`, for $n = 6$ {glue:text}`patch_toy_6`. Of
# {glue:text}`patch_toy_count` samples on the 4×4 torus {glue:text}`patch_toy_binary` are binary, of those
# {glue:text}`patch_toy_obey` obey the rule. Only {glue:text}`patch_toy_seen` different ones were seen: each
# has positive probability, but the probabilities are far from equal.
#
# ```{prf:proposition} Exponentially many in the area
# :label: prop-local-count
#
# Let $n$ be a multiple of 5. On the torus of $n \times n$ pixels, two training images and 3×3
# windows generate at least $2^{(n/5)^2}$ different images.
# ```
#
# ```{prf:proof}
# Cut the torus into cells of 5×5. In each cell choose freely whether to put an *island*: the upper left
# 4×4 pixels of the cell without their four corners, 12 white pixels on black. Each of the $2^{(n/5)^2}$ images
# obeys the majority rule:
#
# - An island's inner 2×2 pixels see at least eight of nine white. A pixel on its edge, such as
#   the second of the top row, sees itself, one more in its row and three in the row below: five.
# - A missing corner sees three white pixels of its island. It touches the gap of one pixel, and the
#   pixels across that gap are two away.
# - A pixel in the gap between two neighbouring islands sees at most two of each: four. One where two gaps
#   cross touches only missing corners: none.
# ```

# %% mystnb={"image": {"alt": "Left: twelve black and white images of organic blobs and stripes, like the coat of a cow, generated on a torus of 24 by 24 pixels. Right: one image with islands of twelve pixels in some of nine cells."}, "figure": {"caption": "Left: generated from one black and one white training image by 3×3 windows on a torus. Right: the islands of the proof on a 15×15 torus, one of 512 choices.", "name": "fig-local-two"}} tags=["hide-input"]
wide = pair[:, :, :1, :1].expand(2, 1, 24, 24)
cows = EquivariantLocalScore.fit(wide, window=3, padding="circular")
cow_noise = dc.sampling.initial_noise(12, (1, 24, 24), seed=run.seed + 8)
coats = dc.sampling.ddim(cows, cow_noise, dc.noise.karras(40))
island = torch.zeros(5, 5)
island[:4, :4] = 1
island[[0, 0, 3, 3], [0, 3, 0, 3]] = 0
choices = (torch.arange(512)[:, None] >> torch.arange(9) & 1).reshape(-1, 3, 3).float()
islands = torch.stack([torch.kron(c, island) for c in choices])[:, None] * 2 - 1  # (512, 1, 15, 15)
ponds = EquivariantLocalScore.fit(
    pair[:, :, :1, :1].expand(2, 1, 15, 15), window=3, padding="circular"
)
assert torch.equal(ponds(islands, 0.0), islands)
squares = islands.clone()
squares[..., :4, :4] = 1  # control: an island with its corners
assert not (ponds(squares, 0.0) == squares).flatten(1).all(1).any()
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.2), width_ratios=[2.1, 1])
dc.style.image_grid(coats, columns=4, ax=left)
dc.style.image_grid(islands[0b101_110_011][None], ax=right)
plt.show()

# %% [markdown]
# Nothing in the training set has an edge. The edges, and the smallest blob that can exist, come from
# the window alone: this is creativity in the sense of new combinations, and an architecture that
# "has learnt" nothing but two grey levels.
#
# (sec-local-borders)=
# ## Position comes from the border
#
# `LocalScore` was told where each pixel is. A convolutional network is not. But most networks pad with
# zeros, and at the border a window shows how far the border is. `EquivariantLocalScore` with
# `borders=True` is the best denoiser that knows this and no more: one function for all places whose
# window is whole, another for each way in which the border cuts it off.
#
# With a window of 3×3 only the outermost pixels see the border. And yet:

# %% mystnb={"image": {"alt": "Top row, six samples each for three denoisers. Bottom row, the mean image: of training digits; of samples with borders, which resembles it; of samples with zeros around, nearly flat; and of samples on a torus, flat grey."}, "figure": {"caption": "Samples of 3×3 windows from anywhere (above) and the mean over many samples (below). Where windows with different overlaps are told apart, digits stand in the middle of the frame. On a torus they stand nowhere.", "name": "fig-local-borders"}} tags=["hide-input"]
border_x = x[:100]
kinds = {
    "told apart": {"borders": True},
    "zeros around": {"borders": False},
    "torus": {"padding": "circular"},
}
border_noise = dc.sampling.initial_noise(run.size(smoke=60, book=300), (1, 8, 8), seed=run.seed + 9)
settled, travel = {}, {}
for name, more in kinds.items():
    denoise = EquivariantLocalScore.fit(border_x, window=3, **more)
    settled[name] = dc.sampling.ddim(denoise, border_noise, levels)
fig, axes = plt.subplots(2, 4, figsize=(7.4, 3.7))
dc.style.image_grid(border_x[:9], columns=3, ax=axes[0, 0], title="training")
for k, (name, samples) in enumerate({"": border_x, **settled}.items()):
    if name:
        dc.style.image_grid(samples[:9], columns=3, ax=axes[0, k], title=name)
    dc.style.image_grid(samples.mean(0, keepdim=True), ax=axes[1, k], title="mean")
plt.show()
wanted = (border_x - border_x.mean()).mean(0)
place = {  # slope of the mean sample on the mean training image
    name: ((samples.mean(0) * wanted).sum() / wanted.square().sum()).item()
    for name, samples in settled.items()
}

# %% tags=["remove-input"]
assert place["told apart"] > 0.35 > 0.2 > abs(place["torus"])
dc.runtime.report(
    patch_place_apart=f"{place['told apart']:.2f}",
    patch_place_zeros=f"{place['zeros around']:.2f}",
    patch_place_torus=f"{place['torus']:.2f}",
)

# %% [markdown]
# How much of the mean digit is there? The slope of the mean sample on the mean training image says it: 1 for the
# mean digit itself, 0 for none of it. It is {glue:text}`patch_place_apart` where overlaps are told apart,
# and {glue:text}`patch_place_torus` on the torus, where chance is all there is: the law is invariant by
# {prf:ref}`thm-orbit`. Between the two, under *zeros around*, windows that stick out are filled with zeros, a
# middle grey, and compared with all others: a weak hint, {glue:text}`patch_place_zeros`. How can the border reach the
# middle? Step by step.
#
# ```{prf:proposition} What a window can reach
# :label: prop-local-reach
#
# Let every pixel be computed from its $k \times k$ window, $r = (k-1)/2$, and take $K$ DDIM steps from
# Gaussian noise. Distances are the larger of rows and columns.
# 1. A pixel of the sample depends on the noise within distance $Kr$ of it, and on no more.
# 2. Pixels farther apart than $2Kr$ are independent.
# 3. Let all pixels whose windows lie inside the image share one function. All pixels with at least
#    $Kr$ pixels between them and the border have the same law, however the others are treated.
# ```
#
# ```{prf:proof}
# *1.* A step computes pixel $p$ of $y'$ from $y_p$ and $D_\sigma(y)_p$, hence from $y_{\Omega_p}$,
# which is what lies within $r$. $K$ steps reach $Kr$.
#
# *2.* They are functions of disjoint sets of independent Gaussian numbers.
#
# *3.* Follow the dependence backwards. The last step uses $D$ at $p$, the one before it at pixels within
# $r$, the first one at pixels within $(K-1)r$. All of these have at least $r$ pixels between them
# and the border, so their windows lie inside and the shared function is used. The sample's pixel is
# thus one and the same function of the noise within $Kr$, which has the same law everywhere.
# ```
#
# Position travels inwards by $r$ pixels a step. Part 2 holds for `LocalScore` as well, and for any
# network whose receptive field is $k\times k$: with few steps, distant parts are not just badly coordinated
# but independent.

# %%
board = dc.data.load("digits").x[:40]
board = torch.cat([board[:20], board[20:]], 3)[:, :, :, 2:14]  # two digits side by side, cut
board = torch.cat([board, board.flip(0)], 2)[:, :, 2:14]  # (20, 1, 12, 12)
reach = EquivariantLocalScore.fit(board, window=3)
start = dc.sampling.initial_noise(20, (1, 12, 12), seed=run.seed + 10)
for steps in (1, 2, 3, 4):
    few = dc.noise.karras(steps, rho=1.0, sigma_max=3.0, sigma_min=0.5)
    here = dc.sampling.ddim(reach, start * 3 / 80, few)
    moved = dc.sampling.ddim(reach, start.roll((1, 1), (2, 3)) * 3 / 80, few).roll((-1, -1), (2, 3))
    off = (here - moved).abs().amax((0, 1))  # (12, 12)
    edge = torch.minimum(torch.arange(12), torch.arange(12).flip(0))  # pixels to the border
    depth = torch.minimum(edge[:, None], edge)  # of each pixel
    depth = torch.minimum(depth, depth.roll((-1, -1), (0, 1)))  # and of where it went
    travel[steps] = [off[depth == b].max().item() for b in range(5)]

table = [f"{steps} " + " ".join(f"{v:8.1e}" for v in row) for steps, row in travel.items()]
print("\n".join(table))
assert all(max(row[steps:]) < 1e-5 < 1e-3 < row[steps - 1] for steps, row in travel.items())

# %% [markdown]
# Each row is a number of steps; the entries are by how much a pixel changes if the noise is moved by one
# pixel and the sample moved back, for pixels with 0, 1, 2, … pixels between them and the border. With
# $K$ steps the first $K$ depths feel the border. The next one does not, up to rounding.
#
# (sec-local-long-range)=
# ## What locality cannot see
#
# Take images with rules. `dc.data.faces` draws cartoon faces in which distant parts must agree: both eyes
# of one kind, both ears, the tie in the colour of the top, and its oracle reads every part of
# an image ({doc}`12_measuring_creativity_and_realism` says how). We let all faces stand at one place, so that same-place windows lose nothing.

# %% tags=["hide-input"]
family = faces.Faces(positions=1)
train = family.split(run.size(smoke=150, book=300), seed=run.seed).train
face_x = family.render(train)  # (N, 1, 16, 16)
oracle = family.oracle(train)
face_noise = dc.sampling.initial_noise(
    run.size(smoke=50, book=200), (1, 16, 16), seed=run.seed + 11
)
ties = {  # the two parts of each rule
    rule: [name for name, slot in faces.SLOTS.items() if set(slot.traits) & set(faces.RULES[rule])]
    for rule in family.rules
}


def agreement(verdicts):
    """For each rule: how many pairs of well drawn parts there are, and how many of them agree."""
    well, found = verdicts.used <= 1, {}
    for rule, parts in ties.items():
        both = well[:, [verdicts.parts.index(part) for part in parts]].all(1)
        found[rule] = int((both & ~verdicts.breaks(rule)).sum()), int(both.sum())
    return found


def by_chance(rule):
    """Probability that two parts agree if each is drawn from the training set by itself."""
    at = list(family.values).index(rule)
    share = family.attributes(train)[:, at].bincount().double() / len(train)
    return share.square().sum().item()


face_sides = [3, 5, 7, 9, 11, 15, 19, 31]
judged = {}
for k in face_sides:
    denoise = LocalScore.fit(face_x, window=k)
    judged[k] = oracle(dc.sampling.ddim(denoise, face_noise, dc.noise.karras(18)))
others = {"Wiener": Affine.fit(face_x), "from the data": DataLocality.fit(face_x)}
for name, denoise in others.items():
    judged[name] = oracle(dc.sampling.ddim(denoise, face_noise, dc.noise.karras(18)))
agreed = {k: agreement(v) for k, v in judged.items()}
chance = {rule: by_chance(rule) for rule in family.rules}
drawn = {k: (v.used <= 1).double().mean().item() for k, v in judged.items()}
classes = {k: v.counts() for k, v in judged.items()}

# %% mystnb={"image": {"alt": "Left: share of pairs of parts that agree against the side of the window, three curves. Eyes leave the chance level of about one third at 7 pixels, ears and the colour of the tie only beyond 11, and all reach one. Right: the share of well drawn parts is high from 5 pixels on, while copies rise from zero to one between 9 and 23 pixels and valid new faces stay near zero."}, "figure": {"caption": "Faces generated with same-place windows. Left: how often two well drawn parts agree; dots where at least 20 pairs could be judged, dashed the chance level of independent parts. Right: parts that are well drawn, copies, and valid new faces. Near parts agree in smaller windows than far ones; with agreement come copies.", "name": "fig-local-rules"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.3), sharex=True)
for rule, color in {"eyes": "denoiser", "ears": "generated", "colour": "law"}.items():
    shown = [k for k in face_sides if agreed[k][rule][1] >= 20]
    shares = [agreed[k][rule][0] / agreed[k][rule][1] for k in shown]
    left.plot(shown, shares, "o-", color=COLORS[color], label=rule)
left.axhline(chance["eyes"], color=COLORS["muted"], ls="--", lw=1)
left.set(xlabel="side of the window", ylabel="share that agrees", ylim=(0, 1.05))
left.legend(loc="lower right")
right.plot(face_sides, [drawn[k] for k in face_sides], "o-", color=COLORS["law"], label="parts")
for key, color in {"copy": "warning", "creative": "generated"}.items():
    shares = [classes[k][key] / len(face_noise) for k in face_sides]
    right.plot(face_sides, shares, "o-", color=COLORS[color], label=key)
right.set(xlabel="side of the window", ylabel="share", ylim=(-0.03, 1.05))
right.legend(loc="center right")
plt.show()

# %% mystnb={"image": {"alt": "Four rows of eight cartoon faces. Training faces; windows of 5 pixels, faces with odd outlines and unequal eyes and ears; windows of 11 pixels, clean faces with ears of two kinds; the linear denoiser, symmetric faces with blurred parts."}, "figure": {"caption": "Training faces, and samples for windows of 5×5, of 11×11, and of the linear denoiser.", "name": "fig-local-faces"}} tags=["hide-input"]
rows = {"training": face_x[:8]}
for title, denoise in {
    "5×5": LocalScore.fit(face_x, window=5),
    "11×11": LocalScore.fit(face_x, window=11),
    "linear": others["Wiener"],
}.items():
    rows[title] = dc.sampling.ddim(denoise, face_noise[:8], dc.noise.karras(18))
fig, axes = plt.subplots(4, 1, figsize=(6.2, 3.9))
for ax, (title, images) in zip(axes, rows.items(), strict=True):
    dc.style.image_grid(images, columns=8, ax=ax, title=title)
    ax.title.set_fontsize(9)
plt.show()

# %% tags=["remove-input"]
far_test = stats.binomtest(*agreed[5]["ears"], chance["ears"])
control_test = stats.binomtest(*agreed[31]["ears"], chance["ears"])
assert far_test.pvalue > LEVEL > control_test.pvalue
assert classes[31]["copy"] == len(face_noise)


def share_text(k, rule):
    hits, pairs = agreed[k][rule]
    return f"{100 * hits / max(pairs, 1):.0f} % of {pairs}"


dc.runtime.report(
    patch_faces=f"{len(family):,}",
    patch_face_train=len(train),
    patch_face_n=len(face_noise),
    patch_chance=f"{100 * chance['ears']:.0f} %",
    patch_ears_5=share_text(5, "ears"),
    patch_eyes_5=share_text(5, "eyes"),
    patch_eyes_11=share_text(11, "eyes"),
    patch_ears_11=share_text(11, "ears"),
    patch_ears_p=f"{far_test.pvalue:.2g}",
    patch_drawn_5=f"{100 * drawn[5]:.0f} %",
    patch_drawn_11=f"{100 * drawn[11]:.0f} %",
    patch_drawn_wiener=f"{100 * drawn['Wiener']:.0f} %",
    patch_ears_wiener=share_text("Wiener", "ears"),
    patch_drawn_data=f"{100 * drawn['from the data']:.0f} %",
    patch_ears_data=share_text("from the data", "ears"),
    patch_creative_data=classes["from the data"]["creative"],
    patch_creative_most=max(classes[k]["creative"] for k in face_sides),
)

# %% [markdown]
# There are {glue:text}`patch_faces` valid faces, and {glue:text}`patch_face_train` were trained on. With
# windows of 5×5, {glue:text}`patch_drawn_5` of the parts are well drawn. But the two ears agree in
# {glue:text}`patch_ears_5` pairs that are both well drawn, and {glue:text}`patch_chance` would
# agree if each ear were drawn by itself ($p$ = {glue:text}`patch_ears_p`). The eyes, two pixels apart, agree
# in {glue:text}`patch_eyes_5`. With 11×11 it is {glue:text}`patch_eyes_11` for the eyes and
# {glue:text}`patch_ears_11` for the ears, ten pixels apart. A window that sees both ears sees most of
# the face, and copies it. Of {glue:text}`patch_face_n` samples at most {glue:text}`patch_creative_most`
# were valid *and* new, whatever the window.
#
# The linear denoiser errs the other way. It sees the whole image: well drawn ears agree in
# {glue:text}`patch_ears_wiener` pairs, but only {glue:text}`patch_drawn_wiener` of the parts are well
# drawn. {cite:t}`lukoianov2025locality` join the two ideas: the mask of each pixel is read off the
# data's linear denoiser, small entries left out, so that a pixel looks where the data says that looking helps, near or far. On
# these faces their machine, `DataLocality`, draws {glue:text}`patch_drawn_data` of the parts well, its ears agree in
# {glue:text}`patch_ears_data` pairs, and {glue:text}`patch_creative_data` samples were valid and
# new. Locality is a property of the data here, not of the architecture.
#
# (sec-local-batches)=
# ## What averaged mini-batches would have shown
#
# {prf:ref}`prop-minibatch-average` warned of a program that computes the softmax in mini-batches and averages
# the answers. In a patch machine it is more dangerous, because new images are what one expects.
# Two checks find it: a window that covers everything must copy, and every pixel
# must be the centre of its nearest window.

# %% tags=["hide-input"]
halves = pool[: run.size(smoke=96, book=240)]
check_noise = mosaic_noise[:30]
bug, table = {}, ["batches   15×15: copies   5×5: pixels that are a nearest centre"]
for B in (1, 2, 8):
    found = []
    for k in (15, 5):
        parts = [LocalScore.fit(batch, window=k) for batch in halves.chunk(B)]
        samples = dc.sampling.ddim(
            lambda y, sigma, parts=parts: sum(part(y, sigma) for part in parts) / len(parts),
            check_noise,
            fine,
        )
        off = (samples - nearest_windows(samples, halves, k)[1]).abs()
        found += [dc.metrics.copied_fraction(samples, halves), (off < 1e-3).double().mean().item()]
    bug[B] = found[0], found[3]
    table.append(f"{B:7d}{bug[B][0]:16.0%}{bug[B][1]:40.1%}")
print("\n".join(table))
assert bug[1][0] == 1
assert bug[1][1] > 0.9
assert max(bug[2][0], bug[8][0]) < 0.1
assert max(bug[2][1], bug[8][1]) < 0.9

# %% tags=["remove-input"]
dc.runtime.report(
    patch_bug_copies=f"{100 * bug[2][0]:.0f} %",
    patch_bug_pixels=f"{100 * bug[2][1]:.0f} %",
    patch_right_pixels=f"{100 * bug[1][1]:.1f} %",
)

# %% [markdown]
# One batch: all samples with the full window are copies, and {glue:text}`patch_right_pixels` of the
# pixels with 5×5 are centres of their nearest windows. Two batches: {glue:text}`patch_bug_copies` and
# {glue:text}`patch_bug_pixels`. The blends look smoother, and so better, than mosaics; locality did not make them.
#
# (sec-local-wiener)=
# ## Does it beat a linear filter?
#
# Which of these machines is a good *denoiser*? Held-out digits decide, and the baseline is the best
# affine denoiser, the {term}`Wiener filter` of {doc}`04_linear`. The window of the row "best window" is chosen for each
# noise level on one half of the held-out images; all errors are measured on the other half.

# %% tags=["hide-input"]
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(run.seed + 12))
fit_n, test_n = run.size(smoke=200, book=600), run.size(smoke=80, book=200)
known, chosen_by, unseen = digits.x[order[: fit_n + 2 * test_n]].split([fit_n, test_n, test_n])
sigmas = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
contest = {
    "Wiener": Affine.fit(known),
    "perfect (of the training set)": Bayes.fit(known),
    "3×3, own place": LocalScore.fit(known, window=3),
    "5×5, own place": LocalScore.fit(known, window=5),
    "7×7, own place": LocalScore.fit(known, window=7),
    "3×3, anywhere": EquivariantLocalScore.fit(known, window=3),
    "3×3, averaged": PatchPosterior.fit(known, window=3),
    "masks of the data": DataLocality.fit(known),
}
generator = torch.Generator().manual_seed(run.seed + 13)
hiss = torch.randn(unseen.shape, generator=generator)


def squared_error(denoise, clean, sigma):
    """Mean squared error per pixel of each image, (n,)."""
    return (denoise(clean + sigma * hiss, sigma) - clean).square().flatten(1).mean(1)


error = {
    name: {s: squared_error(denoise, unseen, s) for s in sigmas}
    for name, denoise in contest.items()
}
windows = {}
for s in sigmas:
    trial = {k: LocalScore.fit(known, window=k) for k in (1, 3, 5, 7, 9)}
    windows[s] = min(trial, key=lambda k, s=s: squared_error(trial[k], chosen_by, s).mean())
best_window = LocalScore.fit(known, window=windows)  # a table {σ: side}
error["best window"] = {s: squared_error(best_window, unseen, s) for s in sigmas}
print(f"{'σ':>31}", *(f"{s:>7g}" for s in sigmas))
for name, row in error.items():
    print(f"{name:>31}", *(f"{row[s].mean().item():7.4f}" for s in sigmas))
print(f"{'side of the best window':>31}", *(f"{windows[s]:>7d}" for s in sigmas))

# %% mystnb={"image": {"alt": "Denoising error relative to the Wiener filter against the noise level. The perfect denoiser of the training set starts far above one, windows of 5 by 5 and of 3 by 3 pixels start above it too and fall below one at middle noise. The best window and the masks of the data are below one from low to middle noise. At high noise all but the windows from anywhere come close to one."}, "figure": {"caption": "Mean squared error on held-out digits, divided by that of the Wiener filter. Below the line a machine beats it.", "name": "fig-local-wiener"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.2, 3.6))
drawn_in = {
    "perfect (of the training set)": ("data", ":"),
    "5×5, own place": ("generated", "--"),
    "best window": ("generated", "-"),
    "3×3, averaged": ("denoiser", "-"),
    "3×3, anywhere": ("denoiser", "--"),
    "masks of the data": ("law", "-"),
}
linear = {s: error["Wiener"][s].mean() for s in sigmas}
for name, (color, dash) in drawn_in.items():
    ratio = [(error[name][s].mean() / linear[s]).item() for s in sigmas]
    ax.plot(sigmas, ratio, dash, marker="o", color=COLORS[color], label=name)
ax.axhline(1, color=COLORS["muted"], lw=1)
ax.set(xscale="log", yscale="log", xlabel="noise level σ", ylabel="error, Wiener = 1")
ax.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
ax.minorticks_off()
ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
ax.legend(fontsize=9)
plt.show()

# %% tags=["remove-input"]
wins = {
    name: [f"{s:g}" for s in sigmas if row[s].mean() < linear[s]] for name, row in error.items()
}
paired = error["best window"][0.4] - error["Wiener"][0.4]
assert run.profile == "smoke" or stats.ttest_1samp(paired.double(), 0).pvalue < LEVEL
dc.runtime.report(
    patch_fit_n=fit_n,
    patch_test_n=test_n,
    patch_wins_best=", ".join(wins["best window"]) or "none",
    patch_wins_data=", ".join(wins["masks of the data"]) or "none",
    patch_wins_anywhere=", ".join(wins["3×3, anywhere"]) or "none",
    patch_wins_perfect=", ".join(wins["perfect (of the training set)"]) or "none",
    patch_low_five=f"{(error['5×5, own place'][0.1].mean() / linear[0.1]).item():.0f}",
    patch_low_perfect=f"{(error['perfect (of the training set)'][0.1].mean() / linear[0.1]).item():.0f}",
    patch_mid_best=f"{(error['best window'][0.4].mean() / linear[0.4]).item():.2f}",
    patch_windows=", ".join(f"{windows[s]}" for s in sigmas),
)

# %% [markdown]
# {glue:text}`patch_fit_n` training images, {glue:text}`patch_test_n` held out for each half. The perfect
# denoiser of the training set is useless on new images at low noise: its error at $\sigma = 0.1$ is
# {glue:text}`patch_low_perfect` times that of the Wiener filter, and with same-place windows of 5×5 it is still
# {glue:text}`patch_low_five` times. A softmax over finitely many windows answers with their centres;
# where none fits, the linear filter does better to trust $y$. A window that changes with the noise (sides
# {glue:text}`patch_windows` from low to high) beats it at σ = {glue:text}`patch_wins_best`. At 0.4 its error is
# {glue:text}`patch_mid_best` of the Wiener filter's. At the lowest levels the best window is small because
# digits have 17 grey levels, which a histogram knows and a linear map does not. Windows of 3×3 from anywhere
# win at {glue:text}`patch_wins_anywhere`, the masks of the data at {glue:text}`patch_wins_data`.
#
# So the linear filter is no straw man. It belongs into every table that explains denoisers by
# locality. These are small digits and few of them; on other data the order may be another.
#
# (sec-local-agreement)=
# ## $r$ or $R^2$? Tables must say which
#
# To compare a theory with a network one gives both the same noise and asks how similar the images
# are. Two numbers are in use, and both are loosely called "correlation". For an estimate $e$ and a target $t$, with means $\bar e$,
# $\bar t$ and standard deviations $s_e$, $s_t$ over the entries of one image, **Pearson's** $r$ is their
# correlation; it forgives any brightness and contrast. The share of variance explained is
# $R^2 = 1 - \sum(e-t)^2 / \sum(t - \bar t)^2$; it forgives nothing.
#
# ```{prf:proposition} What separates $R^2$ from $r$
# :label: prop-local-r-squared
#
# If neither image is constant,
#
# $$R^2 = r^2 - \Bigl(r - \frac{s_e}{s_t}\Bigr)^2 - \Bigl(\frac{\bar e - \bar t}{s_t}\Bigr)^2 .$$
#
# So $R^2 \le r^2$, with equality only for $\bar e = \bar t$ and $s_e = r s_t$. With a given $r > 0$ goes
# every value of $R^2$ from $r^2$ down.
# ```
#
# ```{prf:proof}
# The mean of $(e - t)^2$ is $(\bar e - \bar t)^2 + s_e^2 + s_t^2 - 2 r s_e s_t$. Divide by $s_t^2$ and
# subtract from 1: $R^2 = 2r\,s_e/s_t - s_e^2/s_t^2 - (\bar e - \bar t)^2/s_t^2$, and complete the
# square. For the last sentence take $s_e = r s_t$ and move the mean of $e$.
# ```

# %%
image = unseen[:1]
pale, dark = 0.4 * image, image - 0.8
for name, estimate in {"the image": image, "less contrast": pale, "darker": dark}.items():
    r = dc.metrics.pearson_r(estimate, image).item()
    explained = dc.metrics.r_squared(estimate, image).item()
    print(f"{name:>14}: r = {r:.3f}, R² = {explained:6.3f}")

# %% tags=["hide-input"]
level = 0.7
noisy = unseen + level * hiss
median = {}
table = [f"σ = {level}: medians over {test_n} held-out images, 95 % bootstrap intervals"]
judges = {"r": dc.metrics.pearson_r, "R²": dc.metrics.r_squared}
answers = {name: denoise(noisy, level) for name, denoise in contest.items()}
answers["the noisy image itself"] = noisy
answers["the mean training image"] = known.mean(0).expand_as(noisy)
for name, estimate in answers.items():
    median[name] = {key: judge(estimate, unseen, interval=0.95) for key, judge in judges.items()}
    r, R2 = median[name].values()
    table.append(
        f"{name:>30}: r {r.value:.3f} [{r.low:.3f}, {r.high:.3f}]"
        f"   R² {R2.value:.3f} [{R2.low:.3f}, {R2.high:.3f}]"
    )
print("\n".join(table))
stranger = dc.metrics.pearson_r(unseen.roll(1, 0), unseen, interval=0.95)

# %% tags=["remove-input"]
dc.runtime.report(
    patch_level=f"{level:g}",
    patch_stranger=f"{stranger.value:.2f}",
    patch_noisy_r=f"{median['the noisy image itself']['r'].value:.2f}",
    patch_noisy_r2=f"{median['the noisy image itself']['R²'].value:.2f}",
    patch_mean_r=f"{median['the mean training image']['r'].value:.2f}",
    patch_mean_r2=f"{median['the mean training image']['R²'].value:.2f}",
    patch_wiener_r=f"{median['Wiener']['r'].value:.2f}",
    patch_wiener_r2=f"{median['Wiener']['R²'].value:.2f}",
    patch_perfect_r=f"{median['perfect (of the training set)']['r'].value:.2f}",
    patch_perfect_r2=f"{median['perfect (of the training set)']['R²'].value:.2f}",
)

# %% [markdown]
# An image with less contrast has $r = 1$. At $\sigma$ = {glue:text}`patch_level` the Wiener filter has
# a median $r$ of {glue:text}`patch_wiener_r` and a median $R^2$ of {glue:text}`patch_wiener_r2`, the perfect
# denoiser {glue:text}`patch_perfect_r` and {glue:text}`patch_perfect_r2`: the same images, the same
# estimates. Order is not safe either. The noisy image itself, not denoised at all, has a median $r$ of
# {glue:text}`patch_noisy_r`, the mean training image, the same answer to every question,
# {glue:text}`patch_mean_r`; their $R^2$ are {glue:text}`patch_noisy_r2` and {glue:text}`patch_mean_r2`.
# And two *different* digits already correlate by {glue:text}`patch_stranger`: a value of $r$ means little
# without that of mismatched pairs.
#
# {cite:t}`kamb2024analytic` report, in their Table 1, medians headed "Corr." of up to 0.96 between
# their machines, with windows fitted to the network, and trained networks without attention; the
# program that accompanies the paper (revision 6a87f3f) computes Pearson's $r$ and labels its axes $r^2$.
# By {prf:ref}`prop-local-r-squared` an $r$ of 0.9 allows no $R^2$ above 0.81, and any below. It is
# not a question of who is right. A table of $r$ and a table of $R^2$ cannot be compared, and the
# Wiener filter should have a row in both.
#
# Trained networks come in {doc}`15_theory_predicts_a_trained_unet`. Here no network is compared, only machines with held-out images.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-09-window
#
# **See a window.** Write `window_denoiser(x, y, sigma, k)` for training signals $x$ of shape $(N, L)$ and noisy
# ones $y$ of shape $(n, L)$: the best denoiser with own functions for each place, whose windows of
# $k$ places (odd) end at the border.
# ```


# %%
def window_denoiser(x, y, sigma, k): ...  # your code: return (n, L)


# dc.exercises.check_window_denoiser(window_denoiser)

# %% [markdown]
# ```{solution-start} ex-09-window
# :class: dropdown
# ```
#
# A softmax for each place, with the distances of its window and the values of its centre.


# %%
def window_denoiser_solution(x, y, sigma, k):
    L, r = x.shape[1], k // 2
    answers = []
    for p in range(L):
        seen = slice(max(p - r, 0), p + r + 1)
        gaps = (y[:, None, seen] - x[:, seen]).square().sum(-1)  # (n, N)
        answers.append((-gaps / (2 * sigma**2)).softmax(1) @ x[:, p])
    return torch.stack(answers, 1)


assert dc.exercises.check_window_denoiser(window_denoiser_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-09-mosaic
#
# **Recognise a mosaic.** Write `is_mosaic(x, y, k)` for training signals $x$ of shape $(N, L)$ and one
# signal $y$ of shape $(L,)$, both on a ring: is every entry of $y$ the centre of the nearest training
# window *from anywhere*? Allow a difference of $10^{-6}$.
# ```


# %%
def is_mosaic(x, y, k): ...  # your code: True or False


# dc.exercises.check_is_mosaic(is_mosaic)

# %% [markdown]
# ```{solution-start} ex-09-mosaic
# :class: dropdown
# ```
#
# List all windows on the ring with `roll`, and look up the nearest.


# %%
def is_mosaic_solution(x, y, k):
    def cut(signals):  # (…, L, k): window of each place
        return torch.stack([signals.roll(-o, -1) for o in range(-(k // 2), k // 2 + 1)], -1)

    bank = cut(x).flatten(0, 1)  # (N·L, k)
    nearest = (cut(y)[:, None] - bank).square().sum(-1).argmin(1)
    return bool(((bank[nearest, k // 2] - y).abs() < 1e-6).all())


assert dc.exercises.check_is_mosaic(is_mosaic_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-09-ring
#
# **Count on a ring.** The two training signals are all $-1$ and all $+1$, on a ring of $n \ge 3$
# places; windows have three places. Write `count_ring(n)`: the number of $\pm1$ signals that the flow generates with positive
# probability. Count first, then look for a shorter way: what may not occur?
# ```


# %%
def count_ring(n): ...  # your code: a whole number


# dc.exercises.check_count_ring(count_ring)

# %% [markdown]
# ```{solution-start} ex-09-ring
# :class: dropdown
# ```
#
# A place sides with the majority of three unless both neighbours differ from it. So no run may have length one.
# Listing all $2^n$ signals does it. (The numbers grow like powers of the golden ratio: each step on a
# pair of neighbours has one choice after a change, two otherwise.)


# %%
def count_ring_solution(n):
    signals = itertools.product((-1, 1), repeat=n)
    return sum(all(s[i] in (s[i - 1], s[(i + 1) % n]) for i in range(n)) for s in signals)


assert dc.exercises.check_count_ring(count_ring_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-09-steps
#
# **Steps to agree.** Two parts of an image are $a$ pixels apart, and windows have side $k$. Write
# `steps_to_agree(a, k)`: the least number of DDIM steps from Gaussian noise with which the two may depend on one another.
# ```


# %%
def steps_to_agree(a, k): ...  # your code: a whole number


# dc.exercises.check_steps_to_agree(steps_to_agree)

# %% [markdown]
# ```{solution-start} ex-09-steps
# :class: dropdown
# ```
#
# By {prf:ref}`prop-local-reach` they are independent while $a > 2Kr = K(k-1)$. A window of one pixel never
# connects anything.


# %%
def steps_to_agree_solution(a, k):
    return math.inf if k == 1 else -(-a // (k - 1))


assert dc.exercises.check_steps_to_agree(steps_to_agree_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-09-contrast
#
# **Repair an estimate.** Write `rescale(e, t)` for two images: $ae + b$ with the numbers $a$ and $b$ for
# which $R^2$ with the target $t$ is largest. What does $R^2$ become?
# ```


# %%
def rescale(e, t): ...  # your code: an image of the shape of e


# dc.exercises.check_rescale(rescale)

# %% [markdown]
# ```{solution-start} ex-09-contrast
# :class: dropdown
# ```
#
# By {prf:ref}`prop-local-r-squared` $R^2 = r^2$ where the mean is that of $t$ and the standard deviation $\abs r s_t$, with the
# sign of $r$: the regression line of $t$ on $e$.


# %%
def rescale_solution(e, t):
    a = ((e - e.mean()) * (t - t.mean())).mean() / (e - e.mean()).square().mean()
    return a * (e - e.mean()) + t.mean()


assert dc.exercises.check_rescale(rescale_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - The best denoiser that sees a window is a softmax over training windows, for each pixel its own
#   ({prf:ref}`thm-local-window`).
# - Its samples are mosaics: every pixel is the centre of its nearest training window, and all such
#   images without ties are generated ({prf:ref}`prop-local-fixed-points`).
# - Two training images make exponentially many ({prf:ref}`prop-local-majority`,
#   {prf:ref}`prop-local-count`).
# - Position comes from the border and travels half a window a step; parts that are too far
#   apart for the steps are independent ({prf:ref}`prop-local-reach`).
# - Local parts are right and long-range rules at chance, until the window sees so much that it copies.
# - A linear filter is a hard baseline: at low noise it beats fixed windows of 5×5. $R^2$ is at most $r^2$ ({prf:ref}`prop-local-r-squared`).
#
# **Proved:** the statements above. **Measured:** shares of copies, mosaics, agreement of parts, and denoising
# errors, on small images. **Not covered:** trained networks, and how their windows depend on noise.
#
# The machines are due to {cite:t}`kamb2024analytic`, {cite:t}`niedoba2024towards` and
# {cite:t}`lukoianov2025locality`. The bound, the converse and the counts in this chapter are derived here.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
