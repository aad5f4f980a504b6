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
# (sec-generalise)=
# # From copying to generalising
#
# Take a pile of faces, deal it into two hands, and train one network on each. No face is in both hands. Now start both
# networks from the same noise. If a network repeats what it was shown, the two must draw different faces. If they draw the *same*
# face, it was in neither hand, or in one of them by chance only: what they have in common is not the faces but what can be learned
# from any such hand.
#
# This experiment is due to {cite:t}`kadkhodaie2024generalization`. We repeat it here where every valid face is known and an oracle
# tells copies from new faces without error, and first for machines that we can compute: for one of them the agreement comes and its speed can be
# proved, for the other it never comes, however many faces we deal.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how two machines trained on different images can agree, and how many images that takes; why a shuffle of the pixels
#   leaves some machines as they are and breaks others; when in its training a network begins to copy, and how that time grows with the number of images;
#   what its size does to that.
# - **Time** about 50 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`03_the_perfect_denoiser_copies`, {doc}`04_linear`, the oracle of {doc}`12_measuring_creativity_and_realism` and the
#   network of {doc}`13_a_unet_from_scratch`.
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
from diffusion_creativity import metrics
from diffusion_creativity.experiments import generalisation as study
from diffusion_creativity.experiments.onsets import exponent, onset
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS


def percent(value, digits=0):
    return f"{100 * value:.{digits}f} %"


# %% [markdown]
# ## Two hands of faces
#
# The {term}`faces <oracle>` are those of {doc}`12_measuring_creativity_and_realism`, all in one place: 17,496 valid ones of 16×16 pixels. A hand is the first $N$ of
# one half; smaller hands are parts of larger ones.

# %%
config = study.GeneralisationConfig()
family, halves, others = study.faces(config, seed)
hands = [family.render(numbers) for numbers in halves]  # two disjoint sets of 4,096 faces
held_out = family.render(others)
noise = dc.sampling.initial_noise(config.pace.samples, hands[0].shape[1:], seed=0)
sigmas = dc.noise.karras(config.pace.sampler_steps)

sizes = run.size(smoke=[16, 64, 256], book=[16, 64, 256, 1024, 4096])


def agreement(a, b, n):
    """What `study.agreement` says of samples of two hands, and how often the twin is nearest."""
    a, b = a.clamp(-1, 1), b.clamp(-1, 1)
    twin = (a - b).flatten(1).norm(dim=1) < metrics.nearest(a, hands[0][:n])[0]
    nearer = metrics.wilson(int(twin.sum()), len(twin))
    return study.agreement(a, b, hands[0][:n], held_out, family) | {"nearer": nearer}


kinds = {"linear": dc.denoisers.Affine.fit, "perfect": dc.denoisers.Bayes.fit}
made, found = {}, {}
for name, fit in kinds.items():
    for n in sizes:
        pair = [dc.sampling.heun(fit(x[:n]), noise, sigmas) for x in hands]
        made[name, n] = pair
        found[name, n] = agreement(*pair, n)

# %% [markdown]
# The third machine is a UNet. Training it takes longer than a page may; the runs are read from `results/`.


# %% tags=["hide-input"]
result = dc.experiments.largest("generalisation")
units = (
    {u["variant"]: u["metrics"] for u in result.record["units"] if u["seed"] == 0} if result else {}
)
pairs = {m["n"]: m for name, m in units.items() if name.startswith("pair-")}
pairs = dict(sorted(pairs.items()))
tensors = {}
if result is None:
    print("There is no result of the networks here. This computes it:\n"
          "python -m diffusion_creativity run generalisation")  # fmt: skip
else:
    from safetensors.torch import load_file

    tensors = {name: load_file(result.folder / f"{name}-0.safetensors") for name in units}
    print(dc.experiments.origin(result))
pace = result.record["config"]["pace"] if result else None
for n in pairs:
    made["UNet", n] = list(tensors[f"pair-{n}"]["last"].float())
    found["UNet", n] = agreement(*made["UNet", n], n)


# %% [markdown]
# Choose a machine, and deal more and more faces.


# %% tags=["hide-input"]
def bytes_of(x):
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


machines = [name for name in ("UNet", *kinds) if any(kind == name for kind, _ in found)]
steps_of = sorted({n for _, n in found})


def draw_pair(machine, n):
    curve = [k for k in steps_of if (machine, k) in found]
    lines = [
        marks.line(
            curve, [found[machine, k][key] for k in curve], color=color, label=label, label_at=at
        )
        for key, color, label, at in (
            ("apart_others", "noise", "other hand, other noise", 0.3),
            ("apart", "generated", "other hand, same noise", 0.0),
            ("apart_train", "data", "nearest training image", 0.7),
        )
    ]
    if (machine, n) not in found:
        words = f"This network, {n:,} faces in each hand, has not been trained yet."
        return {"pairs": [marks.images(np.zeros((24, 16, 16)), columns=8)], "alike": lines,
                "alt": words, "caption": words}  # fmt: skip
    a, b = (y[:8] for y in made[machine, n])
    train = hands[0][:n]
    near = train[metrics.nearest(a.clamp(-1, 1), train)[1]]
    now = found[machine, n]
    words = (f"{n:,} faces in each hand. Top: trained on one. Middle: on the other, same noise. Bottom: the face of "
             f"the first hand nearest to the top row. In {percent(now['nearer'].value)} of all pairs the top row's face is "
             "nearer to its twin in the middle than to any face of its own hand.")  # fmt: skip
    return {
        "pairs": [marks.images(bytes_of(torch.cat([a, b, near])), columns=8, cell=64)],
        "alike": [*lines, marks.points([n], [now["apart"]], color="generated", size=6)],
        "alt": f"Three rows of eight faces. {words}",
        "caption": words,
    }


Explorer.precomputed(
    draw_pair,
    [Choice("machine", machines, "machine"),
     Slider("n", steps_of, "faces in each hand", format=",", start=steps_of[0])],
    {"pairs": Panel("Same noise, disjoint hands", kind="images"),
     "alike": Panel("How far the top row is from …", xlabel="faces in each hand, N",
                    ylabel="difference per pixel", xlog=True, ylim=(0, 0.5))},
    title="Deal two hands of faces, draw from the same noise",
)  # fmt: skip

# %% [markdown]
# Differences are root mean squares per pixel, between −1 black and 1 white; medians over {glue:text}`gen_samples` pairs. Look at three things.
#
# * *perfect*: the top row is the bottom row at every $N$. The middle row has other faces, always. And yet the two rows become *similar* as $N$ grows.
# * *linear*: blurred faces, which become the same in the two hands, while they stay away from all training images.
# * *UNet*: with few faces it is like the perfect machine; with many, which of the two is it like?
#
# The first point is a warning. From the same noise two copying machines choose training images in the same direction, and where the hands are dense, similar ones: with {glue:text}`gen_many` faces in each hand the correlation of their samples (of images less the mean face, median) is {glue:text}`gen_perfect_many`, though all are
# copies and no two are the same. A high correlation between two networks is no proof that they generalise. What copying never does is to come nearer to the twin than to the own hand. So we ask: in how many pairs is the sample **nearer to its twin** than to any image of its own hand? A copy: in none.
#
# (sec-generalise-linear)=
# ## The linear machine agrees, at a speed
#
# A linear machine knows a mean and a covariance. Two hands have two means and two covariances, both near those of the pile, so the samples must come together. How fast? We need
# one fact on matrices first.
#
# ```{prf:lemma} Square roots of covariances
# :label: lem-square-roots
#
# For symmetric matrices $A, B$ without negative eigenvalues, with $\lVert\cdot\rVert_F$ the root of the sum of squared entries and $\lVert\cdot\rVert_1$ the sum of the singular values,
#
# $$ \lVert A^{1/2} - B^{1/2} \rVert_F^2 \le \lVert A - B \rVert_1 . $$
# ```
#
# ```{prf:proof}
# Let $U = A^{1/2} - B^{1/2}$ and $V = A^{1/2} + B^{1/2}$. Then $A - B = \tfrac12(UV + VU)$. Write $U = \sum_i u_i\, e_i e_i^\top$ with orthonormal $e_i$, and let $W = \sum_i \operatorname{sign}(u_i)\, e_i e_i^\top$, a matrix
# whose singular values are at most 1. So
#
# $$ \lVert A - B\rVert_1 \ge \operatorname{tr} W(A - B) = \operatorname{tr} |U| V = \sum_i |u_i|\, e_i^\top V e_i, $$
#
# where $|U| = WU = UW$. Both $V - U = 2B^{1/2}$ and $V + U = 2A^{1/2}$ have no negative
# eigenvalues, hence $e_i^\top V e_i \ge |e_i^\top U e_i| = |u_i|$, and the sum is at least $\sum_i u_i^2 = \lVert U\rVert_F^2$.
# ```
#
# The inequality is that of Powers and Størmer {cite:p}`powers1970free`.
#
# ```{prf:theorem} Two linear machines come together
# :label: thm-linear-halves
#
# Let two hands of $N$ images each be drawn independently from a law on $\mathbb R^d$ with mean $\mu$, covariance $\Sigma$ and $\kappa = \E\lVert x - \mu\rVert^4 < \infty$. Let $\hat\mu_A, \hat\Sigma_A$ and $\hat\mu_B, \hat\Sigma_B$ be their
# means and covariances, and follow the exact flow of the two affine denoisers from the same noise $\sigma_{\max}\, n$, $n \sim \mathcal N(0, I)$, with $\sigma_{\max} \to \infty$. The end points $x_A$ and $x_B$ satisfy
#
# $$ \E_n \lVert x_A - x_B \rVert^2 = \lVert \hat\Sigma_A^{1/2} - \hat\Sigma_B^{1/2} \rVert_F^2 + \lVert \hat\mu_A - \hat\mu_B \rVert^2 $$
#
# and, in the mean over the hands,
#
# $$ \E \lVert x_A - x_B \rVert^2 \le \frac{4 \operatorname{tr}\Sigma}{N} + \sqrt{\frac{2d\,(\kappa - \operatorname{tr}\Sigma^2)}{N}} . $$
# ```
#
# ```{prf:proof}
# By the proof of {prf:ref}`thm-affine-law` the flow multiplies each eigendirection's coordinate by $\sqrt{\lambda_i / (\lambda_i + \sigma_{\max}^2)}$. From $\sigma_{\max} n$ with $\sigma_{\max} \to \infty$ it ends in $x_A = \hat\mu_A + \hat\Sigma_A^{1/2} n$, likewise $x_B$. Their difference is
# $(\hat\Sigma_A^{1/2} - \hat\Sigma_B^{1/2})\,n + \hat\mu_A - \hat\mu_B$; with $\E nn^\top = I$ that is the first claim.
#
# For the second, let $S_A$ be the mean of $(x_i - \mu)(x_i - \mu)^\top$ over hand $A$, so that $\hat\Sigma_A = S_A - (\hat\mu_A - \mu)(\hat\mu_A - \mu)^\top$. By {prf:ref}`lem-square-roots` and the triangle inequality
#
# $$ \lVert \hat\Sigma_A^{1/2} - \hat\Sigma_B^{1/2} \rVert_F^2 \le \lVert S_A - S_B \rVert_1 + \lVert \hat\mu_A - \mu\rVert^2 + \lVert \hat\mu_B - \mu\rVert^2 . $$
#
# The last two terms have mean $\operatorname{tr}\Sigma / N$ each, and $\lVert\hat\mu_A - \hat\mu_B\rVert^2$ has mean $2\operatorname{tr}\Sigma/N$: four in all. A matrix of side $d$ has $\lVert M\rVert_1 \le \sqrt d\,\lVert M\rVert_F$, and by Jensen
# $\E\lVert S_A - S_B\rVert_F \le (\E\lVert S_A - S_B\rVert_F^2)^{1/2}$. The two are independent means of $N$ terms:
#
# $$ \E\lVert S_A - S_B\rVert_F^2 = \tfrac2N \E \lVert (x - \mu)(x-\mu)^\top - \Sigma\rVert_F^2 = \tfrac2N (\kappa - \operatorname{tr}\Sigma^2) . $$
# ```
#
# Where $\lVert x - \mu\rVert$ hardly varies, $\kappa \approx (\operatorname{tr}\Sigma)^2$, and the bound says that the squared distance, as a share of the variance $\operatorname{tr}\Sigma$, is at most about $\sqrt{2d/N}$. It is small as soon as $N$ is large
# against the number of pixels. No property of the images enters but these moments. Two disjoint hands dealt from one finite pile, as ours, are not quite independent, but $\E\lVert S_A - S_B\rVert_F^2$ changes by the factor $M/(M-1)$ only, with $M$ the size of the pile.
#
# ```{prf:proposition} Two perfect machines never meet
# :label: prop-perfect-halves
#
# Let two finite hands, each of two or more different images, have no image in common, and let $\delta$ be the least distance between an image of one and an image of the other. From almost every noise, the exact flows of the two perfect denoisers end at
# points at least $\delta$ apart.
# ```
#
# ```{prf:proof}
# By {prf:ref}`thm-perfect-copies` each flow ends, from almost every start, on an image of its own hand.
# ```
#
# In particular no sample is nearer to its twin than to its own hand. Among faces $\delta$ does not shrink below the distance of the two most similar valid ones, however large the hands: the perfect machine has no way from copying to generalising. Both statements in one picture:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Distance between the samples of two machines from the same noise against the number of faces, on logarithmic axes. The linear machine falls below its bound; the perfect machine stays level."}, "figure": {"caption": "Root mean square difference per pixel between the samples of two hands, same noise. Points: measured, in the sampler's few steps. Line: the formula of the theorem from the two covariances. Dashes: its bound. The perfect machine stays above the least distance between the hands (dots).", "name": "fig-gen-machines"}}
everyone = family.render(torch.arange(len(family)))


def bound(n):
    x = everyone.double().flatten(1)
    centred = x - x.mean(0)
    cov = centred.T @ centred / len(x)
    kappa = centred.square().sum(1).square().mean()
    return 4 * cov.trace() / n + (2 * len(cov) * (kappa - cov.square().sum()) / n).sqrt()


def root(A):
    values, vectors = torch.linalg.eigh(A)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def linear_gap(n):
    a, b = (dc.denoisers.Affine.fit(x[:n].double()).law(None) for x in hands)
    shift = (a.mean - b.mean).square().sum()
    return (root(a.cov) - root(b.cov)).square().sum() + shift


d = noise[0].numel()
apart = {
    key: (a - b).double().flatten(1).square().sum(1).mean()
    for key, (a, b) in made.items()
    if key[0] in kinds
}
limits = [bound(n) for n in sizes]
formula = [linear_gap(n) for n in sizes]
least = [metrics.nearest(*(x[:n] for x in hands))[0].min() for n in sizes]
assert all(f < b for f, b in zip(formula, limits, strict=True))
assert all(apart["perfect", n].sqrt() > e for n, e in zip(sizes, least, strict=True))
fig, ax = plt.subplots(figsize=(6.4, 3.4))


def per_pixel(squares):
    """Root of a squared distance of images, for each pixel."""
    return (torch.stack(squares) / d).sqrt()


ax.loglog(sizes, per_pixel(limits), "--", color=COLORS["law"], label="linear, bound")
ax.loglog(sizes, per_pixel(formula), color=COLORS["law"], label="linear, formula")
ax.loglog(
    sizes,
    per_pixel([apart["linear", n] for n in sizes]),
    "o",
    color=COLORS["generated"],
    label="linear, measured",
)
ax.loglog(
    sizes,
    per_pixel([apart["perfect", n] for n in sizes]),
    "s-",
    color=COLORS["data"],
    label="perfect, measured",
)
ax.loglog(
    sizes,
    torch.stack(least) / d**0.5,
    ":",
    color=COLORS["data"],
    label="least distance between hands",
)
ax.set(xlabel="faces in each hand, N", ylabel="difference per pixel")
ax.set_xticks(sizes, sizes)
ax.set_xticks([], minor=True)
ax.legend(fontsize=8)
plt.show()

# %% tags=["remove-input"]
slope = [
    math.log(formula[i + 1] / formula[i]) / math.log(sizes[i + 1] / sizes[i])
    for i in range(len(sizes) - 1)
]
dc.runtime.report(
    gen_samples=len(noise),
    gen_linear_few=percent(found["linear", sizes[0]]["nearer"].value),
    gen_linear_many=percent(found["linear", sizes[-1]]["nearer"].value),
    gen_perfect_many=f"{found['perfect', sizes[-1]]['r'][0]:.2f}",
    gen_many=f"{sizes[-1]:,}",
    gen_few=f"{sizes[0]:,}",
    gen_linear_slope=f"{slope[-1]:.2f}".replace("-", "−"),
    gen_linear_share=percent(
        formula[-1] / dc.denoisers.Affine.fit(everyone).law(None).cov.trace(), 1
    ),
)

# %% [markdown]
# The linear machines' samples are nearer to the twin in {glue:text}`gen_linear_few` of the pairs with {glue:text}`gen_few` faces and in {glue:text}`gen_linear_many` with {glue:text}`gen_many`; there the squared distance is {glue:text}`gen_linear_share` of the variance. It falls faster than
# the bound, between the last two sizes as $N^a$ with $a \approx$ {glue:text}`gen_linear_slope`: the bound must hold for every law, also for one whose covariance is near 0 in many directions, where square roots are steep.
#
# So agreement is no miracle and needs no intelligence: a machine that keeps only what both hands have in common must agree. What the linear machine keeps is too little for a face. The question is what a network keeps.
#
# (sec-generalise-networks)=
# ## Two networks
#
# Both networks of a pair start from the same weights and see noise of the same seed, in batches of 32, for the same number of steps. They differ in nothing but the hand. The rate of learning is constant after a short warm-up, so what happens until a step does not depend on when we stop; samples come from a moving
# average of the weights.


# %% tags=["hide-input"]
def cell(interval):
    return f"{interval[0]:.2f} ({interval[1]:.2f} to {interval[2]:.2f})".replace("-", "−")


def spread(interval):
    return f"{percent(interval.value)} ({percent(interval.low)} to {percent(interval.high)})"


dc.runtime.Table(
    ("machine", "faces in each hand", "nearer to its twin", "r, twin", "r, nearest training image", "r, other noise",
     "the same face", "by chance", "traits in common", "by chance"),
    [(name, f"{n:,}", spread(a["nearer"]), cell(a["r"]), cell(a["r_train"]), cell(a["r_others"]), percent(a["same_face"]),
      percent(a["same_face_others"], 1), percent(a["same_traits"]), percent(a["same_traits_others"]))
     for name in ("UNet", "perfect", "linear") for n in steps_of if (name, n) in found for a in [found[name, n]]],
)  # fmt: skip


# %% tags=["hide-input"]
def shares(m, half=0, at=-1):
    """Copies, new faces, no faces at a moment of a run, and copies among the valid ones."""
    copy, new, bad = (m[k][half][at] for k in ("copy", "creative", "invalid"))
    valid = percent(copy / (copy + new)) if copy + new else "none valid"
    return percent(copy), percent(new), percent(bad), valid, percent(m["base_rate"], 1)


def rate(m, half=0, at=-1):
    return percent(m["third_rule"][half][at]), percent(m["third_rule_held_out"][half])


dc.runtime.Table(
    ("faces", "network", "copies", "new faces", "no faces", "copies among valid", "base rate N/M",
     "third rule", "third rule, held out", "loss, training", "loss, held out"),
    [(f"{n:,}", "AB"[half], *shares(m, half), *rate(m, half), f"{np.mean(m['seen'][half][-1]):.3f}", f"{np.mean(m['unseen'][half][-1]):.3f}")
     for n, m in pairs.items() for half in (0, 1)] or [("not run", *10 * [""])],
)  # fmt: skip


# %% tags=["remove-input"]
few_n, many_n = (min(pairs), max(pairs)) if pairs else (16, 4096)


def known_of(machine, n, value):
    """A number of a pair for the prose, or a dash where the pair has not been computed."""
    return value(found[machine, n]) if (machine, n) in found else "—"


dc.runtime.report(
    gen_net_few=f"{few_n:,}",
    gen_net_many=f"{many_n:,}",
    gen_net_steps=f"{pace['moments'][-1]:,}" if pace else "—",
    **{
        f"gen_net_{word}_{key}": known_of("UNet", n, lambda a, key=key: cell(a[key]))
        for word, n in (("few", few_n), ("many", many_n))
        for key in ("r", "r_train", "r_others")
    },
    **{
        f"gen_{machine}_{word}_nearer": known_of(machine, n, lambda a: spread(a["nearer"]))
        for machine in ("UNet", "perfect")
        for word, n in (("few", few_n), ("many", many_n))
    },
    gen_net_many_same=known_of("UNet", many_n, lambda a: percent(a["same_face"])),
    gen_net_many_traits=known_of("UNet", many_n, lambda a: percent(a["same_traits"])),
    gen_perfect_many_traits=known_of("perfect", many_n, lambda a: percent(a["same_traits"])),
    gen_net_many_traits_chance=known_of("UNet", many_n, lambda a: percent(a["same_traits_others"])),
)

# %% [markdown]
# After {glue:text}`gen_net_steps` steps a network with {glue:text}`gen_net_few` faces draws a face nearer to its twin than to its own hand in {glue:text}`gen_UNet_few_nearer` of the pairs (95 % over samples), one with {glue:text}`gen_net_many` faces in {glue:text}`gen_UNet_many_nearer`; for
# the perfect machine it is {glue:text}`gen_perfect_many_nearer`. The correlations with the twin are {glue:text}`gen_net_few_r` and {glue:text}`gen_net_many_r`, with the nearest training image {glue:text}`gen_net_few_r_train` and {glue:text}`gen_net_many_r_train`, from other noise {glue:text}`gen_net_many_r_others`. In words of the oracle: with {glue:text}`gen_net_many` faces, the
# valid face nearest to the sample is the same one in {glue:text}`gen_net_many_same` of the pairs, and {glue:text}`gen_net_many_traits` of its attributes are ({glue:text}`gen_net_many_traits_chance` with other noise, {glue:text}`gen_perfect_many_traits` for the perfect machine: where hands are this dense, common traits tell no more than a correlation). From 256 faces on, the share of pairs in which the twin is nearer no longer grows, as far as the intervals tell, though the correlation does: the denser the own hand, the nearer is its nearest face.
#
# The agreement alone does not say that the network is good; the linear machine agrees too. On held-out faces the losses are, with the same noise for all (weighted as in training, so that a machine that returns the best multiple of its input has about 1):

# %% tags=["hide-input"]
levels = pace["levels"] if pace else config.pace.levels
s = float(held_out.std())
held_noise = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(2**31 - 1))


def held_out_loss(denoise):
    errors = [(denoise(held_out + v * held_noise, v) - held_out).square().mean() for v in levels]
    return [(v**2 + s**2) / (v * s) ** 2 * float(e) for v, e in zip(levels, errors, strict=True)]


losses = {
    (name, n): held_out_loss(fit(hands[0][:n]))
    for name, fit in kinds.items()
    for n in sorted({few_n, many_n})
}
losses |= {("UNet", n): pairs[n]["unseen"][0][-1] for n in sorted({few_n, many_n}) if n in pairs}
dc.runtime.Table(
    ("machine", "faces", *(f"σ = {v:g}" for v in levels)),
    [(name, f"{n:,}", *(f"{v:.3f}" for v in row)) for (name, n), row in losses.items()],
)

# %% [markdown]
# Is it because the two began with the same weights? The run `reseeded` has another start, another order of examples and other noise on the second hand:

# %% tags=["hide-input"]
reseeded = {}
for name in units:
    kind, _, n = name.rpartition("-")
    if kind == "reseeded" and f"pair-{n}" in units:
        a, b = tensors[f"pair-{n}"]["last"][0].float(), tensors[name]["last"][0].float()
        reseeded[int(n)] = agreement(a, b, int(n))
dc.runtime.Table(
    (
        "faces in each hand",
        "nearer to its twin, same weights at the start",
        "other weights, order, noise",
        "r, same weights",
        "r, other",
    ),
    [
        (
            f"{n:,}",
            spread(found["UNet", n]["nearer"]),
            spread(a["nearer"]),
            cell(found["UNet", n]["r"]),
            cell(a["r"]),
        )
        for n, a in reseeded.items()
    ]
    or [("not run", *4 * [""])],
)

# %% [markdown]
# The agreement is a little less, and most of it stays: it comes from what the hands have in common.
#
# (sec-generalise-shuffle)=
# ## Shuffle the pixels
#
# Agreement shows that a network keeps what the hands share. It does not show why what it keeps is *faces*. Take one order of the pixels, drawn once, and rearrange all images by it. Nothing is lost: whoever knows the order can put every image back. A machine that does not know the grid cannot tell the
# difference.
#
# ```{prf:proposition} Who does not know the grid
# :label: prop-shuffled-pixels
#
# Let $Q$ be an orthogonal matrix, such as a reordering of pixels, and $\mathcal F$ a class of denoisers that contains $y \mapsto Q^{-1} D(Qy)$ and $y \mapsto Q D(Q^{-1}y)$ with every $D$. Let $D_\sigma$ be the best of the class for some images, and the only best one. Then the best for the images $Qx$ is $y \mapsto Q D_\sigma(Q^{-1}y)$, and from the noise $Qn$ its flow ends in
# $Q$ times the point where the flow of $D_\sigma$ ends from $n$. So put back by $Q^{-1}$, its samples have the same law.
#
# The classes of all functions, of affine ones, of affine ones of a given rank, and of pixelwise ones (for reorderings) have this property. Convolutions and windows have not.
# ```
#
# ```{prf:proof}
# For white noise, $Qx + \sigma n$ has the law of $Q(x + \sigma n)$, and
#
# $$ \lVert Qx - D(Q(x + \sigma n))\rVert = \lVert x - Q^{-1}D(Q(x + \sigma n))\rVert . $$
#
# So the loss of $D$ on the images $Qx$ is that of $Q^{-1}D(Q\,\cdot)$ on the images $x$. As $D$ runs through $\mathcal F$ so does $Q^{-1}D(Q\,\cdot)$, and the best is where $Q^{-1}D(Q\,\cdot) = D_\sigma$.
# With $u = Q^{-1}y$ the flow $\mathrm dy/\mathrm d\sigma = (y - QD_\sigma(Q^{-1}y))/\sigma$ becomes $\mathrm du/\mathrm d\sigma = (u - D_\sigma(u))/\sigma$. The start $Qn$ is as normal as $n$.
#
# The classes: with an invertible linear map before and after it, a function stays a function, and an affine one stays affine and keeps its rank; a reordering moves each pixel together with its own function. A 3×3 convolution between two reorderings is none in general: take one that moves neighbours apart.
# ```
#
# So whatever shuffling does to a machine is due to what its architecture assumes of the grid. Live, with closed forms:


# %% tags=["hide-input"]
order = study.pixel_order(config.size, seed)
x, few_noise = hands[0][: run.size(smoke=64, book=256)], noise[:32]
fits = {
    "perfect": dc.denoisers.Bayes.fit,
    "linear": dc.denoisers.Affine.fit,
    "linear of rank 20": lambda y: dc.denoisers.LinearBottleneck.fit(y, rank=20),
    "pixelwise": dc.denoisers.Pixelwise.fit,
    "linear convolution, 3×3": lambda y: dc.denoisers.Convolutional.fit(y, kernel_size=3),
    "windows, 3×3": lambda y: dc.denoisers.LocalScore.fit(y, window=3),
}
moved = {}
for name, fit in fits.items():
    plain = dc.sampling.heun(fit(x), few_noise, sigmas)
    other = dc.sampling.heun(fit(study.shuffle(x, order)), study.shuffle(few_noise, order), sigmas)
    back = study.shuffle(other, order, back=True)
    moved[name] = float((back - plain).norm() / plain.norm())
assert max(list(moved.values())[:4]) < 0.01 < 0.1 < min(list(moved.values())[4:])
dc.runtime.Table(
    ("machine", "difference between the samples, put back, and those of ordinary images"),
    [(name, f"{value:.1e}" if value < 0.01 else f"{value:.2f}") for name, value in moved.items()],
)

# %% [markdown]
# And the network, with the same faces, weights at the start, order of examples and number of steps as network A of its pair:

# %% tags=["hide-input"]
rows = []
for name, m in units.items():
    kind, _, n = name.rpartition("-")
    if kind == "shuffled" and f"pair-{n}" in units:
        for word, one in (("in place", units[f"pair-{n}"]), ("shuffled", m)):
            rows.append((f"{int(n):,}", word, *shares(one), *rate(one)[:1], f"{np.mean(one['seen'][0][-1]):.3f}",
                         f"{np.mean(one['unseen'][0][-1]):.3f}"))  # fmt: skip
dc.runtime.Table(
    ("faces", "pixels", "copies", "new faces", "no faces", "copies among valid", "base rate N/M", "third rule", "loss, training",
     "loss, held out"),
    rows or [("not run", *9 * [""])],
)  # fmt: skip

# %% tags=["hide-input"] mystnb={"image": {"alt": "Rows of samples of networks trained on ordinary images, and of networks trained on shuffled ones, put back in order, for few and for many faces."}, "figure": {"caption": "Samples of networks trained with the pixels in place, and of networks trained with shuffled pixels, here put back in order. With few faces both copy; with many, look at the parts of the faces.", "name": "fig-gen-shuffled"}}
shown = [
    (f"{int(name.rpartition('-')[2]):,} faces, {word}", tensors[key]["last"][0, :12].float())
    for name in units
    if name.startswith("shuffled") and f"pair-{name.rpartition('-')[2]}" in units
    for word, key in (("in place", f"pair-{name.rpartition('-')[2]}"), ("shuffled", name))
]
if shown:
    fig, axes = plt.subplots(len(shown), 1, figsize=(7.2, 0.95 * len(shown)), squeeze=False)
    for ax, (title, y) in zip(axes[:, 0], shown, strict=True):
        dc.style.image_grid(y.numpy(), columns=12, ax=ax)
        ax.set_title(title, fontsize=9)
    plt.show()

# %% [markdown]
# (sec-generalise-time)=
# ## First what is shared, then what is private
#
# A network passes through stages while it learns. {cite:t}`bonnaire2025why` find two times: after $\tau_\text{gen}$ the samples are good, after $\tau_\text{mem}$ they are copies; the first does not depend on the number of images $N$, the second grows like $N$. Between the two a network generalises, and
# more images make that window wider. Why should it be so? The simplest machine that shows it learns nothing but the weights of given features, and each image's features consist of a part that all images share and a private part.
#
# ```{prf:proposition} The shared part is learned first
# :label: prop-shared-first
#
# Let a machine predict the number $w^\top \varphi$, with weights $w$ that start at 0 and follow the gradient flow of $\frac1{2N}\sum_i (w^\top\varphi_i - t_i)^2$. Let the examples be $\varphi_i = s + p_i$ with $s$ and all $p_i$ at right angles to each other, $\lVert s\rVert^2 = \alpha$ and $\lVert p_i\rVert^2 = \beta$. Let $\bar t$ be the mean of the $t_i$ and $v$ their variance. Then
#
# 1. the mean squared error on the examples is $\bar t^2 e^{-2(\alpha + \beta/N)\tau} + v\, e^{-2\beta \tau / N}$ after time $\tau$;
# 2. to a new example $s + p$, with $p$ at right angles to all that was seen, the machine answers $\bar t\, \frac{\alpha}{\alpha + \beta/N}\bigl(1 - e^{-(\alpha + \beta/N)\tau}\bigr)$.
#
# So new examples have all that they ever get after a time of order $1/\alpha$, whatever $N$ is, while what is private to the examples is learned in a time $N/\beta$.
# ```
#
# ```{prf:proof}
# Let $r = (t_i - w^\top\varphi_i)_i$. The flow $\dot w = \frac1N\sum_i r_i\varphi_i$ gives $\dot r = -\frac1N K r$ with $K_{ij} = \varphi_i^\top\varphi_j = \alpha + \beta\,1[i = j]$. This matrix has the constant vector as an eigenvector, with $\alpha N + \beta$, and all vectors of mean 0, with $\beta$. So the mean of $r$ decays at rate $\alpha + \beta/N$ and the rest at rate $\beta/N$: the first claim.
# The answer to the new example is $w^\top s$, since $w$ is in the span of what was seen. Its derivative is $\frac1N\sum_i r_i\,\varphi_i^\top s = \alpha\bar r = \alpha \bar t e^{-(\alpha + \beta/N)\tau}$; integrate.
# ```
#
# A step of stochastic gradient descent with a batch of $B$ examples meets each one with probability about $B/N$. So the second time says: every example must have been met a certain number of *times* before it is learned by heart. The proposition is ours and a caricature; the theory of {cite:t}`bonnaire2025why` has random
# features and a spectrum of rates in place of two. Its curves:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Errors against time on a logarithmic axis for three numbers of examples. The error on new examples falls at one time for all; the error on the examples themselves falls later, four times later for four times as many."}, "figure": {"caption": "The caricature with α = 1, β = 0.5, mean target 1, variance 1. Lines: error on the examples. Dots: gradient descent in small steps. Dashes: error of the mean answer to new examples, small long before the examples are known by heart.", "name": "fig-gen-shared"}}
alpha, beta = 1.0, 0.5
time = np.geomspace(0.05, 3000, 200)
fig, ax = plt.subplots(figsize=(6.4, 3.2))
for k, n in enumerate((16, 64, 256)):
    fast, slow = alpha + beta / n, beta / n
    colour = f"C{k}"
    curve = np.exp(-2 * fast * time) + np.exp(-2 * slow * time)
    ax.semilogx(time, curve, color=colour, label=f"N = {n}")
    ax.semilogx(time, (1 - alpha / fast * (1 - np.exp(-fast * time))) ** 2, "--", color=colour)
    # Check: gradient descent, on features at right angles and targets of mean 1 and variance 1.
    Phi = torch.cat([alpha**0.5 * torch.ones(n, 1), beta**0.5 * torch.eye(n)], 1).double()
    target = 1 + torch.tensor([1.0, -1.0]).double().repeat(n // 2)
    w, now, rate_ = torch.zeros(n + 1).double(), 0.0, 0.1
    checks = [1.0, 10.0, 100.0]
    while checks:
        w += rate_ * Phi.T @ (target - Phi @ w) / n
        now += rate_
        if now >= checks[0] - 1e-9:
            error = (target - Phi @ w).square().mean().item()
            exact = math.exp(-2 * fast * now) + math.exp(-2 * slow * now)
            assert abs(error - exact) < 0.02
            ax.semilogx(now, error, "o", color=colour, markersize=4)
            checks.pop(0)
ax.set(xlabel="time τ", ylabel="mean squared error", ylim=(0, None))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Now the networks. Move the time, and watch a network with few faces and one with many, each above its twin of the other hand.


# %% tags=["hide-input"]
def curves(m, key):
    """Values over time (networks, moments)."""
    return np.asarray(m[key], dtype=float)


def ratio(m):
    """Held-out over training loss, mean over levels, (networks, moments)."""
    return (curves(m, "unseen") / curves(m, "seen")).mean(-1)


plain = {m["n"]: m for name, m in units.items() if name.startswith("single-")} | pairs
plain = dict(sorted(plain.items()))
moments = pace["moments"] if pace else []


def draw_time(n, step):
    m, at = plain[n], moments.index(step)
    film = tensors[f"pair-{n}" if n in pairs else f"single-{n}"]["film"][:, at].float()
    copies, new = (100 * curves(m, key)[0] for key in ("copy", "creative"))
    twin = "Below: its twin. " if len(film) == 2 else ""
    words = (f"{n:,} faces, after {step:,} steps: {copies[at]:.0f} % copies, {new[at]:.0f} % new faces; each face has been "
             f"met {step * pace['batch'] / n:.0f} times on average. {twin}")  # fmt: skip
    return {
        "samples": [marks.images(bytes_of(film[:, :6].flatten(0, 1)), columns=6, cell=64)],
        "shares": [
            marks.line(moments, copies, color="data", label="copies", label_at=0.9),
            marks.line(moments, new, color="generated", label="new faces", label_at=0.8),
            marks.vline(step),
        ],
        "alt": f"Samples from six noises. {words}",
        "caption": words,
    }


film_explorer = Explorer.precomputed(
    draw_time,
    [Choice("n", {f"{n:,}": n for n in plain}, "faces in the training set"),
     Slider("step", moments, "training steps", format=",", play=True, start=moments[-1])],
    {"samples": Panel("Samples, always from the same six noises", kind="images"),
     "shares": Panel("Judged by the oracle", xlabel="training steps", ylabel="% of 128 samples",
                     xlog=True, ylim=(0, 100))},
    title="A network while it learns",
) if plain else print("The networks have not been trained yet.")  # fmt: skip
film_explorer

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three panels: share of copies against steps, ratio of held-out to training loss against steps, and the same ratio against the number of times that each face was met."}, "figure": {"caption": "Left: copies among all samples. Middle: held-out loss over training loss. Right: the same against how often each face was met. One line for each network.", "name": "fig-gen-time"}}
if plain:
    fig, axes = plt.subplots(1, 3, figsize=(7.6, 3.0))
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(plain)))
    for colour, (n, m) in zip(shades, plain.items(), strict=True):
        for k, (copies, gap) in enumerate(zip(curves(m, "copy"), ratio(m), strict=True)):
            label = f"{n:,}" if k == 0 else None
            axes[0].semilogx(moments, 100 * copies, color=colour, label=label)
            axes[1].loglog(moments, gap, color=colour)
            axes[2].loglog(np.array(moments) * pace["batch"] / n, gap, color=colour)
    axes[0].set(xlabel="steps", ylabel="copies, %", ylim=(0, 100))
    axes[1].set(xlabel="steps", ylabel="held-out / training loss")
    axes[2].set(xlabel="times each face was met")
    axes[0].legend(title="faces", fontsize=7, title_fontsize=7)
    plt.show()

# %% [markdown]
# On the right the curves fall on one: what counts is how often a network has met each face. Now watch the pairs over time. Both networks of a pair start as one, and learn in the same order from the same noise:

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels against training steps on a logarithmic axis, one line for each number of faces: correlation with the twin, and distance to the twin over distance to the nearest training image."}, "figure": {"caption": "Left: correlation between the samples of a pair of networks, same noise. Right: distance to the twin over distance to the nearest face of the own hand (medians). Above 1, the hand is nearer than the twin.", "name": "fig-gen-part"}}


def parting(m):
    """Distance to the twin over distance to the nearest training image, (1, moments); empty alone."""
    alike = m.get("agreement", [])
    return np.array([[a["apart"] / max(a["apart_train"], 1e-6) for a in alike]]) if alike else []


if pairs:
    fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.0))
    for n, m in pairs.items():
        colour = shades[list(plain).index(n)]
        axes[0].semilogx(moments, [a["r"][0] for a in m["agreement"]], color=colour, label=f"{n:,}")
        axes[1].loglog(moments, parting(m)[0], color=colour)
    axes[1].axhline(1, color=COLORS["muted"], linestyle=":")
    axes[0].set(xlabel="steps", ylabel="correlation with the twin", ylim=(0, 1.02))
    axes[1].set(xlabel="steps", ylabel="to the twin / to the own hand")
    axes[0].legend(title="faces", fontsize=7, title_fontsize=7)
    plt.show()

# %% [markdown]
# So to agree is where a network *begins*: what it learns first is what any hand teaches. Then it learns its own images, and parts from its twin, the sooner the fewer they are.
#
# Several clocks. A network *has learned faces* when the held-out loss falls to {glue:text}`gen_learned` (a new network has 1), an early stage: the samples are far from faces then, and it is not the $\tau_\text{gen}$ of the paper, which is read off the quality of samples. It *begins to know its images* when the loss on held-out images is 1.1, 1.25 or 2 times that on its own. It *parts from its twin* when its samples (their median) are nearer to its own hand
# than to the twin's samples. It *begins to copy* when a fifth of its samples are copies by the oracle. Each time is read off a curve by interpolation over its logarithm.

# %% tags=["hide-input"]
LEARNED, COPIES, GAPS = 0.4, 0.2, (1.1, 1.25, 2)


def clock(m, values, threshold, fall=False):
    """Onsets of every network of a unit; a curve that must fall is turned over."""
    sign = -1 if fall else 1
    return [onset(moments, sign * row, sign * threshold) for row in values(m)]


def times(value):
    return " / ".join("—" if math.isnan(t) else f"{t:,.0f}" for t in value)


clocks = {
    "has learned faces": lambda m: clock(
        m, lambda m: curves(m, "unseen").mean(-1), LEARNED, fall=True
    ),
    **{f"loss ratio {g}": lambda m, g=g: clock(m, ratio, g) for g in GAPS},
    "parts from its twin": lambda m: clock(m, parting, 1.0),
    "a fifth copies": lambda m: clock(m, lambda m: curves(m, "copy"), COPIES),
}
onsets = {name: {n: read(m) for n, m in plain.items()} for name, read in clocks.items()}
best = {n: [moments[i] for i in curves(m, "unseen").mean(-1).argmin(1)] for n, m in plain.items()}
dc.runtime.Table(
    ("faces", *clocks, "least held-out loss at"),
    [(f"{n:,}", *(times(onsets[name][n]) for name in clocks), times(best[n])) for n in plain]
    or [("not run", *(1 + len(clocks)) * [""])],
)

# %% tags=["hide-input"]
exponents = {}
for name, found_at in onsets.items():
    points = [(n, t) for n, ts in found_at.items() for t in ts]
    inside = [(n, t) for n, t in points if t > moments[0]]  # earlier than the first look is unknown
    if sum(math.isfinite(t) for _, t in inside) >= 3:
        used = sorted({n for n, t in inside if math.isfinite(t)})
        exponents[name] = (
            exponent(*zip(*inside, strict=True)),
            used,
            sum(math.isfinite(t) for _, t in inside),
        )
dc.runtime.Table(
    ("clock", "exponent a of N^a", "95 %", "networks", "training sets of"),
    [(name, f"{a.value:.2f}".replace("-", "−"), f"{a.low:.2f} to {a.high:.2f}".replace("-", "−"), str(count), ", ".join(f"{n:,}" for n in used))
     for name, (a, used, count) in exponents.items()] or [("not run", *4 * [""])],
)  # fmt: skip


# %% tags=["remove-input"]
def power(name):
    if name not in exponents:
        return "—"
    a = exponents[name][0]
    return f"{a.value:.2f} (95 %: {a.low:.2f} to {a.high:.2f})".replace("-", "−")


dc.runtime.report(
    gen_learned=f"{LEARNED}",
    gen_power_learned=power("has learned faces"),
    gen_power_gap=power("loss ratio 1.1"),
    gen_power_gap_later=power("loss ratio 1.25"),
    gen_power_gap_last=power("loss ratio 2"),
    gen_part_times="; ".join(
        f"{times(ts)} with {n:,} faces"
        for n, ts in onsets["parts from its twin"].items()
        if not all(map(math.isnan, ts))
    )
    or "—",
    gen_part_never=", ".join(
        f"{n:,}"
        for n, ts in onsets["parts from its twin"].items()
        if ts and all(map(math.isnan, ts))
    )
    or "none",
    gen_power_copies=power("a fifth copies"),
)

# %% [markdown]
# Networks that did not come that far, and those that were there at the first look, are left out. The exponents: {glue:text}`gen_power_gap` for the loss ratio 1.1, {glue:text}`gen_power_gap_later` for 1.25 and {glue:text}`gen_power_gap_last` for 2, {glue:text}`gen_power_copies` for copying itself, and {glue:text}`gen_power_learned` for having learned faces. Pairs part after so many steps: {glue:text}`gen_part_times`; those with {glue:text}`gen_part_never` had not parted at the end. The intervals are those of a straight line through the points, which take the networks for independent; two networks of a pair share
# their weights at the start and the held-out faces, and larger hands contain smaller ones.
#
# (sec-generalise-capacity)=
# ## Capacity
#
# The window can be left on the other side too: a network without room for its images cannot learn them by heart. The same small set of faces, networks of other widths:

# %% tags=["hide-input"]
WIDTHS = {"width_quarter": 0.25, "width_half": 0.5, "pair": 1.0, "width_double": 2.0}
narrow = {name.rpartition("-")[2] for name in units if name.startswith("width")}


def parameters(factor):
    from diffusion_creativity.networks import UNet, UNetConfig

    design = UNetConfig(**result.record["config"]["design"])
    return sum(p.numel() for p in UNet(study.widened(design, factor)).parameters())


rows = []
for n in sorted(narrow, key=int):
    for kind, factor in WIDTHS.items():
        if f"{kind}-{n}" in units:
            m = units[f"{kind}-{n}"]
            rows.append((n, f"{factor:g}", f"{parameters(factor):,}", *shares(m)[:3], f"{np.mean(m['seen'][0][-1]):.3f}",
                         f"{np.mean(m['unseen'][0][-1]):.3f}", times(clocks["a fifth copies"](m)[:1])))  # fmt: skip
dc.runtime.Table(
    ("faces", "width", "parameters", "copies", "new faces", "no faces", "loss, training", "loss, held out",
     "a fifth copies at step"),
    rows or [("not run", *8 * [""])],
)  # fmt: skip

# %% [markdown]
# (sec-generalise-claims)=
# ## What was claimed, and what we saw
#
# The published runs are far larger. {cite:t}`kadkhodaie2024generalization` train a UNet of 7.6 million parameters on grey photographs of 80×80 pixels, up to 100,000 of them; {cite:t}`bonnaire2025why` one on photographs of 32×32, for up to two million steps, and call a sample a copy by the third rule. Ours are drawings and
# minutes. What can be compared is the direction of each finding:


# %% tags=["hide-input"]
def unseen(name):
    return np.mean(units[name]["unseen"][0][-1]) if name in units else math.nan


shuffles = sorted(int(name.split("-")[1]) for name in units if name.startswith("shuffled-"))
worse = {n: unseen(f"shuffled-{n}") / unseen(f"pair-{n}") for n in shuffles}
dc.runtime.Table(
    ("published", "by", "here", "measured"),
    [
        ("few images: samples are training images", "Kadkhodaie et al.", f"nearer to the twin, N = {few_n:,}",
         known_of("UNet", few_n, lambda a: spread(a["nearer"]))),
        ("many images: two networks draw nearly the same, new images", "Kadkhodaie et al.", f"nearer to the twin, N = {many_n:,}",
         known_of("UNet", many_n, lambda a: spread(a["nearer"]))),
        ("shuffled pixels: a network denoises much worse", "Kadkhodaie et al.", "held-out loss, shuffled over in place",
         "; ".join(f"N = {n:,}: {value:.2f}" for n, value in worse.items()) or "—"),
        ("time until samples are good does not depend on N", "Bonnaire et al.", "exponent of an early stage, held-out loss 0.4",
         power("has learned faces")),
        ("time until memory is in proportion to N", "Bonnaire et al.", "exponent, loss ratio 1.1 / 1.25 / 2 / parts from its twin / a fifth copies",
         " / ".join(map(power, list(clocks)[1:]))),
    ],
)  # fmt: skip


# %% tags=["remove-input"]
def of_unit(name, value):
    """A number of a stored unit for the prose, or a dash where it has not been computed."""
    return value(units[name]) if name in units else "—"


def last(key):
    return lambda m: " and ".join(percent(row[-1]) for row in m[key])


def valid(m):
    return " and ".join(percent(1 - row[-1]) for row in m["invalid"])


first = moments[0] if moments else "—"
if (
    result and result.record["provenance"]["profile"] == "book" and ("UNet", 4096) in losses
):  # what the text says
    assert losses["linear", 4096][0] < losses["UNet", 4096][0]
    assert all(
        exponents[k][0].low < 1 < exponents[k][0].high
        for k in (*list(clocks)[2:4], "a fifth copies")
    )
    assert all(a["nearer"].low > 0.3 for a in reseeded.values())
    assert exponents["loss ratio 1.1"][0].high < 1
    nearer = [found["UNet", n]["nearer"] for n in (256, 1024, 4096)]
    assert max(a.low for a in nearer) < min(a.high for a in nearer)
    assert found["UNet", few_n]["nearer"].high < 0.1 < 0.5 < found["UNet", 4096]["nearer"].low
    assert ratio(pairs[few_n])[:, -1].min() > 10 > 1.1 > ratio(pairs[4096])[:, -1].max()
dc.runtime.report(
    gen_first=first,
    gen_few_copies=of_unit(f"pair-{few_n}", last("copy")),
    gen_many_valid=of_unit(f"pair-{many_n}", valid),
    gen_few_first_r=of_unit(f"pair-{few_n}", lambda m: f"{m['agreement'][0]['r'][0]:.2f}"),
    gen_few_last_r=of_unit(f"pair-{few_n}", lambda m: f"{m['agreement'][-1]['r'][0]:.2f}"),
    gen_shuffled_few_copies=of_unit(f"shuffled-{few_n}", last("copy")),
    gen_shuffled_many_valid=of_unit(f"shuffled-{many_n}", valid),
    gen_shuffled_many_loss=f"{worse[many_n]:.2f}" if many_n in worse else "—",
    **{
        f"gen_{name}_copies": of_unit(f"{name}-{few_n}", last("copy"))
        for name in ("width_quarter", "width_half", "width_double")
    },
)

# %% [markdown]
# **As published, in direction.** Networks with {glue:text}`gen_net_few` faces copy: {glue:text}`gen_few_copies` of their samples, in the two hands. With {glue:text}`gen_net_many`, samples of disjoint hands are nearer to each other than to any image of their own hand in {glue:text}`gen_UNet_many_nearer` of the pairs, which no copying machine does. On shuffled pixels
# the held-out loss with {glue:text}`gen_net_many` faces is {glue:text}`gen_shuffled_many_loss` times as large, and {glue:text}`gen_shuffled_many_valid` of the samples are valid. The time to an early stage of learning hardly depends on the number of faces (exponent {glue:text}`gen_power_learned`); the time to know them by heart grows with it, in proportion as far as the intervals tell (exponents {glue:text}`gen_power_gap_later` and {glue:text}`gen_power_gap_last` for the loss ratios 1.25 and 2, {glue:text}`gen_power_copies` for copying; 1 is "in proportion"). The first sign, a ratio of 1.1, comes with {glue:text}`gen_power_gap`, below 1: with few faces it falls among the first looks, when the network learns what is shared, so that the two stages are not apart. Narrower networks copy later: of
# {glue:text}`gen_net_few` faces, a quarter, half and twice the width copy {glue:text}`gen_width_quarter_copies`, {glue:text}`gen_width_half_copies` and {glue:text}`gen_width_double_copies`.
#
# **What we add.**
#
# * *Agreement comes first.* Two networks with {glue:text}`gen_net_few` faces each correlate with {glue:text}`gen_few_first_r` after {glue:text}`gen_first` steps and with {glue:text}`gen_few_last_r` at the end. Few images do not keep networks from agreeing, they make them part sooner.
# * *Copying does not need the grid.* The network that was shown {glue:text}`gen_net_few` shuffled faces copies them: {glue:text}`gen_shuffled_few_copies`. What needs an architecture that fits is everything that is *not* learned by heart.
# * *A correlation proves little.* Two copying machines reach {glue:text}`gen_perfect_many` with {glue:text}`gen_many` faces in each hand. The distance to the own hand must be shown beside it, as {cite:t}`kadkhodaie2024generalization` do.
#
# **What we did not see.** Finished new faces in number: of the samples with {glue:text}`gen_net_many` faces, {glue:text}`gen_many_valid` are valid in the two hands. Two networks agree, in most pairs, on a face that the oracle does not yet accept. At the lowest noise level even the linear machine has the smaller loss there. For creativity in the sense of
# {doc}`12_measuring_creativity_and_realism` these networks are trained too briefly.
#
# **Limits.** These runs are CPU-sized: drawn faces of 16×16 pixels, one family of networks, one seed, at most {glue:text}`gen_net_steps` steps; the published ones use photographs and hundreds of times the computation. `python -m diffusion_creativity run generalisation --profile gpu` trains on faces of 32×32
# pixels at three places, up to 65,536 in each hand, with three seeds; it has not been run. The intervals are over samples or over networks, not over draws of the pile. A fixed number of steps is no convergence: a network with many faces would become better with time, and at last, if the law of the times holds, copy.
#
# ## Exercises
#
# ```{exercise} How far apart?
# :label: ex-generalise-gap
#
# Write `linear_gap_yours(mean_a, cov_a, mean_b, cov_b)`: the mean squared distance between the samples of two linear machines with these means (d,) and covariances (d, d), from the same noise.
# The cells above define `root`, the square root of a covariance.
# ```


# %%
def linear_gap_yours(mean_a, cov_a, mean_b, cov_b): ...  # your code: return a number


# dc.exercises.check_linear_gap(linear_gap_yours)

# %% [markdown]
# ```{solution-start} ex-generalise-gap
# :class: dropdown
# ```
#
# {prf:ref}`thm-linear-halves`, first part. The Fréchet distance would be smaller: it pairs the two laws in the best way, and here the noise decides who is paired. They agree where the covariances commute.


# %%
def linear_gap_solution(mean_a, cov_a, mean_b, cov_b):
    return (root(cov_a) - root(cov_b)).square().sum() + (mean_a - mean_b).square().sum()


assert dc.exercises.check_linear_gap(linear_gap_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Put the pixels back
# :label: ex-generalise-unshuffle
#
# A denoiser was trained on images whose pixels were rearranged: pixel $i$ of a rearranged image is pixel `order[i]` of the image, counted row by row. Write `unshuffle(denoise, order)`, which returns the denoiser `(y, sigma) -> x_hat` for ordinary images y (n, 1, h, w) that follows from it.
# ```


# %%
def unshuffle(denoise, order): ...  # your code: return a function of y and sigma


# dc.exercises.check_unshuffle(unshuffle)

# %% [markdown]
# ```{solution-start} ex-generalise-unshuffle
# :class: dropdown
# ```
#
# $Q^{-1} D(Qy)$: rearrange, denoise, put back. The inverse of an order is its `argsort`.


# %%
def unshuffle_solution(denoise, order):
    def plain(y, sigma):
        found = denoise(y.flatten(1)[:, order].reshape(y.shape), sigma)
        return found.flatten(1)[:, order.argsort()].reshape(y.shape)

    return plain


assert dc.exercises.check_unshuffle(unshuffle_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Memory behind a count
# :label: ex-generalise-memory
#
# Of `valid` valid samples, `copies` are copies; the training set holds `n` of `total` valid faces. Suppose that the machine copies with probability $m$, and else draws any valid face. Write `remembered(copies, valid, n, total)`: the $m$ that explains the count.
# ```


# %%
def remembered(copies, valid, n, total): ...  # your code: return a number


# dc.exercises.check_remembered(remembered)

# %% [markdown]
# ```{solution-start} ex-generalise-memory
# :class: dropdown
# ```
#
# The share of copies is $c = m + (1 - m) N/M$, so $m = (c - N/M)/(1 - N/M)$. It is negative where there are fewer copies than chance gives.


# %%
def remembered_solution(copies, valid, n, total):
    base = n / total
    return (copies / valid - base) / (1 - base)


assert dc.exercises.check_remembered(remembered_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} When does it begin?
# :label: ex-generalise-onset
#
# Write `first_time(steps, values, threshold)`: when a curve, known at some steps, first reaches a threshold; between two steps it is a straight line over the logarithm of the step. Return `math.nan` where it never does.
# ```


# %%
def first_time(steps, values, threshold): ...  # your code: return a number of steps


# dc.exercises.check_onset(first_time)

# %% [markdown]
# ```{solution-start} ex-generalise-onset
# :class: dropdown
# ```
#
# Walk along the curve, and remember the point before.


# %%
def first_time_solution(steps, values, threshold):
    before = None
    for step, value in zip(steps, values, strict=True):
        if value >= threshold:
            if before is None:
                return float(step)
            share = (threshold - before[1]) / (value - before[1])
            return before[0] * (step / before[0]) ** share
        before = step, value
    return math.nan


assert dc.exercises.check_onset(first_time_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The exponent
# :label: ex-generalise-exponent
#
# Write `power_of(sizes, times)`: the $a$ of $\tau = c N^a$ that fits best in least squares of the logarithms. Try it on a clock, such as `onsets["a fifth copies"]` with what is `nan` left out: does it agree with the table?
# ```


# %%
def power_of(sizes, times): ...  # your code: return a number


# dc.exercises.check_exponent(power_of)

# %% [markdown]
# ```{solution-start} ex-generalise-exponent
# :class: dropdown
# ```
#
# The slope of a straight line with an intercept, which is $\ln c$.


# %%
def power_of_solution(sizes, times):
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


assert dc.exercises.check_exponent(power_of_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Summary
#
# - Two linear machines on disjoint hands agree once each hand has many more images than an image has pixels ({prf:ref}`thm-linear-halves`). Two perfect ones never agree ({prf:ref}`prop-perfect-halves`).
# - A network is like neither. With few faces it copies; with many, two networks come nearer to each other than to the images that they were shown. They begin by agreeing, whatever the number, and part when they learn their own images: the later, the more there are.
# - The correlation of two networks is no measure of generalisation by itself: copies correlate too.
# - A reordering of the pixels does nothing to machines that do not know the grid ({prf:ref}`prop-shuffled-pixels`).
# - In a caricature of learning, what the images share is learned in a time that does not depend on their number, what is private in a time in proportion to it ({prf:ref}`prop-shared-first`).
#
# **Proved:** the statements above. **Measured:** everything on networks, with one seed and at a small size.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
