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
# (sec-denoising)=
# # Denoising, scores and samplers
#
# A machine that can only remove noise can make new images. This chapter shows why: the best
# denoiser knows the slope of the noisy data's log-density, the slope defines a flow from noise to data,
# and every diffusion sampler is a way to follow that flow in finitely many steps. We measure what
# those steps cost against laws that are known exactly.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** why the posterior mean is the best denoiser, what Tweedie's formula says,
#   where the probability-flow ODE comes from, why DDIM is its Euler step, what Heun's step and
#   fresh noise change, and that the variance-preserving and variance-exploding forms are one
#   process.
# - **Time** 45 minutes, exercises 45 minutes more. **Prerequisites** multivariate Gaussians,
#   conditional expectation, the gradient and the Laplacian; {doc}`01_first_samples` helps.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc

run = dc.runtime.start(seed=seed, profile=profile)
C = dc.style.COLORS


def power_of_ten(value):
    """3e-15 as 3 · 10⁻¹⁵, for the text."""
    digits, power = f"{value:.0e}".split("e")
    return f"{digits} · 10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def enumerate_p(values):
    *first, last = (f"{p:.2f}" for p in values)
    return f"{', '.join(first)} and {last}"


# %% [markdown]
# ## Move it first
#
# The data of this chapter live on a line: three narrow bumps, so that everything can be computed
# exactly. Someone draws a clean value $x$ from them, adds Gaussian noise of standard deviation
# $\sigma$, and shows us only the noisy value $y$. Drag $y$ in either picture, then change $\sigma$.
#
# Watch three things. At large $\sigma$ the best guess hardly depends on $y$. At small $\sigma$ it
# snaps to the nearest bump. And the blue arrow, from $y$ to the best guess, always points uphill on
# the grey density.

# %%
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

centres, width = [-1.1, 0.4, 1.0], 0.1
Explorer.formula("posterior_1d", data={"points": centres, "variance": width**2})

# %% [markdown]
# The arrow is no accident. By the end of {ref}`sec-tweedie` we can compute it from the grey density
# alone.
#
# ## The forward process
#
# Let $x \in \R^d$ be a clean image drawn from the data's law $p_0$. The noisy image at **noise
# level** $\sigma$ is
#
# ```{math}
# :label: eq-forward
# y = x + \sigma\, n, \qquad n \sim \normal(0, I).
# ```
#
# Its density is $p_0$ blurred by a Gaussian of width $\sigma$, written
# $p_\sigma = p_0 * \normal(0, \sigma^2 I)$ with a star for the convolution. At $\sigma = 0$ it is the data. At very large $\sigma$
# it is a Gaussian in which the data is a negligible detail. {numref}`fig-forward` shows both views;
# each picture is divided by $\sqrt{1 + \sigma^2}$ so that noise does not run off the page.

# %% mystnb={"image": {"alt": "Six noisy versions of one handwritten digit above six densities on a line. From left to right the noise level grows from 0 to 10: the digit fades into noise and three separate bumps merge into one bell curve."}, "figure": {"caption": "The forward process at six noise levels: one digit (top) and the density of the one-dimensional data (bottom), both divided by √(1 + σ²).", "name": "fig-forward"}} tags=["hide-input"]
digit = dc.data.load("digits").x[3]  # (1, 8, 8)
fixed_noise = torch.randn(digit.shape, generator=torch.Generator().manual_seed(seed))
grid = np.linspace(-2.6, 2.6, 400)
figure, axes = plt.subplots(2, 6, figsize=(6.4, 2.5))
for (top, bottom), sigma in zip(axes.T, (0.0, 0.15, 0.4, 1.0, 3.0, 10.0), strict=True):
    scale = math.sqrt(1 + sigma**2)
    dc.style.image_grid(
        ((digit + sigma * fixed_noise) / scale)[None], ax=top, title=f"σ = {sigma:g}"
    )
    spread = math.hypot(width, sigma)
    density = stats.norm.pdf(scale * grid[:, None], centres, spread).mean(1)
    bottom.fill_between(grid, density / density.max(), color=C["noise"], alpha=0.4)
    bottom.plot(grid, density / density.max(), color=C["noise"])
    bottom.plot(np.array(centres) / scale, np.zeros(3), "o", color=C["data"], clip_on=False)
    bottom.set(yticks=[], xticks=[-2, 0, 2], ylim=(0, 1.1))
plt.show()

# %% [markdown]
# We write the one-dimensional data once, with everything that later sections need: its blurred
# log-density, its distribution function, and its best denoiser. All are closed-form because a
# Gaussian bump of variance $s^2$ blurred with $\sigma$ is a Gaussian bump of variance
# $s^2 + \sigma^2$.


# %%
class Mixture:
    """Equal parts of N(m, s²) on the line, m in `means`; blurring adds σ² to each variance."""

    def __init__(self, means, s):
        self.means, self.s = torch.tensor(means, dtype=torch.float64), s

    def _z(self, y, sigma):
        spread = math.hypot(self.s, sigma)
        return (y.double()[..., None] - self.means) / spread, spread  # (n, parts)

    def log_density(self, y, sigma):
        z, spread = self._z(y, sigma)
        return torch.logsumexp(-(z**2) / 2, -1) - math.log(
            len(self.means) * spread * math.sqrt(2 * math.pi)
        )

    def cdf(self, y, sigma):
        return torch.special.ndtr(self._z(y, sigma)[0]).mean(-1)

    def posterior(self, y, sigma):
        """Weight and mean of each part given y, and the variance within a part."""
        z, spread = self._z(y, sigma)
        keep = (self.s / spread) ** 2  # 1: trust y, 0: trust the centre
        return torch.softmax(-(z**2) / 2, -1), self.means + keep * z * spread, keep * sigma**2

    def __call__(self, y, sigma):
        """The posterior mean E[x | y]."""
        weight, mean, _ = self.posterior(y, sigma)
        return (weight * mean).sum(-1).to(y.dtype)

    def variance_given(self, y, sigma):
        """The posterior variance Var(x | y)."""
        weight, mean, within = self.posterior(y, sigma)
        return within + (weight * mean**2).sum(-1) - (weight * mean).sum(-1) ** 2

    def sample(self, n, generator):
        which = torch.randint(len(self.means), (n,), generator=generator)
        return self.means[which] + self.s * gaussian(n, generator)


def gaussian(n, generator):
    return torch.randn(n, generator=generator, dtype=torch.float64)


target = Mixture(centres, width)
rng = torch.Generator().manual_seed(seed)

# %% [markdown]
# ## The best denoiser is the posterior mean
#
# A denoiser is a function $D$ that gets $y$ and returns a guess $\hat x = D(y)$ of $x$. We score it
# by its mean squared error, the **denoising loss** $\E\norm{x - D(y)}^2$. Many values of $x$ may
# have led to the same $y$; the loss asks for one answer. Which one is best?
#
# ```{prf:theorem} The posterior mean is the best denoiser
# :label: thm-mmse
# Let $\E\norm{x}^2 < \infty$ and $D_\sigma(y) = \E[x \mid y]$. For every function $D$ with
# $\E\norm{D(y)}^2 < \infty$,
#
# $$
# \begin{aligned}
# \E\norm{x - D(y)}^2 = {} & \E\norm{x - D_\sigma(y)}^2 \\
# & + \E\norm{D_\sigma(y) - D(y)}^2 .
# \end{aligned}
# $$
#
# So $D_\sigma$ has the least loss, $\E \tr \Cov(x \mid y)$, and every other denoiser pays for its
# squared distance from it.
# ```
#
# ```{prf:proof}
# Write $x - D = (x - D_\sigma) + (D_\sigma - D)$ and expand the square. The cross term is
# $2\,\E\,(x - D_\sigma(y))\cdot g(y)$ with $g = D_\sigma - D$. Condition on $y$ first: $g(y)$ is
# then a constant, and $\E[x - D_\sigma(y) \mid y] = 0$ by the definition of $D_\sigma$. The cross
# term is zero. The least loss is $\E\,\E[\norm{x - D_\sigma(y)}^2 \mid y]$, the mean of the
# posterior variances.
# ```
#
# The proof says more than "best": the loss is a parabola around $D_\sigma$ in every direction $g$,
# so that training with squared error pulls any function towards the posterior mean, as far as its
# architecture lets it come. The rest of the book is about that last clause.
#
# **Certificate.** Perturb the posterior mean by $\varepsilon g$ and measure the change of the loss
# on the same draws. The theorem predicts an increase of exactly $\varepsilon^2\, \E\, g(y)^2$. As a
# control, perturb a denoiser that is *not* optimal (the best straight line) towards the posterior
# mean: the loss must fall.

# %%
n, sigma, eps = run.size(smoke=60_000, book=200_000), 0.5, 0.1
x = target.sample(n, rng)
y = x + sigma * gaussian(n, rng)
best = target(y, sigma)
slope = x.var() / (x.var() + sigma**2)
line = x.mean() + slope * (y - y.mean())


def change_of_loss(denoised, g):
    """Mean change of the loss when `denoised` moves by eps · g, with its standard error."""
    change = (x - denoised - eps * g).square() - (x - denoised).square()
    return change.mean().item(), change.std().item() / math.sqrt(n)


directions = {"constant": torch.ones_like(y), "linear": y, "wave": torch.sin(3 * y)}
found = {}
for name, g in directions.items():
    increase, error = change_of_loss(best, g)
    predicted = eps**2 * g.square().mean().item()
    assert abs(increase - predicted) < 5 * error  # fails by chance once in 1.7 million
    assert increase - stats.norm.isf(0.001) * error > 0
    found[f"den_loss_{name}"] = f"{increase:.4f} ± {2.58 * error:.4f}, predicted {predicted:.4f}"
control, control_error = change_of_loss(line, best - line)
assert control + stats.norm.isf(0.001) * control_error < 0
dc.runtime.report(
    **found, den_loss_control=f"{control:.4f} ± {2.58 * control_error:.4f}".replace("-", "−")
)

# %% [markdown]
# Every perturbation costs what the theorem says (intervals are 99 %): for the constant one
# {glue:text}`den_loss_constant`. The control, a straight line moved a tenth of the way towards the
# posterior mean, changes its loss by {glue:text}`den_loss_control`: it was not optimal.
#
# (sec-tweedie)=
# ## The score: a denoiser knows the slope of the log-density
#
# The **score** of the noisy data is the gradient $\nabla \log p_\sigma(y)$, the direction in which
# noisy data becomes more likely fastest. Knowing it seems to need the density. It does not.
#
# ```{prf:theorem} Tweedie's formula, first and second order
# :label: thm-tweedie
# For every law $p_0$ of $x$ and every $\sigma > 0$, the density $p_\sigma$ is positive and smooth,
# and
#
# $$
# D_\sigma(y) = y + \sigma^2\, \nabla \log p_\sigma(y),
# $$
#
# $$
# \begin{aligned}
# \frac{\partial D_\sigma(y)}{\partial y} &= \frac{\Cov(x \mid y)}{\sigma^2} \\
# &= I + \sigma^2\, \nabla^2 \log p_\sigma(y).
# \end{aligned}
# $$
# ```
#
# ```{prf:proof}
# Let $\varphi(y - x)$ be the density of $\normal(0, \sigma^2 I)$ at $y - x$, so that
# $p_\sigma(y) = \E_x\, \varphi(y - x)$. Derivatives of $\varphi(y - x)$, also times $x$, are bounded
# for all $x$ while $y$ stays in a ball, so we may differentiate inside the expectation, here and
# below, and
# $\nabla_y\, \varphi(y - x) = \frac{x - y}{\sigma^2}\, \varphi(y - x)$. Dividing by $p_\sigma$
# turns $\varphi(y - x)/p_\sigma(y)$ into the weights of the posterior:
#
# $$
# \begin{aligned}
# \nabla \log p_\sigma(y)
# &= \frac{1}{p_\sigma(y)}\, \E_x \frac{x - y}{\sigma^2}\, \varphi(y - x) \\
# &= \frac{\E[x \mid y] - y}{\sigma^2}.
# \end{aligned}
# $$
#
# For the second line, a posterior weight $w = \varphi(y - x) / p_\sigma(y)$ has the logarithmic
# derivative
#
# $$
# \begin{aligned}
# \nabla_y \log w &= \frac{x - y}{\sigma^2} - \frac{D_\sigma(y) - y}{\sigma^2} \\
# &= \frac{x - D_\sigma(y)}{\sigma^2} .
# \end{aligned}
# $$
#
# Multiply by $x w$ and average over $x$: the Jacobian $\partial D_\sigma / \partial y$ is
# $\E[\,x\,(x - D_\sigma(y))^\top \mid y\,]$ over $\sigma^2$, which is $\Cov(x \mid y)/\sigma^2$.
# Differentiating the first line of the theorem gives the other form.
# ```
#
# The first line is due to Miyasawa, and to Tweedie as reported by Robbins
# {cite:p}`robbins1956empirical,miyasawa1961empirical,efron2011tweedie`. It is why "learning to
# denoise" and "learning the score" are the same task {cite:p}`vincent2011connection`. The second
# line says that the denoiser also knows its own uncertainty: where it reacts strongly to $y$, the
# posterior is wide. It shows too that the Jacobian of a perfect denoiser is symmetric and has no
# negative eigenvalue. A trained network need not obey this, and one can measure by how much it
# fails.
#
# **Certificate 1: by differentiation.** Autograd differentiates the log-density in double
# precision, once and twice. Nothing about denoising enters.

# %%
gap_first, gap_second = 0.0, 0.0
for level in (0.05, 0.3, 1.0, 5.0):
    at = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(target.log_density(at, level).sum(), at, create_graph=True)
    (curvature,) = torch.autograd.grad(score.sum(), at)
    with torch.no_grad():
        gap_first = max(gap_first, (at + level**2 * score - target(at, level)).abs().max().item())
        jacobian = target.variance_given(at, level) / level**2
        relative = (1 + level**2 * curvature - jacobian).abs() / jacobian
        gap_second = max(gap_second, relative.max().item())
assert gap_first < 1e-12
assert gap_second < 1e-9

# %% [markdown]
# **Certificate 2: by regression.** Draw pairs $(x, y)$, sort them into bins by $y$, and compare the
# mean of $x$ in each bin with the mean of $y + \sigma^2 \nabla \log p_\sigma(y)$; likewise the mean
# of the squared error with $\sigma^2\,\partial D_\sigma / \partial y$. Each bin gives a standard
# normal deviation if the theorem holds, so the sum of squares over the bins is χ². The control uses
# the wrong power, $y + \sigma\, \nabla \log p_\sigma(y)$.


# %%
def binned_p_value(difference, y, bins=20):
    """χ² p-value of "the mean of `difference` is zero in each bin of y"."""
    middle = (y > -0.9) & (y < 1.8)  # beyond, rare large errors make χ² a poor approximation
    difference, y = difference[middle], y[middle]
    edges = torch.quantile(y, torch.linspace(0, 1, bins + 1, dtype=y.dtype))[1:-1]
    which = torch.bucketize(y, edges)
    count = torch.bincount(which, minlength=bins)
    mean = torch.bincount(which, difference, bins) / count
    square = torch.bincount(which, difference**2, bins) / count
    z2 = mean**2 / ((square - mean**2) / count)
    return stats.chi2.sf(z2.sum().item(), bins)


noisy = y.clone().requires_grad_()
(score,) = torch.autograd.grad(target.log_density(noisy, sigma).sum(), noisy, create_graph=True)
(curvature,) = torch.autograd.grad(score.sum(), noisy)
score = score.detach()
tweedie = y + sigma**2 * score
p_first = binned_p_value(x - tweedie, y)
p_second = binned_p_value((x - tweedie) ** 2 - sigma**2 * (1 + sigma**2 * curvature), y)
p_control = binned_p_value(x - (y + sigma * score), y)
assert min(p_first, p_second) > 1e-5  # all such levels of a chapter together: below 1 in 1,000
assert p_control < 1e-6
dc.runtime.report(
    den_tweedie_gap=power_of_ten(gap_first),
    den_tweedie_gap_second=power_of_ten(gap_second),
    den_tweedie_p=f"{p_first:.2f}",
    den_tweedie_p_second=f"{p_second:.2f}",
)

# %% mystnb={"image": {"alt": "Left: dots, the binned mean of clean values given the noisy value, lie on the blue curve of Tweedie's formula, a smooth staircase with steps at the three data bumps. Right: dots, the binned squared error, lie on the curve of sigma squared times the denoiser's slope, which peaks between the bumps."}, "figure": {"caption": "Tweedie's formula, computed from the density alone (curves), against what the clean values were (dots: means over bins of y, σ = 0.5). Left: first order. Right: second order, the posterior variance.", "name": "fig-tweedie"}} tags=["hide-input"]
figure, (left, right) = plt.subplots(1, 2, figsize=(6.0, 2.8))
order = y.argsort()
for ax, value, curve, title in (
    (left, x, tweedie, "E[x | y]"),
    (right, (x - tweedie) ** 2, sigma**2 * (1 + sigma**2 * curvature), "Var(x | y)"),
):
    bins = [part for part in order.chunk(40)]
    ax.plot([y[b].mean() for b in bins], [value[b].mean() for b in bins], "o", color=C["data"])
    thin = order[:: len(order) // 1500]
    ax.plot(y[thin], curve[thin].detach(), color=C["denoiser"])
    ax.set(title=title, xlabel="noisy value y", xlim=(-2, 2))
left.text(-1.9, 0.85, "curve: from the density\ndots: from the pairs", color=C["denoiser"])
plt.show()

# %% [markdown]
# Differentiation agrees with the posterior mean to {glue:text}`den_tweedie_gap`, and with the
# posterior variance to a relative {glue:text}`den_tweedie_gap_second`. Regression finds nothing
# against either line ($p$ = {glue:text}`den_tweedie_p` and {glue:text}`den_tweedie_p_second`). The
# wrong power of $\sigma$ is rejected: the cell asserts $p < 10^{-6}$.
#
# ## The flow from noise to data
#
# Think of $p_\sigma$ as a cloud of particles and of $\sigma$ as time. As $\sigma$ grows the cloud
# spreads. Can we move each particle along a smooth path, *without* noise, so that the cloud still
# has the density $p_\sigma$ at each $\sigma$? If so, we can run the paths backwards and turn noise
# into data.
#
# We can, and the next picture does. Green curves are the exact paths; orange ones are those of a
# sampler that takes $K$ steps. The horizontal axis is the angle $90° - \arctan \sigma$, which is 0
# for pure noise and 90° for clean data; the reason for this choice comes in {ref}`sec-steps`.
# Increase the steps, and switch between the two methods.

# %% tags=["hide-input"]
SIGMA_MAX = 80.0


def quantile(u, sigma):
    """The inverse of target.cdf(·, sigma), by bisection."""
    reach = 1.1 + 12 * math.hypot(width, sigma)
    low, high = torch.full_like(u, -reach), torch.full_like(u, reach)
    for _ in range(64):
        middle = (low + high) / 2
        below = target.cdf(middle, sigma) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def turn(sigma):
    return 90 - np.degrees(np.arctan(sigma))


def even_noise(n):
    """n standard normal values at evenly spaced quantiles: a sample without randomness."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)


few, many = SIGMA_MAX * even_noise(15), SIGMA_MAX * even_noise(1500)
fine = torch.tensor([*np.geomspace(SIGMA_MAX, 0.01, 90), 0.0])
exact_paths = np.stack([
    quantile(target.cdf(few, SIGMA_MAX), s.item()) / math.hypot(1, s) for s in fine
], 1)  # fmt: skip
exact_marks = marks.line(
    np.broadcast_to(turn(fine.numpy()), exact_paths.shape), exact_paths,
    color="law", opacity=0.8, width=1.2, label="exact flow",
)  # fmt: skip
x_axis = np.linspace(-1.7, 1.7, 240)
target_density = target.log_density(torch.tensor(x_axis), 0).exp().numpy()
bin_edges = np.linspace(-1.7, 1.7, 69)
bin_centres = (bin_edges[1:] + bin_edges[:-1]) / 2


def draw_flow(method, steps):
    sigmas = dc.noise.karras(steps, sigma_max=SIGMA_MAX)
    sample = getattr(dc.sampling, method)
    paths = sample(target, few, sigmas, return_trajectory=True).T.numpy()
    paths = paths / np.hypot(1, sigmas.numpy())  # (paths, steps + 1), in VP units
    end = sample(target, many, sigmas)
    exact_end = quantile(target.cdf(many, SIGMA_MAX), 0.0)
    error = (end - exact_end).abs().mean().item()
    counts = np.histogram(end, bin_edges)[0] / len(end) / np.diff(bin_edges)
    name = {"ddim": "Euler", "heun": "Heun"}[method]
    calls = steps if method == "ddim" else 2 * steps - 1
    facts = (
        f"{name}, {steps} steps, {calls} denoiser calls: end points are {error:.3f} from the exact "
        "flow's on average."
    )
    return {
        "flow": [
            exact_marks,
            marks.line(
                np.broadcast_to(turn(sigmas.numpy()), paths.shape), paths,
                color="generated", width=1.5, opacity=0.8, label="sampler",
            ),
        ],
        "ends": [
            marks.bars(bin_centres, np.minimum(counts, 2.4), width=0.05, color="generated",
                       opacity=0.75, label="generated"),
            marks.line(x_axis, target_density, color="data", width=1.8),
        ],
        "alt": "Left: paths from noise to data, exact and sampled. Right: histogram of the end "
        f"points over the target density. {facts}",
        "caption": facts,
    }  # fmt: skip


Explorer.precomputed(
    draw_flow,
    [
        Choice("method", {"Euler (DDIM)": "ddim", "Heun": "heun"}, "method"),
        Slider("steps", [1, 2, 3, 4, 6, 8, 12, 18, 30, 60], "steps K", start=6, play=True),
    ],
    {
        "flow": Panel("Paths from noise to data", "90° − arctan σ, in degrees", "y / √(1 + σ²)",
                      xlim=(0, 92), ylim=(-2.4, 2.4)),
        "ends": Panel("End points", "generated value", "density", xlim=(-1.7, 1.7), ylim=(0, 2.5)),
    },
    title="From noise to data in K steps",
)  # fmt: skip

# %% [markdown]
# With one step every sample is nearly the data's mean. With a few Euler steps they are spread too little,
# and many lie where the data has nothing; it takes dozens to fill the three bumps. Heun's method
# starts worse: two or three of its steps overshoot wildly. From about eighteen steps on its paths
# lie on the green ones.
#
# ### Where the velocity comes from
#
# Two facts give the paths. First, blurring a density obeys an equation.
#
# ```{prf:lemma} Blurring is heat flow
# :label: lem-heat
# For $\sigma > 0$ the density $p_\sigma = p_0 * \normal(0, \sigma^2 I)$ satisfies
#
# $$
# \frac{\partial p_\sigma}{\partial \sigma} = \sigma\, \Delta p_\sigma .
# $$
# ```
#
# ```{prf:proof}
# Take first the Gaussian itself,
# $\varphi_\sigma(r) = (2\pi\sigma^2)^{-d/2} e^{-\norm{r}^2 / 2\sigma^2}$. Differentiation gives
#
# $$
# \begin{aligned}
# \partial_\sigma \varphi_\sigma
# &= \Big(\frac{\norm{r}^2}{\sigma^3} - \frac{d}{\sigma}\Big) \varphi_\sigma, \\
# \Delta \varphi_\sigma
# &= \Big(\frac{\norm{r}^2}{\sigma^4} - \frac{d}{\sigma^2}\Big) \varphi_\sigma,
# \end{aligned}
# $$
#
# so $\partial_\sigma \varphi_\sigma = \sigma \Delta \varphi_\sigma$. Put $r = y - x$ and average
# over $x$. Both sides are bounded in $x$, so the equation survives.
# ```
#
# Second, if particles with density $q$ move with velocity $v$, none is lost on the way, which is
# the **continuity equation** $\partial_\sigma q + \nabla \cdot (q\, v) = 0$.
#
# ````{prf:theorem} The probability flow
# :label: thm-probability-flow
# Let $p_0$ have bounded support, or be such a law blurred with a Gaussian. Then the ordinary
# differential equation (ODE)
# ```{math}
# :label: eq-flow
# \begin{aligned}
# \frac{\mathrm{d}y}{\mathrm{d}\sigma} &= -\sigma\, \nabla \log p_\sigma(y) \\
# &= \frac{y - D_\sigma(y)}{\sigma}
# \end{aligned}
# ```
# has exactly one solution through each point at each level $\sigma > 0$. If $y(\sigma_{\max})$ is
# drawn from $p_{\sigma_{\max}}$, then $y(\sigma)$ has the law $p_\sigma$ for every
# $0 < \sigma \le \sigma_{\max}$, and this law tends to $p_0$ as $\sigma \to 0$.
# ````
#
# ```{prf:proof}
# *One solution.* Let $p_0$ be a law on a ball of radius $R$ blurred with $\normal(0, s^2 I)$,
# $s \ge 0$, and put $\tau^2 = s^2 + \sigma^2$. Then $p_\sigma$ is the law on the ball blurred with
# $\tau$, and {prf:ref}`thm-tweedie` gives $\nabla^2 \log p_\sigma = -I/\tau^2 + C/\tau^4$, where
# $C$ is the covariance of a law on the ball, so $0 \preceq C \preceq R^2 I$. The velocity is
# therefore Lipschitz on $[\sigma_1, \sigma_{\max}]$ for each $\sigma_1 > 0$, which makes solutions
# exist and be unique.
#
# *The right law.* Put $v = -\sigma \nabla \log p_\sigma$. Since $p \nabla \log p = \nabla p$,
# {prf:ref}`lem-heat` reads
#
# $$
# \begin{aligned}
# \frac{\partial p_\sigma}{\partial \sigma} &= \nabla \cdot (\sigma \nabla p_\sigma) \\
# &= \nabla \cdot (p_\sigma\, \sigma \nabla \log p_\sigma) \\
# &= -\nabla \cdot (p_\sigma\, v).
# \end{aligned}
# $$
#
# That is the continuity equation of particles that move with $v$. For a Lipschitz velocity it has
# one solution for given data at one level, so the particles' density is $p_\sigma$ at every level.
# Tweedie's formula turns $-\sigma \nabla \log p_\sigma$ into $(y - D_\sigma)/\sigma$.
#
# *The end.* $p_\sigma$ is the law of $x + \sigma n$, which tends to $x$.
# ```
#
# The general recipe, of which this is the simplest case, is the probability-flow ODE of
# {cite:t}`song2021score`. The form {eq}`eq-flow` with $\sigma$ as time is that of
# {cite:t}`karras2022elucidating`.
#
# A sampler starts from pure noise, not from $p_{\sigma_{\max}}$. The price of that is bounded, and
# the flow does not increase it.
#
# ```{prf:proposition} Starting from pure noise
# :label: prop-start
# Start the exact flow from $\normal(0, \sigma_{\max}^2 I)$ instead of $p_{\sigma_{\max}}$. At every
# level $0 < \sigma \le \sigma_{\max}$ its law is at the same total variation distance from
# $p_\sigma$, at most $\sqrt{\E\norm{x}^2} / (2 \sigma_{\max})$.
# ```
#
# ```{prf:proof}
# The flow is an invertible map, so it moves events to events and keeps total variation distances.
# At the start, $p_{\sigma_{\max}}$ is a mixture over $x$ of $\normal(x, \sigma_{\max}^2 I)$. The
# Kullback–Leibler divergence is convex, so its divergence from $\normal(0, \sigma_{\max}^2 I)$ is
# at most the average over $x$ of that between two Gaussians, $\E \norm{x}^2 / (2\sigma_{\max}^2)$.
# Pinsker's inequality, $\mathrm{TV} \le \sqrt{\mathrm{KL}/2}$, ends the proof.
# ```
#
# On a line we can go further: the flow has a closed form, so that samplers can be judged against
# the truth and not against a finer sampler.
#
# ```{prf:corollary} On a line the flow is the quantile map
# :label: cor-quantile-map
# For $d = 1$ let $F_\sigma$ be the distribution function of $p_\sigma$. The flow carries $y$ at
# level $\sigma_{\max}$ to $F_\sigma^{-1}(F_{\sigma_{\max}}(y))$ at level $\sigma$.
# ```
#
# ```{prf:proof}
# Solutions cannot cross, so the flow's map is increasing. It carries $p_{\sigma_{\max}}$ to
# $p_\sigma$, so as many particles lie below the image of $y$ as below $y$:
# $F_\sigma(\text{image}) = F_{\sigma_{\max}}(y)$.
# ```
#
# **Certificate.** Draw from $p_{\sigma_{\max}}$, follow {eq}`eq-flow` by many steps of Heun's
# method (below), and test the particles at five levels on the way against the exact $F_\sigma$
# (Kolmogorov–Smirnov). The control drives the particles with a velocity that is 5 % too large. Then
# compare each path with the quantile map, and the price of starting from pure noise with its bound.
# (For blurred data, like our bumps, all of this holds down to $\sigma = 0$.)

# %%
n = run.size(smoke=4_000, book=40_000)
sigmas = dc.noise.karras(run.size(smoke=100, book=300), sigma_max=SIGMA_MAX)
start = target.sample(n, rng) + SIGMA_MAX * gaussian(n, rng)
stops = [int((sigmas >= level).sum()) - 1 for level in (20.0, 2.0, 0.5, 0.1)] + [len(sigmas) - 1]


def p_values(denoise):
    path = dc.sampling.heun(denoise, start, sigmas, return_trajectory=True)
    return path, [
        stats.kstest(target.cdf(path[j], sigmas[j].item()).numpy(), "uniform").pvalue for j in stops
    ]


path, p_flow = p_values(target)
_, p_wrong = p_values(lambda y, sigma: y - 1.05 * (y - target(y, sigma)))
at_end = quantile(target.cdf(start, SIGMA_MAX), 0.0)
gap_map = (path[-1] - at_end).abs()
assert min(p_flow) > 1e-5
assert min(p_wrong) < 1e-6
assert gap_map.median() < 1e-3

points = torch.linspace(-2, 2, 20_001, dtype=torch.float64)
tv = {}
for start_level in (2.0, 10.0, SIGMA_MAX):
    # Density at sigma = 0 of the exact flow from pure noise: change of variables along the map.
    density = target.log_density(points, 0.0).exp()
    back = quantile(target.cdf(points, 0.0), start_level)
    pure = torch.exp(-((back / start_level) ** 2) / 2) / (start_level * math.sqrt(2 * math.pi))
    pushed = pure * density / target.log_density(back, start_level).exp()
    distance = 0.5 * torch.trapezoid((density - pushed).abs(), points).item()
    bound = math.sqrt(np.mean(np.square(centres)) + width**2) / (2 * start_level)
    assert distance < bound
    tv[start_level] = f"{distance:.4f}, bound {bound:.4f}"
dc.runtime.report(
    den_flow_p=enumerate_p(p_flow),
    den_map_gap=power_of_ten(gap_map.median()),
    **{f"den_start_{level:.0f}": text for level, text in tv.items()},
)

# %% [markdown]
# The five $p$-values are {glue:text}`den_flow_p` (one draw seen at five levels, so nearly one
# test). The wrong velocity is rejected; the cell asserts $p < 10^{-6}$. The median distance of a
# path's end from the quantile map is {glue:text}`den_map_gap`, and what is left is the error of the
# steps. Starting from pure noise at $\sigma_{\max} = 80$ costs a total variation distance of
# {glue:text}`den_start_80`; at $\sigma_{\max} = 2$ it is {glue:text}`den_start_2`.
#
# (sec-dialects)=
# ## Two dialects, one process
#
# Much of the literature writes the forward process differently
# {cite:p}`sohl2015deep,ho2020denoising`. It shrinks the image while it adds noise, so that data of
# variance one keep their variance (variance-preserving, VP):
#
# ```{math}
# :label: eq-vp
# x_t = \sqrt{\bar\alpha_t}\; x + \sqrt{1 - \bar\alpha_t}\; n .
# ```
#
# The share of signal $\bar\alpha_t$ falls from 1 to nearly 0. Our form {eq}`eq-forward` is called
# variance-exploding (VE). There is nothing to choose: they are one process in two units.
#
# ```{prf:proposition} The VE/VP dictionary
# :label: prop-ve-vp
# Put $\sigma^2 = (1 - \bar\alpha_t)/\bar\alpha_t$, that is $\bar\alpha_t = 1/(1 + \sigma^2)$, and
# $y = x_t / \sqrt{\bar\alpha_t}$. Then
# 1. $x_t$ follows {eq}`eq-vp` exactly when $y$ follows {eq}`eq-forward`, with the same $x$ and $n$;
# 2. the best estimates of the image and of the noise are the same, $\E[x \mid x_t] = D_\sigma(y)$
#    and $\hat\varepsilon = \E[n \mid x_t] = (y - D_\sigma(y))/\sigma$;
# 3. the scores differ by the change of unit only: $\nabla \log p_t(x_t)$ is
#    $\nabla \log p_\sigma(y)$ divided by $\sqrt{\bar\alpha_t}$, or
#    $-\hat\varepsilon / \sqrt{1 - \bar\alpha_t}$.
# ```
#
# ```{prf:proof}
# Divide {eq}`eq-vp` by $\sqrt{\bar\alpha_t}$ for (1). Conditioning on $x_t$ or on the multiple $y$
# of it is the same, and $n = (y - x)/\sigma$ is linear in $x$, which gives (2). For (3), the
# densities are related by $p_t(x_t) = \bar\alpha_t^{-d/2}\, p_\sigma(x_t / \sqrt{\bar\alpha_t})$.
# Take logarithms, differentiate, and use Tweedie's formula with
# $\sigma \sqrt{\bar\alpha_t} = \sqrt{1 - \bar\alpha_t}$.
# ```
#
# So a network that predicts the noise in VP units *is* a denoiser in ours, and the other way round;
# an exercise asks you to write the two lines. From here on we use VE, where formulas are shortest.
#
# ## One step of the flow: DDIM
#
# A computer follows {eq}`eq-flow` in finitely many steps, over a **schedule** of levels
# $\sigma_0 > \sigma_1 > \dots > \sigma_K = 0$. The plainest method, Euler's, takes the velocity at
# the start of a step and keeps it until the end.
#
# ```{prf:proposition} DDIM is Euler's step, said in four ways
# :label: prop-ddim-euler
# Let $\hat x = D(y, \sigma)$ and $\hat n = (y - \hat x)/\sigma$, for any denoiser $D$. The
# following rules for a step from $\sigma$ to $\sigma' < \sigma$ are identical:
# 1. Euler's step: $y' = y + (\sigma' - \sigma)\, \hat n$;
# 2. solve {eq}`eq-flow` exactly with the denoiser frozen at $\hat x$:
#    $y' = \hat x + \frac{\sigma'}{\sigma}(y - \hat x)$;
# 3. trust both estimates and noise the image again, less: $y' = \hat x + \sigma' \hat n$;
# 4. the published DDIM update with $\eta = 0$, in VP units:
#    $x_{t'} = \sqrt{\bar\alpha_{t'}}\, \hat x + \sqrt{1 - \bar\alpha_{t'}}\; \hat\varepsilon$, with
#    $\hat x = (x_t - \sqrt{1 - \bar\alpha_t}\, \hat\varepsilon)/\sqrt{\bar\alpha_t}$.
# ```
#
# ```{prf:proof}
# With $y = \hat x + \sigma \hat n$, rule 1 is
# $\hat x + \sigma \hat n + (\sigma' - \sigma)\hat n = \hat x + \sigma' \hat n$, which is rule 3,
# and rule 2 since $\hat n = (y - \hat x)/\sigma$. Rule 2 solves the frozen equation:
# $\frac{\mathrm{d}}{\mathrm{d}\sigma}(y - \hat x) = (y - \hat x)/\sigma$ says that $y - \hat x$ is
# proportional to $\sigma$. Divide rule 4 by $\sqrt{\bar\alpha_{t'}}$: the left side becomes $y'$
# and, by {prf:ref}`prop-ve-vp`, the right side $\hat x + \sigma' \hat\varepsilon$ with
# $\hat\varepsilon = \hat n$.
# ```
#
# Rule 4 is the sampler of {cite:t}`song2021denoising`. The last step has $\sigma' = 0$ and returns
# $\hat x$ itself: the final image is a denoiser's answer. Rule 2 shows when a step of *any* length
# is exact: when the denoiser's answer does not change along the path.
#
# Here is rule 4 written from the paper's formula, in the paper's units, with a noise-predicting
# model. It shares no line with the package.


# %%
def ddim_in_vp_units(eps_model, x_t, alpha_bars):
    """DDIM with eta = 0 as published: alpha_bars grows to 1."""
    for now, then in itertools.pairwise(alpha_bars.tolist()):
        eps_hat = eps_model(x_t, now)
        x_hat = (x_t - math.sqrt(1 - now) * eps_hat) / math.sqrt(now)
        x_t = math.sqrt(then) * x_hat + math.sqrt(1 - then) * eps_hat
    return x_t


# %% [markdown]
# **Certificate.** Run both on images of digits, with the perfect denoiser and with the best affine
# one. The VP model is built from our denoiser by the dictionary, and our sampler is also run on a
# denoiser built from the VP model. In double precision they must agree to rounding. The control
# forgets one change of unit.

# %%
images = dc.data.load("digits").subset(run.size(smoke=200, book=600), seed=seed).x.double()
sigmas = dc.noise.karras(20, sigma_max=SIGMA_MAX)
alpha_bars = dc.noise.alpha_bar_from_sigma(sigmas)
noise = dc.sampling.initial_noise(16, images.shape[1:], SIGMA_MAX, seed=seed).double()
largest_gap, control_gap = 0.0, math.inf
for denoise in (dc.denoisers.Bayes.fit(images), dc.denoisers.Affine.fit(images)):

    def eps_model(x_t, alpha_bar, denoise=denoise):
        sigma = math.sqrt((1 - alpha_bar) / alpha_bar)
        y = x_t / math.sqrt(alpha_bar)
        return (y - denoise(y, sigma)) / sigma

    def back_again(y, sigma, eps_model=eps_model):
        alpha_bar = 1 / (1 + sigma**2)
        return y - sigma * eps_model(y * math.sqrt(alpha_bar), alpha_bar)

    ve = dc.sampling.ddim(denoise, noise, sigmas)
    vp = ddim_in_vp_units(eps_model, noise * alpha_bars[0].sqrt(), alpha_bars)
    forgot = ddim_in_vp_units(eps_model, noise, alpha_bars)  # x_t is not y
    twice = dc.sampling.ddim(back_again, noise, sigmas)
    largest_gap = max(largest_gap, (ve - vp).abs().max().item(), (ve - twice).abs().max().item())
    control_gap = min(control_gap, (ve - forgot).abs().max().item())
assert largest_gap < 1e-8
assert control_gap > 0.1
dc.runtime.report(den_vp_gap=power_of_ten(largest_gap), den_vp_control=f"{control_gap:.2g}")

# %% [markdown]
# The largest difference in any pixel of any image is {glue:text}`den_vp_gap`. Without the change of
# unit at the start it is {glue:text}`den_vp_control`.
#
# (sec-steps)=
# ## What do finitely many steps cost?
#
# For most data nobody knows. For Gaussian data we know exactly. Let the best denoiser be affine,
# and look along one direction in which the data has variance $\lambda$; let $z$ be the coordinate
# of $y$, less the data's mean, in that direction. There $D_\sigma$ multiplies $z$ by
# $\lambda/(\lambda + \sigma^2)$, and the flow {eq}`eq-flow` reads
# $\mathrm{d}z/\mathrm{d}\sigma = \sigma z/(\lambda + \sigma^2)$. Its solution is
# $z(\sigma) = z(\sigma_0) \sqrt{(\lambda + \sigma^2)/(\lambda + \sigma_0^2)}$. ({doc}`04_linear`
# derives this with care.)
#
# The right ruler for noise levels turns out to be an angle,
# $\theta = \arctan(\sigma/\sqrt\lambda)$. It is nearly $90°$ for pure noise and 0 for clean data:
# in VP units, with $\lambda = 1$, signal and noise are its cosine and sine.
#
# ````{prf:proposition} Steps cost cosines
# :label: prop-cosines
# Let $\lambda > 0$, $\theta_j = \arctan(\sigma_j/\sqrt\lambda)$ and
# $\delta_j = \theta_j - \theta_{j+1} > 0$. Relative to the exact flow from the same noise, $K$
# steps multiply the generated standard deviation along a direction of variance $\lambda$ by $E_K$
# with Euler's method (DDIM) and by $H_K$ with Heun's:
# ```{math}
# :label: eq-cosines
# \begin{aligned}
# E_K &= \prod_{j=0}^{K-1} \cos \delta_j, \\
# H_K &= \cos \delta_{K-1} \prod_{j=0}^{K-2} h_j, \\
# h_j &= \cos\delta_j \big(1 + \tfrac12 \sin^2 \delta_j\big) \\
# &\quad + \tfrac12 \tan\theta_j\, \sin^3 \delta_j .
# \end{aligned}
# ```
# So DDIM always generates too little variance. Of all schedules with $K$ steps from $\sigma_0$, the
# one with equal angles, $\sigma_j = \sqrt\lambda\, \tan\big(\theta_0 (1 - j/K)\big)$, loses least:
# it keeps $\cos(\theta_0/K)^K = 1 - \frac{\theta_0^2}{2K} + O(K^{-2})$.
# ````
#
# ```{prf:proof}
# *Euler.* By rule 2 of {prf:ref}`prop-ddim-euler` one step multiplies $z$ by
# $g + \frac{\sigma'}{\sigma}(1 - g)$ with $g = \frac{\lambda}{\lambda + \sigma^2}$, which is
# $\frac{\lambda + \sigma\sigma'}{\lambda + \sigma^2}$. The exact flow multiplies it by
# $\sqrt{(\lambda + \sigma'^2)/(\lambda + \sigma^2)}$. The ratio is
#
# $$
# \frac{\lambda + \sigma\sigma'}{\sqrt{\lambda + \sigma^2}\,\sqrt{\lambda + \sigma'^2}},
# $$
#
# the cosine of the angle between the vectors $(\sqrt\lambda, \sigma)$ and $(\sqrt\lambda, \sigma')$
# of the plane, which is $\theta - \theta'$.
#
# *Best schedule.* The angles $\delta_j$ add up to $\theta_0 < 90°$, and $\log\cos$ is strictly
# concave there, so by Jensen's inequality $\sum_j \log\cos\delta_j$ is largest when all are equal.
#
# *Heun.* Take $\lambda = 1$ (a unit of length) and $\sigma = \tan\theta$. The step's length is
# $\sigma' - \sigma = -\sin\delta/(\cos\theta\cos\theta')$. The slopes at its two ends are
# $z \sin\theta\cos\theta$ and, after Euler's step, $z \sin\theta' \cos\theta \cos\delta$. So the
# step multiplies by $1 - \frac{\sin\delta}{2\cos\theta'}(\sin\theta + \sin\theta'\cos\delta)$, and
# the exact flow by $\cos\theta/\cos\theta'$. Insert $\theta' = \theta - \delta$ in the ratio and
# expand. The last step goes to $\sigma' = 0$, where Heun's method takes Euler's step.
# ```
#
# Read {eq}`eq-cosines` for small angles. Euler's factor is $1 - \frac12\delta^2$; with $K$ steps of
# size about $1/K$ the losses add up to order $1/K$. In Heun's factor the terms of second order
# cancel, $(1 - \frac12\delta^2)(1 + \frac12\delta^2)$, and $+\frac12 \tan\theta\, \delta^3$ is
# left: an error of order $1/K^2$, and (but for the last step, which is Euler's) of the opposite sign.
# Heun generates slightly too *much* variance.
#
# **Certificate.** The package computes the law of a finite schedule by its own recursion, without
# angles. Compare it with {eq}`eq-cosines` for three variances, several schedules and both samplers;
# also compare with samples. The control replaces the angles by those of a wrong $\lambda$.


# %%
def kept(sigmas, variance, second_order):
    """Equation (cosines): generated over exact standard deviation."""
    theta = torch.atan(sigmas / math.sqrt(variance))
    delta = theta[:-1] - theta[1:]
    factor = delta.cos()
    if second_order:
        heun = factor * (1 + delta.sin() ** 2 / 2) + theta[:-1].tan() * delta.sin() ** 3 / 2
        factor = torch.cat([heun[:-1], factor[-1:]])
    return factor.prod().item()


variances = (0.04, 1.0, 25.0)
affine = dc.denoisers.Affine(torch.zeros(3), torch.tensor(variances, dtype=torch.float64).diag())
worst = control = 0.0
for steps in (1, 2, 7, 40):
    for make in (dc.noise.karras, dc.noise.log_linear, dc.noise.linear_beta, dc.noise.cosine):
        for second_order in (False, True):
            sigmas = make(steps)
            law = affine.law(sigmas, second_order=second_order)
            for variance, generated in zip(variances, law.cov.diagonal().tolist(), strict=True):
                exact = variance * sigmas[0].item() ** 2 / (variance + sigmas[0].item() ** 2)
                found = math.sqrt(generated / exact)
                worst = max(worst, abs(found / kept(sigmas, variance, second_order) - 1))
                control = max(control, abs(found / kept(sigmas, 1.1 * variance, second_order) - 1))
sigmas = dc.noise.karras(8)
noise = dc.sampling.initial_noise(run.size(smoke=4_000, book=20_000), (3,), seed=seed).double()
agreement = {
    "Euler": affine.law(sigmas).agreement(dc.sampling.ddim(affine, noise, sigmas), alpha=1e-5),
    "Heun": affine.law(sigmas, second_order=True).agreement(
        dc.sampling.heun(affine, noise, sigmas), alpha=1e-5
    ),
}
limit = affine.law(None).agreement(dc.sampling.ddim(affine, noise, sigmas), alpha=1e-5)
assert worst < 1e-9
assert control > 1e-3
assert all(report.ok for report in agreement.values())
assert not limit.ok  # eight Euler steps do not generate the data's variances
agreement["Euler"]

# %% [markdown]
# How fast does the error fall? {numref}`fig-order` shows it for $\lambda = 1$ with the exact law,
# and for our three bumps with the quantile map of {prf:ref}`cor-quantile-map` as the truth. There
# the error is the mean distance of a sample from where the exact flow takes the same noise. (For
# Euler's method on a line this *is* the Wasserstein-1 distance between the two laws: by
# {prf:ref}`thm-tweedie` the perfect denoiser increases in $y$, so both maps are increasing.) The
# slope of each line in this log–log picture is the order of the method.

# %% mystnb={"image": {"alt": "Two log-log plots of error against the number of steps. Left, Gaussian data: Euler's error falls with slope close to minus one, Heun's with slope close to minus two, both along their predicted lines. Right, three bumps: the same slopes after about thirty steps."}, "figure": {"caption": "Error against the number of steps (Karras schedule). Left: relative error of the generated standard deviation for Gaussian data; dots are the sampler's law, lines the leading terms of the cosine formula. Right: mean distance from the exact flow for the three bumps.", "name": "fig-order"}}
step_counts = np.array([8, 16, 32, 64, 128, 256])
unit = dc.denoisers.Affine(torch.zeros(1), torch.eye(1))
gauss_error, bumps_error, lost_paths = {}, {}, []
for name in ("Euler", "Heun"):
    gauss_error[name], bumps_error[name] = [], []
    sample = dc.sampling.heun if name == "Heun" else dc.sampling.ddim
    for steps in step_counts:
        sigmas = dc.noise.karras(int(steps), sigma_max=SIGMA_MAX)
        law = unit.law(sigmas, second_order=name == "Heun")
        exact = SIGMA_MAX**2 / (1 + SIGMA_MAX**2)
        gauss_error[name].append(abs(math.sqrt(law.eigenvalues.item() / exact) - 1))
        end, truth = sample(target, many, sigmas), quantile(target.cdf(many, SIGMA_MAX), 0.0)
        bumps_error[name].append((end - truth).abs().mean().item())
        if name == "Euler":  # the share that ends in another bump than the exact flow
            lost_paths.append(((end - truth).abs() > 0.3).double().mean().item())


def fitted_order(errors, first=2):
    """Slope of log error against log steps, from step_counts[first] on."""
    return np.polyfit(np.log(step_counts[first:]), np.log(errors[first:]), 1)[0]


# Leading terms: the angle as a smooth function of the step's share j / K of the schedule.
angles = torch.atan(dc.noise.karras(20_001, sigma_max=SIGMA_MAX)[:-1]).numpy()
speed = -np.gradient(angles, 1 / 20_000)
constant = {
    "Euler": np.trapezoid(speed**2 / 2, dx=1 / 20_000),
    "Heun": np.trapezoid(np.tan(angles) * speed**3 / 2, dx=1 / 20_000),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(6.0, 2.8), sharex=True)
for name, marker, power in (("Euler", "o", 1), ("Heun", "s", 2)):
    left.loglog(step_counts, gauss_error[name], marker, color=C["generated"])
    left.loglog(step_counts, constant[name] / step_counts**power, color=C["law"])
    right.loglog(step_counts, bumps_error[name], "-" + marker, color=C["generated"])
    left.text(step_counts[2], gauss_error[name][2] * 1.7, name, color=C["generated"])
    right.text(step_counts[2], bumps_error[name][2] * 1.7, name, color=C["generated"])
left.set(title="Gaussian data: error of the spread", xlabel="steps K", ylabel="error")
right.set(title="Three bumps: distance from flow", xlabel="steps K")
right.set_xticks(step_counts, [str(k) for k in step_counts])
right.minorticks_off()
plt.show()

# %%
orders = {
    "den_order_euler_gauss": fitted_order(gauss_error["Euler"]),
    "den_order_heun_gauss": fitted_order(gauss_error["Heun"]),
    "den_order_euler_bumps": fitted_order(bumps_error["Euler"]),
    "den_order_heun_bumps": fitted_order(bumps_error["Heun"]),
}
assert all(abs(value + (2 if "heun" in name else 1)) < 0.25 for name, value in orders.items())
dc.runtime.report(
    **{name: f"{value:.3f}".replace("-", "−") for name, value in orders.items()},
    den_constant_euler=f"{constant['Euler']:.3f}",
    den_constant_euler_found=f"{gauss_error['Euler'][-1] * 256:.3f}",
    den_error_euler_64=f"{bumps_error['Euler'][3]:.2g}",
    den_error_heun_32=f"{bumps_error['Heun'][2]:.2g}",
    den_lost_32=f"{100 * lost_paths[2]:.1f} %",
    den_lost_256=f"{100 * lost_paths[5]:.1f} %",
)

# %% [markdown]
# Over 32 to 256 steps the fitted slopes are {glue:text}`den_order_euler_gauss` (Euler) and
# {glue:text}`den_order_heun_gauss` (Heun) for Gaussian data, {glue:text}`den_order_euler_bumps` and
# {glue:text}`den_order_heun_bumps` for the bumps. The constant is predicted too: $K$ times Euler's
# relative loss tends to $\frac12 \int (\mathrm{d}\theta/\mathrm{d}s)^2\, \mathrm{d}s$, with
# $s = j/K$ the share of the schedule done, here {glue:text}`den_constant_euler`; at $K = 256$ we
# find {glue:text}`den_constant_euler_found`. Heun's step costs two denoiser calls, and repays them:
# 64 Euler steps leave an error of {glue:text}`den_error_euler_64` on the bumps, 32 Heun steps
# {glue:text}`den_error_heun_32`.
#
# An average hides something. Near the ridges between bumps a small error decides where a path ends.
# With 32 Euler steps {glue:text}`den_lost_32` of the paths end in another bump than the exact
# flow's, with 256 steps still {glue:text}`den_lost_256`. The *law* of the samples converges at the
# stated rate; a single sample may jump.
#
# ## Which schedule?
#
# A schedule decides where the $K$ steps are spent. Four are in common use: evenly spaced
# $\rho$-th roots of $\sigma$ with $\rho = 7$ {cite:p}`karras2022elucidating`, even steps of $\log\sigma$, the linear-β
# schedule {cite:p}`ho2020denoising`, and the cosine schedule {cite:p}`nichol2021improved`. In
# angles the last one is a straight line: it *is* the schedule that {prf:ref}`prop-cosines` calls
# best for $\lambda = 1$, up to its small offset and a cap at its noisiest step.

# %% mystnb={"image": {"alt": "Left: noise levels against the step number on a log scale for four schedules. Right: the same levels as angles; the cosine schedule falls along a straight line, the log-linear one stays near 90 degrees, then drops quickly and stays near zero, Karras and linear beta lie between."}, "figure": {"caption": "Four schedules with 20 steps: noise levels (left) and their angles arctan σ (right). Equal angles are best for Euler's method and unit variance.", "name": "fig-schedules"}} tags=["hide-input"]
schedules = {
    "karras": (dc.noise.karras, "generated", "o"),
    "log_linear": (dc.noise.log_linear, "denoiser", "s"),
    "linear_beta": (dc.noise.linear_beta, "noise", "^"),
    "cosine": (dc.noise.cosine, "law", "D"),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(6.0, 2.8))
for name, (make, color, marker) in schedules.items():
    sigmas = make(20)
    left.semilogy(sigmas[:-1], marker=marker, color=C[color], label=name.replace("_", "-"))
    right.plot(torch.rad2deg(torch.atan(sigmas)), marker=marker, color=C[color])
left.set(title="Noise level σ", xlabel="step j")
left.legend(fontsize=9)
right.set(title="Angle arctan σ, in degrees", xlabel="step j", yticks=[0, 30, 60, 90])
plt.show()

# %% [markdown]
# "Best" depends on the data's variance in each direction, on the sampler, and on whether the data
# is Gaussian at all. So compare at an equal number of denoiser calls, which is what costs time.
# Each schedule starts at its own $\sigma_0$ and is judged against the exact flow from there.

# %% mystnb={"image": {"alt": "Two log-log plots of error against the number of denoiser calls for four schedules, Euler on the left and Heun on the right. With Euler the cosine schedule has the smallest error everywhere; with Heun it has by far the largest, and Karras's the smallest from 39 calls on."}, "figure": {"caption": "Mean distance from the exact flow for the three bumps, at an equal number of denoiser calls. The cosine schedule is the best with Euler's method and the worst with Heun's.", "name": "fig-schedule-errors"}} tags=["hide-input"]
call_counts = [7, 11, 19, 39, 79, 159]
errors = {}
figure, axes = plt.subplots(1, 2, figsize=(6.0, 2.8), sharey=True)
for ax, method in zip(axes, ("Euler", "Heun"), strict=True):
    for name, (make, color, marker) in schedules.items():
        for calls in call_counts:
            sigmas = make(calls if method == "Euler" else (calls + 1) // 2)
            begin = many / SIGMA_MAX * sigmas[0]
            end = (dc.sampling.ddim if method == "Euler" else dc.sampling.heun)(
                target, begin, sigmas
            )
            truth = quantile(target.cdf(begin, sigmas[0].item()), 0.0)
            errors[method, name, calls] = (end - truth).abs().mean().item()
        line = [errors[method, name, calls] for calls in call_counts]
        ax.loglog(call_counts, line, marker=marker, color=C[color], label=name.replace("_", "-"))
    ax.set(title=method, xlabel="denoiser calls")
    ax.set_xticks(call_counts, [str(c) for c in call_counts])
    ax.minorticks_off()
axes[0].set_ylabel("distance from the exact flow")
axes[0].legend(fontsize=9)
plt.show()

# %% tags=["hide-input"]
theta = {name: torch.atan(make(20)) for name, (make, _, _) in schedules.items()}
dc.runtime.report(
    **{
        f"den_kept_{name}": f"{100 * kept(make(20), 1.0, False):.2f} %"
        for name, (make, _, _) in schedules.items()
    },
    den_cosine_start=f"{dc.noise.cosine(20)[0].item():.0f}",
    den_kept_best=f"{100 * math.cos(math.pi / 2 / 20) ** 20:.2f} %",
    den_kept_small_cosine=f"{100 * kept(dc.noise.cosine(20), 0.01, False):.2f} %",
    den_kept_small_karras=f"{100 * kept(dc.noise.karras(20), 0.01, False):.2f} %",
    **{
        f"den_calls39_{method.lower()}_{name}": f"{errors[method, name, 39]:.2g}"
        for method in ("Euler", "Heun")
        for name in schedules
    },
)

# %% [markdown]
# For Gaussian data of unit variance, 20 Euler steps keep {glue:text}`den_kept_cosine` of the
# standard deviation with the cosine schedule, {glue:text}`den_kept_karras` with Karras's,
# {glue:text}`den_kept_linear_beta` with linear β and {glue:text}`den_kept_log_linear` with
# log-linear levels. No schedule from a very large $\sigma_0$ can keep more than
# {glue:text}`den_kept_best`. In a direction of variance 0.01 the order turns round: cosine keeps
# {glue:text}`den_kept_small_cosine`, Karras {glue:text}`den_kept_small_karras`. Images have both
# kinds of direction.
#
# On the three bumps at 39 calls, Karras's schedule leaves {glue:text}`den_calls39_euler_karras`
# with Euler's method and {glue:text}`den_calls39_heun_karras` with Heun's; the cosine schedule
# {glue:text}`den_calls39_euler_cosine` and {glue:text}`den_calls39_heun_cosine`: the best for one
# sampler is the worst for the other. This is one data set; do not read a general ranking into it.
# What does hold in general is in {eq}`eq-cosines`: Heun's error grows with $\tan\theta\,\delta^3$,
# so Heun wants short angles where noise is high. Equal angles down from a $\sigma_0$ of
# {glue:text}`den_cosine_start` are the opposite.
#
# (sec-stochastic)=
# ## Fresh noise: stochastic samplers
#
# The first diffusion samplers were random at every step {cite:p}`ho2020denoising`, as the time
# reversal of a diffusion is in general {cite:p}`anderson1982reverse,song2021score`. DDIM can be
# turned into them by one knob, $\eta$. A step from $\sigma$ to $\sigma'$ goes down further than
# asked, to $\sigma_{\text{down}} \le \sigma'$, and then adds fresh noise $n'$:
#
# ```{math}
# :label: eq-ancestral
# \begin{aligned}
# y' &= \hat x + \frac{\sigma_{\text{down}}}{\sigma}(y - \hat x) + \sigma_{\text{up}}\, n', \\
# \sigma_{\text{up}} &= \eta\, \sigma' \sqrt{1 - \sigma'^2/\sigma^2}, \\
# \sigma_{\text{down}} &= \sqrt{\sigma'^2 - \sigma_{\text{up}}^2} .
# \end{aligned}
# ```
#
# With $\eta = 0$ this is DDIM, with $\eta = 1$ the ancestral sampler of DDPM (with the posterior's
# variance), between them the family of {cite:t}`song2021denoising` in our units. EDM's *churn* does
# it in the other order: add noise first, $\hat y = y + \sqrt{\hat\sigma^2 - \sigma^2}\; n'$ with
# $\hat\sigma > \sigma$, then step from $\hat\sigma$ {cite:p}`karras2022elucidating`. What is exact
# here, and what is not?
#
# ```{prf:proposition} What a stochastic step keeps
# :label: prop-ancestral-marginals
# Let $\E\norm{x}^2 < \infty$, let $y = x + \sigma n$ have law $p_\sigma$, let $D_\sigma$ be the
# posterior mean, $r = \sigma_{\text{down}}/\sigma$, and
# $\sigma_{\text{down}}^2 + \sigma_{\text{up}}^2 = \sigma'^2$.
# 1. With an independent *draw* $\tilde x$ from the posterior $p(x \mid y)$ in place of $\hat x$,
#    the step {eq}`eq-ancestral` leads to exactly $p_{\sigma'}$, for every target and every split.
# 2. With the posterior *mean* $\hat x = D_\sigma(y)$, the mean of $y'$ given $y$ is the same, and
#    the covariance of $y'$ falls short of that of $p_{\sigma'}$ by exactly
#    $(1 - r)^2\, \E \Cov(x \mid y)$.
# 3. If the target is one point and the start has the law $p_{\sigma_0}$, every level of every schedule
#    has exactly the law $p_{\sigma_j}$, for every $\eta$.
# 4. Churn's first half is exact for every target: $\hat y$ has the law $p_{\hat\sigma}$.
# 5. With $\eta = 1$ and $x$ known, the step draws from the forward process run backwards: from the
#    law of $x + \sigma' n'$ given that adding $\sqrt{\sigma^2 - \sigma'^2}\, n''$ to it gave $y$.
# ```
#
# ```{prf:proof}
# (1) Given $y$, the draw $\tilde x$ is distributed as $x$ is, so the pair $(\tilde x, y)$ has the
# law of $(x, y)$. Then $\tilde x + r(y - \tilde x) + \sigma_{\text{up}} n'$ has the law of
# $x + r\sigma n + \sigma_{\text{up}} n'$, and $r\sigma = \sigma_{\text{down}}$: Gaussian noise of
# variance $\sigma_{\text{down}}^2 + \sigma_{\text{up}}^2 = \sigma'^2$ on $x$. (2) Both steps have
# the mean $D_\sigma + r(y - D_\sigma)$ given $y$. Their covariances given $y$ are
# $\sigma_{\text{up}}^2 I$ and $\sigma_{\text{up}}^2 I + (1 - r)^2 \Cov(x \mid y)$. By the law of
# total covariance the difference of the unconditional ones is the mean of the difference. (3) For
# one point $\hat x = x$, so (1) applies from one level to the next. (4) Independent Gaussian noises
# add: $p_\sigma * \normal(0, (\hat\sigma^2 - \sigma^2) I) = p_{\hat\sigma}$. (5) For jointly
# Gaussian $y_1 = x + \sigma' n'$ and $y = y_1 + \sqrt{\sigma^2 - \sigma'^2}\, n''$, the law of
# $y_1$ given $y$ has mean $x + \frac{\sigma'^2}{\sigma^2}(y - x)$ and variance
# $\sigma'^2 - \sigma'^4/\sigma^2$. The coefficient is $r$ and the variance $\sigma_{\text{up}}^2$
# of $\eta = 1$.
# ```
#
# Line 2 is the whole story of step size in one term. A denoiser gives one answer where many are
# possible, and what is lost is the spread among them. The loss per step goes with $(1 - r)^2$, of
# the order of the square of the step's length, so that $K$ steps lose a total of order $1/K$. That
# fits {prf:ref}`prop-cosines`.
#
# **Certificate.** For the three bumps we can draw from the posterior. One long step, from
# $\sigma = 1$ to $\sigma' = 0.4$: with posterior draws the result must pass a Kolmogorov–Smirnov
# test against the exact $F_{\sigma'}$, with posterior means it must fail, with precisely the
# predicted loss of variance. A chain for a single-point target must pass at every level, and the
# affine law of the package must describe the samples.


# %%
def posterior_draw(y, sigma):
    weight, mean, within = target.posterior(y, sigma)
    part = torch.multinomial(weight, 1, generator=rng)
    return mean.gather(1, part)[:, 0] + math.sqrt(within) * gaussian(len(y), rng)


def ks(samples, sigma):
    return stats.kstest(target.cdf(samples, sigma).numpy(), "uniform").pvalue


n, sigma, sigma_next = run.size(smoke=10_000, book=100_000), 1.0, 0.4
y = target.sample(n, rng) + sigma * gaussian(n, rng)
x_hat, x_draw = target(y, sigma), posterior_draw(y, sigma)
rows, p_draw, p_mean, worst_z = {}, [], [], 0.0
for eta in (0.0, 0.5, 1.0):
    knobs = dc.noise.Knobs(eta=eta).split(sigma, sigma_next, steps=1)
    r, fresh = knobs.down / sigma, knobs.up * gaussian(n, rng)
    exact_step = x_draw + r * (y - x_draw) + fresh
    mean_step = x_hat + r * (y - x_hat) + fresh
    p_draw.append(ks(exact_step, sigma_next))
    p_mean.append(ks(mean_step, sigma_next))
    predicted = (1 - r) ** 2 * target.variance_given(y, sigma).mean().item()
    full = np.var(centres) + width**2 + sigma_next**2  # variance of p at the next level
    squares = full - (mean_step - np.mean(centres)) ** 2
    lost, error = squares.mean().item(), squares.std().item() / math.sqrt(n)
    worst_z = max(worst_z, abs(lost - predicted) / error)
    rows[f"den_lost_eta{10 * eta:02.0f}"] = (
        f"{lost:.4f} ± {2.58 * error:.4f}, predicted {predicted:.4f}"
    )
assert min(p_draw) > 1e-5
assert max(p_mean) < 1e-6
assert worst_z < 5

point = 0.7
levels = dc.noise.karras(6, sigma_max=SIGMA_MAX)
begin = point + SIGMA_MAX * gaussian(n, rng)
p_point = [
    stats.kstest(((state - point) / level).numpy(), "norm").pvalue
    for knobs in ({"eta": 0.0}, {"eta": 0.6}, {"eta": 1.0}, {"eta": 0.3, "churn": 3.0})
    for state, level in zip(
        dc.sampling.ancestral(
            lambda y, sigma: torch.full_like(y, point), begin, levels, seed=seed + 1,
            return_trajectory=True, **knobs,
        )[1:-1],
        levels[1:-1].tolist(),
        strict=True,
    )
]  # fmt: skip
assert min(p_point) > 1e-5 / len(p_point)
stochastic = affine.law(dc.noise.karras(8), eta=1.0)
samples = dc.sampling.ancestral(affine, noise, dc.noise.karras(8), seed=seed + 2)
assert stochastic.agreement(samples, alpha=1e-5).ok
no_eta = affine.law(dc.noise.karras(8)).agreement(samples, alpha=1e-5)
assert not no_eta.ok  # eta matters at eight steps
dc.runtime.report(
    **rows,
    den_draw_p=enumerate_p(p_draw),
    den_point_p=f"{min(p_point):.2g}",
    den_point_tests=len(p_point),
)

# %% [markdown]
# With posterior draws the $p$-values for $\eta = 0, 0.5, 1$ are {glue:text}`den_draw_p`; with means
# all are below $10^{-6}$. The variance lost at $\eta = 0$ is {glue:text}`den_lost_eta00`, and at
# $\eta = 1$ {glue:text}`den_lost_eta10`: the same step loses more when more noise is added. For the
# single point the smallest of {glue:text}`den_point_tests` $p$-values is {glue:text}`den_point_p`,
# as it should be for so many tests.
#
# So is fresh noise bad? With few steps it costs variance, as {numref}`fig-eta` shows. What it buys
# is forgetting. Whatever error is in $y$, the flow carries it along; a stochastic step replaces a
# part of $y$ by noise that is right by construction.

# %% mystnb={"image": {"alt": "Log-log plot of the missing share of the variance against the number of steps. Three lines for eta 0, 0.5 and 1 fall with slope minus one; the line for eta 1 is highest, the one for eta 0 lowest. A fourth line, for churn, lies just below eta 1."}, "figure": {"caption": "Share of the variance that is missing after K first-order steps, for Gaussian data of unit variance: exact laws, no sampling. The more fresh noise, the more is lost.", "name": "fig-eta"}}
figure, ax = plt.subplots(figsize=(5.2, 2.9))
settings = {
    "η = 0 (DDIM)": ({"eta": 0.0}, "-o"),
    "η = 0.5": ({"eta": 0.5}, "--s"),
    "η = 1 (ancestral)": ({"eta": 1.0}, "-.^"),
    "churn 10": ({"churn": 10.0}, ":D"),
}
missing = {}
for name, (knobs, style) in settings.items():
    exact = SIGMA_MAX**2 / (1 + SIGMA_MAX**2)
    missing[name] = [
        1 - unit.law(dc.noise.karras(int(k)), **knobs).eigenvalues.item() / exact
        for k in step_counts
    ]
    ax.loglog(step_counts, missing[name], style, color=C["generated"], label=name)
ax.set(xlabel="steps K", ylabel="missing share of the variance")
ax.set_xticks(step_counts, [str(k) for k in step_counts])
ax.set_yticks([0.03, 0.1, 0.3, 0.6], ["3 %", "10 %", "30 %", "60 %"])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
wrong_start = dc.denoisers.Affine(torch.ones(1), torch.eye(1))  # data mean 1; samplers start at 0
many_steps = dc.noise.karras(2_000, sigma_max=3.0)
forgot = {eta: 1 - wrong_start.law(many_steps, eta=eta).mean.item() for eta in (0.0, 1.0)}
assert abs(forgot[0.0] - 10**-0.5) < 0.002  # sqrt(λ / (λ + σ_max²)) with λ = 1, σ_max = 3
assert abs(forgot[1.0] - 10**-1.0) < 0.002  # its square
dc.runtime.report(
    den_missing_ddim=f"{100 * missing['η = 0 (DDIM)'][3]:.1f} %",
    den_missing_ancestral=f"{100 * missing['η = 1 (ancestral)'][3]:.1f} %",
    den_forgot_flow=f"{100 * forgot[0.0]:.1f} %",
    den_forgot_ancestral=f"{100 * forgot[1.0]:.1f} %",
)

# %% [markdown]
# With 64 steps DDIM misses {glue:text}`den_missing_ddim` of the variance and the ancestral sampler
# {glue:text}`den_missing_ancestral`. But start both with an error on purpose: at
# $\sigma_{\max} = 3$ with mean 0, when the data has mean 1. After very many steps the flow still
# carries {glue:text}`den_forgot_flow` of that error, the ancestral sampler
# {glue:text}`den_forgot_ancestral`, its square. Whatever moved $y$ early on, an imperfect denoiser
# say, is forgotten in the same way.
#
# ```{admonition} What would make this false?
# :class: warning
# - *Proved:* the theorems above, for the posterior mean or, in {prf:ref}`prop-cosines`, for affine
#   denoisers. The flow theorem assumes bounded data (or bounded data, blurred), which images are.
# - *Measured:* the orders 1 and 2 for the three bumps. They appear only once the steps are short
#   against the levels at which paths part. For discrete data the velocity's slope grows like
#   $1/\sigma^3$ between the points as $\sigma \to 0$, and a path that starts close to a ridge can
#   be sent to the wrong side by any finite step.
# - *Not shown:* which schedule or $\eta$ is best for images and trained networks. A network's error
#   can dwarf all discretisation errors here, and then the flow of its *own* denoiser, not
#   $p_\sigma$, is what samplers follow. That gap is the subject of this book.
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-02-score
# Given any perfect `denoise(y, sigma)`, write the score $\nabla \log p_\sigma(y)$. The self-check
# compares with autograd on the density of three points in the plane.
# ```


# %%
def my_score(denoise, y, sigma):
    """Your code: one line."""


# dc.exercises.check_score(my_score)

# %% [markdown]
# ```{solution-start} ex-02-score
# :label: sol-02-score
# :class: dropdown
# ```
# Solve Tweedie's formula ({prf:ref}`thm-tweedie`) for the score.


# %%
def score_from_denoiser(denoise, y, sigma):
    return (denoise(y, sigma) - y) / sigma**2


assert dc.exercises.check_score(score_from_denoiser)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-02-heun
# Write one step of Heun's method for {eq}`eq-flow` from `sigma` to `sigma_next`: take Euler's step,
# ask the denoiser for the slope at its end, go back and take the step again with the average of
# both slopes. What should happen at `sigma_next = 0`?
# ```


# %%
def my_heun_step(denoise, y, sigma, sigma_next):
    """Your code."""


# dc.exercises.check_heun_step(my_heun_step)

# %% [markdown]
# ```{solution-start} ex-02-heun
# :label: sol-02-heun
# :class: dropdown
# ```
# At $\sigma' = 0$ the slope $(y - D)/\sigma$ has no value, so the last step is Euler's
# {cite:p}`karras2022elucidating`.


# %%
def heun_step(denoise, y, sigma, sigma_next):
    slope = (y - denoise(y, sigma)) / sigma
    moved = y + (sigma_next - sigma) * slope
    if sigma_next == 0:
        return moved
    slope_end = (moved - denoise(moved, sigma_next)) / sigma_next
    return y + (sigma_next - sigma) * (slope + slope_end) / 2


assert dc.exercises.check_heun_step(heun_step)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-02-vp
# You downloaded a VP network `eps_model(x_t, alpha_bar)` that predicts the noise. Turn it into a
# denoiser `denoise(y, sigma)`, so that every sampler of this book can use it.
# ```


# %%
def my_denoiser(eps_model):
    """Your code: return a function of y and sigma."""


# dc.exercises.check_vp_model(my_denoiser)

# %% [markdown]
# ```{solution-start} ex-02-vp
# :label: sol-02-vp
# :class: dropdown
# ```
# Translate the input, ask, translate the answer ({prf:ref}`prop-ve-vp`):
# $\hat x = y - \sigma \hat\varepsilon$.


# %%
def as_denoiser(eps_model):
    def denoise(y, sigma):
        alpha_bar = 1 / (1 + sigma**2)
        return y - sigma * eps_model(y * math.sqrt(alpha_bar), alpha_bar)

    return denoise


assert dc.exercises.check_vp_model(as_denoiser)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-02-split
# Write `split(sigma, sigma_next, eta)`, which returns $\sigma_{\text{down}}$ and
# $\sigma_{\text{up}}$ of {eq}`eq-ancestral`. Then choose $\eta$: your denoiser is perfect and you
# can afford 20 steps, or it is poor and you can afford 1,000. Which $\eta$ do you try first in each
# case?
# ```


# %%
def my_split(sigma, sigma_next, eta):
    """Your code: return down, up."""


# dc.exercises.check_split(my_split)

# %% [markdown]
# ```{solution-start} ex-02-split
# :label: sol-02-split
# :class: dropdown
# ```
# Few steps and a perfect denoiser: $\eta = 0$, since fresh noise loses more variance per step
# ({numref}`fig-eta`) and there is nothing to forget. Many steps and a poor denoiser: $\eta = 1$,
# since the loss per step is small by then and errors of earlier steps are forgotten. Neither is a
# law; measure.


# %%
def split(sigma, sigma_next, eta):
    up = eta * sigma_next * math.sqrt(1 - sigma_next**2 / sigma**2)
    return math.sqrt(sigma_next**2 - up**2), up


assert dc.exercises.check_split(split)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-02-v
# Some networks predict neither the image nor the noise but
# $v = \sqrt{\bar\alpha}\; n - \sqrt{1 - \bar\alpha}\; x$ in VP units
# {cite:p}`salimans2022progressive`. Write the $v$ that an image prediction `x_hat` implies. On the
# circle of angles $(\cos\theta, \sin\theta) = (\sqrt{\bar\alpha}, \sqrt{1 - \bar\alpha})$, what is
# $v$?
# ```


# %%
def my_v(x_t, x_hat, alpha_bar):
    """Your code."""


# dc.exercises.check_v_prediction(my_v)

# %% [markdown]
# ```{solution-start} ex-02-v
# :label: sol-02-v
# :class: dropdown
# ```
# On the circle $x_t = x\cos\theta + n\sin\theta$, and $v$ is its derivative with respect
# to $\theta$: the velocity along the circle. In terms of $v$, DDIM with equal angles takes equal
# steps.


# %%
def v_from_x(x_t, x_hat, alpha_bar):
    signal, noise = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    eps_hat = (x_t - signal * x_hat) / noise
    return signal * eps_hat - noise * x_hat


assert dc.exercises.check_v_prediction(v_from_x)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Squared error makes a denoiser the posterior mean ({prf:ref}`thm-mmse`), and the posterior mean
#   is a step of length $\sigma^2$ up the log-density; its Jacobian is the posterior covariance over
#   $\sigma^2$ ({prf:ref}`thm-tweedie`).
# - Blurring is heat flow, heat flow is transport with velocity $(y - D_\sigma(y))/\sigma$, and
#   running it backwards turns noise into data ({prf:ref}`thm-probability-flow`). On a line that map
#   is known exactly ({prf:ref}`cor-quantile-map`).
# - DDIM is Euler's step of this flow, in VE and VP units alike ({prf:ref}`prop-ddim-euler`,
#   {prf:ref}`prop-ve-vp`).
# - For affine denoisers a DDIM step costs exactly the cosine of the angle it turns
#   ({prf:ref}`prop-cosines`): too little variance, error $1/K$. Heun's error is $1/K^2$.
# - A stochastic step would be exact with a posterior draw. With the posterior mean it loses the
#   posterior's spread ({prf:ref}`prop-ancestral-marginals`), and it forgets earlier errors.
#
# Next: what does this machinery generate when the denoiser is perfect for a finite training set? It
# copies ({doc}`03_the_perfect_denoiser_copies`).
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
