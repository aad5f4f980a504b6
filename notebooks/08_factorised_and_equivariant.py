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
# (sec-factorised)=
# # Factorised and equivariant denoisers dream recombinations
#
# The perfect denoiser copies because it sees the whole image at once, and each place for itself.
# Take away the first: let it see the image only block by block. It then generates
# *chimeras*, the block of one training image beside that of another, in all combinations.
# Take away the second: let it treat all positions alike. It then generates training images in
# places where they never were.
#
# Neither denoiser has learnt anything new. What they generate can be counted.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** why a denoiser that sees parts generates them independently; how many images
#   that makes; which histograms and which structure a 1×1 network keeps; what the best equivariant
#   denoiser is, and why its samples look new to a distance that ignores the group.
# - **Time** about 40 minutes; an hour and a half with every proof and exercise.
# - **Prerequisites** the perfect denoiser of {doc}`03_the_perfect_denoiser_copies` and the χ² test.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Bayes, Blockwise, Equivariant, Pixelwise
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: a true law is refused once in 100,000 runs

# %% [markdown]
# ## Move something first
#
# Twelve samples, always from the same noise. Choose how large the blocks are that the denoiser sees,
# and go back through the steps of the sampler.

# %% tags=["hide-input"]
digits = dc.data.load("digits")
x = digits.subset(run.size(smoke=200, book=len(digits)), seed=run.seed).x  # (N, 1, 8, 8)
N = len(x)
levels = dc.noise.karras(24)
first_noise = dc.sampling.initial_noise(12, (1, 8, 8), seed=run.seed + 3)
paths = {
    block: dc.sampling.ddim(
        Blockwise.fit(x, block=block), first_noise, levels, return_trajectory=True
    )
    for block in (8, 4, 2, 1)
}
moments = list(range(0, 25, 2))


def draw_paths(block, step):
    sigma, y = levels[step].item(), paths[block][step]
    new = dc.metrics.nearest(y, x)[0] > 1e-3 * 8
    words = f"Blocks of {block}×{block}, noise level {sigma:.3g}"
    if sigma == 0:
        words += f": {int(new.sum())} of 12 samples are new"
    shown = y / math.sqrt(1 + sigma**2)
    return {
        "main": [marks.images(shown, columns=6, cell=84)],
        "alt": words + ".",
        "caption": words + ".",
    }


Explorer.precomputed(
    draw_paths,
    [
        Choice("block", {"8×8: all": 8, "4×4": 4, "2×2": 2, "1×1: a pixel": 1}, "block", start=4),
        Slider("step", moments, "step of the sampler", start=24, play=True),
    ],
    Panel("Twelve samples", kind="images"),
    title="The smaller the blocks, the newer the images",
)

# %% [markdown]
# With blocks of 8×8 the denoiser sees the whole image: every sample is a training image. With
# blocks of 4×4 each quarter is a quarter of a training image, but the four do not match. With single
# pixels, only noise with a digit's average shape is left. *How many* images can come out, and how
# often each?
#
# (sec-factorised-product)=
# ## Parts that do not see each other are independent
#
# Cut the $d$ entries of an image into $B$ disjoint *parts*, and write $x_b$ for part $b$ of $x$. A
# **factorised** denoiser computes each part of its answer from the same part of $y$ alone.
#
# ```{prf:theorem} A factorised denoiser generates independent parts
# :label: thm-product
#
# Let $y = x + \sigma n$ with $\sigma > 0$ and $\mathbb E\norm{x}^2 < \infty$.
# 1. Of all factorised denoisers exactly one has the least mean squared error:
#    $D_\sigma(y)_b = \mathbb E[x_b \mid y_b]$.
# 2. It is the posterior mean of another target: of the law $p^\otimes$ under which the parts have
#    the marginal laws that they have in $x$, and are independent.
# 3. If $x$ is bounded, the exact flow from $p^\otimes_{\sigma_{\max}}$ has the law $p^\otimes_\sigma$
#    at each level $\sigma$; as $\sigma \to 0$ it generates $p^\otimes$.
# 4. From Gaussian noise, and with any number of DDIM steps, the generated parts are independent.
# ```
#
# ```{prf:proof}
# *1.* The loss is the sum over $b$ of $\mathbb E\norm{x_b - D(y)_b}^2$. Term $b$ contains only the
# function of $y_b$ that computes part $b$, and {prf:ref}`thm-mmse`, applied to $x_b$ and $y_b$,
# names the only one that minimises it.
#
# *2.* Let $x^\otimes$ have independent parts, $x_b^\otimes$ distributed like $x_b$. The noise has
# independent parts too, so the pairs $(x^\otimes_b, y^\otimes_b)$ are independent of one another.
# Hence $\mathbb E[x_b^\otimes \mid y^\otimes] = \mathbb E[x_b^\otimes \mid y_b^\otimes]$, and this
# is the function of part 1, because $(x^\otimes_b, y^\otimes_b)$ has the law of $(x_b, y_b)$.
#
# *3.* This is {prf:ref}`thm-probability-flow` for the target $p^\otimes$, whose perfect denoiser is
# $D_\sigma$ by part 2. And $p^\otimes_\sigma$, the law of $x^\otimes + \sigma n$, tends to
# $p^\otimes$.
#
# *4.* A DDIM step computes part $b$ of $y'$ from part $b$ of $y$. So does any number of them: the
# sample's part $b$ is a function of part $b$ of the noise, and those parts are independent.
# ```
#
# Part 4 is stronger than it looks. It needs no optimal denoiser and no exact flow: **any** network
# whose parts do not see each other, trained well or badly, generates independent parts.
#
# The score says the same in one line: $\nabla \log p^\otimes_\sigma(y)$ is a list of marginal scores,
# because the logarithm of a product is a sum.
#
# (sec-factorised-chimeras)=
# ## Blocks: exactly $N^B$ chimeras
#
# For a training set of $N$ images the marginal law of a block is a list of $N$ small images. The
# best denoiser is Bayes on each block, with weights of its own,
#
# $$D_\sigma(y)_b = \sum_{i=1}^N w_{bi}\, x_{i,b}, \qquad
# w_{bi} \propto e^{-\norm{y_b - x_{i,b}}^2/2\sigma^2} .$$
#
# ```{prf:theorem} Chimeras
# :label: thm-chimeras
#
# Let the images be cut into $B$ blocks, and let the $N$ training images differ from one another in
# every block. The exact flow of the best blockwise denoiser, from $p^\otimes_{\sigma_{\max}}$,
# ends with probability one on a chimera $(x_{i_1,1}, \dots, x_{i_B,B})$, and each of the $N^B$
# chimeras has probability $N^{-B}$. A share $N^{1-B}$ of the samples are training images; all others
# are new.
#
# If some blocks are equal, a block that occurs $m$ times among the $N$ has probability $m/N$, still
# independently of the other blocks.
# ```
#
# ```{prf:proof}
# By {prf:ref}`thm-product` the parts of $p^\otimes_{\sigma_{\max}}$ are independent and the flow acts
# on each block alone. Block $b$ follows the flow of the perfect denoiser of the $N$ points
# $x_{1,b}, \dots, x_{N,b}$ from the right start. {prf:ref}`thm-perfect-copies` says where that ends:
# on each of them with probability $1/N$ (or $m/N$ if $m$ of them are one point). Independence
# multiplies the probabilities. The chimeras with $i_1 = \dots = i_B$ are the training images: $N$ out
# of $N^B$. Since images differ in every block, no other chimera equals one of them.
# ```
#
# **Counting creativity.** The formula turns "how creative is this architecture?" into a number: the
# entropy of the law. Each part that is chosen for itself adds $\log_{10} N$ digits to the number of
# images.

# %% mystnb={"image": {"alt": "Four rows of ten generated digits. With 8×8 blocks they are clean digits. With 4×4 blocks, quarters of different digits. With 2×2 blocks, patchwork. With single pixels, noise around the average digit."}, "figure": {"caption": "Samples of the best denoisers that see blocks of 8×8, 4×4, 2×2 and 1×1 pixels, from the same noise. Only the first are training images.", "name": "fig-factorised-chimeras"}} tags=["hide-input"]
shown_noise = dc.sampling.initial_noise(10, (1, 8, 8), seed=run.seed + 4)
fig, axes = plt.subplots(4, 1, figsize=(7.2, 4.2))
entropy = {}
for ax, block in zip(axes, (8, 4, 2, 1), strict=True):
    denoise = Blockwise.fit(x, block=block)
    chimeras = dc.sampling.ddim(denoise, shown_noise, levels)
    title = f"blocks of {block}×{block}, B = {(8 // block) ** 2}"
    dc.style.image_grid(chimeras, columns=10, ax=ax, title=title)
    shares = [factor.probabilities for factor in denoise.law().factors]
    entropy[block] = sum(-(p * p.log10()).sum().item() for p in shares)
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    fact_n=N,
    fact_digits_8=f"{entropy[8]:.1f}",
    fact_digits_4=f"{entropy[4]:.1f}",
    fact_digits_2=f"{entropy[2]:.1f}",
    fact_digits_1=f"{entropy[1]:.1f}",
    fact_free_4=f"{4 * math.log10(N):.1f}",
)

# %% [markdown]
# For {glue:text}`fact_n` digits and quarters of 4×4, $4\log_{10} N$ is {glue:text}`fact_free_4`. Some
# quarters are equal, so the entropy is a little smaller: {glue:text}`fact_digits_4` decimal digits,
# against {glue:text}`fact_digits_8` for copies, {glue:text}`fact_digits_2` for blocks of 2×2 and
# {glue:text}`fact_digits_1` for single pixels.
#
# The largest number belongs to the worst images. *New* is cheap; this chapter's denoisers know
# nothing of how the parts belong together, and it shows at every seam. Counting is half of the
# question, realism the other half.
#
# (sec-factorised-certificate)=
# ### Certificate
#
# A claim about $N^B$ images cannot be tested by counting each. But it says three things that can be:
# every block of a sample is a block of a training image; each block's index is uniform; the
# indices of different blocks are independent. We take few training images, so that the test has
# power, and many steps, so that the sampler is close to the flow.

# %%
few = x[:40]
count = run.size(smoke=1500, book=4000)
fine = dc.noise.karras(run.size(smoke=150, book=300))
noise = dc.sampling.initial_noise(count, (1, 8, 8), seed=run.seed + 11)
quarters = Blockwise.fit(few, block=4)
samples = dc.sampling.ddim(quarters, noise, fine)
chimera_law = quarters.law()
verdict = chimera_law.agreement(samples, alpha=LEVEL)
verdict

# %% [markdown]
# The last row asks of every pair of blocks whether both come from one training image more often
# than by chance. That is the way in which a denoiser that secretly saw more would betray itself.
#
# **Controls.** Three wrong laws must fail: copies of whole images; a mixture in which only 2 % of
# the samples are copies; and samples whose first block prefers some images.

# %%
copies = few[torch.randint(len(few), (count,), generator=torch.Generator().manual_seed(7))]
mixed = samples.clone()
two_percent = torch.arange(count) % 50 == 0
mixed[two_percent] = copies[two_percent]
favoured = samples.clone()
swap = torch.arange(count) % 5 == 0
favoured[swap, :, :4, :4] = few[:4].repeat(count, 1, 1, 1)[: int(swap.sum()), :, :4, :4]
controls = {"copies": copies, "2 % copies": mixed, "favourites": favoured}
found = {name: chimera_law.agreement(wrong, alpha=LEVEL) for name, wrong in controls.items()}
print({name: report.ok for name, report in found.items()})
assert verdict.ok
assert not found["copies"].ok
assert not found["favourites"].ok
together = verdict.statistics[-1].name
assert not found["2 % copies"][together].ok or run.profile == "smoke"


# %% tags=["remove-input"]
def p_text(p):
    return f"= {p:.2g}" if p >= 1e-6 else "below one in a million"


dc.runtime.report(
    fact_count=f"{count:,}",
    fact_few=len(few),
    fact_p_counts=p_text(verdict.statistics[1].p_value),
    fact_p_correlations=p_text(verdict.statistics[2].p_value),
    fact_p_together=p_text(verdict.statistics[3].p_value),
    fact_p_two_percent=p_text(found["2 % copies"][together].p_value),
    fact_copied=f"{100 * dc.metrics.copied_fraction(samples, few):.2f} %",
)

# %% [markdown]
# {glue:text}`fact_count` samples from {glue:text}`fact_few` images agree with the law of chimeras:
# p {glue:text}`fact_p_counts` for the counts, p {glue:text}`fact_p_correlations` for the
# correlations, p {glue:text}`fact_p_together` for pairs of one image. Copies among them:
# {glue:text}`fact_copied`. A dependence of 2 % is found with p {glue:text}`fact_p_two_percent`.
#
# (sec-factorised-pixels)=
# ## Pixels: perfect histograms and nothing else
#
# The smallest part is one pixel. A network of 1×1 convolutions sees a pixel with all its channels,
# so for colour images the part is the vector of channels. Two architectures must be told apart. A
# layer with *own* weights for each pixel knows where it is. A 1×1 *convolution* uses the same weights
# everywhere; it cannot know.
#
# ```{prf:theorem} Pixelwise denoisers
# :label: thm-pixelwise
#
# Let $x$ be bounded, $\pi_p$ the law of pixel $p$ in the target, $P$ the number of pixels and
# $\bar\pi = \tfrac1P \sum_p \pi_p$ the pooled histogram.
# 1. The best denoiser with own weights for each pixel generates independent pixels, pixel $p$ with law
#    $\pi_p$.
# 2. The best denoiser with one function $f_\sigma$ for all pixels is $f_\sigma(v) = \mathbb E[a \mid a + \sigma n = v]$ with
#    $a \sim \bar\pi$. It generates independent pixels that all have the law $\bar\pi$.
#
# (Both by the exact flow, from the noisy version of the law that is generated.)
# ```
#
# ```{prf:proof}
# Part 1 is {prf:ref}`thm-product` with one part for each pixel.
#
# For part 2 the loss is $\sum_p \mathbb E\abs{x_p - f(x_p + \sigma n_p)}^2$. Let $q$ be a pixel chosen
# uniformly, independently of all else, and $a = x_q$. Then $a \sim \bar\pi$, and the loss is
# $P\;\mathbb E\abs{a - f(a + \sigma n)}^2$, which {prf:ref}`thm-mmse` minimises: $f$ is
# the posterior mean of $a$. So every pixel follows the flow of the target $\bar\pi$, and they
# start independent.
# ```
#
# The first keeps the mean image and each pixel's histogram. The second loses even these: it has
# never been told where a pixel is.

# %% mystnb={"image": {"alt": "Left: samples with own histograms look like noisy average digits. Middle: samples with the pooled histogram are uniform noise in grey. Right: the histogram of one pixel in the data, and among samples, agree bar by bar."}, "figure": {"caption": "Left: independent pixels, each with its own histogram. Middle: the pooled histogram everywhere. Right: the histogram of one pixel, in the data and among samples of the first denoiser, up to chance. The histogram is right; the image is not.", "name": "fig-factorised-pixels"}} tags=["hide-input"]
own, shared = Pixelwise.fit(x), Pixelwise.fit(x, shared=True)
pixel_noise = dc.sampling.initial_noise(
    run.size(smoke=600, book=3000), (1, 8, 8), seed=run.seed + 5
)
many = dc.noise.karras(200)
own_images = dc.sampling.ddim(own, pixel_noise[:1500], many)
shared_images = dc.sampling.ddim(shared, pixel_noise[:9], many)
fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.6), width_ratios=[1, 1, 1.3])
dc.style.image_grid(own_images[:9], ax=axes[0], title="own histograms")
dc.style.image_grid(shared_images[:9], ax=axes[1], title="pooled histogram")
grey = np.arange(17)
for place, pixels, color in ((-0.2, x, "data"), (0.2, own_images, "generated")):
    values = ((pixels[:, 0, 4, 4] + 1) * 8).round().long()
    share = torch.bincount(values, minlength=17).double() / len(values)
    axes[2].bar(grey + place, share, 0.4, color=COLORS[color], label=color)
axes[2].set(xlabel="grey level of pixel (4, 4)", ylabel="share")
axes[2].legend()
plt.show()

# %% [markdown]
# Those samples took 200 steps, close to the flow. With fewer the histogram is off, and a finite
# sampler has a law of its own. For pixels we can compute it.
#
# ```{prf:proposition} A pixel after finitely many steps
# :label: prop-pixel-steps
#
# Let a pixel take finitely many grey values, at least two. DDIM with the best denoiser, on
# $\sigma_0 > \dots > \sigma_K = 0$, sends the start $y_0$ to $T(y_0)$ with a continuous, strictly increasing
# function $T$. So for any threshold $t$ between the least and the largest value,
#
# $$\P\bigl(T(y_0) \le t\bigr) = \Phi\bigl(T^{-1}(t)/\sigma_0\bigr), \qquad y_0 \sim \normal(0, \sigma_0^2),$$
#
# where $\Phi$ is the standard normal distribution function. The probability of ending nearest
# to a value follows with the midpoints between values as thresholds.
# ```
#
# ```{prf:proof}
# For one channel, $D_\sigma'(y) = \operatorname{Var}(x_p \mid y_p = y)/\sigma^2 > 0$. A step is $y' = (1 - \sigma'/\sigma)\, D_\sigma(y) + (\sigma'/\sigma)\,y$, a sum of
# two functions of which the first increases strictly and the second does not decrease. So $y'$
# increases strictly, and so does a composition of steps. The last one maps onto the open interval from the
# least to the largest value. Hence $T(y_0) \le t$ means $y_0 \le T^{-1}(t)$.
# ```
#
# `Pixelwise.law(sigmas)` finds $T^{-1}$ at all midpoints at once by bisection. After so few steps a
# pixel among tens of thousands stops between two grey levels; it is counted with the nearest.

# %%
pixel_steps = dc.noise.karras(18)
own_samples = dc.sampling.ddim(own, pixel_noise, pixel_steps)
shared_samples = dc.sampling.ddim(shared, pixel_noise, pixel_steps)
step_law, limit_law = own.law(pixel_steps), own.law()
half = {"alpha": LEVEL, "tolerance": 1 / 16}  # half the distance of two grey levels
passes = step_law.agreement(own_samples, **half)
pixel_controls = {
    "the limit of infinitely many steps": limit_law.agreement(own_samples, **half),
    "the pooled histogram": shared.law(pixel_steps).agreement(own_samples, **half),
    "another schedule": own.law(dc.noise.karras(12)).agreement(own_samples, **half),
}
pooled = shared.law(pixel_steps).agreement(shared_samples, **half)
verdicts = {"own histograms": passes, "pooled histogram": pooled}
verdicts |= {f"control: {name}": report for name, report in pixel_controls.items()}
print("\n".join(f"{name}: {report.ok}" for name, report in verdicts.items()))
assert passes.ok
assert pooled.ok
assert not pixel_controls["the pooled histogram"].ok
assert run.profile == "smoke" or not any(report.ok for report in pixel_controls.values())

# %% tags=["remove-input"]
gap = max(
    (a.probabilities - b.probabilities).abs().max().item()
    for a, b in zip(step_law.factors, limit_law.factors, strict=True)
)
dc.runtime.report(
    fact_pixel_n=f"{len(pixel_noise):,}",
    fact_pixel_p=p_text(passes.statistics[1].p_value),
    fact_pooled_p=p_text(pooled.statistics[1].p_value),
    fact_pixel_gap=f"{gap:.3f}",
)

# %% [markdown]
# With {glue:text}`fact_pixel_n` samples the law of the 18 steps agrees, for own histograms
# (p {glue:text}`fact_pixel_p`) and for the pooled one (p {glue:text}`fact_pooled_p`). The three wrong
# laws fail, the limit of infinitely many steps among them: 18 steps move probabilities by up to
# {glue:text}`fact_pixel_gap`.
#
# (sec-equivariant)=
# ## Equivariant: training images where they never were
#
# Now the denoiser sees everything, but must treat all positions alike. Let $G$ be a finite group of
# matrices that permute pixels: the circular shifts of an image, its mirror images, its quarter
# turns. A denoiser is **equivariant** if $D(gy) = gD(y)$ for all $g \in G$: shift the input, and the
# output shifts with it. Circular convolutions of any depth have this property for shifts.
#
# The **orbit** of the training set is the list of all $N\abs{G}$ images $g x_i$.
#
# ```{prf:theorem} The best equivariant denoiser
# :label: thm-equivariant
#
# Let $x$ have finite second moment, let $G$ be a finite group of orthogonal matrices, and let
# $\tilde x = \gamma x$ with $\gamma$ uniform on $G$, independent of $x$. Write $\tilde y = \tilde x + \sigma n$, let $\tilde p_\sigma$ be the density of $\tilde y$ and
# $\tilde D_\sigma(y) = \mathbb E[\tilde x \mid \tilde y = y]$.
# 1. *Averaging is projecting.* $(\Pi D)(y) = \tfrac1{\abs G}\sum_{g} g^{-1} D(gy)$ is the orthogonal
#    projection of $L^2(\tilde p_\sigma)$ onto the equivariant functions.
# 2. $\tilde D_\sigma$ is equivariant, and for every equivariant $D$
#
#    $$\mathbb E\norm{x - D(x + \sigma n)}^2 = \mathbb E\norm{\tilde x - \tilde D_\sigma(\tilde y)}^2 +
#    \mathbb E\norm{D(\tilde y) - \tilde D_\sigma(\tilde y)}^2 .$$
#
#    So the best equivariant denoiser is $\tilde D_\sigma$, and it is the only one. For $N$ training
#    points it is the perfect denoiser of their orbit.
# ```
#
# ```{prf:proof}
# *1.* The law of $\tilde x$ does not change under $h \in G$, since $h\gamma$ is uniform as well; nor
# does that of $n$; so $\tilde p_\sigma(hy) = \tilde p_\sigma(y)$. $\Pi D$ is equivariant: substitute
# $g' = gh$ in $(\Pi D)(hy) = \tfrac1{\abs G}\sum_g g^{-1}D(ghy) = \tfrac1{\abs G}\sum_{g'} h\,g'^{-1}D(g'y)$. If $D$ is
# equivariant, each term is $D(y)$ and $\Pi D = D$. It remains to show that $\Pi$ is self-adjoint. For
# functions $D$, $E$, as $g$ is orthogonal,
#
# $$\mathbb E\,\bigl[g^{-1} D(g\tilde y)\bigr]^\top E(\tilde y) =
# \mathbb E\, D(g\tilde y)^\top\, g E(\tilde y) = \mathbb E\, D(\tilde y)^\top\, gE(g^{-1}\tilde y),$$
#
# because $g \tilde y$ has the law of $\tilde y$. Average over $g$; on the right the average runs over
# $g^{-1}$ just as well, and gives $\mathbb E\, D(\tilde y)^\top (\Pi E)(\tilde y)$.
#
# *2.* Given $\tilde y = hy$, $\tilde x$ has the law of $h \tilde x$ given $\tilde y = y$, since
# $(h\tilde x, h\tilde y)$ and $(\tilde x, \tilde y)$ have the same law. So
# $\tilde D_\sigma(hy) = h\tilde D_\sigma(y)$. For equivariant $D$ and each $g$,
#
# $$\norm{x - D(x + \sigma n)} = \norm{gx - gD(x + \sigma n)} = \norm{gx - D(gx + \sigma gn)},$$
#
# and $gn$ has the law of $n$. Averaged over $g$: the loss on $x$ is the loss
# $\mathbb E\norm{\tilde x - D(\tilde y)}^2$ on $\tilde x$. That one splits as stated by
# {prf:ref}`thm-mmse`: the error $\tilde x - \tilde D_\sigma(\tilde y)$ is orthogonal to all
# functions of $\tilde y$.
# ```
#
# Two things follow. Training an equivariant network on $x$, and training it on $x$ with all its
# shifts (data augmentation), minimise the same loss. And the best equivariant denoiser is *not* the
# plain average of the perfect denoiser of the data over the group: that would weigh all $g$ equally.
# By Bayes' rule the weights are
#
# ```{math}
# :label: eq-equivariant-weights
# \tilde D_\sigma(y) = \sum_g \frac{p_\sigma(g^{-1}y)}{\sum_h p_\sigma(h^{-1}y)}\; g\, D_\sigma(g^{-1}y) ,
# ```
#
# with $D_\sigma$, $p_\sigma$ those of the data: the positions are weighed by how probable they are.

# %%
small = x[: run.size(smoke=30, book=100)]
equivariant, perfect = Equivariant.fit(small), Bayes.fit(small.double())
shifts = [(a, b) for a in range(8) for b in range(8)]
trial = (small[:20].roll((3, 5), (-2, -1))).double()
trial = trial + 0.5 * torch.randn(trial.shape, dtype=torch.float64)
answers = torch.stack(
    [perfect(trial.roll((-a, -b), (-2, -1)), 0.5).roll((a, b), (-2, -1)) for a, b in shifts]
)
gaps = torch.stack(
    [
        torch.cdist(trial.roll((-a, -b), (-2, -1)).flatten(1), small.flatten(1).double()).square()
        for a, b in shifts
    ]
)  # (64, 20, N)
weights = torch.logsumexp(-gaps / (2 * 0.5**2), -1).softmax(0)  # (64, 20)
weighed = (weights[..., None, None, None] * answers).sum(0)
off_weighed = (weighed - equivariant(trial, 0.5)).abs().max().item()
off_plain = (answers.mean(0) - equivariant(trial, 0.5)).abs().max().item()
assert off_weighed < 1e-9 < 0.1 < off_plain

# %% tags=["remove-input"]
dc.runtime.report(fact_off_weighed=f"{off_weighed:.0e}", fact_off_plain=f"{off_plain:.2f}")

# %% [markdown]
# On noisy digits the weighted sum and `Equivariant` differ by {glue:text}`fact_off_weighed`, the plain
# average by up to {glue:text}`fact_off_plain`.
#
# ```{prf:theorem} The orbit, uniformly
# :label: thm-orbit
#
# 1. For **any** equivariant denoiser, any schedule, and Gaussian noise at the start, the law of the
#    DDIM samples is invariant: $g\,y_{\text{end}}$ and $y_{\text{end}}$ have the same law for
#    every $g \in G$.
# 2. The exact flow of the best equivariant denoiser of $N$ training images, from
#    $\tilde p_{\sigma_{\max}}$, ends on each element of the orbit with probability
#    $1/(N\abs G)$ (elements that coincide add up).
# ```
#
# ```{prf:proof}
# *1.* A step $F(y) = D(y) + (\sigma'/\sigma)(y - D(y))$ satisfies $F(gy) = gF(y)$, and so does the
# composition $T$ of all steps. If $y_0$ is Gaussian noise, so is $gy_0$, as $g$ is orthogonal. Hence
# $g\,T(y_0) = T(g y_0)$ has the law of $T(y_0)$.
#
# *2.* By {prf:ref}`thm-equivariant` the denoiser is the perfect one of the points $g x_i$; this is
# {prf:ref}`thm-perfect-copies` for them, with weights if some coincide.
# ```
#
# The package never builds the orbit of large images. The scores of all shifts of an image are one
# correlation, and so is the weighted sum; both are fast Fourier transforms.
#
# (sec-equivariant-modulo)=
# ### New, or a copy moved aside?
#
# We draw samples of the best shift-equivariant denoiser and measure each twice: its distance to the
# nearest training image, and its distance to the nearest training image *after the best shift*.

# %%
moved_noise = dc.sampling.initial_noise(
    run.size(smoke=400, book=3000), (1, 8, 8), seed=run.seed + 6
)
moved = dc.sampling.ddim(equivariant, moved_noise, dc.noise.karras(run.size(smoke=40, book=60)))
plain = dc.metrics.nearest(moved, small)[0]
modulo, which, by = dc.metrics.nearest_in_orbit(moved, small, "translations")

# %% mystnb={"image": {"alt": "Above, ten generated digits, most of them cut and wrapped around the border, and below each a training image that a shift takes to it. Underneath a histogram: the distances per pixel to the nearest training image spread from about 0.4 upwards, except for a small bar at 0; modulo shifts all are 0."}, "figure": {"caption": "Above: samples of the best shift-equivariant denoiser, and under each the training image that it is a circular shift of. Below: root mean square distance per pixel to the nearest training image. The plain distance calls most samples new; modulo shifts all of them are copies.", "name": "fig-equivariant-modulo"}} tags=["hide-input"]
fig, (above, below) = plt.subplots(2, 1, figsize=(7.2, 4.2), height_ratios=[1, 1.4])
dc.style.image_grid(torch.cat([moved[:10], small[which[:10]]]), columns=10, ax=above)
above.set_title("generated (above), training image (below)")
bins = np.linspace(0, plain.max().item() / 8, 41)
below.hist(plain / 8, bins, color=COLORS["generated"], label="nearest")
below.hist(modulo / 8, bins, color=COLORS["law"], label="nearest modulo shifts", alpha=0.7)
below.set(xlabel="distance per pixel (RMS)", ylabel="samples", yscale="log")
below.legend(loc="upper left", bbox_to_anchor=(0.06, 1))
plt.show()

# %%
orbit_law = equivariant.law()
shift_verdict = orbit_law.agreement(moved, alpha=LEVEL)
shift_verdict

# %% [markdown]
# **Controls.** Copies that were not shifted must fail. So must shifts that leave out one of the eight
# rows, and a shift that depends on the image: all images and all shifts equally often, but tied to
# one another.

# %%
n = len(moved)
generator = torch.Generator().manual_seed(run.seed + 8)
chosen = torch.randint(len(small), (n,), generator=generator)
down, along = torch.randint(8, (2, n), generator=generator)


def shifted(rows, columns):
    """The chosen images, each moved by its own shift."""
    every = torch.stack([small.roll((a, b), (-2, -1)) for a, b in shifts], 1)  # (N, 64, 1, 8, 8)
    return every[chosen, 8 * rows + columns]


tied = {
    "the law itself": shifted(down, along),
    "not shifted": small[chosen],
    "one row left out": shifted(down % 7, along),
    "tied to the image": shifted(chosen % 8, chosen // 8 % 8),
}
seen = {name: orbit_law.agreement(images, alpha=LEVEL).ok for name, images in tied.items()}
print(seen)
assert shift_verdict.ok
assert seen == {name: name == "the law itself" for name in tied} or run.profile == "smoke"

# %% tags=["remove-input"]
by_name = {s.name: s for s in shift_verdict.statistics}
dc.runtime.report(
    fact_orbit_n=f"{n:,}",
    fact_orbit_size=f"{len(small) * 64:,}",
    fact_orbit_images=len(small),
    fact_plain_copies=f"{100 * dc.metrics.copied_fraction(moved, small):.1f} %",
    fact_modulo_copies=(
        f"{100 * dc.metrics.copied_fraction(moved, small, modulo='translations'):.1f} %"
    ),
    fact_orbit_p_images=p_text(by_name["images: counts, χ²"].p_value),
    fact_orbit_p_rows=p_text(by_name["shifts along axis 0: counts, χ²"].p_value),
    fact_orbit_p_columns=p_text(by_name["shifts along axis 1: counts, χ²"].p_value),
    fact_orbit_p_pairs=p_text(by_name["pairs of equal samples"].p_value),
)

# %% [markdown]
# {glue:text}`fact_orbit_images` images have an orbit of {glue:text}`fact_orbit_size`. The plain distance
# finds {glue:text}`fact_plain_copies` copies among {glue:text}`fact_orbit_n` samples, the distance
# modulo shifts {glue:text}`fact_modulo_copies`. Images are uniform (p
# {glue:text}`fact_orbit_p_images`), so are the shifts down (p {glue:text}`fact_orbit_p_rows`)
# and along (p {glue:text}`fact_orbit_p_columns`), and no pair of image and shift comes too often
# (p {glue:text}`fact_orbit_p_pairs`).
#
# ```{prf:remark} Novelty is modulo something
# :label: rem-novelty-modulo
#
# A measure of novelty compares samples with training images *up to* some changes. If it leaves out
# the group that the architecture has built in, every sample looks new and none is. An equivariant
# network needs a measure modulo its group.
# ```
#
# (sec-factorised-limits)=
# ## What few steps change, and what they cannot
#
# {prf:ref}`thm-chimeras` and the second half of {prf:ref}`thm-orbit` hold in the limit of the exact
# flow. Independence of the parts, and uniform shifts, hold for *every* number of steps. So with few
# steps a test of how often each block comes must fail, and one of independence must not.

# %% tags=["hide-input"]
rows = []
for steps in (3, 6, 12, 60):
    schedule = dc.noise.karras(steps)
    rough = dc.sampling.ddim(quarters, noise, schedule)
    # Some samples stop between two blocks: their nearest blocks are judged.
    parts = torch.stack(
        [
            f.nearest(rough.flatten(1)[:, at])[1]
            for f, at in zip(chimera_law.factors, chimera_law.places, strict=True)
        ],
        1,
    )  # (n, 4)
    counts = torch.bincount(parts[:, 0], minlength=len(chimera_law.factors[0].atoms))
    expected = chimera_law.factors[0].probabilities * len(parts)
    uniform = stats.chisquare(counts.numpy(), expected.numpy()).pvalue
    table = stats.contingency.crosstab((parts[:, 0] % 8).numpy(), (parts[:, 3] % 8).numpy()).count
    rows.append((steps, uniform, stats.chi2_contingency(table).pvalue))
print(f"{'steps':>5}  {'block 1 uniform, p':>24}  {'blocks 1, 4 independent, p':>26}")
for steps, uniform, independent in rows:
    print(f"{steps:5d}  {p_text(uniform):>24}  {p_text(independent):>26}")
assert rows[0][1] < LEVEL
assert min(independent for *_, independent in rows) > LEVEL

# %% tags=["remove-input"]
farthest = x.square().flatten(1).sum(1).mean().sqrt().item() / (2 * 80)  # σ_max = 80
dc.runtime.report(
    fact_few_uniform=p_text(rows[0][1]),
    fact_few_independent=f"{min(r[2] for r in rows):.2f}",
    fact_start=f"{farthest:.3f}",
)

# %% [markdown]
# Three steps: the first block is far from uniform (p {glue:text}`fact_few_uniform`), and yet as
# independent of the last one as with sixty (smallest p of the four {glue:text}`fact_few_independent`).
#
# What else this chapter leaves out:
#
# - **Borders.** Circular shifts wrap around. Real convolutions pad with zeros, which tells them
#   where the border is; they are not equivariant, and their law is not the orbit.
# - **Overlap.** Blocks are disjoint here. Windows that overlap do see each other, step after step:
#   {doc}`09_local_patches` is about them.
# - **Finite $\sigma_{\max}$.** Started from pure noise instead of $p^\otimes_{\sigma_{\max}}$, no event
#   changes its probability by more than {glue:text}`fact_start` at $\sigma_{\max} = 80$, by
#   {prf:ref}`prop-start`.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-08-count
#
# **Count.** A training set has $N$ images that differ in every block, cut into $B$ blocks. Write
# `count_chimeras(N, B)`: how many different images does the blockwise denoiser generate, and which
# share of the samples are training images?
# ```


# %%
def count_chimeras(N, B): ...  # your code: return number, share of copies


# dc.exercises.check_count_chimeras(count_chimeras)

# %% [markdown]
# ```{solution-start} ex-08-count
# :class: dropdown
# ```
#
# $B$ free choices among $N$; the $N$ training images are those in which all choices agree.


# %%
def count_chimeras_solution(N, B):
    return N**B, N / N**B


assert dc.exercises.check_count_chimeras(count_chimeras_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-08-block
#
# **Your own chimeras.** Write `halves_denoiser(x, y, sigma)` for training points $x$ of shape $(N, d)$ and noisy
# points $y$ of shape $(n, d)$, $d$ even: the best denoiser whose left half sees only the left
# half of $y$, and whose right half only the right half.
# ```


# %%
def halves_denoiser(x, y, sigma): ...  # your code: return (n, d)


# dc.exercises.check_halves_denoiser(halves_denoiser)

# %% [markdown]
# ```{solution-start} ex-08-block
# :class: dropdown
# ```
#
# A softmax over the training set for each half, with weights of its own.


# %%
def halves_denoiser_solution(x, y, sigma):
    halves = []
    for points, query in zip(x.chunk(2, 1), y.chunk(2, 1), strict=True):
        gaps = (query[:, None] - points).square().sum(-1)
        halves.append((-gaps / (2 * sigma**2)).softmax(1) @ points)
    return torch.cat(halves, 1)


assert dc.exercises.check_halves_denoiser(halves_denoiser_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-08-average
#
# **Make it equivariant.** Write `symmetrise(denoise, y)`: the average $(\Pi D)(y)$ of
# {prf:ref}`thm-equivariant` over all circular shifts, for signals $y$ of shape $(n, L)$ and any
# function `denoise(y)`.
# ```


# %%
def symmetrise(denoise, y): ...  # your code: return (n, L)


# dc.exercises.check_symmetrise(symmetrise)

# %% [markdown]
# ```{solution-start} ex-08-average
# :class: dropdown
# ```
#
# Shift, denoise, shift back, average.


# %%
def symmetrise_solution(denoise, y):
    moved = [denoise(y.roll(k, -1)).roll(-k, -1) for k in range(y.shape[-1])]
    return sum(moved) / len(moved)


assert dc.exercises.check_symmetrise(symmetrise_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-08-distance
#
# **Distance modulo shifts.** Write `shift_distance(a, b)` for two signals of shape $(L,)$: the least
# distance between $a$ and any circular shift of $b$. Try it with one Fourier transform instead of
# $L$ differences: $\norm{a - gb}^2 = \norm a^2 + \norm b^2 - 2\,a^\top gb$.
# ```


# %%
def shift_distance(a, b): ...  # your code: a number


# dc.exercises.check_shift_distance(shift_distance)

# %% [markdown]
# ```{solution-start} ex-08-distance
# :class: dropdown
# ```
#
# The products $a^\top gb$ for all shifts are a circular correlation: the inverse transform of
# $\hat a$ times the conjugate of $\hat b$. (For a copy the difference of squares cancels to about
# $10^{-7}$ of $\norm a$; the package computes the difference itself at the shift that it found.)


# %%
def shift_distance_solution(a, b):
    a, b = a.double(), b.double()
    products = torch.fft.ifft(torch.fft.fft(a) * torch.fft.fft(b).conj()).real
    best = b.roll(int(products.argmax()))
    return (a - best).norm().item()


assert dc.exercises.check_shift_distance(shift_distance_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - A denoiser whose parts do not see each other generates independent parts: for any weights, any
#   number of steps ({prf:ref}`thm-product`).
# - Blocks: all $N^B$ chimeras, uniformly ({prf:ref}`thm-chimeras`). Pixels: perfect histograms,
#   no structure ({prf:ref}`thm-pixelwise`), with exact probabilities for each schedule
#   ({prf:ref}`prop-pixel-steps`).
# - The best equivariant denoiser is the perfect one of the orbit ({prf:ref}`thm-equivariant`). Its
#   samples are training images moved by a uniform element of the group ({prf:ref}`thm-orbit`).
# - So both are creative by recombination alone, and a distance modulo the group, or block by block,
#   unmasks all of it.
#
# **Proved:** all statements above. **Measured:** that the samplers agree, and that wrong laws are found,
# a dependence of 2 % between blocks among them. **Not covered:** windows that overlap, and padding.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the derivations in this chapter are
# the book's own.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
