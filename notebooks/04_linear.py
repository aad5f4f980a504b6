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
# (sec-linear)=
# # Linear denoisers dream Gaussians
#
# The perfect denoiser copies its training set.
# Now we take almost everything away from it: at each noise level it may use one matrix and one
# vector, nothing more.
# Such a denoiser cannot store an image. What does it generate instead?
#
# The answer is complete. It generates a Gaussian with the mean and covariance of the data, whatever
# else the data look like.
# This chapter proves that, says exactly what changes when the sampler takes few steps, when
# training is regularised, stopped early
# or starved of data, and ends with the experiment that settles it: networks trained by stochastic
# gradient descent, held against the formulas.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** which Gaussian a linear denoiser generates, why few sampling steps lose
#   variance, how ridge, early stopping and small training sets change the law, and how to test such
#   a claim so that it can fail.
# - **Time** about 45 minutes; two hours with every proof and exercise.
# - **Prerequisites** eigenvectors of a covariance matrix, the normal distribution, and the sampler
#   of {doc}`02_denoising_scores_samplers`.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import itertools

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import integrate, linalg, stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, affine_law

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: all together refuse a true law less than once in 1,000 runs

# %% [markdown]
# ## Move something first
#
# Take the 1,797 real digits, 8×8 pixels each. Their covariance matrix has eigenvectors, patterns of
# pixels that vary together,
# and eigenvalues: how much each pattern varies. The figure below shows this spectrum (data), and
# the variance that a linear denoiser generates along the same patterns.
# Move the number of steps. Then move the ridge, a small penalty on the size of the matrix.

# %%
digits = dc.data.load("digits").x  # (1797, 1, 8, 8)
digits_denoiser = Affine.fit(digits)
dc.widgets.Explorer.formula(
    "affine_variance",
    data={"eigenvalues": digits_denoiser.eigenvalues},
    title="Few steps lose variance, a ridge loses more",
)

# %% [markdown]
# Three things to see before any algebra:
#
# - With many steps the generated variances lie on those of the data. (Only the very weakest
#   patterns, whose standard deviation is not much above the schedule's last noise level before zero,
#   stay short: the last step from there to zero costs them something.)
# - With few steps every one of them is too small, never too large.
# - A ridge eats the weak patterns first, and more steps do not bring them back.
#
# Each of these becomes a statement with a proof below. The second figure asks about *shape*. Choose
# a target in the plane.

# %%
count = 400


def cross(n, seed):
    """Two thin bars: as far from an ellipse as a target with two directions can be."""
    along, across = dc.data.toy.uniform(-1, 1, 1).sample(2 * n, seed).reshape(2, n)
    bars = torch.stack([1.3 * along, 0.05 * across], 1)
    return torch.where(torch.arange(n)[:, None] % 3 > 0, bars, bars.flip(1))


shapes = {
    "spiral": dc.data.toy.spiral().sample(count, seed),
    "checkerboard": dc.data.toy.checkerboard().sample(count, seed),
    "cross": cross(count, seed),
    "three points": dc.data.toy.atoms([[-1.0, -0.4], [0.2, 1.0], [1.1, -0.2]]).sample(count, seed),
    "two clusters": dc.data.toy.gaussian_mixture([[-0.8, -0.5], [0.8, 0.5]], 0.1).sample(
        count, seed
    ),
}
dc.widgets.Explorer.formula("ellipse_2d", data={"targets": shapes})

# %% [markdown]
# A spiral, a chessboard, three points: always an ellipse. Holes, corners and clusters are gone.
# The ellipse is not arbitrary, though: with enough steps it is the one that a statistician would
# draw around the target.
#
# (sec-linear-denoiser)=
# ## Which linear denoiser is the best one?
#
# A clean example is $x \in \mathbb R^d$, with mean $\mu$ and covariance $\Sigma$. We see it through
# noise, $y = x + \sigma n$.
# The denoiser may be any *affine* map, $D(y) = Ay + b$: a linear layer with a bias.
# We call it linear, as is customary for networks, and say "without bias" where $b = 0$.
# How good can it be? The answer is the filter of {cite:t}`wiener1949extrapolation`, in the form
# that estimation theory calls linear minimum mean squared error {cite:p}`kay1993fundamentals`.
#
# ```{prf:theorem} The best affine denoiser
# :label: thm-affine-denoiser
#
# Let $x$ have mean $\mu$ and finite covariance $\Sigma$, let $n$ be independent of $x$ with mean
# $0$ and covariance $I$, and let $\sigma > 0$.
# Among all affine maps exactly one minimises $L(A, b) = \mathbb E\lVert x - Ay - b\rVert^2$:
#
# $$D_\sigma(y) = \mu + A_\sigma (y - \mu), \qquad A_\sigma = \Sigma(\Sigma + \sigma^2 I)^{-1}.$$
#
# Every other affine map, $y \mapsto Ay + b$, loses more by
#
# $$L(A, b) - L_{\min} =
# \operatorname{tr}\bigl[(A - A_\sigma)(\Sigma + \sigma^2 I)(A - A_\sigma)^\top\bigr] +
# \lVert A\mu + b - \mu \rVert^2 .$$
# ```
#
# ```{prf:proof}
# Let $r = x - D_\sigma(y)$ be the error of the map that we claim to be the best. Its mean is
# $\mu - \mu = 0$.
# It is also uncorrelated with $y$: the covariance of $x$ with $y$ is $\Sigma$, that of $y$ with
# itself is $\Sigma + \sigma^2 I$, so $\mathbb E[r\,(y-\mu)^\top]$ is
# $\Sigma - A_\sigma(\Sigma + \sigma^2 I) = 0$.
#
# Any other map differs from $D_\sigma$ by an affine function of $y$,
#
# $$\Delta(y) = (A - A_\sigma)(y - \mu) + (A\mu + b - \mu) .$$
#
# Hence $\mathbb E[r^\top \Delta(y)] = 0$, and
#
# $$\mathbb E\lVert x - Ay - b\rVert^2 = \mathbb E\lVert r - \Delta(y)\rVert^2 =
# \mathbb E\lVert r\rVert^2 + \mathbb E\lVert\Delta(y)\rVert^2 .$$
#
# Writing out the last term gives the stated excess. Since $\Sigma + \sigma^2 I$ is positive
# definite, it is zero only for $A = A_\sigma$ and $b = \mu - A_\sigma\mu$.
# ```
#
# Let $u_i$ be the eigenvectors of $\Sigma$ and $\lambda_i \ge 0$ its eigenvalues. Then $A_\sigma$
# multiplies the coordinate along $u_i$ by the *gain*
#
# ```{math}
# :label: eq-gain
# \frac{\lambda_i}{\lambda_i + \sigma^2}.
# ```
#
# Patterns that vary more than the noise pass, the others are pulled to the mean. Nothing about the
# data enters but $\mu$ and $\Sigma$.
#
# **Does the excess formula hold?** It is what we shall hold trained networks against, so it gets
# its own check, on a target that is anything but Gaussian:
# sixteen tight clusters in eight dimensions, arranged so that *every* eigendirection sees two of
# them, and then rotated.


# %%
def sixteen_clusters():
    """A mixture with covariance U diag(a²) Uᵀ + 0.15² I, two-humped along each u_i."""
    signs = torch.from_numpy(linalg.hadamard(16)[:, 1:9]).double()  # orthogonal columns of ±1
    widths = torch.from_numpy(np.geomspace(2.0, 0.35, 8))
    generator = torch.Generator().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    centre = torch.tensor([1.0, -0.5, 0.5, 0.8, 0, 0, -1.0, 0.3], dtype=torch.float64)
    return dc.data.toy.gaussian_mixture((signs * widths) @ turn.T + centre, 0.15)


mixture = sixteen_clusters()
train_x = mixture.sample(4096, seed=seed)
denoise = Affine.fit(train_x)  # mean, eigenvalues and eigenvectors of these 4,096 points


def excess_loss(A, b, mean, cov, sigma):
    """How much more than the best affine denoiser the map y ↦ A y + b loses (the theorem)."""
    noisy_cov = cov + sigma**2 * torch.eye(len(cov))
    off = A - torch.linalg.solve(noisy_cov, cov).T
    return (torch.trace(off @ noisy_cov @ off.T) + (A @ mean + b - mean).square().sum()).item()


def measured_excess(A, b, best, target, sigma, n, seed):
    """The same by simulation: mean and standard error over n noisy examples."""
    x = target.sample(n, seed).double()
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + 1)).double()
    y = x + sigma * noise
    losses = [(x - y @ M.T - c).square().sum(1) for M, c in ((A, b), best.maps(sigma))]
    gap = losses[0] - losses[1]
    return gap.mean().item(), gap.std().item() / n**0.5


population = Affine(mixture.mean, mixture.cov)
generator = torch.Generator().manual_seed(seed + 7)
scores = []
for k, sigma in enumerate([0.05, 0.2, 0.5, 1.0, 2.0, 5.0]):
    A, b = population.maps(sigma)
    A = A + 0.1 * torch.randn(8, 8, generator=generator)
    b = b + 0.1 * torch.randn(8, generator=generator)
    found, error = measured_excess(A, b, population, mixture, sigma, 20_000, seed + 10 * k + 1)
    scores.append((found - excess_loss(A, b, mixture.mean, mixture.cov, sigma)) / error)
p_excess = stats.chi2.sf(sum(z * z for z in scores), len(scores))
print("measured - predicted, in standard errors:\n", "  ".join(f"{z:+.2f}" for z in scores))
assert p_excess > LEVEL

# %% tags=["remove-input"]
dc.runtime.report(linear_p_excess=f"{p_excess:.2f}")

# %% [markdown]
# Six random maps, six noise levels: the differences look like standard errors should (χ² test, p =
# {glue:text}`linear_p_excess`).
#
# (sec-linear-law)=
# ## What does it dream?
#
# Sampling follows the probability-flow equation
#
# ```{math}
# :label: eq-linear-flow
# \frac{dy}{d\sigma} = \frac{y - D_\sigma(y)}{\sigma},
# ```
#
# from pure noise, $y \sim \mathcal N(0, \sigma_{\max}^2 I)$, down to $\sigma = 0$.
# With the gain {eq}`eq-gain` the equation falls apart into $d$ separate ones, one for each
# eigendirection, and each has a solution that can be written down.
#
# ```{prf:theorem} A linear denoiser generates a Gaussian
# :label: thm-affine-law
#
# Let $y$ follow {eq}`eq-linear-flow` with the best affine denoiser, from
# $\mathcal N(0, \sigma_{\max}^2 I)$ at $\sigma_{\max}$ down to $0$. With
# $r_i = \sqrt{\lambda_i / (\lambda_i + \sigma_{\max}^2)}$, the end point is Gaussian with
#
# $$\begin{aligned}
# \text{mean}\quad & \mu - \sum_i r_i\,(u_i^\top\mu)\,u_i, \\
# \text{covariance}\quad &
# \sum_i \frac{\lambda_i\,\sigma_{\max}^2}{\lambda_i + \sigma_{\max}^2}\, u_i u_i^\top .
# \end{aligned}$$
#
# As $\sigma_{\max} \to \infty$ this tends to $\mathcal N(\mu, \Sigma)$.
# ```
#
# ```{prf:proof}
# Let $z_i = u_i^\top(y - \mu)$. From {eq}`eq-gain`,
# $u_i^\top(y - D_\sigma(y)) = z_i\,\bigl(1 - \tfrac{\lambda_i}{\lambda_i+\sigma^2}\bigr)$, so
#
# $$\frac{dz_i}{d\sigma} = \frac{\sigma}{\lambda_i + \sigma^2}\,z_i =
# z_i\,\frac{d}{d\sigma}\,\tfrac12\log(\lambda_i + \sigma^2),$$
#
# $$z_i(\sigma) = z_i(\sigma_{\max})
# \sqrt{\frac{\lambda_i + \sigma^2}{\lambda_i + \sigma_{\max}^2}} .$$
#
# At $\sigma = 0$ the factor is $r_i$. The start,
# $z_i(\sigma_{\max}) = u_i^\top y(\sigma_{\max}) - u_i^\top\mu$, is normal with mean $-u_i^\top\mu$
# and variance $\sigma_{\max}^2$, independently for each $i$.
# A linear map of a normal vector is normal; multiply by $r_i$ and add $\mu$. As
# $\sigma_{\max}\to\infty$, $r_i \to 0$ and $r_i^2\sigma_{\max}^2 \to \lambda_i$.
# ```
#
# Read the theorem twice. The *target* was never assumed to be Gaussian. The Gaussian comes from the
# noise at the start, and the denoiser can only stretch and shift it.
# Two data sets with the same $\mu$ and $\Sigma$ generate the same samples, image for image, from
# the same starting noise.
#
# Formulas like this one are spelled out in {cite:t}`wang2024unreasonable` for Gaussian data; that
# the best linear denoiser of *any* data set is the Gaussian one is Theorem 1 of
# {cite:t}`li2024understanding`.
#
# **Check.** We choose a small $\sigma_{\max} = 5$, where the shift of the mean is easy to see,
# solve the equation with many fine second-order steps in double precision, and compare path by
# path.

# %%
fine = dc.noise.log_linear(run.size(smoke=500, book=2000), sigma_min=1e-4, sigma_max=5.0)
start = dc.sampling.initial_noise(200, (8,), sigma_max=5.0, seed=seed).double()
end = dc.sampling.heun(population, start, fine)

r = (population.eigenvalues / (population.eigenvalues + 5.0**2)).sqrt()
U = population.eigenvectors
predicted = mixture.mean + ((start - mixture.mean) @ U * r) @ U.T
path_error = (end - predicted).abs().max().item()
shift = (population.ode_law(5.0).mean - mixture.mean).norm().item()
assert path_error < 1e-3 < 0.01 * shift  # fine enough to tell the shifted mean from μ


# %% tags=["hide-input"]
def power_of_ten(value, digits=0):
    """0.000013 as 1.3·10⁻⁵."""
    factor, exponent = f"{value:.{digits}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{factor}·10{raised}"


dc.runtime.report(linear_path_error=power_of_ten(path_error, 1), linear_mean_shift=f"{shift:.2f}")

# %% [markdown]
# The largest difference over 200 paths is {glue:text}`linear_path_error`; the mean is off by
# {glue:text}`linear_mean_shift` at this $\sigma_{\max}$, as the theorem says.
# At the usual $\sigma_{\max} = 80$ the shift is about sixteen times smaller.
#
# (sec-linear-steps)=
# ## Few steps: the law of the sampler that really runs
#
# Nobody runs infinitely many steps. The sampler takes a schedule
# $\sigma_0 > \sigma_1 > \dots > \sigma_K = 0$, and each DDIM step is
# $y' = D_\sigma(y) + (\sigma'/\sigma)(y - D_\sigma(y))$. For a linear denoiser the law of *that*
# sampler is just as explicit.
#
# ```{prf:corollary} The exact law of K steps
# :label: cor-finite-steps
#
# From $\mathcal N(0, \sigma_0^2 I)$, the DDIM sampler with the best affine denoiser generates a
# Gaussian with
#
# $$\begin{aligned}
# \text{mean}\quad & \mu - \sum_i g_i\,(u_i^\top\mu)\,u_i, \\
# \text{covariance}\quad & \sum_i \sigma_0^2\,g_i^2\;u_iu_i^\top, \\
# \text{where}\quad & g_i = \prod_{j=0}^{K-1}
# \frac{\lambda_i + \sigma_j\sigma_{j+1}}{\lambda_i + \sigma_j^2} .
# \end{aligned}$$
#
# Along every $u_i$ with $\lambda_i > 0$ the variance is smaller than that of the exact flow in
# {prf:ref}`thm-affine-law`: finite steps lose variance, always.
# ```
#
# ```{prf:proof}
# One step multiplies $z_i$ by
#
# $$\frac{\lambda_i}{\lambda_i+\sigma^2} +
# \frac{\sigma'}{\sigma}\cdot\frac{\sigma^2}{\lambda_i+\sigma^2} =
# \frac{\lambda_i+\sigma\sigma'}{\lambda_i+\sigma^2} .$$
#
# The product of the steps is $g_i$, and the rest is as in {prf:ref}`thm-affine-law` with $g_i$ in
# place of $r_i$.
#
# For the comparison, the exact flow multiplies by
# $\sqrt{(\lambda_i+\sigma'^2)/(\lambda_i+\sigma^2)}$ over the same step. By the Cauchy–Schwarz
# inequality for the vectors $(\sqrt{\lambda_i}, \sigma)$ and $(\sqrt{\lambda_i}, \sigma')$,
# $(\lambda_i + \sigma\sigma')^2 \le (\lambda_i + \sigma^2)(\lambda_i+\sigma'^2)$, with equality
# only if $\sigma = \sigma'$. Divide by $(\lambda_i+\sigma^2)^2$ and take roots: each step contracts
# more than the flow does.
# ```
#
# How much is lost? Take one direction with $\lambda = 1.7$ and the schedule of
# {cite:t}`karras2022elucidating` ($\rho = 7$, from 80 to 0.002, then 0).

# %%
# Written down to four digits: a slip in the formula or the schedule cannot pass unnoticed.
known = {5: 0.4593, 10: 0.9800, 18: 1.2698, 50: 1.5361, 200: 1.6577, 1000: 1.6911}


def generated_variance(lam, sigmas):
    """σ₀² Π ((λ + σ_j σ_{j+1}) / (λ + σ_j²))², the corollary in one line."""
    now, after = sigmas[:-1], sigmas[1:]
    return (sigmas[0] ** 2 * ((lam + now * after) / (lam + now**2)).prod() ** 2).item()


one = Affine(torch.zeros(1), torch.tensor([[1.7]]))
print(f"{'K':>5} {'formula':>9} {'law()':>9} {'known':>9}   share of 1.7")
for K, answer in known.items():
    sigmas = dc.noise.karras(K)
    by_hand, by_law = generated_variance(1.7, sigmas), one.law(sigmas).cov.item()
    print(f"{K:5d} {by_hand:9.4f} {by_law:9.4f} {answer:9.4f}   {by_hand / 1.7:.1%}")
    assert abs(by_hand - answer) < 5e-5
    assert abs(by_law - answer) < 5e-5

# %% tags=["remove-input"]
dc.runtime.report(
    linear_share_18=f"{generated_variance(1.7, dc.noise.karras(18)) / 1.7:.0%}",
    linear_share_1000=f"{generated_variance(1.7, dc.noise.karras(1000)) / 1.7:.1%}",
)

# %% [markdown]
# With 18 steps, a common number, {glue:text}`linear_share_18` of the variance is left; even a
# thousand steps stop at {glue:text}`linear_share_1000`.
# So here is a trap. Whoever trains a linear denoiser, samples with a few Euler steps and compares
# with $\mathcal N(\mu, \Sigma)$ finds a mismatch, and may blame the theory or the training. The
# culprit is the sampler.
# The right yardstick is the law of the finite schedule.
#
# ```{admonition} What would make this false?
# :class: note
# The shape of the target cannot; only a target without finite variance is excluded. But both laws
# need a denoiser that is affine at *every* level and a Gaussian start. One ReLU, or clipping the
# pixels to $[-1, 1]$ on the way, and the samples need not be Gaussian any more.
# ```
#
# ### Certificate on sixteen clusters
#
# Fit the closed form, generate with 18 steps, test. The report below holds the samples against the
# law in seven ways: mean, variances, correlations, skewness, kurtosis, and the distance from the
# plane on which the law lives (here all of space).
# Each line but the first has a p-value, and the verdict allows for their number.

# %%
sigmas = dc.noise.karras(18)
n = run.size(smoke=2000, book=8000)
noise = dc.sampling.initial_noise(n, (8,), seed=seed)
samples = dc.sampling.ddim(denoise, noise, sigmas)
law = denoise.law(sigmas)
report = law.agreement(samples, alpha=LEVEL)
assert report.ok
report


# %%
def variances_along(x, mean, directions):
    """Mean square of x - mean along each direction (columns)."""
    code = (x.flatten(1).double() - mean.flatten()) @ directions
    return code.square().mean(0)


def ratio_interval(x, mean, directions, variances, level=0.95):
    """Measured / predicted variance along each direction, with its χ² interval: three arrays."""
    ratio = (variances_along(x, mean, directions) / variances).numpy()
    low, high = (len(x) / stats.chi2.ppf(q, len(x)) for q in (0.5 + level / 2, 0.5 - level / 2))
    return ratio, ratio * low, ratio * high


def excess_kurtosis(x, directions):
    """Fourth cumulant over squared variance, along each direction: 0 for a Gaussian."""
    code = (x.flatten(1).double() - x.flatten(1).double().mean(0)) @ directions
    return ((code**4).mean(0) / code.square().mean(0) ** 2 - 3).numpy()


U, spectrum = denoise.eigenvectors, denoise.eigenvalues
law_variance = (U.T @ law.cov @ U).diagonal()
ratio, low, high = ratio_interval(samples, law.mean, U, law_variance)
kurtosis_data, kurtosis_made = excess_kurtosis(train_x, U), excess_kurtosis(samples, U)

m = run.size(smoke=400, book=1000)
energy = dc.metrics.energy_test(
    samples[:m], law.sample(m, seed=seed + 1), permutations=4999, seed=seed
)
energy_data = dc.metrics.energy_test(samples[:m], train_x[:m], seed=seed)
distance = dc.metrics.sliced_wasserstein(samples, law.sample(n, seed=seed + 1))
floor = dc.metrics.sliced_wasserstein(law.sample(n, seed=seed + 2), law.sample(n, seed=seed + 3))
distance_data = dc.metrics.sliced_wasserstein(samples, train_x)
assert energy.p_value > 1 / 5000  # the smallest of its 5,000 possible values
assert energy_data.p_value < 0.01
# Seven standard errors: at n = 2,000 the tail of a sample kurtosis is far from normal.
assert abs(kurtosis_made).max() < 7 * (24 / n) ** 0.5 < 1 < -kurtosis_data.max()

# %% mystnb={"image": {"alt": "Left: generated over predicted variance for the eight eigendirections, with intervals, all around one; against the data's own covariance the ratios lie clearly below one. Right: excess kurtosis near minus two for the data and near zero for the samples."}, "figure": {"caption": "Sixteen clusters, 18 steps. Left: measured variance of the samples along each eigendirection, divided by the finite-step law's (with 95 % intervals) and by the data's. Right: excess kurtosis; far below zero for the clusters in every direction, that of a Gaussian for the samples.", "name": "fig-linear-mixture"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.1), width_ratios=[1.4, 1])
place = np.arange(1, 9)
left.axhline(1, color=COLORS["law"], lw=1.2)
left.errorbar(place, ratio, [ratio - low, high - ratio], fmt="o", color=COLORS["generated"], lw=1.3)
left.plot(place, ratio * (law_variance / spectrum).numpy(), "x", color=COLORS["data"])
left.text(1, 1.05, "÷ finite-step law", color=COLORS["generated"], va="bottom")
left.text(1, 0.55, "÷ covariance of the data", color=COLORS["data"])
left.set(title="Variance ratio", xlabel="eigendirection, strongest first", ylim=(0, 1.25))
right.axhline(0, color=COLORS["law"], lw=1.2)
right.plot(place, kurtosis_data, "s", color=COLORS["data"])
right.plot(place, kurtosis_made, "o", color=COLORS["generated"])
right.text(4.5, -1.62, "data", color=COLORS["data"], ha="right")
right.text(8, -0.15, "samples", color=COLORS["generated"], ha="right", va="top")
right.set(title="Excess kurtosis", xlabel="eigendirection", ylim=(-2.2, 0.4))
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    linear_mixture_low=f"{ratio.min():.3f}",
    linear_mixture_high=f"{ratio.max():.3f}",
    linear_mixture_inside=f"{int(((low <= 1) & (high >= 1)).sum())} of 8",
    linear_mixture_energy=f"{energy.p_value:.2f}",
    linear_mixture_energy_data=f"{energy_data.p_value:.3f}",
    linear_mixture_sw=f"{distance:.3f}",
    linear_mixture_sw_floor=f"{floor:.3f}",
    linear_mixture_sw_data=f"{distance_data:.2f}",
    linear_kurtosis_data=f"{kurtosis_data.mean():.2f}".replace("-", "−"),
    linear_kurtosis_made=f"{kurtosis_made.mean():.3f}".replace("-", "−"),
)

# %% [markdown]
# The variance ratios lie between {glue:text}`linear_mixture_low` and
# {glue:text}`linear_mixture_high`, and {glue:text}`linear_mixture_inside` intervals hold the value
# 1.
# The energy test {cite:p}`szekely2013energy`, which would notice *any* difference given enough
# samples, sees none between the samples and draws from the law (p =
# {glue:text}`linear_mixture_energy`),
# and rejects at once that they come from the clusters (p = {glue:text}`linear_mixture_energy_data`,
# the smallest value this many permutations can give).
# The sliced Wasserstein distance to the law is {glue:text}`linear_mixture_sw`, against
# {glue:text}`linear_mixture_sw_floor` between two draws of the law itself, and
# {glue:text}`linear_mixture_sw_data` to the data.
# The mean excess kurtosis falls from {glue:text}`linear_kurtosis_data` (two humps) to
# {glue:text}`linear_kurtosis_made` (none).
#
# ### Certificate on digits, and the trap
#
# The same with images, at ten steps, against two laws. One of them has to fail.


# %%
def smallest_p(report):
    return min(s.p_value for s in report.statistics if s.p_value is not None)


few = dc.noise.karras(10)
count = run.size(smoke=2000, book=8000)
digit_noise = dc.sampling.initial_noise(count, (1, 8, 8), seed=seed)
made = dc.sampling.ddim(digits_denoiser, digit_noise, few)
right_law, naive_law = digits_denoiser.law(few), digits_denoiser.law(None)
right_report = right_law.agreement(made, alpha=LEVEL)
naive_report = naive_law.agreement(made, alpha=LEVEL)
assert right_report.ok
assert not naive_report.ok
print("Against the law of ten steps\n", right_report, "\n", sep="")
print("Against N(μ, Σ)\n", naive_report, sep="")

# %% mystnb={"image": {"alt": "Three grids of small images: training digits, crisp; images generated by the linear denoiser, grey smudges in which parts of digits can be guessed; and draws from the predicted Gaussian, of the same look as the generated ones."}, "figure": {"caption": "Left: training digits. Middle: generated by the best linear denoiser in 200 steps. Right: drawn from the law, without any denoising. The last two differ in the random numbers only.", "name": "fig-linear-digits"}} tags=["hide-input"]
many = dc.noise.karras(200)
shown = 36
picked = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))[:shown]
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.7))
dc.style.image_grid(digits[picked], columns=6, ax=axes[0], title="training images")
dreamt = digits_denoiser.generate(digit_noise[:shown], many)
dc.style.image_grid(dreamt, columns=6, ax=axes[1], title="generated")
drawn = digits_denoiser.law(many).sample(shown, seed=seed)
dc.style.image_grid(drawn, columns=6, ax=axes[2], title="drawn from the law")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    linear_digits_rank=right_law.rank,
    linear_digits_naive=f"{naive_report['variance, all directions'].value:.2f}",
    linear_digits_p=f"{smallest_p(right_report):.2f}",
    linear_digits_copies=f"{100 * dc.metrics.copied_fraction(made, digits):.1f} %",
)

# %% [markdown]
# Sixty-four pixels, but {glue:text}`linear_digits_rank` directions: some pixels never change, and
# the law lives on a plane that the test checks too.
# Against the law of ten steps the smallest p-value is {glue:text}`linear_digits_p`.
# Against $\mathcal N(\mu, \Sigma)$ the samples have {glue:text}`linear_digits_naive` of the
# variance that they should have, and the test says so.
#
# Is this creativity? Of the samples {glue:text}`linear_digits_copies` are copies, the rest is new.
# But hardly one is a digit.
# A linear denoiser knows how pixels vary together in pairs and nothing else, and a digit is more
# than its pairs.
#
# (sec-linear-any)=
# ## Any affine denoiser, any sampler
#
# The corollary used that all steps share one eigenbasis. A trained network will not do us that
# favour, and other samplers add fresh noise on the way.
# Nothing breaks: a step that is affine in $y$ keeps a Gaussian Gaussian.
#
# ```{prf:theorem} One recursion for all of them
# :label: thm-any-affine
#
# Let the denoiser be affine at every level, $D_\sigma(y) = A_\sigma y + b_\sigma$, with any
# matrices. Let a sampler go from level $\sigma$ to $\sigma'$ by adding noise of variance $s^2$,
# applying the deterministic update $y \mapsto My + c$, and adding noise of variance $t^2$. Then
# every state is Gaussian, and its mean $m$ and covariance $C$ follow
#
# $$\begin{aligned}
# m' &= Mm + c, \\
# C' &= M(C + s^2 I)M^\top + t^2 I,
# \end{aligned}$$
#
# from $m_0 = 0$ and $C_0 = \sigma_0^2 I$.
#
# With $w = \hat\sigma'/\hat\sigma$, where $\hat\sigma = \sqrt{\sigma^2 + s^2}$ and
# $\hat\sigma' = \sqrt{\sigma'^2 - t^2}$, the update of DDIM, of the ancestral sampler and of churn
# is
#
# $$\begin{aligned}
# M &= wI + (1-w)A_{\hat\sigma}, \\
# c &= (1-w)\,b_{\hat\sigma} .
# \end{aligned}$$
#
# The update of Heun's sampler (all steps but the last, which is first-order) is affine too: with
# $h = \tfrac12(\hat\sigma' - \hat\sigma)$ and $M, c$ on the right as above,
#
# $$\begin{aligned}
# M_{\text{Heun}} &= I + h\Bigl[\tfrac{1}{\hat\sigma}(I - A_{\hat\sigma})
# {}+ \tfrac{1}{\hat\sigma'}(I - A_{\hat\sigma'})M\Bigr], \\
# c_{\text{Heun}} &= h\Bigl[-\tfrac{1}{\hat\sigma}b_{\hat\sigma}
# {}+ \tfrac{1}{\hat\sigma'}\bigl((I - A_{\hat\sigma'})c - b_{\hat\sigma'}\bigr)\Bigr].
# \end{aligned}$$
# ```
#
# ```{prf:proof}
# The first formula is the mean and covariance of $M(y + s\,n_1) + c + t\,n_2$ with $y, n_1, n_2$
# independent; sums and linear images of independent normal vectors are normal, so induction over
# the steps gives the law.
# The first-order update is $D + w(y - D)$ with $D = A_{\hat\sigma}y + b_{\hat\sigma}$. Heun's
# update is $y + h\,(k_1 + k_2)$, with the slope $k_1 = (y - D_{\hat\sigma}(y))/\hat\sigma$ at the
# start and
# $k_2 = (\bar y - D_{\hat\sigma'}(\bar y))/\hat\sigma'$ at the first-order point $\bar y = My + c$;
# insert.
# ```
#
# `affine_law` is this recursion, `Affine.law` the same in the eigenbasis. The check uses denoisers
# made to be awkward: at each level another random, unsymmetric perturbation of the best one, so
# that no two of the matrices commute.

# %%
coarse = dc.noise.karras(12)
generator = torch.Generator().manual_seed(seed + 5)
awkward = {}
for sigma in coarse[:-1].tolist():
    A, b = denoise.maps(sigma)
    turn = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    awkward[sigma] = (A + 0.06 * turn, b + 0.1 * torch.randn(8, generator=generator))


def nearest_level(sigma):
    return awkward[min(awkward, key=lambda level: abs(np.log(level / sigma)))]


def awkward_denoise(y, sigma):
    A, b = nearest_level(sigma)
    return y @ A.T.to(y) + b.to(y)


samplers = {
    "DDIM": (lambda y: dc.sampling.ddim(awkward_denoise, y, coarse), {}),
    "Heun": (lambda y: dc.sampling.heun(awkward_denoise, y, coarse), {"second_order": True}),
    "ancestral": (
        lambda y: dc.sampling.ancestral(awkward_denoise, y, coarse, seed=1),
        {"eta": 1.0},
    ),
    "churn": (
        lambda y: dc.sampling.ancestral(awkward_denoise, y, coarse, seed=1, eta=0.0, churn=4.0),
        {"churn": 4.0},
    ),
}
wrong = affine_law(denoise.maps, coarse, (8,))  # the law of the unperturbed denoiser
p_smallest = {}
for name, (sampler, knobs) in samplers.items():
    made_by = sampler(noise)
    against = affine_law(nearest_level, coarse, (8,), **knobs).agreement(made_by, alpha=LEVEL)
    control = wrong.agreement(made_by, alpha=LEVEL)
    assert against.ok, name
    assert not control.ok, name
    p_smallest[name] = smallest_p(against)
print("smallest p-value:", "  ".join(f"{k} {v:.3f}" for k, v in p_smallest.items()))

# %% [markdown]
# All four agree with their own law, and none with the law of the unperturbed denoiser. So far the
# denoiser was given; from here on the recursion is the bridge from *whatever training produced* to
# *what is generated*.
#
# (sec-linear-deviations)=
# ## What bends the law
#
# In practice the mapping is not the ideal one. Networks have no bias terms, or a penalty on their
# weights, or are not trained to the end.
# Each of these has its own closed form.
#
# ### Without a bias
#
# ```{prf:proposition} Linear without bias
# :label: prop-no-bias
#
# If only linear maps $D(y) = Ay$ are allowed, everything above holds with $\mu$ replaced by $0$ and
# $\Sigma$ by $\mathbb E[xx^\top] = \Sigma + \mu\mu^\top$. In the limit the law is
# $\mathcal N(0, \Sigma + \mu\mu^\top)$.
# ```
#
# ```{prf:proof}
# Let $s = \pm1$ be a fair random sign, $\tilde x = sx$ and $\tilde y = \tilde x + \sigma n$. Taking
# the sign out,
# $\lVert\tilde x - A\tilde y\rVert = \lVert x - A(x + \sigma s n)\rVert$, and $sn$, like $n$, is
# independent of $x$ with mean $0$ and covariance $I$.
# So $x$ and $\tilde x$ have the same loss at every $A$.
# The target $\tilde x$ has mean $0$ and covariance $\mathbb E[xx^\top]$; its best affine map is
# linear by {prf:ref}`thm-affine-denoiser`, hence also the best linear map for $x$.
# ```
#
# The samples lose the mean and get it back as variance: every sample is as likely as its negative.

# %% mystnb={"image": {"alt": "Two rows of generated images: with bias they share a dark frame as the digits do; without bias half of them look like negatives, with bright frames."}, "figure": {"caption": "The same noise through the best linear denoiser with bias (top) and without (bottom). Without a bias, images and their negatives are equally likely.", "name": "fig-linear-bias"}} tags=["hide-input"]
biasless = Affine.fit(digits, bias=False)
fig, axes = plt.subplots(2, 1, figsize=(7.2, 1.9))
dc.style.image_grid(
    digits_denoiser.generate(digit_noise[:16], many), columns=16, ax=axes[0], title="with bias"
)
dc.style.image_grid(
    biasless.generate(digit_noise[:16], many), columns=16, ax=axes[1], title="without bias"
)
plt.show()

# %%
from_biasless = dc.sampling.ddim(biasless, digit_noise, few)
second_moment = Affine(
    torch.zeros_like(digits_denoiser.mean),
    digits_denoiser.law().cov + torch.outer(*2 * [digits_denoiser.mean.flatten()]),
)
assert second_moment.law(few).agreement(from_biasless, alpha=LEVEL).ok
assert not right_law.agreement(from_biasless, alpha=LEVEL).ok  # the law with bias must fail

# %% [markdown]
# ### With a ridge
#
# A ridge {cite:p}`hoerl1970ridge`, or weight decay, adds $\gamma\lVert A\rVert_F^2$ to the loss. In
# the best denoiser $\sigma^2 + \gamma$ then stands where $\sigma^2$ stood. That looks harmless. It
# is not.
#
# ```{prf:proposition} A ridge makes the law collapse
# :label: prop-ridge-collapse
#
# Let $\gamma > 0$. The minimiser of $L(A,b) + \gamma\lVert A\rVert_F^2$ is
#
# $$D_\sigma(y) = \mu + \Sigma(\Sigma + (\sigma^2 + \gamma)I)^{-1}(y - \mu) .$$
#
# Let $a = \lambda_i + \gamma$. The flow from
# $\sigma_{\max}$ to $\sigma_{\min}$ multiplies $z_i$ by
#
# $$\frac{z_i(\sigma_{\min})}{z_i(\sigma_{\max})} =
# \Bigl(\frac{\sigma_{\min}}{\sigma_{\max}}\Bigr)^{\gamma/a}
# \Bigl(\frac{a + \sigma_{\min}^2}{a + \sigma_{\max}^2}\Bigr)^{\lambda_i/2a} .$$
#
# For every $\gamma > 0$ it tends to $0$ as $\sigma_{\min} \to 0$: the exact flow generates the
# single image $\mu$.
# ```
#
# ```{prf:proof}
# Setting the gradient of the penalised loss to zero gives
# $A(\Sigma + \sigma^2 I) + \gamma A = \Sigma$ and $b = \mu - A\mu$. Along $u_i$ the flow reads
#
# $$\frac{d\log z_i}{d\sigma} =
# \frac1\sigma\Bigl(1 - \frac{\lambda_i}{a + \sigma^2}\Bigr) =
# \frac{\gamma + \sigma^2}{\sigma\,(a + \sigma^2)} =
# \frac{\gamma}{a}\cdot\frac1\sigma + \frac{\lambda_i}{a}\cdot\frac{\sigma}{a + \sigma^2},$$
#
# where the last step splits into partial fractions, using $a - \gamma = \lambda_i$. Integrate:
#
# $$\log z_i = \frac\gamma a\log\sigma + \frac{\lambda_i}{2a}\log(a + \sigma^2) + \text{const}.$$
#
# As $\sigma_{\min}\to0$ the first factor tends to $0$ and the second stays bounded.
# ```
#
# The reason in words: at low noise the honest answer is "leave $y$ alone". A ridge does not allow
# that; it pulls towards the mean a little at *every* step, and the number of times that the noise
# level can be halved has no end.
# The collapse is slow, a power of $\sigma_{\min}$ with exponent $\gamma/(\lambda_i + \gamma)$:
# strong patterns hardly notice, patterns weaker than the ridge vanish.

# %% mystnb={"image": {"alt": "Generated variance as a share of the eigenvalue against the lowest noise level, for four strengths of the ridge. Without ridge the curve is flat at one. With a ridge each curve falls towards zero as the lowest noise level decreases, faster for a larger ridge."}, "figure": {"caption": "Collapse under a ridge, for λ = 1.7 and σ_max = 80. Curves: the formula. Dots: the variance of 4,000 samples on the way down, in fine second-order steps.", "name": "fig-linear-ridge"}} tags=["hide-input"]
lam, lows = 1.7, np.geomspace(1e-6, 1, 60)
path = dc.noise.log_linear(run.size(smoke=150, book=400), sigma_min=1e-5, sigma_max=80.0)
white = dc.sampling.initial_noise(4000, (1,), seed=seed).double()
worst_ridge = 0.0
fig, ax = plt.subplots(figsize=(6.4, 3))
for ridge in (0.0, 0.05, 0.2, 1.0):
    bent = Affine(torch.zeros(1), torch.tensor([[lam]]), ridge=ridge)
    curve = [(80 * bent.ode_ratio(80.0, low).item()) ** 2 / lam for low in lows]
    ax.plot(lows, curve, color=COLORS["law"])
    middle = 24 if ridge < 1 else 46
    ax.text(lows[middle], curve[middle] + 0.03, f"γ = {ridge:g}", color=COLORS["law"], ha="right")
    for step in dc.sampling.steps(bent, white, path, second_order=True):
        if step.index % (len(path) // 6) == 0 and 0 < step.sigma_next < 1:
            found = (step.y / white).median().item()  # the same factor for every sample
            exact = bent.ode_ratio(80.0, step.sigma_next).item()
            worst_ridge = max(worst_ridge, abs(found / exact - 1))
            ax.plot(step.sigma_next, step.y.var() / lam, "o", color=COLORS["generated"])
ax.set(
    xscale="log",
    ylim=(0, 1.2),
    xlabel="lowest noise level $\\sigma_{\\min}$",
    ylabel="variance / λ",
)
plt.show()

# %%
ratio_known = Affine(torch.zeros(1), torch.tensor([[1.7]]), ridge=0.05).ode_ratio(80.0, 0.01).item()
print(f"λ = 1.7, γ = 0.05, σ from 80 to 0.01: ratio {ratio_known:.8f}, known 0.01438032")
assert abs(ratio_known - 0.01438032) < 1e-8
assert worst_ridge < 1e-2

# %% [markdown]
# ### Stopped early
#
# Gradient descent started at zero does not learn all directions at the same speed, and stopping it
# early is a regulariser of its own {cite:p}`yao2007early`. Let us measure training in *time*
# $\tau$, the learning rate times the number of steps, and let the steps be small.
#
# ```{prf:proposition} Early stopping
# :label: prop-early-stopping
#
# Let the data be centred, $\mu = 0$. Gradient flow
# $\frac{dA}{d\tau} = -\nabla_A\,\mathbb E\lVert x - Ay\rVert^2$ from $A(0) = 0$ gives
#
# $$A(\tau) = \Sigma(\Sigma+\sigma^2I)^{-1}\bigl(I - e^{-2\tau(\Sigma+\sigma^2I)}\bigr) .$$
#
# Along $u_i$ the gain is its final value times $1 - e^{-2\tau(\lambda_i+\sigma^2)}$. Furthermore:
#
# 1. Gradient descent with rates $\kappa_t$ and momentum $\beta$ puts in place of
#    $1 - e^{-2\tau h}$, $h = \lambda_i + \sigma^2$, the share $p_T(h)$ that starts at $p_0 = v_0 = 0$ and follows
#    $v_{t+1} = \beta v_t + 2h(p_t - 1)$, $p_{t+1} = p_t - \kappa_t v_{t+1}$.
# 2. If each step uses fresh examples and fresh noise, drawn independently, the *expected* weights
#    of stochastic gradient descent follow exactly this path.
# ```
#
# ```{prf:proof}
# The gradient is $2\bigl(A(\Sigma + \sigma^2 I) - \Sigma\bigr)$. With $H = \Sigma+\sigma^2I$ and
# $A_* = \Sigma H^{-1}$ the flow is $\frac{d}{d\tau}(A - A_*) = -2(A - A_*)H$, so
# $A(\tau) - A_* = -A_*e^{-2\tau H}$. In the eigenbasis of $\Sigma$ every factor is diagonal.
#
# For the first addition, write $A_t = A_*P_t$ and the momentum buffer as $A_*V_t$. The gradient is
# $2A_*(P_t - I)H$, so $P_t$ and $V_t$ stay functions of $H$, and each eigenvalue $h$ follows the
# stated recursion.
# For the second, a stochastic gradient is affine in $A_t$, with coefficients that do not depend on
# the past. Its expectation given the past is the full gradient at $A_t$; since that is affine, the
# expectation over the past is the full gradient at $\mathbb E A_t$.
# ```
#
# Directions with much variance are learnt first: this is *spectral bias*. A direction with
# $\lambda_i + \sigma^2 \ll 1/\tau$ has not been learnt at all. At high noise $\sigma^2$ speeds up
# all directions alike; at low noise the weak ones are left behind.
# The law follows by {prf:ref}`thm-any-affine`: `Affine(…, stopped_at=τ).law(sigmas)`. Near
# $\sigma = 0$ the untrained share $e^{-2\tau\lambda_i}$ acts like a ridge, with the same collapse.

# %% mystnb={"image": {"alt": "Generated variance as a share of the fully trained law, against the eigenvalue, for four stopping times. Each curve rises from zero for small eigenvalues to one for large ones; longer training moves the rise to smaller eigenvalues."}, "figure": {"caption": "Spectral bias on digits: variance that a linear denoiser generates when gradient flow stops at time τ, relative to the end of training. 18 steps; every dot is an eigendirection.", "name": "fig-linear-early"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3))
trained_to_end = digits_denoiser.law(sigmas)
V, lambdas = digits_denoiser.eigenvectors, digits_denoiser.eigenvalues
full = (V.T @ trained_to_end.cov @ V).diagonal()
for tau, tint in zip((1, 10, 100, 1000), (0.35, 0.55, 0.75, 1.0), strict=True):
    stopped = Affine.fit(digits, stopped_at=float(tau)).law(sigmas)
    share = ((V.T @ stopped.cov @ V).diagonal() / full).numpy()
    ax.plot(lambdas, share, "o-", ms=3, color=COLORS["law"], alpha=tint)
    at = int(np.argmin(abs(share - 0.5)))
    ax.text(lambdas[at] * 0.85, 0.5, f"τ = {tau}", ha="right", color=COLORS["law"])
ax.set(xscale="log", xlabel="eigenvalue λ of the data", ylabel="variance / fully trained")
plt.show()

# %% [markdown]
# ### With few examples
#
# In practice $\mu$ and $\Sigma$ are those of $N$ training images. Whatever the law of the images
# was, the denoiser sees the sample mean $\hat\mu$ and covariance $\hat\Sigma$ and
# generates $\mathcal N(\hat\mu, \hat\Sigma)$. What does it cost that $N$ is finite?
#
# ```{prf:proposition} Samples stay in the span of the data
# :label: prop-rank
#
# Let the best affine denoiser be fitted to $x_1, \dots, x_N$ with mean $\hat\mu$. Every sample lies
# in the affine span $\hat\mu + \operatorname{span}\{x_i - \hat\mu\}$, of dimension at most $N - 1$,
# for every schedule that ends at $0$ and each sampler of {prf:ref}`thm-any-affine`.
# If $N - 1 < d$, that is a proper plane.
# ```
#
# ```{prf:proof}
# The range of $\hat\Sigma = \frac1N\sum_i(x_i-\hat\mu)(x_i - \hat\mu)^\top$ is
# $\operatorname{span}\{x_i-\hat\mu\}$; the $N$ vectors sum to zero, so its dimension is at most
# $N-1$.
# $A_\sigma = \hat\Sigma(\hat\Sigma + \sigma^2I)^{-1}$ has the same range, hence
# $D_\sigma(y)\in\hat\mu + \operatorname{range}\hat\Sigma$ for all $y$. The last step of each
# sampler goes to $\sigma' = 0$ and returns $D_\sigma(y)$.
# ```
#
# Gradient descent from zero respects this plane: each update of $A$ has errors $Ay - x_i$ on its
# left, and for centred data these lie in the span as long as $A$ maps into it.
#
# So twenty digits make a linear denoiser that dreams in mixtures of twenty digits. It does not
# copy: it blends.

# %%
twenty = digits[torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))[:20]]
small = Affine.fit(twenty)
blends = dc.sampling.ancestral(small, digit_noise[:2000], dc.noise.karras(30), seed=seed)
basis = torch.linalg.qr((twenty - twenty.mean(0)).flatten(1).double().T)[0][:, :19]
offset = (blends - twenty.mean(0)).flatten(1).double()
off_plane = (offset - offset @ basis @ basis.T).norm(dim=1).max().item()
copies = dc.metrics.copied_fraction(blends, twenty)
assert off_plane < 1e-4
assert small.law().rank == 19
assert small.law(dc.noise.karras(30), eta=1.0).agreement(blends, alpha=LEVEL).ok

# %% tags=["remove-input"]
dc.runtime.report(
    linear_off_plane=power_of_ten(off_plane), linear_twenty_copies=f"{100 * copies:.1f} %"
)

# %% [markdown]
# The largest distance from the 19-dimensional plane is {glue:text}`linear_off_plane`: rounding.
# {glue:text}`linear_twenty_copies` of the samples count as copies of one of the twenty.
#
# With more examples than dimensions the plane is full, but the spectrum is still wrong, in a way
# that a classical theorem describes.
#
# ```{prf:theorem} Marčenko and Pastur 1967
# :label: thm-marchenko-pastur
#
# Let all entries of $x_1, \dots, x_N \in \mathbb R^d$ be independent draws of one law with mean $0$
# and variance $1$, and let $N, d \to \infty$ with $d/N \to c \in (0, 1)$. With probability one the
# histogram of the eigenvalues of $\hat\Sigma$ tends to the density
#
# $$\rho_c(\lambda) = \frac{\sqrt{(\lambda_+ - \lambda)(\lambda - \lambda_-)}}{2\pi c\,\lambda},
# \qquad
# \lambda_\pm = (1 \pm \sqrt c)^2 .$$
# ```
#
# We do not prove it; see {cite:t}`marchenko1967distribution`. All true eigenvalues are $1$, and yet
# with $N = 4d$ the generated ones spread from $\frac14$ to $\frac94$.
# A linear denoiser that is trained to perfection on such a set invents patterns, favourite
# directions that are not there. This is overfitting, the linear cousin of copying, and it goes away
# only as $d/N \to 0$.


# %%
def mp_density(x, c):
    """The Marčenko–Pastur density for unit variance and ratio c = d / N < 1."""
    low, high = (1 - c**0.5) ** 2, (1 + c**0.5) ** 2
    return np.sqrt(np.clip((high - x) * (x - low), 0, None)) / (2 * np.pi * c * x)


def mp_distance(values, c):
    """The Kolmogorov–Smirnov distance of eigenvalues from the Marčenko–Pastur law."""
    grid = np.linspace((1 - c**0.5) ** 2, (1 + c**0.5) ** 2, 4001)
    cdf = integrate.cumulative_trapezoid(mp_density(grid, c), grid, initial=0)
    return stats.kstest(values, lambda x: np.interp(x, grid, cdf)).statistic


def generated_spectrum(d, n, seed):
    """Variances that a linear denoiser fitted to n draws of white noise generates."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    return Affine.fit(x).law().eigenvalues.numpy()


sizes = run.size(smoke=(50, 100, 200), book=(50, 100, 200, 400))
spectra = {d: generated_spectrum(d, 4 * d, seed + d) for d in sizes}
distances = {d: mp_distance(v, 0.25) for d, v in spectra.items()}
largest = sizes[-1]
control = mp_distance(spectra[largest], 0.3)  # the wrong ratio must be told apart
# The trace has an exact law: N tr Σ̂ is χ² with (N - 1) d degrees of freedom.
freedom = (4 * largest - 1) * largest
trace = 4 * largest * spectra[largest].sum()
p_trace = 2 * min(stats.chi2.cdf(trace, freedom), stats.chi2.sf(trace, freedom))
print("   d   KS distance   d × distance")
for d, gap in distances.items():
    print(f"{d:4d}   {gap:11.4f}   {d * gap:12.2f}")
# Where simulated, d × distance is 2 to 3, with standard deviation 0.4; for independent draws it
# would be about 0.9 √d.
assert all(d * gap < 6 for d, gap in distances.items())
assert largest * control > 6
assert p_trace > LEVEL

# %% mystnb={"image": {"alt": "Histogram of generated variances between 0.25 and 2.25 with the Marčenko–Pastur density drawn over it; the bars follow the curve. A vertical line marks the true value one."}, "figure": {"caption": "White data, four examples for each dimension. Bars: variances that the fitted linear denoiser generates (the ODE law). Curve: Marčenko–Pastur. The target has variance 1 in all directions.", "name": "fig-linear-mp"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
grid = np.linspace(0.2, 2.3, 400)
ax.hist(spectra[largest], bins=28, density=True, color=COLORS["generated"], alpha=0.55)
ax.plot(grid, mp_density(grid, 0.25), color=COLORS["law"])
ax.axvline(1, color=COLORS["data"], ls="--", lw=1.3)
ax.text(1.02, ax.get_ylim()[1] * 0.93, "the target: all at 1", color=COLORS["data"])
ax.text(1.55, 0.45, "Marčenko–Pastur", color=COLORS["law"])
ax.set(xlabel="generated variance", ylabel="density")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    linear_mp_d=largest,
    linear_mp_distance=f"{distances[largest]:.4f}",
    linear_mp_control=f"{control:.3f}",
    linear_mp_p_trace=f"{p_trace:.2f}",
)

# %% [markdown]
# At $d$ = {glue:text}`linear_mp_d` the distribution function is within
# {glue:text}`linear_mp_distance` of the theorem's; the distance shrinks like $1/d$, much faster
# than for independent draws, because eigenvalues repel each other.
# For the wrong ratio, $c = 0.3$ in place of $0.25$, it is {glue:text}`linear_mp_control`.
# The theorem speaks of a limit and gives no bound at finite $d$, so the honest statement is a
# measured distance. One statistic is exact at every size, the trace, and agrees (p =
# {glue:text}`linear_mp_p_trace`).

# %% [markdown]
# (sec-linear-settling)=
# ## The settling experiment: does training get there?
#
# All laws so far start from a closed form. A sceptic may object: optimiser, batch size and early
# stopping can produce another mapping, and then the laws say nothing about real networks.
# The objection can be tested. We train networks whose *only* constraint is to be affine at each
# noise level, by stochastic gradient descent on the denoising loss, and ask three questions.
#
# 1. **Loss.** How far is the trained denoiser from the best one, at each level
#    ({prf:ref}`thm-affine-denoiser`)?
# 2. **The ideal law.** Do its samples follow {prf:ref}`cor-finite-steps`?
# 3. **The law of what was learnt.** Do they follow the recursion of {prf:ref}`thm-any-affine` with
#    the trained matrices? This should hold without exception.
#
# ```{admonition} What would make this false?
# :class: note
# If samples failed the third test, the recursion or the sampler would be wrong. If they failed the
# second while the loss is at its minimum, the theory of this chapter would be.
# If they fail the second and not the third, training did not reach the minimum, and
# {prf:ref}`prop-early-stopping` should say in which directions.
# ```
#
# The optimiser is plain SGD with momentum 0.9 and a learning rate that falls linearly to zero.
# Weights start at zero. Every step draws fresh examples and fresh noise.

# %%
levels = dc.noise.karras(18)
momentum = 0.9


def train_linear(x, scale, steps, batch, rate, seed, adam=False):
    """A free matrix for each level, trained from zero, and the learning rates that it saw."""
    network = dc.networks.constrained.Affine(x.shape[1:], levels, scale=scale, gain=0, skip=False)
    if adam:
        optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    decay = dc.training.linear_decay(steps)
    dc.training.train(
        network, x, optimizer=optimizer, schedule=decay, steps=steps, batch=batch, seed=seed,
        bar=False,
    )  # fmt: skip
    return network, [rate * decay(t) for t in range(steps)]


seeds = range(run.size(smoke=2, book=3))
mixture_steps = run.size(smoke=200, book=2000)
scale = denoise.eigenvalues.mean().sqrt().item()
mixture_networks = [
    train_linear(train_x, scale, mixture_steps, 256, 0.2, seed + s)[0] for s in seeds
]


# %%
def relative_excess(maps, closed_form):
    """Excess denoising loss over the best affine loss, at each level."""
    cov, mean = closed_form.law().cov, closed_form.mean.flatten()
    lam = closed_form.eigenvalues
    return np.array([
        excess_loss(*maps(s), mean, cov, s) / (lam * s**2 / (lam + s**2)).sum().item()
        for s in levels[:-1].tolist()
    ])  # fmt: skip


def law_of(network):
    return affine_law(network.maps, levels, network.shape)


ideal = denoise.law(levels)
crowd = run.size(smoke=20_000, book=400_000)
rows = []
for s, network in zip(seeds, mixture_networks, strict=True):
    start = dc.sampling.initial_noise(crowd, (8,), seed=seed + 100 + s)
    made = dc.sampling.ddim(network.denoise, start, levels)
    learnt = law_of(network)
    few_ideal = ideal.agreement(made[:2000], alpha=LEVEL)
    all_ideal = ideal.agreement(made, alpha=LEVEL)
    all_learnt = learnt.agreement(made, alpha=LEVEL)
    two_sample = dc.metrics.energy_test(made[:m], ideal.sample(m, seed=seed + s), seed=seed)
    ratio_s = (U.T @ learnt.cov @ U).diagonal() / (U.T @ ideal.cov @ U).diagonal()
    rows.append((relative_excess(network.maps, denoise), ratio_s.numpy(),
                 smallest_p(few_ideal), two_sample.p_value,
                 smallest_p(all_ideal), smallest_p(all_learnt), made))  # fmt: skip
    assert all_learnt.ok
    assert not all_ideal.ok
print("              variance      p-value against the law")
print("seed  excess  ratios        ideal 2000  energy  ideal all  learnt all")
for s, (excess, r_s, p_few, p_energy, p_all, p_learnt, _) in zip(seeds, rows, strict=True):
    print(f"{s:4d} {excess.max():7.2%}  {r_s.min():.3f}–{r_s.max():.3f} {p_few:11.3f} "
          f"{p_energy:7.2f} {p_all:10.0e} {p_learnt:11.3f}")  # fmt: skip

# %% tags=["hide-input"]
all_ratios = np.stack([row[1] for row in rows])
dc.runtime.report(
    linear_sgd_excess=f"{100 * max(row[0].max() for row in rows):.2f} %",
    linear_sgd_low=f"{all_ratios.min():.3f}",
    linear_sgd_high=f"{all_ratios.max():.3f}",
    linear_sgd_crowd=f"{crowd:,}",
    linear_sgd_p_learnt=f"{min(row[5] for row in rows):.3f}",
    linear_sgd_p_few=f"{min(row[2] for row in rows):.3f}",
    linear_sgd_kurtosis=f"{max(abs(excess_kurtosis(row[6], U)).max() for row in rows):.3f}",
)

# %% [markdown]
# On the clusters, training gets there, up to the noise of SGD. The excess loss is at most
# {glue:text}`linear_sgd_excess` at any level and seed, and the variances of the learnt law are
# between {glue:text}`linear_sgd_low` and {glue:text}`linear_sgd_high` times the ideal ones.
# With 2,000 samples the ideal law is not refuted (smallest p over all statistics and seeds
# {glue:text}`linear_sgd_p_few`). (All this at the profile `book`; `smoke` trains for a tenth of the
# steps and does not get there.)
#
# A test that passes may only be too weak, so we also ask it with {glue:text}`linear_sgd_crowd`
# samples. Now the ideal law *is* refuted, for every seed: the small deviations are real. The law
# of the learnt matrices is not (smallest of all p-values {glue:text}`linear_sgd_p_learnt`; the
# verdict allows for their number).
# The samples are Gaussian all the same: no excess kurtosis beyond {glue:text}`linear_sgd_kurtosis`
# in any direction, from a target that has {glue:text}`linear_kurtosis_data` on average.
#
# ### Digits: where training does not get there
#
# Real images are harder, because their eigenvalues span {glue:text}`linear_digits_span` orders of
# magnitude. We subtract the mean image, as is usual, and train.

# %%
centred = digits - digits_denoiser.mean.float()
closed = Affine.fit(centred)
V, lambdas = closed.eigenvectors, closed.eigenvalues
pixel_scale = (lambdas.sum() / centred[0].numel()).sqrt().item()
digit_steps = run.size(smoke=100, book=800)
digit_networks = [
    train_linear(centred, pixel_scale, digit_steps, 128, 1.0, seed + s) for s in seeds
]
with_adam = {
    rate: train_linear(centred, pixel_scale, digit_steps, 128, rate, seed, adam=True)[0]
    for rate in (0.003, 0.03)
}


def share_learnt(sigma, rates):
    """The share p_T(λ + σ²) that SGD has learnt of each eigendirection, in expectation.

    The loss is a mean over d pixels in units of the network's scale, and its input is divided by
    sqrt(scale² + σ²): both only rescale the learning rate.
    """
    d = centred[0].numel()
    curvature = 2 / d * (lambdas + sigma**2) / (pixel_scale**2 + sigma**2)
    share, velocity = torch.zeros_like(curvature), torch.zeros_like(curvature)
    for rate in rates:
        velocity = momentum * velocity + curvature * (share - 1)
        share = share - rate * velocity
    return share


def expected_maps(rates):
    """The expected trained denoiser, level by level."""
    shares = {s: share_learnt(s, rates) for s in levels[:-1].tolist()}
    zero = torch.zeros(centred[0].numel(), dtype=torch.float64)
    return lambda s: ((V * (closed.gain(s) * shares[s])) @ V.T, zero)


# %%
ideal_digits = closed.law(levels)
ideal_variance = (V.T @ ideal_digits.cov @ V).diagonal()
expected = expected_maps(digit_networks[0][1])
expected_law = affine_law(expected, levels, (1, 8, 8))
expected_ratio = ((V.T @ expected_law.cov @ V).diagonal() / ideal_variance).numpy()

n_digits = run.size(smoke=2000, book=10_000)
outcome = []
for s, (network, _) in zip(seeds, digit_networks, strict=True):
    start = dc.sampling.initial_noise(n_digits, (1, 8, 8), seed=seed + 200 + s)
    made = dc.sampling.ddim(network.denoise, start, levels)
    learnt = law_of(network)
    learnt_variance = (V.T @ learnt.cov @ V).diagonal()
    ratio, low, high = ratio_interval(made, learnt.mean, V, learnt_variance)
    outcome.append({
        "made": made,
        "learnt": learnt.agreement(made, alpha=LEVEL),
        "ideal": ideal_digits.agreement(made, alpha=LEVEL),
        "energy": dc.metrics.energy_test(made[:m], ideal_digits.sample(m, seed=s), seed=seed),
        "ratio": (learnt_variance / ideal_variance).numpy(),
        "measured": ratio * (learnt_variance / ideal_variance).numpy(),
        "inside": int(((low <= 1) & (high >= 1)).sum()),
        "excess": relative_excess(network.maps, closed),
        "same noise": (made - closed.generate(start, levels)).square().sum().item()
        / made.square().sum().item(),
    })  # fmt: skip
    assert outcome[-1]["learnt"].ok
    assert not outcome[-1]["ideal"].ok
adam_ratio = {}
for rate, network in with_adam.items():
    learnt = law_of(network)
    made = dc.sampling.ddim(network.denoise, start, levels)
    assert learnt.agreement(made, alpha=LEVEL).ok
    adam_ratio[rate] = ((V.T @ learnt.cov @ V).diagonal() / ideal_variance).numpy()
intervals = len(seeds) * len(lambdas)
inside = sum(o["inside"] for o in outcome)
p_inside = stats.binomtest(inside, intervals, 0.95).pvalue
assert p_inside > LEVEL
print(outcome[0]["learnt"], "\n\nAgainst the ideal law:\n", outcome[0]["ideal"], sep="")

# %% mystnb={"image": {"alt": "Variance of the learnt law over the ideal one against the eigenvalue, for several seeds of SGD, the prediction from early stopping and Adam. For eigenvalues above one hundredth the seeds lie at one; below, SGD falls to nearly zero along the predicted curve. Adam with a small rate stays low nearly everywhere, with a large one it lies near one everywhere and above one for weak directions."}, "figure": {"caption": "Digits, all eigendirections. Dots: variance of generated samples over the ideal law's, for each seed of SGD. Line: predicted from learning rates and eigenvalues alone (early stopping). Crosses: Adam with two learning rates, for which there is no such prediction.", "name": "fig-linear-spectral-bias"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 3.2))
ax.axhline(1, color=COLORS["data"], lw=1)
for o in outcome:
    ax.plot(lambdas, o["measured"], "o", ms=3.2, color=COLORS["generated"], alpha=0.6)
ax.plot(lambdas, expected_ratio, color=COLORS["law"])
for shape, found in zip("+x", adam_ratio.values(), strict=True):
    ax.plot(lambdas, found, shape, color=COLORS["noise"], ms=4)
ax.text(0.2, 0.2, "Adam, rate 0.003", color=COLORS["noise"])
ax.text(1e-5, 1.28, "Adam, rate 0.03", color=COLORS["noise"])
ax.text(2.6e-3, 0.4, "predicted by\nearly stopping", color=COLORS["law"], ha="right")
ax.text(0.02, 0.86, "SGD, by seed", color=COLORS["generated"])
ax.set(xscale="log", xlabel="eigenvalue λ of the data", ylabel="generated / ideal variance")
ax.set_ylim(-0.05, 1.4)
plt.show()

# %% mystnb={"image": {"alt": "Excess denoising loss relative to the best, on a logarithmic scale, against the noise level. At high noise it is below one percent for clusters and digits; at the lowest levels it stays small for the clusters and exceeds one for digits, along the dashed prediction."}, "figure": {"caption": "How much more than the best affine denoiser the trained networks lose, relative to its loss, at each noise level. Dashed: the part that early stopping predicts for digits. The rest is the noise of SGD.", "name": "fig-linear-excess"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.8, 3))
at = levels[:-1].numpy()
for o in outcome:
    ax.plot(at, o["excess"], "o-", ms=3, color=COLORS["generated"], alpha=0.6)
for row in rows:
    ax.plot(at, row[0], "s-", ms=3, color=COLORS["denoiser"], alpha=0.6)
predicted_excess = relative_excess(expected, closed)
ax.plot(at, np.maximum(predicted_excess, 1e-9), "--", color=COLORS["law"])
ax.text(at[3], outcome[0]["excess"][3] * 1.6, "digits", color=COLORS["generated"])
ax.text(at[3], rows[0][0][3] / 3.5, "clusters", color=COLORS["denoiser"])
ax.set(xscale="log", yscale="log", ylim=(1e-5, 60), xlabel="noise level σ")
ax.set_ylabel("relative excess loss")
plt.show()

# %% tags=["hide-input"]
small_ones = np.stack([o["ratio"] for o in outcome]).max(0) < 0.5
visible = (lambdas[torch.from_numpy(small_ones)].sum() / lambdas.sum()).item()
errors = np.concatenate([abs(o["ratio"] - expected_ratio) for o in outcome])
dc.runtime.report(
    linear_digits_span=f"{np.log10(lambdas[0].item() / lambdas[-1].item()):.1f}",
    linear_digits_inside=f"{inside} of {intervals}",
    linear_digits_p_inside=f"{p_inside:.2f}",
    linear_digits_p_learnt=f"{min(smallest_p(o['learnt']) for o in outcome):.3f}",
    linear_digits_energy=f"{min(o['energy'].p_value for o in outcome):.2f}",
    linear_digits_lost=int(small_ones.sum()),
    linear_digits_lost_variance=f"{100 * visible:.3f} %",
    linear_digits_error=f"{errors.max():.3f}",
    linear_digits_same=f"{100 * max(o['same noise'] for o in outcome):.1f} %",
    linear_digits_excess_low=f"{max(o['excess'][-1] for o in outcome):.1f}",
    linear_digits_excess_high=f"{100 * max(o['excess'][0] for o in outcome):.1f} %",
    linear_digits_expected_low=f"{predicted_excess[-1]:.1f}",
    linear_adam_slow_low=f"{adam_ratio[0.003].min():.2f}",
    linear_adam_slow_high=f"{adam_ratio[0.003].max():.2f}",
    linear_adam_fast_low=f"{adam_ratio[0.03].min():.2f}",
    linear_adam_fast_high=f"{adam_ratio[0.03].max():.2f}",
)

# %% [markdown]
# What matched, and what did not:
#
# - **The law of the learnt matrices holds**, for every seed (smallest p
#   {glue:text}`linear_digits_p_learnt`; {glue:text}`linear_digits_inside` intervals of 95 % hold
#   the predicted variance, binomial p = {glue:text}`linear_digits_p_inside`).
# - **The ideal law fails**, for every seed. {glue:text}`linear_digits_lost` of the
#   {glue:text}`linear_digits_rank` directions have less than half of their variance, whatever the
#   seed.
# - **The failure is where early stopping says.** The curve of {numref}`fig-linear-spectral-bias`
#   uses the eigenvalues and the learning rates, not the trained weights. The largest difference
#   between it and the learnt ratios is {glue:text}`linear_digits_error`.
#   At the lowest noise level the excess loss is {glue:text}`linear_digits_excess_low` times the
#   least loss, and the prediction is {glue:text}`linear_digits_expected_low` times; at high noise
#   the excess is
#   {glue:text}`linear_digits_excess_high` and is the noise of SGD ({numref}`fig-linear-excess`).
# - **The eye would not see it, nor does the energy test** (smallest p
#   {glue:text}`linear_digits_energy`): the lost directions carry
#   {glue:text}`linear_digits_lost_variance` of the total variance. From the same starting noise,
#   the network's images and those of the closed form differ by {glue:text}`linear_digits_same` of
#   their energy. Only a test that looks at each direction in its own units finds the gap.
# - **The optimiser matters.** Adam, which rescales every weight's step, has another bias: after as
#   many steps its ratios range from {glue:text}`linear_adam_slow_low` to
#   {glue:text}`linear_adam_slow_high` at learning rate 0.003 and from
#   {glue:text}`linear_adam_fast_low` to {glue:text}`linear_adam_fast_high` at 0.03.
#   {prf:ref}`prop-early-stopping` does not cover it; {prf:ref}`thm-any-affine` does, and held for
#   both.
#
# So the sceptic is right that training may stop short of the ideal mapping, and wrong that the laws
# then say nothing. For a linear network they say what is generated, exactly, from the weights; and
# for SGD they say beforehand which directions will be missing.
#
# ```{prf:remark} Three steps from the ideal law
# :label: rem-linear-gap
#
# The gap between what a linear network generates and $\mathcal N(\mu, \Sigma)$ of the *population*
# has three sources, each of which we measured alone: the finite schedule
# ({prf:ref}`cor-finite-steps`), training ({prf:ref}`prop-ridge-collapse` and
# {prf:ref}`prop-early-stopping`), and the finite training set ({prf:ref}`prop-rank` and
# {prf:ref}`thm-marchenko-pastur`).
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-04-step
#
# **One step.** A DDIM step from $\sigma$ to $\sigma'$ multiplies the coordinate along an
# eigendirection with eigenvalue $\lambda$ by a number. Derive it without looking, and write it as a
# function. Check the two ends: $\sigma' = \sigma$ and $\sigma' = 0$.
# ```


# %%
def step_factor(lam, sigma, sigma_next): ...  # your code: a number


# dc.exercises.check_step_factor(step_factor)

# %% [markdown]
# ```{solution-start} ex-04-step
# :class: dropdown
# ```
#
# The denoiser keeps the share $\lambda/(\lambda+\sigma^2)$ and the step keeps $\sigma'/\sigma$ of
# the rest. At $\sigma' = \sigma$ nothing happens, at $\sigma' = 0$ the gain is left.


# %%
def step_factor_solution(lam, sigma, sigma_next):
    return (lam + sigma * sigma_next) / (lam + sigma**2)


assert dc.exercises.check_step_factor(step_factor_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-04-law
#
# **The law of your own sampler.** Write `finite_law(mean, cov, sigmas)`, which returns mean and
# covariance of what DDIM generates with the best affine denoiser, without sampling. Mind the mean.
# ```


# %%
def finite_law(mean, cov, sigmas): ...  # your code: return mean (d,), cov (d, d)


# dc.exercises.check_finite_law(finite_law)

# %% [markdown]
# ```{solution-start} ex-04-law
# :class: dropdown
# ```
#
# Multiply the step factors along each eigendirection. The start has mean $0$, which is $-\mu$ as
# seen from $\mu$.


# %%
def finite_law_solution(mean, cov, sigmas):
    lam, U = torch.linalg.eigh(cov)
    g = torch.ones_like(lam)
    for sigma, sigma_next in itertools.pairwise(sigmas):
        g = g * step_factor_solution(lam, sigma, sigma_next)
    return mean - U @ (g * (U.T @ mean)), (U * (sigmas[0] * g) ** 2) @ U.T


assert dc.exercises.check_finite_law(finite_law_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-04-twin
#
# **Twins.** A linear denoiser cannot tell two targets with the same $\mu$ and $\Sigma$ apart. Given
# points $x$ of shape $(N, d)$, build a *different* set of points with the same mean and covariance,
# so that both generate the same samples. Then look at the two clouds.
# ```


# %%
def twin(x): ...  # your code: points (M, d), not those of x


# dc.exercises.check_twin(twin)

# %% [markdown]
# ```{solution-start} ex-04-twin
# :class: dropdown
# ```
#
# Many ways lead there. Reflecting every point at the mean is the shortest. Another: whiten, rotate
# by any orthogonal matrix, and colour again.


# %%
def twin_solution(x):
    return 2 * x.mean(0) - x


assert dc.exercises.check_twin(twin_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-04-bias
#
# **No bias, again.** Write `biasless_law(x)`: mean and covariance of what a linear denoiser
# *without* bias generates in the limit of infinitely many steps from infinite noise. How does the
# variance along the mean image of the digits compare with their largest eigenvalue?
# ```


# %%
def biasless_law(x): ...  # your code: return mean (d,), cov (d, d)


# dc.exercises.check_biasless_law(biasless_law)

# %% [markdown]
# ```{solution-start} ex-04-bias
# :class: dropdown
# ```
#
# {prf:ref}`prop-no-bias`: the mean is zero and the covariance is the second moment, normalised by
# $N$. For digits the mean image becomes by far the strongest pattern.


# %%
def biasless_law_solution(x):
    return torch.zeros_like(x[0]), x.T @ x / len(x)


assert dc.exercises.check_biasless_law(biasless_law_solution)
along_mean = biasless_law_solution(digits.flatten(1).double())[1]
strongest = torch.linalg.eigvalsh(along_mean)[-1].item()
print(f"strongest pattern without bias: {strongest:.1f}, with bias: {lambdas[0].item():.1f}")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-04-ridge
#
# **How far down may you go?** With a ridge $\gamma$ the exact flow loses everything as
# $\sigma_{\min} \to 0$. Let $\sigma_{\max} \to \infty$ in {prf:ref}`prop-ridge-collapse` and find
# the variance that is left at $\sigma_{\min}$. Write it as `ridge_variance(lam, ridge, sigma_min)`.
# By which factor must $\sigma_{\min}$ fall to halve it, once $\sigma_{\min}^2 \ll \lambda$? What is
# that for $\lambda = 1.7$ and $\gamma = 0.05$?
# ```


# %%
def ridge_variance(lam, ridge, sigma_min): ...  # your code: a number


# dc.exercises.check_ridge_variance(ridge_variance)

# %% [markdown]
# ```{solution-start} ex-04-ridge
# :class: dropdown
# ```
#
# The powers of $\sigma_{\max}$ cancel:
# $\sigma_{\max}^2 \cdot \sigma_{\max}^{-2\gamma/a} \cdot \sigma_{\max}^{-2\lambda/a} = 1$. What is
# left is $\sigma_{\min}^{2\gamma/a}(a + \sigma_{\min}^2)^{\lambda/a}$. Only the first factor still
# moves at small $\sigma_{\min}$, so halving takes a factor $2^{a/2\gamma}$.


# %%
def ridge_variance_solution(lam, ridge, sigma_min):
    a = lam + ridge
    return sigma_min ** (2 * ridge / a) * (a + sigma_min**2) ** (lam / a)


assert dc.exercises.check_ridge_variance(ridge_variance_solution)
print(f"halved when σ_min falls by a factor {2 ** (1.75 / (2 * 0.05)):,.0f}")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - The best affine denoiser is the Wiener filter. It sees the mean and covariance of the target and
#   nothing else ({prf:ref}`thm-affine-denoiser`).
# - It generates $\mathcal N(\mu, \Sigma)$, whatever the target ({prf:ref}`thm-affine-law`). On
#   digits no sample was a copy, and hardly one looks like a digit.
# - $K$ steps have an exact law of their own, always with too little variance
#   ({prf:ref}`cor-finite-steps`). Test against that one.
# - For *any* affine denoiser and each sampler of the book, one recursion gives the law
#   ({prf:ref}`thm-any-affine`).
# - Without a bias the mean turns into variance ({prf:ref}`prop-no-bias`); a ridge collapses the
#   law, slowly ({prf:ref}`prop-ridge-collapse`); early stopping loses the weak directions
#   ({prf:ref}`prop-early-stopping`); few examples confine the samples to a plane
#   ({prf:ref}`prop-rank`) and spread the spectrum ({prf:ref}`thm-marchenko-pastur`).
# - Networks trained by SGD generated what the recursion says, in all runs. On the
#   clusters they met the ideal law closely: variances {glue:text}`linear_sgd_low` to
#   {glue:text}`linear_sgd_high` of the ideal ones. On digits they missed it in the directions that
#   early stopping names.
#
# **Proved:** all statements above except Marčenko–Pastur, which is quoted. **Measured:** how close
# SGD comes. **Not covered:** why Adam's ratios are what they are, and networks that are not linear.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the derivations in this chapter
# are the book's own.
# The next step is to give the denoiser a little more structure: what if the matrix must be a
# convolution? {doc}`05_convolutional` answers.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
