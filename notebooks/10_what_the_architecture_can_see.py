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
# (sec-unify)=
# # What the architecture can see
#
# A linear denoiser sees the mean and the covariance of its target. A convolution sees a spectrum,
# a polynomial sees moments, a network of blocks sees blocks.
# Each chapter so far found a law of its own. One statement is behind all of them.
#
# *An architecture decides which statistics of the target reach the sampler. Two targets that agree
# in those statistics generate the same samples, from the same noise, one by one, however different
# they look.*
#
# We prove it, tabulate what each architecture of the book can see, and build pairs of targets that
# nobody would confuse and that one architecture cannot tell apart. Then we ask the reverse: what do
# richer architectures gain, and for which targets is an architecture right?
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how to read off an architecture which statistics it sees, how to build two
#   data sets that it confuses, what is and what is not changed by regularisation, early stopping
#   and stochastic gradients, and when a denoiser generates exactly its target.
# - **Time** about 45 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`04_linear`. {doc}`05_convolutional` to {doc}`08_factorised_and_equivariant`
#   help, as examples.
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
from diffusion_creativity.data import toy, twins
from diffusion_creativity.denoisers import (
    Affine,
    Bayes,
    Blockwise,
    Convolutional,
    EncoderBottleneck,
    Equivariant,
    LinearBottleneck,
    Pixelwise,
    Polynomial,
)
from diffusion_creativity.widgets import Choice, Explorer, Panel, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below: all together refuse a true statement once in 10,000 runs
levels = dc.noise.karras(run.size(smoke=15, book=40))

# %% [markdown]
# ## Move something first
#
# Four targets: three clusters, a spiral, a chessboard, a face. Each is a cloud of 300 points. We
# have moved the points a little, so that all four clouds share their {term}`moments <moment>`: the
# averages of $x_1$, $x_2$, $x_1^2$, $x_1x_2$, … up to a chosen order.
#
# Choose an architecture and change the target. **Which architectures notice?**

# %% tags=["hide-input"]
COUNT = 300


def face(n, seed):
    """A circle, a mouth and two eyes."""
    t = toy.uniform(0, 1, 1).sample(n, seed)[:, 0].double()
    around, below = 2 * math.pi * t, math.pi * (1.15 + 0.7 * t)
    outline = torch.stack([around.cos(), around.sin()], 1)
    mouth = 0.6 * torch.stack([below.cos(), below.sin()], 1)
    eyes = torch.stack([0.35 * (t - 0.5).sign(), torch.full_like(t, 0.35)], 1)
    part = (torch.arange(n) % 5)[:, None]
    x = torch.where(part == 0, eyes, torch.where(part == 1, mouth, outline))
    return x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


drawn = {
    "three clusters": toy.gaussian_mixture(
        [[-1.0, -0.6], [0.2, 1.0], [1.1, -0.5]], 0.12
    ).sample(COUNT, seed),
    "spiral": toy.spiral().sample(COUNT, seed),
    "chessboard": toy.checkerboard().sample(COUNT, seed),
    "face": face(COUNT, seed),
}  # fmt: skip
square = 0.7 * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
drawn = {name: twins.moment_twin(square, x, 2) for name, x in drawn.items()}  # one size for all
pooled = torch.cat(list(drawn.values()))  # its moments are the ones that all four shall have
lookalikes = {
    order: {name: twins.moment_twin(pooled, x, order) for name, x in drawn.items()}
    for order in (2, 4, 6)
}
architectures = {
    "affine": Affine.fit,
    "polynomial of degree 2": lambda x: Polynomial.fit(x, degree=2, basis="joint"),
    "polynomial of degree 3": lambda x: Polynomial.fit(x, degree=3, basis="joint"),
    "each coordinate by itself": Pixelwise.fit,
    "no restriction": Bayes.fit,
}
plane_noise = dc.sampling.initial_noise(COUNT, (2,), seed=seed + 1).double()
generated = {
    (order, target, name): dc.sampling.ddim(fit(x), plane_noise, levels)
    for order, data in lookalikes.items()
    for target, x in data.items()
    for name, fit in architectures.items()
}


def draw_lookalikes(order, target, architecture):
    x, made = lookalikes[order][target], generated[order, target, architecture]
    first = generated[order, "three clusters", architecture]
    moved = (made - first).norm(dim=1).max().item()
    same = "the same samples as for three clusters" if moved < 1e-6 else (
        f"samples that differ by up to {moved:.2g} from those for three clusters"
    )  # fmt: skip
    return {
        "data": [marks.points(*x.T, color="data", size=2)],
        "made": [marks.points(*made.T, color="generated", size=2)],
        "caption": f"{target}, moments equal up to order {order}: {architecture} generates "
        + ("these samples." if target == "three clusters" else f"{same}."),
    }


for (order, target, name), made in generated.items():  # what the figure will say
    confused = {"affine": 2, "polynomial of degree 2": 4, "polynomial of degree 3": 6}
    moved = (made - generated[order, "three clusters", name]).norm(dim=1).max().item()
    if target != "three clusters":
        assert (moved < 1e-6) == (confused.get(name, math.inf) <= order), (order, target, name)

limits = {"xlim": (-2.3, 2.3), "ylim": (-2.3, 2.3), "aspect": "equal", "axes": False}
Explorer.precomputed(
    draw_lookalikes,
    [
        Choice("target", list(drawn), "target", start="spiral"),
        Choice("architecture", list(architectures), "architecture"),
        Choice("order", {"2": 2, "4": 4, "6": 6}, "moments equal up to order", start=4),
    ],
    {"data": Panel("Target", **limits), "made": Panel("Generated, same noise", **limits)},
    title="Which architecture notices that the target has changed?",
    alt="Left: the target {target}. Right: what the architecture generates ({architecture}), "
    "moments equal up to order {order}.",
)

# %% [markdown]
# The affine denoiser never notices. The polynomial of degree 2 notices at order 2 and not at
# order 4; degree 3 needs order 6. Not "hardly notices": the caption says by how much the samples
# move, and the answer is zero, to rounding. The other two always notice.
#
# There is a rule: *degree $p$ sees moments of order up to $2p$*. Where does it come from?
#
# (sec-unify-playground)=
# ### The playground
#
# The figure above has three controls. The next one has them all: any target of the book against any
# architecture, on the line, in the plane and on digits. Keep it open while you read. Everything in it
# is computed by your browser, and each state has a link that you can share. (Polynomials in the plane
# act on each coordinate by itself there; in the figure above, on both coordinates jointly.)
# On {doc}`a page of its own <../book/playground>` you can also draw a target by hand.

# %%
some_digits = dc.data.load("digits").subset(200, seed=seed).x
dc.widgets.Playground("spiral", "polynomial", parameter=3, images=some_digits, name="digits")

# %% [markdown]
# (sec-unify-theorem)=
# ## One theorem
#
# At noise level $\sigma$ an architecture is a set $\mathcal F_\sigma$ of functions, among which
# training looks for the denoiser. At first let it be a *linear space*: sums and multiples of
# its functions belong to it. Affine maps form a linear space; so do convolutions, polynomials of
# a degree, functions of blocks, and all functions.
#
# Write $r_\sigma(f)$ for what a function shares with the clean image, and $G_\sigma(f, g)$ for
# what two functions share with each other:
#
# ```{math}
# :label: eq-unify-seen
# r_\sigma(f) = \mathbb E\bigl[x \cdot f(y)\bigr], \qquad
# G_\sigma(f, g) = \mathbb E\bigl[f(y) \cdot g(y)\bigr], \qquad f, g \in \mathcal F_\sigma .
# ```
#
# The dot is the scalar product in $\mathbb R^d$, and $y = x + \sigma n$.
#
# ```{prf:theorem} An architecture sees r and G
# :label: thm-unify-moments
#
# Let $\sigma > 0$, $\mathbb E\norm{x}^2 < \infty$, and let $\mathcal F_\sigma$ be a linear space
# of functions with $\mathbb E\norm{f(y)}^2 < \infty$.
#
# 1. $D \in \mathcal F_\sigma$ has the least loss $\mathbb E\norm{x - D(y)}^2$ in
#    $\mathcal F_\sigma$ if and only if $G_\sigma(D, f) = r_\sigma(f)$ for all
#    $f \in \mathcal F_\sigma$. Any two such $D$ are equal at almost every $y$.
# 2. If the entries of $D$ are to be combinations of features
#    $\varphi(y) \in \mathbb R^m$, $D(y) = C\varphi(y)$, then one minimiser is
#
#    $$D_\sigma(y) = \mathbb E[x\,\varphi^\top]\;\mathbb E[\varphi\,\varphi^\top]^{+}\;\varphi(y),$$
#
#    with the pseudo-inverse $^+$, which is the inverse if no feature is a combination of others.
# 3. Let two targets have the same $r_\sigma$ and $G_\sigma$ on $\mathcal F_\sigma$, at each level
#    at which a sampler calls its denoiser. Then their denoisers are equal there, and from the same
#    starting noise and the same fresh noise the sampler generates the same samples. Both targets
#    generate the same law.
# ```
#
# ```{prf:proof}
# *1.* Take $D$ and $f$ in $\mathcal F_\sigma$. For every number $t$, $D + tf$ is in
# $\mathcal F_\sigma$ and loses
#
# $$\mathbb E\norm{x - D - tf}^2 = \mathbb E\norm{x - D}^2 -
# 2t\bigl(r_\sigma(f) - G_\sigma(D, f)\bigr) + t^2\,G_\sigma(f, f).$$
#
# If the bracket vanishes for all $f$, then $t = 1$ shows that no other function loses less. If it
# does not vanish for some $f$, a small $t$ of its sign loses less than $D$.
# Let $D$ and $D'$ both be minimisers. Subtract their equations and take $f = D - D'$:
# $\mathbb E\norm{D(y) - D'(y)}^2 = 0$. The density of $y$,
# $p_\sigma(y) = \mathbb E\,\bigl[(2\pi\sigma^2)^{-d/2} e^{-\norm{y - x}^2/2\sigma^2}\bigr]$, is
# positive *everywhere*, whatever the target. So $D = D'$ almost everywhere.
#
# *2.* With $R = \mathbb E[x\varphi^\top]$ and $S = \mathbb E[\varphi\varphi^\top]$ the condition of
# part 1 reads $CS = R$. It has a solution: if $Sv = 0$, then $\mathbb E(v^\top\varphi)^2 = 0$, so
# $v^\top\varphi(y) = 0$ almost surely and $Rv = \mathbb E[x\,(\varphi^\top v)] = 0$. The rows of $R$
# are thus orthogonal to the kernel of the symmetric matrix $S$, and $R S^+ S = R$: $C = RS^+$
# solves it.
#
# *3.* The target enters the condition of part 1 through $r_\sigma$ and $G_\sigma$ only, so both
# targets have the same minimisers. The sampler reads the target by calling $D_\sigma$ and in no
# other way; induction over its steps, from equal noise, gives equal states. Equal samples for
# every noise have equal laws. For the flow $dy/d\sigma = (y - D_\sigma(y))/\sigma$ the two vector
# fields are equal, and so is the solution wherever the equation has only one.
# ```
#
# Part 1 fixes $D$ at almost every $y$ only. The functions of this book's architectures are
# continuous, or have one continuous minimiser, which is the one that we use; it is then fixed
# everywhere.
#
# The theorem is the normal equation of least squares, known for two centuries. What is new is only
# how to read it: as a statement about *the sampler*, which inherits the blindness of its denoiser
# exactly. Nothing about the steps was used, so the statement holds for DDIM, Heun and ancestral
# sampling, for five steps as for the limit.
#
# **Twenty lines of code.** To test the theorem we compute part 2 directly, for any features. The
# noise is integrated exactly (for polynomials) by Gauss–Hermite quadrature; the pseudo-inverse is
# that of a least-squares solver. No formula of an earlier chapter is used.


# %%
class Span:
    """The best denoiser that combines features of y: part 2 of the theorem, by brute force."""

    def __init__(self, x, features, nodes=5):
        self.x, self.features = x, features
        at, weight = np.polynomial.hermite_e.hermegauss(nodes)
        grid = list(itertools.product(range(nodes), repeat=x.shape[1]))
        self.noise = torch.from_numpy(at[np.array(grid)])  # (nodes^d, d)
        share = torch.from_numpy((weight / weight.sum())[np.array(grid)].prod(1))
        self.root = (share / len(x)).sqrt().repeat(len(x))[:, None]
        self.known = {}

    def coefficients(self, sigma):
        if sigma not in self.known:
            y = (self.x[:, None] + sigma * self.noise).flatten(0, 1)
            x = self.x.repeat_interleave(len(self.noise), 0)
            phi = self.features(y / math.hypot(1, sigma))
            fit = torch.linalg.lstsq(self.root * phi, self.root * x, driver="gelsd")
            self.known[sigma] = fit.solution  # Cᵀ = (E φφᵀ)⁺ E φxᵀ
        return self.known[sigma]

    def __call__(self, y, sigma):
        return self.features(y / math.hypot(1, sigma)) @ self.coefficients(float(sigma))


def monomials(degree):
    which = torch.cat([torch.zeros(1, 2, dtype=torch.long), twins.exponents(degree, 2)])
    return lambda y: (y[:, None] ** which).prod(-1)


def repeated(y):
    """All monomials of degree 2, and two features that are combinations of them."""
    phi = monomials(2)(y)
    return torch.cat([phi, phi[:, 1:2] - 3 * phi[:, 4:5], phi[:, :3].sum(1, True)], 1)


def apart(a, b):
    """The largest distance between samples from the same noise; infinite where one escaped."""
    gap = (a - b).flatten(1).norm(dim=1)
    return gap.nan_to_num(math.inf).max().item()


x = lookalikes[2]["face"]
brute = {
    "affine": (Span(x, monomials(1)), Affine.fit(x)),
    "degree 2": (Span(x, repeated), Polynomial.fit(x, degree=2, basis="joint")),
    "degree 3": (Span(x, monomials(3)), Polynomial.fit(x, degree=3, basis="joint")),
}
brute_gap = {
    name: apart(*(dc.sampling.ddim(f, plane_noise, levels) for f in pair))
    for name, pair in brute.items()
}
print("\n".join(f"{name}: {gap:.1e}" for name, gap in brute_gap.items()))
assert max(brute_gap.values()) < 1e-6

# %% tags=["remove-input"]


def power_of_ten(value, digits=0):
    """0.000013 as 1.3·10⁻⁵."""
    if value == 0:
        return "0"
    factor, exponent = f"{value:.{digits}e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{factor}·10{raised}"


dc.runtime.report(unify_brute_gap=power_of_ten(max(brute_gap.values())))

# %% [markdown]
# The samples are those of the package's formulas: the largest distance is
# {glue:text}`unify_brute_gap`. For degree 2 we fed in two redundant features on purpose: the Gram
# matrix is singular and nothing breaks.
#
# (sec-unify-table)=
# ## What each architecture sees
#
# To know what an architecture sees, write out {eq}`eq-unify-seen`.
#
# ```{prf:corollary} The statistics of each architecture
# :label: cor-unify-rows
#
# The best denoisers at all levels, and so the samples, depend on the target only through
#
# - **affine maps**: $\mu$ and $\Sigma$;
# - **circular convolutions** of window $W$ with one offset: the average grey and the
#   autocovariance, averaged over places, at the differences of two places of $W$; for the full
#   window, the grey and the power spectrum;
# - **polynomials of degree $p$**: the moments of order at most $2p$;
# - **blocks**, each denoised from itself alone: the law of each block; if the blocks share one
#   function, the average of these laws;
# - **windows**, where each pixel is denoised from a window around it: the law of each window;
# - **equivariant** functions, $f(gy) = g f(y)$ for a finite group of orthogonal maps $g$: the law
#   of $gx$ with $g$ drawn uniformly;
# - **all functions**: everything. Two different targets have different denoisers at every
#   $\sigma > 0$.
# ```
#
# ```{prf:proof}
# Noise is independent of $x$, so averages over it produce powers of $\sigma$ and nothing else of
# the target.
#
# *Affine*, $f(y) = Ay + b$: $r_\sigma(f) = \operatorname{tr}(A\,\mathbb E[xx^\top]) + b\cdot\mu$,
# and $G_\sigma$ has the averages $\mathbb E[yy^\top] = \mathbb E[xx^\top] + \sigma^2 I$ and $\mu$.
#
# *Convolutions*, $f(y)_i = \sum_{w \in W} h_w y_{i+w} + b$, indices modulo the picture:
#
# $$r_\sigma(f) = \sum_w h_w \sum_i \mathbb E[x_i x_{i+w}] + b\sum_i\mu_i ,$$
#
# and $G_\sigma$ of two kernels contains
# $\sum_i \mathbb E[x_{i+w}x_{i+w'}] = \sum_i \mathbb E[x_i x_{i+w'-w}]$ for $w$ and $w'$ in $W$.
# The autocovariance over all differences and the power spectrum are Fourier transforms of one
# another.
#
# *Polynomials*: with monomials $y^a = \prod_k y_k^{a_k}$, $r_\sigma$ contains
# $\mathbb E[x_i\, y^a]$ and $G_\sigma$ contains $\mathbb E[y^{a+b}]$, of degree at most $p + 1$ and
# $2p$. Expand $y = x + \sigma n$ by the binomial theorem: moments of $x$ of at most that order.
#
# *Blocks*, $f(y)_b = f_b(y_b)$: $r_\sigma(f) = \sum_b \mathbb E[x_b\cdot f_b(y_b)]$, and likewise
# $G_\sigma$. Each term needs the law of $x_b$ only; with one function for all, the sum needs the
# sum of the laws. *Windows*, $f(y)_i = f_i(y_{W(i)})$, are the same with a term for each pixel:
# $\mathbb E[x_i\,f_i(y_{W(i)})]$ needs the law of $x$ on the window $W(i)$, of which $i$ is one.
#
# *Equivariant*: replace $x$ by $gx$. As $g^{-1}n$ is noise like $n$,
#
# $$\begin{aligned}
# \mathbb E[gx\cdot f(gx + \sigma n)] &= \mathbb E[gx\cdot g f(x + \sigma g^{-1}n)] \\
# &= \mathbb E[x\cdot f(x + \sigma n)] .
# \end{aligned}$$
#
# So $x$, each $gx$, and the mixture of all of them have the
# same $r_\sigma$; and the same $G_\sigma$.
#
# *All functions*: the best denoiser is $\mathbb E[x \mid y] = y + \sigma^2\nabla\log p_\sigma(y)$.
# It fixes $\nabla\log p_\sigma$, so $p_\sigma$, which integrates to 1. The characteristic function of
# $x$ is that of $p_\sigma$ divided by $e^{-\sigma^2\norm{t}^2/2}$, and it fixes the target.
# ```
#
# Not every architecture is a linear space. The sum of two maps of rank $k$ has rank $2k$ in
# general; a network with a bounded weight norm, or one that training has not finished with, is a
# *part* of a larger space. The theorem has a second form that covers these.
#
# ```{prf:proposition} Parts of a space see no more than the space
# :label: prop-unify-subsets
#
# Let $f_\theta$, for parameters $\theta$, be functions in the linear space $\mathcal F_\sigma$. For
# two targets with the same $r_\sigma$ and $G_\sigma$ on $\mathcal F_\sigma$ the losses
# $\mathbb E\norm{x - f_\theta(y)}^2$ differ by a number that does not depend on $\theta$. So the
# targets have the same minimisers over $\theta$, also with any penalty on $\theta$ added, and where
# the loss is differentiable the same gradient descent from the same start, stopped at any time.
# ```
#
# ```{prf:proof}
# The loss is
#
# $$\mathbb E\norm{x - f_\theta(y)}^2 = \mathbb E\norm{x}^2 - 2\,r_\sigma(f_\theta) +
# G_\sigma(f_\theta, f_\theta) .$$
#
# Only the first term may differ, and it does not contain $\theta$.
# ```
#
# ```{prf:corollary} A bottleneck of rank k
# :label: cor-unify-bottleneck
#
# The best affine denoiser of rank at most $k$ depends on the target only through $\mu$ and the $k$
# largest eigenvalues of $\Sigma$ with their eigenvectors (where the $k$-th exceeds the next).
# Two targets that share these generate the same samples, whatever else they vary in.
# ```
#
# ```{prf:proof}
# By {prf:ref}`thm-bottle-linear` the only best one has the matrix
# $A = \sum_{i\le k}\frac{\lambda_i}{\lambda_i + \sigma^2}\,u_iu_i^\top$ and the offset $\mu - A\mu$.
# ```
#
# Here is the table of the book. The chapters that derive a row are linked.
#
# | architecture | sees of the target | generates | law = target for | chapter |
# |---|---|---|---|---|
# | all functions | everything | the $N$ training points, uniformly | every target; here, the training set | {doc}`03 <03_the_perfect_denoiser_copies>` |
# | affine | $\mu$, $\Sigma$ | $\mathcal N(\mu, \Sigma)$ | Gaussians | {doc}`04 <04_linear>` |
# | convolution, full kernel | grey, power spectrum | stationary Gaussian texture | stationary Gaussians | {doc}`05 <05_convolutional>` |
# | convolution, $k\times k$ | autocovariance up to shifts of $k-1$ | stationary Gaussian, distorted spectrum | white noise | {doc}`05 <05_convolutional>` |
# | polynomial of degree $p$ | moments of order $\le 2p$ | polynomial push-forward of noise | Gaussians | {doc}`06 <06_polynomial>` |
# | linear bottleneck, rank $k$ | $\mu$, $k$ eigenpairs of $\Sigma$ | $\mathcal N(\mu, U_k\Lambda_kU_k^\top)$ | Gaussians on a $k$-plane | {doc}`07 <07_bottleneck>` |
# | fixed code $Wy$, free decoder | law of $(Wx, \mathbb E[x\mid Wx])$ | $\mathbb E[x\mid Wx]$ | targets that $Wx$ determines | {doc}`07 <07_bottleneck>` |
# | pixel by pixel | each pixel's law | independent pixels | products | {doc}`08 <08_factorised_and_equivariant>` |
# | blocks | each block's law | independent blocks: chimeras | products of blocks | {doc}`08 <08_factorised_and_equivariant>` |
# | equivariant | the orbit of the target | all shifted training points, uniformly | invariant targets | {doc}`08 <08_factorised_and_equivariant>` |
# | codebook of $k$ words | not a linear space: the centroids of $k$-means, and $\mathbb E[x\mid y]$ to choose | the $k$ centroids, not as often as their cells | two equally likely points | {doc}`07 <07_bottleneck>` |
# | shallow ReLU of least norm | not a linear space: see there | training points, and sums of them | some small sets | {doc}`21 <21_shallow_relu>` |
#
# "Generates" is the limit of many steps from infinite noise; the chapters give finite schedules. The
# last column but one names targets for which that is the target itself.
# Read the second column as a list of *blind spots*: whatever is not in it can be changed without
# changing one sample.

# %% [markdown]
# (sec-unify-grid)=
# ## The table as a picture

# %% mystnb={"image": {"alt": "A grid of scatter plots. Rows: three clusters, spiral, chessboard, face. Columns: the target, and 300 samples each of an affine denoiser (round clouds), a bottleneck of rank 1 (a line), a polynomial of degree 3 (a soft shape without holes), coordinates by themselves (a plaid of products), and the unrestricted denoiser (the target again)."}, "figure": {"caption": "Rows: targets, here with equal moments up to order 2 only. Columns: what each architecture generates from one and the same noise. First column: the target itself. Affine and bottleneck are the same in all rows.", "name": "fig-unify-grid"}} tags=["hide-input"]
columns = {
    "affine": Affine.fit,
    "rank 1": lambda x: LinearBottleneck.fit(x, rank=1),
    "degree 3": lambda x: Polynomial.fit(x, degree=3, basis="joint"),
    "coordinates": Pixelwise.fit,
    "all functions": Bayes.fit,
}
tilt = torch.tensor([[1.25, 0.35], [0.35, 0.85]], dtype=torch.float64)  # so that rank 1 is defined
rows = {name: x @ tilt for name, x in drawn.items()}
pictures = {
    (target, name): dc.sampling.ddim(fit(x), plane_noise, levels)
    for target, x in rows.items()
    for name, fit in columns.items()
}
fig, axes = plt.subplots(len(rows), 1 + len(columns), figsize=(8.4, 5.2))
for line, (target, x) in zip(axes, rows.items(), strict=True):
    line[0].plot(*x.T, ".", ms=1.6, color=COLORS["data"])
    line[0].set_ylabel(target, fontsize=9.5)
    for ax, name in zip(line[1:], columns, strict=True):
        ax.plot(*pictures[target, name].T, ".", ms=1.6, color=COLORS["generated"])
for ax, name in zip(axes[0], ["target", *columns], strict=True):
    ax.set_title(name, fontsize=9.5)
for ax in axes.flat:
    ax.set(xlim=(-2.5, 2.5), ylim=(-1.9, 1.9), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
plt.show()
same_columns = {
    name: max(apart(pictures["face", name], pictures[t, name]) for t in rows) for name in columns
}
assert max(same_columns["affine"], same_columns["rank 1"]) < 1e-9
assert min(same_columns[name] for name in ("degree 3", "coordinates", "all functions")) > 0.1

# %% [markdown]
# Read it by columns. A column whose pictures agree is an architecture that cannot see what the
# rows differ in. Here the targets share mean and covariance, so the first two columns are constant:
# sample by sample, to rounding. Degree 3 sees more, and rounds off what it sees. Coordinates by
# themselves keep both marginals and lose the shape. The unrestricted denoiser copies.
#
# (sec-unify-moments)=
# ## Certificate: a staircase
#
# The corollary says of polynomials: *degree $p$ cannot tell targets with equal moments up to order
# $2p$ apart*. Each part of that is tested: equal samples up to $p = q/2$ for targets that share
# order $q$, different samples beyond. All three samplers must obey.

# %% mystnb={"image": {"alt": "Three panels of points on a logarithmic scale, for moments equal up to order 2, 4 and 6. The largest distance between samples of two targets lies at rounding for degree at most half the order and near one for every larger degree."}, "figure": {"caption": "Largest distance between samples from the same noise, over all pairs of the four targets, against the degree of the denoiser. Green: the theorem says zero. Orange: the degree sees more than the targets share.", "name": "fig-unify-staircase"}} tags=["hide-input"]
degrees = (1, 2, 3, 4, 5)
few = plane_noise[: run.size(smoke=50, book=200)]
samplers = {
    "DDIM": lambda f: dc.sampling.ddim(f, few, levels),
    "Heun": lambda f: dc.sampling.heun(f, few, levels),
    "ancestral": lambda f: dc.sampling.ancestral(f, few, levels, seed=3, churn=2.0),
}
stair = {}
for order, data in lookalikes.items():
    for degree in degrees:
        fits = [Polynomial.fit(x, degree=degree, basis="joint") for x in data.values()]
        for name in samplers if degree <= 3 else ("DDIM",):
            made = [samplers[name](fit) for fit in fits]
            stair[order, degree, name] = max(apart(*two) for two in itertools.combinations(made, 2))
blind = {key: gap for key, gap in stair.items() if 2 * key[1] <= key[0]}
seeing = {key: gap for key, gap in stair.items() if 2 * key[1] > key[0]}
assert max(blind.values()) < 1e-6
assert min(seeing.values()) > 1e-2

fig, axes = plt.subplots(1, 3, figsize=(7.6, 2.7), sharey=True)
for ax, order in zip(axes, lookalikes, strict=True):
    for degree in degrees:
        gap = min(stair[order, degree, "DDIM"], 1e2)  # an escaped path is drawn at the top
        color = COLORS["law" if 2 * degree <= order else "generated"]
        ax.plot(degree, max(gap, 1e-16), "o", ms=7, color=color)
    ax.set(yscale="log", ylim=(1e-16, 1e3), xlim=(0.5, 5.5), xticks=degrees)
    ax.set(title=f"equal up to order {order}", xlabel="degree p")
axes[0].set_ylabel("largest distance")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    unify_blind_gap=power_of_ten(max(blind.values())),
    unify_seeing_gap=f"{min(seeing.values()):.2g}",
    unify_blind_runs=len(blind),
)

# %% [markdown]
# Below the stair: at most {glue:text}`unify_blind_gap`, over {glue:text}`unify_blind_runs`
# combinations of order, degree and sampler. Above it: at least {glue:text}`unify_seeing_gap`.
#
# A distance between samples from the *same* noise is a sharp instrument. Is the difference above the
# stair one that a reader of samples alone would find? Draw fresh noise for each target, and ask the
# energy test of {doc}`04_linear` whether the two sets of samples come from one law.

# %%
size = run.size(smoke=800, book=1500)


def fresh(fit, x, seed, n=size):
    start = dc.sampling.initial_noise(n, x.shape[1:], seed=seed).double()
    return dc.sampling.ddim(fit(x), start, levels)


def tell_apart(fit, a, b, n=size, permutations=999):
    """p-value that targets a and b generate one law, from independent noise."""
    made = fresh(fit, a, seed + 21, n), fresh(fit, b, seed + 22, n)
    return dc.metrics.energy_test(*made, permutations=permutations, seed=seed).p_value


pair = lookalikes[2]["three clusters"], lookalikes[2]["face"]
p_values = {name: tell_apart(fit, *pair) for name, fit in architectures.items()}
print("\n".join(f"{name:26} p = {p:.3f}" for name, p in p_values.items()))
assert (
    p_values["affine"] > 0.001 == p_values["polynomial of degree 3"]
)  # 0.001: the smallest of 999 + 1

# %% tags=["remove-input"]
dc.runtime.report(
    unify_p_affine=f"{p_values['affine']:.2f}",
    unify_p_two=f"{p_values['polynomial of degree 2']:.3f}",
    unify_p_three=f"{p_values['polynomial of degree 3']:.3f}",
)

# %% [markdown]
# For clusters and face with equal moments up to order 2, the affine denoiser's samples pass as one
# law (p = {glue:text}`unify_p_affine`, as they must), those of degree 2 give
# {glue:text}`unify_p_two` and those of degree 3 {glue:text}`unify_p_three`, where 0.001 is the
# smallest p that 999 permutations can give.
#
# How were the twins made? `dc.data.twins.moment_twin` starts from one shape and moves its points
# until their moments are right: Newton's method, each step of least length. With $2\cdot 300$ coordinates
# and 27 moments up to order 6 there is much room. The idea of plots that share their statistics goes back
# to {cite:t}`anscombe1973graphs`; {cite:t}`matejka2017same` drew a dinosaur with the mean, variance
# and correlation of a star. Here the order is free, and a generative model is what is fooled.
#
# **Two boards.** Some twins need no computer. Write row and column of an 8 × 8 board in binary, and
# colour a field dark if there are an even number of ones. The dark fields and the light fields have
# the same moments of all orders up to 5, exactly: this is Prouhet's theorem of 1851
# {cite:p}`wright1959prouhet` in the plane. The two targets are each other's negatives, and disjoint.

# %% mystnb={"image": {"alt": "Two boards of dark squares, one the negative of the other. Below them samples of polynomial denoisers as rings and dots: at degree 2 each dot is in the middle of a ring, at degree 3 many dots have left theirs."}, "figure": {"caption": "Top: 32 dark fields of an 8 × 8 board and the 32 light ones, as sets of points. Bottom: samples from the same noise with denoisers of degree 2 and 3, rings from the dark fields, dots from the light ones. For degree 2 each dot sits in the middle of its ring.", "name": "fig-unify-boards"}} tags=["hide-input"]
ones = torch.tensor([i.bit_count() for i in range(8)])
dark = ((ones[:, None] + ones[None]) % 2 == 0).nonzero().double() / 4 - 7 / 8  # (32, 2)
light = ((ones[:, None] + ones[None]) % 2 == 1).nonzero().double() / 4 - 7 / 8
board_gap = {}
fig, axes = plt.subplots(2, 2, figsize=(6.2, 6.2))
for ax, fields, title in zip(axes[0], (dark, light), ("dark fields", "light fields"), strict=True):
    ax.plot(*fields.T, "s", ms=11, color=COLORS["data"])
    ax.set_title(title)
for ax, degree in zip(axes[1], (2, 3), strict=True):
    a, b = (
        dc.sampling.ddim(Polynomial.fit(f, degree=degree, basis="joint"), plane_noise, levels)
        for f in (dark, light)
    )
    board_gap[degree] = apart(a, b)
    ax.plot(*a[:60].T, "o", ms=8, mfc="none", mew=1, color=COLORS["noise"])
    ax.plot(*b[:60].T, "o", ms=3.5, color=COLORS["generated"])
    ax.set_title(f"generated, degree {degree}")
for ax in axes.flat:
    ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])
    ax.grid(False)
plt.show()
equal_orders = (twins.moments(dark, 6) - twins.moments(light, 6)).abs() < 1e-12
assert board_gap[2] < 1e-9 < 1e-3 < board_gap[3]

# %% tags=["remove-input"]
dc.runtime.report(
    unify_board_two=power_of_ten(board_gap[2]),
    unify_board_three=f"{board_gap[3]:.2g}",
    unify_board_equal=f"{int(equal_orders.sum())} of {len(equal_orders)}",
)

# %% [markdown]
# {glue:text}`unify_board_equal` moments up to order 6 agree; the last one is that of $x_1^3x_2^3$.
# Degree 2, which sees order 4, generates the same samples from the board and from its negative (largest distance
# {glue:text}`unify_board_two`). Degree 3 sees order 6: {glue:text}`unify_board_three`.
#
# (sec-unify-images)=
# ## Images that look nothing alike
#
# Each row of the table has a blind spot, so each has {term}`twins` among images. We build one for the
# digits and each of six architectures.
#
# - *Affine.* The images $\mu \pm \sqrt{r\lambda_i}\,u_i$: two for each of the $r$ eigendirections. Their mean
#   is $\mu$, and their covariance $\frac1{2r}\sum_i 2r\lambda_iu_iu_i^\top = \Sigma$.
# - *Bottleneck of rank 8.* The same with eight directions only. Everything else is removed.
# - *Convolution.* Every digit, its Fourier phases replaced by random ones: same spectrum, no
#   shape.
# - *Pixel by pixel.* The values of each pixel, dealt anew to the images.
# - *Blocks of 4 × 4.* The blocks dealt anew.
# - *Translation-equivariant.* Each digit, shifted cyclically by its own random amount.

# %%
digits = dc.data.load("digits").subset(run.size(smoke=150, book=600), seed=seed).x.double()
generator = torch.Generator().manual_seed(seed + 5)


def scramble_phases(x):
    phase = torch.fft.fft2(torch.randn(x.shape, generator=generator, dtype=x.dtype)).sgn()
    phase[..., 0, 0] = 1  # the grey stays
    return torch.fft.ifft2(torch.fft.fft2(x) * phase).real


def deal_blocks(x, block):
    """Give each image's blocks to other images, each place by itself."""
    n, side = len(x), 8 // block
    tiles = x.reshape(n, side, block, side, block).permute(1, 3, 0, 2, 4).flatten(0, 1)
    dealt = torch.stack([t[torch.randperm(n, generator=generator)] for t in tiles])
    dealt = dealt.reshape(side, side, n, block, block).permute(2, 0, 3, 1, 4)
    return dealt.reshape(n, 1, 8, 8)


def shift_each(x):
    by = torch.randint(8, (len(x), 2), generator=generator).tolist()
    return torch.stack([image.roll((i, j), (1, 2)) for image, (i, j) in zip(x, by, strict=True)])


def blocks(x):
    return Blockwise.fit(x, block=4)


pairs = {  # architecture: fit, twin of the digits, a richer architecture
    "affine": (Affine.fit, twins.second_twin(digits), Bayes.fit),
    "rank 8": (lambda x: LinearBottleneck.fit(x, rank=8), twins.second_twin(digits, 8), Affine.fit),
    "convolution": (Convolutional.fit, scramble_phases(digits), Affine.fit),
    "pixelwise": (Pixelwise.fit, deal_blocks(digits, 1), blocks),
    "blocks": (blocks, deal_blocks(digits, 4), Bayes.fit),
    "equivariant": (Equivariant.fit, shift_each(digits), Bayes.fit),
}
image_noise = dc.sampling.initial_noise(6, (1, 8, 8), seed=seed + 6).double()
image_table, images = {}, {}
for name, (fit, twin, richer) in pairs.items():
    made = [dc.sampling.ddim(fit(x), image_noise, levels) for x in (digits, twin)]
    control = [dc.sampling.ddim(richer(x), image_noise, levels) for x in (digits, twin)]
    images[name] = (twin[torch.linspace(0, 0.45 * len(twin), 3).long()], made)
    image_table[name] = apart(*made), apart(*control)
print(f"{'':12} same to   one step richer")
print("\n".join(f"{n:12} {gap:7.0e} {more:17.2g}" for n, (gap, more) in image_table.items()))
assert max(gap for gap, _ in image_table.values()) < 1e-5
assert min(gap for _, gap in image_table.values()) > 0.3

# %% mystnb={"image": {"alt": "Six rows of images, four groups of three images each. First group: the same three digits. Second group: the twin data sets, plain patterns, textures, noise, recombined and shifted digits. Third and fourth group: generated samples, equal image by image in each row."}, "figure": {"caption": "A row for each architecture. From left: three images of the digits; three of a data set that this architecture cannot tell from them; samples generated from the digits; samples generated from the twin with the same noise. The last two groups agree image by image.", "name": "fig-unify-images"}} tags=["hide-input"]
fig, axes = plt.subplots(6, 4, figsize=(7.6, 4.4))
fig.get_layout_engine().set(wspace=0.06)
titles = ("digits", "twin", "from digits", "from the twin")
for row, (name, (twin, made)) in enumerate(images.items()):
    for ax, group, title in zip(axes[row], (digits, twin, *made), titles, strict=True):
        dc.style.image_grid(group[:3].numpy(), columns=3, ax=ax)
        if row == 0:
            ax.set_title(title, fontsize=9.5)
    axes[row, 0].text(-2, 4, name, ha="right", va="center", fontsize=9.5)
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    unify_images_gap=power_of_ten(max(gap for gap, _ in image_table.values())),
    unify_images_control=f"{min(gap for _, gap in image_table.values()):.2g}",
    unify_images_twins=len(pairs["affine"][1]),
)

# %% [markdown]
# In each row two sets of images that no one would confuse generate the same samples. The largest distance over
# all rows is {glue:text}`unify_images_gap`, which is rounding. One step richer, on the
# same pairs, and the samples of the two sets differ by {glue:text}`unify_images_control` or more.
#
# For the affine denoiser, {glue:text}`unify_images_twins` patterns of light and dark *are* the
# digits. It never saw a digit. It saw a mean and a covariance, and many things have those.
#
# **The law holds for the twin.** Fresh samples of the denoiser that was fitted to the plain patterns are
# tested against the law that was computed from the digits. As a control, the same samples are tested
# against the law of another architecture, rank 8: it is refused.

# %%
samples = fresh(Affine.fit, pairs["affine"][1], seed + 31, run.size(smoke=500, book=2000))
law = Affine.fit(digits).law(levels)
agreement = law.agreement(samples, alpha=LEVEL)
other = LinearBottleneck.fit(digits, rank=8).law(levels).agreement(samples, alpha=LEVEL)
assert agreement.ok
assert not other.ok
agreement

# %% [markdown]
# (sec-unify-not-necessary)=
# ## Seeing is not using
#
# The theorem says that equal statistics are *enough* for equal samples. Are they needed? For all
# functions yes ({prf:ref}`cor-unify-rows`), and for affine maps too, as $A_\sigma$ fixes $\Sigma$.
# In between: no.
#
# ```{prf:proposition} A polynomial may ignore what it sees
# :label: prop-unify-not-used
#
# Let a target on the line have finite moments up to order $2p$, and share those of
# $\mathcal N(\mu, \lambda)$ up to order $p + 1$. Then its best denoiser of degree $p$ is the affine one, and it generates what $\mathcal N(\mu, \lambda)$
# generates, whatever its moments of order $p + 2$ to $2p$.
# ```
#
# ```{prf:proof}
# Let $D$ be the affine denoiser of $\mathcal N(\mu, \lambda)$. For that target it is the posterior
# mean, so $\mathbb E[D(y)\,y^j] = \mathbb E[x\,y^j]$ for all $j$. For $j \le p$ both sides contain
# moments of $x$ up to order $p + 1$ only. They are those of our target too, so $D$ satisfies
# condition 1 of {prf:ref}`thm-unify-moments` in the space of polynomials of degree $p$.
# ```
#
# In one dimension this is also the only way to become affine: {prf:ref}`thm-poly-gaussian`.
#
# Three atoms, $-\sqrt3$, $0$ and $\sqrt3$ with probabilities 1/6, 2/3, 1/6, share the moments of
# $\mathcal N(0, 1)$ up to order 5. (They are the nodes of Gauss's quadrature, `dc.data.toy.gauss(3)`.)
# Their sixth moment is 9, and that of the normal law is 15. Degree 3 sees order 6. It sees the
# difference, and does nothing with it.

# %%
atoms = math.sqrt(3) * torch.tensor([[-1.0], [0], [0], [0], [0], [1]], dtype=torch.float64)
line_noise = dc.sampling.initial_noise(400, (1,), seed=seed + 8).double()
gaussian = dc.sampling.ddim(
    Affine(torch.zeros(1), torch.eye(1, dtype=torch.float64)), line_noise, levels
)
ignored = {
    p: apart(dc.sampling.ddim(Polynomial.fit(atoms, degree=p), line_noise, levels), gaussian)
    for p in (1, 2, 3, 4, 5)
}
print("\n".join(f"degree {p}: {gap:.1e}" for p, gap in ignored.items()))
assert max(ignored[p] for p in (1, 2, 3, 4)) < 1e-6 < 1e-2 < ignored[5]

# %% tags=["remove-input"]
dc.runtime.report(
    unify_ignored=power_of_ten(max(ignored[p] for p in (1, 2, 3, 4))),
    unify_not_ignored="a path escapes" if math.isinf(ignored[5]) else f"{ignored[5]:.2g}",
)

# %% [markdown]
# Samples of three atoms and of a Gaussian: the same for degrees 1 to 4, to {glue:text}`unify_ignored`; for
# degree 5 the largest distance is {glue:text}`unify_not_ignored`. So the table lists what an architecture *can* see.
# Which of it matters is decided by the target.
#
# (sec-unify-deviations)=
# ## Does imperfect training see more?
#
# Nobody trains to the minimum. {doc}`04_linear` found how finite steps, a ridge, early stopping and
# finite data change the law. Do they also let the sampler see *more* of the target?
#
# - **Finite steps**: no. {prf:ref}`thm-unify-moments` holds for each schedule.
# - **A ridge, a bounded norm, early stopping, momentum, Adam**, with exact gradients of the expected
#   loss: no, by {prf:ref}`prop-unify-subsets`.
# - **Mini-batches**: yes, a little. The gradient of a batch is right on average, and its *noise*
#   sees moments of twice the order.
# - **A finite training set** sees its own moments, not those of the target. How far the former
#   scatter about the latter depends, once more, on moments of twice the order.
#
# The smallest example of the third: one weight, one number.
#
# ```{prf:proposition} Stochastic gradients see the fourth moment
# :label: prop-unify-sgd
#
# Let $w$ be a single weight, $D(y) = wy$, trained by $w \leftarrow w - \eta\,\frac{d}{dw}(x - wy)^2$
# with a fresh example and fresh noise in each step. With $m_t = \mathbb E\,w_t$ and $s_t =
# \mathbb E\,w_t^2$,
#
# $$\begin{aligned}
# m_{t+1} &= (1 - 2\eta\,\mathbb E y^2)\,m_t + 2\eta\,\mathbb E[xy], \\
# s_{t+1} &= \bigl(1 - 4\eta\,\mathbb E y^2 + 4\eta^2\,\mathbb E y^4\bigr)\,s_t \\
# &\quad + \bigl(4\eta\,\mathbb E[xy] - 8\eta^2\,\mathbb E[xy^3]\bigr)\,m_t + 4\eta^2\,\mathbb E[x^2y^2].
# \end{aligned}$$
#
# The mean of the trained weight depends on the second moment of the target alone; its variance
# depends on the fourth as well, and on no other.
# ```
#
# ```{prf:proof}
# A step is $w' = (1 - 2\eta y^2)\,w + 2\eta xy$, and $w$ is independent of the new $x$ and $y$. Take
# the mean of $w'$ and of its square. Odd powers of the noise average to zero: what is left of $x$
# in $\mathbb E y^4$, $\mathbb E[xy^3]$ and $\mathbb E[x^2y^2]$ are its moments of order 2 and 4.
# ```

# %%
deviant = lookalikes[2]
ridge_gap = {
    "10 steps": [dc.sampling.ddim(Affine.fit(x), plane_noise, dc.noise.karras(10))
                 for x in deviant.values()],
    "ridge 0.05": [dc.sampling.ddim(Affine.fit(x, ridge=0.05), plane_noise, levels)
                   for x in deviant.values()],
    "early stopping": [dc.sampling.ddim(Affine.fit(x, stopped_at=0.7), plane_noise, levels)
                       for x in deviant.values()],
}  # fmt: skip
ridge_gap = {
    name: max(apart(made[0], other) for other in made[1:]) for name, made in ridge_gap.items()
}
print("\n".join(f"{name}: {gap:.1e}" for name, gap in ridge_gap.items()))
assert max(ridge_gap.values()) < 1e-9


def trained_weights(values, probabilities, runs, steps=60, rate=0.05, sigma=0.5, seed=0):
    """Single weights after SGD with one example a step: (runs,)."""
    rng = np.random.default_rng(seed)
    w = np.zeros(runs)
    for _ in range(steps):
        x = rng.choice(values, runs, p=probabilities)
        y = x + sigma * rng.standard_normal(runs)
        w += 2 * rate * (x - w * y) * y
    return w


def predicted_weights(fourth, steps=60, rate=0.05, sigma=0.5):
    """Mean and variance by the proposition, for second moment 1 and odd moments 0."""
    yy, xy3, x2y2 = 1 + sigma**2, fourth + 3 * sigma**2, fourth + sigma**2
    y4 = fourth + 6 * sigma**2 + 3 * sigma**4
    m = s = 0.0
    for _ in range(steps):
        s = (1 - 4 * rate * yy + 4 * rate**2 * y4) * s + (4 * rate - 8 * rate**2 * xy3) * m \
            + 4 * rate**2 * x2y2  # fmt: skip
        m = (1 - 2 * rate * yy) * m + 2 * rate
    return m, s - m**2


runs = run.size(smoke=4000, book=40_000)
two_point = trained_weights([-1, 1], [0.5, 0.5], runs, seed=seed)  # fourth moment 1
three_point = trained_weights([-2, 0, 2], [1 / 8, 3 / 4, 1 / 8], runs, seed=seed + 1)  # 4


def p_of_weights(w, fourth):
    """χ² test of mean and variance of w, with the covariance of the two."""
    mean, variance = predicted_weights(fourth)
    off = np.stack([w - mean, (w - mean) ** 2 - variance])
    middle = off.mean(1)
    return stats.chi2.sf(len(w) * middle @ np.linalg.solve(np.cov(off), middle), 2)


variances = [predicted_weights(fourth)[1] for fourth in (1, 4)]
p_sgd = [p_of_weights(two_point, 1), p_of_weights(three_point, 4)]
p_swapped = [p_of_weights(two_point, 4), p_of_weights(three_point, 1)]
print(f"variance of the weight: {variances[0]:.5f} and {variances[1]:.5f}")
print(f"p = {p_sgd[0]:.2f} and {p_sgd[1]:.2f}; twins swapped: {max(p_swapped):.1e}")
assert min(p_sgd) > LEVEL > max(p_swapped)

# %% tags=["remove-input"]
dc.runtime.report(
    unify_deviation_gap=power_of_ten(max(ridge_gap.values())),
    unify_sgd_p=f"{min(p_sgd):.2f}",
    unify_sgd_ratio=f"{variances[1] / variances[0]:.1f}",
)

# %% [markdown]
# Finite steps, ridge, early stopping: clusters, spiral, chessboard and face still generate the same
# samples (largest distance {glue:text}`unify_deviation_gap`).
# Stochastic gradients: two targets with equal second moments, $\pm1$ and $\{-2, 0, 2\}$, give
# weights of the same mean, but the variance over runs is {glue:text}`unify_sgd_ratio` times as
# large for the second. Both follow the proposition (χ² test of mean and
# variance, smaller p {glue:text}`unify_sgd_p`), and neither follows the other's numbers.
# So training noise can leak what the architecture cannot see, as a difference *between training runs*. Its
# average tells nothing, and it falls with the learning rate.
#
# (sec-unify-richer)=
# ## What does a richer architecture gain?
#
# Let one architecture contain another, as polynomials of degree 3 contain affine maps, and all
# functions contain both.
#
# ```{prf:proposition} Nested spaces
# :label: prop-unify-nested
#
# Let $\mathcal F \subset \mathcal F'$ be linear spaces as in {prf:ref}`thm-unify-moments` with best
# denoisers $D$ and $D'$, and let $\hat x(y) = \mathbb E[x\mid y]$. Then
#
# $$\begin{aligned}
# \mathbb E\norm{x - D}^2 &= \mathbb E\norm{x - D'}^2 + \mathbb E\norm{D' - D}^2, \\
# \mathbb E\norm{x - D}^2 &= \mathbb E\norm{x - \hat x}^2 + \mathbb E\norm{\hat x - D}^2 .
# \end{aligned}$$
#
# The loss never rises with the architecture, and what $D$ loses more than the perfect denoiser is
# its distance from it.
# ```
#
# ```{prf:proof}
# $D' - D$ lies in $\mathcal F'$, so by condition 1 $\mathbb E[(x - D')\cdot(D' - D)] = 0$. Hence
# $\mathbb E\norm{x - D}^2 = \mathbb E\norm{(x - D') + (D' - D)}^2 = \mathbb E\norm{x - D'}^2 +
# \mathbb E\norm{D' - D}^2$. The second equation is the case of all functions, where $D' = \hat x$.
# ```

# %% mystnb={"image": {"alt": "Excess loss against noise level on logarithmic axes for three clusters: affine on top, then degree 2, degree 3 and degree 5 below, all falling toward large noise; dots measured by simulation lie on lines computed as distances between denoisers."}, "figure": {"caption": "Three clusters: what each architecture loses more than the perfect denoiser, against the noise level. Lines: mean squared distance from the perfect denoiser. Dots: difference of the losses, with two standard errors, where the simulation resolves it. A richer architecture is never worse.", "name": "fig-unify-nested"}} tags=["hide-input"]
nested = {"affine": Affine.fit} | {
    f"degree {p}": (lambda x, p=p: Polynomial.fit(x, degree=p, basis="joint")) for p in (2, 3, 5)
}
shape = lookalikes[2]["three clusters"]
perfect = Bayes.fit(shape)
fits = {name: fit(shape) for name, fit in nested.items()}
grid = [0.1, 0.2, 0.4, 0.8, 1.2, 1.8]
count = run.size(smoke=4000, book=30_000)
excess = {name: [] for name in fits}
for k, sigma in enumerate(grid):
    generator = torch.Generator().manual_seed(seed + 50 + k)
    x = shape[torch.randint(len(shape), (count,), generator=generator)]
    y = x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    best = perfect(y, sigma)
    for name, fit in fits.items():
        guess = fit(y, sigma)
        more = (x - guess).square().sum(1) - (x - best).square().sum(1)
        distance = (best - guess).square().sum(1)
        gap = more - distance  # mean zero by the proposition
        excess[name].append((
            distance.mean().item(), more.mean().item(), more.std().item() / count**0.5,
            gap.mean().item() / (gap.std().item() / count**0.5),
        ))  # fmt: skip
scores = np.array([[row[3] for row in rows] for rows in excess.values()])  # (architectures, levels)
p_nested = min(1.0, scores.size * 2 * stats.norm.sf(abs(scores).max()))
distances = np.array([[row[0] for row in rows] for rows in excess.values()])
assert p_nested > LEVEL
assert (np.diff(distances, axis=0) < 0).all()

fig, ax = plt.subplots(figsize=(6.6, 3.2))
shades = [COLORS["denoiser"], COLORS["law"], COLORS["generated"], COLORS["warning"]]
for (name, found), color in zip(excess.items(), shades, strict=True):
    distance, more, error, _ = np.array(found).T
    clear = more > 4 * error  # where the simulation resolves the difference
    ax.plot(grid, distance, color=color, label=name)
    ax.errorbar(np.array(grid)[clear], more[clear], 2 * error[clear], fmt="o", ms=5, color=color)
ax.legend(loc="lower center")
ax.set(xscale="log", yscale="log", xlabel="noise level σ", ylabel="excess loss")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    unify_nested_tests=scores.size,
    unify_nested_p=f"{p_nested:.2f}",
    unify_nested_affine=f"{distances[0, 2]:.3f}",
    unify_nested_five=f"{distances[3, 2]:.3f}",
)

# %% [markdown]
# The identity holds at each level and for each architecture (smallest p of
# {glue:text}`unify_nested_tests`, corrected, {glue:text}`unify_nested_p`). At $\sigma = 0.4$ the affine denoiser loses
# {glue:text}`unify_nested_affine` more than the perfect one, degree 5 loses {glue:text}`unify_nested_five`
# more.
# A smaller loss is not a better *law*: the perfect denoiser has the smallest loss of all, and copies.
#
# (sec-unify-aligned)=
# ## When is an architecture right?
#
# Say that an architecture is {term}`aligned` with a target if the posterior mean $\mathbb E[x\mid y]$ lies in
# $\mathcal F_\sigma$ at every level. Then restricting the denoiser costs nothing, and the exact flow, from
# infinite noise, generates the target. Blocks are aligned with targets of independent blocks,
# equivariant functions with invariant targets, affine maps with Gaussians. One might hope that polynomials of degree 3,
# or 30, are aligned with some richer family. They are not.
#
# ```{prf:theorem} Polynomials are aligned with Gaussians only
# :label: thm-unify-aligned
#
# Let $\mathbb E\norm{x} < \infty$, and let the posterior mean $\mathbb E[x \mid y]$ be a polynomial in $y$, of
# any degree, at one level $\sigma > 0$. Then the target is Gaussian (on a plane or a point, perhaps),
# and the polynomial is of degree 1 or 0.
# ```
#
# ```{prf:proof}
# By Tweedie's formula $\nabla\log p_\sigma(y) = (\mathbb E[x\mid y] - y)/\sigma^2$ is a polynomial,
# so $q = \log p_\sigma$ is one too. It is bounded above, since $p_\sigma \le (2\pi\sigma^2)^{-d/2}$. It is
# bounded below by a quadratic: choose $R$ with $\mathbb P(\norm{x} \le R) \ge \frac12$; then
#
# $$p_\sigma(y) \ge \tfrac12 (2\pi\sigma^2)^{-d/2}\, e^{-(\norm{y} + R)^2/2\sigma^2} .$$
#
# A polynomial with $\abs{q(y)} \le c\,(1 + \norm{y}^2)$ has degree at most 2. Its exponential is a
# density, so $p_\sigma$ is a normal density $\mathcal N(\mu, S)$, and its gradient is affine. The characteristic function
# of the target is that of $p_\sigma$ over that of the noise,
#
# $$\mathbb E\,e^{i t\cdot x} = \exp\bigl(i t\cdot\mu - \tfrac12 t^\top(S - \sigma^2 I)\,t\bigr).$$
#
# Its modulus is at most 1 for every $t$, so $S - \sigma^2I$ has no negative eigenvalue, and the target
# is $\mathcal N(\mu, S - \sigma^2 I)$.
# ```
#
# So for no target but a Gaussian, for which degree 1 was enough, is the best polynomial the perfect
# denoiser, at even one level. More features bring it nearer ({prf:ref}`prop-unify-nested`); no finite
# number brings it home. **Check:** for two clusters on the line, the
# excess loss at $\sigma = 0.5$ as a function of the degree, by quadrature; a Gaussian is the control.

# %% mystnb={"image": {"alt": "Excess loss on a logarithmic scale against degree 1, 3, up to 13: for two clusters it falls along a nearly straight line and never reaches zero."}, "figure": {"caption": "Excess loss of the best polynomial at σ = 0.5 against its degree. Target: two clusters on the line. It falls, step by step, and stays above zero.", "name": "fig-unify-aligned"}} tags=["hide-input"]


def excess_on_the_line(density, posterior, degree, at):
    """Weighted least squares of the posterior mean on polynomials, on a fine grid."""
    weight = np.sqrt(density(at) * (at[1] - at[0]))
    basis = np.polynomial.chebyshev.chebvander(at / abs(at).max(), degree)
    q, _ = np.linalg.qr(weight[:, None] * basis)
    goal = weight * posterior(at)
    return float(np.square(goal - q @ (q.T @ goal)).sum())


sigma, at = 0.5, np.linspace(-7, 7, 4001)
two = {  # ±1 with a spread of 0.3; the Gaussian has the same variance
    "density": lambda y: 0.5 * sum(stats.norm.pdf(y, m, math.hypot(0.3, sigma)) for m in (-1, 1)),
    "posterior": lambda y: (
        0.09 * y + sigma**2 * np.tanh(y / (0.09 + sigma**2))
    ) / (0.09 + sigma**2),
}  # fmt: skip
bell = {
    "density": lambda y: stats.norm.pdf(y, 0, math.sqrt(1.09 + sigma**2)),
    "posterior": lambda y: 1.09 * y / (1.09 + sigma**2),
}
odd = (1, 3, 5, 7, 9, 11, 13)
aligned = {
    name: [excess_on_the_line(**target, degree=p, at=at) for p in odd]
    for name, target in (("two clusters", two), ("Gaussian", bell))
}
assert all(a > b > 1e-9 for a, b in itertools.pairwise(aligned["two clusters"]))
assert max(aligned["Gaussian"]) < 1e-20
fig, ax = plt.subplots(figsize=(6, 2.6))
ax.plot(odd, aligned["two clusters"], "o-", color=COLORS["generated"])
ax.set(yscale="log", xlabel="degree p", ylabel="excess loss", xticks=odd, ylim=(1e-3, 1e-1))
ax.minorticks_off()
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    unify_aligned_first=f"{aligned['two clusters'][0]:.3f}",
    unify_aligned_last=f"{aligned['two clusters'][-1]:.4f}",
    unify_aligned_gaussian=power_of_ten(max(aligned["Gaussian"])),
)

# %% [markdown]
# From degree 1 to 13 the excess falls from {glue:text}`unify_aligned_first` to {glue:text}`unify_aligned_last`,
# and by the theorem it never ends at zero. For the Gaussian it is {glue:text}`unify_aligned_gaussian` at most: rounding.
#
# **Aligned is enough; is it needed?** No. Let a denoiser see one coordinate of $y$ only, and answer with any
# function of it: the fixed code of the table, $W = (1, 0)$. Train it on {glue:text}`unify_half_points` points of the clusters. It ignores half of what it is given, so it is not the perfect
# denoiser, and its loss is larger. But no two of these points have the same first coordinate, so that coordinate
# tells everything about $x$, and the law is the target ({prf:ref}`cor-bottle-copies`).

# %%
few_points = shape[::7]
assert len(few_points[:, 0].unique()) == len(few_points)
half_blind = EncoderBottleneck.fit(
    few_points, encoder=torch.tensor([[1.0, 0.0]], dtype=torch.float64)
)
to_the_end = dc.noise.karras(run.size(smoke=60, book=120), sigma_min=1e-5)
made = dc.sampling.ddim(half_blind, plane_noise, to_the_end)
generator = torch.Generator().manual_seed(seed + 70)
x = few_points[torch.randint(len(few_points), (count,), generator=generator)]
y = x + 0.4 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
perfect = Bayes.fit(few_points)
lost = (x - half_blind(y, 0.4)).square().sum(1) - (x - perfect(y, 0.4)).square().sum(1)
copies = dc.metrics.copied_fraction(made, few_points, interval=0.95)
print(f"copies: {copies.value:.3f}, loss above the perfect denoiser's: {lost.mean():.3f}")
assert lost.mean() > 5 * lost.std() / count**0.5
assert copies.value > 0.95

# %% tags=["remove-input"]
dc.runtime.report(
    unify_half_points=len(few_points),
    unify_half_lost=f"{lost.mean().item():.2f}",
    unify_half_copies=f"{100 * copies.value:.0f} %",
)

# %% [markdown]
# At $\sigma = 0.4$ it loses {glue:text}`unify_half_lost` more than the perfect denoiser, and {glue:text}`unify_half_copies` of its samples
# are points of the training set. So a law can be right where the denoiser is not; and the theorem above leaves open whether
# polynomials of some degree do that for some target.
#
# ```{prf:remark} What this says about networks
# :label: rem-unify-networks
#
# The statement is about the architecture and the statistics that it can reach. It says what two
# targets must share to be confused; it does not say that a deep network's function space is small. A network that can represent the posterior mean of its training
# set is the row "all functions", and what keeps it from copying must then be found elsewhere: in training, or in a
# limit of size. Where the architecture does restrict, the restriction can be read off {eq}`eq-unify-seen`.
# ```
#
# ## Exercises
#
# ```{exercise}
# :label: ex-10-project
#
# **Part 2 of the theorem.** Given samples of features, `features` (n, m), and of clean images, `x` (n, d), write
# `project(features, x)`, which returns the matrix $C$ (d, m) of least mean squared error. It must also work when one feature
# is a combination of others.
# ```


# %%
def project(features, x): ...  # your code: return C, shape (d, m)


# dc.exercises.check_project(project)

# %% [markdown]
# ```{solution-start} ex-10-project
# :class: dropdown
# ```
#
# $C = \mathbb E[x\varphi^\top]\,\mathbb E[\varphi\varphi^\top]^+$, with averages over the samples. Where the Gram matrix is nearly
# singular, a least-squares solver on the features themselves loses fewer digits.


# %%
def project_solution(features, x):
    return (x.T @ features) @ torch.linalg.pinv(features.T @ features, hermitian=True)


assert dc.exercises.check_project(project_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-10-sums
#
# **Equal sums.** 0, 3, 5, 6 and 1, 2, 4, 7 have equal sums and equal sums of squares. Write `equal_sums(k)`, which splits
# $0, \dots, 2^{k+1} - 1$ into two halves with equal sums of powers 0 to $k$. Which is the largest degree of a polynomial denoiser
# that confuses the halves for $k = 6$?
# ```


# %%
def equal_sums(k): ...  # your code: return two lists of integers


# dc.exercises.check_equal_sums(equal_sums)

# %% [markdown]
# ```{solution-start} ex-10-sums
# :class: dropdown
# ```
#
# Count the ones in binary: even in one half, odd in the other. The polynomial $\prod_{j \le k}(1 - z^{2^j})$ has a
# coefficient $1$ at $z^v$ for each $v$ of the first half and $-1$ for each of the second. It has $k + 1$ factors, all zero at
# $z = 1$. So it and its first $k$ derivatives are zero there, and these add up to the differences of the power sums.
# Moments up to order 6 confuse degree 3.


# %%
def equal_sums_solution(k):
    numbers = range(2 ** (k + 1))
    return tuple([v for v in numbers if v.bit_count() % 2 == half] for half in (0, 1))


assert dc.exercises.check_equal_sums(equal_sums_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-10-columns
#
# **Blind to correlation.** A pixelwise denoiser sees each pixel's law. Write `column_twin(x)`: for data $x$ of shape $(N, d)$
# another data set that it cannot tell from $x$, with pixels that are (nearly) independent.
# ```


# %%
def column_twin(x): ...  # your code: return data (N, d)


# dc.exercises.check_column_twin(column_twin)

# %% [markdown]
# ```{solution-start} ex-10-columns
# :class: dropdown
# ```
#
# Put each column in a random order of its own.


# %%
def column_twin_solution(x):
    return x.gather(0, torch.rand(x.shape).argsort(0))


assert dc.exercises.check_column_twin(column_twin_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-10-spectrum
#
# **Blind to shape.** A convolution sees a grey and a spectrum. Write `spectrum_twin(x)`: for images $(N, H, W)$ other *real*
# images with the same average grey and the same average power spectrum, and no shift of the old ones. What would a convolution with
# a 3 × 3 kernel let you change besides?
# ```


# %%
def spectrum_twin(x): ...  # your code: return images (M, H, W)


# dc.exercises.check_spectrum_twin(spectrum_twin)

# %% [markdown]
# ```{solution-start} ex-10-spectrum
# :class: dropdown
# ```
#
# Multiply the Fourier transform by random phases. They must be opposite at opposite frequencies, which the phases of a real
# noise image are; and the phase at frequency 0 stays. A 3 × 3 kernel sees the autocovariance up to shifts of two pixels: any change of
# the spectrum that leaves those 25 numbers alone is allowed, too.


# %%
def spectrum_twin_solution(x):
    phase = torch.fft.fft2(torch.randn_like(x)).sgn()
    phase[:, 0, 0] = 1
    return torch.fft.ifft2(torch.fft.fft2(x) * phase).real


assert dc.exercises.check_spectrum_twin(spectrum_twin_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - An architecture that is a linear space sees $r_\sigma(f) = \mathbb E[x\cdot f(y)]$ and
#   $G_\sigma(f, g) = \mathbb E[f(y)\cdot g(y)]$, and so does the sampler ({prf:ref}`thm-unify-moments`).
# - Written out, that is a short list of statistics for each architecture ({prf:ref}`cor-unify-rows`). Targets that agree in
#   them generate the same samples from the same noise. We built such twins for polynomials of degree 1 to 3, and for six
#   architectures on digits.
# - Ranks, penalties, norms and early stopping see no more ({prf:ref}`prop-unify-subsets`, {prf:ref}`cor-unify-bottleneck`); the
#   noise of stochastic gradients does ({prf:ref}`prop-unify-sgd`).
# - What can be seen need not be used ({prf:ref}`prop-unify-not-used`).
# - Richer architectures lose less, by exactly the distance between the denoisers ({prf:ref}`prop-unify-nested`). The best
#   polynomial is the perfect denoiser only of a Gaussian ({prf:ref}`thm-unify-aligned`).
#
# **Proved:** all statements above. **Measured:** that floating-point numbers obey them, to the digits
# given. **Not covered:** networks whose function space is no small linear space, and laws for which the exact flow is the only description.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the derivations in this chapter are the book's own.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
