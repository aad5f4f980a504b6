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
# (sec-copies)=
# # The perfect denoiser copies
#
# Take $N$ images. Build the denoiser that makes the smallest possible error on them. Run the
# exact flow from strong noise. You get the $N$ images back, each with probability $1/N$, and
# nothing else.
#
# This chapter says exactly when that holds, and how nearly for noise of finite strength. It proves
# it, draws it, and tests it on real digits. Then it shows how easily an innocent-looking line of
# code hides it.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** why the best denoiser of a training set is a copying machine; where in the
#   space of noise each copy comes from; at which noise level the choice falls; what a finite
#   start and a finite number of steps change, and what they cannot change; why averaging over
#   mini-batches looks like creativity and is not.
# - **Time** about 40 minutes; two hours with every proof and exercise.
# - **Prerequisites** the posterior mean and the probability flow of
#   {doc}`02_denoising_scores_samplers`.
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

import diffusion_creativity as dc
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# (sec-copies-watch)=
# ## Watch one sample choose
#
# The training set is the set of 8×8 digits {cite:p}`alpaydin1998digits`. The perfect denoiser
# gets a noisy image and asks of every training image: *how probable is it that you are
# underneath?* Its answer is the average of all training images with these probabilities as
# weights.
#
# The figure follows four samples from noise to image. Move the noise level down and watch the
# list of candidates.

# %%
digits = dc.data.load("digits")
digits = digits.subset(run.size(smoke=200, book=len(digits)), seed=run.seed)
x, N = digits.x, len(digits.x)
perfect = dc.denoisers.Bayes.fit(x)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Left: a noisy image and the perfect denoiser's answer. Right: the eight training images with the largest posterior probability, and below the number of candidates left, falling from all training images to one."}, "figure": {"caption": "One sample on its way: the noisy image, scaled to unit size, and the denoiser's answer; the eight most probable training images, with their probabilities; and how many candidates are left (one over the sum of the squared probabilities).", "name": "fig-copies-choose"}}
levels = dc.noise.karras(30)
paths = dc.sampling.ddim(
    perfect,
    dc.sampling.initial_noise(4, (1, 8, 8), seed=run.seed + 5),
    levels,
    return_trajectory=True,
)  # (31, 4, 1, 8, 8)
weights = torch.stack(
    [perfect.posterior(y, s) for y, s in zip(paths, levels.tolist(), strict=True)]
)
answers = torch.stack([perfect(y, s) for y, s in zip(paths, levels.tolist(), strict=True)])
candidates = 1 / weights.double().square().sum(-1)  # (31, 4)
shown = levels.clamp(min=1e-3)  # the last level is 0, which a logarithmic axis cannot show


def draw_choice(sample, sigma):
    k = int((levels - sigma).abs().argmin())
    top = weights[k, sample].topk(8)
    share = [f"{100 * w:.3g} %" if w >= 5e-4 else "< 0.1 %" for w in top.values.tolist()]
    left = candidates[k, sample].item()
    words = (
        f"Noise level {levels[k]:.3g}: {left:.3g} of {N} candidates left, "
        f"the first with probability {share[0]}."
    )
    pair = torch.stack([paths[k, sample] / math.sqrt(1 + sigma**2), answers[k, sample]])
    return {
        "state": [marks.images(pair, columns=2, cell=104, labels=["noisy y", "answer D(y)"])],
        "top": [marks.images(x[top.indices], columns=4, labels=share)],
        "count": [
            marks.line(shown, candidates[:, sample], color="denoiser"),
            marks.points([shown[k].item()], [left], color="generated", size=5),
        ],
        "alt": f"Sample {sample + 1}. {words}",
        "caption": words,
    }


Explorer.precomputed(
    draw_choice,
    [
        Slider("sigma", levels.tolist(), "noise level σ", format=".3g", start=1.0, play=True),
        Choice("sample", {f"sample {k + 1}": k for k in range(4)}, "sample"),
    ],
    {
        "state": Panel("Noisy image and answer", kind="images"),
        "top": Panel("Most probable training images", kind="images"),
        "count": Panel(
            "Candidates left", "noise level σ", "candidates", xlog=True, ylog=True, ylim=(0.8, 3000)
        ),
    },
    title="One sample chooses its training image",
)

# %% [markdown]
# At first all candidates are equally probable and the answer is a grey average. Then the list
# shortens, slowly at first and then fast. At the end one training image has all the weight, and the
# sample *is* that image. The rest of the chapter turns what you saw into a theorem.
#
# (sec-copies-denoiser)=
# ## The perfect denoiser of a training set
#
# Call the training images $x_1, \dots, x_N$, all different, each a vector of $d$ numbers.
# *Perfect* means: no function has a smaller denoising loss when $x$ is drawn from this set, all
# images equally likely, and $y = x + \sigma n$. By {prf:ref}`thm-mmse` that function is the
# posterior mean. Bayes' rule gives the posterior probabilities, and so
# ```{math}
# :label: eq-copies-denoiser
# D_\sigma(y) = \sum_{i=1}^N w_i(y, \sigma)\, x_i , \qquad
# w_i(y, \sigma) = \frac{e^{-\norm{y - x_i}^2 / 2\sigma^2}}{\sum_j e^{-\norm{y - x_j}^2 / 2\sigma^2}} .
# ```
# This is a softmax over the training set. In code it takes three lines; the package's `Bayes` is
# the same function, made accurate at every noise level and fast for many images.


# %%
def by_hand(points):
    """Return the perfect denoiser of points (N, d)."""

    def denoise(y, sigma):
        gaps = (y[:, None] - points).square().sum(-1)  # (n, N)
        weights = torch.softmax(-gaps / (2 * sigma**2), dim=1)
        return weights @ points

    return denoise


y = x[:100] + 0.5 * torch.randn(100, 1, 8, 8)
difference = by_hand(x.flatten(1))(y.flatten(1), 0.5) - perfect(y, 0.5).flatten(1)
dc.runtime.report(copies_by_hand=f"{difference.abs().max().item():.1e}")

# %% [markdown]
# The two differ by at most {glue:text}`copies_by_hand` in any pixel, which is rounding. The
# formula is old; {cite:t}`karras2022elucidating` write it down for diffusion models as the ideal
# denoiser of a finite data set, and {cite:t}`levine2026diffusion` start their question from it:
# if this is what training aims at, where does novelty come from?
#
# The noisy data has the density
#
# $$p_\sigma = \frac1N \sum_{i=1}^N \normal(x_i, \sigma^2 I),$$
#
# one Gaussian bump on each training image, and the sampler follows the probability flow
# {eq}`eq-flow`, $\mathrm{d}y/\mathrm{d}\sigma = (y - D_\sigma(y))/\sigma$, from large $\sigma$
# down to 0.
#
# (sec-copies-theorem)=
# ## Every trajectory ends on a training point
#
# As $\sigma \to 0$ the law $p_\sigma$ shrinks onto the training points.
# {prf:ref}`thm-probability-flow` says that the flow has the law $p_\sigma$ at every level. This
# is nearly the theorem, but not quite: laws can converge while single trajectories wander from
# bump to bump for ever. The next lemma rules that out. It says that a trajectory close to a
# training point, at a low noise level, is caught.
#
# Two lengths describe the training set: the smallest distance $\Delta$ between two of its points,
# and the largest one, $L$. From them comes a critical noise level
# ```{math}
# :label: eq-copies-critical
# \sigma_c = \frac{\Delta}{2 \sqrt{\ln(4 N L / \Delta)}} .
# ```
#
# ```{prf:lemma} Caught
# :label: lem-basin
# Let $B_i$ be the ball of radius $\Delta/4$ around $x_i$, and $0 < \sigma_* \le \sigma_c$. If a
# trajectory of the flow is in $B_i$ at level $\sigma_*$, then for all $0 < \sigma < \sigma_*$
# 1. it stays in $B_i$;
# 2. its posterior weight satisfies $w_i \ge 1 - N e^{-\Delta^2 / 4\sigma^2}$;
# 3. its distance from $x_i$ shrinks with the noise, $\norm{y(\sigma) - x_i} \le
#    \big(\frac{\Delta}{4 \sigma_*} + \frac14\big)\, \sigma$. So it tends to $x_i$.
# ```
#
# ```{prf:proof}
# *The weight.* Let $y \in B_i$ and $r = \norm{y - x_i} \le \Delta/4$. For $j \ne i$ put
# $\ell = \norm{x_i - x_j} \ge \Delta$. Then
#
# $$\norm{y - x_j}^2 - \norm{y - x_i}^2 \ge (\ell - r)^2 - r^2 = \ell (\ell - 2r) \ge \Delta \cdot
# \Delta/2 .$$
#
# Hence $w_j \le w_j / w_i \le e^{-\Delta^2/4\sigma^2}$. Summing over the $N - 1$ values of $j$
# gives point 2.
#
# *The answer.* It is close to $x_i$, because
#
# $$\norm{D_\sigma(y) - x_i} = \Big\lVert \sum_{j \ne i} w_j (x_j - x_i) \Big\rVert \le L (1 - w_i)
# < \delta(\sigma),$$
#
# where $\delta(\sigma) = N L\, e^{-\Delta^2 / 4 \sigma^2}$ grows with $\sigma$. The level
# $\sigma_c$ was chosen so that $\delta(\sigma_c) = \Delta/4$.
#
# *It stays.* While $r > 0$, the flow changes the distance $r$ at the rate
#
# $$\frac{\mathrm{d} r}{\mathrm{d} \sigma} = \frac{(y - x_i) \cdot (y - D_\sigma(y))}{r\, \sigma} =
# \frac{r + e \cdot (x_i - D_\sigma(y))}{\sigma},$$
#
# where $e$ is a unit vector. On the border, $r = \Delta/4$, this is positive, since the second
# term is larger than $-\Delta/4$. So $r$ falls when $\sigma$ falls, and the trajectory cannot
# leave: point 1.
#
# *It shrinks.* The same equation says $\abs{\mathrm{d}r/\mathrm{d}\sigma - r/\sigma} \le
# \delta(\sigma)/\sigma$, so the ratio $r/\sigma$ changes at a rate of at most
# $\delta(\sigma)/\sigma^2$. (Should $r$ reach 0, the ratio starts again from 0.) With $u = 1/s$
# and the tail bound $\int_a^\infty e^{-bu^2} \mathrm{d}u \le e^{-ba^2}/(2ab)$,
#
# $$\begin{aligned} \int_0^{\sigma_*} \frac{\delta(s)}{s^2}\, \mathrm{d}s
# &= N L \int_{1/\sigma_*}^\infty e^{-\Delta^2 u^2/4}\, \mathrm{d}u \\
# &\le \delta(\sigma_*)\, \frac{2 \sigma_*}{\Delta^2} \le \frac{\sigma_*}{2\Delta}
# \le \frac14 , \end{aligned}$$
#
# because $\delta(\sigma_*) \le \Delta/4$ and, as $N L/\Delta \ge 2$,
# $\sigma_* \le \sigma_c < \Delta/2$. Hence $r/\sigma \le \frac{\Delta/4}{\sigma_*} + \frac14$ at
# every lower level: point 3.
# ```
#
# ```{prf:theorem} The perfect denoiser copies
# :label: thm-perfect-copies
# Let $x_1, \dots, x_N$ be different points, $N \ge 2$, and $D_\sigma$ their perfect denoiser
# {eq}`eq-copies-denoiser`. Draw $y(\sigma_{\max})$ from $p_{\sigma_{\max}}$ and follow the exact
# flow. With probability one $y(\sigma)$ converges, as $\sigma \to 0$, to one of the training
# points, and each of them is the limit with probability exactly $1/N$.
# ```
#
# ```{prf:proof}
# Let $E_i(\sigma)$ be the event that the trajectory is in $B_i$ at level $\sigma$. By
# {prf:ref}`lem-basin` it implies, for $\sigma \le \sigma_c$, that the trajectory is in $B_i$ at
# all lower levels and tends to $x_i$. So the events grow as $\sigma$ falls, and
#
# $$\P(y(\sigma) \to x_i) \ge \P\Big(\bigcup_{\sigma \le \sigma_c} E_i(\sigma)\Big) = \lim_{\sigma
# \to 0} \P(E_i(\sigma)) .$$
#
# By {prf:ref}`thm-probability-flow`, $y(\sigma)$ has the law $p_\sigma$: it is distributed like
# $x_J + \sigma n$ with $J$ uniform on $1, \dots, N$. So
#
# $$\P(E_i(\sigma)) = \frac1N \sum_{j=1}^N \P(x_j + \sigma n \in B_i) \longrightarrow \frac1N ,$$
#
# since the term with $j = i$ tends to 1 and the others, whose $x_j$ lie outside $B_i$, to 0. Thus
# each of the $N$ limits has probability at least $1/N$. They exclude one another, and
# probabilities sum to at most one. So each is exactly $1/N$, and nothing is left for anything
# else.
# ```
#
# Three remarks on what the proof uses.
#
# * **It is sharp about "probability one".** The starts that lead to $x_i$ form an open set,
#   because such a trajectory is at some level well inside $B_i$, and so, by continuity of the
#   flow, are its neighbours. Finitely many disjoint open sets cannot fill all of space, which is
#   connected. So some starts lead to no training point. For two points they are the plane
#   half-way between ({ref}`ex-03-two-points`). They have probability zero.
# * **Weights pass through.** Give $x_i$ the probability $\pi_i$ instead of $1/N$, in $p_\sigma$
#   and in the denoiser. The proof changes in one place, and $x_i$ is generated with probability
#   $\pi_i$. An image that occurs twice in the training set is a point with weight $2/N$
#   ({ref}`ex-03-weights`).
# * **The lemma is cautious.** It needs a radius that works for every pair of points. The next
#   cell checks its three claims on the digits, from starts on the border of the balls, aimed at
#   the nearest neighbour.

# %% tags=["hide-input"]
flat = x.flatten(1).double()
apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
L = apart.max().item()
neighbour = (apart + torch.eye(N) * 1e9).min(1)
Delta = neighbour.values.min().item()
sigma_c = Delta / (2 * math.sqrt(math.log(4 * N * L / Delta)))

caught = run.size(smoke=50, book=200)
exact = dc.denoisers.Bayes.fit(flat)
aim = flat[neighbour.indices[:caught]] - flat[:caught]
y = flat[:caught] + Delta / 4 * aim / aim.norm(dim=1, keepdim=True)
path = dc.noise.log_linear(60, sigma_c / 100, sigma_c).tolist()[:-1]
farthest, tightest = 0.0, 0.0
for sigma, sigma_next in pairwise(path):
    slope = (y - exact(y, sigma)) / sigma
    y = y + (sigma_next - sigma) * slope  # the exact flow is a straight line up to e^(-Δ²/4σ²)
    r = (y - flat[:caught]).norm(dim=1)
    weight = exact.posterior(y, sigma_next)[torch.arange(caught), torch.arange(caught)]
    farthest = max(farthest, (r / (Delta / 4)).max().item())
    tightest = max(tightest, (r / sigma_next / (Delta / (4 * sigma_c) + 0.25)).max().item())
    assert (1 - weight <= N * math.exp(-(Delta**2) / (4 * sigma_next**2))).all()
assert farthest <= 1
assert tightest <= 1
dc.runtime.report(
    copies_delta=f"{Delta:.2f}",
    copies_diameter=f"{L:.2f}",
    copies_critical=f"{sigma_c:.3f}",
    copies_farthest=f"{farthest:.2f}",
    copies_tightest=f"{tightest:.2f}",
)

# %% [markdown]
# For the digits $\Delta$ = {glue:text}`copies_delta` and $L$ = {glue:text}`copies_diameter`, so
# $\sigma_c$ = {glue:text}`copies_critical`. All trajectories stayed inside (the farthest at
# {glue:text}`copies_farthest` of the radius), and used up to {glue:text}`copies_tightest` of the
# bound on $\norm{y - x_i}/\sigma$.
#
# (sec-copies-basins)=
# ## A map of the basins
#
# The **basin** of a training point is the set of noisy starts that the flow carries to it. The
# theorem says that all basins have the same probability. It says nothing about their shape. In
# two dimensions we can draw them.
#
# Twelve training points A to L lie in the plane. The map colours each start $y$ at noise level
# $\sigma$ by the point where the flow from there ends. Coordinates are $y/\sqrt{1 + \sigma^2}$,
# the variance-preserving ones of {prf:ref}`prop-ve-vp`, so that the noisy data always fills the
# same window. Dots are the training points. Letters stand at the centre of gravity of their
# basin; thin lines are trajectories from there, each drawn in the coordinates of its own level,
# so that they end where the points stand at $\sigma = 0$. On the right: each basin's share of the
# *area* of the window (bars) and its share of the *probability* $p_\sigma$ (dots, from
# independent draws).

# %%
twelve = torch.tensor(
    [(-1.6, 0.9), (-1.2, 1.35), (-1.9, 0.3), (0.1, 1.5), (0.9, 0.7), (1.7, 1.4), (0.0, 0.2),
     (0.55, -0.35), (-0.45, -0.3), (-1.2, -1.3), (0.5, -1.6), (1.9, -0.8)]
)  # fmt: skip
twelve = (twelve - twelve.mean(0)) / twelve.std(0, unbiased=False)
LETTERS = "ABCDEFGHIJKL"
denoise_twelve = by_hand(twelve)


def descend(y, sigma, denoise=denoise_twelve, **options):
    """Follow the flow from level sigma to 0 in fine Heun steps."""
    fine = max(12, round(6 * math.log(sigma / 0.01)))
    return dc.sampling.heun(denoise, y, dc.noise.log_linear(fine, 0.01, sigma), **options)


def winners(y, sigma):
    return dc.metrics.nearest(descend(y, sigma), twelve)[1]


side, draws = run.size(smoke=30, book=110), run.size(smoke=400, book=4000)
axis = torch.linspace(-3, 3, side)
window = torch.cartesian_prod(axis, axis)[:, [1, 0]]  # lowest row first
basin_levels = [float(f"{s:.2g}") for s in dc.noise.log_linear(18, 0.05, 30.0)[:-1].tolist()]
generator = torch.Generator().manual_seed(run.seed + 1)
maps, nearest_now, starts, counts = {}, {}, {}, {}
for sigma in basin_levels:
    scale = math.sqrt(1 + sigma**2)
    maps[sigma] = winners(window * scale, sigma)
    nearest_now[sigma] = dc.metrics.nearest(window * scale, twelve)[1]
    chosen = torch.randint(12, (draws,), generator=generator)
    y = twelve[chosen] + sigma * torch.randn(draws, 2, generator=generator)
    won = winners(y, sigma)
    counts[sigma] = won.bincount(minlength=12)
    starts[sigma] = torch.stack([y[won == i].mean(0) for i in range(12)])
areas = {s: m.bincount(minlength=12).double() / len(m) for s, m in maps.items()}


# %% tags=["hide-input"] mystnb={"image": {"alt": "Left: the plane divided into twelve coloured basins, one for each training point, with thin trajectories. Right: bars of very different height for the basins' areas, and dots near one twelfth for their probabilities."}, "figure": {"caption": "Basins of twelve training points at noise level σ. At low σ they are the cells of the nearest point. At high σ the points near the middle keep small bounded cells, the outer points get sectors. Areas differ greatly; probabilities are all 1/12.", "name": "fig-copies-basins"}}
def draw_basins(sigma):
    scale = math.sqrt(1 + sigma**2)
    fine = max(12, round(6 * math.log(sigma / 0.01)))
    route = descend(starts[sigma], sigma, return_trajectory=True)
    shrink = (1 + dc.noise.log_linear(fine, 0.01, sigma) ** 2).sqrt()
    route = (route / shrink[:, None, None].float()).numpy()  # (steps + 1, 12, 2)
    area, mass = areas[sigma].numpy(), counts[sigma].numpy() / draws
    words = (
        f"At noise level {sigma:g} the basins take between {100 * area.min():.1f} and "
        f"{100 * area.max():.1f} % of the window's area, and between {100 * mass.min():.1f} and "
        f"{100 * mass.max():.1f} % of the probability."
    )
    place = starts[sigma] / scale
    return {
        "map": [
            marks.heat(maps[sigma].reshape(side, side).numpy(), (-3, 3, -3, 3), opacity=0.55),
            marks.line(route[..., 0].T, route[..., 1].T, color="ink", width=1, opacity=0.55),
            marks.points(twelve[:, 0] / scale, twelve[:, 1] / scale, color="data", size=2.5),
            *[marks.text(*(place[i] + 0.1).tolist(), LETTERS[i]) for i in range(12)],
        ],
        "share": [
            *[marks.bars([i], [100 * area[i]], color=f"cat{i}") for i in range(12)],
            marks.hline(100 / 12, color="law", label="1/12"),
            marks.points(range(12), 100 * mass, color="generated", size=4, label="probability"),
            *[marks.text(i, -1.1, LETTERS[i], anchor="middle") for i in range(12)],
        ],
        "alt": f"Map of twelve basins. {words}",
        "caption": words,
    }


Explorer.precomputed(
    draw_basins,
    [Slider("sigma", basin_levels[::-1], "noise level σ", format="g", start=0.5, play=True)],
    {
        "map": Panel("Where the flow ends", "y₁ / √(1+σ²)", "y₂ / √(1+σ²)", (-3, 3), (-3, 3),
                     aspect="equal"),
        "share": Panel("Share of area (bars) and of probability", "training point, A = 0 to L = 11", "per cent",
                       (-0.7, 11.7), (-2, 20)),
    },
    title="Basins of twelve training points",
)  # fmt: skip

# %% [markdown]
# **Test it.** At each of the noise levels the probabilities are measured with fresh, independent
# draws from $p_\sigma$. Summed over levels, Pearson's χ² of the counts against $1/12$ has a known
# law if the theorem is right. As a control, test the same counts against the areas.


# %%
def pearson(observed, expected):
    return ((observed - expected) ** 2 / expected).sum().item()


chi2 = sum(pearson(c, draws / 12) for c in counts.values())
p_equal = stats.chi2.sf(chi2, 11 * len(counts))
chi2_area = sum(pearson(c, draws * areas[s]) for s, c in counts.items())
p_area = stats.chi2.sf(chi2_area, 11 * len(counts))
low, high = basin_levels[-1], basin_levels[0]
agree = {s: (maps[s] == nearest_now[s]).double().mean().item() for s in basin_levels}
at_home = int((winners(twelve, high) == torch.arange(12)).sum())
assert p_equal > 1e-5
assert p_area < 1e-6
dc.runtime.report(
    copies_basin_chi2=f"{chi2:.0f} on {11 * len(counts)} degrees of freedom, p = {p_equal:.2f}",
    copies_basin_control=f"{chi2_area:.0f}",
    copies_area_least=f"{100 * areas[high].min():.1f} %",
    copies_area_most=f"{100 * areas[high].max():.1f} %",
    copies_voronoi_low=f"{100 * agree[low]:.1f} %",
    copies_voronoi_high=f"{100 * agree[high]:.0f} %",
    copies_own_basin=str(at_home),
    copies_sigma_low=f"{low:g}",
    copies_sigma_high=f"{high:g}",
)

# %% [markdown]
# Equal probabilities pass: χ² is {glue:text}`copies_basin_chi2`. Equal areas do not: the control
# has χ² = {glue:text}`copies_basin_control`. At $\sigma$ = {glue:text}`copies_sigma_high` the
# smallest basin takes {glue:text}`copies_area_least` of the window and the largest
# {glue:text}`copies_area_most`, and yet noise falls into both equally often.
#
# What do the shapes say?
#
# * **Low noise: nearest point.** At $\sigma$ = {glue:text}`copies_sigma_low` the flow goes to the
#   nearest training point from {glue:text}`copies_voronoi_low` of the window. The basins are the
#   Voronoi cells of the training points.
# * **High noise: not the nearest point.** At $\sigma$ = {glue:text}`copies_sigma_high` that is
#   true of {glue:text}`copies_voronoi_high` only. The map hardly changes any more when $\sigma$
#   grows. Points in the middle of the data own bounded cells around the origin. Points on the rim
#   own sectors that reach to infinity: there the *direction* of the noise decides.
# * **A basin need not contain its own point.** At $\sigma$ = {glue:text}`copies_sigma_high` only
#   {glue:text}`copies_own_basin` of the 12 training points lie in their own basin. Taken as starts
#   with no noise on them, all the others are carried to somebody else's place.
#
# (sec-copies-gaps)=
# ## Two gaps between theorem and program
#
# A program differs from the theorem twice. It starts from pure noise and not from
# $p_{\sigma_{\max}}$. And it takes finitely many steps. Neither changes *what* is generated. Both
# change *how often*.
#
# ### The start
#
# {prf:ref}`prop-start` bounds the effect of a wrong start for every target. For a finite training
# set the distance between the two starting laws can be had more exactly, and the result tells us
# what to do about it. Total variation, $\mathrm{TV}$, is the largest difference that two laws can
# show in the probability of any event.
#
# ```{prf:proposition} A start from pure noise
# :label: prop-finite-sigma-max
# Start the exact flow from $\normal(m, \sigma_{\max}^2 I)$, for any $m$. With probability one it
# still converges to a training point. The probabilities $q_1, \dots, q_N$ of the training points
# satisfy
#
# $$\begin{aligned} \frac12 \sum_{i=1}^N \Big|q_i - \frac1N\Big|
# &\le \mathrm{TV}\big(\normal(m, \sigma_{\max}^2 I),\, p_{\sigma_{\max}}\big) \\
# &\le \frac12 \sqrt{ \frac1{N^2} \sum_{i,j=1}^N
# e^{(x_i - m) \cdot (x_j - m) / \sigma_{\max}^2} - 1 } . \end{aligned}$$
#
# Let $\mu$ and $\Sigma$ be the mean and the covariance of the training set. For large
# $\sigma_{\max}$ the right-hand side is $\norm{\mu - m} / (2\sigma_{\max})$ to leading order, and
# for $m = \mu$ it is $\norm{\Sigma}_F / (2\sqrt2\, \sigma_{\max}^2)$.
# ```
#
# ```{prf:proof}
# A Gaussian has a density, and so has $p_{\sigma_{\max}}$, positive everywhere. Hence what has
# probability zero under one has probability zero under the other, and
# {prf:ref}`thm-perfect-copies` gives the first claim. The flow maps both starts by the same map,
# and the event "ends at a point of the set $A$" is an event about the start. So its two
# probabilities differ by at most the total variation distance $\mathrm{TV}$ of the starts. The
# largest difference over $A$ is the sum on the left.
#
# For the second inequality write $q$ for the density of $\normal(m, \sigma_{\max}^2 I)$ and $p$
# for $p_{\sigma_{\max}}$. By Cauchy and Schwarz
#
# $$\mathrm{TV} = \frac12 \int \Big| \frac pq - 1 \Big|\, q \;\le\; \frac12 \Big( \int \frac{p^2}{q} -
# 1 \Big)^{1/2} .$$
#
# In $p^2$ each pair $(i, j)$ gives a Gaussian integral. With $a = x_i - m$, $b = x_j - m$ and
# $z = y - m$ the exponent (write $\sigma$ for $\sigma_{\max}$) is
#
# $$-\frac{\norm{z - a}^2 + \norm{z - b}^2 - \norm{z}^2}{2\sigma^2} =
# -\frac{\norm{z - a - b}^2}{2\sigma^2} + \frac{a \cdot b}{\sigma^2},$$
#
# so the integral is $e^{a \cdot b/\sigma^2}$.
#
# Expand the exponential. The first-order term is
#
# $$\frac{1}{N^2} \sum_{i,j} \frac{(x_i - m) \cdot (x_j - m)}{\sigma^2} =
# \frac{\norm{\mu - m}^2}{\sigma^2} .$$
#
# If $m = \mu$ it vanishes, and the second is
#
# $$\frac{1}{N^2} \sum_{i,j} \frac{((x_i - \mu) \cdot (x_j - \mu))^2}{2\sigma^4} =
# \frac{\norm{\Sigma}_F^2}{2\sigma^4} .$$
# ```
#
# The message: **start from noise around the mean image.** It costs one addition and squares the
# small number.


# %%
def start_bound(points, m, sigma_max):
    """The right-hand side of the proposition."""
    z = (points - m).double()
    return 0.5 * torch.expm1(z @ z.T / sigma_max**2).mean().sqrt().item()


mean_image = x.mean(0)
bound_zero = start_bound(flat, 0.0, 80.0)
bound_mean = start_bound(flat, flat.mean(0), 80.0)
dc.runtime.report(
    copies_tv_zero=f"{bound_zero:.4f}",
    copies_tv_mean=f"{bound_mean:.1e}",
    copies_tv_general=f"{flat.square().sum(1).mean().sqrt().item() / 160:.4f}",
)

# %% [markdown]
# For the digits and $\sigma_{\max} = 80$: starting around the origin, no event's probability is
# wrong by more than {glue:text}`copies_tv_zero` (the general {prf:ref}`prop-start` says
# {glue:text}`copies_tv_general`). Starting around the mean image, by no more than
# {glue:text}`copies_tv_mean`. From now on this chapter starts there.
#
# Is the bound any good? The figure moves the twelve points off the origin and measures the
# left-hand side for several $\sigma_{\max}$.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Distance from the uniform law against starting noise level, both axes logarithmic. Measured points lie below two bounds: one falls with slope minus one, the other with slope minus two, until both reach the floor of sampling error."}, "figure": {"caption": "How far the generated probabilities are from 1/12 when the flow starts from pure noise. Lines: the bound of the proposition. Points: measured. Below the grey line the measurement sees only its own sampling error.", "name": "fig-copies-start"}}
moved = twelve + torch.tensor([1.5, 1.0])
many = run.size(smoke=1_000, book=10_000)
start_levels = [0.7, 1.0, 1.5, 2.5, 4.0, 7.0, 12.0, 25.0]
measured_tv = {"origin": [], "mean": []}
for sigma in start_levels:
    noise = sigma * torch.randn(many, 2, generator=generator)
    for name, m in (("origin", torch.zeros(2)), ("mean", moved.mean(0))):
        ends = descend(m + noise, sigma, by_hand(moved))
        share = dc.metrics.nearest(ends, moved)[1].bincount(minlength=12) / many
        measured_tv[name].append(0.5 * (share - 1 / 12).abs().sum().item())
floor = 0.5 * math.sqrt(2 * 11 / (math.pi * many))  # mean under exactly equal probabilities
# More than this is added with probability below 10⁻⁶ (Cauchy-Schwarz, bounded differences).
noise_most = 0.5 * math.sqrt(11 / many) + math.sqrt(math.log(1e6) / (2 * many))

fine = np.geomspace(start_levels[0], start_levels[-1], 60)
fig, ax = plt.subplots(figsize=(6.4, 3.3))
for name, m, color, words in (
    ("origin", torch.zeros(2), COLORS["warning"], "noise around the origin"),
    ("mean", moved.mean(0), COLORS["law"], "noise around the mean"),
):
    bound = [min(1.0, start_bound(moved, m, s)) for s in fine]
    ax.loglog(fine, bound, color=color)
    ax.loglog(start_levels, measured_tv[name], "o", color=color, label=words)
    for s, value in zip(start_levels, measured_tv[name], strict=True):
        assert value <= min(1.0, start_bound(moved, m, s)) + noise_most
ax.axhline(floor, color=COLORS["noise"], lw=1, ls="--")
ax.text(fine[0], floor * 1.08, "sampling error", color=COLORS["noise"], va="bottom", fontsize=9)
ax.set(
    xlabel="starting noise level $\\sigma_{\\max}$",
    ylabel="distance from uniform",
    ylim=(2e-3, 1.2),
)
ax.legend(loc="upper right")
plt.show()

# %% [markdown]
# Down to the sampling error the measured distances follow the bounds with the predicted slopes, a
# factor of a few below. Were the bound wrong by a power of $\sigma_{\max}$, the points would cross it.
#
# ### The steps
#
# The last step of every sampler in this book goes to $\sigma = 0$. There it returns the
# denoiser's answer, $y_K = D_{\sigma_{K-1}}(y_{K-1})$. That alone forces the copy, whatever
# happened before.
#
# ```{prf:corollary} The last step copies
# :label: cor-last-step
# Let $y$ be any point and $\sigma > 0$. If $x_i$ is the training point nearest to $y$, and all
# others are farther by the margin
#
# $$g = \min_{j \ne i} \norm{y - x_j}^2 - \norm{y - x_i}^2 > 0,$$
#
# then the last step from $y$ ends at
#
# $$\norm{D_\sigma(y) - x_i} \;\le\; (N - 1)\, L\, e^{-g / 2\sigma^2} .$$
#
# This holds for every schedule and for every sampler whose last step returns the denoiser's
# answer, random ones included.
# ```
#
# ```{prf:proof}
# For $j \ne i$, the margin says that $w_j \le w_j/w_i \le e^{-g/2\sigma^2}$. So
#
# $$\norm{D_\sigma(y) - x_i} = \Big\lVert \sum_{j \ne i} w_j (x_j - x_i) \Big\rVert
# \le (N - 1)\, L\, e^{-g/2\sigma^2} .$$
# ```
#
# The bound fails to be tiny only within a thin layer around the walls between nearest-point
# cells. With $\sigma = 0.002$ before the last step, that layer is far thinner than anything a
# sample is likely to hit.
#
# (sec-copies-certificate)=
# ## The certificate
#
# Now the theorem against real digits. Draw starting noise around the mean image, take Heun steps,
# and ask `law.agreement` three questions: Is every sample one of the training images, to an error
# of $10^{-3}$ a pixel (root mean square)? Are the counts compatible with equal probabilities? Is
# the number of training images never seen what chance would leave?

# %%
per_image = run.size(smoke=20, book=10)
n = per_image * N
start = mean_image + dc.sampling.initial_noise(n, (1, 8, 8), seed=run.seed + 2)
sigmas = dc.noise.karras(20)
for step in dc.sampling.steps(perfect, start, sigmas, second_order=True):
    if step.sigma_next > 0:
        before = step.y  # kept for a look at the last step
samples, last_sigma = step.y, step.sigma
law = perfect.law(sigmas)
report = law.agreement(samples, alpha=1e-4)  # a true law fails once in ten thousand runs
assert report.ok
report

# %% [markdown]
# Before we believe it, the test must be able to fail. Two machines that do not obey the law: the
# **linear** denoiser, which does not copy, and a perfect denoiser of a training set in which
# every image of the digit 8 was put **twice**, which copies with the wrong probabilities.

# %%
linear = dc.denoisers.Affine.fit(x)
doubled = dc.denoisers.Bayes.fit(torch.cat([x, x[digits.labels == 8]]))
wrong = {
    name: law.agreement(dc.sampling.heun(denoise, start[: n // 2], sigmas), alpha=1e-4)
    for name, denoise in (("linear", linear), ("doubled", doubled))
}
assert not wrong["linear"].ok
assert not wrong["doubled"].ok
assert wrong["doubled"]["largest RMS distance to an atom"].ok  # it copies, only unevenly
print(wrong["linear"], wrong["doubled"], sep="\n\n")

# %% tags=["hide-input"]
distances, indices = dc.metrics.nearest(samples, x)
hits = indices.bincount(minlength=N)
order = indices.tolist()
first_seen = np.full(N, n)
first_seen[order[::-1]] = np.arange(n)[::-1]  # the earliest sample that shows each image
exponent = math.inf  # the smallest g/2σ² of a sample before the last step
for part in before.flatten(1).double().split(2000):
    squares = torch.cdist(part, flat, compute_mode="donot_use_mm_for_euclid_dist").square()
    first, second = squares.topk(2, largest=False).values.unbind(1)
    exponent = min(exponent, ((second - first) / (2 * last_sigma**2)).min().item())
dc.runtime.report(
    copies_samples=f"{n:,}",
    copies_images=f"{N:,}",
    copies_max_distance=f"{distances.max().item() / 8:.1g}",
    copies_chi2=f"{report['counts, χ²'].value:.0f}",
    copies_dof=f"{N - 1}",
    copies_p=f"{report['counts, χ²'].p_value:.2f}",
    copies_seen=f"{int((hits > 0).sum()):,}",
    copies_expected_seen=f"{N * (1 - (1 - 1 / N) ** n):,.1f}",
    copies_exponent=f"{exponent:.0f}",
    copies_last_bound="10"
    + f"{(math.log((N - 1) * L) - exponent) / math.log(10):.0f}".translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    ),
    copies_linear_distance=f"{wrong['linear']['largest RMS distance to an atom'].value:.2f}",
    copies_doubled_chi2=f"{wrong['doubled']['counts, χ²'].value:.0f}",
)

# %% [markdown]
# All {glue:text}`copies_samples` samples are training images; the largest error is
# {glue:text}`copies_max_distance`. The counts have χ² = {glue:text}`copies_chi2` on
# {glue:text}`copies_dof` degrees of freedom (p = {glue:text}`copies_p`). {glue:text}`copies_seen`
# of the {glue:text}`copies_images` images appeared; {glue:text}`copies_expected_seen` were
# expected. The linear machine fails the first question (largest distance
# {glue:text}`copies_linear_distance`), the doubled one passes it and fails the second (χ² =
# {glue:text}`copies_doubled_chi2`).
#
# {prf:ref}`cor-last-step` explains why the copies are so exact. Over all samples the smallest
# exponent $g/2\sigma^2$ before the last step was {glue:text}`copies_exponent`, so the last step's
# error is below {glue:text}`copies_last_bound`: far less than a single-precision number can show.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Twelve generated digits above the twelve training images nearest to them. Each pair is identical."}, "figure": {"caption": "Above: twelve samples of the perfect denoiser, as they came. Below: the nearest training image of each.", "name": "fig-copies-pairs"}}
fig, axes = plt.subplots(2, 1, figsize=(7.2, 1.75))
dc.style.image_grid(samples[:12], columns=12, ax=axes[0], title="generated")
dc.style.image_grid(x[indices[:12]], columns=12, ax=axes[1], title="nearest in the training set")
plt.show()

# %% tags=["hide-input"] mystnb={"image": {"alt": "Left: histogram of how often each training image was generated, with the Poisson-like curve of equal probabilities on top; they agree. Right: number of different training images seen minus the number expected, against number of samples; the curve stays inside the predicted band."}, "figure": {"caption": "Left: how often each training image was generated (bars), and what equal probabilities predict (dots). Right: how many different training images the first n samples showed, less the number that drawing with replacement predicts, in a band of ± 3 standard deviations.", "name": "fig-copies-counts"}}
fig, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.1))
k = np.arange(hits.max().item() + 2)
left.bar(k, np.bincount(hits.numpy(), minlength=len(k)), color=COLORS["generated"], alpha=0.8)
left.plot(
    k, N * stats.binom.pmf(k, n, 1 / N), "o", color=COLORS["law"], label="equal probabilities"
)
left.set(xlabel="times generated", ylabel="training images")
left.set_ylim(top=1.25 * left.get_ylim()[1])
left.legend(loc="upper right", handletextpad=0)

drawn = np.unique(np.geomspace(10, n, 80).astype(int))
p_none, p_two = (1 - 1 / N) ** drawn, (1 - 2 / N) ** drawn
expected = N * (1 - p_none)
sd = np.sqrt(np.maximum(N * p_none + N * (N - 1) * p_two - (N * p_none) ** 2, 0))
right.fill_between(drawn, -3 * sd, 3 * sd, color=COLORS["law"], alpha=0.25, lw=0)
right.plot(drawn, [(first_seen < m).sum() for m in drawn] - expected, color=COLORS["generated"])
right.text(drawn[0], 4, "predicted ± 3 sd", color=COLORS["law"])
right.set(xscale="log", xlabel="samples", ylabel="images seen, minus expected")
plt.show()

# %% [markdown]
# ### How often: the price of few steps
#
# Each training image's true probability under a coarse sampler is some $q_i$ near $1/N$. The χ²
# statistic estimates how near. Its mean is $N - 1 + (n - 1)\, e^2$, where $e$ is the
# root-mean-square *relative error* of the probabilities, $e^2 = \frac1N \sum_i (N q_i - 1)^2$.
# Turn that around and every run gives an estimate of $e$.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Relative error of the generation probabilities against the number of denoiser calls for DDIM and Heun. Both fall; Heun falls much faster and reaches the measurement's noise at about twenty to thirty-five calls."}, "figure": {"caption": "Root-mean-square relative error of the N generation probabilities, against the cost of a sample. Every sample at every point of this figure is an exact copy. Open symbols: not distinguishable from equal probabilities.", "name": "fig-copies-steps"}}
fewer = run.size(smoke=10, book=5) * N
noise = mean_image + dc.sampling.initial_noise(fewer, (1, 8, 8), seed=run.seed + 3)
trials = [("DDIM", k) for k in (3, 5, 10, 20, 40)] + [("Heun", k) for k in (3, 5, 9, 18)]
price = {}
for name, steps in trials:
    sampler = dc.sampling.ddim if name == "DDIM" else dc.sampling.heun
    ends = sampler(perfect, noise, dc.noise.karras(steps))
    gap, index = dc.metrics.nearest(ends, x)
    tally = index.bincount(minlength=N)
    excess = (pearson(tally, fewer / N) - (N - 1)) / (fewer - 1)
    spread = math.sqrt(2 * (N - 1) + 4 * fewer * max(excess, 0)) / fewer
    calls = steps if name == "DDIM" else 2 * steps - 1
    price[name, steps] = (calls, excess, spread, gap.max().item() / 8, tally)

fig, ax = plt.subplots(figsize=(6.4, 3.3))
for name, color, marker in (("DDIM", COLORS["generated"], "o"), ("Heun", COLORS["denoiser"], "s")):
    rows = [v for (sampler, _), v in price.items() if sampler == name]
    calls = [row[0] for row in rows]
    centre = np.sqrt([max(row[1], row[2] / 4) for row in rows])
    upper = np.sqrt([max(row[1], 0) + 2 * row[2] for row in rows])
    lower = np.sqrt([max(row[1] - 2 * row[2], 1e-4) for row in rows])
    ax.loglog(calls, centre, color=color, lw=1)
    ax.errorbar(calls, centre, [centre - np.minimum(lower, centre), upper - centre], fmt="none",
                ecolor=color, lw=1)  # fmt: skip
    for c, e, row in zip(calls, centre, rows, strict=True):
        seen = row[1] > 2 * row[2]
        ax.plot(c, e, marker, color=color, mfc=color if seen else COLORS["panel"], ms=6)
    ax.annotate(name, (calls[0], centre[0]), (8, 2), textcoords="offset points", color=color)
ax.set(xlabel="denoiser calls per sample", ylabel="relative error of probabilities")
ax.set_xticks([3, 5, 10, 20, 40], ["3", "5", "10", "20", "40"])
ax.minorticks_off()
plt.show()

# %% tags=["hide-input"]
from_mean = (x - mean_image).flatten(1).norm(dim=1)
tenth = N // 10
by_distance = price["DDIM", 10][4][from_mean.argsort()].double() / (fewer / N)
largest_gap = max(row[3] for row in price.values())
assert largest_gap <= 1e-3
p_ten = stats.chi2.sf(pearson(price["DDIM", 10][4], fewer / N), N - 1)
assert p_ten < 1e-3
dc.runtime.report(
    copies_steps_gap=f"{largest_gap:.1g}",
    copies_ddim_3=f"{100 * math.sqrt(price['DDIM', 3][1]):.0f} %",
    copies_ddim_10=f"{100 * math.sqrt(price['DDIM', 10][1]):.0f} %",
    copies_ddim_40=f"{100 * math.sqrt(max(price['DDIM', 40][1], 0)):.0f} %",
    copies_ddim_3_seen=f"{int((price['DDIM', 3][4] > 0).sum()):,}",
    copies_resolution=f"{100 * math.sqrt(2 * price['Heun', 18][2]):.0f} %",
    copies_near_mean=f"{by_distance[:tenth].mean().item():.2f}",
    copies_far_mean=f"{by_distance[-tenth:].mean().item():.2f}",
)

# %% [markdown]
# Even with three DDIM steps all samples are copies (largest error in the whole figure:
# {glue:text}`copies_steps_gap`). But their probabilities are wrong by {glue:text}`copies_ddim_3`,
# and only {glue:text}`copies_ddim_3_seen` different images appear in as many samples as Heun
# needs to show nearly all. With ten steps the error is {glue:text}`copies_ddim_10`. Which images
# profit? Those near the mean: with ten DDIM steps the tenth of the training set nearest to the
# mean image is generated {glue:text}`copies_near_mean` times as often as it should be, the
# farthest tenth {glue:text}`copies_far_mean` times. Coarse steps generate too little variance
# ({doc}`04_linear` says exactly how much), so trajectories enter the last stretch too close to
# the middle. With Heun's 18 steps nothing is visible any more at this number of samples (it would
# show an error above {glue:text}`copies_resolution`).
#
# ```{admonition} What would make this false?
# :class: warning
# A test at $n$ samples cannot see deviations much below $\sqrt[4]{2N}/\sqrt{n}$ in relative
# terms. So the certificate does not prove $q_i = 1/N$ for Heun's 20 steps; the proof does, for
# the exact flow. What the certificate would have caught: any sample off the training set by more
# than $10^{-3}$, a doubled class, the linear denoiser, ten DDIM steps. We have seen it catch all
# of them.
# ```
#
# (sec-copies-commit)=
# ## When is the winner decided?
#
# The choice among the candidates is spread over the whole trajectory, but not evenly. Say that a
# sample **commits** at the largest $\sigma$ below which one training image always has posterior
# weight above 0.99. And ask how early one could have *bet* on the winner: at level $\sigma$, put
# your money on the image with the largest weight.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two S-shaped curves against noise level, which decreases to the right. The share of samples whose leading candidate is the final winner rises to one from a share at high noise that is far above chance; the share of committed samples rises from zero to one within a factor of a few around noise level 0.5."}, "figure": {"caption": "The decision, over samples of the perfect denoiser on the digits. Time runs to the right, as noise falls. The leader wins earlier than it is certain of winning.", "name": "fig-copies-commit"}}
followed = run.size(smoke=200, book=600)
fine_levels = dc.noise.log_linear(40, 0.05, 80.0)
track = dc.sampling.heun(perfect, start[:followed], fine_levels, return_trajectory=True)
winner = dc.metrics.nearest(track[-1], x)[1]
leads, certain = [], []
for y, sigma in zip(track[:-1], fine_levels.tolist(), strict=False):
    weight, leader = perfect.posterior(y, sigma).max(1)
    leads.append((leader == winner).double().mean().item())
    certain.append((weight > 0.99) & (leader == winner))
lead = N * perfect.posterior(track[0], 80.0).amax(1).median().item()
# Committed from here on: certain now and at all lower levels.
committed = torch.stack(certain).flip(0).cumprod(0).flip(0).double()  # (levels, samples)
commit_level = fine_levels[(committed == 0).sum(0).clamp(max=len(fine_levels) - 2).long()]
share = committed.mean(1).tolist()
early, typical, late = np.quantile(commit_level.numpy(), [0.95, 0.5, 0.05])

fig, ax = plt.subplots(figsize=(6.6, 3.2))
ax.semilogx(fine_levels[:-1], leads, color=COLORS["denoiser"])
ax.semilogx(fine_levels[:-1], share, color=COLORS["generated"])
ax.axvspan(late, early, color=COLORS["generated"], alpha=0.12, lw=0)
ax.axvline(sigma_c, color=COLORS["noise"], lw=1, ls="--")
ax.text(sigma_c, 1.04, "$\\sigma_c$", color=COLORS["noise"], ha="center")
ax.text(60, leads[0] + 0.08, "the leader will win", color=COLORS["denoiser"])
ax.text(typical * 1.35, 0.12, "committed", color=COLORS["generated"])
ax.set(xlabel="noise level σ (falling)", ylabel="share of samples", xlim=(80, 0.05), ylim=(0, 1.12))
plt.show()
dc.runtime.report(
    copies_commit=f"{typical:.2f}",
    copies_commit_early=f"{early:.2f}",
    copies_commit_late=f"{late:.2f}",
    copies_leader_start=f"{100 * leads[0]:.0f} %",
    copies_lead=f"{lead:.2f}",
    copies_chance=f"{100 / N:.2g} %",
    copies_neighbour=f"{neighbour.values.median().item():.2f}",
    copies_commit_ratio=f"{neighbour.values.median().item() / typical:.1f}",
)

# %% [markdown]
# Half of the samples have committed by $\sigma$ = {glue:text}`copies_commit`, and nine in ten do
# so between {glue:text}`copies_commit_early` and {glue:text}`copies_commit_late`. The scale is
# set by the data: the median distance from a training image to its nearest neighbour is
# {glue:text}`copies_neighbour`, about {glue:text}`copies_commit_ratio` times the median
# commitment level. Our lemma's $\sigma_c$ comes later; it had to serve the worst pair of points.
# Above that band the denoiser still blends many images, and below it the sampler only removes
# noise from a decided copy. {cite:t}`biroli2024dynamical` analyse this transition, which they
# call *collapse*, for large data sets in high dimension.
#
# The other curve is the surprise. At $\sigma = 80$ the weights are almost equal (the largest is
# typically {glue:text}`copies_lead`/$N$), and yet the leader already wins in
# {glue:text}`copies_leader_start` of the cases. Pure chance would be {glue:text}`copies_chance`.
# The flow is deterministic; the noise *is* the decision, and the weights merely take time to show
# it.
#
# (sec-copies-batches)=
# ## A warning: averaging over mini-batches
#
# A large training set does not fit in memory at once. It is tempting to stream it in
# mini-batches, compute the softmax answer of each batch, and average the answers. This is how
# training losses are handled, so it looks harmless. It is a different denoiser, and it does not
# copy.
#
# Cut the training set into $B$ batches of equal size, and let $D^{(b)}_\sigma$ be the perfect
# denoiser of batch $b$. The average is $\bar D_\sigma = \frac1B \sum_b D^{(b)}_\sigma$.
#
# ```{prf:proposition} Averaged batches blend
# :label: prop-minibatch-average
# 1. The perfect denoiser of the whole set is a *weighted* average,
#    $D_\sigma = \sum_b W_b\, D^{(b)}_\sigma$, with $W_b = Z_b / \sum_c Z_c$ and
#    $Z_b = \sum_{i \in b} e^{-\norm{y - x_i}^2/2\sigma^2}$.
# 2. Let $x_{i_b}$ be the point of batch $b$ nearest to $y$, nearer than all others of its batch
#    by a margin of at least $g > 0$ in squared distance, in every batch. Then
#    $\norm{\bar D_\sigma(y) - a} \le N L\, e^{-g/2\sigma^2}$, where $a = \frac1B \sum_b x_{i_b}$
#    is the average of $B$ training points, one from each batch.
# 3. Let $x_k$ be a training point that has one nearest point in every batch, and let their
#    average $a$ be different from $x_k$. Then no trajectory of the flow with $\bar D_\sigma$
#    converges to $x_k$. For $B = 2$ the average always is different.
# ```
#
# ```{prf:proof}
# *1.* In {eq}`eq-copies-denoiser` collect numerator and denominator by batches: the sum over
# batch $b$ in the numerator is $Z_b D^{(b)}_\sigma$.
#
# *2.* By {prf:ref}`cor-last-step`, applied to each batch,
# $\norm{D^{(b)}_\sigma(y) - x_{i_b}} \le N L e^{-g/2\sigma^2}$. Average over $b$.
#
# *3.* Distances are continuous, so the nearest points and half the margin serve a whole
# neighbourhood of $x_k$. There, by 2, $\bar D_\sigma \to a$ uniformly as $\sigma \to 0$. Suppose
# that $y(\sigma) \to x_k$. In the time $\tau = -\ln \sigma$, which runs to infinity, the flow
# reads $\mathrm{d}y/\mathrm{d}\tau = \bar D_\sigma(y) - y \to a - x_k \ne 0$. A velocity that
# tends to a non-zero constant carries $y$ infinitely far, which contradicts convergence. For
# $B = 2$: the point of $x_k$'s own batch nearest to it is $x_k$ itself, the other batch gives
# some $x' \ne x_k$, and $a = (x_k + x')/2$.
# ```
#
# Part 1 shows the mistake: $1/B$ stands where $W_b$ belongs. The two agree when every batch
# explains $y$ equally well, which is true at high noise and false at low noise, exactly where
# copies are made. Now measure it: same starting noise, same steps, same images, and only the
# number of batches changes.


# %%
def averaged(batches):
    """The wrong denoiser: every batch's answer counts the same."""
    parts = [dc.denoisers.Bayes.fit(batch) for batch in batches]
    return lambda y, sigma: sum(part(y, sigma) for part in parts) / len(parts)


batch_counts = run.size(smoke=[1, 2, 4, 8], book=[1, 2, 4, 8, 16, 32])
whole = x[: N - N % batch_counts[-1]]  # equal batches
noise = mean_image + dc.sampling.initial_noise(
    run.size(smoke=50, book=400), (1, 8, 8), seed=run.seed + 4
)
batched = {}
for B in batch_counts:
    batches = whole.chunk(B)
    for step in dc.sampling.steps(averaged(batches), noise, dc.noise.karras(18), second_order=True):
        if step.sigma_next > 0:
            before = step.y  # the last step averages what is nearest to this, batch by batch
    ends = step.y
    blend = torch.stack([b[dc.metrics.nearest(before, b)[1]] for b in batches]).mean(0)
    batched[B] = {
        "ends": ends,
        "copied": dc.metrics.copied_fraction(ends, whole, interval=0.95),
        "distance": dc.metrics.nearest(ends, whole)[0].median().item() / 8,
        "third": (dc.metrics.neighbour_ratio(ends, whole) < 1 / 3).double().mean().item(),
        "blend": ((ends - blend).flatten(1).norm(dim=1) <= 8e-3).double().mean().item(),
    }
assert batched[1]["copied"].value == 1
assert all(row["copied"].high < 0.1 for B, row in batched.items() if B > 1)
assert batched[2]["blend"] > 0.9
print("batches   copied   d₁/d₂ < 1/3   distance   blend of one per batch")
for B, row in batched.items():
    shares = f"{row['copied'].value:9.1%}{row['third']:14.1%}"
    print(f"{B:7d}{shares}{row['distance']:11.3f}{row['blend']:25.1%}")

# %% tags=["hide-input"]
real = neighbour.values.median().item() / 8
many_batches = batch_counts[-1]
dc.runtime.report(
    copies_batch_one=f"{100 * batched[1]['copied'].value:.0f} %",
    copies_batch_two=f"{100 * batched[2]['copied'].value:.1f} %",
    copies_batch_two_high=f"{100 * batched[2]['copied'].high:.1f} %",
    copies_batch_two_distance=f"{batched[2]['distance']:.2f}",
    copies_batch_two_blend=f"{100 * batched[2]['blend']:.1f} %",
    copies_batch_many=str(many_batches),
    copies_batch_many_distance=f"{batched[many_batches]['distance']:.2f}",
    copies_batch_many_blend=f"{100 * batched[many_batches]['blend']:.0f} %",
    copies_real_distance=f"{real:.2f}",
)

# %% [markdown]
# The column $d_1/d_2 < 1/3$ is a looser test of copying, common in the literature
# {cite:p}`yoon2023diffusion`: the nearest training image is three times nearer than the second.
# The distance is the median to the nearest training image, per pixel.
#
# One batch: {glue:text}`copies_batch_one` copies. Two batches: {glue:text}`copies_batch_two` (at
# most {glue:text}`copies_batch_two_high`, the upper end of a 95 % interval). Nothing was learned,
# no noise was added, no architecture restricted. A loop was cut in half.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Rows of generated digits for growing numbers of batches, from the same noise. The first row shows crisp digits, the second crisp double exposures, later rows ever smoother digit-like blends."}, "figure": {"caption": "Samples from the same noise with the average over B mini-batches. B = 1 is the perfect denoiser. The blends look new, smooth and plausible.", "name": "fig-copies-blends"}}
rows = [B for B in (1, 2, 4, 8, 32) if B in batched]
fig, axes = plt.subplots(len(rows), 1, figsize=(6.6, 0.82 * len(rows)))
for ax, B in zip(axes, rows, strict=True):
    dc.style.image_grid(batched[B]["ends"][:12], columns=12, ax=ax, title=f"B = {B}")
    ax.title.set_fontsize(9)
plt.show()

# %% [markdown]
# The samples look new, and judged by their distance from the training set they are: at $B = 2$
# the median distance to the nearest training image is {glue:text}`copies_batch_two_distance` a
# pixel, at $B$ = {glue:text}`copies_batch_many` it is {glue:text}`copies_batch_many_distance`.
# (Two neighbouring training images differ by {glue:text}`copies_real_distance`.) But they are
# averages. {glue:text}`copies_batch_two_blend` of the samples with two batches are, to $10^{-3}$
# a pixel, the mean of two training images: in each batch the one nearest to the state before the
# last step, as part 2 of the proposition says. For $B$ = {glue:text}`copies_batch_many` and as many
# images the share is {glue:text}`copies_batch_many_blend`.
#
# ```{admonition} Why this deserves a warning
# :class: warning
# The average over mini-batch softmaxes occurs in published research code: we read it in the class
# `WeightedStreamingSoftmax` of the code that accompanies {cite:t}`lukoianov2025locality`
# (revision 48d6995), and a milder relative, a short last batch that counts like a full one, in
# the code of {cite:t}`kamb2024analytic` (revision 6a87f3f). Both are exact when all data is in
# one batch. We have not repeated those papers' experiments and claim nothing about their results.
# The lesson is for experiments to come: **before you credit an architecture with novelty, check
# that the same program without the architecture copies.** The repair is one line, and
# {ref}`ex-03-merge` asks for it.
# ```
#
# (sec-copies-not)=
# ## What the theorem does not say
#
# * **It does not say that trained networks copy.** A network would copy if it *reached* the
#   minimum of its loss on the training set. Real networks do not reach it: they have limited
#   capacity, a particular architecture, and training that stops. The theorem turns the question
#   round. Novelty is a *failure to be optimal on the training set*, and the question is which
#   failure makes good images. The remaining chapters take architectures one by one.
# * **It does not say that optimal denoising is the wrong goal.** The perfect denoiser of the
#   *population*, of all digits that people might write, generates new digits with the right law:
#   that is {prf:ref}`thm-probability-flow`. The culprit is the finite sample.
# * **It does not depend on the sampler.** Random samplers change which noise leads where, few
#   steps change the probabilities, and neither changes the set of possible outputs
#   ({prf:ref}`cor-last-step`). A sampler that stops early, at $\sigma_{\min} > 0$ and without a
#   last step, gives copies plus noise.
# * **It is about exact copies.** It says nothing about style, parts or ideas taken from training
#   images. Those are what {doc}`08_factorised_and_equivariant` and
#   {doc}`09_local_patches` are about.
#
# The stochastic counterpart, and conditions under which an *approximate* score still ends on the
# training set, are studied by {cite:t}`pidstrigach2022score`.
#
# ## Exercises
#
# The checks print a verdict. Fill in the stub, remove the `#` in front of the check, and run the
# cell.
#
# ```{exercise} A softmax that survives
# :label: ex-03-softmax
# `torch.softmax` hides a trap. Write the perfect denoiser with nothing but `exp`, sums and
# products, for `y` (n, d) and `x` (N, d), so that it works at $\sigma = 0.002$ and for $y$ far
# from all data. What happens to $e^{-\norm{y - x_i}^2/2\sigma^2}$ there in single precision? What
# may be added to all exponents of one $y$ without changing the weights?
# ```


# %%
def softmax_denoiser(y, x, sigma): ...  # your code


# dc.exercises.check_softmax_denoiser(softmax_denoiser)

# %% [markdown]
# ````{solution-start} ex-03-softmax
# :label: sol-03-softmax
# :class: dropdown
# ````
#
# All exponents are large and negative, every exponential underflows to 0, and 0/0 is not a
# number. Weights do not change when a constant is added to all exponents of one $y$. Add the one
# that makes the largest exponent 0: then the sum is at least 1. (The constant belongs to the row.
# One constant for the whole batch saves only the luckiest $y$.)


# %%
def official_softmax_denoiser(y, x, sigma):
    exponents = -(y[:, None] - x).square().sum(-1) / (2 * sigma**2)  # (n, N)
    weights = torch.exp(exponents - exponents.amax(1, keepdim=True))
    return (weights / weights.sum(1, keepdim=True)) @ x


assert dc.exercises.check_softmax_denoiser(official_softmax_denoiser)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} Two points
# :label: ex-03-two-points
# The training set is $\{a, b\}$. Write a function that says, without following the flow, where it
# ends from `y` (n, d): 0 for $a$, 1 for $b$. Prove that the answer is the same at every noise
# level. For twelve points {numref}`fig-copies-basins` shows that it is not: where does your proof
# use that there are only two?
# ```


# %%
def winner_of_two(y, a, b): ...  # your code


# dc.exercises.check_two_points(winner_of_two)

# %% [markdown]
# ````{solution-start} ex-03-two-points
# :label: sol-03-two-points
# :class: dropdown
# ````
#
# The nearest point wins. Put the origin half-way, so that $a = -c$, $b = c$, and let
# $s = y \cdot c$. The weights depend on $y$ through $s$ only, and
# $D_\sigma(y) = c \tanh(s/\sigma^2)$. So $s$ obeys an equation of its own,
# $\mathrm{d}s/\mathrm{d}\sigma = (s - \norm{c}^2 \tanh(s/\sigma^2))/\sigma$. It has the solution
# $s = 0$. Solutions do not cross, so $s$ keeps its sign for ever: the border is the plane $s = 0$
# at every level, and it is made of the exceptional starts of the theorem. With more points the
# border between two basins is pulled on by the others, and no plane is invariant.


# %%
def official_winner_of_two(y, a, b):
    return ((y - (a + b) / 2) @ (b - a) > 0).long()


assert dc.exercises.check_two_points(official_winner_of_two)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} Weights and duplicates
# :label: ex-03-weights
# One photograph occurs three times in a training set of 1,000 otherwise different ones. With what
# probability is it generated? Write the perfect denoiser of points `x` (N, d) with probabilities
# `prior` (N,): a function that returns a denoiser. The check also runs your denoiser and counts.
# ```


# %%
def weighted_denoiser(x, prior): ...  # your code


# dc.exercises.check_weighted_denoiser(weighted_denoiser)

# %% [markdown]
# ````{solution-start} ex-03-weights
# :label: sol-03-weights
# :class: dropdown
# ````
#
# With probability 3/1000, three times that of any other. Bayes' rule multiplies the likelihood
# with the prior, so $\ln \pi_i$ is added to the exponent. The placement matters: inside the
# softmax, and not divided by $2\sigma^2$. Removing duplicates from training data is therefore not
# tidiness. It changes what is generated, and how often.


# %%
def official_weighted_denoiser(x, prior):
    def denoise(y, sigma):
        gaps = (y[:, None] - x).square().sum(-1)
        return torch.softmax(prior.log() - gaps / (2 * sigma**2), dim=1) @ x

    return denoise


assert dc.exercises.check_weighted_denoiser(official_weighted_denoiser)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} Repair the mini-batches
# :label: ex-03-merge
# Each batch sends two things: its answer $D^{(b)}_\sigma(y)$ of shape (n, d), and its
# log-evidence $\ln Z_b$ of shape (n,). Merge a list of such pairs into the exact answer for the
# whole training set. Evidences can be $e^{-10000}$.
# ```


# %%
def merge(parts): ...  # your code


# dc.exercises.check_merge_batches(merge)

# %% [markdown]
# ````{solution-start} ex-03-merge
# :label: sol-03-merge
# :class: dropdown
# ````
#
# Part 1 of {prf:ref}`prop-minibatch-average`: a softmax over the batches' log-evidences. Kept as
# a running maximum and a running sum, this is the *online softmax* {cite:p}`milakov2018online`
# that the package uses. Batches may have any sizes.


# %%
def official_merge(parts):
    answers = torch.stack([answer for answer, _ in parts])  # (B, n, d)
    log_evidence = torch.stack([evidence for _, evidence in parts])  # (B, n)
    return (torch.softmax(log_evidence, dim=0)[..., None] * answers).sum(0)


assert dc.exercises.check_merge_batches(official_merge)


def repaired(batches):
    def denoise(y, sigma):
        noisy, parts = y.flatten(1), []
        for batch in batches:
            points = batch.flatten(1)
            exponents = -torch.cdist(noisy, points).square() / (2 * sigma**2)
            parts.append((torch.softmax(exponents, 1) @ points, exponents.logsumexp(1)))
        return official_merge(parts).reshape(y.shape)

    return denoise


ends = dc.sampling.heun(repaired(whole.chunk(4)), noise[:200], dc.noise.karras(24))
repaired_copies = dc.metrics.copied_fraction(ends, whole)
assert repaired_copies == 1
dc.runtime.report(copies_repaired=f"{100 * repaired_copies:.0f} %")

# %% [markdown]
# With four batches and this merge, {glue:text}`copies_repaired` of the samples are copies again.
#
# ````{solution-end}
# ````
#
# ```{exercise} The wrong noise level
# :label: ex-03-temperature
# Take the training set $\{-1, 0, 1\}$ on a line and ask its perfect denoiser at the wrong level:
# $D_{\tau\sigma}(y)$ instead of $D_\sigma(y)$, with a factor $\tau$. (Dividing the exponents of
# the softmax by $\tau^2$ is a *temperature*.) The steps still go by $\sigma$, from
# $\normal(0, 80^2)$ to 0. Before you compute: are the samples still copies? Does the middle point
# get more or less than a third for $\tau = 2$? Write `middle_share(tau)`, the share of samples that
# end at the middle point.
# ```


# %%
def middle_share(tau): ...  # your code


# dc.exercises.check_temperature(middle_share)

# %% [markdown]
# ````{solution-start} ex-03-temperature
# :label: sol-03-temperature
# :class: dropdown
# ````
#
# The last step still answers with the nearest point, so the samples are copies. Too high a level
# makes the denoiser hesitate: its answers lie too close to the mean, where the middle point is,
# and the middle wins more often.


# %%
def official_middle_share(tau, draws=3000):
    points = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    perfect_there = by_hand(points)
    quantiles = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws  # evenly spread draws
    begin = 80 * math.sqrt(2) * torch.erfinv(2 * quantiles - 1)[:, None]
    fine = dc.noise.log_linear(120, 0.01, 80.0)
    ends = dc.sampling.heun(lambda y, sigma: perfect_there(y, tau * sigma), begin, fine)
    return (ends.abs() < 0.5).double().mean().item()


assert dc.exercises.check_temperature(official_middle_share)
dc.runtime.report(**{
    f"copies_middle_{name}": f"{official_middle_share(tau):.2f}"
    for name, tau in (("half", 0.5), ("one", 1.0), ("two", 2.0), ("four", 4.0))
})  # fmt: skip

# %% [markdown]
# The share is {glue:text}`copies_middle_half` for $\tau = 0.5$, {glue:text}`copies_middle_one`
# for 1, {glue:text}`copies_middle_two` for 2 and {glue:text}`copies_middle_four` for 4. Copies
# all of them, and only $\tau = 1$ copies fairly.
#
# ````{solution-end}
# ````

# %% [markdown]
# ## Summary
#
# * The denoiser with the least loss on a training set is a softmax average of its images
#   {eq}`eq-copies-denoiser`.
# * **Proved:** the exact flow carries almost every start to a training point, and each point gets
#   probability $1/N$ ({prf:ref}`thm-perfect-copies`). Near a training point, at low noise, a
#   trajectory is caught ({prf:ref}`lem-basin`).
# * **Proved:** starting from pure noise shifts the probabilities by an amount that we can
#   compute, tiny when the noise is centred on the mean ({prf:ref}`prop-finite-sigma-max`). A
#   finite number of steps cannot prevent the copy ({prf:ref}`cor-last-step`), but it changes the
#   probabilities.
# * **Measured** on digits: {glue:text}`copies_samples` samples, all copies, counts compatible
#   with equal probabilities; half of them decided by $\sigma$ = {glue:text}`copies_commit`.
# * **A trap:** averaging the answers of mini-batches turns copies into blends
#   ({prf:ref}`prop-minibatch-average`): from {glue:text}`copies_batch_one` copies to
#   {glue:text}`copies_batch_two` with two batches.
#
# A perfect denoiser is not creative. Next: one that can only draw straight lines,
# {doc}`04_linear`.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
