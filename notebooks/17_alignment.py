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
# (sec-align)=
# # Alignment: when is an architecture right for a target?
#
# A small window draws perfect eyes and gives each its own colour of tie. Is that a good or a bad
# architecture? The question has no answer until we say *for which target*. Where eyes may differ, it is
# creative. Where they must match, it is wrong two times out of three, and we can compute that number
# without training anything.
#
# In this chapter we turn both dials. The target gets more and more distant rules; the architecture sees
# farther and farther. The oracle of {doc}`12_measuring_creativity_and_realism` fills the grid with exact counts.
# What comes out is this: **a rule is broken at the rate of chance until the sight of the architecture bridges the gap between the
# parts that the rule ties, and kept once the sight covers them both.** And a condition for when it pays to create at all.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** to compute how often an architecture breaks a rule that it cannot see; from which sight on it
#   can; why the shape of the sight matters, not its size alone; when a creator is nearer to the target than a copier;
#   and how far trained UNets follow.
# - **Time** about 60 minutes; two hours with every proof and exercise.
# - **Prerequisites** {doc}`08_factorised_and_equivariant`, {doc}`09_local_patches`,
#   {doc}`12_measuring_creativity_and_realism`. {doc}`13_a_unet_from_scratch` for the networks.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import itertools
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.data.faces import RULES, SLOTS, Faces
from diffusion_creativity.data.faces.composing import looks_of, traits_of
from diffusion_creativity.data.faces.verdicts import share
from diffusion_creativity.experiments import alignment as study
from diffusion_creativity.experiments._parts import groups, rule_gaps
from diffusion_creativity.experiments.registry import Unit
from diffusion_creativity.widgets import Choice, Explorer, Panel, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS
ENOUGH = 20  # samples in which both parts of a rule are well drawn, for a rate to be shown
OUTLINES = {"copy": "data", "creative": "generated", "invalid": "warning"}


def percent(value, digits=0):
    return f"{100 * value:.{digits}f} %"


# %% [markdown]
# (sec-align-grid)=
# ## Three targets, and what architectures make of them
#
# Our targets are families of faces at one place of the image. They draw the same parts and differ in their
# {term}`long-range rules <oracle>` only:
#
# - **no rules**: every part as it likes, 8,503,056 valid faces;
# - **eyes**: both eyes have the same shape and look the same way, 944,784;
# - **all six**: eyes, gaze, ears, cheeks, the two halves of the jaw (the rule *head*), and the colours of top and tie agree, 17,496.
#
# Choose a target and an architecture. Frames tell what the oracle says of each sample: creative, copy or invalid. On the right: how often the two parts of
# each rule disagree, where both are well drawn, and (rings) how often they would if they were drawn independently.
# **Which rules go first when the window shrinks?**

# %% tags=["hide-input"]
result = dc.experiments.largest("alignment")
print(
    dc.experiments.origin(result)
    if result
    else "There is no result of the study here. This computes it:\n"
    "python -m diffusion_creativity run alignment"
)
units = {}
for unit in result.record["units"] if result else []:
    units.setdefault(unit["variant"], []).append(unit["metrics"])
settings = result.record["config"] if result else {"images": 1000, "size": 16}

TARGETS = {"no rules": "rules0", "eyes": "rules2", "all six": "rules6"}
NAMES = {f"seen{w}": f"every face, window {w}" for w in study.WINDOWS}
NAMES |= {
    "flat1": "UNet, no halving, 1 block",
    "flat2": "UNet, no halving, 2 blocks",
    "flat1.attention": "UNet, no halving, attention",
    "deep1": "UNet, 1 halving",
    "deep2": "UNet, 2 halvings",
    "deep3": "UNet, 3 halvings",
    "deep3.narrow": "UNet, 3 halvings, no skips, bottleneck 4",
    "bayes": "no restriction",
    "affine": "linear",
    "rank16": "linear, bottleneck 16",
    "blocks4": "blocks of 4×4",
    "local7": "window 7",
    "local11": "window 11",
    "local15": "window 15",
    "patches7": "patches of 7×7, averaged",
}


def total(variant, metric):
    """A count, added up over seeds; for rules, one for each."""
    values = [m[metric] for m in units[variant]]
    if isinstance(values[0], dict):
        return {rule: sum(v[rule] for v in values) for rule in values[0]}
    return sum(values)


def counted(variant, name):
    """A share of the samples with its 95 % interval (Wilson), over all seeds."""
    n = total(variant, "samples")
    return share(round(sum(m[name] * m["samples"] for m in units[variant])), n)


def broken(variant, rule):
    """How often two tied parts disagree where both are well drawn, with its interval; or None."""
    judged = total(variant, "judged")[rule]
    return share(total(variant, "disagree")[rule], judged) if judged else None


def sheet(variant, columns=6):
    """The samples of a unit, (n, 1, S, S), from its picture: cells with a line between them."""
    page = plt.imread(next(result.folder.glob(f"{variant}-0-samples.png")))[::2, ::2]
    side = settings["size"] + 1
    rows = (len(page) + 1) // side
    page = np.pad(page, ((0, rows * side - len(page)), (0, columns * side - page.shape[1])))
    cells = page.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    cells = torch.from_numpy(cells[: study.SHOWN, :-1, :-1].copy())[:, None]
    return 2 * cells - 1


shown = [name for name in NAMES if all(f"{t}-{name}" in units for t in TARGETS.values())]
short = {rule: rule for rule in RULES}
places = dict(zip(RULES, range(len(RULES)), strict=True))

if shown:
    judges = {}
    for word, target in TARGETS.items():
        family = Faces(size=settings["size"], **study.TARGETS[target])
        judges[word] = family.oracle(family.split(settings["images"], held_out=0).train)


def draw_grid(target, architecture):
    variant = f"{TARGETS[target]}-{architecture}"
    images = sheet(variant)[:24]
    verdicts = judges[target](images)
    labels = [("copy", "creative", "invalid")[k] for k in verdicts.label.tolist()]
    rates = {rule: broken(variant, rule) for rule in RULES}
    judged, chance = total(variant, "judged"), total(variant, "chance")
    there = [rule for rule in RULES if judged[rule] >= ENOUGH]
    counts = {name: counted(variant, name) for name in OUTLINES}
    words = ", ".join(f"{percent(c.value)} {name}" for name, c in counts.items())
    every = (
        "This machine knows every face: what it copies, it copies by chance. "
        if architecture.startswith("seen")
        else ""
    )
    force = study.TARGETS[TARGETS[target]]["long_range_rules"]
    return {
        "samples": [marks.images(images, columns=6, cell=56, outline=[OUTLINES[k] for k in labels])],
        "rules": [
            marks.bars([places[r] for r in there], [rates[r].value for r in there], width=0.6, color="warning"),
            marks.points([places[r] for r in there], [chance[r] / judged[r] for r in there],
                         color="law", shape="ring", size=5),
            *(marks.text(places[r], 0.95 - 0.08 * (places[r] % 2), r, anchor="middle",
                         color="ink" if places[r] < force else "muted") for r in RULES),
            *(marks.text(-0.55, height, f"{height:g}", color="muted") for height in (0.25, 0.5, 0.75)),
        ],
        "alt": f"Target {target}, {NAMES[architecture]}: 24 samples, of all samples {words}.",
        "caption": f"{every}Of {total(variant, 'samples')} samples: {words}. Names of rules not in force are grey; rules that could be judged in fewer than {ENOUGH} samples have no bar.",
    }  # fmt: skip


(
    Explorer.precomputed(
        draw_grid,
        [
            Choice("target", list(TARGETS), "rules of the target", start="all six"),
            Choice("architecture", {NAMES[name]: name for name in shown}, "architecture",
                   start="seen11" if "seen11" in shown else shown[0]),
        ],
        {
            "samples": Panel("Samples, from the same noise", kind="images"),
            "rules": Panel("Share of tied parts that disagree (rings: by chance)",
                           xlim=(-0.6, 5.6), ylim=(0, 1), axes=False),
        },
        title="What an architecture makes of a target",
    )
    if shown
    else None
)  # fmt: skip

# %% [markdown]
# "Every face, window 11" is the best denoiser that sees a window of 11×11 pixels around each pixel, with *all* valid
# faces of the target as its training set. It has nothing left to learn; what it breaks, it breaks because of its sight.
# Shrink the window, and rules give way one after the other; ears, the farthest apart, go first. At "no rules" the same
# windows break nothing, for there is nothing to break.
#
# (sec-align-sight)=
# ## Who cannot see each other draws alone
#
# Say of a denoiser that the pixel $p$ **sees** the set $Q_p \ni p$ if $D_\sigma(y)_p$ depends on the entries of $y$ in
# $Q_p$ only, at every level. A set $A$ of pixels is **closed** if its pixels see nothing outside: $Q_p \subseteq A$ for
# all $p \in A$.
#
# ```{prf:proposition} Closed sets draw alone
# :label: prop-align-sight
#
# Let a sampler start from noise that is independent from pixel to pixel and go any number of steps, deterministic ones
# (DDIM, Heun) or with fresh noise that is independent from pixel to pixel. Then the samples on disjoint closed sets are
# independent.
# ```
#
# ```{prf:proof}
# Each step computes $y'_p$ from $y_p$, from $D_\sigma(y)_p$, from the fresh noise at $p$, and for Heun's method from
# $D$ at a second point, each entry of which was computed in the same way. For $p$ in a closed set $A$, all entries that
# are read lie in $A$. By induction over the steps, the sample on $A$ is a function of the noise on $A$ alone. Disjoint
# sets read disjoint noise, which is independent.
# ```
#
# For the blocks of {prf:ref}`thm-product` each block is closed. Windows overlap, so at first sight nothing but the whole
# image is closed: what one step does not reach the next one may ({prf:ref}`prop-local-reach`). But a pixel need not
# *use* all that its window shows.
#
# ```{prf:proposition} The best local denoiser of independent groups
# :label: prop-align-local
#
# Let the target draw groups of pixels independently, and let $V$ be the pixels that vary at all. Write $G(p)$ for the
# group of $p$. Among the denoisers in which $p$ sees $\Omega_p$, the best is
#
# $$ D_\sigma(y)_p = \E\bigl[x_p \mid y_q,\ q \in \Omega_p \cap V \cap G(p) \bigr] . $$
#
# Hence
# 1. it generates the groups independently, however far $\Omega_p$ reaches;
# 2. if a group consists of two parts whose varying pixels are more than $r$ apart (in rows or in columns), and $\Omega_p$
#    reaches $r$ pixels far, it generates the two parts independently, with any number of steps;
# 3. if $\Omega_p$ covers $V \cap G(p)$ for all $p$ of a group, it is on this group the perfect denoiser, and its exact
#    flow generates the group with its own law.
# ```
#
# ```{prf:proof}
# Pixel by pixel, the best denoiser is $\E[x_p \mid y_{\Omega_p}]$ ({prf:ref}`thm-mmse`). Given the image, the entries
# of $y$ are independent. The density of those outside $V$ does not depend on the image; that of those in other groups
# depends on these groups only, which are independent of $x_p$. Both cancel from the posterior of $x_p$, and the formula
# is left. It gives (1) by {prf:ref}`prop-align-sight`, with the groups' varying pixels as closed sets; all other pixels
# are constant. (2) Varying pixels of either part see varying pixels of the same part only: two closed sets.
# (3) Then $D_p$ is $\E[x_p \mid y_{G(p)}]$, and {prf:ref}`thm-probability-flow` says what its flow generates.
# ```
#
# Pixels that do not vary are a moat: noise on them says nothing about the image, so nothing crosses where the moat is
# wider than the window reaches. And no other group is in the formula. For "all six" there are six groups. The best local
# denoiser of all 17,496 faces, or of 8,503,056, needs only what each group can show. This is how the machines above
# could know every face.

# %% tags=["hide-input"]
family = Faces(positions=1)
gaps = rule_gaps(family)


def rules_of(slots):
    """The rules that tie these slots."""
    traits = {trait for slot in slots for trait in SLOTS[slot].traits}
    return [rule for rule, pair in RULES.items() if set(pair) <= traits]


dc.runtime.Table(
    ("group", "what it can show", "rules", "gap in pixels"),
    [
        (" and ".join(g.slots), str(len(g.images)), ", ".join(rules_of(g.slots)) or "none",
         str(gaps[rules_of(g.slots)[0]]) if rules_of(g.slots) else "")
        for g in groups(family)
    ],
)  # fmt: skip

# %% [markdown]
# The gap is the least distance between varying pixels of the two parts, the larger of rows and columns.
#
# ### At what rate?
#
# ```{prf:proposition} The rate at which a rule is broken unseen
# :label: prop-align-rate
#
# Let the parts $A$ and $B$ lie in disjoint closed sets. Of the samples in which both are well drawn, let a share $a_v$
# show the value $v$ in $A$, and a share $b_v$ in $B$. Then the two agree with probability
#
# $$ \sum_v a_v b_v \;\le\; \max_v a_v . $$
#
# If one of them takes $m$ values equally often, the rule is broken with probability $1 - 1/m$. Rules between several
# pairs of parts, all in disjoint closed sets, are kept together with the product of their probabilities.
# ```
#
# ```{prf:proof}
# What $A$ shows, and whether it is well drawn, is a function of the sample on $A$; likewise for $B$. These are
# independent by {prf:ref}`prop-align-sight`, and remain so among the samples in which both are well drawn. So the two
# agree with probability $\sum_v a_v b_v \le \max_v a_v \sum_v b_v$. If all $a_v = 1/m$, the sum is $1/m$. Different
# pairs are functions of disjoint sets of noise, too.
# ```
#
# No training enters, no schedule, and no optimality: the proposition holds for any network in which two parts cannot
# see each other. Whatever it does, it keeps the rule at most as often as the rule's commonest value occurs. In our
# faces all values are equally likely, so the prediction is 2/3 for five of the rules and 1/2 for the cheeks.
#
# Here is the experiment, live and small, by the function that made the stored results. Windows lie on either side of
# the gap between the eyes.

# %% tags=["hide-input"]
live = study.AlignmentConfig(samples=run.size(smoke=40, book=150), images=200)
tried = run.size(smoke=(5, 23), book=(5, 9, 11, 23))


def run_live(variant):
    with tempfile.TemporaryDirectory() as folder:
        unit = Unit(variant, seed, torch.device("cpu"), Path(folder), lambda done: None)
        return study.alignment(live, unit).metrics


rows = []
for window in tried:
    found, reach = run_live(f"rules6-seen{window}"), (window - 1) // 2
    for rule in ("eyes", "cheeks", "ears"):
        n, wrong = found["judged"][rule], found["disagree"][rule]
        unseen, chance = reach < gaps[rule], 1 / 2 if rule == "cheeks" else 2 / 3
        if unseen:  # the proposition says a number, whatever the sizes
            assert stats.binomtest(wrong, n, chance).pvalue > 1e-5
        rate = share(wrong, n)
        rows.append((f"{window}×{window}", rule, f"{reach} of {gaps[rule]}", str(n),
                     f"{rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f})",
                     f"{chance:.2f}" if unseen else "at most that"))  # fmt: skip
dc.runtime.Table(
    ("window", "rule", "reach of gap", "both well drawn", "disagree (95 %)", "predicted"), rows
)

# %% [markdown]
# Where the window does not bridge the gap, the prediction is a number, and the cell above fails where the count refuses
# it at the level $10^{-5}$. Where it does bridge the gap, nothing is proved until the window covers both parts. (That
# the rate is then no larger than by chance is what one expects, not a theorem.)
#
# Now the whole dial, from the stored results: all rules, all windows.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Six panels, one for each rule: the share of samples in which the tied parts disagree, against the reach of the window. Each curve stays on the line of chance up to a vertical line, the gap, and falls to zero later."}, "figure": {"caption": "How often tied parts disagree against how far the window reaches; the target has all six rules. Dashed: the rate of chance. Vertical: the gap. Bars: 95 % intervals.", "name": "fig-align-threshold"}}
windows = [w for w in study.WINDOWS if f"rules6-seen{w}" in units]
tests = []
if windows:
    fig, axes = plt.subplots(2, 3, figsize=(7.2, 4.2), sharex=True, sharey=True)
    for ax, rule in zip(axes.flat, RULES, strict=True):
        chance = 1 / 2 if rule == "cheeks" else 2 / 3
        rates = {(w - 1) // 2: broken(f"rules6-seen{w}", rule) for w in windows}
        rates = {reach: rate for reach, rate in rates.items() if rate}
        middle = np.array([rate.value for rate in rates.values()])
        low, high = (np.array([getattr(r, end) for r in rates.values()]) for end in ("low", "high"))
        ax.errorbar(list(rates), middle, [middle - low, high - middle], fmt="o-", markersize=4,
                    color=COLORS["generated"])  # fmt: skip
        ax.axhline(chance, color=COLORS["law"], linestyle="--", linewidth=1.4)
        ax.axvline(gaps[rule], color=COLORS["muted"], linewidth=1)
        ax.set(title=rule, ylim=(-0.03, 0.9))
        for w in windows:
            wrong, by_chance, n = (
                total(f"rules6-seen{w}", key)[rule] for key in ("disagree", "chance", "judged")
            )
            if (w - 1) // 2 < gaps[rule] and n:
                tests.append(stats.binomtest(wrong, n, by_chance / n).pvalue)
    fig.supxlabel("reach of the window in pixels", fontsize=10)
    fig.supylabel("share that disagree", fontsize=10)
    plt.show()

# %% tags=["remove-input"]
assert not tests or min(tests) > 1e-5
dc.runtime.report(
    align_tests=str(len(tests)),
    align_smallest=f"{min(tests):.2g}" if tests else "none",
    align_corrected=f"{min(1, len(tests) * min(tests)):.2g}" if tests else "none",
)

# %% [markdown]
# {glue:text}`align_tests` points lie left of their vertical lines. Held against $1 - \sum a_v b_v$ with the shares $a_v$ and
# $b_v$ of the samples themselves, the smallest p-value is {glue:text}`align_smallest`, or {glue:text}`align_corrected` when corrected for
# the number of points (Bonferroni). Where parts are drawn with their shares in the target, that rate is the dashed line.
#
# The jaws, under *head*, show what a gap is not. They touch at the chin, so their gap is one pixel, and yet windows of small
# reach break the rule nearly as often as chance. What tells one jaw from another lies mostly on the outside of the face, and
# a window has to join *those* places. The gap says where a rule can begin to be kept, and no more.
#
# ### The grid
#
# A face is valid if all its parts are well drawn and no rule is broken.

# %% tags=["hide-input"] mystnb={"image": {"alt": "A grid with windows in columns and the three targets in rows; each cell shows the share of valid samples, which grows to the right, and later for the target with all six rules."}, "figure": {"caption": "Share of valid samples in per cent, with 95 % intervals: target against sight, for machines that know every face.", "name": "fig-align-grid"}}
grid = {
    (t, w): counted(f"{TARGETS[t]}-seen{w}", "invalid")
    for t in TARGETS
    for w in study.WINDOWS
    if f"{TARGETS[t]}-seen{w}" in units
}
if grid:
    fig, ax = plt.subplots(figsize=(7.2, 2.8))
    values = np.full((len(TARGETS), len(study.WINDOWS)), np.nan)
    for (t, w), s in grid.items():
        i, j = list(TARGETS).index(t), study.WINDOWS.index(w)
        values[i, j] = 1 - s.value
        text = f"{100 * (1 - s.value):.0f}\n{100 * (1 - s.high):.0f} to {100 * (1 - s.low):.0f}"
        light = "#fefefe"  # plain white would become dark with the page
        ax.text(j, i, text, ha="center", va="center", fontsize=8,
                color=light if values[i, j] < 0.6 else "black")  # fmt: skip
    ax.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(len(study.WINDOWS)), [f"{w}×{w}" for w in study.WINDOWS])
    ax.set_yticks(range(len(TARGETS)), list(TARGETS))
    ax.set(xlabel="window", ylabel="rules of the target")
    ax.grid(False)
    plt.show()

# %% tags=["remove-input"]
dc.runtime.report(**{
    f"align_valid_{t.split()[-1]}_15": percent(1 - grid[t, 15].value) if (t, 15) in grid else "not run"
    for t in TARGETS
})  # fmt: skip

# %% [markdown]
# Read a column: with a window of 15×15 pixels, {glue:text}`align_valid_rules_15` of the samples are valid without
# rules, {glue:text}`align_valid_eyes_15` with the rules for the eyes and {glue:text}`align_valid_six_15` with all six.
# Same architecture, same sampler, same noise.
#
# There is a law behind the cells. By {prf:ref}`prop-align-local` groups are independent, so **each cell is a product
# with one factor for each group**: the probability that the group comes out valid. A rule caps its group's factor at
# $\sum_v a_v b_v$ until the sight bridges the gap, and the factor is one when the sight covers the group. Drawing a
# part well is such a matter, too: the top of the face is 14 pixels wide, and small windows draw it as a mosaic of
# several hats. This is why even the target without rules needs some sight.
#
# (sec-align-shape)=
# ## The shape of the sight
#
# Is it enough to see a lot? Take machines that see *chosen parts together*: the slots of a face are cut into blocks,
# and each block is treated by the perfect denoiser of what $N$ training faces show there, as in
# {prf:ref}`thm-chimeras`.
#
# ```{prf:proposition} Recombined faces
# :label: prop-align-blocks
#
# Cut $N$ different training faces into $B$ blocks of slots, and let samples take each block from a training face of its
# own, chosen uniformly. Let $c_b(x)$ be the number of training faces that look like the face $x$ in block $b$.
# 1. A face $x$ is drawn with probability $q(x) = \prod_b c_b(x)/N$. The share of copies is the sum of $q$ over the
#    training faces, at least $N^{1-B}$.
# 2. If every rule ties slots of one block, all samples are valid.
# 3. A rule between two blocks is kept with probability $\sum_v a_v^2$, where $a_v$ is the share of its value $v$ in the
#    training set.
# ```
#
# ```{prf:proof}
# *1.* Block $b$ looks like $x$ with probability $c_b(x)/N$, and blocks are independent. A training face has
# $c_b \ge 1$ in every block, so it has $q \ge N^{-B}$; there are $N$ of them. *2.* What a block shows, a valid face
# shows; so no rule within a block is broken, and there are no others. *3.* {prf:ref}`prop-align-rate`: both parts have
# the shares of the training set, in which they agree.
# ```
#
# (sec-align-pays)=
# ### When creativity pays
#
# A copier draws valid faces, but only $N$ of them. A creator draws more, some of them wrong. Which is nearer to the
# target? We measure by {term}`total variation`.
#
# ```{prf:proposition} Break-even
# :label: prop-align-pays
#
# Let the target be uniform on $M$ valid images. A law that draws image $x$ with probability $q(x)$ is at the distance
# $1 - \omega$ from it in total variation, with the **overlap**
#
# $$ \omega = \sum_{x\ \text{valid}} \min\bigl(q(x),\, 1/M\bigr) . $$
#
# Uniform copies of $N$ valid images have $\omega = N/M$. A law with a share $v$ of valid samples has $\omega \le v$,
# with equality if and only if $q(x) \le 1/M$ for every valid $x$. Such an even creator is nearer to the target than the
# copier if and only if $v > N/M$.
# ```
#
# ```{prf:proof}
# The event on which the target exceeds $q$ the most is the set of valid $x$ with $q(x) < 1/M$. The excess is
# $\sum (1/M - q(x))$ over it, which is $\sum (1/M - \min(q(x), 1/M))$ $= 1 - \omega$ over all valid $x$. The copier has
# $q = 1/N \ge 1/M$ on $N$ valid images and 0 elsewhere. Next, $\min(q, 1/M) \le q$, and $q$ sums to $v$ over the valid
# images; equality of the sums is equality of all terms.
# ```
#
# $N/M$ is the {term}`base rate` of {prf:ref}`prop-base-rate`, with a second meaning: *the share of valid samples above
# which it pays to create.* It falls as the family grows, and rules shrink a family. So the fewer rules a target has, the
# cheaper it is to break some.
#
# For recombined faces all of this can be computed. Cut the face, choose a target, and move the number of training faces.
# (Shares are averages over {glue:text}`align_draws` drawn recombinations, whose probabilities $q$ are known exactly.)

# %% tags=["hide-input"]
WAYS = {
    "each part alone": [[name] for name in SLOTS],
    "pairs": [["top", "tie"], ["mouth"],
              *([f"left {part}", f"right {part}"] for part in ("eye", "ear", "cheek", "jaw"))],
    "left, middle, right": [[n for n in SLOTS if n.startswith("left")], ["top", "mouth", "tie"],
                            [n for n in SLOTS if n.startswith("right")]],
    "inner, outer": [["left eye", "right eye", "left cheek", "right cheek", "mouth"],
                     ["top", "tie", "left ear", "right ear", "left jaw", "right jaw"]],
    "whole face": [list(SLOTS)],
}  # fmt: skip
SIZES = run.size(smoke=(10, 1000), book=(10, 30, 100, 300, 1000, 3000))
DRAWS = run.size(smoke=500, book=4000)
column = {name: k for k, name in enumerate(SLOTS)}
families = {t: Faces(**study.TARGETS[name]) for t, name in TARGETS.items()}


def recombine(family, blocks, n):
    """Draw recombinations of n training faces: looks (DRAWS, slots), q of each, and verdicts."""
    train = family.split(n, held_out=0, seed=seed).train
    looks, rng = looks_of(family.traits(train)), np.random.default_rng(seed)
    made, q = torch.empty(DRAWS, len(SLOTS), dtype=torch.long), torch.ones(DRAWS).double()
    for block in blocks:
        own = [column[name] for name in block]
        chosen = torch.from_numpy(rng.integers(n, size=DRAWS))
        made[:, own] = looks[chosen][:, own]
        _, which, counts = looks[:, own].unique(dim=0, return_inverse=True, return_counts=True)
        q *= counts[which[chosen]].double() / n
    zero = torch.zeros(DRAWS, dtype=torch.long)
    traits = traits_of(zero, zero, made)
    nearest = family.number(traits)  # where a rule ties two traits, the first one counts
    valid = (family.traits(nearest) == traits).all(1)
    label = torch.where(valid, torch.where(torch.isin(nearest, train), 0, 1), 2)
    return made, label, (1 / (q * len(family))).clamp(max=1) * valid


ladder = {}
for (t, family), (way, blocks), n in itertools.product(families.items(), WAYS.items(), SIZES):
    made, label, met = recombine(family, blocks, n)
    ladder[t, way, n] = {
        "made": made[:15],
        "label": label[:15].tolist(),
        "copy": (label == 0).double().mean().item(),
        "valid": (label < 2).double().mean().item(),
        "overlap": met.mean().item(),
        "error": 1.96 * met.std().item() / DRAWS**0.5,
        "copier": n / len(family),
    }


def draw_ladder(target, way, n):
    now, zero = ladder[target, way, n], torch.zeros(15, dtype=torch.long)
    curve = [ladder[target, way, k] for k in SIZES]
    words = (
        f"{n:,} training faces: {percent(now['valid'])} of the samples are valid, "
        f"{percent(now['copy'])} copies; overlap {now['overlap']:.3f}, that of the copier "
        f"{now['copier']:.2g}"
    )
    frames = [list(OUTLINES.values())[k] for k in now["label"]]
    images = families[target].place(zero, zero, now["made"])
    return {
        "samples": [marks.images(images, columns=5, cell=64, outline=frames)],
        "overlap": [
            marks.line(SIZES, [c["copier"] for c in curve], color="data", label="copier"),
            marks.line(SIZES, [c["valid"] for c in curve], color="law", dash=True,
                       label="valid", label_at=0.0),
            marks.line(SIZES, [c["overlap"] for c in curve], color="generated", label="overlap"),
            marks.points([n], [now["overlap"]], color="generated", size=5),
        ],
        "alt": f"Target {target}, seen together: {way}. {words}.",
        "caption": f"{words}.",
    }  # fmt: skip


Explorer.precomputed(
    draw_ladder,
    [
        Choice("target", list(TARGETS), "rules of the target", start="all six"),
        Choice("way", list(WAYS), "seen together", start="pairs"),
        Choice("n", {f"{n:,}": n for n in SIZES}, "training faces", start=SIZES[-2]),
    ],
    {
        "samples": Panel("Recombined faces", kind="images"),
        "overlap": Panel("Overlap with the target", xlabel="training faces", ylabel="share",
                         xlog=True, ylim=(0, 1.04)),
    },
    title="How to cut a face",
)  # fmt: skip

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three panels, one for each target: overlap against the number of training faces, one curve for each way to cut a face. Without rules each part alone is the best, with all six rules pairs are."}, "figure": {"caption": "Overlap with the target against the number of training faces, for five ways to cut a face; the whole face is the copier. Compare the order of the curves from panel to panel.", "name": "fig-align-overlap"}}
fig, axes = plt.subplots(1, 3, figsize=(7.2, 3.4), sharey=True)
palette = dict(zip(WAYS, ("generated", "law", "warning", "denoiser", "data"), strict=True))
for ax, t in zip(axes, TARGETS, strict=True):
    for way, color in palette.items():
        ax.semilogx(SIZES, [ladder[t, way, n]["overlap"] for n in SIZES], "o-", markersize=3,
                    color=COLORS[color], label=way)  # fmt: skip
    ax.set(title=t, ylim=(-0.02, 1.04))
axes[1].set_xlabel("training faces")
axes[0].set_ylabel("overlap")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
plt.show()

# %% tags=["remove-input"]
for (t, way, _), found in ladder.items():  # what the propositions say of each
    within = all(any(rule in rules_of(block) for block in WAYS[way]) for rule in families[t].rules)
    assert found["overlap"] <= found["valid"] + 1e-9
    assert not within or found["valid"] == 1
    if way == "whole face":
        assert found["copy"] == 1
        assert abs(found["overlap"] - found["copier"]) < 1e-9
top = SIZES[-1]
best = {t: max(WAYS, key=lambda way, t=t: ladder[t, way, top]["overlap"]) for t in TARGETS}
if run.profile != "smoke":
    assert best["no rules"] == "each part alone"
    assert best["all six"] == "pairs"


def overlap_of(target, way):
    found = ladder[target, way, top]
    return f"{found['overlap']:.2g}" if found["overlap"] < 0.1 else f"{found['overlap']:.2f}"


dc.runtime.report(
    align_draws=f"{DRAWS:,}",
    align_top=f"{top:,}",
    align_best_eyes=best["eyes"],
    align_six_alone=overlap_of("all six", "each part alone"),
    align_six_pairs=overlap_of("all six", "pairs"),
    align_six_sides=overlap_of("all six", "left, middle, right"),
    align_six_rings=overlap_of("all six", "inner, outer"),
    align_six_copier=overlap_of("all six", "whole face"),
    align_none_alone=overlap_of("no rules", "each part alone"),
    align_none_pairs=overlap_of("no rules", "pairs"),
    align_none_copier=overlap_of("no rules", "whole face"),
    align_eyes_alone=overlap_of("eyes", "each part alone"),
    align_eyes_pairs=overlap_of("eyes", "pairs"),
)

# %% [markdown]
# Take {glue:text}`align_top` training faces. For the target with all six rules, seeing each part alone overlaps by
# {glue:text}`align_six_alone` and the copier by {glue:text}`align_six_copier`: **there it does not pay to create.** Seeing
# pairs, which is what the rules tie, overlaps by {glue:text}`align_six_pairs`: there it pays. Seeing more than the rules
# tie is worse again. Inner and outer parts keep all rules, but recombine two pieces only,
# {glue:text}`align_six_rings`. And left, middle and right is a large sight of the wrong shape, {glue:text}`align_six_sides`.
#
# Without rules the order turns: parts alone {glue:text}`align_none_alone`, pairs {glue:text}`align_none_pairs`, the copier
# {glue:text}`align_none_copier`. For the eyes' rules alone the best of the five is "{glue:text}`align_best_eyes`"
# ({glue:text}`align_eyes_pairs`; parts alone {glue:text}`align_eyes_alone`), and no cut of the list is quite right: it would
# keep the eyes together and all else apart (try it, {ref}`exercise <ex-17-even>` below). Parts and architectures are the
# same in all three panels; only the rules of the target changed. In one sentence:
#
# *See together what the target ties, and nothing more. What the sight misses makes samples invalid, what it has too much
# makes them copies.*
#
# (sec-align-networks)=
# ## Trained networks
#
# A UNet is no best denoiser of anything, and its sight has no sharp edge. Its reach says where the gradient ends, its
# {term}`effective receptive field` where most of it comes from. We trained UNets of about the same cost on
# {glue:text}`align_images` faces of each target. All norms act on each pixel alone; one over the image would see all of
# it. Sampler, noise and judge are those of the grid above. For comparison, closed forms on the same training faces.

# %% tags=["hide-input"]
names = [name for name in NAMES if not name.startswith("seen")]
table = []
for name, (t, target) in itertools.product(names, TARGETS.items()):
    variant = f"{target}-{name}"
    if variant not in units:
        continue
    facts = units[variant][0]
    sees = f"{facts['reach']}, {facts['effective']}" if "reach" in facts else ""
    counts = [counted(variant, key) for key in ("copy", "creative", "invalid", "breaks_local")]
    valid = round((1 - counts[2].value) * total(variant, "samples"))
    most = counts[1].value + min(counts[0].value, facts["base_rate"])
    table.append(
        (
            NAMES[name],
            t,
            sees,
            *(f"{percent(c.value)} ({100 * c.low:.0f} to {100 * c.high:.0f})" for c in counts),
            f"{100 * facts['base_rate']:.2g} %",
            f"{100 * most:.2g} %",
            f"{total(variant, 'distinct')} of {valid}",
        )
    )
dc.runtime.report(
    align_images=f"{settings['images']:,}",
    **{
        f"align_{name}_{target}": percent(1 - counted(f"{target}-{name}", "invalid").value)
        if f"{target}-{name}" in units
        else "not run"
        for name in ("deep1", "deep3")
        for target in ("rules0", "rules6")
    },
)
dc.runtime.Table(
    ("architecture", "target", "reach, effective", "copies", "creative", "invalid",
     "some part badly drawn", "N/M", "overlap, at most", "different ones of the valid"),
    table or [("not run", *9 * [""])],
)  # fmt: skip

# %% [markdown]
# "Overlap, at most" is the share of creative samples plus that of copies, the latter counted up to $N/M$: training faces
# together add no more than $N \cdot 1/M$ to the overlap of {prf:ref}`prop-align-pays`, and all others no more than they
# are drawn. An even law reaches it. The last column speaks for that as far as so few samples can, for an uneven law soon
# repeats itself. It pays to create where this number exceeds $N/M$.
#
# Compare the rows of one network. With one halving, {glue:text}`align_deep1_rules0` of the samples are valid without rules and
# {glue:text}`align_deep1_rules6` with all six; with three halvings it is {glue:text}`align_deep3_rules0` and
# {glue:text}`align_deep3_rules6`. Which rules make the difference?

# %% tags=["hide-input"] mystnb={"image": {"alt": "One panel for each network: how often the parts of each rule disagree, rules in the order of their gaps, dashes at the rate of chance, crosses for the window machine that breaks the rules most alike."}, "figure": {"caption": "Networks trained on the target with all six rules (*flat2*: no halving and 2 blocks; *deep1* to *deep3*: so many halvings): how often the parts of a rule disagree, where both are well drawn (dots, 95 % intervals; rules that could be judged in 20 samples at least). Rules in the order of their gaps, in pixels. Dashes: if the two were drawn independently, as often as each is. Crosses: the window machine of the grid whose rates are the nearest.", "name": "fig-align-networks"}}
pixels = rule_gaps(Faces(size=settings["size"], positions=1))
order = sorted(RULES, key=pixels.get)


def rates_of(variant):
    """How often each rule's parts disagree, for rules that could be judged often enough."""
    judged = total(variant, "judged")
    return {rule: broken(variant, rule).value for rule in order if judged[rule] >= ENOUGH}


def apart(rates, others):
    """Mean difference over the rules that both have."""
    return np.mean([abs(rates[rule] - others[rule]) for rule in rates if rule in others])


trained = {}
for name in study.NETWORKS:
    if f"rules6-{name}" in units and windows and len(rates_of(f"rules6-{name}")) == len(RULES):
        rates = rates_of(f"rules6-{name}")
        others = {w: apart(rates, rates_of(f"rules6-seen{w}")) for w in windows}
        trained[name] = rates, min(others, key=others.get)
if trained:
    fig, axes = plt.subplots(1, len(trained), figsize=(7.2, 3.4), sharey=True, squeeze=False)
    for ax, (name, (_, window)) in zip(axes[0], trained.items(), strict=True):
        variant, alike = f"rules6-{name}", rates_of(f"rules6-seen{window}")
        for k, rule in enumerate(order):
            rate = broken(variant, rule)
            chance = total(variant, "chance")[rule] / total(variant, "judged")[rule]
            error = [[rate.value - rate.low], [rate.high - rate.value]]
            ax.plot([k - 0.35, k + 0.35], [chance] * 2, "--", color=COLORS["law"])
            ax.errorbar(k, rate.value, error, fmt="o", color=COLORS["generated"])
            if rule in alike:
                ax.plot(k, alike[rule], "x", color=COLORS["muted"], markersize=7)
        ax.set_title(f"{name}\nalike: window {window}", fontsize=9)
        ax.set_xticks(
            range(6), [f"{rule} {pixels[rule]}" for rule in order], rotation=60, ha="right"
        )
        ax.set(ylim=(-0.03, 1), xlim=(-0.6, 5.6))
    axes[0, 0].set_ylabel("share that disagree")
    plt.show()

# %% tags=["hide-input"]
rows = []
for name, (rates, window) in trained.items():
    variant = f"rules6-{name}"
    chance = {r: total(variant, "chance")[r] / total(variant, "judged")[r] for r in rates}
    valid = 1 - counted(variant, "invalid").value
    drawn = total(variant, "drawn") / total(variant, "samples")
    factors = math.prod(1 - rate for rate in rates.values())
    rows.append((
        NAMES[name], f"{window}×{window}", f"{apart(rates, rates_of(f'rules6-seen{window}')):.2f}",
        f"{apart(rates, chance):.2f}", f"{apart(rates, dict.fromkeys(rates, 0)):.2f}",
        percent(valid, 1), percent(drawn * factors, 1),
    ))  # fmt: skip
dc.runtime.Table(
    ("network", "window that breaks rules most alike", "mean difference of the rates",
     "if all were broken by chance", "if none were broken", "valid", "product of factors"),
    rows or [("not run", *6 * [""])],
)  # fmt: skip

# %% tags=["remove-input"]
pairs = [(name, rule, rates[rule]) for name, (rates, _) in trained.items() for rule in rates]
unseen = []  # of these the interval holds the rate of chance
for name, rule, rate in pairs:
    variant = f"rules6-{name}"
    wrong, by_chance, n = (total(variant, key)[rule] for key in ("disagree", "chance", "judged"))
    if stats.binomtest(wrong, n, by_chance / n).pvalue > 0.05:
        unseen.append((name, rule, f"{percent(rate)} for {percent(by_chance / n)} by chance"))
kept = [(name, rule) for name, rule, rate in pairs if rate < 0.05]
small = [n for n in study.NETWORKS if f"rules6-{n}" in units and n not in trained]
dc.runtime.report(
    align_pairs=str(len(pairs)),
    align_kept=str(len(kept)),
    align_kept_gap=f"{max(pixels[rule] for _, rule in kept)}" if kept else "not run",
    align_unseen="; ".join(f"{rule} by {name} ({words})" for name, rule, words in unseen) or "none",
    align_unseen_gap=f"{min(pixels[rule] for _, rule, _ in unseen)}" if unseen else "not run",
    align_small=", ".join(small) or "none",
    align_wide="; ".join(
        f"{name}: {max(rates, key=rates.get)} ({percent(max(rates.values()))})"
        for name, (rates, _) in trained.items()
    )
    or "not run",
)

# %% [markdown]
# What {prf:ref}`prop-align-rate` says of these networks is little, strictly: in 18 steps of Heun's method even a network
# of small reach could pass word from part to part ({prf:ref}`prop-local-reach`), and no two parts are in closed sets. So
# what follows is observed:
#
# - Of {glue:text}`align_pairs` pairs of network and rule, {glue:text}`align_kept` rules are broken in less than 5 % of the
#   samples that can be judged.
# - Broken as by chance (the binomial test at 5 % does not tell them apart): {glue:text}`align_unseen`. The
#   smallest gap among these is {glue:text}`align_unseen_gap` pixels, the largest gap among the rules that are kept is
#   {glue:text}`align_kept_gap`.
# - The rule that each network breaks most: {glue:text}`align_wide`.
# - Each network resembles one window machine, and the table says how much. The windows are taken from the list of the
#   grid, the rates of the nearest one are chosen after the fact, so a part of the likeness is owed to the choice.
# - The last two columns hold the law of the grid against the networks: the share of valid samples, and the share in which
#   all parts are well drawn times the shares in which each rule is kept, as if all these were independent. For
#   networks nobody has proved that they are.
# - Too few parts well drawn to judge all rules: {glue:text}`align_small`.
#
# One difference is plain. The window machines are told where in the image each pixel is; a convolution finds out from the
# border, if it reaches so far. A network that sees little draws parts badly long before any rule comes into play; the
# column "some part badly drawn" above says how often. For such a network the first obstacle is not the rules.
#
# (sec-align-limits)=
# ## What is proved, what is seen, what is open
#
# - **Proved.** Closed sets are independent, with any network and any schedule; rules between them are kept at the rate
#   $\sum a_v b_v$; the best local denoiser of independent groups splits into the groups; break-even lies at $N/M$.
# - **Computed.** The grid for machines that know every face; its points below the gap are tested against the
#   prediction, those above are counts.
# - **Observed.** How trained networks fare, at this size, with one learning rate for all and the seeds that the
#   provenance line names. They are small, trained for minutes, and their numbers are not those of a study with a
#   learning rate chosen for each.
# - **Not covered.** Targets at several places, where the place ties *all* parts: there are no independent groups then,
#   and {prf:ref}`prop-align-local` says nothing. Nor does it for photographs, of which nobody knows the groups. What
#   carries over is the bound: what cannot see both parts keeps a rule no more often than its commonest value occurs.
# - **A choice.** A sample within the oracle's tolerance counts as the face that it shows, and total variation counts every
#   invalid image as lost, however nearly valid. Who can live with a tie of the wrong colour puts the break-even elsewhere.
#
# The question came from the paper behind this book {cite:p}`levine2026diffusion`: what is generated follows from the
# architecture *and* the target together. All propositions on this page, and their proofs, are the book's own.
#
# ## Exercises
#
# ```{exercise} Broken by chance
# :label: ex-17-rate
#
# Write `break_rate(a, b)`: how often a rule is broken by an architecture that cannot see both parts. `a` and `b` are
# tensors of *counts*: how many of the well drawn samples show each value on either side.
# ```


# %%
def break_rate(a, b): ...  # your code


# dc.exercises.check_break_rate(break_rate)

# %% [markdown]
# ```{solution-start} ex-17-rate
# :class: dropdown
# ```
#
# {prf:ref}`prop-align-rate`, with shares in place of counts.


# %%
def break_rate_solution(a, b):
    return 1 - (a / a.sum() * (b / b.sum())).sum()


assert dc.exercises.check_break_rate(break_rate_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What a part hears of
# :label: ex-17-closed
#
# Write `hears(sees, part, steps)`. The boolean matrix `sees` (d, d) says in row $p$ which pixels $p$ sees; `part` (d,)
# is a boolean mask. Return the mask of all pixels whose starting noise the sample on the part can depend on after so
# many DDIM steps. With `steps=None`, after any number of them: the smallest closed set that holds the part.
# ```


# %%
def hears(sees, part, steps=None): ...  # your code


# dc.exercises.check_hears(hears)

# %% [markdown]
# ```{solution-start} ex-17-closed
# :class: dropdown
# ```
#
# One step adds what the pixels in the set see. The set grows until it is closed, after at most $d$ steps.


# %%
def hears_solution(sees, part, steps=None):
    for _ in range(len(part) if steps is None else steps):
        part = part | sees[part].any(0)
    return part


assert dc.exercises.check_hears(hears_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} A cell of the grid
# :label: ex-17-cell
#
# Each group of a target has a list of rules, each rule a number of equally likely values, and the sight either covers a
# group or bridges none of its gaps. Write `valid_share(groups)` for well drawn parts, where `groups` is a list of pairs
# (seen, values): whether the group is covered, and the list of the numbers of values of its rules. Rules of one group
# concern different traits, which are independent of each other.
# ```


# %%
def valid_share(groups): ...  # your code


# dc.exercises.check_valid_share(valid_share)

# %% [markdown]
# ```{solution-start} ex-17-cell
# :class: dropdown
# ```
#
# Groups multiply by {prf:ref}`prop-align-local`, traits within a group because they are independent.


# %%
def valid_share_solution(groups):
    return math.prod(1 / m for seen, values in groups if not seen for m in values)


assert dc.exercises.check_valid_share(valid_share_solution)

# %% [markdown]
# For "all six" and no group seen that is one in 486; the eyes alone, with two rules of three values, are one in nine.
#
# ```{solution-end}
# ```
#
# ```{exercise} Overlap
# :label: ex-17-overlap
#
# Write `overlap(q, valid)`: `q` (n,) are the probabilities of all images, `valid` (n,) says which of them are valid;
# the target is uniform on these.
# ```


# %%
def overlap(q, valid): ...  # your code


# dc.exercises.check_overlap(overlap)

# %% [markdown]
# ```{solution-start} ex-17-overlap
# :class: dropdown
# ```
#
# {prf:ref}`prop-align-pays`. Both the cap at $1/M$ and the sum over valid images alone matter.


# %%
def overlap_solution(q, valid):
    return q[valid].clamp(max=1 / valid.sum()).sum()


assert dc.exercises.check_overlap(overlap_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many training faces?
# :label: ex-17-coverage
#
# An aligned machine draws only what its training set has shown in each block. Write `faces_needed(states, share)`: the
# least number of training faces, drawn independently and uniformly, with which a block of so many equally likely
# states has been seen in at least this share of its states, on average.
# ```


# %%
def faces_needed(states, share): ...  # your code


# dc.exercises.check_faces_needed(faces_needed)

# %% [markdown]
# ```{solution-start} ex-17-coverage
# :class: dropdown
# ```
#
# A state is missing after $N$ draws with probability $(1 - 1/s)^N$. Solve $1 - (1 - 1/s)^N \ge$ share for $N$, and
# mind $s = 1$.


# %%
def faces_needed_solution(states, share):
    if states == 1:
        return 1
    return max(1, math.ceil(math.log(1 - share) / math.log(1 - 1 / states) - 1e-9))


assert dc.exercises.check_faces_needed(faces_needed_solution)
dc.runtime.report(
    align_need_pairs=f"{faces_needed_solution(27, 0.99):,}",
    align_need_copier=f"{faces_needed_solution(17_496, 0.99):,}",
)

# %% [markdown]
# For "all six" the largest group has 27 states: {glue:text}`align_need_pairs` faces show 99 % of them. A copier is a
# machine whose only block has 17,496 states; it needs {glue:text}`align_need_copier`.
#
# ```{solution-end}
# ```
#
# ```{exercise} The right cut for the eyes
# :label: ex-17-even
#
# Add to `WAYS` the cut that is right for the target "eyes", and draw {numref}`fig-align-overlap` again. Which curve does it beat,
# and at how many training faces?
# ```
#
# ## Summary
#
# - Parts that are in disjoint closed sets of pixels are drawn independently, by any network and any number of steps. A
#   rule between them is kept with probability $\sum_v a_v b_v$, never more often than its commonest value occurs.
# - The best local denoiser of a target of independent groups is made of one denoiser for each group. It breaks a rule at
#   the rate of chance up to the gap between the parts, and keeps it once its window covers both. The valid share is a
#   product over groups.
# - See together what the target ties, and nothing more: what is missed makes samples invalid, what is too much makes
#   copies.
# - A creator that spreads evenly over the valid images is nearer to the target than a copier if and only if its share of
#   valid samples exceeds the base rate $N/M$.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
