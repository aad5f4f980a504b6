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
# # Project: a denoiser of your own
#
# Choose an architecture that this book does not treat. Say beforehand what it will generate, then find out. The faces of
# {doc}`12_measuring_creativity_and_realism` are the world, and their oracle is the judge.
#
# - **Before** Parts I and II, {doc}`12_measuring_creativity_and_realism`, one of the two assignments.
# - **Points** 100: 50 by self-check, 50 by hand. **Time** 25 to 35 hours in three or four weeks; teams of two hand in one notebook and
#   say who did what.
# - **Hand in** this notebook, run from the top, at most 12 printed pages.
#
# Some architectures to begin with:
#
# - columns and rows: two denoisers, one that sees columns and one that sees rows, and their average;
# - symmetry: a denoiser that treats an image and its mirror image alike, but not its shifts;
# - a window with a hole: each pixel is estimated from its neighbours and not from itself;
# - two scales: one denoiser for the average of 4×4 blocks, another for what is left;
# - a switch: the perfect denoiser above a noise level, a local or linear one below it, or the reverse;
# - memory with loss: the perfect denoiser of codes that keep $b$ bits of each training image.
#
# Or take up one of the open questions of the chapter *Project ideas*; its starting notebook saves you the set-up.

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
# Import here what else you need.
import matplotlib.pyplot as plt

import diffusion_creativity as dc
from diffusion_creativity.data import faces
from diffusion_creativity.exercises import assignments

run = dc.runtime.start(seed=seed, profile=profile)
family = faces.Faces()
split = family.split(400, held_out=1000, seed=seed)
train = family.render(split.train)  # (400, 1, 16, 16)
oracle = family.oracle(split.train)
dc.style.image_grid(train[:10], columns=10, title="The first ten")
plt.show()

# %% [markdown]
# ## Step 1 · A plan (10 points, first week)
#
# Write it before you run anything, and do not change it later; your misses are worth as much as your hits. `prediction` and `rival` are ranges for *one share of the samples*:
# what you expect, and what the next best explanation expects. They must be so far apart that `samples` samples can decide between them.


# %% tags=["answer"]
def plan():
    # your plan: a dictionary with question, architecture, measure, control, refuted_if (a sentence
    # each), prediction and rival (two numbers each) and samples (a whole number)
    ...


# %%
assignments.check_plan(plan)

# %% [markdown]
# ## Step 2 · The denoiser (10 points)
#
# Write `denoise(y, sigma)` for `y` (n, 1, 16, 16) and `sigma` a number or one level for each image. The self-check knows nothing of your architecture. It
# asks what every sampler takes for granted: shape, finite numbers from $\sigma = 80$ to 0.002, the same answer twice, no image that looks at another.


# %% tags=["answer"]
def denoise(y, sigma): ...  # your code: return a tensor like y


# %%
assignments.check_contract(denoise)

# %% [markdown]
# ## Step 3 · An interval (10 points)
#
# A share of 0 among 300 samples is not 0. Write `interval(k, n)`, a 95 % interval (low, high) for a share of which `k` of `n` were seen.


# %% tags=["answer"]
def interval(k, n): ...  # your code: return low, high


# %%
assignments.check_interval(interval)

# %% [markdown]
# ## Step 4 · What it generates, and why (20 points)
#
# State what your denoiser generates, with assumptions, and prove it. Where you can prove less, prove less: which statistics of the training set matter; two training sets that it
# confuses; something that it can never generate; what it does to the mean and the covariance. Say what the statement does not say.

# %% [markdown] tags=["written", "argument"]
# *Your answer.*

# %% [markdown]
# ## Step 5 · A certificate (20 points)
#
# Turn the statement into a test. Write `certificate()`, which returns three functions: `agrees(samples)`, true unless the samples refute the statement, at level 5 % or less;
# `draw(n, seed)`, samples for which the statement is true by construction; and `control(n, seed)`, samples for which it is false, but not by much. A test that
# accepts the control is no test. Then hand it the samples of your denoiser.


# %% tags=["answer"]
def certificate(): ...  # your code: return agrees, draw, control


# %%
assignments.check_certificate(certificate)

# %% [markdown]
# ## Step 6 · The experiment (20 points)
#
# Sample your denoiser and at least two of the package from the same noise. Show copies, creations and invalid faces with your intervals, the rules that break, unpicked samples, and a
# control that would have shown a slip.

# %%
sigmas = dc.noise.karras(run.size(smoke=10, book=60))
noise = dc.sampling.initial_noise(run.size(smoke=20, book=500), train.shape[1:], seed=seed)

# %%
# Your experiment.

# %% [markdown] tags=["written", "experiment"]
# *Your answer.*

# %% [markdown]
# ## Step 7 · What came out (10 points)
#
# Hold the result against the plan of Step 1 as you wrote it. Name every miss. What would make your claim false, and what did you not test?

# %% [markdown] tags=["written", "honesty"]
# *Your answer.*

# %% [markdown]
# ## What the self-checks say

# %%
points = assignments.mark("project", globals())
