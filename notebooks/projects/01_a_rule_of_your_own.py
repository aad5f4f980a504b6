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
# (sec-project-rule)=
# # A rule of your own
#
# **Question.** You give the cartoon faces one more rule, and train only on faces that keep it. Which
# architectures keep your rule without having been told?
#
# **Start.** The rule here: *who wears a top hat does not smile*. Hat and mouth are far apart, so a
# denoiser made of two halves must break the rule exactly as often as chance would. We check that,
# and measure denoisers that see windows. What a convincing answer needs is in the
# [chapter on projects](../18_project_ideas.ipynb).

# %% tags=["parameters", "remove-input"]
profile = "book"  # "smoke": seconds, "book": a minute at most, "gpu": full size
seed = 0

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from scipy import stats

import diffusion_creativity as dc
from diffusion_creativity.data.faces import TRAITS

run = dc.runtime.start(seed=seed, profile=profile)
COLORS = dc.style.COLORS

# %% [markdown]
# ## The start
#
# A rule is a function of the attributes of faces: true where a face keeps it. Change it to yours.
# An attribute is a column; its values are numbered as in `family.values`.

# %%
family = dc.data.faces.Faces(positions=1)
names = list(family.values)
HAT, MOUTH = family.values["hat"].index("top hat"), family.values["mouth"].index("smile")


def keeps(hat, mouth):
    return (hat != HAT) | (mouth != MOUTH)


def columns(attributes):
    return attributes[:, names.index("hat")], attributes[:, names.index("mouth")]


candidates = family.split(1000, seed=seed).train
hats, mouths = columns(family.attributes(candidates))
chosen = candidates[keeps(hats, mouths)][: run.size(smoke=100, book=200, gpu=800)]
train = family.render(chosen)
print(f"{len(chosen)} training faces; the rule excludes {(~keeps(hats, mouths)).sum()} of 1000")

# %% [markdown]
# What would chance do? If a sample took its hat and its mouth from two training faces, independently,
# it would break the rule in this share of cases, exactly:

# %%
hats, mouths = columns(family.attributes(chosen))
chance = ((hats == HAT).double().mean() * (mouths == MOUTH).double().mean()).item()
print(f"by chance: {chance:.4f}")

# %% [markdown]
# Now samples. The oracle reads the traits of each; samples whose top or mouth is not well drawn are
# left out, and counted.

# %%
n, sigmas = run.size(smoke=40, book=200, gpu=4000), dc.noise.karras(run.size(smoke=12, book=20))
noise = dc.sampling.initial_noise(n, train.shape[1:], seed=seed)
oracle = family.oracle(chosen)
fits = {
    "perfect": dc.denoisers.Bayes.fit(train),
    "upper and lower half": dc.denoisers.Blockwise.fit(train, block=(8, 16)),
    "windows of 5": dc.denoisers.LocalScore.fit(train, window=5),
    "windows of 9": dc.denoisers.LocalScore.fit(train, window=9),
}


def read(samples):
    """Hat and mouth of each sample, and whether both parts are well drawn."""
    verdicts = oracle(samples)
    hat, mouth = (verdicts.traits[:, 2 + TRAITS.index(name)] for name in ("hat", "mouth"))
    drawn = ~verdicts.breaks("top") & ~verdicts.breaks("mouth") & (hat >= 0) & (mouth >= 0)
    return hat, mouth, drawn


sheets, breaches = {}, {}
for name, denoise in fits.items():
    sheets[name] = dc.sampling.ddim(denoise, noise, sigmas)
    hat, mouth, drawn = read(sheets[name])
    broken = int((~keeps(hat, mouth) & drawn).sum())
    breaches[name] = (broken, int(drawn.sum()))
    share = dc.metrics.wilson(broken, max(int(drawn.sum()), 1))
    print(f"{name:22} {broken} of {drawn.sum()} break the rule: {share.value:.3f} "
          f"[{share.low:.3f}, {share.high:.3f}]")  # fmt: skip

# %% mystnb={"image": {"alt": "Four rows of eight cartoon faces, one row for each denoiser, all from the same noise."}, "figure": {"caption": "Samples from the same noise. Rows: the perfect denoiser, two halves, windows of 5 and of 9.", "name": "fig-project-rule"}} tags=["hide-input"]
dc.style.image_grid(torch.cat([sheet[:8] for sheet in sheets.values()]), columns=8)
plt.show()

# %% [markdown]
# ## Self-check of the start
#
# The perfect denoiser copies, so it breaks nothing. The halves are independent
# ({prf:ref}`thm-product`), so the number of breaches, among all samples, is binomial with the
# chance above. Here hat and mouth are read from all samples, whether well drawn or not.

# %%
assert breaches["perfect"][0] == 0
hat, mouth, _ = read(sheets["upper and lower half"])
found = int((~keeps(hat, mouth)).sum())
p_value = stats.binomtest(found, n, chance).pvalue
print(f"halves: {found} of {n}, expected {n * chance:.1f}, p = {p_value:.2f}")
assert p_value > 1e-4
assert keeps(*columns(family.attributes(chosen))).all()
print("The start is sound.")

# %% [markdown]
# ## Your work
#
# 1. Write your own rule, and what you expect of each architecture *before* you run it.

# %%
# YOUR WORK 1: the rule, and the share of breaches that you expect of each architecture.
...

# %% [markdown]
# 2. Find the window from which on the rule is kept. Does the distance of the two parts decide?

# %%
# YOUR WORK 2: breaches against the size of the window, with intervals, for two rules at least.
...

# %% [markdown]
# 3. Train a network (`dc.networks.UNet`, as in chapter 13) with and without attention, three seeds.

# %%
# YOUR WORK 3: the same measure for trained networks.
...
