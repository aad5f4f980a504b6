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
# (sec-study)=
# # Small changes to the UNet
#
# Take one UNet, and alter one switch: cut the skips, wrap the padding around, leave out a
# nonlinearity. The data stay, and so do the size of the network, the training, the sampler and the
# noise. What the network creates does not stay.
#
# Below are samples of the unchanged network, the **baseline**, and of others that differ from it in one
# switch each. Each column starts from one noise: which changes does its face survive?
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** what each design choice of a UNet does to copying, creating and realism, by
#   counting; how to compare dozens of networks without fooling yourself; which of our expectations,
#   written down beforehand, came true.
# - **Time** about 50 minutes; an hour and a quarter with every proof and exercise.
# - **Prerequisites** {doc}`13_a_unet_from_scratch`, and the oracle of
#   {doc}`12_measuring_creativity_and_realism`.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity import training
from diffusion_creativity.experiments import hypotheses
from diffusion_creativity.networks import Preconditioned, UNet, UNetConfig
from diffusion_creativity.widgets import Choice, Explorer, Panel, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
study = dc.experiments.largest("unet_study")


def percent(value, digits=0):
    return f"{100 * value:.{digits}f} %"


def key(network, size="many", data="faces"):
    """The name under which the result of the study has a network."""
    return f"{data}-{size}-{network.replace(' ', '_')}"


side = study.record["config"]["baseline"]["side"]
finished = {unit["variant"] for unit in study.record["units"]}
networks = list(
    dict.fromkeys(
        unit["variant"].split("-", 2)[2].replace("_", " ")
        for unit in study.record["units"]
        if unit["variant"].startswith("faces-many-")
    )
)


def mean(network, measure, size="many"):
    return float(np.mean(study.values(measure, key(network, size))))


# %% tags=["hide-input"] mystnb={"image": {"alt": "Rows of samples, one row for each of six networks; each column is one noise. The first row is the baseline. Where a change matters, the face of a column differs from the one above it or is no valid face."}, "figure": {"caption": "One switch, one noise: each row is a network, each column a noise. At the right the share of valid faces. Look down a column: what does a change do to its face?", "name": "fig-study-rows"}}
chosen = ["baseline", "activation relu", "padding circular", "depth 0", "norm batch", "activation identity"]  # fmt: skip
chosen = [name for name in dict.fromkeys(chosen + networks) if name in networks][:6]
fig, axes = plt.subplots(len(chosen), 1, figsize=(7.2, 0.72 * len(chosen) + 0.3))
for ax, name in zip(np.atleast_1d(axes), chosen, strict=True):
    tiles = study.sheet("samples", key(name), size=side)[:12].float() / 127.5 - 1
    dc.style.image_grid(tiles.numpy(), columns=12, ax=ax)
    ax.text(-0.01, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=8)
    ax.text(1.01, 0.5, percent(1 - mean(name, "invalid")), transform=ax.transAxes, va="center", fontsize=8)  # fmt: skip
plt.show()

# %% tags=["remove-input"]
print(dc.experiments.origin(study))

# %% [markdown]
# The baseline is a small UNet that halves the image twice, trained on
# {glue:text}`study_many` of {glue:text}`study_family` valid faces of 16×16 pixels. Of its samples
# {glue:text}`study_valid` are valid faces, and {glue:text}`study_copied` of these are in the
# training set. A generator of valid faces that remembers nothing would give
# {glue:text}`study_base`: so it **creates**. Trained on {glue:text}`study_few` faces it should **copy**;
# its share of training images among the samples is then {glue:text}`study_few_copies`.
#
# All this is a result of {glue:text}`study_units` trainings, made beforehand at the size that the
# line below the figure tells. How the networks were made alike in all but one switch, and what we expected of
# each, was written down before: {doc}`20_design_of_the_study`. A network is named by its switch and what that is set to;
# {ref}`the switches <sec-study-switches>` are explained there.

# %% tags=["remove-input"]
config = study.record["config"]
family = len(dc.data.faces.Faces(**{k: tuple(v) if isinstance(v, list) else v for k, v in config["family"].items()}))  # fmt: skip
valid = 1 - mean("baseline", "invalid")
altered = [n for n in networks if n != "baseline"] or ["baseline"]  # one switch each
dc.runtime.report(
    study_many=f"{config['many']:,}",
    study_few=f"{config['few']:,}",
    study_family=f"{family:,}",
    study_valid=percent(valid),
    study_copied=percent(mean("baseline", "copy") / valid),
    study_base=percent(config["many"] / family),
    study_few_copies=percent(mean("baseline", "copy", "few"))
    if key("baseline", "few") in finished
    else "not known yet",
    study_units=f"{len(study.record['units']):,}",
    study_least=percent(1 - max(mean(n, "invalid") for n in altered)),
    study_most=percent(1 - min(mean(n, "invalid") for n in altered)),
)

# %% [markdown]
# ## One switch, here and now
#
# Before the many, one change by hand. Two networks learn the same eight faces. They differ in one
# word: what lies beyond the border is **zero** for the first, and for the second the image goes on
# at the other side, **circular**.

# %% tags=["hide-input"]
few = dc.data.faces.Faces(positions=1)
numbers = few.split(8, held_out=0, seed=seed).train
x = few.render(numbers)
design = UNetConfig(side=16, depth=2, widths=(16, 24, 32))
steps = run.size(smoke=20, book=700)


def learn(padding):
    torch.manual_seed(seed)
    network = Preconditioned(UNet(replace(design, padding=padding)), sigma_data=x.std().item())
    return training.train(
        network, x, steps=steps, batch=16, seed=seed, bar=False, ema=0.99, clip=1.0,
        optimizer=lambda p: torch.optim.AdamW(p, lr=5e-3),
        schedule=training.cosine_decay(steps, warmup=steps // 20),
    ).average  # fmt: skip


noise = dc.sampling.initial_noise(run.size(smoke=12, book=192), x.shape[1:], seed=seed)
schedule = dc.noise.karras(18)
learned = {padding: learn(padding) for padding in ("zeros", "circular")}
drawn = {name: dc.sampling.heun(net.denoise, noise, schedule) for name, net in learned.items()}

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two rows of samples of networks that learned eight faces. With zero padding all faces stand in the middle. With circular padding they are displaced and wrap around the border."}, "figure": {"caption": "Eight faces learned with zero padding (above) and with circular padding (below), from the same noise.", "name": "fig-study-padding"}}
fig, axes = plt.subplots(2, 1, figsize=(7.2, 1.6))
for ax, name in zip(axes, drawn, strict=True):
    dc.style.image_grid(drawn[name][:12].clamp(-1, 1).numpy(), columns=12, ax=ax)
    ax.set_title(f"{name} padding", fontsize=9)
plt.show()

# %% [markdown]
# The second network draws the same faces, and puts them anywhere: not quite anywhere, but on a grid
# of steps of four pixels. We can say exactly how often it can be right.
#
# ```{prf:proposition} Circular padding forgets the place
# :label: prop-study-places
#
# Let a UNet halve $L$ times images of $s\times s$ pixels, with circular padding, and let $2^L$
# divide $s$. Sample from white noise by any sampler whose steps are linear combinations of $y$, of answers
# $D$ and of fresh white noise, with numbers that depend on the level only. Then
#
# 1. shifting the initial (and the fresh) noise by multiples of $2^L$ pixels shifts the sample alike,
#    and the law of the samples is invariant to these $(s/2^L)^2$ shifts;
# 2. a set $A$ of images has probability at most $(2^L/s)^2$ if no image of $A$, moved by one of these shifts, lies
#    in $A$ again (other than by not being moved).
# ```
#
# ```{prf:proof}
# *1.* By {prf:ref}`prop-unet-shifts` the network $F$ inside $D$ commutes with each such shift $S$. So does
# $D(y, \sigma) = c_\text{skip}\, y + c_\text{out} F(c_\text{in}\, y)$, and a step of the sampler when its fresh noise is
# shifted too. By induction so does the whole sampler $G$: $G(Sn) = SG(n)$. White noise $n$ has the law of $Sn$, so $G(n)$
# has the law of $G(Sn) = SG(n)$.
#
# *2.* The sets $S^{-1}A$ for the $(s/2^L)^2$ shifts are disjoint: an image $z$ in both $S^{-1}A$ and $T^{-1}A$ would have
# $Sz$ and $Tz$ in $A$, the second moved from the first by $TS^{-1}$. By 1 all these sets have the probability of $A$.
# Together they have at most 1.
# ```
#
# The valid faces of this chapter are such a set: they stand in one place. So whatever is learned,
# and from whatever data, **a sample of this network is a valid face with a probability of at most one in sixteen**; the
# same holds for copies.

# %% tags=["hide-input"]
judge = few.oracle(numbers)
moved = dc.sampling.heun(learned["circular"].denoise, noise.roll((4, 8), (2, 3)), schedule)
gap = (moved - drawn["circular"].roll((4, 8), (2, 3))).abs().max().item()
assert gap < 1e-2, gap  # float32, through 35 calls of the network
copies = {name: judge(made).counts()["copy"] for name, made in drawn.items()}
n = len(noise)
assert copies["circular"] <= stats.binom.isf(1e-5, n, 1 / 16)
dc.runtime.Table(
    ("padding", "copies of a training face", "bound"),
    [("zeros", percent(copies["zeros"] / n, 1), "100 %"),
     ("circular", percent(copies["circular"] / n, 1), percent(1 / 16, 2))],
)  # fmt: skip

# %% [markdown]
# Zero padding is not a detail of the border. It is what tells a convolution where it is.
#
# (sec-study-each)=
# ## What each network creates
#
# Choose a network and a training set. The samples come from the same noise as those of the baseline beside it.
# Bars tell how many samples break a rule of each kind: **local** (a part is badly drawn), **long-range** (two
# parts that belong together disagree), **global** (a part is missing, doubled or elsewhere).

# %% tags=["hide-input"]
SHOWN = run.size(smoke=6, book=15)
KINDS = ("copy", "creative", "local", "long-range", "global")
PLACES = np.arange(len(KINDS))
sizes = [size for size in ("many", "few") if key("baseline", size) in finished]


def draw(network, size=sizes[0]):
    there = key(network, size) in finished
    shares = [mean(network, m, size) if there else 0.0 for m in KINDS]
    base = [mean("baseline", m, size) for m in KINDS]
    words = ", ".join(f"{kind} {percent(v)}" for kind, v in zip(KINDS, shares, strict=True))
    tiles = {n: study.sheet("samples", key(n, size), size=side)[:SHOWN]
             for n in (network, "baseline") if key(n, size) in finished}  # fmt: skip
    if not there:
        words, tiles[network] = "not run yet", torch.full_like(tiles["baseline"], 128)
    return {
        "network": [marks.images(tiles[network], columns=5, cell=56)],
        "baseline": [marks.images(tiles["baseline"], columns=5, cell=56)],
        "shares": [
            marks.bars(PLACES - 0.2, base, width=0.36, color="noise", label="baseline"),
            marks.bars(PLACES + 0.2, shares, width=0.36, color="generated", label="this network"),
            *(
                marks.text(x, -0.09 - 0.09 * (x % 2), kind, anchor="middle")
                for x, kind in enumerate(KINDS)
            ),
        ],
        "alt": f"Samples of the network {network}, and of the baseline from the same noise. {words}.",
        "caption": f"{network}, {config[size]:,} training images: {words}.",
    }


controls = [
    Choice("network", networks, "network", start=chosen[min(2, len(chosen) - 1)]),
    Choice("size", {f"{config[s]:,}": s for s in sizes}, "training images"),
]  # the second only where both sizes have been run
Explorer.precomputed(
    draw,
    controls[: len(sizes)],
    {
        "network": Panel("this network", kind="images"),
        "baseline": Panel("baseline", kind="images"),
        "shares": Panel(
            "share of samples", xlim=(-0.6, len(KINDS) - 0.4), ylim=(-0.24, 1), axes=False
        ),
    },
    title="Small changes to the UNet",
    columns=2,
)

# %% [markdown]
# (sec-study-plane)=
# ## Realism and creativity, all at once
#
# Two numbers place a network: how many of its samples are valid faces (**realism**), and how many are valid faces that
# it was not shown (**creativity**). What lies between the two is copied.

# %% tags=["hide-input"] mystnb={"image": {"alt": "A plane for each size of the training set. Across: share of samples that are creative. Up: share that are valid. A larger dot is the baseline. Height above the dashed diagonal is the share of copies."}, "figure": {"caption": "Every network of the study that has been run, a plane for each size of the training set: valid samples against creative ones; the larger dot is the baseline. Networks have their names where there is room. On the diagonal nothing valid is copied; at the left edge all of it is.", "name": "fig-study-plane"}}
fig, axes = plt.subplots(1, len(sizes), figsize=(7.2, 4.2), squeeze=False, sharey=True)
for ax, size in zip(axes[0], sizes, strict=True):
    here = [n for n in networks if key(n, size) in finished]
    across = np.array([mean(n, "creative", size) for n in here])
    up = np.array([1 - mean(n, "invalid", size) for n in here])
    most = max(across.max(), 0.05) * 1.35
    ax.plot([0, most], [0, most], "--", color=COLORS["muted"], lw=1)
    ax.scatter(across, up, s=14, color=COLORS["generated"], zorder=3)
    k = here.index("baseline")
    ax.scatter(across[k], up[k], s=50, color=COLORS["denoiser"], zorder=4)
    told = [k]
    for m in np.argsort(-up):  # names that do not touch each other
        if min(abs(up[m] - up[n]) for n in told) > 0.04:
            told.append(m)
    for m in told:  # on the free side of the diagonal, where there is one
        side = -1 if across[m] > 0.2 * most else 1
        ax.annotate(here[m], (across[m], up[m]), xytext=(6 * side, -2), textcoords="offset points",
                    ha="left" if side > 0 else "right", fontsize=7)  # fmt: skip
    ax.set(xlabel="creative", xlim=(-0.02 * most, most), ylim=(-0.03, 1.03))
    ax.set_title(f"{config[size]:,} training images")
axes[0, 0].set_ylabel("valid")
plt.show()

# %% tags=["hide-input"]
spreads = {}
for size in sizes:
    rows = [study.values("invalid", key(n, size)) for n in networks if key(n, size) in finished]
    freedom = sum(len(r) - 1 for r in rows)
    squares = sum(float(np.var(r, ddof=0)) * len(r) for r in rows)
    spreads[size] = (squares / freedom) ** 0.5 if freedom else float("nan")
columns = ("invalid", "copy", "creative", "local", "long-range", "global")
dc.runtime.Table(
    ("network", *columns, "Fréchet distance", "novelty ratio", "sight in pixels", "rate"),
    [
        (n, *(percent(mean(n, m)) for m in columns), f"{mean(n, 'frechet'):.3f}",
         f"{mean(n, 'novelty_ratio'):.2f}", f"{mean(n, 'field'):.0f}",
         " / ".join(f"{r:g}" for r in study.values("rate", key(n))))
        for n in sorted(networks, key=lambda n: mean(n, "invalid"))
    ],
)  # fmt: skip

# %% [markdown]
# Many training images, means over seeds, the most realistic first. A sample may break several rules. Fréchet distances are
# in the features of random convolutions (held-out faces have {glue:text}`study_frechet_real`); the
# novelty ratio is 1 for held-out faces. The sight is the side of the {term}`effective receptive field`. The spread of
# "invalid" between seeds, pooled over all networks, is {glue:text}`study_spread`. The last column is the learning rate
# that each seed chose in its own trials.

# %% tags=["remove-input"]
dc.runtime.report(
    study_frechet_real=f"{mean('baseline', 'frechet_real'):.3f}",
    study_spread=f"{100 * spreads['many']:.1f} points"
    if np.isfinite(spreads["many"])
    else "not known from one seed",
)

# %% [markdown]
# (sec-study-expected)=
# ## What we expected, and what came
#
# Each expectation names a network, a measure, and whether it should be **more**, **less** or the **same** as the baseline's. It
# was in the repository before the first network was trained. All are judged by one rule: the difference to the
# baseline with its interval at 95 % for *all* comparisons of that measure together (Dunnett's test {cite:p}`dunnett1955multiple` on $\arcsin\sqrt{\text{share}}$,
# whose spread depends little on the share), with the spread between seeds pooled over all networks. *More* and *less* are hits
# if the interval lies on that side of zero; *same* is a hit if it lies within ten points. What the seeds cannot decide is
# **open**. It takes two seeds of the baseline to judge any.

# %% tags=["hide-input"]
verdicts = hypotheses.judge(study)
counted = Counter(v.outcome for v in verdicts)
dc.runtime.report(
    study_hits=counted["hit"], study_misses=counted["miss"], study_open=counted["open"],
    study_judged=len(verdicts), study_expected=len(hypotheses.HYPOTHESES),
)  # fmt: skip
dc.runtime.Table(
    ("network", "images", "measure", "expected", "share", "baseline", "difference, 95 %", "outcome"),
    [
        (v.hypothesis.network, f"{config[v.hypothesis.size]:,}", v.hypothesis.measure, v.hypothesis.expected,
         percent(v.value), percent(v.baseline), f"{100 * v.low:+.0f} to {100 * v.high:+.0f}", v.outcome)
        for v in verdicts
    ] or [("none can be judged yet", *7 * [""])],
)  # fmt: skip

# %% [markdown]
# Of {glue:text}`study_expected` expectations {glue:text}`study_judged` can be judged by what has been run: {glue:text}`study_hits` hits,
# {glue:text}`study_misses` misses, {glue:text}`study_open` open.
#
# ## The same function, in seconds
#
# Everything above came from one function. Here it runs at the size of seconds, on networks too small and too briefly trained to draw
# anything; what it shows is that the path is the one described.

# %% tags=["hide-output"]
with tempfile.TemporaryDirectory() as folder:
    tiny = dc.experiments.run(
        "unet_study", "smoke", out=Path(folder), bar=False, say=lambda line: None
    )
    print(dc.experiments.table(tiny))

# %% [markdown]
# The study goes on where it was stopped, and several processes share it:
#
# ```bash
# python -m diffusion_creativity run unet_study --profile gpu --resume               # one GPU
# python -m diffusion_creativity run unet_study --profile gpu --resume --workers 4   # four at once on it
# accelerate launch -m diffusion_creativity run unet_study --profile gpu --resume    # several GPUs or machines
# ```
#
# ## Exercises
#
# ```{exercise} The right place
# :label: ex-14-place
#
# Write `right_place(side, depth)`: the largest share of valid faces that a UNet with circular padding can draw, if valid faces stand in one place, by
# {prf:ref}`prop-study-places`. What happens at the depth where the coarsest grid is one pixel?
# ```


# %%
def right_place(side, depth): ...  # your code: return a share


# dc.exercises.check_right_place(right_place)

# %% [markdown]
# ```{solution-start} ex-14-place
# :class: dropdown
# ```
#
# At depth 4 and side 16 the only shift left is none: the network may know the place, though its padding says nothing.


# %%
def right_place_solution(side, depth):
    return (2**depth / side) ** 2


assert dc.exercises.check_right_place(right_place_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Networks of one size
# :label: ex-14-width
#
# A change of kernel changes the number of parameters. To compare fairly, the width is changed too. Write `match_width(count, target)`: the
# width (a whole number) for which `count(width)` is nearest to `target`; `count` increases, and building a network to count it is slow.
# ```


# %%
def match_width(count, target): ...  # your code: return a whole number


# dc.exercises.check_match_width(match_width)

# %% [markdown]
# ```{solution-start} ex-14-width
# :class: dropdown
# ```
#
# Double the width until `target` is passed, halve the interval, compare its two ends.


# %%
def match_width_solution(count, target):
    low, high = 1, 2
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min(low, high, key=lambda width: abs(count(width) - target))


assert dc.exercises.check_match_width(match_width_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} The spread between seeds
# :label: ex-14-spread
#
# Two seeds tell little about the spread of one network; two of each of thirty networks tell much about a spread that all share. Write `pooled_spread(groups)`: the standard deviation around each
# network's own mean, pooled over all, and its degrees of freedom; `groups` is a list of vectors.
# ```


# %%
def pooled_spread(groups): ...  # your code: return a number and a whole number


# dc.exercises.check_pooled_spread(pooled_spread)

# %% [markdown]
# ```{solution-start} ex-14-spread
# :class: dropdown
# ```
#
# Each mean takes one degree of freedom. That all networks spread alike is an assumption; to come near it, shares $p$ are compared as $\arcsin\sqrt{p}$.


# %%
def pooled_spread_solution(groups):
    freedom = sum(len(g) - 1 for g in groups)
    squares = sum((g - g.mean()).square().sum() for g in groups)
    return (squares / freedom).sqrt().item(), freedom


assert dc.exercises.check_pooled_spread(pooled_spread_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Many comparisons
# :label: ex-14-holm
#
# Among thirty harmless changes one or two look harmful at the 5 % level. Write `holm(p)`: Holm's adjusted p-values {cite:p}`holm1979simple`, in the order of `p`. The $k$-th smallest, counted from zero, is
# multiplied by the number of tests minus $k$; none may fall below that of a smaller p; none exceeds 1. (Dunnett's test gains over this by knowing that all share one baseline.)
# ```


# %%
def holm(p): ...  # your code: return a tensor like p


# dc.exercises.check_bonferroni_holm(holm)

# %% [markdown]
# ```{solution-start} ex-14-holm
# :class: dropdown
# ```


# %%
def holm_solution(p):
    order = p.argsort()
    factors = torch.arange(len(p), 0, -1, dtype=p.dtype)
    adjusted = (p[order] * factors).cummax(0).values.clamp(max=1)
    return adjusted[order.argsort()]


assert dc.exercises.check_bonferroni_holm(holm_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A switch of your own
# :label: ex-14-switch
#
# Research. Name a change that is not in the table: two switches at once, another norm, noise added to the skips. Write down which rule of the faces it should break, then train it
# as {numref}`fig-study-padding` does, with a seed or three, and judge the samples with the oracle. Were you right?
# ```
#
# ## Summary
#
# - A UNet with circular padding cannot know where it is, up to its coarsest grid ({prf:ref}`prop-study-places`): a sample is a valid face here with a probability of at most one in sixteen.
# - From the same noise and after the same training, networks that differ from the baseline in one switch draw between {glue:text}`study_least` and {glue:text}`study_most` of valid faces ({numref}`fig-study-plane`); the baseline draws {glue:text}`study_valid`.
# - The oracle says why each fails, rule by rule.
# - Of {glue:text}`study_expected` expectations {glue:text}`study_hits` came true and {glue:text}`study_misses` did not; the others are open or wait for their networks.
#
# **Proved:** the proposition. **Measured:** all else, for one family of drawn faces, one baseline and one size of network; the line below the first figure says how large, on which machine, and with how many seeds.
# **Not covered:** whether the order of the networks is the same for photographs or for networks a hundred times the size.
#
# The question whether small changes to the architecture change what is created is that of {cite:t}`levine2026diffusion`. Which changes they made, and to what, we could not read; the switches here are ours.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
