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
# # Assignment 2: row by row
#
# An architecture that is in no chapter: the denoiser sees an image row by row, and uses the *same* function for every
# row. A row knows neither the other rows nor its own height. It is a block as in {doc}`08_factorised_and_equivariant`, and it is shared as a
# convolution is in {doc}`05_convolutional`. What does it generate, how much of that is copied, what can it not see, and for
# which images is it just right?
#
# - **Before** {doc}`05_convolutional`, {doc}`08_factorised_and_equivariant`, {doc}`10_what_the_architecture_can_see` and, for Question 7, {doc}`12_measuring_creativity_and_realism`.
# - **Points** 100: 70 by self-check, 30 by hand. **Time** six to eight hours.
# - **Rules** Fill in the functions and the cells marked *Your answer*. Use anything of PyTorch, NumPy and SciPy, and
#   of the package its samplers, schedules, data and metrics; do not call `dc.denoisers` inside the functions asked for. The self-check of each question
#   says which property fails. Your work is marked by the same checks on other inputs. Talk to others about
#   ideas, write alone, and name your sources.

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

# %% [markdown]
# ## Question 1 · The best denoiser of this kind (15 points)
#
# Write `row_denoiser(y, sigma, x)` for training images `x` (N, H, W) and noisy images `y` (n, H, W): of all denoisers that treat each row by itself and all rows
# alike, the one with the least mean squared error over the training set.


# %% tags=["answer"]
def row_denoiser(y, sigma, x): ...  # your code: return (n, H, W)


# %%
assignments.check_row_denoiser(row_denoiser)

# %% [markdown]
# ## Question 2 · Count (10 points)
#
# Write `count_generated(x)`: the number of different images that the exact flow can end on. Rows may occur more than once.


# %% tags=["answer"]
def count_generated(x): ...  # your code: return a whole number


# %%
assignments.check_count_generated(count_generated)

# %% [markdown]
# ## Question 3 · How often does it copy? (15 points)
#
# Write `copy_probability(x)`: the probability that a sample of the exact flow is one of the training images. Mind rows that occur in several
# images, and images that occur twice.


# %% tags=["answer"]
def copy_probability(x): ...  # your code: return a number


# %%
assignments.check_copy_probability(copy_probability)

# %% [markdown]
# ## Question 4 · And if it is linear besides? (15 points)
#
# Now each row may only be multiplied by a matrix and shifted by a vector, the same ones for all rows. The samples' rows are then independent
# draws from one Gaussian. Write `row_gaussian(x)`, which returns its mean (W,) and its covariance (W, W).


# %% tags=["answer"]
def row_gaussian(x): ...  # your code: return mean, cov


# %%
assignments.check_row_gaussian(row_gaussian)

# %% [markdown]
# ## Question 5 · What it cannot see (15 points)
#
# Write `row_twin(x)`: for any images `x` (N, H, W) other images, as many, none of which is in `x`, such that every denoiser of shared rows (perfect or linear, trained or
# written down) generates the same samples for both. A denoiser of Chapter 8 with a function of its own for each height should notice.


# %% tags=["answer"]
def row_twin(x): ...  # your code: return (N, H, W)


# %%
assignments.check_row_twin(row_twin)

# %% [markdown]
# ## Question 6 · Predict (10 points)
#
# The training set is the set of faces below. Before you run anything: of 300 samples, how many are copies, how many creations (valid and new), how many
# invalid, for the perfect denoiser, for yours, and for the Gaussian of Question 4? Which rules will break first? Give numbers
# or ranges, and a reason for each. Predictions that turn out wrong lose no points; predictions without a reason do.

# %%
family = faces.Faces()
split = family.split(400, seed=seed)
train = family.render(split.train)  # (400, 1, 16, 16)
oracle = family.oracle(split.train)
dc.style.image_grid(train[:10], columns=10, title="The first ten")
plt.show()

# %% [markdown] tags=["written", "prediction"]
# *Your answer.*

# %% [markdown]
# ## Question 7 · Measure (20 points)
#
# Sample all three from the same noise, hand the samples to the oracle, and show a table of counts with intervals, sample sheets side by side, and the rules
# that each breaks. Hold them against your prediction, misses included. Then describe a target for which this architecture is
# *right*: it never copies, or rarely, and whatever it makes is real. What did you not test?

# %%
sigmas = dc.noise.karras(run.size(smoke=10, book=40))
noise = dc.sampling.initial_noise(run.size(smoke=20, book=300), train.shape[1:], seed=seed)
print(oracle(train[:5]).summary())

# %%
# Your experiment.

# %% [markdown] tags=["written", "experiment"]
# *Your answer.*

# %% [markdown]
# ## What the self-checks say
#
# Run the notebook from the top before you hand it in. This cell adds up your points; the rest is marked by hand.

# %%
points = assignments.mark("assignment_2", globals())
