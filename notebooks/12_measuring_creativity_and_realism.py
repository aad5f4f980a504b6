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
# (sec-metrics)=
# # Measuring creativity and realism
#
# A sample is creative if it is new *and* real. New is a question of distance to the training set.
# Real is a question of opinion, or so it seems: papers ask people, or networks, and the answers
# come as one number whose meaning is hard to say.
#
# In this chapter we first build a small world in which realism is not an opinion: cartoon faces
# with written rules, and a judge that finds for every image whether it is a copy, a creation or no
# face at all. Then we hold the field's metrics to sets of images whose truth we know. Most
# of them cannot tell copying from creating, and we prove why. In the end every denoiser of the book
# becomes a point on one plane.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how realism can be decided exactly; why copying must be held against a base
#   rate; what Fréchet and kernel distance, precision, recall, coverage and the rules for copies
#   see, and what fools each of them; where the denoisers of this book stand.
# - **Time** about 50 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`03_the_perfect_denoiser_copies`, {doc}`04_linear` and, for
#   what the denoisers at the end are, {doc}`08_factorised_and_equivariant`.
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
from diffusion_creativity.data import faces
from diffusion_creativity.widgets import (
    Axis,
    Choice,
    Explorer,
    Panel,
    Plane,
    PlanePoint,
    Region,
    Slider,
    marks,
)

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
LEVEL = 1e-5  # of each test below


def percent(value, digits=1):
    return f"{100 * value:.{digits}f} %"


# %% [markdown]
# ## Cut two faces
#
# Two faces that a rule book calls valid, and their *chimera*: the upper part of the left one on the lower part
# of the right one. Move the cut. The judge says what it sees.

# %% tags=["hide-input"]
family = faces.Faces()
split = family.split(400, held_out=3000, seed=seed)
train, held_out = family.render(split.train), family.render(split.held_out)  # (N, 1, 16, 16)
oracle = family.oracle(split.train)
pairs = {"first pair": (0, 1), "second pair": (2, 3), "third pair": (4, 5)}


def said(verdict):
    """The verdict on one image in words."""
    label = ("a copy", "a creation", "no valid face")[int(verdict.label[0])]
    broken = [rule for rule, b in zip(verdict.rules, verdict.broken[0], strict=True) if b]
    return label + (f": {', '.join(broken)}" if broken else "")


def draw_cut(pair, cut):
    above, below = (train[k] for k in pairs[pair])
    chimera = torch.cat([above[:, :cut], below[:, cut:]], 1)
    words = f"Cut after row {cut}: {said(oracle(chimera[None]))}."
    return {
        "parents": [marks.images(torch.stack([above, below]), columns=2, cell=120)],
        "chimera": [marks.images(chimera[None], columns=1, cell=160)],
        "alt": f"Two cartoon faces and their chimera, {pair}. {words}",
        "caption": words,
    }


Explorer.precomputed(
    draw_cut,
    [Slider("cut", list(range(17)), "rows from the left face", start=8),
     Choice("pair", list(pairs), "faces")],
    {"parents": Panel("Two training faces", kind="images"), "chimera": Panel("Chimera", kind="images")},
    title="Where a chimera breaks the rules",
)  # fmt: skip

# %% [markdown]
# With the cut at either end the chimera is a training face, a copy. In between it is mostly no
# face: a hat whose colour the tie does not answer, two ears that differ, half an eye. Now and then
# the two faces agree in all that matters, and the cut makes a new valid face. No opinion is asked.
#
# (sec-metrics-faces)=
# ## A world with rules
#
# A **face** is composed of parts. Each part has a slot of its own and a few looks; the whole stands on
# one of a few places. What ties the parts together are rules of three kinds:
#
# - **local**: each part is well drawn;
# - **long-range**: two distant parts agree. Both eyes have one shape and look one way, the tie has the
#   colour of the hat or hair band, ears and cheeks come in pairs, so do the halves of the head;
# - **global**: no part is missing, doubled or out of place.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Rows of cartoon faces in colour, one row for each attribute, each face labelled with its value."}, "figure": {"caption": "The attributes of a face and their values. In each row one attribute changes and all else stays.", "name": "fig-metrics-attributes"}}
faces.figure(faces.Faces(size=64, channels=3))
plt.show()

# %% [markdown]
# The knobs of `faces.Faces` set the size of the images (16, 32 or 64 pixels), grey or colour, how many
# places there are, and which long-range rules hold. Every valid face has a number. So *new but
# valid* can be asked for by name, and counted.

# %%
print(f"{len(family):,} valid faces, {len(train)} of them for training")
print(family.describe(int(split.train[0])))

# %% [markdown]
# (sec-metrics-oracle)=
# ## The judge
#
# The **oracle** looks for the nearest look of each part, then asks the rules. An image that breaks none
# is valid; a valid image is a *copy* if it decodes to a training face, and *creative* if not.
# What makes this more than one more opinion is that looks are far apart. How far is an image on its way
# from look $t$ to look $s$?
#
# ```{prf:lemma} On the way to another look
# :label: lem-oracle-way
#
# For images $y$ and $t \ne s$ let $w = \langle y - t, s - t\rangle / \norm{s - t}^2$. Then $y$ is nearer to $t$ than to $s$
# if and only if $w < \frac12$. If $y = t + \sigma n$ with Gaussian noise $n$, then $w \sim \mathcal N(0, \sigma^2/\norm{s - t}^2)$,
# however many pixels there are.
# ```
#
# ```{prf:proof}
# $\norm{y - s}^2 = \norm{y - t}^2 - 2\langle y - t, s - t\rangle + \norm{s - t}^2$, so
# $\norm{y - s}^2 - \norm{y - t}^2 = \norm{s - t}^2 (1 - 2w)$. With $y - t = \sigma n$, $w$ is $\sigma/\norm{s - t}$ times the
# component of $n$ along a unit vector.
# ```
#
# The oracle calls a part *well drawn* if the image, compared with the nearest look of this part,
#
# 1. is less than $0.4$ of the way to every other look;
# 2. differs by a root mean square of at most $\frac14$ over the part;
# 3. differs by at most $\frac12$ in each cell, a quarter of the range from black to white.
#
# In grey images of 16×16 a cell is a pixel. What surrounds the face is a part too, with one look.
#
# ```{prf:proposition} How much noise the oracle bears
# :label: prop-oracle-noise
#
# Add Gaussian noise of standard deviation $\sigma$ to a valid face of 16×16 grey pixels. Let part $p$ have $c_p$ pixels, and let $g_{ps}$ be
# the distance of its look to each other look $s$. With probability at least
#
# $$ 1 - \sum_p \Bigl( \Pr\bigl[\chi^2_{c_p} > c_p/(4\sigma)^2\bigr] + \sum_{s} \Phi\bigl(-0.4\, g_{ps}/\sigma\bigr) \Bigr)
# - 512\, \Phi\Bigl(-\frac1{2\sigma}\Bigr), $$
#
# every part, compared with the looks at its place, is well drawn and decoded to the look that it has.
# ```
#
# ```{prf:proof}
# By {prf:ref}`lem-oracle-way` the noise takes the image $0.4$ of the way to look $s$ with probability $\Phi(-0.4\, g_{ps}/\sigma)$. Where it
# does so for no $s$, the true look is the nearest one, and condition 1 holds. The noise on part $p$ has squared length $\sigma^2\chi^2_{c_p}$; condition 2 fails
# if this exceeds $c_p/16$. Condition 3 fails at a pixel with probability $2\Phi(-1/2\sigma)$, and there are 256 pixels. Add up.
# ```

# %% tags=["hide-input"]
cells = [int(mask.sum()) for mask in faces.drawing.masks(16).values()]
cells.append(256 - sum(cells))  # the surroundings
gaps = [g.sqrt().numpy() for g in faces.distances.gaps(family).values()]  # between looks, by part


def noise_bound(sigma):
    """The sum that the proposition takes off 1, at the look of each part where it is largest."""
    spread = sum(stats.chi2.sf(c / (4 * sigma) ** 2, c) for c in cells)
    away = [stats.norm.sf(0.4 * g / sigma) for g in gaps]
    ways = sum((a - np.diag(np.diag(a))).sum(1).max() for a in away)
    return min(1.0, spread + ways + 512 * stats.norm.sf(0.5 / sigma))


levels = run.size(smoke=(0.05, 0.1, 0.14), book=(0.05, 0.08, 0.1, 0.12, 0.14, 0.17, 0.2))
n = run.size(smoke=1000, book=10_000)
chosen = torch.randint(len(family), (n,), generator=torch.Generator().manual_seed(seed))
valid, truth = family.render(chosen), family.traits(chosen)
rows = []
for k, sigma in enumerate(levels):
    noisy = valid + dc.sampling.initial_noise(n, valid.shape[1:], sigma_max=sigma, seed=seed + k)
    verdict = oracle(noisy)
    failed = int(((verdict.used > 1).any(1) | (verdict.traits != truth).any(1)).sum())
    wrong = int(((verdict.label == 2) | (verdict.nearest != chosen)).sum())
    rows.append((sigma, failed, noise_bound(sigma), wrong))
    assert stats.binom.sf(failed - 1, n, noise_bound(sigma)) > LEVEL
dc.runtime.Table(
    ("noise σ", "malformed or misread", "at most, by the proposition", "verdict wrong"),
    [(f"{s:g}", percent(f / n, 2), percent(b, 2), percent(w / n, 2)) for s, f, b, w in rows],
)

# %% tags=["remove-input"]
at_tenth = next(r for r in rows if r[0] == 0.1)
dc.runtime.report(
    metrics_noise_wrong=percent(at_tenth[3] / n, 2),
    metrics_noise_bound=percent(at_tenth[2], 2),
    metrics_noise_n=f"{n:,}",
)

# %% [markdown]
# At $\sigma = 0.1$, a twentieth of the range, the verdict on {glue:text}`metrics_noise_n` valid faces is wrong in {glue:text}`metrics_noise_wrong`
# of the cases; the proposition allows {glue:text}`metrics_noise_bound` for the parts. Beyond that the oracle calls noisy faces malformed, as it
# should somewhere.
#
# What about images that are *not* valid? The next table puts the oracle to sets whose truth is known
# without it: from attributes and pixels for chimeras, by construction elsewhere.

# %% tags=["hide-input"]
confusion = faces.calibration.table(family, n=run.size(smoke=100, book=1000), seed=seed)
dc.runtime.Table(
    ("images", "number", "copy", "creative", "invalid", "not as it should be"),
    [
        (r.kind, f"{r.total:,}", *(f"{k:,}" for k in (r.copy, r.creative, r.invalid)),
         "" if r.wrong is None else f"{r.wrong:,} ({percent(r.wrong / r.total, 2)})")
        for r in confusion
    ],
)  # fmt: skip

# %% tags=["hide-input"]
cut_pairs = faces.calibration.cut(family, run.size(smoke=20, book=100), seed=seed)
by_rule = faces.calibration.rule_table(family, cut_pairs)
dc.runtime.Table(
    ("rule", "chimeras that break it", "found", "chimeras that keep it", "false alarms"),
    [(r.rule, f"{r.broken:,}", percent(r.found / max(r.broken, 1), 2), f"{r.kept:,}",
      percent(r.false_alarms / max(r.kept, 1), 2)) for r in by_rule],
)  # fmt: skip

# %% tags=["remove-input"]
named = {r.kind: r for r in confusion}
cut_faces = named["chimeras"]
broken, found = (sum(getattr(r, k) for r in by_rule) for k in ("broken", "found"))
dc.runtime.report(
    metrics_chimeras=f"{cut_faces.total:,}",
    metrics_chimeras_found=percent(1 - cut_faces.wrong / cut_faces.total, 2),
    metrics_rules_found=percent(found / broken, 2),
    metrics_rules_broken=f"{broken:,}",
    metrics_base_rate=percent(oracle.base_rate, 2),
)

# %% [markdown]
# Of {glue:text}`metrics_chimeras` chimeras that differ visibly from every valid face the oracle finds {glue:text}`metrics_chimeras_found` invalid. It also says why: of
# {glue:text}`metrics_rules_broken` cases in which a chimera breaks a long-range rule for certain, or has a part for certain out of place, the right rule is named in {glue:text}`metrics_rules_found`. Its limits show in the table too. Faces
# that are blurred by half a cell, or moved by half a pixel, are malformed to it: it judges drawings, not impressions. And it judges nothing but faces.
#
# ### Copying has a base rate
#
# A generator that returns $30\ \%$ copies: does it remember? It depends on how many valid images there are. If the training set is a third of
# them, a generator that knows the rules and nothing else would copy as often.
#
# ```{prf:proposition} The base rate of copying
# :label: prop-base-rate
#
# Let the training set be $N$ of $M$ valid images, drawn at random, and let $q$ be the law of a generator of
# valid images that does not depend on *which* were drawn. Then the share $q(T)$ of its samples that are
# copies satisfies
#
# $$ \mathbb E\, q(T) = \frac NM, \qquad \operatorname{Var} q(T) = \frac NM\Bigl(1 - \frac NM\Bigr)
# \frac{M \sum_v q(v)^2 - 1}{M - 1}. $$
# ```
#
# ```{prf:proof}
# $q(T) = \sum_v q(v) 1[v \in T]$, and each $v$ is in $T$ with probability $r = N/M$. For the variance:
# $\operatorname{Var} 1[v \in T] = r(1 - r)$, and for $v \ne v'$ the covariance is $-r(1 - r)/(M - 1)$, since the sum of all indicators is
# constant. So $\operatorname{Var} q(T) = r(1-r)\bigl[\sum_v q(v)^2 - (1 - \sum_v q(v)^2)/(M - 1)\bigr]$, which is the claim.
# ```
#
# The generator may favour whatever it likes, as long as it does not favour *the training images*. What lies above $N/M$ is
# memory. The oracle reports both; here $N/M$ is {glue:text}`metrics_base_rate`.
#
# (sec-metrics-blind)=
# ## What a metric can see
#
# Away from a drawn world nobody counts for us. The field uses numbers computed from samples, from
# held-out images (the *reference*) and sometimes from the training set, all mapped to *features* $\varphi(x)
# \in \mathbb R^k$ first. Such a metric is itself an architecture: it sees the target through a few
# statistics and is blind to the rest. So the question of this book can be asked of it, with the
# same answer: write down what it sees, and you know what fools it.
#
# ### Distances between clouds
#
# The **Fréchet distance** {cite:p}`heusel2017gans` fits a Gaussian to each cloud of features and
# measures how far the two Gaussians are apart {cite:p}`dowson1982frechet`:
# ```{math}
# :label: eq-metrics-frechet
# F^2(P, Q) = \norm{m_P - m_Q}^2 + \operatorname{tr} S_P + \operatorname{tr} S_Q
# - 2 \operatorname{tr} \bigl(S_P^{1/2} S_Q S_P^{1/2}\bigr)^{1/2}
# ```
# with the means $m$ and covariances $S$ of the features.
#
# ```{prf:theorem} The Fréchet distance sees two moments
# :label: thm-frechet-blind
#
# $F^2 \ge 0$, and $F^2(P, Q) = 0$ if and only if the features have the same mean and the same
# covariance. Where the features are affine in the pixels (the pixels themselves, principal
# components), the law $\mathcal N(\mu, \Sigma)$ that the linear denoiser generates is at distance $0$
# from the data.
# ```
#
# ```{prf:proof}
# For an orthogonal matrix $U$,
#
# $$ \bigl\lVert S_P^{1/2} - S_Q^{1/2} U \bigr\rVert_F^2 = \operatorname{tr} S_P + \operatorname{tr} S_Q
# - 2 \operatorname{tr}\bigl(U^\top S_Q^{1/2} S_P^{1/2}\bigr). $$
#
# By the polar decomposition the last trace is largest, over all $U$, at the sum of the singular
# values of $S_Q^{1/2} S_P^{1/2}$, which is $\operatorname{tr}(S_P^{1/2} S_Q S_P^{1/2})^{1/2}$. So
# $F^2 = \norm{m_P - m_Q}^2 + \min_U \lVert S_P^{1/2} - S_Q^{1/2} U \rVert_F^2 \ge 0$. It vanishes only
# if $m_P = m_Q$ and $S_P^{1/2} = S_Q^{1/2} U$, which gives $S_P = S_P^{1/2} (S_P^{1/2})^\top = S_Q$. An affine
# map turns equal moments of images into equal moments of features, and the linear denoiser has those
# of the data ({prf:ref}`thm-affine-law`).
# ```
#
# The most used number for realism, taken of pixels, calls a linear denoiser perfect. Features of
# a network can do better, because they are not affine; what is left is that two laws with the same mean
# and covariance *of the features* are one to it.
#
# Besides, the number has a bias. It is zero for equal laws, but a sample is not its law:
#
# ```{prf:proposition} The Fréchet distance of samples is too large
# :label: prop-frechet-bias
#
# Let two samples of $n$ and $m$ be drawn from one Gaussian in $\mathbb R^k$ whose covariance has the
# eigenvalues $\lambda_i > 0$. Then
#
# $$ \mathbb E F^2 = \Bigl(\frac1n + \frac1m\Bigr)\Bigl(\sum_i \lambda_i
# + \frac12 \sum_{i,j} \frac{\lambda_i\lambda_j (1 + \delta_{ij})}{\lambda_i + \lambda_j}\Bigr)
# + O\Bigl(\frac1{n^2} + \frac1{m^2}\Bigr). $$
# ```
#
# ```{prf:proof}
# The means contribute $\mathbb E\norm{\hat m_P - \hat m_Q}^2 = (\frac1n + \frac1m) \operatorname{tr} S$. For the
# covariances, put $\hat S_P = S + E_P$, $\hat S_Q = S + E_Q$ and $E = E_P - E_Q$. Near $S$ the covariance part of
# {eq}`eq-metrics-frechet` is smooth and has its minimum $0$ where $E = 0$; in the eigenbasis of $S$ its
# second-order term is $\frac12 \sum_{ij} E_{ij}^2/(\lambda_i + \lambda_j)$. (In one dimension:
# $(\sqrt{\lambda + e} - \sqrt\lambda)^2 = e^2/4\lambda + O(e^3)$.) For Gaussian samples $\mathbb E E_{ij}^2 = (\frac1n +
# \frac1m)\, \lambda_i \lambda_j (1 + \delta_{ij})$ up to order $1/n^2 + 1/m^2$. The third-order term has expectation of that same
# order, as third moments of averages do, and so has the remainder: it is of fourth order where $\norm E$ is
# small, and the probability that it is not small falls exponentially.
# ```
#
# For $k$ features of unit variance the constant is $k + k(k+1)/4$: it grows like $k^2$. Compare distances only at
# equal sample sizes, or extrapolate in $1/n$ {cite:p}`chong2020effectively`, as
# `dc.metrics.frechet_distance(..., extrapolate=True)` does.
#
# The **kernel distance** {cite:p}`binkowski2018demystifying` compares two clouds by the average of a kernel,
# here $\kappa(a, b) = (a^\top b/k + 1)^3$, within and between them {cite:p}`gretton2012kernel`:
# $\operatorname{MMD}^2 = \mathbb E\kappa(a, a') + \mathbb E\kappa(b, b') - 2\, \mathbb E\kappa(a, b)$. Averages over
# *different* samples estimate it without bias.
#
# ```{prf:theorem} The kernel distance sees three moments
# :label: thm-kernel-moments
#
# With $M_r(P) = \mathbb E_P[a^{\otimes r}]$, the tensor of all moments of order $r$,
#
# $$ \operatorname{MMD}^2(P, Q) = \sum_{r=1}^{3} \binom3r \frac{1}{k^r} \bigl\lVert M_r(P) - M_r(Q) \bigr\rVert^2 . $$
#
# So it is $0$ exactly if all moments of the features up to the third order agree.
# ```
#
# ```{prf:proof}
# $\kappa(a, b) = \sum_r \binom3r k^{-r} (a^\top b)^r$, and $(a^\top b)^r = \langle a^{\otimes r}, b^{\otimes r}\rangle$. Take expectations of
# independent $a$ and $b$: $\mathbb E \kappa(a, b) = \sum_r \binom3r k^{-r} \langle M_r(P), M_r(Q)\rangle$. The three terms of
# $\operatorname{MMD}^2$ complete the squares; order $0$ cancels.
# ```
#
# In pixels, then, the twins of {doc}`10_what_the_architecture_can_see` that agree to order three are
# one and the same to it, as they are to a denoiser that sees no more.
#
# ### Copies look real
#
# ```{prf:theorem} Without the training set, copies are fresh data
# :label: thm-copies-invisible
#
# Let the training set be $N$ independent draws of the data. A generator that returns $n \le N$ *different*
# training images, chosen without a look at them, has, to every metric that is a function of the samples and of an independent reference,
# exactly the distribution of a generator that returns fresh draws of the data.
# ```
#
# ```{prf:proof}
# Which images are chosen does not depend on what they show. So the $n$ samples are $n$ independent draws
# of the data, independent of the reference. A function of both has the same distribution as for fresh draws.
# ```
#
# That is every realism score at once: Fréchet, kernel, precision, recall, density, coverage, diversity,
# whatever the features. A generator that copies passes them all, with the mark of the perfect one. Against the
# training set itself, which is the reference in many papers, copies do even better than perfect:
#
# ```{prf:proposition} Against its own training set a copying machine is flawless
# :label: prop-copies-perfect
#
# Let the reference be the training set. Samples that are training images have precision 1. If all training images
# are among them, recall is 1. If $n$ samples are drawn uniformly with replacement, the expected
# coverage is at least $1 - (1 - 1/N)^n$.
# ```
#
# ```{prf:proof}
# **Precision** {cite:p}`kynkaanniemi2019improved` is the share of samples within the ball of some reference image, whose radius
# is the distance to its $j$-th neighbour. A copy is the centre of such a ball. **Recall** swaps the roles:
# each reference image is the centre of a ball of the samples. **Coverage** {cite:p}`naeem2020reliable` is the share of
# reference images with a sample in their ball, and a copy covers at least its original, which is
# among the $n$ with probability $1 - (1 - 1/N)^n$.
# ```
#
# So a metric must be *shown* the training set to find copies, and must know what distance to
# call small. Three that do:
#
# - the **third rule** {cite:p}`yoon2023diffusion`: a sample is a copy if its nearest training image is less than a
#   third as far as the second nearest;
# - **authenticity** {cite:p}`alaa2022faithful`: the share of samples that are further from their nearest training image
#   than this one is from its own nearest neighbour;
# - $C_T$ {cite:p}`meehan2020nonparametric`: in each cell of the space, are samples closer to the training set than held-out
#   data are (negative), or further away (positive)? In standard errors of the rank test of Mann and Whitney.
#
# ```{prf:proposition} What the third rule calls a copy
# :label: prop-third-rule
#
# Let $t$ be a training image, $D > 0$ the distance to the nearest other one, and $s = t + e$ a sample
# with $\norm e = \epsilon$.
#
# 1. If $\epsilon < D/4$, the rule calls $s$ a copy.
# 2. If $\epsilon \ge D/2$ and $t$ is the nearest training image to $s$, it does not.
# ```
#
# ```{prf:proof}
# 1\. The second distance is at least $D - \epsilon > 3\epsilon$, and the first is at most $\epsilon$.
# 2\. The second distance is at most $D + \epsilon \le 3\epsilon$, and the first is $\epsilon$.
# ```
#
# So the rule breaks down where training images have near twins: $D$ is tiny, and what anybody would call a copy is none
# to it. (Images that are *equal* count once in `dc.metrics.copied_fraction`.) And a training image moved by one pixel is often further than $D/2$ from itself, and new to the rule; an equivariant
# network makes just such images ({prf:ref}`rem-novelty-modulo`).
#
# ### Diversity
#
# The **Vendi score** {cite:p}`friedman2023vendi` counts how many different things there are: $\exp H$, with $H$ the
# entropy of the eigenvalues of $K/n$, where $K_{ij}$ is the cosine between the features of samples $i$ and $j$.
#
# ```{prf:proposition} The Vendi score counts directions
# :label: prop-vendi-range
#
# For $n$ samples with features in $\mathbb R^k$ it lies between $1$ and $\min(n, k)$. It is $1$ if all features point one
# way, and $r$ if they fall into $r$ equally frequent orthogonal directions.
# ```
#
# ```{prf:proof}
# $K$ has ones on its diagonal, so the eigenvalues of $K/n$ are non-negative and sum to $1$; at most $\min(n, k)$ are not
# zero. Entropy lies between $0$, for one eigenvalue, and the logarithm of their number. For $r$ orthogonal groups of $n/r$
# samples, $K$ has $r$ blocks of ones, with eigenvalue $n/r$ each.
# ```
#
# White noise in many dimensions has nearly orthogonal samples. So diversity alone is highest for the worst
# generator; read it beside a measure of realism.

# %% [markdown]
# (sec-metrics-calibration)=
# ## Every metric on sets whose truth is known
#
# Nine sets of images, made from training faces and from other valid faces (`dc.metrics.controls`): from an ideal generator
# (fresh valid faces) and a copying machine to white noise. Below, some of each.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Nine rows of cartoon faces: real ones, copies, noisy copies, shifted copies, chimeras with mismatched halves, Gaussian smudges, blurred faces, faces of one half of the classes, and white noise."}, "figure": {"caption": "The nine control sets. Novelty and realism of each are known by construction.", "name": "fig-metrics-controls"}}
n = run.size(smoke=150, book=500)
reference, fresh = held_out[: len(held_out) // 2], held_out[len(held_out) // 2 :]
labels = family.attributes(split.held_out[len(held_out) // 2 :])[
    :, list(family.values).index("hat")
]
sets = dc.metrics.controls(train, fresh, n=n, labels=labels, seed=seed)
reference = reference[:n]
fig, axes = plt.subplots(len(sets), 1, figsize=(6.4, 6.4))
for ax, (name, images) in zip(axes, sets.items(), strict=True):
    dc.style.image_grid(images[:10].clamp(-1, 1).numpy(), columns=10, ax=ax)
    ax.set_title(name, fontsize=9)
plt.show()

# %% [markdown]
# Each set goes through every metric of `dc.metrics.evaluate`. Four of them are new here. The *novelty ratio* is the median distance to
# the training set, over that of held-out data. *Sliced Wasserstein* compares the clouds along random directions. *Density* counts how many balls
# of the reference a sample lies in, 1 on average for fresh data. The *likelihood divergence* {cite:p}`jiralerspong2023feature` puts a Gaussian on each sample, as wide as
# the training set likes it, and asks how improbable held-out data are: 0 for fresh data, more for whatever is wrong. Realism and variety are measured in features of a
# random convolutional network (no download, no training), against held-out valid faces; copying in pixels, against the
# training set. The oracle stands beside them.

# %% tags=["hide-input"]
see = dc.metrics.features.random_convolution(width=8, layers=2, grid=2, seed=seed)
settings = {"features": see, "resamples": run.size(smoke=20, book=100), "seed": seed}
values = {name: dc.metrics.evaluate(x, train, reference, **settings) for name, x in sets.items()}
judged = {name: oracle(x).summary() for name, x in sets.items()}


def cell(i):
    return f"{i.value:.2g} ({i.low:.2g} to {i.high:.2g})"


dc.runtime.Table(
    ("measure", *sets),
    [
        *((m, *(cell(values[s][m]) for s in sets)) for m in dc.metrics.MEASURES),
        *(
            (f"oracle: {c}", *(percent(judged[s][c].value) for s in sets))
            for c in ("copy", "creative", "invalid")
        ),
    ],
)

# %% [markdown]
# Which metric tells which set from the ideal generator? A set is *seen* by a metric if their intervals do not overlap.


# %% tags=["hide-input"] mystnb={"image": {"alt": "A grid of measures against control sets; filled squares where the measure tells the set from fresh real images."}, "figure": {"caption": "Filled: the measure's interval for the set does not meet that for fresh valid faces. In brackets and by colour: what a measure is for.", "name": "fig-metrics-seen"}}
def apart(a, b):
    return a.low > b.high or a.high < b.low


names = [name for name in sets if name != "real"]
seen = np.array(
    [[apart(values[s][m], values["real"][m]) for s in names] for m in dc.metrics.MEASURES]
)
kinds = list(dict.fromkeys(dc.metrics.MEASURES.values()))
palette = dict(zip(kinds, ("denoiser", "generated", "law", "warning"), strict=True))
fig, ax = plt.subplots(figsize=(7.2, 5))
for row, kind in enumerate(dc.metrics.MEASURES.values()):
    for column in range(len(names)):
        ax.scatter(column, row, s=150, marker="s", edgecolors=COLORS[palette[kind]],
                   facecolors=COLORS[palette[kind]] if seen[row, column] else "none")  # fmt: skip
ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
ax.set_yticks(
    range(len(dc.metrics.MEASURES)), [f"{m}  ({k})" for m, k in dc.metrics.MEASURES.items()]
)
ax.set_ylim(len(dc.metrics.MEASURES) - 0.4, -0.6)
ax.grid(False)
plt.show()
realism = [m for m, kind in dc.metrics.MEASURES.items() if kind in ("realism", "variety")]
blind = [m for m in realism if not apart(values["copies"][m], values["real"][m])]
dc.runtime.report(
    metrics_blind=len(blind),
    metrics_realism=len(realism),
    metrics_pass_chimeras=", ".join(
        m for m in realism if not apart(values["chimeras"][m], values["real"][m])
    )
    or "none",
    metrics_see_all=", ".join(
        m for m, row in zip(dc.metrics.MEASURES, seen, strict=True) if row.all()
    )
    or "none",
    metrics_divergence_copies=f"{values['copies']['likelihood divergence'].value:.0f}",
    metrics_divergence_chimeras=f"{values['chimeras']['likelihood divergence'].value:.0f}",
)

# %% [markdown]
# Read it by columns. **Copies** go unseen by {glue:text}`metrics_blind` of the {glue:text}`metrics_realism` measures of realism and variety;
# what the others see is that copies, drawn with replacement, are fewer different faces. **Noisy copies** escape the exact comparison, not the third rule.
# **Shifted copies** escape both, and only a comparison modulo shifts finds them. **Chimeras** and the **Gaussian** are new to every rule for copies.
# Of the measures of realism and variety, these find nothing wrong with a chimera in these features: {glue:text}`metrics_pass_chimeras`. **Dropped modes** are
# real and new; recall and coverage see what is missing.
#
# Then by rows. These measures see all eight sets: {glue:text}`metrics_see_all`. But to see *that* something is wrong is not to see *what*: the
# likelihood divergence of copies is {glue:text}`metrics_divergence_copies`, that of chimeras {glue:text}`metrics_divergence_chimeras`.
#
# (sec-metrics-plane)=
# ## The plane of novelty and realism
#
# Now the denoisers. Each is fitted to the same training faces and sampled from the same noise. *Novelty*: the share
# of samples that are no copy of a training face, moved or mirrored ones included, or another measure of the menu. *Realism*: the share
# of the parts of a face that are well drawn, or another. Choose a point to see its samples, each above its nearest training face.

# %% tags=["hide-input"]
from diffusion_creativity import denoisers as D
from diffusion_creativity.denoisers.encoder import pooling

encoder = pooling(train.shape[1:], 4)
fits = {
    "bayes": ("perfect", lambda: D.Bayes.fit(train), "Any function: it copies.", "copies"),
    "equivariant": (
        "equivariant",
        lambda: D.Equivariant.fit(train),
        "Shifted training faces: copies to whoever forgives a shift, and no faces to the oracle, where the shift leaves the grid.",
        "copies",
    ),
    "bottleneck code": (
        "bottleneck, free decoder",
        lambda: D.EncoderBottleneck.fit(train, encoder=encoder),
        "Sixteen numbers pass, and the decoder is free: it copies.",
        "copies",
    ),
    "codebook": (
        "codebook of 20",
        lambda: D.Codebook.fit(train, words=20),
        "Twenty average faces.",
        "averages",
    ),
    "affine": (
        "linear",
        lambda: D.Affine.fit(train),
        "A Gaussian with the mean and covariance of faces.",
        "Gaussian",
    ),
    "bottleneck": (
        "linear bottleneck of 32",
        lambda: D.LinearBottleneck.fit(train, rank=32),
        "The same on the 32 strongest directions.",
        "Gaussian",
    ),
    "convolution": (
        "convolution",
        lambda: D.Convolutional.fit(train),
        "A texture with the power spectrum of faces.",
        "Gaussian",
    ),
    "window": (
        "convolution 5×5",
        lambda: D.Convolutional.fit(train, kernel_size=5),
        "A texture with a distorted spectrum.",
        "Gaussian",
    ),
    "polynomial": (
        "cubic along PCA",
        lambda: D.Polynomial.fit(train, degree=3, basis="pca"),
        "Each principal component by itself, bent by a cubic flow.",
        "Gaussian",
    ),
    "blocks 8": (
        "blocks 8×8",
        lambda: D.Blockwise.fit(train, block=8),
        "Chimeras of quarters: what lies within one is right, what crosses its border or must agree is not.",
        "recombined",
    ),
    "blocks 4": (
        "blocks 4×4",
        lambda: D.Blockwise.fit(train, block=4),
        "Chimeras of sixteenths: half an eye here, half an eye there.",
        "recombined",
    ),
    "local": (
        "windows 5×5, own place",
        lambda: D.LocalScore.fit(train, window=5),
        "Each pixel sees a window around it and knows where it is: mosaics that are right bit by bit.",
        "local",
    ),
    "pixels": (
        "pixelwise",
        lambda: D.Pixelwise.fit(train),
        "Each pixel by itself: perfect histograms, no structure.",
        "recombined",
    ),
    "pooled": (
        "pixelwise, shared",
        lambda: D.Pixelwise.fit(train, shared=True),
        "One histogram for all pixels.",
        "recombined",
    ),
}
sigmas = dc.noise.karras(run.size(smoke=20, book=60))
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
made = {name: dc.sampling.ddim(fit(), noise, sigmas) for name, (_, fit, *_) in fits.items()}
made["fresh"], made["noise"] = sets["real"], sets["white noise"]
fits["fresh"] = (
    "fresh valid faces",
    None,
    "The ideal generator: valid faces, none of them for training.",
    "controls",
)
fits["noise"] = (
    "white noise",
    None,
    "Independent pixels with the mean and variance of faces.",
    "controls",
)


# %% tags=["hide-input"]
def place(samples):
    """Measures of one set of samples, with intervals."""
    found, verdict = dc.metrics.evaluate(samples, train, reference, **settings), oracle(samples)
    drawn = (verdict.used <= 1).double().mean(1)  # share of the parts
    mean, error = drawn.mean().item(), 1.96 * drawn.std().item() / math.sqrt(len(drawn))
    shares = verdict.summary()
    new = found["copied up to moves"]
    flip = dc.metrics.Interval(1 - new.value, 1 - new.high, 1 - new.low)
    valid = shares["invalid"]
    return {
        "new": flip,
        "ratio": found["novelty ratio"],
        "authentic": found["authenticity"],
        "parts": (mean, max(mean - error, 0), min(mean + error, 1)),
        "valid": (1 - valid.value, 1 - valid.high, 1 - valid.low),
        "precision": found["precision"],
        "coverage": found["coverage"],
        "frechet": found["Fréchet distance"],
    }


axes = {
    "new": Axis(
        "share of new samples", note="no copy of a training face, also if moved or mirrored"
    ),
    "ratio": Axis(
        "novelty ratio",
        note="distance to the training set in units of fresh faces'",
        lines={"fresh faces": 1.0},
    ),
    "authentic": Axis(
        "authenticity", note="share of samples further from a training face than its neighbour"
    ),
    "parts": Axis(
        "parts well drawn", note="share of the parts of a face that the oracle calls well drawn"
    ),
    "valid": Axis("valid faces", note="share of samples that break no rule"),
    "precision": Axis("precision", note="share of samples within a ball of held-out faces"),
    "coverage": Axis("coverage", note="share of held-out faces with a sample in their ball"),
    "frechet": Axis(
        "Fréchet distance",
        scale="log",
        note="in features of a random convolutional network; small is good",
    ),
}
nearest = {name: train[dc.metrics.nearest(x, train)[1][:8]] for name, x in made.items()}
places = {name: place(x) for name, x in made.items()}
plane = Plane(
    [
        PlanePoint(name, label, places[name], made[name][:8], nearest[name], text, group)
        for name, (label, _, text, group) in fits.items()
    ],
    axes,
    x=["new", "ratio", "authentic", "coverage"],
    y=["parts", "valid", "precision", "frechet"],
    title="Novelty and realism of every denoiser",
    alt="A plane with one point for each denoiser of the book.",
    chosen="blocks 8",
    groups={"copies": ("denoiser", "dot"), "averages": ("law", "diamond"), "Gaussian": ("generated", "square"), "local": ("ink", "diamond"),
            "recombined": ("warning", "triangle"), "controls": ("noise", "dot")},
    regions=[Region("copies", {"new": (None, 0.1)})],
    interval="95 % intervals",
)  # fmt: skip
plane

# %% tags=["hide-input"]
dc.runtime.Table(
    (
        "denoiser",
        "new",
        "novelty ratio",
        "parts well drawn",
        "valid",
        "precision",
        "Fréchet distance",
    ),
    [
        (
            label,
            *(
                axes[m].interval(*places[name][m])
                for m in ("new", "ratio", "parts", "valid", "precision", "frechet")
            ),
        )
        for name, (label, *_) in fits.items()
    ],
)

# %% tags=["remove-input"]
assert all(
    places[name]["valid"][0] == 0
    for name, (*_, group) in fits.items()
    if group in ("Gaussian", "averages", "local", "recombined")
)
dc.runtime.report(
    metrics_plane_n=f"{n:,}",
    **{
        f"metrics_parts_{name}": percent(places[key]["parts"][0], 0)
        for name, key in {
            "blocks": "blocks 8",
            "windows": "local",
            "codebook": "codebook",
            "linear": "affine",
            "pixels": "pixels",
        }.items()
    },
    **{
        f"metrics_codebook_{m}": percent(places["codebook"][m][0], 0)
        for m in ("precision", "coverage")
    },
)

# %% [markdown]
# The two corners of {doc}`01_first_samples` are still there: the perfect denoiser copies and is real, the linear one is new and is not. Of the parts of its faces the oracle
# calls {glue:text}`metrics_parts_linear` well drawn, of independent pixels {glue:text}`metrics_parts_pixels`, of blocks of 8×8 {glue:text}`metrics_parts_blocks`, of windows
# {glue:text}`metrics_parts_windows`, of twenty average faces {glue:text}`metrics_parts_codebook`. A part that lies within a block is right; one that crosses its border is put together
# from two faces, which mostly stand at different places. And what must agree across the face none of them can know: **no** architecture but those that copy, moved or
# not, makes a single valid face in {glue:text}`metrics_plane_n` samples. Only fresh faces stand in the corner where creation is: valid, and new but for the few that are a
# training face at another place. That corner is empty of denoisers, and this is what makes the creativity of trained networks worth explaining.
#
# Change the axes. With *precision* instead of the oracle, twenty average faces reach {glue:text}`metrics_codebook_precision`: in these features they lie amid the real ones, and not one of
# them is a face. Their coverage, {glue:text}`metrics_codebook_coverage`, gives them away. A novelty ratio near 1 and a high precision together do not make a sample real.
#
# ## Exercises
#
# ```{exercise} Fool the Fréchet distance
# :label: ex-12-frechet
#
# Write `fool_frechet(train, n)`: n images, none of which looks like a training image, whose Fréchet distance to the
# training set in pixels is (almost) 0.
# ```


# %%
def fool_frechet(train, n): ...  # your code: return (n, C, H, W)


# dc.exercises.check_fool_frechet(fool_frechet)

# %% [markdown]
# ```{solution-start} ex-12-frechet
# :class: dropdown
# ```
#
# Draw a Gaussian cloud, remove its mean and covariance exactly ($V W^\top$ of its singular value
# decomposition has covariance $I/n$), and give it those of the data. Draws without this correction
# are off by the bias of {prf:ref}`prop-frechet-bias`.


# %%
def fool_frechet_solution(train, n):
    flat = train.flatten(1).double()
    noise = torch.randn(n, flat.shape[1], dtype=torch.float64)
    left, _, right = torch.linalg.svd(noise - noise.mean(0), full_matrices=False)
    white = n**0.5 * left @ right
    values, vectors = torch.linalg.eigh((flat - flat.mean(0)).T @ (flat - flat.mean(0)) / len(flat))
    root = vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T
    return (flat.mean(0) + white @ root).reshape(n, *train.shape[1:])


assert dc.exercises.check_fool_frechet(fool_frechet_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Fool the third rule
# :label: ex-12-third
#
# Write `fool_third_rule(train)`: each training image, changed in a way that the eye forgives, such that the third rule calls
# none of them a copy.
# ```


# %%
def fool_third_rule(train): ...  # your code: return (N, C, H, W)


# dc.exercises.check_fool_third_rule(fool_third_rule)

# %% [markdown]
# ```{solution-start} ex-12-third
# :class: dropdown
# ```
#
# One pixel to the right is enough: for images with sharp edges that is more than $D/2$ ({prf:ref}`prop-third-rule`).


# %%
def fool_third_rule_solution(train):
    return train.roll(1, -1)


assert dc.exercises.check_fool_third_rule(fool_third_rule_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Authentic?
# :label: ex-12-authentic
#
# Write `authentic(samples, train)` for points $(n, d)$ and $(N, d)$: for each sample, whether it is further from its nearest training point than that point is
# from its own nearest neighbour. Then ask: can a sample be authentic and still be a copy for the third rule?
# ```


# %%
def authentic(samples, train): ...  # your code: return booleans (n,)


# dc.exercises.check_authentic(authentic)

# %% [markdown]
# ```{solution-start} ex-12-authentic
# :class: dropdown
# ```
#
# It cannot. If $s$ is authentic with nearest training point $t$, then $\norm{s - t} > D$, the distance of $t$ to its neighbour $t'$. The second distance of $s$ is
# at most $\norm{s - t'} \le \norm{s - t} + D < 2\norm{s - t}$, so the ratio is above $\frac12$.


# %%
def authentic_solution(samples, train):
    gaps = torch.cdist(samples, train)
    neighbour = torch.cdist(train, train).fill_diagonal_(torch.inf).min(1).values
    return gaps.min(1).values > neighbour[gaps.argmin(1)]


assert dc.exercises.check_authentic(authentic_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Infinitely many samples
# :label: ex-12-infinity
#
# Write `extrapolate(sizes, distances)`: Fréchet distances measured at several sample sizes, in; the value at infinitely many samples, out.
# ```


# %%
def extrapolate(sizes, distances): ...  # your code: return a number


# dc.exercises.check_extrapolate(extrapolate)

# %% [markdown]
# ```{solution-start} ex-12-infinity
# :class: dropdown
# ```
#
# By {prf:ref}`prop-frechet-bias` the distance is a line in $1/n$, up to order $1/n^2$. Fit it and read off its value at 0.


# %%
def extrapolate_solution(sizes, distances):
    design = torch.stack([torch.ones_like(sizes), 1 / sizes], 1)
    return torch.linalg.lstsq(design, distances[:, None]).solution[0].item()


assert dc.exercises.check_extrapolate(extrapolate_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Does it remember?
# :label: ex-12-base
#
# Of `n` samples, all valid, `copies` are among the `N` training images of `M` valid ones. Write `base_rate_p(copies, n, N, M)`: if the generator drew uniformly from the valid images, how
# probable would so many copies, or more, be?
# ```


# %%
def base_rate_p(copies, n, N, M): ...  # your code: return a probability


# dc.exercises.check_base_rate(base_rate_p)

# %% [markdown]
# ```{solution-start} ex-12-base
# :class: dropdown
# ```
#
# Each sample is a copy with probability $N/M$, independently: a binomial tail.


# %%
def base_rate_p_solution(copies, n, N, M):
    return stats.binom.sf(copies - 1, n, N / M)


assert dc.exercises.check_base_rate(base_rate_p_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - In a world with written rules, realism is a count: each image is a copy, a creation or invalid, with the rules that it
#   breaks ({prf:ref}`lem-oracle-way`, {prf:ref}`prop-oracle-noise`). Copying is held against its base rate ({prf:ref}`prop-base-rate`).
# - A metric is an architecture: it sees a few statistics. The Fréchet distance sees two moments of the features
#   ({prf:ref}`thm-frechet-blind`), with a bias ({prf:ref}`prop-frechet-bias`); the kernel distance three ({prf:ref}`thm-kernel-moments`).
# - What is not shown the training set cannot see copying ({prf:ref}`thm-copies-invisible`), and what is shown it as the reference prefers
#   copies ({prf:ref}`prop-copies-perfect`). Rules for copies have a geometry ({prf:ref}`prop-third-rule`), and diversity is highest
#   for noise ({prf:ref}`prop-vendi-range`).
# - So report a measure of novelty *and* one of realism, each beside its value for held-out data, with intervals.
#
# **Proved:** the statements above. **Measured:** the oracle's errors, the table of metrics, the plane; one training set and one seed of noise each, intervals over samples.
# **Not covered:** features of large pretrained networks, which need a download. `dc.metrics.features.inception` and `dinov2` read them from
# a file that you have.
#
# The question of this book is due to {cite:t}`levine2026diffusion`; the metrics are due to the papers cited, the derivations in this chapter are
# the book's own.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
