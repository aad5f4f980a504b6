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
# (sec-study-design)=
# # Design of the study
#
# This page says how the networks of {doc}`14_small_changes_to_the_unet` are made and compared, and
# what we expect of each. It was written before they were trained; its tables come from the code that
# trains them.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how to hold all fixed but one switch; how many seeds a difference needs; how to
#   write down an expectation so that it can fail.
# - **Time** about 50 minutes, exercises included.
# - **Prerequisites** {doc}`13_a_unet_from_scratch` and the oracle of
#   {doc}`12_measuring_creativity_and_realism`.
# ```
#
# (sec-study-switches)=
# ## Question and baseline
#
# **Which design choices of a UNet decide what it creates?** A network of the study is the baseline with one
# switch of `UNetConfig` altered. Everything else is held fixed, as far as that is possible; where it is not,
# there is a control.

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.experiments import hypotheses
from diffusion_creativity.experiments._study_designs import design, flops, names
from diffusion_creativity.experiments.registry import get
from diffusion_creativity.networks.describe import parameters

run = dc.runtime.start(seed=seed, profile=profile)
sizes = {name: get("unet_study").config(name) for name in ("book", "gpu")}


def words(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


switches = {name: asdict(config.baseline) for name, config in sizes.items()}
dc.runtime.Table(
    ("switch of the baseline", "CPU size", "GPU size"),
    [(name, words(switches["book"][name]), words(switches["gpu"][name])) for name in switches["book"]],
)  # fmt: skip

# %% [markdown]
# Of these, `widths` are the channels of each grid, and `bottleneck` narrows the coarsest one to so many. `skips` says which grids
# a skip joins, and `combine` how. `down` and `up` are the ways to halve and to double, and `conditioning` is how the network is told the
# noise level. A network is named by its switch: *skips only 16* keeps the skip at 16×16 pixels alone, *kernel 1* has convolutions of one
# pixel, and in *attention 8* each block at 8×8 pixels looks at all of them.
#
# ## The networks
#
# Each variant has the baseline's number of parameters within a tenth: its widths are scaled. Where that would cost more
# than one and a half times the arithmetic, it gets as many parameters as it may cost, and a **control**: the baseline itself,
# made as small. The table shows the networks of the CPU size.

# %% tags=["hide-input"]
baseline = sizes["book"].baseline
shown = names(baseline) if profile != "smoke" else ("baseline", "kernel 1", "depth 0", "control depth 0")  # fmt: skip
rows = []
for name in shown:
    config = design(name, baseline)
    rows.append((name, words(config.widths), f"{parameters(config):,}",
                 f"{flops(config) / flops(baseline):.2f}"))  # fmt: skip
dc.runtime.Table(("network", "widths", "parameters", "arithmetic, baseline = 1"), rows)

# %% [markdown]
# ## The protocol
#
# - **Data.** Faces of one family, all in one place (CPU size), drawn by {doc}`12_measuring_creativity_and_realism`; every valid
#   face can be listed, and the oracle judges every sample. Two training sets: *few*, which the baseline copies, and *many*, from which it generalises. The few
#   are the first of the many. The same held-out faces for all. The GPU size adds larger faces in nine places, Fashion-MNIST,
#   CIFAR-10 and, where the reader brings it, CelebA.
# - **Training.** The same seed gives all networks the same examples, the same noise and the same order; AdamW, a rate that falls as half a cosine, gradients clipped at 1, an
#   average of the weights.
# - **Learning rate.** Each network and seed chooses its own: short runs at several rates, and the rate with the smallest *training* loss, averaged
#   over noise levels, is taken. No variant loses because the baseline's rate does not suit it; and held-out images play no part in the choice.
# - **Sampling.** Heun's method, the same schedule and the same initial noise for all.
# - **Seeds.** They decide the weights at the start, examples and noise of the training; not the faces, and not the noise of the samples.

# %% tags=["hide-input"]
fields = ("few", "many", "held_out", "steps", "sooner", "batch", "ema", "rates", "trial", "samples", "sampler_steps", "seeds")  # fmt: skip
dc.runtime.Table(
    ("setting", "CPU size", "GPU size"),
    [(name, *(words(getattr(config, name)) for config in sizes.values())) for name in fields],
)

# %% [markdown]
# `few`, `many` and `held_out` are numbers of images, `ema` is what the average of the weights keeps at each step, and `rates` are the learning
# rates that are tried. `sooner` is the length of the training on few images, and `trial` that of each short run, as a share of `steps`.
#
# ## Measures
#
# For each network, training set and seed: the oracle's counts (copies, creative, invalid; rules broken, by kind and one by one); Fréchet and kernel distance in features of random
# convolutions, precision and recall; copies by the third rule, and the novelty ratio; the loss at nine noise levels on training and on held-out images; the receptive field, and how far the network is from
# moving with its input. The definitions are in {doc}`12_measuring_creativity_and_realism` and {doc}`13_a_unet_from_scratch`.
#
# Intervals are over seeds. Networks are compared with the baseline by Dunnett's test {cite:p}`dunnett1955multiple` on $\arcsin\sqrt{\text{share}}$: it pools the spread between seeds over all networks, and its 95 % hold for all
# comparisons of one measure together.
#
# How wide is an interval, and what do more networks help? For one difference that was named beforehand there is an exact answer.
#
# ```{prf:proposition} The interval of a difference
# :label: prop-study-interval
#
# Train $m$ networks with $S \ge 2$ seeds each. Let all results be independent and normal, with one variance $v > 0$, and let network $i$ have the mean $\mu_i$.
# Let $\bar x_i$ be the mean of its results, and $s^2$ the average of the $m$ sample variances. For two networks $i \ne j$ that were named beforehand, the interval
#
# $$\bar x_i - \bar x_j \pm t\, s\, \sqrt{2/S}$$
#
# holds $\mu_i - \mu_j$ with probability 95 %, where $t$ is the 97.5 % quantile of Student's distribution with $m(S - 1)$ degrees of freedom.
# ```
#
# ```{prf:proof}
# Each $\bar x_i$ is normal with mean $\mu_i$ and variance $v/S$, so $z = (\bar x_i - \bar x_j - \mu_i + \mu_j) / \sqrt{2v/S}$ is standard normal. The sample variance of a
# normal sample is independent of its mean, and $S - 1$ times it, over $v$, has the $\chi^2$ distribution with $S - 1$ degrees of freedom. Hence $m(S - 1)\,s^2/v$ is independent
# of $z$ and has $m(S - 1)$ of them, and $z\sqrt{v}/s$ has Student's distribution by its definition. It lies between $-t$ and $t$ with probability 95 %.
# ```

# %% mystnb={"image": {"alt": "Three falling curves of half widths over two to ten seeds. With two networks it falls from 4.3 standard deviations to 0.9; with five from 2.6, and with all networks of the study from about 2; from five seeds on they are nearly one."}, "figure": {"caption": "Half the width of a 95 % interval of one difference, in standard deviations between seeds, if the spread is pooled over 2, 5 or all networks of the study. With two seeds the other networks help most; more seeds always help.", "name": "fig-study-interval"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 2.8))
seeds = np.arange(2, 11)
pools = {
    "two networks": (2, "generated"),
    "five": (5, "denoiser"),
    "all": (len(names(baseline)), "law"),
}
for label, (networks, color) in pools.items():
    half = stats.t.ppf(0.975, networks * (seeds - 1)) * np.sqrt(2 / seeds)
    ax.plot(seeds, half, "o-", ms=4, color=dc.style.COLORS[color])
    ax.text(1.85, half[0], label, ha="right", va="center", color=dc.style.COLORS[color])
ax.set(
    xlim=(-0.1, 10.3),
    ylim=(0, 4.7),
    xticks=seeds,
    xlabel="seeds of each network",
    ylabel="half width",
)
plt.show()

# %% [markdown]
# ## Expectations
#
# *More* and *less* mean than the baseline; *same* means within ten points. Networks are trained on many images where the table does not say few. A few
# expectations follow from theorems of this book, the others are guesses with a reason.

# %% tags=["hide-input"]
reasons = {}  # of each: what is expected, and of which networks
for h in hypotheses.HYPOTHESES:
    expected = f"{h.expected} {h.measure}" + (" (few)" if h.size == "few" else "")
    reasons.setdefault(h.because, {}).setdefault(expected, []).append(h.network)
dc.runtime.Table(
    ("expected", "because"),
    [
        ("; ".join(f"{what}: {', '.join(nets)}" for what, nets in expected.items()), because)
        for because, expected in reasons.items()
    ],
)

# %% [markdown]
# ## What would change our mind
#
# If *same* were missed for most pooling and upsampling kinds, the story "sight decides" would be wrong, and details would decide. If *depth 0* made faces as well as
# the baseline, locality would not matter here. If the network with circular padding copied in clearly more than one of sixteen samples, which
# {prf:ref}`prop-study-places` rules out, our code would be wrong.
#
# Known limits, before any result: one family of drawn faces, one baseline, networks that are small and trained briefly; a
# control of size for two variants only; rates chosen after short runs may not be the best for long ones.

# %% [markdown]
# ## Exercises
#
# ```{exercise} Three sets of images
# :label: ex-20-deal
#
# Write `deal(total, few, many, held_out, seed)`: numbers of three sets of images, drawn from `total` without repeats. The few are the
# first of the many, no held-out image is trained on, and neither the held-out images nor the first ones of the many change when a set of another size
# is asked for.
# ```


# %%
def deal(total, few, many, held_out, seed): ...  # your code: return few, many, held-out numbers


# dc.exercises.check_deal(deal)

# %% [markdown]
# ```{solution-start} ex-20-deal
# :class: dropdown
# ```
#
# One random order. The held-out images come first, so no size of the training sets moves them.


# %%
def deal_solution(total, few, many, held_out, seed):
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    training = order[held_out:]
    return training[:few], training[:many], order[:held_out]


assert dc.exercises.check_deal(deal_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} To each its own rate
# :label: ex-20-rate
#
# Short runs at several learning rates gave training losses, `losses` (rates, noise levels). Write `choose_rate(rates, losses)`: the rate with the
# least loss on average over the levels. A run that diverged has a loss that is not finite, and is never chosen. Why do we not choose by held-out losses?
# ```


# %%
def choose_rate(rates, losses): ...  # your code: return one of the rates


# dc.exercises.check_choose_rate(choose_rate)

# %% [markdown]
# ```{solution-start} ex-20-rate
# :class: dropdown
# ```
#
# `argmin` takes a nan for the least, so what is not finite becomes infinite first. Rates chosen by held-out losses would prefer networks that copy less: the
# choice would answer the question that the study asks.


# %%
def choose_rate_solution(rates, losses):
    means = losses.mean(1)
    return rates[means.where(means.isfinite(), torch.inf).argmin()]


assert dc.exercises.check_choose_rate(choose_rate_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many seeds?
# :label: ex-20-seeds
#
# A measure has the standard deviation `spread` between seeds, pooled over so many networks. Write `seeds_needed(spread, margin, networks)`: the least number of
# seeds, two or more, with which the 95 % interval of the difference of *two* networks reaches no farther than `margin` to either side. It is
# the interval of {prf:ref}`prop-study-interval`; SciPy has its quantile, `stats.t.ppf`. (For many comparisons at once the interval is wider.)
# ```


# %%
def seeds_needed(spread, margin, networks): ...  # your code: return a whole number


# dc.exercises.check_seeds_needed(seeds_needed)

# %% [markdown]
# ```{solution-start} ex-20-seeds
# :class: dropdown
# ```
#
# More seeds help twice: the root falls, and so does $t$. Each network's mean takes one degree of freedom.


# %%
def seeds_needed_solution(spread, margin, networks):
    seeds = 2
    while stats.t.ppf(0.975, networks * (seeds - 1)) * spread * math.sqrt(2 / seeds) > margin:
        seeds += 1
    return seeds


assert dc.exercises.check_seeds_needed(seeds_needed_solution)
for networks in (1, 5, 30):
    seeds = seeds_needed_solution(0.04, 0.1, networks)
    print(f"spread of 4 points, pooled over {networks}: {seeds} seeds for ±10 points")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Hit, miss or open
# :label: ex-20-outcome
#
# Write `outcome(expected, difference, low, high, same)`: what becomes of an expectation ("more", "less" or "same") when the difference to the baseline has an
# interval from `low` to `high`. *More* is a "hit" if the interval lies above zero, a "miss" if it lies below zero or within ±`same`; *less* is its mirror image. *Same* is a
# "hit" if the interval lies within ±`same`, a "miss" if it leaves out zero and the difference exceeds `same`. All else is "open". Why is it not enough for
# *same* that the interval holds zero?
# ```


# %%
def outcome(expected, difference, low, high, same): ...  # your code: return "hit", "miss" or "open"


# dc.exercises.check_outcome(outcome)

# %% [markdown]
# ```{solution-start} ex-20-outcome
# :class: dropdown
# ```
#
# With few seeds every interval is wide and holds zero: whoever ran the study badly would find everything the same.


# %%
def outcome_solution(expected, difference, low, high, same):
    within = -same <= low and high <= same
    if expected == "same":
        apart = (low > 0 or high < 0) and abs(difference) > same
        return "hit" if within else "miss" if apart else "open"
    if expected == "less":
        low, high = -high, -low
    return "hit" if low > 0 else "miss" if high < 0 or within else "open"


assert dc.exercises.check_outcome(outcome_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
