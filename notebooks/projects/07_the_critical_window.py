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
# (sec-project-critical)=
# # The critical window
#
# **Question.** A window of noisy pixels either tells which training image it is from, or it does not.
# At which size does it begin to, and do networks work just below it?
#
# **Start.** How much of its weight does the perfect posterior of a window put on the right image? We
# look for the window where it passes one half, for white noise images, where we can predict it, and for
# faces. What a convincing answer needs is in the [chapter on projects](../18_project_ideas.ipynb).

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": a minute at most, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# ## The start
#
# Noise of level $\sigma$ on $L \times L$ independent pixels of variance 1 leaves
# $\frac12 L^2 \ln(1 + 1/\sigma^2)$ of information. To name one of $N$ images takes $\ln N$. If that
# is all that matters, the critical window is
# ```{math}
# :label: eq-project-critical
# L_c(\sigma) = \sqrt{\frac{2 \ln N}{\ln(1 + 1/\sigma^2)}} .
# ```
# A guess, not a theorem. {cite:t}`hunt2026exact` give an exact theory of this question; we start from
# nothing but the guess.

# %%
side, tests = 16, run.size(smoke=40, book=200, gpu=1000)
sizes = run.size(smoke=[30], book=[30, 1000], gpu=[30, 1000, 30_000])
levels = torch.logspace(math.log10(0.3), math.log10(4), run.size(smoke=3, book=9)).tolist()
family = dc.data.faces.Faces(positions=1)


def right_weight(images, window, sigma):
    """Weight of the right image in the posterior of a window at the centre, median over tests."""
    low = (side - window) // 2
    cut = images[..., low : low + window, low : low + window]
    generator = torch.Generator().manual_seed(seed)
    right = torch.randint(len(images), (tests,), generator=generator)
    y = cut[right] + sigma * torch.randn(tests, *cut.shape[1:], generator=generator)
    weights = dc.denoisers.Bayes.fit(cut).posterior(y, sigma)  # (tests, N)
    return weights.gather(1, right[:, None]).median().item()


def critical(images, sigma):
    """First window for which the right image has more than half of the weight."""
    return next((w for w in range(1, side + 1) if right_weight(images, w, sigma) > 0.5), math.nan)


def draw(kind, count):
    if kind == "white noise":
        generator = torch.Generator().manual_seed(seed + count)
        return torch.randn(count, 1, side, side, generator=generator)
    faces = family.render(family.split(count, seed=seed).train)
    return (faces - faces.mean()) / faces.std()


found = {}
for kind in ("white noise", "faces"):
    for size in sizes:
        images = draw(kind, size)
        found[kind, size] = [critical(images, sigma) for sigma in levels]


def guess(size, sigma):
    return math.sqrt(2 * math.log(size) / math.log1p(1 / sigma**2))


for (kind, size), windows in found.items():
    print(f"{kind:11} N = {size:5}: ", *(f"{w:>4}" for w in windows))
for size in sizes:
    print(f"{'the guess':11} N = {size:5}: ", *(f"{guess(size, sigma):4.1f}" for sigma in levels))

# %% mystnb={"image": {"alt": "Critical window against the noise level on logarithmic axes: the guess as a line for each number of images, and points for white noise and for faces."}, "figure": {"caption": "The window from which on its posterior knows the image: white noise (dots), faces (crosses), and the guess (lines), for two numbers of images.", "name": "fig-project-critical"}} tags=["hide-input"]
for size, color in zip(sizes, ("denoiser", "generated", "warning"), strict=False):
    line = [guess(size, sigma) for sigma in levels]
    plt.loglog(levels, line, color=COLORS[color], label=f"N = {size}")
    plt.loglog(levels, found["white noise", size], "o", color=COLORS[color])
    plt.loglog(levels, found["faces", size], "x", color=COLORS[color], ms=8)
plt.xlabel("noise level σ")
plt.ylabel("critical window (pixels)")
plt.legend()
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# Without noise one pixel of white noise names its image. In all noise no window does: the weights are
# $1/N$. And a larger window never needs less noise to be confused.

# %%
images = draw("white noise", sizes[0])
assert right_weight(images, 1, 1e-6) > 0.999
assert abs(right_weight(images, 3, 1e5) - 1 / len(images)) < 1e-4
two = torch.tensor([[-1.0], [1.0]])  # two images of one pixel: the posterior is a logistic function
weight = dc.denoisers.Bayes.fit(two).posterior(torch.tensor([[0.3]]), 0.7)[0, 1].item()
assert abs(weight - 1 / (1 + math.exp(-2 * 0.3 / 0.7**2))) < 1e-6
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. How good is the guess for white noise as $N$ grows? Put intervals on the critical window: new images, new
# noise.

# %%
# YOUR WORK 1: the critical window with intervals over seeds, in pixels between the whole ones.
...

# %% [markdown]
# 2. Faces are not white. Replace the number of pixels by the information in a window, from the eigenvalues of its
# covariance. Does the guess hold then?

# %%
# YOUR WORK 2: a prediction for faces that has no free number.
...

# %% [markdown]
# 3. Generate with `dc.denoisers.LocalScore.fit(x, window=lambda sigma: ...)`, the window a factor above or below
# the critical one. Where do copies turn into new faces?

# %%
# YOUR WORK 3: copies, creative and invalid against the factor.
...

# %% [markdown]
# ## References
#
# ```{bibliography}
# ```
