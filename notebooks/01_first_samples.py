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
# (sec-first-samples)=
# # First samples
#
# Take an image that is nothing but noise. Ask a *denoiser* what clean image might be hidden in it,
# walk a little towards the answer, and ask again. After forty questions the noise has become a
# digit.
#
# In this chapter you do it with two denoisers that need no training: a *perfect* one and a *linear*
# one. Both start from the same noise and are asked the same questions. One returns its training
# images, the other returns images that nobody has ever drawn. **Which of the two is creative?**
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how a diffusion model turns noise into images; why one big step gives the
#   average image; how to tell a copy from something new; what the rest of the book asks.
# - **Time** five minutes for the first figure and the question, forty for the chapter.
# - **Prerequisites** vectors, averages, a little Python. No earlier chapter.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch

import diffusion_creativity as dc
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# (sec-first-noise-to-digits)=
# ## Noise turns into digits
#
# The images are handwritten digits of 8×8 pixels {cite:p}`alpaydin1998digits`. Black is −1, white
# is +1, so an image is a list of 64 numbers. We shuffle the 1,797 images and split them in three.
# Both denoisers see the first 600, the **training set**. The other two parts stay hidden from them;
# we need them later, to judge.

# %%
digits = dc.data.load("digits")
digits = digits.subset(len(digits), seed=run.seed)  # all of them, in a random order
train, unseen, new = digits.x[:600], digits.x[600:1200], digits.x[1200:]

perfect = dc.denoisers.Bayes.fit(train)
linear = dc.denoisers.Affine.fit(train)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two grids of twelve small images. Left: noise in which digits begin to show. Right: what the perfect denoiser answers, digits that are almost sharp."}, "figure": {"caption": "Twelve images on their way from noise to digits, and what the denoiser answers when asked about each. Both denoisers start from the same noise.", "name": "fig-first-explorer"}}
start = dc.sampling.initial_noise(12, (1, 8, 8), seed=run.seed + 3)
WORDS = {"perfect": perfect, "linear": linear}


def path(denoise, steps):
    """Return the levels, the images y and the answers x_hat at each of the steps + 1 places."""
    sigmas = dc.noise.karras(steps)
    taken = list(dc.sampling.steps(denoise, start, sigmas))
    y = [start, *(step.y for step in taken)]
    return sigmas.tolist(), y, [*(step.x_hat for step in taken), y[-1]]


STEPS = [1, 2, 3, 5, 10, 20, 40]
paths = {(name, steps): path(d, steps) for name, d in WORDS.items() for steps in STEPS}


def draw(denoiser, steps, progress):
    sigmas, y, x_hat = (part[round(progress * steps / 100)] for part in paths[denoiser, steps])
    index = round(progress * steps / 100)
    distance = dc.metrics.nearest(x_hat, train)[0].mean().item()
    where = f"After {index} of {steps} steps the noise level is {sigmas:.3g}."
    if index == steps:
        where = f"After step {steps} of {steps} no noise is left: these are the samples."
    far = f"Nearest training image to each answer: at distance {distance:.2f} on average."
    return {
        # Shown at the size of noise 1; at the end, where sigma = 0, this is y itself.
        "y": [marks.images(y / math.sqrt(1 + sigmas**2), columns=4)],
        "x_hat": [marks.images(x_hat, columns=4)],
        "caption": f"{where} {far}",
        "alt": f"Twelve noisy images beside the answers of the {denoiser} denoiser. {where} {far}",
    }


Explorer.precomputed(
    draw,
    [
        Choice("denoiser", list(WORDS), "denoiser"),
        Slider("steps", STEPS, "number of steps", start=40),
        Slider("progress", range(0, 101, 10), "progress", unit=" %", start=60, play=True),
    ],
    {
        "y": Panel("The noisy images y", kind="images"),
        "x_hat": Panel("What the denoiser answers", kind="images"),
    },
    title="From noise to digits",
)

# %% [markdown]
# Three things to try, in this order.
#
# 1. **Press play.** On the left the noise fades and a digit is left over. On the right the answers
#    begin as one grey blur, the same for all twelve, and make up their minds on the way.
# 2. **Move the number of steps down to 1.** The blur is all you get. With 2 and 3 steps watch what
#    changes.
# 3. **Set the steps to 40 and the progress to 100 %, then change the denoiser.** The noise was the
#    same in each place. The perfect denoiser gives crisp digits. The linear one gives something
#    digit-like, smudged, with strokes that no pen makes.
#
# Now read the last number under the figure, the distance from each answer to the training image
# nearest to it. For the perfect denoiser it ends at zero. Its crisp digits are *copies*. The linear
# denoiser's distance stays large: its images are *new*.
#
# That is the question of this book. A generator that copies is realistic and useless. A generator
# that smudges is original and ugly. People who use diffusion models say that theirs are creative:
# they make images that are new **and** look real. Neither of our two does. What would a denoiser
# need, to do both?

# %% [markdown]
# (sec-first-program)=
# ## The program in three lines
#
# Let $x$ be a clean image and $n$ an image of pure noise: 64 independent numbers from the standard
# normal law. A noisy image is
#
# $$
# y = x + \sigma n .
# $$
#
# The number $\sigma$ is the **noise level**. At $\sigma = 80$ nothing of $x$ can be seen, at
# $\sigma = 0.002$ the noise cannot be seen. A **denoiser** is any function $D_\sigma(y)$ that takes
# a noisy image and its noise level and answers with a guess of $x$. In code it is
# `denoise(y, sigma)`, and its answer is called `x_hat`.
#
# To draw a sample, choose levels $\sigma_0 > \sigma_1 > \dots > \sigma_K = 0$, start from noise of
# level $\sigma_0$, and repeat one step $K$ times:
#
# 1. ask the denoiser what the clean image is;
# 2. read off what it takes for noise, $(y - \hat x)/\sigma$;
# 3. put the answer and *less of the same noise* together.
#
# This is the sampler called DDIM {cite:p}`song2021denoising`, written out in full:


# %%
def one_step(denoise, y, sigma, sigma_next):
    x_hat = denoise(y, sigma)  # what the clean image might be
    noise = (y - x_hat) / sigma  # what the noise would then be
    return x_hat + sigma_next * noise  # the same guess with less of it


def sample(denoise, y, sigmas):
    for sigma, sigma_next in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        y = one_step(denoise, y, sigma, sigma_next)
    return y


# %% [markdown]
# The package has the same sampler as `dc.sampling.ddim`. Before we use it, we check that it is the
# same, for both denoisers. The levels come from `dc.noise.karras`: few where the noise is strong,
# many where it is weak {cite:p}`karras2022elucidating`.

# %%
n_samples = run.size(smoke=300, book=1000, gpu=10_000)
sigmas = dc.noise.karras(steps=40)  # 80, ..., 0.002, 0
noise = dc.sampling.initial_noise(n_samples, (1, 8, 8), sigma_max=80.0, seed=run.seed + 1)

made = {name: dc.sampling.ddim(denoise, noise, sigmas) for name, denoise in WORDS.items()}
# A hundred are enough: of many thousands one would start so close to the border between two
# training images that rounding decides which of the two it becomes.
by_hand = {name: sample(denoise, noise[:100], sigmas) for name, denoise in WORDS.items()}
gap = max((made[name][:100] - by_hand[name]).abs().max().item() for name in WORDS)
assert gap < 1e-4  # grey levels run from -1 to 1
dc.runtime.report(first_compared="100", first_gap=f"{gap:.6f}")

# %% [markdown]
# Over {glue:text}`first_compared` samples of each denoiser the two programs differ by at most
# {glue:text}`first_gap` in any pixel. That is rounding. {numref}`fig-first-step` shows one step as
# a picture: the new point lies on the straight line between the noisy image and the answer. The
# ratio $\sigma'/\sigma$ of the two levels says where.

# %% tags=["hide-input"] mystnb={"image": {"alt": "A straight line from a point y at the right, the noisy image at level sigma, to a point x-hat at the left, the answer. The next point lies on the line between them. The part of the line from x-hat to the next point is labelled sigma-prime times noise."}, "figure": {"caption": "One step. The denoiser looks at $y$ and answers $\\hat x$. The step goes along the line between them and stops where the fraction $\\sigma'/\\sigma$ of the way is left.", "name": "fig-first-step"}}
fig, ax = plt.subplots(figsize=(5.6, 2.1))
answer, noisy = np.array([0.0, 0.0]), np.array([4.0, 1.0])
after = answer + 0.55 * (noisy - answer)
ax.plot(*zip(answer, noisy, strict=True), color=COLORS["noise"], lw=1.2, ls=(0, (4, 3)))
ax.annotate("", after, noisy, arrowprops={"arrowstyle": "-|>", "color": COLORS["ink"], "lw": 1.8})
for point, color, text, offset in (
    (noisy, COLORS["noise"], "$y$, noise of level $\\sigma$", (-8, 12)),
    (after, COLORS["noise"], "$y'$, noise of level $\\sigma'$", (-70, 14)),
    (answer, COLORS["denoiser"], "$\\hat x = D_\\sigma(y)$, the answer", (-28, -20)),
):
    ax.plot(*point, "o", ms=8, color=color)
    ax.annotate(text, point, xytext=offset, textcoords="offset points", color=COLORS["ink"])
ax.set(xlim=(-0.6, 5.4), ylim=(-0.55, 1.6))
ax.set_axis_off()
plt.show()

# %% [markdown]
# Why does walking towards a blurry answer give a sharp image? Because the answer changes on the
# way. With less noise there is more to see, so the next answer is less blurred.
# {doc}`02_denoising_scores_samplers` shows that the step follows a flow, and which one.
#
# ### The two denoisers
#
# Both are the best of their kind: they make the least mean squared error $\E\norm{x -
# D_\sigma(y)}^2$ when $x$ is a training image drawn at random. They differ in what they are allowed
# to be.
#
# **Perfect** may be any function at all. The best answer is then a weighted average of the training
# images $x_1, \dots, x_N$. An image that lies nearer to $y$ gets more weight:
#
# ```{math}
# :label: eq-first-bayes
# \begin{aligned}
# D_\sigma(y) &= \sum_{i=1}^{N} w_i x_i , \\
# w_i &= \frac{e^{-\norm{y - x_i}^2 / 2\sigma^2}}{\sum_j e^{-\norm{y - x_j}^2 / 2\sigma^2}} .
# \end{aligned}
# ```
#
# **Linear** may only be a matrix times $y$ plus a fixed image (strictly, an *affine* function). The
# best answer then needs two things from the data: the average training image $\mu$ and the
# covariance matrix $\Sigma$, which says how pixels vary together:
#
# ```{math}
# :label: eq-first-affine
# D_\sigma(y) = \mu + \Sigma (\Sigma + \sigma^2 I)^{-1} (y - \mu) .
# ```
#
# It starts from the average and lets through those patterns in $y$ that are strong in the data
# compared with the noise. {doc}`03_the_perfect_denoiser_copies` and {doc}`04_linear` derive the two
# formulas. Here we only use them.

# %% [markdown]
# (sec-first-one-step)=
# ## One step gives the average image
#
# With a single step the sampler goes from $\sigma_0 = 80$ straight to 0. A step to 0 ends at the
# answer, so the sample is $D_{80}(y)$: what the denoiser says about pure noise. You saw that this
# is one and the same blur for all samples, and for both denoisers. Here is why.
#
# ```{prf:proposition} At high noise both denoisers answer the mean
# :label: prop-one-step-mean
#
# Let $x_1, \dots, x_N$ have mean $\mu$ and covariance $\Sigma$ (normalised by $N$), and let
# $R = \max_i \norm{x_i - \mu}$. For the perfect denoiser {eq}`eq-first-bayes` and the linear
# denoiser {eq}`eq-first-affine`, every $y$ and every $\sigma > 0$,
#
# $$
# \norm{D_\sigma(y) - \mu} \le \frac{R^2}{\sigma^2}\Bigl(\norm{y - \mu} + \frac R4\Bigr) .
# $$
#
# For pure noise $y = \sigma n$, with $n$ held fixed while $\sigma \to \infty$, both denoisers have
# the same first correction:
#
# $$
# D_\sigma(\sigma n) = \mu + \frac{\Sigma\, n}{\sigma} + O\bigl(\sigma^{-2}\bigr) .
# $$
# ```
#
# ```{prf:proof}
# *Linear.* The matrix $\Sigma(\Sigma + \sigma^2 I)^{-1}$ has norm $\lambda_1/(\lambda_1 + \sigma^2)
# \le \lambda_1/\sigma^2$, where $\lambda_1$ is the largest eigenvalue of $\Sigma$: the largest
# variance along any direction $u$ of length 1. It is an average of $\langle u, x_i - \mu\rangle^2
# \le R^2$, so $\lambda_1 \le R^2$ and $\norm{D_\sigma(y) - \mu} \le (R^2/\sigma^2)\norm{y - \mu}$.
# With $y = \sigma n$ and $\Sigma(\Sigma + \sigma^2 I)^{-1} = \Sigma/\sigma^2 + O(\sigma^{-4})$ the
# expansion follows.
#
# *Perfect.* Multiply out $\norm{y - x_i}^2 = \norm{(y - \mu) - (x_i - \mu)}^2$. What does not
# depend on $i$ cancels from the weights, so $w_i \propto e^{\ell_i}$ with
#
# $$
# \ell_i = \frac{\langle y - \mu,\, x_i - \mu\rangle}{\sigma^2} - \frac{\norm{x_i -
# \mu}^2}{2\sigma^2} .
# $$
#
# Switch the weights on slowly: let $w_i(t) \propto e^{t \ell_i}$ and $m(t) = \sum_i w_i(t)\, x_i$
# for $0 \le t \le 1$. Then $m(0) = \mu$, $m(1) = D_\sigma(y)$, and the derivative $m'(t)$ is the
# covariance of $x_i$ and $\ell_i$ under the weights $w(t)$. Take a direction $u$ of length 1. By
# Cauchy–Schwarz, $\langle u, m'(t)\rangle$ is at most the standard deviation of $\langle u,
# x_i\rangle$ times that of $\ell_i$. The first is at most $R$, since $\abs{\langle u, x_i -
# \mu\rangle} \le R$. The second is at most half the range of the values $\ell_i$, since none of
# them is farther than that from the middle of the range; and they lie between
# $-R\norm{y-\mu}/\sigma^2 - R^2/2\sigma^2$ and $R\norm{y-\mu}/\sigma^2$. So $\norm{m'(t)} \le
# R\,(R\norm{y - \mu} + R^2/4)/\sigma^2$ for every $t$; integrate from 0 to 1.
#
# For the expansion put $y = \sigma n$ and $s = 1/\sigma$. Then
# $\ell_i = s\langle n, x_i - \mu\rangle + s^2 c_i$ with numbers $c_i$ free of $s$: the weights are
# smooth functions of $s$, equal at $s = 0$. The derivative of $\sum_i w_i x_i$ at $s = 0$ is the
# covariance of $x_i$ and $\langle n, x_i - \mu\rangle$ under equal weights, which is $\Sigma n$.
# ```
#
# The first correction needs nothing of the data but $\mu$ and $\Sigma$. So at the top of the path
# the two denoisers can hardly be told apart, although one knows every training image and the other
# knows only an average and a matrix. All differences arise further down.
#
# The next cell checks the proposition. It asks both denoisers about pure noise and about a hard
# case (a shift towards the training image that lies furthest out), and compares the
# answers with the bound and with the expansion. What is left after the expansion must shrink like
# $\sigma^{-2}$: its logarithm must fall with slope −2. The same test with a wrong matrix,
# $\Sigma/2$, must fail: there the slope is −1.

# %%
flat = train.flatten(1).double()
mu = flat.mean(0)
centred = flat - mu
Sigma = centred.T @ centred / len(flat)
R = centred.norm(dim=1).max()

generator = torch.Generator().manual_seed(run.seed)
n = torch.randn(run.size(smoke=200, book=2000), 64, generator=generator, dtype=torch.float64)
hard = centred[centred.norm(dim=1).argmax()][None]  # taken 0.1 to 1000 times


def answers(denoise, y, sigma):
    return denoise(y.reshape(-1, 1, 8, 8), sigma).flatten(1)


def rms(vectors):
    return vectors.square().sum(1).mean().sqrt().item()


def slope(denoise, matrix, levels=(20, 40, 80, 160, 320)):
    """Slope of log(what the expansion leaves) against log(sigma)."""
    left = [rms(answers(denoise, s * n, s) - mu - n @ matrix / s) for s in levels]
    return np.polyfit(np.log(levels), np.log(left), 1)[0]


tightest = 0.0
for denoise in (perfect, linear):
    for sigma in (0.1, 0.5, 1.0, 3.0, 10.0, 80.0, 500.0):
        y = torch.cat([sigma * n, mu + hard * torch.logspace(-1, 3, 9)[:, None]])
        bound = R**2 / sigma**2 * ((y - mu).norm(dim=1) + R / 4)
        ratio = (answers(denoise, y, sigma) - mu).norm(dim=1) / bound
        tightest = max(tightest, ratio.max().item())
assert tightest <= 1

slopes = {name: slope(denoise, Sigma) for name, denoise in WORDS.items()}
wrong = {name: slope(denoise, Sigma / 2) for name, denoise in WORDS.items()}
assert all(abs(value + 2) < 0.05 for value in slopes.values())
assert all(abs(value + 2) > 0.5 for value in wrong.values())  # the test can fail

predicted = Sigma.square().sum().sqrt().item() / 80
one_step_samples = {name: answers(d, 80 * n, 80.0) for name, d in WORDS.items()}
dc.runtime.report(
    first_tightest=f"{tightest:.2f}",
    first_slope_perfect=f"{slopes['perfect']:.3f}".replace("-", "−"),
    first_slope_linear=f"{slopes['linear']:.3f}".replace("-", "−"),
    first_slope_wrong=f"{wrong['perfect']:.3f}".replace("-", "−"),
    first_spread_predicted=f"{predicted:.4f}",
    first_spread_perfect=f"{rms(one_step_samples['perfect'] - mu):.4f}",
    first_spread_linear=f"{rms(one_step_samples['linear'] - mu):.4f}",
    first_spread_data=f"{Sigma.trace().sqrt().item():.2f}",
)

# %% [markdown]
# No answer uses more than {glue:text}`first_tightest` of the bound. The slopes are
# {glue:text}`first_slope_perfect` (perfect) and {glue:text}`first_slope_linear` (linear); with the
# wrong matrix {glue:text}`first_slope_wrong`. The expansion also says how far one-step samples are
# from the average image: about $\sqrt{\tr(\Sigma^2)}/80$ = {glue:text}`first_spread_predicted`,
# root mean square. Measured: {glue:text}`first_spread_perfect` and
# {glue:text}`first_spread_linear`. The training images themselves are
# {glue:text}`first_spread_data` from their average.
#
# ### From one step to many
#
# Between "everything is the average" and the samples of the first figure lies the number of steps.
# {numref}`fig-first-steps` follows two numbers. For the perfect denoiser: how many *different*
# training images appear among the samples. For the linear denoiser: how much the samples vary,
# compared with the training images.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two charts against the number of steps, 1 to 80. Left: the number of different training images among the perfect denoiser's samples rises from very few at 1 and 2 steps to the level expected when each training image is equally likely, reached near 20 steps. Right: the variance of the linear denoiser's samples as a share of the training images' variance rises from almost zero to above 90 percent; dots for the measured values lie on the line of the exact law."}, "figure": {"caption": "Too few steps, too little variety. Left: different training images among the perfect denoiser's samples; the line is what to expect if all are equally likely. Right: total variance of the linear denoiser's samples as a share of the training set's; the line is the exact law, which the chapter on linear denoisers proves.", "name": "fig-first-steps"}}
step_counts = [1, 2, 3, 5, 10, 20, 40, 80]
variety, copied_share, variance, variance_law = [], [], [], []
most_common = {}
for steps in step_counts:
    levels = dc.noise.karras(steps)
    copies = dc.sampling.ddim(perfect, noise, levels)
    hits = dc.metrics.nearest(copies, train)[1].bincount(minlength=len(train))
    variety.append(int((hits > 0).sum()))
    most_common[steps] = hits.max().item() / n_samples
    copied_share.append(dc.metrics.copied_fraction(copies, train))
    smudges = dc.sampling.ddim(linear, noise, levels).flatten(1).double()
    total = Sigma.trace().item()
    variance.append(smudges.var(0, correction=0).sum().item() / total)
    variance_law.append(linear.law(levels).cov.trace().item() / total)
expected_variety = len(train) * (1 - (1 - 1 / len(train)) ** n_samples)

fig, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.9))
left.axhline(expected_variety, color=COLORS["law"])
left.text(1, expected_variety * 1.03, "all equally likely", color=COLORS["law"], va="bottom")
left.plot(step_counts, variety, "o-", color=COLORS["generated"], ms=6)
left.set(title="Perfect: different images", ylim=(0, expected_variety * 1.2))
right.plot(step_counts, variance_law, color=COLORS["law"])
right.plot(step_counts, variance, "o", color=COLORS["generated"], ms=6)
right.text(10, variance_law[4] + 0.06, "exact law", color=COLORS["law"], ha="right")
right.set(title="Linear: share of the variance", ylim=(0, 1.05))
for ax in (left, right):
    ax.set_xscale("log")
    ax.set_xticks(step_counts, [str(k) for k in step_counts])
    ax.minorticks_off()
    ax.set_xlabel("number of steps")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    first_two_steps_copied=f"{100 * copied_share[1]:.0f} %",
    first_two_steps_variety=str(variety[1]),
    first_two_steps_common=f"{100 * most_common[2]:.0f} %",
    first_forty_variety=str(variety[6]),
    first_expected_variety=f"{expected_variety:.0f}",
    first_forty_variance=f"{100 * variance[6]:.1f} %",
    first_forty_variance_law=f"{100 * variance_law[6]:.1f} %",
)

# %% [markdown]
# Two steps are worth a thought. The first one goes to the average image, as we now know, and the
# second asks about the average at almost no noise. The linear denoiser sees nothing to change. The
# perfect denoiser believes in training images only, so it answers with the one nearest to the
# average: {glue:text}`first_two_steps_copied` of its samples are copies, but of only
# {glue:text}`first_two_steps_variety` different images, and one of them takes
# {glue:text}`first_two_steps_common` of all samples. Copying comes first, variety later. With 40
# steps {glue:text}`first_forty_variety` different images appear, where
# {glue:text}`first_expected_variety` would be expected from drawing training images at random.
#
# The linear denoiser has {glue:text}`first_forty_variance` of the training set's variance after 40
# steps. This is no fault of the formula: its exact law for these 40 steps says
# {glue:text}`first_forty_variance_law`. A finite number of steps generates too little variance, and
# {doc}`04_linear` computes by how much.

# %% [markdown]
# (sec-first-copies)=
# ## Who copies?
#
# "Looks like a copy" is an impression; we want a measurement. For each sample, search the training
# set for the nearest image. Distance here means: subtract pixel by pixel, square, add up the 64
# squares, take the root.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Four rows of ten digits. Row one: samples of the perfect denoiser. Row two: their nearest training images, identical to row one. Row three: samples of the linear denoiser, smudged shapes. Row four: their nearest training images, clear digits that resemble them only roughly."}, "figure": {"caption": "Ten samples of each denoiser, each above the training image nearest to it. The numbers are the distances between the two.", "name": "fig-first-nearest"}}
distance, index = {}, {}
for name, samples in made.items():
    distance[name], index[name] = dc.metrics.nearest(samples, train)

fig, axes = plt.subplots(2, 1, figsize=(6.2, 3.7))
for ax, (name, samples) in zip(axes, made.items(), strict=True):
    pairs = torch.cat([samples[:10], train[index[name][:10]]])
    dc.style.image_grid(pairs.numpy(), columns=10, ax=ax)
    ax.set_title(f"{name}: samples above their nearest training images", fontsize=10)
    for k, value in enumerate(distance[name][:10].tolist()):
        ax.text(9 * k + 3.5, 18.6, f"{value:.2f}", ha="center", fontsize=9)
plt.show()

# %% [markdown]
# A sample counts as **copied** when it differs from a training image by at most 0.001 per pixel
# (root mean square; the grey levels run from −1 to 1). But what does it mean that a sample is *not*
# a copy? How far from the training set should an honest new image be? We have a yardstick: the 597
# digits of the part `new`. People wrote them, and neither denoiser has seen them.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three histograms above each other of the distance to the nearest training image. Perfect samples: all at zero. New handwritten digits: between about 1 and 4, most near 2.3. Linear samples: between about 2.5 and 5, most near 3.5, clearly to the right of the new digits."}, "figure": {"caption": "Distance to the nearest training image. New handwritten digits are the yardstick: the perfect denoiser's samples are far too near, the linear denoiser's too far.", "name": "fig-first-distances"}}
distance["new"], index["new"] = dc.metrics.nearest(new, train)
rows = (
    ("perfect", "perfect denoiser's samples", "generated"),
    ("new", "new handwritten digits", "data"),
    ("linear", "linear denoiser's samples", "generated"),
)
bins = np.arange(0, 5.6, 0.2)
fig, axes = plt.subplots(3, 1, figsize=(5.6, 3.9), sharex=True)
for ax, (name, title, color) in zip(axes, rows, strict=True):
    values = distance[name].numpy()
    ax.hist(values, bins, weights=np.full(len(values), 1 / len(values)), color=COLORS[color])
    ax.set_title(title, fontsize=10, color=COLORS[color])
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
axes[-1].set_xlabel("distance to the nearest training image")
plt.show()

# %%
copied = {name: dc.metrics.copied_fraction(made[name], train, interval=0.95) for name in made}
limit = distance["new"].quantile(0.95)
beyond = (distance["linear"] > limit).float().mean().item()
assert copied["perfect"].low > 0.95
assert copied["linear"].high < 0.05


def percent(value, digits=1):
    return f"{100 * value:.{digits}f} %"


dc.runtime.report(
    first_copied_perfect=percent(copied["perfect"].value),
    first_copied_perfect_low=percent(copied["perfect"].low),
    first_copied_linear=percent(copied["linear"].value),
    first_copied_linear_high=percent(copied["linear"].high),
    first_distance_new=f"{distance['new'].median().item():.2f}",
    first_distance_linear=f"{distance['linear'].median().item():.2f}",
    first_distance_linear_least=f"{distance['linear'].min().item():.2f}",
    first_beyond=percent(beyond, 0),
)

# %% [markdown]
# The perfect denoiser copied {glue:text}`first_copied_perfect` of its samples (at least
# {glue:text}`first_copied_perfect_low`, the lower end of a 95 % Wilson interval). The linear one
# copied {glue:text}`first_copied_linear` (at most {glue:text}`first_copied_linear_high`). Its
# nearest miss is still {glue:text}`first_distance_linear_least` away from the training set.
#
# New handwritten digits lie at a median distance of {glue:text}`first_distance_new`, the linear
# samples at {glue:text}`first_distance_linear`. So the linear samples are not merely new. They are
# further from the training images than new digits are: {glue:text}`first_beyond` of them lie
# further out than 95 % of the new digits.
#
# ```{admonition} What would make this false?
# :class: note
# "Copied" depends on a tolerance and on the distance. With pixel distance a copy shifted by one
# pixel counts as new. Neither denoiser here has a notion of shifts, so we
# do not expect shifted copies; for denoisers that treat all positions alike we will have to search
# over shifts as well ({doc}`08_factorised_and_equivariant`). And forty steps, 600 images and one set
# of digits are one experiment. That the perfect denoiser *must* copy is a theorem:
# {doc}`03_the_perfect_denoiser_copies`.
# ```

# %% [markdown]
# (sec-first-perfect-for-what)=
# ### Perfect for what?
#
# A denoiser that only copies sounds like a bad denoiser. Yet it has the least error there is. The
# two statements fit together once we ask: error *on which images*? {numref}`fig-first-errors` adds
# noise to training images and to new digits and measures how well each denoiser removes it.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two charts of denoising error against noise level. Left, on training images: the perfect denoiser's error falls to zero at low noise and is never above the linear one's. Right, on new digits: both agree at high noise, but at low noise the perfect denoiser's error stays near 2.4 while the linear one's falls to zero."}, "figure": {"caption": "Denoising error, root mean square per image, on images that the denoisers were made from (left) and on new ones (right). The perfect denoiser is best on the left at every noise level; on the right, at low noise, it is the worse one.", "name": "fig-first-errors"}}
count = run.size(smoke=16, book=40)
levels = dc.noise.log_linear(count, sigma_min=0.02, sigma_max=80)[:-1].tolist()


def squared_errors(denoise, x, sigma):
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(run.seed + 5))
    return (denoise(x + sigma * n, sigma) - x).flatten(1).double().square().sum(1)  # per image


def error(denoise, x, sigma):
    return squared_errors(denoise, x, sigma).mean().sqrt().item()


def ever_worse(x):
    """Whether at some level the perfect denoiser loses by more than chance, 5 standard errors."""
    for sigma in levels:
        loss = squared_errors(perfect, x, sigma) - squared_errors(linear, x, sigma)
        if loss.mean() > 5 * loss.std() / math.sqrt(len(x)) + 1e-3:  # 1e-3: rounding
            return True
    return False


errors = {
    (name, part): np.array([error(denoise, x, sigma) for sigma in levels])
    for name, denoise in WORDS.items()
    for part, x in (("training images", train), ("new digits", new))
}
fig, axes = plt.subplots(1, 2, figsize=(6.2, 3.0), sharey=True)
places = {
    "training images": ((0.75, 0.25), (0.028, 1.15)),
    "new digits": ((0.03, 2.65), (0.12, 0.3)),
}
for ax, (part, ((px, py), (lx, ly))) in zip(axes, places.items(), strict=True):
    ax.plot(levels, errors["perfect", part], color=COLORS["denoiser"])
    ax.plot(levels, errors["linear", part], color=COLORS["denoiser"], ls=(0, (4, 2)))
    ax.text(px, py, "perfect", color=COLORS["denoiser"])
    ax.text(lx, ly, "linear", color=COLORS["denoiser"])
    ax.set(xscale="log", xlabel="noise level σ", title=f"On {part}")
axes[0].set_ylabel("error")
plt.show()

# %%
worse = errors["perfect", "new digits"] > errors["linear", "new digits"]
best = int(np.flatnonzero(~worse)[-1])  # levels fall; from here on the perfect one is worse
crossing = math.sqrt(levels[best] * levels[best + 1])
assert not ever_worse(train)
assert ever_worse(new)  # the test can fail
dc.runtime.report(
    first_crossing=f"{crossing:.1f}",
    first_error_perfect=f"{error(perfect, new, 0.1):.2f}",
    first_error_linear=f"{error(linear, new, 0.1):.2f}",
)

# %% [markdown]
# On training images the perfect denoiser is never worse, as it must be (up to the chance in the
# noise: the cell allows five standard errors). On new digits the two agree
# while the noise is strong; then the perfect one is ahead for a while; below about $\sigma$ =
# {glue:text}`first_crossing` it is the worse one. At $\sigma = 0.1$ its error is
# {glue:text}`first_error_perfect` against {glue:text}`first_error_linear`: shown a new digit with
# hardly any noise, it replaces the digit by the most similar training image.
#
# So every denoiser is best *for a target*: for the law from which its clean images come. The
# perfect denoiser is perfect for a target that consists of 600 images and nothing else. From now on
# "perfect" always means this.

# %% [markdown]
# (sec-first-question)=
# ## The question
#
# By the creativity of a diffusion model {cite:t}`levine2026diffusion` mean its ability to generate
# highly realistic images that differ from the training data. That takes two measurements, and a
# picture with two axes.
#
# * **Novelty**: the distance to the nearest *training* image. Zero is a copy.
# * **Realism**: the distance to the nearest image of a second set of real digits, the part
#   `unseen`, which no denoiser has touched. The smaller the distance, the more the sample looks
#   like a digit.
#
# Both sets have 600 images, so the two distances can be compared. We divide each by its median over
# the new handwritten digits. A new digit therefore sits near (1, 1), and that is where a creative
# generator should put its samples.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Scatter plot. Across: novelty, the distance to the nearest training image; up: realism, with distance to unseen digits growing downwards. Perfect samples form a vertical stripe at novelty zero, at the height of real digits. New handwritten digits form a cloud around novelty one at the same height. Linear samples form a cloud to the right and below, near one and a half on both axes. Random pixels lie far away at about three on both axes. The average image lies at about 1.3."}, "figure": {"caption": "Novelty and realism, in units of a new handwritten digit. The corner that a creative generator should reach holds only what people wrote.", "name": "fig-first-plane"}}
random_pixels = 2 * torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(run.seed)) - 1
average = train.mean(0, keepdim=True)
placed = {"new": new, **made, "random": random_pixels, "average": average}
to_train = {name: dc.metrics.nearest(x, train)[0] for name, x in placed.items()}
to_unseen = {name: dc.metrics.nearest(x, unseen)[0] for name, x in placed.items()}
novelty = {name: d / to_train["new"].median() for name, d in to_train.items()}
unreal = {name: d / to_unseen["new"].median() for name, d in to_unseen.items()}

fig, ax = plt.subplots(figsize=(5.8, 4.5))
styles = {
    "new": ("data", "o", "new handwritten digits", (1.3, 0.52)),
    "perfect": ("generated", "o", "perfect:\ncopies", (0.06, 1.78)),
    "linear": ("generated", "^", "linear: new shapes", (1.85, 1.5)),
    "random": ("noise", "x", "random pixels", (1.95, 3.2)),
    "average": ("denoiser", "s", "average image", (0.42, 2.08)),
}
for name, (color, marker, text, place) in styles.items():
    few = slice(0, 200)
    ax.plot(
        novelty[name][few], unreal[name][few], marker, ls="", color=COLORS[color],
        ms=8 if name == "average" else 3.5, alpha=1.0 if name == "average" else 0.55,
    )  # fmt: skip
    ax.text(*place, text, color=COLORS[color], va="center")
ax.annotate(
    "", (novelty["average"][0], unreal["average"][0]), (0.9, 2.0),
    arrowprops={"arrowstyle": "-", "color": COLORS["denoiser"], "lw": 0.8},
)  # fmt: skip
ax.set(xlim=(-0.1, 3.5), ylim=(3.5, 0.4))
ax.set_xlabel("copy ←  novelty: distance to the nearest training image  → new")
ax.set_ylabel("unreal ←  realism  → real\n(distance to the nearest unseen digit)")
plt.show()

# %% [markdown]
# The perfect denoiser has realism without novelty. The linear one has novelty without realism.
# Novelty alone is cheap: random pixels have more of it than anything else.
#
# ### How sure are we about realism?
#
# A distance is one opinion about what looks real. Here are two more. The first is a classifier: a
# logistic regression {cite:p}`pedregosa2011scikit` that learned the ten digits from the part
# `unseen`. How sure is it about its choice? The second is a fact about images: no pixel is blacker
# than black (−1) or whiter than white (+1).

# %%
from sklearn.linear_model import LogisticRegression

labels_unseen, labels_new = digits.labels[600:1200], digits.labels[1200:]
classifier = LogisticRegression(max_iter=2000)
classifier.fit(unseen.flatten(1).numpy(), labels_unseen.numpy())
accuracy = classifier.score(new.flatten(1).numpy(), labels_new.numpy())


def confidence(x):
    return float(np.median(classifier.predict_proba(x.flatten(1).numpy()).max(1)))


def impossible(x):
    """Share of pixels that are outside the possible range by more than a twentieth of it."""
    return (x.abs() > 1.1).double().mean().item()


print(f"{'medians of':24}{'novelty':>9}{'realism':>9}{'confidence':>12}{'impossible':>12}")
for name, text in (
    ("new", "new handwritten digits"), ("perfect", "perfect's samples"),
    ("linear", "linear's samples"), ("average", "average image"), ("random", "random pixels"),
):  # fmt: skip
    x, new_by, unreal_by = placed[name], novelty[name].median(), unreal[name].median()
    print(f"{text:24}{new_by:9.2f}{unreal_by:9.2f}{confidence(x):12.2f}{impossible(x):12.1%}")

dc.runtime.report(
    first_accuracy=percent(accuracy),
    first_confidence_new=percent(confidence(new), 0),
    first_confidence_perfect=percent(confidence(made["perfect"]), 0),
    first_confidence_linear=percent(confidence(made["linear"]), 0),
    first_confidence_random=percent(confidence(random_pixels), 0),
    first_confidence_average=percent(confidence(average), 0),
    first_new_to_train=f"{to_train['new'].median().item():.2f}",
    first_new_to_unseen=f"{to_unseen['new'].median().item():.2f}",
    first_linear_to_train=f"{to_train['linear'].median().item():.2f}",
    first_linear_to_unseen=f"{to_unseen['linear'].median().item():.2f}",
    first_impossible_linear=percent(impossible(made["linear"])),
    first_unreal_average=f"{unreal['average'].item():.2f}",
    first_unreal_linear=f"{unreal['linear'].median().item():.2f}",
)

# %% [markdown]
# New handwritten digits are about as far from the images that the denoisers saw
# ({glue:text}`first_new_to_train`) as from those that nobody showed them
# ({glue:text}`first_new_to_unseen`). So are the linear samples, only that both distances are larger
# ({glue:text}`first_linear_to_train` and {glue:text}`first_linear_to_unseen`): the linear denoiser
# has no preference for its training images.
#
# The classifier names {glue:text}`first_accuracy` of the new digits correctly. Its median
# confidence is {glue:text}`first_confidence_new` on new digits,
# {glue:text}`first_confidence_perfect` on the
# perfect denoiser's samples and {glue:text}`first_confidence_linear` on the linear one's. Of the
# linear samples' pixels {glue:text}`first_impossible_linear` are impossible: outside the range by
# more than a twentieth of it. All three opinions put the linear samples well below handwriting.
#
# ```{admonition} Where the opinions differ
# :class: note
# Pixel distance forgives blur. In units of a new digit the average image is
# {glue:text}`first_unreal_average` away from real digits, nearer than the linear samples with
# {glue:text}`first_unreal_linear`, though nobody would take it for a digit; the classifier's
# confidence in it is {glue:text}`first_confidence_average`. The
# classifier forgives nonsense: on random pixels it is {glue:text}`first_confidence_random` sure,
# more than on the average image. No single number measures realism. Where the book needs one, it
# says which opinion it asks, and asks a second.
# ```
#
# ### Which is creative?
#
# By the definition above, neither. The perfect denoiser fails on novelty, the linear one on
# realism. But look at what separates them. They had the *same* training images, the *same* noise,
# the *same* sampler, and each was the *best* of its kind. The only difference is the kind: which
# functions the denoiser was allowed to be. That is its **architecture**.
#
# From the abstract of {cite:t}`levine2026diffusion` this book takes its claim to
# examine: creativity in diffusion models is due to an interaction between the architecture of the
# denoiser and the target distribution, and a model succeeds only if the two are strongly aligned.
# This chapter has shown the two ends. An architecture without limits reproduces its training set.
# An architecture with the wrong limits, for this target, makes smudges. With another target the
# same limits would be right: if the training images had been drawn from a Gaussian law, samples of
# the linear denoiser would be new *and* real, since that law is what it generates, up to the error of
# a mean and a covariance that are estimated ({doc}`04_linear`).

# %% [markdown]
# (sec-first-roadmap)=
# ## What an architecture can see
#
# The pattern behind all that follows fits in a sentence. *An architecture can see some statistics
# of the target and no others, and the samples are what these statistics determine.*
#
# | the denoiser may be … | it sees of the target | it generates | derived in |
# |---|---|---|---|
# | any function | every training image | training images, each equally likely | {doc}`03_the_perfect_denoiser_copies` |
# | affine | mean and covariance | one Gaussian law | {doc}`04_linear` |
# | affine and a convolution as wide as the image | mean and power spectrum | stationary Gaussian textures | {doc}`05_convolutional` |
# | a polynomial of degree $p$ | moments of order up to $2p$ | a Gaussian, bent by a polynomial flow | {doc}`06_polynomial` |
# | a linear bottleneck of width $k$ | the mean and the $k$ strongest directions | a flat Gaussian of $k$ dimensions | {doc}`07_bottleneck` |
# | one function for each pixel | each pixel's own histogram | independent pixels | {doc}`08_factorised_and_equivariant` |
# | one function for each block of pixels | the blocks, one by one | all recombinations of training blocks | {doc}`08_factorised_and_equivariant` |
# | the same for all shifts, otherwise free | the training images and their shifts | shifted training images | {doc}`08_factorised_and_equivariant` |
# | a function of a small window | the windows | mosaics of training windows | {doc}`09_local_patches` |
#
# Each row is derived, proved and tested in the chapter that it names. {doc}`02_denoising_scores_samplers` builds what all rows share: why denoising gives
# samples at all. {doc}`10_what_the_architecture_can_see` proves the sentence above, and has a
# playground where you choose the target and the architecture.

# %% [markdown]
# ## Exercises
#
# Fill in the stub, remove the `#` in front of the check below it, and run the cell: it prints a verdict.
#
# ```{exercise} Warm-up: the step as an average
# :label: ex-01-average
# {numref}`fig-first-step` says that a step ends between $y$ and $\hat x$. Write it so: as a
# weighted average of the two, without computing the noise. Your function returns the next $y$.
# ```


# %%
def step_as_average(denoise, y, sigma, sigma_next): ...  # your code


# dc.exercises.check_step_as_average(step_as_average)

# %% [markdown]
# ````{solution-start} ex-01-average
# :label: sol-01-average
# :class: dropdown
# ````
#
# Put $n = (y - \hat x)/\sigma$ into $\hat x + \sigma' n$ and collect: $y' = (1 -
# \sigma'/\sigma)\,\hat x + (\sigma'/\sigma)\, y$. The weights add up to 1. At $\sigma' = 0$ only
# the answer is left.


# %%
def official_step_as_average(denoise, y, sigma, sigma_next):
    keep = sigma_next / sigma
    return (1 - keep) * denoise(y, sigma) + keep * y


assert dc.exercises.check_step_as_average(official_step_as_average)

# %% [markdown]
# ````{solution-end}
# ````
#
# ```{exercise} Start too low
# :label: ex-01-start
# Nobody forces us to start at $\sigma = 80$. Write a sampler that starts at any `sigma_max`: DDIM
# on the Karras levels from there, starting noise included. Before you run it for `sigma_max` = 0.3,
# 1, 2, 10, 80, predict: does the perfect denoiser still copy? Is each training image still equally
# likely? What happens to the variance of the linear samples?
# ```


# %%
def sample_from(denoise, n, shape, sigma_max, steps, seed): ...  # your code


# dc.exercises.check_start_from(sample_from)

# %% [markdown]
# ````{solution-start} ex-01-start
# :label: sol-01-start
# :class: dropdown
# ````


# %%
def official_sample_from(denoise, n, shape, sigma_max, steps, seed):
    noise = dc.sampling.initial_noise(n, shape, sigma_max=sigma_max, seed=seed)
    return dc.sampling.ddim(denoise, noise, dc.noise.karras(steps, sigma_max=sigma_max))


assert dc.exercises.check_start_from(official_sample_from)

lines = ["sigma_max   copied   different images   linear: share of variance"]
low_start = {}
for sigma_max in (0.3, 1.0, 2.0, 10.0, 80.0):
    copies = official_sample_from(perfect, n_samples, (1, 8, 8), sigma_max, 40, run.seed)
    smudges = official_sample_from(linear, n_samples, (1, 8, 8), sigma_max, 40, run.seed)
    low_start[sigma_max] = (
        dc.metrics.copied_fraction(copies, train),
        len(dc.metrics.nearest(copies, train)[1].unique()),
        smudges.flatten(1).var(0, correction=0).sum().item() / Sigma.trace().item(),
    )
    share, variety_there, variance_there = low_start[sigma_max]
    lines.append(f"{sigma_max:9g}{share:9.0%}{variety_there:19d}{variance_there:28.2f}")
print("\n".join(lines))

dc.runtime.report(
    first_low_variety=str(low_start[0.3][1]),
    first_low_variance=f"{low_start[0.3][2]:.2f}",
    first_high_variety=str(low_start[80.0][1]),
)

# %% [markdown]
# The perfect denoiser copies from every start: at the end there is nothing else that it could
# answer. But it prefers. From `sigma_max` = 0.3 only {glue:text}`first_low_variety` different
# images appear (from 80: {glue:text}`first_high_variety`), those that lie near the grey image from
# which all paths start. The linear samples keep {glue:text}`first_low_variance` of the variance:
# the start had too little of it, and the flow does not make up for that. A sampler must start where
# noise has drowned the data. The last row shows a second effect: from 80 the same 40 steps are
# spread over a longer way, and the variance falls a little short again.
#
# ````{solution-end}
# ````
#
# ```{exercise} A path between two samples
# :label: ex-01-mix
# Choose two starting noises and go from one to the other. On the way each noise must still be a
# draw from the law of starting noise, or the denoiser is asked about images that it never meets.
# Write `mix(noise_a, noise_b, t)` for $0 \le t \le 1$. What do the samples do along the path, for
# each denoiser?
# ```


# %%
def mix(noise_a, noise_b, t): ...  # your code


# dc.exercises.check_mix(mix)

# %% [markdown]
# ````{solution-start} ex-01-mix
# :label: sol-01-mix
# :class: dropdown
# ````
#
# Variances of independent noises add. With weights $a$ and $b$ we need $a^2 + b^2 = 1$: a quarter
# of a circle, not the straight line, which has only half the variance in the middle.


# %% mystnb={"image": {"alt": "Two rows of eleven digits along a path of starting noise. The perfect denoiser's row jumps between a few digits, each held for several places. The linear denoiser's row changes gradually from one smudged shape to another."}, "figure": {"caption": "Samples along a path of starting noise. The perfect denoiser jumps from training image to training image, the linear one moves smoothly.", "name": "fig-first-mix"}}
def official_mix(noise_a, noise_b, t):
    angle = t * math.pi / 2
    return math.cos(angle) * noise_a + math.sin(angle) * noise_b


assert dc.exercises.check_mix(official_mix)

ends = dc.sampling.initial_noise(2, (1, 8, 8), seed=run.seed + 3)
along = torch.stack([official_mix(*ends, t) for t in np.linspace(0, 1, 101)])
rows = {name: dc.sampling.ddim(denoise, along, sigmas) for name, denoise in WORDS.items()}
visited = dc.metrics.nearest(rows["perfect"], train)[1]
fig, axes = plt.subplots(2, 1, figsize=(6.4, 2.0))
for ax, (name, images) in zip(axes, rows.items(), strict=True):
    dc.style.image_grid(images[::10].numpy(), columns=11, ax=ax, title=name)
plt.show()

# %% tags=["hide-input"]
largest_move = (rows["linear"][1:] - rows["linear"][:-1]).flatten(1).norm(dim=1).max().item()
dc.runtime.report(
    first_path_images=str(len(visited.unique())),
    first_path_copied=percent(dc.metrics.copied_fraction(rows["perfect"], train), 0),
    first_path_move=f"{largest_move:.2f}",
)

# %% [markdown]
# At 101 places of the path the perfect denoiser gives {glue:text}`first_path_images` different
# images, {glue:text}`first_path_copied` of them copies: the space of noise is divided into regions,
# one for each training image. {doc}`03_the_perfect_denoiser_copies` draws their map. The linear
# sampler is an affine function of the noise, so its samples move without a jump, by at most
# {glue:text}`first_path_move` between neighbouring places.
#
# ````{solution-end}
# ````
#
# ```{exercise} Ten training images
# :label: ex-01-ten
# Fit both denoisers to the first ten training images and draw 1,000 samples of each. Write
# `count_copies(samples, train)`, which returns for each training image, in a tensor, how many samples have it as
# their nearest, zeros included. Does the perfect denoiser of ten images copy? Does it have
# favourites? And what can the linear denoiser make of ten images?
# ```


# %%
def count_copies(samples, train): ...  # your code


# dc.exercises.check_count_copies(count_copies)

# %% [markdown]
# ````{solution-start} ex-01-ten
# :label: sol-01-ten
# :class: dropdown
# ````


# %% mystnb={"image": {"alt": "Two rows of ten images. Above: the ten training digits. Below: samples of the linear denoiser fitted to these ten, blends in which several of the digits show through one another."}, "figure": {"caption": "Ten training images, and what the linear denoiser of these ten generates: blends.", "name": "fig-first-ten"}}
def official_count_copies(samples, train):
    index = dc.metrics.nearest(samples, train)[1]
    return index.bincount(minlength=len(train))


assert dc.exercises.check_count_copies(official_count_copies)

ten = train[:10]
copies = dc.sampling.ddim(dc.denoisers.Bayes.fit(ten), noise, sigmas)
counts = official_count_copies(copies, ten)
blend = dc.denoisers.Affine.fit(ten)
blends = dc.sampling.ddim(blend, noise, sigmas)
fig, axes = plt.subplots(2, 1, figsize=(6.2, 2.1))
dc.style.image_grid(ten.numpy(), columns=10, ax=axes[0], title="training images")
dc.style.image_grid(blends[:10].numpy(), columns=10, ax=axes[1], title="linear: samples")
plt.show()

# %%
off = (blends - blend.mean.float()).flatten(1).double()
off = off - off @ blend.eigenvectors @ blend.eigenvectors.T
uniform = dc.denoisers.Bayes.fit(ten).law().agreement(copies)
assert uniform["counts, χ²"].p_value > 1e-5
dc.runtime.report(
    first_ten_copied=percent(dc.metrics.copied_fraction(copies, ten), 0),
    first_ten_least=str(counts.min().item()),
    first_ten_most=str(counts.max().item()),
    first_ten_p=f"{uniform['counts, χ²'].p_value:.2f}",
    first_ten_rank=str(len(blend.eigenvalues)),
    first_ten_off=f"{off.norm(dim=1).max().item():.0e}",
)

# %% [markdown]
# The perfect denoiser copies {glue:text}`first_ten_copied` of the time. The counts lie between
# {glue:text}`first_ten_least` and {glue:text}`first_ten_most`; a χ² test of
# equal chances has p = {glue:text}`first_ten_p`, and the cell asserts more than $10^{-5}$. The linear denoiser knows only the directions in
# which ten images differ, {glue:text}`first_ten_rank` of them, and its samples never leave that
# flat set: the largest distance from it is {glue:text}`first_ten_off`. They are blends of the ten.
#
# ````{solution-end}
# ````

# %% [markdown]
# ## Summary
#
# * A sampler asks a denoiser again and again, and walks from noise towards its answers. One step of
#   DDIM ends on the line between $y$ and $\hat x$.
# * At high noise the perfect and the linear denoiser answer alike: the mean, plus $\Sigma n/\sigma$
#   ({prf:ref}`prop-one-step-mean`, proved and tested). One step therefore gives the average image.
# * The perfect denoiser's samples were all copies, the linear one's none (measured here; proved in
#   later chapters).
# * "Perfect" refers to a target. On new digits with little noise the perfect denoiser is the worse
#   of the two.
# * Creative means new *and* realistic. Neither of the two is. What separates them is the
#   architecture, and whether an architecture suits depends on the target.
#
# Next: {doc}`02_denoising_scores_samplers`.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
