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
# (sec-projects)=
# # Project ideas
#
# You have read what denoisers dream. Now make one dream something that nobody has predicted.
#
# This chapter has eight questions that the book leaves open, from a fortnight's work to a paper. Each
# has a notebook that already runs: a first experiment of a minute, a check of its start against a known answer, and
# three empty places for you. First comes what all eight need, and what most reports lack: knowing how much a count can
# tell.
#
# ```{admonition} This chapter
# :class: tip
# - **You will learn** how many samples and how many training runs a claim needs, and why these are two
#   numbers; what comparing in pairs saves; and where eight questions stand.
# - **Time** 25 minutes to read; two weeks to many months to do.
# - **Prerequisites** {doc}`03_the_perfect_denoiser_copies`, {doc}`04_linear` and
#   {doc}`12_measuring_creativity_and_realism`; each project names its own.
# ```

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": what the site shows, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch

import diffusion_creativity as dc
from diffusion_creativity.widgets import Choice, Explorer, Panel, Slider, marks

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# (sec-projects-counts)=
# ## How much does a count tell?
#
# You draw samples, and a share of them is creative. Below is the interval of 95 % around that share, for
# every number of samples. Move the number, then the share. How many samples does it take to tell 10 % from
# 20 %? And what have you learnt when you saw none at all?

# %% tags=["hide-input"]
numbers = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
shares = {"none": 0.0, "1 in 10": 0.1, "1 in 5": 0.2, "half": 0.5}


def draw_interval(share, number):
    ends = [dc.metrics.wilson(round(share * n), n) for n in numbers]
    here = ends[numbers.index(number)]
    across = [math.log10(n) for n in numbers]
    words = (
        f"{round(share * number)} of {number} samples: the rate lies between "
        f"{100 * here.low:.1f} % and {100 * here.high:.1f} %."
    )
    return {
        "interval": [
            marks.area(
                across, [e.low for e in ends], [e.high for e in ends], color="law", opacity=0.3
            ),
            marks.line(across, [e.value for e in ends], color="generated"),
            marks.vline(math.log10(number)),
            marks.points([math.log10(number)] * 2, [here.low, here.high], color="law", size=5),
        ],
        "alt": words,
        "caption": words,
    }


Explorer.precomputed(
    draw_interval,
    [Slider("number", numbers, "samples", start=100), Choice("share", shares, "share of them")],
    {"interval": Panel("What the count allows", "log₁₀ of the number of samples", "rate", ylim=(0, 1))},
    title="The interval around a share",
)  # fmt: skip

# %% [markdown]
# "We saw no copies" is a statement with a number in it.
#
# ```{prf:proposition} Seeing none
# :label: prop-projects-none
#
# An event has probability $p$ in each of $n$ independent samples, and $0 < \alpha < 1$.
#
# 1. It is seen at least once with probability $1 - \alpha$ or more if and only if
#    $n \ge \ln\alpha / \ln(1 - p)$.
# 2. If it was not seen, the rates that this does not refute at level $\alpha$ are those up to
#    $1 - \alpha^{1/n} \le \ln(1/\alpha)/n$. For $\alpha = 5\,\%$ that is a little less than $3/n$.
# ```
#
# ```{prf:proof}
# The probability of seeing none is $(1 - p)^n$. It is at most $\alpha$ exactly when
# $n \ln(1 - p) \le \ln\alpha$, which is 1. It is at least $\alpha$ exactly when
# $p \le 1 - \alpha^{1/n} = 1 - e^{-\ln(1/\alpha)/n}$, and $1 - e^{-t} \le t$; $\ln 20 < 3$.
# ```
#
# ## Seeds are not samples
#
# A network is trained once, and ten thousand samples are drawn from it. How large is the sample?
# It depends on what the claim is about. About *this network*: ten thousand. About the
# *architecture*: one.
#
# ```{prf:proposition} Runs and samples
# :label: prop-projects-seeds
#
# Each of $S$ independent runs has its own rate $p_s$, with mean $p$ and variance $\tau^2$ over all runs that there
# could be. Each gives $n$ independent samples. The share of hits among all $nS$ samples has mean $p$ and variance
#
# $$\frac{\tau^2}{S} + \frac{p(1-p) - \tau^2}{nS}
#   = \frac{p(1-p)}{nS}\,\Bigl(1 + (n-1)\,\frac{\tau^2}{p(1-p)}\Bigr) .$$
# ```
#
# ```{prf:proof}
# Given $p_s$, the share of run $s$ has mean $p_s$ and variance $p_s(1-p_s)/n$. Variance of means plus mean of variances: the share
# of one run has variance $\tau^2 + \mathbb E[p_s(1-p_s)]/n$, and $\mathbb E[p_s(1-p_s)] = p - p^2 - \tau^2$. The
# mean of $S$ independent shares has one $S$-th of it.
# ```
#
# The bracket says by how much the variance is underestimated by whoever takes all samples as one
# pile. More samples do not help against $\tau^2/S$; only more runs do.
#
# **Check.** The denoiser of two halves generates all chimeras of an upper and a lower half
# ({prf:ref}`thm-chimeras`), so we can judge *all* of them, and the rate of each training set is exact. A run is
# a training set here.

# %%
family = dc.data.faces.Faces(positions=1)
runs, size = run.size(smoke=6, book=24), run.size(smoke=8, book=24)


def creative_rate(seed):
    """Exact share of creative faces among the chimeras of halves of one training set."""
    chosen = family.split(size, seed=seed).train
    upper, lower = family.render(chosen).split(8, dim=2)
    chimeras = torch.cat(
        [upper.repeat_interleave(size, 0), lower.repeat(size, 1, 1, 1)], dim=2
    )  # (size², 1, 16, 16)
    return family.oracle(chosen)(chimeras).counts()["creative"] / size**2


rates = torch.tensor([creative_rate(seed + k) for k in range(runs)], dtype=torch.float64)
p, between = rates.mean().item(), rates.var().item()
samples = 1000
excess = 1 + (samples - 1) * between / (p * (1 - p))

# %% mystnb={"image": {"alt": "A row of dots, the exact rates of many training sets, and two bars above them: a short one for what a thousand samples of one of them tell, and a longer one for the spread of the runs."}, "figure": {"caption": "Exact rates of creative faces, a dot for each training set. Bars, to both sides of the mean: twice the standard deviation that a thousand samples of one set leave, and twice that between the sets.", "name": "fig-projects-seeds"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 1.9))
ax.plot(rates, [0] * runs, "o", color=COLORS["generated"], alpha=0.6)
for height, (half, color, words) in enumerate(
    [
        (2 * math.sqrt(p * (1 - p) / samples), "law", "samples"),
        (2 * math.sqrt(between), "warning", "runs"),
    ],
    start=1,
):
    ax.plot([p - half, p + half], [height] * 2, lw=4, color=COLORS[color])
    ax.text(p + half, height, f"  {words}", va="center")
ax.set(yticks=[], ylim=(-0.6, 2.6), xlabel="share of creative faces")
plt.show()

# %% tags=["remove-input"]
dc.runtime.report(
    projects_runs=runs,
    projects_rate=f"{100 * p:.1f} %",
    projects_between=f"{100 * math.sqrt(between):.1f} %",
    projects_within=f"{100 * math.sqrt(p * (1 - p) / samples):.1f} %",
    projects_excess=f"{excess:.0f}",
)

# %% [markdown]
# Over {glue:text}`projects_runs` training sets the rate is {glue:text}`projects_rate` on average, with a
# standard deviation of {glue:text}`projects_between` between them. A thousand samples of one of them know
# its rate to {glue:text}`projects_within`. Who pools a thousand samples from each run as if they were
# independent reports a variance that is too small by a factor of {glue:text}`projects_excess`.
#
# ## The same noise for both
#
# Two machines are compared on the same noise, the same images, the same training set wherever that is possible.
#
# ```{prf:proposition} Pairs
# :label: prop-projects-pairs
#
# Let $a$ and $b$ be the measures of two machines on one input, with variances $v_a$, $v_b$ and
# covariance $c$ over inputs. The mean difference over $n$ independent inputs has variance
# $(v_a + v_b - 2c)/n$ if both get the same inputs, and $(v_a + v_b)/n$ if each gets its own. With
# $v_a = v_b$ and correlation $\varrho$, pairs reach the same precision with $1 - \varrho$ times as many inputs.
# ```
#
# ```{prf:proof}
# The differences $a_i - b_i$ are independent with variance $v_a + v_b - 2c$; for separate inputs $c$ is 0.
# If $v_a = v_b = v$, the ratio is $(2v - 2\varrho v)/2v$.
# ```

# %%
digits = dc.data.load("digits").x
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
known, unseen = digits[order].split([len(digits) - 300, 300])
known, unseen = known[: run.size(smoke=100, book=400)], unseen[: run.size(smoke=60, book=300)]
noisy = unseen + 0.4 * torch.randn(unseen.shape, generator=torch.Generator().manual_seed(seed))
machines = (dc.denoisers.LocalScore, dc.denoisers.PatchPosterior)
a, b = (
    (machine.fit(known, window=3)(noisy, 0.4) - unseen).square().flatten(1).mean(1)
    for machine in machines
)
correlation = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
saved = ((a - b).var() / (a.var() + b.var())).item()

# %% tags=["remove-input"]
dc.runtime.report(projects_correlation=f"{correlation:.3f}", projects_saved=f"{100 * saved:.1f} %")

# %% [markdown]
# Two machines of project 5 below, on held-out digits: their errors have a correlation of
# {glue:text}`projects_correlation`. In pairs the difference needs {glue:text}`projects_saved` of the images that it
# would need otherwise.
#
# (sec-projects-checklist)=
# ## What convinces
#
# Before the first run, on one page:
#
# - **the claim**, with the unit that it is about (this network, this architecture, this target);
# - **the number that decides it**, and which values would refute you;
# - **a control that must fail**: a shuffled target, a wrong law, an architecture without the part in question. And
#   one that must succeed: a case whose answer is known;
# - **runs and samples**, from {prf:ref}`prop-projects-none` and {prf:ref}`prop-projects-seeds`. One run says nothing of the
#   spread, and two or three little, unless it is pooled over many variants ({ref}`ex-14-spread`); ten give an interval;
# - **what is held equal**: number of weights, steps, learning rates tried, noise. A variant that got fewer
#   learning rates loses by that alone.
#
# After it: intervals on everything, in pairs; all comparisons that were made, also those that came out dull, with a
# correction for their number (with twenty comparisons at 5 %, one success is expected of chance); what was
# predicted and did not come. An experiment in the package (`dc.experiments`) records seeds, sources and machine for you.
#
# ## Project 1: A rule of your own
#
# **Question.** You add one rule to the cartoon faces. Which architectures keep it without having been told?
#
# - **Level and effort:** undergraduate; two weeks. Chapters 9 and 12.
# - **Why:** Rules decide what realism is, so they should be yours. The book has tried the six rules that it
#   came with ({doc}`12_measuring_creativity_and_realism`); one that *forbids a combination* is of another
#   kind.
# - **What is known:** A denoiser of parts breaks it at the rate of chance, exactly ({prf:ref}`thm-product`).
#   Windows make mosaics ({prf:ref}`prop-local-fixed-points`; {cite:t}`kamb2024analytic`). How often a mosaic
#   breaks a rule is not known.
# - **The start measures:** No smile under a hat: breaches of the perfect denoiser, of two halves and of
#   windows, beside chance.
# - **What decides:** Breaches among samples whose two parts are well drawn, divided by those expected of
#   chance: 1 is blind to the rule, 0 keeps it.
# - **What convinces:** Two rules at the least, between near and between distant parts. Control: the same
#   training set with the hats shuffled among the faces, for which every architecture must be at 1. Five
#   training sets each.
# - **Pitfalls:** Samples that are well drawn are a selection; few of a small window are. Report how many. A
#   rule with a low rate of chance needs many samples ({prf:ref}`prop-projects-none`).
# - **On a GPU:** UNets with attention and without, on 32×32 faces, `profile = "gpu"` for the start.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/01_a_rule_of_your_own.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/01_a_rule_of_your_own.ipynb)
#
# ## Project 2: Half a symmetry
#
# **Question.** How symmetric must a target be for an equivariant denoiser to pay?
#
# - **Level and effort:** undergraduate; three weeks. Chapters 8 and 12.
# - **Why:** Equivariance is the one inductive bias that everybody builds in, and real targets have it in
#   part: faces are nearly symmetric, digits and letters are not.
# - **What is known:** The best denoiser that commutes with a group is the perfect one of all moved training
#   images, and creates these and nothing else ({prf:ref}`thm-equivariant`, {prf:ref}`thm-orbit`; also
#   {cite:t}`kamb2024analytic`, theorem B.2).
# - **The start measures:** A world in which nobody looks right. A dial sets how many look left; copies, new
#   faces and forbidden ones are counted exactly.
# - **What decides:** Creative samples minus forbidden ones times a price that you fix beforehand, as a
#   function of the dial; where it changes sign.
# - **What convinces:** The exact counts need no samples, but training sets vary: ten of them. For networks
#   three runs each, and the equivariance error beside the counts (`networks.equivariance_error`). Control:
#   the dial at 0.
# - **Pitfalls:** Novelty modulo the group is zero by construction ({prf:ref}`rem-novelty-modulo`): say modulo
#   what. Zero padding breaks the symmetry of a network. A training set that holds both mirror images leaves
#   nothing to create.
# - **On a GPU:** The same world for UNets with circular and zero padding, with and without mirrored training
#   images.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/02_half_a_symmetry.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/02_half_a_symmetry.ipynb)
#
# ## Project 3: The sampler's share
#
# **Question.** Can the error of a sampler with few steps make new *valid* images?
#
# - **Level and effort:** undergraduate to master; one month. Chapters 2, 3 and 4.
# - **Why:** What is put down to the architecture may be due to the sampler. Theories are compared with
#   networks at different numbers of steps.
# - **What is known:** With an affine denoiser the law of any schedule is exact ({prf:ref}`cor-finite-steps`).
#   The perfect denoiser copies with its last step, however few there are, if that step is low enough
#   ({prf:ref}`cor-last-step`). {cite:t}`kamb2024analytic` print their agreement for networks with 150
#   and with 20 steps; most of the values are lower with 20.
# - **The start measures:** Copies, creative and invalid faces, and *different* creative ones, against the number
#   of steps; the perfect denoiser and one of two halves, DDIM and Heun.
# - **What decides:** The number of different creative faces among a fixed number of samples, at few steps minus at
#   many, in pairs of the same noise.
# - **What convinces:** Equal numbers of calls of the denoiser; two schedules at least, so that the last level is
#   not what you measure. Control: samples drawn from the law of endless steps, as many. Ten training sets.
# - **Pitfalls:** A share can be won by generating one face over and over: look at two steps in the start. And an
#   oracle has a tolerance: a blurred copy may be invalid at 10 steps and a copy at 100 without anything having been
#   created or lost (`Verdicts.margin`).
# - **On a GPU:** A trained UNet, sampled with 5 to 1,000 steps from one set of noise.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/03_the_samplers_share.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/03_the_samplers_share.ipynb)
#
# ## Project 4: Stopping early as an architecture
#
# **Question.** Is training that is stopped after some time the same as full training of another, narrower
# architecture?
#
# - **Level and effort:** master; two months. Chapters 4, 7 and 11.
# - **Why:** If it is, then training time belongs into every table of architectures. If it is not, time is an
#   inductive bias of its own.
# - **What is known:** For linear denoisers both laws are formulas ({prf:ref}`prop-early-stopping`,
#   {prf:ref}`thm-bottle-linear`). {cite:t}`bonnaire2025why` publish code that follows the share of memorised
#   samples through training.
# - **The start measures:** For each stopping time the rank of bottleneck whose law is nearest, and how near
#   it is.
# - **What decides:** Distance to the nearest law of the family, divided by the distance to full training.
#   Near 0: the same. Near 1: something else.
# - **What convinces:** The linear part is exact: it needs proofs, and targets that try to refute them (flat
#   spectra, two scales, few examples). For networks: five runs, weights of several times, and a learning rate
#   that is *not* tuned to the result.
# - **Pitfalls:** The flow of a stopped denoiser contracts to a point as its last level goes to 0: fix the
#   schedule, and vary it. Adam is no gradient flow.
# - **On a GPU:** The share of copies against time and size of the training set for UNets.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/04_stopping_early.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/04_stopping_early.ipynb)
#
# ## Project 5: Fold or keep the centre?
#
# **Question.** When is the average over all windows that cover a pixel better than the window around it?
#
# - **Level and effort:** master; two months. Chapter 9.
# - **Why:** The two published families of patch machines differ in this point, and in others too, so nobody
#   can say what the averaging does.
# - **What is known:** Of all functions of *one* window the centre pixel is the best
#   ({prf:ref}`thm-local-window`). Folding uses many. {cite:t}`niedoba2024towards` report that their folded
#   patch means approximate networks better than the optimal denoiser at noise levels below 3.
# - **The start measures:** Both machines on held-out digits: difference of errors in pairs, by window and
#   noise level; copies among their samples.
# - **What decides:** The sign of the paired difference at the best window of each, by noise level; and R²
#   with trained networks.
# - **What convinces:** Windows chosen on images other than those that measure. Three controls, for three
#   explanations: a centre pixel that sees twice as far, an average of independent errors, a blurred centre.
#   Two data sets.
# - **Pitfalls:** Same window is not same sight: a folded pixel sees nearly twice as far. Folded windows stay
#   inside the image, so large ones sit in few places, and at the border few cover a pixel.
# - **On a GPU:** Fashion-MNIST and CIFAR-10 with all training images; both machines run on a GPU as they are.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/05_fold_or_centre.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/05_fold_or_centre.ipynb)
#
# ## Project 6: A target made for an architecture
#
# **Question.** For which targets does an architecture generate the target itself?
#
# - **Level and effort:** master; three months. Chapters 5 and 10.
# - **Why:** The book goes from target and architecture to law. The way back, from an architecture to its
#   ideal targets, says what an architecture is *for*.
# - **What is known:** Polynomials are ideal for Gaussians and for nothing else
#   ({prf:ref}`thm-unify-aligned`). A small kernel distorts a spectrum by a formula
#   ({prf:ref}`thm-conv-window`), and white noise stays white.
# - **The start measures:** Train on what was generated, again and again, for three spectra and three kernels;
#   a formula each time.
# - **What decides:** Whether the last move goes to zero, and the distance of the end from white noise.
# - **What convinces:** A theorem, or a spectrum that refutes it. Numerically: several lengths of the ring, so
#   that the end is not an artefact of one, and the limit of many steps beside a finite schedule.
# - **Pitfalls:** Slow is not still: plot the move against the number of rounds on logarithmic axes before you
#   call anything a fixed point. A schedule of few steps shrinks the variance, which has nothing to do with
#   the kernel.
# - **On a GPU:** Generations of trained networks on their own samples, with fresh data mixed in.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/06_an_ideal_target.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/06_an_ideal_target.ipynb)
#
# ## Project 7: The critical window
#
# **Question.** At which size does a noisy window give away its training image, and do networks work just
# below it?
#
# - **Level and effort:** master to research; half a year. Chapters 3 and 9.
# - **Why:** It would predict, without training, where copying ends: for each noise level, each size of
#   training set and each target.
# - **What is known:** {cite:t}`hunt2026exact` announce an exact information theory of such transitions, and
#   that generation runs near the edge of memorisation. For white noise, counting nats gives a guess (in the
#   notebook).
# - **The start measures:** Critical windows for white noise and for faces at several noise levels, beside the
#   guess.
# - **What decides:** Ratio of measured and predicted window, with no free number, over levels and sizes of
#   training set.
# - **What convinces:** New images and new noise for every point, with intervals; three targets of different
#   spectra; then windows set a factor above and below, and the copies counted. Control: images with shuffled
#   pixels, whose windows know as much as white ones do.
# - **Pitfalls:** A median hides two populations. Windows are whole and odd numbers of pixels: interpolate.
#   Training images that look alike in the window cannot be told apart at any noise.
# - **On a GPU:** Effective receptive fields of trained UNets at each level
#   (`networks.effective_receptive_field`) against the critical window.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/07_the_critical_window.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/07_the_critical_window.ipynb)
#
# ## Project 8: Low rank and local
#
# **Question.** What does the sum of a bottleneck and a small kernel generate?
#
# - **Level and effort:** research; open-ended. Chapters 4, 5 and 7.
# - **Why:** It is the smallest model of a UNet: a narrow middle that sees all, and skips that see little. The
#   book has the law of each part and not of the sum.
# - **What is known:** Each part alone: {prf:ref}`thm-bottle-linear` and {prf:ref}`thm-conv-window`. Any
#   affine denoiser has an exact law by a recursion ({prf:ref}`thm-any-affine`). The best sum is no convex
#   problem, so no formula comes for free.
# - **The start measures:** The best sum by alternation at each level, its exact law, and its error beside
#   those of the parts, by number of weights.
# - **What decides:** Error of the generated covariance at an equal number of weights; and whether a formula
#   predicts it.
# - **What convinces:** A law with its proof and certificate, first for stationary targets on a ring.
#   Numerically: many starts of the alternation, to show that its end is the end.
# - **Pitfalls:** The matrices of different levels do not commute, so nothing can be read off one eigenbasis.
#   A smaller loss at each level need not mean a better law.
# - **On a GPU:** Trained linear UNets of that shape; then the same with ReLU.
#
# [Start in Colab](https://colab.research.google.com/github/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/08_low_rank_and_local.ipynb) ·
# [the notebook](https://github.com/what-denoisers-dream/what-denoisers-dream/blob/main/notebooks/projects/08_low_rank_and_local.ipynb)
#
# ## Exercises
#
# ```{exercise}
# :label: ex-18-see
#
# **How many samples?** Write `samples_to_see(share, miss)`: the least number of samples among which an
# event with that share is missed with probability `miss` at the most.
# ```


# %%
def samples_to_see(share, miss): ...  # your code: a whole number


# dc.exercises.check_samples_to_see(samples_to_see)

# %% [markdown]
# ```{solution-start} ex-18-see
# :class: dropdown
# ```
#
# {prf:ref}`prop-projects-none`, rounded up.


# %%
def samples_to_see_solution(share, miss):
    return math.ceil(math.log(miss) / math.log1p(-share))


assert dc.exercises.check_samples_to_see(samples_to_see_solution)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-18-error
#
# **How many runs?** Write `standard_error(share, between, runs, samples)`: the standard deviation of the
# share among all samples of all runs; `between` is the standard deviation of the rates of the runs.
# Two runs of 10,000 samples, or twenty of 100?
# ```


# %%
def standard_error(share, between, runs, samples): ...  # your code: a number


# dc.exercises.check_standard_error(standard_error)

# %% [markdown]
# ```{solution-start} ex-18-error
# :class: dropdown
# ```
#
# {prf:ref}`prop-projects-seeds`. With a rate of 20 % and 5 % between runs, twenty runs of a tenth of the samples win.


# %%
def standard_error_solution(share, between, runs, samples):
    within = (share * (1 - share) - between**2) / samples
    return math.sqrt((between**2 + within) / runs)


assert dc.exercises.check_standard_error(standard_error_solution)
few, many = (standard_error_solution(0.2, 0.05, s, n) for s, n in ((2, 10_000), (20, 100)))
print(f"two runs: {few:.4f}, twenty: {many:.4f}")
assert many < few

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-18-budget
#
# **How many of each?** To train once costs as much as drawing `cost` samples. Your budget is fixed. Write
# `samples_per_run(share, between, cost)`: how many samples each run should give, so that the variance of
# {prf:ref}`prop-projects-seeds` is least (no need to round). Does the answer depend on the budget?
# ```


# %%
def samples_per_run(share, between, cost): ...  # your code: a number


# dc.exercises.check_samples_per_run(samples_per_run)

# %% [markdown]
# ```{solution-start} ex-18-budget
# :class: dropdown
# ```
#
# Let $w = p(1-p) - \tau^2$. A budget $B$ buys $S = B/(c + n)$ runs of $n$ samples, so the variance is
# $(c + n)(\tau^2 + w/n)/B$ $= (c\tau^2 + w + n\tau^2 + cw/n)/B$. The last two terms are least together where they are equal: at
# $n = \sqrt{cw}/\tau$, whatever $B$ is: there the derivative $\tau^2 - cw/n^2$ is zero. Below, the run is a training set of {numref}`fig-projects-seeds`, and
# training costs as much as ten thousand samples.


# %%
def samples_per_run_solution(share, between, cost):
    return math.sqrt(cost * (share * (1 - share) - between**2)) / between


assert dc.exercises.check_samples_per_run(samples_per_run_solution)
print(f"{samples_per_run_solution(p, math.sqrt(between), 10_000):.0f} samples of each run")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-18-pairs
#
# **What pairs save.** Write `paired_saving(a, b)`: from the errors of two machines on the same inputs (two vectors),
# the number of inputs that pairs need, as a share of what separate inputs would need for the same
# precision. When is it above 1?
# ```


# %%
def paired_saving(a, b): ...  # your code: a number


# dc.exercises.check_paired_saving(paired_saving)

# %% [markdown]
# ```{solution-start} ex-18-pairs
# :class: dropdown
# ```
#
# {prf:ref}`prop-projects-pairs`. Above 1 when the errors are negatively correlated: each machine is good where the other
# is bad.


# %%
def paired_saving_solution(a, b):
    return ((a - b).var() / (a.var() + b.var())).item()


assert dc.exercises.check_paired_saving(paired_saving_solution)
print(f"{100 * paired_saving_solution(a, b):.1f} % of the images")

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-18-page
#
# **One page.** Research. Choose a project. Before you open its notebook write the page of
# {ref}`the checklist <sec-projects-checklist>`: the claim, the number that decides it, a control that must fail
# and one that must succeed, how many runs and samples, what is held equal. Give it to someone who
# should try to find a result that would satisfy your page and still prove nothing.
# ```
#
# ## Summary
#
# - A count that is zero bounds a rate by about $3/n$ ({prf:ref}`prop-projects-none`).
# - Claims on an architecture are limited by the number of runs, not of samples
#   ({prf:ref}`prop-projects-seeds`); pairs save work where errors go together ({prf:ref}`prop-projects-pairs`).
# - Eight questions are open, each with a notebook that runs. We should like to hear what you find, a
#   counterexample most of all.
#
# **Proved:** the three propositions, which are textbook statistics. **Open:** the rest of this chapter.
#
# ## References
#
# ```{bibliography}
# :filter: docname in docnames
# ```
