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
# # Assignment 1: between copying and blurring
#
# The perfect denoiser of a training set returns it. The linear one returns a Gaussian. Between the two lies a family
# of targets that has both as its ends: a *mixture* of Gaussians, one around each of $K$ points. With variance 0
# it is a training set, with $K = 1$ it is a Gaussian. You write its perfect denoiser, measure how sure it is, say
# what a stochastic sampler makes of a Gaussian, build a test that can fail, and then ask: if we blur a training
# set a little, when does the generator stop copying, and is it creative then?
#
# - **Before** {doc}`01_first_samples`, {doc}`02_denoising_scores_samplers`, {doc}`03_the_perfect_denoiser_copies`, {doc}`04_linear`.
# - **Points** 100: 70 by self-check, 30 by hand. **Time** six to eight hours.
# - **Rules** Fill in the functions and the cells marked *Your answer*. Use anything of PyTorch, NumPy and SciPy, and
#   of the package its samplers, schedules, data and metrics; the functions asked for are to be your own, so do not call
#   `dc.denoisers` or `law.agreement` inside them. The self-check of each question says which property fails. Your
#   work is marked by the same checks on other inputs. Talk to others about ideas, write alone, and name your sources.

# %% tags=["parameters"]
profile = "book"
seed = 0

# %%
# Import here what else you need.
import matplotlib.pyplot as plt

import diffusion_creativity as dc
from diffusion_creativity.exercises import assignments

run = dc.runtime.start(seed=seed, profile=profile)

# %% [markdown]
# ## Question 1 · The perfect denoiser of a mixture (15 points)
#
# A clean point $x$ comes from component $k$ with probability $\pi_k$, and then from $\mathcal N(m_k, v_k I)$. Write
# `mixture_denoiser(y, sigma, means, variances, weights)`, the posterior mean $\mathbb E[x \mid y]$ with
# $y = x + \sigma n$, for `y` (n, d), `means` (K, d), `variances` (K,) and `weights` (K,). It must be right where some or all
# $v_k = 0$, and where $e^{-\lVert y - m_k\rVert^2/2\sigma^2}$ is 0 to the computer.


# %% tags=["answer"]
def mixture_denoiser(y, sigma, means, variances, weights): ...  # your code: return (n, d)


# %%
assignments.check_mixture_denoiser(mixture_denoiser)

# %% [markdown]
# ## Question 2 · How sure is it? (15 points)
#
# The perfect denoiser answers with a mean. Write `posterior_covariance(y, sigma, x)`, the covariance of the clean point given `y`, shape (n, d, d),
# for the training set `x` (N, d) with equal weights.


# %% tags=["answer"]
def posterior_covariance(y, sigma, x): ...  # your code: return (n, d, d)


# %%
assignments.check_posterior_covariance(posterior_covariance)

# %% [markdown]
# ## Question 3 · Why it is so (10 points)
#
# Prove, for the perfect denoiser $D_\sigma$ of a training set,
#
# $$ \operatorname{Cov}[x \mid y] = \sigma^2\, \frac{\partial D_\sigma(y)}{\partial y}. $$
#
# Then say in one line what the mean of its trace over all $y$ is, and why no denoiser can have a smaller loss.

# %% [markdown] tags=["written", "proof"]
# *Your answer.*

# %% [markdown]
# ## Question 4 · What fresh noise does to a Gaussian (20 points)
#
# In {doc}`04_linear` a DDIM step multiplies the coordinate along an eigendirection by a number. The ancestral sampler ($\eta = 1$ in
# {doc}`02_denoising_scores_samplers`) adds fresh noise as well. Write `ancestral_variance(lam, sigmas)`: the variance of the samples along
# an eigendirection of variance $\lambda$, for the best affine denoiser of a target with mean 0, on the levels `sigmas` from $\sigma_0$
# down to 0. The start is $\mathcal N(0, \sigma_0^2)$.


# %% tags=["answer"]
def ancestral_variance(lam, sigmas): ...  # your code: return a number


# %%
assignments.check_ancestral_variance(ancestral_variance)

# %% [markdown]
# ## Question 5 · A test that can fail (20 points)
#
# Somebody claims that their samples are draws from $\mathcal N(\mu, \Sigma)$. Write `reject(samples, mean, cov)`: true if you refuse the claim. A claim
# that is true may be refused once in a hundred times, no more. And yours must be a test that *can* refuse: the self-check hands it
# 200 points in three dimensions with a mean, a variance or a correlation that is off. Which quantities do you look at, and how do you
# share the one per cent among them?


# %% tags=["answer"]
def reject(samples, mean, cov): ...  # your code: return a truth value


# %%
assignments.check_reject(reject)

# %% [markdown]
# ## Question 6 · When does it stop copying? (20 points)
#
# Put a component of variance $v$ around each of the training digits below, all with equal weight, and sample with your denoiser. Vary $v$ from 0
# to the variance of the pixels.
#
# 1. Before you run anything: what exactly does the sampler generate, in the limit of many steps? Write it down.
# 2. Show the copied fraction and the distance to the nearest training image against $v$, with samples at three values. Use one noise for all.
# 3. Where does copying end, and what sets the place?
# 4. Is the generator creative where it no longer copies? Argue with your samples. What would you have to measure?
# 5. Run one control, for which you know the answer, and say what could still be wrong.

# %%
digits = dc.data.load("digits").x[:300]
sigmas = dc.noise.karras(run.size(smoke=10, book=40))
noise = dc.sampling.initial_noise(run.size(smoke=20, book=300), digits.shape[1:], seed=seed)
dc.style.image_grid(digits[:10], columns=10, title="The first ten")
plt.show()
print(f"{len(digits)} digits of {digits[0].numel()} pixels, variance of a pixel {digits.var():.2f}")

# %%
# Your experiment.

# %% [markdown] tags=["written", "experiment"]
# *Your answer.*

# %% [markdown]
# ## What the self-checks say
#
# Run the notebook from the top before you hand it in. This cell adds up your points; the rest is marked by hand.

# %%
points = assignments.mark("assignment_1", globals())
