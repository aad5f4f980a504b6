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
# (sec-convolutional)=
# # Convolutions dream textures
#
# A linear denoiser may use another row of weights for each pixel. A convolution may not: one small
# kernel does the work everywhere, so the denoiser cannot know *where* it is.
# What is left of a digit, when nobody may say where its strokes are?
#
# A texture. This chapter proves which one. With a kernel as large as the image it has exactly the
# power spectrum of the data. With a kernel of $k\times k$ pixels it has a spectrum that is wrong
# everywhere, even at short distances, and we derive it in closed form.
# Then we surround the image with zeros, as nearly every network does, and watch position come back
# in through the border.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what a shared kernel can see of its training images, which Gaussian texture it
#   generates, why a small kernel generates the wrong spectrum and which one, and how zero padding
#   breaks the symmetry that circular convolutions have.
# - **Time** about 50 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`04_linear`, the discrete Fourier transform, and the logarithm of a
#   symmetric matrix.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import itertools
import os

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import linalg, stats
from sklearn.datasets import load_sample_image

import diffusion_creativity as dc
from diffusion_creativity.denoisers import Affine, Convolutional
from diffusion_creativity.laws import Gaussian
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: all together refuse a true law less than once in 1,000 runs

# %% [markdown]
# ## Move something first
#
# The images of this figure have one dimension: rings of 64 pixels, drawn as curves. Their *power*
# says how strongly each frequency is present. Choose a target, and move the kernel size $k$: how
# many neighbouring pixels the denoiser may look at.

# %% tags=["hide-input"]
RING = 64
cycles = torch.fft.fftfreq(RING, dtype=torch.float64)  # cycles per pixel, −1/2 … 1/2
SIZES = [1, 3, 5, 7, 9, 11, 15, 21, 31, 41, 51, 63]


def normalised(power):
    return power / power.mean()


rings = {
    "slow waves": normalised(1 / (0.02 + cycles.abs()) ** 2),
    "one pitch": normalised(0.02 + torch.exp(-(((cycles.abs() - 0.14) / 0.02) ** 2))),
    "edges of two widths": normalised(
        0.05 + torch.cos(7 * torch.pi * cycles) ** 2 / (0.1 + cycles.abs())
    ),
}
ring_law = {
    (name, k): Convolutional.from_spectrum(0.0, power, kernel_size=k)
    for name, power in rings.items()
    for k in [*SIZES, None]
}
ring_noise = dc.sampling.initial_noise(1, (1, RING), seed=seed + 3)
ring_steps = dc.noise.karras(100)
half = slice(1, RING // 2 + 1)
ring_true = {name: ring_law[name, None].generate(ring_noise, ring_steps)[0, 0] for name in rings}


def correlation(power):
    """Autocovariance of a ring with this power, over that at distance 0."""
    lags = torch.fft.ifft(power).real
    return lags / lags[0]


def draw_ring(target, k):
    denoise = ring_law[target, k if k < RING else None]
    power, right = denoise.spectrum(), rings[target]
    made = denoise.generate(ring_noise, ring_steps)[0, 0]
    wrong = (power[half].log() - right[half].log()).abs().exp().max().item()
    facts = (
        f"With k = {k} the power is wrong by a factor of up to {wrong:.3g}, and the variance of a "
        f"pixel is {power.mean().item():.3f} instead of 1."
    )
    place, f = np.arange(RING), cycles[half].abs()
    return {
        "power": [
            marks.line(f, right[half], color="data", width=2.5, label="data"),
            marks.line(f, power[half], color="generated", label="generated"),
        ],
        "lags": [
            marks.line(place[:25], correlation(right)[:25], color="data", width=2.5),
            marks.points(place[:25], correlation(power)[:25], color="generated"),
            marks.vline(min(k - 0.5, 24), label="edge of sight"),
        ],
        "ring": [
            marks.line(place, ring_true[target], color="data", opacity=0.5),
            marks.line(place, made, color="generated"),
        ],
        "alt": f"Target: {target}. Three plots: power against frequency, correlation against "
        f"distance, and one sample beside one of the full kernel. {facts}",
        "caption": facts,
    }


Explorer.precomputed(
    draw_ring,
    [
        Slider("k", [*SIZES, RING], "kernel size k", start=5, play=True, interval=700),
        Choice("target", list(rings), "target"),
    ],
    {
        "power": Panel("Power", "frequency, cycles per pixel", "power", ylog=True),
        "lags": Panel("Correlation", "distance in pixels", "correlation", ylim=(-1, 1.05)),
        "ring": Panel("Sample (pale: full kernel)", "pixel", "value"),
    },
    title="A small kernel hears the wrong notes",
)

# %% [markdown]
# Three things to see:
#
# - At $k = 64$ (the full kernel) the orange curves are the data's.
# - At small $k$ the power is smooth where it should have peaks, and it rings around the right curve
#   as $k$ grows.
# - "One pitch" at $k = 5$: the denoiser has seen the correlations up to distance 4 with its own
#   eyes, and still what it generates does not have them.
#
# (sec-conv-denoiser)=
# ## Which convolution is the best one?
#
# An image has one value at each of $P$ places $p$, its pixels. The places lie on a *torus*: who
# walks out on the right comes back in on the left, and shifts $p + \delta$ are meant in this way.
# (Zero padding has a section of its own, {ref}`below <sec-conv-padding>`.)
# A {term}`circular convolution` with kernel $h$ on the window $W$, a set of shifts, and bias $b$ is
# the map
#
# ```{math}
# :label: eq-conv
# D(y)(p) = b + \sum_{\delta\in W} h(\delta)\, y(p+\delta) .
# ```
#
# Our windows are $k\times k$ squares around $0$ with $k$ odd, or the whole torus: the *full kernel*.
# Why look at convolutions at all? Because they are what is left of linear denoisers once position
# may not matter.
#
# ```{prf:lemma} Linear and blind to position means convolution
# :label: lem-conv-shift
#
# An affine map commutes with all shifts of the torus exactly when it is a circular convolution
# {eq}`eq-conv` with some kernel on the whole torus and a bias that is the same at all places.
# ```
#
# ```{prf:proof}
# Let $D(y) = Ay + b$ commute with shifts. At $y = 0$: the image $b$ equals all of its shifts, so it
# is constant. Then $A$ commutes with shifts too. Shifting input and output together leaves
# $A_{p,q}$ unchanged, so $A_{p,q}$ depends on $q - p$ only; call it $h(q - p)$. The converse is
# plain substitution.
# ```
#
# What could such a map know of its training images? Two things will be enough. One is the *mean
# pixel* $m = \frac1P\sum_p\mathbb E\,x(p)$, a number. The other is the *{term}`autocovariance`*, the
# average over all places of how a pixel varies together with the one $\delta$ further:
#
# ```{math}
# :label: eq-autocovariance
# C(\delta) = \frac1P\sum_p \mathbb E\bigl[(x(p+\delta) - m)(x(p) - m)\bigr] .
# ```
#
# Its Fourier transform $S(\omega) = \sum_\delta C(\delta)\,e^{-i\omega\cdot\delta}$ is the
# *{term}`power spectrum`*: $S(\omega) = \mathbb E\abs{X(\omega)}^2/P$, where $X$ is the transform of
# $x - m$, so $S \ge 0$. White noise of variance $v$ has $S = v$ everywhere.
#
# The autocovariance between the pixels of one window is a matrix, $T_{\delta\delta'} =
# C(\delta - \delta')$ for $\delta, \delta'\in W$. Let $e$ be the unit vector of the centre,
# $\delta = 0$.
#
# ```{prf:theorem} The best convolution
# :label: thm-conv-denoiser
#
# Let $\sigma > 0$. Among the circular convolutions with window $W$ exactly one minimises
# $\mathbb E\norm{x - D(y)}^2$:
#
# $$\begin{aligned}
# h_\sigma &= (T + \sigma^2 I)^{-1}\,T e = e - \sigma^2(T+\sigma^2I)^{-1}e, \\
# b_\sigma &= m\,\bigl(1 - \textstyle\sum_\delta h_\sigma(\delta)\bigr).
# \end{aligned}$$
#
# Any other one, with kernel $h$ and bias $b$, loses more by $P$ times
#
# $$(h - h_\sigma)^\top(T + \sigma^2I)(h - h_\sigma)
# + \bigl(b - m + m\textstyle\sum_\delta h(\delta)\bigr)^2 .$$
#
# The full kernel multiplies frequency $\omega$ of $y - m$ by
#
# $$H_\sigma(\omega) = \frac{S(\omega)}{S(\omega)+\sigma^2},$$
#
# and is the best affine denoiser of the target *shifted at random*, each shift equally likely.
# ```
#
# ```{prf:proof}
# Average over places. Draw $p$ uniformly, let $t = x(p) - m$, and let $v$ be the window of $y - m$
# around $p$. Then $\frac1P\mathbb E\norm{x - D(y)}^2 = \mathbb E\bigl(t - h^\top v - c\bigr)^2$ with
# $c = b - m + m\sum h$. Over the random place, $t$ and $v$ have mean $0$, $v$ has covariance
# $T + \sigma^2I$, and that of $v$ with $t$ is $Te$. So this is the problem of
# {prf:ref}`thm-affine-denoiser` with $t$ to be estimated from $v$, and its proof gives minimiser and
# excess. The second form of $h_\sigma$ holds because $Te = (T+\sigma^2I)e - \sigma^2e$.
#
# On the whole torus $T$ is circulant, with the Fourier waves as eigenvectors and $S(\omega)$ as
# eigenvalues, which gives the gain $H_\sigma$. And $m$ and $T$ *are* mean and covariance of the
# randomly shifted target.
# ```
#
# With several channels $S(\omega)$ is a Hermitian matrix for each frequency, $H = S(S+\sigma^2I)^{-1}$,
# and each channel has a bias of its own. The code does this throughout; the text stays with one
# channel, where everything is a number.
#
# **Check.** The loss on real digits needs no simulation here: averaged over the noise, a convolution
# with kernel $h$ loses $\norm{x - D(x)}^2 + \sigma^2P\norm{h}^2$ on the image $x$. Thirty random
# kernels: is the excess what the theorem says?

# %%
digits = dc.data.load("digits").x  # (1797, 1, 8, 8)
FULL = Convolutional.fit(digits)
K3 = Convolutional.fit(digits, kernel_size=3)


def window_covariance(power, k):
    """T of a k×k window, from a power (H, W)."""
    lags = torch.fft.ifft2(power).real
    row, column = (g.flatten() for g in torch.meshgrid(*2 * [torch.arange(k)], indexing="ij"))
    h, w = lags.shape
    return lags[(row[:, None] - row) % h, (column[:, None] - column) % w]


def loss(kernel, bias, x, sigma):
    """Mean squared error of a circular convolution on images x, the noise averaged exactly."""
    r = kernel.shape[-1] // 2
    framed = torch.nn.functional.pad(x, (r, r, r, r), mode="circular")
    error = x - torch.nn.functional.conv2d(framed, kernel) - bias
    noise = sigma**2 * x[0].numel() * kernel.square().sum()
    return (error.square().flatten(1).sum(1).mean() + noise).item()


generator = torch.Generator().manual_seed(seed + 1)
x = digits.double()
m, T3 = x.mean(), window_covariance(FULL.spectrum(), 3)
worst_excess = 0.0
for trial, sigma in itertools.product(range(10), (0.1, 0.5, 2.0)):
    best = K3.kernel(sigma)
    kernel = best + 0.05 * torch.randn(1, 1, 3, 3, generator=generator, dtype=torch.float64)
    bias = m * (1 - kernel.sum()) + 0.1 * trial
    off = (kernel - best).flatten()
    predicted = 64 * (off @ (T3 + sigma**2 * torch.eye(9)) @ off + (0.1 * trial) ** 2).item()
    found = loss(kernel, bias, x, sigma) - loss(best, m * (1 - best.sum()), x, sigma)
    worst_excess = max(worst_excess, abs(found / predicted - 1))
    assert abs(found / (0.5 * predicted) - 1) > 0.1  # half of it would be told apart
assert worst_excess < 1e-9

# %% [markdown]
# They agree to rounding. Two ends are worth knowing by heart: at $\sigma \to 0$ the kernel is the
# single weight $e$ (leave the pixel alone), at large $\sigma$ it is $Te/\sigma^2$, the
# autocovariance itself, very small.

# %% mystnb={"image": {"alt": "Four seven by seven kernels in grey. At the lowest noise a single bright pixel in the centre; with growing noise a spot that widens, more up and down than sideways; at the largest an upright blob between dark columns."}, "figure": {"caption": "The best 7×7 kernel for digits at four noise levels, each scaled to its own largest weight (white: positive, black: negative).", "name": "fig-conv-kernels"}} tags=["hide-input"]
K7 = Convolutional.fit(digits, kernel_size=7)
fig, axes = plt.subplots(1, 4, figsize=(7.2, 2.1))
for ax, sigma in zip(axes, (0.05, 0.3, 1.0, 5.0), strict=True):
    kernel = K7.kernel(sigma)[0, 0]
    top = kernel.abs().max()
    ax.imshow(kernel / top, vmin=-1, vmax=1)
    ax.set(title=f"σ = {sigma:g}", xticks=[], yticks=[])
    ax.grid(False)
plt.show()

# %% [markdown]
# (sec-conv-law)=
# ## The full kernel: a stationary Gaussian
#
# A random image is *{term}`stationary`* when all its shifts have the same law. Noise is, and a
# convolution keeps it so.
#
# ```{prf:theorem} The full kernel generates the right spectrum
# :label: thm-conv-law
#
# Follow the probability-flow equation with the best circular convolution of full kernel, from
# $\mathcal N(0, \sigma_{\max}^2I)$ down to $0$. As $\sigma_{\max}\to\infty$ the end point tends to
# the stationary Gaussian with mean $m$ at each pixel and power spectrum $S(\omega)$.
#
# At finite $\sigma_{\max}$ the power is $S\,\sigma_{\max}^2/(S + \sigma_{\max}^2)$ and the mean
# $m\,\bigl(1 - \sqrt{S(0)/(S(0)+\sigma_{\max}^2)}\bigr)$.
# ```
#
# ```{prf:proof}
# By {prf:ref}`thm-conv-denoiser` this is the best affine denoiser of the randomly shifted target, so
# {prf:ref}`thm-affine-law` applies to that target. Its mean is the constant image $m$, its
# covariance has the Fourier waves as eigenvectors and $S(\omega)$ as eigenvalues. A Gaussian with a
# constant mean and such a covariance is stationary. For the mean: the constant image is
# $\sqrt P$ times the wave $\omega = 0$, so only $r_0$ touches it.
# ```
#
# So this denoiser *does* generate the right Gaussian, but of another target: of the data shifted in
# all ways. It cannot store the training images, not even a mean image. What survives is one number
# per frequency.
#
# For finite steps, and for any kernels, best or not, the frequencies stay apart.
#
# ```{prf:corollary} The exact law of K steps
# :label: cor-conv-steps
#
# Let the denoiser at level $\sigma$ multiply frequency $\omega$ of $y - m$ by $H_\sigma(\omega)$ and
# add $m$. From $\mathcal N(0,\sigma_0^2I)$ the DDIM sampler generates the stationary Gaussian with
#
# $$\begin{aligned}
# \text{mean}\quad & m\,(1 - G(0)), \\
# \text{power}\quad & \sigma_0^2\,\abs{G(\omega)}^2, \\
# \text{where}\quad & G(\omega) = \prod_{j=0}^{K-1}
# \Bigl[H_{\sigma_j}(\omega) + \frac{\sigma_{j+1}}{\sigma_j}\bigl(1 - H_{\sigma_j}(\omega)\bigr)\Bigr].
# \end{aligned}$$
# ```
#
# ```{prf:proof}
# One step multiplies each frequency of $y - m$ by the factor in brackets. The start, seen from $m$,
# is $\mathcal N(-m, \sigma_0^2 I)$: its mean has only the frequency $0$, and its power is
# $\sigma_0^2$ everywhere.
# ```
#
# All $K$ steps together are *one* filter. `Convolutional.generate` multiplies the gains first and
# filters once.
#
# ### Certificate on digits
#
# Eighteen steps, $k = 3$ and the full kernel. Each sample set is held against its own law, and
# against the other's, which has to fail.


# %%
def smallest_p(report):
    return min(s.p_value for s in report.statistics if s.p_value is not None)


sigmas = dc.noise.karras(18)
n = run.size(smoke=2000, book=8000)
noise = dc.sampling.initial_noise(n, (1, 8, 8), seed=seed)
denoisers = {"full kernel": FULL, "3×3": K3, "7×7": K7}
conv_made = {name: dc.sampling.ddim(d, noise, sigmas) for name, d in denoisers.items()}
conv_laws = {name: d.law(sigmas) for name, d in denoisers.items()}
conv_p = {}
for made, law in itertools.product(conv_made, conv_laws):
    found = conv_laws[law].agreement(conv_made[made], alpha=LEVEL)
    assert found.ok == (made == law), (made, law)
    conv_p[made, law] = smallest_p(found)
linear = Affine.fit(digits)
assert not linear.law(sigmas).agreement(conv_made["full kernel"], alpha=LEVEL).ok
same = (FULL.generate(noise, sigmas) - conv_made["full kernel"]).abs().max().item()
assert same < 1e-4
conv_laws["3×3"].agreement(conv_made["3×3"], alpha=LEVEL)

# %% tags=["remove-input"]
dc.runtime.report(
    conv_n=f"{n:,}",
    conv_p_own=f"{min(conv_p[name, name] for name in denoisers):.2f}",
)

# %% [markdown]
# Shown is the report for 3×3. All three sample sets ({glue:text}`conv_n` images each) agree with
# their own law (smallest p {glue:text}`conv_p_own`) and all six exchanges fail. The law of the
# linear denoiser, with its mean image, fails on the full kernel's samples as well.

# %% mystnb={"image": {"alt": "Four rows of small images: real digits; images of a linear denoiser, grey smudges in the middle of the frame; images of a full circular convolution, streaks and blobs that fill the frame and wrap around its border; images of a three by three convolution, similar but finer and rougher."}, "figure": {"caption": "Digits, and what three denoisers make of the same noise in 200 steps. The linear one still knows that the frame is empty. The convolutions know how strokes go on, but not where they are.", "name": "fig-conv-digits"}} tags=["hide-input"]
many = dc.noise.karras(200)
shown = noise[:10]
picked = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))[:10]


def draw_rows(rows):
    """One row of images for each name."""
    columns = len(next(iter(rows.values())))
    height = len(rows) * (7.2 / columns + 0.3)
    axes = plt.subplots(len(rows), 1, figsize=(7.2, height))[1]
    for ax, (name, images) in zip(axes, rows.items(), strict=True):
        dc.style.image_grid(images, columns=columns, ax=ax, title=name)
    plt.show()


draw_rows(
    {
        "training digits": digits[picked],
        "linear": linear.generate(shown, many),
        "convolution, full kernel": FULL.generate(shown, many),
        "convolution, 3×3": K3.generate(shown, many),
    }
)

# %% [markdown]
# Eight pixels are few for a texture. So let us train on something larger: crops of one colour
# photograph, 64×64 pixels, three channels. (The photograph comes with scikit-learn; it is by
# danielbuechele, under a Creative Commons licence.)

# %% mystnb={"image": {"alt": "Rows of images. First: crops of a photograph of a Chinese temple with roofs, sky and trees. Then images generated with the full kernel: clouds of the photograph's colours with soft horizontal and vertical streaks at all scales. With kernels of fifteen, seven and three pixels the large clouds go and a fine coloured grain remains."}, "figure": {"caption": "Top row: crops of a photograph. Below: generated from the same noise by circular convolutions with full kernel and with k = 15, 7 and 3. The full kernel gets colours and scales right; small kernels lose the large scales.", "name": "fig-conv-photo"}} tags=["hide-input"]
photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None].float()
photo = torch.nn.functional.avg_pool2d(photo, 2) / 127.5 - 1  # (1, 3, 213, 320)
generator = torch.Generator().manual_seed(seed + 2)
taken = (run.size(smoke=100, book=400),)
tops = torch.randint(0, photo.shape[2] - 64, taken, generator=generator).tolist()
lefts = torch.randint(0, photo.shape[3] - 64, taken, generator=generator).tolist()
crops = torch.cat([photo[:, :, i : i + 64, j : j + 64] for i, j in zip(tops, lefts, strict=True)])

photo_noise = dc.sampling.initial_noise(6, (3, 64, 64), seed=seed + 4)
photo_steps = dc.noise.karras(run.size(smoke=30, book=100))
rows = {"photograph": crops[:6]}
for k in (None, 15, 7, 3):
    denoise = Convolutional.fit(crops, kernel_size=k)
    rows["full kernel" if k is None else f"k = {k}"] = denoise.generate(photo_noise, photo_steps)
draw_rows(rows)

# %% [markdown]
# And on one channel, larger than the digits: clothes. Fashion-MNIST is a download of 31 MB, so this
# page uses it only where the environment variable `DIFFUSION_CREATIVITY_DATA` names a folder for
# data; elsewhere digits enlarged to 24×24 pixels stand in for it.

# %% tags=["hide-input"]
larger, larger_name = None, "digits, enlarged (no folder with Fashion-MNIST was named)"
if os.environ.get("DIFFUSION_CREATIVITY_DATA"):
    try:
        larger = dc.data.load("fashion_mnist").subset(2000, seed=seed).x
        larger_name = "clothes of Fashion-MNIST"
    except OSError:  # neither in the folder nor to be downloaded
        larger_name = "digits, enlarged (Fashion-MNIST could not be had)"
if larger is None:
    larger = torch.nn.functional.interpolate(digits, scale_factor=3, mode="bilinear")

# %% tags=["remove-input"]
dc.runtime.report(conv_larger=larger_name)

# %% mystnb={"image": {"alt": "Four rows of grey images: training images; smudged shapes of a linear denoiser that still stand in the middle of the frame; textures of the full kernel that fill the frame; finer textures of a five by five kernel. No garment and no digit can be recognised in the textures."}, "figure": {"caption": "Training images, and what the linear denoiser, a convolution with the full kernel and one with a 5×5 kernel make of the same noise.", "name": "fig-conv-clothes"}} tags=["hide-input"]
larger_noise = dc.sampling.initial_noise(8, tuple(larger.shape[1:]), seed=seed + 5)
draw_rows(
    {
        "training images": larger[:8],
        "linear": Affine.fit(larger).generate(larger_noise, photo_steps),
        "full kernel": Convolutional.fit(larger).generate(larger_noise, photo_steps),
        "k = 5": Convolutional.fit(larger, kernel_size=5).generate(larger_noise, photo_steps),
    }
)

# %% [markdown]
# In this run the training images of {numref}`fig-conv-clothes` are {glue:text}`conv_larger`.
#
# Textures like these are known in computer graphics as *random phase noise*: keep the power of an
# image, forget the phases {cite:p}`galerne2011random`. Here nobody asked for them. They are what
# a shared linear kernel can know. (On the torus the left and the right border of a crop are
# neighbours, and do not fit. Such jumps add power along both axes of the frequency plane, which
# shows as horizontal and vertical streaks.)
#
# (sec-conv-window)=
# ## A small kernel: the wrong spectrum, in closed form
#
# Now the kernel is $k\times k$. At each level the denoiser is the best there is with that window.
# Is what they generate together at least right within the window? The known answers, for the ring
# with the slow waves of the first figure, say no.

# %%
known = {  # k: variance and correlation at distance 8, 400 levels 80 → 0.002, then 0
    1: (0.987, 0.0), 3: (0.806, 0.000), 7: (0.885, 0.0451), 15: (0.941, 0.2754),
    31: (0.969, 0.4197), 63: (0.986, 0.4467),
}  # fmt: skip
levels = dc.noise.karras(400)
slow = rings["slow waves"]
lines = [f"{'k':>4} {'variance':>9} {'known':>6} {'limit':>7}   {'lag 8':>7} {'known':>7}"]
for k, (variance, lag) in known.items():
    denoise = ring_law["slow waves", k]
    finite = denoise.spectrum(levels)
    found = finite.mean().item(), correlation(finite)[8].item()
    limit = denoise.spectrum().mean().item()
    lines.append(
        f"{k:4d} {found[0]:9.4f} {variance:6.3f} {limit:7.4f}   {found[1]:7.4f} {lag:7.4f}"
    )
    assert abs(found[0] - variance) < 5e-4
    assert abs(found[1] - lag) < 5e-5
print("\n".join(lines))
print(f"target's lag 8: {correlation(slow)[8].item():.4f}")

# %% [markdown]
# With $k = 3$ a fifth of the variance is missing even in the limit of infinitely many steps; with
# $k = 1$ nothing is. So the error is not the sampler's. What is it?
#
# ```{prf:theorem} The spectrum that a window generates
# :label: thm-conv-window
#
# Let $T$ be the autocovariance of the target on the window $W = -W$, positive definite, and let
# $\log T$ be its matrix logarithm. Follow the flow with the best circular convolution of that window
# from $\mathcal N(0,\sigma_{\max}^2I)$ down to $0$. As $\sigma_{\max}\to\infty$ the end point tends
# to the stationary Gaussian with mean pixel $m$ and power
#
# $$\log S_W(\omega) = \sum_{\delta\in W}(\log T)_{\delta 0}\,\cos(\omega\cdot\delta) .$$
# ```
#
# ```{prf:proof}
# By {prf:ref}`thm-conv-denoiser`, $e - h_\sigma = \sigma^2(T+\sigma^2I)^{-1}e$. The flow multiplies
# frequency $\omega$ of $y - m$ by $\exp(-\int(1-H_\sigma)\,d\sigma/\sigma)$, and $1 - H_\sigma$ is
# the Fourier transform of $e - h_\sigma$. The integral can be done before the transform:
#
# $$\begin{aligned}
# \int_0^{\sigma_{\max}}\frac{e - h_\sigma}{\sigma}\,d\sigma
# &= \int_0^{\sigma_{\max}}\sigma\,(T + \sigma^2I)^{-1}e\,d\sigma \\
# &= \tfrac12\bigl[\log(T+\sigma_{\max}^2I) - \log T\bigr]e ,
# \end{aligned}$$
#
# because $\tfrac12\log(\lambda + \sigma^2)$ has the derivative $\sigma/(\lambda+\sigma^2)$ for each
# eigenvalue $\lambda$ of $T$. So the generated power is $\sigma_{\max}^2$ times $\exp$ of the
# transform of $\log T\,e - \log(T+\sigma_{\max}^2I)\,e$. As $\sigma_{\max}\to\infty$ the last
# term is $e\log\sigma_{\max}^2$ up to terms that vanish; $e$ has the transform $1$, which cancels
# $\sigma_{\max}^2$. $T$ does not change when both window positions are negated, so $\log T\,e$ is
# even and its transform a sum of cosines. The mean follows from {prf:ref}`cor-conv-steps`: $G(0)$
# tends to $0$.
# ```
#
# On the whole torus $\log T$ is circulant with eigenvalues $\log S(\omega)$, and
# {prf:ref}`thm-conv-window` becomes $S_W = S$: the theorem contains the limit of {prf:ref}`thm-conv-law`.
#
# Read the formula as a statement about *families*. Whatever the data, a $k\times k$ denoiser
# generates a power whose **logarithm** is a cosine polynomial, one term for each shift of the
# window. Statistics knows such spectra as Bloomfield's exponential model
# {cite:p}`bloomfield1973exponential`. On a ring such a polynomial has the degree $(k-1)/2$, and so
# at most $(k-1)/2$ peaks over the whole circle of frequencies $\pm\omega$: a window of 3 pixels
# cannot generate the pair of peaks of "one pitch" at all.

# %% mystnb={"image": {"alt": "Two panels of power against frequency on a ring of 64 pixels, for two targets. The right spectrum is a thick line. Windows of 3, 7 and 15 pixels give smooth curves that miss the peak at low frequency and the narrow peak at 0.14. Dots, measured on samples, lie on the curves."}, "figure": {"caption": "The right spectrum (thick) and what windows of 3, 7 and 15 pixels generate (thin lines: the theorem). A window of 3 has no peak at the pitch. Dots: measured on samples from 200 second-order steps.", "name": "fig-conv-window"}} tags=["hide-input"]
fine = dc.noise.log_linear(200, sigma_min=0.002, sigma_max=200.0)
count = run.size(smoke=500, book=4000)
ring_start = dc.sampling.initial_noise(count, (1, RING), sigma_max=200.0, seed=seed + 6).double()
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.2), sharey=True)
window_z = []
for ax, name in zip(axes, ("slow waves", "one pitch"), strict=True):
    order = cycles.argsort()
    positive = order[cycles[order] >= 0]
    f = cycles[positive]
    ax.plot(f, rings[name][positive], color=COLORS["data"], lw=3, alpha=0.8)
    for k, colour in ((3, "warning"), (7, "generated"), (15, "denoiser")):
        predicted = ring_law[name, k].spectrum()
        made = ring_law[name, k].generate(ring_start, fine, second_order=True)
        measured = torch.fft.fft(made[:, 0]).abs().square().mean(0) / RING
        exact = ring_law[name, k].spectrum(fine, second_order=True)
        window_z.append((exact / predicted - 1).abs().max().item())
        freedom = torch.where(cycles == 0, 1, 2) * count
        tail = stats.chi2.sf((measured / exact * freedom)[positive].numpy(), freedom[positive])
        assert min(tail.min(), 1 - tail.max()) > LEVEL / len(positive)
        ax.plot(f, predicted[positive], color=COLORS[colour], label=f"k = {k}")
        ax.plot(f, measured[positive], "o", ms=2.5, color=COLORS[colour])
    ax.set(yscale="log", title=name, xlabel="frequency, cycles per pixel")
axes[0].set_ylabel("power")
axes[0].legend()
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    conv_window_gap=f"{100 * max(window_z):.1f} %",
    conv_variance_3=f"{ring_law['slow waves', 3].spectrum().mean():.3f}",
    conv_variance_pitch_3=f"{ring_law['one pitch', 3].spectrum().mean():.3f}",
)

# %% [markdown]
# (Every dot was tested against the exact law of those 200 steps, which differs from the limit by at
# most {glue:text}`conv_window_gap`.)
# The variance of a pixel comes out as {glue:text}`conv_variance_3` for the slow waves and
# {glue:text}`conv_variance_pitch_3` for the one pitch, where it should be 1. And yet every single
# denoiser on the way was the best of its kind. *Best at each level* and *right in the end* are
# different things, as soon as the architecture is too small for the target.
#
# Is there anything that a window gets right? An order, at least.
#
# ```{prf:proposition} A larger window dreams with less entropy
# :label: prop-conv-entropy
#
# In the setting of {prf:ref}`thm-conv-window`, the mean of $\log S_W(\omega)$ over all frequencies
# is $(\log T)_{00}$. If $W\subset W'$ then
#
# $$\begin{aligned}
# \frac1P\sum_\omega\log S(\omega)
# &\le \frac1P\sum_\omega\log S_{W'}(\omega) \\
# &\le \frac1P\sum_\omega\log S_W(\omega) \le \log C(0) .
# \end{aligned}$$
#
# Equality holds on the right for the single pixel, and on the left for the whole torus.
# ```
#
# ```{prf:proof}
# Averaging {prf:ref}`thm-conv-window` over $\omega$ leaves the term $\delta = 0$. For a positive number,
# $\log a = \int_0^\infty\bigl(\tfrac1{1+t} - \tfrac1{a+t}\bigr)dt$, hence
#
# $$(\log T)_{00} = \int_0^\infty\Bigl(\tfrac1{1+t} - \bigl[(T+tI)^{-1}\bigr]_{00}\Bigr)dt .$$
#
# Now $1/[(T+tI)^{-1}]_{00}$ is the error of the best linear guess of the centre of the window, with noise
# of variance $t$ on every pixel, from the other pixels. More pixels make it smaller, never larger; so
# $[(T+tI)^{-1}]_{00}$ grows with the window and $(\log T)_{00}$ falls. The single pixel has
# $T = C(0)$, the torus $\log T$ with eigenvalues $\log S$.
# ```
#
# Half of this mean, plus a constant, is the entropy per pixel of the generated texture. So a small
# kernel generates *more random* textures than the full one, even where their variance is smaller.
# The one pitch of the first figure shows it: what should be a tone is a hiss.

# %%
entropy = {
    name: [ring_law[name, k].spectrum().log().mean().item() for k in [*SIZES, None]]
    for name in rings
}
print("  k", "".join(f"{name:>21s}" for name in rings))
for k, *values in zip([*SIZES, RING], *entropy.values(), strict=True):
    print(f"{k:3d}", "".join(f"{v + 0.0:21.3f}" for v in np.round(values, 3)))
for name, values in entropy.items():
    assert abs(values[0]) < 1e-12  # log C(0) = 0
    assert np.diff(values).max() < 1e-12
    assert abs(values[-1] - rings[name].log().mean().item()) < 1e-12

# %% [markdown]
# Mean log power for growing $k$: it only falls.
#
# ### The same on digits

# %% mystnb={"image": {"alt": "Left: four heat maps of the logarithm of the power of digits over the two-dimensional frequencies: the data with two bright spots left and right of the middle; for windows of three and five one smooth blob instead, with seven two spots again, less sharp. Right: power of windows over that of the data, for each frequency, scattered around one from a third to twelve."}, "figure": {"caption": "Digits. Left: logarithm of the power, right and generated (limit of many steps), zero frequency in the middle. Right: generated over right power, one dot per frequency.", "name": "fig-conv-digit-power"}} tags=["hide-input"]
small = {k: Convolutional.fit(digits, kernel_size=k).spectrum() for k in (3, 5, 7)}
right_power = FULL.spectrum()
fig, axes = plt.subplots(1, 5, figsize=(7.2, 2.3), width_ratios=[1, 1, 1, 1, 1.7])
maps = {"data": right_power} | {f"k = {k}": p for k, p in small.items()}
for ax, (name, power) in zip(axes, maps.items(), strict=False):
    picture = torch.fft.fftshift(power).log()
    ax.imshow(picture, cmap="viridis", vmin=right_power.log().min(), vmax=right_power.log().max())
    ax.set(title=name, xticks=[], yticks=[])
    ax.grid(False)
axes[4].axhline(1, color=COLORS["law"], lw=1)
for (k, power), colour in zip(small.items(), ("warning", "generated", "denoiser"), strict=True):
    ratio = (power / right_power).flatten()
    axes[4].plot(right_power.flatten(), ratio, "o", ms=2.5, color=COLORS[colour], label=f"k = {k}")
axes[4].set(xscale="log", yscale="log", xlabel="right power", title="generated / right")
axes[4].legend(fontsize=8)
plt.show()

# %% tags=["remove-input"]
digit_ratio = {k: (p / right_power).log().abs().max().exp().item() for k, p in small.items()}
lag_one = {
    name: (torch.fft.ifft2(p).real[0, 1] / p.mean()).item()
    for name, p in (maps | {"data": right_power}).items()
}
dc.runtime.report(
    conv_digit_factor_3=f"{digit_ratio[3]:.1f}",
    conv_digit_factor_7=f"{digit_ratio[7]:.1f}",
    conv_digit_variance=f"{right_power.mean():.3f}",
    conv_digit_variance_3=f"{small[3].mean():.3f}",
    conv_digit_lag=f"{lag_one['data']:.3f}",
    conv_digit_lag_3=f"{lag_one['k = 3']:.3f}",
    conv_digit_lag_7=f"{lag_one['k = 7']:.3f}",
)

# %% [markdown]
# On digits the 3×3 kernel misses single frequencies by a factor of up to
# {glue:text}`conv_digit_factor_3`, the 7×7 kernel still by {glue:text}`conv_digit_factor_7`.
# A pixel has the variance {glue:text}`conv_digit_variance_3` instead of
# {glue:text}`conv_digit_variance`, and neighbours in a row the correlation
# {glue:text}`conv_digit_lag_3` (with 7×7: {glue:text}`conv_digit_lag_7`) instead of
# {glue:text}`conv_digit_lag`. So "right locally, wrong globally" would be too kind a summary.
#
# (sec-conv-sees)=
# ## What a window can see
#
# ```{prf:proposition} Two windows' worth of autocovariance, and nothing else
# :label: prop-conv-sees
#
# The best circular convolutions of a $k\times k$ window depend on the target only through its
# mean pixel and through $C(\delta)$ for shifts $\delta$ of at most $k-1$ pixels in each direction, a
# $(2k-1)\times(2k-1)$ square. Targets that share these generate the same samples from the same noise,
# by every sampler.
#
# The full kernel sees the mean pixel and all of $C$. In particular it cannot tell the data from their
# mirror images $x(-p)$, nor from a stationary Gaussian of the same mean and power.
# ```
#
# ```{prf:proof}
# {prf:ref}`thm-conv-denoiser` uses $m$ and $T$ only. The entries of $T$ are $C(\delta - \delta')$
# with two positions of the window, at most $k - 1$ apart in each direction. And
# $C(-\delta) = C(\delta)$.
# ```
#
# We make a pair of *twins* for $k = 5$: a smooth power on the ring, plus and minus a ripple whose
# Fourier series begins at distance 5.

# %% mystnb={"image": {"alt": "Four panels. Two wavy spectra, each high where the other is low. Their autocovariances, equal up to distance four, then different. What the window of five generates for both: one and the same curve. What the full kernel generates: two curves that are often apart."}, "figure": {"caption": "Twins for k = 5. Top: their powers, and their autocovariances, which agree up to distance 4 (dotted line). Bottom: generated from the same noise, for one twin (pale line) and for the other one (dashes). The window of 5 makes the same curve for both, the full kernel does not.", "name": "fig-conv-twins"}} tags=["hide-input"]
flat = normalised(1 / (0.2 + cycles.abs()))
ripple = sum(torch.cos(2 * torch.pi * cycles * lag) / lag for lag in (5, 6, 7, 9))
ripple = ripple * 0.9 / (ripple.abs() / flat).max()
twins = [flat + ripple, flat - ripple]
twin_samples = {}
for k in (5, None):
    for j, power in enumerate(twins):
        denoise = Convolutional.from_spectrum(0.0, power, kernel_size=k)
        twin_samples[k, j] = denoise.generate(ring_noise.double(), ring_steps)[0, 0]
twin_same = (twin_samples[5, 0] - twin_samples[5, 1]).abs().max().item()
twin_other = (twin_samples[None, 0] - twin_samples[None, 1]).abs().max().item()
assert twin_same < 1e-10
assert twin_other > 1e-2
fig, axes = plt.subplots(2, 2, figsize=(7.2, 5))
axes = axes.flatten()
for power, colour in zip(twins, ("data", "noise"), strict=True):
    axes[0].plot(cycles[positive], power[positive], color=COLORS[colour])
    lags = torch.fft.ifft(power).real
    axes[1].plot(np.arange(13), lags[:13], "o-", color=COLORS[colour])
axes[0].set(title="power", xlabel="frequency, cycles per pixel", ylim=(0, None))
axes[1].set(title="autocovariance", xlabel="distance in pixels")
axes[1].axvline(4.5, color=COLORS["muted"], lw=1, ls=":")
for ax, k, title in ((axes[2], 5, "generated, k = 5"), (axes[3], None, "generated, full kernel")):
    ax.plot(twin_samples[k, 0][:40], color=COLORS["generated"], lw=3.5, alpha=0.4)
    ax.plot(twin_samples[k, 1][:40], "--", color=COLORS["generated"], lw=1.5)
    ax.set(title=title, xlabel="pixel", ylim=(-2.6, 2.6))
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(conv_twin_other=f"{twin_other:.2f}")

# %% [markdown]
# The two samples of the window differ by rounding, those of the full kernel by up to
# {glue:text}`conv_twin_other`.
#
# (sec-conv-padding)=
# ## Zero padding: position through the back door
#
# Few networks are circular. Most surround the image with a frame of zeros, so that a kernel at the
# border sees pixels that are always $0$, whatever the noise. The kernel is still shared, but the
# symmetry is gone.
# Let $y^0$ be the noisy image with zeros around it, $r = (k-1)/2$ the reach of the kernel, and
# $f(\delta)$ the share of places $p$ for which $p+\delta$ lies inside the image.
#
# ```{prf:proposition} The best zero-padded convolution
# :label: prop-conv-padding
#
# Among the maps
#
# $$D(y)(p) = b + \sum_{\delta\in W} h(\delta)\,y^0(p+\delta)$$
#
# exactly one minimises $\mathbb E\norm{x-D(y)}^2$, if $\sigma > 0$ and $f > 0$ on $W$. With $x^0$
# the clean image with zeros around it and $a(\delta) = \frac1P\sum_p\mathbb E\,x^0(p+\delta)$, it solves
#
# $$\begin{aligned}
# \Bigl(\Gamma + \sigma^2\operatorname{diag}(f)\Bigr)\,h &= g, \qquad
# b = m - \textstyle\sum_\delta a(\delta)\,h(\delta), \\
# \Gamma_{\delta\delta'} &=
# \tfrac1P\textstyle\sum_p\mathbb E\bigl[x^0(p+\delta)\,x^0(p+\delta')\bigr] - a(\delta)\,a(\delta'), \\
# g_\delta &= \tfrac1P\textstyle\sum_p\mathbb E\bigl[x(p)\,x^0(p+\delta)\bigr] - m\,a(\delta).
# \end{aligned}$$
#
# The law of $K$ DDIM steps is the Gaussian of {prf:ref}`thm-any-affine` with the matrices
# $A_{p,q} = h(q-p)$ and offset $b$. It need not be stationary: after a single step, from
# $\sigma_0$ to $0$, the variance at $p$ is
#
# $$\sigma_0^2\sum_{\delta\in W,\;p+\delta\text{ inside}}h(\delta)^2 ,$$
#
# which is smaller at the border wherever a weight that reaches over it is not zero. But position
# enters only from there: all pixels at least $Kr$ pixels away from the border have the same law,
# together with their neighbours of the same kind.
# ```
#
# ```{prf:proof}
# Draw a place at random, as before: $x(p)$ has to be estimated from the padded window around $p$,
# whose noise has variance $\sigma^2$ where it lies inside, that is $\sigma^2f(\delta)$ on average, and
# no correlation between different $\delta$. {prf:ref}`thm-affine-denoiser`, applied to this
# regression, gives the equations, and $\Gamma + \sigma^2\operatorname{diag}(f)$ is positive definite.
# The matrix follows from $D$, and one step from $\mathcal N(0,\sigma_0^2I)$ to $0$ is $D$ itself.
#
# Each step computes pixel $p$ from pixels at most $r$ away, so $K$ steps from noise at most $Kr$
# away. If all of those lie inside the image, no zero was ever used, and the result is one function,
# the same for all such $p$, of the noise around $p$. The law of noise does not change under shifts.
# ```
#
# **Check**, on a line of 48 pixels with $k = 3$ and $K = 6$ steps: the law of the 36 inner pixels
# must be stationary to rounding, that of the line must not.

# %%
line_data = torch.from_numpy(linalg.toeplitz(correlation(slow)[:48].numpy()))
line = Convolutional(torch.linspace(0, 1, 48)[None], line_data, kernel_size=3, padding="zeros")
line_law = line.law(dc.noise.karras(6))
inner = slice(6, 42)
off_centre = line_law.mean[0] - line_law.mean[0, 24]
variance = line_law.cov.diagonal()
inner_cov = line_law.cov[inner, inner]
toeplitz = torch.from_numpy(linalg.toeplitz(inner_cov[0].numpy()))
inner_error = max((inner_cov - toeplitz).abs().max().item(), off_centre[inner].abs().max().item())
border_change = 1 - (variance[0] / variance[24]).item()
assert inner_error < 1e-10
assert abs(border_change) > 0.02
felt = int(((variance / variance[24] - 1).abs()[:24] > 1e-6).sum())

# %% tags=["remove-input"]
dc.runtime.report(conv_border_change=f"{100 * border_change:.0f} %", conv_border_felt=felt)

# %% [markdown]
# It is; and at the very border the variance is {glue:text}`conv_border_change` lower than inside.
# The bound $Kr = 6$ is generous: by more than a millionth only the outer
# {glue:text}`conv_border_felt` pixels are changed, because at most noise levels the kernel is either
# very small or close to $e$.
#
# How much of the *digits'* layout comes back in this way? The maps below are not estimates from
# samples, they are the mean and the standard deviation of the exact laws.

# %%
pad_sigmas = dc.noise.karras(18)
padded = {
    f"zeros, {'full' if k is None else f'{k}×{k}'}": Convolutional.fit(
        digits, kernel_size=k, padding="zeros"
    )
    for k in (3, 5, None)
}
pad_laws = {"circular": FULL.law(pad_sigmas)}
pad_laws |= {name: d.law(pad_sigmas) for name, d in padded.items()}
true_maps = digits.double().mean(0)[0], digits.double().var(0, correction=0)[0]
pad_maps = {name: (law.mean[0], law.cov.diagonal().reshape(8, 8)) for name, law in pad_laws.items()}


def map_match(a, b):
    """Correlation of two maps over the pixels; 0 where one of them is constant."""
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    scale = (a.norm() * b.norm()).item()
    return (a @ b).item() / scale if scale > 1e-9 else 0.0


pad_match = {
    name: [map_match(found, true) for found, true in zip(pair, true_maps, strict=True)]
    for name, pair in pad_maps.items()
}
pad_depth = {name: (pair[0].std() / true_maps[0].std()).item() for name, pair in pad_maps.items()}
print(f"{'match of the':13s}   mean  (depth)  variance")
for name, (means, variances) in pad_match.items():
    print(f"{name:13s} {means + 0.0:6.3f}  {pad_depth[name]:6.1%} {variances + 0.0:9.3f}")

# %% mystnb={"image": {"alt": "Two rows of five maps, mean above and standard deviation below. Training digits: a dark frame and a bright centre. Circular: flat. Zero padding with kernels of three and five: nearly flat, with a change along the border. With the full kernel the mean shows a faint bright centre like the digits', and the standard deviation is larger at the border than inside."}, "figure": {"caption": "Mean (top, black −1 to white 0.4) and standard deviation (bottom, black 0 to white 0.85) of each pixel: of the digits, and of the exact laws of four shared kernels in 18 steps.", "name": "fig-conv-padding"}} tags=["hide-input"]
fig, axes = plt.subplots(2, 5, figsize=(7.2, 3.2))
columns = {"digits": true_maps} | pad_maps
for column, (name, (means, variances)) in enumerate(columns.items()):
    axes[0, column].imshow(means, vmin=-1, vmax=0.4)
    axes[1, column].imshow(variances.sqrt(), vmin=0, vmax=0.85)
    axes[0, column].set_title(name, fontsize=9.5)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
axes[0, 0].set_ylabel("mean")
axes[1, 0].set_ylabel("std. deviation")
plt.show()

# %% mystnb={"image": {"alt": "Four rows of generated images: circular textures that fill the frame; zero padding with three by three, five by five and full kernels, hard to tell from them by eye."}, "figure": {"caption": "Generated from the same noise: without a border (circular) and with zeros around the image.", "name": "fig-conv-padded-samples"}} tags=["hide-input"]
draw_rows({n: d.generate(shown, many) for n, d in ({"circular": FULL} | padded).items()})

# %%
pad_p = {}
for name, denoise in padded.items():
    made = dc.sampling.ddim(denoise, noise, pad_sigmas)
    own = pad_laws[name].agreement(made, alpha=LEVEL)
    assert own.ok, name
    assert not pad_laws["circular"].agreement(made, alpha=LEVEL).ok, name
    pad_p[name] = smallest_p(own)
unpadded = Convolutional.fit(digits, kernel_size=3).law(pad_sigmas)
made = dc.sampling.ddim(padded["zeros, 3×3"], noise, pad_sigmas)
control = unpadded.agreement(made, alpha=LEVEL)
assert not control.ok
control

# %% tags=["remove-input"]
dc.runtime.report(
    conv_pad_p=f"{min(pad_p.values()):.2f}",
    conv_pad_mean_3=f"{pad_match['zeros, 3×3'][0]:.2f}".replace("-", "−"),
    conv_pad_mean_full=f"{pad_match['zeros, full'][0]:.2f}",
    conv_pad_depth_full=f"{100 * pad_depth['zeros, full']:.0f} %",
    conv_pad_var_3=f"{pad_match['zeros, 3×3'][1]:.2f}",
    conv_pad_var_full=f"{pad_match['zeros, full'][1]:.2f}".replace("-", "−"),
)

# %% [markdown]
# The report shows the control: samples with zeros around them against the law of the *same* window
# without. Against their own laws all three agree (smallest p {glue:text}`conv_pad_p`).
#
# How well do the maps of a law and of the digits match, as a correlation over the pixels? For a
# circular convolution not at all. With 3×3 the variance does a little
# ({glue:text}`conv_pad_var_3`), the mean not ({glue:text}`conv_pad_mean_3`): all that this kernel
# finds out is how near the border is, and it can use that for few things at once. The largest kernel
# always reaches over the border, whichever pixel it works on. It draws the mean image with the right
# shape (match {glue:text}`conv_pad_mean_full`), though with {glue:text}`conv_pad_depth_full` of
# its depth only, and pays for it: its variance is largest where digits have the least (match
# {glue:text}`conv_pad_var_full`).
#
# So knowledge of the frame leaks in, but it is squeezed through weights that all pixels share. That
# convolutional networks read position from their zeros was found by experiment
# {cite:p}`islam2020position`; here it can be computed.
#
# (sec-conv-deviations)=
# ## What bends the law
#
# ### A ridge
#
# ```{prf:proposition} A ridge on the kernel
# :label: prop-conv-ridge
#
# Add $\gamma\norm{h}^2$ to the loss per pixel, $\gamma > 0$. Then $\sigma^2+\gamma$ stands for
# $\sigma^2$ in $h_\sigma$. As $\sigma\to0$ the flow of frequency $\omega$ behaves like
# $\sigma^{\kappa(\omega)}$ with
#
# $$\kappa(\omega) = \gamma\sum_{\delta\in W}\bigl[(T+\gamma I)^{-1}\bigr]_{\delta0}
# \cos(\omega\cdot\delta) .$$
#
# The mean of $\kappa$ over the frequencies is positive. With the full kernel
# $\kappa = \gamma/(S(\omega)+\gamma) > 0$ and the law collapses to the constant image $m$. With a
# small window $\kappa$ can be negative at some frequencies, and these grow without bound.
# ```
#
# ```{prf:proof}
# The penalty adds $\gamma I$ to the matrix of the normal equations, so $e - h_\sigma$ is
# $(\sigma^2+\gamma)(T+(\sigma^2+\gamma)I)^{-1}e$. Its transform $1 - H_\sigma(\omega)$ tends to
# $\kappa(\omega)$, and $d\log z/d\log\sigma = 1 - H_\sigma$ along the flow of frequency $\omega$. The
# mean of $\kappa$ is its term $\delta = 0$, which is positive since $(T+\gamma I)^{-1}$ is positive
# definite. For the full kernel $T$ is circulant. For the last claim an example is enough; it follows.
# ```

# %%
GAMMA = 0.05


def ridge_exponent(power, k, gamma):
    """κ(ω) of the proposition, from the matrix T of a ring."""
    lags = torch.fft.ifft(power).real
    T = torch.from_numpy(linalg.toeplitz(lags[:k].numpy()))
    column = torch.linalg.inv(T + gamma * torch.eye(k))[:, k // 2]
    shift = torch.arange(k) - k // 2
    return gamma * (column * torch.cos(2 * torch.pi * cycles[:, None] * shift)).sum(1)


bent = {k: Convolutional.from_spectrum(0.0, rings["one pitch"], kernel_size=k, ridge=GAMMA)
        for k in (3, None)}  # fmt: skip
kappa = {3: ridge_exponent(rings["one pitch"], 3, GAMMA),
         None: GAMMA / (rings["one pitch"] + GAMMA)}  # fmt: skip
growth = {}
for k, denoise in bent.items():
    lows = (1e-4, 1e-5)
    gains = [denoise.spectrum(dc.noise.log_linear(600, low), second_order=True) for low in lows]
    growth[k] = 0.5 * (gains[0] / gains[1]).log10()  # log z per decade of σ_min
    assert (growth[k] - kappa[k]).abs().max() < 1e-3
assert kappa[None].min() > 0 > kappa[3].min()
assert kappa[3].mean() > 0

# %% tags=["remove-input"]
dc.runtime.report(
    conv_kappa_low=f"{kappa[3].min():.3f}".replace("-", "−"),
    conv_kappa_mean=f"{kappa[3].mean():.3f}",
    conv_kappa_full=f"{kappa[None].min():.4f}",
)

# %% [markdown]
# For the one pitch, $\gamma = 0.05$ and $k = 3$, the exponents have the mean
# {glue:text}`conv_kappa_mean`, and the smallest is {glue:text}`conv_kappa_low`: the strongest
# frequency grows, however slowly, while most of the others die. With the full kernel the smallest is
# {glue:text}`conv_kappa_full`. Measured slopes agree.
#
# ### Few images, or one
#
# A linear denoiser of one training image copies it. A convolution of full kernel *cannot*: it
# generates endlessly many textures from a single image. How good is their spectrum?
#
# ```{prf:proposition} The spectrum learnt from N images
# :label: prop-conv-periodogram
#
# Let the target itself be a stationary Gaussian on the torus, with known mean and power $S > 0$, and
# let $\hat S$ be the power of $N$ independent images from it. The full kernel fitted to them
# generates the power $\hat S$ (in the limit of many steps), and $\hat S(\omega)/S(\omega)$ has the law
# of $\chi^2_{2N}/2N$ if $\omega \ne -\omega$, of $\chi^2_N/N$ otherwise, independent for different
# pairs $\pm\omega$. Its relative standard deviation is $1/\sqrt N$, or $\sqrt{2/N}$, at *any* size of the
# image.
# ```
#
# ```{prf:proof}
# $\hat S(\omega)$ is the mean of $\abs{X_i(\omega)}^2/P$ over the images $i$, and
# $X_i(\omega)/\sqrt P$ is a complex normal number whose real and imaginary part are independent with
# variance $S(\omega)/2$ each (for $\omega = -\omega$ it is real, with variance $S$). They are
# independent for different pairs. Squares of standard normal numbers add up to $\chi^2$.
# ```

# %%
repeats = run.size(smoke=200, book=1000)
ring_truth = Gaussian.stationary(torch.zeros(1, RING), slow)
drawn = ring_truth.sample(repeats, seed=seed + 8).double()
periodograms = torch.fft.fft(drawn[:, 0]).abs().square() / RING
ratio = periodograms / slow
paired = ratio[:, 1 : RING // 2].flatten().numpy()
single = ratio[:, [0, RING // 2]].flatten().numpy()
p_paired = stats.kstest(paired, stats.chi2(2, scale=0.5).cdf).pvalue
p_single = stats.kstest(single, stats.chi2(1).cdf).pvalue
assert min(p_paired, p_single) > LEVEL
assert stats.kstest(paired, stats.chi2(1).cdf).pvalue < LEVEL  # the wrong degrees are noticed


def log_error(found):
    """Root mean square error of log power over the frequencies."""
    return (found / slow).log().square().mean().sqrt().item()


amounts = (1, 4, 16, 64)
trials = run.size(smoke=4, book=12)
learnt = {}
for N, k in itertools.product(amounts, [*SIZES, None]):
    errors = []
    for t in range(trials):
        start = (t * N) % (repeats - N + 1)
        power = periodograms[start : start + N].mean(0)
        errors.append(log_error(Convolutional.from_spectrum(0.0, power, kernel_size=k).spectrum()))
    learnt[N, k] = np.mean(errors)
ideal_error = [log_error(ring_law["slow waves", k].spectrum()) for k in [*SIZES, None]]
best_k = {N: min([*SIZES, RING], key=lambda k, N=N: learnt[N, k if k < RING else None])
          for N in amounts}  # fmt: skip

# %% mystnb={"image": {"alt": "Error of the log power against kernel size, for one, four, sixteen and sixty-four training images and for infinitely many. With infinitely many images the error falls to zero at the full kernel. With one image the error is smallest for kernels of a few pixels and rises to above one for the full kernel."}, "figure": {"caption": "Slow waves: root mean square error of the logarithm of the generated power against kernel size, when the denoiser is fitted to N images. Few images are better served by a smaller kernel.", "name": "fig-conv-few"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.6, 3.6))
size_axis = [*SIZES, RING]
for N, colour in zip(amounts, ("warning", "generated", "denoiser", "noise"), strict=True):
    curve = [learnt[N, k] for k in [*SIZES, None]]
    ax.plot(size_axis, curve, "o-", color=COLORS[colour])
    ax.text(66, curve[-1] + 0.01, f"N = {N}", color=COLORS[colour], va="center", fontsize=9)
ax.plot(size_axis, ideal_error, color=COLORS["law"])
ax.text(66, -0.02, "N = ∞", color=COLORS["law"], va="center", fontsize=9)
ax.set(
    xlabel="kernel size k (64: full)", ylabel="error of log power", xlim=(0, 76), ylim=(-0.05, None)
)
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    conv_p_periodogram=f"{min(p_paired, p_single):.2f}",
    conv_few_full=f"{learnt[1, None]:.2f}",
    conv_few_best=f"{min(learnt[1, k] for k in SIZES):.2f}",
    conv_few_k=best_k[1],
    conv_many_k=best_k[64],
)

# %% [markdown]
# The law of the ratios holds (p = {glue:text}`conv_p_periodogram`), and the figure shows the other
# side of small kernels. What they get wrong for want of sight, they gain in *estimation*: from one
# image the full kernel's error is {glue:text}`conv_few_full`, the best window's ($k$ =
# {glue:text}`conv_few_k`) {glue:text}`conv_few_best`. With 64 images the best is $k$ =
# {glue:text}`conv_many_k`. Which error weighs more depends on the target: an architecture is a guess about it.
#
# ```{admonition} What would make this false?
# :class: note
# One ReLU between two convolutions, clipping, or a bias for each pixel: then samples need not be Gaussian, or need not be stationary.
# Several convolutions in a row *without* anything in between are one convolution with a larger window
# (on the torus); stacking linear layers adds nothing but reach.
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-05-kernel
#
# **A kernel from correlations.** Images are rings of $L$ pixels, and you know the autocovariance
# `lags` $= (C(0), \dots, C(L-1))$. Write `window_kernel(lags, k, sigma)`: the best kernel of $k$
# pixels, shape `(k,)`, centre in the middle. How does it look at $\sigma \to 0$?
# ```


# %%
def window_kernel(lags, k, sigma): ...  # your code: a tensor (k,)


# dc.exercises.check_window_kernel(window_kernel)

# %% [markdown]
# ```{solution-start} ex-05-kernel
# :class: dropdown
# ```
#
# $T_{ij} = C(i-j)$ and its centre column are all that is needed ({prf:ref}`thm-conv-denoiser`). At
# $\sigma\to0$ only the centre weight is left.


# %%
def window_matrix(lags, k):
    i = torch.arange(k)
    return lags[(i[:, None] - i) % len(lags)]


def window_kernel_solution(lags, k, sigma):
    T = window_matrix(lags, k)
    return torch.linalg.solve(T + sigma**2 * torch.eye(k), T[:, k // 2])


assert dc.exercises.check_window_kernel(window_kernel_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-05-colour
#
# **Colour the noise.** Write `colour(power, white)`: turn white noise of shape `(n, L)`, variance 1,
# into samples of the stationary Gaussian with mean 0 and this power on a ring. No denoiser, no steps:
# one filter.
# ```


# %%
def colour(power, white): ...  # your code: a real tensor (n, L)


# dc.exercises.check_colour(colour)

# %% [markdown]
# ```{solution-start} ex-05-colour
# :class: dropdown
# ```
#
# Multiply each frequency by $\sqrt{S(\omega)}$. That is also what all the steps of the full kernel
# amount to: {prf:ref}`cor-conv-steps` with $\sigma_0\,G \to \sqrt S$.


# %%
def colour_solution(power, white):
    return torch.fft.ifft(torch.fft.fft(white) * power.sqrt()).real


assert dc.exercises.check_colour(colour_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-05-power
#
# **The power of a window.** Write `window_power(lags, k)`: the power, shape `(L,)`, that the best
# convolutions of $k$ pixels generate in the limit of many steps. Compare it with the right one for
# the rings of this chapter.
# ```


# %%
def window_power(lags, k): ...  # your code: a tensor (L,)


# dc.exercises.check_window_power(window_power)

# %% [markdown]
# ```{solution-start} ex-05-power
# :class: dropdown
# ```
#
# {prf:ref}`thm-conv-window`: the matrix logarithm from eigenvalues and eigenvectors, its centre
# column as a cosine series, the exponential.


# %%
def window_power_solution(lags, k):
    values, vectors = torch.linalg.eigh(window_matrix(lags, k))
    column = vectors @ (values.log() * vectors[k // 2])
    frequency = 2 * torch.pi * torch.arange(len(lags)) / len(lags)
    shift = torch.arange(k) - k // 2
    return torch.cos(frequency[:, None].double() * shift).matmul(column).exp()


assert dc.exercises.check_window_power(window_power_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-05-unseen
#
# **An unseen change.** Given a positive `power` on a ring, write `unseen_change(power, k)`: *another*
# power, different by more than a thousandth, for which the best convolutions of $k$ pixels are the
# same at every level.
# ```


# %%
def unseen_change(power, k): ...  # your code: a tensor like power


# dc.exercises.check_unseen_change(unseen_change)

# %% [markdown]
# ```{solution-start} ex-05-unseen
# :class: dropdown
# ```
#
# Add a cosine whose Fourier coefficients sit at distance $k$, the first that the window does not see
# ({prf:ref}`prop-conv-sees`), small enough to keep the power positive.


# %%
def unseen_change_solution(power, k):
    frequency = 2 * torch.pi * torch.arange(len(power)).double() / len(power)
    return power + 0.5 * power.min() * torch.cos(k * frequency)


assert dc.exercises.check_unseen_change(unseen_change_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-05-inner
#
# **How far do the zeros reach?** Write `inner_pixels(size, k, steps)`: how many pixels of a
# `size`×`size` image cannot feel the zero padding, whatever the $k\times k$ kernels are, after
# `steps` DDIM steps. Then find out how large an image has to be for a 3×3 kernel and 50 steps, so
# that half of its pixels know nothing of their position.
# ```


# %%
def inner_pixels(size, k, steps): ...  # your code: an integer


# dc.exercises.check_inner_pixels(inner_pixels)

# %% [markdown]
# ```{solution-start} ex-05-inner
# :class: dropdown
# ```
#
# {prf:ref}`prop-conv-padding`: the border reaches $r = (k-1)/2$ pixels further with each step, from
# both sides.


# %%
def inner_pixels_solution(size, k, steps):
    return max(size - 2 * steps * (k // 2), 0) ** 2


assert dc.exercises.check_inner_pixels(inner_pixels_solution)
half_blind = next(s for s in itertools.count(1) if inner_pixels_solution(s, 3, 50) >= s**2 / 2)
print(f"half of the pixels are blind from {half_blind}×{half_blind} on")

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Linear and blind to position means circular convolution ({prf:ref}`lem-conv-shift`). The best one
#   is a Wiener filter on its window ({prf:ref}`thm-conv-denoiser`).
# - The full kernel generates the stationary Gaussian with the mean pixel and the power spectrum of
#   the data ({prf:ref}`thm-conv-law`): a texture, from a single image if need be.
# - $K$ steps are one filter, with an exact law ({prf:ref}`cor-conv-steps`).
# - A $k\times k$ window sees the autocovariance up to distance $k-1$ ({prf:ref}`prop-conv-sees`), but
#   does not even reproduce that. The logarithm of its power is the cosine series of $\log T$
#   ({prf:ref}`thm-conv-window`), and its textures have too much entropy
#   ({prf:ref}`prop-conv-entropy`).
# - Zero padding breaks the symmetry from the border inwards ({prf:ref}`prop-conv-padding`).
# - A ridge makes frequencies die or, with a small window, grow ({prf:ref}`prop-conv-ridge`); from $N$
#   images the full kernel learns a spectrum with relative error $1/\sqrt N$, and small kernels are
#   the better guess when $N$ is small ({prf:ref}`prop-conv-periodogram`).
#
# **Proved:** all statements above. **Measured:** which kernel size is best for few images, and how much
# of the digits' layout leaks in through zeros. **Not covered:** networks with ReLUs between their
# convolutions, and whether training finds these filters.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the derivations in this chapter
# are the book's own.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
