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
# (sec-refresher)=
# # Refresher: Gaussians, eigenvectors, least squares, ODEs
#
# Four tools carry this book. You have met them; here each comes back in one idea, one picture, five
# lines of code and a question. If you can answer the questions below without reading, start with
# {doc}`01_first_samples` at once.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how a matrix makes one Gaussian from another and what knowing one number says
#   of the next; what eigenvectors of a covariance are good for; why the best linear guess leaves an
#   error that has nothing to do with what you know; what Euler's steps do to a differential
#   equation.
# - **Time** about 60 minutes; an hour and a half with every proof and exercise.
# - **Prerequisites** vectors, matrices, averages, a little Python. No earlier chapter.
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

import diffusion_creativity as dc
from diffusion_creativity.widgets import Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS


def draw(*shape, seed):
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# %% [markdown]
# ## Move something first
#
# Four hundred points of the plane, drawn from a round Gaussian, and what a matrix makes of them: it stretches by one
# number along one direction, by 0.4 across, and turns. Move the stretch and the angle.

# %% tags=["hide-input"]
cloud = draw(400, 2, seed=seed)


def stretched(stretch, angle):
    turn = math.radians(angle)
    U = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]).double()
    A = U @ torch.diag(torch.tensor([stretch, 0.4]).double())
    points, cov = cloud @ A.T, A @ A.T
    ends = (2 * A).T  # two standard deviations along each eigenvector
    words = (
        f"Variances {cov[0, 0]:.2f} and {cov[1, 1]:.2f}, covariance {cov[0, 1]:.2f}; "
        f"eigenvalues {stretch**2:.2f} and 0.16."
    )
    return {
        "plane": [
            marks.points(points[:, 0], points[:, 1], color="generated", size=2.5, opacity=0.6),
            marks.ellipse(0, 0, 2 * stretch, 0.8, turn, color="law", width=2),
            marks.arrows(0, 0, ends[0, 0].item(), ends[0, 1].item(), color="denoiser"),
            marks.arrows(0, 0, ends[1, 0].item(), ends[1, 1].item(), color="denoiser"),
        ],
        "alt": f"An elliptic cloud of points, turned by {angle} degrees and {stretch:g} long. {words}",
        "caption": words,
    }


Explorer.precomputed(
    stretched,
    [Slider("stretch", [0.4, 0.7, 1.0, 1.3, 1.6], "stretch", start=1.6),
     Slider("angle", [0, 15, 30, 45, 60, 75, 90], "angle in degrees", start=30)],
    {"plane": Panel("What the matrix makes of a round cloud", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")},
    title="One matrix, one Gaussian",
)  # fmt: skip

# %% [markdown]
# The ellipse holds about 86 % of the points at every setting. The arrows are *eigenvectors* of the covariance; their half lengths squared are
# its *eigenvalues*. Turn by 45 degrees: the two coordinates have equal variances, and still they know of one another.
#
# (sec-refresher-gaussians)=
# ## Gaussians
#
# **The idea.** A Gaussian in $d$ dimensions is known by its mean $\mu$ and its covariance $\Sigma$. Whatever you do to it with a
# matrix and a vector gives another, and if you learn some of its entries, what is left is a Gaussian too.
#
# ```{prf:proposition} What stays Gaussian
# :label: prop-refresher-gaussian
#
# Let $x \sim \normal(\mu, \Sigma)$.
#
# 1. $Ax + b \sim \normal(A\mu + b,\; A\Sigma A^\top)$.
# 2. Cut $x$ into $(u, w)$ with $\Cov w = \Sigma_{ww}$ invertible. Given $w$, $u$ is Gaussian with
#    mean $\mu_u + \Sigma_{uw}\Sigma_{ww}^{-1}(w - \mu_w)$ and covariance
#    $\Sigma_{uu} - \Sigma_{uw}\Sigma_{ww}^{-1}\Sigma_{wu}$.
# ```
#
# ```{prf:proof}
# *1.* Mean and covariance follow from linearity. Each projection of $Ax + b$ on a line is one of $x$ with an offset, hence
# normal, and that makes a Gaussian.
#
# *2.* Let
#
# $$ r = u - \mu_u - \Sigma_{uw}\Sigma_{ww}^{-1}(w - \mu_w) . $$
#
# By part 1, $(r, w)$ is Gaussian, and $\Cov(r, w)$ $= \Sigma_{uw} - \Sigma_{uw}\Sigma_{ww}^{-1}\Sigma_{ww}$ $= 0$. Parts of a Gaussian that are uncorrelated are
# independent, so $r$ does not depend on $w$. Its mean is 0 and its covariance the one claimed. Given $w$, $u$ is $r$ plus a constant.
# ```
#
# The covariance left does *not* depend on what was learned. Denoising is this with $u$ the clean image and $w = u + \sigma n$ the
# noisy one: for a variance $\lambda$ the best guess goes from the mean towards $y$ by the share $\lambda/(\lambda + \sigma^2)$.
#
# **Five lines.** Draw, learn the second coordinate, and see what is left of the first.

# %%
cov = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
x = draw(run.size(smoke=20_000, book=200_000), 2, seed=seed) @ torch.linalg.cholesky(cov).T
near = x[(x[:, 1] - 1.5).abs() < 0.05, 0]  # the first, where the second is about 1.5
print(f"{len(near):,} points: mean {near.mean():.3f}, variance {near.var():.3f}")
print(f"the rule says: mean {0.8 * 1.5:.3f}, variance {1 - 0.8**2:.3f}")

# %% mystnb={"image": {"alt": "Left: an inclined elliptic cloud of points with a thin horizontal band at height 1.5. Right: a histogram of the points in the band, centred at 1.2 and much narrower than the whole, with the predicted bell curve on it."}, "figure": {"caption": "Left: a Gaussian of correlation 0.8, and the points whose second coordinate is about 1.5. Right: their first coordinate, and the Gaussian that {prf:ref}`prop-refresher-gaussian` predicts.", "name": "fig-refresher-gaussian"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
left.plot(*x[:1500].T, ".", color=COLORS["data"], ms=2, alpha=0.5)
left.axhspan(1.4, 1.6, color=COLORS["denoiser"], alpha=0.35)
left.set(title="Learn the second coordinate", xlabel="first", ylabel="second", aspect="equal")
right.hist(near, 40, density=True, color=COLORS["data"], alpha=0.5)
grid = np.linspace(-1.5, 4, 200)
right.plot(
    grid, np.exp(-((grid - 1.2) ** 2) / 0.72) / math.sqrt(0.72 * math.pi), color=COLORS["law"]
)
right.set(title="What is left of the first", xlabel="first")
plt.show()

# %% [markdown]
# (sec-refresher-eigenvectors)=
# ## Eigenvectors and principal components
#
# **The idea.** A covariance matrix is symmetric, so it is $U \diag(\lambda) U^\top$ with orthonormal columns $u_1, u_2, \dots$ in $U$ and
# $\lambda_1 \ge \lambda_2 \ge \dots \ge 0$. In the coordinates $u_i^\top(x - \mu)$ nothing varies together: one problem in $d$ dimensions
# becomes $d$ problems in one. And the first $k$ of these *principal components* are the best $k$ numbers to keep.
#
# ```{prf:proposition} The best plane
# :label: prop-refresher-plane
#
# Of all planes of $k$ dimensions, the one through $\mu$ along $u_1, \dots, u_k$ has the least mean squared distance to $x$, and this distance is
# $\lambda_{k+1} + \dots + \lambda_d$.
# ```
#
# ```{prf:proof}
# Let the plane have the orthogonal projection $P$, of rank $k$, and pass through $a$. The mean squared distance is $\tr (I - P)\Sigma + \norm{(I - P)(\mu - a)}^2$, so let it
# pass through $\mu$. $\tr P\Sigma = \sum_i \lambda_i p_i$ with $p_i = u_i^\top P u_i \in [0, 1]$ and $\sum_i p_i = k$. A sum of $\lambda_i$ with such weights is largest if
# the $k$ largest have weight 1.
# ```
#
# **Five lines.** The digits have 64 pixels. How many numbers do they need?

# %%
digits = dc.data.load("digits").x.flatten(1).double()
centred = digits - digits.mean(0)
lam, U = torch.linalg.eigh(centred.T @ centred / len(digits))
lam, U = lam.flip(0), U.flip(1)  # eigh sorts upwards
kept = lam.cumsum(0) / lam.sum()
numbers = int((kept < 0.9).sum()) + 1
dc.runtime.report(refresher_numbers=str(numbers))

# %% mystnb={"image": {"alt": "Left: eigenvalues of the digits on a logarithmic scale, falling over several orders of magnitude. Right: the same six digits kept with 2, 8 and 24 numbers each and in full; they become recognisable from row to row."}, "figure": {"caption": "Left: variances of the digits along their principal components. Right: six digits from their first 2, 8 and 24 components, and as they are.", "name": "fig-refresher-pca"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
left.semilogy(np.arange(1, 65), lam.clamp(min=1e-6), color=COLORS["data"])
left.set(title="Variance along each component", xlabel="component", ylabel="eigenvalue")
rows = [digits.mean(0) + centred[:6] @ U[:, :k] @ U[:, :k].T for k in (2, 8, 24, 64)]
dc.style.image_grid(
    torch.cat(rows).reshape(-1, 1, 8, 8), columns=6, ax=right, title="2, 8, 24, 64 numbers"
)
plt.show()

# %% [markdown]
# {glue:text}`refresher_numbers` numbers of 64 hold nine tenths of the variance. In {doc}`04_linear` the denoiser works on each component by itself.
#
# (sec-refresher-squares)=
# ## Least squares
#
# **The idea.** You know $y$ and want $x$. Among all guesses of the form $Ay + b$ one has the least mean squared error, and you
# recognise it by what it leaves: an error that has mean 0 and is uncorrelated with $y$. If it were not, some of the error could be guessed.
#
# ```{prf:proposition} The normal equations
# :label: prop-refresher-squares
#
# $\E \norm{x - Ay - b}^2$ is least if and only if $\E[x - Ay - b] = 0$ and $\E[(x - Ay - b)\, y^\top] = 0$. If $\Cov y$ is
# invertible, that is $A = \Cov(x, y) \Cov(y)^{-1}$ and $b = \E x - A\, \E y$.
# ```
#
# ```{prf:proof}
# Let $e = x - Ay - b$, and let another guess differ by $g = By + c$. Its error is $\E\norm{e - g}^2$ $= \E \norm e^2 - 2\, \E\, e^\top g + \E \norm g^2$. If both
# equations hold, $\E\, e^\top g = 0$ for all $B$ and $c$, and no guess is better. If one fails, take $g$ small along it: the middle term wins. The formulas are
# the equations, solved.
# ```
#
# Compare part 2 of {prf:ref}`prop-refresher-gaussian`: for a Gaussian, the best linear guess is the conditional mean, so *no* guess is better. For anything else, one may be.
#
# **Five lines.** Noisy digits, and the best linear guess of the clean ones.

# %%
y = digits + 0.5 * draw(*digits.shape, seed=seed + 1)
design = torch.cat([y, torch.ones(len(y), 1)], 1)
solution = torch.linalg.lstsq(design, digits).solution  # (65, 64): A and b in one
error = digits - design @ solution
print(
    f"mean squared error {error.square().mean():.4f}; of y itself {(digits - y).square().mean():.4f}"
)
print(f"largest correlation left with y: {(error.T @ design / len(y)).abs().max():.1e}")

# %% mystnb={"image": {"alt": "Left: points around a line, with vertical segments from each point to the line. Right: three rows of digits, noisy, guessed by least squares, and clean; the guess is close to the clean digit, a little blurred."}, "figure": {"caption": "Left: least squares makes the squared vertical gaps small, in sum. Right: digits with noise of level 0.5 (top), their best linear guess (middle), and the truth.", "name": "fig-refresher-squares"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
t = torch.linspace(-1, 1, 12).double()
seen = 0.7 * t + 0.35 * draw(12, seed=seed + 2)
slope, offset = np.polyfit(t, seen, 1)
left.vlines(t, slope * t + offset, seen, color=COLORS["warning"], lw=1)
left.plot(t, seen, "o", color=COLORS["data"])
left.plot(t, slope * t + offset, color=COLORS["denoiser"])
left.set(title="The least sum of squares", xlabel="what you know", ylabel="what you want")
shown = torch.cat([y[:6], (design @ solution)[:6], digits[:6]]).reshape(-1, 1, 8, 8)
dc.style.image_grid(shown, columns=6, ax=right, title="noisy, guessed, clean")
plt.show()

# %% [markdown]
# (sec-refresher-odes)=
# ## Differential equations
#
# **The idea.** $dy/dt = f(y, t)$ says where to go from each place. *Euler's method* goes straight for a while: $y' = y + (t' - t) f(y, t)$. It goes backwards as well as
# forwards. A sampler is just that, with the noise level in the place of time.
#
# ```{prf:proposition} Euler's method on a line
# :label: prop-refresher-euler
#
# For $dy/dt = a y$ the solution is $y(t) = e^{at} y(0)$. $K$ equal steps of Euler's method to $t$ give $(1 + at/K)^K y(0)$, and
#
# $$ \Bigl(1 + \frac{at}K\Bigr)^K = e^{at}\Bigl(1 - \frac{(at)^2}{2K} + O(K^{-2})\Bigr). $$
#
# So twice as many steps halve the error.
# ```
#
# ```{prf:proof}
# Each step multiplies by $1 + at/K$. And $K \ln(1 + at/K)$ $= at - (at)^2/2K + O(K^{-2})$; take exponentials.
# ```
#
# **Five lines.** One equation, four numbers of steps.

# %%
for K in (5, 10, 20, 40):
    state = 1.0
    for _ in range(K):
        state = state + (2 / K) * (-1.0) * state  # dy/dt = -y from 0 to 2
    print(f"{K:3d} steps: {state:.4f}, error {math.exp(-2) - state:.4f}")

# %% mystnb={"image": {"alt": "Left: a falling exponential curve and two polygons of five and ten Euler steps below it, the second closer. Right: the error against the number of steps on logarithmic axes, a straight line of slope minus one."}, "figure": {"caption": "Left: $dy/dt = -y$, exact and in 5 and 10 steps of Euler's method. Right: the error at the end against the number of steps, and the leading term of {prf:ref}`prop-refresher-euler`.", "name": "fig-refresher-euler"}} tags=["hide-input"]
fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0))
time = np.linspace(0, 2, 100)
left.plot(time, np.exp(-time), color=COLORS["law"], label="exact")
for K, mark in ((5, "o"), (10, ".")):
    left.plot(
        np.linspace(0, 2, K + 1),
        (1 - 2 / K) ** np.arange(K + 1),
        mark + "-",
        color=COLORS["generated"],
        lw=1,
        label=f"{K} steps",
    )
left.set(title="Straight for a while", xlabel="t", ylabel="y")
left.legend()
many = np.array([4, 8, 16, 32, 64, 128])
right.loglog(
    many, np.exp(-2) - (1 - 2 / many) ** many, "o", color=COLORS["generated"], label="measured"
)
right.loglog(many, np.exp(-2) * 4 / (2 * many), color=COLORS["law"], label="leading term")
right.set(title="Error at t = 2", xlabel="steps")
right.legend()
plt.show()

# %% [markdown]
# ## Exercises
#
# Each takes a few lines. Write the function, uncomment the self-check, run.
#
# ```{exercise} Colour the noise
# :label: ex-19-colour
#
# Write `colour(z, mean, cov)`: from standard normal `z` (n, d), samples of $\normal(\mu, \Sigma)$.
# ```


# %%
def colour(z, mean, cov): ...  # your code: return (n, d)


# dc.exercises.check_gaussian_from_noise(colour)

# %% [markdown]
# ```{solution-start} ex-19-colour
# :class: dropdown
# ```
#
# Any $A$ with $AA^\top = \Sigma$ will do. Points are rows, so $Az$ becomes `z @ A.T`.


# %%
def colour_solution(z, mean, cov):
    return mean + z @ torch.linalg.cholesky(cov).T


assert dc.exercises.check_gaussian_from_noise(colour_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Learn one, guess the others
# :label: ex-19-condition
#
# Write `condition(mean, cov, value)`: for a Gaussian in $d$ dimensions whose *last* entry turns out to be `value`, the mean and the covariance of the $d - 1$ others.
# ```


# %%
def condition(mean, cov, value): ...  # your code: return mean, cov


# dc.exercises.check_condition(condition)

# %% [markdown]
# ```{solution-start} ex-19-condition
# :class: dropdown
# ```
#
# Part 2 of {prf:ref}`prop-refresher-gaussian`, with a number in the place of $\Sigma_{ww}$.


# %%
def condition_solution(mean, cov, value):
    gain = cov[:-1, -1] / cov[-1, -1]
    left = cov[:-1, :-1] - gain[:, None] * cov[-1, :-1]
    return mean[:-1] + gain * (value - mean[-1]), left


assert dc.exercises.check_condition(condition_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Keep k numbers
# :label: ex-19-keep
#
# Write `keep(x, k)`: points `x` (N, d) moved to the nearest point of the best plane of $k$ dimensions.
# ```


# %%
def keep(x, k): ...  # your code: return (N, d)


# dc.exercises.check_keep(keep)

# %% [markdown]
# ```{solution-start} ex-19-keep
# :class: dropdown
# ```
#
# The plane passes through the mean, and `eigh` sorts upwards.


# %%
def keep_solution(x, k):
    mean = x.mean(0)
    U = torch.linalg.eigh((x - mean).T @ (x - mean))[1][:, -k:]
    return mean + (x - mean) @ U @ U.T


assert dc.exercises.check_keep(keep_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The best linear guess
# :label: ex-19-guess
#
# Write `guess(y, x)`: the $A$ and $b$ of least squares for points `y` (N, m) and `x` (N, d), so that `y @ A.T + b` is near `x`.
# ```


# %%
def guess(y, x): ...  # your code: return A (d, m), b (d,)


# dc.exercises.check_guess(guess)

# %% [markdown]
# ```{solution-start} ex-19-guess
# :class: dropdown
# ```
#
# The normal equations, centred.


# %%
def guess_solution(y, x):
    inside = y - y.mean(0)
    A = torch.linalg.lstsq(inside, x - x.mean(0)).solution.T
    return A, x.mean(0) - A @ y.mean(0)


assert dc.exercises.check_guess(guess_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Follow the slope
# :label: ex-19-euler
#
# Write `euler(slope, y, times)`: Euler's method from `y` at `times[0]` through all other times, for `slope(y, t)`. Times may fall.
# ```


# %%
def euler(slope, y, times): ...  # your code: return y at times[-1]


# dc.exercises.check_euler(euler)

# %% [markdown]
# ```{solution-start} ex-19-euler
# :class: dropdown
# ```
#
# The slope is asked at the *start* of each step. A step back has a negative length, and that is all.


# %%
def euler_solution(slope, y, times):
    for now, after in pairwise(times):
        y = y + (after - now) * slope(y, now)
    return y


assert dc.exercises.check_euler(euler_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Gaussians stay Gaussian under matrices, and when some of their entries become known ({prf:ref}`prop-refresher-gaussian`).
# - Eigenvectors of the covariance take a problem apart; the first of them span the best plane ({prf:ref}`prop-refresher-plane`).
# - The best linear guess leaves an error uncorrelated with what is known ({prf:ref}`prop-refresher-squares`).
# - Euler's method goes straight for a while; its error halves when its steps double ({prf:ref}`prop-refresher-euler`).
#
# All of this is in textbooks; {cite:t}`bishop2006pattern` has it in the language of this book.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
